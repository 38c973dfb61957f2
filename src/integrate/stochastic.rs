//! Paths of jump processes and of stochastic differential equations, from the same models as everything else.
//!
//! [`Stochastic::solve`] answers a [`Problem`] as [`super::Integrator`] does, with one random path instead
//! of the solution: `ssa` carries out every single reaction, `tau_leap` many at once, [`StochasticMethod::Em`] and
//! [`StochasticMethod::Milstein`] follow noise that the model declares, [`StochasticMethod::Cle`] the noise that its
//! reactions imply. `world` holds what all of them share: events, forcing, requested times.
//!
//! **Invariant.** A path depends on the generator that the caller gives and on nothing else: neither on how many times are
//! requested nor on other paths. The step loops do not allocate.

mod composition;
mod direct;
mod heap;
mod propensity;
mod sde;
mod ssa;
mod tau_leap;
mod world;

use super::problem::{Observer, Outcome, Problem, ProblemError};
use crate::random::Rng;
use crate::system::System;
use crate::system::stochastic::{Diffusion, Jumps};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

pub use sde::Increments;

/// Which formula makes a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StochasticMethod {
    /// Every reaction one by one: exact.
    Ssa,
    /// Many reactions at once, as long as propensities change little.
    TauLeap,
    /// Chemical Langevin equation: reactions as drift and noise, on a grid of steps.
    Cle,
    /// Euler and Maruyama for declared noise, on a grid of steps: strong order 1/2, and 1 for additive noise.
    Em,
    /// Milstein for declared noise that commutes, on a grid of steps: strong order 1.
    Milstein,
}

impl StochasticMethod {
    /// All, in the order in which they are listed to a user.
    pub const ALL: [StochasticMethod; 5] = [
        StochasticMethod::Ssa,
        StochasticMethod::TauLeap,
        StochasticMethod::Cle,
        StochasticMethod::Em,
        StochasticMethod::Milstein,
    ];

    /// As it is written in a model or on the command line.
    pub fn name(self) -> &'static str {
        match self {
            StochasticMethod::Ssa => "ssa",
            StochasticMethod::TauLeap => "tau_leap",
            StochasticMethod::Cle => "cle",
            StochasticMethod::Em => "em",
            StochasticMethod::Milstein => "milstein",
        }
    }

    /// The method of a name.
    pub fn from_name(name: &str) -> Option<StochasticMethod> {
        StochasticMethod::ALL.into_iter().find(|method| method.name() == name)
    }

    /// True for methods that count the items of species and so need [`Jumps`].
    pub fn is_counting(self) -> bool {
        match self {
            StochasticMethod::Ssa | StochasticMethod::TauLeap | StochasticMethod::Cle => true,
            StochasticMethod::Em | StochasticMethod::Milstein => false,
        }
    }

    /// True for methods that keep to the grid `t0 + k step`.
    pub fn is_grid(self) -> bool {
        match self {
            StochasticMethod::Cle | StochasticMethod::Em | StochasticMethod::Milstein => true,
            StochasticMethod::Ssa | StochasticMethod::TauLeap => false,
        }
    }
}

/// How the next reaction of an exact simulation is found. All three draw from the same distribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Selection {
    /// By the number of channels, see `ssa::MOST_DIRECT`.
    #[default]
    Auto,
    /// Gillespie (1977): a sum over all channels.
    Direct,
    /// Gibson and Bruck (2000): a heap of tentative times.
    NextReaction,
    /// Slepoy, Thompson and Plimpton (2008): groups of propensities within a factor of 2, rejection inside of one.
    Composition,
}

/// Settings of [`Stochastic`].
#[derive(Debug, Clone)]
pub struct StochasticOptions {
    /// Formula.
    pub method: StochasticMethod,
    /// How [`StochasticMethod::Ssa`] finds the next reaction; default [`Selection::Auto`].
    pub selection: Selection,
    /// Largest relative change of a propensity in a leap; default 0.03 (Cao, Gillespie and Petzold 2006).
    pub epsilon: f64,
    /// Length of the steps of [`StochasticMethod::is_grid`] methods, in the model's time unit; they need one.
    pub step: Option<f64>,
    /// Most reactions, leaps or steps of one path; default 10⁹.
    pub max_steps: u64,
    /// How often events may follow on one another without time going on; default 8 for each event.
    pub max_event_repeats: u32,
    /// Checked every few steps; when true the path ends with [`super::Status::Interrupted`]. Default none.
    pub interrupt: Option<Arc<AtomicBool>>,
}

impl StochasticOptions {
    /// The defaults for a method.
    pub fn new(method: StochasticMethod) -> Self {
        StochasticOptions {
            method,
            selection: Selection::Auto,
            epsilon: 0.03,
            step: None,
            max_steps: 1_000_000_000,
            max_event_repeats: 8,
            interrupt: None,
        }
    }
}

/// What moves the states.
#[derive(Clone, Copy)]
pub enum Law<'s> {
    /// Reactions.
    Jumps(&'s dyn Jumps),
    /// The system's right-hand side, with noise.
    Diffusion(&'s dyn Diffusion),
}

/// Makes paths of one system; buffers are kept from path to path.
pub struct Stochastic<'s> {
    world: world::World<'s>,
    formula: Formula<'s>,
}

