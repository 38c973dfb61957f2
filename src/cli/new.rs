//! `twinc new` and `twinc init`: a small working model with a study and data to change into one's own.
//!
//! Nothing that exists is ever overwritten: all places are looked at before the first file is written.

use super::console::Console;
use super::failure::{Exit, Failure};
use super::files;
use serde_json::json;
use std::path::Path;

/// What is written: path below the folder, and content.
const FILES: [(&str, &str); 4] = [
    ("enzyme.twin", include_str!("template/enzyme.twin")),
    ("data/progress.csv", include_str!("template/data/progress.csv")),
    ("twinc.toml", "# Settings of the tool, such as `threads = 4`; what is computed stands in the .twin files.\n"),
    (".gitignore", "runs/\n"),
];

/// Writes the template into `folder`, which is made where it does not exist.
///
/// # Errors
/// E0802 where a file is in the way or cannot be written.
pub fn run(folder: &Path, console: &mut Console) -> Result<Exit, Failure> {
    let in_the_way: Vec<String> = FILES
        .iter()
        .map(|(name, _)| folder.join(name))
        .filter(|path| path.symlink_metadata().is_ok())
        .map(|path| format!("`{}`", path.display()))
        .collect();
    if !in_the_way.is_empty() {
        let verb = if in_the_way.len() == 1 { "is" } else { "are" };
        return Err(Failure::new("E0802", format!("{} {verb} already there", in_the_way.join(", ")))
            .help("choose another folder: `twinc new NAME`"));
    }
    for (name, text) in FILES {
        let path = folder.join(name);
        let parent = path.parent().unwrap_or(folder);
        std::fs::create_dir_all(parent).map_err(|error| {
            let why = super::console::reason(&error);
            Failure::new("E0802", format!("the folder `{}` cannot be made: {why}", parent.display()))
        })?;
        files::write_whole(&path, text.as_bytes()).map_err(|why| Failure::new("E0802", why))?;
    }
    let written: Vec<String> = FILES.iter().map(|(name, _)| folder.join(name).display().to_string()).collect();
    if console.is_text() {
        console.say(format!("wrote {}", written.join(", ")));
        let model = folder.join("enzyme.twin");
        console.say(format!("next: twinc check {0}; twinc calibrate {0}", model.display()));
    } else {
        console.result(json!({ "written": written }));
    }
    Ok(Exit::Fine)
}
