//! How far a statement goes and which form it has, told by its tokens.
//!
//! A statement ends at a newline, `;` or brace. It goes on inside `( [`, after an operator or comma, and before a
//! leading operator, unless the next line looks like a statement of its own. Nesting is bounded here, before anything
//! recursive sees the text.

use super::ast::{ClauseWord, Flag};
use super::layout::Layout;
use super::lex::{self, Kind, Token};
use super::{mistakes, words};
use crate::limits::MAX_NESTING;

/// The form of a statement, told by its first tokens and by arrows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Ode,
    Assign,
    Bind,
    Reaction,
    Setting,
    Entry,
    Directive,
    Labelled,
    /// Starts with something no statement starts with.
    None,
}

/// What is wrong with the extent of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    Whole,
    /// The bracket at this token is never closed.
    Open(Token),
    /// This closing bracket has no opening one.
    Stray(Token),
    /// Brackets nest deeper than the limit, at this token.
    Deep(Token),
}

/// A bracket that is open.
struct Bracket {
    token: Token,
    /// The bracket of a unit closes on its line.
    is_unit: bool,
    /// How many `if` are open outside it.
    ifs: usize,
}

impl Layout<'_, '_> {
    /// Takes the tokens of one statement up to its end or `{`, newlines left out.
    pub(super) fn header(&mut self) -> (Vec<Token>, Extent) {
        let mut header: Vec<Token> = Vec::new();
        let mut brackets: Vec<Bracket> = Vec::new();
        let mut extent = Extent::Whole;
        let mut ifs = 0;
        let mut has_equal = false;
        loop {
            let token = self.token();
            match token.kind {
                Kind::End | Kind::Semicolon | Kind::LBrace | Kind::RBrace => {
                    if let Some(open) = brackets.last()
                        && extent == Extent::Whole
                    {
                        extent = Extent::Open(open.token);
                    }
                    return (header, extent);
                }
                Kind::Newline => {
                    let mut next = self.at;
                    while self.kind_at(next) == Kind::Newline {
                        next += 1;
                    }
                    let last = header.last().copied();
                    if let Some(open) = brackets.last() {
                        if open.is_unit || self.starts_statement(next, false) {
                            if extent == Extent::Whole {
                                extent = Extent::Open(open.token);
                            }
                            return (header, extent);
                        }
                    } else if last.is_some_and(|t| self.goes_on(t)) {
                        if self.starts_statement(next, has_equal) {
                            return (header, extent);
                        }
                    } else if !self.leads(next, &header) {
                        return (header, extent);
                    }
                    self.at = next;
                    continue;
                }
                Kind::LParen | Kind::LBracket => {
                    let is_unit = token.kind == Kind::LBracket && header.last().is_some_and(|t| self.may_have_unit(*t));
                    brackets.push(Bracket { token, is_unit, ifs });
                }
                Kind::RParen | Kind::RBracket => {
                    let wanted = if token.kind == Kind::RParen { Kind::LParen } else { Kind::LBracket };
                    match brackets.pop() {
                        Some(open) if open.token.kind == wanted => ifs = open.ifs,
                        Some(open) if extent == Extent::Whole => extent = Extent::Open(open.token),
                        None if extent == Extent::Whole => extent = Extent::Stray(token),
                        Some(_) | None => {}
                    }
                }
                Kind::Name if self.slice(token) == "if" => ifs += 1,
                Kind::Comma => ifs = brackets.last().map_or(0, |open| open.ifs),
                Kind::Equal | Kind::Assign if brackets.is_empty() => has_equal = true,
                _ => {}
            }
            if self.depth + brackets.len() + ifs > MAX_NESTING && extent == Extent::Whole {
                extent = Extent::Deep(token);
            }
            header.push(token);
            self.at += 1;
        }
    }

    /// True where a statement whose last token this is goes on in the next line.
    fn goes_on(&self, token: Token) -> bool {
        mistakes::is_operator(token.kind)
            || matches!(token.kind, Kind::Comma | Kind::Colon)
            || (token.kind == Kind::Name && lex::is_reserved(self.slice(token)))
    }

    /// True for tokens behind which a bracket starts a unit and not a list.
    fn may_have_unit(&self, token: Token) -> bool {
        token.kind == Kind::Text || mistakes::ends_value(self, token)
    }

