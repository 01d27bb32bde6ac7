//! The `RemediationApproval` kind: one exact plan, waiting for one decision.
//!
//! Made by the operator, decided by people, claimed by the executor's pod. The rules here hold by the CRD alone; what needs to
//! know who asks stands in the chart's admission policies.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display};

use super::action::PlannedAction;
use super::common::Risk;

/// One plan of one incident, and the decision about it. To approve: set `decision`, `approver` (your own user name) and `reason`.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "firewatch.dev",
    version = "v1alpha1",
    kind = "RemediationApproval",
    plural = "remediationapprovals",
    singular = "remediationapproval",
    shortname = "rap",
    category = "firewatch",
    namespaced,
    status = "RemediationApprovalStatus",
    derive = "PartialEq",
    printcolumn(name = "Incident", type_ = "string", json_path = ".spec.incidentRef.name"),
    printcolumn(name = "Risk", type_ = "string", json_path = ".spec.risk"),
    printcolumn(name = "Decision", type_ = "string", json_path = ".spec.decision"),
    printcolumn(name = "Approver", type_ = "string", json_path = ".spec.approver"),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state"),
    printcolumn(name = "Expires", type_ = "string", json_path = ".spec.expiresAt"),
    printcolumn(name = "Plan", type_ = "string", json_path = ".spec.summary", priority = 1),
    validation = kube::core::cel::Rule::new("!has(self.status) || !has(self.status.claim) || (self.spec.decision == 'Approved' && (self.spec.requiredApprovals == 1 || has(self.spec.confirmation)))")
        .message("only an approved plan can be claimed")
)]
#[x_kube(
    validation = ("self.incidentRef == oldSelf.incidentRef && self.planDigest == oldSelf.planDigest && self.revision == oldSelf.revision && self.actions == oldSelf.actions && self.expiresAt == oldSelf.expiresAt && self.requiredApprovals == oldSelf.requiredApprovals", "the plan of an approval is immutable"),
    validation = ("self.summary == oldSelf.summary && self.risk == oldSelf.risk && has(self.requestedBy) == has(oldSelf.requestedBy) && (!has(self.requestedBy) || self.requestedBy == oldSelf.requestedBy)", "the plan of an approval is immutable"),
    validation = ("oldSelf.decision == 'Pending' || (self.decision == oldSelf.decision && self.approver == oldSelf.approver && has(self.reason) == has(oldSelf.reason) && (!has(self.reason) || self.reason == oldSelf.reason) && has(self.policy) == has(oldSelf.policy) && (!has(self.policy) || self.policy == oldSelf.policy))", "a decision is final; a new plan revision gets a new approval"),
    validation = ("has(self.policy) ? (has(self.approver) && self.decision == 'Approved' && self.approver == 'responsepolicy:' + self.policy.name) : (!has(self.approver) || !self.approver.startsWith('responsepolicy:'))", "what a policy approves names the policy (spec.policy), and nothing else does"),
    validation = ("self.decision == 'Pending' ? !has(self.approver) : (has(self.approver) && size(self.approver) > 0)", "a decision names its approver (spec.approver: your own user name), and only a decision does"),
    validation = ("!has(self.confirmation) || (self.decision == 'Approved' && self.requiredApprovals == 2 && self.confirmation.approver != self.approver)", "a confirmation comes from a second person, after an approval that needs two"),
    validation = ("!has(oldSelf.confirmation) || (has(self.confirmation) && self.confirmation == oldSelf.confirmation)", "a confirmation is final")
)]
pub struct RemediationApprovalSpec {
    /// The incident that this plan repairs.
    pub incident_ref: IncidentRef,
    /// `sha256:` and 64 hex digits: the identity of the plan.
    #[schemars(length(max = 71), regex(pattern = "^sha256:[0-9a-f]{64}$"))]
    pub plan_digest: String,
    /// Which revision of the incident's plan this is, from 1.
    #[schemars(range(min = 1, max = 1000))]
    pub revision: i64,
    /// The plan in one line.
    #[schemars(length(max = 1024))]
    pub summary: String,
    /// The highest risk of its actions.
    pub risk: Risk,
    /// What will be done, in this order.
    #[schemars(length(min = 1, max = 16))]
    pub actions: Vec<PlannedAction>,
    /// After this time the plan can no longer be executed.
    pub expires_at: Time,
    /// Who asked for the incident, where separation of duties matters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub requested_by: Option<String>,
    /// How many people must approve.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 2))]
    pub required_approvals: i32,
    /// The decision. Final once made.
    #[serde(default)]
    pub decision: Decision,
    /// Who decided: must be the user name of the one who asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub approver: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub reason: Option<String>,
    /// The policy that approved, exactly as it was then; absent where a person did. Written by the operator alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyRef>,
    /// The second person's approval, where two are required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmation: Option<Confirmation>,
}

