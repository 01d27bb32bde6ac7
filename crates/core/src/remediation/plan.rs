//! The plan: from the root cause's remedy to typed actions, or why a person must act. Pure.
//! Must never plan a value that evidence does not fix. Called by the Remediation Planner.

use crate::api::ActionType;
use crate::api::status::PlanStatus;
use crate::diagnosis::{CaseFile, Diagnosis};

use super::assess;

/// What the Planner must know beside the diagnosis.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlanningContext {
    /// The incident's namespace: nothing outside it is changed.
    pub namespace: String,
    /// Which revision of the plan this is, from 1.
    pub revision: i64,
    /// Why another plan is wanted, in a person's words.
    pub feedback: Option<String>,
    /// Which actions may be planned; empty: all.
    pub allowed_actions: Vec<ActionType>,
}

/// The plan. Its digest is empty and its expiry absent until it is sealed.
pub fn plan(diagnosis: &Diagnosis, case: &CaseFile, context: &PlanningContext) -> PlanStatus {
    let _ = (diagnosis, case);
    PlanStatus {
        revision: context.revision,
        digest: String::new(),
        risk: assess::risk(&[]),
        summary: String::new(),
        actions: Vec::new(),
        long_term_fixes: Vec::new(),
        manual_reason: Some("no remedy is known".to_owned()),
        estimated_resolution_seconds: 0,
        expires_at: None,
    }
}
