//! Random schemas: tables with every sort of key and name, and references
//! between them.

use std::collections::BTreeSet;

use crate::{
    case::{Case, Column, Key, Kind, OnDelete, Rules, Spelling, Table},
    source::Source,
};
use resetd::operation::Level;

const TABLES: [&str; 8] = [
    "people", "orders", "items", "sessions", "notes", "teams", "files", "t_1",
];
const ODD_TABLES: [&str; 12] = [
    "order",
    "Group",
    "weird name",
    "we\"ird",
    "it's",
    "a.b",
    "MiXeD",
    "select",
    "rowid",
    "Ünï",
    "%_",
    "-x",
];
const COLUMNS: [&str; 4] = ["code", "number", "link", "part"];
const ODD_COLUMNS: [&str; 12] = [
    "rowid", "_rowid_", "Order", "na me", "q\"q", "a.b", "it's", "SELECT", "Kéy", "oid", "t",
    "round",
];

/// How a table's own key is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Integer,
    Text,
    Uuid,
    WithoutRowid,
    UniqueBesides,
    Composite,
    CompositeWithoutRowid,
    NoKey,
    Tenant,
    Identifying,
}

const USER_STYLES: [Style; 5] = [
    Style::Integer,
    Style::Text,
    Style::Uuid,
    Style::WithoutRowid,
    Style::UniqueBesides,
];
const STYLES: [Style; 12] = [
    Style::Integer,
    Style::Text,
    Style::Uuid,
    Style::WithoutRowid,
    Style::UniqueBesides,
    Style::Composite,
    Style::CompositeWithoutRowid,
    Style::NoKey,
    Style::Tenant,
    Style::Identifying,
    Style::Tenant,
    Style::Identifying,
];

struct Builder<'a> {
    source: &'a mut Source,
    tables: Vec<Table>,
    keys: Vec<Key>,
    users: usize,
    /// Each table's tenant column.
    tenants: Vec<Option<usize>>,
}

/// A case without rows and rules.
pub fn schema(source: &mut Source) -> Case {
    let has_tenants = source.chance(45);
    let users = usize::from(has_tenants);
    let count = users + 2 + source.below(7);
    let mut builder = Builder {
        source,
        tables: Vec::new(),
        keys: Vec::new(),
        users,
        tenants: Vec::new(),
    };
    for table in 0..count {
        builder.add_table(table);
    }
    for table in 0..count {
        builder.add_references(table);
    }
    if builder.source.chance(35) {
        builder.add_cycle();
    }
    builder.add_indexes();
    let (user_key, user_key_named) = builder.user_key();
    let email = builder.add_payload();
    Case {
        tables: builder.tables,
        keys: builder.keys,
        rows: Vec::new(),
        rules: Rules::default(),
        users,
        user_key,
        user_key_named,
        email,
        level: Level::UserCascade,
        root: String::new(),
        by_email: false,
        force: false,
        dangling: false,
    }
}

/// A name that is new, whatever its letters' case.
fn fresh(source: &mut Source, plain: &[&str], odd: &[&str], taken: &BTreeSet<String>) -> String {
    let name = if source.chance(25) {
        source.pick(odd)
    } else {
        source.pick(plain)
    };
    (1..)
        .map(|number| {
            if number == 1 {
                (*name).to_owned()
            } else {
                format!("{name}{number}")
            }
        })
        .find(|name| !taken.contains(&name.to_ascii_lowercase()))
        .unwrap()
}

