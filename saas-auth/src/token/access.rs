//! Making and checking access tokens.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use jsonwebtoken::{
    crypto::JwtVerifier,
    signature::{Signer, Verifier},
};
use saas_core::{Clock, Entropy, InternalError, Secret, id::uuid_v7};

use super::{
    AccessClaims, AccessGrant, AccessTokenRules, Subject, TokenError, header, measures::Measures,
    rules::whole_seconds,
};
use crate::keys::KeySet;

/// A token, made.
#[derive(Debug)]
pub struct IssuedToken {
    /// The token, as it goes into `Authorization: Bearer`.
    pub token: Secret<String>,
    /// What it says.
    pub claims: AccessClaims,
    /// The key that signed it.
    pub kid: String,
}

/// Makes access tokens and checks them.
#[derive(Debug)]
pub struct AccessTokens {
    rules: AccessTokenRules,
    keys: RwLock<Arc<KeySet>>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    measures: Measures,
}

impl AccessTokens {
    /// The longest token that is looked at, in bytes.
    pub const MAX_BYTES: usize = 4096;
    /// The longest life of a token, whoever made it.
    pub const MAX_LIFETIME: Duration = Duration::from_mins(15);
    /// How far another replica's clock may be ahead, for `nbf` and `iat`; `exp` has no leeway.
    pub const LEEWAY: Duration = Duration::from_secs(30);

    /// The tokens of a deployment.
    pub fn new(
        rules: AccessTokenRules,
        keys: KeySet,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self { rules, keys: RwLock::new(Arc::new(keys)), clock, entropy, measures: Measures::new() }
    }

    /// The rules.
    pub const fn rules(&self) -> &AccessTokenRules {
        &self.rules
    }

    /// The keys now.
    pub fn keys(&self) -> Arc<KeySet> {
        // A set is replaced whole: a panic elsewhere cannot have left half of one.
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Signs and verifies with other keys from now on, unless those it has were stored later.
    pub fn replace_keys(&self, keys: KeySet) {
        let mut held = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        // Who reads the store is not always the first to be done.
        if keys.version() >= held.version() {
            *held = Arc::new(keys);
        }
    }

    /// Makes a token. It fails when the grant makes it longer than [`AccessTokens::MAX_BYTES`], and for nothing a caller can act on.
    pub fn issue(&self, grant: AccessGrant) -> Result<IssuedToken, InternalError> {
        let begun = self.clock.monotonic();
        let issued = self.sign(grant);
        let done = if issued.is_ok() { &self.measures.signed } else { &self.measures.not_signed };
        done.after(self.clock.monotonic().saturating_sub(begun));
        issued
    }

    fn sign(&self, grant: AccessGrant) -> Result<IssuedToken, InternalError> {
        let keys = self.keys();
        let signer = keys.active();
        let claims = self.claims(grant);
        let header =
            serde_json::to_vec(&header::for_signer(signer, signer.kid())).map_err(InternalError::new)?;
        let payload = serde_json::to_vec(&claims).map_err(InternalError::new)?;
        let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        let signature = signer.try_sign(input.as_bytes()).map_err(InternalError::new)?;
        let token = Secret::new(format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature)));
        if token.expose().len() > Self::MAX_BYTES {
            return Err(InternalError::new("the access token would be longer than verifiers accept"));
        }
        Ok(IssuedToken { token, claims, kid: signer.kid().to_owned() })
    }

    /// What a token of this grant says.
    pub(crate) fn claims(&self, grant: AccessGrant) -> AccessClaims {
        let now = self.clock.now().timestamp();
        AccessClaims {
            iss: self.rules.issuer().to_owned(),
            aud: self.rules.audience().to_owned(),
            sub: Subject::User(grant.user),
            exp: now + whole_seconds(self.rules.lifetime()),
            iat: now,
            nbf: now,
            jti: uuid_v7(&*self.clock, &*self.entropy),
            client_id: AccessClaims::FIRST_PARTY.to_owned(),
            sid: grant.session,
            tenant_id: grant.tenant,
            auth_time: grant.auth_time.timestamp(),
            amr: grant.amr,
            acr: grant.acr,
            ver: grant.version,
            scope: grant.scope,
            roles: vec![grant.role],
            token_use: AccessClaims::ACCESS.to_owned(),
            email_verified: grant.email_verified,
        }
    }

    /// Checks a token: its form, its key and signature, then every claim. Nothing in the payload is read before the signature is good.
    pub fn verify(&self, token: &str) -> Result<AccessClaims, TokenError> {
        self.verify_naming_key(token).map(|(claims, _)| claims)
    }

    /// As [`AccessTokens::verify`], and which key signed it.
    pub(crate) fn verify_naming_key(&self, token: &str) -> Result<(AccessClaims, Arc<str>), TokenError> {
        let begun = self.clock.monotonic();
        let verified = self.read(token);
        let done = if verified.is_ok() { &self.measures.verified } else { &self.measures.not_verified };
        done.after(self.clock.monotonic().saturating_sub(begun));
        verified
    }

    fn read(&self, token: &str) -> Result<(AccessClaims, Arc<str>), TokenError> {
        if token.len() > Self::MAX_BYTES {
            return Err(TokenError::Malformed);
        }
        let (input, header, payload, signature) = split(token)?;
        let (algorithm, kid) = header::read(&decode(header)?)?;
        let keys = self.keys();
        let key = keys.verifying(&kid, self.clock.now()).ok_or(TokenError::UnknownKey)?;
        // The key says which algorithm it is for (RFC 8725 section 3.1); the header may only agree.
        if algorithm != key.algorithm() {
            return Err(TokenError::Algorithm);
        }
        key.verify(input.as_bytes(), &decode(signature)?).map_err(|_| TokenError::Signature)?;
        let claims = AccessClaims::read(&decode(payload)?)?;
        self.check(&claims)?;
        Ok((claims, key.shared_kid()))
    }

    /// Whether what that key signed is still good: a key that may have leaked is dropped at once.
    pub(crate) fn still_verifies(&self, kid: &str, now: DateTime<Utc>) -> bool {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.verifying(kid, now).is_some()
    }

    fn check(&self, claims: &AccessClaims) -> Result<(), TokenError> {
        if claims.iss != self.rules.issuer() {
            return Err(TokenError::Issuer);
        }
        if claims.aud != self.rules.audience() {
            return Err(TokenError::Audience);
        }
        if claims.token_use != AccessClaims::ACCESS || claims.client_id != AccessClaims::FIRST_PARTY {
            return Err(TokenError::Use);
        }
        check_times(claims, self.clock.now().timestamp())
    }
}

