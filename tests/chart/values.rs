//! What may be said in values, and what is refused, by the name of the field.

use serde_json::Value;

use crate::render::{EVERYTHING, TRIED_OUT, file, render};

#[test]
fn a_wrong_value_is_refused_by_the_name_of_its_field() {
    for (values, field) in [
        ("imagine: {tag: x}", "imagine"),
        ("image: {repositry: x}", "repositry"),
        ("image: {digest: 'sha256:12'}", "/image/digest"),
        ("image: {pullPolicy: Sometimes}", "/image/pullPolicy"),
        ("sandbox: {namespace: 'Not A Name'}", "/sandbox/namespace"),
        ("sandbox: {image: ''}", "/sandbox/image"),
        ("sandbox: {seccompProfile: ../../etc/passwd}", "/sandbox/seccompProfile"),
        ("sandbox: {quota: {pods: 20}}", "/sandbox/quota/pods"),
        ("database: {url: 'mysql://db'}", "/database/url"),
        ("database: {password: x}", "password"),
        ("audit: {mode: sqlite}", "/audit/mode"),
        ("observe: {clusterWide: 'yes'}", "/observe/clusterWide"),
        ("remediation: {namespaces: [shop, shop]}", "/remediation/namespaces"),
        ("remediation: {nodes: always}", "/remediation/nodes"),
        ("maxConcurrent: 0", "/maxConcurrent"),
        ("resources: {limit: {}}", "limit"),
        ("replicas: 0", "/replicas"),
        ("podDisruptionBudget: {minAvailable: 1}", "minAvailable"),
        (
            "topologySpreadConstraints: [{maxSkew: 1}]",
            "/topologySpreadConstraints/0",
        ),
        (
            "extraEnv: [{name: FIREWATCH_SANDBOX_IMAGE, value: x}]",
            "/extraEnv/0/name",
        ),
        ("extraEnv: [{name: DATABASE_URL, value: x}]", "/extraEnv/0/name"),
        (
            "networkPolicy: {apiServer: {ports: [0]}}",
            "/networkPolicy/apiServer/ports/0",
        ),
        (
            "networkPolicy: {apiServer: {cidrs: [kubernetes]}}",
            "/networkPolicy/apiServer/cidrs/0",
        ),
        ("rbac: {aggregateApprover: true}", "aggregateApprover"),
        ("api: {enabled: maybe}", "/api/enabled"),
        ("api: {rate: -1}", "/api/rate"),
        (
            "api: {tokenReview: {audiences: ['a,b']}}",
            "/api/tokenReview/audiences/0",
        ),
        (
            "notifications: {channels: [{name: a, kind: pigeon}]}",
            "/notifications/channels/0/kind",
        ),
        (
            "prometheus: {url: 'http://user:word@prometheus:9090'}",
            "/prometheus/url",
        ),
    ] {
        let set = if values.starts_with("audit") {
            values.to_owned()
        } else {
            format!("{TRIED_OUT}\n{values}")
        };
        let said = render(&set).expect_err(values);
        // Helm writes the place with slashes or dots, depending on its version.
        let dotted = field.trim_start_matches('/').replace('/', ".");
        assert!(said.contains(field) || said.contains(&dotted), "{values}: {said}");
    }
}

#[test]
fn what_does_not_go_together_is_refused_with_the_remedy() {
    for (values, remedy) in [
        ("{}", "audit.mode=file"),
        ("audit: {mode: file}\nreplicas: 2", "database.url"),
        ("audit: {mode: file}\napi: {enabled: true}", "api.tls.secret"),
        (
            "audit: {mode: file}\napi: {enabled: true, plainHttp: true, tokenReview: {enabled: false}}",
            "api.tokenSecret",
        ),
        (
            "audit: {mode: file}\nnotifications: {channels: [{name: a, kind: webhook}]}",
            "kept in Postgres",
        ),
        (
            "audit: {mode: file}\nintake: {enabled: true}",
            "intake.pagerduty.secret",
        ),
        (
            "audit: {mode: file}\nsandbox: {namespace: firewatch-system}",
            "must not be the operator's own",
        ),
    ] {
        let said = render(values).expect_err(values);
        assert!(said.contains(remedy), "{values}: {said}");
    }
}

