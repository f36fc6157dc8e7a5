//! The routes under `/api/v1/auth`.

use saas_kit::Saas;
use utoipa_axum::{router::OpenApiRouter, routes};

mod account;
mod deletion;
mod email;
mod export;
mod password;
mod session;
mod sign_in;
pub(crate) mod wire;

pub(crate) fn routes() -> OpenApiRouter<Saas> {
    OpenApiRouter::new()
        .routes(routes!(account::register))
        .routes(routes!(account::me))
        .routes(routes!(deletion::delete))
        .routes(routes!(export::export))
        .routes(routes!(email::send))
        .routes(routes!(email::verify))
        .routes(routes!(email::change))
        .routes(routes!(email::confirm))
        .routes(routes!(email::undo))
        .routes(routes!(password::forgot))
        .routes(routes!(password::confirm))
        .routes(routes!(password::change))
        .routes(routes!(password::reset))
        .routes(routes!(sign_in::token))
        .routes(routes!(sign_in::refresh))
        .routes(routes!(sign_in::logout))
        .routes(routes!(sign_in::logout_all))
        .routes(routes!(session::list))
        .routes(routes!(session::revoke))
}
