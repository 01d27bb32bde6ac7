//! What is told to people outside the cluster: which transitions are worth a message, what it says, to whom it goes, and in which form.
//!
//! Pure: it makes documents and sends nothing. Everything that comes from a cluster or an alert is data: redacted here, and escaped for each
//! form by its own module. Nothing in a message approves anything; it shows the line by which a person does. Called by the operator's
//! relay (what is to be told) and its sender (`src/notify`, how it is said).

pub mod cloudevent;
pub mod email;
pub mod notice;
pub mod pagerduty;
pub mod pause;
pub mod routing;
pub mod signature;
pub mod slack;
pub mod words;

pub use notice::{Notice, Occasion};
pub use routing::{Channel, Kind, Plan as Routing};
