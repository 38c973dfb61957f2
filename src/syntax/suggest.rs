//! "Did you mean": the candidate nearest to a misspelt name.

/// The Damerau–Levenshtein distance (optimal string alignment): insertions, deletions, replacements and exchanges of
/// neighboring characters that turn `a` into `b`.
///
/// Source: Damerau (1964), A technique for computer detection and correction of spelling errors, CACM 7(3).
pub fn damerau(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().collect();
    let b: Vec<char> = b.chars().collect();
    let width = b.len() + 1;
    let mut before = vec![0; width];
    let mut last: Vec<usize> = (0..width).collect();
    let mut row = vec![0; width];
    for i in 1..=a.len() {
        row[0] = i;
        for j in 1..=b.len() {
            let change = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (last[j] + 1).min(row[j - 1] + 1).min(last[j - 1] + change);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row[j] = best;
        }
        std::mem::swap(&mut before, &mut last);
        std::mem::swap(&mut last, &mut row);
    }
    last[b.len()]
}

/// The candidate nearest to `name`, if it is at most `max(1, length/3)` edits away; the first among equals.
/// A candidate that differs only in case counts as one edit away.
///
/// ```
/// use twinc::syntax::suggest;
/// assert_eq!(suggest("kct", ["koff", "kcat"].into_iter()), Some("kcat"));
/// assert_eq!(suggest("kct", ["Vmax"].into_iter()), None);
/// ```
pub fn suggest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let length = name.chars().count();
    // A scan of long names over many candidates costs their product; nobody misspells a 64-character name by a third.
    if length > 64 {
        return None;
    }
    let limit = (length / 3).max(1);
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        if candidate == name || candidate.len().abs_diff(name.len()) > 4 * limit {
            continue;
        }
        let mut distance = damerau(name, candidate);
        if distance > 1 && candidate.to_lowercase() == name.to_lowercase() {
            distance = 1;
        }
        if distance <= limit && best.is_none_or(|(d, _)| distance < d) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_edits_and_exchanges() {
        for (a, b, expected) in
            [("", "", 0), ("", "abc", 3), ("kcat", "kcat", 0), ("kct", "kcat", 1), ("kcta", "kcat", 1), ("ab", "ba", 1)]
        {
            assert_eq!(damerau(a, b), expected, "{a} {b}");
            assert_eq!(damerau(b, a), expected, "{b} {a}");
        }
        assert_eq!(damerau("kitten", "sitting"), 3);
    }

    #[test]
    fn offers_only_what_is_near() {
        assert_eq!(suggest("gama", ["gamma", "lambda"].into_iter()), Some("gamma"));
        assert_eq!(suggest("KCAT", ["kcat"].into_iter()), Some("kcat"));
        assert_eq!(suggest("x", ["abc"].into_iter()), None);
        assert_eq!(suggest("kcat", ["kcat"].into_iter()), None);
    }
}
