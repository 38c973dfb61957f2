//! The report of a fit: what was found, how sure it is, and how to get it again, as one HTML page without outside parts.
//!
//! The caller fills a [`FitReport`] from the result of a calibration; [`figures`] draws it and [`html()`] writes the page.
//! Numbers are in declared units. Wall-clock facts do not belong here: the same fit gives the same bytes.

mod html;
pub mod learning;
pub mod loops;

use super::plot::{Axis, Figure, Panel, Series, Style};
use super::table::header;

pub use html::html;

/// A finished fit.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FitReport {
    /// The study's name.
    pub study: String,
    /// The model's name.
    pub model: String,
    /// The study's or model's doc; may be empty.
    pub doc: String,
    /// Negative log-likelihood, plus the priors' terms where there are priors.
    pub objective: f64,
    /// What the objective is: `negative log-likelihood` or `negative log-posterior`.
    pub objective_name: String,
    /// Measurements that entered.
    pub n_measurements: usize,
    /// Estimated quantities, in the order of the study.
    pub parameters: Vec<ParameterRow>,
    /// Level of the intervals, between 0 and 1.
    pub level: f64,
    /// What the data determine; `None` where it is not asked for.
    pub identifiability: Option<Identifiability>,
    /// Every start, best first.
    pub starts: Vec<StartRow>,
    /// Data and fitted curves.
    pub fits: Vec<FitCurve>,
    /// What a reader should know first, such as a parameter at its bound; one sentence each.
    pub remarks: Vec<String>,
    /// Settings in force: name and value.
    pub settings: Vec<(String, String)>,
    /// Texts and tables the fit was made from: name and SHA-256.
    pub sources: Vec<(String, String)>,
    /// The command that repeats it.
    pub command: String,
    /// The version of twinc.
    pub version: String,
}

/// What the data determine and what they do not.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Identifiability {
    /// Directions on the search scale along which the objective does not change, such as `+0.71 k1 -0.71 k2`.
    pub combinations: Vec<String>,
    /// Correlations of the estimates on the search scale, row by row, `parameters²`; NaN where not computed.
    pub correlations: Vec<f64>,
}

/// One estimated quantity.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ParameterRow {
    /// Name.
    pub name: String,
    /// Unit; may be empty.
    pub unit: String,
    /// The estimate.
    pub value: f64,
    /// Confidence interval, where there is one.
    pub interval: Option<(f64, f64)>,
    /// Bounds of the search.
    pub bounds: (f64, f64),
    /// True where the search was on the logarithm.
    pub is_log: bool,
    /// As written, such as `LogNormal(median = 1, gsd = 10)`; empty without a prior.
    pub prior: String,
    /// What is wrong with it: `at lower bound`, `not identifiable`; empty where nothing is.
    pub flag: String,
}

/// One start of the search.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StartRow {
    /// Number of the start, from 0.
    pub index: usize,
    /// Where it ended; infinite for a failed start.
    pub objective: f64,
    /// Iterations it took.
    pub n_iterations: usize,
    /// Norm of the gradient at the end, on the search scale.
    pub gradient_norm: f64,
    /// Why it stopped.
    pub reason: String,
}

/// One observable in one experiment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FitCurve {
    /// Name of the experiment; may be empty where there is one only.
    pub experiment: String,
    /// Name of the observable.
    pub observable: String,
    /// Its unit.
    pub unit: String,
    /// Unit of time.
    pub time_unit: String,
    /// Times of the curve.
    pub times: Vec<f64>,
    /// Medians.
    pub values: Vec<f64>,
    /// Where about 95 % of measurements should lie: lower ends, as many as times or none.
    pub low: Vec<f64>,
    /// Upper ends.
    pub high: Vec<f64>,
    /// Measured points: time and value.
    pub data: Vec<(f64, f64)>,
    /// (measured − fitted) / spread at each measured point (in the logarithm for log-normal noise).
    pub residuals: Vec<f64>,
}

/// The report's figures with the names they are stored under: `fit`, `waterfall`, `residuals`.
pub fn figures(report: &FitReport) -> Vec<(&'static str, Figure)> {
    let mut figures = Vec::new();
    if !report.fits.is_empty() {
        figures.push(("fit", fit_figure(report)));
    }
    if report.starts.len() > 1 {
        figures.push(("waterfall", waterfall(report)));
    }
    if report.fits.iter().any(|fit| !fit.residuals.is_empty()) {
        figures.push(("residuals", residual_figure(report)));
    }
    figures
}

