//! A model without a network: it answers sensibly, deterministically, and at the pace at which one reads.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use saas_core::Clock;

use crate::{ChatModel, Finish, Item, ModelError, ModelEvent, ModelRequest, ModelStream, Usage};

/// The embedded [`ChatModel`]. The same conversation always gets the same answer, so it serves demos and tests alike.
#[derive(Debug, Clone)]
pub struct ScriptedModel {
    clock: Arc<dyn Clock>,
    pace: Duration,
}

impl ScriptedModel {
    /// One that says a word every 60 milliseconds.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, pace: Duration::from_millis(60) }
    }

    /// With another time between words; zero says all at once.
    #[must_use]
    pub fn with_pace(mut self, pace: Duration) -> Self {
        self.pace = pace;
        self
    }
}

#[async_trait]
impl ChatModel for ScriptedModel {
    async fn stream(&self, request: ModelRequest) -> Result<ModelStream, ModelError> {
        let answer = answer(&request);
        let most = request.max_output_tokens.map_or(usize::MAX, |tokens| tokens as usize);
        let words: Vec<String> = answer.split_inclusive(' ').take(most).map(str::to_owned).collect();
        let finish = if words.len() < answer.split_inclusive(' ').count() {
            Finish::OutOfTokens
        } else {
            Finish::Complete
        };
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        let input = count(request.input.iter().map(Item::rough_tokens).sum());
        let usage = Usage { input, output: count(words.len()), ..Usage::default() };
        let end =
            [Ok(ModelEvent::Item(Item::assistant(&words.concat()))), Ok(ModelEvent::Done { finish, usage })];
        let (clock, pace) = (Arc::clone(&self.clock), self.pace);
        let said = stream::iter(words).then(move |word| {
            let clock = Arc::clone(&clock);
            async move {
                if !pace.is_zero() {
                    clock.sleep(pace).await;
                }
                Ok(ModelEvent::Text(word))
            }
        });
        Ok(said.chain(stream::iter(end)).boxed())
    }
}

/// What it says: by the role that the instructions give it, about what the user asked, in the light of what was said before.
fn answer(request: &ModelRequest) -> String {
    let asked: Vec<String> =
        request.input.iter().filter(|item| item.is_user()).filter_map(Item::text).collect();
    let question = asked.last().map(|text| text.trim()).unwrap_or_default();
    let opening = match asked.len() {
        0 | 1 => String::new(),
        n => format!("This is your message number {n}; before it you said \"{}\". ", quoted(&asked[n - 2])),
    };
    let body = reply(question, &request.instructions);
    format!("{opening}{body} I am the scripted model: set OPENAI_API_KEY to talk to a real one.")
}

fn reply(question: &str, instructions: &str) -> String {
    let lower = question.to_lowercase();
    let word = |wanted: &str| lower.split(|c: char| !c.is_alphanumeric()).any(|word| word == wanted);
    if question.is_empty() {
        return "You sent an empty message, so there is nothing to answer yet.".to_owned();
    }
    if ["hello", "hi", "hey"].into_iter().any(word) {
        return "Hello! Ask me something, and I will stream the answer word by word.".to_owned();
    }
    if let Some(result) = arithmetic(question) {
        return format!("That makes {result}.");
    }
    let role = if instructions.contains("software") {
        "Looking at it as a software engineer, I would first write a small test that shows it, and then change one thing at a time."
    } else if instructions.contains("data") {
        "Looking at it as a data analyst, I would first check how many rows there are and what is missing, and then plot them."
    } else {
        "I would begin by saying what a good outcome looks like, and then take the smallest step towards it."
    };
    format!("You asked about \"{}\". {role}", quoted(question))
}

/// At most 80 characters of what somebody said, on one line.
fn quoted(text: &str) -> String {
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let short: String = line.chars().take(80).collect();
    if short.len() < line.len() { format!("{short}…") } else { short }
}

/// The result of `a + b`, `a - b`, `a * b` or `a / b` in whole numbers, if that is in the text.
fn arithmetic(text: &str) -> Option<i64> {
    let spaced: String =
        text.chars().flat_map(|c| if "+*/".contains(c) { vec![' ', c, ' '] } else { vec![c] }).collect();
    let words: Vec<&str> =
        spaced.split_whitespace().map(|word| word.trim_end_matches(['?', '.', '='])).collect();
    words.windows(3).find_map(|three| {
        let (a, b): (i64, i64) = (three[0].parse().ok()?, three[2].parse().ok()?);
        match three[1] {
            "+" | "plus" => a.checked_add(b),
            "-" | "minus" => a.checked_sub(b),
            "*" | "x" | "times" => a.checked_mul(b),
            "/" => a.checked_div(b),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use saas_core::clock::ManualClock;

    use super::*;
    use crate::ModelName;

    async fn said(input: Vec<Item>) -> String {
        let model = ScriptedModel::new(Arc::new(ManualClock::default())).with_pace(Duration::ZERO);
        let request = ModelRequest::new(ModelName::new("scripted"), "You help.", input);
        let events: Vec<_> = model.stream(request).await.unwrap_or_else(|e| panic!("{e}")).collect().await;
        let text = |event: &Result<ModelEvent, ModelError>| match event {
            Ok(ModelEvent::Text(text)) => text.clone(),
            _ => String::new(),
        };
        assert!(matches!(events.last(), Some(Ok(ModelEvent::Done { .. }))));
        events.iter().map(text).collect()
    }

    #[tokio::test]
    async fn the_same_conversation_gets_the_same_answer() {
        let ask = || vec![Item::user("What is 6 * 7?")];
        let answer = said(ask()).await;
        assert!(answer.starts_with("That makes 42."), "{answer}");
        assert_eq!(answer, said(ask()).await);
    }

    #[tokio::test]
    async fn it_remembers_what_was_said_before() {
        let input = vec![Item::user("My name is Ada"), Item::assistant("Fine."), Item::user("Who am I?")];
        assert!(said(input).await.contains("before it you said \"My name is Ada\""));
    }
}
