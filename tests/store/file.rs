//! The record in a file: what a crash, an editor or a second process does to it.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use firewatch::store::file::FileSink;
use firewatch::store::{AuditSink, audit};

use crate::sample::Sample;

/// A file with one investigation in it.
async fn written() -> (tempfile::TempDir, PathBuf, Sample) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let sample = Sample::new();
    sample.store(&FileSink::open(&path).unwrap()).await.unwrap();
    (folder, path, sample)
}

fn altered_line(path: &Path) -> (String, Option<usize>) {
    match FileSink::open(path) {
        Ok(_) => ("sound".into(), None),
        Err(firewatch::store::StoreError::FileAltered { line, .. }) => ("FileAltered".into(), Some(line)),
        Err(other) => (other.reason().into(), None),
    }
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart() {
    let (_folder, path, sample) = written().await;
    let sink = FileSink::open(&path).unwrap();
    assert_eq!(sink.stored_sequence(sample.uid()).await.unwrap(), 4);
    assert_eq!(sample.store(&sink).await.unwrap(), 4, "and is not stored twice");
    assert!(
        fs::read_to_string(&path)
            .unwrap()
            .lines()
            .next()
            .unwrap()
            .contains("single user")
    );
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn a_line_that_a_crash_cut_short_is_dropped_and_written_again() {
    let (_folder, path, sample) = written().await;
    let mut bytes = fs::read(&path).unwrap();
    bytes.truncate(bytes.len() - 20);
    fs::write(&path, &bytes).unwrap();
    let sink = FileSink::open(&path).unwrap();
    assert_eq!(
        sink.load_story(sample.uid()).await.unwrap().audit,
        None,
        "it was the last line"
    );
    sample.store(&sink).await.unwrap();
    drop(sink);
    let sink = FileSink::open(&path).unwrap();
    assert!(sink.load_story(sample.uid()).await.unwrap().audit.is_some());
}

#[tokio::test]
async fn a_line_that_was_changed_taken_out_repeated_or_moved_is_found() {
    type Tamper = fn(&mut Vec<String>);
    let cases: [(&str, Tamper, usize); 5] = [
        ("changed", |l| l[3] = l[3].replacen("0,", "1,", 1), 4),
        ("taken out", |l| drop(l.remove(3)), 4),
        ("repeated", |l| l.insert(3, l[2].clone()), 4),
        ("moved", |l| l.swap(3, 4), 4),
        ("not JSON", |l| l[2] = "{".into(), 3),
    ];
    for (name, tamper, at) in cases {
        let (_folder, path, _) = written().await;
        let mut lines: Vec<String> = fs::read_to_string(&path).unwrap().lines().map(str::to_owned).collect();
        let before = lines.clone();
        tamper(&mut lines);
        assert_ne!(lines, before, "{name}: the test must change something");
        fs::write(&path, lines.join("\n") + "\n").unwrap();
        assert_eq!(altered_line(&path), ("FileAltered".into(), Some(at)), "{name}");
        let code = audit::verify(None, Some(&path)).await.unwrap();
        assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::FAILURE), "{name}");
    }
}

#[tokio::test]
async fn a_second_process_is_kept_from_writing_and_may_look() {
    let (_folder, path, _) = written().await;
    let first = FileSink::open(&path).unwrap();
    assert_eq!(altered_line(&path), ("FileUnusable".into(), None));
    assert_eq!(
        audit::check(&FileSink::read_only(&path).unwrap())
            .await
            .unwrap()
            .incidents,
        1
    );
    drop(first);
}

#[tokio::test]
async fn a_file_that_something_else_wrote_to_is_noticed() {
    let (_folder, path, _) = written().await;
    let sink = FileSink::open(&path).unwrap();
    sink.ping().await.unwrap();
    OpenOptions::new()
        .append(true)
        .open(&path)
        .unwrap()
        .write_all(b"x")
        .unwrap();
    assert_eq!(sink.ping().await.unwrap_err().reason(), "FileUnusable");
}

#[tokio::test]
async fn a_place_that_cannot_be_written_to_is_named() {
    let error = FileSink::open(Path::new("/nowhere/audit.jsonl")).unwrap_err();
    assert_eq!(error.reason(), "FileUnusable");
    assert!(error.to_string().contains("/nowhere/audit.jsonl"));
}
