//! What the chart's pods are, and what may reach them and they may reach.

use firewatch_core::sandbox::command::Lane;
use firewatch_core::sandbox::restricted;
use k8s_openapi::api::core::v1::PodSpec;
use serde_json::{Value, json};
use strum::IntoEnumIterator;

use crate::render::{EVERYTHING, TRIED_OUT, named, of_kind, render, rendered, words};

/// Every pod that the chart itself makes: name, spec.
fn pods(objects: &[Value]) -> Vec<(String, Value)> {
    objects
        .iter()
        .filter_map(|o| {
            let spec = match o["kind"].as_str()? {
                "Pod" => &o["spec"],
                "Deployment" | "Job" | "StatefulSet" | "DaemonSet" => &o["spec"]["template"]["spec"],
                "CronJob" => &o["spec"]["jobTemplate"]["spec"]["template"]["spec"],
                _ => return None,
            };
            Some((format!("{} {}", o["kind"], o["metadata"]["name"]), spec.clone()))
        })
        .collect()
}

#[test]
fn every_pod_is_restricted_read_only_and_bounded() {
    for (set, objects) in rendered() {
        let pods = pods(&objects);
        assert!(!pods.is_empty(), "{set}");
        for (name, spec) in pods {
            let typed: PodSpec = serde_json::from_value(spec).unwrap();
            assert_eq!(restricted::violations(&typed), Vec::<String>::new(), "{set}: {name}");
            assert_eq!(typed.enable_service_links, Some(false), "{set}: {name}");
            for container in typed.init_containers.iter().flatten().chain(&typed.containers) {
                let at = format!("{set}: {name}: {}", container.name);
                let context = container.security_context.clone().unwrap_or_default();
                assert_eq!(context.read_only_root_filesystem, Some(true), "{at}");
                let resources = container.resources.clone().unwrap_or_default();
                for asked in ["cpu", "memory"] {
                    assert!(
                        resources.requests.iter().flatten().any(|(k, _)| k == asked),
                        "{at}: {asked}"
                    );
                }
                assert!(resources.limits.iter().flatten().any(|(k, _)| k == "memory"), "{at}");
            }
        }
    }
}

#[test]
fn a_password_of_the_database_comes_from_a_secret_and_stands_in_no_pod() {
    for (set, objects) in rendered() {
        for (name, spec) in pods(&objects) {
            let text = spec.to_string();
            assert!(!text.contains("postgres://"), "{set}: {name}: {text}");
        }
    }
}

#[test]
fn the_digest_wins_over_the_tag_in_every_container() {
    let objects = render(EVERYTHING).unwrap();
    for (name, spec) in pods(&objects) {
        for container in ["initContainers", "containers"] {
            for container in spec[container].as_array().into_iter().flatten() {
                let image = container["image"].as_str().unwrap();
                assert!(image.starts_with("localhost/firewatch@sha256:0123"), "{name}: {image}");
            }
        }
    }
}

#[test]
fn where_the_operator_runs_is_what_the_values_say() {
    let objects = render(EVERYTHING).unwrap();
    let deployment = named(&objects, "Deployment", "firewatch");
    let pod = &deployment["spec"]["template"]["spec"];
    assert_eq!(deployment["spec"]["replicas"], 2);
    assert_eq!(pod["priorityClassName"], "infra");
    assert_eq!(pod["nodeSelector"], json!({ "kubernetes.io/os": "linux" }));
    assert_eq!(pod["tolerations"], json!([{ "key": "infra", "operator": "Exists" }]));
    assert_eq!(pod["affinity"], json!({ "nodeAffinity": {} }));
    assert_eq!(pod["imagePullSecrets"], json!([{ "name": "registry" }]));
    let env = pod["containers"][0]["env"].as_array().unwrap();
    assert!(env.contains(&json!({ "name": "HTTPS_PROXY", "value": "http://proxy:3128" })));
    // Both select what the Deployment does.
    let selector = &deployment["spec"]["selector"];
    assert_eq!(&pod["topologySpreadConstraints"][0]["labelSelector"], selector);
    assert_eq!(
        &named(&objects, "PodDisruptionBudget", "firewatch")["spec"]["selector"],
        selector
    );
    for account in of_kind(&objects, "ServiceAccount").filter(|a| a["metadata"]["namespace"] == "firewatch-sandbox") {
        assert_eq!(
            account["imagePullSecrets"],
            json!([{ "name": "registry" }]),
            "{account}"
        );
    }
}

