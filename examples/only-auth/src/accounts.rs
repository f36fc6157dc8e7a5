//! Auth over its ports, and the one command that spans its tables and ours.

use std::{
    error::Error,
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use saas_auth::{
    Argon2id, Argon2idParams, Auth, AuthConfig, AuthPorts, CommonPasswords, InsertError, NewSession,
    PrepareError, Registration, Tokens, token::AccessTokenRules,
};
use saas_auth_sql::{
    AUTH, SqlChallenges, SqlChanges, SqlGuesses, SqlOneTimeTokens, SqlPasswordHistory, SqlSecondFactors,
    SqlSessions, SqlUsers,
};
use saas_core::{
    Actor, Audit, Clock, DisplayName, Entropy, ErrorKind, Fault, FieldCipher, InternalError, RateLimits,
    Reach, Report, Role, SecretStore, Storage, StoreError, entropy::SystemEntropy,
    rate_limit::MemoryRateLimiter,
};
use saas_sql::{SealedSecrets, SqlAudit, SqlOptions, SqlStorage};

use crate::{
    own_users::{self, Alone, OwnUser},
    ports::{Hasher, SystemClock, root_key},
};

/// The program's accounts: what auth knows of them, and what we do.
#[derive(Debug, Clone)]
pub(crate) struct Accounts {
    pub(crate) auth: Auth,
    pub(crate) audit: Audit,
    pub(crate) storage: SqlStorage,
}

/// Why nobody was registered; nothing was written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RegisterError {
    #[error("the nickname is taken")]
    NicknameTaken,
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    #[error(transparent)]
    Insert(#[from] InsertError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Tokens(#[from] InternalError),
}

impl Fault for RegisterError {
    fn report(&self) -> Report<'_> {
        match self {
            Self::NicknameTaken => Report::new(ErrorKind::Conflict, "nickname_taken"),
            Self::Prepare(error) => error.report(),
            Self::Insert(error) => error.report(),
            Self::Store(error) => error.report(),
            Self::Tokens(_) => Report::internal(),
        }
    }
}

impl Accounts {
    /// Opens the database in the folder, brings its schema up to date, and loads the keys.
    pub(crate) async fn open(folder: &Path, hashing: Argon2idParams) -> Result<Self, Box<dyn Error>> {
        fs::create_dir_all(folder)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock(Instant::now()));
        let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
        let url = format!("sqlite:{}", folder.join("only-auth.db").display());
        let storage = SqlStorage::open(&SqlOptions::new(&url)?).await?;
        storage.migrate(&[saas_sql::CORE, AUTH], &*clock).await?;
        let mut tx = storage.begin(Reach::Platform("own schema")).await?;
        own_users::create_table(&mut tx).await?;
        tx.commit().await?;

        let root = root_key(&folder.join("root.key"), &*entropy)?;
        // A start with another key ends here, not with secrets that do not open.
        storage.claim(&root, &*clock).await?;
        let secrets: Arc<dyn SecretStore> =
            Arc::new(SealedSecrets::new(storage.clone(), root, clock.clone(), entropy.clone()));
        let argon2id = Argon2id::open(hashing, &*secrets, entropy.clone()).await?;
        let fields = FieldCipher::open(secrets.clone(), clock.clone(), entropy.clone()).await?;
        let shared: Arc<dyn Storage> = Arc::new(storage.clone());
        let audit =
            Audit::open(shared.clone(), Arc::new(SqlAudit), &*secrets, clock.clone(), entropy.clone())
                .await?;
        let limiter = Arc::new(MemoryRateLimiter::new(clock.clone()));
        let limits = RateLimits::open(limiter, &*secrets, &*entropy).await?;
        let ports = AuthPorts {
            storage: shared,
            users: Arc::new(SqlUsers),
            sessions: Arc::new(SqlSessions),
            one_time_tokens: Arc::new(SqlOneTimeTokens),
            second_factors: Arc::new(SqlSecondFactors),
            challenges: Arc::new(SqlChallenges),
            memberships: Arc::new(Alone),
            changes: Arc::new(SqlChanges),
            guesses: Arc::new(SqlGuesses),
            limits,
            audit: audit.clone(),
            hasher: Arc::new(Hasher::new(argon2id, 2, 64)),
            breached: Arc::new(CommonPasswords),
            history: Arc::new(SqlPasswordHistory),
            fields: Arc::new(fields),
            secrets,
            // Nobody does jobs here: whose session ends because its refresh token was copied is not mailed about it.
            jobs: None,
            clock,
            entropy,
        };
        let tokens = AccessTokenRules::new("http://localhost:8000", "only-auth", Duration::from_mins(15))?;
        let auth = Auth::open(ports, AuthConfig::new(tokens)).await?;
        Ok(Self { auth, audit, storage })
    }

    /// Registers somebody with auth and with us, together or not at all, and signs them in.
    pub(crate) async fn register(
        &self,
        actor: &Actor,
        registration: Registration,
        nickname: &DisplayName,
    ) -> Result<(OwnUser, Tokens), RegisterError> {
        // Hashing is slow: it comes before the transaction.
        let prepared = self.auth.prepare_registration(registration).await?;
        let mut tx = self.storage.begin(Reach::Platform("registration")).await?;
        let user = self.auth.insert_in(&mut tx, actor, prepared).await?;
        let own = own_users::insert(&mut tx, user.id, nickname).await?.ok_or(RegisterError::NicknameTaken)?;
        let session = NewSession { user: &user, tenant: own_users::alone(user.id), role: Role::Owner };
        let opened = self.auth.open_session_in(&mut tx, actor, session).await?;
        tx.commit().await?;
        Ok((own, self.auth.tokens_for(&opened)?))
    }

    /// Hears what other processes on the database change, clears away what is old, and seals what was audited; for as long as the program
    /// serves.
    pub(crate) async fn hear(&self) {
        loop {
            if let Err(error) = self.audit.seal().await {
                eprintln!("the audit log could not be sealed: {error}");
            }
            if let Err(error) = self.auth.hear_changes().await {
                eprintln!("changes could not be heard: {error}");
            }
            tokio::time::sleep(Auth::HEAR_INTERVAL).await;
        }
    }

    /// Ends the connections.
    pub(crate) async fn close(&self) {
        self.storage.close().await;
    }
}
