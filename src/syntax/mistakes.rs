//! What is wrong with a statement that the grammar refuses, in the words of a modeler, and what to write instead.
//!
//! The place where pest stopped and the tokens around it tell the mistake; no rule of the grammar is ever named.

use super::ast::{ClauseKind, ClauseWord, Expr, ExprKind, Flag, InfixOp, StatementKind};
use super::convert_expr::needs_brackets;
use super::extent::Form;
use super::layout::Layout;
use super::lex::{self, Kind, Token};
use super::{unit_text, words};
use crate::diag::closest::closest;
use crate::diag::{Code, Diagnostic};
use crate::source::Span;

const SYNTAX: Code = Code("E0101");

/// True for tokens that need something behind them.
pub(super) fn is_operator(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Equal
            | Kind::EqualEqual
            | Kind::NotEqual
            | Kind::Less
            | Kind::LessEqual
            | Kind::Greater
            | Kind::GreaterEqual
            | Kind::Plus
            | Kind::Minus
            | Kind::Star
            | Kind::Slash
            | Kind::Caret
            | Kind::At
            | Kind::Tilde
            | Kind::Arrow
            | Kind::BothArrow
            | Kind::BackArrow
            | Kind::Assign
    )
}

/// True for tokens that end a value.
pub(super) fn ends_value(layout: &Layout<'_, '_>, token: Token) -> bool {
    match token.kind {
        Kind::Number | Kind::OddNumber | Kind::Quoted | Kind::RParen | Kind::RBracket | Kind::Prime => true,
        Kind::Name => !lex::is_reserved(layout.slice(token)),
        _ => false,
    }
}

/// The bracket at `token` is never closed.
pub(super) fn open_bracket(layout: &Layout<'_, '_>, token: Token) -> Diagnostic {
    let open = layout.slice(token);
    let close = if open == "(" { ")" } else { "]" };
    Diagnostic::new(SYNTAX, layout.span(token), format!("`{open}` is never closed"))
        .at("opened here")
        .help(format!("add `{close}`"))
}

/// The closing bracket at `token` has no opening one.
pub(super) fn stray_bracket(layout: &Layout<'_, '_>, token: Token) -> Diagnostic {
    let close = layout.slice(token);
    Diagnostic::new(SYNTAX, layout.span(token), format!("`{close}` closes nothing"))
        .help(format!("remove `{close}`, or open the bracket it closes"))
}

/// The left side of a derivative in the notation of another language.
pub(super) struct Derivative {
    /// Index of the first token of the right side.
    pub rhs: usize,
    /// The differentiated name and its token.
    pub name: (Token, String),
}

/// `der(x) =`, `D(x) =`, `dx/dt =`, `d(x)/dt =`, `d[x]/dt =`
pub(super) fn other_derivative(
    layout: &Layout<'_, '_>,
    form: Form,
    header: &[Token],
) -> Option<(Diagnostic, Derivative)> {
    if form == Form::Entry {
        return None;
    }
    let kind = |i: usize| header.get(i).map_or(Kind::End, |t| t.kind);
    let word = |i: usize| header.get(i).filter(|t| t.kind == Kind::Name).map_or("", |t| layout.slice(*t));
    let is_call = matches!(kind(1), Kind::LParen | Kind::LBracket)
        && kind(2) == Kind::Name
        && matches!(kind(3), Kind::RParen | Kind::RBracket);
    let over_dt = |i: usize| kind(i) == Kind::Slash && word(i + 1) == "dt";
    // `D [mM] = 1` is an entry with a unit, not a derivative.
    let is_round = kind(1) == Kind::LParen;
    let is_operator_call = is_call && is_round && matches!(word(0), "der" | "D" | "ddt" | "Dt");
    let (name, equal) = if is_operator_call && kind(4) == Kind::Equal {
        ((*header.get(2)?, word(2)), 4)
    } else if is_call && word(0) == "d" && over_dt(4) && kind(6) == Kind::Equal {
        ((*header.get(2)?, word(2)), 6)
    } else if word(0).len() > 1 && word(0).starts_with('d') && over_dt(1) && kind(3) == Kind::Equal {
        let token = *header.first()?;
        ((Token { start: token.start + 1, ..token }, &word(0)[1..]), 3)
    } else {
        return None;
    };
    if header.len() <= equal + 1 || header.last().is_some_and(|t| is_operator(t.kind)) {
        return None;
    }
    let (token, name) = name;
    let place = layout.span(header[0]).to(layout.span(header[equal - 1]));
    let found = Diagnostic::new(SYNTAX, place, format!("a derivative is written `{name}'`"))
        .help(format!("write `{name}' = ...`"))
        .fix(format!("write `{name}'`"), place, format!("{name}'"));
    Some((found, Derivative { rhs: equal + 1, name: (token, name.to_string()) }))
}

