//! A case as plain data: tables, keys, rows, what a policy says of them, and
//! the reset that is asked for.

use std::collections::BTreeMap;

use resetd::operation::Level;

/// A value as SQLite stores it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cell {
    Null,
    Integer(i64),
    Text(String),
}

/// What a column is declared as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Integer,
    Text,
    Varchar,
    Uuid,
    Decimal,
    Bare,
}

/// What a column converts values to that are stored in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Affinity {
    Number,
    Text,
    Nothing,
}

#[derive(Debug, Clone)]
pub struct Column {
    pub name: String,
    pub kind: Kind,
    pub nullable: bool,
    pub default: Option<Cell>,
    pub nocase: bool,
    /// The column that this one is computed from, and whether it is stored.
    pub generated: Option<(usize, bool)>,
}

#[derive(Debug, Clone)]
pub struct Table {
    pub name: String,
    /// The last one is the tag, which tells a row from all others of the case.
    pub columns: Vec<Column>,
    pub primary: Vec<usize>,
    pub without_rowid: bool,
    pub autoincrement: bool,
    pub uniques: Vec<Vec<usize>>,
    pub indexes: Vec<Vec<usize>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDelete {
    NoAction,
    Restrict,
    Cascade,
    SetNull,
    SetDefault,
}

/// A foreign key, or a relation that only the policy knows.
#[derive(Debug, Clone)]
pub struct Key {
    pub child: usize,
    pub parent: usize,
    /// (child column, parent column).
    pub pairs: Vec<(usize, usize)>,
    pub action: OnDelete,
    pub declared: bool,
    /// Written without the parent's columns, or in other letter case.
    pub spelling: Spelling,
    pub deferred: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spelling {
    Exact,
    Implicit,
    OtherCase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    Delete,
    Detach,
    Block,
}

/// What a column is set back to.
#[derive(Debug, Clone, PartialEq)]
pub enum Reset {
    Now,
    Boolean(bool),
    Cell(Cell),
}

/// What a level takes from tables that stay otherwise.
#[derive(Debug, Clone, Default)]
pub struct LevelRules {
    pub delete: Vec<usize>,
    /// Table, column, value; a column once at most.
    pub restore: Vec<(usize, usize, Reset)>,
}

/// What the policy says.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    pub keep: Vec<usize>,
    /// By the text that stands in the policy.
    pub treatments: BTreeMap<String, Treatment>,
    pub user_data: LevelRules,
    pub user_sessions: LevelRules,
    /// Users that are never reset, as the policy writes them.
    pub protect: Vec<String>,
}

/// One row.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub table: usize,
    pub cells: Vec<Cell>,
}

/// A database, a policy, and a reset.
#[derive(Debug, Clone)]
pub struct Case {
    pub tables: Vec<Table>,
    pub keys: Vec<Key>,
    pub rows: Vec<Row>,
    pub rules: Rules,
    pub users: usize,
    pub user_key: usize,
    pub user_key_named: bool,
    pub email: usize,
    pub level: Level,
    /// The tag of the user that is reset.
    pub root: String,
    pub by_email: bool,
    pub force: bool,
    /// True when some foreign key of the data leads nowhere.
    pub dangling: bool,
}

impl Kind {
    pub fn affinity(self) -> Affinity {
        match self {
            Self::Integer | Self::Uuid | Self::Decimal => Affinity::Number,
            Self::Text | Self::Varchar => Affinity::Text,
            Self::Bare => Affinity::Nothing,
        }
    }

    /// As SQL declares it.
    pub fn sql(self) -> &'static str {
        match self {
            Self::Integer => "INTEGER",
            Self::Text => "TEXT",
            Self::Varchar => "VARCHAR(36)",
            Self::Uuid => "UUID",
            Self::Decimal => "DECIMAL(10)",
            Self::Bare => "",
        }
    }
}

impl Affinity {
    /// What a value becomes in a column of this affinity. The cases have no
    /// numbers in any notation but the plain one.
    pub fn convert(self, cell: &Cell) -> Cell {
        match (self, cell) {
            (Self::Number, Cell::Text(text)) => match text.parse() {
                Ok(number) => Cell::Integer(number),
                Err(_) => cell.clone(),
            },
            (Self::Text, Cell::Integer(number)) => Cell::Text(number.to_string()),
            _ => cell.clone(),
        }
    }
}

