//! Statements of a model to [`Model`]: first every name, then every value and equation, then units.

use std::collections::HashMap;

use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::source::{SourceMap, Span};
use crate::syntax::ast::{self, ClauseKind, ClauseWord, Directive, Flag, StatementKind, Value};
use crate::syntax::words::Context;
use crate::units::Unit;

use super::clauses::{Allowed, Clauses, Entry, entries};
use super::constants::constant;
use super::expr::{ExprId, ExprKind};
use super::imports::{Files, Item, unknown_word};
use super::lower_expr::{Local, text};
use super::model::{
    Assign, Conserved, Dist, DistKind, EventDef, Expect, Model, Ode, Range, Safe, Symbol, SymbolId, SymbolKind, When,
};
use super::{Module, Study, check_units, lints};

/// Whether names of the model are visible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Model,
    File,
}

/// The state of lowering one model.
pub(super) struct Lower<'a> {
    pub files: &'a Files,
    pub sources: &'a SourceMap,
    pub diagnostics: &'a mut Diagnostics,
    pub model: Model,
    pub file: usize,
    pub place: Place,
    pub locals: Vec<(String, Local)>,
    pub imported: HashMap<(usize, String), Option<SymbolId>>,
    pub expanding: Vec<(usize, String)>,
    pub depth: usize,
    pub is_too_large: bool,
    pub unit_cache: HashMap<String, Option<Unit>>,
    /// Where the body of an expanded function was called.
    pub call_sites: HashMap<ExprId, Span>,
    pub reaction_names: HashMap<String, Span>,
}

/// A model before its units are checked, with the places where functions were expanded.
type Unchecked = (Model, HashMap<ExprId, Span>);

/// What [`Lower::enter_file`] saves.
pub(super) type Saved = (usize, Place);

impl<'a> Lower<'a> {
    pub(super) fn new(
        files: &'a Files,
        sources: &'a SourceMap,
        file: usize,
        model: Model,
        diagnostics: &'a mut Diagnostics,
    ) -> Self {
        Lower {
            files,
            sources,
            diagnostics,
            model,
            file,
            place: Place::Model,
            locals: Vec::new(),
            imported: HashMap::new(),
            expanding: Vec::new(),
            depth: 0,
            is_too_large: false,
            unit_cache: HashMap::new(),
            call_sites: HashMap::new(),
            reaction_names: HashMap::new(),
        }
    }

    pub(super) fn report(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    /// Names are now looked up at the file level of `file` only.
    pub(super) fn enter_file(&mut self, file: usize) -> Saved {
        let saved = (self.file, self.place);
        self.file = file;
        self.place = Place::File;
        saved
    }

    pub(super) fn leave_file(&mut self, saved: Saved) {
        (self.file, self.place) = saved;
    }
}

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

    fn lower(&mut self, file: usize, statement: usize, diagnostics: &mut Diagnostics) -> Option<Model> {
        let (mut model, call_sites) = self.unchecked(file, statement, diagnostics)?;
        check_units::check(&mut model, &call_sites, self.strict, &mut self.inferred, diagnostics);
        lints::check(&model, diagnostics);
        Some(model)
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
        Some((lower.model, lower.call_sites))
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
        let (mut model, call_sites) = self.unchecked(base_file, base_statement, diagnostics)?;
        model.base = Some(base_name.clone());
        model.name = name.text.clone();
        model.span = Some(name.span);
        // What the base asserts of its own values says nothing of others.
        model.expects.clear();
        let mut lower = Lower::new(self.files, self.sources, file, model, diagnostics);
        lower.call_sites = call_sites;
        for arg in args {
            lower.override_value(arg, &base_name);
        }
        Some((lower.model, lower.call_sites))
    }

    /// A model that is not there.
    pub fn no_model(&self, file: usize, name: &str, span: Span) -> Diagnostic {
        let known: Vec<&str> = self
            .files
            .visible(file)
            .filter(|n| matches!(self.files.find(file, n), Some((_, _, Item::Model(_)))))
            .collect();
        let d = Diagnostic::new(Code("E0201"), span, format!("there is no model `{name}`")).at("not known here");
        match crate::syntax::suggest(name, known.iter().copied()) {
            Some(near) => d.help(format!("did you mean `{near}`?")).fix(format!("use `{near}`"), span, near),
            None => d.help("declare it in this file, or bring it in with `use`"),
        }
    }
}

