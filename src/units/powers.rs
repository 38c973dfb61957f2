//! Products of rational powers of generators: the one data structure under dimensions, scales and unknown units.

use super::Ratio;

/// `Π key^exponent`, sorted by key, without zero exponents; the empty product is 1.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Powers<K> {
    terms: Vec<(K, Ratio)>,
}

impl<K: Ord + Clone> Powers<K> {
    /// The empty product.
    pub fn one() -> Self {
        Powers { terms: Vec::new() }
    }

    /// `key^exponent`
    pub fn of(key: K, exponent: Ratio) -> Self {
        Powers { terms: if exponent.is_zero() { Vec::new() } else { vec![(key, exponent)] } }
    }

    /// The product of factors in any order; a key may be repeated.
    pub fn collect(factors: impl IntoIterator<Item = (K, Ratio)>) -> Self {
        let mut factors: Vec<(K, Ratio)> = factors.into_iter().collect();
        factors.sort_by(|a, b| a.0.cmp(&b.0));
        let mut terms: Vec<(K, Ratio)> = Vec::with_capacity(factors.len());
        for (key, exponent) in factors {
            match terms.last_mut() {
                Some(last) if last.0 == key => last.1 = last.1 + exponent,
                _ => terms.push((key, exponent)),
            }
        }
        terms.retain(|(_, exponent)| !exponent.is_zero());
        Powers { terms }
    }

    /// `self * other^power`
    pub fn times(&self, other: &Self, power: Ratio) -> Self {
        let mut terms = Vec::with_capacity(self.terms.len() + other.terms.len());
        let mut mine = self.terms.iter().peekable();
        for (key, exponent) in &other.terms {
            while let Some(term) = mine.next_if(|(k, _)| k < key) {
                terms.push(term.clone());
            }
            let mut sum = *exponent * power;
            if let Some((_, own)) = mine.next_if(|(k, _)| k == key) {
                sum = *own + sum;
            }
            if !sum.is_zero() {
                terms.push((key.clone(), sum));
            }
        }
        terms.extend(mine.cloned());
        Powers { terms }
    }

    /// `self^power`
    pub fn pow(&self, power: Ratio) -> Self {
        Self::one().times(self, power)
    }

    /// True for the empty product.
    pub fn is_one(&self) -> bool {
        self.terms.is_empty()
    }

    /// False where an exponent left the range of [`Ratio`].
    pub fn is_in_range(&self) -> bool {
        self.terms.iter().all(|(_, exponent)| exponent.is_in_range())
    }

    /// Keys with their exponents, sorted by key.
    pub fn terms(&self) -> &[(K, Ratio)] {
        &self.terms
    }
}
