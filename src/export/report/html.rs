//! The page itself. Every name that comes from a user is escaped.

use super::{FitReport, Identifiability, NEAR_BEST, ParameterRow, figures};
use crate::export::plot::{escape, svg};
use std::fmt::Write;

/// Matrices of more estimates are not shown: nobody reads them.
const LARGEST_MATRIX: usize = 30;
/// From here on the cells of a matrix are small, so that it fits the page.
const DENSE_FROM: usize = 14;

/// The report as a complete HTML document.
pub fn html(report: &FitReport) -> String {
    let mut out = String::new();
    let title = format!("{} — fit of {}", report.study, report.model);
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{}</title>\n\
         <style>{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{}</h1>\n",
        escape(&title),
        escape(&title),
    );
    if !report.doc.is_empty() {
        let _ = writeln!(out, "<p class=\"doc\">{}</p>", prose(&report.doc));
    }
    facts(&mut out, report);
    if !report.remarks.is_empty() {
        out.push_str("<div class=\"remarks\"><h2>To be noted</h2>\n<ul>\n");
        for remark in &report.remarks {
            let _ = writeln!(out, "<li>{}</li>", prose(remark));
        }
        out.push_str("</ul></div>\n");
    }
    let figures = figures(report);
    let figure = |out: &mut String, name: &str, words: &str| {
        if let Some((_, drawing)) = figures.iter().find(|(n, _)| *n == name) {
            let _ = writeln!(out, "<figure>\n{}<figcaption>{words}</figcaption>\n</figure>", svg(drawing));
        }
    };
    out.push_str("<h2>Data and fit</h2>\n");
    figure(&mut out, "fit", "Line: fitted median. Band: where about 95 % of measurements should lie. Points: data.");
    out.push_str("<h2>Parameters</h2>\n");
    parameters(&mut out, report);
    if let Some(found) = &report.identifiability {
        identifiability(&mut out, report, found);
    }
    out.push_str("<h2>Starts</h2>\n");
    figure(
        &mut out,
        "waterfall",
        "Where each start ended, sorted. A flat step at the left that many starts share speaks for a global optimum.",
    );
    starts(&mut out, report);
    if figures.iter().any(|(name, _)| *name == "residuals") {
        out.push_str("<h2>Residuals</h2>\n");
        figure(
            &mut out,
            "residuals",
            "Without pattern and mostly between the dashed lines if model and noise fit the data.",
        );
    }
    reproduce(&mut out, report);
    out.push_str("</main>\n</body>\n</html>\n");
    out
}

fn facts(out: &mut String, report: &FitReport) {
    let n_parameters = report.parameters.len();
    let n_best = report.starts.iter().filter(|start| start.objective - report.objective <= NEAR_BEST).count();
    let mut items = vec![
        (report.objective_name.clone(), number(report.objective)),
        ("measurements".into(), report.n_measurements.to_string()),
        ("estimated".into(), n_parameters.to_string()),
        ("starts at the best".into(), format!("{n_best} of {}", report.starts.len())),
    ];
    if report.objective_name == "negative log-likelihood" {
        let k = n_parameters as f64;
        items.push(("AIC".into(), number(2.0 * report.objective + 2.0 * k)));
        items.push(("BIC".into(), number(2.0 * report.objective + k * (report.n_measurements.max(1) as f64).ln())));
    }
    out.push_str("<dl class=\"facts\">\n");
    for (name, value) in items {
        let _ = writeln!(out, "<div><dt>{}</dt><dd>{}</dd></div>", escape(&name), escape(&value));
    }
    out.push_str("</dl>\n");
}

fn parameters(out: &mut String, report: &FitReport) {
    // Columns in which nothing stands are left out.
    let has_priors = report.parameters.iter().any(|row| !row.prior.is_empty());
    let has_flags = report.parameters.iter().any(|row| !row.flag.is_empty());
    let cell = |is_shown: bool, words: &str| {
        if is_shown { format!("<td class=\"t\">{}</td>", escape(words)) } else { String::new() }
    };
    let _ = write!(
        out,
        "<div class=\"wide\"><table>\n<thead><tr><th>name</th><th>unit</th><th class=\"n\">estimate</th>\
         <th class=\"n\">{} % interval</th><th>in the bounds</th><th class=\"n\">bounds</th><th>scale</th>{}{}</tr></thead>\n\
         <tbody>\n",
        number(100.0 * report.level),
        if has_priors { "<th>prior</th>" } else { "" },
        if has_flags { "<th>flag</th>" } else { "" },
    );
    for row in &report.parameters {
        let interval = match row.interval {
            Some((low, high)) => format!("{} … {}", number(low), number(high)),
            None => "—".into(),
        };
        let _ = writeln!(
            out,
            "<tr{}><th scope=\"row\">{}</th><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td>{}</td>\
             <td class=\"n\">{} … {}</td><td>{}</td>{}{}</tr>",
            if row.flag.is_empty() { "" } else { " class=\"flagged\"" },
            escape(&row.name),
            escape(&row.unit),
            number(row.value),
            interval,
            gauge(row),
            number(row.bounds.0),
            number(row.bounds.1),
            if row.is_log { "log" } else { "linear" },
            cell(has_priors, &row.prior),
            cell(has_flags, &row.flag),
        );
    }
    out.push_str("</tbody>\n</table></div>\n");
    out.push_str(
        "<p class=\"small\">Intervals come from the Fisher information at the optimum (Wald, on the search scale).</p>\n",
    );
}

