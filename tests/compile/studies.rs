//! Studies: what their statements mean in the units of the model.

use twinc::diag::Diagnostics;
use twinc::flat::{Variation, flatten};
use twinc::hir::study::BindTarget;

use super::read;

const MODEL: &str = "model M {\n time [min]\n param k [1/min] = 0.1 in 1e-3 .. 1\n state { G [mg/dL] = 100; T [degC] = 20 }\n \
    input u [mg/dL/min] = 0\n disturbance d [mg/dL/min] = 0\n G' = -k*G + u + d\n T' = 0\n \
    observe y [mg/dL] = G ~ Normal(sd = 5)\n observe z [degC] = T ~ Normal(sd = 0.1) }\n";

#[test]
fn columns_are_converted() {
    let checked = read(&format!(
        "{MODEL}study F of M {{ data \"a.csv\" by run {{ time <- t [h]; y <- g [mmol/L] times 180.16 [g/mol]; z <- T [K]\n \
         G <- g0 [g/L] initial; k <- k [1/s]; u <- u [mg/dL/h] linear }} }}"
    ));
    assert_eq!(checked.codes(), Vec::<&str>::new(), "{}", checked.shown());
    let data = &checked.module.studies[0].experiments[0].data[0];
    assert_eq!(data.by.as_ref().map(|b| b.0.as_str()), Some("run"));
    let list: Vec<(f64, f64)> = data.bindings.iter().map(|b| (b.factor, b.offset)).collect();
    let expected = [(60.0, 0.0), (18.016, 0.0), (1.0, -273.15), (100.0, 0.0), (60.0, 0.0), (1.0 / 60.0, 0.0)];
    for ((f, o), (ef, eo)) in list.iter().zip(expected) {
        assert!((f - ef).abs() < 1e-12 * ef && (o - eo).abs() < 1e-9, "{list:?}");
    }
    assert_eq!(data.bindings[0].target, BindTarget::Time);
    assert!(data.bindings[3].is_initial && data.bindings[5].is_linear);
}

#[test]
fn starts_and_events_of_experiments_stand_beside_those_of_the_study() {
    let checked = read(&format!(
        "{MODEL}study F of M {{ start G = 1 [g/L]; start k = 6 [1/h]\n at 1 [h] {{ G += 5 }}\n \
         experiment e {{ start G = 50; at 30 [min] {{ k *= 2 }} }} }}"
    ));
    assert_eq!(checked.codes(), Vec::<&str>::new(), "{}", checked.shown());
    let study = &checked.module.studies[0];
    let e = &study.experiments[0];
    let starts: Vec<_> = study.starts.iter().chain(&e.starts).cloned().collect();
    let events: Vec<_> = study.events.iter().chain(&e.events).cloned().collect();
    let mut diagnostics = Diagnostics::default();
    let flat = flatten(&study.model, &Variation { starts: &starts, events: &events }, &mut diagnostics).expect("flat");
    // The experiment's start is the last word; `k` is now changed by events, and starts from its parameter.
    let g = flat.states.iter().find(|s| s.quantity.name == "G").expect("G");
    assert_eq!(flat.dag.as_const(g.initial), Some(50.0));
    assert_eq!(flat.params[0].value, 0.1);
    assert!(flat.states.iter().any(|s| s.quantity.name == "k" && s.is_discrete));
    let times: Vec<_> = flat.times.iter().filter_map(|t| flat.dag.as_const(*t)).collect();
    assert_eq!(times, [60.0, 30.0]);
}

