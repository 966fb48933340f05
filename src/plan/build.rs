//! Builds a [`Plan`]: which row sets the scope has, and the steps that change
//! them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    Ambiguity, Check, Choice, Cleared, Delete, Detach, Detachment, Edge, Fate, Group, Model, Parts,
    Path, Plan, Reach, Restore, Role, RowSet, Scope, SetId, Share, Step, Whence, everything,
    model::LevelRules,
    problem::Problem,
    reach,
    recipe::{self, Recipe},
};
use crate::{
    operation::Level,
    schema::{
        ColumnId, ForeignKey, ForeignKeyId, Locator, Origin, ReferentialAction, Schema, TableId,
        graph,
    },
};

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The rules cannot decide and the policy does not.
    #[error("{0}")]
    Undecided(Problem),
    /// A table that the scope reaches cannot be reset.
    #[error("{table} cannot be reset: {obstacle}")]
    Obstacle {
        /// The table.
        table: String,
        /// What stands in the way.
        obstacle: String,
    },
    /// A recipe would change what it preserves, or what is kept.
    #[error("recipe {recipe} would change {table}, which it has to leave alone, {why}")]
    Preserved {
        /// The recipe.
        recipe: String,
        /// The table.
        table: String,
        /// How it gets there.
        why: String,
    },
}

/// Plans the reset of a scope.
///
/// # Errors
///
/// When the policy leaves a reference undecided, or a table in the scope has
/// an obstacle such as row-level security that hides rows.
pub fn build(model: &Arc<Model>, scope: Scope) -> Result<Plan, Error> {
    let users = model.users().table;
    let (breadth, roots) = match &scope {
        Scope::User(level) | Scope::TestUsers(level) => (
            match level {
                Level::UserCascade => Breadth::Reach,
                Level::UserData | Level::UserSessions => {
                    Breadth::Below(*level, model.level(*level))
                }
            },
            BTreeSet::from([users]),
        ),
        Scope::Sessions => (
            Breadth::Below(Level::UserSessions, model.sessions()),
            BTreeSet::from([users]),
        ),
        Scope::Marked => (
            Breadth::Reach,
            model.marked().map(|root| root.table).collect(),
        ),
        Scope::Orphans => (Breadth::Reach, model.orphans().keys().copied().collect()),
        Scope::Recipe(name) => {
            let recipe = model.recipe(name).cloned().unwrap_or_default();
            let roots = recipe.delete.keys().copied().collect();
            (Breadth::Recipe(recipe), roots)
        }
        Scope::Everything => {
            let plan = everything::build(model);
            obstacles(&plan)?;
            return Ok(plan);
        }
    };
    let reach = owners(model, &roots).map_err(|ambiguities| {
        let text = ambiguities
            .iter()
            .map(|a| Problem::ambiguous(model.schema(), a).to_string())
            .collect::<Vec<_>>()
            .join("; ");
        Error::Undecided(Problem::new(text))
    })?;
    let mut builder = Builder::new(model, reach, breadth, roots);
    builder.add_sets();
    builder.add_paths();
    builder.add_steps();
    let plan = builder.finish(scope);
    if let Scope::Recipe(name) = plan.scope() {
        recipe::preserves(model, name, &plan)?;
    }
    obstacles(&plan)?;
    Ok(plan)
}

/// Who owns what is the same for every scope: it is decided from the users,
/// whether they are in scope or not. Only roots that no way leads to from the
/// users begin a graph of their own.
fn owners(model: &Model, roots: &BTreeSet<TableId>) -> Result<Reach, Vec<Ambiguity>> {
    let users = BTreeSet::from([model.users().table]);
    let reached = reach(model, &users)?;
    let apart: BTreeSet<TableId> = roots.difference(&reached.tables).copied().collect();
    if apart.is_empty() {
        return Ok(reached);
    }
    reach(model, &users.union(&apart).copied().collect())
}

