//! Which indexes a target has not that resets would be quicker with.
//!
//! Whether an index serves a marker is for the database to say, since it knows
//! its operators, collations and partial indexes: it is asked how it would
//! find the rows. A statement that makes an index has the very expression by
//! which the rows are looked for.

use super::Dialect;
use crate::{
    plan::{Mark, Model},
    policy::Value,
    schema::{Column, ColumnId, ForeignKeyId, Origin, Schema, Table, TableId},
};

/// As many letters as the name of an index has on every database.
const NAME_LETTERS: usize = 63;

/// An index that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The table whose rows are looked for.
    pub table: TableId,
    /// What they are looked for by, in words.
    pub subject: String,
    /// When they are.
    pub need: Need,
    /// What helps.
    pub remedy: Remedy,
}

/// When rows are looked for without an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Whenever a row goes that this key refers to.
    Reference(ForeignKeyId),
    /// Whenever marked rows are swept.
    Marker(Sweep),
}

/// Which sweeps of marked rows read a whole table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sweep {
    /// Those of one session, and those of all.
    Any,
    /// Those of all sessions; an index serves those of one.
    OfAll,
}

/// What makes rows quick to find.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remedy {
    /// An index, made by this statement.
    Index(String),
    /// Nothing, and why.
    None(&'static str),
}

/// A place of markers that an index can serve, and how to find out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// Finds the marked rows of all sessions.
    pub of_all: String,
    /// Finds those of one session.
    pub of_one: String,
    /// What is missing when an index serves neither.
    pub neither: Missing,
    /// What is missing when one serves those of one session alone.
    pub of_all_alone: Missing,
}

/// How a database is asked in which way it finds the rows of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explain {
    /// The question; the last column of its answer is read.
    pub sql: String,
    /// What a line of the answer has in it that tells of a table read from end
    /// to end.
    pub scan: &'static str,
}

/// The foreign keys whose rows no index finds.
#[must_use]
pub fn references(dialect: &dyn Dialect, schema: &Schema) -> Vec<Missing> {
    let keys = schema.foreign_keys();
    keys.filter(|(id, key)| key.origin == Origin::Catalogue && !schema.is_indexed(*id))
        .map(|(id, key)| {
            let table = schema.table(key.child);
            let names: Vec<&str> = key
                .child_columns()
                .map(|column| table.column(column).name.as_str())
                .collect();
            let columns: Vec<String> = names.iter().map(|name| dialect.quote(name)).collect();
            let on = format!("({})", columns.join(", "));
            Missing {
                table: key.child,
                subject: schema.describe(id),
                need: Need::Reference(id),
                remedy: Remedy::Index(index(dialect, table, &names, &on)),
            }
        })
        .collect()
}

/// The places of markers: what to ask of those that an index can serve, and
/// what is missing at the others. A row is looked for at all places of its
/// table at once, so that one without an index has the whole table read.
#[must_use]
pub fn markers(dialect: &dyn Dialect, model: &Model) -> (Vec<Probe>, Vec<Missing>) {
    let (mut probes, mut hopeless) = (Vec::new(), Vec::new());
    let Some(cleanup) = &model.policy().cleanup else {
        return (probes, hopeless);
    };
    for marked in model.marked() {
        let table = model.schema().table(marked.table);
        let places = Places {
            dialect,
            id: marked.table,
            table,
            marker: (&cleanup.marker.key, &cleanup.marker.value),
            session: &cleanup.session,
        };
        for place in &marked.places {
            let found = match place {
                Mark::Json(column, path) => vec![places.json(*column, path)],
                Mark::Tags(columns) => columns.iter().map(|&id| places.tag(id)).collect(),
            };
            for found in found {
                match found {
                    Ok(probe) => probes.push(probe),
                    Err(missing) => hopeless.push(missing),
                }
            }
        }
    }
    (probes, hopeless)
}

/// The places of one table.
struct Places<'a> {
    dialect: &'a dyn Dialect,
    id: TableId,
    table: &'a Table,
    marker: (&'a str, &'a str),
    session: &'a str,
}

