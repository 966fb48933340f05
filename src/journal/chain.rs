//! The chain of a journal's records: each holds the hash of the one before,
//! and the anchor holds the last.

use sha2::{Digest as _, Sha256};

use super::{
    Error,
    pen::End,
    place::{Changes, Connection, Line, Pool, field, values},
    seal::Keys,
};

/// The chain that the records of format 1 are put in: they had none.
pub(super) const EARLIER: &str = "before-chains";

/// The end of a chain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) number: i64,
    pub(super) hash: String,
}

/// A record, before it is in a chain.
#[derive(Debug, Clone, Copy)]
pub(super) struct Link<'a> {
    pub(super) operation: &'a str,
    pub(super) kind: &'a str,
    pub(super) at: &'a str,
    pub(super) body: &'a str,
}

/// What is wrong with a chain, at which record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaw {
    /// The chain.
    pub chain: String,
    /// The record's number in it.
    pub number: i64,
    /// What is wrong.
    pub problem: String,
}

/// What a look at every chain found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verification {
    /// How many chains there are.
    pub chains: u64,
    /// How many records they have.
    pub records: u64,
    /// What is wrong.
    pub flaws: Vec<Flaw>,
}

impl Head {
    /// The hash of the record that comes next.
    fn next(&self, link: &Link<'_>) -> Self {
        let number = self.number + 1;
        let mut digest = Sha256::new();
        let number_text = number.to_string();
        let parts = [
            &self.hash,
            &number_text,
            link.operation,
            link.kind,
            link.at,
            link.body,
        ];
        for part in parts {
            digest.update(part.len().to_be_bytes());
            digest.update(part);
        }
        Self {
            number,
            hash: hex::encode(digest.finalize()),
        }
    }

    /// What the anchor's seal is over.
    pub(super) fn sealed(&self, chain: &str, pruned: &Head) -> String {
        format!(
            "{chain} {} {} {} {}",
            self.number, self.hash, pruned.number, pruned.hash
        )
    }
}

/// What adds a record behind the head, and the new head.
pub(super) fn append(chain: &str, head: &Head, link: &Link<'_>) -> (Line, Head) {
    let next = head.next(link);
    let sql = "INSERT INTO record (chain, number, operation_id, kind, at, body, hash) \
               VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let hash = next.hash.clone();
    let values = values![
        chain,
        next.number,
        link.operation,
        link.kind,
        link.at,
        link.body,
        hash
    ];
    let line = Line {
        sql: sql.into(),
        values,
        changes: Changes::One,
    };
    (line, next)
}

/// The head of a chain, and up to where it was pruned, as the anchor says. It
/// is this transaction's to change.
pub(super) async fn anchored(
    connection: &mut Connection,
    chain: &str,
) -> Result<Option<End>, sqlx::Error> {
    // Several servers may take records from the chain of one that has ended.
    let lock = match connection {
        Connection::Sqlite(_) => "",
        Connection::Postgres(_) => " FOR UPDATE",
    };
    let sql = format!(
        "SELECT CAST(number AS TEXT), hash, CAST(pruned_number AS TEXT), pruned_hash \
         FROM anchor WHERE chain = $1{lock}"
    );
    let row = connection.row(&sql, values![chain]).await?;
    let head = |number: &str, hash: &str| Head {
        number: number.parse().unwrap_or(0),
        hash: hash.to_owned(),
    };
    Ok(row.map(|row| End {
        head: head(field(&row, 0), field(&row, 1)),
        pruned: head(field(&row, 2), field(&row, 3)),
    }))
}

/// Looks at every record of every chain, as all of them are at one moment:
/// servers may be writing.
pub(super) async fn verify(pool: &Pool, keys: &Keys) -> Result<Verification, Error> {
    let mut connection = pool.acquire().await.map_err(Error::Read)?;
    let begin = match pool.is_shared() {
        true => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        false => "BEGIN",
    };
    connection.batch(begin).await.map_err(Error::Read)?;
    let verification = look(&mut connection, keys).await.map_err(Error::Read);
    if connection.batch("ROLLBACK").await.is_err() {
        connection.discard();
    }
    verification
}

