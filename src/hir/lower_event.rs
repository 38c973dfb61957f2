//! Events, safe sets and assertions.

use crate::diag::{Code, Diagnostic};
use crate::source::Span;
use crate::syntax::ast::{self, ClauseWord, Directive, StatementKind};

use super::clauses::{Allowed, Clauses};
use super::expr::{ExprId, ExprKind};
use super::lower::Lower;
use super::lower_expr::text;
use super::model::{Assign, EventDef, Expect, Safe, SymbolKind, When};

impl Lower<'_> {
    pub(super) fn safe(&mut self, directive: &Directive, span: Span) {
        match (&directive.label, directive.subjects.as_slice()) {
            (Some(label), [condition]) => {
                let condition = self.expr(condition);
                self.model.safe.push(Safe { name: label.text.clone(), condition, span: label.span });
            }
            _ => self.report(
                Diagnostic::new(Code("E0101"), span, "`safe` needs a name and a condition")
                    .at("this statement")
                    .help("write `safe hot: T <= 140 [degC]`"),
            ),
        }
    }

    /// `at`, `every`, `when` with their assignments.
    pub(super) fn event(&mut self, directive: &Directive, span: Span) -> Option<EventDef> {
        let word = directive.word.text.as_str();
        let allowed = Allowed {
            words: if word == "every" { &[ClauseWord::From, ClauseWord::Until] } else { &[] },
            ..Allowed::default()
        };
        let clauses = Clauses::sort(&directive.clauses, &format!("`{word}`"), allowed, self.diagnostics);
        let [subject] = directive.subjects.as_slice() else {
            self.report(
                Diagnostic::new(
                    Code("E0101"),
                    span,
                    format!("`{word}` needs one {}", if word == "when" { "condition" } else { "time" }),
                )
                .at("this event")
                .help(match word {
                    "at" => "write `at 30 [h] { x += 1 }`",
                    "every" => "write `every 6 [h] from 1 [h] { x += 1 }`",
                    _ => "write `when x > 1 { x := 0 }`",
                }),
            );
            return None;
        };
        let subject_id = self.expr(subject);
        let when = match word {
            "at" => When::At(subject_id),
            "every" => When::Every {
                period: subject_id,
                from: clauses.word_arg(ClauseWord::From).map(|e| self.expr(e)),
                until: clauses.word_arg(ClauseWord::Until).map(|e| self.expr(e)),
            },
            _ => When::Condition(subject_id),
        };
        let Some(block) = &directive.block else {
            self.report(
                Diagnostic::new(Code("E0409"), span, format!("`{word}` has no block"))
                    .at("what happens then?")
                    .help("write the assignments in `{ .. }`"),
            );
            return None;
        };
        let mut assigns = Vec::new();
        for statement in &block.statements {
            match &statement.kind {
                StatementKind::Assign(assign) => assigns.extend(self.assign(assign, statement.span)),
                StatementKind::Setting(setting) => {
                    let name = &setting.name;
                    self.report(
                        Diagnostic::new(
                            Code("E0506"),
                            statement.span,
                            format!("`{}` is set with `=` inside an event", name.text),
                        )
                        .at("an event assigns with `:=`")
                        .help(format!("write `{} := ..`", name.text)),
                    );
                }
                StatementKind::Ode(_)
                | StatementKind::Bind(_)
                | StatementKind::Reaction(_)
                | StatementKind::Directive(_)
                | StatementKind::Labelled(_) => self.report(
                    Diagnostic::new(Code("E0506"), statement.span, "an event holds assignments only")
                        .at("expected `x := ..`, `x += ..`, `x -= ..` or `x *= ..`"),
                ),
            }
        }
        let head = directive.word.span.to(block.span);
        let head = Span { end: block.span.start, ..head };
        let text = self.sources.slice(head).trim_end().to_string();
        Some(EventDef {
            when,
            assigns,
            text,
            span: Span { end: head.start + self.sources.slice(head).trim_end().len() as u32, ..head },
        })
    }

    pub(super) fn assign(&mut self, assign: &ast::Assign, span: Span) -> Option<Assign> {
        let symbol = self.symbol(&assign.target)?;
        let indices: Vec<ExprId> = assign.indices.iter().map(|e| self.expr(e)).collect();
        self.check_indices(symbol, indices.len(), &assign.target);
        let value = self.expr(&assign.value);
        let target = self.model.symbol(symbol);
        let is_assignable = matches!(
            target.kind,
            SymbolKind::Param
                | SymbolKind::Species { .. }
                | SymbolKind::State
                | SymbolKind::Discrete
                | SymbolKind::Compartment
        );
        if !is_assignable {
            let (word, declared, name) = (target.kind.phrase(), target.span, target.name.clone());
            if self.unsettled.doubled.contains(&name) {
                return None;
            }
            self.report(
                Diagnostic::new(
                    Code("E0506"),
                    assign.target.span,
                    format!("`{name}` is {word} and cannot be assigned by an event"),
                )
                .at("assigned here")
                .label(declared, "declared here")
                .help("events change states, species, compartments, `discrete` quantities and parameters"),
            );
            return None;
        }
        Some(Assign { symbol, indices, op: assign.op, value, span })
    }

    /// `expect P(40 [s]) = 3.2 [uM] within 1e-6`
    pub(super) fn expect(&mut self, directive: &Directive, span: Span) {
        let allowed = Allowed { init: true, words: &[ClauseWord::Within], ..Allowed::default() };
        let clauses = Clauses::sort(&directive.clauses, "`expect`", allowed, self.diagnostics);
        let tolerance = clauses.word_arg(ClauseWord::Within);
        let (Some(ast::Expr { kind: ast::ExprKind::Call { function, args }, .. }), Some(value), Some(tolerance)) =
            (directive.subjects.first(), clauses.init, tolerance)
        else {
            self.report(
                Diagnostic::new(Code("E0101"), span, "`expect` needs a quantity at a time, its value and a tolerance")
                    .at("this assertion")
                    .help("write `expect P(40 [s]) = 3.2 [uM] within 1e-6`"),
            );
            return;
        };
        let Some(symbol) = self.symbol(function) else { return };
        let n_ranges = self.model.symbol(symbol).ranges.len();
        let mut values: Vec<ExprId> = args.iter().map(|a| self.value(&a.value)).collect();
        let Some(time) = values.pop().filter(|_| values.len() == n_ranges) else {
            self.report(
                Diagnostic::new(Code("E0206"), function.span, format!("`{}` needs its time", text(function)))
                    .at("at which time?")
                    .help(format!("write `{}({}time)`", text(function), if n_ranges > 0 { "index, " } else { "" })),
            );
            return;
        };
        let expr = self.model.add(ExprKind::Symbol { symbol, indices: values }, function.span);
        let (value, tolerance) = (self.value(value), self.expr(tolerance));
        let text = self.sources.slice(span).to_string();
        self.model.expects.push(Expect { expr, time, value, tolerance, is_relative: false, text, span });
    }
}
