//! What pest read to the tree of one statement.
//!
//! Invariant: a pair has the shape that `grammar/twin.pest` gives its rule, so a missing child cannot come; should one,
//! the statement is given up (`failed`) and never made up. Recursion goes only as deep as brackets and `if` nest, which
//! [`super::layout`] has bounded; chains of operators are reduced by an explicit stack.

use std::collections::HashSet;

use pest::iterators::{Pair, Pairs};

use super::ast::*;
use super::grammar::Rule;
use super::unit_text;
use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::source::{SourceId, Span};

/// What the conversion of one statement knows and reports to.
pub(super) struct Convert<'a> {
    pub source: SourceId,
    /// Offset of the statement in the text.
    pub base: usize,
    /// The whole text as written.
    pub text: &'a str,
    /// The same with comments blanked and look-alike operators replaced.
    pub clean: &'a str,
    /// Names that stand in the text as values.
    pub names: &'a HashSet<&'a str>,
    pub diagnostics: &'a mut Diagnostics,
    pub unread: &'a mut Vec<Name>,
    /// True where the statement must be left out.
    pub failed: bool,
}

type P<'i> = Pair<'i, Rule>;

impl Convert<'_> {
    /// The statement that `pairs` (of one `*_line` rule) hold; `None` where it must be left out.
    pub fn statement(&mut self, pairs: Pairs<'_, Rule>) -> Option<StatementKind> {
        let mut kind = None;
        for pair in pairs {
            kind = match pair.as_rule() {
                Rule::ode => Some(StatementKind::Ode(self.ode(pair)?)),
                Rule::assign => Some(StatementKind::Assign(self.assign(pair)?)),
                Rule::bind => Some(StatementKind::Bind(self.bind(pair)?)),
                Rule::reaction => Some(StatementKind::Reaction(self.reaction(pair)?)),
                Rule::setting => Some(StatementKind::Setting(self.setting(pair)?)),
                Rule::entry | Rule::directive => Some(StatementKind::Directive(self.directive(pair)?)),
                Rule::labelled => Some(StatementKind::Labelled(self.labelled(pair)?)),
                _ => kind,
            };
        }
        if self.failed { None } else { kind }
    }

    /// The right-hand side and what follows it, for an equation whose left side was read otherwise.
    pub fn equation(&mut self, pairs: Pairs<'_, Rule>, target: Path) -> Option<StatementKind> {
        let tail = pairs.into_iter().find(|p| p.as_rule() == Rule::ode_tail)?;
        let ode = self.ode_tail(tail, target, Vec::new())?;
        if self.failed { None } else { Some(StatementKind::Ode(ode)) }
    }

    /// A lone expression.
    pub fn lone(&mut self, pairs: Pairs<'_, Rule>) -> Option<Expr> {
        let pair = pairs.into_iter().find(|p| p.as_rule() == Rule::expr)?;
        let expr = self.expr(pair);
        if self.failed { None } else { Some(expr) }
    }

    /// The bytes of a pair without the blanks that pest leaves at its end.
    pub(super) fn span(&self, pair: &P<'_>) -> Span {
        let start = self.base + pair.as_span().start();
        let mut end = start + pair.as_str().trim_end().len();
        // A look-alike operator is longer than what it is read as.
        while end < self.text.len() && !self.text.is_char_boundary(end) {
            end += 1;
        }
        Span::new(self.source, start, end)
    }

    pub(super) fn name(&self, pair: &P<'_>) -> Name {
        Name { text: pair.as_str().trim_matches('`').to_string(), span: self.span(pair) }
    }

    pub(super) fn path(&self, pair: P<'_>) -> Path {
        let span = self.span(&pair);
        Path { segments: pair.into_inner().map(|p| self.name(&p)).collect(), span }
    }

    pub(super) fn text(&self, pair: &P<'_>) -> Text {
        Text { text: pair.as_str().trim_matches('"').to_string(), span: self.span(pair) }
    }

    fn doc(&self, pair: P<'_>) -> Option<Text> {
        pair.into_inner().next().map(|p| self.text(&p))
    }

    fn ode(&mut self, pair: P<'_>) -> Option<Ode> {
        let mut inner = pair.into_inner();
        let target = self.path(inner.next()?);
        let mut indices = Vec::new();
        for pair in inner {
            match pair.as_rule() {
                Rule::indices => indices = self.exprs(pair.into_inner()),
                Rule::ode_tail => return self.ode_tail(pair, target, indices),
                _ => {}
            }
        }
        None
    }

    fn ode_tail(&mut self, pair: P<'_>, target: Path, indices: Vec<Expr>) -> Option<Ode> {
        let mut inner = pair.into_inner();
        let rhs = self.expr(inner.next()?);
        let mut families = Vec::new();
        let mut doc: Option<Text> = None;
        for pair in inner {
            match pair.as_rule() {
                Rule::family => families.push(self.family(pair)?),
                Rule::doc => {
                    let text = self.doc(pair)?;
                    if let Some(first) = &doc {
                        self.repeated("the text", text.span, first.span);
                    } else {
                        doc = Some(text);
                    }
                }
                _ => {}
            }
        }
        Some(Ode { target, indices, rhs, families, doc })
    }

    fn assign(&mut self, pair: P<'_>) -> Option<Assign> {
        let mut inner = pair.into_inner();
        let target = self.path(inner.next()?);
        let mut indices = Vec::new();
        let mut op = AssignOp::Set;
        for pair in inner {
            match pair.as_rule() {
                Rule::indices => indices = self.exprs(pair.into_inner()),
                Rule::assign_op => {
                    op = match pair.as_str() {
                        "+=" => AssignOp::Add,
                        "-=" => AssignOp::Subtract,
                        "*=" => AssignOp::Multiply,
                        _ => AssignOp::Set,
                    }
                }
                Rule::expr => return Some(Assign { target, indices, op, value: self.expr(pair) }),
                _ => {}
            }
        }
        None
    }

    fn bind(&mut self, pair: P<'_>) -> Option<Bind> {
        let mut inner = pair.into_inner();
        let target = self.path(inner.next()?);
        let first = inner.next()?;
        let source = match first.as_rule() {
            Rule::to_arrow => BindSource::ToText(self.text(&inner.next()?)),
            Rule::string => BindSource::FromText(self.text(&first)),
            _ => BindSource::FromPath(self.path(first)),
        };
        Some(Bind { target, source, clauses: self.clauses(inner) })
    }

    fn reaction(&mut self, pair: P<'_>) -> Option<Reaction> {
        let mut label = None;
        let mut sides = Vec::new();
        let mut arrow = None;
        let mut clauses = Vec::new();
        for pair in pair.into_inner() {
            match pair.as_rule() {
                Rule::kw_reaction => {}
                Rule::label => label = pair.into_inner().next().map(|p| self.name(&p)),
                Rule::side => sides.push(self.side(pair)?),
                Rule::arrow => arrow = Some((self.span(&pair), pair.as_str() == "<->")),
                _ => clauses.push(pair),
            }
        }
        let (arrow, is_reversible) = arrow?;
        let products = sides.pop()?;
        let reactants = sides.pop()?;
        let clauses = self.clauses(clauses.into_iter());
        Some(Reaction { label, reactants, products, is_reversible, arrow, clauses })
    }

    fn side(&mut self, pair: P<'_>) -> Option<Vec<Term>> {
        let mut terms = Vec::new();
        for pair in pair.into_inner().filter(|p| p.as_rule() == Rule::term) {
            let span = self.span(&pair);
            let mut term = Term { coefficient: 1.0, species: Path { segments: vec![], span }, indices: vec![], span };
            for part in pair.into_inner() {
                match part.as_rule() {
                    Rule::number => term.coefficient = self.number(part.as_str(), self.span(&part)),
                    Rule::odd_coefficient => {
                        let place = self.span(&part);
                        term.coefficient = self.number(part.as_str(), place);
                        let found = Diagnostic::new(Code("E0105"), span, "a coefficient stands apart from its species")
                            .help(format!("put a blank behind `{}`", part.as_str()))
                            .fix("put a blank between them", place.end_point(), " ");
                        self.diagnostics.push(found);
                    }
                    Rule::path => term.species = self.path(part),
                    Rule::indices => term.indices = self.exprs(part.into_inner()),
                    _ => {}
                }
            }
            if term.species.segments.is_empty() {
                return None;
            }
            terms.push(term);
        }
        Some(terms)
    }

    fn setting(&mut self, pair: P<'_>) -> Option<Setting> {
        let mut inner = pair.into_inner();
        let name = self.name(&inner.next()?);
        let value = self.value(inner.next()?);
        let clauses = self.clauses(inner);
        if let Some(second) = clauses.iter().find(|c| matches!(c.kind, ClauseKind::Init(_))) {
            self.repeated("the value behind `=`", second.span, value.span());
            self.failed = true;
        }
        Some(Setting { name, value, clauses })
    }

    fn directive(&mut self, pair: P<'_>) -> Option<Directive> {
        let mut inner = pair.into_inner();
        let word = self.name(&inner.next()?);
        let mut found =
            Directive { word, indices: vec![], label: None, subjects: vec![], clauses: vec![], block: None };
        let mut clauses = Vec::new();
        for pair in inner {
            match pair.as_rule() {
                Rule::indices => found.indices = self.exprs(pair.into_inner()),
                Rule::label => found.label = pair.into_inner().next().map(|p| self.name(&p)),
                Rule::subjects => found.subjects = self.exprs(pair.into_inner()),
                _ => clauses.push(pair),
            }
        }
        found.clauses = self.clauses(clauses.into_iter());
        Some(found)
    }

    fn labelled(&mut self, pair: P<'_>) -> Option<Labelled> {
        let mut inner = pair.into_inner();
        let label = inner.next()?.into_inner().next()?;
        let label = self.name(&label);
        let expr = self.expr(inner.next()?);
        Some(Labelled { label, expr, clauses: self.clauses(inner) })
    }

    fn clauses<'i>(&mut self, pairs: impl Iterator<Item = P<'i>>) -> Vec<Clause> {
        let mut clauses: Vec<Clause> = Vec::new();
        for pair in pairs {
            if pair.as_rule() == Rule::EOI {
                continue;
            }
            let span = self.span(&pair);
            let Some(kind) = self.clause(pair) else {
                self.failed = true;
                continue;
            };
            let twin = clauses.iter().find(|c| same_clause(&c.kind, &kind));
            if let Some(first) = twin.map(|c| c.span) {
                self.repeated(&clause_name(&kind), span, first);
            } else {
                clauses.push(Clause { kind, span });
            }
        }
        clauses
    }

    fn repeated(&mut self, what: &str, span: Span, first: Span) {
        self.diagnostics.push(
            Diagnostic::new(Code("E0107"), span, format!("{what} is given twice"))
                .at("again here")
                .label(first, "first here")
                .help("keep one of them"),
        );
    }

    fn clause(&mut self, pair: P<'_>) -> Option<ClauseKind> {
        Some(match pair.as_rule() {
            Rule::unit => ClauseKind::Unit(self.unit(pair)?),
            Rule::rates => ClauseKind::Rates(self.exprs(pair.into_inner())),
            Rule::init => ClauseKind::Init(self.value(pair.into_inner().next()?)),
            Rule::dist => ClauseKind::Dist(self.expr(pair.into_inner().next()?)),
            Rule::family => ClauseKind::Family(self.family(pair)?),
            Rule::doc => ClauseKind::Doc(self.doc(pair)?),
            Rule::flag => ClauseKind::Flag(Flag::find(pair.as_str())?),
            Rule::word_clause => {
                let mut inner = pair.into_inner();
                let word = ClauseWord::find(inner.next()?.as_str())?;
                ClauseKind::Word(word, self.exprs(inner))
            }
            Rule::bounds => {
                let (mut low, mut high) = (None, None);
                for part in pair.into_inner() {
                    match part.as_rule() {
                        Rule::low => low = Some(self.expr(part.into_inner().next()?)),
                        Rule::high => high = Some(self.expr(part.into_inner().next()?)),
                        Rule::list => return Some(ClauseKind::Choices(self.items(part))),
                        _ => {}
                    }
                }
                ClauseKind::Range { low, high }
            }
            _ => return None,
        })
    }

    pub(super) fn family(&mut self, pair: P<'_>) -> Option<Family> {
        let span = self.span(&pair);
        let (mut index, mut from, mut to) = (None, None, None);
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::name => index = Some(self.name(&part)),
                Rule::low => from = Some(self.expr(part.into_inner().next()?)),
                Rule::high => to = Some(self.expr(part.into_inner().next()?)),
                _ => {}
            }
        }
        Some(Family { index: index?, from: from?, to: to?, span })
    }

    pub(super) fn unit(&mut self, pair: P<'_>) -> Option<UnitText> {
        let inner = pair.into_inner().next()?;
        let span = self.span(&inner);
        let text = inner.as_str().trim_end().to_string();
        if inner.as_rule() == Rule::unit_expr {
            return Some(UnitText { text, span });
        }
        let (found, repaired) = unit_text::explain(&text, span);
        self.diagnostics.push(found);
        Some(UnitText { text: repaired.unwrap_or_else(|| "1".to_string()), span })
    }
}

