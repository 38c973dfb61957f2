//! The models and studies of a text, each lowered and checked once.

use std::collections::HashMap;

use crate::diag::{Code, Diagnostic, Diagnostics, Severity};
use crate::source::{SourceMap, Span};
use crate::syntax::ast::{self, ClauseKind, Directive, StatementKind, Value};

use super::clauses::{Allowed, Clauses};
use super::imports::{Files, Item};
use super::lower::{Lower, Unsettled, subject_name};
use super::lower_expr::text;
use super::model::{Model, SymbolKind};
use super::{Module, Study, check_units, circles, lints, unknown};

/// All models and studies of the root text.
pub(super) fn module(
    files: &Files,
    sources: &SourceMap,
    root: usize,
    additions: Option<&ast::File>,
    strict: bool,
    diagnostics: &mut Diagnostics,
) -> Module {
    let mut models = Models { files, sources, strict, cache: HashMap::new(), open: Vec::new(), inferred: Vec::new() };
    let mut module = Module::default();
    for file in 0..files.list.len() {
        models.file_level(file, diagnostics);
    }
    let statements = &files.list[root].ast.statements;
    for statement in statements {
        if let StatementKind::Directive(directive) = &statement.kind
            && directive.word.text == "model"
            && let Some(name) = subject_name(directive)
            && let Some(model) = models.get(root, &name.text, diagnostics)
        {
            module.models.push(model.clone());
        }
    }
    for statement in statements {
        if let StatementKind::Directive(directive) = &statement.kind
            && directive.word.text == "task"
        {
            module.tasks.extend(models.task(root, directive, statement.span, diagnostics));
        }
    }
    for statement in statements {
        if let StatementKind::Directive(directive) = &statement.kind
            && directive.word.text == "study"
            && let Some(study) = models.study(root, directive, statement.span, additions, diagnostics)
        {
            if let Some(first) = module.studies.iter().find(|s: &&Study| s.name == study.name) {
                diagnostics.push(
                    Diagnostic::new(Code("E0202"), study.span, format!("the study `{}` is declared twice", study.name))
                        .at("again here")
                        .label(first.span, "first here"),
                );
            }
            module.studies.push(study);
        }
    }
    module.inferred = models.inferred;
    module
}

/// A model before its units are checked, with what lowering left for later.
type Unchecked = (Model, Unsettled);

/// Models by file and name, lowered once.
pub(super) struct Models<'a> {
    pub files: &'a Files,
    pub sources: &'a SourceMap,
    strict: bool,
    cache: HashMap<(usize, String), Option<Model>>,
    open: Vec<(usize, String)>,
    inferred: Vec<super::InferredUnit>,
}

