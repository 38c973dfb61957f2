//! cli
#[test]
fn tmp_draw() {
    use twinc::export::{plot::*, report::*, table::*};
    let t: Vec<f64> = (0..200).map(|i| i as f64 * 0.3).collect();
    let f = |k: f64| t.iter().map(|t| 10.0 * (1.0 - (-k * t).exp())).collect::<Vec<f64>>();
    let mut fits = Vec::new();
    for (e, k) in [("control", 0.1), ("inhibited", 0.04), ("rescue", 0.07)] {
        let v = f(k);
        fits.push(FitCurve {
            experiment: e.into(),
            observable: "product".into(),
            unit: "uM".into(),
            time_unit: "min".into(),
            times: t.clone(),
            low: v.iter().map(|v| v - 0.5).collect(),
            high: v.iter().map(|v| v + 0.5).collect(),
            data: (0..12)
                .map(|i| {
                    let x = i as f64 * 5.0;
                    (x, 10.0 * (1.0 - (-k * x).exp()) + 0.3 * (x * 7.0).sin())
                })
                .collect(),
            residuals: (0..12).map(|i| (i as f64 * 35.0).sin() * 1.3).collect(),
            values: v,
        });
    }
    let r = FitReport {
        study: "FitMM".into(),
        model: "MichaelisMenten".into(),
        doc: "E + S <-> ES -> E + P".into(),
        objective: 138.22197,
        objective_name: "negative log-likelihood".into(),
        n_measurements: 36,
        parameters: vec![
            ParameterRow {
                name: "kcat".into(),
                unit: "1/s".into(),
                value: 0.2951,
                interval: Some((0.21, 0.41)),
                bounds: (1e-3, 1e2),
                is_log: true,
                prior: "LogNormal(median = 0.3, gsd = 3)".into(),
                flag: "".into(),
            },
            ParameterRow {
                name: "kon".into(),
                unit: "1/(uM*s)".into(),
                value: 1e3,
                interval: Some((0.021, 1e6)),
                bounds: (1e-3, 1e3),
                is_log: true,
                prior: "".into(),
                flag: "at upper bound; not identifiable".into(),
            },
            ParameterRow {
                name: "product.sd".into(),
                unit: "uM".into(),
                value: 0.31,
                interval: None,
                bounds: (0.0, 1.0),
                is_log: false,
                ..Default::default()
            },
        ],
        correlations: vec![1.0, 0.83, -0.1, 0.83, 1.0, -0.55, -0.1, -0.55, 1.0],
        starts: (0..40)
            .map(|i| StartRow {
                index: (i * 7) % 40,
                objective: if i < 14 {
                    138.222
                } else if i < 30 {
                    147.54
                } else if i < 38 {
                    150.0 + (i as f64).powi(3)
                } else {
                    f64::INFINITY
                },
                n_iterations: 20 + i,
                gradient_norm: 1e-5,
                reason: "gradient below tolerance".into(),
            })
            .collect(),
        fits,
        remarks: vec!["`kon` ended at its upper bound 1000 1/(uM*s); widen `in` or fix it".into()],
        settings: vec![("starts".into(), "40".into()), ("seed".into(), "1".into())],
        sources: vec![("mm.twin".into(), twinc::export::hash::sha256(b"x"))],
        command: "twinc calibrate mm.twin:FitMM".into(),
        version: "0.1.0".into(),
    };
    std::fs::write("/tmp/r.html", html(&r)).unwrap();
    for (n, f) in figures(&r) {
        std::fs::write(format!("/tmp/p_{n}.svg"), svg(&f)).unwrap();
    }
    let table = Table {
        columns: vec![
            Column { name: "time".into(), unit: "h".into(), values: t.clone() },
            Column { name: "T_R".into(), unit: "degC".into(), values: f(0.1).iter().map(|v| v + 130.0).collect() },
            Column { name: "T_K".into(), unit: "degC".into(), values: f(0.05).iter().map(|v| v + 128.0).collect() },
            Column { name: "C_a".into(), unit: "mol/L".into(), values: f(0.2).iter().map(|v| v * 1e-7).collect() },
        ],
    };
    std::fs::write("/tmp/p_sim.svg", svg(&by_unit("CSTR", &table))).unwrap();
}
