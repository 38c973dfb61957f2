//! The settings of the sampling planners, and the tables by which a checker knows them.
//!
//! Spreads are standard deviations as a fraction of the distance between an input's bounds, so that they hold for inputs
//! of any unit; the temperature counts in the spread of the costs at hand, so that it holds for any cost.

use crate::hir::settings::{SettingKind, SettingSpec};

/// Settings of [`super::Mppi`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MppiSettings {
    /// Sequences drawn at once. Default 512.
    pub samples: usize,
    /// Rounds of drawing and averaging in one plan. Default 1.
    pub iterations: usize,
    /// Standard deviation of the draws, as a fraction of the input's range. Default 0.3.
    pub noise: f64,
    /// Least share of that spread which a sequence has. Default 0.01.
    pub narrowest: f64,
    /// How much of a step's deviation goes on in the next, 0 for independent steps. Default 0.8.
    pub smoothing: f64,
    /// How far the average reaches: a sequence weighs `exp(-(S - S_best)/(temperature (S_elite - S_best)))`, S_elite
    /// being the cost that a tenth of the sequences stay below. Default 0.3.
    pub temperature: f64,
}

impl Default for MppiSettings {
    fn default() -> Self {
        MppiSettings { samples: 512, iterations: 1, noise: 0.3, narrowest: 0.01, smoothing: 0.8, temperature: 0.3 }
    }
}

/// Settings of [`super::Cem`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CemSettings {
    /// Sequences drawn in each round. Default 256.
    pub samples: usize,
    /// Rounds. Default 5.
    pub iterations: usize,
    /// Share of the sequences that the distribution is fitted to. Default 0.05.
    pub elites: f64,
    /// First standard deviation, as a fraction of the input's range. Default 0.3.
    pub noise: f64,
    /// Least share of that spread which a sequence has. Default 0.01.
    pub narrowest: f64,
    /// Least standard deviation, as a fraction of the input's range. Default 0.01.
    pub least_noise: f64,
    /// How much of a step's deviation goes on in the next, 0 for independent steps. Default 0.8.
    pub smoothing: f64,
    /// How much of mean and deviation stays from one round to the next. Default 0.1.
    pub inertia: f64,
}

impl Default for CemSettings {
    fn default() -> Self {
        CemSettings {
            samples: 256,
            iterations: 5,
            elites: 0.05,
            noise: 0.3,
            narrowest: 0.01,
            least_noise: 0.01,
            smoothing: 0.8,
            inertia: 0.1,
        }
    }
}

/// Settings of [`super::Cma`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CmaSettings {
    /// Sequences drawn in each generation. Default 48.
    pub samples: usize,
    /// Generations. Default 20.
    pub iterations: usize,
    /// First standard deviation in the first plan, as a fraction of the input's range. Default 0.2.
    pub noise: f64,
    /// The same in later plans, which begin at the one before. Default 0.005.
    pub later_noise: f64,
    /// How much of a step's deviation goes on in the next, in the first covariance. Default 0.95.
    pub smoothing: f64,
}

impl Default for CmaSettings {
    fn default() -> Self {
        CmaSettings { samples: 48, iterations: 20, noise: 0.2, later_noise: 0.005, smoothing: 0.95 }
    }
}

/// Settings of [`super::Shooting`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ShootingSettings {
    /// Sequences drawn. Default 1024.
    pub samples: usize,
    /// Standard deviation of the draws, as a fraction of the input's range. Default 0.3.
    pub noise: f64,
    /// Least share of that spread which a sequence has. Default 0.01.
    pub narrowest: f64,
    /// How much of a step's deviation goes on in the next. Default 0.8.
    pub smoothing: f64,
}

impl Default for ShootingSettings {
    fn default() -> Self {
        ShootingSettings { samples: 1024, noise: 0.3, narrowest: 0.01, smoothing: 0.8 }
    }
}

const fn count(name: &'static str, default: &'static str, doc: &'static str) -> SettingSpec {
    SettingSpec { name, kind: SettingKind::Integer(1, 1_000_000), unit: "", default, doc }
}