/// Mistakes that are sure before the grammar is asked.
pub(super) fn before_reading(layout: &Layout<'_, '_>, form: Form, header: &[Token]) -> Option<Diagnostic> {
    let last = *header.last()?;
    let text = layout.slice(last);
    let is_word = last.kind == Kind::Name && lex::is_reserved(text) && header.len() > 1;
    if is_operator(last.kind) || matches!(last.kind, Kind::Comma | Kind::Colon) || is_word {
        return Some(ends_early(layout, last));
    }
    if form == Form::Ode {
        let mut level = 0usize;
        let prime = header.iter().position(|t| {
            match t.kind {
                Kind::LParen => level += 1,
                Kind::RParen => level = level.saturating_sub(1),
                _ => {}
            }
            t.kind == Kind::Prime && level == 0
        })?;
        let next = *header.get(prime + 1)?;
        let span = layout.span(next);
        return match next.kind {
            Kind::Equal => None,
            Kind::Prime => Some(
                Diagnostic::new(SYNTAX, span, "a second derivative is not read")
                    .help("name the first derivative: `x' = v` and `v' = ...`"),
            ),
            Kind::EqualEqual => Some(no_comparison(span)),
            _ => Some(
                Diagnostic::new(SYNTAX, span, format!("`=` belongs here, not `{}`", shown(layout.slice(next))))
                    .help(form_help(form)),
            ),
        };
    }
    if form == Form::Directive && words::declares(layout.slice(header[0])) {
        let name = header.get(1).filter(|t| t.kind == Kind::Name && lex::is_reserved(layout.slice(**t)))?;
        return Some(reserved(layout, *name));
    }
    None
}

fn ends_early(layout: &Layout<'_, '_>, last: Token) -> Diagnostic {
    let text = layout.slice(last);
    let place = layout.span(last).end_point();
    let (title, label, help) = match last.kind {
        Kind::Equal | Kind::Assign => ("a value is missing", "a value belongs here", "add a value".to_string()),
        Kind::Arrow | Kind::BothArrow => {
            ("the right side of the reaction is missing", "products belong here", "write `0` for nothing".to_string())
        }
        Kind::BackArrow => {
            ("a binding ends early", "a column belongs here", "name a column, such as `t_min`".to_string())
        }
        Kind::At => {
            ("a rate constant is missing", "a rate constant belongs here", "add one, or remove `@`".to_string())
        }
        Kind::Tilde => (
            "a distribution is missing",
            "a distribution belongs here",
            "add one, such as `Normal(sd = 1)`, or remove `~`".to_string(),
        ),
        Kind::Comma => ("a list ends early", "one more item belongs here", "add an item or remove `,`".to_string()),
        Kind::Colon => {
            ("nothing follows the label", "a statement belongs here", "add what the label names".to_string())
        }
        Kind::Name if text == "in" => {
            ("a range is missing", "a range belongs here", "add one, such as `in 0 .. 1`".to_string())
        }
        _ => ("the expression ends early", "a term belongs here", format!("add a term or remove `{text}`")),
    };
    Diagnostic::new(SYNTAX, place, format!("{title} after `{text}`")).at(label).help(help)
}

