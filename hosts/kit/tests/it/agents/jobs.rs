//! Runs as jobs: each has one from its turn until its end, and is begun once.

use std::collections::BTreeSet;

use saas_agents::{RunJob, RunStatus};
use saas_core::{
    Reach, Storage,
    jobs::{Job, JobFilter, JobState, StoredJob},
};

use super::stage::{Chat, ask};

/// The runs' jobs that there are.
async fn jobs(chat: &Chat) -> Vec<StoredJob> {
    let mut conn = chat.saas().storage().read(Reach::Platform("test")).await.unwrap();
    let filter = JobFilter { state: None, kind: Some(RunJob::KIND.to_owned()) };
    chat.saas().jobs().store().list(&mut conn, &filter, None, 100).await.unwrap()
}

on_both_engines! {
    async fn a_run_has_its_job_from_its_turn_to_its_end(engine: TestEngine) {
        let mut chat = Chat::start(engine).await;
        let (first, call, _) = chat.begun("one", "").await;
        let second = chat.ask("two").await;
        let [job]: [StoredJob; 1] = jobs(&chat).await.try_into().expect("what waits behind another has none");
        assert_eq!((job.state, job.attempt, job.max_attempts), (JobState::Running, 1, 1));
        assert_eq!((job.tenant, job.unique_key.as_deref()), (Some(first.tenant), Some(first.id.to_string().as_str())));
        assert_eq!(RunJob::read(job.version, &job.payload).unwrap(), RunJob { run: first.id });

        call.answer("1");
        chat.ended(&first).await;
        let call = chat.call().await;
        let [job]: [StoredJob; 1] = jobs(&chat).await.try_into().expect("the next one's turn has come");
        assert_eq!(job.unique_key, Some(second.id.to_string()));
        call.answer("2");
        chat.ended(&second).await;
        assert_eq!(jobs(&chat).await, [], "what is over needs none");
    }

    async fn the_job_of_a_run_that_is_cancelled_before_its_turn_goes_and_the_next_ones_comes(engine: TestEngine) {
        let mut chat = Chat::start(engine).await;
        chat.take_workers().stop().await;
        let (first, second, third) = (chat.ask("one").await, chat.ask("two").await, chat.ask("three").await);
        for (run, left) in [(&second, vec![first.id]), (&first, vec![first.id, third.id])] {
            chat.saas().agents().cancel(&chat.ada, run.id).await.unwrap();
            let keys: BTreeSet<_> = jobs(&chat).await.into_iter().filter_map(|job| job.unique_key).collect();
            assert_eq!(keys, left.iter().map(ToString::to_string).collect());
        }
        chat.replace_server(2).await;
        let call = super::stage::while_time_passes(&chat.test.clock.clone(), chat.call()).await;
        assert_eq!(call.asked(), ["user: three"]);
        call.answer("3");
        assert_eq!(chat.ended(&third).await.status, RunStatus::Completed);
        assert_eq!(jobs(&chat).await, []);
    }

    async fn a_job_that_this_release_cannot_read_stays_for_an_operator(engine: TestEngine) {
        let chat = Chat::start(engine).await;
        let run = "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap();
        let mut job = chat.saas().jobs().prepare(&RunJob { run }).unwrap();
        job.version = 99;
        let mut tx = chat.test.begin().await;
        assert!(chat.saas().jobs().insert(&mut tx, &job).await.unwrap());
        tx.commit().await.unwrap();
        let dead = loop {
            let [job]: [StoredJob; 1] = jobs(&chat).await.try_into().expect("it is not removed");
            if job.state == JobState::Dead {
                break job;
            }
            tokio::task::yield_now().await;
        };
        assert_eq!(dead.error.as_deref(), Some("its payload is of version 99, which this release does not read"));
    }

    async fn a_drain_does_what_was_asked_and_what_waits_behind_it(engine: TestEngine) {
        let mut chat = Chat::start(engine).await;
        chat.take_workers().stop().await;
        // A server that serves nobody: what its runs need of workers, the drain does.
        let drained = chat.replica(2).await;
        let mut runs = Vec::new();
        for (conversation, text) in [("c", "one"), ("c", "two"), ("d", "hello")] {
            runs.push(ask(&drained, &chat.ada, conversation, text).await);
        }
        let saas = drained.clone();
        let drain = tokio::spawn(async move { saas.drain_jobs().await.unwrap() });
        for _ in 0..runs.len() {
            chat.call().await.answer("Good day.");
        }
        // And the welcome of her registration, if nobody had sent it.
        assert!((3..=4).contains(&drain.await.unwrap()));
        for run in &runs {
            assert_eq!(chat.run(run.id).await.status, RunStatus::Completed);
        }
        assert_eq!(drained.drain_jobs().await.unwrap(), 0);
        assert_eq!(jobs(&chat).await, []);
    }
}

#[test]
fn a_payload_is_an_id() {
    let job = RunJob { run: "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap() };
    insta::assert_snapshot!(serde_json::to_string(&job).unwrap(), @r#"{"run":"01890a5d-ac96-774b-bcce-b302099a8057"}"#);
}
