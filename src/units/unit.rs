//! A unit: a dimension, a size, whether zero is shifted (`degC`), and the text people know it by.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::{Dimension, Ratio, Scale};

/// Kelvin at 0 degC, exact by definition (BIPM, The International System of Units, 9th ed. 2019, section 2.3.1).
const CELSIUS_ZERO: f64 = 273.15;

/// A unit of measurement. Two units are equal where dimension, size and shift are; how they are written takes no part.
///
/// `degC` is a presentation of kelvin: alone it carries an [`Unit::offset`], in every product, quotient or power it
/// means K.
#[derive(Debug, Clone)]
pub struct Unit {
    dimension: Dimension,
    /// Size in the SI's coherent unit of the dimension.
    scale: Scale,
    is_celsius: bool,
    /// Names as declared with their exponents, in the order they appear; shown, never compared.
    symbol: Vec<(Arc<str>, Ratio)>,
}

impl Unit {
    /// The unit of pure numbers.
    pub fn one() -> Self {
        Unit { dimension: Dimension::one(), scale: Scale::one(), is_celsius: false, symbol: Vec::new() }
    }

    /// A unit shown as `name`.
    pub(super) fn named(name: &str, dimension: Dimension, scale: Scale) -> Self {
        Unit { dimension, scale, is_celsius: false, symbol: vec![(name.into(), Ratio::ONE)] }
    }

    /// `degC`
    pub(super) fn celsius() -> Self {
        Unit { is_celsius: true, ..Unit::named("degC", Dimension::base("K"), Scale::one()) }
    }

    /// The same unit shown as `name`.
    pub(super) fn renamed(&self, name: &str) -> Self {
        Unit { symbol: vec![(name.into(), Ratio::ONE)], ..self.clone() }
    }

    /// The unit that is `factor` of this one, as in `unit OD = 1e9 [cell/L]`; `None` unless `factor` is positive and
    /// finite. A `degC` is then a multiple of K.
    pub fn scaled(&self, factor: f64) -> Option<Unit> {
        let scale = Scale::from_f64(factor)?;
        if scale.is_one() {
            return Some(self.clone());
        }
        let text = if (1e-3..1e6).contains(&factor) { format!("{factor}") } else { format!("{factor:e}") };
        Some(Unit::named(&text, Dimension::one(), scale).mul(self))
    }

    /// `self * other`
    pub fn mul(&self, other: &Unit) -> Unit {
        self.times(other, Ratio::ONE)
    }

    /// `self / other`
    pub fn div(&self, other: &Unit) -> Unit {
        self.times(other, Ratio::integer(-1))
    }

    /// `self^power`
    pub fn pow(&self, power: Ratio) -> Unit {
        Unit::one().times(self, power)
    }

    /// `self * other^power`; `degC` means K in it.
    pub fn times(&self, other: &Unit, power: Ratio) -> Unit {
        let mut symbol = self.symbol_in_product();
        for (name, exponent) in other.symbol_in_product() {
            let exponent = exponent * power;
            match symbol.iter_mut().find(|(known, _)| *known == name) {
                Some(known) => known.1 = known.1 + exponent,
                None => symbol.push((name, exponent)),
            }
        }
        symbol.retain(|(_, exponent)| !exponent.is_zero());
        Unit {
            dimension: self.dimension.times(&other.dimension, power),
            scale: self.scale.times(&other.scale, power),
            is_celsius: false,
            symbol,
        }
    }

    /// The names as they stand in a product, where `degC` is K.
    fn symbol_in_product(&self) -> Vec<(Arc<str>, Ratio)> {
        if self.is_celsius { vec![("K".into(), Ratio::ONE)] } else { self.symbol.clone() }
    }

    /// What a number in this unit is multiplied by to be in `other`, positive and finite; `None` where the dimensions
    /// differ (or the sizes, beyond what an `f64` holds). The shift of `degC` is not part of it: see [`Unit::offset`].
    ///
    /// ```
    /// let units = twinc::units::Units::standard();
    /// let (minute, second) = (units.parse("min")?, units.parse("s")?);
    /// assert_eq!(minute.factor_to(&second), Some(60.0));
    /// # Ok::<(), twinc::units::UnitError>(())
    /// ```
    pub fn factor_to(&self, other: &Unit) -> Option<f64> {
        if !self.has_dimension_of(other) {
            return None;
        }
        let factor = self.scale.times(&other.scale, Ratio::integer(-1)).value();
        (factor.is_finite() && factor > 0.0).then_some(factor)
    }