/// Refuses a plan over tables that cannot be reset as planned.
fn obstacles(plan: &Plan) -> Result<(), Error> {
    for table in plan.changed_tables() {
        let table = plan.schema().table(table);
        if let Some(obstacle) = &table.obstacle {
            return Err(Error::Obstacle {
                table: table.name.to_string(),
                obstacle: obstacle.clone(),
            });
        }
    }
    for (_, set) in plan.sets() {
        let table = plan.schema().table(set.table);
        if table.locator == Locator::Columns(Vec::new()) {
            return Err(Error::Obstacle {
                table: table.name.to_string(),
                obstacle: "it has no primary key or the like, and the database has nothing else \
                           to tell its rows apart by"
                    .to_owned(),
            });
        }
    }
    Ok(())
}

/// Which tables a scope takes rows of.
enum Breadth {
    /// Whatever the references reach.
    Reach,
    /// Only what a level below the cascade names.
    Below(Level, LevelRules),
    /// What a recipe names, and what refers to that.
    Recipe(Recipe),
}

struct Builder<'a> {
    model: &'a Arc<Model>,
    schema: &'a Schema,
    reach: Reach,
    breadth: Breadth,
    roots: BTreeSet<TableId>,
    rules: LevelRules,
    sets: Vec<RowSet>,
    ids: BTreeMap<(Role, TableId), SetId>,
    checks: Vec<Check>,
    steps: Vec<Step>,
    edges: Vec<Edge>,
}

impl<'a> Builder<'a> {
    fn new(
        model: &'a Arc<Model>,
        reach: Reach,
        breadth: Breadth,
        roots: BTreeSet<TableId>,
    ) -> Self {
        let rules = match &breadth {
            Breadth::Reach => LevelRules::default(),
            Breadth::Below(_, rules) => rules.clone(),
            Breadth::Recipe(recipe) => LevelRules {
                delete: recipe.delete.keys().copied().collect(),
                restore: recipe.restore.restore.clone(),
            },
        };
        Self {
            model,
            schema: model.schema(),
            reach,
            breadth,
            roots,
            rules,
            sets: Vec::new(),
            ids: BTreeMap::new(),
            checks: Vec::new(),
            steps: Vec::new(),
            edges: Vec::new(),
        }
    }

    /// The set of a table's rows in a role, made when it is not there yet.
    fn set(&mut self, role: Role, table: TableId) -> SetId {
        let next = SetId(self.sets.len());
        let id = *self.ids.entry((role, table)).or_insert(next);
        if id == next {
            self.sets.push(RowSet {
                table,
                role,
                is_root: false,
                paths: Vec::new(),
                columns: Vec::new(),
            });
        }
        id
    }

    fn doomed(&self, table: TableId) -> Option<SetId> {
        self.ids.get(&(Role::Doomed, table)).copied()
    }

    /// The rows of a table that are the scope's own, whether they go or stay.
    fn in_scope(&self, table: TableId) -> Option<SetId> {
        let owned = self.ids.get(&(Role::Owned, table)).copied();
        owned.or_else(|| self.doomed(table))
    }

    /// What a reference does at this level. Below the cascade only the tables
    /// that the level lists go, and what the policy or the database itself
    /// declares to go with them; whatever else refers to them blocks. An
    /// account never goes there.
    fn choice(&self, id: ForeignKeyId) -> Choice {
        let choice = self.reach.choices[&id].clone();
        let child = self.schema.foreign_key(id).child;
        let Breadth::Below(level, _) = &self.breadth else {
            return choice;
        };
        let within = child != self.model.users().table
            && (self.rules.delete.contains(&child) || choice.rule <= 2);
        if choice.fate == Fate::Delete && !within {
            return Choice {
                fate: Fate::Block,
                rule: 0,
                reason: format!("level {level} does not reach the table"),
            };
        }
        choice
    }

    /// The references along which rows go, as (parent, child).
    fn followed(&self) -> Vec<(ForeignKeyId, TableId, TableId)> {
        self.reach
            .choices
            .iter()
            .filter(|(_, choice)| choice.fate == Fate::Delete)
            .map(|(&id, _)| {
                let key = self.schema.foreign_key(id);
                (id, key.parent, key.child)
            })
            .collect()
    }

