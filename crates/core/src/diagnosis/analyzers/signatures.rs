//! Known phrases of run times and libraries that name a fault outright: an exhausted pool, an expired certificate, text that does not
//! parse, a file that is missing, a full disk.
//!
//! Evidence: the log; it counts where the container fails and the phrase stands near its end, or where it goes on repeatedly in one that
//! runs. Looks alike: handled errors and retries of a program that does its work; those are left alone.

use super::{KnownCause, View, claim, known, merge};
use crate::diagnosis::case_file::LogRecord;
use crate::diagnosis::confidence::Basis;
use crate::diagnosis::facts::{PodFacts, Workload, ended, waiting};
use crate::diagnosis::finding::{Depth, Finding};
use crate::diagnosis::logs::{Group, Signature};
use crate::text::clip;

/// What this analyzer can claim.
pub(super) const CAUSES: &[KnownCause] = &[
    known(
        "InvalidSetting",
        "A setting has a value that the program cannot read.",
        "The log of a container that fails.",
        "A setting that is missing.",
    ),
    known(
        "ConnectionPoolExhausted",
        "The connection pool has no free connection.",
        "The log, repeatedly.",
        "A database that is down.",
    ),
    known(
        "CertificateExpired",
        "A TLS certificate has expired.",
        "The log.",
        "A clock that is wrong.",
    ),
    known(
        "CertificateInvalid",
        "A TLS certificate is not trusted or is for another name.",
        "The log.",
        "A certificate that has expired.",
    ),
    known(
        "SyntaxError",
        "Code or a command does not parse.",
        "The log of a container that fails, its command.",
        "A file of data that does not parse.",
    ),
    known(
        "CommandNotFound",
        "A command inside a script is not in the image.",
        "The log of a container that fails.",
        "The container's own command, which the runtime cannot start.",
    ),
    known(
        "FileMissing",
        "A file that the program needs is missing.",
        "The log of a container that fails.",
        "A file that a running program merely mentions.",
    ),
    known(
        "PermissionDenied",
        "The operating system refuses a file or port.",
        "The log of a container that fails.",
        "A refusal of the Kubernetes API (RBAC).",
    ),
    known(
        "AddressInUse",
        "The port that the program wants is taken.",
        "The log.",
        "A host port that is taken: then the pod is not scheduled.",
    ),
    known(
        "TooManyOpenFiles",
        "No file descriptor is free.",
        "The log.",
        "A full disk.",
    ),
    known(
        "DiskFull",
        "No space is left on the disk.",
        "The log.",
        "An eviction for ephemeral storage.",
    ),
    known(
        "ReadOnlyFileSystem",
        "The program writes to a read-only file system.",
        "The log.",
        "A missing permission.",
    ),
    known(
        "OutOfMemoryInProcess",
        "The program runs out of its own heap.",
        "The log.",
        "A kill at the container's limit (OOMKilled).",
    ),
    known("Deadlock", "A deadlock was found.", "The log.", "Slow calls."),
    known(
        "MigrationFailed",
        "A schema change failed or was never made.",
        "The log of a container that fails.",
        "A database that cannot be reached.",
    ),
    known(
        "SlowRequests",
        "Requests are slow or refused; another cause says why.",
        "The log, repeatedly.",
        "Single slow requests.",
    ),
    known(
        "CredentialsRefused",
        "Credentials are refused, by whom the log does not say.",
        "The log, repeatedly.",
        "A right that the identity lacks.",
    ),
    known(
        "TokenExpired",
        "A token, session or licence has expired.",
        "The log, repeatedly.",
        "A certificate that has expired; a clock that is wrong.",
    ),
    known(
        "SchemaMissing",
        "The database lacks a table or column: a migration was not run.",
        "The log, which names it.",
        "A migration that failed half-way.",
    ),
    known(
        "ProcessLimitReached",
        "The system gives no further thread or process.",
        "The log.",
        "Memory that is used up.",
    ),
    known(
        "SharedMemoryTooSmall",
        "/dev/shm is used up.",
        "The log.",
        "A full disk.",
    ),
    known(
        "ClockSkew",
        "A clock is wrong.",
        "The log.",
        "A token or certificate that has expired.",
    ),
    known(
        "PoisonMessage",
        "A message that cannot be processed is read again and again.",
        "The log, at least three times.",
        "One bad message that was skipped.",
    ),
    known(
        "LockContention",
        "Transactions wait for locks until they time out.",
        "The log, repeatedly.",
        "A deadlock, which the database ends itself.",
    ),
    known(
        "StoreFull",
        "A store refuses writes: its memory or disk limit is reached.",
        "The log.",
        "A full disk of the caller.",
    ),
    known(
        "Stalled",
        "A worker or thread stands still.",
        "The log.",
        "A program without work to do.",
    ),
    known(
        "DataCorrupt",
        "Data on disk is damaged.",
        "The log of a container that fails.",
        "A message that does not parse.",
    ),
    known(
        "ProtocolMismatch",
        "One side of a call speaks TLS or another protocol, and the other does not.",
        "The log, repeatedly.",
        "A certificate that is not trusted.",
    ),
    known(
        "MessageTooLarge",
        "A message or body is larger than the other side takes.",
        "The log, repeatedly.",
        "A full disk; a store that is full.",
    ),
    known(
        "DataRace",
        "Data that several threads share, or that a loop reads, is changed meanwhile (a race).",
        "The run time's own words: concurrent map writes, ConcurrentModificationException, changed size during iteration.",
        "A deadlock, in which nothing goes on; transactions that wait for locks.",
    ),
    known(
        "ResourceLeak",
        "A program does not close what it opens, and so runs out of connections or descriptors.",
        "The run time's own warning (unclosed, leak detected) beside an exhausted pool or too many open files.",
        "The same warning in a program that lacks nothing; a pool that is too small for its load.",
    ),
];

