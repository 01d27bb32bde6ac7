//! Notifications, from the outbox in a real Postgres to receivers on loopback that write down what they are sent. Each test has a database
//! of its own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

#[path = "notify/chat.rs"]
mod chat;
#[allow(dead_code, reason = "component_store uses all of it")]
#[path = "store/database.rs"]
mod database;
#[path = "notify/mail.rs"]
mod mail;
#[path = "notify/receiver.rs"]
mod receiver;
#[path = "notify/trouble.rs"]
mod trouble;
#[path = "notify/world.rs"]
mod world;
