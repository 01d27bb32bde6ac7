//! What the runner is made of. `confine` locks a command in, `command` runs it, `report` prints lines,
//! `request_lane` works through a request, `remediate` carries out one approval.

pub mod command;
pub mod confine;
pub mod kubeconfig;
pub mod remediate;
pub mod report;
pub mod request_lane;
