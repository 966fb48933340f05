//! The rows that a scope itself names.

use super::{ROW, Renderer, list};
use crate::{
    dialect::Statement,
    plan::{Mark, MarkedTable, Role, Scope, SetId},
    policy::{Cleanup, Value},
    schema::{Column, ColumnId, Locator, Table},
};

/// What a scope starts from, now that the caller is known.
#[derive(Debug, Clone, Copy)]
pub enum Seed<'a> {
    /// The user of this key.
    Key(&'a str),
    /// The test users.
    TestUsers(&'a Eligible),
    /// Marked rows, of one session or all; of users only those who may go.
    Marked {
        /// The session.
        session: Option<&'a str>,
        /// Which users may go.
        eligible: &'a Eligible,
    },
    /// Rows that have no owner any more, by the policy's conditions.
    Orphans,
    /// What a recipe of the policy names.
    Recipe,
    /// The users that a full reset keeps.
    Kept {
        /// Whether admins are among them.
        admins: bool,
        /// Keys or e-mails of users that are never reset.
        protected: &'a [String],
    },
}

/// Which users may go in bulk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Eligible {
    /// The domains of test users.
    pub domains: Vec<String>,
    /// Whether admins among them may go as well.
    pub include_admins: bool,
    /// Keys or e-mails of users that never go.
    pub protected: Vec<String>,
}

