//! Whoever writes to the database as they like, and has no key.

use saas_core::{
    Reach, Storage, TenantId,
    audit::{AuditId, Chain},
};
use saas_kit::testing::TestSaas;
use saas_sql::{execute, fetch_one, fetch_optional};

use super::{findings, of, rows, verify, with_chain};

/// Two tenants of six rows, sealed and sound; the first one is tampered with.
struct Stage {
    test: TestSaas,
    tenant: TenantId,
    other: TenantId,
}

impl Stage {
    async fn set(engine: saas_kit::testing::TestEngine) -> Self {
        let test = TestSaas::start(engine).await;
        let tenant = with_chain(&test, "ada@example.com", 6).await;
        let other = with_chain(&test, "bob@example.com", 6).await;
        // What sealing itself recorded is sealed, too.
        test.saas.audit().seal().await.unwrap();
        assert_eq!(findings(&test.saas).await, [""; 0], "it is sound before");
        Self { test, tenant, other }
    }

    /// The row at a position of the tenant's chain.
    async fn row(&self, position: i64) -> AuditId {
        self.find(position).await.unwrap()
    }

    async fn find(&self, position: i64) -> Option<AuditId> {
        let query = "SELECT id FROM saas_audit WHERE tenant_id = $1 AND position = $2";
        let mut conn = self.test.saas.storage().read(Reach::Platform("test")).await.unwrap();
        let tenant = self.tenant.as_uuid();
        let row: Option<(saas_sql::sqlx::types::Uuid,)> =
            fetch_optional!(&mut conn, (saas_sql::sqlx::types::Uuid,), query, tenant, position).unwrap();
        row.map(|(id,)| AuditId::from_uuid(id))
    }

    /// One statement: `$1` is the tenant, `$2` the row at the position.
    async fn tamper(&self, statement: &'static str, position: i64) -> u64 {
        let row = self.row(position).await.as_uuid();
        let mut tx = self.test.begin().await;
        // Both are used on either engine.
        let done = execute!(tx.conn(), statement, self.tenant.as_uuid(), row).unwrap();
        tx.commit().await.unwrap();
        done
    }

    async fn tamper_chain(&self, statement: &'static str) {
        let mut tx = self.test.begin().await;
        execute!(tx.conn(), statement, self.tenant.as_uuid()).unwrap();
        tx.commit().await.unwrap();
    }

    async fn found(&self) -> Vec<String> {
        findings(&self.test.saas).await
    }

    /// The ids that are named.
    async fn named(&self) -> Vec<Option<AuditId>> {
        verify(&self.test.saas).await.1.iter().map(|finding| finding.row).collect()
    }

    /// What is found after another round of sealing, and another command.
    async fn found_after_sealing(&self) -> Vec<String> {
        self.test.sign_in("ada@example.com").await.unwrap();
        self.test.saas.audit().seal().await.unwrap();
        self.found().await
    }
}

const CHANGED: &str = "changed: it does not say what was recorded: it was changed, moved here, or put in";

