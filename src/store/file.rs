//! The record in a file: one JSON line per row, each line's hash over its own content and the hash of the line before. The default for a
//! single user who has no Postgres; one process at a time, and the file is only ever appended to.
//!
//! A row is acknowledged once it is on disk. A last line that a crash cut short was never acknowledged, and is dropped; anything else
//! that is not as it was written is an error. Writes block for the milliseconds of one fsync, which a single user never notices.

use std::collections::{BTreeMap, btree_map::Entry};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use firewatch_core::api::status::OutboxEntry;
use firewatch_core::incident::names;
use firewatch_core::report::story::by_number;
use firewatch_core::report::{ApprovalRow, AuditRow, CommandRow, EvidenceRow, IncidentMeta, MessageRow, Story};
use firewatch_core::sandbox::evidence::{Evidence, EvidenceState};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::StoreError;
use super::postgres::check_entry;
use super::{AuditSink, Stored};

const DOMAIN: &str = "firewatch.dev/audit-file/v1\n";
const LABEL: &str = "Firewatch's record in a file: the default for a single user. Appended to by one process; lines are a hash chain; several users need Postgres.";

/// What one line holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
enum Record {
    Header {
        note: String,
    },
    Transition {
        incident: IncidentMeta,
        entry: OutboxEntry,
    },
    Payload {
        incident_uid: String,
        digest: String,
        payload: Value,
    },
    Evidence {
        incident_uid: String,
        evidence: Evidence,
    },
    Message {
        incident_uid: String,
        message: MessageRow,
    },
    Command {
        incident_uid: String,
        command: CommandRow,
    },
    Approval {
        incident_uid: String,
        approval: ApprovalRow,
    },
    Audit {
        row: Box<AuditRow>,
    },
}

#[derive(Serialize, Deserialize)]
struct Line {
    previous: String,
    hash: String,
    record: Value,
}

fn line_hash(previous: &str, record: &Value) -> Option<String> {
    let canonical = serde_json_canonicalizer::to_string(record).ok()?;
    Some(names::sha256(format!("{DOMAIN}{previous}\n{canonical}").as_bytes()))
}

/// What a file holds, put in order.
#[derive(Debug, Default)]
struct Contents {
    stories: BTreeMap<String, Story>,
    payloads: BTreeMap<(String, String), Value>,
    damaged_evidence: BTreeMap<String, Vec<String>>,
    approvals: BTreeMap<String, String>,
    last_hash: String,
    lines: usize,
    /// Length up to and including the last whole line.
    length: u64,
}

impl Contents {
    fn read(path: &Path, bytes: &[u8]) -> Result<Self, StoreError> {
        let mut contents = Self::default();
        // What follows the last line feed was cut short by a crash and never acknowledged.
        let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        contents.length = whole as u64;
        for line in bytes
            .get(..whole)
            .unwrap_or_default()
            .split(|b| *b == b'\n')
            .filter(|line| !line.is_empty())
        {
            contents.lines += 1;
            let altered = |message: String| StoreError::FileAltered {
                path: path.display().to_string(),
                line: contents.lines,
                message,
            };
            let line: Line = serde_json::from_slice(line).map_err(|error| altered(error.to_string()))?;
            if line.previous != contents.last_hash {
                return Err(altered(
                    "does not follow the line before: a line is missing, repeated or moved".to_owned(),
                ));
            }
            if line_hash(&line.previous, &line.record).as_ref() != Some(&line.hash) {
                return Err(altered("is not what was hashed: it was changed".to_owned()));
            }
            let record: Record = serde_json::from_value(line.record).map_err(|error| altered(error.to_string()))?;
            contents.last_hash = line.hash;
            contents.put(record);
        }
        Ok(contents)
    }

