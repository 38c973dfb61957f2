//! Inferred units, written down once the equations over them are solved.

use super::*;

impl Checker<'_> {
    /// A `let`, `const` or observable whose definition has a known unit has that unit: its uses are converted, and do
    /// not take part in finding it. Definitions that rest on later ones are found in further rounds.
    pub(super) fn definitions(&mut self, inferred: &mut Vec<InferredUnit>) {
        const MOST_ROUNDS: usize = 8;
        for _ in 0..MOST_ROUNDS {
            let mut is_settled = true;
            for k in 0..self.model.symbols.len() {
                let symbol = &self.model.symbols[k];
                let is_definition = matches!(symbol.kind, SymbolKind::Let | SymbolKind::Const | SymbolKind::Observable);
                let Some(value) = symbol.value.filter(|_| is_definition && symbol.unit.is_none()) else { continue };
                if super::is_bare(self.model, value) {
                    continue;
                }
                if let (_, Type::Number(Some(form))) = self.walk(value) {
                    let form = self.solver.reduce(&form);
                    if form.unknowns.is_empty() {
                        self.learn(k, form.known, inferred);
                        is_settled = false;
                    }
                }
            }
            // What was walked saw these names as unknown.
            self.memo.clear();
            if is_settled {
                break;
            }
        }
    }

    fn learn(&mut self, k: usize, unit: Unit, inferred: &mut Vec<InferredUnit>) {
        let symbol = &mut self.model.symbols[k];
        let is_own = symbol.span.source == self.model.span.map_or(symbol.span.source, |s| s.source);
        if is_own && !symbol.name.contains('.') {
            let name = format!("{}.{}", self.model.name, symbol.name);
            inferred.push(InferredUnit { name, unit: unit.to_string(), span: symbol.span });
        }
        symbol.unit = Some(unit);
    }

    /// Writes down what the equations say about unknown units.
    pub(super) fn conclude(&mut self, is_strict: bool, inferred: &mut Vec<InferredUnit>) {
        let used = self.used_symbols();
        let mut unsolved = Vec::new();
        for k in 0..self.model.symbols.len() {
            if self.model.symbols[k].unit.is_some() || self.model.symbols[k].kind == SymbolKind::Noise {
                continue;
            }
            match self.solver.solution(k as u32) {
                Some(unit) => self.learn(k, unit, inferred),
                None => {
                    let is_used = used.contains(&(k as u32));
                    if (is_used || is_strict) && !self.unsettled.untyped.contains(&SymbolId(k as u32)) {
                        unsolved.push((k, is_used));
                    }
                }
            }
        }
        // A model whose written units are all `[1]` is one of pure numbers.
        let is_pure = !is_strict && self.is_pure();
        // Units that hang on one unknown are one mistake: the first is reported and then taken as known.
        for (k, is_used) in unsolved {
            if let Some(unit) = self.solver.solution(k as u32).filter(|_| is_pure) {
                self.model.symbols[k].unit = Some(unit);
                continue;
            }
            if self.unsettled.is_quiet || self.solver.solution(k as u32).is_some() {
                continue;
            }
            if is_pure {
                self.model.symbols[k].unit = Some(Unit::one());
                self.solver.equate(&Form::unknown(k as u32), &Form::known(Unit::one()));
                continue;
            }
            let candidates = self.solver.candidates(k as u32);
            let symbol = &self.model.symbols[k];
            let (name, word) = (&symbol.name, symbol.kind.word());
            let code = if is_used { "E0304" } else { "E0305" };
            let d = Diagnostic::new(Code(code), symbol.span, format!("the unit of `{name}` cannot be inferred"));
            self.diagnostics.push(match candidates {
                Some((one, other)) => d.at(format!("[{one}] in one equation, [{other}] in another")).help(format!(
                    "write the one that its value is in: `{word} {name} [{one}]` or `{word} {name} [{other}]`"
                )),
                None => d
                    .at(if is_used { "any unit would fit" } else { "no equation says" })
                    .help(format!("write it: `{word} {name} [unit]`, or `[1]` for a pure number")),
            });
            self.solver.equate(&Form::unknown(k as u32), &Form::known(Unit::one()));
        }
        if self.model.time_unit.is_none() {
            self.model.time_unit = self.solver.solution(Self::TIME);
            if self.model.time_unit.is_none()
                && let Some(span) = self.model.span
                && !self.model.odes.is_empty()
                && !self.unsettled.is_quiet
                && !self.unsettled.is_time_untyped
            {
                self.diagnostics.push(
                    Diagnostic::new(
                        Code("E0304"),
                        span,
                        format!("the unit of time of `{}` cannot be inferred", self.model.name),
                    )
                    .at("this model has units but no `time`")
                    .help("write for example `time [s]`"),
                );
            }
        }
    }

    /// Symbols that stand in an expression or have an equation.
    pub(super) fn used_symbols(&self) -> std::collections::HashSet<u32> {
        let mut used: std::collections::HashSet<u32> = self
            .model
            .exprs
            .iter()
            .filter_map(|e| match &e.kind {
                ExprKind::Symbol { symbol, .. } | ExprKind::Derivative { symbol, .. } => Some(symbol.0),
                _ => None,
            })
            .collect();
        used.extend(self.model.odes.iter().map(|o| o.symbol.0));
        used
    }

    /// True where every unit that is written is `1`.
    fn is_pure(&self) -> bool {
        let is_one = |unit: &Option<Unit>| unit.as_ref().is_none_or(Unit::is_one);
        is_one(&self.model.time_unit)
            && self.model.symbols.iter().all(|s| !s.is_unit_written || is_one(&s.unit))
            && self.model.exprs.iter().all(|e| match &e.kind {
                ExprKind::Number { unit, .. } => is_one(unit),
                _ => true,
            })
    }

    /// `--strict` and no unit anywhere.
    pub(super) fn demand_units(&mut self) {
        if let Some(span) = self.model.span {
            self.diagnostics.push(
                Diagnostic::new(Code("E0305"), span, format!("the model `{}` has no units", self.model.name))
                    .at("strict checking needs them")
                    .help("write `time [s]` and a unit behind each name, `[1]` for pure numbers"),
            );
        }
    }
}
