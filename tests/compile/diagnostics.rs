//! What the user sees: one minimal wrong text for each mistake, and exactly what is said about it.

use super::{Texts, check_with};

/// The diagnostics of `text` as a person reads them.
fn shown(text: &str) -> String {
    check_with("model.twin", text.trim_start_matches('\n'), false, &Texts(&[])).shown()
}

/// Asserts what is shown of each named text, in one snapshot.
macro_rules! shows {
    ($test:ident: $($name:literal => $text:expr,)+) => {
        #[test]
        fn $test() {
            let mut all = String::new();
            $(all.push_str(&format!("--- {}\n{}\n", $name, shown($text)));)+
            insta::assert_snapshot!(all);
        }
    };
}

/// A model with a state and its equation; `lines` are what is wrong.
fn model(lines: &str) -> String {
    format!("model M {{\n  time [s]\n  param k [1/s] = 0.1\n  state S [uM] = 1\n  S' = -k*S\n{lines}\n}}\n")
}

/// A study of a model with an observable.
fn study(lines: &str) -> String {
    let own = "  observe y [uM] = S ~ Normal(sd = 0.1)\n  input u [uM] = 0 in 0 .. 1";
    format!("{}study F of M {{\n{lines}\n}}\n", model(own))
}

shows! { the_twelve_mistakes:
    "1 an expression ends early" => "model M {\n  time [s]\n  param k [1/s] = 0.1\n  state S [uM] = 1\n  S' = -k*S +\n}",
    "2 a unit without brackets" => "model M {\n  time [s]\n  param Vmax = 5mM\n  state S [mM] = 1\n  S' = -S*Vmax/(1 [mM*s])\n}",
    "3 a reaction without rate" => "model M {\n  time [s]\n  param k [1/s] = 0.1\n  species { S [uM] = 1; P [uM] = 0 }\n  S -> P; k*S\n}",
    "4 a block never closed" => "model M {\n  time [s]\n  state S [uM] = 1\n  S' = 0\nmodel N {\n  time [s]\n  state S [uM] = 1\n  S' = 0\n}",
    "5 a name misspelt" => "model M {\n  time [s]\n  param { kc [uM] = 1; kcat [1/s] = 0.3; kct1 [L] = 2 }\n  species { ES [uM] = 1; P [uM] = 0 }\n  ES -> P rate kct*ES\n  let q = kc*kct1\n}",
    "6 an energy in an exponent" => "model M {\n  time [h]\n  param { Ea [kJ/mol] = 50; k0 [1/h] = 1; T [K] = 300 }\n  state x [mM] = 1\n  x' = -k0*exp(-Ea/T)*x\n}",
    "7 a molar mass is missing" => "model M {\n  time [min]\n  state G [mg/dL] = 100\n  G' = 0\n  observe cgm [mg/dL] = G ~ Normal(sd = 5)\n}\nstudy F of M {\n  data \"g.csv\" { time <- t [min]; cgm <- glucose [mmol/L] }\n}",
    "8 a state without equation" => "model M {\n  time [h]\n  state { T_R [K] = 300; T_K [K] = 300 }\n  param k [1/h] = 1\n  T_R' = -k*(T_R - T_K)\n}",
    "9 a part" => "model M {\n  time [s]\n  part t = Tank()\n}",
    "10 a law that does not hold" => "model M {\n  time [s]\n  param { kon [1/(uM*s)] = 1; koff [1/s] = 1; kl [1/s] = 0.1 }\n  species { E [uM] = 1; S [uM] = 1; ES [uM] = 0 }\n  bind: E + S <-> ES @ kon, koff\n  leak: E -> 0 @ kl\n  conserved E + ES\n}",
    "mass action with a full law" => "model M {\n  time [s]\n  param kcat [1/s] = 0.3\n  species { ES [uM] = 1; P [uM] = 0 }\n  cat: ES -> P  @ kcat*ES\n}",
}

