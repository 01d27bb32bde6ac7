//! What looks ill and is well.

use serde_json::json;

use crate::case::{App, Case, EARLIER, LONG_AGO, NOW, claim, container, node, running, service};

#[test]
fn a_deploy_in_progress_is_left_alone() {
    let mut app = App::new("store").waiting("ContainerCreating", "");
    app.replicas = 1;
    let pod = app.pod();
    let mut case = app.alone().evidence();
    // The pod was made five seconds ago.
    for one in &mut case {
        one.output = one.output.replace(
            &format!("\"creationTimestamp\":\"{EARLIER}\""),
            "\"creationTimestamp\":\"2026-05-04T09:59:55Z\"",
        );
    }
    let target = firewatch_core::api::ObjectName::namespaced("Deployment", "market", "store");
    let file = firewatch_core::diagnosis::CaseFile::from_evidence("market", Some(target), NOW.parse().unwrap(), &case);
    let diagnosis = firewatch_core::diagnosis::diagnose(&file);
    assert_eq!(diagnosis.findings, [], "{pod}");
}

/// A pod of the next revision, made at that time, asked by its readiness probe before it listens.
fn surge(app: App, made: &str, ready_pods: bool) -> Case {
    const REFUSED: &str = "Readiness probe failed: Get \"http://10.244.0.9:8080/healthz\": dial tcp 10.244.0.9:8080: connect: connection refused";
    let mut app = app.container(json!({"readinessProbe": {"httpGet": {"path": "/healthz", "port": 8080}}}));
    app.ready = ready_pods;
    let spec = app.pod_spec.clone();
    let labels = app.labels.clone();
    app.alone()
        .with(json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "store-6d4b9-n3w1t", "namespace": "market", "labels": labels, "creationTimestamp": made,
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "store-6d4b9", "uid": "r-store", "controller": true}]},
            "spec": spec, "status": {"phase": "Running", "conditions": [{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": "False"}],
                "containerStatuses": [{"name": "app", "image": "i", "imageID": "", "ready": false, "restartCount": 0, "started": true,
                    "state": {"running": {"startedAt": made}}}]}}))
        .warning("Pod", "store-6d4b9-n3w1t", "Unhealthy", REFUSED)
}

#[test]
fn a_new_pod_that_does_not_listen_yet_beside_enough_that_serve_is_a_deploy_in_progress() {
    const JUST_NOW: &str = "2026-05-04T09:59:55Z";
    surge(App::new("store"), JUST_NOW, true).healthy("Deployment", "store");
    // The same words count where pods lack, and where the pod has had its time.
    for (made, enough) in [(JUST_NOW, false), (EARLIER, true)] {
        let diagnosis = surge(App::new("store"), made, enough).read("Deployment", "store");
        assert!(
            diagnosis
                .findings
                .iter()
                .any(|finding| finding.category == "ProbeFails"),
            "{made} {enough}: {:#?}",
            diagnosis.findings
        );
    }
}

#[test]
fn a_restart_of_long_ago_is_over() {
    let mut app = App::new("store");
    app.statuses[0]["restartCount"] = json!(2);
    app.statuses[0]["lastState"] =
        json!({"terminated": {"exitCode": 137, "reason": "OOMKilled", "finishedAt": LONG_AGO}});
    app.alone().healthy("Deployment", "store");
}

