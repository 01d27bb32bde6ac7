//! An incident with everything in it, and hostile text in place of every text of it. Used here and by the tests with a browser.

use serde_json::{Value, json};

/// Text that has become markup somewhere, once.
pub const HOSTILE: &[&str] = &[
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "'><svg onload=alert(1)>",
    "</pre></details><iframe src=javascript:alert(1)></iframe>",
    "</title></style><h1>Approved</h1>",
    "</svg><a href=\"https://evil.example/\">go on</a>",
    "<!--",
    "-->",
    "<![CDATA[x]]>",
    "]]><b>",
    "<meta http-equiv=refresh content=0;url=https://evil.example/>",
    "<base href=https://evil.example/>",
    "<form action=https://evil.example/><input autofocus onfocus=alert(1)>",
    "<link rel=stylesheet href=//evil.example/x.css>",
    "<style>*{background:url(//evil.example/x)}</style>",
    "<math><mi xlink:href=\"data:x,<script>alert(1)</script>\">",
    "<body onload=alert(1)>",
    "<details open ontoggle=alert(1)>",
    "javascript:alert(1)",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&#60;img src=x&#62;",
    "{{ 7*7 }}{% include \"/etc/passwd\" %}",
    "${7*7}",
    "<%= 7*7 %>",
    "\u{202e}tpircs\u{202c}",
    "\u{0}<\u{0}script>",
    "a\u{1b}[31mred",
    "` onmouseover=alert(1) x=`",
    "+ADw-script+AD4-alert(1)+ADw-/script+AD4-",
    "<\u{ff53}cript>",
    "%3Cscript%3E",
    "\\u003cscript\\u003e",
];

fn data(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// The decision about it.
pub fn approval() -> Value {
    data(include_str!("../../../../tests/data/report/approval.json"))
}

/// The repaired incident, with evidence and with the times that its conditions keep.
pub fn incident() -> Value {
    let mut incident = data(include_str!("../../../../tests/data/report/incident.json"));
    let status = &mut incident["status"];
    status["evidence"] = json!([
        {"id": "E1", "agent": "sre-investigator", "command": "kubectl get pods -n shop", "state": "Complete", "sha256": "sha256:1"},
        {"id": "E2", "agent": "code-analyst", "command": "kubectl logs checkout-7d4-x2", "state": "Truncated", "sha256": "sha256:2"},
        {"id": "E10", "agent": "sre-investigator", "command": "kubectl get configmaps -n shop", "state": "Complete", "sha256": "sha256:3"},
    ]);
    let condition = |type_: &str, at: &str| json!({"type": type_, "status": "True", "reason": "Test", "message": "", "lastTransitionTime": format!("2026-03-01T{at}Z")});
    status["conditions"] = json!([
        condition("Triaged", "03:00:03"),
        condition("Investigated", "03:00:20"),
        condition("Diagnosed", "03:00:21"),
        condition("Planned", "03:00:22"),
        condition("Approved", "03:01:30"),
        condition("Executed", "03:01:34"),
        condition("Verified", "03:02:11"),
    ]);
    status["agents"][0]["startedAt"] = "2026-03-01T03:00:03Z".into();
    status["agents"][0]["finishedAt"] = "2026-03-01T03:00:20Z".into();
    status["agents"][1]["startedAt"] = "2026-03-01T03:00:03Z".into();
    status["agents"][1]["finishedAt"] = "2026-03-01T03:00:12Z".into();
    incident
}

/// Puts `hostile` in place of every text that people or programs write freely; what is of a closed set stays.
pub fn poison(value: &mut Value, key: &str, hostile: &str) {
    match value {
        Value::Object(map) => {
            for (key, value) in map.iter_mut() {
                poison(value, key, hostile);
            }
        }
        Value::Array(list) => {
            for value in list {
                poison(value, key, hostile);
            }
        }
        Value::String(text) => {
            let free = matches!(
                key,
                "title"
                    | "description"
                    | "name"
                    | "namespace"
                    | "requestedBy"
                    | "summary"
                    | "message"
                    | "rationale"
                    | "chain"
                    | "alternatives"
                    | "category"
                    | "command"
                    | "impact"
                    | "rollback"
                    | "longTermFixes"
                    | "reasons"
                    | "conditions"
                    | "observed"
                    | "result"
                    | "nextSteps"
                    | "sha256"
                    | "confidence"
                    | "digest"
                    | "field"
                    | "from"
                    | "to"
                    | "container"
                    | "kind"
                    | "diff"
                    | "manualReason"
                    | "approver"
                    | "reason"
                    | "lastHash"
                    | "costUsd"
                    | "service"
            );
            let closed = ["outage", "degraded", "none", "unknown"].contains(&text.as_str());
            if free && !closed {
                hostile.clone_into(text);
            }
        }
        _ => {}
    }
}

/// The same in a whole incident.
pub fn poison_incident(incident: &mut Value, hostile: &str) {
    poison(&mut incident["spec"], "", hostile);
    for key in incident["status"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect::<Vec<_>>()
    {
        // Its type and status are of a closed set, and its times are what the picture is made of.
        if key != "conditions" {
            poison(&mut incident["status"][key.as_str()], &key, hostile);
        }
    }
    incident["metadata"]["name"] = hostile.into();
    incident["metadata"]["namespace"] = hostile.into();
}
