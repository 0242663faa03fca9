//! The attention part of a layer: heads from the products, keys and values into pages, and each row's look at them.

use std::cell::RefCell;

use super::forward::{Feed, Runner, gather, slices};
use super::kernels::{self, HeadPages, Isa, LANES, PAGE, Seen};
use super::kv::Kv;
use super::model::{Layer, Model};
use super::shape::Shape;

/// Queries that share one walk over keys and values.
const TILE: usize = 8;

/// Rows from which on keys and values are stored by all threads.
const MANY: usize = 32;

thread_local! {
    /// Queries and scores of a tile.
    static SCRATCH: RefCell<(Vec<f32>, Vec<f32>)> = const { RefCell::new((Vec::new(), Vec::new())) };
}

/// Rows of one sequence in a pass.
pub struct Segment {
    /// The first one's place in the pass.
    first: usize,
    rows: usize,
    /// The first one's place in the sequence.
    pub position: usize,
    /// The sequence's pages, those that these rows fill among them.
    pages: Vec<u32>,
}

impl Segment {
    /// The rows of the feeds of a pass, for which `kv` has made room.
    pub fn of(feeds: &[Feed<'_>], kv: &Kv) -> Vec<Self> {
        let mut first = 0;
        let segment = |feed: &Feed<'_>| {
            let rows = feed.tokens.len();
            first += rows;
            let (position, pages) = (kv.length(feed.sequence), kv.pages(feed.sequence).to_vec());
            Self { first: first - rows, rows, position, pages }
        };
        feeds.iter().map(segment).collect()
    }

    /// Every row: its place in the pass, and its place in the sequence.
    fn places(&self) -> impl Iterator<Item = (usize, usize)> {
        (0..self.rows).map(|i| (self.first + i, self.position + i))
    }
}

/// Cosines and sines of the rows of a pass, for each kind of rotation.
pub struct Rotations {
    pairs: usize,
    halves: bool,
    /// `[kind][row][pair]`.
    tables: Vec<(Vec<f32>, Vec<f32>)>,
}

impl Rotations {
    /// Angles `position * frequency`, in f64, rounded once.
    pub fn new(model: &Model, segments: &[Segment]) -> Self {
        let shape = &model.shape;
        let used = |kind: usize| shape.layers.iter().any(|l| l.rope == Some(kind));
        let table = |(kind, frequencies): (usize, &Vec<f64>)| {
            let (mut cos, mut sin) = (Vec::new(), Vec::new());
            let positions = segments.iter().flat_map(Segment::places).filter(|_| used(kind));
            for (_, position) in positions {
                for f in frequencies {
                    let (s, c) = libm::sincos(position as f64 * f);
                    cos.push(c as f32);
                    sin.push(s as f32);
                }
            }
            (cos, sin)
        };
        let tables = shape.ropes.iter().enumerate().map(table).collect();
        Self { pairs: shape.rotated / 2, halves: shape.halves, tables }
    }

    fn apply(&self, isa: Isa, kind: Option<usize>, row: usize, head: &mut [f32]) {
        if let Some((cos, sin)) = kind.and_then(|k| self.tables.get(k)) {
            let range = row * self.pairs..(row + 1) * self.pairs;
            kernels::rope(isa, head, &cos[range.clone()], &sin[range], self.halves);
        }
    }
}

/// Scratch memory: what heads attended to, `[tile][query][width]`.
#[derive(Default)]
pub struct Heads {
    attended: Vec<f32>,
}

/// How the queries of a pass are cut into tiles. A tile's queries are of one sequence and one head of keys: rows one after
/// another, of each row the heads that share the keys.
struct Tiling {
    size: usize,
    /// The first tile of each segment, and the end.
    starts: Vec<usize>,
    group: usize,
    kv_heads: usize,
}

impl Tiling {
    fn new(shape: &Shape, segments: &[Segment], threads: usize) -> Self {
        let group = shape.heads / shape.kv_heads;
        let queries: usize = segments.iter().map(|s| s.rows * shape.heads).sum();
        // Few queries are spread over the threads; one thread walks over keys as seldom as it can.
        let size = if threads == 1 || queries >= threads * TILE * 4 { TILE } else { 1 };
        let mut starts = vec![0];
        for s in segments {
            let tiles = (s.rows * group).div_ceil(size) * shape.kv_heads;
            starts.push(starts.last().copied().unwrap_or(0) + tiles);
        }
        Self { size, starts, group, kv_heads: shape.kv_heads }
    }