impl Models<'_> {
    /// The model that `name` means in `file`, or `None` where it has errors or is not there.
    pub fn get(&mut self, file: usize, name: &str, diagnostics: &mut Diagnostics) -> Option<&Model> {
        let (file, name, item) = self.files.find(file, name)?;
        let Item::Model(statement) = item else { return None };
        let key = (file, name);
        if !self.cache.contains_key(&key) {
            if self.open.contains(&key) {
                return None;
            }
            self.open.push(key.clone());
            let model = self.lower(file, statement, diagnostics);
            self.open.pop();
            self.cache.insert(key.clone(), model);
        }
        self.cache.get(&key).and_then(Option::as_ref)
    }

    /// Checks the functions and constants of a file for themselves, whether a model uses them or not.
    fn file_level(&mut self, file: usize, diagnostics: &mut Diagnostics) {
        let files = self.files;
        let mut own = Diagnostics::default();
        let mut lower = Lower::new(files, self.sources, file, Model::default(), &mut own);
        lower.is_file_level = true;
        let mut items: Vec<_> =
            files.list[file].items.iter().map(|(name, (item, span))| (*span, name, *item)).collect();
        items.sort_unstable_by_key(|(span, ..)| *span);
        for (_, name, item) in items {
            match item {
                Item::Const(statement, entry) => {
                    lower.file_const(file, name, statement, entry);
                }
                Item::Fn(statement) => lower.function(file, name, statement),
                Item::Model(_) | Item::Task(_) => {}
            }
        }
        let (mut model, mut unsettled) = lower.finish();
        circles::check(&mut model, &mut own);
        unknown::report(&mut model, &mut unsettled, self.sources, &mut own);
        unsettled.is_quiet = true;
        if !unsettled.is_too_large {
            check_units::check(&mut model, &unsettled, false, self.sources, &mut Vec::new(), &mut own);
        }
        diagnostics.extend(own);
    }

    fn lower(&mut self, file: usize, statement: usize, diagnostics: &mut Diagnostics) -> Option<Model> {
        let span = self.files.list[file].ast.statements[statement].span;
        let is_unread = diagnostics.iter().any(|d| {
            let at = d.span();
            d.severity == Severity::Error && at.source == span.source && at.start >= span.start && at.end <= span.end
        });
        let mut own = Diagnostics::default();
        let lowered = self.unchecked(file, statement, &mut own);
        let model = lowered.map(|(mut model, mut unsettled)| {
            circles::check(&mut model, &mut own);
            unknown::report(&mut model, &mut unsettled, self.sources, &mut own);
            unsettled.is_quiet = is_unread || own.has_errors();
            if !unsettled.is_too_large {
                check_units::check(&mut model, &unsettled, self.strict, self.sources, &mut self.inferred, &mut own);
            }
            model.is_faulty = is_unread || own.has_errors();
            lints::check(&model, &unsettled.overridden, &mut own);
            model.is_faulty |= own.has_errors();
            model
        });
        // A variant is lowered anew, and what is wrong with its base was said before.
        for d in own {
            if !diagnostics.iter().any(|known| *known == d) {
                diagnostics.push(d);
            }
        }
        model
    }

    /// A model with names resolved and units not yet checked.
    fn unchecked(&mut self, file: usize, statement: usize, diagnostics: &mut Diagnostics) -> Option<Unchecked> {
        let files = self.files;
        let statement = &files.list[file].ast.statements[statement];
        let StatementKind::Directive(directive) = &statement.kind else { return None };
        let name = subject_name(directive)?;
        let init = directive.clauses.iter().find_map(|c| match &c.kind {
            ClauseKind::Init(value) => Some(value),
            _ => None,
        });
        if let Some(init) = init {
            return self.variant(file, directive, name, init, diagnostics);
        }
        let clauses = Clauses::sort(&directive.clauses, "a model", Allowed::default(), diagnostics);
        let mut model = Model { name: name.text.clone(), span: Some(name.span), ..Model::default() };
        model.doc = clauses.doc.map(|d| d.text.clone()).unwrap_or_default();
        let Some(block) = &directive.block else {
            diagnostics.push(
                Diagnostic::new(Code("E0409"), name.span, format!("the model `{}` has no body", name.text))
                    .at("declared here")
                    .help(format!("write `model {} {{ .. }}`, or `model {} = Other(..)`", name.text, name.text)),
            );
            return None;
        };
        let mut lower = Lower::new(files, self.sources, file, model, diagnostics);
        lower.body(block);
        Some(lower.finish())
    }

    /// `model A = B(alpha = 1.05)`: the same model with other values. It is lowered again and not copied, since a
    /// constant may stand in an exponent or an index range and so change units and families.
    fn variant(
        &mut self,
        file: usize,
        directive: &Directive,
        name: &ast::Name,
        init: &Value,
        diagnostics: &mut Diagnostics,
    ) -> Option<Unchecked> {
        let (base_name, span, args): (_, _, &[ast::Arg]) = match init {
            Value::Expr(ast::Expr { kind: ast::ExprKind::Call { function, args }, span }) => {
                (text(function), *span, args)
            }
            Value::Expr(ast::Expr { kind: ast::ExprKind::Path(path), span }) => (text(path), *span, &[]),
            Value::Expr(_) | Value::List(..) => {
                diagnostics.push(
                    Diagnostic::new(Code("E0205"), init.span(), "a model is not made from this")
                        .at("expected `Other(name = value)`"),
                );
                return None;
            }
        };
        if let Some(block) = &directive.block {
            diagnostics.push(
                Diagnostic::new(
                    Code("E0107"),
                    block.span,
                    format!("`{}` is made from `{base_name}` and has no body of its own", name.text),
                )
                .at("remove this block")
                .help("write what differs between the parentheses"),
            );
        }
        let Some((base_file, base, Item::Model(base_statement))) = self.files.find(file, &base_name) else {
            diagnostics.push(self.no_model(file, &base_name, span));
            return None;
        };
        if self.open.contains(&(base_file, base)) {
            diagnostics.push(
                Diagnostic::new(Code("E0207"), span, format!("`{}` is made from itself", name.text))
                    .at("closes the circle"),
            );
            return None;
        }
        // Errors of the base are reported once, for the base.
        self.get(file, &base_name, diagnostics)?;
        let (mut model, unsettled) = self.unchecked(base_file, base_statement, diagnostics)?;
        model.base = Some(base_name.clone());
        // What the base asserts of its own values says nothing of others.
        model.expects.clear();
        model.name = name.text.clone();
        model.span = Some(name.span);
        let mut lower = Lower::new(self.files, self.sources, file, model, diagnostics);
        lower.unsettled = unsettled;
        let mut given: HashMap<&str, Span> = HashMap::new();
        for arg in args {
            if let Some(name) = &arg.name
                && let Some(first) = given.insert(&name.text, name.span)
            {
                lower.report(
                    Diagnostic::new(Code("E0206"), name.span, format!("`{}` is given twice", name.text))
                        .at("again here")
                        .label(first, "first here"),
                );
                continue;
            }
            lower.override_value(arg, &base_name);
        }
        Some(lower.finish())
    }

    /// A model that is not there.
    pub fn no_model(&self, file: usize, name: &str, span: Span) -> Diagnostic {
        if let Some((_, _, Item::Task(_))) = self.files.find(file, name) {
            return Diagnostic::new(Code("E0205"), span, format!("`{name}` is a task, and a model is needed here"))
                .at("names a task");
        }
        let known: Vec<&str> = self
            .files
            .visible(file)
            .filter(|n| matches!(self.files.find(file, n), Some((_, _, Item::Model(_)))))
            .collect();
        let d = Diagnostic::new(Code("E0201"), span, format!("there is no model `{name}`")).at("not known here");
        let near = super::unknown::nearest(name, known.iter().copied());
        match super::unknown::did_you_mean(&d, &near, &[span]) {
            Some(d) => d,
            None => d.help("declare it in this file, or bring it in with `use`"),
        }
    }
}

