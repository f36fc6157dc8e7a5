//! [`EventLog`] over plain files.

use std::{fs, io, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use saas_core::{Event, EventLog, EventLogError, Topic};
use tokio::{
    sync::{Mutex, Notify},
    task::spawn_blocking,
};

use crate::lines;

/// How long an event of another process may be unseen; the port allows a second.
const LOOK: Duration = Duration::from_millis(200);

/// Event streams in a folder, a file for each topic. Any number of processes may share the folder.
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

    /// Works on a topic's file on a thread that may wait for the disk.
    async fn on_file<T: Send + 'static>(
        &self,
        topic: &Topic,
        work: impl FnOnce(PathBuf) -> io::Result<T> + Send + 'static,
    ) -> Result<T, EventLogError> {
        let path = self.path(topic);
        let done = spawn_blocking(move || work(path)).await;
        let done = done.map_err(|error| EventLogError::Backend(Box::new(error)))?;
        done.map_err(|error| EventLogError::Backend(Box::new(error)))
    }
}

#[async_trait]
impl EventLog for FileEventLog {
    async fn append(&self, topic: &Topic, event: Event) -> Result<(), EventLogError> {
        let turn = Arc::clone(&self.writing).lock_owned().await;
        let work = move |path: PathBuf| {
            // Should the caller leave, the next append still waits for this one.
            let _turn = turn;
            lines::append(&path, &event)
        };
        self.on_file(topic, work).await?;
        self.appended.notify_waiters();
        Ok(())
    }

    async fn read(&self, topic: &Topic, after: i64, limit: u32) -> Result<Vec<Event>, EventLogError> {
        self.on_file(topic, move |path| Ok(lines::after(&lines::read(&path)?, after, limit))).await
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
        let turn = Arc::clone(&self.writing).lock_owned().await;
        let work = move |path: PathBuf| {
            let _turn = turn;
            lines::remove(&path)
        };
        self.on_file(topic, work).await
    }
}
