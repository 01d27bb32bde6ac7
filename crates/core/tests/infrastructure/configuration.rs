//! References, keys, values, expansion, what changed after it was read.

use serde_json::{Value, json};

use crate::case::{App, Case, config_map, service};

const APP: (&str, &str) = ("Deployment", "store");

fn crashing(fields: serde_json::Value, line: &str) -> Case {
    let app = App::new("store").container(fields).crashing(1, "Error", "");
    let pod = app.pod();
    app.alone().log(&pod, &format!("starting\n{line}\n"))
}

#[test]
fn a_key_of_a_mounted_secret_is_named_by_the_kubelets_words_alone() {
    let app = App::new("store")
        .spec(json!({"volumes": [{"name": "tls", "secret": {"secretName": "store-tls", "items": [{"key": "tls.crt", "path": "crt.pem"}]}}]}))
        .waiting("ContainerCreating", "");
    let pod = app.pod();
    app.alone()
        .warning(
            "Pod",
            &pod,
            "FailedMount",
            "MountVolume.SetUp failed for volume \"tls\" : references non-existent secret key: tls.crt",
        )
        .expect(
            APP,
            "MissingSecretKey",
            "Deployment/store",
            &["Secret store-tls has no key tls.crt"],
        );
}

#[test]
fn a_key_of_a_secret_variable_is_named() {
    App::new("store")
        .waiting(
            "CreateContainerConfigError",
            "couldn't find key password in Secret market/store-db",
        )
        .alone()
        .expect(APP, "MissingSecretKey", "Deployment/store", &["store-db", "password"]);
}

#[test]
fn a_mistyped_key_of_a_config_map_leads_to_the_map() {
    let wanted = json!({"env": [{"name": "LOG_LEVEL", "valueFrom": {"configMapKeyRef": {"name": "store-config", "key": "log_level"}}}]});
    let config = config_map("store-config", json!({"loglevel": "info"}));
    App::new("store")
        .container(wanted.clone())
        .waiting(
            "CreateContainerConfigError",
            "couldn't find key log_level in ConfigMap market/store-config",
        )
        .alone()
        .with(config.clone())
        .expect(APP, "MissingConfigMapKey", "ConfigMap/store-config", &["log_level"]);
    // Removed after the pods had read it: their trouble will come, and is not here.
    App::new("store")
        .container(wanted)
        .alone()
        .with(config)
        .healthy("Deployment", "store");
}

#[test]
fn what_was_missing_for_a_moment_and_came_is_over() {
    let pod = App::new("store").pod();
    App::new("store")
        .alone()
        .warning("Pod", &pod, "Failed", "Error: secret \"store-db\" not found")
        .warning(
            "Pod",
            &pod,
            "FailedMount",
            "MountVolume.SetUp failed for volume \"cfg\" : configmap \"store-config\" not found",
        )
        .healthy("Deployment", "store");
}

#[test]
fn a_value_that_the_program_cannot_read_is_found_where_it_stands() {
    let from_map = json!({"envFrom": [{"configMapRef": {"name": "store-config"}}]});
    for (key, value, line) in [
        (
            "PORT",
            "80a",
            "ValueError: invalid literal for int() with base 10: '80a'",
        ),
        ("TIMEOUT", "ten", "panic: strconv.Atoi: parsing \"ten\": invalid syntax"),
        (
            "CACHE_TTL",
            "10 minutes",
            "java.lang.NumberFormatException: For input string: \"10 minutes\"",
        ),
        ("INTERVAL", "30", "time: missing unit in duration \"30\""),
        ("MAX_ITEMS", "lots", "FATAL invalid value for MAX_ITEMS"),
    ] {
        crashing(from_map.clone(), line)
            .with(config_map("store-config", json!({key: value, "OTHER": "1"})))
            .expect(APP, "InvalidSetting", "ConfigMap/store-config", &[key, "cannot read"]);
        crashing(json!({"env": [{"name": key, "value": value}]}), line).expect(
            APP,
            "InvalidSetting",
            "Deployment/store",
            &[key],
        );
    }
    // Two settings have that value: none is blamed.
    crashing(from_map, "ValueError: invalid literal for int() with base 10: '80a'")
        .with(config_map("store-config", json!({"PORT": "80a", "ADMIN_PORT": "80a"})))
        .never(APP, "InvalidSetting");
}

