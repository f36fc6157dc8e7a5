//! New passwords: the one place where they are judged and hashed.

use saas_core::{
    DisplayName, Email, ErrorKind, Fault, FieldError, Reach, Report, Secret, StoreError, TenantName, Tx,
    UserId, id::uuid_v7,
};

use super::{Auth, measures};
use crate::{
    HashError, Password, PasswordHash, User,
    password::{
        BreachedError, ContextKind, FormerPassword, PasswordAdvice, PasswordPolicy, WeakPassword,
        WhenUnknown, context::ContextWords,
    },
};

mod look_after;

pub(super) use look_after::LookedAfter;

/// Whose password is to be set.
#[derive(Debug, Clone, Copy)]
pub enum PasswordOwner<'a> {
    /// Somebody who is no user yet.
    Newcomer {
        /// Their address.
        email: &'a Email,
        /// How they want to be called.
        display_name: Option<&'a DisplayName>,
        /// The tenant that they found or join.
        tenant: Option<&'a TenantName>,
    },
    /// A user: what they belong to, and what they had before, is looked up.
    User(&'a User),
}

/// A password that was accepted.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct JudgedPassword {
    /// Its hash.
    pub hash: PasswordHash,
    /// What is to be said of it all the same, if it could be better.
    pub advice: Option<PasswordAdvice>,
}

/// A password that was not good enough.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the password is not accepted")]
pub struct RefusedPassword {
    fields: [FieldError; 1],
    why: WeakPassword,
    advice: Option<PasswordAdvice>,
}

impl RefusedPassword {
    /// Why.
    pub const fn why(&self) -> WeakPassword {
        self.why
    }

    /// What is to be said of it; nothing where that could not be worked out.
    pub const fn advice(&self) -> Option<&PasswordAdvice> {
        self.advice.as_ref()
    }
}

/// Why there is no hash of a new password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JudgePasswordError {
    /// It is not good enough; the field says why.
    #[error(transparent)]
    Refused(#[from] RefusedPassword),
    /// It could not be hashed.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// It could not be asked whether it was stolen somewhere, and the policy wants to know.
    #[error(transparent)]
    Breached(#[from] BreachedError),
    /// The storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Fault for JudgePasswordError {
    fn report(&self) -> Report<'_> {
        match self {
            Self::Refused(refused) => {
                Report::new(ErrorKind::Invalid, "invalid_password").with_fields(&refused.fields)
            }
            Self::Hash(error) => error.report(),
            Self::Breached(error) => error.report(),
            Self::Store(error) => error.report(),
        }
    }
}

const REACH: Reach = Reach::Platform("a new password");

/// The most tenants of a user whose names no password may be made of.
const TENANTS: u32 = 50;

/// What is known of an owner.
#[derive(Default)]
struct About {
    words: ContextWords,
    second_factor: bool,
    /// What they have and had, the one they have first.
    had: Vec<PasswordHash>,
}

impl Auth {
    /// Judges a new password and hashes it: the slow part of setting one, which comes before any transaction. Whoever sets passwords calls this
    /// and nothing else. `field` is what the password is called in the request, and what a refusal names.
    pub async fn judge_password(
        &self,
        field: &'static str,
        typed: &Secret<String>,
        owner: PasswordOwner<'_>,
    ) -> Result<JudgedPassword, JudgePasswordError> {
        let judged = self.judged(field, typed, owner).await;
        measures::password_judged(&judged);
        judged
    }

