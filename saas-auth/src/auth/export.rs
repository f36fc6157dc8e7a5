//! What auth holds of a user, for the export of their account. Hashes, and what tokens are derived from, it does not write.

use chrono::{DateTime, Utc};
use saas_core::{
    Actor, Document, ErrorKind, ExportError, Fault, Reach, Report, Secret, SessionId, StoreError, UserId,
    audit::AuditEvent,
};
use serde_json::json;

use super::{Auth, RecoveryError, keys::is_operator};
use crate::{Factor, Guesses, OneTimeToken, PageStart, Session, SessionFilter, User, audited::USER_EXPORTED};

/// Why an account is not written out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportAccountError {
    /// This actor may not.
    #[error("this needs an operator")]
    Forbidden,
    /// There is no such user.
    #[error("there is no such user")]
    NotFound,
    /// Who they are was not proved.
    #[error(transparent)]
    Proof(#[from] RecoveryError),
    /// The storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Fault for ExportAccountError {
    fn report(&self) -> Report<'_> {
        match self {
            Self::Forbidden => Report::new(ErrorKind::Forbidden, "forbidden"),
            Self::NotFound => Report::new(ErrorKind::NotFound, "user_not_found"),
            Self::Proof(error) => error.report(),
            Self::Store(error) => error.report(),
        }
    }
}

/// How many sessions are read at once.
const ROUND: u32 = 50;
/// The most counters of guesses there are of a user: one of each kind, and one for each device.
const COUNTERS: u32 = 1000;
/// The most tokens there are of a user: one of each purpose, and an undo for each change of address of the last days.
const TOKENS: u32 = 1000;

const REACH: Reach = Reach::Platform("the export of an account");

impl Auth {
    /// Notes that the actor's own account is about to be written out, if that is their password.
    pub async fn allow_own_export(
        &self,
        actor: &Actor,
        password: &Secret<String>,
    ) -> Result<User, ExportAccountError> {
        let user = self.confirm_password(actor, password, "account_export").await?;
        self.note_export(actor, user).await
    }

    /// Notes that any account is about to be written out. For operators.
    pub async fn allow_export(&self, actor: &Actor, user: UserId) -> Result<User, ExportAccountError> {
        if !is_operator(actor) {
            return Err(ExportAccountError::Forbidden);
        }
        let user = {
            let mut conn = self.ports.storage.read(REACH).await?;
            self.ports.users.by_id(&mut conn, user).await?
        };
        self.note_export(actor, user.ok_or(ExportAccountError::NotFound)?).await
    }

    async fn note_export(&self, actor: &Actor, user: User) -> Result<User, ExportAccountError> {
        self.ports.audit.record_alone(actor, AuditEvent::new(USER_EXPORTED).about(user.id)).await?;
        tracing::info!(user.id = %user.id, "an account is exported");
        Ok(user)
    }

    /// Writes a user, their second factor, what was guessed at their secrets, their sessions, and what is stored of the mails to them. For the
    /// product itself.
    pub async fn write_user(
        &self,
        actor: &Actor,
        user: &User,
        document: &mut Document,
    ) -> Result<(), ExportError> {
        if !is_operator(actor) {
            return Err(ExportError::Forbidden);
        }
        let has_password = {
            let mut conn = self.ports.storage.read(REACH).await?;
            let found = self.ports.users.credentials(&mut conn, &user.email).await?;
            found.is_some_and(|found| found.user.id == user.id && found.password.is_some())
        };
        document.member("user", &user_item(user, has_password))?;
        let (factor, codes_left, guesses) = {
            let mut conn = self.ports.storage.read(REACH).await?;
            let factor = self.ports.second_factors.factor(&mut conn, user.id).await?;
            let codes_left = self.ports.second_factors.codes_left(&mut conn, user.id).await?;
            (factor, codes_left, self.ports.guesses.of_user(&mut conn, user.id, COUNTERS).await?)
        };
        document.member("second_factor", &factor.map(|factor| factor_item(&factor, codes_left)))?;
        document.begin_list("guesses")?;
        for counted in &guesses {
            document.item(&guesses_item(counted)).await?;
        }
        document.end_list();
        document.begin_list("sessions")?;
        let mut last = None;
        while let Some(sessions) = self.sessions_after(user.id, &mut last).await? {
            for session in sessions {
                document.item(&self.session_item(&session)).await?;
            }
        }
        document.end_list();
        document.begin_list("mailed_tokens")?;
        let tokens = {
            let mut conn = self.ports.storage.read(REACH).await?;
            self.ports.one_time_tokens.of_user(&mut conn, user.id, TOKENS).await?
        };
        for token in &tokens {
            document.item(&self.token_item(token)).await?;
        }
        document.end_list();
        Ok(())
    }

