//! What can be checked about a workload: fields of objects, and lines in logs. Asks the API server; changes nothing.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{ApiResource, DynamicObject, ListParams, LogParams};
use kube::core::GroupVersionKind;
use kube::{Api, ResourceExt};
use regex::Regex;
use serde::Deserialize;
use serde_json::Value;
use serde_json_path::JsonPath;

use super::Checks;
use crate::cluster::Cluster;
use crate::error::{Error, Result};

/// One thing that must hold.
#[derive(Deserialize, Clone, Debug)]
#[serde(rename_all = "camelCase")]
pub enum Check {
    /// Some value of some of these objects.
    Field(FieldCheck),
    /// Lines of some of these pods' logs.
    Log(LogCheck),
}

/// Some value that the path finds in some of these objects satisfies the condition.
#[derive(Deserialize, Clone, Debug)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FieldCheck {
    object: Objects,
    /// JSONPath of RFC 9535.
    path: String,
    equals: Option<String>,
    matches: Option<String>,
    at_least: Option<f64>,
    /// Every value is at most this, and there is one.
    at_most: Option<f64>,
    /// The path finds nothing in any of them, and there is one.
    absent: Option<bool>,
}

#[derive(Deserialize, Clone, Debug)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Objects {
    api_version: String,
    kind: String,
    name: Option<String>,
    selector: Option<String>,
}

/// Lines of the logs of the pods that the selector finds.
#[derive(Deserialize, Clone, Debug)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LogCheck {
    selector: String,
    matches: String,
    since_seconds: Option<i64>,
    /// At least so many lines (default 1, unless `atMost` is given).
    at_least: Option<usize>,
    /// At most so many lines.
    at_most: Option<usize>,
}

impl Check {
    /// Whether path and patterns can be read.
    pub fn validate(&self) -> Result<()> {
        match self {
            Self::Field(check) => {
                check.parsed_path()?;
                check.matches.as_deref().map(pattern).transpose()?;
                if check.object.name.is_some() == check.object.selector.is_some() {
                    return Err(Error::Input("field.object: give either name or selector".to_owned()));
                }
                let conditions = [
                    check.equals.is_some(),
                    check.matches.is_some(),
                    check.at_least.is_some(),
                    check.at_most.is_some(),
                    check.absent.is_some(),
                ];
                if conditions.iter().filter(|given| **given).count() != 1 {
                    return Err(Error::Input(format!(
                        "field {}: give one of equals, matches, atLeast, atMost, absent",
                        check.path
                    )));
                }
                Ok(())
            }
            Self::Log(check) => pattern(&check.matches).map(|_| ()),
        }
    }

    /// `Ok(None)`: it holds. `Ok(Some(why))`: not yet, and what was seen instead.
    pub async fn unmet(&self, cluster: &Cluster) -> Result<Option<String>> {
        match self {
            Self::Field(check) => check.unmet(cluster).await,
            Self::Log(check) => check.unmet(cluster).await,
        }
    }
}

fn pattern(text: &str) -> Result<Regex> {
    Regex::new(text).map_err(|e| Error::Input(format!("matches: {text} is not a regular expression: {e}")))
}

impl FieldCheck {
    fn parsed_path(&self) -> Result<JsonPath> {
        JsonPath::parse(&self.path)
            .map_err(|e| Error::Input(format!("path: {} is not a JSONPath (RFC 9535): {e}", self.path)))
    }

    async fn unmet(&self, cluster: &Cluster) -> Result<Option<String>> {
        let objects = self.object.fetch(cluster).await?;
        let path = self.parsed_path()?;
        let pattern = self.matches.as_deref().map(pattern).transpose()?;
        let mut values = Vec::new();
        for object in &objects {
            values.extend(path.query(object).all().into_iter().map(plain));
        }
        Ok(self.judge(objects.len(), &values, pattern.as_ref()))
    }

