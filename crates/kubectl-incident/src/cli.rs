//! The command line: what people type, and nothing else. Parsed by `main`; a command gets its own arguments only.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use firewatch_core::api::{Phase, Severity};

use crate::exit;

/// Firewatch incidents: what is wrong, why, what would repair it, and your decision about it.
#[derive(Parser, Debug)]
#[command(name = "kubectl-incident", bin_name = "kubectl incident", version, after_help = exit::HELP, max_term_width = 100)]
pub struct Cli {
    /// Which cluster, and as whom.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The standard flags of kubectl.
#[derive(Args, Debug, Clone, Default)]
pub struct ClusterArgs {
    /// Namespace [default: that of the context].
    #[arg(short, long, global = true, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
    /// Context of the kubeconfig [default: the current one].
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// Path of the kubeconfig [default: KUBECONFIG, then ~/.kube/config].
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// User name to impersonate. An approval is then given in that name, if the API server lets you.
    #[arg(long = "as", global = true, value_name = "USER")]
    pub impersonate: Option<String>,
    /// Group to impersonate; may be repeated.
    #[arg(long = "as-group", global = true, value_name = "GROUP", requires = "impersonate")]
    pub impersonate_groups: Vec<String>,
}

/// What can be done.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// List incidents: where each stands and what caused it.
    #[command(visible_aliases = ["ls", "get"])]
    List(ListArgs),
    /// Show one incident on one screen: cause, evidence, plan, and what to do now.
    Show(ShowArgs),
    /// Follow an incident until it is over: the exit code tells how it ended. Without a name: all of them, as they change.
    Watch(WatchArgs),
    /// Approve the plan that waits, after showing exactly what will be done.
    Approve(ApproveArgs),
    /// Reject the plan that waits. The incident ends, and nothing is changed.
    Reject(RejectArgs),
    /// Print the whole story of an incident.
    Report(ReportArgs),
    /// Say why this cause and not another, how sure that is, and what would tell them apart.
    Explain(ExplainArgs),
    /// Say which ResponsePolicy holds in a namespace, and what it allows.
    Policy(PolicyArgs),
    /// Look whether the installation is healthy; each fault is named with its remedy.
    Doctor(DoctorArgs),
    /// Print the completion script of a shell: `source <(kubectl-incident completion bash)`.
    Completion(CompletionArgs),
    /// Write the manual pages, one for each command, into a directory.
    Man(ManArgs),
    /// Break a workload of its own in a new namespace, and show Firewatch at work on it.
    Run(RunArgs),
    /// Stop an incident: nothing new is started, and a plan that was not begun is never carried out.
    Cancel(CancelArgs),
    /// Say at once what is wrong and why, with your own kubectl and rights. Nothing is installed, nothing is changed.
    #[command(visible_alias = "why")]
    Investigate(InvestigateArgs),
}

/// Arguments of `list`.
#[derive(Args, Debug)]
pub struct ListArgs {
    /// All namespaces.
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// Only incidents that are not over.
    #[arg(long)]
    pub active: bool,
    /// Only of this severity, or of several: `critical,high`. As triage assessed it, until then as it was asked for.
    #[arg(long, value_delimiter = ',', value_parser = severity, value_name = "SEVERITY")]
    pub severity: Vec<Severity>,
    /// Only in this phase, or in one of several: `awaitingapproval,executing`.
    #[arg(long, value_delimiter = ',', value_parser = phase, value_name = "PHASE")]
    pub phase: Vec<Phase>,
    /// Only those made in the last so long: `45m`, `12h`, `7d`.
    #[arg(long, value_parser = duration, value_name = "TIME")]
    pub since: Option<Duration>,
    /// Label selector.
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    pub selector: Option<String>,
    /// How to print.
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    pub output: Option<ListOutput>,
}

/// How `list` prints.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListOutput {
    /// More columns, nothing cut.
    Wide,
    /// The objects as JSON.
    Json,
    /// The objects as YAML.
    Yaml,
    /// Names only.
    Name,
}

/// Arguments of `show`.
#[derive(Args, Debug)]
pub struct ShowArgs {
    /// The incident.
    pub name: String,
    /// Everything, however long: all evidence, findings and whole commands.
    #[arg(long)]
    pub full: bool,
    /// How to print.
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    pub output: Option<ObjectOutput>,
}

