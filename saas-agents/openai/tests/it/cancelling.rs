//! Answers that stop coming.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt;
use saas_agents::ChatModel;
use saas_core::clock::ManualClock;

use crate::{
    server::{Reply, Server},
    support::{IDLE, line, model, request},
};

const TEXT: &str = "data: {\"type\":\"response.output_text.delta\",\"delta\":\"Once\"}\n\n";

#[tokio::test]
async fn an_answer_that_stops_coming_is_given_up() {
    let server = Server::start([Reply::stream([TEXT]).held()]).await;
    let clock = Arc::new(ManualClock::default());
    let model = model(&server.url, Arc::<ManualClock>::clone(&clock));
    let mut stream = model.stream(request("Hello?")).await.unwrap();
    assert_eq!(line(&stream.next().await.unwrap()), "text: Once");
    let rest = tokio::spawn(async move { stream.map(|event| line(&event)).collect::<Vec<_>>().await });
    while !rest.is_finished() {
        clock.advance(IDLE);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(rest.await.unwrap(), ["broken: Unavailable"]);
    server.client_left().await;
    assert_eq!(server.requests(), 1);
}
