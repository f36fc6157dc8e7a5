//! What sign-in does without a network: a token made and verified, a remembered token, a refresh, and `/me` up to its JSON.
//!
//! `cargo bench -p bench`

use std::{error::Error, hint::black_box, sync::Arc};

use axum::{
    Router,
    body::{Body, to_bytes},
};
use criterion::Criterion;
use saas_auth::{
    keys::KeySet,
    token::{AccessGrant, AccessTokenRules, AccessTokens},
};
use saas_core::{
    Actor, Client, Email, Role, Secret, SessionId, TenantId, TenantName, UserId, entropy::SystemEntropy,
};
use saas_kit::{
    Saas, SystemClock,
    settings::{Settings, Sources},
};
use saas_tenancy::{Register, Registered};
use serde_json::Value;
use tokio::runtime::Runtime;
use tower::ServiceExt;

type Outcome = Result<(), Box<dyn Error>>;

fn main() -> Outcome {
    let mut criterion = Criterion::default().configure_from_args();
    tokens(&mut criterion)?;
    product(&mut criterion)?;
    criterion.final_summary();
    Ok(())
}

/// The signature and its checks, nothing remembered.
fn tokens(criterion: &mut Criterion) -> Outcome {
    let (clock, entropy) = (Arc::new(SystemClock::default()), Arc::new(SystemEntropy));
    let rules = AccessTokenRules::new("https://saas.example", "agent-api", AccessTokens::MAX_LIFETIME)?;
    let keys = KeySet::generate(&*clock, &*entropy);
    let grant = AccessGrant::new(
        UserId::generate(&*clock, &*entropy),
        TenantId::generate(&*clock, &*entropy),
        SessionId::generate(&*clock, &*entropy),
        1,
        Role::Owner,
        saas_core::Clock::now(&*clock),
    );
    let tokens = AccessTokens::new(rules, keys, clock, entropy);
    criterion.bench_function("token/sign", |bencher| bencher.iter(|| tokens.issue(grant.clone())));
    let issued = tokens.issue(grant)?;
    criterion.bench_function("token/verify", |bencher| {
        bencher.iter(|| tokens.verify(black_box(issued.token.expose())));
    });
    Ok(())
}

/// The product in this process, on SQLite with every commit on the disk.
fn product(criterion: &mut Criterion) -> Outcome {
    let folder = tempfile::tempdir()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let saas = runtime.block_on(open(&folder.path().to_string_lossy()))?;
    let command = Register::new(
        Email::parse("ada@example.com")?,
        Secret::new("correct horse battery".to_owned()),
        TenantName::parse("Engines")?,
    );
    let Registered { tokens, .. } =
        runtime.block_on(saas.tenancy().register(&Actor::system("bench"), command))?;
    let token = tokens.access_token.expose();
    criterion.bench_function("token/remembered", |bencher| {
        bencher
            .iter(|| runtime.block_on(saas.auth().authenticate(black_box(token), None, Client::default())));
    });
    me(criterion, &runtime, &saas, token)?;
    refresh(criterion, &runtime, &saas, tokens.refresh_token)
}

async fn open(folder: &str) -> Result<Saas, Box<dyn Error>> {
    let settings = Settings::load(&Sources::empty().with_flags([("DATA_DIR", folder)]))?;
    let blueprint = Saas::builder(settings).build()?;
    blueprint.migrate().await?;
    Ok(blueprint.open().await?)
}

/// The request through every layer of ours, without hyper and without a log; and of that what JSON is.
fn me(criterion: &mut Criterion, runtime: &Runtime, saas: &Saas, token: &str) -> Outcome {
    let router = saas_http::api_router(saas);
    let answer = runtime.block_on(ask(&router, token))?;
    let body: Value = serde_json::from_slice(&answer)?;
    criterion.bench_function("me/in process", |bencher| {
        bencher.iter(|| runtime.block_on(ask(&router, black_box(token))));
    });
    let claims = runtime.block_on(saas.auth().authenticate(token, None, Client::default()))?.claims().clone();
    criterion.bench_function("me/claims to a JSON value", |bencher| {
        bencher.iter(|| serde_json::to_value(black_box(&claims)));
    });
    criterion.bench_function("me/its JSON written", |bencher| {
        bencher.iter(|| serde_json::to_vec(black_box(&body)));
    });
    Ok(())
}

async fn ask(router: &Router, token: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    let request = http::Request::get("/api/v1/auth/me").header("Authorization", format!("Bearer {token}"));
    let answer = router.clone().oneshot(request.body(Body::empty())?).await?;
    if !answer.status().is_success() {
        return Err(format!("the answer is {}", answer.status()).into());
    }
    Ok(to_bytes(answer.into_body(), usize::MAX).await?.into())
}

/// Each with the token that the one before gave.
fn refresh(criterion: &mut Criterion, runtime: &Runtime, saas: &Saas, first: Secret<String>) -> Outcome {
    let actor = Actor::anonymous(None, Client::default());
    let mut token = Ok(first);
    criterion.bench_function("refresh", |bencher| {
        bencher.iter(|| {
            if let Ok(current) = &token {
                token =
                    runtime.block_on(saas.auth().refresh(&actor, current)).map(|tokens| tokens.refresh_token);
            }
        });
    });
    token?;
    Ok(())
}
