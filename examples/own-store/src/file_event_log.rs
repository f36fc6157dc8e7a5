//! [`EventLog`] over plain files.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use saas_core::{Cut, Event, EventLog, EventLogError, Topic, TopicState};
use tokio::{
    sync::{Mutex, Notify},
    task::spawn_blocking,
};

use crate::lines;

/// How long an event of another process may be unseen; the port allows a second.
const LOOK: Duration = Duration::from_millis(200);

/// Event streams in a folder, a file for each topic. Any number of processes may share the folder: who changes a file locks the folder.
///
/// A topic's file is read whole for each call: made for streams of hundreds of events, as an agent's answers are, not of millions.
#[derive(Debug, Clone)]
pub struct FileEventLog {
    folder: PathBuf,
    /// One append of this process after the other.
    writing: Arc<Mutex<()>>,
    appended: Arc<Notify>,
}

impl FileEventLog {
    /// A log in `folder`, which is made when it is not there.
    pub fn open(folder: impl Into<PathBuf>) -> io::Result<Self> {
        let folder = folder.into();
        fs::create_dir_all(&folder)?;
        Ok(Self { folder, writing: Arc::default(), appended: Arc::default() })
    }

    /// Where a topic's events are. Whatever is in a topic's name, the file's name is made of letters, digits and `-`, and of `%xx` for
    /// the rest.
    pub fn path(&self, topic: &Topic) -> PathBuf {
        let name: String = topic
            .as_str()
            .bytes()
            .map(|byte| match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' => char::from(byte).to_string(),
                _ => format!("%{byte:02x}"),
            })
            .collect();
        self.folder.join(format!("{name}.log"))
    }

    /// Changes files, one change after the other.
    async fn change<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<T, EventLogError> {
        let turn = Arc::clone(&self.writing).lock_owned().await;
        let folder = self.folder.clone();
        on_disk(move || {
            // Should the caller leave, the next change still waits for this one.
            let _turn = turn;
            let folder = File::open(folder)?;
            folder.lock()?;
            work()
        })
        .await
    }
}

/// Works on a thread that may wait for the disk.
async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, EventLogError> {
    let done = spawn_blocking(work).await.map_err(|error| EventLogError::Backend(Box::new(error)))?;
    done.map_err(|error| EventLogError::Backend(Box::new(error)))
}

/// The topic that a file's name was made of; `None` for another file.
fn topic_of(path: &Path) -> Option<Topic> {
    let name = path.file_name()?.to_str()?.strip_suffix(".log")?;
    let (mut bytes, mut rest) = (Vec::new(), name.as_bytes());
    while let Some((first, others)) = rest.split_first() {
        rest = others;
        bytes.push(*first);
        if *first == b'%' {
            let (hex, others) = rest.split_at_checked(2)?;
            rest = others;
            bytes.pop();
            bytes.push(u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()?);
        }
    }
    Some(Topic::from_stored(std::str::from_utf8(&bytes).ok()?))
}

/// What the files of a family hold, in the order of the topics' bytes.
fn states(folder: &Path, family: &str, after: Option<&Topic>, limit: u32) -> io::Result<Vec<TopicState>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let topic = topic_of(&path).filter(|topic| topic.family() == family);
        files
            .extend(topic.filter(|topic| after.is_none_or(|after| topic > after)).map(|topic| (topic, path)));
    }
    files.sort();
    let mut states = Vec::new();
    for (topic, path) in files {
        if states.len() >= limit as usize {
            break;
        }
        if let Some((oldest, newest, appended_at)) = lines::state(&path)? {
            states.push(TopicState { topic, oldest, newest, appended_at: appended_at.into() });
        }
    }
    Ok(states)
}

#[async_trait]
impl EventLog for FileEventLog {
    async fn append(&self, topic: &Topic, event: Event) -> Result<(), EventLogError> {
        let path = self.path(topic);
        self.change(move || lines::append(&path, &event)).await?;
        self.appended.notify_waiters();
        Ok(())
    }

    async fn read(&self, topic: &Topic, after: i64, limit: u32) -> Result<Vec<Event>, EventLogError> {
        let path = self.path(topic);
        let lines = on_disk(move || lines::read(&path)).await?;
        lines::after(&lines, after, limit).map_err(|oldest| EventLogError::Trimmed { oldest })
    }

    async fn changed(&self, topic: &Topic, after: i64) {
        // Waiting begins before the look, so that nothing is missed between the two.
        let mut appended = std::pin::pin!(self.appended.notified());
        appended.as_mut().enable();
        // What cannot be read now is tried again by who reads next.
        let there = self.read(topic, after, 1).await.map_or(true, |events| !events.is_empty());
        if !there {
            let _ = tokio::time::timeout(LOOK, appended).await;
        }
    }

    fn wake(&self, _: &Topic) {
        self.appended.notify_waiters();
    }

    async fn remove(&self, topic: &Topic) -> Result<(), EventLogError> {
        let path = self.path(topic);
        self.change(move || lines::remove(&path)).await
    }

    async fn trim(&self, cuts: &[Cut]) -> Result<u64, EventLogError> {
        let mut removed = 0;
        for cut in cuts {
            let (path, through) = (self.path(&cut.topic), cut.through);
            removed += self.change(move || lines::trim(&path, through)).await?;
        }
        self.appended.notify_waiters();
        Ok(removed)
    }

    async fn topics(
        &self,
        family: &str,
        after: Option<&Topic>,
        limit: u32,
    ) -> Result<Vec<TopicState>, EventLogError> {
        let (folder, family, after) = (self.folder.clone(), family.to_owned(), after.cloned());
        on_disk(move || states(&folder, &family, after.as_ref(), limit)).await
    }
}
