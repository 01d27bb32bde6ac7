//! The gate before an investigation: the same target is not looked at twice at once, nor again while a repair of it is fresh, and three
//! failures end what happens by itself. All it knows is in the other incidents, so that a restart forgets nothing; whoever is held is
//! let go by itself. Pure. Called by `incident::observe` for incidents that have not begun.

use std::collections::BTreeSet;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use strum::{AsRefStr, Display, EnumIter};

use super::flap;
use super::report::{NAMESPACE_KIND, PREVIOUS_ANNOTATION};
use super::target::likely_owner;
use crate::api::incident::AlertSource;
use crate::api::{Incident, ObjectName, Outcome, Phase};

/// How long a target rests after a repair, where no policy says.
pub const DEFAULT_COOLDOWN: SignedDuration = SignedDuration::from_mins(5);
/// So many failures in a row, and a person must look first.
pub const FAILURES: usize = 3;
/// For how long after the last of them.
pub const FAILURE_PAUSE: SignedDuration = SignedDuration::from_hours(1);
/// So many repairs of one target within `CHAIN_WINDOW`: repairing it does not help.
pub const CHAIN: usize = 3;
/// See `CHAIN`.
pub const CHAIN_WINDOW: SignedDuration = SignedDuration::from_hours(4);

/// Why an incident waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, AsRefStr, Display, EnumIter)]
pub enum Hold {
    /// Another incident is about the same.
    DuplicateInProgress,
    /// Another incident is changing the same object.
    ResourceBusy,
    /// It was repaired a moment ago.
    RecentlyRemediated,
    /// The last repairs or investigations of it failed.
    ConsecutiveFailures,
    /// It was repaired again and again, and came back.
    IneffectiveChain,
    /// Its alerts resolve and fire again, and again.
    Flapping,
    /// A ResponsePolicy is suspended: what nobody asked for does not begin.
    Suspended,
}

/// What keeps an incident from beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Why.
    pub hold: Hold,
    /// Until when at most, where that is known.
    pub until: Option<Timestamp>,
    /// `namespace/name` of the incident that it waits for, or of the last of those that failed.
    pub by: Option<String>,
}

impl Block {
    /// In one sentence, with what to do about it where something can be done.
    pub fn said(&self) -> String {
        let by = self.by.as_ref().map(|by| format!(" ({by})")).unwrap_or_default();
        let until = self.until.map(|at| format!(", until {at}")).unwrap_or_default();
        match self.hold {
            Hold::DuplicateInProgress => format!("another incident about the same is in progress{by}; this one goes on after it"),
            Hold::ResourceBusy => format!("another incident is changing the same object{by}; this one goes on after it"),
            Hold::RecentlyRemediated => format!("the same was repaired a moment ago{by}: it rests{until}"),
            Hold::ConsecutiveFailures => {
                format!("the last {FAILURES} incidents about the same failed{by}: a person must look; alerts wait{until}")
            }
            Hold::IneffectiveChain => {
                format!("the same was repaired {CHAIN} times and came back{by}: a person must look; alerts wait{until}")
            }
            Hold::Flapping => format!(
                "its alerts resolved and fired again {} times within an hour, and an earlier incident{by} was looked into already: a person \
                 must look, at the rule too; what fires is counted here, and it is looked into again when it was quiet{until}",
                flap::REFIRES
            ),
            Hold::Suspended => {
                "a ResponsePolicy is suspended: what an alert asks for does not begin; set spec.suspended to false to go on"
                    .to_owned()
            }
        }
    }
}

/// What the gate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gate {
    /// Begin.
    Open,
    /// Wait.
    Held(Block),
    /// The incident that it waited for repaired the same, and the alerts resolved: nothing is left to do.
    Settled {
        /// `namespace/name` of that incident.
        by: String,
    },
}

/// What the policy of the namespace adds.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long a target rests after a repair.
    pub cooldown: SignedDuration,
    /// The kill switch.
    pub suspended: bool,
}