/// Claims of this domain.
pub fn analyze(view: &View<'_>) -> Vec<Finding> {
    let mut found: Vec<Finding> = Vec::new();
    for workload in &view.facts.workloads {
        for (at, group, evidence) in view.logs.of(&workload.name) {
            if group.signature == Signature::Overload {
                if group.count >= 5 && counts(view, workload, at, group) {
                    merge(&mut found, slow(workload, group, evidence));
                }
                continue;
            }
            if group.signature == Signature::Unclosed {
                if let Some(finding) = unclosed(view, workload, group, evidence) {
                    merge(&mut found, finding);
                }
                continue;
            }
            let Some((category, what, instruction)) = meaning(group) else {
                continue;
            };
            if !counts(view, workload, at, group) {
                continue;
            }
            let failing = is_failing(workload, view, at);
            // What a running program merely mentions about files, commands and syntax is no fault, unless it calls it an error again
            // and again.
            let needs_failure = matches!(
                group.signature,
                Signature::FileMissing
                    | Signature::CommandNotFound
                    | Signature::Syntax
                    | Signature::PermissionDenied
                    | Signature::InvalidSetting
                    | Signature::MigrationFailed
                    | Signature::Corrupt
            );
            if needs_failure && !((failing && group.at_end) || group.errors >= 3) {
                continue;
            }
            if group.signature == Signature::BadMessage && group.count < 3 {
                continue;
            }
            // Where another analyzer can say more exactly what this is, it does.
            if (failing && super::surroundings::explains(view, at, group))
                || super::volumes::explains(view, workload, at, group, evidence)
                || super::values::explains(view, workload, at, group, evidence)
                || super::migrations::explains(view, workload, group, evidence)
            {
                continue;
            }
            if let Some(finding) = super::certificates::of_called(view, workload, group, evidence) {
                merge(&mut found, finding);
                continue;
            }
            let agreeing = u8::from(failing) + u8::from(group.count > 2 || (failing && group.at_end));
            let inline = if group.signature == Signature::Syntax {
                inline_command(workload, view, at)
            } else {
                None
            };
            let where_ = inline.map_or(String::new(), |_| {
                "; the text is in the container's own command or args: its quotes or parentheses do not match"
                    .to_owned()
            });
            let container = view.facts.case.logs().get(at).map_or("", |log| log.container.as_str());
            merge(
                &mut found,
                claim(
                    category,
                    &workload.name,
                    Depth::Fault,
                    Basis::Logged,
                    agreeing + u8::from(inline.is_some()),
                )
                .says(format!(
                    "container {container} of {}: {what} (\"{}\", {} times){where_}",
                    workload.name,
                    clip(&group.sample, 200),
                    group.count
                ))
                .cites(
                    [evidence]
                        .into_iter()
                        .chain(failing.then_some(workload.evidence))
                        .chain(inline),
                )
                .since(group.first)
                .manual(instruction)
                .done(),
            );
        }
    }
    found
}

