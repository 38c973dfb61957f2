//! What the command says and does of studies: settings, what is held, what is swept, and data that do not fit.

use std::fs;

use assert_cmd::Command;

/// What one run of the command writes, with its exit code.
struct Told {
    code: Option<i32>,
    out: String,
    err: String,
}

/// Runs `twinc` in a folder with `model.twin` and `d.csv`.
fn run(text: &str, table: &str, args: &[&str]) -> Told {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("model.twin"), text).expect("a file");
    fs::write(folder.path().join("d.csv"), table).expect("a file");
    let mut command = Command::cargo_bin("twinc").expect("the binary");
    command.current_dir(folder.path()).args(args).env("XDG_CONFIG_HOME", folder.path());
    for name in ["TWINC_THREADS", "TWINC_COLOR", "TWINC_FORMAT", "NO_COLOR"] {
        command.env_remove(name);
    }
    let output = command.output().expect("the command runs");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Told { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// The table of `twinc sim`, column by column, with its names; the last column of a table of several runs says that all
/// is well.
#[track_caller]
fn simulated(text: &str, args: &[&str]) -> (Vec<String>, Vec<Vec<f64>>) {
    let told = run(text, "", &[&["sim", "model.twin"], args].concat());
    assert_eq!(told.code, Some(0), "{}", told.err);
    let mut lines = told.out.lines();
    let mut names: Vec<String> = lines.next().expect("a header").split(',').map(str::to_string).collect();
    if names.last().is_some_and(|name| name == "status") {
        names.pop();
        assert!(told.out.lines().skip(1).all(|line| line.ends_with(',')), "{}", told.out);
    }
    let mut columns = vec![Vec::new(); names.len()];
    for line in lines {
        for (column, cell) in columns.iter_mut().zip(line.split(',')) {
            column.push(cell.parse().expect("a number"));
        }
    }
    (names, columns)
}

/// A decay in hours; `lines` belong to the model, `study` to a study of it.
fn decay(lines: &str, study: &str) -> String {
    format!(
        "model M {{\n  time [h]\n  const {{ dt [min] = 6; amount [uM] = 1; tight [1] = 1e-9 }}\n  param k [1/h] = 0.1 in 0 .. 10\n  \
         state S [uM] = 1\n  S' = -k*S\n{lines}}}\nstudy F of M {{\n{study}\n}}\n"
    )
}

/// Asserts what is said of each named text and table, in one snapshot.
macro_rules! told {
    ($test:ident: $($name:literal => $text:expr, $table:expr, $args:expr;)+) => {
        #[test]
        fn $test() {
            let mut all = String::new();
            $({
                let told = run(&$text, $table, &$args);
                let code = told.code.map_or("none".to_string(), |code| code.to_string());
                all.push_str(&format!("--- {}: ends with {code}\n{}\n", $name, told.err));
            })+
            insta::assert_snapshot!(all);
        }
    };
}

const CHECK: [&str; 2] = ["check", "model.twin"];
const Y: &str = "  observe y [uM] = S ~ Normal(sd = 0.1)\n";
const DATA: &str = "data \"d.csv\" { time <- t [h]; y <- y [uM] }";

told! { settings_and_their_units:
    "a concentration for a time" => decay("", "simulate { until = 9; max_step = 5 [uM] }"), "", CHECK;
    "a constant that is no time" => decay("", "simulate { until = 9; max_step = amount }"), "", CHECK;
    "a time below zero" => decay("", "simulate { until = 9; max_step = -5 [min] }"), "", CHECK;
    "a unit for a pure number" => decay("", "simulate { until = 9; rtol = 1e-6 [uM] }"), "", CHECK;
    "a time in a model without units" => "model M {\n  state S = 1\n  S' = -S\n}\nstudy F of M { simulate { until = 9; max_step = 5 [s] } }\n", "", CHECK;
    "tolerances beside a fixed step" => decay("", "simulate { until = 9; step 1 via rk4; rtol = 1e-3; atol = 1 }"), "", CHECK;
    "a longest step beside a method of fixed steps" => decay("", "simulate { until = 9; output = 1; method = euler; max_step = 1 [min] }"), "", CHECK;
    "a tolerance of the command line without effect" => decay("", "simulate { until = 9; step 1 via rk4 }"), "", ["sim", "model.twin", "--rtol", "1e-3"];
    "no end" => decay("", "simulate { output = 1 }"), "", ["sim", "model.twin"];
}

told! { held_and_swept:
    "definitions that hang together" => decay("  let { a = 2*S; b = a + S; c = b }\n", "simulate { until = 9; step 1; hold a, c }"), "", CHECK;
    "twice" => decay("  let a = 2*S\n", "simulate { until = 9; step 1; hold a, a }"), "", CHECK;
    "a member of a family of definitions" => decay("  let a(i) = i*S for i in 1 .. 2\n", "simulate { until = 9; step 1; hold a(1) }"), "", CHECK;
    "a state" => decay("", "simulate { until = 9; step 1; hold S }"), "", CHECK;
    "a member that is not there" => decay("  state h(i) [uM] = 1 for i in 1 .. 3\n  h(i)' = -k*h(i)\n", "simulate { until = 9 }; sweep h(4) in 1 .. 2"), "", CHECK;
    "a start that another follows" => decay("  let twice = 2*S\n  state T [uM] = twice + 1 [uM]\n  T' = 0\n", "simulate { until = 9 }; sweep S in 1 .. 2"), "", CHECK;
    "a member that is not known" => decay("  state h(i) [uM] = 1 for i in 1 .. 3\n  h(i)' = -k*h(i)\n", "simulate { until = 9 }; sweep h(k) in 1 .. 2"), "", CHECK;
}

told! { what_has_no_logarithm_or_no_time:
    "a logarithmic scale from zero" => decay(Y, &format!("{DATA}\n estimate k in 0 .. 10 log")), "t,y\n1,1\n", CHECK;
    "the declared bounds" => decay(Y, &format!("{DATA}\n estimate k log")), "t,y\n1,1\n", CHECK;
    "an open end that the prior leaves open" => decay(Y, &format!("{DATA}\n estimate S in 1 .. ~ Normal(mean = 1, sd = 1) log")), "t,y\n1,1\n", CHECK;
    "data below zero" => decay("  observe y [uM] = S ~ LogNormal(gsd = 2)\n", &format!("{DATA}\n estimate k in 0 .. 1")), "t,y\n1,1\n2,-0.5\n3,0\n", CHECK;
    "before the start" => decay("  expect S(-5 [min]) = 1 within 0.1\n", ""), "", CHECK;
    "a tolerance below zero" => decay("  expect S(5 [min]) = 1 within -0.1\n", ""), "", CHECK;
}

/// A log-normal prior says where to start, so that its lower bound may be zero.
#[test]
fn a_log_normal_prior_needs_no_lower_bound() {
    let text = decay(Y, &format!("{DATA}\n estimate k in 0 .. 10 ~ LogNormal(median = 0.1, gsd = 2)"));
    assert_eq!(run(&text, "t,y\n1,1\n", &CHECK).code, Some(0));
}

/// 6 minutes are a tenth of an hour, however they are written, and a bare number is in hours: 100 steps of 10 hours.
#[test]
fn a_longest_step_is_a_time() {
    for written in ["6 [min]", "360 [s]", "0.1 [h]", "0.1", "dt", "2*dt/2"] {
        let text = decay("", &format!("simulate {{ until = 10; output = 10; max_step = {written}; rtol = tight }}"));
        let told = run(&text, "", &["sim", "model.twin", "-v"]);
        assert_eq!(told.code, Some(0), "{}", told.err);
        let steps = told.err.lines().find_map(|line| line.split(", ").find_map(|part| part.strip_suffix(" steps")));
        let steps: u32 = steps.expect("a count").parse().expect("a number");
        assert!((100..110).contains(&steps), "`{written}`: {steps} steps");
    }
}

/// What the file says of another method does not matter where the command line names a method of fixed steps.
#[test]
fn a_method_of_the_command_line_needs_no_tolerance() {
    let text = decay("", "simulate { until = 9; output = 1; rtol = 1e-9 }");
    assert_eq!(run(&text, "", &["sim", "model.twin", "--method", "rk4", "--step", "0.1"]).code, Some(0));
}

/// x' = −L with L = k x held over steps of h is x(n h) = x0 (1 − k h)^n, whatever solves the pieces; the sweep starts
/// from elsewhere than the model.
#[test]
fn a_held_definition_keeps_the_value_of_the_start_of_its_step() {
    let model =
        "model M {\n  time [s]\n  param k [1/s] = 0.4\n  state x [uM] = 1\n  let L [uM/min] = k*x\n  x' = -L\n}\n";
    for method in ["via rk4", "via euler", "via tsit5", "via rodas5p", ""] {
        let text = format!(
            "{model}study F of M {{ simulate {{ until = 10; step 500 [ms] {method}; hold L }}; sweep x in [1, 3] }}\n"
        );
        let (names, columns) = simulated(&text, &[]);
        let column = |name: &str| &columns[names.iter().position(|n| n == name).expect(name)];
        assert_eq!(column("x [uM]").len(), 42);
        for (row, (x, held)) in column("x [uM]").iter().zip(column("L [uM/min]")).enumerate() {
            let start = if row < 21 { 1.0 } else { 3.0 };
            let exact = start * 0.8_f64.powi((row % 21) as i32);
            // Straight lines are followed to rounding.
            assert!((x - exact).abs() < 1e-12 * start, "{method} row {row}: {x} is not {exact}");
            assert!((held - 60.0 * 0.4 * exact).abs() < 1e-10, "{method} row {row}: {held}");
        }
    }
}

/// Held time: the sum of the steps' starts instead of the integral.
#[test]
fn a_held_time_is_a_staircase() {
    let text = "model M {\n  time [s]\n  state x [s^2] = 0\n  let now = time\n  x' = now\n}\n\
                study F of M { simulate { until = 10; step 2; hold now } }\n";
    let (_, columns) = simulated(text, &[]);
    // Rounding of some steps each.
    assert!(
        columns[1].iter().zip([0.0, 0.0, 4.0, 12.0, 24.0, 40.0]).all(|(a, b)| (a - b).abs() < 1e-12),
        "{columns:?}"
    );
}

#[test]
fn one_member_of_a_family_is_swept() {
    let model = "model M {\n  time [s]\n  param k(i) [1/s] = 0 for i in 1 .. 2\n  state h(i) [uM] = 1 for i in 1 .. 2\n  \
                 h(i)' = -k(i)*h(i)\n  input u(i) [uM] = 0 for i in 1 .. 2\n  let seen = u(1) + 10*u(2)\n}\n";
    let study =
        |sweep: &str| format!("{model}study F of M {{ simulate {{ until = 1; output = 1 }}; sweep {sweep} }}\n");
    let (names, columns) = simulated(&study("h(2) in [2000 [nM], 3]"), &[]);
    assert_eq!(&names[..4], ["start h(2) [uM]", "time [s]", "h(1) [uM]", "h(2) [uM]"]);
    assert_eq!((&columns[2], &columns[3]), (&vec![1.0; 4], &vec![2.0, 2.0, 3.0, 3.0]));
    let (names, columns) = simulated(&study("k(1 + 1) in [0, 2]"), &[]);
    assert_eq!(names[0], "k(2) [1/s]");
    assert_eq!(columns[2], [1.0; 4]);
    assert!((columns[3][3] - (-2.0_f64).exp()).abs() < 1e-5);
    let (_, columns) = simulated(&study("u(2) in [1, 2]"), &[]);
    assert_eq!(columns.last(), Some(&vec![10.0, 10.0, 20.0, 20.0]));
    // The command line says the same.
    let (names, _) = simulated(model, &["--until", "1", "--sweep", "h(2) in 1 .. 2 { points = 2 }"]);
    assert_eq!(names[0], "start h(2) [uM]");
}

/// Which members there are is known.
#[test]
fn one_member_of_a_disturbance_is_held() {
    let text = "model M {\n  time [s]\n  state x(i) [uM] = 0 for i in 1 .. 2\n  disturbance d(i) [uM/s] = 1 for i in 1 .. 2\n  \
                x(i)' = d(i)\n}\nstudy F of M { simulate { until = 4; step 2; hold d(2); hold d(3) } }\n";
    let told = run(text, "", &CHECK);
    assert!(told.err.contains("`d` has members 1 .. 2, and 3 is asked for"), "{}", told.err);
    let (_, columns) = simulated(&text.replace("; hold d(3)", ""), &[]);
    assert!((columns[2][2] - 4.0).abs() < 1e-12);
}
