//! "did you mean": the name in a list that a misspelt one was probably meant to be.

/// Longer names are not searched for: the cost is the product of the lengths, and nobody misspells so much of a name.
const LONGEST: usize = 64;

/// The candidate nearest to `name`, the first of equals; `None` where all are further than a third of the name's length
/// (at least 1), because a wild guess helps nobody. One that differs only in case is one edit away.
///
/// ```
/// use twinc::diag::closest::closest;
/// assert_eq!(closest("kct", ["koff", "kcat"]), Some("kcat"));
/// assert_eq!(closest("kct", ["Vmax"]), None);
/// ```
pub fn closest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = name.chars().count();
    if length > LONGEST {
        return None;
    }
    let farthest = (length / 3).max(1);
    let distance = |candidate: &str| {
        let distance = edit_distance(name, candidate);
        if distance > 1 && candidate.to_lowercase() == name.to_lowercase() { 1 } else { distance }
    };
    candidates
        .into_iter()
        .filter(|candidate| *candidate != name && candidate.len().abs_diff(name.len()) <= 4 * farthest)
        .map(|candidate| (distance(candidate), candidate))
        .filter(|(distance, _)| *distance <= farthest)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How many insertions, deletions, replacements and swaps of neighbors lead from `a` to `b`, no letter edited twice
/// (the restricted distance of Damerau, "A technique for computer detection and correction of spelling errors", 1964).
pub fn edit_distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before_last = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before_last[j - 2] + 1);
            }
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_a_swap_of_neighbors_once() {
        assert_eq!(edit_distance("kcat", "kcat"), 0);
        assert_eq!(edit_distance("kcat", "kact"), 1);
        assert_eq!(edit_distance("kcat", "kct"), 1);
        assert_eq!(edit_distance("", "abc"), 3);
        assert_eq!(edit_distance("gama", "gamma"), 1);
    }

    #[test]
    fn suggests_only_what_is_near() {
        assert_eq!(closest("gama", ["alpha", "gamma"]), Some("gamma"));
        assert_eq!(closest("x", ["alpha", "gamma"]), None);
        assert_eq!(closest("velocity", ["viscosity", "veloctiy"]), Some("veloctiy"));
    }
}
