//! The generated root key of a deployment that set none: `<DATA_DIR>/root.key`, readable by its owner alone.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use saas_core::{Entropy, Secret, entropy::random, text::hex};
use saas_sql::RootKey;

/// A root key file that could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RootKeyFileError {
    /// It could not be read or made.
    #[error("the root key file {} could not be read or made", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It holds something else.
    #[error("the root key file {} does not hold 32 bytes in base64: restore it from a backup", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
    },
}

/// The key in `<folder>/root.key`, made when there is none. Of several processes that make one, all get the same.
pub(crate) fn load_or_create(folder: &Path, entropy: &dyn Entropy) -> Result<RootKey, RootKeyFileError> {
    let path = folder.join("root.key");
    let failed = |source| RootKeyFileError::Io { path: path.clone(), source };
    match fs::read(&path) {
        Ok(text) => return parse(&path, &Secret::new(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    make_folder(folder).map_err(failed)?;
    let text =
        Secret::new(format!("{}\n", STANDARD.encode(RootKey::generate(entropy).expose())).into_bytes());
    // Written whole under another name first, then linked: nobody ever reads half a key, and the first link wins. The name is random,
    // for containers that share the folder have the same process ids.
    let draft = folder.join(format!("root.key.{}", hex(&random::<16>(entropy))));
    write_private(&draft, text.expose()).map_err(failed)?;
    let linked = fs::hard_link(&draft, &path);
    fs::remove_file(&draft).map_err(failed)?;
    match linked {
        Ok(()) => {
            sync_folder(folder).map_err(failed)?;
            tracing::info!(path = %path.display(), "a root key was generated: back it up, the database is unreadable without it");
            parse(&path, &text)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            parse(&path, &Secret::new(fs::read(&path).map_err(failed)?))
        }
        Err(error) => Err(failed(error)),
    }
}

fn parse(path: &Path, text: &Secret<Vec<u8>>) -> Result<RootKey, RootKeyFileError> {
    let damaged = || RootKeyFileError::Damaged { path: path.to_owned() };
    let bytes = Secret::new(STANDARD.decode(text.expose().trim_ascii()).map_err(|_| damaged())?);
    RootKey::new(bytes.expose()).map_err(|_| damaged())
}

fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// A key whose name is lost in a power cut makes what was sealed under it unreadable.
#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    fs::File::open(folder)?.sync_all()
}

/// Folders cannot be synchronized here; the file was.
#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
