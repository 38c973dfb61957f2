//! Equality of trees as meaning goes: spans, comments, empty lines and the order of clauses aside.

use super::ast::*;
use super::expr_text::rank;
use crate::source::{SourceId, Span};

const NOWHERE: Span = Span { source: SourceId(0), start: 0, end: 0 };

/// True where two texts say the same statements.
pub fn same(a: &File, b: &File) -> bool {
    let plain = |file: &File| {
        let mut statements = file.statements.clone();
        statements.iter_mut().for_each(strip);
        statements
    };
    plain(a) == plain(b)
}

/// Forgets the spans of a statement and puts its clauses into canonical order.
fn strip(statement: &mut Statement) {
    statement.span = NOWHERE;
    match &mut statement.kind {
        StatementKind::Ode(ode) => {
            path(&mut ode.target);
            ode.indices.iter_mut().for_each(expr);
            expr(&mut ode.rhs);
            ode.families.iter_mut().for_each(family);
            ode.doc.iter_mut().for_each(|doc| doc.span = NOWHERE);
        }
        StatementKind::Assign(assign) => {
            path(&mut assign.target);
            assign.indices.iter_mut().for_each(expr);
            expr(&mut assign.value);
        }
        StatementKind::Bind(bind) => {
            path(&mut bind.target);
            match &mut bind.source {
                BindSource::FromPath(from) => path(from),
                BindSource::FromText(text) | BindSource::ToText(text) => text.span = NOWHERE,
            }
            clauses(&mut bind.clauses);
        }
        StatementKind::Reaction(reaction) => {
            reaction.label.iter_mut().for_each(name);
            reaction.arrow = NOWHERE;
            for term in reaction.reactants.iter_mut().chain(&mut reaction.products) {
                term.span = NOWHERE;
                path(&mut term.species);
                term.indices.iter_mut().for_each(expr);
            }
            clauses(&mut reaction.clauses);
        }
        StatementKind::Setting(setting) => {
            name(&mut setting.name);
            value(&mut setting.value);
            clauses(&mut setting.clauses);
        }
        StatementKind::Labelled(labelled) => {
            name(&mut labelled.label);
            expr(&mut labelled.expr);
            clauses(&mut labelled.clauses);
        }
        StatementKind::Directive(directive) => {
            name(&mut directive.word);
            directive.indices.iter_mut().for_each(expr);
            directive.label.iter_mut().for_each(name);
            directive.subjects.iter_mut().for_each(expr);
            clauses(&mut directive.clauses);
            if let Some(block) = &mut directive.block {
                block.span = NOWHERE;
                block.statements.iter_mut().for_each(strip);
            }
        }
    }
}

fn name(name: &mut Name) {
    name.span = NOWHERE;
}

fn path(path: &mut Path) {
    path.span = NOWHERE;
    path.segments.iter_mut().for_each(name);
}

fn family(family: &mut Family) {
    family.span = NOWHERE;
    name(&mut family.index);
    expr(&mut family.from);
    expr(&mut family.to);
}

fn clauses(list: &mut [Clause]) {
    for clause in list.iter_mut() {
        clause.span = NOWHERE;
        match &mut clause.kind {
            ClauseKind::Unit(unit) => unit.span = NOWHERE,
            ClauseKind::Rates(exprs) | ClauseKind::Word(_, exprs) => exprs.iter_mut().for_each(expr),
            ClauseKind::Init(init) => value(init),
            ClauseKind::Range { low, high } => low.iter_mut().chain(high).for_each(expr),
            ClauseKind::Choices(items) => items.iter_mut().for_each(value),
            ClauseKind::Dist(dist) => expr(dist),
            ClauseKind::Family(of) => family(of),
            ClauseKind::Flag(_) => {}
            ClauseKind::Doc(doc) => doc.span = NOWHERE,
        }
    }
    list.sort_by_key(|clause| rank(&clause.kind));
}

fn value(of: &mut Value) {
    match of {
        Value::Expr(inner) => expr(inner),
        Value::List(items, span) => {
            *span = NOWHERE;
            items.iter_mut().for_each(value);
        }
    }
}

fn expr(of: &mut Expr) {
    of.span = NOWHERE;
    match &mut of.kind {
        ExprKind::Quantity { unit, .. } => unit.iter_mut().for_each(|unit| unit.span = NOWHERE),
        ExprKind::Text(_) => {}
        ExprKind::Path(of) => path(of),
        ExprKind::Derivative { target, indices } => {
            path(target);
            indices.iter_mut().for_each(expr);
        }
        ExprKind::Call { function, args } => {
            path(function);
            for arg in args {
                arg.name.iter_mut().for_each(name);
                value(&mut arg.value);
                arg.family.iter_mut().for_each(family);
                arg.condition.iter_mut().for_each(expr);
            }
        }
        ExprKind::Prefix { operand, .. } => expr(operand),
        ExprKind::Infix { op_span, left, right, .. } => {
            *op_span = NOWHERE;
            expr(left);
            expr(right);
        }
        ExprKind::If { condition, then, otherwise } => {
            expr(condition);
            expr(then);
            expr(otherwise);
        }
        ExprKind::Paren(inner) => expr(inner),
    }
}
