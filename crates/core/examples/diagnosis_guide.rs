//! Prints `docs/diagnosis.md`: `make docs`.
#![allow(clippy::print_stdout, reason = "that is what it is for")]

fn main() {
    print!("{}", firewatch_core::diagnosis::guide::markdown());
}
