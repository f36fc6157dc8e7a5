//! Answers that come whole.

use saas_agents::{ChatModel, Item, ModelEvent};

use crate::{
    server::{Reply, Server},
    support::{RecordingClock, asked, asking, model, told},
};
use futures_util::StreamExt;
use std::sync::Arc;

/// An answer as the vendor's reference shows it ("Streaming events"), with a character of four bytes, and with fields and events that
/// nobody knows yet.
const STREAM: &str = r#"event: response.created
data: {"type":"response.created","sequence_number":0,"response":{"id":"resp_1","status":"in_progress","output":[]}}

event: response.output_item.added
data: {"type":"response.output_item.added","output_index":0,"item":{"type":"reasoning","id":"rs_1","summary":[]}}

event: response.output_item.done
data: {"type":"response.output_item.done","output_index":0,"item":{"type":"reasoning","id":"rs_1", "encrypted_content":"Zm9v", "of_tomorrow":[1.0,{"b":1,"a":2}]}}

event: response.thought_of_tomorrow.delta
data: {"type":"response.thought_of_tomorrow.delta","delta":{"text":"?"},"sequence_number":"three"}

: a comment

event: response.output_text.delta
data: {"type":"response.output_text.delta","delta":"Grüß","item_id":"msg_1","logprobs":[]}

event: response.output_text.delta
data: {"type":"response.output_text.delta","delta":" dich 🦀","item_id":"msg_1","logprobs":[]}

event: response.output_item.done
data: {"type":"response.output_item.done","item":{"id":"msg_1","type":"message","role":"assistant","content":[{"type":"output_text","text":"Gr\u00fc\u00df dich 🦀"}]}}

event: response.output_item.done
data: {"type":"response.output_item.done","item":{"type":"hologram_call","id":"h_1","n":1e2}}

event: response.completed
data: {"type":"response.completed","response":{"status":"completed","output":[{"type":"reasoning","id":"rs_1"},{"id":"msg_1","type":"message"},{"type":"hologram_call","id":"h_1"}],"usage":{"input_tokens":20,"input_tokens_details":{"cached_tokens":8},"output_tokens":11,"output_tokens_details":{"reasoning_tokens":5},"total_tokens":31}}}

"#;

const ITEMS: [&str; 3] = [
    r#"{"type":"reasoning","id":"rs_1", "encrypted_content":"Zm9v", "of_tomorrow":[1.0,{"b":1,"a":2}]}"#,
    r#"{"id":"msg_1","type":"message","role":"assistant","content":[{"type":"output_text","text":"Gr\u00fc\u00df dich 🦀"}]}"#,
    r#"{"type":"hologram_call","id":"h_1","n":1e2}"#,
];

fn expected() -> Vec<String> {
    vec![
        format!("item: {}", ITEMS[0]),
        "text: Grüß".to_owned(),
        "text:  dich 🦀".to_owned(),
        format!("item: {}", ITEMS[1]),
        format!("item: {}", ITEMS[2]),
        "Complete: 20 (8 cached), 11 (5 thought)".to_owned(),
    ]
}

async fn answer(reply: Reply) -> Vec<String> {
    let server = Server::start([reply]).await;
    let (told, pauses) = asked(&server.url).await;
    assert_eq!((server.requests(), pauses), (1, vec![]));
    told
}

#[tokio::test]
async fn an_answer_streams_with_its_items_and_its_usage() {
    assert_eq!(answer(Reply::stream([STREAM])).await, expected());
}

#[tokio::test]
async fn it_makes_no_difference_where_the_stream_is_cut() {
    for size in [1, 2, 3, 7, 64] {
        assert_eq!(answer(Reply::stream(STREAM.as_bytes().chunks(size))).await, expected(), "{size}");
    }
}

#[tokio::test]
async fn carriage_returns_and_a_byte_order_mark_are_understood() {
    for end in ["\r\n", "\r"] {
        let text = format!("\u{feff}{}", STREAM.replace('\n', end));
        assert_eq!(answer(Reply::stream(text.as_bytes().chunks(5))).await, expected(), "{end:?}");
    }
}

