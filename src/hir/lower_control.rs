//! A study of a task to [`Control`]: which model is acted on, which is believed, what is drawn, what plans and estimates.

use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::source::Span;
use crate::syntax::ast::{self, ClauseWord, Directive, StatementKind};

use super::clauses::{Allowed, Clauses};
use super::imports::Item;
use super::lower::Lower;
use super::lower_expr::text;
use super::model::{DistKind, Model, Symbol, SymbolId, SymbolKind};
use super::models::Models;
use super::settings::{SettingSpec, Settings};
use super::study::Prior;
use super::task::{Algorithm, Control, LEARNERS, Randomize};
use super::unknown::{did_you_mean, nearest};

/// Words of a study that need it to be of a task.
pub(super) const CONTROL_WORDS: &[&str] =
    &["plant", "belief", "randomize", "algorithm", "filter", "hide", "budget", "loop", "evaluate", "stop", "scenario"];

impl Models<'_> {
    /// The task at `statement` of `task_file` for the models that the `statements` of a study name, and the model that it is of.
    pub(super) fn control(
        &mut self,
        file: usize,
        (task_file, statement): (usize, usize),
        statements: &[&ast::Statement],
        diagnostics: &mut Diagnostics,
    ) -> Option<(Model, Control)> {
        let files = self.files;
        let statement = &files.list[task_file].ast.statements[statement];
        let StatementKind::Directive(directive) = &statement.kind else { return None };
        let mut found = Diagnostics::default();
        let place = Self::task_place(directive, statement.span, &mut found)?;
        let own = self.get(task_file, &place.model, &mut found)?.clone();
        let belief = self.named_model(file, "belief", statements, &own, diagnostics);
        let plant = self.named_model(file, "plant", statements, &own, diagnostics);
        let beside: Vec<&ast::Statement> = statements.iter().copied().filter(|s| is_of_task(s)).collect();
        let belief = self.task_on(task_file, &place, belief, (file, &beside), &mut found);
        let plant = self.task_on(task_file, &place, plant, (file, &beside), &mut found);
        // What is wrong with the task is said once, whatever it is carried out on.
        for d in found {
            if !diagnostics.iter().any(|known| *known == d) {
                diagnostics.push(d);
            }
        }
        let control = Control {
            belief: belief?,
            plant: plant?,
            randomize: Vec::new(),
            spread: None,
            algorithms: Vec::new(),
            learners: Vec::new(),
            filter: None,
            estimates: Vec::new(),
            scenarios: Vec::new(),
            hidden: Vec::new(),
            budget: Settings::default(),
            closed_loop: Settings::default(),
            evaluation: Settings::default(),
            stops: Vec::new(),
        };
        Some((own, control))
    }

    /// The model that `plant M2` or `belief M1` names, else `own`.
    fn named_model(
        &mut self,
        file: usize,
        word: &str,
        statements: &[&ast::Statement],
        own: &Model,
        diagnostics: &mut Diagnostics,
    ) -> Model {
        let mut chosen: Option<(Model, Span)> = None;
        for statement in statements {
            let StatementKind::Directive(directive) = &statement.kind else { continue };
            if directive.word.text != word {
                continue;
            }
            Clauses::sort(&directive.clauses, &format!("`{word}`"), Allowed::default(), diagnostics);
            let [ast::Expr { kind: ast::ExprKind::Path(path), span }] = directive.subjects.as_slice() else {
                let d = Diagnostic::new(Code("E0101"), statement.span, format!("`{word}` names one model"));
                diagnostics.push(d.at("this statement").help(format!("write `{word} Name`")));
                continue;
            };
            // What a command line names goes before what the file does.
            if let Some((_, first)) = chosen.as_ref().filter(|(_, first)| first.source == span.source) {
                let d = Diagnostic::new(Code("E0202"), *span, format!("`{word}` is given twice")).at("again here");
                diagnostics.push(d.label(*first, "first here").help("keep one of the two"));
                continue;
            }
            let name = text(path);
            match self.get(file, &name, diagnostics).cloned() {
                Some(model) => {
                    if let Some(d) = misfit(&model, own, *span) {
                        diagnostics.push(d);
                        continue;
                    }
                    chosen = Some((model, *span));
                }
                None if matches!(self.files.find(file, &name), Some((_, _, Item::Model(_)))) => {}
                None => {
                    let d = self.no_model(file, &name, *span);
                    diagnostics.push(d);
                }
            }
        }
        chosen.map_or_else(|| own.clone(), |(model, _)| model)
    }
}

