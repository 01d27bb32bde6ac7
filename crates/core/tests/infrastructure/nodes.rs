//! Nodes whose conditions tell of trouble, and whose pods suffer from it or do not.

use serde_json::{Value, json};

use crate::case::{App, EARLIER, LONG_AGO, NS, node};

const APP: (&str, &str) = ("Deployment", "store");

fn with_condition(type_: &str, status: &str) -> Value {
    node(
        "node-a",
        json!({"status": {"conditions": [
            {"type": "Ready", "status": if type_ == "Ready" { status } else { "True" }, "reason": "KubeletSays", "message": "so it is", "lastTransitionTime": EARLIER},
            {"type": type_, "status": status, "reason": "KubeletSays", "message": "so it is", "lastTransitionTime": EARLIER}]}}),
    )
}

#[test]
fn a_node_in_trouble_is_the_cause_of_pods_on_it_that_are_not_ready() {
    for (type_, status, category) in [
        ("Ready", "False", "NodeNotReady"),
        ("Ready", "Unknown", "NodeNotReady"),
        ("MemoryPressure", "True", "NodeUnderPressure"),
        ("DiskPressure", "True", "NodeUnderPressure"),
        ("PIDPressure", "True", "NodeUnderPressure"),
        ("NetworkUnavailable", "True", "NodeUnderPressure"),
    ] {
        App::new("store")
            .unready()
            .alone()
            .cluster(with_condition(type_, status))
            .expect(APP, category, "Node/node-a", &["node-a"]);
    }
    for (type_, status) in [
        ("MemoryPressure", "False"),
        ("DiskPressure", "Unknown"),
        ("FrequentReboots", "True"),
    ] {
        let case = App::new("store")
            .unready()
            .alone()
            .cluster(with_condition(type_, status));
        for category in ["NodeNotReady", "NodeUnderPressure"] {
            case.never(APP, category);
        }
    }
}

#[test]
fn a_node_in_trouble_that_hurts_nobody_here_is_none() {
    let ill = || with_condition("Ready", "False");
    // Its pod serves on.
    App::new("store").alone().cluster(ill()).never(APP, "NodeNotReady");
    // The pod that is not ready runs elsewhere.
    App::new("store")
        .unready()
        .spec(json!({"nodeName": "node-b"}))
        .alone()
        .cluster(ill())
        .cluster(node("node-b", json!({})))
        .never(APP, "NodeNotReady");
    // What ended there has ended.
    App::new("store")
        .spec(json!({"nodeName": "node-b"}))
        .alone()
        .cluster(ill())
        .cluster(node("node-b", json!({})))
        .with(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "store-6d4b9-done1", "namespace": NS, "labels": {"app": "store"}, "creationTimestamp": LONG_AGO,
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "store-6d4b9", "uid": "r-store", "controller": true}]},
            "spec": {"nodeName": "node-a", "containers": [{"name": "app", "image": "i"}]}, "status": {"phase": "Succeeded"}}))
        .never(APP, "NodeNotReady");
}