on_both_engines! {
    async fn a_changed_row_is_named_whichever_column_it_is(engine: TestEngine) {
        let stage = Stage::set(engine).await;
        for (number, change) in [
            "actor = 'system:nobody'",
            "action = 'auth.user.enabled'",
            "subject = NULL",
            "outcome = 'failure'",
            "reason = 'x'",
            "request_id = tenant_id",
            "at_us = at_us + 1",
            "version = 2",
        ].into_iter().enumerate() {
            let keep = fetch_all_columns(&stage, 3).await;
            let change = format!("UPDATE saas_audit SET {change} WHERE tenant_id = $1 AND id = $2");
            assert_eq!(stage.tamper(String::leak(change), 3).await, 1);
            assert_eq!(stage.found().await, [format!("tenant: row at 3: {CHANGED}")], "{number}");
            assert_eq!(stage.named().await, [Some(stage.row(3).await)]);
            restore(&stage, keep).await;
            assert_eq!(stage.found().await, [""; 0]);
        }
    }

    async fn a_changed_seal_is_named(engine: TestEngine) {
        let stage = Stage::set(engine).await;
        let statement = "UPDATE saas_audit SET seal_mac = mac WHERE tenant_id = $1 AND id = $2";
        assert_eq!(stage.tamper(statement, 3).await, 1);
        let moved = "moved: it was not sealed in this place, or its seal was changed";
        assert_eq!(stage.found().await, [format!("tenant: row at 3: {moved}")]);
        let statement = "UPDATE saas_audit SET hash = mac, previous_hash = NULL WHERE tenant_id = $1 AND id = $2";
        assert_eq!(stage.tamper(statement, 5).await, 1);
        let unlinked = "unlinked: it does not follow the row before it";
        assert_eq!(stage.found().await, [
            format!("tenant: row at 3: {moved}"),
            format!("tenant: row at 5: {moved}"),
            format!("tenant: row at 5: {unlinked}"),
            format!("tenant: row at 6: {unlinked}"),
        ]);
    }

    async fn a_removed_row_is_named_by_its_place_and_the_row_after_it(engine: TestEngine) {
        let stage = Stage::set(engine).await;
        let statement = "DELETE FROM saas_audit WHERE tenant_id = $1 AND id = $2";
        assert_eq!(stage.tamper(statement, 3).await, 1);
        assert_eq!(stage.found().await, ["tenant: row at 4: missing: the row at position 3 is gone"]);
        assert_eq!(stage.named().await, [Some(stage.row(4).await)]);
        assert_eq!(stage.tamper(statement, 4).await, 1);
        assert_eq!(stage.tamper(statement, 1).await, 1);
        let gone = [
            "tenant: row at 2: missing: the row at position 1 is gone",
            "tenant: row at 5: missing: the rows at positions 3 to 4 are gone",
        ];
        assert_eq!(stage.found().await, gone);
        assert_eq!(stage.found_after_sealing().await, gone);
    }

    async fn a_removed_end_is_found_by_the_head(engine: TestEngine) {
        let stage = Stage::set(engine).await;
        stage.tamper_chain("DELETE FROM saas_audit WHERE tenant_id = $1 AND position > 4").await;
        assert_eq!(stage.found().await, ["tenant: chain: missing: the rows at positions 5 to 6 are gone"]);
        // What comes after goes on where the head says, and closes no gap.
        assert_eq!(stage.found_after_sealing().await, ["tenant: row at 7: missing: the rows at positions 5 to 6 are gone"]);
        // A head that agrees with what is left is not the product's.
        stage.tamper_chain("DELETE FROM saas_audit WHERE tenant_id = $1 AND position > 4").await;
        stage.tamper_chain(
            "UPDATE saas_audit_heads SET count = 4, \
             hash = (SELECT hash FROM saas_audit WHERE tenant_id = saas_audit_heads.tenant_id AND position = 4) WHERE tenant_id = $1",
        ).await;
        assert_eq!(stage.found().await, ["tenant: chain: head_changed: where the chain ends was changed"]);
        // Nothing is sealed under it, or it would look as if it were ours.
        assert_eq!(stage.found_after_sealing().await, ["tenant: chain: head_changed: where the chain ends was changed"]);
        assert_eq!(stage.test.saas.audit().seal().await.unwrap().refused, [Chain::Tenant(stage.tenant)]);
    }

    async fn a_row_that_was_put_in_is_named_sealed_or_not(engine: TestEngine) {
        let stage = Stage::set(engine).await;
        // A copy of a row, in its place, under an id of its own: the tenant's serves.
        let copy = "INSERT INTO saas_audit SELECT tenant_id, tenant_id, version, at_us, actor, action, subject, outcome, reason, request_id, \
             key_id, mac, position, previous_hash, hash, seal_key_id, seal_mac FROM saas_audit WHERE tenant_id = $1 AND id = $2";
        assert_eq!(stage.tamper(copy, 3).await, 1);
        let found = stage.found().await;
        assert!(found.contains(&format!("tenant: row at 3: {CHANGED}")), "{found:?}");
        assert!(found.contains(&"tenant: row at 3: doubled: another row has this place already".to_owned()), "{found:?}");
        assert!(stage.named().await.contains(&Some(AuditId::from_uuid(stage.tenant.as_uuid()))));
        let put_in = "tenant_id = $1 AND id = tenant_id";
        let behind: &'static str = String::leak(format!("UPDATE saas_audit SET position = 7 WHERE {put_in}"));
        stage.tamper_chain(behind).await;
        let found = stage.found().await;
        assert!(found.contains(&"tenant: row at 7: behind_end: it stands behind the end of the chain".to_owned()), "{found:?}");
        let before: &'static str = String::leak(format!("UPDATE saas_audit SET position = 0 WHERE {put_in}"));
        stage.tamper_chain(before).await;
        assert!(stage.found().await.contains(&"tenant: row at 0: left: it was purged and is there: purge again".to_owned()));
        // One that waits to be sealed is no better for it: it is named before and after.
        let waiting: &'static str = String::leak(format!("UPDATE saas_audit SET position = NULL WHERE {put_in}"));
        stage.tamper_chain(waiting).await;
        assert_eq!(stage.found().await, [format!("tenant: row: {CHANGED}")]);
        assert_eq!(stage.named().await, [Some(AuditId::from_uuid(stage.tenant.as_uuid()))]);
        let found = stage.found_after_sealing().await;
        assert!(matches!(found.as_slice(), [one] if one.ends_with(CHANGED) && one.starts_with("tenant: row at ")), "{found:?}");
    }

    async fn rows_that_changed_places_are_named(engine: TestEngine) {
        let stage = Stage::set(engine).await;
        let (third, fourth) = (stage.row(3).await, stage.row(4).await);
        stage.tamper_chain("UPDATE saas_audit SET position = 7 - position WHERE tenant_id = $1 AND position IN (3, 4)").await;
        let (_, found) = verify(&stage.test.saas).await;
        for row in [third, fourth] {
            assert!(found.iter().any(|it| it.row == Some(row) && it.flaw.code() == "moved"), "{found:?}");
        }
    }

    async fn a_row_that_was_moved_to_another_tenant_is_named_and_missed(engine: TestEngine) {
        let stage = Stage::set(engine).await;
        let moved = stage.row(6).await;
        let mut tx = stage.test.begin().await;
        let statement = "UPDATE saas_audit SET tenant_id = $1 WHERE id = $2";
        assert_eq!(execute!(tx.conn(), statement, stage.other.as_uuid(), moved.as_uuid()).unwrap(), 1);
        tx.commit().await.unwrap();
        let (_, found) = verify(&stage.test.saas).await;
        let named = |it: &&saas_core::audit::Finding| it.row == Some(moved) && it.chain == Chain::Tenant(stage.other);
        assert!(found.iter().filter(named).any(|it| it.flaw.code() == "changed"), "{found:?}");
        let missed = found.iter().find(|it| it.chain == Chain::Tenant(stage.tenant)).unwrap();
        assert_eq!(missed.flaw, saas_core::audit::Flaw::Missing { from: 6, to: 6 });
    }

    async fn a_row_that_was_unsealed_leaves_a_gap_that_sealing_it_again_does_not_close(engine: TestEngine) {
        let stage = Stage::set(engine).await;
        let unseal = "UPDATE saas_audit SET position = NULL, previous_hash = NULL, hash = NULL, seal_key_id = NULL, seal_mac = NULL \
             WHERE tenant_id = $1 AND id = $2";
        assert_eq!(stage.tamper(unseal, 3).await, 1);
        let gap = ["tenant: row at 4: missing: the row at position 3 is gone"];
        assert_eq!(stage.found().await, gap);
        assert_eq!(stage.found_after_sealing().await, gap);
    }

    async fn a_chain_that_is_gone_whole_is_missed_and_cannot_begin_again(engine: TestEngine) {
        let stage = Stage::set(engine).await;
        stage.tamper_chain("DELETE FROM saas_audit WHERE tenant_id = $1").await;
        stage.tamper_chain("DELETE FROM saas_audit_heads WHERE tenant_id = $1").await;
        let found = stage.found().await;
        assert!(matches!(found.as_slice(), [one] if one.ends_with("chain_gone: the whole chain is gone")), "{found:?}");
        let found = stage.found_after_sealing().await;
        let again = "tenant: row: chain_begun_again: the chain was begun again: what it was before is gone";
        assert_eq!(found, [again]);
    }

    async fn a_head_that_is_gone_or_emptied_is_found_and_nothing_is_sealed_over_what_is_left(engine: TestEngine) {
        let stage = Stage::set(engine).await;
        stage.tamper_chain("DELETE FROM saas_audit_heads WHERE tenant_id = $1").await;
        let gone = "tenant: chain: head_missing: where the chain ends is gone";
        assert_eq!(stage.found().await, [gone]);
        assert_eq!(stage.found_after_sealing().await, [gone]);
        let head = fetch_head(&stage).await;
        assert_eq!(head, None, "a head was made over what is left");
    }

    async fn nothing_of_one_that_is_sound_is_found(engine: TestEngine) {
        let stage = Stage::set(engine).await;
        let (verified, found) = verify(&stage.test.saas).await;
        assert_eq!(found, []);
        let platform = rows(&stage.test.saas, &of(Chain::Platform)).await;
        assert_eq!((verified.chains, verified.sealed, verified.unsealed), (3, 12 + platform.len() as u64, 0));
    }
}

