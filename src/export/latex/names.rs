//! Names and texts of a model in LaTeX: what pdflatex, xelatex and lualatex all take.
//!
//! Two different names never look alike: `k1` is upright k1, `k_1` has an index, `h(3)` has an index in parentheses.

use std::fmt::Write;

/// Greek letters that LaTeX has commands for: the command, the letter.
const GREEK: [(&str, char); 34] = [
    ("alpha", 'α'),
    ("beta", 'β'),
    ("gamma", 'γ'),
    ("delta", 'δ'),
    ("epsilon", 'ε'),
    ("zeta", 'ζ'),
    ("eta", 'η'),
    ("theta", 'θ'),
    ("iota", 'ι'),
    ("kappa", 'κ'),
    ("lambda", 'λ'),
    ("mu", 'μ'),
    ("nu", 'ν'),
    ("xi", 'ξ'),
    ("pi", 'π'),
    ("rho", 'ρ'),
    ("sigma", 'σ'),
    ("tau", 'τ'),
    ("upsilon", 'υ'),
    ("phi", 'φ'),
    ("chi", 'χ'),
    ("psi", 'ψ'),
    ("omega", 'ω'),
    ("Gamma", 'Γ'),
    ("Delta", 'Δ'),
    ("Theta", 'Θ'),
    ("Lambda", 'Λ'),
    ("Xi", 'Ξ'),
    ("Pi", 'Π'),
    ("Sigma", 'Σ'),
    ("Upsilon", 'Υ'),
    ("Phi", 'Φ'),
    ("Psi", 'Ψ'),
    ("Omega", 'Ω'),
];

/// Signs of running text: the sign, how it is written.
const SIGNS: [(char, &str); 23] = [
    ('\\', "\\textbackslash{}"),
    ('{', "\\{"),
    ('}', "\\}"),
    ('$', "\\$"),
    ('&', "\\&"),
    ('#', "\\#"),
    ('%', "\\%"),
    ('_', "\\_"),
    ('^', "\\textasciicircum{}"),
    ('~', "\\textasciitilde{}"),
    ('<', "$<$"),
    ('>', "$>$"),
    ('|', "$|$"),
    ('"', "''"),
    ('°', "$^\\circ$"),
    ('·', "$\\cdot$"),
    ('×', "$\\times$"),
    ('±', "$\\pm$"),
    ('²', "$^2$"),
    ('³', "$^3$"),
    ('→', "$\\to$"),
    ('–', "--"),
    ('—', "---"),
];

/// Running text with everything escaped that LaTeX would read as a command.
pub fn text(words: &str) -> String {
    let mut out = String::with_capacity(words.len());
    for c in words.chars() {
        let greek = GREEK.iter().find(|(_, letter)| *letter == if c == 'µ' { 'μ' } else { c });
        match (SIGNS.iter().find(|(sign, _)| *sign == c), greek) {
            (Some((_, written)), _) => out.push_str(written),
            (None, Some((command, _))) => {
                let _ = write!(out, "$\\{command}$");
            }
            // Latin letters with accents are in the fonts of every engine.
            (None, None) if c == ' ' || c.is_ascii_graphic() || ('\u{c0}'..='\u{17f}').contains(&c) => out.push(c),
            (None, None) if c.is_whitespace() => out.push(' '),
            (None, None) => {
                let _ = write!(out, "[U+{:04X}]", u32::from(c));
            }
        }
    }
    out
}

/// A name in mathematics: `k_on` is k with the index "on", `h(3)` is h with the index (3).
pub fn symbol(name: &str) -> String {
    let (stem, member) = match name.split_once('(') {
        Some((stem, rest)) => (stem, rest.strip_suffix(')')),
        None => (name, None),
    };
    let (stem, index) = match stem.split_once('_') {
        Some((stem, index)) if !stem.is_empty() && !index.is_empty() => (stem, Some(index)),
        Some(_) | None => (stem, None),
    };
    let mut out = word(stem);
    let index = index.map(upright);
    let member = member.map(|values| format!("({})", text(values)));
    let below: Vec<String> = index.into_iter().chain(member).collect();
    if !below.is_empty() {
        let _ = write!(out, "_{{{}}}", below.join(" "));
    }
    out
}

