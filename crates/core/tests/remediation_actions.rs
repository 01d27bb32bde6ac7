//! What each action of the catalogue renders to, what takes it back, and what is refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{UID, target};
use firewatch_core::api::{ActionParameters, ActionTarget, ActionType, PlannedAction, Risk};
use firewatch_core::remediation::action::catalogue;
use firewatch_core::remediation::change::{EnvPlace, RefPlace, Section, ServiceField};
use firewatch_core::remediation::{Action, ActionError, Change, Container, Standing, assess};
use proptest::prelude::*;
use serde_json::{Value, json};

fn container() -> Container {
    Container {
        name: "app".into(),
        index: 1,
        init: false,
    }
}

/// One of every type.
fn examples() -> Vec<(ActionTarget, Change)> {
    let deployment = || target("apps/v1", "Deployment");
    let text = |value: &str| Some(value.to_owned());
    vec![
        (
            deployment(),
            Change::RollbackRollout {
                from_revision: 4,
                to_revision: 3,
            },
        ),
        (
            target("apps/v1", "StatefulSet"),
            Change::RestartRollout {
                mark: "2026-11-24T03:00:00Z".into(),
            },
        ),
        (deployment(), Change::Scale { from: 1, to: 3 }),
        (
            deployment(),
            Change::SetImage {
                container: container(),
                from: "shop/app:1.9".into(),
                to: "shop/app:1.8".into(),
            },
        ),
        (
            deployment(),
            Change::SetResources {
                container: container(),
                section: Section::Limits,
                resource: "memory".into(),
                parent_absent: false,
                from: text("64Mi"),
                to: text("128Mi"),
            },
        ),
        (
            target("batch/v1", "CronJob"),
            Change::SetEnv {
                container: container(),
                name: "DB_HOST".into(),
                place: EnvPlace::At(2),
                from: text("a"),
                to: text("b"),
            },
        ),
        (
            deployment(),
            Change::SetConfigMapRef {
                place: RefPlace::Env {
                    container: container(),
                    index: 2,
                    name: "LOG_LEVEL".into(),
                },
                from: "settings/log-levl".into(),
                to: "settings/log-level".into(),
            },
        ),
        (
            deployment(),
            Change::SetConfigMapRef {
                place: RefPlace::Volume {
                    index: 1,
                    name: "config".into(),
                },
                from: "setings".into(),
                to: "settings".into(),
            },
        ),
        (
            target("v1", "ConfigMap"),
            Change::PatchConfigMapKey {
                key: "PAYMENT_URL".into(),
                parent_absent: false,
                from: None,
                to: text("http://pay:8080"),
            },
        ),
        (
            target("v1", "Service"),
            Change::PatchService {
                field: ServiceField::Selector("app.kubernetes.io/name".into()),
                from: "db-old".into(),
                to: "db".into(),
            },
        ),
        (
            deployment(),
            Change::PatchProbe {
                container: container(),
                field: "livenessProbe.httpGet.port".into(),
                from: "8081".into(),
                to: "http".into(),
            },
        ),
        (
            target("autoscaling/v2", "HorizontalPodAutoscaler"),
            Change::PatchHpa {
                field: "maxReplicas".into(),
                from: 3,
                to: 6,
            },
        ),
        (
            target("autoscaling/v2", "HorizontalPodAutoscaler"),
            Change::RetargetHpa {
                from: "Deployment/chekout".into(),
                to: "Deployment/checkout".into(),
            },
        ),
        (
            target("policy/v1", "PodDisruptionBudget"),
            Change::PatchPdb {
                field: "minAvailable".into(),
                from: "100%".into(),
                to: "1".into(),
            },
        ),
        (
            target("v1", "ResourceQuota"),
            Change::PatchQuota {
                resource: "requests.cpu".into(),
                from: "2".into(),
                to: "4".into(),
            },
        ),
        (target("batch/v1", "CronJob"), Change::SuspendCronJob),
        (target("batch/v1", "CronJob"), Change::ResumeCronJob),
        (target("v1", "Node"), Change::CordonNode),
        (target("v1", "Node"), Change::UncordonNode),
    ]
}