#[test]
fn a_credential_that_cannot_be_read_is_not_shown() {
    let case = crashing(
        json!({"env": [{"name": "API_TOKEN", "value": "abc-very-secret"}]}),
        "FATAL invalid value for API_TOKEN",
    );
    let cause = case.cause("Deployment", "store");
    assert_eq!(cause.category, "InvalidSetting");
    assert!(!cause.summary.contains("very-secret"), "{}", cause.summary);
}

#[test]
fn a_reference_that_nothing_expanded_says_why() {
    let line = "dial tcp: lookup $(DB_HOST): no such host";
    for (env, words) in [
        (
            json!([{"name": "DB_URL", "value": "postgres://$(DB_HOST):5432/x"}]),
            "no variable DB_HOST",
        ),
        (
            json!([{"name": "DB_URL", "value": "postgres://$(DB_HOST):5432/x"}, {"name": "DB_HOST", "value": "db"}]),
            "defined after it",
        ),
    ] {
        crashing(json!({"env": env}), line).expect(
            APP,
            "UnexpandedVariable",
            "Deployment/store",
            &["$(DB_HOST)", words],
        );
    }
    crashing(
        json!({"command": ["/store", "--db=${DB_HOST}"]}),
        "cannot resolve ${DB_HOST}",
    )
    .expect(APP, "UnexpandedVariable", "Deployment/store", &["needs a shell"]);
    // A shell would have expanded it; the program wrote it itself.
    crashing(
        json!({"command": ["sh", "-c", "exec store --db=${DB_HOST}"]}),
        "usage: store --db=${DB_HOST}",
    )
    .never(APP, "UnexpandedVariable");
}

#[test]
fn a_mounted_config_map_is_put_beside_the_file_that_the_program_wants() {
    let mounts = json!({"volumeMounts": [{"name": "cfg", "mountPath": "/etc/store"}]});
    let app = |source: serde_json::Value, line: &str| {
        let app = App::new("store")
            .container(mounts.clone())
            .spec(json!({"volumes": [source]}))
            .crashing(1, "Error", "");
        let pod = app.pod();
        app.alone()
            .with(config_map("store-config", json!({"config.yml": "a: 1"})))
            .log(&pod, &format!("{line}\n"))
    };
    let map = json!({"name": "cfg", "configMap": {"name": "store-config"}});
    app(map.clone(), "open /etc/store/config.yaml: no such file or directory").expect(
        APP,
        "MountedFileMissing",
        "Deployment/store",
        &["config.yaml", "ConfigMap/store-config", "it has config.yml"],
    );
    app(
        map.clone(),
        "FileNotFoundError: [Errno 2] No such file or directory: '/etc/store/conf.d/config.yml'",
    )
    .expect(
        APP,
        "MountedFileMissing",
        "Deployment/store",
        &["conf.d/config.yml", "ConfigMap/store-config", "config.yml"],
    );
    // The file is there: the program misses something else.
    app(map, "open /etc/store/config.yml: no such file or directory").never(APP, "MountedFileMissing");
    app(
        json!({"name": "cfg", "secret": {"secretName": "store-tls"}}),
        "open /etc/store/tls.key: no such file or directory",
    )
    .expect(APP, "MountedFileMissing", "Deployment/store", &["Secret store-tls"]);
}

#[test]
fn a_sub_path_that_is_no_key_mounts_a_directory() {
    let app = |sub_path: &str, line: &str| {
        let app = App::new("store")
            .container(
                json!({"volumeMounts": [{"name": "cfg", "mountPath": "/etc/store/app.yaml", "subPath": sub_path}]}),
            )
            .spec(json!({"volumes": [{"name": "cfg", "configMap": {"name": "store-config"}}]}))
            .crashing(1, "Error", "");
        let pod = app.pod();
        app.alone()
            .with(config_map("store-config", json!({"app.yaml": "a: 1"})))
            .log(&pod, &format!("{line}\n"))
    };
    app("app.yml", "read /etc/store/app.yaml: is a directory").expect(
        APP,
        "WrongSubPath",
        "Deployment/store",
        &["app.yml", "it has app.yaml"],
    );
    app("app.yaml", "boom").never(APP, "WrongSubPath");
}