/// Escaped text in which what stands between backticks is code.
pub(super) fn prose(text: &str) -> String {
    let mut out = String::new();
    let parts: Vec<&str> = text.split('`').collect();
    for (i, part) in parts.iter().enumerate() {
        let part = escape(part);
        match i % 2 {
            0 => out.push_str(&part),
            // A backtick without a partner is only a backtick.
            _ if i + 1 == parts.len() => {
                let _ = write!(out, "`{part}");
            }
            _ => {
                let _ = write!(out, "<code>{part}</code>");
            }
        }
    }
    out
}

/// A small bar that shows estimate and interval between the bounds, on the search scale.
fn gauge(row: &ParameterRow) -> String {
    let place = |value: f64| {
        let (value, low, high) = if row.is_log {
            (value.ln(), row.bounds.0.ln(), row.bounds.1.ln())
        } else {
            (value, row.bounds.0, row.bounds.1)
        };
        let fraction = (value - low) / (high - low);
        fraction.is_finite().then(|| fraction.clamp(0.0, 1.0) * 90.0 + 5.0)
    };
    let Some(at) = place(row.value) else { return String::new() };
    let mut out = String::from(
        "<svg class=\"gauge\" width=\"100\" height=\"14\" viewBox=\"0 0 100 14\" aria-hidden=\"true\">\
         <path class=\"tw-axis\" d=\"M5 7L95 7M5 3L5 11M95 3L95 11\" stroke=\"#9aa0a6\" fill=\"none\"/>",
    );
    if let Some((low, high)) = row.interval {
        let (low, high) = (place(low).unwrap_or(5.0), place(high).unwrap_or(95.0));
        let _ = write!(out, "<path d=\"M{low:.1} 7L{high:.1} 7\" stroke=\"#56b4e9\" stroke-width=\"6\"/>");
    }
    let _ = write!(out, "<circle cx=\"{at:.1}\" cy=\"7\" r=\"3.5\" fill=\"#0072b2\"/></svg>");
    out
}

fn identifiability(out: &mut String, report: &FitReport, found: &Identifiability) {
    out.push_str("<h2>Identifiability</h2>\n");
    if found.combinations.is_empty() {
        out.push_str("<p>The data determine every estimate that is not at a bound, near the optimum.</p>\n");
    } else {
        out.push_str("<p>The data do not determine these combinations (on the search scale):</p>\n<ul>\n");
        for combination in &found.combinations {
            let _ = writeln!(out, "<li><code>{}</code></li>", escape(combination));
        }
        out.push_str("</ul>\n");
    }
    correlations(out, report, &found.correlations);
}