#[test]
fn estimates_sweeps_and_runs_are_in_the_models_units() {
    let checked = read(&format!(
        "{MODEL}study F of M {{ estimate k in 0.6 [1/h] .. 2 ~ LogNormal(median = 6 [1/h], gsd = 3)\n estimate y.sd in 1 .. 20\n estimate G log\n \
         simulate {{ until = 2 [h]; output = 30 [s]; step 1 [min] via euler; hold d; u <- \"u.csv\" [mg/dL/h] }}\n \
         sweep k in 0.01 .. 1 log {{ points = 3 }}\n sweep T in [293.15 [K], 30] }}"
    ));
    assert_eq!(checked.codes(), Vec::<&str>::new(), "{}", checked.shown());
    let study = &checked.module.studies[0];
    let k = &study.estimates[0];
    assert!((k.low.unwrap() - 0.01).abs() < 1e-15 && k.high == Some(2.0));
    assert!((k.prior.unwrap().args[0].unwrap() - 0.1).abs() < 1e-15);
    assert_eq!(study.estimates[2].is_log_scale, Some(true));
    let run = study.simulate.as_ref().expect("simulate");
    assert_eq!((run.until, run.output, run.step), (Some(120.0), Some(0.5), Some(1.0)));
    assert_eq!(run.hold.len(), 1);
    assert!((run.forcing[0].bindings[1].factor - 1.0 / 60.0).abs() < 1e-16);
    let values: Vec<f64> = study.sweeps[0].values.clone();
    assert!(values.iter().zip([0.01, 0.1, 1.0]).all(|(a, b)| (a - b).abs() < 1e-12), "{values:?}");
    assert!(study.sweeps[1].values.iter().zip([20.0, 30.0]).all(|(a, b)| (a - b).abs() < 1e-9));
}