/// Statements that are read but mean something else than was meant.
pub(super) fn after_reading(kind: &StatementKind) -> Option<Diagnostic> {
    if let StatementKind::Labelled(labelled) = kind {
        let init = labelled.clauses.iter().find(|c| matches!(c.kind, ClauseKind::Init(_)))?;
        return Some(compares(Span { end: init.span.start + 1, ..init.span }));
    }
    let StatementKind::Directive(directive) = kind else {
        return None;
    };
    if words::declares(&directive.word.text)
        && let Some(ExprKind::Infix { op: InfixOp::Eq, op_span, left, .. }) =
            directive.subjects.first().map(|s| &s.kind)
        && matches!(left.kind, ExprKind::Path(_) | ExprKind::Call { .. })
    {
        return Some(no_comparison(*op_span));
    }
    let at = directive.clauses.iter().position(|c| matches!(c.kind, ClauseKind::Init(_)))?;
    let init = &directive.clauses[at];
    let word = directive.word.text.as_str();
    let is_condition = (word == "when" && !directive.subjects.is_empty())
        || (word == "safe" && directive.label.is_some())
        || (at > 0 && matches!(directive.clauses[at - 1].kind, ClauseKind::Word(ClauseWord::When, _)));
    if !is_condition {
        return None;
    }
    let place = Span { end: init.span.start + 1, ..init.span };
    Some(compares(place))
}

fn compares(place: Span) -> Diagnostic {
    Diagnostic::new(SYNTAX, place, "`=` gives a value and does not compare").help("a comparison is written `==`").fix(
        "write `==`",
        place,
        "==",
    )
}

fn reserved(layout: &Layout<'_, '_>, token: Token) -> Diagnostic {
    let word = layout.slice(token);
    Diagnostic::new(Code("E0106"), layout.span(token), format!("`{word}` is reserved and cannot be a name"))
        .at("a name belongs here")
        .help(format!("choose another name, or write `` `{word}` `` with backticks everywhere"))
}

/// Operators of other languages: the text, what to write, and whether that is an exact repair.
fn foreign(layout: &Layout<'_, '_>, header: &[Token]) -> Option<Diagnostic> {
    for (i, token) in header.iter().enumerate() {
        let next = header.get(i + 1).filter(|next| next.start == token.end);
        let pair = next.map(|next| (token.kind, next.kind));
        if pair == Some((Kind::Slash, Kind::Equal)) {
            let span = layout.span(*token).to(layout.span(*next.unwrap_or(token)));
            let found = Diagnostic::new(SYNTAX, span, "`/=` is not an assignment");
            return Some(found.help("multiply by the inverse: `x *= 1/factor`"));
        }
        let written = layout.slice(*token);
        let (place, operator) = match (pair, written) {
            (Some((Kind::Star, Kind::Star)), _) => (next, "^"),
            (Some((Kind::Other, Kind::Other)), "&") => (next, "and"),
            (Some((Kind::Other, Kind::Other)), "|") => (next, "or"),
            (_, "!") => (None, "not"),
            (Some((Kind::Minus, Kind::Arrow)), _) => (next, "->"),
            (Some((Kind::BackArrow, Kind::Arrow)), _) => (next, "<->"),
            (Some((Kind::LessEqual, Kind::Greater)), _) => (next, "<->"),
            (Some((Kind::Equal, Kind::Greater)), _) => (next, "->"),
            _ => continue,
        };
        let span = layout.span(*token).to(layout.span(*place.unwrap_or(token)));
        let shown = layout.text.get(span.start as usize..span.end as usize).unwrap_or("");
        let replacement =
            if operator.starts_with(char::is_alphabetic) { format!(" {operator} ") } else { operator.into() };
        return Some(
            Diagnostic::new(SYNTAX, span, format!("`{shown}` is not an operator here"))
                .help(format!("write `{operator}`"))
                .fix(format!("write `{operator}`"), span, replacement),
        );
    }
    None
}

