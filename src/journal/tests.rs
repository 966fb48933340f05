//! A journal in an SQLite file: what is written stays, ends once, is answered
//! the same again, and shows when somebody was at it.

use super::*;
use crate::operation::{Level, ResetUser, UserSelector};

fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

fn later(seconds: i64) -> Timestamp {
    now() + SignedDuration::from_secs(seconds)
}

fn operation(number: u128) -> OperationId {
    OperationId::from(Uuid::from_u128(number))
}

fn action() -> Action {
    Action::ResetUser(ResetUser {
        user: UserSelector::Email("a@test.com".into()),
        level: Level::UserCascade,
        force: false,
        allow_missing: false,
        mode: Mode::Execute,
    })
}

struct Case {
    folder: tempfile::TempDir,
}

impl Case {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn place(&self) -> Place {
        Place::Sqlite(self.folder.path().join("journal.db"))
    }

    async fn open(&self) -> Journal {
        let opened = Journal::open(&self.place(), ServerId::new(), now()).await;
        opened.unwrap()
    }

    async fn tamper(&self, sql: &str) {
        let pool = Pool::connect(&self.place(), 1).await.unwrap();
        pool.acquire().await.unwrap().batch(sql).await.unwrap();
        pool.close().await;
    }
}

async fn begin(journal: &Journal, number: u128, request: Option<(Uuid, &[u8])>) -> Begun {
    let action = action();
    let intent = Intent {
        operation: operation(number),
        parent: None,
        actor: "ci",
        role: Role::Tester,
        target: "app",
        action: &action,
        request,
        plan: None,
    };
    journal.begin(&intent, now()).await.unwrap()
}

async fn entry(journal: &Journal, number: u128) -> Entry {
    match begin(journal, number, None).await {
        Begun::New(entry) => entry,
        other => panic!("{other:?}"),
    }
}

async fn commit(journal: &Journal, entry: Entry, reply: &str) -> Closed {
    let changes = Changes::default();
    let outcome = Outcome::Committed { changes: &changes };
    let took = Duration::from_millis(3);
    let reply = Some(reply.to_owned());
    journal
        .close(entry, &outcome, reply, now(), took)
        .await
        .unwrap()
}

const FAILED: Outcome<'_> = Outcome::Failed {
    reason: "LOCK_TIMEOUT",
    message: "busy",
};

#[tokio::test]
async fn what_is_written_stays_and_ends_once() {
    let case = Case::new();
    let journal = case.open().await;
    let first = entry(&journal, 1).await;
    let again = Entry {
        operation: first.operation,
    };
    let _second = entry(&journal, 2).await;
    assert_eq!(commit(&journal, first, "{}").await, Closed::Now);
    assert_eq!(commit(&journal, again, "{}").await, Closed::Already);
    journal.shut().await;

    let journal = case.open().await;
    let abandoned = journal.abandoned(now()).await.unwrap();
    let ids: Vec<OperationId> = abandoned.iter().map(|(e, _)| e.operation).collect();
    assert_eq!(ids, [operation(2)]);
    let done = journal.operation(operation(1)).await.unwrap().unwrap();
    assert_eq!(
        (done.state, done.took_us),
        (State::Complete, Some(3000)),
        "{done:?}"
    );
    let found = journal.verify().await.unwrap();
    assert_eq!((found.records, found.flaws), (3, Vec::new()));
    for sql in ["DELETE FROM record", "UPDATE record SET body = '{}'"] {
        let mut connection = journal.readers.acquire().await.unwrap();
        let error = connection.batch(sql).await.unwrap_err();
        assert!(error.to_string().contains("append-only"), "{error}");
    }
}

