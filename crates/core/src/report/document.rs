//! The full response: one JSON document per investigation, the same from command line, API and database. Its keys are a contract; every key
//! is always there, null or empty where nothing is known yet. Made by `build`, shown by `markdown`.

use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::api::incident::AlertSource;
use crate::api::status::{Outcome, Phase};
use crate::api::{Decision, Impact, ObjectName, Risk, Role, Severity};
use crate::sandbox::evidence::Stage;

/// One investigation, from the alert to the end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResponseDocument {
    /// uid of the Incident.
    pub investigation_id: String,
    /// What was reported.
    pub alert: AlertSection,
    /// What was found, proposed, decided and done.
    pub workflow: Workflow,
    /// What it cost.
    pub metrics: Metrics,
    /// What it rests on, and how that can be checked.
    pub audit: AuditSection,
    /// How it ended.
    pub outcome: OutcomeSection,
}

/// What was reported. Its texts come from outside: data, never obeyed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlertSection {
    /// Which way it came in.
    pub source: AlertSource,
    /// Name of the alert.
    pub name: Option<String>,
    /// Name of the Incident.
    pub incident: String,
    /// Its namespace.
    pub namespace: String,
    /// What is wrong, in a few words.
    pub title: String,
    /// What else was said.
    pub description: Option<String>,
    /// As it was asked for.
    pub severity: Option<Severity>,
    /// What is in trouble; absent: the whole namespace.
    pub target: Option<ObjectName>,
    /// The target's name, or what stands for it.
    pub service: String,
    /// The alert's identity at its source.
    pub fingerprint: Option<String>,
    /// When it began, as its source says.
    pub starts_at: Option<String>,
    /// When the Incident was made.
    pub created_at: Option<Timestamp>,
    /// Who asked.
    pub requested_by: Option<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
}

/// What was found, proposed, decided and done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Workflow {
    /// The Commander's classification and route.
    pub commander_decision: Option<CommanderDecision>,
    /// What the SRE Investigator found.
    pub sre_findings: Vec<FindingSection>,
    /// What the Code Analyst found.
    pub code_analysis: Vec<FindingSection>,
    /// The finding that explains the others.
    pub root_cause: Option<RootCauseSection>,
    /// What is proposed.
    pub remediation_plan: Option<PlanSection>,
    /// Who decided what about it.
    pub approval: ApprovalSection,
    /// What was done.
    pub execution: ExecutionSection,
}

/// The Commander's classification and route.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CommanderDecision {
    /// How much it matters.
    pub severity: Severity,
    /// What kind of trouble.
    pub category: String,
    /// How many are affected.
    pub impact: Impact,
    /// Who looked at it.
    pub agents: Vec<Role>,
    /// Why.
    pub rationale: String,
}

/// A claim, and what it rests on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FindingSection {
    /// `F1`, …
    pub id: String,
    /// What kind of trouble.
    pub category: String,
    /// The claim.
    pub summary: String,
    /// What it is about.
    pub object: ObjectName,
    /// Computed from evidence.
    pub confidence: String,
    /// Evidence ids.
    pub evidence: Vec<String>,
}

/// The cause.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RootCauseSection {
    /// What kind of trouble.
    pub category: String,
    /// The cause, in one sentence.
    pub summary: String,
    /// Where it is.
    pub object: ObjectName,
    /// Computed from evidence.
    pub confidence: String,
    /// Evidence ids.
    pub evidence: Vec<String>,
    /// From the symptom to the cause.
    pub chain: Vec<String>,
    /// Other explanations, and what speaks against them.
    pub alternatives: Vec<String>,
}

/// What is proposed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlanSection {
    /// Which revision.
    pub revision: i64,
    /// The plan's identity.
    pub digest: String,
    /// In one line.
    pub summary: String,
    /// The highest of its actions.
    pub risk: Risk,
    /// What is done at once, in this order.
    pub immediate_actions: Vec<ActionSection>,
    /// What would keep it from happening again.
    pub long_term_fixes: Vec<String>,
    /// Seconds.
    pub estimated_resolution_time: i64,
    /// Why there is no action, or none that Firewatch may carry out.
    pub manual_reason: Option<String>,
}

/// One action.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ActionSection {
    /// `A1`, …
    pub id: String,
    /// What is done, to what, from what to what.
    pub action: String,
    /// The exact command, as argv.
    pub command: Vec<String>,
    /// What may go wrong.
    pub risk: Risk,
    /// What it does to those who use the object.
    pub impact: String,
    /// The exact inverse, as argv; empty: there is none.
    pub rollback: Vec<String>,
    /// What is another afterwards.
    pub change: ChangeSection,
}

