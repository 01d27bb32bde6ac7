//! PagerDuty's webhooks, version 3: the signature over the raw body, the event in it, and what it reports. The signature is checked first;
//! nothing of a body without a valid one is read. Called by the operator's `intake`.

use std::collections::BTreeMap;

use hmac::{Hmac, KeyInit, Mac};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Map, Value};
use sha2::Sha256;
use strum::{AsRefStr, Display, EnumIter, EnumString};

use super::reject::{Rejection, Why, clean};
use super::report::{Firing, Report, bounded, hash, severity};
use super::target::{LabelPolicy, named};
use crate::api::incident::AlertSource;
use crate::api::{self, Severity};
use crate::text::clip;

/// The largest body that is read.
pub const MAX_BYTES: usize = 1024 * 1024;
/// More signatures than a rotation can cause are not looked at.
const MAX_SIGNATURES: usize = 8;
const MAX_TEXT: usize = 8192;
const MAX_ID: usize = 256;
const MAX_LABELS: usize = 256;

/// Whether one of the signatures of the header `X-PagerDuty-Signature` is this body's under one of the secrets. While a secret is
/// replaced, both sides have two.
pub fn is_signed(header: &str, body: &[u8], secrets: &[Vec<u8>]) -> bool {
    let signatures: Vec<Vec<u8>> = header
        .split(',')
        .take(MAX_SIGNATURES)
        .filter_map(|one| hex::decode(one.trim().strip_prefix("v1=")?).ok())
        .collect();
    if signatures.is_empty() {
        return false;
    }
    secrets.iter().filter(|secret| !secret.is_empty()).any(|secret| {
        // Any length of key will do for HMAC. The body is read once for each secret; the comparison takes the same time whatever differs.
        Hmac::<Sha256>::new_from_slice(secret).is_ok_and(|mut mac| {
            mac.update(body);
            signatures
                .iter()
                .any(|signature| mac.clone().verify_slice(signature).is_ok())
        })
    })
}

/// Whether this is an id as PagerDuty makes them: it is put into paths of its API.
pub fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric())
}

/// What the intake remembers in the status of an incident that came from there: nobody else can write that.
pub fn mark(incident: &str) -> String {
    hash(&["pagerduty", "incident", incident], 12)
}

/// What happened to the incident over there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, AsRefStr, Display, EnumIter, EnumString)]
pub enum Kind {
    /// It began.
    #[strum(serialize = "incident.triggered")]
    Triggered,
    /// It began again.
    #[strum(serialize = "incident.reopened")]
    Reopened,
    /// Somebody looks at it.
    #[strum(serialize = "incident.acknowledged")]
    Acknowledged,
    /// It is over.
    #[strum(serialize = "incident.resolved")]
    Resolved,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The event's id; the same when it is delivered again.
    pub id: String,
    /// What happened; absent for all that Firewatch does nothing about.
    pub kind: Option<Kind>,
    /// When.
    pub occurred_at: Option<Timestamp>,
    /// The incident's id over there.
    pub incident: String,
    /// What it says.
    pub title: String,
    /// Where a person looks at it.
    pub url: Option<String>,
    /// `high` or `low`.
    pub urgency: Option<String>,
    /// The id of the service over there, by which it is mapped to a namespace.
    pub service: Option<String>,
    /// Custom details and fields that are text, as the labels of an alert.
    pub labels: BTreeMap<String, String>,
}

/// Reads a body whose signature was checked.
pub fn parse(body: &[u8]) -> Result<Event, Rejection> {
    if body.len() > MAX_BYTES {
        return Err(Rejection::new("body", Why::TooLarge));
    }
    // serde_json ends at 128 levels by itself.
    let value: Value = serde_json::from_slice(body).map_err(|_| Rejection::new("body", Why::NotJson))?;
    let top = value
        .as_object()
        .ok_or_else(|| Rejection::new("body", Why::WrongType))?;
    let event = object(top, "event", "event")?.ok_or_else(|| Rejection::new("event", Why::Missing))?;
    let id = required(event, "id", "event.id")?;
    if id.len() > MAX_ID {
        return Err(Rejection::new("event.id", Why::TooLong));
    }
    let kind = required(event, "event_type", "event.event_type")?.parse::<Kind>().ok();
    let occurred_at = text(event, "occurred_at", "event.occurred_at")?
        .map(str::parse::<Timestamp>)
        .transpose()
        .map_err(|_| Rejection::new("event.occurred_at", Why::NotATime))?;
    if kind.is_none() {
        // A test of the subscription, a note, an escalation: its data are those of something else.
        return Ok(Event {
            id: id.to_owned(),
            kind,
            occurred_at,
            incident: String::new(),
            title: String::new(),
            url: None,
            urgency: None,
            service: None,
            labels: BTreeMap::new(),
        });
    }
    let data = object(event, "data", "event.data")?.ok_or_else(|| Rejection::new("event.data", Why::Missing))?;
    let incident = required(data, "id", "event.data.id")?;
    if !is_id(incident) {
        return Err(Rejection::new("event.data.id", Why::UnknownValue));
    }
    let service = match object(data, "service", "event.data.service")? {
        Some(service) => text(service, "id", "event.data.service.id")?,
        None => None,
    };
    let owned = |value: Option<&str>| value.filter(|v| !v.is_empty()).map(str::to_owned);
    Ok(Event {
        id: id.to_owned(),
        kind,
        occurred_at,
        incident: incident.to_owned(),
        title: text(data, "title", "event.data.title")?.unwrap_or_default().to_owned(),
        url: owned(text(data, "html_url", "event.data.html_url")?),
        urgency: owned(text(data, "urgency", "event.data.urgency")?),
        service: owned(service),
        labels: labels(data)?,
    })
}

