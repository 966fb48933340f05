//! What is seen of everything as it begins, in the round trip of that: what the
//! guards saw, which tables have rows, and which sequences have given numbers.

use std::collections::BTreeMap;

use super::{
    Execution, Request,
    recheck::compare_all,
    texts::{Look, Sequences},
    wipe::{names, wiped},
};
use crate::{
    dialect::{Dialect, Hold, Row, Statement},
    failpoint,
    plan::Plan,
    schema::TableId,
    target::{
        Error, Target,
        armed::{self, Asking, Question},
        connection::Checks,
        field,
        transaction::{Opening, Transaction},
    },
};

/// What is seen of everything before anything is changed.
pub(super) struct Around {
    /// The tables that have rows, with the bytes of those.
    pub(super) filled: BTreeMap<TableId, f64>,
    /// Whether nothing that refers to a table is hidden from our role.
    pub(super) sees_all: bool,
    /// The sequences that have given a number, as [`Dialect::sequences`] tells
    /// them, where that could be asked.
    pub(super) sequences: Option<Vec<Row>>,
}

impl Target {
    /// Begins, and reads again what the guards saw, and with it which tables
    /// have rows and which sequences have given numbers: a statement that
    /// every connection plans once.
    pub(super) async fn begin_around(
        &self,
        plan: &Plan,
        request: &Request,
        checks: Checks,
    ) -> Result<(Transaction<'_>, Seen), Error> {
        let dialect = self.dialect.as_ref();
        let looks = &self.texts.looks;
        let look = match looks.of(plan) {
            Some(look) => look,
            None => {
                let sequences = match dialect.sequences().0 {
                    None => Sequences::Told,
                    Some(_) => Sequences::Unknown,
                };
                looks.keep(plan, look(dialect, plan, sequences))
            }
        };
        let defer = dialect.defer().filter(|_| checks == Checks::Made);
        let opening = Opening {
            checks,
            more: vec![dialect.ample(), defer, dialect.lock(Hold::Exclusive)],
            ..Opening::of(request)
        };
        match self.begin_with(opening, Some(&look.asking)).await {
            // A table that is asked, or that of the marker, is not there any
            // more.
            Err(Error::Database { .. }) => Err(Error::Changed("the schema")),
            Err(error) => Err(error),
            Ok((transaction, rows)) => {
                let sequences = look.sequences;
                Ok((transaction, Seen { rows, sequences }))
            }
        }
    }
}

/// What was answered to a look.
#[derive(Debug)]
pub(super) struct Seen {
    rows: Vec<Row>,
    sequences: Sequences,
}

/// What is asked as everything begins.
fn look(dialect: &dyn Dialect, plan: &Plan, sequences: Sequences) -> Look {
    let question = |kind, columns, sql: String| Question {
        kind,
        columns,
        statement: Statement::plain(sql),
    };
    let filled = dialect.filled(&names(dialect, plan, wiped(plan)));
    let mut questions = vec![question("filled", 2, filled)];
    if sequences == Sequences::Told {
        questions.push(question("sequence", 6, dialect.sequences().1));
    }
    let others = [
        ("backend", dialect.backend()),
        ("sight", dialect.sees_all()),
    ];
    for (kind, sql) in others {
        questions.extend(sql.map(|sql| question(kind, 1, sql.to_owned())));
    }
    Look {
        asking: Asking::of(dialect, &questions),
        sequences,
    }
}

impl Execution<'_> {
    /// Takes in what was seen as it began, after what the guards saw.
    pub(super) async fn look_around(&mut self, target: &Target, seen: &Seen) -> Result<(), Error> {
        failpoint::reach("begun").await;
        let (seen, sequences) = (&seen.rows, seen.sequences);
        compare_all(seen, self.cleared, self.plan.schema().fingerprint())?;
        if let Some(backend) = armed::of_kind(seen, "backend").first() {
            let backend = field(backend, 0);
            self.transaction.interruptible_by(target, backend).await?;
        }
        let tables: Vec<TableId> = self.wiped().collect();
        let filled = armed::of_kind(seen, "filled");
        let filled = filled.iter().filter_map(|row| {
            let place: usize = field(row, 0).parse().ok()?;
            let table = tables.get(place.checked_sub(1)?)?;
            Some((*table, field(row, 1).parse().unwrap_or(0.0)))
        });
        let is_asked = self.transaction.dialect.sees_all().is_some();
        self.around = Some(Around {
            sees_all: !is_asked || !armed::of_kind(seen, "sight").is_empty(),
            filled: filled.collect(),
            sequences: match sequences {
                Sequences::Told | Sequences::Missing => Some(armed::of_kind(seen, "sequence")),
                Sequences::Unknown => None,
            },
        });
        failpoint::reach("rechecked").await;
        Ok(())
    }

    /// The sequences, and whether the next look can ask for them.
    pub(super) async fn learn_sequences(&mut self) -> Result<Vec<Row>, Error> {
        let sequences = self.sequences().await?;
        let known = match sequences {
            Some(_) => Sequences::Told,
            None => Sequences::Missing,
        };
        let look = look(self.transaction.dialect, self.plan, known);
        self.texts.looks.keep(self.plan, look);
        Ok(sequences.unwrap_or_default())
    }
}
