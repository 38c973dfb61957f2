//! Where an axis has its ticks and what stands at them.
//!
//! Linear axes step by 1, 2 or 5 times a power of ten (Heckbert 1990, "Nice numbers for graph labels", Graphics Gems);
//! logarithmic axes step by decades, with 2 and 5 between them where there are few.

use crate::export::table::number;

/// One tick.
#[derive(Debug, Clone, PartialEq)]
pub struct Tick {
    /// Where, in the axis's own numbers.
    pub value: f64,
    /// What is written there; empty for a minor tick.
    pub label: String,
}

/// Ticks of a linear axis over `low..high`, about `wanted` of them.
pub fn linear(low: f64, high: f64, wanted: usize) -> Vec<Tick> {
    let span = high - low;
    if !span.is_finite() || span <= 0.0 {
        return vec![Tick { value: low, label: number(low) }];
    }
    let step = nice_step(span / wanted.max(1) as f64);
    let first = (low / step - 1e-9).ceil();
    let last = (high / step + 1e-9).floor();
    let largest = low.abs().max(high.abs());
    let mut ticks = Vec::new();
    let mut k = first;
    while k <= last && ticks.len() < 100 {
        let value = k * step;
        ticks.push(Tick { value, label: label(value, step, largest) });
        k += 1.0;
    }
    ticks
}

/// The smallest of 1, 2, 5 times a power of ten that is not below `rough`.
fn nice_step(rough: f64) -> f64 {
    let power = 10_f64.powf(rough.log10().floor());
    let fraction = rough / power;
    let factor = if fraction <= 1.0 {
        1.0
    } else if fraction <= 2.0 {
        2.0
    } else if fraction <= 5.0 {
        5.0
    } else {
        10.0
    };
    factor * power
}

fn label(value: f64, step: f64, largest: f64) -> String {
    if value.abs() < step * 1e-6 {
        return "0".into();
    }
    // The digits that tell neighbors apart: from the leading one down to the step's.
    let step_power = (step * 1.000001).log10().floor() as i32;
    let top_power = largest.log10().floor() as i32;
    if (-4..6).contains(&top_power) && step_power > -6 {
        return format!("{value:.*}", (-step_power).max(0) as usize);
    }
    let digits = ((value.abs() * 1.000001).log10().floor() as i32 - step_power).max(0) as usize;
    trim_mantissa(&format!("{value:.digits$e}"))
}

/// `2.50e-4` → `2.5e-4`
fn trim_mantissa(text: &str) -> String {
    match text.split_once('e') {
        Some((mantissa, power)) if mantissa.contains('.') => {
            format!("{}e{power}", mantissa.trim_end_matches('0').trim_end_matches('.'))
        }
        _ => text.into(),
    }
}

/// Ticks of a logarithmic axis over `low..high`, both positive; minor ones have no label.
pub fn logarithmic(low: f64, high: f64, wanted: usize) -> Vec<Tick> {
    let (from, to) = (low.log10(), high.log10());
    let n_decades = to - from;
    if n_decades < 0.7 {
        return linear(low, high, wanted).into_iter().filter(|tick| tick.value > 0.0).collect();
    }
    let stride = (n_decades / wanted.max(1) as f64).ceil().max(1.0) as i32;
    let mut ticks = Vec::new();
    for power in (from - 1e-9).floor() as i32..=(to + 1e-9).ceil() as i32 {
        for digit in 1..10 {
            let value = f64::from(digit) * 10_f64.powi(power);
            if value < low * (1.0 - 1e-9) || value > high * (1.0 + 1e-9) {
                continue;
            }
            let has_label = match digit {
                1 => power.rem_euclid(stride) == 0,
                2 | 5 => n_decades < 2.0,
                _ => false,
            };
            if has_label {
                ticks.push(Tick { value, label: short(digit, power) });
            } else if stride == 1 || digit == 1 {
                ticks.push(Tick { value, label: String::new() });
            }
        }
    }
    ticks
}

fn short(digit: i32, power: i32) -> String {
    match power {
        0..=4 => format!("{digit}{}", "0".repeat(power as usize)),
        -3..=-1 => format!("0.{}{digit}", "0".repeat((-power - 1) as usize)),
        _ => format!("{digit}e{power}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(ticks: &[Tick]) -> String {
        ticks.iter().filter(|t| !t.label.is_empty()).map(|t| t.label.as_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn steps_are_round() {
        assert_eq!(labels(&linear(0.0, 10.0, 5)), "0 2 4 6 8 10");
        assert_eq!(labels(&linear(-0.13, 0.27, 5)), "-0.1 0 0.1 0.2");
        assert_eq!(labels(&linear(0.0, 3.1e-7, 4)), "0 1e-7 2e-7 3e-7");
        assert_eq!(labels(&linear(0.0, 2.5e8, 5)), "0 5e7 1e8 1.5e8 2e8 2.5e8");
        assert_eq!(labels(&linear(1000.0, 1000.4, 4)), "1000.0 1000.1 1000.2 1000.3 1000.4");
    }

    #[test]
    fn decades_are_labelled() {
        assert_eq!(labels(&logarithmic(1e-3, 1e3, 7)), "0.001 0.01 0.1 1 10 100 1000");
        assert_eq!(labels(&logarithmic(1.0, 60.0, 6)), "1 2 5 10 20 50");
        assert_eq!(labels(&logarithmic(1e-12, 1e12, 6)), "1e-12 1e-8 1e-4 1 10000 1e8 1e12");
        assert_eq!(labels(&logarithmic(2.0, 3.0, 4)), "2.0 2.5 3.0");
    }

    #[test]
    fn odd_ranges_end() {
        for (low, high) in [(0.0, 0.0), (f64::NAN, 1.0), (0.0, f64::INFINITY), (1e308, 1.7e308), (1.0, 1.0 + 1e-15)] {
            assert!(linear(low, high, 5).len() <= 100);
        }
    }
}
