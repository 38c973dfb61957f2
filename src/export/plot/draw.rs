//! From a figure to SVG text: places panels, legends, axes and marks in user units of one pixel.

use super::ticks::{self, Tick};
use super::{Axis, Figure, Panel, Series, Style};
use std::fmt::Write;

/// Okabe and Ito's colors without black and yellow, which vanish on one of the two backgrounds.
const COLORS: [&str; 8] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a7cc2", "#8c8c8c"];
const DASHES: [&str; 3] = ["", "7 3", "2 3"];
const FONT: f64 = 12.0;
/// Average width of a letter of the sans-serif fonts at [`FONT`], measured generously.
const LETTER: f64 = 6.6;
const LEGEND_ROW: f64 = 17.0;
/// Lines with more points than this are thinned to the extremes of each column of pixels.
const MANY_POINTS: usize = 3000;

/// The figure as a complete SVG document.
pub fn svg(figure: &Figure) -> String {
    let n_columns = figure.n_columns.clamp(1, figure.panels.len().max(1));
    let (width, height) = match n_columns {
        1 => (720.0, 330.0),
        2 => (440.0, 290.0),
        _ => (330.0, 250.0),
    };
    let top = if figure.title.is_empty() { 4.0 } else { 30.0 };
    // Axes of one row stand on one line, so its panels share the tallest legend's height.
    let mut rows = Vec::new();
    let mut y = top;
    for row in figure.panels.chunks(n_columns) {
        let legend = row.iter().map(|panel| legend_height(panel, width)).fold(0.0, f64::max);
        rows.push((y, legend));
        y += height + legend + 8.0;
    }
    let (total_width, total_height) = (width * n_columns as f64, y);
    let mut out = String::new();
    let _ = write!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{w}\" height=\"{h}\" viewBox=\"0 0 {w} {h}\" role=\"img\" \
         font-family=\"system-ui, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif\" font-size=\"{FONT}\">\n\
         <title>{}</title>\n{STYLE}<rect class=\"tw-bg\" width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n",
        escape(&figure.title),
        w = round(total_width),
        h = round(total_height),
    );
    if !figure.title.is_empty() {
        text(&mut out, 12.0, 20.0, "start", "font-weight=\"600\" font-size=\"14\"", &figure.title);
    }
    for (i, panel) in figure.panels.iter().enumerate() {
        let (row, column) = (i / n_columns, i % n_columns);
        let frame = Frame { left: width * column as f64, top: rows[row].0, width, height, legend: rows[row].1 };
        draw_panel(&mut out, panel, frame);
    }
    out.push_str("</svg>\n");
    out
}

const STYLE: &str = "<style>@media screen and (prefers-color-scheme: dark){.tw-bg{fill:#14171a}.tw-ink{fill:#e4e6e8}\
.tw-grid{stroke:#31363b}.tw-axis{stroke:#8a9199}}</style>\n";

/// Keeps a panel's numbers to pixels.
struct Scale {
    low: f64,
    high: f64,
    is_log: bool,
    from: f64,
    to: f64,
}

impl Scale {
    fn at(&self, value: f64) -> f64 {
        let (value, low, high) = if self.is_log {
            if value <= 0.0 {
                return f64::NAN;
            }
            (value.log10(), self.low.log10(), self.high.log10())
        } else {
            (value, self.low, self.high)
        };
        // Far outside is as good as outside, and keeps coordinates short.
        self.from + ((value - low) / (high - low)).clamp(-20.0, 20.0) * (self.to - self.from)
    }

    fn ticks(&self, wanted: usize) -> Vec<Tick> {
        if self.is_log {
            ticks::logarithmic(self.low, self.high, wanted)
        } else {
            ticks::linear(self.low, self.high, wanted)
        }
    }
}

/// Where a panel goes; `height` is without the legend.
struct Frame {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
    legend: f64,
}

