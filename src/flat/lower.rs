//! Resolved expressions to nodes of the graph, one family member at a time.
//!
//! Definitions may stand in any order. Lowering that meets a definition not lowered yet stops and names it
//! ([`Stop::Need`]); [`Builder::settle`] then lowers that one first, with a list instead of recursion, so that a
//! chain of 10,000 definitions needs no stack and a circle is found.

use std::collections::{HashMap, HashSet};

use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::expr::{BinaryOp, Compare, Dag, Env, Interpreter, Leaf, NodeId, UnaryOp};
use crate::hir::{ExprId, ExprKind, Function, IndexId, Model, SymbolId};
use crate::limits::{MAX_DAG_NODES, MAX_FAMILY, MAX_UNROLLED_STEPS};

use super::layout::{Counts, Home, Layout, member_name};

/// When an expression is evaluated: all along, or once at the start, where a state is its start value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Moment {
    Running,
    Start,
}

/// A definition that others refer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Definition {
    /// Member `offset` of a constant, `let` or observable.
    Algebra(SymbolId, u32, Moment),
    /// The start value of a state.
    Start(SymbolId, u32),
    /// The derivative of a state.
    Derivative(u32),
}

/// What a margin is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Margin {
    /// The distance to the edge; zero on it.
    Distance,
    /// Positive exactly where the condition holds, on the edge too.
    Truth,
}

/// What makes a margin of zero positive.
pub(super) const CLOSED: f64 = 1e-300;

/// Why an expression has no node.
#[derive(Debug)]
pub(super) enum Stop {
    /// Lower this first.
    Need(Definition),
    /// Reported already.
    Failed,
}

/// The state of flattening.
pub(super) struct Builder<'a> {
    pub model: &'a Model,
    pub dag: Dag,
    pub layouts: Vec<Layout>,
    pub counts: Counts,
    pub diagnostics: &'a mut Diagnostics,
    /// Values of bound indices.
    pub indices: Vec<Option<i64>>,
    /// Lowered definitions.
    pub known: HashMap<Definition, NodeId>,
    /// Replaced start values: those of a study's `start`.
    pub starts: HashMap<(SymbolId, u32), ExprId>,
    /// States whose start another start is written through.
    pub read_starts: HashSet<u32>,
    /// Where the derivative of each state is defined.
    pub derivatives: Vec<DerivativeSource>,
    /// The rate of each direction as it enters the derivatives, with the number of its reaction.
    pub flows: Vec<Flow>,
    /// Concentrations that a volume with an equation dilutes: the state, and that of the volume.
    pub diluted: Vec<(u32, u32)>,
    /// How each direction of a reaction is counted; `None` where nobody asks.
    pub counting: Option<super::jumps::Counting>,
    /// Definitions in a circle or behind one; reported.
    circular: HashSet<Definition>,
    /// Members of all families of reactions.
    pub n_reactions: usize,
    /// Dependency bits of the nodes so far.
    pub bits: Vec<u8>,
    memo: HashMap<(ExprId, Moment), NodeId>,
    has_index: Vec<bool>,
    /// Nodes visited.
    n_steps: usize,
}

/// What one direction of a reaction adds to the derivatives.
#[derive(Debug, Clone)]
pub(super) struct Flow {
    /// The node by which it enters them.
    pub rate: NodeId,
    /// Number of the reaction in the flat model.
    pub reaction: usize,
    /// `(state, coefficient, node)`
    pub terms: Vec<(u32, f64, NodeId)>,
}

/// Where a derivative comes from.
#[derive(Debug, Clone, Default)]
pub(super) enum DerivativeSource {
    /// Nothing moves it.
    #[default]
    None,
    /// Equation number, with the values of its bound indices.
    Ode(usize, Vec<i64>),
    /// Reactions decide it, and they are being collected.
    Pending,
    /// Collected by the network: Σ coefficient · node.
    Network(Vec<(f64, NodeId)>),
}

