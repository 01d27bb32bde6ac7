//! From evidence to one root cause: the case file, analyzers by failure domain, the object graph, and the cause that explains the
//! others. Pure. Called by the operator's loop, by the agents and by the plugin.

pub mod finding;
