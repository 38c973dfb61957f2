//! Any bytes: reading, resolving, checking units and flattening never panic, and every place is in its text.

#![no_main]

use libfuzzer_sys::fuzz_target;
use twinc::diag::Diagnostics;
use twinc::source::{NoLoader, SourceFile, SourceMap};
use twinc::{flat, hir};

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let mut sources = SourceMap::default();
    let root = sources.add(SourceFile::new("fuzz.twin", text.as_ref()));
    let mut found = Diagnostics::default();
    let module = hir::load(&mut sources, root, None, &NoLoader, false, &mut found);
    flat::check(&module, &mut found);
    for label in found.iter().flat_map(|d| &d.labels) {
        let file = sources.get(label.span.source);
        assert!(file.text.get(label.span.start as usize..label.span.end as usize).is_some());
    }
});