/// What a sender put into the details of its alert: an object of texts, wherever PagerDuty shows it. What is no text names nothing.
fn labels(data: &Map<String, Value>) -> Result<BTreeMap<String, String>, Rejection> {
    let mut found = BTreeMap::new();
    let mut take = |name: &str, value: &Value| {
        if let Some(text) = value.as_str().filter(|text| text.len() <= MAX_TEXT) {
            found.insert(name.to_owned(), text.to_owned());
        }
    };
    let path = "event.data.custom_details";
    for (name, value) in object(data, "custom_details", path)?.into_iter().flatten() {
        take(name, value);
    }
    if let Some(body) = object(data, "body", "event.data.body")? {
        // Plain text is as usual there as an object.
        if let Some(details) = body.get("details").and_then(Value::as_object) {
            for (name, value) in details {
                take(name, value);
            }
        }
    }
    match data.get("custom_fields") {
        None | Some(Value::Null) => {}
        Some(Value::Array(fields)) => {
            for field in fields {
                if let (Some(name), Some(value)) = (field.get("name").and_then(Value::as_str), field.get("value")) {
                    take(name, value);
                }
            }
        }
        Some(_) => return Err(Rejection::new("event.data.custom_fields", Why::WrongType)),
    }
    if found.len() > MAX_LABELS {
        return Err(Rejection::new(path, Why::TooLong));
    }
    Ok(found)
}

/// What an event reports; nothing where Firewatch does nothing about it. `services`: the namespace of each service over there, for events
/// whose details name none.
pub fn report(
    event: &Event,
    services: &BTreeMap<String, String>,
    policy: &LabelPolicy,
    now: Timestamp,
) -> Option<Report> {
    let kind = event.kind?;
    let mut labels = event.labels.clone();
    if !labels.contains_key(&policy.namespace)
        && let Some(namespace) = event.service.as_ref().and_then(|service| services.get(service))
    {
        labels.insert(policy.namespace.clone(), namespace.clone());
    }
    let named = named(&labels, policy);
    // Never in the future, whatever the sender's clock says.
    let at = event.occurred_at.map(|at| at.min(now));
    let firing = |parts: &[&str]| {
        vec![Firing {
            starts_at: at,
            identity: hash(parts, 12),
        }]
    };
    let title = clean(&event.title);
    Some(Report {
        // Without the namespace: a resolution need not repeat the details.
        key: hash(&["pagerduty", &event.incident], 40),
        grouped_by: hash(&["pagerduty", "grouped by", &event.incident], 40),
        firing: match kind {
            Kind::Triggered => firing(&["pagerduty", "triggered", &event.incident]),
            Kind::Reopened => firing(&["pagerduty", "reopened", &event.id]),
            Kind::Acknowledged | Kind::Resolved => Vec::new(),
        },
        all_resolved: kind == Kind::Resolved,
        acknowledged_at: (kind == Kind::Acknowledged).then(|| at.unwrap_or(now)),
        once: Some(hash(&["pagerduty", "event", &event.id], 12)),
        marks: vec![mark(&event.incident)],
        alert: api::Alert {
            source: AlertSource::Pagerduty,
            name: labels.get("alertname").map(|name| clip(&clean(name), 253)),
            fingerprint: Some(event.incident.clone()),
            group_key: None,
            starts_at: at.map(|at| clip(&at.to_string(), 40)),
            labels: bounded(&labels),
            annotations: bounded(
                &event
                    .url
                    .iter()
                    .map(|url| ("url".to_owned(), url.clone()))
                    .collect::<BTreeMap<_, _>>(),
            ),
        },
        title: if title.trim().is_empty() {
            format!("PagerDuty incident {}", event.incident)
        } else {
            clip(&title, 256)
        },
        description: None,
        severity: labels
            .get(&policy.severity)
            .and_then(|word| severity(word))
            .or(match event.urgency.as_deref() {
                Some("high") => Some(Severity::High),
                Some("low") => Some(Severity::Low),
                _ => None,
            }),
        named,
    })
}

fn object<'a>(map: &'a Map<String, Value>, key: &str, path: &str) -> Result<Option<&'a Map<String, Value>>, Rejection> {
    match map.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(object)) => Ok(Some(object)),
        Some(_) => Err(Rejection::new(path, Why::WrongType)),
    }
}

fn text<'a>(map: &'a Map<String, Value>, key: &str, path: &str) -> Result<Option<&'a str>, Rejection> {
    match map.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.len() > MAX_TEXT => Err(Rejection::new(path, Why::TooLong)),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Rejection::new(path, Why::WrongType)),
    }
}

fn required<'a>(map: &'a Map<String, Value>, key: &str, path: &str) -> Result<&'a str, Rejection> {
    match text(map, key, path)? {
        None => Err(Rejection::new(path, Why::Missing)),
        Some("") => Err(Rejection::new(path, Why::Empty)),
        Some(text) => Ok(text),
    }
}
