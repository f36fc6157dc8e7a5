//! Accounts alone in a program of one's own: no kit, no tenancy, no agents. `cargo run -p only-auth -- <folder>`.
//!
//! The program has users of its own, in its own table with its own ids; auth has the credentials and the sessions, in its own tables of
//! the same database. A registration writes both in one transaction. Auth asks for tenants: here everybody is alone in one.

mod accounts;
mod http;
mod own_users;
mod ports;
#[cfg(test)]
mod tests;

use std::{error::Error, path::PathBuf};

use accounts::Accounts;
use saas_auth::Argon2idParams;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| std::env::temp_dir().join("only-auth"));
    let accounts = Accounts::open(&folder, Argon2idParams::default()).await?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:8000").await?;
    // What another process on the same database changes is heard of by looking; whoever embeds the kit has its workers do this.
    let hearing = tokio::spawn({
        let accounts = accounts.clone();
        async move { accounts.hear().await }
    });
    eprintln!("listening on http://{}, data in {}", listener.local_addr()?, folder.display());
    axum::serve(listener, http::router(&accounts))
        .with_graceful_shutdown(async { drop(tokio::signal::ctrl_c().await) })
        .await?;
    hearing.abort();
    accounts.close().await;
    Ok(())
}
