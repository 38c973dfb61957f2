//! Statements of a model to [`Model`]: first every name, then every value and equation, then units.

use std::collections::{HashMap, HashSet};

use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::source::{SourceMap, Span};
use crate::syntax::ast::{self, ClauseKind, Directive, Flag, StatementKind, Value};
use crate::syntax::words::Context;
use crate::units::Unit;

use super::clauses::{Allowed, Clauses, Entry, entries};
use super::constants::constant;
use super::expr::{ExprId, ExprKind};
use super::imports::{Files, unknown_word};
use super::lower_expr::{Local, text};
use super::model::{Conserved, Model, Ode, Range, Symbol, SymbolId, SymbolKind};
use super::task_scope::TaskScope;
use super::unknown::Unknown;

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
    /// Nothing but functions and constants of a file are checked, for themselves.
    pub is_file_level: bool,
    pub depth: usize,
    /// Nodes made for bodies of functions.
    pub n_expanded: usize,
    pub unit_cache: HashMap<String, Option<Unit>>,
    pub reaction_names: HashMap<String, Span>,
    pub unsettled: Unsettled,
    /// What the statements of a task see beside the model.
    pub task: Option<Box<TaskScope>>,
    /// How many expressions stand above one another at most, below each of the arena.
    heights: Vec<u32>,
}

/// What lowering found and leaves to the stages after it.
#[derive(Debug, Clone, Default)]
pub(super) struct Unsettled {
    /// Expressions that an expanded function's body made, first and behind the last, and where a model called it.
    pub calls: Vec<(ExprId, ExprId, Span)>,
    /// Names that nothing declares.
    pub unknown: Vec<Unknown>,
    /// Names whose written unit could not be read: they fit everything.
    pub untyped: HashSet<SymbolId>,
    /// The unit of time could not be read.
    pub is_time_untyped: bool,
    /// Names that are declared twice: what fits only the second declaration is no further mistake.
    pub doubled: HashSet<String>,
    /// Values that a variant replaces.
    pub overridden: HashSet<SymbolId>,
    /// Expressions passed a limit; nothing further is checked.
    pub is_too_large: bool,
    /// There are errors already, so that what cannot be inferred is no further mistake.
    pub is_quiet: bool,
}

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
            is_file_level: false,
            depth: 0,
            n_expanded: 0,
            unit_cache: HashMap::new(),
            reaction_names: HashMap::new(),
            unsettled: Unsettled::default(),
            task: None,
            heights: Vec::new(),
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

    /// The model and what is left to do about it.
    pub(super) fn finish(self) -> (Model, Unsettled) {
        (self.model, self.unsettled)
    }

    /// How many expressions stand above one another in `id`.
    pub(super) fn height(&mut self, id: ExprId) -> usize {
        for k in self.heights.len()..self.model.exprs.len() {
            let mut highest = 0;
            self.model.exprs[k].kind.for_each_operand(|e| highest = highest.max(self.heights[e.0 as usize]));
            self.heights.push(highest + 1);
        }
        self.heights[id.0 as usize] as usize
    }
}

/// The name a `model` or `study` directive declares.
pub(super) fn subject_name(directive: &Directive) -> Option<&ast::Name> {
    match &directive.subjects.first()?.kind {
        ast::ExprKind::Path(path) if path.segments.len() == 1 => Some(&path.segments[0]),
        _ => None,
    }
}

const DECLARING: &[&str] = &[
    "const",
    "param",
    "species",
    "compartment",
    "state",
    "discrete",
    "let",
    "input",
    "disturbance",
    "observe",
    "noise",
];

struct Pending<'a> {
    id: SymbolId,
    entry: Entry<'a>,
}

impl Lower<'_> {
    pub(super) fn body(&mut self, block: &ast::Block) {
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
                    format!(
                        "`{name}` is declared with indices ({}) and ranges `for` ({}), and both must be as many",
                        p.entry.n_indices,
                        ranges.len()
                    ),
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
                "noise" => SymbolKind::Noise,
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
            self.unsettled.doubled.insert(name.clone());
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
    pub(super) fn declare_value(&mut self, entry: &Entry<'_>, kind: SymbolKind) -> SymbolId {
        let id = self.push_symbol(&entry.name.text, entry.name.span, kind);
        self.define(id, entry);
        id
    }

    /// True inside of a function that is being expanded into a model.
    pub(super) fn is_expanding(&self) -> bool {
        !self.expanding.is_empty() && !self.is_file_level
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
        let has_domain = !matches!(kind, SymbolKind::Let | SymbolKind::Const | SymbolKind::Noise);
        let allowed = Allowed {
            unit: kind != SymbolKind::Noise,
            init: kind != SymbolKind::Noise,
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
        if clauses.unit.is_some() && !symbol.is_unit_written {
            self.unsettled.untyped.insert(id);
        }
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
    pub(super) fn family_value(&mut self, value: &Value, ranges: &[Range]) -> ExprId {
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
            | SymbolKind::Observable
            | SymbolKind::Noise => {
                let (word, span) = (self.model.symbol(symbol).kind.phrase(), self.model.symbol(symbol).span);
                let name = text(&ode.target);
                if self.unsettled.doubled.contains(&name) {
                    return;
                }
                self.report(
                    Diagnostic::new(
                        Code("E0205"),
                        ode.target.span,
                        format!("`{name}` is {word} and cannot have `{name}'`"),
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
                if directive.subjects.is_empty() {
                    self.report(
                        Diagnostic::new(Code("E0101"), span, "`conserved` does not say what")
                            .at("expected an expression")
                            .help("write for example `conserved E + ES`"),
                    );
                }
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
            "fn" | "unit" | "use" | "model" | "study" | "task" => self.report(
                Diagnostic::new(
                    Code("E0208"),
                    directive.word.span,
                    format!("`{word}` stands at file level, not inside a model"),
                )
                .at("move this out of the model"),
            ),
            _ => {
                let d = unknown_word(Context::Model, &directive.word);
                self.report(d);
            }
        }
    }

    fn time(&mut self, directive: &Directive, span: Span) {
        let clauses =
            Clauses::sort(&directive.clauses, "`time`", Allowed { unit: true, ..Allowed::default() }, self.diagnostics);
        match clauses.unit {
            Some(unit) if self.model.time_unit.is_none() => {
                self.model.time_unit = self.unit(unit);
                self.unsettled.is_time_untyped |= self.model.time_unit.is_none();
            }
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
