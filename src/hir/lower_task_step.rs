//! How often a task acts and for how long: `step`, fixed or decided, and `episode`.

use crate::diag::{Code, Diagnostic};
use crate::limits::{MAX_EPISODE_STEPS, MAX_SUBSTEPS};
use crate::source::Span;
use crate::syntax::ast::{self, ClauseWord, Directive};

use super::check_units::Additions;
use super::clauses::{Allowed, Clauses};
use super::lower::Lower;
use super::lower_expr::text;
use super::task::{StepMethod, Task};
use super::task_scope::StepLength;
use super::unknown;

impl Lower<'_> {
    /// `step 10 [min] via rk4 times 10`, `step free in 0.01 .. 0.1 [s]`
    pub(super) fn task_step(&mut self, directive: &Directive, span: Span, task: &mut Task) {
        let allowed = Allowed {
            range: true,
            words: &[ClauseWord::Via, ClauseWord::Times, ClauseWord::Guess],
            ..Allowed::default()
        };
        let clauses = Clauses::sort(&directive.clauses, "`step`", allowed, self.diagnostics);
        task.step.span = span;
        let [subject] = directive.subjects.as_slice() else {
            self.report(
                Diagnostic::new(Code("E0101"), span, "`step` needs its length")
                    .at("how long?")
                    .help("write `step 0.02 [s]`, or `step free in 0.01 .. 0.1 [s]` for one that is decided"),
            );
            return;
        };
        let is_free = matches!(&subject.kind, ast::ExprKind::Path(path) if text(path) == "free")
            && !self.model.names.contains_key("free");
        let positive = |lower: &mut Self, e: &ast::Expr| {
            let value = lower.constant_time(e)?;
            if value.is_finite() && value > 0.0 {
                return Some(value);
            }
            lower.report(Diagnostic::new(Code("E0602"), e.span, "a step must be positive").at("how long?"));
            None
        };
        if is_free {
            let Some((Some(low), Some(high))) = clauses.range else {
                let d = Diagnostic::new(Code("E0409"), span, "a free step needs both its ends");
                self.report(d.at("between which lengths?").help("write `step free in 0.01 .. 0.1 [s]`"));
                return;
            };
            let (low_span, high_span) = (low.span, high.span);
            let (Some(low), Some(high)) = (positive(self, low), positive(self, high)) else { return };
            if low >= high {
                let d = Diagnostic::new(Code("E0613"), high_span, format!("a step from {low} to {high} has no room"));
                self.report(d.at("the upper end").label(low_span, "is not above this"));
                return;
            }
            task.step.free = Some((low, high));
            let guess = clauses.word_arg(ClauseWord::Guess).and_then(|e| positive(self, e));
            task.step.length = guess.unwrap_or(0.5 * (low + high)).clamp(low, high);
            if let Some(scope) = &mut self.task {
                scope.step = Some(StepLength::Free);
            }
        } else {
            for (clause, is_there) in
                [("in", clauses.range.is_some()), ("guess", clauses.word(ClauseWord::Guess).is_some())]
            {
                if is_there {
                    let d = Diagnostic::new(Code("E0107"), span, format!("`{clause}` belongs to a step that is free"));
                    self.report(d.at("this step is fixed").help("write `step free in 0.01 .. 0.1 [s]`"));
                }
            }
            let Some(length) = positive(self, subject) else { return };
            task.step.length = length;
            if let Some(scope) = &mut self.task {
                scope.step = Some(StepLength::Fixed(length));
            }
        }
        if let Some(via) = clauses.word_arg(ClauseWord::Via) {
            let found = match &via.kind {
                ast::ExprKind::Path(path) => StepMethod::find(&text(path)),
                _ => None,
            };
            match found {
                Some(method) => task.step.method = method,
                None => {
                    let name = self.sources.slice(via.span).to_string();
                    let d = Diagnostic::new(Code("E0602"), via.span, format!("there is no method `{name}` of a step"))
                        .at("not known");
                    let near = unknown::nearest(&name, StepMethod::ALL.iter().map(|(n, _)| *n));
                    let list = StepMethod::ALL.iter().map(|(n, _)| *n).collect::<Vec<_>>().join(", ");
                    let d = match unknown::did_you_mean(&d, &near, &[via.span]) {
                        Some(d) => d,
                        None => d.help(format!("methods are {list}")),
                    };
                    self.report(d);
                    return;
                }
            }
        }
        if let Some(times) = clauses.word_arg(ClauseWord::Times) {
            let method = task.step.method;
            if !method.is_fixed() {
                let title = format!("`times` has no effect beside `{}`, which chooses its own substeps", method.name());
                let d = Diagnostic::new(Code("E0107"), times.span, title).at("how many substeps");
                self.report(d.help("name a method of fixed substeps, as in `step 10 [min] via rk4 times 10`"));
            } else if let Some(n) = self.count(times, "substeps", MAX_SUBSTEPS) {
                task.step.substeps = n as u32;
            }
        }
    }

    /// A whole number from 1 to `most`.
    fn count(&mut self, ast: &ast::Expr, what: &str, most: usize) -> Option<usize> {
        let expr = self.expr(ast);
        let expr = Additions::new(&mut self.model, &self.unsettled, self.sources, self.diagnostics)
            .pure(expr, &format!("the number of {what}"));
        let value = self.known_constant(expr, ast.span)?;
        if value.fract() == 0.0 && value >= 1.0 && value <= most as f64 {
            return Some(value as usize);
        }
        let title = format!("the number of {what} is a whole number from 1 to {most}, and this is {value}");
        self.report(Diagnostic::new(Code("E0616"), ast.span, title).at("how many?"));
        None
    }

    /// `episode 24 [h]`, `episode times 144`
    pub(super) fn episode(&mut self, directive: &Directive, span: Span, task: &mut Task) {
        let allowed = Allowed { words: &[ClauseWord::Times], ..Allowed::default() };
        let clauses = Clauses::sort(&directive.clauses, "`episode`", allowed, self.diagnostics);
        match (directive.subjects.as_slice(), clauses.word_arg(ClauseWord::Times)) {
            ([], Some(times)) => {
                task.n_steps = self.count(times, "steps of an episode", MAX_EPISODE_STEPS).unwrap_or(0);
            }
            ([length], None) => {
                let Some(value) = self.constant_time(length) else { return };
                let step = task.step.length;
                // Where the step is not known, that is the mistake.
                if step.is_nan() {
                    return;
                }
                let n = value / step;
                let nearest = n.round();
                if !(nearest >= 1.0 && nearest <= MAX_EPISODE_STEPS as f64) {
                    let title =
                        format!("an episode has 1 to {MAX_EPISODE_STEPS} steps, and {value} is {n} steps of {step}");
                    let d = Diagnostic::new(Code("E0616"), length.span, title).at("how long?");
                    self.report(d.label(task.step.span, "the step"));
                } else if (n - nearest).abs() > 1e-9 * nearest {
                    let title = format!("an episode of {value} is {n} steps of {step}, which is no whole number");
                    let d = Diagnostic::new(Code("E0616"), length.span, title).at("ends inside of a step");
                    let help = format!("write `episode times {nearest}`, or a length that the step divides");
                    self.report(d.label(task.step.span, "the step").help(help));
                } else {
                    task.n_steps = nearest as usize;
                }
            }
            _ => self.report(
                Diagnostic::new(Code("E0101"), span, "`episode` needs its length")
                    .at("how long?")
                    .help("write `episode 24 [h]`, or `episode times 144` for 144 steps"),
            ),
        }
    }
}
