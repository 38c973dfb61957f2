//! Tree to text: the one canonical layout of a `.twin` text.
//!
//! Two blanks a level, one statement a line, at most one empty line between statements, clauses in one order, numbers
//! in a short form that reads back to the same value. Comments and empty lines stay where they are, and a block
//! written on one line stays there while it fits. Invariant: reading the result gives the same tree, spans and the
//! order of clauses aside, and printing that gives the same text.

use super::ast::*;
use super::expr_text::{Line, name_text, rank};

/// Columns a line may have.
const WIDTH: usize = 120;

/// The canonical text of a tree.
///
/// ```
/// use twinc::{diag::Diagnostics, source::SourceId, syntax};
/// let mut found = Diagnostics::default();
/// let file = syntax::parse(SourceId(0), "param  k[1/s]=0.50 ; # rate", &mut found);
/// assert_eq!(syntax::print(&file), "param k [1/s] = 0.5  # rate\n");
/// ```
pub fn print(file: &File) -> String {
    let mut printer = Printer { file, out: String::new(), n_comments: 0 };
    printer.items(&file.statements, u32::MAX, 0);
    printer.out
}

struct Printer<'a> {
    file: &'a File,
    out: String,
    /// Comments already written.
    n_comments: usize,
}

impl<'a> Printer<'a> {
    /// One-based line of an offset; 0 where the tree was not read from a text.
    fn line_of(&self, offset: u32) -> usize {
        self.file.line_starts.partition_point(|start| *start <= offset)
    }

    fn next_comment(&self, before: u32) -> Option<&'a Comment> {
        self.file.comments.get(self.n_comments).filter(|c| c.span.start < before)
    }

    fn start_line(&mut self, level: usize) {
        if !self.out.is_empty() && !self.out.ends_with('\n') {
            self.out.push('\n');
        }
        for _ in 0..level {
            self.out.push_str("  ");
        }
    }

    /// An empty line where the text had one between the item before and `line`.
    fn separate(&mut self, last: Option<usize>, line: usize) {
        if last.is_some_and(|last| line > last + 1) {
            if !self.out.ends_with('\n') {
                self.out.push('\n');
            }
            self.out.push('\n');
        }
    }

    /// Comments on lines of their own, up to `before`; returns the line of the last one.
    fn comments(&mut self, before: u32, level: usize, mut last: Option<usize>) -> Option<usize> {
        while let Some(comment) = self.next_comment(before) {
            let line = self.line_of(comment.span.start);
            self.separate(last, line);
            self.start_line(level);
            self.out.push_str(&comment.text);
            self.out.push('\n');
            self.n_comments += 1;
            last = Some(line);
        }
        last
    }

    /// A comment behind code on the same line.
    fn trailing(&mut self, line: usize, before: u32) {
        while let Some(comment) = self.next_comment(before)
            && self.line_of(comment.span.start) == line
        {
            self.out.push_str("  ");
            self.out.push_str(&comment.text);
            self.n_comments += 1;
            // A second comment on the line can only come from a `/* */`; one line holds one comment.
            self.out.push('\n');
        }
    }

    /// Statements with the comments among and behind them, up to `end`.
    fn items(&mut self, statements: &'a [Statement], end: u32, level: usize) {
        let mut last = None;
        for (i, statement) in statements.iter().enumerate() {
            let next = statements.get(i + 1).map_or(end, |s| s.span.start);
            last = self.comments(statement.span.start, level, last);
            // Comments inside a statement move above it.
            last = self.comments(head_end(statement), level, last);
            self.separate(last, self.line_of(statement.span.start));
            self.statement(statement, level);
            let line = self.line_of(statement.span.end);
            self.trailing(line, next);
            self.start_line(0);
            last = Some(line);
        }
        self.comments(end, level, last);
    }

    fn statement(&mut self, statement: &'a Statement, level: usize) {
        let mut line = Line::default();
        statement_line(&mut line, &statement.kind);
        self.start_line(level);
        let StatementKind::Directive(Directive { block: Some(block), .. }) = &statement.kind else {
            line.fill(&mut self.out, 2 * level, WIDTH, 0);
            return;
        };
        if let Some(inside) = self.one_line(block)
            && 2 * level + line.width() + inside.len() + 3 <= WIDTH
        {
            line.fill(&mut self.out, 2 * level, usize::MAX, 0);
            self.out.push_str(" { ");
            self.out.push_str(&inside);
            self.out.push_str(" }");
            return;
        }
        line.fill(&mut self.out, 2 * level, WIDTH, 2);
        let is_empty = block.statements.is_empty() && self.next_comment(block.span.end).is_none();
        if is_empty {
            self.out.push_str(" {}");
            return;
        }
        self.out.push_str(" {");
        let first = block.statements.first().map_or(block.span.end, |s| s.span.start);
        self.trailing(self.line_of(block.span.start), first);
        self.start_line(0);
        self.items(&block.statements, block.span.end, level + 1);
        self.start_line(level);
        self.out.push('}');
    }

    /// The statements of a block that stood on one line, has no comments and no blocks inside.
    fn one_line(&self, block: &Block) -> Option<String> {
        let was_one = !self.file.line_starts.is_empty()
            && self.line_of(block.span.start) == self.line_of(block.span.end)
            && !block.statements.is_empty();
        if !was_one || self.next_comment(block.span.end).is_some() {
            return None;
        }
        let mut parts = Vec::new();
        for statement in &block.statements {
            if let StatementKind::Directive(Directive { block: Some(_), .. }) = &statement.kind {
                return None;
            }
            let mut line = Line::default();
            statement_line(&mut line, &statement.kind);
            let mut text = String::new();
            line.fill(&mut text, 0, usize::MAX, 0);
            parts.push(text);
        }
        Some(parts.join("; "))
    }
}

