//! Tool settings and where each comes from: flags, then `TWINC_*`, then the nearest `twinc.toml`, then the user's.
//!
//! There are three: `threads`, `color`, `format`. They say how twinc works, never what it computes; that stands in
//! studies. So a result never depends on a machine's configuration.

use super::args::{ColorChoice, Common, Format};
use super::failure::{Exit, Failure};
use super::files;
use crate::diag::closest::closest;
use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::source::{SourceFile, SourceMap, Span};
use clap::ValueEnum;
use std::path::{Path, PathBuf};

/// A setting with its origin, such as `flag --threads` or `/home/a/twinc.toml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sourced<T> {
    /// The value in force.
    pub value: T,
    /// Where it comes from.
    pub origin: String,
}

/// The settings in force.
#[derive(Debug, Clone)]
pub struct Config {
    /// Threads to compute with; 0 means one per processor.
    pub threads: Sourced<usize>,
    /// When to use color.
    pub color: Sourced<ColorChoice>,
    /// How results are written.
    pub format: Sourced<Format>,
    /// The settings files read, the one that counts more first.
    pub files: Vec<PathBuf>,
}

/// The names a settings file may use.
const NAMES: [&str; 3] = ["threads", "color", "format"];

/// A problem of the configuration with the texts its labels point into.
pub type ConfigFailure = (Failure, SourceMap);

#[derive(Default)]
struct Layer {
    threads: Option<usize>,
    color: Option<ColorChoice>,
    format: Option<Format>,
}

