//! What is measured is documented; what dashboards and alerts ask for is measured; every alert has a runbook, fires and stops.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use firewatch::telemetry::metrics::Metrics;
use serde_json::Value;

use crate::render::{EVERYTHING, file, named, render};

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// Names as they are registered, from the source: a family without a series yet does not stand in what `/metrics` answers.
fn registered() -> BTreeMap<String, String> {
    let source = include_str!("../../src/telemetry/metrics.rs");
    let call = regex::Regex::new(r#"registry\.register\(\s*"([a-z_]+)",\s*"([^"]+)""#).unwrap();
    let found: BTreeMap<_, _> = call
        .captures_iter(source)
        .map(|c| (format!("firewatch_{}", &c[1]), c[2].to_owned()))
        .collect();
    assert_eq!(found.len(), source.matches("registry.register(").count());
    found
}

/// Name and type of each row of docs/metrics.md.
fn documented() -> BTreeMap<String, String> {
    let row = regex::Regex::new(r"(?m)^\| `(firewatch_[a-z_]+)` \| (counter|gauge|histogram) \|").unwrap();
    row.captures_iter(&read("docs/metrics.md"))
        .map(|c| (c[1].to_owned(), c[2].to_owned()))
        .collect()
}

/// The labels of each, as documented.
fn labels() -> BTreeMap<String, BTreeSet<String>> {
    let row = regex::Regex::new(r"(?m)^\| `(firewatch_[a-z_]+)` \| [a-z]+ \| ([^|]*)\|").unwrap();
    let label = regex::Regex::new(r"`([a-z_]+)`").unwrap();
    row.captures_iter(&read("docs/metrics.md"))
        .map(|c| {
            (
                c[1].to_owned(),
                label.captures_iter(&c[2]).map(|l| l[1].to_owned()).collect(),
            )
        })
        .collect()
}

/// Names of the series that Prometheus keeps of them.
fn series() -> BTreeSet<String> {
    documented()
        .into_iter()
        .flat_map(|(name, kind)| match kind.as_str() {
            // The documentation names a counter as its series is named.
            "histogram" => ["_bucket", "_sum", "_count"]
                .iter()
                .map(|end| format!("{name}{end}"))
                .collect(),
            _ => vec![name],
        })
        .collect()
}

#[test]
fn every_metric_is_documented_with_its_type_and_no_other() {
    let documented = documented();
    let names: BTreeSet<String> = documented
        .iter()
        .map(|(name, kind)| match kind.as_str() {
            "counter" => name
                .strip_suffix("_total")
                .unwrap_or_else(|| panic!("{name} is a counter"))
                .to_owned(),
            _ => name.clone(),
        })
        .collect();
    let registered: BTreeSet<String> = registered().into_keys().collect();
    assert_eq!(names, registered, "docs/metrics.md and src/telemetry/metrics.rs");
    let shown = Metrics::default().render();
    let types = regex::Regex::new(r"(?m)^# TYPE (firewatch_[a-z_]+) ([a-z]+)$").unwrap();
    let mut seen = 0;
    for shown in types.captures_iter(&shown) {
        let name = if &shown[2] == "counter" {
            format!("{}_total", &shown[1])
        } else {
            shown[1].to_owned()
        };
        assert_eq!(documented.get(&name).map(String::as_str), Some(&shown[2]), "{name}");
        seen += 1;
    }
    assert!(seen > 8, "{shown}");
    // And the labels of what is shown.
    let series = regex::Regex::new(r"(?m)^(firewatch_[a-z_]+)\{([^}]*)\} ").unwrap();
    let label = regex::Regex::new(r#"([a-z_]+)=""#).unwrap();
    let labels = labels();
    for series in series.captures_iter(&shown) {
        let found: BTreeSet<String> = label.captures_iter(&series[2]).map(|l| l[1].to_owned()).collect();
        assert_eq!(labels.get(&series[1]), Some(&found), "{}", &series[0]);
    }
}

#[test]
fn what_an_alert_looks_at_is_there_from_the_start() {
    let shown = Metrics::default().render();
    for series in [
        "firewatch_leader 0",
        "firewatch_approval_guard_intact 0",
        "firewatch_sandbox_jobs_total{lane=\"observe\",result=\"SandboxForbidden\"} 0",
        "firewatch_sandbox_jobs_total{lane=\"observe\",result=\"SandboxImagePullFailed\"} 0",
        "firewatch_sandbox_jobs_total{lane=\"remediate\",result=\"Failed\"} 0",
        "firewatch_sandbox_jobs_total{lane=\"rollback\",result=\"Unknown\"} 0",
        "firewatch_reconcile_errors_total{reason=\"Forbidden\"} 0",
        "firewatch_reconcile_errors_total{reason=\"ApiUnreachable\"} 0",
        "firewatch_incidents_completed_total{outcome=\"RemediationFailed\"} 0",
    ] {
        assert!(shown.contains(&format!("{series}\n")), "{series} is not in:\n{shown}");
    }
}

fn with_monitoring() -> Vec<Value> {
    render(&format!(
        "{EVERYTHING}\nmetrics:\n  serviceMonitor: {{enabled: true, labels: {{release: stack}}, interval: 15s}}\n  prometheusRule: {{enabled: true, labels: {{release: stack}}, runbookUrl: 'https://runbooks.example.com/firewatch'}}\n  dashboard: {{enabled: true, annotations: {{grafana_folder: Firewatch}}}}"
    ))
    .unwrap()
}

/// Every query: where it stands, and its text.
fn queries() -> Vec<(String, String)> {
    let objects = with_monitoring();
    let rule = named(&objects, "PrometheusRule", "firewatch");
    let mut found: Vec<(String, String)> = rules(rule)
        .map(|r| {
            (
                r["alert"].as_str().unwrap().to_owned(),
                r["expr"].as_str().unwrap().to_owned(),
            )
        })
        .collect();
    let alerts = found.len();
    let dashboard: Value = serde_json::from_str(
        named(&objects, "ConfigMap", "firewatch-dashboard")["data"]["firewatch.json"]
            .as_str()
            .unwrap(),
    )
    .unwrap();
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expr = target["expr"].as_str().unwrap();
            let expr = expr.replace("$__rate_interval", "5m").replace("$namespace", ".*");
            assert!(!expr.contains('$'), "{title}: {expr}");
            found.push((format!("panel {title}"), expr));
        }
    }
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        if let Some(query) = variable["query"]["query"].as_str() {
            found.push((format!("variable {}", variable["name"]), query.to_owned()));
        }
    }
    assert!(alerts >= 9 && found.len() > alerts + 15, "{found:?}");
    found
}

