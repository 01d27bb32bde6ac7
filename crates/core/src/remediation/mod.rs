//! From facts to actions, and from actions to exact commands: the catalogue, the planner's core, what a target looks like before and
//! after, and whether a change helped. Pure; must never run anything. Called by the agents, the loop, the executor and the plugin.

pub mod action;
pub mod assess;
pub mod change;
pub mod check;
pub mod effects;
pub mod feedback;
pub mod guide;
pub mod objects;
pub mod ownership;
pub mod parse;
pub mod plan;
pub mod remedies;
pub mod render;
pub mod standing;
pub mod verify;

pub use action::{Action, ActionError};
pub use change::{Change, Container};
pub use standing::Standing;
