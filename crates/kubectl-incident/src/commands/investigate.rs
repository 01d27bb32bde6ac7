//! `kubectl incident investigate`: the operator's diagnosis at once, with the user's own kubectl and rights. It only reads.
//!
//! Nothing is installed, nothing is changed, and what is kept is redacted. What to ask and what it means is the core's.

use std::io::{IsTerminal, Write};

use firewatch_core::agents::{Conclusion, Investigation};
use firewatch_core::api::ObjectName;
use firewatch_core::diagnosis::standing::{self, Level, Standing};
use firewatch_core::diagnosis::{CaseFile, Verdict};
use firewatch_core::report::investigation::{InvestigationDocument, document};
use firewatch_core::report::investigation_markdown::markdown;
use firewatch_core::sandbox::command::Lane;
use firewatch_core::sandbox::evidence::{Evidence, EvidenceState};
use firewatch_core::sandbox::policy::Tenancy;
use futures::StreamExt;
use k8s_openapi::jiff::Timestamp;
use serde::Serialize;
use tokio::time::Instant;

use super::{columns, print, serialised};
use crate::cli::{ClusterArgs, InvestigateArgs, InvestigateOutput};
use crate::error::{Error, Result};
use crate::exit;
use crate::html;
use crate::kubectl::Kubectl;
use crate::prometheus::Prometheus;
use crate::recordings;
use crate::render::investigation::{screen, table};
use crate::render::style::Palette;

/// Calls at the same time.
const CONCURRENT: usize = 6;
/// Namespaces that `-A` looks into; the others are named.
const NAMESPACES: usize = 5;
/// What `-A` lists first: what runs, and what should run.
const SURVEYED: &str =
    "pods,deployments.apps,statefulsets.apps,daemonsets.apps,replicasets.apps,jobs.batch,cronjobs.batch";

/// Several namespaces, the worst first.
#[derive(Serialize, Debug)]
#[serde(rename_all = "camelCase")]
struct List {
    kind: &'static str,
    items: Vec<InvestigationDocument>,
    /// Namespaces with trouble that were not looked into.
    others: Vec<Elsewhere>,
}

/// A namespace that was not looked into.
#[derive(Serialize, Debug)]
#[serde(rename_all = "camelCase")]
struct Elsewhere {
    namespace: String,
    workloads: Vec<Standing>,
}

/// Investigates.
pub async fn run(cluster: &ClusterArgs, args: &InvestigateArgs) -> Result<u8> {
    if args.all_namespaces {
        if args.output == Some(InvestigateOutput::Html) {
            return Err(Error::Input(
                "-o html is of one namespace; name it with -n, without --all-namespaces".to_owned(),
            ));
        }
        return Box::pin(everywhere(cluster, args)).await;
    }
    let conclusion = if let Some(directory) = &args.from {
        let mut recording = recordings::read(directory)?;
        if let Some(target) = &args.target {
            recording.header.target = Some(parse(target, &recording.header.namespace)?);
        }
        recordings::conclude(recording)
    } else {
        let namespace = namespace(cluster)?;
        let target = args.target.as_deref().map(|text| parse(text, &namespace)).transpose()?;
        let prometheus = Prometheus::from_args(args)?;
        read(&kubectl(cluster, args), prometheus.as_ref(), &namespace, target).await?
    };
    there(&conclusion)?;
    if let Some(directory) = &args.record {
        recordings::write(directory, &conclusion)?;
    }
    let document = document(&conclusion);
    print(&match args.output {
        Some(InvestigateOutput::Json) => serialised(&document, false)?,
        Some(InvestigateOutput::Markdown) => markdown(&document),
        Some(InvestigateOutput::Html) => html::investigation(&conclusion)?,
        None => screen(&document, columns(), Palette::for_stdout()),
    })?;
    Ok(exit::for_verdict(document.verdict))
}

/// kubectl with the flags of this call.
fn kubectl(cluster: &ClusterArgs, args: &InvestigateArgs) -> Kubectl {
    let deadline = Instant::now() + args.timeout;
    Kubectl::new("kubectl", cluster.kubectl_flags(), args.request_timeout, deadline)
}

