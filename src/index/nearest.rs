//! The vectors nearest to another: an exact scan by cosine.

/// Vectors of one dimension, in the order in which they came.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Vectors {
    dimensions: usize,
    numbers: Vec<f32>,
    /// The length of each.
    lengths: Vec<f64>,
}

/// A vector that is near.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Near {
    /// Its place, from 0.
    pub place: usize,
    /// The cosine of the angle to it, from -1 to 1; 0 where one of the two has no direction.
    pub score: f64,
}

impl Vectors {
    /// No vectors yet, all of `dimensions`.
    pub fn new(dimensions: usize) -> Self {
        Self { dimensions, ..Self::default() }
    }

    /// Adds a vector. One of another dimension is not taken.
    pub fn push(&mut self, vector: &[f32]) {
        if vector.len() == self.dimensions {
            self.numbers.extend_from_slice(vector);
            self.lengths.push(length(vector));
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.lengths.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    /// The dimension of each.
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// The `k` vectors nearest to `query`, of its dimension, nearest first; of two as near the earlier one. Scores below
    /// `min` are left out.
    pub fn nearest(&self, query: &[f32], k: usize, min: Option<f64>) -> Vec<Near> {
        let own = length(query);
        let mut all: Vec<Near> = self
            .numbers
            .chunks_exact(self.dimensions.max(1))
            .zip(&self.lengths)
            .map(|(vector, other)| cosine(dot(vector, query), own * other))
            .enumerate()
            .map(|(place, score)| Near { place, score })
            .filter(|near| min.is_none_or(|min| near.score >= min))
            .collect();
        let order = |a: &Near, b: &Near| b.score.total_cmp(&a.score).then(a.place.cmp(&b.place));
        if k < all.len() {
            if k > 0 {
                all.select_nth_unstable_by(k - 1, order);
            }
            all.truncate(k);
        }
        all.sort_unstable_by(order);
        all
    }
}

fn cosine(dot: f64, lengths: f64) -> f64 {
    // Rounding may lead a little beyond 1.
    if lengths > 0.0 { (dot / lengths).clamp(-1.0, 1.0) } else { 0.0 }
}

fn length(vector: &[f32]) -> f64 {
    dot(vector, vector).sqrt()
}

/// The product in double width, in a fixed order: the same everywhere.
fn dot(a: &[f32], b: &[f32]) -> f64 {
    const LANES: usize = 8;
    let mut sums = [0f64; LANES];
    let (a_chunks, b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f64 =
        a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum();
    for (a, b) in a_chunks.zip(b_chunks) {
        for (sum, (x, y)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += f64::from(*x) * f64::from(*y);
        }
    }
    sums.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(vectors: &[&[f32]]) -> Vectors {
        let mut all = Vectors::new(vectors.first().map_or(0, |v| v.len()));
        vectors.iter().for_each(|v| all.push(v));
        all
    }

    fn places(near: &[Near]) -> Vec<usize> {
        near.iter().map(|n| n.place).collect()
    }

    #[test]
    fn nearest_first_and_earlier_before_later() {
        let all = of(&[&[0.0, 1.0], &[1.0, 1.0], &[3.0, 0.0], &[-1.0, 0.0], &[0.5, 0.0]]);
        assert_eq!((all.len(), all.dimensions(), all.is_empty()), (5, 2, false));
        let near = all.nearest(&[2.0, 0.0], 9, None);
        assert_eq!(places(&near), [2, 4, 1, 0, 3]);
        let scores: Vec<f64> = near.iter().map(|n| n.score).collect();
        assert_eq!((scores[0], scores[1], scores[3], scores[4]), (1.0, 1.0, 0.0, -1.0));
        assert!((scores[2] - 0.5f64.sqrt()).abs() < 1e-12);
        for k in 0..5 {
            assert_eq!(places(&all.nearest(&[2.0, 0.0], k, None)), places(&near)[..k], "{k}");
        }
        assert_eq!(places(&all.nearest(&[2.0, 0.0], 9, Some(0.0))), [2, 4, 1, 0]);
        assert_eq!(places(&all.nearest(&[2.0, 0.0], 9, Some(1.0))), [2, 4]);
    }

    #[test]
    fn vectors_without_direction_score_nothing() {
        let all = of(&[&[0.0; 3], &[1.0, 2.0, 2.0]]);
        let scores = |query: &[f32]| all.nearest(query, 2, None).iter().map(|n| n.score).collect::<Vec<_>>();
        assert_eq!(scores(&[1.0, 2.0, 2.0]), [1.0, 0.0]);
        assert_eq!(scores(&[0.0; 3]), [0.0, 0.0]);
        assert!(of(&[]).nearest(&[1.0], 3, None).is_empty());
        // Numbers that only double width holds the square of.
        let huge = of(&[&[1e30, 1e30]]).nearest(&[1e30, 1e30], 1, None)[0].score;
        assert!((huge - 1.0).abs() < 1e-12, "{huge}");
    }

    #[test]
    fn long_vectors_as_the_plain_sum_has_it() {
        let a: Vec<f32> = (0..387u16).map(|i| f32::from(i % 13) - 6.0).collect();
        let b: Vec<f32> = (0..387u16).map(|i| f32::from(i % 7) - 3.0).collect();
        let plain: f64 = a.iter().zip(&b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum();
        assert!((dot(&a, &b) - plain).abs() < 1e-9);
    }
}
