//! Identities that the API server refuses: a program that asks the Kubernetes API for what its ServiceAccount may not do.
//!
//! Evidence: the program's log (the API server's own words), Roles and RoleBindings. Looks alike: a refusal by another server's
//! authorisation, which names no `User "system:serviceaccount:…"`.

use k8s_openapi::api::rbac::v1::RoleBinding;

use super::{KnownCause, View, claim, known, merge};
use crate::diagnosis::confidence::Basis;
use crate::diagnosis::finding::{Depth, Finding};
use crate::diagnosis::logs::Signature;

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
                    binding
                        .subjects
                        .iter()
                        .flatten()
                        .any(|subject| subject.kind == "ServiceAccount" && subject.name == account)
                })
                .map(|(_, binding, id)| (format!("{} {}", binding.role_ref.kind, binding.role_ref.name), id))
                .collect();
            let roles: Vec<&str> = bindings.iter().map(|(role, _)| role.as_str()).collect();
            let bound = if roles.is_empty() {
                String::new()
            } else {
                format!("; it is bound to {}, which does not allow it", roles.join(", "))
            };
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
                    "{} is forbidden (RBAC, HTTP 403): its ServiceAccount {account} cannot {what}{bound}",
                    workload.name
                ))
                .cites(
                    [evidence, workload.evidence]
                        .into_iter()
                        .chain(bindings.iter().map(|(_, id)| *id)),
                )
                .since(group.first)
                .manual(format!(
                    "if {} should be allowed to {what}: add that to {}; rights are for a person to give",
                    workload.name,
                    roles.first().copied().unwrap_or("a Role bound to its ServiceAccount")
                ))
                .done(),
            );
        }
    }
    found
}