    fn judge(&self, objects: usize, values: &[String], pattern: Option<&Regex>) -> Option<String> {
        let number = |value: &String| value.parse::<f64>().ok();
        let holds = if let Some(wanted) = &self.equals {
            values.contains(wanted)
        } else if let Some(pattern) = pattern {
            values.iter().any(|value| pattern.is_match(value))
        } else if let Some(least) = self.at_least {
            values.iter().filter_map(number).any(|value| value >= least)
        } else if let Some(most) = self.at_most {
            !values.is_empty()
                && values
                    .iter()
                    .all(|value| number(value).is_some_and(|value| value <= most))
        } else {
            objects > 0 && values.is_empty()
        };
        (!holds).then(|| {
            let what = self
                .object
                .name
                .as_deref()
                .or(self.object.selector.as_deref())
                .unwrap_or_default();
            let seen = if values.is_empty() {
                "nothing".to_owned()
            } else {
                values.join(", ")
            };
            format!("{} {what}: {} is {seen}", self.object.kind, self.path)
        })
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

impl Objects {
    async fn fetch(&self, cluster: &Cluster) -> Result<Vec<Value>> {
        let (group, version) = self.api_version.split_once('/').unwrap_or(("", &self.api_version));
        let gvk = GroupVersionKind::gvk(group, version, &self.kind);
        let resource = match self.kind.as_str() {
            // Not the plural that one would guess.
            "PodMetrics" => ApiResource::from_gvk_with_plural(&gvk, "pods"),
            _ => ApiResource::from_gvk(&gvk),
        };
        let api: Api<DynamicObject> = Api::namespaced_with(cluster.client.clone(), &cluster.namespace, &resource);
        let doing = || format!("read {} in {}", self.kind, cluster.namespace);
        let found = match (&self.name, &self.selector) {
            (Some(name), _) => api
                .get_opt(name)
                .await
                .map(|object| object.into_iter().collect::<Vec<_>>()),
            (None, selector) => {
                let parameters = ListParams::default().labels(selector.as_deref().unwrap_or_default());
                api.list(&parameters).await.map(|list| list.items)
            }
        };
        let objects = match found {
            Ok(objects) => objects,
            // Metrics come a little after the pods do.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 503) => Vec::new(),
            Err(error) => return Err(Error::from_kube(doing(), &error)),
        };
        Ok(objects
            .iter()
            .filter_map(|object| serde_json::to_value(object).ok())
            .collect())
    }
}

impl LogCheck {
    async fn unmet(&self, cluster: &Cluster) -> Result<Option<String>> {
        let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
        let list = pods
            .list(&ListParams::default().labels(&self.selector))
            .await
            .map_err(|error| Error::from_kube(format!("list pods in {}", cluster.namespace), &error))?;
        let pattern = pattern(&self.matches)?;
        let parameters = LogParams {
            since_seconds: self.since_seconds,
            tail_lines: Some(2000),
            ..LogParams::default()
        };
        let mut lines = 0;
        for pod in &list.items {
            // A container that does not run yet has no log; that is no line, and no error.
            if let Ok(log) = pods.logs(&pod.name_any(), &parameters).await {
                lines += log.lines().filter(|line| pattern.is_match(line)).count();
            }
        }
        Ok(self.judge(list.items.len(), lines))
    }

    fn judge(&self, pods: usize, lines: usize) -> Option<String> {
        let least = self.at_least.unwrap_or(usize::from(self.at_most.is_none()));
        let holds = pods > 0 && lines >= least && self.at_most.is_none_or(|most| lines <= most);
        (!holds).then(|| {
            format!(
                "{lines} lines of {pods} pods ({}) match {}",
                self.selector, self.matches
            )
        })
    }
}

/// How often things are looked at.
const EVERY: Duration = Duration::from_secs(1);

/// Waits until all hold and have held for the settle time; an answer names what did not.
pub async fn wait(cluster: &Cluster, checks: &Checks, what: &str) -> Result<Duration> {
    let started = tokio::time::Instant::now();
    let deadline = started + Duration::from_secs(checks.timeout_seconds + checks.settle_seconds);
    let mut holding_since = None;
    loop {
        let mut unmet = Vec::new();
        for check in &checks.checks {
            unmet.extend(check.unmet(cluster).await?);
        }
        let now = tokio::time::Instant::now();
        if unmet.is_empty() {
            let since = *holding_since.get_or_insert(now);
            if now - since >= Duration::from_secs(checks.settle_seconds) {
                return Ok(since - started);
            }
        } else {
            holding_since = None;
        }
        if now >= deadline {
            let seen = if unmet.is_empty() {
                "it did not stay".to_owned()
            } else {
                unmet.join("; ")
            };
            return Err(Error::TimedOut(format!(
                "{what}: not within {} s: {seen}",
                checks.timeout_seconds + checks.settle_seconds
            )));
        }
        tokio::time::sleep(EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    fn field(condition: &str) -> FieldCheck {
        let text =
            format!("field: {{object: {{apiVersion: v1, kind: Pod, selector: a=b}}, path: '$.x[*]', {condition}}}");
        let check: Check = serde_saphyr::from_str(&text).unwrap();
        check.validate().unwrap();
        let Check::Field(check) = check else {
            panic!("not a field")
        };
        check
    }

    fn values(list: &[&str]) -> Vec<String> {
        list.iter().map(|v| (*v).to_owned()).collect()
    }

    #[test]
    fn numbers_are_compared_as_numbers() {
        assert_eq!(field("atLeast: 2").judge(1, &values(&["0", "10"]), None), None);
        assert!(field("atMost: 0").judge(1, &values(&["0", "1"]), None).is_some());
        assert_eq!(
            field("atLeast: 2").judge(1, &[], None).as_deref(),
            Some("Pod a=b: $.x[*] is nothing")
        );
    }

    #[test]
    fn an_object_that_does_not_exist_never_counts_as_well() {
        assert!(field("atMost: 0").judge(0, &[], None).is_some());
        assert!(field("absent: true").judge(0, &[], None).is_some());
        assert_eq!(field("absent: true").judge(1, &[], None), None);
    }

    #[test]
    fn silence_is_no_proof_without_a_pod() {
        let check: Check = serde_saphyr::from_str("log: {selector: a=b, matches: ERROR, atMost: 0}").unwrap();
        let Check::Log(check) = check else { panic!("not a log") };
        assert_eq!(check.judge(1, 0), None);
        assert!(check.judge(0, 0).is_some());
        assert!(check.judge(1, 1).is_some());
    }

    #[test]
    fn two_conditions_or_none_are_refused() {
        for condition in ["equals: a, atLeast: 1", "{}"] {
            let text = format!(
                "field: {{object: {{apiVersion: v1, kind: Pod, selector: a=b}}, path: '$.x', {}}}",
                condition.trim_matches(['{', '}'])
            );
            let check: std::result::Result<Check, _> = serde_saphyr::from_str(&text);
            assert!(check.is_err() || check.unwrap().validate().is_err(), "{condition}");
        }
    }
}
