//! Reads the text between the brackets of a unit: products, quotients from left to right, parentheses and powers.
//!
//! The grammar is `uexpr` of the language: `mg/dL/min`, `1/(uM*s)`, `L/(s*bar^(1/2))`, `%`. What people write instead
//! (`m2`, `°C`, `mol·L⁻¹`, `kJ per mol`) is refused with the text to write in its place.

use std::ops::Range;

use super::{Ratio, Unit, Units};
use crate::diag::Code;
use crate::limits::MAX_NESTING;

/// Why a unit text was not read. Ranges are bytes of the text given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct UnitError {
    /// `E0303` where a name is not known, `E0108` where the form is not read.
    pub code: Code,
    /// The part that is wrong; never reaches past the text.
    pub range: Range<usize>,
    /// Lower case, no full stop.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
    /// What to put at `range`, where there is exactly one right repair.
    pub replacement: Option<String>,
}

impl UnitError {
    /// A form that is not read.
    pub(super) fn form(range: Range<usize>, message: impl Into<String>) -> Self {
        UnitError { code: Code("E0108"), range, message: message.into(), help: None, replacement: None }
    }

    /// Says what to do.
    pub(super) fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(text.into());
        self
    }

    /// Offers a repair, and says so.
    pub(super) fn replace_by(mut self, text: impl Into<String>) -> Self {
        let text = text.into();
        self.help = Some(format!("write `{text}`"));
        self.replacement = Some(text);
        self
    }
}

impl Units {
    /// The unit that `text` (without brackets) names.
    ///
    /// ```
    /// let units = twinc::units::Units::standard();
    /// let rate = units.parse("1/(uM*s)")?;
    /// assert_eq!(rate.factor_to(&units.parse("L/(mol*min)")?), Some(6e7));
    /// assert_eq!(units.parse("m2").map_err(|e| e.replacement), Err(Some("m^2".into())));
    /// # Ok::<(), twinc::units::UnitError>(())
    /// ```
    ///
    /// # Errors
    /// [`UnitError`] with the place and, where it is known, the repair.
    pub fn parse(&self, text: &str) -> Result<Unit, UnitError> {
        let mut parser = Parser { units: self, text, at: 0, depth: 0 };
        parser.skip_blanks();
        if parser.peek().is_none() {
            return Err(UnitError::form(0..text.len(), "a unit is missing between the brackets")
                .help("a pure number has the unit `1`"));
        }
        if text.trim() == "-" {
            return Err(UnitError::form(0..text.len(), "`-` is no unit").replace_by("1"));
        }
        let unit = parser.product()?;
        match parser.peek() {
            None if !unit.is_in_range() => {
                Err(UnitError::form(0..text.len(), "an exponent of this unit is too large")
                    .help("use smaller exponents"))
            }
            None if !unit.has_finite_size() => {
                Err(UnitError::form(0..text.len(), "this unit is larger or smaller than a number can say")
                    .help("use smaller exponents"))
            }
            None => Ok(unit),
            Some(')') => Err(UnitError::form(parser.at..parser.at + 1, "`)` closes nothing").help("remove it")),
            Some(_) => Err(parser.stray()),
        }
    }
}

/// True for the characters of a unit's name.
pub(super) fn is_name_character(c: char) -> bool {
    c.is_alphabetic() || c == '_' || c == '%'
}

/// A superscript as the digit or sign it stands for.
fn superscript(c: char) -> Option<char> {
    const SUPERSCRIPTS: [(char, char); 12] = [
        ('⁰', '0'),
        ('¹', '1'),
        ('²', '2'),
        ('³', '3'),
        ('⁴', '4'),
        ('⁵', '5'),
        ('⁶', '6'),
        ('⁷', '7'),
        ('⁸', '8'),
        ('⁹', '9'),
        ('⁻', '-'),
        ('⁺', '+'),
    ];
    SUPERSCRIPTS.iter().find(|(from, _)| *from == c).map(|(_, to)| *to)
}