impl<'a> Builder<'a> {
    pub(super) fn new(model: &'a Model, diagnostics: &'a mut Diagnostics) -> Self {
        let mut has_index = vec![false; model.exprs.len()];
        for (k, expr) in model.exprs.iter().enumerate() {
            let mut flag = matches!(expr.kind, ExprKind::Index(_) | ExprKind::Pick { .. });
            expr.kind.for_each_operand(|e| flag |= has_index[e.0 as usize]);
            has_index[k] = flag;
        }
        Builder {
            model,
            dag: Dag::new(),
            layouts: Vec::new(),
            counts: Counts::default(),
            diagnostics,
            indices: vec![None; model.n_indices as usize],
            known: HashMap::new(),
            starts: HashMap::new(),
            read_starts: HashSet::new(),
            derivatives: Vec::new(),
            flows: Vec::new(),
            diluted: Vec::new(),
            counting: None,
            circular: HashSet::new(),
            n_reactions: 0,
            bits: Vec::new(),
            memo: HashMap::new(),
            has_index,
            n_steps: 0,
        }
    }

    /// The node of `expr`, after lowering whatever it needs. `None` where an error was reported.
    pub(super) fn settle(&mut self, expr: ExprId, moment: Moment) -> Option<NodeId> {
        loop {
            match self.node(expr, moment) {
                Ok(node) => return Some(node),
                Err(Stop::Failed) => return None,
                Err(Stop::Need(definition)) => {
                    self.define(definition)?;
                }
            }
        }
    }

    /// Lowers a definition and everything it needs.
    pub(super) fn define(&mut self, wanted: Definition) -> Option<NodeId> {
        if let Some(node) = self.known.get(&wanted) {
            return Some(*node);
        }
        // Definitions set the indices of their own families; whoever asks may be amid one of them.
        let mut outer: Vec<(IndexId, Option<i64>)> = Vec::new();
        let result = self.define_all(wanted, &mut outer);
        for (index, value) in outer.into_iter().rev() {
            self.indices[index.0 as usize] = value;
        }
        result
    }

    fn define_all(&mut self, wanted: Definition, outer: &mut Vec<(IndexId, Option<i64>)>) -> Option<NodeId> {
        if self.circular.contains(&wanted) {
            return None;
        }
        let mut open = vec![wanted];
        let mut is_open: HashSet<Definition> = HashSet::from([wanted]);
        self.save_indices(wanted, outer);
        while let Some(&definition) = open.last() {
            let node = match self.known.get(&definition) {
                Some(node) => Ok(*node),
                None => self.definition(definition),
            };
            match node {
                Ok(node) => {
                    self.known.insert(definition, node);
                    is_open.remove(&definition);
                    open.pop();
                }
                Err(Stop::Need(next)) => {
                    if self.circular.contains(&next) {
                        return None;
                    }
                    if !is_open.insert(next) {
                        self.circle(&open, next);
                        return None;
                    }
                    self.save_indices(next, outer);
                    open.push(next);
                }
                Err(Stop::Failed) => return None,
            }
        }
        self.known.get(&wanted).copied()
    }

    /// Notes the values of the indices that lowering `definition` sets.
    fn save_indices(&self, definition: Definition, outer: &mut Vec<(IndexId, Option<i64>)>) {
        let model = self.model;
        let ranges = match definition {
            Definition::Algebra(symbol, ..) | Definition::Start(symbol, _) => &model.symbol(symbol).ranges,
            Definition::Derivative(state) => match &self.derivatives[state as usize] {
                DerivativeSource::Ode(k, _) => &model.odes[*k].ranges,
                DerivativeSource::None | DerivativeSource::Pending | DerivativeSource::Network(_) => return,
            },
        };
        outer.extend(ranges.iter().map(|r| (r.index, self.indices[r.index.0 as usize])));
    }

