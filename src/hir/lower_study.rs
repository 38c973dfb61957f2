//! Statements of a study to [`Study`]: names and units of the model it runs, data bindings, estimates, settings.

use std::collections::HashMap;

use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::source::Span;
use crate::syntax::ast::{self, ClauseWord, Directive, Flag, StatementKind, Value};
use crate::syntax::words::Context;

use super::check_units::Additions;
use super::clauses::{Allowed, Clauses};
use super::constants::constant;
use super::expr::{ExprId, ExprKind};
use super::imports::unknown_word;
use super::lower::{Lower, subject_name};
use super::lower_expr::text;
use super::model::{EventDef, SymbolId, SymbolKind};
use super::models::Models;
use super::settings::{Setting, SettingValue, Settings, given_twice};
use super::study::{Estimate, Experiment, Prior, Simulate, Start, Study, Sweep};
use super::unknown;

impl Models<'_> {
    /// Lowers one study; `None` where its model has errors or is not there.
    ///
    /// `additions` are further statements of studies, by the study's name: what a command line sets.
    pub(super) fn study(
        &mut self,
        file: usize,
        directive: &Directive,
        span: Span,
        additions: Option<&ast::File>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Study> {
        let Some(name) = subject_name(directive) else {
            diagnostics.push(
                Diagnostic::new(Code("E0101"), span, "`study` has no name")
                    .at("expected a name")
                    .help("write `study Name of Model { .. }`"),
            );
            return None;
        };
        let allowed = Allowed { words: &[ClauseWord::Of], ..Allowed::default() };
        let clauses = Clauses::sort(&directive.clauses, "a study", allowed, diagnostics);
        let Some(of) = clauses.word_arg(ClauseWord::Of) else {
            diagnostics.push(
                Diagnostic::new(
                    Code("E0409"),
                    name.span,
                    format!("the study `{}` does not say of which model", name.text),
                )
                .at("declared here")
                .help(format!("write `study {} of Model {{ .. }}`", name.text)),
            );
            return None;
        };
        let ast::ExprKind::Path(path) = &of.kind else {
            diagnostics.push(Diagnostic::new(Code("E0205"), of.span, "`of` names a model").at("this is not a name"));
            return None;
        };
        let model_name = text(path);
        let Some(model) = self.get(file, &model_name, diagnostics).cloned() else {
            if !matches!(self.files.find(file, &model_name), Some((_, _, super::imports::Item::Model(_)))) {
                let d = self.no_model(file, &model_name, of.span);
                diagnostics.push(d);
            }
            return None;
        };
        let mut study = Study {
            name: name.text.clone(),
            doc: clauses.doc.map(|d| d.text.clone()).unwrap_or_default(),
            span: name.span,
            model: super::Model::default(),
            starts: Vec::new(),
            events: Vec::new(),
            experiments: Vec::new(),
            estimates: Vec::new(),
            fit: Settings::default(),
            simulate: None,
            sweeps: Vec::new(),
            report: Settings::default(),
        };
        let mut found = Diagnostics::default();
        let mut lower = Lower::new(self.files, self.sources, file, model, &mut found);
        let mut own = Experiment::default();
        if let Some(block) = &directive.block {
            for statement in &block.statements {
                lower.study_statement(statement, &mut study, &mut own);
            }
        }
        lower.each_start_once(&study.starts);
        // What a command line adds may replace a start value.
        for statement in additions.iter().flat_map(|f| &f.statements) {
            if let StatementKind::Directive(added) = &statement.kind
                && subject_name(added).is_some_and(|n| n.text == study.name)
            {
                for statement in added.block.iter().flat_map(|b| &b.statements) {
                    lower.study_statement(statement, &mut study, &mut own);
                }
            }
        }
        if !own.data.is_empty() {
            study.experiments.insert(0, own);
        }
        let (model, mut unsettled) = lower.finish();
        study.model = model;
        unknown::report(&mut study.model, &mut unsettled, self.sources, &mut found);
        study.model.is_faulty |= found.has_errors();
        diagnostics.extend(found);
        Some(study)
    }
}

