//! `POST /incident` and `POST /incident/run`: what is reported becomes an Incident in the namespace that the caller names and has the right
//! to make incidents in. Labels of an alert say what to look at there, never where the incident is made.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use firewatch_core::api::incident::AlertSource;
use firewatch_core::api::policy::PolicyMode;
use firewatch_core::api::{Alert, ApprovalMode, IncidentSpec, ResponsePolicy, Target};
use firewatch_core::approval::policy;
use firewatch_core::intake::reject::clean;
use firewatch_core::intake::report::{Ground, hash, place};
use firewatch_core::intake::target::{LabelPolicy, named};
use firewatch_core::text::clip;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::jiff::Timestamp;
use kube::api::ListParams;
use kube::{Api, ResourceExt};

use super::access::Wish;
use super::caller::{Caller, User};
use super::input::{Input, is_api_version, is_kind, is_subdomain, namespace, text};
use super::models::{
    AlertRequest, AutoApproveAnswer, IncidentRequest, MAX_LABEL, MAX_LABELS, MAX_VALUE, Opened, RunRequest,
    TargetRequest,
};
use super::problem::{Kind, Problem};
use super::scenarios;
use super::server::Shared;
use super::write::{self, Wanted};

/// Reports trouble.
#[utoipa::path(post, path = "/incident", operation_id = "reportIncident", tag = "incidents", request_body = IncidentRequest, responses(
    (status = 201, description = "An incident was made", body = Opened, headers(("Location" = String, description = "Its path"))),
    (status = 200, description = "The same was reported before and is not over: this is its incident", body = Opened, headers(("Location" = String, description = "Its path"))),
))]
pub async fn incident(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Input(body): Input<IncidentRequest>,
) -> Result<Response, Problem> {
    check(&body)?;
    let user = named_caller(&caller)?;
    let wish = Wish::all("create", "incidents", Some(&body.namespace));
    shared.access.demand(user, wish).await?;
    let wanted = wanted(&body, &user.name, &shared.labels, &shared.operator_namespace)?;
    let (opened, _) = write::open(&shared.client, &wanted).await?;
    Ok(answer(opened))
}

/// Reports the workload of a scenario. Nothing is broken by this: `kubectl incident run` does that, with your own rights.
#[utoipa::path(post, path = "/incident/run", operation_id = "reportScenario", tag = "incidents", request_body = RunRequest, responses(
    (status = 201, description = "An incident was made", body = Opened, headers(("Location" = String, description = "Its path"))),
    (status = 200, description = "The same was reported before and is not over: this is its incident", body = Opened, headers(("Location" = String, description = "Its path"))),
))]
pub async fn run(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Input(body): Input<RunRequest>,
) -> Result<Response, Problem> {
    namespace("namespace", &body.namespace)?;
    let scenario = scenarios::incident(&body.scenario)?;
    let user = named_caller(&caller)?;
    let wish = Wish::all("create", "incidents", Some(&body.namespace));
    shared.access.demand(user, wish).await?;
    let asked = body.auto_approve.unwrap_or_default();
    let allowed = if asked {
        allowed(&shared, &body.namespace).await?
    } else {
        Err(String::new())
    };
    let mut spec = scenario.spec;
    spec.requested_by = Some(user.name.clone());
    spec.alert = Some(from_the_api(None));
    spec.approval_mode = if allowed.is_ok() {
        ApprovalMode::Policy
    } else {
        ApprovalMode::Manual
    };
    let wanted = Wanted {
        key: key(
            &body.namespace,
            spec.target.as_ref(),
            &format!("scenario {}", body.scenario),
        ),
        namespace: body.namespace,
        spec,
        note: None,
    };
    let (mut opened, incident) = write::open(&shared.client, &wanted).await?;
    if asked {
        let honoured = allowed.is_ok() && incident.spec.approval_mode == ApprovalMode::Policy;
        let why = match allowed {
            Err(why) | Ok(why) if honoured || opened.created => why,
            _ => "the incident was there already, and says itself who may approve".to_owned(),
        };
        opened.auto_approve = Some(AutoApproveAnswer { honoured, why });
    }
    Ok(answer(opened))
}

