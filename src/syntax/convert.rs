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
use crate::limits::MAX_EXPRESSION_DEPTH;
use crate::source::{SourceId, Span};

/// What the conversion of one statement knows and reports to.
pub(super) struct Convert<'a> {
    pub source: SourceId,
    /// Offset of the statement in the text.
    pub base: usize,
    /// The whole text with comments blanked.
    pub clean: &'a str,
    /// Names that stand in the text as values.
    pub names: &'a HashSet<String>,
    pub diagnostics: &'a mut Diagnostics,
    pub unread: &'a mut Vec<Name>,
    /// True where the statement must be left out.
    pub failed: bool,
}

/// An expression and how many levels lie below it.
struct Deep {
    expr: Expr,
    depth: usize,
}

enum Op {
    Prefix(PrefixOp, Span),
    Infix(InfixOp, Span),
}

impl Op {
    fn precedence(&self) -> u8 {
        match self {
            Op::Prefix(op, _) => op.precedence(),
            Op::Infix(op, _) => op.precedence(),
        }
    }
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
    fn span(&self, pair: &P<'_>) -> Span {
        let start = self.base + pair.as_span().start();
        Span::new(self.source, start, start + pair.as_str().trim_end().len())
    }

    fn name(&self, pair: &P<'_>) -> Name {
        Name { text: pair.as_str().trim_matches('`').to_string(), span: self.span(pair) }
    }

    fn path(&self, pair: P<'_>) -> Path {
        let span = self.span(&pair);
        Path { segments: pair.into_inner().map(|p| self.name(&p)).collect(), span }
    }

