//! Listing one's sessions page by page, and ending them.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use saas_core::{GeoError, GeoLocator, Place};
use saas_kit::testing::{PASSWORD, TestEngine, TestSaas};
use serde_json::{Value, json};

use crate::harness::{Answer, Api, Session, delete, get, on_both_engines, post};

on_both_engines! {
    pages_of_three_walk_seven_sessions_without_gap_or_repeat,
    an_offset_skips_as_many,
    a_cursor_of_another_user_or_filter_is_a_422,
    a_forged_cursor_is_a_422,
    ended_sessions_are_listed_on_request,
    the_list_may_be_of_one_tenant,
    the_asking_session_is_marked,
    somebody_elses_session_cannot_be_ended,
    ending_the_current_session_ends_its_access_token,
    signing_out_everywhere_ends_every_token,
    a_session_is_listed_with_its_place_once_it_is_known,
    the_sign_ins_to_ones_account_are_listed_with_those_that_were_refused,
    a_cursor_of_other_sign_ins_is_a_422,
}

const LIST: &str = "/api/v1/auth/sessions";

/// Seven sessions, some opened at one moment; the last one first.
async fn seven(api: &Api, email: &str) -> Vec<Session> {
    let mut sessions = vec![api.register(email).await];
    for index in 1..7_u64 {
        api.test.clock.advance(Duration::from_millis(500 * (index % 3)));
        sessions.push(api.sign_in(email).await);
    }
    sessions
}

async fn list(api: &Api, session: &Session, path: &str) -> Answer {
    api.send(get(path).bearer(session.access())).await
}

fn ids(answer: &Answer) -> Vec<String> {
    let sessions = answer.json()["sessions"].as_array().expect("there is a list").clone();
    sessions.iter().map(|item| item["id"].as_str().expect("an id").to_owned()).collect()
}

/// Where `Link` says that the next page is.
fn next(answer: &Answer) -> Option<String> {
    let link = answer.header("link");
    let path = link.strip_prefix('<')?.strip_suffix(">; rel=\"next\"")?;
    Some(path.to_owned())
}

async fn walk(api: &Api, session: &Session, first: &str) -> Vec<Vec<String>> {
    let (mut pages, mut path) = (Vec::new(), Some(first.to_owned()));
    while let Some(at) = path {
        assert!(pages.len() < 20, "the walk ends");
        let answer = list(api, session, &at).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        pages.push(ids(&answer));
        path = next(&answer);
    }
    pages
}

async fn pages_of_three_walk_seven_sessions_without_gap_or_repeat(engine: TestEngine) {
    let api = Api::start(engine).await;
    let sessions = seven(&api, "ada@example.com").await;
    let all = list(&api, &sessions[0], LIST).await;
    assert_eq!(all.header("link"), "");
    assert_eq!(ids(&all).len(), 7);

    let pages = walk(&api, &sessions[3], &format!("{LIST}?limit=3")).await;
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [3, 3, 1]);
    assert_eq!(pages.concat(), ids(&all));
    let expected: BTreeSet<String> = sessions.iter().map(|session| session.id().to_owned()).collect();
    assert_eq!(pages.concat().into_iter().collect::<BTreeSet<_>>(), expected);

    // A session that comes meanwhile is before the cursor: the walk still shows each of the others once.
    let first = list(&api, &sessions[3], &format!("{LIST}?limit=3")).await;
    api.test.clock.advance(Duration::from_secs(1));
    api.sign_in("ada@example.com").await;
    let rest = walk(&api, &sessions[3], &next(&first).expect("there is a next page")).await;
    assert_eq!([ids(&first), rest.concat()].concat(), ids(&all));
}

async fn an_offset_skips_as_many(engine: TestEngine) {
    let api = Api::start(engine).await;
    let sessions = seven(&api, "ada@example.com").await;
    let all = ids(&list(&api, &sessions[0], LIST).await);
    for offset in [0, 1, 5, 6, 7, 100_000] {
        let page = list(&api, &sessions[0], &format!("{LIST}?limit=3&offset={offset}")).await;
        let expected: Vec<String> = all.iter().skip(offset).take(3).cloned().collect();
        assert_eq!(ids(&page), expected);
        let body = page.json();
        assert_eq!((&body["total"], &body["limit"], &body["offset"]), (&json!(7), &json!(3), &json!(offset)));
    }
}

async fn a_cursor_of_another_user_or_filter_is_a_422(engine: TestEngine) {
    let api = Api::start(engine).await;
    let ada = seven(&api, "ada@example.com").await;
    let eve = api.register("eve@example.com").await;
    let path = next(&list(&api, &ada[0], &format!("{LIST}?limit=3")).await).expect("there is a next page");
    let invalid = (422, "invalid_cursor".to_owned());
    assert_eq!(list(&api, &ada[1], &path).await.status, 200, "it belongs to the user, not to the session");
    assert_eq!(list(&api, &eve, &path).await.problem(), invalid);
    assert_eq!(list(&api, &ada[0], &format!("{path}&include_revoked=true")).await.problem(), invalid);
    assert_eq!(
        list(&api, &ada[0], &format!("{path}&tenant_id={}", ada[0].tenant())).await.problem(),
        invalid
    );
}