/// `-n`, or that of the context.
fn namespace(cluster: &ClusterArgs) -> Result<String> {
    if let Some(namespace) = &cluster.namespace {
        return Ok(namespace.clone());
    }
    let file = match &cluster.kubeconfig {
        Some(path) => kube::config::Kubeconfig::read_from(path),
        None => kube::config::Kubeconfig::read(),
    };
    let file = match file {
        Ok(file) => file,
        // Inside a pod there is none, and kubectl needs none.
        Err(_) if std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() => return Ok("default".to_owned()),
        Err(error) => return Err(Error::Config(error.to_string())),
    };
    let context = cluster.context.as_ref().or(file.current_context.as_ref());
    let named = file
        .contexts
        .iter()
        .find(|named| Some(&named.name) == context)
        .and_then(|named| named.context.as_ref())
        .and_then(|context| context.namespace.clone());
    Ok(named
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "default".to_owned()))
}

/// `KIND/NAME` with kubectl's short names.
fn parse(text: &str, namespace: &str) -> Result<ObjectName> {
    let wrong = || {
        Error::Input(format!(
            "`{text}` is not KIND/NAME; write for example deployment/{}, svc/web, pod/x, job/backup, hpa/web or pvc/data",
            text.rsplit('/')
                .next()
                .filter(|name| !name.is_empty())
                .unwrap_or("checkout")
        ))
    };
    let (kind, name) = text.split_once('/').ok_or_else(wrong)?;
    // `deployment.apps` is kubectl's full name.
    let kind = match kind.split('.').next().unwrap_or_default().to_ascii_lowercase().as_str() {
        "pod" | "pods" | "po" => "Pod",
        "deployment" | "deployments" | "deploy" => "Deployment",
        "replicaset" | "replicasets" | "rs" => "ReplicaSet",
        "statefulset" | "statefulsets" | "sts" => "StatefulSet",
        "daemonset" | "daemonsets" | "ds" => "DaemonSet",
        "job" | "jobs" => "Job",
        "cronjob" | "cronjobs" | "cj" => "CronJob",
        "service" | "services" | "svc" => "Service",
        "ingress" | "ingresses" | "ing" => "Ingress",
        "configmap" | "configmaps" | "cm" => "ConfigMap",
        "persistentvolumeclaim" | "persistentvolumeclaims" | "pvc" => "PersistentVolumeClaim",
        "horizontalpodautoscaler" | "horizontalpodautoscalers" | "hpa" => "HorizontalPodAutoscaler",
        _ => return Err(wrong()),
    };
    if name.is_empty() || name.contains('/') {
        return Err(wrong());
    }
    Ok(ObjectName::namespaced(kind, namespace, name))
}

/// Asks round after round until nothing is left to ask.
pub async fn read(
    kubectl: &Kubectl,
    prometheus: Option<&Prometheus>,
    namespace: &str,
    target: Option<ObjectName>,
) -> Result<Conclusion> {
    let mut investigation = Investigation::new(namespace, target, Timestamp::now());
    if prometheus.is_some() {
        investigation = investigation.with_metrics();
    }
    let tenancy = Tenancy::Namespaces(vec![namespace.to_owned()]);
    let mut progress = Progress::new(namespace);
    let mut first = true;
    loop {
        let questions = investigation.questions();
        if questions.is_empty() {
            progress.clear();
            return Ok(investigation.conclude());
        }
        progress.more(questions.len());
        let mut answers = Vec::new();
        let mut asked = futures::stream::iter(questions)
            .map(|question| {
                let tenancy = &tenancy;
                async move {
                    match prometheus {
                        Some(prometheus) if question.command.lane() == Lane::Metrics => {
                            Ok(prometheus.ask(question, tenancy).await)
                        }
                        _ => kubectl.ask(question, tenancy).await,
                    }
                }
            })
            .buffered(CONCURRENT);
        while let Some(answer) = asked.next().await {
            progress.one();
            answers.push(answer?);
        }
        if std::mem::take(&mut first) {
            reachable(&answers, namespace).inspect_err(|_| progress.clear())?;
        }
        investigation.answer(answers);
    }
}

