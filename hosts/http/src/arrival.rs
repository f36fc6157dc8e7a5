//! What is known of a request that its head does not say.

use std::net::{IpAddr, SocketAddr};

use axum::extract::ConnectInfo;
use http::Extensions;
use saas_core::RequestId;

use crate::stopping::Stopping;

/// All of it in one: each thing that is put beside a request costs it an allocation.
#[derive(Debug, Clone, Default)]
pub(crate) struct Arrival {
    /// Where it came from, under our server.
    pub(crate) peer: Option<SocketAddr>,
    /// Whom trusted proxies name as its client, from the shell.
    pub(crate) client: Option<IpAddr>,
    /// Whether our server stops.
    pub(crate) stopping: Option<Stopping>,
    /// Its id, from the shell.
    pub(crate) id: Option<RequestId>,
}

/// Where a request came from, under our server or one that keeps axum's [`ConnectInfo`].
pub(crate) fn peer(extensions: &Extensions) -> Option<SocketAddr> {
    let ours = extensions.get::<Arrival>().and_then(|arrival| arrival.peer);
    ours.or_else(|| extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| *peer))
}

/// Who a request is from, inside of the shell: whom trusted proxies name, or else the peer.
pub(crate) fn client_address(extensions: &Extensions) -> Option<IpAddr> {
    let named = extensions.get::<Arrival>().and_then(|arrival| arrival.client);
    named.or_else(|| peer(extensions).map(|peer| peer.ip()))
}

/// The request's id, inside of the shell.
pub(crate) fn request_id(extensions: &Extensions) -> Option<RequestId> {
    extensions.get::<Arrival>().and_then(|arrival| arrival.id)
}
