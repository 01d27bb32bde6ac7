//! A notice as an e-mail: subject and plain text, never HTML. Called by the sender.

use super::notice::Notice;
use super::words;
use crate::text::clip;

/// Longer subjects are cut by what shows them.
const SUBJECT: usize = 200;

/// In one line: text of a cluster cannot add a header, since it holds no line break (`notice`).
pub fn subject(notice: &Notice) -> String {
    clip(&format!("[Firewatch] {}", words::headline(notice)), SUBJECT)
}

/// The text.
pub fn body(notice: &Notice) -> String {
    format!(
        "{}\n\nkubectl incident show {} -n {}\n",
        words::text(notice),
        notice.name,
        notice.namespace
    )
}

/// The same for all messages of an incident, so that they make one thread: what stands in `References`.
pub fn thread_id(notice: &Notice) -> String {
    format!("<{}@firewatch.invalid>", notice.incident_uid)
}

/// The same whenever the same notice is sent again.
pub fn message_id(notice: &Notice) -> String {
    format!("<{}.{}@firewatch.invalid>", notice.incident_uid, notice.sequence)
}