/// Where nothing at all can be read, that is the answer.
fn reachable(answers: &[Evidence], namespace: &str) -> Result<()> {
    let doing = format!("could not read namespace {namespace}");
    let any = |states: &[EvidenceState]| answers.iter().any(|one| states.contains(&one.state));
    if any(&[EvidenceState::Complete, EvidenceState::Truncated]) {
        return Ok(());
    }
    let says = |state: EvidenceState| {
        answers
            .iter()
            .find(|one| one.state == state)
            .map(Evidence::said)
            .filter(|said| !said.is_empty())
            .unwrap_or_else(|| "kubectl said nothing".to_owned())
    };
    Err(if any(&[EvidenceState::Forbidden]) {
        Error::Refused {
            doing,
            message: says(EvidenceState::Forbidden),
        }
    } else if any(&[EvidenceState::Failed]) {
        Error::Api {
            doing,
            message: says(EvidenceState::Failed),
        }
    } else {
        Error::Unreachable {
            doing,
            cause: says(EvidenceState::TimedOut),
        }
    })
}

/// A target or a namespace that is not there is no finding.
fn there(conclusion: &Conclusion) -> Result<()> {
    let case = &conclusion.case;
    let namespace = case.namespace();
    let complete = case
        .complete_list(firewatch_core::sandbox::command::Resource::Pods)
        .is_some();
    match case.target() {
        Some(target) if complete && !is_there(case, target) => Err(Error::NotFound {
            what: format!("{target} in namespace {namespace}"),
            remedy: format!(
                "`kubectl -n {namespace} get {}` shows what there is.",
                target.kind.to_lowercase()
            ),
        }),
        // Every namespace holds a ConfigMap and a ServiceAccount of the control plane's own.
        None if complete && case.entries().all(|(name, _)| name.namespace.is_none()) => Err(Error::NotFound {
            what: format!("namespace {namespace}, or anything in it,"),
            remedy: "`kubectl get namespaces` shows those there are; -n names another.".to_owned(),
        }),
        _ => Ok(()),
    }
}

fn is_there(case: &CaseFile, target: &ObjectName) -> bool {
    case.entry(target).is_some()
        || case.events().iter().any(|event| event.object == *target)
        // Of a kind that could not be listed nothing is known.
        || case.gaps().iter().any(|gap| matches!(gap.command, firewatch_core::sandbox::command::Command::Get { .. }))
}

/// Every namespace, the worst first.
async fn everywhere(cluster: &ClusterArgs, args: &InvestigateArgs) -> Result<u8> {
    let (items, others) = match &args.from {
        Some(directory) => {
            let mut items = Vec::new();
            for path in recordings::below(directory)? {
                items.push(document(&recordings::conclude(recordings::read(&path)?)));
            }
            items.sort_by_key(|item| item.workloads.first().map_or(Level::Well, |worst| worst.level));
            (items, Vec::new())
        }
        None => survey(cluster, args).await?,
    };
    let verdict = items
        .iter()
        .map(|item| item.verdict)
        .fold(Verdict::Healthy, |all, one| match (all, one) {
            (Verdict::Found, _) | (_, Verdict::Found) => Verdict::Found,
            (Verdict::Unexplained, _) | (_, Verdict::Unexplained) => Verdict::Unexplained,
            _ => Verdict::Healthy,
        });
    match args.output {
        Some(InvestigateOutput::Json) => print(&serialised(
            &List {
                kind: "InvestigationList",
                items,
                others,
            },
            false,
        )?)?,
        Some(InvestigateOutput::Markdown) => print(&items.iter().map(markdown).collect::<Vec<_>>().join("\n"))?,
        None | Some(InvestigateOutput::Html) => {
            let others: Vec<(String, Vec<Standing>)> = others
                .into_iter()
                .map(|other| (other.namespace, other.workloads))
                .collect();
            let palette = Palette::for_stdout();
            print(&table(&items, &others, columns(), palette))?;
            if let Some(worst) = items.first().filter(|item| item.verdict != Verdict::Healthy) {
                print(&format!("\n{}", screen(worst, columns(), palette)))?;
            }
        }
    }
    Ok(exit::for_verdict(verdict))
}

