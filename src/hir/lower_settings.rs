//! Settings of algorithms as spanned data; the algorithms' own tables check them later.

use crate::diag::{Code, Diagnostic};
use crate::source::Span;
use crate::syntax::ast::{self, Directive, StatementKind, Value};

use super::check_units::Additions;
use super::clauses::{Allowed, Clauses};
use super::constants::constant;
use super::lower::Lower;
use super::lower_expr::text;
use super::settings::{Setting, SettingValue, Settings, given_twice};
use super::study::Simulate;

impl Lower<'_> {
    /// `fit trust_region { starts = 24 }`
    pub(super) fn method_settings(&mut self, directive: &Directive) -> Settings {
        let mut settings = Settings::default();
        let word = &directive.word.text;
        if let Some(subject) = directive.subjects.first() {
            match &subject.kind {
                ast::ExprKind::Path(path) => settings.method = Some((text(path), subject.span)),
                _ => self.report(
                    Diagnostic::new(Code("E0205"), subject.span, format!("`{word}` takes the name of a method"))
                        .at("this is not a name"),
                ),
            }
        }
        for statement in directive.block.iter().flat_map(|b| &b.statements) {
            match &statement.kind {
                StatementKind::Setting(setting) => settings.list.extend(self.setting(setting)),
                _ => self.report(
                    Diagnostic::new(Code("E0208"), statement.span, format!("a `{word}` block holds settings"))
                        .at("expected `key = value`"),
                ),
            }
        }
        settings
    }

    /// E0202 for a block that names another method than a block before it of the same text.
    pub(super) fn one_method(&mut self, before: &Settings, later: &Settings) {
        if let (Some((_, first)), Some((_, again))) = (&before.method, &later.method)
            && first.source == again.source
        {
            let d = Diagnostic::new(Code("E0202"), *again, "the method is given twice").at("again here");
            self.report(d.label(*first, "first here").help("keep one of the two"));
        }
    }

    /// Notes where a time of `simulate` is given; E0202 where the same text has given it before.
    pub(super) fn give(&mut self, simulate: &mut Simulate, key: &'static str, span: Span) {
        if let Some((_, first)) = simulate.given.iter().find(|(k, s)| *k == key && s.source == span.source) {
            self.report(given_twice(key, span, *first));
        }
        simulate.given.push((key, span));
    }

    pub(super) fn setting(&mut self, setting: &ast::Setting) -> Option<Setting> {
        let value_span = setting.value.span();
        Clauses::sort(&setting.clauses, "a setting", Allowed::default(), self.diagnostics);
        let value = self.setting_value(&setting.value)?;
        Some(Setting { key: setting.name.text.clone(), key_span: setting.name.span, value, value_span })
    }

    fn setting_value(&mut self, value: &Value) -> Option<SettingValue> {
        let expr = match value {
            Value::List(list, _) => {
                let list: Option<Vec<SettingValue>> = list.iter().map(|v| self.setting_value(v)).collect();
                return list.map(SettingValue::List);
            }
            Value::Expr(expr) => expr,
        };
        match &expr.kind {
            ast::ExprKind::Quantity { value, unit } => {
                Some(SettingValue::Number(*value, unit.as_ref().and_then(|u| self.unit(u))))
            }
            ast::ExprKind::Text(text) => Some(SettingValue::Text(text.clone())),
            ast::ExprKind::Path(path)
                if path.segments.len() == 1 && !self.model.names.contains_key(&path.segments[0].text) =>
            {
                Some(SettingValue::Word(text(path)))
            }
            _ => {
                let id = self.expr(expr);
                let (id, unit) =
                    Additions::new(&mut self.model, &self.unsettled, self.sources, self.diagnostics).with_unit(id);
                let number = constant(&self.model, id).map(|v| SettingValue::Number(v, unit));
                if number.is_none() {
                    self.report(
                        Diagnostic::new(Code("E0602"), expr.span, "a setting is a number, a word, text or a list")
                            .at("not a constant"),
                    );
                }
                number
            }
        }
    }

    /// Blocks of settings take no clauses and at most one name.
    pub(super) fn no_clauses(&mut self, directive: &Directive) {
        let what = format!("`{}`", directive.word.text);
        Clauses::sort(&directive.clauses, &what, Allowed::default(), self.diagnostics);
        for subject in directive.subjects.iter().skip(1) {
            self.report(
                Diagnostic::new(Code("E0107"), subject.span, format!("{what} takes one name")).at("remove this"),
            );
        }
    }
}