    fn add_sets(&mut self) {
        let named = match &self.breadth {
            Breadth::Reach => self.reach.tables.clone(),
            Breadth::Below(..) | Breadth::Recipe(_) => self.rules.delete.clone(),
        };
        for table in named {
            self.set(Role::Doomed, table);
        }
        match &self.breadth {
            Breadth::Reach => {}
            Breadth::Below(..) => {
                self.add_dependents();
                for table in self.ancestors() {
                    self.set(Role::Owned, table);
                }
            }
            Breadth::Recipe(recipe) => {
                let mut owned: BTreeSet<TableId> = self.rules.restore.keys().copied().collect();
                if recipe.takes_values_of_users() {
                    owned.insert(self.model.users().table);
                }
                self.add_dependents();
                for table in owned {
                    self.set(Role::Owned, table);
                }
            }
        }
        for set in &mut self.sets {
            // What a recipe sets back, it sets back in every row of the table.
            let is_whole = matches!(self.breadth, Breadth::Recipe(_)) && set.role == Role::Owned;
            set.is_root = self.roots.contains(&set.table) || is_whole;
        }
    }

    /// The tables on any way from the users to a table that the level names,
    /// or that rows which go refer to: only who owns those tells whether
    /// others have a share in the rows.
    fn ancestors(&self) -> BTreeSet<TableId> {
        let followed = self.followed();
        let named = self.rules.delete.iter().chain(self.rules.restore.keys());
        let references = self.reach.choices.keys();
        let referred = references
            .map(|&id| self.schema.foreign_key(id))
            .filter(|key| self.doomed(key.child).is_some())
            .map(|key| key.parent);
        let mut found: BTreeSet<TableId> = named.copied().chain(referred).collect();
        found.insert(self.model.users().table);
        let mut frontier: Vec<TableId> = found.iter().copied().collect();
        while let Some(table) = frontier.pop() {
            for &(_, parent, _) in followed.iter().filter(|(_, _, child)| *child == table) {
                if found.insert(parent) {
                    frontier.push(parent);
                }
            }
        }
        found
    }

    /// What goes with the rows that a level deletes.
    fn add_dependents(&mut self) {
        let mut frontier: Vec<TableId> = self.rules.delete.iter().copied().collect();
        while let Some(parent) = frontier.pop() {
            for (id, from, child) in self.followed() {
                if from == parent
                    && self.doomed(child).is_none()
                    && self.choice(id).fate == Fate::Delete
                {
                    self.set(Role::Doomed, child);
                    frontier.push(child);
                }
            }
        }
    }

    /// Connects the sets along the references that are followed.
    fn add_paths(&mut self) {
        let users = self.model.users().table;
        // What a recipe names, it says itself which rows of.
        let by_owner = !matches!(self.breadth, Breadth::Recipe(_));
        for (foreign_key, parent, child) in self.followed() {
            let goes = self.choice(foreign_key).fate == Fate::Delete;
            let links = [
                // Where accounts stay, a user owns no other user, and so none
                // of what is theirs.
                (Role::Owned, Role::Owned, by_owner && child != users),
                (
                    Role::Owned,
                    Role::Doomed,
                    by_owner && self.rules.delete.contains(&child),
                ),
                (Role::Doomed, Role::Doomed, goes),
            ];
            for (from, to, follows) in links {
                let from = self.ids.get(&(from, parent)).copied();
                let to = self.ids.get(&(to, child)).copied();
                if let (Some(from), Some(to), true) = (from, to, follows) {
                    let from = Whence::Parents(from);
                    self.sets[to.0].paths.push(Path { foreign_key, from });
                }
            }
        }
        let references: Vec<_> = self
            .reach
            .choices
            .keys()
            .map(|&id| self.schema.foreign_key(id))
            .collect();
        for set in &mut self.sets {
            let parents = references.iter().filter(|key| key.parent == set.table);
            let columns: BTreeSet<ColumnId> = parents
                .flat_map(|key| key.columns.iter().map(|pair| pair.parent))
                .collect();
            set.columns = columns.into_iter().collect();
        }
    }