fn action((target, change): (ActionTarget, Change)) -> Action {
    Action::new(target, change).unwrap()
}

fn patch(argv: &[String]) -> Value {
    let at = argv.iter().position(|part| part == "-p").unwrap();
    serde_json::from_str(&argv[at + 1]).unwrap()
}

#[test]
fn every_type_of_the_catalogue_reads_back_what_it_wrote() {
    let all: Vec<Action> = examples().into_iter().map(action).collect();
    for kind in catalogue() {
        assert!(all.iter().any(|one| one.action_type() == kind), "no example of {kind}");
    }
    for one in all {
        let planned = one.to_planned("A1", &["E1".into()], None);
        assert_eq!(Action::try_from(&planned).unwrap(), one);
        assert_eq!(assess::recomputed(&planned).unwrap(), planned);
        assert!(!planned.impact.is_empty() && planned.impact.len() <= 1024);
    }
}

#[test]
fn every_patch_pins_the_uid_and_tests_before_it_writes() {
    for one in examples().into_iter().map(action) {
        let argv = one.argv();
        assert_eq!(argv[0], "kubectl");
        if one.action_type() == ActionType::RollbackRollout {
            assert_eq!(
                argv[1..],
                [
                    "rollout",
                    "undo",
                    "deployment/checkout",
                    "-n",
                    "shop",
                    "--to-revision=3"
                ]
            );
            continue;
        }
        let patch = patch(&argv);
        if one.action_type() == ActionType::RestartRollout {
            assert_eq!(patch["metadata"]["uid"], UID);
            continue;
        }
        let operations = patch.as_array().unwrap();
        assert_eq!(
            operations[0],
            json!({"op": "test", "path": "/metadata/uid", "value": UID})
        );
        let write = operations.last().unwrap();
        assert_ne!(write["op"], "test");
        assert!(
            operations[..operations.len() - 1]
                .iter()
                .all(|operation| operation["op"] == "test")
        );
        assert!(operations.len() >= 3, "{operations:?} pins no old value");
    }
}

#[test]
fn a_missing_key_is_tested_for_absence_and_a_second_run_is_refused() {
    let change = |parent_absent| Change::PatchConfigMapKey {
        key: "PAYMENT_URL".into(),
        parent_absent,
        from: None,
        to: Some("http://pay".into()),
    };
    let plain = action((target("v1", "ConfigMap"), change(false)));
    assert_eq!(
        plain.argv(),
        [
            "kubectl",
            "patch",
            "configmap",
            "checkout",
            "-n",
            "shop",
            "--type=json",
            "-p",
            &format!(
                r#"[{{"op":"test","path":"/metadata/uid","value":"{UID}"}},{{"op":"test","path":"/data/PAYMENT_URL","value":null}},{{"op":"add","path":"/data/PAYMENT_URL","value":"http://pay"}}]"#
            ),
        ]
    );
    let without_data = action((target("v1", "ConfigMap"), change(true)));
    assert_eq!(
        patch(&without_data.argv()).as_array().unwrap()[1..],
        [
            json!({"op": "test", "path": "/data", "value": null}),
            json!({"op": "add", "path": "/data", "value": {"PAYMENT_URL": "http://pay"}}),
        ]
    );
    let undo = without_data.inverse().unwrap();
    assert_eq!(
        patch(&undo.argv()).as_array().unwrap()[1..],
        [
            json!({"op": "test", "path": "/data/PAYMENT_URL", "value": "http://pay"}),
            json!({"op": "remove", "path": "/data/PAYMENT_URL"}),
        ]
    );
}

