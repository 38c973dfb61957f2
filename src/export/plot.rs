//! Plots as SVG text: lines, steps, points with error bars, bands; several panels; linear or logarithmic axes.
//!
//! The bytes depend on the figure alone. Text stays text, colors are Okabe and Ito's (2008), safe for color-blind
//! readers, doubled by markers and dashes, and the page follows a light or dark reader. Nothing is loaded from outside.
//! [`Figure`] says what, `draw` places it, [`ticks`] labels the axes.

mod draw;
pub mod ticks;

pub(crate) use draw::escape;
pub use draw::svg;

/// A figure of one or several panels.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Figure {
    /// Above all panels, and read aloud in place of the picture.
    pub title: String,
    /// Row by row.
    pub panels: Vec<Panel>,
    /// Panels side by side, at least 1.
    pub n_columns: usize,
}

/// One pair of axes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Panel {
    /// Above the axes; may be empty.
    pub title: String,
    /// Below.
    pub x: Axis,
    /// To the left.
    pub y: Axis,
    /// Drawn in order, later ones above.
    pub series: Vec<Series>,
}

/// An axis.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Axis {
    /// With unit: `time [s]`.
    pub label: String,
    /// Logarithmic; values that are not positive are left out.
    pub is_log: bool,
    /// Ends; from the data where `None`.
    pub range: Option<(f64, f64)>,
}

impl Axis {
    /// A linear axis over the data.
    pub fn new(label: impl Into<String>) -> Axis {
        Axis { label: label.into(), is_log: false, range: None }
    }
}

/// How a series is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Style {
    /// A line through the points; `low` and `high` are a band.
    #[default]
    Line,
    /// A line that holds each value until the next point.
    Steps,
    /// Markers; `low` and `high` are error bars.
    Points,
    /// A dashed line for a limit or a reference.
    Dashed,
}

/// A sequence of points; a value that is not finite breaks the line.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Series {
    /// In the legend; empty for none.
    pub name: String,
    /// Abscissae.
    pub x: Vec<f64>,
    /// Ordinates, as many.
    pub y: Vec<f64>,
    /// Lower ends of band or bars, as many as points or none.
    pub low: Vec<f64>,
    /// Upper ends.
    pub high: Vec<f64>,
    /// How.
    pub style: Style,
    /// Which of the colors; series of one color belong together.
    pub color: usize,
}

impl Series {
    /// A line.
    pub fn line(name: impl Into<String>, x: Vec<f64>, y: Vec<f64>, color: usize) -> Series {
        Series { name: name.into(), x, y, color, ..Series::default() }
    }

    /// Markers.
    pub fn points(name: impl Into<String>, x: Vec<f64>, y: Vec<f64>, color: usize) -> Series {
        Series { name: name.into(), x, y, color, style: Style::Points, ..Series::default() }
    }

    /// Adds a band or error bars.
    pub fn between(mut self, low: Vec<f64>, high: Vec<f64>) -> Series {
        self.low = low;
        self.high = high;
        self
    }
}

/// One panel per unit, so that quantities of one unit share an axis: the plot of a simulation.
pub fn by_unit(title: &str, table: &super::table::Table) -> Figure {
    let Some((time, columns)) = table.columns.split_first() else { return Figure::default() };
    let mut panels: Vec<(String, Panel)> = Vec::new();
    for column in columns {
        let found = panels.iter().position(|(unit, panel)| *unit == column.unit && panel.series.len() < 8);
        let position = found.unwrap_or_else(|| {
            let label = if column.unit.is_empty() { String::new() } else { format!("[{}]", column.unit) };
            let panel = Panel { x: Axis::new(time.header()), y: Axis::new(label), ..Panel::default() };
            panels.push((column.unit.clone(), panel));
            panels.len() - 1
        });
        let panel = &mut panels[position].1;
        let color = panel.series.len();
        panel.series.push(Series::line(&column.name, time.values.clone(), column.values.clone(), color));
    }
    let n_columns = if panels.len() > 2 { 2 } else { 1 };
    Figure { title: title.into(), panels: panels.into_iter().map(|(_, panel)| panel).collect(), n_columns }
}