    /// Takes in one record that was checked before it was written.
    fn put(&mut self, record: Record) {
        match record {
            Record::Header { .. } => {}
            Record::Transition { incident, entry } => self.story(&incident.uid).transitions.push(entry),
            Record::Payload {
                incident_uid,
                digest,
                payload,
            } => {
                self.payloads.insert((incident_uid, digest), payload);
            }
            Record::Evidence { incident_uid, evidence } => {
                if evidence.state == EvidenceState::Complete
                    && evidence.sha256 != names::sha256(evidence.output.as_bytes())
                {
                    self.damaged_evidence
                        .entry(incident_uid.clone())
                        .or_default()
                        .push(evidence.id.clone());
                }
                let list = &mut self.story(&incident_uid).evidence;
                list.push(EvidenceRow::of(&evidence));
                list.sort_by_key(|e| by_number(&e.id));
            }
            Record::Message { incident_uid, message } => {
                let list = &mut self.story(&incident_uid).messages;
                list.push(message);
                list.sort_by_key(|m| m.ordinal);
            }
            Record::Command { incident_uid, command } => {
                let list = &mut self.story(&incident_uid).commands;
                list.push(command);
                list.sort_by_cached_key(|c| (c.lane, by_number(&c.id)));
            }
            Record::Approval { incident_uid, approval } => {
                self.approvals.insert(approval.uid.clone(), incident_uid.clone());
                let list = &mut self.story(&incident_uid).approvals;
                list.retain(|a| a.uid != approval.uid);
                list.push(approval);
                list.sort_by_key(|a| a.revision);
            }
            Record::Audit { row } => {
                let id = row.id.clone();
                self.story(&id).audit = Some(*row);
            }
        }
    }

    fn story(&mut self, incident_uid: &str) -> &mut Story {
        match self.stories.entry(incident_uid.to_owned()) {
            Entry::Occupied(story) => story.into_mut(),
            Entry::Vacant(place) => place.insert(Story::default()),
        }
    }
}

#[derive(Debug)]
struct Open {
    /// None where the file was opened for reading only.
    file: Option<File>,
    contents: Contents,
}

/// The record in a file.
#[derive(Debug)]
pub struct FileSink {
    path: PathBuf,
    open: Mutex<Open>,
}

impl FileSink {
    /// Opens or begins the file, checks every line of it, and keeps other processes from writing to it.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let unusable = |error: &dyn std::fmt::Display| unusable(path, error);
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)
            .map_err(|e| unusable(&e))?;
        file.try_lock()
            .map_err(|_| unusable(&"another process has it open; one at a time"))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(|e| unusable(&e))?;
        let contents = Contents::read(path, &bytes)?;
        if contents.length < bytes.len() as u64 {
            tracing::warn!(path = %path.display(), "the last line was cut short by a crash; it was never acknowledged and is dropped");
            file.set_len(contents.length).map_err(|e| unusable(&e))?;
        }
        let begun = contents.lines > 0;
        let sink = Self {
            path: path.to_owned(),
            open: Mutex::new(Open {
                file: Some(file),
                contents,
            }),
        };
        if !begun {
            sink.change(|_| Ok(((), vec![Record::Header { note: LABEL.to_owned() }])))?;
        }
        Ok(sink)
    }

    /// Reads a file, and neither writes to it nor keeps others from it: for `firewatch audit`.
    pub fn read_only(path: &Path) -> Result<Self, StoreError> {
        let bytes = std::fs::read(path).map_err(|e| unusable(path, &e))?;
        let contents = Contents::read(path, &bytes)?;
        Ok(Self {
            path: path.to_owned(),
            open: Mutex::new(Open { file: None, contents }),
        })
    }

    /// Decides from the contents what is to be added, and adds it: all of it, on disk, or nothing.
    fn change<T>(
        &self,
        decide: impl FnOnce(&Contents) -> Result<(T, Vec<Record>), StoreError>,
    ) -> Result<T, StoreError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let (answer, records) = decide(&open.contents)?;
        if records.is_empty() {
            return Ok(answer);
        }
        let mut last_hash = open.contents.last_hash.clone();
        let mut bytes = Vec::new();
        for record in &records {
            let invalid = |error: serde_json::Error| StoreError::InvalidRow(error.to_string());
            let record = serde_json::to_value(record).map_err(invalid)?;
            let hash = line_hash(&last_hash, &record)
                .ok_or_else(|| StoreError::InvalidRow("a row has no canonical form".to_owned()))?;
            let line = Line {
                previous: last_hash,
                hash: hash.clone(),
                record,
            };
            serde_json::to_writer(&mut bytes, &line).map_err(invalid)?;
            bytes.push(b'\n');
            last_hash = hash;
        }
        let length = open.contents.length;
        let Some(file) = open.file.as_mut() else {
            return Err(unusable(&self.path, &"it was opened for reading"));
        };
        let written = file.write_all(&bytes).and_then(|()| file.sync_data());
        if let Err(error) = written {
            // Half a line must not stand before the next whole one.
            let undone = file.set_len(length);
            if let Err(undo) = undone {
                return Err(unusable(
                    &self.path,
                    &format!("{error}; and it could not be undone: {undo}"),
                ));
            }
            return Err(unusable(&self.path, &error));
        }
        open.contents.length = length.saturating_add(bytes.len() as u64);
        open.contents.lines = open.contents.lines.saturating_add(records.len());
        open.contents.last_hash = last_hash;
        for record in records {
            open.contents.put(record);
        }
        Ok(answer)
    }

    fn look<T>(&self, at: impl FnOnce(&Contents) -> T) -> T {
        at(&self.open.lock().unwrap_or_else(PoisonError::into_inner).contents)
    }
}

