//! Where sessions are opened, and who hears of one that may be somebody else's.

use std::{
    net::IpAddr,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use saas_auth::{Session, SessionFilter, SignIn, SignInOutcome, Tokens};
use saas_core::{
    Actor, Client, Email, GeoError, GeoLocator, PageSize, Place, Reach, Secret, SessionId, Storage,
};
use saas_kit::{
    Saas,
    settings::{Settings, Sources},
    testing::{PASSWORD, TestEngine, TestSaas},
};
use saas_sql::fetch_one;
use tokio::sync::Semaphore;

const LONDON: &str = "81.2.69.160";
const KYOTO: &str = "2001:218::1";
const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0";
const SAFARI: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.0 Mobile/15E148 Safari/604.1";
const MAILS: (&str, &str) = ("AUTH_MAIL_NEW_SIGN_INS", "true");

/// Knows two networks, and answers as often as it may.
#[derive(Debug)]
struct Atlas {
    answers: Semaphore,
    asked: Mutex<Vec<IpAddr>>,
    trouble: Mutex<Option<fn() -> GeoError>>,
}

impl Atlas {
    fn new(answers: usize) -> Arc<Self> {
        Arc::new(Self {
            answers: Semaphore::new(answers),
            asked: Mutex::default(),
            trouble: Mutex::default(),
        })
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().iter().map(ToString::to_string).collect()
    }

    fn is_in_trouble(&self, trouble: Option<fn() -> GeoError>) {
        *self.trouble.lock().unwrap() = trouble;
    }
}

#[async_trait]
impl GeoLocator for Atlas {
    async fn locate(&self, address: IpAddr) -> Result<Option<Place>, GeoError> {
        self.answers.acquire().await.unwrap().forget();
        self.asked.lock().unwrap().push(address);
        if let Some(trouble) = *self.trouble.lock().unwrap() {
            return Err(trouble());
        }
        Ok(match address.to_string().as_str() {
            "81.2.69.0" => Place::new(Some("GB"), Some("England"), Some("London")),
            "2001:218::" => Place::new(Some("JP"), None, None),
            _ => None,
        })
    }
}

const ALWAYS: usize = 1_000;

async fn over<const N: usize>(
    engine: TestEngine,
    atlas: &Arc<Atlas>,
    settings: [(&str, &str); N],
) -> TestSaas {
    let locator = Arc::<Atlas>::clone(atlas);
    TestSaas::with_ports(engine, settings, |builder| builder.geo_locator(locator)).await
}

/// A second after whatever was before.
async fn sign_in_from(test: &TestSaas, address: &str, program: &str) -> Tokens {
    test.clock.advance(Duration::from_secs(1));
    let client = Client::new(address.parse().ok(), Some(program));
    let command = SignIn::new(Email::parse("ada@example.com").unwrap(), Secret::new(PASSWORD.to_owned()));
    test.saas.auth().sign_in(&Actor::anonymous(None, client), command).await.expect("the password is right")
}

async fn session(saas: &Saas, id: SessionId) -> Session {
    saas.auth().session(&Actor::system("test"), id).await.unwrap().expect("it is there")
}

async fn place(test: &TestSaas, id: SessionId) -> Option<String> {
    test.saas.auth().place_of(&session(&test.saas, id).await).map(|place| place.to_string())
}

/// The mails of new sign-ins, by the place that they name.
fn told(test: &TestSaas) -> Vec<String> {
    let mails = test.mail.mails().into_iter().filter(|mail| mail.template == "new_sign_in");
    // What a mail quotes has word joiners where a program would make a link of it.
    mails.map(|mail| mail.text.replace('\u{2060}', "")).collect()
}

on_both_engines! {
    async fn a_sign_in_waits_for_no_locator_and_its_session_gets_its_place_afterwards(engine: TestEngine) {
        let atlas = Atlas::new(0);
        let test = over(engine, &atlas, []).await;
        test.register("ada@example.com").await;
        // Nobody answers, and she is signed in all the same.
        let ada = sign_in_from(&test, LONDON, FIREFOX).await;
        assert!(test.authenticate(&ada).await.is_ok());
        assert_eq!(place(&test, ada.session).await, None);
        atlas.answers.add_permits(1);
        test.drain_jobs().await;
        assert_eq!(place(&test, ada.session).await.as_deref(), Some("London, England, GB"));
        let actor = test.actor(&ada).await;
        let page = test.saas.auth().sessions(&actor, &SessionFilter::live(), None, 0, PageSize::default()).await;
        let listed: Vec<_> =
            page.unwrap().page.items.iter().map(|session| test.saas.auth().place_of(session).is_some()).collect();
        assert_eq!(listed, [true, false], "the first was opened from no address");
    }

    async fn of_a_network_its_first_address_is_asked_for_and_of_none_that_is_not_public(engine: TestEngine) {
        let atlas = Atlas::new(ALWAYS);
        let test = over(engine, &atlas, []).await;
        test.register("ada@example.com").await;
        for address in [LONDON, KYOTO, "::ffff:81.2.69.7", "10.0.0.1", "127.0.0.1", "fe80::1", "192.0.2.1", "8.8.8.8"] {
            sign_in_from(&test, address, FIREFOX).await;
            test.drain_jobs().await;
        }
        assert_eq!(atlas.asked(), ["81.2.69.0", "2001:218::", "81.2.69.0", "8.8.8.0"]);
    }

    async fn a_place_is_stored_in_an_envelope_of_its_session(engine: TestEngine) {
        let test = over(engine, &Atlas::new(ALWAYS), []).await;
        test.register("ada@example.com").await;
        let ada = sign_in_from(&test, LONDON, FIREFOX).await;
        let other = sign_in_from(&test, "8.8.8.8", FIREFOX).await;
        test.drain_jobs().await;
        let mut conn = test.saas.storage().read(Reach::Platform("test")).await.unwrap();
        let query = "SELECT place_envelope FROM saas_sessions WHERE id = $1";
        let (stored,): (Vec<u8>,) = fetch_one!(&mut conn, (Vec<u8>,), query, ada.session.as_uuid()).unwrap();
        assert!(!String::from_utf8_lossy(&stored).contains("London") && stored[0] == 1);
        drop(conn);
        let mut moved = session(&test.saas, other.session).await;
        moved.place = session(&test.saas, ada.session).await.place;
        assert!(test.saas.auth().place_of(&moved).is_none(), "in another row it does not open");
    }

    async fn a_locator_that_is_away_is_asked_again_and_done_without_in_the_end(engine: TestEngine) {
        let atlas = Atlas::new(ALWAYS);
        let test = over(engine, &atlas, []).await;
        test.register("ada@example.com").await;
        atlas.is_in_trouble(Some(|| GeoError::unavailable("away")));
        let ada = sign_in_from(&test, LONDON, FIREFOX).await;
        while atlas.asked().len() < 2 {
            test.clock.advance(Duration::from_secs(1));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        atlas.is_in_trouble(None);
        while place(&test, ada.session).await.is_none() {
            test.clock.advance(Duration::from_secs(1));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        atlas.is_in_trouble(Some(|| GeoError::Refused));
        let never = sign_in_from(&test, LONDON, FIREFOX).await;
        let before = atlas.asked().len();
        while atlas.asked().len() < before + 6 {
            test.clock.advance(Duration::from_secs(1));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        test.drain_jobs().await;
        assert_eq!((place(&test, never.session).await, atlas.asked().len()), (None, before + 6));
        // One that wants to be left alone for longer than anybody waits is not asked again.
        atlas.is_in_trouble(Some(|| GeoError::Later { retry_after: Some(Duration::from_hours(1)) }));
        sign_in_from(&test, LONDON, FIREFOX).await;
        test.drain_jobs().await;
        assert_eq!(atlas.asked().len(), before + 7);
    }

    async fn a_sign_in_from_a_new_device_is_told_by_mail_and_one_from_a_known_one_is_not(engine: TestEngine) {
        let test = TestSaas::with_settings(engine, [MAILS]).await;
        test.register("ada@example.com").await;
        sign_in_from(&test, LONDON, FIREFOX).await;
        test.drain_jobs().await;
        let mails = told(&test);
        assert_eq!(mails.len(), 1, "registering is no news, a first browser is");
        assert!(mails[0].contains("Firefox on Linux") && mails[0].contains("81.2.69.*"), "{}", mails[0]);
        let again = sign_in_from(&test, "8.8.8.8", &FIREFOX.replace("145", "146")).await;
        test.drain_jobs().await;
        assert_eq!(told(&test).len(), 1, "nobody knows that it is elsewhere, and a new version is no new browser");
        let actor = test.actor(&again).await;
        test.saas.auth().logout_all(&actor).await.unwrap();
        sign_in_from(&test, LONDON, FIREFOX).await;
        test.drain_jobs().await;
        assert_eq!(told(&test).len(), 1, "signing out makes no stranger of anybody");
        sign_in_from(&test, LONDON, SAFARI).await;
        test.drain_jobs().await;
        assert!(told(&test)[1].contains("Safari on iOS"), "{:?}", told(&test));
    }

    async fn a_sign_in_from_a_new_country_is_told_by_mail(engine: TestEngine) {
        let atlas = Atlas::new(ALWAYS);
        let test = over(engine, &atlas, [MAILS]).await;
        test.register("ada@example.com").await;
        for (address, mails) in [(LONDON, 1), (LONDON, 1), (KYOTO, 2), (KYOTO, 2), ("8.8.8.8", 2), (LONDON, 2)] {
            sign_in_from(&test, address, FIREFOX).await;
            test.drain_jobs().await;
            assert_eq!(told(&test).len(), mails, "{address}");
        }
        let mails = told(&test);
        assert!(mails[0].contains("London, England, GB") && mails[1].contains("JP"), "{mails:?}");
        // Whoever is to be told is told although nobody can say where it was.
        atlas.is_in_trouble(Some(|| GeoError::Later { retry_after: Some(Duration::from_hours(1)) }));
        sign_in_from(&test, KYOTO, SAFARI).await;
        test.drain_jobs().await;
        assert!(told(&test)[2].contains("2001:218:0:0:*"), "{:?}", told(&test));
    }

    async fn nobody_is_told_and_nothing_is_examined_unless_a_setting_says_so(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        test.register("ada@example.com").await;
        sign_in_from(&test, LONDON, FIREFOX).await;
        sign_in_from(&test, LONDON, SAFARI).await;
        let mut conn = test.saas.storage().read(Reach::Platform("test")).await.unwrap();
        let (jobs,) = fetch_one!(&mut conn, (i64,), "SELECT COUNT(*) FROM saas_jobs").unwrap();
        assert_eq!((jobs, told(&test).len()), (0, 0));
    }

    async fn the_sign_ins_of_a_user_are_listed_with_those_that_were_refused(engine: TestEngine) {
        let test = over(engine, &Atlas::new(ALWAYS), []).await;
        test.register("ada@example.com").await;
        test.register("eve@example.com").await;
        test.clock.advance(Duration::from_secs(1));
        let wrong = SignIn::new(Email::parse("ada@example.com").unwrap(), Secret::new("not her password".to_owned()));
        let anonymous = Actor::anonymous(None, Client::default());
        assert!(test.saas.auth().sign_in(&anonymous, wrong).await.is_err());
        test.clock.advance(Duration::from_secs(1));
        let ada = sign_in_from(&test, LONDON, FIREFOX).await;
        test.drain_jobs().await;
        let actor = test.actor(&ada).await;
        let (mut shown, mut after) = (Vec::new(), None);
        loop {
            let one = PageSize::new(1).unwrap();
            let page = test.saas.auth().sign_ins(&actor, after.as_ref(), one).await.unwrap();
            for event in page.items {
                shown.push(match event.outcome {
                    SignInOutcome::SignedIn(Some(session)) => {
                        let place = test.saas.auth().place_of(&session).map(|place| place.to_string());
                        format!("{:?} {}", session.device.browser, place.unwrap_or_default())
                    }
                    other => format!("{other:?}"),
                });
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(
            shown,
            [r#"Some("Firefox") London, England, GB"#, r#"Refused { reason: Some("wrong_password") }"#]
        );
        let eve = test.sign_in("eve@example.com").await.unwrap();
        let page = test.saas.auth().sign_ins(&test.actor(&eve).await, None, PageSize::default()).await.unwrap();
        assert_eq!(page.items.len(), 1, "nobody sees those of others");
        test.drain_jobs().await;
    }
}

fn settings(set: &[(&str, &str)]) -> Settings {
    Settings::load(&Sources::empty().with_flags(set.iter().copied())).expect("the settings are valid")
}

#[test]
fn a_source_of_places_that_lacks_something_says_which_setting_is_missing() {
    for (provider, setting) in [
        ("maxmind", "GEOIP_MAXMIND_DB_PATH"),
        ("ip2location", "GEOIP_IP2LOCATION_DB_PATH"),
        ("ipinfo", "GEOIP_IPINFO_TOKEN"),
    ] {
        let error = Saas::builder(settings(&[("GEOIP_PROVIDER", provider)])).build().unwrap_err().to_string();
        assert!(error.starts_with(&format!("{setting}: ")), "{error}");
    }
    let token = [("GEOIP_PROVIDER", "ipinfo"), ("GEOIP_IPINFO_TOKEN", "a secret token of two words")];
    let error = Saas::builder(settings(&token)).build().unwrap_err().to_string();
    assert!(error.starts_with("GEOIP_IPINFO_TOKEN: ") && !error.contains("secret"), "{error}");
    let token = [("GEOIP_PROVIDER", "ipinfo"), ("GEOIP_IPINFO_TOKEN", "a1b2c3d4e5f6")];
    let blueprint = Saas::builder(settings(&token)).build().expect("the settings fit");
    assert!(!format!("{blueprint:?}").contains("a1b2c3d4e5f6"));
}

#[test]
fn mails_of_new_sign_ins_are_on_where_mails_go_to_people() {
    let goes = |set: &[(&str, &str)]| {
        let blueprint = Saas::builder(settings(set)).build().expect("the settings fit");
        format!("{blueprint:?}").contains("mail_new_sign_ins: true")
    };
    let [host, from] = [("SMTP_HOST", "localhost"), ("MAIL_FROM", "post@acme.example")];
    assert!(!goes(&[]));
    assert!(goes(&[host, from]) && goes(&[MAILS]));
    assert!(!goes(&[host, from, ("AUTH_MAIL_NEW_SIGN_INS", "false")]));
}

#[tokio::test]
async fn a_file_of_places_is_read_as_the_settings_say() {
    let data =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../saas-core/geo/tests/data/GeoIP2-City-Test.mmdb");
    let data = data.to_str().unwrap();
    let geo = [("GEOIP_PROVIDER", "maxmind"), ("GEOIP_MAXMIND_DB_PATH", data)];
    let test = TestSaas::with_settings(TestEngine::Sqlite, geo).await;
    test.register("ada@example.com").await;
    let ada = sign_in_from(&test, "175.16.199.5", FIREFOX).await;
    test.drain_jobs().await;
    assert_eq!(place(&test, ada.session).await.as_deref(), Some("Changchun, Jilin Sheng, CN"));
    for provider in ["MAXMIND", "IP2LOCATION"] {
        let path = format!("GEOIP_{provider}_DB_PATH");
        let set = [("GEOIP_PROVIDER", provider), (path.as_str(), file!())];
        let blueprint = TestSaas::blueprint(&test.database, test.clock.clone(), 2, set);
        let error = blueprint.open().await.expect_err("it is no such file").to_string();
        assert!(error.starts_with(&format!("{path}: ")), "{error}");
    }
}
