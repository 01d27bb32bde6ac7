//! Which channels there are and what goes to which: the configuration, checked, and the choice for one notice. Called by the operator at its
//! start (checks) and by the relay (choice).

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display, EnumIter};

use super::notice::{Notice, Occasion};
use crate::api::Severity;

const MAX_CHANNELS: usize = 32;
const MAX_ROUTES: usize = 128;

/// What stands in the file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Plan {
    /// Where messages can go.
    #[serde(default)]
    pub channels: Vec<Channel>,
    /// What goes there. None: everything goes everywhere.
    #[serde(default)]
    pub routes: Vec<Route>,
}

/// Which kind a channel is.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, AsRefStr, Display, EnumIter,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Kind {
    /// An incoming webhook of Slack.
    SlackWebhook,
    /// A Slack app: one thread for each incident.
    SlackApp,
    /// CloudEvents, signed.
    Webhook,
    /// Notes, acknowledgement and resolution at PagerDuty.
    Pagerduty,
    /// SMTP.
    Email,
}

/// How an SMTP server is spoken to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tls {
    /// Upgraded before anything else is said; refused where the server cannot.
    #[default]
    Starttls,
    /// From the first byte.
    Implicit,
    /// Not at all: for a relay on the same host. No login is sent.
    None,
}

/// Where messages can go. Secrets are files, never text: they are read again for each message.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Channel {
    /// Unique; what is on its way to a channel is kept under its name.
    pub name: String,
    /// Which kind.
    pub kind: Kind,
    /// The address; of an app and of PagerDuty the base of the API.
    #[serde(default)]
    pub url: Option<String>,
    /// File with the address, where the address is a secret.
    #[serde(default)]
    pub url_file: Option<PathBuf>,
    /// File with the token of an app or of PagerDuty.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
    /// File with the secret that signs.
    #[serde(default)]
    pub secret_file: Option<PathBuf>,
    /// Id of the Slack channel, as in `C0123456789`.
    #[serde(default)]
    pub channel: Option<String>,
    /// Who sends: an address; at PagerDuty that of a user.
    #[serde(default)]
    pub from: Option<String>,
    /// To whom.
    #[serde(default)]
    pub to: Vec<String>,
    /// SMTP server.
    #[serde(default)]
    pub host: Option<String>,
    /// Its port.
    #[serde(default)]
    pub port: Option<u16>,
    /// How it is spoken to.
    #[serde(default)]
    pub tls: Tls,
    /// File with the user's name.
    #[serde(default)]
    pub username_file: Option<PathBuf>,
    /// File with the password.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// PEM file with authorities to trust beside the usual ones.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
}

/// What goes to some channels. Everything that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Route {
    /// Names of channels.
    pub channels: Vec<String>,
    /// At least this much it must matter; what nobody has assessed yet counts as medium.
    #[serde(default)]
    pub min_severity: Option<Severity>,
    /// Namespaces of incidents; one that ends in `*` stands for all that begin so. None: all.
    #[serde(default)]
    pub namespaces: Vec<String>,
    /// Labels of the alert.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Occasions. None: all.
    #[serde(default)]
    pub occasions: Vec<Occasion>,
}

/// What is wrong with the file: which field, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct Fault {
    /// As in `channels[0].urlFile`.
    pub field: String,
    /// What is wrong, and the remedy.
    pub problem: String,
}

fn fault(field: impl Into<String>, problem: impl Into<String>) -> Fault {
    Fault {
        field: field.into(),
        problem: problem.into(),
    }
}

/// Reads the file and checks it whole.
pub fn parse(text: &str) -> Result<Plan, Fault> {
    let plan: Plan = serde_saphyr::from_str(text).map_err(|error| {
        let first = error.to_string();
        fault("notifications", first.lines().next().unwrap_or_default())
    })?;
    check(&plan)?;
    Ok(plan)
}

fn check(plan: &Plan) -> Result<(), Fault> {
    if plan.channels.len() > MAX_CHANNELS {
        return Err(fault("channels", format!("more than {MAX_CHANNELS}: take some away")));
    }
    if plan.routes.len() > MAX_ROUTES {
        return Err(fault("routes", format!("more than {MAX_ROUTES}: take some away")));
    }
    let mut names = BTreeSet::new();
    for (index, channel) in plan.channels.iter().enumerate() {
        let at = format!("channels[{index}]");
        let fits = !channel.name.is_empty()
            && channel.name.len() <= 63
            && channel
                .name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        if !fits {
            return Err(fault(
                format!("{at}.name"),
                "use 1 to 63 letters, digits, '-', '_' or '.'",
            ));
        }
        if !names.insert(channel.name.as_str()) {
            return Err(fault(
                format!("{at}.name"),
                format!("{} is there twice: names are unique", channel.name),
            ));
        }
        of_kind(channel, &at)?;
    }
    for (index, route) in plan.routes.iter().enumerate() {
        let at = format!("routes[{index}]");
        if route.channels.is_empty() {
            return Err(fault(format!("{at}.channels"), "is empty: name the channels"));
        }
        if let Some(unknown) = route.channels.iter().find(|name| !names.contains(name.as_str())) {
            return Err(fault(
                format!("{at}.channels"),
                format!("{unknown:?} is none of the channels"),
            ));
        }
        if let Some(odd) = route.namespaces.iter().find(|pattern| !is_pattern(pattern)) {
            return Err(fault(
                format!("{at}.namespaces"),
                format!("{odd:?} is neither a namespace nor a beginning with * at its end"),
            ));
        }
    }
    let routed: BTreeSet<&str> = plan
        .routes
        .iter()
        .flat_map(|r| &r.channels)
        .map(String::as_str)
        .collect();
    if !plan.routes.is_empty()
        && let Some(idle) = names.iter().find(|name| !routed.contains(*name))
    {
        return Err(fault(
            "routes",
            format!("no route leads to the channel {idle:?}: add one, or take it away"),
        ));
    }
    Ok(())
}

