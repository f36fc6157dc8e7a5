//! Tokens made by hand, with the right key or a wrong one, so that each can have exactly one fault.

use std::{sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::{Signer, SigningKey};
use saas_auth::{
    keys::{self, KeySet},
    token::{AccessGrant, AccessTokenRules, AccessTokens},
};
use saas_core::{
    Clock, Role, Secret, SessionId, TenantId, UserId, clock::ManualClock, entropy::SeededEntropy,
};
use serde_json::{Value, json};

/// The members of a JSON object as text, so that they can be there twice or be no JSON at all.
#[derive(Clone)]
pub(crate) struct Members(Vec<(String, String)>);

impl Members {
    fn parse(part: &str) -> Self {
        let bytes = URL_SAFE_NO_PAD.decode(part).expect("our own part decodes");
        let object: serde_json::Map<String, Value> =
            serde_json::from_slice(&bytes).expect("our own part is an object");
        Self(object.into_iter().map(|(name, value)| (name, value.to_string())).collect())
    }

    /// With the value of one member changed, or with one member more.
    pub(crate) fn set(&self, name: &str, raw: &str) -> Self {
        let mut members = self.clone();
        match members.0.iter_mut().find(|(found, _)| found == name) {
            Some((_, value)) => raw.clone_into(value),
            None => members.0.push((name.to_owned(), raw.to_owned())),
        }
        members
    }

    /// With one member more, even if its name is taken.
    pub(crate) fn and(&self, name: &str, raw: &str) -> Self {
        let mut members = self.clone();
        members.0.push((name.to_owned(), raw.to_owned()));
        members
    }

    pub(crate) fn without(&self, name: &str) -> Self {
        Self(self.0.iter().filter(|(found, _)| found != name).cloned().collect())
    }

    pub(crate) fn raw(&self, name: &str) -> &str {
        self.0.iter().find(|(found, _)| found == name).map(|(_, raw)| raw.as_str()).expect("a known member")
    }

    pub(crate) fn values(&self) -> String {
        self.0.iter().map(|(_, raw)| raw.as_str()).collect::<Vec<_>>().join(",")
    }

    pub(crate) fn text(&self) -> String {
        let members: Vec<String> = self.0.iter().map(|(name, raw)| format!("\"{name}\":{raw}")).collect();
        format!("{{{}}}", members.join(","))
    }
}

/// A deployment whose keys are known, and one good token of it.
pub(crate) struct Forge {
    pub(crate) tokens: AccessTokens,
    /// The key that signs.
    pub(crate) key: SigningKey,
    /// Another key of the deployment, which only verifies.
    pub(crate) retired: SigningKey,
    /// A key that the deployment does not know.
    pub(crate) stranger: SigningKey,
    pub(crate) now: i64,
    pub(crate) header: Members,
    pub(crate) payload: Members,
    /// The good token.
    pub(crate) good: String,
}

impl Forge {
    pub(crate) fn new() -> Self {
        let [key, retired, stranger] = [7, 8, 9].map(|seed| SigningKey::from_bytes(&[seed; 32]));
        let (clock, entropy) = (Arc::new(ManualClock::default()), Arc::new(SeededEntropy::new(5)));
        let set = key_set(&key, retired.verifying_key().as_bytes()).expect("the keys are good");
        let rules = AccessTokenRules::new("https://saas.example", "agent-api", Duration::from_mins(10))
            .expect("the rules are good");
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
        let parts: Vec<&str> = good.split('.').collect();
        let (header, payload) = (Members::parse(parts[0]), Members::parse(parts[1]));
        Self { tokens, key, retired, stranger, now, header, payload, good }
    }

    /// A token with this header, signed as it should be.
    pub(crate) fn with_header(&self, header: &Members) -> String {
        self.sign(header.text(), self.payload.text())
    }

    /// A token with this payload, signed as it should be.
    pub(crate) fn with_payload(&self, payload: &Members) -> String {
        self.sign(self.header.text(), payload.text())
    }

    /// A token of these texts, signed as it should be.
    pub(crate) fn sign(&self, header: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> String {
        self.sign_parts(&base64url(header), &base64url(payload))
    }

    /// A token of these parts, signed as it should be.
    pub(crate) fn sign_parts(&self, header: &str, payload: &str) -> String {
        sign_input(&self.key, &format!("{header}.{payload}"))
    }

    /// The good token with another signature.
    pub(crate) fn with_signature(&self, signature: &[u8]) -> String {
        format!("{}.{}", self.input(), base64url(signature))
    }

    /// What the good token's signature is over.
    pub(crate) fn input(&self) -> &str {
        self.good.rsplit_once('.').expect("three parts").0
    }

    pub(crate) fn signature(&self) -> [u8; 64] {
        self.key.sign(self.input().as_bytes()).to_bytes()
    }
}

/// `input`, a dot and `key`'s signature.
pub(crate) fn sign_input(key: &SigningKey, input: &str) -> String {
    format!("{input}.{}", base64url(key.sign(input.as_bytes()).to_bytes()))
}

pub(crate) fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn kid(public: &[u8; 32]) -> String {
    keys::VerifyingKey::from_bytes(public).expect("a usable key").kid().to_owned()
}

/// A set in which `active` signs and the key with these public bytes only verifies.
pub(crate) fn key_set(active: &SigningKey, retired: &[u8; 32]) -> Result<KeySet, keys::KeySetError> {
    let time = "2026-01-01T00:00:00Z";
    let signing = keys::SigningKey::from_seed(&Secret::new(active.to_bytes()));
    let named = keys::VerifyingKey::from_bytes(retired).map_or("?".to_owned(), |key| key.kid().to_owned());
    let document = json!({"schema": 1, "changed_at": time, "keys": [
        {
            "kid": signing.kid(), "status": "active", "created_at": time, "since": time,
            "x": base64url(active.verifying_key().as_bytes()), "seed": base64url(active.to_bytes()),
        },
        {"kid": named, "status": "retired", "created_at": time, "since": time, "x": base64url(retired)},
    ]});
    KeySet::from_bytes(document.to_string().as_bytes())
}
