//! What a person sees: lines, fields and tables, put together before anything
//! is printed. Texts that come from the server or its database are made
//! harmless here: a control character in them would be the terminal's order.

use std::borrow::Cow;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Attribute, Cell, CellAlignment, Color, ContentArrangement, Table};

/// The column that the values of fields begin in.
const VALUES_AT: usize = 15;

/// Whether colours are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Paint {
    /// To a terminal.
    Coloured,
    /// To anything else, and where the user wants none.
    Plain,
}

/// What a text means, from which its colour follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    /// As it should be.
    Good,
    /// Not as it should be.
    Bad,
    /// Worth a second look.
    Careful,
    /// A heading.
    Strong,
    /// An aside.
    Faint,
}

/// A page that is being written.
pub(super) struct Page {
    paint: Paint,
    text: String,
}

impl Paint {
    /// A text in the colour of its tone, made harmless.
    pub(super) fn text(self, tone: Tone, text: &str) -> String {
        let text = harmless(text);
        let order = match tone {
            Tone::Good => "32",
            Tone::Bad => "31",
            Tone::Careful => "33",
            Tone::Strong => "1",
            Tone::Faint => "2",
        };
        match self {
            Self::Coloured => format!("\u{1b}[{order}m{text}\u{1b}[0m"),
            Self::Plain => text.into_owned(),
        }
    }

    /// A cell in the colour of its tone, made harmless.
    pub(super) fn cell(self, tone: Tone, text: &str) -> Cell {
        let cell = cell(text);
        match (self, tone) {
            (Self::Plain, _) => cell,
            (Self::Coloured, Tone::Good) => cell.fg(Color::DarkGreen),
            (Self::Coloured, Tone::Bad) => cell.fg(Color::DarkRed),
            (Self::Coloured, Tone::Careful) => cell.fg(Color::DarkYellow),
            (Self::Coloured, Tone::Strong) => cell.add_attribute(Attribute::Bold),
            (Self::Coloured, Tone::Faint) => cell.add_attribute(Attribute::Dim),
        }
    }
}

impl Page {
    /// An empty page.
    pub(super) fn new(paint: Paint) -> Self {
        Self {
            paint,
            text: String::new(),
        }
    }

    /// How the page is painted.
    pub(super) fn paint(&self) -> Paint {
        self.paint
    }

    /// A line in the colour of its tone.
    pub(super) fn line(&mut self, tone: Tone, text: &str) {
        self.text.push_str(&self.paint.text(tone, text));
        self.text.push('\n');
    }

    /// A line without a tone.
    pub(super) fn plain(&mut self, text: &str) {
        self.text.push_str(&harmless(text));
        self.text.push('\n');
    }

    /// An empty line.
    pub(super) fn gap(&mut self) {
        self.text.push('\n');
    }

    /// A name and its value; nothing when the value is empty.
    pub(super) fn field(&mut self, name: &str, value: &str) {
        if value.is_empty() {
            return;
        }
        self.text
            .push_str(&self.paint.text(Tone::Faint, &format!("{name:<VALUES_AT$}")));
        // Further lines of the value begin where the first does.
        let break_and_indent = format!("\n{:VALUES_AT$}", "");
        self.plain(&value.replace('\n', &break_and_indent));
    }

    /// A table.
    pub(super) fn table(&mut self, table: &Table) {
        self.text.push_str(&table.trim_fmt());
        self.text.push('\n');
    }

    /// The page as text.
    pub(super) fn finish(self) -> String {
        self.text
    }
}

/// A table with a heading for each column, as wide as the terminal at most.
pub(super) fn table(paint: Paint, headings: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_style(UTF8_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(headings.iter().map(|text| paint.cell(Tone::Strong, text)));
    match paint {
        Paint::Coloured => table.enforce_styling(),
        Paint::Plain => &mut table,
    };
    table
}

/// A cell, made harmless.
pub(super) fn cell(text: &str) -> Cell {
    Cell::new(harmless(text))
}

/// A cell that holds a number.
pub(super) fn number(text: &str) -> Cell {
    cell(text).set_alignment(CellAlignment::Right)
}

/// A text without control characters, but for line breaks.
fn harmless(text: &str) -> Cow<'_, str> {
    let harmful = |letter: char| letter.is_control() && letter != '\n';
    if text.contains(harmful) {
        text.replace(harmful, "\u{fffd}").into()
    } else {
        text.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_terminal_takes_no_orders_from_data() {
        let mut page = Page::new(Paint::Plain);
        page.field("User", "\u{1b}]0;owned\u{7}ana\r@test.com");
        let mut rows = table(Paint::Plain, &["Table"]);
        rows.add_row(vec![cell("\u{1b}[2Jorders\u{9b}")]);
        page.table(&rows);
        let text = page.finish();
        assert!(!text.contains(|letter: char| letter.is_control() && letter != '\n'));
        assert!(text.contains("ana"));
    }

    #[test]
    fn colours_are_only_in_a_coloured_page() {
        let write = |paint| {
            let mut page = Page::new(paint);
            page.line(Tone::Good, "well");
            let mut rows = table(paint, &["Table"]);
            rows.add_row(vec![paint.cell(Tone::Bad, "orders")]);
            page.table(&rows);
            page.finish()
        };
        assert!(write(Paint::Coloured).contains("\u{1b}[32mwell\u{1b}[0m\n"));
        assert!(!write(Paint::Plain).contains('\u{1b}'));
    }

    #[test]
    fn fields_are_aligned_and_empty_ones_left_out() {
        let mut page = Page::new(Paint::Plain);
        page.field("Operation", "1");
        page.field("Actor", "");
        page.field("Fix", "a\nb");
        assert_eq!(
            page.finish(),
            "Operation      1\nFix            a\n               b\n"
        );
    }
}