/// A path as written.
pub(super) fn path_text(path: &Path) -> String {
    path.segments.iter().map(|s| s.text.as_str()).collect::<Vec<_>>().join(".")
}

fn same_clause(a: &ClauseKind, b: &ClauseKind) -> bool {
    use ClauseKind::*;
    match (a, b) {
        (Family(_), Family(_)) => false,
        (Word(a, _), Word(b, _)) => a == b,
        (Flag(a), Flag(b)) => a == b,
        (Range { .. } | Choices(_), Range { .. } | Choices(_)) => true,
        (Unit(_) | Rates(_) | Init(_) | Dist(_) | Doc(_) | Family(_) | Range { .. } | Choices(_), _)
        | (Word(..) | Flag(_), _) => std::mem::discriminant(a) == std::mem::discriminant(b),
    }
}

fn clause_name(kind: &ClauseKind) -> String {
    match kind {
        ClauseKind::Unit(_) => "the unit".to_string(),
        ClauseKind::Rates(_) => "`@`".to_string(),
        ClauseKind::Init(_) => "the value behind `=`".to_string(),
        ClauseKind::Range { .. } | ClauseKind::Choices(_) => "`in`".to_string(),
        ClauseKind::Dist(_) => "`~`".to_string(),
        ClauseKind::Family(_) => "`for`".to_string(),
        ClauseKind::Word(word, _) => format!("`{}`", word.as_str()),
        ClauseKind::Flag(flag) => format!("`{}`", flag.as_str()),
        ClauseKind::Doc(_) => "the text".to_string(),
    }
}