#[tokio::test]
async fn a_request_is_executed_once_and_answered_the_same_again() {
    let case = Case::new();
    let journal = case.open().await;
    let id = Uuid::from_u128(7);
    let Begun::New(first) = begin(&journal, 1, Some((id, b"body"))).await else {
        panic!("the first is new");
    };
    let Begun::Repeat(repeat) = begin(&journal, 2, Some((id, b"body"))).await else {
        panic!("the second is a repeat");
    };
    assert_eq!(
        (repeat.operation, repeat.state),
        (operation(1), State::Open)
    );
    let other = begin(&journal, 3, Some((id, b"other"))).await;
    assert!(matches!(other, Begun::AnotherBody), "{other:?}");
    commit(&journal, first, "\"reply\"").await;
    journal.shut().await;

    let journal = case.open().await;
    let Begun::Repeat(repeat) = begin(&journal, 4, Some((id, b"body"))).await else {
        panic!("it is a repeat after a restart");
    };
    assert_eq!(repeat.reply.as_deref(), Some("\"reply\""));
    assert_eq!(repeat.state, State::Complete);
    let asked = journal.requested("ci", id).await.unwrap();
    assert_eq!(asked, Some(operation(1)));
}

#[tokio::test]
async fn a_request_that_failed_may_be_tried_again_with_the_same_body() {
    let case = Case::new();
    let journal = case.open().await;
    let id = Uuid::from_u128(7);
    let Begun::New(first) = begin(&journal, 1, Some((id, b"body"))).await else {
        panic!("the first is new");
    };
    let took = Duration::ZERO;
    journal
        .close(first, &FAILED, None, now(), took)
        .await
        .unwrap();
    let other = begin(&journal, 2, Some((id, b"other"))).await;
    assert!(matches!(other, Begun::AnotherBody), "{other:?}");
    let again = begin(&journal, 3, Some((id, b"body"))).await;
    assert!(matches!(again, Begun::New(_)), "{again:?}");
    let asked = journal.requested("ci", id).await.unwrap();
    assert_eq!(asked, Some(operation(3)));
}

#[tokio::test]
async fn whoever_was_at_the_records_is_found_out() {
    let cut = "DROP TRIGGER record_is_append_only_delete; DELETE FROM record WHERE number = 4";
    let changed = "DROP TRIGGER record_is_append_only_update; \
                   UPDATE record SET body = json_set(body, '$.actor', 'eve') WHERE number = 1";
    let gap = "DROP TRIGGER record_is_append_only_delete; DELETE FROM record WHERE number = 2";
    let forged = "UPDATE anchor SET number = 3";
    let unsealed = "UPDATE anchor SET seal = ''";
    let lost = "DELETE FROM anchor";
    let gone = "DELETE FROM anchor; DROP TRIGGER record_is_append_only_delete; \
                DELETE FROM record";
    for (sql, number, problem) in [
        (cut, 4, "the last records are missing"),
        (changed, 1, "the record is not the one that was written"),
        (gap, 2, "a record is missing"),
        (
            forged,
            3,
            "the anchor was not written by a server of this journal",
        ),
        (
            unsealed,
            4,
            "the anchor was not written by a server of this journal",
        ),
        (lost, 4, "the chain has no anchor"),
        (gone, 0, "the chain has no anchor"),
    ] {
        let case = Case::new();
        let journal = case.open().await;
        for number in [1, 2] {
            let entry = entry(&journal, number).await;
            commit(&journal, entry, "{}").await;
        }
        case.tamper(sql).await;
        let flaws = journal.verify().await.unwrap().flaws;
        let flaw = flaws
            .first()
            .unwrap_or_else(|| panic!("{problem} not found"));
        assert_eq!((flaw.number, flaw.problem.as_str()), (number, problem));
    }
}

