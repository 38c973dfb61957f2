//! Runs that the numbers end: what is not finite, has no length, takes too many steps, or bounces without end.

use super::{DECAY, Room};

#[test]
fn sim_names_the_equation_or_the_reactions_of_what_is_not_finite() {
    let text = "model Root {\n  time [s]\n  state { a [1] = 1; b [1] = 1 }\n  a' = b/1 [s]\n  \
                b' = sqrt(0.5 - time/1 [s])/1 [s] - a/1 [s]\n}\n";
    let room = Room::new(&[("root.twin", text)]);
    for method in ["tsit5", "rodas5p", "bdf", "auto"] {
        let ended = room.run(&["sim", "root.twin", "--until", "2", "--method", method]);
        ended.ends(3).says("E0702").says("`b` is not a finite number").says("0.5").says("root.twin:5:3");
    }
    let text = "model Net {\n  time [s]\n  param k [1/s] = 1\n  species { A [uM] = 1; B [uM] = 0 }\n  \
                burst: A -> B rate k*exp(1e3*time/1 [s])*A\n}\n";
    let room = Room::new(&[("net.twin", text)]);
    let ended = room.run(&["sim", "net.twin", "--until", "2", "--method", "rodas5p"]);
    ended.ends(3).says("E070").says("moves it").says("burst:");
}

#[test]
fn sim_of_no_length_is_the_start_and_none_runs_backward() {
    let room = Room::new(&[("decay.twin", DECAY)]);
    let ended = room.run(&["sim", "decay.twin", "--until", "0"]);
    ended.ends(0);
    assert_eq!(ended.out.lines().count(), 2, "{}", ended.out);
    assert!(ended.out.lines().nth(1).is_some_and(|row| row.starts_with("0,2,")), "{}", ended.out);
    room.run(&["sim", "decay.twin", "--until", "0", "--output", "1", "--plot", "p.svg"]).ends(0);
    room.run(&["sim", "decay.twin", "--until", "0", "--step", "1", "--method", "rk4"]).ends(0);
    room.run(&["sim", "decay.twin", "--until=-3"]).ends(2).says("E0804").says("goes forward");
    room.run(&["sim", "decay.twin", "--until", "1", "--rtol", "0"]).ends(2).says("must be positive");
    room.run(&["sim", "decay.twin", "--until", "1", "--rtol", "1e-17"]).ends(2).says("E0602").says("from 1e-14 to 0.1");
    room.run(&["sim", "decay.twin", "--until", "1", "--set", "simulate.atol=0"]).ends(2).says("at least 1e-300");
}

#[test]
fn sim_of_a_billion_steps_ends_at_the_limit_with_state_and_line() {
    let room = Room::new(&[("decay.twin", DECAY)]);
    let args = ["sim", "decay.twin", "--until", "1e9", "--output", "1e8", "--set", "simulate.max_step=1"];
    let ended = room.run(&[&args[..], &["--set", "simulate.max_steps=1000"]].concat());
    ended.ends(3).says("E0703").says("kept short by `S`").says("simulate.max_steps");
    room.run(&["sim", "decay.twin", "--until", "1e9", "--step", "1", "--method", "rk4"]).ends(2).says("E0611");
}

#[test]
fn sim_of_a_bouncing_ball_ends_where_the_bounces_do() {
    let text = "model Ball {\n  time [s]\n  state { h [m] = 1; v [m/s] = 0 }\n  h' = v\n  v' = -9.81 [m/s^2]\n  \
                when h < 0 [m] { v := -0.8*v }\n}\n";
    let room = Room::new(&[("ball.twin", text)]);
    for rtol in ["1e-3", "1e-6", "1e-9"] {
        let ended = room.run(&["sim", "ball.twin", "--until", "40", "--output", "0.1", "--rtol", rtol]);
        ended.ends(3).says("E0704").says("h < 0").says("at time 4.06").says("ball.twin:6:3");
    }
    // The way out: a rest that the last small bounce begins.
    let rest = text
        .replace("state {", "discrete moves [1] = 1\n  state {")
        .replace("h' = v", "h' = moves*v")
        .replace("v' = -", "v' = -moves*")
        .replace("{ v := -0.8*v }", "{ v := -0.8*v; moves := if v < -0.01 [m/s] then 1 else 0 }");
    let room = Room::new(&[("rest.twin", &rest)]);
    room.run(&["sim", "rest.twin", "--until", "40", "--output", "1"]).ends(0);
}
