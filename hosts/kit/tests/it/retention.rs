//! How long rows live.

use std::{collections::BTreeSet, time::Duration};

use saas_agents::StartRun;
use saas_core::{
    Reach, Storage,
    jobs::{Job, JobStore, NewJob},
};
use saas_kit::{retention, testing::TestSaas};
use saas_sql::{Keep, SqlJobs, execute, fetch_one};
use serde::{Deserialize, Serialize};

const REACH: Reach = Reach::Platform("test");
const DAY: Duration = Duration::from_hours(24);

#[derive(Debug, Serialize, Deserialize)]
struct Nothing {}

impl Job for Nothing {
    const KIND: &'static str = "test.nothing";
}

async fn count(test: &TestSaas, query: &'static str) -> i64 {
    let mut conn = test.saas.storage().read(REACH).await.unwrap();
    let (count,): (i64,) = fetch_one!(&mut conn, (i64,), query).unwrap();
    count
}

on_both_engines! {
    async fn every_table_says_how_long_its_rows_live(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let tables: BTreeSet<String> = test.saas.storage().schema().await.unwrap().tables.into_keys().collect();
        let said: Vec<String> = retention().map(|retention| retention.table.to_owned()).collect();
        assert_eq!(said.iter().cloned().collect::<BTreeSet<_>>(), tables, "a table without a word, or a word without a table");
        assert_eq!(said.len(), tables.len(), "a table says it once");
    }

    async fn each_hour_what_has_lived_long_enough_goes_and_the_rest_stays(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let ada = test.register("ada@example.com").await.tokens;
        let ended = test.sign_in("ada@example.com").await.unwrap();
        let actor = test.actor(&ended).await;
        test.saas.auth().revoke_session(&actor, ended.session).await.unwrap();
        let mut tx = test.begin().await;
        let job = test.saas.jobs().prepare(&Nothing {}).unwrap();
        SqlJobs.insert(&mut tx, &job).await.unwrap();
        execute!(tx.conn(), "UPDATE saas_jobs SET state = 'dead' WHERE kind = 'test.nothing'").unwrap();
        tx.commit().await.unwrap();

        test.clock.advance(29 * DAY);
        assert!(test.refresh(&ada.refresh_token).await.is_ok());
        let left = async || {
            [
                count(&test, "SELECT COUNT(*) FROM saas_sessions").await,
                count(&test, "SELECT COUNT(*) FROM saas_jobs WHERE kind = 'test.nothing'").await,
            ]
        };
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(left().await, [2, 1], "nothing is thirty days old");
        test.clock.advance(DAY + Duration::from_secs(1));
        while left().await != [1, 0] {
            test.clock.advance(Duration::from_mins(1));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(test.family(ada.session).await.session.revoked_at.is_none(), "the live one stays");
    }

    async fn each_hour_the_events_of_runs_that_are_over_for_long_go(engine: TestEngine) {
        let test = TestSaas::with_settings(engine, [("RETENTION_RUN_EVENTS_DAYS", "2")]).await;
        let actor = test.actor(&test.register("ada@example.com").await.tokens).await;
        let run = test.saas.agents().start(&actor, StartRun::new("What is 6 * 7?")).await.unwrap();
        let mut events = test.saas.agents().follow(&actor, run.id, 0).await.unwrap();
        while events.next().await.unwrap().is_some() {}
        test.clock.advance(2 * DAY);
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_ne!(count(&test, "SELECT COUNT(*) FROM saas_events").await, 0, "nothing is older than two days");
        test.clock.advance(Duration::from_secs(1));
        while count(&test, "SELECT COUNT(*) FROM saas_events").await != 0 {
            test.clock.advance(Duration::from_mins(1));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(count(&test, "SELECT COUNT(*) FROM saas_event_trims").await, 1);
    }

    async fn a_purge_takes_all_that_is_old_in_small_transactions(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        test.workers.stop().await;
        let mut tx = test.saas.storage().begin(REACH).await.unwrap();
        for _ in 0..1_201 {
            let job: NewJob = test.saas.jobs().prepare(&Nothing {}).unwrap();
            SqlJobs.insert(&mut tx, &job).await.unwrap();
        }
        execute!(tx.conn(), "UPDATE saas_jobs SET state = 'dead'").unwrap();
        tx.commit().await.unwrap();
        let dead = retention().find_map(|retention| match &retention.keep {
            Keep::Until(purge) if purge.what == "dead_jobs" => Some(*purge),
            _ => None,
        });
        let (storage, now) = (test.saas.storage(), test.saas.clock().now());
        assert_eq!(storage.purge(&dead.unwrap(), now).await.unwrap(), 0);
        assert_eq!(storage.purge(&dead.unwrap(), now + Duration::from_secs(1)).await.unwrap(), 1_201);
    }
}
