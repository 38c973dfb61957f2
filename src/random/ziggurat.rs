//! Many normal numbers: the ziggurat of G. Marsaglia and W. W. Tsang, The ziggurat method for generating random variables,
//! J. Stat. Softw. 5 (2000) 8, with 256 layers of equal area.
//!
//! One 64-bit number of the generator gives layer and place, and 98.8 % of the numbers are done then; `draw::normals` needs
//! a logarithm, a sine and a cosine for two. Exact up to the 53 bits of the place within a layer.

use super::Rng;
use rand::Rng as _;
use rand::RngCore as _;

const N_LAYERS: usize = 256;
/// Where the tail begins, and the area of each layer: the solution of their two equations for 256 layers.
const TAIL: f64 = 3.654_152_885_361_009;
const AREA: f64 = 0.004_928_673_233_974_655;

/// Right ends of the layers, from the lowest, and the density there.
#[derive(Debug, Clone)]
pub struct Ziggurat {
    ends: [f64; N_LAYERS + 1],
    heights: [f64; N_LAYERS + 1],
}

impl Default for Ziggurat {
    fn default() -> Self {
        Self::new()
    }
}

fn density(x: f64) -> f64 {
    (-0.5 * x * x).exp()
}

impl Ziggurat {
    /// The tables.
    pub fn new() -> Ziggurat {
        let mut ends = [0.0; N_LAYERS + 1];
        // The lowest layer is as wide as a box of its area; what lies beyond the tail's begin stands for the tail.
        ends[0] = AREA / density(TAIL);
        ends[1] = TAIL;
        for i in 1..N_LAYERS - 1 {
            ends[i + 1] = (-2.0 * (AREA / ends[i] + density(ends[i])).ln()).sqrt();
        }
        Ziggurat { ends, heights: ends.map(density) }
    }

    /// `out` = independent normal numbers of mean 0 and standard deviation 1.
    pub fn fill(&self, rng: &mut Rng, out: &mut [f64]) {
        for value in out {
            *value = self.draw(rng);
        }
    }

    /// One normal number of mean 0 and standard deviation 1.
    #[inline]
    pub fn draw(&self, rng: &mut Rng) -> f64 {
        let bits = rng.next_u64();
        let layer = (bits & 0xff) as usize;
        // 53 bits to [−1, 1).
        let place = (bits >> 11) as f64 * (2.0 / 9_007_199_254_740_992.0) - 1.0;
        let x = place * self.ends[layer];
        if x.abs() < self.ends[layer + 1] { x } else { self.edge(layer, x, rng) }
    }

    /// The rest of a draw that fell outside the next layer.
    #[cold]
    fn edge(&self, mut layer: usize, mut x: f64, rng: &mut Rng) -> f64 {
        loop {
            if layer == 0 {
                return self.tail(x < 0.0, rng);
            }
            let (low, high) = (self.heights[layer], self.heights[layer + 1]);
            if low + (high - low) * rng.random::<f64>() < density(x) {
                return x;
            }
            let bits = rng.next_u64();
            layer = (bits & 0xff) as usize;
            x = ((bits >> 11) as f64 * (2.0 / 9_007_199_254_740_992.0) - 1.0) * self.ends[layer];
            if x.abs() < self.ends[layer + 1] {
                return x;
            }
        }
    }

    /// Beyond [`TAIL`], after Marsaglia 1964.
    fn tail(&self, is_negative: bool, rng: &mut Rng) -> f64 {
        loop {
            let x = super::draw::exponential(rng) / TAIL;
            let y = super::draw::exponential(rng);
            if 2.0 * y >= x * x {
                return if is_negative { -(TAIL + x) } else { TAIL + x };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::stream;

    #[test]
    fn layers_have_equal_areas_up_to_the_top() {
        let table = Ziggurat::new();
        for i in 1..N_LAYERS {
            let area = table.ends[i] * (table.heights[i + 1] - table.heights[i]);
            assert!((area / AREA - 1.0).abs() < 1e-9, "layer {i}: {area}");
        }
    }

    #[test]
    fn normal_numbers_have_their_moments_and_tails() {
        let table = Ziggurat::new();
        let mut rng = stream(3, 1);
        let n = 2_000_000;
        let mut values = vec![0.0; n];
        table.fill(&mut rng, &mut values);
        let mean_of = |f: &dyn Fn(f64) -> f64| values.iter().map(|v| f(*v)).sum::<f64>() / n as f64;
        for (k, exact, variance) in [(1, 0.0, 1.0), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0), (6, 15.0, 10_170.0)]
        {
            let moment = mean_of(&|v| v.powi(k));
            assert!((moment - exact).abs() < 5.0 * f64::sqrt(variance / n as f64), "moment {k}: {moment}");
        }
        // Upper tails of the normal distribution; the last lies behind the begin of the ziggurat's own tail.
        for (end, exact) in [
            (0.5, 0.308_537_538_725_987),
            (1.0, 0.158_655_253_931_457),
            (2.5, 0.006_209_665_325_776),
            (3.7, 0.000_107_799_733_478),
        ] {
            let above = mean_of(&|v| f64::from(v > end));
            let below = mean_of(&|v| f64::from(v < -end));
            for share in [above, below] {
                assert!((share - exact).abs() < 5.0 * f64::sqrt(exact / n as f64), "{end}: {share}");
            }
        }
    }
}
