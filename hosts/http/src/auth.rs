//! The routes under `/api/v1/auth`.

use saas_kit::Saas;
use utoipa_axum::{router::OpenApiRouter, routes};

mod account;
mod deletion;
mod email;
mod events;
mod export;
mod lock;
mod password;
mod second_factor;
mod session;
mod sign_in;
mod step_up;
mod switch;
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
        .routes(routes!(switch::switch))
        .routes(routes!(events::list))
        .routes(routes!(second_factor::token))
        .routes(routes!(second_factor::state))
        .routes(routes!(second_factor::enrol, second_factor::remove))
        .routes(routes!(second_factor::confirm))
        .routes(routes!(second_factor::recovery_codes))
        .routes(routes!(step_up::step_up))
        .routes(routes!(lock::unlock))
        .routes(routes!(session::list, session::revoke_others))
        .routes(routes!(session::revoke))
}
