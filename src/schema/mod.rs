//! What a database consists of: tables, columns, and the foreign keys that
//! tie them together.
//!
//! A [`Schema`] is plain data. It does not know which database it came from,
//! how it was read, or what a reset does to it.

pub mod graph;

use std::fmt;

/// The tables and foreign keys of one database, at one moment.
#[derive(Debug, Clone, Default)]
pub struct Schema {
    tables: Vec<Table>,
    foreign_keys: Vec<ForeignKey>,
    fingerprint: String,
}

/// A table's place in its [`Schema`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableId(usize);

/// A foreign key's place in its [`Schema`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ForeignKeyId(usize);

/// A column's place in its [`Table`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ColumnId(pub usize);

/// A table that holds rows of its own; views and foreign tables are none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: TableName,
    /// Its columns, in the catalogue's order.
    pub columns: Vec<Column>,
    /// The primary key's columns, in key order; empty where there is none.
    pub primary_key: Vec<ColumnId>,
    /// How one row is told from all others.
    pub locator: Locator,
    /// The indexes that serve every row; partial and expression indexes do
    /// not.
    pub indexes: Vec<Index>,
    /// True when a row-level trigger or a rule of the application's own fires on it.
    pub has_triggers: bool,
    /// True when some column of it compares by a collation of its own, so
    /// that comparisons must name the one that they mean.
    pub has_collations: bool,
    /// True when other tables inherit from it, whose rows are not its own.
    pub has_heirs: bool,
    /// What keeps a reset from deleting from this table, in words, such as
    /// row-level security that hides rows from our role.
    pub obstacle: Option<String>,
}

/// A table's name; `schema` is absent in the database's default schema.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableName {
    /// The schema, where it is not the default one.
    pub schema: Option<String>,
    /// The name in that schema, unquoted.
    pub name: String,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name, unquoted.
    pub name: String,
    /// Its type as the catalogue writes it.
    pub type_name: String,
    /// True when it takes NULL.
    pub nullable: bool,
    /// Its default as an SQL expression.
    pub default: Option<String>,
    /// True when the database computes it, so that it cannot be written.
    pub generated: bool,
    /// True when the database numbers it where it is left out.
    pub automatic: bool,
    /// True when the database itself sets it whenever the row is updated,
    /// unless the update says otherwise.
    pub self_updating: bool,
    /// The collation by which a unique index compares it, where that is not
    /// the database's plain one.
    pub collation: Option<String>,
    /// What it is computed from, as the catalogue writes it, where rows are
    /// found by it.
    pub expression: Option<String>,
}

/// An index over columns of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// Its columns, in index order.
    pub columns: Vec<ColumnId>,
    /// True when no two rows have the same values.
    pub unique: bool,
}

/// How one row of a table is told from all others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Locator {
    /// By the values of these columns, unique and never NULL.
    Columns(Vec<ColumnId>),
    /// By a column that the database adds itself, such as `rowid` or `ctid`.
    Hidden(String),
}

/// A reference from a child table's columns to a parent table's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignKey {
    /// The constraint's name, where it has one.
    pub name: Option<String>,
    /// The table that refers.
    pub child: TableId,
    /// The table that is referred to.
    pub parent: TableId,
    /// The columns, paired.
    pub columns: Vec<ColumnPair>,
    /// What the database does to the child when the parent is deleted.
    pub on_delete: ReferentialAction,
    /// True when the check can wait for the commit.
    pub deferrable: bool,
    /// Who says that it exists.
    pub origin: Origin,
}

/// One column of a foreign key and the column that it refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColumnPair {
    /// The referring column, of the child table.
    pub child: ColumnId,
    /// The referred column, of the parent table.
    pub parent: ColumnId,
}

/// What the database does to a referring row when its parent is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReferentialAction {
    /// Refuse at the end of the statement or of the transaction.
    NoAction,
    /// Refuse at once.
    Restrict,
    /// Delete the child.
    Cascade,
    /// Set the reference to NULL.
    SetNull,
    /// Set the reference to its default.
    SetDefault,
}

/// Who says that a foreign key exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The database declares and enforces it.
    Catalogue,
    /// The policy declares it; the database does not know it.
    Relation,
}

impl Schema {
    /// Makes a schema of `tables` and `foreign_keys`, whose ids are their
    /// places. `fingerprint` changes whenever the catalogue does.
    #[must_use]
    pub fn new(tables: Vec<Table>, foreign_keys: Vec<ForeignKey>, fingerprint: String) -> Self {
        Self {
            tables,
            foreign_keys,
            fingerprint,
        }
    }

    /// The same schema with further foreign keys that the database itself
    /// does not declare.
    #[must_use]
    pub fn with_relations(mut self, relations: Vec<ForeignKey>) -> Self {
        self.foreign_keys.extend(relations);
        self
    }

