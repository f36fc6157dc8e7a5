//! Mails in memory, for tests.

use std::{
    collections::VecDeque,
    fmt::{self, Debug},
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use saas_core::{Mail, MailError, Mailer};
use tokio::sync::watch;

/// [`Mailer`] that keeps the last mails, a mail that is sent again once.
pub struct MemoryMailer {
    capacity: usize,
    kept: Mutex<VecDeque<Mail>>,
    sent: watch::Sender<u64>,
}

impl Default for MemoryMailer {
    /// Keeps the last thousand.
    fn default() -> Self {
        Self::new(1_000)
    }
}

impl MemoryMailer {
    /// Keeps the last `capacity` mails, at least one.
    pub fn new(capacity: usize) -> Self {
        Self { capacity: capacity.max(1), kept: Mutex::default(), sent: watch::Sender::new(0) }
    }

    /// What is kept, the oldest first.
    pub fn mails(&self) -> Vec<Mail> {
        self.lock().iter().cloned().collect()
    }

    /// Takes what is kept, the oldest first.
    pub fn take(&self) -> Vec<Mail> {
        self.lock().drain(..).collect()
    }

    /// Waits until there is a mail that `wanted` says yes to, and gives the first one.
    pub async fn wait_for(&self, wanted: impl Fn(&Mail) -> bool) -> Mail {
        let mut sent = self.sent.subscribe();
        loop {
            sent.mark_unchanged();
            if let Some(mail) = self.lock().iter().find(|mail| wanted(mail)) {
                return mail.clone();
            }
            // The sender lives in `self`: waiting cannot fail.
            let _ = sent.changed().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Mail>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Mailer for MemoryMailer {
    async fn send(&self, mail: &Mail) -> Result<(), MailError> {
        let mut kept = self.lock();
        if kept.iter().all(|known| known.key != mail.key) {
            if kept.len() == self.capacity {
                kept.pop_front();
            }
            kept.push_back(mail.clone());
        }
        drop(kept);
        self.sent.send_modify(|sent| *sent += 1);
        Ok(())
    }
}

impl Debug for MemoryMailer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryMailer").field("kept", &self.lock().len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use saas_core::{MailKey, Mailbox};

    use super::*;
    use crate::{Brand, Letter, Letters};

    #[tokio::test]
    async fn the_oldest_mail_goes_when_there_are_too_many() {
        let brand =
            Brand::new("Acme", "https://app.example.com", Mailbox::parse("a@example.com").unwrap()).unwrap();
        let letters = Letters::new(brand);
        let mailer = MemoryMailer::new(2);
        for key in ["one", "two", "two", "three"] {
            let to = Mailbox::parse("b@example.com").unwrap();
            let mail = letters.mail(&Letter::Test, to, MailKey::parse(key).unwrap()).unwrap();
            mailer.send(&mail).await.unwrap();
        }
        let keys: Vec<_> = mailer.mails().iter().map(|mail| mail.key.as_str().to_owned()).collect();
        assert_eq!(keys, ["two", "three"]);
        assert_eq!(mailer.take().len(), 2);
        assert!(mailer.mails().is_empty());
    }
}
