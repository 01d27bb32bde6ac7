//! The loop's pure half: what is observed, what is decided, how a decision is recorded, and which conditions follow.
//!
//! Nothing here acts or knows a client; `firewatch`'s `incident` modules observe, perform and write.

pub mod chain;
pub mod conditions;
pub mod deadlines;
pub mod decide;
pub mod names;
pub mod observation;
pub mod reason;
pub mod record_limits;
pub mod transition;

pub use decide::{Decision, Step, decide};
pub use observation::Observation;
pub use reason::Reason;
pub use transition::Transition;
