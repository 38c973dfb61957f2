//! Expressions, clauses and numbers as text, and the breaking of long lines.
//!
//! A [`Line`] is text with places where it may be broken; the weaker a place binds, the sooner it is taken. Every
//! place is one where a statement may go on in the next line: before an operator, after a comma.

use super::ast::*;
use super::lex::is_plain_name;

/// Blanks before the lines that go on a broken one.
const CONTINUATION: usize = 4;

/// A name, in backticks where it could not be read without.
pub(super) fn name_text(name: &str) -> String {
    if is_plain_name(name) { name.to_string() } else { format!("`{name}`") }
}

/// A number in a short form that reads back to the same value: plain digits unless a power of ten is clearly shorter.
///
/// ```
/// use twinc::syntax::number_text;
/// assert_eq!(number_text(0.0142), "0.0142");
/// assert_eq!(number_text(1.287e12), "1.287e12");
/// assert_eq!(number_text(1e-6), "1e-6");
/// ```
pub fn number_text(value: f64) -> String {
    let plain = format!("{value}");
    let power = format!("{value:e}");
    let slack = if value.fract() == 0.0 { 2 } else { 1 };
    if plain.len() <= power.len() + slack { plain } else { power }
}

/// The text of one statement, in pieces that may stand on lines of their own.
#[derive(Debug, Default)]
pub(super) struct Line {
    done: Vec<(u8, String)>,
    level: u8,
    piece: String,
    /// Brackets that are open.
    depth: u8,
}

impl Line {
    pub fn push(&mut self, text: &str) {
        self.piece.push_str(text);
    }

    /// A place where the line may be broken; smaller levels are taken first.
    pub fn break_point(&mut self, level: u8) {
        self.done.push((self.level, std::mem::take(&mut self.piece)));
        self.level = level;
    }

    fn pieces(&self) -> impl Iterator<Item = (u8, &str)> {
        self.done.iter().map(|(level, text)| (*level, text.as_str())).chain([(self.level, self.piece.as_str())])
    }

    /// Characters of the unbroken line.
    pub fn width(&self) -> usize {
        self.pieces().map(|(_, text)| text.chars().count()).sum()
    }

    /// Writes the line, which starts at column `indent`, broken where it would pass `width` less `reserve`.
    pub fn fill(&self, out: &mut String, indent: usize, width: usize, reserve: usize) {
        let pieces: Vec<(u8, &str)> = self.pieces().collect();
        let mut start = 0;
        let mut column = indent;
        while start < pieces.len() {
            let mut best: Option<(u8, usize)> = None;
            let mut at = column;
            let mut end = start;
            while end < pieces.len() {
                at += pieces[end].1.chars().count();
                if end > start && best.is_none_or(|(level, _)| pieces[end].0 <= level) {
                    // A break before a piece that does not fit is still one after pieces that do.
                    best = Some((pieces[end].0, end));
                }
                if at > width.saturating_sub(reserve) && (best.is_some() || end + 1 == pieces.len()) {
                    break;
                }
                end += 1;
            }
            let stop = if end == pieces.len() { end } else { best.map_or(pieces.len(), |(_, at)| at) };
            for (i, (_, text)) in pieces[start..stop].iter().enumerate() {
                out.push_str(if i == 0 && start > 0 { text.trim_start() } else { text });
            }
            start = stop;
            if start < pieces.len() {
                column = indent + CONTINUATION;
                out.push('\n');
                out.extend(std::iter::repeat_n(' ', column));
            }
        }
    }

    pub fn path(&mut self, path: &Path) {
        for (i, segment) in path.segments.iter().enumerate() {
            if i > 0 {
                self.push(".");
            }
            self.push(&name_text(&segment.text));
        }
    }

    /// A quoted text; what a text cannot hold is replaced.
    pub fn text(&mut self, text: &str) {
        let held: String = text
            .chars()
            .map(|c| match c {
                '"' => '\'',
                '\n' | '\r' => ' ',
                c => c,
            })
            .collect();
        self.push(&format!("\"{held}\""));
    }

