//! The runs of a simulation by their number: a grid of sweeps, each point of it with its draws, each of these with its
//! random paths.
//!
//! Nothing is kept for a run: [`Runs::fill`] works out what it has of its own when its turn comes, so a thousand million
//! runs take no more memory than one. Each draw has its own stream of random numbers, and results do not depend on the
//! number of threads.

use super::failure::Failure;
use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::export::table::number;
use crate::flat::{Distribution, FlatModel};
use crate::hir::Study;
use crate::random::stream;

/// Runs of one simulation. Streams of random numbers and the whole numbers of a table go much further.
pub const MOST_RUNS: usize = 1_000_000_000;

/// One run.
#[derive(Debug, Clone, Default)]
pub struct Run {
    /// What tells it from the others, in the order of [`Runs::labels`].
    pub labels: Vec<f64>,
    /// `n_params`
    pub params: Vec<f64>,
    /// Start values `(state, value)` that replace the model's.
    pub start: Vec<(usize, f64)>,
    /// Constant inputs `(input, value)` that replace the simulation's.
    pub inputs: Vec<(usize, f64)>,
}

/// What a sweep changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Swept {
    Param(usize),
    Start(usize),
    Input(usize),
}

#[derive(Debug, Clone)]
struct Axis {
    swept: Swept,
    values: Vec<f64>,
}

/// A parameter that is drawn.
#[derive(Debug, Clone)]
struct Drawn {
    param: usize,
    from: Distribution,
    low: f64,
    high: f64,
    /// A sweep gives its value; the draw is made and left, so that the others do not depend on sweeps.
    is_swept: bool,
}

/// All runs.
#[derive(Debug, Clone)]
pub struct Runs {
    labels: Vec<(String, String)>,
    params: Vec<f64>,
    axes: Vec<Axis>,
    draws: Option<(usize, Vec<Drawn>)>,
    n_paths: usize,
    seed: u64,
    n_runs: usize,
}

impl Runs {
    /// The runs of a study, each with `n_paths` random paths.
    ///
    /// # Errors
    /// E0205 for a sweep of what cannot be swept, E0409 for draws without a distribution, E0611 for too many runs.
    pub fn new(study: &Study, flat: &FlatModel, seed: u64, n_paths: usize) -> Result<Runs, Failure> {
        let mut labels = Vec::new();
        let mut axes = Vec::new();
        for sweep in &study.sweeps {
            let Some((swept, label)) = swept(flat, &sweep.name) else {
                let mut list = Diagnostics::default();
                let title = format!("`{}` cannot be swept: it is no parameter, start value or input", sweep.name);
                list.push(Diagnostic::new(Code("E0205"), sweep.span, title));
                return Err(Failure::from_diagnostics(list));
            };
            labels.push(label);
            axes.push(Axis { swept, values: sweep.values.clone() });
        }
        let asked = study.simulate.as_ref().and_then(|simulate| simulate.settings.number("draws"));
        let draws = asked.map(|n| (n as usize, drawn(flat, &axes)));
        if draws.as_ref().is_some_and(|(_, drawn)| drawn.is_empty()) {
            return Err(Failure::new("E0409", format!("`{}` has no parameter with a `~` to draw", flat.name))
                .help("write `param k = 1 ~ LogNormal(median = 1, gsd = 1.3)`"));
        }
        if draws.is_some() {
            labels.push(("draw".into(), String::new()));
        }
        if n_paths > 1 {
            labels.push(("path".into(), String::new()));
        }
        let n_draws = draws.as_ref().map_or(1, |(n, _)| *n);
        let sizes = axes.iter().map(|axis| axis.values.len()).chain([n_draws, n_paths]);
        let n_runs = sizes.fold(1_usize, usize::saturating_mul);
        if n_runs > MOST_RUNS {
            return Err(Failure::new(
                "E0611",
                format!("sweeps, draws and paths make {} runs; the limit is {MOST_RUNS}", number(n_runs as f64)),
            )
            .help("give the sweeps fewer points, or ask for fewer draws or paths"));
        }
        let params = flat.params.iter().map(|param| param.value).collect();
        Ok(Runs { labels, params, axes, draws, n_paths, seed, n_runs })
    }

