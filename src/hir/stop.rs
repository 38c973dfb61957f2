//! `stop when failures > 0`: a rule on what was counted in a run so far. Where it holds, the run ends for safety.
//!
//! The rule speaks of counts and of no quantity of the model, so it is kept as a small tree of its own: who runs the study
//! counts, and asks [`Stop::holds`] after each step.

use crate::diag::{Code, Diagnostic};
use crate::source::Span;
use crate::syntax::ast::{self, ClauseWord, Directive, ExprKind, InfixOp, PrefixOp};

use super::clauses::{Allowed, Clauses};
use super::lower::Lower;
use super::lower_expr::text;
use super::unknown::{did_you_mean, nearest};

/// What has happened in a run so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Episodes that ended.
    pub episodes: u64,
    /// Those of them that ended as a failure.
    pub failures: u64,
    /// Steps, of all episodes.
    pub steps: u64,
    /// Those of them at whose end a hard constraint was broken.
    pub violations: u64,
}

/// A name that a rule may use, with what it counts.
pub type Counted = (&'static str, fn(&Counts) -> u64);

/// Names that a rule may use.
pub const COUNTED: [Counted; 4] = [
    ("episodes", |counts| counts.episodes),
    ("failures", |counts| counts.failures),
    ("steps", |counts| counts.steps),
    ("violations", |counts| counts.violations),
];

/// When a run ends for safety.
#[derive(Debug, Clone, PartialEq)]
pub struct Stop {
    /// As written: `failures > 0`.
    pub text: String,
    /// Where it is written.
    pub span: Span,
    rule: Rule,
}

impl Stop {
    /// True where the run is to end.
    pub fn holds(&self, counts: &Counts) -> bool {
        self.rule.holds(counts)
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Rule {
    Compare(Comparison, Amount, Amount),
    And(Box<Rule>, Box<Rule>),
    Or(Box<Rule>, Box<Rule>),
    Not(Box<Rule>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Equal,
    NotEqual,
}

#[derive(Debug, Clone, PartialEq)]
enum Amount {
    Number(f64),
    /// An index into [`COUNTED`].
    Counted(usize),
    Negative(Box<Amount>),
    Combined(Arithmetic, Box<Amount>, Box<Amount>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Arithmetic {
    Plus,
    Minus,
    Times,
    Over,
}

impl Rule {
    /// A comparison with what has no value, such as 0/0, does not hold.
    fn holds(&self, counts: &Counts) -> bool {
        match self {
            Rule::Compare(comparison, left, right) => {
                let (left, right) = (left.value(counts), right.value(counts));
                match comparison {
                    Comparison::Less => left < right,
                    Comparison::LessEqual => left <= right,
                    Comparison::Greater => left > right,
                    Comparison::GreaterEqual => left >= right,
                    Comparison::Equal => left == right,
                    Comparison::NotEqual => left != right && !left.is_nan() && !right.is_nan(),
                }
            }
            Rule::And(left, right) => left.holds(counts) && right.holds(counts),
            Rule::Or(left, right) => left.holds(counts) || right.holds(counts),
            Rule::Not(rule) => !rule.holds(counts),
        }
    }
}

impl Amount {
    fn value(&self, counts: &Counts) -> f64 {
        match self {
            Amount::Number(value) => *value,
            Amount::Counted(idx) => COUNTED[*idx].1(counts) as f64,
            Amount::Negative(amount) => -amount.value(counts),
            Amount::Combined(arithmetic, left, right) => {
                let (left, right) = (left.value(counts), right.value(counts));
                match arithmetic {
                    Arithmetic::Plus => left + right,
                    Arithmetic::Minus => left - right,
                    Arithmetic::Times => left * right,
                    Arithmetic::Over => left / right,
                }
            }
        }
    }
}

impl Lower<'_> {
    /// `stop when failures > 0 or violations/steps > 0.01`
    pub(super) fn stop(&mut self, directive: &Directive, span: Span) -> Option<Stop> {
        let allowed = Allowed { words: &[ClauseWord::When], ..Allowed::default() };
        let clauses = Clauses::sort(&directive.clauses, "`stop`", allowed, self.diagnostics);
        let Some(condition) = clauses.word_arg(ClauseWord::When) else {
            let d = Diagnostic::new(Code("E0101"), span, "`stop` does not say when").at("this statement");
            self.report(d.help("write for example `stop when failures > 0`"));
            return None;
        };
        let rule = self.rule(condition)?;
        let text = self.sources.slice(condition.span).to_owned();
        Some(Stop { text, span, rule })
    }

    fn rule(&mut self, ast: &ast::Expr) -> Option<Rule> {
        match &ast.kind {
            ExprKind::Paren(inner) => self.rule(inner),
            ExprKind::Prefix { op: PrefixOp::Not, operand } => Some(Rule::Not(Box::new(self.rule(operand)?))),
            ExprKind::Infix { op, left, right, .. } => {
                let comparison = match op {
                    InfixOp::And => return Some(Rule::And(Box::new(self.rule(left)?), Box::new(self.rule(right)?))),
                    InfixOp::Or => return Some(Rule::Or(Box::new(self.rule(left)?), Box::new(self.rule(right)?))),
                    InfixOp::Lt => Comparison::Less,
                    InfixOp::Le => Comparison::LessEqual,
                    InfixOp::Gt => Comparison::Greater,
                    InfixOp::Ge => Comparison::GreaterEqual,
                    InfixOp::Eq => Comparison::Equal,
                    InfixOp::Ne => Comparison::NotEqual,
                    InfixOp::Add | InfixOp::Sub | InfixOp::Mul | InfixOp::Div | InfixOp::Pow => {
                        return self.no_rule(ast);
                    }
                };
                Some(Rule::Compare(comparison, self.amount(left)?, self.amount(right)?))
            }
            ExprKind::Prefix { op: PrefixOp::Neg, .. }
            | ExprKind::Quantity { .. }
            | ExprKind::Text(_)
            | ExprKind::Path(_)
            | ExprKind::Derivative { .. }
            | ExprKind::Call { .. }
            | ExprKind::If { .. } => self.no_rule(ast),
        }
    }

    fn no_rule(&mut self, ast: &ast::Expr) -> Option<Rule> {
        let d = Diagnostic::new(Code("E0205"), ast.span, "the condition of a `stop` compares counts");
        self.report(d.at("not a comparison").help("write for example `stop when failures > 0`"));
        None
    }

    fn amount(&mut self, ast: &ast::Expr) -> Option<Amount> {
        match &ast.kind {
            ExprKind::Paren(inner) => self.amount(inner),
            ExprKind::Quantity { value, unit: None } => Some(Amount::Number(*value)),
            ExprKind::Prefix { op: PrefixOp::Neg, operand } => Some(Amount::Negative(Box::new(self.amount(operand)?))),
            ExprKind::Path(path) => {
                let name = text(path);
                if let Some(idx) = COUNTED.iter().position(|(known, _)| *known == name) {
                    return Some(Amount::Counted(idx));
                }
                let d =
                    Diagnostic::new(Code("E0201"), ast.span, format!("`{name}` is not counted")).at("not known here");
                let names = COUNTED.iter().map(|(name, _)| *name);
                let near = nearest(&name, names.clone());
                let d = match did_you_mean(&d, &near, &[ast.span]) {
                    Some(d) => d,
                    None => d.help(format!("what is counted: {}", names.collect::<Vec<_>>().join(", "))),
                };
                self.report(d);
                None
            }
            ExprKind::Infix { op, left, right, .. } => {
                let arithmetic = match op {
                    InfixOp::Add => Arithmetic::Plus,
                    InfixOp::Sub => Arithmetic::Minus,
                    InfixOp::Mul => Arithmetic::Times,
                    InfixOp::Div => Arithmetic::Over,
                    InfixOp::Pow
                    | InfixOp::Or
                    | InfixOp::And
                    | InfixOp::Lt
                    | InfixOp::Le
                    | InfixOp::Gt
                    | InfixOp::Ge
                    | InfixOp::Eq
                    | InfixOp::Ne => return self.no_amount(ast),
                };
                Some(Amount::Combined(arithmetic, Box::new(self.amount(left)?), Box::new(self.amount(right)?)))
            }
            ExprKind::Quantity { unit: Some(_), .. }
            | ExprKind::Prefix { op: PrefixOp::Not, .. }
            | ExprKind::Text(_)
            | ExprKind::Derivative { .. }
            | ExprKind::Call { .. }
            | ExprKind::If { .. } => self.no_amount(ast),
        }
    }

    fn no_amount(&mut self, ast: &ast::Expr) -> Option<Amount> {
        let names = COUNTED.iter().map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let d = Diagnostic::new(Code("E0205"), ast.span, "a `stop` counts, and this is no count");
        self.report(d.at("expected a pure number or a count").help(format!("what is counted: {names}")));
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(name: &str) -> Amount {
        Amount::Counted(COUNTED.iter().position(|(known, _)| *known == name).expect("counted"))
    }

    #[test]
    fn shares_of_nothing_hold_nothing() {
        let share = Amount::Combined(Arithmetic::Over, Box::new(count("violations")), Box::new(count("steps")));
        for comparison in [Comparison::Greater, Comparison::NotEqual, Comparison::Equal, Comparison::LessEqual] {
            let rule = Rule::Compare(comparison, share.clone(), Amount::Number(0.25));
            assert!(!rule.holds(&Counts::default()), "{comparison:?}");
        }
        let rule = Rule::Compare(Comparison::Greater, share, Amount::Number(0.25));
        assert!(rule.holds(&Counts { steps: 3, violations: 1, ..Counts::default() }));
        assert!(!Rule::Not(Box::new(rule)).holds(&Counts { steps: 3, violations: 1, ..Counts::default() }));
    }
}
