//! What tests do again and again, in one line each.

use std::sync::Arc;

use saas_auth::{
    AuthenticateError, Authenticated, Family, RefreshError, SessionStore, SignIn, SignInError, Tokens,
};
use saas_auth_sql::SqlSessions;
use saas_core::{Actor, Client, Email, Reach, Secret, SessionId, Storage, Tx};
use tokio::sync::Barrier;

use super::{PASSWORD, TestSaas};

const REACH: Reach = Reach::Platform("test");

impl TestSaas {
    /// Signs somebody in with [`PASSWORD`].
    pub async fn sign_in(&self, email: &str) -> Result<Tokens, SignInError> {
        let email = Email::parse(email).expect("the address is valid");
        let command = SignIn::new(email, Secret::new(PASSWORD.to_owned()));
        self.saas.auth().sign_in(&anonymous(), command).await
    }

    /// Exchanges a refresh token. Where that is refused, its owner is told, if they are to be.
    pub async fn refresh(&self, token: &Secret<String>) -> Result<Tokens, RefreshError> {
        let refreshed = self.saas.auth().refresh(&anonymous(), token).await;
        if matches!(refreshed, Err(RefreshError::Invalid)) {
            self.drain_jobs().await;
        }
        refreshed
    }

    /// Who a request with these tokens would be from.
    pub async fn authenticate(&self, tokens: &Tokens) -> Result<Authenticated, AuthenticateError> {
        self.saas.auth().authenticate(tokens.access_token.expose(), None, Client::default()).await
    }

    /// Somebody who is signed in, to give commands as.
    pub async fn actor(&self, tokens: &Tokens) -> Actor {
        self.authenticate(tokens).await.expect("they are signed in").actor
    }

    /// A session and its refresh token's side, as they are stored.
    pub async fn family(&self, session: SessionId) -> Family {
        let mut conn = self.saas.storage().read(REACH).await.expect("the database answers");
        let family = SqlSessions.family(&mut conn, session).await.expect("the database answers");
        family.expect("the session is there").0
    }

    /// A transaction, for what no command does.
    pub async fn begin(&self) -> Tx {
        self.saas.storage().begin(REACH).await.expect("the database answers")
    }
}

fn anonymous() -> Actor {
    Actor::anonymous(None, Client::default())
}

/// Runs `count` futures on tasks of their own that all start at one moment; the outputs come in the order of the numbers.
pub async fn at_once<T, F>(count: usize, future: impl Fn(usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let start = Arc::new(Barrier::new(count));
    let task = |number| {
        let (start, future) = (Arc::clone(&start), future(number));
        tokio::spawn(async move {
            start.wait().await;
            future.await
        })
    };
    let tasks: Vec<_> = (0..count).map(task).collect();
    let mut outputs = Vec::with_capacity(count);
    for task in tasks {
        outputs.push(task.await.expect("a task of the test came to its end"));
    }
    outputs
}
