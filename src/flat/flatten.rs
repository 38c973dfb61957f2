//! From a checked [`hir::Model`](crate::hir::Model) to a [`FlatModel`]: places, definitions, network, events, outputs.

use std::collections::{HashMap, HashSet};

use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::expr::Dag;
use crate::hir::model::{Dist, DistKind, EventDef};
use crate::hir::study::{Experiment, Start};
use crate::hir::{ExprId, Model, Module, Symbol, SymbolId, SymbolKind};

use super::discontinuity::{dependencies, is_timeless};
use super::layout::{Home, Layout, lay_out, member_name, tuples};
use super::lower::{Builder, Definition, DerivativeSource, Margin, Moment};
use super::{
    Conserved, Distribution, Expectation, FlatModel, Input, Named, Observable, Param, Quantity, State, conserve, spread,
};

/// How a study's run differs from its model. Expressions live in the model's arena.
#[derive(Debug, Clone, Copy, Default)]
pub struct Variation<'a> {
    /// Start values that replace the model's.
    pub starts: &'a [Start],
    /// Events beside the model's.
    pub events: &'a [EventDef],
}

/// Flattens `model`; `None` where errors were reported.
pub fn flatten(model: &Model, variation: &Variation<'_>, diagnostics: &mut Diagnostics) -> Option<FlatModel> {
    flatten_for(model, variation, false, diagnostics)
}

/// As [`flatten`], with [`FlatModel::jumps`] for methods that count items.
pub fn flatten_counting(model: &Model, variation: &Variation<'_>, diagnostics: &mut Diagnostics) -> Option<FlatModel> {
    flatten_for(model, variation, true, diagnostics)
}

fn flatten_for(
    model: &Model,
    variation: &Variation<'_>,
    is_counting: bool,
    diagnostics: &mut Diagnostics,
) -> Option<FlatModel> {
    let before = diagnostics.iter().filter(|d| d.severity == crate::diag::Severity::Error).count();
    let mut builder = Builder::new(model, diagnostics);
    builder.counting = is_counting.then(super::jumps::Counting::new);
    let flat = builder.flatten(variation);
    let movers = builder.movers();
    let flat = finish(flat?, &movers, diagnostics);
    let after = diagnostics.iter().filter(|d| d.severity == crate::diag::Severity::Error).count();
    (before == after).then_some(flat)
}

/// Proves conservation laws, separates noise and checks spreads.
pub(super) fn finish(mut flat: FlatModel, movers: &conserve::Movers, diagnostics: &mut Diagnostics) -> FlatModel {
    conserve::prove(&mut flat, movers, diagnostics);
    super::diffusion::separate(&mut flat, diagnostics);
    spread::check(&flat, diagnostics);
    flat
}

/// What flattening finds in each model of `module` and in each run of its studies; what has errors already is left out.
pub fn check(module: &Module, diagnostics: &mut Diagnostics) {
    let mut list: Vec<Diagnostic> = Vec::new();
    let mut list_of_tasks = Diagnostics::default();
    let mut add = |model: &Model, variation: &Variation<'_>| {
        let mut own = Diagnostics::default();
        flatten(model, variation, &mut own);
        list.extend(own);
    };
    for model in module.models.iter().filter(|m| !m.is_faulty) {
        add(model, &Variation::default());
    }
    for study in module.studies.iter().filter(|s| !s.model.is_faulty) {
        let alone = Experiment::default();
        let runs = if study.experiments.is_empty() { std::slice::from_ref(&alone) } else { &study.experiments[..] };
        for run in runs {
            let starts: Vec<Start> = study.starts.iter().chain(&run.starts).cloned().collect();
            let events: Vec<EventDef> = study.events.iter().chain(&run.events).cloned().collect();
            if !starts.is_empty() || !events.is_empty() {
                add(&study.model, &Variation { starts: &starts, events: &events });
            }
        }
    }
    super::task::check_tasks(module, &mut list_of_tasks);
    list.extend(list_of_tasks);
    // Variants and experiments share what they are made of.
    for d in list {
        if !diagnostics.iter().any(|known| *known == d) {
            diagnostics.push(d);
        }
    }
}

