//! `saas keys`: the keys that sign access tokens.

use saas_auth::{RotationReport, keys::SigningKeyInfo};
use serde::Serialize;

use super::{date, operator};
use crate::{
    arguments::{Keys, RotateKeys},
    context::Context,
    failure::Failure,
    output,
    text::table,
};

pub(crate) fn run(context: &Context, command: &Keys) -> Result<(), Failure> {
    match command {
        Keys::Show => show(context),
        Keys::Rotate(arguments) => rotate(context, arguments),
    }
}

#[derive(Serialize)]
struct KeyView {
    kid: String,
    status: &'static str,
    created_at: String,
    activated_at: Option<String>,
    retired_at: Option<String>,
}

impl From<&SigningKeyInfo> for KeyView {
    fn from(key: &SigningKeyInfo) -> Self {
        Self {
            kid: key.kid.clone(),
            status: key.status.as_str(),
            created_at: date(key.created_at),
            activated_at: key.activated_at.map(date),
            retired_at: key.retired_at.map(date),
        }
    }
}

#[derive(Serialize)]
struct Shown {
    keys: Vec<KeyView>,
}

#[derive(Serialize)]
struct Rotated {
    done: &'static str,
    next: &'static str,
    next_due_at: String,
    keys: Vec<KeyView>,
}

impl From<RotationReport> for Rotated {
    fn from(report: RotationReport) -> Self {
        Self {
            done: report.done.as_str(),
            next: report.next.as_str(),
            next_due_at: date(report.next_due_at),
            keys: views(&report.keys),
        }
    }
}

fn views(keys: &[SigningKeyInfo]) -> Vec<KeyView> {
    keys.iter().map(KeyView::from).collect()
}

fn show(context: &Context) -> Result<(), Failure> {
    let keys = context
        .with_saas(async |saas| saas.auth().signing_keys(&operator()).await.map_err(Failure::fault))?;
    context.out().data(&Shown { keys: views(&keys) }, |shown| rows(&shown.keys))
}

fn rotate(context: &Context, arguments: &RotateKeys) -> Result<(), Failure> {
    let report = context.with_saas(async |saas| {
        let done = if arguments.emergency {
            saas.auth().revoke_signing_keys(&operator()).await
        } else {
            saas.auth().rotate_signing_keys(&operator()).await
        };
        done.map_err(Failure::fault)
    })?;
    let rotated = Rotated::from(report);
    context.out().data(&rotated, |rotated| rows(&rotated.keys))?;
    let Rotated { done, next, next_due_at, .. } = &rotated;
    output::say(&format!("done: {done}; next: {next}, from {next_due_at} on"));
    Ok(())
}

fn rows(keys: &[KeyView]) -> String {
    let row = |key: &KeyView| [key.status.to_owned(), key.created_at.clone(), key.kid.clone()];
    table(["STATUS", "CREATED", "KEY"], &keys.iter().map(row).collect::<Vec<_>>())
}
