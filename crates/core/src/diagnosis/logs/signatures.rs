//! The phrases by which programs and run times tell of trouble, one table: what they mean, and where they name a subject.
//! Never single words. Read by `logs` alone; a test holds that every line of it compiles.

use std::sync::LazyLock;

use regex::Regex;

/// What kind of trouble a line tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, strum::AsRefStr, strum::Display)]
pub enum Signature {
    /// A setting or environment variable that the program needs is not there.
    MissingSetting,
    /// A setting is there, and the program cannot read it.
    InvalidSetting,
    /// A connection was refused.
    Refused,
    /// A call or connection took too long.
    TimedOut,
    /// A host name does not resolve.
    Dns,
    /// Something that was called answered with an error of its own.
    UpstreamError,
    /// The API server refused the program's identity.
    Forbidden,
    /// A certificate has expired.
    CertificateExpired,
    /// A certificate is not trusted, or for another name.
    CertificateInvalid,
    /// No connection of a pool is free.
    PoolExhausted,
    /// Code or command text that does not parse.
    Syntax,
    /// A command that is not in the image.
    CommandNotFound,
    /// A file that is not there.
    FileMissing,
    /// The operating system refused access to a file.
    PermissionDenied,
    /// A port that is taken.
    AddressInUse,
    /// No file descriptor is free.
    TooManyFiles,
    /// No space is left.
    DiskFull,
    /// A file system that cannot be written.
    ReadOnly,
    /// The program ran out of memory by its own account.
    OutOfMemory,
    /// A database found a deadlock.
    Deadlock,
    /// A password, token or key was refused.
    AuthFailed,
    /// Too many calls, says what was called.
    RateLimited,
    /// Requests are slow, or refused because too many are in flight.
    Overload,
    /// A schema change failed.
    MigrationFailed,
}

const NAME: &str = r#"["'`(\[]?([A-Za-z_][A-Za-z0-9_.\-]*)["'`)\]]?"#;

