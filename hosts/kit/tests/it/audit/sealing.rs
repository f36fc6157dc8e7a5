//! Sealing beside commands, beside other sealers, and after purges.

use std::time::Duration;

use saas_core::{
    Actor, Client, PageSize, Reach, Storage,
    audit::{AuditAction, AuditEvent, AuditFilter, Chain, PurgeError},
};
use saas_kit::testing::{TestEngine, TestSaas, TestWorkers, at_once};

use super::{findings, of, operator, rows, verify, with_chain};

const DONE: AuditAction = AuditAction::new("test.thing.done");

on_both_engines! {
    async fn rows_that_commit_late_are_sealed_once_and_none_is_lost(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let tenant = with_chain(&test, "ada@example.com", 3).await;
        let event = AuditEvent::new(DONE).in_tenant(tenant);
        test.clock.advance(Duration::from_secs(1));
        // It has the earlier id and time, and comes last; on SQLite it can only come before the next one begins.
        let mut late = test.begin().await;
        let id = test.saas.audit().record(&mut late, &operator(), event.clone()).await.unwrap();
        if engine == TestEngine::Sqlite {
            late.commit().await.unwrap();
            test.clock.advance(Duration::from_secs(1));
            test.saas.audit().record_alone(&operator(), event).await.unwrap();
            test.saas.audit().seal().await.unwrap();
        } else {
            test.clock.advance(Duration::from_secs(1));
            test.saas.audit().record_alone(&operator(), event).await.unwrap();
            test.saas.audit().seal().await.unwrap();
            late.commit().await.unwrap();
        }
        test.saas.audit().seal().await.unwrap();
        let sealed = rows(&test.saas, &of(Chain::Tenant(tenant))).await;
        let places: Vec<i64> = sealed.iter().map(|row| row.seal.as_ref().unwrap().position).collect();
        let expected: &[i64] = if engine == TestEngine::Sqlite { &[1, 2, 3, 4, 5] } else { &[1, 2, 3, 5, 4] };
        assert_eq!(places, expected, "by id");
        assert!(sealed.iter().any(|row| row.entry.id == id));
        assert_eq!(findings(&test.saas).await, [""; 0]);
    }

    async fn sealers_and_commands_at_once_make_one_sound_chain(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let tenant = with_chain(&test, "ada@example.com", 3).await;
        let replicas = [test.replica(2).await, test.replica(3).await, test.saas.clone()];
        // Nothing else seals: the clock of the workers stands still.
        let sealed: u64 = at_once(24, |number| {
            let saas = replicas[number % 3].clone();
            async move {
                if number < 12 {
                    for _ in 0..20 {
                        let event = AuditEvent::new(DONE).in_tenant(tenant);
                        saas.audit().record_alone(&operator(), event).await.unwrap();
                    }
                    0
                } else {
                    saas.audit().seal().await.unwrap().sealed
                }
            }
        })
        .await
        .into_iter()
        .sum();
        let rest = test.saas.audit().seal().await.unwrap().sealed;
        let platform = test.saas.audit().head(&operator(), Chain::Platform).await.unwrap();
        assert!(platform.is_some());
        assert!(sealed + rest >= 240, "{sealed} {rest}");
        let head = test.saas.audit().head(&operator(), Chain::Tenant(tenant)).await.unwrap().unwrap();
        assert_eq!(head.count, 243, "each once");
        let (verified, found) = verify(&test.saas).await;
        assert_eq!((found, verified.unsealed), (vec![], 0));
    }

    async fn more_rows_than_a_batch_are_sealed_in_one_round(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let tenant = with_chain(&test, "ada@example.com", 3).await;
        let mut tx = test.begin().await;
        for _ in 0..450 {
            let event = AuditEvent::new(DONE).in_tenant(tenant);
            test.saas.audit().record(&mut tx, &operator(), event).await.unwrap();
        }
        tx.commit().await.unwrap();
        let (verified, found) = verify(&test.saas).await;
        assert_eq!((found, verified.unsealed), (vec![], 451), "with what sealing the chain began recorded");
        assert_eq!(test.saas.audit().seal().await.unwrap().sealed, 451);
        let (verified, found) = verify(&test.saas).await;
        assert_eq!((found, verified.unsealed), (vec![], 0));
    }

    async fn the_workers_seal_within_a_second(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let tenant = test.register("ada@example.com").await.tenant.id;
        let sealed = async || {
            let head = test.saas.audit().head(&operator(), Chain::Tenant(tenant)).await.unwrap();
            head.is_some_and(|head| head.count == 3)
        };
        // Half of the second that is promised; again, where the workers had not begun to wait for it.
        while !sealed().await {
            test.clock.advance(Duration::from_millis(500));
            tokio::task::yield_now().await;
        }
        test.workers.stop().await;
    }

    async fn a_purge_leaves_the_final_hash_and_the_chain_goes_on_from_it(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let tenant = with_chain(&test, "ada@example.com", 5).await;
        let other = with_chain(&test, "bob@example.com", 4).await;
        let last = test.saas.audit().head(&operator(), Chain::Tenant(tenant)).await.unwrap().unwrap();
        // Rows that wait are sealed first, so that the final hash is over them.
        test.sign_in("ada@example.com").await.unwrap();
        let purged = test.saas.audit().purge(&operator(), tenant).await.unwrap();
        assert_eq!(purged.count, 6);
        assert_ne!(purged.hash, last.hash);
        assert_eq!(rows(&test.saas, &of(Chain::Tenant(tenant))).await, []);
        assert_eq!(rows(&test.saas, &of(Chain::Tenant(other))).await.len(), 4, "another tenant's");
        assert_eq!(findings(&test.saas).await, [""; 0]);
        let told = rows(&test.saas, &of(Chain::Platform)).await;
        let told = told.iter().find(|row| row.entry.action == "audit.chain.purged").unwrap();
        assert_eq!(told.entry.subject.as_deref(), Some(format!("tenant:{tenant}").as_str()));

        test.sign_in("ada@example.com").await.unwrap();
        test.saas.audit().seal().await.unwrap();
        let after = rows(&test.saas, &of(Chain::Tenant(tenant))).await;
        let seal = after[0].seal.as_ref().unwrap();
        assert_eq!((seal.position, &seal.previous_hash), (7, &purged.hash));
        assert_eq!(findings(&test.saas).await, [""; 0]);
        assert_eq!(test.saas.audit().purge(&operator(), tenant).await.unwrap().count, 7);
        assert_eq!(findings(&test.saas).await, [""; 0]);
    }

    async fn a_purge_is_an_operators_and_destroys_no_evidence(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let tenant = with_chain(&test, "ada@example.com", 4).await;
        let me = test.actor(&test.sign_in("ada@example.com").await.unwrap()).await;
        let refused = test.saas.audit().purge(&me, tenant).await;
        assert!(matches!(refused, Err(PurgeError::Forbidden)), "{refused:?}");
        let nobodys = "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap();
        let refused = test.saas.audit().purge(&operator(), nobodys).await;
        assert!(matches!(refused, Err(PurgeError::NotFound)), "{refused:?}");
        let mut tx = test.begin().await;
        saas_sql::execute!(tx.conn(), "UPDATE saas_audit_heads SET count = 2 WHERE tenant_id = $1", tenant.as_uuid()).unwrap();
        tx.commit().await.unwrap();
        let refused = test.saas.audit().purge(&operator(), tenant).await;
        assert!(matches!(refused, Err(PurgeError::Broken)), "{refused:?}");
        assert_eq!(rows(&test.saas, &of(Chain::Tenant(tenant))).await.len(), 5);
    }

    async fn what_a_purge_that_broke_off_left_is_named_until_it_is_purged_again(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let tenant = with_chain(&test, "ada@example.com", 4).await;
        let kept = rows(&test.saas, &of(Chain::Tenant(tenant))).await;
        test.saas.audit().purge(&operator(), tenant).await.unwrap();
        // As if it had not come to that row.
        let log = saas_sql::SqlAudit;
        let mut tx = test.begin().await;
        saas_core::AuditLog::record(&log, &mut tx, &kept[2].entry).await.unwrap();
        let seal = (kept[2].entry.id, kept[2].seal.clone().unwrap());
        saas_core::AuditLog::seal(&log, &mut tx, Chain::Tenant(tenant), &[seal]).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(findings(&test.saas).await, ["tenant: row at 3: left: it was purged and is there: purge again"]);
        test.saas.audit().purge(&operator(), tenant).await.unwrap();
        assert_eq!(findings(&test.saas).await, [""; 0]);
    }

    async fn verifying_beside_commands_sealers_and_purges_finds_nothing(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let tenant = with_chain(&test, "ada@example.com", 3).await;
        let saas = test.saas.clone();
        let found: Vec<_> = at_once(6, |number| {
            let saas = saas.clone();
            async move {
                for round in 0..15 {
                    match number {
                        0 => drop(saas.audit().seal().await.unwrap()),
                        1 if round % 5 == 4 => drop(saas.audit().purge(&operator(), tenant).await.unwrap()),
                        2 | 3 => return_found(&saas).await,
                        _ => {
                            let mut tx = saas.storage().begin(Reach::Platform("test")).await.unwrap();
                            for _ in 0..30 {
                                let event = AuditEvent::new(DONE).in_tenant(tenant);
                                saas.audit().record(&mut tx, &operator(), event).await.unwrap();
                            }
                            tx.commit().await.unwrap();
                        }
                    }
                }
            }
        })
        .await;
        assert_eq!(found.len(), 6);
    }

    async fn an_operator_alone_reads_it(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        test.register("ada@example.com").await;
        let me = test.actor(&test.sign_in("ada@example.com").await.unwrap()).await;
        for actor in [&me, &Actor::anonymous(None, Client::default())] {
            let audit = test.saas.audit();
            assert!(audit.list(actor, &AuditFilter::default(), None, PageSize::default()).await.is_err());
            assert!(audit.verify(actor, None, &mut |_| {}).await.is_err());
            assert!(audit.next_chain(actor, None).await.is_err());
            assert!(audit.head(actor, Chain::Platform).await.is_err());
            assert!(audit.sealed(actor, Chain::Platform, None, PageSize::default()).await.is_err());
        }
    }
}

/// Nothing may be found but what a purge at work has not come to yet.
async fn return_found(saas: &saas_kit::Saas) {
    let (_, found) = verify(saas).await;
    let found: Vec<_> = found.iter().filter(|it| it.flaw.code() != "left").collect();
    assert!(found.is_empty(), "{found:?}");
}

/// A second process's workers, for what one process alone does not show.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_workers_of_two_processes_seal_one_sound_chain() {
    let test = TestSaas::start(TestEngine::Sqlite).await;
    let second = test.replica(2).await;
    let workers = TestWorkers::start(&second);
    for _ in 0..5 {
        test.sign_in("nobody@example.com").await.unwrap_err();
        test.clock.advance(Duration::from_millis(500));
    }
    workers.stop().await;
    test.saas.audit().seal().await.unwrap();
    assert_eq!(findings(&test.saas).await, [""; 0]);
    test.drain_jobs().await;
}
