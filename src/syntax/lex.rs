//! Text to tokens: enough to cut a text into statements and to say what is wrong with one.
//!
//! Comments leave the token list, and a copy of the text has them blanked out byte for byte, so that the grammar never
//! sees one and every offset stays true. What is written by mistake but has one meaning (`//`, `≤`, `−`) is reported
//! here and replaced in the copy. Next: [`super::layout`].

use super::ast::Comment;
use crate::diag::{Code, Diagnostic, Diagnostics, Edit, Fix};
use crate::source::{SourceId, Span};

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Newline,
    Semicolon,
    /// An identifier or word.
    Name,
    /// `` `name` ``
    Quoted,
    Number,
    /// A number with letters behind it (`5mM`) or with a bare point (`.5`, `1.`).
    OddNumber,
    Text,
    LParen,
    RParen,
    LBracket,
    RBracket,
    LBrace,
    RBrace,
    Comma,
    Colon,
    Dot,
    DotDot,
    Prime,
    Equal,
    EqualEqual,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Plus,
    Minus,
    Star,
    Slash,
    Caret,
    At,
    Tilde,
    /// `->`
    Arrow,
    /// `<->`
    BothArrow,
    /// `<-`
    BackArrow,
    /// `:=`, `+=`, `-=`, `*=`
    Assign,
    /// A character without meaning here.
    Other,
    /// The end of the text.
    End,
}

/// A token and its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token {
    pub kind: Kind,
    pub start: u32,
    pub end: u32,
}

/// What the scan of a text yields.
pub(super) struct Lexed {
    /// Ends with one [`Kind::End`].
    pub tokens: Vec<Token>,
    pub comments: Vec<Comment>,
    /// The text with comments, tabs and line ends blanked; same length.
    pub clean: String,
    pub line_starts: Vec<u32>,
}

/// Characters that word processors and papers put in place of an operator, and the operator.
const LOOKALIKES: &[(char, &str)] = &[
    ('\u{2212}', "-"),
    ('\u{2013}', "-"),
    ('\u{2014}', "-"),
    ('\u{d7}', "*"),
    ('\u{b7}', "*"),
    ('\u{22c5}', "*"),
    ('\u{f7}', "/"),
    ('\u{2264}', "<="),
    ('\u{2265}', ">="),
    ('\u{2260}', "!="),
    ('\u{2192}', "->"),
    ('\u{2194}', "<->"),
    ('\u{21cc}', "<->"),
    ('\u{2019}', "'"),
    ('\u{2032}', "'"),
];

/// Scans `text`; reports comments of other languages, unclosed strings and look-alike operators.
pub(super) fn lex(source: SourceId, text: &str, diagnostics: &mut Diagnostics) -> Lexed {
    let mut line_starts = vec![0];
    line_starts.extend(text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(i, _)| i as u32 + 1));
    let mut lexer = Lexer {
        source,
        text,
        bytes: text.as_bytes(),
        clean: text.as_bytes().to_vec(),
        tokens: Vec::with_capacity(text.len() / 3),
        comments: Vec::new(),
        at: 0,
        in_brackets: false,
        diagnostics,
    };
    lexer.run();
    let Lexer { tokens, comments, mut clean, .. } = lexer;
    // Where a statement ends is told by tokens; within one, every blank is the same to the grammar.
    clean.iter_mut().filter(|b| matches!(b, b'\n' | b'\t' | b'\r')).for_each(|b| *b = b' ');
    // Only whole characters are replaced, by ASCII of the same length, so the bytes stay UTF-8.
    let clean = String::from_utf8(clean).unwrap_or_else(|_| text.to_string());
    Lexed { tokens, comments, clean, line_starts }
}

struct Lexer<'t, 'd> {
    source: SourceId,
    text: &'t str,
    bytes: &'t [u8],
    clean: Vec<u8>,
    tokens: Vec<Token>,
    comments: Vec<Comment>,
    at: usize,
    /// Inside `[ ]` look-alikes are left to the reader of units.
    in_brackets: bool,
    diagnostics: &'d mut Diagnostics,
}

impl Lexer<'_, '_> {
    fn run(&mut self) {
        if self.text.starts_with('\u{feff}') {
            self.blank(0, 3);
            self.at = 3;
        }
        while self.at < self.bytes.len() {
            self.token();
        }
        self.push(Kind::End, self.at, self.at);
    }