    /// The id that the table at `index` has in every schema.
    #[must_use]
    pub fn table_id(index: usize) -> TableId {
        TableId(index)
    }

    /// A text that changes whenever the catalogue does.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// All tables with their ids.
    pub fn tables(&self) -> impl Iterator<Item = (TableId, &Table)> {
        self.tables.iter().enumerate().map(|(i, t)| (TableId(i), t))
    }

    /// All foreign keys with their ids.
    pub fn foreign_keys(&self) -> impl Iterator<Item = (ForeignKeyId, &ForeignKey)> {
        self.foreign_keys
            .iter()
            .enumerate()
            .map(|(i, f)| (ForeignKeyId(i), f))
    }

    /// The table of this id.
    #[must_use]
    pub fn table(&self, id: TableId) -> &Table {
        &self.tables[id.0]
    }

    /// The foreign key of this id.
    #[must_use]
    pub fn foreign_key(&self, id: ForeignKeyId) -> &ForeignKey {
        &self.foreign_keys[id.0]
    }

    /// The table of this name: `name` in the default schema, or
    /// `schema.name`.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<TableId> {
        self.tables()
            .find(|(_, table)| table.name.to_string() == name)
            .map(|(id, _)| id)
    }

    /// A foreign key as people read it: `orders.buyer_id -> users.id`.
    #[must_use]
    pub fn describe(&self, id: ForeignKeyId) -> String {
        let key = self.foreign_key(id);
        let (child, parent) = (self.table(key.child), self.table(key.parent));
        let list = |table: &Table, columns: Vec<ColumnId>| {
            let names: Vec<&str> = columns
                .iter()
                .map(|&c| table.column(c).name.as_str())
                .collect();
            match names.as_slice() {
                [one] => format!("{}.{one}", table.name),
                many => format!("{}.({})", table.name, many.join(", ")),
            }
        };
        format!(
            "{} -> {}",
            list(child, key.child_columns().collect()),
            list(parent, key.columns.iter().map(|pair| pair.parent).collect()),
        )
    }

    /// The columns that detach a child from its parent when they are set to
    /// NULL, or nothing where it cannot be detached.
    ///
    /// Of a composite key only those count that are in no other key, so that
    /// a row never loses a second reference on the way.
    #[must_use]
    pub fn detachable(&self, id: ForeignKeyId) -> Vec<ColumnId> {
        let key = self.foreign_key(id);
        let table = self.table(key.child);
        let in_another_key = |column: ColumnId| {
            self.foreign_keys().any(|(other, fk)| {
                other != id && fk.child == key.child && fk.child_columns().any(|c| c == column)
            })
        };
        key.child_columns()
            .filter(|&c| table.column(c).nullable && !table.column(c).generated)
            .filter(|c| !table.primary_key.contains(c))
            .filter(|&c| key.columns.len() == 1 || !in_another_key(c))
            .collect()
    }

    /// True when the database, as a parent goes, writes to what a row of the
    /// child is told from others by.
    #[must_use]
    pub fn moves(&self, key: &ForeignKey) -> bool {
        let writes = match key.on_delete {
            ReferentialAction::SetNull | ReferentialAction::SetDefault => true,
            ReferentialAction::NoAction
            | ReferentialAction::Restrict
            | ReferentialAction::Cascade => false,
        };
        let found_by = match &self.table(key.child).locator {
            Locator::Columns(columns) => columns.as_slice(),
            Locator::Hidden(_) => &[],
        };
        writes && key.child_columns().any(|column| found_by.contains(&column))
    }

    /// True when an index of the child finds the rows of a foreign key.
    #[must_use]
    pub fn is_indexed(&self, id: ForeignKeyId) -> bool {
        let key = self.foreign_key(id);
        self.table(key.child).indexes.iter().any(|index| {
            let leading = &index.columns[..key.columns.len().min(index.columns.len())];
            leading.len() == key.columns.len() && key.child_columns().all(|c| leading.contains(&c))
        })
    }
}

impl Table {
    /// The column of this id.
    #[must_use]
    pub fn column(&self, id: ColumnId) -> &Column {
        &self.columns[id.0]
    }

    /// The column of this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<ColumnId> {
        self.columns
            .iter()
            .position(|column| column.name == name)
            .map(ColumnId)
    }
}

impl ForeignKey {
    /// The referring columns.
    pub fn child_columns(&self) -> impl Iterator<Item = ColumnId> {
        self.columns.iter().map(|pair| pair.child)
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.schema {
            Some(schema) => write!(f, "{schema}.{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

impl fmt::Display for ReferentialAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoAction => "NO ACTION",
            Self::Restrict => "RESTRICT",
            Self::Cascade => "CASCADE",
            Self::SetNull => "SET NULL",
            Self::SetDefault => "SET DEFAULT",
        })
    }
}
