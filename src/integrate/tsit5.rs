//! Tsit5, an explicit Runge–Kutta pair of order 5(4) whose last stage is the next step's first.
//!
//! Ch. Tsitouras 2011, Runge–Kutta pairs of order 5(4) satisfying only the first column simplifying assumption,
//! Comput. Math. Appl. 62, 770–775: table 1 and the interpolant of order 4.

use super::explicit::{Dense, Tableau};

/// The method.
pub(super) const TSIT5: Tableau = Tableau {
    stages: 7,
    is_first_same_as_last: true,
    exponent: 0.2,
    beta: 0.04,
    stability: STABILITY_LIMIT,
    c: &[0.0, 0.161, 0.327, 0.9, 0.9800255409045097, 1.0, 1.0],
    a: &[
        &[],
        &[0.161],
        &[-0.008480655492356989, 0.335480655492357],
        &[2.8971530571054935, -6.359448489975075, 4.3622954328695815],
        &[5.325864828439257, -11.748883564062828, 7.4955393428898365, -0.09249506636175525],
        &[5.86145544294642, -12.92096931784711, 8.159367898576159, -0.071584973281401, -0.028269050394068383],
        &[0.09646076681806523, 0.01, 0.4798896504144996, 1.379008574103742, -3.290069515436081, 2.324710524099774],
    ],
    b: &[0.09646076681806523, 0.01, 0.4798896504144996, 1.379008574103742, -3.290069515436081, 2.324710524099774, 0.0],
    error: Some(&[
        -0.0017800110522257714,
        -0.0008164344596567469,
        0.007880878010261995,
        -0.1447110071732629,
        0.5823571654525552,
        -0.45808210592918697,
        0.015151515151515152,
    ]),
    second_error: None,
    dense: Dense::Powers(&[
        &[1.0, -2.763706197274826, 2.9132554618219126, -1.0530884977290216],
        &[0.0, 0.13169999999999998, -0.2234, 0.1017],
        &[0.0, 3.9302962368947516, -5.941033872131505, 2.490627285651253],
        &[0.0, -12.411077166933676, 30.33818863028232, -16.548102889244902],
        &[0.0, 37.50931341651104, -88.1789048947664, 47.37952196281928],
        &[0.0, -27.896526289197286, 65.09189467479366, -34.87065786149661],
        &[0.0, 1.5, -4.0, 2.5],
    ]),
};

/// Where `h |lambda|` stays above this, stability and not accuracy limits the step.
///
/// The real stability interval ends at 3.5, but the step settles well below it where slow and fast errors share the
/// tolerance: at 2.0 to 3.0 on HIRES and the Oregonator at rtol 1e-8. The Pleiades and Arenstorf's orbit stay below.
const STABILITY_LIMIT: f64 = 2.0;

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use serde_json::Value;

    /// The published table of a method, from the folder that `TWINC_REFERENCE_DIR` names.
    pub(in crate::integrate) fn table(name: &str) -> Option<Value> {
        let Some(dir) = std::env::var_os("TWINC_REFERENCE_DIR") else {
            println!("skipped: no reference data");
            return None;
        };
        let path = std::path::PathBuf::from(dir).join("reference/integrators").join(name).with_extension("json");
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        Some(serde_json::from_str(&text).expect("JSON"))
    }

    /// A decimal or a fraction as the nearest double.
    pub(in crate::integrate) fn number(value: &Value) -> f64 {
        let text = value.as_str().expect("a string");
        let part = |t: &str| t.parse::<f64>().expect("a number");
        text.split_once('/').map_or_else(|| part(text), |(p, q)| part(p) / part(q))
    }

    pub(in crate::integrate) fn row(value: &Value) -> Vec<f64> {
        value.as_array().expect("a list").iter().map(number).collect()
    }

    #[test]
    fn the_coefficients_are_the_published_ones() {
        let Some(published) = table("tsit5") else { return };
        assert_eq!(TSIT5.c, row(&published["c"]));
        assert_eq!(TSIT5.b, row(&published["b"]));
        assert_eq!(TSIT5.error.expect("an estimate"), row(&published["btilde"]));
        for (i, a) in TSIT5.a.iter().enumerate() {
            assert_eq!(*a, &row(&published["A"][i])[..i]);
        }
        let Dense::Powers(polynomials) = TSIT5.dense else { panic!("another interpolant") };
        for (i, polynomial) in polynomials.iter().enumerate() {
            assert_eq!(*polynomial, row(&published["interp"][i]));
        }
    }

    #[test]
    fn rows_sum_to_their_times() {
        for (a, c) in TSIT5.a.iter().zip(TSIT5.c) {
            assert!((a.iter().sum::<f64>() - c).abs() < 1e-14);
        }
    }
}
