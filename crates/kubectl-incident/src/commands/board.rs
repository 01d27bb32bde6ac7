//! Several scenarios, a bounded number at the same time, and the scoreboard of what came of them: a table for people, one document
//! for machines. Must never ask anybody: who names several scenarios has said yes. Called by `run`.

use std::sync::atomic::{AtomicBool, Ordering};

use futures::StreamExt;
use serde::Serialize;

use super::run::{SPEAKER, Summary, one};
use super::{print, serialised};
use crate::cli::RunArgs;
use crate::cluster::Cluster;
use crate::error::{Error, Result};
use crate::exit;
use crate::scenario::files::Library;

/// What came of all.
#[derive(Serialize, Debug)]
#[serde(rename_all = "camelCase")]
struct Board {
    kind: &'static str,
    as_expected: usize,
    of: usize,
    items: Vec<Summary>,
}

/// Runs those that were named, or all, and prints the scoreboard.
pub(super) async fn run(cluster: &Cluster, library: &Library, args: &RunArgs) -> Result<u8> {
    let names = if args.all {
        library.names()?
    } else {
        args.scenario.clone()
    };
    if cluster.namespace_given {
        return Err(Error::Input(
            "-n names one namespace, but each of several scenarios has its own; leave it out".to_owned(),
        ));
    }
    if args.break_only {
        return Err(Error::Input("--break-only is for one scenario; name it".to_owned()));
    }
    // A name that is wrong is told before anything begins.
    for name in &names {
        library.scenario(name)?;
    }
    let stopping = AtomicBool::new(false);
    let mut runs = futures::stream::iter(&names)
        .map(|name| {
            let stopping = &stopping;
            SPEAKER.scope(name.clone(), async move {
                if stopping.load(Ordering::Relaxed) {
                    return Err(Error::Interrupted);
                }
                match Box::pin(one(cluster, library, name, args)).await {
                    Err(Error::Interrupted) => Err(Error::Interrupted),
                    Err(error) => Ok(Summary {
                        scenario: name.clone(),
                        differences: vec![error.to_string()],
                        ..Summary::default()
                    }),
                    done => done,
                }
            })
        })
        .buffer_unordered(usize::from(args.jobs));
    let mut items = Vec::new();
    // After Ctrl-C every run that has begun still removes its namespace, and none begins.
    while let Some(ended) = runs.next().await {
        match ended {
            Ok(summary) => items.push(summary),
            Err(_) => stopping.store(true, Ordering::Relaxed),
        }
    }
    drop(runs);
    if stopping.into_inner() {
        return Err(Error::Interrupted);
    }
    items.sort_by(|a, b| a.scenario.cmp(&b.scenario));
    let as_expected = items.iter().filter(|item| item.differences.is_empty()).count();
    let board = Board {
        kind: "ScenarioBoard",
        as_expected,
        of: items.len(),
        items: items.into_iter().map(|item| Summary { report: None, ..item }).collect(),
    };
    if args.output.is_some() {
        // The table is for whoever watches; standard output is the document alone.
        eprint!("{}", table(&board));
        print(&serialised(&board, false)?)?;
    } else {
        print(&table(&board))?;
    }
    Ok(if as_expected == board.of {
        exit::OK
    } else {
        exit::UNEXPECTED
    })
}

fn table(board: &Board) -> String {
    let mut text = format!(
        "\n{:<24} {:<17} {:<5} {:>5} {:>5}  {:<40} cause\n",
        "scenario", "outcome", "fixed", "s", "conf", "object"
    );
    for item in &board.items {
        let or = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        let row = format!(
            "{:<24} {:<17} {:<5} {:>5} {:>5}  {:<40} {}",
            item.scenario,
            or(item.outcome.map(|outcome| outcome.to_string())),
            item.fixed.map_or("-", |fixed| if fixed { "yes" } else { "NO" }),
            or(item.seconds.map(|seconds| seconds.to_string())),
            or(item.confidence.clone()),
            or(item.object.clone()),
            or(item.cause.clone()),
        );
        text.push_str(&crate::render::text::clean(&row));
        text.push('\n');
        for difference in &item.differences {
            text.push_str("    NOT as expected: ");
            text.push_str(&crate::render::text::clean(difference));
            text.push('\n');
        }
    }
    text + &format!("\n{} of {} as expected\n", board.as_expected, board.of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_names_what_differs_and_counts_what_does_not() {
        let right = Summary {
            scenario: "a".to_owned(),
            fixed: Some(true),
            seconds: Some(41),
            ..Summary::default()
        };
        let wrong = Summary {
            scenario: "b".to_owned(),
            cause: Some("a cause\u{1b}[2J".to_owned()),
            fixed: Some(false),
            differences: vec!["outcome: expected Remediated, got Inconclusive".to_owned()],
            ..Summary::default()
        };
        let text = table(&Board {
            kind: "ScenarioBoard",
            as_expected: 1,
            of: 2,
            items: vec![right, wrong],
        });
        assert!(text.contains("1 of 2 as expected"), "{text}");
        assert!(text.contains("NOT as expected: outcome: expected Remediated"), "{text}");
        assert!(
            text.lines()
                .any(|line| line.starts_with("a ") && line.contains("yes") && line.contains("41"))
        );
        assert!(!text.contains('\u{1b}'), "a cluster's text cannot clear the screen");
    }
}
