//! One topic's file: a line for each event, `<seq> <data as a JSON string>`, and nothing else.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Seek, SeekFrom, Write},
    path::Path,
    sync::Arc,
};

use saas_core::Event;

/// The events of a file by number, and how long its whole lines are together: a process that was killed may leave half a line behind.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    pub(crate) events: BTreeMap<i64, Arc<str>>,
    pub(crate) whole: u64,
}

/// Reads a file; one that is not there has no events.
pub(crate) fn read(path: &Path) -> io::Result<Lines> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Lines::default()),
        text => text?,
    };
    let mut lines = Lines::default();
    for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
        let damaged = || io::Error::new(io::ErrorKind::InvalidData, "a line of the event log is damaged");
        let (seq, data) = line.trim_end().split_once(' ').ok_or_else(damaged)?;
        let data: String = serde_json::from_str(data).map_err(|_| damaged())?;
        // The first of two with one number is the one that counts.
        lines.events.entry(seq.parse().map_err(|_| damaged())?).or_insert_with(|| data.into());
        lines.whole += line.len() as u64;
    }
    Ok(lines)
}

/// Adds an event unless its number is there, and waits until it is on the disk.
pub(crate) fn append(path: &Path, event: &Event) -> io::Result<()> {
    let lines = read(path)?;
    if lines.events.contains_key(&event.seq) {
        return Ok(());
    }
    let is_new = lines.whole == 0;
    let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
    file.set_len(lines.whole)?;
    file.seek(SeekFrom::Start(lines.whole))?;
    file.write_all(format!("{} {}\n", event.seq, serde_json::Value::from(&*event.data)).as_bytes())?;
    file.sync_data()?;
    // A new file's name is in its folder, which has to reach the disk too.
    if let (true, Some(folder)) = (is_new, path.parent()) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// Removes the file, if it is there.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// At most `limit` events after `after`, up to the first number that is missing.
pub(crate) fn after(lines: &Lines, after: i64, limit: u32) -> Vec<Event> {
    let numbers = (after..=i64::MAX).skip(1);
    let found = numbers.map_while(|seq| Some(Event { seq, data: Arc::clone(lines.events.get(&seq)?) }));
    found.take(limit as usize).collect()
}