/// Why the grammar stopped at `header[idx]` (or at the statement's end); `None` where it is reported already.
pub(super) fn explain(layout: &mut Layout<'_, '_>, form: Form, header: &[Token], idx: usize) -> Option<Diagnostic> {
    let is_open_text = |t: &Token| t.kind == Kind::Other && layout.slice(*t).starts_with('"');
    if header.iter().any(is_open_text) {
        return None;
    }
    if let Some(found) = foreign(layout, header) {
        return Some(found);
    }
    let before = idx.checked_sub(1).and_then(|i| header.get(i)).copied();
    let Some(&token) = header.get(idx) else {
        return Some(at_end(layout, form, header));
    };
    let text = layout.slice(token);
    let span = layout.span(token);
    if let Some(before) = before
        && is_clause_word(layout, before)
        && idx > 1
    {
        return Some(clause_without_value(layout, before));
    }
    Some(match token.kind {
        Kind::Name if lex::is_reserved(text) && before.is_none_or(|t| !ends_value(layout, t) || idx == 1) => {
            reserved(layout, token)
        }
        Kind::Name | Kind::Quoted | Kind::Number | Kind::OddNumber | Kind::LParen | Kind::Text
            if before.is_some_and(|t| ends_value(layout, t)) =>
        {
            side_by_side(layout, form, header, idx)
        }
        Kind::EqualEqual => no_comparison(span),
        Kind::Comma if header.get(idx + 1).is_some_and(|t| t.kind == Kind::Name) => comma(layout, header, idx),
        Kind::At | Kind::Name if form == Form::Reaction && before.is_some_and(|t| is_arrow(t.kind)) => {
            Diagnostic::new(SYNTAX, span, "the right side of the reaction is missing").help("write `0` for nothing")
        }
        Kind::Arrow | Kind::BothArrow if idx == 0 => {
            Diagnostic::new(SYNTAX, span, "the left side of the reaction is missing").help("write `0` for nothing")
        }
        Kind::Equal if header[..idx].iter().any(|t| is_if(layout, *t)) => compares(span),
        Kind::Equal if header[..idx].iter().any(|t| t.kind == Kind::Comma) => {
            Diagnostic::new(SYNTAX, span, "a second `=` in one statement")
                .help("entries are separated by `;` or a new line, not by a comma")
        }
        Kind::Equal
            if form == Form::Directive && layout.slice(header[0]) == "model" && is_dotted(layout, header, idx) =>
        {
            let span = layout.span(header[idx - 3]).to(layout.span(header[idx - 1]));
            let spread = layout.text.get(span.start as usize..span.end as usize).unwrap_or("");
            Diagnostic::new(SYNTAX, span, "what a variant replaces has one name, without a dot").help(format!(
                "give the spread a name, `param s = ..` and `Normal(sd = s)`, and replace that; a study may `start {spread} = ..`"
            ))
        }
        Kind::Equal if header[..idx].iter().any(|t| t.kind == Kind::Equal) => {
            Diagnostic::new(SYNTAX, span, "a second `=` in one statement")
                .help("a comparison is written `==`; a new statement starts on a new line or behind `;`")
        }
        Kind::BackArrow => Diagnostic::new(SYNTAX, span, "`<-` binds a column and does not compare")
            .help("put a blank between them: `< -`")
            .fix("write `< -`", span, "< -"),
        Kind::Other if text == "$" && matches!(form, Form::None | Form::Reaction) => {
            Diagnostic::new(SYNTAX, span, "`$` does not mark a boundary species here")
                .help("write `fixed` where the species is declared")
        }
        Kind::Other if text == "%" => {
            Diagnostic::new(SYNTAX, span, "`%` is not an operator").help("the remainder is `mod(a, b)`")
        }
        Kind::Other => {
            Diagnostic::new(SYNTAX, span, format!("`{}` has no meaning here", shown(text))).help(form_help(form))
        }
        _ if before.is_some_and(|t| t.kind == Kind::RBracket) && is_operator(token.kind) => {
            Diagnostic::new(SYNTAX, span, format!("`{text}` follows a unit"))
                .help("in an expression only a number has a unit; a name has its own where it is declared")
        }
        _ if form == Form::None && idx == 0 => {
            Diagnostic::new(SYNTAX, span, format!("a statement cannot start with `{}`", shown(text)))
                .help("a statement starts with a word such as `param`, a name or a label")
        }
        _ => Diagnostic::new(SYNTAX, span, format!("`{}` cannot stand here", shown(text))).help(form_help(form)),
    })
}

