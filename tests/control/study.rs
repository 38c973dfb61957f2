//! A study of a shipped file as a closed loop: the model that is believed, the plant that is met, and SQP between them.

use std::path::Path;

use twinc::control::assemble::{Assembly, Collocation};
use twinc::control::closed_loop::{ClosedLoop, Trace};
use twinc::control::controller::{Belief, LoopOptions, Reads};
use twinc::control::estimate::Replace;
use twinc::control::plant::{Drawn, Plant, PlantFunctions};
use twinc::control::sqp::{Sqp, SqpSettings};
use twinc::decide::{Estimator, Planner};
use twinc::diag::Diagnostics;
use twinc::flat::task::DrawnStart;
use twinc::flat::{Distribution, FlatTask, flatten_task};
use twinc::hir;
use twinc::jit::{Needs, Options};
use twinc::random::stream;
use twinc::source::{LoadError, Loader, SourceFile, SourceMap};
use twinc::system::Curvature;

/// The project's files.
struct Files;

impl Loader for Files {
    fn load(&self, from: &str, path: &str) -> Result<SourceFile, LoadError> {
        let full = Path::new(from).parent().unwrap_or(Path::new("")).join(path);
        let text = std::fs::read_to_string(&full).map_err(|e| LoadError::new(e.to_string()))?;
        Ok(SourceFile::new(full.to_string_lossy(), text))
    }
}

/// A compiled task.
pub struct Compiled {
    pub assembly: Assembly,
    pub functions: PlantFunctions,
}

/// Plans collocate as do-mpc's do.
fn compile(task: FlatTask) -> Compiled {
    let assembly = Assembly::new(task, &Options::default()).expect("machine code");
    assembly.kernels().prepare(Needs::SIMULATION | Needs::STIFF).expect("machine code");
    let functions = assembly.plant_functions().expect("machine code");
    Compiled { assembly: assembly.collocated(Collocation { n_points: 2, bounds_inside: true }), functions }
}

/// A study of a task, compiled.
pub struct Study {
    pub believed: Compiled,
    pub met: Compiled,
    /// What of the plant is drawn for each episode.
    pub drawn: Vec<Drawn>,
    pub horizon: usize,
    pub is_estimated: bool,
}

impl Study {
    /// A study by its name.
    pub fn new(path: &str, name: &str) -> Study {
        let text = std::fs::read_to_string(path).expect("part of the project");
        let (mut sources, mut diagnostics) = (SourceMap::default(), Diagnostics::default());
        let root = sources.add(SourceFile::new(path, text));
        let module = hir::load(&mut sources, root, None, &Files, true, &mut diagnostics);
        let study = module.studies.into_iter().find(|study| study.name == name).expect("in the file");
        let control = study.control.expect("a study of a task");
        let algorithm = &control.algorithms[0];
        let horizon = algorithm.settings.number("horizon").expect("a horizon");
        let mut flat = |task| flatten_task(task, &mut diagnostics).expect("a task without errors");
        let planned = control.task_for(algorithm);
        let believed = flat(&planned);
        let met = flat(&control.plant);
        assert!(!diagnostics.has_errors(), "{diagnostics:?}");
        Study {
            believed: compile(believed),
            met: compile(met),
            drawn: Vec::new(),
            horizon: horizon as usize,
            is_estimated: control.filter.is_some(),
        }
    }

    /// The same with the plant's start and parameters drawn for each episode, each uniformly within a fraction of its
    /// value; what is zero stays zero.
    pub fn varied(mut self, fraction: f64) -> Study {
        let around = |value: f64| {
            let reach = fraction * value.abs();
            Distribution::Uniform { low: value - reach, high: value + reach }
        };
        let mut task = self.met.assembly.task().clone();
        let start = start(&self.met);
        for (state, &value) in start.iter().enumerate().filter(|(_, value)| **value != 0.0) {
            let span = task.span;
            task.starts.push(DrawnStart { state: state as u32, distribution: around(value), span });
        }
        let params = task.model.params.iter().enumerate().filter(|(_, param)| param.value != 0.0);
        self.drawn = params
            .map(|(param_idx, param)| Drawn {
                param_idx,
                distribution: around(param.value),
                low: param.quantity.low,
                high: param.quantity.high,
            })
            .collect();
        self.met = compile(task);
        self
    }

    /// The loop, closed by SQP.
    pub fn closed_loop(&self, settings: SqpSettings) -> ClosedLoop<'_> {
        let options = LoopOptions { preview: self.horizon + 1, reads: Reads::Seen, ..LoopOptions::default() };
        ClosedLoop::new(self.plant(), self.planner(settings), self.belief(), options)
    }

    /// What is acted on.
    pub fn plant(&self) -> Plant<'_> {
        plant(&self.met, self.drawn.clone())
    }

    /// What plans.
    pub fn planner(&self, settings: SqpSettings) -> Box<dyn Planner + '_> {
        let stages = self.believed.assembly.stages(self.horizon, Curvature::Exact).expect("a problem");
        Box::new(Sqp::new(Box::new(stages), settings))
    }

    /// What is believed.
    pub fn belief(&self) -> Belief<'_> {
        let Compiled { assembly: model, functions } = &self.believed;
        let estimator = self.is_estimated.then(|| {
            let space = Box::new(model.simulation().expect("a step"));
            let readings = model.readings().expect("machine code");
            Box::new(Replace::new(space, readings, 0.0, &start(&self.believed)).expect("fits")) as Box<dyn Estimator>
        });
        Belief {
            space: Box::new(model.simulation().expect("a step")),
            estimator,
            holds: &*functions.holds,
            parameters: model.parameters(),
        }
    }
}

fn plant(of: &Compiled, drawn: Vec<Drawn>) -> Plant<'_> {
    Plant::new(of.assembly.task(), of.assembly.kernels(), &of.functions, drawn).expect("a step")
}

/// Where a task starts.
fn start(of: &Compiled) -> Vec<f64> {
    let mut plant = plant(of, Vec::new());
    plant.begin(&mut stream(0, 0));
    plant.state().to_vec()
}

/// One episode; `clock` tells seconds.
pub fn run(closed_loop: &mut ClosedLoop<'_>, seed: u64, clock: &mut dyn FnMut() -> f64) -> Trace {
    closed_loop.run(seed, clock, 0, &mut |_| true)
}
