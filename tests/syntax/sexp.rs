//! A tree as nested lists, one statement a line: what a reviewer of a snapshot reads.

use twinc::syntax::ast::*;

/// All statements.
pub fn file(file: &File) -> String {
    let mut out = String::new();
    statements(&mut out, &file.statements, 0);
    out
}

fn statements(out: &mut String, list: &[Statement], level: usize) {
    for s in list {
        *out += &"  ".repeat(level);
        match &s.kind {
            StatementKind::Ode(o) => {
                let families: String = o.families.iter().map(|f| format!(" {}", family(f))).collect();
                let doc = o.doc.iter().map(|d| format!(" {:?}", d.text)).collect::<String>();
                *out += &format!("(ode {}{} {}{families}{doc})", path(&o.target), indices(&o.indices), expr(&o.rhs));
            }
            StatementKind::Assign(a) => {
                let target = format!("{}{}", path(&a.target), indices(&a.indices));
                *out += &format!("({:?} {target} {})", a.op, expr(&a.value));
            }
            StatementKind::Bind(b) => {
                let source = match &b.source {
                    BindSource::FromPath(p) => format!("<- {}", path(p)),
                    BindSource::FromText(t) => format!("<- {:?}", t.text),
                    BindSource::ToText(t) => format!("-> {:?}", t.text),
                };
                *out += &format!("(bind {} {source}{})", path(&b.target), clauses(&b.clauses));
            }
            StatementKind::Reaction(r) => {
                let label = r.label.iter().map(|l| format!(" {}:", l.text)).collect::<String>();
                let arrow = if r.is_reversible { "<->" } else { "->" };
                let (from, to) = (side(&r.reactants), side(&r.products));
                *out += &format!("(reaction{label} [{from}] {arrow} [{to}]{})", clauses(&r.clauses));
            }
            StatementKind::Setting(t) => {
                *out += &format!("(set {} {}{})", t.name.text, value(&t.value), clauses(&t.clauses));
            }
            StatementKind::Labelled(l) => {
                *out += &format!("({}: {}{})", l.label.text, expr(&l.expr), clauses(&l.clauses));
            }
            StatementKind::Directive(d) => {
                let label = d.label.iter().map(|l| format!(" {}:", l.text)).collect::<String>();
                let subjects = d.subjects.iter().map(|s| format!(" {}", expr(s))).collect::<String>();
                let head = format!("{}{}", d.word.text, indices(&d.indices));
                *out += &format!("({head}{label}{subjects}{}", clauses(&d.clauses));
                if let Some(block) = &d.block {
                    *out += "\n";
                    statements(out, &block.statements, level + 1);
                    *out += &"  ".repeat(level);
                }
                *out += ")";
            }
        }
        *out += "\n";
    }
}

fn path(p: &Path) -> String {
    p.segments.iter().map(|s| s.text.as_str()).collect::<Vec<_>>().join(".")
}

fn indices(list: &[Expr]) -> String {
    if list.is_empty() { String::new() } else { format!("<{}>", list.iter().map(expr).collect::<Vec<_>>().join(" ")) }
}

fn side(terms: &[Term]) -> String {
    let term = |t: &Term| {
        let coefficient = if t.coefficient == 1.0 { String::new() } else { format!("{}*", t.coefficient) };
        format!("{coefficient}{}{}", path(&t.species), indices(&t.indices))
    };
    terms.iter().map(term).collect::<Vec<_>>().join(" ")
}

fn family(f: &Family) -> String {
    format!("(for {} {} {})", f.index.text, expr(&f.from), expr(&f.to))
}

fn value(v: &Value) -> String {
    match v {
        Value::Expr(e) => expr(e),
        Value::List(items, _) => format!("[{}]", items.iter().map(value).collect::<Vec<_>>().join(" ")),
    }
}

fn clauses(list: &[Clause]) -> String {
    let one = |c: &Clause| match &c.kind {
        ClauseKind::Unit(u) => format!(" [{}]", u.text),
        ClauseKind::Rates(e) => format!(" (@ {})", e.iter().map(expr).collect::<Vec<_>>().join(" ")),
        ClauseKind::Init(v) => format!(" (= {})", value(v)),
        ClauseKind::Range { low, high } => {
            let end = |e: &Option<Expr>| e.as_ref().map_or("_".to_string(), expr);
            format!(" (in {} {})", end(low), end(high))
        }
        ClauseKind::Choices(items) => format!(" (in [{}])", items.iter().map(value).collect::<Vec<_>>().join(" ")),
        ClauseKind::Dist(e) => format!(" (~ {})", expr(e)),
        ClauseKind::Family(f) => format!(" {}", family(f)),
        ClauseKind::Word(w, e) => format!(" ({} {})", w.as_str(), e.iter().map(expr).collect::<Vec<_>>().join(" ")),
        ClauseKind::Flag(f) => format!(" {}", f.as_str()),
        ClauseKind::Doc(d) => format!(" {:?}", d.text),
    };
    list.iter().map(one).collect()
}

pub fn expr(e: &Expr) -> String {
    match &e.kind {
        ExprKind::Quantity { value, unit } => {
            format!("{value}{}", unit.iter().map(|u| format!("[{}]", u.text)).collect::<String>())
        }
        ExprKind::Text(t) => format!("{t:?}"),
        ExprKind::Path(p) => path(p),
        ExprKind::Derivative { target, indices: list } => format!("{}{}'", path(target), indices(list)),
        ExprKind::Call { function, args } => {
            let arg = |a: &Arg| {
                let name = a.name.iter().map(|n| format!("{}=", n.text)).collect::<String>();
                let family = a.family.iter().map(|f| format!(" {}", family(f))).collect::<String>();
                let condition = a.condition.iter().map(|c| format!(" (if {})", expr(c))).collect::<String>();
                format!(" {name}{}{family}{condition}", value(&a.value))
            };
            format!("({}{})", path(function), args.iter().map(arg).collect::<String>())
        }
        ExprKind::Prefix { op, operand } => format!("({} {})", op.as_str(), expr(operand)),
        ExprKind::Infix { op, left, right, .. } => format!("({} {} {})", op.as_str(), expr(left), expr(right)),
        ExprKind::If { condition, then, otherwise } => {
            format!("(if {} {} {})", expr(condition), expr(then), expr(otherwise))
        }
        ExprKind::Paren(inner) => format!("(par {})", expr(inner)),
    }
}
