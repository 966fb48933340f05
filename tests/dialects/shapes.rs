//! Shapes of tables and names.

use crate::{
    cases,
    cycles::USERS,
    world::{Kind, POLICY, World, text_for},
};

cases! {
    EVERYWHERE: composite_keys, shared_tenant_column, odd_names, generated_columns,
        views_are_left_alone, text_keys_with_quotes, changes_of_the_schema_are_seen;
    // There a row without a key has nothing else to be told apart by, and a
    // key and what it refers to are of one type.
    NOT_MARIADB: no_key_at_all, wide_and_narrow_numbers;
    POSTGRES: two_schemas, extension_tables_stay, fixed_length_keys, column_order_after_drops,
        unlogged_tables;
}

/// What is known of the schema is what whoever comes anew reads, also when it
/// was asked for while the change was under way.
async fn changes_of_the_schema_are_seen(kind: Kind) {
    let world = World::make(kind, USERS, POLICY).await;
    let mut application = world.connect().await;
    let drop_index = match kind {
        Kind::MariaDb => "DROP INDEX notes_word ON notes",
        Kind::Sqlite | Kind::Postgres => "DROP INDEX notes_word",
    };
    for change in [
        "CREATE TABLE notes (id INTEGER PRIMARY KEY, user_id INTEGER REFERENCES users (id),
            word VARCHAR(9))",
        "CREATE INDEX notes_word ON notes (word)",
        drop_index,
        "INSERT INTO notes VALUES (1, 1, '')",
        "ALTER TABLE notes ADD COLUMN more INTEGER",
        "ALTER TABLE notes RENAME COLUMN more TO less",
        "ALTER TABLE notes DROP COLUMN less",
        "ALTER TABLE notes RENAME TO words",
        "DROP TABLE words",
    ] {
        world.target.model().await.unwrap();
        if kind == Kind::Postgres {
            application.run("BEGIN").await.unwrap();
        }
        application.run(&text_for(kind, change)).await.unwrap();
        if kind == Kind::Postgres {
            world.target.model().await.unwrap();
            application.run("COMMIT").await.unwrap();
        }
        let known = world.target.model().await.unwrap();
        let again = world.target.model().await.unwrap();
        let anew = world.twin(POLICY).target.model().await.unwrap();
        let [known, again, anew] =
            [known, again, anew].map(|model| format!("{:?}", model.schema()));
        assert!(known == anew, "{change}: {known}\n{anew}");
        assert!(again == anew, "{change}: {again}\n{anew}");
    }
    application.close().await;
}

async fn composite_keys(kind: Kind) {
    let sql = format!(
        "{USERS}
        CREATE TABLE orders (user_id INTEGER NOT NULL REFERENCES users (id),
            number INTEGER NOT NULL, PRIMARY KEY (number, user_id)
    maria:  , UNIQUE (user_id, number)
        );
        CREATE TABLE order_lines (user_id INTEGER NOT NULL, number INTEGER NOT NULL,
            line INTEGER NOT NULL, PRIMARY KEY (user_id, number, line),
            FOREIGN KEY (number, user_id) REFERENCES orders (number, user_id));
        CREATE TABLE hints (id INTEGER PRIMARY KEY, number INTEGER, user_id INTEGER,
            by_id INTEGER NOT NULL REFERENCES users (id),
            FOREIGN KEY (user_id, number) REFERENCES orders (user_id, number)
    lite:   DEFERRABLE
        );
        INSERT INTO orders VALUES (1, 1), (1, 2), (2, 1);
        INSERT INTO order_lines VALUES (1, 1, 1), (1, 1, 2), (1, 2, 1), (2, 1, 1);
        INSERT INTO hints VALUES (1, 1, 2, 2), (2, 1, 1, 2), (3, 1, NULL, 2), (4, 1, 2, 1);"
    );
    let sql = match kind {
        // The parent's columns have to be unique in the order in which the
        // key names them.
        Kind::Sqlite | Kind::Postgres | Kind::MariaDb => sql,
    };
    let world = World::make(kind, &sql, POLICY).await;
    let told = "hints -1 ~1, order_lines -3, orders -2, users -1";
    let left = "hints 3, order_lines 1, orders 1, users 1";
    world.takes(world.user("ann@test.com"), told, left).await;
}

