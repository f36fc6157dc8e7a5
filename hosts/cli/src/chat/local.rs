//! The product in this process, with its workers.

use saas_agents::{RunId, StartRun};
use saas_auth::{FactorProof, RecoveryCode, SecondFactorSignIn, SignIn, SignInError, Tokens, TotpCode};
use saas_core::{Actor, Client, Email, Fault, Secret, TenantId};
use saas_http::program;
use saas_kit::{Saas, settings::Settings};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{Frame, Listener, Question, USER_AGENT};
use crate::failure::{Exit, Failure};

/// Somebody who is signed in to the product in this process.
#[derive(Debug)]
pub(super) struct Local {
    saas: Saas,
    tokens: Tokens,
    workers: JoinHandle<()>,
    stop: CancellationToken,
    run: Option<RunId>,
}

fn client() -> Client {
    Client::new(None, Some(USER_AGENT))
}

/// Signs in, with a second factor if one is asked for.
async fn sign_in(
    saas: &Saas,
    command: SignIn,
    second_factor: impl AsyncFnOnce() -> Result<Secret<String>, Failure>,
) -> Result<Tokens, Failure> {
    let nobody = Actor::anonymous(None, client());
    let challenge = match saas.auth().sign_in(&nobody, command).await {
        Err(SignInError::SecondFactorRequired { challenge, .. }) => challenge,
        done => return done.map_err(Failure::fault),
    };
    let command = SecondFactorSignIn::new(challenge, proof(&second_factor().await?)?);
    saas.auth().sign_in_with_second_factor(&nobody, command).await.map_err(Failure::fault)
}

/// Six digits are the app's; everything else can only be a recovery code.
fn proof(typed: &Secret<String>) -> Result<FactorProof, Failure> {
    if let Ok(code) = TotpCode::parse(typed.expose()) {
        return Ok(FactorProof::Code(code));
    }
    let code = RecoveryCode::parse(typed.expose());
    code.map(FactorProof::RecoveryCode).map_err(|_| {
        let text = "that is neither six digits of the app nor a recovery code";
        Failure::new(Exit::Usage, "invalid_second_factor", text)
    })
}

impl Local {
    /// Opens the product, signs in, and only then starts the workers.
    pub(super) async fn open(
        settings: Settings,
        email: Email,
        password: Secret<String>,
        tenant: Option<TenantId>,
        second_factor: impl AsyncFnOnce() -> Result<Secret<String>, Failure>,
    ) -> Result<Self, Failure> {
        let saas = program::open(settings).await?;
        let command = SignIn::new(email, password).with_tenant(tenant);
        let tokens = match sign_in(&saas, command, second_factor).await {
            Ok(tokens) => tokens,
            Err(failure) => {
                saas.close().await;
                return Err(failure.with_hint_for_tenants());
            }
        };
        let stop = CancellationToken::new();
        let (working, stopped) = (saas.clone(), stop.clone());
        let workers = tokio::spawn(async move { working.run_workers(stopped.cancelled()).await });
        Ok(Self { saas, tokens, workers, stop, run: None })
    }

    /// Who asks, by the state that session, user and tenant have now; an access token that has expired is replaced.
    async fn actor(&mut self) -> Result<Actor, Failure> {
        let auth = self.saas.auth();
        if self.tokens.expires_at <= self.saas.clock().now() {
            let anonymous = Actor::anonymous(None, client());
            let refreshed = auth.refresh(&anonymous, &self.tokens.refresh_token).await;
            self.tokens = refreshed.map_err(Failure::fault)?;
        }
        let known = auth.authenticate(self.tokens.access_token.expose(), None, client()).await;
        Ok(known.map_err(Failure::fault)?.actor)
    }

    pub(super) async fn ask(
        &mut self,
        question: &Question<'_>,
        listener: &mut Listener,
    ) -> Result<Frame, Failure> {
        let actor = self.actor().await?;
        let agents = self.saas.agents().clone();
        let command = StartRun::new(question.message)
            .in_conversation(question.conversation.clone())
            .to_agent(question.agent.clone());
        let run = agents.start(&actor, command).await.map_err(Failure::fault)?;
        self.run = Some(run.id);
        let mut events = agents.follow(&actor, run.id, 0).await.map_err(Failure::fault)?;
        while let Some(event) = events.next().await.map_err(Failure::fault)? {
            let frame = Frame::parse(&event.data)?;
            listener.hear(&frame)?;
            if frame.is_complete {
                self.run = None;
                return Ok(frame);
            }
        }
        Err(Failure::new(Exit::Failed, "run_removed", "the answer was removed while it came"))
    }

    pub(super) async fn cancel(&mut self) {
        let Some(run) = self.run.take() else { return };
        let Ok(actor) = self.actor().await else { return };
        if let Err(error) = self.saas.agents().cancel(&actor, run).await {
            tracing::warn!(
                error = saas_core::fault::chain(&error),
                code = error.report().code,
                "the answer goes on"
            );
        }
    }

    pub(super) async fn close(mut self) {
        if let Ok(actor) = self.actor().await
            && let Err(error) = self.saas.auth().logout(&actor, &self.tokens.refresh_token).await
        {
            tracing::warn!(error = saas_core::fault::chain(&error), "the session could not be ended");
        }
        self.stop.cancel();
        // A worker that failed has said so.
        let _ = self.workers.await;
        self.saas.close().await;
    }
}