pub(super) fn is_arrow(kind: Kind) -> bool {
    matches!(kind, Kind::Arrow | Kind::BothArrow)
}

fn no_comparison(span: Span) -> Diagnostic {
    Diagnostic::new(SYNTAX, span, "`==` compares and gives no value").help("a value is given by `=`").fix(
        "write `=`",
        span,
        "=",
    )
}

/// `a = 1, b = 2`, or a comma that joins nothing.
fn comma(layout: &Layout<'_, '_>, header: &[Token], idx: usize) -> Diagnostic {
    let span = layout.span(header[idx]);
    let found = Diagnostic::new(SYNTAX, span, "a comma does not separate statements");
    let found = found.help("statements are separated by `;` or a new line");
    match header.get(idx + 2).map(|t| t.kind) {
        Some(Kind::Equal | Kind::LBracket | Kind::Prime) => found.fix("write `;`", span, ";"),
        _ => found,
    }
}

/// True where `header[idx]` stands behind `name.name`.
fn is_dotted(layout: &Layout<'_, '_>, header: &[Token], idx: usize) -> bool {
    let behind = |back: usize| idx.checked_sub(back).and_then(|k| header.get(k));
    let is_name = |back| behind(back).is_some_and(|t| t.kind == Kind::Name && !lex::is_reserved(layout.slice(*t)));
    is_name(1) && behind(2).is_some_and(|t| t.kind == Kind::Dot) && is_name(3)
}

fn is_if(layout: &Layout<'_, '_>, token: Token) -> bool {
    token.kind == Kind::Name && layout.slice(token) == "if"
}

fn is_clause_word(layout: &Layout<'_, '_>, token: Token) -> bool {
    token.kind == Kind::Name && ClauseWord::find(layout.slice(token)).is_some()
}

/// A long or unprintable text cut for a title.
fn shown(text: &str) -> String {
    text.chars().take(24).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn clause_without_value(layout: &Layout<'_, '_>, word: Token) -> Diagnostic {
    let text = layout.slice(word);
    let span = layout.span(word);
    Diagnostic::new(SYNTAX, span, format!("`{text}` starts a clause here and needs a value"))
        .help(format!("add its value; a quantity of this name is written `` `{text}` ``"))
}

fn at_end(layout: &Layout<'_, '_>, form: Form, header: &[Token]) -> Diagnostic {
    let Some(&last) = header.last() else {
        return Diagnostic::new(SYNTAX, Span::new(layout.source, 0, 0), "a statement is missing");
    };
    if header.len() > 1 && is_clause_word(layout, last) {
        return clause_without_value(layout, last);
    }
    let place = layout.span(last).end_point();
    if header.iter().any(|t| is_if(layout, *t)) {
        return Diagnostic::new(SYNTAX, place, "`if` is not complete")
            .help("write `if condition then value else value`");
    }
    if last.kind == Kind::DotDot {
        return Diagnostic::new(SYNTAX, place, "a range ends early after `..`").help("add its last value");
    }
    Diagnostic::new(SYNTAX, place, format!("the statement ends early after `{}`", shown(layout.slice(last))))
        .help(form_help(form))
}

fn form_help(form: Form) -> &'static str {
    match form {
        Form::Ode => "an equation reads `x' = expression`",
        Form::Assign => "an assignment of an event reads `x += expression`",
        Form::Bind => "a binding reads `quantity <- column [unit]`",
        Form::Reaction => "a reaction reads `name: A + 2 B -> C @ k`, or `... -> C rate expression`",
        Form::Setting => "a value is given as `name = expression`",
        Form::Entry => "an entry reads `h(i) [unit] = value for i in 1 .. N`",
        Form::Directive => "a declaration reads `param k [1/s] = 1 in 0 .. 10`",
        Form::Labelled => "a labelled statement reads `name: expression`",
        Form::None => "a statement starts with a word such as `param`, a name or a label",
    }
}

