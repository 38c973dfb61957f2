//! The nearest of several names, for "did you mean".

/// Edits between two names: insertions, deletions, replacements and swaps of neighbors (the optimal string alignment
/// form of Damerau 1964), over characters, capitals counted as small letters.
pub fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.to_lowercase().chars().collect();
    let b: Vec<char> = b.to_lowercase().chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

/// The candidate nearest to `name`, if it is near enough to be meant.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let bound = 1.max(name.chars().count() / 3);
    candidates.into_iter().map(|c| (distance(name, c), c)).filter(|(d, _)| *d <= bound).min().map(|(_, c)| c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_edits_and_swaps() {
        assert_eq!(distance("gama", "gamma"), 1);
        assert_eq!(distance("kact", "kcat"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("Kcat", "kcat"), 0);
        assert_eq!(nearest("thraeds", ["threads", "color"]), Some("threads"));
        assert_eq!(nearest("x", ["threads", "color"]), None);
    }
}
