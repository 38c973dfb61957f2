//! Bytes of the safetensors format from [`Tensors`], and back: the length of a header (8 bytes, little-endian), the header
//! (JSON: each array's kind, shape and place, and the words as `__metadata__`), then the numbers.
//!
//! The bytes are a function of the arrays alone: arrays of wide numbers stand first, so that all are aligned, then names
//! are in order. Reading checks that places fit shapes and that every byte belongs to exactly one array, as the format asks.
//! Format: <https://github.com/huggingface/safetensors#format>.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::tensors::{Element, Numbers, Tensor, TensorError, Tensors};

/// Name of the words in the header.
const WORDS: &str = "__metadata__";

/// Longest header that is read, as in the format's reference reader.
const LONGEST_HEADER: u64 = 100_000_000;

fn width(kind: &str) -> Option<usize> {
    match kind {
        "F64" | "U64" => Some(8),
        "F32" => Some(4),
        "U8" => Some(1),
        _ => None,
    }
}

fn wrong<T>(what: impl Into<String>) -> Result<T, TensorError> {
    Err(TensorError::Format(what.into()))
}

impl Tensors {
    /// The bytes of a safetensors file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut order: Vec<(&String, &Tensor)> = self.arrays.iter().collect();
        order.sort_by_key(|(_, tensor)| std::cmp::Reverse(width(tensor.numbers.kind())));
        let mut header = Map::new();
        if !self.words.is_empty() {
            header.insert(WORDS.to_string(), json!(self.words));
        }
        let mut body = Vec::new();
        for (name, tensor) in order {
            let start = body.len();
            match &tensor.numbers {
                Numbers::F32(list) => list.iter().for_each(|v| body.extend_from_slice(&v.to_le_bytes())),
                Numbers::F64(list) => list.iter().for_each(|v| body.extend_from_slice(&v.to_le_bytes())),
                Numbers::U64(list) => list.iter().for_each(|v| body.extend_from_slice(&v.to_le_bytes())),
                Numbers::U8(list) => body.extend_from_slice(list),
            }
            let entry = json!({
                "dtype": tensor.numbers.kind(), "shape": tensor.shape, "data_offsets": [start, body.len()]
            });
            header.insert(name.clone(), entry);
        }
        let mut header = Value::Object(header).to_string().into_bytes();
        header.resize(header.len().next_multiple_of(8), b' ');
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.append(&mut header);
        bytes.append(&mut body);
        bytes
    }

    /// The arrays and words of a safetensors file.
    ///
    /// # Errors
    /// Where the bytes are cut short, not of the format, or of kinds of number that are not among ours.
    pub fn from_bytes(bytes: &[u8]) -> Result<Tensors, TensorError> {
        let Some((length, rest)) = bytes.split_first_chunk::<8>() else {
            return wrong(format!("a safetensors file has at least 8 bytes, this has {}", bytes.len()));
        };
        let length = u64::from_le_bytes(*length);
        if length > LONGEST_HEADER {
            return wrong("this is not a safetensors file: its first 8 bytes are no length of a header");
        }
        let length = length as usize;
        if rest.len() < length {
            return wrong(format!("the header has {length} bytes, but the file ends after {} of them", rest.len()));
        }
        let (header, body) = rest.split_at(length);
        let header: Map<String, Value> = match serde_json::from_slice(header) {
            Ok(header) => header,
            Err(error) => return wrong(format!("the header is not JSON: {error}")),
        };
        let mut tensors = Tensors::default();
        let mut places = Vec::new();
        for (name, entry) in header {
            if name == WORDS {
                tensors.words = match serde_json::from_value::<BTreeMap<String, String>>(entry) {
                    Ok(words) => words,
                    Err(error) => return wrong(format!("`{WORDS}` holds more than words: {error}")),
                };
                continue;
            }
            let (place, tensor) = read(&name, &entry, body)?;
            places.push((place, name.clone()));
            tensors.arrays.insert(name, tensor);
        }
        places.sort();
        let mut end = 0;
        for ((from, to), name) in places {
            if from != end {
                return wrong(format!("`{name}` starts at byte {from}, where {end} was expected"));
            }
            end = to;
        }
        if end != body.len() {
            return wrong(format!("the arrays have {end} bytes, but the file has {}", body.len()));
        }
        Ok(tensors)
    }
}

