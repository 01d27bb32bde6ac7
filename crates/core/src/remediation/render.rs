//! The exact command of an action, as argv. Most are one `kubectl patch --type=json` whose `test` operations pin the uid, the
//! container's name and the old value, so that the API server itself refuses a change whose ground has moved.
//!
//! - **Absence.** `{"op":"test","path":"/data/KEY","value":null}` holds exactly where the key is absent: that is how the API server's
//!   JSON Patch (evanphx/json-patch v4) reads a missing member of a map, and no value of these maps can be null. RFC 6902 does not
//!   promise it, so a test against a live API server does.
//! - **Absent parents.** `add` below a map that is not there fails. So the parent is tested for null and made with its one member.
//! - **Lists** cannot be tested for the absence of a name: see `EnvPlace::Append`.
//! - **A restart** is a merge patch: it names the uid, which the API server refuses to change, and a mark, so that a second run
//!   changes nothing.
//!
//! No shell ever reads these. Must never render what the typed values do not say. Called by `action`, the executor and the plugin.

use serde_json::{Map, Value, json};

use super::action::Action;
use super::change::{Change, Container, EnvPlace, RefPlace, ServiceField};

/// The annotation of a pod template by which pods are replaced.
pub const RESTART_ANNOTATION: &str = "firewatch.dev/restarted-at";

/// One operation of a JSON Patch.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    /// `test`, `add`, `replace` or `remove`.
    pub op: &'static str,
    /// JSON Pointer.
    pub path: String,
    /// Absent for `remove`.
    pub value: Option<Value>,
}

impl Operation {
    fn new(op: &'static str, path: impl Into<String>, value: Value) -> Self {
        Self {
            op,
            path: path.into(),
            value: Some(value),
        }
    }

    fn remove(path: impl Into<String>) -> Self {
        Self {
            op: "remove",
            path: path.into(),
            value: None,
        }
    }

    fn to_json(&self) -> Value {
        let mut object = Map::new();
        object.insert("op".to_owned(), self.op.into());
        object.insert("path".to_owned(), self.path.as_str().into());
        if let Some(value) = &self.value {
            object.insert("value".to_owned(), value.clone());
        }
        Value::Object(object)
    }
}

/// One member of a JSON Pointer, escaped.
fn escape(member: &str) -> String {
    member.replace('~', "~0").replace('/', "~1")
}

/// Digits are a number to Kubernetes' IntOrString, everything else is text.
fn int_or_string(text: &str) -> Value {
    text.parse::<i32>().map_or_else(|_| text.into(), Value::from)
}

/// From one value to another at a member of a map; `None` is absence. `parent` is made where it is absent.
fn member(parent: &str, parent_absent: bool, key: &str, from: Option<Value>, to: Option<Value>) -> Vec<Operation> {
    let path = format!("{parent}/{}", escape(key));
    let mut operations = Vec::new();
    if parent_absent && let Some(to) = to {
        operations.push(Operation::new("test", parent, Value::Null));
        operations.push(Operation::new(
            "add",
            parent,
            Value::Object(Map::from_iter([(key.to_owned(), to)])),
        ));
        return operations;
    }
    let absent = from.is_none();
    operations.push(Operation::new("test", path.as_str(), from.unwrap_or(Value::Null)));
    match to {
        None => operations.push(Operation::remove(path)),
        Some(to) => operations.push(Operation::new(if absent { "add" } else { "replace" }, path, to)),
    }
    operations
}

