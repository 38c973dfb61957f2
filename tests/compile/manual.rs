//! The pages that users read: each failing model of `docs/errors.md` shows its code, and each repaired one is clean.

use super::{Texts, check_with};

/// One section of the page.
struct Section {
    code: String,
    /// Language, text and line of each fenced block, in order, and whether it stands behind `Repair:`.
    blocks: Vec<(String, String, usize, bool)>,
}

fn sections() -> Vec<Section> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/errors.md");
    let page = std::fs::read_to_string(path).expect("the page is part of the project");
    let mut list: Vec<Section> = Vec::new();
    let (mut is_repair, mut open): (bool, Option<(String, String, usize)>) = (false, None);
    for (k, line) in page.lines().enumerate() {
        if let Some((_, text, _)) = &mut open {
            if line == "```" {
                let (language, text, at) = open.take().expect("open");
                if let Some(section) = list.last_mut() {
                    section.blocks.push((language, text, at, is_repair));
                }
            } else {
                text.push_str(line);
                text.push('\n');
            }
        } else if let Some(heading) = line.strip_prefix("## ") {
            let code = heading.split(':').next().unwrap_or_default().to_string();
            list.push(Section { code, blocks: Vec::new() });
        } else if line.starts_with("Shows it:") {
            is_repair = false;
        } else if line.starts_with("Repair:") {
            is_repair = true;
        } else if let Some(language) = line.strip_prefix("```") {
            open = Some((language.to_string(), String::new(), k + 1));
        }
    }
    list
}

/// Codes whose failing text shows what happens while running, or in a data file, or needs a limit's worth of text.
fn is_of_a_run(code: &str) -> bool {
    let number: u32 = code[1..].parse().unwrap_or(0);
    matches!(number, 110..=114 | 601 | 604 | 605 | 607 | 610 | 611 | 700..=899)
        // Settings are read against the tables of the algorithms, by the command line.
        || matches!(code, "E0602" | "E0603" | "E0608")
        // Only a simulation that counts asks whether reactions can be counted.
        || matches!(code, "E0508" | "E0509")
        || matches!(code, "E0203" | "E0204" | "E0510" | "W0105" | "W0108" | "W0109" | "W0110")
}

#[test]
fn every_failing_example_yields_its_code_and_its_repair_is_clean() {
    let list = sections();
    assert!(list.len() > 60, "{} sections", list.len());
    let mut wrong = String::new();
    for Section { code, blocks } in &list {
        for (language, text, line, is_repair) in blocks {
            if language != "twin" {
                continue;
            }
            let strict = matches!(code.as_str(), "E0305");
            let checked = check_with("model.twin", text, strict, &Texts(&[]));
            let codes = checked.codes();
            let shown: Vec<&str> = checked.diagnostics.iter().map(|d| d.code.0).collect();
            if *is_repair {
                let is_clean =
                    codes.is_empty() || (is_of_a_run(code) && codes.iter().all(|c| matches!(*c, "E0203" | "E0801")));
                if !is_clean {
                    wrong.push_str(&format!("errors.md:{line}: the repair of {code} shows\n{}", checked.shown()));
                }
            } else if !is_of_a_run(code) && (!shown.contains(&code.as_str()) || codes.iter().any(|c| c != code)) {
                wrong
                    .push_str(&format!("errors.md:{line}: {code} is to be shown, and there is\n{}\n", checked.shown()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