    fn circle(&mut self, open: &[Definition], next: Definition) {
        let from = open.iter().position(|d| *d == next).unwrap_or(0);
        self.circular.extend(open);
        let names: Vec<String> = open[from..].iter().chain([&next]).map(|d| self.definition_name(*d)).collect();
        let span = match next {
            Definition::Algebra(symbol, ..) | Definition::Start(symbol, _) => self.model.symbol(symbol).span,
            Definition::Derivative(state) => match &self.derivatives[state as usize] {
                DerivativeSource::Ode(k, _) => self.model.odes[*k].span,
                DerivativeSource::None | DerivativeSource::Pending | DerivativeSource::Network(_) => {
                    match self.model.span {
                        Some(span) => span,
                        None => return,
                    }
                }
            },
        };
        let title = format!("`{}` is defined by itself", names[0]);
        self.diagnostics.push(
            Diagnostic::new(Code("E0207"), span, title)
                .at("this definition")
                .note(format!("the circle is {}", names.join(" → ")))
                .help("break the circle, for example by making one of them a `state`"),
        );
    }

    fn definition_name(&self, definition: Definition) -> String {
        match definition {
            Definition::Algebra(symbol, offset, _) | Definition::Start(symbol, offset) => {
                let indices = self.layouts[symbol.0 as usize].indices(offset as usize);
                member_name(&self.model.symbol(symbol).name, &indices)
            }
            Definition::Derivative(state) => format!("{}'", self.state_name(state)),
        }
    }

    pub(super) fn state_name(&self, state: u32) -> String {
        for ((_, symbol), layout) in self.model.symbols().zip(&self.layouts) {
            let n = layout.len() as u32;
            if matches!(layout.home, Home::State { .. }) && (layout.first..layout.first + n).contains(&state) {
                return member_name(&symbol.name, &layout.indices((state - layout.first) as usize));
            }
        }
        String::new()
    }

    fn definition(&mut self, definition: Definition) -> Result<NodeId, Stop> {
        match definition {
            Definition::Algebra(symbol, offset, moment) => {
                self.enter_member(symbol, offset);
                let value = self.model.symbol(symbol).value.ok_or(Stop::Failed)?;
                self.node(value, moment)
            }
            Definition::Start(symbol, offset) => {
                self.enter_member(symbol, offset);
                if let Some(expr) = self.starts.get(&(symbol, offset)) {
                    return self.node(*expr, Moment::Start);
                }
                if let Home::State { seed: Some(seed) } = self.layouts[symbol.0 as usize].home {
                    return Ok(self.dag.leaf(Leaf::Param(seed + offset)));
                }
                match self.model.symbol(symbol).value {
                    Some(value) => self.node(value, Moment::Start),
                    None => Ok(Dag::ZERO),
                }
            }
            Definition::Derivative(state) => match self.derivatives[state as usize].clone() {
                DerivativeSource::None => Ok(Dag::ZERO),
                DerivativeSource::Pending => Err(Stop::Failed),
                DerivativeSource::Network(terms) => Ok(self.dag.sum(&terms)),
                DerivativeSource::Ode(k, values) => {
                    let ode = &self.model.odes[k];
                    for (range, value) in ode.ranges.iter().zip(&values) {
                        self.set_index(range.index, *value);
                    }
                    self.node(ode.rhs, Moment::Running)
                }
            },
        }
    }

    /// Sets the bound indices of a family to those of one member.
    pub(super) fn enter_member(&mut self, symbol: SymbolId, offset: u32) {
        let values = self.layouts[symbol.0 as usize].indices(offset as usize);
        let model = self.model;
        for (range, value) in model.symbol(symbol).ranges.iter().zip(values) {
            self.set_index(range.index, value);
        }
    }

    pub(super) fn set_index(&mut self, index: IndexId, value: i64) {
        self.indices[index.0 as usize] = Some(value);
    }

