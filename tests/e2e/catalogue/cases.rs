//! The table: for every type of the catalogue a cause, and what must have come of it. Exhaustive, so that none is forgotten.

use firewatch_core::api::{ActionType, ObjectName};
use firewatch_core::diagnosis::remedy::{ContainerRef, KnownValue, Probe, Remedy};
use serde_json::{Value, json};

/// One action, from its cause to what must have come of it.
pub struct Case {
    /// What it changes.
    pub object: ObjectName,
    /// What the diagnosis would hand to the planner.
    pub remedy: Remedy,
    /// Where the effect shows (JSON Pointer), and what stands there afterwards.
    pub effect: (&'static str, Value),
}

/// At least one case of every type: a new type does not compile until it has one.
pub fn cases(action: ActionType, namespace: &str) -> Vec<Case> {
    let named = |kind: &str, name: &str| ObjectName::namespaced(kind, namespace, name);
    let of = |kind: &str, name: &str, container: &str| ContainerRef {
        workload: named(kind, name),
        container: container.into(),
    };
    let known = |value: &str| {
        Some(KnownValue {
            value: value.into(),
            source: "a neighbour".into(),
            evidence: vec!["E1".into()],
        })
    };
    let text = |value: &str| Some(value.to_owned());
    let case = |object: ObjectName, remedy: Remedy, at: &'static str, then: Value| Case {
        object,
        remedy,
        effect: (at, then),
    };
    match action {
        ActionType::RollbackRollout => [
            ("Deployment", "rolled"),
            ("StatefulSet", "rolled"),
            ("DaemonSet", "rolled"),
        ]
        .into_iter()
        .map(|(kind, name)| {
            let workload = named(kind, name);
            let remedy = Remedy::BadRevision {
                workload: workload.clone(),
                from_revision: 2,
                to_revision: 1,
                diff: "env VERSION: one -> two".into(),
            };
            case(
                workload,
                remedy,
                "/spec/template/spec/containers/0/env/0/value",
                json!("one"),
            )
        })
        .collect(),
        ActionType::RestartRollout => vec![case(
            named("Deployment", "restarted"),
            Remedy::Relief {
                remedy: Box::new(Remedy::Restart {
                    workload: named("Deployment", "restarted"),
                    reason: "new pods begin anew".into(),
                }),
                reason: "its memory grows".into(),
            },
            "/spec/template/metadata/annotations/firewatch.dev~1restarted-at",
            Value::Null,
        )],
        ActionType::Scale => vec![case(
            named("Deployment", "scaled"),
            Remedy::ScaleUp {
                workload: named("Deployment", "scaled"),
                from: 0,
                to: 1,
            },
            "/spec/replicas",
            json!(1),
        )],
        ActionType::SetImage => [("app", "containers"), ("prepare", "initContainers")]
            .into_iter()
            .map(|(container, list)| {
                let remedy = Remedy::Image {
                    container: of("Deployment", "templated", container),
                    from: "localhost/firewatch-workload:dve".into(),
                    to: known("localhost/firewatch-workload:dev"),
                };
                let at = if list == "containers" {
                    "/spec/template/spec/containers/1/image"
                } else {
                    "/spec/template/spec/initContainers/0/image"
                };
                case(
                    named("Deployment", "templated"),
                    remedy,
                    at,
                    json!("localhost/firewatch-workload:dev"),
                )
            })
            .collect(),
        ActionType::SetResources => vec![
            case(
                named("Deployment", "templated"),
                Remedy::Resources {
                    container: of("Deployment", "templated", "app"),
                    field: "limits.memory".into(),
                    from: text("64Mi"),
                    to: text("128Mi"),
                },
                "/spec/template/spec/containers/1/resources/limits/memory",
                json!("128Mi"),
            ),
            case(
                named("StatefulSet", "templated"),
                Remedy::Resources {
                    container: of("StatefulSet", "templated", "app"),
                    field: "requests.cpu".into(),
                    from: None,
                    to: text("15m"),
                },
                "/spec/template/spec/containers/0/resources/requests/cpu",
                json!("15m"),
            ),
        ],
        ActionType::SetEnv => vec![
            case(
                named("CronJob", "nightly"),
                Remedy::Env {
                    container: of("CronJob", "nightly", "app"),
                    name: "UPSTREAM".into(),
                    from: text("http://old"),
                    to: known("http://new"),
                },
                "/spec/jobTemplate/spec/template/spec/containers/0/env/0/value",
                json!("http://new"),
            ),
            case(
                named("DaemonSet", "templated"),
                Remedy::Env {
                    container: of("DaemonSet", "templated", "app"),
                    name: "REGION".into(),
                    from: None,
                    to: known("north"),
                },
                "/spec/template/spec/containers/0/env/1",
                json!({"name": "REGION", "value": "north"}),
            ),
            case(
                named("StatefulSet", "templated"),
                Remedy::Env {
                    container: of("StatefulSet", "templated", "app"),
                    name: "REGION".into(),
                    from: None,
                    to: known("north"),
                },
                "/spec/template/spec/containers/0/env",
                json!([{"name": "REGION", "value": "north"}]),
            ),
        ],
        ActionType::SetConfigMapRef => vec![
            case(
                named("Deployment", "referring"),
                Remedy::ConfigMapReference {
                    workload: named("Deployment", "referring"),
                    config_map: "settings".into(),
                    key: text("LOG_LEVLE"),
                    to: known("LOG_LEVEL"),
                },
                "/spec/template/spec/containers/0/env/0/valueFrom/configMapKeyRef",
                json!({"name": "settings", "key": "LOG_LEVEL"}),
            ),
            // The whole environment and the volume, which are two actions.
            case(
                named("Deployment", "mounting"),
                Remedy::ConfigMapReference {
                    workload: named("Deployment", "mounting"),
                    config_map: "setings".into(),
                    key: None,
                    to: known("settings"),
                },
                "/spec/template/spec/containers/0/envFrom/0/configMapRef/name",
                json!("settings"),
            ),
        ],
        ActionType::PatchConfigMapKey => vec![
            case(
                named("ConfigMap", "settings"),
                Remedy::MissingConfigMapKey {
                    config_map: named("ConfigMap", "settings"),
                    key: "GATEWAY".into(),
                    value: known("http://gateway"),
                    consumer: of("Deployment", "nobody", "app"),
                },
                "/data/GATEWAY",
                json!("http://gateway"),
            ),
            case(
                named("ConfigMap", "empty"),
                Remedy::MissingConfigMapKey {
                    config_map: named("ConfigMap", "empty"),
                    key: "GATEWAY".into(),
                    value: known("http://gateway"),
                    consumer: of("Deployment", "nobody", "app"),
                },
                "/data/GATEWAY",
                json!("http://gateway"),
            ),
            case(
                named("ConfigMap", "limits"),
                Remedy::WrongConfigMapValue {
                    config_map: named("ConfigMap", "limits"),
                    key: "POOL".into(),
                    from: "1".into(),
                    to: known("20"),
                    consumer: of("Deployment", "nobody", "app"),
                },
                "/data/POOL",
                json!("20"),
            ),
        ],
        ActionType::PatchService => vec![
            case(
                named("Service", "selecting"),
                Remedy::ServiceSelector {
                    service: named("Service", "selecting"),
                    key: "app.kubernetes.io/name".into(),
                    from: "wbe".into(),
                    to: text("web"),
                },
                "/spec/selector/app.kubernetes.io~1name",
                json!("web"),
            ),
            case(
                named("Service", "sending"),
                Remedy::ServicePort {
                    service: named("Service", "sending"),
                    index: 1,
                    from: "8081".into(),
                    to: text("metrics"),
                },
                "/spec/ports/1/targetPort",
                json!("metrics"),
            ),
        ],
        ActionType::PatchProbe => vec![
            case(
                named("Deployment", "probed"),
                Remedy::ProbePort {
                    container: of("Deployment", "probed", "app"),
                    probe: Probe::ReadinessProbe,
                    handler: "httpGet".into(),
                    from: "8081".into(),
                    to: text("8080"),
                },
                "/spec/template/spec/containers/0/readinessProbe/httpGet/port",
                json!(8080),
            ),
            case(
                named("Deployment", "probed"),
                Remedy::ProbeField {
                    container: of("Deployment", "probed", "app"),
                    probe: Probe::ReadinessProbe,
                    field: "httpGet.path".into(),
                    from: "/helth".into(),
                    to: known("/health"),
                },
                "/spec/template/spec/containers/0/readinessProbe/httpGet/path",
                json!("/health"),
            ),
            case(
                named("Deployment", "probed"),
                Remedy::ProbeField {
                    container: of("Deployment", "probed", "app"),
                    probe: Probe::LivenessProbe,
                    field: "initialDelaySeconds".into(),
                    from: "0".into(),
                    to: known("30"),
                },
                "/spec/template/spec/containers/0/livenessProbe/initialDelaySeconds",
                json!(30),
            ),
        ],
        ActionType::PatchHpa => vec![
            case(
                named("HorizontalPodAutoscaler", "bounded"),
                Remedy::HpaMaximum {
                    hpa: named("HorizontalPodAutoscaler", "bounded"),
                    from: 2,
                    to: 4,
                },
                "/spec/maxReplicas",
                json!(4),
            ),
            case(
                named("HorizontalPodAutoscaler", "astray"),
                Remedy::HpaTarget {
                    hpa: named("HorizontalPodAutoscaler", "astray"),
                    from: "Deployment/refering".into(),
                    to: text("Deployment/referring"),
                },
                "/spec/scaleTargetRef/name",
                json!("referring"),
            ),
        ],
        ActionType::PatchPdb => vec![case(
            named("PodDisruptionBudget", "blocking"),
            Remedy::DisruptionBudget {
                budget: named("PodDisruptionBudget", "blocking"),
                field: "minAvailable".into(),
                from: "100%".into(),
                to: text("1"),
            },
            "/spec/minAvailable",
            json!(1),
        )],
        ActionType::PatchQuota => vec![case(
            named("ResourceQuota", "narrow"),
            Remedy::Quota {
                quota: named("ResourceQuota", "narrow"),
                resource: "count/secrets".into(),
                from: "10".into(),
                to: text("20"),
            },
            "/spec/hard/count~1secrets",
            json!("20"),
        )],
        ActionType::SuspendCronJob => vec![case(
            named("CronJob", "hourly"),
            Remedy::SuspendCronJob {
                cron_job: named("CronJob", "hourly"),
            },
            "/spec/suspend",
            json!(true),
        )],
        ActionType::ResumeCronJob => vec![case(
            named("CronJob", "weekly"),
            Remedy::ResumeCronJob {
                cron_job: named("CronJob", "weekly"),
            },
            "/spec/suspend",
            json!(false),
        )],
        ActionType::CordonNode => vec![case(
            ObjectName::cluster("Node", format!("{namespace}-open")),
            Remedy::CordonNode {
                node: ObjectName::cluster("Node", format!("{namespace}-open")),
                reason: "pods fail on it".into(),
            },
            "/spec/unschedulable",
            json!(true),
        )],
        ActionType::UncordonNode => vec![case(
            ObjectName::cluster("Node", format!("{namespace}-cordoned")),
            Remedy::UncordonNode {
                node: ObjectName::cluster("Node", format!("{namespace}-cordoned")),
            },
            "/spec/unschedulable",
            Value::Null,
        )],
    }
}