#[test]
fn what_later_versions_bring_is_refused_once_per_statement() {
    let text = "\
port Fluid { across p [bar]; flow q [L/s] }
model Tank { time [s]; port bottom of Fluid; param area [m^2] = 0.5; state h [m] = 1 in 0 .. 3
  h' = bottom.q/area; eq bottom.p = rho_water*g_n*h }
model Two { time [s]; part t1 = Tank(h = 2 [m]); connect t1.bottom to t2.bottom; var z [1] guess 1
  observe level [m] = t1.h ~ Normal(sd = 0.01); state s [1] = 0; s' = z + z2*f(s, z); var { z2 [1/s] guess 2 } }
study Calm of Two { estimate z in 0 .. 1; simulate { until = 9 } }
twin reactor of Tank { source mqtt \"a\" { h <- \"b\" [m] }; filter ukf { every = 5 [s] } }
net f(S, u) [uM/s] { hidden = [16, 16] }
";
    let checked = read(text);
    let codes = checked.codes();
    assert!(codes.iter().all(|c| *c == "E0901"), "{}", checked.shown());
    let words: Vec<&str> = checked.diagnostics.iter().map(|d| checked.sources.slice(d.span())).collect();
    let expected = ["port", "port", "eq", "part", "connect", "var", "var", "twin", "net"];
    assert_eq!(words, expected, "{}", checked.shown());
}

#[test]
fn the_examples_of_the_language_load() {
    // The model parts of the design's examples (a), (d), (e) and (g), as users write them.
    for text in [
        "model MichaelisMenten \"E + S <-> ES -> E + P\" {\n  time [s]; species { E [uM] = 0.5; S [uM] = 10; ES [uM] = 0; P [uM] = 0 }\n  param {\n    kon  [1/(uM*s)] = 1.0 in 1e-3 .. 1e3 ~ LogNormal(median = 1, gsd = 10)\n    koff [1/s] = 0.5 in 1e-3 .. 1e2;  kcat [1/s] = 0.3 in 1e-3 .. 1e2 \"turnover\"\n  }\n  reaction {\n    bind: E + S <-> ES @ kon, koff      # @ = mass action: constants only\n    cat:  ES -> E + P  @ kcat\n  }\n  conserved E + ES\n  let Km [uM] = (koff + kcat)/kon\n  observe P_obs [uM] = P ~ Normal(sd = 0.2 [uM] + 0.05*P)\n}\nstudy FitMM of MichaelisMenten {\n  data \"data/progress.csv\" by run {\n    time <- t_min [min]; P_obs <- product [mM]; S <- s0 [uM] initial\n  }\n  experiment inhibited { data \"data/inhibitor.csv\" { time <- t [s]; P_obs <- p [uM] }\n    start S = 20 [uM];  at 60 [s] { kcat *= 0.5 } }\n  estimate kcat in 0.01 .. 10 ~ LogNormal(median = 0.3, gsd = 3)\n  estimate kon, koff\n  fit trust_region { starts = 24; tolerance = 1e-8 };  report { profiles = true; identifiability = true }\n}",
        "model CartPole {\n  time [s]; input f [N] = 0 in -10 .. 10\n  param { m_c [kg] = 1 in 0.5 .. 2; m_p [kg] = 0.1 in 0.05 .. 0.5; l [m] = 0.5 in 0.3 .. 1 }\n  state { x [m] = 0; v [m/s] = 0; th [rad] = 6 [deg]; w [rad/s] = 0 }\n  let a = (f + m_p*l*w^2*sin(th))/(m_c + m_p)\n  let b = (g_n*sin(th) - cos(th)*a)/(l*(4/3 - m_p*cos(th)^2/(m_c + m_p)))\n  x' = v; v' = a - m_p*l*b*cos(th)/(m_c + m_p); th' = w; w' = b;  safe rail: abs(x) <= 2.4 [m]; safe tilt: abs(th) <= 12 [deg]\n}",
        "model OralPK { time [h]; state { gut [mg] = 0; central [mg] = 0 }\n  param { ka [1/h] = 1.1; CL [L/h] = 4.2 ~ LogNormal(median = 4.2, gsd = 1.3); V [L] = 30 }\n  gut' = -ka*gut; central' = ka*gut - CL/V*central\n  let C [mg/L] = central/V;  observe plasma [mg/L] = C ~ LogNormal(gsd = 1.2) }\nstudy TwiceDaily of OralPK { simulate { until = 72 [h]; output = 0.25 [h]; draws = 200 }\n  every 12 [h] from 0 [h] until 48 [h] { gut += 100 [mg] }\n  at 30 [h] { central += 50 [mg] };  when C > 12 [mg/L] { CL := 1.5*CL } }",
    ] {
        let checked = read(text);
        assert_eq!(checked.codes(), Vec::<&str>::new(), "{}", checked.shown());
    }
}

/// Wherever a word of a later version stands, exactly one thing is said of it.
#[test]
fn a_word_of_a_later_version_is_refused_once_in_every_place() {
    use twinc::syntax::words::{Context, Subject, WORDS};
    let mut n = 0;
    for word in WORDS.iter().filter(|w| WORDS.iter().all(|other| other.word != w.word || !other.supported)) {
        let written = match word.subject {
            Subject::None => word.word.to_string(),
            Subject::Name | Subject::OptionalName | Subject::Expr => format!("{} zz", word.word),
            Subject::Names | Subject::Exprs => format!("{} zz, yy", word.word),
            Subject::Call => format!("{} zz(a)", word.word),
            Subject::Condition => format!("{} zz: k > 1 [1/min]", word.word),
            Subject::Text | Subject::Reaction => format!("{} \"zz\"", word.word),
        };
        for block in ["", " {\n  hidden = 3\n}"] {
            let written = format!("{written}{block}");
            for (context, text) in [
                (Context::File, format!("{written}\n{MODEL}")),
                (Context::Model, MODEL.replace(" T' = 0\n", &format!(" T' = 0\n{written}\n"))),
                (Context::Study, format!("{MODEL}study F of M {{\n{written}\n}}")),
                (Context::Experiment, format!("{MODEL}study F of M {{ experiment e {{\n{written}\n}} }}")),
                (Context::Simulate, format!("{MODEL}study F of M {{ simulate {{\n{written}\n}} }}")),
            ] {
                // `task T {` inside of a model means that the model was not closed before it.
                if word.word == "twin" && !block.is_empty() && context != Context::File {
                    continue;
                }
                let checked = read(&text);
                assert_eq!(checked.codes(), ["E0901"], "`{written}` {}:\n{}", context.phrase(), checked.shown());
                n += 1;
            }
        }
    }
    assert!(n > 150, "{n} places");
}

/// A word of this version that stands elsewhere is told where it belongs.
#[test]
fn a_word_in_the_wrong_place_is_told_where_it_belongs() {
    for (statement, home) in [
        ("step 1 [min]", "it stands inside `simulate`"),
        ("estimate k", "it stands inside a study"),
        ("start G = 1", "it stands inside a study or inside an experiment"),
    ] {
        let checked = read(&MODEL.replace(" T' = 0\n", &format!(" T' = 0\n {statement}\n")));
        assert_eq!(checked.codes(), ["E0208"], "{}", checked.shown());
        assert!(checked.shown().contains(home), "{}", checked.shown());
    }
}