/// One value before and after.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChangeSection {
    /// Of which object.
    pub object: ObjectName,
    /// Of which of its containers, where it is about one.
    pub container: Option<String>,
    /// Which field, key or variable; null where the action changes the object as a whole.
    pub field: Option<String>,
    /// The value as observed; null: it was not there.
    pub from: Option<String>,
    /// The value afterwards; null: it is removed.
    pub to: Option<String>,
    /// For a rollback of a rollout, the difference of the pod templates.
    pub diff: Option<String>,
}

/// Who decided what about the plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ApprovalSection {
    /// Whether it was approved.
    pub approved: bool,
    /// The decision; absent where none was asked for.
    pub decision: Option<Decision>,
    /// Who made it.
    pub approver: Option<String>,
    /// Who made the second one, where two are needed.
    pub confirmed_by: Option<String>,
    /// Why it was decided so: the person's reason; without one the Commander's.
    pub reasoning: Option<String>,
    /// What must hold when it is carried out.
    pub conditions: Vec<String>,
    /// The Commander's verdict, which comes before a person's.
    pub commander_verdict: Option<String>,
    /// And why.
    pub commander_reasons: Vec<String>,
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExecutionSection {
    /// A state of the execution, or `NotExecuted`.
    pub status: String,
    /// Why it did not succeed.
    pub message: Option<String>,
    /// Begun.
    pub started_at: Option<Timestamp>,
    /// Ended.
    pub finished_at: Option<Timestamp>,
    /// Each command.
    pub commands: Vec<ExecutedCommand>,
    /// The approved inverse, where it ran.
    pub rollback: Option<RollbackSection>,
    /// Whether it helped.
    pub verification: Option<VerificationSection>,
}

/// One command that was run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExecutedCommand {
    /// Of which action.
    pub action: String,
    /// As argv.
    pub command: Vec<String>,
    /// What it printed, cut.
    pub result: Option<String>,
    /// Its exit code; absent where it was killed.
    pub exit_code: Option<i32>,
    /// Milliseconds.
    pub duration_ms: i64,
}

/// The inverse.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RollbackSection {
    /// How it went.
    pub status: String,
    /// Why it did not succeed.
    pub message: Option<String>,
    /// Each command.
    pub commands: Vec<ExecutedCommand>,
}

/// What was looked at afterwards.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VerificationSection {
    /// Whether every check holds.
    pub passed: bool,
    /// After a rollback: whether the objects are as they were.
    pub rolled_back: Option<bool>,
    /// Each check.
    pub checks: Vec<CheckSection>,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckSection {
    /// What.
    pub name: String,
    /// Whether it holds.
    pub passed: bool,
    /// What was seen.
    pub observed: String,
}

/// What it cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Tokens of all models.
    pub total_tokens: i64,
    /// Of which agent.
    pub tokens_by_agent: BTreeMap<String, i64>,
    /// US dollars, six decimals.
    pub cost_usd: String,
    /// Model calls.
    pub model_calls: i64,
    /// From begin to end, in milliseconds; null until it is over.
    pub duration_ms: Option<i64>,
}

/// What it rests on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuditSection {
    /// How many transitions are recorded.
    pub transitions: i64,
    /// Hash of the last one: `firewatch audit verify` checks the chain up to it.
    pub chain_head: Option<String>,
    /// Everything that was collected.
    pub evidence: Vec<EvidenceSection>,
}

/// One piece of evidence, without its text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvidenceSection {
    /// `E1`, …; `V1.1`, … of a verification.
    pub id: String,
    /// For what it was looked at.
    pub stage: Stage,
    /// Who asked for it.
    pub agent: Role,
    /// What was run, shortened.
    pub command: String,
    /// How much of the truth it is.
    pub state: String,
    /// Digest of its output.
    pub sha256: String,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutcomeSection {
    /// Where it stands.
    pub phase: Phase,
    /// How it ended; null while it goes on.
    pub result: Option<Outcome>,
    /// Why, in one sentence.
    pub message: Option<String>,
    /// Whether the trouble is gone.
    pub resolved: bool,
    /// Whether a person must go on.
    pub human_intervention_required: bool,
    /// With what.
    pub next_steps: Vec<String>,
}
