//! How alike prompts are, for the nearest one to what is missing.

/// How much two texts have in common at their beginnings and ends, in bytes, less what they differ in length.
pub(super) fn alike(a: &str, b: &str) -> i64 {
    let front = common(a.bytes(), b.bytes());
    let back = common(a[..].bytes().rev(), b.bytes().rev()).min(a.len().min(b.len()) - front);
    (front + back) as i64 - a.len().abs_diff(b.len()) as i64
}

fn common(a: impl Iterator<Item = u8>, b: impl Iterator<Item = u8>) -> usize {
    a.zip(b).take_while(|(a, b)| a == b).count()
}
