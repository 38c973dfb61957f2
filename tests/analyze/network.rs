//! Conservation laws read off the equations.

use super::Subject;

/// Laws as text: `A + 2 B`, by the states' names.
fn laws(subject: &Subject) -> Vec<String> {
    let states = &subject.kernels.model().states;
    let name = |k: usize| states[k].quantity.name.as_str();
    let laws = subject.structure.laws(&subject.p);
    let text = |law: &twinc::analyze::Law| {
        let terms = law.terms.iter().map(|&(k, c)| format!(" + {c} {}", name(k)));
        format!("{}{}", name(law.state), terms.collect::<String>())
    };
    laws.iter().map(text).collect()
}

#[test]
fn moieties_of_an_enzyme_are_found() {
    let text = "model M { time [s]; species { E [uM] = 1; S [uM] = 10; ES [uM] = 0; P [uM] = 0 }
        param { kon [1/(uM*s)] = 1; koff [1/s] = 0.5; kcat [1/s] = 0.3 }
        reaction { E + S <-> ES @ kon, koff; ES -> E + P @ kcat } }";
    let subject = Subject::new(text);
    let found = subject.structure.laws(&subject.p);
    assert_eq!(found.len(), 2, "{:?}", laws(&subject));
    // Whatever the basis, enzyme and substrate totals do not change along the rates.
    for law in &found {
        for x in [[0.3, 4.0, 0.7, 5.0], [0.9, 1.0, 0.1, 0.0]] {
            let v = [1.0 * x[0] * x[1], 0.5 * x[2], 0.3 * x[2]];
            let dx = [-v[0] + v[1] + v[2], -v[0] + v[1], v[0] - v[1] - v[2], v[2]];
            assert!(law.total(&dx).abs() < 1e-12, "{law:?}");
        }
    }
}

/// Written as equations, through a common `let` and with volumes that are parameters.
#[test]
fn laws_of_equations_and_of_volumes_are_found() {
    let text = "model M { time [s]
        param { k [1/s] = 0.2; V1 [L] = 2; V2 [L] = 5 }
        state { A [uM] = 3; B [uM] = 0 }
        let v [umol/s] = k*(V1*A - V2*B)
        A' = -v/V1
        B' = v/V2 }";
    let subject = Subject::new(text);
    let found = subject.structure.laws(&subject.p);
    assert!(!subject.structure.is_fixed());
    let [law] = found.as_slice() else { panic!("{:?}", laws(&subject)) };
    // V1 A + V2 B up to a factor.
    let (state, (other, c)) = (law.state, law.terms[0]);
    let ratio = if state == 0 { 5.0 / 2.0 } else { 2.0 / 5.0 };
    assert!(other == 1 - state && (c - ratio).abs() < 1e-14, "{law:?}");
    // d ratio / d V1 and d V2.
    let by_v1 = subject.structure.laws_along(&subject.p, &[0.0, 1.0, 0.0])[0].terms[0].1;
    let exact = if state == 0 { -5.0 / 4.0 } else { 1.0 / 5.0 };
    assert!((by_v1 - exact).abs() < 1e-14, "{by_v1}");
}

#[test]
fn a_long_chain_has_one_law_of_all_its_members() {
    let text = "model Chain { time [1]; const N = 400; species S(i) [1] = 1 for i in 1 .. N
        param { k [1] = 2; b [1] = 1 }
        reaction { S(i) <-> S(i+1) @ k, b for i in 1 .. N-1 } }";
    let subject = Subject::new(text);
    let found = subject.structure.laws(&subject.p);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].terms.len(), 399);
    assert!(found[0].terms.iter().all(|t| t.1 == 1.0));
}

/// Two products of one reactant keep their ratio, and what nothing moves is its own law.
#[test]
fn branching_and_resting_states_give_laws() {
    let text = "model M { time [s]; species { A [uM] = 1; B [uM] = 0; C [uM] = 0 }; discrete mode = 2
        param { k1 [1/s] = 1; k2 [1/s] = 3 }
        reaction { A -> B @ k1; A -> C @ k2 }
        at 5 [s] { mode := 3 } }";
    let subject = Subject::new(text);
    assert_eq!(laws(&subject).len(), 3, "{:?}", laws(&subject));
    let open = Subject::new(
        "model M { time [s]; species S [uM] = 0; param { f [uM/s] = 1; d [1/s] = 2 }
        reaction { 0 -> S rate f; S -> 0 @ d } }",
    );
    assert!(laws(&open).is_empty());
}
