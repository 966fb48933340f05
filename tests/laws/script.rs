//! A case as text: its schema and rows as SQL, its policy as TOML.

use toml::{Table as Toml, Value};

use crate::case::{Case, Cell, Key, LevelRules, OnDelete, Reset, Row, Spelling, Table, Treatment};

/// The domain of the test users.
pub const DOMAIN: &str = "test.com";

pub fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn names(table: &Table, columns: impl IntoIterator<Item = usize>) -> String {
    let names: Vec<String> = columns
        .into_iter()
        .map(|column| quote(&table.columns[column].name))
        .collect();
    names.join(", ")
}

/// The statements that make the tables, and a view, which is none.
pub fn schema(case: &Case) -> String {
    let tables = (0..case.tables.len()).map(|table| table_sql(case, table));
    let users = quote(&case.tables[case.users].name);
    let view = format!("CREATE VIEW \"a view\" AS SELECT * FROM {users};");
    tables.chain([view]).collect::<Vec<_>>().join("\n")
}

fn table_sql(case: &Case, id: usize) -> String {
    let table = &case.tables[id];
    let alone = table.primary.len() == 1;
    let mut lines: Vec<String> = (0..table.columns.len())
        .map(|column| column_sql(table, column, alone && table.primary[0] == column))
        .collect();
    if table.primary.len() > 1 {
        lines.push(format!(
            "PRIMARY KEY ({})",
            names(table, table.primary.clone())
        ));
    }
    for unique in &table.uniques {
        lines.push(format!("UNIQUE ({})", names(table, unique.clone())));
    }
    let keys = case
        .keys
        .iter()
        .filter(|key| key.declared && key.child == id);
    lines.extend(keys.map(|key| key_sql(case, key)));
    let end = if table.without_rowid {
        " WITHOUT ROWID"
    } else {
        ""
    };
    let name = quote(&table.name);
    let mut sql = format!(
        "CREATE TABLE {name} (\n    {}\n){end};",
        lines.join(",\n    ")
    );
    for (number, index) in table.indexes.iter().enumerate() {
        let columns = names(table, index.clone());
        let index = quote(&format!("index {number} of {}", table.name));
        sql.push_str(&format!("\nCREATE INDEX {index} ON {name} ({columns});"));
    }
    sql
}

fn column_sql(table: &Table, id: usize, is_primary: bool) -> String {
    let column = &table.columns[id];
    let mut sql = format!("{} {}", quote(&column.name), column.kind.sql());
    if is_primary {
        sql.push_str(" PRIMARY KEY");
    }
    if is_primary && table.autoincrement {
        sql.push_str(" AUTOINCREMENT");
    }
    if !column.nullable {
        sql.push_str(" NOT NULL");
    }
    if column.nocase {
        sql.push_str(" COLLATE NOCASE");
    }
    if let Some(default) = &column.default {
        sql.push_str(&format!(" DEFAULT {}", default.sql()));
    }
    if let Some((base, stored)) = column.generated {
        let kept = if stored { "STORED" } else { "VIRTUAL" };
        let base = quote(&table.columns[base].name);
        sql.push_str(&format!(" GENERATED ALWAYS AS ({base}) {kept}"));
    }
    sql
}

fn key_sql(case: &Case, key: &Key) -> String {
    let (child, parent) = (case.child(key), case.parent(key));
    let from = names(child, key.pairs.iter().map(|pair| pair.0));
    let to = names(parent, key.pairs.iter().map(|pair| pair.1));
    let (table, to) = match key.spelling {
        Spelling::Exact => (quote(&parent.name), format!(" ({to})")),
        Spelling::Implicit => (quote(&parent.name), String::new()),
        Spelling::OtherCase => (
            quote(&parent.name.to_ascii_uppercase()),
            format!(" ({})", to.to_ascii_lowercase()),
        ),
    };
    let action = match key.action {
        OnDelete::NoAction => "",
        OnDelete::Restrict => " ON DELETE RESTRICT",
        OnDelete::Cascade => " ON DELETE CASCADE",
        OnDelete::SetNull => " ON DELETE SET NULL",
        OnDelete::SetDefault => " ON DELETE SET DEFAULT",
    };
    let deferred = if key.deferred {
        " DEFERRABLE INITIALLY DEFERRED"
    } else {
        ""
    };
    format!("FOREIGN KEY ({from}) REFERENCES {table}{to}{action}{deferred}")
}

