//! Units of reactions: what a rate or rate constant must be, and the factors between species of different units.

use super::*;

impl Checker<'_> {
    /// The unit in which a species' concentration enters mass action, and whether it is counted as an amount.
    pub(super) fn concentration(&self, term: &Term) -> (Option<Form>, bool) {
        let form = self.form_of(term.symbol);
        let symbol = self.model.symbol(term.symbol);
        let SymbolKind::Species { compartment: Some(volume), .. } = symbol.kind else { return (form, false) };
        let is_amount = symbol.unit.as_ref().is_some_and(is_amount);
        let form = if is_amount { form.zip(self.form_of(volume)).map(|(x, v)| x.div(&v)) } else { form };
        (form, is_amount)
    }

    pub(super) fn compartment(&self, symbol: SymbolId) -> Option<SymbolId> {
        match self.model.symbol(symbol).kind {
            SymbolKind::Species { compartment, .. } => compartment,
            _ => None,
        }
    }

    /// Rates: `factor` of each direction and term such that the species' own units result.
    pub(super) fn reaction(&mut self, k: usize) {
        let mut reaction = self.model.reactions[k].clone();
        let all: Vec<Term> = reaction.reactants.iter().chain(&reaction.products).cloned().collect();
        let Some(reference) = all.first() else { return };
        let (ref_conc, _) = self.concentration(reference);
        let home = self.compartment(reference.symbol);
        let is_one_place = all.iter().all(|t| self.compartment(t.symbol) == home);
        if !is_one_place
            && !self.is_inferring
            && let Some(outside) = all.iter().find(|t| self.compartment(t.symbol).is_none())
        {
            self.diagnostics.push(
                Diagnostic::new(
                    Code("E0504"),
                    outside.span,
                    "some species of this reaction are in a compartment, and this one is in none",
                )
                .at("in no compartment")
                .help("declare it inside `compartment V [L] = .. { .. }`"),
            );
        }
        let time = self.time_form();
        for is_reverse in [false, true] {
            let side = if is_reverse { &reaction.products } else { &reaction.reactants };
            let consumed = side.clone();
            let Some(direction) = (if is_reverse { reaction.reverse.as_mut() } else { Some(&mut reaction.forward) })
            else {
                continue;
            };
            let (law, ty) = self.walk(direction.law);
            direction.law = law;
            let law_form = match ty {
                Type::Number(form) => form,
                Type::Truth => {
                    self.not_a_number(law);
                    None
                }
            };
            // The place whose concentrations drive this direction.
            let place = consumed.first().map_or(home, |t| self.compartment(t.symbol));
            let driver = consumed.first().unwrap_or(reference);
            let driver_conc = self.concentration(driver).0.or_else(|| ref_conc.clone());
            let conc_rate = driver_conc.clone().zip(time.clone()).map(|(c, t)| c.div(&t));
            if direction.is_mass_action {
                if let Some(other) = consumed.iter().find(|t| self.compartment(t.symbol) != place) {
                    self.diagnostics.push(
                        Diagnostic::new(
                            Code("E0504"),
                            other.span,
                            "the reactants of mass action are in different compartments",
                        )
                        .at("not in the same compartment")
                        .label(driver.span, "as this one")
                        .help("write the full law as `rate law`, in amount per time"),
                    );
                }
                direction.basis = RateBasis::Concentration(place);
                let mut driven = Some(Form::known(Unit::one()));
                for term in &consumed {
                    let conc = self.concentration(term).0;
                    driven = match Ratio::from_f64(term.coefficient) {
                        Some(power) => driven.zip(conc).map(|(acc, c)| acc.mul(&c.pow(power))),
                        None => {
                            self.no_order(term, conc);
                            None
                        }
                    };
                }
                let wanted = conc_rate.clone().zip(driven).map(|(r, d)| r.div(&d));
                let n_errors = self.diagnostics.len();
                direction.factor = self.law_factor(law, law_form, &[wanted], true, &consumed).map_or(1.0, |(_, f)| f);
                if !self.is_inferring && self.diagnostics.len() == n_errors {
                    self.only_the_constant(law, &consumed);
                }
            } else {
                let volume = place.and_then(|v| self.form_of(v));
                let is_in_volume = place.is_some();
                let amount_rate =
                    if is_in_volume { conc_rate.clone().zip(volume).map(|(r, v)| r.mul(&v)) } else { None };
                let is_across = !is_one_place;
                let candidates: Vec<Option<Form>> = match (is_across, is_in_volume) {
                    (false, false) => vec![conc_rate.clone()],
                    (false, true) => vec![conc_rate.clone(), amount_rate],
                    (true, _) => vec![amount_rate],
                };
                let is_amount_only = is_across;
                match self.law_factor(law, law_form, &candidates, false, &consumed) {
                    Some((which, factor)) => {
                        let is_amount = is_amount_only || which == 1;
                        direction.basis = if is_amount { RateBasis::Amount } else { RateBasis::Concentration(place) };
                        direction.factor = factor;
                    }
                    None => {
                        direction.basis =
                            if is_amount_only { RateBasis::Amount } else { RateBasis::Concentration(place) }
                    }
                }
            }
        }
        // From the reference concentration to each species' own unit.
        for term in reaction.reactants.iter_mut().chain(&mut reaction.products) {
            let (conc, is_amount) = self.concentration(term);
            term.is_amount = is_amount;
            if let (Some(reference), Some(conc)) = (&ref_conc, &conc) {
                match self.convert_factor(reference, conc) {
                    Some(factor) => term.factor = factor,
                    None => self.diagnostics.push(
                        Diagnostic::new(
                            Code("E0301"),
                            term.span,
                            format!(
                                "`{}` is measured in {}, but this reaction moves {}",
                                self.model.symbol(term.symbol).name,
                                conc.known,
                                reference.known
                            ),
                        )
                        .at(format!("[{}]", conc.known))
                        .label(all[0].span, format!("[{}]", reference.known))
                        .help("a reaction moves one kind of amount: bring both to one unit, or write `x' = ..` with the conversion"),
                    ),
                }
            }
        }
        if !self.is_inferring {
            // Directions are driven by their own side; their rates are brought to the reference's unit here.
            for is_reverse in [false, true] {
                let side = if is_reverse { &reaction.products } else { &reaction.reactants };
                let factor = side.first().map_or(1.0, |t| 1.0 / t.factor);
                if let Some(direction) =
                    if is_reverse { reaction.reverse.as_mut() } else { Some(&mut reaction.forward) }
                {
                    direction.factor *= factor;
                }
            }
            self.model.reactions[k] = reaction;
        }
    }

    /// Which of the `wanted` units the law has, and the factor to it.
    pub(super) fn law_factor(
        &mut self,
        law: ExprId,
        form: Option<Form>,
        wanted: &[Option<Form>],
        is_mass_action: bool,
        consumed: &[Term],
    ) -> Option<(usize, f64)> {
        let Some(form) = form else { return Some((0, 1.0)) };
        let first = wanted.iter().find_map(|w| w.clone())?;
        if self.is_inferring {
            self.solver.equate(&form, &first);
            return None;
        }
        for (k, wanted) in wanted.iter().enumerate() {
            if let Some(wanted) = wanted
                && let Some(factor) = form.known.factor_to(&wanted.known)
            {
                return Some((k, factor));
            }
        }
        let d = self.wrong_rate(law, &form.known, wanted, is_mass_action, consumed);
        self.diagnostics.push(d);
        None
    }

    /// E0501 with what was probably meant.
    fn wrong_rate(
        &self,
        law: ExprId,
        found: &Unit,
        wanted: &[Option<Form>],
        is_mass_action: bool,
        consumed: &[Term],
    ) -> Diagnostic {
        let span = self.model.expr(law).span;
        let choices = wanted.iter().flatten().map(|f| format!("[{}]", f.known)).collect::<Vec<_>>().join(" or ");
        if !is_mass_action {
            let factor = wanted.iter().flatten().next().map(|f| f.known.div(found));
            let d = Diagnostic::new(Code("E0501"), span, "rate has the wrong unit")
                .at(format!("[{found}], but this reaction expects {choices}"));
            let mut d = match factor {
                Some(factor) => d.help(format!("is a factor in [{factor}] missing?")),
                None => d,
            };
            d.labels.extend(self.parts(law));
            return d;
        }
        let names: Vec<String> = consumed.iter().map(|t| format!("`{}`", self.model.symbol(t.symbol).name)).collect();
        let order = if names.is_empty() { String::new() } else { format!(" in {}", names.join(" and ")) };
        let d = Diagnostic::new(Code("E0501"), span, "rate constant has the wrong unit")
            .at(format!("[{found}], but mass action{order} expects {choices}"));
        if !self.is_full_law(law) {
            return d.help(format!("give the constant the unit {choices}"));
        }
        self.keep_the_constant(d, law, consumed)
    }

    /// E0501 for a coefficient that is no simple fraction: the constant of mass action has no unit then.
    fn no_order(&mut self, term: &Term, conc: Option<Form>) {
        if self.is_inferring || conc.is_none_or(|form| form.known.is_one()) {
            return;
        }
        let (name, n) = (&self.model.symbol(term.symbol).name, term.coefficient);
        self.diagnostics.push(
            Diagnostic::new(
                Code("E0501"),
                term.span,
                format!("mass action of order {n} in `{name}` leaves its constant without a unit"),
            )
            .at("this coefficient is no simple fraction")
            .help(format!("write the full law, such as `rate v*({name}/K)^{n}` with `K` in the unit of `{name}`")),
        );
    }

    /// E0501 for a constant that depends on a species, where its unit does not show it.
    fn only_the_constant(&mut self, law: ExprId, consumed: &[Term]) {
        let Some((species, via)) = self.species_of(law) else { return };
        let name = &self.model.symbol(species).name;
        let span = self.model.expr(law).span;
        let title = match via {
            Some(via) => {
                format!("this constant depends on the species `{name}`, by `{}`", self.model.symbol(via).name)
            }
            None => format!("this constant depends on the species `{name}`"),
        };
        let d = Diagnostic::new(Code("E0501"), span, title).at("mass action multiplies by the reactants itself");
        let d = self.keep_the_constant(d, law, consumed);
        self.diagnostics.push(d);
    }

    /// A species that the value of `law` depends on, and the `let` of the law through which it does.
    fn species_of(&self, law: ExprId) -> Option<(SymbolId, Option<SymbolId>)> {
        let mut seen = std::collections::HashSet::new();
        let mut stack = vec![(law, None)];
        while let Some((id, via)) = stack.pop() {
            if !seen.insert(id) {
                continue;
            }
            let kind = &self.model.expr(id).kind;
            if let ExprKind::Symbol { symbol, .. } = kind {
                let found = self.model.symbol(*symbol);
                match found.kind {
                    SymbolKind::Species { .. } => return Some((*symbol, via)),
                    SymbolKind::Let | SymbolKind::Observable => {
                        stack.extend(found.value.map(|value| (value, via.or(Some(*symbol)))));
                    }
                    SymbolKind::Const
                    | SymbolKind::Param
                    | SymbolKind::Compartment
                    | SymbolKind::State
                    | SymbolKind::Discrete
                    | SymbolKind::Input
                    | SymbolKind::Disturbance
                    | SymbolKind::Noise => {}
                }
            }
            kind.for_each_operand(|e| stack.push((e, via)));
        }
        None
    }

    /// What to write instead of a full law behind `@`; a fix where the law is the constant times the reactants.
    fn keep_the_constant(&self, d: Diagnostic, law: ExprId, consumed: &[Term]) -> Diagnostic {
        let span = self.model.expr(law).span;
        let text = self.sources.slice(span);
        match self.constant_part(law, consumed) {
            Some(constant) => d
                .help(format!("`@` takes only the constant: write `@ {constant}`, or `rate {text}` for a full law"))
                .fix("keep the constant only", span, constant),
            None => d.help(format!("`@` takes only the constant: write `@ k`, or `rate {text}` for a full law")),
        }
    }

    /// What is left of a product such as `kcat*ES` without its reactants; `None` unless each of them stands in it
    /// to the power of its coefficient, and no other species does.
    fn constant_part(&self, law: ExprId, consumed: &[Term]) -> Option<String> {
        let ExprKind::Product(factors) = &self.model.expr(law).kind else { return None };
        let mut orders: Vec<((SymbolId, Vec<&str>), f64)> = Vec::new();
        let mut add = |member, order: f64| match orders.iter_mut().find(|(known, _)| *known == member) {
            Some((_, known)) => *known += order,
            None => orders.push((member, order)),
        };
        let texts = |indices: &[ExprId]| -> Vec<&str> {
            indices.iter().map(|e| self.sources.slice(self.model.expr(*e).span)).collect()
        };
        for term in consumed {
            // An amount enters by its concentration, which is not what the law says.
            if self.concentration(term).1 {
                return None;
            }
            add((term.symbol, texts(&term.indices)), term.coefficient);
        }
        let mut rest = Vec::new();
        for (is_divisor, factor) in factors {
            let (base, order) = match &self.model.expr(*factor).kind {
                ExprKind::Pow(base, exponent) => (*base, constant(self.model, *exponent)?),
                _ => (*factor, 1.0),
            };
            match &self.model.expr(base).kind {
                ExprKind::Symbol { symbol, indices }
                    if matches!(self.model.symbol(*symbol).kind, SymbolKind::Species { .. }) && !is_divisor =>
                {
                    add((*symbol, texts(indices)), -order);
                }
                _ if *is_divisor || self.species_of(*factor).is_some() => return None,
                _ => rest.push(*factor),
            }
        }
        if rest.is_empty() || orders.iter().any(|(_, left)| *left != 0.0) {
            return None;
        }
        let text = |e: &ExprId| {
            let text = self.sources.slice(self.model.expr(*e).span);
            let is_sum = matches!(self.model.expr(*e).kind, ExprKind::Sum(_) | ExprKind::If { .. });
            if is_sum && rest.len() > 1 { format!("({text})") } else { text.to_string() }
        };
        Some(rest.iter().map(text).collect::<Vec<_>>().join("*"))
    }

    /// True where the law mentions a species: it is then not a constant.
    pub(super) fn is_full_law(&self, law: ExprId) -> bool {
        let mut stack = vec![law];
        while let Some(id) = stack.pop() {
            let kind = &self.model.expr(id).kind;
            if let ExprKind::Symbol { symbol, .. } = kind
                && matches!(self.model.symbol(*symbol).kind, SymbolKind::Species { .. } | SymbolKind::State)
            {
                return true;
            }
            kind.for_each_operand(|e| stack.push(e));
        }
        false
    }
}
