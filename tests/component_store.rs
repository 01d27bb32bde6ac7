//! The record, against a real Postgres and a real file. Each test has a database or a file of its own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

#[path = "model/api.rs"]
mod api;
#[path = "store/budgets.rs"]
mod budgets;
#[path = "model/consultations.rs"]
mod consultations;
#[path = "store/database.rs"]
mod database;
#[path = "store/either_sink.rs"]
mod either_sink;
#[path = "store/file.rs"]
mod file;
#[path = "store/outage.rs"]
mod outage;
#[path = "store/postgres.rs"]
mod postgres;
#[path = "store/sample.rs"]
mod sample;
#[path = "model/server.rs"]
mod server;

/// One test for each sink.
macro_rules! for_either_sink {
    ($($behaviour:ident),+ $(,)?) => {
        mod in_postgres {
            $(
                #[tokio::test]
                async fn $behaviour() {
                    crate::database::with_database(async |database| {
                        crate::either_sink::$behaviour(&database.sink()).await;
                    })
                    .await;
                }
            )+
        }
        mod in_a_file {
            $(
                #[tokio::test]
                async fn $behaviour() {
                    let folder = tempfile::tempdir().unwrap();
                    let sink = firewatch::store::file::FileSink::open(&folder.path().join("audit.jsonl")).unwrap();
                    crate::either_sink::$behaviour(&sink).await;
                }
            )+
        }
    };
}

for_either_sink!(
    what_is_stored_again_is_stored_once,
    the_whole_story_reads_back_as_the_report,
    another_row_in_a_stored_one_s_place_is_a_conflict,
    a_transition_is_stored_only_where_it_continues_the_chain,
    an_approval_counts_as_stored_once_it_is_decided_and_never_flips,
    an_approval_that_needs_two_is_not_stored_as_decided_by_one,
    an_older_row_does_not_replace_a_newer_one,
    a_sound_record_is_found_sound,
);
