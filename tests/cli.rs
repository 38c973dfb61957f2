//! The command as a user runs it: streams, exit codes, formats, and files that are missing, wrong, huge or in the way.

mod calibrate;
mod chance;
mod control;
mod data;
mod ensembles;
mod files;
mod formats;
mod inspect;
mod numerics;
mod settings;
mod sim;
mod steady;
mod streams;
mod told;
mod train;
mod verbs;

use assert_cmd::Command;
use serde_json::Value;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

const MODEL: &str = "model M {\n  time [s]\n  param k [1/s] = 0.1\n  state S [uM] = 1\n  S' = -k*S\n}\n";

const BROKEN: &str = "model M {\n  time [s]\n  param k [1/s] = 0.1\n  state S [mM] = 5mM\n  S' = -k*S +\n}\n";

struct Room {
    folder: TempDir,
}

impl Room {
    fn new(files: &[(&str, &str)]) -> Room {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
            fs::write(path, text).expect("a file");
        }
        Room { folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn run(&self, args: &[&str]) -> Ended {
        Ended::of(self.command(args))
    }

    /// A script in which `twinc` is the command.
    #[cfg(target_os = "linux")]
    fn shell(&self, script: &str) -> Ended {
        let binary = assert_cmd::cargo::cargo_bin("twinc");
        let mut command = Command::new("sh");
        command.current_dir(self.path()).arg("-c").arg(script.replace("twinc", &binary.display().to_string()));
        Ended::of(command)
    }

    /// The command without the surroundings of the person who runs the tests.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::cargo_bin("twinc").expect("the binary");
        command.current_dir(self.path()).args(args);
        for name in ["TWINC_THREADS", "TWINC_COLOR", "TWINC_FORMAT", "NO_COLOR"] {
            command.env_remove(name);
        }
        command.env("XDG_CONFIG_HOME", self.path().join("no-settings"));
        command
    }
}

#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Ended {
    fn of(mut command: Command) -> Ended {
        let output = command.output().expect("the command runs");
        Ended {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    #[track_caller]
    fn ends(&self, code: i32) -> &Ended {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    #[track_caller]
    fn says(&self, words: &str) -> &Ended {
        assert!(self.err.contains(words), "no `{words}` in {self:#?}");
        self
    }

    #[track_caller]
    fn prints_nothing(&self) -> &Ended {
        assert_eq!(self.out, "", "{self:#?}");
        self
    }

    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}

const DECAY: &str = "model Decay {\n  time [s]\n  param k [1/s] = 0.5 in 0.01 .. 10\n  state S [uM] = 2\n  S' = -k*S\n  observe y [uM] = S ~ Normal(sd = 0.1)\n  expect S(2 [s]) = 0.7357588823428847 [uM] within 1e-7 [uM]\n}\n";

/// y = 2 exp(-0.5 t) without noise.
const DECAY_DATA: &str = "t,y\n0,2\n1,1.2130613194252668\n2,0.7357588823428847\n4,0.2706705664732254\n";

fn fit_study(starts: usize) -> String {
    format!(
        "use Decay from \"decay.twin\"\nstudy Fit of Decay {{\n  data \"data.csv\" {{ time <- t [s]; y <- y [uM] }}\n  estimate k\n  fit trust_region {{ starts = {starts} }}\n}}\n"
    )
}

fn fit_room(starts: usize) -> Room {
    Room::new(&[("decay.twin", DECAY), ("fit.twin", &fit_study(starts)), ("data.csv", DECAY_DATA)])
}

/// The one folder below `runs/<study>`.
fn run_folder(room: &Room, study: &str) -> std::path::PathBuf {
    let mut folders = fs::read_dir(room.path().join("runs").join(study)).expect("runs").flatten();
    folders.next().expect("a run").path()
}

/// A model with a range on each kind of quantity.
const LIMITED: &str = "model M {\n  time [s]\n  param k [1/s] = 0.1 in 0.01 .. 1\n  state S [uM] = 1 in 0 .. 10\n  input u [uM/s] = 0 in 0 .. 5\n  S' = u - k*S\n  observe y = S ~ Normal(sd = 0.1 [uM])\n}\n";