impl Cell {
    pub fn text(&self) -> String {
        match self {
            Self::Null => String::new(),
            Self::Integer(number) => number.to_string(),
            Self::Text(text) => text.clone(),
        }
    }

    /// As an SQL literal.
    pub fn sql(&self) -> String {
        match self {
            Self::Null => "NULL".to_owned(),
            Self::Integer(number) => number.to_string(),
            Self::Text(text) => format!("'{}'", text.replace('\'', "''")),
        }
    }
}

impl Column {
    /// A plain optional column.
    pub fn new(name: impl Into<String>, kind: Kind) -> Self {
        Self {
            name: name.into(),
            kind,
            nullable: true,
            default: None,
            nocase: false,
            generated: None,
        }
    }

    /// What a value is stored as here.
    pub fn store(&self, cell: &Cell) -> Cell {
        self.kind.affinity().convert(cell)
    }

    /// True when the column's collation takes the two for the same.
    pub fn same(&self, one: &Cell, other: &Cell) -> bool {
        match (one, other) {
            (Cell::Text(one), Cell::Text(other)) if self.nocase => one.eq_ignore_ascii_case(other),
            _ => one == other,
        }
    }
}

impl Table {
    /// The column sets that a foreign key can refer to.
    pub fn candidates(&self) -> Vec<Vec<usize>> {
        let primary = Some(self.primary.clone()).filter(|key| !key.is_empty());
        primary
            .into_iter()
            .chain(self.uniques.iter().cloned())
            .collect()
    }

    /// True for a column that is part of something unique.
    pub fn is_key(&self, column: usize) -> bool {
        self.candidates().iter().any(|key| key.contains(&column))
    }
}

impl Case {
    pub fn child(&self, key: &Key) -> &Table {
        &self.tables[key.child]
    }

    pub fn parent(&self, key: &Key) -> &Table {
        &self.tables[key.parent]
    }

    pub fn tag<'a>(&self, row: &'a Row) -> &'a str {
        match row.cells.last() {
            Some(Cell::Text(tag)) => tag,
            _ => panic!("a row without a tag: {row:?}"),
        }
    }

    /// True when a child row refers to a parent row, as a foreign key sees
    /// it: by the affinity and the collation of the parent's columns.
    pub fn refers(&self, key: &Key, child: &Row, parent: &Row) -> bool {
        child.table == key.child
            && parent.table == key.parent
            && key.pairs.iter().all(|&(from, to)| {
                let column = &self.tables[key.parent].columns[to];
                let value = column.store(&child.cells[from]);
                value != Cell::Null && column.same(&value, &parent.cells[to])
            })
    }

    /// A reference as people read it.
    pub fn describe(&self, key: &Key) -> String {
        let side = |table: &Table, columns: Vec<usize>| {
            let names: Vec<&str> = columns
                .iter()
                .map(|&c| table.columns[c].name.as_str())
                .collect();
            match names.as_slice() {
                [one] => format!("{}.{one}", table.name),
                many => format!("{}.({})", table.name, many.join(", ")),
            }
        };
        let (from, to) = key.pairs.iter().copied().unzip();
        format!(
            "{} -> {}",
            side(self.child(key), from),
            side(self.parent(key), to)
        )
    }

    /// How the policy names a column.
    pub fn place(&self, table: usize, column: usize) -> String {
        let table = &self.tables[table];
        format!("{}.{}", table.name, table.columns[column].name)
    }

    /// What the level takes, with the levels that it includes; a later level
    /// has the last word on a column.
    pub fn level_rules(&self) -> LevelRules {
        let mut rules = LevelRules::default();
        let levels = match self.level {
            Level::UserData => vec![&self.rules.user_data],
            Level::UserSessions => vec![&self.rules.user_data, &self.rules.user_sessions],
            Level::UserCascade => vec![],
        };
        for level in levels {
            rules.delete.extend(&level.delete);
            for item in &level.restore {
                rules
                    .restore
                    .retain(|(table, column, _)| (*table, *column) != (item.0, item.1));
                rules.restore.push(item.clone());
            }
        }
        rules
    }
}
