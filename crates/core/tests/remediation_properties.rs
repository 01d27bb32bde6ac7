//! What holds for every action on every object: it reads back as written, changes exactly what it says, is taken back exactly, is
//! refused where the ground has moved, and never carries a credential.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{UID, target};
use firewatch_core::api::ObjectName;
use firewatch_core::diagnosis::CaseFile;
use firewatch_core::diagnosis::remedy::{ContainerRef, KnownValue, Remedy};
use firewatch_core::remediation::action::catalogue;
use firewatch_core::remediation::change::{EnvPlace, RefPlace, Section, ServiceField};
use firewatch_core::remediation::remedies::{Nodes, Proposal, Reach, propose};
use firewatch_core::remediation::render::Operation;
use firewatch_core::remediation::{Action, ActionError, Change, Container, Standing};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

/// An action, and an object that stands as it was observed.
type Ground = (Action, Value);

/// Applies a patch as the API server does: a missing member of a map reads as null. Why it is refused, else.
fn apply(object: &Value, operations: &[Operation]) -> Result<Value, String> {
    let mut now = object.clone();
    for one in operations {
        let value = one.value.clone().unwrap_or_default();
        if one.op == "test" {
            if now.pointer(&one.path).unwrap_or(&Value::Null) != &value {
                return Err(format!("{} is not {value}", one.path));
            }
            continue;
        }
        let (parent, key) = one.path.rsplit_once('/').unwrap();
        let key = key.replace("~1", "/").replace("~0", "~");
        match now.pointer_mut(parent).ok_or_else(|| format!("no {parent}"))? {
            Value::Array(list) => {
                let at: usize = key.parse().unwrap();
                match one.op {
                    "add" if at <= list.len() => list.insert(at, value),
                    "replace" if at < list.len() => list[at] = value,
                    "remove" if at < list.len() => {
                        list.remove(at);
                    }
                    _ => return Err(format!("no {}", one.path)),
                }
            }
            Value::Object(map) => match one.op {
                "remove" => {
                    map.remove(&key).ok_or_else(|| format!("no {}", one.path))?;
                }
                "replace" if !map.contains_key(&key) => return Err(format!("no {}", one.path)),
                _ => {
                    map.insert(key, value);
                }
            },
            _ => return Err(format!("{parent} is no map")),
        }
    }
    Ok(now)
}

fn object(spec: &Value) -> Value {
    json!({"metadata": {"uid": UID, "generation": 7}, "spec": spec})
}

/// An object with one pod template, in which `container` stands second.
fn templated(container: &Container, rest: &Value) -> Value {
    let mut one = json!({"name": container.name});
    one.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    let list = if container.init { "initContainers" } else { "containers" };
    object(&json!({"template": {"spec": {list: [{"name": "first"}, one]}}}))
}

fn any_container() -> impl Strategy<Value = Container> {
    ("[a-z]{1,8}", any::<bool>()).prop_map(|(name, init)| Container { name, index: 1, init })
}

/// Two values that differ.
fn two(values: &'static str) -> impl Strategy<Value = (String, String)> {
    (values, values).prop_filter("differ", |(a, b)| a != b)
}

fn ground(api_version: &str, kind: &str, change: Change, object: Value) -> Ground {
    (Action::new(target(api_version, kind), change).unwrap(), object)
}