    /// What is added to a number in this unit before anything is computed with it: 273.15 for `degC`, so that kelvin =
    /// value + offset, and 0 for every other unit.
    pub fn offset(&self) -> f64 {
        if self.is_celsius { CELSIUS_ZERO } else { 0.0 }
    }

    /// K for `degC`, every other unit unchanged.
    pub fn without_offset(&self) -> Unit {
        if self.is_celsius {
            Unit { is_celsius: false, symbol: self.symbol_in_product(), ..self.clone() }
        } else {
            self.clone()
        }
    }

    /// What kind of quantity it measures.
    pub fn dimension(&self) -> &Dimension {
        &self.dimension
    }

    /// True where a conversion between the two exists.
    pub fn has_dimension_of(&self, other: &Unit) -> bool {
        self.dimension == other.dimension && self.is_in_range()
    }

    /// True for units of pure numbers of any size: `1`, `rad`, `%`, `mM/M`.
    pub fn is_dimensionless(&self) -> bool {
        self.dimension.is_one()
    }

    /// True for units of pure numbers of size 1: `1`, `rad`, `M*L/mol`.
    pub fn is_one(&self) -> bool {
        self.dimension.is_one() && self.scale.is_one()
    }

    /// The pure number that 1 in this unit is, such as 0.01 for `%`; `None` where the unit has a dimension.
    pub fn scale_to_one(&self) -> Option<f64> {
        self.factor_to(&Unit::one())
    }

    /// True where conversion to `other` multiplies by exactly 1.
    pub fn has_scale_of(&self, other: &Unit) -> bool {
        self.scale == other.scale
    }

    /// True where its size in the SI is a positive `f64`.
    pub(super) fn has_finite_size(&self) -> bool {
        let size = self.scale.value();
        size.is_finite() && size > 0.0
    }

    /// False where an exponent left the range of [`Ratio`]; such a unit fits nothing.
    pub fn is_in_range(&self) -> bool {
        self.dimension.is_in_range() && self.scale.is_in_range()
    }
}

impl PartialEq for Unit {
    fn eq(&self, other: &Self) -> bool {
        self.dimension == other.dimension && self.scale == other.scale && self.is_celsius == other.is_celsius
    }
}

impl Eq for Unit {}

impl Hash for Unit {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.dimension.hash(state);
        self.scale.hash(state);
        self.is_celsius.hash(state);
    }
}

impl fmt::Display for Unit {
    /// As a `.twin` file would write it: `kJ/(mol*K)`, `1/s`, `bar^(1/2)`, `1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Names that cancel in value though not in spelling, as in `M*L/mol`, tell nothing.
        if self.symbol.is_empty() || (self.is_one() && self.symbol.len() > 1) {
            return f.write_str("1");
        }
        let (below, above): (Vec<_>, Vec<_>) = self.symbol.iter().partition(|(_, exponent)| exponent.is_negative());
        if above.is_empty() {
            f.write_str("1")?;
        }
        write_product(f, above.iter().map(|(name, exponent)| (name, *exponent)))?;
        match below.len() {
            0 => Ok(()),
            1 => {
                f.write_str("/")?;
                write_product(f, below.iter().map(|(name, exponent)| (name, -*exponent)))
            }
            _ => {
                f.write_str("/(")?;
                write_product(f, below.iter().map(|(name, exponent)| (name, -*exponent)))?;
                f.write_str(")")
            }
        }
    }
}

/// `a*b^2*c^(1/2)`
fn write_product<'a>(f: &mut fmt::Formatter<'_>, factors: impl Iterator<Item = (&'a Arc<str>, Ratio)>) -> fmt::Result {
    for (i, (name, exponent)) in factors.enumerate() {
        if i > 0 {
            f.write_str("*")?;
        }
        f.write_str(name)?;
        if exponent == Ratio::ONE {
            continue;
        }
        if exponent.is_integer() { write!(f, "^{exponent}")? } else { write!(f, "^({exponent})")? }
    }
    Ok(())
}
