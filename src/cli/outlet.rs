//! Where the table and the plot of a simulation go: standard output, or a file whose name tells the format. What cannot
//! be written is refused before anything is computed.

use super::args::SimArgs;
use super::console::Console;
use super::failure::Failure;
use super::files;
use crate::export::table::Table;
use std::path::{Path, PathBuf};

/// Takes bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outlet {
    /// The stream of this process, whatever stands behind it.
    Stdout,
    /// A file, replaced as a whole.
    File(PathBuf),
}

impl Outlet {
    /// The place that a path names.
    pub fn of(path: &Path) -> Outlet {
        if files::is_stdout(path) { Outlet::Stdout } else { Outlet::File(path.into()) }
    }

    /// True for standard output.
    pub fn is_stdout(&self) -> bool {
        *self == Outlet::Stdout
    }

    /// Writes all of `bytes`.
    ///
    /// # Errors
    /// E0802 with the place.
    pub fn write(&self, bytes: &[u8], console: &mut Console) -> Result<(), Failure> {
        match self {
            Outlet::Stdout => console.data(bytes),
            Outlet::File(path) => files::write_whole(path, bytes).map_err(|why| Failure::new("E0802", why)),
        }
    }
}

/// The forms of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Comma,
    Tab,
    Parquet,
}

/// Places that were looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outlets {
    /// `None` where the table is a part of a JSON document only.
    table: Option<(Outlet, Form)>,
    /// `--plot`
    pub plot: Option<Outlet>,
}

impl Outlets {
    /// The places that the flags name.
    ///
    /// # Errors
    /// E0804 for a name that tells another format, for a format that was not built in, and where two things would go to
    /// standard output.
    pub fn of(args: &SimArgs, console: &Console) -> Result<Outlets, Failure> {
        let table = match &args.out {
            Some(path) => Some((Outlet::of(path), form(path)?)),
            None => console.is_text().then_some((Outlet::Stdout, Form::Comma)),
        };
        let plot = args.plot.as_deref().map(plot).transpose()?;
        let has_table = table.as_ref().is_some_and(|(outlet, _)| *outlet == Outlet::Stdout);
        let has_plot = plot == Some(Outlet::Stdout);
        if has_table && has_plot {
            return Err(Failure::new("E0804", "the table and the plot would both go to standard output")
                .help("give the table a file: `--out table.csv`"));
        }
        if !console.is_text() && (has_table || has_plot) {
            let title = format!("standard output takes one `{}` document and nothing else", console.format.name());
            return Err(Failure::new("E0804", title).help("name a file; the document holds the table already"));
        }
        Ok(Outlets { table, plot })
    }

    /// The place of a table that is written as text, and what stands between its columns.
    pub fn text(&self) -> Option<(&Outlet, char)> {
        let (outlet, form) = self.table.as_ref()?;
        match form {
            Form::Comma => Some((outlet, ',')),
            Form::Tab => Some((outlet, '\t')),
            Form::Parquet => None,
        }
    }

    /// True where the table is written in a form that needs all of it at once.
    pub fn needs_table(&self) -> bool {
        self.table.as_ref().is_some_and(|(_, form)| *form == Form::Parquet)
    }

    /// Writes the table to its place.
    ///
    /// # Errors
    /// E0802 with the place.
    pub fn write_table(&self, table: &Table, console: &mut Console) -> Result<(), Failure> {
        let Some((outlet, form)) = &self.table else { return Ok(()) };
        let bytes = match form {
            Form::Comma => table.to_csv().into_bytes(),
            Form::Tab => table.to_tsv().into_bytes(),
            Form::Parquet => parquet(table)?,
        };
        outlet.write(&bytes, console)
    }
}

fn extension(path: &Path) -> Option<String> {
    Some(path.extension()?.to_string_lossy().to_lowercase())
}

fn form(path: &Path) -> Result<Form, Failure> {
    match extension(path).as_deref() {
        None | Some("csv" | "txt") => Ok(Form::Comma),
        Some("tsv") => Ok(Form::Tab),
        Some("parquet") if cfg!(feature = "parquet") => Ok(Form::Parquet),
        Some("parquet") => Err(Failure::new("E0804", "this twinc was built without Parquet")
            .help("write `.csv`, or build with `cargo install twinc --features parquet`")),
        Some(other) => Err(Failure::new("E0804", format!("`{}`: no table is written as `.{other}`", path.display()))
            .help(match other {
                "svg" => "for a drawing write `--plot FILE.svg`; a table is `.csv`, `.tsv`, `.txt` or `.parquet`",
                _ => "choose a name that ends in `.csv`, `.tsv`, `.txt` or `.parquet`",
            })),
    }
}

fn plot(path: &Path) -> Result<Outlet, Failure> {
    match (Outlet::of(path), extension(path).as_deref()) {
        (Outlet::Stdout, _) => Ok(Outlet::Stdout),
        (outlet, None | Some("svg")) => Ok(outlet),
        (Outlet::File(_), Some(other)) => {
            Err(Failure::new("E0804", format!("`{}`: no plot is written as `.{other}`", path.display()))
                .help("choose a name that ends in `.svg`"))
        }
    }
}

#[cfg(feature = "parquet")]
fn parquet(table: &Table) -> Result<Vec<u8>, Failure> {
    table.to_parquet().map_err(|why| Failure::new("E0802", why))
}

/// A name in `.parquet` is refused where it cannot be written.
#[cfg(not(feature = "parquet"))]
fn parquet(table: &Table) -> Result<Vec<u8>, Failure> {
    Ok(table.to_csv().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_the_format() {
        for (name, expected) in [("a.csv", Form::Comma), ("a", Form::Comma), ("-", Form::Comma), ("b.TSV", Form::Tab)] {
            assert_eq!(form(Path::new(name)).map_err(|f| f.diagnostics), Ok(expected), "{name}");
        }
        for name in ["a.json", "a.xlsx", "a.svg", "a.csv.gz"] {
            assert!(form(Path::new(name)).is_err(), "{name}");
        }
        assert!(plot(Path::new("a.png")).is_err() && plot(Path::new("a.svg")).is_ok());
        assert_eq!(plot(Path::new("/dev/stdout")).ok(), Some(Outlet::Stdout));
    }
}