    pub fn indices(&mut self, indices: &[Expr]) {
        if indices.is_empty() {
            return;
        }
        self.push("(");
        self.depth = self.depth.saturating_add(1);
        for (i, index) in indices.iter().enumerate() {
            if i > 0 {
                self.push(", ");
            }
            self.expr(index);
        }
        self.depth = self.depth.saturating_sub(1);
        self.push(")");
    }

    pub fn side(&mut self, terms: &[Term]) {
        if terms.is_empty() {
            self.push("0");
        }
        for (i, term) in terms.iter().enumerate() {
            if i > 0 {
                self.break_point(4);
                self.push(" + ");
            }
            if term.coefficient != 1.0 {
                self.push(&number_text(term.coefficient));
                self.push(" ");
            }
            self.path(&term.species);
            self.indices(&term.indices);
        }
    }

    pub fn value(&mut self, value: &Value) {
        match value {
            Value::Expr(expr) => self.expr(expr),
            Value::List(items, _) => self.list(items),
        }
    }

    fn list(&mut self, items: &[Value]) {
        self.push("[");
        self.depth = self.depth.saturating_add(1);
        for (i, item) in items.iter().enumerate() {
            if i > 0 {
                self.push(",");
                self.break_point(self.level_of(1));
                self.push(" ");
            }
            self.value(item);
        }
        self.depth = self.depth.saturating_sub(1);
        self.push("]");
    }

    /// How late a break is taken: deeper brackets and tighter operators later.
    fn level_of(&self, precedence: u8) -> u8 {
        self.depth.saturating_add(1).saturating_mul(9).saturating_add(precedence)
    }

    pub fn family(&mut self, family: &Family) {
        self.push(" for ");
        self.push(&name_text(&family.index.text));
        self.push(" in ");
        self.bound(&family.from);
        self.push(" .. ");
        self.last_bound(&family.to);
    }

    fn bound(&mut self, expr: &Expr) {
        self.operand(expr, InfixOp::Add.precedence(), true);
    }

    /// The upper end of a range, where a clause may also begin.
    fn last_bound(&mut self, expr: &Expr) {
        self.guarded(expr, InfixOp::Add.precedence(), true);
    }

    /// What a word speaks of; `is_safe` where a lone name cannot be read as a clause.
    pub fn subject(&mut self, expr: &Expr, is_first: bool, is_safe: bool) {
        let is_lone = matches!(&expr.kind, ExprKind::Path(path) if path.segments.len() == 1);
        if !is_first || (is_lone && is_safe) {
            self.expr(expr);
        } else {
            self.guarded(expr, 0, true);
        }
    }

    /// An expression that stands where a clause may begin: a first name that reads as one gets backticks.
    fn guarded(&mut self, expr: &Expr, floor: u8, is_last: bool) {
        let before = self.piece.len();
        let n_pieces = self.done.len();
        self.operand(expr, floor, is_last);
        let Some(name) = clash_at_start(expr) else {
            return;
        };
        let piece = if self.done.len() > n_pieces { &mut self.done[n_pieces].1 } else { &mut self.piece };
        if piece.get(before..).is_some_and(|text| text.starts_with(name)) {
            piece.replace_range(before..before + name.len(), &format!("`{name}`"));
        }
    }

    pub fn expr(&mut self, expr: &Expr) {
        self.operand(expr, 0, true);
    }

