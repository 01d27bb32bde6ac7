//! A notice as a CloudEvent 1.0 in structured mode: one JSON document, for a generic webhook. Called by the sender.

use serde_json::{Value, json};

use super::notice::Notice;

/// What the body is.
pub const CONTENT_TYPE: &str = "application/cloudevents+json; charset=utf-8";

/// The document. Its id is the same whenever the same notice is sent again: receivers tell repetitions by it.
pub fn event(notice: &Notice) -> Value {
    json!({
        "specversion": "1.0",
        "id": format!("{}/{}", notice.incident_uid, notice.sequence),
        "source": format!("/apis/firewatch.dev/v1alpha1/namespaces/{}/incidents/{}", notice.namespace, notice.name),
        "type": format!("dev.firewatch.incident.{}", notice.occasion),
        "subject": notice.target,
        "time": notice.at,
        "datacontenttype": "application/json",
        "data": notice,
    })
}
