//! What the chart gives to whom. The live API server is asked the same in `e2e_guards`; here for every set of values.

use serde_json::Value;

use crate::render::{EVERYTHING, TRIED_OUT, named, of_kind, render, rendered, words};

fn roles(objects: &[Value]) -> impl Iterator<Item = (&str, &Value)> {
    let of = |o: &&Value| o["kind"] == "Role" || o["kind"] == "ClusterRole";
    objects.iter().filter(of).flat_map(|role| {
        let name = role["metadata"]["name"].as_str().unwrap();
        role["rules"].as_array().unwrap().iter().map(move |rule| (name, rule))
    })
}

#[test]
fn no_role_gives_rights_away_reads_secrets_or_makes_pods() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for (set, objects) in rendered() {
        for (role, rule) in roles(&objects) {
            seen += 1;
            let (groups, resources, verbs) = (
                words(&rule["apiGroups"]),
                words(&rule["resources"]),
                words(&rule["verbs"]),
            );
            let changes = verbs.iter().any(|v| !matches!(*v, "get" | "list" | "watch"));
            let broken = [
                (
                    groups.contains(&"*") || resources.iter().any(|r| r.contains('*')),
                    "a group or resource of '*'",
                ),
                (verbs.contains(&"*"), "every verb"),
                (
                    verbs.iter().any(|v| matches!(*v, "bind" | "escalate" | "impersonate")),
                    "a verb that borrows rights",
                ),
                (resources.iter().any(|r| r.starts_with("secrets")), "Secrets"),
                (
                    changes && groups.contains(&"rbac.authorization.k8s.io"),
                    "writing roles or bindings",
                ),
                (
                    changes && groups.contains(&"admissionregistration.k8s.io"),
                    "writing admission policies",
                ),
                (changes && groups.contains(&"apiextensions.k8s.io"), "writing CRDs"),
                (
                    changes && resources.iter().any(|r| *r == "pods" || r.starts_with("pods/")),
                    "making, changing or entering pods",
                ),
                (
                    resources.iter().any(|r| r.starts_with("serviceaccounts/")) || verbs.contains(&"deletecollection"),
                    "tokens, or deleting many",
                ),
            ];
            for (is, what) in broken {
                if is {
                    wrong.push(format!("{set}: {role} gives {what}: {rule}"));
                }
            }
        }
    }
    assert!(seen > 60, "only {seen} rules were looked at");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn who_calls_is_asked_only_where_the_http_api_is_on() {
    let reviews = |values: &str| -> Vec<String> {
        let objects = render(values).unwrap();
        let mut found: Vec<String> = roles(&objects)
            .flat_map(|(_, rule)| words(&rule["resources"]))
            .filter(|resource| resource.ends_with("reviews"))
            .map(str::to_owned)
            .collect();
        found.sort();
        found
    };
    assert!(reviews(TRIED_OUT).is_empty());
    assert_eq!(reviews(EVERYTHING), ["subjectaccessreviews", "tokenreviews"]);
    let file = format!(
        "{TRIED_OUT}\napi: {{enabled: true, plainHttp: true, tokenReview: {{enabled: false}}, tokenSecret: t}}"
    );
    assert_eq!(reviews(&file), ["subjectaccessreviews"]);
}

#[test]
fn every_binding_is_of_a_role_of_the_chart_to_an_account_of_the_chart() {
    let mut seen = 0;
    for (set, objects) in rendered() {
        let bindings = objects
            .iter()
            .filter(|o| o["kind"] == "RoleBinding" || o["kind"] == "ClusterRoleBinding");
        for binding in bindings {
            seen += 1;
            let role = &binding["roleRef"];
            named(&objects, role["kind"].as_str().unwrap(), role["name"].as_str().unwrap());
            for subject in binding["subjects"].as_array().unwrap() {
                assert_eq!(subject["kind"], "ServiceAccount", "{set}: {binding}");
                let account = of_kind(&objects, "ServiceAccount").find(|a| {
                    a["metadata"]["name"] == subject["name"] && a["metadata"]["namespace"] == subject["namespace"]
                });
                assert!(account.is_some(), "{set}: {subject} is not an account of the chart");
            }
        }
    }
    assert!(seen > 20, "only {seen} bindings were looked at");
}

/// Roles that let their holder decide: patch or update on the approvals themselves.
fn deciding(objects: &[Value]) -> Vec<&str> {
    roles(objects)
        .filter(|(_, rule)| words(&rule["resources"]).contains(&"remediationapprovals"))
        .filter(|(_, rule)| words(&rule["verbs"]).iter().any(|v| matches!(*v, "patch" | "update")))
        .map(|(name, _)| name)
        .collect()
}

#[test]
fn to_approve_is_the_right_of_one_role_that_is_aggregated_into_nothing() {
    for (set, objects) in rendered() {
        // The operator's right is for what it makes; the guard firewatch-approvals keeps it from deciding.
        assert_eq!(
            deciding(&objects),
            ["firewatch-operator", "firewatch-approver"],
            "{set}"
        );
        for role in of_kind(&objects, "ClusterRole") {
            let labels = role["metadata"]["labels"].as_object().unwrap();
            let aggregated: Vec<&str> = labels
                .keys()
                .filter_map(|k| k.strip_prefix("rbac.authorization.k8s.io/"))
                .collect();
            let expected: &[&str] = if set == "everything" && role["metadata"]["name"] == "firewatch-viewer" {
                &["aggregate-to-view"]
            } else {
                &[]
            };
            assert_eq!(aggregated, expected, "{set}: {}", role["metadata"]["name"]);
            assert!(role["aggregationRule"].is_null(), "{set}: {role}");
        }
    }
}

#[test]
fn the_chart_binds_no_role_of_people_to_anybody() {
    for (set, objects) in rendered() {
        for role in ["viewer", "reporter", "approver", "administrator"] {
            let name = format!("firewatch-{role}");
            named(&objects, "ClusterRole", &name);
            assert!(
                !objects.iter().any(|o| o["roleRef"]["name"] == *name),
                "{set}: {name} is bound"
            );
        }
    }
}

#[test]
fn the_executor_is_bound_in_the_namespaces_that_are_named_and_nowhere_else() {
    let bound = |values: &str| -> Vec<String> {
        let objects = render(values).unwrap();
        let bindings = objects.iter().filter(|o| {
            o["roleRef"]["name"]
                .as_str()
                .is_some_and(|name| name.starts_with("firewatch-remediation"))
        });
        bindings
            .map(|b| b["metadata"]["namespace"].as_str().unwrap_or("everywhere").to_owned())
            .collect()
    };
    assert!(bound(TRIED_OUT).is_empty());
    // Helm sorts by kind. What holds everywhere is the right on nodes, asked for by a value of its own.
    assert_eq!(bound(EVERYTHING), ["everywhere", "shop", "pay"]);
    for own in ["firewatch-system", "firewatch-sandbox"] {
        let said = render(&format!("{TRIED_OUT}\nremediation: {{namespaces: [{own}]}}")).unwrap_err();
        assert!(said.contains("Firewatch's own"), "{said}");
    }
}
