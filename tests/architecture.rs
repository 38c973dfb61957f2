//! The rules of the house, checked: which module may use which, where unsafe code and IO may stand, sizes, docs.

use std::path::{Path, PathBuf};

/// Every module with its place in the order: it may use only what stands before it. Modules of one place do not see
/// each other.
const ORDER: &[&[&str]] = &[
    &["limits"],
    &["source"],
    &["diag"],
    &["random"],
    &["units"],
    &["linalg"],
    &["system"],
    &["syntax"],
    &["expr"],
    &["hir"],
    &["flat"],
    &["jit"],
    &["integrate"],
    &["analyze"],
    &["optimize"],
    &["decide"],
    &["calibrate", "control"],
    &["learn"],
    &["export"],
    &["cli"],
];

/// Where `unsafe` may stand.
const UNSAFE: &[&str] = &["src/jit/kernel.rs", "src/jit/math.rs", "src/linalg/wide.rs"];

fn sources() -> Vec<(PathBuf, String)> {
    let mut list = Vec::new();
    let mut folders = vec![PathBuf::from("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("src is there") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = std::fs::read_to_string(&path).expect("UTF-8");
                list.push((path, text));
            }
        }
    }
    list.sort();
    list
}

/// The top-level module that a file belongs to; `None` for the crate's root and the binary.
fn module(path: &Path) -> Option<String> {
    let second = path.components().nth(1)?.as_os_str().to_string_lossy().into_owned();
    let name = second.trim_end_matches(".rs").to_string();
    (name != "lib" && name != "main").then_some(name)
}

/// Lines of code: no comments, nothing behind the first test module.
fn code(text: &str) -> impl Iterator<Item = &str> {
    let end = text.find("#[cfg(test)]").unwrap_or(text.len());
    text[..end].lines().filter(|line| !line.trim_start().starts_with("//"))
}

/// A file with its own test module elsewhere is a test file.
fn is_test(path: &Path) -> bool {
    path.file_stem().is_some_and(|s| s == "tests")
}

#[test]
fn modules_use_only_what_stands_before_them() {
    let place = |name: &str| ORDER.iter().position(|group| group.contains(&name));
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let Some(own) = module(&path) else { continue };
        let Some(own_place) = place(&own) else {
            wrong.push(format!("{}: `{own}` has no place in the order", path.display()));
            continue;
        };
        if is_test(&path) {
            continue;
        }
        for line in code(&text) {
            for (at, _) in line.match_indices("crate::") {
                let used: String = line[at + 7..]
                    .chars()
                    .take_while(|c| c.is_ascii_lowercase() || *c == '_' || c.is_ascii_digit())
                    .collect();
                if used == own {
                    continue;
                }
                if place(&used).is_some_and(|p| p >= own_place) {
                    wrong.push(format!("{}: {}", path.display(), line.trim()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "forbidden edges:\n{}", wrong.join("\n"));
}

#[test]
fn unsafe_code_stands_where_it_may_and_says_why() {
    for (path, text) in sources() {
        let shown = path.to_string_lossy().replace('\\', "/");
        let n = code(&text).filter(|l| l.contains("unsafe ") && !l.contains("unsafe_op")).count();
        if n > 0 {
            assert!(UNSAFE.contains(&shown.as_str()), "{shown} has unsafe code");
            assert!(text.matches("SAFETY:").count() > 0, "{shown} does not say why its unsafe code is sound");
        }
    }
}

#[test]
fn only_the_edges_touch_files_clocks_and_the_environment() {
    for (path, text) in sources() {
        let Some(own) = module(&path) else { continue };
        if own == "cli" || is_test(&path) {
            continue;
        }
        for line in code(&text) {
            for forbidden in ["std::fs", "std::env", "SystemTime", "println!", "eprintln!", "std::net"] {
                assert!(!line.contains(forbidden), "{}: {}", path.display(), line.trim());
            }
        }
    }
}

#[test]
fn library_code_does_not_panic_on_purpose() {
    let mut found = Vec::new();
    for (path, text) in sources() {
        if is_test(&path) {
            continue;
        }
        for line in code(&text) {
            for word in [".unwrap()", ".expect(\"", "panic!(", "todo!(", "unimplemented!(", "unreachable!("] {
                if line.contains(word) {
                    found.push(format!("{}: {}", path.display(), line.trim()));
                }
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn files_say_what_they_are_and_stay_small() {
    for (path, text) in sources() {
        assert!(text.starts_with("//!"), "{} has no module documentation", path.display());
        let n = text.lines().count();
        assert!(n <= 800, "{} has {n} lines: split it by idea", path.display());
    }
}

#[test]
fn the_map_names_every_module() {
    let map = std::fs::read_to_string("docs/architecture.md").expect("docs/architecture.md is there");
    for name in ORDER.iter().flat_map(|group| group.iter()) {
        assert!(map.contains(&format!("`{name}`")), "docs/architecture.md does not name `{name}`");
    }
}
