//! `saas migrate`: the schema, brought up to date or looked at.

use serde::Serialize;

use crate::{
    arguments::Migrate,
    context::{Context, block_on, or_interrupted},
    failure::{Exit, Failure},
    output, progress,
    text::{counted, lines},
};

#[derive(Serialize)]
struct Pending {
    pending: Vec<String>,
}

#[derive(Serialize)]
struct Applied {
    applied: Vec<String>,
}

pub(crate) fn run(context: &Context, arguments: &Migrate) -> Result<(), Failure> {
    if arguments.plan || arguments.verify { look(context, arguments.verify) } else { apply(context) }
}

fn look(context: &Context, verify: bool) -> Result<(), Failure> {
    let blueprint = context.blueprint()?;
    let pending = block_on(or_interrupted(async { Ok(blueprint.pending_migrations().await?.pending) }))?;
    let count = pending.len();
    context.out().data(&Pending { pending }, |data| lines(&data.pending))?;
    if verify && count > 0 {
        let text = format!("{} pending", counted(count, "migration"));
        return Err(
            Failure::new(Exit::ActionRequired, "migrations_pending", text).with_hint("run: saas migrate")
        );
    }
    if count == 0 {
        output::say("nothing is pending");
    }
    Ok(())
}

fn apply(context: &Context) -> Result<(), Failure> {
    let (blueprint, out) = (context.blueprint()?, context.out());
    let database = blueprint.settings().database_url.shown();
    let doing = format!("migrating {database}");
    let (done, elapsed) = block_on(or_interrupted(async {
        let (done, elapsed) = progress::watched(&doing, blueprint.migrate()).await;
        Ok((done?, elapsed))
    }))?;
    let elapsed = progress::seconds(elapsed);
    let applied = Applied { applied: done.pending };
    out.data(&applied, |data| lines(&data.applied))?;
    match applied.applied.len() {
        0 => output::say(&format!("{database} is up to date ({elapsed})")),
        count => output::say(&format!("{database}: {} applied in {elapsed}", counted(count, "migration"))),
    }
    Ok(())
}
