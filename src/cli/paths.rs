//! Random paths of a simulation: which method, what it needs of the model, and mean and variance over many paths.

use super::failure::Failure;
use super::prepare;
use crate::diag::Diagnostics;
use crate::export::table::Column;
use crate::flat::{FlatModel, Variation, flatten_counting};
use crate::hir::Study;
use crate::hir::study::Simulate;
use crate::integrate::stochastic::{Law, StochasticMethod, StochasticOptions};
use crate::integrate::{Forcing, Options, Signal};
use crate::jit::{DiffusionKernels, JumpKernels, Kernels};
use crate::system::stochastic::Diffusion;

/// The method of random paths that a study names.
pub fn method(simulate: &Simulate) -> Option<StochasticMethod> {
    let via = simulate.via.as_ref().map(|(name, _)| name.as_str());
    simulate.settings.word("method").or(via).and_then(StochasticMethod::from_name)
}

/// The study's model, flat, and counted where its method counts.
///
/// # Errors
/// The errors found, those of counting among them.
pub fn flat(study: &Study, variation: &Variation<'_>, diagnostics: &mut Diagnostics) -> Result<FlatModel, Failure> {
    if !study.simulate.as_ref().and_then(method).is_some_and(StochasticMethod::is_counting) {
        return prepare::flat(&study.model, variation, diagnostics);
    }
    let mut found = Diagnostics::default();
    let flat = flatten_counting(&study.model, variation, &mut found);
    if let Some(flat) = flat.filter(|_| !found.has_errors()) {
        flat.check_jumps(&mut found);
        if !found.has_errors() {
            diagnostics.extend(found);
            return Ok(flat);
        }
    }
    Err(Failure::from_diagnostics(found))
}

/// Settings of the paths; `None` for a solution without chance.
///
/// # Errors
/// A method that does not go with the model or its inputs; a grid without a step.
pub fn options(
    simulate: &Simulate,
    flat: &FlatModel,
    forcing: &Forcing,
    smooth: &Options,
) -> Result<Option<StochasticOptions>, Failure> {
    let named = method(simulate);
    let via = simulate.via.as_ref().map(|(name, _)| name.as_str());
    let name = simulate.settings.word("method").or(via);
    let method = match (named, name) {
        (Some(method), _) => method,
        (None, _) if flat.noises.is_empty() => return Ok(None),
        (None, None | Some("auto")) => StochasticMethod::Em,
        (None, Some(name)) => {
            let title = format!("`{}` has noise, and `{name}` follows none", flat.name);
            return Err(Failure::new("E0602", title).help("take `em`, or `milstein` for noise that commutes"));
        }
    };
    if !method.is_counting() && flat.noises.is_empty() {
        let title = format!("`{}` has no noise for `{}` to follow", flat.name, method.name());
        return Err(
            Failure::new("E0602", title).help("declare `noise w` and use `w'`, or take `ssa` or `cle` for reactions")
        );
    }
    if method.is_counting() && flat.reactions.is_empty() {
        let title = format!("`{}` has no reactions for `{}` to count", flat.name, method.name());
        return Err(Failure::new("E0602", title));
    }
    let is_linear = |signal: &Signal| match signal {
        Signal::Linear { .. } => true,
        Signal::Constant(_) | Signal::Held { .. } => false,
    };
    if method.is_counting() && forcing.inputs.iter().chain(&forcing.disturbances).any(is_linear) {
        return Err(Failure::new(
            "E0602",
            format!("`{}` takes no input that is linear between its rows", method.name()),
        )
        .help("leave `linear` out: values are then held from row to row"));
    }
    let step = if method.is_grid() { simulate.step } else { None };
    if method.is_grid() && step.is_none() {
        return Err(Failure::new("E0409", format!("`{}` needs a step", method.name()))
            .help(format!("write `simulate {{ step 0.01 [s] via {} }}`", method.name())));
    }
    let mut options = StochasticOptions { step, ..StochasticOptions::new(method) };
    options.interrupt = smooth.interrupt.clone();
    if let Some(most) = simulate.settings.number("max_steps") {
        options.max_steps = most as u64;
    }
    if let Some(epsilon) = simulate.settings.number("epsilon") {
        options.epsilon = epsilon;
    }
    Ok(Some(options))
}

/// E0602 for settings of paths where there are none.
///
/// # Errors
/// That.
pub fn check_settings(simulate: &Simulate, has_paths: bool, n_paths: usize, has_moments: bool) -> Result<(), Failure> {
    if has_paths {
        if has_moments && n_paths < 2 {
            return Err(Failure::new("E0602", "a variance needs two paths at least").help("give `paths = 1000`"));
        }
        return Ok(());
    }
    match ["paths", "moments", "epsilon"].into_iter().find(|key| simulate.settings.get(key).is_some()) {
        None => Ok(()),
        Some(key) => Err(Failure::new("E0602", format!("`{key}` is of random paths, and this simulation has none"))
            .help("name a method of paths: `--method ssa`")),
    }
}

/// What moves the states of random paths, compiled.
pub enum Chance {
    /// Reactions.
    Jumps(JumpKernels),
    /// Noise.
    Diffusion(DiffusionKernels),
}

