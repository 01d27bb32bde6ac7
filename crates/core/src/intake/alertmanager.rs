//! Alertmanager's webhook, version 4: a body becomes a notification, or is refused with the field that is wrong. And its list of groups
//! (`/api/v2/alerts/groups`), by which a webhook that was missed is found.
//!
//! A field that this does not know is ignored; one that it needs must be there in its type. Optional ones may be missing or null. Text is
//! cleaned and cut when it is shown, never here: what identifies an alert is hashed as it came. Called by the operator's `intake`.

use std::collections::BTreeMap;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use super::reject::{Rejection, Why};

/// The largest body that is read.
pub const MAX_BYTES: usize = 1024 * 1024;
const MAX_ALERTS: usize = 5000;
const MAX_LABELS: usize = 256;
const MAX_KEY: usize = 8192;
/// How far ahead of ours a sender's clock may be before its times are taken to be now.
const SKEW: SignedDuration = SignedDuration::from_secs(300);

/// One notification: a group of alerts, firing or resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// Identity of the group; the same in every notification about it.
    pub group_key: String,
    /// How many alerts Alertmanager left out.
    pub truncated: u64,
    /// Labels by which the alerts are grouped.
    pub group_labels: BTreeMap<String, String>,
    /// At least one.
    pub alerts: Vec<Alert>,
}

/// One alert of a notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// Firing, or resolved.
    pub firing: bool,
    /// Labels, as sent.
    pub labels: BTreeMap<String, String>,
    /// Annotations, as sent.
    pub annotations: BTreeMap<String, String>,
    /// When it began; never in the future.
    pub starts_at: Option<Timestamp>,
    /// What tells this firing of this alert from every other: its fingerprint and when it began, as sent.
    pub identity: String,
    /// Its fingerprint, as sent.
    pub fingerprint: Option<String>,
}

/// Reads a body.
pub fn parse(body: &[u8], now: Timestamp) -> Result<Notification, Rejection> {
    if body.len() > MAX_BYTES {
        return Err(Rejection::new("body", Why::TooLarge));
    }
    // serde_json ends at 128 levels by itself.
    let value: Value = serde_json::from_slice(body).map_err(|_| Rejection::new("body", Why::NotJson))?;
    let top = value
        .as_object()
        .ok_or_else(|| Rejection::new("body", Why::WrongType))?;
    if required_text(top, "version", "version")? != "4" {
        return Err(Rejection::new("version", Why::UnknownVersion));
    }
    let group_key = required_text(top, "groupKey", "groupKey")?;
    if group_key.len() > MAX_KEY {
        return Err(Rejection::new("groupKey", Why::TooLong));
    }
    let status = optional_text(top, "status", "status")?;
    if status.is_some_and(|s| !matches!(s, "firing" | "resolved")) {
        return Err(Rejection::new("status", Why::UnknownValue));
    }
    let truncated = match top.get("truncatedAlerts") {
        None | Some(Value::Null) => 0,
        Some(n) => n
            .as_u64()
            .ok_or_else(|| Rejection::new("truncatedAlerts", Why::WrongType))?,
    };
    let alerts = match top.get("alerts") {
        None | Some(Value::Null) => return Err(Rejection::new("alerts", Why::Missing)),
        Some(Value::Array(alerts)) => alerts,
        Some(_) => return Err(Rejection::new("alerts", Why::WrongType)),
    };
    if alerts.is_empty() {
        return Err(Rejection::new("alerts", Why::Empty));
    }
    if alerts.len() > MAX_ALERTS {
        return Err(Rejection::new("alerts", Why::TooLong));
    }
    Ok(Notification {
        group_key: group_key.to_owned(),
        truncated,
        group_labels: texts(top, "groupLabels", "groupLabels")?,
        alerts: alerts
            .iter()
            .enumerate()
            .map(|(index, alert)| one(alert, &format!("alerts[{index}]"), now))
            .collect::<Result<_, _>>()?,
    })
}

/// One alert, as it stands in a webhook's list.
fn one(value: &Value, path: &str, now: Timestamp) -> Result<Alert, Rejection> {
    let map = value.as_object().ok_or_else(|| Rejection::new(path, Why::WrongType))?;
    let at = |field: &str| format!("{path}.{field}");
    let firing = match required_text(map, "status", &at("status"))? {
        "firing" => true,
        "resolved" => false,
        _ => return Err(Rejection::new(at("status"), Why::UnknownValue)),
    };
    time(optional_text(map, "endsAt", &at("endsAt"))?, &at("endsAt"))?;
    body_of(map, path, firing, now)
}

