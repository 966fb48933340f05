//! Guesses what a schema does not say, from names that schemas use.

use std::{collections::BTreeMap, fmt::Write as _};

use super::Error;
use crate::{
    plan::Problem,
    schema::{Column, ColumnId, ForeignKeyId, Schema, Table, TableId},
};

/// Names of users' tables, likeliest first.
const USERS: [&str; 14] = [
    "users",
    "user",
    "auth_user",
    "accounts",
    "account",
    "app_user",
    "app_users",
    "members",
    "member",
    "customers",
    "customer",
    "people",
    "persons",
    "profiles",
];
/// Columns of a user's type, likeliest first.
const TYPES: [&str; 6] = [
    "user_type",
    "role",
    "type",
    "kind",
    "is_superuser",
    "is_admin",
];
/// Columns that are true for active users.
const ACTIVE: [&str; 4] = ["is_active", "active", "enabled", "is_enabled"];
/// Columns of a password's hash.
const PASSWORDS: [&str; 6] = [
    "password_hash",
    "hashed_password",
    "password",
    "pwd_hash",
    "encrypted_password",
    "passwd",
];
/// What columns of an owner are called, likeliest first.
const OWNERS: [&str; 9] = [
    "owner", "user", "customer", "buyer", "account", "member", "author", "vendor", "created",
];

/// Tables that frameworks fill once and never again by themselves.
const KEPT: [&str; 6] = [
    "auth_permission",
    "django_content_type",
    "django_site",
    "countries",
    "currencies",
    "spatial_ref_sys",
];

/// A draft of a policy.
#[derive(Debug)]
pub(super) struct Guess {
    schema: Schema,
    users: TableId,
    email: ColumnId,
    user_type: Option<ColumnId>,
    admins: Vec<String>,
    test_domains: Vec<String>,
    /// References whose owner the rules cannot tell, with the guess.
    owners: BTreeMap<String, String>,
    key: Option<String>,
    /// Why users cannot be created, when they cannot.
    uncreatable: Option<String>,
}

impl Guess {
    pub(super) fn new(
        schema: Schema,
        named: Option<&str>,
        test_domains: &[String],
    ) -> Result<Self, Error> {
        let (users, email) = match named {
            Some(name) => schema
                .find(name)
                .and_then(|id| Some((id, email(schema.table(id))?)))
                .ok_or_else(|| Error::NotUsers(name.to_owned()))?,
            None => likeliest_users(&schema).ok_or(Error::NoUsers)?,
        };
        let table = schema.table(users);
        let user_type = named_like(table, &TYPES);
        let key = match table.primary_key.as_slice() {
            [_] => None,
            _ => table.indexes.iter().find_map(|index| {
                match (index.unique, index.columns.as_slice()) {
                    (true, [one]) if *one != email => Some(table.column(*one).name.clone()),
                    _ => None,
                }
            }),
        };
        Ok(Self {
            users,
            email,
            user_type,
            admins: Vec::new(),
            test_domains: test_domains.to_vec(),
            owners: BTreeMap::new(),
            key,
            uncreatable: uncreatable(&schema, users, email),
            schema,
        })
    }

    pub(super) fn schema(&self) -> &Schema {
        &self.schema
    }

    pub(super) fn users_name(&self) -> String {
        self.table().name.to_string()
    }

    fn table(&self) -> &Table {
        self.schema.table(self.users)
    }

    /// The column whose labels tell who is an admin.
    pub(super) fn type_column(&self) -> Option<(TableId, ColumnId)> {
        self.user_type.map(|column| (self.users, column))
    }

    /// Names the labels that sound like an admin's.
    pub(super) fn name_admins(&mut self, labels: &[String]) {
        let Some(column) = self.user_type else { return };
        let flag = self.table().column(column).name.starts_with("is_");
        let sounds = |label: &&String| {
            let label = label.to_ascii_lowercase();
            match flag {
                true => ["1", "true", "t"].contains(&label.as_str()),
                false => ["admin", "super", "root", "staff", "owner"]
                    .iter()
                    .any(|word| label.contains(word)),
            }
        };
        self.admins = labels.iter().filter(sounds).cloned().collect();
        if flag && self.admins.is_empty() {
            self.admins = vec!["1".to_owned(), "true".to_owned()];
        }
    }

    /// Names owners for what the rules cannot tell; false when the problems
    /// are others.
    pub(super) fn settle(&mut self, problems: &[Problem]) -> bool {
        let mut settled = false;
        for ambiguity in problems.iter().filter_map(Problem::ambiguity) {
            let owner = ambiguity
                .ways
                .iter()
                .min_by_key(|&&way| self.likeness(way))
                .map(|&way| self.reference(way));
            if let Some(owner) = owner {
                let others: Vec<String> = ambiguity
                    .ways
                    .iter()
                    .map(|&way| self.schema.describe(way))
                    .collect();
                settled |= self.owners.insert(owner, others.join(", ")).is_none();
            }
        }
        settled
    }

