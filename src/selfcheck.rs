//! `firewatch selfcheck`: shows from inside the cluster, with the operator's own identity, that an installation is whole: the guards
//! are as compiled in and in force, the identity may not do what it must not, the record can be stored, the operator answers.
//!
//! It must never change anything: what it sends is a question or a dry run. Called by `main`, for the pod of `helm test`.

use std::sync::Arc;
use std::time::Duration;

use firewatch_core::api::RemediationApproval;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::PostParams;
use kube::{Api, Client};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::approval::guard::GuardWatch;
use crate::config::Config;
use crate::store::{self, AuditSink};

/// How long any one question may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How often, and with what pause, an operator that is being rolled out is asked again.
const ATTEMPTS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(500);

/// Rights that the operator must not have: verb, group, resource, whether in the sandbox's namespace (else in its own).
const MUST_NOT: [(&str, &str, &str, bool); 8] = [
    ("create", "", "pods", true),
    ("create", "", "pods/exec", true),
    ("create", "", "serviceaccounts/token", true),
    ("get", "", "secrets", true),
    ("get", "", "secrets", false),
    ("patch", "apps", "deployments", false),
    ("create", "rbac.authorization.k8s.io", "rolebindings", false),
    ("delete", "firewatch.dev", "remediationapprovals", false),
];

/// Prints a line for each check; true where all passed. `operator`: host and port of the operator's Service.
pub async fn run(config: &Config, operator: Option<&str>) -> Result<bool, kube::Error> {
    let client = Client::try_from(kube::Config::infer().await.map_err(kube::Error::InferConfig)?)?;
    let sink = store::open(config.database_url.as_deref(), None, std::path::Path::new("")).await;
    let checks = [
        ("guards as compiled in", guards(&client, config).await),
        ("guards in force", enforced(&client, &config.namespace).await),
        ("no right beyond its own", rights(&client, config).await),
        (
            "record",
            match sink {
                Ok(sink) => record(sink).await,
                Err(error) => Err(error.to_string()),
            },
        ),
        ("notifications", notifications(config)),
        ("operator ready", ready(operator, PAUSE).await),
    ];
    let mut passed = true;
    for (name, result) in checks {
        match result {
            Ok(said) => println!("ok      {name}: {said}"),
            Err(why) => {
                println!("FAILED  {name}: {why}");
                passed = false;
            }
        }
    }
    Ok(passed)
}

type Check = Result<String, String>;

async fn guards(client: &Client, config: &Config) -> Check {
    let state = GuardWatch::new(client.clone(), config).seen().await;
    if state.intact {
        Ok("policies, bindings and CRDs are those of this release".to_owned())
    } else {
        Err(format!("{}; run helm upgrade", state.differences.join("; ")))
    }
}

/// An approval that nobody gave must be refused, and for that reason; the same one undecided must not.
async fn enforced(client: &Client, namespace: &str) -> Check {
    let api: Api<RemediationApproval> = Api::namespaced(client.clone(), namespace);
    let rehearse = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    api.create(&rehearse, &approval(namespace, None)?)
        .await
        .map_err(|error| format!("an undecided approval is refused: {error}"))?;
    match api.create(&rehearse, &approval(namespace, Some("selfcheck"))?).await {
        Ok(_) => Err("an approval that nobody gave is accepted: the admission policies are not enforced".to_owned()),
        Err(kube::Error::Api(status)) if status.message.contains("is created by the operator, undecided") => {
            Ok("an approval that nobody gave is refused".to_owned())
        }
        Err(error) => Err(format!(
            "an approval that nobody gave is refused for another reason: {error}"
        )),
    }
}

/// A plan that is never carried out: it is only sent as a dry run.
fn approval(namespace: &str, approver: Option<&str>) -> Result<RemediationApproval, String> {
    let expires = Timestamp::now()
        .checked_add(SignedDuration::from_mins(5))
        .map_err(|error| error.to_string())?;
    let digits = "0".repeat(64);
    let mut object = json!({
        "apiVersion": "firewatch.dev/v1alpha1",
        "kind": "RemediationApproval",
        "metadata": { "name": format!("selfcheck-{}", "0".repeat(32)), "namespace": namespace },
        "spec": {
            "incidentRef": { "name": "selfcheck", "uid": "selfcheck" },
            "planDigest": format!("sha256:{digits}"),
            "revision": 1,
            "summary": "a rehearsal of the installation's own check",
            "risk": "low",
            "actions": [{
                "id": "A1", "type": "Scale",
                "target": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "selfcheck", "namespace": namespace, "uid": "selfcheck" },
                "parameters": { "from": "1", "to": "1" },
                "command": ["kubectl"], "risk": "low", "impact": "none", "rollback": ["kubectl"],
            }],
            "expiresAt": expires.to_string(),
            "requiredApprovals": 1,
            "decision": "Pending",
        },
    });
    if let (Some(approver), Some(spec)) = (approver, object.get_mut("spec").and_then(|s| s.as_object_mut())) {
        spec.insert("decision".to_owned(), json!("Approved"));
        spec.insert("approver".to_owned(), json!(approver));
    }
    serde_json::from_value(object).map_err(|error| error.to_string())
}

