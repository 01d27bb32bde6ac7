//! Risk, impact and summary of actions, computed from their typed values and from nothing else: the executor computes them again and
//! refuses a plan that told a person something else. Called by `action`, `plan`, `approval::verify` and the plugin.

use super::action::{Action, ActionError};
use super::change::{Change, RefPlace, Section, ServiceField};
use crate::api::{PlannedAction, Risk};

impl Action {
    /// What may go wrong.
    ///
    /// `Low`: reversible, one object, no restart of what serves. `Medium`: restarts or redirects what serves, or others may use the
    /// object. `High`: reaches beyond the namespace, or takes away what serves.
    pub fn risk(&self) -> Risk {
        match self.change() {
            Change::Scale { to: 0, .. } | Change::CordonNode => Risk::High,
            Change::Scale { from, to } if to > from => Risk::Low,
            Change::PatchHpa { from, to, .. } if to > from => Risk::Low,
            // A key that was not there is read by nobody but who misses it.
            Change::PatchConfigMapKey { from: None, .. } | Change::ResumeCronJob => Risk::Low,
            Change::PatchConfigMapKey { to: None, .. } => Risk::High,
            Change::Scale { .. }
            | Change::RollbackRollout { .. }
            | Change::RestartRollout { .. }
            | Change::SetImage { .. }
            | Change::SetResources { .. }
            | Change::SetEnv { .. }
            | Change::SetConfigMapRef { .. }
            | Change::RetargetHpa { .. }
            | Change::PatchConfigMapKey { .. }
            | Change::PatchService { .. }
            | Change::PatchProbe { .. }
            | Change::PatchHpa { .. }
            | Change::PatchPdb { .. }
            | Change::PatchQuota { .. }
            | Change::SuspendCronJob
            | Change::UncordonNode => Risk::Medium,
        }
    }

    /// What it does to those who use the object: its blast radius, in a sentence or two.
    pub fn impact(&self) -> String {
        let target = self.target();
        let name = format!("{}/{}", target.kind, target.name);
        let replaced = if target.kind == "CronJob" {
            format!("Jobs that {name} makes from now on")
        } else {
            format!("all pods of {name} are replaced, as its update strategy allows")
        };
        match self.change() {
            Change::RollbackRollout {
                from_revision,
                to_revision,
            } => format!(
                "{replaced}: the pod template of revision {from_revision} gives way to that of revision {to_revision}"
            ),
            Change::RestartRollout { .. } => format!("{replaced}; nothing else changes, and nothing takes it back"),
            Change::Scale { from, to } if to > from => {
                format!("{name} gets {} more pod(s); those that run are not touched", to - from)
            }
            Change::Scale { to: 0, .. } => format!("{name} is stopped: no pod of it is left"),
            Change::Scale { from, to } => format!("{} pod(s) of {name} are ended", from - to),
            Change::SetResources {
                section: Section::Requests,
                ..
            } => format!("{replaced}; the scheduler reserves another amount for each"),
            Change::SetImage { .. }
            | Change::PatchProbe { .. }
            | Change::SetEnv { .. }
            | Change::SetConfigMapRef { .. }
            | Change::SetResources { .. } => replaced,
            Change::PatchConfigMapKey { key, from: None, .. } => {
                format!(
                    "{name} gets the key {key}; its other keys stay. Who reads it from the environment sees it at the next start"
                )
            }
            Change::PatchConfigMapKey { key, to: None, .. } => {
                format!("{name} loses the key {key}: who needs it cannot start")
            }
            Change::PatchConfigMapKey { key, .. } => {
                format!("everything that reads {key} of {name} gets the new value, at its next start or within minutes")
            }
            Change::PatchService {
                field: ServiceField::Selector(_),
                ..
            } => format!("{name} sends its callers to other pods, at once"),
            Change::PatchService { .. } => format!("{name} sends its callers to another port of its pods, at once"),
            Change::RetargetHpa { from, to } => {
                format!("{name} chooses the number of pods of {to} from now on, and no longer of {from}")
            }
            Change::PatchHpa { .. } => format!("{name} may choose another number of pods"),
            Change::PatchPdb { .. } => format!("{name} lets another number of pods be evicted at once"),
            Change::PatchQuota { resource, .. } => {
                format!("everything in the namespace together may use another amount of {resource}")
            }
            Change::SuspendCronJob => format!("{name} makes no new Jobs; those that run go on"),
            Change::ResumeCronJob => format!("{name} makes Jobs again, by its schedule"),
            Change::CordonNode => format!("no new pod of any namespace is placed on {name}; those that run stay"),
            Change::UncordonNode => format!("new pods of any namespace may be placed on {name}"),
        }
    }