impl Lower<'_> {
    /// One `name = value` of `model A = B(..)`.
    pub(super) fn override_value(&mut self, arg: &ast::Arg, base: &str) {
        let Some(name) = &arg.name else {
            self.report(
                Diagnostic::new(Code("E0206"), arg.value.span(), format!("what of `{base}` does this value replace?"))
                    .at("no name")
                    .help("write `name = value`"),
            );
            return;
        };
        let Some(id) = self.model.names.get(&name.text).copied() else {
            let mut d = Diagnostic::new(Code("E0201"), name.span, format!("`{base}` has no `{}`", name.text))
                .at("not known there");
            let names = self.model.symbols.iter().map(|s| s.name.as_str());
            let near = super::unknown::nearest(&name.text, names);
            d = super::unknown::did_you_mean(&d, &near, &[name.span]).unwrap_or(d);
            self.report(d);
            return;
        };
        let symbol = self.model.symbol(id);
        let (kind, symbol_name, declared, had_prior) =
            (symbol.kind, symbol.name.clone(), symbol.span, symbol.dist.is_some());
        if matches!(kind, SymbolKind::Let | SymbolKind::Observable) {
            self.report(
                Diagnostic::new(
                    Code("E0205"),
                    name.span,
                    format!("`{symbol_name}` is {} and cannot be given a value", kind.phrase()),
                )
                .at("given here")
                .label(declared, "declared here")
                .help("parameters, constants, start values and inputs can"),
            );
            return;
        }
        let ranges = symbol.ranges.clone();
        let saved = self.enter_file(self.file);
        let value = self.family_value(&arg.value, &ranges);
        self.leave_file(saved);
        if had_prior && kind == SymbolKind::Param {
            let mut d = Diagnostic::new(
                Code("W0106"),
                name.span,
                format!("the prior of `{symbol_name}` does not hold for its new value"),
            )
            .at("its `~` is dropped here")
            .label(declared, "the prior stands here");
            d.severity = Severity::Note;
            self.report(d);
        }
        let symbol = &mut self.model.symbols[id.0 as usize];
        symbol.value = Some(value);
        symbol.dist = None;
        self.unsettled.overridden.insert(id);
    }
}
