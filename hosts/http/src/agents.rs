//! The routes of agents: chat, runs, conversations, the catalogue.

use saas_kit::Saas;
use utoipa_axum::{router::OpenApiRouter, routes};

mod catalogue;
mod chat;
mod conversation;
mod run;
pub(crate) mod stream;

pub(crate) fn routes() -> OpenApiRouter<Saas> {
    OpenApiRouter::new()
        .routes(routes!(chat::chat))
        .routes(routes!(chat::chat_stream))
        .routes(routes!(run::show))
        .routes(routes!(run::follow))
        .routes(routes!(run::cancel))
        .routes(routes!(conversation::list))
        .routes(routes!(conversation::show, conversation::rename, conversation::remove))
        .routes(routes!(catalogue::list))
        .routes(routes!(catalogue::status))
}
