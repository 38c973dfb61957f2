//! The command line: reads arguments and settings, runs one verb, renders what it found and ends with its exit code.
//!
//! This is one of the few places that touch files, clocks, terminals and environment variables. Each verb has a file;
//! `failure` holds the exit codes, `console` the two streams, [`render`] and `machine` the diagnostics.

mod additions;
mod args;
mod calibrate;
mod check;
mod config;
mod console;
mod control;
mod control_asked;
mod control_kept;
mod control_report;
mod control_run;
mod control_table;
mod diff;
mod doctor;
mod evaluate;
mod explain;
mod failure;
mod fault;
mod files;
mod fit_report;
mod fit_run;
mod fix;
mod fmt;
mod idle;
mod inspect;
mod interrupt;
mod machine;
mod new;
mod open_loop;
mod outlet;
mod parts;
mod paths;
mod prepare;
mod progress;
mod reasons;
mod recorder;
pub mod render;
mod resume;
mod run_folder;
mod runs;
mod sim;
mod sim_asked;
mod sim_result;
mod sim_run;
mod sim_write;
mod simulation;
mod single_run;
mod steady;
mod stream;
mod target;
mod test;
mod train;
mod train_files;
mod train_ground;
mod train_job;
mod train_live;
mod train_methods;
mod train_policy;
mod train_result;
mod verdict;
mod watch;

pub use files::{FsLoader, FsSink};

use crate::source::SourceMap;
use args::{Cli, ColorChoice, Format, Verb};
use clap::{CommandFactory, Parser, ValueEnum};
use config::{Config, Sourced};
use console::Console;
use failure::{Exit, Failure};
use std::process::ExitCode;

/// Stack of the thread that runs a verb, bytes: trees are walked by recursion up to the nesting limit, and the memory
/// is only reserved.
const STACK_BYTES: usize = 256 << 20;

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    fault::install();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { Exit::Usage.code() } else { Exit::Fine.code() });
        }
    };
    match std::thread::Builder::new().name("twinc".into()).stack_size(STACK_BYTES).spawn(move || run(&cli)) {
        Ok(thread) => match thread.join() {
            Ok(exit) => ExitCode::from(exit.code()),
            Err(_) => ExitCode::from(101),
        },
        Err(error) => {
            console::to_stderr(&format!("error: no thread could be started: {}", console::reason(&error)));
            ExitCode::from(Exit::Usage.code())
        }
    }
}

/// Runs one verb to its end.
fn run(cli: &Cli) -> Exit {
    let verbosity = if cli.common.quiet { -1 } else { cli.common.verbose.min(3) as i8 };
    let verb = verb_name(&cli.verb);
    let folder = std::env::current_dir().unwrap_or_default();
    let config = match Config::resolve(&cli.common, &folder, &|name| std::env::var(name).ok()) {
        Ok(config) => config,
        Err(problem) => {
            let (failure, sources) = *problem;
            let format = cli.common.format.unwrap_or(Format::Human);
            let mut console = Console::new(verb, format, color_of(cli.common.color), verbosity);
            console.report(failure.diagnostics, &sources);
            return end(&mut console, failure.exit);
        }
    };
    let color = match config.color.value {
        ColorChoice::Auto => None,
        chosen => color_of(Some(chosen)),
    };
    let mut console = Console::new(verb, config.format.value, color, verbosity);
    if config.threads.value > 0 {
        // The first use of the pool decides; nothing has used it yet.
        let _ = rayon::ThreadPoolBuilder::new().num_threads(config.threads.value).build_global();
    }
    let mut sources = SourceMap::default();
    // A script is for a shell, whatever form diagnostics have.
    if let Verb::Completions(_) = cli.verb {
        console.format = Format::Human;
    }
    if let Some(failure) = refused_format(&cli.verb, &config).filter(|_| console.format != Format::Human) {
        console.format = Format::Human;
        console.report(failure.diagnostics, &sources);
        return failure.exit;
    }
    match dispatch(cli, &config, &mut console, &mut sources) {
        Ok(exit) => end(&mut console, exit),
        Err(failure) => {
            let failure = if additions::are_to_blame(&failure, &sources) { failure.of_usage() } else { failure };
            console.report(failure.diagnostics, &sources);
            end(&mut console, failure.exit)
        }
    }
}

