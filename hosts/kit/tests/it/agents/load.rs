//! Many at once.

use std::{sync::Arc, time::Duration};

use saas_agents::{RunStatus, ScriptedModel, StartRun};
use saas_core::clock::ManualClock;
use saas_kit::testing::{TestSaas, at_once};

use super::stage::{assert_whole, rest, said};

const RUNS: usize = 500;

on_both_engines! {
    async fn five_hundred_runs_at_once_all_complete_and_are_followed_in_order(engine: TestEngine) {
        // They all want the database at one moment: nobody may give up.
        let settings = [("SQLITE_SYNCHRONOUS", "normal"), ("DATABASE_WRITE_TIMEOUT", "60"), ("DATABASE_POOL_TIMEOUT", "60")];
        let model = ScriptedModel::new(Arc::new(ManualClock::default())).with_pace(Duration::ZERO);
        let test = TestSaas::with_ports(engine, settings, |builder| builder.chat_model(Arc::new(model))).await;
        let tokens = test.register("ada@example.com").await.tokens;
        let ada = test.actor(&tokens).await;
        let agents = test.saas.agents().clone();
        let answers = at_once(RUNS, |number| {
            let (agents, ada) = (agents.clone(), ada.clone());
            async move {
                let question = StartRun::new(format!("What is {number} * 2?"));
                let run = agents.start(&ada, question).await.expect("there is room for all");
                let frames = rest(agents.follow(&ada, run.id, 0).await.expect("it is her run")).await;
                assert_whole(&frames);
                let run = agents.run(&ada, run.id).await.expect("it is her run");
                assert_eq!((run.status, run.answer.as_str()), (RunStatus::Completed, &*said(&frames)));
                run.answer
            }
        })
        .await;
        for (number, answer) in answers.into_iter().enumerate() {
            assert!(answer.starts_with(&format!("That makes {}.", 2 * number)), "{answer}");
        }
    }
}
