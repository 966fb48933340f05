//! What was measured, for machines and for people.

use std::{fmt::Write as _, path::Path, time::Duration};

use plotters::prelude::{
    ChartBuilder, Circle, Color as _, IntoDrawingArea as _, IntoLogRange as _, LineSeries,
    Palette as _, Palette99, SVGBackend, WHITE,
};
use serde_json::{Value, json};

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

/// One row of the table of targets.
#[derive(Debug)]
struct Target {
    name: String,
    ratio: f64,
    target: f64,
    met: bool,
}

#[derive(Debug, Default)]
pub struct Report {
    targets: Vec<Target>,
    figures: Vec<(String, Samples)>,
    plots: Vec<Plot>,
}

/// Times against a size, for several ways.
#[derive(Debug)]
struct Plot {
    file: &'static str,
    size: &'static str,
    lines: Vec<(String, Vec<(f64, f64)>)>,
}

impl Report {
    /// A ratio that has to be at most so much.
    pub fn at_most(&mut self, name: impl Into<String>, ratio: f64, target: f64) {
        self.row(name.into(), ratio, target, ratio <= target);
    }

    /// A ratio that has to be at least so much.
    pub fn at_least(&mut self, name: impl Into<String>, ratio: f64, target: f64) {
        self.row(name.into(), ratio, target, ratio >= target);
    }

    fn row(&mut self, name: String, ratio: f64, target: f64, met: bool) {
        let sign = if met { "met" } else { "MISSED" };
        println!("  {name}: {ratio:.2} (target {target}) {sign}");
        self.targets.push(Target {
            name,
            ratio,
            target,
            met,
        });
    }

    /// Keeps raw figures and tells them.
    pub fn figure(&mut self, name: impl Into<String>, samples: Samples) {
        let (name, times) = (name.into(), samples.sorted());
        let (least, most) = (times.first(), times.last());
        println!(
            "    {name}: {:.2} ms ({:.2} to {:.2}, {} times)",
            samples.median(),
            least.unwrap_or(&f64::NAN),
            most.unwrap_or(&f64::NAN),
            times.len()
        );
        self.figures.push((name, samples));
    }

    /// Adds a point to a line of a plot.
    pub fn point(&mut self, file: &'static str, size: &'static str, line: &str, x: f64, y: f64) {
        let place = self.plots.iter().position(|plot| plot.file == file);
        let place = place.unwrap_or_else(|| {
            self.plots.push(Plot {
                file,
                size,
                lines: Vec::new(),
            });
            self.plots.len() - 1
        });
        let lines = &mut self.plots[place].lines;
        match lines.iter_mut().find(|(name, _)| name == line) {
            Some((_, points)) => points.push((x, y)),
            None => lines.push((line.to_owned(), vec![(x, y)])),
        }
    }

    pub fn missed(&self) -> usize {
        self.targets.iter().filter(|target| !target.met).count()
    }

    pub fn json(&self, machine: &[(&str, String)]) -> Value {
        let targets = self
            .targets
            .iter()
            .map(|t| json!({"name": t.name, "ratio": t.ratio, "target": t.target, "met": t.met}));
        let figures = self.figures.iter().map(|(name, samples)| {
            json!({"name": name, "median_ms": samples.median(), "times_ms": samples.sorted()})
        });
        let machine: serde_json::Map<String, Value> = machine
            .iter()
            .map(|(name, value)| ((*name).to_owned(), json!(value)))
            .collect();
        json!({
            "machine": machine,
            "targets": targets.collect::<Vec<_>>(),
            "figures": figures.collect::<Vec<_>>(),
        })
    }

    pub fn markdown(&self, machine: &[(&str, String)]) -> String {
        let mut text = String::from("# Benches\n\n");
        for (name, value) in machine {
            let _ = writeln!(text, "- {name}: {value}");
        }
        text += "\n| work | ratio | target | |\n|---|---|---|---|\n";
        for t in &self.targets {
            let met = if t.met { "met" } else { "missed" };
            let _ = writeln!(
                text,
                "| {} | {:.2} | {} | {met} |",
                t.name, t.ratio, t.target
            );
        }
        text += "\n| way | median ms | min | max | times |\n|---|---|---|---|---|\n";
        for (name, samples) in &self.figures {
            let times = samples.sorted();
            let _ = writeln!(
                text,
                "| {name} | {:.2} | {:.2} | {:.2} | {} |",
                samples.median(),
                times.first().unwrap_or(&f64::NAN),
                times.last().unwrap_or(&f64::NAN),
                times.len()
            );
        }
        text
    }

    /// Draws every plot into a folder.
    pub fn draw(&self, folder: &Path) {
        for plot in &self.plots {
            let file = folder.join(format!("{}.svg", plot.file));
            let area = SVGBackend::new(&file, (760, 460)).into_drawing_area();
            area.fill(&WHITE).unwrap();
            let points = || plot.lines.iter().flat_map(|(_, points)| points);
            let range = |of: fn(&(f64, f64)) -> f64| {
                let low = points().map(of).fold(f64::INFINITY, f64::min);
                let high = points().map(of).fold(0.0, f64::max);
                (low * 0.7).max(1e-3)..(high * 1.4).max(1e-2)
            };
            let mut chart = ChartBuilder::on(&area)
                .margin(16)
                .caption(format!("milliseconds by {}", plot.size), ("sans-serif", 18))
                .x_label_area_size(36)
                .y_label_area_size(64)
                .build_cartesian_2d(range(|p| p.0).log_scale(), range(|p| p.1).log_scale())
                .unwrap();
            chart
                .configure_mesh()
                .x_desc(plot.size)
                .y_desc("ms")
                .draw()
                .unwrap();
            for (place, (name, points)) in plot.lines.iter().enumerate() {
                let color = Palette99::pick(place).to_rgba();
                let line = LineSeries::new(points.iter().copied(), color.stroke_width(2));
                chart
                    .draw_series(line)
                    .unwrap()
                    .label(name)
                    .legend(move |(x, y)| Circle::new((x + 8, y), 4, color.filled()));
            }
            chart
                .configure_series_labels()
                .background_style(WHITE)
                .draw()
                .unwrap();
            area.present().unwrap();
        }
    }
}