    /// In a few words, for one line.
    pub fn summary(&self) -> String {
        let target = self.target();
        let name = format!("{}/{}", target.kind, target.name);
        let was = |from: &Option<String>| from.as_ref().map_or("(not set)".to_owned(), |value| brief(value));
        let is = |to: &Option<String>| to.as_ref().map_or("(removed)".to_owned(), |value| brief(value));
        match self.change() {
            Change::RollbackRollout {
                from_revision,
                to_revision,
            } => format!("roll {name} back from revision {from_revision} to {to_revision}"),
            Change::RestartRollout { .. } => format!("restart {name}"),
            Change::Scale { from, to } => format!("scale {name} from {from} to {to}"),
            Change::SetImage {
                container, from, to, ..
            } => format!(
                "set the image of {name} ({}) from {} to {}",
                container.name,
                brief(from),
                brief(to)
            ),
            Change::SetResources {
                container,
                section,
                resource,
                from,
                to,
                ..
            } => format!(
                "set {}.{resource} of {name} ({}) from {} to {}",
                section.as_ref(),
                container.name,
                was(from),
                is(to)
            ),
            Change::SetEnv {
                container,
                name: variable,
                from,
                to,
                ..
            } => format!(
                "set {variable} of {name} ({}) from {} to {}",
                container.name,
                was(from),
                is(to)
            ),
            Change::SetConfigMapRef { place, from, to } => {
                let what = match place {
                    RefPlace::Env { container, name, .. } => format!("{name} ({})", container.name),
                    RefPlace::EnvFrom { container, .. } => format!("the environment ({})", container.name),
                    RefPlace::Volume { name, .. } => format!("the volume {name}"),
                };
                format!("let {what} of {name} read ConfigMap {to} instead of {from}")
            }
            Change::RetargetHpa { from, to } => format!("let {name} scale {to} instead of {from}"),
            Change::PatchConfigMapKey { key, from, to, .. } => {
                format!("set {key} in {name} from {} to {}", was(from), is(to))
            }
            Change::PatchService { field, from, to } => match field {
                ServiceField::Selector(key) => {
                    format!("let {name} select {key}={} instead of {key}={}", brief(to), brief(from))
                }
                ServiceField::TargetPort(_) => {
                    format!("point {name} at port {} instead of {}", brief(to), brief(from))
                }
            },
            Change::PatchProbe { field, from, to, .. } => {
                format!("set {field} of {name} from {} to {}", brief(from), brief(to))
            }
            Change::PatchHpa { field, from, to } => format!("set {field} of {name} from {from} to {to}"),
            Change::PatchPdb { field, from, to } => format!("set {field} of {name} from {from} to {to}"),
            Change::PatchQuota { resource, from, to } => {
                format!("raise or lower {resource} of {name} from {from} to {to}")
            }
            Change::SuspendCronJob => format!("suspend {name}"),
            Change::ResumeCronJob => format!("resume {name}"),
            Change::CordonNode => format!("cordon {name}"),
            Change::UncordonNode => format!("uncordon {name}"),
        }
    }
}

/// A value, short enough for a line, with nothing that could break it.
fn brief(value: &str) -> String {
    let one_line: String = value.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if one_line.chars().count() <= 80 && !one_line.is_empty() {
        return one_line;
    }
    if one_line.is_empty() {
        return "(empty)".to_owned();
    }
    let head: String = one_line.chars().take(79).collect();
    format!("{head}…")
}

/// A plan in one line.
pub fn summary(actions: &[Action]) -> String {
    let parts: Vec<String> = actions.iter().map(Action::summary).collect();
    crate::text::clip(&parts.join(", then "), 1024)
}

/// The highest risk of a plan's actions.
pub fn risk(actions: &[Action]) -> Risk {
    actions.iter().map(Action::risk).max().unwrap_or(Risk::Low)
}

/// How long carrying it out should take, in seconds: pods have to be replaced, or only an object to be changed.
pub fn estimated_seconds(actions: &[Action]) -> i64 {
    let one = |action: &Action| match action.change() {
        Change::RollbackRollout { .. }
        | Change::RestartRollout { .. }
        | Change::SetImage { .. }
        | Change::SetResources { .. }
        | Change::SetEnv { .. }
        | Change::SetConfigMapRef { .. }
        | Change::PatchProbe { .. }
        | Change::Scale { .. } => 45,
        _ => 5,
    };
    // Verification looks twice at what has settled.
    actions.iter().map(one).sum::<i64>().saturating_add(30)
}

/// The action with everything that can be computed computed again: what a person must see, whatever was stored.
pub fn recomputed(planned: &PlannedAction) -> Result<PlannedAction, ActionError> {
    let action = Action::try_from(planned)?;
    let mut again = action.to_planned(&planned.id, &planned.evidence, None);
    again.diff.clone_from(&planned.diff);
    Ok(again)
}
