//! Diagnostics as programs read them: JSON, JSON lines, SARIF 2.1.0 and GitHub workflow commands.
//!
//! Every JSON document carries `schema: "twinc.v1"`. Lines and columns count from 1, columns in characters.

use crate::diag::{Diagnostic, Diagnostics, Severity, codes};
use crate::source::{SourceMap, Span};
use serde_json::{Value, json};

/// The version of every JSON document that twinc writes.
pub const SCHEMA: &str = "twinc.v1";

fn severity(diagnostic: &Diagnostic) -> &'static str {
    match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    }
}

fn place(span: Span, sources: &SourceMap) -> Value {
    let file = sources.get(span.source);
    let (line, column) = file.line_column(span.start);
    let (end_line, end_column) = file.line_column(span.end);
    json!({
        "file": file.name, "line": line, "column": column, "end_line": end_line, "end_column": end_column,
        "start": span.start, "end": span.end,
    })
}

/// One diagnostic as an object.
pub fn object(diagnostic: &Diagnostic, sources: &SourceMap) -> Value {
    let labels: Vec<Value> = diagnostic
        .labels
        .iter()
        .map(|label| json!({ "place": place(label.span, sources), "text": label.text }))
        .collect();
    let fix = diagnostic.fix.as_ref().map(|fix| {
        let edits: Vec<Value> = fix
            .edits
            .iter()
            .map(|edit| json!({ "place": place(edit.span, sources), "replacement": edit.replacement }))
            .collect();
        json!({ "title": fix.title, "edits": edits })
    });
    json!({
        "code": diagnostic.code.0, "severity": severity(diagnostic), "title": diagnostic.title, "labels": labels,
        "help": diagnostic.help, "notes": diagnostic.notes, "fix": fix,
    })
}

/// How many of each severity.
pub fn counts(diagnostics: &[(Diagnostic, Value)]) -> Value {
    let count = |wanted| diagnostics.iter().filter(|(d, _)| d.severity == wanted).count();
    json!({ "errors": count(Severity::Error), "warnings": count(Severity::Warning), "notes": count(Severity::Note) })
}

/// GitHub workflow commands, one line each:
/// `::error file=m.twin,line=2,col=22,endColumn=29,title=E0501::rate constant has the wrong unit`.
pub fn github(diagnostic: &Diagnostic, sources: &SourceMap) -> String {
    let command = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "notice",
    };
    let mut fields = Vec::new();
    if let Some(label) = diagnostic.labels.first() {
        let file = sources.get(label.span.source);
        let (line, column) = file.line_column(label.span.start);
        let (end_line, end_column) = file.line_column(label.span.end);
        fields.push(format!("file={}", github_property(&file.name)));
        fields.push(format!("line={line}"));
        fields.push(format!("endLine={end_line}"));
        if line == end_line {
            fields.push(format!("col={column}"));
            fields.push(format!("endColumn={end_column}"));
        }
    }
    fields.push(format!("title={}", diagnostic.code));
    let mut text = diagnostic.title.clone();
    if let Some(label) = diagnostic.labels.first().filter(|label| !label.text.is_empty()) {
        text.push_str(&format!(": {}", label.text));
    }
    if let Some(help) = &diagnostic.help {
        text.push_str(&format!("\nhelp: {help}"));
    }
    format!("::{command} {}::{}\n", fields.join(","), github_text(&text))
}

