//! No answer is longer than the log keeps.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{StreamExt, future};

use crate::{ChatModel, ModelError, ModelEvent, ModelRequest, ModelStream};

/// A model whose answers end as [`ModelError::Truncated`] when they come in more bits of text than `texts`.
///
/// Each bit is at most one event of the run: so what a run says stays within a bound that is known beforehand.
#[derive(Debug)]
pub(crate) struct Limited {
    pub(crate) model: Arc<dyn ChatModel>,
    pub(crate) texts: u32,
}

#[async_trait]
impl ChatModel for Limited {
    async fn stream(&self, request: ModelRequest) -> Result<ModelStream, ModelError> {
        let answer = self.model.stream(request).await?;
        let limited = answer.scan(Some(self.texts), |left, event| {
            let Some(texts) = *left else { return future::ready(None) };
            if !matches!(event, Ok(ModelEvent::Text(_))) {
                return future::ready(Some(event));
            }
            *left = texts.checked_sub(1);
            future::ready(Some(if left.is_some() { event } else { Err(ModelError::Truncated) }))
        });
        Ok(limited.boxed())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;
    use crate::{Finish, Item, ModelName, Usage};

    /// Says so many words.
    #[derive(Debug)]
    struct Words(usize);

    #[async_trait]
    impl ChatModel for Words {
        async fn stream(&self, _: ModelRequest) -> Result<ModelStream, ModelError> {
            let words = (0..self.0).map(|_| Ok(ModelEvent::Text("word ".to_owned())));
            let end = [
                Ok(ModelEvent::Item(Item::assistant("all of it"))),
                Ok(ModelEvent::Done { finish: Finish::Complete, usage: Usage::default() }),
            ];
            Ok(stream::iter(words.chain(end).collect::<Vec<_>>()).boxed())
        }
    }

    /// How many words come, how many events come in all, and whether they end well.
    async fn said(words: usize) -> (usize, usize, bool) {
        let model = Limited { model: Arc::new(Words(words)), texts: 3 };
        let request = ModelRequest::new(ModelName::new("words"), "You talk.", Vec::new());
        let events: Vec<_> = model.stream(request).await.unwrap_or_else(|e| panic!("{e}")).collect().await;
        let texts = events.iter().filter(|event| matches!(event, Ok(ModelEvent::Text(_)))).count();
        match events.last() {
            Some(Ok(ModelEvent::Done { .. })) => (texts, events.len(), true),
            Some(Err(ModelError::Truncated)) => (texts, events.len(), false),
            other => panic!("an answer ends: {other:?}"),
        }
    }

    #[tokio::test]
    async fn an_answer_within_the_limit_passes_whole_and_a_longer_one_is_cut_off_once() {
        assert_eq!(said(0).await, (0, 2, true));
        assert_eq!(said(3).await, (3, 5, true));
        assert_eq!(said(4).await, (3, 4, false));
        assert_eq!(said(90).await, (3, 4, false));
    }
}
