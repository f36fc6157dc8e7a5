//! Mails as commands leave them behind and jobs send them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use saas_core::{
    Actor, Client, Email, Mail, MailError, Mailer, Reach, Refusal, Secret, Storage, TenantName,
    jobs::{JobFilter, JobState, StoredJob},
};
use saas_kit::{
    Saas,
    settings::{Settings, Sources},
    testing::{PASSWORD, TestEngine, TestSaas, TestWorkers, at_once},
};
use saas_tenancy::Register;
use tokio::sync::mpsc;

const REACH: Reach = Reach::Platform("test");

/// What a mailer says of the n-th mail that it is given, from 1.
type Plan = fn(usize) -> Result<(), MailError>;

/// Says what it was planned to, and tells the test of every mail.
#[derive(Debug)]
struct Planned {
    plan: Plan,
    seen: mpsc::UnboundedSender<Mail>,
    count: AtomicUsize,
}

#[async_trait]
impl Mailer for Planned {
    async fn send(&self, mail: &Mail) -> Result<(), MailError> {
        self.seen.send(mail.clone()).unwrap();
        (self.plan)(self.count.fetch_add(1, Ordering::SeqCst) + 1)
    }
}

struct Stage {
    test: TestSaas,
    seen: mpsc::UnboundedReceiver<Mail>,
}

impl Stage {
    async fn new(engine: TestEngine, plan: Plan) -> Self {
        let (sender, seen) = mpsc::unbounded_channel();
        let mailer = Arc::new(Planned { plan, seen: sender, count: AtomicUsize::default() });
        let test = TestSaas::with_ports(engine, [], |builder| builder.mailer(mailer)).await;
        Self { test, seen }
    }

    /// Waits for the next mail, with the time moving on as far as any retry is away.
    async fn mail(&mut self) -> Mail {
        loop {
            tokio::select! {
                Some(mail) = self.seen.recv() => return mail,
                () = tokio::time::sleep(Duration::from_millis(20)) => self.test.clock.advance(Duration::from_secs(2)),
            }
        }
    }
}

async fn jobs(saas: &Saas) -> Vec<StoredJob> {
    let mut conn = saas.storage().read(REACH).await.unwrap();
    saas.jobs().store().list(&mut conn, &JobFilter::default(), None, 100).await.unwrap()
}

