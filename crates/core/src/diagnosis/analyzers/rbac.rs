//! Identities that the API server refuses: a program that asks the Kubernetes API for what its ServiceAccount may not do.
//!
//! Evidence: the program's log (the API server's own words), Roles and RoleBindings. Looks alike: a refusal by another server's
//! authorisation, which names no `User "system:serviceaccount:…"`.

use std::sync::LazyLock;

use k8s_openapi::api::rbac::v1::{Role as RbacRole, RoleBinding};
use regex::Regex;

use super::{KnownCause, View, claim, known, merge};
use crate::api::ObjectName;
use crate::diagnosis::confidence::Basis;
use crate::diagnosis::facts::Workload;
use crate::diagnosis::finding::{Depth, Finding};
use crate::diagnosis::logs::{Group, Signature};
use crate::diagnosis::remedy::Remedy;
use crate::diagnosis::similar::closest;
use crate::sandbox::command::Resource;

/// What this analyzer can claim.
pub(super) const CAUSES: &[KnownCause] = &[known(
    "RbacForbidden",
    "The API server refuses the pod's ServiceAccount.",
    "The API server's words in the log, Roles and RoleBindings.",
    "A refusal by another server.",
)];

/// Claims of this domain.
pub fn analyze(view: &View<'_>) -> Vec<Finding> {
    let mut found: Vec<Finding> = Vec::new();
    for workload in &view.facts.workloads {
        for (at, group, evidence) in view.logs.of(&workload.name) {
            if group.signature != Signature::Forbidden || !super::signatures::counts(view, workload, at, group) {
                continue;
            }
            let account = group
                .subject
                .split(' ')
                .next()
                .and_then(|user| user.rsplit(':').next())
                .unwrap_or_default();
            let bindings: Vec<(String, &str)> = view
                .facts
                .case
                .all::<RoleBinding>()
                .filter(|(_, binding, _)| {
                    binds(binding, account)
                        && binding.subjects.iter().flatten().any(|subject| {
                            subject.name == account
                                && subject
                                    .namespace
                                    .as_deref()
                                    .is_none_or(|space| space == workload.namespace())
                        })
                })
                .map(|(_, binding, id)| (format!("{} {}", binding.role_ref.kind, binding.role_ref.name), id))
                .collect();
            // What does not allow it is the Role, where there is one.
            let own_role = match bindings.as_slice() {
                [(role, _)] => role.strip_prefix("Role ").and_then(|name| role_named(view, name)),
                _ => None,
            };
            let roles: Vec<&str> = bindings.iter().map(|(role, _)| role.as_str()).collect();
            let bound = if roles.is_empty() {
                String::new()
            } else {
                format!("; it is bound to {}, which does not allow it", roles.join(", "))
            };
            let asked = asked(view, at, group);
            let beside = beside(view, workload, account, &bindings, asked.as_ref());
            let object = beside
                .as_ref()
                .map(|beside| beside.binding.clone())
                .or(own_role)
                .unwrap_or_else(|| workload.name.clone());
            let what = group.subject.split_once(" cannot ").map_or("", |(_, what)| what);
            merge(
                &mut found,
                claim(
                    "RbacForbidden",
                    &object,
                    Depth::Fault,
                    Basis::Logged,
                    1 + u8::from(!roles.is_empty() || beside.is_some()) + u8::from(group.count > 1),
                )
                .says(format!(
                    "{} is forbidden (RBAC, HTTP 403): its ServiceAccount {account} cannot {what}{bound}{}",
                    workload.name,
                    beside.as_ref().map_or("", |beside| beside.text.as_str())
                ))
                .cites(
                    [evidence, workload.evidence]
                        .into_iter()
                        .chain(bindings.iter().map(|(_, id)| *id))
                        .chain(beside.as_ref().map(|beside| beside.evidence)),
                )
                .affects((object != workload.name).then(|| workload.name.clone()))
                .since(group.first)
                // What is nearly right beside it is put right, instead of another Role.
                .remedy(rights(
                    asked.as_ref().filter(|_| beside.is_none()),
                    workload.namespace(),
                    format!(
                        "if {} should be allowed to {what}: {}; rights are for a person to give",
                        workload.name,
                        beside.as_ref().map_or_else(
                            || format!(
                                "add that to {}",
                                roles.first().copied().unwrap_or("a Role bound to its ServiceAccount")
                            ),
                            |beside| beside.advice.clone()
                        )
                    ),
                ))
                .done(),
            );
        }
    }
    found
}

