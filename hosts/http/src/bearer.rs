//! Who a request is from.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use http::{Extensions, HeaderMap, StatusCode, header, request::Parts};
use saas_auth::{Authenticated, Freshness};
use saas_core::{Actor, Client};
use saas_kit::Saas;

use crate::{
    Problem,
    arrival::{client_address, request_id},
};

/// Nobody who proved anything, for routes that need no token.
#[derive(Debug)]
pub(crate) struct Anyone(pub(crate) Actor);

/// A request with a good access token.
#[derive(Debug)]
pub(crate) struct Bearer(pub(crate) Authenticated);

/// The program that calls, and where from.
fn client(headers: &HeaderMap, extensions: &Extensions) -> Client {
    let ip = client_address(extensions);
    let user_agent = headers.get(header::USER_AGENT).map(|value| String::from_utf8_lossy(value.as_bytes()));
    Client::new(ip, user_agent.as_deref())
}

impl FromRequestParts<Saas> for Anyone {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Saas) -> Result<Self, Infallible> {
        let request_id = request_id(&parts.extensions);
        Ok(Self(Actor::anonymous(request_id, client(&parts.headers, &parts.extensions))))
    }
}

impl FromRequestParts<Saas> for Bearer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, saas: &Saas) -> Result<Self, Problem> {
        let token = token(&parts.headers).ok_or_else(|| {
            Problem::new(
                StatusCode::UNAUTHORIZED,
                "unauthenticated",
                "send an access token as Authorization: Bearer <token>",
            )
        })?;
        let request_id = request_id(&parts.extensions);
        let client = client(&parts.headers, &parts.extensions);
        let freshness = freshness(parts);
        let authenticated = saas.auth().authenticate_as_of(freshness, token, request_id, client).await?;
        if let Some(user) = authenticated.actor.user() {
            tracing::Span::current().record("user.id", tracing::field::display(user.user));
        }
        Ok(Self(authenticated))
    }
}

/// A session that ended elsewhere a moment ago may still look at things, and change nothing. Who wants to know what holds now says
/// `Cache-Control: no-cache` (RFC 9111 section 5.2.1.4), as browsers do when they follow a stream.
fn freshness(parts: &Parts) -> Freshness {
    let mut said =
        parts.headers.get_all(header::CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    let anew = said.any(|value| value.split(',').any(|word| word.trim().eq_ignore_ascii_case("no-cache")));
    if parts.method.is_safe() && !anew { Freshness::Recent } else { Freshness::Strict }
}

/// The one `Authorization: Bearer` (RFC 6750 section 2.1); two of them are none.
pub(crate) fn token(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}