    /// How many there are; none where a sweep has no values.
    pub fn len(&self) -> usize {
        self.n_runs
    }

    /// Names and units of what tells the runs apart; empty where there is one.
    pub fn labels(&self) -> &[(String, String)] {
        &self.labels
    }

    /// Draws of each point of the grid, where draws are made.
    pub fn n_draws(&self) -> Option<usize> {
        self.draws.as_ref().map(|(n, _)| *n)
    }

    /// The inputs that are swept, with the first value of each.
    pub fn swept_inputs(&self) -> impl Iterator<Item = (usize, f64)> {
        self.axes.iter().filter_map(|axis| match axis.swept {
            Swept::Input(k) => Some((k, axis.values.first().copied().unwrap_or(0.0))),
            Swept::Param(_) | Swept::Start(_) => None,
        })
    }

    /// Makes `run` the run of number `idx`, which is less than [`Runs::len`].
    pub fn fill(&self, idx: usize, run: &mut Run) {
        run.params.clone_from(&self.params);
        run.start.clear();
        run.inputs.clear();
        run.labels.clear();
        let (path, rest) = (idx % self.n_paths, idx / self.n_paths);
        let n_draws = self.n_draws().unwrap_or(1);
        let (draw, mut rest) = (rest % n_draws, rest / n_draws);
        // The last sweep varies fastest.
        for axis in self.axes.iter().rev() {
            let value = axis.values[rest % axis.values.len()];
            rest /= axis.values.len();
            run.labels.push(value);
            match axis.swept {
                Swept::Param(k) => run.params[k] = value,
                Swept::Start(k) => run.start.push((k, value)),
                Swept::Input(k) => run.inputs.push((k, value)),
            }
        }
        run.labels.reverse();
        if let Some((_, drawn)) = &self.draws {
            let mut rng = stream(self.seed, draw as u64);
            for param in drawn {
                let value = param.from.draw_within(param.low, param.high, &mut rng);
                if !param.is_swept {
                    run.params[param.param] = value;
                }
            }
            run.labels.push(draw as f64);
        }
        if self.n_paths > 1 {
            run.labels.push(path as f64);
        }
    }

    /// `in the run with k = 0.2, draw = 3`, where there are others.
    pub fn words(&self, run: &Run) -> Option<String> {
        let each = self.labels.iter().zip(&run.labels);
        let words: Vec<String> = each.map(|((name, _), value)| format!("{name} = {}", number(*value))).collect();
        (!words.is_empty()).then(|| format!("in the run with {}", words.join(", ")))
    }
}

/// What a name stands for, with the name and unit of its column.
fn swept(flat: &FlatModel, name: &str) -> Option<(Swept, (String, String))> {
    let label = |name: &str, unit: &String| (name.to_string(), unit.clone());
    if let Some(k) = flat.params.iter().position(|p| p.quantity.name == name) {
        return Some((Swept::Param(k), label(name, &flat.params[k].quantity.unit)));
    }
    if let Some(k) = flat.states.iter().position(|s| s.quantity.name == name) {
        // The state itself is a column too.
        return Some((Swept::Start(k), label(&format!("start {name}"), &flat.states[k].quantity.unit)));
    }
    let k = flat.inputs.iter().position(|i| i.quantity.name == name)?;
    Some((Swept::Input(k), label(name, &flat.inputs[k].quantity.unit)))
}

fn drawn(flat: &FlatModel, axes: &[Axis]) -> Vec<Drawn> {
    let each = flat.params.iter().enumerate().filter_map(|(k, param)| Some((k, param, param.prior?)));
    each.map(|(param, declared, from)| Drawn {
        param,
        from,
        low: declared.quantity.low,
        high: declared.quantity.high,
        is_swept: axes.iter().any(|axis| axis.swept == Swept::Param(param)),
    })
    .collect()
}