/// Whether this incident may begin, given all others. What a person asked for is not kept from them by a cooldown or by failures;
/// nothing is changed without their approval. A person's question about a whole namespace is one of its own: only the answer tells what
/// it is about.
pub fn gate<'a>(me: &Incident, others: impl Iterator<Item = &'a Incident>, limits: Limits, now: Timestamp) -> Gate {
    let by_itself = came_by_itself(me);
    if !by_itself && me.spec.target.is_none() {
        return Gate::Open;
    }
    let mine = subjects(me);
    let uid = me.uid();
    let others: Vec<&Incident> = others.filter(|other| other.uid() != uid).collect();
    let related: Vec<&Incident> = others
        .iter()
        .copied()
        .filter(|other| !subjects(other).is_disjoint(&mine))
        .collect();
    // Lists come in no order; what is said must not change with it.
    let first = |found: Vec<&&Incident>| found.into_iter().map(|i| id(i)).min();
    // First: of many that waited for one, each is settled by that one, and none waits for the next of them.
    if let Some(by) = settled(me, &related) {
        return Gate::Settled { by };
    }
    // Of several, the one that is looked into, or will be next: whoever waits names what it really waits for.
    let ahead = related.iter().filter(|other| goes_first(other, me));
    if let Some(other) = ahead.min_by_key(|other| (has_not_begun(other), age(other))) {
        return held(Hold::DuplicateInProgress, None, Some(id(other)));
    }
    if let Some(by) = first(others.iter().filter(|other| is_changing(other, &mine)).collect()) {
        return held(Hold::ResourceBusy, None, Some(by));
    }
    if !by_itself {
        return Gate::Open;
    }
    if limits.suspended {
        return held(Hold::Suspended, None, None);
    }
    let mut ended: Vec<(Timestamp, Outcome, &Incident)> = related
        .iter()
        .filter_map(|other| {
            let status = other.status.as_ref()?;
            Some((status.completed_at.as_ref()?.0, status.outcome?, *other))
        })
        .collect();
    ended.sort_by_key(|(at, _, other)| (std::cmp::Reverse(*at), id(other)));
    failures(&ended, now)
        .or_else(|| chain(&ended, now))
        .or_else(|| flapping(me, now))
        .or_else(|| fresh(&ended, limits.cooldown, now))
        .map_or(Gate::Open, Gate::Held)
}

/// Whether one more may be active: in the cluster, and in its namespace where a policy bounds that. Each: how many are, and how many may.
pub fn has_room(cluster: (usize, usize), namespace: (usize, Option<usize>)) -> bool {
    cluster.0 < cluster.1 && namespace.1.is_none_or(|most| namespace.0 < most)
}

fn held(hold: Hold, until: Option<Timestamp>, by: Option<String>) -> Gate {
    Gate::Held(Block { hold, until, by })
}

/// Whether nobody asked for this incident.
pub fn came_by_itself(incident: &Incident) -> bool {
    incident.spec.alert.as_ref().is_some_and(|alert| match alert.source {
        AlertSource::Alertmanager | AlertSource::Pagerduty => true,
        AlertSource::Manual | AlertSource::Api => false,
    })
}

/// `namespace/name`.
fn id(incident: &Incident) -> String {
    format!("{}/{}", incident.namespace().unwrap_or_default(), incident.name_any())
}

/// What an incident is about: its target, its likely owner, and once it is known the object of the root cause. A whole namespace is a
/// subject of its own.
fn subjects(incident: &Incident) -> BTreeSet<ObjectName> {
    let own = incident.namespace().unwrap_or_default();
    let mut found = BTreeSet::new();
    match &incident.spec.target {
        Some(target) => {
            let namespace = target.namespace.clone().unwrap_or(own);
            // An owner's kind cannot be read off a pod's name: its name alone stands for it.
            let owner = match target.kind.as_str() {
                "Pod" => likely_owner(&target.name).map(str::to_owned),
                "Deployment" | "StatefulSet" | "DaemonSet" | "Job" => Some(target.name.clone()),
                _ => None,
            };
            found.extend(owner.map(|name| ObjectName::namespaced("Workload", namespace.clone(), name)));
            found.insert(ObjectName::namespaced(
                target.kind.clone(),
                namespace,
                target.name.clone(),
            ));
        }
        // Without a namespace to look at there is nothing to share.
        None if incident.spec.alert.is_some()
            && incident.annotations().contains_key(super::report::NOTE_ANNOTATION) => {}
        None => {
            found.insert(ObjectName::namespaced(NAMESPACE_KIND, own.clone(), own));
        }
    }
    if let Some(cause) = incident.status.as_ref().and_then(|s| s.root_cause.as_ref()) {
        let object = &cause.object;
        if matches!(object.kind.as_str(), "Deployment" | "StatefulSet" | "DaemonSet" | "Job") {
            found.insert(ObjectName {
                kind: "Workload".to_owned(),
                ..object.clone()
            });
        }
        found.insert(object.clone());
    }
    found
}

fn phase(incident: &Incident) -> Phase {
    incident.status.as_ref().map_or(Phase::Pending, |s| s.phase)
}