#[test]
fn a_variable_is_added_only_to_the_spec_that_was_seen() {
    let change = |place| Change::SetEnv {
        container: container(),
        name: "DB_HOST".into(),
        place,
        from: None,
        to: Some("db".into()),
    };
    let append = action((
        target("apps/v1", "Deployment"),
        change(EnvPlace::Append {
            index: 2,
            generation: 5,
        }),
    ));
    let base = "/spec/template/spec/containers/1";
    assert_eq!(
        patch(&append.argv()).as_array().unwrap()[1..],
        [
            json!({"op": "test", "path": format!("{base}/name"), "value": "app"}),
            json!({"op": "test", "path": "/metadata/generation", "value": 5}),
            json!({"op": "add", "path": format!("{base}/env/2"), "value": {"name": "DB_HOST", "value": "db"}}),
        ]
    );
    let undo = append.inverse().unwrap();
    assert_eq!(
        patch(&undo.argv()).as_array().unwrap()[2..],
        [
            json!({"op": "test", "path": format!("{base}/env/2/name"), "value": "DB_HOST"}),
            json!({"op": "test", "path": format!("{base}/env/2/value"), "value": "db"}),
            json!({"op": "remove", "path": format!("{base}/env/2")}),
        ]
    );
    let first = action((target("apps/v1", "Deployment"), change(EnvPlace::NewList)));
    assert_eq!(
        patch(&first.argv())[2],
        json!({"op": "test", "path": format!("{base}/env"), "value": null})
    );
}

#[test]
fn digits_are_numbers_where_kubernetes_reads_them_so() {
    let all: Vec<Action> = examples().into_iter().map(action).collect();
    let of = |kind| patch(&all.iter().find(|one| one.action_type() == kind).unwrap().argv());
    assert_eq!(of(ActionType::PatchProbe)[2]["value"], json!(8081));
    assert_eq!(of(ActionType::PatchProbe)[3]["value"], json!("http"));
    assert_eq!(of(ActionType::PatchPdb)[1]["value"], json!("100%"));
    assert_eq!(of(ActionType::PatchPdb)[2]["value"], json!(1));
    assert_eq!(
        of(ActionType::PatchService)[1]["path"],
        "/spec/selector/app.kubernetes.io~1name"
    );
}

#[test]
fn the_inverse_takes_back_exactly_and_a_restart_has_none() {
    for one in examples().into_iter().map(action) {
        let Some(inverse) = one.inverse() else {
            assert_eq!(one.action_type(), ActionType::RestartRollout);
            assert!(one.to_planned("A1", &[], None).rollback.is_empty());
            continue;
        };
        if one.action_type() == ActionType::RollbackRollout {
            assert_eq!(inverse.argv().last().unwrap(), "--to-revision=4");
            continue;
        }
        assert_eq!(inverse.inverse().unwrap().argv(), one.argv());
        assert_ne!(inverse.argv(), one.argv());
    }
}

#[test]
fn risk_follows_from_what_is_changed() {
    let scale = |from, to| action((target("apps/v1", "Deployment"), Change::Scale { from, to })).risk();
    assert_eq!(
        [scale(1, 3), scale(3, 1), scale(3, 0)],
        [Risk::Low, Risk::Medium, Risk::High]
    );
    let key = |from: Option<&str>, to: Option<&str>| {
        action((
            target("v1", "ConfigMap"),
            Change::PatchConfigMapKey {
                key: "k".into(),
                parent_absent: false,
                from: from.map(Into::into),
                to: to.map(Into::into),
            },
        ))
        .risk()
    };
    assert_eq!(
        [key(None, Some("a")), key(Some("b"), Some("a")), key(Some("b"), None)],
        [Risk::Low, Risk::Medium, Risk::High]
    );
}

