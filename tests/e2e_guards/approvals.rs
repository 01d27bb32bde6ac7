//! Approvals: made by the operator, decided by people in their own name, claimed by one pod, and final in all of it.

use kube::Client;
use serde_json::{Value, json};

use crate::wire::{Call, EXECUTOR, GROUP, OPERATOR, Table, Who, client, delete, merge, namespace, post, remove, send};

const ALICE: Who = Who::Person("alice");
const BOB: Who = Who::Person("bob");
const OP: Who = Who::Account(OPERATOR);
const NONCE: &str = "0123456789abcdef0123456789abcdef";

fn digest() -> String {
    format!("sha256:{}", "0".repeat(64))
}

fn full(name: &str) -> String {
    format!("{name}-{}", "0".repeat(32))
}

fn action(namespace: &str) -> Value {
    json!({ "id": "A1", "type": "Scale", "target": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "namespace": namespace, "uid": "u1" },
            "parameters": { "from": "1", "to": "2" }, "command": ["kubectl"], "risk": "low", "impact": "one more pod", "rollback": ["kubectl"] })
}

fn soon() -> String {
    k8s_openapi::jiff::Timestamp::from_second(k8s_openapi::jiff::Timestamp::now().as_second() + 900)
        .unwrap()
        .to_string()
}

struct Raps {
    client: Client,
    namespace: String,
}

impl Raps {
    fn all(&self) -> String {
        format!("{GROUP}/namespaces/{}/remediationapprovals", self.namespace)
    }

    fn one(&self, name: &str) -> String {
        format!("{}/{}", self.all(), full(name))
    }

    fn object(&self, name: &str, required: i64) -> Value {
        json!({ "apiVersion": "firewatch.dev/v1alpha1", "kind": "RemediationApproval", "metadata": { "name": full(name) },
                "spec": { "incidentRef": { "name": "i", "uid": "u" }, "planDigest": digest(), "revision": 1, "summary": "s", "risk": "low",
                          "actions": [action(&self.namespace)], "expiresAt": soon(), "requiredApprovals": required } })
    }

    fn create(&self, name: &str, change: impl FnOnce(&mut Value)) -> Call {
        let mut object = self.object(name, 1);
        change(&mut object);
        post(self.all(), object)
    }

    async fn make(&self, name: &str, required: i64) {
        send(&self.client, OP, &post(self.all(), self.object(name, required)))
            .await
            .unwrap();
    }

    fn patch(&self, name: &str, spec: &Value) -> Call {
        merge(self.one(name), json!({ "spec": spec }))
    }

    fn status(&self, name: &str, status: &Value) -> Call {
        merge(format!("{}/status", self.one(name)), json!({ "status": status }))
    }
}

fn approve(who: &str) -> Value {
    json!({ "decision": "Approved", "approver": who })
}

fn claim(pod: &str, nonce: &str) -> Value {
    json!({ "claim": { "podUid": pod, "nonce": nonce } })
}

