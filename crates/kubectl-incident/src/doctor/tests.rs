//! A healthy installation, and one fault planted into it at a time.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use firewatch_core::api::{Incident, definitions};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::facts::{Facts, Read};
use super::{Judgement, Level, judge, rights};

const IMAGE: &str =
    "localhost/firewatch-sandbox@sha256:1111111111111111111111111111111111111111111111111111111111111111";

fn of<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn guards(kind: &str) -> Vec<Value> {
    let text = include_str!("../../../../charts/firewatch/files/guards.yaml")
        .replace("FIREWATCH_OPERATOR_NAMESPACE", "firewatch-system")
        .replace("FIREWATCH_OPERATOR_ACCOUNT", "firewatch")
        .replace("FIREWATCH_SANDBOX_NAMESPACE", "firewatch-sandbox")
        .replace("FIREWATCH_SANDBOX_IMAGE", IMAGE);
    let all: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    all.into_iter().filter(|one| one["kind"] == kind).collect()
}

fn deployment() -> Deployment {
    of(json!({
        "metadata": {"name": "firewatch", "namespace": "firewatch-system", "labels": {"app.kubernetes.io/version": "0.1.0"}},
        "spec": {"replicas": 1, "selector": {}, "template": {"spec": {"containers": [{"name": "firewatch", "env": [
            {"name": "FIREWATCH_SANDBOX_NAMESPACE", "value": "firewatch-sandbox"}, {"name": "FIREWATCH_SANDBOX_IMAGE", "value": IMAGE}]}]}}},
        "status": {"readyReplicas": 1}
    }))
}

fn pod(name: &str, status: &Value) -> Pod {
    of(json!({"metadata": {"name": name}, "status": status}))
}

fn running() -> Value {
    json!({"containerStatuses": [{"name": "firewatch", "image": "", "imageID": "", "ready": true, "restartCount": 0, "state": {"running": {}}}]})
}

fn stuck(reason: &str, message: &str) -> Value {
    json!({"containerStatuses": [{"name": "c", "image": "", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"waiting": {"reason": reason, "message": message}}}]})
}

fn lease(holder: &str, renewed: &str) -> Read<Option<Lease>> {
    Read::Got(Some(of(
        json!({"spec": {"holderIdentity": holder, "renewTime": renewed, "leaseDurationSeconds": 15}}),
    )))
}

fn incident(condition: &str, status: &str, reason: &str) -> Incident {
    of(json!({
        "apiVersion": "firewatch.dev/v1alpha1", "kind": "Incident", "metadata": {"name": "a", "namespace": "shop"},
        "spec": {"title": "a"},
        "status": {"conditions": [{"type": condition, "status": status, "reason": reason, "message": "connection refused",
            "lastTransitionTime": "2026-03-01T02:55:00Z"}]}
    }))
}

