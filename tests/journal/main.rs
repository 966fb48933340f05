//! The journal in PostgreSQL: several servers on one journal behave as one,
//! and what somebody did to it shows.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

#[allow(dead_code, reason = "the dialect suite asks more of the server")]
#[path = "../dialects/server.rs"]
mod server;

use std::{path::Path, process::Command, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use resetd::{
    access::Role,
    journal::{
        Begun, Closed, Entry, Error, Filter, Intent, Journal, Outcome, Place, RefusedCall,
        Retention, ServerId, State,
    },
    operation::{Action, Changes, EffectCounts, Level, Mode, OperationId, ResetUser, UserSelector},
};
use sqlx::{AssertSqlSafe, Connection as _};
use tokio::task::JoinSet;
use uuid::Uuid;

use server::server;

/// A database of its own.
struct Case {
    database: String,
}

fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

fn later(seconds: i64) -> Timestamp {
    now() + SignedDuration::from_secs(seconds)
}

fn operation(number: u128) -> OperationId {
    OperationId::from(Uuid::from_u128(number))
}

impl Case {
    async fn new() -> Self {
        let database = format!("journal_{}", Uuid::new_v4().simple());
        let case = Self { database };
        let sql = format!("CREATE DATABASE {}", case.database);
        let mut connection = server().superuser(None).await;
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut connection)
            .await
            .unwrap();
        connection.close().await.unwrap();
        case
    }

    fn place_of(&self, user: &str) -> Place {
        Place::Postgres {
            host: "127.0.0.1".to_owned(),
            port: server().port,
            user: user.to_owned(),
            password: None,
            database: self.database.clone(),
            tls: None,
        }
    }

    async fn open(&self) -> Journal {
        let place = self.place_of("postgres");
        Journal::open(&place, ServerId::new(), now()).await.unwrap()
    }

    /// Three servers that start at once on a database where nothing is yet.
    async fn three(&self) -> [Arc<Journal>; 3] {
        let (one, two, three) = tokio::join!(self.open(), self.open(), self.open());
        [one, two, three].map(Arc::new)
    }

    /// Somebody with a shell, past the journal.
    async fn tamper(&self, sql: &str) -> Result<(), sqlx::Error> {
        let mut connection = server().superuser(Some(&self.database)).await;
        let sql = format!("SET search_path TO resetd_journal; {sql}");
        let done = sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut connection)
            .await;
        connection.close().await.unwrap();
        done.map(|_| ())
    }

    async fn number(&self, sql: &'static str) -> i64 {
        let mut connection = server().superuser(Some(&self.database)).await;
        let found = sqlx::query_scalar(sql).fetch_one(&mut connection).await;
        connection.close().await.unwrap();
        found.unwrap()
    }
}

async fn try_begin(
    journal: &Journal,
    number: u128,
    request: Option<(Uuid, &[u8])>,
    plan: Option<&str>,
) -> Result<Begun, Error> {
    let action = Action::ResetUser(ResetUser {
        user: UserSelector::Email("a@test.com".into()),
        level: Level::UserCascade,
        force: false,
        allow_missing: false,
        mode: Mode::Execute,
    });
    let intent = Intent {
        operation: operation(number),
        parent: None,
        actor: "ci",
        role: Role::Tester,
        target: "app",
        action: &action,
        request,
        plan,
    };
    journal.begin(&intent, now()).await
}

async fn begin(journal: &Journal, number: u128, request: Option<(Uuid, &[u8])>) -> Begun {
    try_begin(journal, number, request, None).await.unwrap()
}

async fn entry(journal: &Journal, number: u128) -> Entry {
    match begin(journal, number, None).await {
        Begun::New(entry) => entry,
        other => panic!("{other:?}"),
    }
}

async fn commit(journal: &Journal, entry: Entry, pending: u64) -> Closed {
    let mut changes = Changes::default();
    changes.effects.pending = pending;
    let outcome = Outcome::Committed { changes: &changes };
    let reply = Some("\"reply\"".to_owned());
    let took = Duration::from_millis(3);
    let closing = journal.close(entry, &outcome, reply, now(), took);
    closing.await.unwrap()
}

async fn fail(journal: &Journal, entry: Entry) {
    let outcome = Outcome::Failed {
        reason: "LOCK_TIMEOUT",
        message: "busy\0",
    };
    let closing = journal.close(entry, &outcome, None, now(), Duration::ZERO);
    assert_eq!(closing.await.unwrap(), Closed::Now);
}