#[test]
fn a_completed_job_is_well() {
    Case::default()
        .with(json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "report", "namespace": "market", "creationTimestamp": LONG_AGO},
            "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [container()]}}},
            "status": {"succeeded": 1, "conditions": [{"type": "Complete", "status": "True"}]}}))
        .with(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "report-x1", "namespace": "market", "creationTimestamp": LONG_AGO,
                "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": "report", "uid": "u", "controller": true}]},
            "spec": {"nodeName": "node-a", "restartPolicy": "Never", "containers": [container()]},
            "status": {"phase": "Succeeded", "conditions": [{"type": "Ready", "status": "False", "reason": "PodCompleted"}],
                "containerStatuses": [{"name": "app", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
                    "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}]}}))
        .healthy("Job", "report");
}

#[test]
fn a_pod_that_waited_briefly_for_its_volume_is_well() {
    let pod = App::new("store").pod();
    App::new("store")
        .spec(json!({"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "store-data"}}]}))
        .alone()
        .with(claim("store-data", json!({"status": {"phase": "Bound"}})))
        .warning(
            "Pod",
            &pod,
            "FailedScheduling",
            "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.",
        )
        .warning(
            "Pod",
            &pod,
            "FailedAttachVolume",
            "Multi-Attach error for volume \"pvc-1\" Volume is already exclusively attached to one node",
        )
        .warning(
            "Pod",
            &pod,
            "FailedCreatePodSandBox",
            "Failed to create pod sandbox: network plugin is not ready",
        )
        .healthy("Deployment", "store");
}

#[test]
fn a_neighbour_at_rest_and_a_drained_node_elsewhere_are_nobodys_trouble() {
    let mut resting = App::new("nightly").replicas(0).without_pods();
    resting.ready = false;
    resting
        .add(App::new("store").alone())
        .with(service(
            "store",
            json!({"app": "store"}),
            json!({"port": 80, "targetPort": 8080}),
        ))
        .cluster(node("node-a", json!({})))
        .cluster(node(
            "node-b",
            json!({"spec": {"unschedulable": true}, "status": {"conditions": [{"type": "Ready", "status": "False"}]}}),
        ))
        .healthy("Deployment", "store");
}

#[test]
fn one_evicted_pod_that_was_replaced_is_over() {
    App::new("store")
        .alone()
        .with(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "store-6d4b9-gone1", "namespace": "market", "creationTimestamp": LONG_AGO,
                "labels": {"app": "store"},
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "store-6d4b9", "uid": "r-store", "controller": true}]},
            "spec": {"nodeName": "node-a", "containers": [container()]},
            "status": {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: ephemeral-storage. "}}))
        .healthy("Deployment", "store");
}

#[test]
fn a_sidecar_in_the_init_list_runs_by_design() {
    let mut app =
        App::new("store").spec(json!({"initContainers": [{"name": "proxy", "image": "p", "restartPolicy": "Always"}]}));
    app.pod_status = json!({"initContainerStatuses": [running("proxy")]});
    app.alone().healthy("Deployment", "store");
}

#[test]
fn a_job_that_was_evicted_once_and_did_its_work_then_is_well() {
    let pod = |name: &str, status: serde_json::Value| {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "market", "creationTimestamp": LONG_AGO,
                "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": "report", "uid": "u", "controller": true}]},
            "spec": {"nodeName": "node-a", "restartPolicy": "Never", "containers": [container()]}, "status": status})
    };
    Case::default()
        .with(json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "report", "namespace": "market", "creationTimestamp": LONG_AGO},
            "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [container()]}}},
            "status": {"succeeded": 1, "conditions": [{"type": "Complete", "status": "True"}]}}))
        .with(pod("report-a1", json!({"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory. "})))
        .with(pod("report-b2", json!({"phase": "Succeeded"})))
        .healthy("Job", "report");
}

#[test]
fn a_volume_of_a_deleted_claim_is_not_blamed_where_a_provisioner_makes_new_ones() {
    App::new("store")
        .alone()
        .with(claim("fresh", json!({"spec": {"storageClassName": "gp3"}})))
        .cluster(json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "gp3"}, "provisioner": "ebs.csi.aws.com"}))
        .cluster(crate::case::volume(
            "pv-old",
            json!({"spec": {"storageClassName": "gp3", "claimRef": {"namespace": "market", "name": "gone"}}, "status": {"phase": "Released"}}),
        ))
        .never(("PersistentVolumeClaim", "fresh"), "VolumeReleased");
}
