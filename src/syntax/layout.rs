//! Tokens to statements and blocks, one at a time, so that a bad line costs that line.
//!
//! A statement ends at a newline, `;` or brace. It goes on inside `( [`, after an operator or comma, and before a
//! leading operator. Its form is told by its tokens, and `grammar/twin.pest` reads it; what pest refuses,
//! [`super::mistakes`] explains. Invariant: nesting is bounded here, before anything recursive sees the text.

use std::collections::HashSet;

use super::ast::{Block, Directive, Expr, ExprKind, File, Name, Path, Statement, StatementKind};
use super::extent::{Extent, Form, classify};
use super::lex::{self, Kind, Lexed, Token};
use super::reading::Read;
use super::{mistakes, unit_text, words};
use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::limits::{MAX_NESTING, MAX_SOURCE_BYTES, MAX_STATEMENTS};
use crate::source::{SourceId, Span};

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
    pub tokens: &'t [Token],
    pub clean: &'t str,
    pub line_starts: &'t [u32],
    pub names: Option<HashSet<&'t str>>,
    pub at: usize,
    n_statements: usize,
    pub depth: usize,
    stop: Stop,
    /// Token indices of the braces that are open.
    pub open: Vec<usize>,
    /// The first brace whose partner stands at another indentation: the likely culprit of an unclosed block.
    pub suspect: Option<usize>,
    pub unread: Vec<Name>,
    pub diagnostics: &'d mut Diagnostics,
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

    pub fn token(&self) -> Token {
        self.tokens.get(self.at).or(self.tokens.last()).copied().unwrap_or(Token { kind: Kind::End, start: 0, end: 0 })
    }

    pub fn kind(&self) -> Kind {
        self.token().kind
    }

    pub fn span(&self, token: Token) -> Span {
        Span { source: self.source, start: token.start, end: token.end }
    }

    pub fn slice(&self, token: Token) -> &'t str {
        self.text.get(token.start as usize..token.end as usize).unwrap_or("")
    }

    pub fn word_at(&self, idx: usize) -> &'t str {
        self.tokens.get(idx).filter(|t| t.kind == Kind::Name).map_or("", |t| self.slice(*t))
    }

    pub fn kind_at(&self, idx: usize) -> Kind {
        self.tokens.get(idx).map_or(Kind::End, |t| t.kind)
    }

    /// Names that stand in the text outside unit brackets and not right behind a number.
    pub fn names(&mut self) -> &HashSet<&'t str> {
        let (tokens, text) = (self.tokens, self.text);
        self.names.get_or_insert_with(|| {
            let mut names = HashSet::new();
            let mut in_brackets = false;
            // Behind a number, letters are a unit without brackets, and so is what they are divided by.
            let mut in_unit = false;
            for token in tokens {
                match token.kind {
                    Kind::LBracket => in_brackets = true,
                    Kind::RBracket | Kind::Newline => in_brackets = false,
                    Kind::Name if !in_brackets => {
                        let name = text.get(token.start as usize..token.end as usize).unwrap_or("");
                        if !(in_unit && unit_text::looks_like_unit(name)) {
                            names.insert(name);
                        }
                    }
                    _ => {}
                }
                in_unit = matches!(token.kind, Kind::Number | Kind::OddNumber)
                    || (in_unit && matches!(token.kind, Kind::Name | Kind::Star | Kind::Slash));
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

    pub fn report_deep(&mut self, token: Token) {
        let span = self.span(token);
        let help =
            if token.kind == Kind::LBrace { "close blocks before this one" } else { "name the inner parts with `let`" };
        self.diagnostics.push(
            Diagnostic::new(Code("E0112"), span, format!("nesting is deeper than {MAX_NESTING} levels"))
                .at("one level too many")
                .help(help),
        );
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
}
