//! What is asked before a password is compared: whether the network may try, and whether the device or the account may be guessed at.

use std::time::Duration;

use saas_core::{Actor, Email, Secret, StoreError, Tx, UserId};

use super::{REACH, SignIn, SignInError, refusal::NotSignedIn, throttle::Toll};
use crate::{Auth, DeviceId, DeviceToken, GuessKind, User, auth::guesses::Guess};

/// What is known of an attempt before anybody is looked up.
pub(super) struct Approach {
    device: Option<DeviceToken>,
    pub(super) toll: Option<Toll>,
}

/// An attempt that may be compared, or must not be.
#[derive(Clone)]
pub(super) struct Attempt {
    /// What its network paid; nothing where a device is known.
    toll: Option<Toll>,
    /// The device, where its owner has signed in on it before.
    device: Option<DeviceId>,
    /// None while locked.
    guess: Option<Guess>,
}

impl Attempt {
    /// Whether the password may be compared with the stored hash.
    pub(super) const fn is_granted(&self) -> bool {
        self.guess.is_some()
    }
}

impl Auth {
    /// Has the network pay, unless a device of the account's owner asks: that one has guesses of its own.
    pub(super) async fn approach(&self, actor: &Actor, command: &SignIn) -> Result<Approach, NotSignedIn> {
        let device = self.known_device(&command.email, command.device_token.as_ref());
        let toll = if device.is_some() { None } else { Some(self.pay(actor, command).await?) };
        Ok(Approach { device, toll })
    }

    /// The device that the token proves, if it does.
    fn known_device(&self, email: &Email, token: Option<&Secret<String>>) -> Option<DeviceToken> {
        let token = DeviceToken::parse(token?.expose()).ok()?;
        let genuine = token.is_of(&self.guess_keys, email);
        (genuine && self.now() < token.issued_at + self.config.device_token_lifetime).then_some(token)
    }

    /// Reserves a guess: the device's, or the account's, whether there is one or not.
    pub(super) async fn attempt(
        &self,
        actor: &Actor,
        command: &SignIn,
        approach: Approach,
        user: Option<UserId>,
    ) -> Result<Attempt, NotSignedIn> {
        let Approach { device, toll } = approach;
        if let (Some(token), Some(user)) = (device, user)
            && !self.is_forgotten(&token, user).await?
        {
            let id = self.guess_keys.device(&command.email, token.device);
            if let Some(guess) = self.reserve(id, GuessKind::Device, Some(user)).await? {
                return Ok(Attempt { toll: None, device: Some(token.device), guess: Some(guess) });
            }
        }
        let toll = match toll {
            Some(toll) => toll,
            // A device that is forgotten or has used up its guesses is like any other.
            None => self.pay(actor, command).await?,
        };
        let id = self.guess_keys.account(&command.email);
        let guess = self.reserve(id, GuessKind::Account, user).await?;
        Ok(Attempt { toll: Some(toll), device: None, guess })
    }

    async fn is_forgotten(&self, token: &DeviceToken, user: UserId) -> Result<bool, StoreError> {
        let mut conn = self.ports.storage.read(REACH).await?;
        let forgotten = self.ports.guesses.devices_forgotten_at(&mut conn, user).await?;
        // A token knows seconds: one of the same second is taken for an older one.
        Ok(forgotten.is_some_and(|at| token.issued_at.timestamp() <= at.timestamp()))
    }

    /// The password was right, and nothing is done about that yet.
    pub(super) fn is_right_so_far(&self, attempt: &Attempt) {
        if let Some(guess) = &attempt.guess {
            self.owe(guess);
        }
    }

    /// What was right let somebody in, in whose transaction it was cleared.
    pub(super) fn was_right_and_cleared(&self, attempt: &Attempt) {
        if let Some(guess) = &attempt.guess {
            self.owes_no_more(guess);
        }
    }

    /// Takes an attempt back that was compared with nothing. What the network paid stays paid: it made us busy.
    pub(super) async fn not_compared(&self, attempt: &Attempt) {
        if let Some(guess) = &attempt.guess {
            self.owes_no_more(guess);
            self.take_back_or_say(guess).await;
        }
    }

    /// The password was right, and opened nothing: that is none of the counters' business.
    pub(super) async fn was_right(&self, attempt: &Attempt) {
        if let Some(guess) = &attempt.guess {
            self.guessed_right_alone(guess).await;
        }
    }

    /// The password was right, in the transaction of the session that it opens.
    pub(super) async fn was_right_in(&self, tx: &mut Tx, attempt: &Attempt) -> Result<(), StoreError> {
        match &attempt.guess {
            Some(guess) => self.guessed_right(tx, guess).await,
            None => Ok(()),
        }
    }

    /// What the device has guesses of its own with from now on.
    pub(super) fn device_token(&self, command: &SignIn, attempt: &Attempt) -> Option<Secret<String>> {
        self.new_device_token(&command.email, attempt.device)
    }

    /// The same for whoever has shown their second factor, on the device that they signed in on before, if they did.
    pub(super) async fn device_token_after(
        &self,
        user: &User,
        before: Option<&Secret<String>>,
    ) -> Option<Secret<String>> {
        let known = self.known_device(&user.email, before);
        let known = match known {
            // Whoever cannot be asked has forgotten it: they are signed in, whatever becomes of this.
            Some(token) if !self.is_forgotten(&token, user.id).await.unwrap_or(true) => Some(token.device),
            _ => None,
        };
        self.new_device_token(&user.email, known)
    }

    fn new_device_token(&self, email: &Email, device: Option<DeviceId>) -> Option<Secret<String>> {
        DeviceToken::issue(&self.guess_keys, email, device, self.now(), &*self.ports.entropy)
    }

    /// The token of a device that signed in just when all devices were forgotten. A token knows seconds, and one of that second is forgotten:
    /// this one is of the next.
    pub(in crate::auth) fn device_token_after_forgetting(&self, email: &Email) -> Option<Secret<String>> {
        let next = self.now() + Duration::from_secs(1);
        DeviceToken::issue(&self.guess_keys, email, None, next, &*self.ports.entropy)
    }

    /// Gives the network back what it paid for nothing: the storage is away.
    pub(super) async fn refund(&self, actor: &Actor, toll: Option<&Toll>, why: &NotSignedIn) {
        if let (Some(toll), NotSignedIn::Failed(SignInError::Store(_))) = (toll, why) {
            self.pay_back(actor, toll).await;
        }
    }

    /// Gives the network back what a right password had it pay.
    pub(super) async fn settle(&self, actor: &Actor, attempt: &Attempt) {
        if let Some(toll) = &attempt.toll {
            self.pay_back(actor, toll).await;
        }
    }

    /// The password was wrong, or was not to be compared.
    pub(super) async fn was_wrong(
        &self,
        actor: &Actor,
        command: &SignIn,
        attempt: &Attempt,
        user: Option<&User>,
    ) -> Result<(), NotSignedIn> {
        if let Some(guess) = &attempt.guess {
            self.guessed_password_wrong(actor, &command.email, user, guess).await?;
        }
        if attempt.toll.is_some() {
            self.suspect(actor, command).await?;
        }
        Ok(())
    }
}
