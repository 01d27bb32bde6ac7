//! Recordings of the scenarios, for every test that reads them again.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "each test program uses its own part of this"
)]

use std::path::{Path, PathBuf};

use firewatch_core::diagnosis::recording::{FILE, Recording};
use firewatch_core::diagnosis::{CaseFile, Diagnosis, diagnose};
use firewatch_core::sandbox::command::Command;
use firewatch_core::sandbox::evidence::{Evidence, EvidenceState};

fn scenarios() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios")
}

/// Every scenario with a recording, sorted.
pub fn names() -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(scenarios())
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().join("recorded").join(FILE).is_file())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert!(names.len() >= 5, "recordings are missing: {names:?}");
    names
}

/// One scenario's recording.
pub fn recording(name: &str) -> Recording {
    let path = scenarios().join(name).join("recorded").join(FILE);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Recording::from_text(&text).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()))
}

/// The case file of a recording, with that evidence instead of its own.
pub fn case(recording: &Recording, evidence: &[Evidence]) -> CaseFile {
    let header = &recording.header;
    CaseFile::from_evidence(&header.namespace, header.target.clone(), header.read_at, evidence)
}

/// What a recording comes to with that evidence instead of its own.
pub fn read(recording: &Recording, evidence: &[Evidence]) -> Diagnosis {
    diagnose(&case(recording, evidence))
}

/// What a recording answers to a command: as it was asked, or put together from the portions in which it was read.
pub fn answer(evidence: &[Evidence], command: &Command) -> Option<(EvidenceState, String)> {
    if let Some(same) = evidence.iter().find(|one| one.command == *command) {
        return Some((same.state, same.output.clone()));
    }
    let Command::Get {
        resources,
        scope,
        name: None,
    } = command
    else {
        return None;
    };
    let mut items = Vec::new();
    let mut state = EvidenceState::Complete;
    let mut found = false;
    for one in evidence {
        let Command::Get {
            resources: part,
            scope: place,
            name: None,
        } = &one.command
        else {
            continue;
        };
        if place == scope && part.iter().all(|resource| resources.contains(resource)) {
            found = true;
            match serde_json::from_str::<serde_json::Value>(&one.output) {
                Ok(list) => items.extend(list["items"].as_array().cloned().unwrap_or_default()),
                Err(_) => state = one.state,
            }
        }
    }
    found.then(|| (state, serde_json::json!({ "kind": "List", "items": items }).to_string()))
}
