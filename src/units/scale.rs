//! The size of a unit, kept exact: rational powers of prime numbers and of π.
//!
//! A decimal number such as 4.184 is 2·2·2·523·10⁻³, and an hour 2⁴·3²·5² seconds; products, quotients and roots only
//! add, subtract and divide exponents. [`Scale::value`] rounds once, so that `uM` against `mM` is the `f64` nearest to
//! 10⁻³ and not the product of two roundings.

use super::{Powers, Ratio};

/// Trial division stops here; what is left of a number is kept whole. The bound keeps a file full of `unit`
/// declarations fast, and every factor met in practice is far smaller or prime.
const MAX_TRIAL_DIVISOR: u64 = 1000;
/// Up to here every integer is an `f64`, and the quotient of two of them is correctly rounded.
const MAX_EXACT: u128 = 1 << 53;

/// A generator of sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Generator {
    /// A prime, or a number without divisors below [`MAX_TRIAL_DIVISOR`].
    Number(u64),
    /// π
    Pi,
}

/// A positive number, exact as long as it comes from decimal numbers, π, products, quotients and rational powers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Scale {
    powers: Powers<Generator>,
}

impl Scale {
    /// 1
    pub fn one() -> Self {
        Scale { powers: Powers::one() }
    }

    /// π
    pub fn pi() -> Self {
        Scale { powers: Powers::of(Generator::Pi, Ratio::ONE) }
    }

    /// 10^exponent
    pub fn power_of_ten(exponent: i32) -> Self {
        let exponent = Ratio::integer(exponent);
        Scale { powers: Powers::collect([(Generator::Number(2), exponent), (Generator::Number(5), exponent)]) }
    }

    /// The shortest decimal number that reads back as `value`, which is the one the user typed; `None` unless `value` is
    /// positive and finite.
    pub fn from_f64(value: f64) -> Option<Self> {
        if !(value.is_finite() && value > 0.0) {
            return None;
        }
        let text = format!("{value:e}");
        let (digits, exponent) = text.split_once('e')?;
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let integer: u64 = format!("{whole}{fraction}").parse().ok()?;
        let exponent = exponent.parse::<i32>().ok()? - i32::try_from(fraction.len()).ok()?;
        Some(Scale::of_integer(integer).times(&Scale::power_of_ten(exponent), Ratio::ONE))
    }

    /// A positive whole number by its factors.
    fn of_integer(mut rest: u64) -> Self {
        let mut factors = Vec::new();
        let mut divisor = 2;
        while divisor <= MAX_TRIAL_DIVISOR && divisor * divisor <= rest {
            while rest.is_multiple_of(divisor) {
                factors.push((Generator::Number(divisor), Ratio::ONE));
                rest /= divisor;
            }
            divisor += 1;
        }
        if rest > 1 {
            factors.push((Generator::Number(rest), Ratio::ONE));
        }
        Scale { powers: Powers::collect(factors) }
    }

    /// `self * other^power`
    pub fn times(&self, other: &Self, power: Ratio) -> Self {
        Scale { powers: self.powers.times(&other.powers, power) }
    }

    /// True for exactly 1.
    pub fn is_one(&self) -> bool {
        self.powers.is_one()
    }

    /// False where an exponent left the range of [`Ratio`].
    pub fn is_in_range(&self) -> bool {
        self.powers.is_in_range()
    }

    /// The number. Correctly rounded where it is a decimal number, or a quotient of whole numbers below 2⁵³; else to a
    /// few units in the last place. NaN where out of range; may overflow to infinity or underflow to 0.
    pub fn value(&self) -> f64 {
        let root = self.powers.terms().iter().try_fold(1_i32, |root, (_, exponent)| {
            let denominator = exponent.denominator();
            (denominator != 0).then_some(())?;
            if root % denominator == 0 { Some(root) } else { root.checked_mul(denominator) }
        });
        let Some(root) = root else { return f64::NAN };
        let radicand = self.powers.pow(Ratio::integer(root));
        match root {
            1 => whole_value(&radicand),
            2 => whole_value(&radicand).sqrt(),
            3 => whole_value(&radicand).cbrt(),
            _ => whole_value(&radicand).powf(1.0 / f64::from(root)),
        }
    }
}