fn draw_panel(out: &mut String, panel: &Panel, frame: Frame) {
    let Frame { left, top, width, height, legend } = frame;
    let title = if panel.title.is_empty() { 4.0 } else { 22.0 };
    let (plot_top, plot_bottom) = (top + title + legend + 4.0, top + legend + height - 44.0);
    let y_range = range(&panel.y, panel.series.iter().flat_map(|s| s.y.iter().chain(&s.low).chain(&s.high)), true);
    let y = Scale { low: y_range.0, high: y_range.1, is_log: panel.y.is_log, from: plot_bottom, to: plot_top };
    let y_ticks = y.ticks(((plot_bottom - plot_top) / 45.0) as usize);
    let label_width = y_ticks.iter().map(|tick| tick.label.chars().count()).max().unwrap_or(1) as f64 * LETTER;
    let y_title = if panel.y.label.is_empty() { 0.0 } else { 20.0 };
    let (plot_left, plot_right) = (left + 12.0 + y_title + label_width + 6.0, left + width - 16.0);
    let x_range = range(&panel.x, panel.series.iter().flat_map(|s| s.x.iter()), false);
    let x = Scale { low: x_range.0, high: x_range.1, is_log: panel.x.is_log, from: plot_left, to: plot_right };
    let x_ticks = x.ticks(((plot_right - plot_left) / 60.0) as usize);

    if !panel.title.is_empty() {
        text(out, plot_left, top + 15.0, "start", "font-weight=\"600\"", &panel.title);
    }
    draw_legend(out, panel, plot_left, top + title, width - (plot_left - left) - 16.0);

    out.push_str("<g class=\"tw-grid\" stroke=\"#e3e5e8\" stroke-width=\"1\">");
    for tick in &y_ticks {
        line(out, plot_left, y.at(tick.value), plot_right, y.at(tick.value));
    }
    for tick in x_ticks.iter().filter(|tick| !tick.label.is_empty()) {
        line(out, x.at(tick.value), plot_top, x.at(tick.value), plot_bottom);
    }
    out.push_str("</g>\n<g class=\"tw-axis\" stroke=\"#6b7178\" stroke-width=\"1\">");
    line(out, plot_left, plot_bottom, plot_right, plot_bottom);
    line(out, plot_left, plot_top, plot_left, plot_bottom);
    for tick in &x_ticks {
        let length = if tick.label.is_empty() { 3.0 } else { 5.0 };
        line(out, x.at(tick.value), plot_bottom, x.at(tick.value), plot_bottom + length);
    }
    out.push_str("</g>\n");
    for tick in x_ticks.iter().filter(|tick| !tick.label.is_empty()) {
        text(out, x.at(tick.value), plot_bottom + 18.0, "middle", "", &tick.label);
    }
    for tick in y_ticks.iter().filter(|tick| !tick.label.is_empty()) {
        text(out, plot_left - 6.0, y.at(tick.value) + 4.0, "end", "", &tick.label);
    }
    text(out, (plot_left + plot_right) / 2.0, plot_bottom + 36.0, "middle", "", &panel.x.label);
    if !panel.y.label.is_empty() {
        let (cx, cy) = (left + 20.0, (plot_top + plot_bottom) / 2.0);
        let turn = format!("transform=\"rotate(-90 {} {})\"", round(cx), round(cy));
        text(out, cx, cy, "middle", &turn, &panel.y.label);
    }

    // A nested picture clips what lies outside the axes; the margin keeps markers on the border whole.
    let margin = 5.0;
    let _ = writeln!(
        out,
        "<svg x=\"{0}\" y=\"{1}\" width=\"{2}\" height=\"{3}\" viewBox=\"{0} {1} {2} {3}\">",
        round(plot_left - margin),
        round(plot_top - margin),
        round(plot_right - plot_left + 2.0 * margin),
        round(plot_bottom - plot_top + 2.0 * margin),
    );
    for series in &panel.series {
        draw_series(out, series, &x, &y);
    }
    out.push_str("</svg>\n");
}

