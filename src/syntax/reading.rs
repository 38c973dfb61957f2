//! One statement without its block, read by the rule of its form.

use std::collections::HashSet;

use pest::Parser;
use pest::error::{ErrorVariant, InputLocation};

use super::ast::{Clause, ClauseKind, ClauseWord, Name, Path, Statement, StatementKind};
use super::convert::Convert;
use super::extent::Form;
use super::grammar::{Rule, TwinParser};
use super::layout::Layout;
use super::lex::{Kind, Token};
use super::mistakes;
use crate::diag::{Code, Diagnostic};
use crate::source::Span;

/// The outcome of reading a header.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Read {
    Good(Box<StatementKind>),
    /// Reported and left out.
    Bad,
    /// Taken into the statement before it.
    Merged,
}

impl Layout<'_, '_> {
    /// Reads the header with the rule of its form.
    pub(super) fn read(
        &mut self,
        form: Form,
        header: &[Token],
        span: Span,
        is_joined: bool,
        out: &mut [Statement],
    ) -> Read {
        if is_joined
            && !matches!(form, Form::Ode | Form::Assign | Form::Bind | Form::Reaction | Form::Setting | Form::Labelled)
            && self.merge_rate(header, span, out)
        {
            return Read::Merged;
        }
        if let Some((found, rest)) = mistakes::other_derivative(self, form, header) {
            self.diagnostics.push(found);
            return self.read_equation(rest, header, span);
        }
        if let Some(found) = mistakes::before_reading(self, form, header) {
            self.diagnostics.push(found);
            return Read::Bad;
        }
        let rule = match form {
            Form::Ode => Rule::ode_line,
            Form::Assign => Rule::assign_line,
            Form::Bind => Rule::bind_line,
            Form::Reaction => Rule::reaction_line,
            Form::Setting => Rule::setting_line,
            Form::Entry => Rule::entry_line,
            Form::Directive => Rule::directive_line,
            Form::Labelled => Rule::labelled_line,
            Form::None => {
                self.explain(form, header, 0);
                return Read::Bad;
            }
        };
        let slice = self.clean.get(span.start as usize..span.end as usize).unwrap_or("");
        match TwinParser::parse(rule, slice) {
            Ok(pairs) => {
                let kind = self.convert(header, span, |convert| convert.statement(pairs));
                let Some(kind) = kind else {
                    return Read::Bad;
                };
                if let Some(found) = mistakes::after_reading(&kind) {
                    self.diagnostics.push(found);
                }
                Read::Good(Box::new(kind))
            }
            Err(error) => {
                self.refused(&error, form, header, span);
                Read::Bad
            }
        }
    }

    fn refused(&mut self, error: &pest::error::Error<Rule>, form: Form, header: &[Token], span: Span) {
        if let ErrorVariant::CustomError { .. } = error.variant {
            let found = Diagnostic::new(Code("E0112"), span, "nesting is deeper than the memory for it");
            return self.diagnostics.push(found.help("name the inner parts with `let`"));
        }
        let at = match error.location {
            InputLocation::Pos(at) | InputLocation::Span((at, _)) => span.start + at as u32,
        };
        let idx = header.iter().position(|t| t.end > at).unwrap_or(header.len());
        self.explain(form, header, idx);
    }

    fn explain(&mut self, form: Form, header: &[Token], idx: usize) {
        if let Some(found) = mistakes::explain(self, form, header, idx) {
            self.diagnostics.push(found);
        }
    }

    fn convert<T>(&mut self, header: &[Token], span: Span, run: impl FnOnce(&mut Convert<'_>) -> T) -> T {
        // The set of names is only needed for letters glued to a number.
        if header.iter().any(|t| t.kind == Kind::OddNumber) {
            self.names();
        }
        let none = HashSet::new();
        let mut convert = Convert {
            source: self.source,
            base: span.start as usize,
            text: self.text,
            clean: self.clean,
            names: self.names.as_ref().unwrap_or(&none),
            diagnostics: self.diagnostics,
            unread: &mut self.unread,
            failed: false,
        };
        run(&mut convert)
    }

    /// `der(x) = e` and its like: the right side read as that of `x' = e`.
    fn read_equation(&mut self, rest: mistakes::Derivative, header: &[Token], span: Span) -> Read {
        let Some(&first) = header.get(rest.rhs) else {
            return Read::Bad;
        };
        let tail = Span { start: first.start, ..span };
        let slice = self.clean.get(tail.start as usize..tail.end as usize).unwrap_or("");
        let name = Name { text: rest.name.1, span: self.span(rest.name.0) };
        let target = Path { span: name.span, segments: vec![name] };
        let Ok(pairs) = TwinParser::parse(Rule::ode_tail_line, slice) else {
            return Read::Bad;
        };
        match self.convert(header, tail, |convert| convert.equation(pairs, target)) {
            Some(kind) => Read::Good(Box::new(kind)),
            None => Read::Bad,
        }
    }

    /// E0103: `S -> P; k*S`, where the value behind `;` is taken for the missing rate.
    fn merge_rate(&mut self, header: &[Token], span: Span, out: &mut [Statement]) -> bool {
        let Some(Statement { kind: StatementKind::Reaction(reaction), span: place }) = out.last_mut() else {
            return false;
        };
        let has_rate = reaction
            .clauses
            .iter()
            .any(|c| matches!(c.kind, ClauseKind::Rates(_) | ClauseKind::Word(ClauseWord::Rate, _)));
        if has_rate || header.last().is_some_and(|t| mistakes::is_operator(t.kind)) {
            return false;
        }
        let slice = self.clean.get(span.start as usize..span.end as usize).unwrap_or("");
        let Ok(pairs) = TwinParser::parse(Rule::lone_line, slice) else {
            return false;
        };
        let Some(expr) = self.convert(header, span, |convert| convert.lone(pairs)) else {
            return false;
        };
        let found = mistakes::missing_rate(self.text, *place, &expr);
        self.diagnostics.push(found);
        reaction.clauses.push(Clause { span, kind: ClauseKind::Word(ClauseWord::Rate, vec![expr]) });
        *place = place.to(span);
        true
    }
}
