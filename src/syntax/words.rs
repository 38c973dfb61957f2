//! words
pub fn opens_group(word: &str) -> bool {
    matches!(word, "param" | "state" | "species" | "const" | "let" | "input")
}
pub fn declares(word: &str) -> bool {
    opens_group(word)
}