/// Statements of a study that belong to the task: where it starts, what happens meanwhile.
fn is_of_task(statement: &ast::Statement) -> bool {
    match &statement.kind {
        StatementKind::Directive(d) => matches!(d.word.text.as_str(), "start" | "at" | "every" | "when"),
        StatementKind::Ode(_)
        | StatementKind::Assign(_)
        | StatementKind::Bind(_)
        | StatementKind::Reaction(_)
        | StatementKind::Setting(_)
        | StatementKind::Labelled(_) => false,
    }
}

/// E0614 where `model` does not have what a task of `own` acts on and sees.
fn misfit(model: &Model, own: &Model, span: Span) -> Option<Diagnostic> {
    let is_seen = |s: &&Symbol| {
        matches!(
            s.kind,
            SymbolKind::State
                | SymbolKind::Species { .. }
                | SymbolKind::Discrete
                | SymbolKind::Input
                | SymbolKind::Disturbance
                | SymbolKind::Observable
        )
    };
    let list = |m: &Model| -> Vec<(String, &'static str, Option<String>)> {
        let row = |s: &Symbol| (s.name.clone(), s.kind.phrase(), s.unit.as_ref().map(ToString::to_string));
        m.symbols.iter().filter(is_seen).map(row).collect()
    };
    let (theirs, ours) = (list(model), list(own));
    let missing = ours.iter().find(|row| !theirs.contains(row));
    let added = theirs.iter().find(|row| !ours.contains(row));
    let (name, what, unit) = missing.or(added)?;
    let unit = unit.as_ref().map_or(String::new(), |unit| format!(" in {unit}"));
    let (has, lacks) = match missing {
        Some(_) => (&own.name, &model.name),
        None => (&model.name, &own.name),
    };
    Some(
        Diagnostic::new(
            Code("E0614"),
            span,
            format!(
                "`{}` does not fit the task of `{}`: `{name}`, {what}{unit}, is in `{has}` alone",
                model.name, own.name
            ),
        )
        .at(format!("`{lacks}` has no such `{name}`"))
        .help(format!("make it a variant, as in `model {} = {}(..)`", model.name, own.name)),
    )
}

