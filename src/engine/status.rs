//! Tells whether a target may be reset, and what stands in the way.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{Engine, Served, now};
use crate::{
    access::Grant,
    error::Error,
    guard::{self, Layer, Marker, Reason, Seen, Verdict},
    target::Backlog,
};
use jiff::Timestamp;

/// How old an answer may be.
const FRESH: Duration = Duration::from_secs(1);

/// The state of a target.
#[derive(Debug, Clone)]
pub struct Status {
    /// When it was observed.
    pub observed_at: Timestamp,
    /// What each guard says.
    pub verdicts: Vec<Verdict>,
    /// What the database says about being reset.
    pub marker: MarkerState,
    /// The marker itself.
    pub row: Option<Marker>,
    /// The database's product and version; empty when it cannot be reached.
    pub version: String,
    /// Why the database cannot be used now, if it cannot.
    pub trouble: Option<String>,
    /// What is there besides the database.
    pub elsewhere: Elsewhere,
}

/// What is there besides a target's database, and what is left to be done
/// there.
#[derive(Debug, Clone, Default)]
pub struct Elsewhere {
    /// Where its Redis is; nothing when it has none.
    pub redis: Option<String>,
    /// Whether that answers.
    pub redis_answers: bool,
    /// The roots of its files, each with whether it is there and marked.
    pub roots: Vec<(String, bool)>,
    /// What is left to be done.
    pub backlog: Backlog,
}

/// The state of a marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MarkerState {
    /// The database was not asked.
    Unknown,
    /// There is none.
    Absent,
    /// It counts.
    Armed,
    /// Its time is over.
    Expired,
    /// It protects the database.
    Protected,
    /// It was written for another database.
    Foreign,
}

/// The last good word of every target. What anything stands in the way of is
/// looked at anew each time, as somebody is about to change that.
#[derive(Debug, Default)]
pub(super) struct Snapshots(Mutex<BTreeMap<String, (Instant, Status)>>);

impl Snapshots {
    fn fresh(&self, target: &str) -> Option<Status> {
        let snapshots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, status) = snapshots.get(target)?;
        (at.elapsed() < FRESH).then(|| status.clone())
    }

    fn keep(&self, target: &str, observed: Instant, status: &Status) {
        if status.is_good() {
            let mut snapshots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            snapshots.insert(target.to_owned(), (observed, status.clone()));
        }
    }

    /// Something has happened to a target.
    pub(super) fn forget(&self, target: &str) {
        let mut snapshots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        snapshots.remove(target);
    }
}

impl Status {
    /// True when nothing stands in the way, and nothing is left to be done.
    fn is_good(&self) -> bool {
        let elsewhere = &self.elsewhere;
        let passes = |verdict: &Verdict| verdict.refusal.is_none();
        self.trouble.is_none()
            && self.marker == MarkerState::Armed
            && self.verdicts.iter().all(passes)
            && elsewhere.redis.is_some() == elsewhere.redis_answers
            && elsewhere.roots.iter().all(|(_, is_marked)| *is_marked)
            && elsewhere.backlog.pending + elsewhere.backlog.attention == 0
    }
}

impl Engine {
    /// Observes a target, or tells what was observed within the last second.
    /// An unreachable database is a state, not an error.
    ///
    /// # Errors
    ///
    /// When there is no such target.
    pub async fn status(&self, grant: &Grant) -> Result<Status, Error> {
        let served = self.served(grant.target())?;
        let name = served.target.name();
        if let Some(status) = self.snapshots.fresh(name) {
            return Ok(status);
        }
        let begun = Instant::now();
        let status = observe(served).await;
        self.snapshots.keep(name, begun, &status);
        Ok(status)
    }
}

async fn observe(served: &Served) -> Status {
    let setting = served.target.setting();
    let observed_at = now();
    // A target that may never be reset is not even connected to.
    let denied = guard::precheck(setting, observed_at).is_err();
    let answer = match denied {
        true => None,
        false => Some(served.target.observe().await),
    };
    let (seen, version, mut trouble) = match answer {
        Some(Ok(observation)) => (Some(observation.seen), observation.version, None),
        Some(Err(error)) => (None, String::new(), Some(error.to_string())),
        None => (None, String::new(), None),
    };
    if seen.is_some()
        && let Err(error) = served.target.model().await
    {
        trouble = Some(error.to_string());
    }
    let verdicts = guard::verdicts(setting, seen.as_ref(), observed_at);
    let is_armed = seen.as_ref().is_some_and(|seen| !seen.markers.is_empty());
    let elsewhere = elsewhere(served, is_armed).await;
    Status {
        elsewhere,
        observed_at,
        marker: marker_state(seen.as_ref(), &verdicts),
        row: seen.and_then(|seen| seen.markers.into_iter().next()),
        verdicts,
        version,
        trouble,
    }
}

async fn elsewhere(served: &Served, is_armed: bool) -> Elsewhere {
    let effects = &served.effects;
    let marked = effects.root_ids();
    let roots = effects.root_names();
    let redis = effects.redis_address();
    Elsewhere {
        redis_answers: redis.is_some() && effects.is_reachable().await,
        redis,
        roots: roots
            .map(|root| (root.to_owned(), marked.contains_key(root)))
            .collect(),
        // Where there is no marker there is nothing of ours at all.
        backlog: match is_armed {
            true => served.target.backlog().await.unwrap_or_default(),
            false => Backlog::default(),
        },
    }
}

fn marker_state(seen: Option<&Seen>, verdicts: &[Verdict]) -> MarkerState {
    let Some(seen) = seen else {
        return MarkerState::Unknown;
    };
    let refusal = verdicts
        .iter()
        .find(|verdict| verdict.layer == Layer::Marker)
        .and_then(|verdict| verdict.refusal.as_ref());
    match (refusal.map(|refusal| refusal.reason), seen.markers.len()) {
        (None, _) => MarkerState::Armed,
        (Some(_), 0) => MarkerState::Absent,
        (Some(Reason::TargetProtected), _) => MarkerState::Protected,
        (Some(Reason::TargetIdentityMismatch), _) => MarkerState::Foreign,
        (Some(_), _) => MarkerState::Expired,
    }
}
