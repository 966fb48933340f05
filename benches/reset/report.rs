//! What was measured, for machines and for people.

use std::{fmt::Write as _, path::Path, time::Duration};

use serde_json::{Value, json};

use crate::{engine::Engine, plot::Plot};

/// Times of one way to do a thing.
#[derive(Debug, Clone, Default)]
pub struct Samples(pub Vec<Duration>);

impl Samples {
    pub fn add(&mut self, time: Duration) {
        self.0.push(time);
    }

    fn sorted(&self) -> Vec<f64> {
        let mut times: Vec<f64> = self.0.iter().map(|time| time.as_secs_f64() * 1e3).collect();
        times.sort_by(f64::total_cmp);
        times
    }

    /// The median, in milliseconds.
    pub fn median(&self) -> f64 {
        let times = self.sorted();
        times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
    }
}

/// A number that has a target, and what it is made of.
#[derive(Debug)]
pub struct Measured {
    ratio: f64,
    from: String,
}

/// The ratio of two medians.
pub fn ratio(one: &Samples, other: &Samples) -> Measured {
    let (one, other) = (one.median(), other.median());
    Measured {
        ratio: one / other,
        from: format!("{} / {}", milliseconds(one), milliseconds(other)),
    }
}

/// The fastest of several ways.
pub fn best(ways: &[Samples]) -> &Samples {
    let least = |one: &&Samples, other: &&Samples| one.median().total_cmp(&other.median());
    ways.iter().min_by(least).unwrap()
}

/// What a limit leaves of a quantity that is no ratio.
pub fn part(value: f64, of: f64, unit: &str) -> Measured {
    Measured {
        ratio: value / of,
        from: format!("{value:.1} {unit} of {of} {unit}"),
    }
}

/// The ratio of two quantities of the same unit.
pub fn quotient(one: f64, other: f64, unit: &str) -> Measured {
    Measured {
        ratio: one / other,
        from: format!("{one:.1} {unit} / {other:.1} {unit}"),
    }
}

/// Three digits, with the unit that suits them.
pub fn milliseconds(time: f64) -> String {
    match time {
        time if time < 10.0 => format!("{time:.2} ms"),
        time if time < 100.0 => format!("{time:.1} ms"),
        time if time < 1000.0 => format!("{time:.0} ms"),
        time => format!("{:.2} s", time / 1000.0),
    }
}

/// Three digits of a small number.
fn digits(number: f64) -> String {
    match number {
        number if number < 0.01 => format!("{number:.5}"),
        number if number < 0.1 => format!("{number:.4}"),
        number if number < 10.0 => format!("{number:.2}"),
        number => format!("{number:.0}"),
    }
}

/// What a ratio has to be.
#[derive(Debug, Clone, Copy)]
enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

/// One row of the table of targets.
#[derive(Debug)]
struct Target {
    about: Option<Engine>,
    name: String,
    measured: Measured,
    bound: Bound,
}

impl Target {
    /// Its name, which tells the database.
    fn name(&self) -> String {
        named(self.about, &self.name)
    }

    fn limit(&self) -> f64 {
        match self.bound {
            Bound::AtMost(limit) | Bound::AtLeast(limit) => limit,
        }
    }

    fn sense(&self) -> &'static str {
        match self.bound {
            Bound::AtMost(_) => "at most",
            Bound::AtLeast(_) => "at least",
        }
    }

    fn is_met(&self) -> bool {
        match self.bound {
            Bound::AtMost(limit) => self.measured.ratio <= limit,
            Bound::AtLeast(limit) => self.measured.ratio >= limit,
        }
    }
}

/// Times of one way to do a thing, with a name.
#[derive(Debug)]
struct Figure {
    about: Option<Engine>,
    name: String,
    samples: Samples,
}

/// A number that the cost model takes for granted.
#[derive(Debug)]
pub struct Constant {
    pub name: &'static str,
    pub what: &'static str,
    pub unit: &'static str,
    pub value: f64,
    /// What the source says.
    pub in_use: Option<f64>,
}

#[derive(Debug, Default)]
pub struct Report {
    /// The database that is measured.
    about: Option<Engine>,
    targets: Vec<Target>,
    figures: Vec<Figure>,
    plots: Vec<Plot>,
    constants: Vec<Constant>,
    /// What there is to say besides, such as what is missing.
    remarks: Vec<String>,
}

