//! Where addresses are: [`GeoLocator`](saas_core::GeoLocator) over a MaxMind file ([`MaxMind`], feature `maxmind`), an `IP2Location` file
//! ([`Ip2Location`], feature `ip2location`) and the IPinfo service ([`IpInfo`], feature `ipinfo`), and [`Remembered`], which spares a
//! service what it was asked just now.
//!
//! Files are read into memory whole when they are opened: a file that is replaced meanwhile harms nobody, and counts from the next start on.

#[cfg(feature = "ip2location")]
mod ip2location;
#[cfg(feature = "ipinfo")]
mod ipinfo;
#[cfg(feature = "maxmind")]
mod maxmind;
mod open;
mod remembered;

#[cfg(feature = "ip2location")]
pub use ip2location::Ip2Location;
#[cfg(feature = "ipinfo")]
pub use ipinfo::{InvalidIpInfoConfig, IpInfo, IpInfoConfig};
#[cfg(feature = "maxmind")]
pub use maxmind::MaxMind;
pub use open::OpenGeoFileError;
pub use remembered::Remembered;
