//! A server, over HTTP.

use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, Response, redirect};
use saas_agents::{AgentName, ConversationKey};
use saas_core::{Email, Secret, TenantId};
use saas_kit::tls;
use serde::Deserialize;
use serde_json::json;
use url::Url;

use super::{Frame, Listener, Question, USER_AGENT, frame::Events};
use crate::failure::{Exit, Failure};

/// How long a server may take to accept a connection, and to say anything at all: it sends a sign of life every 15 seconds.
const CONNECT: Duration = Duration::from_secs(10);
const SILENCE: Duration = Duration::from_secs(45);

/// How often in a row a stream that broke off is taken up again without anything new.
const ATTEMPTS: u32 = 3;

/// Somebody who is signed in to a server, or about to.
#[derive(Debug)]
pub(super) struct Remote {
    http: Client,
    base: Url,
    tokens: Option<Tokens>,
    run: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Tokens {
    access_token: Secret<String>,
    refresh_token: Secret<String>,
}

#[derive(Debug, Deserialize)]
struct Problem {
    code: String,
    detail: String,
    #[serde(default)]
    errors: Vec<ProblemField>,
    /// With `second_factor_required`.
    challenge: Option<Secret<String>>,
}

/// What a server said that is no failure yet.
enum Asked {
    Answer(Response),
    /// The password is right, and this stands for it.
    SecondFactor {
        challenge: Secret<String>,
    },
}

#[derive(Debug, Deserialize)]
struct ProblemField {
    field: String,
    message: String,
}

impl Remote {
    pub(super) fn new(server: &Url) -> Result<Self, Failure> {
        let https = server.scheme() == "https";
        let tls = if https { tls::client() } else { tls::client_that_trusts_nobody() };
        let tls = tls.map_err(|error| Failure::caused(Exit::DependencyMissing, "no_tls", &error))?;
        // A redirect would carry the password to where nobody asked for.
        let http = Client::builder()
            .tls_backend_preconfigured(tls)
            .user_agent(USER_AGENT)
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .redirect(redirect::Policy::none())
            .build()
            .map_err(|error| Failure::caused(Exit::Failed, "no_http_client", &error))?;
        Ok(Self { http, base: server.clone(), tokens: None, run: None })
    }

    /// Whether what is sent can be read on its way to another machine.
    pub(super) fn is_open_to_eavesdroppers(&self) -> bool {
        let here = match self.base.host() {
            Some(url::Host::Ipv4(address)) => address.is_loopback(),
            Some(url::Host::Ipv6(address)) => address.is_loopback(),
            Some(url::Host::Domain(name)) => name == "localhost",
            None => false,
        };
        self.base.scheme() == "http" && !here
    }

    pub(super) async fn sign_in(
        mut self,
        email: &Email,
        password: &Secret<String>,
        tenant: Option<TenantId>,
        second_factor: impl AsyncFnOnce() -> Result<Secret<String>, Failure>,
    ) -> Result<Self, Failure> {
        let body = json!({ "email": email.shown(), "password": password.expose(), "tenant_id": tenant.map(|id| id.to_string()) });
        let request = self.request(Method::POST, "auth/token").body(body.to_string());
        let answer = match Self::asked(request).await? {
            Asked::Answer(answer) => answer,
            Asked::SecondFactor { challenge } => {
                let typed = second_factor().await?;
                let app = typed.expose().bytes().all(|byte| byte.is_ascii_digit() || byte == b' ');
                let name = if app { "code" } else { "recovery_code" };
                let body = json!({ "challenge": challenge.expose(), name: typed.expose() });
                let request = self.request(Method::POST, "auth/token/second-factor").body(body.to_string());
                Self::send(request).await?
            }
        };
        self.tokens = Some(tokens(answer).await?);
        Ok(self)
    }

    pub(super) async fn ask(
        &mut self,
        question: &Question<'_>,
        listener: &mut Listener,
    ) -> Result<Frame, Failure> {
        let body = json!({
            "message": question.message,
            "conversation_id": question.conversation.as_ref().map(ConversationKey::as_str),
            "agent_type": question.agent.as_ref().map(AgentName::as_str),
        })
        .to_string();
        let begin = |this: &Self| this.request(Method::POST, "chat/stream").body(body.clone());
        let mut answer = self.authenticated(begin).await?;
        let (mut last, mut attempts) = (String::new(), 0);
        loop {
            let before = last.clone();
            if let Some(end) = self.listen(answer, &mut last, listener).await? {
                self.run = None;
                return Ok(end);
            }
            attempts = if last == before { attempts + 1 } else { 0 };
            let Some(run) = self.run.clone().filter(|_| attempts < ATTEMPTS) else {
                return Err(Failure::new(Exit::DependencyMissing, "stream_broken", "the answer broke off"));
            };
            tokio::time::sleep(Duration::from_millis(200)).await;
            let after = last.clone();
            let again = move |this: &Self| {
                let request = this.request(Method::GET, &format!("runs/{run}/stream"));
                if after.is_empty() { request } else { request.header("last-event-id", &after) }
            };
            answer = self.authenticated(again).await?;
        }
    }

