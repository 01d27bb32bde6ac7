//! What lies behind what is seen: who holds a quota, what serves a webhook, who cannot drain, what could not be read.

use firewatch_core::diagnosis::{CaseFile, Remedy, Verdict, diagnose};
use firewatch_core::sandbox::command::{Command, Resource};
use firewatch_core::sandbox::evidence::EvidenceState;
use serde_json::{Value, json};

use crate::case::{App, Case, EARLIER, LONG_AGO, NOW, NS, running, service, with};

const SHOP: (&str, &str) = ("Deployment", "shop");

/// A CronJob that runs each minute, with so many runs that have not ended.
fn with_runs(case: Case, runs: usize, cpu: &str) -> Case {
    runs_with(case, runs, &json!({"requests": {"cpu": cpu}}))
}

fn runs_with(mut case: Case, runs: usize, resources: &Value) -> Case {
    case = case.with(json!({"apiVersion": "batch/v1", "kind": "CronJob",
        "metadata": {"name": "reindex", "namespace": NS, "uid": "c", "creationTimestamp": LONG_AGO},
        "spec": {"schedule": "*/1 * * * *", "concurrencyPolicy": "Allow", "jobTemplate": {"spec": {"template": {
            "spec": {"restartPolicy": "Never", "containers": [{"name": "app", "image": "i"}]}}}}}}));
    for n in 0..runs {
        let job = format!("reindex-{n}");
        case = case
            .with(json!({"apiVersion": "batch/v1", "kind": "Job",
                "metadata": {"name": job, "namespace": NS, "uid": job, "ownerReferences":
                    [{"apiVersion": "batch/v1", "kind": "CronJob", "name": "reindex", "uid": "c", "controller": true}]},
                "spec": {"template": {"spec": {"containers": [{"name": "app", "image": "i"}]}}}, "status": {"active": 1}}))
            .with(json!({"apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": format!("{job}-x"), "namespace": NS, "creationTimestamp": EARLIER, "ownerReferences":
                    [{"apiVersion": "batch/v1", "kind": "Job", "name": job, "uid": job, "controller": true}]},
                "spec": {"nodeName": "node-a", "restartPolicy": "Never", "containers": [{"name": "app", "image": "i",
                    "resources": resources}]},
                "status": {"phase": "Running", "containerStatuses": [running("app")],
                    "conditions": [{"type": "Ready", "status": "True"}]}}));
    }
    case
}

fn over_quota(each: &str, used: &str, limited: &str) -> Case {
    over_quota_of("requests.cpu", each, used, limited)
}

fn over_quota_of(resource: &str, each: &str, used: &str, limited: &str) -> Case {
    let mut app = App::new("shop").without_pods();
    app.ready = false;
    app.alone()
        .with(json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "team", "namespace": NS},
            "spec": {"hard": {resource: limited}}, "status": {"hard": {resource: limited}, "used": {resource: used}}}))
        .warning(
            "ReplicaSet",
            "shop-6d4b9",
            "FailedCreate",
            &format!(
                "Error creating: pods \"shop-6d4b9-x\" is forbidden: exceeded quota: team, requested: {resource}={each}, used: {resource}={used}, limited: {resource}={limited}"
            ),
        )
}

#[test]
fn a_cron_job_whose_runs_hold_the_quota_is_suspended_and_the_quota_stays() {
    let cause = with_runs(over_quota("200m", "800m", "900m"), 2, "400m").expect(
        SHOP,
        "CronJobTakesQuota",
        "CronJob/reindex",
        &["800m", "team", "Allow"],
    );
    assert!(matches!(cause.remedy, Some(Remedy::SuspendCronJob { .. })));
}

#[test]
fn whatever_a_quota_counts_is_counted_of_the_runs_that_hold_it() {
    for (resource, each, used, limited, resources) in [
        (
            "requests.cpu",
            "200m",
            "800m",
            "900m",
            json!({"requests": {"cpu": "400m"}}),
        ),
        ("cpu", "200m", "800m", "900m", json!({"requests": {"cpu": "400m"}})),
        ("limits.cpu", "200m", "800m", "900m", json!({"limits": {"cpu": "400m"}})),
        (
            "requests.memory",
            "200Mi",
            "800Mi",
            "900Mi",
            json!({"requests": {"memory": "400Mi"}}),
        ),
        (
            "memory",
            "200Mi",
            "800Mi",
            "900Mi",
            json!({"requests": {"memory": "400Mi"}}),
        ),
        (
            "limits.memory",
            "200Mi",
            "800Mi",
            "900Mi",
            json!({"limits": {"memory": "400Mi"}}),
        ),
        ("pods", "1", "2", "2", json!({})),
    ] {
        let case = runs_with(over_quota_of(resource, each, used, limited), 2, &resources);
        let cause = case.cause(SHOP.0, SHOP.1);
        assert_eq!(cause.category, "CronJobTakesQuota", "{resource}: {}", cause.summary);
        // Where the runs hold something else, the quota is too small.
        let other = runs_with(
            over_quota_of(resource, each, used, limited),
            2,
            &json!({"requests": {"ephemeral-storage": "1Gi"}}),
        );
        let is_by_pod = resource == "pods";
        assert_eq!(
            other.cause(SHOP.0, SHOP.1).category == "QuotaExceeded",
            !is_by_pod,
            "{resource}"
        );
    }
}