shows! { corners:
    "doubled degrees" => "model M {\n  time [h]\n  state T [degC] = 20\n  T' = 0\n  at 1 [h] { T *= 2 }\n}",
    "which temperature is meant" => "model M {\n  time [h]\n  state T [degC] = 20\n  T' = 0\n  let a = 20 [degC] - T\n  let b = T + 5 [degC]\n}",
    "a power that is no fraction" => &model("  let a = S^2.7183"),
    "a factor with a unit" => &model("  at 5 [s] { S *= 50 [uM] }"),
    "a constant with a species" => "model M {\n  time [s]\n  species { A [1] = 3; B [1] = 0 }\n  param k [1/s] = 1\n  let q = k*A\n  A -> B @ k*A\n  A -> B @ q\n  A + B -> 0 @ k*(1 + A)\n}",
    "an order that is no fraction" => "model M {\n  time [s]\n  species { A [uM] = 3; B [uM] = 0 }\n  param k [1/s] = 1\n  0.12345678 A -> B @ k\n}",
    "ties" => &model("  let a = sinn(1)\n  let b = S/Sa\n  let Sb [uM] = S\n  let Sc [uM] = S"),
    "no spread" => &model("  observe y [uM] = S ~ Normal(sd = -1)\n  observe z [uM] = S ~ LogNormal(gsd = 0.5)"),
    "an equation breaks a law" => "model M {\n  time [s]\n  compartment V [L] = 1 { A [uM] = 1; B [uM] = 0 }\n  A -> B @ 1 [1/s]\n  V' = 0.1 [L/s]\n  state x [uM] = 1\n  x' = -0.1 [uM/s]\n  conserved A + B\n  conserved V*(A + B) + x*1 [L]\n}",
    "species of many compartments" => "model M {\n  time [s]\n  compartment V(i) [L] = 1 for i in 1..2 { A [uM] = 1 }\n  A' = 0\n}",
    "a rate between members" => "model M {\n  time [s]\n  compartment V(i) [L] = 1 for i in 1..2 { A(i) [uM] = 1 for i in 1..2 }\n  A(1) -> A(2) rate 0.1 [1/s]*A(1)\n}",
    "nothing, and too small" => &model("  conserved\n  reaction 0 -> 0 @ 3 [uM/s]\n  let a = 1e-400"),
    "before the start" => &model("  at -1 [s] { S := 1 }"),
    "no left side" => "model M {\n  time [s]\n  species A [uM] = 1\n  reaction -> A @ 3 [uM/s]\n}",
    "glued" => &model("  let a = 1_000\n  let b = 0x10\n  let c = 1e\n  let d = 3z\n  let e = 3k\n  let f = 3 // 2"),
    "units in a circle" => "unit a = 3 [b]\nunit b = 2 [a]\nmodel M {\n  time [s]\n  state x [s] = 2\n  x' = 0\n}",
    "an event in a file" => "at 3 { x := 1 }\nmodel M {\n  time [s]\n  state x [s] = 2\n  x' = 0\n}",
    "a spread of a variant" => &format!("{}model C = M(y.sd = 3)", model("  observe y [uM] = S ~ Normal(sd = 1)")),
}

shows! { names:
    "twice" => &model("  param S [uM] = 2"),
    "a name without any like it" => &model("  let a = S*frobnicate + frobnicate"),
    "a function" => &model("  let a = log(S/1 [uM])\n  let b = sqr(2)\n  let c = pow(S, 2)"),
    "a circle" => &model("  let a [uM] = b + S\n  let b [uM] = c\n  let c [uM] = a"),
    "wrong kinds" => &model("  let a = k'\n  let b = S(1)\n  let c = \"5\"\n  let d = [1, 2]\n  k -> 0 @ k\n  let e = S + (S > 1 [uM])\n  safe f: S"),
    "wrong arguments" => &format!("fn f(x, n = 2) = x^n\n{}", model("  let a = f()\n  let b = f(S, 2, 3)\n  let c = f(S, m = 3)\n  let d = exp()\n  let e = f")),
    "an error inside of a function" => "fn f(x) = x*y\nfn g(x) = g(x - 1)\nmodel M {\n  time [1]\n  state x [1] = 1\n  x' = f(x) + f(2) + g(x)\n}",
    "words" => &model("  paramm q = 1\n  part w = N\n  use f from std.kinetics\n  q = 1"),
    "file level" => "stuff 1\nx' = 2\nuse nothing from std.kinetics\nuse a from std.kinetic\nuse b from \"none.twin\"\nmodel M { time [1] }\nmodel M { time [1] }",
    "variants" => &format!("{}model A = M(k = 2, kk = 3)\nmodel B = N(k = 2)\nmodel C = M(3, y = 2)\nmodel D = D()\nmodel E", model("  let y = S")),
}