/// What the API server was asked for and refused.
struct Asked {
    home: String,
    account: String,
    verb: String,
    resource: String,
    group: String,
    /// The namespace that was asked; none for the whole cluster.
    space: Option<String>,
}

/// In the words of the API server, from the whole line: a sample is shortened.
fn asked(view: &View<'_>, at: usize, group: &Group) -> Option<Asked> {
    let lines = view.facts.case.logs().get(at)?.lines.iter().rev();
    lines
        .map(|line| line.text.as_str())
        .chain([group.sample.as_str(), group.subject.as_str()])
        .find_map(Asked::read)
}

impl Asked {
    fn read(text: &str) -> Option<Self> {
        let said = REFUSED.as_ref()?.captures(text)?;
        let part = |n: usize| said.get(n).map(|part| part.as_str().to_owned());
        Some(Self {
            home: part(1)?,
            account: part(2)?,
            verb: part(3)?,
            resource: part(4)?,
            group: part(5)?,
            space: part(6),
        })
    }

    /// Whether a Role allows it for every object.
    fn is_allowed_by(&self, role: &RbacRole) -> bool {
        let has = |values: Option<&Vec<String>>, wanted: &str| {
            values
                .into_iter()
                .flatten()
                .any(|value| value == "*" || value == wanted)
        };
        role.rules.iter().flatten().any(|rule| {
            rule.resource_names.as_ref().is_none_or(Vec::is_empty)
                && has(Some(&rule.verbs), &self.verb)
                && has(rule.resources.as_ref(), &self.resource)
                && has(rule.api_groups.as_ref(), &self.group)
        })
    }
}

/// A binding that nearly gives the right.
struct Beside<'v> {
    text: String,
    /// What would put it right.
    advice: String,
    evidence: &'v str,
    binding: ObjectName,
}

fn role_named(view: &View<'_>, name: &str) -> Option<ObjectName> {
    view.facts
        .case
        .all::<RbacRole>()
        .find(|(role, _, _)| role.name == name)
        .map(|(role, _, _)| role.clone())
}

