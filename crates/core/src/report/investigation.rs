//! What an investigation from a laptop came to, as one document: the same for `-o json`, for Markdown and for the screen. Its keys are a
//! contract; lists are always there, empty where there is nothing to say.
//!
//! Pure. Made from a `Conclusion` by the plugin.

use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::agents::Conclusion;
use crate::api::ObjectName;
use crate::api::status::{FindingStatus, PlanStatus, Review, RootCauseStatus};
use crate::diagnosis::standing::{Level, Standing, standings};
use crate::diagnosis::{Finding, RootCause, Verdict, show};
use crate::sandbox::command::{Command, Resource};
use crate::sandbox::evidence::EvidenceState;
use crate::text::clip;

/// Workloads that are listed; the rest is counted.
const WORKLOADS: usize = 50;

/// One investigation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InvestigationDocument {
    /// `Investigation`.
    pub kind: String,
    /// The namespace that was looked at.
    pub namespace: String,
    /// The object that was asked about; null: the whole namespace.
    pub target: Option<ObjectName>,
    /// When the last of it was read.
    pub read_at: Timestamp,
    /// `Found`, `Healthy` or `Unexplained`.
    pub verdict: Verdict,
    /// The answer in one sentence.
    pub statement: String,
    /// The cause, with its confidence and the chain that leads to it; null where none is shown.
    pub cause: Option<RootCauseStatus>,
    /// Other causes, independent of the first.
    pub also: Vec<FindingStatus>,
    /// Workloads in trouble, the worst first.
    pub workloads: Vec<Standing>,
    /// What would repair it, and why a person must act where nothing can be planned.
    pub plan: PlanStatus,
    /// What speaks for and against the plan.
    pub review: Review,
    /// Everything that was found, most certain first.
    pub findings: Vec<FindingStatus>,
    /// What was looked at.
    pub checked: Vec<String>,
    /// What to look at or do next.
    pub next_steps: Vec<String>,
    /// What was asked and not, or not wholly, received: each lowers the confidence.
    pub not_read: Vec<NotRead>,
    /// Everything that was read, without its text.
    pub evidence: Vec<Read>,
}

/// Something that was asked and not, or not wholly, received.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NotRead {
    /// What was asked.
    pub question: String,
    /// What came of it.
    pub state: EvidenceState,
    /// What was said.
    pub message: String,
    /// Evidence id.
    pub evidence: String,
}

/// One piece of evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Read {
    /// `E1`, …
    pub id: String,
    /// The command, as a person would type it.
    pub command: String,
    /// How much of the truth it is.
    pub state: EvidenceState,
    /// Digest of its redacted output.
    pub sha256: String,
}

/// The document.
pub fn document(conclusion: &Conclusion) -> InvestigationDocument {
    let Conclusion {
        case,
        evidence,
        diagnosis,
        plan,
        review,
    } = conclusion;
    let mut workloads = standings(case);
    workloads.retain(|standing| standing.level < Level::Well);
    workloads.truncate(WORKLOADS);
    InvestigationDocument {
        kind: "Investigation".to_owned(),
        namespace: case.namespace().to_owned(),
        target: case.target().cloned(),
        read_at: case.now(),
        verdict: diagnosis.verdict,
        statement: statement(conclusion),
        cause: diagnosis.root_cause.as_ref().map(RootCause::to_status),
        also: diagnosis
            .root_cause
            .iter()
            .flat_map(|root| &root.also)
            .map(Finding::to_status)
            .collect(),
        workloads,
        plan: plan.clone(),
        review: review.clone(),
        findings: diagnosis.findings.iter().map(Finding::to_status).collect(),
        checked: diagnosis.checked.clone(),
        next_steps: diagnosis.next_steps.clone(),
        not_read: case
            .gaps()
            .iter()
            // A list that was refused is asked again kind by kind; what those brought is not missing.
            .filter(|gap| !is_made_up_for(conclusion, &gap.command))
            .map(|gap| NotRead {
                question: show(&gap.command),
                state: gap.state,
                message: clip(&gap.message, 200),
                evidence: gap.evidence.clone(),
            })
            .collect(),
        evidence: evidence
            .iter()
            .map(|one| Read {
                id: one.id.clone(),
                command: show(&one.command),
                state: one.state,
                sha256: one.sha256.clone(),
            })
            .collect(),
    }
}

/// Whether each kind of a refused list was asked again by itself.
fn is_made_up_for(conclusion: &Conclusion, command: &Command) -> bool {
    match command {
        Command::Get {
            resources,
            scope,
            name: None,
        } if resources.len() > 1 => resources.iter().all(|resource| {
            conclusion
                .case
                .answer(&Command::Get {
                    resources: vec![*resource],
                    scope: scope.clone(),
                    name: None,
                })
                .is_some()
        }),
        _ => false,
    }
}

fn statement(conclusion: &Conclusion) -> String {
    let about = conclusion.case.target().map_or_else(
        || format!("namespace {}", conclusion.case.namespace()),
        ToString::to_string,
    );
    match (&conclusion.diagnosis.root_cause, conclusion.diagnosis.verdict) {
        (Some(root), _) => root.finding.summary.clone(),
        (None, Verdict::Healthy) => format!("{about} is healthy: nothing is wrong"),
        (None, _) => match conclusion.diagnosis.findings.first() {
            Some(finding) => format!("the cause is not shown; seen: {}", finding.summary),
            None if conclusion.case.entries().all(|(name, _)| name.kind != "Pod")
                && conclusion.case.complete_list(Resource::Pods).is_some() =>
            {
                format!("nothing runs in {about}")
            }
            None => format!("too little could be read of {about} to tell"),
        },
    }
}
