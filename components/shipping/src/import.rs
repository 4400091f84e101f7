//! Reading lists of places: one record per line, comma-separated or tab-separated, in a stream of any length.
//! A bad record is reported by its line and reason and stops none of the others.

mod lines;

use axum::body::Bytes;
use futures::{Stream, StreamExt};
use serde::Serialize;
use service::Error;
use sql::Database;

use crate::country::Country;
use crate::destination::{NAME_CHARS_MAX, Postcode, fold};
use crate::place::Place;
use crate::store::places;

use lines::{Line, Lines};

/// Records that one transaction writes at most.
const BATCH_RECORDS: usize = 500;
/// Bad records that a report lists; it counts them all.
const ERRORS_LISTED_MAX: usize = 100;

/// How the cells of a line are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// RFC 4180, without line breaks in cells.
    Commas,
    /// Tabs, and no quotes.
    Tabs,
}

impl Format {
    pub(crate) const MEDIA_TYPES: &str = "text/csv, text/tab-separated-values";

    pub(crate) fn of_media_type(media_type: &str) -> Option<Self> {
        match media_type {
            "text/csv" => Some(Self::Commas),
            "text/tab-separated-values" => Some(Self::Tabs),
            _ => None,
        }
    }

    fn cells(self, line: &str) -> Result<Vec<String>, String> {
        let reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .delimiter(if self == Self::Commas { b',' } else { b'\t' })
            .quoting(self == Self::Commas)
            .from_reader(line.as_bytes());
        let record = reader.into_records().next().ok_or("the line is empty")?;
        Ok(record.map_err(|error| error.to_string())?.iter().map(|cell| cell.trim().to_owned()).collect())
    }
}

/// The fields of a place by the position of their cells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Columns {
    country: usize,
    name: usize,
    postcode: Option<usize>,
    region: Option<usize>,
    population: Option<usize>,
}

impl Columns {
    /// Reads the names of the columns; those that are not a field of a place are left out.
    pub(crate) fn new<'a>(names: impl Iterator<Item = &'a str> + Clone) -> Result<Self, String> {
        let position = |field: &str| names.clone().position(|name| name.trim().eq_ignore_ascii_case(field));
        let required = |field: &str| position(field).ok_or_else(|| format!("a column {field:?} is required"));
        Ok(Self {
            country: required("country")?,
            name: required("name")?,
            postcode: position("postcode"),
            region: position("region"),
            population: position("population"),
        })
    }

    fn place(&self, cells: &[String]) -> Result<Place, String> {
        let cell = |index: usize| cells.get(index).map(String::as_str).unwrap_or_default();
        let optional = |index: Option<usize>| index.map(cell).unwrap_or_default();
        let text = |field: &str, text: &str| match text.chars().count() <= NAME_CHARS_MAX {
            true => Ok(text.to_owned()),
            false => Err(format!("{field}: at most {NAME_CHARS_MAX} characters")),
        };
        let name = text("name", cell(self.name))?;
        if fold(&name).is_empty() {
            return Err("name: is required".to_owned());
        }
        let population = match optional(self.population) {
            "" => 0,
            digits => digits.parse().map_err(|_| format!("population: {digits:?} is not a count"))?,
        };
        Ok(Place {
            country: Country::try_from(cell(self.country).to_owned()).map_err(|error| format!("country: {error}"))?,
            postcode: Postcode::try_from(optional(self.postcode).to_owned())
                .map_err(|error| format!("postcode: {error}"))?,
            region: text("region", optional(self.region))?,
            name,
            population,
        })
    }
}

/// What an import did.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Report {
    rows: u64,
    imported: u64,
    failed: u64,
    errors: Vec<BadRow>,
}

/// A record that was not imported.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct BadRow {
    line: u64,
    reason: String,
}

/// An import on its way.
struct Import<'a> {
    database: &'a Database,
    format: Format,
    /// Known from the start, or from the first line on.
    columns: Option<Columns>,
    batch: Vec<Place>,
    report: Report,
}

/// Reads the stream to its end. Without `columns` the first line names them. What was written before a stream broke
/// off stays written.
pub(crate) async fn run<E>(
    database: &Database,
    format: Format,
    columns: Option<Columns>,
    stream: impl Stream<Item = Result<Bytes, E>>,
) -> Result<Report, Error> {
    let mut import = Import { database, format, columns, batch: Vec::new(), report: Report::default() };
    let (mut lines, mut waiting) = (Lines::default(), Vec::new());
    let mut stream = std::pin::pin!(stream);
    while let Some(chunk) = stream.next().await {
        lines.push(&chunk.map_err(|_| Error::BrokenBody)?, &mut waiting);
        for line in waiting.drain(..) {
            import.take(line).await?;
        }
    }
    lines.finish(&mut waiting);
    for line in waiting {
        import.take(line).await?;
    }
    import.write().await?;
    Ok(import.report)
}

impl Import<'_> {
    async fn take(&mut self, line: Line) -> Result<(), Error> {
        let cells = line.text.and_then(|text| self.format.cells(&text));
        let Some(columns) = &self.columns else {
            let columns = cells.and_then(|cells| Columns::new(cells.iter().map(String::as_str)));
            self.columns = Some(columns.map_err(|reason| Error::invalid("columns", reason))?);
            return Ok(());
        };
        self.report.rows += 1;
        match cells.and_then(|cells| columns.place(&cells)) {
            Ok(place) => self.batch.push(place),
            Err(reason) => {
                self.report.failed += 1;
                if self.report.errors.len() < ERRORS_LISTED_MAX {
                    self.report.errors.push(BadRow { line: line.number, reason });
                }
            }
        }
        if self.batch.len() >= BATCH_RECORDS { self.write().await } else { Ok(()) }
    }

    async fn write(&mut self) -> Result<(), Error> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let transaction = self.database.begin().await?;
        places::forget_samples(&transaction, &self.batch).await?;
        places::save(&transaction, &self.batch, false).await?;
        transaction.commit().await?;
        self.report.imported += self.batch.len() as u64;
        self.batch.clear();
        Ok(())
    }
}

/// The places of a list that is part of the program: one with a header, and without a mistake.
pub(crate) fn read_all(list: &str) -> Result<Vec<Place>, String> {
    let mut lines = list.lines();
    let header = Format::Commas.cells(lines.next().unwrap_or_default())?;
    let columns = Columns::new(header.iter().map(String::as_str))?;
    lines.map(|line| columns.place(&Format::Commas.cells(line)?)).collect()
}
