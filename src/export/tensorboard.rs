//! Numbers over steps to the event files that TensorBoard reads.
//!
//! An event file is a sequence of records (`TFRecord`): the length of a message, a checksum of the length, the message, a
//! checksum of it; the checksum is CRC-32C (Castagnoli et al. 1993), turned and shifted so that a checksum of checksums is no
//! trap. A message is an `Event` of TensorFlow's `event.proto` in the encoding of protocol buffers. The caller appends what
//! these functions return; [`begin`] comes first. A file's name must hold the word `tfevents`.
//!
//! Events carry the time of day, so the bytes of two runs differ; the caller says what time it is.

/// Reflected polynomial of CRC-32C.
const POLYNOMIAL: u32 = 0x82f6_3b78;
/// Added to a turned checksum, as the format says.
const MASK: u32 = 0xa282_ead8;
/// The checksum of every byte alone.
const TABLE: [u32; 256] = table();

/// How a field is encoded, the low three bits of its key.
#[derive(Debug, Clone, Copy)]
enum Wire {
    Varint = 0,
    Fixed64 = 1,
    Bytes = 2,
    Fixed32 = 5,
}

/// The record that a file begins with. `wall_time`: seconds since 1970.
pub fn begin(wall_time: f64) -> Vec<u8> {
    let mut event = event(wall_time, 0);
    bytes(&mut event, 3, b"brain.Event:2");
    record(&event)
}

/// The record of a run that goes on at `step`: what an earlier file says of later steps counts no more.
pub fn restart(wall_time: f64, step: u64) -> Vec<u8> {
    const SESSION_STARTS: u64 = 1;
    let mut session = Vec::new();
    key(&mut session, 1, Wire::Varint);
    varint(&mut session, SESSION_STARTS);
    let mut event = event(wall_time, step);
    bytes(&mut event, 7, &session);
    record(&event)
}

/// The record of several numbers at `step`, each under its name, such as `train/return`.
pub fn scalars<'a>(wall_time: f64, step: u64, values: impl IntoIterator<Item = (&'a str, f64)>) -> Vec<u8> {
    let mut summary = Vec::new();
    for (name, number) in values {
        let mut value = Vec::new();
        bytes(&mut value, 1, name.as_bytes());
        key(&mut value, 2, Wire::Fixed32);
        value.extend((number as f32).to_le_bytes());
        bytes(&mut summary, 1, &value);
    }
    let mut event = event(wall_time, step);
    bytes(&mut event, 5, &summary);
    record(&event)
}

/// The fields that every event has.
fn event(wall_time: f64, step: u64) -> Vec<u8> {
    let mut out = Vec::new();
    key(&mut out, 1, Wire::Fixed64);
    out.extend(wall_time.to_le_bytes());
    key(&mut out, 2, Wire::Varint);
    varint(&mut out, step);
    out
}

fn key(out: &mut Vec<u8>, field: u64, wire: Wire) {
    varint(out, field << 3 | wire as u64);
}

/// Seven bits a byte, the lowest first; the top bit says that more follow.
fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn bytes(out: &mut Vec<u8>, field: u64, content: &[u8]) {
    key(out, field, Wire::Bytes);
    varint(out, content.len() as u64);
    out.extend(content);
}

fn record(message: &[u8]) -> Vec<u8> {
    let length = (message.len() as u64).to_le_bytes();
    let mut out = Vec::with_capacity(message.len() + 16);
    out.extend(length);
    out.extend(masked(&length).to_le_bytes());
    out.extend(message);
    out.extend(masked(message).to_le_bytes());
    out
}

fn masked(message: &[u8]) -> u32 {
    crc32c(message).rotate_right(15).wrapping_add(MASK)
}

/// CRC-32C of a message.
pub fn crc32c(message: &[u8]) -> u32 {
    !message.iter().fold(!0, |crc, byte| TABLE[(crc as u8 ^ byte) as usize] ^ crc >> 8)
}

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut k = 0;
    while k < table.len() {
        let (mut rest, mut bit) = (k as u32, 0);
        while bit < 8 {
            rest = if rest & 1 == 1 { rest >> 1 ^ POLYNOMIAL } else { rest >> 1 };
            bit += 1;
        }
        table[k] = rest;
        k += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check value and test vectors of RFC 3720, B.4.
    #[test]
    fn checksums_are_those_of_the_standard() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(&(0..32).collect::<Vec<u8>>()), 0x46dd_794e);
    }

    #[test]
    fn records_hold_the_message_between_checksums() {
        let out = scalars(1.5, 300, [("a/b", 2.0)]);
        let n = out.len() - 16;
        assert_eq!(out[..8], (n as u64).to_le_bytes());
        let message = &out[12..12 + n];
        assert_eq!(out[12 + n..], masked(message).to_le_bytes());
        let expected: Vec<u8> = [
            &[0x09][..],
            &1.5_f64.to_le_bytes(),
            &[0x10, 0xac, 0x02, 0x2a, 12, 0x0a, 10, 0x0a, 3],
            b"a/b",
            &[0x15],
            &2.0_f32.to_le_bytes(),
        ]
        .concat();
        assert_eq!(message, expected);
    }
}