#[test]
fn what_is_no_action_of_the_catalogue_is_refused_with_its_reason() {
    type Case = (&'static str, fn(&mut PlannedAction));
    let planned = |change: fn(&mut PlannedAction)| {
        let mut planned = action(examples().remove(2)).to_planned("A1", &[], None);
        change(&mut planned);
        Action::try_from(&planned).map_err(|error| error.reason())
    };
    assert!(planned(|_| {}).is_ok());
    let cases: [Case; 14] = [
        ("ActionKindUnknown", |p| p.target.kind = "Secret".into()),
        ("ActionKindUnknown", |p| p.target.api_version = "apps/v1beta1".into()),
        ("ActionKindUnknown", |p| p.target.kind = "DaemonSet".into()),
        ("ActionParameterInvalid", |p| p.target.name = "--all".into()),
        ("ActionParameterInvalid", |p| p.target.name = "a b".into()),
        ("ActionParameterInvalid", |p| p.target.namespace = Some("-n".into())),
        ("ActionParameterInvalid", |p| p.target.namespace = None),
        ("ActionParameterInvalid", |p| p.target.uid = "x y".into()),
        ("ActionParameterMissing", |p| p.parameters.from = None),
        ("ActionParameterInvalid", |p| p.parameters.to = Some("many".into())),
        ("ActionParameterInvalid", |p| p.parameters.to = Some("-1".into())),
        ("ActionParameterUnused", |p| p.parameters.to = Some("+3".into())),
        ("ActionChangesNothing", |p| p.parameters.to = p.parameters.from.clone()),
        ("ActionParameterUnused", |p| p.parameters.container = Some("app".into())),
    ];
    for (reason, change) in cases {
        assert_eq!(planned(change), Err(reason));
    }
}

#[test]
fn a_value_too_large_for_an_approval_is_refused() {
    let change = Change::PatchConfigMapKey {
        key: "k".into(),
        parent_absent: false,
        from: Some("\u{1}".repeat(4000)),
        to: Some("\u{1}".repeat(4001)),
    };
    assert_eq!(
        Action::new(target("v1", "ConfigMap"), change),
        Err(ActionError::TooLarge)
    );
}

#[test]
fn the_longest_value_is_taken_and_one_character_more_is_not() {
    let set = |length: usize| {
        let change = Change::PatchConfigMapKey {
            key: "k".into(),
            parent_absent: false,
            from: None,
            to: Some("v".repeat(length)),
        };
        Action::new(target("v1", "ConfigMap"), change).map(|_| ())
    };
    assert_eq!(set(4096), Ok(()));
    for length in [4097, 5000] {
        assert_eq!(set(length), Err(ActionError::TooLarge), "{length}");
    }
}

#[test]
fn what_is_tried_first_is_the_very_command_that_is_run_then() {
    for example in examples() {
        let action = action(example);
        let (tried, run) = (action.dry_run_argv(), action.argv());
        assert_eq!(
            tried.split_last(),
            Some((&"--dry-run=server".to_owned(), run.as_slice()))
        );
    }
}

#[test]
fn a_variable_stands_before_after_or_elsewhere() {
    let set = |from: Option<&str>, to: Option<&str>| {
        action((
            target("apps/v1", "Deployment"),
            Change::SetEnv {
                container: container(),
                name: "DB_HOST".into(),
                place: if from.is_some() {
                    EnvPlace::At(0)
                } else {
                    EnvPlace::Append {
                        index: 0,
                        generation: 3,
                    }
                },
                from: from.map(Into::into),
                to: to.map(Into::into),
            },
        ))
    };
    let object = |env: Value| {
        let mut containers = vec![json!({"name": "other"}); usize::try_from(container().index).unwrap()];
        containers.push(json!({"name": container().name, "env": env}));
        json!({"metadata": {"uid": UID}, "spec": {"template": {"spec": {"containers": containers}}}})
    };
    let value = |value: &str| json!([{"name": "DB_HOST", "value": value}]);
    for (from, to, env, stands) in [
        (None, Some("b"), json!([]), Standing::AtFrom),
        (Some("a"), Some("b"), json!([]), Standing::Elsewhere),
        (Some("a"), None, json!([]), Standing::AtTo),
        (Some("a"), Some("b"), value("a"), Standing::AtFrom),
        (Some("a"), Some("b"), value("b"), Standing::AtTo),
        (Some("a"), Some("b"), value("c"), Standing::Elsewhere),
        (None, Some("b"), value("b"), Standing::AtTo),
        (None, Some("b"), value("a"), Standing::Elsewhere),
        (Some("a"), None, value("b"), Standing::Elsewhere),
    ] {
        assert_eq!(
            set(from, to).standing(&object(env.clone()), None),
            stands,
            "{from:?} to {to:?}: {env}"
        );
    }
    assert_eq!(
        set(None, Some("b")).standing(&json!({"metadata": {"uid": UID}}), None),
        Standing::Elsewhere
    );
}

#[test]
fn a_target_stands_before_after_or_elsewhere() {
    let one = action(examples().remove(2));
    let object = |uid: &str, replicas: i32| json!({"metadata": {"uid": uid}, "spec": {"replicas": replicas}});
    assert_eq!(one.standing(&object(UID, 1), None), Standing::AtFrom);
    assert_eq!(one.standing(&object(UID, 3), None), Standing::AtTo);
    assert_eq!(one.standing(&object(UID, 2), None), Standing::Elsewhere);
    assert_eq!(one.standing(&object("other", 1), None), Standing::OtherUid);
    let undo = action(examples().remove(0));
    let at = |revision: &str| json!({"metadata": {"uid": UID, "annotations": {"deployment.kubernetes.io/revision": revision}}});
    assert_eq!(undo.standing(&at("4"), None), Standing::AtFrom);
    assert_eq!(undo.standing(&at("5"), None), Standing::AtTo);
    assert_eq!(undo.standing(&at("6"), None), Standing::AtFrom);
    assert_eq!(undo.standing(&at("9"), None), Standing::Elsewhere);
    assert_eq!(
        undo.standing(&json!({"metadata": {"uid": UID}}), Some(5)),
        Standing::AtTo
    );
}

#[test]
fn a_made_map_that_stays_empty_counts_as_taken_back() {
    let one = action((
        target("v1", "ConfigMap"),
        Change::PatchConfigMapKey {
            key: "k".into(),
            parent_absent: true,
            from: None,
            to: Some("v".into()),
        },
    ));
    assert_eq!(one.standing(&json!({"metadata": {"uid": UID}}), None), Standing::AtFrom);
    assert_eq!(
        one.standing(&json!({"metadata": {"uid": UID}, "data": {"k": "v"}}), None),
        Standing::AtTo
    );
    assert_eq!(
        one.standing(&json!({"metadata": {"uid": UID}, "data": {}}), None),
        Standing::AtFrom
    );
    assert_eq!(
        one.standing(&json!({"metadata": {"uid": UID}, "data": {"k": "x"}}), None),
        Standing::Elsewhere
    );
}

proptest! {
    #[test]
    fn no_text_becomes_an_option_or_another_argument(name in ".{0,40}", key in ".{0,40}", value in ".{0,200}") {
        let mut target = target("v1", "ConfigMap");
        target.name = name;
        let change = Change::PatchConfigMapKey { key, parent_absent: false, from: None, to: Some(value.clone()) };
        if let Ok(one) = Action::new(target, change) {
            let argv = one.argv();
            prop_assert_eq!(argv.len(), 8);
            prop_assert!(!argv[3].starts_with('-'));
            prop_assert_eq!(&patch(&argv)[2]["value"], &Value::from(value));
        }
    }

    #[test]
    fn whatever_parses_is_rendered_from_all_of_its_parameters(
        kind in 0_usize..19,
        field in proptest::option::of("[a-zA-Z.]{1,12}|limits.cpu|selector.app|targetPort|maxReplicas|minAvailable|livenessProbe.periodSeconds"),
        from in proptest::option::of("[0-9]{1,3}|[a-z]{1,5}"),
        to in proptest::option::of("[0-9]{1,3}|[a-z]{1,5}"),
        index in proptest::option::of(0..3_i32),
        parent_absent in proptest::option::of(any::<bool>()),
        generation in proptest::option::of(0..9_i64),
        container in proptest::option::of("[a-z]{1,4}"),
    ) {
        let (target, change) = examples().remove(kind);
        let mut planned = action((target, change)).to_planned("A1", &[], None);
        planned.parameters = ActionParameters {
            container_index: container.as_ref().map(|_| 0), init_container: None, container, field, field_index: index, from, to, parent_absent, generation,
        };
        if let Ok(one) = Action::try_from(&planned) {
            prop_assert_eq!(one.to_planned("A1", &[], None).parameters, planned.parameters);
        }
    }
}
