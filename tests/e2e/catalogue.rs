//! Every type of the catalogue on a live object: planned by the core from what is observed, carried out by the executor's pod after an
//! approval, its effect read back from the API server, refused where the ground has moved, and taken back so that the object is
//! what it was. Nodes on Node objects of the test's own, which no kubelet serves.

mod cases;
mod objects;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use firewatch_core::api::{ActionType, ObjectName, Role};
use firewatch_core::diagnosis::CaseFile;
use firewatch_core::diagnosis::questions::NAMESPACE_KINDS;
use firewatch_core::diagnosis::remedy::Remedy;
use firewatch_core::remediation::action::catalogue;
use firewatch_core::remediation::remedies::{Nodes, Proposal, Reach, propose};
use firewatch_core::remediation::{Action, Change};
use firewatch_core::sandbox::command::{Command, Resource, Scope};
use firewatch_core::sandbox::evidence::{Evidence, EvidenceState};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use self::cases::{Case, cases};
use self::objects::objects;
use crate::ground::{Away, Ground, apply};
use crate::world::{alone, kubectl, must};

/// At most so many actions stand in one plan.
const PLAN: usize = 16;
/// The executor, as its token says it.
const EXECUTOR: &str = "--as=system:serviceaccount:firewatch-sandbox:remediation-executor";

/// Removes what belongs to no namespace, whatever happens.
struct Leftovers(Vec<Vec<String>>);

impl Leftovers {
    fn add(&mut self, of: &[&str]) {
        self.0.push(of.iter().map(|part| (*part).to_owned()).collect());
    }
}

