//! One question as a request to a Prometheus' HTTP API: the query's text is fixed, and only a namespace and a workload's name go into
//! it, both checked to be names of Kubernetes, which hold nothing that a query could be broken with.
//!
//! Every query pins its namespace, so an incident sees measurements of its own pods only, whatever the Prometheus knows. Must never take
//! a query, a metric's name or a label from anywhere else. Called by the operator's edge and the plugin.

use k8s_openapi::jiff::Timestamp;

use super::{Metric, SERIES_MAX, STEP_SECONDS, WINDOW_SECONDS};
use crate::api::Role;
use crate::sandbox::command::{Command, Resource};
use crate::sandbox::permissions::Permissions;
use crate::sandbox::policy::{PolicyRefusal, Tenancy, name};

/// A GET request, as it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Below the base URL.
    pub path: &'static str,
    /// Query parameters, not yet encoded.
    pub parameters: Vec<(&'static str, String)>,
}

impl Request {
    /// As it goes into a URL, below its base.
    pub fn path_and_query(&self) -> String {
        let encoded = self
            .parameters
            .iter()
            .map(|(key, value)| format!("{key}={}", encode(value)));
        format!("{}?{}", self.path, encoded.collect::<Vec<_>>().join("&"))
    }

    /// As it is shown to people: like the argv of a command.
    pub fn argv(&self) -> Vec<String> {
        let query = self.parameters.iter().filter(|(key, _)| *key == "query");
        let query = query.map(|(_, value)| value.clone());
        ["promql".to_owned(), self.path.to_owned()]
            .into_iter()
            .chain(query)
            .collect()
    }
}

/// Everything but what never needs it, as `%` and two digits.
fn encode(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.push_str(&hex::encode_upper([byte]));
        }
    }
    encoded
}

/// The characters of the random parts that Kubernetes gives to names of pods.
const RANDOM: &str = "[bcdfghjklmnpqrstvwxz2456789]";

/// Checks a question against role and tenancy, and makes its request for the hour before `now`.
pub fn request(role: Role, tenancy: &Tenancy, command: &Command, now: Timestamp) -> Result<Request, PolicyRefusal> {
    let Command::Metrics {
        metric,
        resource,
        namespace,
        name: workload,
    } = command
    else {
        return Err(PolicyRefusal::CommandNotPermitted(command.name()));
    };
    if !Permissions::of(role)
        .commands
        .iter()
        .any(|known| known == command.name())
    {
        return Err(PolicyRefusal::CommandNotPermitted(command.name()));
    }
    name("namespace", namespace)?;
    name("name", workload)?;
    if !tenancy.admits(namespace) {
        return Err(PolicyRefusal::ForeignNamespace(namespace.clone()));
    }
    let end = now.as_second();
    Ok(Request {
        path: "api/v1/query_range",
        parameters: vec![
            ("query", promql(*metric, namespace, &pods_of(*resource, workload)?)),
            ("start", end.saturating_sub(WINDOW_SECONDS).to_string()),
            ("end", end.to_string()),
            ("step", STEP_SECONDS.to_string()),
            // Later versions cut there themselves; earlier ones do not know it, and the answer is cut when it is read.
            ("limit", SERIES_MAX.saturating_add(1).to_string()),
            ("timeout", format!("{}ms", super::ANSWER_TIMEOUT_MS)),
        ],
    })
}

/// A regular expression, anchored by Prometheus itself, for the pods that a workload makes: those of today, and those that are gone.
fn pods_of(resource: Resource, workload: &str) -> Result<String, PolicyRefusal> {
    let workload = workload.replace('.', "[.]");
    Ok(match resource {
        Resource::Deployments => format!("{workload}-{RANDOM}{{1,10}}-{RANDOM}{{5}}"),
        Resource::StatefulSets => format!("{workload}-[0-9]{{1,6}}"),
        Resource::DaemonSets | Resource::ReplicaSets => format!("{workload}-{RANDOM}{{5}}"),
        Resource::Pods => workload,
        other => return Err(PolicyRefusal::WrongScope(other)),
    })
}

/// Names under which programs count their answers, and the label that holds the status: the conventions of Prometheus' own client
/// libraries, of Micrometer and of OpenTelemetry.
const ANSWERS: [(&str, &[&str]); 4] = [
    ("http_requests_total", &["status", "code", "status_code"]),
    ("http_server_requests_seconds_count", &["status"]),
    (
        "http_server_request_duration_seconds_count",
        &["http_response_status_code"],
    ),
    (
        "http_request_duration_seconds_count",
        &["status_code", "code", "status"],
    ),
];

fn promql(metric: Metric, namespace: &str, pods: &str) -> String {
    let of = format!("namespace=\"{namespace}\",pod=~\"{pods}\"");
    // The pause container and the sums of a pod carry no name of a container.
    let containers = format!("{of},container!=\"\",container!=\"POD\"");
    // Two Prometheis, or two jobs, may measure the same: the larger counts, never the sum.
    match metric {
        Metric::Memory => format!("max by (pod, container) (container_memory_working_set_bytes{{{containers}}})"),
        Metric::Cpu => {
            format!("max by (pod, container) (rate(container_cpu_usage_seconds_total{{{containers}}}[5m]))")
        }
        Metric::CpuThrottling => format!(
            "max by (pod, container) (rate(container_cpu_cfs_throttled_periods_total{{{containers}}}[5m]) / rate(container_cpu_cfs_periods_total{{{containers}}}[5m]))"
        ),
        Metric::Restarts => {
            format!("max by (pod, container) (kube_pod_container_status_restarts_total{{{containers}}})")
        }
        Metric::Requests => either(
            ANSWERS
                .iter()
                .map(|(counted, _)| format!("sum by (pod) (rate({counted}{{{of}}}[5m]))")),
        ),
        Metric::RequestErrors => either(ANSWERS.iter().flat_map(|(counted, labels)| {
            labels
                .iter()
                .map(|label| format!("sum by (pod) (rate({counted}{{{of},{label}=~\"5..\"}}[5m]))"))
                .collect::<Vec<_>>()
        })),
    }
}

