//! Conversations over HTTP: listing, reading, naming, removing.

use std::fmt::Write;

use http::header;
use saas_kit::testing::TestEngine;
use serde_json::{Value, json};

use crate::{
    chat::join,
    frames::{Open, Prompted},
    harness::{Api, Session, assert_answer, delete, get, on_both_engines, patch, post},
};

on_both_engines! {
    a_conversation_is_listed_and_read_with_its_messages,
    pages_walk_all_conversations_without_gap_or_repeat,
    pages_walk_all_messages_without_gap_or_repeat,
    wrong_parameters_are_a_422_that_names_them_all,
    a_title_is_set_and_taken_away,
    a_removed_conversation_is_gone_and_leaves_nothing_to_its_key,
    removing_a_conversation_ends_what_runs_in_it,
    a_key_may_hold_whatever_a_path_can_encode,
    a_key_has_at_most_255_characters,
    nobody_else_finds_the_conversation,
    who_may_only_read_changes_nothing,
}

const LIST: &str = "/api/v1/conversations";

/// Every byte percent-encoded: whatever a key holds, this is a path to it.
fn path(key: &str) -> String {
    key.bytes().fold(format!("{LIST}/"), |mut path, byte| {
        write!(path, "%{byte:02X}").expect("a string takes text");
        path
    })
}

