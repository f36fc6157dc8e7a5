//! Requests by route: the shell's counters, resolved once for each method, route and status.

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
    time::Duration,
};

use http::StatusCode;
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use super::Open;

/// What is counted around every route. The labels are the caller's promise: a method of a closed list, a route as it is written in the
/// router.
#[derive(Debug)]
pub(crate) struct Requests {
    in_flight: Gauge,
    routes: RwLock<HashMap<Box<str>, Vec<Endpoint>>>,
}

/// One method of a route.
#[derive(Debug)]
struct Endpoint {
    method: &'static str,
    duration: Histogram,
    statuses: Vec<(StatusCode, Counter)>,
}

impl Requests {
    pub(crate) fn new() -> Self {
        Self { in_flight: gauge!("http_requests_in_flight"), routes: RwLock::default() }
    }

    /// A request came in.
    pub(crate) fn begin(&self) -> Open {
        Open::in_gauge(self.in_flight.clone())
    }

    /// A request was answered. For one that had its like before, nothing is asked of the recorder, and nothing allocated but the
    /// histogram's block for every 64 samples.
    pub(crate) fn served(&self, method: &'static str, route: &str, status: StatusCode, took: Duration) {
        if self.counted(method, route, status, took).is_none() {
            self.resolve(method, route, status);
            self.counted(method, route, status, took);
        }
    }

    fn counted(&self, method: &'static str, route: &str, status: StatusCode, took: Duration) -> Option<()> {
        let routes = self.routes.read().unwrap_or_else(PoisonError::into_inner);
        let endpoint = routes.get(route)?.iter().find(|endpoint| endpoint.method == method)?;
        let (_, requests) = endpoint.statuses.iter().find(|(known, _)| *known == status)?;
        requests.increment(1);
        endpoint.duration.record(took);
        Some(())
    }

    fn resolve(&self, method: &'static str, route: &str, status: StatusCode) {
        let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        let endpoints = routes.entry(route.into()).or_default();
        let known = endpoints.iter().position(|endpoint| endpoint.method == method);
        let index = known.unwrap_or_else(|| {
            let duration =
                histogram!("http_request_duration_seconds", "method" => method, "route" => route.to_owned());
            endpoints.push(Endpoint { method, duration, statuses: Vec::new() });
            endpoints.len() - 1
        });
        let statuses = &mut endpoints[index].statuses;
        // Another request may have been first.
        if statuses.iter().all(|(known, _)| *known != status) {
            let labels = [
                ("method", method.to_owned()),
                ("route", route.to_owned()),
                ("status", status.as_str().to_owned()),
            ];
            statuses.push((status, counter!("http_requests_total", &labels)));
        }
    }
}