/// The ends of an axis: as given, or of the finite data with a margin.
fn range<'a>(axis: &Axis, values: impl Iterator<Item = &'a f64>, has_margin: bool) -> (f64, f64) {
    if let Some((low, high)) = axis.range.filter(|(low, high)| low < high && (!axis.is_log || *low > 0.0)) {
        return (low, high);
    }
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    for &value in values.filter(|value| value.is_finite() && (!axis.is_log || **value > 0.0)) {
        // The span of the ends must be a number too.
        low = low.min(value.clamp(-1e300, 1e300));
        high = high.max(value.clamp(-1e300, 1e300));
    }
    if low > high {
        return if axis.is_log { (0.1, 10.0) } else { (0.0, 1.0) };
    }
    if axis.is_log {
        let (from, to) = (low.log10(), high.log10());
        let margin = if to > from { if has_margin { 0.05 * (to - from) } else { 0.0 } } else { 0.5 };
        return (10_f64.powf(from - margin), 10_f64.powf(to + margin));
    }
    let span = high - low;
    if span <= low.abs().max(high.abs()) * 1e-12 {
        let margin = if low == 0.0 { 1.0 } else { 0.1 * low.abs() };
        return (low - margin, high + margin);
    }
    if !has_margin {
        return (low, high);
    }
    // Quantities that come near zero from above are shown from zero.
    if low >= 0.0 && low < 0.3 * high { (0.0, high + 0.05 * high) } else { (low - 0.05 * span, high + 0.05 * span) }
}

fn draw_series(out: &mut String, series: &Series, x: &Scale, y: &Scale) {
    let color = COLORS[series.color % COLORS.len()];
    let points: Vec<(f64, f64)> = series.x.iter().zip(&series.y).map(|(&a, &b)| (x.at(a), y.at(b))).collect();
    let has_spread = series.low.len() == points.len() && series.high.len() == points.len() && !points.is_empty();
    match series.style {
        Style::Line | Style::Steps | Style::Dashed => {
            if has_spread {
                draw_band(out, series, x, y, color);
            }
            let points = match series.style {
                Style::Steps => stairs(&points),
                Style::Line | Style::Dashed | Style::Points => points,
            };
            let dash = match series.style {
                Style::Dashed => "5 4",
                Style::Line | Style::Steps | Style::Points => DASHES[series.color / COLORS.len() % DASHES.len()],
            };
            let dash = if dash.is_empty() { String::new() } else { format!(" stroke-dasharray=\"{dash}\"") };
            let path = path(&thinned(points));
            if !path.is_empty() {
                let _ = writeln!(
                    out,
                    "<path d=\"{path}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"1.75\" stroke-linejoin=\"round\"{dash}/>"
                );
            }
        }
        Style::Points => {
            let _ = write!(out, "<g fill=\"{color}\" stroke=\"{color}\" stroke-width=\"1.25\">");
            for (i, &(px, py)) in points.iter().enumerate() {
                if !px.is_finite() || !py.is_finite() {
                    continue;
                }
                if has_spread {
                    let (low, high) = (y.at(series.low[i]), y.at(series.high[i]));
                    let low = if low.is_finite() { low } else { y.from };
                    if high.is_finite() {
                        line(out, px, low, px, high);
                        line(out, px - 3.0, low, px + 3.0, low);
                        line(out, px - 3.0, high, px + 3.0, high);
                    }
                }
                marker(out, series.color, px, py);
            }
            out.push_str("</g>\n");
        }
    }
}

fn draw_band(out: &mut String, series: &Series, x: &Scale, y: &Scale, color: &str) {
    let edge = |values: &[f64], fallback: f64| -> Vec<(f64, f64)> {
        let points = series.x.iter().zip(values).map(|(&a, &b)| {
            let at = y.at(b);
            (x.at(a), if at.is_finite() { at } else { fallback })
        });
        thinned(points.filter(|(px, _)| px.is_finite()).collect())
    };
    let (high, mut low) = (edge(&series.high, y.to), edge(&series.low, y.from));
    low.reverse();
    let mut outline = path(&high);
    for (px, py) in low {
        let _ = write!(outline, "L{} {}", round(px), round(py));
    }
    if !high.is_empty() {
        let _ = writeln!(out, "<path d=\"{outline}Z\" fill=\"{color}\" fill-opacity=\"0.18\" stroke=\"none\"/>");
    }
}

