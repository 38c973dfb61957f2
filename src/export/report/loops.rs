//! The report of closed loops: a table of the planners, how each episode looks, and how to get it again, as one HTML page
//! without outside parts.
//!
//! The caller fills a [`LoopReport`]; [`html`] writes the page. Wall-clock facts do not belong here: the same run gives the
//! same bytes.

use super::html::{STYLE, prose};
use crate::export::plot::{Figure, escape, svg};
use std::fmt::Write;

/// Closed loops of one task.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LoopReport {
    /// The study or task.
    pub title: String,
    /// What it says of itself.
    pub doc: String,
    /// Name and value: plant, belief, steps and so on.
    pub facts: Vec<(String, String)>,
    /// Heads of the table.
    pub heads: Vec<String>,
    /// One row for each planner; as many cells as heads.
    pub rows: Vec<Vec<String>>,
    /// What is to be noted, in sentences.
    pub remarks: Vec<String>,
    /// The name under which a drawing is stored, the drawing, and what is to be seen.
    pub figures: Vec<(String, Figure, String)>,
    /// Settings in force.
    pub settings: Vec<(String, String)>,
    /// Sources: name and SHA-256.
    pub sources: Vec<(String, String)>,
    /// The command that repeats the run.
    pub command: String,
    /// Version of twinc.
    pub version: String,
}

/// The report as a complete HTML document.
pub fn html(report: &LoopReport) -> String {
    let mut out = String::new();
    let title = escape(&report.title);
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
         <style>{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n",
    );
    if !report.doc.is_empty() {
        let _ = writeln!(out, "<p class=\"doc\">{}</p>", prose(&report.doc));
    }
    out.push_str("<dl class=\"facts\">\n");
    for (name, value) in &report.facts {
        let _ = writeln!(out, "<div><dt>{}</dt><dd>{}</dd></div>", escape(name), escape(value));
    }
    out.push_str("</dl>\n");
    if !report.remarks.is_empty() {
        out.push_str("<div class=\"remarks\"><h2>To be noted</h2>\n<ul>\n");
        for remark in &report.remarks {
            let _ = writeln!(out, "<li>{}</li>", prose(remark));
        }
        out.push_str("</ul></div>\n");
    }
    out.push_str("<h2>Planners</h2>\n<div class=\"wide\"><table>\n<thead><tr>");
    for head in &report.heads {
        let _ = write!(out, "<th>{}</th>", escape(head));
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for row in &report.rows {
        out.push_str("<tr>");
        for cell in row {
            let _ = write!(out, "<td class=\"t\">{}</td>", escape(cell));
        }
        out.push_str("</tr>\n");
    }
    out.push_str(
        "</tbody>\n</table></div>\n<p class=\"small\">Times of planning stand in <code>timing.jsonl</code>, numbers of \
         every episode in <code>result.json</code>.</p>\n",
    );
    for (name, drawing, words) in &report.figures {
        let _ = writeln!(
            out,
            "<h2>{}</h2>\n<figure>\n{}<figcaption>{}</figcaption>\n</figure>",
            escape(&name.replace('-', ": ")),
            svg(drawing),
            escape(words)
        );
    }
    reproduce(&mut out, report);
    out.push_str("</main>\n</body>\n</html>\n");
    out
}

fn reproduce(out: &mut String, report: &LoopReport) {
    let _ = write!(
        out,
        "<h2>How to get this again</h2>\n<p>twinc {}; the same sources, seed and version give the same bytes.</p>\n\
         <pre>{}</pre>\n",
        escape(&report.version),
        escape(&report.command),
    );
    table(out, ["source", "SHA-256"], &report.sources);
    out.push_str("<h3>Settings</h3>\n");
    table(out, ["setting", "value"], &report.settings);
}

fn table(out: &mut String, heads: [&str; 2], rows: &[(String, String)]) {
    let [first, second] = heads;
    let _ = write!(
        out,
        "<div class=\"wide\"><table>\n<thead><tr><th>{first}</th><th>{second}</th></tr></thead>\n<tbody>\n"
    );
    for (name, value) in rows {
        let _ = writeln!(out, "<tr><th scope=\"row\">{}</th><td>{}</td></tr>", escape(name), escape(value));
    }
    out.push_str("</tbody>\n</table></div>\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_what_users_wrote_and_loads_nothing() {
        let report = LoopReport {
            title: "Loop<b>".into(),
            rows: vec![vec!["<x>".into()]],
            remarks: vec!["keeps `a<b`".into()],
            figures: vec![("sqp".into(), Figure { title: "<t>".into(), ..Figure::default() }, "<c>".into())],
            sources: vec![("a&b.twin".into(), "00".into())],
            command: "twinc control <evil>".into(),
            ..LoopReport::default()
        };
        let text = html(&report);
        for bad in ["Loop<b>", "<x>", "a<b", "<t>", "<c>", "a&b", "<evil>"] {
            assert!(!text.contains(bad), "{bad}");
        }
        let text = text.replace("http://www.w3.org/2000/svg", "");
        for bad in ["http:", "https:", "src=", "<link", "<script", "@import", "url("] {
            assert!(!text.contains(bad), "{bad}");
        }
    }
}
