//! How the full response follows from an Incident and its approval, or from the stored story alone. One function for every place that
//! shows it. Pure. Called by the plugin, the operator and the store's export.

use crate::api::incident::AlertSource;
use crate::api::status::{Execution, ExecutionStep, FindingStatus, IncidentStatus, PlanStatus};
use crate::api::{ActionType, ApprovalState, Decision, Incident, ObjectName, PlannedAction, Role};
use crate::incident::record_limits;
use crate::sandbox::command::Lane;
use crate::sandbox::evidence::Stage;
use crate::text::clip;

use super::audit_row::{self, AuditRow};
use super::document::{
    ActionSection, AlertSection, ApprovalSection, AuditSection, ChangeSection, CheckSection, CommanderDecision,
    EvidenceSection, ExecutedCommand, ExecutionSection, FindingSection, Metrics, OutcomeSection, PlanSection,
    ResponseDocument, RollbackSection, RootCauseSection, VerificationSection, Workflow,
};
use super::story::{ApprovalRow, Story, by_number};

/// What a document needs beside the Incident: things that live in another object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StoryView {
    /// The approval of the present plan, where there is one and it could be read.
    pub approval: Option<ApprovalRow>,
}

impl StoryView {
    /// With this approval, if it is the one that the incident waits for.
    pub fn with_approval(incident: &Incident, approval: Option<ApprovalRow>) -> Self {
        let wanted = incident
            .status
            .as_ref()
            .and_then(|s| s.approval_ref.as_ref())
            .map(|a| a.uid.as_str());
        Self {
            approval: approval.filter(|a| Some(a.uid.as_str()) == wanted),
        }
    }
}

/// The full response of an investigation, as far as it has come.
pub fn document(incident: &Incident, view: &StoryView) -> ResponseDocument {
    let row = AuditRow::of(incident);
    let status = incident.status.clone().unwrap_or_default();
    ResponseDocument {
        investigation_id: row.id.clone(),
        alert: alert(incident),
        workflow: Workflow {
            commander_decision: status.triage.as_ref().map(|t| CommanderDecision {
                severity: t.severity,
                category: t.category.clone(),
                impact: t.impact,
                agents: t.agents.clone(),
                rationale: t.rationale.clone(),
            }),
            sre_findings: findings(&status, |role| role != Role::CodeAnalyst),
            code_analysis: findings(&status, |role| role == Role::CodeAnalyst),
            root_cause: status.root_cause.as_ref().map(|c| RootCauseSection {
                category: c.category.clone(),
                summary: c.summary.clone(),
                object: c.object.clone(),
                confidence: c.confidence.clone(),
                evidence: c.evidence.clone(),
                chain: c.chain.clone(),
                alternatives: c.alternatives.clone(),
            }),
            remediation_plan: status.plan.as_ref().map(plan),
            approval: approval(&status, view.approval.as_ref()),
            execution: execution(&status),
        },
        metrics: metrics(&status, &row),
        audit: AuditSection {
            transitions: status.sequence,
            chain_head: status.last_hash.clone(),
            evidence: evidence(status.evidence.iter().map(|e| EvidenceSection {
                id: e.id.clone(),
                stage: Stage::of_id(&e.id),
                agent: e.agent,
                command: e.command.clone(),
                state: e.state.clone(),
                sha256: e.sha256.clone(),
            })),
        },
        outcome: OutcomeSection {
            phase: status.phase,
            result: status.outcome,
            message: status.message.clone(),
            resolved: row.resolved,
            human_intervention_required: row.human_intervention,
            next_steps: status.next_steps,
        },
    }
}

/// The same from what is stored alone; none where the investigation's row is not there yet. Transitions, evidence, executed commands
/// and the decision are taken from their own tables, not from the row.
pub fn from_story(story: &Story) -> Option<ResponseDocument> {
    let mut incident = story.audit.as_ref()?.incident();
    if let Some(status) = &mut incident.status {
        put_steps(status.execution.as_mut(), story, Lane::Remediate);
        put_steps(status.rollback.as_mut(), story, Lane::Rollback);
    }
    let wanted = incident
        .status
        .as_ref()
        .and_then(|s| s.approval_ref.as_ref())
        .map(|a| a.uid.clone());
    let approval = story
        .approvals
        .iter()
        .find(|a| Some(&a.uid) == wanted.as_ref())
        .cloned();
    let mut document = document(&incident, &StoryView { approval });
    document.audit = AuditSection {
        transitions: story.transitions.last().map_or(0, |last| last.sequence),
        chain_head: story.transitions.last().map(|last| last.hash.clone()),
        evidence: evidence(story.evidence.iter().map(|e| EvidenceSection {
            id: e.id.clone(),
            stage: Stage::of_id(&e.id),
            agent: e.agent,
            command: shortened(&e.argv),
            state: e.state.to_string(),
            sha256: e.sha256.clone(),
        })),
    };
    Some(document)
}

