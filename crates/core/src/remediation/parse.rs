//! Between a change and its parameters, and what a target and a parameter may hold. Text that reaches an argv is checked here, so that
//! a name can be neither an option nor a path. Must never accept what `render` cannot express exactly. Called by `action` alone.

use std::str::FromStr;
use std::sync::LazyLock;

use regex::Regex;

use super::action::{Action, ActionError, Change, Container, EnvPlace, Section, ServiceField};
use crate::api::{ActionParameters, ActionType, PlannedAction};

/// The longest single argument that an approval holds.
const MAX_ARGUMENT: usize = 8192;
/// The longest value that parameters hold.
const MAX_VALUE: usize = 4096;

fn pattern(text: &str) -> Option<Regex> {
    Regex::new(text).ok()
}

static NAME: LazyLock<Option<Regex>> = LazyLock::new(|| pattern(r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$"));
static LABEL: LazyLock<Option<Regex>> = LazyLock::new(|| pattern(r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"));
static UID: LazyLock<Option<Regex>> = LazyLock::new(|| pattern(r"^[0-9A-Za-z-]{1,36}$"));
static KEY: LazyLock<Option<Regex>> = LazyLock::new(|| pattern(r"^[-._a-zA-Z0-9]{1,253}$"));
static LABEL_KEY: LazyLock<Option<Regex>> = LazyLock::new(|| {
    pattern(r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-._A-Za-z0-9]{0,61}[A-Za-z0-9])?$")
});
static QUANTITY: LazyLock<Option<Regex>> =
    LazyLock::new(|| pattern(r"^[0-9]{1,15}(\.[0-9]{1,9})?(m|k|Ki|M|Mi|G|Gi|T|Ti|P|Pi|E|Ei)?$"));
static IMAGE: LazyLock<Option<Regex>> = LazyLock::new(|| pattern(r"^[a-z0-9][a-zA-Z0-9._:/@-]{0,510}$"));
static PERCENT: LazyLock<Option<Regex>> = LazyLock::new(|| pattern(r"^([0-9]{1,9}|[0-9]{1,3}%)$"));
static PORT: LazyLock<Option<Regex>> = LazyLock::new(|| pattern(r"^([0-9]{1,5}|[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?)$"));
static RESOURCE: LazyLock<Option<Regex>> = LazyLock::new(|| pattern(r"^[a-z0-9]([-a-z0-9./]{0,120}[a-z0-9])?$"));
static PROBE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    pattern(
        r"^(readiness|liveness|startup)Probe\.(httpGet\.(port|path)|tcpSocket\.port|grpc\.port|initialDelaySeconds|timeoutSeconds|periodSeconds|failureThreshold)$",
    )
});

fn matches(rule: &LazyLock<Option<Regex>>, text: &str) -> bool {
    rule.as_ref().is_some_and(|rule| rule.is_match(text))
}

fn must(ok: bool, field: &'static str, why: &'static str) -> Result<(), ActionError> {
    if ok {
        Ok(())
    } else {
        Err(ActionError::Invalid { field, why })
    }
}

/// Kinds that each type changes, with their API version.
pub fn kinds(action: ActionType) -> &'static [(&'static str, &'static str)] {
    const ROLLED: &[(&str, &str)] = &[
        ("apps/v1", "Deployment"),
        ("apps/v1", "StatefulSet"),
        ("apps/v1", "DaemonSet"),
    ];
    const SCALED: &[(&str, &str)] = &[("apps/v1", "Deployment"), ("apps/v1", "StatefulSet")];
    const TEMPLATED: &[(&str, &str)] = &[
        ("apps/v1", "Deployment"),
        ("apps/v1", "StatefulSet"),
        ("apps/v1", "DaemonSet"),
        ("batch/v1", "CronJob"),
    ];
    match action {
        ActionType::RollbackRollout | ActionType::RestartRollout => ROLLED,
        ActionType::Scale => SCALED,
        ActionType::SetImage | ActionType::SetResources | ActionType::SetEnv | ActionType::PatchProbe => TEMPLATED,
        ActionType::PatchConfigMapKey => &[("v1", "ConfigMap")],
        ActionType::PatchService => &[("v1", "Service")],
        ActionType::PatchHpa => &[("autoscaling/v2", "HorizontalPodAutoscaler")],
        ActionType::PatchPdb => &[("policy/v1", "PodDisruptionBudget")],
        ActionType::PatchQuota => &[("v1", "ResourceQuota")],
        ActionType::SuspendCronJob | ActionType::ResumeCronJob => &[("batch/v1", "CronJob")],
        ActionType::CordonNode | ActionType::UncordonNode => &[("v1", "Node")],
    }
}

