//! From a claim that is gone to a pod that does not go: what stops pods on their way in and out.

use serde_json::json;

use crate::case::{App, EARLIER, LONG_AGO, NOW, claim};

const APP: (&str, &str) = ("Deployment", "store");

#[test]
fn a_claim_that_lost_its_volume_is_the_cause() {
    App::new("store")
        .spec(json!({"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "store-data"}}]}))
        .waiting("ContainerCreating", "")
        .alone()
        .with(claim(
            "store-data",
            json!({"spec": {"volumeName": "pv-7"}, "status": {"phase": "Lost"}}),
        ))
        .expect(
            APP,
            "ClaimLost",
            "PersistentVolumeClaim/store-data",
            &["has lost its volume"],
        );
}

#[test]
fn a_sandbox_that_the_node_cannot_make_counts_while_the_pod_waits() {
    const SAID: &str = "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to setup network for sandbox: plugin type=\"calico\" failed (add): error getting ClusterInformation: connection is unauthorized";
    let app = App::new("store").waiting("ContainerCreating", "");
    let pod = app.pod();
    app.alone().warning("Pod", &pod, "FailedCreatePodSandBox", SAID).expect(
        APP,
        "PodSandboxFails",
        "Deployment/store",
        &["cannot make the pod's sandbox", "calico"],
    );
    App::new("store")
        .alone()
        .warning("Pod", &pod, "FailedCreatePodSandBox", SAID)
        .healthy("Deployment", "store");
}

#[test]
fn a_start_that_the_run_time_refuses_says_why() {
    for (message, category) in [
        (
            "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: error during container init: exec: \"app\": chdir to cwd (\"/srv/app\") set in config.json failed: permission denied: unknown",
            "WorkingDirectoryMissing",
        ),
        (
            "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: unable to apply cgroup configuration: unit already exists: unknown",
            "CannotStart",
        ),
    ] {
        App::new("store")
            .waiting("RunContainerError", message)
            .alone()
            .expect(APP, category, "Deployment/store", &[]);
    }
}

#[test]
fn a_pod_that_the_kubelet_refuses_has_failed_for_the_nodes_reason() {
    for (reason, message) in [
        (
            "OutOfcpu",
            "Pod was rejected: Node didn't have enough resource: cpu, requested: 2000, used: 3900, capacity: 4000",
        ),
        ("NodeAffinity", "Pod was rejected: Predicate NodeAffinity failed"),
        (
            "UnexpectedAdmissionError",
            "Pod was rejected: Allocate failed due to no healthy devices present",
        ),
    ] {
        let mut app = App::new("store").status(json!({"reason": reason, "message": message}));
        app.ready = false;
        app.phase = "Failed";
        app.statuses = json!([]);
        app.alone().expect(
            APP,
            "RefusedByKubelet",
            "Deployment/store",
            &["the kubelet of node-a refuses them", reason],
        );
    }
}

#[test]
fn pods_that_the_api_server_refuses_in_unknown_words_are_told_in_those_words() {
    App::new("store")
        .without_pods()
        .alone()
        .warning(
            "ReplicaSet",
            "store-6d4b9",
            "FailedCreate",
            "Error creating: pods \"store-6d4b9-\" is forbidden: the moon is full",
        )
        .expect(APP, "PodsRefused", "Deployment/store", &["the moon is full"]);
}

#[test]
fn a_paused_rollout_is_named_while_pods_are_of_the_old_template() {
    let deployment = |updated: i32| {
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "desk", "namespace": crate::case::NS, "creationTimestamp": LONG_AGO},
            "spec": {"replicas": 1, "paused": true, "selector": {"matchLabels": {"app": "desk"}}, "template": {"metadata": {"labels": {"app": "desk"}},
                "spec": {"containers": [{"name": "app", "image": "registry.example/desk:2"}]}}},
            "status": {"replicas": 1, "readyReplicas": 1, "updatedReplicas": updated}})
    };
    let with_pod = |updated: i32| App::new("store").alone().with(deployment(updated));
    let diagnosis = with_pod(0).read("Deployment", "desk");
    assert!(
        diagnosis
            .findings
            .iter()
            .any(|finding| finding.category == "RolloutPaused" && finding.summary.contains("is paused")),
        "{:#?}",
        diagnosis.findings
    );
    with_pod(1).never(("Deployment", "desk"), "RolloutPaused");
}

#[test]
fn a_pod_that_does_not_go_says_what_holds_it() {
    // Thirty seconds of grace, and a minute more.
    for (deleted, finalizers, stuck, words) in [
        (EARLIER, json!([]), true, "its containers do not end"),
        (
            EARLIER,
            json!(["example.com/backup"]),
            true,
            "it waits for the finalizers example.com/backup",
        ),
        ("2026-05-04T09:58:30Z", json!([]), false, ""),
        ("2026-05-04T09:58:29Z", json!([]), true, "its containers do not end"),
        (NOW, json!(["example.com/backup"]), false, ""),
    ] {
        let app = App::new("store");
        let labels = app.labels.clone();
        let diagnosis = app
            .alone()
            .with(json!({"apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": "store-6d4b9-old01", "namespace": crate::case::NS, "labels": labels, "creationTimestamp": LONG_AGO,
                    "deletionTimestamp": deleted, "deletionGracePeriodSeconds": 30, "finalizers": finalizers,
                    "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "store-6d4b9", "uid": "r-store", "controller": true}]},
                "spec": {"nodeName": "node-a", "containers": [{"name": "app", "image": "i"}]}, "status": {"phase": "Running"}}))
            .read("Deployment", "store");
        let found = diagnosis
            .findings
            .iter()
            .find(|finding| finding.category == "StuckTerminating");
        assert_eq!(found.is_some(), stuck, "{deleted}: {:#?}", diagnosis.findings);
        assert!(found.is_none_or(|finding| finding.summary.contains(words)), "{found:?}");
    }
}

#[test]
fn pods_that_ended_with_their_node_are_told_from_pods_that_ended() {
    let failed = |reason: &str, message: &str| {
        let mut app = App::new("store").status(json!({"reason": reason, "message": message}));
        app.ready = false;
        app.phase = "Failed";
        app.statuses = json!([]);
        app.alone()
    };
    for reason in ["Terminated", "NodeShutdown", "Shutdown"] {
        failed(reason, "Pod was terminated in response to imminent node shutdown.").expect(
            APP,
            "NodeShutDown",
            "Deployment/store",
            &["node-a was shut down"],
        );
        failed(reason, "Pod was terminated by the garbage collector").never(APP, "NodeShutDown");
    }
    failed(
        "DeadlineExceeded",
        "Pod was active on the node longer than the specified deadline",
    )
    .never(APP, "RefusedByKubelet");
}

#[test]
fn a_port_below_1024_that_the_container_declares_is_named_beside_the_refusal() {
    let case = |port: u32| {
        let app = App::new("store")
            .container(json!({"ports": [{"containerPort": port}], "securityContext": {"runAsUser": 1000}}))
            .crashing(1, "Error", "");
        let pod = app.pod();
        let said = format!("nginx: [emerg] bind() to 0.0.0.0:{port} failed (13: Permission denied)\n");
        app.alone().log(&pod, &said).cause(APP.0, APP.1)
    };
    for (port, low) in [(80, true), (1023, true), (1024, false)] {
        let cause = case(port);
        assert_eq!(
            cause.summary.contains(&format!("it declares port {port}")),
            low,
            "{}",
            cause.summary
        );
    }
}