pub(super) fn table() -> Vec<(Signature, String)> {
    use Signature as S;
    let noun = r"(?:environment variables?|env(?:ironment)? var(?:iable)?s?|env|settings?|config(?:uration)?(?: (?:key|value|property|option|variable|setting))?s?|variables?|propert(?:y|ies)|keys?|parameters?|options?)";
    let state = r"(?:is |was |are |has |must |needs to |should )?(?:undefined|unset|missing|required|empty|null|not (?:be |been )?(?:set|defined|provided|specified|configured|found|present|given|available)|be (?:set|defined|provided|specified|configured|present)|does not exist)";
    [
        (S::MissingSetting, format!(r"(?i){noun}\s*[:=]?\s*{NAME}\s+{state}")),
        (S::MissingSetting, format!(r"(?i)(?:missing|undefined|unset|required|need|no|expected)(?: the)?(?: required| mandatory)? {noun}\s*[:=]?\s*{NAME}")),
        (S::MissingSetting, format!(r#"["'`]?\b([A-Z][A-Z0-9]*_[A-Z0-9_]+|[A-Z]{{4,}})["'`]?\s+{state}"#)),
        (S::MissingSetting, r"(?i)missing(?: required)?:? ((?-i)[A-Z][A-Z0-9]*_[A-Z0-9_]+)".to_owned()),
        (S::MissingSetting, r#"KeyError: ['"]([A-Z][A-Z0-9_]{2,})['"]"#.to_owned()),
        (S::MissingSetting, r"Could not resolve placeholder '([^'}]+)'".to_owned()),
        (S::MissingSetting, r"\b([A-Za-z_]\w*): (?:unbound variable|parameter (?:null or )?not set)".to_owned()),
        (S::MissingSetting, r#"key not found: ["']?([A-Z][A-Z0-9_]+)"#.to_owned()),
        (S::MissingSetting, r"required key ([A-Z][A-Z0-9_]+) missing value".to_owned()),
        (S::InvalidSetting, format!(r"(?i)(?:invalid|malformed|illegal|bad|cannot parse|could not parse|failed to parse|unable to parse) (?:value (?:for|of|in) )?(?:the )?{noun}\s*[:=]?\s*{NAME}")),
        (S::InvalidSetting, r"(?i)invalid value (?:for|of) ((?-i)[A-Z][A-Z0-9_]{3,})".to_owned()),
        (S::Dns, r"(?i)name resolution|name or service not known|no such host|ENOTFOUND|EAI_AGAIN|could not resolve host|cannot resolve|could not translate host name|unknownhostexception|nodename nor servname|failed to lookup address|getaddrinfo failed|server misbehaving|NXDOMAIN|can't resolve|can't find \S+: |bad address".to_owned()),
        (S::Refused, r"(?i)connection refused|ECONNREFUSED|actively refused|connect: refused|no route to host|EHOSTUNREACH|network is unreachable".to_owned()),
        (S::PoolExhausted, r"(?i)pool (?:is )?exhausted|pool.{0,20}(?:exhausted|is full|has no free)|(?:waiting|wait) for (?:a |an )?(?:free |idle )?connection from (?:the )?pool|connection is not available, request timed out|queuepool limit|too many (?:clients|connections)|remaining connection slots|(?:cannot|could not|unable to) get (?:a )?connection(?: from (?:the )?pool)?|timeout acquiring a connection".to_owned()),
        (S::CertificateExpired, r"(?i)certificate (?:has |is )?expired|certificate.{0,60}expired|certificate has expired or is not yet valid|CERT_HAS_EXPIRED|NotAfter.{0,40}expired".to_owned()),
        (S::CertificateInvalid, r"(?i)certificate verify failed|certificate signed by unknown authority|unable to verify the first certificate|self[- ]signed certificate|PKIX path building failed|x509: certificate is (?:valid for|not valid)|certificate is valid for .{1,80}, not |hostname mismatch|unknown certificate authority|UnknownIssuer|DEPTH_ZERO_SELF_SIGNED|ERR_TLS_CERT_ALTNAME_INVALID".to_owned()),
        (S::Forbidden, r#"(?i)is forbidden: User "([^"]+)" cannot (\w+) resource "?([\w./-]+)"?"#.to_owned()),
        (S::AuthFailed, r"(?i)password authentication failed|access denied for user|authentication failed|invalid username or password|invalid api key|401 unauthorized|WRONGPASS|NOAUTH|SASL.{0,20}fail|InvalidClientTokenId|bad credentials".to_owned()),
        (S::RateLimited, r"(?i)429 too many requests|status(?: code)?[ =:]+429|rate limit(?:ed)? exceeded|too many requests|ThrottlingException".to_owned()),
        (S::AddressInUse, r"(?i)address already in use|EADDRINUSE|bind: address in use|port \d+ (?:is )?already (?:in use|allocated)".to_owned()),
        (S::TooManyFiles, r"(?i)too many open files|EMFILE".to_owned()),
        (S::DiskFull, r"(?i)no space left on device|ENOSPC|disk quota exceeded".to_owned()),
        (S::ReadOnly, r"(?i)read-only file system|EROFS".to_owned()),
        (S::OutOfMemory, r"java\.lang\.OutOfMemoryError|^MemoryError|JavaScript heap out of memory|System\.OutOfMemoryException|fatal error: runtime: out of memory|std::bad_alloc|NoMemoryError".to_owned()),
        (S::Deadlock, r"(?i)deadlock (?:detected|found)|found one java-level deadlock|all goroutines are asleep - deadlock".to_owned()),
        (S::MigrationFailed, r"(?i)migration.{0,60}(?:failed|error)|(?:failed|error).{0,40}migration|dirty database version|checksum mismatch for migration|relation .{1,60} does not exist|no such table|unknown column".to_owned()),
        (S::Syntax, r"(?i)syntax error|SyntaxError|unexpected EOF while looking for matching|unterminated quoted string|IndentationError|parse error near".to_owned()),
        (S::CommandNotFound, r"(?i)\b([\w./-]+): (?:command )?not found\b|executable file not found|exec format error".to_owned()),
        (S::PermissionDenied, r"(?i)permission denied|EACCES|PermissionError|operation not permitted|AccessDeniedException".to_owned()),
        (S::FileMissing, r#"(?i)no such file or directory:? ?["'`]?(/[^"'`\s:,]*)?|["'`]?(/[\w./-]+)["'`]?:? no such file or directory|ENOENT|FileNotFoundException:? ?(/\S*)?|cannot open ["'`]?(/\S+)"#.to_owned()),
        (S::UpstreamError, r"(?i)(?:HTTP(?:/\d\.\d)?|status(?: code)?|answered|returned|responded with|got|->|code)[ =:(]*\b(?:500|502|503|504)\b|\b(?:502 bad gateway|503 service unavailable|504 gateway time-?out)\b|HTTP error 50[0234]".to_owned()),
        (S::Overload, r"(?i)\bslow (?:request|query|response)|server (?:is )?busy|too many requests in flight|queue (?:is )?full|request took \d{4,} ?ms|overloaded|load shed|worker (?:pool|queue) (?:is )?(?:full|exhausted)|rejectedexecution".to_owned()),
        (S::TimedOut, r"(?i)timed? ?out|ETIMEDOUT|deadline exceeded|i/o timeout|TimeoutException|TimeoutError".to_owned()),
    ]
    .into_iter()
    .collect()
}

pub(super) static SIGNATURES: LazyLock<Vec<(Signature, Regex)>> = LazyLock::new(|| {
    table()
        .into_iter()
        .filter_map(|(signature, text)| Some((signature, Regex::new(&text).ok()?)))
        .collect()
});
