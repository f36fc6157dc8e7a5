//! The adapter against `@copilotkit/aimock`, which leaves out what the vendor sends (`sequence_number`, the details of `usage`) and has
//! one terminal event for everything. Its answers are in `tests/aimock`; `scripts/with-services` starts it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, SystemTime},
};

use futures_util::StreamExt;
use saas_agents::{ChatModel, Item};

use crate::support::{RecordingClock, asked_for, asking, line, model, told};

const VARIABLE: &str = "SAAS_TEST_AIMOCK_URL";

/// Counts of its own for each test, so that a server that goes on between runs does no harm.
pub(crate) fn url() -> String {
    static TESTS: AtomicU32 = AtomicU32::new(0);
    let server = std::env::var(VARIABLE).unwrap_or_else(|_| {
        panic!("{VARIABLE} is not set: run scripts/test, or scripts/with-services <command>, which start an aimock")
    });
    let (process, test) = (std::process::id(), TESTS.fetch_add(1, Ordering::Relaxed));
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos();
    format!("{}/v1?testId={process}-{test}-{now}", server.trim_end_matches('/'))
}

/// What comes of a question, and the pauses in between.
async fn outcome(question: &str) -> (Vec<String>, Vec<Duration>) {
    asked_for(&url(), vec![Item::user(question)]).await
}

#[tokio::test]
async fn an_answer_streams() {
    let (told, _) = outcome("Say something.").await;
    let texts: Vec<&str> = told.iter().filter_map(|line| line.strip_prefix("text: ")).collect();
    assert!(texts.len() > 5, "{told:?}");
    assert_eq!(texts.concat(), "Grüße aus dem Prüfstand: 5 € für alle.");
    assert_eq!(told.last().unwrap(), "Complete: 12 (0 cached), 9 (0 thought)");
}

#[tokio::test]
async fn items_of_every_kind_are_kept_and_taken_back() {
    let model = model(&url(), Arc::new(RecordingClock::default()));
    let mut input = vec![Item::user("Say something.")];
    let events: Vec<_> = model.stream(asking(input.clone())).await.unwrap().collect().await;
    let lines: Vec<String> = events.iter().map(line).collect();
    let items: Vec<String> =
        lines.iter().filter_map(|line| line.strip_prefix("item: ")).map(str::to_owned).collect();
    let kinds = [r#"{"type":"reasoning","#, r#"{"type":"web_search_call","#, r#"{"type":"message","#];
    assert_eq!(items.len(), kinds.len(), "{items:?}");
    assert!(items.iter().zip(kinds).all(|(item, kind)| item.starts_with(kind)), "{items:?}");
    assert!(items[0].contains("encrypted_content"), "{items:?}");
    input.extend(items.into_iter().map(|json| Item::from_json(json).unwrap()));
    input.push(Item::user("And then?"));
    let then = told(model.stream(asking(input)).await).await;
    assert!(then.iter().any(|line| line.contains("Then nothing.")), "{then:?}");
}

#[tokio::test]
async fn a_call_of_a_tool_is_an_item() {
    let (told, _) = outcome("Call somebody.").await;
    let call = told.iter().find(|line| line.contains(r#""type":"function_call""#)).unwrap();
    assert!(call.contains(r#""arguments":"{\"who\":\"somebody\"}""#), "{call}");
    assert!(told.last().unwrap().starts_with("Complete"), "{told:?}");
}

#[tokio::test]
async fn an_answer_without_room_says_so() {
    let (told, _) = outcome("Write a novel.").await;
    assert!(told.last().unwrap().starts_with("OutOfTokens"), "{told:?}");
}

#[tokio::test]
async fn a_busy_vendor_is_waited_for_as_long_as_it_asks() {
    let (told, pauses) = outcome("Are you busy?").await;
    assert_eq!(pauses, [Duration::from_secs(3)]);
    assert!(told.last().unwrap().starts_with("Complete"), "{told:?}");
    let (told, pauses) = outcome("Are you always busy?").await;
    assert_eq!(told, ["refused: RateLimited { retry_after: Some(2s) }"]);
    assert_eq!(pauses, [Duration::from_secs(2); 2]);
}

#[tokio::test]
async fn failures_end_in_their_outcomes() {
    let cases = [
        ("Is this too long?", vec!["refused: TooLong"], 0),
        ("What is not in the fixtures?", vec![r#"refused: Refused { code: "no_fixture_match" }"#], 0),
        ("Talk nonsense.", vec!["refused: Malformed"], 0),
        ("Fall over.", vec!["refused: Unavailable"], 2),
        ("Hang up at once.", vec!["refused: Unavailable"], 2),
    ];
    for (question, expected, pauses) in cases {
        let (told, made) = outcome(question).await;
        assert_eq!((told.iter().map(String::as_str).collect(), made.len()), (expected, pauses), "{question}");
    }
}

#[tokio::test]
async fn a_stream_that_breaks_is_truncated() {
    let model = model(&url(), Arc::new(RecordingClock::default()));
    let gpt_4o = |text| {
        let mut request = asking(vec![Item::user(text)]);
        // Without a reasoning item before the text.
        request.model = saas_agents::ModelName::new("gpt-4o");
        request
    };
    assert_eq!(told(model.stream(gpt_4o("Hang up before you speak.")).await).await, ["refused: Truncated"]);
    let said = told(model.stream(gpt_4o("Hang up while you speak.")).await).await;
    assert_eq!(said.first().unwrap(), "text: Once ", "{said:?}");
    assert_eq!(said.last().unwrap(), "broken: Truncated", "{said:?}");
}