async fn fetch_head(stage: &Stage) -> Option<(i64,)> {
    let mut conn = stage.test.saas.storage().read(Reach::Platform("test")).await.unwrap();
    let query = "SELECT count FROM saas_audit_heads WHERE tenant_id = $1";
    fetch_optional!(&mut conn, (i64,), query, stage.tenant.as_uuid()).unwrap()
}

type Columns = (String, String, Option<String>, String, Option<String>, i64, i64);

async fn fetch_all_columns(stage: &Stage, position: i64) -> Columns {
    let mut conn = stage.test.saas.storage().read(Reach::Platform("test")).await.unwrap();
    let query = "SELECT actor, action, subject, outcome, reason, at_us, version FROM saas_audit WHERE tenant_id = $1 AND position = $2";
    fetch_one!(&mut conn, Columns, query, stage.tenant.as_uuid(), position).unwrap()
}

async fn restore(stage: &Stage, (actor, action, subject, outcome, reason, at_us, version): Columns) {
    let mut tx = stage.test.begin().await;
    execute!(
        tx.conn(),
        "UPDATE saas_audit SET actor = $1, action = $2, subject = $3, outcome = $4, reason = $5, request_id = NULL, at_us = $6, version = $7 \
         WHERE tenant_id = $8 AND position = 3",
        actor,
        action,
        subject,
        outcome,
        reason,
        at_us,
        version,
        stage.tenant.as_uuid(),
    )
    .unwrap();
    tx.commit().await.unwrap();
}