async fn a_forged_cursor_is_a_422(engine: TestEngine) {
    let api = Api::start(engine).await;
    let sessions = seven(&api, "ada@example.com").await;
    let path =
        next(&list(&api, &sessions[0], &format!("{LIST}?limit=3")).await).expect("there is a next page");
    let (_, cursor) = path.rsplit_once('=').expect("the cursor comes last");
    let bytes = URL_SAFE_NO_PAD.decode(cursor).expect("the cursor is base64url");
    let forged = |key: &str| URL_SAFE_NO_PAD.encode([&bytes[..8], key.as_bytes()].concat());
    let id = sessions[0].id();
    let mut cursors: Vec<String> = [
        i64::MIN,
        -8_334_601_228_800_000_000,
        -300_000_000_000_000_000,
        9_000_000_000_000_000_000 / 2,
        i64::MAX,
    ]
    .iter()
    .map(|micros| forged(&format!("{micros}|{id}")))
    .collect();
    for key in ["", "|", "1|x", &format!("x|{id}"), &format!("1.5|{id}"), "\u{0}|\u{0}"] {
        cursors.push(forged(key));
    }
    cursors.extend([
        String::new(),
        "A".into(),
        "!".into(),
        "A".repeat(513),
        "%00".into(),
        "%F0%9F%A6%80".into(),
    ]);
    for cursor in cursors {
        let answer = list(&api, &sessions[0], &format!("{LIST}?cursor={cursor}")).await;
        assert_eq!(answer.status, 422, "{cursor}: {}", answer.text());
    }
}

async fn ended_sessions_are_listed_on_request(engine: TestEngine) {
    let api = Api::start(engine).await;
    let first = api.register("ada@example.com").await;
    api.test.clock.advance(Duration::from_secs(1));
    let second = api.sign_in("ada@example.com").await;
    api.send(delete(&format!("{LIST}/{}", first.id())).bearer(second.access())).await;
    for (query, expected) in [
        ("", vec![second.id()]),
        ("?include_revoked=false", vec![second.id()]),
        ("?include_revoked=true", vec![second.id(), first.id()]),
        ("?include_revoked=1", vec![second.id(), first.id()]),
    ] {
        let answer = list(&api, &second, &format!("{LIST}{query}")).await;
        assert_eq!(ids(&answer), expected, "{query}");
        assert_eq!(answer.json()["total"], expected.len());
    }
    let all = list(&api, &second, &format!("{LIST}?include_revoked=true")).await.json();
    assert_eq!(all["sessions"][0]["revoked_at"], Value::Null);
    assert_eq!(all["sessions"][1]["revoked_at"], "2026-01-01T00:00:01Z");
    // Both filters go on with the cursor.
    let pages =
        walk(&api, &second, &format!("{LIST}?include_revoked=true&limit=1&tenant_id={}", first.tenant()))
            .await;
    assert_eq!(pages.concat(), [second.id(), first.id()]);
}

async fn the_list_may_be_of_one_tenant(engine: TestEngine) {
    let api = Api::start(engine).await;
    let ada = api.register("ada@example.com").await;
    let eve = api.register("eve@example.com").await;
    let of = async |tenant: &str| ids(&list(&api, &ada, &format!("{LIST}?tenant_id={tenant}")).await);
    assert_eq!(of(ada.tenant()).await, [ada.id()]);
    assert!(of(eve.tenant()).await.is_empty());
}

async fn the_asking_session_is_marked(engine: TestEngine) {
    let api = Api::start(engine).await;
    let sessions = seven(&api, "ada@example.com").await;
    for session in [&sessions[0], &sessions[4]] {
        let body = list(&api, session, LIST).await.json();
        let items = body["sessions"].as_array().expect("there is a list");
        let current: Vec<&Value> = items.iter().filter(|item| item["current"] == true).collect();
        assert_eq!(current.len(), 1);
        assert_eq!(current[0]["id"], session.id());
    }
}

async fn somebody_elses_session_cannot_be_ended(engine: TestEngine) {
    let api = Api::start(engine).await;
    let ada = api.register("ada@example.com").await;
    let eve = api.register("eve@example.com").await;
    let absent = "01890a5d-ac96-774b-bcce-b302099a8057";
    for id in [ada.id(), absent] {
        let answer = api.send(delete(&format!("{LIST}/{id}")).bearer(eve.access())).await;
        assert_eq!(answer.problem(), (404, "session_not_found".into()));
    }
    assert_eq!(list(&api, &ada, LIST).await.status, 200);
    assert_eq!(ids(&list(&api, &eve, LIST).await), [eve.id()]);
}