fn correlations(out: &mut String, report: &FitReport, correlations: &[f64]) {
    let n = report.parameters.len();
    if correlations.len() != n * n {
        return;
    }
    // Estimates that a bound holds have no correlations.
    let free: Vec<usize> = (0..n).filter(|&i| correlations[i * n + i].is_finite()).collect();
    if !(2..=LARGEST_MATRIX).contains(&free.len()) {
        return;
    }
    let dense = if free.len() > DENSE_FROM { " dense" } else { "" };
    let _ = write!(
        out,
        "<h3>Correlations of the estimates</h3>\n<div class=\"wide\"><table class=\"matrix{dense}\">\n<thead><tr><th></th>",
    );
    for &j in &free {
        let _ = write!(out, "<th class=\"up\"><span>{}</span></th>", escape(&report.parameters[j].name));
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for &i in &free {
        let _ = write!(out, "<tr><th scope=\"row\">{}</th>", escape(&report.parameters[i].name));
        for &j in &free {
            let value = correlations[i * n + j];
            if value.is_finite() {
                let color = if value < 0.0 { "213,94,0" } else { "0,114,178" };
                let strength = value.abs().min(1.0) * 0.55;
                let _ = write!(out, "<td class=\"n\" style=\"background:rgba({color},{strength:.2})\">{value:.2}</td>");
            } else {
                out.push_str("<td class=\"n\">—</td>");
            }
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody>\n</table></div>\n");
    if free.len() < n {
        out.push_str("<p class=\"small\">Estimates at a bound are left out.</p>\n");
    }
}

fn starts(out: &mut String, report: &FitReport) {
    let _ = write!(
        out,
        "<details{}><summary>All {} starts</summary>\n<div class=\"wide\"><table>\n<thead><tr><th class=\"n\">rank</th>\
         <th class=\"n\">start</th><th class=\"n\">objective</th><th class=\"n\">iterations</th>\
         <th class=\"n\">gradient norm</th><th>stopped because</th></tr></thead>\n<tbody>\n",
        if report.starts.len() <= 12 { " open" } else { "" },
        report.starts.len(),
    );
    for (rank, start) in report.starts.iter().enumerate() {
        let objective = if start.objective.is_finite() { number(start.objective) } else { "failed".into() };
        let gradient = if start.gradient_norm.is_finite() { number(start.gradient_norm) } else { "—".into() };
        let _ = writeln!(
            out,
            "<tr><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{objective}</td><td class=\"n\">{}</td>\
             <td class=\"n\">{gradient}</td><td class=\"t\">{}</td></tr>",
            rank + 1,
            start.index,
            start.n_iterations,
            prose(&start.reason),
        );
    }
    out.push_str("</tbody>\n</table></div>\n</details>\n");
}

fn reproduce(out: &mut String, report: &FitReport) {
    let _ = write!(
        out,
        "<h2>How to get this again</h2>\n<p>twinc {}; the same sources, seed and version give the same bytes.</p>\n\
         <pre>{}</pre>\n<div class=\"wide\"><table>\n<thead><tr><th>source</th><th>SHA-256</th></tr></thead>\n<tbody>\n",
        escape(&report.version),
        escape(&report.command),
    );
    for (name, hash) in &report.sources {
        let _ = writeln!(out, "<tr><th scope=\"row\">{}</th><td><code>{}</code></td></tr>", escape(name), escape(hash));
    }
    out.push_str("</tbody>\n</table></div>\n<h3>Settings</h3>\n<div class=\"wide\"><table>\n<tbody>\n");
    for (name, value) in &report.settings {
        let _ = writeln!(out, "<tr><th scope=\"row\">{}</th><td>{}</td></tr>", escape(name), escape(value));
    }
    out.push_str("</tbody>\n</table></div>\n");
}

/// Six significant digits: enough for a reader; the exact numbers stand in `result.json`.
pub(super) fn number(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return match value {
            v if v == f64::INFINITY => "∞".into(),
            v if v == f64::NEG_INFINITY => "−∞".into(),
            v if v.is_nan() => "—".into(),
            _ => "0".into(),
        };
    }
    let power = value.abs().log10().floor() as i32;
    let text = if (-4..7).contains(&power) {
        format!("{value:.*}", (5 - power).max(0) as usize)
    } else {
        format!("{value:.5e}")
    };
    match text.split_once('e') {
        Some((mantissa, power)) => format!("{}e{power}", trimmed(mantissa)),
        None => trimmed(&text).to_string(),
    }
}

fn trimmed(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

pub(super) const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1c2024; --soft: #5c6470; --line: #dfe2e6; --page: #ffffff; --tint: #f5f7f9; --warn: #fff4e5 }
@media screen and (prefers-color-scheme: dark) { :root { --ink: #e4e6e8; --soft: #9aa3ad; --line: #31363b; --page: #14171a; --tint: #1c2125; --warn: #33260f } }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif }
main { max-width: 66rem; margin: 0 auto; padding: 2rem 1.25rem 4rem }
h1 { font-size: 1.5rem; margin: 0 0 .25rem } h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem } h3 { font-size: 1rem; margin: 1.4rem 0 .4rem }
.doc, .small, figcaption { color: var(--soft) } .small, figcaption { font-size: .87rem }
.facts { display: flex; flex-wrap: wrap; gap: .6rem; margin: 1.2rem 0 } .facts div { background: var(--tint); border: 1px solid var(--line); border-radius: 6px; padding: .45rem .8rem }
.facts dt { color: var(--soft); font-size: .8rem } .facts dd { margin: 0; font-size: 1.1rem; font-variant-numeric: tabular-nums }
.remarks { background: var(--warn); border: 1px solid var(--line); border-radius: 6px; padding: .2rem 1rem } .remarks h2 { margin: .6rem 0 0; font-size: 1rem }
figure { margin: 0 } figure svg { max-width: 100%; height: auto }
.wide { overflow-x: auto } table { border-collapse: collapse; font-size: .87rem } th, td { text-align: left; padding: .28rem .7rem .28rem 0; border-bottom: 1px solid var(--line); vertical-align: middle; white-space: nowrap }
tbody th, .t { white-space: normal; overflow-wrap: anywhere } code { overflow-wrap: anywhere; white-space: normal }
thead th { color: var(--soft); font-weight: 500 } tbody th { font-weight: 600 } .n { text-align: right; font-variant-numeric: tabular-nums } .flagged { background: var(--warn) }
.matrix td, .matrix th { padding: .2rem .45rem } .up { vertical-align: bottom } .up span { writing-mode: vertical-rl; transform: rotate(180deg); display: inline-block }
.dense { font-size: .66rem } .dense td, .dense th { padding: .12rem .2rem } pre { white-space: pre-wrap; overflow-wrap: anywhere; background: var(--tint); border: 1px solid var(--line); border-radius: 6px; padding: .7rem 1rem; overflow-x: auto } summary { cursor: pointer }
@media print { main { max-width: none; padding: 0 } figure, table, tr { break-inside: avoid } h2 { break-after: avoid } .wide { overflow: visible } details > * { display: block } }
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::report::{FitCurve, StartRow};

    fn report() -> FitReport {
        FitReport {
            study: "Fit<b>".into(),
            model: "M&M".into(),
            objective: 138.222,
            objective_name: "negative log-likelihood".into(),
            n_measurements: 48,
            parameters: vec![ParameterRow {
                name: "k\"1".into(),
                value: 0.5,
                bounds: (1e-5, 1e5),
                is_log: true,
                ..ParameterRow::default()
            }],
            starts: vec![
                StartRow { objective: 138.222, ..StartRow::default() },
                StartRow { index: 1, objective: f64::INFINITY, reason: "<x>".into(), ..StartRow::default() },
            ],
            fits: vec![FitCurve {
                observable: "y<y>".into(),
                times: vec![0.0, 1.0],
                values: vec![1.0, 2.0],
                data: vec![(0.5, 1.4)],
                residuals: vec![0.3],
                ..FitCurve::default()
            }],
            command: "twinc calibrate a.twin && <evil>".into(),
            ..FitReport::default()
        }
    }

    #[test]
    fn escapes_every_name() {
        let text = html(&report());
        for bad in ["Fit<b>", "M&M", "k\"1", "<x>", "y<y>", "<evil>"] {
            assert!(!text.contains(bad), "{bad}");
        }
    }

    #[test]
    fn backticks_become_code() {
        assert_eq!(prose("`k<1` and `S` end ` here"), "<code>k&lt;1</code> and <code>S</code> end ` here");
        assert_eq!(prose("plain"), "plain");
    }

    /// Estimates at bounds have no row; without priors and flags there are no such columns.
    #[test]
    fn leaves_out_what_says_nothing() {
        let nan = f64::NAN;
        let correlations = vec![1.0, nan, -0.5, nan, nan, nan, -0.5, nan, 1.0];
        let row = |name: &str| ParameterRow { name: name.into(), bounds: (0.0, 1.0), ..ParameterRow::default() };
        let report = FitReport {
            parameters: vec![row("first"), row("held"), row("last")],
            identifiability: Some(Identifiability { combinations: vec!["+0.71 a -0.71 b".into()], correlations }),
            ..report()
        };
        let text = html(&report);
        let matrix = &text[text.find("class=\"matrix\"").expect("a matrix")..];
        let matrix = &matrix[..matrix.find("</table>").expect("its end")];
        assert!(matrix.contains("first") && matrix.contains("-0.50") && !matrix.contains("held"), "{matrix}");
        assert!(!text.contains("<th>prior</th>") && !text.contains("<th>flag</th>"));
        assert!(text.contains("<li><code>+0.71 a -0.71 b</code></li>"));
        assert!(!html(&FitReport { identifiability: None, ..report }).contains("Identifiability"));
    }

    #[test]
    fn loads_nothing_from_outside() {
        let text = html(&report()).replace("http://www.w3.org/2000/svg", "");
        for bad in ["http:", "https:", "src=", "<link", "<script", "@import", "url("] {
            assert!(!text.contains(bad), "{bad}");
        }
    }

    #[test]
    fn numbers_have_six_digits() {
        assert_eq!(number(138.22197), "138.222");
        assert_eq!(number(1e-5), "1e-5");
        assert_eq!(number(123456789.0), "1.23457e8");
        assert_eq!(number(0.5), "0.5");
        assert_eq!(number(100000.0), "100000");
    }
}
