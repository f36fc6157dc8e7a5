use proptest::prelude::*;

use super::*;
use crate::entropy::SeededEntropy;

const HERE: Field<'static> = Field { table: "saas_sessions", column: "ip_envelope", row: b"row 1" };

fn keys() -> (DataKeys, SeededEntropy) {
    let entropy = SeededEntropy::new(1);
    (DataKeys::generate(&entropy, DateTime::UNIX_EPOCH), entropy)
}

fn sealed(keys: &DataKeys, entropy: &SeededEntropy, value: &[u8]) -> Envelope {
    keys.seal(entropy, DateTime::UNIX_EPOCH, HERE, value).unwrap_or_else(|| Envelope(Vec::new()))
}

fn opened(keys: &DataKeys, field: Field<'_>, envelope: &Envelope) -> Result<Vec<u8>, OpenEnvelopeError> {
    keys.open(field, envelope).map(|value| value.expose().clone())
}

#[test]
fn a_value_opens_in_its_place_and_nowhere_else() {
    let (keys, entropy) = keys();
    let envelope = sealed(&keys, &entropy, b"203.0.113.*");
    assert_eq!(opened(&keys, HERE, &envelope), Ok(b"203.0.113.*".to_vec()));
    for elsewhere in [
        Field { row: b"row 2", ..HERE },
        Field { column: "user_agent", ..HERE },
        Field { table: "saas_users", ..HERE },
        // The same letters, cut elsewhere.
        Field { table: "saas_session", column: "sip_envelope", ..HERE },
        Field { column: "ip_enveloperow", row: b" 1", ..HERE },
    ] {
        assert_eq!(opened(&keys, elsewhere, &envelope), Err(OpenEnvelopeError::Corrupted), "{elsewhere:?}");
    }
}

#[test]
fn a_changed_envelope_does_not_open_wherever_it_was_changed() {
    let (keys, entropy) = keys();
    let envelope = sealed(&keys, &entropy, b"203.0.113.*");
    for at in 0..envelope.0.len() {
        let mut changed = envelope.clone();
        changed.0[at] ^= 1;
        let refused = opened(&keys, HERE, &changed);
        if (1..Envelope::PREFIX).contains(&at) {
            assert!(matches!(refused, Err(OpenEnvelopeError::UnknownKey(_))), "{at}");
        } else {
            assert_eq!(refused, Err(OpenEnvelopeError::Corrupted), "{at}");
        }
        let short = Envelope(envelope.0[..at].to_vec());
        assert_eq!(opened(&keys, HERE, &short), Err(OpenEnvelopeError::Corrupted), "{at}");
    }
}

#[test]
fn an_envelope_has_the_form_that_is_documented_and_its_debug_shows_nothing() {
    let (keys, entropy) = keys();
    let envelope = sealed(&keys, &entropy, b"203.0.113.*");
    let id = keys.active(DateTime::UNIX_EPOCH);
    assert_eq!(envelope.0[0], 1);
    assert_eq!(envelope.key_id(), id);
    assert_eq!(id.map(|id| id.envelope_prefix().to_vec()), Some(envelope.0[..5].to_vec()));
    assert_eq!(envelope.0.len(), 1 + 4 + 24 + "203.0.113.*".len() + 16);
    assert_ne!(envelope, sealed(&keys, &entropy, b"203.0.113.*"), "each has a nonce of its own");
    let shown = format!("{envelope:?} {keys:?}");
    assert!(!shown.contains("203") && shown.contains("[redacted]"), "{shown}");
}

#[test]
fn a_new_key_reads_at_once_and_encrypts_when_everybody_has_it() {
    let (old, entropy) = keys();
    let envelope = sealed(&old, &entropy, b"x");
    let keys = old.clone().with_another(&entropy, DateTime::UNIX_EPOCH);
    let (new, from) = keys.newest().unwrap_or_else(|| panic!("there is one"));
    assert_eq!(from, DateTime::UNIX_EPOCH + DataKeys::PUBLISH_DELAY);
    assert_eq!(opened(&keys, HERE, &envelope), Ok(b"x".to_vec()));
    assert_eq!(keys.active(DateTime::UNIX_EPOCH), old.active(DateTime::UNIX_EPOCH));
    assert_eq!(keys.active(from), Some(new));
    let later = keys.seal(&entropy, from, HERE, b"y").unwrap_or_else(|| panic!("it is short"));
    assert_eq!(opened(&keys, HERE, &later), Ok(b"y".to_vec()));
    // Who has not heard of it cannot read it, and is told so.
    assert_eq!(opened(&old, HERE, &later), Err(OpenEnvelopeError::UnknownKey(new)));
    // A clock that is behind everything still encrypts.
    assert_eq!(keys.active(DateTime::UNIX_EPOCH - Duration::from_secs(9)), old.active(DateTime::UNIX_EPOCH));
}

#[test]
fn a_keyring_is_read_back_as_it_was_stored_and_nothing_else_is_one() {
    let (keys, entropy) = keys();
    let keys = keys.with_another(&entropy, DateTime::UNIX_EPOCH);
    let envelope = sealed(&keys, &entropy, b"x");
    let bytes = keys.to_bytes().map(|bytes| bytes.expose().clone()).unwrap_or_default();
    let read = DataKeys::from_bytes(&bytes).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((read.len(), read.newest()), (2, keys.newest()));
    assert_eq!(opened(&read, HERE, &envelope), Ok(b"x".to_vec()));
    for broken in ["", "{}", r#"{"schema":1,"keys":[]}"#, r#"{"schema":2,"keys":[]}"#] {
        assert!(DataKeys::from_bytes(broken.as_bytes()).is_err(), "{broken}");
    }
    let text = String::from_utf8_lossy(&bytes);
    for (from, to) in
        [("\"schema\":1", "\"schema\":2"), ("\"key\":\"", "\"key\":\"A"), ("\"id\":\"", "\"id\":\"+")]
    {
        assert!(DataKeys::from_bytes(text.replace(from, to).as_bytes()).is_err(), "{to}");
    }
}

proptest! {
    #[test]
    fn any_value_opens_where_it_was_put(value: Vec<u8>, table: String, column: String, row: Vec<u8>, other: Vec<u8>) {
        let (keys, entropy) = keys();
        let field = Field { table: &table, column: &column, row: &row };
        let envelope = keys.seal(&entropy, DateTime::UNIX_EPOCH, field, &value).ok_or_else(|| TestCaseError::fail("too long"))?;
        prop_assert_eq!(opened(&keys, field, &envelope), Ok(value));
        if other != row {
            prop_assert_eq!(opened(&keys, Field { row: &other, ..field }, &envelope), Err(OpenEnvelopeError::Corrupted));
        }
    }

    #[test]
    fn what_is_no_envelope_is_refused(bytes: Vec<u8>) {
        let (keys, _) = keys();
        prop_assert!(keys.open(HERE, &Envelope(bytes)).is_err());
    }
}