/// Whether a token is good at this second.
pub(crate) fn check_times(claims: &AccessClaims, now: i64) -> Result<(), TokenError> {
    let latest = now + whole_seconds(AccessTokens::LEEWAY);
    if claims.nbf > latest || claims.iat > latest || claims.auth_time > latest {
        return Err(TokenError::NotYetValid);
    }
    // RFC 7519 section 4.1.4: on or after `exp` it is over.
    if claims.exp <= now {
        return Err(TokenError::Expired);
    }
    let lifetime = claims.exp - claims.iat;
    if (1..=whole_seconds(AccessTokens::MAX_LIFETIME)).contains(&lifetime) {
        Ok(())
    } else {
        Err(TokenError::Lifetime)
    }
}

/// The signing input and the three parts of the compact form (RFC 7515 section 7.1).
fn split(token: &str) -> Result<(&str, &str, &str, &str), TokenError> {
    let (input, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
    let (header, payload) = input.split_once('.').ok_or(TokenError::Malformed)?;
    if payload.contains('.') || [header, payload, signature].iter().any(|part| part.is_empty()) {
        return Err(TokenError::Malformed);
    }
    Ok((input, header, payload, signature))
}

/// Base64url in its one spelling: no padding, no white space, no bits left over (RFC 7515 section 2).
fn decode(part: &str) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Malformed)
}

#[cfg(test)]
mod tests {
    use saas_core::{
        Fault, Permission, Permissions, Role, SessionId, TenantId, UserId, clock::ManualClock,
        entropy::SeededEntropy,
    };

    use super::*;
    use crate::{AuthMethod, AuthMethods, token::InvalidRules};

    const LIFETIME: Duration = Duration::from_mins(10);

    struct Fixture {
        clock: Arc<ManualClock>,
        tokens: AccessTokens,
        grant: AccessGrant,
    }

