//! Prints the runner's lines to the pod's log and leaves their count and digest in the termination message. The only writer to
//! both: commands have pipes.

use std::io::Write;
use std::path::Path;

use firewatch_core::sandbox::output::{OutputLine, Printer, Termination};

/// Where the kubelet reads a container's last words.
const TERMINATION_LOG: &str = "/dev/termination-log";

/// Lines of one pod.
pub struct Report {
    nonce: String,
    printer: Printer,
    room: usize,
}

impl Report {
    /// Lines that carry this nonce, at most `bytes` in all.
    pub fn new(nonce: String, bytes: usize) -> Self {
        Self {
            nonce,
            printer: Printer::default(),
            room: bytes,
        }
    }

    /// How many bytes may still be printed.
    pub fn room(&self) -> usize {
        self.room
    }

    /// How many bytes this line will take, its newline included.
    pub fn size(&self, line: &OutputLine) -> std::io::Result<usize> {
        // The longest sequence there is; the nonce is put in by `print`.
        Ok(serde_json::to_string(line)?
            .len()
            .saturating_add(self.nonce.len())
            .saturating_add(16))
    }

    /// Prints one line.
    pub fn print(&mut self, mut line: OutputLine) -> std::io::Result<()> {
        line.nonce.clone_from(&self.nonce);
        let text = self.printer.render(line)?;
        self.room = self.room.saturating_sub(text.len());
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    }

    /// Leaves the digest.
    pub fn finish(self) -> std::io::Result<()> {
        leave(&self.printer.termination())
    }
}

/// Leaves a fault instead of a result.
pub fn fault(reason: &str, message: &str) -> std::io::Result<()> {
    eprintln!("{reason}: {message}");
    let message = Some(message.chars().take(1500).collect());
    leave(&Termination {
        fault: Some(reason.to_owned()),
        message,
        ..Printer::default().termination()
    })
}

fn leave(termination: &Termination) -> std::io::Result<()> {
    let text = serde_json::to_string(termination)?;
    if Path::new(TERMINATION_LOG).exists() {
        std::fs::write(TERMINATION_LOG, text)
    } else {
        // Not in a pod: whoever runs it by hand sees it.
        eprintln!("{text}");
        Ok(())
    }
}
