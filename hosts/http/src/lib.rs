//! The HTTP API of the product: routers to mount in your own program, and the server that runs it as it is.
//!
//! [`api_router`] has what users' programs call, [`ops_router`] what the platform calls, [`docs_router`] the API's description and a page
//! that shows it; all are `axum::Router`s. [`app`] is the three with an answer for everything else, and [`Server`] runs it on hyper. Behaviour lives in the services of [`saas_kit::Saas`]: here requests
//! are parsed and answers rendered, errors as RFC 9457 problems.
//!
//! ```no_run
//! # async fn example(saas: saas_kit::Saas) {
//! let router: axum::Router = axum::Router::new()
//!     .route("/mine", axum::routing::get(|| async { "mine" }))
//!     .merge(saas_http::api_router(&saas));
//! # let _ = router;
//! # }
//! ```

mod agents;
mod answer;
mod arrival;
mod auth;
mod bearer;
mod body;
mod conditional;
mod cookie;
mod description;
mod docs;
mod edge;
mod example;
mod fields;
mod health;
mod jwks;
pub mod logging;
pub mod metrics;
mod path;
mod problem;
pub mod program;
mod query;
mod router;
mod same_origin;
mod server;
mod shell;
mod stopping;

pub use problem::Problem;
pub use router::{
    api_router, app, app_with_metrics, docs_router, openapi, ops_router, ops_router_with_metrics,
};
pub use server::{ServeError, Server};
