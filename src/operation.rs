//! What a caller asks for and what comes of it, in our own words: free of the
//! wire's and the database's.

use std::{collections::BTreeMap, fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What a caller wants done to a target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Action {
    /// Reset one user.
    ResetUser(ResetUser),
    /// Reset all test users.
    ResetTestUsers(ResetTestUsers),
    /// Remove marked rows.
    Cleanup(Cleanup),
    /// Reset everything.
    FullReset(FullReset),
    /// Sweep what a cascade has left behind without an owner.
    SweepOrphans(SweepOrphans),
    /// Run a recipe of the policy.
    RunRecipe(RunRecipe),
    /// Create a test user.
    CreateTestUser(CreateTestUser),
    /// Set a user's password.
    SetPassword(SetPassword),
    /// Clear the cache.
    ClearCache(ClearCache),
    /// Look at a target's state.
    GetStatus,
    /// Count a target's users and rows.
    Statistics(Statistics),
    /// Look an operation up.
    GetOperation,
    /// List operations.
    ListOperations,
    /// Follow an operation.
    WatchOperation,
    /// Stop an operation before its commit.
    CancelOperation {
        /// Whether it is the caller's own.
        own: bool,
    },
}

/// Reset one user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResetUser {
    /// Who.
    pub user: UserSelector,
    /// How much of them.
    pub level: Level,
    /// Also when they are no test user.
    pub force: bool,
    /// An unknown user is an empty success.
    pub allow_missing: bool,
    /// Whether the change is kept.
    pub mode: Mode,
}

/// Reset all test users.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResetTestUsers {
    /// How much of them.
    pub level: Level,
    /// Domains besides the policy's own.
    pub email_domains: Vec<String>,
    /// Also those that are admins.
    pub include_admins: bool,
    /// Whether the change is kept.
    pub mode: Mode,
}

/// Remove marked rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cleanup {
    /// Of this session; of all when absent.
    pub test_session_id: Option<String>,
    /// Whether the change is kept.
    pub mode: Mode,
}

/// Reset everything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FullReset {
    /// The phrase that the caller typed.
    pub confirmation: String,
    /// Whether admins stay.
    pub preserve_admins: bool,
    /// Whether the policy's seed is put in place afterwards.
    #[serde(default)]
    pub reseed: bool,
    /// Whether the change is kept.
    pub mode: Mode,
}

/// Run a recipe of the policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRecipe {
    /// The recipe.
    pub recipe: String,
    /// The phrase that the caller typed.
    pub confirmation: String,
    /// Whether the change is kept.
    pub mode: Mode,
}

/// Set a user's password, and end their sessions.
///
/// It holds the password, so it prints and records itself without it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetPassword {
    /// Whose.
    pub user: UserSelector,
    /// The password in clear.
    #[serde(skip)]
    pub password: String,
    /// Also when they are no test user.
    pub force: bool,
    /// Whether the change is kept.
    pub mode: Mode,
}

/// Clear the cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClearCache {
    /// Whether the keys are removed.
    pub mode: Mode,
}

/// Sweep rows that the policy calls orphans.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SweepOrphans {
    /// Whether the change is kept.
    pub mode: Mode,
}

/// How much an operation took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Extent {
    /// This level of each user in scope.
    Users(Level),
    /// The marked rows.
    TestData,
    /// Everything.
    Everything,
    /// What has no owner any more.
    Orphans,
    /// What a recipe takes.
    Recipe,
    /// The sessions of a user whose password was set.
    Sessions,
}

/// How a user is named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserSelector {
    /// By the key, as text.
    Id(String),
    /// By the e-mail, compared exactly.
    Email(String),
}

/// How much of a user a reset takes; each level includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Columns of the profile are restored.
    UserData,
    /// Sessions end.
    UserSessions,
    /// The account goes with everything that hangs off it.
    UserCascade,
}

/// Whether what an operation does is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Everything is done and then rolled back.
    DryRun,
    /// It is committed.
    Execute,
}

/// Create a test user.
///
/// It holds the password, so it prints and records itself without it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateTestUser {
    /// The e-mail.
    pub email: String,
    /// The password in clear; the policy's when absent.
    #[serde(skip)]
    pub password: Option<String>,
    /// The user type's label; the policy's when absent.
    pub user_type: Option<String>,
    /// Further columns.
    pub attributes: BTreeMap<String, String>,
    /// The test session that the row is marked with.
    pub test_session_id: Option<String>,
    /// Whether the row is kept.
    pub mode: Mode,
}

/// Count a target's users and rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statistics {
    /// Count every row, rather than ask for estimates.
    pub exact: bool,
}

/// The id of an operation in the journal; sorts by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct OperationId(Uuid);

/// What happened to the rows of one table; a row is counted once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableCounts {
    /// The table.
    pub table: String,
    /// Rows deleted.
    pub deleted: u64,
    /// Rows with columns set back.
    pub restored: u64,
    /// Rows that lost a reference.
    pub detached: u64,
}

/// A user in scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The key, as text.
    pub id: String,
    /// The e-mail; empty where it is NULL.
    pub email: String,
}

/// Deleted rows that rows outside the scope have a share in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedRows {
    /// The table of the deleted rows.
    pub table: String,
    /// How many of them.
    pub rows: u64,
}

