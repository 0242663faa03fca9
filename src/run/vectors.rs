//! Vectors that were made before: what is kept of each, under the digest of its text and of what made it.

use serde_json::json;

use crate::store::{Store, digest};

/// What every entry begins with; another form of entries has another word.
const MAGIC: &[u8] = b"chainrun vector 1\n";

/// Digits of a digest.
const DIGITS: usize = 64;

/// The key of a text's vector: the text, and what its embedder is known by. No secret is part of either.
pub fn key(identity: &str, text: &str) -> String {
    digest(json!({ "vector": 1, "embedder": identity, "text": text }).to_string().as_bytes())
}

/// The vector that is kept under a key; none where there is none.
///
/// # Errors
/// There is an entry that cannot be used: cut, damaged, another's, or not to be read.
pub fn find(store: &Store, key: &str) -> Result<Option<Vec<f32>>, ()> {
    match store.read(key) {
        Ok(Some(bytes)) => read(key, &bytes).map(Some).ok_or(()),
        Ok(None) => Ok(None),
        Err(_) => Err(()),
    }
}

fn read(key: &str, bytes: &[u8]) -> Option<Vec<f32>> {
    let (whole, sum) = bytes.split_at_checked(bytes.len().checked_sub(DIGITS)?)?;
    let numbers = whole.strip_prefix(MAGIC)?.strip_prefix(key.as_bytes())?;
    let (fours, rest) = numbers.as_chunks::<4>();
    if fours.is_empty() || !rest.is_empty() || digest(whole).as_bytes() != sum {
        return None;
    }
    let vector: Vec<f32> = fours.iter().map(|four| f32::from_le_bytes(*four)).collect();
    vector.iter().all(|x| x.is_finite()).then_some(vector)
}

/// Keeps a vector.
///
/// # Errors
/// It cannot be written; told once a run.
pub fn keep(store: &Store, key: &str, vector: &[f32]) -> Result<(), String> {
    let mut bytes = Vec::with_capacity(MAGIC.len() + 2 * DIGITS + 4 * vector.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(key.as_bytes());
    bytes.extend(vector.iter().flat_map(|x| x.to_le_bytes()));
    let sum = digest(&bytes);
    bytes.extend_from_slice(sum.as_bytes());
    store.write(key, &bytes).map_err(|e| format!("vectors cannot be kept in {}: {e}", store.dir().display()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_comes_back_and_nothing_else_does() {
        let dir = std::env::temp_dir().join(format!("chainrun-vectors-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        let store = Store::new(dir.clone());
        let (one, other) = (key("fake", "a potato"), key("ollama", "a potato"));
        assert_ne!(one, other);
        assert_eq!(find(&store, &one), Ok(None));
        keep(&store, &one, &[1.0, -0.5]).unwrap();
        assert_eq!(find(&store, &one), Ok(Some(vec![1.0, -0.5])));
        let whole = store.read(&one).unwrap().unwrap();
        for cut in 0..whole.len() {
            assert_eq!(read(&one, &whole[..cut]), None, "cut to {cut}");
        }
        for at in 0..whole.len() {
            let mut bent = whole.clone();
            bent[at] ^= 1;
            assert_eq!(read(&one, &bent), None, "bent at {at}");
        }
        assert_eq!(read(&other, &whole), None);
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