impl Drop for Leftovers {
    fn drop(&mut self) {
        for of in &self.0 {
            let mut args = vec!["delete", "--ignore-not-found", "--wait=false"];
            args.extend(of.iter().map(String::as_str));
            let _ = kubectl(&args, None);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_action_of_the_catalogue_is_carried_out_verified_and_taken_back_on_a_live_object() {
    let world = alone().await;
    let away = Away::sent();
    let ground = Ground::new();
    let mut leftovers = Leftovers(Vec::new());
    leftovers.add(&["namespace", &ground.namespace]);
    stand_up(&ground.namespace);
    let case_file = observe(&ground.namespace);
    let reach = Reach {
        namespace: ground.namespace.clone(),
        nodes: Nodes::Off,
    };
    let mut rows = Vec::new();
    for action in catalogue().filter(|action| !is_of_nodes(*action)) {
        let all = cases(action, &ground.namespace);
        assert!(!all.is_empty(), "{action} has no case");
        for case in all {
            for one in planned(&case.remedy, &case_file, &reach, action) {
                let effect = match one.change() {
                    // Its mark is the planner's.
                    Change::RestartRollout { mark } => (case.effect.0, json!(mark)),
                    _ => case.effect.clone(),
                };
                rows.push((one, case.object.clone(), effect));
            }
        }
    }
    for (number, plan) in rows.chunks(PLAN).enumerate() {
        carried_out_and_taken_back(&ground, &format!("catalogue-{number}"), plan);
    }
    drop(leftovers);
    drop(away);
    drop(world);
}

type Row = (Action, ObjectName, (&'static str, Value));

fn carried_out_and_taken_back(ground: &Ground, name: &str, plan: &[Row]) {
    let actions: Vec<Action> = plan.iter().map(|(action, ..)| action.clone()).collect();
    let before: Vec<Value> = plan.iter().map(|(_, object, _)| settled(object)).collect();
    let (_, approval) = ground.asked_all(name, &actions);
    ground.decide(&approval, "Approved");
    // An approval outlives nothing of the test's own.
    let _later = Leftovers(vec![vec![
        "rap".into(),
        approval.metadata.name.clone().unwrap(),
        "-n".into(),
        ground.namespace.clone(),
    ]]);
    let done = ground.execute(&approval, false);
    assert_eq!(
        (done.code, done.reason.as_str()),
        (0, "none"),
        "{name}: {}",
        done.detail
    );
    for ((action, object, (at, then)), before) in plan.iter().zip(&before) {
        let after = settled(object);
        assert_eq!(
            after.pointer(at).unwrap_or(&Value::Null),
            then,
            "{object}: {}",
            action.summary()
        );
        assert_ne!(
            content(&after),
            content(before),
            "{object} was not changed: {}",
            action.summary()
        );
        refused_on_moved_ground(action, object);
    }
    runs(&ground.namespace, plan);
    let back = ground.execute(&approval, true);
    assert_eq!(
        (back.code, back.reason.as_str()),
        (0, "none"),
        "{name}: {}",
        back.detail
    );
    for ((action, object, _), before) in plan.iter().zip(&before) {
        if action.inverse().is_some() {
            until(&format!("{object} is as before: {}", action.summary()), || {
                content(&settled(object)) == content(before)
            });
        }
    }
}

/// The change was made, so the `test` operations no longer hold, and the API server itself refuses the same command: what has no
/// JSON Patch changes nothing a second time. An object of another uid is always refused.
fn refused_on_moved_ground(action: &Action, object: &ObjectName) {
    let before = settled(object);
    let again = |argv: &[String]| kubectl(&argv.iter().skip(1).map(String::as_str).collect::<Vec<_>>(), None);
    match action.change() {
        // The executor looks at the revision before it claims; a second undo would be another change.
        Change::RollbackRollout { .. } => return,
        Change::RestartRollout { .. } => {
            assert!(again(&action.argv()).0, "a second restart with the same mark is none");
        }
        _ => {
            let (ok, said) = again(&action.argv());
            assert!(
                !ok && said.contains("rejected our request"),
                "{object}: it ran twice: {said}"
            );
        }
    }
    let mut other = action.argv();
    let patch = other.last_mut().unwrap();
    *patch = patch.replace(&action.target().uid, "00000000-0000-4000-8000-000000000000");
    let (ok, said) = again(&other);
    assert!(!ok, "{object} of another uid was changed: {said}");
    assert_eq!(content(&settled(object)), content(&before), "{object} was changed");
}

/// Where pods are part of the effect, they are seen to run.
fn runs(namespace: &str, plan: &[Row]) {
    for (action, object, _) in plan {
        if matches!(action.change(), Change::RestartRollout { .. } | Change::Scale { .. }) {
            let name = format!("deployment/{}", object.name);
            must(&["-n", namespace, "rollout", "status", &name, "--timeout=120s"]);
            let pods = must(&["-n", namespace, "get", &name, "-o", "jsonpath={.status.readyReplicas}"]);
            assert_eq!(pods, "1", "{object}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_cordoned_only_from_the_operators_namespace_and_only_where_the_chart_gives_the_right() {
    let world = alone().await;
    let away = Away::sent();
    let ground = Ground::at("firewatch-system".into());
    let id = format!("catalogue-{}", Timestamp::now().as_millisecond() % 10_000_000);
    let mut leftovers = Leftovers(Vec::new());
    for (name, cordoned) in [(format!("{id}-open"), false), (format!("{id}-cordoned"), true)] {
        leftovers.add(&["node", &name]);
        let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": {
            "unschedulable": cordoned, "taints": [{"key": "example.org/not-a-machine", "effect": "NoSchedule"}]}});
        let (ok, said) = apply(&["create", "-f", "-"], &node);
        assert!(ok, "{said}");
    }
    let of_nodes: Vec<Case> = catalogue()
        .filter(|action| is_of_nodes(*action))
        .flat_map(|action| cases(action, &id))
        .collect();
    // Its taint is the node controller's work, and takes it a moment.
    until("the cordoned node's taint", || {
        settled(&of_nodes[1].object)
            .to_string()
            .contains("node.kubernetes.io/unschedulable")
    });
    let case_file = observe_nodes();
    let reach = |nodes| Reach {
        namespace: "firewatch-system".into(),
        nodes,
    };
    for case in &of_nodes {
        for (nodes, said) in [
            (Nodes::Off, "chart value remediation.nodes"),
            (
                Nodes::OnlyFrom("firewatch-system".into()),
                "only an incident in namespace firewatch-system",
            ),
        ] {
            let Proposal::Manual { reason, .. } = propose(&case.remedy, &case_file, &reach(nodes)) else {
                panic!("{} was planned without the right", case.object);
            };
            assert!(reason.contains(said) && reason.contains("cordon"), "{reason}");
        }
    }
    let rows: Vec<Row> = of_nodes
        .into_iter()
        .map(|case| {
            let Proposal::Actions { mut actions, .. } = propose(&case.remedy, &case_file, &reach(Nodes::Allowed))
            else {
                panic!("{} was not planned", case.object);
            };
            (actions.remove(0), case.object, case.effect)
        })
        .collect();
    let actions: Vec<Action> = rows.iter().map(|(action, ..)| action.clone()).collect();

    // The right is off: refused, with the value's name, and nothing is changed.
    let before: Vec<Value> = rows.iter().map(|(_, object, _)| settled(object)).collect();
    for name in ["off", "on"] {
        leftovers.add(&["incident", &format!("{id}-{name}"), "-n", &ground.namespace]);
    }
    let (_, approval) = ground.asked_all(&format!("{id}-off"), &actions);
    ground.decide(&approval, "Approved");
    let off = ground.execute(&approval, false);
    assert_eq!(
        (off.code, off.reason.as_str()),
        (1, "NodesNotOptedIn"),
        "{}",
        off.detail
    );
    assert!(off.detail.contains("remediation.nodes"), "{}", off.detail);
    assert!(!ground.claimed(&approval));
    leftovers.add(&[
        "rap",
        approval.metadata.name.as_deref().unwrap(),
        "-n",
        &ground.namespace,
    ]);
    for ((_, object, _), before) in rows.iter().zip(&before) {
        assert_eq!(content(&settled(object)), content(before), "{object}");
    }

    // As the chart binds it where the value is on.
    leftovers.add(&["clusterrolebinding", &id]);
    must(&[
        "create",
        "clusterrolebinding",
        &id,
        "--clusterrole=firewatch-remediation-nodes",
        "--serviceaccount=firewatch-sandbox:remediation-executor",
    ]);
    let may = || kubectl(&["auth", "can-i", "patch", "nodes", EXECUTOR], None).0;
    until("the executor's right on nodes", may);
    only_schedulability(&rows[0].1);
    carried_out_and_taken_back(&ground, &format!("{id}-on"), &rows);

    // An approval of any other namespace cannot name a node at all: admission refuses to make it.
    let tenant = Ground::new();
    leftovers.add(&["namespace", &tenant.namespace]);
    let refused = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        tenant.asked_all("of-a-tenant", &actions);
    }));
    let said = refused.expect_err("an approval of a tenant named a node");
    let said = said.downcast_ref::<String>().cloned().unwrap_or_default();
    assert!(said.contains("may change its own namespace only"), "{said}");
    drop(leftovers);
    drop(away);
    drop(world);
}

/// What the guard admits of a node by the executor's right: whether it takes pods. Neither labels, nor taints, nor the node itself.
fn only_schedulability(node: &ObjectName) {
    let patch = |patch: &str| {
        kubectl(
            &[
                "patch",
                "node",
                &node.name,
                "--type=merge",
                "-p",
                patch,
                "--dry-run=server",
                EXECUTOR,
            ],
            None,
        )
    };
    for change in [
        r#"{"metadata":{"labels":{"zone":"x"}}}"#,
        r#"{"metadata":{"annotations":{"a":"x"}}}"#,
        r#"{"spec":{"taints":[]}}"#,
        r#"{"metadata":{"finalizers":["example.org/kept"]}}"#,
    ] {
        let (ok, said) = patch(change);
        assert!(
            !ok && said.contains("only whether it takes new pods"),
            "{change}: {said}"
        );
    }
    let (ok, said) = patch(r#"{"spec":{"unschedulable":true}}"#);
    assert!(ok, "{said}");
}

fn is_of_nodes(action: ActionType) -> bool {
    matches!(action, ActionType::CordonNode | ActionType::UncordonNode)
}

/// Applies the objects, waits until their second revision is there.
fn stand_up(namespace: &str) {
    for version in ["one", "two"] {
        let (ok, said) = apply(&["apply", "-f", "-"], &objects(namespace, version));
        assert!(ok, "{said}");
        let number = if version == "one" { 1 } else { 2 };
        until(&format!("revision {number} of every rollout"), || {
            let all = must(&["-n", namespace, "get", "deployments,controllerrevisions", "-o", "json"]);
            let all: Value = serde_json::from_str(&all).unwrap();
            let mut seen: BTreeMap<String, i64> = BTreeMap::new();
            for one in all["items"].as_array().unwrap() {
                let annotation = &one["metadata"]["annotations"]["deployment.kubernetes.io/revision"];
                let owner = one["metadata"]["ownerReferences"][0]["kind"]
                    .as_str()
                    .unwrap_or("Deployment");
                let name = one["metadata"]["ownerReferences"][0]["name"]
                    .as_str()
                    .or(one["metadata"]["name"].as_str());
                let revision = one["revision"]
                    .as_i64()
                    .or_else(|| annotation.as_str()?.parse().ok())
                    .unwrap_or(0);
                let held = seen.entry(format!("{owner}/{}", name.unwrap())).or_default();
                *held = revision.max(*held);
            }
            ["Deployment", "StatefulSet", "DaemonSet"]
                .iter()
                .all(|kind| seen.get(&format!("{kind}/rolled")) == Some(&number))
        });
    }
    must(&[
        "-n",
        namespace,
        "rollout",
        "status",
        "deployment/restarted",
        "--timeout=120s",
    ]);
}

/// Every action that a remedy comes to, by the planner's own code; only of this type.
fn planned(remedy: &Remedy, case: &CaseFile, reach: &Reach, action: ActionType) -> Vec<Action> {
    match propose(remedy, case, reach) {
        Proposal::Actions { actions, .. } => {
            assert!(
                actions.iter().all(|one| one.action_type() == action),
                "{action}: {actions:?}"
            );
            actions
        }
        other => panic!("{action} was not planned: {other:?}"),
    }
}

fn observe(namespace: &str) -> CaseFile {
    let kinds = "deployments,statefulsets,daemonsets,replicasets,controllerrevisions,cronjobs,configmaps,services,\
                 horizontalpodautoscalers,poddisruptionbudgets,resourcequotas";
    let output = must(&["-n", namespace, "get", kinds, "-o", "json"]);
    let command = Command::Get {
        resources: NAMESPACE_KINDS.to_vec(),
        scope: Scope::Namespace(namespace.into()),
        name: None,
    };
    case_file(namespace, command, output)
}

fn observe_nodes() -> CaseFile {
    let command = Command::Get {
        resources: vec![Resource::Nodes],
        scope: Scope::Cluster,
        name: None,
    };
    case_file("firewatch-system", command, must(&["get", "nodes", "-o", "json"]))
}

fn case_file(namespace: &str, command: Command, output: String) -> CaseFile {
    let now = Timestamp::now();
    let evidence = Evidence {
        id: "E1".into(),
        agent: Role::SreInvestigator,
        command,
        argv: Vec::new(),
        state: EvidenceState::Complete,
        exit_code: Some(0),
        duration_ms: 0,
        collected_at: now,
        output,
        sha256: String::new(),
    };
    CaseFile::from_evidence(namespace, None, now, &[evidence])
}

/// An object as it stands now.
fn settled(object: &ObjectName) -> Value {
    let kind = object.kind.to_lowercase();
    let mut args = vec!["get", kind.as_str(), object.name.as_str(), "-o", "json"];
    if let Some(namespace) = &object.namespace {
        args.extend(["-n", namespace]);
    }
    serde_json::from_str(&must(&args)).unwrap()
}

/// What people and actions write of an object: its spec and data. Maps that a change left empty count as absent, and so does what the
/// node controller writes by itself: its taints, and a range of addresses.
fn content(object: &Value) -> Value {
    fn pruned(value: &Value) -> Value {
        match value {
            Value::Object(map) => map
                .iter()
                .map(|(key, one)| (key.clone(), pruned(one)))
                .filter(|(key, one)| *one != json!({}) && *one != json!([]) && !key.starts_with("podCIDR"))
                .collect(),
            Value::Array(list) => list
                .iter()
                .filter(|one| {
                    !one["key"]
                        .as_str()
                        .unwrap_or_default()
                        .starts_with("node.kubernetes.io/")
                })
                .map(pruned)
                .collect(),
            other => other.clone(),
        }
    }
    pruned(&json!({"spec": object["spec"], "data": object["data"]}))
}

/// Waits until it holds.
fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !holds() {
        assert!(Instant::now() < deadline, "waited 60 s for: {what}");
        std::thread::sleep(Duration::from_millis(200));
    }
}
