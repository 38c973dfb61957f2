//! The inequalities of a problem one side at a time: `sign · v - level ≥ 0` with `v` a variable or the value of a row.
//!
//! Infinite bounds make no side; equal bounds make one, an equation. The state of a side is kept in parallel lists, so
//! that each pass of a method runs through few numbers.

use super::layout::Layout;
use super::problem::StageQp;
use crate::system::Softness;

/// How firm a side is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kind {
    /// It holds.
    Hard,
    /// Leaving it by e costs `price · e`.
    Linear(f64),
    /// Leaving it by e costs `price · e²`.
    Quadratic(f64),
    /// An equation.
    Equal,
}

/// What an active-set method believes of a side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Status {
    /// It does not matter.
    #[default]
    Free,
    /// It holds with equality; where it is soft at a quadratic price, it is left.
    Active,
    /// It is left, at a linear price.
    Saturated,
}

/// All sides of a problem, by node.
#[derive(Debug, Clone, Default)]
pub(super) struct Sides {
    /// Position of `v` in a [`super::layout::Vector`].
    pub at: Vec<usize>,
    /// 1 of a lower bound and of an equation, -1 of an upper one.
    pub sign: Vec<f64>,
    /// `sign · bound`
    pub level: Vec<f64>,
    pub kind: Vec<Kind>,
    pub node: Vec<usize>,
    /// True of the bound of an input: fixing it needs no penalty.
    pub is_input: Vec<bool>,
    /// Width of the interval; infinite of a one-sided one.
    pub width: Vec<f64>,
}

/// A bound above its opposite, by the position of its `v`.
pub(super) struct Contradiction {
    pub at: usize,
    pub node: usize,
}

impl Sides {
    pub(super) fn new(layout: &Layout) -> Sides {
        let most = 2 * (layout.n_nodes * (layout.n + layout.m) + layout.n_rows);
        Sides {
            at: Vec::with_capacity(most),
            sign: Vec::with_capacity(most),
            level: Vec::with_capacity(most),
            kind: Vec::with_capacity(most),
            node: Vec::with_capacity(most),
            is_input: Vec::with_capacity(most),
            width: Vec::with_capacity(most),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.at.len()
    }

    /// Lists the sides of `qp`. With a price, all that is hard but bounds of inputs becomes soft at that linear price.
    ///
    /// # Errors
    /// Where a lower bound is above the upper one, or one is not a number.
    pub(super) fn load(&mut self, qp: &StageQp, layout: &Layout, price: Option<f64>) -> Result<(), Contradiction> {
        self.at.clear();
        self.sign.clear();
        self.level.clear();
        self.kind.clear();
        self.node.clear();
        self.is_input.clear();
        self.width.clear();
        let n_z = layout.n_nodes * layout.stride;
        for node in 0..layout.n_nodes {
            let (lower, upper) = (qp.lower(node), qp.upper(node));
            for j in 0..qp.n_vars(node) {
                let is_input = j >= layout.n;
                if node == 0 && !is_input && layout.free.binary_search(&j).is_err() {
                    continue;
                }
                let at = node * layout.stride + layout.padded_index(j);
                let firm = if is_input { None } else { price };
                self.add(node, at, is_input, (lower[j], upper[j]), Softness::Hard, firm)?;
            }
            for (row, at) in layout.rows(node).enumerate() {
                let bounds = (qp.row_lower(node)[row], qp.row_upper(node)[row]);
                self.add(node, n_z + at, false, bounds, qp.softness(node)[row], price)?;
            }
        }
        Ok(())
    }

    fn add(
        &mut self,
        node: usize,
        at: usize,
        is_input: bool,
        (lower, upper): (f64, f64),
        softness: Softness,
        price: Option<f64>,
    ) -> Result<(), Contradiction> {
        // An elastic problem compares what is left on both sides of a contradiction; a bound that is not a number has
        // none.
        let is_ordered = lower <= upper || (lower > upper && (price.is_some() || softness != Softness::Hard));
        if !is_ordered || lower == f64::INFINITY || upper == f64::NEG_INFINITY {
            return Err(Contradiction { at, node });
        }
        let kind = match (softness, price) {
            (Softness::Hard, None) => Kind::Hard,
            (Softness::Hard, Some(price)) => Kind::Linear(price),
            (Softness::Linear(weight), _) => Kind::Linear(weight),
            (Softness::Quadratic(weight), _) => Kind::Quadratic(weight),
        };
        let width = (upper - lower).abs();
        if kind == Kind::Hard && width.is_finite() && width <= 1e-14 * lower.abs().max(upper.abs()) {
            self.push(node, at, is_input, 1.0, 0.5 * (lower + upper), Kind::Equal, width);
            return Ok(());
        }
        if lower > f64::NEG_INFINITY {
            self.push(node, at, is_input, 1.0, lower, kind, width);
        }
        if upper < f64::INFINITY {
            self.push(node, at, is_input, -1.0, upper, kind, width);
        }
        Ok(())
    }

    #[allow(clippy::too_many_arguments)]
    fn push(&mut self, node: usize, at: usize, is_input: bool, sign: f64, bound: f64, kind: Kind, width: f64) {
        self.at.push(at);
        self.sign.push(sign);
        self.level.push(sign * bound);
        self.kind.push(kind);
        self.node.push(node);
        self.is_input.push(is_input);
        self.width.push(width);
    }
}
