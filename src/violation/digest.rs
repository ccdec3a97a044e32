//! SHA-256 (FIPS 180-4), so that `sha256sum` of a settings file agrees with the log.

const ROUNDS: usize = 64;
const BLOCK: usize = 64;

/// The first 32 bits of the fractional parts of the cube roots of the first 64 primes.
const K: [u32; ROUNDS] = [
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
];

/// The same of the square roots of the first eight.
const START: [u32; 8] = [
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
];

/// The digest of `input`, in hexadecimal digits.
pub fn sha256(input: &[u8]) -> String {
    let bits = u64::try_from(input.len()).unwrap_or(0).wrapping_mul(8);
    let mut padded = [input, &[0x80]].concat();
    while padded.len() % BLOCK != BLOCK - 8 {
        padded.push(0);
    }
    padded.extend(bits.to_be_bytes());
    let mut state = START;
    for block in padded.chunks(BLOCK) {
        state = compress(state, block);
    }
    state.iter().map(|word| format!("{word:08x}")).collect()
}

fn compress(state: [u32; 8], block: &[u8]) -> [u32; 8] {
    let mut words: Vec<u32> = block
        .chunks(4)
        .filter_map(|four| Some(u32::from_be_bytes(four.try_into().ok()?)))
        .collect();
    while words.len() < ROUNDS {
        let [.., w16, w15, _, _, _, _, _, _, _, w7, _, _, _, _, w2, _] = *words.as_slice() else {
            break;
        };
        words.push(expand(w16, w15, w7, w2));
    }
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = state;
    for (k, w) in K.iter().zip(&words) {
        let big1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
        let choose = (e & f) ^ (!e & g);
        let one = h
            .wrapping_add(big1)
            .wrapping_add(choose)
            .wrapping_add(*k)
            .wrapping_add(*w);
        let big0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
        let majority = (a & b) ^ (a & c) ^ (b & c);
        let two = big0.wrapping_add(majority);
        (h, g, f, e, d, c, b, a) = (g, f, e, d.wrapping_add(one), c, b, a, one.wrapping_add(two));
    }
    let now = [a, b, c, d, e, f, g, h];
    let mut sum = state;
    for (word, more) in sum.iter_mut().zip(now) {
        *word = word.wrapping_add(more);
    }
    sum
}

/// A word of the schedule, from those 16, 15, 7 and 2 places before it.
fn expand(w16: u32, w15: u32, w7: u32, w2: u32) -> u32 {
    let small0 = w15.rotate_right(7) ^ w15.rotate_right(18) ^ (w15 >> 3);
    let small1 = w2.rotate_right(17) ^ w2.rotate_right(19) ^ (w2 >> 10);
    w16.wrapping_add(small0)
        .wrapping_add(w7)
        .wrapping_add(small1)
}