    /// Writes, as items of the list that is open, the audit log's rows about a user's sessions of what others did. For the product itself.
    pub async fn write_rows_about_sessions(
        &self,
        actor: &Actor,
        user: UserId,
        document: &mut Document,
    ) -> Result<(), ExportError> {
        if !is_operator(actor) {
            return Err(ExportError::Forbidden);
        }
        let mut last = None;
        while let Some(sessions) = self.sessions_after(user, &mut last).await? {
            for session in sessions {
                self.ports.audit.write_rows_about(actor, user, session.id.into(), document).await?;
            }
        }
        Ok(())
    }

    /// Some of a user's sessions, those that have ended, too, after the last ones; `None` at the end. No connection is held while they
    /// are written.
    async fn sessions_after(
        &self,
        user: UserId,
        last: &mut Option<(DateTime<Utc>, SessionId)>,
    ) -> Result<Option<Vec<Session>>, StoreError> {
        let filter = SessionFilter::live().with_ended(true);
        let start = last.map_or(PageStart::Offset(0), |(seen, id)| PageStart::After(seen, id));
        let mut conn = self.ports.storage.read(REACH).await?;
        let sessions = self.ports.sessions.list(&mut conn, user, &filter, &start, ROUND, self.now()).await?;
        *last = sessions.last().map(|session| (session.last_seen_at, session.id));
        Ok(last.map(|_| sessions))
    }

    fn session_item(&self, session: &Session) -> serde_json::Value {
        json!({
            "id": session.id.as_uuid(),
            "tenant_id": session.tenant.as_uuid(),
            "created_at": session.created_at,
            "authenticated_at": session.authenticated_at,
            "authenticated_by": session.methods.amr(),
            "last_seen_at": session.last_seen_at,
            "idle_expires_at": session.idle_expires_at,
            "absolute_expires_at": session.absolute_expires_at,
            "revoked_at": session.revoked_at,
            "platform": session.device.platform,
            "browser": session.device.browser,
            "device": session.device.device,
            "user_agent": session.user_agent,
            "ip_address_masked": self.address_of(session),
            "place": self.place_of(session),
            "fingerprint": session.fingerprint,
        })
    }

    fn token_item(&self, token: &OneTimeToken) -> serde_json::Value {
        let addresses: Vec<String> = match token.other_address {
            // One that does not open was logged.
            Some(_) => self.other_addresses(token).map_or_else(
                |_| Vec::new(),
                |(first, second)| {
                    [Some(first), second]
                        .into_iter()
                        .flatten()
                        .map(|email| email.shown().to_owned())
                        .collect()
                },
            ),
            None => Vec::new(),
        };
        json!({
            "id": token.id.as_uuid(),
            "purpose": token.purpose.as_str(),
            "addresses": addresses,
            "created_at": token.created_at,
            "expires_at": token.expires_at,
            "used_at": token.used_at,
        })
    }
}

fn factor_item(factor: &Factor, codes_left: i64) -> serde_json::Value {
    json!({
        "begun_at": factor.created_at,
        "enrolled_at": factor.confirmed_at,
        "recovery_codes_left": codes_left,
    })
}

fn guesses_item(guesses: &Guesses) -> serde_json::Value {
    json!({
        "kind": guesses.kind.as_str(),
        "failures": guesses.failures,
        "consecutive": guesses.consecutive,
        "open_from": guesses.open_from,
    })
}

fn user_item(user: &User, has_password: bool) -> serde_json::Value {
    json!({
        "id": user.id.as_uuid(),
        "email": user.email.shown(),
        "email_identity": user.email.as_str(),
        "email_verified_at": user.email_verified_at,
        "display_name": user.display_name.as_ref().map(saas_core::DisplayName::as_str),
        "status": user.status.as_str(),
        "has_password": has_password,
        "password_compromised_at": user.password_compromised_at,
        "created_at": user.created_at,
    })
}
