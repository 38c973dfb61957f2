//! User functions: each call is replaced by the function's expression, with the arguments shared.

use crate::diag::{Code, Diagnostic};
use crate::syntax::ast::{self, Value};

use super::expr::{ExprId, ExprKind};
use super::lower::Lower;
use super::lower_expr::Local;
use super::unknown::{did_you_mean, nearest};

/// `fn name(params) = body`
struct Parts<'a> {
    params: &'a [ast::Arg],
    names: Vec<&'a str>,
    body: &'a ast::Expr,
}

impl<'a> Lower<'a> {
    fn parts(&mut self, file: usize, name: &str, statement: usize) -> Option<Parts<'a>> {
        let files = self.files;
        let ast::StatementKind::Directive(directive) = &files.list[file].ast.statements[statement].kind else {
            return None;
        };
        let ast::ExprKind::Call { function: head, args: params } = &directive.subjects.first()?.kind else {
            return None;
        };
        let body = directive.clauses.iter().find_map(|c| match &c.kind {
            ast::ClauseKind::Init(Value::Expr(e)) => Some(e),
            _ => None,
        });
        let Some(body) = body else {
            self.report(
                Diagnostic::new(Code("E0101"), head.span, format!("the function `{name}` has no body"))
                    .at("declared here")
                    .help(format!("write `fn {name}(a) = expression`")),
            );
            return None;
        };
        let names = params
            .iter()
            .map(|p| match (&p.name, &p.value) {
                (Some(n), _) => n.text.as_str(),
                (None, Value::Expr(ast::Expr { kind: ast::ExprKind::Path(path), .. })) => {
                    path.segments[0].text.as_str()
                }
                _ => "",
            })
            .collect();
        Some(Parts { params, names, body })
    }

    /// Resolves a function for itself, with arguments that fit everything: what is wrong in it is said once.
    pub(super) fn function(&mut self, file: usize, name: &str, statement: usize) {
        let Some(Parts { params, names, body }) = self.parts(file, name, statement) else { return };
        for (k, param) in params.iter().enumerate() {
            let span = param.name.as_ref().map_or(param.value.span(), |n| n.span);
            if names[k].is_empty() {
                self.report(
                    Diagnostic::new(Code("E0205"), span, format!("an argument of `{name}` is not a name"))
                        .at("expected a name")
                        .help(format!("write `fn {name}(a, b = 2) = expression`")),
                );
            } else if names[..k].contains(&names[k]) {
                self.report(
                    Diagnostic::new(Code("E0202"), span, format!("`{name}` has two arguments `{}`", names[k]))
                        .at("again here"),
                );
            }
        }
        let saved = self.enter_file(file);
        self.expanding.push((file, name.to_string()));
        for param in params.iter().filter(|p| p.name.is_some()) {
            self.value(&param.value);
        }
        self.locals =
            names.iter().map(|n| (n.to_string(), Local::Expr(self.model.add(ExprKind::Error, body.span)))).collect();
        self.expr(body);
        self.locals.clear();
        self.expanding.pop();
        self.leave_file(saved);
    }

    /// Expands a user function: its parameters stand for the lowered arguments.
    pub(super) fn expand(
        &mut self,
        ast: &ast::Expr,
        file: usize,
        name: &str,
        statement: usize,
        args: &[ast::Arg],
    ) -> Option<ExprId> {
        let Parts { params, names, body } = self.parts(file, name, statement)?;
        if self.expanding.iter().any(|(f, n)| *f == file && n == name) {
            self.report(
                Diagnostic::new(Code("E0207"), ast.span, format!("the function `{name}` calls itself"))
                    .at("this call")
                    .help("write the recursion out, or model it with a `state`"),
            );
            return None;
        }
        let mut bound: Vec<Option<ExprId>> = vec![None; names.len()];
        let mut is_wrong = args.len() > names.len();
        for (k, arg) in args.iter().enumerate() {
            let value = self.value(&arg.value);
            let slot = match &arg.name {
                None => Some(k).filter(|k| *k < names.len()),
                Some(given) => {
                    let at = names.iter().position(|n| *n == given.text);
                    if at.is_none() {
                        let mut d = Diagnostic::new(
                            Code("E0206"),
                            given.span,
                            format!("`{name}` has no argument `{}`", given.text),
                        )
                        .at("not known");
                        let near = nearest(&given.text, names.iter().copied());
                        d = did_you_mean(&d, &near, &[given.span]).unwrap_or(d);
                        self.report(d);
                        return None;
                    }
                    at
                }
            };
            match slot {
                Some(slot) if bound[slot].is_none() => bound[slot] = Some(value),
                Some(_) | None => is_wrong = true,
            }
        }
        // A parameter written `n = 2` in the head has that default, taken in the library's own scope.
        for (slot, param) in bound.iter_mut().zip(params) {
            if slot.is_none() && param.name.is_some() {
                let saved = self.enter_file(file);
                let locals = std::mem::take(&mut self.locals);
                self.expanding.push((file, name.to_string()));
                *slot = Some(self.value(&param.value));
                self.expanding.pop();
                self.locals = locals;
                self.leave_file(saved);
            }
        }
        if is_wrong || bound.iter().any(Option::is_none) {
            self.report(
                Diagnostic::new(
                    Code("E0206"),
                    ast.span,
                    format!("`{name}` takes ({}), and {} are given", names.join(", "), args.len()),
                )
                .at("this call")
                .help(format!("write `{name}({})`", names.join(", "))),
            );
            return None;
        }
        let locals = names.iter().zip(bound).filter_map(|(n, e)| e.map(|e| (n.to_string(), Local::Expr(e)))).collect();
        let saved_locals = std::mem::replace(&mut self.locals, locals);
        let saved = self.enter_file(file);
        self.expanding.push((file, name.to_string()));
        let first = ExprId(self.model.exprs.len() as u32);
        let id = self.expr(body);
        self.expanding.pop();
        if self.expanding.is_empty() {
            self.unsettled.calls.push((first, ExprId(self.model.exprs.len() as u32), ast.span));
        }
        self.leave_file(saved);
        self.locals = saved_locals;
        Some(id)
    }
}