/// Waits until the jobs are as wanted.
async fn until(saas: &Saas, wanted: impl Fn(&[StoredJob]) -> bool) -> Vec<StoredJob> {
    loop {
        let jobs = jobs(saas).await;
        if wanted(&jobs) {
            return jobs;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn registration(email: &str) -> Register {
    let password = Secret::new(PASSWORD.to_owned());
    Register::new(Email::parse(email).unwrap(), password, TenantName::parse("Analytical Engines").unwrap())
}

on_both_engines! {
    async fn whoever_registers_is_welcomed_once(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let ada = test.register("Ada@example.com").await;
        let mail = test.mail.wait_for(|mail| mail.template == "welcome").await;
        assert_eq!(mail.to.address.shown(), "Ada@example.com");
        assert!(mail.text.contains(ada.tenant.name.as_str()), "{}", mail.text);
        until(&test.saas, <[_]>::is_empty).await;
        assert_eq!(test.mail.mails().len(), 1);
    }

    async fn what_waits_to_be_sent_holds_ids_and_no_address(engine: TestEngine) {
        let mut stage = Stage::new(engine, |_| Err(MailError::unavailable("away"))).await;
        let ada = stage.test.register("ada@example.com").await;
        stage.mail().await;
        let waiting = until(&stage.test.saas, |jobs| jobs[0].state == JobState::Waiting).await;
        let payload = format!(r#"{{"mail":"welcome","user":"{}","tenant":"{}"}}"#, ada.user.id, ada.tenant.id);
        assert_eq!((waiting.len(), &waiting[0].payload), (1, &payload));
        assert_eq!(waiting[0].error.as_deref(), Some("the mail service does not answer: away"));
    }

    async fn who_was_not_registered_is_not_welcomed(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let tenancy = test.saas.tenancy();
        let actor = Actor::system("test");
        let prepared = tenancy.prepare_registration(&actor, registration("eve@example.com")).await.unwrap();
        let mut tx = test.begin().await;
        tenancy.register_in(&mut tx, &actor, prepared).await.unwrap();
        drop(tx);
        test.register("ada@example.com").await;
        test.mail.wait_for(|mail| mail.to.address.as_str() == "ada@example.com").await;
        until(&test.saas, <[_]>::is_empty).await;
        assert_eq!(test.mail.mails().len(), 1, "the transaction was dropped");
    }

    async fn a_refresh_token_that_comes_back_has_its_owner_told_once(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let first = test.register("ada@example.com").await.tokens;
        test.refresh(&first.refresh_token).await.unwrap();
        test.clock.advance(Duration::from_secs(11));
        let saas = test.saas.clone();
        let token = first.refresh_token.clone();
        let refused = at_once(16, move |_| {
            let (saas, token) = (saas.clone(), token.clone());
            async move { saas.auth().refresh(&Actor::anonymous(None, Client::default()), &token).await.is_err() }
        })
        .await;
        assert!(refused.into_iter().all(|refused| refused));
        let mail = test.mail.wait_for(|mail| mail.template == "session_revoked").await;
        assert_eq!(mail.to.address.as_str(), "ada@example.com");
        assert!(mail.text.contains("When: January 1, 2026 00:00 UTC"), "{}", mail.text);
        until(&test.saas, <[_]>::is_empty).await;
        let told = test.mail.mails().iter().filter(|mail| mail.template == "session_revoked").count();
        assert_eq!(told, 1, "it came back sixteen times");
        test.drain_jobs().await;
    }

    async fn what_fails_is_sent_again_under_its_key_until_it_goes(engine: TestEngine) {
        let mut stage = Stage::new(engine, |number| match number {
            1 => Err(MailError::unavailable("away")),
            2 => Err(MailError::later(None, "451")),
            // Somebody else's to mend: the mail is good.
            3 => Err(MailError::refused(Refusal::Credentials, "535")),
            _ => Ok(()),
        })
        .await;
        stage.test.register("ada@example.com").await;
        let first = stage.mail().await;
        for number in 2..=4 {
            assert_eq!(stage.mail().await, first, "the {number}. time it is the same");
        }
        until(&stage.test.saas, <[_]>::is_empty).await;
    }

    async fn a_mail_that_is_refused_for_good_is_dead_at_once(engine: TestEngine) {
        let mut stage = Stage::new(engine, |_| Err(MailError::refused(Refusal::Recipient, "550 5.1.1"))).await;
        stage.test.register("ada@example.com").await;
        stage.mail().await;
        let dead = until(&stage.test.saas, |jobs| jobs[0].state == JobState::Dead).await;
        assert_eq!(dead[0].attempt, 1);
        assert_eq!(dead[0].error.as_deref(), Some("the mail service refused the recipient (550 5.1.1)"));
    }

    async fn a_service_that_says_when_is_not_asked_before(engine: TestEngine) {
        const WAITS: [Duration; 2] = [Duration::from_hours(1), Duration::from_hours(1_000)];
        let mut stage = Stage::new(engine, |number| match number {
            1 => Err(MailError::later(Some(WAITS[0]), "429")),
            2 => Err(MailError::later(Some(WAITS[1]), "429")),
            _ => Ok(()),
        })
        .await;
        stage.test.register("ada@example.com").await;
        stage.seen.recv().await.unwrap();
        let failed = |attempt| move |jobs: &[StoredJob]| jobs[0].state == JobState::Waiting && jobs[0].attempt == attempt;
        let waiting = until(&stage.test.saas, failed(1)).await;
        let now = saas_core::Clock::now(&*stage.test.clock);
        assert_eq!(waiting[0].due_at, now + WAITS[0]);
        stage.test.clock.advance(WAITS[0]);
        let before = saas_core::Clock::now(&*stage.test.clock);
        stage.mail().await;
        let waiting = until(&stage.test.saas, failed(2)).await;
        let after = saas_core::Clock::now(&*stage.test.clock);
        let asked_for = waiting[0].due_at - Duration::from_hours(24);
        assert!((before..=after).contains(&asked_for), "a day at most: {}", waiting[0].due_at);
    }

    async fn whoever_was_disabled_since_gets_nothing(engine: TestEngine) {
        let mut stage = Stage::new(engine, |_| Err(MailError::unavailable("away"))).await;
        let ada = stage.test.register("ada@example.com").await;
        stage.mail().await;
        until(&stage.test.saas, |jobs| jobs[0].state == JobState::Waiting).await;
        stage.test.saas.auth().disable_user(&Actor::system("test"), ada.user.id).await.unwrap();
        while !jobs(&stage.test.saas).await.is_empty() {
            stage.test.clock.advance(Duration::from_secs(2));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(stage.seen.try_recv().is_err(), "a mail was sent to somebody disabled");
    }
}

#[tokio::test]
async fn with_nothing_set_mails_are_files_beside_the_database() {
    let folder = tempfile::tempdir().unwrap();
    let flags = [("DATA_DIR", folder.path().to_str().unwrap()), ("PASSWORD_HASH_MEMORY_KIB", "64")];
    let settings = Settings::load(&Sources::empty().with_flags(flags)).unwrap();
    let blueprint = Saas::builder(settings).build().unwrap();
    blueprint.migrate().await.unwrap();
    let saas = blueprint.open().await.unwrap();
    let workers = TestWorkers::start(&saas);
    saas.tenancy().register(&Actor::system("test"), registration("ada@example.com")).await.unwrap();
    until(&saas, <[_]>::is_empty).await;
    workers.stop().await;
    let mails: Vec<_> =
        std::fs::read_dir(folder.path().join("mail")).unwrap().map(|file| file.unwrap().path()).collect();
    assert_eq!(mails.len(), 1);
    let text = std::fs::read_to_string(&mails[0]).unwrap();
    assert!(
        mails[0].to_str().unwrap().ends_with(".welcome.eml") && text.contains("To: ada@example.com"),
        "{text}"
    );
    saas.close().await;
}

#[tokio::test]
async fn a_way_for_mails_that_the_settings_spoil_is_told_before_anything_is_opened() {
    for (set, expected) in [
        (
            [("SMTP_HOST", "not a host"), ("MAIL_FROM", "a@example.com")],
            "SMTP_HOST, SMTP_USERNAME, SMTP_PASSWORD: the host is neither a name nor an IP address",
        ),
        (
            [("RESEND_API_KEY", "re with space"), ("MAIL_FROM", "a@example.com")],
            "RESEND_API_KEY, RESEND_BASE_URL: the API key is empty or has characters that no key has",
        ),
    ] {
        let settings = Settings::load(&Sources::empty().with_flags(set)).unwrap();
        assert_eq!(Saas::builder(settings).build().unwrap_err().problems, [expected]);
    }
}
