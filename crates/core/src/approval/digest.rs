//! The identity of a plan: a digest over the canonical JSON of all that a person approves, and what is named after it.
//! Must never leave out anything that the executor obeys. Called by the loop (to seal), the executor and the plugin (to check).

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use serde::Serialize;
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::api::approval::RemediationApprovalSpec;
use crate::api::status::PlanStatus;
use crate::api::{Decision, Incident, IncidentRef, PlannedAction, RemediationApproval, Risk};

/// What stands before the canonical JSON: no other use of SHA-256 here can give the same digest, and a later form gets another.
const DOMAIN: &[u8] = b"firewatch.dev/plan/v1\n";

/// `sha256:` and 64 hex digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PlanDigest(String);

impl PlanDigest {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for PlanDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a plan cannot be put before a person. Closed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SealError {
    /// There is nothing to approve.
    #[error("the plan has no actions: there is nothing to approve")]
    Empty,
    /// A plan without an end.
    #[error("the plan does not say when its approval expires")]
    NoExpiry,
    /// The incident has no uid or namespace.
    #[error("the incident was not read from an API server: it has no uid or namespace")]
    NoIncident,
    /// The plan's own digest is another's.
    #[error("the plan's digest {stored} is not that of its content, {computed}")]
    OtherDigest {
        /// In the plan.
        stored: String,
        /// Of its content.
        computed: String,
    },
    /// It cannot be written as JSON.
    #[error("the plan cannot be written canonically: {0}")]
    Canonical(String),
}

impl SealError {
    /// The closed reason.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Empty => "PlanEmpty",
            Self::NoExpiry => "PlanWithoutExpiry",
            Self::NoIncident => "IncidentUnidentified",
            Self::OtherDigest { .. } => "PlanDigestMismatch",
            Self::Canonical(_) => "PlanNotCanonical",
        }
    }
}

/// All that a person approves.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Identity<'a> {
    incident_ref: &'a IncidentRef,
    namespace: &'a str,
    revision: i64,
    actions: &'a [PlannedAction],
    risk: Risk,
    required_approvals: i32,
    expires_at: i64,
}

fn digest(identity: &Identity<'_>) -> Result<PlanDigest, SealError> {
    let json = serde_json_canonicalizer::to_vec(identity).map_err(|error| SealError::Canonical(error.to_string()))?;
    let mut hash = Sha256::new();
    hash.update(DOMAIN);
    hash.update(&json);
    Ok(PlanDigest(format!("sha256:{}", hex::encode(hash.finalize()))))
}

fn incident_ref(incident: &Incident) -> Result<(IncidentRef, String), SealError> {
    let uid = incident.uid().ok_or(SealError::NoIncident)?;
    let namespace = incident.namespace().ok_or(SealError::NoIncident)?;
    let name = incident.name_any();
    Ok((IncidentRef { name, uid }, namespace))
}

/// The digest of an incident's plan.
pub fn of_plan(incident: &Incident, plan: &PlanStatus, required_approvals: i32) -> Result<PlanDigest, SealError> {
    let (incident_ref, namespace) = incident_ref(incident)?;
    digest(&Identity {
        incident_ref: &incident_ref,
        namespace: &namespace,
        revision: plan.revision,
        actions: &plan.actions,
        risk: plan.risk,
        required_approvals,
        expires_at: plan.expires_at.as_ref().ok_or(SealError::NoExpiry)?.0.as_second(),
    })
}

/// The digest of what an approval holds.
pub fn of_approval(approval: &RemediationApproval) -> Result<PlanDigest, SealError> {
    let spec = &approval.spec;
    digest(&Identity {
        incident_ref: &spec.incident_ref,
        namespace: approval.metadata.namespace.as_deref().unwrap_or_default(),
        revision: spec.revision,
        actions: &spec.actions,
        risk: spec.risk,
        required_approvals: spec.required_approvals,
        expires_at: spec.expires_at.0.as_second(),
    })
}

/// The spec of the plan's approval: complete, undecided.
pub fn seal(
    incident: &Incident,
    plan: &PlanStatus,
    required_approvals: i32,
) -> Result<RemediationApprovalSpec, SealError> {
    if plan.actions.is_empty() {
        return Err(SealError::Empty);
    }
    let (incident_ref, _) = incident_ref(incident)?;
    let expires_at = plan.expires_at.as_ref().ok_or(SealError::NoExpiry)?.0;
    let computed = of_plan(incident, plan, required_approvals)?;
    if plan.digest != computed.as_str() {
        return Err(SealError::OtherDigest {
            stored: plan.digest.clone(),
            computed: computed.0,
        });
    }
    Ok(RemediationApprovalSpec {
        incident_ref,
        plan_digest: computed.0,
        revision: plan.revision,
        summary: plan.summary.clone(),
        risk: plan.risk,
        actions: plan.actions.clone(),
        expires_at: Time(k8s_openapi::jiff::Timestamp::from_second(expires_at.as_second()).unwrap_or(expires_at)),
        requested_by: separated(incident, required_approvals),
        required_approvals,
        decision: Decision::Pending,
        approver: None,
        reason: None,
        policy: None,
        confirmation: None,
    })
}

/// Who may not approve, since he or she asked: only where two people must.
pub fn separated(incident: &Incident, required_approvals: i32) -> Option<String> {
    incident.spec.requested_by.clone().filter(|_| required_approvals > 1)
}

/// The name of a plan's approval: the incident's, and the first 32 hex digits of the digest.
pub fn approval_name(incident: &str, digest: &str) -> String {
    let hex = digest.strip_prefix("sha256:").unwrap_or(digest);
    format!("{incident}-{}", hex.get(..32).unwrap_or(hex))
}

/// The complete line by which a person approves with plain kubectl. The one who runs it puts in his or her own user name.
pub fn approve_command(namespace: &str, name: &str) -> String {
    format!(
        r#"kubectl patch rap {name} -n {namespace} --type=merge -p '{{"spec":{{"decision":"Approved","approver":"'"$(kubectl auth whoami -o jsonpath={{.status.userInfo.username}})"'","reason":"reviewed"}}}}'"#
    )
}
