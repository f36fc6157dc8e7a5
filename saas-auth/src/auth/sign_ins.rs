//! A user's own sign-ins, as the audit log has them.

use std::cmp::Reverse;

use chrono::{DateTime, Utc};
use saas_core::{
    Actor, Conn, Cursor, InvalidCursor, Page, PageSize, Reach, StoreError, UserId,
    audit::{AuditActor, AuditFilter, AuditId, AuditRow, AuditSubject},
};

use super::{Auth, SessionsError};
use crate::{
    Session,
    audited::{SESSION_OPENED, SIGN_IN_REFUSED},
};

/// That somebody signed in with an account, or tried to.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SignInEvent {
    /// When.
    pub at: DateTime<Utc>,
    /// What came of it.
    pub outcome: SignInOutcome,
}

/// What came of a sign-in.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum SignInOutcome {
    /// A session was opened; `None` once it was removed, some time after its end.
    SignedIn(Option<Box<Session>>),
    /// Nobody was let in. Nothing is kept of whoever tried.
    Refused {
        /// Why, in a word of the audit log's.
        reason: Option<String>,
    },
}

const REACH: Reach = Reach::Platform("a user's own sign-ins");

impl Auth {
    /// A page of what was done with the actor's account at the door, the newest first.
    pub async fn sign_ins(
        &self,
        actor: &Actor,
        after: Option<&Cursor>,
        size: PageSize,
    ) -> Result<Page<SignInEvent>, SessionsError> {
        let user = actor.user().ok_or(SessionsError::Unauthenticated)?.user;
        let list = format!("sign_ins|{user}");
        let before: Option<AuditId> =
            after.map(|cursor| cursor.key(&list)?.parse().map_err(|_| InvalidCursor)).transpose()?;
        let opened = AuditFilter {
            actor: Some(AuditActor::user(user)),
            action: Some(SESSION_OPENED),
            ..AuditFilter::default()
        };
        let refused = AuditFilter {
            subject: Some(AuditSubject::from(user)),
            action: Some(SIGN_IN_REFUSED),
            ..AuditFilter::default()
        };
        let mut conn = self.ports.storage.read(REACH).await?;
        let mut rows = Vec::new();
        for filter in [opened, refused] {
            rows.extend(self.ports.audit.rows(&mut conn, &filter, before, size.and_one_more()).await?);
        }
        rows.sort_unstable_by_key(|row| Reverse(row.entry.id));
        let page = Page::cut(rows, size, |last| Cursor::new(&list, &last.entry.id.to_string()));
        let mut events = Vec::with_capacity(page.items.len());
        for AuditRow { entry, .. } in page.items {
            let at = entry.at().unwrap_or_default();
            let outcome = if entry.action == SESSION_OPENED.as_str() {
                SignInOutcome::SignedIn(self.opened(&mut conn, user, entry.subject.as_deref()).await?)
            } else {
                SignInOutcome::Refused { reason: entry.reason }
            };
            events.push(SignInEvent { at, outcome });
        }
        Ok(Page { items: events, next: page.next })
    }

    /// The session that a row is about.
    async fn opened(
        &self,
        conn: &mut Conn,
        user: UserId,
        subject: Option<&str>,
    ) -> Result<Option<Box<Session>>, StoreError> {
        let id = subject.and_then(|subject| subject.strip_prefix("session:")?.parse().ok());
        let Some(id) = id else { return Ok(None) };
        let known = self.ports.sessions.family(conn, id).await?;
        Ok(known.map(|(family, _)| Box::new(family.session)).filter(|session| session.user == user))
    }
}
