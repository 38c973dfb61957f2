//! Dimensions: exact rational powers of base dimensions.

use std::sync::Arc;

use super::{Powers, Ratio};

/// A base dimension, known by the name of its base unit: one of the seven of the SI (`m kg s A K mol cd`), one of
/// biochemistry (`IU cell OD`), or one that a file declares with `unit name`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Base(pub Arc<str>);

/// What kind of quantity a unit measures, apart from its size: `mol·m⁻³` for any concentration.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Dimension {
    powers: Powers<Base>,
}

impl Dimension {
    /// The dimension of pure numbers.
    pub fn one() -> Self {
        Dimension { powers: Powers::one() }
    }

    /// A base dimension.
    pub fn base(name: impl Into<Arc<str>>) -> Self {
        Dimension { powers: Powers::of(Base(name.into()), Ratio::ONE) }
    }

    /// True for pure numbers.
    pub fn is_one(&self) -> bool {
        self.powers.is_one()
    }

    /// False where an exponent left the range of [`Ratio`]; such a dimension fits nothing.
    pub fn is_in_range(&self) -> bool {
        self.powers.is_in_range()
    }

    /// `self * other^power`
    pub fn times(&self, other: &Self, power: Ratio) -> Self {
        Dimension { powers: self.powers.times(&other.powers, power) }
    }

    /// The exponent of each base that takes part, sorted by the base's name.
    pub fn exponents(&self) -> &[(Base, Ratio)] {
        self.powers.terms()
    }
}
