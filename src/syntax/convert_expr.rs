//! What pest read to expressions: operators by precedence, numbers, units, calls.
//!
//! Chains of operators are reduced by an explicit stack and bounded in depth, so that no walk over the tree overflows;
//! recursion goes only as deep as brackets and `if` nest.

use pest::iterators::{Pair, Pairs};

use super::ast::*;
use super::convert::{Convert, path_text};
use super::grammar::Rule;
use super::unit_text;
use crate::diag::{Code, Diagnostic};
use crate::limits::MAX_EXPRESSION_DEPTH;
use crate::source::Span;

type P<'i> = Pair<'i, Rule>;

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

impl Convert<'_> {
    pub(super) fn expr(&mut self, pair: P<'_>) -> Expr {
        self.deep(pair).expr
    }

    pub(super) fn exprs(&mut self, pairs: Pairs<'_, Rule>) -> Vec<Expr> {
        pairs.filter(|p| p.as_rule() != Rule::EOI).map(|p| self.expr(p)).collect()
    }

    pub(super) fn value(&mut self, pair: P<'_>) -> Value {
        if pair.as_rule() == Rule::list {
            let span = self.span(&pair);
            Value::List(self.items(pair), span)
        } else {
            Value::Expr(self.expr(pair))
        }
    }

    pub(super) fn items(&mut self, list: P<'_>) -> Vec<Value> {
        list.into_inner().map(|p| self.value(p)).collect()
    }

    /// Reduces prefix and infix operators by precedence with two stacks (Dijkstra's shunting yard).
    fn deep(&mut self, pair: P<'_>) -> Deep {
        let whole = self.span(&pair);
        let mut values: Vec<Deep> = Vec::new();
        let mut ops: Vec<Op> = Vec::new();
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::prefix | Rule::sign => {
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
            let found = Diagnostic::new(Code("E0105"), span, format!("`{text}` is neither a number nor a name"));
            let is_name = self.names.contains(letters);
            self.diagnostics.push(glued_help(found, digits, letters, span, is_name));
            if !is_name && !may_be_name(letters) {
                return Some(ExprKind::Quantity { value, unit });
            }
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

    pub(super) fn number(&mut self, text: &str, span: Span) -> f64 {
        match text.parse::<f64>() {
            Ok(value) if value == 0.0 && is_written_nonzero(text) => {
                self.diagnostics.push(
                    Diagnostic::new(
                        Code("E0105"),
                        span,
                        format!("`{text}` is smaller than any number that can be kept"),
                    )
                    .help("the smallest is about 4.9e-324; write `0` for nothing, or choose another unit"),
                );
                0.0
            }
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

/// True where a digit of the mantissa is not 0.
fn is_written_nonzero(text: &str) -> bool {
    let mantissa = text.split(['e', 'E']).next().unwrap_or(text);
    mantissa.bytes().any(|byte| matches!(byte, b'1'..=b'9'))
}

/// True where `letters` behind digits may be a name: not an exponent, nor digits of another notation.
fn may_be_name(letters: &str) -> bool {
    let is_exponent = matches!(letters, "e" | "E");
    let has_digit = letters.bytes().any(|byte| byte.is_ascii_digit());
    let is_notation = has_digit && letters.starts_with(['_', 'x', 'X', 'b', 'B', 'o', 'O']);
    !(is_exponent || is_notation)
}

/// What `digits` with `letters` glued to it was meant to be; a machine may write it where that is one thing.
fn glued_help(found: Diagnostic, digits: &str, letters: &str, span: Span, is_name: bool) -> Diagnostic {
    let is_grouped = letters.starts_with('_') && letters.chars().all(|c| c == '_' || c.is_ascii_digit());
    if is_grouped {
        let plain = format!("{digits}{}", letters.replace('_', ""));
        return found.help(format!("digits are not grouped: write `{plain}`")).fix("write the number", span, plain);
    }
    if digits == "0" && letters.len() > 1 && letters.starts_with(['x', 'X', 'b', 'B', 'o', 'O']) && !is_name {
        return found.help("a number is written in decimal digits");
    }
    if matches!(letters, "e" | "E") && !is_name {
        return found.help(format!("an exponent needs its digits, as in `{digits}e3`"));
    }
    let product = format!("{digits}*{letters}");
    let found = found.help(format!("a product is written `{product}`"));
    if is_name { found.fix("write the product", span, product) } else { found }
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
