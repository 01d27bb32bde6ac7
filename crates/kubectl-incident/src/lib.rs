//! The kubectl plugin of Firewatch, as a library: `main` is the binary, and tests play scenarios through it.
//!
//! It acts with the rights of the person who calls it and never with more; it decides nothing by itself. What it shows of a plan is
//! computed again from the plan's typed actions. It holds no diagnosis of its own: that is the core's, which `investigate` runs here with the person's own kubectl.

pub mod cli;
pub mod cluster;
pub mod commands;
pub mod doctor;
pub mod error;
pub mod exit;
pub mod html;
pub mod kubectl;
pub mod prometheus;
pub mod recheck;
pub mod recordings;
pub mod render;
pub mod scenario;
