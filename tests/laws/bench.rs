//! A case's database as a target: made, armed, and reset.

use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use resetd::{
    guard::{self, Limits, Refused, Setting, TestDomains, UserRule},
    operation::{Changes, Mode, OperationId, UserSelector},
    plan::{self, Plan, Scope},
    policy::Policy,
    target::{Arming, Besides, Brake, Credentials, Deadline, Error, Request, Start, Target},
};
use uuid::Uuid;

use crate::{
    case::{Case, Cell, Row},
    database::Database,
    script::{self, DOMAIN},
};

/// More rows than any case has.
pub const NO_LIMIT: u64 = 1_000_000;

/// A target on a file of its own, and a look at it from outside.
pub struct Bench {
    target: Target,
    pub database: Database,
    now: Timestamp,
    user: UserSelector,
    rule: UserRule,
}

/// The row of the user that the case resets.
pub fn root(case: &Case) -> &Row {
    case.rows
        .iter()
        .find(|row| case.tag(row) == case.root)
        .unwrap()
}

impl Bench {
    /// Makes the case's database and arms it.
    pub async fn new(case: &Case, folder: &Path) -> Result<Self, String> {
        let path = folder.join("dev.db");
        let target = target(case, &path);
        let schema = script::schema(case);
        target
            .load(&[&schema])
            .await
            .map_err(|error| format!("the schema: {error}"))?;
        let mut database = Database::open(&path).await;
        let rows = script::rows(case);
        if case.dangling || is_enforced_oddly(case) {
            database.run(&format!("BEGIN; {rows} COMMIT;")).await;
        } else {
            target
                .load(&[&rows])
                .await
                .map_err(|error| format!("the rows: {error}"))?;
        }
        let now = Timestamp::now();
        let arming = Arming {
            id: "laws".into(),
            environment: "test".into(),
            armed_by: "the laws".into(),
            armed_at: now,
            expires_at: now + SignedDuration::from_hours(1),
            protected: false,
        };
        target
            .arm("dev.db", &arming)
            .await
            .map_err(|error| format!("arming: {error}"))?;
        let root = root(case);
        let user = match case.by_email {
            true => UserSelector::Email(root.cells[case.email].text()),
            false => UserSelector::Id(root.cells[case.user_key].text()),
        };
        let rule = UserRule {
            domains: TestDomains::new([DOMAIN]).unwrap(),
            protected: case.rules.protect.clone(),
            own: None,
            force: case.force,
        };
        Ok(Self {
            target,
            database,
            now,
            user,
            rule,
        })
    }

    /// What the policy of another case, on the same database, comes to.
    pub async fn bind(&self, case: &Case, folder: &Path) -> Result<(), Error> {
        let target = target(case, &folder.join("dev.db"));
        let bound = target.model().await.map(|_| ());
        target.close().await;
        bound
    }

    /// The plan, made anew.
    pub async fn plan(&self, case: &Case) -> Result<Plan, String> {
        let model = self
            .target
            .model()
            .await
            .map_err(|error| error.to_string())?;
        plan::build(&model, Scope::User(case.level)).map_err(|error| error.to_string())
    }

    /// One reset from the beginning.
    pub async fn reset(
        &self,
        case: &Case,
        mode: Mode,
        max_rows: u64,
        allow_missing: bool,
    ) -> Result<Changes, Error> {
        let model = self.target.model().await?;
        let seen = self.target.observe().await?.seen;
        let plan = plan::build(&model, Scope::User(case.level))
            .map_err(|error| Error::Unexpected(error.to_string()))?;
        let setting = self.target.setting();
        let cleared = guard::clear(plan, setting, seen, Limits { max_rows }, self.now)
            .map_err(|refused: Refused| Error::Refused(refused))?;
        let request = Request {
            besides: Besides::default(),
            operation: OperationId::from(Uuid::now_v7()),
            mode,
            started: self.now,
            deadline: Deadline::default(),
            start: Start::User {
                user: self.user.clone(),
                rule: self.rule.clone(),
                allow_missing,
            },
            expected: None,
            elsewhere: resetd::target::Elsewhere::default(),
            brake: Brake::default(),
        };
        let executed = self.target.execute(&cleared, &request, &|_| {}).await?;
        Ok(executed.into_changes())
    }

    pub async fn close(self) {
        self.target.close().await;
        self.database.close().await;
    }
}

fn target(case: &Case, path: &Path) -> Target {
    let setting = Setting {
        target: "laws".into(),
        environment: Some("test".into()),
        database: path.display().to_string(),
        ..Setting::default()
    };
    let text = script::policy(case);
    let policy = Policy::parse(&text).unwrap_or_else(|error| panic!("{error} in\n{text}"));
    let credentials = Credentials::Sqlite {
        path: PathBuf::from(path),
        create: true,
    };
    Target::new(setting, policy, credentials)
}

/// True when SQLite may refuse to insert rows that are right: its enforcement
/// is unsound where a reference's types differ, and for a row that refers to
/// itself in other letter case.
fn is_enforced_oddly(case: &Case) -> bool {
    case.keys.iter().any(|key| {
        let differs = |row: &Row| {
            key.pairs
                .iter()
                .any(|&(from, to)| row.cells[from] != row.cells[to])
        };
        let clashes = key.pairs.iter().any(|&(from, to)| {
            let affinity = case.child(key).columns[from].kind.affinity();
            affinity != case.parent(key).columns[to].kind.affinity()
        });
        clashes
            || case
                .rows
                .iter()
                .any(|row| case.refers(key, row, row) && differs(row))
    })
}

/// True when a guard of users would refuse this one.
pub fn is_untouchable(case: &Case, user: &Row) -> bool {
    let (key, email) = (&user.cells[case.user_key], &user.cells[case.email]);
    let protected = case
        .rules
        .protect
        .iter()
        .any(|name| *name == key.text() || (*email != Cell::Null && *name == email.text()));
    let is_test = email.text().ends_with(&format!("@{DOMAIN}"));
    protected || !(case.force || is_test)
}
