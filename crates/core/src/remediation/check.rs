//! What a target and a parameter may hold: text that reaches an argv is checked here, so that a name can be neither an option nor a
//! path. Must never accept what `render` cannot express exactly. Called by `action` alone.

use std::sync::LazyLock;

use regex::Regex;

use super::action::{Action, ActionError};
use super::change::{Change, RefPlace, ServiceField};
use super::parse::parameters;
use crate::api::ActionType;

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
static SCALED: LazyLock<Option<Regex>> =
    LazyLock::new(|| pattern(r"^(Deployment|StatefulSet)/[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$"));
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
        ActionType::SetImage
        | ActionType::SetResources
        | ActionType::SetEnv
        | ActionType::SetConfigMapRef
        | ActionType::PatchProbe => TEMPLATED,
        ActionType::PatchConfigMapKey => &[("v1", "ConfigMap")],
        ActionType::PatchService => &[("v1", "Service")],
        ActionType::PatchHpa => &[("autoscaling/v2", "HorizontalPodAutoscaler")],
        ActionType::PatchPdb => &[("policy/v1", "PodDisruptionBudget")],
        ActionType::PatchQuota => &[("v1", "ResourceQuota")],
        ActionType::SuspendCronJob | ActionType::ResumeCronJob => &[("batch/v1", "CronJob")],
        ActionType::CordonNode | ActionType::UncordonNode => &[("v1", "Node")],
    }
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

fn is_variable(name: &str) -> bool {
    !name.is_empty() && name.len() <= 253 && name.chars().all(|c| c.is_ascii_graphic() && c != '=')
}

fn check_ref(place: &RefPlace, from: &str, to: &str) -> Result<(), ActionError> {
    let map_and_key = |text: &str| {
        text.split_once('/')
            .is_some_and(|(map, key)| matches(&NAME, map) && matches(&KEY, key))
    };
    let (named, valued, why) = match place {
        // `env.` and the name must fit into one field.
        RefPlace::Env { name, .. } => (
            is_variable(name) && name.len() <= 249,
            map_and_key(from) && map_and_key(to),
            "is not CONFIGMAP/KEY",
        ),
        RefPlace::EnvFrom { .. } => (
            true,
            matches(&NAME, from) && matches(&NAME, to),
            "is not a ConfigMap's name",
        ),
        RefPlace::Volume { name, .. } => (
            matches(&LABEL, name),
            matches(&NAME, from) && matches(&NAME, to),
            "is not a ConfigMap's name",
        ),
    };
    must(named, "parameters.field", "is not the name of a variable or volume")?;
    must(valued, "parameters.to", why)
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
        Change::SetEnv { name, .. } => must(is_variable(name), "parameters.field", "is not the name of a variable"),
        Change::SetConfigMapRef { place, from, to } => check_ref(place, from, to),
        Change::RetargetHpa { .. } => both(&SCALED, "is not Deployment/NAME or StatefulSet/NAME"),
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