async fn rights(client: &Client, config: &Config) -> Check {
    let api: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let mut held = Vec::new();
    for (verb, group, kind, sandbox) in MUST_NOT {
        let (resource, subresource) = kind.split_once('/').unwrap_or((kind, ""));
        let namespace = if sandbox {
            &config.sandbox_namespace
        } else {
            &config.namespace
        };
        let attributes = ResourceAttributes {
            verb: Some(verb.to_owned()),
            group: Some(group.to_owned()),
            resource: Some(resource.to_owned()),
            subresource: Some(subresource.to_owned()),
            namespace: Some(namespace.clone()),
            ..ResourceAttributes::default()
        };
        let review = SelfSubjectAccessReview {
            spec: SelfSubjectAccessReviewSpec {
                resource_attributes: Some(attributes),
                ..SelfSubjectAccessReviewSpec::default()
            },
            ..SelfSubjectAccessReview::default()
        };
        let answer = api
            .create(&PostParams::default(), &review)
            .await
            .map_err(|error| error.to_string())?;
        if answer.status.is_some_and(|status| status.allowed) {
            held.push(format!("{verb} {kind} in {namespace}"));
        }
    }
    if held.is_empty() {
        Ok(format!("{} rights that it must not have are not there", MUST_NOT.len()))
    } else {
        Err(format!(
            "it may {}: some binding beside the chart's gives that",
            held.join(", ")
        ))
    }
}

async fn record(sink: Option<Arc<dyn AuditSink>>) -> Check {
    let Some(sink) = sink else {
        return Ok("kept in a file of the operator's pod; not looked at".to_owned());
    };
    match tokio::time::timeout(TIMEOUT, sink.ping()).await {
        Ok(Ok(())) => Ok(format!("rows can be stored in {}", sink.describe())),
        Ok(Err(error)) => Err(format!("{}: {error}", error.reason())),
        Err(_) => Err(format!(
            "{} did not answer within {} s",
            sink.describe(),
            TIMEOUT.as_secs()
        )),
    }
}

/// What the operator would refuse at its start.
fn notifications(config: &Config) -> Check {
    match config.notify.load() {
        Ok(None) => Ok("nobody is told".to_owned()),
        Ok(Some(plan)) => Ok(format!(
            "{} channels, {} routes",
            plan.channels.len(),
            plan.routes.len()
        )),
        Err(error) => Err(error.to_string()),
    }
}

async fn ready(operator: Option<&str>, pause: Duration) -> Check {
    let Some(address) = operator else {
        return Ok("not asked: no --operator".to_owned());
    };
    let mut last = String::new();
    for _ in 0..ATTEMPTS {
        match tokio::time::timeout(TIMEOUT, status_line(address, "/readyz")).await {
            Ok(Ok(line)) if line.contains(" 200 ") => return Ok(format!("{address} answers /readyz")),
            Ok(Ok(line)) => last = line,
            Ok(Err(error)) => last = error.to_string(),
            Err(_) => "no answer in time".clone_into(&mut last),
        }
        tokio::time::sleep(pause).await;
    }
    Err(format!("{address}: {last}"))
}

/// The first line of the answer; of HTTP more is not needed here.
async fn status_line(address: &str, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(4096).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer)
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use tokio::net::TcpListener;

    use super::*;

    /// Answers one request after the other with these status lines, the last one for ever.
    async fn answering(lines: &'static [&'static str]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            for line in lines.iter().chain(std::iter::repeat(lines.last().unwrap())) {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 512];
                let _ = stream.read(&mut request).await;
                let _ = stream
                    .write_all(format!("{line}\r\nContent-Length: 0\r\n\r\n").as_bytes())
                    .await;
            }
        });
        address
    }

    #[tokio::test]
    async fn an_operator_that_becomes_ready_is_waited_for_and_one_that_does_not_is_told() {
        let starting = answering(&["HTTP/1.1 503 Service Unavailable", "HTTP/1.1 200 OK"]).await;
        assert!(ready(Some(&starting), Duration::ZERO).await.is_ok());
        let never = answering(&["HTTP/1.1 503 Service Unavailable"]).await;
        assert!(ready(Some(&never), Duration::ZERO).await.unwrap_err().contains("503"));
    }

    #[tokio::test]
    async fn a_database_that_is_not_there_fails_the_check_with_its_reason() {
        let sink = store::open(
            Some("postgres://firewatch:word@127.0.0.1:1/firewatch"),
            None,
            std::path::Path::new(""),
        )
        .await
        .unwrap();
        let said = record(sink).await.unwrap_err();
        assert!(said.contains("DatabaseUnreachable") && !said.contains("word"), "{said}");
    }

    #[test]
    fn the_rehearsed_approval_differs_from_the_harmless_one_by_its_decision_alone() {
        let (harmless, forged) = (approval("n", None).unwrap(), approval("n", Some("x")).unwrap());
        assert!(forged.spec.is_approved() && !harmless.spec.is_approved());
        assert_eq!(forged.spec.plan_digest, harmless.spec.plan_digest);
        assert_eq!(forged.metadata, harmless.metadata);
    }
}
