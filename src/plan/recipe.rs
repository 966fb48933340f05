//! A policy's recipes, bound to a schema.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    EffectRule, LevelRules, Plan, Role, Source, Step,
    bind::Binder,
    build::Error,
    elsewhere::Extent,
    model::{Model, Users},
};
use crate::{
    policy::{Counted, Policy, PublicCount, RecipeError},
    schema::{Schema, TableId},
};

/// A recipe with all that it includes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Recipe {
    /// The tables whose rows go, each with the condition that tells which;
    /// all of them where there is none.
    pub delete: BTreeMap<TableId, Option<String>>,
    /// The columns that are set back in every row of their tables.
    pub restore: LevelRules,
    /// The tables that it must not change.
    pub preserve: BTreeSet<TableId>,
    /// What goes outside the database.
    pub effects: Vec<EffectRule>,
}

impl Recipe {
    /// True when keys or files are named by the users.
    pub(super) fn takes_values_of_users(&self) -> bool {
        let mut sources = self.effects.iter().map(|rule| &rule.source);
        sources.any(|source| matches!(source, Source::Users(_)))
    }

    fn delete(&mut self, table: TableId, condition: Option<&String>) {
        let both = match (self.delete.get(&table), condition) {
            (None, condition) => condition.cloned(),
            (Some(Some(one)), Some(other)) => Some(format!("({one}) OR ({other})")),
            (Some(_), _) => None,
        };
        self.delete.insert(table, both);
    }
}

impl Binder {
    /// Binds every recipe.
    pub(super) fn recipes(
        &mut self,
        (schema, users): (&Schema, &Users),
        policy: &Policy,
    ) -> BTreeMap<String, Recipe> {
        let mut bound = BTreeMap::new();
        for name in policy.recipes.keys() {
            match policy.recipe(name) {
                Ok(parts) => {
                    let mut recipe = Recipe::default();
                    for part in parts {
                        self.recipe(&mut recipe, (schema, users), name, part);
                    }
                    bound.insert(name.clone(), recipe);
                }
                Err(RecipeError::Unknown(unknown)) => self.add(format!(
                    "recipes.{name} includes {unknown}, which is no recipe"
                )),
                Err(RecipeError::Cyclic(cyclic)) => {
                    self.add(format!("recipes.{name} includes {cyclic} in a circle"));
                }
            }
        }
        bound
    }

    fn recipe(
        &mut self,
        recipe: &mut Recipe,
        (schema, users): (&Schema, &Users),
        name: &str,
        part: &crate::policy::Recipe,
    ) {
        let place = format!("recipes.{name}.delete");
        for doomed in &part.delete {
            if let Some(table) = self.table(schema, &place, &doomed.table) {
                recipe.delete(table, doomed.condition.as_ref());
            }
        }
        let place = format!("recipes.{name}.restore");
        for (table, values) in self.restored(schema, &place, &part.restore) {
            let restored = recipe.restore.restore.entry(table).or_default();
            restored.retain(|(column, _)| values.iter().all(|(other, _)| other != column));
            restored.extend(values);
        }
        let place = format!("recipes.{name}.preserve");
        let preserved = part.preserve.iter();
        let preserved = preserved.filter_map(|table| self.table(schema, &place, table));
        recipe.preserve.extend(preserved);
        let place = format!("recipes.{name}");
        let rules = (part.redis.as_slice(), part.files.as_slice());
        let effects = self.effects((schema, users), &place, rules, Extent::Everything);
        recipe.effects.extend(effects);
        self.counts(schema, &place, &part.public_counts);
    }

    /// Public counts count what is there, and sums what stands before them.
    pub(super) fn counts(&mut self, schema: &Schema, place: &str, counts: &[PublicCount]) {
        let mut known = BTreeSet::new();
        for count in counts {
            if let Some(table) = count.what.table() {
                self.table(schema, &format!("{place}.public_counts"), table);
            }
            if let Counted::Sum(names) = &count.what {
                for name in names.iter().filter(|name| !known.contains(name)) {
                    self.add(format!(
                        "{place}.public_counts sums {name} up as {}, which no count before it is \
                         named",
                        count.name
                    ));
                }
            }
            if !known.insert(&count.name) {
                self.add(format!("{place}.public_counts has {} twice", count.name));
            }
        }
    }
}

/// Refuses the plan of a recipe that would change what it preserves or what
/// is kept.
pub(super) fn preserves(model: &Model, name: &str, plan: &Plan) -> Result<(), Error> {
    let Some(recipe) = model.recipe(name) else {
        return Ok(());
    };
    let touched = plan.changed_tables().into_iter();
    let mut touched =
        touched.filter(|table| recipe.preserve.contains(table) || model.keeps(*table));
    match touched.next() {
        Some(table) => Err(Error::Preserved {
            recipe: name.to_owned(),
            table: plan.schema().table(table).name.to_string(),
            why: reference(plan, table),
        }),
        None => Ok(()),
    }
}

/// By which reference a plan reaches a table, in words.
fn reference(plan: &Plan, table: TableId) -> String {
    let sets = plan.sets();
    let mut doomed = sets.filter(|(_, set)| set.table == table && set.role == Role::Doomed);
    let path = doomed.find_map(|(_, set)| set.paths.first().copied());
    let detached = plan.steps().iter().find_map(|step| match step {
        Step::Detach(step) if step.table == table => step.references.first(),
        _ => None,
    });
    let key = path.map(|path| path.foreign_key);
    let key = key.or(detached.map(|detached| detached.foreign_key));
    match key {
        Some(key) => format!("along {}", plan.schema().describe(key)),
        None => "as the recipe itself says".to_owned(),
    }
}