async fn survey(cluster: &ClusterArgs, args: &InvestigateArgs) -> Result<(Vec<InvestigationDocument>, Vec<Elsewhere>)> {
    let kubectl = kubectl(cluster, args);
    let prometheus = Prometheus::from_args(args)?;
    let arguments = ["get", SURVEYED, "--all-namespaces", "--output=json"].map(str::to_owned);
    let mut progress = Progress::new("all namespaces");
    progress.more(1);
    let ran = kubectl.run(&arguments).await?;
    progress.clear();
    let doing = "could not list the pods of all namespaces".to_owned();
    match ran.state {
        EvidenceState::Complete => {}
        EvidenceState::Truncated => {
            return Err(Error::State(
                "the cluster's pods are too many to be listed at once; name a namespace with -n".to_owned(),
            ));
        }
        EvidenceState::Forbidden => {
            return Err(Error::Refused {
                doing,
                message: format!("{}. Name a namespace that you may read with -n", ran.stderr),
            });
        }
        EvidenceState::TimedOut => {
            return Err(Error::Unreachable {
                doing,
                cause: ran.stderr,
            });
        }
        EvidenceState::NotFound | EvidenceState::Failed => {
            return Err(Error::Api {
                doing,
                message: ran.stderr,
            });
        }
    }
    let found = standing::survey(&String::from_utf8_lossy(&ran.stdout), Timestamp::now());
    let is_sick = |list: &[Standing]| list.iter().any(|standing| standing.level < Level::Restarted);
    let mut items = Vec::new();
    let mut others = Vec::new();
    for (namespace, workloads) in found {
        if items.len() < NAMESPACES && is_sick(&workloads) {
            let conclusion = read(&kubectl, prometheus.as_ref(), &namespace, None).await?;
            if let Some(directory) = &args.record {
                recordings::write(&directory.join(&namespace), &conclusion)?;
            }
            items.push(document(&conclusion));
        } else {
            others.push(Elsewhere { namespace, workloads });
        }
    }
    Ok((items, others))
}

/// One line on the terminal while it reads; nothing where standard error is none.
struct Progress {
    shown: bool,
    about: String,
    done: usize,
    all: usize,
}

impl Progress {
    fn new(about: &str) -> Self {
        Self {
            shown: std::io::stderr().is_terminal(),
            about: about.to_owned(),
            done: 0,
            all: 0,
        }
    }

    fn more(&mut self, count: usize) {
        self.all += count;
        self.draw();
    }

    fn one(&mut self) {
        self.done += 1;
        self.draw();
    }

    fn draw(&self) {
        if self.shown {
            eprint!("\r\u{1b}[Kreading {}: {} of {}", self.about, self.done, self.all);
            // A terminal that cannot be written to shows no progress.
            let _ = std::io::stderr().flush();
        }
    }

    fn clear(&self) {
        if self.shown {
            eprint!("\r\u{1b}[K");
            let _ = std::io::stderr().flush();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn kubectls_short_names_are_understood_and_anything_else_is_told() {
        for (text, kind) in [
            ("deploy/web", "Deployment"),
            ("deployments.apps/web", "Deployment"),
            ("po/web", "Pod"),
            ("SVC/web", "Service"),
            ("hpa/web", "HorizontalPodAutoscaler"),
        ] {
            assert_eq!(
                parse(text, "shop").unwrap(),
                ObjectName::namespaced(kind, "shop", "web")
            );
        }
        for text in ["web", "deploy/", "deploy/a/b", "secret/x"] {
            let error = parse(text, "shop").unwrap_err();
            assert_eq!(error.exit_code(), exit::USAGE);
            assert!(error.to_string().contains("KIND/NAME"), "{error}");
        }
    }
}
