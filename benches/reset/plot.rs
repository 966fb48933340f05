//! Times against a size, drawn.

use std::path::Path;

use plotters::prelude::{
    BLACK, BindKeyPoints as _, ChartBuilder, Circle, Color as _, EmptyElement,
    IntoDrawingArea as _, IntoLogRange as _, LineSeries, Palette as _, Palette99, PathElement,
    SVGBackend, SeriesLabelPosition, WHITE,
};

use crate::engine::Engine;

/// Times against a size, for several ways.
#[derive(Debug)]
pub struct Plot {
    pub about: Option<Engine>,
    pub file: &'static str,
    lines: Vec<(String, Vec<(f64, f64)>)>,
}

impl Plot {
    pub fn new(about: Option<Engine>, file: &'static str) -> Self {
        Self {
            about,
            file,
            lines: Vec::new(),
        }
    }

    pub fn add(&mut self, line: &str, x: f64, y: f64) {
        match self.lines.iter_mut().find(|(name, _)| name == line) {
            Some((_, points)) => points.push((x, y)),
            None => self.lines.push((line.to_owned(), vec![(x, y)])),
        }
    }

    /// What it shows.
    pub fn title(&self) -> String {
        let what = match self.file {
            "rows_kept" => "ResetUser, by rows that are kept",
            "callers" => "ResetUser, time for each reset, by callers at once",
            "rows_deleted" => "ResetTestUsers, by rows that are deleted",
            "tables" => "FullReset after a test, by tables",
            other => other,
        };
        match self.about {
            Some(engine) => format!("{engine}: {what}"),
            None => what.to_owned(),
        }
    }

    /// Its file's name.
    pub fn name(&self) -> String {
        match self.about {
            Some(engine) => format!("{}_{}.svg", engine.to_string().to_lowercase(), self.file),
            None => format!("{}.svg", self.file),
        }
    }

    fn points(&self) -> impl Iterator<Item = &(f64, f64)> {
        self.lines.iter().flat_map(|(_, points)| points)
    }

    /// The sizes, rounded outwards so that the axis begins and ends well.
    fn range(&self, of: fn(&(f64, f64)) -> f64) -> std::ops::Range<f64> {
        let low = self.points().map(of).fold(f64::INFINITY, f64::min);
        let high = self.points().map(of).fold(0.0, f64::max);
        low * 0.7..high * 1.5
    }

    /// The sizes that were measured, which are the ticks of their axis.
    fn sizes(&self) -> Vec<f64> {
        let mut sizes: Vec<f64> = self.points().map(|(x, _)| *x).collect();
        sizes.sort_by(f64::total_cmp);
        sizes.dedup_by(|next, before| *next < *before * 1.2);
        sizes
    }

    /// Draws it, when it has more than one size.
    pub fn draw(&self, folder: &Path) -> bool {
        let least = self.points().map(|(x, _)| *x).fold(f64::INFINITY, f64::min);
        if self.points().all(|(x, _)| (x - least).abs() < 0.5) {
            return false;
        }
        let file = folder.join(self.name());
        // Room above for the names of the lines.
        let mut times = self.range(|p| p.1);
        times.end *= 2.0;
        let area = SVGBackend::new(&file, (820, 480)).into_drawing_area();
        area.fill(&WHITE).unwrap();
        let mut chart = ChartBuilder::on(&area)
            .margin(16)
            .caption(self.title(), ("sans-serif", 20))
            .x_label_area_size(44)
            .y_label_area_size(76)
            .build_cartesian_2d(
                self.range(|p| p.0)
                    .log_scale()
                    .with_key_points(self.sizes()),
                times.clone().log_scale().with_key_points(ticks(&times)),
            )
            .unwrap();
        chart
            .configure_mesh()
            .light_line_style(BLACK.mix(0.06))
            .bold_line_style(BLACK.mix(0.15))
            .label_style(("sans-serif", 14))
            .disable_x_mesh()
            .x_desc(format!("{} (logarithmic)", self.file.replace('_', " ")))
            .y_desc("time, median (logarithmic)")
            .x_label_formatter(&|size| amount(*size))
            .y_label_formatter(&|time| time_of(*time))
            .draw()
            .unwrap();
        for (place, (name, points)) in self.lines.iter().enumerate() {
            let color = Palette99::pick(place).to_rgba();
            let line = LineSeries::new(points.iter().copied(), color.stroke_width(2));
            chart
                .draw_series(line)
                .unwrap()
                .label(name)
                .legend(move |(x, y)| {
                    let line = PathElement::new(vec![(0, 0), (22, 0)], color.stroke_width(2));
                    EmptyElement::at((x, y)) + line + Circle::new((11, 0), 4, color.filled())
                });
            let dots = points
                .iter()
                .map(|&point| Circle::new(point, 4, color.filled()));
            chart.draw_series(dots).unwrap();
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .label_font(("sans-serif", 14))
            .background_style(WHITE.mix(0.85))
            .border_style(BLACK.mix(0.3))
            .draw()
            .unwrap();
        area.present().unwrap();
        true
    }
}

/// One, two and five of each power of ten.
fn ticks(range: &std::ops::Range<f64>) -> Vec<f64> {
    let powers = (-3..7).map(|power| 10_f64.powi(power));
    let ticks = powers.flat_map(|power| [1.0, 2.0, 5.0].map(|digit| digit * power));
    ticks.filter(|tick| range.contains(tick)).collect()
}

/// A tick of time, in few letters.
fn time_of(milliseconds: f64) -> String {
    match milliseconds {
        time if time >= 1000.0 => format!("{} s", rounded(time / 1000.0)),
        time => format!("{} ms", rounded(time)),
    }
}

/// Two digits are enough for a tick.
fn rounded(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

/// A number of things, in few letters.
fn amount(size: f64) -> String {
    match size {
        size if size >= 1e6 => format!("{} M", rounded(size / 1e6)),
        size if size >= 1e3 => format!("{} k", (size / 1e3).round()),
        size => format!("{size}"),
    }
}
