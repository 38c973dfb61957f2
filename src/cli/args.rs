//! The command line as clap reads it. One struct per verb; what they do stands in the verb's own file.

use super::target::{Assignment, parse_assignment};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Models, simulates and calibrates digital twins written as `.twin` text.
#[derive(Debug, Parser)]
#[command(name = "twinc", version, about, max_term_width = 100, after_help = AFTER_HELP)]
pub struct Cli {
    /// Flags that every verb takes.
    #[command(flatten)]
    pub common: Common,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

const AFTER_HELP: &str = "\
Data goes to standard output, words for people to standard error.
Exit codes: 0 fine; 1 findings or a failed test; 2 usage, configuration or a file that cannot be read or written;
3 numerical failure or no convergence; 4 stopped for safety; 101 a fault of twinc; 130 interrupted.
Settings come from flags, then TWINC_* variables, then the nearest twinc.toml, then the user's twinc.toml.";

/// Flags that every verb takes.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// How diagnostics and results are written
    #[arg(long, global = true, value_enum, value_name = "FORMAT")]
    pub format: Option<Format>,
    /// When to use color (NO_COLOR is respected)
    #[arg(long, global = true, value_enum, value_name = "WHEN")]
    pub color: Option<ColorChoice>,
    /// Threads to compute with; results do not depend on it
    #[arg(long, global = true, value_name = "N")]
    pub threads: Option<usize>,
    /// Say less: errors and data only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Read settings from this file instead of looking for a twinc.toml
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "no_config")]
    pub config: Option<PathBuf>,
    /// Read no settings file at all
    #[arg(long, global = true)]
    pub no_config: bool,
}

/// The ways to write diagnostics and results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    #[value(alias = "text")]
    Human,
    /// One JSON document
    Json,
    /// One JSON object a line
    Jsonl,
    /// Workflow commands that annotate a pull request
    Github,
    /// SARIF 2.1.0, for code scanning
    Sarif,
    /// A LaTeX document (`inspect` only)
    Latex,
    /// A Graphviz graph (`inspect` only)
    Dot,
}

impl Format {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Format::Human => "human",
            Format::Json => "json",
            Format::Jsonl => "jsonl",
            Format::Github => "github",
            Format::Sarif => "sarif",
            Format::Latex => "latex",
            Format::Dot => "dot",
        }
    }

    /// True for forms of a model, which only `inspect` writes.
    pub fn is_of_models(self) -> bool {
        match self {
            Format::Latex | Format::Dot => true,
            Format::Human | Format::Json | Format::Jsonl | Format::Github | Format::Sarif => false,
        }
    }
}

/// When to use color.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// On a terminal
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// The verbs of this version.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Write a small working model with a study and data into a new folder
    New(NewArgs),
    /// Write a small working model with a study and data into the current folder
    Init,
    /// Find every mistake of the files
    Check(CheckArgs),
    /// Bring files into the one layout
    Fmt(FmtArgs),
    /// Print what a compiled model is
    Inspect(InspectArgs),
    /// Run the assertions of models and compare their compiled form with the accepted one
    Test(TestArgs),
    /// Simulate a study or a model; the table goes to standard output
    Sim(Box<SimArgs>),
    /// Fit a study to its data; leaves a run folder with a report
    Calibrate(CalibrateArgs),
    /// Run a task in closed loop and compare planners; leaves a run folder with a report
    Control(ControlArgs),
    /// Learn a policy for a task, one training for each method and seed; leaves a run folder with a report
    Train(TrainArgs),
    /// Play a trained policy on any plant of its task
    Evaluate(EvaluateArgs),
    /// Explain a diagnostic code with a failing model and its repair
    Explain(ExplainArgs),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
    /// Print version, machine and settings
    Doctor(DoctorArgs),
}

/// `twinc new`
#[derive(Debug, Args)]
pub struct NewArgs {
    /// The folder to make
    pub folder: PathBuf,
}

/// `twinc check`
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// `.twin` files
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<String>,
    /// Apply the repairs that are certain, then check again
    #[arg(long)]
    pub fix: bool,
    /// Print the units that were not written but follow from the equations
    #[arg(long)]
    pub infer: bool,
    /// Every unit must be written or follow uniquely
    #[arg(long)]
    pub strict: bool,
    /// Check again whenever a file or what it imports changes, until Ctrl-C
    #[arg(long)]
    pub watch: bool,
}

/// `twinc fmt`
#[derive(Debug, Args)]
pub struct FmtArgs {
    /// `.twin` files; `-` reads standard input and writes standard output
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<String>,
    /// Write nothing; end with 1 if a file is not in the one layout
    #[arg(long)]
    pub check: bool,
    /// Write nothing; print what would change
    #[arg(long)]
    pub diff: bool,
}