fn healthy() -> Facts {
    Facts {
        now: "2026-03-01T03:00:00Z".parse().unwrap(),
        version: "0.1.0".into(),
        namespace: "firewatch-system".into(),
        sandbox_namespace: "firewatch-sandbox".into(),
        crds: Read::Got(definitions::all().to_vec()),
        policies: Read::Got(guards("ValidatingAdmissionPolicy").into_iter().map(of).collect()),
        bindings: Read::Got(guards("ValidatingAdmissionPolicyBinding").into_iter().map(of).collect()),
        deployments: Read::Got(vec![deployment()]),
        pods: Read::Got(vec![pod("firewatch-1", &running())]),
        lease: lease("firewatch-1", "2026-03-01T02:59:55.000000Z"),
        sandbox: Read::Got(Some(of(
            json!({"metadata": {"name": "firewatch-sandbox", "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}),
        ))),
        quotas: Read::Got(vec![of(
            json!({"metadata": {"name": "firewatch-sandbox"}, "status": {"hard": {"pods": "20"}, "used": {"pods": "3"}}}),
        )]),
        sandbox_pods: Read::Got(vec![pod("job-1", &running())]),
        accounts: Read::Got(
            [
                "sre-investigator",
                "code-analyst",
                "analyze",
                "remediation-executor",
                "default",
            ]
            .map(str::to_owned)
            .to_vec(),
        ),
        priority_class: Read::Got(true),
        rights: rights::asked("firewatch-system", "firewatch-sandbox")
            .into_iter()
            .map(|right| {
                let wanted = right.wanted;
                (right, Read::Got(wanted))
            })
            .collect(),
        incidents: Read::Got(vec![incident("AuditPersisted", "True", "Stored")]),
        remediation: Read::Got(vec!["shop".into()]),
    }
}

fn bad(facts: &Facts) -> Vec<Judgement> {
    judge::judge(facts)
        .into_iter()
        .filter(|one| one.level != Level::Well)
        .collect()
}

#[test]
fn a_healthy_installation_has_nothing_to_say() {
    assert_eq!(bad(&healthy()), []);
    assert!(judge::judge(&healthy()).len() >= 8, "each thing was looked at");
}

type Plant = fn(&mut Facts);

#[test]
fn each_planted_fault_is_named_with_its_remedy() {
    fn got<T>(read: &mut Read<T>) -> &mut T {
        match read {
            Read::Got(value) => value,
            Read::Not(why) => panic!("{why}"),
        }
    }
    let cases: Vec<(&str, Plant, &str, &str)> = vec![
        (
            "CRDs",
            |f| drop(got(&mut f.crds).remove(0)),
            "is not installed",
            "helm upgrade --install",
        ),
        (
            "CRDs",
            |f| got(&mut f.crds)[0].spec.versions[0].subresources = None,
            "was changed at",
            "of one version",
        ),
        (
            "Guards",
            |f| drop(got(&mut f.policies).remove(0)),
            "ValidatingAdmissionPolicy firewatch-",
            "helm upgrade",
        ),
        (
            "Guards",
            |f| got(&mut f.bindings)[0].spec.as_mut().unwrap().validation_actions = Some(vec!["Warn".into()]),
            "validationActions",
            "who changed it",
        ),
        (
            "Guards",
            |f| got(&mut f.policies)[0].spec.as_mut().unwrap().validations = None,
            "was changed at spec",
            "approvals rest on it",
        ),
        (
            "Operator",
            |f| got(&mut f.deployments).clear(),
            "no Deployment",
            "--operator-namespace",
        ),
        (
            "Operator",
            |f| got(&mut f.deployments).push(deployment()),
            "several Deployments",
            "delete deployment",
        ),
        (
            "Operator",
            |f| got(&mut f.deployments)[0].spec.as_mut().unwrap().replicas = Some(0),
            "scaled to 0",
            "--replicas=1",
        ),
        (
            "Operator",
            |f| f.pods = Read::Got(vec![pod("firewatch-1", &stuck("ImagePullBackOff", "not found"))]),
            "cannot be pulled",
            "image.repository",
        ),
        (
            "Operator",
            |f| f.pods = Read::Got(vec![pod("firewatch-1", &stuck("CrashLoopBackOff", "back-off"))]),
            "CrashLoopBackOff",
            "kubectl logs deployment/firewatch",
        ),
        (
            "Operator",
            |f| got(&mut f.deployments)[0].status.as_mut().unwrap().ready_replicas = None,
            "0 of 1 pods are ready (/readyz)",
            "kubectl logs",
        ),
        ("Leader", |f| f.lease = Read::Got(None), "no Lease", "rollout restart"),
        (
            "Leader",
            |f| f.lease = lease("firewatch-1", "2026-03-01T02:50:00.000000Z"),
            "last renewed 10m ago",
            "rollout restart",
        ),
        (
            "Leader",
            |f| f.lease = lease("laptop", "2026-03-01T02:59:58.000000Z"),
            "second operator",
            "find and stop it",
        ),
        (
            "Record",
            |f| f.incidents = Read::Got(vec![incident("AuditPersisted", "False", "Unreachable")]),
            "Unreachable: connection refused",
            "Postgres",
        ),
        (
            "Record",
            |f| {
                f.pods = Read::Got(vec![pod(
                    "firewatch-1",
                    &json!({"initContainerStatuses": [{"name": "migrate", "image": "", "imageID": "", "ready": false, "restartCount": 2,
                        "state": {"terminated": {"exitCode": 1}}}]}),
                )]);
            },
            "migration of pod firewatch-1 ended with exit code 1",
            "database.url",
        ),
        (
            "Sandbox",
            |f| f.sandbox = Read::Got(None),
            "does not exist",
            "sandbox.namespace",
        ),
        (
            "Sandbox",
            |f| got(&mut f.sandbox).as_mut().unwrap().metadata.labels = None,
            "does not enforce PodSecurity",
            "kubectl label namespace firewatch-sandbox",
        ),
        (
            "Sandbox",
            |f| got(&mut f.quotas).clear(),
            "no ResourceQuota",
            "sandbox.quota",
        ),
        (
            "Sandbox",
            |f| {
                let status = got(&mut f.quotas)[0].status.as_mut().unwrap();
                status.used = status.hard.clone();
            },
            "is used up: pods 20",
            "raise sandbox.quota",
        ),
        (
            "Sandbox",
            |f| f.accounts = Read::Got(vec![]),
            "ServiceAccount firewatch-sandbox/",
            "helm upgrade",
        ),
        (
            "Sandbox",
            |f| f.priority_class = Read::Got(false),
            "PriorityClass",
            "helm upgrade",
        ),
        (
            "Sandbox image",
            |f| f.sandbox_pods = Read::Got(vec![pod("job-1", &stuck("ErrImagePull", "unauthorized"))]),
            "cannot be pulled: pod job-1 says ErrImagePull: unauthorized",
            "pull secret",
        ),
        (
            "Sandbox image",
            |f| {
                f.sandbox_pods = Read::Got(vec![pod(
                    "job-1",
                    &stuck("CreateContainerError", "cannot load seccomp profile"),
                )]);
            },
            "seccomp",
            "sandbox.seccompProfile",
        ),
        (
            "Rights",
            |f| f.rights[0].1 = Read::Got(false),
            "firewatch-system/firewatch may not list incidents.firewatch.dev everywhere",
            "helm upgrade",
        ),
        (
            "Rights",
            |f| f.rights.last_mut().unwrap().1 = Read::Got(true),
            "remediation-executor may patch remediationapprovals.firewatch.dev everywhere, which it must never",
            "remove it",
        ),
    ];
    for (about, plant, says, remedy) in cases {
        let mut facts = healthy();
        plant(&mut facts);
        let found = bad(&facts);
        assert!(
            found.iter().any(|one| one.about == about
                && one.level == Level::Fault
                && one.says.contains(says)
                && one.remedy.contains(remedy)),
            "{about}: {says} / {remedy}\n{found:#?}"
        );
        assert!(found.iter().all(|one| !one.remedy.is_empty()), "{found:#?}");
    }
}

#[test]
fn what_works_and_will_hurt_is_a_warning() {
    let mut facts = healthy();
    facts.version = "0.2.0".into();
    facts.remediation = Read::Got(vec![]);
    facts.incidents = Read::Got(vec![incident("Stalled", "True", "SandboxFailed")]);
    let levels: Vec<(&str, Level)> = bad(&facts).iter().map(|one| (one.about, one.level)).collect();
    assert_eq!(
        levels,
        [
            ("Operator", Level::Warning),
            ("Namespaces", Level::Note),
            ("Incidents", Level::Warning)
        ]
    );
}

#[test]
fn what_could_not_be_read_is_never_called_healthy() {
    let mut facts = healthy();
    let no = || "forbidden".to_owned();
    facts.crds = Read::Not(no());
    facts.policies = Read::Not(no());
    facts.bindings = Read::Not(no());
    facts.deployments = Read::Not(no());
    facts.pods = Read::Not(no());
    facts.lease = Read::Not(no());
    facts.sandbox = Read::Not(no());
    facts.quotas = Read::Not(no());
    facts.sandbox_pods = Read::Not(no());
    facts.accounts = Read::Not(no());
    facts.priority_class = Read::Not(no());
    facts.incidents = Read::Not(no());
    facts.remediation = Read::Not(no());
    for (_, answer) in &mut facts.rights {
        *answer = Read::Not(no());
    }
    let all = judge::judge(&facts);
    assert!(
        all.iter()
            .all(|one| one.level == Level::NotRead || one.about == "Sandbox image"),
        "{all:#?}"
    );
}