fn meaning(group: &Group) -> Option<(&'static str, String, String)> {
    let subject = group.subject.as_str();
    let (category, what, instruction) = match group.signature {
        Signature::InvalidSetting => ("InvalidSetting", format!("the setting {subject} has a value that the program cannot read"), format!("correct the value of {subject}")),
        Signature::PoolExhausted => (
            "ConnectionPoolExhausted",
            "its connection pool is exhausted: requests wait for a free connection and time out".to_owned(),
            "find what holds connections (a leak, long transactions); a restart is relief for a while; raise the pool only within what the server allows".to_owned(),
        ),
        Signature::CertificateExpired => (
            "CertificateExpired",
            format!(
                "a TLS certificate{} has expired, so its verification fails",
                if subject.is_empty() { String::new() } else { format!(" that {subject} shows") }
            ),
            "renew the certificate, put it where the pods read it, then restart them".to_owned(),
        ),
        Signature::CertificateInvalid => (
            "CertificateInvalid",
            format!(
                "a TLS certificate{} is not trusted, or is for another name",
                if subject.is_empty() { String::new() } else { format!(" that {subject} shows") }
            ),
            "give the program the right CA, or the server a certificate for the name that is called".to_owned(),
        ),
        Signature::Syntax => (
            "SyntaxError",
            "its code or command does not parse: syntax error".to_owned(),
            "correct the command, args or script".to_owned(),
        ),
        Signature::CommandNotFound => (
            "CommandNotFound",
            format!("the command {subject} is not in its image: not found"),
            format!("correct the command, or use an image that has {subject}"),
        ),
        Signature::FileMissing => (
            "FileMissing",
            format!("a file that it needs is missing: {}", if subject.is_empty() { "see the line" } else { subject }),
            "mount or create the file, or correct its path".to_owned(),
        ),
        Signature::PermissionDenied => (
            "PermissionDenied",
            "the operating system refuses it access".to_owned(),
            "set fsGroup or runAsUser to fit the files' owner, or mount the volume writable".to_owned(),
        ),
        Signature::AddressInUse => ("AddressInUse", "the port that it wants is taken".to_owned(), "two processes of the pod (or hostPort) use one port: change one".to_owned()),
        Signature::TooManyFiles => (
            "TooManyOpenFiles",
            "no file descriptor is free".to_owned(),
            "find what leaves files or connections open; a restart is relief for a while".to_owned(),
        ),
        Signature::DiskFull => ("DiskFull", "no space is left on its disk".to_owned(), "free or enlarge the volume".to_owned()),
        Signature::ReadOnly => (
            "ReadOnlyFileSystem",
            "it writes to a read-only file system".to_owned(),
            "mount an emptyDir where it writes, or make the mount writable".to_owned(),
        ),
        Signature::OutOfMemory => (
            "OutOfMemoryInProcess",
            "the program runs out of its own memory (heap)".to_owned(),
            "raise the heap within the container's limit, or find the leak".to_owned(),
        ),
        Signature::AuthFailed if subject.is_empty() => (
            "CredentialsRefused",
            "its credentials are refused (authentication failed)".to_owned(),
            "give the program the credentials that are valid now, then restart it; where they come from a Secret that was changed, a restart is enough".to_owned(),
        ),
        Signature::Protocol => (
            "ProtocolMismatch",
            format!(
                "the two sides of a call{} speak different protocols (TLS on one side, none on the other)",
                if subject.is_empty() { String::new() } else { format!(" to {subject}") }
            ),
            "let both sides use TLS or neither: correct the scheme (http, https, sslmode) or the port in the caller's address".to_owned(),
        ),
        Signature::TooLarge => (
            "MessageTooLarge",
            "a message or body is larger than the other side takes".to_owned(),
            "raise the limit on the receiving side, or send less at once".to_owned(),
        ),
        Signature::TokenExpired => (
            "TokenExpired",
            "a token, session or licence that it uses has expired".to_owned(),
            "renew the token where the program gets it from, then restart the pods if it is read at the start alone".to_owned(),
        ),
        Signature::SchemaMissing => (
            "SchemaMissing",
            format!(
                "the database lacks what the program asks for{}: a schema migration was not run, or ran against another database",
                if subject.is_empty() { String::new() } else { format!(" ({subject})") }
            ),
            "run the migration that creates it, or go back to the release that fits the schema".to_owned(),
        ),
        Signature::NoThread => (
            "ProcessLimitReached",
            "the system gives it no further thread or process: too many threads for its pid limit or memory".to_owned(),
            "find what starts threads without end; a restart is relief for a while; raise the pid limit only if so many are meant".to_owned(),
        ),
        Signature::SharedMemory => (
            "SharedMemoryTooSmall",
            "its shared memory (/dev/shm, 64 MiB by default) is used up".to_owned(),
            "mount an emptyDir with medium Memory at /dev/shm, of the size that is needed".to_owned(),
        ),
        Signature::ClockSkew => (
            "ClockSkew",
            "its clock, or that of what it calls, is wrong (clock skew)".to_owned(),
            "set the time of the node right (chrony or ntp)".to_owned(),
        ),
        Signature::BadMessage => (
            "PoisonMessage",
            "it cannot process a message that it reads again and again (poison message)".to_owned(),
            "skip or move that message (dead-letter queue), then let the program survive what it cannot read".to_owned(),
        ),
        Signature::LockWait => (
            "LockContention",
            "its transactions wait for locks that others hold until they time out".to_owned(),
            "find who holds the lock (a long transaction, a migration, a second writer) and end it".to_owned(),
        ),
        Signature::StoreFull => (
            "StoreFull",
            "the store refuses writes: its memory or disk limit (maxmemory, flood stage) is reached".to_owned(),
            "free or enlarge the store, set an eviction policy, or find what fills it".to_owned(),
        ),
        Signature::Stalled => (
            "Stalled",
            "a worker or thread of it stands still (blocked, no progress)".to_owned(),
            "look at what the blocked thread waits for (a thread dump); a restart is relief for a while".to_owned(),
        ),
        Signature::Corrupt => (
            "DataCorrupt",
            "data that it reads is damaged (corrupt, checksum mismatch)".to_owned(),
            "restore the data from a backup or replica before anything writes to it".to_owned(),
        ),
        Signature::Race => (
            "DataRace",
            "data is changed while another thread or a loop reads it (a race)".to_owned(),
            "guard the data with a lock, or iterate over a copy; until then a restart is relief, and fewer threads make it rarer".to_owned(),
        ),
        Signature::Deadlock => ("Deadlock", "a deadlock was found".to_owned(), "look at the transactions or goroutines that the log names".to_owned()),
        Signature::MigrationFailed => (
            "MigrationFailed",
            "a schema change failed or was never made".to_owned(),
            "repair or run the migration, then restart".to_owned(),
        ),
        _ => return None,
    };
    Some((category, what, instruction))
}

