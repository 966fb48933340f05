//! Writes a reset whose rows are listed in the statements themselves: few keys
//! are read, and written into what follows. A database that would have to make
//! a table for each set, and to guess which way leads to its rows, finds those
//! of a list by their index.

use std::collections::BTreeSet;

use super::{Part, ROW, Renderer, Script, Seed, Shape, list, script::Text};
use crate::{
    dialect::{Dialect, Row, Statement, Tally},
    plan::{Path, Plan, SetId, Share},
    schema::{ColumnId, ForeignKeyId, Locator},
};

/// A row's values as they are written into a statement, in the order of its
/// set's columns.
pub type Key = Vec<String>;

/// No value: texts are written in other letters.
const NULL: &str = "NULL";

impl<'a> Renderer<'a> {
    /// Writes for `plan`, of whose sets these rows are known.
    #[must_use]
    pub fn listing(
        dialect: &'a dyn Dialect,
        plan: &'a Plan,
        sizes: &'a [u64],
        keys: &'a [Vec<Key>],
    ) -> Self {
        Self {
            shape: Shape::Lists(keys),
            ..Self::new(dialect, plan, sizes)
        }
    }

    /// The columns of a set's rows, and those by which they refer to others that
    /// may have a share in them; nothing where rows have no key but the place
    /// where they are stored.
    fn listed_columns(&self, id: SetId) -> Option<Vec<ColumnId>> {
        let set = self.plan.set(id);
        let Locator::Columns(keys) = &self.schema().table(set.table).locator else {
            return None;
        };
        let mut columns = keys.clone();
        let others = set.columns.iter().filter(|column| !keys.contains(column));
        columns.extend(others);
        // Behind those that every set has.
        let shares = self.plan.shares_of(id).into_iter();
        let references = shares.flat_map(|(_, share)| &share.references);
        for column in
            references.flat_map(|(key, _)| self.schema().foreign_key(*key).child_columns())
        {
            if !columns.contains(&column) {
                columns.push(column);
            }
        }
        Some(columns)
    }