    /// Listens until the answer is over, or the stream is.
    async fn listen(
        &mut self,
        mut answer: Response,
        last: &mut String,
        listener: &mut Listener,
    ) -> Result<Option<Frame>, Failure> {
        let mut events = Events::default();
        while let Ok(Some(bytes)) = answer.chunk().await {
            events.feed(&bytes);
            while let Some(event) = events.next() {
                let frame = Frame::parse(&event.data)?;
                self.run = Some(frame.run_id.clone());
                *last = event.id;
                listener.hear(&frame)?;
                if frame.is_complete {
                    return Ok(Some(frame));
                }
            }
        }
        Ok(None)
    }

    pub(super) async fn cancel(&mut self) {
        let Some(run) = self.run.take() else { return };
        let path = format!("runs/{run}/cancel");
        // Whoever is not heard any more cannot be told: the run ends by itself.
        let _ = self.authenticated(|this| this.request(Method::POST, &path)).await;
    }

    pub(super) async fn close(mut self) {
        let Some(refresh) = self.tokens.as_ref().map(|tokens| tokens.refresh_token.clone()) else { return };
        let body = json!({ "refresh_token": refresh.expose() }).to_string();
        // A session that is not ended here ends by itself.
        let _ = self.authenticated(|this| this.request(Method::POST, "auth/logout").body(body.clone())).await;
    }

    /// Sends as whoever is signed in; an access token that has expired is replaced once.
    async fn authenticated(
        &mut self,
        request: impl Fn(&Self) -> RequestBuilder,
    ) -> Result<Response, Failure> {
        let bearer = |this: &Self, request: RequestBuilder| match &this.tokens {
            Some(tokens) => request.bearer_auth(tokens.access_token.expose()),
            None => request,
        };
        match Self::send(bearer(self, request(self))).await {
            Err(failure) if failure.exit() == Exit::NotAllowed && self.refresh().await.is_ok() => {
                Self::send(bearer(self, request(self))).await
            }
            done => done,
        }
    }

    async fn refresh(&mut self) -> Result<(), Failure> {
        let refresh = self.tokens.as_ref().map(|tokens| tokens.refresh_token.expose().clone());
        let body = json!({ "refresh_token": refresh });
        let answer = Self::send(self.request(Method::POST, "auth/refresh").body(body.to_string())).await?;
        self.tokens = Some(tokens(answer).await?);
        Ok(())
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}/api/v1/{path}", self.base.as_str().trim_end_matches('/'));
        self.http.request(method, url).header("content-type", "application/json")
    }

    /// The answer, or the problem that it holds.
    async fn send(request: RequestBuilder) -> Result<Response, Failure> {
        match Self::asked(request).await? {
            Asked::Answer(answer) => Ok(answer),
            Asked::SecondFactor { .. } => Err(Failure::new(
                Exit::Failed,
                "unknown_answer",
                "the server asks for a second factor out of turn",
            )),
        }
    }

    async fn asked(request: RequestBuilder) -> Result<Asked, Failure> {
        let answer = request.send().await.map_err(|error| Failure::unreachable(&error.without_url()))?;
        if answer.status().is_success() {
            return Ok(Asked::Answer(answer));
        }
        let status = answer.status().as_u16();
        let body = answer.bytes().await.unwrap_or_default();
        let Ok(problem) = serde_json::from_slice::<Problem>(&body) else {
            let text = format!("the server answered {status}, and not as this product does");
            return Err(Failure::answered(status, "unknown_answer".to_owned(), text));
        };
        if let Some(challenge) = problem.challenge {
            return Ok(Asked::SecondFactor { challenge });
        }
        let fields = problem.errors.iter().map(|error| format!("{}: {}", error.field, error.message));
        let failure = Failure::answered(status, problem.code, problem.detail).with_lines(fields);
        Err(failure.with_hint_for_tenants())
    }
}

async fn tokens(answer: Response) -> Result<Tokens, Failure> {
    let body = answer.bytes().await.map_err(|error| Failure::unreachable(&error.without_url()))?;
    // The cause would quote the tokens.
    serde_json::from_slice::<Tokens>(&body).map_err(|_| {
        Failure::new(Exit::Failed, "unknown_answer", "the server's answer holds no tokens of this product's")
    })
}
