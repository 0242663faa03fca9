//! Threads that share the chunks of a slice. They take whole outputs and never split a sum, so their number cannot
//! change a result. Waiting spins for a bounded time and then sleeps, so that a busy machine is not made busier.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// Turns of the waiting loop before a thread sleeps: some tens of microseconds.
const SPINS: usize = 4000;

/// A task with its lifetime removed. [`Pool::run`] keeps the task alive until no worker can touch it.
#[derive(Clone, Copy)]
struct Task(*const (dyn Fn() + Sync));

// SAFETY: the task is `Sync`, and `Pool::run` does not return while a worker holds it.
unsafe impl Send for Task {}

struct State {
    task: Option<Task>,
    /// Workers inside the task.
    active: usize,
    closed: bool,
}

struct Shared {
    state: Mutex<State>,
    /// Grows with every task.
    generation: AtomicU64,
    /// Mirrors `State::active`, to be watched without the lock.
    active: AtomicUsize,
    wake: Condvar,
    done: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A thread that calls and the workers that help it.
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

/// Takes a worker out of the task, also when the task panics.
struct Leave<'a>(&'a Shared);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.active -= 1;
        self.0.active.store(state.active, Ordering::Release);
        if state.active == 0 {
            self.0.done.notify_all();
        }
    }
}

/// Withdraws the task and waits until no worker is inside, also when the caller's own part panics.
struct Withdraw<'a>(&'a Shared);

impl Drop for Withdraw<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.task = None;
        if state.active == 0 {
            return;
        }
        drop(state);
        for _ in 0..SPINS {
            if self.0.active.load(Ordering::Acquire) == 0 {
                break;
            }
            std::hint::spin_loop();
        }
        state = self.0.lock();
        while state.active > 0 {
            state = self.0.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Pool {
    /// A pool of `threads` threads, the calling one among them. Where the system refuses a thread, fewer work.
    pub fn new(threads: usize) -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::new(State { task: None, active: 0, closed: false }),
            generation: AtomicU64::new(0),
            active: AtomicUsize::new(0),
            wake: Condvar::new(),
            done: Condvar::new(),
        });
        let workers = (1..threads)
            .filter_map(|i| {
                let shared = Arc::clone(&shared);
                std::thread::Builder::new().name(format!("model-{i}")).spawn(move || work(&shared)).ok()
            })
            .collect();
        Self { shared, workers }
    }

    /// Threads that work.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `each` with every chunk of `width` numbers of `data` and its index; threads take chunks as they come free.
    pub fn chunks<T: Send>(&self, data: &mut [T], width: usize, each: impl Fn(usize, &mut [T]) + Sync) {
        let total = data.len().checked_div(width).unwrap_or(0);
        if self.workers.is_empty() || total < 2 {
            for (i, chunk) in data.chunks_exact_mut(width.max(1)).enumerate().take(total) {
                each(i, chunk);
            }
            return;
        }
        let batch = (total / (self.threads() * 4)).max(1);
        let next = AtomicUsize::new(0);
        let base = Base(data.as_mut_ptr());
        self.run(&|| {
            let base = &base;
            loop {
                let from = next.fetch_add(batch, Ordering::Relaxed);
                if from >= total {
                    break;
                }
                for i in from..(from + batch).min(total) {
                    // SAFETY: `next` gives each index to one thread once, chunks do not overlap, `i < total` keeps them
                    // inside `data`, and `run` ends before the borrow of `data` does.
                    let chunk = unsafe { std::slice::from_raw_parts_mut(base.0.add(i * width), width) };
                    each(i, chunk);
                }
            }
        });
    }

    /// Runs `task` on the caller's thread and on every worker that comes in time.
    fn run(&self, task: &(dyn Fn() + Sync)) {
        // SAFETY: only the lifetime changes. `Withdraw` takes the task back and waits for every worker inside it before
        // this function returns or unwinds, so no worker uses it after its end.
        let task_static: &'static (dyn Fn() + Sync) = unsafe { std::mem::transmute(task) };
        let mut state = self.shared.lock();
        state.task = Some(Task(task_static));
        // Under the lock, or a worker about to sleep would miss it.
        self.shared.generation.fetch_add(1, Ordering::Release);
        drop(state);
        self.shared.wake.notify_all();
        let _withdraw = Withdraw(&self.shared);
        task();
    }
}

