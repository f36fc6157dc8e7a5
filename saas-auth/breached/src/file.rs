//! The list as a file.

use std::{
    cmp::Ordering,
    fmt, fs, io,
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use saas_auth::{BreachedPasswords, Password, password::BreachedError};

use crate::digest::{DIGITS, digest, line};

/// The longest line: digits, a colon, a count, the end.
const LONGEST: usize = DIGITS + 1 + 20 + 2;

/// A list in a file as the downloader of Have I Been Pwned writes it: a line for each password, `<SHA-1 in hex>:<how often it was seen>`,
/// in the order of the hashes, in one file. However long it is, it is searched where it is: some thirty short reads a password, and nothing
/// of it is kept in memory.
///
/// The file may be replaced under its name; what was opened is read on until a new one is opened.
pub struct BreachedFile {
    path: PathBuf,
    file: fs::File,
    bytes: u64,
}

/// A list that cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BreachedFileError {
    /// The file is not there, or cannot be read.
    #[error("the list of stolen passwords at {path} cannot be read")]
    Read {
        /// Where.
        path: PathBuf,
        /// What the machine says.
        #[source]
        source: io::Error,
    },
    /// It is no such list.
    #[error(
        "the file at {path} has no lines of <SHA-1 in hex>:<count> in their order: download it with haveibeenpwned-downloader, into one file"
    )]
    Malformed {
        /// Where.
        path: PathBuf,
    },
}

impl BreachedFile {
    /// Opens a list, and looks at its first and its last line.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, BreachedFileError> {
        let path = path.into();
        let opened = fs::File::open(&path).and_then(|file| Ok((file.metadata()?.len(), file)));
        let (bytes, file) =
            opened.map_err(|source| BreachedFileError::Read { path: path.clone(), source })?;
        let list = Self { path, file, bytes };
        let beginning = list.line_around(0)?;
        let end = list.line_around(bytes.saturating_sub(2))?;
        if beginning.hash > end.hash {
            return Err(list.malformed());
        }
        Ok(list)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the password is on the list. It reads from the disk: off the threads that serve requests, where that disk is slow.
    pub fn contains(&self, password: &Password) -> Result<bool, BreachedFileError> {
        let wanted = digest(password);
        let (mut low, mut high) = (0, self.bytes);
        while low < high {
            let found = self.line_around(low + (high - low) / 2)?;
            match found.hash.cmp(&wanted) {
                Ordering::Equal => return Ok(found.count > 0),
                Ordering::Less => low = found.end,
                Ordering::Greater => high = found.begin,
            }
        }
        Ok(false)
    }

    /// The line that the byte at `offset` is in.
    fn line_around(&self, offset: u64) -> Result<Line, BreachedFileError> {
        let from = offset.saturating_sub(LONGEST as u64);
        let mut buffer = [0; 2 * LONGEST];
        let read = read_at(&self.file, &mut buffer, from)
            .map_err(|source| BreachedFileError::Read { path: self.path.clone(), source })?;
        let (read, at) = (&buffer[..read], usize::try_from(offset - from).unwrap_or(0));
        let is_end = |byte: &u8| *byte == b'\n';
        let before = read.get(..at).ok_or_else(|| self.malformed())?;
        let begin = match before.iter().rposition(is_end) {
            Some(end) => end + 1,
            None if from == 0 => 0,
            None => return Err(self.malformed()),
        };
        let end = read[at..].iter().position(is_end).map(|end| at + end);
        let text = &read[begin..end.unwrap_or(read.len())];
        let (hash, count) = line(text, DIGITS).ok_or_else(|| self.malformed())?;
        let mut digits = [0; DIGITS];
        digits.copy_from_slice(hash);
        digits.make_ascii_uppercase();
        let end = end.map_or(read.len(), |end| end + 1);
        Ok(Line { hash: digits, count, begin: from + begin as u64, end: from + end as u64 })
    }

    fn malformed(&self) -> BreachedFileError {
        BreachedFileError::Malformed { path: self.path.clone() }
    }
}

/// A line, and where it is.
struct Line {
    hash: [u8; DIGITS],
    count: u64,
    begin: u64,
    /// Where the next one begins.
    end: u64,
}

/// Fills the buffer from there on, as far as the file goes.
fn read_at(file: &fs::File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        let rest = &mut buffer[filled..];
        let at = offset + filled as u64;
        #[cfg(unix)]
        let read = std::os::unix::fs::FileExt::read_at(file, rest, at);
        #[cfg(windows)]
        let read = std::os::windows::fs::FileExt::seek_read(file, rest, at);
        match read {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// On the calling thread; a host that minds puts it off its own.
#[async_trait]
impl BreachedPasswords for BreachedFile {
    async fn is_breached(&self, password: &Password) -> Result<bool, BreachedError> {
        self.contains(password).map_err(BreachedError::new)
    }
}

impl fmt::Debug for BreachedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BreachedFile")
            .field("path", &self.path)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}