/// The statements that write the rows.
pub fn rows(case: &Case) -> String {
    let lines: Vec<String> = case.rows.iter().map(|row| row_sql(case, row)).collect();
    lines.join("\n")
}

fn row_sql(case: &Case, row: &Row) -> String {
    let table = &case.tables[row.table];
    let written: Vec<usize> = (0..table.columns.len())
        .filter(|&column| table.columns[column].generated.is_none())
        .collect();
    let values: Vec<String> = written
        .iter()
        .map(|&column| row.cells[column].sql())
        .collect();
    format!(
        "INSERT INTO {} ({}) VALUES ({});",
        quote(&table.name),
        names(table, written),
        values.join(", ")
    )
}

/// The policy.
pub fn policy(case: &Case) -> String {
    let rules = &case.rules;
    let users = &case.tables[case.users];
    let mut section = Toml::new();
    section.insert("table".into(), text(&users.name));
    section.insert("email".into(), text(&users.columns[case.email].name));
    if case.user_key_named {
        section.insert("key".into(), text(&users.columns[case.user_key].name));
    }
    section.insert("test_domains".into(), list(&[DOMAIN.to_owned()]));
    section.insert("protect".into(), list(&rules.protect));
    let kept: Vec<String> = rules
        .keep
        .iter()
        .map(|&id| case.tables[id].name.clone())
        .collect();
    let treatments = rules.treatments.iter().map(|(name, treatment)| {
        let word = match treatment {
            Treatment::Delete => "delete",
            Treatment::Detach => "detach",
            Treatment::Block => "block",
        };
        (name.clone(), text(word))
    });
    let relations = case.keys.iter().filter(|key| !key.declared).map(|key| {
        let (from, to) = key.pairs[0];
        let mut relation = Toml::new();
        relation.insert("child".into(), text(&case.place(key.child, from)));
        relation.insert("parent".into(), text(&case.place(key.parent, to)));
        Value::Table(relation)
    });
    let mut levels = Toml::new();
    levels.insert("user_data".into(), level(case, &rules.user_data));
    levels.insert("user_sessions".into(), level(case, &rules.user_sessions));
    let mut file = Toml::new();
    file.insert("keep".into(), list(&kept));
    file.insert("users".into(), Value::Table(section));
    file.insert("references".into(), Value::Table(treatments.collect()));
    file.insert("relations".into(), Value::Array(relations.collect()));
    file.insert("levels".into(), Value::Table(levels));
    file.to_string()
}

fn level(case: &Case, rules: &LevelRules) -> Value {
    let deleted: Vec<String> = rules
        .delete
        .iter()
        .map(|&id| case.tables[id].name.clone())
        .collect();
    let mut restore = Toml::new();
    for (id, column, reset) in &rules.restore {
        let table = &case.tables[*id];
        let columns = restore
            .entry(table.name.clone())
            .or_insert_with(|| Value::Table(Toml::new()));
        let value = match reset {
            Reset::Now => flag("now"),
            Reset::Boolean(truth) => Value::Boolean(*truth),
            Reset::Cell(Cell::Null) => flag("null"),
            Reset::Cell(Cell::Integer(number)) => Value::Integer(*number),
            Reset::Cell(Cell::Text(words)) => text(words),
        };
        let columns = columns.as_table_mut().unwrap();
        columns.insert(table.columns[*column].name.clone(), value);
    }
    let mut level = Toml::new();
    level.insert("delete".into(), list(&deleted));
    level.insert("restore".into(), Value::Table(restore));
    Value::Table(level)
}

fn flag(name: &str) -> Value {
    Value::Table(Toml::from_iter([(name.to_owned(), Value::Boolean(true))]))
}

fn text(words: &str) -> Value {
    Value::String(words.to_owned())
}

fn list(items: &[String]) -> Value {
    Value::Array(items.iter().map(|item| text(item)).collect())
}
