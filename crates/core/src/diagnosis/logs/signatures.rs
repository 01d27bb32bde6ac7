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
    /// A table, column or database that the program asks for is not there.
    SchemaMissing,
    /// A connection was lost while it was used.
    Reset,
    /// The operating system gives no further thread or process.
    NoThread,
    /// Shared memory is used up.
    SharedMemory,
    /// A clock is too far from another.
    ClockSkew,
    /// A token or session is no longer valid.
    TokenExpired,
    /// A message that cannot be read, or not be worked on.
    BadMessage,
    /// Transactions wait for each other's locks.
    LockWait,
    /// A store has no memory left for what is written.
    StoreFull,
    /// Work stands still: a worker that does not answer, a loop that is blocked.
    Stalled,
    /// Data on disk is damaged.
    Corrupt,
    /// One side speaks TLS, or another protocol, and the other does not.
    Protocol,
    /// A message or body is larger than the other side takes.
    TooLarge,
    /// Data that is changed while another thread or loop reads it.
    Race,
    /// Something that was opened and never closed, by the run time's own account.
    Unclosed,
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
        (S::Dns, r"(?i)name resolution|name or service not known|no such host|\bENOTFOUND|\bEAI_AGAIN|could not resolve host|cannot resolve|could not translate host name|unknownhostexception|nodename nor servname|failed to lookup address|getaddrinfo failed|server misbehaving|dns resolution failed|name resolution failure|hostname lookup|could not resolve hostname|no address associated with hostname|name does not resolve|NXDOMAIN|can't resolve|can't find \S+: |bad address".to_owned()),
        (S::Race, r"fatal error: concurrent map (?:read and map write|writes|iteration and map write)|^WARNING: DATA RACE|java\.util\.ConcurrentModificationException|(?:dictionary|dict|Set|set|deque) (?:changed size|keys changed|mutated) during iteration|Collection was modified; enumeration operation may not execute|can't add a new key into hash during iteration|already (?:mutably )?borrowed: Borrow(?:Mut)?Error".to_owned()),
        (S::Unclosed, r"ResourceWarning: unclosed|(?i)apparent connection leak detected|connection leak detected|unclosed (?:client session|connector|connection|socket|file)|LEAK: \S+\.(?:release|close)\(\) was not called|A connection to \S+ was leaked|MaxListenersExceededWarning|possible EventEmitter memory leak".to_owned()),
        (S::SharedMemory, r"(?i)could not resize shared memory segment|out of shared memory|/dev/shm.{0,60}(?:no space|full)|shm_open.{0,40}fail|insufficient shared memory|DataLoader worker.{0,60}bus error".to_owned()),
        (S::NoThread, r"(?i)unable to create (?:new )?native thread|can't start new thread|pthread_create.{0,30}(?:failed|resource temporarily unavailable)|failed to (?:create|spawn) (?:new )?(?:os )?thread|fork: (?:retry: )?(?:resource temporarily unavailable|cannot allocate memory)|pids? limit|cgroup: fork rejected".to_owned()),
        (S::ClockSkew, r"(?i)RequestTimeTooSkewed|clock skew|token used before issued|\(iat\)|not yet valid.{0,60}is before|certificate is not yet valid|clock is (?:too far|ahead|behind)|time (?:is )?out of sync|InvalidSignatureException.{0,60}not yet current|Request has expired.{0,40}clock".to_owned()),
        (S::StoreFull, r"OOM command not allowed when used memory|MISCONF Redis is configured|(?i)maxmemory|flood[- ]stage|index read-only / allow delete|cluster_block_exception".to_owned()),
        (S::Refused, r"(?i)connection refused|connection to \S+ refused|communications link failure|could not connect to (?:redis|server|database|host)|couldn't connect to server|can't connect to (?:\w+ )?server|no broker(?:s)? (?:available|in metadata)|NoBrokersAvailable|broker may not be available|bootstrap broker .{0,60}disconnected|connection to node .{0,60}could not be established|NoHostAvailable|server ?selection ?(?:timeout)?error|MongoServerSelectionError|all brokers are down|host is unreachable|failed to connect to (?:all addresses|remote host)|code = Unavailable|14 UNAVAILABLE|StatusCode\.UNAVAILABLE|StatusRuntimeException: UNAVAILABLE|AMQPConnectionError|\bECONNREFUSED|actively refused|connect: refused|no route to host|\bEHOSTUNREACH|network is unreachable".to_owned()),
        (S::PoolExhausted, r"(?i)pool (?:is )?exhausted|pool has been exhausted|pool.{0,30}(?:at|reached) (?:its )?(?:max|limit)|max pool size was reached|timed? ?out (?:waiting|fetching|obtaining) (?:for )?(?:a |an )?(?:free |idle )?(?:connection|jdbc connection) from (?:the )?pool|sorry, too many clients|max_connections|KnexTimeoutError|pool timed out while waiting|could not obtain (?:jdbc )?connection|no (?:free|idle|available) connections?|pool.{0,20}(?:exhausted|is full|has no free)|(?:waiting|wait) for (?:a |an )?(?:free |idle )?connection from (?:the )?pool|connection is not available, request timed out|queuepool limit|too many (?:clients|connections)|remaining connection slots|(?:cannot|could not|unable to) get (?:a )?connection(?: from (?:the )?pool)?|timeout acquiring a connection".to_owned()),
        (S::Protocol, r"(?i)wrong version number|server gave HTTP response to HTTPS client|first record does not look like a TLS handshake|plain HTTP request was sent to HTTPS port|received HTTP/0\.9 when not allowed|SSL_ERROR_RX_RECORD_TOO_LONG|not an SSL/TLS record|unsupported or unrecognized SSL message|SSL is not enabled on the server|server does not support SSL|invalid (?:connection )?preface|malformed HTTP (?:response|request|version)".to_owned()),
        (S::TooLarge, r"(?i)413 (?:request entity|payload|content) too large|status(?: code)?[ =:]+413|received message larger than max|RecordTooLargeException|MessageSizeTooLarge|packet (?:is )?too large|max_allowed_packet|body exceeded|request body too large".to_owned()),
        (S::CertificateExpired, r"(?i)certificate (?:has |is )?expired|certificate.{0,60}expired|certificate has expired or is not yet valid|NotAfter: |CertificateExpiredException|cert(?:ificate)? expired|CERT_HAS_EXPIRED|NotAfter.{0,40}expired".to_owned()),
        (S::CertificateInvalid, r"(?i)certificate verify failed|certificate signed by unknown authority|unable to verify the first certificate|self[- ]signed certificate|PKIX path building failed|x509: certificate is (?:valid for|not valid)|certificate is valid for .{1,80}, not |hostname mismatch|unknown certificate authority|UnknownIssuer|DEPTH_ZERO_SELF_SIGNED|ERR_TLS_CERT_ALTNAME_INVALID".to_owned()),
        (S::Forbidden, r#"(?i)is forbidden: User "([^"]+)" cannot (\w+) resource "?([\w./-]+)"?"#.to_owned()),
        (S::AuthFailed, r"(?i)password authentication failed|access denied for user|authentication failed|invalid username or password|invalid (?:api|access) key|api key (?:is )?(?:not valid|invalid|revoked)|\b401\b.{0,3} ?unauthorized|(?:status(?: code)?|HTTP(?:/\d\.\d)?|answered|returned|responded with|got|error)[ =:(]*40[13]\b|40[13] client error|WRONGPASS|NOAUTH|SASL.{0,20}fail|login failed for user|authentication error|ACCESS_REFUSED|permission denied for (?:table|schema|database|relation)|code = (?:Unauthenticated|PermissionDenied)|16 UNAUTHENTICATED|InvalidClientTokenId|bad credentials".to_owned()),
        (S::TokenExpired, r"(?i)(?:token|jwt|session|credentials?|api key|access key|ticket|licen[cs]e)(?: \S+){0,3} (?:has |is |are )?expired|ExpiredToken|ExpiredSignature|TokenExpiredError|expired (?:token|credentials|license)|invalid_grant".to_owned()),
        (S::RateLimited, r"(?i)429 too many requests|429 client error|code = ResourceExhausted|RESOURCE_EXHAUSTED|quota exceeded for|status(?: code)?[ =:]+429|rate limit(?:ed)? exceeded|too many requests|ThrottlingException".to_owned()),
        (S::AddressInUse, r"(?i)address already in use|\bEADDRINUSE|bind: address in use|port \d+ (?:is )?already (?:in use|allocated)".to_owned()),
        (S::TooManyFiles, r"(?i)too many open files|\bEMFILE".to_owned()),
        (S::DiskFull, r"(?i)no space left on device|\bENOSPC|disk quota exceeded".to_owned()),
        (S::ReadOnly, r"(?i)read-only file system|\bEROFS".to_owned()),
        (S::OutOfMemory, r"java\.lang\.OutOfMemoryError|^MemoryError|JavaScript heap out of memory|System\.OutOfMemoryException|fatal error: runtime: out of memory|std::bad_alloc|NoMemoryError|GC overhead limit exceeded|(?i)cannot allocate memory|out of memory: |heap out of memory|Allocation failed - JavaScript".to_owned()),
        (S::Deadlock, r"(?i)deadlock (?:detected|found)|found one java-level deadlock|all goroutines are asleep - deadlock|potential deadlock|deadlocked?\b.{0,40}thread|threads? .{0,40}(?:are |is )?deadlocked|lock held by .{0,80}waiting for".to_owned()),
        (S::LockWait, r"(?i)lock wait timeout exceeded|database is locked|could not obtain lock|canceling statement due to lock timeout|lock request time out|waiting for .{0,30}lock.{0,40}(?:timed out|timeout)".to_owned()),
        (S::SchemaMissing, r#"(?i)(?:relation|table|column|database|schema|keyspace|collection|index|view) ["'`]?([\w.]+)["'`]?(?: of relation \S+)? (?:does not|doesn't) exist|no such (?:table|column|index)[: ]+["'`]?([\w.]+)|unknown (?:column|database|table) ["'`]?([\w.]+)|(?:pending|unapplied) migrations?|UndefinedTable|UndefinedColumn|invalid object name ["'`]?([\w.]+)|invalid column name ["'`]?([\w.]+)|missing table \[(\w+)\]|missing column \[(\w+)\]"#.to_owned()),
        (S::MigrationFailed, r"(?i)migrations?\b.{0,60}\b(?:failed|error)|(?:failed|error).{0,40}migration|dirty database version|checksum mismatch for migration|FlywayException|liquibase.{0,60}(?:fail|exception|lock)|could not acquire change ?log lock|migration .{0,40}(?:is )?locked|schema version mismatch".to_owned()),
        (S::BadMessage, r"(?i)(?:failed|unable|cannot|could not|error) (?:to )?(?:process|processing|handle|handling|decode|decoding|deserialize|deserializing|parse|parsing|consume|consuming|unmarshal|unmarshalling) (?:the )?(?:\S+ )?(?:message|record|event|job|task|payload|key/value|envelope)s?|SerializationException|MessageConversionException|poison(?:ed)? (?:message|pill)|unprocessable message|RecordDeserializationException|dead[- ]letter".to_owned()),
        (S::Stalled, r"WORKER TIMEOUT|(?i)thread starvation|event loop (?:is )?(?:blocked|stalled|lag)|blocked for more than \d+ ?s|has been (?:blocked|stuck|running) for \d|thread .{0,60}(?:has been )?(?:blocked|stuck) for|no progress (?:for|in|since)|watchdog.{0,60}(?:timeout|timed out|no heartbeat|stuck)|stuck thread|hung (?:task|thread|worker)".to_owned()),
        (S::Corrupt, r"(?i)(?:data(?:base)?|index|page|wal|file|segment|block|log|table) (?:\S+ )?(?:is |are |seems )?corrupt(?:ed|ion)?|checksum (?:mismatch|verification failed)|invalid page in block|PANIC:\s+could not locate a valid checkpoint|bad magic number|malformed database".to_owned()),
        (S::Syntax, r"(?i)syntax error|SyntaxError|unexpected EOF while looking for matching|unterminated quoted string|IndentationError|parse error near".to_owned()),
        (S::CommandNotFound, r"(?i)\b([\w./-]+): (?:command )?not found\b|executable file not found|exec format error".to_owned()),
        (S::PermissionDenied, r"(?i)permission denied|\bEACCES|PermissionError|operation not permitted|AccessDeniedException".to_owned()),
        (S::FileMissing, r#"(?i)(?:(?:FileNotFound|DirectoryNotFound)Exception:? ?)?could not find (?:file|a part of the path) ["'`]?(/[^"'`\s]*)|\bENOENT: no such file or directory, \w+ ["'`](/[^"'`]*)|no such file or directory:? ?["'`]?(/[^"'`\s:,]*)?|["'`]?(/[\w./-]+)["'`]?:? no such file or directory|\bENOENT|FileNotFoundException:? ?(/\S*)?|cannot open ["'`]?(/\S+)"#.to_owned()),
        (S::UpstreamError, r"(?i)(?:HTTP(?:/\d\.\d)?|status(?: code)?|answered|returned|responded with|got|->|code)[ =:(]*\b(?:500|502|503|504)\b|\b(?:502 bad gateway|503 service unavailable|504 gateway time-?out)\b|HTTP error 50[0234]|50[0234] server error|server error: 50\d|circuit ?breaker.{0,60}(?:is )?open|CallNotPermittedException|code = (?:Internal|Unknown) |13 INTERNAL|(?:service|upstream|backend|dependency|api|gateway|server) (?:is )?(?:temporarily )?unavailable|\w+-(?:service|api|server|svc)\b.{0,20}(?:returned|responded with|answered|unavailable|unreachable|failed|is down)".to_owned()),
        (S::Reset, r"(?i)connection reset by peer|\bECONNRESET|socket hang up|broken pipe|\bEPIPE|connection (?:was |has been |is )?(?:closed|lost|aborted|terminated)(?: (?:by|unexpectedly|to|with|during|before))|lost connection to|server closed the connection|remote end closed connection|RemoteDisconnected|unexpected end of stream|premature(?:ly)? (?:close|end)|connection prematurely closed|server has gone away|terminating connection due to|upstream (?:connect error|prematurely closed)".to_owned()),
        (S::Overload, r"(?i)\bslow (?:request|query|response)|server (?:is )?busy|too many requests in flight|queue (?:is )?full|request took \d{4,} ?ms|overloaded|load shed|worker (?:pool|queue) (?:is )?(?:full|exhausted)|rejectedexecution".to_owned()),
        (S::TimedOut, r"(?i)timed? ?out|\bETIMEDOUT|deadline exceeded|i/o timeout|TimeoutException|TimeoutError|code = DeadlineExceeded|4 DEADLINE_EXCEEDED|DEADLINE_EXCEEDED|statement timeout|ReadTimeout|ConnectTimeout|timeout expired|no response (?:within|after) \d".to_owned()),
        (S::Refused, r"Max retries exceeded with url|NewConnectionError".to_owned()),
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