    /// True where a line that starts with this token goes on with the one before it.
    fn leads(&self, idx: usize, header: &[Token]) -> bool {
        match self.kind_at(idx) {
            // An arrow may open a reaction without a left side, by mistake; it goes on only what looks like a side.
            Kind::Arrow | Kind::BothArrow => !header.iter().any(|t| {
                mistakes::is_arrow(t.kind) || matches!(t.kind, Kind::Equal | Kind::LBracket | Kind::Text | Kind::Prime)
            }),
            Kind::Comma | Kind::LBrace | Kind::DotDot => true,
            Kind::Name => matches!(self.word_at(idx), "and" | "or" | "then" | "else" | "in"),
            kind => mistakes::is_operator(kind),
        }
    }

    /// True where the tokens from `idx` look like a statement's beginning and cannot go on an expression: `name' =`,
    /// `label:`, `word name`, `word 5`, `param {`; with `has_equal` also `name =` and `name ->`, since no statement
    /// has two values.
    fn starts_statement(&self, idx: usize, has_equal: bool) -> bool {
        let is_name = |i: usize| {
            self.kind_at(i) == Kind::Quoted || (self.kind_at(i) == Kind::Name && !lex::is_reserved(self.word_at(i)))
        };
        if !is_name(idx) {
            return false;
        }
        let mut after = idx + 1;
        match self.kind_at(after) {
            Kind::Colon => return true,
            Kind::Name => {
                let word = self.word_at(after);
                let is_clause = ClauseWord::find(word).is_some() || Flag::find(word).is_some();
                return !lex::is_reserved(word) && !is_clause && word != "for";
            }
            Kind::Number => return true,
            Kind::LBrace => return words::opens_group(self.word_at(idx)),
            _ => {}
        }
        while self.kind_at(after) == Kind::Dot && is_name(after + 1) {
            after += 2;
        }
        if self.kind_at(after) == Kind::LParen {
            let mut level = 0usize;
            loop {
                match self.kind_at(after) {
                    Kind::LParen => level += 1,
                    Kind::RParen => level -= 1,
                    Kind::Newline | Kind::End | Kind::Semicolon => return false,
                    _ => {}
                }
                after += 1;
                if level == 0 {
                    break;
                }
            }
        }
        match self.kind_at(after) {
            Kind::Prime => self.kind_at(after + 1) == Kind::Equal,
            Kind::Equal | Kind::Assign | Kind::BackArrow | Kind::Arrow | Kind::BothArrow => has_equal,
            _ => false,
        }
    }
}

/// The form of a statement.
pub(super) fn classify<'t>(header: &[Token], in_group: bool, text: impl Fn(Token) -> &'t str) -> Form {
    let kind = |i: usize| header.get(i).map_or(Kind::End, |t| t.kind);
    let starts_with_name = match kind(0) {
        Kind::Quoted => true,
        Kind::Name => !lex::is_reserved(text(header[0])),
        _ => false,
    };
    let mut after = 1;
    if starts_with_name {
        while kind(after) == Kind::Dot && matches!(kind(after + 1), Kind::Name | Kind::Quoted) {
            after += 2;
        }
        let is_plain = after == 1;
        let path_end = after;
        if kind(after) == Kind::LParen {
            let mut level = 0usize;
            while let Some(token) = header.get(after) {
                match token.kind {
                    Kind::LParen => level += 1,
                    Kind::RParen => level = level.saturating_sub(1),
                    _ => {}
                }
                after += 1;
                if level == 0 {
                    break;
                }
            }
        }
        match kind(after) {
            Kind::Prime => return Form::Ode,
            Kind::Assign => return Form::Assign,
            Kind::BackArrow => return Form::Bind,
            Kind::Arrow if after == path_end && kind(after + 1) == Kind::Text => return Form::Bind,
            Kind::Equal if is_plain && after == 1 => return Form::Setting,
            _ => {}
        }
        if has_arrow(header) {
            return Form::Reaction;
        }
        if is_plain && kind(1) == Kind::Colon {
            return Form::Labelled;
        }
        if in_group && is_plain && kind(1) == Kind::LParen {
            return Form::Entry;
        }
        return Form::Directive;
    }
    if matches!(kind(0), Kind::Number | Kind::OddNumber) && has_arrow(header) {
        return Form::Reaction;
    }
    Form::None
}

/// True where an arrow stands outside brackets.
fn has_arrow(header: &[Token]) -> bool {
    let mut level = 0usize;
    for token in header {
        match token.kind {
            Kind::LParen | Kind::LBracket => level += 1,
            Kind::RParen | Kind::RBracket => level = level.saturating_sub(1),
            Kind::Arrow | Kind::BothArrow if level == 0 => return true,
            _ => {}
        }
    }
    false
}