impl Places<'_> {
    fn json(&self, id: ColumnId, path: &[String]) -> Result<Probe, Missing> {
        let (dialect, column) = (self.dialect, self.table.column(id));
        let sql = dialect.quote(&column.name);
        let at = |key| -> Vec<&str> { path.iter().map(String::as_str).chain([key]).collect() };
        let (marker, session) = (at(self.marker.0), at(self.session));
        let says = |path: &[&str], value: &str| {
            let value = dialect.literal(&Value::Text(value.to_owned()));
            format!("{} = {value}", dialect.json_text(column, &sql, path))
        };
        let subject = format!("{}.{}", column.name, marker.join("."));
        let missing = |sweep, paths: &[&[&str]]| {
            let mut names = vec![column.name.as_str()];
            names.extend(paths.iter().filter_map(|path| path.last()));
            let on = dialect.json_index(column, paths);
            self.missing(&subject, sweep, on, &names)
        };
        let neither = missing(Sweep::Any, &[&marker, &session])?;
        let of_all_alone = missing(Sweep::OfAll, &[&marker])?;
        let of_all = says(&marker, self.marker.1);
        let of_one = format!("{of_all} AND {}", says(&session, ""));
        Ok(self.probe((&of_all, &of_one), neither, of_all_alone))
    }

    fn tag(&self, id: ColumnId) -> Result<Probe, Missing> {
        let (dialect, column) = (self.dialect, self.table.column(id));
        let sql = dialect.quote(&column.name);
        let has = |key: &str, value: &str| {
            let tag = dialect.literal(&Value::Text(format!("{key}:{value}")));
            dialect.has_tag(column, &sql, &tag)
        };
        let on = dialect.tag_index(column);
        let missing = self.missing(&column.name, Sweep::Any, on, &[&column.name])?;
        let of_all = has(self.marker.0, self.marker.1);
        let of_one = format!("{of_all} AND {}", has(self.session, ""));
        Ok(self.probe((&of_all, &of_one), missing.clone(), missing))
    }

    /// Something missing, as an error where nothing helps.
    fn missing(
        &self,
        subject: &str,
        sweep: Sweep,
        on: Result<String, &'static str>,
        names: &[&str],
    ) -> Result<Missing, Missing> {
        let missing = |remedy| Missing {
            table: self.id,
            subject: format!("{}.{subject}", self.table.name),
            need: Need::Marker(sweep),
            remedy,
        };
        match on {
            Ok(on) => {
                let statement = index(self.dialect, self.table, names, &on);
                Ok(missing(Remedy::Index(statement)))
            }
            Err(why) => Err(missing(Remedy::None(why))),
        }
    }

    fn probe(
        &self,
        (of_all, of_one): (&str, &str),
        neither: Missing,
        of_all_alone: Missing,
    ) -> Probe {
        let finds = |condition: &str| {
            let rows = self.dialect.rows(self.table);
            format!("SELECT 1 FROM {rows} WHERE {condition}")
        };
        Probe {
            of_all: finds(of_all),
            of_one: finds(of_one),
            neither,
            of_all_alone,
        }
    }
}

/// An index over the texts at these paths of a JSON column, of the rows that
/// have the first of them. It stays small, and SQLite, once its tables are
/// analysed, takes one in which nearly all rows are the same for useless.
pub(super) fn json_index(dialect: &dyn Dialect, column: &Column, paths: &[&[&str]]) -> String {
    let name = dialect.quote(&column.name);
    let texts = paths.iter();
    let texts: Vec<String> = texts
        .map(|path| dialect.json_text(column, &name, path))
        .collect();
    let first = texts.first().cloned().unwrap_or_default();
    format!("({}) WHERE {first} IS NOT NULL", texts.join(", "))
}

/// The statement that makes an index on a table; `on` is what stands behind
/// the table's name.
fn index(dialect: &dyn Dialect, table: &Table, names: &[&str], on: &str) -> String {
    let mut name = format!("{}_{}", table.name.name, names.join("_"));
    const END: &str = "_idx";
    while name.len() > NAME_LETTERS - END.len() {
        name.pop();
    }
    let name = dialect.quote(&(name + END));
    let table = match table.name.schema {
        Some(_) => dialect.table(&table.name),
        None => dialect.quote(&table.name.name),
    };
    format!("CREATE INDEX {name} ON {table} {on};")
}
