//! The report: bars met and missed, the machine, and one section per comparison, as Markdown.

use std::fmt::{self, Display};

/// All that a run found out.
pub(crate) struct Report {
    /// What the machine and the programs are, as name and value.
    pub(crate) machine: Vec<(String, String)>,
    /// How it was measured.
    pub(crate) method: String,
    /// The comparisons.
    pub(crate) sections: Vec<Section>,
}

/// One comparison.
pub(crate) struct Section {
    /// Its heading.
    pub(crate) title: &'static str,
    /// What is compared with what, and with which settings.
    pub(crate) about: String,
    /// The figures.
    pub(crate) table: Table,
    /// More figures, each table with the words that it needs.
    pub(crate) details: Vec<(String, Table)>,
    /// What the figures are held against.
    pub(crate) bars: Vec<Bar>,
}

/// A table of figures.
pub(crate) struct Table {
    /// The headings of the columns.
    pub(crate) columns: Vec<&'static str>,
    /// The rows, each as long as `columns`.
    pub(crate) rows: Vec<Vec<String>>,
}

/// A bound that a figure has to keep.
pub(crate) struct Bar {
    what: String,
    bound: Bound,
    unit: &'static str,
    seen: f64,
}

enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Bar {
    /// `seen` has to be `bound` or more.
    pub(crate) fn at_least(bound: f64, unit: &'static str, what: impl Into<String>, seen: f64) -> Self {
        Self { what: what.into(), bound: Bound::AtLeast(bound), unit, seen }
    }

    /// `seen` has to be `bound` or less.
    pub(crate) fn at_most(bound: f64, unit: &'static str, what: impl Into<String>, seen: f64) -> Self {
        Self { what: what.into(), bound: Bound::AtMost(bound), unit, seen }
    }

    /// Whether the bound is kept; a figure that is missing (NaN) keeps none.
    pub(crate) fn is_met(&self) -> bool {
        match self.bound {
            Bound::AtLeast(bound) => self.seen >= bound,
            Bound::AtMost(bound) => self.seen <= bound,
        }
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# Benchmark\n\nWritten by `cargo xtask bench`.\n{}\n", self.method)?;
        writeln!(f, "## Bars\n")?;
        let rows = self.sections.iter().flat_map(|section| &section.bars).map(Bar::row).collect();
        writeln!(f, "{}", Table { columns: vec!["what", "bar", "seen", ""], rows })?;
        writeln!(f, "## Machine\n")?;
        let rows = self.machine.iter().map(|(name, value)| vec![name.clone(), value.clone()]).collect();
        write!(f, "{}", Table { columns: vec!["", ""], rows })?;
        self.sections.iter().try_for_each(|section| write!(f, "\n{section}"))
    }
}

impl Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "## {}\n\n{}\n\n{}", self.title, self.about, self.table)?;
        self.details.iter().try_for_each(|(words, table)| write!(f, "\n{words}\n\n{table}"))
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| {} |", self.columns.join(" | "))?;
        writeln!(f, "|{}", "---|".repeat(self.columns.len()))?;
        self.rows.iter().try_for_each(|row| writeln!(f, "| {} |", row.join(" | ")))
    }
}

impl Bar {
    fn row(&self) -> Vec<String> {
        let (sign, bound) = match self.bound {
            Bound::AtLeast(bound) => (">=", bound),
            Bound::AtMost(bound) => ("<=", bound),
        };
        let met = if self.is_met() { "met" } else { "**missed**" };
        vec![
            self.what.clone(),
            format!("{sign} {bound}{}", self.unit),
            format!("{:.2}{}", self.seen, self.unit),
            met.into(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_holds_the_figure_against_its_bound() {
        assert!(Bar::at_least(1.5, "x", "", 1.5).is_met());
        assert!(!Bar::at_least(1.5, "x", "", 1.49).is_met());
        assert!(Bar::at_most(30.0, " ms", "", 30.0).is_met());
        assert!(!Bar::at_most(30.0, " ms", "", 30.01).is_met());
        assert!(!Bar::at_most(30.0, " ms", "", f64::NAN).is_met());
    }

    #[test]
    fn the_report_lists_bars_machine_and_sections() {
        let report = Report {
            machine: vec![("cores".into(), "2".into())],
            method: "Five rounds.".into(),
            sections: vec![Section {
                title: "Hello",
                about: "Ours and theirs.".into(),
                table: Table { columns: vec!["side", "requests/s"], rows: vec![vec!["ours".into(), "50000".into()]] },
                details: vec![("By step.".into(), Table { columns: vec!["step"], rows: vec![vec!["first".into()]] })],
                bars: vec![
                    Bar::at_least(1.5, "x", "hello, 16 connections", 1.25),
                    Bar::at_most(30.0, " ms", "start", 12.0),
                ],
            }],
        };
        let expected = "# Benchmark\n\nWritten by `cargo xtask bench`.\nFive rounds.\n\n## Bars\n\n\
            | what | bar | seen |  |\n|---|---|---|---|\n\
            | hello, 16 connections | >= 1.5x | 1.25x | **missed** |\n\
            | start | <= 30 ms | 12.00 ms | met |\n\n\
            ## Machine\n\n|  |  |\n|---|---|\n| cores | 2 |\n\n\
            ## Hello\n\nOurs and theirs.\n\n| side | requests/s |\n|---|---|\n| ours | 50000 |\n\n\
            By step.\n\n| step |\n|---|\n| first |\n";
        assert_eq!(report.to_string(), expected);
    }
}
