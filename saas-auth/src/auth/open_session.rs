//! Opening a session, and the tokens that it answers with.

use chrono::{DateTime, Utc};
use saas_core::{
    Actor, InternalError, Permissions, Principal, Role, Secret, SessionId, StoreError, TenantId, Tx, UserId,
    audit::{AuditActor, AuditEvent},
    entropy::random,
};

use super::{Auth, NewUser, measures};
use crate::{
    AuthMethod, AuthMethods, Device, Family, Lineage, Session, User,
    audited::SESSION_OPENED,
    device,
    token::{AccessClaims, AccessGrant},
};

/// The first session of somebody who is registered in the same transaction. Everybody else gets theirs by signing in: nothing but a registration
/// makes a [`NewUser`].
///
/// ```compile_fail,E0451
/// # fn cannot(user: saas_auth::User) {
/// let new = saas_auth::NewUser { user };
/// # }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct NewSession<'a> {
    /// The user.
    pub user: &'a NewUser,
    /// The tenant that they will act in.
    pub tenant: TenantId,
    /// Their role in it.
    pub role: Role,
}

/// A session to write, for whom signing in or registering let in.
pub(super) struct Opening<'a> {
    pub(super) user: &'a User,
    pub(super) tenant: TenantId,
    pub(super) role: Role,
    pub(super) methods: AuthMethods,
}

/// A session that was written, and is there once its transaction commits.
#[derive(Debug, Clone)]
pub struct OpenedSession {
    pub(super) lineage: Lineage,
    pub(super) version: i64,
    pub(super) authenticated_at: DateTime<Utc>,
    pub(super) methods: AuthMethods,
    pub(super) refresh_expires_at: DateTime<Utc>,
    pub(super) session_expires_at: DateTime<Utc>,
    pub(super) role: Role,
    pub(super) email_verified: bool,
    pub(super) password_compromised: bool,
}

impl OpenedSession {
    pub(super) fn new(family: &Family, role: Role, user: &User) -> Self {
        Self {
            lineage: family.lineage(),
            version: family.session.version,
            authenticated_at: family.session.authenticated_at,
            methods: family.session.methods,
            refresh_expires_at: family.session.refresh_expires_at(),
            session_expires_at: family.session.absolute_expires_at,
            role,
            email_verified: user.email_verified_at.is_some(),
            password_compromised: user.password_compromised_at.is_some(),
        }
    }
}

/// What a client gets at sign-in and at every refresh.
#[derive(Debug)]
#[non_exhaustive]
pub struct Tokens {
    /// The access token, for `Authorization: Bearer`.
    pub access_token: Secret<String>,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
    /// The key that it is signed with.
    pub kid: String,
    /// The refresh token; each is good for one refresh.
    pub refresh_token: Secret<String>,
    /// When the session ends unless it is refreshed.
    pub refresh_expires_at: DateTime<Utc>,
    /// When the session ends whatever happens.
    pub session_expires_at: DateTime<Utc>,
    /// What the access token allows.
    pub scopes: Permissions,
    /// The user.
    pub user: UserId,
    /// The tenant.
    pub tenant: TenantId,
    /// The session.
    pub session: SessionId,
    /// Whether the user's address is verified.
    pub email_verified: bool,
    /// Whether the password was found among stolen ones, and is still the same.
    pub password_change_required: bool,
    /// For the device's next sign-in, which has guesses of its own then; a sign-in with a password alone gives one.
    pub device_token: Option<Secret<String>>,
    /// What its cookie is made of, for a browser.
    pub(super) lineage: Lineage,
    pub(super) version: i64,
}

impl Auth {
    /// Writes the first session of a new user into the caller's transaction. Sign the tokens with [`Auth::tokens_for`] once it is committed.
    pub async fn open_session_in(
        &self,
        tx: &mut Tx,
        actor: &Actor,
        new: NewSession<'_>,
    ) -> Result<OpenedSession, StoreError> {
        let NewSession { user, tenant, role } = new;
        // They have just chosen their password.
        let opening = Opening { user, tenant, role, methods: AuthMethods::of(AuthMethod::Password) };
        self.write_session(tx, actor, opening).await
    }