/// E0804 where a verb has nothing to write in the format that is set.
fn refused_format(verb: &Verb, config: &Config) -> Option<Failure> {
    let Sourced { value, origin } = &config.format;
    if has_format(verb, *value) {
        return None;
    }
    let all = Format::value_variants().iter().filter(|format| has_format(verb, **format));
    let names: Vec<&str> = all.map(|format| format.name()).collect();
    let verb = verb_name(verb);
    let elsewhere = match value {
        Format::Sarif => "`check` and `test` take sarif too, which holds diagnostics and no data",
        Format::Latex | Format::Dot => "`inspect` takes latex and dot too",
        Format::Human | Format::Json | Format::Jsonl | Format::Github => "choose one of them",
    };
    Some(
        Failure::new("E0804", format!("`{verb}` cannot write `{}` ({origin})", value.name()))
            .help(format!("`{verb}` takes {}; {elsewhere}", names.join(", "))),
    )
}

/// True where what the verb is asked for can be written in this format.
fn has_format(verb: &Verb, format: Format) -> bool {
    match format {
        Format::Human | Format::Json | Format::Jsonl | Format::Github => true,
        Format::Latex | Format::Dot => matches!(verb, Verb::Inspect(_)),
        // It holds diagnostics and nothing else.
        Format::Sarif => match verb {
            Verb::Check(args) => !args.infer,
            Verb::Fmt(args) => !args.diff && args.files.iter().all(|file| file != "-"),
            Verb::Test(_) => true,
            Verb::New(_)
            | Verb::Init
            | Verb::Inspect(_)
            | Verb::Sim(_)
            | Verb::Calibrate(_)
            | Verb::Control(_)
            | Verb::Train(_)
            | Verb::Evaluate(_)
            | Verb::Explain(_)
            | Verb::Completions(_)
            | Verb::Doctor(_) => false,
        },
    }
}

/// Writes the document of a machine format and gives the final exit.
fn end(console: &mut Console, exit: Exit) -> Exit {
    match console.finish(exit) {
        Ok(()) => exit,
        Err(failure) => {
            for diagnostic in failure.diagnostics.iter() {
                console::to_stderr(&render::human(diagnostic, &SourceMap::default(), render::Look::default()));
            }
            failure.exit
        }
    }
}

fn color_of(choice: Option<ColorChoice>) -> Option<bool> {
    match choice {
        None | Some(ColorChoice::Auto) => None,
        Some(ColorChoice::Always) => Some(true),
        Some(ColorChoice::Never) => Some(false),
    }
}

fn verb_name(verb: &Verb) -> &'static str {
    match verb {
        Verb::New(_) => "new",
        Verb::Init => "init",
        Verb::Check(_) => "check",
        Verb::Fmt(_) => "fmt",
        Verb::Inspect(_) => "inspect",
        Verb::Test(_) => "test",
        Verb::Sim(_) => "sim",
        Verb::Calibrate(_) => "calibrate",
        Verb::Control(_) => "control",
        Verb::Train(_) => "train",
        Verb::Evaluate(_) => "evaluate",
        Verb::Explain(_) => "explain",
        Verb::Completions(_) => "completions",
        Verb::Doctor(_) => "doctor",
    }
}

/// `sources` takes every text that is read, so that a failure's labels can be shown.
fn dispatch(cli: &Cli, config: &Config, console: &mut Console, sources: &mut SourceMap) -> Result<Exit, Failure> {
    match &cli.verb {
        Verb::New(args) => new::run(&args.folder, console),
        Verb::Init => new::run(std::path::Path::new(""), console),
        Verb::Check(args) => check::run(args, console),
        Verb::Fmt(args) => fmt::run(args, console),
        Verb::Inspect(args) => inspect::run(args, console, sources),
        Verb::Test(args) => test::run(args, console),
        Verb::Sim(args) => sim::run(args, console, sources),
        Verb::Calibrate(args) => calibrate::run(args, console, sources),
        Verb::Control(args) => control::run(args, console, sources),
        Verb::Train(args) => train::run(args, console, sources),
        Verb::Evaluate(args) => evaluate::run(args, console, sources),
        Verb::Explain(args) => explain::run(args, console),
        Verb::Completions(args) => {
            let mut script = Vec::new();
            clap_complete::generate(args.shell, &mut Cli::command(), "twinc", &mut script);
            console.data(&script)?;
            Ok(Exit::Fine)
        }
        Verb::Doctor(args) => doctor::run(args, config, console),
    }
}