#[tokio::test]
async fn the_request_is_ours_and_items_go_back_byte_for_byte() {
    let server = Server::start([Reply::stream([STREAM])]).await;
    let model = model(&format!("{}/", server.url), Arc::new(RecordingClock::default()));
    let mut input = vec![Item::from_json(r#"{"role":"user", "content":"Hello?"}"#.to_owned()).unwrap()];
    let events: Vec<_> = model.stream(asking(input.clone())).await.unwrap().collect().await;
    input.extend(events.into_iter().filter_map(|event| match event.unwrap() {
        ModelEvent::Item(item) => Some(item),
        _ => None,
    }));
    told(model.stream(asking(input).with_max_output_tokens(99)).await).await;

    let (head, body) = server.request(1);
    let head = head.to_lowercase();
    assert!(head.starts_with("post /v1/responses http/1.1\r\n"), "{head}");
    for line in [
        "authorization: bearer sk-the-key-of-the-test",
        "openai-organization: org-1",
        "openai-project: proj-1",
        "accept: text/event-stream",
        "content-type: application/json",
    ] {
        assert!(head.contains(&format!("\r\n{line}\r\n")), "{line} in {head}");
    }
    let expected = format!(
        r#"{{"model":"gpt-5.1","instructions":"You are brief.","input":[{{"role":"user", "content":"Hello?"}},{}],"max_output_tokens":99,"stream":true,"store":false,"include":["reasoning.encrypted_content"]}}"#,
        ITEMS.join(",")
    );
    assert_eq!(body, expected);
}

#[tokio::test]
async fn fields_that_mocks_and_gateways_leave_out_are_not_missed() {
    let chunks = [
        "event: response.output_text.delta\ndata: {\"delta\":\"Hi\"}\n\n",
        "data: {\"type\":\"response.output_item.done\",\"item\":{\"type\":\"message\"}}\n\n",
        "data: {\"type\":\"response.completed\"}\n\ndata: [DONE]\n\n",
    ];
    let expected = ["text: Hi", r#"item: {"type":"message"}"#, "Complete: 0 (0 cached), 0 (0 thought)"];
    assert_eq!(answer(Reply::stream(chunks)).await, expected);
    assert_eq!(answer(Reply::stream(chunks).with_header("content-type", "text/plain")).await, expected);
}

#[tokio::test]
async fn a_refusal_is_text() {
    let chunks = [
        "data: {\"type\":\"response.refusal.delta\",\"delta\":\"I cannot.\"}\n\n",
        "data: {\"type\":\"response.completed\",\"response\":{}}\n\n",
    ];
    assert_eq!(
        answer(Reply::stream(chunks)).await,
        ["text: I cannot.", "Complete: 0 (0 cached), 0 (0 thought)"]
    );
}

#[tokio::test]
async fn an_answer_without_room_and_one_that_is_filtered_are_done_and_say_so() {
    for (reason, finish) in [("max_output_tokens", "OutOfTokens"), ("content_filter", "Filtered")] {
        let end = format!(
            "data: {{\"type\":\"response.incomplete\",\"response\":{{\"status\":\"incomplete\",\"incomplete_details\":{{\"reason\":\"{reason}\"}},\"usage\":{{\"output_tokens\":3}}}}}}\n\n"
        );
        let text = "data: {\"type\":\"response.output_text.delta\",\"delta\":\"Once\"}\n\n";
        let expected = ["text: Once".to_owned(), format!("{finish}: 0 (0 cached), 3 (0 thought)")];
        assert_eq!(answer(Reply::stream([text, &end])).await, expected);
    }
}

#[tokio::test]
async fn nothing_is_given_after_the_end_even_if_the_server_goes_on() {
    let end = "data: {\"type\":\"response.completed\"}\n\n";
    let more = "data: {\"type\":\"response.output_text.delta\",\"delta\":\"more\"}\n\ndata: {";
    let expected = ["Complete: 0 (0 cached), 0 (0 thought)"];
    assert_eq!(answer(Reply::stream([format!("{end}{more}")])).await, expected);
    assert_eq!(answer(Reply::stream([end, more]).held()).await, expected);
    assert_eq!(answer(Reply::stream([end]).broken()).await, expected);
}

#[tokio::test]
async fn a_gateway_that_does_not_stream_gives_the_same_answer() {
    let body = r#"{"status":"completed","output":[{"type":"message","content":[{"type":"output_text","text":"Hi"}]}],"usage":{"input_tokens":1,"output_tokens":2}}"#;
    assert_eq!(
        answer(Reply::json(200, body)).await,
        [
            "text: Hi",
            r#"item: {"type":"message","content":[{"type":"output_text","text":"Hi"}]}"#,
            "Complete: 1 (0 cached), 2 (0 thought)"
        ]
    );
}
