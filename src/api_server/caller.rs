//! Who calls. A token lives as long as its request: nothing prints it, and only `approval` uses it for anything but asking whose it is.

use std::collections::BTreeMap;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};

use crate::intake::auth::{self, Hash};

/// What users of the token file are called, so that none of them is taken for a user of the cluster.
pub const PREFIX: &str = "firewatch-api:";
/// Longer ones are nobody's.
const MAX_TOKEN: usize = 16 * 1024;

/// A token. Its `Debug` prints nothing of it, and its memory is wiped.
#[derive(Clone)]
pub struct Bearer(SecretString);

impl Bearer {
    /// Of a request; none where it cannot be one.
    pub fn new(text: &str) -> Option<Self> {
        let printable = text.bytes().all(|byte| byte.is_ascii_graphic());
        (!text.is_empty() && text.len() <= MAX_TOKEN && printable).then(|| Self(SecretString::from(text)))
    }

    /// The token itself, to be sent to the API server.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// For a client that speaks with it.
    pub fn secret(&self) -> SecretString {
        self.0.clone()
    }

    /// What it is remembered by.
    pub fn digest(&self) -> Hash {
        auth::hash(self.expose())
    }
}

impl std::fmt::Debug for Bearer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Bearer")
    }
}

/// A user, as the API server knows users.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct User {
    /// Name.
    pub name: String,
    /// uid, where it has one.
    pub uid: Option<String>,
    /// Groups.
    pub groups: Vec<String>,
    /// What else its authenticator says.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl User {
    /// The owner of a line of the token file.
    pub fn of_the_file(name: &str) -> Self {
        Self {
            name: format!("{PREFIX}{name}"),
            groups: vec!["firewatch-api".to_owned()],
            ..Self::default()
        }
    }
}

/// Who calls, and how that is known.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who.
    pub user: User,
    /// The token by which the cluster itself knows them; none for those of the token file.
    pub own_token: Option<Arc<Bearer>>,
}

/// A line of the token file: `token,name`.
pub fn line(text: &str) -> Option<(&str, String)> {
    let (token, name) = text.split_once(',')?;
    let name = name.trim();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@');
    (!name.is_empty() && name.len() <= 128 && name.chars().all(plain)).then(|| (token.trim(), name.to_owned()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_token_is_not_printed() {
        let token = Bearer::new("a-very-secret-token").unwrap();
        assert_eq!(format!("{token:?} {token:#?}"), "Bearer Bearer");
        let caller = Caller {
            user: User::of_the_file("ci"),
            own_token: Some(Arc::new(token)),
        };
        assert!(!format!("{caller:?}").contains("very-secret"));
    }

    #[test]
    fn what_cannot_be_a_token_is_none() {
        for bad in ["", "a b", "a\nb", "ä", &"x".repeat(MAX_TOKEN + 1)] {
            assert!(Bearer::new(bad).is_none());
        }
    }

    #[test]
    fn a_user_of_the_file_cannot_take_a_name_of_the_cluster() {
        assert_eq!(line("0123456789abcdef,ci"), Some(("0123456789abcdef", "ci".to_owned())));
        assert_eq!(User::of_the_file("ci").name, "firewatch-api:ci");
        for bad in ["token", "token,", "token,system:admin", "token,a b"] {
            assert_eq!(line(bad), None, "{bad}");
        }
    }
}
