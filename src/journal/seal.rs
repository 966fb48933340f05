//! Seals: what proves that something was written or given out by a server of
//! this journal. The keys are in the journal, so that its servers share them.

use std::sync::{PoisonError, RwLock};

use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::{SignedDuration, Timestamp};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use super::{
    Error,
    place::{Connection, Pool, field, values},
    stamp,
};

/// How old a key is before it seals: every server has read it by then, as they
/// read the keys again every hour.
const RIPE: SignedDuration = SignedDuration::from_hours(2);

/// Keys that count, the one that seals last. They are never printed.
#[derive(Default)]
pub(super) struct Keys(RwLock<Vec<(String, Vec<u8>)>>);

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys")
    }
}

impl Keys {
    /// Reads the keys again, and makes the first one where there is none.
    pub(super) async fn load(&self, pool: &Pool, now: Timestamp) -> Result<(), Error> {
        let sql = "SELECT id, secret, created_at FROM secret WHERE retired_at IS NULL \
                   ORDER BY created_at, id";
        let mut rows = pool.rows(sql, Vec::new()).await?;
        if rows.is_empty() {
            let mut connection = pool.acquire().await.map_err(Error::written)?;
            // All servers that start together offer the same first id, and
            // one of them has it.
            make(&mut connection, "1", now).await?;
            drop(connection);
            rows = pool.rows(sql, Vec::new()).await?;
        }
        let ripe = now.checked_sub(RIPE).map_or_else(|_| String::new(), stamp);
        // The newest that is ripe, or else the first that there was.
        let (mut keys, old): (Vec<_>, Vec<_>) =
            rows.iter().partition(|row| field(row, 2) > ripe.as_str());
        keys.reverse();
        keys.extend(old);
        let keys = keys.into_iter().filter_map(|row| {
            let secret = hex::decode(field(row, 1)).ok()?;
            Some((field(row, 0).to_owned(), secret))
        });
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = keys.collect();
        Ok(())
    }

    /// A seal over these bytes, by the newest key that every server has read.
    pub(super) fn seal(&self, bytes: &[u8]) -> String {
        let keys = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let Some((id, key)) = keys.last() else {
            return String::new();
        };
        format!("{id}.{}", hex::encode(tag(key, bytes)))
    }

    /// True for a seal over these bytes by a key that counts.
    pub(super) fn is_sealed(&self, bytes: &[u8], seal: &str) -> bool {
        let Some((id, found)) = seal.split_once('.') else {
            return false;
        };
        let keys = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let Some((_, key)) = keys.iter().find(|(known, _)| known == id) else {
            return false;
        };
        let found = hex::decode(found).unwrap_or_default();
        bool::from(tag(key, bytes).ct_eq(&found))
    }
}

/// Makes a key of this id, unless there is one.
async fn make(connection: &mut Connection, id: &str, now: Timestamp) -> Result<(), Error> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(|_| Error::Random)?;
    let sql = "INSERT INTO secret (id, secret, created_at) VALUES ($1, $2, $3) \
               ON CONFLICT DO NOTHING";
    let values = values![id, hex::encode(secret), stamp(now)];
    connection
        .run(sql, values)
        .await
        .map_err(Error::written)
        .map(|_| ())
}

/// Makes a new key, by which everything is sealed once every server has read
/// it. What earlier keys have sealed counts for as long as they are there.
pub(super) async fn rotate(pool: &Pool, now: Timestamp) -> Result<String, Error> {
    let mut connection = pool.acquire().await.map_err(Error::written)?;
    let sql = "SELECT id FROM secret ORDER BY created_at DESC, id DESC LIMIT 1";
    let newest = connection.row(sql, Vec::new()).await.map_err(Error::Read)?;
    let newest = newest.map_or_else(String::new, |row| field(&row, 0).to_owned());
    let next = newest.parse::<u64>().unwrap_or(0) + 1;
    make(&mut connection, &next.to_string(), now).await?;
    Ok(next.to_string())
}

fn tag(key: &[u8], bytes: &[u8]) -> Vec<u8> {
    // A key of any length will do, so this never fails.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return Vec::new();
    };
    mac.update(bytes);
    mac.finalize().into_bytes().to_vec()
}
