//! [`GeoLocator`] over an `IP2Location` BIN file, LITE ones among them ("`IP2Location` BIN Database File Format", DB1 to DB26).
//!
//! A file is a header, two tables whose rows begin with the first address that they are of, in ascending order, and texts behind their
//! lengths that rows point to. Everything is little-endian, and every position in the header counts from 1. No position of the file is
//! trusted: what points outside of it is a damaged file.

use std::{fmt, fs, net::IpAddr, path::Path};

use async_trait::async_trait;
use saas_core::{GeoError, GeoLocator, Place};

use crate::OpenGeoFileError;

const COUNTRY: usize = 1;
const REGION: usize = 2;
const CITY: usize = 3;

/// A file, in memory.
pub struct Ip2Location {
    bytes: Vec<u8>,
    v4: Table,
    v6: Table,
    /// Its kind: 1 for countries, 2 with providers, 3 and more with regions and cities.
    kind: u8,
}

/// The rows of one family of addresses.
#[derive(Debug, Clone, Copy)]
struct Table {
    begin: usize,
    rows: usize,
    row: usize,
    /// How long the address at a row's beginning is.
    address: usize,
}

/// A position outside of the file.
#[derive(Debug, thiserror::Error)]
#[error("the IP2Location file is damaged: download it again")]
struct Damaged;

impl Ip2Location {
    /// Reads the file whole.
    pub fn open(path: &Path) -> Result<Self, OpenGeoFileError> {
        let bytes =
            fs::read(path).map_err(|source| OpenGeoFileError::Read { path: path.to_owned(), source })?;
        let what = "an IP2Location BIN file";
        Self::from_bytes(bytes).ok_or_else(|| OpenGeoFileError::Format { path: path.to_owned(), what })
    }

    /// A file's bytes.
    pub fn from_bytes(bytes: Vec<u8>) -> Option<Self> {
        let (kind, columns, year, product) =
            (*bytes.first()?, *bytes.get(1)?, *bytes.get(2)?, *bytes.get(29)?);
        // Files of 2021 and later say that they are of places (1) and not of proxies or else.
        if !(1..=26).contains(&kind) || columns < 2 || !(product == 1 || (product == 0 && year <= 20)) {
            return None;
        }
        if kind >= 3 && usize::from(columns) <= CITY {
            return None;
        }
        let table = |count: usize, base: usize, address: usize| {
            let rows = usize::try_from(number(&bytes, count)?).ok()?;
            let begin = usize::try_from(number(&bytes, base)?).ok()?;
            let row = address + (usize::from(columns) - 1) * 4;
            let table = Table { begin: begin.saturating_sub(1), rows, row, address };
            let end = rows.checked_mul(row)?.checked_add(table.begin)?;
            (rows == 0 || (begin > 0 && end <= bytes.len())).then_some(table)
        };
        let (v4, v6) = (table(5, 9, 4)?, table(13, 17, 16)?);
        (v4.rows > 0).then_some(())?;
        Some(Self { bytes, v4, v6, kind })
    }

    fn find(&self, address: IpAddr) -> Result<Option<Place>, Damaged> {
        let (table, wanted) = match address.to_canonical() {
            IpAddr::V4(address) => (self.v4, u128::from(address.to_bits())),
            IpAddr::V6(address) => (self.v6, address.to_bits()),
        };
        // The row behind the last one that begins at or before the address.
        let (mut low, mut high) = (0, table.rows);
        while low < high {
            let middle = low.midpoint(high);
            if self.first_address(table, middle)? <= wanted { low = middle + 1 } else { high = middle }
        }
        let Some(row) = low.checked_sub(1) else { return Ok(None) };
        let at = table.begin + row * table.row + table.address;
        let country = self.text(at, COUNTRY)?;
        let (region, city) = match self.kind {
            1 | 2 => (None, None),
            _ => (Some(self.text(at, REGION)?), Some(self.text(at, CITY)?)),
        };
        Ok(Place::new(Some(&country), region.as_deref(), city.as_deref()))
    }

    fn first_address(&self, table: Table, row: usize) -> Result<u128, Damaged> {
        let at = table.begin + row * table.row;
        let bytes = self.bytes.get(at..at + table.address).ok_or(Damaged)?;
        Ok(bytes.iter().rev().fold(0, |address, byte| (address << 8) | u128::from(*byte)))
    }

    /// The text of a row's column, which is ISO 8859-1.
    fn text(&self, row: usize, column: usize) -> Result<String, Damaged> {
        let at = number(&self.bytes, row + (column - 1) * 4)
            .and_then(|at| usize::try_from(at).ok())
            .ok_or(Damaged)?;
        let length = usize::from(*self.bytes.get(at).ok_or(Damaged)?);
        let text = self.bytes.get(at + 1..at + 1 + length).ok_or(Damaged)?;
        Ok(text.iter().map(|byte| char::from(*byte)).collect())
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    four.try_into().ok().map(u32::from_le_bytes)
}

impl fmt::Debug for Ip2Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ip2Location(DB{})", self.kind)
    }
}

#[async_trait]
impl GeoLocator for Ip2Location {
    async fn locate(&self, address: IpAddr) -> Result<Option<Place>, GeoError> {
        self.find(address).map_err(GeoError::unavailable)
    }
}
