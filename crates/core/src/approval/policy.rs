//! Which ResponsePolicy holds in a namespace, and what it allows. Where none matches, a safe built-in one holds; where two claim the
//! same namespace with the same priority, nothing is executed. Pure. Called by the loop and by the executor's verification.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use sha2::{Digest, Sha256};

use super::window;
use crate::agents::model::budget::{Amount, Micros, Scope};
use crate::api::policy::{AutoApprove, Budgets, PolicyMode, ResponsePolicySpec, Route};
use crate::api::{ActionType, PolicyRef, ResponsePolicy, Risk};

/// What stands before the canonical JSON of a policy.
const DOMAIN: &[u8] = b"firewatch.dev/policy/v1\n";

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
    /// How many incidents of the namespace are investigated at once.
    pub max_concurrent: Option<usize>,
    /// What models may cost here, where that is less than the installation's own limits.
    pub budgets: Budgets,
    /// Which agents look at what.
    pub routing: Vec<Route>,
    /// Which policy that is, exactly. None: the built-in one, or one that was not read from an API server.
    pub identity: Option<PolicyRef>,
}

impl Effective {
    /// How many people must approve a plan of this risk.
    pub fn required_approvals(&self, risk: Risk) -> i32 {
        self.required_approvals
            .unwrap_or(if risk == Risk::High { 2 } else { 1 })
    }

    fn of(name: String, spec: &ResponsePolicySpec, identity: Option<PolicyRef>) -> Self {
        Self {
            name,
            identity,
            max_concurrent: spec.max_concurrent.and_then(|n| usize::try_from(n).ok()),
            budgets: spec.budgets.clone().unwrap_or_default(),
            routing: spec.routing.clone(),
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
        return Effective::of(BUILT_IN.to_owned(), &ResponsePolicySpec::default(), None);
    };
    let mut effective = Effective::of(first.name_any(), &first.spec, identity(first));
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

/// A policy exactly as it is now.
pub fn identity(policy: &ResponsePolicy) -> Option<PolicyRef> {
    Some(PolicyRef {
        name: policy.name_any(),
        uid: policy.uid()?,
        generation: policy.metadata.generation?,
        digest: digest(&policy.spec)?,
    })
}

/// `sha256:` and 64 hex digits over what a policy says.
pub fn digest(spec: &ResponsePolicySpec) -> Option<String> {
    let json = serde_json_canonicalizer::to_vec(spec).ok()?;
    let mut hash = Sha256::new();
    hash.update(DOMAIN);
    hash.update(&json);
    Some(format!("sha256:{}", hex::encode(hash.finalize())))
}

/// What of a policy cannot be obeyed, in sentences that name field and remedy; for its condition `Accepted`. The schema refuses most
/// else. What is named here allows nothing.
pub fn faults(spec: &ResponsePolicySpec) -> Vec<String> {
    let mut faults = Vec::new();
    if let Some(auto) = &spec.auto_approve {
        faults.extend(
            window::is_open(&auto.windows, Timestamp::UNIX_EPOCH)
                .err()
                .map(|error| error.to_string()),
        );
        if spec.required_approvals == Some(2) {
            faults.push(
                "autoApprove: requiredApprovals is 2, so no policy can approve; take one of the two away".to_owned(),
            );
        } else if auto.max_risk == Risk::High && spec.required_approvals.is_none() {
            faults.push(
                "autoApprove.maxRisk: plans of high risk need two people unless requiredApprovals is 1; set that, or a lower risk"
                    .to_owned(),
            );
        }
        if let Some(least) = auto.min_confidence.as_ref().filter(|text| text.parse::<f64>().is_err()) {
            faults.push(format!(
                "autoApprove.minConfidence: {least:?} is not a decimal as in \"0.9\""
            ));
        }
        let never: Vec<&str> = auto
            .action_types
            .iter()
            .filter(|kind| !spec.allowed_actions.is_empty() && !spec.allowed_actions.contains(kind))
            .map(AsRef::as_ref)
            .collect();
        if !never.is_empty() {
            faults.push(format!(
                "autoApprove.actionTypes: {} is not in allowedActions",
                never.join(", ")
            ));
        }
    }
    let dollars = spec.budgets.iter().flat_map(|budgets| {
        [
            ("costUsdPerIncident", &budgets.cost_usd_per_incident),
            ("costUsdPerDay", &budgets.cost_usd_per_day),
        ]
    });
    for (field, value) in dollars {
        if let Some(value) = value.as_ref().filter(|value| Micros::parse(value).is_none()) {
            faults.push(format!(
                "budgets.{field}: {value:?} is not an amount of dollars as in \"0.10\"; no model is asked"
            ));
        }
    }
    faults
}

/// Which other policies claim one of its namespaces with the same priority, and which namespaces those are; for `Unambiguous`.
pub fn ties(
    policies: &[ResponsePolicy],
    namespaces: &BTreeMap<String, BTreeMap<String, String>>,
) -> BTreeMap<String, (BTreeSet<String>, BTreeSet<String>)> {
    let mut found: BTreeMap<String, (BTreeSet<String>, BTreeSet<String>)> = BTreeMap::new();
    for (namespace, labels) in namespaces {
        let tied = effective(policies, labels).tied;
        for one in &tied {
            let (others, places) = found.entry(one.clone()).or_default();
            others.extend(tied.iter().filter(|other| *other != one).cloned());
            places.insert(namespace.clone());
        }
    }
    found
}

/// The installation's limits for models, narrowed by a policy: never more than either. What cannot be read is nothing.
pub fn narrowed(limits: &BTreeMap<Scope, Amount>, budgets: &Budgets) -> BTreeMap<Scope, Amount> {
    let dollars = |value: &Option<String>| value.as_deref().map(|text| Micros::parse(text).unwrap_or_default());
    let tokens = budgets.tokens_per_incident.map(|n| u64::try_from(n).unwrap_or(0));
    let mut limits = limits.clone();
    for (scope, tokens, cost) in [
        (Scope::Incident, tokens, dollars(&budgets.cost_usd_per_incident)),
        (Scope::NamespaceDay, None, dollars(&budgets.cost_usd_per_day)),
    ] {
        if let Some(limit) = limits.get_mut(&scope) {
            limit.tokens = tokens.map_or(limit.tokens, |most| most.min(limit.tokens));
            limit.cost = cost.map_or(limit.cost, |most| most.min(limit.cost));
        }
    }
    limits
}