    /// True when no row of a share refers to anything but rows in scope, as far
    /// as what is listed tells: what is written alike is the same.
    pub(super) fn is_unshared(&self, share: &Share) -> bool {
        let Shape::Lists(keys) = self.shape else {
            return false;
        };
        let rows = |set: SetId| keys.get(set.index()).into_iter().flatten();
        let place = |set: SetId, column: ColumnId| {
            let columns = self.listed_columns(set)?;
            columns.iter().position(|listed| *listed == column)
        };
        share.references.iter().all(|&(foreign_key, inside)| {
            let Some(inside) = inside else {
                return false;
            };
            let pairs = &self.schema().foreign_key(foreign_key).columns;
            let pairs = pairs
                .iter()
                .map(|pair| Some((place(share.set, pair.child)?, place(inside, pair.parent)?)));
            let Some(pairs) = pairs.collect::<Option<Vec<_>>>() else {
                return false;
            };
            let values = |key: &'a Key, places: &mut dyn Iterator<Item = usize>| {
                places
                    .map(|place| key.get(place))
                    .collect::<Option<Vec<_>>>()
            };
            let known = rows(inside).map(|key| values(key, &mut pairs.iter().map(|pair| pair.1)));
            let known: BTreeSet<_> = known.collect();
            rows(share.set).all(|key| {
                let value = values(key, &mut pairs.iter().map(|pair| pair.0));
                let leads_nowhere = |values: &Vec<&String>| values.iter().any(|v| *v == NULL);
                value.as_ref().is_some_and(leads_nowhere)
                    || value.is_some() && known.contains(&value)
            })
        })
    }

    /// True when the values of every set can be written into a statement.
    #[must_use]
    pub fn can_list(&self) -> bool {
        self.plan.sets().all(|(id, set)| {
            let table = self.schema().table(set.table);
            let columns = self.listed_columns(id);
            let mut columns = columns.iter().flatten();
            self.listed_columns(id).is_some()
                && columns.all(|&column| self.dialect.can_list(table.column(column)))
        })
    }

    /// Asks for the rows of a set that the scope names, and locks them, as
    /// [`Renderer::seed`] does.
    #[must_use]
    pub fn listed_seed(&self, set: SetId, seed: &Seed<'_>, limit: usize) -> Option<Statement> {
        let mut parameters = Vec::new();
        let condition = self.rooted(set, seed, &mut parameters)?;
        let search = self.listed_search(set, &condition)?;
        let lock = self.dialect.for_update();
        Some(Statement::new(
            format!("{search} LIMIT {limit}{lock}"),
            parameters,
        ))
    }

    /// Asks for the rows of a set at the end of its ways; nothing when there
    /// can be none.
    #[must_use]
    pub fn listed_fill(&self, set: SetId, limit: usize) -> Option<Statement> {
        let paths = self.plan.set(set).paths.iter();
        let led_to = |path: &&Path| path.source().is_none_or(|from| !self.is_empty(from));
        let searches = paths
            .filter(led_to)
            .map(|path| self.listed_search(set, &self.follows(path, None)));
        let searches: Vec<String> = searches.collect::<Option<_>>()?;
        (!searches.is_empty()).then(|| {
            let searches = searches.join(" UNION ");
            Statement::plain(format!("{searches} LIMIT {limit}"))
        })
    }

    /// The one user of a scope, who is known and locked, where nothing else
    /// of the row is asked for.
    #[must_use]
    pub fn listed_user(&self, set: SetId, seed: &Seed<'_>) -> Option<Key> {
        let users = self.plan.model().users();
        let (Seed::Key(key), set_of) = (seed, self.plan.set(set)) else {
            return None;
        };
        let is_all = set_of.table == users.table && self.listed_columns(set)? == [users.key];
        let column = self.schema().table(users.table).column(users.key);
        Some(vec![self.dialect.listed(column, key).filter(|_| is_all)?])
    }

    fn listed_search(&self, set: SetId, condition: &str) -> Option<String> {
        let table = self.schema().table(self.plan.set(set).table);
        let texts = self.listed_columns(set)?.into_iter().map(|id| {
            let sql = format!("{ROW}.{}", self.column(table, id));
            self.dialect.text(table.column(id), &sql)
        });
        Some(format!(
            "SELECT {} FROM {} AS {ROW} WHERE {condition}",
            list(texts),
            self.table(self.plan.set(set).table),
        ))
    }

    /// A row that was found, as it is written into what follows.
    #[must_use]
    pub fn key(&self, set: SetId, row: &Row) -> Option<Key> {
        let table = self.schema().table(self.plan.set(set).table);
        let columns = self.listed_columns(set)?;
        if columns.len() != row.len() {
            return None;
        }
        let values = columns.into_iter().zip(row).map(|(id, value)| match value {
            Some(value) => self.dialect.listed(table.column(id), value),
            None => Some(NULL.to_owned()),
        });
        values.collect()
    }

    /// What is asked and changed once all rows are known, as one text, but for
    /// those that the database deletes with them, which are counted.
    #[must_use]
    pub fn listed_changes(
        &self,
        seed: &Seed<'_>,
        named: usize,
        cascading: &[SetId],
    ) -> Option<Script> {
        let mut text = Text::default();
        let mut parameters = Vec::new();
        let questions = self.questions(seed, named, &mut parameters)?;
        text.ask(questions);
        let (always, again) = self.dialect.by_index()?;
        text.say(always);
        for &set in cascading {
            if let Some((tallies, count)) = self.count_cascading(set) {
                text.add(Part::Answers(tallies), count);
            }
        }
        self.change(&mut text)?;
        text.say(again);
        Some(text.into_script(parameters))
    }

    /// Counts the rows of a set at the end of its ways, each row once, and
    /// those of them that others have a share in, and locks them, so that as
    /// many go; nothing when there can be none.
    fn count_cascading(&self, id: SetId) -> Option<(Vec<Tally>, String)> {
        let set = self.plan.set(id);
        let led_to = |path: &&Path| path.source().is_some_and(|from| !self.is_empty(from));
        let paths: Vec<&Path> = set.paths.iter().filter(led_to).collect();
        let ways: Vec<String> = paths.iter().map(|path| self.follows(path, None)).collect();
        let shares = self.plan.shares_of(id);
        let searches = paths.iter().zip(&ways).enumerate();
        let searches = searches.map(|(place, (path, way))| {
            let shared = shares
                .iter()
                .map(|(_, share)| self.count_shared(share, path));
            let counts = std::iter::once("count(*)".to_owned()).chain(shared);
            let named = counts.enumerate();
            let named = list(named.map(|(place, count)| format!("{count} AS n{place}")));
            let before = ways.iter().take(place);
            let before = before.map(|way| format!(" AND ({way}) IS NOT TRUE"));
            let (table, before) = (self.table(set.table), before.collect::<String>());
            let lock = self.dialect.for_update();
            format!("(SELECT {named} FROM {table} AS {ROW} WHERE {way}{before}{lock})")
        });
        let sums = (0..=shares.len()).map(|place| self.dialect.as_text(&format!("sum(n{place})")));
        let (sums, searches) = (list(sums), searches.collect::<Vec<_>>().join(" UNION ALL "));
        let shared = shares.iter().map(|(place, _)| Tally::Shared(*place));
        let tallies = std::iter::once(Tally::Deleted(id)).chain(shared).collect();
        (!ways.is_empty()).then(|| (tallies, format!("SELECT {sums} FROM ({searches}) AS ways")))
    }

    /// Counts the rows of a share's set at the end of a way: by that they refer
    /// to a row in scope.
    fn count_shared(&self, share: &Share, way: &Path) -> String {
        let is_way = |&(key, inside): &(ForeignKeyId, Option<SetId>)| {
            key == way.foreign_key && inside == way.source()
        };
        let others = share.references.iter().copied();
        let others = Share {
            set: share.set,
            references: others.filter(|reference| !is_way(reference)).collect(),
        };
        match others.references.is_empty() {
            true => "0".to_owned(),
            false => format!("count(CASE WHEN {} THEN 1 END)", self.is_shared(&others)),
        }
    }

    /// In the form for one table, which knows no other name for it.
    pub(super) fn delete_listed(&self, set: SetId) -> String {
        let table = self.schema().table(self.plan.set(set).table);
        let columns = match &table.locator {
            Locator::Columns(keys) => keys.as_slice(),
            Locator::Hidden(_) => &[],
        };
        let columns = columns.iter().map(|&id| self.column(table, id)).collect();
        format!(
            "DELETE FROM {} WHERE {}",
            self.table(self.plan.set(set).table),
            self.among(columns, self.locators(set)),
        )
    }
}
