//! Expressions of the tree to resolved expressions: names found, user functions expanded, chains made flat.
//!
//! Arguments of an expanded function are shared, so a function costs its own size at each call and no more.

use crate::diag::{Code, Diagnostic};
use crate::expr::{BinaryOp, Compare};
use crate::limits::{MAX_EXPANDED_NODES, MAX_LOWERING_DEPTH};
use crate::source::Span;
use crate::syntax::ast::{self, InfixOp, PrefixOp, Value};
use crate::units::Unit;

use super::clauses;
use super::expr::{ExprId, ExprKind, FUNCTIONS, Function, IndexId};
use super::imports::{Item, unit_diagnostic};
use super::lower::{Lower, Place};
use super::model::{SymbolId, SymbolKind};
use super::unknown;

/// What a local name stands for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Local {
    /// An argument of the function being expanded.
    Expr(ExprId),
    /// A bound index.
    Index(IndexId),
}

impl Lower<'_> {
    /// Resolves one expression; what cannot be resolved is reported and becomes [`ExprKind::Error`].
    pub(super) fn expr(&mut self, ast: &ast::Expr) -> ExprId {
        self.n_expanded += usize::from(!self.expanding.is_empty());
        if self.depth >= MAX_LOWERING_DEPTH || self.n_expanded > MAX_EXPANDED_NODES {
            return self.too_large(ast.span);
        }
        self.depth += 1;
        let kind = self.expr_kind(ast);
        self.depth -= 1;
        match kind {
            Lowered::Kind(kind) => {
                let id = self.model.add(kind, ast.span);
                // Arguments of functions are shared, so an expression may be higher than the text is deep.
                if self.height(id) > MAX_LOWERING_DEPTH { self.too_large(ast.span) } else { id }
            }
            Lowered::Id(id) => id,
        }
    }

    /// E0113, once; a model that is too large is not looked at further.
    fn too_large(&mut self, span: Span) -> ExprId {
        if !self.unsettled.is_too_large {
            self.unsettled.is_too_large = true;
            self.report(
                Diagnostic::new(Code("E0113"), span, "this expression is too large after its functions are expanded")
                    .at("here the limit is reached")
                    .help("name parts of it with `let`, so that they are computed once"),
            );
        }
        self.model.add(ExprKind::Error, span)
    }

    /// The expression of a value that must not be a list.
    pub(super) fn value(&mut self, value: &Value) -> ExprId {
        match value {
            Value::Expr(expr) => self.expr(expr),
            Value::List(_, span) => {
                self.report(
                    Diagnostic::new(Code("E0205"), *span, "a list stands where one value is expected")
                        .at("this is a list"),
                );
                self.model.add(ExprKind::Error, *span)
            }
        }
    }

    fn expr_kind(&mut self, ast: &ast::Expr) -> Lowered {
        Lowered::Kind(match &ast.kind {
            ast::ExprKind::Quantity { value, unit: None } => ExprKind::Number { value: *value, unit: None },
            ast::ExprKind::Quantity { value, unit: Some(text) } => match self.unit(text) {
                Some(unit) => ExprKind::Number { value: *value, unit: Some(unit) },
                None => ExprKind::Error,
            },
            ast::ExprKind::Text(text) => {
                self.report(
                    Diagnostic::new(
                        Code("E0205"),
                        ast.span,
                        format!("the text \"{text}\" stands where a number is expected"),
                    )
                    .at("remove the quotes if this is a name or a number"),
                );
                ExprKind::Error
            }
            ast::ExprKind::Paren(inner) => return Lowered::Id(self.expr(inner)),
            ast::ExprKind::Path(path) => return self.path(path),
            ast::ExprKind::Derivative { target, indices } => {
                let indices: Vec<ExprId> = indices.iter().map(|e| self.expr(e)).collect();
                match self.symbol(target) {
                    Some(symbol) if self.is_moved(symbol) => {
                        self.check_indices(symbol, indices.len(), target);
                        ExprKind::Derivative { symbol, indices }
                    }
                    Some(symbol) => {
                        let word = self.model.symbol(symbol).kind.phrase();
                        self.report(
                            Diagnostic::new(
                                Code("E0205"),
                                target.span,
                                format!("`{}` is {word} and has no derivative", text(target)),
                            )
                            .at("only states and species have one"),
                        );
                        ExprKind::Error
                    }
                    None => ExprKind::Error,
                }
            }
            ast::ExprKind::Call { function, args } => return self.call(ast, function, args),
            ast::ExprKind::Prefix { op, operand } => {
                let inner = self.expr(operand);
                match op {
                    PrefixOp::Not => ExprKind::Not(inner),
                    PrefixOp::Neg => match &self.model.expr(inner).kind {
                        ExprKind::Number { value, unit } => ExprKind::Number { value: -value, unit: unit.clone() },
                        _ => ExprKind::Sum(vec![(true, inner)]),
                    },
                }
            }
            ast::ExprKind::Infix { op, left, right, .. } => self.infix(ast, *op, left, right),
            ast::ExprKind::If { condition, then, otherwise } => {
                let (condition, then, otherwise) = (self.expr(condition), self.expr(then), self.expr(otherwise));
                ExprKind::If { condition, then, otherwise }
            }
        })
    }

    fn infix(&mut self, ast: &ast::Expr, op: InfixOp, left: &ast::Expr, right: &ast::Expr) -> ExprKind {
        match op {
            InfixOp::Add | InfixOp::Sub => ExprKind::Sum(self.chain(ast, |op| match op {
                InfixOp::Add => Some(false),
                InfixOp::Sub => Some(true),
                _ => None,
            })),
            InfixOp::Mul | InfixOp::Div => ExprKind::Product(self.chain(ast, |op| match op {
                InfixOp::Mul => Some(false),
                InfixOp::Div => Some(true),
                _ => None,
            })),
            InfixOp::And => ExprKind::And(self.same_chain(ast, InfixOp::And)),
            InfixOp::Or => ExprKind::Or(self.same_chain(ast, InfixOp::Or)),
            InfixOp::Pow => {
                let (a, b) = (self.expr(left), self.expr(right));
                ExprKind::Pow(a, b)
            }
            InfixOp::Lt | InfixOp::Le | InfixOp::Gt | InfixOp::Ge | InfixOp::Eq | InfixOp::Ne => {
                let (a, b) = (self.expr(left), self.expr(right));
                match op {
                    InfixOp::Lt => ExprKind::Compare(Compare::Lt, a, b),
                    InfixOp::Le => ExprKind::Compare(Compare::Le, a, b),
                    InfixOp::Gt => ExprKind::Compare(Compare::Lt, b, a),
                    InfixOp::Ge => ExprKind::Compare(Compare::Le, b, a),
                    InfixOp::Eq => ExprKind::Compare(Compare::Eq, a, b),
                    _ => ExprKind::Compare(Compare::Ne, a, b),
                }
            }
        }
    }

    /// The operands of a left-associative chain of operators that `sign` knows, walked without recursion.
    fn chain(&mut self, ast: &ast::Expr, sign: impl Fn(InfixOp) -> Option<bool>) -> Vec<(bool, ExprId)> {
        let mut operands = Vec::new();
        let mut at = ast;
        while let ast::ExprKind::Infix { op, left, right, .. } = &at.kind
            && let Some(flag) = sign(*op)
        {
            operands.push((flag, &**right));
            at = left;
        }
        operands.push((false, at));
        operands.reverse();
        operands.into_iter().map(|(flag, e)| (flag, self.expr(e))).collect()
    }

    fn same_chain(&mut self, ast: &ast::Expr, wanted: InfixOp) -> Vec<ExprId> {
        self.chain(ast, |op| (op == wanted).then_some(false)).into_iter().map(|(_, e)| e).collect()
    }

    /// A name without arguments.
    fn path(&mut self, path: &ast::Path) -> Lowered {
        let name = text(path);
        if path.segments.len() == 1 {
            if let Some((_, local)) = self.locals.iter().rev().find(|(n, _)| *n == name) {
                return match *local {
                    Local::Expr(id) => Lowered::Id(id),
                    Local::Index(index) => Lowered::Kind(ExprKind::Index(index)),
                };
            }
            if name == "time" {
                return Lowered::Kind(ExprKind::Time);
            }
            if self.place == Place::Model && self.task.is_some() && !self.model.names.contains_key(&name) {
                if let Some(safe) = self.model.safe.iter().find(|safe| safe.name == name) {
                    return Lowered::Id(safe.condition);
                }
                if let Some(kind) = self.task_name(&name, path.span) {
                    return Lowered::Kind(kind);
                }
            }
        }
        match self.symbol(path) {
            Some(symbol) => {
                self.check_indices(symbol, 0, path);
                if self.is_bare_noise(symbol, path) {
                    return Lowered::Kind(ExprKind::Error);
                }
                let symbol = self.sensed(symbol);
                Lowered::Kind(ExprKind::Symbol { symbol, indices: Vec::new() })
            }
            None => Lowered::Kind(ExprKind::Error),
        }
    }

    /// The symbol that a name means here: of the model, of the file, of what it uses, of the prelude.
    pub(super) fn symbol(&mut self, path: &ast::Path) -> Option<SymbolId> {
        let name = text(path);
        if self.place == Place::Model
            && let Some(id) = self.model.names.get(&name)
        {
            return Some(*id);
        }
        if path.segments.len() == 1
            && let Some((file, original, item)) = self.files.find(self.file, &name)
        {
            match item {
                Item::Const(statement, entry) => return self.file_const(file, &original, statement, entry),
                Item::Fn(_) => {
                    self.report(
                        Diagnostic::new(
                            Code("E0205"),
                            path.span,
                            format!("`{name}` is a function and needs arguments"),
                        )
                        .at("called without any")
                        .help(format!("write `{name}(..)`")),
                    );
                    return None;
                }
                Item::Model(_) | Item::Task(_) => {
                    let what = if matches!(item, Item::Task(_)) { "task" } else { "model" };
                    self.report(
                        Diagnostic::new(Code("E0205"), path.span, format!("`{name}` is a {what}, not a quantity"))
                            .at("used as a quantity"),
                    );
                    return None;
                }
            }
        }
        self.unknown_name(&name, path.span);
        None
    }

    /// True where the name, or the part it is a member of, is declared by a statement that was not read or was refused.
    fn is_unread(&self, name: &str) -> bool {
        let unread = &self.files.list[self.file].unread;
        unread.contains(name) || name.split_once('.').is_some_and(|(part, _)| unread.contains(part))
    }

    fn unknown_name(&mut self, name: &str, span: Span) {
        // What a function's own text names is checked once, where the function stands.
        if self.is_expanding() || self.is_unread(name) {
            return;
        }
        let is_task = self.task.is_some();
        let (model, locals, files, file, place) = (&self.model, &self.locals, self.files, self.file, self.place);
        unknown::note(&mut self.unsettled.unknown, name, span, || {
            let own = model.symbols.iter().filter(|_| place == Place::Model).map(|s| s.name.as_str());
            let bound = locals.iter().map(|(n, _)| n.as_str());
            let is_value = |n: &&str| !matches!(files.find(file, n), Some((_, _, Item::Model(_) | Item::Task(_))));
            let of_file = files.visible(file).filter(is_value);
            let of_task = model.safe.iter().filter(|_| is_task).map(|s| s.name.as_str());
            unknown::nearest(name, own.chain(bound).chain(of_file).chain(of_task).chain(["time"]))
        });
    }

    /// A constant of the file level becomes a constant of the model that uses it.
    pub(super) fn file_const(&mut self, file: usize, name: &str, statement: usize, entry: usize) -> Option<SymbolId> {
        if let Some(known) = self.imported.get(&(file, name.to_string())).copied() {
            if known.is_none() {
                let span = self.files.list[file].items.get(name).map(|(_, span)| *span)?;
                self.report(
                    Diagnostic::new(Code("E0207"), span, format!("the constant `{name}` is defined by itself"))
                        .at("this definition"),
                );
            }
            return known;
        }
        self.imported.insert((file, name.to_string()), None);
        let saved = self.enter_file(file);
        let locals = std::mem::take(&mut self.locals);
        let ast::StatementKind::Directive(directive) = &self.files.list[file].ast.statements[statement].kind else {
            return None;
        };
        let mut ignored = crate::diag::Diagnostics::default();
        let span = self.files.list[file].ast.statements[statement].span;
        let list = clauses::entries(directive, span, &mut ignored);
        let id = list.get(entry).map(|entry| self.declare_value(entry, SymbolKind::Const));
        self.locals = locals;
        self.leave_file(saved);
        self.imported.insert((file, name.to_string()), id);
        id
    }

    fn call(&mut self, ast: &ast::Expr, function: &ast::Path, args: &[ast::Arg]) -> Lowered {
        let name = text(function);
        if name == "sum" && args.iter().any(|a| a.family.is_some()) {
            return Lowered::Kind(self.sum_over(ast, args));
        }
        if self.place == Place::Model
            && let Some(symbol) = self.model.names.get(&name).copied()
        {
            let indices: Vec<ExprId> = args.iter().map(|a| self.value(&a.value)).collect();
            self.check_indices(symbol, indices.len(), function);
            if self.is_bare_noise(symbol, function) {
                return Lowered::Kind(ExprKind::Error);
            }
            let symbol = self.sensed(symbol);
            return Lowered::Kind(ExprKind::Symbol { symbol, indices });
        }
        if let Some((file, original, Item::Fn(statement))) = self.files.find(self.file, &name) {
            return match self.expand(ast, file, &original, statement, args) {
                Some(id) => Lowered::Id(id),
                None => Lowered::Kind(ExprKind::Error),
            };
        }
        if let Some(builtin) = Function::find(&name) {
            return Lowered::Kind(self.builtin(ast, builtin, args));
        }
        if name == "previous"
            && let Some(kind) = self.previous_value(ast.span, args)
        {
            return Lowered::Kind(kind);
        }
        if matches!(name.as_str(), "previous" | "lambda_max" | "delay" | "nis" | "chi2") {
            self.report(crate::hir::imports::unsupported(&function.segments[0]));
            return Lowered::Kind(ExprKind::Error);
        }
        if self.is_unread(&name) {
            for arg in args {
                self.value(&arg.value);
            }
            return Lowered::Kind(ExprKind::Error);
        }
        let mut d = Diagnostic::new(Code("E0201"), function.span, format!("there is no function `{name}`"))
            .at("not known here");
        if name == "log" {
            d = d.help("write `ln` for the natural logarithm or `log10` for the decimal one");
        } else if name == "pow" {
            d = d.help("write `a^b`");
        } else {
            let mut candidates: Vec<&str> = FUNCTIONS.iter().map(|f| f.name()).collect();
            candidates.extend(self.files.visible(self.file));
            candidates.sort_unstable();
            let near = unknown::nearest(&name, candidates.into_iter());
            d = unknown::did_you_mean(&d, &near, &[function.span]).unwrap_or(d);
        }
        self.report(d);
        for arg in args {
            self.value(&arg.value);
        }
        Lowered::Kind(ExprKind::Error)
    }

    fn builtin(&mut self, ast: &ast::Expr, function: Function, args: &[ast::Arg]) -> ExprKind {
        let n_args = function.n_args();
        let lowered: Vec<ExprId> = args.iter().map(|a| self.value(&a.value)).collect();
        let is_chain = matches!(function, Function::Binary(BinaryOp::Min | BinaryOp::Max)) && lowered.len() > 2;
        if let Some(named) = args.iter().find_map(|a| a.name.as_ref()) {
            self.report(
                Diagnostic::new(
                    Code("E0206"),
                    named.span,
                    format!("`{}` takes its arguments by position", function.name()),
                )
                .at("remove the name"),
            );
        }
        if is_chain {
            let mut acc = lowered[0];
            for next in &lowered[1..lowered.len() - 1] {
                acc = self.model.add(ExprKind::Call(function, vec![acc, *next]), ast.span);
            }
            return ExprKind::Call(function, vec![acc, lowered[lowered.len() - 1]]);
        }
        if lowered.len() != n_args {
            let plural = if n_args == 1 { "" } else { "s" };
            self.report(
                Diagnostic::new(
                    Code("E0206"),
                    ast.span,
                    format!("`{}` takes {n_args} argument{plural}, and {} are given", function.name(), lowered.len()),
                )
                .at("this call"),
            );
            return ExprKind::Error;
        }
        ExprKind::Call(function, lowered)
    }

    /// `sum(body for j in a .. b if condition)`
    fn sum_over(&mut self, ast: &ast::Expr, args: &[ast::Arg]) -> ExprKind {
        let [arg] = args else {
            self.report(
                Diagnostic::new(Code("E0206"), ast.span, "`sum` takes one expression with its `for`").at("this call"),
            );
            return ExprKind::Error;
        };
        let Some(family) = &arg.family else { return ExprKind::Error };
        let (from, to) = (self.expr(&family.from), self.expr(&family.to));
        let index = self.model.fresh_index();
        self.locals.push((family.index.text.clone(), Local::Index(index)));
        let body = self.value(&arg.value);
        let condition = arg.condition.as_ref().map(|c| self.expr(c));
        self.locals.pop();
        ExprKind::SumOver { index, from, to, condition, body }
    }

    /// E0405 / E0205 where a family is used without indices, or a plain name with them.
    pub(super) fn check_indices(&mut self, symbol: SymbolId, given: usize, path: &ast::Path) {
        let symbol = self.model.symbol(symbol);
        let wanted = symbol.ranges.len();
        if given == wanted {
            return;
        }
        let name = symbol.name.clone();
        let d = if wanted == 0 {
            Diagnostic::new(
                Code("E0205"),
                path.span,
                format!("`{name}` is a single quantity, not a family or a function"),
            )
            .at("called with an index")
            .label(symbol.span, "declared here")
        } else {
            let list = symbol.ranges.iter().map(|r| r.name.as_str()).collect::<Vec<_>>().join(", ");
            Diagnostic::new(
                Code("E0405"),
                path.span,
                format!("`{name}` is a family and needs {wanted} index, {given} given"),
            )
            .at("which member?")
            .label(symbol.span, "declared here")
            .help(format!("write `{name}({list})`"))
        };
        self.report(d);
    }

    /// E0511 for a noise that stands without its `'`.
    fn is_bare_noise(&mut self, symbol: SymbolId, path: &ast::Path) -> bool {
        let is_noise = self.model.symbol(symbol).kind == SymbolKind::Noise;
        if is_noise {
            let (name, declared) = (text(path), self.model.symbol(symbol).span);
            self.report(
                Diagnostic::new(Code("E0511"), path.span, format!("the noise `{name}` is used by its derivative"))
                    .at("without `'`")
                    .label(declared, "declared here")
                    .help(format!("write `{name}'`, as in `x' = -k*x + sigma*{name}'`")),
            );
        }
        is_noise
    }

    /// True for what may have a derivative.
    fn is_moved(&self, symbol: SymbolId) -> bool {
        match self.model.symbol(symbol).kind {
            SymbolKind::State | SymbolKind::Compartment | SymbolKind::Noise => true,
            SymbolKind::Species { is_fixed, .. } => !is_fixed,
            SymbolKind::Const
            | SymbolKind::Param
            | SymbolKind::Discrete
            | SymbolKind::Let
            | SymbolKind::Input
            | SymbolKind::Disturbance
            | SymbolKind::Observable => false,
        }
    }

    /// Reads a unit; each text once.
    pub(super) fn unit(&mut self, text: &ast::UnitText) -> Option<Unit> {
        // A text that was wrong before is reported at this place too.
        if let Some(Some(unit)) = self.unit_cache.get(&text.text) {
            return Some(unit.clone());
        }
        match self.files.units.parse(&text.text) {
            Ok(unit) => {
                self.unit_cache.insert(text.text.clone(), Some(unit.clone()));
                Some(unit)
            }
            Err(error) => {
                self.unit_cache.insert(text.text.clone(), None);
                let mut d = unit_diagnostic(&error, text);
                d.severity = crate::diag::Severity::Error;
                self.report(d);
                None
            }
        }
    }
}

enum Lowered {
    Kind(ExprKind),
    Id(ExprId),
}

/// A dotted name as one text.
pub(super) fn text(path: &ast::Path) -> String {
    let mut name = path.segments[0].text.clone();
    for segment in &path.segments[1..] {
        name.push('.');
        name.push_str(&segment.text);
    }
    name
}
