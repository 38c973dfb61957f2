//! Statements of a study to [`Study`]: names and units of the model it runs, data bindings, estimates, settings.

use std::collections::HashMap;

use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::source::Span;
use crate::syntax::ast::{self, ClauseWord, Directive, StatementKind};
use crate::syntax::words::Context;

use super::check_units::Additions;
use super::clauses::{Allowed, Clauses};
use super::constants::constant;
use super::imports::{Item, unknown_word};
use super::lower::{Lower, subject_name};
use super::lower_control::CONTROL_WORDS;
use super::lower_expr::text;
use super::model::{EventDef, SymbolId};
use super::models::Models;
use super::settings::Settings;
use super::study::{Experiment, Start, Study};
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
        let found = self.files.find(file, &model_name);
        let (model, control) = if let Some((task_file, _, Item::Task(statement))) = found {
            let own = directive.block.iter().flat_map(|block| &block.statements);
            let statements: Vec<&ast::Statement> = own.chain(added(additions, &name.text)).collect();
            let (model, control) = self.control(file, (task_file, statement), &statements, diagnostics)?;
            (model, Some(control))
        } else if let Some(model) = self.get(file, &model_name, diagnostics) {
            (model.clone(), None)
        } else {
            if !matches!(found, Some((_, _, Item::Model(_)))) {
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
            steady: None,
            events: Vec::new(),
            experiments: Vec::new(),
            estimates: Vec::new(),
            fit: Settings::default(),
            simulate: None,
            sweeps: Vec::new(),
            report: Settings::default(),
            control,
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
        for statement in added(additions, &name.text) {
            lower.study_statement(statement, &mut study, &mut own);
        }
        if !own.data.is_empty() {
            study.experiments.insert(0, own);
        }
        let (model, mut unsettled) = lower.finish();
        study.model = model;
        super::hold::check(&study, &mut found);
        super::lower_sweep::check_starts(&study, &mut found);
        unknown::report(&mut study.model, &mut unsettled, self.sources, &mut found);
        study.model.is_faulty |= found.has_errors();
        for d in found {
            // What a study of a task says of its starts and events is read for the task too.
            if study.control.is_none() || !diagnostics.iter().any(|known| *known == d) {
                diagnostics.push(d);
            }
        }
        Some(study)
    }
}

/// The statements that a command line adds to the study `name`.
fn added<'a>(additions: Option<&'a ast::File>, name: &str) -> impl Iterator<Item = &'a ast::Statement> {
    let blocks = additions.into_iter().flat_map(|f| &f.statements).filter_map(move |statement| match &statement.kind {
        StatementKind::Directive(added) if subject_name(added).is_some_and(|n| n.text == name) => added.block.as_ref(),
        _ => None,
    });
    blocks.flat_map(|block| &block.statements)
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
        if let Some(control) = &mut study.control {
            if CONTROL_WORDS.contains(&directive.word.text.as_str()) {
                return self.control_statement(directive, span, control);
            }
            // Starts and events are the task's too. What is drawn is the task's alone, and so is what acted before it.
            if directive.word.text == "start" && self.is_start_of_task(directive) {
                return;
            }
        }
        match directive.word.text.as_str() {
            word if CONTROL_WORDS.contains(&word) => {
                let title = format!("`{word}` stands in a study of a task, and this one is of a model");
                let help = "declare what is good in `task Name of Model { .. }`, and let the study be of that";
                self.report(Diagnostic::new(Code("E0208"), directive.word.span, title).at("not known here").help(help));
            }
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
            "start" if self.steady(directive, span, &mut study.steady) => {}
            "start" => study.starts.extend(self.start(directive, span)),
            "at" | "every" | "when" => study.events.extend(self.study_event(directive, span)),
            "estimate" => {
                let n_known = study.estimates.len();
                self.estimate(directive, span, &mut study.estimates);
                if let Some(control) = &mut study.control {
                    self.estimated(&study.estimates[n_known..], &mut control.estimates);
                }
            }
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
            "sweep" => {
                if let Some(sweep) = self.sweep(directive, span) {
                    if let Some(first) = study.sweeps.iter().find(|s| s.name == sweep.name) {
                        self.report(
                            Diagnostic::new(Code("E0202"), span, format!("`{}` is swept twice", sweep.name))
                                .at("again here")
                                .label(first.span, "first here")
                                .help("give all its values in one `sweep`"),
                        );
                    }
                    study.sweeps.push(sweep);
                }
            }
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
                "start" if self.steady(inner, statement.span, &mut experiment.steady) => {}
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
}