    /// The value of an expression that must be constant: numbers, constants, bound indices.
    pub(super) fn constant(&mut self, expr: ExprId, what: &str) -> Option<f64> {
        let node = self.settle(expr, Moment::Running)?;
        match self.value_of(node) {
            Some(value) if value.is_finite() => Some(value),
            Some(value) => {
                self.not_finite(expr, what, value);
                None
            }
            None => {
                self.diagnostics.push(
                    Diagnostic::new(Code("E0407"), self.model.expr(expr).span, format!("{what} must be a constant"))
                        .at("depends on what may change")
                        .help("use numbers and `const`s only"),
                );
                None
            }
        }
    }

    /// The value of a node that depends on nothing. The graph leaves `1/0` as it is; here it is infinite.
    pub(super) fn value_of(&mut self, node: NodeId) -> Option<f64> {
        if let Some(value) = self.dag.as_const(node) {
            return Some(value);
        }
        (self.bits_of(node) == 0).then(|| {
            let env = Env { t: 0.0, x: &[], u: &[], d: &[], p: &[], dx: &[], dt: 0.0 };
            Interpreter::new(&self.dag, &[node]).values(&env)[0]
        })
    }

    /// E0702 for a constant that is infinite or not a number.
    pub(super) fn not_finite(&mut self, expr: ExprId, what: &str, value: f64) {
        let shown = if value.is_nan() { "not a number".to_string() } else { format!("infinite ({value})") };
        self.diagnostics.push(
            Diagnostic::new(Code("E0702"), self.model.expr(expr).span, format!("{what} is {shown}"))
                .at("no finite number comes out")
                .help("look for a division by zero, or a root or logarithm of what is not positive"),
        );
    }

    /// The value of an index expression.
    pub(super) fn integer(&mut self, expr: ExprId) -> Result<i64, Stop> {
        let node = self.node(expr, Moment::Running)?;
        let span = self.model.expr(expr).span;
        match self.value_of(node) {
            Some(v) if v.fract() == 0.0 && v.abs() < 1e15 => Ok(v as i64),
            Some(v) => {
                self.diagnostics.push(
                    Diagnostic::new(Code("E0405"), span, format!("an index must be a whole number, and this is {v}"))
                        .at("used as an index"),
                );
                Err(Stop::Failed)
            }
            None => {
                self.diagnostics.push(
                    Diagnostic::new(Code("E0407"), span, "an index must be a constant")
                        .at("depends on what may change")
                        .help("use numbers, `const`s and the indices of `for`"),
                );
                Err(Stop::Failed)
            }
        }
    }

    /// Which member `indices` name.
    pub(super) fn member(&mut self, symbol: SymbolId, indices: &[ExprId]) -> Result<u32, Stop> {
        if indices.is_empty() {
            return if self.layouts[symbol.0 as usize].shape.is_empty() { Ok(0) } else { Err(Stop::Failed) };
        }
        let mut values = Vec::with_capacity(indices.len());
        for index in indices {
            values.push(self.integer(*index)?);
        }
        match self.layouts[symbol.0 as usize].offset(&values) {
            Ok(offset) => Ok(offset as u32),
            Err(k) => {
                let (low, high) = self.layouts[symbol.0 as usize].shape[k];
                let symbol = self.model.symbol(symbol);
                self.diagnostics.push(
                    Diagnostic::new(
                        Code("E0405"),
                        self.model.expr(indices[k]).span,
                        format!("`{}` has members {low} .. {high}, and {} is asked for", symbol.name, values[k]),
                    )
                    .at(format!("is {} here", values[k]))
                    .label(symbol.span, format!("declared for {low} .. {high}")),
                );
                Err(Stop::Failed)
            }
        }
    }

