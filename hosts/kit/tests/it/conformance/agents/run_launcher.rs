//! `RunLauncher`: the kit's, into its workers.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use saas_agents::{
    Agents, AgentsConfig, AgentsPorts, ModelName, Models, RunId, RunLauncher, RunOwner,
    conformance::run_launcher::{LINES, PatientModel, RunLauncherSubject as Subject, check},
};
use saas_agents_sql::{SqlConversations, SqlRuns};
use saas_core::{Actor, Clock, entropy::SeededEntropy};
use saas_kit::{
    SystemClock,
    testing::{TestEngine, TestSaas},
};
use saas_sql::SqlEventLog;

use crate::conformance::{broken::assert_noticed, on_each_engine, shared};

async fn subject(engine: TestEngine) -> Subject {
    let (test, ada, model) = start(engine).await;
    Subject::new(test.saas.agents().clone(), ada, model, Arc::new(SystemClock::default()), test)
}

on_each_engine!(saas_agents::run_launcher_conformance);

/// The product, and somebody who may talk to the model.
async fn start(engine: TestEngine) -> (TestSaas, Actor, PatientModel) {
    let model = PatientModel::default();
    let port = Arc::new(model.clone());
    let test = TestSaas::with_ports(engine, [], |builder| builder.chat_model(port)).await;
    let tokens = test.register("ada@example.com").await.tokens;
    let ada = test.actor(&tokens).await;
    (test, ada, model)
}

/// Executes each run on a task of its own, but for one line of the contract.
#[derive(Debug, Default)]
struct Broken {
    line: &'static str,
    launched: AtomicUsize,
    agents: OnceLock<Agents>,
}

#[async_trait]
impl RunLauncher for Broken {
    async fn launch(&self, run: RunId) {
        let agents = self.agents.get().expect("the agents are there before their runs").clone();
        let work = async move { agents.execute(run, &RunOwner::new("the test")).await };
        let launched = self.launched.fetch_add(1, Ordering::SeqCst);
        match self.line {
            "every_run_that_is_launched_is_executed" if launched == 4 => {}
            "launching_does_not_wait_for_the_run" | "a_run_goes_on_when_its_caller_is_gone" => work.await,
            _ => drop(tokio::spawn(work)),
        }
    }
}

/// Agents over that launcher.
async fn broken(line: &'static str) -> Subject {
    let (test, ada, model) = start(TestEngine::Sqlite).await;
    // Its workers are not to find what the launcher loses.
    let TestSaas { saas, workers, clock, database, mail: _, .. } = test;
    drop(workers);
    let (log, background) = SqlEventLog::new(saas.storage().clone(), clock.clone());
    tokio::spawn(background.future);
    let launcher = Arc::new(Broken { line, ..Broken::default() });
    let ports = AgentsPorts {
        storage: shared(saas.storage()),
        conversations: Arc::new(SqlConversations),
        runs: Arc::new(SqlRuns),
        audit: saas.audit().clone(),
        events: Arc::new(log),
        model: Arc::new(model.clone()),
        launcher: Arc::<Broken>::clone(&launcher),
        clock,
        entropy: Arc::new(SeededEntropy::new(99)),
    };
    let agents = Agents::new(ports, AgentsConfig::new(Models::all(&ModelName::new("patient"))));
    launcher.agents.set(agents.clone()).expect("they are set once");
    Subject::new(agents, ada, model, Arc::new(Hurried(SystemClock::default())), (saas, database))
}

/// A clock that has no patience with what does not come.
#[derive(Debug)]
struct Hurried(SystemClock);

#[async_trait]
impl Clock for Hurried {
    fn now(&self) -> DateTime<Utc> {
        self.0.now()
    }

    fn monotonic(&self) -> Duration {
        self.0.monotonic()
    }

    async fn sleep(&self, duration: Duration) {
        self.0.sleep(duration / 10).await;
    }
}

#[tokio::test]
async fn a_launcher_that_breaks_a_line_is_noticed() {
    for line in LINES {
        assert_noticed(line, check(line, broken(line).await)).await;
    }
}
