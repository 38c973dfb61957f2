//! The standard normal distribution in closed form.

/// The z with Φ(z) = `probability`, for probabilities in [0.5, 1); 10 at most.
///
/// Φ by the series z + z³/3 + z⁵/15 + ... (Marsaglia 2004, *J. Stat. Softw.* 11:4), inverted by bisection: called once
/// per fit or bound, so that plainness counts and speed does not.
pub fn quantile(probability: f64) -> f64 {
    let cumulative = |z: f64| {
        let (mut term, mut sum, mut k) = (z, z, 1.0);
        while term.abs() > 1e-18 * sum.abs() {
            k += 2.0;
            term *= z * z / k;
            sum += term;
        }
        0.5 + sum * (-0.5 * z * z).exp() / (2.0 * std::f64::consts::PI).sqrt()
    };
    let (mut below, mut above) = (0.0, 10.0);
    for _ in 0..100 {
        let middle = 0.5 * (below + above);
        if cumulative(middle) < probability {
            below = middle;
        } else {
            above = middle;
        }
    }
    0.5 * (below + above)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_tables() {
        // Abramowitz and Stegun, table 26.5.
        for (p, z) in [(0.975, 1.959_963_985), (0.995, 2.575_829_304), (0.841_344_746, 1.0), (0.5, 0.0)] {
            assert!((quantile(p) - z).abs() < 1e-8, "{p}");
        }
    }
}