impl Action {
    /// Where the pod template's spec is.
    pub(super) fn pod_spec(&self) -> &'static str {
        if self.target().kind == "CronJob" {
            "/spec/jobTemplate/spec/template/spec"
        } else {
            "/spec/template/spec"
        }
    }

    pub(super) fn container_path(&self, container: &Container) -> String {
        let list = if container.init { "initContainers" } else { "containers" };
        format!("{}/{list}/{}", self.pod_spec(), container.index)
    }

    /// The JSON Patch. Empty for what is no JSON Patch: a rollback and a restart of a rollout.
    pub fn operations(&self) -> Vec<Operation> {
        let text = |value: &Option<String>| value.as_deref().map(Value::from);
        let mut operations = vec![Operation::new(
            "test",
            "/metadata/uid",
            self.target().uid.as_str().into(),
        )];
        let mut at = |container: &Container| {
            let path = self.container_path(container);
            operations.push(Operation::new(
                "test",
                format!("{path}/name"),
                container.name.as_str().into(),
            ));
            path
        };
        let change = match self.change() {
            Change::RollbackRollout { .. } | Change::RestartRollout { .. } => return Vec::new(),
            Change::Scale { from, to } => member("/spec", false, "replicas", Some((*from).into()), Some((*to).into())),
            Change::SetImage { container, from, to } => {
                let path = at(container);
                member(
                    &path,
                    false,
                    "image",
                    Some(from.as_str().into()),
                    Some(to.as_str().into()),
                )
            }
            Change::SetResources {
                container,
                section,
                resource,
                parent_absent,
                from,
                to,
            } => {
                let path = format!("{}/resources/{}", at(container), section.as_ref());
                member(&path, *parent_absent, resource, text(from), text(to))
            }
            Change::SetEnv {
                container,
                name,
                place,
                from,
                to,
            } => {
                let path = format!("{}/env", at(container));
                set_env(&path, name, place, from.as_deref(), to.as_deref())
            }
            Change::SetConfigMapRef { place, from, to } => {
                let (before, path) = match place {
                    RefPlace::Env { container, index, name } => {
                        let variable = format!("{}/env/{index}", at(container));
                        (
                            Some((format!("{variable}/name"), name)),
                            format!("{variable}/valueFrom/configMapKeyRef"),
                        )
                    }
                    RefPlace::EnvFrom { container, index } => {
                        (None, format!("{}/envFrom/{index}/configMapRef", at(container)))
                    }
                    RefPlace::Volume { index, name } => {
                        let volume = format!("{}/volumes/{index}", self.pod_spec());
                        (Some((format!("{volume}/name"), name)), format!("{volume}/configMap"))
                    }
                };
                operations.extend(before.map(|(path, name)| Operation::new("test", path, name.as_str().into())));
                references(&path, from, to)
            }
            Change::RetargetHpa { from, to } => references("/spec/scaleTargetRef", from, to),
            Change::PatchConfigMapKey {
                key,
                parent_absent,
                from,
                to,
            } => member("/data", *parent_absent, key, text(from), text(to)),
            Change::PatchService {
                field: ServiceField::Selector(key),
                from,
                to,
            } => member(
                "/spec/selector",
                false,
                key,
                Some(from.as_str().into()),
                Some(to.as_str().into()),
            ),
            Change::PatchService {
                field: ServiceField::TargetPort(index),
                from,
                to,
            } => member(
                &format!("/spec/ports/{index}"),
                false,
                "targetPort",
                Some(int_or_string(from)),
                Some(int_or_string(to)),
            ),
            Change::PatchProbe {
                container,
                field,
                from,
                to,
            } => {
                let path = format!("{}/{}", at(container), field.replace('.', "/"));
                let (parent, key) = path.rsplit_once('/').unwrap_or(("", &path));
                let value = |text: &str| match (key, text) {
                    ("path", text) => Some(text.into()),
                    // The one number of a probe that has no default: 0 is not stored.
                    ("initialDelaySeconds", "0") => None,
                    (_, text) => Some(int_or_string(text)),
                };
                member(parent, false, key, value(from), value(to))
            }
            Change::PatchHpa { field, from, to } => {
                member("/spec", false, field, Some((*from).into()), Some((*to).into()))
            }
            Change::PatchPdb { field, from, to } => member(
                "/spec",
                false,
                field,
                Some(int_or_string(from)),
                Some(int_or_string(to)),
            ),
            Change::PatchQuota { resource, from, to } => member(
                "/spec/hard",
                false,
                resource,
                Some(from.as_str().into()),
                Some(to.as_str().into()),
            ),
            Change::SuspendCronJob => member("/spec", false, "suspend", Some(false.into()), Some(true.into())),
            Change::ResumeCronJob => member("/spec", false, "suspend", Some(true.into()), Some(false.into())),
            Change::CordonNode => member("/spec", false, "unschedulable", None, Some(true.into())),
            Change::UncordonNode => member("/spec", false, "unschedulable", Some(true.into()), None),
        };
        operations.extend(change);
        operations
    }

    /// The whole command.
    pub fn argv(&self) -> Vec<String> {
        let target = self.target();
        let kind = target.kind.to_lowercase();
        let mut argv: Vec<String> = vec!["kubectl".to_owned()];
        let mut say = |parts: &[&str]| argv.extend(parts.iter().map(|part| (*part).to_owned()));
        if matches!(self.change(), Change::RollbackRollout { .. }) {
            say(&["rollout", "undo", &format!("{kind}/{}", target.name)]);
        } else {
            say(&["patch", &kind, &target.name]);
        }
        if let Some(namespace) = &target.namespace {
            say(&["-n", namespace]);
        }
        match self.change() {
            Change::RollbackRollout { to_revision, .. } => say(&[&format!("--to-revision={to_revision}")]),
            Change::RestartRollout { mark } => {
                let annotations =
                    Value::Object(Map::from_iter([(RESTART_ANNOTATION.to_owned(), mark.as_str().into())]));
                let patch = json!({
                    "metadata": {"uid": target.uid},
                    "spec": {"template": {"metadata": {"annotations": annotations}}},
                });
                say(&["--type=merge", "-p", &patch.to_string()]);
            }
            _ => {
                let operations = Value::Array(self.operations().iter().map(Operation::to_json).collect());
                say(&["--type=json", "-p", &operations.to_string()]);
            }
        }
        argv
    }

    /// The same command, tried by the API server and not carried out.
    pub fn dry_run_argv(&self) -> Vec<String> {
        let mut argv = self.argv();
        argv.push("--dry-run=server".to_owned());
        argv
    }
}

