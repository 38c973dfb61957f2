//! Reactions: species and coefficients of both sides, mass action or full law, one or two directions.

use crate::diag::{Code, Diagnostic};
use crate::source::Span;
use crate::syntax::ast::{self, ClauseWord, Directive, StatementKind};

use super::clauses::{Allowed, Clauses};
use super::expr::ExprId;
use super::lower::{Lower, families};
use super::lower_expr::text;
use super::model::{Direction, RateBasis, Reaction, SymbolKind, Term};

impl Lower<'_> {
    /// `reaction { .. }`
    pub(super) fn reaction_block(&mut self, directive: &Directive, span: Span) {
        let Some(block) = directive.block.as_ref().filter(|_| directive.subjects.is_empty()) else {
            self.report(
                Diagnostic::new(Code("E0101"), span, "`reaction` needs a reaction behind it")
                    .at("no arrow here")
                    .help("write `reaction A -> B @ k`, or several in `reaction { .. }`"),
            );
            return;
        };
        for statement in &block.statements {
            if let StatementKind::Reaction(reaction) = &statement.kind {
                self.reaction(reaction, statement.span);
            } else {
                self.report(
                    Diagnostic::new(Code("E0205"), statement.span, "a `reaction` block holds reactions only")
                        .at("expected `name: A + B -> C @ k`")
                        .help("move this statement out of the block"),
                );
            }
        }
    }

    /// `bind: E + S <-> ES @ kon, koff`
    pub(super) fn reaction(&mut self, ast: &ast::Reaction, span: Span) {
        let allowed = Allowed { rates: true, family: true, words: &[ClauseWord::Rate], ..Allowed::default() };
        let clauses = Clauses::sort(&ast.clauses, "a reaction", allowed, self.diagnostics);
        let ranges: Vec<_> = families(&ast.clauses).into_iter().map(|f| self.range(f)).collect();
        let n = self.bind(&ranges);
        let reactants = self.side(&ast.reactants);
        let products = self.side(&ast.products);
        let law = clauses.word(ClauseWord::Rate);
        if ast.reactants.is_empty() && ast.products.is_empty() {
            self.report(
                Diagnostic::new(Code("E0101"), span, "this reaction has no species on either side")
                    .at("moves nothing")
                    .help("name what is formed or used up, as in `0 -> A`, or remove it"),
            );
            self.unbind(n);
            return;
        }
        let (exprs, is_mass_action): (&[ast::Expr], bool) = match (clauses.rates, law) {
            (Some(rates), None) => (rates, true),
            (None, Some((laws, _))) => (laws, false),
            (Some(_), Some((_, law_span))) => {
                self.report(
                    Diagnostic::new(
                        Code("E0103"),
                        law_span,
                        "a reaction has either rate constants `@` or a law `rate`",
                    )
                    .at("and here a law")
                    .label(span, "this reaction has both"),
                );
                self.unbind(n);
                return;
            }
            (None, None) => {
                let help = match ast.reactants.first() {
                    Some(_) => "write `@ k` for mass action, or `rate law` for a full law",
                    None => "write `rate law` for an inflow, or `@ k` for a constant one",
                };
                self.report(
                    Diagnostic::new(Code("E0103"), span, "this reaction has no rate").at("how fast?").help(help),
                );
                self.unbind(n);
                return;
            }
        };
        let wanted = if ast.is_reversible { 2 } else { 1 };
        let is_net = ast.is_reversible && !is_mass_action && exprs.len() == 1;
        if exprs.len() != wanted && !is_net {
            let d = if ast.is_reversible {
                Diagnostic::new(Code("E0103"), ast.arrow, "a reversible reaction by mass action needs two constants")
                    .at("both ways")
                    .help("write `@ kf, kr`, or `->` for one way")
            } else {
                Diagnostic::new(Code("E0103"), span, "a reaction one way has one rate")
                    .at(format!("{} are given", exprs.len()))
                    .label(ast.arrow, "one way")
                    .help("write `<->` for both ways")
            };
            self.report(d);
            self.unbind(n);
            return;
        }
        let laws: Vec<ExprId> = exprs.iter().map(|e| self.expr(e)).collect();
        self.unbind(n);
        let (Some(reactants), Some(products)) = (reactants, products) else { return };
        let direction = |law| Direction { law, is_mass_action, basis: RateBasis::Concentration(None), factor: 1.0 };
        let name = match &ast.label {
            Some(label) => {
                if let Some(first) = self.reaction_names.insert(label.text.clone(), label.span) {
                    self.report(
                        Diagnostic::new(
                            Code("E0202"),
                            label.span,
                            format!("the reaction `{}` is declared twice", label.text),
                        )
                        .at("again here")
                        .label(first, "first here"),
                    );
                }
                label.text.clone()
            }
            None => format!("r{}", self.model.reactions.len() + 1),
        };
        self.model.reactions.push(Reaction {
            name,
            reactants,
            products,
            forward: direction(laws[0]),
            reverse: laws.get(1).map(|law| direction(*law)),
            is_net,
            ranges,
            span,
        });
    }

    fn side(&mut self, terms: &[ast::Term]) -> Option<Vec<Term>> {
        let mut list = Vec::with_capacity(terms.len());
        let mut is_good = true;
        for term in terms {
            let indices: Vec<ExprId> = term.indices.iter().map(|e| self.expr(e)).collect();
            if text(&term.species) == "reaction" && !self.model.names.contains_key("reaction") {
                self.report(
                    Diagnostic::new(Code("E0101"), term.span, "the left side of the reaction is missing")
                        .at("nothing stands between this word and the arrow")
                        .help("write `0` for nothing: `reaction 0 -> ..`"),
                );
                is_good = false;
                continue;
            }
            let Some(symbol) = self.symbol(&term.species) else {
                is_good = false;
                continue;
            };
            self.check_indices(symbol, indices.len(), &term.species);
            if !matches!(self.model.symbol(symbol).kind, SymbolKind::Species { .. }) {
                let found = self.model.symbol(symbol);
                let (word, declared, name) = (found.kind.phrase(), found.span, text(&term.species));
                if self.unsettled.doubled.contains(&name) {
                    return None;
                }
                self.report(
                    Diagnostic::new(
                        Code("E0205"),
                        term.span,
                        format!("`{name}` is {word}, and reactions move species"),
                    )
                    .at("stands in a reaction")
                    .label(declared, "declared here")
                    .help(format!("declare it with `species {name}`")),
                );
                is_good = false;
                continue;
            }
            if !(term.coefficient > 0.0 && term.coefficient.is_finite()) {
                self.report(
                    Diagnostic::new(Code("E0205"), term.span, "a stoichiometric coefficient must be positive")
                        .at(format!("{} given", term.coefficient)),
                );
                is_good = false;
            }
            list.push(Term {
                coefficient: term.coefficient,
                symbol,
                indices,
                factor: 1.0,
                is_amount: false,
                span: term.span,
            });
        }
        is_good.then_some(list)
    }
}
