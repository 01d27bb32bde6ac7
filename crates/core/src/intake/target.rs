//! Which object an alert speaks of, by its labels. Which labels count is configuration; those by which the monitoring stack names itself
//! never do: an alert made of kube-state-metrics' numbers carries the pod, namespace and service of kube-state-metrics.
//!
//! A label is a hint: it says what to look at, never where an incident is made (`report::place`). Called by `report`.

use std::collections::BTreeMap;

/// Labels that Prometheus puts on what it scrapes. With `exported_namespace` present they name the exporter, and `exported_pod` the pod.
const SCRAPE: [&str; 4] = ["namespace", "pod", "container", "node"];
/// Labels that always name the scrape or the rule, never what is broken. Configuration cannot choose them.
pub const RESERVED: [&str; 10] = [
    "job",
    "service",
    "instance",
    "endpoint",
    "container",
    "prometheus",
    "prometheus_replica",
    "alertname",
    "severity",
    "exported_namespace",
];

/// Which labels count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelPolicy {
    /// The label that holds the namespace.
    pub namespace: String,
    /// The label that holds the severity.
    pub severity: String,
    /// Kind, and the label that holds its name; the first that is there counts.
    pub targets: Vec<(String, String)>,
    /// Parts of the names of the monitoring stack's own pods.
    pub monitoring: Vec<String>,
}

impl Default for LabelPolicy {
    /// As kube-state-metrics and the usual rules name things; an owner before its pods, which come and go.
    fn default() -> Self {
        let owned = |(kind, label): (&str, &str)| (kind.to_owned(), label.to_owned());
        Self {
            namespace: "namespace".into(),
            severity: "severity".into(),
            targets: [
                ("Deployment", "deployment"),
                ("StatefulSet", "statefulset"),
                ("DaemonSet", "daemonset"),
                ("CronJob", "cronjob"),
                ("Job", "job_name"),
                ("HorizontalPodAutoscaler", "horizontalpodautoscaler"),
                ("Pod", "pod"),
            ]
            .map(owned)
            .to_vec(),
            monitoring: [
                "kube-state-metrics",
                "node-exporter",
                "blackbox-exporter",
                "pushgateway",
                "prometheus",
                "alertmanager",
            ]
            .map(str::to_owned)
            .to_vec(),
        }
    }
}

/// What is wrong with a configured pair.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Not `Kind=label`.
    #[error("'{0}' is not Kind=label, as in Deployment=deployment")]
    Form(String),
    /// A label of the scrape.
    #[error("the label '{0}' names what is scraped or the rule, never what is broken; choose another")]
    Reserved(String),
}

/// Reads `Kind=label`.
pub fn pair(text: &str) -> Result<(String, String), PolicyError> {
    let form = || PolicyError::Form(text.to_owned());
    let (kind, label) = text.split_once('=').ok_or_else(form)?;
    let is_kind = kind.starts_with(|c: char| c.is_ascii_uppercase())
        && kind.len() <= 63
        && kind.chars().all(|c| c.is_ascii_alphanumeric());
    if !is_kind || label.is_empty() || !label.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(form());
    }
    if RESERVED.contains(&label) {
        return Err(PolicyError::Reserved(label.to_owned()));
    }
    Ok((kind.to_owned(), label.to_owned()))
}

/// What an alert's labels say.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Named {
    /// The namespace.
    pub namespace: Option<String>,
    /// Kind and name of the object in it.
    pub target: Option<(String, String)>,
}

/// Which object these labels name.
pub fn named(labels: &BTreeMap<String, String>, policy: &LabelPolicy) -> Named {
    let exported = labels.contains_key("exported_namespace") && policy.namespace == "namespace";
    let value = |label: &str| -> Option<&String> {
        if exported && SCRAPE.contains(&label) {
            labels.get(&format!("exported_{label}"))
        } else {
            labels.get(label)
        }
    };
    let own_pod = value("pod").is_some_and(|pod| is_of_the_stack(pod, policy));
    let target = policy.targets.iter().find_map(|(kind, label)| {
        let name = value(label)?;
        if label == "pod" && own_pod {
            return None;
        }
        is_name(name, 253).then(|| (kind.clone(), name.clone()))
    });
    // Without an object beside it, the namespace of the stack's own pod is the stack's.
    let namespace = value(&policy.namespace)
        .filter(|_| target.is_some() || !own_pod)
        .filter(|namespace| is_name(namespace, 63) && !namespace.contains('.'))
        .cloned();
    Named {
        target: target.filter(|_| namespace.is_some()),
        namespace,
    }
}

/// `monitoring-kube-state-metrics-5d8f…` is; `prometheus2-ui` is not.
fn is_of_the_stack(pod: &str, policy: &LabelPolicy) -> bool {
    let pod = format!("-{pod}-");
    policy
        .monitoring
        .iter()
        .filter(|name| !name.is_empty())
        .any(|name| pod.contains(&format!("-{name}-")))
}

