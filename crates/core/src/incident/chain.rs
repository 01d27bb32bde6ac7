//! The hash chain over an incident's transitions: each entry's hash covers all its fields, the incident's uid and the hash before,
//! so that a changed, missing, repeated or moved entry shows. Pure.
//!
//! It proves that a record was changed, not who changed it: whoever can write the whole chain can write another one. That is why
//! the operator's database role may only insert. Called by `transition` (to link) and by the store's verification.

use serde::Serialize;
use sha2::{Digest, Sha256};
use strum::{AsRefStr, Display};

use crate::api::status::{OutboxEntry, Phase};

/// Stands before what is hashed, so that a hash made for one purpose is never valid for another.
const DOMAIN: &str = "firewatch.dev/transition/v1\n";

/// Everything of an entry but its own hash. Numbers are text, so that canonical JSON keeps all their digits.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Hashed<'a> {
    sequence: String,
    at: String,
    from: Phase,
    to: Phase,
    actor: &'a str,
    reason: &'a str,
    message: &'a str,
    payload_digest: &'a str,
    payload: Option<&'a str>,
    previous_hash: &'a str,
}

/// Links an entry to the one before: sets its `previousHash` and `hash`. The first entry's `previous` is empty.
///
/// A NUL, which hostile text may bring and Postgres cannot keep, is replaced first: what is hashed must be what is stored.
#[must_use]
pub fn link(incident_uid: &str, previous: &str, mut entry: OutboxEntry) -> OutboxEntry {
    for text in [&mut entry.actor, &mut entry.reason, &mut entry.message] {
        if text.contains('\0') {
            *text = text.replace('\0', "\u{fffd}");
        }
    }
    previous.clone_into(&mut entry.previous_hash);
    entry.hash = hash(incident_uid, &entry);
    entry
}

/// `sha256:` and 64 hex digits over the entry, as it stands and without its own hash.
pub fn hash(incident_uid: &str, entry: &OutboxEntry) -> String {
    let hashed = Hashed {
        sequence: entry.sequence.to_string(),
        at: entry.at.0.to_string(),
        from: entry.from,
        to: entry.to,
        actor: &entry.actor,
        reason: &entry.reason,
        message: &entry.message,
        payload_digest: &entry.payload_digest,
        payload: entry.payload.as_deref(),
        previous_hash: &entry.previous_hash,
    };
    // Text alone always has a canonical form; should it ever not, the empty hash fails verification loudly.
    let Ok(canonical) = serde_json_canonicalizer::to_vec(&hashed) else {
        return String::new();
    };
    let mut sha = Sha256::new();
    sha.update(DOMAIN);
    sha.update(incident_uid);
    sha.update("\n");
    sha.update(canonical);
    format!("sha256:{}", hex::encode(sha.finalize()))
}

/// What is wrong with a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, AsRefStr, Display)]
pub enum FaultKind {
    /// An entry is missing.
    Gap,
    /// An entry stands there again, or too late.
    Repeat,
    /// An entry does not name the hash of the one before.
    BrokenLink,
    /// An entry's content is not what was hashed.
    Altered,
    /// Entries at the end are missing, or the last is not the one that the incident ended with.
    CutShort,
}

/// The first place at which a chain is not what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at transition {at}")]
pub struct ChainFault {
    /// Sequence number.
    pub at: i64,
    /// What is wrong there.
    pub kind: FaultKind,
}

/// Checks a whole chain, from the first transition on, in the order given.
pub fn verify_chain(incident_uid: &str, entries: &[OutboxEntry]) -> Result<(), ChainFault> {
    let mut expected = 1;
    let mut previous = "";
    for entry in entries {
        let fault = |at, kind| Err(ChainFault { at, kind });
        if entry.sequence > expected {
            return fault(expected, FaultKind::Gap);
        }
        if entry.sequence < expected {
            return fault(entry.sequence, FaultKind::Repeat);
        }
        if entry.previous_hash != previous {
            return fault(entry.sequence, FaultKind::BrokenLink);
        }
        if entry.hash.is_empty() || entry.hash != hash(incident_uid, entry) {
            return fault(entry.sequence, FaultKind::Altered);
        }
        previous = &entry.hash;
        expected = expected.saturating_add(1);
    }
    Ok(())
}

