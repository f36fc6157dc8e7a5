use std::{collections::HashMap, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::{Signature, VerifyingKey};
use serde::{Deserialize, de::DeserializeOwned};
use tokio::{sync::Mutex, time::Instant};

/// How long the keys may be kept: the `max-age` of the answer, which is `AUTH_JWKS_MAX_AGE_SECONDS`.
const MAX_AGE: Duration = Duration::from_secs(300);
/// How long an unknown `kid` waits before it makes us ask again: anybody can make one up.
const COOLDOWN: Duration = Duration::from_secs(30);
/// How far the other clock may be ahead, for `nbf` and `iat`; `exp` has no leeway.
const LEEWAY: i64 = 30;

/// Who is asking, and where.
#[derive(Debug, Deserialize)]
pub struct Claims {
    pub sub: String,
    pub tenant_id: String,
    pub sid: String,
    pub scope: String,
    iss: String,
    aud: String,
    exp: i64,
    nbf: i64,
    iat: i64,
}

#[derive(Debug)]
pub enum VerifyError {
    /// The caller's fault: 401.
    Refused(&'static str),
    /// The keys could not be fetched: 503.
    NoKeys(Cause),
}

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Nothing but these members: no `crit`, no key that comes with the token.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    typ: String,
    kid: String,
}

#[derive(Deserialize)]
struct Jwks {
    keys: Vec<Jwk>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Jwk {
    kty: String,
    crv: String,
    kid: String,
    x: String,
}

#[derive(Default)]
struct Keys {
    by_kid: HashMap<String, VerifyingKey>,
    tried: Option<Instant>,
    fetched: Option<Instant>,
}

pub struct AccessTokenVerifier {
    http: reqwest::Client,
    jwks_url: String,
    issuer: String,
    audience: String,
    keys: Mutex<Keys>,
}

impl AccessTokenVerifier {
    pub fn new(http: reqwest::Client, jwks_url: &str, issuer: &str, audience: &str) -> Self {
        let [jwks_url, issuer, audience] = [jwks_url, issuer, audience].map(str::to_owned);
        Self { http, jwks_url, issuer, audience, keys: Mutex::default() }
    }

    pub async fn verify(&self, token: &str) -> Result<Claims, VerifyError> {
        let (input, signature) = token.rsplit_once('.').ok_or(VerifyError::Refused("form"))?;
        let (header, payload) = input.split_once('.').ok_or(VerifyError::Refused("form"))?;
        let header: Header = json(header)?;
        if header.alg != "EdDSA" || header.typ != "at+jwt" {
            return Err(VerifyError::Refused("alg or typ"));
        }
        let key = self.key(&header.kid).await?;
        let signature =
            Signature::from_slice(&decode(signature)?).map_err(|_| VerifyError::Refused("signature"))?;
        key.verify_strict(input.as_bytes(), &signature).map_err(|_| VerifyError::Refused("signature"))?;
        let claims: Claims = json(payload)?;
        let now = chrono::Utc::now().timestamp();
        if claims.iss != self.issuer {
            Err(VerifyError::Refused("iss"))
        } else if claims.aud != self.audience {
            Err(VerifyError::Refused("aud"))
        } else if claims.exp <= now {
            Err(VerifyError::Refused("exp"))
        } else if claims.nbf > now + LEEWAY || claims.iat > now + LEEWAY {
            Err(VerifyError::Refused("nbf or iat"))
        } else {
            Ok(claims)
        }
    }

    async fn key(&self, kid: &str) -> Result<VerifyingKey, VerifyError> {
        let mut keys = self.keys.lock().await;
        let past = |at: Option<Instant>, age| at.is_none_or(|at| at.elapsed() >= age);
        let unknown = !keys.by_kid.contains_key(kid);
        if past(keys.fetched, MAX_AGE) || (unknown && past(keys.tried, COOLDOWN)) {
            keys.tried = Some(Instant::now());
            keys.by_kid = self.fetch().await.map_err(VerifyError::NoKeys)?;
            keys.fetched = keys.tried;
        }
        keys.by_kid.get(kid).copied().ok_or(VerifyError::Refused("kid"))
    }

    async fn fetch(&self) -> Result<HashMap<String, VerifyingKey>, Cause> {
        let request = self.http.get(&self.jwks_url).timeout(Duration::from_secs(5));
        let body = request.send().await?.error_for_status()?.bytes().await?;
        let jwks: Jwks = serde_json::from_slice(&body)?;
        // A kind of key that is new to us verifies nothing here.
        let ours = jwks.keys.into_iter().filter(|key| key.kty == "OKP" && key.crv == "Ed25519");
        ours.map(|key| {
            let x: [u8; 32] = URL_SAFE_NO_PAD.decode(&key.x)?.as_slice().try_into()?;
            Ok((key.kid, VerifyingKey::from_bytes(&x)?))
        })
        .collect()
    }
}

fn decode(part: &str) -> Result<Vec<u8>, VerifyError> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| VerifyError::Refused("form"))
}

fn json<T: DeserializeOwned>(part: &str) -> Result<T, VerifyError> {
    serde_json::from_slice(&decode(part)?).map_err(|_| VerifyError::Refused("members"))
}