    fn text(&self, pair: &P<'_>) -> Text {
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
        Some(Setting { name, value, clauses: self.clauses(inner) })
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

    fn family(&mut self, pair: P<'_>) -> Option<Family> {
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

    fn unit(&mut self, pair: P<'_>) -> Option<UnitText> {
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

    fn value(&mut self, pair: P<'_>) -> Value {
        if pair.as_rule() == Rule::list {
            let span = self.span(&pair);
            Value::List(self.items(pair), span)
        } else {
            Value::Expr(self.expr(pair))
        }
    }

    fn items(&mut self, list: P<'_>) -> Vec<Value> {
        list.into_inner().map(|p| self.value(p)).collect()
    }

    fn exprs(&mut self, pairs: Pairs<'_, Rule>) -> Vec<Expr> {
        pairs.filter(|p| p.as_rule() != Rule::EOI).map(|p| self.expr(p)).collect()
    }

    fn expr(&mut self, pair: P<'_>) -> Expr {
        self.deep(pair).expr
    }

    /// Reduces prefix and infix operators by precedence with two stacks (Dijkstra's shunting yard).
    fn deep(&mut self, pair: P<'_>) -> Deep {
        let whole = self.span(&pair);
        let mut values: Vec<Deep> = Vec::new();
        let mut ops: Vec<Op> = Vec::new();
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::prefix => {
                    let op = if part.as_str() == "-" { PrefixOp::Neg } else { PrefixOp::Not };
                    if op == PrefixOp::Not && ops.last().is_some_and(|top| top.precedence() > op.precedence()) {
                        self.diagnostics.push(
                            Diagnostic::new(Code("E0101"), self.span(&part), "`not` needs parentheses here")
                                .help("write `(not ...)`"),
                        );
                        self.failed = true;
                    }
                    ops.push(Op::Prefix(op, self.span(&part)));
                }
                Rule::infix | Rule::arith_op => {
                    let op = infix_op(part.as_str());
                    let level = op.precedence();
                    let is_right = op == InfixOp::Pow;
                    while let Some(top) = ops.last()
                        && (top.precedence() > level || (top.precedence() == level && !is_right))
                    {
                        self.reduce(&mut values, &mut ops);
                    }
                    ops.push(Op::Infix(op, self.span(&part)));
                }
                _ => {
                    let atom = self.atom(part);
                    values.push(atom);
                }
            }
            if self.failed {
                return self.hole(whole);
            }
        }
        while !ops.is_empty() && !self.failed {
            self.reduce(&mut values, &mut ops);
        }
        match values.pop() {
            Some(value) if !self.failed => value,
            _ => self.hole(whole),
        }
    }

    fn hole(&mut self, span: Span) -> Deep {
        self.failed = true;
        Deep { expr: Expr { kind: ExprKind::Quantity { value: 0.0, unit: None }, span }, depth: 1 }
    }

    fn reduce(&mut self, values: &mut Vec<Deep>, ops: &mut Vec<Op>) {
        let (Some(op), Some(right)) = (ops.pop(), values.pop()) else {
            self.failed = true;
            return;
        };
        let made = match op {
            Op::Prefix(op, span) => {
                let span = span.to(right.expr.span);
                let kind = ExprKind::Prefix { op, operand: Box::new(right.expr) };
                Deep { expr: Expr { kind, span }, depth: right.depth + 1 }
            }
            Op::Infix(op, op_span) => {
                let Some(left) = values.pop() else {
                    self.failed = true;
                    return;
                };
                self.check_chain(op, op_span, &left.expr, &right.expr);
                let span = left.expr.span.to(right.expr.span);
                let depth = left.depth.max(right.depth) + 1;
                let (left, right) = (Box::new(left.expr), Box::new(right.expr));
                Deep { expr: Expr { kind: ExprKind::Infix { op, op_span, left, right }, span }, depth }
            }
        };
        if made.depth > MAX_EXPRESSION_DEPTH {
            let title = format!("an expression is a chain of more than {MAX_EXPRESSION_DEPTH} operators");
            self.diagnostics
                .push(Diagnostic::new(Code("E0112"), made.expr.span, title).help("name parts of it with `let`"));
            self.failed = true;
        }
        values.push(made);
    }

    fn check_chain(&mut self, op: InfixOp, op_span: Span, left: &Expr, right: &Expr) {
        if !op.is_comparison() {
            return;
        }
        if let ExprKind::Infix { op: first, op_span: first_span, right: middle, .. } = &left.kind
            && first.is_comparison()
        {
            let part = |span: Span| self.clean.get(span.start as usize..span.end as usize).unwrap_or("");
            let whole = left.span.to(right.span);
            let split = format!("{} and {} {} {}", part(left.span), part(middle.span), op.as_str(), part(right.span));
            let mut found = Diagnostic::new(Code("E0101"), op_span, "comparisons do not chain")
                .at("second comparison")
                .label(*first_span, "first comparison");
            if split.len() <= 80 && !split.contains('\n') {
                found = found.help(format!("write `{split}`")).fix("compare twice", whole, split);
            } else {
                found = found.help("write two comparisons joined by `and`");
            }
            self.diagnostics.push(found);
        }
    }

    fn atom(&mut self, pair: P<'_>) -> Deep {
        let span = self.span(&pair);
        let made = match pair.as_rule() {
            Rule::quantity => self.quantity(pair).map(|kind| (kind, 1)),
            Rule::reference => self.reference(pair),
            Rule::string => Some((ExprKind::Text(self.text(&pair).text), 1)),
            Rule::paren => pair.into_inner().next().map(|p| {
                let inner = self.deep(p);
                (ExprKind::Paren(Box::new(inner.expr)), inner.depth + 1)
            }),
            Rule::cond => self.cond(pair),
            _ => None,
        };
        match made {
            Some((kind, depth)) => Deep { expr: Expr { kind, span }, depth },
            None => self.hole(span),
        }
    }

    fn cond(&mut self, pair: P<'_>) -> Option<(ExprKind, usize)> {
        let mut parts = pair.into_inner().filter(|p| p.as_rule() == Rule::expr);
        let (condition, then, otherwise) = (parts.next()?, parts.next()?, parts.next()?);
        let (condition, then, otherwise) = (self.deep(condition), self.deep(then), self.deep(otherwise));
        let depth = condition.depth.max(then.depth).max(otherwise.depth) + 1;
        let kind = ExprKind::If {
            condition: Box::new(condition.expr),
            then: Box::new(then.expr),
            otherwise: Box::new(otherwise.expr),
        };
        Some((kind, depth))
    }

    fn reference(&mut self, pair: P<'_>) -> Option<(ExprKind, usize)> {
        let mut inner = pair.into_inner();
        let path = self.path(inner.next()?);
        let mut args: Option<Vec<Arg>> = None;
        let mut prime = None;
        let mut depth = 0;
        for part in inner {
            match part.as_rule() {
                Rule::args => {
                    let mut list = Vec::new();
                    for arg in part.into_inner() {
                        let (arg, below) = self.arg(arg)?;
                        depth = depth.max(below);
                        list.push(arg);
                    }
                    args = Some(list);
                }
                Rule::prime => prime = Some(self.span(&part)),
                _ => {}
            }
        }
        let kind = match (args, prime) {
            (None, None) => ExprKind::Path(path),
            (Some(args), None) => ExprKind::Call { function: path, args },
            (None, Some(_)) => ExprKind::Derivative { target: path, indices: vec![] },
            (Some(args), Some(prime)) => {
                let mut indices = Vec::new();
                for arg in args {
                    match arg {
                        Arg { name: None, value: Value::Expr(expr), family: None, condition: None } => {
                            indices.push(expr);
                        }
                        _ => {
                            let title = format!("`'` differentiates a state, not a call of `{}`", path_text(&path));
                            self.diagnostics.push(
                                Diagnostic::new(Code("E0101"), prime, title)
                                    .help("write the name of a state before `'`"),
                            );
                            return None;
                        }
                    }
                }
                ExprKind::Derivative { target: path, indices }
            }
        };
        Some((kind, depth + 1))
    }

    fn arg(&mut self, pair: P<'_>) -> Option<(Arg, usize)> {
        let mut name = None;
        let mut value = None;
        let mut family = None;
        let mut condition = None;
        let mut depth = 0;
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::name => name = Some(self.name(&part)),
                Rule::family => family = Some(self.family(part)?),
                Rule::expr => {
                    let inner = self.deep(part);
                    depth = depth.max(inner.depth);
                    if value.is_none() {
                        value = Some(Value::Expr(inner.expr));
                    } else {
                        condition = Some(inner.expr);
                    }
                }
                Rule::list => value = Some(self.value(part)),
                _ => {}
            }
        }
        Some((Arg { name, value: value?, family, condition }, depth))
    }

    fn quantity(&mut self, pair: P<'_>) -> Option<ExprKind> {
        let mut inner = pair.into_inner();
        let number = inner.next()?;
        let span = self.span(&number);
        let text = number.as_str();
        let unit = match inner.next() {
            Some(unit) => Some(self.unit(unit)?),
            None => None,
        };
        if number.as_rule() == Rule::number {
            return Some(ExprKind::Quantity { value: self.number(text, span), unit });
        }
        let letters = text.char_indices().find(|(i, c)| is_glue(text, *i, *c)).map(|(i, _)| i);
        match letters {
            Some(at) => self.glued(text, at, span, unit),
            None => {
                let repaired = repair_point(text);
                self.diagnostics.push(
                    Diagnostic::new(Code("E0105"), span, format!("`{text}` needs a digit on both sides of its point"))
                        .help(format!("write `{repaired}`"))
                        .fix(format!("write `{repaired}`"), span, repaired.clone()),
                );
                Some(ExprKind::Quantity { value: self.number(&repaired, span), unit })
            }
        }
    }

    /// `5mM` and `2A`: a unit without brackets, or a product without its sign where the letters name a value.
    fn glued(&mut self, text: &str, at: usize, span: Span, unit: Option<UnitText>) -> Option<ExprKind> {
        let (digits, letters) = text.split_at(at);
        let value = self.number(digits, span);
        let letters_span = Span { start: span.start + at as u32, ..span };
        if self.names.contains(letters) || !unit_text::looks_like_unit(letters) {
            self.diagnostics.push(
                Diagnostic::new(Code("E0105"), span, format!("`{text}` is neither a number nor a name"))
                    .help(format!("a product is written `{digits}*{letters}`"))
                    .fix("write the product", span, format!("{digits}*{letters}")),
            );
            let part = |kind, span| Box::new(Expr { kind, span });
            let name = Name { text: letters.to_string(), span: letters_span };
            let left = part(ExprKind::Quantity { value, unit: None }, Span { end: letters_span.start, ..span });
            let right = part(ExprKind::Path(Path { segments: vec![name], span: letters_span }), letters_span);
            return Some(ExprKind::Infix { op: InfixOp::Mul, op_span: Span { end: span.start, ..span }, left, right });
        }
        let rest = self.clean.get(letters_span.start as usize..).unwrap_or("");
        let run = unit_text::run_length(rest, |word| self.names.contains(word));
        let written = rest.get(..run).unwrap_or(letters);
        let place = Span { end: letters_span.start + written.len() as u32, ..span };
        self.diagnostics.push(needs_brackets(digits, written, place));
        if written.len() > letters.len() {
            // The rest of the unit was read as names; they are no mistakes of their own.
            for word in written[letters.len()..].split(|c: char| !super::lex::is_continue(c)) {
                if !word.is_empty() {
                    self.unread.push(Name { text: word.to_string(), span: place });
                }
            }
        }
        let unit = unit.unwrap_or(UnitText { text: letters.to_string(), span: letters_span });
        Some(ExprKind::Quantity { value, unit: Some(unit) })
    }

    fn number(&mut self, text: &str, span: Span) -> f64 {
        match text.parse::<f64>() {
            Ok(value) if value.is_finite() => value,
            _ => {
                self.diagnostics.push(
                    Diagnostic::new(
                        Code("E0105"),
                        span,
                        format!("`{text}` is larger than any number that can be kept"),
                    )
                    .help("the largest is about 1.8e308"),
                );
                0.0
            }
        }
    }
}