/// The change that type and parameters speak of.
pub fn change(planned: &PlannedAction) -> Result<Change, ActionError> {
    let p = &planned.parameters;
    let action = planned.action_type;
    let missing = |field: &'static str| ActionError::Missing { action, field };
    let from = || p.from.clone().ok_or(missing("parameters.from"));
    let to = || p.to.clone().ok_or(missing("parameters.to"));
    let field = || p.field.clone().ok_or(missing("parameters.field"));
    let index = || p.field_index.ok_or(missing("parameters.fieldIndex"));
    let container = || {
        Ok::<_, ActionError>(Container {
            name: p.container.clone().ok_or(missing("parameters.container"))?,
            index: p.container_index.ok_or(missing("parameters.containerIndex"))?,
        })
    };
    let parent_absent = p.parent_absent == Some(true);
    Ok(match action {
        ActionType::RollbackRollout => Change::RollbackRollout {
            from_revision: number(&from()?, "parameters.from")?,
            to_revision: number(&to()?, "parameters.to")?,
        },
        ActionType::RestartRollout => Change::RestartRollout { mark: to()? },
        ActionType::Scale => Change::Scale {
            from: number(&from()?, "parameters.from")?,
            to: number(&to()?, "parameters.to")?,
        },
        ActionType::SetImage => Change::SetImage {
            container: container()?,
            from: from()?,
            to: to()?,
        },
        ActionType::SetResources => {
            let field = field()?;
            let (section, resource) = field.split_once('.').ok_or(missing("parameters.field"))?;
            Change::SetResources {
                container: container()?,
                section: Section::from_str(section).map_err(|_| ActionError::Invalid {
                    field: "parameters.field",
                    why: "begins with limits. or requests.",
                })?,
                resource: resource.to_owned(),
                parent_absent,
                from: p.from.clone(),
                to: Some(to()?),
            }
        }
        ActionType::SetEnv => Change::SetEnv {
            container: container()?,
            name: field()?,
            place: match (p.from.is_some(), parent_absent) {
                (false, true) => EnvPlace::NewList,
                (true, true) => {
                    return Err(ActionError::Invalid {
                        field: "parameters.parentAbsent",
                        why: "a variable that is set stands in a list",
                    });
                }
                (true, false) => EnvPlace::At(index()?),
                (false, false) => EnvPlace::Append {
                    index: index()?,
                    generation: p.generation.ok_or(missing("parameters.generation"))?,
                },
            },
            from: p.from.clone(),
            to: Some(to()?),
        },
        ActionType::PatchConfigMapKey => Change::PatchConfigMapKey {
            key: field()?,
            parent_absent,
            from: p.from.clone(),
            to: p.to.clone(),
        },
        ActionType::PatchService => {
            let field = field()?;
            Change::PatchService {
                field: match field.strip_prefix("selector.") {
                    Some(key) => ServiceField::Selector(key.to_owned()),
                    None if field == "targetPort" => ServiceField::TargetPort(index()?),
                    None => {
                        return Err(ActionError::Invalid {
                            field: "parameters.field",
                            why: "is selector.KEY or targetPort",
                        });
                    }
                },
                from: from()?,
                to: to()?,
            }
        }
        ActionType::PatchProbe => Change::PatchProbe {
            container: container()?,
            field: field()?,
            from: from()?,
            to: to()?,
        },
        ActionType::PatchHpa => Change::PatchHpa {
            field: field()?,
            from: number(&from()?, "parameters.from")?,
            to: number(&to()?, "parameters.to")?,
        },
        ActionType::PatchPdb => Change::PatchPdb {
            field: field()?,
            from: from()?,
            to: to()?,
        },
        ActionType::PatchQuota => Change::PatchQuota {
            resource: field()?,
            from: from()?,
            to: to()?,
        },
        ActionType::SuspendCronJob => Change::SuspendCronJob,
        ActionType::ResumeCronJob => Change::ResumeCronJob,
        ActionType::CordonNode => Change::CordonNode,
        ActionType::UncordonNode => Change::UncordonNode,
    })
}

fn number<N: FromStr>(text: &str, field: &'static str) -> Result<N, ActionError> {
    text.parse().map_err(|_| ActionError::Invalid {
        field,
        why: "is not a whole number in range",
    })
}

