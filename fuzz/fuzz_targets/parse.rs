//! Any bytes: reading never panics, every place is in the text, and what has no mistakes survives formatting.

#![no_main]

use libfuzzer_sys::fuzz_target;
use twinc::diag::Diagnostics;
use twinc::source::SourceId;
use twinc::syntax;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let mut found = Diagnostics::default();
    let file = syntax::parse(SourceId(0), &text, &mut found);
    for label in found.iter().flat_map(|d| &d.labels) {
        assert!(text.get(label.span.start as usize..label.span.end as usize).is_some());
    }
    let printed = syntax::print(&file);
    if !found.has_errors() {
        let mut found = Diagnostics::default();
        let again = syntax::parse(SourceId(0), &printed, &mut found);
        assert!(found.is_empty() && syntax::same(&file, &again));
        assert_eq!(syntax::print(&again), printed);
    }
});
