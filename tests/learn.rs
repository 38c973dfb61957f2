//! Learning: what it costs to act.

use twinc::decide::Policy;
use twinc::learn::network::{Activation, Init, Mlp};
use twinc::learn::policy::Squashed;
use twinc::learn::scales::Scales;
use twinc::random::stream;

use crate::integrate::allocations;

#[test]
fn acting_does_not_allocate() {
    let space =
        |n: usize| twinc::decide::Space { names: vec![String::new(); n], low: vec![-2.0; n], high: vec![2.0; n] };
    let net = Mlp::new(&[3, 256, 256, 4], Activation::Relu, Init::Torch, &mut stream(1, 0));
    let mut policy = Squashed::new(net, Scales::new(&space(3), &space(2), true));
    let mut action = [0.0; 2];
    let before = allocations();
    for k in 0..10 {
        policy.act(&[0.1 * f64::from(k), 0.2, -0.3], &mut action);
    }
    assert_eq!(allocations() - before, 0);
    assert!(action.iter().all(|a| a.abs() <= 2.0 && *a != 0.0));
}
