//! The status of an `Incident`: where it stands, what was found, what is planned and what was done.
//!
//! Ids, digests, counts and bounded lists only: large text lives in evidence ConfigMaps and Postgres, so that a status stays under
//! 256 KiB. Written by the operator alone, one write per transition. Decimal numbers are strings.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display, EnumIter, EnumString};

use super::action::PlannedAction;
use super::approval::ApprovalState;
use super::common::{Impact, ObjectName, Risk, Role, Severity};

/// Where an incident stands. For people; automation reads conditions, and new phases may come.
#[derive(
    Serialize,
    Deserialize,
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    JsonSchema,
    AsRefStr,
    Display,
    EnumIter,
    EnumString,
)]
pub enum Phase {
    /// Accepted, not yet looked at.
    #[default]
    Pending,
    /// The Commander classifies and routes.
    Triaging,
    /// Investigator and Analyst collect and read evidence.
    Investigating,
    /// Findings become one root cause.
    Diagnosing,
    /// The Planner writes the plan.
    Planning,
    /// The Commander reviews it.
    Reviewing,
    /// A person (or policy) decides.
    AwaitingApproval,
    /// The executor's pod carries the plan out.
    Executing,
    /// Fresh evidence tells whether it helped.
    Verifying,
    /// The approved inverse runs.
    RollingBack,
    /// Something else must end first.
    Blocked,
    /// Over; see `outcome`.
    Completed,
}

/// How an incident ended.
#[derive(
    Serialize,
    Deserialize,
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    JsonSchema,
    AsRefStr,
    Display,
    EnumIter,
    EnumString,
)]
pub enum Outcome {
    /// The approved plan was carried out, and the cause is gone.
    Remediated,
    /// The target is healthy.
    NoActionRequired,
    /// A person said no.
    Rejected,
    /// Nobody decided in time.
    Expired,
    /// The plan did not help and was taken back.
    RolledBack,
    /// The plan failed, and so did taking it back, or there was no way back.
    RemediationFailed,
    /// A person must go on; `nextSteps` says with what.
    Escalated,
    /// The symptom could not be explained.
    Inconclusive,
    /// Another incident is about the same.
    Duplicate,
    /// `spec.cancelled`.
    Cancelled,
}

/// Everything the operator knows about an incident, in bounded form.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct IncidentStatus {
    /// Where it stands.
    #[serde(default)]
    pub phase: Phase,
    /// Conditions, keyed by type; `Succeeded` is the summary (Unknown while active).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    #[schemars(length(max = 32))]
    pub conditions: Vec<Condition>,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// Why it ended so, in one sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
    /// When the present phase began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase_started_at: Option<Time>,
    /// When the investigation began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Time>,
    /// The Commander's classification.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub triage: Option<Triage>,
    /// One entry for each agent's run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub agents: Vec<AgentStatus>,
    /// What was found, most certain first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub findings: Vec<FindingStatus>,
    /// The finding that explains the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_cause: Option<RootCauseStatus>,
    /// What is proposed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanStatus>,
    /// The Commander's verdict on the plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review: Option<Review>,
    /// The approval that this plan waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval_ref: Option<ApprovalRef>,
    /// Where that approval stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval_state: Option<ApprovalState>,
    /// What was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution: Option<Execution>,
    /// The inverse, where it was carried out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<Execution>,
    /// Whether it helped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification: Option<Verification>,
    /// When fresh evidence was last judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified_at: Option<Time>,
    /// What models cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// What must end first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked: Option<Blocked>,
    /// What became of the alerts that made this incident.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alerts: Option<AlertsStatus>,
    /// How often the same trouble was reported.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub occurrences: i64,
    /// What a person should look at or do next.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(max = 1024)))]
    pub next_steps: Vec<String>,
    /// Evidence collected so far, without its text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    pub evidence: Vec<EvidenceRef>,
    /// Sandbox Jobs begun so far: rounds of evidence, executions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub jobs: Vec<JobRef>,
    /// Number of the last transition.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub sequence: i64,
    /// Transitions that Postgres does not have yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    pub outbox: Vec<OutboxEntry>,
    /// Hash of the last transition, to which the next one links.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 71))]
    pub last_hash: Option<String>,
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The `revisionFeedback` that the present plan answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub observed_feedback: Option<String>,
}

/// The Commander's classification.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Triage {
    /// How much it matters.
    pub severity: Severity,
    /// What kind of trouble: `availability`, `latency`, `capacity`, `configuration`, `unknown`.
    #[schemars(length(max = 63))]
    pub category: String,
    /// How many are affected.
    pub impact: Impact,
    /// Which agents look at it.
    #[schemars(length(max = 4))]
    pub agents: Vec<Role>,
    /// Why.
    #[schemars(length(max = 1024))]
    pub rationale: String,
}

/// Which engine an agent ran on.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema, AsRefStr)]
pub enum Engine {
    /// Analyzers and playbooks.
    Rules,
    /// A model, checked by code.
    Model,
}