    fn count(&self) -> usize {
        self.starts.last().copied().unwrap_or(0)
    }

    /// Segment, head of keys and first query of a tile.
    fn tile(&self, segments: &[Segment], index: usize) -> (usize, usize, usize) {
        let segment = self.starts.partition_point(|s| *s <= index) - 1;
        let per = (segments[segment].rows * self.group).div_ceil(self.size);
        let within = index - self.starts[segment];
        (segment, within / per, within % per * self.size)
    }

    /// Where row `row` of a segment has what query head `head` attended to: counted in heads.
    fn place(&self, segments: &[Segment], segment: usize, row: usize, head: usize) -> usize {
        let per = (segments[segment].rows * self.group).div_ceil(self.size);
        let query = row * self.group + head % self.group;
        let tile = self.starts[segment] + head / self.group * per + query / self.size;
        debug_assert!(head / self.group < self.kv_heads);
        tile * self.size + query % self.size
    }
}

impl Runner {
    /// From the products of queries, keys and values to the inputs of the product that follows attention.
    pub(super) fn attend(
        &mut self,
        model: &Model,
        layer: &Layer,
        kv: &mut Kv,
        index: usize,
        segments: &[Segment],
        rotations: &Rotations,
    ) {
        let shape = &model.shape;
        let rows: usize = segments.iter().map(|s| s.rows).sum();
        self.store(shape, layer, kv, index, segments, rotations);
        let width = shape.padded_head();
        let tiling = Tiling::new(shape, segments, self.pool.threads());
        self.heads.attended.resize(tiling.count() * tiling.size * width, 0.0);
        let look = Look {
            isa: self.isa,
            shape,
            layer,
            products: &self.products,
            rows,
            rotations,
            arena: kv.layer(index),
            page: kv.page_size(),
        };
        self.pool.chunks(&mut self.heads.attended, tiling.size * width, |tile, out| {
            let (segment, head, first) = tiling.tile(segments, tile);
            let count = tiling.size.min(segments[segment].rows * tiling.group - first);
            look.tile(&segments[segment], head, tiling.group, first, &mut out[..count * width]);
        });
        let (isa, attended, codes) = (self.isa, &self.heads.attended, layer.out.matrix.wants_codes());
        let of: Vec<(usize, usize)> =
            segments.iter().enumerate().flat_map(|(s, segment)| (0..segment.rows).map(move |r| (s, r))).collect();
        self.inputs.resize(rows, shape.heads * shape.head);
        self.pool.rows(rows, slices(&mut [], &mut self.inputs), |t, row| {
            for (h, out) in row.values.chunks_exact_mut(shape.head).enumerate() {
                let at = tiling.place(segments, of[t].0, of[t].1, h) * width;
                out.copy_from_slice(&attended[at..at + shape.head]);
            }
            if codes {
                kernels::quantise(isa, row.values, row.codes, row.scales, row.sums);
            }
        });
    }

    /// Stores keys, normed and rotated, and values of a pass's rows.
    fn store(
        &mut self,
        shape: &Shape,
        layer: &Layer,
        kv: &mut Kv,
        index: usize,
        segments: &[Segment],
        rotations: &Rotations,
    ) {
        let size = kv.page_size();
        let rows: usize = segments.iter().map(|s| s.rows).sum();
        let store = Store { isa: self.isa, shape, layer, products: &self.products, rows, rotations };
        // Page, place in it, row.
        let mut places: Vec<(u32, usize, usize)> = Vec::with_capacity(rows);
        for s in segments {
            places.extend(s.places().map(|(t, position)| (s.pages[position / PAGE], position % PAGE, t)));
        }
        let arena = kv.layer_mut(index);
        if rows < MANY || self.pool.threads() == 1 {
            for (page, slot, t) in places {
                store.row(&mut arena[page as usize * size..(page as usize + 1) * size], slot, t);
            }
            return;
        }
        places.sort_unstable();
        self.pool.chunks(arena, size, |page, data| {
            let from = places.partition_point(|p| (p.0 as usize) < page);
            for (_, slot, t) in places[from..].iter().take_while(|p| p.0 as usize == page) {
                store.row(data, *slot, *t);
            }
        });
    }
}

/// What storing a row needs.
struct Store<'a> {
    isa: Isa,
    shape: &'a Shape,
    layer: &'a Layer,
    products: &'a [f32],
    rows: usize,
    rotations: &'a Rotations,
}

