//! Connections to MariaDB: how they are made, and what a session is set to.

use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, Row as _, SqlSafeStr as _,
    mysql::{
        MySqlConnectOptions, MySqlConnection, MySqlPoolOptions, MySqlQueryResult, MySqlSslMode,
    },
};

use super::{
    LOCK_TIMEOUT,
    answers::{self, Done},
    connection::{CONNECTIONS, Credentials, TRUSTED},
    fault::{Error, Fault},
    warm::Warm,
};
use crate::{
    address::TlsMode,
    dialect::{MySql, Row, Statement},
};

/// What a session is, whatever the server and the account say: strict, with
/// assignments of one statement that do not see one another, texts compared
/// letter for letter, every check on, and lists that are neither cut nor made
/// tables of.
const SESSION: &str = "SET SESSION sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,\
    NO_ENGINE_SUBSTITUTION,SIMULTANEOUS_ASSIGNMENT', \
    NAMES utf8mb4 COLLATE utf8mb4_nopad_bin, SESSION autocommit = 1, \
    SESSION foreign_key_checks = 1, SESSION unique_checks = 1, SESSION check_constraint_checks = 1, \
    SESSION sql_safe_updates = 0, SESSION in_predicate_conversion_threshold = 0, \
    SESSION group_concat_max_len = 67108864, \
    SESSION optimizer_switch = 'default'";

/// What a transaction may have set is taken back, so that the next one to use
/// the session finds it as it was, and nothing stops a commit.
pub(super) const UNBOUNDED: &str = "SET SESSION max_statement_time = 0, \
    SESSION foreign_key_checks = 1; ";

/// Connections to a server that is there, and is MariaDB.
pub(super) async fn pool(credentials: &Credentials) -> Result<Warm<sqlx::MySql>, Error> {
    let options = options(credentials);
    // A pool tells a refused connection only after its time-out: one direct
    // connection tells it at once.
    let probe = tokio::time::timeout(LOCK_TIMEOUT, MySqlConnection::connect_with(&options)).await;
    let probe = probe.map_err(|_| Error::Unavailable(sqlx::Error::PoolTimedOut))?;
    let mut probe = probe.map_err(Error::Unavailable)?;
    let version = probe.fetch_one("SELECT VERSION()").await;
    let version: String = version
        .and_then(|row| row.try_get(0))
        .map_err(Error::Unavailable)?;
    drop(probe.close().await);
    if !version.contains("MariaDB") {
        return Err(Error::Product(format!("MySQL {version}")));
    }
    let pool = MySqlPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(LOCK_TIMEOUT)
        .test_before_acquire(false)
        .before_acquire(|connection, usage| {
            Box::pin(async move {
                if usage.idle_for > TRUSTED {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        .after_connect(|connection, _| {
            Box::pin(async move {
                connection.execute(sqlx::raw_sql(SESSION)).await?;
                Ok(())
            })
        });
    let pool = || pool.clone().connect_lazy_with(options.clone());
    Ok(Warm::new(CONNECTIONS, pool))
}

/// Nothing but the address decides where the connection leads, and nothing is
/// set that [`SESSION`] does not say.
fn options(credentials: &Credentials) -> MySqlConnectOptions {
    // Statements can hold data, which is not logged.
    let options = MySqlConnectOptions::new()
        .pipes_as_concat(false)
        .no_engine_substitution(false)
        .timezone(None)
        .set_names(false)
        .disable_statement_logging();
    let Credentials::MySql {
        host,
        port,
        user,
        password,
        database,
        tls,
    } = credentials
    else {
        return options;
    };
    let mut options = options
        .host(host)
        .port(*port)
        .username(user)
        .database(database)
        .ssl_mode(match tls {
            Some(TlsMode::Disable) => MySqlSslMode::Disabled,
            None | Some(TlsMode::Allow | TlsMode::Prefer) => MySqlSslMode::Preferred,
            Some(TlsMode::Require) => MySqlSslMode::Required,
            Some(TlsMode::VerifyCa) => MySqlSslMode::VerifyCa,
            Some(TlsMode::VerifyFull) => MySqlSslMode::VerifyIdentity,
        });
    if let Some(password) = password {
        options = options.password(password);
    }
    options
}

/// Runs a statement and tells how many rows it changed.
///
/// The driver closes an unprepared statement by a packet that nobody answers,
/// so that the next one waits 40 ms for an acknowledgement. So what has no
/// parameters is sent as text, and what has some is kept prepared.
pub(super) async fn run(
    connection: &mut MySqlConnection,
    statement: &Statement,
) -> Result<u64, Fault> {
    let sql = AssertSqlSafe(statement.sql.clone()).into_sql_str();
    let done = match statement.parameters.as_slice() {
        [] => connection.execute(sqlx::raw_sql(sql)).await,
        values => {
            let mut query = sqlx::query(sql);
            for value in values {
                query = query.bind(value);
            }
            connection.execute(query).await
        }
    };
    done.map(|done| done.rows_affected())
        .map_err(|error| Fault::of(&MySql, error))
}

/// Runs a query whose columns are all text, in the same way.
pub(super) async fn query(
    connection: &mut MySqlConnection,
    statement: &Statement,
) -> Result<Vec<Row>, Fault> {
    let sql = AssertSqlSafe(statement.sql.clone()).into_sql_str();
    let answer = match statement.parameters.as_slice() {
        [] => connection.fetch_all(sqlx::raw_sql(sql)).await,
        values => {
            let mut query = sqlx::query(sql);
            for value in values {
                query = query.bind(value);
            }
            connection.fetch_all(query).await
        }
    };
    let rows = answer.and_then(|rows| answers::all_texts(&rows));
    rows.map_err(|error| Fault::of(&MySql, error))
}

/// Runs several statements without parameters in one round trip.
pub(super) async fn script(
    connection: &mut MySqlConnection,
    statement: &Statement,
) -> Result<Vec<Done>, Fault> {
    let sql = AssertSqlSafe(statement.sql.clone()).into_sql_str();
    let ended = connection.fetch_many(sqlx::raw_sql(sql));
    let done = answers::each(ended, MySqlQueryResult::rows_affected).await;
    done.map_err(|(_, error)| Fault::of(&MySql, error))
}