    /// `floor`: the loosest operator that needs no parentheses here; `is_last` where nothing of the same expression
    /// follows, so that an `else` may take all that comes.
    fn operand(&mut self, expr: &Expr, floor: u8, is_last: bool) {
        let needs = match &expr.kind {
            ExprKind::Infix { op, .. } => op.precedence() < floor,
            ExprKind::Prefix { op: PrefixOp::Not, .. } => PrefixOp::Not.precedence() < floor,
            ExprKind::Prefix { op: PrefixOp::Neg, .. } => floor > InfixOp::Pow.precedence(),
            ExprKind::If { .. } => !is_last,
            ExprKind::Quantity { value, .. } => value.is_sign_negative() && *value != 0.0 && floor > 7,
            ExprKind::Text(_)
            | ExprKind::Path(_)
            | ExprKind::Derivative { .. }
            | ExprKind::Call { .. }
            | ExprKind::Paren(_) => false,
        };
        if needs {
            self.bracketed(expr);
            return;
        }
        match &expr.kind {
            ExprKind::Quantity { value, unit } => {
                self.push(&number_text(*value));
                if let Some(unit) = unit {
                    self.push(&format!(" [{}]", unit.text));
                }
            }
            ExprKind::Text(text) => self.text(text),
            ExprKind::Path(path) => self.path(path),
            ExprKind::Derivative { target, indices } => {
                self.path(target);
                self.indices(indices);
                self.push("'");
            }
            ExprKind::Call { function, args } => {
                self.path(function);
                self.args(args);
            }
            ExprKind::Prefix { op: PrefixOp::Neg, operand } => {
                self.push("-");
                self.operand(operand, PrefixOp::Neg.precedence(), is_last);
            }
            ExprKind::Prefix { op: PrefixOp::Not, operand } => {
                self.push("not ");
                self.operand(operand, PrefixOp::Not.precedence(), is_last);
            }
            ExprKind::Infix { op, left, right, .. } => self.infix(*op, left, right, is_last),
            ExprKind::If { condition, then, otherwise } => {
                self.push("if ");
                self.expr(condition);
                self.push(" then ");
                self.expr(then);
                self.break_point(self.level_of(0));
                self.push(" else ");
                self.operand(otherwise, 0, is_last);
            }
            ExprKind::Paren(inner) => self.bracketed(inner),
        }
    }

    fn bracketed(&mut self, expr: &Expr) {
        self.push("(");
        self.depth = self.depth.saturating_add(1);
        self.expr(expr);
        self.depth = self.depth.saturating_sub(1);
        self.push(")");
    }

    fn infix(&mut self, op: InfixOp, left: &Expr, right: &Expr, is_last: bool) {
        let level = op.precedence();
        let (left_floor, right_floor) = match op {
            InfixOp::Pow => (level + 1, level),
            InfixOp::Lt | InfixOp::Le | InfixOp::Gt | InfixOp::Ge | InfixOp::Eq | InfixOp::Ne => (level + 1, level + 1),
            InfixOp::Or | InfixOp::And | InfixOp::Add | InfixOp::Sub | InfixOp::Mul | InfixOp::Div => {
                (level, level + 1)
            }
        };
        self.operand(left, left_floor, false);
        match op {
            InfixOp::Mul | InfixOp::Div => {
                self.break_point(self.level_of(level));
                self.push(op.as_str());
            }
            InfixOp::Pow => self.push(op.as_str()),
            InfixOp::Or
            | InfixOp::And
            | InfixOp::Lt
            | InfixOp::Le
            | InfixOp::Gt
            | InfixOp::Ge
            | InfixOp::Eq
            | InfixOp::Ne
            | InfixOp::Add
            | InfixOp::Sub => {
                self.break_point(self.level_of(level));
                self.push(&format!(" {} ", op.as_str()));
            }
        }
        // A sign may stand right behind any operator: `2^-3`, `a*-b`.
        self.operand(right, right_floor, is_last);
    }

    fn args(&mut self, args: &[Arg]) {
        self.push("(");
        self.depth = self.depth.saturating_add(1);
        for (i, arg) in args.iter().enumerate() {
            if i > 0 {
                self.push(",");
                self.break_point(self.level_of(0));
                self.push(" ");
            }
            if let Some(name) = &arg.name {
                self.push(&name_text(&name.text));
                self.push(" = ");
            }
            self.value(&arg.value);
            if let Some(family) = &arg.family {
                self.family(family);
            }
            if let Some(condition) = &arg.condition {
                self.push(" if ");
                self.expr(condition);
            }
        }
        self.depth = self.depth.saturating_sub(1);
        self.push(")");
    }

