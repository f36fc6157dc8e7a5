//! Refused sign-ins of nobody's have an age; the chain that they are in is verified from where it was purged.

use std::time::Duration;

use saas_core::{
    Clock,
    audit::{Chain, PurgeError},
    clock::stored_now,
};
use saas_kit::testing::TestSaas;
use saas_sql::execute;

use super::{findings, of, operator, rows, verify};

const DAY: Duration = Duration::from_hours(24);

/// So many guesses at accounts that are not there, sealed.
async fn guess(test: &TestSaas, count: usize) {
    for _ in 0..count {
        test.sign_in("nobody@example.com").await.unwrap_err();
    }
    test.saas.audit().seal().await.unwrap();
    // What sealing itself recorded is sealed, too.
    test.saas.audit().seal().await.unwrap();
}

async fn left(test: &TestSaas) -> usize {
    rows(&test.saas, &of(Chain::Passing)).await.len()
}

on_both_engines! {
    async fn what_is_nobodys_is_purged_by_its_age_and_the_rest_is_verified_from_there(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let platform = rows(&test.saas, &of(Chain::Platform)).await.len();
        guess(&test, 3).await;
        assert_eq!(left(&test).await, 3);
        assert_eq!(rows(&test.saas, &of(Chain::Platform)).await.len(), platform + 1, "that the chain was begun");
        let gone = rows(&test.saas, &of(Chain::Passing)).await[2].seal.clone().unwrap();
        test.clock.advance(DAY);
        guess(&test, 2).await;
        let audit = test.saas.audit();
        let before = stored_now(&*test.clock) - DAY / 2;
        assert_eq!(audit.purge_passing(&operator(), before).await.unwrap(), 3);
        assert_eq!(audit.purge_passing(&operator(), before).await.unwrap(), 0, "once");
        let rest = rows(&test.saas, &of(Chain::Passing)).await;
        assert_eq!(rest[0].seal.as_ref().unwrap().previous_hash, gone.hash);
        let head = audit.head(&operator(), Chain::Passing).await.unwrap().unwrap();
        assert_eq!((head.count, head.purged_count, head.purged_hash), (5, 3, gone.hash));
        let (verified, found) = verify(&test.saas).await;
        assert_eq!((found.len(), verified.purged, rest.len()), (0, 3, 2));
        guess(&test, 1).await;
        assert_eq!(findings(&test.saas).await, [""; 0], "it goes on from there");
    }

    async fn a_row_that_is_removed_after_a_purge_is_missed_and_the_checkpoint_cannot_be_moved(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        guess(&test, 2).await;
        test.clock.advance(DAY);
        guess(&test, 2).await;
        let audit = test.saas.audit();
        audit.purge_passing(&operator(), stored_now(&*test.clock)).await.unwrap();
        let mut tx = test.begin().await;
        let uuid = Chain::Passing.as_uuid();
        execute!(tx.conn(), "DELETE FROM saas_audit WHERE tenant_id = $1 AND position = 3", uuid).unwrap();
        tx.commit().await.unwrap();
        assert_eq!(findings(&test.saas).await.len(), 1);
        // As if that had been purged, too.
        let mut tx = test.begin().await;
        execute!(tx.conn(), "UPDATE saas_audit_heads SET purged_count = 3 WHERE tenant_id = $1", uuid).unwrap();
        tx.commit().await.unwrap();
        assert!(findings(&test.saas).await.iter().any(|found| found.contains("head_changed")));
    }

    async fn what_was_tampered_with_is_not_purged(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        guess(&test, 3).await;
        let mut tx = test.begin().await;
        let uuid = Chain::Passing.as_uuid();
        execute!(tx.conn(), "UPDATE saas_audit SET reason = 'other' WHERE tenant_id = $1 AND position = 2", uuid).unwrap();
        tx.commit().await.unwrap();
        let audit = test.saas.audit();
        let refused = audit.purge_passing(&operator(), stored_now(&*test.clock) + DAY).await;
        assert!(matches!(refused, Err(PurgeError::Broken)), "{refused:?}");
        assert_eq!(left(&test).await, 3);
        let ada = test.register("ada@example.com").await;
        let me = test.actor(&ada.tokens).await;
        let refused = audit.purge_passing(&me, test.clock.now()).await;
        assert!(matches!(refused, Err(PurgeError::Forbidden)), "{refused:?}");
    }

    async fn a_chain_that_is_gone_whole_is_missed(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        guess(&test, 2).await;
        let mut tx = test.begin().await;
        let uuid = Chain::Passing.as_uuid();
        execute!(tx.conn(), "DELETE FROM saas_audit WHERE tenant_id = $1", uuid).unwrap();
        execute!(tx.conn(), "DELETE FROM saas_audit_heads WHERE tenant_id = $1", uuid).unwrap();
        tx.commit().await.unwrap();
        assert!(findings(&test.saas).await.iter().any(|found| found.contains("chain_gone")));
    }

    async fn the_hourly_purge_takes_them_after_ninety_days(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        guess(&test, 2).await;
        test.clock.advance(91 * DAY);
        while left(&test).await > 0 {
            test.clock.advance(Duration::from_mins(1));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(findings(&test.saas).await, [""; 0]);
    }
}
