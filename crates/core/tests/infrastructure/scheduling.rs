//! Pods that fit no node, in the scheduler's words of v1.30 to v1.34.

use serde_json::json;

use crate::case::{App, Case, claim, node, volume};

const APP: (&str, &str) = ("Deployment", "store");

fn unscheduled(message: &str) -> Case {
    App::new("store").unscheduled(message).alone()
}

#[test]
fn every_clause_of_the_scheduler_is_understood() {
    let tail = "preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.";
    for (clause, category, words) in [
        ("2 Insufficient memory", "InsufficientResources", "insufficient memory"),
        (
            "2 Insufficient nvidia.com/gpu",
            "InsufficientResources",
            "nvidia.com/gpu",
        ),
        (
            "2 node(s) didn't match Pod's node affinity/selector",
            "NodeSelectorMatchesNothing",
            "affinity",
        ),
        (
            "2 node(s) didn't match the requested node name",
            "NodeSelectorMatchesNothing",
            "matches no node",
        ),
        (
            "2 node(s) didn't match node selector",
            "NodeSelectorMatchesNothing",
            "node selector",
        ),
        (
            "2 node(s) didn't match Pod's node affinity",
            "NodeSelectorMatchesNothing",
            "node selector or affinity",
        ),
        (
            "2 node(s) had untolerated taint {dedicated: batch}",
            "TaintNotTolerated",
            "dedicated: batch",
        ),
        (
            "2 node(s) didn't match pod anti-affinity rules",
            "AntiAffinityUnsatisfiable",
            "anti-affinity",
        ),
        (
            "2 node(s) didn't satisfy existing pods anti-affinity rules",
            "AntiAffinityUnsatisfiable",
            "run already",
        ),
        (
            "2 node(s) didn't match pod affinity rules",
            "AffinityUnsatisfiable",
            "affinity",
        ),
        (
            "2 node(s) didn't match pod topology spread constraints",
            "TopologySpreadUnsatisfiable",
            "spread",
        ),
        (
            "2 node(s) didn't match pod topology spread constraints (missing required label)",
            "TopologySpreadUnsatisfiable",
            "topologyKey",
        ),
        (
            "2 node(s) didn't have free ports for the requested pod ports",
            "HostPortTaken",
            "host port",
        ),
        ("2 node(s) were unschedulable", "NodesCordoned", "cordoned"),
        ("2 Too many pods", "NodesFull", "as many pods"),
        ("2 node(s) exceed max volume count", "NodesFull", "volumes"),
    ] {
        for message in [
            format!("0/2 nodes are available: {clause}. {tail}"),
            format!("0/2 nodes are available: {clause}. no new claims to deallocate, {tail}"),
        ] {
            unscheduled(&message).expect(APP, category, "Deployment/store", &[words]);
        }
    }
}

#[test]
fn the_taint_of_the_control_plane_is_no_cause_where_something_else_is() {
    unscheduled(
        "0/4 nodes are available: 1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }, 3 Insufficient cpu. preemption: 0/4 nodes are available: 1 Preemption is not helpful for scheduling, 3 No preemption victims found for incoming pod.",
    )
    .expect(APP, "InsufficientResources", "Deployment/store", &["insufficient cpu"]);
    unscheduled("0/1 nodes are available: 1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }.")
        .expect(
            APP,
            "TaintNotTolerated",
            "Deployment/store",
            &["node-role.kubernetes.io/control-plane"],
        );
}

#[test]
fn kubernetes_own_taints_lead_to_the_node_and_a_cordon_stays_a_cordon() {
    for (key, category) in [
        ("node.kubernetes.io/disk-pressure", "NodeUnderPressure"),
        ("node.kubernetes.io/not-ready", "NodeNotReady"),
        ("node.kubernetes.io/unreachable", "NodeNotReady"),
    ] {
        unscheduled(&format!(
            "0/1 nodes are available: 1 node(s) had untolerated taint {{{key}: }}."
        ))
        .cluster(node(
            "node-a",
            json!({"spec": {"taints": [{"key": key, "effect": "NoSchedule"}]}}),
        ))
        .expect(APP, category, "Node/node-a", &[key]);
    }
    unscheduled("0/1 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/unschedulable: }.")
        .cluster(node("node-a", json!({"spec": {"unschedulable": true}})))
        .expect(APP, "NodesCordoned", "Deployment/store", &["node-a"]);
}

