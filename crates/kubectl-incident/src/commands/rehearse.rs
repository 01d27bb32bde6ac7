//! `kubectl incident policy --dry-run`: which plans of past incidents a policy would have approved, and for each other one the first
//! reason. It reads, with the user's own rights, and changes nothing; the judgement is the core's, the same as the operator's.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use firewatch_core::api::{Incident, RemediationApproval, ResponsePolicy};
use firewatch_core::approval::auto::Objection;
use firewatch_core::approval::rehearsal::{Past, Rehearsed, rehearse};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use serde::Serialize;

use super::{print, serialised};
use crate::cli::PolicyArgs;
use crate::cluster::Cluster;
use crate::error::{Error, Result};
use crate::exit;
use crate::render::text::clean;

/// Reads and tells.
pub async fn run(cluster: &Cluster, args: &PolicyArgs) -> Result<u8> {
    let candidate = args.file.as_deref().map(from_file).transpose()?;
    let live = Api::<ResponsePolicy>::all(cluster.client.clone())
        .list(&ListParams::default())
        .await
        .map_err(|error| Error::from_kube("list response policies", &error))?
        .items;
    let policies = policies(live, candidate, args.name.as_deref())?;
    let (incidents, approvals): (Api<Incident>, Api<RemediationApproval>) = if args.all_namespaces {
        (Api::all(cluster.client.clone()), Api::all(cluster.client.clone()))
    } else {
        (cluster.incidents(), cluster.approvals())
    };
    let everything = ListParams::default();
    let incidents = incidents
        .list(&everything)
        .await
        .map_err(|error| Error::from_kube("list incidents", &error))?
        .items;
    let approvals = approvals
        .list(&everything)
        .await
        .map_err(|error| Error::from_kube("list approvals", &error))?
        .items;
    let all: Api<Namespace> = Api::all(cluster.client.clone());
    let namespaces = if args.all_namespaces {
        let found = all.list(&everything).await;
        found
            .map_err(|error| Error::from_kube("list namespaces", &error))?
            .items
    } else {
        let found = all.get(&cluster.namespace).await;
        vec![found.map_err(|error| Error::from_kube(format!("read namespace {}", cluster.namespace), &error))?]
    };
    let namespaces: BTreeMap<String, BTreeMap<String, String>> = namespaces
        .iter()
        .map(|one| (one.name_any(), one.labels().clone()))
        .collect();
    let back = SignedDuration::try_from(args.since).unwrap_or(SignedDuration::MAX);
    let past = Past {
        incidents: &incidents,
        approvals: &approvals,
        namespaces: &namespaces,
        since: Timestamp::now().checked_sub(back).unwrap_or(Timestamp::MIN),
    };
    let lines: Vec<Line> = rehearse(&policies, past).iter().map(Line::of).collect();
    print(&if args.output.is_some() {
        serialised(&lines, false)?
    } else {
        screen(&lines)
    })?;
    Ok(exit::OK)
}

/// A policy from a file, as if it had been applied.
fn from_file(path: &Path) -> Result<ResponsePolicy> {
    let bad = |what: String| Error::Input(format!("{}: {what}", path.display()));
    let mut text = String::new();
    if path == Path::new("-") {
        std::io::stdin().read_to_string(&mut text)?;
    } else {
        text = std::fs::read_to_string(path).map_err(|error| bad(error.to_string()))?;
    }
    let mut policy: ResponsePolicy = serde_saphyr::from_str(&text).map_err(|error| {
        bad(format!(
            "is no ResponsePolicy: {error}; write one object, as for kubectl apply"
        ))
    })?;
    if policy.metadata.name.is_none() {
        return Err(bad("metadata.name is missing: give the policy its name".to_owned()));
    }
    policy.metadata.uid = Some("not-applied".to_owned());
    policy.metadata.generation = Some(0);
    Ok(policy)
}

/// The policies that are tried: those that are there, with the candidate in its own place.
fn policies(
    mut live: Vec<ResponsePolicy>,
    candidate: Option<ResponsePolicy>,
    name: Option<&str>,
) -> Result<Vec<ResponsePolicy>> {
    if let Some(name) = name
        && !live.iter().any(|policy| policy.name_any() == name)
    {
        return Err(Error::NotFound {
            what: format!("ResponsePolicy {name}"),
            remedy: "`kubectl get responsepolicies` lists them; -f FILE tries one that is not there.".to_owned(),
        });
    }
    if let Some(candidate) = candidate {
        live.retain(|policy| policy.name_any() != candidate.name_any());
        live.push(candidate);
    } else if let Some(name) = name {
        // Whatever the others approve is not asked about; that they hold is.
        for other in live.iter_mut().filter(|policy| policy.name_any() != name) {
            other.spec.auto_approve = None;
        }
    }
    Ok(live)
}

