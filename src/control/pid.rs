//! The PID controller, with what makes it usable: a filtered derivative of the measurement, limits with anti-windup, a start
//! without a bump, and a tuning rule.
//!
//! K. J. Åström and T. Hägglund 2006, *Advanced PID control*, ISA, sections 3.3 to 3.6 (form, filter, back-calculation) and
//! 13.3 (discretization: the integral forward, the derivative backward); [`tuning`] has the rule. In continuous time
//!
//! ```text
//! v = gain (b r − y) + I + D,   I' = gain/integral (r − y) + (u − v)/tracking,   D + derivative/filter D' = −gain derivative y'
//! ```
//!
//! with setpoint r, measurement y and `u = v` within its limits. A gain is negative where the measurement falls as the
//! input rises.

pub mod tuning;

use crate::decide::{Plan, PlanStatus, Planner, Situation};

/// Settings of one controller.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PidSettings {
    /// Gain, in input per measurement. Default 1.
    pub gain: f64,
    /// Integral time in the model's unit; infinite for none. Default infinite.
    pub integral: f64,
    /// Derivative time in the model's unit; 0 for none. Default 0.
    pub derivative: f64,
    /// How much faster than the derivative time its filter is. Default 10.
    pub filter: f64,
    /// Time in which the integral follows the limited input; 0 takes `√(integral · derivative)`, and the integral time
    /// where there is no derivative; infinite lets it wind up. Default 0.
    pub tracking: f64,
    /// Share of the setpoint that the proportional part sees. Default 1.
    pub setpoint_weight: f64,
    /// Lower limit of the input. Default −∞.
    pub lower: f64,
    /// Upper limit of the input. Default ∞.
    pub upper: f64,
}

impl Default for PidSettings {
    fn default() -> Self {
        PidSettings {
            gain: 1.0,
            integral: f64::INFINITY,
            derivative: 0.0,
            filter: 10.0,
            tracking: 0.0,
            setpoint_weight: 1.0,
            lower: f64::NEG_INFINITY,
            upper: f64::INFINITY,
        }
    }
}

/// Why there is no controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PidError {
    /// A setting is not a number or out of its range.
    #[error("`{0}` is out of its range")]
    Setting(&'static str),
    /// Lower limit above the upper one.
    #[error("the lower limit of the input is above the upper one")]
    Contradictory,
    /// A loop names a state or an input that is not there.
    #[error("loop {0} is of a state or an input that the problem has not, or has no setpoint")]
    Loop(usize),
}

/// One controller with its memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Pid {
    settings: PidSettings,
    tracking: f64,
    integral: f64,
    derivative: f64,
    /// The measurement before; none at the start.
    before: Option<f64>,
}

impl Pid {
    /// A controller that has seen nothing.
    ///
    /// # Errors
    /// A setting out of its range.
    pub fn new(settings: PidSettings) -> Result<Pid, PidError> {
        let PidSettings { gain, integral, derivative, filter, tracking, setpoint_weight, lower, upper } = settings;
        for (name, is_right) in [
            ("gain", gain.is_finite()),
            ("integral", integral > 0.0),
            ("derivative", derivative >= 0.0 && derivative.is_finite()),
            ("filter", filter > 0.0 && filter.is_finite()),
            ("tracking", tracking >= 0.0),
            ("setpoint_weight", setpoint_weight.is_finite()),
            ("lower", !lower.is_nan()),
            ("upper", !upper.is_nan()),
        ] {
            if !is_right {
                return Err(PidError::Setting(name));
            }
        }
        if lower > upper {
            return Err(PidError::Contradictory);
        }
        let tracking = match tracking > 0.0 {
            true => tracking,
            false if derivative > 0.0 => (integral * derivative).sqrt(),
            false => integral,
        };
        Ok(Pid { settings, tracking, integral: 0.0, derivative: 0.0, before: None })
    }

