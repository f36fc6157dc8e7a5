//! People with sessions, to ask as.

use std::ops::Range;

use bench::Failure;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    client::{Answer, Connection, get, post},
    drive::Client,
    server::Server,
};

/// Everybody's.
const PASSWORD: &str = "correct horse battery";

/// Settings that make hashing cheap, for scenarios that need many people and hash nothing.
pub(crate) const CHEAP_HASHES: &[(&str, &str)] =
    &[("PASSWORD_HASH_MEMORY_KIB", "64"), ("PASSWORD_HASH_ITERATIONS", "1")];

/// Somebody's session.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) email: String,
    pub(crate) user: Uuid,
    pub(crate) tenant: Uuid,
    access_token: String,
    refresh_token: String,
}

fn text<'a>(body: &'a Value, member: &str) -> Result<&'a str, Failure> {
    Ok(body[member].as_str().ok_or("the answer lacks a member")?)
}

impl Account {
    /// Registers people, each with a number that nobody has yet.
    pub(crate) async fn register(server: &Server, numbers: Range<usize>) -> Result<Vec<Self>, Failure> {
        let mut connection = Connection::open(server.address).await?;
        let mut accounts = Vec::with_capacity(numbers.len());
        for number in numbers {
            let email = format!("ada{number}@example.com");
            let body = json!({ "email": email, "password": PASSWORD, "tenant_name": "Engines", "accept_terms": true });
            let answer = connection.exchange(&post("/api/v1/auth/register", &body)).await?;
            answer.success()?;
            let body = answer.json()?;
            accounts.push(Self {
                email,
                user: text(&body, "user_id")?.parse()?,
                tenant: text(&body, "tenant_id")?.parse()?,
                access_token: text(&body, "access_token")?.to_owned(),
                refresh_token: text(&body, "refresh_token")?.to_owned(),
            });
        }
        Ok(accounts)
    }

    /// Asks for something as them.
    pub(crate) fn get(&self, path: &str) -> Vec<u8> {
        get(path, Some(&self.access_token))
    }

    /// Signs them in.
    pub(crate) fn sign_in(&self) -> Vec<u8> {
        post("/api/v1/auth/token", &json!({ "email": self.email, "password": PASSWORD }))
    }

    /// Refreshes, again and again, with the token that came last.
    pub(crate) fn refreshing(&self) -> Refreshing {
        Refreshing(refresh(&self.refresh_token))
    }
}

/// A client that refreshes.
#[derive(Debug)]
pub(crate) struct Refreshing(Vec<u8>);

impl Client for Refreshing {
    fn request(&mut self) -> &[u8] {
        &self.0
    }

    fn hear(&mut self, answer: &Answer<'_>) -> Result<(), Failure> {
        answer.success()?;
        self.0 = refresh(text(&answer.json()?, "refresh_token")?);
        Ok(())
    }
}

fn refresh(token: &str) -> Vec<u8> {
    post("/api/v1/auth/refresh", &json!({ "refresh_token": token }))
}