async fn begin() -> (Raps, Table) {
    let client = client().await;
    let namespace = namespace(&client, "guards").await;
    (Raps { client, namespace }, Table::default())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_is_made_by_the_operator_alone_undecided_and_named_after_its_plan() {
    let (r, mut t) = begin().await;
    let c = &r.client;
    t.allowed(
        c,
        "the operator creates an undecided approval",
        OP,
        r.create("a1", |_| {}),
    )
    .await;
    let only = "an approval is created by the operator, undecided";
    t.refused(
        c,
        "a person creates one",
        ALICE,
        r.create("a2", |_| {}),
        "cannot create resource",
    )
    .await;
    t.refused(
        c,
        "an administrator creates one",
        Who::Admin,
        r.create("a2", |_| {}),
        only,
    )
    .await;
    t.refused(
        c,
        "one already approved",
        OP,
        r.create("a2", |o| {
            o["spec"]["decision"] = json!("Approved");
            o["spec"]["approver"] = json!("alice");
        }),
        only,
    )
    .await;
    let named = "an approval is named after its plan";
    t.refused(
        c,
        "one not named after its plan",
        OP,
        r.create("a2", |o| o["metadata"]["name"] = json!("a2")),
        named,
    )
    .await;
    t.refused(
        c,
        "one named after another plan",
        OP,
        r.create("a2", |o| o["metadata"]["name"] = json!(format!("a2-{:0>32}", 1))),
        named,
    )
    .await;
    t.refused(
        c,
        "one that never expires",
        OP,
        r.create("a2", |o| o["spec"]["expiresAt"] = json!("2099-01-01T00:00:00Z")),
        "expires within a day",
    )
    .await;
    let own = "may change its own namespace only";
    t.refused(
        c,
        "one that changes another namespace",
        OP,
        r.create("k1", |o| {
            o["spec"]["actions"][0]["target"]["namespace"] = json!("payments");
        }),
        own,
    )
    .await;
    t.refused(
        c,
        "one whose action names no target",
        OP,
        r.create("k1", |o| {
            o["spec"]["actions"][0].as_object_mut().unwrap().remove("target");
        }),
        "target",
    )
    .await;
    t.refused(
        c,
        "one without actions",
        OP,
        r.create("k1", |o| o["spec"]["actions"] = json!([])),
        "spec.actions",
    )
    .await;
    t.refused(
        c,
        "one with a field that nobody knows as action type",
        OP,
        r.create("k1", |o| o["spec"]["actions"][0]["type"] = json!("DeleteEverything")),
        "spec.actions[0].type",
    )
    .await;
    t.refused(c, "one with a false owner", OP, r.create("k1", |o| o["metadata"]["ownerReferences"] = json!([{ "apiVersion": "v1", "kind": "ConfigMap", "name": "nope", "uid": "00000000-0000-0000-0000-000000000001" }])), "belongs to its incident").await;
    remove(c, &r.namespace).await;
    t.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_is_a_persons_own_and_leaves_the_plan_alone() {
    let (r, mut t) = begin().await;
    let c = &r.client;
    r.make("a1", 1).await;
    let mine = "approver must be the one who asks: alice";
    let fixed = "the plan of an approval is immutable";
    t.refused(c, "alice approves as bob", ALICE, r.patch("a1", &approve("bob")), mine)
        .await;
    t.refused(
        c,
        "alice approves without a name",
        ALICE,
        r.patch("a1", &json!({ "decision": "Approved" })),
        "a decision names its approver",
    )
    .await;
    t.refused(
        c,
        "alice names herself without deciding",
        ALICE,
        r.patch("a1", &json!({ "approver": "alice" })),
        "only a decision does",
    )
    .await;
    t.refused(
        c,
        "a decision that does not exist",
        ALICE,
        r.patch("a1", &json!({ "decision": "Yes", "approver": "alice" })),
        "spec.decision",
    )
    .await;
    let other = format!("sha256:{:0>64}", 1);
    t.refused(
        c,
        "alice approves and swaps the digest",
        ALICE,
        r.patch(
            "a1",
            &json!({ "decision": "Approved", "approver": "alice", "planDigest": other }),
        ),
        fixed,
    )
    .await;
    let mut bigger = action(&r.namespace);
    bigger["parameters"]["to"] = json!("99");
    t.refused(
        c,
        "alice approves and changes the actions",
        ALICE,
        r.patch(
            "a1",
            &json!({ "decision": "Approved", "approver": "alice", "actions": [bigger] }),
        ),
        fixed,
    )
    .await;
    t.refused(
        c,
        "the operator exchanges an action (a value)",
        OP,
        r.patch("a1", &json!({ "actions": [bigger] })),
        fixed,
    )
    .await;
    let mut moved = action(&r.namespace);
    moved["parameters"] = json!({ "from": "1", "field": "2" });
    t.refused(
        c,
        "the operator exchanges an action (a key for another)",
        OP,
        r.patch("a1", &json!({ "actions": [moved] })),
        fixed,
    )
    .await;
    let mut diff = action(&r.namespace);
    diff["diff"] = json!("none");
    t.refused(
        c,
        "the operator adds a field to an action",
        OP,
        r.patch("a1", &json!({ "actions": [diff] })),
        fixed,
    )
    .await;
    t.refused(
        c,
        "alice moves the expiry",
        ALICE,
        r.patch("a1", &json!({ "expiresAt": "2099-01-01T00:00:00Z" })),
        fixed,
    )
    .await;
    t.refused(
        c,
        "alice lowers the risk",
        ALICE,
        r.patch("a1", &json!({ "risk": "high" })),
        fixed,
    )
    .await;
    t.refused(
        c,
        "alice removes the risk",
        ALICE,
        r.patch("a1", &json!({ "risk": null })),
        "risk",
    )
    .await;
    t.refused(
        c,
        "alice rewrites the summary",
        ALICE,
        r.patch("a1", &json!({ "summary": "harmless" })),
        fixed,
    )
    .await;
    t.refused(
        c,
        "who asked is filled in",
        ALICE,
        r.patch("a1", &json!({ "requestedBy": "bob" })),
        fixed,
    )
    .await;
    t.refused(
        c,
        "the operator approves as alice",
        OP,
        r.patch("a1", &approve("alice")),
        "approver must be the one who asks",
    )
    .await;
    t.refused(
        c,
        "the operator approves under its own name",
        OP,
        r.patch("a1", &approve(OPERATOR)),
        "approver must be the one who asks",
    )
    .await;
    t.refused(
        c,
        "the executor approves",
        Who::Account(EXECUTOR),
        r.patch("a1", &approve("alice")),
        "cannot patch resource",
    )
    .await;
    t.refused(
        c,
        "someone with no role approves",
        Who::Stranger("mallory"),
        r.patch("a1", &approve("mallory")),
        "cannot patch resource",
    )
    .await;
    t.allowed(
        c,
        "alice approves",
        ALICE,
        r.patch(
            "a1",
            &json!({ "decision": "Approved", "approver": "alice", "reason": "ok" }),
        ),
    )
    .await;
    t.allowed(
        c,
        "alice approves again, the same words",
        ALICE,
        r.patch(
            "a1",
            &json!({ "decision": "Approved", "approver": "alice", "reason": "ok" }),
        ),
    )
    .await;
    let last = "a decision is final";
    t.refused(
        c,
        "bob turns it into a rejection",
        BOB,
        r.patch("a1", &json!({ "decision": "Rejected", "approver": "bob" })),
        last,
    )
    .await;
    t.refused(
        c,
        "back to pending",
        ALICE,
        r.patch(
            "a1",
            &json!({ "decision": "Pending", "approver": null, "reason": null }),
        ),
        last,
    )
    .await;
    t.refused(
        c,
        "bob takes it over",
        BOB,
        r.patch("a1", &json!({ "approver": "bob" })),
        last,
    )
    .await;
    t.refused(
        c,
        "the reason is rewritten",
        ALICE,
        r.patch("a1", &json!({ "reason": "other" })),
        last,
    )
    .await;
    r.make("b1", 1).await;
    t.allowed(
        c,
        "rejecting",
        ALICE,
        r.patch("b1", &json!({ "decision": "Rejected", "approver": "alice" })),
    )
    .await;
    t.refused(
        c,
        "a rejection becomes an approval",
        ALICE,
        r.patch("b1", &approve("alice")),
        last,
    )
    .await;
    remove(c, &r.namespace).await;
    t.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_approvals_come_from_two_people() {
    let (r, mut t) = begin().await;
    let c = &r.client;
    r.make("a1", 1).await;
    send(c, ALICE, &r.patch("a1", &approve("alice"))).await.unwrap();
    let second = "a confirmation comes from a second person";
    t.refused(
        c,
        "a confirmation where one is not asked for",
        BOB,
        r.patch("a1", &json!({ "confirmation": { "approver": "bob" } })),
        second,
    )
    .await;
    r.make("c1", 2).await;
    t.refused(
        c,
        "a confirmation before the approval",
        BOB,
        r.patch("c1", &json!({ "confirmation": { "approver": "bob" } })),
        second,
    )
    .await;
    t.allowed(c, "the first of two approves", ALICE, r.patch("c1", &approve("alice")))
        .await;
    t.refused(
        c,
        "the same person confirms",
        ALICE,
        r.patch("c1", &json!({ "confirmation": { "approver": "alice" } })),
        second,
    )
    .await;
    t.refused(
        c,
        "alice confirms as bob",
        ALICE,
        r.patch("c1", &json!({ "confirmation": { "approver": "bob" } })),
        "confirmation.approver must be the one who asks",
    )
    .await;
    t.refused(
        c,
        "the operator confirms",
        OP,
        r.patch("c1", &json!({ "confirmation": { "approver": "bob" } })),
        "confirmation.approver must be the one who asks",
    )
    .await;
    t.allowed(
        c,
        "bob confirms",
        BOB,
        r.patch("c1", &json!({ "confirmation": { "approver": "bob" } })),
    )
    .await;
    t.refused(
        c,
        "a confirmation is changed",
        BOB,
        r.patch("c1", &json!({ "confirmation": { "approver": "bob", "reason": "x" } })),
        "a confirmation is final",
    )
    .await;
    r.make("g1", 2).await;
    send(c, ALICE, &r.patch("g1", &approve("alice"))).await.unwrap();
    t.refused(
        c,
        "a plan is claimed that one of two approved",
        Who::Pod("p1"),
        r.status("g1", &claim("p1", NONCE)),
        "only an approved plan can be claimed",
    )
    .await;
    remove(c, &r.namespace).await;
    t.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_approves_only_what_needs_one_approval_and_rejects_nothing() {
    let (r, mut t) = begin().await;
    let c = &r.client;
    let named = || json!({ "name": "low-risk", "uid": "u", "generation": 1, "digest": digest() });
    let by_policy =
        |decision: &str| json!({ "decision": decision, "approver": "responsepolicy:low-risk", "policy": named() });
    let names = "what a policy approves names the policy";
    r.make("d1", 1).await;
    t.allowed(
        c,
        "the operator records a policy (the executor evaluates it again)",
        OP,
        r.patch("d1", &by_policy("Approved")),
    )
    .await;
    r.make("e1", 1).await;
    t.refused(
        c,
        "alice claims to be a policy",
        ALICE,
        r.patch("e1", &by_policy("Approved")),
        "approver must be the one who asks: alice",
    )
    .await;
    t.refused(c, "a policy rejects", OP, r.patch("e1", &by_policy("Rejected")), names)
        .await;
    t.refused(
        c,
        "a policy approves and it is not said which, exactly",
        OP,
        r.patch(
            "e1",
            &json!({ "decision": "Approved", "approver": "responsepolicy:low-risk" }),
        ),
        names,
    )
    .await;
    t.refused(
        c,
        "a policy approves in the name of another",
        OP,
        r.patch(
            "e1",
            &json!({ "decision": "Approved", "approver": "responsepolicy:other", "policy": named() }),
        ),
        names,
    )
    .await;
    t.refused(
        c,
        "a policy is named before anything is decided",
        OP,
        r.patch("e1", &json!({ "policy": named() })),
        names,
    )
    .await;
    t.refused(
        c,
        "alice's own approval looks like a policy's",
        ALICE,
        r.patch(
            "e1",
            &json!({ "decision": "Approved", "approver": "alice", "policy": named() }),
        ),
        names,
    )
    .await;
    t.refused(
        c,
        "the policy of a decision is changed afterwards",
        OP,
        r.patch("d1", &json!({ "policy": { "generation": 2 } })),
        "a decision is final",
    )
    .await;
    t.refused(
        c,
        "somebody whose user name looks like a policy approves",
        Who::Person("responsepolicy:low-risk"),
        r.patch("e1", &by_policy("Approved")),
        "approver must be the one who asks",
    )
    .await;
    r.make("h1", 2).await;
    t.refused(
        c,
        "a policy approves what needs two",
        OP,
        r.patch("h1", &by_policy("Approved")),
        "a policy approves only what needs one approval",
    )
    .await;
    remove(c, &r.namespace).await;
    t.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_is_one_pods_own_once_and_final() {
    let (r, mut t) = begin().await;
    let c = &r.client;
    r.make("a1", 1).await;
    t.refused(
        c,
        "alice writes the status",
        ALICE,
        r.status("a1", &json!({ "state": "Approved" })),
        "cannot patch resource",
    )
    .await;
    t.refused(
        c,
        "an administrator writes it",
        Who::Admin,
        r.status("a1", &json!({ "state": "Approved" })),
        "belongs to the operator and the executor",
    )
    .await;
    t.allowed(
        c,
        "the operator writes the state, the first time",
        OP,
        r.status("a1", &json!({ "state": "Pending" })),
    )
    .await;
    t.refused(c, "the operator claims", OP, r.status("a1", &claim("p", NONCE)), "only")
        .await;
    t.refused(
        c,
        "a plan is claimed that nobody approved",
        Who::Pod("p1"),
        r.status("a1", &claim("p1", NONCE)),
        "only an approved plan can be claimed",
    )
    .await;
    send(c, ALICE, &r.patch("a1", &approve("alice"))).await.unwrap();
    let own = "a pod claims for itself only";
    t.refused(
        c,
        "the operator claims what is approved",
        OP,
        r.status("a1", &claim("p", NONCE)),
        "only the executor claims",
    )
    .await;
    t.refused(
        c,
        "a pod claims in the name of another",
        Who::Pod("p9"),
        r.status("a1", &claim("p1", NONCE)),
        own,
    )
    .await;
    t.refused(
        c,
        "the executor claims without a pod",
        Who::Account(EXECUTOR),
        r.status("a1", &claim("p1", NONCE)),
        own,
    )
    .await;
    t.refused(
        c,
        "a claim without a nonce",
        Who::Pod("p1"),
        r.status("a1", &json!({ "claim": { "podUid": "p1" } })),
        "nonce",
    )
    .await;
    let stale = merge(
        format!("{}/status", r.one("a1")),
        json!({ "metadata": { "resourceVersion": "1" }, "status": claim("p1", NONCE) }),
    );
    t.refused(
        c,
        "a claim of a version that has moved",
        Who::Pod("p1"),
        stale,
        "the object has been modified",
    )
    .await;
    t.refused(
        c,
        "a rollback claimed before execution",
        Who::Pod("p3"),
        r.status("a1", &json!({ "rollbackClaim": { "podUid": "p3", "nonce": NONCE } })),
        "only an executed plan can be rolled back",
    )
    .await;
    t.allowed(
        c,
        "the executor claims",
        Who::Pod("p1"),
        r.status("a1", &claim("p1", NONCE)),
    )
    .await;
    let last = "a claim is final";
    t.refused(
        c,
        "a second pod claims",
        Who::Pod("p2"),
        r.status("a1", &claim("p2", NONCE)),
        last,
    )
    .await;
    t.refused(
        c,
        "the same pod, started again, claims",
        Who::Pod("p1"),
        r.status("a1", &claim("p1", &"f".repeat(32))),
        last,
    )
    .await;
    t.refused(
        c,
        "a claim is removed",
        Who::Pod("p1"),
        r.status("a1", &json!({ "claim": null })),
        "claim",
    )
    .await;
    t.refused(
        c,
        "the whole status is removed",
        Who::Pod("p1"),
        r.status("a1", &Value::Null),
        "claim",
    )
    .await;
    t.allowed(
        c,
        "the executor claims the rollback",
        Who::Pod("p3"),
        r.status("a1", &json!({ "rollbackClaim": { "podUid": "p3", "nonce": NONCE } })),
    )
    .await;
    t.refused(
        c,
        "a second rollback",
        Who::Pod("p4"),
        r.status("a1", &json!({ "rollbackClaim": { "podUid": "p4", "nonce": NONCE } })),
        last,
    )
    .await;
    t.allowed(
        c,
        "the operator writes the state beside a claim",
        OP,
        r.status("a1", &json!({ "state": "Consumed" })),
    )
    .await;
    remove(c, &r.namespace).await;
    t.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_can_neither_collect_nor_hold_an_approval() {
    let (r, mut t) = begin().await;
    let c = &r.client;
    r.make("e1", 1).await;
    let owner = json!({ "metadata": { "ownerReferences": [{ "apiVersion": "v1", "kind": "ConfigMap", "name": "nope", "uid": "00000000-0000-0000-0000-000000000001" }] } });
    t.refused(
        c,
        "made collectable by a false owner",
        OP,
        merge(r.one("e1"), owner),
        "the operator cannot have it collected",
    )
    .await;
    t.refused(
        c,
        "held by a finalizer",
        OP,
        merge(
            r.one("e1"),
            json!({ "metadata": { "finalizers": ["firewatch.dev/x"] } }),
        ),
        "the operator cannot have it collected",
    )
    .await;
    t.allowed(
        c,
        "labelled",
        OP,
        merge(
            r.one("e1"),
            json!({ "metadata": { "labels": { "firewatch.dev/x": "y" } } }),
        ),
    )
    .await;
    t.refused(c, "deleted", OP, delete(r.one("e1")), "cannot delete resource")
        .await;
    remove(c, &r.namespace).await;
    t.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_twenty_executors_that_claim_at_once_exactly_one_wins() {
    const PODS: [&str; 20] = [
        "q0", "q1", "q2", "q3", "q4", "q5", "q6", "q7", "q8", "q9", "q10", "q11", "q12", "q13", "q14", "q15", "q16",
        "q17", "q18", "q19",
    ];
    let (r, _) = begin().await;
    r.make("a1", 1).await;
    send(&r.client, ALICE, &r.patch("a1", &approve("alice"))).await.unwrap();
    let claims = PODS.map(|pod| {
        let (client, call) = (r.client.clone(), r.status("a1", &claim(pod, NONCE)));
        tokio::spawn(async move { send(&client, Who::Pod(pod), &call).await.is_ok() })
    });
    let mut won = 0;
    for claim in claims {
        won += usize::from(claim.await.unwrap());
    }
    remove(&r.client, &r.namespace).await;
    assert_eq!(won, 1);
}
