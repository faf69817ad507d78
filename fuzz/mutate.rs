//! Small harm done to valid messages.

use rand::{Rng, seq::IndexedRandom};

/// What decoders have stumbled over.
const NASTY: [&[u8]; 36] = [
    b"\\ud800",
    b"\\u0000",
    b"\xff",
    b"\xed\xa0\x80",
    b"1e999",
    b"-0",
    b"1e-999",
    b"99999999999999999999999999",
    b"0.1e1000000",
    b"NaN",
    b"Infinity",
    b"null",
    b"true",
    b"\"\"",
    b"{}",
    b"[]",
    b"[[[[[[[[[[[[[[[[",
    b"{\"a\":",
    b"\"task\":",
    b"\"args\":",
    b"\"kwargs\":[],",
    b"\"__type__\":\"base64\",\"__value__\":",
    b"\xdd\xff\xff\xff\xff",
    b"\xdf\xff\xff\xff\xff",
    b"\xc6\xff\xff\xff\xff",
    b"\xdb\xff\xff\xff\xff",
    b"\xc9\x7f\xff\xff\xff\x01",
    b"\x91\x91\x91",
    b"&a ",
    b"*a",
    b"<<: *a\n",
    b"!!set ",
    b"? ",
    b"- - - - - - -",
    b"\n\t",
    b"|2-\n",
];

/// A seed changed in a few places, or noise.
pub fn mutated(rng: &mut impl Rng, seeds: &[Vec<u8>]) -> Vec<u8> {
    if rng.random_ratio(1, 16) {
        let length = rng.random_range(0..64);
        return (0..length).map(|_| rng.random()).collect();
    }
    let mut data = seeds.choose(rng).cloned().unwrap_or_default();
    for _ in 0..rng.random_range(1..=4) {
        change(rng, &mut data, seeds);
    }
    data
}

fn change(rng: &mut impl Rng, data: &mut Vec<u8>, seeds: &[Vec<u8>]) {
    let (start, end) = range(rng, data.len());
    match rng.random_range(0..8) {
        0 => data.truncate(start),
        1 => drop(data.drain(start..end)),
        2 => drop(data.splice(start..start, data[start..end].to_vec())),
        3 => drop(
            data.splice(
                start..end,
                NASTY
                    .choose(rng)
                    .copied()
                    .unwrap_or_default()
                    .iter()
                    .copied(),
            ),
        ),
        4 => {
            let other = seeds.choose(rng).map_or(&[][..], Vec::as_slice);
            let (from, to) = range(rng, other.len());
            data.splice(start..end, other[from..to].iter().copied());
        }
        5 => {
            // Deep, or many: the same short piece again and again.
            let piece = NASTY.choose(rng).copied().unwrap_or_default();
            let times = rng.random_range(1..400);
            data.splice(start..start, piece.repeat(times));
        }
        _ => {
            if let Some(byte) = data.get_mut(start) {
                *byte ^= 1 << rng.random_range(0..8);
            }
        }
    }
}

fn range(rng: &mut impl Rng, length: usize) -> (usize, usize) {
    let start = rng.random_range(0..=length);
    (start, rng.random_range(start..=length.min(start + 32)))
}