impl Lower<'_> {
    /// True for a start that a simulation does not have: one that is drawn, or that of an input.
    pub(super) fn is_start_of_task(&self, directive: &Directive) -> bool {
        let is_drawn = directive.clauses.iter().any(|c| matches!(c.kind, ast::ClauseKind::Dist(_)));
        let subject = directive.subjects.first().map(|subject| &subject.kind);
        let name = match subject {
            Some(ast::ExprKind::Path(path) | ast::ExprKind::Call { function: path, .. }) => text(path),
            Some(_) | None => return is_drawn,
        };
        let symbol = self.model.names.get(&name).map(|id| self.model.symbol(*id).kind);
        is_drawn || symbol == Some(SymbolKind::Input)
    }

    /// One of the words that only a study of a task has.
    pub(super) fn control_statement(&mut self, directive: &Directive, span: Span, control: &mut Control) {
        match directive.word.text.as_str() {
            "randomize" if directive.subjects.is_empty() => self.spread(directive, span, &mut control.spread),
            "randomize" => self.randomize(directive, &mut control.randomize),
            "algorithm" => {
                let Some(algorithm) = self.algorithm(directive, span) else { return };
                let list = if algorithm.is_learner() { &mut control.learners } else { &mut control.algorithms };
                self.add_algorithm(algorithm, list);
            }
            "filter" => {
                self.no_clauses(directive);
                let settings = self.method_settings(directive);
                if settings.method.is_none() {
                    let d = Diagnostic::new(Code("E0101"), span, "`filter` does not say which").at("which filter?");
                    self.report(d.help("write for example `filter ukf { .. }`"));
                }
                if let Some(before) = &control.filter {
                    self.one_method(&before.clone(), &settings);
                }
                control.filter.get_or_insert_with(Settings::default).extend(settings);
            }
            "hide" => self.hide(directive, span, &mut control.hidden),
            "scenario" => self.scenario(directive, span, &mut control.scenarios),
            word @ ("budget" | "loop" | "evaluate") => {
                self.no_clauses(directive);
                let settings = self.method_settings(directive);
                match word {
                    "budget" => control.budget.extend(settings),
                    "loop" => control.closed_loop.extend(settings),
                    _ => control.evaluation.extend(settings),
                }
            }
            "stop" => control.stops.extend(self.stop(directive, span)),
            // `plant` and `belief` are read before everything else.
            _ => {}
        }
    }

    /// Adds to the algorithms of a study, or to the parts of one.
    fn add_algorithm(&mut self, algorithm: Algorithm, list: &mut Vec<Algorithm>) {
        match list.iter_mut().find(|known| known.name() == algorithm.name()) {
            // What a command line says of an algorithm stands beside what the file does.
            Some(first) if first.span.source != algorithm.span.source => first.extend(algorithm),
            Some(first) => {
                let (name, span, first) = (algorithm.name(), algorithm.span, first.span);
                let d = Diagnostic::new(Code("E0202"), span, format!("`{name}` is given twice")).at("again here");
                self.report(d.label(first, "first here").help("write its settings in one block"));
            }
            None => list.push(algorithm),
        }
    }

    /// `algorithm sqp { horizon = 20; relax u in 0 .. 80 }`; of a learner also blocks for its parts.
    fn algorithm(&mut self, directive: &Directive, span: Span) -> Option<Algorithm> {
        self.no_clauses(directive);
        let is_learner = matches!(directive.subjects.first().map(|subject| &subject.kind),
            Some(ast::ExprKind::Path(path)) if LEARNERS.contains(&text(path).as_str()));
        let algorithm = self.settings_and_parts(directive, span, is_learner);
        if algorithm.settings.method.is_none() {
            let d = Diagnostic::new(Code("E0101"), span, "`algorithm` does not say which").at("which algorithm?");
            self.report(d.help("write for example `algorithm sqp { horizon = 20 }`"));
            return None;
        }
        Some(algorithm)
    }

    /// A block of settings with `relax` and, where it `has_parts`, further blocks.
    fn settings_and_parts(&mut self, directive: &Directive, span: Span, has_parts: bool) -> Algorithm {
        let mut relaxed = Vec::new();
        let mut parts = Vec::new();
        let mut plain = directive.clone();
        if let Some(block) = &mut plain.block {
            block.statements.clear();
            for statement in directive.block.iter().flat_map(|block| &block.statements) {
                match &statement.kind {
                    StatementKind::Directive(inner) if inner.word.text == "relax" => {
                        relaxed.extend(self.relax(inner, statement.span));
                    }
                    StatementKind::Directive(inner) if has_parts => {
                        self.no_clauses(inner);
                        let mut part = self.settings_and_parts(inner, statement.span, false);
                        if let Some((_, extra)) = &part.settings.method {
                            let title = format!("`{}` is the name of a part and takes no other", inner.word.text);
                            let d = Diagnostic::new(Code("E0107"), *extra, title).at("remove this");
                            self.report(d);
                        }
                        part.settings.method = Some((inner.word.text.clone(), inner.word.span));
                        self.add_algorithm(part, &mut parts);
                    }
                    StatementKind::Directive(inner) => {
                        let d = Diagnostic::new(
                            Code("E0901"),
                            inner.word.span,
                            "settings inside of settings are not supported by this version",
                        );
                        self.report(d.at("nothing of this statement is used").help("name one algorithm that plans"));
                    }
                    _ => block.statements.push(statement.clone()),
                }
            }
        }
        Algorithm { settings: self.method_settings(&plain), relaxed, parts, span }
    }

    /// `randomize within 0.1`
    fn spread(&mut self, directive: &Directive, span: Span, spread: &mut Option<(f64, Span)>) {
        let allowed = Allowed { words: &[ClauseWord::Within], ..Allowed::default() };
        let clauses = Clauses::sort(&directive.clauses, "`randomize` of everything", allowed, self.diagnostics);
        let Some(within) = clauses.word_arg(ClauseWord::Within) else {
            let d = Diagnostic::new(Code("E0101"), span, "`randomize` does not say what").at("what is drawn?");
            self.report(d.help("write `randomize k ~ Uniform(0.9, 1.1)`, or `randomize within 0.1` for everything"));
            return;
        };
        if let Some((_, first)) = spread.filter(|(_, first)| first.source == span.source) {
            let d = Diagnostic::new(Code("E0202"), span, "everything is randomized twice").at("again here");
            self.report(d.label(first, "first here").help("keep one of the two"));
        }
        let Some(share) = self.pure_constant(within, "a share") else { return };
        if share > 0.0 && share < 1.0 {
            *spread = Some((share, span));
            return;
        }
        let d =
            Diagnostic::new(Code("E0608"), within.span, format!("values cannot be drawn within {share} of themselves"));
        self.report(d.at("not between 0 and 1").help("write for example `randomize within 0.1`"));
    }

    /// `randomize n, p2`, `randomize cgm.sd ~ Uniform(3, 8)`, `randomize n in 0.1 .. 0.3`
    fn randomize(&mut self, directive: &Directive, list: &mut Vec<Randomize>) {
        let allowed = Allowed { range: true, dist: true, ..Allowed::default() };
        let clauses = Clauses::sort(&directive.clauses, "`randomize`", allowed, self.diagnostics);
        for subject in &directive.subjects {
            let Some((symbol, indices)) = self.quantity(subject) else { continue };
            let is_drawn = self.is_kind(symbol, subject.span, "drawn for an episode", |kind| kind == SymbolKind::Param);
            if !is_drawn {
                continue;
            }
            let found = self.model.symbol(symbol).clone();
            let name = match indices.as_slice() {
                [] if found.ranges.is_empty() => Some(found.name.clone()),
                _ => self.member(symbol, &indices),
            };
            let Some(name) = name else { continue };
            if let Some(first) = list.iter().find(|r| r.name == name) {
                let first = first.span;
                let d = Diagnostic::new(Code("E0202"), subject.span, format!("`{name}` is randomized twice"));
                self.report(d.at("again here").label(first, "first here").help("keep one of the two"));
                continue;
            }
            let prior = self.drawn_from(symbol, &name, subject.span, &clauses, "randomize");
            list.extend(prior.map(|prior| Randomize { name, prior, span: subject.span }));
        }
    }

    /// What a parameter is drawn from: what the clauses of `word` say, evenly within a range, or its own `~`.
    pub(super) fn drawn_from(
        &mut self,
        symbol: SymbolId,
        name: &str,
        at: Span,
        clauses: &Clauses<'_>,
        word: &str,
    ) -> Option<Prior> {
        let found = self.model.symbol(symbol).clone();
        match (clauses.dist, clauses.range, &found.dist) {
            (Some(dist), ..) => self.prior(symbol, dist),
            (None, Some((Some(low), Some(high))), _) => {
                let ends = [self.constant_in(symbol, low), self.constant_in(symbol, high)];
                let at = high.span;
                match ends {
                    [Some(low), Some(high)] if low >= high => {
                        let title = format!("`{name}` cannot be drawn from {low} to {high}");
                        self.report(Diagnostic::new(Code("E0613"), at, title).at("not above the lower end"));
                        None
                    }
                    [Some(_), Some(_)] => Some(Prior { kind: DistKind::Uniform, args: ends }),
                    _ => None,
                }
            }
            (None, None, Some(dist)) => {
                let mut args = [None, None];
                for (slot, arg) in args.iter_mut().zip(dist.args) {
                    *slot = arg.and_then(|e| self.known_constant(e, dist.span));
                }
                Some(Prior { kind: dist.kind, args })
            }
            (None, Some(_), _) | (None, None, None) => {
                let d = Diagnostic::new(Code("E0409"), at, format!("nothing says what `{name}` is drawn from"));
                self.report(
                    d.at("drawn from what?")
                        .label(found.span, "declared here")
                        .help(format!("write `{word} {name} ~ Uniform(low, high)`, or give the parameter its `~`")),
                );
                None
            }
        }
    }

    /// `hide D`
    fn hide(&mut self, directive: &Directive, span: Span, list: &mut Vec<(String, Span)>) {
        Clauses::sort(&directive.clauses, "`hide`", Allowed::default(), self.diagnostics);
        if directive.subjects.is_empty() {
            let d = Diagnostic::new(Code("E0101"), span, "`hide` does not say what").at("which disturbance?");
            self.report(d.help("name a disturbance that the controller does not know"));
        }
        for subject in &directive.subjects {
            let Some((symbol, indices)) = self.quantity(subject) else { continue };
            let is_hidable = |kind| matches!(kind, SymbolKind::Disturbance | SymbolKind::Let);
            if self.is_kind(symbol, subject.span, "hidden from a controller", is_hidable)
                && let Some(name) = self.member(symbol, &indices)
            {
                list.push((name, subject.span));
            }
        }
    }
}

