//! What the cases change, broken as the causes say.

use serde_json::{Value, json};

/// The objects of a namespace that the cases change. Most run no pod: what is tested is the change of the object.
pub fn objects(namespace: &str, version: &str) -> Value {
    let container = |rest: Value| {
        let mut one = json!({"name": "app", "image": "localhost/firewatch-workload:dev",
            "command": ["python3", "-c", "import time; time.sleep(3600)"]});
        one.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        one
    };
    let object = |api: &str, kind: &str, name: &str, rest: Value| {
        let mut one = json!({"apiVersion": api, "kind": kind, "metadata": {"name": name, "namespace": namespace}});
        one.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        one
    };
    let workload = |kind: &str, name: &str, replicas: i32, pod: Value| {
        let mut spec = json!({
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": pod},
        });
        if kind == "DaemonSet" {
            // On no node.
            spec["template"]["spec"]["nodeSelector"] = json!({"example.org/none": "none"});
        } else {
            spec["replicas"] = json!(replicas);
        }
        object("apps/v1", kind, name, json!({"spec": spec}))
    };
    let plain = || json!({"terminationGracePeriodSeconds": 0, "containers": [container(json!({}))]});
    let versioned = || json!({"containers": [container(json!({"env": [{"name": "VERSION", "value": version}]}))]});
    let cron = |name: &str, suspend: bool| {
        let pod = json!({"restartPolicy": "Never",
            "containers": [container(json!({"env": [{"name": "UPSTREAM", "value": "http://old"}]}))]});
        let spec =
            json!({"schedule": "0 0 1 1 *", "suspend": suspend, "jobTemplate": {"spec": {"template": {"spec": pod}}}});
        object("batch/v1", "CronJob", name, json!({"spec": spec}))
    };
    let hpa = |name: &str, target: &str| {
        let spec = json!({"maxReplicas": 2, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": target}});
        object("autoscaling/v2", "HorizontalPodAutoscaler", name, json!({"spec": spec}))
    };
    let service = |name: &str| {
        let ports = json!([{"name": "web", "port": 80, "targetPort": "web"}, {"name": "metrics", "port": 81, "targetPort": 8081}]);
        let spec = json!({"selector": {"app.kubernetes.io/name": "wbe"}, "ports": ports});
        object("v1", "Service", name, json!({"spec": spec}))
    };
    let templated = json!({
        "initContainers": [{"name": "prepare", "image": "localhost/firewatch-workload:dve"}],
        "containers": [
            {"name": "first", "image": "localhost/firewatch-workload:dev"},
            {"name": "app", "image": "localhost/firewatch-workload:dve", "resources": {"limits": {"memory": "64Mi"}}},
        ],
    });
    let referring = json!({"containers": [container(json!({"env": [
        {"name": "LEVEL", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "LOG_LEVLE"}}}]}))]});
    let mounting = json!({
        "containers": [container(json!({"envFrom": [{"configMapRef": {"name": "setings"}}]}))],
        "volumes": [{"name": "settings", "configMap": {"name": "setings"}}],
    });
    let probed = json!({"containers": [container(json!({
        "readinessProbe": {"httpGet": {"port": 8081, "path": "/helth"}},
        "livenessProbe": {"tcpSocket": {"port": 8080}},
    }))]});
    let region = json!({"containers": [container(json!({"env": [{"name": "ZONE", "value": "a"}]}))]});
    json!({"apiVersion": "v1", "kind": "List", "items": [
        object("v1", "ConfigMap", "settings", json!({"data": {"LOG_LEVEL": "info"}})),
        object("v1", "ConfigMap", "empty", json!({})),
        object("v1", "ConfigMap", "limits", json!({"data": {"POOL": "1"}})),
        workload("Deployment", "rolled", 0, versioned()),
        workload("StatefulSet", "rolled", 0, versioned()),
        workload("DaemonSet", "rolled", 0, versioned()),
        workload("Deployment", "restarted", 1, plain()),
        workload("Deployment", "scaled", 0, plain()),
        workload("Deployment", "templated", 0, templated),
        workload("StatefulSet", "templated", 0, plain()),
        workload("DaemonSet", "templated", 0, region),
        workload("Deployment", "referring", 0, referring),
        workload("Deployment", "mounting", 0, mounting),
        workload("Deployment", "probed", 0, probed),
        service("selecting"),
        service("sending"),
        hpa("bounded", "templated"),
        hpa("astray", "refering"),
        object("policy/v1", "PodDisruptionBudget", "blocking",
            json!({"spec": {"minAvailable": "100%", "selector": {"matchLabels": {"app": "restarted"}}}})),
        object("v1", "ResourceQuota", "narrow", json!({"spec": {"hard": {"count/secrets": "10"}}})),
        cron("nightly", true),
        cron("hourly", false),
        cron("weekly", true),
    ]})
}
