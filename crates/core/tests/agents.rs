//! The agents' runs, driven as the loop drives them, against a cluster that answers from a table.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::collections::BTreeSet;

use firewatch_core::agents::{AgentReport, AgentRun, AgentStep, MessageKind, commander};
use firewatch_core::api::incident::{ApprovalMode, IncidentSpec};
use firewatch_core::api::policy::Route;
use firewatch_core::api::status::{PlanStatus, Verdict as ReviewVerdict};
use firewatch_core::api::{Impact, ObjectName, Risk, Role, Severity};
use firewatch_core::diagnosis::{CaseFile, Verdict};
use firewatch_core::sandbox::command::{Command, Resource, Scope};
use firewatch_core::sandbox::evidence::{Evidence, EvidenceState};

/// Both specialists in turn, each round answered from the recording, what it does not hold with `NotFound`.
fn drive(name: &str, namespace: &str, target: &str) -> (CaseFile, Vec<AgentReport>, Vec<Command>) {
    let recording = common::recording(name).evidence;
    let now = recording.iter().map(|one| one.collected_at).max().unwrap();
    let target = ObjectName::namespaced("Deployment", namespace, target);
    let mut case = CaseFile::new(namespace, Some(target), now);
    let mut asked = Vec::new();
    let mut reports = Vec::new();
    let mut runs = vec![
        AgentRun::start(Role::SreInvestigator),
        AgentRun::start(Role::CodeAnalyst),
    ];
    while !runs.is_empty() {
        let mut wanted = Vec::new();
        runs.retain_mut(|run| {
            // A run survives a restart of the operator between any two steps.
            *run = serde_json::from_str(&serde_json::to_string(run).unwrap()).unwrap();
            match run.next(&case) {
                AgentStep::NeedEvidence(commands) => {
                    wanted.extend(commands.into_iter().map(|command| (run.role, command)));
                    true
                }
                AgentStep::Report(report) => {
                    reports.push(report);
                    false
                }
            }
        });
        for (agent, command) in wanted {
            let known = common::answer(&recording, &command);
            let (state, output) = known.unwrap_or((EvidenceState::NotFound, String::new()));
            let evidence = Evidence {
                agent,
                state,
                ..common::evidence(asked.len() + 1, now, command.clone(), output)
            };
            case.add(&evidence);
            asked.push(command);
        }
    }
    (case, reports, asked)
}

const ALL: [(&str, &str, &str); 5] = [
    ("crashloop", "checkout-1", "checkout"),
    ("memory_leak", "catalog-1", "catalog"),
    ("cpu_spike", "login-1", "login"),
    ("cascading_failure", "shop-1", "storefront"),
    ("healthy_noise", "search-1", "search"),
];

#[test]
fn no_command_is_asked_twice_and_rounds_are_bounded() {
    for (name, namespace, target) in ALL {
        let (_, reports, asked) = drive(name, namespace, target);
        let distinct: BTreeSet<&Command> = asked.iter().collect();
        assert_eq!(distinct.len(), asked.len(), "{name}: {asked:#?}");
        for report in &reports {
            let rounds = report
                .messages
                .iter()
                .filter(|message| message.kind == MessageKind::Request)
                .count();
            assert!((1..=4).contains(&rounds), "{name}: {rounds} rounds of {}", report.role);
        }
        assert_eq!(reports.len(), 2);
    }
}

#[test]
fn both_specialists_together_conclude_what_the_recording_shows() {
    for (name, namespace, target, verdict) in ALL.map(|(a, b, c)| {
        (
            a,
            b,
            c,
            if a == "healthy_noise" {
                Verdict::Healthy
            } else {
                Verdict::Found
            },
        )
    }) {
        let (case, reports, _) = drive(name, namespace, target);
        assert_eq!(commander::consolidate(&reports, &case).verdict, verdict, "{name}");
    }
}

#[test]
fn the_code_analyst_reads_logs_and_names_the_program_itself() {
    let (_, reports, asked) = drive("crashloop", "checkout-1", "checkout");
    assert!(
        asked
            .iter()
            .any(|command| matches!(command, Command::Logs { previous: true, .. }))
    );
    let report = reports.iter().find(|report| report.role == Role::CodeAnalyst).unwrap();
    assert!(
        report
            .findings
            .iter()
            .any(|finding| finding.summary.contains("/app/app.py")),
        "{:#?}",
        report.findings
    );
    assert!(
        report
            .messages
            .iter()
            .any(|message| message.kind == MessageKind::Report && message.to == Role::Commander)
    );
}

