//! Results for people: each answer of the server as a page of fields and
//! tables. Commands and statements that one may want to copy stand on lines of
//! their own, since a table would break them.

use comfy_table::Table;

use super::page::{Page, Paint, Tone, cell, number, table};
use super::{names, units};
use crate::proto::{
    Advice, ClearCacheResponse, CreateTestUserResponse, GetStatusResponse, Marker, PlanEdge,
    Recipe, ResetLevel, ResetResult, SetPasswordResponse, StatisticsResponse, TableStatistics,
};

/// How many tables `stats` lists unless all are asked for.
const LARGEST: usize = 20;

/// How many users are named; JSON has the rest.
const NAMED_USERS: usize = 5;

/// The head of everything that only tried.
const DRY_RUN: &str = "Dry run: nothing was changed";

/// The result in one sentence, and whether it was only tried.
fn head(page: &mut Page, message: &str, validate_only: bool) {
    if validate_only {
        page.line(Tone::Careful, DRY_RUN);
        page.plain(message);
    } else {
        page.line(Tone::Good, &format!("✅ {message}"));
    }
}

/// How many of the tables `stats` lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tables {
    /// Those with the most rows.
    Largest,
    /// Every one.
    All,
}

/// The state of a target.
pub(super) fn status(status: &GetStatusResponse, paint: Paint) -> String {
    let mut page = Page::new(paint);
    let place = place(&status.target, &status.environment);
    if status.reset_allowed {
        page.line(Tone::Good, &format!("✅ Resets are allowed{place}"));
    } else {
        page.line(Tone::Bad, &format!("⛔ Resets are not allowed{place}"));
    }
    page.gap();
    guards(&mut page, status);
    page.gap();
    page.field("Database", &status.database_address);
    page.field("Version", &status.database_version);
    if let Some(marker) = &status.marker {
        page.field("Marker", &marker_text(marker, status.observed_at));
    }
    page.field("Elsewhere", &elsewhere(status));
    page.field("Test domains", &status.test_domains.join(", "));
    let rows = units::counted(status.max_rows, "row", "rows");
    let bulk = units::counted(status.max_rows_bulk, "row", "rows");
    let budget = format!("{rows} for one user or session\n{bulk} for anything wider");
    page.field("Row budget", &budget);
    let levels: Vec<_> = status
        .levels
        .iter()
        .map(|level| names::level(*level))
        .collect();
    page.field("Levels", &levels.join(", "));
    page.field("Server", &format!("resetd {}", status.version));
    if let Some(time) = status.observed_at {
        page.field("Observed", &units::moment(time));
    }
    page.finish()
}

/// What is there besides the database, a line each.
fn elsewhere(status: &GetStatusResponse) -> String {
    let Some(elsewhere) = &status.elsewhere else {
        return String::new();
    };
    let mut lines = Vec::new();
    if !elsewhere.redis_address.is_empty() {
        let answers = match elsewhere.redis_reachable {
            true => "answers",
            false => "does not answer",
        };
        lines.push(format!("{} {answers}", elsewhere.redis_address));
    }
    for root in &elsewhere.roots {
        let state = match root.marked {
            true => "is marked",
            false => "is not there or not marked",
        };
        lines.push(format!("root {} {state}", root.name));
    }
    let counted = |count, what| {
        let count = units::counted(count, "effect", "effects");
        format!("{count} {what}")
    };
    if elsewhere.pending_effects > 0 {
        lines.push(counted(elsewhere.pending_effects, "pending"));
    }
    if elsewhere.effects_needing_attention > 0 {
        let what = format!("to be looked at: {}", elsewhere.last_error);
        lines.push(counted(elsewhere.effects_needing_attention, &what));
    }
    lines.join("\n")
}

/// " on TARGET (ENVIRONMENT)", of which either may be unknown.
fn place(target: &str, environment: &str) -> String {
    match (target, environment) {
        ("", "") => String::new(),
        ("", environment) => format!(" in {environment}"),
        (target, "") => format!(" on {target}"),
        (target, environment) => format!(" on {target} ({environment})"),
    }
}

