//! The rights that the identities of an installation must have, and those that none of them may. A choice of what tells most, not all
//! of the chart's RBAC. Pure. Called by `gather` (what to ask) and `judge` (what the answers mean).

use super::Judgement;
use super::Level;
use super::facts::{Facts, Read, Right};

const ABOUT: &str = "Rights";

/// What to ask.
pub(super) fn asked(namespace: &str, sandbox: &str) -> Vec<Right> {
    let operator = |verb, group, resource, place: Option<&str>, wanted| Right {
        account_namespace: namespace.to_owned(),
        account: "firewatch",
        verb,
        group,
        resource,
        namespace: place.map(str::to_owned),
        wanted,
    };
    let inside = |account, verb, group, resource, wanted| Right {
        account_namespace: sandbox.to_owned(),
        account,
        verb,
        group,
        resource,
        namespace: None,
        wanted,
    };
    vec![
        operator("list", "firewatch.dev", "incidents", None, true),
        operator("patch", "firewatch.dev", "incidents/status", None, true),
        operator("create", "firewatch.dev", "remediationapprovals", None, true),
        operator("list", "firewatch.dev", "responsepolicies", None, true),
        operator(
            "get",
            "admissionregistration.k8s.io",
            "validatingadmissionpolicies",
            None,
            true,
        ),
        operator("create", "batch", "jobs", Some(sandbox), true),
        operator("create", "", "configmaps", Some(sandbox), true),
        operator("update", "coordination.k8s.io", "leases", Some(namespace), true),
        inside(
            "remediation-executor",
            "patch",
            "firewatch.dev",
            "remediationapprovals/status",
            true,
        ),
        inside("sre-investigator", "list", "", "nodes", true),
        // What would make a guard worth nothing.
        operator("patch", "apps", "deployments", None, false),
        operator("get", "", "secrets", None, false),
        operator("create", "", "pods", Some(sandbox), false),
        operator("impersonate", "", "users", None, false),
        inside("sre-investigator", "get", "", "secrets", false),
        inside("sre-investigator", "patch", "apps", "deployments", false),
        inside("code-analyst", "get", "", "secrets", false),
        inside("remediation-executor", "get", "", "secrets", false),
        inside(
            "remediation-executor",
            "patch",
            "firewatch.dev",
            "remediationapprovals",
            false,
        ),
    ]
}

/// What the answers mean.
pub(super) fn judge(facts: &Facts) -> Vec<Judgement> {
    let mut found = Vec::new();
    let mut unread: Option<(usize, String)> = None;
    for (right, answer) in &facts.rights {
        match answer {
            Read::Got(has) if *has == right.wanted => {}
            Read::Got(_) if right.wanted => found.push(Judgement::fault(
                ABOUT,
                format!("{} may not {}", who(right), what(right)),
                "install the chart again (helm upgrade): its roles or bindings were changed or removed",
            )),
            Read::Got(_) => found.push(Judgement::fault(
                ABOUT,
                format!("{} may {}, which it must never", who(right), what(right)),
                format!(
                    "find the binding and remove it: kubectl get clusterrolebindings,rolebindings -A -o wide | grep {}",
                    right.account
                ),
            )),
            Read::Not(why) => unread = Some((unread.map_or(1, |(count, _)| count + 1), why.clone())),
        }
    }
    if let Some((count, why)) = unread {
        found.push(Judgement::new(
            ABOUT,
            Level::NotRead,
            format!("{count} of {} could not be asked: {why}", facts.rights.len()),
            "call it with the right to create subjectaccessreviews (cluster administrators have it)",
        ));
    } else if found.is_empty() {
        found.push(Judgement::well(
            ABOUT,
            format!("{} that matter most are as they should be", facts.rights.len()),
        ));
    }
    found
}

fn who(right: &Right) -> String {
    format!("ServiceAccount {}/{}", right.account_namespace, right.account)
}

fn what(right: &Right) -> String {
    let group = if right.group.is_empty() {
        String::new()
    } else {
        format!(".{}", right.group)
    };
    let place = right
        .namespace
        .as_ref()
        .map_or_else(|| "everywhere".to_owned(), |namespace| format!("in {namespace}"));
    format!("{} {}{group} {place}", right.verb, right.resource)
}