/// A command as a status names it.
pub fn shortened(argv: &[String]) -> String {
    clip(&argv.join(" "), 256)
}

fn put_steps(execution: Option<&mut Execution>, story: &Story, lane: Lane) {
    let steps: Vec<ExecutionStep> = story
        .commands
        .iter()
        .filter(|c| c.lane == lane)
        .map(|c| ExecutionStep {
            action: c.action.clone().unwrap_or_default(),
            command: c.argv.clone(),
            exit_code: c.exit_code,
            duration_ms: c.duration_ms,
            result: c.result.clone(),
            evidence: c.evidence.clone(),
        })
        .collect();
    if let (Some(execution), false) = (execution, steps.is_empty()) {
        execution.steps = steps;
    }
}

fn alert(incident: &Incident) -> AlertSection {
    let spec = &incident.spec;
    let alert = spec.alert.clone();
    let namespace = incident.metadata.namespace.clone().unwrap_or_default();
    AlertSection {
        source: alert.as_ref().map_or(AlertSource::Manual, |a| a.source),
        name: alert.as_ref().and_then(|a| a.name.clone()),
        incident: incident.metadata.name.clone().unwrap_or_default(),
        title: spec.title.clone(),
        description: spec.description.clone(),
        severity: spec.severity,
        target: spec.target.as_ref().map(|t| {
            ObjectName::namespaced(
                &t.kind,
                t.namespace.clone().unwrap_or_else(|| namespace.clone()),
                &t.name,
            )
        }),
        service: audit_row::service(incident),
        namespace,
        fingerprint: alert.as_ref().and_then(|a| a.fingerprint.clone()),
        starts_at: alert.as_ref().and_then(|a| a.starts_at.clone()),
        created_at: incident.metadata.creation_timestamp.as_ref().map(|t| t.0),
        requested_by: spec.requested_by.clone(),
        labels: alert.as_ref().map(|a| a.labels.clone()).unwrap_or_default(),
        annotations: alert.map(|a| a.annotations).unwrap_or_default(),
    }
}

fn findings(status: &IncidentStatus, of: fn(Role) -> bool) -> Vec<FindingSection> {
    let section = |f: &FindingStatus| FindingSection {
        id: f.id.clone(),
        category: f.category.clone(),
        summary: f.summary.clone(),
        object: f.object.clone(),
        confidence: f.confidence.clone(),
        evidence: f.evidence.clone(),
    };
    status.findings.iter().filter(|f| of(f.agent)).map(section).collect()
}

fn plan(plan: &PlanStatus) -> PlanSection {
    PlanSection {
        revision: plan.revision,
        digest: plan.digest.clone(),
        summary: plan.summary.clone(),
        risk: plan.risk,
        immediate_actions: plan
            .actions
            .iter()
            .map(|a| ActionSection {
                id: a.id.clone(),
                action: in_words(a),
                command: a.command.clone(),
                risk: a.risk,
                impact: a.impact.clone(),
                rollback: a.rollback.clone(),
                change: ChangeSection {
                    object: ObjectName {
                        kind: a.target.kind.clone(),
                        namespace: a.target.namespace.clone(),
                        name: a.target.name.clone(),
                    },
                    container: a.parameters.container.clone(),
                    field: a.parameters.field.clone(),
                    from: a.parameters.from.clone(),
                    to: a.parameters.to.clone(),
                    diff: a.diff.clone(),
                },
            })
            .collect(),
        long_term_fixes: plan.long_term_fixes.clone(),
        estimated_resolution_time: plan.estimated_resolution_seconds,
        manual_reason: plan.manual_reason.clone(),
    }
}