#[test]
fn a_program_that_calls_what_its_settings_no_longer_say_must_read_them_again() {
    let case = |changed: &str, started: &str, host: &str| {
        let mut app = App::new("store")
            .container(json!({"envFrom": [{"configMapRef": {"name": "store-config"}}]}))
            .unready();
        app.statuses[0]["state"]["running"]["startedAt"] = json!(started);
        let pod = app.pod();
        let mut map = config_map("store-config", json!({"DB_HOST": "new-db"}));
        map["metadata"]["managedFields"] = json!([{"manager": "kubectl-edit", "operation": "Update", "time": changed}]);
        app.alone()
            .with(map)
            .with(service("new-db", json!({"app": "db"}), json!({"port": 5432})))
            .log(
                &pod,
                &format!("ERROR dial tcp: lookup {host}: no such host\n").repeat(4),
            )
    };
    let stale = case("2026-05-04T09:55:00Z", "2026-05-04T09:50:00Z", "old-db");
    stale.expect(
        APP,
        "StaleConfiguration",
        "Deployment/store",
        &["old-db", "ConfigMap/store-config"],
    );
    case("2026-05-04T09:40:00Z", "2026-05-04T09:50:00Z", "old-db").never(APP, "StaleConfiguration");
    case("2026-05-04T09:55:00Z", "2026-05-04T09:50:00Z", "new-db").never(APP, "StaleConfiguration");
    // A name that the new one only contains is not the new one; and that nothing serves the old one any more explains nothing.
    case("2026-05-04T09:55:00Z", "2026-05-04T09:50:00Z", "db")
        .with(service("db", json!({"app": "nothing"}), json!({"port": 5432})))
        .expect(APP, "StaleConfiguration", "Deployment/store", &["still calls db"]);
}

#[test]
fn what_kubernetes_sets_for_a_service_is_not_the_programs_setting() {
    let case = |fields: Value, line: &str| {
        let app = App::new("store").spec(fields).crashing(1, "Error", "");
        let pod = app.pod();
        app.alone()
            .with(service("cache", json!({"app": "cache"}), json!({"port": 6379})))
            .log(&pod, &format!("INFO starting\n{line}\n"))
    };
    for line in [
        "ValueError: invalid literal for int() with base 10: 'tcp://10.96.0.7:6379'",
        "panic: strconv.Atoi: parsing \"tcp://10.96.0.7:6379\": invalid syntax",
        "Failed to bind properties under 'cache.port' to int: Value: \"tcp://10.96.0.7:6379\"",
        "RangeError [ERR_SOCKET_BAD_PORT]: Port should be >= 0 and < 65536. Received type string ('tcp://10.96.0.7:6379').",
    ] {
        case(json!({}), line).expect(
            APP,
            "ServiceLinkCollision",
            "Deployment/store",
            &["CACHE_PORT", "Service/cache"],
        );
        case(json!({"enableServiceLinks": false}), line).never(APP, "ServiceLinkCollision");
    }
    case(
        json!({}),
        "ERROR cannot be reached: connecting to tcp://10.96.0.7:6379: connection refused",
    )
    .never(APP, "ServiceLinkCollision");
}

