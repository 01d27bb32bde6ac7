//! Bearer tokens of senders, from a file that is read again when it changes. Tokens are compared by their hashes in constant time, and
//! never logged. Called by `server`, here and in `api_server`, before a body is read.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, header};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::sync::Mutex;

use super::config::IntakeError;

/// A shorter token can be guessed.
pub const MIN_TOKEN: usize = 16;
const READ_AGAIN: Duration = Duration::from_secs(10);

pub(crate) type Hash = [u8; 32];

/// What a line of the file says: the token, and whose it is.
type Line<N> = fn(&str) -> Option<(&str, N)>;

/// The tokens of a file, and of each whose it is, where lines say so.
pub struct Tokens<N = ()> {
    path: PathBuf,
    line: Line<N>,
    known: Mutex<(Vec<(Hash, N)>, Instant)>,
}

impl Tokens {
    /// Reads them for the first time: one a line.
    pub async fn open(path: &Path) -> Result<Self, IntakeError> {
        Self::open_as(path, |line| Some((line, ()))).await
    }

    /// Whether these headers carry one of them.
    pub async fn admit(&self, headers: &HeaderMap) -> bool {
        match bearer(headers) {
            Some(sent) => self.owner(sent).await.is_some(),
            None => false,
        }
    }
}

impl<N: Clone> Tokens<N> {
    /// Reads them for the first time, from lines of this form.
    pub async fn open_as(path: &Path, line: Line<N>) -> Result<Self, IntakeError> {
        let hashes = read(path, line).await.map_err(|error| IntakeError::File {
            path: path.display().to_string(),
            error: error.to_string(),
        })?;
        if hashes.is_empty() {
            return Err(IntakeError::NoToken(path.display().to_string()));
        }
        Ok(Self {
            path: path.to_owned(),
            line,
            known: Mutex::new((hashes, Instant::now())),
        })
    }

    /// Whose token this is.
    pub async fn owner(&self, sent: &str) -> Option<N> {
        let sent = hash(sent);
        let mut known = self.known.lock().await;
        if known.1.elapsed() > READ_AGAIN {
            match read(&self.path, self.line).await {
                // A file that is empty for a moment, as it is being replaced, takes no rights away.
                Ok(hashes) if !hashes.is_empty() => known.0 = hashes,
                Ok(_) => tracing::warn!(path = %self.path.display(), "no token in the file: the earlier ones hold"),
                Err(error) => tracing::warn!(path = %self.path.display(), %error, "the tokens could not be read again"),
            }
            known.1 = Instant::now();
        }
        // Every one is compared, whichever matches.
        let mut owner = None;
        for (one, name) in &known.0 {
            if bool::from(one.ct_eq(&sent)) {
                owner = Some(name);
            }
        }
        owner.cloned()
    }
}

async fn read<N>(path: &Path, line: Line<N>) -> std::io::Result<Vec<(Hash, N)>> {
    let text = tokio::fs::read_to_string(path).await?;
    Ok(text
        .lines()
        .filter_map(|text| line(text.trim()))
        .filter(|(token, _)| token.len() >= MIN_TOKEN)
        .map(|(token, name)| (hash(token), name))
        .collect())
}

/// What a token is known by.
pub(crate) fn hash(token: &str) -> Hash {
    Sha256::digest(token.as_bytes()).into()
}

/// The one token that these headers carry.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next()?.to_str().ok()?;
    // Two headers are two senders' opinions: neither counts.
    if values.next().is_some() {
        return None;
    }
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for value in values {
            map.append(header::AUTHORIZATION, value.parse().unwrap());
        }
        map
    }

    async fn tokens(text: &str) -> Result<Tokens, IntakeError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Tokens::open(file.path()).await
    }

    #[tokio::test]
    async fn any_token_of_the_file_admits_and_nothing_else() {
        let tokens = tokens("0123456789abcdef\n\nsecond-token-of-a-rotation\nshort\n")
            .await
            .unwrap();
        let good = ["Bearer 0123456789abcdef", "bearer second-token-of-a-rotation"];
        for value in good {
            assert!(tokens.admit(&headers(&[value])).await, "{value}");
        }
        let bad = [
            "Bearer 0123456789abcdeF",
            "Bearer short",
            "Bearer ",
            "Basic 0123456789abcdef",
            "0123456789abcdef",
            "Bearer 0123456789abcdef0",
        ];
        for value in bad {
            assert!(!tokens.admit(&headers(&[value])).await, "{value}");
        }
        assert!(!tokens.admit(&headers(&[])).await);
        assert!(!tokens.admit(&headers(&[good[0], good[1]])).await, "two headers");
    }

    #[tokio::test]
    async fn a_file_without_a_usable_token_is_refused() {
        assert!(matches!(tokens("short\n").await, Err(IntakeError::NoToken(_))));
        assert!(matches!(
            Tokens::open(Path::new("/nonexistent")).await,
            Err(IntakeError::File { .. })
        ));
    }
}