/// What an action does, from its typed fields alone: `Set DATABASE_URL of container app of Deployment/checkout from "a" to "b"`.
fn in_words(action: &PlannedAction) -> String {
    let target = format!("{}/{}", action.target.kind, action.target.name);
    let p = &action.parameters;
    let place = match &p.container {
        Some(container) => format!("container {container} of {target}"),
        None => target.clone(),
    };
    let values = match (&p.from, &p.to) {
        (Some(from), Some(to)) => format!(" from {from:?} to {to:?}"),
        (None, Some(to)) => format!(" to {to:?} (it was not set)"),
        (Some(from), None) => format!(" from {from:?} to nothing"),
        (None, None) => String::new(),
    };
    let field = p.field.as_deref().unwrap_or_default();
    match action.action_type {
        ActionType::RollbackRollout => match &p.to {
            Some(revision) => format!("Roll {target} back to revision {revision}"),
            None => format!("Roll {target} back to the revision before"),
        },
        ActionType::RestartRollout => format!("Restart all pods of {target}"),
        ActionType::Scale => format!("Scale {target}{values}"),
        ActionType::SetImage => format!("Set the image of {place}{values}"),
        ActionType::SetResources | ActionType::SetEnv | ActionType::SetConfigMapRef | ActionType::PatchConfigMapKey => {
            format!("Set {field} of {place}{values}")
        }
        ActionType::PatchService
        | ActionType::PatchProbe
        | ActionType::PatchHpa
        | ActionType::PatchPdb
        | ActionType::PatchQuota => format!("Change {field} of {place}{values}"),
        ActionType::SuspendCronJob => format!("Suspend {target}"),
        ActionType::ResumeCronJob => format!("Resume {target}"),
        ActionType::CordonNode => format!("Keep new pods from {target}"),
        ActionType::UncordonNode => format!("Admit pods to {target} again"),
    }
}

fn approval(status: &IncidentStatus, row: Option<&ApprovalRow>) -> ApprovalSection {
    let review = status.review.as_ref();
    let reasons = review.map(|r| r.reasons.clone()).unwrap_or_default();
    // Without the approval itself the status still says how it stands.
    let noted = status.approval_state.map(|state| match state {
        ApprovalState::Approved | ApprovalState::Consumed => Decision::Approved,
        ApprovalState::Rejected => Decision::Rejected,
        ApprovalState::Pending | ApprovalState::Expired | ApprovalState::Superseded => Decision::Pending,
    });
    let decision = row.map(|r| r.decision).or(noted);
    let approved = row.map_or(decision == Some(Decision::Approved), |r| {
        r.decision == Decision::Approved && r.is_decided()
    });
    ApprovalSection {
        approved,
        decision,
        approver: row.and_then(|r| r.approver.clone()),
        confirmed_by: row.and_then(|r| r.confirmation.as_ref().map(|c| c.approver.clone())),
        reasoning: row.and_then(|r| r.reason.clone()).or_else(|| {
            if reasons.is_empty() {
                None
            } else {
                Some(reasons.join("; "))
            }
        }),
        conditions: review.map(|r| r.conditions.clone()).unwrap_or_default(),
        commander_verdict: review.map(|r| r.verdict.as_ref().to_owned()),
        commander_reasons: reasons,
    }
}

fn execution(status: &IncidentStatus) -> ExecutionSection {
    let done = status.execution.as_ref();
    ExecutionSection {
        status: done.map_or_else(|| "NotExecuted".to_owned(), |e| e.state.to_string()),
        message: done.and_then(|e| e.message.clone()),
        started_at: done.and_then(|e| e.started_at.as_ref()).map(|t| t.0),
        finished_at: done.and_then(|e| e.finished_at.as_ref()).map(|t| t.0),
        commands: done.map(commands).unwrap_or_default(),
        rollback: status.rollback.as_ref().map(|r| RollbackSection {
            status: r.state.to_string(),
            message: r.message.clone(),
            commands: commands(r),
        }),
        verification: status.verification.as_ref().map(|v| VerificationSection {
            passed: v.passed,
            rolled_back: v.rolled_back,
            checks: v
                .checks
                .iter()
                .map(|c| CheckSection {
                    name: c.name.clone(),
                    passed: c.passed,
                    observed: c.observed.clone(),
                })
                .collect(),
        }),
    }
}

fn commands(execution: &Execution) -> Vec<ExecutedCommand> {
    execution
        .steps
        .iter()
        .map(|step| ExecutedCommand {
            action: step.action.clone(),
            command: step.command.clone(),
            result: step.result.clone(),
            exit_code: step.exit_code,
            duration_ms: step.duration_ms,
        })
        .collect()
}

fn metrics(status: &IncidentStatus, row: &AuditRow) -> Metrics {
    Metrics {
        total_tokens: row.total_tokens,
        tokens_by_agent: status.agents.iter().map(|a| (a.role.to_string(), a.tokens)).collect(),
        cost_usd: row.cost_usd.clone(),
        model_calls: status.usage.as_ref().map_or(0, |u| u.model_calls),
        duration_ms: row.duration_ms,
    }
}

/// As many pieces as a status names, and the same ones.
fn evidence(all: impl Iterator<Item = EvidenceSection>) -> Vec<EvidenceSection> {
    let mut list: Vec<EvidenceSection> = all.collect();
    list.sort_by_cached_key(|e| by_number(&e.id));
    record_limits::keep_bounded(&mut list, |e| &e.id);
    list
}
