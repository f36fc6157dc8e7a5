//! Mails as files, for whoever has no mail server yet.

use std::{
    fmt::{self, Debug},
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use saas_core::{Clock, Mail, MailError, Mailer};

use crate::mime::eml;

/// [`Mailer`] that writes each mail into a file of its own, `<key>.<template>.eml`, which mail programs open.
///
/// The folder is made when the first mail comes, for its owner alone, and so are the files: they hold what lets somebody in. A file is
/// there whole or not at all, and a mail that is sent again takes the place of itself.
pub struct FolderMailer {
    folder: PathBuf,
    clock: Arc<dyn Clock>,
    /// So that two that write one mail at once do not write one file.
    partial: AtomicU64,
}

impl FolderMailer {
    /// Into that folder.
    pub fn new(folder: impl Into<PathBuf>, clock: Arc<dyn Clock>) -> Self {
        Self { folder: folder.into(), clock, partial: AtomicU64::new(0) }
    }

    /// Where the mails are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        make_folder(&self.folder)?;
        let number = self.partial.fetch_add(1, Ordering::Relaxed);
        let partial = self.folder.join(format!(".{name}.{}.{number}.partial", std::process::id()));
        let written = write_new(&partial, bytes).and_then(|()| fs::rename(&partial, self.folder.join(name)));
        if written.is_err() {
            // What is left of it is of no use.
            let _ = fs::remove_file(&partial);
        }
        written
    }
}

fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[async_trait]
impl Mailer for FolderMailer {
    async fn send(&self, mail: &Mail) -> Result<(), MailError> {
        let bytes = eml(mail, self.clock.now())?;
        let name = format!("{}.{}.eml", mail.key.as_str(), mail.template);
        self.write(&name, &bytes).map_err(MailError::unavailable)
    }
}

impl Debug for FolderMailer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FolderMailer").field("folder", &self.folder).finish_non_exhaustive()
    }
}
