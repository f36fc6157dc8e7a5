//! Whether a request that a browser sends cookies with comes from a page of ours (cross-site request forgery).
//!
//! Three things have to agree, for each is missing somewhere: `Origin`, what the browser says of the site in `Sec-Fetch-Site`, and something
//! that no form can send, a JSON body or `X-Session`. A browser tells at least one of the first two with every request that changes
//! something; what tells neither is refused.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use saas_kit::settings::{AllowedOrigins, Settings};

use crate::{Problem, body::is_json, cookie::X_SESSION};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Lets a request pass that comes from a page of ours.
pub(crate) fn check(settings: &Settings, headers: &HeaderMap) -> Result<(), Problem> {
    if is_from_a_page_of_ours(settings, headers) && (is_json(headers) || headers.contains_key(X_SESSION)) {
        return Ok(());
    }
    tracing::info!("a request with a cookie was refused: it is not known to come from a page of ours");
    Err(Problem::new(
        StatusCode::FORBIDDEN,
        "cross_site_request",
        "with a cookie, send JSON or X-Session: cookie, from a page of APP_PUBLIC_URL or ALLOWED_ORIGINS",
    ))
}

fn is_from_a_page_of_ours(settings: &Settings, headers: &HeaderMap) -> bool {
    let Ok(origin) = only(headers, &header::ORIGIN) else { return false };
    let Ok(site) = only(headers, &SEC_FETCH_SITE) else { return false };
    let allowed = origin.map(|origin| is_allowed(settings, origin.as_bytes()));
    matches!(
        (allowed, site.map(HeaderValue::as_bytes)),
        (None | Some(true), Some(b"same-origin")) | (Some(true), None | Some(b"same-site" | b"cross-site"))
    )
}

/// The one value of a header, if it is there.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h HeaderValue>, ()> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_none() { Ok(first) } else { Err(()) }
}

/// Every byte as browsers write it: what is spelled otherwise did not come from one. `*` allows nobody to act with a cookie.
fn is_allowed(settings: &Settings, origin: &[u8]) -> bool {
    let listed = settings.allowed_origins.iter().flat_map(AllowedOrigins::iter);
    settings.app_public_url.origin().as_bytes() == origin
        || listed.filter(|listed| *listed != "*").any(|listed| listed.as_bytes() == origin)
}