/// Detaching leaves alone the column that another key needs.
async fn shared_tenant_column(kind: Kind) {
    let sql = "CREATE TABLE tenants (id INTEGER PRIMARY KEY);
        CREATE TABLE users (tenant INTEGER NOT NULL REFERENCES tenants (id),
            id INTEGER NOT NULL UNIQUE, email TEXT NOT NULL, PRIMARY KEY (tenant, id));
        CREATE TABLE docs (tenant INTEGER NOT NULL REFERENCES tenants (id), id INTEGER NOT NULL,
            owner INTEGER NOT NULL, editor INTEGER, PRIMARY KEY (tenant, id),
            FOREIGN KEY (tenant, owner) REFERENCES users (tenant, id),
            FOREIGN KEY (tenant, editor) REFERENCES users (tenant, id));
        CREATE TABLE files (id INTEGER PRIMARY KEY, tenant INTEGER, doc INTEGER,
            FOREIGN KEY (tenant, doc) REFERENCES docs (tenant, id));
        INSERT INTO tenants VALUES (1), (2);
        INSERT INTO users VALUES (1, 1, 'ann@test.com'), (1, 2, 'bob@test.com'),
            (2, 3, 'eve@test.com');
        INSERT INTO docs VALUES (1, 1, 1, 2), (1, 2, 2, 1), (1, 3, 2, NULL), (2, 1, 3, 3);
        INSERT INTO files VALUES (1, 1, 1), (2, 1, 2), (3, 1, NULL), (4, 2, 1);";
    let policy = POLICY.replace("[users]", "[users]\nkey = \"id\"");
    let world = World::make(kind, sql, &policy).await;
    let told = "docs -1 ~1, files -1, users -1";
    let left = "docs 3, files 3, tenants 2, users 2";
    world.takes(world.user("ann@test.com"), told, left).await;
    let doc = world.ask("SELECT CAST(tenant AS TEXT), CAST(editor AS TEXT) FROM docs WHERE id = 2");
    assert_eq!(doc.await, "1|");
}

async fn odd_names(kind: Kind) {
    let sql = r#"CREATE TABLE "User Accounts" ("Id" INTEGER PRIMARY KEY, "E-Mail" TEXT NOT NULL,
            "order" TEXT);
        CREATE TABLE "select" ("from" INTEGER PRIMARY KEY, "Group""By" INTEGER NOT NULL
            REFERENCES "User Accounts" ("Id"));
        CREATE TABLE "Übersicht" ("naïve key" TEXT PRIMARY KEY, "$1" INTEGER NOT NULL
            REFERENCES "select" ("from"));
        CREATE TABLE "it's" ("t" INTEGER PRIMARY KEY, "l" INTEGER REFERENCES "it's" ("t"),
            "round" INTEGER NOT NULL REFERENCES "User Accounts" ("Id"));
        INSERT INTO "User Accounts" VALUES (1, 'ann@test.com', 'x'), (2, 'bob@test.com', 'y');
        INSERT INTO "select" VALUES (1, 1), (2, 2);
        INSERT INTO "Übersicht" VALUES ('a', 1), ('b', 1), ('c', 2);
        INSERT INTO "it's" VALUES (1, NULL, 1), (2, 1, 2);"#;
    let policy = r#"
        [users]
        table = "User Accounts"
        email = "E-Mail"
        type = "order"
        test_domains = ["test.com"]"#;
    let world = World::make(kind, sql, policy).await;
    let changes = world
        .reset(&world.user("ann@test.com"), resetd::operation::Mode::DryRun)
        .await;
    let told = "User Accounts -1, it's -1 ~1, select -1, Übersicht -2";
    assert_eq!(crate::world::summary(&changes.unwrap()), told);
    world
        .reset(&world.everything(), resetd::operation::Mode::Execute)
        .await
        .unwrap();
    assert_eq!(world.left().await, "");
}