/// Paths of all values; a list or an empty map is one value.
fn leaves(value: &Value, path: &str, found: &mut Vec<String>) {
    match value.as_object() {
        Some(map) if !map.is_empty() => {
            for (key, below) in map {
                leaves(below, &format!("{path}/{key}"), found);
            }
        }
        _ => found.push(path.to_owned()),
    }
}

#[test]
fn the_schema_and_the_values_name_the_same_fields() {
    let values: Value = serde_saphyr::from_str(&file("values.yaml")).unwrap();
    let schema: Value = serde_json::from_str(&file("values.schema.json")).unwrap();
    let mut documented = Vec::new();
    leaves(&values, "", &mut documented);
    let at = |path: &str| -> Option<Value> {
        let mut place = schema.clone();
        for key in path.split('/').skip(1) {
            // A map whose keys are the user's: labels, requests.
            if place["properties"].is_null() && place["type"] == "object" {
                break;
            }
            place = place.pointer(&format!("/properties/{key}"))?.clone();
        }
        Some(place)
    };
    let unknown: Vec<&String> = documented.iter().filter(|path| at(path).is_none()).collect();
    assert!(
        unknown.is_empty(),
        "in values.yaml, not in values.schema.json: {unknown:?}"
    );
    // The other way: nothing can be set that values.yaml does not show.
    let mut allowed = Vec::new();
    properties(&schema, "", &mut allowed);
    let hidden: Vec<&String> = allowed
        .iter()
        .filter(|path| {
            !documented
                .iter()
                .any(|d| path.starts_with(d.as_str()) || d.starts_with(path.as_str()))
        })
        .filter(|path| *path != "/global")
        .collect();
    assert!(
        hidden.is_empty(),
        "in values.schema.json, not in values.yaml: {hidden:?}"
    );
    assert!(documented.len() > 40, "only {} values were looked at", documented.len());
}

fn properties(schema: &Value, path: &str, found: &mut Vec<String>) {
    match schema["properties"].as_object() {
        Some(map) => {
            for (key, below) in map {
                properties(below, &format!("{path}/{key}"), found);
            }
        }
        None => found.push(path.to_owned()),
    }
}

#[test]
fn every_object_of_the_schema_refuses_what_it_does_not_know() {
    fn open(schema: &Value, path: &str, found: &mut Vec<String>) {
        if let Some(map) = schema["properties"].as_object() {
            if schema["additionalProperties"] != Value::Bool(false) {
                found.push(path.to_owned());
            }
            for (key, below) in map {
                open(below, &format!("{path}/{key}"), found);
            }
        }
    }
    let schema: Value = serde_json::from_str(&file("values.schema.json")).unwrap();
    let mut found = Vec::new();
    open(&schema, "", &mut found);
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn crds_are_kept_unless_told_otherwise_and_left_out_where_told() {
    let crds = |values: &str| -> Vec<Option<String>> {
        let objects = render(values).unwrap();
        let crds = objects.iter().filter(|o| o["kind"] == "CustomResourceDefinition");
        crds.map(|c| {
            c["metadata"]["annotations"]["helm.sh/resource-policy"]
                .as_str()
                .map(str::to_owned)
        })
        .collect()
    };
    assert_eq!(crds(EVERYTHING), vec![Some("keep".to_owned()); 3]);
    assert_eq!(crds(&format!("{TRIED_OUT}\ncrds: {{keep: false}}")), vec![None; 3]);
    assert!(crds(&format!("{TRIED_OUT}\ncrds: {{enabled: false}}")).is_empty());
}