/// `twinc inspect`
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// The file, and which of its models if there are several
    #[arg(value_name = "FILE[:MODEL]")]
    pub file: String,
    /// Print only this; may be repeated
    #[arg(long, value_enum)]
    pub view: Vec<InspectView>,
    /// Values that replace those of the model.
    #[arg(long, help = "Give a constant, parameter, start value or input another value, such as N=200 or \"T=40 [degC]\"", value_name = "NAME=VALUE", value_parser = parse_assignment)]
    pub set: Vec<Assignment>,
    /// Print the steady state of the start values and inputs, its eigenvalues and its derivatives instead
    #[arg(long, conflicts_with_all = ["view", "timings"])]
    pub steady: bool,
    /// Say how long each stage took
    #[arg(long)]
    pub timings: bool,
}

/// What `inspect` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum InspectView {
    /// Declared quantities with units, bounds and start values
    Symbols,
    /// The same
    Units,
    /// Reactions and equations
    Odes,
    /// Events and breakpoints
    Events,
    /// The Jacobian entry by entry
    Jacobian,
    /// The picture of the Jacobian
    Sparsity,
    /// Operations of each kernel
    Kernels,
    /// The schedule of the right-hand side
    Plan,
    /// The code of the right-hand side
    Clif,
}

/// `twinc test`
#[derive(Debug, Args)]
pub struct TestArgs {
    /// `.twin` files with models
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<String>,
    /// Write the snapshots instead of comparing
    #[arg(long)]
    pub accept: bool,
}

/// `twinc sim`
#[derive(Debug, Args)]
pub struct SimArgs {
    /// The file, and what to run in it if there are several
    #[arg(value_name = "FILE[:NAME]", required_unless_present = "resume")]
    pub file: Option<String>,
    /// Go on with sweeps, draws or paths that were interrupted or killed; file and flags come from the manifest
    #[arg(long, value_name = "RUN_FOLDER", conflicts_with_all = ["file", "until", "output", "step", "method", "draws", "paths", "moments", "seed", "rtol", "atol", "set", "steady", "sweep", "out", "plot", "runs", "strict_math"])]
    pub resume: Option<PathBuf>,
    /// End time.
    #[arg(long, help = "End time, such as 40 or \"40 [min]\"", value_name = "TIME")]
    pub until: Option<String>,
    /// Distance of output times
    #[arg(long, value_name = "TIME")]
    pub output: Option<String>,
    /// Step of euler, rk4, cle, em and milstein, over which inputs are held
    #[arg(long, value_name = "TIME")]
    pub step: Option<String>,
    /// Integrator: auto, tsit5, dop853, rodas5p, bdf, euler, rk4, implicit_euler, radau3, radau5; random paths: ssa, tau_leap, cle, em, milstein
    #[arg(long, value_name = "NAME")]
    pub method: Option<String>,
    /// How many runs with parameters drawn from their `~`; short for --set simulate.draws=N
    #[arg(long, value_name = "N")]
    pub draws: Option<u64>,
    /// How many random paths; short for --set simulate.paths=N
    #[arg(long, value_name = "N")]
    pub paths: Option<u64>,
    /// Write mean and variance over the paths instead of the paths
    #[arg(long)]
    pub moments: bool,
    /// Seed of draws, noise and paths; short for --set simulate.seed=N
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Relative tolerance
    #[arg(long)]
    pub rtol: Option<f64>,
    /// Absolute tolerance of every state
    #[arg(long)]
    pub atol: Option<f64>,
    /// Values that replace those of the file.
    #[arg(long, help = "Set a quantity or a setting, such as k=0.3, \"T=40 [degC]\" or simulate.noise=true", value_name = "PATH=VALUE", value_parser = parse_assignment)]
    pub set: Vec<Assignment>,
    /// Start at the steady state of the start values and inputs
    #[arg(long)]
    pub steady: bool,
    /// Vary a quantity, such as "k in 0.1 .. 10 { points = 5 }"
    #[arg(long, value_name = "SWEEP")]
    pub sweep: Vec<String>,
    /// Write the table to this file (.csv, .tsv, or .parquet where built in; `-` is standard output)
    #[arg(short, long = "out", value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Draw the trajectory as SVG into this file (`-` is standard output)
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PathBuf>,
    /// Keep the run in a new folder below this one; several runs can then be resumed
    #[arg(long, value_name = "FOLDER")]
    pub runs: Option<PathBuf>,
    /// Use the plain library functions, for bit-for-bit equality with the interpreter
    #[arg(long)]
    pub strict_math: bool,
}

/// `twinc calibrate`
#[derive(Debug, Args)]
pub struct CalibrateArgs {
    /// The file, and which of its studies if there are several
    #[arg(value_name = "FILE[:STUDY]", required_unless_present = "resume")]
    pub file: Option<String>,
    /// Go on with a run that was interrupted or killed; file and flags come from its manifest
    #[arg(long, value_name = "RUN_FOLDER", conflicts_with_all = ["file", "starts", "seed", "set", "runs", "strict_math"])]
    pub resume: Option<PathBuf>,
    /// Number of starts; short for --set fit.starts=N
    #[arg(long, value_name = "N")]
    pub starts: Option<u64>,
    /// Seed of the starts; short for --set fit.seed=N
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Set a quantity or a setting, such as k=0.3 or fit.tolerance=1e-9
    #[arg(long, value_name = "PATH=VALUE", value_parser = parse_assignment)]
    pub set: Vec<Assignment>,
    /// Below which folder the run is kept
    #[arg(long, value_name = "FOLDER", default_value = "runs")]
    pub runs: PathBuf,
    /// Use the plain library functions, for bit-for-bit equality with the interpreter
    #[arg(long)]
    pub strict_math: bool,
}

