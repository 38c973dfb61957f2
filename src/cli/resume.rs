//! `--resume FOLDER`: an earlier run to go on with, and what it was asked for.

use super::failure::Failure;
use super::run_folder::Manifest;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// A run to go on with; `A` is what its verb was asked for.
#[derive(Debug)]
pub struct Earlier<A> {
    /// Where it is.
    pub folder: PathBuf,
    /// What made it.
    pub manifest: Manifest,
    /// File and flags.
    pub asked: A,
}

impl<A> Earlier<A> {
    /// Reads the run of a verb; `asked` reads what [`super::run_folder::Recipe::asked`] was.
    ///
    /// # Errors
    /// E0801 where there is no manifest, E0804 where it is of nothing that could go on.
    pub fn read(folder: &Path, verb: &str, asked: impl Fn(&Value) -> Option<A>) -> Result<Earlier<A>, Failure> {
        let manifest = Manifest::read(folder)?;
        let found = asked(manifest.asked()).filter(|_| manifest.verb() == verb);
        match found {
            Some(asked) => Ok(Earlier { folder: folder.into(), manifest, asked }),
            None if manifest.verb() == verb => {
                Err(Failure::new("E0804", format!("`{}` holds one run, which is made anew", folder.display()))
                    .help("several runs or episodes can be resumed: sweeps, draws, paths, episodes"))
            }
            None => Err(Failure::new("E0804", format!("`{}` holds no run of `{verb}`", folder.display()))
                .help("calibrations can be resumed, simulations of several runs and control of several episodes, each by its own verb")),
        }
    }

    /// E0801 where the file is not below the present folder, but was below the one that the run was started in.
    ///
    /// # Errors
    /// That.
    pub fn is_in_reach(&self, file: &Path) -> Result<(), Failure> {
        let Some(begun_in) = self.manifest.folder().filter(|_| !file.exists()) else { return Ok(()) };
        if std::env::current_dir().is_ok_and(|here| here == begun_in) {
            return Ok(());
        }
        let folder = std::fs::canonicalize(&self.folder).unwrap_or_else(|_| self.folder.clone());
        let title = format!("`{}` cannot be read: the run was started in another folder", file.display());
        Err(Failure::new("E0801", title).help(format!(
            "run `twinc {} --resume {}` in `{}`",
            self.manifest.verb(),
            folder.display(),
            begun_in.display()
        )))
    }
}