fn named(about: Option<Engine>, name: &str) -> String {
    match about {
        Some(engine) => format!("{engine}: {name}"),
        None => name.to_owned(),
    }
}

impl Report {
    /// What follows is about this database, or about none.
    pub fn about(&mut self, engine: Option<Engine>) {
        self.about = engine;
    }

    /// A ratio that has to be at most so much.
    pub fn at_most(&mut self, name: impl Into<String>, measured: Measured, target: f64) {
        self.target(name.into(), measured, Bound::AtMost(target));
    }

    /// A ratio that has to be at least so much.
    pub fn at_least(&mut self, name: impl Into<String>, measured: Measured, target: f64) {
        self.target(name.into(), measured, Bound::AtLeast(target));
    }

    fn target(&mut self, name: String, measured: Measured, bound: Bound) {
        let target = Target {
            about: self.about,
            name,
            measured,
            bound,
        };
        println!(
            "  {}: {:.2} ({}; {} {}) {}",
            target.name(),
            target.measured.ratio,
            target.measured.from,
            target.sense(),
            target.limit(),
            if target.is_met() { "met" } else { "MISSED" }
        );
        self.targets.push(target);
    }

    /// Keeps raw figures and tells them.
    pub fn figure(&mut self, name: impl Into<String>, samples: Samples) {
        let (about, name, times) = (self.about, name.into(), samples.sorted());
        println!(
            "    {}: {} ({} to {}, {} times)",
            named(about, &name),
            milliseconds(samples.median()),
            milliseconds(times.first().copied().unwrap_or(f64::NAN)),
            milliseconds(times.last().copied().unwrap_or(f64::NAN)),
            times.len()
        );
        self.figures.push(Figure {
            about,
            name,
            samples,
        });
    }

    /// Keeps a number of the cost model and tells it.
    pub fn constant(&mut self, constant: Constant) {
        let in_use = constant.in_use.map(|value| value.to_string());
        println!(
            "    {} ({}): {} {} (in use: {})",
            constant.name,
            constant.what,
            digits(constant.value),
            constant.unit,
            in_use.as_deref().unwrap_or("no constant")
        );
        self.constants.push(constant);
    }

    /// Keeps something that a reader has to know, and tells it.
    pub fn remark(&mut self, text: impl Into<String>) {
        let text = text.into();
        if !self.remarks.contains(&text) {
            println!("  {text}");
            self.remarks.push(text);
        }
    }

    /// Adds a point to a line of a plot.
    pub fn point(&mut self, file: &'static str, line: &str, x: f64, y: f64) {
        let about = self.about;
        let mut plots = self.plots.iter();
        let place = plots.position(|plot| plot.file == file && plot.about == about);
        let place = place.unwrap_or_else(|| {
            self.plots.push(Plot::new(about, file));
            self.plots.len() - 1
        });
        self.plots[place].add(line, x, y);
    }

    pub fn missed(&self) -> usize {
        self.targets
            .iter()
            .filter(|target| !target.is_met())
            .count()
    }

    pub fn json(&self, machine: &[(String, String)]) -> Value {
        let targets = self.targets.iter().map(|target| {
            json!({
                "name": target.name(),
                "ratio": target.measured.ratio,
                "target": target.limit(),
                "met": target.is_met(),
                "bound": target.sense(),
                "measured": target.measured.from,
            })
        });
        let figures = self.figures.iter().map(|figure| {
            let times = figure.samples.sorted();
            json!({
                "name": named(figure.about, &figure.name),
                "median_ms": figure.samples.median(),
                "min_ms": times.first(),
                "max_ms": times.last(),
                "times_ms": times,
            })
        });
        let constants = self.constants.iter().map(|constant| {
            json!({
                "name": constant.name,
                "what": constant.what,
                "unit": constant.unit,
                "measured": constant.value,
                "in_use": constant.in_use,
            })
        });
        let machine: serde_json::Map<String, Value> = machine
            .iter()
            .map(|(name, value)| (name.clone(), json!(value)))
            .collect();
        json!({
            "machine": machine,
            "targets": targets.collect::<Vec<_>>(),
            "figures": figures.collect::<Vec<_>>(),
            "constants": constants.collect::<Vec<_>>(),
            "remarks": self.remarks,
        })
    }