fn rules(rule: &Value) -> impl Iterator<Item = &Value> {
    rule["spec"]["groups"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|g| g["rules"].as_array().unwrap())
}

#[test]
fn every_query_of_dashboard_and_alerts_is_about_series_and_labels_that_exist() {
    let series = series();
    let name = regex::Regex::new(r"\bfirewatch_[a-z_]+").unwrap();
    let grouped = regex::Regex::new(r"\bby \(([a-z_, ]+)\)").unwrap();
    let matched = regex::Regex::new(r#"([a-z_]+)(?:=~|!~|!=|=)""#).unwrap();
    let labels = labels();
    let mut used = BTreeSet::new();
    for (place, query) in queries() {
        let mut named = 0;
        for found in name.find_iter(&query) {
            assert!(
                series.contains(found.as_str()),
                "{place}: {} is not measured: {query}",
                found.as_str()
            );
            used.insert(found.as_str().to_owned());
            named += 1;
        }
        assert!(named > 0, "{place}: {query}");
        let known: BTreeSet<String> = labels
            .iter()
            .filter(|(metric, _)| query.contains(metric.as_str()))
            .flat_map(|(_, labels)| labels.clone())
            // What Prometheus adds, and a histogram's own.
            .chain(["namespace", "le"].map(str::to_owned))
            .collect();
        for group in grouped.captures_iter(&query) {
            for label in group[1].split(',').map(str::trim) {
                assert!(known.contains(label), "{place}: no label {label}: {query}");
            }
        }
        for matched in matched.captures_iter(&query) {
            assert!(
                known.contains(&matched[1]),
                "{place}: no label {}: {query}",
                &matched[1]
            );
        }
    }
    assert!(used.len() >= 10, "{used:?}");
}

#[test]
fn every_alert_has_its_runbook_and_every_runbook_its_alert() {
    let objects = with_monitoring();
    let alerts: BTreeSet<String> = rules(named(&objects, "PrometheusRule", "firewatch"))
        .map(|rule| {
            let name = rule["alert"].as_str().unwrap().to_owned();
            let url = format!("https://runbooks.example.com/firewatch#{}", name.to_lowercase());
            assert_eq!(rule["annotations"]["runbook_url"], url, "{name}");
            assert!(
                rule["annotations"]["summary"].is_string() && rule["annotations"]["description"].is_string(),
                "{name}"
            );
            assert!(
                ["critical", "warning", "info"]
                    .map(Value::from)
                    .contains(&rule["labels"]["severity"]),
                "{name}"
            );
            name
        })
        .collect();
    let heading = regex::Regex::new(r"(?m)^## (Firewatch[A-Za-z]+)$").unwrap();
    let runbooks: BTreeSet<String> = heading
        .captures_iter(&read("docs/runbooks.md"))
        .map(|c| c[1].to_owned())
        .collect();
    assert_eq!(alerts, runbooks);
}

#[test]
fn monitoring_is_off_unless_asked_for_and_carries_the_labels_that_are_asked_for() {
    let kinds = ["ServiceMonitor", "PrometheusRule"];
    assert!(
        !render(EVERYTHING)
            .unwrap()
            .iter()
            .any(|o| kinds.iter().any(|kind| o["kind"] == *kind))
    );
    let objects = with_monitoring();
    for kind in kinds {
        assert_eq!(
            named(&objects, kind, "firewatch")["metadata"]["labels"]["release"],
            "stack"
        );
    }
    let monitor = named(&objects, "ServiceMonitor", "firewatch");
    assert_eq!(monitor["spec"]["endpoints"][0]["interval"], "15s");
    // It finds the Service, and the port by its name.
    let service = named(&objects, "Service", "firewatch");
    for (key, value) in monitor["spec"]["selector"]["matchLabels"].as_object().unwrap() {
        assert_eq!(&service["metadata"]["labels"][key], value);
    }
    assert_eq!(
        monitor["spec"]["endpoints"][0]["port"],
        service["spec"]["ports"][0]["name"]
    );
    let dashboard = named(&objects, "ConfigMap", "firewatch-dashboard");
    assert_eq!(dashboard["metadata"]["labels"]["grafana_dashboard"], "1");
    assert_eq!(dashboard["metadata"]["annotations"]["grafana_folder"], "Firewatch");
}

/// Without promtool there is nothing to ask; tests/cluster/check.sh says so.
#[test]
fn prometheus_reads_every_query_and_each_alert_fires_and_stops() {
    let promtool = std::env::var("FIREWATCH_PROMTOOL").unwrap_or_else(|_| "promtool".to_owned());
    if Command::new(&promtool).arg("--version").output().is_err() {
        eprintln!("promtool is not installed: the alerts are not tested");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let objects = render(&format!(
        "{EVERYTHING}\nmetrics: {{prometheusRule: {{enabled: true, runbookUrl: 'http://runbooks'}}}}"
    ))
    .unwrap();
    let rule = named(&objects, "PrometheusRule", "firewatch");
    std::fs::write(folder.path().join("rules.yaml"), rule["spec"].to_string()).unwrap();
    // A panel's query is read as if it were recorded.
    let panels: Vec<Value> = queries()
        .iter()
        .filter(|(place, _)| place.starts_with("panel"))
        .enumerate()
        .map(|(n, (_, expr))| serde_json::json!({ "record": format!("panel:query:{n}"), "expr": expr }))
        .collect();
    let panels = serde_json::json!({ "groups": [{ "name": "panels", "rules": panels }] });
    std::fs::write(folder.path().join("panels.yaml"), panels.to_string()).unwrap();
    let tests = read("tests/chart/alerts.yaml").replace("RUNBOOK#", "http://runbooks#");
    for rule in rules(rule) {
        let name = rule["alert"].as_str().unwrap();
        let fires = format!("alertname: {name}\n        exp_alerts:");
        let stops = format!("alertname: {name}, exp_alerts: []");
        assert!(
            tests.contains(&fires) && tests.contains(&stops),
            "{name} is not made to fire and to stop"
        );
    }
    std::fs::write(folder.path().join("tests.yaml"), tests).unwrap();
    for arguments in [
        &["check", "rules", "rules.yaml", "panels.yaml"][..],
        &["test", "rules", "tests.yaml"],
    ] {
        let output = Command::new(&promtool)
            .current_dir(folder.path())
            .args(arguments)
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(
            output.status.success(),
            "promtool {arguments:?}: {}",
            String::from_utf8_lossy(&said)
        );
    }
}

#[test]
fn the_chart_carries_the_dashboard_as_it_stands() {
    let objects = with_monitoring();
    let carried = named(&objects, "ConfigMap", "firewatch-dashboard")["data"]["firewatch.json"].clone();
    assert_eq!(carried, file("files/dashboard.json"));
    let dashboard: Value = serde_json::from_str(carried.as_str().unwrap()).unwrap();
    // A fixed data source would be somebody else's.
    for panel in dashboard["panels"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|p| p["type"] != "row")
    {
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{}", panel["title"]);
        assert!(!panel["description"].as_str().unwrap().is_empty());
    }
    let ids: BTreeSet<i64> = dashboard["panels"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p["id"].as_i64().unwrap())
        .collect();
    assert_eq!(ids.len(), dashboard["panels"].as_array().unwrap().len());
}
