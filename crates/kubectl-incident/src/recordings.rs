//! Recordings on disk: `DIR/evidence.jsonl` for one namespace, `DIR/NAMESPACE/evidence.jsonl` for several.
//!
//! Must never write what was not redacted: it is given evidence, which is. Called by `investigate` and by `run --record`.

use std::path::{Path, PathBuf};

use firewatch_core::agents::{Conclusion, Investigation};
use firewatch_core::diagnosis::recording::{FILE, Header, Recording, VERSION};

use crate::error::{Error, Result};

/// Writes what a conclusion rests on.
pub fn write(directory: &Path, conclusion: &Conclusion) -> Result<PathBuf> {
    let recording = Recording {
        header: Header {
            version: VERSION,
            namespace: conclusion.case.namespace().to_owned(),
            target: conclusion.case.target().cloned(),
            read_at: conclusion.case.now(),
        },
        evidence: conclusion.evidence.clone(),
    };
    let wrong = |error: &dyn std::fmt::Display| Error::Input(format!("--record {}: {error}", directory.display()));
    let text = recording.to_text().map_err(|error| wrong(&error))?;
    std::fs::create_dir_all(directory).map_err(|error| wrong(&error))?;
    let path = directory.join(FILE);
    std::fs::write(&path, text).map_err(|error| wrong(&error))?;
    Ok(path)
}

/// Reads one.
pub fn read(directory: &Path) -> Result<Recording> {
    let path = directory.join(FILE);
    let text = std::fs::read_to_string(&path).map_err(|error| {
        Error::Input(format!(
            "--from {}: {FILE} cannot be read ({error}). Name a directory that `kubectl incident investigate --record` wrote",
            directory.display()
        ))
    })?;
    Recording::from_text(&text).map_err(|fault| Error::Input(format!("--from {}: {fault}", directory.display())))
}

/// Every directory below that holds one, sorted.
pub fn below(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(directory)
        .map_err(|error| Error::Input(format!("--from {}: {error}", directory.display())))?;
    let mut found: Vec<PathBuf> = entries
        .filter_map(std::result::Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.join(FILE).is_file())
        .collect();
    found.sort();
    Ok(found)
}

/// What a recording comes to, read again.
pub fn conclude(recording: Recording) -> Conclusion {
    let Header {
        namespace,
        target,
        read_at,
        ..
    } = recording.header;
    Investigation::recorded(&namespace, target, read_at, recording.evidence)
}
