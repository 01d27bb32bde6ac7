//! How a target stands towards an action: as it was before, as it is to be, or otherwise. Decides whether ground has moved, what an
//! execution without a result has done, and whether a rollback took everything back. Pure: it reads one object as JSON.
//! Called by the executor before it claims, by the loop after `Unknown`, and by `verify`.

use serde_json::Value;

use super::action::Action;
use super::change::Change;
use super::render::RESTART_ANNOTATION;

/// How a target stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::AsRefStr, strum::Display)]
pub enum Standing {
    /// As observed when the plan was made.
    AtFrom,
    /// As the plan would have it.
    AtTo,
    /// Neither: somebody changed something else there.
    Elsewhere,
    /// Another object of the same name.
    OtherUid,
}

impl Action {
    /// How `object` stands. `revision`: its present revision, for kinds that do not carry it themselves.
    pub fn standing(&self, object: &Value, revision: Option<i64>) -> Standing {
        let uid = object.pointer("/metadata/uid").and_then(Value::as_str);
        if uid != Some(self.target().uid.as_str()) {
            return Standing::OtherUid;
        }
        match self.change() {
            Change::RollbackRollout { from_revision, .. } => {
                let now = revision.or_else(|| deployment_revision(object));
                match now.map(|now| now.saturating_sub(*from_revision)) {
                    // Each undo makes a new revision: one is the plan, two is the plan taken back.
                    Some(0 | 2) => Standing::AtFrom,
                    Some(1) => Standing::AtTo,
                    _ => Standing::Elsewhere,
                }
            }
            Change::RestartRollout { mark } => {
                let path = format!(
                    "/spec/template/metadata/annotations/{}",
                    RESTART_ANNOTATION.replace('/', "~1")
                );
                if object.pointer(&path).and_then(Value::as_str) == Some(mark) {
                    Standing::AtTo
                } else {
                    Standing::AtFrom
                }
            }
            Change::SetEnv {
                container,
                name,
                from,
                to,
                ..
            } => {
                let Some(found) = object.pointer(&self.container_path(container)) else {
                    return Standing::Elsewhere;
                };
                if found.get("name").and_then(Value::as_str) != Some(container.name.as_str()) {
                    return Standing::Elsewhere;
                }
                let value = variable(found, name);
                match value {
                    Variable::Absent if from.is_none() => Standing::AtFrom,
                    Variable::Absent if to.is_none() => Standing::AtTo,
                    Variable::Value(text) if Some(text) == from.as_deref() => Standing::AtFrom,
                    Variable::Value(text) if Some(text) == to.as_deref() => Standing::AtTo,
                    _ => Standing::Elsewhere,
                }
            }
            _ => {
                if tests_hold(self, object) {
                    return Standing::AtFrom;
                }
                match self.inverse() {
                    Some(inverse) if tests_hold(&inverse, object) => Standing::AtTo,
                    _ if is_absent_again(self, object) => Standing::AtFrom,
                    _ => Standing::Elsewhere,
                }
            }
        }
    }
}

/// A map that was made with its one member may stay, empty, when the member is gone again.
fn is_absent_again(action: &Action, object: &Value) -> bool {
    let (Change::PatchConfigMapKey {
        parent_absent: true, ..
    }
    | Change::SetResources {
        parent_absent: true, ..
    }) = action.change()
    else {
        return false;
    };
    action
        .inverse()
        .and_then(|inverse| inverse.operations().last().map(|last| last.path.clone()))
        .is_some_and(|path| object.pointer(&path).is_none())
}

fn tests_hold(action: &Action, object: &Value) -> bool {
    let operations = action.operations();
    !operations.is_empty()
        && operations
            .iter()
            .filter(|operation| operation.op == "test")
            .all(|operation| {
                object.pointer(&operation.path).unwrap_or(&Value::Null)
                    == operation.value.as_ref().unwrap_or(&Value::Null)
            })
}

enum Variable<'a> {
    Absent,
    Value(&'a str),
    Reference,
}

fn variable<'a>(container: &'a Value, name: &str) -> Variable<'a> {
    let mut all = container
        .get("env")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter(|entry| entry.get("name").and_then(Value::as_str) == Some(name));
    match (all.next(), all.next()) {
        (None, _) => Variable::Absent,
        (Some(one), None) if one.get("valueFrom").is_none() => {
            Variable::Value(one.get("value").and_then(Value::as_str).unwrap_or(""))
        }
        _ => Variable::Reference,
    }
}

/// The revision that a Deployment carries.
pub fn deployment_revision(object: &Value) -> Option<i64> {
    object
        .pointer("/metadata/annotations/deployment.kubernetes.io~1revision")
        .and_then(Value::as_str)
        .and_then(|text| text.parse().ok())
}

/// The newest revision among the ControllerRevisions that an object owns.
pub fn controller_revision<'a>(uid: &str, revisions: impl IntoIterator<Item = &'a Value>) -> Option<i64> {
    revisions
        .into_iter()
        .filter(|revision| {
            revision
                .pointer("/metadata/ownerReferences")
                .and_then(Value::as_array)
                .is_some_and(|owners| {
                    owners
                        .iter()
                        .any(|owner| owner.get("uid").and_then(Value::as_str) == Some(uid))
                })
        })
        .filter_map(|revision| revision.get("revision").and_then(Value::as_i64))
        .max()
}
