//! Published reference data, found by the variable `TWINC_REFERENCE_DIR` (the folder that holds `reference/`).

use std::fs;
use std::path::{Path, PathBuf};

/// The folder of reference data; without it says so and returns `None`.
pub fn reference_dir() -> Option<PathBuf> {
    match std::env::var_os("TWINC_REFERENCE_DIR") {
        Some(dir) => Some(PathBuf::from(dir)),
        None => {
            eprintln!("skipped: no reference data");
            None
        }
    }
}

/// A table of numbers with one header line.
pub struct Table {
    /// Names of the columns.
    pub header: Vec<String>,
    /// Values, row by row; NaN where a cell is not a number.
    pub rows: Vec<Vec<f64>>,
}

impl Table {
    /// Reads a CSV file without quotes.
    pub fn read(path: &Path) -> Table {
        let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let mut lines = text.lines();
        let header = lines.next().unwrap_or_default().split(',').map(|s| s.trim().to_string()).collect();
        let rows = lines
            .filter(|l| !l.trim().is_empty())
            .map(|l| l.split(',').map(|c| c.trim().parse().unwrap_or(f64::NAN)).collect())
            .collect();
        Table { header, rows }
    }

    /// Position of a column.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.header.iter().position(|h| h == name)
    }
}