/// What a webhook and the list of groups have in common.
fn body_of(map: &Map<String, Value>, path: &str, firing: bool, now: Timestamp) -> Result<Alert, Rejection> {
    let at = |field: &str| format!("{path}.{field}");
    let labels = texts(map, "labels", &at("labels"))?;
    let starts = time(optional_text(map, "startsAt", &at("startsAt"))?, &at("startsAt"))?;
    let latest = now.saturating_add(SKEW).unwrap_or(now);
    let fingerprint = optional_text(map, "fingerprint", &at("fingerprint"))?
        .filter(|f| !f.is_empty())
        .map(str::to_owned);
    Ok(Alert {
        firing,
        annotations: texts(map, "annotations", &at("annotations"))?,
        identity: identity(fingerprint.as_deref(), &labels, starts),
        starts_at: starts.map(|at| if at > latest { now } else { at }),
        fingerprint,
        labels,
    })
}

/// Twelve hex digits over fingerprint (or the labels it is made of) and start, to the millisecond: the list of groups has no more.
pub fn identity(fingerprint: Option<&str>, labels: &BTreeMap<String, String>, starts_at: Option<Timestamp>) -> String {
    let starts_at = starts_at.map_or(String::new(), |at| at.as_millisecond().to_string());
    let starts_at = starts_at.as_str();
    let parts: Vec<&str> = match fingerprint {
        Some(fingerprint) => vec!["f", fingerprint, starts_at],
        None => std::iter::once("l")
            .chain(labels.iter().flat_map(|(k, v)| [k.as_str(), v.as_str()]))
            .chain(std::iter::once(starts_at))
            .collect(),
    };
    super::report::hash(&parts, 12)
}

fn required_text<'a>(map: &'a Map<String, Value>, key: &str, path: &str) -> Result<&'a str, Rejection> {
    match optional_text(map, key, path)? {
        None => Err(Rejection::new(path, Why::Missing)),
        Some("") => Err(Rejection::new(path, Why::Empty)),
        Some(text) => Ok(text),
    }
}

fn optional_text<'a>(map: &'a Map<String, Value>, key: &str, path: &str) -> Result<Option<&'a str>, Rejection> {
    match map.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Rejection::new(path, Why::WrongType)),
    }
}

fn texts(map: &Map<String, Value>, key: &str, path: &str) -> Result<BTreeMap<String, String>, Rejection> {
    let values = match map.get(key) {
        None | Some(Value::Null) => return Ok(BTreeMap::new()),
        Some(Value::Object(values)) => values,
        Some(_) => return Err(Rejection::new(path, Why::WrongType)),
    };
    if values.len() > MAX_LABELS {
        return Err(Rejection::new(path, Why::TooLong));
    }
    values
        .iter()
        .map(|(name, value)| match value {
            Value::String(text) => Ok((name.clone(), text.clone())),
            _ => Err(Rejection::new(format!("{path}.{name}"), Why::WrongType)),
        })
        .collect()
}

/// Alertmanager's zero time (`0001-01-01T00:00:00Z`) is none.
fn time(text: Option<&str>, path: &str) -> Result<Option<Timestamp>, Rejection> {
    text.filter(|t| !t.is_empty() && !t.starts_with("0001-01-01"))
        .map(|text| text.parse().map_err(|_| Rejection::new(path, Why::NotATime)))
        .transpose()
}

/// Reads the list of groups that have alerts for a receiver. What is silenced or inhibited does not fire: whoever silenced it knows.
pub fn parse_groups(body: &[u8], receiver: &str, now: Timestamp) -> Result<Vec<Notification>, Rejection> {
    let value: Value = serde_json::from_slice(body).map_err(|_| Rejection::new("body", Why::NotJson))?;
    let groups = value.as_array().ok_or_else(|| Rejection::new("body", Why::WrongType))?;
    let mut found = Vec::new();
    for (index, group) in groups.iter().enumerate() {
        let path = format!("[{index}]");
        let group = group.as_object().ok_or_else(|| Rejection::new(&path, Why::WrongType))?;
        let of = group
            .get("receiver")
            .and_then(|r| r.get("name"))
            .and_then(Value::as_str);
        if of != Some(receiver) {
            continue;
        }
        let group_labels = texts(group, "labels", &format!("{path}.labels"))?;
        let list = group
            .get("alerts")
            .and_then(Value::as_array)
            .ok_or_else(|| Rejection::new(format!("{path}.alerts"), Why::WrongType))?;
        let mut alerts = Vec::new();
        for (index, alert) in list.iter().enumerate() {
            let path = format!("{path}.alerts[{index}]");
            let alert = alert.as_object().ok_or_else(|| Rejection::new(&path, Why::WrongType))?;
            let state = alert.get("status").and_then(|s| s.get("state")).and_then(Value::as_str);
            if state == Some("active") {
                alerts.push(body_of(alert, &path, true, now)?);
            }
        }
        if !alerts.is_empty() {
            found.push(Notification {
                group_key: format!(
                    "{receiver}/{}",
                    serde_json::to_string(&group_labels).unwrap_or_default()
                ),
                truncated: 0,
                group_labels,
                alerts,
            });
        }
    }
    Ok(found)
}
