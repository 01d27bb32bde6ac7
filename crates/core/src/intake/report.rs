//! From a notification to what it reports: one report for each namespace that its alerts speak of, each of which becomes one incident.
//! A group that spans namespaces is parted, because an incident of one tenant must not tell of another. Called by the operator's `intake`.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::alertmanager::{Alert, Notification};
use super::reject::clean;
use super::target::{LabelPolicy, Named, named};
use crate::api::incident::AlertSource;
use crate::api::{self, ApprovalMode, Incident, IncidentSpec, Severity, Target};
use crate::text::clip;

/// The label that carries a report's key: all incidents of one group in one namespace have it in common.
pub const KEY_LABEL: &str = "firewatch.dev/alert-group";
/// The label that carries a hash of what a group is grouped by: the list of groups knows no group key, but knows this.
pub const GROUPED_BY_LABEL: &str = "firewatch.dev/alert-grouped-by";
/// The label by which a namespace says that incidents may be made in it. It is on the Namespace, which its tenants cannot change.
pub const OPT_IN_LABEL: &str = "firewatch.dev/intake";
/// The value of that label.
pub const OPT_IN_VALUE: &str = "enabled";
/// Names the incident of the same group that came before.
pub const PREVIOUS_ANNOTATION: &str = "firewatch.dev/previous-incident";
/// Says what the intake could not make of the alert, and the remedy.
pub const NOTE_ANNOTATION: &str = "firewatch.dev/intake-note";
/// Kind of a target that is a whole namespace.
pub const NAMESPACE_KIND: &str = "Namespace";

/// What a notification says about one namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// 40 hex digits over the group's key and the namespace.
    pub key: String,
    /// 40 hex digits over what the group is grouped by, and the namespace.
    pub grouped_by: String,
    /// The namespace and the object in it that all alerts agree on.
    pub named: Named,
    /// Those that fire, oldest first.
    pub firing: Vec<Firing>,
    /// Whether every alert is known to have resolved.
    pub all_resolved: bool,
    /// When somebody said that he or she looks at it; then nothing else is new.
    pub acknowledged_at: Option<Timestamp>,
    /// Identity of what was sent, where the sender tells by it what it sends again: it is taken once.
    pub once: Option<String>,
    /// What else the incident remembers of it, without counting it.
    pub marks: Vec<String>,
    /// What the incident is to say of them.
    pub alert: api::Alert,
    /// What it is called.
    pub title: String,
    /// What else is known.
    pub description: Option<String>,
    /// How much it matters.
    pub severity: Option<Severity>,
}

/// One alert that fires.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Firing {
    /// When it began.
    pub starts_at: Option<Timestamp>,
    /// What tells it from every other firing.
    pub identity: String,
}

/// `length` hex digits over the parts, which do not run into each other.
pub fn hash(parts: &[&str], length: usize) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let mut digits = hex::encode(hash.finalize());
    digits.truncate(length);
    digits
}

/// What a notification reports, by namespace.
pub fn reports(notification: &Notification, policy: &LabelPolicy) -> Vec<Report> {
    let mut by_namespace: BTreeMap<Option<String>, Vec<(&Alert, Named)>> = BTreeMap::new();
    for alert in &notification.alerts {
        let named = named(&alert.labels, policy);
        by_namespace
            .entry(named.namespace.clone())
            .or_default()
            .push((alert, named));
    }
    by_namespace
        .into_iter()
        .map(|(namespace, alerts)| report(notification, namespace, &alerts, policy))
        .collect()
}

