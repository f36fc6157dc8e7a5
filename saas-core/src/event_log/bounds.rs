//! How much of a family of topics is kept.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{Cut, TopicState};

/// How much of each topic of a family is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventBounds {
    /// The family, as [`Topic::family`](super::Topic::family) names it.
    pub family: &'static str,
    /// How many events of a topic are kept: the newest.
    pub newest: u32,
    /// How long a topic is kept that nobody appends to.
    pub idle: Duration,
}

/// In what way a topic is beyond its bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Excess {
    /// Nobody has appended to it for too long: all of it may go, if who owns it has no use for it.
    Idle(Cut),
    /// It holds too many events: the oldest go.
    TooMany(Cut),
}

impl EventBounds {
    /// What is too much of a topic at `now`.
    pub fn excess(&self, state: &TopicState, now: DateTime<Utc>) -> Option<Excess> {
        let cut = |through| Cut { topic: state.topic.clone(), through };
        if state.appended_at < now - self.idle {
            return Some(Excess::Idle(cut(state.newest)));
        }
        self.too_many(state).map(|through| Excess::TooMany(cut(through)))
    }

    /// The number of the last event that is one too many.
    pub fn too_many(&self, state: &TopicState) -> Option<i64> {
        let through = state.newest.saturating_sub(self.newest.into());
        (through >= state.oldest).then_some(through)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Topic;

    const BOUNDS: EventBounds = EventBounds { family: "run", newest: 10, idle: Duration::from_mins(1) };

    fn state(oldest: i64, newest: i64) -> TopicState {
        TopicState { topic: Topic::new("run", 1), oldest, newest, appended_at: DateTime::UNIX_EPOCH }
    }

    #[test]
    fn the_newest_are_kept_and_no_more() {
        for (oldest, newest, through) in
            [(1, 10, None), (1, 11, Some(1)), (5, 14, None), (5, 16, Some(6)), (7, 7, None)]
        {
            assert_eq!(BOUNDS.too_many(&state(oldest, newest)), through, "{oldest} to {newest}");
        }
    }

    #[test]
    fn a_topic_is_idle_when_its_newest_event_is_older_than_the_bound() {
        let at = |seconds| DateTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let cut = |through| Cut { topic: Topic::new("run", 1), through };
        assert_eq!(BOUNDS.excess(&state(1, 3), at(60)), None);
        assert_eq!(BOUNDS.excess(&state(1, 3), at(61)), Some(Excess::Idle(cut(3))));
        assert_eq!(BOUNDS.excess(&state(1, 12), at(60)), Some(Excess::TooMany(cut(2))));
    }

    #[test]
    fn a_topic_says_its_family_and_its_id() {
        let topic = Topic::from_stored("run:7:8");
        assert_eq!((topic.family(), topic.id()), ("run", "7:8"));
        assert_eq!(topic, Topic::new("run", "7:8"));
    }
}
