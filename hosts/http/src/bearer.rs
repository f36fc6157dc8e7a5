//! Who a request is from.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use http::{Extensions, HeaderMap, header, request::Parts};
use saas_auth::{Authenticated, Freshness};
use saas_core::{Actor, Client, RequestId};
use saas_kit::Saas;

use crate::{
    Problem,
    arrival::{client_address, request_id},
    cookie,
};

/// Nobody who proved anything, for routes that need no token.
#[derive(Debug)]
pub(crate) struct Anyone(pub(crate) Actor);

/// A request with a good access token, or the cookie of a live session.
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
        let authenticated = if let Some(token) = token(&parts.headers) {
            let (request_id, client) = origin(parts);
            saas.auth().authenticate_as_of(freshness(parts), token, request_id, client).await?
        } else {
            // Boxed: whoever has a token shall not pay for the room that this takes.
            Box::pin(cookie::authenticate(parts, saas)).await?
        };
        if let Some(user) = authenticated.actor.user() {
            tracing::Span::current().record("user.id", tracing::field::display(user.user));
        }
        Ok(Self(authenticated))
    }
}

/// Which request it is, and what sent it.
pub(crate) fn origin(parts: &Parts) -> (Option<RequestId>, Client) {
    (request_id(&parts.extensions), client(&parts.headers, &parts.extensions))
}

/// A session that ended elsewhere a moment ago may still look at things, and change nothing. Who wants to know what holds now says
/// `Cache-Control: no-cache` (RFC 9111 section 5.2.1.4), as browsers do when they follow a stream.
pub(crate) fn freshness(parts: &Parts) -> Freshness {
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
