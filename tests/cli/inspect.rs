//! `twinc inspect`: the forms of a compiled model.

use super::{DECAY, Room};

#[test]
fn inspect_prints_one_canonical_text() {
    let room = Room::new(&[("decay.twin", DECAY)]);
    let ended = room.run(&["inspect", "decay.twin"]);
    ended.ends(0);
    insta::assert_snapshot!("inspect_decay", ended.out);
    assert_eq!(room.run(&["inspect", "decay.twin"]).out, ended.out);
    let part = room.run(&["inspect", "decay.twin", "--view", "odes"]);
    assert!(part.out.contains("S' = ") && !part.out.contains("kernels"));
    let document = room.run(&["inspect", "decay.twin", "--format", "json"]).ends(0).json();
    assert_eq!(document["result"]["params"][0]["name"], "k");
}

const NETWORK: &str = "model Network \"half & half\" {\n  time [s]\n  species { E [uM] = 0.5; S_in [uM] = 10; ES [uM] = 0; P [uM] = 0 \"50 % pure\" }\n  input feed [uM/s] = 0 in 0 .. 1\n  param { kon [1/(uM*s)] = 1; koff [1/s] = 0.5; kcat [1/s] = 3e-7; Ki [uM] = 2 }\n  reaction {\n    bind: E + S_in <-> ES @ kon, koff\n    cat: ES -> E + 2 P @ kcat\n    supply: 0 -> S_in rate feed/(1 + P/Ki)\n  }\n  let frac [1] = S_in/(S_in + Ki)\n  observe y [uM] = if P > 1 [uM] then P else frac^2*P ~ Normal(sd = 0.1)\n}\n";

#[test]
fn inspect_writes_latex() {
    let room = Room::new(&[("n.twin", NETWORK), ("decay.twin", DECAY)]);
    let ended = room.run(&["inspect", "n.twin", "--format", "latex"]);
    ended.ends(0);
    insta::assert_snapshot!("inspect_latex", ended.out);
    let symbols = room.run(&["inspect", "decay.twin", "--format", "latex", "--view", "symbols"]).ends(0).out.clone();
    assert!(symbols.contains("longtable") && !symbols.contains("align}"), "{symbols}");
    room.run(&["inspect", "n.twin", "--format", "latex", "--view", "clif"])
        .ends(2)
        .says("E0804")
        .says("symbols and odes");
    room.run(&["inspect", "n.twin:Q", "--format", "latex"]).ends(2).prints_nothing().says("E0803");
}

#[test]
fn inspect_draws_the_network_or_what_depends_on_what() {
    let chain = "model Chain {\n  time [s]\n  input u [1/s] = 0\n  state { a [1] = 1; b [1] = 0 }\n  a' = u - a/1 [s]\n  b' = a/1 [s]\n}\n";
    let room = Room::new(&[("n.twin", NETWORK), ("chain.twin", chain)]);
    insta::assert_snapshot!("inspect_dot", room.run(&["inspect", "n.twin", "--format", "dot"]).ends(0).out);
    insta::assert_snapshot!("inspect_dot_states", room.run(&["inspect", "chain.twin", "--format", "dot"]).ends(0).out);
}

#[test]
fn a_task_is_shown_as_text_latex_and_an_object() {
    let room = Room::new(&[]);
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/cstr/cstr.twin");
    let task = format!("{file}:HoldB");
    let text = |args: &[&str]| {
        let args: Vec<&str> = ["inspect"].iter().chain(args).copied().collect();
        room.run(&args).ends(0).out.clone()
    };
    // The file has one task and no models: it need not be named. A study of it shows what its controller plans.
    let shown = text(&[file]);
    assert!(shown.contains("minimize over F, Q_dot") && shown.contains("0.1 <= C_a <= 2"), "{shown}");
    assert_eq!(shown, text(&[&task]));
    assert_eq!(shown, text(&[&format!("{file}:Loop")]));
    let latex = text(&[&task, "--format", "latex"]);
    assert!(latex.contains("\\min_{F, Q_{\\mathrm{dot}}}") && latex.contains("\\end{document}"), "{latex}");
    let object = room.run(&["inspect", &task, "--format", "json"]).ends(0).json();
    let result = &object["result"];
    assert_eq!((result["step"].as_f64(), result["method"].as_str()), (Some(0.005), Some("radau3")));
    assert_eq!(result["keeps"][4]["softness"]["linear"], 100.0);
    assert_eq!(result["moves"][0]["scale"], 100.0);
    for flags in [&["--view", "odes"][..], &["--steady"], &["--set", "beta=2"], &["--format", "dot"]] {
        let args: Vec<&str> = ["inspect", &task].iter().chain(flags).copied().collect();
        room.run(&args).ends(2).prints_nothing().says("E0804").says("`HoldB` is a task");
    }
}
