//! Units as people write them by mistake (`1/m2`, `°C`, `m²`, `kg m`), and the form that is read.
//!
//! Which units exist is for [`crate::units`]; this knows their shape, and enough of the common ones to tell `5mM`
//! from a product.

use pest::Parser;

use super::grammar::{Rule, TwinParser};
use crate::diag::{Code, Diagnostic};
use crate::source::Span;

/// Symbols that look like a unit behind a number; with a prefix also those of `PREFIXED`.
const PLAIN: &[&str] = &[
    "min", "h", "hr", "d", "day", "days", "week", "year", "yr", "sec", "degC", "degF", "deg", "atm", "mmHg", "Da",
    "items", "cells", "cell", "percent", "rpm", "kcal", "ppm", "bpm",
];
const PREFIXED: &[&str] = &[
    "s", "m", "g", "l", "L", "mol", "M", "A", "K", "cd", "Hz", "N", "Pa", "J", "W", "V", "C", "F", "ohm", "S", "T",
    "H", "rad", "bar", "eV", "cal", "U", "IU", "kat", "OD", "t",
];
const PREFIXES: &[&str] =
    &["", "da", "d", "c", "m", "u", "\u{b5}", "\u{3bc}", "n", "p", "f", "a", "h", "k", "M", "G", "T"];

/// True where `word` is a common unit symbol, with or without a prefix.
pub(super) fn looks_like_unit(word: &str) -> bool {
    PLAIN.contains(&word)
        || PREFIXED.iter().any(|unit| word.strip_suffix(unit).is_some_and(|prefix| PREFIXES.contains(&prefix)))
}

/// How many bytes at the start of `text` read as a unit without brackets, such as `mM/s` of `mM/s + 1`; `is_name` tells
/// words that are values of the model and so end it.
pub(super) fn run_length(text: &str, is_name: impl Fn(&str) -> bool) -> usize {
    let word_length =
        |text: &str| text.char_indices().find(|(_, c)| !c.is_alphabetic() && *c != '_').map_or(text.len(), |(i, _)| i);
    let mut length = word_length(text);
    loop {
        let rest = &text[length..];
        let power = rest.strip_prefix('^').unwrap_or(rest);
        let digits = power.trim_start_matches('-').chars().take_while(char::is_ascii_digit).count();
        if power.len() < rest.len() && digits > 0 {
            length = text.len() - power.len() + (power.len() - power.trim_start_matches('-').len()) + digits;
        }
        let rest = &text[length..];
        if !rest.starts_with(['*', '/']) {
            return length;
        }
        let next = word_length(&rest[1..]);
        let word = &rest[1..1 + next];
        if !looks_like_unit(word) || is_name(word) {
            return length;
        }
        length += 1 + next;
    }
}

/// True where the grammar reads `text` as a unit.
fn is_read(text: &str) -> bool {
    TwinParser::parse(Rule::unit_line, text).is_ok()
}

/// The readable form of `text`, if there is one that means the same.
pub(super) fn repair(text: &str) -> Option<String> {
    let mut out = String::new();
    for c in text.trim().chars() {
        match c {
            '\u{2103}' => out.push_str("degC"),
            '\u{b0}' => out.push_str("deg"),
            '\u{b7}' | '\u{22c5}' | '\u{d7}' | '.' => out.push('*'),
            '\u{2212}' => out.push('-'),
            '\u{207b}' => out.push_str("^-"),
            _ => match "\u{2070}\u{b9}\u{b2}\u{b3}\u{2074}\u{2075}\u{2076}\u{2077}\u{2078}\u{2079}"
                .chars()
                .position(|s| s == c)
            {
                Some(digit) => {
                    if !out.ends_with("^-") && !out.ends_with('^') {
                        out.push('^');
                    }
                    out.push(char::from(b'0' + digit as u8));
                }
                None => out.push(c),
            },
        }
    }
    let mut out = out.replace("**", "^").replace("deg C", "degC");
    out = power_signs(&out);
    out = products(&out);
    if out != text.trim() && is_read(&out) { Some(out) } else { None }
}

/// `m2` to `m^2`, `s-1` to `s^-1`.
fn power_signs(text: &str) -> String {
    let mut out = String::new();
    let mut before = ' ';
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let next_is_digit = chars.peek().is_some_and(char::is_ascii_digit);
        if before.is_alphabetic() && (c.is_ascii_digit() || (c == '-' && next_is_digit)) {
            out.push('^');
        }
        out.push(c);
        before = c;
    }
    out
}

/// `kg m` to `kg*m`.
fn products(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut out = String::new();
    for word in words {
        let starts = word.starts_with(|c: char| c.is_alphanumeric() || c == '(');
        if starts && out.ends_with(|c: char| c.is_alphanumeric() || c == ')') {
            out.push('*');
        }
        out.push_str(word);
    }
    out
}

/// The diagnostic for a unit that is not read, and its repaired form.
pub(super) fn explain(text: &str, span: Span) -> (Diagnostic, Option<String>) {
    if text.trim().is_empty() {
        let found = Diagnostic::new(Code("E0108"), span, "the brackets of a unit are empty")
            .help("a pure number has the unit `[1]`");
        return (found, None);
    }
    let found = Diagnostic::new(Code("E0108"), span, format!("the unit `{text}` is not read"));
    match repair(text) {
        Some(unit) => {
            (found.help(format!("write `[{unit}]`")).fix(format!("write `[{unit}]`"), span, unit.clone()), Some(unit))
        }
        None => (found.help("a unit is written like `[mol/(L*s)]`, with powers like `m^2` or `s^-1`"), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repairs_what_has_one_meaning() {
        for (written, read) in [
            ("1/m2", "1/m^2"),
            ("\u{b0}C", "degC"),
            ("m\u{b2}", "m^2"),
            ("s\u{207b}\u{b9}", "s^-1"),
            ("kg m", "kg*m"),
            ("mol L-1 s-1", "mol*L^-1*s^-1"),
            ("mg\u{b7}h/L", "mg*h/L"),
            ("m**2", "m^2"),
        ] {
            assert_eq!(repair(written).as_deref(), Some(read), "{written}");
        }
        assert_eq!(repair("$"), None);
    }

    #[test]
    fn tells_units_from_other_words() {
        assert!(["mM", "uM", "s", "kJ", "min", "mmol", "degC"].into_iter().all(looks_like_unit));
        assert!(!["x", "Vmax", "kcat", "foo"].into_iter().any(looks_like_unit));
        assert_eq!(run_length("mM/s + 1", |_| false), 4);
        assert_eq!(run_length("mM/k", |_| false), 2);
        assert_eq!(run_length("m^2/s", |_| false), 5);
    }
}
