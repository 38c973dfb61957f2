//! Infers the units that a file leaves out: every term of an equation has one unit, so every equation between products
//! of powers is linear in the logarithms, and the system is solved exactly over the rationals as it grows.
//!
//! A unit is a vector (exponents of base dimensions and of the factors of its size), so one elimination solves for
//! dimension and size together: the inferred unit is the one that inserts no conversion factor. Where two equations agree
//! on its dimension and not on its size, no such unit exists, and [`Solver::solution`] says `None`.
//!
//! Each unknown that was solved for has a row `unknown = known · Π others^exponent`. Rows are substituted into each other
//! only when asked for and keep the result, as union–find compresses its paths (Tarjan, "Efficiency of a good but not
//! linear set union algorithm", J. ACM 22, 1975); a chain of ten thousand equations costs little more than ten thousand
//! steps.

use std::collections::HashMap;

use super::{Powers, Ratio, Unit};
use crate::limits::MAX_INFERENCE_STEPS;

/// The unit of an expression: a known unit times powers of unknown ones, which the caller numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form {
    /// The known part.
    pub known: Unit,
    /// `(unknown, exponent)`, in any order; a repeated unknown counts with the sum.
    pub unknowns: Vec<(u32, Ratio)>,
}

impl Form {
    /// A unit without unknowns.
    pub fn known(unit: Unit) -> Self {
        Form { known: unit, unknowns: Vec::new() }
    }

    /// The unknown unit number `unknown`.
    pub fn unknown(unknown: u32) -> Self {
        Form { known: Unit::one(), unknowns: vec![(unknown, Ratio::ONE)] }
    }

    /// `self * other`; `degC` means K in it.
    pub fn mul(&self, other: &Form) -> Form {
        self.times(other, Ratio::ONE)
    }

    /// `self / other`
    pub fn div(&self, other: &Form) -> Form {
        self.times(other, Ratio::integer(-1))
    }

    /// `self^power`
    pub fn pow(&self, power: Ratio) -> Form {
        Form::known(Unit::one()).times(self, power)
    }

    /// `self * other^power`
    fn times(&self, other: &Form, power: Ratio) -> Form {
        let unknowns = self.powers().times(&other.powers(), power);
        Form { known: self.known.times(&other.known, power), unknowns: unknowns.terms().to_vec() }
    }

    fn powers(&self) -> Powers<u32> {
        Powers::collect(self.unknowns.iter().copied())
    }
}

/// What an equation between two forms came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Equated {
    /// It holds by what was known before (perhaps with a conversion factor).
    Satisfied,
    /// It determined an unknown.
    Learned,
    /// It cannot hold: the two sides reduce to units of different dimension (times the same unknowns, if any are left).
    Conflict {
        /// The left side.
        left: Unit,
        /// The right side.
        right: Unit,
    },
    /// It was not used: an exponent left the range of [`Ratio`], or the system passed
    /// [`crate::limits::MAX_INFERENCE_STEPS`].
    TooLarge,
}

#[derive(Debug, Clone)]
struct Row {
    known: Unit,
    others: Powers<u32>,
    /// How many rows there were when `others` was last made free of solved unknowns.
    settled_at: usize,
}

/// The equations so far, always solved.
#[derive(Debug, Clone)]
pub struct Solver {
    rows: HashMap<u32, Row>,
    /// Unknowns on whose size two equations disagree, with the factor between the two.
    disputed: HashMap<u32, Unit>,
    steps: usize,
    max_steps: usize,
}

impl Default for Solver {
    fn default() -> Self {
        Solver { rows: HashMap::new(), disputed: HashMap::new(), steps: 0, max_steps: MAX_INFERENCE_STEPS }
    }
}

impl Solver {
    /// No equations.
    pub fn new() -> Self {
        Solver::default()
    }

    /// Adds the equation `left = right`. Units are compared by dimension where nothing is unknown; a `degC` counts as K.
    pub fn equate(&mut self, left: &Form, right: &Form) -> Equated {
        let asked = left.powers().times(&right.powers(), Ratio::integer(-1));
        let (left, right) = (self.reduce(left), self.reduce(right));
        // Π unknown^exponent = ratio
        let unknowns = left.powers().times(&right.powers(), Ratio::integer(-1));
        let ratio = right.known.div(&left.known);
        if self.steps > self.max_steps || !unknowns.is_in_range() || !ratio.is_in_range() {
            return Equated::TooLarge;
        }
        let Some((pivot, exponent)) = pivot(&unknowns) else {
            if !ratio.is_dimensionless() {
                return Equated::Conflict { left: left.known.without_offset(), right: right.known.without_offset() };
            }
            if !ratio.is_one() {
                for (unknown, exponent) in asked.terms() {
                    self.disputed.entry(*unknown).or_insert_with(|| ratio.pow(exponent.recip()));
                }
            }
            return Equated::Satisfied;
        };
        let rest = unknowns.times(&Powers::of(pivot, exponent), Ratio::integer(-1));
        let others = rest.pow(-exponent.recip());
        let known = ratio.pow(exponent.recip());
        if !others.is_in_range() || !known.is_in_range() {
            return Equated::TooLarge;
        }
        self.rows.insert(pivot, Row { known, others, settled_at: self.rows.len() + 1 });
        Equated::Learned
    }

