//! `saas serve`: what `saas-server` does.

use saas_http::{
    logging,
    program::{self, ProgramError},
};
use saas_kit::settings::Settings;

use crate::{
    context::{Context, block_on},
    failure::Failure,
};

pub(crate) fn run(context: &Context) -> Result<(), Failure> {
    until_stopped(context, async |settings| program::serve(settings).await)
}

/// `saas work`: the same without a server.
pub(crate) fn work(context: &Context) -> Result<(), Failure> {
    until_stopped(context, async |settings| program::work(settings).await)
}

fn until_stopped(
    context: &Context,
    program: impl AsyncFnOnce(Settings) -> Result<(), ProgramError>,
) -> Result<(), Failure> {
    let settings = context.load()??;
    let _log = logging::install(&settings);
    for warning in settings.warnings() {
        tracing::warn!("{warning}");
    }
    // Ctrl-C is how it is stopped: it ends what it has begun, and that is no failure.
    block_on(async { Ok(program(settings).await?) })
}
