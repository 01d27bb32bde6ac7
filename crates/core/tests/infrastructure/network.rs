//! Services, names, NetworkPolicies, Ingresses.

use serde_json::{Value, json};

use crate::case::{App, Case, LONG_AGO, NOW, config_map, service};

const APP: (&str, &str) = ("Deployment", "store");

/// A store that calls a database, which is well.
fn store(line: &str, fields: Value) -> Case {
    let app = App::new("store").spec(fields).unready();
    let pod = app.pod();
    let case = app.alone().log(&pod, &format!("{line}\n").repeat(4));
    App::new("db")
        .container(json!({"ports": [{"containerPort": 5432, "name": "pg"}]}))
        .add(case)
        .with(service(
            "db",
            json!({"app": "db"}),
            json!({"port": 5432, "targetPort": "pg"}),
        ))
}

fn policy(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": name, "namespace": "market"}, "spec": spec})
}

const TIMED_OUT: &str = "ERROR connect to db:5432: i/o timeout";
const LOOKUP: &str = "ERROR dial tcp: lookup db on 10.96.0.10:53: read udp 10.0.0.4:4242->10.96.0.10:53: i/o timeout";

#[test]
fn a_policy_that_forbids_the_call_is_the_cause_on_either_side() {
    for (name, spec) in [
        ("deny-all", json!({"podSelector": {}, "policyTypes": ["Ingress"]})),
        (
            "db-from-api",
            json!({"podSelector": {"matchLabels": {"app": "db"}}, "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "api"}}}]}]}),
        ),
        (
            "db-metrics",
            json!({"podSelector": {"matchLabels": {"app": "db"}}, "ingress": [{"ports": [{"port": 9187, "protocol": "TCP"}]}]}),
        ),
        (
            "db-other-space",
            json!({"podSelector": {"matchLabels": {"app": "db"}},
                "ingress": [{"from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "billing"}}}]}]}),
        ),
        (
            "store-egress",
            json!({"podSelector": {"matchLabels": {"app": "store"}}, "policyTypes": ["Egress"],
                "egress": [{"ports": [{"port": 53, "protocol": "UDP"}]}]}),
        ),
    ] {
        store(TIMED_OUT, json!({})).with(policy(name, spec)).expect(
            APP,
            "NetworkPolicyBlocks",
            &format!("NetworkPolicy/{name}"),
            &["Service/db"],
        );
    }
}

#[test]
fn a_policy_that_allows_or_cannot_be_judged_is_not_blamed() {
    for spec in [
        json!({"podSelector": {"matchLabels": {"app": "db"}}, "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "store"}}}]}]}),
        json!({"podSelector": {"matchLabels": {"app": "db"}}, "ingress": [{"from": [{"podSelector": {}}], "ports": [{"port": "pg"}]}]}),
        json!({"podSelector": {"matchLabels": {"app": "db"}}, "ingress": [{"from": [{"namespaceSelector": {"matchLabels": {"team": "shop"}}}]}]}),
        json!({"podSelector": {"matchLabels": {"app": "db"}}, "ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}]}),
        json!({"podSelector": {"matchLabels": {"app": "other"}}, "policyTypes": ["Ingress"]}),
        json!({"podSelector": {"matchLabels": {"app": "db"}}, "ingress": [{"ports": [{"port": 5000, "endPort": 6000}]}]}),
        json!({"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{}]}),
    ] {
        store(TIMED_OUT, json!({}))
            .with(policy("p", spec))
            .never(APP, "NetworkPolicyBlocks");
    }
}

#[test]
fn a_port_that_the_service_does_not_have_is_no_policys_doing() {
    store("ERROR connect to db:3306: connection refused", json!({}))
        .with(policy(
            "deny-all",
            json!({"podSelector": {}, "policyTypes": ["Ingress"]}),
        ))
        .expect(APP, "WrongPort", "Deployment/store", &["3306", "5432"]);
}

#[test]
fn lookups_that_a_policy_keeps_in_are_not_a_wrong_name() {
    let spec = json!({"podSelector": {"matchLabels": {"app": "store"}}, "policyTypes": ["Egress"],
        "egress": [{"to": [{"podSelector": {"matchLabels": {"app": "db"}}}]}]});
    store(LOOKUP, json!({}))
        .with(policy("store-egress", spec.clone()))
        .expect(
            APP,
            "NetworkPolicyBlocks",
            "NetworkPolicy/store-egress",
            &["DNS (port 53)"],
        );
    // The DNS server answered: the name is wrong.
    store("ERROR dial tcp: lookup dbb on 10.96.0.10:53: no such host", json!({}))
        .with(policy("store-egress", spec))
        .expect(APP, "WrongHostname", "Deployment/store", &["dbb"]);
    let with_dns = json!({"podSelector": {"matchLabels": {"app": "store"}}, "policyTypes": ["Egress"],
        "egress": [{"to": [{"podSelector": {"matchLabels": {"app": "db"}}}]},
            {"to": [{"namespaceSelector": {}}], "ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]}]});
    store(LOOKUP, json!({}))
        .with(policy("store-egress", with_dns))
        .never(APP, "NetworkPolicyBlocks");
}

#[test]
fn a_policy_that_lets_nothing_out_of_the_cluster_is_named() {
    let inside = json!({"podSelector": {"matchLabels": {"app": "store"}}, "policyTypes": ["Egress"],
        "egress": [{"to": [{"podSelector": {}}]}, {"ports": [{"port": 53, "protocol": "UDP"}], "to": [{"namespaceSelector": {}}]}]});
    store(
        "ERROR Post \"https://api.payments.example.com/v1\": dial tcp 203.0.113.9:443: i/o timeout",
        json!({}),
    )
    .with(policy("inside-only", inside))
    .expect(
        APP,
        "NetworkPolicyBlocks",
        "NetworkPolicy/inside-only",
        &["out of the cluster"],
    );
}

#[test]
fn a_pod_that_does_not_ask_the_clusters_dns_is_told_so() {
    let line = "ERROR getaddrinfo ENOTFOUND db";
    for fields in [
        json!({"dnsPolicy": "Default"}),
        json!({"hostNetwork": true}),
        json!({"dnsPolicy": "None", "dnsConfig": {"nameservers": ["1.1.1.1"]}}),
    ] {
        store(line, fields).expect(APP, "WrongDnsPolicy", "Deployment/store", &["cluster's DNS"]);
    }
    store(
        line,
        json!({"hostNetwork": true, "dnsPolicy": "ClusterFirstWithHostNet"}),
    )
    .never(APP, "WrongDnsPolicy");
}

#[test]
fn names_with_a_letter_wrong_in_namespace_or_suffix_are_put_right() {
    for (host, right) in [
        ("db.markt", "db.market"),
        ("db.market.scv.cluster.local", "db.market.svc.cluster.local"),
        ("db.market.svc.cluster.locl", "db.market.svc.cluster.local"),
        ("db.markt.svc.cluster.local", "db.market.svc.cluster.local"),
    ] {
        store(&format!("ERROR getaddrinfo ENOTFOUND {host}"), json!({})).expect(
            APP,
            "WrongHostname",
            "Deployment/store",
            &[host, right],
        );
    }
    // A namespace of its own, far from ours.
    store("ERROR getaddrinfo ENOTFOUND db.warehouse.svc.cluster.local", json!({})).never(APP, "WrongHostname");
}

#[test]
fn an_alias_to_nowhere_is_the_cause() {
    let app = App::new("store").unready();
    let pod = app.pod();
    app.alone()
        .log(&pod, &"ERROR getaddrinfo ENOTFOUND legacy\n".repeat(4))
        .with(
            json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "legacy", "namespace": "market"},
            "spec": {"type": "ExternalName", "externalName": "legacy.intern.invalid"}}),
        )
        .expect(APP, "ExternalNameWrong", "Service/legacy", &["legacy.intern.invalid"]);
}

#[test]
fn a_target_port_that_the_one_container_does_not_have_is_wrong_without_any_caller() {
    let web = || {
        App::new("store")
            .container(json!({"ports": [{"containerPort": 8080}]}))
            .alone()
    };
    let to = |port: i32| {
        service(
            "store",
            json!({"app": "store"}),
            json!({"port": 80, "targetPort": port}),
        )
    };
    web().with(to(8081)).expect(
        ("Service", "store"),
        "ServiceWrongPort",
        "Service/store",
        &["8081", "8080"],
    );
    web()
        .with(to(8081))
        .expect(APP, "ServiceWrongPort", "Service/store", &["8081"]);
    web().with(to(8080)).healthy("Deployment", "store");
    // A metrics port that nobody declares, beside the real one.
    web()
        .with(to(8080))
        .with(service(
            "store-metrics",
            json!({"app": "store"}),
            json!({"port": 9090, "targetPort": 9090}),
        ))
        .healthy("Deployment", "store");
    // A probe asks it, and the pod is ready: it listens.
    App::new("store")
        .container(
            json!({"ports": [{"containerPort": 8080}], "readinessProbe": {"httpGet": {"path": "/", "port": 8081}}}),
        )
        .alone()
        .with(to(8081))
        .healthy("Deployment", "store");
}

#[test]
fn a_service_for_the_wrong_protocol_is_named() {
    let web = App::new("store")
        .container(json!({"ports": [{"containerPort": 8080}]}))
        .alone();
    let port = json!({"port": 80, "targetPort": 8080, "protocol": "UDP"});
    web.with(service("store", json!({"app": "store"}), port)).expect(
        APP,
        "ServiceWrongProtocol",
        "Service/store",
        &["UDP", "TCP"],
    );
    let dns = App::new("store")
        .container(json!({"ports": [{"containerPort": 53, "protocol": "UDP"}]}))
        .alone();
    let mut both = service(
        "store",
        json!({"app": "store"}),
        json!({"name": "udp", "port": 53, "protocol": "UDP"}),
    );
    both["spec"]["ports"] =
        json!([{"name": "udp", "port": 53, "protocol": "UDP"}, {"name": "tcp", "port": 53, "protocol": "TCP"}]);
    dns.with(both).healthy("Deployment", "store");
}

#[test]
fn a_load_balancer_without_address_is_pending_and_a_new_one_is_not() {
    let balancer = |created: &str| {
        let mut balancer = service(
            "store",
            json!({"app": "store"}),
            json!({"port": 80, "targetPort": 8080}),
        );
        balancer["spec"]["type"] = json!("LoadBalancer");
        balancer["metadata"]["creationTimestamp"] = json!(created);
        App::new("store").alone().with(balancer)
    };
    balancer(LONG_AGO).expect(
        ("Service", "store"),
        "LoadBalancerPending",
        "Service/store",
        &["pending"],
    );
    balancer(NOW).never(("Service", "store"), "LoadBalancerPending");
}

fn ingress(class: &str, backend: &str, port: Value) -> Case {
    App::new("store")
        .container(json!({"ports": [{"containerPort": 8080}]}))
        .alone()
        .with(service("store", json!({"app": "store"}), json!({"name": "http", "port": 80, "targetPort": 8080})))
        .with(json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "shopfront", "namespace": "market"},
            "spec": {"ingressClassName": class, "rules": [{"host": "shop.example", "http": {"paths": [
                {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": backend, "port": port}}}]}}]}}))
        .ingress_classes(&["nginx"])
}

#[test]
fn an_ingress_that_leads_nowhere_says_where() {
    let target = ("Ingress", "shopfront");
    ingress("nginx", "stores", json!({"number": 80})).expect(
        target,
        "IngressWithoutBackend",
        "Ingress/shopfront",
        &["Service/stores", "store exists"],
    );
    ingress("nginx", "store", json!({"number": 8080})).expect(
        target,
        "IngressWrongPort",
        "Ingress/shopfront",
        &["8080", "80 (http)"],
    );
    ingress("nginx", "store", json!({"name": "web"})).expect(target, "IngressWrongPort", "Ingress/shopfront", &["web"]);
    ingress("nginx", "store", json!({"number": 8080})).expect(APP, "IngressWrongPort", "Ingress/shopfront", &[]);
    ingress("ngnix", "store", json!({"number": 80})).expect(
        target,
        "IngressClassMissing",
        "Ingress/shopfront",
        &["ngnix", "nginx exists"],
    );
    ingress("nginx", "store", json!({"name": "http"})).healthy("Deployment", "store");
    ingress("nginx", "store", json!({"number": 80}))
        .warning("Ingress", "shopfront", "Rejected", "secret market/shop-tls not found")
        .expect(target, "IngressRefused", "Ingress/shopfront", &["shop-tls"]);
}

#[test]
fn a_selector_that_fits_another_program_too_loses_a_part_of_the_calls() {
    let case = |tier: Value, port: i32, line: &str| {
        let app = App::new("store").unready();
        let pod = app.pod();
        let case = app.alone().log(&pod, &format!("{line}\n").repeat(6));
        let mut ledger = App::new("ledger").container(json!({"ports": [{"containerPort": 7000}]}));
        ledger.labels = json!({"app": "ledger", "tier": "web"});
        let mut worker = App::new("ledger-worker").container(json!({"ports": [{"containerPort": port}]}));
        worker.labels = json!({"app": "ledger", "tier": "worker"});
        worker
            .add(ledger.add(case))
            .with(service("ledger", tier, json!({"port": 7000, "targetPort": 7000})))
    };
    let refused = "ERROR GET http://ledger:7000/book failed: [Errno 111] Connection refused";
    case(json!({"app": "ledger"}), 9100, refused).expect(
        APP,
        "ServiceSelectsStrangers",
        "Service/ledger",
        &["Deployment/ledger-worker", "7000"],
    );
    // Two that both listen, one that the selector leaves out, calls that are served.
    case(json!({"app": "ledger"}), 7000, refused).never(APP, "ServiceSelectsStrangers");
    case(json!({"app": "ledger", "tier": "web"}), 9100, refused).never(APP, "ServiceSelectsStrangers");
    case(json!({"app": "ledger"}), 9100, "INFO booked").never(APP, "ServiceSelectsStrangers");
}

#[test]
fn a_host_with_white_space_around_it_is_the_settings_fault_and_not_the_dns() {
    let case = |value: &str| {
        let app = App::new("store")
            .container(json!({"envFrom": [{"configMapRef": {"name": "store-env"}}]}))
            .unready();
        let pod = app.pod();
        let case = app
            .alone()
            .with(config_map("store-env", json!({"DB_HOST": value})))
            .log(
                &pod,
                &"ERROR cannot connect to 'db': [Errno -2] Name or service not known\n".repeat(5),
            );
        App::new("db")
            .add(case)
            .with(service("db", json!({"app": "db"}), json!({"port": 5432})))
    };
    case("db\n").expect(
        APP,
        "InvalidSetting",
        "ConfigMap/store-env",
        &["DB_HOST", "white space"],
    );
    case("db").never(APP, "InvalidSetting");
}

#[test]
fn a_user_who_is_called_like_a_service_is_no_service() {
    let app = App::new("store");
    let pod = app.pod();
    let refused = "FATAL:  password authentication failed for user \"billing\"\n".repeat(12);
    let case = App::new("billing").add(app.alone().log(&pod, &refused)).with(service(
        "billing",
        json!({"app": "billing"}),
        json!({"port": 80}),
    ));
    let called = case.read("Deployment", "store");
    assert!(
        called
            .findings
            .iter()
            .all(|finding| !finding.summary.contains("calls billing")),
        "{:#?}",
        called.findings
    );
}

#[test]
fn a_service_of_the_same_name_here_is_told_where_the_one_elsewhere_does_not_resolve() {
    let line = "ERROR GET http://db.production.svc.cluster.local:5432/: [Errno -2] Name or service not known";
    store(line, json!({})).expect(
        APP,
        "DependencyFails",
        "Deployment/store",
        &["in namespace production", "this namespace has a Service db too"],
    );
}

#[test]
fn a_selector_of_one_label_is_put_right_only_where_the_names_tie_the_two_together() {
    let case = |service_name: &str, app: &'static str| {
        App::new(app)
            .alone()
            .with(service(
                service_name,
                json!({"app": "old"}),
                json!({"port": 80, "targetPort": 8080}),
            ))
            .read("Service", service_name)
    };
    for (service_name, app, tied) in [
        ("store", "store", true),
        ("store", "store-api", true),
        ("store-internal", "store", true),
        ("shop", "store", false),
    ] {
        let found = case(service_name, app);
        let remedy = found.root_cause.and_then(|root| root.finding.remedy);
        let put_right = matches!(remedy, Some(firewatch_core::diagnosis::Remedy::ServiceSelector { .. }));
        assert_eq!(put_right, tied, "{service_name} {app}: {remedy:?}");
    }
}
