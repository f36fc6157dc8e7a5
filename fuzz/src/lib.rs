//! A deployment whose keys are known, for targets that need tokens of it.

use std::{sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::{Signer, SigningKey};
use saas_auth::{
    keys::{self, KeySet},
    token::{AccessGrant, AccessTokenRules, AccessTokens},
};
use saas_core::{Clock, Role, Secret, SessionId, TenantId, UserId, clock::ManualClock, entropy::SeededEntropy};

/// The deployment's issuer.
pub const ISSUER: &str = "https://saas.example";
/// Whom its tokens are for.
pub const AUDIENCE: &str = "agent-api";
const LIFETIME: Duration = Duration::from_mins(10);

/// It, and one good token of it.
pub struct Forge {
    pub tokens: AccessTokens,
    key: SigningKey,
    pub kid: String,
    pub now: i64,
    /// The good token's header, decoded.
    pub header: Vec<u8>,
    /// The good token's payload, decoded.
    pub payload: Vec<u8>,
    /// The good token.
    pub good: String,
}

impl Forge {
    pub fn new() -> Self {
        let key = SigningKey::from_bytes(&[7; 32]);
        let signing = keys::SigningKey::from_seed(&Secret::new(key.to_bytes()));
        let (time, kid) = ("2026-01-01T00:00:00Z", signing.kid().to_owned());
        let document = format!(
            r#"{{"schema":1,"changed_at":"{time}","keys":[{{"kid":"{kid}","status":"active","created_at":"{time}","since":"{time}","x":"{}","seed":"{}"}}]}}"#,
            encode(key.verifying_key().as_bytes()),
            encode(key.to_bytes()),
        );
        let set = KeySet::from_bytes(document.as_bytes()).expect("the keys are good");
        let (clock, entropy) = (Arc::new(ManualClock::default()), Arc::new(SeededEntropy::new(5)));
        let rules = AccessTokenRules::new(ISSUER, AUDIENCE, LIFETIME).expect("the rules are good");
        let grant = AccessGrant::new(
            UserId::generate(&*clock, &*entropy),
            TenantId::generate(&*clock, &*entropy),
            SessionId::generate(&*clock, &*entropy),
            1,
            Role::Member,
            clock.now(),
        );
        let now = clock.now().timestamp();
        let tokens = AccessTokens::new(rules, set, clock, entropy);
        let good = tokens.issue(grant).expect("a token is made").token.expose().clone();
        let mut parts = good.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).expect("our own part decodes"));
        let (header, payload) = (parts.next().expect("a header"), parts.next().expect("a payload"));
        drop(parts);
        Self { tokens, key, kid, now, header, payload, good }
    }

    /// A token of these bytes, signed as it should be.
    pub fn sign(&self, header: &[u8], payload: &[u8]) -> String {
        let input = format!("{}.{}", encode(header), encode(payload));
        let signature = self.key.sign(input.as_bytes());
        format!("{input}.{}", encode(signature.to_bytes()))
    }
}

impl Default for Forge {
    fn default() -> Self {
        Self::new()
    }
}

pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