#[test]
fn a_quota_that_is_too_small_without_the_cron_job_too_is_the_cause() {
    for case in [
        with_runs(over_quota("200m", "800m", "900m"), 1, "50m"),
        with_runs(over_quota("200m", "800m", "900m"), 0, "400m"),
        with_runs(over_quota("1", "800m", "900m"), 2, "400m"),
    ] {
        let cause = case.cause(SHOP.0, SHOP.1);
        assert_eq!(cause.category, "QuotaExceeded", "{}", cause.summary);
    }
}

fn webhook(host: &str) -> Case {
    let mut app = App::new("shop").without_pods();
    app.ready = false;
    app.alone().warning(
        "ReplicaSet",
        "shop-6d4b9",
        "FailedCreate",
        &format!(
            "Error creating: Internal error occurred: failed calling webhook \"check.example.com\": failed to call webhook: Post \"https://{host}:443/check?timeout=5s\": no endpoints available for service \"gate\""
        ),
    )
}

/// What serves the webhook, with 0 replicas; `generation` 1: made so.
fn gate(case: Case, generation: i64) -> Case {
    let labels = json!({"app": "gate"});
    case.with(service("gate", labels.clone(), json!({"port": 443, "targetPort": 8443})))
        .with(json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "gate", "namespace": NS, "uid": "g", "generation": generation, "creationTimestamp": LONG_AGO},
            "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels},
                "spec": {"containers": [{"name": "app", "image": "i"}]}}}, "status": {}}))
}

#[test]
fn a_webhook_that_the_namespace_itself_serves_leads_on_to_its_pods() {
    let host = format!("gate.{NS}.svc");
    let gate_name = "Deployment/gate";
    let made = gate(webhook(&host), 1).expect(SHOP, "ScaledToZero", gate_name, &["0 replicas"]);
    assert!(
        matches!(made.remedy, Some(Remedy::Manual { .. })),
        "no number of replicas is in evidence"
    );
    let scaled = gate(webhook(&host), 7).expect(SHOP, "ScaledToZero", gate_name, &["0 replicas"]);
    assert!(matches!(scaled.remedy, Some(Remedy::ScaleUp { to: 1, .. })));
    // Served from elsewhere: what is behind it is not seen from here.
    gate(webhook("gate.mesh.svc"), 1).expect(SHOP, "WebhookFails", "Deployment/shop", &["gate.mesh.svc"]);
}

fn caller(log: &str) -> Case {
    let app = App::new("shop").unready();
    let pod = app.pod();
    app.alone().log(&pod, log)
}

const REFUSED: &str = "ERROR cannot reach ledger:8080: dial tcp ledger:8080: connect: connection refused\n";

#[test]
fn a_list_of_services_that_was_not_read_is_no_word_about_what_is_outside() {
    let mut evidence = caller(&REFUSED.repeat(6)).evidence();
    let split = evidence
        .iter()
        .position(
            |one| matches!(&one.command, Command::Get { resources, .. } if resources.contains(&Resource::Services)),
        )
        .unwrap();
    let Command::Get { resources, scope, name } = evidence[split].command.clone() else {
        unreachable!()
    };
    let mut timed_out = evidence[split].clone();
    timed_out.id = "E99".into();
    timed_out.command = Command::Get {
        resources: vec![Resource::Services],
        scope: scope.clone(),
        name: name.clone(),
    };
    timed_out.state = EvidenceState::TimedOut;
    timed_out.output = String::new();
    evidence[split].command = Command::Get {
        resources: resources
            .into_iter()
            .filter(|resource| *resource != Resource::Services)
            .collect(),
        scope,
        name,
    };
    evidence.push(timed_out);
    let target = firewatch_core::api::ObjectName::namespaced("Deployment", NS, "shop");
    let diagnosis = diagnose(&CaseFile::from_evidence(
        NS,
        Some(target),
        NOW.parse().unwrap(),
        &evidence,
    ));
    assert_eq!(diagnosis.verdict, Verdict::Unexplained, "{:#?}", diagnosis.root_cause);
    assert!(
        diagnosis
            .findings
            .iter()
            .all(|finding| !finding.summary.contains("outside"))
    );
    assert!(
        diagnosis
            .findings
            .iter()
            .any(|finding| finding.summary.contains("could not be read"))
    );
    // Read completely, the same list shows that there is no such Service.
    let known = caller(&REFUSED.repeat(6)).cause("Deployment", "shop");
    assert_eq!(known.category, "DependencyUnreachable", "{}", known.summary);
}

