//! Bounded lists of the status: what is added stays within what the CRD allows. Called by the operator's `perform`.

use crate::api::IncidentStatus;
use crate::api::status::{JobPurpose, JobRef, JobState};

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

/// Notes how far a Job is.
pub fn set_job_state(status: &mut IncidentStatus, name: &str, state: JobState) {
    for job in status.jobs.iter_mut().filter(|j| j.name == name) {
        job.state = state;
    }
}