/// Two values with nothing between them: a unit without brackets, a rate without its word, a forgotten operator.
fn side_by_side(layout: &mut Layout<'_, '_>, form: Form, header: &[Token], idx: usize) -> Diagnostic {
    let (before, token) = (header[idx - 1], header[idx]);
    let (left, right) = (layout.slice(before), layout.slice(token));
    let place = layout.span(token);
    if before.kind == Kind::Number && token.kind == Kind::Name && unit_text::looks_like_unit(right) {
        let is_name = layout.names().contains(right);
        if !is_name {
            let rest = layout.clean.get(token.start as usize..).unwrap_or("");
            let names = layout.names();
            let run = unit_text::run_length(rest, |word| names.contains(word));
            let written = rest.get(..run).unwrap_or(right);
            let place = Span { end: token.start + written.len() as u32, ..layout.span(before) };
            return needs_brackets(left, written, place);
        }
    }
    if form == Form::Reaction
        && let Some(arrow) = header.iter().rposition(|t| matches!(t.kind, Kind::Arrow | Kind::BothArrow))
        && idx > arrow + 1
        && !header[arrow..idx].iter().any(|t| t.kind == Kind::At || layout.slice(*t) == "rate")
    {
        let insert = Span { end: token.start, ..place };
        return Diagnostic::new(
            Code("E0103"),
            layout.span(header[0]).to(layout.span(before)),
            "the reaction has no rate",
        )
        .label(place, "is this the rate?")
        .help("write `rate` before a full law, or `@` before a rate constant")
        .fix("write `rate`", insert, "rate ");
    }
    let near_clause = closest(right, ClauseWord::ALL.iter().map(|(t, _)| *t).chain(Flag::ALL.iter().map(|(t, _)| *t)));
    let title = format!("nothing stands between `{}` and `{}`", shown(left), shown(right));
    let found = Diagnostic::new(SYNTAX, place, title);
    let has_value = header.get(idx + 1).is_some_and(|t| {
        matches!(t.kind, Kind::Name | Kind::Quoted | Kind::Number | Kind::OddNumber | Kind::LParen | Kind::Minus)
    });
    if let Some(word) = near_clause
        && right.chars().count() > 2
        && token.kind == Kind::Name
        && (has_value || before.kind == Kind::RBracket)
    {
        let found = Diagnostic::new(SYNTAX, place, format!("`{right}` is not the word of a clause"));
        return found.help(format!("did you mean `{word}`?")).fix(format!("write `{word}`"), place, word);
    }
    if matches!(before.kind, Kind::Number | Kind::OddNumber) && matches!(token.kind, Kind::Name | Kind::LParen) {
        let between = Span { start: before.end, end: token.start, ..place };
        let is_call = token.kind == Kind::LParen;
        let shown = if is_call { "(...)" } else { right };
        let found = found.help(format!("a product is written `{left}*{shown}`"));
        let is_sure = is_call || layout.names().contains(right);
        return if is_sure { found.fix("write the product", between, "*") } else { found };
    }
    found.help("write an operator between them; a new statement starts on a new line or behind `;`")
}

/// E0103: the reaction at `place` has no rate, and `expr` stands behind it as a statement.
pub(super) fn missing_rate(text: &str, place: Span, expr: &Expr) -> Diagnostic {
    let part = |span: Span| text.get(span.start as usize..span.end as usize).unwrap_or("");
    let (reaction, law) = (part(place), part(expr.span));
    let found = Diagnostic::new(Code("E0103"), place, "the reaction has no rate").label(expr.span, "is this the rate?");
    let gap = Span { start: place.end, end: expr.span.start, ..place };
    match expr.kind {
        ExprKind::Quantity { .. } | ExprKind::Path(_) => {
            found.help(format!("write `{reaction} @ {law}` if it is a rate constant, or `rate {law}` for a full law"))
        }
        _ => found.help(format!("write `{reaction} rate {law}`, or `@ k` with the constant alone")).fix(
            "write `rate`",
            gap,
            " rate ",
        ),
    }
}
