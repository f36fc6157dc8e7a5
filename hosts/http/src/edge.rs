//! What stands between a client and this server: whom proxies name as the client, which hosts we answer to, what browsers are told of TLS.
//!
//! Where no proxy is trusted a request is left as it came: its client is its peer.

use axum::extract::{MatchedPath, Request};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use saas_kit::settings::{AllowedHosts, InvalidHost, Settings};

use crate::{
    Problem,
    arrival::{Arrival, peer},
};

pub(crate) mod cors;
mod forwarded;
mod proxies;

use proxies::Proxies;

/// What is asked whatever the host is: by probes that know an address and no name, and by who verifies tokens.
const FOR_EVERYBODY: [&str; 4] = ["/health", "/health/ready", "/metrics", "/.well-known/jwks.json"];

/// The settings of this page, ready to be asked.
#[derive(Debug)]
pub(crate) struct Edge {
    proxies: Option<Proxies>,
    /// None where the host is somebody else's to judge.
    hosts: Option<AllowedHosts>,
    transport_security: Option<HeaderValue>,
    public_is_https: bool,
}

impl Edge {
    /// For routers that stand in a program of somebody's own: which hosts that one answers to it knows itself.
    pub(crate) fn of(settings: &Settings) -> Self {
        Self {
            proxies: Proxies::of(settings),
            hosts: None,
            transport_security: transport_security(settings),
            public_is_https: settings.app_public_url.is_https(),
        }
    }

    /// For the product as a whole, under a name of its own.
    pub(crate) fn with_hosts(mut self, settings: &Settings) -> Self {
        self.hosts = Some(settings.allowed_hosts.clone());
        self
    }

    /// Looks at what proxies say, and leaves the client's address with the request. Answers with the header that tells a browser to come
    /// over TLS alone, if it is to be told.
    ///
    /// A trusted proxy's word on how the client came decides; without one, that users reach the product over TLS. A browser that did not
    /// come so takes no notice of it (RFC 6797 section 8.1).
    pub(crate) fn receive(&self, request: &mut Request) -> Option<HeaderValue> {
        let mut over_tls = self.public_is_https;
        if let Some(proxies) = &self.proxies
            && let Some(peer) = peer(request.extensions())
        {
            let told = proxies.ask(peer.ip(), request.headers());
            request.extensions_mut().get_or_insert_default::<Arrival>().client = Some(told.client);
            over_tls = told.over_tls.unwrap_or(over_tls);
        }
        self.transport_security.as_ref().filter(|_| over_tls).cloned()
    }

    /// What is wrong with the host that a request is for. One that names none asks for none in particular.
    pub(crate) fn refused(&self, request: &Request) -> Option<Problem> {
        let hosts = self.hosts.as_ref()?;
        let by_target = request.uri().authority().map(|authority| Some(authority.as_str()));
        let by_header = request.headers().get_all(header::HOST).iter().map(|value| value.to_str().ok());
        let mut named = 0;
        for authority in by_header.inspect(|_| named += 1).chain(by_target) {
            match authority.ok_or(InvalidHost).and_then(|authority| hosts.allow(authority)) {
                Ok(true) => {}
                Ok(false) if is_for_everybody(request) => {}
                Ok(false) => return Some(misdirected()),
                Err(InvalidHost) => return Some(invalid_host()),
            }
        }
        // RFC 9112 section 3.2.
        (named > 1).then(invalid_host)
    }
}

fn is_for_everybody(request: &Request) -> bool {
    let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    FOR_EVERYBODY.contains(&route)
}

fn misdirected() -> Problem {
    Problem::new(
        StatusCode::MISDIRECTED_REQUEST,
        "host_not_allowed",
        "this server does not answer to that host: its operator names hosts in ALLOWED_HOSTS",
    )
}

fn invalid_host() -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "invalid_host", "the Host header does not name one host")
}

fn transport_security(settings: &Settings) -> Option<HeaderValue> {
    let seconds = settings.hsts_max_age.duration().as_secs();
    let below = if settings.hsts_include_subdomains { "; includeSubDomains" } else { "" };
    (seconds > 0).then(|| HeaderValue::try_from(format!("max-age={seconds}{below}")).ok())?
}

/// Tells the browser, if it is to be told.
pub(crate) fn protect(headers: &mut HeaderMap, transport_security: Option<&HeaderValue>) {
    if let Some(value) = transport_security {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, value.clone());
    }
}