fn fit_figure(report: &FitReport) -> Figure {
    let panels: Vec<Panel> = report
        .fits
        .iter()
        .enumerate()
        .map(|(i, fit)| {
            let curve = Series::line("fit", fit.times.clone(), fit.values.clone(), 0);
            let curve =
                if fit.low.len() == fit.times.len() { curve.between(fit.low.clone(), fit.high.clone()) } else { curve };
            let (x, y) = fit.data.iter().copied().unzip();
            let mut data = Series::points("data", x, y, 1);
            let mut curve = curve;
            if i > 0 {
                // One legend explains all panels.
                curve.name.clear();
                data.name.clear();
            }
            let title = match fit.experiment.as_str() {
                "" => fit.observable.clone(),
                experiment => format!("{} · {experiment}", fit.observable),
            };
            Panel {
                title,
                x: Axis::new(header("time", &fit.time_unit)),
                y: Axis::new(header(&fit.observable, &fit.unit)),
                series: vec![curve, data],
            }
        })
        .collect();
    let n_columns = panels.len().min(if panels.len() > 8 { 3 } else { 2 });
    Figure { title: format!("{}: data and fit", report.study), panels, n_columns }
}

fn waterfall(report: &FitReport) -> Figure {
    let mut objectives: Vec<f64> = report.starts.iter().map(|s| s.objective).filter(|o| o.is_finite()).collect();
    objectives.sort_by(f64::total_cmp);
    let best = objectives.first().copied().unwrap_or(0.0);
    let worst = objectives.last().copied().unwrap_or(0.0);
    let at_best: (Vec<f64>, Vec<f64>) = split(&objectives, best, |distance| distance <= NEAR_BEST);
    let others = split(&objectives, best, |distance| distance > NEAR_BEST);
    let n_failed = report.starts.len() - objectives.len();
    let failed = if n_failed > 0 { format!(" ({n_failed} failed)") } else { String::new() };
    let mut series = vec![Series::points("within 0.01 of the best", at_best.0, at_best.1, 2)];
    if !others.0.is_empty() {
        series.push(Series::points("other ends", others.0, others.1, 1));
    }
    let panel = Panel {
        title: String::new(),
        x: Axis { range: Some((0.0, report.starts.len() as f64 + 1.0)), ..Axis::new("start, best first") },
        // At least a decade, so that ends which differ by rounding alone look alike.
        y: Axis {
            is_log: true,
            range: Some((NEAR_BEST / 2.0, (2.0 * (worst - best + NEAR_BEST)).max(10.0 * NEAR_BEST))),
            ..Axis::new("objective − best + 0.01")
        },
        series,
    };
    Figure {
        title: format!("{}: {} starts{failed}", report.study, report.starts.len()),
        panels: vec![panel],
        n_columns: 1,
    }
}

/// Ends whose objective is this near to the best count as the same optimum.
pub const NEAR_BEST: f64 = 0.01;

fn split(objectives: &[f64], best: f64, wanted: impl Fn(f64) -> bool) -> (Vec<f64>, Vec<f64>) {
    let chosen = objectives.iter().enumerate().filter(|(_, o)| wanted(*o - best));
    chosen.map(|(rank, o)| (rank as f64 + 1.0, o - best + NEAR_BEST)).unzip()
}

fn residual_figure(report: &FitReport) -> Figure {
    let mut names: Vec<&str> = Vec::new();
    for fit in &report.fits {
        if !names.contains(&fit.observable.as_str()) {
            names.push(&fit.observable);
        }
    }
    let series: Vec<Series> = names
        .iter()
        .enumerate()
        .map(|(color, name)| {
            let fits = report.fits.iter().filter(|fit| fit.observable == *name);
            let (x, y) = fits.flat_map(|fit| fit.data.iter().map(|d| d.0).zip(fit.residuals.iter().copied())).unzip();
            Series::points(*name, x, y, color)
        })
        .collect();
    let times = || series.iter().flat_map(|s| s.x.iter().copied());
    let (first, last) = (times().fold(f64::INFINITY, f64::min), times().fold(f64::NEG_INFINITY, f64::max));
    let mut all: Vec<Series> = [-2.0, 0.0, 2.0]
        .iter()
        .map(|&level| Series { style: Style::Dashed, ..Series::line("", vec![first, last], vec![level, level], 7) })
        .collect();
    all.extend(series);
    let unit = report.fits.first().map_or("", |fit| fit.time_unit.as_str());
    let panel = Panel {
        title: String::new(),
        x: Axis::new(header("time", unit)),
        y: Axis::new("(data − fit) / spread"),
        series: all,
    };
    Figure { title: format!("{}: residuals", report.study), panels: vec![panel], n_columns: 1 }
}
