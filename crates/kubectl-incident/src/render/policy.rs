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
    /// What the policy may approve by itself, where the incident asks for that; empty: nothing.
    pub approves: String,
    /// What of the policy cannot be obeyed.
    pub faults: Vec<String>,
}

impl Told {
    /// Of what holds.
    pub fn of(namespace: &str, holds: &Effective, faults: Vec<String>, opted_in: Option<bool>) -> Self {
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
            approves: approves(holds),
            faults,
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

/// What a policy may approve, in words.
fn approves(holds: &Effective) -> String {
    let Some(auto) = &holds.auto_approve else {
        return String::new();
    };
    let types: Vec<&str> = auto.action_types.iter().map(AsRef::as_ref).collect();
    let mut words = vec![format!("{} up to risk {}", types.join(", "), auto.max_risk)];
    words.extend(
        auto.min_confidence
            .iter()
            .map(|least| format!("confidence at least {least}")),
    );
    words.extend(auto.max_per_hour.map(|most| format!("{most} an hour")));
    words.extend(auto.windows.iter().map(|window| {
        let days: Vec<&str> = window.days.iter().map(AsRef::as_ref).collect();
        let zone = window.time_zone.as_deref().unwrap_or("UTC");
        let days = if days.is_empty() {
            "daily".to_owned()
        } else {
            days.join(", ")
        };
        format!("{days} {} to {} {zone}", window.from, window.to)
    }));
    if auto.only_verified_before {
        words.push("only what helped before".to_owned());
    }
    format!("{}; where the incident says approvalMode: Policy", words.join("; "))
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
    page.text(
        4,
        "By itself",
        if told.approves.is_empty() {
            "the policy approves nothing: people do (autoApprove is not set)"
        } else {
            &told.approves
        },
    );
    for fault in &told.faults {
        page.text(4, "Wrong", fault);
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
        let told = Told::of("shop", &effective(policies, &BTreeMap::new()), Vec::new(), opted_in);
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
    fn what_a_policy_approves_by_itself_is_said_with_its_limits() {
        assert!(shown(&[], None).contains("people do"));
        let auto = serde_json::json!({"maxRisk": "low", "actionTypes": ["Scale"], "minConfidence": "0.9", "maxPerHour": 2,
            "onlyVerifiedBefore": true, "windows": [{"days": ["Monday"], "from": "09:00", "to": "17:00", "timeZone": "Europe/Berlin"}]});
        let auto = policy("p", |spec| spec.auto_approve = serde_json::from_value(auto).unwrap());
        let text: String = shown(&[auto], None).split_whitespace().collect::<Vec<_>>().join(" ");
        for part in [
            "Scale up to risk low",
            "0.9",
            "2 an hour",
            "Monday 09:00 to 17:00 Europe/Berlin",
            "only what helped",
            "approvalMode: Policy",
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