fn github_text(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn github_property(text: &str) -> String {
    github_text(text).replace(':', "%3A").replace(',', "%2C")
}

/// A SARIF 2.1.0 log of one run (OASIS, 2020), with the repairs as `fixes`.
pub fn sarif(diagnostics: &[(Diagnostic, &SourceMap)]) -> Value {
    let mut used: Vec<&str> = diagnostics.iter().map(|(d, _)| d.code.0).collect();
    used.sort_unstable();
    used.dedup();
    let rules: Vec<Value> = used
        .iter()
        .map(|code| {
            let summary = codes::REGISTRY.iter().find(|(c, _)| c == code).map_or("", |(_, text)| text);
            json!({ "id": code, "shortDescription": { "text": summary }, "help": { "text": format!("twinc explain {code}") } })
        })
        .collect();
    let results: Vec<Value> =
        diagnostics.iter().map(|(diagnostic, sources)| sarif_result(diagnostic, sources, &used)).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": "twinc", "version": env!("CARGO_PKG_VERSION"), "rules": rules } },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn sarif_result(diagnostic: &Diagnostic, sources: &SourceMap, rules: &[&str]) -> Value {
    let mut text = diagnostic.title.clone();
    if let Some(label) = diagnostic.labels.first().filter(|label| !label.text.is_empty()) {
        text.push_str(&format!(": {}", label.text));
    }
    if let Some(help) = &diagnostic.help {
        text.push_str(&format!("\nhelp: {help}"));
    }
    for note in &diagnostic.notes {
        text.push_str(&format!("\nnote: {note}"));
    }
    let mut result = json!({
        "ruleId": diagnostic.code.0,
        "ruleIndex": rules.iter().position(|code| *code == diagnostic.code.0).unwrap_or(0),
        "level": severity(diagnostic),
        "message": { "text": text },
        "locations": diagnostic.labels.iter().take(1).map(|l| sarif_location(l.span, "", sources)).collect::<Vec<_>>(),
    });
    if diagnostic.labels.len() > 1 {
        result["relatedLocations"] =
            diagnostic.labels.iter().skip(1).map(|l| sarif_location(l.span, &l.text, sources)).collect();
    }
    if let Some(fix) = &diagnostic.fix {
        let changes: Vec<Value> = fix
            .edits
            .iter()
            .map(|edit| {
                json!({
                    "artifactLocation": { "uri": uri(&sources.get(edit.span.source).name) },
                    "replacements": [{
                        "deletedRegion": region(edit.span, sources),
                        "insertedContent": { "text": edit.replacement },
                    }],
                })
            })
            .collect();
        result["fixes"] = json!([{ "description": { "text": fix.title }, "artifactChanges": changes }]);
    }
    result
}

fn sarif_location(span: Span, text: &str, sources: &SourceMap) -> Value {
    let mut location = json!({
        "physicalLocation": {
            "artifactLocation": { "uri": uri(&sources.get(span.source).name) },
            "region": region(span, sources),
        },
    });
    if !text.is_empty() {
        location["message"] = json!({ "text": text });
    }
    location
}

fn region(span: Span, sources: &SourceMap) -> Value {
    let file = sources.get(span.source);
    let (line, column) = file.line_column(span.start);
    let (end_line, end_column) = file.line_column(span.end);
    json!({ "startLine": line, "startColumn": column, "endLine": end_line, "endColumn": end_column })
}

/// A file name as the relative URI that SARIF wants: forward slashes, other bytes percent-encoded.
fn uri(name: &str) -> String {
    let mut out = String::new();
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' | b'~' => out.push(byte as char),
            b'\\' => out.push('/'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// Pairs every diagnostic with its object.
pub fn objects(diagnostics: &Diagnostics, sources: &SourceMap) -> Vec<(Diagnostic, Value)> {
    diagnostics.iter().map(|d| (d.clone(), object(d, sources))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::Code;
    use crate::source::SourceFile;

    #[test]
    fn escapes_github_commands() {
        let mut sources = SourceMap::default();
        let id = sources.add(SourceFile::new("a,b:c.twin", "abc\n"));
        let diagnostic = Diagnostic::new(Code("E0101"), Span::new(id, 1, 2), "100% wrong").help("two\nlines");
        assert_eq!(
            github(&diagnostic, &sources),
            "::error file=a%2Cb%3Ac.twin,line=1,endLine=1,col=2,endColumn=3,title=E0101::100%25 wrong%0Ahelp: two%0Alines\n"
        );
    }

    #[test]
    fn encodes_uris() {
        assert_eq!(uri("models/é x.twin"), "models/%C3%A9%20x.twin");
    }
}
