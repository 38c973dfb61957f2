//! `twinc explain CODE`: the code's section of the error index.

use super::args::ExplainArgs;
use super::console::Console;
use super::failure::{Exit, Failure};
use crate::diag::closest::closest;
use crate::diag::{Code, codes};
use serde_json::json;

/// The error index; a test holds it to the registry.
pub const INDEX: &str = include_str!("../../docs/errors.md");

/// Prints the section.
///
/// # Errors
/// E0804 for a code that is not registered.
pub fn run(args: &ExplainArgs, console: &mut Console) -> Result<Exit, Failure> {
    let wanted = args.code.trim();
    let Some(code) = Code::find(wanted) else {
        let failure = Failure::new("E0804", format!("there is no diagnostic `{wanted}`"));
        let upper = wanted.to_uppercase();
        return Err(match closest(&upper, codes::REGISTRY.iter().map(|(code, _)| *code)) {
            Some(close) => failure.help(format!("did you mean `{close}`? All codes stand in docs/errors.md")),
            None => failure.help("codes look like E0301 or W0101; all stand in docs/errors.md"),
        });
    };
    let text = section(code).unwrap_or_default();
    if console.is_text() {
        console.data(text.as_bytes())?;
    } else {
        console.result(json!({ "code": code.0, "summary": code.summary(), "text": text }));
    }
    Ok(Exit::Fine)
}

/// The part of the index under the code's heading, heading included.
pub fn section(code: Code) -> Option<&'static str> {
    let start = INDEX.find(&format!("\n## {}: ", code.0))? + 1;
    let end = INDEX[start + 3..].find("\n## ").map_or(INDEX.len(), |i| start + 3 + i + 1);
    Some(INDEX[start..end].trim_end_matches('\n')).map(|text| &INDEX[start..start + text.len() + 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_and_registry_agree() {
        let headings: Vec<(&str, &str)> =
            INDEX.lines().filter_map(|line| line.strip_prefix("## ")?.split_once(": ")).collect();
        assert_eq!(headings, codes::REGISTRY);
        for (code, _) in codes::REGISTRY {
            let text = section(Code(code)).unwrap_or_default();
            assert!(text.contains("Repair:"), "{code} has no repair");
            assert!(text.contains("```"), "{code} shows nothing");
            assert!(text.ends_with("\n"));
        }
    }
}