/// The parameters that say this change, and nothing more.
pub fn parameters(change: &Change) -> ActionParameters {
    let mut p = ActionParameters::default();
    let mut of = |container: &Container| {
        p.container = Some(container.name.clone());
        p.container_index = Some(container.index);
    };
    match change {
        Change::SetImage { container, .. }
        | Change::SetResources { container, .. }
        | Change::SetEnv { container, .. }
        | Change::PatchProbe { container, .. } => of(container),
        _ => {}
    }
    let said = |flag: bool| flag.then_some(true);
    match change {
        Change::RollbackRollout {
            from_revision,
            to_revision,
        } => {
            p.from = Some(from_revision.to_string());
            p.to = Some(to_revision.to_string());
        }
        Change::RestartRollout { mark } => p.to = Some(mark.clone()),
        Change::Scale { from, to } => {
            p.from = Some(from.to_string());
            p.to = Some(to.to_string());
        }
        Change::PatchHpa { field, from, to } => {
            p.field = Some(field.clone());
            p.from = Some(from.to_string());
            p.to = Some(to.to_string());
        }
        Change::SetImage { from, to, .. } => {
            p.from = Some(from.clone());
            p.to = Some(to.clone());
        }
        Change::SetResources {
            section,
            resource,
            parent_absent,
            from,
            to,
            ..
        } => {
            p.field = Some(format!("{}.{resource}", section.as_ref()));
            p.parent_absent = said(*parent_absent);
            p.from.clone_from(from);
            p.to.clone_from(to);
        }
        Change::SetEnv {
            name, place, from, to, ..
        } => {
            p.field = Some(name.clone());
            match place {
                EnvPlace::At(index) => p.field_index = Some(*index),
                EnvPlace::Append { index, generation } => {
                    p.field_index = Some(*index);
                    p.generation = Some(*generation);
                }
                EnvPlace::NewList => p.parent_absent = Some(true),
            }
            p.from.clone_from(from);
            p.to.clone_from(to);
        }
        Change::PatchConfigMapKey {
            key,
            parent_absent,
            from,
            to,
        } => {
            p.field = Some(key.clone());
            p.parent_absent = said(*parent_absent);
            p.from.clone_from(from);
            p.to.clone_from(to);
        }
        Change::PatchService { field, from, to } => {
            match field {
                ServiceField::Selector(key) => p.field = Some(format!("selector.{key}")),
                ServiceField::TargetPort(index) => {
                    p.field = Some("targetPort".to_owned());
                    p.field_index = Some(*index);
                }
            }
            p.from = Some(from.clone());
            p.to = Some(to.clone());
        }
        Change::PatchProbe { field, from, to, .. }
        | Change::PatchPdb { field, from, to }
        | Change::PatchQuota {
            resource: field,
            from,
            to,
        } => {
            p.field = Some(field.clone());
            p.from = Some(from.clone());
            p.to = Some(to.clone());
        }
        Change::SuspendCronJob | Change::ResumeCronJob | Change::CordonNode | Change::UncordonNode => {}
    }
    p
}

/// Whether it is an action that the catalogue knows, with nothing in it that its command could not say exactly.
pub fn check(action: &Action) -> Result<(), ActionError> {
    let target = action.target();
    let kind = (target.api_version.as_str(), target.kind.as_str());
    if !kinds(action.action_type()).contains(&kind) {
        return Err(ActionError::UnknownKind {
            action: action.action_type(),
            api_version: target.api_version.clone(),
            kind: target.kind.clone(),
        });
    }
    must(
        matches(&NAME, &target.name),
        "target.name",
        "is not a name of Kubernetes",
    )?;
    must(matches(&UID, &target.uid), "target.uid", "is not a uid")?;
    match (&target.namespace, target.kind == "Node") {
        (None, true) => {}
        (Some(namespace), false) => must(matches(&LABEL, namespace), "target.namespace", "is not a namespace")?,
        (None, false) => must(false, "target.namespace", "is needed for objects of this kind")?,
        (Some(_), true) => must(false, "target.namespace", "a node has none")?,
    }
    check_change(action.change())?;
    let longest = action.inverse().map(|inverse| inverse.argv()).unwrap_or_default();
    if action
        .argv()
        .iter()
        .chain(&longest)
        .any(|part| part.chars().count() > MAX_ARGUMENT)
    {
        return Err(ActionError::TooLarge);
    }
    Ok(())
}