async fn generated_columns(kind: Kind) {
    let sql = "CREATE TABLE users (
    lite:   id INTEGER PRIMARY KEY AUTOINCREMENT,
    pg:     id INTEGER GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    maria:  id INTEGER AUTO_INCREMENT PRIMARY KEY,
            email TEXT NOT NULL, shown TEXT GENERATED ALWAYS AS (lower(email)) STORED);
        CREATE TABLE posts (
    lite:   id INTEGER PRIMARY KEY AUTOINCREMENT,
    pg:     id BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    maria:  id BIGINT AUTO_INCREMENT PRIMARY KEY,
            user_id INTEGER NOT NULL REFERENCES users (id),
            owner INTEGER GENERATED ALWAYS AS (user_id) STORED,
            twice INTEGER GENERATED ALWAYS AS (user_id * 2) STORED);
        INSERT INTO users (email) VALUES ('ann@test.com'), ('bob@test.com');
        INSERT INTO posts (user_id) VALUES (1), (2), (1);";
    let world = World::make(kind, sql, POLICY).await;
    let order = world.user("ann@test.com");
    world
        .takes(order, "posts -2, users -1", "posts 1, users 1")
        .await;
    world
        .takes(world.everything(), "posts -1, users -1", "")
        .await;
    world
        .sql("INSERT INTO users (email) VALUES ('a@test.com')")
        .await;
    assert_eq!(world.ask("SELECT CAST(id AS TEXT) FROM users").await, "1");
}

async fn no_key_at_all(kind: Kind) {
    let sql = format!(
        "{USERS}
        CREATE TABLE log (user_id INTEGER REFERENCES users (id), line TEXT);
        CREATE TABLE audit (by_id INTEGER NOT NULL REFERENCES users (id),
            about_id INTEGER REFERENCES users (id));
        INSERT INTO log VALUES (1, 'x'), (1, 'x'), (2, 'x'), (NULL, 'x');
        INSERT INTO audit VALUES (1, 1), (1, 1), (2, 1), (2, NULL);"
    );
    let world = World::make(kind, &sql, POLICY).await;
    let told = "audit -2 ~1, log -2, users -1";
    world
        .takes(world.user("ann@test.com"), told, "audit 2, log 2, users 1")
        .await;
}

async fn views_are_left_alone(kind: Kind) {
    let sql = format!(
        "{USERS}
        CREATE VIEW names AS SELECT email FROM users;
    pg: CREATE MATERIALIZED VIEW copies AS SELECT email FROM users;
        CREATE TABLE posts (id INTEGER PRIMARY KEY, user_id INTEGER REFERENCES users (id));
        INSERT INTO posts VALUES (1, 1);"
    );
    let world = World::make(kind, &sql, POLICY).await;
    world
        .takes(world.everything(), "posts -1, users -2", "")
        .await;
}

async fn text_keys_with_quotes(kind: Kind) {
    let sql = r"CREATE TABLE users (id VARCHAR(20) PRIMARY KEY, email TEXT NOT NULL);
        CREATE TABLE posts (id INTEGER PRIMARY KEY,
            user_id VARCHAR(20) NOT NULL REFERENCES users (id));
        INSERT INTO users VALUES ('o''hara', 'ann@test.com'), ('b\c', 'bob@test.com'),
            (' x ', 'eve@test.com');
        INSERT INTO posts VALUES (1, 'o''hara'), (2, 'b\c'), (3, ' x ');";
    let world = World::make(kind, sql, POLICY).await;
    world
        .takes(world.id("o'hara"), "posts -1, users -1", "posts 2, users 2")
        .await;
    world
        .takes(world.id("b\\c"), "posts -1, users -1", "posts 1, users 1")
        .await;
    world.takes(world.id(" x "), "posts -1, users -1", "").await;
}

async fn wide_and_narrow_numbers(kind: Kind) {
    let sql = "CREATE TABLE users (id BIGINT PRIMARY KEY, email VARCHAR(99) NOT NULL);
        CREATE TABLE posts (id SMALLINT PRIMARY KEY, user_id INTEGER NOT NULL
            REFERENCES users (id));
        CREATE TABLE notes (id INTEGER PRIMARY KEY, post_id BIGINT NOT NULL
            REFERENCES posts (id));
        INSERT INTO users VALUES (1, 'ann@test.com'), (2147483647, 'bob@test.com');
        INSERT INTO posts VALUES (1, 1), (2, 2147483647);
        INSERT INTO notes VALUES (1, 1), (2, 2);";
    let world = World::make(kind, sql, POLICY).await;
    let told = "notes -1, posts -1, users -1";
    world
        .takes(world.id("2147483647"), told, "notes 1, posts 1, users 1")
        .await;
}

