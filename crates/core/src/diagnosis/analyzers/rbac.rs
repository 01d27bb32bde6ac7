//! Identities that the API server refuses: a program that asks the Kubernetes API for what its ServiceAccount may not do.
//!
//! Evidence: the program's log (the API server's own words), Roles and RoleBindings. Looks alike: a refusal by another server's
//! authorisation, which names no `User "system:serviceaccount:…"`.

use std::sync::LazyLock;

use k8s_openapi::api::rbac::v1::{Role as RbacRole, RoleBinding};
use regex::Regex;

use super::{KnownCause, View, claim, known, merge};
use crate::diagnosis::confidence::Basis;
use crate::diagnosis::facts::Workload;
use crate::diagnosis::finding::{Depth, Finding};
use crate::diagnosis::logs::Signature;
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
            let roles: Vec<&str> = bindings.iter().map(|(role, _)| role.as_str()).collect();
            let bound = if roles.is_empty() {
                String::new()
            } else {
                format!("; it is bound to {}, which does not allow it", roles.join(", "))
            };
            let beside = beside(view, workload, account, &bindings);
            let what = group.subject.split_once(" cannot ").map_or("", |(_, what)| what);
            merge(
                &mut found,
                claim(
                    "RbacForbidden",
                    &workload.name,
                    Depth::Fault,
                    Basis::Logged,
                    1 + u8::from(!roles.is_empty()) + u8::from(group.count > 1),
                )
                .says(format!(
                    "{} is forbidden (RBAC, HTTP 403): its ServiceAccount {account} cannot {what}{bound}{}",
                    workload.name,
                    beside.as_ref().map_or("", |(text, _)| text.as_str())
                ))
                .cites(
                    [evidence, workload.evidence]
                        .into_iter()
                        .chain(bindings.iter().map(|(_, id)| *id))
                        .chain(beside.as_ref().map(|(_, id)| *id)),
                )
                .since(group.first)
                // What is nearly right beside it is put right, instead of another Role.
                .remedy(rights(
                    if beside.is_some() { "" } else { &group.sample },
                    &group.subject,
                    workload.namespace(),
                    format!(
                        "if {} should be allowed to {what}: add that to {}; rights are for a person to give",
                        workload.name,
                        roles.first().copied().unwrap_or("a Role bound to its ServiceAccount")
                    ),
                ))
                .done(),
            );
        }
    }
    found
}

/// What is nearly right beside it: a Role that the binding names and that does not exist, a binding that names the ServiceAccount in
/// another namespace or with a letter wrong, another account that is bound while the pods run as the default one.
fn beside<'v>(
    view: &'v View<'_>,
    workload: &Workload<'_>,
    account: &str,
    bindings: &[(String, &str)],
) -> Option<(String, &'v str)> {
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
            .map(|(name, binding, _)| {
                (
                    format!("; {name} names Role {}, which does not exist", binding.role_ref.name),
                    list,
                )
            });
    }
    let subjects = || {
        all.iter().flat_map(|(name, binding, id)| {
            let accounts = binding.subjects.iter().flatten().filter(|s| s.kind == "ServiceAccount");
            accounts.map(move |subject| (*name, subject, *id))
        })
    };
    if let Some((name, subject, id)) = subjects().find(|(_, subject, _)| {
        subject.name == account && subject.namespace.as_deref().is_some_and(|space| space != own)
    }) {
        let space = subject.namespace.as_deref().unwrap_or_default();
        return Some((
            format!("; {name} binds a ServiceAccount of that name in namespace {space}, not this one"),
            id,
        ));
    }
    let names: Vec<&str> = subjects().map(|(_, subject, _)| subject.name.as_str()).collect();
    let near = closest(account, names.iter().copied());
    let (name, subject, id) = subjects().find(|(_, subject, _)| match near.first() {
        Some(near) => subject.name == *near,
        None => account == "default",
    })?;
    Some((
        format!("; {name} binds ServiceAccount {} and not {account}", subject.name),
        id,
    ))
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
fn rights(sample: &str, subject: &str, namespace: &str, instruction: String) -> Remedy {
    let said = [sample, subject]
        .into_iter()
        .find_map(|text| REFUSED.as_ref()?.captures(text));
    let Some(said) = said else {
        return Remedy::Manual { instruction };
    };
    let part = |n: usize| said.get(n).map_or("", |part| part.as_str());
    let (home, account, verb, resource, group) = (part(1), part(2), part(3), part(4), part(5));
    // What is asked of another namespace, or of all, is beyond what one namespace's people should copy.
    if part(6) != home || home != namespace {
        return Remedy::Manual { instruction };
    }
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