impl Lower<'_> {
    fn study_statement(&mut self, statement: &ast::Statement, study: &mut Study, own: &mut Experiment) {
        let StatementKind::Directive(directive) = &statement.kind else {
            self.report(
                Diagnostic::new(Code("E0208"), statement.span, "this statement has no meaning inside a study")
                    .at("not known here")
                    .help("a study holds data, experiment, start, estimate, fit, simulate, sweep, report and events"),
            );
            return;
        };
        let span = statement.span;
        match directive.word.text.as_str() {
            "data" => own.data.extend(self.data_set(directive, span)),
            "experiment" => {
                if let Some(experiment) = self.experiment(directive, span) {
                    if let Some(first) =
                        study.experiments.iter().find(|e| e.name == experiment.name).and_then(|e| e.span)
                    {
                        let again = experiment.span.unwrap_or(span);
                        self.report(
                            Diagnostic::new(
                                Code("E0202"),
                                again,
                                format!("the experiment `{}` is declared twice", experiment.name),
                            )
                            .at("again here")
                            .label(first, "first here"),
                        );
                    }
                    study.experiments.push(experiment);
                }
            }
            "start" => study.starts.extend(self.start(directive, span)),
            "at" | "every" | "when" => study.events.extend(self.study_event(directive, span)),
            "estimate" => self.estimate(directive, span, &mut study.estimates),
            "fit" => {
                self.no_clauses(directive);
                let settings = self.method_settings(directive);
                self.one_method(&study.fit, &settings);
                study.fit.extend(settings);
            }
            "report" => {
                self.no_clauses(directive);
                let settings = self.method_settings(directive);
                self.one_method(&study.report, &settings);
                study.report.extend(settings);
            }
            "simulate" => {
                let mut simulate = study.simulate.take().unwrap_or_default();
                self.simulate(directive, span, &mut simulate);
                study.simulate = Some(simulate);
            }
            "sweep" => study.sweeps.extend(self.sweep(directive, span)),
            _ => {
                let d = unknown_word(Context::Study, &directive.word);
                self.report(d);
            }
        }
    }

    fn experiment(&mut self, directive: &Directive, span: Span) -> Option<Experiment> {
        let Some(name) = subject_name(directive) else {
            self.report(
                Diagnostic::new(Code("E0101"), span, "`experiment` has no name")
                    .at("expected a name")
                    .help("write `experiment name { .. }`"),
            );
            return None;
        };
        let mut experiment = Experiment { name: name.text.clone(), span: Some(name.span), ..Experiment::default() };
        for statement in directive.block.iter().flat_map(|b| &b.statements) {
            let StatementKind::Directive(inner) = &statement.kind else {
                self.report(
                    Diagnostic::new(
                        Code("E0208"),
                        statement.span,
                        "this statement has no meaning inside an experiment",
                    )
                    .at("not known here")
                    .help("an experiment holds data, start and events"),
                );
                continue;
            };
            match inner.word.text.as_str() {
                "data" => experiment.data.extend(self.data_set(inner, statement.span)),
                "start" => experiment.starts.extend(self.start(inner, statement.span)),
                "at" | "every" | "when" => experiment.events.extend(self.study_event(inner, statement.span)),
                _ => {
                    let d = unknown_word(Context::Experiment, &inner.word);
                    self.report(d);
                }
            }
        }
        self.each_start_once(&experiment.starts);
        Some(experiment)
    }

    fn each_start_once(&mut self, starts: &[Start]) {
        let mut first: HashMap<(SymbolId, Vec<Option<u64>>), Span> = HashMap::new();
        for start in starts {
            let indices = start.indices.iter().map(|e| constant(&self.model, *e).map(f64::to_bits)).collect();
            if let Some(first) = first.insert((start.symbol, indices), start.span) {
                let name = self.model.symbol(start.symbol).name.clone();
                self.report(
                    Diagnostic::new(Code("E0202"), start.span, format!("`{name}` has two start values"))
                        .at("again here")
                        .label(first, "first here"),
                );
            }
        }
    }

    fn study_event(&mut self, directive: &Directive, span: Span) -> Option<EventDef> {
        let event = self.event(directive, span)?;
        Some(Additions::new(&mut self.model, &self.unsettled, self.sources, self.diagnostics).event(event))
    }

    /// `start S = 20 [uM]`
    fn start(&mut self, directive: &Directive, span: Span) -> Option<Start> {
        let allowed = Allowed { init: true, dist: true, ..Allowed::default() };
        let clauses = Clauses::sort(&directive.clauses, "`start`", allowed, self.diagnostics);
        let [subject] = directive.subjects.as_slice() else {
            self.report(
                Diagnostic::new(Code("E0101"), span, "`start` needs one quantity")
                    .at("this statement")
                    .help("write `start S = 20 [uM]`"),
            );
            return None;
        };
        if clauses.dist.is_some() || matches!(&subject.kind, ast::ExprKind::Path(p) if text(p) == "steady") {
            self.report(
                Diagnostic::new(Code("E0901"), span, "a drawn or steady start is not supported by this version")
                    .at("nothing of this statement is used")
                    .help("write `start S = 20 [uM]`"),
            );
            return None;
        }
        let (symbol, indices) = self.quantity(subject)?;
        let Some(value) = clauses.init else {
            self.report(
                Diagnostic::new(Code("E0409"), span, "`start` has no value")
                    .at("starts where?")
                    .help("write `start S = 20 [uM]`"),
            );
            return None;
        };
        let kind = self.model.symbol(symbol).kind;
        if matches!(kind, SymbolKind::Const | SymbolKind::Let | SymbolKind::Observable) {
            let name = self.model.symbol(symbol).name.clone();
            let model = self.model.name.clone();
            let d = Diagnostic::new(
                Code("E0205"),
                subject.span,
                format!("`{name}` is {} and has no start value", kind.phrase()),
            )
            .at("started here");
            self.report(if kind == SymbolKind::Const {
                d.help(format!(
                    "a constant is folded into the equations: declare `model Other = {model}({name} = ..)` and let the \
                     study be of `Other`"
                ))
            } else {
                d.help("states, species, parameters and inputs have one")
            });
            return None;
        }
        let value = self.value(value);
        let value =
            Additions::new(&mut self.model, &self.unsettled, self.sources, self.diagnostics).in_unit_of(symbol, value);
        self.in_range(symbol, value);
        Some(Start { symbol, indices, value, span })
    }

    /// E0608 for a constant start value outside of the declared range.
    fn in_range(&mut self, symbol: SymbolId, value: ExprId) {
        if let Some(start) = constant(&self.model, value) {
            self.is_inside(symbol, "starts at", start, self.model.expr(value).span);
        }
    }

    /// E0608 where a value lies outside of the declared range: the symbol `does` it, as in `starts at`.
    fn is_inside(&mut self, symbol: SymbolId, does: &str, value: f64, span: Span) {
        let found = self.model.symbol(symbol);
        let of = |e: Option<ExprId>| e.and_then(|e| constant(&self.model, e));
        let (low, high) = (of(found.low), of(found.high));
        if low.is_some_and(|low| value < low) || high.is_some_and(|high| value > high) {
            let shown = |e: Option<f64>| e.map(|e| e.to_string()).unwrap_or_default();
            let title =
                format!("`{}` {does} {value}, outside of its range {} .. {}", found.name, shown(low), shown(high));
            let d = Diagnostic::new(Code("E0608"), span, title).at("given here");
            let d = d.label(found.span, "declared with its range").help("give a value inside, or widen the range");
            self.report(d);
        }
    }

    /// E0205 where the symbol is of a kind that `what` is not for.
    pub(super) fn is_kind(
        &mut self,
        symbol: SymbolId,
        span: Span,
        what: &str,
        is_good: impl Fn(SymbolKind) -> bool,
    ) -> bool {
        let found = self.model.symbol(symbol);
        if is_good(found.kind) {
            return true;
        }
        let d = Diagnostic::new(
            Code("E0205"),
            span,
            format!("`{}` is {} and cannot be {what}", found.name, found.kind.phrase()),
        );
        let d = d.at("named here").label(found.span, "declared here");
        self.report(d);
        false
    }

    /// A name with the indices of a family member.
    fn quantity(&mut self, subject: &ast::Expr) -> Option<(SymbolId, Vec<ExprId>)> {
        match &subject.kind {
            ast::ExprKind::Path(path) => {
                let symbol = self.symbol(path)?;
                self.check_indices(symbol, 0, path);
                Some((symbol, Vec::new()))
            }
            ast::ExprKind::Call { function, args } => {
                let symbol = self.symbol(function)?;
                let indices: Vec<ExprId> = args.iter().map(|a| self.value(&a.value)).collect();
                self.check_indices(symbol, indices.len(), function);
                Some((symbol, indices))
            }
            _ => {
                self.report(
                    Diagnostic::new(Code("E0205"), subject.span, "a quantity of the model is needed here")
                        .at("this is not a name"),
                );
                None
            }
        }
    }

    fn estimate(&mut self, directive: &Directive, span: Span, list: &mut Vec<Estimate>) {
        let allowed = Allowed { range: true, dist: true, flags: &[Flag::Log, Flag::Linear], ..Allowed::default() };
        let clauses = Clauses::sort(&directive.clauses, "`estimate`", allowed, self.diagnostics);
        if directive.subjects.is_empty() {
            self.report(
                Diagnostic::new(Code("E0101"), span, "`estimate` needs a quantity")
                    .at("estimate what?")
                    .help("write `estimate k in 0.1 .. 10`"),
            );
        }
        for subject in &directive.subjects {
            let ast::ExprKind::Path(path) = &subject.kind else {
                self.report(
                    Diagnostic::new(Code("E0205"), subject.span, "`estimate` takes names").at("this is not a name"),
                );
                continue;
            };
            let Some(symbol) = self.symbol(path) else { continue };
            let found = self.model.symbol(symbol);
            if !matches!(
                found.kind,
                SymbolKind::Param | SymbolKind::State | SymbolKind::Species { .. } | SymbolKind::Compartment
            ) {
                let (name, word, declared) = (found.name.clone(), found.kind.phrase(), found.span);
                self.report(
                    Diagnostic::new(Code("E0205"), subject.span, format!("`{name}` is {word} and cannot be estimated"))
                        .at("named here")
                        .label(declared, "declared here")
                        .help(format!("declare it with `param {name}`")),
                );
                continue;
            }
            if let Some(first) = list.iter().find(|e| e.symbol == symbol) {
                let (name, first) = (text(path), first.span);
                self.report(
                    Diagnostic::new(Code("E0202"), subject.span, format!("`{name}` is estimated twice"))
                        .at("again here")
                        .label(first, "first here"),
                );
                continue;
            }
            let (low, high) = match clauses.range {
                Some((low, high)) => {
                    (low.and_then(|e| self.constant_in(symbol, e)), high.and_then(|e| self.constant_in(symbol, e)))
                }
                None => (None, None),
            };
            let prior = clauses.dist.and_then(|d| self.prior(symbol, d));
            let is_log_scale = clauses.has(Flag::Log).then_some(true).or(clauses.has(Flag::Linear).then_some(false));
            list.push(Estimate { symbol, low, high, prior, is_log_scale, span: subject.span });
        }
    }

    /// A constant in the unit of a symbol.
    fn constant_in(&mut self, symbol: SymbolId, ast: &ast::Expr) -> Option<f64> {
        let expr = self.expr(ast);
        let expr =
            Additions::new(&mut self.model, &self.unsettled, self.sources, self.diagnostics).in_unit_of(symbol, expr);
        self.known_constant(expr, ast.span)
    }

    /// A constant in the unit of time.
    fn constant_time(&mut self, ast: &ast::Expr) -> Option<f64> {
        let expr = self.expr(ast);
        let expr = Additions::new(&mut self.model, &self.unsettled, self.sources, self.diagnostics).in_time(expr);
        self.known_constant(expr, ast.span)
    }

    fn known_constant(&mut self, expr: ExprId, span: Span) -> Option<f64> {
        let value = constant(&self.model, expr);
        if value.is_none() && !matches!(self.model.expr(expr).kind, ExprKind::Error) {
            self.report(
                Diagnostic::new(Code("E0407"), span, "this value must be a constant").at("depends on what may change"),
            );
        }
        value
    }

    fn prior(&mut self, symbol: SymbolId, ast: &ast::Expr) -> Option<Prior> {
        let dist = self.distribution(ast, false)?;
        let dist = Additions::new(&mut self.model, &self.unsettled, self.sources, self.diagnostics).dist(symbol, dist);
        let mut args = [None, None];
        for (slot, arg) in args.iter_mut().zip(dist.args) {
            if let Some(expr) = arg {
                *slot = Some(self.known_constant(expr, ast.span)?);
            }
        }
        Some(Prior { kind: dist.kind, args })
    }

    /// `fit trust_region { starts = 24 }`
    fn method_settings(&mut self, directive: &Directive) -> Settings {
        let mut settings = Settings::default();
        let word = &directive.word.text;
        if let Some(subject) = directive.subjects.first() {
            match &subject.kind {
                ast::ExprKind::Path(path) => settings.method = Some((text(path), subject.span)),
                _ => self.report(
                    Diagnostic::new(Code("E0205"), subject.span, format!("`{word}` takes the name of a method"))
                        .at("this is not a name"),
                ),
            }
        }
        for statement in directive.block.iter().flat_map(|b| &b.statements) {
            match &statement.kind {
                StatementKind::Setting(setting) => settings.list.extend(self.setting(setting)),
                _ => self.report(
                    Diagnostic::new(Code("E0208"), statement.span, format!("a `{word}` block holds settings"))
                        .at("expected `key = value`"),
                ),
            }
        }
        settings
    }

    /// E0202 for a block that names another method than a block before it of the same text.
    fn one_method(&mut self, before: &Settings, later: &Settings) {
        if let (Some((_, first)), Some((_, again))) = (&before.method, &later.method)
            && first.source == again.source
        {
            let d = Diagnostic::new(Code("E0202"), *again, "the method is given twice").at("again here");
            self.report(d.label(*first, "first here").help("keep one of the two"));
        }
    }

    /// Notes where a time of `simulate` is given; E0202 where the same text has given it before.
    fn give(&mut self, simulate: &mut Simulate, key: &'static str, span: Span) {
        if let Some((_, first)) = simulate.given.iter().find(|(k, s)| *k == key && s.source == span.source) {
            self.report(given_twice(key, span, *first));
        }
        simulate.given.push((key, span));
    }

    fn setting(&mut self, setting: &ast::Setting) -> Option<Setting> {
        let value_span = setting.value.span();
        Clauses::sort(&setting.clauses, "a setting", Allowed::default(), self.diagnostics);
        let value = self.setting_value(&setting.value)?;
        Some(Setting { key: setting.name.text.clone(), key_span: setting.name.span, value, value_span })
    }

    fn setting_value(&mut self, value: &Value) -> Option<SettingValue> {
        let expr = match value {
            Value::List(list, _) => {
                let list: Option<Vec<SettingValue>> = list.iter().map(|v| self.setting_value(v)).collect();
                return list.map(SettingValue::List);
            }
            Value::Expr(expr) => expr,
        };
        match &expr.kind {
            ast::ExprKind::Quantity { value, unit } => {
                Some(SettingValue::Number(*value, unit.as_ref().and_then(|u| self.unit(u))))
            }
            ast::ExprKind::Text(text) => Some(SettingValue::Text(text.clone())),
            ast::ExprKind::Path(path)
                if path.segments.len() == 1 && !self.model.names.contains_key(&path.segments[0].text) =>
            {
                Some(SettingValue::Word(text(path)))
            }
            _ => {
                let id = self.expr(expr);
                let number = constant(&self.model, id).map(|v| SettingValue::Number(v, None));
                if number.is_none() {
                    self.report(
                        Diagnostic::new(Code("E0602"), expr.span, "a setting is a number, a word, text or a list")
                            .at("not a constant"),
                    );
                }
                number
            }
        }
    }

    /// Blocks of settings take no clauses and at most one name.
    fn no_clauses(&mut self, directive: &Directive) {
        let what = format!("`{}`", directive.word.text);
        Clauses::sort(&directive.clauses, &what, Allowed::default(), self.diagnostics);
        for subject in directive.subjects.iter().skip(1) {
            self.report(
                Diagnostic::new(Code("E0107"), subject.span, format!("{what} takes one name")).at("remove this"),
            );
        }
    }

    fn simulate(&mut self, directive: &Directive, span: Span, simulate: &mut Simulate) {
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
                            if let Some((symbol, _)) = self.quantity(subject)
                                && self.is_kind(symbol, subject.span, "held over a step", |kind| {
                                    matches!(kind, SymbolKind::Disturbance | SymbolKind::Let | SymbolKind::Input)
                                })
                            {
                                simulate.hold.push((symbol, subject.span));
                            }
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

    fn sweep(&mut self, directive: &Directive, span: Span) -> Option<Sweep> {
        let allowed = Allowed { range: true, choices: true, flags: &[Flag::Log, Flag::Linear], ..Allowed::default() };
        let clauses = Clauses::sort(&directive.clauses, "`sweep`", allowed, self.diagnostics);
        let [subject] = directive.subjects.as_slice() else {
            self.report(
                Diagnostic::new(Code("E0101"), span, "`sweep` needs one quantity")
                    .at("sweep what?")
                    .help("write `sweep k in 0.1 .. 10 { points = 21 }`"),
            );
            return None;
        };
        let (symbol, indices) = self.quantity(subject)?;
        let is_swept = |kind| !matches!(kind, SymbolKind::Const | SymbolKind::Let | SymbolKind::Observable);
        self.is_kind(symbol, subject.span, "swept", is_swept).then_some(())?;
        if !indices.is_empty() {
            self.report(
                Diagnostic::new(
                    Code("E0901"),
                    subject.span,
                    "a sweep of one member of a family is not supported by this version",
                )
                .at("a member")
                .help("let the member start from a parameter, and sweep that"),
            );
            return None;
        }
        let settings = self.method_settings(&Directive { subjects: Vec::new(), ..directive.clone() });
        const TABLE: &[super::settings::SettingSpec] = &[super::settings::SettingSpec {
            name: "points",
            kind: super::settings::SettingKind::Integer(1, 1_000_000),
            unit: "",
            default: "11",
            doc: "how many values, ends included",
        }];
        settings.check("sweep", TABLE, self.diagnostics);
        if let Some(choices) = clauses.choices {
            let points = settings.get("points").map(|setting| ("points", setting.key_span));
            let flag = clauses.flags.first().map(|(_, span)| ("a scale", *span));
            for (what, at) in points.into_iter().chain(flag) {
                self.report(
                    Diagnostic::new(Code("E0107"), at, format!("{what} has no meaning beside a list of values"))
                        .at("remove this"),
                );
            }
            let mut values = Vec::with_capacity(choices.len());
            for choice in choices {
                match choice {
                    Value::Expr(e) => {
                        let value = self.constant_in(symbol, e)?;
                        self.is_inside(symbol, "is swept at", value, e.span);
                        values.push(value);
                    }
                    Value::List(_, at) => {
                        self.report(
                            Diagnostic::new(Code("E0205"), *at, "a sweep takes a list of numbers")
                                .at("a list in a list"),
                        );
                        return None;
                    }
                }
            }
            return Some(Sweep { symbol, values, span });
        }
        let Some((Some(low), Some(high))) = clauses.range else {
            self.report(
                Diagnostic::new(Code("E0409"), span, "`sweep` needs both ends of its range")
                    .at("from where to where?")
                    .help("write `in low .. high`, or `in [a, b, c]`"),
            );
            return None;
        };
        let (first, last) = (low, high);
        let (low, high) = (self.constant_in(symbol, low)?, self.constant_in(symbol, high)?);
        self.is_inside(symbol, "is swept from", low, first.span);
        self.is_inside(symbol, "is swept to", high, last.span);
        let n = settings.number("points").unwrap_or(11.0) as usize;
        let is_log = clauses.has(Flag::Log);
        if is_log && !(low > 0.0 && high > 0.0) {
            self.report(
                Diagnostic::new(Code("E0608"), span, "a logarithmic sweep needs positive ends")
                    .at(format!("{low} .. {high}")),
            );
            return None;
        }
        let at = |k: usize| {
            let s = if n == 1 { 0.0 } else { k as f64 / (n - 1) as f64 };
            match k {
                // The ends are exact whatever the rounding between them.
                _ if k == 0 => low,
                _ if k + 1 == n => high,
                _ if is_log => (low.ln() + s * (high.ln() - low.ln())).exp(),
                _ => low + s * (high - low),
            }
        };
        Some(Sweep { symbol, values: (0..n).map(at).collect(), span })
    }
}