fn check_change(change: &Change) -> Result<(), ActionError> {
    let parameters = parameters(change);
    if parameters.from == parameters.to && parameters.to.is_some() {
        return Err(ActionError::NoChange);
    }
    for (value, field) in [(&parameters.from, "parameters.from"), (&parameters.to, "parameters.to")] {
        if let Some(value) = value {
            if value.chars().count() > MAX_VALUE {
                return Err(ActionError::TooLarge);
            }
            must(!value.contains('\0'), field, "holds a NUL")?;
        }
    }
    if let (Some(container), Some(index)) = (&parameters.container, parameters.container_index) {
        must(
            matches(&LABEL, container),
            "parameters.container",
            "is not a container's name",
        )?;
        must(
            (0..=255).contains(&index),
            "parameters.containerIndex",
            "is not from 0 to 255",
        )?;
    }
    if let Some(index) = parameters.field_index {
        must(
            (0..=1024).contains(&index),
            "parameters.fieldIndex",
            "is not from 0 to 1024",
        )?;
    }
    let both = |rule: &LazyLock<Option<Regex>>, why: &'static str| {
        for (value, field) in [(&parameters.from, "parameters.from"), (&parameters.to, "parameters.to")] {
            must(value.as_ref().is_none_or(|value| matches(rule, value)), field, why)?;
        }
        Ok(())
    };
    match change {
        Change::RollbackRollout {
            from_revision,
            to_revision,
        } => must(
            *to_revision >= 1 && to_revision != from_revision && *from_revision >= 1,
            "parameters.to",
            "is not another revision's number",
        ),
        Change::RestartRollout { mark } => must(
            !mark.is_empty()
                && mark.len() <= 64
                && mark.chars().all(|c| c.is_ascii_alphanumeric() || "-:.".contains(c)),
            "parameters.to",
            "is not a mark of letters, digits, '-', ':' and '.'",
        ),
        Change::Scale { from, to } => must(
            (0..=10_000).contains(from) && (0..=10_000).contains(to),
            "parameters.to",
            "is not from 0 to 10000",
        ),
        Change::SetImage { .. } => both(&IMAGE, "is not an image reference"),
        Change::SetResources {
            resource,
            parent_absent,
            from,
            ..
        } => {
            must(
                ["cpu", "memory", "ephemeral-storage"].contains(&resource.as_str()),
                "parameters.field",
                "is not about cpu, memory or ephemeral-storage",
            )?;
            must(
                !parent_absent || from.is_none(),
                "parameters.parentAbsent",
                "contradicts from",
            )?;
            both(&QUANTITY, "is not a quantity")
        }
        Change::SetEnv { name, .. } => must(
            !name.is_empty() && name.len() <= 253 && name.chars().all(|c| c.is_ascii_graphic() && c != '='),
            "parameters.field",
            "is not the name of a variable",
        ),
        Change::PatchConfigMapKey {
            key,
            parent_absent,
            from,
            to,
        } => {
            must(matches(&KEY, key), "parameters.field", "is not a key of a ConfigMap")?;
            must(
                !parent_absent || from.is_none(),
                "parameters.parentAbsent",
                "contradicts from",
            )?;
            must(
                from.is_some() || to.is_some(),
                "parameters.to",
                "is needed where there is no from",
            )
        }
        Change::PatchService { field, from, to } => match field {
            ServiceField::Selector(key) => {
                must(matches(&LABEL_KEY, key), "parameters.field", "is not a label's key")?;
                must(
                    from.len() <= 63 && to.len() <= 63,
                    "parameters.to",
                    "is not a label's value",
                )
            }
            ServiceField::TargetPort(_) => both(&PORT, "is neither a port's number nor its name"),
        },
        Change::PatchProbe { field, from, to, .. } => {
            must(
                matches(&PROBE, field),
                "parameters.field",
                "is not a field of a probe that may change",
            )?;
            if field.rsplit('.').next() == Some("path") {
                must(
                    from.starts_with('/') && to.starts_with('/'),
                    "parameters.to",
                    "is not a path",
                )
            } else {
                both(&PORT, "is neither a number nor a port's name")
            }
        }
        Change::PatchHpa { field, from, to } => {
            must(
                ["minReplicas", "maxReplicas"].contains(&field.as_str()),
                "parameters.field",
                "is minReplicas or maxReplicas",
            )?;
            must(
                (1..=10_000).contains(from) && (1..=10_000).contains(to),
                "parameters.to",
                "is not from 1 to 10000",
            )
        }
        Change::PatchPdb { field, .. } => {
            must(
                ["minAvailable", "maxUnavailable"].contains(&field.as_str()),
                "parameters.field",
                "is minAvailable or maxUnavailable",
            )?;
            both(&PERCENT, "is neither a number nor a percentage")
        }
        Change::PatchQuota { resource, .. } => {
            must(
                matches(&RESOURCE, resource),
                "parameters.field",
                "is not a resource of a quota",
            )?;
            both(&QUANTITY, "is not a quantity")
        }
        Change::SuspendCronJob | Change::ResumeCronJob | Change::CordonNode | Change::UncordonNode => Ok(()),
    }
}