#[tokio::test]
async fn what_is_old_goes_and_the_rest_is_still_whole() {
    let case = Case::new();
    let journal = case.open().await;
    let id = Uuid::from_u128(7);
    let Begun::New(first) = begin(&journal, 1, Some((id, b"body"))).await else {
        panic!("the first is new");
    };
    commit(&journal, first, "{}").await;
    let keep = Retention {
        records: SignedDuration::from_hours(24 * 30),
    };
    let eight_days = later(8 * 24 * 3600);
    journal.retain(keep, eight_days).await.unwrap();
    let record = journal.operation(operation(1)).await.unwrap().unwrap();
    assert_eq!(record.reply, None);
    assert_eq!(journal.requested("ci", id).await.unwrap(), None);
    assert_eq!(journal.verify().await.unwrap().records, 2);

    let forty_days = later(40 * 24 * 3600);
    journal.retain(keep, forty_days).await.unwrap();
    assert_eq!(journal.operation(operation(1)).await.unwrap(), None);
    let _third = entry(&journal, 3).await;
    let found = journal.verify().await.unwrap();
    assert_eq!((found.records, found.flaws), (1, Vec::new()));
}

#[tokio::test]
async fn a_request_id_that_says_itself_that_it_is_old_is_refused() {
    let case = Case::new();
    let journal = case.open().await;
    let made = |days: i64| {
        let at = now().as_second() - days * 24 * 3600;
        let at = uuid::Timestamp::from_unix(uuid::NoContext, at.try_into().unwrap(), 0);
        Uuid::new_v7(at)
    };
    let old = begin(&journal, 1, Some((made(8), b"body"))).await;
    assert!(matches!(old, Begun::RequestTooOld), "{old:?}");
    let young = begin(&journal, 2, Some((made(6), b"body"))).await;
    assert!(matches!(young, Begun::New(_)), "{young:?}");
}

#[tokio::test]
async fn a_key_can_be_changed_and_earlier_seals_still_count() {
    let case = Case::new();
    let journal = case.open().await;
    let seal = journal.seal(b"bytes");
    assert_eq!(journal.rotate_key(later(1)).await.unwrap(), "2");
    // Another server may not have read it yet.
    journal.reload_keys(later(3600)).await.unwrap();
    assert!(journal.seal(b"bytes").starts_with("1."));
    journal.reload_keys(later(7201)).await.unwrap();
    assert!(journal.seal(b"bytes").starts_with("2."));
    assert!(journal.is_sealed(b"bytes", &seal));
    assert!(!journal.is_sealed(b"other", &seal));
    assert!(!journal.is_sealed(b"bytes", "3.00"));
}

#[tokio::test]
async fn a_journal_of_the_first_format_is_taken_over() {
    let case = Case::new();
    case.tamper(
        "CREATE TABLE record (
            sequence INTEGER PRIMARY KEY AUTOINCREMENT, operation_id TEXT NOT NULL,
            kind TEXT NOT NULL CHECK (kind IN ('intent', 'outcome', 'refused')),
            at TEXT NOT NULL, body TEXT NOT NULL CHECK (json_valid(body)),
            UNIQUE (operation_id, kind)
        );
        CREATE TRIGGER record_is_append_only_update BEFORE UPDATE ON record
            BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
        CREATE TRIGGER record_is_append_only_delete BEFORE DELETE ON record
            BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
        INSERT INTO record (operation_id, kind, at, body) VALUES
            ('00000000-0000-0000-0000-000000000001', 'intent', '2026-01-01T00:00:00Z',
             '{\"actor\":\"ci\",\"target\":\"app\",\"action\":{\"action\":\"reset_user\"}}'),
            ('00000000-0000-0000-0000-000000000001', 'outcome', '2026-01-01T00:00:01Z',
             '{\"state\":\"committed\"}'),
            ('00000000-0000-0000-0000-000000000002', 'intent', '2026-01-01T00:00:02Z',
             '{\"actor\":\"ci\",\"target\":\"app\",\"action\":{\"action\":\"reset_user\"}}');
        PRAGMA user_version = 1",
    )
    .await;
    let journal = case.open().await;
    let done = journal.operation(operation(1)).await.unwrap().unwrap();
    assert_eq!((done.state, done.target.as_str()), (State::Complete, "app"));
    let abandoned = journal.abandoned(now()).await.unwrap();
    assert_eq!(abandoned.len(), 1);
    assert_eq!(abandoned[0].0.operation, operation(2));
    let found = journal.verify().await.unwrap();
    assert_eq!((found.records, found.flaws), (3, Vec::new()));
}