/// Slices that are cut into as many chunks each, one chunk of each a row.
pub struct RowSlices<'a> {
    /// The residual stream.
    pub stream: &'a mut [f32],
    /// Inputs of the next product.
    pub values: &'a mut [f32],
    /// Their codes.
    pub codes: &'a mut [i8],
    /// Scales of the codes.
    pub scales: &'a mut [f32],
    /// Sums of the codes.
    pub sums: &'a mut [i32],
}

impl Pool {
    /// Calls `each` with every row's chunk of all slices. A slice's length is `count` times the width of its chunks.
    pub fn rows(&self, count: usize, slices: RowSlices<'_>, each: impl Fn(usize, RowSlices<'_>) + Sync) {
        let stream = Chunks::new(slices.stream, count);
        let values = Chunks::new(slices.values, count);
        let codes = Chunks::new(slices.codes, count);
        let scales = Chunks::new(slices.scales, count);
        let sums = Chunks::new(slices.sums, count);
        let one = |i: usize| {
            // SAFETY: every index is taken by one thread, once, and the slices outlive this call.
            let row = unsafe {
                RowSlices {
                    stream: stream.get(i),
                    values: values.get(i),
                    codes: codes.get(i),
                    scales: scales.get(i),
                    sums: sums.get(i),
                }
            };
            each(i, row);
        };
        if self.workers.is_empty() || count < 2 {
            return (0..count).for_each(one);
        }
        let next = AtomicUsize::new(0);
        let batch = (count / (self.threads() * 4)).max(1);
        self.run(&|| {
            loop {
                let from = next.fetch_add(batch, Ordering::Relaxed);
                if from >= count {
                    break;
                }
                (from..(from + batch).min(count)).for_each(&one);
            }
        });
    }
}

/// A slice in chunks of equal width.
struct Chunks<'a, T> {
    base: Base<T>,
    width: usize,
    count: usize,
    _slice: PhantomData<&'a mut [T]>,
}

impl<'a, T> Chunks<'a, T> {
    fn new(slice: &'a mut [T], count: usize) -> Self {
        let width = slice.len().checked_div(count).unwrap_or(0);
        Self { base: Base(slice.as_mut_ptr()), width, count, _slice: PhantomData }
    }

    /// SAFETY: no two chunks of the same index may be alive.
    unsafe fn get(&self, index: usize) -> &'a mut [T] {
        assert!(index < self.count);
        // SAFETY: `width * count` is at most the slice's length, and the caller takes an index once.
        unsafe { std::slice::from_raw_parts_mut(self.base.0.add(index * self.width), self.width) }
    }
}

/// A pointer that threads share.
struct Base<T>(*mut T);

// SAFETY: `Pool::chunks` gives every thread other elements.
unsafe impl<T: Send> Sync for Base<T> {}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.wake.notify_all();
        for worker in self.workers.drain(..) {
            // A worker that panicked has nothing left to do.
            let _ = worker.join();
        }
    }
}

/// The life of a worker.
fn work(shared: &Shared) {
    let mut seen = 0;
    loop {
        for _ in 0..SPINS {
            if shared.generation.load(Ordering::Acquire) != seen {
                break;
            }
            std::hint::spin_loop();
        }
        let mut state = shared.lock();
        while !state.closed && shared.generation.load(Ordering::Acquire) == seen {
            state = shared.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.closed {
            return;
        }
        seen = shared.generation.load(Ordering::Acquire);
        let Some(task) = state.task else { continue };
        state.active += 1;
        shared.active.store(state.active, Ordering::Release);
        drop(state);
        let _leave = Leave(shared);
        // SAFETY: the task was there under the lock and `active` counts this worker, so `Pool::run` waits for it.
        (unsafe { &*task.0 })();
    }
}