impl Store<'_> {
    fn row(&self, page: &mut [f32], slot: usize, t: usize) {
        let width = self.shape.padded_head();
        let panels = width / LANES;
        let k = self.layer.qkv[0].matrix.panels();
        let v = k + self.layer.qkv[1].matrix.panels();
        let mut key = vec![0.0; width];
        for (h, head) in page.chunks_exact_mut(2 * PAGE * width).enumerate() {
            let (keys, values) = head.split_at_mut(PAGE * width);
            gather(self.products, self.rows, k + h * panels, t, &mut key);
            norm_head(self.isa, self.shape, self.layer.k_norm.as_deref(), &mut key);
            self.rotations.apply(self.isa, self.layer.kind.rope, t, &mut key);
            let block = &mut keys[slot / LANES * width * LANES..];
            for (d, x) in key.iter().enumerate() {
                block[d * LANES + slot % LANES] = *x;
            }
            gather(self.products, self.rows, v + h * panels, t, &mut values[slot * width..(slot + 1) * width]);
        }
    }
}

/// What the tiles of a layer need.
struct Look<'a> {
    isa: Isa,
    shape: &'a Shape,
    layer: &'a Layer,
    products: &'a [f32],
    rows: usize,
    rotations: &'a Rotations,
    arena: &'a [f32],
    page: usize,
}

impl Look<'_> {
    /// Attention of the queries from `first` on, as many as `out` has room for.
    fn tile(&self, segment: &Segment, head: usize, group: usize, first: usize, out: &mut [f32]) {
        let width = self.shape.padded_head();
        let count = out.len() / width;
        let kv =
            HeadPages { arena: self.arena, pages: &segment.pages, size: self.page, at: head * 2 * PAGE * width, width };
        let mut seen: [Seen; TILE] = [(0, 0); TILE];
        SCRATCH.with_borrow_mut(|(queries, scores)| {
            queries.resize(TILE * width, 0.0);
            for (i, q) in queries.chunks_exact_mut(width).take(count).enumerate() {
                let (row, of) = ((first + i) / group, (first + i) % group);
                self.query(segment.first + row, head * group + of, q);
                let end = segment.position + row + 1;
                seen[i] = (self.layer.kind.window.map_or(0, |w| end.saturating_sub(w)), end);
            }
            let from = seen[..count].iter().map(|s| s.0).min().unwrap_or(0) / PAGE;
            let end = seen[..count].iter().map(|s| s.1).max().unwrap_or(0);
            let room = (end.div_ceil(PAGE) - from) * PAGE * TILE;
            if scores.len() < room {
                scores.resize(room, 0.0);
            }
            self.attend(&kv, queries, &seen[..count], scores, out);
        });
    }

    fn attend(&self, kv: &HeadPages<'_>, q: &[f32], seen: &[Seen], scores: &mut [f32], out: &mut [f32]) {
        let (isa, cap) = (self.isa, self.shape.attention_cap);
        match seen.len() {
            8 => kernels::attend::<8>(isa, q, kv, seen, cap, scores, out),
            4..8 => {
                kernels::attend::<4>(isa, q, kv, &seen[..4], cap, scores, &mut out[..4 * kv.width]);
                let (q, out) = (&q[4 * kv.width..], &mut out[4 * kv.width..]);
                self.attend(kv, q, &seen[4..], scores, out);
            }
            3 => kernels::attend::<3>(isa, q, kv, seen, cap, scores, out),
            2 => kernels::attend::<2>(isa, q, kv, seen, cap, scores, out),
            1 => kernels::attend::<1>(isa, q, kv, seen, cap, scores, out),
            _ => {}
        }
    }

    /// A query: normed, rotated, scaled.
    fn query(&self, t: usize, head: usize, q: &mut [f32]) {
        gather(self.products, self.rows, head * q.len() / LANES, t, q);
        norm_head(self.isa, self.shape, self.layer.q_norm.as_deref(), q);
        self.rotations.apply(self.isa, self.layer.kind.rope, t, q);
        for x in q {
            *x *= self.shape.attention_scale;
        }
    }
}

/// Norms one head, where the model does.
fn norm_head(isa: Isa, shape: &Shape, weights: Option<&[f32]>, head: &mut [f32]) {
    if let Some(weights) = weights {
        let (x, head) = (head.to_vec(), &mut head[..shape.head]);
        kernels::rms_norm(isa, &x[..shape.head], weights, shape.epsilon, head);
    }
}