/// What an operation changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// Per table, in plan order; tables without a change are left out.
    pub tables: Vec<TableCounts>,
    /// Rows that others have a share in.
    pub shared: Vec<SharedRows>,
    /// The first users in scope.
    pub users: Vec<User>,
    /// How many users were in scope.
    pub user_count: u64,
    /// What the caller should know.
    pub warnings: Vec<String>,
    /// What went outside the database, or in a dry run would go.
    #[serde(default)]
    pub effects: EffectCounts,
    /// Why effects that are still to be applied could not be.
    #[serde(default)]
    pub effect_errors: Vec<String>,
    /// The rows of tables at the end, where their number is told.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub remaining: BTreeMap<String, u64>,
    /// How the hash of a password that was set begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash_prefix: Option<String>,
}

/// How much was removed outside the database, or in a dry run would be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EffectCounts {
    /// Redis keys.
    pub redis_keys: u64,
    /// Files, those in directories included.
    pub files: u64,
    /// Directories that were named; those inside them do not count.
    pub directories: u64,
    /// Effects that have not been applied yet.
    pub pending: u64,
}

/// How far a running operation is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Progress {
    /// The plan is made.
    Planned {
        /// Its steps, in words.
        steps: Vec<String>,
    },
    /// A step begins.
    StepStarted {
        /// Its place in the plan, from 1.
        step: usize,
        /// What it does.
        title: String,
    },
    /// A step ended.
    StepFinished {
        /// Its place in the plan, from 1.
        step: usize,
        /// The rows that it changed.
        rows: u64,
        /// How long it took.
        took: Duration,
    },
    /// The changes are durable.
    Committed,
    /// What belonged to the rows outside the database was removed, as far as
    /// that was possible at once.
    EffectsFinished(EffectCounts),
    /// A command of the policy has ended.
    HookFinished {
        /// Its program.
        command: String,
        /// How long it took.
        took: Duration,
    },
}

/// A number with its noun: `1 row`, `2 rows`.
#[must_use]
pub fn counted(count: u64, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        _ => format!("{count} {noun}s"),
    }
}

impl Action {
    /// The action's name: that of its RPC.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::ResetUser(_) => "ResetUser",
            Self::ResetTestUsers(_) => "ResetTestUsers",
            Self::Cleanup(_) => "Cleanup",
            Self::FullReset(_) => "FullReset",
            Self::SweepOrphans(_) => "SweepOrphans",
            Self::RunRecipe(_) => "RunRecipe",
            Self::CreateTestUser(_) => "CreateTestUser",
            Self::SetPassword(_) => "SetPassword",
            Self::ClearCache(_) => "ClearCache",
            Self::GetStatus => "GetStatus",
            Self::Statistics(_) => "Statistics",
            Self::GetOperation => "GetOperation",
            Self::ListOperations => "ListOperations",
            Self::WatchOperation => "WatchOperation",
            Self::CancelOperation { .. } => "CancelOperation",
        }
    }

    /// Whether what the action does is kept; nothing for an action that only
    /// reads.
    #[must_use]
    pub fn mode(&self) -> Option<Mode> {
        match self {
            Self::ResetUser(action) => Some(action.mode),
            Self::ResetTestUsers(action) => Some(action.mode),
            Self::Cleanup(action) => Some(action.mode),
            Self::FullReset(action) => Some(action.mode),
            Self::SweepOrphans(action) => Some(action.mode),
            Self::RunRecipe(action) => Some(action.mode),
            Self::CreateTestUser(action) => Some(action.mode),
            Self::SetPassword(action) => Some(action.mode),
            Self::ClearCache(action) => Some(action.mode),
            Self::GetStatus
            | Self::Statistics(_)
            | Self::GetOperation
            | Self::ListOperations
            | Self::WatchOperation
            | Self::CancelOperation { .. } => None,
        }
    }
}

impl Changes {
    /// All rows of all tables.
    #[must_use]
    pub fn total_rows(&self) -> u64 {
        self.tables
            .iter()
            .map(|t| t.deleted + t.restored + t.detached)
            .sum()
    }
}

impl std::ops::AddAssign for EffectCounts {
    fn add_assign(&mut self, other: Self) {
        self.redis_keys += other.redis_keys;
        self.files += other.files;
        self.directories += other.directories;
        self.pending += other.pending;
    }
}

impl Level {
    /// Every level of a single user, smallest first.
    pub const ALL: [Self; 3] = [Self::UserData, Self::UserSessions, Self::UserCascade];
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UserData => "user_data",
            Self::UserSessions => "user_sessions",
            Self::UserCascade => "user_cascade",
        })
    }
}

impl fmt::Display for UserSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "{id}"),
            Self::Email(email) => write!(f, "{email}"),
        }
    }
}

impl fmt::Debug for CreateTestUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreateTestUser")
            .field("email", &self.email)
            .field("user_type", &self.user_type)
            .field("attributes", &self.attributes)
            .field("test_session_id", &self.test_session_id)
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for SetPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SetPassword")
            .field("user", &self.user)
            .field("force", &self.force)
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

impl OperationId {
    /// A number that differs from one operation to another, for spreading
    /// them out in time.
    #[must_use]
    pub fn spread(self) -> u64 {
        self.0.as_u64_pair().1
    }
}

impl From<Uuid> for OperationId {
    fn from(uuid: Uuid) -> Self {
        Self(uuid)
    }
}

impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for OperationId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}
