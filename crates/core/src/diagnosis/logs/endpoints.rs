//! Hosts and ports that a text names: in URLs, as `host:port`, in the words of resolvers and drivers. Called by the log analyzers, and by
//! the graph for settings.

use std::sync::LazyLock;

use regex::Regex;

pub(super) static HOST: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r#"(?x)
        [a-z][a-z0-9+.-]*://(?:[^\s/@"']*@)?(?P<uh>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)(?::(?P<up>\d{1,5}))?
        | (?i:host(?:name)?)["']?\s*[:=]?\s*["']?(?P<hh>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)["']?\s*,?\s*(?:and\s+)?(?i:port)["']?\s*[:=]?\s*["']?(?P<hp>\d{1,5})
        | (?i:lookup|resolve(?:\ host(?:name)?)?:?|ENOTFOUND|EAI_AGAIN|host\ name|UnknownHostException:|address\ for)\s+["']?(?P<lh>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)
        | (?i:server|address|broker|database|peer|upstream)\s+(?:at|on)\s+["'](?P<qh>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)["']?(?:[:,]|\s+\([^)]*\),)?\s*(?:port\s+)?(?P<qp>\d{2,5})?
        | \b(?P<nh>[A-Za-z][A-Za-z0-9.-]*[A-Za-z0-9])/(?:<unresolved>|\d{1,3}(?:\.\d{1,3}){3}):(?P<np>\d{2,5})
        | \b(?P<bh>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?):(?P<bp>\d{2,5})\b
        "#,
    )
    .ok()
});

/// A host that a line names, and its port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// A name or an address.
    pub host: String,
    /// Its port.
    pub port: Option<u16>,
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}:{port}", self.host),
            None => f.write_str(&self.host),
        }
    }
}

/// Hosts that a text names, in its order. Source files with line numbers and times of day are none.
pub fn endpoints(text: &str) -> Vec<Endpoint> {
    const SOURCES: [&str; 14] = [
        ".py", ".js", ".ts", ".go", ".java", ".rs", ".rb", ".cs", ".kt", ".c", ".cpp", ".php", ".ex", ".scala",
    ];
    let Some(regex) = HOST.as_ref() else { return Vec::new() };
    regex
        .captures_iter(text)
        .filter_map(|captures| {
            let get = |names: &[&str]| names.iter().find_map(|name| captures.name(name)).map(|m| m.as_str());
            let host = get(&["uh", "hh", "lh", "qh", "nh", "bh"])?;
            let port = get(&["up", "hp", "qp", "np", "bp"]).and_then(|port| port.parse().ok());
            let lower = host.to_ascii_lowercase();
            let numeric = host.chars().all(|c| c.is_ascii_digit() || c == '.');
            let address = numeric && host.split('.').count() == 4;
            let bare = captures.name("bh").is_some();
            // `(_ssl.c:1029)`: the end of a longer name is no host.
            let cut = captures
                .name("bh")
                .and_then(|m| text.get(..m.start()))
                .is_some_and(|before| before.ends_with(['.', '_']));
            let word = matches!(
                lower.as_str(),
                "at" | "on"
                    | "the"
                    | "errno"
                    | "line"
                    | "localhost"
                    | "error"
                    | "port"
                    | "status"
                    | "code"
                    | "host"
                    | "for"
                    | "in"
                    | "to"
                    | "name"
                    | "failed"
            );
            let fits = !word
                && !cut
                && (!numeric || address)
                && lower != "0.0.0.0"
                && lower != "127.0.0.1"
                && !(bare && SOURCES.iter().any(|suffix| lower.ends_with(suffix)))
                && !(bare && !address && host.contains('T') && host.starts_with("20"));
            fits.then(|| Endpoint {
                host: host.to_owned(),
                port,
            })
        })
        .collect()
}
