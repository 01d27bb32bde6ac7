//! Sandbox pods: the one shape that is admitted, and everything that the operator could otherwise do with a Job; and its records.

use firewatch_core::api::Role;
use firewatch_core::sandbox::job::{JobPlan, RequestLane, Work, build};
use serde_json::{Value, json};

use crate::wire::{OPERATOR, SANDBOX, Table, Who, client, delete, post, send};

fn work(lane: &str) -> Work {
    let request = |role, lane| Work::Request {
        role,
        lane,
        request: "fw-r".into(),
        evidence: Vec::new(),
    };
    match lane {
        "observe" => request(Role::SreInvestigator, RequestLane::Observe),
        "observe as code-analyst" => request(Role::CodeAnalyst, RequestLane::Observe),
        "analyze" => Work::Request {
            role: Role::CodeAnalyst,
            lane: RequestLane::Analyze,
            request: "fw-r".into(),
            evidence: vec![("E1".into(), "fw-e1".into())],
        },
        _ => Work::Approval {
            rollback: lane == "rollback",
            namespace: "shop".into(),
            name: "web-r1".into(),
            uid: "6d97b55f-b6be-4259-b319-19ad03d97746".into(),
        },
    }
}

/// The pod that the Job controller makes from our own Job.
fn pod(image: &str, lane: &str, change: impl FnOnce(&mut Value)) -> Value {
    let job = build(&JobPlan {
        name: "fw-test".into(),
        namespace: SANDBOX.into(),
        image: image.into(),
        incident_uid: "6d97b55f-b6be-4259-b319-19ad03d97746".into(),
        incident: "shop/web".into(),
        work: work(lane),
    });
    let template = serde_json::to_value(job.spec.unwrap().template).unwrap();
    let mut pod =
        json!({ "apiVersion": "v1", "kind": "Pod", "metadata": template["metadata"], "spec": template["spec"] });
    pod["metadata"]["generateName"] = json!("p-");
    pod["metadata"]["namespace"] = json!(SANDBOX);
    change(&mut pod);
    pod
}

fn container(pod: &mut Value) -> &mut Value {
    &mut pod["spec"]["containers"][0]
}

fn push(list: &mut Value, item: Value) {
    match list.as_array_mut() {
        Some(items) => items.push(item),
        None => *list = json!([item]),
    }
}

fn volume(pod: &mut Value, name: &str, mut source: Value, path: Option<&str>) {
    source["name"] = json!(name);
    push(&mut pod["spec"]["volumes"], source);
    if let Some(path) = path {
        push(
            &mut container(pod)["volumeMounts"],
            json!({ "name": name, "mountPath": path, "readOnly": true }),
        );
    }
}

fn named<'a>(list: &'a mut Value, name: &str) -> &'a mut Value {
    list.as_array_mut()
        .unwrap()
        .iter_mut()
        .find(|v| v["name"] == name)
        .unwrap()
}

fn token(pod: &mut Value) -> &mut Value {
    named(&mut pod["spec"]["volumes"], "token")
}

type Change = fn(&mut Value);

const RUNNER: &str = "runs the runner, and nothing else";
const ALONE: &str = "one container and nothing beside it";
const VOLUMES: &str = "each of its own form";
const MOUNTS: &str = "nothing is mounted anywhere else";
const ARGUMENTS: &str = "is told the namespace, name and uid of an approval";
const LANE: &str = "each lane has its own service account";
const NAMES: &str = "names, devices and processes";
const PLACE: &str = "neither displaces a workload";
const BOUNDS: &str = "bounded in cpu, memory and time";
const LABELS: &str = "lane label";
const TOKEN: &str = "explicit, short-lived volume only";
const RESTRICTED: &str = "violates PodSecurity \"restricted";

