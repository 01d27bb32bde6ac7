//! The whole story of an incident as rows: what is stored outside the cluster, and what comes back. Pure; times come in.
//!
//! Rows are made here and nowhere else, so that whoever stores them (Postgres, a file) stores the same. Made by the operator's
//! relay; read back by the store; turned into the full response by `build`.

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use serde::{Deserialize, Serialize};

use crate::agents::{AgentMessage, MessageKind};
use crate::api::approval::{RemediationApproval, is_confirmed};
use crate::api::status::{Execution, OutboxEntry};
use crate::api::{Claim, Confirmation, Decision, Incident, Role};
use crate::sandbox::command::Lane;
use crate::sandbox::evidence::{Evidence, EvidenceState, Stage};

use super::audit_row::AuditRow;

/// Which incident a row belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncidentMeta {
    /// Its uid, a UUID.
    pub uid: String,
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
}

impl IncidentMeta {
    /// Of this incident; the uid is empty where the API server has not given one.
    pub fn of(incident: &Incident) -> Self {
        Self {
            uid: incident.uid().unwrap_or_default(),
            name: incident.name_any(),
            namespace: incident.namespace().unwrap_or_default(),
        }
    }
}

/// One message of one agent to another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MessageRow {
    /// Place in the incident; the same message has the same place however often it is stored.
    pub ordinal: i64,
    /// From whom.
    pub role: Role,
    /// To whom.
    pub to: Role,
    /// What it is.
    pub kind: MessageKind,
    /// What it says.
    pub text: String,
    /// When it was recorded.
    pub at: Timestamp,
}

impl MessageRow {
    /// The messages that one transition recorded: they stand in order, after those of every transition before. At most 1000 are kept.
    pub fn of_transition(sequence: i64, at: Timestamp, messages: &[AgentMessage]) -> Vec<Self> {
        (0i64..1000)
            .zip(messages)
            .map(|(index, message)| Self {
                ordinal: sequence.saturating_mul(1000).saturating_add(index),
                role: message.role,
                to: message.to,
                kind: message.kind,
                text: message.text.clone(),
                at,
            })
            .collect()
    }
}

/// One command that ran in the sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CommandRow {
    /// Unique within the incident: the evidence id, or the lane and a number.
    pub id: String,
    /// On whose behalf.
    pub role: Role,
    /// In which lane.
    pub lane: Lane,
    /// What was run.
    pub argv: Vec<String>,
    /// How it ended: a state of evidence, or `Succeeded` and `Failed` of an execution.
    pub state: String,
    /// Exit code; absent where it was killed.
    pub exit_code: Option<i32>,
    /// Milliseconds.
    pub duration_ms: i64,
    /// Digest of its output, where that was kept.
    pub output_sha256: Option<String>,
    /// The evidence that holds the output.
    pub evidence: Option<String>,
    /// The action of the plan that it carried out.
    pub action: Option<String>,
    /// What it printed, cut, where it is not kept as evidence.
    pub result: Option<String>,
}

impl CommandRow {
    /// The command that gave this evidence.
    pub fn of_evidence(evidence: &Evidence) -> Self {
        Self {
            id: evidence.id.clone(),
            role: evidence.agent,
            lane: evidence.command.lane(),
            argv: evidence.argv.clone(),
            state: evidence.state.to_string(),
            exit_code: evidence.exit_code,
            duration_ms: i64::try_from(evidence.duration_ms).unwrap_or(i64::MAX),
            output_sha256: Some(evidence.sha256.clone()),
            evidence: Some(evidence.id.clone()),
            action: None,
            result: None,
        }
    }

    /// The commands of an execution (`Lane::Remediate`) or of its inverse (`Lane::Rollback`).
    pub fn of_execution(execution: &Execution, lane: Lane) -> Vec<Self> {
        (1..)
            .zip(&execution.steps)
            .map(|(number, step): (u32, _)| Self {
                id: format!("{lane}-{number}"),
                role: Role::RemediationPlanner,
                lane,
                argv: step.command.clone(),
                state: if step.exit_code == Some(0) {
                    "Succeeded"
                } else {
                    "Failed"
                }
                .to_owned(),
                exit_code: step.exit_code,
                duration_ms: step.duration_ms,
                output_sha256: step
                    .result
                    .as_ref()
                    .map(|r| crate::incident::names::sha256(r.as_bytes())),
                evidence: step.evidence.clone(),
                action: Some(step.action.clone()),
                result: step.result.clone(),
            })
            .collect()
    }
}