fn unusable(path: &Path, error: &dyn std::fmt::Display) -> StoreError {
    StoreError::FileUnusable {
        path: path.display().to_string(),
        message: error.to_string(),
    }
}

/// Which of these rows are not there yet; an error where another one is.
fn missing<R: Clone, K: PartialEq>(
    stored: &[K],
    rows: &[R],
    key_matches: impl Fn(&K, &R) -> bool,
    equal: impl Fn(&K, &R) -> bool,
    name: impl Fn(&R) -> String,
) -> Result<Vec<R>, StoreError> {
    let mut wanted = Vec::new();
    for row in rows {
        match stored.iter().find(|s| key_matches(s, row)) {
            Some(there) if equal(there, row) => {}
            Some(_) => return Err(StoreError::Conflict(name(row))),
            None => wanted.push(row.clone()),
        }
    }
    Ok(wanted)
}

impl Contents {
    fn of(&self, incident_uid: &str) -> Story {
        self.stories.get(incident_uid).cloned().unwrap_or_default()
    }

    fn new_transitions(
        &self,
        incident: &IncidentMeta,
        entries: &[OutboxEntry],
        payloads: &[(String, Value)],
    ) -> Result<(i64, Vec<Record>), StoreError> {
        let story = self.of(&incident.uid);
        let (mut stored, mut last_hash) = story
            .transitions
            .last()
            .map_or((0, String::new()), |last| (last.sequence, last.hash.clone()));
        let mut records = Vec::new();
        for (digest, payload) in payloads {
            match self.payloads.get(&(incident.uid.clone(), digest.clone())) {
                Some(there) if there == payload => {}
                Some(_) => return Err(StoreError::Conflict(format!("record {digest} of {}", incident.uid))),
                None => records.push(Record::Payload {
                    incident_uid: incident.uid.clone(),
                    digest: digest.clone(),
                    payload: payload.clone(),
                }),
            }
        }
        for entry in entries {
            check_entry(incident, entry, stored, &last_hash)?;
            if entry.sequence <= stored {
                if !story.transitions.contains(entry) {
                    return Err(StoreError::Conflict(format!(
                        "transition {} of {}",
                        entry.sequence, incident.uid
                    )));
                }
                continue;
            }
            stored = entry.sequence;
            last_hash.clone_from(&entry.hash);
            records.push(Record::Transition {
                incident: incident.clone(),
                entry: entry.clone(),
            });
        }
        Ok((stored, records))
    }

    fn new_approval(&self, incident_uid: &str, approval: &ApprovalRow) -> Result<Vec<Record>, StoreError> {
        let conflict = || StoreError::Conflict(format!("the decision or claim of approval {}", approval.name));
        if self.approvals.get(&approval.uid).is_some_and(|of| of != incident_uid) {
            return Err(conflict());
        }
        let record = Record::Approval {
            incident_uid: incident_uid.to_owned(),
            approval: approval.clone(),
        };
        match self.of(incident_uid).approvals.iter().find(|a| a.uid == approval.uid) {
            None => Ok(vec![record]),
            Some(stored) if stored == approval => Ok(Vec::new()),
            Some(stored) if stored.may_become(approval) => Ok(vec![record]),
            Some(stored) if approval.may_become(stored) => Ok(Vec::new()),
            Some(_) => Err(conflict()),
        }
    }
}

