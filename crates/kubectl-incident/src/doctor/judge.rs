//! What the facts of an installation mean: each fault with its remedy. Pure; the present is a fact. Called by the command.

use firewatch_core::api::conditions;
use firewatch_core::approval::guard::{Installation, Installed, compare};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Container, Pod};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use super::facts::{Facts, Read};
use super::sandbox::waiting;
use super::{Judgement, Level, rights, sandbox};
use crate::render::text::span;

/// A lease that was not renewed for so long has no holder any more. The operator holds it for 15 seconds at a time.
const STALE_SECONDS: i64 = 30;
/// A transition that was not stored for so long waits for more than the next write.
const UNSTORED_SECONDS: i64 = 60;

/// Everything, in the order in which one thing needs the other.
pub fn judge(facts: &Facts) -> Vec<Judgement> {
    let deployment = match &facts.deployments {
        Read::Got(all) => all.first(),
        Read::Not(_) => None,
    };
    let mut found = guards(facts, deployment);
    found.extend(operator(facts));
    found.extend(leader(facts, deployment));
    found.extend(record(facts, deployment));
    found.extend(sandbox::judge(facts, env(deployment, "FIREWATCH_SANDBOX_IMAGE")));
    found.extend(rights::judge(facts));
    found.extend(namespaces(facts));
    found.extend(stalled(facts));
    found
}

/// CRDs, admission policies and bindings, by the operator's own comparison.
fn guards(facts: &Facts, deployment: Option<&Deployment>) -> Vec<Judgement> {
    let (Read::Got(crds), Read::Got(policies), Read::Got(bindings)) = (&facts.crds, &facts.policies, &facts.bindings)
    else {
        return [
            ("CRDs", why(&facts.crds)),
            ("Guards", why(&facts.policies)),
            ("Guards", why(&facts.bindings)),
        ]
        .into_iter()
        .filter_map(|(about, why)| Some(Judgement::not_read(about, why?)))
        .collect();
    };
    let state = compare(
        &Installed {
            policies: policies.clone(),
            bindings: bindings.clone(),
            crds: crds.clone(),
        },
        &Installation {
            operator_namespace: Some(facts.namespace.clone()),
            operator_account: None,
            sandbox_namespace: Some(facts.sandbox_namespace.clone()),
            sandbox_image: env(deployment, "FIREWATCH_SANDBOX_IMAGE").map(str::to_owned),
        },
    );
    let mut found = Vec::new();
    let (of_crds, of_guards): (Vec<&String>, Vec<&String>) = state
        .differences
        .iter()
        .partition(|difference| difference.starts_with("CustomResourceDefinition"));
    for difference in &of_crds {
        let remedy = if difference.ends_with("is not installed") {
            "install the chart (helm upgrade --install firewatch charts/firewatch -n firewatch-system), with crds.enabled=true"
        } else {
            "operator, plugin and chart must be of one version: install the chart of this version (helm upgrade), or take the plugin of the installed one"
        };
        found.push(Judgement::fault("CRDs", (*difference).clone(), remedy));
    }
    if of_crds.is_empty() {
        found.push(Judgement::well(
            "CRDs",
            format!("all {} are there and of this version", crds.len()),
        ));
    }
    for difference in &of_guards {
        found.push(Judgement::fault(
            "Guards",
            format!("{difference}; nothing is executed while that is so"),
            "install the chart again (helm upgrade) and find out who changed it: approvals rest on it",
        ));
    }
    if of_guards.is_empty() {
        found.push(Judgement::well(
            "Guards",
            format!(
                "{} admission policies and {} bindings are as expected",
                policies.len(),
                bindings.len()
            ),
        ));
    }
    found
}

fn why<T>(read: &Read<T>) -> Option<&str> {
    match read {
        Read::Got(_) => None,
        Read::Not(why) => Some(why),
    }
}

