//! Chat with agents: models behind a port, runs that outlive their clients, conversations that are kept.
//!
//! [`Agents`] is the one door. A message becomes a [`Run`] and leaves a [`RunJob`] behind, so that it is worked on whether its caller
//! stays or not; what the model says goes to an event log, where any number of followers read it from any point on; the answer is
//! stored before the terminal event is seen. It serves no HTTP and starts no task.
//!
//! ```
//! use saas_agents::{Catalogue, ConversationKey, StartRun};
//!
//! let question = StartRun::new("What is 6 * 7?").in_conversation(Some(ConversationKey::parse("homework")?));
//! assert_eq!(Catalogue::bundled().iter().count(), 3);
//! # let _ = question;
//! # Ok::<(), saas_core::InvalidText>(())
//! ```

mod agent;
mod agents;
pub mod audited;
#[cfg(feature = "conformance")]
pub mod conformance;
mod conversation;
mod frame;
mod item;
mod limited;
mod model;
mod run;
mod scripted;

pub use agent::{AgentName, AgentSpec, Catalogue, InvalidAgentName, ModelSlot};
pub use agents::{
    Agents, AgentsConfig, AgentsError, AgentsPorts, ConversationPage, ExecuteError, Models, RunEvent,
    RunEvents, RunJob, StartRun, Transcript,
};
pub use conversation::{
    Conversation, ConversationId, ConversationKey, ConversationStore, ConversationTitle, MemoryPlace,
    Message, NewMessage, Speaker,
};
pub use item::Item;
pub use model::{ChatModel, Finish, ModelError, ModelEvent, ModelName, ModelRequest, ModelStream, Usage};
pub use run::{IdempotencyKey, Outcome, Run, RunId, RunStatus, RunStore};
pub use scripted::ScriptedModel;
