//! Agents as declarations: who answers, as what, with which model.

use std::{borrow::Cow, fmt};

use serde::Serialize;

/// An agent's name: lower-case letters, digits and `_`, 1 to 64 characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct AgentName(Cow<'static, str>);

/// A text that names no agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an agent's name holds 1 to 64 lower-case letters, digits and _")]
pub struct InvalidAgentName;

impl AgentName {
    /// The front door.
    pub const TRIAGE: Self = Self(Cow::Borrowed("triage"));

    /// Parses a name; whether there is such an agent, the catalogue says.
    pub fn parse(text: &str) -> Result<Self, InvalidAgentName> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if (1..=64).contains(&text.len()) && text.chars().all(plain) {
            Ok(Self(Cow::Owned(text.to_owned())))
        } else {
            Err(InvalidAgentName)
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AgentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which of the configured models an agent asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ModelSlot {
    /// The triage model.
    Triage,
    /// The model for code.
    Code,
    /// The model for data.
    Data,
}

/// An agent, declared.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AgentSpec {
    /// Its name.
    pub name: AgentName,
    /// Its name for people.
    pub title: Cow<'static, str>,
    /// What it is for, in a sentence.
    pub description: Cow<'static, str>,
    /// What the model is told to be.
    pub instructions: Cow<'static, str>,
    /// Which model it asks.
    pub model: ModelSlot,
}

/// The agents that a deployment has.
#[derive(Debug, Clone)]
pub struct Catalogue(Vec<AgentSpec>);

impl Catalogue {
    /// The three that come with the product.
    pub fn bundled() -> Self {
        Self(vec![
            AgentSpec {
                name: AgentName::TRIAGE,
                title: Cow::Borrowed("Triage Assistant"),
                description: Cow::Borrowed("Answers general questions and is the front door to the others."),
                instructions: Cow::Borrowed(
                    "You are the first person that a customer talks to. Answer what you can, briefly and correctly. Say so when you do \
                     not know something, and ask one question when a request can be understood in two ways.",
                ),
                model: ModelSlot::Triage,
            },
            AgentSpec {
                name: AgentName(Cow::Borrowed("code_assistant")),
                title: Cow::Borrowed("Code Assistant"),
                description: Cow::Borrowed("Helps with software: design, code, tests, reviews."),
                instructions: Cow::Borrowed(
                    "You are an experienced software engineer. Prefer the simplest thing that works, show code that runs, name the \
                     trade-offs, and point out what could go wrong in production.",
                ),
                model: ModelSlot::Code,
            },
            AgentSpec {
                name: AgentName(Cow::Borrowed("data_analyst")),
                title: Cow::Borrowed("Data Analyst"),
                description: Cow::Borrowed(
                    "Reads numbers: statistics, interpretation, sanity checks, charts.",
                ),
                instructions: Cow::Borrowed(
                    "You are a careful data analyst. Question where the data comes from, check orders of magnitude, separate what the \
                     numbers show from what one would like them to show, and suggest the chart that shows it.",
                ),
                model: ModelSlot::Data,
            },
        ])
    }

    /// The agent called `name`.
    pub fn get(&self, name: &AgentName) -> Option<&AgentSpec> {
        self.0.iter().find(|spec| spec.name == *name)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &AgentSpec> {
        self.0.iter()
    }
}
