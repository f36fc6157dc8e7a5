//! Removing the oldest events of topics, and finding the topics that have too many.

use chrono::{DateTime, Utc};
use saas_core::{Conn, Cut, EventBounds, Storage, StoreError, Topic, TopicState};

use super::REACH;
use crate::{SqlError, SqlStorage, execute, fetch_all, fetch_optional};

/// How many rows one transaction removes: few enough that nobody who appends waits for it.
const BATCH: usize = 500;

/// How many topics one transaction cuts.
const TOPICS: usize = 100;

/// How many events of a topic lie between two cuts on the way: a bounded topic holds at most so many above its bound. Whether one is due
/// follows from the numbers that are appended; nothing is counted or looked up for it.
const STRIDE: i64 = 1_024;

/// What a transaction that appends the events from `first` to `last` of a topic cuts off.
pub(super) fn due(bounds: &[EventBounds], topic: &Topic, first: i64, last: i64) -> Option<Cut> {
    let bounds = bounds.iter().find(|bounds| bounds.family == topic.family())?;
    let crossed = last.div_euclid(STRIDE) > first.saturating_sub(1).div_euclid(STRIDE);
    let through = last.checked_sub(bounds.newest.into()).filter(|through| *through > 0 && crossed)?;
    Some(Cut { topic: topic.clone(), through })
}

/// Cuts in a transaction that appends, and tells how many events went. What lies further back than that is left to the next time.
pub(super) async fn on_the_way(conn: &mut Conn, cut: &Cut) -> Result<u64, SqlError> {
    let most = usize::try_from(2 * STRIDE).unwrap_or(usize::MAX);
    take(conn, cut, most).await.map(count)
}

/// Makes cuts in small transactions. `done` hears after each commit of the cuts of which it removed something, and how many events went.
pub(super) async fn cut(
    storage: &SqlStorage,
    cuts: &[Cut],
    mut done: impl FnMut(&[Cut], u64),
) -> Result<u64, StoreError> {
    let (mut rest, mut total) = (cuts, 0);
    while !rest.is_empty() {
        let (mut tx, mut room, mut finished) = (storage.begin(REACH).await?, BATCH, 0);
        let mut touched = 0;
        for cut in rest.iter().take(TOPICS) {
            let taken = take(tx.conn(), cut, room).await?;
            room -= taken;
            touched += 1;
            if room == 0 {
                break;
            }
            finished += 1;
        }
        tx.commit().await?;
        let removed = count(BATCH - room);
        total += removed;
        done(rest.get(..touched).unwrap_or_default(), removed);
        rest = rest.get(finished..).unwrap_or_default();
    }
    Ok(total)
}

/// Removes at most `most` events of a topic, the oldest first, and notes up to where.
async fn take(conn: &mut Conn, cut: &Cut, most: usize) -> Result<usize, SqlError> {
    let rows = fetch_all!(
        conn,
        (i64,),
        "DELETE FROM saas_events WHERE topic = $1 AND seq IN \
         (SELECT seq FROM saas_events WHERE topic = $1 AND seq <= $2 ORDER BY seq LIMIT $3) RETURNING seq",
        cut.topic.as_str(),
        cut.through,
        i64::try_from(most).unwrap_or(i64::MAX),
    )?;
    let Some(last) = rows.iter().map(|(seq,)| *seq).max() else { return Ok(0) };
    // An event that was trimmed before, and that somebody appended again, does not move it back.
    execute!(
        conn,
        "INSERT INTO saas_event_trims (topic, trimmed) VALUES ($1, $2) ON CONFLICT (topic) \
         DO UPDATE SET trimmed = excluded.trimmed WHERE saas_event_trims.trimmed < excluded.trimmed",
        cut.topic.as_str(),
        last,
    )?;
    Ok(rows.len())
}

/// Up to which number a topic was trimmed; 0 for not at all.
pub(super) async fn trimmed(conn: &mut Conn, topic: &Topic) -> Result<i64, SqlError> {
    let row = fetch_optional!(
        conn,
        (i64,),
        "SELECT trimmed FROM saas_event_trims WHERE topic = $1",
        topic.as_str()
    )?;
    Ok(row.map_or(0, |(trimmed,)| trimmed))
}

/// The topics of a family that hold events: from one name to the next by the primary key, past the events in between.
pub(super) async fn topics(
    conn: &mut Conn,
    family: &str,
    after: Option<&Topic>,
    limit: u32,
) -> Result<Vec<TopicState>, SqlError> {
    // `;` is what follows `:`.
    let (begin, end) = (format!("{family}:"), format!("{family};"));
    let begin = after.map_or(begin.as_str(), |after| after.as_str().max(&begin));
    let rows = fetch_all!(
        conn,
        (String, i64, i64, DateTime<Utc>),
        "WITH RECURSIVE named (topic, place) AS (\
             SELECT (SELECT MIN(e.topic) FROM saas_events e WHERE e.topic > $1 AND e.topic < $2), CAST(1 AS bigint) \
             UNION ALL \
             SELECT (SELECT MIN(e.topic) FROM saas_events e WHERE e.topic > named.topic AND e.topic < $2), place + 1 \
             FROM named WHERE named.topic IS NOT NULL AND place < $3) \
         SELECT topic, \
             (SELECT MIN(e.seq) FROM saas_events e WHERE e.topic = named.topic), \
             (SELECT MAX(e.seq) FROM saas_events e WHERE e.topic = named.topic), \
             (SELECT e.created_at FROM saas_events e WHERE e.topic = named.topic ORDER BY e.seq DESC LIMIT 1) \
         FROM named WHERE topic IS NOT NULL",
        begin,
        end.as_str(),
        i64::from(limit),
    )?;
    let state = |(topic, oldest, newest, appended_at): (String, i64, i64, DateTime<Utc>)| TopicState {
        topic: Topic::from_stored(&topic),
        oldest,
        newest,
        appended_at,
    };
    Ok(rows.into_iter().map(state).collect())
}

fn count(rows: usize) -> u64 {
    u64::try_from(rows).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const BOUNDS: [EventBounds; 1] =
        [EventBounds { family: "run", newest: 5_000, idle: Duration::from_secs(1) }];

    #[test]
    fn a_cut_is_due_once_in_a_stride_and_never_of_what_is_within_the_bound() {
        let run = Topic::new("run", 1);
        let cuts: Vec<(i64, i64)> = (1..=10_240)
            .filter_map(|seq| due(&BOUNDS, &run, seq, seq).map(|cut| (seq, cut.through)))
            .collect();
        assert_eq!(
            cuts,
            [(5_120, 120), (6_144, 1_144), (7_168, 2_168), (8_192, 3_192), (9_216, 4_216), (10_240, 5_240)]
        );
    }

    #[test]
    fn a_batch_that_crosses_a_stride_is_cut_and_one_that_does_not_is_not() {
        let run = Topic::new("run", 1);
        assert_eq!(due(&BOUNDS, &run, 6_000, 6_143), None);
        assert_eq!(due(&BOUNDS, &run, 6_000, 6_200).map(|cut| cut.through), Some(1_200));
        assert_eq!(due(&BOUNDS, &Topic::new("running", 1), 6_000, 6_200), None, "another family");
    }
}
