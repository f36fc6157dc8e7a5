//! What is done to keys is recorded with it; where they are kept elsewhere, right after it.

use std::sync::Arc;

use saas_auth::RotateKeysError;
use saas_core::{
    Actor, Client, SecretStore,
    audit::{Chain, DATA_KEYS_ROTATED},
    envelope::DataKeysError,
};
use saas_kit::{ReencryptError, testing::TestSaas};
use saas_sql::execute;

use super::{of, operator, rows};
use crate::conformance::MemorySecrets;

/// Takes the audit log away, or gives it back.
async fn rename(test: &TestSaas, statement: &'static str) {
    let mut tx = test.begin().await;
    execute!(tx.conn(), statement).unwrap();
    tx.commit().await.unwrap();
}

const AWAY: &str = "ALTER TABLE saas_audit RENAME TO away";
const BACK: &str = "ALTER TABLE away RENAME TO saas_audit";

async fn kid(test: &TestSaas) -> String {
    let keys = test.saas.auth().signing_keys(&operator()).await.unwrap();
    keys.into_iter().map(|key| key.kid + " ").collect()
}

async fn recorded(test: &TestSaas, action: &str) -> usize {
    let rows = rows(&test.saas, &of(Chain::Platform)).await;
    rows.iter().filter(|row| row.entry.action == action).count()
}

on_both_engines! {
    async fn keys_stay_as_they_are_where_that_cannot_be_recorded(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let (keys, data_key) = (kid(&test).await, test.saas.fields().keys().newest());
        rename(&test, AWAY).await;
        let refused = test.saas.auth().rotate_signing_keys(&operator()).await;
        assert!(matches!(refused, Err(RotateKeysError::Store(_))), "{refused:?}");
        let refused = test.saas.rotate_data_keys(&operator()).await;
        assert!(matches!(refused, Err(DataKeysError::Storage(_))), "{refused:?}");
        rename(&test, BACK).await;
        test.saas.auth().reload_signing_keys().await.unwrap();
        test.saas.fields().reload().await.unwrap();
        assert_eq!((kid(&test).await, test.saas.fields().keys().newest()), (keys, data_key));
        // And change where it can.
        test.saas.auth().rotate_signing_keys(&operator()).await.unwrap();
        test.saas.rotate_data_keys(&operator()).await.unwrap();
        assert_eq!(recorded(&test, "auth.signing_keys.rotated").await, 1);
        assert_eq!(recorded(&test, DATA_KEYS_ROTATED.as_str()).await, 1);
    }

    async fn keys_that_are_kept_elsewhere_are_changed_and_that_is_recorded_or_said_not_to_be(engine: TestEngine) {
        let secrets: Arc<dyn SecretStore> = Arc::new(MemorySecrets::default());
        let test = TestSaas::with_ports(engine, [], |builder| builder.secret_store(secrets)).await;
        test.saas.auth().rotate_signing_keys(&operator()).await.unwrap();
        assert_eq!(recorded(&test, "auth.signing_keys.rotated").await, 1);
        rename(&test, AWAY).await;
        let keys = kid(&test).await;
        let unrecorded = test.saas.auth().revoke_signing_keys(&operator()).await;
        assert!(matches!(unrecorded, Err(RotateKeysError::Unrecorded(_))), "{unrecorded:?}");
        let unrecorded = test.saas.rotate_data_keys(&operator()).await;
        assert!(matches!(unrecorded, Err(DataKeysError::Unrecorded(_))), "{unrecorded:?}");
        assert_ne!(kid(&test).await, keys, "they are revoked all the same");
        rename(&test, BACK).await;
    }

    async fn data_keys_are_the_operators(engine: TestEngine) {
        let test = TestSaas::start(engine).await;
        let ada = test.register("ada@example.com").await;
        for actor in [test.actor(&ada.tokens).await, Actor::anonymous(None, Client::default())] {
            assert!(matches!(test.saas.rotate_data_keys(&actor).await, Err(DataKeysError::Forbidden)));
            assert!(matches!(test.saas.reencrypt(&actor).await, Err(ReencryptError::Forbidden)));
        }
        assert_eq!(recorded(&test, DATA_KEYS_ROTATED.as_str()).await, 0);
    }
}