/// `twinc control`
#[derive(Debug, Args)]
pub struct ControlArgs {
    /// The file, and which of its studies of a task, or of its tasks, if there are several
    #[arg(value_name = "FILE[:STUDY|:TASK]", required_unless_present = "resume")]
    pub file: Option<String>,
    /// Go on with a run of several episodes that was interrupted or killed; file and flags come from its manifest
    #[arg(long, value_name = "RUN_FOLDER", conflicts_with_all = ["file", "planner", "episodes", "seed", "set", "runs", "strict_math"])]
    pub resume: Option<PathBuf>,
    /// Planners to run one after another: sqp, rti, ilqr, ddp, shooting, cem, mppi, cma, lqr, pid; without it the study's
    /// first
    #[arg(long, value_name = "NAME,NAME", value_delimiter = ',')]
    pub planner: Vec<String>,
    /// Plan the whole episode once and carry the plan out without feedback; always so where the step is `free`
    #[arg(long, conflicts_with = "resume")]
    pub open_loop: bool,
    /// Number of episodes; short for --set budget.episodes=N
    #[arg(long, value_name = "N")]
    pub episodes: Option<u64>,
    /// Seed of the first episode; short for --set budget.seed=N
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Set a start value or a setting, such as x=0.3, sqp.horizon=40 or budget.episodes=10
    #[arg(long, value_name = "PATH=VALUE", value_parser = parse_assignment)]
    pub set: Vec<Assignment>,
    /// Below which folder the run is kept
    #[arg(long, value_name = "FOLDER", default_value = "runs")]
    pub runs: PathBuf,
    /// Use the plain library functions, for bit-for-bit equality with the interpreter
    #[arg(long)]
    pub strict_math: bool,
}

/// `twinc train`
#[derive(Debug, Args)]
pub struct TrainArgs {
    /// The file, and which of its studies that train, or of its tasks, if there are several
    #[arg(value_name = "FILE[:STUDY|:TASK]", required_unless_present = "resume")]
    pub file: Option<String>,
    /// Go on with a run that was interrupted or killed; file and flags come from its manifest
    #[arg(long, value_name = "RUN_FOLDER", conflicts_with_all = ["file", "algorithm", "episodes", "steps", "seed", "set", "runs", "strict_math"])]
    pub resume: Option<PathBuf>,
    /// Algorithms to train one beside another: acr, sac, td3, ppo, ppo_lagrangian, cpo, dqn, distill; without it the study's own
    #[arg(long, value_name = "NAME,NAME", value_delimiter = ',')]
    pub algorithm: Vec<String>,
    /// Episodes of each training; short for --set budget.episodes=N
    #[arg(long, value_name = "N")]
    pub episodes: Option<u64>,
    /// Environment steps of each training; short for --set budget.steps=N
    #[arg(long, value_name = "N")]
    pub steps: Option<u64>,
    /// Seeds, one training each; short for --set budget.seeds=[N]
    #[arg(long, value_name = "N,N", value_delimiter = ',')]
    pub seed: Vec<u64>,
    /// Set a start value or a setting, such as x=0.3, sac.gamma=0.95, acr.mpc.horizon=40 or evaluate.episodes=10
    #[arg(long, value_name = "PATH=VALUE", value_parser = parse_assignment)]
    pub set: Vec<Assignment>,
    /// Write metrics in a further form
    #[arg(long, value_enum, value_name = "FORM")]
    pub log: Vec<MetricsLog>,
    /// Below which folder the run is kept
    #[arg(long, value_name = "FOLDER", default_value = "runs")]
    pub runs: PathBuf,
    /// Use the plain library functions, for bit-for-bit equality with the interpreter
    #[arg(long)]
    pub strict_math: bool,
}

/// Forms of metrics beside `metrics.jsonl`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MetricsLog {
    /// Event files for TensorBoard
    Tensorboard,
}

/// `twinc evaluate`
#[derive(Debug, Args)]
pub struct EvaluateArgs {
    /// The folder of a run of `twinc train`, or of one of its trainings
    #[arg(value_name = "RUN_FOLDER")]
    pub run: PathBuf,
    /// The task's model of this name instead of the plant that it was trained on
    #[arg(long, value_name = "MODEL")]
    pub plant: Option<String>,
    /// Number of episodes
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub episodes: u64,
    /// Seed of the episodes
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    pub seed: u64,
    /// The file of the task, where it is no longer where the run was started
    #[arg(long, value_name = "FILE[:STUDY|:TASK]")]
    pub file: Option<String>,
    /// Write the steps of all episodes to this file (.csv)
    #[arg(short, long = "out", value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// `twinc explain`
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// Such as E0301
    pub code: String,
}

/// `twinc completions`
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// `twinc doctor`
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Print each setting with where it comes from
    #[arg(long)]
    pub show_config: bool,
}
