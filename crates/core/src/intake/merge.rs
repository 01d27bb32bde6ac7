//! What a report does: it is counted in the incident that is already there, or makes a new one. Pure, and idempotent: the same report
//! again changes nothing, so that retries and `repeat_interval` neither lose nor double an occurrence. All it knows is in the objects.
//! Called by the operator's `intake`, which writes the answer under the resourceVersion that it read.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

use super::flap;
use super::report::{self, Report};
use crate::api::status::AlertsStatus;
use crate::api::{Incident, IncidentStatus, Outcome, Phase};
use crate::incident::transition::whole_second;

/// More firings than this are not told apart; what was not remembered is not counted.
pub const MAX_SEEN: usize = 1024;
/// How long after a good end an alert may go on firing before it is a new incident: rules look back, and groups are sent in intervals.
pub const STILL_FIRING: SignedDuration = SignedDuration::from_mins(15);
/// How often `lastReceivedAt` is written where nothing else changes.
const REMEMBER_EVERY: SignedDuration = SignedDuration::from_secs(60);

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Todo {
    /// Make the n-th incident of this group, after that one.
    Open {
        /// n.
        number: u64,
        /// The one before.
        previous: Option<String>,
        /// When its alerts fired again: the new one takes that over.
        refired: Vec<Time>,
    },
    /// Write this into the one that is there.
    Merge {
        /// Its name.
        name: String,
        /// The alerts' state.
        alerts: AlertsStatus,
        /// How often.
        occurrences: i64,
    },
    /// Nothing changed, or nothing fires.
    Nothing,
}

/// Decides it; `existing` are all incidents of the report's key in the namespace where it belongs.
pub fn decide(existing: &[Incident], report: &Report, now: Timestamp) -> Todo {
    let latest = existing
        .iter()
        .filter_map(|incident| Some((report::number(&incident.name_any())?, incident)))
        .max_by_key(|(number, _)| *number);
    let Some((number, incident)) = latest else {
        if report.firing.is_empty() {
            return Todo::Nothing;
        }
        return Todo::Open {
            number: 1,
            previous: None,
            refired: Vec::new(),
        };
    };
    let is_repeated = |once: &String| {
        let known = existing.iter().filter_map(|incident| incident.status.as_ref());
        known.flat_map(seen).any(|one| one == once)
    };
    if report.once.as_ref().is_some_and(is_repeated) {
        return Todo::Nothing;
    }
    let empty = IncidentStatus::default();
    let status = incident.status.as_ref().unwrap_or(&empty);
    let leaving = incident.metadata.deletion_timestamp.is_some();
    if (status.phase == Phase::Completed && fires_anew(status, report, now)) || (leaving && !report.firing.is_empty()) {
        return Todo::Open {
            number: number.saturating_add(1),
            previous: Some(incident.name_any()),
            refired: flap::refired(status.alerts.as_ref(), has_fresh(status, report), now),
        };
    }
    let (alerts, occurrences) = merged(status, report, now);
    let changed = status.alerts.as_ref().is_none_or(|old| {
        let same = AlertsStatus {
            last_received_at: old.last_received_at.clone(),
            ..alerts.clone()
        };
        same != *old || now.duration_since(old.last_received_at.0) >= REMEMBER_EVERY
    });
    if changed || occurrences != status.occurrences {
        Todo::Merge {
            name: incident.name_any(),
            alerts,
            occurrences,
        }
    } else {
        Todo::Nothing
    }
}

/// Whether alerts that fire after an incident is over are more than its echo.
fn fires_anew(status: &IncidentStatus, report: &Report, now: Timestamp) -> bool {
    let Some(over) = status.completed_at.as_ref().map(|t| t.0) else {
        return false;
    };
    let seen: BTreeSet<&str> = seen(status).collect();
    let began_since = report
        .firing
        .iter()
        .any(|f| !seen.contains(f.identity.as_str()) && f.starts_at.is_none_or(|at| at > over));
    // Where a person was called, or said no, the same alert again tells nothing new.
    let ended_well = matches!(status.outcome, Some(Outcome::Remediated | Outcome::NoActionRequired));
    let persists = ended_well && !report.firing.is_empty() && now.duration_since(over) > STILL_FIRING;
    began_since || persists
}

