//! The screen of `policy`: what may happen in a namespace, in words.

use firewatch_core::api::{PolicyMode, Risk};
use firewatch_core::approval::policy::{BUILT_IN, Effective};
use serde::Serialize;

use super::page::Page;
use super::style::Palette;
use super::text::span;

/// What holds in a namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Told {
    /// The namespace.
    pub namespace: String,
    /// The ResponsePolicy, or `built-in`.
    pub policy: String,
    /// Names of several that claim it with one priority; empty where it is clear.
    pub tied: Vec<String>,
    /// `Observe`, `Suggest` or `Remediate`.
    pub mode: String,
    /// Whether the kill switch is on.
    pub suspended: bool,
    /// Whether the executor is bound here; null where that could not be read.
    pub opted_in: Option<bool>,
    /// Actions that may be planned; empty: all of the catalogue.
    pub allowed_actions: Vec<String>,
    /// How many people approve a plan of low, medium and high risk.
    pub required_approvals: [i32; 3],
    /// Seconds.
    pub approval_ttl_seconds: i64,
    /// Whether an execution waits until its approval is stored.
    pub require_audit: bool,
    /// Fields that are set and that this version does not act on.
    pub not_acted_on: Vec<String>,
}

impl Told {
    /// Of what holds.
    pub fn of(namespace: &str, holds: &Effective, not_acted_on: &[&str], opted_in: Option<bool>) -> Self {
        Self {
            namespace: namespace.to_owned(),
            policy: holds.name.clone(),
            tied: holds.tied.clone(),
            mode: holds.mode.to_string(),
            suspended: holds.suspended,
            opted_in,
            allowed_actions: holds.allowed_actions.iter().map(ToString::to_string).collect(),
            required_approvals: [Risk::Low, Risk::Medium, Risk::High].map(|risk| holds.required_approvals(risk)),
            approval_ttl_seconds: holds.approval_ttl_seconds,
            require_audit: holds.require_audit,
            not_acted_on: not_acted_on.iter().map(|field| (*field).to_owned()).collect(),
        }
    }

    /// Whether an approved plan is carried out here, and if not, why.
    fn carried_out(&self) -> String {
        let no = |why: &str| format!("nothing is carried out here: {why}");
        if self.suspended {
            no("a policy's kill switch is on (spec.suspended)")
        } else if !self.tied.is_empty() {
            no(&format!(
                "{} claim the namespace with one priority; give one of them a higher one",
                self.tied.join(" and ")
            ))
        } else if self.mode != PolicyMode::Remediate.as_ref() {
            no(&format!("the mode is {}", self.mode))
        } else if self.opted_in == Some(false) {
            no("the namespace has not opted in (remediation.namespaces of the chart)")
        } else if self.opted_in.is_none() {
            "an approved plan is carried out, if the namespace has opted in, which you may not read".to_owned()
        } else {
            "an approved plan is carried out".to_owned()
        }
    }
}

/// For a terminal.
pub fn screen(told: &Told, columns: usize, palette: Palette) -> String {
    let mut page = Page::new(columns, palette);
    page.text(2, "Namespace", &told.namespace);
    page.text(
        2,
        "Policy",
        &if told.policy == BUILT_IN {
            "built-in (no ResponsePolicy selects this namespace)".to_owned()
        } else {
            told.policy.clone()
        },
    );
    page.text(2, "Mode", &told.mode);
    page.text(4, "Now", &told.carried_out());
    let actions = if told.allowed_actions.is_empty() {
        "all of the catalogue".to_owned()
    } else {
        told.allowed_actions.join(", ")
    };
    page.text(6, "Actions", &actions);
    let [low, medium, high] = told.required_approvals;
    page.text(
        2,
        "Approvals",
        &format!(
            "low risk {low}, medium {medium}, high {high}; void after {}",
            span(told.approval_ttl_seconds)
        ),
    );
    page.text(
        2,
        "Record",
        if told.require_audit {
            "an execution waits until its approval is stored outside the cluster"
        } else {
            "an execution does not wait for the record (requireAudit: false)"
        },
    );
    if !told.not_acted_on.is_empty() {
        page.text(
            4,
            "Not yet",
            &format!(
                "{}: set, and this version does not act on it",
                told.not_acted_on.join(", ")
            ),
        );
    }
    page.lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use firewatch_core::api::{ResponsePolicy, ResponsePolicySpec};
    use firewatch_core::approval::policy::effective;

    use super::*;

    fn shown(policies: &[ResponsePolicy], opted_in: Option<bool>) -> String {
        let told = Told::of("shop", &effective(policies, &BTreeMap::new()), &[], opted_in);
        screen(&told, 100, Palette::plain())
    }

    fn policy(name: &str, change: impl FnOnce(&mut ResponsePolicySpec)) -> ResponsePolicy {
        let mut spec = ResponsePolicySpec::default();
        change(&mut spec);
        ResponsePolicy::new(name, spec)
    }

    #[test]
    fn without_a_policy_the_built_in_one_is_told() {
        let text = shown(&[], Some(true));
        for part in [
            "built-in (no ResponsePolicy",
            "an approved plan is carried out",
            "low risk 1, medium 1, high 2; void after 15m",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }

    #[test]
    fn whatever_keeps_a_plan_from_being_carried_out_is_said() {
        let suspended = policy("off", |spec| spec.suspended = true);
        let observe = policy("look", |spec| spec.mode = PolicyMode::Observe);
        for (policies, opted_in, part) in [
            (vec![suspended], Some(true), "kill switch"),
            (vec![observe.clone()], Some(true), "the mode is Observe"),
            (
                vec![policy("a", |_| {}), policy("b", |_| {})],
                Some(true),
                "a and b claim",
            ),
            (vec![], Some(false), "has not opted in"),
            (vec![], None, "you may not read"),
        ] {
            let text = shown(&policies, opted_in);
            let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(line.contains(part), "{part}\n{text}");
        }
    }
}