/// E0102 for `digits` followed by the unit `written`, together at `place`.
pub(super) fn needs_brackets(digits: &str, written: &str, place: Span) -> Diagnostic {
    let unit = unit_text::repair(written).unwrap_or_else(|| written.to_string());
    Diagnostic::new(Code("E0102"), place, "a unit needs brackets").help(format!("write `{digits} [{unit}]`")).fix(
        "put the unit in brackets",
        place,
        format!("{digits} [{unit}]"),
    )
}

/// A path as written.
pub(super) fn path_text(path: &Path) -> String {
    path.segments.iter().map(|s| s.text.as_str()).collect::<Vec<_>>().join(".")
}

fn is_glue(text: &str, at: usize, c: char) -> bool {
    if c.is_ascii_digit() || matches!(c, '.' | '+' | '-') {
        return false;
    }
    let rest = text[at + c.len_utf8()..].trim_start_matches(['+', '-']);
    let is_exponent = matches!(c, 'e' | 'E') && rest.starts_with(|d: char| d.is_ascii_digit());
    !is_exponent
}

fn repair_point(text: &str) -> String {
    let text = if text.starts_with('.') { format!("0{text}") } else { text.to_string() };
    match text.find('.') {
        Some(at) if !text[at + 1..].starts_with(|c: char| c.is_ascii_digit()) => {
            format!("{}{}", &text[..at], &text[at + 1..])
        }
        _ => text,
    }
}

fn infix_op(text: &str) -> InfixOp {
    match text {
        "or" => InfixOp::Or,
        "and" => InfixOp::And,
        "<" => InfixOp::Lt,
        "<=" => InfixOp::Le,
        ">" => InfixOp::Gt,
        ">=" => InfixOp::Ge,
        "==" => InfixOp::Eq,
        "!=" => InfixOp::Ne,
        "-" => InfixOp::Sub,
        "*" => InfixOp::Mul,
        "/" => InfixOp::Div,
        "^" => InfixOp::Pow,
        _ => InfixOp::Add,
    }
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
