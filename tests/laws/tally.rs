//! Which features the cases had, so that a generator that no longer makes one
//! is noticed.

use std::collections::{BTreeMap, BTreeSet};

use resetd::operation::Level;

use crate::{
    case::{Affinity, Case, Cell, Column, Key, Kind, OnDelete, Reset, Spelling, Treatment},
    fates::clearable,
    reference::{Done, Outcome},
};

/// How often each feature occurred, once per case at most.
#[derive(Debug, Default)]
pub struct Tally {
    counts: BTreeMap<&'static str, usize>,
    seen: BTreeSet<&'static str>,
}

impl Tally {
    /// Notes a feature of the case at hand.
    pub fn add(&mut self, feature: &'static str) {
        if self.seen.insert(feature) {
            *self.counts.entry(feature).or_default() += 1;
        }
    }

    fn note(&mut self, feature: &'static str, occurs: bool) {
        if occurs {
            self.add(feature);
        } else {
            self.counts.entry(feature).or_default();
        }
    }

    /// Ends the case at hand.
    pub fn end_case(&mut self) {
        self.seen.clear();
    }

    pub fn merge(&mut self, other: Self) {
        for (feature, count) in other.counts {
            *self.counts.entry(feature).or_default() += count;
        }
    }

    pub fn counts(&self) -> &BTreeMap<&'static str, usize> {
        &self.counts
    }

    /// Notes what a case consists of.
    pub fn case(&mut self, case: &Case) {
        self.tables(case);
        self.keys(case);
        self.rules(case);
        self.note("level user_data", case.level == Level::UserData);
        self.note("level user_sessions", case.level == Level::UserSessions);
        self.note("level user_cascade", case.level == Level::UserCascade);
        self.note("user by e-mail", case.by_email);
        self.note("dangling data", case.dangling);
    }

    fn tables(&mut self, case: &Case) {
        let any = |test: &dyn Fn(&crate::case::Table) -> bool| case.tables.iter().any(test);
        self.note(
            "table without a primary key",
            any(&|t| t.primary.is_empty()),
        );
        self.note("composite primary key", any(&|t| t.primary.len() > 1));
        self.note("WITHOUT ROWID", any(&|t| t.without_rowid));
        self.note("AUTOINCREMENT", any(&|t| t.autoincrement));
        self.note("users WITHOUT ROWID", case.tables[case.users].without_rowid);
        self.note("users' key named", case.user_key_named);
        let kind = |kind| {
            move |t: &crate::case::Table| {
                t.primary.len() == 1 && t.columns[t.primary[0]].kind == kind
            }
        };
        self.note("integer key", any(&kind(Kind::Integer)));
        self.note("text key", any(&kind(Kind::Text)));
        self.note("UUID key", any(&kind(Kind::Uuid)));
        let odd = |name: &str| {
            !name
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        };
        self.note("odd table name", any(&|t| odd(&t.name)));
        self.note("table name with a dot", any(&|t| t.name.contains('.')));
        let columns = |t: &crate::case::Table| t.columns[..t.columns.len() - 4].to_vec();
        self.note(
            "odd column name",
            any(&|t| columns(t).iter().any(|c| odd(&c.name))),
        );
        self.note(
            "column called rowid",
            any(&|t| t.columns.iter().any(|c| c.name == "rowid")),
        );
        self.note(
            "nullable unique key",
            any(&|t| t.uniques.iter().flatten().any(|&c| t.columns[c].nullable)),
        );
        self.note(
            "NOCASE column",
            any(&|t| columns(t).iter().any(|c| c.nocase)),
        );
    }

    fn keys(&mut self, case: &Case) {
        self.actions(case);
        self.shapes(case);
        self.types(case);
        self.cycles(case);
    }

    fn actions(&mut self, case: &Case) {
        let declared: Vec<&Key> = case.keys.iter().filter(|key| key.declared).collect();
        let actions = [
            (OnDelete::NoAction, "NO ACTION", "self-reference NO ACTION"),
            (OnDelete::Restrict, "RESTRICT", "self-reference RESTRICT"),
            (OnDelete::Cascade, "CASCADE", "self-reference CASCADE"),
            (OnDelete::SetNull, "SET NULL", "self-reference SET NULL"),
            (
                OnDelete::SetDefault,
                "SET DEFAULT",
                "self-reference SET DEFAULT",
            ),
        ];
        for (action, name, of_itself) in actions {
            let mut keys = declared.iter().filter(|key| key.action == action);
            self.note(name, keys.clone().next().is_some());
            self.note(of_itself, keys.any(|key| key.child == key.parent));
        }
        let any = |test: &dyn Fn(&Key) -> bool| declared.iter().any(|key| test(key));
        self.note("deferred foreign key", any(&|key| key.deferred));
        let spelled = |spelling| move |key: &Key| key.spelling == spelling;
        self.note(
            "parent's columns left out",
            any(&spelled(Spelling::Implicit)),
        );
        self.note("names in other case", any(&spelled(Spelling::OtherCase)));
    }

    fn shapes(&mut self, case: &Case) {
        let any = |test: &dyn Fn(&Key) -> bool| case.keys.iter().any(test);
        let nullable = |key: &Key, pair: &(usize, usize)| {
            let table = case.child(key);
            table.columns[pair.0].nullable && !table.primary.contains(&pair.0)
        };
        let optional = |key: &Key| key.pairs.iter().any(|pair| nullable(key, pair));
        let required = |key: &Key| key.pairs.iter().any(|pair| !nullable(key, pair));
        let own = |key: &Key| key.child == key.parent;
        let composite = |key: &Key| key.pairs.len() > 1;
        self.note(
            "self-reference, optional",
            any(&|key| own(key) && optional(key)),
        );
        self.note(
            "self-reference, required",
            any(&|key| own(key) && !optional(key)),
        );
        self.note("composite foreign key", any(&composite));
        self.note(
            "composite foreign key, partly nullable",
            any(&|key| composite(key) && optional(key) && required(key)),
        );
        let shares = |key: &Key| {
            case.keys.iter().any(|other| {
                !std::ptr::eq(key, other)
                    && other.child == key.child
                    && other
                        .pairs
                        .iter()
                        .any(|o| key.pairs.iter().any(|k| k.0 == o.0))
            })
        };
        self.note(
            "composite foreign key with a shared column",
            any(&|key| composite(key) && shares(key)),
        );
        self.note("relation of the policy", any(&|key| !key.declared));
        let twice = |key: &Key| {
            let same = |other: &&Key| (other.child, other.parent) == (key.child, key.parent);
            case.keys.iter().filter(same).count() > 1
        };
        self.note("several references to one parent", any(&twice));
        let beside = |key: &Key| {
            let primary = &case.parent(key).primary;
            !primary.is_empty() && key.pairs.iter().any(|pair| !primary.contains(&pair.1))
        };
        self.note("reference to a unique column", any(&beside));
    }

    fn types(&mut self, case: &Case) {
        let any = |test: &dyn Fn(&Column, &Column) -> bool| {
            case.keys.iter().any(|key| {
                let (child, parent) = (case.child(key), case.parent(key));
                let mut pairs = key.pairs.iter();
                pairs.any(|&(from, to)| test(&child.columns[from], &parent.columns[to]))
            })
        };
        let clash = |one: Affinity, other: Affinity| {
            move |from: &Column, to: &Column| {
                (from.kind.affinity(), to.kind.affinity()) == (one, other)
            }
        };
        let (number, text, bare) = (Affinity::Number, Affinity::Text, Affinity::Nothing);
        self.note("number column to text key", any(&clash(number, text)));
        self.note("text column to number key", any(&clash(text, number)));
        self.note("bare column to number key", any(&clash(bare, number)));
        self.note("bare column to text key", any(&clash(bare, text)));
        self.note(
            "NOCASE child only",
            any(&|from, to| from.nocase && !to.nocase),
        );
        self.note("NOCASE parent", any(&|_, to| to.nocase));
        self.note(
            "generated column in a foreign key",
            any(&|from, _| from.generated.is_some()),
        );
    }

    fn cycles(&mut self, case: &Case) {
        let required = |id: usize| clearable(case, id).is_empty();
        let all = cyclic(case, &|_| true);
        let strict = cyclic(case, &required);
        self.note("cycle", all);
        self.note("cycle of required keys", strict);
        self.note("cycle with an optional key", all && !strict);
        let restricting = |id: usize| required(id) && case.keys[id].action == OnDelete::Restrict;
        self.note(
            "cycle of required RESTRICT keys",
            cyclic(case, &restricting),
        );
    }

    fn rules(&mut self, case: &Case) {
        let rules = &case.rules;
        self.note("kept table", !rules.keep.is_empty());
        let treated = |treatment| rules.treatments.values().any(|other| *other == treatment);
        self.note("treatment delete", treated(Treatment::Delete));
        self.note("treatment detach", treated(Treatment::Detach));
        self.note("treatment block", treated(Treatment::Block));
        self.note("protected user", !rules.protect.is_empty());
        let levels = case.level_rules();
        self.note("level deletes", !levels.delete.is_empty());
        self.note("level restores", !levels.restore.is_empty());
        self.note(
            "level restores to now",
            levels
                .restore
                .iter()
                .any(|(.., reset)| *reset == Reset::Now),
        );
        let refers = |table: usize, column: usize| {
            case.keys
                .iter()
                .any(|key| key.child == table && key.pairs.iter().any(|pair| pair.0 == column))
        };
        self.note(
            "level restores a reference",
            levels.restore.iter().any(|item| refers(item.0, item.1)),
        );
        let both = rules.user_data.restore.iter().any(|one| {
            rules
                .user_sessions
                .restore
                .iter()
                .any(|two| (one.0, one.1) == (two.0, two.1))
        });
        self.note(
            "both levels restore a column",
            both && case.level == Level::UserSessions,
        );
    }

    /// Notes what a reset of the case comes to.
    pub fn outcome(&mut self, case: &Case, outcome: &Outcome) {
        self.note("blocked", matches!(outcome, Outcome::Blocked(_)));
        self.note(
            "refused by the database",
            matches!(outcome, Outcome::Broken(_)),
        );
        self.note("done", matches!(outcome, Outcome::Done(_)));
        let below = case.level != Level::UserCascade;
        self.note(
            "blocked below the cascade",
            below && matches!(outcome, Outcome::Blocked(_)),
        );
    }

    /// Notes what a reset that was done changed.
    pub fn changes(&mut self, case: &Case, done: &Done) {
        let users = |row: &&crate::case::Row| {
            row.table == case.users && done.deleted.contains(case.tag(row))
        };
        self.note("rows go", done.deleted.len() > 1);
        self.note("many rows go", done.deleted.len() > 8);
        self.note("rows are detached", !done.detached.is_empty());
        self.note("rows are restored", !done.restored.is_empty());
        let twice = done
            .restored
            .keys()
            .any(|tag| done.detached.contains_key(tag));
        self.note("a row is restored and detached", twice);
        self.note("rows are shared", !done.shared.is_empty());
        self.note(
            "several users go",
            case.rows.iter().filter(users).count() > 1,
        );
        let to_default = done
            .detached
            .values()
            .flat_map(|cells| cells.values().flatten());
        self.note(
            "a default is restored",
            to_default.clone().any(|cell| *cell != Cell::Null),
        );
        self.note("the database may be unable", done.may_fail.is_some());
    }
}

/// True when the chosen keys tie two tables or more into a cycle.
fn cyclic(case: &Case, chosen: &dyn Fn(usize) -> bool) -> bool {
    (0..case.tables.len()).any(|start| {
        let mut seen = BTreeSet::new();
        let mut queue = vec![start];
        while let Some(table) = queue.pop() {
            for key in (0..case.keys.len())
                .filter(|&id| chosen(id))
                .map(|id| &case.keys[id])
            {
                if key.parent == table && key.child != table {
                    if key.child == start {
                        return true;
                    }
                    if seen.insert(key.child) {
                        queue.push(key.child);
                    }
                }
            }
        }
        false
    })
}