/// One piece of evidence, without its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EvidenceRow {
    /// `E1`, `E2`, …
    pub id: String,
    /// Who asked for it.
    pub agent: Role,
    /// What was run.
    pub argv: Vec<String>,
    /// How much of the truth it is.
    pub state: EvidenceState,
    /// When it was collected.
    pub collected_at: Timestamp,
    /// Digest of the output.
    pub sha256: String,
}

impl EvidenceRow {
    /// Of this evidence.
    pub fn of(evidence: &Evidence) -> Self {
        Self {
            id: evidence.id.clone(),
            agent: evidence.agent,
            argv: evidence.argv.clone(),
            state: evidence.state,
            collected_at: evidence.collected_at,
            sha256: evidence.sha256.clone(),
        }
    }
}

/// One plan's approval, and who decided what about it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalRow {
    /// uid of the RemediationApproval.
    pub uid: String,
    /// Its name.
    pub name: String,
    /// Digest of the plan.
    pub plan_digest: String,
    /// Revision of the plan.
    pub revision: i64,
    /// How many people must approve.
    pub required_approvals: i32,
    /// When it ends.
    pub expires_at: Timestamp,
    /// The decision.
    pub decision: Decision,
    /// Who made it.
    pub approver: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// The second person's.
    pub confirmation: Option<Confirmation>,
    /// The one execution.
    pub claim: Option<Claim>,
    /// The one rollback.
    pub rollback_claim: Option<Claim>,
}

impl ApprovalRow {
    /// Of this approval, as it stands.
    pub fn of(approval: &RemediationApproval) -> Self {
        let spec = &approval.spec;
        let status = approval.status.clone().unwrap_or_default();
        Self {
            uid: approval.uid().unwrap_or_default(),
            name: approval.name_any(),
            plan_digest: spec.plan_digest.clone(),
            revision: spec.revision,
            required_approvals: spec.required_approvals,
            expires_at: spec.expires_at.0,
            decision: spec.decision,
            approver: spec.approver.clone(),
            reason: spec.reason.clone(),
            confirmation: spec.confirmation.clone(),
            claim: status.claim,
            rollback_claim: status.rollback_claim,
        }
    }

    /// Whether everyone who must decide has: only then its storing lets an execution begin.
    pub fn is_decided(&self) -> bool {
        match self.decision {
            Decision::Pending => false,
            Decision::Rejected => true,
            Decision::Approved => is_confirmed(self.required_approvals, self.confirmation.as_ref()),
        }
    }

    /// Whether `later` is this approval further on: nothing that was once decided or claimed is another.
    pub fn may_become(&self, later: &Self) -> bool {
        fn kept<T: PartialEq>(old: Option<&T>, new: Option<&T>) -> bool {
            old.is_none() || old == new
        }
        self.uid == later.uid
            && self.name == later.name
            && self.plan_digest == later.plan_digest
            && self.revision == later.revision
            && self.required_approvals == later.required_approvals
            && self.expires_at == later.expires_at
            && (self.decision == Decision::Pending
                || (self.decision == later.decision && self.approver == later.approver && self.reason == later.reason))
            && kept(self.confirmation.as_ref(), later.confirmation.as_ref())
            && kept(self.claim.as_ref(), later.claim.as_ref())
            && kept(self.rollback_claim.as_ref(), later.rollback_claim.as_ref())
    }
}

/// Everything that is stored of one incident.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Story {
    /// In order.
    pub transitions: Vec<OutboxEntry>,
    /// In order.
    pub messages: Vec<MessageRow>,
    /// By lane, then by number.
    pub commands: Vec<CommandRow>,
    /// By number.
    pub evidence: Vec<EvidenceRow>,
    /// By revision.
    pub approvals: Vec<ApprovalRow>,
    /// The row for people's questions.
    pub audit: Option<AuditRow>,
}

impl Story {
    /// Whether nothing at all is stored.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Sorts `E2` before `E10`, and both before `V1.1`: by the stage, the numbers in the id, and its text.
pub fn by_number(id: &str) -> (Stage, Vec<u64>, String) {
    let numbers = id
        .split(|c: char| !c.is_ascii_digit())
        .filter(|digits| !digits.is_empty())
        .map(|digits| digits.parse().unwrap_or(u64::MAX));
    (Stage::of_id(id), numbers.collect(), id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_stage_then_by_number() {
        let mut ids = ["VR1.1", "V2.1", "E10", "V1.10", "V1.9", "E2", "V10.1"];
        ids.sort_by_cached_key(|id| by_number(id));
        assert_eq!(ids, ["E2", "E10", "V1.9", "V1.10", "V2.1", "V10.1", "VR1.1"]);
        let mut commands = ["remediate-10", "remediate-2"];
        commands.sort_by_cached_key(|id| by_number(id));
        assert_eq!(commands, ["remediate-2", "remediate-10"]);
    }
}
