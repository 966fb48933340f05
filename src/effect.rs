//! What a reset removes outside the database: Redis keys and files that
//! belonged to the rows, as values that were bound inside the transaction.

use serde::{Deserialize, Serialize};

/// Something outside the database that goes with the rows of an operation.
///
/// It is written down in the target in the transaction that deletes the rows,
/// and removed after the commit, from whichever server gets to it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Effect {
    /// One Redis key.
    RedisKey {
        /// The key, exactly.
        key: String,
    },
    /// The Redis keys that the members of a set name, and the set.
    RedisMembers {
        /// The set's key, exactly.
        set: String,
        /// What stands before a member in the key that it names.
        before: String,
        /// What stands after it.
        after: String,
    },
    /// The Redis keys that match a pattern.
    RedisPattern {
        /// A glob; what came from a row is escaped in it.
        pattern: String,
    },
    /// One file.
    File {
        /// The name of the configured root.
        root: String,
        /// The path below the root, as the row or the policy has it.
        path: String,
    },
    /// A directory and everything in it.
    Directory {
        /// The name of the configured root.
        root: String,
        /// The path below the root.
        path: String,
    },
}

/// Effects that are written down in the target together: all in Redis, or all
/// under one root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingEffect {
    /// Its id: a UUID.
    pub id: String,
    /// The id of the root that it is under, for files and directories: only a
    /// server that has that very root may apply it, as elsewhere "not there"
    /// would pass for done.
    pub root_id: Option<String>,
    /// Which users it belonged to, as keys and e-mails: until it is applied,
    /// nobody is created who could be mistaken for one of them.
    pub subjects: Vec<String>,
    /// What goes.
    pub effects: Vec<Effect>,
}

impl Effect {
    /// True for what is removed from Redis, false for files.
    #[must_use]
    pub fn is_redis(&self) -> bool {
        match self {
            Self::RedisKey { .. } | Self::RedisMembers { .. } | Self::RedisPattern { .. } => true,
            Self::File { .. } | Self::Directory { .. } => false,
        }
    }
}
