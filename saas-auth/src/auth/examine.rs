//! What becomes of a session after it was opened, off the way of whoever signs in: it is noted where that was, and its user is told of one that
//! may be somebody else's.
//!
//! The job that opens with the session names it and nothing more. Whoever does the job asks for [`Auth::address_to_locate`], finds out where that
//! is, and brings it to [`Auth::examined`].

use std::net::IpAddr;

use saas_core::{
    Envelope, Place, Reach, SendMail, SessionId, StoreError, Tx, UserId,
    geo::is_public,
    jobs::{Hold, Job},
};
use serde::{Deserialize, Serialize};

use super::Auth;
use crate::{PageStart, Session, SessionFilter, UserStatus, device};

/// The job that a session leaves behind when it is opened, where [`AuthConfig`](crate::AuthConfig) has a use for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExamineSession {
    /// The session.
    pub session: SessionId,
}

impl Job for ExamineSession {
    const KIND: &'static str = "auth.examine_session";
    /// A minute of a location service that is away: who is told of a sign-in is to be told soon.
    const MAX_ATTEMPTS: i64 = 6;
}

const REACH: Reach = Reach::Platform("what becomes of an opened session");

/// How many sessions of a user a new one is compared with: those that were seen last.
const COMPARED: u32 = 100;

/// How many are looked at before a job is left for it: most sign-ins are of a device that was just seen.
const GLANCED_AT: u32 = 4;

impl Auth {
    pub(super) async fn leave_to_examine(&self, tx: &mut Tx, session: &Session) -> Result<(), StoreError> {
        let (Some(jobs), true) =
            (&self.ports.jobs, self.config.locate_sessions || self.config.mail_new_sign_ins)
        else {
            return Ok(());
        };
        if !self.config.locate_sessions && self.is_familiar(tx, session).await? {
            return Ok(());
        }
        let job = jobs.prepare(&ExamineSession { session: session.id });
        let job = job.map_err(|error| StoreError::Backend(Box::new(error)))?;
        jobs.insert(tx, &job.in_tenant(session.tenant)).await.map(drop)
    }

    /// The address to ask where a session was opened from: the first of those that its own is hidden among, if they are of the public Internet.
    pub fn address_to_locate(&self, session: &Session) -> Option<IpAddr> {
        device::first_of(&self.address_of(session)?).filter(|address| is_public(*address))
    }

    /// Where a session was opened, as far as it is known. A place that does not open, as under a key that is lost, is not shown.
    pub fn place_of(&self, session: &Session) -> Option<Place> {
        let id = session.id.as_uuid();
        let opened = self.ports.fields.unseal(Session::place_field(id.as_bytes()), session.place.as_ref()?);
        match opened {
            Ok(place) => serde_json::from_slice(place.expose()).ok(),
            Err(error) => {
                tracing::warn!(session.id = %session.id, %error, "a session's place does not open");
                None
            }
        }
    }

    /// Notes where a session was opened, has its user told if neither its device nor its country is one of theirs, and completes the job, all
    /// of it or nothing. `false`: somebody else has the job by now.
    pub async fn examined(
        &self,
        session: SessionId,
        place: Option<&Place>,
        hold: &Hold,
    ) -> Result<bool, StoreError> {
        let Some(jobs) = &self.ports.jobs else { return Ok(false) };
        let mut tx = self.ports.storage.begin(REACH).await?;
        if let Some(envelope) = place.and_then(|place| self.sealed_place(session, place)) {
            self.ports.sessions.set_place(&mut tx, session, &envelope).await?;
        }
        if self.config.mail_new_sign_ins
            && let Some((family, user)) = self.ports.sessions.family(tx.conn(), session).await?
            && user.status == UserStatus::Active
            && self.is_strange(&mut tx, user.id, &family.session).await?
        {
            let told = SendMail::NewSignIn { user: user.id, session };
            let told = jobs.prepare(&told).map_err(|error| StoreError::Backend(Box::new(error)))?;
            jobs.insert(&mut tx, &told).await?;
        }
        if !jobs.complete_in(&mut tx, hold).await? {
            return Ok(false);
        }
        tx.commit().await?;
        Ok(true)
    }

    fn sealed_place(&self, session: SessionId, place: &Place) -> Option<Envelope> {
        let id = session.as_uuid();
        let text = serde_json::to_vec(place).ok()?;
        self.ports.fields.seal(Session::place_field(id.as_bytes()), &text)
    }

    /// Whether a glance tells that a session's device is one of its user's, or that they had no session before.
    async fn is_familiar(&self, tx: &mut Tx, new: &Session) -> Result<bool, StoreError> {
        let (filter, start) = (SessionFilter::live().with_ended(true), PageStart::Offset(0));
        let seen =
            self.ports.sessions.list(tx.conn(), new.user, &filter, &start, GLANCED_AT, self.now()).await?;
        let mut others = seen.iter().filter(|session| session.id != new.id).peekable();
        Ok(others.peek().is_none() || others.any(|session| session.device == new.device))
    }

    /// Whether none of the user's earlier sessions is of such a device, or none of such a country. The first session of all is nobody else's.
    async fn is_strange(&self, tx: &mut Tx, user: UserId, new: &Session) -> Result<bool, StoreError> {
        let (filter, start) = (SessionFilter::live().with_ended(true), PageStart::Offset(0));
        let known = self.ports.sessions.list(tx.conn(), user, &filter, &start, COMPARED, self.now()).await?;
        let known: Vec<&Session> = known
            .iter()
            .filter(|session| {
                session.id != new.id && (session.created_at, session.id) < (new.created_at, new.id)
            })
            .collect();
        let country = |session: &Session| self.place_of(session).and_then(|place| place.country);
        let strange_device = known.iter().all(|session| session.device != new.device);
        // Of a session that was never located nothing follows.
        let mut countries = known.iter().filter_map(|session| country(session)).peekable();
        let strange_country = countries.peek().is_some()
            && country(new).is_some_and(|new| countries.all(|country| country != new));
        Ok(!known.is_empty() && (strange_device || strange_country))
    }
}