    /// Restores, then detaches, then deletes children first.
    fn add_steps(&mut self) {
        for (table, values) in self.rules.restore.clone() {
            let set = self.set(Role::Owned, table);
            self.steps.push(Step::Restore(Restore {
                set,
                values,
                except: self.doomed(table),
            }));
        }
        let mut detached: BTreeMap<TableId, Vec<Detachment>> = BTreeMap::new();
        for id in self.reach.choices.keys().copied().collect::<Vec<_>>() {
            let key = self.schema.foreign_key(id);
            let Some(from) = self.doomed(key.parent) else {
                continue;
            };
            let choice = self.choice(id);
            if let Some(detachment) = self.detachment(id, from, choice.fate) {
                detached.entry(key.child).or_default().push(detachment);
            }
            if choice.fate == Fate::Block {
                self.checks.push(Check {
                    foreign_key: id,
                    from,
                    except: self.doomed(key.child),
                });
            }
            self.edges.push(Edge {
                foreign_key: id,
                choice,
            });
        }
        for (table, references) in detached {
            self.steps.push(Step::Detach(Detach {
                table,
                references,
                except: self.doomed(table),
            }));
        }
        self.add_deletes();
    }

    fn detachment(&self, id: ForeignKeyId, from: SetId, fate: Fate) -> Option<Detachment> {
        let (columns, to) = match fate {
            Fate::Detach => (self.schema.detachable(id), Cleared::Null),
            Fate::RestoreDefault => {
                let columns = self.schema.foreign_key(id).child_columns().collect();
                (columns, Cleared::Default)
            }
            Fate::Delete | Fate::Block => return None,
        };
        Some(Detachment {
            foreign_key: id,
            from,
            columns,
            to,
        })
    }

    /// Deletes in an order that every foreign key agrees with, mentions
    /// included; what no order satisfies is deleted together.
    fn add_deletes(&mut self) {
        let tables: BTreeSet<TableId> = self
            .ids
            .keys()
            .filter(|(role, _)| *role == Role::Doomed)
            .map(|&(_, table)| table)
            .collect();
        let edges: Vec<(TableId, TableId)> = self
            .schema
            .foreign_keys()
            .filter(|(_, key)| key.parent != key.child)
            .map(|(_, key)| (key.parent, key.child))
            .collect();
        let mut groups = graph::groups(&tables, &edges);
        groups.reverse();
        for group in groups {
            let sets = self.delete_order(&group);
            let inside = self.inside(&group);
            let cuts = inside.iter().filter_map(|&id| self.cut(id)).collect();
            self.steps.push(Step::Delete(Delete {
                sets,
                cyclic: !inside.is_empty(),
                cuts,
            }));
        }
    }

    /// The enforced foreign keys from a table of the group into the group.
    fn inside(&self, group: &[TableId]) -> Vec<ForeignKeyId> {
        self.schema
            .foreign_keys()
            .filter(|(_, key)| {
                key.origin == Origin::Catalogue
                    && group.contains(&key.parent)
                    && group.contains(&key.child)
            })
            .map(|(id, _)| id)
            .collect()
    }

    /// Within a cycle, children before the parents whose deletion the database
    /// answers at once: by a RESTRICT, whose check never waits, or by writing
    /// to rows that will go as well; above all where it would write to what
    /// those rows are found by.
    fn delete_order(&self, group: &[TableId]) -> Vec<SetId> {
        let keys: Vec<&ForeignKey> = self
            .inside(group)
            .into_iter()
            .map(|id| self.schema.foreign_key(id))
            .filter(|key| key.parent != key.child)
            .collect();
        let ordered = |tables: &[TableId], counts: &dyn Fn(&ForeignKey) -> bool| {
            let counted = keys.iter().filter(|key| counts(key));
            let edges: Vec<(TableId, TableId)> =
                counted.map(|key| (key.parent, key.child)).collect();
            let mut groups = graph::groups(&tables.iter().copied().collect(), &edges);
            groups.reverse();
            groups
        };
        let at_once = |key: &ForeignKey| match key.on_delete {
            ReferentialAction::Restrict
            | ReferentialAction::SetNull
            | ReferentialAction::SetDefault => true,
            ReferentialAction::NoAction | ReferentialAction::Cascade => false,
        };
        ordered(group, &at_once)
            .iter()
            .flat_map(|tied| ordered(tied, &|key| self.schema.moves(key)).concat())
            .filter_map(|table| self.doomed(table))
            .collect()
    }

