//! Conditions as intervals: `T <= 140` bounds a state, `abs(x) <= 2.4` bounds it on both sides, `a and b` is two of them.

use crate::diag::{Code, Diagnostic};
use crate::expr::{Compare, Dag, Leaf, Node, NodeId, UnaryOp};
use crate::hir::{ExprId, ExprKind};
use crate::source::Span;

use super::super::lower::{Builder, Moment};

/// `low ≤ node ≤ high`
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Interval {
    pub node: NodeId,
    pub low: f64,
    pub high: f64,
    /// What one unit of the node is in the value that was written, for prices: `|c|` of `c·node + offset`.
    pub scale: f64,
}

impl Builder<'_> {
    /// The intervals that a condition consists of; `statement` is blamed for one that has no such form.
    pub(super) fn intervals(&mut self, condition: ExprId, is_negated: bool, statement: Span) -> Option<Vec<Interval>> {
        let model = self.model;
        match &model.expr(condition).kind {
            ExprKind::And(list) if !is_negated => self.all_intervals(list, false, statement),
            ExprKind::Or(list) if is_negated => self.all_intervals(list, true, statement),
            ExprKind::Not(a) => self.intervals(*a, !is_negated, statement),
            ExprKind::Compare(op @ (Compare::Lt | Compare::Le), a, b) => {
                let _ = op;
                let (a, b) = if is_negated { (*b, *a) } else { (*a, *b) };
                let (a, b) = (self.settle(a, Moment::Running)?, self.settle(b, Moment::Running)?);
                Some(vec![self.ordered(a, b)])
            }
            ExprKind::Compare(Compare::Eq, a, b) if !is_negated => {
                let (a, b) = (self.settle(*a, Moment::Running)?, self.settle(*b, Moment::Running)?);
                let (above, below) = (self.ordered(a, b), self.ordered(b, a));
                // Both name the same node where one side is a number, and differ in sign where none is.
                if above.node == below.node {
                    return Some(vec![Interval {
                        low: above.low.max(below.low),
                        high: above.high.min(below.high),
                        ..above
                    }]);
                }
                Some(vec![Interval { low: 0.0, high: 0.0, ..above }])
            }
            _ => {
                let d = Diagnostic::new(
                    Code("E0615"),
                    model.expr(condition).span,
                    "alternatives have no form that a planner can keep",
                )
                .at("one or the other")
                .help("keep comparisons joined by `and`; alternatives may stand in `fail`");
                self.diagnostics.push(if d.span() == statement { d } else { d.label(statement, "kept here") });
                None
            }
        }
    }

    fn all_intervals(&mut self, list: &[ExprId], is_negated: bool, statement: Span) -> Option<Vec<Interval>> {
        let mut all = Vec::new();
        for e in list {
            all.extend(self.intervals(*e, is_negated, statement)?);
        }
        Some(all)
    }

    /// `a ≤ b`
    fn ordered(&mut self, a: NodeId, b: NodeId) -> Interval {
        let open = (f64::NEG_INFINITY, f64::INFINITY);
        let interval = match (self.value_of(a), self.value_of(b)) {
            (None, Some(high)) => match self.dag.node(a) {
                Node::Unary(UnaryOp::Abs, inner) => Interval { node: inner, low: -high, high, scale: 1.0 },
                _ => Interval { node: a, low: open.0, high, scale: 1.0 },
            },
            (Some(low), None) => Interval { node: b, low, high: open.1, scale: 1.0 },
            (None, None) | (Some(_), Some(_)) => {
                Interval { node: self.dag.sub(a, b), low: open.0, high: 0.0, scale: 1.0 }
            }
        };
        boxed(&self.dag, interval)
    }
}

/// An interval of `c·x + offset` as one of x, where x is a state or an input.
pub(super) fn boxed(dag: &Dag, interval: Interval) -> Interval {
    let Node::Sum(sum) = dag.node(interval.node) else { return interval };
    let (c, node, offset) = match dag.terms(sum) {
        [x] => (x.coefficient, x.node, 0.0),
        [x, one] if one.node == Dag::ONE => (x.coefficient, x.node, one.coefficient),
        [one, x] if one.node == Dag::ONE => (x.coefficient, x.node, one.coefficient),
        _ => return interval,
    };
    if !matches!(dag.node(node), Node::Leaf(Leaf::State(_) | Leaf::Input(_))) || c == 0.0 {
        return interval;
    }
    let end = |value: f64| without_rounding((value - offset) / c, offset / c);
    let (a, b) = (end(interval.low), end(interval.high));
    Interval { node, low: a.min(b), high: a.max(b), scale: interval.scale * c.abs() }
}

/// A bound that lost digits where an offset (273.15) was added and taken away again: rounded to what is left of it.
fn without_rounding(value: f64, offset: f64) -> f64 {
    if !value.is_finite() || offset == 0.0 {
        return value;
    }
    let unit = 10f64.powf((offset.abs().max(value.abs())).log10().ceil() - 14.0);
    // Division by a power of ten is exact enough to give back the decimal number that was written.
    let steps = (1.0 / unit).round();
    if steps >= 1.0 { (value * steps).round() / steps } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_in_kelvin_is_the_number_written_in_degrees() {
        for degrees in [140.0, 134.14, 0.1, -20.0, 99.99] {
            assert_eq!(without_rounding((degrees + 273.15) - 273.15, 273.15), degrees);
        }
        assert_eq!(without_rounding(f64::INFINITY, 273.15), f64::INFINITY);
    }
}