fn stairs(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut out = Vec::with_capacity(points.len() * 2);
    for (i, &point) in points.iter().enumerate() {
        if i > 0 {
            out.push((point.0, points[i - 1].1));
        }
        out.push(point);
    }
    out
}

/// Keeps the first, lowest, highest and last point of each column of pixels, so that nothing visible is lost.
fn thinned(points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    if points.len() <= MANY_POINTS {
        return points;
    }
    let mut out: Vec<(f64, f64)> = Vec::new();
    let mut rest = &points[..];
    while let Some(first) = rest.first() {
        let n = rest.iter().take_while(|p| p.0.floor() == first.0.floor()).count().max(1);
        let (column, after) = rest.split_at(n);
        let mut keep = vec![0, n - 1];
        let by_height = |a: &usize, b: &usize| column[*a].1.total_cmp(&column[*b].1);
        keep.extend((0..n).min_by(by_height));
        keep.extend((0..n).max_by(by_height));
        keep.extend((0..n).filter(|&i| !column[i].1.is_finite()).take(1));
        keep.sort_unstable();
        keep.dedup();
        out.extend(keep.into_iter().map(|i| column[i]));
        rest = after;
    }
    out
}

/// `M1 2L3 4`, with a new start after every gap.
fn path(points: &[(f64, f64)]) -> String {
    let mut out = String::new();
    let mut is_down = false;
    for &(x, y) in points {
        if !x.is_finite() || !y.is_finite() {
            is_down = false;
            continue;
        }
        let _ = write!(out, "{}{} {}", if is_down { 'L' } else { 'M' }, round(x), round(y));
        is_down = true;
    }
    out
}

fn marker(out: &mut String, color: usize, x: f64, y: f64) {
    let (l, r, t, b) = (round(x - 3.0), round(x + 3.0), round(y - 3.0), round(y + 3.0));
    let (cx, cy) = (round(x), round(y));
    let _ = match color % 4 {
        0 => write!(out, "<circle cx=\"{cx}\" cy=\"{cy}\" r=\"3.2\"/>"),
        1 => write!(out, "<rect x=\"{l}\" y=\"{t}\" width=\"6\" height=\"6\"/>"),
        2 => write!(out, "<path d=\"M{cx} {t}L{r} {b}L{l} {b}Z\"/>"),
        _ => write!(out, "<path d=\"M{cx} {t}L{r} {cy}L{cx} {b}L{l} {cy}Z\"/>"),
    };
}

/// The legend's entries as `(x, row)` from its left end.
fn legend_places(panel: &Panel, width: f64) -> Vec<(f64, usize)> {
    let (mut x, mut row) = (0.0, 0);
    let mut places = Vec::new();
    for series in panel.series.iter().filter(|series| !series.name.is_empty()) {
        let length = 28.0 + series.name.chars().count() as f64 * LETTER + 12.0;
        if x > 0.0 && x + length > width {
            x = 0.0;
            row += 1;
        }
        places.push((x, row));
        x += length;
    }
    places
}

fn legend_height(panel: &Panel, width: f64) -> f64 {
    // Axis labels take their width before the legend does; 90 covers the usual ones.
    legend_places(panel, width - 90.0).last().map_or(0.0, |(_, row)| (row + 1) as f64 * LEGEND_ROW)
}

