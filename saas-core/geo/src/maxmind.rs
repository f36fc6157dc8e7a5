//! [`GeoLocator`] over a MaxMind DB file with cities or countries: `GeoLite2`, `GeoIP2`, and files of others in that format.

use std::{fmt, fs, net::IpAddr, path::Path};

use async_trait::async_trait;
use maxminddb::{Reader, path};
use saas_core::{GeoError, GeoLocator, Place};

use crate::OpenGeoFileError;

/// A file, in memory.
pub struct MaxMind(Reader<Vec<u8>>);

impl MaxMind {
    /// Reads the file whole.
    pub fn open(path: &Path) -> Result<Self, OpenGeoFileError> {
        let bytes =
            fs::read(path).map_err(|source| OpenGeoFileError::Read { path: path.to_owned(), source })?;
        let what = "a MaxMind DB file (.mmdb)";
        Reader::from_source(bytes)
            .map(Self)
            .map_err(|_| OpenGeoFileError::Format { path: path.to_owned(), what })
    }

    fn find(&self, address: IpAddr) -> Result<Option<Place>, maxminddb::MaxMindDbError> {
        let found = self.0.lookup(address.to_canonical())?;
        let country: Option<&str> = found.decode_path(&path!["country", "iso_code"])?;
        let region: Option<&str> = found.decode_path(&path!["subdivisions", 0, "names", "en"])?;
        let city: Option<&str> = found.decode_path(&path!["city", "names", "en"])?;
        Ok(Place::new(country, region, city))
    }
}

impl fmt::Debug for MaxMind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MaxMind").field(&self.0.metadata().database_type).finish()
    }
}

#[async_trait]
impl GeoLocator for MaxMind {
    async fn locate(&self, address: IpAddr) -> Result<Option<Place>, GeoError> {
        self.find(address).map_err(GeoError::unavailable)
    }
}