fn guards(page: &mut Page, status: &GetStatusResponse) {
    let paint = page.paint();
    let mut rows = table(paint, &["Guard", "Verdict", "What it saw"]);
    for layer in &status.layers {
        let verdict = if layer.allowed {
            paint.cell(Tone::Good, "allows")
        } else {
            let reason = names::guard_reason(layer.reason);
            let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
            paint.cell(Tone::Bad, &format!("refuses{reason}"))
        };
        rows.add_row(vec![cell(&layer.name), verdict, cell(&layer.message)]);
    }
    page.table(&rows);
    for layer in status.layers.iter().filter(|layer| !layer.fix.is_empty()) {
        page.line(Tone::Careful, &format!("To make {} allow it:", layer.name));
        page.plain(&indented(&layer.fix));
    }
}

fn marker_text(marker: &Marker, now: Option<prost_types::Timestamp>) -> String {
    let mut state = names::state(marker.state).into_owned();
    if let Some(expiry) = marker.expires_at {
        let distance = now.map(|now| format!(" ({})", units::distance(now, expiry)));
        let distance = distance.unwrap_or_default();
        state = format!("{state}, expires {}{distance}", units::moment(expiry));
    }
    let mut lines = vec![state];
    match (marker.armed_by.as_str(), marker.armed_at) {
        ("", _) => {}
        (name, None) => lines.push(format!("by {name}")),
        (name, Some(time)) => lines.push(format!("by {name} at {}", units::moment(time))),
    }
    if !marker.id.is_empty() {
        lines.push(format!("id {}", marker.id));
    }
    lines.join("\n")
}

/// A target's statistics.
pub(super) fn statistics(statistics: &StatisticsResponse, tables: Tables, paint: Paint) -> String {
    let mut page = Page::new(paint);
    let users = units::counted(statistics.total_users, "user", "users");
    let tests = units::counted(statistics.test_users, "test user", "test users");
    let rows = units::counted(statistics.total_rows, "row", "rows");
    let environment = place("", &statistics.environment);
    page.line(
        Tone::Strong,
        &format!("{users}, of them {tests}; {rows}{environment}"),
    );
    if !statistics.users.is_empty() {
        let mut types = table(paint, &["User type", "Users", "Active"]);
        for users in &statistics.users {
            types.add_row(vec![
                cell(&users.user_type),
                number(&units::count(users.total)),
                number(&units::count(users.active)),
            ]);
        }
        page.gap();
        page.table(&types);
    }
    sizes(&mut page, &statistics.tables, tables);
    advice(&mut page, &statistics.advice);
    if let Some(duration) = statistics.duration {
        page.gap();
        page.field("Took", &units::duration(duration));
    }
    page.finish()
}

/// The tables, those with the most rows first.
fn sizes(page: &mut Page, statistics: &[TableStatistics], tables: Tables) {
    if statistics.is_empty() {
        return;
    }
    let mut sorted: Vec<_> = statistics.iter().collect();
    sorted.sort_by(|a, b| b.rows.cmp(&a.rows).then_with(|| a.table.cmp(&b.table)));
    let shown = match tables {
        Tables::Largest => LARGEST.min(sorted.len()),
        Tables::All => sorted.len(),
    };
    // Not every database knows the sizes.
    let headings: &[&str] = if sorted.iter().any(|table| table.bytes.is_some()) {
        &["Table", "Rows", "Size"]
    } else {
        &["Table", "Rows"]
    };
    let mut rows = table(page.paint(), headings);
    for table in sorted.iter().take(shown) {
        let about = if table.exact { "" } else { "~" };
        let mut row = vec![
            cell(&table.table),
            number(&format!("{about}{}", units::count(table.rows))),
        ];
        row.extend(table.bytes.map(|bytes| number(&units::bytes(bytes))));
        rows.add_row(row);
    }
    page.gap();
    page.table(&rows);
    if shown < sorted.len() {
        let all = sorted.len();
        page.line(
            Tone::Faint,
            &format!("the {shown} largest of {all} tables; --all lists every one"),
        );
    }
    if sorted.iter().take(shown).any(|table| !table.exact) {
        page.line(
            Tone::Faint,
            "~ is the database's estimate; --exact counts every row",
        );
    }
}

