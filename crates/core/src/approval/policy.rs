//! Which ResponsePolicy holds in a namespace, and what it allows. Where none matches, a safe built-in one holds; where two claim the
//! same namespace with the same priority, nothing is executed. Pure. Called by the loop and by the executor's verification.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::ResourceExt;

use crate::api::policy::{AutoApprove, PolicyMode, ResponsePolicySpec};
use crate::api::{ActionType, ResponsePolicy, Risk};

/// How long a plan waits where no policy says.
pub const DEFAULT_TTL_SECONDS: i64 = 900;
/// The name of the policy that holds where none matches.
pub const BUILT_IN: &str = "built-in";

/// What holds in a namespace.
#[derive(Clone, Debug, PartialEq)]
pub struct Effective {
    /// The policy's name, or `built-in`.
    pub name: String,
    /// How far to go.
    pub mode: PolicyMode,
    /// The kill switch: of the policy that holds, or of any other that selects the namespace.
    pub suspended: bool,
    /// Names of policies of the same priority, where it is not clear which one holds: then nothing is executed.
    pub tied: Vec<String>,
    /// How long a plan waits, in seconds.
    pub approval_ttl_seconds: i64,
    /// Which actions may be planned; empty: all.
    pub allowed_actions: Vec<ActionType>,
    /// How many people must approve, where the policy says.
    pub required_approvals: Option<i32>,
    /// Whether execution waits until its approval is stored in Postgres.
    pub require_audit: bool,
    /// What it approves by itself.
    pub auto_approve: Option<AutoApprove>,
    /// How long a target rests after a repair, in seconds, before an alert makes it be looked at again.
    pub cooldown_seconds: Option<i64>,
}

impl Effective {
    /// How many people must approve a plan of this risk.
    pub fn required_approvals(&self, risk: Risk) -> i32 {
        self.required_approvals
            .unwrap_or(if risk == Risk::High { 2 } else { 1 })
    }

    fn of(name: String, spec: &ResponsePolicySpec) -> Self {
        Self {
            name,
            mode: spec.mode,
            suspended: spec.suspended,
            tied: Vec::new(),
            approval_ttl_seconds: spec.approval_ttl_seconds.unwrap_or(DEFAULT_TTL_SECONDS),
            allowed_actions: spec.allowed_actions.clone(),
            required_approvals: spec.required_approvals,
            require_audit: spec.require_audit.unwrap_or(true),
            auto_approve: spec.auto_approve.clone(),
            cooldown_seconds: spec.cooldown,
        }
    }
}

/// What holds in a namespace with these labels.
pub fn effective(policies: &[ResponsePolicy], namespace_labels: &BTreeMap<String, String>) -> Effective {
    let mut matching: Vec<&ResponsePolicy> = policies
        .iter()
        .filter(|policy| selects(policy.spec.namespace_selector.as_ref(), namespace_labels))
        .collect();
    matching.sort_by(|a, b| {
        b.spec
            .priority
            .cmp(&a.spec.priority)
            .then_with(|| a.name_any().cmp(&b.name_any()))
    });
    let Some(first) = matching.first() else {
        return Effective::of(BUILT_IN.to_owned(), &ResponsePolicySpec::default());
    };
    let mut effective = Effective::of(first.name_any(), &first.spec);
    // A kill switch that another policy of higher priority could hide would be none.
    effective.suspended = matching.iter().any(|policy| policy.spec.suspended);
    let equals: Vec<&&ResponsePolicy> = matching
        .iter()
        .filter(|policy| policy.spec.priority == first.spec.priority)
        .collect();
    if equals.len() > 1 {
        effective.tied = equals.iter().map(|policy| policy.name_any()).collect();
        effective.mode = equals
            .iter()
            .map(|policy| policy.spec.mode)
            .min()
            .unwrap_or(PolicyMode::Observe)
            .min(PolicyMode::Suggest);
    }
    effective
}

/// Whether a selector selects these labels. An operator that is not known selects, so that its restriction is not lost.
fn selects(selector: Option<&LabelSelector>, labels: &BTreeMap<String, String>) -> bool {
    let Some(selector) = selector else { return true };
    let equal = selector
        .match_labels
        .iter()
        .flatten()
        .all(|(key, value)| labels.get(key) == Some(value));
    equal
        && selector.match_expressions.iter().flatten().all(|rule| {
            let value = labels.get(&rule.key);
            let listed = value.is_some_and(|value| rule.values.iter().flatten().any(|one| one == value));
            match rule.operator.as_str() {
                "In" => listed,
                "NotIn" => !listed,
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                _ => true,
            }
        })
}

/// Fields that are set and that this version does not act on yet: named in the policy's condition `Supported`.
pub fn unsupported(spec: &ResponsePolicySpec) -> Vec<&'static str> {
    [
        (spec.auto_approve.is_some(), "autoApprove"),
        (spec.budgets.is_some(), "budgets"),
        (!spec.routing.is_empty(), "routing"),
        (spec.max_concurrent.is_some(), "maxConcurrent"),
    ]
    .into_iter()
    .filter_map(|(set, name)| set.then_some(name))
    .collect()
}