/// Where an agent's run stands.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema, AsRefStr)]
pub enum AgentState {
    /// Still at work.
    Running,
    /// Reported.
    Succeeded,
    /// Could not; `message` says why.
    Failed,
    /// Triage did not ask for it.
    Skipped,
}

/// One agent's run.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentStatus {
    /// Which agent.
    pub role: Role,
    /// On which engine.
    pub engine: Engine,
    /// How far.
    pub state: AgentState,
    /// Begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// Ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// How many pieces of evidence it asked for.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub evidence: i64,
    /// Model exchanges.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub turns: i64,
    /// Tokens of those.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub tokens: i64,
    /// Their cost in US dollars, six decimals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 24))]
    pub cost_usd: Option<String>,
    /// Its conclusion in one sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
}

/// A claim that rests on evidence.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FindingStatus {
    /// `F1`, `F2`, …
    #[schemars(length(max = 16))]
    pub id: String,
    /// Who found it.
    pub agent: Role,
    /// What kind of trouble.
    #[schemars(length(max = 63))]
    pub category: String,
    /// The claim, in one sentence.
    #[schemars(length(max = 1024))]
    pub summary: String,
    /// What it is about.
    pub object: ObjectName,
    /// A decimal from "0.00" to "1.00", computed from evidence.
    #[schemars(length(max = 8))]
    pub confidence: String,
    /// The evidence that it rests on.
    #[schemars(length(max = 16), inner(length(max = 16)))]
    pub evidence: Vec<String>,
}

/// The finding that explains the others and is explained by none.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RootCauseStatus {
    /// What kind of trouble.
    #[schemars(length(max = 63))]
    pub category: String,
    /// The cause, in one sentence.
    #[schemars(length(max = 1024))]
    pub summary: String,
    /// Where it is.
    pub object: ObjectName,
    /// A decimal from "0.00" to "1.00", computed from evidence.
    #[schemars(length(max = 8))]
    pub confidence: String,
    /// The evidence that it rests on.
    #[schemars(length(max = 16), inner(length(max = 16)))]
    pub evidence: Vec<String>,
    /// From the symptom to the cause, one step each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(max = 1024)))]
    pub chain: Vec<String>,
    /// Other explanations, ranked, with what speaks against them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4), inner(length(max = 1024)))]
    pub alternatives: Vec<String>,
}

/// What is proposed.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanStatus {
    /// From 1; `revisionFeedback` makes another.
    #[schemars(range(min = 1, max = 1000))]
    pub revision: i64,
    /// `sha256:` and 64 hex digits. Empty where the plan has no actions.
    #[schemars(length(max = 71))]
    pub digest: String,
    /// The highest risk of its actions.
    pub risk: Risk,
    /// The plan in one line.
    #[schemars(length(max = 1024))]
    pub summary: String,
    /// What will be done, in this order.
    #[serde(default)]
    #[schemars(length(max = 16))]
    pub actions: Vec<PlannedAction>,
    /// What would keep it from happening again; for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(max = 4096)))]
    pub long_term_fixes: Vec<String>,
    /// Why there is no action, or none that Firewatch may carry out itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub manual_reason: Option<String>,
    /// How long the repair should take, in seconds.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub estimated_resolution_seconds: i64,
    /// After this time the plan's approval is void.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
}

/// The Commander's verdict.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema, AsRefStr)]
pub enum Verdict {
    /// May be put before a person.
    Approve,
    /// May not; a person is called.
    Reject,
}

/// The Commander's review of the plan. It comes before a person's decision and never replaces it.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Review {
    /// The verdict.
    pub verdict: Verdict,
    /// Why.
    #[schemars(length(max = 8), inner(length(max = 1024)))]
    pub reasons: Vec<String>,
    /// What must hold when it is carried out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(max = 1024)))]
    pub conditions: Vec<String>,
    /// Why a person must decide, whatever a policy says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(max = 1024)))]
    pub concerns: Vec<String>,
}

/// The approval of this plan.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
pub struct ApprovalRef {
    /// Name, in the incident's namespace.
    #[schemars(length(max = 253))]
    pub name: String,
    /// uid.
    #[schemars(length(max = 36))]
    pub uid: String,
}

/// Where an execution stands.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema, AsRefStr, Display)]
pub enum ExecutionState {
    /// The executor's pod is at work.
    Running,
    /// Every action was carried out.
    Succeeded,
    /// An action was refused or failed; nothing after it was carried out.
    Failed,
    /// The executor refused before it changed anything.
    Refused,
    /// A claim without a result: never run again; a person is called.
    Unknown,
}

/// What the executor's pod did.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Execution {
    /// How it went.
    pub state: ExecutionState,
    /// Begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// Ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// Why it did not succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
    /// One entry for each command.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 48))]
    pub steps: Vec<ExecutionStep>,
}

/// One command of an execution.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExecutionStep {
    /// Which action.
    #[schemars(length(max = 16))]
    pub action: String,
    /// What was run.
    #[schemars(length(max = 32), inner(length(max = 8192)))]
    pub command: Vec<String>,
    /// Its exit code; absent where it was killed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// How long, in milliseconds.
    #[schemars(range(min = 0))]
    pub duration_ms: i64,
    /// What it printed, cut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub result: Option<String>,
    /// Evidence id of its whole output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub evidence: Option<String>,
}

