//! What a network may try, and who tries out other people's passwords.
//!
//! A network pays before a password is hashed, and is paid back when it was right. Whoever fails for many accounts, or for many with one
//! password, pays more from then on.

use std::time::Duration;

use saas_core::{
    Actor, Grant, Quota, RateLimitError,
    audit::{AuditEvent, AuditSubject},
    fault::chain,
    rate_limit::{Subject, WhenAway},
    text::hex,
};

use super::{SignIn, SignInError, refusal::NotSignedIn};
use crate::{
    Auth,
    audited::STUFFING_SUSPECTED,
    auth::{
        measures,
        network::{ADDRESS, SUBNET, places},
    },
};

/// How much guesses of networks may cost, and what makes them dear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ThrottleRules {
    /// How many wrong passwords one network may try in each window: an IPv4 address, or a /64 of IPv6.
    pub address_guesses: u32,
    /// How many the networks around it may, together: a /24 of IPv4, a /48 of IPv6.
    pub subnet_guesses: u32,
    /// The window.
    pub window: Duration,
    /// For how many accounts a network, or a password, may be wrong in each `stuffing_window` without being suspected.
    pub stuffing_accounts: u32,
    /// That window.
    pub stuffing_window: Duration,
}

/// The product's defaults: 50 wrong passwords of an address in ten minutes, 250 of the network around it; 15 accounts in three hours.
impl Default for ThrottleRules {
    fn default() -> Self {
        Self {
            address_guesses: 50,
            subnet_guesses: 250,
            window: Duration::from_mins(10),
            stuffing_accounts: 15,
            stuffing_window: Duration::from_hours(3),
        }
    }
}

impl ThrottleRules {
    const fn address(&self) -> Quota {
        Quota::new("sign_in", self.address_guesses, self.window)
    }

    const fn subnet(&self) -> Quota {
        Quota::new("sign_in", self.subnet_guesses, self.window)
    }

    /// What tells a second failure for an account from a first.
    const fn seen(&self) -> Quota {
        Quota::new("stuffing_seen", 1, self.stuffing_window)
    }

    const fn accounts(&self) -> Quota {
        Quota::new("stuffing", self.stuffing_accounts, self.stuffing_window)
    }

    /// What a guess of a suspect costs: five of them use up the quota of an address.
    fn dear(&self) -> u32 {
        (self.address_guesses / 5).max(1)
    }
}

/// What a network paid.
#[derive(Debug, Clone, Copy)]
pub(super) struct Toll(u32);

const PASSWORD: &str = "password";

impl Auth {
    /// Takes what a guess costs from the network's quota and from that of those around it. While they cannot be counted nobody may guess.
    pub(super) async fn pay(&self, actor: &Actor, command: &SignIn) -> Result<Toll, NotSignedIn> {
        let (limits, rules) = (&self.ports.limits, &self.config.throttle);
        let (address, subnet) = places(actor);
        let suspect = self.is_suspect(&address, command).await?;
        let cost = if suspect { rules.dear() } else { 1 };
        let address = Subject::new(ADDRESS, &address);
        let grant = limits.take(&rules.address(), address, cost, WhenAway::Refuse).await?;
        if let Grant::Refused { retry_after, .. } = grant {
            return Err(throttled(retry_after));
        }
        if let Some(subnet) = &subnet {
            let subnet = Subject::new(SUBNET, subnet);
            let grant = limits.take(&rules.subnet(), subnet, cost, WhenAway::Refuse).await?;
            if let Grant::Refused { retry_after, .. } = grant {
                limits.give_back(&rules.address(), address, cost).await?;
                return Err(throttled(retry_after));
            }
        }
        Ok(Toll(cost))
    }

    /// Gives back what was paid for a right password.
    pub(super) async fn pay_back(&self, actor: &Actor, toll: &Toll) {
        let (limits, rules, Toll(cost)) = (&self.ports.limits, &self.config.throttle, *toll);
        let (address, subnet) = places(actor);
        let mut done = limits.give_back(&rules.address(), Subject::new(ADDRESS, &address), cost).await;
        if let (Ok(()), Some(subnet)) = (&done, &subnet) {
            done = limits.give_back(&rules.subnet(), Subject::new(SUBNET, subnet), cost).await;
        }
        if let Err(error) = done {
            tracing::warn!(error = chain(&error), "a network was not given back what it paid");
        }
    }

    /// Whether so many accounts failed from there, or with that password, that it looks like trying out.
    async fn is_suspect(&self, address: &[u8], command: &SignIn) -> Result<bool, RateLimitError> {
        let accounts = self.config.throttle.accounts();
        let bucket = self.guess_keys.password_bucket(command.password.expose().as_bytes());
        for subject in [Subject::new(ADDRESS, address), Subject::new(PASSWORD, &bucket)] {
            let left = self.ports.limits.tally(&accounts, subject, 0, WhenAway::Refuse).await?;
            if left.remaining() == 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Counts the account that a guess was wrong for, by where it came from and by its password. An account counts once.
    pub(super) async fn suspect(&self, actor: &Actor, command: &SignIn) -> Result<(), NotSignedIn> {
        let (address, _) = places(actor);
        let bucket = self.guess_keys.password_bucket(command.password.expose().as_bytes());
        let account = self.guess_keys.account(&command.email);
        for subject in [Subject::new(ADDRESS, &address), Subject::new(PASSWORD, &bucket)] {
            if self.is_one_too_many(subject, account.as_bytes()).await? {
                self.tell_of_stuffing(actor, subject).await?;
            }
        }
        Ok(())
    }

    /// Whether this account is the one that makes the subject a suspect.
    async fn is_one_too_many(&self, subject: Subject<'_>, account: &[u8]) -> Result<bool, RateLimitError> {
        let (limits, rules) = (&self.ports.limits, &self.config.throttle);
        let both = [subject.value, account].concat();
        let new =
            limits.tally(&rules.seen(), Subject::new(subject.scope, &both), 1, WhenAway::Refuse).await?;
        if let Grant::Refused { .. } = new {
            return Ok(false);
        }
        let left = limits.tally(&rules.accounts(), subject, 1, WhenAway::Refuse).await?;
        Ok(left == Grant::Allowed { remaining: 0 })
    }

    /// Once for each time that one becomes a suspect: a row, a line in the log, and a count. None of them says who or what it is.
    async fn tell_of_stuffing(&self, actor: &Actor, subject: Subject<'_>) -> Result<(), NotSignedIn> {
        let name = hex(&self.guess_keys.pseudonym(subject.value));
        let event = AuditEvent::new(STUFFING_SUSPECTED)
            .about(AuditSubject::new(subject.scope, &name))
            .because(subject.scope)
            .passing();
        self.ports.audit.record_alone(actor, event).await?;
        measures::stuffing(subject.scope);
        tracing::warn!(
            scope = subject.scope,
            subject = name,
            "wrong passwords for many accounts: somebody may be trying out stolen ones"
        );
        Ok(())
    }
}

fn throttled(retry_after: Duration) -> NotSignedIn {
    NotSignedIn::Failed(SignInError::Throttled { retry_after })
}

impl From<RateLimitError> for NotSignedIn {
    fn from(error: RateLimitError) -> Self {
        Self::Failed(error.into())
    }
}