impl Renderer<'_> {
    /// Finds the rows of a root set, and locks them against everybody else: a
    /// row that another transaction is changing is waited for and judged as
    /// it is then. Nothing when the scope names none there.
    #[must_use]
    pub fn seed(&self, set: SetId, seed: &Seed<'_>) -> Option<Statement> {
        let mut parameters = Vec::new();
        let condition = self.rooted(set, seed, &mut parameters)?;
        let sql = self.insert(set, &[condition], 0) + self.dialect.for_update();
        Some(Statement::new(sql, parameters))
    }

    /// Makes what reading the places of markers needs.
    #[must_use]
    pub fn reader(&self, set: SetId) -> Option<Statement> {
        let table = self.plan.set(set).table;
        let columns = self.schema().table(table);
        let mut places = self
            .plan
            .model()
            .marked()
            .filter(|root| root.table == table);
        let reader = places.find_map(|root| {
            root.places.iter().find_map(|place| match place {
                Mark::Json(column, _) => self.dialect.json_reader(columns.column(*column)),
                Mark::Tags(_) => None,
            })
        });
        reader.map(Statement::plain)
    }

    /// Counts the users that the seed names but that may not go.
    #[must_use]
    pub fn passed_over(&self, set: SetId, seed: &Seed<'_>) -> Option<Statement> {
        let mut parameters = Vec::new();
        let sql = self.over(set, seed, &mut parameters)?;
        Some(Statement::new(sql, parameters))
    }

    pub(super) fn over(
        &self,
        set: SetId,
        seed: &Seed<'_>,
        parameters: &mut Vec<String>,
    ) -> Option<String> {
        let table = self.plan.set(set).table;
        if table != self.plan.model().users().table {
            return None;
        }
        let condition = match seed {
            Seed::Key(_) | Seed::Orphans | Seed::Recipe | Seed::Kept { .. } => return None,
            Seed::TestUsers(eligible) => format!(
                "{} AND {}",
                self.is_barred(eligible),
                self.has_test_email(eligible)
            ),
            Seed::Marked { session, eligible } => format!(
                "{} AND NOT {}",
                self.marked(set, *session, parameters)?,
                self.may_go(eligible)
            ),
        };
        Some(format!(
            "SELECT {} FROM {} AS {ROW} WHERE {condition}",
            self.rows_counted(),
            self.table(table),
        ))
    }

    /// Counts all users, and those whom the seed names and who may go.
    #[must_use]
    pub fn share_of_users(&self, eligible: &Eligible) -> Statement {
        Statement::plain(format!(
            "SELECT {rows}, {} FROM {} AS {ROW}",
            self.dialect.as_text(&format!(
                "COALESCE(sum(CASE WHEN {} THEN 1 ELSE 0 END), 0)",
                self.may_go(eligible)
            )),
            self.table(self.plan.model().users().table),
            rows = self.rows_counted(),
        ))
    }

    /// Counts the users of a set that may not go.
    #[must_use]
    pub fn ineligible(&self, set: SetId, eligible: &Eligible) -> Statement {
        Statement::plain(format!(
            "SELECT {} FROM {} AS {ROW} WHERE {} AND NOT {}",
            self.rows_counted(),
            self.table(self.plan.set(set).table),
            self.is_in(set),
            self.may_go(eligible),
        ))
    }

    /// Counts the users of a set that are never reset.
    #[must_use]
    pub fn protected(&self, set: SetId, protected: &[String]) -> Statement {
        Statement::plain(format!(
            "SELECT {} FROM {} AS {ROW} WHERE {} AND {}",
            self.rows_counted(),
            self.table(self.plan.set(set).table),
            self.is_in(set),
            self.is_listed(protected),
        ))
    }

    /// The first users of a set, with key and e-mail.
    #[must_use]
    pub fn users(&self, set: SetId, limit: usize) -> Statement {
        let users = self.plan.model().users();
        let table = self.schema().table(users.table);
        let text = |id: ColumnId| {
            let sql = format!("{ROW}.{}", self.column(table, id));
            self.dialect.text(table.column(id), &sql)
        };
        Statement::plain(format!(
            "SELECT {}, {} FROM {} AS {ROW} WHERE {} ORDER BY {ROW}.{} LIMIT {limit}",
            text(users.key),
            text(users.email),
            self.table(users.table),
            self.is_in(set),
            self.column(table, users.key),
        ))
    }

    /// The keys of a set's rows, in their order; nothing where rows have no
    /// key but the place where they are stored.
    #[must_use]
    pub fn keys(&self, set: SetId) -> Option<Statement> {
        let table = self.schema().table(self.plan.set(set).table);
        let Locator::Columns(keys) = &table.locator else {
            return None;
        };
        let texts: Vec<String> = keys
            .iter()
            .map(|&key| {
                self.dialect
                    .text(table.column(key), &format!("s.c{}", key.0))
            })
            .collect();
        let order: Vec<String> = (1..=texts.len()).map(|place| place.to_string()).collect();
        Some(Statement::plain(format!(
            "SELECT {} FROM {} AS s ORDER BY {}",
            texts.join(", "),
            self.dialect.temporary(&Self::set_name(set)),
            order.join(", "),
        )))
    }

    /// Which rows of a set the scope names; the values go behind those of the
    /// statement's parameters that are there already.
    pub(super) fn rooted(
        &self,
        set: SetId,
        seed: &Seed<'_>,
        parameters: &mut Vec<String>,
    ) -> Option<String> {
        let users = self.plan.model().users();
        let is_users = self.plan.set(set).table == users.table;
        match seed {
            Seed::Key(key) => {
                let column = self.schema().table(users.table).column(users.key);
                let name = self.dialect.quote(&column.name);
                is_users.then(|| {
                    let value = self.bind(parameters, (*key).to_owned(), Some(column));
                    format!("{ROW}.{name} = {value}")
                })
            }
            Seed::TestUsers(eligible) => is_users.then(|| self.may_go(eligible)),
            Seed::Marked { session, eligible } => {
                let marked = self.marked(set, *session, parameters)?;
                Some(match is_users {
                    true => format!("{marked} AND {}", self.may_go(eligible)),
                    false => marked,
                })
            }
            Seed::Orphans => {
                let condition = self.plan.model().orphans().get(&self.plan.set(set).table)?;
                let is_root = self.plan.set(set).is_root;
                is_root.then(|| format!("({condition})"))
            }
            Seed::Recipe => self.named(set),
            Seed::Kept { admins, protected } if !admins && protected.is_empty() => None,
            Seed::Kept { admins, protected } => {
                let mut kept = vec![self.is_listed(protected)];
                if *admins {
                    kept.push(self.is_admin());
                }
                is_users.then(|| format!("({})", kept.join(" OR ")))
            }
        }
    }

    /// Which rows of a root set a recipe means.
    fn named(&self, set: SetId) -> Option<String> {
        let Scope::Recipe(name) = self.plan.scope() else {
            return None;
        };
        let recipe = self.plan.model().recipe(name)?;
        let set = self.plan.set(set);
        match set.role {
            Role::Owned => Some("(1 = 1)".to_owned()),
            Role::Doomed => Some(match recipe.delete.get(&set.table)? {
                Some(condition) => format!("({condition})"),
                None => "(1 = 1)".to_owned(),
            }),
            Role::Kept => None,
        }
    }

    pub(super) fn may_go(&self, eligible: &Eligible) -> String {
        format!(
            "({} AND NOT {})",
            self.has_test_email(eligible),
            self.is_barred(eligible)
        )
    }

    /// Two-valued, and cheaper than to look at an e-mail.
    fn is_barred(&self, eligible: &Eligible) -> String {
        let listed = self.is_listed(&eligible.protected);
        match eligible.include_admins {
            true => listed,
            false => format!("({} OR {listed})", self.is_admin()),
        }
    }

    fn has_test_email(&self, eligible: &Eligible) -> String {
        let users = self.plan.model().users();
        let table = self.schema().table(users.table);
        let email = format!("{ROW}.{}", self.column(table, users.email));
        self.dialect.is_test_email(&email, &eligible.domains)
    }

    /// Two-valued: a user without a type is no admin.
    fn is_admin(&self) -> String {
        match &self.plan.model().users().admins {
            Some((column, labels)) => self.is_one_of(*column, labels),
            None => "(1 = 0)".to_owned(),
        }
    }

    fn is_listed(&self, names: &[String]) -> String {
        if names.is_empty() {
            return "(1 = 0)".to_owned();
        }
        let users = self.plan.model().users();
        format!(
            "({} OR {})",
            self.is_one_of(users.key, names),
            self.is_one_of(users.email, names)
        )
    }

    fn is_one_of(&self, column: ColumnId, values: &[String]) -> String {
        let table = self.schema().table(self.plan.model().users().table);
        let sql = format!("{ROW}.{}", self.column(table, column));
        let text = self.dialect.text(table.column(column), &sql);
        let values = values
            .iter()
            .map(|value| self.dialect.literal(&Value::Text(value.clone())));
        format!("COALESCE({text} IN ({}), FALSE)", list(values))
    }

    /// True for rows that carry the marker, and the session's id where one is
    /// asked for; NULL for some others, so that an index can serve it.
    fn marked(
        &self,
        set: SetId,
        session: Option<&str>,
        parameters: &mut Vec<String>,
    ) -> Option<String> {
        let model = self.plan.model();
        let cleanup = model.policy().cleanup.as_ref()?;
        let table = self.plan.set(set).table;
        let root = model.marked().find(|root| root.table == table)?;
        let places = self.places(root, cleanup, session, parameters);
        Some(format!("({})", places.join(" OR ")))
    }

    fn places(
        &self,
        root: &MarkedTable,
        cleanup: &Cleanup,
        session: Option<&str>,
        parameters: &mut Vec<String>,
    ) -> Vec<String> {
        let table = self.schema().table(root.table);
        // Parameters without a number have the order of the text.
        let mut says = |spot: Spot<'_>, key: &str, value: &str| {
            let (Spot::Json(id, _) | Spot::Tag(id)) = spot;
            let (column, sql) = (
                table.column(id),
                format!("{ROW}.{}", self.column(table, id)),
            );
            match spot {
                Spot::Json(_, path) => {
                    let keys: Vec<&str> = path.iter().map(String::as_str).chain([key]).collect();
                    let narrower = self.computed(table, column, &keys, value, parameters);
                    let found = self.dialect.json_text(column, &sql, &keys);
                    let value = self.bind(parameters, value.to_owned(), None);
                    format!("{narrower}{found} = {value}")
                }
                Spot::Tag(_) => {
                    let value = self.bind(parameters, format!("{key}:{value}"), None);
                    self.dialect.has_tag(column, &sql, &value)
                }
            }
        };
        // Each way to be marked has a comparison of its own, so that SQLite
        // finds its rows by an index.
        let mut ways = Vec::new();
        for spots in root.places.iter().map(spots) {
            for &spot in &spots {
                let marker = says(spot, &cleanup.marker.key, &cleanup.marker.value);
                ways.push(match session {
                    Some(session) => {
                        let spots = spots.iter();
                        let any: Vec<String> = spots
                            .map(|&spot| says(spot, &cleanup.session, session))
                            .collect();
                        format!("({marker} AND ({}))", any.join(" OR "))
                    }
                    None => marker,
                });
            }
        }
        ways
    }
}

