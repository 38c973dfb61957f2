//! `simulate`: end time and grid, the fixed step, what is held over it, inputs from files.

use crate::diag::{Code, Diagnostic};
use crate::source::Span;
use crate::syntax::ast::{self, ClauseWord, Directive, StatementKind, Value};
use crate::syntax::words::Context;

use super::clauses::{Allowed, Clauses};
use super::imports::unknown_word;
use super::lower::Lower;
use super::lower_expr::text;
use super::model::SymbolKind;
use super::study::{Hold, Simulate};

impl Lower<'_> {
    pub(super) fn simulate(&mut self, directive: &Directive, span: Span, simulate: &mut Simulate) {
        self.no_clauses(&Directive { subjects: Vec::new(), ..directive.clone() });
        for subject in &directive.subjects {
            self.report(
                Diagnostic::new(Code("E0107"), subject.span, "`simulate` takes no name")
                    .at("remove this")
                    .label(span, "this statement"),
            );
        }
        for statement in directive.block.iter().flat_map(|b| &b.statements) {
            match &statement.kind {
                StatementKind::Setting(setting) => match (setting.name.text.as_str(), &setting.value) {
                    (
                        key @ ("until" | "output"),
                        Value::List(..) | Value::Expr(ast::Expr { kind: ast::ExprKind::Text(_), .. }),
                    ) => {
                        let at = setting.value.span();
                        let d =
                            Diagnostic::new(Code("E0602"), at, format!("`{key}` expects a time")).at("not a number");
                        self.report(d.help(format!("write a number with its unit, as in `{key} = 10 [s]`")));
                    }
                    ("until", Value::Expr(e)) => {
                        self.give(simulate, "until", setting.name.span);
                        simulate.until = self.constant_time(e);
                    }
                    ("output", Value::Expr(e)) => {
                        self.give(simulate, "output", setting.name.span);
                        simulate.output = self.constant_time(e);
                    }
                    _ => simulate.settings.list.extend(self.setting(setting)),
                },
                StatementKind::Bind(bind) => simulate.forcing.extend(self.forcing_file(bind, statement.span)),
                StatementKind::Directive(inner) => match inner.word.text.as_str() {
                    "step" => self.simulate_step(inner, statement.span, simulate),
                    "hold" => {
                        for subject in &inner.subjects {
                            simulate.hold.extend(self.hold(subject));
                        }
                    }
                    "data" => simulate.forcing.extend(self.data_set(inner, statement.span)),
                    _ => {
                        let d = unknown_word(Context::Simulate, &inner.word);
                        self.report(d);
                    }
                },
                StatementKind::Ode(_)
                | StatementKind::Assign(_)
                | StatementKind::Reaction(_)
                | StatementKind::Labelled(_) => {
                    self.report(
                        Diagnostic::new(
                            Code("E0208"),
                            statement.span,
                            "this statement has no meaning inside `simulate`",
                        )
                        .at("expected settings, `step`, `hold` or `input <- \"file.csv\"`"),
                    );
                }
            }
        }
    }

    /// `hold D`
    pub(super) fn hold(&mut self, subject: &ast::Expr) -> Option<Hold> {
        let span = subject.span;
        let (symbol, indices) = self.quantity(subject)?;
        self.is_kind(symbol, span, "held over a step", |kind| {
            matches!(kind, SymbolKind::Disturbance | SymbolKind::Let | SymbolKind::Input)
        })
        .then_some(())?;
        if self.model.symbol(symbol).kind == SymbolKind::Let && !indices.is_empty() {
            self.report(
                Diagnostic::new(
                    Code("E0901"),
                    span,
                    "holding a member of a family of `let`s is not supported by this version",
                )
                .at("a member")
                .help("give it a name of its own, as in `let held = L(2)`, and hold that"),
            );
            return None;
        }
        let name = self.member(symbol, &indices)?;
        Some(Hold { symbol, name, span })
    }

    /// `step 0.02 [s] via euler`
    fn simulate_step(&mut self, directive: &Directive, span: Span, simulate: &mut Simulate) {
        let allowed = Allowed { words: &[ClauseWord::Via], ..Allowed::default() };
        let clauses = Clauses::sort(&directive.clauses, "`step`", allowed, self.diagnostics);
        match directive.subjects.as_slice() {
            [step] => {
                self.give(simulate, "step", directive.word.span);
                simulate.step = self.constant_time(step);
                if simulate.step.is_some_and(|h| h.is_nan() || h <= 0.0) {
                    self.report(Diagnostic::new(Code("E0602"), step.span, "a step must be positive").at("how long?"));
                }
            }
            _ => self.report(
                Diagnostic::new(Code("E0101"), span, "`step` needs its length")
                    .at("how long?")
                    .help("write `step 0.02 [s] via euler`"),
            ),
        }
        if let Some(via) = clauses.word_arg(ClauseWord::Via) {
            match &via.kind {
                ast::ExprKind::Path(path) => simulate.via = Some((text(path), via.span)),
                _ => self.report(
                    Diagnostic::new(Code("E0205"), via.span, "`via` names an integrator").at("this is not a name"),
                ),
            }
        }
    }
}
