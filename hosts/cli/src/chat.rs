//! `saas chat`: lines in, answers out, as they come.

mod frame;
mod local;
mod remote;

use saas_agents::{AgentName, ConversationKey};
use serde::Serialize;

use crate::{
    arguments::Chat,
    context::{Context, block_on, log, or_interrupted},
    failure::{Exit, Failure},
    input::Input,
    output::{self, Output},
    text::plain,
};
use frame::Frame;
use local::Local;
use remote::Remote;

/// What chats say that they are.
const USER_AGENT: &str = concat!("saas-cli/", env!("CARGO_PKG_VERSION"));

/// Who answers.
#[derive(Debug)]
enum Partner {
    /// The product in this process.
    Here(Box<Local>),
    /// A server.
    There(Box<Remote>),
}

/// What is asked.
#[derive(Debug)]
struct Question<'a> {
    message: &'a str,
    conversation: Option<ConversationKey>,
    agent: Option<AgentName>,
}

/// Where an answer goes while it comes.
#[derive(Debug)]
struct Listener {
    out: Output,
    /// Whether somebody reads along and wants to know who speaks.
    talking: bool,
    said: String,
}

/// What is written of one answer for programs.
#[derive(Serialize)]
struct Answered<'a> {
    message: &'a str,
    answer: &'a str,
    status: &'a str,
    code: Option<&'a str>,
    agent: &'a str,
    conversation_id: &'a str,
    run_id: &'a str,
}

pub(crate) fn run(context: &Context, arguments: Chat) -> Result<(), Failure> {
    block_on(async {
        let mut input = Input::new();
        let mut partner = or_interrupted(Box::pin(sign_in(context, &arguments, &mut input))).await?;
        let done = or_interrupted(converse(context, arguments, &mut input, &mut partner)).await;
        if done.is_err() {
            partner.cancel().await;
        }
        partner.close().await;
        done
    })
}

async fn sign_in(context: &Context, arguments: &Chat, input: &mut Input) -> Result<Partner, Failure> {
    if let Some(server) = &arguments.server {
        let remote = Remote::new(server)?;
        if remote.is_open_to_eavesdroppers() {
            output::say("saas: the connection is not encrypted: the password can be read on its way");
        }
        let password = input.password(arguments.password).await?;
        let ask = async || input.second_factor(arguments.password).await;
        let signed_in = remote.sign_in(&arguments.email, &password, arguments.tenant, ask).await?;
        return Ok(Partner::There(Box::new(signed_in)));
    }
    let settings = context.settings()?;
    log(&settings);
    let password = input.password(arguments.password).await?;
    let ask = async || input.second_factor(arguments.password).await;
    let local = Local::open(settings, arguments.email.clone(), password, arguments.tenant, ask).await?;
    Ok(Partner::Here(Box::new(local)))
}

async fn converse(
    context: &Context,
    arguments: Chat,
    input: &mut Input,
    partner: &mut Partner,
) -> Result<(), Failure> {
    let (out, talking) = (context.out(), input.is_terminal() && output::is_watched());
    let mut conversation = arguments.conversation;
    if talking {
        output::say("Ctrl-D ends the conversation.");
    }
    loop {
        if talking {
            output::raw("\nyou> ");
        }
        let Some(line) = input.line().await? else { break };
        if line.trim().is_empty() {
            continue;
        }
        let question = Question {
            message: line.trim(),
            conversation: conversation.clone(),
            agent: arguments.agent.clone(),
        };
        let mut listener = Listener { out, talking, said: String::new() };
        let end = match partner.ask(&question, &mut listener).await {
            Ok(end) => end,
            // Somebody who types may try again; a script must notice.
            Err(failure) if talking && failure.exit() != Exit::Ok => {
                out.failure(&failure);
                continue;
            }
            Err(failure) => return Err(failure),
        };
        conversation = ConversationKey::parse(&end.conversation_id).ok().or(conversation);
        listener.end(question.message, &end, talking)?;
    }
    if talking {
        output::raw("\n");
    }
    Ok(())
}

impl Partner {
    async fn ask(&mut self, question: &Question<'_>, listener: &mut Listener) -> Result<Frame, Failure> {
        match self {
            Self::Here(local) => local.ask(question, listener).await,
            Self::There(remote) => remote.ask(question, listener).await,
        }
    }

    /// Stops the answer that is coming, if one is.
    async fn cancel(&mut self) {
        match self {
            Self::Here(local) => local.cancel().await,
            Self::There(remote) => remote.cancel().await,
        }
    }

    /// Ends the session and whatever was started for it.
    async fn close(self) {
        match self {
            Self::Here(local) => local.close().await,
            Self::There(remote) => remote.close().await,
        }
    }
}

impl Listener {
    /// A bit of the answer.
    fn hear(&mut self, frame: &Frame) -> Result<(), Failure> {
        if frame.chunk.is_empty() {
            return Ok(());
        }
        if self.talking && self.said.is_empty() {
            output::raw(&format!("{}> ", plain(&frame.agent_used)));
        }
        self.said += &frame.chunk;
        if self.out.is_json() { Ok(()) } else { output::text(&plain(&frame.chunk)) }
    }

    /// The end of the answer.
    fn end(&self, message: &str, end: &Frame, talking: bool) -> Result<(), Failure> {
        let status = end.status.as_deref().unwrap_or("completed");
        if self.out.is_json() {
            output::line(&Answered {
                message,
                answer: &self.said,
                status,
                code: end.code.as_deref(),
                agent: &end.agent_used,
                conversation_id: &end.conversation_id,
                run_id: &end.run_id,
            })?;
        } else if !self.said.is_empty() {
            output::text("\n")?;
        }
        if status == "completed" {
            return Ok(());
        }
        let text = end.error.clone().unwrap_or_else(|| format!("the answer was {status}"));
        let code = end.code.clone().unwrap_or_else(|| format!("run_{status}"));
        let failure = Failure::new(Exit::Failed, code, text);
        if talking {
            self.out.failure(&failure);
            return Ok(());
        }
        Err(failure)
    }
}
