//! What planners, policies, estimators and environments have in common, so that each can stand in for another of its kind
//! in a closed loop, in training and in a live twin.
//!
//! Everything is object-safe and works on slices; nothing here computes. `control` has planners and estimators, `learn`
//! environments and policies.

use crate::random::Rng;

/// What a planner is told at a sampling instant.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// Index of the sampling instant within the episode.
    pub step: usize,
    /// Time in the model's unit.
    pub time: f64,
    /// `n_states`: the state, or what an estimator believes it to be.
    pub state: &'a [f64],
    /// `n_inputs`: what acts on the plant up to this instant.
    pub previous: &'a [f64],
    /// `n × n_disturbances`, row major: the disturbances held over this and the following steps, as far as they are
    /// known; the last row goes on. Empty where the plan's own ones are to be used.
    pub forecast: &'a [f64],
}

/// How a plan came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PlanStatus {
    /// Optimal within the tolerance.
    Optimal,
    /// As good as the method gives in its fixed amount of work (real-time iteration, sampling).
    Improved,
    /// Feasible, but the tolerance was not met within the iterations allowed.
    IterationLimit,
    /// Progress ended before the tolerance was met.
    Stagnated,
    /// No plan keeps all constraints; the given one breaks them as little as was found.
    Infeasible,
    /// Stopped at the deadline.
    Deadline,
    /// The functions of the problem have no finite value; the given plan is the one before, shifted.
    Failed,
}

/// A plan: what to do now, and what is expected to come of it. Borrowed from the planner until it plans again.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'a> {
    /// `n_inputs`: the input to apply now.
    pub input: &'a [f64],
    /// `(horizon + 1) × n_states`, row major; empty where the method does not predict. Of a tree, the first scenario.
    pub states: &'a [f64],
    /// `horizon × n_inputs`, row major; empty where the method does not plan ahead.
    pub inputs: &'a [f64],
    /// Predicted cost; NaN where the method has none.
    pub cost: f64,
    /// Largest amount by which a hard constraint is broken along the plan, in the constraint's unit.
    pub violation: f64,
    /// How it came about.
    pub status: PlanStatus,
    /// Iterations of the method.
    pub iterations: usize,
    /// What went wrong, in one sentence without a full stop; empty where nothing did.
    pub message: &'a str,
}

/// Decides from a situation.
pub trait Planner: Send {
    /// Forgets what was learnt of the episode before and seeds what is drawn.
    fn reset(&mut self, seed: u64);

    /// Plans. Does not allocate after its first call.
    fn plan(&mut self, now: &Situation<'_>) -> Plan<'_>;

    /// Takes `parameters: n_params` for those of the model from now on, as an estimator finds them. A planner that has no
    /// model, or whose model was made for its parameters, keeps what it has.
    fn believe(&mut self, _parameters: &[f64]) {}

    /// Takes `covariance: n_states × n_states` for that of the state that the next plan begins with. Only planners that
    /// keep constraints with a probability ask for it.
    fn doubt(&mut self, _covariance: &[f64]) {}
}

/// Decides from an observation.
pub trait Policy: Send {
    /// `observation: n_observations` to `action: n_inputs`.
    fn act(&mut self, observation: &[f64], action: &mut [f64]);
}

/// What an estimator believes.
#[derive(Debug, Clone, Copy)]
pub struct Belief<'a> {
    /// `n`: mean of the estimated quantities (states, then parameters).
    pub mean: &'a [f64],
    /// `n × n`, column major.
    pub covariance: &'a [f64],
    /// Normalised innovation squared of the last update, χ² with `n_used` degrees of freedom; NaN before the first.
    pub nis: f64,
    /// Measurements that the last update used: neither missing nor gated out.
    pub n_used: usize,
    /// Logarithm of the likelihood of all measurements so far.
    pub log_likelihood: f64,
    /// What went wrong since the start, in one sentence without a full stop; empty where nothing did.
    pub message: &'a str,
}

/// Estimates the state from measurements.
pub trait Estimator: Send {
    /// Starts anew from the stated initial belief; seeds what is drawn.
    fn reset(&mut self, seed: u64);

    /// Carries the belief over `dt` (model time unit) under the input `u: n_inputs` and the disturbances `d`.
    fn predict(&mut self, dt: f64, u: &[f64], d: &[f64]);

    /// Takes in `y: n_outputs`; NaN where nothing was measured.
    fn update(&mut self, y: &[f64]);

    /// What is believed now.
    fn belief(&self) -> Belief<'_>;

    /// The parameters of the model that stand behind the states in the mean, by their indices.
    fn estimated(&self) -> &[usize] {
        &[]
    }
}

/// What a step of an environment gave. Gymnasium's terms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// Reward of the step.
    pub reward: f64,
    /// The episode ended by itself: it failed, or it was done.
    pub terminated: bool,
    /// The episode ended because its time was up.
    pub truncated: bool,
    /// It ended as a failure.
    pub failed: bool,
}

/// Something that is acted on and observed.
pub trait Environment: Send {
    /// Begins an episode; writes `observation: n_observations`.
    fn reset(&mut self, rng: &mut Rng, observation: &mut [f64]);

    /// Acts for one step; writes `observation: n_observations`.
    fn step(&mut self, action: &[f64], observation: &mut [f64]) -> Step;
}

/// An axis-aligned box; infinite where a side is open.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Space {
    /// What each axis is called.
    pub names: Vec<String>,
    /// Lower ends, each in its quantity's unit.
    pub low: Vec<f64>,
    /// Upper ends.
    pub high: Vec<f64>,
}

impl Space {
    /// Number of axes.
    pub fn len(&self) -> usize {
        self.low.len()
    }

    /// True without axes.
    pub fn is_empty(&self) -> bool {
        self.low.is_empty()
    }

    /// True where every side is closed.
    pub fn is_bounded(&self) -> bool {
        self.low.iter().chain(&self.high).all(|end| end.is_finite())
    }
}

/// Copies of an environment that are acted on together. A copy whose episode ended waits for its reset.
pub trait Environments: Send {
    /// How many copies.
    fn n_copies(&self) -> usize;

    /// What is observed of a copy.
    fn observation_space(&self) -> &Space;

    /// What a copy is acted on by; bounded.
    fn action_space(&self) -> &Space;

    /// Begins an episode of one copy, drawing from `rng`; writes `observation: n_observations`.
    ///
    /// # Errors
    /// Where the episode has no start, in one sentence without a full stop.
    fn reset(&mut self, copy: usize, rng: &mut Rng, observation: &mut [f64]) -> Result<(), String>;

    /// Acts on all copies for one step, `actions: n_copies × n_actions`, row major; writes
    /// `observations: n_copies × n_observations` and `steps: n_copies`. Copies that wait for a reset are left alone.
    fn step(&mut self, actions: &[f64], observations: &mut [f64], steps: &mut [Step]);

    /// Why the last step of a copy failed, in one sentence without a full stop; empty where it did not, and where an
    /// environment has no reasons to give.
    fn reason(&self, copy: usize) -> &str {
        let _ = copy;
        ""
    }

    /// Everything that a later step depends on.
    fn save(&self) -> Vec<u8>;

    /// Goes back to what [`Environments::save`] gave.
    ///
    /// # Errors
    /// Where the bytes are not of such an environment.
    fn restore(&mut self, saved: &[u8]) -> Result<(), String>;
}

/// An environment whose controller says what it would do.
pub trait Advised: Environments {
    /// `n_copies × n_actions`, within the action space: what the controller would do now. Asked once before each step.
    fn advise(&mut self, advice: &mut [f64]);
}