shows! { units:
    "an equation" => "model M {\n  time [s]\n  param q [L/s] = 1\n  state h [m] = 1\n  h' = q\n}",
    "a sum" => &model("  let a = S + k"),
    "a bare number" => &model("  let a = if S > 5 then 1 else 2"),
    "unknown unit" => "model M {\n  time [s]\n  param k [1/sek] = 0.1\n  state S [uM] = 1\n  S' = -k*S\n}",
    "not inferable" => "model M {\n  time [h]\n  param k = 0.1\n  state x = 1\n  let y [mM] = 2 [mM]\n  x' = -k*x\n}",
    "two sizes" => "model M {\n  time [h]\n  param q = 0.1\n  state { x [mM] = 1; y [uM] = 1 }\n  x' = (x + q)/1 [h]\n  y' = (y + q)/1 [h]\n}",
    "degC in a sum" => "model M {\n  time [s]\n  state T [degC] = 20\n  T' = (T + 5 [degC])/1 [s]\n}",
    "a temperature as a spread" => "model M {\n  time [s]\n  param s [degC] = 2\n  state T [degC] = 20\n  T' = 0\n  observe y [degC] = T ~ Normal(sd = s)\n}",
    "an exponent" => &model("  param n [1] = 2\n  let a = S^n"),
    "pure numbers" => &model("  let a = ln(S)\n  let b = sin(k*S)"),
    "a rate" => "model M {\n  time [s]\n  compartment V [L] = 1 { A [mM] = 1 }\n  compartment W [L] = 1 { B [mM] = 1 }\n  param { k [1/s] = 1; q [mM] = 2 }\n  A -> B rate k*A\n  A -> 0 rate k*q*q\n  A + B -> 0 @ k\n}",
    "species of different kinds" => "model M {\n  time [s]\n  species { A [mM] = 1; B [g/L] = 1 }\n  param k [1/s] = 1\n  A -> B @ k\n}",
    "inside of a function" => "use hill from std.kinetics\nmodel M {\n  time [s]\n  param K [1/s] = 1\n  state x [uM] = 1\n  x' = -x*hill(x, K, 2)/1 [s]\n}",
    "an event" => &model("  at 5 [uM] { S := 1 [s] }\n  every 0 [s] { S += 1 }\n  when S { S := 0 }"),
    "an assertion" => &model("  expect S(5) = 1 [s] within 0.1 [m]\n  expect S = 1\n  expect S() = 1 within 2"),
}

shows! { equations:
    "two equations" => &model("  S' = 2*k*S"),
    "of a parameter" => &model("  k' = 1"),
    "a reaction and an equation" => "model M {\n  time [s]\n  param k [1/s] = 0.1\n  species S [uM] = 1\n  S -> 0 @ k\n  S' = -k*S\n}",
    "a species that nothing moves" => "model M {\n  time [s]\n  species { S [uM] = 1; P [uM] = 1 }\n  param k [1/s] = 0.1\n  S -> 0 @ k\n}",
    "an index out of range" => "model M {\n  time [1]\n  state h(i) = 1 for i in 1 .. 4\n  h(i)' = h(i-1)\n}",
    "members without equation and with two" => "model M {\n  time [1]\n  state h(i) = 1 for i in 1 .. 4\n  h(i)' = 1 for i in 1 .. 2\n}\nmodel N {\n  time [1]\n  state h(i) = 1 for i in 1 .. 4\n  h(i)' = 1\n  h(2)' = 2\n}",
    "a family as one" => "model M {\n  time [1]\n  state h(i) = [1, 2] for i in 1 .. 4\n  h(i)' = h\n  let a = h(1, 2)\n  let b(i) = 2\n}",
    "constants" => &model("  const a = S\n  param b = k + 1 [1/s]\n  let c(i) = 1 for i in 1 .. k"),
    "no numbers" => &model("  const a = 1/0\n  param b = ln(-1)\n  let c = b"),
    "missing parts" => &model("  const a\n  param b\n  let c\n  every 2 [s]\n  safe S > 1 [uM]"),
    "a derivative in a rate" => "model M {\n  time [s]\n  species S [uM] = 1\n  S -> 0 rate -S'\n}",
    "clauses" => &model("  let a [uM] = S in 0 .. 1 fixed\n  input b [uM] = 1 ~ Normal(0, 1)"),
}