#[test]
fn agents_ask_only_in_their_own_namespace_and_never_for_more_than_they_need() {
    for (name, namespace, target) in ALL {
        let (_, _, asked) = drive(name, namespace, target);
        for command in asked {
            match &command {
                Command::Get {
                    scope: Scope::Namespace(space),
                    ..
                } => assert_eq!(space, namespace),
                Command::Get {
                    scope: Scope::Cluster,
                    resources,
                    ..
                } => assert!(!resources.contains(&Resource::Namespaces)),
                Command::Logs { namespace: space, .. } | Command::TopPods { namespace: space } => {
                    assert_eq!(space, namespace);
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn one_listing_is_enough_for_the_first_round() {
    let mut run = AgentRun::start(Role::SreInvestigator);
    let case = CaseFile::new("shop", None, "2026-03-01T12:00:00Z".parse().unwrap());
    let AgentStep::NeedEvidence(commands) = run.next(&case) else {
        panic!("it knows nothing yet")
    };
    let in_namespace = commands
        .iter()
        .filter(|command| {
            matches!(
                command,
                Command::Get {
                    scope: Scope::Namespace(_),
                    ..
                }
            )
        })
        .count();
    assert_eq!(in_namespace, 1);
    assert!(commands.len() <= 3);
}

fn spec(title: &str) -> IncidentSpec {
    IncidentSpec {
        title: title.into(),
        description: None,
        severity: None,
        target: None,
        alert: None,
        requested_by: None,
        approval_mode: ApprovalMode::Manual,
        revision_feedback: None,
        cancelled: false,
    }
}

#[test]
fn triage_reads_the_report_and_then_the_cluster() {
    let triage = commander::triage(&spec("logins are slow"), None);
    assert_eq!(
        (triage.category.as_str(), triage.impact, triage.severity),
        ("latency", Impact::Unknown, Severity::Medium)
    );
    assert_eq!(triage.agents, [Role::SreInvestigator, Role::CodeAnalyst]);
    let (case, _, _) = drive("crashloop", "checkout-1", "checkout");
    let triage = commander::triage(&spec("checkout pods restart"), Some(&case));
    assert_eq!(
        (triage.category.as_str(), triage.impact, triage.severity),
        ("availability", Impact::Outage, Severity::Critical)
    );
    let (case, _, _) = drive("healthy_noise", "search-1", "search");
    assert_eq!(
        commander::triage(&spec("errors in a log"), Some(&case)).impact,
        Impact::None
    );
    let mut given = spec("x");
    given.severity = Some(Severity::Low);
    assert_eq!(commander::triage(&given, None).severity, Severity::Low);
}

#[test]
fn a_policy_names_the_agents_that_look_and_never_leaves_nobody() {
    let routes = |value: serde_json::Value| serde_json::from_value::<Vec<Route>>(value).unwrap();
    let mut asked = spec("x");
    asked.severity = Some(Severity::High);
    asked.alert =
        serde_json::from_value(serde_json::json!({"source": "alertmanager", "name": "CertificateExpiry"})).unwrap();
    let agents = |value: serde_json::Value| {
        let triage = commander::triage(&asked, None);
        commander::routed(triage, &asked, &routes(value)).agents
    };
    let both = [Role::SreInvestigator, Role::CodeAnalyst];
    assert_eq!(agents(serde_json::json!([])), both);
    let one = serde_json::json!({"alertName": "CertificateExpiry", "agents": ["sre-investigator"]});
    assert_eq!(agents(serde_json::json!([one])), [Role::SreInvestigator]);
    // The first that fits.
    let severe = serde_json::json!({"minSeverity": "high", "agents": ["code-analyst"]});
    assert_eq!(agents(serde_json::json!([severe, one])), [Role::CodeAnalyst]);
    let worse = serde_json::json!({"minSeverity": "critical", "agents": ["code-analyst"]});
    assert_eq!(agents(serde_json::json!([worse])), both);
    let other = serde_json::json!({"alertName": "Other", "agents": ["code-analyst"]});
    assert_eq!(agents(serde_json::json!([other])), both);
    let nobody = serde_json::json!({"agents": ["commander"]});
    assert_eq!(agents(serde_json::json!([nobody])), both);
}

#[test]
fn what_speaks_against_a_diagnosis_is_a_concern_of_the_review() {
    let (case, reports, _) = drive("memory_leak", "catalog-1", "catalog");
    let mut found = commander::consolidate(&reports, &case);
    assert!(commander::review(&plan(), &found).concerns.is_empty());
    found
        .concerns
        .push("the code-analyst's model speaks against it".to_owned());
    let other = found.root_cause.as_ref().unwrap().finding.clone();
    found.root_cause.as_mut().unwrap().also.push(other);
    let concerns = commander::review(&plan(), &found).concerns;
    assert_eq!(concerns.len(), 2);
    assert!(
        concerns[0].contains("another cause") && concerns[1].contains("speaks against"),
        "{concerns:?}"
    );
}

fn plan() -> PlanStatus {
    serde_json::from_value(serde_json::json!({
        "revision": 1, "digest": "sha256:x", "risk": "medium", "summary": "s", "estimatedResolutionSeconds": 60,
        "actions": [{"id": "A1", "type": "RollbackRollout", "risk": "medium", "impact": "i", "command": ["kubectl"], "rollback": ["kubectl"],
            "evidence": ["E1"], "parameters": {},
            "target": {"apiVersion": "apps/v1", "kind": "Deployment", "namespace": "n", "name": "w", "uid": "u"}}]
    }))
    .unwrap()
}

#[test]
fn the_review_refuses_what_rests_on_nothing() {
    let (case, reports, _) = drive("memory_leak", "catalog-1", "catalog");
    let found = commander::consolidate(&reports, &case);
    let good = commander::review(&plan(), &found);
    assert_eq!(good.verdict, ReviewVerdict::Approve, "{:?}", good.reasons);
    assert!(good.conditions.iter().any(|condition| condition.contains("difference")));

    let mut baseless = plan();
    baseless.actions[0].evidence.clear();
    assert_eq!(commander::review(&baseless, &found).verdict, ReviewVerdict::Reject);
    let mut unpinned = plan();
    unpinned.actions[0].target.uid.clear();
    assert_eq!(commander::review(&unpinned, &found).verdict, ReviewVerdict::Reject);

    let mut nothing = found.clone();
    nothing.root_cause = None;
    nothing.verdict = Verdict::Unexplained;
    assert_eq!(commander::review(&plan(), &nothing).verdict, ReviewVerdict::Reject);
    let mut empty = plan();
    empty.actions.clear();
    empty.risk = Risk::Low;
    assert_eq!(commander::review(&empty, &nothing).verdict, ReviewVerdict::Approve);
}
