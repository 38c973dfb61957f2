//! The canonical layout.

use super::{explain, read_clean};
use twinc::source::SourceId;
use twinc::syntax;

fn format(text: &str) -> String {
    match syntax::format(SourceId(0), text) {
        Ok(out) => out,
        Err(found) => panic!("{}\n{text}", explain(text, &found)),
    }
}

/// Formatting keeps the meaning and is done after one pass.
pub fn check_round_trip(text: &str) {
    let once = format(text);
    let (before, after) = (read_clean(text), read_clean(&once));
    assert!(syntax::same(&before, &after), "the meaning changed:\n{text}\n---\n{once}");
    let words = |f: &twinc::syntax::ast::File| {
        let mut words: Vec<String> = f.comments.iter().map(|c| c.text.clone()).collect();
        words.sort();
        words
    };
    assert_eq!(words(&before), words(&after), "comments:\n{text}\n---\n{once}");
    assert_eq!(format(&once), once, "a second pass changes the text");
}

#[test]
fn lays_out_a_model() {
    let text = r#"
# A model.


model   M   "doc"{ # behind the brace
param{a=1;b[1/s]=2.50e0   in 0..3}   # behind the group
 time[s]


    param k "doc" ~LogNormal(median=1,gsd=2) in 1e-3..1e3 =1 [1/s] # clauses in order
  state { x [m] = 1 # with a comment
     y = 2 ; z=3 }
  # before an equation
  x'=-(k)*x^2+y/z*-1 ; y' = if x>1 and not(y<2) then 1.0e6 else 0.000001
  let w = (x +  # inside
     y)
  A+2B2->0@k,k2; r :0<->C rate k*(A-B)
  reaction{  a: X->Y @ k }
  empty{ }
  at 5[s]{x:=1;y+=2}
  param `in` = 1; param rate = 2; param to "doc"; let v = `a b` + `c`
  # last
}
model N=M(k=2)
"#;
    // `2B2` would be a mistake; a coefficient stands apart.
    let text = text.replace("2B2", "2 B2");
    check_round_trip(&text);
    insta::assert_snapshot!(format(&text));
}

#[test]
fn breaks_long_lines_where_a_statement_may_go_on() {
    let long = "let total [mmol/L/h] = first_quantity*second_quantity/(third_quantity + fourth_quantity) \
                - fifth_quantity*(sixth_quantity + seventh_quantity)*eighth_quantity + ninth_quantity in 0 .. 1 \
                ~ LogNormal(median = 1, gsd = 2)\n\
                let y = f(first_argument_of_many = 1, second_argument_of_many = 2, third_argument_of_many = 3, \
                fourth_argument_of_many = 4)\n\
                use a_very_long_name_number_one, a_very_long_name_number_two, a_very_long_name_number_three, b from std.k\n";
    check_round_trip(long);
    let out = format(long);
    assert!(out.lines().all(|line| line.len() <= 120), "{out}");
    insta::assert_snapshot!(out);
}

#[test]
fn numbers_are_short_and_exact() {
    for (value, text) in [
        (0.0, "0"),
        (1000.0, "1000"),
        (100000.0, "1e5"),
        (1.5e-5, "1.5e-5"),
        (0.0142, "0.0142"),
        (f64::MAX, "1.7976931348623157e308"),
        (5e-324, "5e-324"),
        (0.1 + 0.2, "0.30000000000000004"),
    ] {
        assert_eq!(syntax::number_text(value), text);
        assert_eq!(text.parse::<f64>(), Ok(value));
    }
}

#[test]
fn a_text_with_mistakes_is_not_formatted() {
    assert!(syntax::format(SourceId(0), "x' = -k*x +\n").is_err());
    assert_eq!(format(""), "");
    assert_eq!(format("\n\n# only a comment\n\n"), "# only a comment\n");
}