fn is_pattern(text: &str) -> bool {
    let name = text.strip_suffix('*').unwrap_or(text);
    (!name.is_empty() || text == "*")
        && name.len() <= 63
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

/// Each kind has what it needs, and nothing that it does not know.
fn of_kind(channel: &Channel, at: &str) -> Result<(), Fault> {
    #[rustfmt::skip]
    let given: [(&str, bool); 13] = [
        ("url", channel.url.is_some()), ("urlFile", channel.url_file.is_some()), ("tokenFile", channel.token_file.is_some()),
        ("secretFile", channel.secret_file.is_some()), ("channel", channel.channel.is_some()), ("from", channel.from.is_some()),
        ("to", !channel.to.is_empty()), ("host", channel.host.is_some()), ("port", channel.port.is_some()),
        ("tls", channel.tls != Tls::default()), ("usernameFile", channel.username_file.is_some()),
        ("passwordFile", channel.password_file.is_some()), ("caFile", channel.ca_file.is_some()),
    ];
    let (needed, allowed): (&[&str], &[&str]) = match channel.kind {
        Kind::SlackWebhook => (&["urlFile"], &["caFile"]),
        Kind::SlackApp => (&["tokenFile", "channel"], &["url", "caFile"]),
        Kind::Webhook => (&["secretFile"], &["url", "urlFile", "caFile"]),
        Kind::Pagerduty => (&["tokenFile", "from"], &["url", "caFile"]),
        Kind::Email => (
            &["host", "from", "to"],
            &["port", "tls", "usernameFile", "passwordFile", "caFile"],
        ),
    };
    let kind = channel.kind;
    for (field, given) in given {
        if given && !needed.contains(&field) && !allowed.contains(&field) {
            return Err(fault(
                format!("{at}.{field}"),
                format!("a channel of kind {kind} has none: take it away"),
            ));
        }
        if !given && needed.contains(&field) {
            return Err(fault(
                format!("{at}.{field}"),
                format!("a channel of kind {kind} needs it"),
            ));
        }
    }
    if channel.kind == Kind::Webhook && channel.url.is_some() == channel.url_file.is_some() {
        return Err(fault(format!("{at}.url"), "give url or urlFile, one of them"));
    }
    if let Some(url) = &channel.url
        && let Err(problem) = check_url(url)
    {
        return Err(fault(format!("{at}.url"), problem));
    }
    if let Some(id) = &channel.channel
        && !(id.len() <= 32 && !id.is_empty() && id.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit()))
    {
        return Err(fault(
            format!("{at}.channel"),
            "give the channel's id, as in C0123456789, not its name",
        ));
    }
    if channel.username_file.is_some() != channel.password_file.is_some() {
        return Err(fault(
            format!("{at}.passwordFile"),
            "usernameFile and passwordFile belong together",
        ));
    }
    if channel.tls == Tls::None && channel.password_file.is_some() {
        return Err(fault(
            format!("{at}.tls"),
            "a password is not sent without TLS: use starttls or implicit",
        ));
    }
    for (field, address) in channel
        .from
        .iter()
        .map(|from| ("from", from))
        .chain(channel.to.iter().map(|to| ("to", to)))
    {
        let fits = address.len() <= 254
            && address.is_ascii()
            && address
                .split_once('@')
                .is_some_and(|(user, host)| !user.is_empty() && !host.is_empty())
            && !address
                .chars()
                .any(|c| c.is_ascii_control() || c.is_whitespace() || ",;<>\"".contains(c));
        if !fits {
            return Err(fault(
                format!("{at}.{field}"),
                format!("{address:?} is no address, as in ops@example.com"),
            ));
        }
    }
    Ok(())
}

/// An address that can be sent to.
pub fn check_url(url: &str) -> Result<(), &'static str> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    match rest {
        Some(rest) if !rest.is_empty() && !url.chars().any(|c| c.is_control() || c.is_whitespace()) => Ok(()),
        _ => Err("is no address that begins with https:// or http://"),
    }
}

impl Plan {
    /// The channels that a notice goes to, in the order of the file, each once.
    pub fn channels_for(&self, notice: &Notice, labels: &BTreeMap<String, String>) -> Vec<&Channel> {
        self.channels
            .iter()
            .filter(|channel| {
                self.routes.is_empty()
                    || self
                        .routes
                        .iter()
                        .any(|route| route.channels.contains(&channel.name) && route.takes(notice, labels))
            })
            // PagerDuty is told about its own incidents, and knows of no others.
            .filter(|channel| channel.kind != Kind::Pagerduty || notice.pagerduty.is_some())
            .collect()
    }
}

impl Route {
    fn takes(&self, notice: &Notice, labels: &BTreeMap<String, String>) -> bool {
        let severity = notice.severity.unwrap_or(Severity::Medium);
        let namespace = |pattern: &String| match pattern.strip_suffix('*') {
            Some(beginning) => notice.namespace.starts_with(beginning),
            None => *pattern == notice.namespace,
        };
        self.min_severity.is_none_or(|least| severity >= least)
            && (self.namespaces.is_empty() || self.namespaces.iter().any(namespace))
            && self.labels.iter().all(|(key, value)| labels.get(key) == Some(value))
            && (self.occasions.is_empty() || self.occasions.contains(&notice.occasion))
    }
}
