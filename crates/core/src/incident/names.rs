//! Deterministic names of children, so that a repeated step finds what it made. Called by the operator's `perform`.

use sha2::{Digest, Sha256};

/// Name of an object in the sandbox namespace: `fw-` and 40 hex digits of a hash over the incident's uid and the step's parts.
/// Parts are length-prefixed, so that no two lists of parts meet.
pub fn child(incident_uid: &str, parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in std::iter::once(&incident_uid).chain(parts) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let digest = hex::encode(hash.finalize());
    format!("fw-{}", digest.get(..40).unwrap_or(&digest))
}

/// `sha256:` and 64 hex digits.
pub fn sha256(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_step_of_the_same_incident_has_the_same_name() {
        assert_eq!(child("u", &["evidence", "1"]), child("u", &["evidence", "1"]));
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(child("u", &["ab", "c"]), child("u", &["a", "bc"]));
        assert_ne!(child("u", &["a"]), child("ua", &[]));
    }

    #[test]
    fn a_name_is_valid_for_a_job_and_its_label() {
        assert!(child("u", &["x"]).len() <= 63);
    }
}
