//! One remedy as actions: what evidence fixes becomes typed actions on observed objects; what it does not fix becomes a sentence that
//! says what a person must supply. Pure; must never complete a value by itself, nor put one into a plan that may be a credential.
//! Called by `plan`.

mod bounds;
mod configuration;
mod fit;
mod templates;

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use serde_json::Value;

use super::action::Action;
use super::change::{Change, Container};
use super::{objects, ownership};
use crate::api::ObjectName;
use crate::diagnosis::CaseFile;
use crate::diagnosis::case_file::Entry;
use crate::diagnosis::environment::looks_secret;
use crate::diagnosis::remedy::{ContainerRef, KnownValue, Remedy};
use crate::sandbox::redact::redact;

/// What the sandbox's redaction leaves in place of a secret: never to be written back.
const REDACTED: &str = "[redacted:";

/// Where an incident's actions may reach.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// The incident's namespace: no object of another one is changed.
    pub namespace: String,
    /// Whether nodes may be.
    pub nodes: Nodes,
}

/// Whether an incident's actions may change nodes, which serve every namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Nodes {
    /// The executor has no right on nodes (chart value `remediation.nodes`).
    #[default]
    Off,
    /// It has, but only incidents of the operator's namespace, this one, may use it.
    OnlyFrom(String),
    /// This incident may.
    Allowed,
}

/// What a remedy comes to.
#[derive(Clone, Debug, PartialEq)]
pub enum Proposal {
    /// These actions, in this order, resting on this evidence beside the finding's own.
    Actions {
        /// The actions.
        actions: Vec<Action>,
        /// What a person should see of it: the difference of pod templates, or why it is only a relief.
        diff: Option<String>,
        /// Where values were read.
        evidence: Vec<String>,
    },
    /// A person must do it, and why; with what is to be applied, where that can be written down.
    Manual {
        /// What and why.
        reason: String,
        /// A manifest for people: Firewatch applies none.
        manifest: Option<String>,
    },
    /// The object belongs to a tool; the change belongs to its source.
    AtSource {
        /// Why.
        reason: String,
        /// The change, and where.
        fix: String,
    },
}

struct Planning<'a> {
    case: &'a CaseFile,
    reach: &'a Reach,
}

/// What a remedy comes to, within this reach.
pub fn propose(remedy: &Remedy, case: &CaseFile, reach: &Reach) -> Proposal {
    let planning = Planning { case, reach };
    let manual = |reason| Proposal::Manual { reason, manifest: None };
    if let Remedy::Manifest { instruction, manifest } = remedy {
        return Proposal::Manual {
            reason: instruction.clone(),
            manifest: Some(manifest.clone()),
        };
    }
    let built = match planning.build(remedy) {
        Ok(built) => built,
        Err(reason) => return manual(reason),
    };
    for action in &built.actions {
        if let Some(reason) = secret_in(action) {
            return manual(reason);
        }
        let name = target_name(action);
        let metadata = case.entry(&name).and_then(|entry| entry.object.metadata());
        if let Some(source) = metadata.and_then(ownership::source) {
            return Proposal::AtSource {
                reason: format!("{name} is written by {source}: a change in the cluster would be reverted there"),
                fix: format!("In {source}: {}", action.summary()),
            };
        }
    }
    Proposal::Actions {
        actions: built.actions,
        diff: built.diff,
        evidence: built.evidence,
    }
}

fn target_name(action: &Action) -> ObjectName {
    let target = action.target();
    ObjectName {
        kind: target.kind.clone(),
        namespace: target.namespace.clone(),
        name: target.name.clone(),
    }
}

/// Why an action would put a credential into a plan, or one that redaction took out back into the cluster.
fn secret_in(action: &Action) -> Option<String> {
    let parameters = super::parse::parameters(action.change());
    let valued = matches!(
        action.change(),
        Change::SetEnv { .. } | Change::PatchConfigMapKey { .. }
    );
    let field = parameters.field.as_deref().filter(|_| valued).unwrap_or_default();
    let secret = [&parameters.from, &parameters.to]
        .into_iter()
        .flatten()
        .any(|value| is_secret(field, value));
    secret.then(|| {
        format!(
            "{field} of {} may be a credential, which Firewatch neither reads nor writes: a person must set it",
            target_name(action)
        )
    })
}

/// Whether a value, of a setting of this name, may be a credential.
fn is_secret(name: &str, value: &str) -> bool {
    value.contains(REDACTED) || redact(value).count > 0 || looks_secret(name, value)
}

/// Actions, what a person should see of them, and where their values were read.
#[derive(Default)]
struct Built {
    actions: Vec<Action>,
    diff: Option<String>,
    evidence: Vec<String>,
}

impl Built {
    fn one(action: Action) -> Self {
        Self {
            actions: vec![action],
            ..Self::default()
        }
    }

    fn known(action: Action, value: &KnownValue) -> Self {
        Self {
            evidence: value.evidence.clone(),
            ..Self::one(action)
        }
    }

    fn shows(action: Action, diff: impl Into<String>) -> Self {
        Self {
            diff: Some(diff.into()),
            ..Self::one(action)
        }
    }
}