    /// Forgets what was seen.
    pub fn reset(&mut self) {
        (self.integral, self.derivative, self.before) = (0.0, 0.0, None);
    }

    /// The input to hold over the next `dt`, from the measurement and its setpoint. The first call begins without a bump:
    /// with an integral part it answers `previous`, the input that acted until now.
    pub fn update(&mut self, setpoint: f64, measured: f64, previous: f64, dt: f64) -> f64 {
        let PidSettings { gain, integral, derivative, filter, setpoint_weight, lower, upper, .. } = self.settings;
        let proportional = gain * (setpoint_weight * setpoint - measured);
        match self.before {
            Some(before) if derivative > 0.0 => {
                let keep = derivative / (derivative + filter * dt);
                self.derivative = keep * self.derivative - gain * filter * keep * (measured - before);
            }
            Some(_) => {}
            None if integral.is_finite() => self.integral = previous - proportional,
            None => {}
        }
        self.before = Some(measured);
        let wanted = proportional + self.integral + self.derivative;
        let input = wanted.clamp(lower, upper);
        if integral.is_finite() {
            self.integral += gain * dt / integral * (setpoint - measured);
            if self.tracking.is_finite() {
                // No faster than at once, or a long step would overshoot.
                self.integral += (dt / self.tracking).min(1.0) * (input - wanted);
            }
        }
        input
    }
}

/// A controller with the measurement it reads, the input it sets, and its setpoints.
#[derive(Debug, Clone, PartialEq)]
pub struct PidLoop {
    /// Which state is measured.
    pub state: usize,
    /// Which input is set.
    pub input: usize,
    /// The controller.
    pub pid: Pid,
    /// Setpoints by sampling instant; the last goes on.
    pub setpoints: Vec<f64>,
}

/// Controllers side by side as a planner. An input without one keeps its value.
#[derive(Debug, Clone)]
pub struct PidPlanner {
    loops: Vec<PidLoop>,
    step: f64,
    input: Vec<f64>,
}

impl PidPlanner {
    /// For a problem of these sizes that is sampled every `step`.
    ///
    /// # Errors
    /// A loop of a state or an input that is not there, or without a setpoint, or a step that is not positive.
    pub fn new(loops: Vec<PidLoop>, n_states: usize, n_inputs: usize, step: f64) -> Result<PidPlanner, PidError> {
        let fits = |one: &PidLoop| one.state < n_states && one.input < n_inputs && !one.setpoints.is_empty();
        if let Some(wrong) = loops.iter().position(|one| !fits(one)) {
            return Err(PidError::Loop(wrong));
        }
        if !(step > 0.0 && step.is_finite()) {
            return Err(PidError::Setting("step"));
        }
        Ok(PidPlanner { loops, step, input: vec![0.0; n_inputs] })
    }
}

impl Planner for PidPlanner {
    fn reset(&mut self, _seed: u64) {
        self.loops.iter_mut().for_each(|one| one.pid.reset());
    }

    fn plan(&mut self, now: &Situation<'_>) -> Plan<'_> {
        for (input, previous) in self.input.iter_mut().zip(now.previous) {
            *input = *previous;
        }
        let mut is_finite = true;
        for one in &mut self.loops {
            let setpoint = one.setpoints[now.step.min(one.setpoints.len() - 1)];
            let measured = now.state.get(one.state).copied().unwrap_or(f64::NAN);
            if !(measured.is_finite() && setpoint.is_finite()) {
                is_finite = false;
                continue;
            }
            let before = self.input[one.input];
            self.input[one.input] = one.pid.update(setpoint, measured, before, self.step);
        }
        Plan {
            input: &self.input,
            states: &[],
            inputs: &[],
            cost: f64::NAN,
            violation: 0.0,
            status: if is_finite { PlanStatus::Improved } else { PlanStatus::Failed },
            iterations: 0,
            message: if is_finite { "" } else { "a measurement or setpoint is not finite; its input is held" },
        }
    }
}