    /// Writes everything into a folder, where notes by hand may lie already.
    pub fn write(&self, folder: &Path, machine: &[(String, String)]) {
        std::fs::create_dir_all(folder).unwrap();
        let drawn: Vec<&Plot> = self.plots.iter().filter(|plot| plot.draw(folder)).collect();
        let has_notes = folder.join("notes.md").exists();
        let text = self.markdown(machine, &drawn, has_notes);
        std::fs::write(folder.join("README.md"), text).unwrap();
        let text = serde_json::to_string_pretty(&self.json(machine)).unwrap();
        std::fs::write(folder.join("results.json"), text + "\n").unwrap();
    }

    fn markdown(&self, machine: &[(String, String)], plots: &[&Plot], has_notes: bool) -> String {
        let mut text = String::from(
            "# How fast resetd is\n\n\
             Written by `benches/run --results`; the same figures are in \
             [`results.json`](results.json). Everything goes through the real server, its gRPC \
             and its journal, and every way that is compared ran in the same minutes on the same \
             database, in turns. A ratio is one of medians: resetd's over the other way's \
             (*at most*), or the other way's over resetd's (*at least*), so that a machine's \
             noise cancels out; absolute times are this machine's.\n\n",
        );
        if has_notes {
            text += "[Notes](notes.md) say why a target is missed.\n\n";
        }
        text += "| machine | |\n|---|---|\n";
        for (name, value) in machine {
            let _ = writeln!(text, "| {name} | {value} |");
        }
        for remark in &self.remarks {
            let _ = write!(text, "\n{remark}\n");
        }
        let engines = [Engine::Postgres, Engine::Sqlite, Engine::MariaDb].map(Some);
        for about in engines.into_iter().chain([None]) {
            self.chapter(&mut text, about, plots);
        }
        if !self.constants.is_empty() {
            text += "\n## The cost model\n\nWhat it takes for granted on PostgreSQL, and what \
                     was measured today.\n\n| what is paid for | constant | measured | in \
                     use |\n|---|---|---|---|\n";
        }
        for constant in &self.constants {
            let in_use = constant.in_use.map(|value| value.to_string());
            let _ = writeln!(
                text,
                "| {} | `{}` | {} {} | {} |",
                constant.what,
                constant.name,
                digits(constant.value),
                constant.unit,
                in_use.unwrap_or_default()
            );
        }
        text
    }

    /// What there is to say about one database.
    fn chapter(&self, text: &mut String, about: Option<Engine>, plots: &[&Plot]) {
        let title = about.map_or_else(|| "The server".to_owned(), |engine| engine.to_string());
        let targets = self.targets.iter().filter(|target| target.about == about);
        let figures = self.figures.iter().filter(|figure| figure.about == about);
        if targets.clone().next().is_none() && figures.clone().next().is_none() {
            return;
        }
        let _ = write!(
            text,
            "\n## {title}\n\n| work | measured | ratio | target | |\n|---|---|---|---|---|\n"
        );
        for target in targets {
            let (bound, met) = match (target.bound, target.is_met()) {
                (Bound::AtMost(_), true) => ("≤", "met"),
                (Bound::AtLeast(_), true) => ("≥", "met"),
                (Bound::AtMost(_), false) => ("≤", "**missed**"),
                (Bound::AtLeast(_), false) => ("≥", "**missed**"),
            };
            let _ = writeln!(
                text,
                "| {} | {} | {:.2} | {bound} {} | {met} |",
                target.name,
                target.measured.from,
                target.measured.ratio,
                target.limit()
            );
        }
        for plot in plots.iter().filter(|plot| plot.about == about) {
            let _ = write!(text, "\n![{}]({})\n", plot.title(), plot.name());
        }
        *text += "\n| way | median | least | most | times |\n|---|---|---|---|---|\n";
        for figure in figures {
            let times = figure.samples.sorted();
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} |",
                figure.name,
                milliseconds(figure.samples.median()),
                milliseconds(times.first().copied().unwrap_or(f64::NAN)),
                milliseconds(times.last().copied().unwrap_or(f64::NAN)),
                times.len()
            );
        }
    }
}
