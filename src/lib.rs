//! Firewatch, the operator. This crate holds all its I/O; everything that decides lives in `firewatch_core`.

pub mod store;
