//! `saas serve`: what `saas-server` does.

use saas_http::{logging, program};

use crate::{
    context::{Context, block_on},
    failure::Failure,
};

pub(crate) fn run(context: &Context) -> Result<(), Failure> {
    let settings = context.load()??;
    let _log = logging::install(&settings);
    for warning in settings.warnings() {
        tracing::warn!("{warning}");
    }
    // Ctrl-C is how it is stopped: it ends what it has begun, and that is no failure.
    block_on(async { Ok(program::serve(settings).await?) })
}