    /// The node of an expression.
    pub(super) fn node(&mut self, id: ExprId, moment: Moment) -> Result<NodeId, Stop> {
        let is_shared = !self.has_index[id.0 as usize];
        if is_shared && let Some(node) = self.memo.get(&(id, moment)) {
            return Ok(*node);
        }
        self.n_steps += 1;
        if self.n_steps >= MAX_UNROLLED_STEPS {
            let span = self.model.expr(id).span;
            if self.n_steps == MAX_UNROLLED_STEPS {
                let title =
                    format!("the families and sums of this model take more than {MAX_UNROLLED_STEPS} steps to unroll");
                let help = "make the index ranges smaller, or name inner sums with `let`";
                self.diagnostics
                    .push(Diagnostic::new(Code("E0114"), span, title).at("here the limit is reached").help(help));
            }
            return Err(Stop::Failed);
        }
        if self.dag.len() >= MAX_DAG_NODES {
            let span = self.model.expr(id).span;
            self.diagnostics.push(
                Diagnostic::new(
                    Code("E0114"),
                    span,
                    format!("the equations have more than {MAX_DAG_NODES} operations"),
                )
                .at("here the limit is reached"),
            );
            return Err(Stop::Failed);
        }
        let node = self.node_new(id, moment)?;
        if is_shared {
            self.memo.insert((id, moment), node);
        }
        Ok(node)
    }

    fn node_new(&mut self, id: ExprId, moment: Moment) -> Result<NodeId, Stop> {
        let model = self.model;
        match &model.expr(id).kind {
            ExprKind::Error => Err(Stop::Failed),
            ExprKind::Number { value, .. } => Ok(self.dag.constant(*value)),
            ExprKind::Time => Ok(self.dag.leaf(Leaf::Time)),
            ExprKind::Index(index) => match self.indices[index.0 as usize] {
                Some(value) => Ok(self.dag.constant(value as f64)),
                None => Err(Stop::Failed),
            },
            ExprKind::Symbol { symbol, indices } => {
                let offset = self.member(*symbol, indices)?;
                self.reference(*symbol, offset, moment)
            }
            ExprKind::Derivative { symbol, indices } => {
                let offset = self.member(*symbol, indices)?;
                let state = self.layouts[symbol.0 as usize].first + offset;
                if self.layouts[symbol.0 as usize].home == Home::Noise {
                    return Ok(self.dag.leaf(super::diffusion::white_noise(state)));
                }
                if matches!(self.derivatives[state as usize], DerivativeSource::Pending) {
                    let name = &model.symbol(*symbol).name;
                    self.diagnostics.push(
                        Diagnostic::new(
                            Code("E0207"),
                            model.expr(id).span,
                            format!("`{name}'` follows from the reactions, and here a reaction follows from it"),
                        )
                        .at("stands in a rate or a volume")
                        .help("write the rate with states and parameters only"),
                    );
                    return Err(Stop::Failed);
                }
                self.look_up(Definition::Derivative(state))
            }
            ExprKind::Sum(terms) => {
                let mut list = Vec::with_capacity(terms.len());
                for (is_minus, term) in terms {
                    list.push((if *is_minus { -1.0 } else { 1.0 }, self.node(*term, moment)?));
                }
                Ok(self.dag.sum(&list))
            }
            ExprKind::Product(factors) => {
                let mut acc = Dag::ONE;
                for (is_divisor, factor) in factors {
                    let f = self.node(*factor, moment)?;
                    acc = if *is_divisor { self.dag.div(acc, f) } else { self.dag.mul(acc, f) };
                }
                Ok(acc)
            }
            ExprKind::Pow(a, b) => {
                let (a, b) = (self.node(*a, moment)?, self.node(*b, moment)?);
                Ok(self.dag.pow(a, b))
            }
            ExprKind::Call(function, args) => {
                let a = self.node(args[0], moment)?;
                match function {
                    Function::Unary(op) => Ok(self.dag.unary(*op, a)),
                    Function::Binary(op) => {
                        let b = self.node(args[1], moment)?;
                        Ok(self.dag.binary(*op, a, b))
                    }
                }
            }
            ExprKind::Compare(op, a, b) => {
                let (a, b) = (self.node(*a, moment)?, self.node(*b, moment)?);
                Ok(self.dag.compare(*op, a, b))
            }
            ExprKind::And(list) => self.fold(list, BinaryOp::And, moment),
            ExprKind::Or(list) => self.fold(list, BinaryOp::Or, moment),
            ExprKind::Not(a) => {
                let a = self.node(*a, moment)?;
                Ok(self.dag.unary(UnaryOp::Not, a))
            }
            ExprKind::If { condition, then, otherwise } => {
                let c = self.node(*condition, moment)?;
                // A condition on indices is decided here, so that the other branch may name members that do not exist.
                match self.dag.as_const(c) {
                    Some(value) if value != 0.0 => self.node(*then, moment),
                    Some(_) => self.node(*otherwise, moment),
                    None => {
                        let (a, b) = (self.node(*then, moment)?, self.node(*otherwise, moment)?);
                        Ok(self.dag.select(c, a, b))
                    }
                }
            }
            ExprKind::SumOver { index, from, to, condition, body } => {
                let (low, high) = (self.integer(*from)?, self.integer(*to)?);
                if high > low && (high - low) as usize >= MAX_FAMILY {
                    let n = (high - low) as usize + 1;
                    self.diagnostics.push(
                        Diagnostic::new(
                            Code("E0408"),
                            model.expr(id).span,
                            format!("this sum has {n} terms, more than {MAX_FAMILY}"),
                        )
                        .at("too many terms")
                        .help("make its range smaller"),
                    );
                    return Err(Stop::Failed);
                }
                let saved = self.indices[index.0 as usize];
                let mut terms = Vec::new();
                let mut result = Ok(());
                for value in low..=high {
                    self.set_index(*index, value);
                    match self.sum_term(*condition, *body, moment) {
                        Ok(term) => terms.extend(term.map(|t| (1.0, t))),
                        Err(stop) => {
                            result = Err(stop);
                            break;
                        }
                    }
                }
                self.indices[index.0 as usize] = saved;
                result?;
                Ok(self.dag.sum(&terms))
            }
            ExprKind::Pick { index, from, list } => {
                let first = self.integer(*from)?;
                let at = self.indices[index.0 as usize].and_then(|i| usize::try_from(i - first).ok());
                match at.and_then(|k| list.get(k)) {
                    Some(e) => self.node(*e, moment),
                    None => {
                        let at = self.indices[index.0 as usize].unwrap_or_default();
                        let n = list.len();
                        self.diagnostics.push(
                            Diagnostic::new(
                                Code("E0406"),
                                model.expr(id).span,
                                format!("{n} values are given, and member {at} has none"),
                            )
                            .at("one value for each member"),
                        );
                        Err(Stop::Failed)
                    }
                }
            }
            ExprKind::Convert { factor, offset, operand } => {
                let a = self.node(*operand, moment)?;
                Ok(self.dag.sum(&[(*factor, a), (*offset, Dag::ONE)]))
            }
        }
    }

