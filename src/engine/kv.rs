//! Keys and values of sequences, in pages that sequences with the same beginning share. Pages form a tree over tokens; what
//! was computed once stays until the room is needed.

use super::error::EngineError;
use super::kernels::PAGE;
use super::shape::Shape;

/// A sequence in a [`Kv`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SequenceId(usize);

/// What is known of a page besides its numbers.
#[derive(Default)]
struct Page {
    parent: Option<u32>,
    children: Vec<u32>,
    /// Tokens whose keys and values are in it, in order. A page with children is full.
    tokens: Vec<u32>,
    /// Sequences that it is part of.
    users: u32,
    /// When it was part of a sequence last.
    used: u64,
}

/// A sequence: its pages, and tokens in them.
struct Sequence {
    pages: Vec<u32>,
    length: usize,
}

/// Keys and values.
pub struct Kv {
    /// All pages of each layer, `[page][head][keys, values]`. Memory that no page has used yet is not touched.
    layers: Vec<Vec<f32>>,
    /// Numbers of a page in a layer.
    size: usize,
    pages: Vec<Page>,
    free: Vec<u32>,
    /// Pages that begin a sequence.
    roots: Vec<u32>,
    sequences: Vec<Option<Sequence>>,
    clock: u64,
}

impl Kv {
    /// Room for `tokens` tokens of a decoder, shared or not.
    pub fn new(shape: &Shape, tokens: usize) -> Self {
        let count = tokens.div_ceil(PAGE).max(1);
        let size = shape.kv_heads * 2 * PAGE * shape.padded_head();
        Self {
            layers: shape.layers.iter().map(|_| vec![0.0; count * size]).collect(),
            size,
            pages: (0..count).map(|_| Page::default()).collect(),
            free: (0..count as u32).rev().collect(),
            roots: Vec::new(),
            sequences: Vec::new(),
            clock: 0,
        }
    }

    /// Tokens that fit.
    pub fn capacity(&self) -> usize {
        self.pages.len() * PAGE
    }

    /// Tokens that would fit besides those of open sequences.
    pub fn room(&self) -> usize {
        self.pages.iter().filter(|p| p.users == 0).count() * PAGE
    }

    /// How many of the first tokens are there already. The last one never counts: its logits are to be computed.
    pub fn known(&self, tokens: &[u32]) -> usize {
        let (pages, at, best) = self.find(tokens);
        debug_assert_eq!(pages.len() * PAGE, at);
        at + best.map_or(0, |(_, count)| count)
    }

    /// Full pages that hold the beginning of `tokens`, how many tokens these are, and the page that holds most of what
    /// follows, with the count.
    fn find(&self, tokens: &[u32]) -> (Vec<u32>, usize, Option<(u32, usize)>) {
        let most = tokens.len().saturating_sub(1);
        let (mut path, mut at) = (Vec::new(), 0);
        let mut next = &self.roots;
        loop {
            let wanted = &tokens[at..most];
            let common =
                |page: u32| self.pages[page as usize].tokens.iter().zip(wanted).take_while(|(a, b)| a == b).count();
            let best = next.iter().map(|p| (*p, common(*p))).max_by_key(|(_, count)| *count);
            match best {
                Some((page, PAGE)) => {
                    path.push(page);
                    at += PAGE;
                    next = &self.pages[page as usize].children;
                }
                other => return (path, at, other.filter(|(_, count)| *count > 0)),
            }
        }
    }

    /// Begins a sequence that will hold `tokens`; gives how many of them it holds already.
    ///
    /// # Errors
    /// There is no room.
    pub fn open(&mut self, tokens: &[u32]) -> Result<(SequenceId, usize), EngineError> {
        let (pages, length, partial) = self.find(tokens);
        self.clock += 1;
        for page in &pages {
            self.pages[*page as usize].users += 1;
        }
        let id = self.sequences.iter().position(Option::is_none).unwrap_or(self.sequences.len());
        if id == self.sequences.len() {
            self.sequences.push(None);
        }
        self.sequences[id] = Some(Sequence { pages, length });
        let id = SequenceId(id);
        if let Some((source, count)) = partial {
            self.copy_beginning(id, source, count)?;
        }
        Ok((id, self.length(id)))
    }

