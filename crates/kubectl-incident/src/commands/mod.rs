//! One file for each command. Each gets the cluster and its own arguments, and answers with the process's exit code.

mod board;
pub mod cancel;
pub mod decide;
pub mod doctor;
pub mod explain;
pub mod investigate;
pub mod list;
pub mod policy;
pub mod rehearse;
pub mod report;
pub mod run;
pub mod show;
pub mod watch;
mod watch_many;

#[cfg(test)]
mod tests;

use std::io::{BufRead, IsTerminal, Write};

use firewatch_core::api::{Incident, RemediationApproval};

use crate::cluster::Cluster;
use crate::error::{Error, Result};

/// Columns of the terminal; 80 where there is none, and never more than 120, since longer lines are hard to read.
pub fn columns() -> usize {
    terminal_size::terminal_size().map_or(80, |(width, _)| usize::from(width.0).clamp(60, 120))
}

/// Prints a value as JSON or YAML.
pub(crate) fn serialised(value: &impl serde::Serialize, yaml: bool) -> Result<String> {
    if yaml {
        serde_saphyr::to_string(value).map_err(|e| Error::Input(format!("cannot be written as YAML: {e}")))
    } else {
        serde_json::to_string_pretty(value)
            .map(|text| text + "\n")
            .map_err(|e| Error::Input(format!("cannot be written as JSON: {e}")))
    }
}

/// Writes to standard output; a closed pipe (`| head`) is an error value, not a panic.
pub(crate) fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// Prints the completion script of a shell.
pub fn completion(shell: clap_complete::Shell) -> Result<u8> {
    let mut command = <crate::cli::Cli as clap::CommandFactory>::command();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "kubectl-incident", &mut script);
    print(&String::from_utf8_lossy(&script))?;
    Ok(crate::exit::OK)
}

/// Writes the manual pages: `kubectl-incident.1` and one for each command, which `man kubectl-incident-list` finds.
pub fn man(directory: &std::path::Path) -> Result<u8> {
    let wrong = |error: std::io::Error| Error::Input(format!("{}: {error}", directory.display()));
    std::fs::create_dir_all(directory).map_err(wrong)?;
    // Without its name as a plugin: pages are found by the name of the program.
    let command = <crate::cli::Cli as clap::CommandFactory>::command()
        .bin_name("kubectl-incident")
        .disable_help_subcommand(true);
    clap_mangen::generate_to(command, directory).map_err(wrong)?;
    Ok(crate::exit::OK)
}

/// Whether there is somebody to ask.
pub(crate) fn interactive() -> bool {
    std::io::stdin().is_terminal()
}

/// Asks a yes-or-no question on the terminal. Without a terminal the answer must be on the command line.
pub(crate) async fn confirmed(question: &str, interactive: bool) -> Result<bool> {
    if !interactive {
        return Err(Error::State(
            "there is no terminal to ask on; read the plan, then say --yes".to_owned(),
        ));
    }
    eprint!("{question} [y/N] ");
    std::io::stderr().flush()?;
    let answer = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line).map(|_| line)
    })
    .await
    .map_err(|_| Error::Interrupted)??;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes" | "Yes"))
}

/// The approval that an incident's status names, if it exists and may be read.
pub(crate) async fn approval_of(cluster: &Cluster, incident: &Incident) -> Result<Option<RemediationApproval>> {
    let Some(reference) = incident.status.as_ref().and_then(|status| status.approval_ref.as_ref()) else {
        return Ok(None);
    };
    cluster
        .approvals()
        .get_opt(&reference.name)
        .await
        .map_err(|error| Error::from_kube(format!("read approval {}", reference.name), &error))
}
