//! `kubectl incident run SCENARIO`: makes a namespace, breaks a workload in it, waits until it is really broken, asks Firewatch,
//! puts the plan before the person, and checks that the workload is really well again. Cleans up, also after Ctrl-C.

use std::io::IsTerminal;
use std::path::Path;
use std::time::Duration;

use firewatch_core::api::{ActionType, ApprovalState, Incident, IncidentStatus, ObjectName, Outcome, Phase};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use kube::api::PostParams;
use serde::Serialize;

use super::{board, columns, confirmed, decide, interactive, investigate, print, report, serialised, watch};
use crate::cli::RunArgs;
use crate::cluster::Cluster;
use crate::error::{Error, Result};
use crate::exit;
use crate::kubectl::Kubectl;
use crate::recordings;
use crate::render::style::{Palette, Tone};
use crate::render::watch::news;
use crate::scenario::files::Library;
use crate::scenario::{Scenario, apply, check, replayed, steps};

/// What a run came to.
#[derive(Serialize, Debug, Default)]
#[serde(rename_all = "camelCase")]
pub(super) struct Summary {
    pub scenario: String,
    pub namespace: String,
    pub incident: Option<String>,
    pub outcome: Option<Outcome>,
    /// The cause, in a sentence.
    pub cause: Option<String>,
    /// `Kind/name` of what it is at.
    pub object: Option<String>,
    /// Computed from evidence.
    pub confidence: Option<String>,
    /// Types of the actions that the plan has.
    pub actions: Vec<ActionType>,
    /// Whether the scenario's own health check held at the end; absent where nothing was to be repaired by Firewatch.
    pub fixed: Option<bool>,
    /// From the incident's creation to its end.
    pub seconds: Option<u64>,
    /// What differs from the expectation. Empty: nothing.
    pub differences: Vec<String>,
    /// The whole story.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report: Option<firewatch_core::report::ResponseDocument>,
}

impl Summary {
    /// What the incident came to.
    fn tells(&mut self, status: Option<&IncidentStatus>) {
        let Some(status) = status else { return };
        if let Some(cause) = &status.root_cause {
            self.cause = Some(cause.summary.clone());
            self.object = Some(cause.object.to_string());
            self.confidence = Some(cause.confidence.clone());
        }
        if let Some(plan) = &status.plan {
            self.actions = plan.actions.iter().map(|action| action.action_type).collect();
        }
    }
}

/// Whether a scoreboard is asked for.
pub(super) fn several(args: &RunArgs) -> bool {
    args.scenario.len() != 1
}

fn library(args: &RunArgs) -> Library {
    args.scenarios
        .as_deref()
        .map_or_else(Library::built_in, Library::in_directory)
}

/// Lists the scenarios.
pub fn list(args: &RunArgs) -> Result<u8> {
    let library = library(args);
    for name in library.names()? {
        print(&format!("{name:<20} {}\n", library.scenario(&name)?.title))?;
    }
    Ok(exit::OK)
}

/// Runs one scenario, or several with a scoreboard.
pub async fn run(cluster: &Cluster, args: &RunArgs) -> Result<u8> {
    let library = library(args);
    let [name] = args.scenario.as_slice() else {
        return Box::pin(board::run(cluster, &library, args)).await;
    };
    let summary = one(cluster, &library, name, args).await?;
    if args.output.is_some() {
        print(&serialised(&summary, false)?)?;
    }
    if !summary.differences.is_empty() {
        return Ok(exit::UNEXPECTED);
    }
    if summary.outcome.is_some() {
        say("as expected", Tone::Good);
    }
    Ok(exit::OK)
}

/// One scenario from its namespace's beginning to its end.
pub(super) async fn one(cluster: &Cluster, library: &Library, name: &str, args: &RunArgs) -> Result<Summary> {
    let scenario = library.scenario(name)?;
    let id: String = uuid::Uuid::new_v4().simple().to_string().chars().take(5).collect();
    let namespace = if cluster.namespace_given {
        cluster.namespace.clone()
    } else {
        // A recording has the same names each time.
        let id = if args.record.is_some() { "1" } else { &id };
        scenario.namespace.replace("{id}", id)
    };
    let cluster = cluster.in_namespace(&namespace);

    say(&format!("scenario {name}: {}", scenario.title), Tone::Strong);
    let made = apply::namespace(&cluster, &namespace).await?;
    say(
        &format!(
            "namespace {namespace}{}",
            if made { "" } else { " (was there; it stays)" }
        ),
        Tone::Faint,
    );
    if made
        && !args.by_hand
        && args.record.is_none()
        && let Err(error) = apply::opt_in(&cluster).await
    {
        say(
            &format!(
                "the plan will be shown but not carried out, since this namespace cannot be opted in to repairs: {error}"
            ),
            Tone::Warn,
        );
    }
    let result = tokio::select! {
        result = play(&cluster, library, &scenario, args) => result,
        () = interrupted() => Err(Error::Interrupted),
    };
    if made && !args.keep && !args.break_only {
        say(&format!("deleting namespace {namespace}"), Tone::Faint);
        apply::delete_namespace(&cluster, &namespace).await?;
    } else {
        say(
            &format!("left behind: namespace {namespace}. To remove it: kubectl delete namespace {namespace}"),
            Tone::Faint,
        );
    }
    let summary = result?;
    for difference in &summary.differences {
        say(&format!("NOT as expected: {difference}"), Tone::Bad);
    }
    Ok(summary)
}

