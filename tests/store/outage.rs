//! A database that is down, silent, unknown, not migrated, or half: a closed reason in bounded time, and all is well once it is.

use std::time::{Duration, Instant};

use firewatch::store::postgres::PostgresSink;
use firewatch::store::{AuditSink, StoreError, migrate};
use tokio::net::TcpListener;

use crate::database::{with_database, with_empty_database};
use crate::sample::Sample;

/// The loop waits no longer than this for any answer.
const BOUND: Duration = Duration::from_secs(10);

async fn reason_of_everything(sink: &dyn AuditSink) -> String {
    let begun = Instant::now();
    let sample = Sample::new();
    let stored = sample.store(sink).await.expect_err("cannot be stored");
    let pinged = sink.ping().await.expect_err("cannot be reached");
    let read = sink.load_story(sample.uid()).await.expect_err("cannot be read");
    assert!(begun.elapsed() < BOUND, "it took {:?}", begun.elapsed());
    assert_eq!((stored.reason(), pinged.reason()), (read.reason(), read.reason()));
    read.reason().to_owned()
}

/// A port on which nobody listens.
async fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

#[tokio::test]
async fn a_server_that_is_down_is_unreachable() {
    let url = format!("postgres://u:p@127.0.0.1:{}/d", closed_port().await);
    let sink = PostgresSink::connect(&url).unwrap();
    assert_eq!(reason_of_everything(&sink).await, "DatabaseUnreachable");
    let error = migrate(&url).await.unwrap_err();
    assert_eq!(error.reason(), "DatabaseUnreachable");
    assert!(error.is_transient());
}

#[tokio::test]
async fn a_server_that_never_answers_is_unreachable() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let sink = PostgresSink::connect(&format!("postgres://u:p@127.0.0.1:{port}/d")).unwrap();
    assert_eq!(reason_of_everything(&sink).await, "DatabaseUnreachable");
}

#[tokio::test]
async fn something_that_is_not_postgres_is_unreachable() {
    let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = other.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        while let Ok((mut stream, _)) = other.accept().await {
            let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let sink = PostgresSink::connect(&format!("postgres://u:p@127.0.0.1:{port}/d")).unwrap();
    assert_eq!(reason_of_everything(&sink).await, "DatabaseUnreachable");
    server.abort();
}

#[tokio::test]
async fn a_wrong_password_and_a_missing_database_are_told_apart() {
    with_empty_database(async |database| {
        let url = database.operator_url();
        let (before, after) = url.rsplit_once('@').unwrap();
        let user = before.rsplit_once(':').unwrap().0;
        let wrong = PostgresSink::connect(&format!("{user}:wrong@{after}")).unwrap();
        assert_eq!(reason_of_everything(&wrong).await, "AuthenticationFailed");
        let missing = PostgresSink::connect(&format!("{url}_missing")).unwrap();
        assert_eq!(reason_of_everything(&missing).await, "DatabaseMissing");
    })
    .await;
}

#[tokio::test]
async fn a_sink_that_began_before_the_migrations_works_after_them() {
    with_empty_database(async |database| {
        let sink = database.sink();
        assert_eq!(reason_of_everything(&sink).await, "SchemaOutdated");
        database.migrate().await.unwrap();
        assert_eq!(Sample::new().store(&sink).await.unwrap(), 4);
    })
    .await;
}

#[tokio::test]
async fn migrating_again_or_twice_at_once_is_harmless() {
    with_empty_database(async |database| {
        let (first, second) = tokio::join!(database.migrate(), database.migrate());
        first.unwrap();
        second.unwrap();
        let sample = Sample::new();
        sample.store(&database.sink()).await.unwrap();
        database.migrate().await.unwrap();
        assert_eq!(database.sink().stored_sequence(sample.uid()).await.unwrap(), 4);
    })
    .await;
}

#[tokio::test]
async fn a_schema_that_is_not_ours_is_refused_before_anything_is_written() {
    let cases = [
        ("UPDATE _sqlx_migrations SET success = false", "SchemaHalfMigrated"),
        ("UPDATE _sqlx_migrations SET checksum = '\\x00'", "SchemaAltered"),
        (
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (9999, 'later', true, '\\x00', 1)",
            "SchemaTooNew",
        ),
        ("DELETE FROM _sqlx_migrations", "SchemaOutdated"),
        ("DROP TABLE _sqlx_migrations", "SchemaOutdated"),
        ("REVOKE ALL ON transitions FROM firewatch", "PermissionDenied"),
    ];
    for (statement, expected) in cases {
        with_database(async |database| {
            database.as_owner(statement).await;
            let sink = database.sink();
            assert_eq!(sink.ping().await.unwrap_err().reason(), expected, "{statement}");
            let sample = Sample::new();
            let refused = sink
                .store_transitions(&sample.meta(), sample.entries(), &[])
                .await
                .unwrap_err();
            assert_eq!(refused.reason(), expected, "{statement}");
        })
        .await;
    }
}

#[tokio::test]
async fn migrating_says_what_is_wrong_instead_of_going_on() {
    let cases = [
        ("UPDATE _sqlx_migrations SET success = false", "SchemaHalfMigrated"),
        ("UPDATE _sqlx_migrations SET checksum = '\\x00'", "SchemaAltered"),
        (
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (9999, 'later', true, '\\x00', 1)",
            "SchemaTooNew",
        ),
    ];
    for (statement, expected) in cases {
        with_database(async |database| {
            database.as_owner(statement).await;
            assert_eq!(database.migrate().await.unwrap_err().reason(), expected, "{statement}");
        })
        .await;
    }
}

#[tokio::test]
async fn a_table_that_is_gone_under_a_running_operator_is_said_so_and_used_again_once_it_is_back() {
    with_database(async |database| {
        let sink = database.sink();
        let sample = Sample::new();
        sample.store(&sink).await.unwrap();
        database.as_owner("ALTER TABLE transitions RENAME TO hidden").await;
        let error: StoreError = sink.stored_sequence(sample.uid()).await.unwrap_err();
        assert_eq!(error.reason(), "SchemaOutdated");
        database.as_owner("ALTER TABLE hidden RENAME TO transitions").await;
        assert_eq!(sink.stored_sequence(sample.uid()).await.unwrap(), 4);
    })
    .await;
}