#[test]
fn the_service_and_the_operator_s_policies_select_the_operator_s_pods_alone() {
    for (set, objects) in rendered() {
        let selected = &named(&objects, "Service", "firewatch")["spec"]["selector"];
        let operator = named(&objects, "Deployment", "firewatch");
        assert_eq!(&operator["spec"]["selector"]["matchLabels"], selected, "{set}");
        for pod in of_kind(&objects, "Pod") {
            let labels = &pod["metadata"]["labels"];
            let hit = selected.as_object().unwrap().iter().all(|(k, v)| labels[k] == *v);
            assert!(
                !hit,
                "{set}: the Service would send requests to {}",
                pod["metadata"]["name"]
            );
        }
    }
}

#[test]
fn each_lane_has_its_network_policy_and_analyze_reaches_nothing() {
    for (values, expected) in [
        (
            TRIED_OUT,
            json!([{ "ports": [{ "protocol": "TCP", "port": 443 }, { "protocol": "TCP", "port": 6443 }] }]),
        ),
        (
            EVERYTHING,
            json!([{ "ports": [{ "protocol": "TCP", "port": 6443 }], "to": [{ "ipBlock": { "cidr": "10.0.0.1/32" } }] }]),
        ),
    ] {
        let objects = render(values).unwrap();
        let sandbox: Vec<&Value> = of_kind(&objects, "NetworkPolicy")
            .filter(|p| p["metadata"]["namespace"] == "firewatch-sandbox")
            .collect();
        let all = sandbox.iter().find(|p| p["spec"]["podSelector"] == json!({})).unwrap();
        assert_eq!(words(&all["spec"]["policyTypes"]), ["Ingress", "Egress"]);
        assert!(all["spec"]["ingress"].is_null() && all["spec"]["egress"].is_null());
        for lane in Lane::iter() {
            let label = json!({ "matchLabels": { "firewatch.dev/lane": lane.to_string() } });
            let own: Vec<&&Value> = sandbox.iter().filter(|p| p["spec"]["podSelector"] == label).collect();
            // Nothing, and no pod at all: a Prometheus is asked by the operator itself.
            if matches!(lane, Lane::Analyze | Lane::Metrics) {
                assert!(own.is_empty());
                continue;
            }
            assert_eq!(own.len(), 1, "{lane}");
            assert_eq!(own[0]["spec"]["egress"], expected, "{lane}");
            assert!(own[0]["spec"]["ingress"].is_null(), "{lane}");
        }
    }
}

#[test]
fn whoever_is_told_is_told_by_the_file_that_the_chart_makes_and_by_the_secrets_that_it_names() {
    let objects = render(EVERYTHING).unwrap();
    let text = named(&objects, "ConfigMap", "firewatch-notifications")["data"]["notifications.yaml"].clone();
    let plan = firewatch_core::notify::routing::parse(text.as_str().unwrap()).unwrap();
    assert_eq!((plan.channels.len(), plan.routes.len()), (1, 1));
    for pod in [
        &named(&objects, "Deployment", "firewatch")["spec"]["template"]["spec"],
        &named(&objects, "Pod", "firewatch-selfcheck")["spec"],
    ] {
        let container = &pod["containers"][0];
        let mounts: Vec<&str> = container["volumeMounts"]
            .as_array()
            .unwrap()
            .iter()
            .map(|mount| mount["mountPath"].as_str().unwrap())
            .collect();
        for needed in [
            plan.channels[0].url_file.as_ref().unwrap().to_str().unwrap(),
            "/etc/firewatch/notifications.d/x",
        ] {
            let folder = needed.rsplit_once('/').unwrap().0;
            assert!(mounts.contains(&folder), "{folder}: {mounts:?}");
        }
        let told = container["env"]
            .as_array()
            .unwrap()
            .iter()
            .find(|e| e["name"] == "FIREWATCH_NOTIFICATIONS");
        assert_eq!(
            told.unwrap()["value"],
            "/etc/firewatch/notifications.d/notifications.yaml"
        );
    }
    let egress = named(&objects, "NetworkPolicy", "firewatch")["spec"]["egress"].clone();
    assert!(
        egress
            .as_array()
            .unwrap()
            .contains(&json!({ "ports": [{ "protocol": "TCP", "port": 443 }] })),
        "{egress}"
    );
}