    fn sum_term(&mut self, condition: Option<ExprId>, body: ExprId, moment: Moment) -> Result<Option<NodeId>, Stop> {
        if let Some(condition) = condition {
            let c = self.node(condition, moment)?;
            match self.dag.as_const(c) {
                Some(value) => {
                    if value == 0.0 {
                        return Ok(None);
                    }
                }
                None => {
                    let span = self.model.expr(condition).span;
                    self.diagnostics.push(
                        Diagnostic::new(Code("E0407"), span, "the condition of a `sum` must be a constant")
                            .at("depends on what may change"),
                    );
                    return Err(Stop::Failed);
                }
            }
        }
        self.node(body, moment).map(Some)
    }

    fn fold(&mut self, list: &[ExprId], op: BinaryOp, moment: Moment) -> Result<NodeId, Stop> {
        let mut acc = self.node(list[0], moment)?;
        for e in &list[1..] {
            let next = self.node(*e, moment)?;
            acc = self.dag.binary(op, acc, next);
        }
        Ok(acc)
    }

    fn look_up(&mut self, definition: Definition) -> Result<NodeId, Stop> {
        self.known.get(&definition).copied().ok_or(Stop::Need(definition))
    }

    /// The node of a member.
    pub(super) fn reference(&mut self, symbol: SymbolId, offset: u32, moment: Moment) -> Result<NodeId, Stop> {
        let layout = &self.layouts[symbol.0 as usize];
        let k = layout.first + offset;
        match layout.home {
            Home::Const => self.look_up(Definition::Algebra(symbol, offset, Moment::Running)),
            Home::Let | Home::Observable => self.look_up(Definition::Algebra(symbol, offset, moment)),
            Home::Param => Ok(self.dag.leaf(Leaf::Param(k))),
            Home::Input => Ok(self.dag.leaf(Leaf::Input(k))),
            Home::Disturbance => Ok(self.dag.leaf(Leaf::Disturbance(k))),
            // Refused when its name was looked up.
            Home::Noise => Err(Stop::Failed),
            Home::State { .. } => match moment {
                Moment::Running => Ok(self.dag.leaf(Leaf::State(k))),
                Moment::Start => {
                    self.read_starts.insert(k);
                    self.look_up(Definition::Start(symbol, offset))
                }
            },
        }
    }