fn operator(facts: &Facts) -> Vec<Judgement> {
    const ABOUT: &str = "Operator";
    let namespace = &facts.namespace;
    let deployment = match &facts.deployments {
        Read::Not(why) => return vec![Judgement::not_read(ABOUT, why)],
        Read::Got(all) => match all.as_slice() {
            [] => {
                return vec![Judgement::fault(
                    ABOUT,
                    format!("no Deployment of Firewatch in namespace {namespace}"),
                    "install the chart (helm upgrade --install firewatch charts/firewatch -n firewatch-system --create-namespace), or name its namespace with --operator-namespace",
                )];
            }
            [one] => one,
            [one, ..] => {
                let names: Vec<String> = all.iter().map(ResourceExt::name_any).collect();
                return vec![Judgement::fault(
                    ABOUT,
                    format!(
                        "several Deployments of Firewatch in namespace {namespace}: {}",
                        names.join(", ")
                    ),
                    format!(
                        "keep one (kubectl delete deployment NAME -n {namespace}); {} is the chart's first",
                        one.name_any()
                    ),
                )];
            }
        },
    };
    let mut found = Vec::new();
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let ready = deployment
        .status
        .as_ref()
        .and_then(|status| status.ready_replicas)
        .unwrap_or(0);
    let logs = format!(
        "kubectl logs deployment/{} -n {namespace} --all-containers --tail=50",
        deployment.name_any()
    );
    let stuck = match &facts.pods {
        Read::Got(pods) => pods.iter().find_map(waiting),
        Read::Not(why) => {
            found.push(Judgement::not_read(ABOUT, why));
            None
        }
    };
    if wanted == 0 {
        found.push(Judgement::fault(
            ABOUT,
            format!(
                "Deployment {} is scaled to 0: nothing is investigated",
                deployment.name_any()
            ),
            format!(
                "kubectl scale deployment {} -n {namespace} --replicas=1",
                deployment.name_any()
            ),
        ));
    } else if let Some((pod, reason, message)) = stuck {
        let (says, remedy) = if reason.contains("Image") {
            (
                format!("its image cannot be pulled: pod {pod} says {reason}: {message}"),
                "make the image reachable from the nodes, or set image.repository and image.tag of the chart"
                    .to_owned(),
            )
        } else {
            (format!("pod {pod} does not run: {reason}: {message}"), logs)
        };
        found.push(Judgement::fault(ABOUT, says, remedy));
    } else if ready < 1 {
        found.push(Judgement::fault(
            ABOUT,
            format!(
                "Deployment {}: 0 of {wanted} pods are ready (/readyz)",
                deployment.name_any()
            ),
            logs,
        ));
    } else {
        found.push(Judgement::well(ABOUT, format!("{ready} of {wanted} pods are ready")));
    }
    let version = deployment.labels().get("app.kubernetes.io/version");
    if let Some(version) = version.filter(|version| **version != facts.version) {
        found.push(Judgement::new(
            ABOUT,
            Level::Warning,
            format!("it is of version {version}, this plugin of {}", facts.version),
            "use the plugin of the installed version, or upgrade the chart",
        ));
    }
    found
}

fn leader(facts: &Facts, deployment: Option<&Deployment>) -> Vec<Judgement> {
    const ABOUT: &str = "Leader";
    let restart = format!(
        "kubectl rollout restart deployment/{} -n {}",
        deployment.map_or_else(|| "firewatch".to_owned(), ResourceExt::name_any),
        facts.namespace
    );
    let lease = match &facts.lease {
        Read::Not(why) => return vec![Judgement::not_read(ABOUT, why)],
        Read::Got(None) => {
            return vec![Judgement::fault(
                ABOUT,
                "there is no Lease firewatch: the operator has never led",
                format!("look at the operator first; then {restart}"),
            )];
        }
        Read::Got(Some(lease)) => lease,
    };
    let spec = lease.spec.clone().unwrap_or_default();
    let holder = spec.holder_identity.unwrap_or_default();
    let Some(renewed) = spec.renew_time.filter(|_| !holder.is_empty()) else {
        return vec![Judgement::fault(ABOUT, "nobody holds the Lease firewatch", restart)];
    };
    let age = seconds(renewed.0, facts.now);
    if age > STALE_SECONDS {
        return vec![Judgement::fault(
            ABOUT,
            format!(
                "the Lease firewatch of {holder} was last renewed {} ago: nobody leads",
                span(age)
            ),
            format!("{restart}; it takes the lease over by itself"),
        )];
    }
    if let Read::Got(pods) = &facts.pods
        && !pods.iter().any(|pod| pod.name_any() == holder)
    {
        return vec![Judgement::fault(
            ABOUT,
            format!(
                "the Lease firewatch is held by {holder}, which is no pod of this Deployment: a second operator is at work"
            ),
            "find and stop it (kubectl get pods -A -l app.kubernetes.io/name=firewatch; or a `firewatch run` outside the cluster)",
        )];
    }
    vec![Judgement::well(ABOUT, format!("{holder}, renewed {} ago", span(age)))]
}

