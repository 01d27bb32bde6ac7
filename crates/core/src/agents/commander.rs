//! The Incident Commander: triage, routing, the consolidated diagnosis, and the review of the plan. Runs no command; its review
//! comes before a person's decision and never replaces it. Called by the operator's loop.

use super::run::AgentReport;
use crate::api::incident::IncidentSpec;
use crate::api::status::{PlanStatus, Review, Triage, Verdict as ReviewVerdict};
use crate::api::{Impact, Role, Severity};
use crate::diagnosis::{CaseFile, Diagnosis, diagnose};

/// How much it matters, what kind of trouble it looks like, how many are affected, and who looks at it, with the reason.
pub fn triage(spec: &IncidentSpec, case: Option<&CaseFile>) -> Triage {
    let _ = case;
    Triage {
        severity: spec.severity.unwrap_or(Severity::Medium),
        category: "unknown".to_owned(),
        impact: Impact::Unknown,
        agents: vec![Role::SreInvestigator, Role::CodeAnalyst],
        rationale: "nothing is known yet; both specialists look".to_owned(),
    }
}

/// Whether the plan may be put before a person, and under which conditions.
pub fn review(plan: &PlanStatus, diagnosis: &Diagnosis) -> Review {
    let _ = (plan, diagnosis);
    Review {
        verdict: ReviewVerdict::Reject,
        reasons: Vec::new(),
        conditions: Vec::new(),
    }
}

/// One diagnosis from both specialists' findings and the whole case file.
pub fn consolidate(reports: &[AgentReport], case: &CaseFile) -> Diagnosis {
    let _ = reports;
    diagnose(case)
}
