//! What several test programs read: recordings of the scenarios, and evidence made by hand.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "each test program uses its own part of this"
)]

pub mod told;

use std::path::{Path, PathBuf};

use firewatch_core::api::{ActionTarget, Role};
use firewatch_core::diagnosis::recording::{FILE, Recording};
use firewatch_core::diagnosis::{CaseFile, Diagnosis, diagnose, questions};
use firewatch_core::sandbox::command::{Command, Scope};
use firewatch_core::sandbox::evidence::{Evidence, EvidenceState};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

/// A whole answer that the SRE Investigator got to a command.
pub fn evidence(id: usize, at: Timestamp, command: Command, output: String) -> Evidence {
    Evidence {
        id: format!("E{id}"),
        agent: Role::SreInvestigator,
        command,
        argv: Vec::new(),
        state: EvidenceState::Complete,
        exit_code: Some(0),
        duration_ms: 1,
        collected_at: at,
        output,
        sha256: String::new(),
    }
}

/// The question for everything that is listed of a namespace.
pub fn namespace_lists(namespace: &str) -> Command {
    Command::Get {
        resources: questions::NAMESPACE_KINDS.to_vec(),
        scope: Scope::Namespace(namespace.into()),
        name: None,
    }
}

/// A case of these objects alone, all of them listed at once.
pub fn case_of(namespace: &str, objects: &[Value]) -> CaseFile {
    let now = "2026-03-01T12:00:00Z".parse().unwrap();
    let list = json!({"kind": "List", "items": objects}).to_string();
    CaseFile::from_evidence(
        namespace,
        None,
        now,
        &[evidence(1, now, namespace_lists(namespace), list)],
    )
}

/// The uid of every action's target.
pub const UID: &str = "7c1fd9e2-3f5c-4a55-9c43-0d1b2f1c8a11";

/// An action's target of this kind.
pub fn target(api_version: &str, kind: &str) -> ActionTarget {
    ActionTarget {
        api_version: api_version.into(),
        kind: kind.into(),
        namespace: (kind != "Node").then(|| "shop".into()),
        name: "checkout".into(),
        uid: UID.into(),
    }
}

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