fn advice(page: &mut Page, advice: &[Advice]) {
    if advice.is_empty() {
        return;
    }
    page.gap();
    page.line(Tone::Careful, "⚠ Read from end to end for want of an index");
    for advice in advice {
        let rows = units::counted(advice.rows, "row", "rows");
        let gain = advice.gain.map(units::duration).unwrap_or_default();
        page.plain(&format!("  {} ({rows}): about {gain}", advice.subject));
        page.plain(&indented(&indented(&advice.reason)));
        if !advice.statement.is_empty() {
            page.plain(&indented(&indented(&advice.statement)));
        }
    }
}

/// What went outside the database; empty when that was nothing.
fn effects(result: &ResetResult) -> String {
    let counts = result.effects.unwrap_or_default();
    let parts = [
        (counts.redis_keys, "Redis key", "Redis keys"),
        (counts.files, "file", "files"),
        (counts.directories, "directory", "directories"),
        (
            counts.pending,
            "effect still pending",
            "effects still pending",
        ),
    ];
    let told: Vec<String> = parts
        .into_iter()
        .filter(|(count, ..)| *count > 0)
        .map(|(count, one, many)| units::counted(count, one, many))
        .collect();
    told.join(", ")
}

/// What an operation did, or would do.
pub(super) fn reset(result: &ResetResult, paint: Paint) -> String {
    let mut page = Page::new(paint);
    head(&mut page, &result.message, result.validate_only);
    // The longest part comes first: what a terminal shows last is the result.
    if !result.plan.is_empty() {
        page.gap();
        page.line(Tone::Strong, "The plan, reference by reference");
        page.table(&plan(&result.plan, paint));
    }
    advice(&mut page, &result.advice);
    if !result.tables.is_empty() {
        page.gap();
        page.table(&counts(result, paint));
    }
    if !result.warnings.is_empty() {
        page.gap();
    }
    for warning in &result.warnings {
        page.line(Tone::Careful, &format!("⚠ {warning}"));
    }
    for error in &result.errors {
        page.line(Tone::Careful, &format!("⚠ {error}"));
    }
    page.gap();
    // A recipe has no level, and its users are counted by its own names.
    let has_level = result.level != i32::from(ResetLevel::Unspecified);
    if has_level {
        page.field("Level", &names::level(result.level));
    }
    page.field("Session", result.test_session_id.as_deref().unwrap_or(""));
    // A full reset names nobody: it takes all that are not kept.
    if has_level && result.level != i32::from(ResetLevel::FullReset) {
        page.field("Users", &users(result));
    }
    page.field("Rows", &units::count(result.total_rows));
    page.field("Elsewhere", &effects(result));
    let public = result
        .public_counts
        .iter()
        .map(|public| format!("{}: {}", public.name, units::count(public.count)));
    page.field("Counts", &public.collect::<Vec<_>>().join("\n"));
    let shared = result.shared.iter().map(|shared| {
        let rows = units::counted(shared.rows, "row", "rows");
        format!("{}: {rows} also referred to others", shared.table)
    });
    page.field("Shared", &shared.collect::<Vec<_>>().join("\n"));
    let strategy = result.strategy.iter();
    let strategy = strategy.map(|way| {
        let about = way.predicted.map(units::duration);
        let about = about.map_or_else(String::new, |time| format!(", about {time}"));
        format!("{}{about}\n{}", way.name, way.reason)
    });
    page.field("Strategy", &strategy.collect::<String>());
    page.field("Next steps", &result.next_steps.join("\n"));
    page.field("Plan token", &result.plan_token);
    if let Some(duration) = result.duration {
        page.field("Took", &units::duration(duration));
    }
    origin(
        &mut page,
        &result.operation_id,
        &result.actor,
        &result.environment,
    );
    page.finish()
}

fn origin(page: &mut Page, operation: &str, actor: &str, environment: &str) {
    page.field("Operation", operation);
    page.field("Actor", actor);
    page.field("Environment", environment);
}