fn any_templated() -> impl Strategy<Value = Ground> {
    let image =
        (any_container(), two("[a-z]{1,6}(/[a-z]{1,6})?(:[a-z0-9.]{1,6})?")).prop_map(|(container, (from, to))| {
            let object = templated(&container, &json!({"image": from}));
            ground(
                "apps/v1",
                "Deployment",
                Change::SetImage { container, from, to },
                object,
            )
        });
    let resources = (
        any_container(),
        select(vec![Section::Limits, Section::Requests]),
        select(vec!["cpu", "memory"]),
        0..3_u8,
        two("[1-9][0-9]{0,3}(m|Mi|Gi)"),
    )
        .prop_map(|(container, section, resource, held, (from, to))| {
            // Nothing of the section; the section without it; a value.
            let (resources, from) = match held {
                0 => (json!({}), None),
                1 => (json!({section.as_ref(): {"other": "1"}}), None),
                _ => (json!({section.as_ref(): {resource: from}}), Some(from)),
            };
            let object = templated(&container, &json!({"resources": resources}));
            let change = Change::SetResources {
                container,
                section,
                resource: resource.into(),
                parent_absent: held == 0,
                from,
                to: Some(to),
            };
            ground("apps/v1", "StatefulSet", change, object)
        });
    let env = (any_container(), "[A-Z_]{1,12}", 0..4_u8, two("[ -~]{0,20}")).prop_map(
        |(container, name, held, (from, to))| {
            let other = json!({"name": "other", "value": "x"});
            let (env, place, from) = match held {
                0 => (json!({}), EnvPlace::NewList, None),
                1 => (
                    json!({"env": [other]}),
                    EnvPlace::Append {
                        index: 1,
                        generation: 7,
                    },
                    None,
                ),
                // An empty value is not stored.
                2 => (
                    json!({"env": [other, {"name": name}]}),
                    EnvPlace::At(1),
                    Some(String::new()),
                ),
                _ if from.is_empty() => (json!({"env": [{"name": name}]}), EnvPlace::At(0), Some(from)),
                _ => (
                    json!({"env": [{"name": name, "value": from}]}),
                    EnvPlace::At(0),
                    Some(from),
                ),
            };
            let to = if Some(&to) == from.as_ref() || to.is_empty() {
                "else".to_owned()
            } else {
                to
            };
            let object = templated(&container, &env);
            let change = Change::SetEnv {
                container,
                name,
                place,
                from,
                to: Some(to),
            };
            ground("apps/v1", "DaemonSet", change, object)
        },
    );
    let reference = (any_container(), "[A-Z_]{1,12}", 0..3_u8, two("[a-z]{1,6}/[A-Z._]{1,6}")).prop_map(
        |(container, name, form, (from, to))| {
            let map = |text: &str| text.split('/').next().unwrap().to_owned();
            if form == 0 {
                let (map, key) = from.split_once('/').unwrap();
                let env = json!({"env": [{"name": name, "valueFrom": {"configMapKeyRef": {"name": map, "key": key}}}]});
                let object = templated(&container, &env);
                let place = RefPlace::Env {
                    container,
                    index: 0,
                    name,
                };
                return ground(
                    "apps/v1",
                    "Deployment",
                    Change::SetConfigMapRef { place, from, to },
                    object,
                );
            }
            let (from, to) = (map(&from), format!("{}-2", map(&to)));
            let (place, object) = if form == 1 {
                let object = templated(&container, &json!({"envFrom": [{"configMapRef": {"name": from}}]}));
                (RefPlace::EnvFrom { container, index: 0 }, object)
            } else {
                let volume = json!([{"name": "config", "configMap": {"name": from}}]);
                let object = object(&json!({"template": {"spec": {"volumes": volume}}}));
                (
                    RefPlace::Volume {
                        index: 0,
                        name: "config".into(),
                    },
                    object,
                )
            };
            ground(
                "apps/v1",
                "Deployment",
                Change::SetConfigMapRef { place, from, to },
                object,
            )
        },
    );
    let probe = (
        any_container(),
        select(vec!["readinessProbe", "livenessProbe", "startupProbe"]),
        select(vec![
            "initialDelaySeconds",
            "timeoutSeconds",
            "httpGet.port",
            "httpGet.path",
        ]),
        two("[1-9][0-9]{0,2}"),
        any::<bool>(),
    )
        .prop_map(|(container, probe, field, (from, to), unset)| {
            let number = |text: &str| Value::from(text.parse::<i32>().unwrap());
            let (held, from, to) = match field {
                "httpGet.path" => (
                    json!({"httpGet": {"path": format!("/{from}")}}),
                    format!("/{from}"),
                    format!("/{to}"),
                ),
                "httpGet.port" => (json!({"httpGet": {"port": number(&from)}}), from, to),
                "initialDelaySeconds" if unset => (json!({}), "0".to_owned(), to),
                _ => (json!({field: number(&from)}), from, to),
            };
            let object = templated(&container, &json!({probe: held}));
            let change = Change::PatchProbe {
                container,
                field: format!("{probe}.{field}"),
                from,
                to,
            };
            ground("apps/v1", "Deployment", change, object)
        });
    prop_oneof![image, resources, env, reference, probe]
}

