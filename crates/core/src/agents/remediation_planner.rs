//! The Remediation Planner: turns the root cause into a plan. It executes nothing and asks the cluster nothing; everything it proposes
//! comes from the catalogue, with values that evidence fixes. Called by the operator's loop.

use crate::api::status::PlanStatus;
use crate::diagnosis::{CaseFile, Diagnosis};
use crate::remediation::plan::{self, PlanningContext};

/// The plan for this diagnosis. Without a digest and an expiry: those come when it is sealed.
pub fn plan(diagnosis: &Diagnosis, case: &CaseFile, context: &PlanningContext) -> PlanStatus {
    plan::plan(diagnosis, case, context)
}
