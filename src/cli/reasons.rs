//! Many reasons told as few: texts that differ in their numbers only are one kind, and a number that differs among them
//! is shown as the range it covers, as in `step limit reached at time 0.02 .. 0.31`.

use crate::export::table::number;

/// A word of a reason.
#[derive(Debug, Clone, PartialEq)]
enum Word {
    Text(String),
    /// Least and largest of all texts of the kind, and the punctuation behind.
    Number(f64, f64, String),
}

/// How many texts there are of each kind, the commonest first, equally common ones in the order given.
pub fn counted<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<(usize, String)> {
    let mut kinds: Vec<(usize, Vec<Word>)> = Vec::new();
    for text in texts {
        let words = words(text);
        match kinds.iter_mut().find(|(_, known)| is_alike(known, &words)) {
            Some((count, known)) => {
                *count += 1;
                known.iter_mut().zip(&words).for_each(|(known, word)| widen(known, word));
            }
            None => kinds.push((1, words)),
        }
    }
    kinds.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
    let shown = |words: &[Word]| words.iter().map(show).collect::<Vec<String>>().join(" ");
    kinds.iter().map(|(count, words)| (*count, shown(words))).collect()
}

fn words(text: &str) -> Vec<Word> {
    let word = |word: &str| {
        let digits = word.trim_end_matches([',', ';', ':', ')']);
        match digits.parse::<f64>() {
            Ok(value) => Word::Number(value, value, word[digits.len()..].to_string()),
            Err(_) => Word::Text(word.to_string()),
        }
    };
    text.split(' ').map(word).collect()
}

fn is_alike(a: &[Word], b: &[Word]) -> bool {
    a.len() == b.len()
        && a.iter().zip(b).all(|pair| match pair {
            (Word::Text(a), Word::Text(b)) => a == b,
            (Word::Number(_, _, a), Word::Number(_, _, b)) => a == b,
            (Word::Text(_), Word::Number(..)) | (Word::Number(..), Word::Text(_)) => false,
        })
}

fn widen(known: &mut Word, word: &Word) {
    if let (Word::Number(low, high, _), Word::Number(value, _, _)) = (known, word) {
        *low = low.min(*value);
        *high = high.max(*value);
    }
}

fn show(word: &Word) -> String {
    match word {
        Word::Text(text) => text.clone(),
        Word::Number(low, high, behind) if low < high => format!("{} .. {}{behind}", short(*low), short(*high)),
        Word::Number(value, _, behind) => format!("{}{behind}", short(*value)),
    }
}

/// Three significant digits.
fn short(value: f64) -> String {
    format!("{value:.2e}").parse::<f64>().map_or_else(|_| value.to_string(), number)
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_that_differ_become_a_range() {
        let texts =
            ["limit reached at time 0.25", "`y` is NaN at time 3, but must be finite", "limit reached at time 1e-3"];
        assert_eq!(
            super::counted(texts.into_iter()),
            [(2, "limit reached at time 0.001 .. 0.25".into()), (1, "`y` is NaN at time 3, but must be finite".into())]
        );
    }
}
