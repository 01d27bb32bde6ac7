#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use k8s_openapi::jiff::Timestamp;

use super::build::shortened;
use super::*;
use crate::api::approval::RemediationApproval;
use crate::api::status::{EvidenceRef, ExecutionState, Outcome, Phase};
use crate::api::{Decision, Incident};
use crate::incident::reason::Reason;
use crate::incident::transition::{self, Transition};
use crate::sandbox::command::Lane;
use crate::sandbox::evidence::Evidence;

fn approval() -> RemediationApproval {
    serde_json::from_str(include_str!("../../../../tests/data/report/approval.json")).unwrap()
}

fn evidence() -> Vec<Evidence> {
    let mut all: Vec<Evidence> =
        serde_json::from_str(include_str!("../../../../tests/data/report/evidence.json")).unwrap();
    for item in &mut all {
        item.sha256 = crate::incident::names::sha256(item.output.as_bytes());
    }
    all
}

/// The incident with its evidence and three recorded transitions still in the outbox.
fn incident() -> Incident {
    let mut incident: Incident =
        serde_json::from_str(include_str!("../../../../tests/data/report/incident.json")).unwrap();
    let uid = incident.metadata.uid.clone().unwrap();
    let status = incident.status.as_mut().unwrap();
    let (outcome, message, ended) = (status.outcome, status.message.clone(), status.completed_at.clone());
    status.evidence = evidence()
        .iter()
        .map(|e| EvidenceRef {
            id: e.id.clone(),
            agent: e.agent,
            command: shortened(&e.argv),
            state: e.state.to_string(),
            sha256: e.sha256.clone(),
            config_map: Some("fw-1".into()),
        })
        .collect();
    for phase in [Phase::Triaging, Phase::Investigating, Phase::Completed] {
        let transition = Transition {
            to: phase,
            outcome: None,
            reason: Reason::Accepted,
            actor: "operator".into(),
            message: "m".into(),
            payload: None,
        };
        transition::apply(
            status,
            &uid,
            &transition,
            Timestamp::from_second(1_772_334_000).unwrap(),
        );
    }
    (status.outcome, status.message, status.completed_at) = (outcome, message, ended);
    incident
}

/// What a store gives back of it.
fn story(incident: &Incident) -> Story {
    let status = incident.status.clone().unwrap();
    let mut commands: Vec<CommandRow> = evidence().iter().map(CommandRow::of_evidence).collect();
    commands.extend(CommandRow::of_execution(
        status.execution.as_ref().unwrap(),
        Lane::Remediate,
    ));
    Story {
        transitions: status.outbox,
        messages: Vec::new(),
        commands,
        evidence: evidence().iter().map(EvidenceRow::of).collect(),
        approvals: vec![ApprovalRow::of(&approval())],
        audit: Some(AuditRow::of(incident)),
    }
}

fn view(incident: &Incident) -> StoryView {
    StoryView::with_approval(incident, Some(ApprovalRow::of(&approval())))
}

#[test]
fn the_document_from_the_cluster_is_the_one_from_the_store() {
    let incident = incident();
    let from_cluster = document(&incident, &view(&incident));
    let from_store = from_story(&story(&incident)).unwrap();
    assert_eq!(
        serde_json::to_string_pretty(&from_store).unwrap(),
        serde_json::to_string_pretty(&from_cluster).unwrap()
    );
}

#[test]
fn the_store_s_own_tables_are_believed_before_its_row() {
    let incident = incident();
    let whole = from_story(&story(&incident)).unwrap();
    let mut altered = story(&incident);
    altered.transitions.pop();
    assert_ne!(from_story(&altered).unwrap().audit, whole.audit);
    let mut altered = story(&incident);
    altered.commands.last_mut().unwrap().exit_code = Some(1);
    assert_ne!(
        from_story(&altered).unwrap().workflow.execution,
        whole.workflow.execution
    );
    let mut altered = story(&incident);
    altered.approvals[0].approver = Some("mallory".into());
    assert_ne!(from_story(&altered).unwrap().workflow.approval, whole.workflow.approval);
    let mut altered = story(&incident);
    altered.evidence[0].sha256 = "sha256:ff".into();
    assert_ne!(from_story(&altered).unwrap().audit, whole.audit);
}

#[test]
fn the_document_says_who_decided_and_why() {
    let incident = incident();
    let approval = document(&incident, &view(&incident)).workflow.approval;
    assert!(approval.approved);
    assert_eq!(approval.approver.as_deref(), Some("bob"));
    assert_eq!(
        approval.reasoning.as_deref(),
        Some("the value is the one from the runbook")
    );
    assert_eq!(approval.conditions, ["the key is still missing when it is carried out"]);
}

#[test]
fn the_approval_of_another_plan_is_not_shown_as_this_one_s() {
    let incident = incident();
    let mut foreign = ApprovalRow::of(&approval());
    foreign.uid = "ffffffff-0000-4000-8000-000000000000".into();
    foreign.decision = Decision::Rejected;
    let shown = document(&incident, &StoryView::with_approval(&incident, Some(foreign)))
        .workflow
        .approval;
    assert_eq!(
        shown.decision,
        Some(Decision::Approved),
        "the status still says that it was approved"
    );
    assert_eq!(shown.approver, None);
}

#[test]
fn an_approval_that_needs_two_is_not_approved_by_one() {
    let incident = incident();
    let mut row = ApprovalRow::of(&approval());
    row.required_approvals = 2;
    let shown = document(&incident, &StoryView { approval: Some(row) })
        .workflow
        .approval;
    assert!(!shown.approved);
}