/// A reference of one or two parts (`MAP`, `MAP/KEY`, `KIND/NAME`), all of them tested, those that differ replaced.
fn references(path: &str, from: &str, to: &str) -> Vec<Operation> {
    let keys: &[&str] = match (path.ends_with("scaleTargetRef"), from.contains('/')) {
        (true, _) => &["kind", "name"],
        (false, true) => &["name", "key"],
        (false, false) => &["name"],
    };
    let parts = || keys.iter().zip(from.splitn(2, '/').zip(to.splitn(2, '/')));
    let tests = parts().map(|(key, (from, _))| Operation::new("test", format!("{path}/{key}"), from.into()));
    let writes = parts()
        .filter(|(_, (from, to))| from != to)
        .map(|(key, (_, to))| Operation::new("replace", format!("{path}/{key}"), to.into()));
    tests.chain(writes).collect()
}

fn set_env(path: &str, name: &str, place: &EnvPlace, from: Option<&str>, to: Option<&str>) -> Vec<Operation> {
    let entry = |value: &str| {
        Value::Object(Map::from_iter([
            ("name".to_owned(), name.into()),
            ("value".to_owned(), value.into()),
        ]))
    };
    match (place, to) {
        (EnvPlace::NewList, Some(to)) => vec![
            Operation::new("test", path, Value::Null),
            Operation::new("add", path, Value::Array(vec![entry(to)])),
        ],
        (EnvPlace::Append { index, generation }, Some(to)) => vec![
            Operation::new("test", "/metadata/generation", (*generation).into()),
            Operation::new("add", format!("{path}/{index}"), entry(to)),
        ],
        (EnvPlace::At(index), to) => {
            let variable = format!("{path}/{index}");
            let mut operations = vec![Operation::new("test", format!("{variable}/name"), name.into())];
            // An empty value is not stored.
            let held = from.filter(|value| !value.is_empty()).map(Value::from);
            if to.is_some() {
                operations.extend(member(&variable, false, "value", held, to.map(Value::from)));
            } else {
                operations.push(Operation::new(
                    "test",
                    format!("{variable}/value"),
                    held.unwrap_or(Value::Null),
                ));
                operations.push(Operation::remove(variable));
            }
            operations
        }
        (EnvPlace::NewList | EnvPlace::Append { .. }, None) => Vec::new(),
    }
}