fn report(
    notification: &Notification,
    namespace: Option<String>,
    alerts: &[(&Alert, Named)],
    policy: &LabelPolicy,
) -> Report {
    // What has resolved speaks only where nothing fires.
    let speaking: Vec<&(&Alert, Named)> = match alerts.iter().filter(|(a, _)| a.firing).collect::<Vec<_>>() {
        firing if firing.is_empty() => alerts.iter().collect(),
        firing => firing,
    };
    let targets: BTreeSet<_> = speaking.iter().map(|(_, named)| named.target.clone()).collect();
    let target = match targets.into_iter().collect::<Vec<_>>().as_mut_slice() {
        [one] => one.take(),
        _ => None,
    };
    let mut firing: Vec<Firing> = alerts
        .iter()
        .filter(|(alert, _)| alert.firing)
        .map(|(alert, _)| Firing {
            starts_at: alert.starts_at,
            identity: alert.identity.clone(),
        })
        .collect();
    firing.sort();
    firing.dedup_by(|a, b| a.identity == b.identity);

    let labels = common(speaking.iter().map(|(a, _)| &a.labels));
    let annotations = common(speaking.iter().map(|(a, _)| &a.annotations));
    let name = labels.get("alertname").cloned();
    let first = speaking
        .iter()
        .min_by_key(|(alert, _)| (alert.starts_at, &alert.identity));
    let described = |key: &str| {
        annotations
            .get(key)
            .or_else(|| first.and_then(|(alert, _)| alert.annotations.get(key)))
            .map(|text| clean(text))
            .filter(|text| !text.trim().is_empty())
    };
    let severity = speaking
        .iter()
        .filter_map(|(alert, _)| severity(alert.labels.get(&policy.severity)?))
        .max();
    let what = match (&target, &namespace) {
        (Some((kind, name)), _) => format!("{kind}/{name}"),
        (None, Some(namespace)) => format!("namespace {namespace}"),
        (None, None) => "an object that no label names".to_owned(),
    };
    let title = described("summary").unwrap_or_else(|| {
        format!(
            "{}: {what}",
            clean(name.as_deref().unwrap_or("an alert without a name"))
        )
    });
    Report {
        key: hash(&[&notification.group_key, namespace.as_deref().unwrap_or_default()], 40),
        grouped_by: grouped_by(&notification.group_labels, namespace.as_deref()),
        all_resolved: firing.is_empty() && notification.truncated == 0,
        acknowledged_at: None,
        once: None,
        marks: Vec::new(),
        alert: api::Alert {
            source: AlertSource::Alertmanager,
            name: name.map(|n| clip(&clean(&n), 253)),
            fingerprint: first
                .and_then(|(alert, _)| alert.fingerprint.as_ref())
                .map(|f| clip(&clean(f), 128)),
            group_key: Some(clip(&clean(&notification.group_key), 1024)),
            starts_at: firing
                .iter()
                .find_map(|f| f.starts_at)
                .map(|at| clip(&at.to_string(), 40)),
            labels: bounded(&labels),
            annotations: bounded(&annotations),
        },
        title: clip(&title, 256),
        description: described("description")
            .or_else(|| described("message"))
            .map(|text| clip(&text, 8192)),
        severity,
        named: Named { namespace, target },
        firing,
    }
}

fn grouped_by(labels: &BTreeMap<String, String>, namespace: Option<&str>) -> String {
    let parts: Vec<&str> = std::iter::once(namespace.unwrap_or_default())
        .chain(labels.iter().flat_map(|(key, value)| [key.as_str(), value.as_str()]))
        .collect();
    hash(&parts, 40)
}

/// What all have in common.
fn common<'a>(mut maps: impl Iterator<Item = &'a BTreeMap<String, String>>) -> BTreeMap<String, String> {
    let mut shared = maps.next().cloned().unwrap_or_default();
    for map in maps {
        shared.retain(|key, value| map.get(key) == Some(value));
    }
    shared
}

/// As many and as long as an Incident holds.
pub(super) fn bounded(map: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    map.iter()
        .take(64)
        .map(|(key, value)| (clip(&clean(key), 256), clip(&clean(value), 2048)))
        .collect()
}

pub(super) fn severity(word: &str) -> Option<Severity> {
    match word.to_ascii_lowercase().as_str() {
        "critical" | "page" | "emergency" | "p1" => Some(Severity::Critical),
        "high" | "error" | "major" | "p2" => Some(Severity::High),
        "warning" | "medium" | "minor" | "p3" => Some(Severity::Medium),
        "info" | "low" | "none" | "p4" | "p5" => Some(Severity::Low),
        _ => None,
    }
}

