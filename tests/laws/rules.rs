//! Random policies for a case, and how a policy with a problem is mended.

use resetd::operation::Level;

use crate::{
    case::{Case, Cell, LevelRules, Reset, Treatment},
    fates::{Problem, clearable, problems},
    source::Source,
};

/// How often a policy is mended before the case is given up.
const MENDINGS: usize = 12;

/// Cases whose rules have problems, and which.
pub type Refused = Vec<(Case, Vec<Problem>)>;

/// The case with rules, and the problem cases on the way to them, each with
/// what is wrong; nothing when the rules could not be mended.
pub fn choose(source: &mut Source, mut case: Case) -> Option<(Case, Refused)> {
    case.level = *source.pick(&[
        Level::UserCascade,
        Level::UserSessions,
        Level::UserData,
        Level::UserCascade,
        Level::UserSessions,
    ]);
    add_rules(source, &mut case);
    let mut refused = Vec::new();
    for _ in 0..MENDINGS {
        let found = problems(&case);
        if found.is_empty() {
            return Some((case, refused));
        }
        refused.push((case.clone(), found.clone()));
        for problem in found {
            mend(source, &mut case, problem);
        }
    }
    None
}

fn add_rules(source: &mut Source, case: &mut Case) {
    let tables = case.tables.len();
    if source.chance(25) {
        let kept = source.below(tables);
        if kept != case.users || source.chance(10) {
            case.rules.keep.push(kept);
        }
    }
    for key in case.keys.clone() {
        if source.chance(18) {
            let column = source.pick(&key.pairs).0;
            let treatment = *source.pick(&[Treatment::Detach, Treatment::Delete, Treatment::Block]);
            case.rules
                .treatments
                .insert(case.place(key.child, column), treatment);
        }
    }
    case.rules.user_data = level(source, case, 30);
    case.rules.user_sessions = level(source, case, 80);
    if source.chance(35) {
        add_meeting(source, case);
    }
    if source.chance(15) {
        let users: Vec<_> = case
            .rows
            .iter()
            .filter(|row| row.table == case.users)
            .collect();
        let user = *source.pick(&users);
        let column = if source.chance(50) {
            case.email
        } else {
            case.user_key
        };
        case.rules
            .protect
            .extend(Some(user.cells[column].text()).filter(|name| !name.is_empty()));
    }
}

/// Lets the sessions' level restore a table and delete one that it mentions,
/// so that one row can lose a reference and be restored.
fn add_meeting(source: &mut Source, case: &mut Case) {
    let mentions: Vec<(usize, usize)> = (0..case.keys.len())
        .filter(|&id| !clearable(case, id).is_empty())
        .map(|id| (case.keys[id].child, case.keys[id].parent))
        .filter(|&(_, parent)| parent != case.users)
        .collect();
    if mentions.is_empty() {
        return;
    }
    let (child, parent) = *source.pick(&mentions);
    let points = case.tables[child].columns.len() - 4;
    let rules = &mut case.rules.user_sessions;
    if !rules.delete.contains(&parent) {
        rules.delete.push(parent);
    }
    if rules
        .restore
        .iter()
        .all(|item| (item.0, item.1) != (child, points))
    {
        rules
            .restore
            .push((child, points, Reset::Cell(Cell::Integer(7))));
    }
}

fn level(source: &mut Source, case: &Case, percent: usize) -> LevelRules {
    let mut rules = LevelRules::default();
    while rules.delete.len() < 3 && source.chance(percent) {
        let table = relative(source, case);
        if (table != case.users || source.chance(5)) && !rules.delete.contains(&table) {
            rules.delete.push(table);
        }
    }
    for _ in 0..source.below(3) {
        let table = if source.chance(50) {
            relative(source, case)
        } else {
            case.users
        };
        let column = restorable(source, case, table);
        let is_new = rules
            .restore
            .iter()
            .all(|item| (item.0, item.1) != (table, column));
        if is_new {
            let value = value(source, case, table, column);
            rules.restore.push((table, column, value));
        }
    }
    rules
}

/// A table, more likely one that refers to the users.
fn relative(source: &mut Source, case: &Case) -> usize {
    let children: Vec<usize> = case
        .keys
        .iter()
        .filter(|key| key.parent == case.users)
        .map(|key| key.child)
        .collect();
    if !children.is_empty() && source.chance(70) {
        return *source.pick(&children);
    }
    source.below(case.tables.len())
}

/// A column that a level may set back: one without a meaning for references,
/// or an optional reference.
fn restorable(source: &mut Source, case: &Case, table: usize) -> usize {
    let declared = &case.tables[table];
    let plain = declared.columns.len() - 4;
    let references: Vec<usize> = case
        .keys
        .iter()
        .filter(|key| key.child == table)
        .flat_map(|key| key.pairs.iter().map(|pair| pair.0))
        .filter(|&c| !declared.is_key(c) && declared.columns[c].nullable)
        .filter(|&c| declared.columns[c].generated.is_none())
        .collect();
    match references.is_empty() || !source.chance(30) {
        true => plain + source.below(3),
        false => *source.pick(&references),
    }
}

fn value(source: &mut Source, case: &Case, table: usize, column: usize) -> Reset {
    let text = |text: &str| Reset::Cell(Cell::Text(text.to_owned()));
    match case.tables[table].columns[column].name.as_str() {
        "points" | "loose" => source
            .pick(&[
                Reset::Cell(Cell::Integer(0)),
                Reset::Cell(Cell::Null),
                Reset::Boolean(true),
                Reset::Boolean(false),
                Reset::Now,
            ])
            .clone(),
        "the \"state\"" => source
            .pick(&[
                text("new"),
                Reset::Cell(Cell::Integer(0)),
                text("it's"),
                Reset::Now,
            ])
            .clone(),
        _ => Reset::Cell(Cell::Null),
    }
}

fn mend(source: &mut Source, case: &mut Case, problem: Problem) {
    match problem {
        Problem::Ambiguous { ways, .. } => {
            let key = case.keys[*source.pick(&ways)].clone();
            let place = case.place(key.child, key.pairs[0].0);
            case.rules.treatments.insert(place, Treatment::Delete);
        }
        Problem::NotDetachable { name } => {
            case.rules.treatments.remove(&name);
        }
        Problem::KeepsUsers => {
            let users = case.users;
            case.rules.keep.retain(|&table| table != users);
        }
        Problem::Level { table } => {
            for rules in [&mut case.rules.user_data, &mut case.rules.user_sessions] {
                rules.delete.retain(|&named| named != table);
                // Of the users only their deletion can be a problem.
                rules
                    .restore
                    .retain(|item| item.0 != table || table == case.users);
            }
        }
    }
}