/// Where the record goes, as operator and incidents report it.
fn record(facts: &Facts, deployment: Option<&Deployment>) -> Vec<Judgement> {
    const ABOUT: &str = "Record";
    let mut found = Vec::new();
    if let Read::Got(pods) = &facts.pods
        && let Some((pod, said)) = pods.iter().find_map(migration)
    {
        found.push(Judgement::fault(
            ABOUT,
            format!("the database could not be brought up to date: the migration of pod {pod} {said}"),
            format!(
                "kubectl logs {pod} -n {} -c migrate; check address, user and password in database.url and database.migrateUrl",
                facts.namespace
            ),
        ));
    }
    if env(deployment, "FIREWATCH_AUDIT") == Some("file") {
        found.push(Judgement::new(
            ABOUT,
            Level::Warning,
            "kept in a file of the operator's pod: gone with the pod",
            "for more than trying it out give Postgres: database.url of the chart, and audit.mode=\"\"",
        ));
    }
    match &facts.incidents {
        Read::Not(why) => found.push(Judgement::not_read(ABOUT, why)),
        Read::Got(incidents) => {
            let waiting: Vec<(String, &str, &str)> = incidents
                .iter()
                .filter_map(|incident| {
                    let condition = incident
                        .status
                        .iter()
                        .flat_map(|status| &status.conditions)
                        .find(|condition| {
                            condition.type_ == conditions::AUDIT_PERSISTED && condition.status == "False"
                        })?;
                    let since = seconds(condition.last_transition_time.0, facts.now);
                    (since > UNSTORED_SECONDS).then(|| {
                        (
                            format!("{}/{}", incident.namespace().unwrap_or_default(), incident.name_any()),
                            condition.reason.as_str(),
                            condition.message.as_str(),
                        )
                    })
                })
                .collect();
            if let Some((name, reason, message)) = waiting.first() {
                found.push(Judgement::fault(
                    ABOUT,
                    format!("{} incident(s) are not stored for over a minute; {name} says {reason}: {message}", waiting.len()),
                    "check that Postgres runs and is reached from the operator's pod (address, NetworkPolicy, password); what waits is stored by itself then",
                ));
            } else if found.is_empty() {
                let stored = if incidents.is_empty() {
                    "no incident yet that would show it; the operator reached its database at the start"
                } else {
                    "every incident's transitions are stored"
                };
                found.push(Judgement::well(ABOUT, stored));
            }
        }
    }
    found
}

/// A migration that does not end well.
fn migration(pod: &Pod) -> Option<(String, String)> {
    let container = pod
        .status
        .as_ref()?
        .init_container_statuses
        .iter()
        .flatten()
        .find(|container| container.name == "migrate" && !container.ready)?;
    let ended = container
        .state
        .as_ref()
        .and_then(|state| state.terminated.as_ref())
        .or_else(|| {
            container
                .last_state
                .as_ref()
                .and_then(|state| state.terminated.as_ref())
        })
        .filter(|ended| ended.exit_code != 0)?;
    Some((pod.name_any(), format!("ended with exit code {}", ended.exit_code)))
}

fn namespaces(facts: &Facts) -> Vec<Judgement> {
    const ABOUT: &str = "Namespaces";
    vec![match &facts.remediation {
        Read::Not(why) => Judgement::not_read(ABOUT, why),
        Read::Got(names) if names.is_empty() => Judgement::new(
            ABOUT,
            Level::Note,
            "none has opted in: plans are made and shown, and nothing is carried out",
            "name namespaces in remediation.namespaces of the chart",
        ),
        Read::Got(names) => Judgement::well(ABOUT, format!("approved plans are carried out in {}", names.join(", "))),
    }]
}

fn stalled(facts: &Facts) -> Vec<Judgement> {
    let Read::Got(incidents) = &facts.incidents else {
        return Vec::new();
    };
    incidents
        .iter()
        .filter_map(|incident| {
            let condition = incident
                .status
                .iter()
                .flat_map(|status| &status.conditions)
                .find(|condition| condition.type_ == conditions::STALLED && condition.status == "True")?;
            let (namespace, name) = (incident.namespace().unwrap_or_default(), incident.name_any());
            Some(Judgement::new(
                "Incidents",
                Level::Warning,
                format!(
                    "{namespace}/{name} cannot go on: {}: {}",
                    condition.reason, condition.message
                ),
                format!("kubectl incident show {name} -n {namespace}"),
            ))
        })
        .take(5)
        .collect()
}

/// A setting of the operator's container.
pub(super) fn env<'d>(deployment: Option<&'d Deployment>, name: &str) -> Option<&'d str> {
    let containers: &[Container] = deployment?.spec.as_ref()?.template.spec.as_ref()?.containers.as_slice();
    containers
        .iter()
        .flat_map(|container| container.env.iter().flatten())
        // Of two of one name the last one holds.
        .rfind(|variable| variable.name == name)?
        .value
        .as_deref()
}

fn seconds(from: Timestamp, to: Timestamp) -> i64 {
    to.duration_since(from).as_secs()
}
