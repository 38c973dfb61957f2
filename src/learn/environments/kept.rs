//! What environments keep: words as bytes, least significant first, behind a head that says of what.

use crate::flat::FlatTask;

/// Begins with it; the last digit is the version.
const MARK: u64 = u64::from_le_bytes(*b"twinenv1");

/// What kind of environment is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Plants = 1,
    Rows = 2,
    Coached = 3,
}

/// A number that tells tasks apart: of its name and those of its quantities (the hash of G. Fowler, L. C. Noll and P. Vo,
/// FNV-1a in 64 bits).
pub(super) fn fingerprint(task: &FlatTask) -> u64 {
    let model = &task.model;
    let states = model.states.iter().map(|state| &state.quantity);
    let inputs = model.inputs.iter().chain(&model.disturbances).map(|input| &input.quantity);
    let params = model.params.iter().map(|param| &param.quantity);
    let names = states.chain(inputs).chain(params).map(|quantity| &quantity.name);
    let bytes = [&task.name].into_iter().chain(names).flat_map(|name| name.bytes().chain([0]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Bytes of words that belong to the task `task` and to `sizes`.
pub(super) fn to_bytes(kind: Kind, task: u64, sizes: &[usize], words: &[u64]) -> Vec<u8> {
    let head = [MARK, kind as u64, task].into_iter().chain(sizes.iter().map(|&size| size as u64));
    head.chain(words.iter().copied()).flat_map(u64::to_le_bytes).collect()
}

/// The words of [`to_bytes`].
///
/// # Errors
/// Where the bytes are of something else, of another task, or of other sizes.
pub(super) fn from_bytes(kind: Kind, task: u64, sizes: &[usize], bytes: &[u8]) -> Result<Vec<u64>, String> {
    let (whole, rest) = bytes.as_chunks::<8>();
    let mut words = whole.iter().map(|word| u64::from_le_bytes(*word));
    if !rest.is_empty() || words.next() != Some(MARK) || words.next() != Some(kind as u64) {
        return Err("the bytes are not those of such an environment".into());
    }
    if words.next() != Some(task) {
        return Err("the environment was kept for another task".into());
    }
    for &expected in sizes {
        let found = words.next().unwrap_or(0);
        if found != expected as u64 {
            return Err(format!("the environment was kept with a size of {found}, and this one has {expected}"));
        }
    }
    Ok(words.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_back_and_others_are_refused() {
        let bytes = to_bytes(Kind::Rows, 5, &[2, 3], &[7, u64::MAX]);
        assert_eq!(from_bytes(Kind::Rows, 5, &[2, 3], &bytes), Ok(vec![7, u64::MAX]));
        assert!(from_bytes(Kind::Rows, 6, &[2, 3], &bytes).is_err_and(|why| why.contains("another task")));
        assert!(from_bytes(Kind::Plants, 5, &[2, 3], &bytes).is_err());
        assert!(from_bytes(Kind::Rows, 5, &[2, 4], &bytes).is_err_and(|why| why.contains("3, and this one has 4")));
        assert!(from_bytes(Kind::Rows, 5, &[2, 3], &bytes[..bytes.len() - 1]).is_err());
        assert!(from_bytes(Kind::Rows, 5, &[2, 3], b"").is_err());
    }
}
