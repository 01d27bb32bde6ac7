//! What analyzers claim, and what the diagnosis makes of it. Every claim cites evidence; confidence is computed by code.
//! Must never hold a claim without evidence. Made by `analyzers`, ordered by `cause`, read by the planner and the report.

use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::remedy::Remedy;
use crate::api::status::{FindingStatus, RootCauseStatus};
use crate::api::{ObjectName, Role};
use crate::text::clip;

/// A number from 0 to 1 in hundredths, so that it is exact, ordered and never NaN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Confidence(u8);

impl Confidence {
    /// From hundredths; more than 100 is 100.
    pub const fn hundredths(value: u8) -> Self {
        Self(if value > 100 { 100 } else { value })
    }

    /// In hundredths.
    pub const fn as_hundredths(self) -> u8 {
        self.0
    }

    /// This much less, never below zero.
    #[must_use]
    pub const fn less(self, hundredths: u8) -> Self {
        Self(self.0.saturating_sub(hundredths))
    }
}

impl std::fmt::Display for Confidence {
    /// `0.93`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:02}", self.0 / 100, self.0 % 100)
    }
}

/// How deep a claim goes: the cause is looked for among the deepest that explain others. Ordered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Depth {
    /// What is seen from outside: not ready, restarting, pending.
    #[default]
    Symptom,
    /// A step on the way: a call refused, a Service without endpoints.
    Mechanism,
    /// Something that is wrong in itself: a missing key, a wrong selector, a bad revision.
    Fault,
}

/// A claim about one object, resting on evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// `F1`, `F2`, …; given when findings are put together.
    pub id: String,
    /// Who found it.
    pub agent: Role,
    /// What kind of trouble, CamelCase and stable: `MissingEnvironmentVariable`.
    pub category: String,
    /// The claim in one sentence that names object and cause.
    pub summary: String,
    /// What it is about.
    pub object: ObjectName,
    /// Computed.
    pub confidence: Confidence,
    /// Ids of the evidence that it rests on; never empty.
    pub evidence: Vec<String>,
    /// How deep it goes.
    #[serde(default)]
    pub depth: Depth,
    /// Since when, where evidence tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Objects that it may be explained by: the Service that refused, the claim that is waited for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub points_to: Vec<ObjectName>,
    /// Objects that suffer from it: the workload that reads the ConfigMap, the one that the quota refuses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub affects: Vec<ObjectName>,
    /// What would put it right, as far as evidence fixes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<Remedy>,
    /// What would keep it from happening again; for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub long_term: Vec<String>,
}

impl Finding {
    /// As the incident's status shows it.
    pub fn to_status(&self) -> FindingStatus {
        FindingStatus {
            id: self.id.clone(),
            agent: self.agent,
            category: clip(&self.category, 63),
            summary: clip(&self.summary, 1024),
            object: self.object.clone(),
            confidence: self.confidence.to_string(),
            evidence: self.evidence.iter().take(16).cloned().collect(),
        }
    }
}

/// What the diagnosis concludes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// Nothing is wrong, and everything that tells was there to be read.
    Healthy,
    /// A cause is shown.
    Found,
    /// A symptom without a cause, or too little evidence to call it healthy.
    Unexplained,
}

/// The finding that explains the others and is explained by none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RootCause {
    /// The cause.
    pub finding: Finding,
    /// From the symptom to the cause, one step each, with evidence ids.
    pub chain: Vec<String>,
    /// Other explanations, ranked, with what speaks against them.
    pub alternatives: Vec<String>,
    /// Other causes that are independent of this one, most certain first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<Finding>,
}

impl RootCause {
    /// As the incident's status shows it.
    pub fn to_status(&self) -> RootCauseStatus {
        RootCauseStatus {
            category: clip(&self.finding.category, 63),
            summary: clip(&self.finding.summary, 1024),
            object: self.finding.object.clone(),
            confidence: self.finding.confidence.to_string(),
            evidence: self.finding.evidence.iter().take(16).cloned().collect(),
            chain: self.chain.iter().take(8).map(|step| clip(step, 1024)).collect(),
            alternatives: self.alternatives.iter().take(4).map(|text| clip(text, 1024)).collect(),
        }
    }
}