async fn say(api: &Api, session: &Session, key: &str, message: &str) {
    let body = json!({ "message": message, "conversation_id": key });
    let answer = api.send(post("/api/v1/chat").bearer(session.access()).json(&body)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    // So that no two conversations changed at one moment.
    api.test.clock.advance(std::time::Duration::from_millis(1));
}

async fn keys(api: &Api, session: &Session, path: &str) -> (Vec<String>, Option<String>) {
    let answer = api.send(get(path).bearer(session.access())).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let key = |item: &Value| item["conversation_id"].as_str().map(str::to_owned);
    let keys = answer.json().as_array().expect("a list").iter().filter_map(key).collect();
    (keys, next(answer.header("link")))
}

/// Where `Link` says that the next page is.
fn next(link: &str) -> Option<String> {
    let (target, relation) = link.strip_prefix('<')?.split_once(">; ")?;
    assert_eq!(relation, r#"rel="next""#);
    Some(target.to_owned())
}

async fn a_conversation_is_listed_and_read_with_its_messages(engine: TestEngine) {
    let api = Api::start(engine).await;
    let ada = api.register("ada@example.com").await;
    assert_eq!(api.send(get(LIST).bearer(ada.access())).await.json(), json!([]));
    say(&api, &ada, "homework", "What is 6 * 7?").await;
    assert_answer!(api.send(get(LIST).bearer(ada.access())).await, @r#"
    200 OK
    cache-control: no-store
    content-type: application/json
    x-content-type-options: nosniff
    x-request-id: [uuid]

    [
      {
        "conversation_id": "homework",
        "created_at": "2026-01-01T00:00:00Z",
        "last_message": "That makes 42. I am the scripted model: set OPENAI_API_KEY to talk to a real one.",
        "message_count": 2,
        "title": null,
        "updated_at": "2026-01-01T00:00:00Z"
      }
    ]
    "#);
    assert_answer!(api.send(get(&path("homework")).bearer(ada.access())).await, @r#"
    200 OK
    cache-control: no-store
    content-type: application/json
    x-content-type-options: nosniff
    x-request-id: [uuid]

    {
      "agent_context": null,
      "conversation_id": "homework",
      "created_at": "2026-01-01T00:00:00Z",
      "messages": [
        {
          "content": "What is 6 * 7?",
          "partial": false,
          "position": 1,
          "role": "user",
          "timestamp": "2026-01-01T00:00:00Z"
        },
        {
          "content": "That makes 42. I am the scripted model: set OPENAI_API_KEY to talk to a real one.",
          "partial": false,
          "position": 2,
          "role": "assistant",
          "timestamp": "2026-01-01T00:00:00Z"
        }
      ],
      "title": null,
      "updated_at": "2026-01-01T00:00:00Z"
    }
    "#);
}

async fn pages_walk_all_conversations_without_gap_or_repeat(engine: TestEngine) {
    let api = Api::start(engine).await;
    let ada = api.register("ada@example.com").await;
    for number in 0..7 {
        say(&api, &ada, &format!("c{number}"), "Hello").await;
    }
    say(&api, &ada, "c2", "Hello again").await;
    let mut walked = Vec::new();
    let mut page = Some(format!("{LIST}?limit=3"));
    while let Some(path) = page {
        let (keys, next) = keys(&api, &ada, &path).await;
        assert!(keys.len() <= 3);
        walked.extend(keys);
        page = next;
    }
    assert_eq!(walked, ["c2", "c6", "c5", "c4", "c3", "c1", "c0"]);
    assert_eq!(keys(&api, &ada, LIST).await, (walked, None));
}

async fn pages_walk_all_messages_without_gap_or_repeat(engine: TestEngine) {
    let api = Api::start(engine).await;
    let ada = api.register("ada@example.com").await;
    let key = "home/work";
    for number in 0..3 {
        say(&api, &ada, key, &format!("Question {number}")).await;
    }
    let mut walked = Vec::new();
    let mut page = Some("?limit=4".to_owned());
    while let Some(query) = page {
        assert!(query.starts_with('?'), "the path stays as it is: {query}");
        let answer = api.send(get(&(path(key) + &query)).bearer(ada.access())).await;
        let messages = answer.json()["messages"].clone();
        let message = |message: &Value| (message["position"].as_i64(), message["role"] == "user");
        walked.extend(messages.as_array().expect("a list").iter().map(message));
        page = next(answer.header("link"));
    }
    let expected: Vec<_> = (1..=6).map(|position| (Some(position), position % 2 == 1)).collect();
    assert_eq!(walked, expected);
}

async fn wrong_parameters_are_a_422_that_names_them_all(engine: TestEngine) {
    let api = Api::start(engine).await;
    let ada = api.register("ada@example.com").await;
    say(&api, &ada, "homework", "Hello").await;
    let wrong = async |path: String| {
        let answer = api.send(get(&path).bearer(ada.access())).await;
        assert_eq!(answer.status, 422, "{path}");
        answer.wrong_fields().into_iter().map(|(field, _)| field).collect::<Vec<_>>()
    };
    assert_eq!(wrong(format!("{LIST}?limit=0")).await, ["limit"]);
    assert_eq!(wrong(format!("{LIST}?limit=101")).await, ["limit"]);
    assert_eq!(wrong(path("homework") + "?limit=501&after=-1").await, ["after", "limit"]);
    assert_eq!(wrong(path("homework") + "?after=9223372036854775807").await, ["after"]);
    assert_eq!(wrong(path("a\u{0}b")).await, ["conversation_id"]);
    assert_eq!(api.send(get(&format!("{LIST}/%FF")).bearer(ada.access())).await.status, 422);
    let twice = get(&format!("{LIST}?limit=1&limit=2")).bearer(ada.access());
    assert_eq!(api.send(twice).await.problem(), (400, "invalid_query".into()));
    let forged = api.send(get(&format!("{LIST}?cursor=x")).bearer(ada.access())).await;
    assert_eq!(forged.problem(), (422, "invalid_cursor".into()));
    // Another user's cursor is of another list.
    say(&api, &ada, "more", "Hello").await;
    let (_, next) = keys(&api, &ada, &format!("{LIST}?limit=1")).await;
    let bob = api.register("bob@example.com").await;
    let answer = api.send(get(&next.expect("there is more")).bearer(bob.access())).await;
    assert_eq!(answer.problem(), (422, "invalid_cursor".into()));
}

async fn a_title_is_set_and_taken_away(engine: TestEngine) {
    let api = Api::start(engine).await;
    let ada = api.register("ada@example.com").await;
    say(&api, &ada, "homework", "Hello").await;
    let rename = |body: Value| patch(&path("homework")).bearer(ada.access()).json(&body);
    for title in [json!("Sums, and more 🧮"), json!("x".repeat(128)), json!(null)] {
        let answer = api.send(rename(json!({ "title": title }))).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["title"]), (200, &title));
        assert_eq!(api.send(get(LIST).bearer(ada.access())).await.json()[0]["title"], title);
        assert_eq!(api.send(get(&path("homework")).bearer(ada.access())).await.json()["title"], title);
    }
    for title in [String::new(), " ".to_owned(), "x".repeat(129), "a\u{0}b".to_owned()] {
        let answer = api.send(rename(json!({ "title": title }))).await;
        assert_eq!(answer.wrong_fields(), [("title".to_owned(), "invalid".to_owned())], "{title:?}");
    }
    let missing = patch(&path("missing")).bearer(ada.access()).json(&json!({ "title": "x" }));
    assert_eq!(api.send(missing).await.problem(), (404, "conversation_not_found".into()));
}

/// W46: what the model remembered of a removed conversation came back with its key.
async fn a_removed_conversation_is_gone_and_leaves_nothing_to_its_key(engine: TestEngine) {
    let api = Api::start(engine).await;
    let ada = api.register("ada@example.com").await;
    say(&api, &ada, "homework", "My name is Ada").await;
    let removed = api.send(delete(&path("homework")).bearer(ada.access())).await;
    assert_eq!((removed.status.as_u16(), removed.text()), (204, String::new()));
    for call in [get(&path("homework")), delete(&path("homework"))] {
        let answer = api.send(call.bearer(ada.access())).await;
        assert_eq!(answer.problem(), (404, "conversation_not_found".into()));
    }
    assert_eq!(keys(&api, &ada, LIST).await, (Vec::new(), None));
    say(&api, &ada, "homework", "Who am I?").await;
    let read = api.send(get(&path("homework")).bearer(ada.access())).await;
    assert_eq!(read.json()["messages"].as_array().map(Vec::len), Some(2));
    assert!(!read.text().contains("Ada"), "{}", read.text());
}

async fn removing_a_conversation_ends_what_runs_in_it(engine: TestEngine) {
    let api = Api::of(Prompted::new().start(engine, []).await);
    let ada = api.register("ada@example.com").await;
    let body = json!({ "message": "Hello", "conversation_id": "homework" });
    let mut stream = Open::at(&api, post("/api/v1/chat/stream").bearer(ada.access()).json(&body)).await;
    stream.frame().await;
    let location = stream.headers[header::LOCATION].to_str().expect("a path").to_owned();
    assert_eq!(api.send(delete(&path("homework")).bearer(ada.access())).await.status, 204);
    // There is no run to tell the end of.
    assert_eq!(stream.block().await, None);
    let answer = api.send(get(&location).bearer(ada.access())).await;
    assert_eq!(answer.problem(), (404, "run_not_found".into()));
}

async fn a_key_may_hold_whatever_a_path_can_encode(engine: TestEngine) {
    let api = Api::start(engine).await;
    let ada = api.register("ada@example.com").await;
    for key in ["a/b", "..", "100%", "%2F", "a?b#c", " x ", "🦀", "ключ", "e\u{301}", "a+b&c=d", "\"'\\"]
    {
        say(&api, &ada, key, "Hello").await;
        let read = api.send(get(&path(key)).bearer(ada.access())).await;
        assert_eq!((read.status.as_u16(), &read.json()["conversation_id"]), (200, &json!(key)));
        let renamed = patch(&path(key)).bearer(ada.access()).json(&json!({ "title": "t" }));
        assert_eq!(api.send(renamed).await.json()["conversation_id"], key);
        assert_eq!(keys(&api, &ada, LIST).await.0, [key]);
        assert_eq!(api.send(delete(&path(key)).bearer(ada.access())).await.status, 204, "{key}");
    }
}

async fn a_key_has_at_most_255_characters(engine: TestEngine) {
    let api = Api::start(engine).await;
    let ada = api.register("ada@example.com").await;
    for key in ["k".repeat(255), "🦀".repeat(255)] {
        say(&api, &ada, &key, "Hello").await;
        assert_eq!(api.send(get(&path(&key)).bearer(ada.access())).await.json()["conversation_id"], key);
        let longer = api.send(get(&path(&(key + "k"))).bearer(ada.access())).await;
        assert_eq!(longer.wrong_fields(), [("conversation_id".to_owned(), "invalid".to_owned())]);
    }
}

/// W28, W29, W41: conversations were their tenant's, and a key was taken for everybody.
async fn nobody_else_finds_the_conversation(engine: TestEngine) {
    let api = Api::start(engine).await;
    let ada = api.register("ada@example.com").await;
    let bob = api.register("bob@example.com").await;
    say(&api, &ada, "homework", "My name is Ada").await;
    let assert_hidden = async |who: &Session| {
        assert_eq!(keys(&api, who, LIST).await, (Vec::new(), None));
        let renamed = patch(&path("homework")).json(&json!({ "title": "Bob's" }));
        for call in [get(&path("homework")), renamed, delete(&path("homework"))] {
            let answer = api.send(call.bearer(who.access())).await;
            assert_eq!(answer.problem(), (404, "conversation_not_found".into()));
        }
    };
    assert_hidden(&bob).await;
    say(&api, &bob, "homework", "Who am I?").await;
    let his = api.send(get(&path("homework")).bearer(bob.access())).await;
    assert!(!his.text().contains("Ada"), "{}", his.text());
    let bob = join(&api, &ada, &bob, "admin").await;
    assert_hidden(&bob).await;
    assert_eq!(keys(&api, &ada, LIST).await, (vec!["homework".to_owned()], None));
}

async fn who_may_only_read_changes_nothing(engine: TestEngine) {
    let api = Api::start(engine).await;
    let ada = api.register("ada@example.com").await;
    let bob = api.register("bob@example.com").await;
    let bob = join(&api, &ada, &bob, "viewer").await;
    let renamed = patch(&path("homework")).json(&json!({ "title": "t" }));
    for call in [renamed, delete(&path("homework"))] {
        let answer = api.send(call.bearer(bob.access())).await;
        assert_eq!(answer.problem(), (403, "forbidden".into()));
    }
    for call in [get(LIST), get(&path("homework")), delete(&path("homework"))] {
        assert_eq!(api.send(call).await.problem(), (401, "unauthenticated".into()));
    }
}