impl Chance {
    /// What `options` need.
    ///
    /// # Errors
    /// E0707; E0602 for `milstein` where the noise does not commute.
    pub fn compile(kernels: &Kernels, options: &StochasticOptions) -> Result<Chance, Failure> {
        let failed = |error: crate::jit::CompileError| Failure::new("E0707", error.to_string());
        if options.method.is_counting() {
            return Ok(Chance::Jumps(JumpKernels::compile(kernels).map_err(failed)?));
        }
        let noise = DiffusionKernels::compile(kernels).map_err(failed)?;
        if options.method == StochasticMethod::Milstein && noise.corrections().is_none() {
            let title = format!("the noise of `{}` does not commute, and `milstein` needs that", kernels.model().name);
            return Err(Failure::new("E0602", title).help("take `em`, with a shorter step"));
        }
        Ok(Chance::Diffusion(noise))
    }

    /// For the solver.
    pub fn law(&self) -> Law<'_> {
        match self {
            Chance::Jumps(jumps) => Law::Jumps(jumps),
            Chance::Diffusion(noise) => Law::Diffusion(noise),
        }
    }
}

/// Mean and sum of squared deviations of each number of a table, over the paths seen.
#[derive(Debug, Clone, Default)]
pub struct Moments {
    n: f64,
    mean: Vec<f64>,
    squares: Vec<f64>,
}

impl Moments {
    /// Takes one path in: its columns behind one another. B. P. Welford, Technometrics 4 (1962) 419.
    pub fn add(&mut self, columns: &[Vec<f64>]) {
        let n_values = columns.iter().map(Vec::len).sum();
        if self.n == 0.0 {
            self.mean = vec![0.0; n_values];
            self.squares = vec![0.0; n_values];
        }
        self.n += 1.0;
        let values = columns.iter().flatten();
        for ((value, mean), squares) in values.zip(&mut self.mean).zip(&mut self.squares) {
            let before = value - *mean;
            *mean += before / self.n;
            *squares += before * (value - *mean);
        }
    }

    /// Joins the moments of two sets of paths. T. F. Chan, G. H. Golub and R. J. LeVeque, Am. Stat. 37 (1983) 242.
    pub fn join(&mut self, other: Moments) {
        if self.n == 0.0 || other.n == 0.0 {
            if self.n == 0.0 {
                *self = other;
            }
            return;
        }
        let n = self.n + other.n;
        for k in 0..self.mean.len() {
            let apart = other.mean[k] - self.mean[k];
            self.mean[k] += apart * other.n / n;
            self.squares[k] += other.squares[k] + apart * apart * self.n * other.n / n;
        }
        self.n = n;
    }

    /// `mean(A)` and `var(A)` for each of the `(name, unit)`, `n_rows` numbers each.
    pub fn columns(&self, names: &[(String, String)], n_rows: usize) -> Vec<Column> {
        let part = |values: &[f64], k: usize| values.get(k * n_rows..(k + 1) * n_rows).unwrap_or(&[]).to_vec();
        let mut columns = Vec::with_capacity(2 * names.len());
        for (k, (name, unit)) in names.iter().enumerate() {
            columns.push(Column { name: format!("mean({name})"), unit: unit.clone(), values: part(&self.mean, k) });
            let variance = part(&self.squares, k).iter().map(|s| s / (self.n - 1.0)).collect();
            columns.push(Column { name: format!("var({name})"), unit: square(unit), values: variance });
        }
        columns
    }
}

/// The unit of a variance.
fn square(unit: &str) -> String {
    let is_word = unit.chars().all(|c| c.is_alphabetic());
    match (unit.is_empty(), is_word) {
        (true, _) => String::new(),
        (false, true) => format!("{unit}^2"),
        (false, false) => format!("({unit})^2"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_joined_are_those_of_all_paths() {
        let value = |k: usize, j: usize| ((k * 7919 + j * 104_729) % 1000) as f64 / 10.0 - 30.0;
        let path = |k: usize| vec![vec![value(k, 0), value(k, 1)], vec![value(k, 2), 5.0]];
        let mut joined = Moments::default();
        for block in [0..3, 3..4, 4..10] {
            let mut moments = Moments::default();
            block.for_each(|k| moments.add(&path(k)));
            joined.join(moments);
        }
        let columns = joined.columns(&[("A".into(), "uM".into()), ("B".into(), "1/s".into())], 2);
        let headers: Vec<String> = columns.iter().map(Column::header).collect();
        assert_eq!(headers, ["mean(A) [uM]", "var(A) [uM^2]", "mean(B) [1/s]", "var(B) [(1/s)^2]"]);
        for (k, (c, row)) in [(0, 0), (0, 1), (1, 0), (1, 1)].into_iter().enumerate() {
            let values: Vec<f64> = (0..10).map(|n| path(n)[c][row]).collect();
            let mean = values.iter().sum::<f64>() / 10.0;
            let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 9.0;
            assert!((columns[2 * c].values[row] - mean).abs() < 1e-12, "{k}");
            assert!((columns[2 * c + 1].values[row] - variance).abs() < 1e-9, "{k}");
        }
    }
}
