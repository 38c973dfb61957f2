//! Tokens to statements and blocks, one at a time, so that a bad line costs that line.
//!
//! A statement ends at a newline, `;` or brace. It goes on inside `( [`, after an operator or comma, and before a
//! leading operator. Its form is told by its tokens, and `grammar/twin.pest` reads it; what pest refuses,
//! [`super::mistakes`] explains. Invariant: nesting is bounded here, before anything recursive sees the text.

use std::collections::HashSet;

use pest::Parser;
use pest::error::{ErrorVariant, InputLocation};

use super::ast::{
    Block, Clause, ClauseKind, ClauseWord, Directive, Expr, ExprKind, File, Name, Path, Statement, StatementKind,
};
use super::convert::Convert;
use super::grammar::{Rule, TwinParser};
use super::lex::{self, Kind, Lexed, Token};
use super::{mistakes, words};
use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::limits::{MAX_NESTING, MAX_SOURCE_BYTES, MAX_STATEMENTS};
use crate::source::{SourceId, Span};

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
enum Extent {
    Whole,
    /// The bracket at this token is never closed.
    Open(Token),
    /// This closing bracket has no opening one.
    Stray(Token),
    /// Brackets nest deeper than the limit, at this token.
    Deep(Token),
}

/// Why the statements of a block came to an end before its `}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    No,
    /// A statement of the file's own level starts at this token.
    Next(usize),
    /// Nothing more is read.
    Limit,
}

/// Reads a whole text. Never fails: what cannot be read is a diagnostic, and everything else is in the tree.
///
/// # Errors
/// In `diagnostics`: E0101–E0108 of single statements, E0110 (too large a text), E0111 (too many statements), E0112
/// (too deep).
pub fn parse(source: SourceId, text: &str, diagnostics: &mut Diagnostics) -> File {
    let span = Span::new(source, 0, text.len().min(u32::MAX as usize));
    if text.len() > MAX_SOURCE_BYTES {
        let title = format!("the text has {} bytes, the limit is {MAX_SOURCE_BYTES}", text.len());
        diagnostics.push(
            Diagnostic::new(Code("E0110"), Span::new(source, 0, 0), title)
                .help("split it into several files and bring their names together with `use`"),
        );
        return File { statements: vec![], comments: vec![], line_starts: vec![0], unread: vec![], span };
    }
    let mut found = Diagnostics::default();
    let lexed = lex::lex(source, text, &mut found);
    let mut layout = Layout {
        source,
        text,
        tokens: &lexed.tokens,
        clean: &lexed.clean,
        line_starts: &lexed.line_starts,
        names: None,
        at: 0,
        n_statements: 0,
        depth: 0,
        stop: Stop::No,
        open: Vec::new(),
        suspect: None,
        unread: Vec::new(),
        diagnostics: &mut found,
    };
    let statements = layout.file();
    let unread = layout.unread;
    found.sort();
    diagnostics.extend(found);
    let Lexed { comments, line_starts, .. } = lexed;
    File { statements, comments, line_starts, unread, span }
}

/// The state of reading one text.
pub(super) struct Layout<'t, 'd> {
    pub source: SourceId,
    pub text: &'t str,
    tokens: &'t [Token],
    pub clean: &'t str,
    line_starts: &'t [u32],
    names: Option<HashSet<String>>,
    at: usize,
    n_statements: usize,
    depth: usize,
    stop: Stop,
    /// Token indices of the braces that are open.
    open: Vec<usize>,
    /// The first brace whose partner stands at another indentation: the likely culprit of an unclosed block.
    suspect: Option<usize>,
    unread: Vec<Name>,
    diagnostics: &'d mut Diagnostics,
}

