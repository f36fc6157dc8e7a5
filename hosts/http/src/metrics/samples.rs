//! What is looked at for each scrape, and never for a request.

use metrics::gauge;
use saas_kit::Saas;

/// Sets the gauges that only a look at the product tells.
pub(super) fn take(saas: &Saas) {
    for pool in saas.storage().pools() {
        gauge!("saas_storage_pool_connections_limit", "pool" => pool.name).set(pool.limit);
        gauge!("saas_storage_pool_connections", "pool" => pool.name, "state" => "idle").set(pool.idle);
        gauge!("saas_storage_pool_connections", "pool" => pool.name, "state" => "in_use").set(pool.in_use);
    }
    let signs_since = saas.auth().access_tokens().keys().active_since();
    let age = (saas.clock().now() - signs_since).to_std().unwrap_or_default();
    gauge!("saas_signing_key_age_seconds").set(age);
    gauge!("saas_uptime_seconds").set(saas.uptime());
    gauge!("saas_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1);
}
