//! `firewatch audit`: looks at the record as it is stored, changes nothing. Called by `main`.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use firewatch_core::incident::chain;
use firewatch_core::report::{self, Story};

use super::AuditSink;
use super::error::StoreError;
use super::file::FileSink;
use super::postgres::PostgresSink;

/// What a verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// How many incidents were looked at.
    pub incidents: usize,
    /// How many transitions they have.
    pub transitions: usize,
    /// How many pieces of evidence.
    pub evidence: usize,
    /// Everything that is wrong, one line each.
    pub faults: Vec<String>,
}

/// The record that the flags name.
fn source(database_url: Option<&str>, file: Option<&Path>) -> Result<Box<dyn AuditSink>, StoreError> {
    match (file, database_url) {
        (Some(path), _) => Ok(Box::new(FileSink::read_only(path)?)),
        (None, Some(url)) => Ok(Box::new(PostgresSink::connect(url)?)),
        (None, None) => Err(StoreError::InvalidUrl),
    }
}

/// Checks every incident: its chain of transitions, where it ends, and the digests of its evidence.
pub async fn check(sink: &dyn AuditSink) -> Result<Verified, StoreError> {
    let mut verified = Verified::default();
    for uid in sink.incidents().await? {
        let story = match sink.load_story(&uid).await {
            Ok(story) => story,
            // A row that cannot be read back is a finding, not a reason to stop looking.
            Err(StoreError::InvalidRow(message)) => {
                verified.incidents += 1;
                verified.faults.push(format!("{uid}: {message}"));
                continue;
            }
            Err(error) => return Err(error),
        };
        verified.incidents += 1;
        verified.transitions += story.transitions.len();
        verified.evidence += story.evidence.len();
        if let Err(fault) = chain_of(&uid, &story) {
            verified.faults.push(format!("{uid}: {fault}"));
        }
        for id in sink.damaged_evidence(&uid).await? {
            verified
                .faults
                .push(format!("{uid}: evidence {id} is not what its digest says"));
        }
    }
    Ok(verified)
}

fn chain_of(uid: &str, story: &Story) -> Result<(), chain::ChainFault> {
    chain::verify_chain(uid, &story.transitions)?;
    match &story.audit {
        Some(row) => chain::verify_head(
            &story.transitions,
            row.sequence,
            row.last_hash.as_deref().unwrap_or_default(),
        ),
        None => Ok(()),
    }
}

/// Prints what `check` finds; the exit code is 1 where anything is wrong.
pub async fn verify(database_url: Option<&str>, file: Option<&Path>) -> Result<ExitCode, StoreError> {
    let sink = match source(database_url, file) {
        Ok(sink) => sink,
        // In a file, the first line that is not what was written ends what can be said of the rest.
        Err(error @ StoreError::FileAltered { .. }) => {
            print(&format!("FAULT {error}"));
            return Ok(ExitCode::FAILURE);
        }
        Err(error) => return Err(error),
    };
    let verified = check(sink.as_ref()).await?;
    for fault in &verified.faults {
        print(&format!("FAULT {fault}"));
    }
    print(&format!(
        "{}: {} incidents, {} transitions, {} pieces of evidence, {} faults",
        sink.describe(),
        verified.incidents,
        verified.transitions,
        verified.evidence,
        verified.faults.len()
    ));
    Ok(if verified.faults.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Prints what is stored, one JSON line for each incident: its full response, and the rows that it rests on. All of them, or the one of
/// this uid; the exit code is 1 where that is not there.
pub async fn export(
    database_url: Option<&str>,
    file: Option<&Path>,
    incident_uid: Option<&str>,
) -> Result<ExitCode, StoreError> {
    let sink = source(database_url, file)?;
    let wanted = match incident_uid {
        Some(uid) => vec![uid.to_owned()],
        None => sink.incidents().await?,
    };
    for uid in wanted {
        let story = sink.load_story(&uid).await?;
        if story.is_empty() {
            eprintln!("nothing is stored of incident {uid}");
            return Ok(ExitCode::FAILURE);
        }
        let line = serde_json::json!({ "incident_uid": uid, "response": report::from_story(&story), "story": story });
        if !print(&line.to_string()) {
            break;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints a line; false where nobody reads any more (`| head`), which is no error.
fn print(line: &str) -> bool {
    writeln!(std::io::stdout(), "{line}").is_ok()
}