impl RemediationApprovalSpec {
    /// Whether everyone who must approve has.
    pub fn is_approved(&self) -> bool {
        self.decision == Decision::Approved && is_confirmed(self.required_approvals, self.confirmation.as_ref())
    }
}

/// Whether an approval has the second person's word, where one is required.
pub fn is_confirmed(required_approvals: i32, confirmation: Option<&Confirmation>) -> bool {
    required_approvals < 2 || confirmation.is_some()
}

fn one() -> i32 {
    1
}

/// The incident of an approval, pinned by uid: a re-made incident is another incident.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
pub struct IncidentRef {
    /// Name, in the approval's own namespace.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// uid.
    #[schemars(length(min = 1, max = 36))]
    pub uid: String,
}

/// One state of one ResponsePolicy. The executor obeys its decision only while the policy is still that.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyRef {
    /// Name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// uid: a policy that was made again is another.
    #[schemars(length(min = 1, max = 36))]
    pub uid: String,
    /// `metadata.generation`.
    #[schemars(range(min = 0))]
    pub generation: i64,
    /// `sha256:` and 64 hex digits over its spec.
    #[schemars(length(max = 71), regex(pattern = "^sha256:[0-9a-f]{64}$"))]
    pub digest: String,
}

/// What a person may decide.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema, AsRefStr, Display)]
pub enum Decision {
    /// Nobody has decided.
    #[default]
    Pending,
    /// Carry it out.
    Approved,
    /// Do not.
    Rejected,
}

/// A second person's approval.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
pub struct Confirmation {
    /// Who: another person than the approver.
    #[schemars(length(min = 1, max = 253))]
    pub approver: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub reason: Option<String>,
}

/// What has become of an approval. Written by the operator, and by the executor's pod for its claim.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = ("!has(oldSelf.claim) || (has(self.claim) && self.claim == oldSelf.claim)", "a claim is final"),
    validation = ("!has(oldSelf.rollbackClaim) || (has(self.rollbackClaim) && self.rollbackClaim == oldSelf.rollbackClaim)", "a claim is final"),
    validation = ("!has(self.rollbackClaim) || has(self.claim)", "only an executed plan can be rolled back")
)]
pub struct RemediationApprovalStatus {
    /// Where the approval stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<ApprovalState>,
    /// The complete line that approves this plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub approve_command: Option<String>,
    /// Conditions, keyed by type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    #[schemars(length(max = 16))]
    pub conditions: Vec<Condition>,
    /// When the operator saw the decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_at: Option<Time>,
    /// The one execution of this plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<Claim>,
    /// The one rollback of this plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback_claim: Option<Claim>,
}

/// Where an approval stands.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema, AsRefStr, Display)]
pub enum ApprovalState {
    /// Waits for a decision.
    Pending,
    /// Approved, not yet claimed.
    Approved,
    /// Rejected by a person.
    Rejected,
    /// Nobody decided in time.
    Expired,
    /// Another plan has taken its place.
    Superseded,
    /// Claimed by an executor's pod.
    Consumed,
}

/// The right to execute, taken by one process of one pod, once.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Claim {
    /// uid of the pod that claimed; admission compares it with the pod that asks.
    #[schemars(length(min = 1, max = 36))]
    pub pod_uid: String,
    /// Name of that pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub pod_name: Option<String>,
    /// 32 hex digits, fresh for each process: a second start of the same pod is another process.
    #[schemars(length(max = 32), regex(pattern = "^[0-9a-f]{32}$"))]
    pub nonce: String,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Time>,
}