impl Builder<'_> {
    /// What conservation laws are proved with.
    pub(super) fn movers(&mut self) -> conserve::Movers {
        conserve::Movers { flows: std::mem::take(&mut self.flows), diluted: std::mem::take(&mut self.diluted) }
    }

    pub(super) fn flatten(&mut self, variation: &Variation<'_>) -> Option<FlatModel> {
        let model = self.model;
        let events: Vec<&EventDef> = model.events.iter().chain(variation.events).collect();
        self.places(&events)?;
        self.derivatives = vec![DerivativeSource::None; self.counts.states as usize];
        let values = self.replaced(variation.starts)?;
        // Equations first: a volume's derivative dilutes what reactions move in it.
        let has_odes = self.odes();
        let reactions = self.network();
        has_odes?;
        let reactions = reactions?;
        self.complete()?;

        let mut flat = FlatModel {
            name: model.name.clone(),
            doc: model.doc.clone(),
            time_unit: model.time_unit.as_ref().map(ToString::to_string).unwrap_or_default(),
            reactions,
            ..FlatModel::empty()
        };
        let is_good = [
            self.states(&mut flat).is_some(),
            self.params(&values, &mut flat).is_some(),
            self.forcing(&values, &mut flat).is_some(),
            self.algebra(&mut flat).is_some(),
            self.observables(&mut flat).is_some(),
            self.events(&events, &mut flat).is_some(),
            self.assertions(&mut flat).is_some(),
            self.noises(&mut flat).is_some(),
            self.jumps(&mut flat).is_some(),
        ];
        flat.dag = std::mem::take(&mut self.dag);
        is_good.iter().all(|g| *g).then_some(flat)
    }

    /// Evaluates index ranges and gives every symbol its place.
    fn places(&mut self, events: &[&EventDef]) -> Option<()> {
        // While ranges are evaluated only constants are of interest.
        let model = self.model;
        self.layouts = model
            .symbols
            .iter()
            .map(|s| {
                let home = if s.kind == SymbolKind::Const { Home::Const } else { Home::Input };
                Layout { home, first: 0, shape: Vec::new() }
            })
            .collect();
        let mut shapes = Vec::with_capacity(model.symbols.len());
        for symbol in &model.symbols {
            shapes.push(self.shape(&symbol.ranges)?);
        }
        let assigned: HashSet<SymbolId> = events.iter().flat_map(|e| e.assigns.iter().map(|a| a.symbol)).collect();
        let (layouts, counts) = lay_out(model, shapes, &assigned, self.diagnostics)?;
        self.layouts = layouts;
        self.counts = counts;
        self.matching_members()
    }

    /// Start values that a study replaces. Those of states are kept by the builder; values of parameters and inputs
    /// are returned by symbol and member.
    fn replaced(&mut self, starts: &[Start]) -> Option<HashMap<(SymbolId, u32), f64>> {
        let mut values = HashMap::new();
        for start in starts {
            let offset = self.settle_member(start.symbol, &start.indices)?;
            match self.layouts[start.symbol.0 as usize].home {
                Home::State { seed: None } => {
                    self.starts.insert((start.symbol, offset), start.value);
                }
                Home::State { seed: Some(_) } | Home::Param | Home::Input | Home::Disturbance => {
                    let value = self.constant(start.value, "this value")?;
                    values.insert((start.symbol, offset), value);
                }
                Home::Const | Home::Let | Home::Observable | Home::Noise => {
                    let symbol = self.model.symbol(start.symbol);
                    self.diagnostics.push(
                        Diagnostic::new(
                            Code("E0205"),
                            start.span,
                            format!("`{}` is {} and has no start value", symbol.name, symbol.kind.phrase()),
                        )
                        .at("given here")
                        .label(symbol.span, "declared here"),
                    );
                    return None;
                }
            }
        }
        Some(values)
    }

    /// Says which equation moves each state.
    fn odes(&mut self) -> Option<()> {
        let model = self.model;
        let mut sources: HashMap<u32, usize> = HashMap::new();
        let mut is_good = true;
        for (k, ode) in model.odes.iter().enumerate() {
            let Some(shape) = self.shape(&ode.ranges) else {
                is_good = false;
                continue;
            };
            for values in tuples(&shape) {
                for (range, value) in ode.ranges.iter().zip(&values) {
                    self.set_index(range.index, *value);
                }
                let Some(offset) = self.settle_member(ode.symbol, &ode.indices) else {
                    is_good = false;
                    break;
                };
                let layout = &self.layouts[ode.symbol.0 as usize];
                let state = layout.first + offset;
                if let Some(first) = sources.insert(state, k) {
                    let name = member_name(&model.symbol(ode.symbol).name, &layout.indices(offset as usize));
                    let code = if layout.shape.is_empty() { "E0403" } else { "E0406" };
                    self.diagnostics.push(
                        Diagnostic::new(Code(code), ode.span, format!("`{name}'` has two equations"))
                            .at("again here")
                            .label(model.odes[first].span, "first here"),
                    );
                    is_good = false;
                    break;
                }
                self.derivatives[state as usize] = DerivativeSource::Ode(k, values);
            }
        }
        is_good.then_some(())
    }

    /// E0401 and E0406: every state needs an equation.
    fn complete(&mut self) -> Option<()> {
        let mut is_good = true;
        for ((id, symbol), layout) in self.model.symbols().zip(&self.layouts) {
            let is_moved = matches!(symbol.kind, SymbolKind::State | SymbolKind::Species { is_fixed: false, .. })
                && layout.home == Home::State { seed: None };
            if !is_moved {
                continue;
            }
            let n = layout.len();
            let missing: Vec<usize> = (0..n)
                .filter(|k| matches!(self.derivatives[layout.first as usize + k], DerivativeSource::None))
                .collect();
            if missing.is_empty() {
                continue;
            }
            is_good = false;
            let name = &symbol.name;
            if missing.len() == n {
                let is_species = matches!(symbol.kind, SymbolKind::Species { .. });
                let title = if is_species {
                    format!("`{name}` has no `{name}'` and is in no reaction")
                } else {
                    format!("`{name}` has no equation `{name}'`")
                };
                let help = if is_species {
                    format!("add a reaction or `{name}' = ..`, or declare it `fixed`")
                } else {
                    format!("add `{name}' = ..`, or make it a `let`, `input` or `param`")
                };
                self.diagnostics
                    .push(Diagnostic::new(Code("E0401"), symbol.span, title).at("nothing moves it").help(help));
            } else {
                let shown: Vec<String> =
                    missing.iter().take(5).map(|k| member_name(name, &layout.indices(*k))).collect();
                let more = if missing.len() > 5 { format!(" and {} more", missing.len() - 5) } else { String::new() };
                let mut d =
                    Diagnostic::new(Code("E0406"), symbol.span, format!("{}{more} have no equation", shown.join(", ")))
                        .at("declared here");
                for ode in self.model.odes.iter().filter(|o| o.symbol == id).take(3) {
                    d = d.label(ode.span, "covers other members");
                }
                self.diagnostics
                    .push(d.help(format!("add an equation for them, as in `{} = ..`", format_args!("{}'", shown[0]))));
            }
        }
        is_good.then_some(())
    }

    /// Name, unit and constant range of a member.
    pub(super) fn quantity(&mut self, id: SymbolId, offset: usize) -> Option<Quantity> {
        let model = self.model;
        let symbol = model.symbol(id);
        self.enter_member(id, offset as u32);
        let bound = |b: &mut Self, e: Option<ExprId>, open: f64| match e {
            Some(e) => b.constant(e, "the end of a range"),
            None => Some(open),
        };
        let low = bound(self, symbol.low, f64::NEG_INFINITY)?;
        let high = bound(self, symbol.high, f64::INFINITY)?;
        let name = member_name(&symbol.name, &self.layouts[id.0 as usize].indices(offset));
        Some(Quantity { name, unit: unit_text(symbol), doc: symbol.doc.clone(), low, high, span: symbol.span })
    }

    /// All members of the symbols that `first_of` gives a first place, sorted by place.
    pub(super) fn members(&self, first_of: impl Fn(&Layout) -> Option<u32>) -> Vec<(u32, SymbolId, usize)> {
        let mut list = Vec::new();
        for ((id, _), layout) in self.model.symbols().zip(&self.layouts) {
            if let Some(first) = first_of(layout) {
                list.extend((0..layout.len()).map(|k| (first + k as u32, id, k)));
            }
        }
        list.sort_unstable();
        list
    }

    fn states(&mut self, flat: &mut FlatModel) -> Option<()> {
        let mut is_good = true;
        for (state, id, offset) in self.members(|l| matches!(l.home, Home::State { .. }).then_some(l.first)) {
            let symbol = self.model.symbol(id);
            let is_species = matches!(symbol.kind, SymbolKind::Species { is_fixed: false, .. });
            let is_discrete = matches!(self.derivatives[state as usize], DerivativeSource::None);
            let equation = match &self.derivatives[state as usize] {
                DerivativeSource::Ode(k, _) => Some(self.model.odes[*k].span),
                DerivativeSource::None | DerivativeSource::Pending | DerivativeSource::Network(_) => None,
            };
            let Some(quantity) = self.quantity(id, offset) else {
                is_good = false;
                continue;
            };
            let initial = self.define(Definition::Start(id, offset as u32));
            let rhs = self.define(Definition::Derivative(state));
            match (initial, rhs) {
                (Some(initial), Some(_)) if self.value_of(initial).is_some_and(|v| !v.is_finite()) => {
                    if let (Some(expr), Some(value)) = (symbol.value, self.value_of(initial)) {
                        self.not_finite(expr, &format!("the start value of `{}`", symbol.name), value);
                    }
                    is_good = false;
                }
                (Some(initial), Some(rhs)) => {
                    let is_start_read = false;
                    flat.states.push(State {
                        quantity,
                        is_discrete,
                        is_species,
                        initial,
                        is_start_read,
                        rhs,
                        equation,
                    });
                }
                _ => is_good = false,
            }
        }
        for state in &self.read_starts {
            if let Some(state) = flat.states.get_mut(*state as usize) {
                state.is_start_read = true;
            }
        }
        is_good.then_some(())
    }

    fn params(&mut self, values: &HashMap<(SymbolId, u32), f64>, flat: &mut FlatModel) -> Option<()> {
        let members = self.members(|l| match l.home {
            Home::Param => Some(l.first),
            Home::State { seed: Some(seed) } => Some(seed),
            Home::State { seed: None }
            | Home::Const
            | Home::Input
            | Home::Disturbance
            | Home::Let
            | Home::Observable
            | Home::Noise => None,
        });
        let mut is_good = true;
        for (_, id, offset) in members {
            let Some(quantity) = self.quantity(id, offset) else {
                is_good = false;
                continue;
            };
            let symbol = self.model.symbol(id);
            let value = match (values.get(&(id, offset as u32)), symbol.value) {
                (Some(value), _) => Some(*value),
                (None, Some(value)) => self.parameter_value(value, symbol),
                (None, None) => Some(0.0),
            };
            let prior = match &symbol.dist {
                Some(dist) if symbol.kind == SymbolKind::Param => {
                    self.distribution(&dist.clone(), value.unwrap_or(0.0)).map(Some)
                }
                Some(_) | None => Some(None),
            };
            match (value, prior) {
                (Some(value), Some(prior)) => flat.params.push(Param { quantity, value, prior }),
                _ => is_good = false,
            }
        }
        is_good.then_some(())
    }

    fn parameter_value(&mut self, value: ExprId, symbol: &Symbol) -> Option<f64> {
        let node = self.settle(value, Moment::Start)?;
        let found = self.value_of(node);
        if let Some(found) = found.filter(|v| !v.is_finite()) {
            self.not_finite(value, &format!("the value of `{}`", symbol.name), found);
            return None;
        }
        if found.is_none() {
            self.diagnostics.push(
                Diagnostic::new(
                    Code("E0407"),
                    self.model.expr(value).span,
                    format!("the value of `{}` must be a constant", symbol.name),
                )
                .at("depends on other quantities")
                .help(format!("use `let {} = ..` for what follows from other quantities", symbol.name)),
            );
        }
        found
    }

    pub(super) fn distribution(&mut self, dist: &Dist, declared: f64) -> Option<Distribution> {
        let location = match dist.args[0] {
            Some(e) => self.constant(e, "an argument of a distribution")?,
            None => declared,
        };
        let spread = self.constant(dist.args[1]?, "an argument of a distribution")?;
        let (is_good, rule) = match dist.kind {
            DistKind::Normal | DistKind::Laplace => {
                (spread > 0.0 && location.is_finite(), "its spread must be positive")
            }
            DistKind::LogNormal => (location > 0.0 && spread > 1.0, "its median must be positive and its gsd above 1"),
            DistKind::Uniform => (location < spread, "its low end must be below its high end"),
            DistKind::LogUniform => (0.0 < location && location < spread, "its ends must be positive and in order"),
        };
        if !is_good {
            let names = dist.kind.arguments();
            self.diagnostics.push(
                Diagnostic::new(
                    Code("E0609"),
                    dist.span,
                    format!("a distribution's arguments are out of range: {rule}"),
                )
                .at(format!("{} = {location}, {} = {spread}", names[0], names[1])),
            );
            return None;
        }
        Some(match dist.kind {
            DistKind::Normal => Distribution::Normal { mean: location, sd: spread },
            DistKind::LogNormal => Distribution::LogNormal { median: location, gsd: spread },
            DistKind::Uniform => Distribution::Uniform { low: location, high: spread },
            DistKind::LogUniform => Distribution::LogUniform { low: location, high: spread },
            DistKind::Laplace => Distribution::Laplace { location, scale: spread },
        })
    }

    fn forcing(&mut self, values: &HashMap<(SymbolId, u32), f64>, flat: &mut FlatModel) -> Option<()> {
        for home in [Home::Input, Home::Disturbance] {
            for (_, id, offset) in self.members(|l| (l.home == home).then_some(l.first)) {
                let quantity = self.quantity(id, offset)?;
                let value = match (values.get(&(id, offset as u32)), self.model.symbol(id).value) {
                    (Some(value), _) => *value,
                    (None, Some(value)) => self.constant(value, "the value of an input")?,
                    (None, None) => 0.0,
                };
                let list = if home == Home::Input { &mut flat.inputs } else { &mut flat.disturbances };
                list.push(Input { quantity, value });
            }
        }
        Some(())
    }

    fn algebra(&mut self, flat: &mut FlatModel) -> Option<()> {
        let mut is_good = true;
        for (_, id, offset) in self.members(|l| (l.home == Home::Let).then_some(l.first)) {
            match (self.quantity(id, offset), self.define(Definition::Algebra(id, offset as u32, Moment::Running))) {
                (Some(quantity), Some(node)) => flat.lets.push(Named { quantity, node }),
                _ => is_good = false,
            }
        }
        for (id, symbol) in self.model.symbols() {
            // Constants are checked even where nothing uses them.
            if symbol.kind == SymbolKind::Const {
                for offset in 0..self.layouts[id.0 as usize].len() {
                    let node = self.define(Definition::Algebra(id, offset as u32, Moment::Running));
                    match node.map(|n| self.value_of(n)) {
                        Some(Some(value)) if value.is_finite() => {}
                        Some(Some(value)) => {
                            if let Some(expr) = symbol.value {
                                self.not_finite(expr, &format!("the constant `{}`", symbol.name), value);
                            }
                            is_good = false;
                            break;
                        }
                        Some(None) => {
                            self.diagnostics.push(
                                Diagnostic::new(
                                    Code("E0407"),
                                    symbol.span,
                                    format!("the constant `{}` depends on what may change", symbol.name),
                                )
                                .at("declared here")
                                .help(format!("use `let {} = ..`", symbol.name)),
                            );
                            is_good = false;
                            break;
                        }
                        None => is_good = false,
                    }
                }
            }
        }
        for safe in &self.model.safe {
            match self.settle_margin(safe.condition, Margin::Distance) {
                Some(node) => flat.safe.push(Named {
                    quantity: Quantity {
                        name: safe.name.clone(),
                        unit: String::new(),
                        doc: String::new(),
                        low: f64::NEG_INFINITY,
                        high: f64::INFINITY,
                        span: safe.span,
                    },
                    node,
                }),
                None => is_good = false,
            }
        }
        is_good.then_some(())
    }

    fn observables(&mut self, flat: &mut FlatModel) -> Option<()> {
        let members = self.members(|l| (l.home == Home::Observable).then_some(l.first));
        let mut spreads = Vec::new();
        for (_, id, offset) in members {
            let quantity = self.quantity(id, offset)?;
            let node = self.define(Definition::Algebra(id, offset as u32, Moment::Running))?;
            let noise = self.model.symbol(id).dist.as_ref().and_then(|d| Some((d.kind.noise()?, d.args[1]?)));
            let spread = match noise {
                Some((_, spread)) => {
                    self.enter_member(id, offset as u32);
                    Some(self.settle(spread, Moment::Running)?)
                }
                None => None,
            };
            let value_output = flat.outputs.len();
            flat.outputs.push(node);
            spreads.push(spread);
            flat.observables.push(Observable {
                quantity,
                value_output,
                spread_output: None,
                noise: noise.map(|(n, _)| n),
            });
        }
        for (observable, spread) in flat.observables.iter_mut().zip(spreads) {
            if let Some(node) = spread {
                observable.spread_output = Some(flat.outputs.len());
                flat.outputs.push(node);
            }
        }
        Some(())
    }

    fn assertions(&mut self, flat: &mut FlatModel) -> Option<()> {
        let model = self.model;
        let mut is_good = true;
        for law in &model.conserved {
            match self.settle(law.expr, Moment::Running) {
                Some(node) => flat.conserved.push(Conserved { text: law.text.clone(), node, span: law.span }),
                None => is_good = false,
            }
        }
        for expect in &model.expects {
            let node = self.settle(expect.expr, Moment::Running);
            let time = self.constant(expect.time, "the time of an assertion");
            let value = self.constant(expect.value, "the value of an assertion");
            let tolerance = self.constant(expect.tolerance, "the tolerance of an assertion");
            match (node, time, value, tolerance) {
                (Some(_), Some(time), ..) if time < 0.0 => {
                    let at = self.model.expr(expect.time).span;
                    let title = format!("a simulation starts at time 0, and this asserts a value at {time}");
                    self.diagnostics.push(
                        Diagnostic::new(Code("E0608"), at, title)
                            .at("before the start")
                            .help("assert it at time 0 or later"),
                    );
                    is_good = false;
                }
                (Some(_), _, Some(_), Some(tolerance)) if tolerance < 0.0 => {
                    let at = self.model.expr(expect.tolerance).span;
                    self.diagnostics.push(
                        Diagnostic::new(Code("E0608"), at, format!("a tolerance of {tolerance} never holds"))
                            .at("must not be negative"),
                    );
                    is_good = false;
                }
                (Some(node), Some(time), Some(value), Some(tolerance)) => {
                    let tolerance = if expect.is_relative { tolerance * value.abs() } else { tolerance };
                    flat.expectations.push(Expectation {
                        text: expect.text.clone(),
                        node,
                        time,
                        value,
                        tolerance,
                        span: expect.span,
                    });
                }
                _ => is_good = false,
            }
        }
        is_good.then_some(())
    }
}

impl FlatModel {
    /// A model that declares nothing.
    pub(super) fn empty() -> FlatModel {
        FlatModel {
            name: String::new(),
            doc: String::new(),
            time_unit: String::new(),
            dag: Dag::new(),
            states: Vec::new(),
            params: Vec::new(),
            inputs: Vec::new(),
            disturbances: Vec::new(),
            lets: Vec::new(),
            safe: Vec::new(),
            observables: Vec::new(),
            outputs: Vec::new(),
            reactions: Vec::new(),
            events: Vec::new(),
            times: Vec::new(),
            roots: Vec::new(),
            conserved: Vec::new(),
            expectations: Vec::new(),
            noises: Vec::new(),
            diffusion: Vec::new(),
            jumps: None,
        }
    }

    /// True where no equation of motion depends on time explicitly.
    pub fn is_autonomous(&self) -> bool {
        let bits = dependencies(&self.dag);
        self.states.iter().all(|s| is_timeless(bits[s.rhs.0 as usize]))
    }
}

fn unit_text(symbol: &Symbol) -> String {
    symbol.unit.as_ref().map(ToString::to_string).unwrap_or_default()
}