    /// How likely a reference is its table's owner; less is likelier.
    fn likeness(&self, way: ForeignKeyId) -> (usize, usize) {
        let key = self.schema.foreign_key(way);
        let table = self.schema.table(key.child);
        let name = key
            .child_columns()
            .map(|column| table.column(column).name.to_ascii_lowercase())
            .collect::<String>();
        let rank = OWNERS.iter().position(|owner| name.contains(owner));
        let stray = usize::from(key.parent == key.child);
        (stray, rank.unwrap_or(OWNERS.len()))
    }

    fn reference(&self, way: ForeignKeyId) -> String {
        let key = self.schema.foreign_key(way);
        let table = self.schema.table(key.child);
        match (key.columns.as_slice(), &key.name) {
            ([pair], _) => format!("{}.{}", table.name, table.column(pair.child).name),
            (_, Some(name)) => name.clone(),
            (_, None) => self.schema.describe(way),
        }
    }

    /// The policy, with the reason for each guess.
    pub(super) fn text(&self) -> String {
        let table = self.table();
        let name = |id: ColumnId| &table.column(id).name;
        let mut text = String::from(
            "# What a reset does to this database. Everything that is not named here follows\n\
             # from the foreign keys. These are guesses: read them once.\n\n\
             # Tables that no reset changes, such as countries or settings.\n",
        );
        let _ = writeln!(text, "keep = [{}]\n", list(&self.kept()));
        text.push_str("# The table with an e-mail that most references lead to.\n[users]\n");
        let _ = writeln!(text, "table = {:?}", table.name.to_string());
        if let Some(key) = &self.key {
            let _ = writeln!(text, "key = {key:?}");
        }
        let _ = writeln!(text, "email = {:?}", name(self.email));
        if let Some(column) = self.user_type {
            let _ = writeln!(text, "type = {:?}", name(column));
        }
        if let Some(column) = named_like(table, &ACTIVE) {
            let _ = writeln!(text, "active = {:?}", name(column));
        }
        if let Some(column) = self.user_type.filter(|_| !self.admins.is_empty()) {
            let labels = list(&self.admins);
            text.push_str("# Labels that sound like an admin's: they stay in bulk resets.\n");
            let _ = writeln!(
                text,
                "admins = {{ column = {:?}, values = [{labels}] }}",
                name(column)
            );
        } else {
            text.push_str("# admins = { column = \"role\", values = [\"admin\"] }\n");
        }
        text.push_str("# Whoever has an e-mail in one of these domains is a test user.\n");
        let _ = writeln!(text, "test_domains = [{}]", list(&self.test_domains));
        text.push_str(&self.creation());
        text.push_str(&self.profile());
        if !self.owners.is_empty() {
            text.push_str(
                "\n# Tables with several optional references and no required one.\n[references]\n",
            );
            for (owner, ways) in &self.owners {
                let _ = writeln!(text, "# of: {ways}\n{owner:?} = \"delete\"");
            }
        }
        text
    }

    /// Tables of reference data, by their names.
    fn kept(&self) -> Vec<String> {
        self.schema
            .tables()
            .filter(|(_, table)| KEPT.contains(&table.name.name.as_str()))
            .map(|(_, table)| table.name.to_string())
            .collect()
    }

    /// How a test user is created, or why not.
    fn creation(&self) -> String {
        if let Some(why) = &self.uncreatable {
            return format!("\n# CreateTestUser is not set up: {why}\n# [users.create]\n");
        }
        let table = self.table();
        let mut text = String::from("\n# How CreateTestUser makes a user.\n[users.create]\n");
        if let [key] = table.primary_key.as_slice()
            && !filled_by_database(table.column(*key))
        {
            text.push_str("key = \"uuid4\"\n");
        }
        let password = named_like(table, &PASSWORDS);
        if let Some(column) = password {
            let _ = writeln!(
                text,
                "password = {{ column = {:?}, default = \"testpass123\", bcrypt_cost = 4 }}",
                table.column(column).name
            );
        }
        let values: Vec<String> = needed(&self.schema, self.users, self.email)
            .into_iter()
            .filter(|id| Some(*id) != password)
            .filter_map(|id| {
                let column = table.column(id);
                Some(format!("{:?} = {}", column.name, value(column)?))
            })
            .collect();
        if !values.is_empty() {
            let _ = writeln!(text, "\n[users.create.set]\n{}", values.join("\n"));
        }
        text
    }

