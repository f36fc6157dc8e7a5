//! Reading: a page of rows, and a whole chain bit by bit.

use super::{Audit, AuditAction, AuditActor, AuditFilter, AuditId, AuditRow, AuditSubject, Chain, Head};
use crate::{
    Actor, Conn, Cursor, ErrorKind, Fault, InvalidCursor, Page, PageSize, Principal, Reach, Report,
    StoreError,
};

pub(super) const REACH: Reach = Reach::Platform("an operator's look at the audit log");

/// Why the audit log was not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// This actor may not.
    #[error("this needs an operator")]
    Forbidden,
    /// The cursor is of another list.
    #[error(transparent)]
    Cursor(#[from] InvalidCursor),
    /// The storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Fault for AuditError {
    fn report(&self) -> Report<'_> {
        match self {
            Self::Forbidden => Report::new(ErrorKind::Forbidden, "forbidden"),
            Self::Cursor(_) => Report::new(ErrorKind::Invalid, "invalid_cursor"),
            Self::Store(error) => error.report(),
        }
    }
}

pub(super) const fn is_operator(actor: &Actor) -> bool {
    matches!(actor.principal, Principal::System(_))
}

fn operator(actor: &Actor) -> Result<(), AuditError> {
    if is_operator(actor) { Ok(()) } else { Err(AuditError::Forbidden) }
}

/// What cursors of a list are marked with.
fn list_name(filter: &AuditFilter) -> String {
    let AuditFilter { chain, actor, subject, action, from, until } = filter;
    let micros = |at: &chrono::DateTime<chrono::Utc>| at.timestamp_micros().to_string();
    let parts = [
        chain.map(|chain| chain.to_string()),
        actor.as_ref().map(AuditActor::to_string),
        subject.as_ref().map(AuditSubject::to_string),
        action.as_ref().map(AuditAction::to_string),
        from.as_ref().map(micros),
        until.as_ref().map(micros),
    ];
    // None of them has a line end in it.
    format!("audit\n{}", parts.map(Option::unwrap_or_default).join("\n"))
}

impl Audit {
    /// A page of the rows that the filter lets through, the newest first. For operators.
    pub async fn list(
        &self,
        actor: &Actor,
        filter: &AuditFilter,
        after: Option<&Cursor>,
        size: PageSize,
    ) -> Result<Page<AuditRow>, AuditError> {
        operator(actor)?;
        let list = list_name(filter);
        let before = after.map(|cursor| cursor.key(&list)?.parse().map_err(|_| InvalidCursor)).transpose()?;
        let mut conn = self.storage().read(REACH).await?;
        let rows = self.log().list(&mut conn, filter, before, size.and_one_more()).await?;
        Ok(Page::cut(rows, size, |row| Cursor::new(&list, &row.entry.id.to_string())))
    }

    /// Rows that the filter lets through, the newest first, on the caller's connection. For services, who know whom they show what.
    pub async fn rows(
        &self,
        conn: &mut Conn,
        filter: &AuditFilter,
        before: Option<AuditId>,
        limit: u32,
    ) -> Result<Vec<AuditRow>, StoreError> {
        self.log().list(conn, filter, before, limit).await
    }

    /// The chain after one, or the first: for who goes through all of them. For operators.
    pub async fn next_chain(&self, actor: &Actor, after: Option<Chain>) -> Result<Option<Chain>, AuditError> {
        operator(actor)?;
        let mut conn = self.storage().read(REACH).await?;
        Ok(self.log().next_chain(&mut conn, after).await?)
    }

    /// Where a chain ends; `None` while nothing of it is sealed. For operators.
    pub async fn head(&self, actor: &Actor, chain: Chain) -> Result<Option<Head>, AuditError> {
        operator(actor)?;
        let mut conn = self.storage().read(REACH).await?;
        Ok(self.log().head(&mut conn, chain).await?)
    }

    /// Sealed rows of a chain after one, in the chain's order. For operators.
    pub async fn sealed(
        &self,
        actor: &Actor,
        chain: Chain,
        after: Option<(i64, AuditId)>,
        size: PageSize,
    ) -> Result<Vec<AuditRow>, AuditError> {
        operator(actor)?;
        let mut conn = self.storage().read(REACH).await?;
        Ok(self.log().sealed(&mut conn, chain, after, size.get()).await?)
    }

    /// Records what happened before anybody could record it, unless that is there: once, whatever else does so at the same time.
    ///
    /// For what the platform's chain has few of: all rows of the events' actions are looked through.
    pub async fn record_missing(
        &self,
        actor: &Actor,
        events: Vec<super::AuditEvent>,
    ) -> Result<usize, StoreError> {
        if self.missing(&mut self.storage().read(REACH).await?, &events).await?.is_empty() {
            return Ok(0);
        }
        let mut tx = self.storage().begin(REACH).await?;
        // Whoever else does this waits for us here, and then finds what we wrote.
        let head = self.log().hold(&mut tx, Chain::Platform).await?;
        let missing = self.missing(tx.conn(), &events).await?;
        if missing.is_empty() {
            return Ok(0);
        }
        if head.is_none() {
            let mut head = Head::empty(Chain::Platform);
            self.prover().prove_head(&mut head).map_err(super::service::unproved)?;
            self.log().move_head(&mut tx, &head).await?;
        }
        let count = missing.len();
        for event in missing {
            self.record(&mut tx, actor, event).await?;
        }
        tx.commit().await?;
        Ok(count)
    }

    async fn missing(
        &self,
        conn: &mut Conn,
        events: &[super::AuditEvent],
    ) -> Result<Vec<super::AuditEvent>, StoreError> {
        let mut missing = Vec::new();
        for event in events {
            let filter = AuditFilter {
                chain: Some(event.chain),
                action: Some(event.action.clone()),
                subject: event.subject.clone(),
                ..AuditFilter::default()
            };
            if self.log().list(conn, &filter, None, 1).await?.is_empty() {
                missing.push(event.clone());
            }
        }
        Ok(missing)
    }
}