fn answer(opened: Opened) -> Response {
    let status = if opened.created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let location = HeaderValue::from_str(&format!("/incidents/{}/{}", opened.namespace, opened.name));
    let mut response = (status, Json(opened)).into_response();
    if let Ok(location) = location {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// An incident says who asked; whose name does not fit cannot ask here.
fn named_caller(caller: &Caller) -> Result<&User, Problem> {
    if caller.user.name.chars().count() > 253 {
        return Err(Problem::new(
            Kind::Forbidden,
            "your user name is longer than an incident can hold (253); use kubectl",
        ));
    }
    Ok(&caller.user)
}

/// Whether a ResponsePolicy of that namespace would approve anything by itself, and why, or why not.
async fn allowed(shared: &Shared, name: &str) -> Result<Result<String, String>, Problem> {
    let unavailable = |error: kube::Error| Problem::unavailable(&error);
    let found = Api::<Namespace>::all(shared.client.clone())
        .get_opt(name)
        .await
        .map_err(unavailable)?
        .ok_or_else(|| Problem::new(Kind::NotFound, format!("namespace {name} does not exist")))?;
    let policies = Api::<ResponsePolicy>::all(shared.client.clone())
        .list(&ListParams::default())
        .await
        .map_err(unavailable)?;
    Ok(would_approve(&policies.items, found.labels()))
}

fn would_approve(policies: &[ResponsePolicy], labels: &BTreeMap<String, String>) -> Result<String, String> {
    let effective = policy::effective(policies, labels);
    let name = &effective.name;
    if !effective.tied.is_empty() {
        return Err(format!(
            "several ResponsePolicies claim the namespace with the same priority: {}",
            effective.tied.join(", ")
        ));
    }
    if effective.suspended {
        return Err("a ResponsePolicy of the namespace is suspended".to_owned());
    }
    if effective.mode != PolicyMode::Remediate {
        return Err(format!(
            "ResponsePolicy {name} is in mode {}: nothing is executed",
            effective.mode
        ));
    }
    let Some(auto) = &effective.auto_approve else {
        return Err(format!(
            "ResponsePolicy {name} approves nothing by itself (spec.autoApprove is not set)"
        ));
    };
    let faults: Vec<String> = policies
        .iter()
        .filter(|one| one.name_any() == *name)
        .flat_map(|one| policy::faults(&one.spec))
        .collect();
    if !faults.is_empty() {
        return Err(format!(
            "ResponsePolicy {name} cannot be obeyed, so a person approves: {}",
            faults.join("; ")
        ));
    }
    Ok(format!(
        "ResponsePolicy {name} may approve a plan of risk {} at most, within its other limits; any other plan waits for a person",
        auto.max_risk
    ))
}

fn check(body: &IncidentRequest) -> Result<(), Problem> {
    namespace("namespace", &body.namespace)?;
    if body.title.is_empty() {
        return Err(Problem::invalid("title", "is empty"));
    }
    text("title", &body.title, 256, false)?;
    text(
        "description",
        body.description.as_deref().unwrap_or_default(),
        8192,
        true,
    )?;
    if let Some(target) = &body.target {
        check_target(target)?;
    }
    body.alert.as_ref().map_or(Ok(()), check_alert)
}

fn check_target(target: &TargetRequest) -> Result<(), Problem> {
    if target
        .api_version
        .as_deref()
        .is_some_and(|version| !is_api_version(version))
    {
        return Err(Problem::invalid(
            "target.apiVersion",
            "is not an API version, as apps/v1 is",
        ));
    }
    if !is_kind(&target.kind) {
        return Err(Problem::invalid("target.kind", "is not a kind, as Deployment is"));
    }
    if !is_subdomain(&target.name) {
        return Err(Problem::invalid("target.name", "is not the name of an object"));
    }
    target
        .namespace
        .as_deref()
        .map_or(Ok(()), |name| namespace("target.namespace", name))
}

fn check_alert(alert: &AlertRequest) -> Result<(), Problem> {
    text("alert.name", alert.name.as_deref().unwrap_or_default(), 253, false)?;
    text(
        "alert.fingerprint",
        alert.fingerprint.as_deref().unwrap_or_default(),
        128,
        false,
    )?;
    if let Some(at) = &alert.starts_at
        && (at.len() > 40 || at.parse::<Timestamp>().is_err())
    {
        return Err(Problem::invalid(
            "alert.startsAt",
            "is not an RFC 3339 time, as in 2026-01-02T03:04:05Z",
        ));
    }
    for (field, map) in [
        ("alert.labels", &alert.labels),
        ("alert.annotations", &alert.annotations),
    ] {
        if map.len() > MAX_LABELS {
            return Err(Problem::invalid(field, format!("has more than {MAX_LABELS} entries")));
        }
        for (name, value) in map {
            if name.chars().count() > MAX_LABEL {
                return Err(Problem::invalid(
                    field,
                    format!("has a name of more than {MAX_LABEL} characters"),
                ));
            }
            if value.chars().count() > MAX_VALUE {
                return Err(Problem::invalid(
                    format!("{field}.{name}"),
                    format!("has more than {MAX_VALUE} characters"),
                ));
            }
        }
    }
    Ok(())
}

fn from_the_api(alert: Option<&AlertRequest>) -> Alert {
    let texts = |map: &BTreeMap<String, String>| -> BTreeMap<String, String> {
        map.iter().map(|(name, value)| (clean(name), clean(value))).collect()
    };
    Alert {
        source: AlertSource::Api,
        name: alert.and_then(|alert| alert.name.clone()),
        fingerprint: alert.and_then(|alert| alert.fingerprint.clone()),
        group_key: None,
        starts_at: alert.and_then(|alert| alert.starts_at.clone()),
        labels: alert.map(|alert| texts(&alert.labels)).unwrap_or_default(),
        annotations: alert.map(|alert| texts(&alert.annotations)).unwrap_or_default(),
    }
}

/// What a report is known by: where it is made, what it is about, and what it says.
fn key(namespace: &str, target: Option<&Target>, what: &str) -> String {
    let about = target.map(|target| {
        (
            target.namespace.as_deref().unwrap_or(namespace),
            &*target.kind,
            &*target.name,
        )
    });
    let (elsewhere, kind, name) = about.unwrap_or_default();
    hash(&["api", namespace, elsewhere, kind, name, what], 40)
}

/// The incident that this report asks for.
fn wanted(
    body: &IncidentRequest,
    user: &str,
    labels: &LabelPolicy,
    operator_namespace: &str,
) -> Result<Wanted, Problem> {
    let (target, note) = match (&body.target, &body.alert) {
        (Some(target), _) => (Some(explicit(target, &body.namespace, operator_namespace)?), None),
        (None, Some(alert)) => by_labels(alert, &body.namespace, labels, operator_namespace),
        (None, None) => (None, None),
    };
    let what = body
        .alert
        .as_ref()
        .and_then(|alert| alert.name.as_ref())
        .unwrap_or(&body.title);
    Ok(Wanted {
        key: key(&body.namespace, target.as_ref(), what),
        namespace: body.namespace.clone(),
        spec: IncidentSpec {
            title: clip(&clean(&body.title), 256),
            description: body.description.clone(),
            severity: body.severity.map(Into::into),
            target,
            alert: Some(from_the_api(body.alert.as_ref())),
            requested_by: Some(user.to_owned()),
            approval_mode: body.approval_mode.map(Into::into).unwrap_or_default(),
            revision_feedback: None,
            cancelled: false,
        },
        note,
    })
}

fn explicit(target: &TargetRequest, namespace: &str, operator_namespace: &str) -> Result<Target, Problem> {
    let elsewhere = target.namespace.as_deref().is_some_and(|name| name != namespace);
    if elsewhere && namespace != operator_namespace {
        return Err(Problem {
            field: Some("target.namespace".to_owned()),
            ..Problem::new(
                Kind::Forbidden,
                format!("an incident may name targets in its own namespace only ({namespace})"),
            )
        });
    }
    Ok(Target {
        api_version: target.api_version.clone(),
        kind: target.kind.clone(),
        name: target.name.clone(),
        namespace: target.namespace.clone().filter(|_| elsewhere),
    })
}

/// What the labels name in this namespace, by the rules of the intake. What they name elsewhere counts in Firewatch's own namespace only.
fn by_labels(
    alert: &AlertRequest,
    namespace: &str,
    policy: &LabelPolicy,
    operator_namespace: &str,
) -> (Option<Target>, Option<String>) {
    let mut labels = alert.labels.clone();
    labels
        .entry(policy.namespace.clone())
        .or_insert_with(|| namespace.to_owned());
    let named = named(&labels, policy);
    match &named.namespace {
        Some(there) if there == namespace => (place(&named, Ground::OptedIn, operator_namespace).target, None),
        Some(_) if namespace == operator_namespace => (place(&named, Ground::Silent, operator_namespace).target, None),
        Some(there) => (
            None,
            Some(format!(
                "the alert's labels name namespace {there}; this incident is about its own, {namespace}: report it there"
            )),
        ),
        None => (None, None),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::needless_pass_by_value, clippy::indexing_slicing)]
    use firewatch_core::api::policy::AutoApprove;
    use firewatch_core::api::{ActionType, ResponsePolicySpec, Risk};
    use serde_json::{Value, json};

    use super::*;

    fn request(more: Value) -> IncidentRequest {
        let mut body = json!({ "namespace": "shop", "title": "checkout is bad" });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(body).unwrap()
    }

    fn of(more: Value) -> Result<Wanted, Problem> {
        let body = request(more);
        check(&body)?;
        wanted(&body, "alice", &LabelPolicy::default(), "firewatch-system")
    }

    #[test]
    fn labels_choose_a_target_in_the_namespace_that_was_named_and_never_another() {
        let labels = |labels: Value| json!({ "alert": { "labels": labels } });
        let target = |more| of(more).unwrap().spec.target.map(|t| (t.kind, t.name, t.namespace));
        let checkout = Some(("Deployment".to_owned(), "checkout".to_owned(), None));
        assert_eq!(target(labels(json!({ "deployment": "checkout" }))), checkout);
        assert_eq!(
            target(labels(json!({ "namespace": "shop", "deployment": "checkout" }))),
            checkout
        );
        let elsewhere = of(labels(json!({ "namespace": "bank", "deployment": "vault" }))).unwrap();
        assert_eq!((elsewhere.namespace.as_str(), elsewhere.spec.target), ("shop", None));
        assert!(elsewhere.note.unwrap().contains("bank"));
        let mut own = labels(json!({ "namespace": "bank", "deployment": "vault" }));
        own["namespace"] = json!("firewatch-system");
        let own = of(own).unwrap().spec.target.unwrap();
        assert_eq!((own.namespace.as_deref(), own.name.as_str()), (Some("bank"), "vault"));
    }

    #[test]
    fn an_explicit_target_elsewhere_is_refused_but_in_the_operator_s_own_namespace() {
        let target = json!({ "target": { "kind": "Deployment", "name": "vault", "namespace": "bank" } });
        let refused = of(target.clone()).unwrap_err();
        assert_eq!(
            (refused.kind, refused.field.as_deref()),
            (Kind::Forbidden, Some("target.namespace"))
        );
        let mut own = target;
        own["namespace"] = json!("firewatch-system");
        assert_eq!(of(own).unwrap().spec.target.unwrap().namespace.as_deref(), Some("bank"));
    }

    #[test]
    fn the_same_report_has_the_same_key_and_another_has_another() {
        let target = |name: &str| json!({ "target": { "kind": "Deployment", "name": name } });
        let key = |more| of(more).unwrap().key;
        assert_eq!(key(target("a")), key(target("a")));
        assert_ne!(key(target("a")), key(target("b")));
        let mut titled = target("a");
        titled["title"] = json!("another trouble");
        assert_ne!(key(target("a")), key(titled));
        assert_eq!(key(target("a")).len(), 40);
    }

    #[test]
    fn a_report_is_made_in_the_caller_s_name_and_for_a_person_to_approve() {
        let spec = of(json!({})).unwrap().spec;
        assert_eq!(spec.requested_by.as_deref(), Some("alice"));
        assert_eq!(spec.approval_mode, ApprovalMode::Manual);
        assert_eq!(spec.alert.unwrap().source, AlertSource::Api);
    }

    #[test]
    fn a_wrong_field_is_named() {
        let long = "x".repeat(2049);
        let many: BTreeMap<String, String> = (0..65).map(|n| (n.to_string(), String::new())).collect();
        for (more, field) in [
            (json!({ "namespace": ".." }), "namespace"),
            (json!({ "title": "" }), "title"),
            (json!({ "title": "a\u{1b}[31m" }), "title"),
            (json!({ "title": "x".repeat(257) }), "title"),
            (json!({ "description": "a\u{0}" }), "description"),
            (
                json!({ "target": { "kind": "deployment", "name": "a" } }),
                "target.kind",
            ),
            (
                json!({ "target": { "kind": "Deployment", "name": "../a" } }),
                "target.name",
            ),
            (
                json!({ "target": { "kind": "Deployment", "name": "a", "apiVersion": "x" } }),
                "target.apiVersion",
            ),
            (
                json!({ "target": { "kind": "Deployment", "name": "a", "namespace": "A" } }),
                "target.namespace",
            ),
            (json!({ "alert": { "startsAt": "yesterday" } }), "alert.startsAt"),
            (json!({ "alert": { "labels": { "pod": long } } }), "alert.labels.pod"),
            (json!({ "alert": { "annotations": many } }), "alert.annotations"),
        ] {
            assert_eq!(of(more.clone()).unwrap_err().field.as_deref(), Some(field), "{more}");
        }
    }

    #[test]
    fn auto_approval_is_honoured_only_where_a_policy_would_allow_it() {
        let policy = |name: &str, spec: ResponsePolicySpec| ResponsePolicy::new(name, spec);
        let auto = || {
            Some(AutoApprove {
                max_risk: Risk::Low,
                action_types: vec![ActionType::RestartRollout],
                min_confidence: None,
                max_per_hour: None,
                alerts: false,
                limits: None,
                windows: Vec::new(),
                only_verified_before: false,
            })
        };
        let none = BTreeMap::new();
        let refused = |policies: &[ResponsePolicy]| would_approve(policies, &none).unwrap_err();
        assert!(refused(&[]).contains("built-in approves nothing"));
        let observe = ResponsePolicySpec {
            mode: PolicyMode::Observe,
            auto_approve: auto(),
            ..ResponsePolicySpec::default()
        };
        assert!(refused(&[policy("watch", observe)]).contains("mode Observe"));
        let suspended = ResponsePolicySpec {
            suspended: true,
            auto_approve: auto(),
            ..ResponsePolicySpec::default()
        };
        assert!(refused(&[policy("off", suspended)]).contains("suspended"));
        let allows = ResponsePolicySpec {
            auto_approve: auto(),
            ..ResponsePolicySpec::default()
        };
        let tied = [policy("a", allows.clone()), policy("b", allows.clone())];
        assert!(refused(&tied).contains("a, b"));
        let answer = would_approve(&[policy("yes", allows.clone())], &none);
        assert!(answer.unwrap().contains("risk low"));
        // A policy that cannot be obeyed approves nothing.
        let mut faulty = allows;
        faulty.auto_approve.as_mut().unwrap().min_confidence = Some("certain".to_owned());
        assert!(refused(&[policy("odd", faulty)]).contains("cannot be obeyed"));
    }
}