/// A name as Kubernetes allows it.
fn is_name(text: &str, longest: usize) -> bool {
    let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-' || c == b'.';
    let edge = |c: Option<&u8>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let bytes = text.as_bytes();
    bytes.len() <= longest && edge(bytes.first()) && edge(bytes.last()) && bytes.iter().all(|c| inner(*c))
}

/// The name that a pod's controller most likely has, by how Kubernetes names pods: `checkout` of `checkout-7d9c5b8f6-x2x5z`. Only good
/// for noticing that two incidents may be about the same; the diagnosis reads the owner from the cluster.
pub fn likely_owner(pod: &str) -> Option<&str> {
    const GENERATED: &str = "bcdfghjklmnpqrstvwxz2456789";
    let generated = |part: &str, lengths: std::ops::RangeInclusive<usize>| {
        lengths.contains(&part.len()) && part.chars().all(|c| GENERATED.contains(c))
    };
    let (rest, last) = pod.rsplit_once('-')?;
    if !last.is_empty() && last.len() <= 4 && last.chars().all(|c| c.is_ascii_digit()) {
        return Some(rest);
    }
    if !generated(last, 5..=5) {
        return None;
    }
    match rest.rsplit_once('-') {
        Some((owner, hash)) if generated(hash, 6..=10) => Some(owner),
        _ => Some(rest),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::type_complexity)]
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn labels_name_an_object_as_the_usual_rules_mean_it() {
        let stack = "mon-kube-state-metrics-5d8f7c6b9d-abcde";
        #[rustfmt::skip]
        let table: &[(&str, &[(&str, &str)], Option<&str>, Option<(&str, &str)>)] = &[
            ("a pod", &[("namespace", "shop"), ("pod", "checkout-7d9c5b8f6-x2x5z")], Some("shop"), Some(("Pod", "checkout-7d9c5b8f6-x2x5z"))),
            ("an owner before its pod", &[("namespace", "shop"), ("deployment", "checkout"), ("pod", "checkout-1")], Some("shop"), Some(("Deployment", "checkout"))),
            ("the exporter's pod beside an object", &[("namespace", "shop"), ("deployment", "checkout"), ("pod", stack), ("job", "kube-state-metrics")], Some("shop"), Some(("Deployment", "checkout"))),
            ("only the exporter's own", &[("namespace", "monitoring"), ("pod", stack), ("node", "n1")], None, None),
            ("labels that were pushed aside", &[("namespace", "monitoring"), ("pod", stack), ("exported_namespace", "shop"), ("exported_pod", "db-0")], Some("shop"), Some(("Pod", "db-0"))),
            ("one pushed aside, one not", &[("namespace", "monitoring"), ("pod", stack), ("exported_namespace", "shop"), ("statefulset", "db")], Some("shop"), Some(("StatefulSet", "db"))),
            ("the scrape's job is no Job", &[("namespace", "shop"), ("job", "checkout")], Some("shop"), None),
            ("a Job", &[("namespace", "shop"), ("job", "kube-state-metrics"), ("job_name", "import-1")], Some("shop"), Some(("Job", "import-1"))),
            ("an object without namespace", &[("deployment", "checkout")], None, None),
            ("no namespace of Kubernetes", &[("namespace", "../etc"), ("deployment", "checkout")], None, None),
            ("no name of Kubernetes", &[("namespace", "shop"), ("deployment", "a b;rm")], Some("shop"), None),
            ("nothing", &[], None, None),
        ];
        for (what, given, namespace, target) in table {
            let named = named(&labels(given), &LabelPolicy::default());
            assert_eq!(named.namespace.as_deref(), *namespace, "{what}");
            let seen = named.target.as_ref().map(|(k, n)| (k.as_str(), n.as_str()));
            assert_eq!(seen, *target, "{what}");
        }
    }

    #[test]
    fn configuration_cannot_choose_the_scrape_s_own_labels() {
        assert_eq!(
            pair("Service=app"),
            Ok(("Service".to_owned(), "app".to_owned())),
            "another label may"
        );
        for label in RESERVED {
            assert_eq!(
                pair(&format!("Pod={label}")),
                Err(PolicyError::Reserved(label.to_owned()))
            );
        }
        for bad in ["", "Pod", "=pod", "pod=pod", "Pod=", "Pod=a b", "Pod=a=b"] {
            assert_eq!(pair(bad), Err(PolicyError::Form(bad.to_owned())));
        }
    }

    #[test]
    fn a_pod_s_name_tells_its_likely_owner() {
        assert_eq!(likely_owner("checkout-7d9c5b8f6-x2x5z"), Some("checkout"));
        assert_eq!(likely_owner("node-agent-x2x5z"), Some("node-agent"));
        assert_eq!(likely_owner("db-0"), Some("db"));
        assert_eq!(likely_owner("standalone"), None);
        assert_eq!(likely_owner("my-app"), None);
    }
}