/// One plan, and what the policy would have said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    namespace: String,
    incident: String,
    at: String,
    policy: String,
    approved: bool,
    reason: String,
    message: String,
    plan: String,
    outcome: Option<String>,
}

impl Line {
    fn of(one: &Rehearsed) -> Self {
        let refused = one.verdict.as_ref().err();
        Self {
            namespace: one.namespace.clone(),
            incident: one.incident.clone(),
            at: one.at.to_string(),
            policy: one.holds.clone(),
            approved: refused.is_none(),
            reason: refused.map_or("Approved", Objection::reason).to_owned(),
            message: refused.map(ToString::to_string).unwrap_or_default(),
            plan: one.summary.clone(),
            outcome: one.outcome.clone(),
        }
    }
}

fn screen(lines: &[Line]) -> String {
    if lines.is_empty() {
        return "No plan in that time.\n".to_owned();
    }
    let mut text = String::new();
    for line in lines {
        let ended = line.outcome.as_deref().unwrap_or("not over");
        let verdict = if line.approved {
            format!("would have been approved by {}", line.policy)
        } else {
            format!("a person ({}): {}", line.policy, line.message)
        };
        for told in [
            format!("{} {}/{} ({ended})", line.at, line.namespace, line.incident),
            format!("  plan     {}", line.plan),
            format!("  verdict  {verdict}"),
        ] {
            text.push_str(&clean(&told));
            text.push('\n');
        }
    }
    let approved = lines.iter().filter(|line| line.approved).count();
    let count = format!(
        "{approved} of {} plans would have been approved without a person, had each incident said approvalMode: Policy.\n",
        lines.len()
    );
    text + &count
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn policy(name: &str) -> ResponsePolicy {
        let spec = serde_json::json!({"autoApprove": {"maxRisk": "low", "actionTypes": ["Scale"]}});
        ResponsePolicy::new(name, serde_json::from_value(spec).unwrap())
    }

    #[test]
    fn a_policy_of_a_file_takes_the_place_of_the_one_of_its_name() {
        let mut file = policy("b");
        file.spec.priority = 7;
        let tried = policies(vec![policy("a"), policy("b")], Some(file), None).unwrap();
        assert_eq!(tried.iter().map(|one| one.spec.priority).collect::<Vec<_>>(), [0, 7]);
        let named = policies(vec![policy("a"), policy("b")], None, Some("b")).unwrap();
        assert!(named[0].spec.auto_approve.is_none() && named[1].spec.auto_approve.is_some());
        let error = policies(vec![policy("a")], None, Some("c")).unwrap_err().to_string();
        assert!(error.contains('c'), "{error}");
    }

    #[test]
    fn a_file_is_read_as_kubectl_would_and_its_faults_are_named() {
        let directory = std::env::temp_dir().join(format!("policy-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let read = |text: &str| {
            let path = directory.join("policy.yaml");
            std::fs::write(&path, text).unwrap();
            from_file(&path)
                .map(|policy| policy.name_any())
                .map_err(|error| error.to_string())
        };
        let head = "apiVersion: firewatch.dev/v1alpha1\nkind: ResponsePolicy\nmetadata: {name: p}\n";
        assert_eq!(read(&format!("{head}spec: {{mode: Suggest}}\n")), Ok("p".to_owned()));
        assert!(
            read(&format!("{head}spec: {{mode: Guess}}\n"))
                .unwrap_err()
                .contains("policy.yaml")
        );
        std::fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn every_plan_is_told_with_the_reason_and_the_count() {
        let line = |approved| Line {
            namespace: "shop".into(),
            incident: "one".into(),
            at: "t".into(),
            policy: "p".into(),
            approved,
            reason: String::new(),
            message: "the risk is medium".into(),
            plan: "scale".into(),
            outcome: None,
        };
        let text = screen(&[line(true), line(false)]);
        for part in ["approved by p", "a person (p): the risk is medium", "1 of 2 plans"] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        assert!(screen(&[]).contains("No plan"));
    }
}