/// A warning that something was not closed is a cause only where that has run out.
fn unclosed(view: &View<'_>, workload: &Workload<'_>, group: &Group, evidence: &str) -> Option<Finding> {
    let (_, lacking, id) = view.logs.of(&workload.name).find(|(at, other, _)| {
        matches!(other.signature, Signature::PoolExhausted | Signature::TooManyFiles)
            && counts(view, workload, *at, other)
    })?;
    Some(
        claim("ResourceLeak", &workload.name, Depth::Fault, Basis::Logged, 2)
            .says(format!(
                "{} does not close what it opens (\"{}\", {} times), and runs out of it (\"{}\", {} times)",
                workload.name,
                clip(&group.sample, 160),
                group.count,
                clip(&lacking.sample, 160),
                lacking.count
            ))
            .cites([evidence, id])
            .since(group.first.min(lacking.first).or(lacking.first))
            .manual("close what the warning names on every path, errors too; a restart is relief for a while, and a larger pool only delays it")
            .done(),
    )
}

/// What people feel, not yet why.
fn slow(workload: &Workload<'_>, group: &Group, evidence: &str) -> Finding {
    claim("SlowRequests", &workload.name, Depth::Symptom, Basis::Logged, 1)
        .says(format!(
            "{} tells of slow or refused requests, {} times: \"{}\"",
            workload.name,
            group.count,
            clip(&group.sample, 160)
        ))
        .cites([evidence])
        .since(group.first)
        .done()
}