impl AuditSink for FileSink {
    fn store_transitions<'a>(
        &'a self,
        incident: &'a IncidentMeta,
        entries: &'a [OutboxEntry],
        payloads: &'a [(String, Value)],
    ) -> Stored<'a, i64> {
        Box::pin(async move { self.change(|contents| contents.new_transitions(incident, entries, payloads)) })
    }

    fn store_evidence<'a>(&'a self, incident_uid: &'a str, evidence: &'a [Evidence]) -> Stored<'a, ()> {
        Box::pin(async move {
            self.change(|contents| {
                let new = missing(
                    &contents.of(incident_uid).evidence,
                    evidence,
                    |stored, row| stored.id == row.id,
                    |stored, row| stored.sha256 == row.sha256 && stored.argv == row.argv,
                    |row| format!("evidence {} of {incident_uid}", row.id),
                )?;
                let incident_uid = incident_uid.to_owned();
                Ok((
                    (),
                    new.into_iter()
                        .map(|evidence| Record::Evidence {
                            incident_uid: incident_uid.clone(),
                            evidence,
                        })
                        .collect(),
                ))
            })
        })
    }

    fn store_messages<'a>(&'a self, incident_uid: &'a str, messages: &'a [MessageRow]) -> Stored<'a, ()> {
        Box::pin(async move {
            self.change(|contents| {
                let new = missing(
                    &contents.of(incident_uid).messages,
                    messages,
                    |stored, row| stored.ordinal == row.ordinal,
                    |stored, row| {
                        stored.role == row.role
                            && stored.to == row.to
                            && stored.kind == row.kind
                            && stored.text == row.text
                    },
                    |row| format!("message {} of {incident_uid}", row.ordinal),
                )?;
                let incident_uid = incident_uid.to_owned();
                Ok((
                    (),
                    new.into_iter()
                        .map(|message| Record::Message {
                            incident_uid: incident_uid.clone(),
                            message,
                        })
                        .collect(),
                ))
            })
        })
    }

    fn store_commands<'a>(&'a self, incident_uid: &'a str, commands: &'a [CommandRow]) -> Stored<'a, ()> {
        Box::pin(async move {
            self.change(|contents| {
                let new = missing(
                    &contents.of(incident_uid).commands,
                    commands,
                    |stored, row| stored.id == row.id,
                    |stored, row| stored == row,
                    |row| format!("command {} of {incident_uid}", row.id),
                )?;
                let incident_uid = incident_uid.to_owned();
                Ok((
                    (),
                    new.into_iter()
                        .map(|command| Record::Command {
                            incident_uid: incident_uid.clone(),
                            command,
                        })
                        .collect(),
                ))
            })
        })
    }

    fn store_approval<'a>(&'a self, incident_uid: &'a str, approval: &'a ApprovalRow) -> Stored<'a, ()> {
        Box::pin(async move { self.change(|contents| Ok(((), contents.new_approval(incident_uid, approval)?))) })
    }

    fn approval_stored<'a>(&'a self, approval_uid: &'a str) -> Stored<'a, bool> {
        Box::pin(async move {
            Ok(self.look(|contents| {
                contents.approvals.get(approval_uid).is_some_and(|incident| {
                    contents
                        .of(incident)
                        .approvals
                        .iter()
                        .any(|a| a.uid == approval_uid && a.is_decided())
                })
            }))
        })
    }

    fn upsert_audit_log<'a>(&'a self, row: &'a AuditRow) -> Stored<'a, ()> {
        Box::pin(async move {
            self.change(|contents| {
                let stored = contents.of(&row.id).audit;
                let renewed = stored.is_none_or(|stored| stored.sequence <= row.sequence && stored != *row);
                Ok((
                    (),
                    if renewed {
                        vec![Record::Audit {
                            row: Box::new(row.clone()),
                        }]
                    } else {
                        Vec::new()
                    },
                ))
            })
        })
    }

    fn stored_sequence<'a>(&'a self, incident_uid: &'a str) -> Stored<'a, i64> {
        Box::pin(async move {
            Ok(self.look(|contents| contents.of(incident_uid).transitions.last().map_or(0, |e| e.sequence)))
        })
    }

    fn load_story<'a>(&'a self, incident_uid: &'a str) -> Stored<'a, Story> {
        Box::pin(async move { Ok(self.look(|contents| contents.of(incident_uid))) })
    }

    fn incidents(&self) -> Stored<'_, Vec<String>> {
        Box::pin(async move { Ok(self.look(|contents| contents.stories.keys().cloned().collect())) })
    }

    fn damaged_evidence<'a>(&'a self, incident_uid: &'a str) -> Stored<'a, Vec<String>> {
        Box::pin(async move {
            Ok(self.look(|contents| contents.damaged_evidence.get(incident_uid).cloned().unwrap_or_default()))
        })
    }

    fn ping(&self) -> Stored<'_, ()> {
        Box::pin(async move {
            let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(file) = open.file.as_ref() else {
                return Err(unusable(&self.path, &"it was opened for reading"));
            };
            let there = file.metadata().map_err(|e| unusable(&self.path, &e))?.len();
            if there == open.contents.length {
                return Ok(());
            }
            Err(unusable(&self.path, &"something else wrote to it or cut it"))
        })
    }

    fn describe(&self) -> String {
        format!("the file {} (for a single user)", self.path.display())
    }
}