/// A ledger that is ready, listens on 8080, and is closed to all but 8080; its Service leads to `target`.
fn closed(target: i32, admitted: i32) -> Case {
    let server = App::new("ledger").container(json!({"ports": [{"containerPort": 8080}]}));
    server
        .add(caller(&REFUSED.repeat(6)))
        .with(service("ledger", json!({"app": "ledger"}), json!({"port": 8080, "targetPort": target})))
        .with(json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "closed", "namespace": NS},
            "spec": {"podSelector": {"matchLabels": {"app": "ledger"}}, "policyTypes": ["Ingress"],
                "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "shop"}}}], "ports": [{"port": admitted}]}]}}))
}

#[test]
fn a_refusal_by_a_port_that_no_pod_has_is_not_the_policy_s() {
    closed(9999, 8080).expect(SHOP, "ServiceWrongPort", "Service/ledger", &["9999"]);
    closed(8080, 7000).expect(SHOP, "NetworkPolicyBlocks", "NetworkPolicy/closed", &[]);
}

fn budget(case: Case, pods: i32) -> Case {
    case.with(json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "ledger", "namespace": NS},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "ledger"}}},
        "status": {"disruptionsAllowed": 0, "currentHealthy": pods, "desiredHealthy": 1, "expectedPods": pods}}))
}

fn drain(line: &str, fields: Value) -> Case {
    let case = App::new("ledger").spec(fields).alone();
    case.with(json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "drain", "namespace": NS, "uid": "j"},
            "spec": {"template": {"spec": {"containers": [{"name": "app", "image": "i"}]}}}, "status": {"active": 1}}))
        .with(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "drain-x", "namespace": NS, "creationTimestamp": EARLIER,
                "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": "drain", "uid": "j", "controller": true}]},
            "spec": {"nodeName": "node-a", "restartPolicy": "Never", "containers": [{"name": "app", "image": "i"}]},
            "status": {"phase": "Running", "containerStatuses": [running("app")], "conditions": [{"type": "Ready", "status": "True"}]}}))
        .log("drain-x", line)
}

const HELD: &str = "evicting pod ledger-6d4b9-x7k2p\nerror when evicting pods/ledger-6d4b9-x7k2p (will retry after 5s): Cannot evict pod as it would violate the pod's disruption budget.\n";

#[test]
fn a_drain_that_a_budget_holds_needs_one_more_pod() {
    let object = "PodDisruptionBudget/ledger";
    let cause = budget(drain(&HELD.repeat(4), json!({})), 1).expect(
        ("Job", "drain"),
        "BudgetBlocksDisruption",
        object,
        &["minAvailable"],
    );
    assert!(
        matches!(&cause.remedy, Some(Remedy::ScaleUp { workload, from: 1, to: 2 }) if workload.name == "ledger"),
        "{:?}",
        cause.remedy
    );
    // One pod with a claim of its own may not be run twice.
    let claimed = json!({"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "ledger"}}]});
    let cause = budget(drain(&HELD.repeat(4), claimed), 1).cause("Job", "drain");
    assert!(!matches!(cause.remedy, Some(Remedy::ScaleUp { .. })));
    // The same budget, and nobody who is held by it.
    budget(drain("working\n", json!({})), 1).never(("Job", "drain"), "BudgetBlocksDisruption");
}

fn suspended(line: &str, ready: bool, suspend: bool) -> Case {
    let mut app = App::new("shop");
    if !ready {
        app = app.unready();
    }
    let pod = app.pod();
    with_runs(app.alone(), 0, "1")
        .with(with(
            json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "load-prices", "namespace": NS, "creationTimestamp": LONG_AGO}}),
            json!({"spec": {"schedule": "0 * * * *", "suspend": suspend, "jobTemplate": {"spec": {"template": {"spec": {"containers": [{"name": "app", "image": "i"}]}}}}}}),
        ))
        .log(&pod, &line.repeat(5))
}

#[test]
fn a_program_that_waits_for_a_suspended_cron_job_names_it() {
    let line = "ERROR prices are too old, not ready until load-prices has run\n";
    let cause =
        suspended(line, false, true).expect(SHOP, "CronJobSuspended", "CronJob/load-prices", &["suspended", "shop"]);
    assert!(matches!(cause.remedy, Some(Remedy::ResumeCronJob { .. })));
    for other in [
        suspended("ERROR cache is cold, not ready\n", false, true),
        suspended("ERROR not ready until load-prices-eu has run\n", false, true),
        suspended(line, false, false),
        suspended(line, true, true),
    ] {
        other.never(SHOP, "CronJobSuspended");
    }
}