async fn look(connection: &mut Connection, keys: &Keys) -> Result<Verification, sqlx::Error> {
    let mut verification = Verification::default();
    let sql = "SELECT chain, CAST(number AS TEXT), hash, seal, CAST(pruned_number AS TEXT), \
               pruned_hash FROM anchor ORDER BY chain";
    let mut chains = Vec::new();
    for row in connection.rows(sql, Vec::new()).await? {
        let chain = field(&row, 0).to_owned();
        let number = |index| field(&row, index).parse().unwrap_or(0);
        let end = Head {
            number: number(1),
            hash: field(&row, 2).to_owned(),
        };
        let pruned = Head {
            number: number(4),
            hash: field(&row, 5).to_owned(),
        };
        let seal = field(&row, 3);
        // Records from before there were chains were sealed by nobody.
        let is_sealed = chain != EARLIER || !seal.is_empty();
        if is_sealed && !keys.is_sealed(end.sealed(&chain, &pruned).as_bytes(), seal) {
            verification.flaws.push(Flaw {
                chain: chain.clone(),
                number: end.number,
                problem: "the anchor was not written by a server of this journal".to_owned(),
            });
        }
        follow(connection, &chain, pruned, &end, &mut verification).await?;
        chains.push(chain);
        verification.chains += 1;
    }
    // A server's anchor comes with its first heartbeat, and stays.
    let sql = "SELECT chain, CAST(max(number) AS TEXT) FROM (\
               SELECT chain, number FROM record UNION ALL SELECT id, 0 FROM server UNION ALL \
               SELECT server, 0 FROM operation WHERE server <> 'before-servers') AS known \
               GROUP BY chain ORDER BY chain";
    for row in connection.rows(sql, Vec::new()).await? {
        if !chains.iter().any(|chain| chain == field(&row, 0)) {
            verification.flaws.push(Flaw {
                chain: field(&row, 0).to_owned(),
                number: field(&row, 1).parse().unwrap_or(0),
                problem: "the chain has no anchor".to_owned(),
            });
        }
    }
    Ok(verification)
}

/// How many records are looked at in one go.
const PAGE: i64 = 1000;

async fn follow(
    connection: &mut Connection,
    chain: &str,
    pruned: Head,
    end: &Head,
    verification: &mut Verification,
) -> Result<(), sqlx::Error> {
    let mut head = pruned;
    let mut flaw = |number: i64, problem: &str| {
        verification.flaws.push(Flaw {
            chain: chain.to_owned(),
            number,
            problem: problem.to_owned(),
        });
    };
    loop {
        // By the number: PostgreSQL takes the bare name for the text.
        let sql = "SELECT operation_id, kind, at, body, hash, CAST(number AS TEXT) FROM record \
                   WHERE chain = $1 AND number > $2 ORDER BY record.number LIMIT $3";
        let values = values![chain, head.number, PAGE];
        let rows = connection.rows(sql, values).await?;
        if rows.is_empty() {
            break;
        }
        for row in &rows {
            let link = Link {
                operation: field(row, 0),
                kind: field(row, 1),
                at: field(row, 2),
                body: field(row, 3),
            };
            let number: i64 = field(row, 5).parse().unwrap_or(0);
            if number != head.number + 1 {
                flaw(head.number + 1, "a record is missing");
                return Ok(());
            }
            let expected = head.next(&link);
            if expected.hash != field(row, 4) {
                flaw(number, "the record is not the one that was written");
                return Ok(());
            }
            head = expected;
            verification.records += 1;
        }
    }
    if head.number < end.number {
        flaw(head.number + 1, "the last records are missing");
    } else if head != *end {
        flaw(
            head.number,
            "there are records that the anchor does not know",
        );
    }
    Ok(())
}
