//! Faults as programs and clusters have them, told by logs in the wording of many clients and run times: the cause, beside cases that
//! look alike and are something else, or nothing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::format_collect,
    clippy::needless_pass_by_value,
    clippy::too_many_lines
)]

mod blame;
mod calls;
mod changes;
#[path = "../common/mod.rs"]
mod common;
mod load;
mod logs;
mod measured;
mod space;

use firewatch_core::diagnosis::{Finding, Remedy, Verdict};
use space::Space;

/// Asserts what was found: category, object, and words of the summary.
fn says(cause: &Finding, categories: &[&str], object: &str, words: &[&str]) {
    assert!(
        categories.contains(&cause.category.as_str()),
        "{}: {}",
        cause.category,
        cause.summary
    );
    assert_eq!(cause.object.to_string(), object, "{}", cause.summary);
    for word in words {
        assert!(
            cause.summary.to_lowercase().contains(&word.to_lowercase()),
            "{word} is not in: {}",
            cause.summary
        );
    }
}

/// Of several remedies the one that is tried first.
fn first_remedy(cause: &Finding) -> Option<&Remedy> {
    match cause.remedy.as_ref()? {
        Remedy::FirstOf { remedies } => remedies.first(),
        one => Some(one),
    }
}

fn healthy(space: &Space, name: &str) {
    let diagnosis = space.read("Deployment", name);
    assert_eq!(diagnosis.verdict, Verdict::Healthy, "{:#?}", diagnosis.findings);
    assert!(diagnosis.root_cause.is_none());
    assert!(!diagnosis.checked.is_empty());
}

fn repeat(line: &str, times: usize) -> String {
    format!("{line}\n").repeat(times)
}