fn counts(result: &ResetResult, paint: Paint) -> Table {
    let mut rows = table(paint, &["Table", "Deleted", "Restored", "Detached"]);
    let zero_is_faint = |count: i64| match count {
        0 => paint
            .cell(Tone::Faint, "0")
            .set_alignment(comfy_table::CellAlignment::Right),
        count => number(&units::count(count)),
    };
    let (mut deleted, mut restored, mut detached) = (0_i64, 0_i64, 0_i64);
    for counts in &result.tables {
        deleted = deleted.saturating_add(counts.deleted);
        restored = restored.saturating_add(counts.restored);
        detached = detached.saturating_add(counts.detached);
        rows.add_row(vec![
            cell(&counts.table),
            zero_is_faint(counts.deleted),
            zero_is_faint(counts.restored),
            zero_is_faint(counts.detached),
        ]);
    }
    if result.tables.len() > 1 {
        rows.add_row(vec![
            paint.cell(Tone::Strong, "Total"),
            zero_is_faint(deleted),
            zero_is_faint(restored),
            zero_is_faint(detached),
        ]);
    }
    rows
}

fn plan(edges: &[PlanEdge], paint: Paint) -> Table {
    let mut rows = table(paint, &["Reference", "Choice", "Rule", "Why"]);
    for edge in edges {
        let rule = match edge.rule {
            0 => "not followed".to_owned(),
            1 => "1 policy".to_owned(),
            2 => "2 database".to_owned(),
            3 => "3 required".to_owned(),
            4 => "4 optional".to_owned(),
            newer => newer.to_string(),
        };
        rows.add_row(vec![
            cell(&edge.reference),
            cell(&names::choice(edge.choice).replace('_', " ")),
            cell(&rule),
            cell(&edge.reason),
        ]);
    }
    rows
}

/// The first users in scope, and how many more there are.
fn users(result: &ResetResult) -> String {
    if result.affected_user_count == 0 {
        return "none".to_owned();
    }
    let named = result.affected_users.iter().take(NAMED_USERS);
    let mut lines: Vec<String> = named
        .map(|user| match user.email.as_str() {
            "" => format!("id {}", user.id),
            email => format!("{email} (id {})", user.id),
        })
        .collect();
    let more = usize::try_from(result.affected_user_count)
        .unwrap_or(usize::MAX)
        .saturating_sub(lines.len());
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    lines.join("\n")
}

/// A password that was set.
pub(super) fn password(answer: &SetPasswordResponse, paint: Paint) -> String {
    let mut page = Page::new(paint);
    let result = answer.result.clone().unwrap_or_default();
    head(&mut page, &answer.message, result.validate_only);
    if !result.tables.is_empty() {
        page.gap();
        page.table(&counts(&result, paint));
    }
    page.gap();
    page.field("Hash", &format!("{}…", answer.hash_prefix));
    page.field("Elsewhere", &effects(&result));
    if let Some(duration) = result.duration {
        page.field("Took", &units::duration(duration));
    }
    origin(
        &mut page,
        &result.operation_id,
        &result.actor,
        &result.environment,
    );
    page.finish()
}

/// A cleared cache.
pub(super) fn cache(answer: &ClearCacheResponse, paint: Paint) -> String {
    let mut page = Page::new(paint);
    head(&mut page, &answer.message, answer.validate_only);
    let mut rows = table(paint, &["Pattern", "Keys"]);
    for keys in &answer.keys {
        rows.add_row(vec![cell(&keys.name), number(&units::count(keys.count))]);
    }
    page.gap();
    page.table(&rows);
    page.gap();
    if let Some(duration) = answer.duration {
        page.field("Took", &units::duration(duration));
    }
    origin(
        &mut page,
        &answer.operation_id,
        &answer.actor,
        &answer.environment,
    );
    page.finish()
}