#[tokio::test]
async fn a_journal_of_a_later_version_is_refused() {
    let case = Case::new();
    case.open().await.shut().await;
    case.tamper("PRAGMA user_version = 3").await;
    let opened = Journal::open(&case.place(), ServerId::new(), now()).await;
    assert!(matches!(opened, Err(Error::Newer { found: 3, .. })));
}

#[tokio::test]
async fn many_callers_at_once_are_all_written() {
    let case = Case::new();
    let journal = std::sync::Arc::new(case.open().await);
    let mut tasks = tokio::task::JoinSet::new();
    for number in 1..=200 {
        let journal = std::sync::Arc::clone(&journal);
        tasks.spawn(async move {
            let entry = entry(&journal, number).await;
            commit(&journal, entry, "{}").await
        });
    }
    let closed = tasks.join_all().await;
    assert!(closed.iter().all(|closed| *closed == Closed::Now));
    let found = journal.verify().await.unwrap();
    assert_eq!((found.records, found.flaws), (400, Vec::new()));
}

#[tokio::test]
async fn a_journal_is_whole_at_every_moment_while_it_is_written() {
    let case = Case::new();
    let journal = std::sync::Arc::new(case.open().await);
    let mut tasks = tokio::task::JoinSet::new();
    for number in 1..=100 {
        let journal = std::sync::Arc::clone(&journal);
        tasks.spawn(async move {
            let entry = entry(&journal, number).await;
            commit(&journal, entry, "{}").await
        });
    }
    while !tasks.is_empty() {
        assert_eq!(journal.verify().await.unwrap().flaws, Vec::new());
        let _closed = tasks.join_next().await;
    }
}

#[tokio::test]
async fn an_end_that_could_not_be_written_is_written_later() {
    let case = Case::new();
    let journal = case.open().await;
    let first = entry(&journal, 1).await;
    case.tamper(
        "CREATE TRIGGER full BEFORE INSERT ON record BEGIN SELECT RAISE(ABORT, 'full'); END",
    )
    .await;
    let changes = Changes::default();
    let outcome = Outcome::Committed { changes: &changes };
    let closed = journal.close(first, &outcome, None, now(), Duration::ZERO);
    assert!(matches!(closed.await, Err(Error::Write(_))));
    case.tamper("DROP TRIGGER full").await;
    journal.heartbeat(later(1)).unwrap();
    // What is owed follows what came with the heartbeat.
    for number in [2, 3] {
        let _next = entry(&journal, number).await;
    }
    let record = journal.operation(operation(1)).await.unwrap().unwrap();
    assert_eq!(record.state, State::Complete);
    assert_eq!(journal.verify().await.unwrap().flaws, Vec::new());
}

#[tokio::test]
async fn a_record_that_says_an_earlier_time_keeps_what_is_before_it() {
    let case = Case::new();
    let journal = case.open().await;
    let first = entry(&journal, 1).await;
    commit(&journal, first, "{}").await;
    let call = RefusedCall {
        actor: "ci",
        reason: "TOKEN_MISSING",
        message: "no token",
    };
    let long_ago = later(-40 * 24 * 3600);
    journal.refuse(operation(2), &call, long_ago).await.unwrap();
    let keep = Retention {
        records: SignedDuration::from_hours(24 * 30),
    };
    journal.retain(keep, now()).await.unwrap();
    let found = journal.verify().await.unwrap();
    assert_eq!((found.records, found.flaws), (3, Vec::new()));
    assert!(case_deletes(&journal).await.contains("append-only"));
}

/// What the journal says to somebody who takes the last record away, with its
/// anchor.
async fn case_deletes(journal: &Journal) -> String {
    let mut connection = journal.readers.acquire().await.unwrap();
    let sql = "BEGIN; DELETE FROM anchor; DELETE FROM record";
    let error = connection.batch(sql).await.unwrap_err();
    connection.batch("ROLLBACK").await.unwrap();
    error.to_string()
}
