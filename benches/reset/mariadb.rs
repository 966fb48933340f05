//! A throwaway MariaDB server.

use std::{
    io::{BufRead as _, BufReader},
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
};

use crate::engine::{OWNER, Place, Sql};

/// A server that ends with this.
pub struct MariaDb {
    _child: Child,
    port: u16,
    pub version: String,
}

/// A server that is starting.
pub struct Starting(Child, u16);

/// Begins to start a server, which takes seconds.
pub fn start() -> Starting {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
    let port = port.unwrap().port();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/reset/mariadb.sh");
    let child = Command::new("sh")
        .arg(script)
        .arg(port.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    Starting(child, port)
}

impl Starting {
    /// The server, when it takes connections.
    pub async fn ready(self) -> MariaDb {
        let Self(mut child, port) = self;
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        assert_eq!(
            line.trim(),
            "ready",
            "MariaDB does not start: apt-get install mariadb-server"
        );
        let mut superuser = Sql::mariadb(port, "root", None).await;
        superuser.run(&format!("CREATE USER {OWNER}")).await;
        let version = superuser.text("SELECT VERSION()").await;
        MariaDb {
            _child: child,
            port,
            version,
        }
    }
}

impl MariaDb {
    pub async fn superuser(&self) -> Sql {
        Sql::mariadb(self.port, "root", None).await
    }

    /// A new database with this in it.
    pub async fn make(&self, database: &str, sql: &str) -> Place {
        let mut superuser = self.superuser().await;
        // Only what is measured has to be durable.
        superuser
            .run(&format!(
                "SET GLOBAL innodb_flush_log_at_trx_commit = 0; CREATE DATABASE {database}; \
                 GRANT ALL ON {database}.* TO {OWNER}"
            ))
            .await;
        let place = Place::MariaDb {
            port: self.port,
            database: database.to_owned(),
        };
        let mut owner = place.connect().await;
        owner
            .run("SET foreign_key_checks = 0, unique_checks = 0")
            .await;
        owner.run(sql).await;
        owner.close().await;
        superuser
            .run("SET GLOBAL innodb_flush_log_at_trx_commit = 1")
            .await;
        place
    }

    /// Puts back what is missing in these tables of a database, which is made
    /// when it is not there.
    pub async fn refill(&self, from: &str, to: &str, tables: &[&str]) -> Place {
        let mut superuser = self.superuser().await;
        let there = format!(
            "SELECT CAST(count(*) AS CHAR) FROM information_schema.schemata \
             WHERE schema_name = '{to}'"
        );
        if superuser.text(&there).await == "0" {
            let mut make = String::new();
            superuser.run(&format!("USE {from}")).await;
            for table in tables {
                let rows = superuser
                    .column(&format!("SHOW CREATE TABLE {table}"), 1)
                    .await;
                make += &rows.concat();
                make += ";";
            }
            self.make(to, &make).await;
        }
        superuser
            .run(
                "SET GLOBAL innodb_flush_log_at_trx_commit = 0; \
                  SET foreign_key_checks = 0, unique_checks = 0",
            )
            .await;
        for table in tables {
            let fill = format!("INSERT IGNORE INTO {to}.{table} SELECT * FROM {from}.{table}");
            superuser.run(&fill).await;
        }
        // What was deleted is cleared away before anything is measured.
        superuser
            .run(
                "SET GLOBAL innodb_flush_log_at_trx_commit = 1; \
                  SET GLOBAL innodb_max_purge_lag_wait = 0",
            )
            .await;
        Place::MariaDb {
            port: self.port,
            database: to.to_owned(),
        }
    }
}
