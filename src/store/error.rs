//! Why the record could not be stored or read, in a closed set. Never carries a password: driver messages about connections are
//! not passed on. Made by the sinks; the loop turns the reason into a condition, an event and a log line.

use strum::AsRefStr;

/// Why the record could not be stored or read.
#[derive(Debug, thiserror::Error, AsRefStr)]
pub enum StoreError {
    /// No connection, or it was lost, or no answer came in time.
    #[error("Postgres cannot be reached ({0}): check that it runs, and host and port of DATABASE_URL")]
    DatabaseUnreachable(String),
    /// User or password were refused.
    #[error("Postgres refused the login: check user and password of DATABASE_URL")]
    AuthenticationFailed,
    /// There is no such database.
    #[error("the database of DATABASE_URL does not exist: create it, then run `firewatch migrate`")]
    DatabaseMissing,
    /// The role may not do this.
    #[error("Postgres refused: {0}. Run `firewatch migrate` again as the owner: it also grants the operator's rights")]
    PermissionDenied(String),
    /// Migrations are missing.
    #[error("the database's schema is at version {found}, this Firewatch needs {needed}: run `firewatch migrate`")]
    SchemaOutdated {
        /// Highest applied migration, 0 for none.
        found: i64,
        /// Highest migration that this binary knows.
        needed: i64,
    },
    /// A later Firewatch has migrated it.
    #[error(
        "the database's schema is at version {found}, newer than the {known} that this Firewatch knows: run the newer release"
    )]
    SchemaTooNew {
        /// Highest applied migration.
        found: i64,
        /// Highest migration that this binary knows.
        known: i64,
    },
    /// A migration was begun and did not finish.
    #[error(
        "migration {0} began and did not finish: restore the schema, delete that row of _sqlx_migrations, run `firewatch migrate`"
    )]
    SchemaHalfMigrated(i64),
    /// A migration was applied in another form than the one in this binary.
    #[error(
        "migration {0} was applied in another form than this Firewatch brings: the schema was changed by hand or by a fork"
    )]
    SchemaAltered(i64),
    /// Another row stands where this one belongs.
    #[error("{0}: another row is already stored there; the record was changed, or two incidents share a uid")]
    Conflict(String),
    /// An earlier transition is missing, so that this one cannot be stored yet.
    #[error("transition {got} of {incident_uid} cannot follow {stored}: the ones between are missing")]
    SequenceGap {
        /// Which incident.
        incident_uid: String,
        /// Highest stored.
        stored: i64,
        /// First of those that were to be stored.
        got: i64,
    },
    /// A row cannot be stored as it is.
    #[error("{0}")]
    InvalidRow(String),
    /// The URL cannot be read.
    #[error("DATABASE_URL is not a Postgres URL (postgres://user:password@host:port/database)")]
    InvalidUrl,
    /// Postgres has no room.
    #[error("Postgres has no room or no connection left: {0}")]
    DatabaseFull(String),
    /// Anything else that Postgres says.
    #[error("Postgres: {0}")]
    DatabaseError(String),
    /// The file cannot be read or written.
    #[error("audit file {path}: {message}")]
    FileUnusable {
        /// Which.
        path: String,
        /// What the system says.
        message: String,
    },
    /// A line of the file is not what was written.
    #[error("audit file {path}, line {line}: {message}")]
    FileAltered {
        /// Which.
        path: String,
        /// From 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
}

impl StoreError {
    /// The closed reason.
    pub fn reason(&self) -> &str {
        self.as_ref()
    }

    /// Whether waiting may help: nothing has to be repaired by a person first.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::DatabaseUnreachable(_) | Self::DatabaseFull(_))
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let unreachable = |why: &str| Self::DatabaseUnreachable(why.to_owned());
        match error {
            sqlx::Error::Database(database) => {
                let message = database.message().to_owned();
                match database.code().as_deref().unwrap_or_default() {
                    code if code.starts_with("28") => Self::AuthenticationFailed,
                    "3D000" => Self::DatabaseMissing,
                    "42501" => Self::PermissionDenied(message),
                    // A table or column that is not there: the schema changed under a running operator.
                    "42P01" | "42703" | "3F000" => Self::SchemaOutdated {
                        found: 0,
                        needed: super::schema::needed(),
                    },
                    "57014" => unreachable("no answer in time"),
                    code if code.starts_with("08") || code.starts_with("57P") => {
                        unreachable("it is going down or not up yet")
                    }
                    code if code.starts_with("53") => Self::DatabaseFull(message),
                    code if code.starts_with("23") => Self::Conflict(message),
                    _ => Self::DatabaseError(message),
                }
            }
            sqlx::Error::Io(io) => Self::DatabaseUnreachable(io.kind().to_string()),
            sqlx::Error::Tls(_) => unreachable("TLS"),
            sqlx::Error::PoolTimedOut => unreachable("no connection in time"),
            sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => unreachable("the pool is closed"),
            sqlx::Error::Protocol(_) => unreachable("it does not speak Postgres' protocol"),
            sqlx::Error::Configuration(_) => Self::InvalidUrl,
            other => Self::DatabaseError(other.to_string()),
        }
    }
}
