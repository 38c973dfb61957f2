//! The formula of a batch: what the methods for L members have in common, and the norm of their errors.

// Loops over lanes go by index: all operands are rows of one length, and the compiler makes vector code of them.
#![allow(clippy::needless_range_loop)]

use super::super::controller::Norm;
use super::super::options::Method;
use super::super::problem::Statistics;
use super::super::rodas5p;
use super::explicit::LaneTsit5;
use super::rosenbrock::LaneRodas5p;
use crate::linalg::{Wide, wide};
use crate::system::{At, LaneSystem};

/// Numbers of one kind, one of each member.
pub(super) type Row<const L: usize> = [f64; L];

/// What the members are evaluated at beside their states.
#[derive(Debug, Clone, Default)]
pub(super) struct Held<const L: usize> {
    /// `n_params`
    pub p: Vec<Row<L>>,
    /// `n_inputs`
    pub u: Vec<Row<L>>,
    /// `n_disturbances`
    pub d: Vec<Row<L>>,
}

impl<const L: usize> Held<L> {
    /// The point with the states `x`.
    pub fn at<'a>(&'a self, x: &'a [Row<L>]) -> At<'a> {
        let [x, u, d, p] = [x, &self.u, &self.d, &self.p].map(|rows| rows.as_flattened());
        At { t: 0.0, x, u, d, p }
    }
}

/// What makes the steps.
pub(super) enum LaneFormula<const L: usize> {
    Rodas5p(Box<LaneRodas5p<L>>),
    /// `is_watched`: members that turn out to be stiff are told.
    Tsit5 {
        formula: Box<LaneTsit5<L>>,
        is_watched: bool,
    },
}

impl<const L: usize> LaneFormula<L> {
    /// `None` for methods that take no lanes, and where the memory for the elimination cannot be had.
    pub fn new(method: Method, system: &dyn LaneSystem) -> Option<Self> {
        match method {
            Method::Rodas5p => LaneRodas5p::new(system).map(|formula| LaneFormula::Rodas5p(Box::new(formula))),
            Method::Auto | Method::Tsit5 => {
                let formula = Box::new(LaneTsit5::new(system));
                Some(LaneFormula::Tsit5 { formula, is_watched: method == Method::Auto })
            }
            Method::Dop853
            | Method::Bdf
            | Method::Euler
            | Method::Rk4
            | Method::ImplicitEuler
            | Method::Radau3
            | Method::Radau5 => None,
        }
    }

    /// Says that some lane has a new member.
    pub fn restart(&mut self) {
        match self {
            LaneFormula::Rodas5p(_) => {}
            LaneFormula::Tsit5 { formula, .. } => formula.restart(),
        }
    }

    /// Computes `x_new` at the end of steps of length `h`. Returns which lanes have one: in the others a pivot was lost.
    pub fn attempt(
        &mut self,
        system: &dyn LaneSystem,
        held: &Held<L>,
        h: &Row<L>,
        x: &[Row<L>],
        x_new: &mut [Row<L>],
    ) -> [bool; L] {
        match self {
            LaneFormula::Rodas5p(formula) => formula.attempt(system, held, h, x, x_new),
            LaneFormula::Tsit5 { formula, .. } => {
                formula.attempt(system, held, h, x, x_new);
                [true; L]
            }
        }
    }

    /// Counts the work of one step.
    pub fn count(&self, statistics: &mut Statistics) {
        match self {
            LaneFormula::Rodas5p(_) => {
                statistics.rhs += rodas5p::STAGES as u64;
                statistics.solves += rodas5p::STAGES as u64;
                statistics.jacobians += 1;
                statistics.factorizations += 1;
                statistics.implicit_steps += 1;
            }
            // The first stage is the last one of the step before.
            LaneFormula::Tsit5 { .. } => statistics.rhs += 6,
        }
    }

    /// [`Norm::of`] the error of each lane.
    pub fn error(&self, norm: &Norm, x: &[Row<L>], x_new: &[Row<L>]) -> Row<L> {
        let error = match self {
            LaneFormula::Rodas5p(formula) => formula.last(),
            LaneFormula::Tsit5 { formula, .. } => &formula.error,
        };
        wide(Measure { error, norm, x, x_new })
    }

    /// True where the derivative at the start of the lane's step is finite.
    pub fn is_finite(&self, lane: usize) -> bool {
        match self {
            LaneFormula::Rodas5p(formula) => formula.is_finite(lane),
            LaneFormula::Tsit5 { formula, .. } => formula.is_finite(lane),
        }
    }

    /// The estimates of `h |lambda|` of the steps just made, where they are looked at.
    pub fn stiffness(&self, norm: &Norm, x_new: &[Row<L>], h: &Row<L>) -> Option<Row<L>> {
        match self {
            LaneFormula::Rodas5p(_) => None,
            LaneFormula::Tsit5 { formula, is_watched } => is_watched.then(|| formula.stiffness(norm, x_new, h)),
        }
    }

    /// Says which lanes go on from the end of their step.
    pub fn accept(&mut self, moves: &[bool; L]) {
        match self {
            LaneFormula::Rodas5p(_) => {}
            LaneFormula::Tsit5 { formula, .. } => formula.accept(moves),
        }
    }

    /// `out: n` = the lane's state at `theta` of the step of length `h` just made.
    pub fn interpolate(
        &mut self,
        lane: usize,
        (theta, h): (f64, f64),
        x: &[Row<L>],
        x_new: &[Row<L>],
        out: &mut [f64],
    ) {
        match self {
            LaneFormula::Rodas5p(formula) => formula.interpolate(lane, theta, x, x_new, out),
            LaneFormula::Tsit5 { formula, .. } => formula.interpolate(lane, theta, h, x, out),
        }
    }
}

struct Measure<'a, const L: usize> {
    error: &'a [Row<L>],
    norm: &'a Norm,
    x: &'a [Row<L>],
    x_new: &'a [Row<L>],
}

impl<const L: usize> Wide for Measure<'_, L> {
    type Output = Row<L>;

    #[inline(always)]
    fn run(self) -> Row<L> {
        let Measure { error, norm, x, x_new } = self;
        let mut sum = [0.0; L];
        // Stays zero where all states are finite.
        let mut probe = [0.0; L];
        for (((error, atol), x), new) in error.iter().zip(&norm.atol).zip(x).zip(x_new) {
            for lane in 0..L {
                let (a, b) = (x[lane].abs(), new[lane].abs());
                let tolerance = atol + norm.rtol * if a > b { a } else { b };
                let tolerance = if tolerance > f64::MIN_POSITIVE { tolerance } else { f64::MIN_POSITIVE };
                let ratio = error[lane] / tolerance;
                sum[lane] += ratio * ratio;
                probe[lane] += 0.0 * new[lane];
            }
        }
        let n = norm.atol.len().max(1) as f64;
        std::array::from_fn(|lane| {
            let norm = (sum[lane] / n).sqrt() + probe[lane];
            if norm.is_finite() { norm } else { f64::INFINITY }
        })
    }
}