shows! { events_and_laws:
    "conflicts" => &model("  at 1 [s] { S := 2; S += 1 }\n  at 5 [s] { S := 2 }\n  at 5 [s] { S := 3 }"),
    "what cannot be assigned" => &model("  let a = S\n  at 1 [s] { a := 2; S = 3 }\n  S := 2\n  at 2 [s] { let b = 2 }"),
    "a time that is not known" => &model("  at S*1 [s/uM] { S := 2 }"),
    "a volume and what is in it" => "model M {\n  time [s]\n  compartment V [L] = 1 { A [mM] = 1 }\n  param k [1/s] = 1\n  A -> 0 @ k\n  at 1 [s] { V += 1; A += 1 }\n}",
    "mass action across compartments" => "model M {\n  time [s]\n  compartment V [L] = 1 { A [mM] = 1 }\n  compartment W [L] = 1 { B [mM] = 1 }\n  species C [mM] = 0\n  param k [1/(mM*s)] = 1\n  A + B -> 0 @ k\n  param q [1/s] = 1\n  A -> C @ q\n}",
    "an event breaks a law" => "model M {\n  time [s]\n  species { A [mM] = 1; B [mM] = 1 }\n  param k [1/s] = 1\n  A -> B @ k\n  conserved A + B\n  at 1 [s] { A += 1 }\n}",
    "a law that cannot be shown" => "model M {\n  time [1]\n  state { a = 1; b = 1 }\n  a' = sin(b)^2 + cos(b)^2\n  b' = -1\n  conserved a + b\n}",
    "numbers of rates" => "model M {\n  time [s]\n  species { A [mM] = 1; B [mM] = 1 }\n  param k [1/s] = 1\n  A <-> B @ k\n  A -> B @ k, k\n  A -> B\n  A -> B @ k rate k*A\n}",
    "distributions" => &model("  param a = 1 ~ Norml(0, 1)\n  param b = 1 ~ 5\n  param c = 1 ~ Normal(mean = 1)\n  param d = 1 ~ LogNormal(median = 1, gsd = 0.5)\n  observe e = S ~ Uniform(0, 1)\n  observe f = S ~ Normal(mean = 1, sd = 2)\n  let g = a + b + c + d"),
}

shows! { studies:
    "bindings" => &study("  data \"a.csv\" { time <- t [m]; y <- y [uM]; y <- z [uM]; S <- s [uM]; u <- v [uM] initial; q <- w; k -> \"a\" }\n  data \"b.csv\" { y <- y [uM] }"),
    "a column without its unit's partner" => "model M {\n  time\n  state x = 1\n  x' = -x\n}\nmodel N {\n  state x = 1\n  x' = -x\n  observe y = x ~ Normal(sd = 1)\n}\nstudy F of N { data \"a.csv\" { time <- t [s]; y <- y } }",
    "estimates and starts" => &study("  estimate kk, y, k\n  estimate k in S .. 2\n  start S = 5 [s]\n  start y = 2\n  start u = 5\n  start S\n  start S = 1\n  start S = 2"),
    "statements" => &study("  plant M\n  simulat { until = 5 [s] }\n  simulate { until = 5; output = \"1\"; hold k; step -1 [s]; S <- \"f.csv\"; stpe 2 }\n  sweep y in 0 .. 1\n  sweep k in 0 ..\n  sweep k in -1 .. 1 log\n  x' = 2"),
    "a study of nothing" => "study F of Nothing { }\nstudy G { }\nstudy { }",
}

shows! { warnings:
    "unused and out of range" => &model("  param a [uM] = 5 in 0 .. 1\n  param b [uM] = 5 in 2 .. 1\n  let c = b"),
    "a prior out of bounds" => &model("  param a [uM] = 0.5 in 0 .. 1 ~ Normal(mean = 10, sd = 1)\n  let c = a"),
    "equality" => &model("  let c = if S == 1 [uM] then 1 else 2"),
    "a jump" => &model("  state x [uM] = 0\n  x' = floor(S/1 [uM])*k*S + k*S*floor(time/1 [s])"),
    "a variant" => "model M {\n  time [s]\n  param k [1/s] = 0.1 in 0 .. 1 ~ LogNormal(median = 0.1, gsd = 2)\n  state S [uM] = 1\n  S' = -k*S\n}\nmodel N = M(k = 0.2)\nmodel O = M(k = 3)",
}
