//! What the report's template shows, each value as text. Decides what is told and in which words; escaping is the template's.
//! Pure. Called by `html` alone.

use firewatch_core::agents::Conclusion;
use firewatch_core::api::incident::IncidentSpec;
use firewatch_core::api::status::{EvidenceRef, Phase};
use firewatch_core::api::{ApprovalMode, Decision, Incident, IncidentStatus, Target};
use firewatch_core::diagnosis::{Finding, RootCause, Verdict};
use firewatch_core::report::document::{
    ActionSection, ChangeSection, EvidenceSection, ExecutedCommand, ExecutionSection,
};
use firewatch_core::report::timeline::{Timeline, title};
use firewatch_core::report::{ResponseDocument, StoryView, causal, document, investigation, summary};
use firewatch_core::sandbox::evidence::Stage;
use firewatch_core::text::clip;
use k8s_openapi::jiff::Timestamp;

use super::picture::{Picture, draw};
use crate::render::style::Tone;
use crate::render::text::{clean, clean_lines, shell, short};
use crate::render::words::outcome_tone;

/// Characters of one piece of evidence that are shown.
const MOST_TEXT: usize = 6_000;

/// Everything on the page.
#[derive(Default)]
pub(super) struct Page {
    pub title: String,
    pub kicker: String,
    pub state: String,
    pub tone: &'static str,
    pub summary: Vec<String>,
    pub facts: Vec<(&'static str, String)>,
    pub description: Option<String>,
    pub picture: Option<Picture>,
    pub chain: Vec<Step>,
    pub confidence: Option<String>,
    pub alternatives: Vec<String>,
    pub beside: Vec<Beside>,
    pub manual_reason: Option<String>,
    pub actions: Vec<Action>,
    pub decision: Vec<String>,
    pub decision_reason: Option<String>,
    pub conditions: Vec<String>,
    pub done: Option<Done>,
    pub checks: Vec<Check>,
    pub looked_at: Vec<String>,
    pub next_steps: Vec<String>,
    pub fixes: Vec<String>,
    pub costs: Vec<(String, String)>,
    pub evidence: Vec<Piece>,
    pub record: Vec<(&'static str, String)>,
    pub footer: String,
}

/// An evidence id, with its place on the page where it is there.
pub(super) struct Reference {
    pub id: String,
    pub anchor: Option<usize>,
}

/// One step of the chain.
pub(super) struct Step {
    pub object: Option<String>,
    pub text: String,
    pub evidence: Vec<Reference>,
    pub change: Option<String>,
}

/// A finding beside the chain.
pub(super) struct Beside {
    pub object: String,
    pub category: String,
    pub summary: String,
    pub confidence: String,
    pub evidence: Vec<Reference>,
}

/// One action.
pub(super) struct Action {
    pub id: String,
    pub words: String,
    pub impact: String,
    pub risk: String,
    pub diff: Vec<DiffLine>,
    pub command: String,
    pub undo: Option<String>,
}

/// One line of a difference.
pub(super) struct DiffLine {
    pub class: &'static str,
    pub text: String,
}

/// What was carried out.
pub(super) struct Done {
    pub sentence: &'static str,
    pub message: Option<String>,
    pub commands: Vec<Ran>,
    pub rollback: Option<TakenBack>,
}

/// The inverse.
pub(super) struct TakenBack {
    pub state: String,
    pub message: Option<String>,
    pub commands: Vec<Ran>,
}

/// One command that ran.
pub(super) struct Ran {
    pub action: String,
    pub ended: String,
    pub tone: &'static str,
    pub took: String,
    pub command: String,
    pub result: Option<String>,
}

/// One check.
pub(super) struct Check {
    pub word: &'static str,
    pub tone: &'static str,
    pub name: String,
    pub observed: String,
}

/// One piece of evidence.
pub(super) struct Piece {
    pub id: String,
    pub short: String,
    pub command: String,
    pub gap: Option<String>,
    pub stage: &'static str,
    pub agent: &'static str,
    pub sha256: String,
    pub text: Option<String>,
}

impl Page {
    /// Of an incident.
    pub fn of_incident(d: &ResponseDocument, timeline: Option<&Timeline>, now: Timestamp) -> Self {
        let (state, tone) = match d.outcome.result {
            Some(outcome) => (outcome.to_string(), tone(outcome_tone(outcome))),
            None if d.outcome.phase == Phase::AwaitingApproval => ("waits for a decision".to_owned(), "warn"),
            None => (d.outcome.phase.to_string(), "plain"),
        };
        let mut page = Self {
            kicker: clean(&format!(
                "Incident {} in namespace {}",
                d.alert.incident, d.alert.namespace
            )),
            state,
            tone,
            summary: summary::sentences(d).iter().map(|text| clean(text)).collect(),
            facts: facts(d),
            description: d.alert.description.as_ref().map(|text| block(text)),
            picture: timeline.map(draw),
            costs: costs(d),
            footer: format!(
                "Firewatch {}. As it stood at {}. This file loads nothing and runs nothing.",
                env!("CARGO_PKG_VERSION"),
                when(now)
            ),
            ..Self::common(d)
        };
        page.decide(d);
        page
    }

    /// Of an investigation from a laptop: the same page, without what only an incident has.
    pub fn of_conclusion(conclusion: &Conclusion) -> Self {
        let told = investigation::document(conclusion);
        let d = as_incident(conclusion, &told.statement);
        let (state, tone) = match told.verdict {
            Verdict::Found => ("cause found", "warn"),
            Verdict::Healthy => ("healthy", "good"),
            Verdict::Unexplained => ("not explained", "bad"),
        };
        let about = told.target.as_ref().map_or_else(
            || format!("namespace {}", told.namespace),
            |target| format!("{target} in namespace {}", told.namespace),
        );
        let mut page = Self {
            title: clean(&about),
            kicker: "Investigation".to_owned(),
            state: state.to_owned(),
            tone,
            summary: vec![
                clean(&format!(
                    "Looked at: {about}, {} pieces of evidence.",
                    told.evidence.len()
                )),
                clean(&format!("{}.", told.statement.trim_end_matches('.'))),
                if told.plan.actions.is_empty() {
                    "Nothing was changed, and no change is proposed.".to_owned()
                } else {
                    "Nothing was changed; a repair is proposed below.".to_owned()
                },
            ],
            facts: vec![("About", clean(&about)), ("Read", when(told.read_at))],
            footer: format!(
                "Firewatch {}. An investigation only reads. This file loads nothing and runs nothing.",
                env!("CARGO_PKG_VERSION")
            ),
            ..Self::common(&d)
        };
        page.next_steps = told.next_steps.iter().map(|text| block(text)).collect();
        for (piece, evidence) in page.evidence.iter_mut().zip(&conclusion.evidence) {
            piece.text = Some(shown(&evidence.output)).filter(|text| !text.is_empty());
        }
        if told.cause.is_none() {
            page.manual_reason = None;
            page.looked_at = told.checked.iter().map(|text| block(text)).collect();
        }
        page.record = vec![("Verdict", format!("{:?}", told.verdict))];
        page
    }

    /// What both have.
    fn common(d: &ResponseDocument) -> Self {
        let chain = causal::chain(d);
        let references = |ids: &[String]| references(ids, &d.audit.evidence);
        let cause = d.workflow.root_cause.as_ref();
        let plan = d.workflow.remediation_plan.as_ref();
        let fixes = plan.map(|plan| plan.long_term_fixes.clone()).unwrap_or_default();
        Self {
            title: clean(&d.alert.title),
            beside: causal::beside(d, &chain)
                .into_iter()
                .map(|finding| Beside {
                    object: clean(&finding.object.to_string()),
                    category: clean(&finding.category),
                    summary: clean(&finding.summary),
                    confidence: clean(&finding.confidence),
                    evidence: references(&finding.evidence),
                })
                .collect(),
            chain: chain
                .into_iter()
                .map(|step| Step {
                    object: step.object.map(|object| clean(&object.to_string())),
                    text: clean(&step.text),
                    evidence: references(&step.evidence),
                    change: step.change.map(|text| clean(&text)),
                })
                .collect(),
            confidence: cause.map(|cause| {
                clean(&format!(
                    "Confidence {}, computed from evidence. Kind of trouble: {}.",
                    cause.confidence, cause.category
                ))
            }),
            alternatives: cause
                .map(|cause| cause.alternatives.iter().map(|text| block(text)).collect())
                .unwrap_or_default(),
            manual_reason: plan
                .and_then(|plan| plan.manual_reason.as_ref())
                .map(|text| clean(text)),
            actions: plan
                .map(|plan| plan.immediate_actions.iter().map(action).collect())
                .unwrap_or_default(),
            done: done(&d.workflow.execution),
            checks: checks(&d.workflow.execution),
            next_steps: d
                .outcome
                .next_steps
                .iter()
                .filter(|step| !fixes.contains(step))
                .map(|text| block(text))
                .collect(),
            fixes: fixes.iter().map(|text| block(text)).collect(),
            evidence: d.audit.evidence.iter().map(piece).collect(),
            record: record(d),
            ..Self::default()
        }
    }

    fn decide(&mut self, d: &ResponseDocument) {
        let approval = &d.workflow.approval;
        let by = approval
            .approver
            .as_ref()
            .map(|by| format!(" by {by}"))
            .unwrap_or_default();
        let second = approval
            .confirmed_by
            .as_ref()
            .map(|by| format!(", confirmed by {by}"))
            .unwrap_or_default();
        if let Some(verdict) = &approval.commander_verdict {
            self.decision.push(clean(&format!(
                "The Commander's review: {}: {}.",
                verdict.to_lowercase(),
                approval.commander_reasons.join("; ")
            )));
        }
        match approval.decision {
            Some(Decision::Approved) if approval.approved => {
                self.decision.push(clean(&format!("Approved{by}{second}.")));
            }
            Some(Decision::Approved) => self
                .decision
                .push(clean(&format!("Approved{by}; a second person must confirm it."))),
            Some(Decision::Rejected) => self.decision.push(clean(&format!("Rejected{by}."))),
            Some(Decision::Pending) => self.decision.push("Nobody has decided.".to_owned()),
            None => {}
        }
        if matches!(approval.decision, Some(Decision::Approved | Decision::Rejected)) {
            self.decision_reason = approval.reasoning.as_ref().map(|text| block(text));
        }
        self.conditions = approval.conditions.iter().map(|text| block(text)).collect();
    }
}

/// The conclusion as the document of an incident that was not made.
fn as_incident(conclusion: &Conclusion, statement: &str) -> ResponseDocument {
    let case = &conclusion.case;
    let mut incident = Incident::new(
        "investigation",
        IncidentSpec {
            title: clip(statement, 200),
            target: case.target().map(|target| Target {
                api_version: None,
                kind: target.kind.clone(),
                name: target.name.clone(),
                namespace: target.namespace.clone(),
            }),
            description: None,
            severity: None,
            alert: None,
            requested_by: None,
            approval_mode: ApprovalMode::default(),
            revision_feedback: None,
            cancelled: false,
        },
    );
    incident.metadata.namespace = Some(case.namespace().to_owned());
    incident.status = Some(IncidentStatus {
        root_cause: conclusion.diagnosis.root_cause.as_ref().map(RootCause::to_status),
        findings: conclusion.diagnosis.findings.iter().map(Finding::to_status).collect(),
        plan: Some(conclusion.plan.clone()),
        evidence: conclusion
            .evidence
            .iter()
            .map(|one| EvidenceRef {
                id: one.id.clone(),
                agent: one.agent,
                command: firewatch_core::report::build::shortened(&one.argv),
                state: one.state.to_string(),
                sha256: one.sha256.clone(),
                config_map: None,
            })
            .collect(),
        ..IncidentStatus::default()
    });
    document(&incident, &StoryView::default())
}

fn facts(d: &ResponseDocument) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    let about = d.alert.target.as_ref().map_or_else(
        || format!("the whole namespace {}", d.alert.namespace),
        |target| format!("{target} in namespace {}", d.alert.namespace),
    );
    facts.push(("About", clean(&about)));
    if let Some(name) = &d.alert.name {
        facts.push(("Alert", clean(name)));
    }
    if let Some(decision) = &d.workflow.commander_decision {
        facts.push((
            "Severity",
            format!("{} ({})", decision.severity, summary::impact(decision.impact)),
        ));
    }
    if let Some(at) = d.alert.created_at {
        let by = d
            .alert
            .requested_by
            .as_ref()
            .map(|by| format!(" by {by}"))
            .unwrap_or_default();
        facts.push(("Reported", clean(&format!("{}{by}", when(at)))));
    }
    if let Some(ms) = d.metrics.duration_ms {
        facts.push(("Took", took(ms)));
    }
    facts.push(("Resolved", if d.outcome.resolved { "yes" } else { "no" }.to_owned()));
    if d.outcome.human_intervention_required {
        facts.push(("A person must", "go on; see what to do next".to_owned()));
    }
    if let Some(message) = &d.outcome.message {
        facts.push(("Because", clean(message)));
    }
    facts
}

fn costs(d: &ResponseDocument) -> Vec<(String, String)> {
    let m = &d.metrics;
    if m.model_calls == 0 {
        return vec![(
            "Model calls (analyzers and playbooks did the work)".to_owned(),
            "0".to_owned(),
        )];
    }
    let mut rows = vec![
        ("US dollars".to_owned(), clean(&m.cost_usd)),
        ("Model calls".to_owned(), m.model_calls.to_string()),
        ("Tokens".to_owned(), m.total_tokens.to_string()),
    ];
    rows.extend(
        m.tokens_by_agent
            .iter()
            .filter(|(_, tokens)| **tokens > 0)
            .map(|(agent, tokens)| (clean(&format!("Tokens of {agent}")), tokens.to_string())),
    );
    rows
}

fn action(action: &ActionSection) -> Action {
    Action {
        id: clean(&action.id),
        words: clean(&action.action),
        impact: clean(&action.impact),
        risk: action.risk.to_string(),
        diff: difference(&action.change),
        command: shell(&action.command),
        undo: (!action.rollback.is_empty()).then(|| shell(&action.rollback)),
    }
}

/// The change as lines of a difference.
fn difference(change: &ChangeSection) -> Vec<DiffLine> {
    let line = |class, text: &str| DiffLine {
        class,
        text: clean(text),
    };
    if let Some(diff) = &change.diff {
        return diff
            .lines()
            .map(|text| {
                let class = match text.chars().next() {
                    Some('+') => "add",
                    Some('-') => "del",
                    _ => "same",
                };
                line(class, text)
            })
            .collect();
    }
    if change.field.is_none() && change.from.is_none() {
        return Vec::new();
    }
    let place = change.container.as_ref().map_or_else(
        || change.object.to_string(),
        |container| format!("{}, container {container}", change.object),
    );
    let field = change.field.as_deref().unwrap_or("replicas");
    let mut lines = vec![line("same", &format!("  # {place}"))];
    let mut side = |class, sign: char, value: Option<&String>| {
        for (number, text) in value.into_iter().flat_map(|value| value.lines()).enumerate() {
            lines.push(if number == 0 {
                line(class, &format!("{sign} {field}: {text}"))
            } else {
                line(class, &format!("{sign}   {text}"))
            });
        }
    };
    side("del", '-', change.from.as_ref());
    side("add", '+', change.to.as_ref());
    lines
}

fn done(execution: &ExecutionSection) -> Option<Done> {
    let sentence = match execution.status.as_str() {
        "NotExecuted" => return None,
        "Succeeded" => "Every step was carried out.",
        "Failed" => "A step failed; nothing after it was carried out.",
        "Refused" => "It was refused before anything was changed.",
        "Unknown" => "It began, and nobody knows how far it came: look at each object before anything else is done.",
        _ => "It is being carried out.",
    };
    Some(Done {
        sentence,
        message: execution.message.as_ref().map(|text| block(text)),
        commands: execution.commands.iter().map(ran).collect(),
        rollback: execution.rollback.as_ref().map(|rollback| TakenBack {
            state: clean(&rollback.status.to_lowercase()),
            message: rollback.message.as_ref().map(|text| block(text)),
            commands: rollback.commands.iter().map(ran).collect(),
        }),
    })
}

fn ran(command: &ExecutedCommand) -> Ran {
    let (ended, tone) = match command.exit_code {
        Some(0) => ("done".to_owned(), "good"),
        Some(code) => (format!("exit code {code}"), "bad"),
        None => ("killed".to_owned(), "bad"),
    };
    Ran {
        action: what(command),
        ended,
        tone,
        took: took(command.duration_ms),
        command: shell(&command.command),
        result: command.result.as_ref().map(|text| block(text)),
    }
}

/// Of which action, or which part of the work a command is.
fn what(command: &ExecutedCommand) -> String {
    let rehearsed = command.command.iter().any(|word| word.starts_with("--dry-run"));
    match (rehearsed, command.action.is_empty()) {
        (true, true) => "rehearsal (dry run)".to_owned(),
        (true, false) => clean(&format!("{}, rehearsal (dry run)", command.action)),
        (false, true) => "step".to_owned(),
        (false, false) => clean(&command.action),
    }
}

fn checks(execution: &ExecutionSection) -> Vec<Check> {
    execution
        .verification
        .iter()
        .flat_map(|verification| &verification.checks)
        .map(|check| Check {
            word: if check.passed { "holds" } else { "does not hold" },
            tone: if check.passed { "good" } else { "bad" },
            name: clean(&check.name),
            observed: clean(&check.observed),
        })
        .collect()
}

fn piece(evidence: &EvidenceSection) -> Piece {
    Piece {
        id: clean(&evidence.id),
        short: clean(&short(&evidence.command, 96)),
        command: clean(&evidence.command),
        gap: (evidence.state != "Complete").then(|| clean(&evidence.state)),
        stage: match evidence.stage {
            Stage::Investigation => "Investigation",
            Stage::Verification => "Verification",
            Stage::RollbackVerification => "Verification of the rollback",
        },
        agent: title(evidence.agent),
        sha256: clean(&evidence.sha256),
        text: None,
    }
}

fn record(d: &ResponseDocument) -> Vec<(&'static str, String)> {
    let mut record = vec![
        ("Investigation", clean(&d.investigation_id)),
        ("Transitions", d.audit.transitions.to_string()),
        (
            "Head of the hash chain",
            d.audit
                .chain_head
                .as_ref()
                .map_or_else(|| "none yet".to_owned(), |hash| clean(hash)),
        ),
    ];
    if let Some(plan) = d
        .workflow
        .remediation_plan
        .as_ref()
        .filter(|plan| !plan.digest.is_empty())
    {
        record.push(("Digest of the plan", clean(&plan.digest)));
    }
    record
}

fn references(ids: &[String], evidence: &[EvidenceSection]) -> Vec<Reference> {
    ids.iter()
        .map(|id| Reference {
            id: clean(id),
            anchor: evidence.iter().position(|one| one.id == *id).map(|index| index + 1),
        })
        .collect()
}

/// Text of several lines.
fn block(text: &str) -> String {
    clean_lines(text).join("\n")
}

/// Evidence, as much of it as helps a reader.
fn shown(text: &str) -> String {
    let all = block(text.trim());
    let length = all.chars().count();
    if length > MOST_TEXT {
        format!("{}\n({} characters more)", clip(&all, MOST_TEXT), length - MOST_TEXT)
    } else {
        all
    }
}

fn tone(tone: Tone) -> &'static str {
    match tone {
        Tone::Good => "good",
        Tone::Bad => "bad",
        Tone::Warn => "warn",
        Tone::Strong | Tone::Faint => "plain",
    }
}

fn when(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

fn took(ms: i64) -> String {
    match ms {
        ..1000 => format!("{ms} ms"),
        1000..60_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        _ => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1000),
    }
}
