//! What a case asks for.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use resetd::{
    dialect::Eligible,
    guard::{TestDomains, UserRule},
    operation::{Level, UserSelector},
    plan::Scope,
    target::{Besides, Deadline, NewPassword, Sowing, Start},
};

use crate::world::World;

/// What is reset.
#[derive(Debug, Clone)]
pub struct Order {
    pub scope: Scope,
    pub start: Start,
    pub deadline: Deadline,
    pub max_rows: u64,
    pub besides: Besides,
}

impl World {
    /// An order for everything of a user.
    pub fn user(&self, email: &str) -> Order {
        self.at(Level::UserCascade, UserSelector::Email(email.to_owned()))
    }

    /// An order for everything of the user with a key.
    pub fn id(&self, id: &str) -> Order {
        self.at(Level::UserCascade, UserSelector::Id(id.to_owned()))
    }

    /// An order for a level of a user.
    pub fn at(&self, level: Level, user: UserSelector) -> Order {
        let rule = UserRule {
            domains: self.domains(),
            protected: Vec::new(),
            own: None,
            force: false,
        };
        let start = Start::User {
            user,
            rule,
            allow_missing: false,
        };
        Order::new(Scope::User(level), start)
    }

    /// An order for the test users.
    pub fn test_users(&self, include_admins: bool) -> Order {
        let eligible = self.eligible(include_admins);
        Order::new(
            Scope::TestUsers(Level::UserCascade),
            Start::TestUsers(eligible),
        )
    }

    /// An order for the marked rows.
    pub fn marked(&self, session: Option<&str>) -> Order {
        let start = Start::Marked {
            session: session.map(str::to_owned),
            eligible: self.eligible(false),
        };
        Order::new(Scope::Marked, start)
    }

    /// An order for everything.
    pub fn everything(&self) -> Order {
        let start = Start::Everything {
            preserve_admins: true,
            protected: Vec::new(),
        };
        Order::new(Scope::Everything, start)
    }

    /// An order for everything, with a seed in its place.
    pub fn reseeded(&self, seed: &str, value: &str) -> Order {
        let file = self.target.seed("seed.sql", seed).unwrap();
        let values = BTreeMap::from([("name".to_owned(), value.to_owned())]);
        let mut order = self.everything();
        order.besides.sowing = Sowing {
            files: vec![file],
            values,
        };
        order
    }

    /// An order for a recipe of the policy.
    pub fn recipe(&self, name: &str, protected: &[&str]) -> Order {
        let protected = protected.iter().map(ToString::to_string).collect();
        Order::new(Scope::Recipe(name.to_owned()), Start::Recipe { protected })
    }

    /// An order for a password's hash of a user.
    pub fn password(&self, email: &str, column: &str, hash: &str) -> Order {
        let mut order = self.user(email);
        order.scope = Scope::Sessions;
        order.besides.password = Some(NewPassword {
            column: column.to_owned(),
            hash: hash.to_owned(),
        });
        order
    }

    /// Who is a test user.
    pub fn domains(&self) -> TestDomains {
        TestDomains::new(&self.target.policy().users.test_domains).unwrap()
    }

    fn eligible(&self, include_admins: bool) -> Eligible {
        Eligible {
            domains: self.domains().domains().map(str::to_owned).collect(),
            include_admins,
            protected: Vec::new(),
        }
    }
}

impl Order {
    fn new(scope: Scope, start: Start) -> Self {
        Self {
            scope,
            start,
            deadline: Deadline::default(),
            max_rows: 1_000_000,
            besides: Besides::default(),
        }
    }

    /// The same, to be done in time.
    #[must_use]
    pub fn within(mut self, time: Duration) -> Self {
        self.deadline = Deadline::at(Instant::now() + time);
        self
    }
}