    fn peek(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn push(&mut self, kind: Kind, start: usize, end: usize) {
        self.tokens.push(Token { kind, start: start as u32, end: end as u32 });
        self.at = end;
    }

    fn blank(&mut self, start: usize, end: usize) {
        self.clean[start..end].fill(b' ');
    }

    fn span(&self, start: usize, end: usize) -> Span {
        Span::new(self.source, start, end)
    }

    fn token(&mut self) {
        let start = self.at;
        let (kind, len) = match self.bytes[start] {
            b' ' | b'\t' | b'\r' => {
                self.at += 1;
                return;
            }
            b'\n' => {
                self.in_brackets = false;
                (Kind::Newline, 1)
            }
            b'#' => return self.comment(start, self.line_end(start)),
            b'"' => return self.string(start),
            b'`' => return self.quoted(start),
            b'0'..=b'9' => return self.number(start),
            b'.' if self.peek(1) == b'.' => (Kind::DotDot, 2),
            b'.' if self.peek(1).is_ascii_digit() && !self.is_after_name() => return self.number(start),
            b'/' if self.peek(1) == b'/' => return self.slashes(start),
            b'/' if self.peek(1) == b'*' => return self.slash_star(start),
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => return self.name(start),
            b'<' if self.peek(1) == b'-' && self.peek(2) == b'>' => (Kind::BothArrow, 3),
            b'<' if self.peek(1) == b'-' => (Kind::BackArrow, 2),
            b'<' if self.peek(1) == b'=' => (Kind::LessEqual, 2),
            b'>' if self.peek(1) == b'=' => (Kind::GreaterEqual, 2),
            b'=' if self.peek(1) == b'=' => (Kind::EqualEqual, 2),
            b'!' if self.peek(1) == b'=' => (Kind::NotEqual, 2),
            b'-' if self.peek(1) == b'>' => (Kind::Arrow, 2),
            b':' | b'+' | b'-' | b'*' if self.peek(1) == b'=' => (Kind::Assign, 2),
            b';' => (Kind::Semicolon, 1),
            b'(' => (Kind::LParen, 1),
            b')' => (Kind::RParen, 1),
            b'[' => {
                self.in_brackets = true;
                (Kind::LBracket, 1)
            }
            b']' => {
                self.in_brackets = false;
                (Kind::RBracket, 1)
            }
            b'{' => (Kind::LBrace, 1),
            b'}' => (Kind::RBrace, 1),
            b',' => (Kind::Comma, 1),
            b':' => (Kind::Colon, 1),
            b'.' => (Kind::Dot, 1),
            b'\'' => (Kind::Prime, 1),
            b'=' => (Kind::Equal, 1),
            b'<' => (Kind::Less, 1),
            b'>' => (Kind::Greater, 1),
            b'+' => (Kind::Plus, 1),
            b'-' => (Kind::Minus, 1),
            b'*' => (Kind::Star, 1),
            b'/' => (Kind::Slash, 1),
            b'^' => (Kind::Caret, 1),
            b'@' => (Kind::At, 1),
            b'~' => (Kind::Tilde, 1),
            byte if byte < 0x80 => (Kind::Other, 1),
            _ => return self.unicode(start),
        };
        self.push(kind, start, start + len);
    }

    fn is_after_name(&self) -> bool {
        self.tokens.last().is_some_and(|t| {
            matches!(t.kind, Kind::Name | Kind::Quoted | Kind::Number | Kind::RParen) && t.end as usize == self.at
        })
    }

    fn line_end(&self, from: usize) -> usize {
        self.bytes[from..].iter().position(|b| *b == b'\n').map_or(self.bytes.len(), |n| from + n)
    }

    fn comment(&mut self, start: usize, end: usize) {
        let text = self.text[start..end].trim_end();
        let is_trailing = self.tokens.last().is_some_and(|t| t.kind != Kind::Newline);
        let span = self.span(start, start + text.len());
        self.comments.push(Comment { text: text.to_string(), span, is_trailing });
        self.blank(start, end);
        self.at = end;
    }

    fn slashes(&mut self, start: usize) {
        let end = self.line_end(start);
        let place = self.span(start, start + 2);
        let found = Diagnostic::new(Code("E0101"), place, "a comment starts with `#`, not `//`");
        // Behind a value it may be a whole quotient of another language.
        let is_alone = self.tokens.last().is_none_or(|t| matches!(t.kind, Kind::Newline | Kind::LBrace));
        self.diagnostics.push(if is_alone {
            found.help("write `#`").fix("write `#`", place, "#")
        } else {
            found.help("write `#` for a comment; a quotient is written `a/b`, and a whole one `floor(a/b)`")
        });
        self.comment(start, end);
        if let Some(comment) = self.comments.last_mut() {
            comment.text.replace_range(0..2, "#");
        }
    }

    fn slash_star(&mut self, start: usize) {
        let close = self.text[start + 2..].find("*/").map(|n| start + 2 + n);
        let end = close.map_or(self.bytes.len(), |n| n + 2);
        let span = self.span(start, start + 2);
        let mut found = Diagnostic::new(Code("E0101"), span, "a comment starts with `#`, not `/*`")
            .help("write `#` before every line of the comment");
        let is_one_line = end <= self.line_end(start);
        if let Some(close) = close
            && is_one_line
            && self.text[end..self.line_end(start)].trim().is_empty()
        {
            let edits = vec![
                Edit { span, replacement: "#".to_string() },
                Edit { span: self.span(close, end), replacement: String::new() },
            ];
            found.fix = Some(Fix { title: "write `#`".to_string(), edits });
        }
        self.diagnostics.push(found);
        // One comment for each of its lines, so that the formatter keeps the words.
        let body_end = close.unwrap_or(end);
        let mut at = start + 2;
        for line in self.text[start + 2..body_end].split('\n') {
            let words = line.trim();
            if !words.is_empty() {
                let is_trailing = at == start + 2 && self.tokens.last().is_some_and(|t| t.kind != Kind::Newline);
                let span = self.span(at, at + line.trim_end().len());
                self.comments.push(Comment { text: format!("# {words}"), span, is_trailing });
            }
            at += line.len() + 1;
        }
        self.blank(start, end);
        self.at = end;
    }

    fn string(&mut self, start: usize) {
        let line_end = self.line_end(start);
        match self.text[start + 1..line_end].find('"') {
            Some(n) => self.push(Kind::Text, start, start + n + 2),
            None => {
                self.diagnostics.push(
                    Diagnostic::new(Code("E0101"), self.span(start, start + 1), "a text is never closed")
                        .at("starts here")
                        .help("add `\"` on the same line"),
                );
                // What follows the quote is taken for the text.
                self.push(Kind::Other, start, line_end);
            }
        }
    }

    fn quoted(&mut self, start: usize) {
        let line_end = self.line_end(start);
        match self.text[start + 1..line_end].find('`') {
            Some(n) if n > 0 => self.push(Kind::Quoted, start, start + n + 2),
            Some(n) => self.push(Kind::Other, start, start + n + 2),
            None => self.push(Kind::Other, start, start + 1),
        }
    }

    fn name(&mut self, start: usize) {
        let mut end = start;
        while let Some(c) = self.text[end..].chars().next() {
            let is_part = if c.is_ascii() { c.is_ascii_alphanumeric() || c == '_' } else { is_continue(c) };
            if !is_part {
                break;
            }
            end += c.len_utf8();
        }
        self.push(Kind::Name, start, end);
    }

    fn number(&mut self, start: usize) {
        let digits = |mut at: usize| {
            while self.bytes.get(at).is_some_and(u8::is_ascii_digit) {
                at += 1;
            }
            at
        };
        let byte = |at: usize| self.bytes.get(at).copied().unwrap_or(0);
        let mut end = digits(start);
        let mut kind = if end == start { Kind::OddNumber } else { Kind::Number };
        if byte(end) == b'.' && byte(end + 1) != b'.' {
            let after = digits(end + 1);
            if after == end + 1 {
                kind = Kind::OddNumber;
            }
            end = after;
        }
        if matches!(byte(end), b'e' | b'E') {
            let sign = usize::from(matches!(byte(end + 1), b'+' | b'-'));
            let after = digits(end + 1 + sign);
            if after > end + 1 + sign {
                end = after;
            }
        }
        let rest = &self.text[end..];
        let glued: usize = rest.chars().take_while(|c| *c == '_' || is_continue(*c)).map(char::len_utf8).sum();
        if glued > 0 {
            kind = Kind::OddNumber;
        }
        self.push(kind, start, end + glued);
    }

    fn unicode(&mut self, start: usize) {
        let Some(c) = self.text[start..].chars().next() else {
            return;
        };
        let end = start + c.len_utf8();
        if is_start(c) {
            return self.name(start);
        }
        if c.is_whitespace() {
            self.blank(start, end);
            self.at = end;
            return;
        }
        let lookalike = LOOKALIKES.iter().find(|(from, _)| *from == c && !self.in_brackets);
        let Some(&(_, operator)) = lookalike else {
            return self.push(Kind::Other, start, end);
        };
        // Every look-alike is at least as long as its operator, save the two-byte ones, whose operator is one byte.
        let span = self.span(start, end);
        self.diagnostics.push(
            Diagnostic::new(Code("E0101"), span, format!("`{c}` is not read")).help(format!("write `{operator}`")).fix(
                format!("write `{operator}`"),
                span,
                operator,
            ),
        );
        self.blank(start, end);
        self.clean[start..start + operator.len()].copy_from_slice(operator.as_bytes());
        let kind = match operator {
            "-" => Kind::Minus,
            "*" => Kind::Star,
            "/" => Kind::Slash,
            "<=" => Kind::LessEqual,
            ">=" => Kind::GreaterEqual,
            "!=" => Kind::NotEqual,
            "->" => Kind::Arrow,
            "<->" => Kind::BothArrow,
            _ => Kind::Prime,
        };
        self.push(kind, start, end);
    }
}

/// True where an identifier may start with `c`.
pub(super) fn is_start(c: char) -> bool {
    c == '_' || pest::unicode::XID_START(c)
}

/// True where an identifier may go on with `c`.
pub(super) fn is_continue(c: char) -> bool {
    pest::unicode::XID_CONTINUE(c)
}

/// True where `text` can stand as a name without backticks.
pub(super) fn is_plain_name(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(is_start) && chars.all(is_continue) && !is_reserved(text)
}

/// The words that are never names.
pub(super) fn is_reserved(text: &str) -> bool {
    matches!(text, "if" | "then" | "else" | "and" | "or" | "not" | "in")
}
