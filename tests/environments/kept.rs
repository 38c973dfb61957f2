//! What is kept of environments takes up where they stood.

use super::{Run, assembled, control, flat, of_file, of_study};
use twinc::decide::Environments;
use twinc::learn::environments::plants::Plants;
use twinc::learn::environments::{Coach, Prepared};

/// Goes on with what was kept in `other`, which has gone elsewhere meanwhile, for as many steps as `one`: the same bits.
fn goes_on(one: &mut dyn Environments, other: &mut dyn Environments, n_steps: usize) {
    let mut first = Run::new(one);
    (0..n_steps).for_each(|_| first.step());
    let saved = first.environments.save();
    let mut second = Run::new(other);
    second.step();
    second.environments.restore(&saved).expect("of the same environment");
    assert_eq!(second.environments.save(), saved);
    // Each by itself ends and begins anew; here both are acted on alike until the first end.
    for _ in 0..n_steps {
        first.step();
        let (actions, n) = (first.actions.clone(), first.steps.len());
        let mut observations = first.observations.clone();
        let mut steps = vec![super::NOTHING; n];
        second.environments.step(&actions, &mut observations, &mut steps);
        assert_eq!((&observations, &steps), (&first.observations, &first.steps));
        if steps.iter().any(|s| s.terminated || s.truncated) {
            break;
        }
    }
    let mut bent = saved.clone();
    bent.truncate(saved.len() - 8);
    assert!(second.environments.restore(&bent).is_err());
    assert!(second.environments.restore(&saved[3..]).is_err());
}

#[test]
fn rows_and_plants_take_up_where_they_stood() {
    let prepared = of_study("examples/rl_acr/cartpole.twin", "Mpc");
    let rows = || prepared.environments(66).expect("rows");
    goes_on(&mut *rows(), &mut *rows(), 3);
    let prepared = of_study("examples/rl_acr/glucose.twin", "Mpc");
    let plants = || Plants::new(&prepared, 2).expect("plants");
    goes_on(&mut plants(), &mut plants(), 5);
}

#[test]
fn a_controller_takes_up_where_it_stood() {
    let control = control("examples/rl_acr/glucose.twin", "Mpc");
    let prepared = Prepared::of_study(&control, assembled(flat(&control.plant))).expect("an environment");
    let algorithm = &control.algorithms[0];
    let belief = assembled(flat(&control.task_for(algorithm)));
    let coach = Coach::of_study(&control, algorithm, belief).expect("a controller");
    let (mut one, mut other) = (prepared.coached(&coach, 1).expect("fits"), prepared.coached(&coach, 1).expect("fits"));
    let mut first = Run::new(&mut *one);
    (0..4).for_each(|_| first.step());
    let saved = first.environments.save();
    let (mut here, mut there) = ([0.0], [0.0]);
    other.restore(&saved).expect("of the same environment");
    one.advise(&mut here);
    other.advise(&mut there);
    assert_eq!(here, there);
    assert!(here[0] > 0.0);
}

#[test]
fn what_is_kept_of_another_environment_is_refused() {
    let (cartpole, pendulum) = (of_file("examples/gym/cartpole.twin"), of_file("examples/gym/pendulum.twin"));
    let saved = cartpole.environments(2).expect("rows").save();
    let why = pendulum.environments(2).expect("rows").restore(&saved);
    assert!(why.is_err_and(|why| why.contains("another task")));
    assert!(cartpole.environments(3).expect("rows").restore(&saved).is_err());
    assert!(Plants::new(&cartpole, 2).expect("plants").restore(&saved).is_err());
}
