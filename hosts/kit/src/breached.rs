//! Lists of stolen passwords: settings to configuration, without I/O; configuration to a list.

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use saas_auth::{
    BreachedAtSignIn, BreachedPasswords, CommonPasswords, Password, PasswordPolicy, WhenUnknown,
    password::{BreachedError, NoBreachedPasswords},
};
use saas_auth_breached::{BreachedFile, BreachedFileError};
use saas_core::Clock;
use tokio::sync::Semaphore;

use crate::settings::{BreachedChoice, BreachedSignInChoice, Settings, UnknownChoice};

#[cfg(feature = "breached-range")]
mod range;

/// A list of stolen passwords that could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BreachedListError {
    /// The file of `BREACHED_PASSWORDS_FILE`.
    #[error("BREACHED_PASSWORDS_FILE: {0}")]
    File(#[source] BreachedFileError),
    /// The TLS of the range service's client could not be set up.
    #[cfg(feature = "tls")]
    #[error(transparent)]
    Tls(#[from] crate::tls::TlsError),
    /// That client could not be made.
    #[error("no client for the list of stolen passwords could be made")]
    Client(#[source] saas_core::InternalError),
}

/// Which list, judged and not yet opened.
#[derive(Debug, Clone)]
pub(crate) enum List {
    /// What the builder was given.
    Own(Arc<dyn BreachedPasswords>),
    None,
    Bundled,
    File(PathBuf),
    #[cfg(feature = "breached-range")]
    Range(saas_auth_breached::BreachedRangeConfig),
}

impl List {
    /// What the settings say; the error names those that are wrong.
    pub(crate) fn of(settings: &Settings) -> Result<Self, String> {
        match settings.breached_passwords {
            BreachedChoice::None => Ok(Self::None),
            BreachedChoice::Bundled => Ok(Self::Bundled),
            BreachedChoice::File => settings.breached_passwords_file.clone().map(Self::File).ok_or_else(|| {
                "BREACHED_PASSWORDS_FILE: is not set while BREACHED_PASSWORDS is file: name the list that you downloaded".to_owned()
            }),
            #[cfg(feature = "breached-range")]
            BreachedChoice::Range => range::config(settings)
                .map(Self::Range)
                .map_err(|error| format!("BREACHED_PASSWORDS_URL: {error}")),
            #[cfg(not(feature = "breached-range"))]
            BreachedChoice::Range => Err(
                "BREACHED_PASSWORDS: this build cannot ask a range service: build with its feature `breached-range`, or set another one"
                    .to_owned(),
            ),
        }
    }

    /// The list. A service is not connected to before it is asked.
    pub(crate) fn open(
        &self,
        clock: &Arc<dyn Clock>,
    ) -> Result<Arc<dyn BreachedPasswords>, BreachedListError> {
        #[cfg(not(feature = "breached-range"))]
        let _ = clock;
        Ok(match self {
            Self::Own(list) => Arc::clone(list),
            Self::None => Arc::new(NoBreachedPasswords),
            Self::Bundled => Arc::new(CommonPasswords),
            Self::File(path) => {
                let file = BreachedFile::open(path).map_err(BreachedListError::File)?;
                Arc::new(OffThread { file: Arc::new(file), slots: Semaphore::new(READERS) })
            }
            #[cfg(feature = "breached-range")]
            Self::Range(config) => Arc::new(range::open(config, Arc::clone(clock))?),
        })
    }
}

/// What the settings say of passwords.
pub(crate) fn policy(settings: &Settings) -> PasswordPolicy {
    let mut policy = PasswordPolicy::default().with_min_length(settings.auth_password_min_length);
    policy.min_length_with_second_factor = settings.auth_password_min_length_with_second_factor;
    policy.history = settings.auth_password_history_count;
    policy.own_words = std::iter::once(settings.app_name.clone())
        .chain(settings.auth_password_blocked_words.iter().flat_map(|words| words.iter().map(str::to_owned)))
        .collect();
    policy.when_unknown = match settings.breached_passwords_when_unknown {
        UnknownChoice::Accept => WhenUnknown::Accept,
        UnknownChoice::Refuse => WhenUnknown::Refuse,
    };
    policy.breached_at_sign_in = match settings.breached_passwords_at_sign_in {
        BreachedSignInChoice::Ignore => BreachedAtSignIn::Ignore,
        BreachedSignInChoice::Flag => BreachedAtSignIn::Flag,
        BreachedSignInChoice::Refuse => BreachedAtSignIn::Refuse,
    };
    policy
}

/// How many passwords are looked up in the file at once.
const READERS: usize = 4;

/// A file that is read off the threads that serve requests.
#[derive(Debug)]
struct OffThread {
    file: Arc<BreachedFile>,
    slots: Semaphore,
}

#[async_trait]
impl BreachedPasswords for OffThread {
    async fn is_breached(&self, password: &Password) -> Result<bool, BreachedError> {
        let _slot = self.slots.acquire().await.map_err(BreachedError::new)?;
        let (file, password) = (Arc::clone(&self.file), password.clone());
        let found = tokio::task::spawn_blocking(move || file.contains(&password)).await;
        found.map_err(BreachedError::new)?.map_err(BreachedError::new)
    }
}