    /// A margin of a condition: positive where it holds, negative where it does not.
    fn margin(&mut self, condition: ExprId, kind: Margin) -> Result<NodeId, Stop> {
        let model = self.model;
        match &model.expr(condition).kind {
            ExprKind::Compare(op @ (Compare::Lt | Compare::Le), a, b) => {
                let (a, b) = (self.node(*a, Moment::Running)?, self.node(*b, Moment::Running)?);
                let distance = self.dag.sub(b, a);
                Ok(self.closed(distance, kind == Margin::Truth && *op == Compare::Le))
            }
            ExprKind::And(list) => self.fold_margin(list, BinaryOp::Min, kind),
            ExprKind::Or(list) => self.fold_margin(list, BinaryOp::Max, kind),
            ExprKind::Not(a) => {
                let m = self.margin(*a, kind)?;
                let m = self.dag.neg(m);
                Ok(self.closed(m, kind == Margin::Truth))
            }
            _ => {
                let c = self.node(condition, Moment::Running)?;
                let minus = self.dag.constant(-1.0);
                Ok(self.dag.select(c, Dag::ONE, minus))
            }
        }
    }

    /// A margin that is positive at equality too: [`CLOSED`] is lost in every margin but zero.
    fn closed(&mut self, margin: NodeId, is_closed: bool) -> NodeId {
        if is_closed { self.dag.sum(&[(1.0, margin), (CLOSED, Dag::ONE)]) } else { margin }
    }

    fn fold_margin(&mut self, list: &[ExprId], op: BinaryOp, kind: Margin) -> Result<NodeId, Stop> {
        let mut acc = self.margin(list[0], kind)?;
        for e in &list[1..] {
            let next = self.margin(*e, kind)?;
            acc = self.dag.binary(op, acc, next);
        }
        Ok(acc)
    }

    /// The margin of a condition, after lowering whatever it needs.
    pub(super) fn settle_margin(&mut self, condition: ExprId, kind: Margin) -> Option<NodeId> {
        loop {
            match self.margin(condition, kind) {
                Ok(node) => return Some(node),
                Err(Stop::Failed) => return None,
                Err(Stop::Need(definition)) => {
                    self.define(definition)?;
                }
            }
        }
    }

    /// Which member, after lowering whatever the indices need.
    pub(super) fn settle_member(&mut self, symbol: SymbolId, indices: &[ExprId]) -> Option<u32> {
        loop {
            match self.member(symbol, indices) {
                Ok(offset) => return Some(offset),
                Err(Stop::Failed) => return None,
                Err(Stop::Need(definition)) => {
                    self.define(definition)?;
                }
            }
        }
    }

    /// The value of an index bound, after lowering whatever it needs.
    pub(super) fn settle_integer(&mut self, expr: ExprId) -> Option<i64> {
        loop {
            match self.integer(expr) {
                Ok(value) => return Some(value),
                Err(Stop::Failed) => return None,
                Err(Stop::Need(definition)) => {
                    self.define(definition)?;
                }
            }
        }
    }
}