fn draw_legend(out: &mut String, panel: &Panel, left: f64, top: f64, width: f64) {
    let places = legend_places(panel, width);
    for (series, (x, row)) in panel.series.iter().filter(|series| !series.name.is_empty()).zip(places) {
        let (x, y) = (left + x, top + row as f64 * LEGEND_ROW + 9.0);
        let color = COLORS[series.color % COLORS.len()];
        match series.style {
            Style::Points => {
                let _ = write!(out, "<g fill=\"{color}\">");
                marker(out, series.color, x + 10.0, y);
                out.push_str("</g>");
            }
            Style::Line | Style::Steps | Style::Dashed => {
                let dash = match series.style {
                    Style::Dashed => "5 4",
                    Style::Line | Style::Steps | Style::Points => DASHES[series.color / COLORS.len() % DASHES.len()],
                };
                let dash = if dash.is_empty() { String::new() } else { format!(" stroke-dasharray=\"{dash}\"") };
                let _ = write!(out, "<g stroke=\"{color}\" stroke-width=\"2\"{dash}>");
                line(out, x, y, x + 20.0, y);
                out.push_str("</g>");
            }
        }
        text(out, x + 26.0, y + 4.0, "start", "", &series.name);
    }
}

fn line(out: &mut String, x1: f64, y1: f64, x2: f64, y2: f64) {
    let _ = write!(out, "<path d=\"M{} {}L{} {}\"/>", round(x1), round(y1), round(x2), round(y2));
}

fn text(out: &mut String, x: f64, y: f64, anchor: &str, attributes: &str, words: &str) {
    if words.is_empty() {
        return;
    }
    let space = if attributes.is_empty() { "" } else { " " };
    let _ = writeln!(
        out,
        "<text class=\"tw-ink\" fill=\"#24292e\" x=\"{}\" y=\"{}\" text-anchor=\"{anchor}\"{space}{attributes}>{}</text>",
        round(x),
        round(y),
        escape(words)
    );
}

/// Hundredths of a pixel are enough, and keep the file small.
fn round(value: f64) -> String {
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".into() } else { text.into() }
}

/// Text for XML and HTML, attribute values included; characters that XML forbids become `�`.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\t' | '\n' | '\r' => out.push(' '),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn panel(series: Vec<Series>) -> Figure {
        let panel = Panel { x: Axis::new("time [s]"), y: Axis::new("S [uM]"), series, ..Panel::default() };
        Figure { title: "t".into(), panels: vec![panel], n_columns: 1 }
    }

    #[test]
    fn names_are_escaped() {
        let figure = panel(vec![Series::line("<script>\"a\"&", vec![0.0, 1.0], vec![0.0, 1.0], 0)]);
        let text = svg(&figure);
        assert!(!text.contains("<script>") && text.contains("&lt;script&gt;&quot;a&quot;&amp;"));
    }

    #[test]
    fn odd_values_leave_only_finite_coordinates() {
        let nan = f64::NAN;
        for y in
            [vec![nan, nan, nan], vec![1.0, f64::INFINITY, 2.0], vec![0.0, 0.0, 0.0], vec![], vec![1e308, -1e308, 0.0]]
        {
            for is_log in [false, true] {
                for style in [Style::Line, Style::Steps, Style::Points, Style::Dashed] {
                    let x: Vec<f64> = (0..y.len()).map(|i| i as f64).collect();
                    let mut figure = panel(vec![Series {
                        style,
                        low: y.clone(),
                        high: y.clone(),
                        ..Series::line("s", x, y.clone(), 9)
                    }]);
                    figure.panels[0].y.is_log = is_log;
                    let text = svg(&figure);
                    assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
                }
            }
        }
        assert!(svg(&Figure::default()).ends_with("</svg>\n"));
    }

    #[test]
    fn thinning_keeps_the_extremes() {
        let n = 100_000;
        let mut points: Vec<(f64, f64)> = (0..n).map(|i| (f64::from(i) * 0.007, 0.0)).collect();
        points[54_321].1 = 9.0;
        points[77_777].1 = -9.0;
        let kept = thinned(points);
        assert!(kept.len() < 3000);
        assert!(kept.iter().any(|p| p.1 == 9.0) && kept.iter().any(|p| p.1 == -9.0));
    }
}
