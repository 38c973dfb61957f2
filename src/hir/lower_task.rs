//! Statements of a task to [`Task`]: how often it acts, where it starts, what it decides and sees, and how it ends.
//!
//! A task is lowered anew for each model that it is carried out on, so that the plant of a study may have other
//! parameters than the model that the controller believes in. `step` and `episode` are read in
//! [`super::lower_task_step`], terms of cost and constraints in [`super::lower_task_terms`].

use std::collections::HashMap;

use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::source::Span;
use crate::syntax::ast::{self, ClauseWord, Directive, StatementKind};
use crate::syntax::words::Context;

use super::check_units::Additions;
use super::clauses::{Allowed, Clauses};
use super::imports::unknown_word;
use super::lower::{Lower, families, subject_name};
use super::lower_expr::text;
use super::model::{Model, SymbolId, SymbolKind};
use super::models::Models;
use super::task::{Ending, HeldLet, Ranged, Relaxed, Sense, StartFrom, StepMethod, Task, TaskStart, TaskStep, Valued};
use super::task_scope::TaskScope;
use super::unknown;

/// A task's statement, its name, and the model that it is of.
pub(super) struct TaskPlace<'a> {
    pub directive: &'a Directive,
    pub span: Span,
    pub name: &'a ast::Name,
    pub doc: String,
    pub of: &'a ast::Expr,
    pub model: String,
}

impl Models<'_> {
    /// What `task T of M` names, without its statements.
    pub(super) fn task_place<'a>(
        directive: &'a Directive,
        span: Span,
        diagnostics: &mut Diagnostics,
    ) -> Option<TaskPlace<'a>> {
        let Some(name) = subject_name(directive) else {
            diagnostics.push(
                Diagnostic::new(Code("E0101"), span, "`task` has no name")
                    .at("expected a name")
                    .help("write `task Name of Model { .. }`"),
            );
            return None;
        };
        let of = directive.clauses.iter().find_map(|c| match &c.kind {
            ast::ClauseKind::Word(ClauseWord::Of, args) => args.first(),
            _ => None,
        });
        let Some(of) = of else {
            diagnostics.push(
                Diagnostic::new(
                    Code("E0409"),
                    name.span,
                    format!("the task `{}` does not say of which model", name.text),
                )
                .at("declared here")
                .help(format!("write `task {} of Model {{ .. }}`", name.text)),
            );
            return None;
        };
        let ast::ExprKind::Path(path) = &of.kind else {
            diagnostics.push(Diagnostic::new(Code("E0205"), of.span, "`of` names a model").at("this is not a name"));
            return None;
        };
        let doc = directive.clauses.iter().find_map(|c| match &c.kind {
            ast::ClauseKind::Doc(doc) => Some(doc.text.clone()),
            _ => None,
        });
        Some(TaskPlace { directive, span, name, doc: doc.unwrap_or_default(), of, model: text(path) })
    }

    /// Lowers a task for the model that it names; `None` where that has errors or is not there.
    pub(super) fn task(
        &mut self,
        file: usize,
        directive: &Directive,
        span: Span,
        diagnostics: &mut Diagnostics,
    ) -> Option<Task> {
        let place = Self::task_place(directive, span, diagnostics)?;
        let allowed = Allowed { words: &[ClauseWord::Of], ..Allowed::default() };
        Clauses::sort(&directive.clauses, "a task", allowed, diagnostics);
        let Some(model) = self.get(file, &place.model, diagnostics).cloned() else {
            if !matches!(self.files.find(file, &place.model), Some((_, _, super::imports::Item::Model(_)))) {
                let d = self.no_model(file, &place.model, place.of.span);
                diagnostics.push(d);
            }
            return None;
        };
        self.task_on(file, &place, model, (file, &[]), diagnostics)
    }

    /// Lowers a task for `model`, with further statements `beside` its own, of another file: starts and events of a study.
    pub(super) fn task_on(
        &self,
        file: usize,
        place: &TaskPlace<'_>,
        model: Model,
        beside: (usize, &[&ast::Statement]),
        diagnostics: &mut Diagnostics,
    ) -> Option<Task> {
        let is_faulty = model.is_faulty;
        let mut found = Diagnostics::default();
        let mut lower = Lower::new(self.files, self.sources, file, model, &mut found);
        lower.task = Some(Box::default());
        let mut task = Task {
            name: place.name.text.clone(),
            doc: place.doc.clone(),
            span: place.name.span,
            model: Model::default(),
            step: TaskStep {
                length: f64::NAN,
                free: None,
                symbol: None,
                method: StepMethod::Auto,
                substeps: 1,
                span: place.name.span,
            },
            n_steps: 0,
            acts: Vec::new(),
            relaxed: Vec::new(),
            starts: Vec::new(),
            senses: Vec::new(),
            costs: Vec::new(),
            terminal: Vec::new(),
            moves: Vec::new(),
            keeps: Vec::new(),
            reward: None,
            fails: Vec::new(),
            dones: Vec::new(),
            holds: Vec::new(),
            events: Vec::new(),
            previous: Vec::new(),
            index: None,
            measured: Vec::new(),
        };
        let own = place.directive.block.as_ref().map_or(&[][..], |block| &block.statements);
        lower.task_body(own, &mut task, place.span);
        lower.starts_once(&task.starts);
        let (other_file, beside) = beside;
        lower.file = other_file;
        for statement in beside {
            lower.task_statement(statement, &mut task);
        }
        let scope = lower.task.take().map(|scope| *scope).unwrap_or_default();
        let (model, mut unsettled) = lower.finish();
        task.model = model;
        for held in &task.holds {
            let symbol = &mut task.model.symbols[held.symbol.0 as usize];
            (symbol.kind, symbol.value) = (SymbolKind::Disturbance, None);
        }
        let TaskScope { free_step, index, previous, measured, .. } = scope;
        task.step.symbol = free_step;
        (task.index, task.previous, task.measured) = (index, previous, measured);
        unknown::report(&mut task.model, &mut unsettled, self.sources, &mut found);
        task.model.is_faulty = is_faulty || found.has_errors();
        diagnostics.extend(found);
        Some(task)
    }
}