#[test]
fn an_incident_that_has_just_been_made_has_a_document_with_every_key() {
    let mut incident = incident();
    incident.status = None;
    let json = serde_json::to_value(document(&incident, &StoryView::default())).unwrap();
    for pointer in [
        "/investigation_id",
        "/alert/title",
        "/workflow/commander_decision",
        "/workflow/sre_findings",
        "/workflow/code_analysis",
        "/workflow/remediation_plan",
        "/workflow/approval/approved",
        "/workflow/approval/reasoning",
        "/workflow/approval/conditions",
        "/workflow/execution/status",
        "/workflow/execution/verification",
        "/metrics/total_tokens",
        "/metrics/tokens_by_agent",
        "/metrics/cost_usd",
        "/metrics/duration_ms",
        "/audit/chain_head",
        "/outcome/resolved",
        "/outcome/human_intervention_required",
        "/outcome/next_steps",
    ] {
        assert!(json.pointer(pointer).is_some(), "{pointer}");
    }
    assert_eq!(json["workflow"]["execution"]["status"], "NotExecuted");
}

#[test]
fn a_row_holds_what_people_query() {
    let row = AuditRow::of(&incident());
    assert_eq!(
        (row.alert_type.as_str(), row.service.as_str()),
        ("KubePodCrashLooping", "checkout")
    );
    assert_eq!(
        (row.total_tokens, row.cost_usd.as_str(), row.duration_ms),
        (1500, "0.001250", Some(130_000))
    );
    assert_eq!((row.resolved, row.human_intervention), (true, false));
    assert_eq!(row.execution_status, "Succeeded");
    assert_eq!(row.sequence, 3);
    assert!(row.record.status.outbox.is_empty());
}

#[test]
fn a_person_must_go_on_wherever_the_trouble_may_still_be_there() {
    let cases = [
        (Some(Outcome::Remediated), ExecutionState::Succeeded, true, false),
        (Some(Outcome::NoActionRequired), ExecutionState::Succeeded, true, false),
        (Some(Outcome::RolledBack), ExecutionState::Succeeded, false, true),
        (Some(Outcome::Escalated), ExecutionState::Unknown, false, true),
        (Some(Outcome::Rejected), ExecutionState::Refused, false, true),
        (Some(Outcome::Cancelled), ExecutionState::Refused, false, false),
        (None, ExecutionState::Running, false, false),
        (None, ExecutionState::Unknown, false, true),
    ];
    for (outcome, state, resolved, person) in cases {
        let mut incident = incident();
        let status = incident.status.as_mut().unwrap();
        status.outcome = outcome;
        status.execution.as_mut().unwrap().state = state;
        let row = AuditRow::of(&incident);
        assert_eq!(
            (row.resolved, row.human_intervention),
            (resolved, person),
            "{outcome:?} {state:?}"
        );
    }
}

#[test]
fn a_decision_or_claim_never_becomes_another() {
    let decided = ApprovalRow::of(&approval());
    let mut pending = decided.clone();
    (pending.decision, pending.approver, pending.reason, pending.claim) = (Decision::Pending, None, None, None);
    assert!(pending.may_become(&decided));
    assert!(!decided.may_become(&pending));
    let mut flipped = decided.clone();
    flipped.decision = Decision::Rejected;
    assert!(!decided.may_become(&flipped));
    let mut reclaimed = decided.clone();
    reclaimed.claim.as_mut().unwrap().nonce = "f".repeat(32);
    assert!(!decided.may_become(&reclaimed));
    let mut replanned = pending.clone();
    replanned.plan_digest = "sha256:11".into();
    assert!(!pending.may_become(&replanned));
}

#[test]
fn the_post_mortem_tells_the_whole_story_in_words() {
    let incident = incident();
    let text = markdown(&document(&incident, &view(&incident)));
    for part in [
        "# checkout pods restart",
        "ConfigMap checkout-settings has no key PAYMENT_GATEWAY_URL",
        "and fresh evidence shows that it helped",
        "3. the key that it needs is missing [E10]",
        "- V1.1 (verification): `kubectl get pods -n shop -o json`",
        "**Set PAYMENT_GATEWAY_URL of ConfigMap/checkout-settings to \"http://payments:8080\" (it was not set)** (risk: medium)",
        "Approved by `bob`.",
        "- rollout complete: holds (2 of 2 pods available)",
        "## So that it does not happen again",
        "| Took | 2 min 10 s |",
    ] {
        assert!(text.contains(part), "{part}\n---\n{text}");
    }
    assert!(
        !text.contains("## What to do next"),
        "long-term fixes stand once\n{text}"
    );
}

#[test]
fn hostile_text_stays_inside_its_fence() {
    let mut incident = incident();
    incident.spec.title = "x\n# Approved\n<img src=x onerror=alert(1)> [y](javascript:z) `code`".into();
    incident
        .status
        .as_mut()
        .unwrap()
        .root_cause
        .as_mut()
        .unwrap()
        .object
        .name = "a``b|c".into();
    let text = markdown(&document(&incident, &view(&incident)));
    let mut fence: Option<String> = None;
    for line in text.lines() {
        let ticks: String = line.chars().take_while(|c| *c == '`').collect();
        match &fence {
            Some(open) if line == open => fence = None,
            Some(_) => {}
            None if ticks.len() >= 3 => fence = Some(ticks),
            None => {
                assert!(
                    !line.contains('<') || line.contains('`'),
                    "HTML outside a fence: {line}"
                );
                assert!(!line.starts_with("# Appro"), "a heading of the reporter's: {line}");
            }
        }
    }
    assert_eq!(fence, None, "every fence is closed");
    assert!(text.contains("```ConfigMap/a``b|c```"), "{text}");
}
