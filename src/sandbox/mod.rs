//! Sandbox Jobs as the operator sees them: making them (`jobs`) and reading what they left (`outcomes`). Their shape and the
//! meaning of their output are the core's (`firewatch_core::sandbox`).

pub mod jobs;
pub mod outcomes;
