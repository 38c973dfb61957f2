//! Exact rational exponents.
//!
//! A [`Ratio`] is always in lowest terms with a positive denominator. Arithmetic is checked: what does not fit into
//! 32-bit parts becomes [`Ratio::OUT_OF_RANGE`], which, like a NaN, stays itself under every further operation, so that
//! a caller may compute first and ask [`Ratio::is_in_range`] once at the end.

use std::fmt;
use std::ops::{Add, Div, Mul, Neg, Sub};

/// Largest denominator that [`Ratio::from_f64`] tries; every exponent of practice is far below.
const MAX_DENOMINATOR: i32 = 1000;

/// An exact fraction of 32-bit integers in lowest terms.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ratio {
    numerator: i32,
    denominator: i32,
}

impl Ratio {
    /// 0
    pub const ZERO: Ratio = Ratio { numerator: 0, denominator: 1 };
    /// 1
    pub const ONE: Ratio = Ratio { numerator: 1, denominator: 1 };
    /// 1/2
    pub const HALF: Ratio = Ratio { numerator: 1, denominator: 2 };
    /// The result of arithmetic that does not fit, or of a division by zero.
    pub const OUT_OF_RANGE: Ratio = Ratio { numerator: 0, denominator: 0 };

    /// `numerator/denominator` in lowest terms; [`Ratio::OUT_OF_RANGE`] where the denominator is zero.
    pub fn new(numerator: i32, denominator: i32) -> Ratio {
        Ratio::reduced(i64::from(numerator), i64::from(denominator))
    }

    /// A whole number.
    pub fn integer(value: i32) -> Ratio {
        Ratio::new(value, 1)
    }

    /// The fraction with the smallest denominator up to 1000 that is `value` to the last bit, so that `0.5`, `0.75` and
    /// `1/3` as a computer divides it are read as meant; `None` where there is none.
    pub fn from_f64(value: f64) -> Option<Ratio> {
        (1..=MAX_DENOMINATOR).find_map(|denominator| {
            let numerator = (value * f64::from(denominator)).round();
            let fits = numerator.abs() <= f64::from(i32::MAX) && numerator / f64::from(denominator) == value;
            fits.then(|| Ratio::new(numerator as i32, denominator))
        })
    }

    /// The nearest `f64`; NaN where out of range.
    pub fn to_f64(self) -> f64 {
        f64::from(self.numerator) / f64::from(self.denominator)
    }

    /// Above the line, with the sign.
    pub fn numerator(self) -> i32 {
        self.numerator
    }

    /// Below the line, positive; 0 where out of range.
    pub fn denominator(self) -> i32 {
        self.denominator
    }

    /// False for the result of arithmetic that did not fit.
    pub fn is_in_range(self) -> bool {
        self.denominator != 0
    }

    /// True for 0.
    pub fn is_zero(self) -> bool {
        self == Ratio::ZERO
    }

    /// True for whole numbers.
    pub fn is_integer(self) -> bool {
        self.denominator == 1
    }

    /// True below 0.
    pub fn is_negative(self) -> bool {
        self.numerator < 0
    }

    /// `1/self`; out of range for 0.
    pub fn recip(self) -> Ratio {
        Ratio::ONE / self
    }

    /// Lowest terms of a fraction whose parts are products of 32-bit numbers.
    fn reduced(numerator: i64, denominator: i64) -> Ratio {
        if denominator == 0 {
            return Ratio::OUT_OF_RANGE;
        }
        let divisor = greatest_common_divisor(numerator.unsigned_abs(), denominator.unsigned_abs());
        let sign = i128::from(denominator.signum());
        let numerator = sign * i128::from(numerator) / i128::from(divisor);
        let denominator = sign * i128::from(denominator) / i128::from(divisor);
        // `i32::MIN` is left out so that negation always fits.
        match (i32::try_from(numerator), i32::try_from(denominator)) {
            (Ok(numerator), Ok(denominator)) if numerator != i32::MIN => Ratio { numerator, denominator },
            _ => Ratio::OUT_OF_RANGE,
        }
    }
}

/// Euclid's algorithm; `b` where `a` is zero.
fn greatest_common_divisor(mut a: u64, mut b: u64) -> u64 {
    while a != 0 {
        (a, b) = (b % a, a);
    }
    b
}

impl Add for Ratio {
    type Output = Ratio;
    fn add(self, other: Ratio) -> Ratio {
        let (a, b) = (i64::from(self.numerator), i64::from(self.denominator));
        let (c, d) = (i64::from(other.numerator), i64::from(other.denominator));
        // Every part is below 2^31 in absolute value, so this sum is below 2^63. A zero denominator stays zero.
        Ratio::reduced(a * d + c * b, b * d)
    }
}

impl Sub for Ratio {
    type Output = Ratio;
    fn sub(self, other: Ratio) -> Ratio {
        self + -other
    }
}

impl Mul for Ratio {
    type Output = Ratio;
    fn mul(self, other: Ratio) -> Ratio {
        Ratio::reduced(
            i64::from(self.numerator) * i64::from(other.numerator),
            i64::from(self.denominator) * i64::from(other.denominator),
        )
    }
}

impl Div for Ratio {
    type Output = Ratio;
    fn div(self, other: Ratio) -> Ratio {
        if !other.is_in_range() {
            return Ratio::OUT_OF_RANGE;
        }
        Ratio::reduced(
            i64::from(self.numerator) * i64::from(other.denominator),
            i64::from(self.denominator) * i64::from(other.numerator),
        )
    }
}

impl Neg for Ratio {
    type Output = Ratio;
    fn neg(self) -> Ratio {
        Ratio { numerator: -self.numerator, ..self }
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.denominator {
            0 => f.write_str("?"),
            1 => write!(f, "{}", self.numerator),
            _ => write!(f, "{}/{}", self.numerator, self.denominator),
        }
    }
}

impl fmt::Debug for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_in_lowest_terms_with_the_sign_above() {
        assert_eq!(Ratio::new(6, -4), Ratio::new(-3, 2));
        assert_eq!(Ratio::new(0, -7), Ratio::ZERO);
        assert_eq!((Ratio::new(1, 6) + Ratio::new(1, 3)).to_string(), "1/2");
    }

    #[test]
    fn overflow_and_division_by_zero_stay_out_of_range() {
        let big = Ratio::integer(i32::MAX);
        for lost in
            [big * big, big + big, -big - big, Ratio::ONE / Ratio::ZERO, Ratio::new(1, 0), Ratio::new(i32::MIN, 1)]
        {
            assert_eq!(lost, Ratio::OUT_OF_RANGE);
            assert_eq!(lost * Ratio::ZERO, Ratio::OUT_OF_RANGE);
            assert_eq!(lost - lost, Ratio::OUT_OF_RANGE);
            assert_eq!(Ratio::ONE / lost, Ratio::OUT_OF_RANGE);
        }
        assert_eq!(Ratio::new(i32::MAX, i32::MAX - 1) * Ratio::new(i32::MAX - 1, i32::MAX), Ratio::ONE);
    }

    #[test]
    fn reads_the_fraction_a_float_was_meant_to_be() {
        assert_eq!(Ratio::from_f64(1.0 / 3.0), Some(Ratio::new(1, 3)));
        assert_eq!(Ratio::from_f64(-0.75), Some(Ratio::new(-3, 4)));
        assert_eq!(Ratio::from_f64(2.7), Some(Ratio::new(27, 10)));
        for not_a_fraction in [std::f64::consts::PI, f64::NAN, f64::INFINITY, 1e300] {
            assert_eq!(Ratio::from_f64(not_a_fraction), None);
        }
    }
}