/// Whether another incident that is not over comes before this one, which has not begun: because it has, or because it is older. Exactly
/// one of two comes first, so that they never wait for each other.
fn goes_first(other: &Incident, me: &Incident) -> bool {
    match phase(other) {
        Phase::Completed => false,
        _ if has_not_begun(other) => age(other) < age(me),
        _ => true,
    }
}

fn has_not_begun(incident: &Incident) -> bool {
    matches!(phase(incident), Phase::Pending | Phase::Blocked)
}

fn age(incident: &Incident) -> (Option<Timestamp>, Option<String>) {
    (
        incident.metadata.creation_timestamp.as_ref().map(|t| t.0),
        incident.uid(),
    )
}

/// Whether an incident about something else is changing one of these objects.
fn is_changing(other: &Incident, mine: &BTreeSet<ObjectName>) -> bool {
    let plan = other.status.as_ref().and_then(|s| s.plan.as_ref());
    matches!(phase(other), Phase::Executing | Phase::Verifying | Phase::RollingBack)
        && plan.iter().flat_map(|plan| &plan.actions).any(|action| {
            mine.contains(&ObjectName {
                kind: action.target.kind.clone(),
                namespace: action.target.namespace.clone(),
                name: action.target.name.clone(),
            })
        })
}

/// The incident that this one waited for, or after which the target rests, where that repaired what both are about and this one's
/// alerts are gone.
fn settled(me: &Incident, related: &[&Incident]) -> Option<String> {
    let status = me.status.as_ref()?;
    let waited_for = status.blocked.as_ref()?.by.clone()?;
    status.alerts.as_ref()?.resolved_at.as_ref()?;
    related
        .iter()
        .filter(|other| id(other) == waited_for)
        .any(|other| other.status.as_ref().and_then(|s| s.outcome) == Some(Outcome::Remediated))
        .then_some(waited_for)
}

/// The newest first. What could not be explained is a failure too: else it would be tried for ever.
fn failures(ended: &[(Timestamp, Outcome, &Incident)], now: Timestamp) -> Option<Block> {
    let counts = |outcome: Outcome| {
        !matches!(
            outcome,
            Outcome::Cancelled | Outcome::Duplicate | Outcome::Expired | Outcome::Rejected
        )
    };
    let last: Vec<_> = ended
        .iter()
        .filter(|(_, outcome, _)| counts(*outcome))
        .take(FAILURES)
        .collect();
    let failed = |outcome: Outcome| {
        matches!(
            outcome,
            Outcome::RemediationFailed | Outcome::RolledBack | Outcome::Inconclusive | Outcome::Escalated
        )
    };
    let all = last.len() == FAILURES && last.iter().all(|(_, outcome, _)| failed(*outcome));
    let (at, _, newest) = last.first().filter(|_| all)?;
    block(
        Hold::ConsecutiveFailures,
        at.saturating_add(FAILURE_PAUSE).ok()?,
        newest,
        now,
    )
}

fn chain(ended: &[(Timestamp, Outcome, &Incident)], now: Timestamp) -> Option<Block> {
    let repaired: Vec<_> = ended
        .iter()
        .filter(|(_, outcome, _)| *outcome == Outcome::Remediated)
        .take(CHAIN)
        .collect();
    let (oldest, _, _) = repaired.get(CHAIN.checked_sub(1)?)?;
    let (_, _, newest) = repaired.first()?;
    block(
        Hold::IneffectiveChain,
        oldest.saturating_add(CHAIN_WINDOW).ok()?,
        newest,
        now,
    )
}

/// Only after another incident of the same group: what flaps from its first hour on is looked into once.
fn flapping(me: &Incident, now: Timestamp) -> Option<Block> {
    let previous = me.annotations().get(PREVIOUS_ANNOTATION)?;
    let until = flap::until(me.status.as_ref()?.alerts.as_ref()?, now)?;
    Some(Block {
        hold: Hold::Flapping,
        until: Some(until),
        by: Some(format!("{}/{previous}", me.namespace().unwrap_or_default())),
    })
}

fn fresh(ended: &[(Timestamp, Outcome, &Incident)], cooldown: SignedDuration, now: Timestamp) -> Option<Block> {
    let (at, _, newest) = ended.iter().find(|(_, outcome, _)| *outcome == Outcome::Remediated)?;
    block(Hold::RecentlyRemediated, at.saturating_add(cooldown).ok()?, newest, now)
}

fn block(hold: Hold, until: Timestamp, by: &Incident, now: Timestamp) -> Option<Block> {
    (until > now).then(|| Block {
        hold,
        until: Some(until),
        by: Some(id(by)),
    })
}
