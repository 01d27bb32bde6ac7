//! Documentation that is generated is what the code says.
#![allow(clippy::unwrap_used)]

use std::path::Path;

#[test]
fn the_checked_in_guide_is_that_of_the_analyzers() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/diagnosis.md");
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        found == firewatch_core::diagnosis::guide::markdown(),
        "docs/diagnosis.md is out of date: run `make docs`"
    );
}

#[test]
fn every_cause_that_is_documented_is_found_in_a_case_of_the_tests() {
    let told = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/told");
    let mut text = String::new();
    for suite in std::fs::read_dir(&told).unwrap() {
        for file in std::fs::read_dir(suite.unwrap().path()).unwrap() {
            text.push_str(&std::fs::read_to_string(file.unwrap().path()).unwrap());
        }
    }
    let without: Vec<&str> = firewatch_core::diagnosis::analyzers::ALL
        .iter()
        .flat_map(|analyzer| analyzer.causes)
        .map(|cause| cause.category)
        .filter(|category| !text.contains(&format!(" {category} at ")))
        .collect();
    assert_eq!(
        without,
        Vec::<&str>::new(),
        "no case in crates/core/tests comes to these"
    );
}