enum Formula<'s> {
    Direct(Box<ssa::Ssa<'s, direct::Direct>>),
    NextReaction(Box<ssa::Ssa<'s, heap::NextReaction>>),
    Composition(Box<ssa::Ssa<'s, composition::Composition>>),
    TauLeap(Box<tau_leap::TauLeap<'s>>),
    Grid(Box<sde::Grid<'s>>),
}

impl<'s> Stochastic<'s> {
    /// For paths of `system` moved by `law`.
    ///
    /// # Errors
    /// A method that does not go with the law, a grid method without a positive step, a bad `epsilon`.
    pub fn new(system: &'s dyn System, law: Law<'s>, options: StochasticOptions) -> Result<Self, ProblemError> {
        if options.method.is_grid() && options.step.is_none() {
            return Err(ProblemError::NoStep { method: options.method.name() });
        }
        for (what, value) in [("the step", options.step.unwrap_or(1.0)), ("epsilon", options.epsilon)] {
            super::problem::check_range(what, value, value > 0.0 && value.is_finite(), "positive and finite")?;
        }
        let wrong = ProblemError::Unsuited("`ssa`, `tau_leap` and `cle` take reactions, `em` and `milstein` noise");
        let formula = match (options.method, law) {
            (StochasticMethod::Ssa, Law::Jumps(jumps)) => {
                match ssa::resolve(options.selection, jumps.channels().len()) {
                    Selection::NextReaction => Formula::NextReaction(Box::new(ssa::Ssa::new(system, jumps))),
                    Selection::Composition => Formula::Composition(Box::new(ssa::Ssa::new(system, jumps))),
                    Selection::Direct | Selection::Auto => Formula::Direct(Box::new(ssa::Ssa::new(system, jumps))),
                }
            }
            (StochasticMethod::TauLeap, Law::Jumps(jumps)) => {
                Formula::TauLeap(Box::new(tau_leap::TauLeap::new(system, jumps, options.epsilon)))
            }
            (StochasticMethod::Cle, Law::Jumps(jumps)) => Formula::Grid(Box::new(sde::Grid::langevin(system, jumps))),
            (StochasticMethod::Em, Law::Diffusion(noise)) => {
                Formula::Grid(Box::new(sde::Grid::noise(system, noise, false)))
            }
            (StochasticMethod::Milstein, Law::Diffusion(noise)) => {
                if noise.corrections().is_none() {
                    return Err(ProblemError::Unsuited("`milstein` needs noise that commutes; `em` takes any"));
                }
                Formula::Grid(Box::new(sde::Grid::noise(system, noise, true)))
            }
            (
                StochasticMethod::Ssa
                | StochasticMethod::TauLeap
                | StochasticMethod::Cle
                | StochasticMethod::Em
                | StochasticMethod::Milstein,
                Law::Jumps(_) | Law::Diffusion(_),
            ) => return Err(wrong),
        };
        Ok(Stochastic { world: world::World::new(system, options), formula })
    }

    /// One path of `problem`, told to `observer` at the ascending times `samples`. Its numbers come from `rng`.
    ///
    /// States that count items start at the whole number nearest to their start value. The directions of the problem are
    /// left out: a path has no derivative.
    ///
    /// # Errors
    /// [`ProblemError`] where the question itself is wrong. How the path ended is told by [`Outcome::status`].
    pub fn solve(
        &mut self,
        problem: &Problem<'_>,
        samples: &[f64],
        rng: &mut Rng,
        observer: &mut dyn Observer,
    ) -> Result<Outcome, ProblemError> {
        self.world.begin(problem, samples)?;
        let mut request = world::Request { problem, samples, next: 0, observer };
        Ok(match &mut self.formula {
            Formula::Direct(formula) => self.world.run(&mut **formula, &mut request, rng),
            Formula::NextReaction(formula) => self.world.run(&mut **formula, &mut request, rng),
            Formula::Composition(formula) => self.world.run(&mut **formula, &mut request, rng),
            Formula::TauLeap(formula) => self.world.run(&mut **formula, &mut request, rng),
            Formula::Grid(formula) => self.world.run(&mut **formula, &mut request, &mut sde::Drawn(rng)),
        })
    }

    /// As [`Stochastic::solve`] of a grid method, with the increments of the Wiener processes given instead of drawn.
    ///
    /// # Errors
    /// As there; and for methods without a grid.
    pub fn solve_with(
        &mut self,
        problem: &Problem<'_>,
        samples: &[f64],
        increments: &mut dyn Increments,
        observer: &mut dyn Observer,
    ) -> Result<Outcome, ProblemError> {
        self.world.begin(problem, samples)?;
        let mut request = world::Request { problem, samples, next: 0, observer };
        match &mut self.formula {
            Formula::Grid(formula) => Ok(self.world.run(&mut **formula, &mut request, &mut sde::Given(increments))),
            Formula::Direct(_) | Formula::NextReaction(_) | Formula::Composition(_) | Formula::TauLeap(_) => {
                Err(ProblemError::Unsuited("only a method with a grid can be given increments"))
            }
        }
    }

    /// The state at the end of the last path, `n_states`.
    pub fn state(&self) -> &[f64] {
        self.world.state()
    }
}
