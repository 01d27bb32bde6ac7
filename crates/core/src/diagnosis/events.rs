//! Events in either form (`v1` and `events.k8s.io/v1`) as one record, whatever of it is missing or not what it should be.
//! Must never fail on what a cluster says. Called by the case file.

use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::objects::text;
use super::records::EventRecord;
use crate::api::ObjectName;

/// What is read of an event, in both forms' names.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Text {
    involved_object: Option<About>,
    regarding: Option<About>,
    r#type: Option<String>,
    reason: Option<String>,
    message: Option<String>,
    note: Option<String>,
    count: Option<i64>,
    deprecated_count: Option<i64>,
    series: Option<Series>,
    first_timestamp: Option<String>,
    deprecated_first_timestamp: Option<String>,
    last_timestamp: Option<String>,
    deprecated_last_timestamp: Option<String>,
    event_time: Option<String>,
    metadata: Option<Metadata>,
}

#[derive(Debug, Default, Deserialize)]
struct About {
    kind: Option<String>,
    namespace: Option<String>,
    name: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Series {
    count: Option<i64>,
    last_observed_time: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    creation_timestamp: Option<String>,
}

/// From an event's text; none where it is about nothing.
pub(super) fn read(json: &str, evidence: &str, default_namespace: &str) -> Option<EventRecord> {
    let event = match serde_json::from_str::<Text>(json) {
        Ok(event) => event,
        Err(_) => tolerant(&serde_json::from_str::<Value>(json).ok()?),
    };
    record(event, evidence, default_namespace)
}

/// Field by field: one that is not what it should be hides no other.
fn tolerant(value: &Value) -> Text {
    let string = |path: &[&str]| Some(text(value, path)).filter(|text| !text.is_empty());
    let number = |path: &[&str]| {
        path.iter()
            .try_fold(value, |value, key| value.get(key))
            .and_then(Value::as_i64)
    };
    let about = |key: &str| {
        value.get(key).map(|_| About {
            kind: string(&[key, "kind"]),
            namespace: string(&[key, "namespace"]),
            name: string(&[key, "name"]),
        })
    };
    Text {
        involved_object: about("involvedObject"),
        regarding: about("regarding"),
        r#type: string(&["type"]),
        reason: string(&["reason"]),
        message: string(&["message"]),
        note: string(&["note"]),
        count: number(&["count"]),
        deprecated_count: number(&["deprecatedCount"]),
        series: Some(Series {
            count: number(&["series", "count"]),
            last_observed_time: string(&["series", "lastObservedTime"]),
        }),
        first_timestamp: string(&["firstTimestamp"]),
        deprecated_first_timestamp: string(&["deprecatedFirstTimestamp"]),
        last_timestamp: string(&["lastTimestamp"]),
        deprecated_last_timestamp: string(&["deprecatedLastTimestamp"]),
        event_time: string(&["eventTime"]),
        metadata: Some(Metadata {
            creation_timestamp: string(&["metadata", "creationTimestamp"]),
        }),
    }
}

fn record(event: Text, evidence: &str, default_namespace: &str) -> Option<EventRecord> {
    let about = event.involved_object.or(event.regarding)?;
    let kind = about.kind.filter(|kind| !kind.is_empty())?;
    let name = about.name.filter(|name| !name.is_empty())?;
    let namespace = about.namespace.filter(|namespace| !namespace.is_empty());
    let series = event.series.unwrap_or_default();
    let created = event.metadata.unwrap_or_default().creation_timestamp;
    let time = |texts: &[&Option<String>]| texts.iter().find_map(|text| text.as_ref()?.parse::<Timestamp>().ok());
    let count = series.count.or(event.count).or(event.deprecated_count);
    Some(EventRecord {
        object: ObjectName {
            namespace: match kind.as_str() {
                "Node" | "PersistentVolume" => None,
                _ => Some(namespace.unwrap_or_else(|| default_namespace.to_owned())),
            },
            kind,
            name,
        },
        warning: event.r#type.as_deref() == Some("Warning"),
        reason: event.reason.unwrap_or_default(),
        first: time(&[
            &event.first_timestamp,
            &event.deprecated_first_timestamp,
            &event.event_time,
            &created,
        ]),
        last: time(&[
            &series.last_observed_time,
            &event.last_timestamp,
            &event.deprecated_last_timestamp,
            &event.event_time,
            &created,
        ]),
        message: event
            .message
            .filter(|message| !message.is_empty())
            .or(event.note)
            .unwrap_or_default(),
        count: count.and_then(|count| i32::try_from(count).ok()).unwrap_or(1).max(1),
        evidence: evidence.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn both_forms_are_one_record_and_a_field_of_another_kind_hides_no_other() {
        let old = r#"{"involvedObject":{"kind":"Pod","namespace":"n","name":"web"},"type":"Warning","reason":"BackOff","message":"m",
            "count":3,"lastTimestamp":"2026-03-01T12:00:00Z"}"#;
        let new = r#"{"regarding":{"kind":"Pod","name":"web"},"type":"Warning","reason":"BackOff","note":"m",
            "series":{"count":3,"lastObservedTime":"2026-03-01T12:00:00Z"},"eventTime":null}"#;
        let odd = old.replace("\"reason\":", "\"note\":[7],\"reason\":");
        let expected = read(old, "E1", "n").unwrap();
        assert_eq!(
            (expected.count, expected.warning, expected.message.as_str()),
            (3, true, "m")
        );
        for form in [new, odd.as_str()] {
            assert_eq!(read(form, "E1", "n").unwrap(), expected);
        }
        assert_eq!(read(r#"{"reason":"x"}"#, "E1", "n"), None);
    }
}