/// Whether a group of lines is trouble at all: of a container that fails, near its end; or going on, repeatedly, in one that runs.
pub(super) fn counts(view: &View<'_>, workload: &Workload<'_>, at: usize, group: &Group) -> bool {
    if is_failing(workload, view, at) {
        // What came before the last lines of a container that does nothing now may be why.
        let before = group.errors > 0 && view.facts.case.logs().get(at).is_some_and(|log| log.earlier);
        return group.at_end || group.count >= 2 || group.ongoing || before;
    }
    // A program that names its own end and then falls silent does not work any more, ready or not.
    let silent = group.at_end
        && matches!(
            group.signature,
            Signature::Deadlock | Signature::OutOfMemory | Signature::Stalled
        );
    silent || (group.ongoing && group.count >= 2 && (group.share >= 2 || group.count >= 30) && !group.retried)
}

/// The logs of containers that do not do their work now: each with the workload whose it is.
pub(super) fn failing_logs<'v>(view: &'v View<'_>) -> impl Iterator<Item = (&'v LogRecord, &'v Workload<'v>)> {
    view.facts
        .case
        .logs()
        .iter()
        .enumerate()
        .filter_map(|(at, log)| Some((at, log, view.facts.workload(&log.pod)?)))
        .filter(|(at, _, workload)| is_failing(workload, view, *at))
        .map(|(_, log, workload)| (log, workload))
}

/// Whether the container of that log does not do its work now.
pub(super) fn is_failing(workload: &Workload<'_>, view: &View<'_>, at: usize) -> bool {
    let Some(log) = view.facts.case.logs().get(at) else {
        return false;
    };
    let now = view.facts.case.now();
    workload
        .pods
        .iter()
        .filter(|pod| *pod.name == log.pod)
        .any(|pod| (!pod.is_ready() && pod.phase() != "Succeeded") || restarted(pod, &log.container, now))
}

fn restarted(pod: &PodFacts<'_>, container: &str, now: k8s_openapi::jiff::Timestamp) -> bool {
    pod.statuses()
        .filter(|(status, _)| status.name == container && !super::pods::recovered(pod, status, now))
        .any(|(status, _)| {
            waiting(status).is_some_and(|(reason, _)| reason == "CrashLoopBackOff")
                || (status.restart_count > 0
                    && ended(status)
                        .is_some_and(|end| end.exit_code != 0 && super::pods::is_recent(pod, end.finished, now)))
        })
}

/// The workload's evidence, where the container runs a command text of its own (`sh -c …`, `python3 -c …`).
fn inline_command<'v>(workload: &Workload<'v>, view: &View<'_>, at: usize) -> Option<&'v str> {
    let log = view.facts.case.logs().get(at)?;
    let container = workload.container(&log.container)?;
    let words: Vec<&str> = container
        .command
        .iter()
        .flatten()
        .chain(container.args.iter().flatten())
        .map(String::as_str)
        .collect();
    words
        .iter()
        .any(|word| matches!(*word, "-c" | "-e" | "-ec" | "-xc" | "-lc" | "--eval"))
        .then_some(workload.evidence)
}