impl Renderer<'_> {
    /// What an index finds, where the table has a computed column for a text
    /// in JSON: rows among which are all that are asked for.
    fn computed(
        &self,
        table: &Table,
        column: &Column,
        path: &[&str],
        text: &str,
        parameters: &mut Vec<String>,
    ) -> String {
        let first = table
            .indexes
            .iter()
            .filter_map(|index| index.columns.first());
        let mut first = first.map(|&id| table.column(id));
        match first.find(|computed| self.dialect.computes(computed, column, path, text)) {
            Some(computed) => {
                let value = self.bind(parameters, text.to_owned(), Some(computed));
                format!(
                    "{ROW}.{} = {value} AND ",
                    self.dialect.quote(&computed.name)
                )
            }
            None => String::new(),
        }
    }
}

/// One column where a marker can be.
#[derive(Debug, Clone, Copy)]
enum Spot<'a> {
    /// In JSON, at this path.
    Json(ColumnId, &'a [String]),
    /// As a tag.
    Tag(ColumnId),
}

fn spots(place: &Mark) -> Vec<Spot<'_>> {
    match place {
        Mark::Json(column, path) => vec![Spot::Json(*column, path)],
        Mark::Tags(columns) => columns.iter().map(|&column| Spot::Tag(column)).collect(),
    }
}