    /// The clearing of an optional reference inside a cycle whose check does
    /// not wait for the others.
    fn cut(&self, id: ForeignKeyId) -> Option<Detachment> {
        let key = self.schema.foreign_key(id);
        let columns = self.schema.detachable(id);
        if key.on_delete != ReferentialAction::Restrict || columns.is_empty() {
            return None;
        }
        Some(Detachment {
            foreign_key: id,
            from: self.doomed(key.parent)?,
            columns,
            to: Cleared::Null,
        })
    }

    /// The sets in the order in which they can be found.
    fn groups(&self) -> Vec<Group> {
        groups(&self.sets)
    }

    /// Which deleted rows others have a share in: every reference of theirs
    /// to a row of the users' graph that stays. The scope's own root is not
    /// shared by mentioning others.
    fn shares(&self) -> Vec<Share> {
        let mut shares = Vec::new();
        for (index, set) in self.sets.iter().enumerate() {
            if set.role != Role::Doomed || set.is_root {
                continue;
            }
            let references: Vec<_> = self
                .reach
                .choices
                .keys()
                .map(|&id| (id, self.schema.foreign_key(id)))
                .filter(|(_, key)| key.child == set.table)
                .map(|(id, key)| (id, self.in_scope(key.parent)))
                .collect();
            // One reference alone, by which all the rows were found, leads
            // to no one else.
            let only_the_way_in = matches!(
                (references.as_slice(), set.paths.as_slice()),
                ([(id, Some(from))], [path])
                    if *id == path.foreign_key && path.from == Whence::Parents(*from)
            );
            if !references.is_empty() && !only_the_way_in {
                shares.push(Share {
                    set: SetId(index),
                    references,
                });
            }
        }
        shares
    }

    fn finish(self, scope: Scope) -> Plan {
        let groups = self.groups();
        // A recipe has no users whose rows others could have a share in.
        let shares = match self.breadth {
            Breadth::Reach | Breadth::Below(..) => self.shares(),
            Breadth::Recipe(_) => Vec::new(),
        };
        Plan(Arc::new(Parts {
            model: Arc::clone(self.model),
            scope,
            sets: self.sets,
            groups,
            checks: self.checks,
            shares,
            steps: self.steps,
            edges: self.edges,
        }))
    }
}

/// The sets in the order in which they can be found: each after those that
/// its ways start from, and those of a cycle together.
pub(super) fn groups(sets: &[RowSet]) -> Vec<Group> {
    let mut groups = Vec::new();
    for role in [Role::Owned, Role::Doomed, Role::Kept] {
        let ids: BTreeMap<TableId, SetId> = sets
            .iter()
            .enumerate()
            .filter(|(_, set)| set.role == role)
            .map(|(index, set)| (set.table, SetId(index)))
            .collect();
        let mut edges = Vec::new();
        for set in ids.values().map(|id| &sets[id.0]) {
            let sources = set.paths.iter().filter_map(Path::source);
            let sources = sources.filter(|from| sets[from.0].role == role);
            edges.extend(sources.map(|from| (sets[from.0].table, set.table)));
        }
        for group in graph::groups(&ids.keys().copied().collect(), &edges) {
            let recursive = edges
                .iter()
                .any(|(from, to)| group.contains(from) && group.contains(to));
            let sets = group.iter().map(|table| ids[table]).collect();
            groups.push(Group { sets, recursive });
        }
    }
    groups
}
