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
