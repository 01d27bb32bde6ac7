//! One transition of an incident, and how it is written into the status: phase, sequence, outbox entry, conditions, all at once.
//! Pure. Called by the operator's `record`, which does the one status write.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::chain;
use super::reason::Reason;
use crate::api::status::{IncidentStatus, OutboxEntry, Outcome, Phase};
use crate::text::clip;

/// What happened, in the form in which it is recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    /// The phase afterwards; the same one for a step inside a phase.
    pub to: Phase,
    /// Set when the incident is over.
    pub outcome: Option<Outcome>,
    /// Closed reason.
    pub reason: Reason,
    /// Who or what caused it: `operator`, `commander`, `user:alice`.
    pub actor: String,
    /// What happened, in one sentence.
    pub message: String,
    /// Digest of the record that belongs to it, and the ConfigMap that holds it.
    pub payload: Option<Payload>,
}

/// Where a transition's record is until Postgres has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Payload {
    /// `sha256:` and 64 hex digits over the record.
    pub digest: String,
    /// Name of the ConfigMap in the sandbox namespace.
    pub config_map: String,
}

/// Writes a transition into the status: the phase, `sequence + 1`, and an outbox entry linked to the one before.
pub fn apply(status: &mut IncidentStatus, incident_uid: &str, transition: &Transition, now: Timestamp) {
    let from = status.phase;
    let entry = chain::link(
        incident_uid,
        status.last_hash.as_deref().unwrap_or_default(),
        OutboxEntry {
            sequence: status.sequence.saturating_add(1),
            at: whole_second(now),
            from,
            to: transition.to,
            actor: clip(&transition.actor, 253),
            reason: transition.reason.to_string(),
            message: clip(&transition.message, 1024),
            payload_digest: transition
                .payload
                .as_ref()
                .map(|p| p.digest.clone())
                .unwrap_or_default(),
            payload: transition.payload.as_ref().map(|p| p.config_map.clone()),
            previous_hash: String::new(),
            hash: String::new(),
        },
    );
    status.sequence = entry.sequence;
    status.last_hash = Some(entry.hash.clone());
    status.outbox.push(entry);
    if from != transition.to || status.phase_started_at.is_none() {
        status.phase_started_at = Some(whole_second(now));
    }
    status.phase = transition.to;
    if status.started_at.is_none() {
        status.started_at = Some(whole_second(now));
    }
    if let Some(outcome) = transition.outcome {
        status.outcome = Some(outcome);
        status.message = Some(clip(&transition.message, 1024));
        status.completed_at = Some(whole_second(now));
    }
}

/// Takes out the entries that are stored: those up to and including `stored`.
pub fn prune(status: &mut IncidentStatus, stored: i64) {
    status.outbox.retain(|entry| entry.sequence > stored);
}

/// The API server keeps whole seconds; what is hashed must be what is kept.
pub fn whole_second(at: Timestamp) -> Time {
    Time(Timestamp::from_second(at.as_second()).unwrap_or(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transition(to: Phase) -> Transition {
        Transition {
            to,
            outcome: None,
            reason: Reason::Accepted,
            actor: "operator".into(),
            message: "m".into(),
            payload: None,
        }
    }

    #[test]
    fn a_transition_advances_the_sequence_by_one_and_links_to_the_one_before() {
        let mut status = IncidentStatus::default();
        apply(&mut status, "u", &transition(Phase::Triaging), Timestamp::UNIX_EPOCH);
        let first = status.last_hash.clone();
        apply(
            &mut status,
            "u",
            &transition(Phase::Investigating),
            Timestamp::UNIX_EPOCH,
        );
        let sequences: Vec<_> = status.outbox.iter().map(|e| e.sequence).collect();
        assert_eq!(sequences, [1, 2]);
        assert_eq!(status.outbox.last().map(|e| e.previous_hash.clone()), first);
    }

    #[test]
    fn a_step_inside_a_phase_does_not_restart_its_clock() {
        let mut status = IncidentStatus::default();
        apply(&mut status, "u", &transition(Phase::Triaging), Timestamp::UNIX_EPOCH);
        let began = status.phase_started_at.clone();
        let later = Timestamp::from_second(50).unwrap_or_default();
        apply(&mut status, "u", &transition(Phase::Triaging), later);
        assert_eq!(status.phase_started_at, began);
    }

    #[test]
    fn pruning_leaves_what_is_not_stored() {
        let mut status = IncidentStatus::default();
        for _ in 0..3 {
            apply(&mut status, "u", &transition(Phase::Triaging), Timestamp::UNIX_EPOCH);
        }
        prune(&mut status, 2);
        assert_eq!(status.outbox.len(), 1);
        assert_eq!(status.sequence, 3);
    }
}
