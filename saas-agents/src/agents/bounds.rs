//! Keeping what runs have said within bounds.

use saas_core::{Cut, EventBounds, Excess, Reach, Topic};

use super::{Agents, AgentsError};
use crate::RunId;

/// How many topics are looked at in one round.
const ROUND: u32 = 200;
const REACH: Reach = Reach::Platform("runs");

/// What becomes of the events of a run that nobody has appended to for a while.
enum Idle {
    /// The run goes on, or has not been over for so long.
    Kept,
    /// The conversation has what it said.
    Trimmed,
    /// The run was removed, and a crash left its events behind.
    Removed,
}

impl Agents {
    /// Trims the events of runs to `bounds`, and tells how many went. The events of a run go when it has been over for as long as the
    /// bounds say, the newest of a run that is not over never: the stored answer is what stays of them.
    pub async fn purge_events(&self, bounds: &EventBounds) -> Result<u64, AgentsError> {
        let (mut removed, mut after): (u64, Option<Topic>) = (0, None);
        loop {
            let round = self.ports.events.topics(RunId::FAMILY, after.as_ref(), ROUND).await?;
            let Some(last) = round.last() else { return Ok(removed) };
            after = Some(last.topic.clone());
            let now = self.now();
            let mut cuts: Vec<Cut> = Vec::new();
            for state in &round {
                match bounds.excess(state, now) {
                    Some(Excess::Idle(cut)) => match self.idle(&cut.topic, bounds).await? {
                        Idle::Trimmed => cuts.push(cut),
                        Idle::Removed => self.ports.events.remove(&cut.topic).await?,
                        Idle::Kept => {
                            let through = bounds.too_many(state);
                            cuts.extend(through.map(|through| Cut { through, ..cut }));
                        }
                    },
                    Some(Excess::TooMany(cut)) => cuts.push(cut),
                    // Nothing; or what else there may be to bound, whoever adds it says here.
                    None | Some(_) => {}
                }
            }
            removed += self.ports.events.trim(&cuts).await?;
        }
    }

    async fn idle(&self, topic: &Topic, bounds: &EventBounds) -> Result<Idle, AgentsError> {
        // Not one of ours.
        let Ok(id) = topic.id().parse::<RunId>() else { return Ok(Idle::Kept) };
        let mut conn = self.ports.storage.read(REACH).await?;
        let Some(run) = self.ports.runs.find(&mut conn, id).await? else { return Ok(Idle::Removed) };
        let long_over = run.finished_at.is_some_and(|ended| ended < self.now() - bounds.idle);
        Ok(if run.status.is_final() && long_over { Idle::Trimmed } else { Idle::Kept })
    }
}