struct Parser<'a> {
    units: &'a Units,
    text: &'a str,
    /// Byte offset, always on a character boundary.
    at: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Steps over the next character if it is `wanted`, and over the blanks behind it.
    fn eat(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.at += wanted.len_utf8();
            self.skip_blanks();
        }
        found
    }

    /// Steps over the characters that `keep` allows and returns them.
    fn take(&mut self, keep: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let length = rest.find(|c| !keep(c)).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    fn skip_blanks(&mut self) {
        self.take(char::is_whitespace);
    }

    /// `uexpr`
    fn product(&mut self) -> Result<Unit, UnitError> {
        let mut unit = self.term()?;
        loop {
            if self.eat('*') {
                unit = unit.mul(&self.term()?);
            } else if self.eat('/') {
                unit = unit.div(&self.term()?);
            } else {
                return Ok(unit);
            }
        }
    }

    /// `uterm`
    fn term(&mut self) -> Result<Unit, UnitError> {
        let start = self.at;
        let unit = match self.peek() {
            Some('(') => self.parenthesized()?,
            Some(c) if is_name_character(c) => self.name()?,
            Some(c) if c.is_ascii_digit() || c == '.' => self.number_one()?,
            Some(_) => return Err(self.stray()),
            None => {
                let end = self.text.trim_end().len();
                return Err(UnitError::form(end.saturating_sub(1)..end, "the unit ends early")
                    .help("write a unit behind this sign, or remove it"));
            }
        };
        let written = self.text.get(start..self.at).unwrap_or("").trim_end();
        self.skip_blanks();
        if self.eat('^') {
            return Ok(unit.pow(self.exponent()?));
        }
        let found: String = self.rest().chars().map_while(superscript).collect();
        let length: usize = self.rest().chars().take_while(|c| superscript(*c).is_some()).map(char::len_utf8).sum();
        if !found.is_empty() {
            return Err(UnitError::form(start..self.at + length, "an exponent is written with `^`")
                .replace_by(format!("{written}^{}", found.trim_start_matches('+'))));
        }
        if self.rest().starts_with("**") {
            return Err(UnitError::form(self.at..self.at + 2, "an exponent is written with `^`").replace_by("^"));
        }
        Ok(unit)
    }

    fn parenthesized(&mut self) -> Result<Unit, UnitError> {
        let open = self.at;
        if self.depth >= MAX_NESTING {
            let message = format!("a unit nests deeper than {MAX_NESTING} parentheses");
            return Err(UnitError::form(open..open + 1, message).help("remove parentheses"));
        }
        self.depth += 1;
        self.eat('(');
        let unit = self.product()?;
        self.depth -= 1;
        match self.peek() {
            // Not `eat`: the term's own text ends at the parenthesis.
            Some(')') => self.at += 1,
            Some(_) => return Err(self.stray()),
            None => return Err(UnitError::form(open..open + 1, "`(` is never closed").help("add `)`")),
        }
        Ok(unit)
    }

    /// A unit's name, with the digits or the sign that people write for an exponent.
    fn name(&mut self) -> Result<Unit, UnitError> {
        let start = self.at;
        let name = self.take(is_name_character);
        let known = self.units.named(name);
        let behind = self.at;
        let sign = if self.peek() == Some('-') { self.take(|c| c == '-') } else { "" };
        let digits = self.take(|c| c.is_ascii_digit());
        if sign.len() <= 1 && !digits.is_empty() && known.is_ok() {
            return Err(UnitError::form(start..self.at, "an exponent is written with `^`")
                .replace_by(format!("{name}^{sign}{digits}")));
        }
        let end = if sign.is_empty() { self.at } else { behind };
        self.at = behind;
        known.map_err(|mut error| {
            error.range = start..end;
            if end > behind {
                error.replacement = None;
            }
            error
        })
    }

    /// `1`, the only number in a unit.
    fn number_one(&mut self) -> Result<Unit, UnitError> {
        let start = self.at;
        let number = self.number();
        if number == "1" {
            return if self.peek().is_some_and(is_name_character) { Err(self.stray()) } else { Ok(Unit::one()) };
        }
        Err(UnitError::form(start..self.at, format!("a unit holds no number but 1, this one has `{number}`"))
            .help("give the multiple a name of its own, such as `unit dozen = 12 [1]`"))
    }

    /// Digits with a fraction and an exponent, as far as they go.
    fn number(&mut self) -> &'a str {
        let start = self.at;
        self.take(|c| c.is_ascii_digit() || c == '.');
        let rest = self.rest().as_bytes();
        if matches!(rest.first(), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(rest.get(1), Some(b'+' | b'-')));
            if rest.get(1 + sign).is_some_and(u8::is_ascii_digit) {
                self.at += 1 + sign;
                self.take(|c| c.is_ascii_digit());
            }
        }
        self.text.get(start..self.at).unwrap_or("")
    }

    /// What stands behind `^`: `2`, `-1`, `0.5`, `(1/2)`, `(-3/2)`.
    fn exponent(&mut self) -> Result<Ratio, UnitError> {
        let start = self.at;
        let in_parentheses = self.eat('(');
        let mut exponent = self.signed_number(start)?;
        if in_parentheses {
            self.skip_blanks();
            if self.eat('/') {
                exponent = exponent / self.signed_number(start)?;
                self.skip_blanks();
            }
            if self.peek() != Some(')') {
                return Err(UnitError::form(start..self.at, "`(` of this exponent is never closed")
                    .help("write a whole number or a fraction, such as `^2` or `^(1/2)`"));
            }
            self.at += 1;
        }
        let end = self.at;
        self.skip_blanks();
        if !exponent.is_in_range() {
            let message = "this exponent divides by zero or has too many digits";
            return Err(UnitError::form(start..end, message).help("write a whole number or a fraction of small ones"));
        }
        Ok(exponent)
    }

    fn signed_number(&mut self, start: usize) -> Result<Ratio, UnitError> {
        let is_negative = self.eat('-');
        let number = self.number();
        match number.parse().ok().and_then(Ratio::from_f64) {
            Some(ratio) if !number.starts_with('.') && !number.ends_with('.') => {
                Ok(if is_negative { -ratio } else { ratio })
            }
            Some(_) | None => {
                let end = self.at + if number.is_empty() { self.peek().map_or(0, char::len_utf8) } else { 0 };
                // At the end of the text, the sign that asks for a number is shown.
                let before = self.text.get(..start).unwrap_or("").trim_end().len();
                let range = if end > start { start..end } else { before.saturating_sub(1)..before };
                Err(UnitError::form(range, "an exponent is a whole number or a fraction of small ones")
                    .help("write, for example, `^2`, `^-1`, `^0.5` or `^(1/2)`"))
            }
        }
    }

    /// A character that cannot stand here.
    fn stray(&self) -> UnitError {
        let c = self.peek().unwrap_or(' ');
        let range = self.at..self.at + c.len_utf8();
        let behind: String = self.rest().chars().skip(1).take_while(|c| is_name_character(*c)).collect();
        let with_name = self.at..range.end + behind.len();
        match c {
            '°' if behind == "C" => {
                UnitError::form(with_name, "degrees Celsius are written `degC`").replace_by("degC")
            }
            '°' if behind.is_empty() => UnitError::form(range, "degrees are written `deg`").replace_by("deg"),
            '°' => UnitError::form(with_name, format!("`°{behind}` is no unit here")).help("use `degC` or `K`"),
            '℃' => UnitError::form(range, "degrees Celsius are written `degC`").replace_by("degC"),
            '·' | '×' | '⋅' | '.' => UnitError::form(range, "a product is written with `*`").replace_by("*"),
            '÷' => UnitError::form(range, "a quotient is written with `/`").replace_by("/"),
            _ if c.is_ascii_digit() => UnitError::form(range, "a number stands behind a unit")
                .help(format!("an exponent is written with `^`, as in `^{c}`")),
            _ if is_name_character(c) || c == '(' => {
                let range = if c == '(' { range } else { with_name };
                let next = self.text.get(range.clone()).unwrap_or("");
                UnitError::form(range, "two units need `*` or `/` between them")
                    .help(format!("write `*{next}` or `/{next}`"))
            }
            '*' | '/' | '^' | ')' => UnitError::form(range, format!("a unit is missing before `{c}`"))
                .help("write a unit, or `1`, before it"),
            _ => UnitError::form(range, format!("`{c}` has no meaning in a unit"))
                .help("a unit is made of names, `*`, `/`, `^` and parentheses, such as `kJ/(mol*K)`"),
        }
    }
}
