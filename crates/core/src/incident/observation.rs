//! Everything `decide` may know, as values. Built by the operator's `observe`; a test builds it by hand.

use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;

use super::reason::Reason;
use crate::api::incident::IncidentSpec;
use crate::api::policy::PolicyMode;
use crate::api::status::IncidentStatus;
use crate::api::{Claim, Decision, PolicyRef};
use crate::intake::gate::Gate;

/// One look at an incident and at what belongs to it.
#[derive(Clone, Debug)]
pub struct Observation<'a> {
    /// The time of the look.
    pub now: Timestamp,
    /// What people asked for.
    pub spec: &'a IncidentSpec,
    /// Where it stands.
    pub status: &'a IncidentStatus,
    /// When its deletion was asked for.
    pub deleting_since: Option<Timestamp>,
    /// Since when this process has tried to store what the deleted incident left in its outbox. Its deletion may be older: then no
    /// operator ran.
    pub storing_since: Option<Timestamp>,
    /// What the policy of its namespace says.
    pub policy: PolicyFacts,
    /// Whether the admission policies that guard approvals are intact.
    pub guard_intact: bool,
    /// The Jobs of `status.jobs` that are `Running` there, by name.
    pub jobs: BTreeMap<String, JobFacts>,
    /// The approval of the present plan.
    pub approval: ApprovalFacts,
    /// Whether the policy approves that plan by itself. Looked at while the plan waits for a decision.
    pub by_policy: PolicyVerdict,
    /// Whether that approval, as decided, is stored outside the cluster.
    pub approval_stored: bool,
    /// Whether another incident may begin now.
    pub has_capacity: bool,
    /// Whether this one may, beside those that are about the same. Looked at before it begins only.
    pub gate: Gate,
    /// Why there is nothing to look at: the alert that made this incident names no object. Looked at before it begins only.
    pub untargeted: Option<String>,
}

/// What the policy of the incident's namespace says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyFacts {
    /// Name of the policy; `built-in` where none matches.
    pub name: String,
    /// How far to go.
    pub mode: PolicyMode,
    /// The kill switch.
    pub suspended: bool,
    /// Names of policies that claim the namespace with the same priority.
    pub tied: Vec<String>,
    /// Whether execution waits for the stored approval.
    pub require_audit: bool,
}

/// Whether the policy approves the plan that waits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PolicyVerdict {
    /// Nobody asked it to: the incident wants a person, or nothing waits.
    #[default]
    NotAsked,
    /// This policy does, exactly as it is.
    Approves(PolicyRef),
    /// It does not, for this reason.
    Refuses(String),
}

/// What is seen of a Job.
#[derive(Clone, Debug, PartialEq)]
pub enum JobFacts {
    /// There is none of that name.
    Missing,
    /// Its pod has not ended, or there is no pod yet.
    Running,
    /// Its pod has ended and left a log to read.
    Ended,
    /// Its pod cannot start, was killed, or was refused.
    Failed {
        /// Closed reason, one of the `Sandbox…` ones.
        reason: Reason,
        /// What the kubelet or the API server said.
        message: String,
    },
}

/// What is seen of an approval.
#[derive(Clone, Debug, PartialEq)]
pub enum ApprovalFacts {
    /// The incident has none yet.
    None,
    /// It had one, and that is gone.
    Missing,
    /// It is there.
    Found {
        /// What people decided.
        decision: Decision,
        /// Whether all required people have.
        complete: bool,
        /// Whether that was a policy, and no person.
        by_policy: bool,
        /// Who.
        approver: Option<String>,
        /// Why.
        reason: Option<String>,
        /// When it ends.
        expires_at: Timestamp,
        /// Whether an executor's pod took it.
        claim: Option<Claim>,
    },
}