/// The name a `model` or `study` directive declares.
pub(super) fn subject_name(directive: &Directive) -> Option<&ast::Name> {
    match &directive.subjects.first()?.kind {
        ast::ExprKind::Path(path) if path.segments.len() == 1 => Some(&path.segments[0]),
        _ => None,
    }
}

const DECLARING: &[&str] =
    &["const", "param", "species", "compartment", "state", "discrete", "let", "input", "disturbance", "observe"];

struct Pending<'a> {
    id: SymbolId,
    entry: Entry<'a>,
}

impl Lower<'_> {
    fn body(&mut self, block: &ast::Block) {
        let mut pending = Vec::new();
        for statement in &block.statements {
            if let StatementKind::Directive(directive) = &statement.kind {
                self.declare(directive, statement.span, &mut pending);
            }
        }
        for p in &pending {
            let families: Vec<&ast::Family> = families(&p.entry.clauses);
            let ranges: Vec<Range> = families.iter().map(|f| self.range(f)).collect();
            if p.entry.n_indices != ranges.len() {
                let name = &p.entry.name.text;
                let d = Diagnostic::new(
                    Code("E0405"),
                    p.entry.name.span,
                    format!("`{name}` has {} index names and {} ranges", p.entry.n_indices, ranges.len()),
                );
                self.report(
                    d.at("declared here").help(format!("write `{name}(i) .. for i in 1 .. 10`, or `{name}` alone")),
                );
            }
            self.model.symbols[p.id.0 as usize].ranges = ranges;
        }
        for p in &pending {
            self.define(p.id, &p.entry);
        }
        for statement in &block.statements {
            self.statement(statement);
        }
    }

    /// Registers the names of a declaring directive.
    fn declare<'b>(&mut self, directive: &'b Directive, span: Span, pending: &mut Vec<Pending<'b>>) {
        let word = directive.word.text.as_str();
        if !DECLARING.contains(&word) {
            return;
        }
        for mut entry in entries(directive, span, self.diagnostics) {
            let is_fixed = entry.clauses.iter().any(|c| matches!(c.kind, ClauseKind::Flag(Flag::Fixed)));
            let kind = match word {
                "const" => SymbolKind::Const,
                "param" => SymbolKind::Param,
                "species" => SymbolKind::Species { compartment: None, is_fixed },
                "compartment" => SymbolKind::Compartment,
                "state" => SymbolKind::State,
                "discrete" => SymbolKind::Discrete,
                "let" => SymbolKind::Let,
                "input" => SymbolKind::Input,
                "disturbance" => SymbolKind::Disturbance,
                _ => SymbolKind::Observable,
            };
            let block = entry.block.take();
            let Some(id) = self.declare_name(&entry, kind) else { continue };
            pending.push(Pending { id, entry });
            let Some(block) = block else { continue };
            if kind == SymbolKind::Compartment {
                for inner in super::clauses::block_entries(block, "compartment", self.diagnostics) {
                    let is_fixed = inner.clauses.iter().any(|c| matches!(c.kind, ClauseKind::Flag(Flag::Fixed)));
                    if let Some(id) = self.declare_name(&inner, SymbolKind::Species { compartment: Some(id), is_fixed })
                    {
                        pending.push(Pending { id, entry: inner });
                    }
                }
            } else {
                self.report(
                    Diagnostic::new(
                        Code("E0107"),
                        block.span,
                        format!("a block has no meaning behind `{word} {}`", self.model.symbol(id).name),
                    )
                    .at("remove this block"),
                );
            }
        }
    }

    fn declare_name(&mut self, entry: &Entry<'_>, kind: SymbolKind) -> Option<SymbolId> {
        let name = entry.name.text.clone();
        if name == "time" {
            self.report(
                Diagnostic::new(Code("E0202"), entry.name.span, "`time` is the model's time and cannot be declared")
                    .at("declared here")
                    .help("give it another name; its unit is set by `time [s]`"),
            );
            return None;
        }
        if let Some(first) = self.model.names.get(&name) {
            let first = self.model.symbol(*first).span;
            self.report(
                Diagnostic::new(Code("E0202"), entry.name.span, format!("`{name}` is declared twice"))
                    .at("again here")
                    .label(first, "first here")
                    .help("give one of them another name"),
            );
            return None;
        }
        let id = self.push_symbol(&name, entry.name.span, kind);
        self.model.names.insert(name, id);
        Some(id)
    }

    pub(super) fn push_symbol(&mut self, name: &str, span: Span, kind: SymbolKind) -> SymbolId {
        self.model.symbols.push(Symbol {
            name: name.to_string(),
            span,
            kind,
            unit: None,
            is_unit_written: false,
            doc: String::new(),
            ranges: Vec::new(),
            value: None,
            low: None,
            high: None,
            dist: None,
            is_log_scale: None,
        });
        SymbolId(self.model.symbols.len() as u32 - 1)
    }

    /// A constant that is not among the model's own names.
    pub(super) fn declare_value(
        &mut self,
        entry: &Entry<'_>,
        kind: SymbolKind,
        _is_imported: bool,
    ) -> Option<SymbolId> {
        let id = self.push_symbol(&entry.name.text, entry.name.span, kind);
        self.define(id, entry);
        Some(id)
    }

    pub(super) fn range(&mut self, family: &ast::Family) -> Range {
        let (from, to) = (self.expr(&family.from), self.expr(&family.to));
        Range { index: self.model.fresh_index(), name: family.index.text.clone(), from, to, span: family.span }
    }

    /// Makes the indices of `ranges` visible; returns how many.
    pub(super) fn bind(&mut self, ranges: &[Range]) -> usize {
        for range in ranges {
            self.locals.push((range.name.clone(), Local::Index(range.index)));
        }
        ranges.len()
    }

    pub(super) fn unbind(&mut self, n: usize) {
        self.locals.truncate(self.locals.len() - n);
    }

    /// Fills in what is written behind a declared name.
    fn define(&mut self, id: SymbolId, entry: &Entry<'_>) {
        let symbol = self.model.symbol(id);
        let (kind, ranges, name) = (symbol.kind, symbol.ranges.clone(), symbol.name.clone());
        let has_domain = !matches!(kind, SymbolKind::Let | SymbolKind::Const);
        let allowed = Allowed {
            unit: true,
            init: true,
            family: true,
            range: has_domain,
            dist: matches!(
                kind,
                SymbolKind::Param | SymbolKind::State | SymbolKind::Species { .. } | SymbolKind::Observable
            ),
            flags: match kind {
                SymbolKind::Species { .. } => &[Flag::Fixed],
                SymbolKind::Param => &[Flag::Log, Flag::Linear],
                _ => &[],
            },
            ..Allowed::default()
        };
        let what = format!("`{} {name}`", kind.word());
        let clauses = Clauses::sort(&entry.clauses, &what, allowed, self.diagnostics);
        let unit = clauses.unit.and_then(|u| self.unit(u));
        let n = self.bind(&ranges);
        let value = clauses.init.map(|v| self.family_value(v, &ranges));
        let (low, high) = match clauses.range {
            Some((low, high)) => (low.map(|e| self.expr(e)), high.map(|e| self.expr(e))),
            None => (None, None),
        };
        let dist = clauses.dist.and_then(|d| self.distribution(d, kind == SymbolKind::Observable));
        self.unbind(n);
        let is_log_scale = clauses.has(Flag::Log).then_some(true).or(clauses.has(Flag::Linear).then_some(false));
        let needs_value =
            matches!(kind, SymbolKind::Const | SymbolKind::Let | SymbolKind::Observable | SymbolKind::Compartment);
        if value.is_none() && (needs_value || kind == SymbolKind::Param) {
            self.report(
                Diagnostic::new(Code("E0409"), entry.name.span, format!("`{name}` has no value"))
                    .at(format!("this `{}` needs one", kind.word()))
                    .help(format!("write `{} {name} = ..`", kind.word())),
            );
        }
        let symbol = &mut self.model.symbols[id.0 as usize];
        symbol.is_unit_written = unit.is_some();
        symbol.unit = unit;
        symbol.doc = clauses.doc.map(|d| d.text.clone()).unwrap_or_default();
        symbol.value = value;
        symbol.low = low;
        symbol.high = high;
        symbol.is_log_scale = is_log_scale;
        symbol.dist = dist;
        if kind == SymbolKind::Observable {
            self.anonymous_spread(id, entry);
        }
    }

    /// A value, or for a family of one index a list with a value for each member.
    fn family_value(&mut self, value: &Value, ranges: &[Range]) -> ExprId {
        match (value, ranges) {
            (Value::List(values, span), [range]) => {
                let list: Vec<ExprId> = values.iter().map(|v| self.value(v)).collect();
                let (from, to) = (constant(&self.model, range.from), constant(&self.model, range.to));
                if let (Some(from), Some(to)) = (from, to)
                    && to - from + 1.0 != list.len() as f64
                {
                    self.report(
                        Diagnostic::new(
                            Code("E0406"),
                            *span,
                            format!("{} values are given for {} members", list.len(), to - from + 1.0),
                        )
                        .at("one value for each member")
                        .label(range.span, format!("{} runs from {from} to {to}", range.name)),
                    );
                }
                self.model.add(ExprKind::Pick { index: range.index, from: range.from, list }, *span)
            }
            _ => self.value(value),
        }
    }

    /// `observe y = e ~ Normal(sd = 5)`: the number is the parameter `y.sd`.
    fn anonymous_spread(&mut self, id: SymbolId, entry: &Entry<'_>) {
        let Some(dist) = self.model.symbol(id).dist.clone() else { return };
        let Some(spread) = dist.args[1] else { return };
        if !matches!(self.model.expr(spread).kind, ExprKind::Number { .. }) {
            return;
        }
        let name = format!("{}.{}", entry.name.text, dist.kind.arguments()[1]);
        let param = self.push_symbol(&name, self.model.expr(spread).span, SymbolKind::Param);
        self.model.names.insert(name, param);
        self.model.symbols[param.0 as usize].value = Some(spread);
        let reference = self.model.add(ExprKind::Symbol { symbol: param, indices: Vec::new() }, dist.span);
        if let Some(dist) = &mut self.model.symbols[id.0 as usize].dist {
            dist.args[1] = Some(reference);
        }
    }

    /// `Normal(mean = 1, sd = 2)`; for an observable one positional argument is the spread.
    pub(super) fn distribution(&mut self, ast: &ast::Expr, is_observable: bool) -> Option<Dist> {
        const KINDS: &[(&str, DistKind)] = &[
            ("Normal", DistKind::Normal),
            ("LogNormal", DistKind::LogNormal),
            ("Uniform", DistKind::Uniform),
            ("LogUniform", DistKind::LogUniform),
            ("Laplace", DistKind::Laplace),
        ];
        let ast::ExprKind::Call { function, args } = &ast.kind else {
            self.report(
                Diagnostic::new(Code("E0609"), ast.span, "`~` is followed by a distribution")
                    .at("this is none")
                    .help("write for example `~ Normal(sd = 2)` or `~ Uniform(0, 1)`"),
            );
            return None;
        };
        let name = text(function);
        let Some((_, kind)) = KINDS.iter().find(|(n, _)| *n == name) else {
            let mut d = Diagnostic::new(Code("E0609"), function.span, format!("there is no distribution `{name}`"))
                .at("not known");
            let names = KINDS.iter().map(|(n, _)| *n);
            d = match crate::syntax::suggest(&name, names.clone()) {
                Some(near) => {
                    d.help(format!("did you mean `{near}`?")).fix(format!("use `{near}`"), function.span, near)
                }
                None => d.help(format!("distributions are {}", names.collect::<Vec<_>>().join(", "))),
            };
            self.report(d);
            return None;
        };
        if is_observable && kind.noise().is_none() {
            self.report(
                Diagnostic::new(Code("E0609"), ast.span, format!("`{name}` cannot be the error of an observable"))
                    .at("expected Normal, LogNormal or Laplace"),
            );
            return None;
        }
        let names = kind.arguments();
        let mut slots = [None, None];
        for (k, arg) in args.iter().enumerate() {
            let value = self.value(&arg.value);
            let slot = match &arg.name {
                Some(given) => names.iter().position(|n| *n == given.text),
                None if args.len() == 1 => Some(1).filter(|_| is_observable).or(Some(k)),
                None => Some(k).filter(|k| *k < 2),
            };
            match slot {
                Some(slot) if slots[slot].is_none() => slots[slot] = Some(value),
                Some(_) | None => {
                    let span = arg.name.as_ref().map_or(arg.value.span(), |n| n.span);
                    self.report(
                        Diagnostic::new(
                            Code("E0609"),
                            span,
                            format!("`{name}` takes `{}` and `{}`", names[0], names[1]),
                        )
                        .at("not one of them"),
                    );
                    return None;
                }
            }
        }
        if is_observable && slots[0].is_some() {
            self.report(
                Diagnostic::new(
                    Code("E0609"),
                    ast.span,
                    format!("the {} of an observable is its own expression", names[0]),
                )
                .at("given again")
                .help(format!("write `~ {name}({} = ..)`", names[1])),
            );
            return None;
        }
        let needs_low = matches!(kind, DistKind::Uniform | DistKind::LogUniform);
        if slots[1].is_none() || (needs_low && slots[0].is_none()) {
            let missing = if slots[1].is_none() { names[1] } else { names[0] };
            self.report(
                Diagnostic::new(Code("E0609"), ast.span, format!("`{name}` needs its `{missing}`")).at("missing here"),
            );
            return None;
        }
        Some(Dist { kind: *kind, args: slots, span: ast.span })
    }

    /// Everything that is not a declaration.
    fn statement(&mut self, statement: &ast::Statement) {
        match &statement.kind {
            StatementKind::Ode(ode) => self.ode(ode),
            StatementKind::Reaction(reaction) => self.reaction(reaction, statement.span),
            StatementKind::Directive(directive) => self.directive(directive, statement.span),
            StatementKind::Assign(assign) => self.report(
                Diagnostic::new(
                    Code("E0506"),
                    statement.span,
                    format!("`{}` is assigned outside of an event", text(&assign.target)),
                )
                .at("assignments belong inside `at`, `every` or `when`")
                .help("write `let name = ..` for a definition, or `x' = ..` for a derivative"),
            ),
            StatementKind::Bind(_) | StatementKind::Setting(_) | StatementKind::Labelled(_) => {
                let mut d =
                    Diagnostic::new(Code("E0208"), statement.span, "this statement has no meaning inside a model")
                        .at("not known here");
                if let StatementKind::Setting(setting) = &statement.kind {
                    d = d
                        .help(format!("write `let {0} = ..`, `const {0} = ..` or `param {0} = ..`", setting.name.text));
                }
                self.report(d);
            }
        }
    }

    fn ode(&mut self, ode: &ast::Ode) {
        let Some(symbol) = self.symbol(&ode.target) else { return };
        let mut ranges: Vec<Range> = ode.families.iter().map(|f| self.range(f)).collect();
        if ranges.is_empty() && !ode.indices.is_empty() {
            // `h(i)' = ..` alone means every member of `h(i)`.
            let own = self.model.symbol(symbol).ranges.clone();
            let is_own = own.len() == ode.indices.len()
                && own.iter().zip(&ode.indices).all(
                    |(r, e)| matches!(&e.kind, ast::ExprKind::Path(p) if p.segments.len() == 1 && p.segments[0].text == r.name),
                );
            if is_own {
                ranges = own;
            }
        }
        let n = self.bind(&ranges);
        let indices: Vec<ExprId> = ode.indices.iter().map(|e| self.expr(e)).collect();
        let rhs = self.expr(&ode.rhs);
        self.unbind(n);
        self.check_indices(symbol, indices.len(), &ode.target);
        match self.model.symbol(symbol).kind {
            SymbolKind::State | SymbolKind::Species { is_fixed: false, .. } | SymbolKind::Compartment => {
                self.model.odes.push(Ode { symbol, indices, ranges, rhs, span: ode.target.span });
            }
            SymbolKind::Const
            | SymbolKind::Param
            | SymbolKind::Species { is_fixed: true, .. }
            | SymbolKind::Discrete
            | SymbolKind::Let
            | SymbolKind::Input
            | SymbolKind::Disturbance
            | SymbolKind::Observable => {
                let (word, span) = (self.model.symbol(symbol).kind.word(), self.model.symbol(symbol).span);
                let name = text(&ode.target);
                self.report(
                    Diagnostic::new(
                        Code("E0205"),
                        ode.target.span,
                        format!("`{name}` is a `{word}` and cannot have `{name}'`"),
                    )
                    .at("this equation")
                    .label(span, "declared here")
                    .help(format!("declare it with `state {name}`")),
                );
            }
        }
    }

    fn directive(&mut self, directive: &Directive, span: Span) {
        let word = directive.word.text.as_str();
        match word {
            _ if DECLARING.contains(&word) => {}
            "time" => self.time(directive, span),
            "reaction" => self.reaction_block(directive, span),
            "conserved" => {
                for subject in &directive.subjects {
                    let expr = self.expr(subject);
                    let text = self.sources.slice(subject.span).to_string();
                    self.model.conserved.push(Conserved { expr, text, span: subject.span });
                }
            }
            "safe" => self.safe(directive, span),
            "at" | "every" | "when" => {
                if let Some(event) = self.event(directive, span) {
                    self.model.events.push(event);
                }
            }
            "expect" => self.expect(directive, span),
            "fn" | "unit" | "use" | "model" | "study" => self.report(
                Diagnostic::new(
                    Code("E0208"),
                    directive.word.span,
                    format!("`{word}` stands at file level, not inside a model"),
                )
                .at("move this out of the model"),
            ),
            _ => {
                let d = unknown_word(Context::Model, "inside a model", &directive.word);
                self.report(d);
            }
        }
    }

    fn time(&mut self, directive: &Directive, span: Span) {
        let clauses =
            Clauses::sort(&directive.clauses, "`time`", Allowed { unit: true, ..Allowed::default() }, self.diagnostics);
        match clauses.unit {
            Some(unit) if self.model.time_unit.is_none() => self.model.time_unit = self.unit(unit),
            Some(_) => {
                self.report(Diagnostic::new(Code("E0202"), span, "the unit of time is given twice").at("again here"))
            }
            None => self.report(
                Diagnostic::new(Code("E0101"), span, "`time` needs its unit")
                    .at("no unit here")
                    .help("write `time [s]`, or `time [1]`"),
            ),
        }
    }

    fn safe(&mut self, directive: &Directive, span: Span) {
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

    fn assign(&mut self, assign: &ast::Assign, span: Span) -> Option<Assign> {
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
            let (word, declared, name) = (target.kind.word(), target.span, target.name.clone());
            self.report(
                Diagnostic::new(
                    Code("E0506"),
                    assign.target.span,
                    format!("`{name}` is a `{word}` and cannot be assigned by an event"),
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
    fn expect(&mut self, directive: &Directive, span: Span) {
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

    /// One `name = value` of `model A = B(..)`.
    fn override_value(&mut self, arg: &ast::Arg, base: &str) {
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
            if let Some(near) = crate::syntax::suggest(&name.text, self.model.symbols.iter().map(|s| s.name.as_str())) {
                d = d.help(format!("did you mean `{near}`?")).fix(format!("use `{near}`"), name.span, near);
            }
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
                    format!("`{symbol_name}` is a `{}` and cannot be given a value", kind.word()),
                )
                .at("given here")
                .label(declared, "declared here")
                .help("parameters, constants, start values and inputs can"),
            );
            return;
        }
        let saved = self.enter_file(self.file);
        let value = self.value(&arg.value);
        self.leave_file(saved);
        if had_prior && kind == SymbolKind::Param {
            let mut d = Diagnostic::new(
                Code("W0106"),
                name.span,
                format!("the prior of `{symbol_name}` does not hold for its new value"),
            )
            .at("its `~` is dropped here")
            .label(declared, "the prior stands here");
            d.severity = crate::diag::Severity::Note;
            self.report(d);
        }
        let symbol = &mut self.model.symbols[id.0 as usize];
        symbol.value = Some(value);
        symbol.dist = None;
    }
}

/// The `for` clauses among `clauses`.
pub(super) fn families(clauses: &[ast::Clause]) -> Vec<&ast::Family> {
    clauses
        .iter()
        .filter_map(|c| match &c.kind {
            ClauseKind::Family(family) => Some(family),
            _ => None,
        })
        .collect()
}