#[test]
fn a_taint_that_the_message_does_not_name_is_read_from_the_nodes() {
    let tainted = node(
        "node-a",
        json!({"spec": {"taints": [{"key": "dedicated", "value": "batch", "effect": "NoSchedule"}]}}),
    );
    unscheduled("0/1 nodes are available: 1 node(s) had untolerated taint(s). no new claims to deallocate, preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.")
        .cluster(tainted)
        .expect(APP, "TaintNotTolerated", "Deployment/store", &["dedicated: batch"]);
}

#[test]
fn a_selector_is_shown_beside_what_the_nodes_have() {
    let message = "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.";
    let app = |key: &str, value: &str| {
        App::new("store")
            .spec(json!({"nodeSelector": {key: value}}))
            .unscheduled(message)
            .alone()
            .cluster(node("node-a", json!({"metadata": {"labels": {"disktype": "hdd"}}})))
    };
    app("disktype", "ssd").expect(
        APP,
        "NodeSelectorMatchesNothing",
        "Deployment/store",
        &["disktype=ssd", "nodes have disktype=hdd"],
    );
    app("disk-type", "hdd").expect(
        APP,
        "NodeSelectorMatchesNothing",
        "Deployment/store",
        &["they have disktype"],
    );
}

#[test]
fn required_node_affinity_is_told_in_its_own_words() {
    let message = "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector.";
    App::new("store")
        .spec(json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
            {"matchExpressions": [{"key": "disktype", "operator": "In", "values": ["ssd"]}, {"key": "gpu", "operator": "Exists"}]},
            {"matchExpressions": [{"key": "pool", "operator": "In", "values": ["batch", "spot"]}]}]}}}}))
        .unscheduled(message)
        .alone()
        .expect(
            APP,
            "NodeSelectorMatchesNothing",
            "Deployment/store",
            &["required node affinity disktype=ssd and gpu Exists or pool In batch|spot"],
        );
}

#[test]
fn a_volume_in_another_zone_is_no_wrong_selector() {
    for words in [
        "had volume node affinity conflict",
        "didn't match PersistentVolume's node affinity",
    ] {
        let case = App::new("store")
            .spec(json!({"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "store-data"}}]}))
            .unscheduled(&format!("0/1 nodes are available: 1 node(s) {words}."))
            .alone()
            .with(claim("store-data", json!({"status": {"phase": "Bound"}})))
            .cluster(node("node-a", json!({"metadata": {"labels": {"topology.kubernetes.io/zone": "b"}}})))
            .cluster(volume(
                "pv-1",
                json!({"spec": {"claimRef": {"namespace": "market", "name": "store-data"}, "nodeAffinity": {"required": {"nodeSelectorTerms": [
                    {"matchExpressions": [{"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["a"]}]}]}}}}),
            ));
        case.expect(
            APP,
            "VolumeOnOtherNode",
            "Deployment/store",
            &["store-data", "topology.kubernetes.io/zone=a"],
        );
        case.never(APP, "NodeSelectorMatchesNothing");
    }
}

#[test]
fn a_rollout_whose_old_pod_holds_the_node_is_not_short_of_nodes() {
    let app = App::new("store")
        .unscheduled("0/2 nodes are available: 2 node(s) didn't match pod anti-affinity rules.")
        .replicas(2);
    let case = app
        .alone()
        .cluster(node("node-a", json!({})))
        .cluster(node("node-b", json!({})));
    // One ready pod of the revision before.
    let labels = json!({"app": "store"});
    let case = case.with(json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "store-6d4b9-old11", "namespace": "market", "labels": labels, "creationTimestamp": "2026-05-04T09:00:00Z",
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "store-6d4b9", "uid": "r-store", "controller": true}]},
        "spec": {"nodeName": "node-a", "containers": [crate::case::container()]},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}], "containerStatuses": [crate::case::running("app")]}}));
    case.expect(
        APP,
        "AntiAffinityUnsatisfiable",
        "Deployment/store",
        &["revision before"],
    );
}
