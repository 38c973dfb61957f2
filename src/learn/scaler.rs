//! Observations as networks see them: of one size, whatever their units.
//!
//! Either each axis is scaled by the ends of its range, or by the mean and spread of what was met so far (the moments of
//! groups are joined as by T. F. Chan, G. H. Golub and R. J. LeVeque, Am. Stat. 37 (1983) 242). What a policy was trained
//! with is kept beside it.

use super::tensors::{TensorError, Tensors};
use crate::decide::Space;

/// Numbers of standard deviations from which on a scaled observation is cut off.
const FAR: f64 = 10.0;

/// How observations are scaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scaling {
    /// Not at all.
    None,
    /// Axes whose range is bounded, to −1 .. 1; the others not at all.
    #[default]
    Range,
    /// All axes, to mean 0 and standard deviation 1 over what was met so far.
    Running,
}

impl Scaling {
    /// The words for them in a model.
    pub const NAMES: &[&str] = &["none", "range", "running"];

    /// The scaling of this name.
    pub fn from_name(name: &str) -> Option<Scaling> {
        match name {
            "none" => Some(Scaling::None),
            "range" => Some(Scaling::Range),
            "running" => Some(Scaling::Running),
            _ => None,
        }
    }
}

/// Scales observations.
#[derive(Debug, Clone, PartialEq)]
pub struct Scaler {
    scaling: Scaling,
    center: Vec<f64>,
    /// One over the half width, or over the standard deviation.
    inverse: Vec<f64>,
    /// How many observations, their means, and their summed squared distances from them.
    count: f64,
    mean: Vec<f64>,
    squares: Vec<f64>,
}

impl Scaler {
    /// For observations of `space`.
    pub fn new(space: &Space, scaling: Scaling) -> Scaler {
        let n = space.len();
        let mut scaler = Scaler {
            scaling,
            center: vec![0.0; n],
            inverse: vec![1.0; n],
            count: 0.0,
            mean: vec![0.0; n],
            squares: vec![0.0; n],
        };
        if scaling == Scaling::Range {
            for axis in 0..n {
                let (low, high) = (space.low[axis], space.high[axis]);
                if low.is_finite() && high.is_finite() && high > low {
                    scaler.center[axis] = 0.5 * (low + high);
                    scaler.inverse[axis] = 2.0 / (high - low);
                }
            }
        }
        scaler
    }

    /// Number of axes.
    pub fn n(&self) -> usize {
        self.center.len()
    }

    /// True where the scaling changes with what is met.
    pub fn is_learning(&self) -> bool {
        match self.scaling {
            Scaling::None | Scaling::Range => false,
            Scaling::Running => true,
        }
    }

    /// Takes in `observations: n_rows × n`, where the scaling is by what was met.
    pub fn meet(&mut self, observations: &[f64]) {
        let n = self.n();
        if !self.is_learning() || observations.is_empty() {
            return;
        }
        let n_new = (observations.len() / n) as f64;
        let joined = self.count + n_new;
        for axis in 0..n {
            let values = || observations.iter().skip(axis).step_by(n);
            let mean = values().sum::<f64>() / n_new;
            let squares: f64 = values().map(|v| (v - mean) * (v - mean)).sum();
            let apart = mean - self.mean[axis];
            self.mean[axis] += apart * n_new / joined;
            self.squares[axis] += squares + apart * apart * self.count * n_new / joined;
            self.center[axis] = self.mean[axis];
            self.inverse[axis] = 1.0 / (self.squares[axis] / joined + 1e-8).sqrt();
        }
        self.count = joined;
    }

    /// `out` = `observations` scaled, `n_rows × n` both.
    pub fn scale(&self, observations: &[f64], out: &mut [f32]) {
        let n = self.n();
        for (row, scaled) in observations.chunks_exact(n).zip(out.chunks_exact_mut(n)) {
            for axis in 0..n {
                let value = (row[axis] - self.center[axis]) * self.inverse[axis];
                scaled[axis] = match self.scaling {
                    Scaling::None | Scaling::Range => value as f32,
                    Scaling::Running => value.clamp(-FAR, FAR) as f32,
                };
            }
        }
    }

