//! Bounded lists of the status: what is added stays within what the CRD allows. Called by the operator's `perform`.

use crate::api::IncidentStatus;
use crate::api::status::{EvidenceRef, JobPurpose, JobRef, JobState};
use crate::sandbox::evidence::Stage;

/// The most evidence references a status holds.
pub const EVIDENCE: usize = 128;
/// The most Job references a status holds.
pub const JOBS: usize = 32;

/// Notes a Job. Where the list is full, the oldest finished verification makes room: it is in the record already.
pub fn push_job(status: &mut IncidentStatus, job: JobRef) {
    if status.jobs.iter().any(|known| known.name == job.name) {
        return;
    }
    if status.jobs.len() >= JOBS {
        let verification =
            |j: &JobRef| matches!(j.purpose, JobPurpose::Verification | JobPurpose::RollbackVerification);
        if let Some(index) = status
            .jobs
            .iter()
            .position(|j| verification(j) && j.state != JobState::Running)
        {
            status.jobs.remove(index);
        }
    }
    status.jobs.push(job);
}

/// Notes a piece of evidence. Where the list is full, the oldest of a verification makes room for a newer one: what the diagnosis rests
/// on stays, and so does what the verdict rests on. All of it is in the record.
pub fn push_evidence(status: &mut IncidentStatus, evidence: EvidenceRef) {
    if status.evidence.iter().any(|known| known.id == evidence.id) {
        return;
    }
    status.evidence.push(evidence);
    keep_bounded(&mut status.evidence, |e| &e.id);
}

/// The pieces of evidence, in order, that a bounded list keeps.
pub fn keep_bounded<T>(list: &mut Vec<T>, id: impl Fn(&T) -> &str) {
    let over = list.len().saturating_sub(EVIDENCE);
    let first = list.iter().position(|e| Stage::of_id(id(e)) != Stage::Investigation);
    if let (Some(first), 1..) = (first, over) {
        list.drain(first..first.saturating_add(over).min(list.len()));
    }
    list.truncate(EVIDENCE);
}

/// Notes how far a Job is.
pub fn set_job_state(status: &mut IncidentStatus, name: &str, state: JobState) {
    for job in status.jobs.iter_mut().filter(|j| j.name == name) {
        job.state = state;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::api::Role;

    fn piece(id: &str) -> EvidenceRef {
        EvidenceRef {
            id: id.to_owned(),
            agent: Role::SreInvestigator,
            command: "kubectl get pods".into(),
            state: "Complete".into(),
            sha256: String::new(),
            config_map: None,
        }
    }

    #[test]
    fn a_full_list_keeps_the_investigation_and_the_newest_verification() {
        let mut status = IncidentStatus::default();
        for number in 1..=30 {
            push_evidence(&mut status, piece(&format!("E{number}")));
        }
        let rounds = || (1..=12).flat_map(|round| (1..=12).map(move |n| format!("V{round}.{n}")));
        for id in rounds() {
            push_evidence(&mut status, piece(&id));
        }
        push_evidence(&mut status, piece("V12.12"));
        let ids: Vec<_> = status.evidence.iter().map(|e| e.id.clone()).collect();
        let mut wanted: Vec<_> = (1..=30).map(|n| format!("E{n}")).collect();
        wanted.extend(rounds().skip(12 * 12 + 30 - EVIDENCE));
        assert_eq!(ids, wanted);
        // All at once gives the same as one after another.
        let mut at_once: Vec<String> = (1..=30).map(|n| format!("E{n}")).chain(rounds()).collect();
        keep_bounded(&mut at_once, |id| id);
        assert_eq!(at_once, wanted);
    }
}