/// How an object is printed.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectOutput {
    /// As JSON.
    Json,
    /// As YAML.
    Yaml,
}

/// Arguments of `watch`.
#[derive(Args, Debug)]
pub struct WatchArgs {
    /// The incident. Without it all are followed: as a table on a terminal, else as a line for each change.
    pub name: Option<String>,
    /// All namespaces.
    #[arg(short = 'A', long, conflicts_with = "name")]
    pub all_namespaces: bool,
    /// Label selector.
    #[arg(short = 'l', long, value_name = "SELECTOR", conflicts_with = "name")]
    pub selector: Option<String>,
    /// Give up after this long: `90s`, `15m`, `1h`. Of all incidents: stop then.
    #[arg(long, value_parser = duration, value_name = "TIME")]
    pub timeout: Option<Duration>,
    /// `json` prints one object for each step.
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    pub output: Option<JsonOutput>,
}

/// For commands whose only other form is JSON.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonOutput {
    /// As JSON.
    Json,
}

/// Arguments of `approve`.
#[derive(Args, Debug)]
pub struct ApproveArgs {
    /// The incident.
    pub name: String,
    /// Confirm as the second person what another has approved, and nothing else: refused while nobody has, or where one is enough.
    #[arg(long)]
    pub confirm: bool,
    /// Why; kept with the decision.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Do not ask. The plan is printed all the same.
    #[arg(short, long)]
    pub yes: bool,
}

/// Arguments of `reject`.
#[derive(Args, Debug)]
pub struct RejectArgs {
    /// The incident.
    pub name: String,
    /// Why; kept with the decision.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Do not ask.
    #[arg(short, long)]
    pub yes: bool,
}

/// Arguments of `report`.
#[derive(Args, Debug)]
pub struct ReportArgs {
    /// The incident.
    pub name: String,
    /// How to print.
    #[arg(short, long, value_enum, default_value = "markdown", value_name = "FORMAT")]
    pub output: ReportOutput,
}

/// Arguments of `explain`.
#[derive(Args, Debug)]
pub struct ExplainArgs {
    /// The incident.
    pub name: String,
    /// How to print.
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    pub output: Option<JsonOutput>,
}

/// Arguments of `policy`; the namespace is that of `-n`.
#[derive(Args, Debug)]
pub struct PolicyArgs {
    /// Say which plans of past incidents would have been approved by a policy, and for each other one the first reason.
    #[arg(long)]
    pub dry_run: bool,
    /// The ResponsePolicy to try [default: those that are there].
    #[arg(value_name = "NAME", requires = "dry_run", conflicts_with = "file")]
    pub name: Option<String>,
    /// A ResponsePolicy that is not in the cluster, or would take the place of the one of its name; `-` reads it from standard input.
    #[arg(short, long, value_name = "FILE", requires = "dry_run")]
    pub file: Option<PathBuf>,
    /// How far back: `45m`, `12h`, `30d`.
    #[arg(long, value_parser = duration, default_value = "30d", value_name = "TIME")]
    pub since: Duration,
    /// All namespaces.
    #[arg(short = 'A', long, requires = "dry_run")]
    pub all_namespaces: bool,
    /// How to print.
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    pub output: Option<JsonOutput>,
}

/// Arguments of `doctor`.
#[derive(Args, Debug)]
pub struct DoctorArgs {
    /// Namespace of the operator [default: where its Deployment is found, else firewatch-system].
    #[arg(long, value_name = "NAMESPACE")]
    pub operator_namespace: Option<String>,
    /// How to print.
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    pub output: Option<JsonOutput>,
}

/// Arguments of `completion`.
#[derive(Args, Debug)]
pub struct CompletionArgs {
    /// The shell.
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// Arguments of `man`.
#[derive(Args, Debug)]
pub struct ManArgs {
    /// Where, as in `~/.local/share/man/man1`; it is made if it is not there.
    pub directory: PathBuf,
}

/// How a report is printed.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportOutput {
    /// The one document per investigation, as JSON.
    Json,
    /// For people.
    #[value(alias = "md")]
    Markdown,
    /// One file for a browser or a printer; it loads nothing.
    Html,
}