/// Fifty callers with the same request, over three servers.
async fn race(
    servers: &[Arc<Journal>; 3],
    first: u128,
    id: Uuid,
) -> (Vec<Entry>, Vec<OperationId>) {
    let mut tasks = JoinSet::new();
    for number in 0..50 {
        let journal = Arc::clone(&servers[number % 3]);
        let number = first + u128::try_from(number).unwrap();
        tasks.spawn(async move { begin(&journal, number, Some((id, b"body"))).await });
    }
    let (mut new, mut repeats) = (Vec::new(), Vec::new());
    for begun in tasks.join_all().await {
        match begun {
            Begun::New(entry) => new.push(entry),
            Begun::Repeat(repeat) => repeats.push(repeat.operation),
            other => panic!("{other:?}"),
        }
    }
    (new, repeats)
}

#[tokio::test(flavor = "multi_thread")]
async fn of_fifty_callers_over_three_servers_one_is_new() {
    let case = Case::new().await;
    let servers = case.three().await;
    let id = Uuid::new_v4();
    let (mut new, repeats) = race(&servers, 1, id).await;
    let entry = new.pop().unwrap();
    assert!(new.is_empty(), "{new:?}");
    assert_eq!(repeats, vec![entry.operation(); 49]);

    // One that failed is tried again by one of them, and by one alone.
    fail(&servers[0], entry).await;
    let (mut new, repeats) = race(&servers, 100, id).await;
    let entry = new.pop().unwrap();
    assert!(new.is_empty(), "{new:?}");
    assert_eq!(repeats, vec![entry.operation(); 49]);

    // What it is answered is the same everywhere; another body is refused.
    assert_eq!(commit(&servers[1], entry, 0).await, Closed::Now);
    let again = begin(&servers[2], 200, Some((id, b"body"))).await;
    let Begun::Repeat(repeat) = again else {
        panic!("{again:?}")
    };
    assert_eq!(repeat.state, State::Complete);
    assert_eq!(repeat.reply.as_deref(), Some("\"reply\""));
    let other = begin(&servers[2], 201, Some((id, b"other"))).await;
    assert!(matches!(other, Begun::AnotherBody), "{other:?}");

    let found = servers[0].verify().await.unwrap();
    assert_eq!((found.chains, found.records), (3, 4), "{found:?}");
    assert_eq!(found.flaws, Vec::new());
    for journal in servers {
        journal.shut().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_counts_once_over_all_servers() {
    let case = Case::new().await;
    let servers = case.three().await;
    let mut tasks = JoinSet::new();
    for number in 0..12 {
        let journal = Arc::clone(&servers[number % 3]);
        let number = 1 + u128::try_from(number).unwrap();
        tasks.spawn(async move {
            try_begin(&journal, number, None, Some("plan"))
                .await
                .unwrap()
        });
    }
    let begun = tasks.join_all().await;
    let new = begun.iter().filter(|b| matches!(b, Begun::New(_))).count();
    let spent = begun
        .iter()
        .filter(|b| matches!(b, Begun::PlanSpent))
        .count();
    assert_eq!((new, spent), (1, 11));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_silent_server_left_is_ended_by_one_of_the_others() {
    let case = Case::new().await;
    let [gone, one, two] = case.three().await;
    let _open = entry(&gone, 1).await;
    let doubtful = entry(&gone, 2).await;
    let closing = gone.close(doubtful, &Outcome::InDoubt, None, now(), Duration::ZERO);
    assert_eq!(closing.await.unwrap(), Closed::Now);
    let mine = entry(&one, 3).await;
    for journal in [&one, &two] {
        assert!(journal.abandoned(now()).await.unwrap().is_empty());
        journal.heartbeat(later(60)).unwrap();
        // What is read behind it is read after it.
        assert!(!journal.request_cancel(operation(9)).await.unwrap());
    }
    assert!(one.request_cancel(operation(3)).await.unwrap());
    assert_eq!(one.cancelled().await.unwrap(), [operation(3)]);
    assert_eq!(two.cancelled().await.unwrap(), []);
    let mut ended = Vec::new();
    let left = [&one, &two].map(|journal| async {
        let left = journal.abandoned(later(30)).await.unwrap();
        let ids: Vec<_> = left.iter().map(|(entry, _)| entry.operation()).collect();
        assert_eq!(ids, [operation(1), operation(2)]);
        left
    });
    let [of_one, of_two] = left;
    let (of_one, of_two) = tokio::join!(of_one, of_two);
    for (journal, left) in [(&one, of_one), (&two, of_two)] {
        for (entry, _) in left {
            let outcome = Outcome::Recovered {
                committed: false,
                changes: None,
            };
            let closing = journal.close(entry, &outcome, None, later(61), Duration::ZERO);
            ended.push(closing.await.unwrap());
        }
    }
    let (now, already) = (Closed::Now, Closed::Already);
    assert_eq!(ended, [now, now, already, already]);
    // A server that was only slow finds that it comes too late.
    let late = entry(&gone, 4).await;
    assert_eq!(commit(&gone, late, 0).await, Closed::Now);
    assert_eq!(commit(&one, mine, 0).await, Closed::Now);
    assert_eq!(two.verify().await.unwrap().flaws, Vec::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_are_found_with_their_events_and_effects() {
    let case = Case::new().await;
    let journal = case.open().await;
    for number in 1..=5 {
        let entry = entry(&journal, number).await;
        commit(&journal, entry, u64::from(number == 5)).await;
    }
    for number in 1..=12 {
        let body = format!("{{\"event\":{number}}}");
        journal.event(operation(5), number, now(), body);
    }
    let pending = journal.unfinished_effects().await.unwrap();
    assert_eq!(pending.len(), 1);
    let counts = EffectCounts::default();
    let done = journal.effects_done(operation(5), counts, None, later(1));
    done.await.unwrap();
    assert!(journal.unfinished_effects().await.unwrap().is_empty());
    let events = journal.events(operation(5), 1).await.unwrap();
    let numbers: Vec<u64> = events.iter().map(|event| event.number).collect();
    assert_eq!(numbers, Vec::from_iter(2..=12));
    let filter = Filter {
        targets: Some(vec!["app".to_owned()]),
        state: Some(State::Complete),
        before: Some(operation(5)),
        since: Some(now()),
        limit: 2,
        ..Filter::default()
    };
    let listed = journal.list(&filter).await.unwrap();
    let ids: Vec<_> = listed.iter().map(|record| record.operation).collect();
    assert_eq!(ids, [operation(4), operation(3)]);
    assert_eq!(listed[0].took_us, Some(3000));
    let found = journal.verify().await.unwrap();
    assert_eq!((found.records, found.flaws), (11, Vec::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_was_at_the_records_is_found_out() {
    let open = "DROP TRIGGER record_is_append_only ON record;";
    let cut = "DELETE FROM record WHERE number = 4";
    let changed = "UPDATE record SET body = replace(body, 'ci', 'eve') WHERE number = 1";
    let gap = "DELETE FROM record WHERE number = 2";
    let forged = "UPDATE anchor SET number = 3";
    let unsealed = "UPDATE anchor SET seal = ''";
    let gone = "DELETE FROM record; DELETE FROM anchor";
    let stranger = "the anchor was not written by a server of this journal";
    for (sql, number, problem) in [
        (cut, 4, "the last records are missing"),
        (changed, 1, "the record is not the one that was written"),
        (gap, 2, "a record is missing"),
        (forged, 3, stranger),
        (unsealed, 4, stranger),
        ("DELETE FROM anchor", 4, "the chain has no anchor"),
        (gone, 0, "the chain has no anchor"),
    ] {
        let case = Case::new().await;
        let journal = case.open().await;
        for number in [1, 2] {
            let entry = entry(&journal, number).await;
            commit(&journal, entry, 0).await;
        }
        for sql in [
            "DELETE FROM record",
            "UPDATE record SET at = ''",
            "TRUNCATE record",
        ] {
            let error = case.tamper(sql).await.unwrap_err();
            assert!(error.to_string().contains("append-only"), "{error}");
        }
        case.tamper(&format!("{open} {sql}")).await.unwrap();
        let flaws = journal.verify().await.unwrap().flaws;
        let flaw = flaws.first().unwrap_or_else(|| panic!("{sql} not found"));
        assert_eq!((flaw.number, flaw.problem.as_str()), (number, problem));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_servers_take_away_what_is_old_and_the_rest_is_whole() {
    let case = Case::new().await;
    let ended = case.open().await;
    for number in 1..=20 {
        let entry = entry(&ended, number).await;
        commit(&ended, entry, 0).await;
    }
    ended.shut().await;
    let servers = case.three().await;
    let left = entry(&servers[0], 21).await;
    commit(&servers[0], left, 0).await;
    let keep = Retention {
        records: SignedDuration::from_hours(24 * 30),
    };
    let day = 24 * 3600;
    let call = RefusedCall {
        actor: "ci",
        reason: "TOKEN_MISSING",
        message: "no token",
    };
    for round in 0..5 {
        let at = later((31 + round) * day);
        let young = later((20 + round) * day);
        let refused = servers[1].refuse(OperationId::from(Uuid::new_v4()), &call, young);
        refused.await.unwrap();
        let [one, two, three] = &servers;
        let (a, b, c) = tokio::join!(
            one.retain(keep, at),
            two.retain(keep, at - SignedDuration::from_secs(day / 2)),
            three.retain(keep, at),
        );
        a.and(b).and(c).unwrap();
        assert_eq!(two.verify().await.unwrap().flaws, Vec::new());
    }
    let records = "SELECT count(*) FROM resetd_journal.record";
    assert_eq!(case.number(records).await, 5);
    let pruned = "SELECT max(pruned_number) FROM resetd_journal.anchor";
    assert_eq!(case.number(pruned).await, 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_connection_is_replaced_and_an_unwritten_intent_is_no_operation() {
    let case = Case::new().await;
    let journal = case.open().await;
    let first = entry(&journal, 1).await;
    let cut = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity \
               WHERE application_name = 'resetd journal' AND datname = current_database()";
    case.tamper(cut).await.unwrap();
    let _second = entry(&journal, 2).await;
    // Nothing can be written: that is told, and nothing is begun.
    let full = "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS \
                $$ BEGIN RAISE disk_full; END $$; CREATE TRIGGER full_disk BEFORE INSERT \
                ON record FOR EACH ROW EXECUTE FUNCTION full_disk()";
    case.tamper(full).await.unwrap();
    let begun = try_begin(&journal, 3, None, None).await;
    assert!(matches!(begun, Err(Error::Write(_))), "{begun:?}");
    let changes = Changes::default();
    let outcome = Outcome::Committed { changes: &changes };
    let closing = journal.close(first, &outcome, None, now(), Duration::ZERO);
    assert!(matches!(closing.await, Err(Error::Write(_))));
    case.tamper("DROP TRIGGER full_disk ON record")
        .await
        .unwrap();
    journal.heartbeat(later(1)).unwrap();
    // What is owed follows what came with the heartbeat.
    for number in [4, 5] {
        let _next = entry(&journal, number).await;
    }
    let first = journal.operation(operation(1)).await.unwrap().unwrap();
    assert_eq!(first.state, State::Complete);
    assert_eq!(journal.operation(operation(3)).await.unwrap(), None);
    assert_eq!(journal.verify().await.unwrap().flaws, Vec::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_intent_that_is_there_though_nobody_was_told_so_is_ended() {
    let case = Case::new().await;
    let journal = case.open().await;
    let begun = begin(&journal, 1, None).await;
    assert!(matches!(begun, Begun::New(_)), "{begun:?}");
    // The same id once more is what a commit that was cut off looks like to
    // the writer, and the operation that is there must not stay open.
    let again = try_begin(&journal, 1, None, None).await;
    assert!(matches!(again, Err(Error::Write(_))), "{again:?}");
    journal.heartbeat(later(1)).unwrap();
    for number in [2, 3] {
        let _next = entry(&journal, number).await;
    }
    let record = journal.operation(operation(1)).await.unwrap().unwrap();
    assert_eq!(record.state, State::Failed);
    assert_eq!(record.reason.as_deref(), Some("AUDIT_UNAVAILABLE"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_seals_once_every_server_has_read_it() {
    let case = Case::new().await;
    let [one, two, _] = case.three().await;
    let old = one.seal(b"bytes");
    assert!(two.is_sealed(b"bytes", &old));
    assert_eq!(one.rotate_key(later(1)).await.unwrap(), "2");
    // The other has not read it, and must know what this one seals.
    assert!(two.is_sealed(b"bytes", &one.seal(b"bytes")));
    two.reload_keys(later(3600)).await.unwrap();
    one.reload_keys(later(7300)).await.unwrap();
    let new = one.seal(b"bytes");
    assert!(new.starts_with("2.") && two.is_sealed(b"bytes", &new));
    assert!(one.is_sealed(b"bytes", &old));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_of_the_schema_needs_no_more_than_that() {
    let case = Case::new().await;
    let role = format!("owner_{}", Uuid::new_v4().simple());
    let sql =
        format!("CREATE ROLE {role} LOGIN; CREATE SCHEMA resetd_journal AUTHORIZATION {role}");
    case.tamper(&sql).await.unwrap();
    let place = case.place_of(&role);
    let journal = Journal::open(&place, ServerId::new(), now()).await.unwrap();
    let entry = entry(&journal, 1).await;
    assert_eq!(commit(&journal, entry, 0).await, Closed::Now);
    journal.shut().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_of_a_later_version_is_refused() {
    let case = Case::new().await;
    case.open().await.shut().await;
    case.tamper("UPDATE format SET version = 3").await.unwrap();
    let place = case.place_of("postgres");
    let opened = Journal::open(&place, ServerId::new(), now()).await;
    assert!(matches!(opened, Err(Error::Newer { found: 3, .. })));
}

/// What `resetd journal COMMAND` says, and whether it exits with 0.
fn run(config: &Path, command: &str) -> (bool, String) {
    let mut resetd = Command::new(env!("CARGO_BIN_EXE_resetd"));
    let done = resetd
        .args(["journal", command, "--config"])
        .arg(config)
        .env_clear()
        .output()
        .unwrap();
    let said = [done.stdout, done.stderr].concat();
    (done.status.success(), String::from_utf8(said).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_looks_while_servers_write_and_says_where_it_is_wrong() {
    let case = Case::new().await;
    let journal = case.open().await;
    let first = entry(&journal, 1).await;
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("resetd.toml");
    let text = format!(
        "journal = \"postgresql://postgres@127.0.0.1:{}/{}\"\n\
         [[targets]]\nname = \"app\"\nenvironment = \"local\"\nurl = \"sqlite:app.db\"\n\
         policy = \"policy.toml\"\n",
        server().port,
        case.database
    );
    std::fs::write(&config, text).unwrap();
    let users = "[users]\ntable = \"users\"\nemail = \"email\"\ntest_domains = [\"test.com\"]\n";
    std::fs::write(folder.path().join("policy.toml"), users).unwrap();
    let (is_whole, said) = run(&config, "verify");
    assert!(is_whole, "{said}");
    assert!(
        said.contains("1 records in 1 chains: all as written"),
        "{said}"
    );
    let (is_made, said) = run(&config, "rotate-key");
    assert!(is_made && said.contains("key 2"), "{said}");
    assert_eq!(commit(&journal, first, 0).await, Closed::Now);
    let cut = "DROP TRIGGER record_is_append_only ON record; DELETE FROM record WHERE number = 2";
    case.tamper(cut).await.unwrap();
    let (is_whole, said) = run(&config, "verify");
    assert!(!is_whole, "{said}");
    let place = format!("chain {}, record 2: the last records", journal.server());
    assert!(said.contains(&place), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_lets_nobody_in_lets_nothing_begin_and_is_taken_up_again() {
    let case = Case::new().await;
    let journal = Arc::new(case.open().await);
    let first = entry(&journal, 1).await;
    let mut outside = server().superuser(None).await;
    let database = &case.database;
    for sql in [
        format!("ALTER DATABASE {database} ALLOW_CONNECTIONS false"),
        format!(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity \
             WHERE datname = '{database}'"
        ),
    ] {
        let sql = sqlx::raw_sql(AssertSqlSafe(sql));
        sql.execute(&mut outside).await.unwrap();
    }
    let mut tasks = JoinSet::new();
    for number in 2..22 {
        let journal = Arc::clone(&journal);
        tasks.spawn(async move { try_begin(&journal, number, None, None).await });
    }
    let changes = Changes::default();
    let outcome = Outcome::Committed { changes: &changes };
    let closing = journal.close(first, &outcome, None, now(), Duration::ZERO);
    assert!(matches!(closing.await, Err(Error::Write(_))));
    for begun in tasks.join_all().await {
        assert!(matches!(begun, Err(Error::Write(_))), "{begun:?}");
    }

    let sql = format!("ALTER DATABASE {database} ALLOW_CONNECTIONS true");
    let sql = sqlx::raw_sql(AssertSqlSafe(sql));
    sql.execute(&mut outside).await.unwrap();
    journal.heartbeat(later(1)).unwrap();
    for number in [30, 31] {
        let _next = entry(&journal, number).await;
    }
    let first = journal.operation(operation(1)).await.unwrap().unwrap();
    assert_eq!(first.state, State::Complete);
    let found = journal.verify().await.unwrap();
    assert_eq!((found.records, found.flaws), (4, Vec::new()));
}