    async fn judged(
        &self,
        field: &'static str,
        typed: &Secret<String>,
        owner: PasswordOwner<'_>,
    ) -> Result<JudgedPassword, JudgePasswordError> {
        let refused = |why: WeakPassword, advice| {
            JudgePasswordError::Refused(RefusedPassword {
                fields: [FieldError::new(field, why.code(), why)],
                why,
                advice,
            })
        };
        let password = Password::new(typed).map_err(|_| refused(WeakPassword::TooLong, None))?;
        let about = self.about(owner).await?;
        // Without room to think about it there is no advice, which takes nothing from the judgement.
        let advice = self.ports.hasher.advise(password.clone(), about.words.texts()).await.ok();
        let policy = &self.config.password_policy;
        policy
            .check_for(&password, about.second_factor, &about.words)
            .map_err(|why| refused(why, advice.clone()))?;
        if self.is_breached_now(&password).await? {
            return Err(refused(WeakPassword::Breached, advice));
        }
        for had in about.had {
            if self.ports.hasher.verify(password.clone(), had).await? {
                return Err(refused(WeakPassword::Reused, advice));
            }
        }
        let hash = self.ports.hasher.hash(password).await?;
        Ok(JudgedPassword { hash, advice: advice.filter(PasswordAdvice::is_warning) })
    }

    /// What zxcvbn says of a password of that owner's, for whoever wants to show it before it is set. It decides nothing.
    pub async fn advise(
        &self,
        typed: &Secret<String>,
        owner: PasswordOwner<'_>,
    ) -> Result<PasswordAdvice, JudgePasswordError> {
        let password = Password::new(typed).map_err(|_| RefusedPassword {
            fields: [FieldError::new("password", WeakPassword::TooLong.code(), WeakPassword::TooLong)],
            why: WeakPassword::TooLong,
            advice: None,
        })?;
        let about = self.about(owner).await?;
        Ok(self.ports.hasher.advise(password, about.words.texts()).await?)
    }

    /// Keeps the hash that a new password takes the place of, as far as the policy looks back. For whoever sets a password, in its transaction.
    pub async fn remember_password(
        &self,
        tx: &mut Tx,
        user: UserId,
        replaced: &PasswordHash,
    ) -> Result<(), StoreError> {
        let former = FormerPassword {
            id: uuid_v7(&*self.ports.clock, &*self.ports.entropy),
            user,
            hash: replaced.clone(),
            replaced_at: self.now(),
        };
        // The one that they have counts as one.
        self.ports.history.remember(tx, &former, self.history().saturating_sub(1)).await
    }

    fn history(&self) -> u32 {
        self.config.password_policy.history.min(PasswordPolicy::MAX_HISTORY)
    }

    async fn about(&self, owner: PasswordOwner<'_>) -> Result<About, StoreError> {
        let mut about = About::default();
        for word in &self.config.password_policy.own_words {
            about.words.name(ContextKind::Product, word);
        }
        match owner {
            PasswordOwner::Newcomer { email, display_name, tenant } => {
                about.words.email(email);
                about.words.display_name(display_name);
                if let Some(tenant) = tenant {
                    about.words.name(ContextKind::Tenant, tenant.as_str());
                }
            }
            PasswordOwner::User(user) => {
                about.words.email(&user.email);
                about.words.display_name(user.display_name.as_ref());
                let mut conn = self.ports.storage.read(REACH).await?;
                for tenant in self.ports.memberships.of_user(&mut conn, user.id, TENANTS).await? {
                    about.words.name(ContextKind::Tenant, tenant.name.as_str());
                    about.words.name(ContextKind::Tenant, tenant.slug.as_str());
                }
                about.second_factor = self.second_factor_of(&mut conn, user.id).await?.is_some();
                if self.history() > 0 {
                    let has = self.ports.users.credentials(&mut conn, &user.email).await?;
                    about.had.extend(has.and_then(|has| has.password));
                    let had = self.ports.history.recent(&mut conn, user.id, self.history() - 1).await?;
                    about.had.extend(had);
                }
            }
        }
        Ok(about)
    }

    /// Whether a password that is to be set is known; where nobody can say, the policy does.
    async fn is_breached_now(&self, password: &Password) -> Result<bool, BreachedError> {
        let found = self.ports.breached.is_breached(password).await;
        measures::breached_looked_up("set", &found);
        match found {
            Err(error) if self.config.password_policy.when_unknown == WhenUnknown::Accept => {
                tracing::warn!(
                    error = saas_core::fault::chain(&error),
                    "a password was taken without a look at the list of stolen ones"
                );
                Ok(false)
            }
            found => found,
        }
    }
}