impl Builder<'_> {
    fn column_name(&mut self, table: usize) -> String {
        let mut taken: BTreeSet<String> = self.tables[table]
            .columns
            .iter()
            .map(|column| column.name.to_ascii_lowercase())
            .collect();
        // One name of the hidden number has to stay free.
        if taken.contains("rowid") && taken.contains("_rowid_") {
            taken.insert("oid".to_owned());
        }
        if taken.contains("oid") {
            taken.insert("_rowid_".to_owned());
        }
        fresh(self.source, &COLUMNS, &ODD_COLUMNS, &taken)
    }

    fn add_column(&mut self, table: usize, kind: Kind, nullable: bool) -> usize {
        let name = self.column_name(table);
        let nocase = kind.affinity() != Kind::Integer.affinity() && self.source.chance(15);
        let columns = &mut self.tables[table].columns;
        columns.push(Column {
            nullable,
            nocase,
            ..Column::new(name, kind)
        });
        columns.len() - 1
    }

    fn add_table(&mut self, id: usize) {
        let taken = self
            .tables
            .iter()
            .map(|table| table.name.to_ascii_lowercase())
            .collect();
        let style = match id {
            _ if id < self.users => *self.source.pick(&[Style::Integer, Style::Text]),
            _ if id == self.users => *self.source.pick(&USER_STYLES),
            _ => *self.source.pick(&STYLES),
        };
        self.tables.push(Table {
            name: fresh(self.source, &TABLES, &ODD_TABLES, &taken),
            columns: Vec::new(),
            primary: Vec::new(),
            without_rowid: false,
            autoincrement: false,
            uniques: Vec::new(),
            indexes: Vec::new(),
        });
        self.tenants.push(None);
        match style {
            Style::Tenant if self.users == 0 => self.own_key(id, Style::Composite),
            Style::Tenant => self.tenant_key(id),
            Style::Identifying => self.identifying_key(id),
            _ => self.own_key(id, style),
        }
    }

    /// A key of columns of the table's own.
    fn own_key(&mut self, id: usize, style: Style) {
        let kinds: &[Kind] = match style {
            Style::Integer | Style::UniqueBesides => &[Kind::Integer],
            Style::Text => &[Kind::Text],
            Style::Uuid => &[Kind::Uuid],
            Style::WithoutRowid => {
                &[*self
                    .source
                    .pick(&[Kind::Text, Kind::Integer, Kind::Varchar])]
            }
            Style::Composite | Style::CompositeWithoutRowid => &[Kind::Integer, Kind::Varchar],
            Style::NoKey | Style::Tenant | Style::Identifying => &[],
        };
        for &kind in kinds {
            // A primary key of an ordinary table takes NULL unless told not to.
            let nullable = kind == Kind::Text && style == Style::Text && self.source.chance(30);
            let column = self.add_column(id, kind, nullable);
            self.tables[id].primary.push(column);
        }
        self.tables[id].without_rowid =
            [Style::WithoutRowid, Style::CompositeWithoutRowid].contains(&style);
        self.tables[id].autoincrement = style == Style::Integer && self.source.chance(10);
        if style == Style::UniqueBesides {
            let kind = *self.source.pick(&[Kind::Text, Kind::Bare, Kind::Decimal]);
            let nullable = id != self.users && self.source.chance(50);
            let column = self.add_column(id, kind, nullable);
            self.tables[id].uniques.push(vec![column]);
        }
    }

    /// A key that begins with the tenant, or a key beside which the tenant
    /// makes another.
    fn tenant_key(&mut self, id: usize) {
        let whole = self.source.chance(50);
        let target = self.tables[0].primary[0];
        let kind = self.tables[0].columns[target].kind;
        let nullable = !whole && self.source.chance(50);
        let tenant = self.add_column(id, kind, nullable);
        let own = self.add_column(id, Kind::Integer, false);
        let table = &mut self.tables[id];
        if whole {
            table.primary = vec![tenant, own];
            table.without_rowid = self.source.chance(30);
        } else {
            table.primary = vec![own];
            table.uniques.push(vec![tenant, own]);
        }
        self.tenants[id] = Some(tenant);
        self.add_key(id, 0, vec![(tenant, target)]);
    }

    /// A primary key that is, or begins with, a reference to an earlier table.
    fn identifying_key(&mut self, id: usize) {
        let parent = self.source.below(id);
        let Some(target) = self.target(parent) else {
            return self.own_key(id, Style::Integer);
        };
        let pairs = self.reference_columns(id, parent, &target, false);
        for &(from, to) in &pairs {
            // INTEGER, alone as a primary key, takes no words.
            let numbers = [Kind::Integer, Kind::Decimal];
            let words = !numbers.contains(&self.tables[parent].columns[to].kind);
            let column = &mut self.tables[id].columns[from];
            if column.kind == Kind::Integer && words {
                column.kind = Kind::Uuid;
            }
        }
        let mut primary: Vec<usize> = pairs.iter().map(|pair| pair.0).collect();
        if self.source.chance(50) {
            primary.push(self.add_column(id, Kind::Integer, false));
        }
        self.tables[id].primary = primary;
        self.tables[id].without_rowid = self.source.chance(30);
        self.add_key(id, parent, pairs);
    }

    /// Something of a table that can be referred to.
    fn target(&mut self, parent: usize) -> Option<Vec<usize>> {
        let candidates = self.tables[parent].candidates();
        if candidates.is_empty() {
            return None;
        }
        Some(self.source.pick(&candidates).clone())
    }

    fn add_references(&mut self, child: usize) {
        let count = match child == self.users {
            true if self.source.chance(40) => 1,
            true => 0,
            false => self.source.below(5),
        };
        for _ in 0..count {
            let parent = match self.source.below(10) {
                0..=3 => self.users,
                4 => child,
                _ => self.source.below(self.tables.len()),
            };
            if let Some(target) = self.target(parent) {
                self.add_reference(child, parent, &target);
            }
        }
    }

    /// A cycle of tables, often with the users in it: all its keys required,
    /// or one of them optional.
    fn add_cycle(&mut self) {
        let length = 2 + self.source.below(2);
        let first = if self.source.chance(50) {
            self.users
        } else {
            self.source.below(self.tables.len())
        };
        let mut tables = vec![first];
        while tables.len() < length {
            let next = self.source.below(self.tables.len());
            if tables.contains(&next) || self.tables[next].candidates().is_empty() {
                break;
            }
            tables.push(next);
        }
        let optional = self.source.below(4);
        let restrict = self.source.chance(25);
        for (index, &parent) in tables.iter().enumerate() {
            let child = tables[(index + 1) % tables.len()];
            if let Some(target) = self.target(parent) {
                let pairs = self.reference_columns(child, parent, &target, index == optional);
                self.add_key(child, parent, pairs);
                if let Some(key) = self.keys.last_mut().filter(|key| restrict && key.declared) {
                    key.action = OnDelete::Restrict;
                }
            }
        }
    }

    fn add_indexes(&mut self) {
        for key in &self.keys {
            if key.pairs.len() == 1 && self.source.chance(30) {
                self.tables[key.child].indexes.push(vec![key.pairs[0].0]);
            }
        }
    }

    fn add_reference(&mut self, child: usize, parent: usize, target: &[usize]) {
        let single = target.len() == 1;
        if single && self.source.chance(5) {
            return self.add_computed_reference(child, parent, target[0]);
        }
        let existing = self
            .keys
            .iter()
            .find(|key| key.child == child && key.pairs.len() == 1);
        if let Some(column) = existing.map(|key| key.pairs[0].0)
            && single
            && !self.tables[child].is_key(column)
            && self.source.chance(8)
        {
            return self.add_key(child, parent, vec![(column, target[0])]);
        }
        let optional = self.source.below(2) == 0;
        let mut pairs = self.reference_columns(child, parent, target, optional);
        if single && parent < child && self.source.chance(8) {
            self.tables[child].uniques.push(vec![pairs[0].0]);
        }
        if self.source.chance(15) {
            pairs.reverse();
        }
        self.add_key(child, parent, pairs);
    }

    /// Columns that refer to `target`; the tenant's column is shared.
    fn reference_columns(
        &mut self,
        child: usize,
        parent: usize,
        target: &[usize],
        optional: bool,
    ) -> Vec<(usize, usize)> {
        let mut pairs = Vec::new();
        for &to in target {
            let shared = self.tenants[child]
                .filter(|_| target.len() > 1 && self.tenants[parent] == Some(to));
            let from = match shared {
                Some(tenant) => tenant,
                None => {
                    let kind = self.kind_like(self.tables[parent].columns[to].kind);
                    let nullable = optional && (target.len() == 1 || !self.source.chance(25));
                    self.add_column(child, kind, nullable)
                }
            };
            pairs.push((from, to));
        }
        pairs
    }

    /// The kind of a reference's column: its parent's, or one that clashes.
    fn kind_like(&mut self, kind: Kind) -> Kind {
        if !self.source.chance(20) {
            return kind;
        }
        match kind {
            Kind::Integer | Kind::Decimal => {
                *self.source.pick(&[Kind::Varchar, Kind::Bare, Kind::Text])
            }
            _ => *self.source.pick(&[Kind::Integer, Kind::Bare, Kind::Uuid]),
        }
    }

    fn add_computed_reference(&mut self, child: usize, parent: usize, to: usize) {
        let kind = self.tables[parent].columns[to].kind;
        let base = self.add_column(child, kind, true);
        let from = self.add_column(child, kind, true);
        self.tables[child].columns[from].generated = Some((base, self.source.chance(50)));
        self.add_key(child, parent, vec![(from, to)]);
    }

    fn add_key(&mut self, child: usize, parent: usize, pairs: Vec<(usize, usize)>) {
        let actions = [
            OnDelete::NoAction,
            OnDelete::Restrict,
            OnDelete::Cascade,
            OnDelete::SetNull,
            OnDelete::SetDefault,
            OnDelete::NoAction,
            OnDelete::NoAction,
        ];
        let computed =
            |&(from, _): &(usize, usize)| self.tables[child].columns[from].generated.is_some();
        // From a parent whose deletion would write to a computed column
        // SQLite deletes nothing at all.
        let count = if pairs.iter().any(computed) {
            3
        } else {
            actions.len()
        };
        let action = *self.source.pick(&actions[..count]);
        let dotted = pairs.iter().any(|&(from, to)| {
            let (from, to) = (
                &self.tables[child].columns[from],
                &self.tables[parent].columns[to],
            );
            from.name.contains('.') || to.name.contains('.')
        });
        let declared = pairs.len() > 1 || dotted || !self.source.chance(15);
        let to: Vec<usize> = pairs.iter().map(|pair| pair.1).collect();
        let spelling = match self.source.below(10) {
            8 if to == self.tables[parent].primary => Spelling::Implicit,
            9 => Spelling::OtherCase,
            _ => Spelling::Exact,
        };
        self.keys.push(Key {
            child,
            parent,
            pairs,
            action: if declared { action } else { OnDelete::NoAction },
            declared,
            spelling,
            deferred: self.source.chance(10),
        });
    }

    /// The users' key: the primary key, or a unique column that the policy
    /// names.
    fn user_key(&mut self) -> (usize, bool) {
        let table = &self.tables[self.users];
        let mut own = table.uniques.iter().map(|unique| unique[0]);
        let own = own.find(|&column| table.columns[column].kind != Kind::Bare);
        match own {
            Some(column) if self.source.chance(50) => (column, true),
            _ => (table.primary[0], self.source.chance(10)),
        }
    }

    /// Columns without any meaning for references, and the tag; the users'
    /// e-mail is returned.
    fn add_payload(&mut self) -> usize {
        let mut email = 0;
        for (id, table) in self.tables.iter_mut().enumerate() {
            if id == self.users {
                email = table.columns.len();
                table.columns.push(Column::new("email", Kind::Varchar));
                if self.source.chance(50) {
                    table.uniques.push(vec![email]);
                }
            }
            table.columns.push(Column::new("points", Kind::Integer));
            table.columns.push(Column {
                nullable: false,
                nocase: self.source.chance(20),
                default: Some(crate::case::Cell::Text("new".to_owned())),
                ..Column::new("the \"state\"", Kind::Text)
            });
            table.columns.push(Column::new("loose", Kind::Bare));
            table.columns.push(Column::new("tag", Kind::Text));
        }
        email
    }
}