/// The value of a product whose exponents are whole.
fn whole_value(powers: &Powers<Generator>) -> f64 {
    let Some(parts) = Parts::of(powers) else {
        return powers.terms().iter().fold(1.0, |product, (generator, exponent)| {
            let base = match generator {
                Generator::Number(number) => *number as f64,
                Generator::Pi => std::f64::consts::PI,
            };
            product * base.powf(exponent.to_f64())
        });
    };
    let pi = std::f64::consts::PI.powi(parts.pi);
    parts.rational() * pi
}

/// `numerator/denominator * 10^ten * π^pi`
struct Parts {
    numerator: u128,
    denominator: u128,
    ten: i32,
    pi: i32,
}

impl Parts {
    /// `None` where a part is larger than 128 bits or out of range.
    fn of(powers: &Powers<Generator>) -> Option<Parts> {
        let exponent_of = |wanted: u64| {
            let found = powers.terms().iter().find(|(generator, _)| *generator == Generator::Number(wanted));
            found.map_or(0, |(_, exponent)| exponent.numerator())
        };
        let (twos, fives) = (exponent_of(2), exponent_of(5));
        let ten = twos.min(fives);
        let mut parts = Parts { numerator: 1, denominator: 1, ten, pi: 0 };
        for (generator, exponent) in powers.terms() {
            if !exponent.is_in_range() {
                return None;
            }
            let exponent = exponent.numerator();
            match generator {
                Generator::Pi => parts.pi = exponent,
                Generator::Number(2 | 5) => {}
                Generator::Number(number) => {
                    let power = u128::from(*number).checked_pow(exponent.unsigned_abs())?;
                    let side = if exponent < 0 { &mut parts.denominator } else { &mut parts.numerator };
                    *side = side.checked_mul(power)?;
                }
            }
        }
        for (base, count) in [(2_u128, twos.checked_sub(ten)?), (5, fives.checked_sub(ten)?)] {
            let power = base.checked_pow(count.unsigned_abs())?;
            parts.numerator = parts.numerator.checked_mul(power)?;
        }
        Some(parts)
    }

    /// The value without π.
    fn rational(&self) -> f64 {
        let ten = 10_u128.checked_pow(self.ten.unsigned_abs());
        let (above, below) = if self.ten < 0 { (Some(1), ten) } else { (ten, Some(1)) };
        let above = above.and_then(|ten| self.numerator.checked_mul(ten)).filter(|n| *n <= MAX_EXACT);
        let below = below.and_then(|ten| self.denominator.checked_mul(ten)).filter(|n| *n <= MAX_EXACT);
        if let (Some(above), Some(below)) = (above, below) {
            return above as f64 / below as f64;
        }
        // Reading decimal text rounds correctly, whatever the exponent.
        let decimal: f64 = format!("{}e{}", self.numerator, self.ten).parse().unwrap_or(f64::NAN);
        decimal / self.denominator as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_reads_back_to_the_last_bit() {
        for value in [1.0, 1e-3, 0.1, 1e23, 4.184, 6.02214076e23, 1.66053906892e-27, 133.322387415, 5e-324, f64::MAX] {
            assert_eq!(Scale::from_f64(value).map(|scale| scale.value()), Some(value));
        }
        for refused in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(Scale::from_f64(refused), None);
        }
    }

    #[test]
    fn quotients_and_roots_round_once() {
        let of = |value: f64| Scale::from_f64(value).unwrap_or_else(Scale::one);
        assert_eq!(of(1.0).times(&of(3.0), Ratio::integer(-1)).value(), 1.0 / 3.0);
        assert_eq!(of(1.0).times(&of(1e5), Ratio::HALF).value(), 1e5_f64.sqrt());
        assert_eq!(of(1.0).times(&of(27e-3), Ratio::new(1, 3)).value(), 0.3);
        assert!(of(0.1).times(&of(10.0), Ratio::ONE).is_one());
    }

    #[test]
    fn absurd_powers_do_not_panic() {
        let ten = Scale::power_of_ten(1);
        assert_eq!(Scale::one().times(&ten, Ratio::integer(i32::MAX)).value(), f64::INFINITY);
        assert_eq!(Scale::one().times(&ten, Ratio::integer(-i32::MAX)).value(), 0.0);
        assert!(Scale::one().times(&ten, Ratio::OUT_OF_RANGE).value().is_nan());
        let odd = Scale::from_f64(123_456_789.0).unwrap_or_else(Scale::one);
        assert_eq!(Scale::one().times(&odd, Ratio::integer(1_000_000)).value(), f64::INFINITY);
        assert!(Scale::one().times(&odd, Ratio::new(1, i32::MAX)).value().is_finite());
    }
}
