//! What the unit checker says where two units do not agree.

use super::*;

impl Checker<'_> {
    /// An expression that does not have the unit of the slot it fills.
    pub(super) fn mismatch(&self, expr: ExprId, found: &Form, wanted: &Form, what: &str) -> Diagnostic {
        let span = self.model.expr(expr).span;
        let (found, wanted) = (&found.known, &wanted.known);
        let mut d = Diagnostic::new(
            Code("E0301"),
            span,
            match wanted.is_one() {
                true => format!("{what} is a pure number, and this is in {found}"),
                false => format!("{what} is in {wanted}, and this is {}", in_unit(found)),
            },
        )
        .at(format!("[{found}]"));
        d.labels.extend(self.parts(expr));
        self.explain(d, expr, found, wanted)
    }

    /// Two operands that should have one unit.
    pub(super) fn disagreement(
        &self,
        (a, first): (ExprId, &Unit),
        (b, found): (ExprId, &Unit),
        what: &str,
    ) -> Diagnostic {
        let (at_a, at_b) = (self.model.expr(a).span, self.model.expr(b).span);
        let title = format!("{what} needs one unit, and {} and {} do not agree", named(first), named(found));
        let d = Diagnostic::new(Code("E0301"), at_b, title).at(format!("[{found}]")).label(at_a, format!("[{first}]"));
        // A bare number is the one to repair, on whichever side it stands.
        if self.bare_number(a).is_some() && self.bare_number(b).is_none() {
            return self.explain(d, a, first, found);
        }
        self.explain(d, b, found, first)
    }

    /// What to write so that `found` becomes `wanted`, as far as the units tell.
    fn explain(&self, d: Diagnostic, expr: ExprId, found: &Unit, wanted: &Unit) -> Diagnostic {
        if self.call_of(expr).is_some() {
            return self.in_call(d, expr);
        }
        if let Some(value) = self.bare_number(expr) {
            let span = self.model.expr(expr).span;
            let text = format!("{value} [{wanted}]");
            return d.help(format!("a bare number in an expression is a pure number: write `{text}`")).fix(
                "write the unit behind the number",
                span,
                text,
            );
        }
        let ratio = wanted.div(found);
        if is_molar_mass(&ratio) {
            return d
                .note("one is an amount and the other a mass: a molar mass is missing")
                .help("multiply or divide by a molar mass, such as 180.16 [g/mol]");
        }
        d.help(format!("is a factor in [{ratio}] missing?"))
    }

    /// Where a model called the function whose body `expr` is of.
    fn call_of(&self, expr: ExprId) -> Option<Span> {
        let calls = &self.unsettled.calls;
        let k = calls.partition_point(|(first, _, _)| *first <= expr).checked_sub(1)?;
        calls.get(k).filter(|(_, end, _)| expr < *end).map(|(_, _, span)| *span)
    }

    /// Puts the call first where the mistake is in a function: its arguments do not fit together.
    pub(super) fn in_call(&self, mut d: Diagnostic, expr: ExprId) -> Diagnostic {
        if let Some(span) = self.call_of(expr) {
            d.labels.insert(0, crate::diag::Label { span, text: "in this call".to_string() });
            if d.help.is_none() {
                d = d.help("look at the units of its arguments");
            }
        }
        d
    }

    fn bare_number(&self, expr: ExprId) -> Option<f64> {
        match self.model.expr(expr).kind {
            ExprKind::Number { value, unit: None } => Some(value),
            _ => None,
        }
    }

    /// The names in a short expression with their units, to show where a unit comes from.
    pub(super) fn parts(&self, expr: ExprId) -> Vec<crate::diag::Label> {
        let mut labels: Vec<crate::diag::Label> = Vec::new();
        let mut stack = vec![expr];
        let whole = self.model.expr(expr).span;
        while let Some(id) = stack.pop() {
            let node = self.model.expr(id);
            if let ExprKind::Symbol { symbol, .. } = &node.kind
                && let Some(unit) = &self.model.symbol(*symbol).unit
                && (node.span.start, node.span.end) != (whole.start, whole.end)
                && node.span.source == whole.source
                && labels.len() < 4
                && labels.iter().all(|l| l.span != node.span)
            {
                labels.push(crate::diag::Label { span: node.span, text: format!("[{unit}]") });
            }
            node.kind.for_each_operand(|e| stack.push(e));
            if stack.len() > 64 {
                break;
            }
        }
        labels.sort_by_key(|l| l.span);
        // The whole says it already where it is one name with a sign or a bracket.
        if labels.len() == 1 && labels[0].span.len() + 2 >= whole.len() { Vec::new() } else { labels }
    }

    pub(super) fn not_a_number(&mut self, expr: ExprId) {
        if self.is_inferring {
            return;
        }
        let span = self.model.expr(expr).span;
        self.diagnostics.push(
            Diagnostic::new(Code("E0205"), span, "a number is needed here, and this is a condition")
                .at("true or false")
                .help("write `if condition then a else b` for a number"),
        );
    }
}

/// What has a unit, in a sentence.
fn in_unit(unit: &Unit) -> String {
    if unit.is_one() { "a pure number".to_string() } else { format!("in {unit}") }
}

/// A unit in a sentence.
fn named(unit: &Unit) -> String {
    if unit.is_one() { "a pure number".to_string() } else { unit.to_string() }
}

/// True for mass per amount and amount per mass, in whatever size.
pub(in crate::hir) fn is_molar_mass(unit: &Unit) -> bool {
    let exponents = unit.dimension().exponents();
    exponents.len() == 2
        && exponents.iter().all(|(base, power)| matches!(&*base.0, "mol" | "kg") && power.to_f64().abs() == 1.0)
}
