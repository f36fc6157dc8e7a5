//! One topic's file: a line for each event, `<seq> <data as a JSON string>`, behind a line `<seq> trimmed` where the events up to that
//! number were removed; and nothing else.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Seek, SeekFrom, Write},
    path::Path,
    sync::Arc,
    time::SystemTime,
};

use saas_core::Event;

/// The events of a file by number, and how long its whole lines are together: a process that was killed may leave half a line behind.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    pub(crate) events: BTreeMap<i64, Arc<str>>,
    pub(crate) whole: u64,
    /// Up to which number events were trimmed; 0 for none.
    pub(crate) trimmed: i64,
}

/// What stands instead of an event's text, which is in quotes.
const TRIMMED: &str = "trimmed";

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
        let seq = seq.parse().map_err(|_| damaged())?;
        lines.whole += line.len() as u64;
        if data == TRIMMED {
            lines.trimmed = seq;
            continue;
        }
        let data: String = serde_json::from_str(data).map_err(|_| damaged())?;
        // The first of two with one number is the one that counts.
        lines.events.entry(seq).or_insert_with(|| data.into());
    }
    Ok(lines)
}

/// Adds an event unless its number is there, and waits until it is on the disk.
pub(crate) fn append(path: &Path, event: &Event) -> io::Result<()> {
    let lines = read(path)?;
    if event.seq <= lines.trimmed || lines.events.contains_key(&event.seq) {
        return Ok(());
    }
    let is_new = lines.whole == 0;
    let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
    file.set_len(lines.whole)?;
    file.seek(SeekFrom::Start(lines.whole))?;
    file.write_all(line(event.seq, &event.data).as_bytes())?;
    file.sync_data()?;
    // A new file's name is in its folder, which has to reach the disk too.
    if let (true, Some(folder)) = (is_new, path.parent()) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

fn line(seq: i64, data: &str) -> String {
    format!("{seq} {}\n", serde_json::Value::from(data))
}

/// Removes the events up to a number, and tells how many. The new file takes the old one's place at once, and its time: nothing was
/// appended.
pub(crate) fn trim(path: &Path, through: i64) -> io::Result<u64> {
    let Lines { mut events, .. } = read(path)?;
    let kept = events.split_off(&through.saturating_add(1));
    let Some((last, _)) = events.last_key_value() else { return Ok(0) };
    let mut text = format!("{last} {TRIMMED}\n");
    text.extend(kept.iter().map(|(seq, data)| line(*seq, data)));
    let appended_at = fs::metadata(path)?.modified()?;
    let beside = path.with_extension("new");
    let mut file = File::create(&beside)?;
    file.write_all(text.as_bytes())?;
    file.set_modified(appended_at)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    if let Some(folder) = path.parent() {
        File::open(folder)?.sync_all()?;
    }
    Ok(events.len() as u64)
}

/// The numbers of the oldest and the newest event, and when the newest was appended; `None` without any.
pub(crate) fn state(path: &Path) -> io::Result<Option<(i64, i64, SystemTime)>> {
    let events = read(path)?.events;
    let (Some((oldest, _)), Some((newest, _))) = (events.first_key_value(), events.last_key_value()) else {
        return Ok(None);
    };
    Ok(Some((*oldest, *newest, fs::metadata(path)?.modified()?)))
}

/// Removes the file, if it is there.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// At most `limit` events after `after`, up to the first number that is missing; `Err` with the number of the oldest one where some of
/// them were trimmed.
pub(crate) fn after(lines: &Lines, after: i64, limit: u32) -> Result<Vec<Event>, i64> {
    if after < lines.trimmed {
        return Err(lines.trimmed + 1);
    }
    let numbers = (after..=i64::MAX).skip(1);
    let found = numbers.map_while(|seq| Some(Event { seq, data: Arc::clone(lines.events.get(&seq)?) }));
    Ok(found.take(limit as usize).collect())
}