/// Arguments of `run`.
#[derive(Args, Debug)]
pub struct RunArgs {
    /// The scenario, or several: then nobody is asked (`--yes`), and a scoreboard comes at the end. Without it: the list of scenarios.
    #[arg(value_name = "SCENARIO")]
    pub scenario: Vec<String>,
    /// All scenarios.
    #[arg(long, conflicts_with = "scenario")]
    pub all: bool,
    /// So many of several at the same time.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=16), value_name = "NUMBER")]
    pub jobs: u8,
    /// Read scenarios from this directory instead of the built-in ones.
    #[arg(long, value_name = "DIR")]
    pub scenarios: Option<PathBuf>,
    /// Leave the namespace behind.
    #[arg(long)]
    pub keep: bool,
    /// Approve the plan without asking. It is printed all the same.
    #[arg(short, long)]
    pub yes: bool,
    /// Break the workload, wait for the symptom, and stop there; the namespace stays.
    #[arg(long, conflicts_with_all = ["yes", "by_hand"])]
    pub break_only: bool,
    /// No incident: repair by the scenario's own commands, with your kubectl, to see that scenario and health check are true.
    #[arg(long, conflicts_with = "yes")]
    pub by_hand: bool,
    /// No incident: break the workload, read it with your kubectl, keep what was read in DIR/SCENARIO/recorded, and clean up. The
    /// exit code tells whether the diagnosis is what the scenario expects.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["yes", "by_hand", "break_only"])]
    pub record: Option<PathBuf>,
    /// How long the incident may take: `15m`.
    #[arg(long, value_parser = duration, default_value = "15m", value_name = "TIME")]
    pub timeout: Duration,
    /// `json`: one document at the end, on standard output; the story goes to standard error.
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    pub output: Option<JsonOutput>,
}

/// Arguments of `cancel`.
#[derive(Args, Debug)]
pub struct CancelArgs {
    /// The incident.
    pub name: String,
    /// Do not ask.
    #[arg(short, long)]
    pub yes: bool,
}

/// Arguments of `investigate`.
#[derive(Args, Debug, Clone)]
pub struct InvestigateArgs {
    /// What is in trouble: `deployment/checkout`, `svc/web`, `pod/x`. Without it: the whole namespace.
    #[arg(value_name = "KIND/NAME", conflicts_with = "all_namespaces")]
    pub target: Option<String>,
    /// Every namespace, the worst first.
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// How to print.
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    pub output: Option<InvestigateOutput>,
    /// Keep everything that was read, redacted, in this directory.
    #[arg(long, value_name = "DIR", conflicts_with = "from")]
    pub record: Option<PathBuf>,
    /// Read what was kept in this directory; no cluster is asked.
    #[arg(long, value_name = "DIR")]
    pub from: Option<PathBuf>,
    /// Base URL of a Prometheus that measures the cluster, as you reach it (`http://localhost:9090` behind a port-forward): memory,
    /// processor time, throttling, restarts and requests of the last hour are read, too.
    #[arg(long, value_name = "URL", conflicts_with = "from")]
    pub prometheus: Option<String>,
    /// File that holds a bearer token for it.
    #[arg(long, value_name = "FILE", requires = "prometheus")]
    pub prometheus_token_file: Option<PathBuf>,
    /// PEM file of a certificate authority to trust for it, in place of the usual ones.
    #[arg(long, value_name = "FILE", requires = "prometheus")]
    pub prometheus_ca_file: Option<PathBuf>,
    /// Longest time for one answer of the API server.
    #[arg(long, value_parser = duration, default_value = "15s", value_name = "TIME")]
    pub request_timeout: Duration,
    /// Longest time for everything; what was not read by then is said.
    #[arg(long, value_parser = duration, default_value = "90s", value_name = "TIME")]
    pub timeout: Duration,
}

/// How `investigate` prints.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvestigateOutput {
    /// The whole document, as JSON.
    Json,
    /// For an incident channel or a ticket.
    #[value(alias = "md")]
    Markdown,
    /// One file for a browser or a printer, with what was read; it loads nothing.
    Html,
}

impl ClusterArgs {
    /// The flags that reach the same cluster with kubectl, as the same user; without the namespace.
    pub fn kubectl_flags(&self) -> Vec<String> {
        let mut flags = Vec::new();
        let mut flag = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                flags.push(format!("--{name}={value}"));
            }
        };
        flag("context", self.context.clone());
        flag(
            "kubeconfig",
            self.kubeconfig.as_ref().map(|path| path.display().to_string()),
        );
        flag("as", self.impersonate.clone());
        for group in &self.impersonate_groups {
            flag("as-group", Some(group.clone()));
        }
        flags
    }
}

