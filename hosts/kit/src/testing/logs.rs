//! What the product logs while it is tested, for who searches the logs of a whole run (`scripts/check-logs`).

use std::{env, fs::File, path::Path, process, sync::Once};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::{Layer, filter::Targets, layer::SubscriberExt};

/// Names a folder that each process of tests writes its log into.
const FOLDER: &str = "SAAS_TEST_LOGS";

/// Writes this process's log from now on, where the folder is named; a process that has a sink already keeps it.
pub(super) fn keep() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let Some(folder) = env::var_os(FOLDER) else { return };
        let path = Path::new(&folder).join(format!("{}.log", process::id()));
        let file =
            File::options().create(true).append(true).open(path).expect("the folder of the logs is there");
        // More than is logged by default: what only an operator who looks for a fault sees is searched as well.
        let level = Targets::new().with_default(LevelFilter::INFO).with_target("saas", LevelFilter::DEBUG);
        let lines = tracing_subscriber::fmt::layer().json().with_writer(file).with_filter(level);
        let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry().with(lines));
    });
}