/// Checks that a chain, sound in itself, ends where the incident says that it ended: a chain cannot show alone that its end is missing.
pub fn verify_head(entries: &[OutboxEntry], sequence: i64, last_hash: &str) -> Result<(), ChainFault> {
    let ends = match entries.last() {
        Some(last) if last.sequence == sequence => last.hash == last_hash,
        Some(last) => last.sequence > sequence && entries.iter().any(|e| e.sequence == sequence && e.hash == last_hash),
        None => sequence == 0,
    };
    if ends {
        return Ok(());
    }
    let last = entries.last().map_or(0, |e| e.sequence);
    Err(ChainFault {
        at: if last < sequence {
            last.saturating_add(1)
        } else {
            sequence
        },
        kind: FaultKind::CutShort,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use k8s_openapi::jiff::Timestamp;
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;

    fn draft(sequence: i64) -> OutboxEntry {
        OutboxEntry {
            sequence,
            at: Time(Timestamp::from_second(1_700_000_000 + sequence).unwrap()),
            from: Phase::Pending,
            to: Phase::Triaging,
            actor: "commander".into(),
            reason: "Triaged".into(),
            message: "high availability".into(),
            payload_digest: "sha256:00".into(),
            payload: Some("fw-00".into()),
            previous_hash: String::new(),
            hash: String::new(),
        }
    }

    fn chain(length: i64) -> Vec<OutboxEntry> {
        let mut entries: Vec<OutboxEntry> = Vec::new();
        for sequence in 1..=length {
            let previous = entries.last().map(|e| e.hash.clone()).unwrap_or_default();
            entries.push(link("uid", &previous, draft(sequence)));
        }
        entries
    }

    type Alteration = fn(&mut OutboxEntry);
    /// One for each field; a field that is added to the entry belongs here and into the hash.
    const ALTERATIONS: [(&str, Alteration); 11] = [
        ("sequence", |e| e.sequence += 1),
        ("at", |e| {
            e.at = Time(Timestamp::from_second(e.at.0.as_second() + 1).unwrap());
        }),
        ("from", |e| e.from = Phase::Executing),
        ("to", |e| e.to = Phase::Executing),
        ("actor", |e| e.actor.push('x')),
        ("reason", |e| e.reason.push('x')),
        ("message", |e| e.message.push('x')),
        ("payloadDigest", |e| e.payload_digest.push('x')),
        ("payload", |e| e.payload = None),
        ("previousHash", |e| e.previous_hash.push('x')),
        ("hash", |e| e.hash.push('x')),
    ];

    #[test]
    fn an_untouched_chain_holds() {
        assert_eq!(verify_chain("uid", &chain(5)), Ok(()));
        assert_eq!(verify_chain("uid", &[]), Ok(()));
    }

    #[test]
    fn what_postgres_cannot_keep_is_replaced_before_it_is_hashed() {
        let mut hostile = draft(1);
        hostile.message = "log said \0".into();
        let entry = link("uid", "", hostile);
        assert_eq!(entry.message, "log said \u{fffd}");
        assert_eq!(verify_chain("uid", &[entry]), Ok(()));
    }

    #[test]
    fn the_chain_of_one_incident_is_not_valid_for_another() {
        let at = 1;
        assert_eq!(
            verify_chain("other", &chain(3)),
            Err(ChainFault {
                at,
                kind: FaultKind::Altered
            })
        );
    }

    #[test]
    fn each_kind_of_fault_is_named_where_it_is() {
        type Case = (&'static str, fn(&mut Vec<OutboxEntry>), i64, FaultKind);
        let cases: [Case; 7] = [
            ("first missing", |c| drop(c.remove(0)), 1, FaultKind::Gap),
            ("middle missing", |c| drop(c.remove(2)), 3, FaultKind::Gap),
            ("repeated", |c| c.insert(2, c[1].clone()), 2, FaultKind::Repeat),
            ("moved", |c| c.swap(1, 2), 2, FaultKind::Gap),
            (
                "message altered",
                |c| c[1].message = "nothing".into(),
                2,
                FaultKind::Altered,
            ),
            (
                "altered and hashed anew",
                |c| {
                    c[1].message = "nothing".into();
                    c[1].hash = hash("uid", &c[1]);
                },
                3,
                FaultKind::BrokenLink,
            ),
            (
                "another start",
                |c| c[0] = link("uid", "sha256:11", draft(1)),
                1,
                FaultKind::BrokenLink,
            ),
        ];
        for (name, tamper, at, kind) in cases {
            let mut entries = chain(5);
            tamper(&mut entries);
            assert_eq!(verify_chain("uid", &entries), Err(ChainFault { at, kind }), "{name}");
        }
    }

    #[test]
    fn a_missing_end_shows_against_the_head() {
        let whole = chain(4);
        let head = whole[3].hash.clone();
        assert_eq!(verify_head(&whole, 4, &head), Ok(()));
        assert_eq!(
            verify_head(&whole[..2], 4, &head),
            Err(ChainFault {
                at: 3,
                kind: FaultKind::CutShort
            })
        );
        assert_eq!(
            verify_head(&[], 4, &head),
            Err(ChainFault {
                at: 1,
                kind: FaultKind::CutShort
            })
        );
        assert_eq!(
            verify_head(&whole, 4, "sha256:22"),
            Err(ChainFault {
                at: 4,
                kind: FaultKind::CutShort
            })
        );
        // The mirror may be ahead of what was noted as the head.
        assert_eq!(verify_head(&whole, 2, &whole[1].hash), Ok(()));
    }

    #[test]
    fn the_form_of_the_hash_does_not_change_unnoticed() {
        // Chains that are stored must stay verifiable: a change here needs another domain prefix.
        assert_eq!(
            chain(1)[0].hash,
            "sha256:4aa3dddff39f763f5f383751242849774d7b221787538e00179a17253057f4fb"
        );
    }

    proptest! {
        #[test]
        fn any_single_alteration_of_any_entry_is_found(length in 1i64..12, at: Index, which in 0..ALTERATIONS.len()) {
            let mut entries = chain(length);
            let at = at.index(entries.len());
            ALTERATIONS[which].1(&mut entries[at]);
            prop_assert!(verify_chain("uid", &entries).is_err(), "{} of {}", ALTERATIONS[which].0, at + 1);
        }

        #[test]
        fn any_entry_that_is_taken_out_is_found(length in 1i64..12, at: Index) {
            let whole = chain(length);
            let head = whole.last().unwrap().clone();
            let mut entries = whole.clone();
            entries.remove(at.index(whole.len()));
            let found = verify_chain("uid", &entries).and_then(|()| verify_head(&entries, head.sequence, &head.hash));
            prop_assert!(found.is_err());
        }
    }
}