const fn fraction(name: &'static str, least: f64, most: f64, default: &'static str, doc: &'static str) -> SettingSpec {
    SettingSpec { name, kind: SettingKind::Number(least, most), unit: "", default, doc }
}

const NOISE: &str = "standard deviation of the draws, as a fraction of the distance between an input's bounds";
const NARROWEST: &str = "least share of that spread which a sequence has; 1 where all have the same";
const TEMPERATURE: &str = "how far the average reaches beyond the best sequence, counted in the distance from the best cost \
                           to that which a tenth of the sequences stay below";
const SMOOTHING: &str = "how much of a step's deviation goes on in the next; 0 for independent steps";

/// The settings of `planner mppi { ... }`.
pub const MPPI: &[SettingSpec] = &[
    count("samples", "512", "sequences drawn at once"),
    count("iterations", "1", "rounds of drawing and averaging in one plan"),
    fraction("noise", 1e-6, 10.0, "0.3", NOISE),
    fraction("narrowest", 1e-6, 1.0, "0.01", NARROWEST),
    fraction("smoothing", 0.0, 0.999, "0.8", SMOOTHING),
    fraction("temperature", 1e-6, 1e6, "0.3", TEMPERATURE),
];

/// The settings of `planner cem { ... }`.
pub const CEM: &[SettingSpec] = &[
    count("samples", "256", "sequences drawn in each round"),
    count("iterations", "5", "rounds"),
    fraction("elites", 1e-3, 1.0, "0.05", "share of the sequences that the distribution is fitted to"),
    fraction("noise", 1e-6, 10.0, "0.3", NOISE),
    fraction("narrowest", 1e-6, 1.0, "0.01", NARROWEST),
    fraction("least_noise", 0.0, 10.0, "0.01", "least standard deviation, as a fraction of the same distance"),
    fraction("smoothing", 0.0, 0.999, "0.8", SMOOTHING),
    fraction("inertia", 0.0, 0.999, "0.1", "how much of mean and deviation stays from one round to the next"),
];

/// The settings of `planner cma { ... }`.
pub const CMA: &[SettingSpec] = &[
    SettingSpec {
        name: "samples",
        kind: SettingKind::Integer(4, 1_000_000),
        unit: "",
        default: "48",
        doc: "sequences drawn in each generation",
    },
    count("iterations", "20", "generations"),
    fraction("noise", 1e-6, 10.0, "0.2", NOISE),
    fraction("later_noise", 1e-6, 1.0, "0.005", "the same in later plans, which begin at the one before"),
    fraction("smoothing", 0.0, 0.999, "0.95", SMOOTHING),
];

/// The settings of `planner shooting { ... }`.
pub const SHOOTING: &[SettingSpec] = &[
    count("samples", "1024", "sequences drawn"),
    fraction("noise", 1e-6, 10.0, "0.3", NOISE),
    fraction("narrowest", 1e-6, 1.0, "0.01", NARROWEST),
    fraction("smoothing", 0.0, 0.999, "0.8", SMOOTHING),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// The defaults that the tables print are those in force.
    #[test]
    fn tables_state_the_defaults_in_force() {
        let defaults = |table: &[SettingSpec]| table.iter().map(|s| s.default.to_owned()).collect::<Vec<_>>();
        let text = |numbers: &[f64]| numbers.iter().map(f64::to_string).collect::<Vec<_>>();
        let m = MppiSettings::default();
        assert_eq!(
            defaults(MPPI),
            text(&[m.samples as f64, m.iterations as f64, m.noise, m.narrowest, m.smoothing, m.temperature])
        );
        let c = CemSettings::default();
        let in_force = [
            c.samples as f64,
            c.iterations as f64,
            c.elites,
            c.noise,
            c.narrowest,
            c.least_noise,
            c.smoothing,
            c.inertia,
        ];
        assert_eq!(defaults(CEM), text(&in_force));
        let c = CmaSettings::default();
        assert_eq!(defaults(CMA), text(&[c.samples as f64, c.iterations as f64, c.noise, c.later_noise, c.smoothing]));
        let s = ShootingSettings::default();
        assert_eq!(defaults(SHOOTING), text(&[s.samples as f64, s.noise, s.narrowest, s.smoothing]));
    }
}