/// What is known of the namespace that a report names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ground {
    /// There is none of that name.
    Absent,
    /// It exists; its administrators did not say that incidents may be made in it.
    Silent,
    /// They did.
    OptedIn,
}

/// Where the incident is made, what it is about, and what is to be said about that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The namespace of the incident.
    pub namespace: String,
    /// What it is about; absent: the whole namespace, or nothing that a label names.
    pub target: Option<Target>,
    /// What could not be made of the alert, and the remedy.
    pub note: Option<String>,
}

/// Decides that. An incident is made in a namespace only where that opted in; a label alone never does it.
pub fn place(named: &Named, ground: Ground, operator_namespace: &str) -> Place {
    let target = |namespace: Option<&str>| {
        let (kind, name) = named.target.clone()?;
        Some(Target {
            api_version: None,
            kind,
            name,
            namespace: namespace.map(str::to_owned),
        })
    };
    let own = |target: Option<Target>, note: String| Place {
        namespace: operator_namespace.to_owned(),
        target,
        note: Some(note),
    };
    match (&named.namespace, ground) {
        (Some(namespace), Ground::OptedIn) => Place {
            namespace: namespace.clone(),
            target: target(None),
            note: None,
        },
        (Some(namespace), Ground::Silent) => own(
            target(Some(namespace)).or_else(|| {
                Some(Target {
                    api_version: None,
                    kind: NAMESPACE_KIND.to_owned(),
                    name: namespace.clone(),
                    namespace: Some(namespace.clone()),
                })
            }),
            format!(
                "made here because the namespace did not opt in: kubectl label namespace {namespace} {OPT_IN_LABEL}={OPT_IN_VALUE}"
            ),
        ),
        (Some(namespace), Ground::Absent) => own(
            None,
            format!("the alert names the namespace {namespace}, which does not exist in this cluster"),
        ),
        (None, _) => own(
            None,
            "no label of the alert names a namespace and an object in it: add them to the rule, or tell Firewatch which labels do (intake.labels)"
                .to_owned(),
        ),
    }
}

/// The name of the n-th incident of a group.
pub fn name(source: AlertSource, key: &str, number: u64) -> String {
    let from = if source == AlertSource::Pagerduty { "pd" } else { "am" };
    format!("{from}-{}-{number}", key.get(..16).unwrap_or(key))
}

/// The number in such a name.
pub fn number(name: &str) -> Option<u64> {
    name.rsplit_once('-')?.1.parse().ok()
}

/// The incident that a report makes.
pub fn incident(report: &Report, place: &Place, number: u64, previous: Option<&str>) -> Incident {
    let mut annotations: BTreeMap<String, String> = BTreeMap::new();
    annotations.extend(previous.map(|name| (PREVIOUS_ANNOTATION.to_owned(), name.to_owned())));
    annotations.extend(place.note.iter().map(|note| (NOTE_ANNOTATION.to_owned(), note.clone())));
    let spec = IncidentSpec {
        title: report.title.clone(),
        description: report.description.clone(),
        severity: report.severity,
        target: place.target.clone(),
        alert: Some(report.alert.clone()),
        requested_by: None,
        approval_mode: ApprovalMode::Manual,
        revision_feedback: None,
        cancelled: false,
    };
    Incident {
        metadata: ObjectMeta {
            namespace: Some(place.namespace.clone()),
            labels: Some(BTreeMap::from([
                (KEY_LABEL.to_owned(), report.key.clone()),
                (GROUPED_BY_LABEL.to_owned(), report.grouped_by.clone()),
            ])),
            annotations: (!annotations.is_empty()).then_some(annotations),
            ..Incident::new(&name(report.alert.source, &report.key, number), spec.clone()).metadata
        },
        spec,
        status: None,
    }
}