impl Lower<'_> {
    /// All statements of a task: `step` and `episode` first, since others may name the step.
    fn task_body(&mut self, statements: &[ast::Statement], task: &mut Task, span: Span) {
        let mut first: HashMap<&str, Span> = HashMap::new();
        for statement in statements {
            let StatementKind::Directive(directive) = &statement.kind else { continue };
            let word = directive.word.text.as_str();
            if !matches!(word, "step" | "episode" | "reward") {
                continue;
            }
            if let Some(known) = first.insert(word, statement.span) {
                let d = Diagnostic::new(Code("E0202"), statement.span, format!("a task has one `{word}`"));
                self.report(d.at("again here").label(known, "first here").help("keep one of the two"));
                continue;
            }
            if word == "step" {
                self.task_step(directive, statement.span, task);
            }
        }
        for statement in statements {
            if let StatementKind::Directive(directive) = &statement.kind
                && directive.word.text == "episode"
                && first.get("episode") == Some(&statement.span)
            {
                self.episode(directive, statement.span, task);
            }
        }
        for (word, example) in [("step", "step 0.1 [s]"), ("episode", "episode 10 [s]")] {
            if !first.contains_key(word) {
                let d = Diagnostic::new(Code("E0409"), task.span, format!("the task `{}` has no `{word}`", task.name));
                self.report(d.at("declared here").help(format!("write for example `{example}` inside")));
            }
        }
        for statement in statements {
            self.task_statement(statement, task);
        }
        if task.costs.is_empty() && task.terminal.is_empty() && task.moves.is_empty() && task.reward.is_none() {
            let is_unread = !self.files.list[self.file].unread.is_empty() || self.diagnostics.has_errors();
            if !is_unread {
                let d = Diagnostic::new(
                    Code("E0409"),
                    task.span,
                    format!("the task `{}` has neither a `cost` nor a `reward`", task.name),
                );
                let help = "write for example `cost (x - 1)^2`, `track x to 1`, or `reward -x^2`";
                self.report(d.at("what is good?").label(span, "this task").help(help));
            }
        }
    }

    fn task_statement(&mut self, statement: &ast::Statement, task: &mut Task) {
        let StatementKind::Directive(directive) = &statement.kind else {
            self.report(
                Diagnostic::new(Code("E0208"), statement.span, "this statement has no meaning inside a task")
                    .at("not known here")
                    .help("a task holds step, episode, start, sense, act, cost, terminal, track, move, keep, reward, fail, done, hold, relax and events"),
            );
            return;
        };
        let span = statement.span;
        match directive.word.text.as_str() {
            // Read before.
            "step" | "episode" => {}
            "start" => task.starts.extend(self.task_start(directive, span)),
            "sense" => self.sense(directive, span, task),
            "act" => self.act(directive, span, &mut task.acts),
            "relax" => task.relaxed.extend(self.relax(directive, span)),
            "cost" => task.costs.extend(self.cost(directive, span)),
            "terminal" => task.terminal.extend(self.cost(directive, span)),
            "track" => {
                if let Some(cost) = self.track(directive, span) {
                    task.terminal.push(cost.clone());
                    task.costs.push(cost);
                }
            }
            "move" => task.moves.extend(self.move_cost(directive, span)),
            "keep" => task.keeps.extend(self.keep(directive, span)),
            "reward" => {
                if task.reward.is_none() {
                    task.reward = self.reward(directive, span);
                }
            }
            "fail" => task.fails.extend(self.ending(directive, span)),
            "done" => task.dones.extend(self.ending(directive, span)),
            "hold" => self.task_hold(directive, span, task),
            "at" | "every" | "when" => {
                if let Some(event) = self.event(directive, span) {
                    let event =
                        Additions::new(&mut self.model, &self.unsettled, self.sources, self.diagnostics).event(event);
                    task.events.push(event);
                }
            }
            _ => {
                let d = unknown_word(Context::Task, &directive.word);
                self.report(d);
            }
        }
    }

    /// `start G ~ Uniform(90, 180)`, `start F = 0`
    fn task_start(&mut self, directive: &Directive, span: Span) -> Option<TaskStart> {
        let dist = directive.clauses.iter().find_map(|c| match &c.kind {
            ast::ClauseKind::Dist(dist) => Some(dist),
            _ => None,
        });
        let Some(dist) = dist else {
            let start = self.start(directive, span)?;
            let (symbol, indices) = (start.symbol, start.indices);
            return Some(TaskStart { symbol, indices, from: StartFrom::Value(start.value), span });
        };
        let [subject] = directive.subjects.as_slice() else {
            let d = Diagnostic::new(Code("E0101"), span, "`start` needs one quantity").at("this statement");
            self.report(d.help("write `start G ~ Uniform(90, 180)`"));
            return None;
        };
        if directive.clauses.iter().any(|c| matches!(c.kind, ast::ClauseKind::Init(_))) {
            let d = Diagnostic::new(Code("E0107"), span, "a start has a value or is drawn, not both");
            self.report(d.at("`=` and `~`").help("keep one of the two"));
            return None;
        }
        let (symbol, indices) = self.quantity(subject)?;
        let is_state = |kind| {
            matches!(kind, SymbolKind::State | SymbolKind::Species { is_fixed: false, .. } | SymbolKind::Discrete)
        };
        if self.model.symbol(symbol).kind == SymbolKind::Param {
            let name = self.model.symbol(symbol).name.clone();
            let d = Diagnostic::new(Code("E0205"), span, format!("`{name}` is a `param`, and a start draws states"));
            self.report(d.at("drawn here").help(format!("write `randomize {name} ~ ..` in a study")));
            return None;
        }
        self.is_kind(symbol, subject.span, "drawn as a start", is_state).then_some(())?;
        let dist = self.distribution(dist, false)?;
        let dist = Additions::new(&mut self.model, &self.unsettled, self.sources, self.diagnostics).dist(symbol, dist);
        Some(TaskStart { symbol, indices, from: StartFrom::Drawn(dist), span })
    }

    /// E0202 where a quantity starts twice.
    fn starts_once(&mut self, starts: &[TaskStart]) {
        let mut first: HashMap<(SymbolId, Vec<Option<u64>>), Span> = HashMap::new();
        for start in starts {
            let value = |e: &super::ExprId| super::constants::constant(&self.model, *e).map(f64::to_bits);
            let indices = start.indices.iter().map(value).collect();
            if let Some(first) = first.insert((start.symbol, indices), start.span) {
                let name = self.model.symbol(start.symbol).name.clone();
                let d = Diagnostic::new(Code("E0202"), start.span, format!("`{name}` has two start values"));
                self.report(d.at("again here").label(first, "first here"));
            }
        }
    }

    /// `sense cgm, cgm - previous(cgm)`, `sense G in 0 .. 1000`
    fn sense(&mut self, directive: &Directive, span: Span, task: &mut Task) {
        let allowed = Allowed { range: true, ..Allowed::default() };
        let clauses = Clauses::sort(&directive.clauses, "`sense`", allowed, self.diagnostics);
        if directive.subjects.is_empty() {
            let d = Diagnostic::new(Code("E0101"), span, "`sense` does not say what is seen");
            self.report(d.at("what is seen?").help("write for example `sense cgm, G`"));
        }
        for subject in &directive.subjects {
            if let Some(scope) = &mut self.task {
                scope.is_sensing = true;
            }
            let value = self.task_value(subject);
            if let Some(scope) = &mut self.task {
                scope.is_sensing = false;
            }
            let (low, high) = clauses.range.unwrap_or_default();
            let what = format!("the range of `{}`", value.text);
            let mut end = |e: Option<&ast::Expr>| {
                let e = self.expr(e?);
                let mut units = Additions::new(&mut self.model, &self.unsettled, self.sources, self.diagnostics);
                Some(units.in_unit(value.unit.as_ref(), e, &what))
            };
            let (low, high) = (end(low), end(high));
            task.senses.push(Sense { value, low, high });
        }
    }

    /// An expression with its unit.
    pub(super) fn task_value(&mut self, ast: &ast::Expr) -> Valued {
        let expr = self.expr(ast);
        let (expr, unit) =
            Additions::new(&mut self.model, &self.unsettled, self.sources, self.diagnostics).valued(expr);
        Valued { expr, unit, text: self.sources.slice(ast.span).to_string(), span: ast.span }
    }

    /// `act F, Q_dot`, `act F in 10 .. 50`
    fn act(&mut self, directive: &Directive, span: Span, acts: &mut Vec<Ranged>) {
        let allowed = Allowed { range: true, family: true, ..Allowed::default() };
        let clauses = Clauses::sort(&directive.clauses, "`act`", allowed, self.diagnostics);
        if directive.subjects.is_empty() {
            let d = Diagnostic::new(Code("E0101"), span, "`act` does not say what is decided");
            self.report(d.at("which input?").help("name inputs, or leave `act` out to decide all of them"));
        }
        for subject in &directive.subjects {
            if let Some(ranged) = self.input_of(subject, directive, "decided by a controller") {
                acts.push(self.with_range(ranged, &clauses, directive));
            }
        }
    }

    /// An input, or members of a family of inputs.
    pub(super) fn input_of(&mut self, subject: &ast::Expr, directive: &Directive, what: &str) -> Option<Ranged> {
        let ranges = families(&directive.clauses).iter().map(|f| self.range(f)).collect::<Vec<_>>();
        let n = self.bind(&ranges);
        let found = self.quantity(subject);
        self.unbind(n);
        let (symbol, indices) = found?;
        let symbol_found = self.model.symbol(symbol);
        if symbol_found.kind == SymbolKind::Param {
            let (name, declared) = (symbol_found.name.clone(), symbol_found.span);
            let d = Diagnostic::new(Code("E0205"), subject.span, format!("`{name}` is a `param` and cannot be {what}"));
            self.report(
                d.at("named here").label(declared, "declared here").help(format!("declare it with `input {name}`")),
            );
            return None;
        }
        self.is_kind(symbol, subject.span, what, |kind| kind == SymbolKind::Input).then_some(())?;
        Some(Ranged { symbol, indices, ranges, low: None, high: None, span: subject.span })
    }

    /// Adds the range of a clause `in`.
    fn with_range(&mut self, mut ranged: Ranged, clauses: &Clauses<'_>, _: &Directive) -> Ranged {
        let Some((low, high)) = clauses.range else { return ranged };
        let n = self.bind(&ranged.ranges.clone());
        let mut end = |e: Option<&ast::Expr>| {
            let expr = self.expr(e?);
            let mut units = Additions::new(&mut self.model, &self.unsettled, self.sources, self.diagnostics);
            Some(units.in_unit_of(ranged.symbol, expr))
        };
        let (low, high) = (end(low), end(high));
        self.unbind(n);
        (ranged.low, ranged.high) = (low, high);
        ranged
    }

    /// `relax u in 0 .. 80`
    pub(super) fn relax(&mut self, directive: &Directive, span: Span) -> Option<Relaxed> {
        let allowed = Allowed { range: true, ..Allowed::default() };
        let clauses = Clauses::sort(&directive.clauses, "`relax`", allowed, self.diagnostics);
        let ([subject], Some((Some(low), Some(high)))) = (directive.subjects.as_slice(), clauses.range) else {
            let d = Diagnostic::new(Code("E0101"), span, "`relax` needs one input and both ends of its range");
            self.report(d.at("this statement").help("write `relax u in 0 .. 80`"));
            return None;
        };
        let (symbol, indices) = self.quantity(subject)?;
        self.is_kind(symbol, subject.span, "relaxed", |kind| kind == SymbolKind::Input).then_some(())?;
        let name = self.member(symbol, &indices)?;
        let at = high.span;
        let (low, high) = (self.constant_in(symbol, low)?, self.constant_in(symbol, high)?);
        if low > high {
            let d = Diagnostic::new(Code("E0613"), at, format!("`{name}` cannot be from {low} to {high}"));
            self.report(d.at("below the lower end"));
            return None;
        }
        Some(Relaxed { name, low, high, span: subject.span })
    }

    fn reward(&mut self, directive: &Directive, span: Span) -> Option<Valued> {
        Clauses::sort(&directive.clauses, "`reward`", Allowed::default(), self.diagnostics);
        let [subject] = directive.subjects.as_slice() else {
            let d = Diagnostic::new(Code("E0101"), span, "`reward` needs one expression");
            self.report(d.at("this statement").help("write for example `reward -(x - 1)^2`"));
            return None;
        };
        let expr = self.expr(subject);
        let mut units = Additions::new(&mut self.model, &self.unsettled, self.sources, self.diagnostics);
        let (expr, unit) = units.with_unit(expr);
        Some(Valued { expr, unit, text: self.sources.slice(subject.span).to_string(), span: subject.span })
    }

    /// `fail when T > 150 [degC] penalty 1e5`, `done when x > 1`
    fn ending(&mut self, directive: &Directive, span: Span) -> Option<Ending> {
        let word = directive.word.text.clone();
        let words: &[ClauseWord] =
            if word == "fail" { &[ClauseWord::When, ClauseWord::Penalty] } else { &[ClauseWord::When] };
        let what = format!("`{word}`");
        let mut found = Clauses::default();
        for clause in &directive.clauses {
            match &clause.kind {
                ast::ClauseKind::Word(w, args) if words.contains(w) => found.words.push((*w, args, clause.span)),
                ast::ClauseKind::Doc(_) => {}
                _ => {
                    let d = Diagnostic::new(Code("E0107"), clause.span, format!("this has no meaning for {what}"));
                    self.report(d.at("remove this"));
                }
            }
        }
        let (Some(when), []) = (found.word_arg(ClauseWord::When), directive.subjects.as_slice()) else {
            let d = Diagnostic::new(Code("E0101"), span, format!("`{word}` needs its condition"));
            self.report(d.at("when?").help(format!("write `{word} when x > 1`")));
            return None;
        };
        let condition = self.condition_or_safe(when, &format!("`{word} when`"));
        let penalty = match found.word_arg(ClauseWord::Penalty) {
            Some(e) => self.pure_constant(e, "a penalty")?,
            None => 0.0,
        };
        Some(Ending { condition, penalty, text: self.sources.slice(when.span).to_string(), span: when.span })
    }

    /// A constant pure number.
    pub(super) fn pure_constant(&mut self, ast: &ast::Expr, what: &str) -> Option<f64> {
        let expr = self.expr(ast);
        let expr = Additions::new(&mut self.model, &self.unsettled, self.sources, self.diagnostics).pure(expr, what);
        self.known_constant(expr, ast.span)
    }

    /// `hold D`: disturbances are held anyway, and of a definition the value at the start of the step is.
    fn task_hold(&mut self, directive: &Directive, span: Span, task: &mut Task) {
        Clauses::sort(&directive.clauses, "`hold`", Allowed::default(), self.diagnostics);
        if directive.subjects.is_empty() {
            let d = Diagnostic::new(Code("E0101"), span, "`hold` does not say what is held");
            self.report(d.at("hold what?").help("name a disturbance or a definition"));
        }
        for subject in &directive.subjects {
            let Some(hold) = self.hold(subject) else { continue };
            let symbol = self.model.symbol(hold.symbol);
            if symbol.kind != SymbolKind::Let {
                continue;
            }
            if !symbol.ranges.is_empty() {
                let d = Diagnostic::new(Code("E0901"), hold.span, "holding a family of `let`s is not supported");
                self.report(d.at("a family").help("hold a `let` of its own for the member"));
                continue;
            }
            let Some(value) = symbol.value else { continue };
            if let Some(first) = task.holds.iter().find(|h| h.symbol == hold.symbol) {
                let d = Diagnostic::new(Code("E0202"), hold.span, format!("`{}` is held twice", hold.name));
                let first = first.span;
                self.report(d.at("again here").label(first, "first here"));
                continue;
            }
            task.holds.push(HeldLet { symbol: hold.symbol, value, span: hold.span });
        }
    }
}