/// what, lane, change, why it is refused
const REFUSED: &[(&str, &str, Change, &str)] = &[
    (
        "analyze with a token",
        "analyze",
        |p| p["spec"]["automountServiceAccountToken"] = json!(true),
        TOKEN,
    ),
    (
        "a year-long automounted token",
        "remediate",
        |p| p["spec"]["automountServiceAccountToken"] = json!(true),
        TOKEN,
    ),
    (
        "a token of an hour",
        "remediate",
        |p| token(p)["projected"]["sources"][0]["serviceAccountToken"]["expirationSeconds"] = json!(3600),
        VOLUMES,
    ),
    (
        "a token for another audience",
        "remediate",
        |p| token(p)["projected"]["sources"][0]["serviceAccountToken"]["audience"] = json!("vault"),
        VOLUMES,
    ),
    (
        "a token in the analyze lane",
        "analyze",
        |p| {
            volume(
                p,
                "token",
                json!({ "projected": { "sources": [{ "serviceAccountToken": { "path": "token", "expirationSeconds": 600 } }] } }),
                None,
            );
        },
        VOLUMES,
    ),
    (
        "observe as remediation-executor",
        "observe",
        |p| p["spec"]["serviceAccountName"] = json!("remediation-executor"),
        LANE,
    ),
    (
        "remediate as sre-investigator",
        "remediate",
        |p| p["spec"]["serviceAccountName"] = json!("sre-investigator"),
        LANE,
    ),
    (
        "the default service account",
        "observe",
        |p| p["spec"]["serviceAccountName"] = json!("default"),
        LANE,
    ),
    (
        "another image",
        "remediate",
        |p| container(p)["image"] = json!("docker.io/library/busybox:1"),
        RUNNER,
    ),
    (
        "an environment variable",
        "remediate",
        |p| container(p)["env"] = json!([{ "name": "LD_PRELOAD", "value": "/tmp/x.so" }]),
        RUNNER,
    ),
    (
        "environment from a ConfigMap",
        "remediate",
        |p| container(p)["envFrom"] = json!([{ "configMapRef": { "name": "fw-r" } }]),
        RUNNER,
    ),
    (
        "another command",
        "remediate",
        |p| container(p)["command"] = json!(["/bin/sh", "-c", "id"]),
        RUNNER,
    ),
    (
        "no command",
        "remediate",
        |p| container(p)["command"] = Value::Null,
        RUNNER,
    ),
    (
        "another working directory",
        "remediate",
        |p| container(p)["workingDir"] = json!("/tmp"),
        RUNNER,
    ),
    (
        "a postStart hook",
        "remediate",
        |p| container(p)["lifecycle"] = json!({ "postStart": { "exec": { "command": ["id"] } } }),
        RUNNER,
    ),
    (
        "an exec probe",
        "remediate",
        |p| container(p)["livenessProbe"] = json!({ "exec": { "command": ["id"] } }),
        RUNNER,
    ),
    (
        "a port",
        "observe",
        |p| container(p)["ports"] = json!([{ "containerPort": 8080 }]),
        RUNNER,
    ),
    ("a terminal", "observe", |p| container(p)["tty"] = json!(true), RUNNER),
    (
        "an argument too many",
        "remediate",
        |p| push(&mut container(p)["args"], json!("x")),
        ARGUMENTS,
    ),
    (
        "an option among the arguments",
        "remediate",
        |p| container(p)["args"][1] = json!("--kubeconfig=/tmp/x"),
        ARGUMENTS,
    ),
    (
        "an argument in the observe lane",
        "observe",
        |p| push(&mut container(p)["args"], json!("x")),
        ARGUMENTS,
    ),
    (
        "a lane that does not exist",
        "observe",
        |p| {
            container(p)["args"][0] = json!("destroy");
            p["metadata"]["labels"]["firewatch.dev/lane"] = json!("destroy");
        },
        LANE,
    ),
    (
        "an init container",
        "remediate",
        |p| {
            let mut c = container(p).clone();
            c["name"] = json!("x");
            p["spec"]["initContainers"] = json!([c]);
        },
        ALONE,
    ),
    (
        "a second container",
        "remediate",
        |p| {
            let mut c = container(p).clone();
            c["name"] = json!("y");
            push(&mut p["spec"]["containers"], c);
        },
        ALONE,
    ),
    (
        "a mounted request in the remediate lane",
        "remediate",
        |p| volume(p, "request", json!({ "configMap": { "name": "fw-r" } }), None),
        VOLUMES,
    ),
    (
        "a mounted secret",
        "observe",
        |p| volume(p, "r", json!({ "secret": { "secretName": "r" } }), None),
        VOLUMES,
    ),
    (
        "a claim for a disk",
        "observe",
        |p| {
            volume(
                p,
                "r",
                json!({ "ephemeral": { "volumeClaimTemplate": { "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } } } } }),
                None,
            );
        },
        VOLUMES,
    ),
    (
        "a ConfigMap that is not the operator's own",
        "observe",
        |p| named(&mut p["spec"]["volumes"], "request")["configMap"]["name"] = json!("kube-root-ca.crt"),
        VOLUMES,
    ),
    (
        "a program over the runner, from an annotation (downward API)",
        "remediate",
        |p| {
            p["metadata"]["annotations"]["firewatch.dev/x"] = json!("#!/bin/sh");
            volume(
                p,
                "v",
                json!({ "projected": { "defaultMode": 493, "sources": [{ "downwardAPI": { "items": [{ "path": "sandbox-runner", "fieldRef": { "fieldPath": "metadata.annotations['firewatch.dev/x']" } }] } }] } }),
                Some("/usr/local/bin"),
            );
        },
        VOLUMES,
    ),
    (
        "the same, as a downwardAPI volume",
        "remediate",
        |p| {
            volume(
                p,
                "v",
                json!({ "downwardAPI": { "items": [{ "path": "sandbox-runner", "fieldRef": { "fieldPath": "metadata.annotations" } }] } }),
                None,
            );
        },
        VOLUMES,
    ),
    (
        "the same, inside the token volume",
        "remediate",
        |p| {
            token(p)["projected"]["sources"][2]["downwardAPI"]["items"] =
                json!([{ "path": "sandbox-runner", "fieldRef": { "fieldPath": "metadata.annotations" } }]);
        },
        VOLUMES,
    ),
    (
        "a program over the runner, from kube-root-ca.crt",
        "remediate",
        |p| {
            token(p)["projected"]["sources"][1]["configMap"]["items"] =
                json!([{ "key": "ca.crt", "path": "sandbox-runner" }]);
        },
        VOLUMES,
    ),
    (
        "another trust anchor",
        "remediate",
        |p| token(p)["projected"]["sources"][1]["configMap"]["name"] = json!("fw-ca"),
        VOLUMES,
    ),
    (
        "the token volume over the runner",
        "remediate",
        |p| named(&mut container(p)["volumeMounts"], "token")["mountPath"] = json!("/usr/local/bin"),
        MOUNTS,
    ),
    (
        "a request over the runner",
        "observe",
        |p| named(&mut container(p)["volumeMounts"], "request")["mountPath"] = json!("/usr/local/bin"),
        MOUNTS,
    ),
    (
        "a request over the runner, by a sub path",
        "observe",
        |p| {
            let m = named(&mut container(p)["volumeMounts"], "request");
            m["mountPath"] = json!("/usr/local/bin/sandbox-runner");
            m["subPath"] = json!("x");
        },
        MOUNTS,
    ),
    (
        "a writable request",
        "observe",
        |p| named(&mut container(p)["volumeMounts"], "request")["readOnly"] = json!(false),
        MOUNTS,
    ),
    (
        "evidence outside its folder",
        "analyze",
        |p| named(&mut container(p)["volumeMounts"], "evidence-e1")["mountPath"] = json!("/evidence/../usr/local/bin"),
        MOUNTS,
    ),
    (
        "scratch space over /etc",
        "remediate",
        |p| named(&mut container(p)["volumeMounts"], "tmp")["mountPath"] = json!("/etc"),
        MOUNTS,
    ),
    (
        "scratch space on the disk",
        "observe",
        |p| named(&mut p["spec"]["volumes"], "tmp")["emptyDir"] = json!({}),
        VOLUMES,
    ),
    (
        "more scratch space",
        "observe",
        |p| named(&mut p["spec"]["volumes"], "tmp")["emptyDir"]["sizeLimit"] = json!("2Gi"),
        VOLUMES,
    ),
    (
        "host aliases",
        "remediate",
        |p| p["spec"]["hostAliases"] = json!([{ "ip": "203.0.113.1", "hostnames": ["kubernetes.default.svc"] }]),
        NAMES,
    ),
    (
        "another resolver",
        "remediate",
        |p| {
            p["spec"]["dnsPolicy"] = json!("None");
            p["spec"]["dnsConfig"] = json!({ "nameservers": ["203.0.113.1"] });
        },
        NAMES,
    ),
    (
        "service links",
        "remediate",
        |p| p["spec"]["enableServiceLinks"] = Value::Null,
        NAMES,
    ),
    (
        "a shared process namespace",
        "remediate",
        |p| p["spec"]["shareProcessNamespace"] = json!(true),
        NAMES,
    ),
    (
        "another try after a failure",
        "remediate",
        |p| p["spec"]["restartPolicy"] = json!("OnFailure"),
        NAMES,
    ),
    (
        "an anti-affinity that keeps workloads away",
        "observe",
        |p| p["spec"]["affinity"] = json!({ "podAntiAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": [{ "topologyKey": "kubernetes.io/hostname", "namespaceSelector": {}, "labelSelector": {} }] } }),
        PLACE,
    ),
    (
        "a priority that evicts workloads",
        "observe",
        |p| p["spec"]["priorityClassName"] = json!("system-cluster-critical"),
        PLACE,
    ),
    (
        "a node of its choice",
        "remediate",
        |p| p["spec"]["nodeName"] = json!("lab"),
        PLACE,
    ),
    (
        "a node by label",
        "remediate",
        |p| p["spec"]["nodeSelector"] = json!({ "x": "y" }),
        PLACE,
    ),
    (
        "a toleration of everything",
        "remediate",
        |p| p["spec"]["tolerations"] = json!([{ "operator": "Exists" }]),
        PLACE,
    ),
    (
        "another scheduler",
        "remediate",
        |p| p["spec"]["schedulerName"] = json!("x"),
        PLACE,
    ),
    (
        "more cpu",
        "observe",
        |p| container(p)["resources"]["limits"]["cpu"] = json!("2"),
        BOUNDS,
    ),
    (
        "more memory",
        "observe",
        |p| container(p)["resources"]["limits"]["memory"] = json!("8Gi"),
        BOUNDS,
    ),
    (
        "no limits",
        "observe",
        |p| container(p)["resources"] = json!({ "requests": { "cpu": "20m", "memory": "64Mi" } }),
        BOUNDS,
    ),
    (
        "more time",
        "observe",
        |p| p["spec"]["activeDeadlineSeconds"] = json!(3600),
        BOUNDS,
    ),
    (
        "no end",
        "remediate",
        |p| p["spec"]["activeDeadlineSeconds"] = Value::Null,
        BOUNDS,
    ),
    (
        "a writable root",
        "remediate",
        |p| container(p)["securityContext"]["readOnlyRootFilesystem"] = json!(false),
        "uid 1000 on a read-only root",
    ),
    (
        "another uid",
        "remediate",
        |p| container(p)["securityContext"]["runAsUser"] = json!(1001),
        "uid 1000 on a read-only root",
    ),
    (
        "the log as termination message",
        "observe",
        |p| container(p)["terminationMessagePolicy"] = json!("FallbackToLogsOnError"),
        "termination message is the runner's own",
    ),
    (
        "a foreign annotation (CNI, injection)",
        "remediate",
        |p| p["metadata"]["annotations"]["k8s.v1.cni.cncf.io/networks"] = json!("x"),
        LABELS,
    ),
    (
        "the lane label of another lane",
        "analyze",
        |p| p["metadata"]["labels"]["firewatch.dev/lane"] = json!("observe"),
        LABELS,
    ),
    (
        "a finalizer that nobody removes",
        "observe",
        |p| p["metadata"]["finalizers"] = json!(["firewatch.dev/x"]),
        LABELS,
    ),
    (
        "privileged",
        "observe",
        |p| {
            // Not beside it: the API server refuses the two together before any guard is asked.
            container(p)["securityContext"]["allowPrivilegeEscalation"] = Value::Null;
            container(p)["securityContext"]["privileged"] = json!(true);
        },
        RESTRICTED,
    ),
    (
        "the host's network",
        "observe",
        |p| p["spec"]["hostNetwork"] = json!(true),
        RESTRICTED,
    ),
    (
        "a path of the host",
        "observe",
        |p| volume(p, "h", json!({ "hostPath": { "path": "/" } }), None),
        RESTRICTED,
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn only_the_runner_in_its_one_shape_is_admitted_to_the_sandbox() {
    let client = client().await;
    let deployment = send(
        &client,
        Who::Admin,
        &crate::wire::Call {
            method: "GET",
            path: "/apis/apps/v1/namespaces/firewatch-system/deployments/firewatch".into(),
            body: Value::Null,
        },
    )
    .await
    .unwrap();
    let env = deployment["spec"]["template"]["spec"]["containers"][0]["env"]
        .as_array()
        .unwrap()
        .clone();
    let image = env.iter().find(|e| e["name"] == "FIREWATCH_SANDBOX_IMAGE").unwrap()["value"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = format!("/api/v1/namespaces/{SANDBOX}/pods?dryRun=All");
    let mut t = Table::default();
    for lane in ["observe", "observe as code-analyst", "analyze", "remediate", "rollback"] {
        t.allowed(&client, lane, Who::Admin, post(&path, pod(&image, lane, |_| {})))
            .await;
        let by_controller = pod(&image, lane, |p| {
            p["metadata"]["finalizers"] = json!(["batch.kubernetes.io/job-tracking"]);
            p["metadata"]["labels"]["job-name"] = json!("x");
        });
        t.allowed(
            &client,
            &format!("{lane}, with what the Job controller adds"),
            Who::Admin,
            post(&path, by_controller),
        )
        .await;
    }
    for (what, lane, change, why) in REFUSED {
        t.refused(&client, what, Who::Admin, post(&path, pod(&image, lane, change)), why)
            .await;
    }
    t.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_records_are_immutable_and_the_trust_anchor_is_not_its_own() {
    let client = client().await;
    let path = format!("/api/v1/namespaces/{SANDBOX}/configmaps");
    let config_map = |name: &str, immutable: bool| json!({ "apiVersion": "v1", "kind": "ConfigMap", "immutable": immutable, "metadata": { "name": name }, "data": { "a": "b" } });
    let operator = Who::Account(OPERATOR);
    let own = "the operator's ConfigMaps are immutable and named fw-*";
    let mut t = Table::default();
    let dry = format!("{path}?dryRun=All");
    t.allowed(&client, "a record", operator, post(&dry, config_map("fw-x", true)))
        .await;
    t.refused(
        &client,
        "a mutable one",
        operator,
        post(&dry, config_map("fw-x", false)),
        own,
    )
    .await;
    t.refused(
        &client,
        "another name",
        operator,
        post(&dry, config_map("evil", true)),
        own,
    )
    .await;
    t.refused(
        &client,
        "the trust anchor is deleted",
        operator,
        delete(format!("{path}/kube-root-ca.crt?dryRun=All")),
        own,
    )
    .await;
    t.ends();
}