/// Ctrl-C, or SIGTERM as a test or a service manager sends it.
async fn interrupted() {
    let terminated = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        result = tokio::signal::ctrl_c() => if result.is_err() { std::future::pending::<()>().await },
        () = terminated => {}
    }
}

/// The story goes to standard error: standard output is for the document of `-o json` and for the report.
fn say(text: &str, tone: Tone) {
    let palette = if std::io::stderr().is_terminal() {
        Palette::for_stdout()
    } else {
        Palette::plain()
    };
    line(&palette.paint(tone, text));
}

tokio::task_local! {
    /// Which of several scenarios speaks.
    pub(super) static SPEAKER: String;
}

/// One line of the story.
fn line(text: &str) {
    match SPEAKER.try_with(|name| eprintln!("{name:<22} {text}")) {
        Ok(()) => {}
        Err(_) => eprintln!("{text}"),
    }
}

async fn play(cluster: &Cluster, library: &Library, scenario: &Scenario, args: &RunArgs) -> Result<Summary> {
    let mut summary = Summary {
        scenario: scenario.name.clone(),
        namespace: cluster.namespace.clone(),
        ..Summary::default()
    };
    let took = steps::breaks(cluster, library, scenario, |text| say(text, Tone::Faint)).await?;
    say(&format!("broken after {} s", took.as_secs()), Tone::Warn);
    if args.break_only {
        say(
            &format!(
                "now ask Firewatch: kubectl apply -n {} -f scenarios/{}/incident.yaml",
                cluster.namespace, scenario.name
            ),
            Tone::Strong,
        );
        return Ok(summary);
    }
    if let Some(directory) = &args.record {
        let (status, differences) = record(cluster, library, scenario, directory).await?;
        summary.outcome = status.outcome;
        summary.tells(Some(&status));
        summary.differences = differences;
        return Ok(summary);
    }
    if args.by_hand {
        by_hand(cluster, scenario).await?;
    } else {
        let began = tokio::time::Instant::now();
        let incident = create(cluster, library, scenario).await?;
        let name = incident.name_any();
        summary.incident = Some(name.clone());
        let outcome = Box::pin(attend(cluster, &name, args)).await?;
        summary.outcome = Some(outcome);
        summary.seconds = Some(began.elapsed().as_secs());
        let over = cluster.incident(&name).await?;
        summary.tells(over.status.as_ref());
        let document = report::of(cluster, &over).await;
        if args.output.is_none() && !several(args) {
            print(&firewatch_core::report::markdown(&document))?;
        }
        summary.report = Some(document);
        summary.differences = scenario.expected.differences(&over.status.unwrap_or_default());
        if !matches!(outcome, Outcome::Remediated | Outcome::NoActionRequired) {
            return Ok(summary);
        }
    }
    say("checking that the workload is well, and stays so", Tone::Faint);
    match check::wait(cluster, &scenario.health, "the health check").await {
        Ok(took) => {
            summary.fixed = Some(true);
            say(
                &format!(
                    "well after {} s, and stayed so for {} s",
                    took.as_secs(),
                    scenario.health.settle_seconds
                ),
                Tone::Good,
            );
        }
        Err(Error::TimedOut(why)) => {
            summary.fixed = Some(false);
            summary.differences.push(why);
        }
        Err(other) => return Err(other),
    }
    Ok(summary)
}

