//! The agents: what each may ask for, what it concludes from the case file, and what it tells the others. Every run is a
//! serialisable machine without I/O. Must never run a command itself. Called by the operator's loop and by the plugin.

pub mod code_analyst;
pub mod commander;
pub mod investigation;
pub mod messages;
pub mod model;
pub mod remediation_planner;
pub mod run;
pub mod sre_investigator;

pub use investigation::{Conclusion, Investigation, Question};
pub use run::{AgentMessage, AgentReport, AgentRun, AgentStep, MessageKind};