    fn fixture() -> Result<Fixture, InvalidRules> {
        let (clock, entropy) = (Arc::new(ManualClock::default()), Arc::new(SeededEntropy::new(1)));
        let rules = AccessTokenRules::new("https://saas.example", "agent-api", LIFETIME)?;
        let keys = KeySet::generate(&*clock, &*entropy);
        let grant = AccessGrant::new(
            UserId::generate(&*clock, &*entropy),
            TenantId::generate(&*clock, &*entropy),
            SessionId::generate(&*clock, &*entropy),
            4,
            Role::Member,
            clock.now(),
        );
        let tokens = AccessTokens::new(rules, keys, clock.clone(), entropy);
        Ok(Fixture { clock, tokens, grant })
    }

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    #[test]
    fn a_token_comes_back_as_it_was_made() -> Outcome {
        let Fixture { tokens, grant, .. } = fixture()?;
        let grant = grant
            .with_scope([Permission::TOOLS_READ, Permission::BILLING_READ].into_iter().collect())
            .with_authentication(AuthMethods::of(AuthMethod::Password).and(AuthMethod::Otp))
            .with_email_verified(true);
        let issued = tokens.issue(grant.clone())?;
        let claims = tokens.verify(issued.token.expose())?;
        assert_eq!(claims, issued.claims);
        assert_eq!(claims.user(), grant.user);
        assert_eq!(claims.scope.to_scope(), "billing:read tools:read");
        assert_eq!(tokens.keys().active().kid(), issued.kid);
        let empty = tokens.issue(grant.with_scope(Permissions::default()))?;
        assert_eq!(tokens.verify(empty.token.expose())?.scope, Permissions::default());
        Ok(())
    }

    #[test]
    fn the_claims_have_their_documented_form() -> Outcome {
        let Fixture { tokens, grant, .. } = fixture()?;
        let claims = tokens.issue(grant)?.claims;
        let (user, tenant, session, jti) = (claims.user(), claims.tenant_id, claims.sid, claims.jti);
        assert_eq!(
            serde_json::to_string(&claims)?,
            format!(
                concat!(
                    r#"{{"iss":"https://saas.example","aud":"agent-api","sub":"user:{}","exp":1767226200,"iat":1767225600,"#,
                    r#""nbf":1767225600,"jti":"{}","client_id":"first-party","sid":"{}","tenant_id":"{}","#,
                    r#""auth_time":1767225600,"amr":["pwd"],"acr":"aal1","ver":4,"#,
                    r#""scope":"conversations:read conversations:write tools:read","roles":["member"],"#,
                    r#""token_use":"access","email_verified":false}}"#
                ),
                user, jti, session, tenant
            )
        );
        Ok(())
    }

    #[test]
    fn a_token_ends_at_its_second_and_not_before() -> Outcome {
        let Fixture { clock, tokens, grant } = fixture()?;
        let issued = tokens.issue(grant)?;
        clock.advance(LIFETIME.saturating_sub(Duration::from_millis(1)));
        assert!(tokens.verify(issued.token.expose()).is_ok());
        clock.advance(Duration::from_millis(1));
        let error = tokens.verify(issued.token.expose()).err();
        assert_eq!(error, Some(TokenError::Expired));
        assert_eq!(error.as_ref().map(|error| error.report().code), Some("token_expired"));
        Ok(())
    }

    #[test]
    fn a_clock_that_is_behind_is_forgiven_half_a_minute() -> Outcome {
        let Fixture { clock, tokens, grant } = fixture()?;
        let issued = tokens.issue(grant)?;
        let made = clock.now();
        clock.set_wall(made - AccessTokens::LEEWAY);
        assert!(tokens.verify(issued.token.expose()).is_ok());
        clock.set_wall(made - AccessTokens::LEEWAY - Duration::from_millis(1));
        assert_eq!(tokens.verify(issued.token.expose()).err(), Some(TokenError::NotYetValid));
        Ok(())
    }

    #[test]
    fn keys_can_be_replaced_while_tokens_are_in_use() -> Outcome {
        let Fixture { clock, tokens, grant } = fixture()?;
        let before = tokens.issue(grant.clone())?;
        tokens.replace_keys(KeySet::generate(&*clock, &SeededEntropy::new(2)));
        assert_eq!(tokens.verify(before.token.expose()).err(), Some(TokenError::UnknownKey));
        let after = tokens.issue(grant)?;
        assert!(tokens.verify(after.token.expose()).is_ok());
        Ok(())
    }

    #[test]
    fn keys_that_were_stored_earlier_do_not_replace_later_ones() -> Outcome {
        let Fixture { clock, tokens, .. } = fixture()?;
        let sets = [(2, 5), (3, 4), (4, 5), (5, 5)];
        let replaced = sets.map(|(seed, version)| {
            let keys = KeySet::generate(&*clock, &SeededEntropy::new(seed)).at_version(version);
            let kid = keys.active().kid().to_owned();
            tokens.replace_keys(keys);
            tokens.keys().active().kid() == kid
        });
        assert_eq!(replaced, [true, false, true, true]);
        Ok(())
    }

    #[test]
    fn a_token_that_no_verifier_would_accept_is_not_made() -> Outcome {
        let Fixture { tokens, grant, .. } = fixture()?;
        let many = (0..400).map(|n| Permission::parse(&format!("many:p{n}"))).collect::<Result<_, _>>()?;
        assert!(tokens.issue(grant.with_scope(many)).is_err());
        Ok(())
    }
}