/// Keeps what an investigation reads, and says what differs from the expectation.
async fn record(
    cluster: &Cluster,
    library: &Library,
    scenario: &Scenario,
    directory: &Path,
) -> Result<(IncidentStatus, Vec<String>)> {
    let spec = incident(library, scenario)?.spec;
    let target = spec
        .target
        .map(|target| ObjectName::namespaced(target.kind, cluster.namespace.clone(), target.name));
    // The namespace is part of each command.
    let flags = cluster
        .kubectl_flags()
        .into_iter()
        .filter(|flag| !flag.starts_with("--namespace="))
        .collect();
    let deadline = tokio::time::Instant::now() + Duration::from_mins(2);
    let kubectl = Kubectl::new("kubectl", flags, Duration::from_secs(15), deadline);
    let conclusion = investigate::read(&kubectl, None, &cluster.namespace, target).await?;
    let path = recordings::write(&directory.join(&scenario.name).join("recorded"), &conclusion)?;
    let size = std::fs::metadata(&path).map_or(0, |file| file.len());
    say(
        &format!(
            "{}: {} pieces of evidence, {size} bytes",
            path.display(),
            conclusion.evidence.len()
        ),
        Tone::Strong,
    );
    let status = replayed::status(&conclusion);
    let differences = scenario.expected.differences(&status);
    Ok((status, differences))
}

fn incident(library: &Library, scenario: &Scenario) -> Result<Incident> {
    let object = library
        .objects(&scenario.name, "incident.yaml")?
        .into_iter()
        .next()
        .unwrap_or_default();
    serde_json::from_value(object).map_err(|e| Error::Input(format!("scenarios/{}/incident.yaml: {e}", scenario.name)))
}

async fn create(cluster: &Cluster, library: &Library, scenario: &Scenario) -> Result<Incident> {
    let incident = incident(library, scenario)?;
    say(
        &format!("incident {}: {}", incident.name_any(), incident.spec.title),
        Tone::Strong,
    );
    cluster
        .incidents()
        .create(&PostParams::default(), &incident)
        .await
        .map_err(|error| Error::from_kube("create the incident", &error))
}

/// Follows the incident, and puts its plan before the person (or approves it, with `--yes`).
async fn attend(cluster: &Cluster, name: &str, args: &RunArgs) -> Result<Outcome> {
    let mut told: Option<Incident> = None;
    let mut asked: Option<String> = None;
    let follow = watch::follow(cluster, name, Some(args.timeout), async |incident| {
        let status = incident.status.clone().unwrap_or_default();
        let before = told.as_ref().and_then(|seen| seen.status.as_ref());
        let palette = if std::io::stderr().is_terminal() {
            Palette::for_stdout()
        } else {
            Palette::plain()
        };
        for news in news(before, &status, columns(), palette) {
            line(&news);
        }
        told = Some(incident.clone());
        let waits = status.phase == Phase::AwaitingApproval
            && matches!(status.approval_state, None | Some(ApprovalState::Pending));
        let approval = status.approval_ref.as_ref().map(|reference| reference.uid.clone());
        if waits && approval.is_some() && approval != asked {
            asked = approval;
            Box::pin(put_before_person(cluster, name, args)).await?;
        }
        Ok(())
    });
    Box::pin(follow).await
}

async fn put_before_person(cluster: &Cluster, name: &str, args: &RunArgs) -> Result<()> {
    let (incident, approval) = match decide::pending(cluster, name).await {
        Ok(pending) => pending,
        // Somebody else was quicker; the watch goes on and tells how it ends.
        Err(Error::State(why)) => {
            say(&why, Tone::Faint);
            return Ok(());
        }
        Err(other) => return Err(other),
    };
    for row in decide::sheet(&incident, &approval, Timestamp::now()) {
        line(&row);
    }
    decide::guard(&incident, &approval)?;
    let me = cluster.whoami().await?;
    let approved = if args.yes || several(args) {
        true
    } else if interactive() {
        confirmed(&format!("Carry out exactly this, as {me}?"), true).await?
    } else {
        say("waiting for your decision, in another terminal:", Tone::Warn);
        line(&format!("  kubectl incident approve {name} -n {}", cluster.namespace));
        if let Some(command) = approval
            .status
            .as_ref()
            .and_then(|status| status.approve_command.as_deref())
        {
            line(&format!("  {}", crate::render::text::clean(command)));
        }
        return Ok(());
    };
    let (change, verb, done) = if approved {
        (
            decide::approval_patch(&approval, &me, Some("approved in kubectl incident run"))?,
            "approve",
            "approved",
        )
    } else {
        (
            serde_json::json!({"spec": {"decision": "Rejected", "approver": me, "reason": "rejected in kubectl incident run"}}),
            "reject",
            "rejected",
        )
    };
    decide::write(cluster, &approval, &change, verb).await?;
    say(&format!("{done} by {me}"), Tone::Strong);
    Ok(())
}

/// Repairs by the scenario's own commands. They come from the scenario's author, not from the cluster.
async fn by_hand(cluster: &Cluster, scenario: &Scenario) -> Result<()> {
    for argv in &scenario.fix {
        steps::command(cluster, argv, |text| say(text, Tone::Strong)).await?;
    }
    Ok(())
}