/// Whether an incident knows one of the firings of a report: it is about the same, however either came to be known.
pub fn knows(incident: &Incident, report: &Report) -> bool {
    let status = incident.status.as_ref();
    let known: BTreeSet<&str> = status.into_iter().flat_map(seen).collect();
    let mut identities = report.firing.iter().map(|f| &f.identity).chain(&report.marks);
    identities.any(|identity| known.contains(identity.as_str()))
}

fn has_fresh(status: &IncidentStatus, report: &Report) -> bool {
    let known: BTreeSet<&str> = seen(status).collect();
    report.firing.iter().any(|f| !known.contains(f.identity.as_str()))
}

fn seen(status: &IncidentStatus) -> impl Iterator<Item = &str> {
    status.alerts.iter().flat_map(|alerts| &alerts.seen).map(String::as_str)
}

/// The same for an incident that was just made, and takes over when its alerts fired again before it.
pub fn first(refired: Vec<Time>, report: &Report, now: Timestamp) -> (AlertsStatus, i64) {
    let (alerts, occurrences) = merged(&IncidentStatus::default(), report, now);
    (AlertsStatus { refired, ..alerts }, occurrences)
}

/// The alerts' state and the count after this report.
pub fn merged(status: &IncidentStatus, report: &Report, now: Timestamp) -> (AlertsStatus, i64) {
    let mut known: Vec<String> = seen(status).map(str::to_owned).collect();
    let before: BTreeSet<String> = known.iter().cloned().collect();
    let firing: BTreeSet<&str> = report.firing.iter().map(|f| f.identity.as_str()).collect();
    let mut fresh: Vec<String> = report
        .firing
        .iter()
        .map(|f| f.identity.clone())
        .filter(|identity| !before.contains(identity))
        .collect();
    let over = known.len().saturating_add(fresh.len()).saturating_sub(MAX_SEEN);
    // What no longer fires makes room first: it will not be sent again.
    let mut to_forget = over;
    known.retain(|identity| {
        let forget = to_forget > 0 && !firing.contains(identity.as_str());
        to_forget = to_forget.saturating_sub(usize::from(forget));
        !forget
    });
    fresh.truncate(MAX_SEEN.saturating_sub(known.len()));
    // The loop's `accept` has counted the first one, before anything was seen.
    let counted = if before.is_empty() { 0 } else { status.occurrences };
    let occurrences = counted.saturating_add(i64::try_from(fresh.len()).unwrap_or(i64::MAX));
    known.extend(fresh);
    for mark in report.marks.iter().chain(&report.once) {
        if known.len() < MAX_SEEN && !known.contains(mark) {
            known.push(mark.clone());
        }
    }
    let before = status.alerts.as_ref();
    let resolved_at = before.and_then(|a| a.resolved_at.clone());
    let acknowledged_at = before.and_then(|a| a.acknowledged_at.clone());
    let alerts = AlertsStatus {
        firing: match before {
            Some(before) if report.acknowledged_at.is_some() => before.firing,
            _ => i64::try_from(report.firing.len()).unwrap_or(i64::MAX),
        },
        acknowledged_at: acknowledged_at.or(report.acknowledged_at.map(whole_second)),
        resolved_at: match (report.all_resolved, report.firing.is_empty()) {
            (true, _) => Some(resolved_at.unwrap_or_else(|| whole_second(now))),
            (false, true) => resolved_at,
            (false, false) => None,
        },
        last_received_at: Time(whole_second(now).0),
        seen: known,
        refired: flap::refired(status.alerts.as_ref(), has_fresh(status, report), now),
    };
    (alerts, occurrences.max(1))
}