    /// Columns that hold one-time codes and pending resets.
    fn profile(&self) -> String {
        let table = self.table();
        let stale = |column: &&Column| {
            let name = column.name.to_ascii_lowercase();
            let pending = [
                "otp",
                "reset_token",
                "confirmation_token",
                "verification_code",
            ];
            column.nullable && !column.generated && pending.iter().any(|word| name.contains(word))
        };
        let columns: Vec<String> = table
            .columns
            .iter()
            .filter(stale)
            .map(|column| format!("{:?} = {{ null = true }}", column.name))
            .collect();
        if columns.is_empty() {
            return String::new();
        }
        format!(
            "\n# What a pending code or password reset leaves in an account.\n\
             [levels.user_data.restore.{:?}]\n{}\n",
            table.name.to_string(),
            columns.join("\n")
        )
    }
}

fn list(texts: &[String]) -> String {
    let quoted: Vec<String> = texts.iter().map(|text| format!("{text:?}")).collect();
    quoted.join(", ")
}

fn named_like(table: &Table, names: &[&str]) -> Option<ColumnId> {
    let exact = |name: &&str| {
        let mut columns = table.columns.iter();
        columns
            .position(|column| column.name.eq_ignore_ascii_case(name))
            .map(ColumnId)
    };
    names.iter().find_map(exact)
}

fn email(table: &Table) -> Option<ColumnId> {
    named_like(
        table,
        &["email", "e_mail", "mail", "email_address", "emailaddress"],
    )
}

/// The table with an e-mail whose name sounds most like users, and of those
/// the one that most references lead to.
fn likeliest_users(schema: &Schema) -> Option<(TableId, ColumnId)> {
    let likeness = |id: TableId| {
        let name = schema.table(id).name.name.to_ascii_lowercase();
        let rank = USERS.iter().position(|user| name == *user);
        let ends = USERS
            .iter()
            .position(|user| name.ends_with(&format!("_{user}")));
        let incoming = schema
            .foreign_keys()
            .filter(|(_, key)| key.parent == id)
            .count();
        let rank = rank.or_else(|| ends.map(|rank| USERS.len() + rank));
        (rank.unwrap_or(2 * USERS.len()), usize::MAX - incoming)
    };
    schema
        .tables()
        .filter_map(|(id, table)| Some((id, email(table)?)))
        .min_by_key(|&(id, _)| likeness(id))
}

fn filled_by_database(column: &Column) -> bool {
    column.default.is_some() || column.generated || column.automatic || column.nullable
}

/// The columns that a new user has to have, besides key and e-mail.
fn needed(schema: &Schema, users: TableId, email: ColumnId) -> Vec<ColumnId> {
    let table = schema.table(users);
    let columns = table.columns.iter().enumerate();
    columns
        .map(|(index, column)| (ColumnId(index), column))
        .filter(|(id, column)| {
            !filled_by_database(column) && *id != email && !table.primary_key.contains(id)
        })
        .map(|(id, _)| id)
        .collect()
}

/// A value that a column of this type takes, where any would do.
fn value(column: &Column) -> Option<&'static str> {
    let kind = column.type_name.to_ascii_lowercase();
    let has = |part: &str| kind.contains(part);
    if has("bool") {
        let on = ["active", "verified", "enabled", "confirmed"];
        let on = on
            .iter()
            .any(|word| column.name.to_ascii_lowercase().contains(word));
        Some(if on { "true" } else { "false" })
    } else if has("time") || has("date") {
        Some("{ now = true }")
    } else if has("int") || has("numeric") || has("decimal") || has("real") || has("double") {
        Some("0")
    } else if has("char") || has("text") {
        Some("\"\"")
    } else if has("json") {
        Some("\"{}\"")
    } else {
        None
    }
}

/// Why a user cannot be created from guesses alone, if so.
fn uncreatable(schema: &Schema, users: TableId, email: ColumnId) -> Option<String> {
    let table = schema.table(users);
    let password = named_like(table, &PASSWORDS);
    for id in needed(schema, users, email) {
        let column = table.column(id);
        let mut keys = schema.foreign_keys();
        if keys.any(|(_, key)| key.child == users && key.child_columns().any(|c| c == id)) {
            return Some(format!(
                "{} has to refer to a row that is not known",
                column.name
            ));
        }
        let unique = |index: &crate::schema::Index| index.unique && index.columns == [id];
        if table.indexes.iter().any(unique) {
            return Some(format!("{} has to be unique for each user", column.name));
        }
        if value(column).is_none() && Some(id) != password {
            return Some(format!("{} is of type {}", column.name, column.type_name));
        }
    }
    let [key] = table.primary_key.as_slice() else {
        return Some("the table's key has several columns".to_owned());
    };
    let column = table.column(*key);
    let kind = column.type_name.to_ascii_lowercase();
    let text = kind.contains("char") || kind.contains("text") || kind.contains("uuid");
    (!filled_by_database(column) && !text)
        .then(|| format!("its key {} is not made by the database", column.name))
}
