//! Machine repairs: the edits of a [`Fix`] applied to a text, as many at once as do not touch each other.

use crate::diag::{Diagnostic, Edit, Fix};
use crate::source::SourceId;

/// Applies the fixes of `diagnostics` that lie wholly in `source`; a fix that overlaps an earlier one waits for the
/// next round. Returns the new text and the number of fixes applied.
pub fn apply<'a>(text: &str, source: SourceId, diagnostics: impl Iterator<Item = &'a Diagnostic>) -> (String, usize) {
    let fits = |fix: &&Fix| {
        fix.edits.iter().all(|edit| {
            let (start, end) = (edit.span.start as usize, edit.span.end as usize);
            edit.span.source == source && start <= end && text.get(start..end).is_some()
        })
    };
    let mut fixes: Vec<&Fix> = diagnostics.filter_map(|d| d.fix.as_ref()).filter(fits).collect();
    fixes.sort_by_key(|fix| fix.edits.iter().map(|edit| edit.span.start).min());
    let mut taken: Vec<&Edit> = Vec::new();
    let mut n_fixes = 0;
    for fix in fixes {
        // Two insertions at one place would leave their order open, so touching counts as overlap.
        let is_free = |edit: &Edit| taken.iter().all(|t| edit.span.start > t.span.end || edit.span.end < t.span.start);
        if !fix.edits.is_empty() && fix.edits.iter().all(is_free) {
            taken.extend(&fix.edits);
            n_fixes += 1;
        }
    }
    taken.sort_by_key(|edit| edit.span.start);
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for edit in taken {
        let (start, end) = (edit.span.start as usize, edit.span.end as usize);
        if start < at {
            continue;
        }
        out.push_str(&text[at..start]);
        out.push_str(&edit.replacement);
        at = end;
    }
    out.push_str(&text[at..]);
    (out, n_fixes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::Code;
    use crate::source::Span;

    #[test]
    fn overlapping_fixes_wait() {
        let id = SourceId(0);
        let fix = |start, end, text: &str| {
            Diagnostic::new(Code("E0102"), Span::new(id, start, end), "t").fix("f", Span::new(id, start, end), text)
        };
        let list = [fix(4, 7, "5 [mM]"), fix(5, 7, "x"), fix(0, 1, "A"), fix(90, 99, "outside")];
        assert_eq!(apply("a = 5mM", id, list.iter()), ("A = 5 [mM]".to_string(), 2));
    }
}
