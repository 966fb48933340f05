//! Planner cases as data: each file in `cases/` holds a schema, a policy and
//! a scope, and the plan that must follow. `UPDATE_PLANS=1` writes the plans
//! anew, for reading the difference.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::{fmt::Write as _, fs, path::Path, sync::Arc};

use resetd::{
    guard::Setting,
    operation::Level,
    plan::{self, Fate, Model, Plan, Role, Scope, Step, Whence},
    policy::Policy,
    target::{Credentials, Target},
};

const CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/plan/cases");

/// A case: its sections, by their headings.
struct Case {
    schema: String,
    policy: String,
    scope: String,
    plan: String,
}

impl Case {
    fn read(text: &str) -> Self {
        let section = |name: &str| {
            let start = format!("---- {name}\n");
            let (_, rest) = text.split_once(&start).unwrap_or_default();
            let (text, _) = rest.split_once("---- ").unwrap_or((rest, ""));
            text.trim().to_owned()
        };
        Self {
            schema: section("schema"),
            policy: section("policy"),
            scope: section("scope"),
            plan: section("plan"),
        }
    }

    fn write(&self, plan: &str) -> String {
        format!(
            "---- schema\n{}\n---- policy\n{}\n---- scope\n{}\n---- plan\n{plan}\n",
            self.schema, self.policy, self.scope
        )
    }

    fn scope(&self) -> Scope {
        match self.scope.as_str() {
            "user_data" => Scope::User(Level::UserData),
            "user_sessions" => Scope::User(Level::UserSessions),
            "user_cascade" => Scope::User(Level::UserCascade),
            "marked" => Scope::Marked,
            "everything" => Scope::Everything,
            other => panic!("{other} is no scope"),
        }
    }
}

/// The model, or the problems in words.
async fn model(case: &Case) -> Result<Arc<Model>, String> {
    let folder = tempfile::tempdir().unwrap();
    let credentials = Credentials::Sqlite {
        path: folder.path().join("case.db"),
        create: true,
    };
    let policy = Policy::parse(&case.policy).map_err(|error| error.to_string())?;
    let target = Target::new(Setting::default(), policy, credentials);
    target.load(&[&case.schema]).await.unwrap();
    let model = target.model().await.map_err(|error| error.to_string());
    target.close().await;
    model
}

fn told(plan: &Plan) -> String {
    let schema = plan.schema();
    let mut text = String::new();
    for edge in plan.edges() {
        let fate = match edge.choice.fate {
            Fate::Delete => "delete",
            Fate::Detach => "detach",
            Fate::RestoreDefault => "default",
            Fate::Block => "block",
        };
        let reference = schema.describe(edge.foreign_key);
        writeln!(
            text,
            "edge  {fate:<7} {reference} | {} {}",
            edge.choice.rule, edge.choice.reason
        )
        .unwrap();
    }
    for group in plan.groups() {
        for &id in &group.sets {
            let set = plan.set(id);
            let role = match set.role {
                Role::Owned => "owned",
                Role::Doomed => "doomed",
                Role::Kept => "kept",
            };
            let mut ways: Vec<String> = set
                .paths
                .iter()
                .map(|path| {
                    let reference = schema.describe(path.foreign_key);
                    match path.from {
                        Whence::Parents(_) => reference,
                        Whence::Children(_) => format!("up {reference}"),
                        Whence::AllChildren => format!("up all {reference}"),
                    }
                })
                .collect();
            if set.is_root {
                ways.insert(0, "root".to_owned());
            }
            let name = &schema.table(set.table).name;
            let again = if group.recursive { " (recursive)" } else { "" };
            writeln!(text, "find  {role} {name}{again}: {}", ways.join(" + ")).unwrap();
        }
    }
    for check in plan.checks() {
        writeln!(text, "check {}", schema.describe(check.foreign_key)).unwrap();
    }
    for share in plan.shares() {
        let name = &schema.table(plan.set(share.set).table).name;
        let list: Vec<String> = share
            .references
            .iter()
            .map(|r| schema.describe(r.0))
            .collect();
        writeln!(text, "share {name}: {}", list.join(" + ")).unwrap();
    }
    for step in plan.steps() {
        let note = match step {
            Step::Delete(step) if step.cyclic => " (cyclic)",
            Step::Wipe(step) if step.cyclic => " (cyclic)",
            _ => "",
        };
        writeln!(text, "step  {}{note}", plan.title(step)).unwrap();
    }
    text.trim_end().to_owned()
}

#[tokio::test]
async fn every_case_has_the_plan_that_is_written_there() {
    let mut files: Vec<_> = fs::read_dir(CASES)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "txt"))
        .collect();
    files.sort();
    let mut wrong = Vec::new();
    for path in &files {
        let text = fs::read_to_string(path).unwrap();
        let case = Case::read(&text);
        let plan = match model(&case).await {
            Err(problems) => format!("refused: {problems}"),
            Ok(model) => {
                let plan = plan::build(&model, case.scope()).unwrap();
                let again = plan::build(&model, case.scope()).unwrap();
                assert_eq!(
                    format!("{plan:?}"),
                    format!("{again:?}"),
                    "{}",
                    path.display()
                );
                told(&plan)
            }
        };
        if std::env::var_os("UPDATE_PLANS").is_some() {
            fs::write(path, case.write(&plan)).unwrap();
        } else if plan != case.plan {
            let name = Path::new(path.file_name().unwrap()).display();
            wrong.push(format!(
                "{name}\n--- expected\n{}\n--- found\n{plan}\n",
                case.plan
            ));
        }
    }
    println!("plan: {} cases", files.len());
    assert!(files.len() >= 14, "cases are missing");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
