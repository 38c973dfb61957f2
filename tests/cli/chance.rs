//! Random paths from the command line: the same bytes for the same seed, moments, and what each method needs.

use super::{MODEL, Room};

const CELL: &str = "model Cell {\n  time [s]\n  compartment V [fL] = 1 { A [nM] = 100; B [nM] = 0 }\n  param { k [1/s] = 0.5; d [1/s] = 0.1 }\n  \
     reaction { A -> B @ k; B -> 0 @ d }\n}\n\
     study Many of Cell { simulate { until = 4 [s]; output = 1 [s]; method = ssa; paths = 300; seed = 7; moments = true } }\n\
     model Walk {\n  time [s]\n  noise w\n  param k [1/s] = 1\n  state x [uM] = 1\n  x' = -k*x + 0.1 [s^(-1/2)]*x*w'\n}\n";

#[test]
fn random_paths_are_the_same_bytes_for_any_number_of_threads() {
    let room = Room::new(&[("m.twin", CELL)]);
    for method in ["ssa", "tau_leap", "cle"] {
        let run = |threads: &str, seed: &str, more: &[&str]| {
            let mut args = vec![
                "sim",
                "m.twin:Cell",
                "--until",
                "3",
                "--output",
                "0.5",
                "--method",
                method,
                "--step",
                "0.25",
                "--paths",
                "150",
            ];
            args.extend(["--seed", seed, "--threads", threads]);
            args.extend(more);
            room.run(&args).ends(0).out.clone()
        };
        let one = run("1", "3", &[]);
        assert_eq!(one, run("2", "3", &[]), "{method}");
        assert_ne!(one, run("2", "4", &[]), "{method}");
        assert!(one.starts_with("path,time [s],A [nM],B [nM]"), "{}", &one[..60]);
        assert_eq!(one.lines().count(), 1 + 150 * 7, "{method}");
        assert_eq!(run("1", "3", &["--moments"]), run("2", "3", &["--moments"]), "{method}");
    }
}

/// Sixty items, each of them still there with probability exp(−k t): the moments of the table are binomial.
#[test]
fn moments_of_paths_are_written_instead_of_paths() {
    let room = Room::new(&[("m.twin", CELL)]);
    let out = room.run(&["sim", "m.twin:Many"]).ends(0).out.clone();
    let mut lines = out.lines();
    assert_eq!(lines.next(), Some("time [s],mean(A) [nM],var(A) [nM^2],mean(B) [nM],var(B) [nM^2]"));
    // One item in 1 fL.
    let one = 1e24 / 6.02214076e23;
    for (t, line) in lines.enumerate() {
        let row: Vec<f64> = line.split(',').map(|cell| cell.parse().expect("a number")).collect();
        let q = (-0.5 * t as f64).exp();
        let (mean, variance) = (60.0 * q, 60.0 * q * (1.0 - q));
        assert!((row[1] / one - mean).abs() <= 5.0 * (variance / 300.0).sqrt() + 1e-9, "{line}");
        assert!((row[2] / one / one - variance).abs() <= 0.45 * variance + 1e-9, "{line}");
    }
}

#[test]
fn methods_of_chance_say_what_they_need() {
    let room = Room::new(&[("m.twin", CELL), ("plain.twin", MODEL)]);
    for (args, code, words) in [
        (&["m.twin:Walk", "--until", "1"][..], "E0409", "`em` needs a step"),
        (&["m.twin:Walk", "--until", "1", "--method", "tsit5"], "E0602", "follows none"),
        (&["m.twin:Walk", "--until", "1", "--method", "ssa"], "E0508", "moves by an equation"),
        (&["m.twin:Cell", "--until", "1", "--method", "em", "--step", "0.1"], "E0602", "has no noise"),
        (&["plain.twin", "--until", "1", "--method", "ssa"], "E0508", "only reactions can be counted"),
        (&["plain.twin", "--until", "1", "--paths", "3"], "E0602", "this simulation has none"),
        (&["m.twin:Cell", "--until", "1", "--method", "ssa", "--moments"], "E0602", "two paths"),
        (&["m.twin:Cell", "--until", "1", "--method", "ssa", "--rtol", "1e-3"], "E0107", "no effect"),
    ] {
        let ended = room.run(&[&["sim"], args].concat());
        assert!(ended.code.is_some_and(|code| code == 1 || code == 2), "{ended:#?}");
        ended.says(code).says(words);
    }
    let walk = room.run(&["sim", "m.twin:Walk", "--until", "1", "--step", "0.1", "--method", "milstein"]);
    assert_eq!(walk.ends(0).out.lines().count(), 12);
    // Without a method, noise and a step are followed by `em`.
    let plain = room.run(&["sim", "m.twin:Walk", "--until", "1", "--step", "0.1"]).ends(0).out.clone();
    assert_eq!(plain, room.run(&["sim", "m.twin:Walk", "--until", "1", "--step", "0.1", "--method", "em"]).out);
}