/// The recipes of a policy.
pub(super) fn recipes(recipes: &[Recipe], paint: Paint) -> String {
    let mut page = Page::new(paint);
    if recipes.is_empty() {
        page.plain("The policy of this target has no recipes.");
        return page.finish();
    }
    let mut rows = table(paint, &["Recipe", "What it does", "Confirmation", "Role"]);
    for recipe in recipes {
        rows.add_row(vec![
            cell(&recipe.name),
            cell(&recipe.title),
            cell(&recipe.confirmation),
            cell(&recipe.minimum_role),
        ]);
    }
    page.table(&rows);
    page.finish()
}

/// A created user.
pub(super) fn created(created: &CreateTestUserResponse, paint: Paint) -> String {
    let mut page = Page::new(paint);
    head(&mut page, &created.message, created.validate_only);
    if let Some(user) = &created.user {
        let mut rows = table(paint, &["Column", "Value"]);
        let mut columns: Vec<_> = user.columns.iter().collect();
        columns.sort();
        let known = [
            ("id", &user.id),
            ("e-mail", &user.email),
            ("type", &user.user_type),
        ];
        for (name, value) in known.into_iter().filter(|(_, value)| !value.is_empty()) {
            rows.add_row(vec![paint.cell(Tone::Strong, name), cell(value)]);
        }
        for (name, value) in columns {
            rows.add_row(vec![cell(name), cell(value)]);
        }
        page.gap();
        page.table(&rows);
    }
    page.gap();
    if let Some(duration) = created.duration {
        page.field("Took", &units::duration(duration));
    }
    origin(
        &mut page,
        &created.operation_id,
        &created.actor,
        &created.environment,
    );
    page.finish()
}

fn indented(text: &str) -> String {
    format!("  {}", text.replace('\n', "\n  "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::PublicCount;

    #[test]
    fn the_largest_tables_come_first_and_the_rest_on_request() {
        let answer = StatisticsResponse {
            tables: (0..25)
                .map(|rows| TableStatistics {
                    table: format!("table_{rows}"),
                    rows,
                    exact: true,
                    bytes: None,
                })
                .collect(),
            ..StatisticsResponse::default()
        };
        let largest = statistics(&answer, Tables::Largest, Paint::Plain);
        let place = |name: &str| largest.find(&format!(" {name} "));
        assert!(place("table_24") < place("table_23"), "{largest}");
        assert_eq!(place("table_4"), None);
        assert!(largest.contains("--all"));
        let all = statistics(&answer, Tables::All, Paint::Plain);
        assert!(all.contains(" table_4 ") && !all.contains("--all"), "{all}");
    }

    #[test]
    fn a_cleanup_tells_session_and_counts() {
        let count = |name: &str, count| PublicCount {
            name: name.to_owned(),
            count,
        };
        let result = ResetResult {
            public_counts: vec![count("users", 1_200), count("files", 0)],
            test_session_id: Some("session_1".to_owned()),
            ..ResetResult::default()
        };
        let text = reset(&result, Paint::Plain);
        assert!(text.contains("Session        session_1\n"), "{text}");
        let counts = "Counts         users: 1,200\n               files: 0\n";
        assert!(text.contains(counts), "{text}");
    }

    #[test]
    fn a_full_reset_names_no_users() {
        let of = |level: ResetLevel| {
            let result = ResetResult {
                level: level.into(),
                ..ResetResult::default()
            };
            reset(&result, Paint::Plain)
        };
        assert!(of(ResetLevel::AllTestData).contains("Users          none\n"));
        assert!(!of(ResetLevel::FullReset).contains("Users"));
    }

    #[test]
    fn a_dry_run_says_so_first() {
        let result = ResetResult {
            validate_only: true,
            ..ResetResult::default()
        };
        let text = reset(&result, Paint::Plain);
        assert!(text.starts_with("Dry run: nothing was changed\n"), "{text}");
        let created = created(
            &CreateTestUserResponse {
                validate_only: true,
                ..CreateTestUserResponse::default()
            },
            Paint::Plain,
        );
        assert!(created.starts_with("Dry run: nothing was changed\n"));
        assert!(!reset(&ResetResult::default(), Paint::Plain).contains("Dry run"));
    }
}
