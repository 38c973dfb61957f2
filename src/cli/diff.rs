//! Line differences between two texts, in the unified form that `patch` and reviewers read.

/// Lines shown around a change.
const CONTEXT: usize = 3;
/// Tables larger than this are not filled; the texts then count as wholly different between their common ends.
const LARGEST_TABLE: usize = 16_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Edit<'a> {
    Keep(&'a str),
    Remove(&'a str),
    Add(&'a str),
}

/// The difference from `old` to `new`; empty where they are equal.
pub fn unified(old: &str, new: &str, old_name: &str, new_name: &str) -> String {
    let edits = edits(&old.split_inclusive('\n').collect::<Vec<_>>(), &new.split_inclusive('\n').collect::<Vec<_>>());
    let is_near: Vec<bool> = (0..edits.len())
        .map(|i| {
            let around = &edits[i.saturating_sub(CONTEXT)..(i + CONTEXT + 1).min(edits.len())];
            around.iter().any(|edit| !matches!(edit, Edit::Keep(_)))
        })
        .collect();
    let mut out = String::new();
    let (mut old_line, mut new_line, mut i) = (1, 1, 0);
    while i < edits.len() {
        if !is_near[i] {
            old_line += 1;
            new_line += 1;
            i += 1;
            continue;
        }
        let n = is_near[i..].iter().take_while(|near| **near).count();
        let hunk = &edits[i..i + n];
        let n_old = hunk.iter().filter(|edit| !matches!(edit, Edit::Add(_))).count();
        let n_new = hunk.iter().filter(|edit| !matches!(edit, Edit::Remove(_))).count();
        if out.is_empty() {
            out = format!("--- {old_name}\n+++ {new_name}\n");
        }
        // An empty range counts from the line before it.
        let (from, to) = (old_line - usize::from(n_old == 0), new_line - usize::from(n_new == 0));
        out.push_str(&format!("@@ -{from},{n_old} +{to},{n_new} @@\n"));
        for edit in hunk {
            let (mark, line) = match edit {
                Edit::Keep(line) => (' ', line),
                Edit::Remove(line) => ('-', line),
                Edit::Add(line) => ('+', line),
            };
            out.push(mark);
            out.push_str(line);
            if !line.ends_with('\n') {
                out.push_str("\n\\ No newline at end of file\n");
            }
        }
        old_line += n_old;
        new_line += n_new;
        i += n;
    }
    out
}

/// The shortest edits by the longest common subsequence of what lies between the common ends.
fn edits<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<Edit<'a>> {
    let n_head = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let n_tail = old[n_head..].iter().rev().zip(new[n_head..].iter().rev()).take_while(|(a, b)| a == b).count();
    let (a, b) = (&old[n_head..old.len() - n_tail], &new[n_head..new.len() - n_tail]);
    let mut out: Vec<Edit<'a>> = old[..n_head].iter().map(|line| Edit::Keep(line)).collect();
    if a.len().saturating_mul(b.len()) > LARGEST_TABLE {
        out.extend(a.iter().map(|line| Edit::Remove(line)));
        out.extend(b.iter().map(|line| Edit::Add(line)));
    } else {
        // common[i][j]: length of the longest common subsequence of a[i..] and b[j..].
        let width = b.len() + 1;
        let mut common = vec![0_u32; (a.len() + 1) * width];
        for i in (0..a.len()).rev() {
            for j in (0..b.len()).rev() {
                common[i * width + j] = if a[i] == b[j] {
                    common[(i + 1) * width + j + 1] + 1
                } else {
                    common[(i + 1) * width + j].max(common[i * width + j + 1])
                };
            }
        }
        let (mut i, mut j) = (0, 0);
        while i < a.len() || j < b.len() {
            if i < a.len() && j < b.len() && a[i] == b[j] {
                out.push(Edit::Keep(a[i]));
                (i, j) = (i + 1, j + 1);
            } else if i < a.len() && (j == b.len() || common[(i + 1) * width + j] >= common[i * width + j + 1]) {
                out.push(Edit::Remove(a[i]));
                i += 1;
            } else {
                out.push(Edit::Add(b[j]));
                j += 1;
            }
        }
    }
    out.extend(old[old.len() - n_tail..].iter().map(|line| Edit::Keep(line)));
    out
}

#[cfg(test)]
mod tests {
    use super::unified;

    #[test]
    fn shows_changed_lines_with_context() {
        let old = "a\nb\nc\nd\ne\nf\ng\nh\n";
        let new = "a\nb\nc\nd\nX\nf\ng\nh\n";
        assert_eq!(
            unified(old, new, "old", "new"),
            "--- old\n+++ new\n@@ -2,7 +2,7 @@\n b\n c\n d\n-e\n+X\n f\n g\n h\n"
        );
        assert_eq!(unified(old, old, "old", "new"), "");
    }

    #[test]
    fn tells_a_missing_last_newline() {
        assert_eq!(
            unified("a", "a\n", "o", "n"),
            "--- o\n+++ n\n@@ -1,1 +1,1 @@\n-a\n\\ No newline at end of file\n+a\n"
        );
        assert_eq!(unified("", "a\n", "o", "n"), "--- o\n+++ n\n@@ -0,0 +1,1 @@\n+a\n");
    }
}