async fn two_schemas(kind: Kind) {
    let sql = format!(
        "{USERS}
        CREATE SCHEMA shop; CREATE SCHEMA \"Big Shop\";
        CREATE TABLE orders (id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL REFERENCES users);
        CREATE TABLE shop.orders (id INTEGER PRIMARY KEY,
            user_id INTEGER NOT NULL REFERENCES users, of_id INTEGER REFERENCES orders);
        CREATE TABLE \"Big Shop\".orders (id INTEGER PRIMARY KEY,
            of_id INTEGER NOT NULL REFERENCES shop.orders);
        CREATE TABLE shop.users (id INTEGER PRIMARY KEY, email TEXT);
        INSERT INTO shop.users VALUES (1, 'ann@test.com');
        INSERT INTO orders VALUES (1, 1), (2, 2);
        INSERT INTO shop.orders VALUES (1, 1, NULL), (2, 2, 1), (3, 2, 2);
        INSERT INTO \"Big Shop\".orders VALUES (1, 1), (2, 3);"
    );
    let world = World::make(kind, &sql, POLICY).await;
    let told = "Big Shop.orders -1, orders -1, shop.orders -1 ~1, users -1";
    let left = "\"Big Shop\".orders 1, orders 1, shop.orders 2, shop.users 1, users 1";
    world.takes(world.user("ann@test.com"), told, left).await;
    world
        .reset(&world.everything(), resetd::operation::Mode::Execute)
        .await
        .unwrap();
    assert_eq!(world.left().await, "");
}

/// As a superuser makes a table a member of an extension, without having to
/// install files beside the server's own.
async fn extension_tables_stay(kind: Kind) {
    let sql = format!(
        "{USERS} CREATE TABLE spatial (id INTEGER PRIMARY KEY);
        CREATE TABLE other (id INTEGER PRIMARY KEY);
        INSERT INTO spatial VALUES (1); INSERT INTO other VALUES (1);"
    );
    let world = World::make(kind, &sql, POLICY).await;
    world
        .sudo("ALTER EXTENSION plpgsql ADD TABLE spatial")
        .await;
    world
        .takes(world.everything(), "other -1, users -2", "spatial 1")
        .await;
}

async fn fixed_length_keys(kind: Kind) {
    let sql = "CREATE TABLE users (id CHAR(5) PRIMARY KEY, email VARCHAR(30) NOT NULL, b BIT(3));
        CREATE TABLE posts (id BIT(4) PRIMARY KEY, user_id CHAR(5) NOT NULL REFERENCES users);
        CREATE TABLE notes (post_id BIT(4) NOT NULL REFERENCES posts, n NUMERIC(4,2) PRIMARY KEY);
        INSERT INTO users VALUES ('aaaaa', 'ann@test.com', B'101'), ('b', 'bob@test.com', B'111');
        INSERT INTO posts VALUES (B'1010', 'aaaaa'), (B'1111', 'b');
        INSERT INTO notes VALUES (B'1010', 1.25), (B'1111', 2);";
    let world = World::make(kind, sql, POLICY).await;
    let told = "notes -1, posts -1, users -1";
    world
        .takes(world.id("aaaaa"), told, "notes 1, posts 1, users 1")
        .await;
    world.takes(world.user("bob@test.com"), told, "").await;
}

async fn column_order_after_drops(kind: Kind) {
    let sql = "CREATE TABLE users (junk TEXT, id INTEGER, email TEXT NOT NULL);
        ALTER TABLE users DROP COLUMN junk; ALTER TABLE users ADD PRIMARY KEY (id);
        CREATE TABLE posts (a INTEGER, b INTEGER, c INTEGER, user_id INTEGER REFERENCES users);
        ALTER TABLE posts DROP COLUMN a; ALTER TABLE posts DROP COLUMN c;
        ALTER TABLE posts ADD PRIMARY KEY (b);
        INSERT INTO users VALUES (1, 'ann@test.com'), (2, 'bob@test.com');
        INSERT INTO posts VALUES (1, 1), (2, 2);";
    let world = World::make(kind, sql, POLICY).await;
    world
        .takes(
            world.user("ann@test.com"),
            "posts -1, users -1",
            "posts 1, users 1",
        )
        .await;
}

async fn unlogged_tables(kind: Kind) {
    let sql = format!(
        "{USERS} CREATE UNLOGGED TABLE posts (id INTEGER PRIMARY KEY, user_id INTEGER
            REFERENCES users); INSERT INTO posts VALUES (1, 1), (2, 2);"
    );
    let world = World::make(kind, &sql, POLICY).await;
    world
        .takes(
            world.user("ann@test.com"),
            "posts -1, users -1",
            "posts 1, users 1",
        )
        .await;
}