impl Planning<'_> {
    fn build(&self, remedy: &Remedy) -> Result<Built, String> {
        match remedy {
            Remedy::MissingConfigMapKey { .. }
            | Remedy::WrongConfigMapValue { .. }
            | Remedy::ConfigMapReference { .. } => self.configuration(remedy),
            Remedy::Env { .. }
            | Remedy::ProbePort { .. }
            | Remedy::ProbeField { .. }
            | Remedy::Resources { .. }
            | Remedy::Image { .. } => self.template(remedy),
            Remedy::BadRevision {
                workload,
                from_revision,
                to_revision,
                diff,
            } => {
                let change = Change::RollbackRollout {
                    from_revision: *from_revision,
                    to_revision: *to_revision,
                };
                Ok(Built::shows(self.action(workload, change)?, diff))
            }
            Remedy::Restart { workload, reason } => Ok(Built::shows(self.restart(workload)?, reason)),
            Remedy::Relief { remedy, reason } => Ok(Built {
                diff: Some(format!("Relief, not a repair: {reason}")),
                ..self.build(remedy)?
            }),
            Remedy::UncordonNode { node } => self.node(node, Change::UncordonNode),
            Remedy::CordonNode { node, reason } => Ok(Built {
                diff: Some(format!("Relief, not a repair: {reason}")),
                ..self.node(node, Change::CordonNode)?
            }),
            Remedy::Manual { instruction } | Remedy::Manifest { instruction, .. } => Err(instruction.clone()),
            Remedy::FirstOf { .. } => Err("no remedy is known".to_owned()),
            _ => self.bound(remedy),
        }
    }

    /// A value that evidence shows, or what a person must supply.
    #[allow(clippy::unused_self, reason = "reads better beside the others")]
    fn known<'k>(&self, value: Option<&'k KnownValue>, lack: &str, command: &str) -> Result<&'k KnownValue, String> {
        match value {
            None => Err(format!(
                "{lack}; no evidence shows the right value, so a person must supply it: {command}"
            )),
            Some(known) if known.value.contains(REDACTED) => Err(format!(
                "{lack}; the value in {} looks like a secret and was not read, so a person must supply it: {command}",
                known.source
            )),
            Some(known) => Ok(known),
        }
    }

    /// How a person would change it by hand: `kubectl VERB KIND/NAME -n NAMESPACE`.
    fn by_hand(&self, verb: &str, object: &ObjectName) -> String {
        format!(
            "kubectl {verb} {}/{} -n {}",
            object.kind.to_lowercase(),
            object.name,
            self.reach.namespace
        )
    }

    fn entry(&self, name: &ObjectName) -> Result<&Entry, String> {
        let foreign = match &name.namespace {
            Some(namespace) => *namespace != self.reach.namespace,
            None => name.kind != "Node",
        };
        if foreign {
            return Err(format!(
                "{name} lies in namespace {}, outside the incident's: it must be changed by those who own it",
                name.namespace.as_deref().unwrap_or("(none)")
            ));
        }
        self.case
            .entry(name)
            .ok_or_else(|| format!("{name} was not seen, so nothing about it can be changed"))
    }

    fn node(&self, name: &ObjectName, change: Change) -> Result<Built, String> {
        let command = if change == Change::CordonNode {
            "cordon"
        } else {
            "uncordon"
        };
        let by_hand = format!("kubectl {command} {}", name.name);
        match &self.reach.nodes {
            Nodes::Allowed => Ok(Built::one(self.action(name, change)?)),
            Nodes::Off => Err(format!(
                "{name} serves every namespace, and Firewatch has no right on nodes here (chart value remediation.nodes is \
                 off), so a person must: {by_hand}"
            )),
            Nodes::OnlyFrom(operator) => Err(format!(
                "{name} serves every namespace, so only an incident in namespace {operator} may change it; \
                 report it there, or: {by_hand}"
            )),
        }
    }

    fn action(&self, name: &ObjectName, change: Change) -> Result<Action, String> {
        let entry = self.entry(name)?;
        Action::new(objects::target(name, entry), change)
            .map_err(|error| format!("{name} cannot be changed by Firewatch: {error}"))
    }

    fn container(&self, of: &ContainerRef) -> Result<(Container, Value), String> {
        let entry = self.entry(&of.workload)?;
        let object = objects::json(&entry.object);
        objects::container(&of.workload.kind, &object, &of.container)
            .map(|(place, found)| (place, found.clone()))
            .ok_or_else(|| {
                format!(
                    "{} has no container {} that Firewatch may change",
                    of.workload, of.container
                )
            })
    }

    fn restart(&self, workload: &ObjectName) -> Result<Action, String> {
        let seconds = self.case.now().as_second();
        let mark = k8s_openapi::jiff::Timestamp::from_second(seconds).map_err(|error| error.to_string())?;
        self.action(workload, Change::RestartRollout { mark: mark.to_string() })
    }

    /// The autoscaler that chooses a workload's replicas.
    fn autoscaler(&self, workload: &ObjectName) -> Option<String> {
        self.case
            .all::<HorizontalPodAutoscaler>()
            .find(|(_, hpa, _)| {
                hpa.spec.as_ref().is_some_and(|spec| {
                    spec.scale_target_ref.kind == workload.kind && spec.scale_target_ref.name == workload.name
                })
            })
            .map(|(name, _, _)| name.name.clone())
    }
}

fn fixed(value: Option<&String>, what: &str) -> Result<String, String> {
    value
        .cloned()
        .ok_or_else(|| format!("no evidence shows the right value, so a person must supply it: {what}"))
}