    /// Clauses in canonical order, or as written where another order would be read differently.
    pub fn clauses(&mut self, clauses: &[Clause], may_sort: bool) {
        let mut order: Vec<&Clause> = clauses.iter().collect();
        if may_sort {
            order.sort_by_key(|clause| rank(&clause.kind));
        }
        for clause in order {
            self.clause(&clause.kind);
        }
    }

    fn clause(&mut self, kind: &ClauseKind) {
        match kind {
            ClauseKind::Unit(unit) => self.push(&format!(" [{}]", unit.text)),
            ClauseKind::Init(value) => {
                self.push(" = ");
                self.value(value);
            }
            ClauseKind::Range { low, high } => {
                self.break_point(2);
                self.push(" in");
                if let Some(low) = low {
                    self.push(" ");
                    self.bound(low);
                }
                self.push(" ..");
                if let Some(high) = high {
                    self.push(" ");
                    self.last_bound(high);
                }
            }
            ClauseKind::Choices(items) => {
                self.break_point(2);
                self.push(" in ");
                self.list(items);
            }
            ClauseKind::Dist(expr) => {
                self.break_point(2);
                self.push(" ~ ");
                self.expr(expr);
            }
            ClauseKind::Rates(exprs) => {
                self.break_point(2);
                self.push(" @ ");
                self.exprs(exprs);
            }
            ClauseKind::Word(word, exprs) => {
                self.push(" ");
                self.push(word.as_str());
                self.push(" ");
                self.exprs(exprs);
            }
            ClauseKind::Flag(flag) => {
                self.push(" ");
                self.push(flag.as_str());
            }
            ClauseKind::Family(family) => self.family(family),
            ClauseKind::Doc(doc) => {
                self.push(" ");
                self.text(&doc.text);
            }
        }
    }

    fn exprs(&mut self, exprs: &[Expr]) {
        for (i, expr) in exprs.iter().enumerate() {
            if i > 0 {
                self.push(",");
                if matches!(expr.kind, ExprKind::Path(_) | ExprKind::Call { .. }) {
                    self.break_point(3);
                }
                self.push(" ");
            }
            self.expr(expr);
        }
    }
}

/// The place of a clause in the canonical order.
pub(super) fn rank(kind: &ClauseKind) -> u8 {
    match kind {
        ClauseKind::Unit(_) => 0,
        ClauseKind::Init(_) => 1,
        ClauseKind::Range { .. } | ClauseKind::Choices(_) => 2,
        ClauseKind::Dist(_) => 3,
        ClauseKind::Rates(_) => 4,
        ClauseKind::Word(..) => 5,
        ClauseKind::Flag(_) => 6,
        ClauseKind::Family(_) => 7,
        ClauseKind::Doc(_) => 8,
    }
}

fn is_clause_start(name: &str) -> bool {
    ClauseWord::find(name).is_some() || Flag::find(name).is_some() || name == "for"
}

/// The first name of an expression, if it reads as a clause.
fn clash_at_start(expr: &Expr) -> Option<&str> {
    let mut expr = expr;
    loop {
        expr = match &expr.kind {
            ExprKind::Infix { left, .. } => left,
            ExprKind::Path(path)
            | ExprKind::Call { function: path, .. }
            | ExprKind::Derivative { target: path, .. } => {
                return path.segments.first().map(|s| s.text.as_str()).filter(|text| is_clause_start(text));
            }
            ExprKind::Quantity { .. }
            | ExprKind::Text(_)
            | ExprKind::Prefix { .. }
            | ExprKind::If { .. }
            | ExprKind::Paren(_) => return None,
        };
    }
}
