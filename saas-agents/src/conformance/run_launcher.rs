//! The contract of [`RunLauncher`](crate::RunLauncher).

use std::{any::Any, sync::Arc};

use async_trait::async_trait;
use futures_util::{
    StreamExt,
    future::{Either, select},
    pin_mut, stream,
};
use saas_core::{Actor, Clock, clock::within, conformance::at_once};
use tokio::sync::watch;

use super::LIMIT;
use crate::{
    Agents, ChatModel, ConversationKey, Finish, IdempotencyKey, Item, ModelError, ModelEvent, ModelRequest,
    ModelStream, Run, RunStatus, StartRun, Usage,
};

saas_core::conformance_suite! {
    ($)
    /// Tests a [`RunLauncher`](crate::RunLauncher): takes the path of an `async fn() -> RunLauncherSubject`, makes a test of each line of
    /// its contract.
    run_launcher_conformance, saas_agents, run_launcher, RunLauncherSubject,
    [
        every_run_that_is_launched_is_executed,
        launching_does_not_wait_for_the_run,
        a_run_goes_on_when_its_caller_is_gone,
    ]
}

/// A model that says nothing before the check lets it: to be the model of the agents that the launcher launches for.
#[derive(Debug, Clone)]
pub struct PatientModel {
    asked: Arc<watch::Sender<usize>>,
    may_answer: Arc<watch::Sender<bool>>,
}

impl Default for PatientModel {
    fn default() -> Self {
        Self { asked: Arc::new(watch::Sender::new(0)), may_answer: Arc::new(watch::Sender::new(false)) }
    }
}

const ANSWER: &str = "Here you are.";

#[async_trait]
impl ChatModel for PatientModel {
    async fn stream(&self, _: ModelRequest) -> Result<ModelStream, ModelError> {
        self.asked.send_modify(|asked| *asked += 1);
        // The sender lives in `self`, which outlives this future: waiting cannot fail.
        let _ = self.may_answer.subscribe().wait_for(|may| *may).await;
        let done = ModelEvent::Done { finish: Finish::Complete, usage: Usage::default() };
        let answer = [ModelEvent::Text(ANSWER.to_owned()), ModelEvent::Item(Item::assistant(ANSWER)), done];
        Ok(stream::iter(answer.map(Ok)).boxed())
    }
}

/// Agents over the launcher, with what executes its runs at work, and somebody who may talk to them.
#[derive(Debug)]
pub struct RunLauncherSubject {
    agents: Agents,
    actor: Actor,
    model: PatientModel,
    clock: Arc<dyn Clock>,
    _kept: Box<dyn Any + Send>,
}

impl RunLauncherSubject {
    /// The agents, whose model is `model`; an actor who may read and write conversations; and a clock that really passes: nothing is
    /// waited for in vain. `kept` is dropped after the test.
    pub fn new(
        agents: Agents,
        actor: Actor,
        model: PatientModel,
        clock: Arc<dyn Clock>,
        kept: impl Any + Send,
    ) -> Self {
        Self { agents, actor, model, clock, _kept: Box::new(kept) }
    }

    /// Asks in a conversation of that number; asked again, it gives the same run and launches nothing.
    async fn start(&self, number: usize) -> Run {
        let question = StartRun::new("May I?")
            .in_conversation(Some(ConversationKey::parse(&format!("conversation {number}")).unwrap()))
            .with_idempotency_key(Some(IdempotencyKey::parse(&format!("key {number}")).unwrap()));
        self.agents.start(&self.actor, question).await.unwrap()
    }

    fn let_answer(&self) {
        self.model.may_answer.send_replace(true);
    }

    /// Waits until it is over, and it has to have answered.
    async fn assert_answers(&self, run: &Run) {
        let ended = async {
            let mut events = self.agents.follow(&self.actor, run.id, 0).await.unwrap();
            while events.next().await.unwrap().is_some() {}
        };
        within(&*self.clock, LIMIT, ended).await.expect("the run ends");
        let run = self.agents.run(&self.actor, run.id).await.unwrap();
        assert_eq!((run.status, run.answer.as_str()), (RunStatus::Completed, ANSWER));
    }
}

async fn every_run_that_is_launched_is_executed(subject: RunLauncherSubject) {
    subject.let_answer();
    for run in at_once(8, |number| subject.start(number)).await {
        subject.assert_answers(&run).await;
    }
}

async fn launching_does_not_wait_for_the_run(subject: RunLauncherSubject) {
    let run = within(&*subject.clock, LIMIT, subject.start(1)).await.expect("it is launched before it ends");
    assert!(!run.status.is_final());
    subject.let_answer();
    subject.assert_answers(&run).await;
}

async fn a_run_goes_on_when_its_caller_is_gone(subject: RunLauncherSubject) {
    {
        let mut asked = subject.model.asked.subscribe();
        let begun = async {
            let begun = within(&*subject.clock, LIMIT, asked.wait_for(|asked| *asked > 0)).await;
            drop(begun.expect("the run begins"));
        };
        let caller = subject.start(1);
        pin_mut!(caller, begun);
        // Whichever is first: the caller goes while the model still thinks.
        if let Either::Left((_, begun)) = select(caller, begun).await {
            begun.await;
        }
    }
    subject.let_answer();
    let run = subject.start(1).await;
    subject.assert_answers(&run).await;
}