/// Begin and end of an array's bytes, and the array.
fn read(name: &str, entry: &Value, body: &[u8]) -> Result<((usize, usize), Tensor), TensorError> {
    let whole = |value: &Value| value.as_u64().and_then(|v| usize::try_from(v).ok());
    let numbers = |key: &str| -> Option<Vec<usize>> { entry.get(key)?.as_array()?.iter().map(whole).collect() };
    let (Some(kind), Some(shape), Some(place)) =
        (entry.get("dtype").and_then(Value::as_str), numbers("shape"), numbers("data_offsets"))
    else {
        return wrong(format!("the header does not give kind, shape and place of `{name}`"));
    };
    let &[from, to] = &place[..] else { return wrong(format!("the place of `{name}` is not a pair")) };
    let Some(width) = width(kind) else {
        return wrong(format!("`{name}` has numbers of kind {kind}, and only F32, F64, U64 and U8 are read"));
    };
    let size = shape.iter().try_fold(width, |size, n| size.checked_mul(*n));
    if to.checked_sub(from) != size || size.is_none() {
        return wrong(format!("`{name}` has shape {shape:?} of {kind}, which are not {from} to {to} bytes"));
    }
    let Some(bytes) = body.get(from..to) else {
        return wrong(format!("`{name}` ends at byte {to}, but the file at byte {}", body.len()));
    };
    let numbers = match kind {
        "F32" => f32::wrap(words(bytes, f32::from_le_bytes)),
        "F64" => f64::wrap(words(bytes, f64::from_le_bytes)),
        "U64" => u64::wrap(words(bytes, u64::from_le_bytes)),
        _ => u8::wrap(bytes.to_vec()),
    };
    Ok(((from, to), Tensor { shape, numbers }))
}

/// Numbers from their bytes.
fn words<const N: usize, T>(bytes: &[u8], from: fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|chunk| from(*chunk)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tensors::Tensors;

    fn some() -> Tensors {
        let mut tensors = Tensors::default();
        tensors.put("b/weight", &[2, 3], &[1.0f32, -0.0, 3.5, f32::MIN_POSITIVE, 5.0, 6.0]);
        tensors.put("a", &[3], &[1u8, 2, 255]);
        tensors.put("c", &[1], &[u64::MAX]);
        tensors.put("d", &[2, 0], &[] as &[f64]);
        tensors.put_word("algorithm", "sac \"quoted\"");
        tensors
    }

    #[test]
    fn bytes_give_back_what_was_put() {
        let tensors = some();
        let bytes = tensors.to_bytes();
        assert_eq!(Tensors::from_bytes(&bytes).expect("of the format"), tensors);
        assert_eq!(tensors.to_bytes(), bytes);
    }

    #[test]
    fn every_truncation_is_refused() {
        let bytes = some().to_bytes();
        for n in 0..bytes.len() {
            assert!(Tensors::from_bytes(&bytes[..n]).is_err(), "{n} bytes");
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert!(Tensors::from_bytes(&longer).is_err());
    }

    #[test]
    fn shapes_and_kinds_are_checked() {
        let tensors = some();
        let told = |error: super::TensorError| error.to_string();
        assert_eq!(told(tensors.get::<f32>("b/bias", &[1]).unwrap_err()), "there is no array `b/bias`");
        assert_eq!(
            told(tensors.get::<f32>("b/weight", &[3, 2]).unwrap_err()),
            "`b/weight` has F32 [2, 3], expected F32 [3, 2]"
        );
        assert_eq!(told(tensors.get::<f64>("c", &[1]).unwrap_err()), "`c` has U64 [1], expected F64");
        assert_eq!(
            told(tensors.check_word("algorithm", "td3").unwrap_err()),
            "`algorithm` is `sac \"quoted\"`, expected `td3`"
        );
    }

    #[test]
    fn headers_that_lie_are_refused() {
        let file = |header: &str, body: &[u8]| {
            let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
            bytes.extend_from_slice(header.as_bytes());
            bytes.extend_from_slice(body);
            Tensors::from_bytes(&bytes).map_err(|e| e.to_string())
        };
        let wrong = |header: &str, body: &[u8], says: &str| {
            let told = file(header, body).expect_err(header);
            assert!(told.contains(says), "{told}");
        };
        wrong(r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}"#, &[0; 4], "not 0 to 4 bytes");
        wrong(r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#, &[0; 8], "starts at byte 4");
        wrong(r#"{"a":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}"#, &[0; 4], "kind BF16");
        wrong(r#"{"a":{"dtype":"U8","shape":[18446744073709551615,2],"data_offsets":[0,4]}}"#, &[0; 4], "not 0 to 4");
        wrong("[]", &[], "not JSON");
        wrong(r#"{"a":3}"#, &[], "does not give");
        assert!(file(r#"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}"#, &[1, 2]).is_ok());
    }

    #[test]
    fn a_generator_goes_on_where_it_stood() {
        use rand::RngCore;
        let mut rng = crate::random::stream(7, 3);
        rng.next_u32();
        let mut tensors = Tensors::default();
        tensors.put_rng("noise", &rng);
        let mut again = tensors.get_rng("noise").expect("put before");
        for _ in 0..100 {
            assert_eq!(rng.next_u64(), again.next_u64());
        }
    }
}