    /// The unit of `unknown`; `None` where the equations leave it open or disagree on its size (see
    /// [`Solver::candidates`]).
    pub fn solution(&mut self, unknown: u32) -> Option<Unit> {
        if self.disputed.contains_key(&unknown) { None } else { self.determined(unknown) }
    }

    /// The two units that equations ask of `unknown` where they agree on its dimension and not on its size.
    pub fn candidates(&mut self, unknown: u32) -> Option<(Unit, Unit)> {
        let factor = self.disputed.get(&unknown)?.clone();
        let first = self.determined(unknown)?;
        let second = first.mul(&factor);
        Some((first, second))
    }

    /// Terms visited so far; grows about in proportion to the equations where these are simple.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// The unit that the row of `unknown` came to.
    fn determined(&mut self, unknown: u32) -> Option<Unit> {
        let form = self.reduce(&Form::unknown(unknown));
        form.unknowns.is_empty().then_some(form.known)
    }

    /// `form` with every solved unknown replaced; what is left of the unknowns is not determined. A form without
    /// unknowns comes back as it is.
    pub fn reduce(&mut self, form: &Form) -> Form {
        if form.unknowns.is_empty() {
            return form.clone();
        }
        let (known, others) = self.substitute(&form.known, &form.powers());
        Form { known, unknowns: others.terms().to_vec() }
    }

    /// `known · Π unknowns^exponent` over unknowns that have no row.
    fn substitute(&mut self, known: &Unit, unknowns: &Powers<u32>) -> (Unit, Powers<u32>) {
        let mut known = known.clone();
        let mut free = Vec::new();
        for (unknown, exponent) in unknowns.terms() {
            self.settle(*unknown);
            match self.rows.get(unknown) {
                Some(row) => {
                    known = known.times(&row.known, *exponent);
                    free.extend(row.others.terms().iter().map(|(other, power)| (*other, *power * *exponent)));
                }
                None => free.push((*unknown, *exponent)),
            }
        }
        self.steps += free.len() + 1;
        (known, Powers::collect(free))
    }

    /// Makes the row of `unknown` free of unknowns that have rows themselves. Not recursive, so that a chain of a million
    /// equations does not exhaust the stack; past the limit of steps it stops where it is.
    fn settle(&mut self, unknown: u32) {
        let now = self.rows.len();
        let mut open = vec![unknown];
        while let Some(&top) = open.last() {
            let Some(row) = self.rows.get(&top).filter(|row| row.settled_at != now) else {
                open.pop();
                continue;
            };
            self.steps += row.others.terms().len() + 1;
            if self.steps > self.max_steps {
                return;
            }
            let others = row.others.terms();
            let solved = others.iter().filter(|(other, _)| self.rows.contains_key(other)).count();
            let unsettled = others.iter().map(|(other, _)| *other);
            let unsettled = unsettled.filter(|other| self.rows.get(other).is_some_and(|row| row.settled_at != now));
            let depth = open.len();
            open.extend(unsettled);
            if open.len() > depth {
                continue;
            }
            let replaced = (solved > 0).then(|| {
                let mut known = row.known.clone();
                let mut free = Vec::new();
                for (other, exponent) in others {
                    match self.rows.get(other) {
                        Some(inner) => {
                            known = known.times(&inner.known, *exponent);
                            free.extend(inner.others.terms().iter().map(|(key, power)| (*key, *power * *exponent)));
                        }
                        None => free.push((*other, *exponent)),
                    }
                }
                (known, Powers::collect(free))
            });
            if let Some(row) = self.rows.get_mut(&top) {
                if let Some((known, others)) = replaced {
                    self.steps += others.terms().len();
                    row.known = known;
                    row.others = others;
                }
                row.settled_at = now;
            }
            open.pop();
        }
    }
}

/// The unknown to solve for: one with exponent ±1 if there is one, so that exponents stay simple, and of these the one
/// numbered last, so that later names are expressed by earlier ones.
fn pivot(unknowns: &Powers<u32>) -> Option<(u32, Ratio)> {
    let is_simple = |exponent: Ratio| exponent == Ratio::ONE || exponent == Ratio::integer(-1);
    unknowns.terms().iter().copied().max_by_key(|(unknown, exponent)| (is_simple(*exponent), *unknown))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stops_at_the_limit_of_steps_and_says_so() {
        let mut solver = Solver { max_steps: 200, ..Solver::new() };
        let outcomes: Vec<Equated> =
            (0..300).map(|i| solver.equate(&Form::unknown(i), &Form::unknown(i + 1))).collect();
        let refused = outcomes.iter().filter(|outcome| **outcome == Equated::TooLarge).count();
        assert!(outcomes[0] == Equated::Learned && refused > 100, "{refused}");
    }
}