/// Whether the repair helped.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Verification {
    /// Whether every check holds.
    #[serde(default)]
    pub passed: bool,
    /// After a rollback: whether the objects are as they were before the plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolled_back: Option<bool>,
    /// Each thing that was looked at.
    #[schemars(length(max = 16))]
    pub checks: Vec<Check>,
}

/// One thing that was looked at after the repair.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
pub struct Check {
    /// What was looked at.
    #[schemars(length(max = 128))]
    pub name: String,
    /// Whether it holds.
    pub passed: bool,
    /// What was seen.
    #[schemars(length(max = 1024))]
    pub observed: String,
}

/// What models cost.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// Tokens sent.
    #[schemars(range(min = 0))]
    pub prompt_tokens: i64,
    /// Tokens received.
    #[schemars(range(min = 0))]
    pub completion_tokens: i64,
    /// US dollars, six decimals.
    #[schemars(length(max = 24))]
    pub cost_usd: String,
    /// Calls.
    #[schemars(range(min = 0))]
    pub model_calls: i64,
}

/// What an incident waits for.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
pub struct Blocked {
    /// Closed reason.
    #[schemars(length(max = 63))]
    pub reason: String,
    /// Until when at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    /// By what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub by: Option<String>,
}

/// What became of the alerts of an incident. Written by the intake, under the resourceVersion that it read.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AlertsStatus {
    /// How many fire.
    #[schemars(range(min = 0))]
    pub firing: i64,
    /// Since when none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_at: Option<Time>,
    /// Since when somebody is known to look at it, where the sender says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged_at: Option<Time>,
    /// When they were last reported.
    pub last_received_at: Time,
    /// Hashes of the firings that were counted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1024), inner(length(max = 16)))]
    pub seen: Vec<String>,
    /// When they last fired again after all had resolved, the latest last; taken over from the incident of the same group before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 3))]
    pub refired: Vec<Time>,
}

/// One piece of evidence, without its text.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EvidenceRef {
    /// `E1`, `E2`, … of the investigation; `V1.1`, … of the verification's first round; `VR1.1`, … of a rollback's.
    #[schemars(length(max = 16))]
    pub id: String,
    /// Who asked for it.
    pub agent: Role,
    /// The command, shortened.
    #[schemars(length(max = 256))]
    pub command: String,
    /// `Complete`, `Truncated`, `Forbidden`, `NotFound`, `Failed`, `TimedOut`.
    #[schemars(length(max = 32))]
    pub state: String,
    /// Digest of the whole output.
    #[schemars(length(max = 71))]
    pub sha256: String,
    /// The ConfigMap in the sandbox namespace that holds it until Postgres does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub config_map: Option<String>,
}

/// One sandbox Job of this incident.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobRef {
    /// Name in the sandbox namespace.
    #[schemars(length(max = 63))]
    pub name: String,
    /// What it is for.
    pub purpose: JobPurpose,
    /// Whose identity.
    pub agent: Role,
    /// How far it is.
    pub state: JobState,
    /// Which round of its purpose, from 1.
    #[schemars(range(min = 0, max = 64))]
    pub round: i64,
}

/// What a sandbox Job is for.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Hash, JsonSchema, AsRefStr, Display)]
pub enum JobPurpose {
    /// A round of evidence for an agent.
    Evidence,
    /// Carrying out the approved plan.
    Execution,
    /// Fresh evidence after an execution.
    Verification,
    /// Carrying out the approved inverse.
    Rollback,
    /// Fresh evidence after a rollback.
    RollbackVerification,
}

/// How far a sandbox Job is, as the incident knows it.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Hash, JsonSchema, AsRefStr, Display)]
pub enum JobState {
    /// Made; its result is not read yet.
    Running,
    /// Its result is recorded.
    Collected,
    /// It gave no result.
    Failed,
}

/// One transition, on its way to Postgres. Together the entries are a hash chain.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OutboxEntry {
    /// From 1, without gap.
    #[schemars(range(min = 1))]
    pub sequence: i64,
    /// When.
    pub at: Time,
    /// The phase before.
    pub from: Phase,
    /// The phase after.
    pub to: Phase,
    /// Who or what caused it: `commander`, `user:alice`, `operator`.
    #[schemars(length(max = 253))]
    pub actor: String,
    /// Closed reason, CamelCase.
    #[schemars(length(max = 63))]
    pub reason: String,
    /// What happened, in one sentence.
    #[schemars(length(max = 1024))]
    pub message: String,
    /// Digest of what this transition recorded.
    #[schemars(length(max = 71))]
    pub payload_digest: String,
    /// The ConfigMap that holds that payload until Postgres does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub payload: Option<String>,
    /// Hash of the transition before; empty for the first.
    #[schemars(length(max = 71))]
    pub previous_hash: String,
    /// Hash over all of the above.
    #[schemars(length(max = 71))]
    pub hash: String,
}
