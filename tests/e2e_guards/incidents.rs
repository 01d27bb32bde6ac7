//! Incidents: the spec is people's, the status the operator's, and both stay in their own namespace.

use serde_json::{Value, json};

use crate::wire::{Call, GROUP, OPERATOR, Table, Who, client, merge, namespace, post, remove};

const ALICE: Who = Who::Person("alice");
const OP: Who = Who::Account(OPERATOR);

#[tokio::test(flavor = "multi_thread")]
async fn what_an_incident_says_belongs_to_people_and_where_it_stands_to_the_operator() {
    let client = client().await;
    let ns = namespace(&client, "guards-inc").await;
    let mut t = Table::default();
    let c = &client;
    let all = format!("{GROUP}/namespaces/{ns}/incidents");
    let make = |name: &str, spec: Value| {
        post(
            &all,
            json!({ "apiVersion": "firewatch.dev/v1alpha1", "kind": "Incident", "metadata": { "name": name }, "spec": spec }),
        )
    };
    let patch = |spec: Value| -> Call { merge(format!("{all}/i1"), json!({ "spec": spec })) };
    t.allowed(c, "about its own namespace", ALICE, make("i1", json!({ "title": "t", "cancelled": false, "target": { "kind": "Deployment", "name": "x", "namespace": ns } }))).await;
    t.refused(
        c,
        "about another namespace",
        ALICE,
        make(
            "i2",
            json!({ "title": "t", "target": { "kind": "Secret", "name": "x", "namespace": "kube-system" } }),
        ),
        "its own namespace only",
    )
    .await;
    t.refused(
        c,
        "requested in the name of another",
        ALICE,
        make("i2", json!({ "title": "t", "requestedBy": "bob" })),
        "requestedBy must be the one who asks",
    )
    .await;
    t.allowed(
        c,
        "requested in one's own name",
        ALICE,
        make("i3", json!({ "title": "t", "requestedBy": "alice" })),
    )
    .await;
    t.refused(c, "without a title", ALICE, make("i2", json!({})), "spec.title")
        .await;
    t.refused(
        c,
        "with a title too long",
        ALICE,
        make("i2", json!({ "title": "x".repeat(300) })),
        "spec.title",
    )
    .await;
    t.refused(
        c,
        "with a severity that does not exist",
        ALICE,
        make("i2", json!({ "title": "t", "severity": "urgent" })),
        "spec.severity",
    )
    .await;
    t.refused(
        c,
        "with a name too long",
        ALICE,
        make(&"n".repeat(64), json!({ "title": "t" })),
        "at most 63 characters",
    )
    .await;
    t.refused(
        c,
        "who asked is filled in afterwards",
        ALICE,
        patch(json!({ "requestedBy": "bob" })),
        "who asked is immutable",
    )
    .await;
    t.refused(
        c,
        "the title is changed",
        ALICE,
        patch(json!({ "title": "other" })),
        "immutable",
    )
    .await;
    t.refused(
        c,
        "the target is changed",
        ALICE,
        patch(json!({ "target": { "name": "y" } })),
        "immutable",
    )
    .await;
    t.refused(
        c,
        "a severity is added",
        ALICE,
        patch(json!({ "severity": "low" })),
        "immutable",
    )
    .await;
    t.refused(
        c,
        "a description is added",
        ALICE,
        patch(json!({ "description": "x" })),
        "immutable",
    )
    .await;
    t.allowed(
        c,
        "the operator adds a label",
        OP,
        merge(
            format!("{all}/i1"),
            json!({ "metadata": { "labels": { "firewatch.dev/x": "y" } } }),
        ),
    )
    .await;
    t.allowed(
        c,
        "the operator sets its finalizer",
        OP,
        merge(
            format!("{all}/i1"),
            json!({ "metadata": { "finalizers": ["firewatch.dev/audit"] } }),
        ),
    )
    .await;
    t.refused(
        c,
        "the operator sets its finalizer, and changes what people asked for beside it",
        OP,
        merge(
            format!("{all}/i1"),
            json!({ "metadata": { "finalizers": ["firewatch.dev/audit"] }, "spec": { "approvalMode": "Policy" } }),
        ),
        "the spec of an incident belongs to people",
    )
    .await;
    t.refused(
        c,
        "the operator changes what people asked for",
        OP,
        patch(json!({ "cancelled": true })),
        "the spec of an incident belongs to people",
    )
    .await;
    t.allowed(
        c,
        "feedback",
        ALICE,
        patch(json!({ "revisionFeedback": "not at noon" })),
    )
    .await;
    t.allowed(c, "cancelled", ALICE, patch(json!({ "cancelled": true })))
        .await;
    t.refused(
        c,
        "and un-cancelled",
        ALICE,
        patch(json!({ "cancelled": false })),
        "stays cancelled",
    )
    .await;
    t.refused(
        c,
        "an administrator writes the status",
        Who::Admin,
        merge(
            format!("{all}/i1/status"),
            json!({ "status": { "phase": "Completed" } }),
        ),
        "the status of an incident belongs to the operator",
    )
    .await;
    remove(c, &ns).await;
    t.ends();
}
