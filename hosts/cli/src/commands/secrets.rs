//! `saas secrets`: the keys of personal data, and bringing what is stored under the newest.

use saas_kit::ReencryptReport;
use serde::Serialize;

use super::{date, operator};
use crate::{
    arguments::Secrets,
    context::Context,
    failure::{Exit, Failure},
    output,
    progress::watched,
    text::table,
};

pub(crate) fn run(context: &Context, command: &Secrets) -> Result<(), Failure> {
    match command {
        Secrets::Rotate => rotate(context),
        Secrets::Reencrypt => reencrypt(context),
    }
}

#[derive(Serialize)]
struct Rotated {
    key: String,
    active_from: String,
}

fn rotate(context: &Context) -> Result<(), Failure> {
    let done =
        context.with_saas(async |saas| saas.rotate_data_keys(&operator()).await.map_err(Failure::fault))?;
    let rotated = Rotated { key: done.key.to_string(), active_from: date(done.active_from) };
    context.out().data(&rotated, |rotated| {
        table(["KEY", "ACTIVE FROM"], &[[rotated.key.clone(), rotated.active_from.clone()]])
    })?;
    output::say("once it is active, run: saas secrets reencrypt");
    Ok(())
}

#[derive(Serialize)]
struct Line {
    column: String,
    encrypted: u64,
    unopened: u64,
}

#[derive(Serialize)]
struct Reencrypted {
    key: String,
    encrypted: u64,
    unopened: u64,
    columns: Vec<Line>,
}

impl From<ReencryptReport> for Reencrypted {
    fn from(report: ReencryptReport) -> Self {
        let total = report.total();
        let columns = report.columns.iter().map(|(column, done)| Line {
            column: format!("{}.{}", column.table, column.column),
            encrypted: done.encrypted,
            unopened: done.unopened,
        });
        Self {
            key: report.key.to_string(),
            encrypted: total.encrypted,
            unopened: total.unopened,
            columns: columns.collect(),
        }
    }
}

fn reencrypt(context: &Context) -> Result<(), Failure> {
    let report = context.with_saas(async |saas| {
        watched("encrypting", saas.reencrypt(&operator())).await.0.map_err(Failure::fault)
    })?;
    let done = Reencrypted::from(report);
    context.out().data(&done, |done| {
        let row = |column: &Line| {
            [column.column.clone(), column.encrypted.to_string(), column.unopened.to_string()]
        };
        table(["COLUMN", "ENCRYPTED", "UNOPENED"], &done.columns.iter().map(row).collect::<Vec<_>>())
    })?;
    if done.unopened > 0 {
        let text = format!("values that do not open, and stay as they are: {}", done.unopened);
        return Err(Failure::new(Exit::Failed, "values_unopened", text).with_hint(
            "the log names their rows; is the secret store the one that they were written with?",
        ));
    }
    Ok(())
}