    /// Puts the scaling as `scaler/*`.
    pub fn save(&self, to: &mut Tensors) {
        let n = self.n();
        to.put_word("scaling", Scaling::NAMES[self.scaling as usize]);
        to.put("scaler/center", &[n], &self.center);
        to.put("scaler/inverse", &[n], &self.inverse);
        to.put("scaler/mean", &[n], &self.mean);
        to.put("scaler/squares", &[n], &self.squares);
        to.put_one("scaler/count", self.count);
    }

    /// Goes back to what was put.
    ///
    /// # Errors
    /// Where it is of other observations, or scaled in another way.
    pub fn load(&mut self, from: &Tensors) -> Result<(), TensorError> {
        from.check_word("scaling", Scaling::NAMES[self.scaling as usize])?;
        let read = Scaler::read(from)?;
        let is_of_these = match self.scaling {
            Scaling::None | Scaling::Running => read.n() == self.n(),
            Scaling::Range => (&read.center, &read.inverse) == (&self.center, &self.inverse),
        };
        if !is_of_these {
            return Err(TensorError::Format(
                "the observations of what was saved are not those of this task".to_string(),
            ));
        }
        *self = read;
        Ok(())
    }

    /// The one that was put.
    ///
    /// # Errors
    /// Where there is none, or its parts are of different lengths.
    pub fn read(from: &Tensors) -> Result<Scaler, TensorError> {
        let word = from.words.get("scaling").map_or("", String::as_str);
        let scaling = Scaling::from_name(word).ok_or_else(|| TensorError::Word {
            name: "scaling".to_string(),
            found: format!("`{word}`"),
            expected: "`none`, `range` or `running`".to_string(),
        })?;
        let n = from.shaped::<f64>("scaler/center")?.0.len();
        let part = |name: &str| Ok(from.get::<f64>(&format!("scaler/{name}"), &[n])?.to_vec());
        let (center, inverse, mean, squares) = (part("center")?, part("inverse")?, part("mean")?, part("squares")?);
        Ok(Scaler { scaling, center, inverse, count: from.get_one("scaler/count")?, mean, squares })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space(low: &[f64], high: &[f64]) -> Space {
        Space { names: vec![String::new(); low.len()], low: low.to_vec(), high: high.to_vec() }
    }

    #[test]
    fn bounded_axes_become_minus_one_to_one() {
        let scaler = Scaler::new(&space(&[0.0, -20.0, 0.0], &[1000.0, 20.0, f64::INFINITY]), Scaling::Range);
        let mut out = [0.0; 6];
        scaler.scale(&[138.0, 38.0, 7.0, 1000.0, -20.0, -3.0], &mut out);
        assert_eq!(out, [-0.724, 1.9, 7.0, 1.0, -1.0, -3.0]);
    }

    #[test]
    fn moments_do_not_depend_on_how_observations_are_grouped() {
        let values: Vec<f64> = (0..120).map(|k| 50.0 + f64::from(k * k % 17)).collect();
        let open = space(&[f64::NEG_INFINITY; 2], &[f64::INFINITY; 2]);
        let mut one = Scaler::new(&open, Scaling::Running);
        one.meet(&values);
        let mut many = Scaler::new(&open, Scaling::Running);
        for group in values.chunks(14) {
            many.meet(group);
        }
        let first: Vec<f64> = values.iter().step_by(2).copied().collect();
        let mean = first.iter().sum::<f64>() / 60.0;
        let variance = first.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / 60.0;
        for scaler in [one, many] {
            assert!((scaler.center[0] - mean).abs() < 1e-12);
            assert!((scaler.inverse[0] - 1.0 / (variance + 1e-8).sqrt()).abs() < 1e-12);
        }
    }
}
