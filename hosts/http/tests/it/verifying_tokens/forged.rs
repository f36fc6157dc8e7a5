//! Tokens made by hand from a good one, each with one fault.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use ed25519_dalek::{Signer, SigningKey};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

/// The key that signs, of a document of keys.
pub(super) fn active_key(document: &[u8]) -> SigningKey {
    let document: Value = serde_json::from_slice(document).expect("the document is JSON");
    let keys = document["keys"].as_array().expect("it lists the keys");
    let active = keys.iter().find(|key| key["status"] == "active").expect("one is active");
    let seed = decoded(active["seed"].as_str().expect("it has its private part"));
    SigningKey::from_bytes(&seed.try_into().expect("a seed has 32 bytes"))
}

/// A good token and the key that signed it.
pub(super) struct Forged {
    key: SigningKey,
    header: Value,
    payload: Value,
    good: String,
    now: i64,
}

impl Forged {
    pub(super) fn new(good: &str, key: SigningKey) -> Self {
        let parts: Vec<&str> = good.split('.').collect();
        let json = |part: &str| serde_json::from_slice(&decoded(part)).expect("a part is JSON");
        let (header, payload): (Value, Value) = (json(parts[0]), json(parts[1]));
        let now = payload["iat"].as_i64().expect("a time");
        Self { key, header, payload, good: good.to_owned(), now }
    }

    pub(super) fn subject(&self) -> &str {
        self.payload["sub"].as_str().expect("a subject")
    }

    /// Tokens that a verifier must accept.
    pub(super) fn good(&self) -> [(&'static str, String); 2] {
        let ahead = self.now + 20;
        let payload = changed(&changed(&self.payload, "nbf", json!(ahead)), "iat", json!(ahead));
        [
            ("signed again", self.signed(&self.header, &self.payload)),
            ("of a clock that is 20 s ahead", self.signed(&self.header, &payload)),
        ]
    }

    /// Tokens that a verifier must refuse.
    pub(super) fn hostile(&self) -> Vec<(&'static str, String)> {
        let header = |name, value| self.signed(&changed(&self.header, name, value), &self.payload);
        let payload = |name, value| self.signed(&self.header, &changed(&self.payload, name, value));
        let input = |alg: &str| input(&changed(&self.header, "alg", json!(alg)), &self.payload);
        let (public, stranger) = (self.key.verifying_key(), SigningKey::from_bytes(&[9; 32]));
        // What a library takes for a secret that was given a public key: its bytes, its JWK's text, its PEM.
        let (x, pem) = (encoded(public.as_bytes()), pem(public.as_bytes()));
        vec![
            ("expired a second ago", payload("exp", json!(self.now - 1))),
            ("without an end", payload("exp", Value::Null)),
            ("not valid for ten minutes", payload("nbf", json!(self.now + 600))),
            ("made in ten minutes", payload("iat", json!(self.now + 600))),
            ("for another audience", payload("aud", json!("billing-api"))),
            ("of another issuer", payload("iss", json!("https://app.example.com.evil.example"))),
            ("signed by another key", sign(&stranger, self.input())),
            ("of a key that nobody knows", header("kid", json!("A".repeat(43)))),
            ("with alg none", format!("{}.", input("none"))),
            ("with alg none and our signature", sign(&self.key, &input("none"))),
            ("with HS256 keyed with the public key", hs256(&input("HS256"), public.as_bytes())),
            ("with HS256 keyed with the public key in base64url", hs256(&input("HS256"), x.as_bytes())),
            ("with HS256 keyed with the public key as PEM", hs256(&input("HS256"), pem.as_bytes())),
            ("of another type", header("typ", json!("JWT"))),
            ("of no type", header("typ", Value::Null)),
            ("with an extension that must be known", header("crit", json!(["exp"]))),
            ("with another payload under our signature", self.with_payload_exchanged()),
            ("that is none", "a.b.c".to_owned()),
        ]
    }

    fn signed(&self, header: &Value, payload: &Value) -> String {
        sign(&self.key, &input(header, payload))
    }

    fn input(&self) -> &str {
        self.good.rsplit_once('.').expect("three parts").0
    }

    fn with_payload_exchanged(&self) -> String {
        let payload = changed(&self.payload, "scope", json!("users:write"));
        let (_, signature) = self.good.rsplit_once('.').expect("three parts");
        format!("{}.{signature}", input(&self.header, &payload))
    }
}

/// The object with another value of a member; null takes it away.
fn changed(object: &Value, name: &str, value: Value) -> Value {
    let mut members = object.as_object().expect("a part is an object").clone();
    members.remove(name);
    if !value.is_null() {
        members.insert(name.to_owned(), value);
    }
    Value::Object(members)
}

fn input(header: &Value, payload: &Value) -> String {
    format!("{}.{}", encoded(header.to_string()), encoded(payload.to_string()))
}

fn sign(key: &SigningKey, input: &str) -> String {
    format!("{input}.{}", encoded(key.sign(input.as_bytes()).to_bytes()))
}

fn hs256(input: &str, secret: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
    mac.update(input.as_bytes());
    format!("{input}.{}", encoded(mac.finalize().into_bytes()))
}

/// A public key as RFC 8410 section 4 and RFC 7468 section 13 write it.
fn pem(public: &[u8]) -> String {
    let prefix = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    let body = STANDARD.encode([&prefix[..], public].concat());
    format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n")
}

fn encoded(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(super) fn decoded(part: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(part).expect("a part is base64url")
}