/// The first that there is, for each pod.
fn either(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(" or ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use strum::IntoEnumIterator;

    use super::*;
    use crate::sandbox::command::Lane;
    use crate::sandbox::policy;

    fn command(metric: Metric, resource: Resource, namespace: &str, name: &str) -> Command {
        Command::Metrics {
            metric,
            resource,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    fn asked(command: &Command) -> Result<Request, PolicyRefusal> {
        let own = Tenancy::Namespaces(vec!["shop".to_owned()]);
        request(
            Role::SreInvestigator,
            &own,
            command,
            Timestamp::from_second(1_750_000_000).unwrap(),
        )
    }

    fn query(command: &Command) -> String {
        let request = asked(command).unwrap();
        request
            .parameters
            .into_iter()
            .find(|(key, _)| *key == "query")
            .unwrap()
            .1
    }

    #[test]
    fn every_query_pins_its_namespace_and_its_pods_in_every_selector() {
        for metric in Metric::iter() {
            let text = query(&command(metric, Resource::Deployments, "shop", "web"));
            let selectors = text.matches('{').count() - text.matches("]{").count();
            assert_eq!(
                text.matches("{namespace=\"shop\",pod=~\"web-").count(),
                selectors,
                "{text}"
            );
        }
    }

    #[test]
    fn nothing_but_a_name_of_kubernetes_reaches_a_query() {
        for bad in [
            "",
            "web\"}) or up{x=\"",
            "web{}",
            "web|.*",
            "Web",
            "web\\",
            ".*",
            "a\nb",
        ] {
            assert!(
                asked(&command(Metric::Memory, Resource::Deployments, "shop", bad)).is_err(),
                "{bad}"
            );
            assert!(
                asked(&command(Metric::Memory, Resource::Deployments, bad, "web")).is_err(),
                "{bad}"
            );
        }
        assert_eq!(
            asked(&command(Metric::Memory, Resource::Deployments, "bank", "web")),
            Err(PolicyRefusal::ForeignNamespace("bank".to_owned()))
        );
        assert!(asked(&command(Metric::Memory, Resource::Events, "shop", "web")).is_err());
        // A dot means itself.
        assert!(query(&command(Metric::Memory, Resource::Pods, "shop", "a.b")).contains("pod=~\"a[.]b\""));
    }

    #[test]
    fn it_runs_in_no_sandbox_pod_and_for_nobody_who_may_not_measure() {
        let one = command(Metric::Memory, Resource::Deployments, "shop", "web");
        for role in [
            Role::SreInvestigator,
            Role::CodeAnalyst,
            Role::Commander,
            Role::RemediationPlanner,
        ] {
            for lane in Lane::iter() {
                assert!(
                    policy::check(&Permissions::of(role), lane, &Tenancy::Cluster, &one).is_err(),
                    "{role} {lane}"
                );
            }
            let refused = request(role, &Tenancy::Cluster, &one, Timestamp::UNIX_EPOCH).is_err();
            assert_eq!(refused, role != Role::SreInvestigator, "{role}");
        }
    }

    #[test]
    fn the_pods_of_a_workload_are_those_that_it_made_and_no_others() {
        let anchored =
            |resource, name: &str| regex::Regex::new(&format!("^(?:{})$", pods_of(resource, name).unwrap())).unwrap();
        let deployment = anchored(Resource::Deployments, "web");
        assert!(deployment.is_match("web-6d4b9c7f58-x7k2p"));
        for other in [
            "web-api-6d4b9c7f58-x7k2p",
            "web-0",
            "web",
            "my-web-6d4b9c7f58-x7k2p",
            "web-6d4b9c7f58-x7k2p-1",
        ] {
            assert!(!deployment.is_match(other), "{other}");
        }
        assert!(anchored(Resource::StatefulSets, "db").is_match("db-12"));
        assert!(!anchored(Resource::StatefulSets, "db").is_match("db-x"));
    }

    #[test]
    fn the_request_asks_for_one_hour_that_ends_now() {
        let request = asked(&command(Metric::Cpu, Resource::StatefulSets, "shop", "db")).unwrap();
        let of = |key: &str| request.parameters.iter().find(|(k, _)| *k == key).unwrap().1.clone();
        assert_eq!(
            (of("start"), of("end"), of("step")),
            ("1749996400".into(), "1750000000".into(), "30".into())
        );
        assert_eq!(request.argv().len(), 3);
        let sent = request.path_and_query();
        assert!(
            sent.starts_with("api/v1/query_range?query=max%20by%20%28pod%2C%20container%29"),
            "{sent}"
        );
        assert!(
            sent.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-._~%?&=/".contains(&b)),
            "{sent}"
        );
    }
}