#[test]
fn a_mounted_file_that_is_not_what_its_ending_says_is_named() {
    let case = |key: &str, text: &str, line: &str| {
        let app = App::new("store")
            .container(json!({"volumeMounts": [{"name": "cfg", "mountPath": "/etc/store"}]}))
            .spec(json!({"volumes": [{"name": "cfg", "configMap": {"name": "store-config"}}]}))
            .crashing(1, "Error", "");
        let pod = app.pod();
        app.alone()
            .with(config_map("store-config", json!({key: text})))
            .log(&pod, &format!("INFO starting\n{line}\n"))
    };
    let decode = "json.decoder.JSONDecodeError: Illegal trailing comma before end of array: line 1 column 32 (char 31)";
    case("app.json", r#"{"peers": ["a", "b",]}"#, decode).expect(
        APP,
        "ConfigFileMalformed",
        "ConfigMap/store-config",
        &["app.json", "/etc/store/app.json"],
    );
    case(
        "app.yaml",
        "peers: [a, b\nquorum: 2\n",
        "yaml: line 2: did not find expected ',' or ']'",
    )
    .expect(APP, "ConfigFileMalformed", "ConfigMap/store-config", &["app.yaml"]);
    for (key, text, line) in [
        ("app.json", r#"{"peers": ["a", "b"]}"#, decode),
        ("app.json", r#"{"peers": {{ .peers }}}"#, decode),
        ("app.json", r#"{"peers": ["a", "b",]}"#, "panic: no peers"),
        ("app.conf", "{", decode),
    ] {
        case(key, text, line).never(APP, "ConfigFileMalformed");
    }
}

#[test]
fn where_a_secret_may_hold_the_setting_too_no_config_map_is_blamed_for_it() {
    let sources = |with_secret: bool| {
        let mut list = vec![json!({"configMapRef": {"name": "store-config"}})];
        if with_secret {
            list.push(json!({"secretRef": {"name": "store-secrets"}}));
        }
        crashing(json!({"envFrom": list}), "KeyError: 'GATEWAY_URL'")
            .with(config_map("store-config", json!({"LOG_LEVEL": "info"})))
    };
    sources(false).expect(APP, "MissingConfigMapKey", "ConfigMap/store-config", &["GATEWAY_URL"]);
    sources(true).expect(APP, "MissingEnvironmentVariable", "Deployment/store", &["GATEWAY_URL"]);
    // A variable that is set and empty is no missing key.
    crashing(
        json!({"envFrom": [{"configMapRef": {"name": "store-config"}}], "env": [{"name": "GATEWAY_URL", "value": ""}]}),
        "FATAL required setting GATEWAY_URL is not set",
    )
    .with(config_map("store-config", json!({"LOG_LEVEL": "info"})))
    .expect(
        APP,
        "MissingEnvironmentVariable",
        "Deployment/store",
        &["GATEWAY_URL", "empty"],
    );
}

#[test]
fn quotes_that_do_not_match_are_looked_for_in_the_containers_own_command() {
    const SAID: &str = "sh: 1: Syntax error: Unterminated quoted string";
    crashing(json!({"command": ["sh", "-c", "echo \"starting; exec app"]}), SAID).expect(
        APP,
        "SyntaxError",
        "Deployment/store",
        &["in the container's own command or args"],
    );
    let script = crashing(json!({"command": ["sh", "/srv/start.sh"]}), SAID).cause(APP.0, APP.1);
    assert!(!script.summary.contains("own command"), "{}", script.summary);
}

#[test]
fn a_value_that_the_revision_before_had_is_proposed_first() {
    // The neighbour has another value; the workload's own earlier one counts.
    let app = App::new("store")
        .container(json!({"env": [{"name": "LOG_LEVEL", "value": "info"}]}))
        .crashing(1, "Error", "");
    let pod = app.pod();
    let before = |env: serde_json::Value| {
        json!({"apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {"name": "store-5c3a8", "namespace": crate::case::NS, "uid": "r0", "creationTimestamp": "2026-05-04T08:00:00Z",
                "annotations": {"deployment.kubernetes.io/revision": "0"},
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "store", "uid": "d-store", "controller": true}]},
            "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "store"}}, "template": {"metadata": {"labels": {"app": "store"}},
                "spec": {"containers": [{"name": "app", "image": "registry.example/store/app:1.4", "env": env}]}}},
            "status": {"replicas": 0}})
    };
    let case = app
        .alone()
        .log(&pod, "FATAL required setting STOCK_REGION is not set\n");
    for (env, proposed) in [
        (json!([{"name": "STOCK_REGION", "value": "north"}]), true),
        (json!([{"name": "OTHER_REGION", "value": "north"}]), false),
        (json!([{"name": "STOCK_REGION", "value": ""}]), false),
    ] {
        let cause = case.clone().with(before(env.clone())).cause(APP.0, APP.1);
        assert_eq!(
            format!("{:?}", cause.remedy).contains("value: \"north\""),
            proposed,
            "{env}: {:?}",
            cause.remedy
        );
    }
}