impl Control {
    /// Checks the names and settings of algorithms, filter and budget against the tables that `planners` and `filters`
    /// export: E0602, E0603.
    pub fn check(
        &self,
        planners: &[(&'static str, &'static [SettingSpec])],
        filters: &[(&'static str, &'static [SettingSpec])],
        budget: &[SettingSpec],
        diagnostics: &mut Diagnostics,
    ) {
        let settings = self.algorithms.iter().map(|a| ("algorithm", &a.settings, planners));
        let filter = self.filter.iter().map(|f| ("filter", f, filters));
        for (what, settings, tables) in settings.chain(filter) {
            let Some((name, span)) = &settings.method else { continue };
            match tables.iter().find(|(known, _)| known == name) {
                Some((known, table)) => {
                    settings.check(known, table, diagnostics);
                    settings.check_times(table, &self.belief.model, diagnostics);
                }
                None => {
                    let d = Diagnostic::new(Code("E0602"), *span, format!("there is no {what} `{name}`"));
                    let d = d.at("not known");
                    let near = nearest(name, tables.iter().map(|(known, _)| *known));
                    let list = tables.iter().map(|(known, _)| *known).collect::<Vec<_>>().join(", ");
                    diagnostics.push(match did_you_mean(&d, &near, &[*span]) {
                        Some(d) => d,
                        None => d.help(format!("there are {list}")),
                    });
                }
            }
        }
        if let (Some(first), None) = (self.estimates.first(), &self.filter)
            && self.learners.is_empty()
            && self.algorithms.iter().all(|a| planners.iter().any(|(known, _)| *known == a.name()))
        {
            let title = format!("nothing estimates `{}`: this study has no `filter`", first.name);
            let d = Diagnostic::new(Code("E0409"), first.span, title).at("estimated by what?");
            diagnostics.push(d.help("write for example `filter ekf` beside it"));
        }
        self.budget.check("budget", budget, diagnostics);
        self.budget.check_times(budget, &self.belief.model, diagnostics);
    }

    /// Checks the settings of `loop` and `evaluate` against their tables: E0602, E0603, E0301.
    pub fn check_blocks(&self, closed_loop: &[SettingSpec], evaluation: &[SettingSpec], diagnostics: &mut Diagnostics) {
        for (what, settings, table) in
            [("loop", &self.closed_loop, closed_loop), ("evaluate", &self.evaluation, evaluation)]
        {
            settings.check(what, table, diagnostics);
            settings.check_times(table, &self.belief.model, diagnostics);
        }
    }
}