fn any_bound() -> impl Strategy<Value = Ground> {
    let numbers = (1..99_i32, 1..99_i32).prop_filter("differ", |(a, b)| a != b);
    let scale = numbers.clone().prop_map(|(from, to)| {
        ground(
            "apps/v1",
            "Deployment",
            Change::Scale { from, to },
            object(&json!({"replicas": from})),
        )
    });
    let hpa = numbers.clone().prop_map(|(from, to)| {
        let change = Change::PatchHpa {
            field: "maxReplicas".into(),
            from,
            to,
        };
        ground(
            "autoscaling/v2",
            "HorizontalPodAutoscaler",
            change,
            object(&json!({"maxReplicas": from})),
        )
    });
    let retarget = two("(Deployment|StatefulSet)/[a-z]{1,8}").prop_map(|(from, to)| {
        let (kind, name) = from.split_once('/').unwrap();
        let object = object(&json!({"scaleTargetRef": {"apiVersion": "apps/v1", "kind": kind, "name": name}}));
        ground(
            "autoscaling/v2",
            "HorizontalPodAutoscaler",
            Change::RetargetHpa { from, to },
            object,
        )
    });
    let budget = numbers.clone().prop_map(|(from, to)| {
        let change = Change::PatchPdb {
            field: "minAvailable".into(),
            from: from.to_string(),
            to: format!("{to}%"),
        };
        ground(
            "policy/v1",
            "PodDisruptionBudget",
            change,
            object(&json!({"minAvailable": from})),
        )
    });
    let quota = two("[1-9][0-9]{0,3}(m|Gi)?").prop_map(|(from, to)| {
        let object = object(&json!({"hard": {"requests.cpu": from}}));
        ground(
            "v1",
            "ResourceQuota",
            Change::PatchQuota {
                resource: "requests.cpu".into(),
                from,
                to,
            },
            object,
        )
    });
    let selector = two("[a-z]{0,8}").prop_map(|(from, to)| {
        let object = object(&json!({"selector": {"example.org/app": from}}));
        let field = ServiceField::Selector("example.org/app".into());
        ground("v1", "Service", Change::PatchService { field, from, to }, object)
    });
    let port = numbers.clone().prop_map(|(from, to)| {
        let object = object(&json!({"ports": [{"targetPort": "web"}, {"targetPort": from}]}));
        let field = ServiceField::TargetPort(1);
        let change = Change::PatchService {
            field,
            from: from.to_string(),
            to: to.to_string(),
        };
        ground("v1", "Service", change, object)
    });
    let key = ("[a-zA-Z._-]{1,12}", 0..3_u8, two("[ -~\n]{0,30}")).prop_map(|(key, held, (from, to))| {
        let (data, from) = match held {
            0 => (Value::Null, None),
            1 => (json!({"~": "x"}), None),
            _ => (json!({key.clone(): from}), Some(from)),
        };
        let mut object = json!({"metadata": {"uid": UID}});
        if !data.is_null() {
            object["data"] = data;
        }
        let change = Change::PatchConfigMapKey {
            key,
            parent_absent: held == 0,
            from,
            to: Some(to),
        };
        ground("v1", "ConfigMap", change, object)
    });
    let job = any::<bool>().prop_map(|suspended| {
        let change = if suspended {
            Change::ResumeCronJob
        } else {
            Change::SuspendCronJob
        };
        ground("batch/v1", "CronJob", change, object(&json!({"suspend": suspended})))
    });
    let node = any::<bool>().prop_map(|cordoned| {
        let (change, spec) = if cordoned {
            (Change::UncordonNode, json!({"unschedulable": true}))
        } else {
            (Change::CordonNode, json!({}))
        };
        ground("v1", "Node", change, object(&spec))
    });
    prop_oneof![scale, hpa, retarget, budget, quota, selector, port, key, job, node]
}