/// What is nearly right beside it: a Role that the binding names and that does not exist, a binding that names the ServiceAccount in
/// another namespace or with a letter wrong, one that gives just this right to another account, another account that is bound while the
/// pods run as the default one.
fn beside<'v>(
    view: &'v View<'_>,
    workload: &Workload<'_>,
    account: &str,
    bindings: &[(String, &str)],
    asked: Option<&Asked>,
) -> Option<Beside<'v>> {
    let case = view.facts.case;
    let own = workload.namespace();
    let all: Vec<_> = case
        .all::<RoleBinding>()
        .filter(|(name, _, _)| name.namespace.as_deref() == Some(own))
        .collect();
    if !bindings.is_empty() {
        let list = case.complete_list(Resource::Roles)?;
        return all
            .iter()
            .filter(|(_, binding, _)| binds(binding, account))
            .find(|(_, binding, _)| {
                binding.role_ref.kind == "Role" && case.get::<RbacRole>(&binding.role_ref.name).is_none()
            })
            .map(|(name, binding, _)| Beside {
                text: format!("; {name} names Role {}, which does not exist", binding.role_ref.name),
                advice: format!("make Role {}, or let {name} name the right one", binding.role_ref.name),
                evidence: list,
                binding: (*name).clone(),
            });
    }
    let subjects = || {
        all.iter().flat_map(|(name, binding, id)| {
            let accounts = binding.subjects.iter().flatten().filter(|s| s.kind == "ServiceAccount");
            accounts.map(move |subject| (*name, *binding, subject, *id))
        })
    };
    if let Some((name, _, subject, id)) = subjects().find(|(_, _, subject, _)| {
        subject.name == account && subject.namespace.as_deref().is_some_and(|space| space != own)
    }) {
        let space = subject.namespace.as_deref().unwrap_or_default();
        return Some(Beside {
            text: format!("; {name} binds a ServiceAccount of that name in namespace {space}, not this one"),
            advice: format!("put ServiceAccount {account} of namespace {own} into the subjects of {name}"),
            evidence: id,
            binding: name.clone(),
        });
    }
    let allows = |binding: &RoleBinding| {
        binding.role_ref.kind == "Role"
            && asked
                .zip(case.get::<RbacRole>(&binding.role_ref.name))
                .is_some_and(|(asked, role)| asked.is_allowed_by(role))
    };
    let names: Vec<&str> = subjects().map(|(_, _, subject, _)| subject.name.as_str()).collect();
    let near = closest(account, names.iter().copied());
    let (name, binding, subject, id) = subjects()
        .find(|(_, _, subject, _)| near.first().is_some_and(|near| subject.name == *near))
        .or_else(|| subjects().find(|(_, binding, _, _)| allows(binding)))
        .or_else(|| subjects().find(|_| account == "default"))?;
    let gives = if allows(binding) {
        format!(" Role {}, which allows it, to", binding.role_ref.name)
    } else {
        String::new()
    };
    Some(Beside {
        advice: format!("put ServiceAccount {account} into the subjects of {name}"),
        text: format!(
            "; {name} binds{gives} ServiceAccount {} and not {account}",
            subject.name
        ),
        evidence: id,
        binding: name.clone(),
    })
}

fn binds(binding: &RoleBinding, account: &str) -> bool {
    binding
        .subjects
        .iter()
        .flatten()
        .any(|subject| subject.kind == "ServiceAccount" && subject.name == account)
}

static REFUSED: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r#"system:serviceaccount:([a-z0-9-]{1,63}):([a-z0-9.-]{1,253})"? cannot ([a-z]{2,20}) resource "?([a-z0-9/-]{1,63})"? in API group "([a-z0-9.-]{0,253})"(?: in the namespace "([a-z0-9-]{1,63})"| at the cluster scope)"#,
    )
    .ok()
});

/// The rights that are missing, as a manifest for whoever may give them. Firewatch gives none.
fn rights(asked: Option<&Asked>, namespace: &str, instruction: String) -> Remedy {
    // What is asked of another namespace, or of all, is beyond what one namespace's people should copy.
    let Some(asked) =
        asked.filter(|asked| asked.home == namespace && asked.space.as_deref() == Some(asked.home.as_str()))
    else {
        return Remedy::Manual { instruction };
    };
    let Asked {
        home,
        account,
        verb,
        resource,
        group,
        ..
    } = asked;
    let name = format!("{account}-{verb}-{}", resource.replace('/', "-"));
    let api = "rbac.authorization.k8s.io";
    Remedy::Manifest {
        instruction,
        manifest: format!(
            "apiVersion: {api}/v1\nkind: Role\nmetadata: {{name: {name}, namespace: {home}}}\nrules:\n- {{apiGroups: [\"{group}\"], \
             resources: [{resource}], verbs: [{verb}]}}\n---\napiVersion: {api}/v1\nkind: RoleBinding\nmetadata: {{name: {name}, namespace: \
             {home}}}\nroleRef: {{apiGroup: {api}, kind: Role, name: {name}}}\nsubjects: [{{kind: ServiceAccount, name: {account}, namespace: \
             {home}}}]\n"
        ),
    }
}