/// Where the part of a statement before its block ends.
fn head_end(statement: &Statement) -> u32 {
    match &statement.kind {
        StatementKind::Directive(Directive { block: Some(block), .. }) => block.span.start,
        _ => statement.span.end,
    }
}

/// A statement without its block.
fn statement_line(line: &mut Line, kind: &StatementKind) {
    match kind {
        StatementKind::Ode(ode) => {
            line.path(&ode.target);
            line.indices(&ode.indices);
            line.push("' = ");
            line.expr(&ode.rhs);
            for family in &ode.families {
                line.family(family);
            }
            if let Some(doc) = &ode.doc {
                line.push(" ");
                line.text(&doc.text);
            }
        }
        StatementKind::Assign(assign) => {
            line.path(&assign.target);
            line.indices(&assign.indices);
            line.push(match assign.op {
                AssignOp::Set => " := ",
                AssignOp::Add => " += ",
                AssignOp::Subtract => " -= ",
                AssignOp::Multiply => " *= ",
            });
            line.expr(&assign.value);
        }
        StatementKind::Bind(bind) => {
            line.path(&bind.target);
            match &bind.source {
                BindSource::FromPath(path) => {
                    line.push(" <- ");
                    line.path(path);
                }
                BindSource::FromText(text) => {
                    line.push(" <- ");
                    line.text(&text.text);
                }
                BindSource::ToText(text) => {
                    line.push(" -> ");
                    line.text(&text.text);
                }
            }
            line.clauses(&bind.clauses, true);
        }
        StatementKind::Reaction(reaction) => {
            if let Some(label) = &reaction.label {
                line.push(&name_text(&label.text));
                line.push(": ");
            }
            line.side(&reaction.reactants);
            line.push(if reaction.is_reversible { " <-> " } else { " -> " });
            line.side(&reaction.products);
            line.clauses(&reaction.clauses, true);
        }
        StatementKind::Setting(setting) => {
            line.push(&name_text(&setting.name.text));
            line.push(" = ");
            line.value(&setting.value);
            line.clauses(&setting.clauses, !ends_bare(&setting.value));
        }
        StatementKind::Labelled(labelled) => {
            line.push(&name_text(&labelled.label.text));
            line.push(": ");
            line.expr(&labelled.expr);
            line.clauses(&labelled.clauses, !ends_bare_expr(&labelled.expr));
        }
        StatementKind::Directive(directive) => directive_line(line, directive),
    }
}

fn directive_line(line: &mut Line, directive: &Directive) {
    line.push(&name_text(&directive.word.text));
    line.indices(&directive.indices);
    if let Some(label) = &directive.label {
        line.push(" ");
        line.push(&name_text(&label.text));
        line.push(":");
    }
    let has_init = directive.clauses.iter().any(|c| matches!(c.kind, ClauseKind::Init(_)));
    // A clause that starts with a sign cannot be the value of a clause word before it.
    let first = directive.clauses.iter().map(|c| rank(&c.kind)).min();
    let is_safe = first.is_none_or(|rank| rank <= 4);
    for (i, subject) in directive.subjects.iter().enumerate() {
        line.push(if i == 0 { " " } else { "," });
        if i > 0 {
            // A line must not begin like a statement: `x' = ...`, `param {`.
            let is_last = i + 1 == directive.subjects.len();
            let may_lead =
                matches!(subject.kind, ExprKind::Path(_)) && !(is_last && (has_init || directive.block.is_some()));
            if may_lead {
                line.break_point(1);
            }
            line.push(" ");
        }
        line.subject(subject, i == 0, is_safe);
    }
    let is_bare = directive.subjects.is_empty() && directive.indices.is_empty();
    let has_unit = directive.clauses.iter().any(|c| matches!(c.kind, ClauseKind::Unit(_)));
    // `name = value` would read as a setting, so a value that must not come first keeps its place.
    let keeps_order = (is_bare && has_init && !has_unit) || directive.subjects.last().is_some_and(ends_bare_expr);
    line.clauses(&directive.clauses, !keeps_order);
}

/// True where a bracket put behind would be read as the unit of a number.
fn ends_bare(value: &Value) -> bool {
    match value {
        Value::Expr(expr) => ends_bare_expr(expr),
        Value::List(..) => false,
    }
}

fn ends_bare_expr(expr: &Expr) -> bool {
    let mut expr = expr;
    loop {
        expr = match &expr.kind {
            ExprKind::Quantity { unit, .. } => return unit.is_none(),
            ExprKind::Infix { right, .. } => right,
            ExprKind::Prefix { operand, .. } => operand,
            ExprKind::If { otherwise, .. } => otherwise,
            ExprKind::Text(_)
            | ExprKind::Path(_)
            | ExprKind::Derivative { .. }
            | ExprKind::Call { .. }
            | ExprKind::Paren(_) => return false,
        };
    }
}