fn any_ground() -> impl Strategy<Value = Ground> {
    prop_oneof![any_templated(), any_bound()]
}

/// Without the empty maps, lists and values of variables that a change may leave where there were none.
fn pruned(value: &Value) -> Value {
    match value {
        Value::Object(map) => map
            .iter()
            .map(|(key, one)| (key.clone(), pruned(one)))
            .filter(|(key, one)| *one != json!({}) && *one != json!([]) && (key != "value" || *one != json!("")))
            .collect(),
        Value::Array(list) => list.iter().map(pruned).collect(),
        other => other.clone(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn every_action_reads_back_what_it_wrote((action, _) in any_ground()) {
        let planned = action.to_planned("A1", &[], None);
        prop_assert_eq!(Action::try_from(&planned), Ok(action));
    }

    #[test]
    fn every_action_reaches_what_it_says_and_its_inverse_takes_it_back_exactly((action, before) in any_ground()) {
        prop_assert_eq!(action.standing(&before, None), Standing::AtFrom);
        let after = apply(&before, &action.operations());
        prop_assert!(after.is_ok(), "{:?}", after);
        let after = after.unwrap();
        prop_assert_ne!(&after, &before);
        prop_assert_eq!(action.standing(&after, None), Standing::AtTo);
        let inverse = action.inverse().unwrap();
        let back = apply(&after, &inverse.operations());
        prop_assert!(back.is_ok(), "{:?}", back);
        let back = back.unwrap();
        prop_assert_eq!(pruned(&back), pruned(&before));
        prop_assert_eq!(action.standing(&back, None), Standing::AtFrom);
    }

    #[test]
    fn the_inverse_of_an_inverse_is_the_action((action, before) in any_ground()) {
        let inverse = action.inverse().unwrap();
        let again = inverse.inverse().unwrap();
        let planned = inverse.to_planned("A1", &[], None).parameters;
        if planned.from.is_some() == planned.to.is_some() {
            prop_assert_eq!(&again, &action);
        } else {
            // What was made of nothing is made again where it stood.
            let after = apply(&before, &action.operations()).unwrap();
            prop_assert_eq!(inverse.standing(&after, None), Standing::AtFrom);
            prop_assert_eq!(again.standing(&after, None), Standing::AtTo);
        }
    }

    #[test]
    fn a_second_run_is_refused_and_so_is_moved_ground((action, before) in any_ground(), which in any::<prop::sample::Index>()) {
        let operations = action.operations();
        let mut after = apply(&before, &operations).unwrap();
        // Whatever changes a spec counts it.
        after["metadata"]["generation"] = json!(8);
        prop_assert!(apply(&after, &operations).is_err(), "it ran twice");
        let tests: Vec<&Operation> = operations.iter().filter(|one| one.op == "test").collect();
        let moved = tests[which.index(tests.len())];
        let mut elsewhere = before.clone();
        match (elsewhere.pointer_mut(&moved.path), moved.path.rsplit_once('/')) {
            (Some(value), _) => *value = json!("moved"),
            (None, Some((parent, key))) => {
                let parent = elsewhere.pointer_mut(parent).unwrap();
                parent[key.replace("~1", "/").replace("~0", "~")] = json!("moved");
            }
            _ => unreachable!(),
        }
        prop_assert!(apply(&elsewhere, &operations).is_err(), "{} had moved", moved.path);
        // What others put beside is caught by the API server alone, where nothing else can pin the change.
        let beside = action.to_planned("A1", &[], None).parameters;
        if beside.generation.is_none() && beside.parent_absent.is_none() {
            prop_assert_ne!(action.standing(&elsewhere, None), Standing::AtFrom);
        }
    }

    #[test]
    fn what_changes_nothing_is_refused((action, _) in any_ground()) {
        let mut planned = action.to_planned("A1", &[], None);
        if planned.parameters.from.is_some() {
            planned.parameters.to.clone_from(&planned.parameters.from);
            prop_assert_eq!(Action::try_from(&planned), Err(ActionError::NoChange));
        }
    }

    #[test]
    fn no_credential_is_planned_or_told(
        (key, value) in prop_oneof![
            (select(vec!["DB_PASSWORD", "API_TOKEN", "client_secret", "aws.access_key"]), "[a-z0-9]{12,24}"),
            (select(vec!["DATABASE_URL", "BROKER"]), "postgres://app:[a-z0-9]{12,24}@db:5432/shop"),
            (select(vec!["SETTINGS", "EXTRA"]), "\\[redacted:[a-z]{4,8}\\][a-z0-9]{12,24}"),
            (select(vec!["TLS", "EXTRA"]), "-----BEGIN RSA PRIVATE KEY-----[a-z0-9]{12,24}"),
        ],
        which in 0..4_u8,
    ) {
        let case = case(key, (which == 0).then_some(value.as_str()));
        let known = KnownValue { value: value.clone(), source: "ConfigMap/other".into(), evidence: vec!["E1".into()] };
        let map = ObjectName::namespaced("ConfigMap", "shop", "settings");
        let app = ContainerRef { workload: ObjectName::namespaced("Deployment", "shop", "checkout"), container: "app".into() };
        let remedy = match which {
            0 => Remedy::WrongConfigMapValue { config_map: map, key: key.into(), from: value.clone(), to: Some(KnownValue { value: "plain".into(), ..known }), consumer: app },
            1 => Remedy::MissingConfigMapKey { config_map: map, key: key.into(), value: Some(known), consumer: app },
            2 => Remedy::Env { container: app, name: key.into(), from: None, to: Some(known) },
            _ => Remedy::WrongConfigMapValue { config_map: map, key: key.into(), from: value.clone(), to: None, consumer: app },
        };
        let reach = Reach { namespace: "shop".into(), nodes: Nodes::Off };
        let proposal = propose(&remedy, &case, &reach);
        let Proposal::Manual { reason, .. } = proposal else {
            return Err(TestCaseError::fail(format!("{proposal:?}")));
        };
        let tail = &value[value.len() - 12..];
        prop_assert!(!reason.contains(tail) || tail.contains("db:5432"), "{reason}");
        prop_assert!(reason.contains("person"), "{reason}");
    }
}

/// A Deployment and its ConfigMap, with this key in it or not.
fn case(key: &str, held: Option<&str>) -> CaseFile {
    let data = held.map_or_else(|| json!({"OTHER": "1"}), |value| json!({key: value}));
    common::case_of(
        "shop",
        &[
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": "shop", "uid": "u1"}, "data": data}),
            json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "checkout", "namespace": "shop", "uid": "u2", "generation": 1},
            "spec": {"selector": {}, "template": {"spec": {"containers": [{"name": "app", "image": "app"}]}}}}),
        ],
    )
}

#[test]
fn every_type_but_the_rollouts_is_among_the_actions_above() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..2000 {
        seen.insert(any_ground().new_tree(&mut runner).unwrap().current().0.action_type());
    }
    let missing: Vec<String> = catalogue()
        .filter(|one| !seen.contains(one))
        .map(|one| one.to_string())
        .collect();
    assert_eq!(missing, ["RollbackRollout", "RestartRollout"]);
}