/// One of the severities.
fn severity(text: &str) -> Result<Severity, String> {
    one_of(
        text,
        &[Severity::Critical, Severity::High, Severity::Medium, Severity::Low],
    )
}

/// One of the phases, in any case.
fn phase(text: &str) -> Result<Phase, String> {
    one_of(
        text,
        &[
            Phase::Pending,
            Phase::Triaging,
            Phase::Investigating,
            Phase::Diagnosing,
            Phase::Planning,
            Phase::Reviewing,
            Phase::AwaitingApproval,
            Phase::Executing,
            Phase::Verifying,
            Phase::RollingBack,
            Phase::Blocked,
            Phase::Completed,
        ],
    )
}

fn one_of<T: Copy + ToString>(text: &str, all: &[T]) -> Result<T, String> {
    all.iter()
        .find(|one| one.to_string().eq_ignore_ascii_case(text))
        .copied()
        .ok_or_else(|| {
            let names: Vec<String> = all.iter().map(ToString::to_string).collect();
            format!("there is none of that name; write one of {}", names.join(", "))
        })
}

/// `90s`, `15m`, `1h`, `7d`, `45` (seconds).
fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let factor = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(format!("`{unit}` is not a unit of time; write 90s, 15m or 1h")),
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|n| n.checked_mul(factor))
        .filter(|seconds| *seconds > 0)
        .map(Duration::from_secs)
        .ok_or_else(|| "write a number and a unit: 90s, 15m or 1h".to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn kubectls_flags_may_stand_before_and_after_the_command() {
        for line in [
            ["kubectl-incident", "-n", "shop", "show", "checkout"],
            ["kubectl-incident", "show", "checkout", "-n", "shop"],
        ] {
            let cli = Cli::try_parse_from(line).unwrap();
            assert_eq!(cli.cluster.namespace.as_deref(), Some("shop"));
            let Command::Show(show) = cli.command else {
                panic!("not show")
            };
            assert_eq!(show.name, "checkout");
        }
    }

    #[test]
    fn as_becomes_an_impersonated_user() {
        let cli = Cli::try_parse_from(["x", "approve", "a", "--as", "alice", "--as-group", "sre", "--yes"]).unwrap();
        assert_eq!(cli.cluster.impersonate.as_deref(), Some("alice"));
        assert_eq!(cli.cluster.impersonate_groups, ["sre"]);
    }

    #[test]
    fn times_need_a_known_unit() {
        assert_eq!(duration("15m"), Ok(Duration::from_mins(15)));
        assert_eq!(duration("45"), Ok(Duration::from_secs(45)));
        assert!(duration("0s").is_err());
        assert!(duration("m").is_err());
        assert!(duration("5 weeks").unwrap_err().contains("15m"));
    }

    #[test]
    fn severities_and_phases_are_told_when_they_are_misspelt() {
        let Ok(cli) = Cli::try_parse_from([
            "x",
            "get",
            "--severity",
            "critical,High",
            "--phase",
            "awaitingapproval",
            "--since",
            "7d",
        ]) else {
            panic!("not read")
        };
        let Command::List(list) = cli.command else {
            panic!("not list")
        };
        assert_eq!(list.severity, [Severity::Critical, Severity::High]);
        assert_eq!(list.phase, [Phase::AwaitingApproval]);
        assert_eq!(list.since, Some(Duration::from_hours(168)));
        let error = Cli::try_parse_from(["x", "list", "--phase", "waiting"])
            .unwrap_err()
            .to_string();
        assert!(error.contains("AwaitingApproval"), "{error}");
        let error = Cli::try_parse_from(["x", "list", "--severity", "bad"])
            .unwrap_err()
            .to_string();
        assert!(error.contains("critical, high, medium, low"), "{error}");
    }

    #[test]
    fn run_without_a_scenario_is_a_list_and_break_only_excludes_approving() {
        let cli = Cli::try_parse_from(["x", "run"]).unwrap();
        let Command::Run(run) = cli.command else {
            panic!("not run")
        };
        assert!(run.scenario.is_empty());
        assert!(Cli::try_parse_from(["x", "run", "crashloop", "--break-only", "--yes"]).is_err());
    }
}
