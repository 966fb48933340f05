//! What a database answers, whichever it is: rows of text, and what each of
//! several statements has done.

use sqlx::{ColumnIndex, Decode, Either, Type};
use tokio_stream::{Stream, StreamExt as _};

use crate::dialect::Row;

/// What one of several statements has done.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// How many rows it changed.
    pub(super) changed: u64,
    /// What it answered.
    pub(super) rows: Vec<Row>,
}

/// The columns of a row, all of which are text.
pub(super) fn texts<R>(row: &R) -> Result<Row, sqlx::Error>
where
    R: sqlx::Row,
    usize: ColumnIndex<R>,
    for<'r> String: Decode<'r, R::Database> + Type<R::Database>,
{
    (0..row.len()).map(|index| row.try_get(index)).collect()
}

/// The same of many rows.
pub(super) fn all_texts<R>(rows: &[R]) -> Result<Vec<Row>, sqlx::Error>
where
    R: sqlx::Row,
    usize: ColumnIndex<R>,
    for<'r> String: Decode<'r, R::Database> + Type<R::Database>,
{
    rows.iter().map(texts).collect()
}

/// What the last statement of a text answers.
pub(super) async fn of_last<E, R>(
    mut answers: impl Stream<Item = Result<Either<E, R>, sqlx::Error>> + Unpin,
) -> Result<Vec<Row>, sqlx::Error>
where
    R: sqlx::Row,
    usize: ColumnIndex<R>,
    for<'r> String: Decode<'r, R::Database> + Type<R::Database>,
{
    let (mut rows, mut last) = (Vec::new(), Vec::new());
    while let Some(answer) = answers.next().await {
        match answer? {
            Either::Left(_) => last = std::mem::take(&mut rows),
            Either::Right(row) => rows.push(row),
        }
    }
    all_texts(&last)
}

/// What the statements of one text have done, one after another; an error
/// comes with the place of the statement that failed.
pub(super) async fn each<E, R>(
    mut answers: impl Stream<Item = Result<Either<E, R>, sqlx::Error>> + Unpin,
    changed: impl Fn(&E) -> u64,
) -> Result<Vec<Done>, (usize, sqlx::Error)>
where
    R: sqlx::Row,
    usize: ColumnIndex<R>,
    for<'r> String: Decode<'r, R::Database> + Type<R::Database>,
{
    let (mut done, mut rows) = (Vec::new(), Vec::new());
    while let Some(answer) = answers.next().await {
        match answer.map_err(|error| (done.len(), error))? {
            Either::Left(end) => done.push(Done {
                changed: changed(&end),
                rows: std::mem::take(&mut rows),
            }),
            Either::Right(row) => rows.push(texts(&row).map_err(|error| (done.len(), error))?),
        }
    }
    Ok(done)
}
