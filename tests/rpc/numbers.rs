//! Statistics and status: what they say is what SQL says.

use std::collections::{BTreeMap, BTreeSet};

use resetd::{
    access::Role,
    proto::{
        Advice, GetStatusRequest, ResetLevel, StatisticsRequest, StatisticsResponse,
        TableStatistics, advice::Purpose, marker::State,
    },
};

use crate::harness::{Data, Server};

/// Every table of the application's own with its rows, by SQL.
async fn counted(data: &Data) -> BTreeMap<String, i64> {
    let names = "SELECT name FROM sqlite_schema WHERE type = 'table' \
                 AND name NOT LIKE 'sqlite_%' AND name NOT LIKE 'resetd_%'";
    let mut counted = BTreeMap::new();
    for name in data.texts(names).await {
        let rows = data
            .number(&format!("SELECT count(*) FROM \"{name}\""))
            .await;
        counted.insert(name, rows);
    }
    counted
}

fn told(tables: &[TableStatistics]) -> BTreeMap<String, i64> {
    let tables = tables.iter();
    tables
        .map(|table| (table.table.clone(), table.rows))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn statistics_say_what_sql_says() {
    let server = Server::start().await;
    let viewer = server.caller(Role::Viewer).await;
    let tables = counted(&server.data).await;
    for exact in [false, true] {
        let request = StatisticsRequest {
            exact,
            ..StatisticsRequest::default()
        };
        let all = viewer.statistics(request).await.unwrap();
        assert_eq!(told(&all.tables), tables);
        assert!(all.tables.is_sorted_by_key(|table| table.table.clone()));
        assert!(all.tables.iter().all(|table| table.exact), "SQLite counts");
        let is_told = |table: &TableStatistics| table.bytes.is_some();
        assert!(!all.tables.iter().any(is_told), "SQLite does not know");
        assert_eq!(all.total_rows, tables.values().sum::<i64>());
        assert!(all.total_rows > 9_000 && all.next_page_token.is_empty());
        assert_eq!(all.environment, "development");
        assert_eq!((all.total_users, all.test_users), (300, 100));
    }
    let users = viewer
        .statistics(StatisticsRequest::default())
        .await
        .unwrap()
        .users;
    assert!(users.is_sorted_by_key(|users| users.user_type.clone()));
    assert_eq!(users.len(), 5);
    for users in users {
        let kind = format!(
            "SELECT count(*) FROM users WHERE user_type = '{}'",
            users.user_type
        );
        assert_eq!(server.data.number(&kind).await, users.total);
        let active = format!("{kind} AND is_active");
        assert_eq!(server.data.number(&active).await, users.active);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_any_size_make_the_whole() {
    let server = Server::start().await;
    let viewer = server.caller(Role::Viewer).await;
    let tables = counted(&server.data).await;
    for page_size in [1, 7, 35, 36, 1000] {
        let mut pages: Vec<StatisticsResponse> = Vec::new();
        loop {
            let page_token = pages.last().map_or("", |page| &page.next_page_token);
            let request = StatisticsRequest {
                page_size,
                page_token: page_token.to_owned(),
                ..StatisticsRequest::default()
            };
            let page = viewer.statistics(request).await.unwrap();
            let size = usize::try_from(page_size).unwrap();
            assert!(page.tables.len() <= size && !page.tables.is_empty());
            assert_eq!(page.total_rows, tables.values().sum::<i64>(), "of all");
            let last = page.next_page_token.is_empty();
            pages.push(page);
            if last {
                break;
            }
        }
        let size = usize::try_from(page_size).unwrap();
        assert_eq!(pages.len(), tables.len().div_ceil(size));
        let all: Vec<TableStatistics> = pages.into_iter().flat_map(|page| page.tables).collect();
        assert_eq!(all.len(), tables.len());
        assert_eq!(told(&all), tables);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_index_would_make_quicker_is_named_with_what_helps() {
    let server = Server::start().await;
    let viewer = server.caller(Role::Viewer).await;
    let request = StatisticsRequest::default();
    let slow = viewer.statistics(request.clone()).await.unwrap();
    let subjects: Vec<&str> = slow
        .advice
        .iter()
        .map(|advice| advice.subject.as_str())
        .collect();
    for expected in [
        "vendor_documents.verified_by -> users.id",
        "discrepancy_reports.generated_by_id -> users.id",
    ] {
        assert!(subjects.contains(&expected), "{subjects:?}");
    }
    let gain = |advice: &Advice| {
        let gain = advice.gain.unwrap();
        (gain.seconds, gain.nanos)
    };
    assert!(
        slow.advice.is_sorted_by(|a, b| gain(a) >= gain(b)),
        "{slow:?}"
    );
    for advice in &slow.advice {
        let rows = format!("SELECT count(*) FROM \"{}\"", advice.table);
        assert_eq!(server.data.number(&rows).await, advice.rows);
        let each = match advice.purpose() {
            Purpose::Reference => 27,
            Purpose::Marker => 104,
            Purpose::Unspecified => panic!("{advice:?}"),
        };
        let predicted = i32::try_from(each * advice.rows).unwrap();
        assert_eq!(gain(advice), (0, predicted), "{advice:?}");
        server.data.run(&advice.statement).await;
    }
    let purposes: BTreeSet<Purpose> = slow.advice.iter().map(Advice::purpose).collect();
    assert_eq!(purposes.len(), 2, "references and markers: {subjects:?}");
    let fast = viewer.statistics(request).await.unwrap();
    assert!(fast.advice.is_empty(), "the advice helps: {fast:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn statistics_count_odd_users_as_they_are() {
    let server = Server::start().await;
    let viewer = server.caller(Role::Viewer).await;
    let emails = [
        ("A@TEST.COM", 1),
        ("b@test.com ", 0),
        ("c@test.com.evil.org", 0),
        ("d@evil.org@test.com", 0),
        ("@test.com", 0),
        ("e\u{200b}@test.com", 0),
        ("%@testing.com", 1),
    ];
    let mut expected = 100;
    for (email, counts) in emails {
        server
            .data
            .run(&format!(
                "INSERT INTO users (id, email, password_hash, created_at, updated_at) \
                 VALUES (hex(randomblob(9)), '{email}', 'x', '', '')"
            ))
            .await;
        expected += counts;
        let statistics = viewer
            .statistics(StatisticsRequest::default())
            .await
            .unwrap();
        assert_eq!(statistics.test_users, expected, "{email:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_says_what_may_be_done() {
    let server = Server::start().await;
    let viewer = server.caller(Role::Viewer).await;
    let status = viewer.status(GetStatusRequest::default()).await.unwrap();
    assert_eq!(status.version, env!("CARGO_PKG_VERSION"));
    assert_eq!(
        (status.target.as_str(), status.environment.as_str()),
        ("demo", "development")
    );
    let path = server.data.database.display().to_string();
    assert_eq!(status.database_address, format!("sqlite:{path}"));
    assert!(status.database_version.starts_with("SQLite 3."));
    assert!(status.reset_allowed);
    let layers: Vec<&str> = status
        .layers
        .iter()
        .map(|layer| layer.name.as_str())
        .collect();
    assert_eq!(layers, ["environment", "address", "identity", "marker"]);
    assert!(
        status
            .layers
            .iter()
            .all(|l| l.allowed && l.fix.is_empty() && l.reason == 0)
    );
    let levels: Vec<ResetLevel> = status.levels().collect();
    let all = [
        ResetLevel::UserData,
        ResetLevel::UserSessions,
        ResetLevel::UserCascade,
    ];
    assert_eq!(levels, all);
    let domains = ["dev.com", "example.com", "test.com", "testing.com"];
    assert_eq!(status.test_domains, domains);
    assert!(status.max_rows > 0);
    let marker = status.marker.unwrap();
    assert_eq!(marker.state(), State::Armed);
    let sql = "SELECT id FROM resetd_marker";
    assert_eq!(server.data.texts(sql).await, [marker.id]);
    assert!(!marker.armed_by.is_empty());
    let (armed, expires) = (marker.armed_at.unwrap(), marker.expires_at.unwrap());
    assert_eq!(expires.seconds - armed.seconds, 30 * 24 * 3600);
    let seen = status.observed_at.unwrap();
    assert!((armed.seconds..armed.seconds + 60).contains(&seen.seconds));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_tells_each_state_of_the_marker() {
    let server = Server::start().await;
    let viewer = server.caller(Role::Viewer).await;
    for (sql, state) in [
        ("UPDATE resetd_marker SET protected = 1", State::Protected),
        (
            "UPDATE resetd_marker SET protected = 0, expires_at = '2026-01-01T00:00:00Z'",
            State::Expired,
        ),
        (
            "UPDATE resetd_marker SET server_identity = 'elsewhere'",
            State::Foreign,
        ),
        ("DELETE FROM resetd_marker", State::Absent),
        ("DROP TABLE resetd_marker", State::Absent),
    ] {
        server.data.run(sql).await;
        let status = viewer.status(GetStatusRequest::default()).await.unwrap();
        assert_eq!(status.marker.unwrap().state(), state);
        assert!(!status.reset_allowed);
    }
    // The harness wants it back.
    let table = "CREATE TABLE resetd_marker (id TEXT PRIMARY KEY NOT NULL)";
    server.data.run(table).await;
}