fn word(stem: &str) -> String {
    if let Some((command, _)) = GREEK.iter().find(|(command, letter)| *command == stem || stem == letter.to_string()) {
        return format!("\\{command}");
    }
    if stem.len() == 1 && stem.chars().all(|c| c.is_ascii_alphabetic()) { stem.to_string() } else { upright(stem) }
}

fn upright(words: &str) -> String {
    if words.chars().all(|c| c.is_ascii_alphanumeric()) {
        format!("\\mathrm{{{words}}}")
    } else {
        format!("\\text{{{}}}", text(words))
    }
}

/// A number: `0.5`, `1.5 \times 10^{-7}`.
pub fn number(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "\\infty".into() } else { "-\\infty".into() };
    }
    let plain = crate::expr::print::number(value);
    match plain.split_once('e') {
        Some(("1", power)) => format!("10^{{{power}}}"),
        Some(("-1", power)) => format!("-10^{{{power}}}"),
        Some((mantissa, power)) => format!("{mantissa} \\times 10^{{{power}}}"),
        None => plain,
    }
}

/// A unit such as `1/(uM*s)` in mathematics, upright.
pub fn unit(unit: &str) -> String {
    let mut out = String::new();
    let mut run = String::new();
    let flush = |run: &mut String, out: &mut String| {
        if !run.is_empty() {
            let _ = write!(out, "\\text{{{}}}", text(run));
            run.clear();
        }
    };
    let mut rest = unit.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '*' => {
                flush(&mut run, &mut out);
                out.push_str(" \\, ");
            }
            '^' => {
                flush(&mut run, &mut out);
                let mut power = String::new();
                let has_parentheses = rest.peek() == Some(&'(');
                while let Some(&next) = rest.peek() {
                    let belongs =
                        next.is_ascii_digit() || "-.".contains(next) || (has_parentheses && "()/".contains(next));
                    if !belongs {
                        break;
                    }
                    rest.next();
                    power.push(next);
                    if next == ')' {
                        break;
                    }
                }
                let _ = write!(out, "^{{{}}}", power.trim_matches(['(', ')']));
            }
            '/' | '(' | ')' => {
                flush(&mut run, &mut out);
                out.push(c);
            }
            _ => run.push(c),
        }
    }
    flush(&mut run, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_apart() {
        for (name, written) in [
            ("k", "k"),
            ("k1", "\\mathrm{k1}"),
            ("k_1", "k_{\\mathrm{1}}"),
            ("alpha", "\\alpha"),
            ("µ", "\\text{$\\mu$}"),
            ("k_imp_hetero", "k_{\\text{imp\\_hetero}}"),
            ("h(3)", "h_{(3)}"),
            ("c_a(2,3)", "c_{\\mathrm{a} (2,3)}"),
            ("cgm.sd", "\\text{cgm.sd}"),
        ] {
            assert_eq!(symbol(name), written);
        }
    }

    #[test]
    fn texts_have_no_commands() {
        assert_eq!(text("50 % of A_0 & {x} \\y"), "50 \\% of A\\_0 \\& \\{x\\} \\textbackslash{}y");
        assert_eq!(text("Müller, µM, 日"), "Müller, $\\mu$M, [U+65E5]");
    }

    #[test]
    fn numbers_and_units() {
        assert_eq!(number(0.5), "0.5");
        assert_eq!(number(1.5e-7), "1.5 \\times 10^{-7}");
        assert_eq!(number(1e-9), "10^{-9}");
        assert_eq!(unit("1/(uM*s)"), "\\text{1}/(\\text{uM} \\, \\text{s})");
        assert_eq!(unit("L/(s*bar^(1/2))"), "\\text{L}/(\\text{s} \\, \\text{bar}^{1/2})");
        assert_eq!(unit("m^3"), "\\text{m}^{3}");
    }
}