    /// The one place where sessions begin.
    pub(super) async fn write_session(
        &self,
        tx: &mut Tx,
        actor: &Actor,
        new: Opening<'_>,
    ) -> Result<OpenedSession, StoreError> {
        let now = self.now();
        let user_agent = actor.client.user_agent();
        let looks_like = format!(
            "{}|{}",
            actor.client.ip.map(|ip| ip.to_string()).unwrap_or_default(),
            user_agent.unwrap_or_default()
        );
        let id = SessionId::generate(&*self.ports.clock, &*self.ports.entropy);
        let address = actor.client.ip.map(device::masked);
        let session = Session {
            id,
            user: new.user.id,
            tenant: new.tenant,
            version: 1,
            created_at: now,
            authenticated_at: now,
            methods: new.methods,
            last_seen_at: now,
            idle_expires_at: now + self.config.idle_lifetime,
            absolute_expires_at: now + self.config.absolute_lifetime,
            revoked_at: None,
            device: user_agent.map(Device::from_user_agent).unwrap_or_default(),
            user_agent: user_agent.map(str::to_owned),
            address: address.and_then(|text| {
                self.ports.fields.seal(Session::address_field(id.as_uuid().as_bytes()), text.as_bytes())
            }),
            place: None,
            fingerprint: self.refresh_keys.fingerprint(&looks_like),
        };
        let family = Family {
            session,
            client_id: AccessClaims::FIRST_PARTY.to_owned(),
            key_id: self.refresh_keys.current().to_owned(),
            salt: random::<32>(&*self.ports.entropy).to_vec(),
            generation: Family::FIRST,
            rotated_at: now,
        };
        self.ports.sessions.insert(tx, &family).await?;
        let event = AuditEvent::new(SESSION_OPENED).in_tenant(new.tenant).about(family.session.id);
        // Who signs in is nobody until they have.
        let event = match actor.principal {
            Principal::Anonymous => event.by(AuditActor::user(new.user.id)),
            _ => event,
        };
        self.ports.audit.record(tx, actor, event).await?;
        self.leave_to_examine(tx, &family.session).await?;
        Ok(OpenedSession::new(&family, new.role, new.user))
    }

    /// Signs the tokens of a committed session.
    pub fn tokens_for(&self, opened: &OpenedSession) -> Result<Tokens, InternalError> {
        if opened.lineage.generation == Family::FIRST {
            measures::session_opened();
        }
        self.signed(opened)
    }

    /// What an access token of the session is made for.
    pub(super) fn grant(&self, opened: &OpenedSession) -> AccessGrant {
        let Lineage { session, user, tenant, .. } = opened.lineage;
        AccessGrant::new(user, tenant, session, opened.version, opened.role, opened.authenticated_at)
            .with_scope(self.permitted(opened.role, opened.methods))
            .with_authentication(opened.methods)
            .with_email_verified(opened.email_verified)
    }

    /// The tokens of a session, whether or not it was just opened.
    pub(super) fn signed(&self, opened: &OpenedSession) -> Result<Tokens, InternalError> {
        let Lineage { session, user, tenant, .. } = opened.lineage;
        let grant = self.grant(opened);
        let scopes = grant.scope.clone();
        let access = self.tokens.issue(grant)?;
        Ok(Tokens {
            expires_at: DateTime::from_timestamp(access.claims.exp, 0).unwrap_or_default(),
            access_token: access.token,
            kid: access.kid,
            refresh_token: self.refresh_keys.token(&opened.lineage)?,
            refresh_expires_at: opened.refresh_expires_at,
            session_expires_at: opened.session_expires_at,
            scopes,
            user,
            tenant,
            session,
            email_verified: opened.email_verified,
            password_change_required: opened.password_compromised,
            device_token: None,
            lineage: opened.lineage.clone(),
            version: opened.version,
        })
    }
}