impl<'t> Layout<'t, '_> {
    fn file(&mut self) -> Vec<Statement> {
        let mut statements = Vec::new();
        loop {
            self.statements(false, &mut statements);
            match (self.stop, self.kind()) {
                (Stop::Limit, _) | (Stop::No, Kind::End) => return statements,
                (Stop::Next(_), _) => {
                    self.stop = Stop::No;
                    self.open.clear();
                    self.depth = 0;
                }
                (Stop::No, _) => {
                    let span = self.span(self.token());
                    self.diagnostics.push(
                        Diagnostic::new(Code("E0101"), span, "`}` closes nothing")
                            .at("no block is open here")
                            .help("remove it, or look above for a block that is closed too early"),
                    );
                    self.at += 1;
                }
            }
        }
    }

    fn token(&self) -> Token {
        self.tokens.get(self.at).or(self.tokens.last()).copied().unwrap_or(Token { kind: Kind::End, start: 0, end: 0 })
    }

    fn kind(&self) -> Kind {
        self.token().kind
    }

    pub fn span(&self, token: Token) -> Span {
        Span { source: self.source, start: token.start, end: token.end }
    }

    pub fn slice(&self, token: Token) -> &'t str {
        self.text.get(token.start as usize..token.end as usize).unwrap_or("")
    }

    fn word_at(&self, idx: usize) -> &'t str {
        self.tokens.get(idx).filter(|t| t.kind == Kind::Name).map_or("", |t| self.slice(*t))
    }

    fn kind_at(&self, idx: usize) -> Kind {
        self.tokens.get(idx).map_or(Kind::End, |t| t.kind)
    }

    /// Names that stand in the text outside unit brackets and not right behind a number.
    pub fn names(&mut self) -> &HashSet<String> {
        let (tokens, text) = (self.tokens, self.text);
        self.names.get_or_insert_with(|| {
            let mut names = HashSet::new();
            let mut depth = 0usize;
            for (i, token) in tokens.iter().enumerate() {
                match token.kind {
                    Kind::LBracket => depth += 1,
                    Kind::RBracket | Kind::Newline => depth = depth.saturating_sub(1),
                    Kind::Name if depth == 0 && (i == 0 || tokens[i - 1].kind != Kind::Number) => {
                        let name = text.get(token.start as usize..token.end as usize).unwrap_or("");
                        names.insert(name.to_string());
                    }
                    _ => {}
                }
            }
            names
        })
    }

    /// Statements up to a `}` (left for the caller), the end, or a stop.
    fn statements(&mut self, in_group: bool, out: &mut Vec<Statement>) {
        // True where only `;` stands between the last statement and this one.
        let mut is_joined = false;
        while self.stop == Stop::No {
            match self.kind() {
                Kind::Newline => {
                    is_joined = false;
                    self.at += 1;
                }
                Kind::Semicolon => {
                    is_joined = true;
                    self.at += 1;
                }
                Kind::RBrace | Kind::End => return,
                Kind::LBrace => {
                    let span = self.span(self.token());
                    self.diagnostics.push(
                        Diagnostic::new(Code("E0101"), span, "a block needs a word before it")
                            .help("write what the block holds, such as `param {`"),
                    );
                    if let Some((block, _)) = self.block(in_group) {
                        out.extend(block.statements);
                    }
                }
                _ => {
                    if self.depth > 0 && self.is_file_statement() {
                        self.stop = Stop::Next(self.at);
                        self.report_unclosed(Some(self.at));
                        return;
                    }
                    self.n_statements += 1;
                    if self.n_statements > MAX_STATEMENTS {
                        let span = self.span(self.token());
                        let title = format!("the text has more than {MAX_STATEMENTS} statements");
                        self.diagnostics.push(
                            Diagnostic::new(Code("E0111"), span, title)
                                .help("write repeated parts as a family, `for i in 1 .. N`, or split the file"),
                        );
                        self.stop = Stop::Limit;
                        return;
                    }
                    let before = self.at;
                    self.statement(in_group, is_joined, out);
                    if self.at == before {
                        self.at += 1;
                    }
                    is_joined = false;
                }
            }
        }
    }

    /// Inside a block: `model A {` and its like at the start of a line, which can only stand at the file's own level.
    fn is_file_statement(&self) -> bool {
        let starts_line = self.at == 0 || self.kind_at(self.at - 1) == Kind::Newline;
        starts_line
            && matches!(self.word_at(self.at), "model" | "study" | "task" | "twin")
            && self.kind_at(self.at + 1) == Kind::Name
            && (matches!(self.kind_at(self.at + 2), Kind::LBrace | Kind::Text | Kind::Equal)
                || self.word_at(self.at + 2) == "of")
    }

    /// Reads `{ ... }` from its opening brace; `None` where it lies too deep and was passed over.
    fn block(&mut self, in_group: bool) -> Option<(Block, bool)> {
        let opening = self.at;
        let open_token = self.token();
        self.at += 1;
        if self.depth >= MAX_NESTING {
            self.report_deep(open_token);
            let mut level = 1;
            while level > 0 && self.kind() != Kind::End {
                match self.kind() {
                    Kind::LBrace => level += 1,
                    Kind::RBrace => level -= 1,
                    _ => {}
                }
                self.at += 1;
            }
            return None;
        }
        self.depth += 1;
        self.open.push(opening);
        let mut statements = Vec::new();
        self.statements(in_group, &mut statements);
        let mut span = self.span(open_token);
        let mut is_closed = false;
        if self.stop == Stop::No {
            if self.kind() == Kind::RBrace {
                self.check_indent(opening, self.at);
                span = span.to(self.span(self.token()));
                self.at += 1;
                is_closed = true;
            } else {
                self.report_unclosed(None);
                self.stop = Stop::Limit;
            }
        }
        if !is_closed {
            let end = self.tokens[..self.at.min(self.tokens.len())].iter().rev().find(|t| t.kind != Kind::Newline);
            span.end = end.map_or(span.end, |t| t.end.max(span.end));
        }
        if is_closed {
            self.depth -= 1;
            self.open.pop();
        }
        Some((Block { statements, span }, is_closed))
    }

    fn report_deep(&mut self, token: Token) {
        let span = self.span(token);
        let help =
            if token.kind == Kind::LBrace { "close blocks before this one" } else { "name the inner parts with `let`" };
        self.diagnostics.push(
            Diagnostic::new(Code("E0112"), span, format!("nesting is deeper than {MAX_NESTING} levels"))
                .at("one level too many")
                .help(help),
        );
    }

    /// One-based line of an offset.
    fn line_of(&self, offset: u32) -> usize {
        self.line_starts.partition_point(|start| *start <= offset)
    }

    /// Start of the line of an offset and the width of the blanks it begins with.
    fn indent(&self, offset: u32) -> (usize, usize) {
        let start = self.line_starts.get(self.line_of(offset) - 1).map_or(0, |s| *s as usize);
        let line = self.text.get(start..).unwrap_or("");
        (start, line.len() - line.trim_start_matches([' ', '\t']).len())
    }

    fn check_indent(&mut self, opening: usize, closing: usize) {
        if self.suspect.is_some() || closing == 0 || self.kind_at(closing - 1) != Kind::Newline {
            return;
        }
        let (open_line, open_indent) = self.indent(self.tokens[opening].start);
        let (close_line, close_indent) = self.indent(self.tokens[closing].start);
        if open_line != close_line && close_indent < open_indent {
            self.suspect = Some(opening);
        }
    }

    /// E0104, once for all blocks that are open; `next` is the token of the statement that cannot stand inside them.
    fn report_unclosed(&mut self, next: Option<usize>) {
        let Some(&innermost) = self.open.last() else {
            return;
        };
        let culprit = self.suspect.take().unwrap_or(innermost);
        let is_sure = culprit == innermost;
        let brace = self.tokens[culprit];
        let (line_start, indent) = self.indent(brace.start);
        let opening = Span::new(self.source, line_start + indent, brace.end as usize);
        let mut found = Diagnostic::new(Code("E0104"), opening, "this block is never closed").at("opened here");
        let missing = "}".repeat(self.open.len());
        match next {
            Some(token) => {
                let token = self.tokens[token];
                let line = self.line_of(token.start);
                found = found.label(self.span(token), format!("next {} starts here", self.slice(token)));
                if is_sure {
                    let (start, _) = self.indent(token.start);
                    let place = Span::new(self.source, start, start);
                    found = found.help(format!("add `{missing}` before line {line}")).fix(
                        format!("add `{missing}`"),
                        place,
                        format!("{missing}\n"),
                    );
                } else {
                    found = found.help(format!("add `}}` where the block ends, before line {line}"));
                }
            }
            None if is_sure => {
                let end = Span::new(self.source, self.text.len(), self.text.len());
                let line_end = if self.text.ends_with('\n') { "" } else { "\n" };
                found = found.help(format!("add `{missing}` at the end of the text")).fix(
                    format!("add `{missing}`"),
                    end,
                    format!("{line_end}{missing}\n"),
                );
            }
            None => found = found.help("add `}` where the block ends"),
        }
        self.diagnostics.push(found);
    }

    /// Reads one statement with its block.
    fn statement(&mut self, in_group: bool, is_joined: bool, out: &mut Vec<Statement>) {
        let (header, extent) = self.header();
        let Some((&first, &last)) = header.first().zip(header.last()) else {
            return;
        };
        let span = self.span(first).to(self.span(last));
        let form = classify(&header, in_group, |token| self.slice(token));
        let mut kind = match extent {
            Extent::Whole => self.read(form, &header, span, is_joined, out),
            Extent::Deep(token) => {
                self.report_deep(token);
                Read::Bad
            }
            Extent::Open(token) => {
                let found = mistakes::open_bracket(self, token);
                self.diagnostics.push(found);
                Read::Bad
            }
            Extent::Stray(token) => {
                let found = mistakes::stray_bracket(self, token);
                self.diagnostics.push(found);
                Read::Bad
            }
        };
        if kind == Read::Bad {
            self.mark_unread(&header);
        }
        let mut span = span;
        if self.kind() == Kind::LBrace {
            let word = self.slice(first);
            let is_group = matches!(form, Form::Directive | Form::Entry) && words::opens_group(word);
            let brace = self.token();
            let read = self.block(is_group);
            let is_closed = read.as_ref().is_none_or(|(_, closed)| *closed);
            if let Some((block, _)) = read {
                span = span.to(block.span);
                kind = self.attach(kind, block, &header, brace);
            }
            if is_closed && self.stop == Stop::No {
                self.expect_end_of_statement();
            }
        }
        if let Read::Good(kind) = kind {
            out.push(Statement { kind: *kind, span });
        }
    }

    fn attach(&mut self, read: Read, block: Block, header: &[Token], brace: Token) -> Read {
        match read {
            Read::Good(mut kind) => {
                if let StatementKind::Directive(directive) = kind.as_mut() {
                    directive.block = Some(block);
                    return Read::Good(kind);
                }
                let span = self.span(brace);
                self.diagnostics.push(
                    Diagnostic::new(Code("E0101"), span, "no block can follow this statement")
                        .label(self.span(header[0]), "the statement starts here")
                        .help("end the statement, and write a word such as `param` before the block"),
                );
                Read::Good(kind)
            }
            // The header is reported already; what stands in the block is still read and checked.
            Read::Bad => self.stub(header, block).map_or(Read::Bad, |kind| Read::Good(Box::new(kind))),
            Read::Merged => read,
        }
    }

    /// A directive with what can be told of a bad header: its word and the name behind it.
    fn stub(&self, header: &[Token], block: Block) -> Option<StatementKind> {
        let name = |token: &Token| Name { text: self.slice(*token).to_string(), span: self.span(*token) };
        let word = header.first().filter(|t| t.kind == Kind::Name).map(name)?;
        let subject = header.get(1).filter(|t| t.kind == Kind::Name && !lex::is_reserved(self.slice(**t))).map(name);
        let subjects = subject.map(|name| {
            let span = name.span;
            Expr { kind: ExprKind::Path(Path { segments: vec![name], span }), span }
        });
        Some(StatementKind::Directive(Directive {
            word,
            indices: vec![],
            label: None,
            subjects: subjects.into_iter().collect(),
            clauses: vec![],
            block: Some(block),
        }))
    }

    fn expect_end_of_statement(&mut self) {
        if matches!(self.kind(), Kind::Newline | Kind::Semicolon | Kind::RBrace | Kind::End) {
            return;
        }
        let token = self.token();
        let place = Span { end: token.start, ..self.span(token) };
        self.diagnostics.push(
            Diagnostic::new(Code("E0101"), self.span(token), "a new line or `;` is missing behind `}`")
                .at("the next statement starts here")
                .help("put it on a line of its own")
                .fix("add `;`", place, "; "),
        );
    }

    fn mark_unread(&mut self, header: &[Token]) {
        let mut in_unit = false;
        for token in header {
            match token.kind {
                Kind::LBracket => in_unit = true,
                Kind::RBracket => in_unit = false,
                Kind::Name | Kind::Quoted if !in_unit => {
                    let text = self.slice(*token).trim_matches('`').to_string();
                    self.unread.push(Name { text, span: self.span(*token) });
                }
                _ => {}
            }
        }
    }

    /// Takes the tokens of one statement up to its end or `{`, newlines left out.
    fn header(&mut self) -> (Vec<Token>, Extent) {
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
                    let is_unit = token.kind == Kind::LBracket && header.last().is_some_and(|t| may_have_unit(*t));
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
                let is_clause = ClauseWord::find(word).is_some() || super::ast::Flag::find(word).is_some();
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

    /// Reads the header with the rule of its form.
    fn read(&mut self, form: Form, header: &[Token], span: Span, is_joined: bool, out: &mut [Statement]) -> Read {
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
                let kind = self.convert(span, |convert| convert.statement(pairs));
                let Some(kind) = kind else {
                    return Read::Bad;
                };
                if let Some(found) = mistakes::after_reading(self, &kind) {
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

    fn convert<T>(&mut self, span: Span, run: impl FnOnce(&mut Convert<'_>) -> T) -> T {
        // The set of names is only needed for letters glued to a number.
        let slice = self.clean.get(span.start as usize..span.end as usize).unwrap_or("");
        if self.names.is_none() && has_glued(slice) {
            self.names();
        }
        let none = HashSet::new();
        let mut convert = Convert {
            source: self.source,
            base: span.start as usize,
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
        match self.convert(tail, |convert| convert.equation(pairs, target)) {
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
        let Some(expr) = self.convert(span, |convert| convert.lone(pairs)) else {
            return false;
        };
        let found = mistakes::missing_rate(self.text, *place, &expr);
        self.diagnostics.push(found);
        reaction.clauses.push(Clause { span, kind: ClauseKind::Word(ClauseWord::Rate, vec![expr]) });
        *place = place.to(span);
        true
    }
}

/// The outcome of reading a header.
#[derive(Debug, Clone, PartialEq)]
enum Read {
    Good(Box<StatementKind>),
    /// Reported and left out.
    Bad,
    /// Taken into the statement before it.
    Merged,
}

/// A bracket that is open.
struct Bracket {
    token: Token,
    /// The bracket of a unit closes on its line.
    is_unit: bool,
    /// How many `if` are open outside it.
    ifs: usize,
}

/// True for tokens behind which a bracket starts a unit and not a list.
fn may_have_unit(token: Token) -> bool {
    matches!(token.kind, Kind::Name | Kind::Quoted | Kind::Number | Kind::RParen | Kind::Text)
}

fn has_glued(slice: &str) -> bool {
    let bytes = slice.as_bytes();
    bytes.windows(2).any(|w| w[0].is_ascii_digit() && (w[1].is_ascii_alphabetic() || w[1] == b'_' || w[1] >= 0x80))
}

/// The form of a statement.
fn classify<'t>(header: &[Token], in_group: bool, text: impl Fn(Token) -> &'t str) -> Form {
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