    /// Adds a page to a sequence that holds the first tokens of another page.
    fn copy_beginning(&mut self, id: SequenceId, source: u32, count: usize) -> Result<(), EngineError> {
        self.pages[source as usize].users += 1;
        let added = self.add_page(id);
        self.pages[source as usize].users -= 1;
        let Some(page) = added else {
            self.close(id);
            return Err(EngineError::Full);
        };
        let (from, to, size) = (source as usize * self.size, page as usize * self.size, self.size);
        for layer in &mut self.layers {
            layer.copy_within(from..from + size, to);
        }
        let tokens = self.pages[source as usize].tokens[..count].to_vec();
        self.pages[page as usize].tokens = tokens;
        if let Some(Some(sequence)) = self.sequences.get_mut(id.0) {
            sequence.length += count;
        }
        Ok(())
    }

    /// Ends a sequence. Its pages stay until the room is needed.
    pub fn close(&mut self, id: SequenceId) {
        self.abandon(id);
        self.clock += 1;
        if let Some(sequence) = self.sequences.get_mut(id.0).and_then(Option::take) {
            for page in sequence.pages {
                let page = &mut self.pages[page as usize];
                page.users -= 1;
                page.used = self.clock;
            }
        }
    }

    /// Tokens of a sequence that are stored.
    pub fn length(&self, id: SequenceId) -> usize {
        self.sequence(id).map_or(0, |s| s.length)
    }

    fn sequence(&self, id: SequenceId) -> Option<&Sequence> {
        self.sequences.get(id.0)?.as_ref()
    }

    /// The pages of a sequence in order.
    pub fn pages(&self, id: SequenceId) -> &[u32] {
        self.sequence(id).map_or(&[], |s| &s.pages)
    }

    /// Makes room for `count` more tokens of a sequence.
    ///
    /// # Errors
    /// There is none.
    pub fn grow(&mut self, id: SequenceId, count: usize) -> Result<(), EngineError> {
        while self.pages(id).len() * PAGE < self.length(id) + count {
            if self.add_page(id).is_none() {
                self.abandon(id);
                return Err(EngineError::Full);
            }
        }
        Ok(())
    }

    /// Notes that the keys and values of `tokens` have been stored behind those of the sequence.
    pub fn commit(&mut self, id: SequenceId, tokens: &[u32]) {
        let Some(Some(sequence)) = self.sequences.get_mut(id.0) else { return };
        for token in tokens {
            if let Some(page) = sequence.pages.get(sequence.length / PAGE) {
                self.pages[*page as usize].tokens.push(*token);
                sequence.length += 1;
            }
        }
    }

    /// Gives back the pages that [`grow`](Self::grow) took and nothing was committed to.
    pub fn abandon(&mut self, id: SequenceId) {
        loop {
            let Some(Some(sequence)) = self.sequences.get_mut(id.0) else { return };
            match sequence.pages.last() {
                Some(page) if self.pages[*page as usize].tokens.is_empty() => {
                    let page = *page;
                    sequence.pages.pop();
                    self.pages[page as usize].users = 0;
                    self.unlink(page);
                    self.free.push(page);
                }
                _ => return,
            }
        }
    }

    fn add_page(&mut self, id: SequenceId) -> Option<u32> {
        let page = match self.free.pop() {
            Some(page) => page,
            None => self.evict()?,
        };
        let parent = self.pages(id).last().copied();
        self.pages[page as usize] = Page { parent, users: 1, ..Page::default() };
        match parent {
            Some(parent) => self.pages[parent as usize].children.push(page),
            None => self.roots.push(page),
        }
        if let Some(Some(sequence)) = self.sequences.get_mut(id.0) {
            sequence.pages.push(page);
        }
        Some(page)
    }

    /// Takes away the page without users and followers that was used longest ago.
    fn evict(&mut self) -> Option<u32> {
        let unused = self.pages.iter().enumerate().filter(|(_, p)| p.users == 0 && p.children.is_empty());
        let (page, _) = unused.min_by_key(|(_, p)| p.used)?;
        self.unlink(page as u32);
        Some(page as u32)
    }

    fn unlink(&mut self, page: u32) {
        match self.pages[page as usize].parent.take() {
            Some(parent) => self.pages[parent as usize].children.retain(|c| *c != page),
            None => self.roots.retain(|r| *r != page),
        }
    }

    /// All pages of a layer, to read.
    pub fn layer(&self, index: usize) -> &[f32] {
        &self.layers[index]
    }

    /// All pages of a layer, to write.
    pub fn layer_mut(&mut self, index: usize) -> &mut [f32] {
        &mut self.layers[index]
    }

    /// Numbers of a page in a layer.
    pub fn page_size(&self) -> usize {
        self.size
    }
}