async fn ending_the_current_session_ends_its_access_token(engine: TestEngine) {
    let api = Api::start(engine).await;
    let session = api.register("ada@example.com").await;
    let other = api.sign_in("ada@example.com").await;
    let answer = api.send(delete(&format!("{LIST}/{}", session.id())).bearer(session.access())).await;
    assert_eq!(answer.status, 200);
    assert_eq!(list(&api, &session, LIST).await.problem(), (401, "session_ended".into()));
    let refresh = post("/api/v1/auth/refresh").json(&json!({ "refresh_token": session.refresh() }));
    assert_eq!(api.send(refresh).await.problem(), (401, "invalid_refresh_token".into()));
    assert_eq!(list(&api, &other, LIST).await.status, 200);
}

async fn signing_out_everywhere_ends_every_token(engine: TestEngine) {
    let api = Api::start(engine).await;
    let sessions = seven(&api, "ada@example.com").await;
    let eve = api.register("eve@example.com").await;
    let answer = api.send(post("/api/v1/auth/logout/all").bearer(sessions[2].access())).await;
    assert_eq!(answer.json()["data"]["revoked"], 7);
    for session in &sessions {
        assert_eq!(list(&api, session, LIST).await.problem(), (401, "session_ended".into()));
    }
    assert_eq!(list(&api, &eve, LIST).await.status, 200);
}

/// Where London is.
const LONDON: &str = "81.2.69.160";

#[derive(Debug)]
struct Atlas;

#[async_trait]
impl GeoLocator for Atlas {
    async fn locate(&self, address: IpAddr) -> Result<Option<Place>, GeoError> {
        let found = address.to_string() == "81.2.69.0";
        Ok(found.then(|| Place::new(Some("GB"), Some("England"), Some("London"))).flatten())
    }
}

async fn with_an_atlas(engine: TestEngine) -> Api {
    Api::of(TestSaas::with_ports(engine, [], |builder| builder.geo_locator(Arc::new(Atlas))).await)
}

async fn sign_in_from(api: &Api, address: &str, password: &str) -> Answer {
    let body = json!({ "email": "ada@example.com", "password": password });
    let answer =
        api.send(post("/api/v1/auth/token").json(&body).peer(address.parse().expect("an address"))).await;
    api.test.drain_jobs().await;
    answer
}

async fn a_session_is_listed_with_its_place_once_it_is_known(engine: TestEngine) {
    let api = with_an_atlas(engine).await;
    let ada = api.register("ada@example.com").await;
    sign_in_from(&api, LONDON, PASSWORD).await;
    let places: Vec<Value> = list(&api, &ada, LIST).await.json()["sessions"]
        .as_array()
        .expect("there is a list")
        .iter()
        .map(|item| item["location"].clone())
        .collect();
    assert!(
        places.contains(&json!({ "city": "London", "region": "England", "country": "GB" })),
        "{places:?}"
    );
    assert!(places.contains(&Value::Null), "{places:?}");
}

async fn the_sign_ins_to_ones_account_are_listed_with_those_that_were_refused(engine: TestEngine) {
    let api = with_an_atlas(engine).await;
    let ada = api.register("ada@example.com").await;
    api.test.clock.advance(Duration::from_secs(1));
    sign_in_from(&api, "8.8.8.8", "not her password").await;
    api.test.clock.advance(Duration::from_secs(1));
    sign_in_from(&api, LONDON, PASSWORD).await;
    let first = list(&api, &ada, "/api/v1/auth/events?limit=2").await;
    let events = first.json()["events"].clone();
    let shown = |event: &Value| {
        let place = event["location"]["city"].as_str().unwrap_or_default();
        let masked = event["ip_address_masked"].as_str().unwrap_or_default();
        let reason = event["reason"].as_str().unwrap_or_default();
        format!("{} {} {place}{masked}{reason}", event["at"].as_str().unwrap_or_default(), event["outcome"])
    };
    assert_eq!(
        [shown(&events[0]), shown(&events[1])],
        [
            r#"2026-01-01T00:00:02Z "signed_in" London81.2.69.*"#,
            r#"2026-01-01T00:00:01Z "refused" wrong_password"#,
        ]
    );
    let last = list(&api, &ada, &next(&first).expect("there is another page")).await;
    assert_eq!((&last.json()["events"][0]["session_id"], next(&last)), (&json!(ada.id()), None));
}

async fn a_cursor_of_other_sign_ins_is_a_422(engine: TestEngine) {
    let api = Api::start(engine).await;
    let ada = api.register("ada@example.com").await;
    api.sign_in("ada@example.com").await;
    let eve = api.register("eve@example.com").await;
    let page = next(&list(&api, &ada, "/api/v1/auth/events?limit=1").await).expect("there is another page");
    assert_eq!(list(&api, &eve, &page).await.status, 422);
    assert_eq!(list(&api, &eve, "/api/v1/auth/events?cursor=forged").await.status, 422);
    assert_eq!(list(&api, &eve, "/api/v1/auth/events?limit=101").await.status, 422);
    assert_eq!(api.send(get("/api/v1/auth/events")).await.problem(), (401, "unauthenticated".into()));
}
