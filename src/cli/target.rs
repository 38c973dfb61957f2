//! `FILE[:NAME]`: which file, and which of the things in it.

use super::failure::Failure;
use super::files;
use crate::diag::closest::closest;
use crate::source::{SourceFile, SourceId, SourceMap};
use std::path::{Path, PathBuf};

/// A file and perhaps the name of something in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The file.
    pub path: PathBuf,
    /// What to take of it.
    pub name: Option<String>,
}

impl Target {
    /// Splits `models/mm.twin:FitMM`. A file whose own name has a colon wins over the split.
    pub fn parse(text: &str) -> Target {
        if !Path::new(text).exists()
            && let Some((path, name)) = text.rsplit_once(':')
            && !path.is_empty()
            && !name.is_empty()
            && !name.contains(['/', '\\'])
        {
            return Target { path: path.into(), name: Some(name.into()) };
        }
        Target { path: text.into(), name: None }
    }

    /// Reads the file into `sources`.
    ///
    /// # Errors
    /// E0801 or E0110 with the way out.
    pub fn read(&self, sources: &mut SourceMap) -> Result<SourceId, Failure> {
        let name = self.path.display().to_string();
        let text = files::read_text(&self.path).map_err(|error| {
            Failure::new(error.code, format!("`{name}` cannot be read: {}", error.reason)).help(error.help)
        })?;
        Ok(sources.add(SourceFile::new(name, text)))
    }

    /// Takes the named one of `candidates`, or the only one; `what` is their noun.
    ///
    /// # Errors
    /// E0803 with the candidates where there is none, no such one, or several.
    pub fn choose<'a>(&self, what: &str, candidates: &[&'a str]) -> Result<&'a str, Failure> {
        let file = self.path.display();
        let list = candidates.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        if let Some(wanted) = &self.name {
            if let Some(found) = candidates.iter().find(|name| *name == wanted) {
                return Ok(found);
            }
            let failure = Failure::new("E0803", format!("`{file}` has no {what} named `{wanted}`"));
            return Err(match closest(wanted, candidates.iter().copied()) {
                Some(close) => failure.help(format!("did you mean `{file}:{close}`?")),
                None if candidates.is_empty() => failure.help(format!("it has no {what} at all")),
                None => failure.help(format!("it has {list}")),
            });
        }
        match candidates {
            [] => Err(Failure::new("E0803", format!("`{file}` has no {what}"))),
            [only] => Ok(only),
            [first, ..] => Err(Failure::new("E0803", format!("`{file}` has more than one {what}: {list}"))
                .help(format!("name one, as in `{file}:{first}`"))),
        }
    }
}

/// One `--set path=value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// A quantity (`kcat`, `part.k`) or a setting (`fit.starts`).
    pub path: String,
    /// As written, in the language: `0.3`, `5 [mM]`, `true`.
    pub value: String,
}

/// Reads `path=value`; clap calls it.
///
/// # Errors
/// What was expected.
pub fn parse_assignment(text: &str) -> Result<Assignment, String> {
    let (path, value) = text.split_once('=').ok_or("expected `path=value`, such as `kcat=0.3`")?;
    let (path, value) = (path.trim(), value.trim());
    let is_path =
        !path.is_empty() && path.split('.').all(|part| !part.is_empty() && !part.contains(char::is_whitespace));
    if !is_path || value.is_empty() {
        return Err("expected `path=value`, such as `kcat=0.3` or `fit.starts=50`".into());
    }
    Ok(Assignment { path: path.into(), value: value.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_file_and_name() {
        let target = Target::parse("models/mm.twin:FitMM");
        assert_eq!((target.path.as_path(), target.name.as_deref()), (Path::new("models/mm.twin"), Some("FitMM")));
        assert_eq!(Target::parse("C:/mm.twin").name, None);
        assert_eq!(Target::parse("mm.twin").name, None);
    }

    #[test]
    fn takes_the_only_one_and_lists_several() {
        let target = Target::parse("m.twin");
        assert_eq!(target.choose("study", &["A"]).ok(), Some("A"));
        let failure = target.choose("study", &["A", "B"]).expect_err("two");
        let shown: Vec<_> = failure.diagnostics.iter().map(|d| (d.title.clone(), d.help.clone())).collect();
        assert_eq!(
            shown,
            [("`m.twin` has more than one study: `A`, `B`".into(), Some("name one, as in `m.twin:A`".into()))]
        );
        assert!(Target::parse("m.twin:Ab").choose("study", &["A", "B"]).is_err());
    }

    #[test]
    fn reads_assignments() {
        let parsed = parse_assignment("fit.starts = 50");
        assert_eq!(parsed, Ok(Assignment { path: "fit.starts".into(), value: "50".into() }));
        for bad in ["kcat", "=3", "k=", "a..b=1", "a b=1"] {
            assert!(parse_assignment(bad).is_err(), "{bad}");
        }
    }
}