impl Config {
    /// Resolves the settings; `variable` reads an environment variable.
    ///
    /// # Errors
    /// A settings file that cannot be read, an unknown setting or a value that does not fit.
    pub fn resolve(
        common: &Common,
        folder: &Path,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Config, Box<ConfigFailure>> {
        let mut layers =
            vec![("flag".to_string(), Layer { threads: common.threads, color: common.color, format: common.format })];
        layers.push(("environment".into(), environment(variable).map_err(|f| Box::new((f, SourceMap::default())))?));
        let mut files = Vec::new();
        if !common.no_config {
            match &common.config {
                Some(path) => files.push(path.clone()),
                None => {
                    files.extend(folder.ancestors().map(|f| f.join("twinc.toml")).find(|path| path.is_file()));
                    files.extend(user_file(variable).filter(|path| path.is_file()));
                }
            }
        }
        for path in &files {
            layers.push((path.display().to_string(), read(path)?));
        }
        let pick = |name: &str, origin: &str| match origin {
            "flag" => format!("flag --{name}"),
            "environment" => format!("variable TWINC_{}", name.to_uppercase()),
            path => path.to_string(),
        };
        let mut config = Config {
            threads: Sourced { value: 0, origin: "default".into() },
            color: Sourced { value: ColorChoice::Auto, origin: "default".into() },
            format: Sourced { value: Format::Human, origin: "default".into() },
            files,
        };
        for (origin, layer) in layers.iter().rev() {
            if let Some(value) = layer.threads {
                config.threads = Sourced { value, origin: pick("threads", origin) };
            }
            if let Some(value) = layer.color {
                config.color = Sourced { value, origin: pick("color", origin) };
            }
            if let Some(value) = layer.format {
                config.format = Sourced { value, origin: pick("format", origin) };
            }
        }
        Ok(config)
    }
}

fn user_file(variable: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let folder = variable("XDG_CONFIG_HOME")
        .filter(|v| !v.is_empty())
        .map(PathBuf::from)
        .or_else(|| variable("APPDATA").map(PathBuf::from))
        .or_else(|| variable("HOME").map(|home| Path::new(&home).join(".config")))?;
    Some(folder.join("twinc").join("twinc.toml"))
}

fn environment(variable: &dyn Fn(&str) -> Option<String>) -> Result<Layer, Failure> {
    let mut layer = Layer::default();
    for name in NAMES {
        let key = format!("TWINC_{}", name.to_uppercase());
        let Some(text) = variable(&key).filter(|v| !v.is_empty()) else { continue };
        set(&mut layer, name, &text)
            .map_err(|expected| Failure::new("E0804", format!("`{key}` is `{text}`, but it must be {expected}")))?;
    }
    Ok(layer)
}

/// Puts one setting into a layer; the error says what was expected.
fn set(layer: &mut Layer, name: &str, text: &str) -> Result<(), String> {
    match name {
        "threads" => {
            layer.threads = Some(text.parse().map_err(|_| "a whole number, 0 for one per processor".to_string())?)
        }
        "color" => layer.color = Some(choice(text)?),
        "format" => layer.format = Some(choice(text)?),
        _ => return Err(format!("one of {}", NAMES.join(", "))),
    }
    Ok(())
}

fn choice<T: ValueEnum>(text: &str) -> Result<T, String> {
    T::from_str(text, true).map_err(|_| {
        let names: Vec<String> =
            T::value_variants().iter().filter_map(|v| Some(v.to_possible_value()?.get_name().to_string())).collect();
        format!("one of {}", names.join(", "))
    })
}

fn read(path: &Path) -> Result<Layer, Box<ConfigFailure>> {
    let name = path.display().to_string();
    let text = files::read_text(path).map_err(|error| {
        let failure = Failure::new("E0801", format!("`{name}` cannot be read: {}", error.reason)).help(error.help);
        Box::new((failure, SourceMap::default()))
    })?;
    let mut sources = SourceMap::default();
    let id = sources.add(SourceFile::new(name.clone(), text.clone()));
    let mut diagnostics = Diagnostics::default();
    let mut layer = Layer::default();
    match toml::de::DeTable::parse(&text) {
        Err(error) => {
            let range = error.span().unwrap_or(0..0);
            diagnostics.push(
                Diagnostic::new(Code("E0602"), Span::new(id, range.start, range.end), "a settings file is not TOML")
                    .at(error.message().to_string())
                    .help("write one setting a line, such as `threads = 4`"),
            );
        }
        Ok(table) => {
            for (key, value) in table.get_ref() {
                let word: &str = key.get_ref();
                if !NAMES.contains(&word) {
                    let span = Span::new(id, key.span().start, key.span().end);
                    let mut diagnostic = Diagnostic::new(Code("E0603"), span, format!("unknown setting `{word}`"));
                    diagnostic = match closest(word, NAMES) {
                        Some(close) => diagnostic.help(format!("did you mean `{close}`?")).fix(
                            format!("write `{close}`"),
                            span,
                            close,
                        ),
                        None => diagnostic.help(format!("settings are {}", NAMES.join(", "))),
                    };
                    diagnostics.push(diagnostic);
                    continue;
                }
                let plain = match value.get_ref() {
                    toml::de::DeValue::String(text) => text.to_string(),
                    toml::de::DeValue::Integer(number) => number.as_str().to_string(),
                    _ => String::new(),
                };
                if let Err(expected) = set(&mut layer, word, &plain) {
                    let span = Span::new(id, value.span().start, value.span().end);
                    diagnostics.push(
                        Diagnostic::new(Code("E0602"), span, format!("`{word}` has a value that does not fit"))
                            .at(format!("expected {expected}")),
                    );
                }
            }
        }
    }
    if diagnostics.has_errors() {
        return Err(Box::new((Failure { exit: Exit::Usage, diagnostics }, sources)));
    }
    Ok(layer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags() -> Common {
        Common { format: None, color: None, threads: None, quiet: false, verbose: 0, config: None, no_config: false }
    }

    #[test]
    fn flags_beat_variables_beat_files_beat_the_users_file() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let inner = folder.path().join("a/b");
        std::fs::create_dir_all(&inner).expect("folders");
        std::fs::create_dir_all(folder.path().join("home/twinc")).expect("folders");
        std::fs::write(folder.path().join("a/twinc.toml"), "threads = 3\ncolor = \"never\"\n").expect("file");
        std::fs::write(
            folder.path().join("home/twinc/twinc.toml"),
            "threads = 9\ncolor = \"always\"\nformat = \"json\"\n",
        )
        .expect("file");
        let home = folder.path().join("home").display().to_string();
        let variable = |name: &str| match name {
            "XDG_CONFIG_HOME" => Some(home.clone()),
            "TWINC_THREADS" => Some("5".into()),
            _ => None,
        };
        let config = Config::resolve(&flags(), &inner, &variable).map_err(|e| e.0.diagnostics).expect("settings");
        assert_eq!((config.threads.value, config.threads.origin.as_str()), (5, "variable TWINC_THREADS"));
        assert_eq!(config.color.value, ColorChoice::Never);
        assert_eq!(config.format.value, Format::Json);
        let config = Config::resolve(&Common { threads: Some(2), ..flags() }, &inner, &variable)
            .map_err(|e| e.0.diagnostics)
            .expect("settings");
        assert_eq!(config.threads, Sourced { value: 2, origin: "flag --threads".into() });
        let config = Config::resolve(&Common { no_config: true, ..flags() }, &inner, &|_| None)
            .map_err(|e| e.0.diagnostics)
            .expect("settings");
        assert_eq!(config.threads.origin, "default");
    }

    #[test]
    fn a_misspelt_setting_is_named() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("twinc.toml"), "thraeds = 3\n").expect("file");
        let failure = Config::resolve(&flags(), folder.path(), &|_| None).expect_err("an unknown setting");
        assert_eq!(failure.0.exit, Exit::Usage);
        let help: Vec<_> = failure.0.diagnostics.iter().filter_map(|d| d.help.clone()).collect();
        assert_eq!(help, ["did you mean `threads`?"]);
    }
}
