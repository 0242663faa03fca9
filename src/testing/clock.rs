//! The clock of a run whose calls recordings answer: a recorded answer takes the time that it took then, and nobody waits
//! for it. Calls that stand beside each other take their time beside each other, as they did.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

/// A clock that runs with real time, and is put ahead where all that a run waits for is recorded answers.
pub struct Clock {
    started: Instant,
    /// How far it was put ahead, in seconds.
    ahead: Cell<f64>,
    waiting: RefCell<Vec<Waiting>>,
    /// Calls that are really made now.
    busy: Cell<usize>,
}

struct Waiting {
    due: f64,
    done: Rc<Cell<bool>>,
    waker: Waker,
}

/// A call that is really made, until it is dropped.
pub struct Busy(Rc<Clock>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.set(self.0.busy.get().saturating_sub(1));
    }
}

/// Tells whether what is polled asked to be polled again.
struct Noticed {
    woken: AtomicBool,
    outer: Waker,
}

impl Wake for Noticed {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::SeqCst);
        self.outer.wake_by_ref();
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self { started: Instant::now(), ahead: Cell::new(0.0), waiting: RefCell::default(), busy: Cell::new(0) }
    }
}

impl Clock {
    /// Seconds since it began.
    pub fn now(&self) -> f64 {
        self.started.elapsed().as_secs_f64() + self.ahead.get()
    }

    /// A call is really made until what this gives is dropped.
    pub fn busy(self: &Rc<Self>) -> Busy {
        self.busy.set(self.busy.get() + 1);
        Busy(self.clone())
    }

    /// Lets `seconds` pass, of this clock. Nothing passes unless [`Clock::drive`] polls it.
    pub async fn pass(&self, seconds: f64) {
        let (due, done) = (self.now() + seconds, Rc::new(Cell::new(false)));
        poll_fn(|context| {
            if done.get() || self.now() >= due {
                self.waiting.borrow_mut().retain(|w| !Rc::ptr_eq(&w.done, &done));
                return Poll::Ready(());
            }
            let mut waiting = self.waiting.borrow_mut();
            waiting.retain(|w| !Rc::ptr_eq(&w.done, &done));
            waiting.push(Waiting { due, done: done.clone(), waker: context.waker().clone() });
            Poll::Pending
        })
        .await;
    }

    /// Follows a future to its end, and puts the clock ahead where it waits for nothing but the clock.
    pub async fn drive<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        let mut timer: Option<Pin<Box<tokio::time::Sleep>>> = None;
        poll_fn(|context| {
            loop {
                let noticed = Arc::new(Noticed { woken: AtomicBool::new(false), outer: context.waker().clone() });
                let waker = Waker::from(noticed.clone());
                if let Poll::Ready(out) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                    return Poll::Ready(out);
                }
                let Some(wait) = self.wait() else { return Poll::Pending };
                if noticed.woken.load(Ordering::SeqCst) {
                    return Poll::Pending;
                }
                // A call that is really made takes real time; an answer beside it does as well.
                if self.busy.get() > 0 && wait > 0.0 {
                    let mut sleep = Box::pin(tokio::time::sleep(Duration::from_secs_f64(wait.min(1e6))));
                    let due = sleep.as_mut().poll(context).is_ready();
                    timer = Some(sleep);
                    if !due {
                        return Poll::Pending;
                    }
                }
                timer = None;
                self.ahead.set(self.ahead.get() + self.wait().unwrap_or(0.0).max(0.0));
                self.wake();
            }
        })
        .await
    }

    /// Seconds until the next answer is due; none where no answer is waited for.
    fn wait(&self) -> Option<f64> {
        let waiting = self.waiting.borrow();
        let due = waiting.iter().filter(|w| Rc::strong_count(&w.done) > 1).map(|w| w.due).min_by(f64::total_cmp)?;
        Some(due - self.now())
    }

    /// Wakes the answer that is due first.
    fn wake(&self) {
        let mut waiting = self.waiting.borrow_mut();
        // What was dropped holds its mark no more.
        waiting.retain(|w| Rc::strong_count(&w.done) > 1);
        let first = (0..waiting.len()).min_by(|a, b| waiting[*a].due.total_cmp(&waiting[*b].due));
        if let Some(first) = first {
            let first = waiting.swap_remove(first);
            first.done.set(true);
            drop(waiting);
            first.waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::future::join_all;

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    #[test]
    fn answers_take_their_time_and_nobody_waits() {
        let clock = Clock::default();
        let real = Instant::now();
        let passed = run(clock.drive(async {
            join_all([5.0, 30.0, 20.0].map(|seconds| clock.pass(seconds))).await;
            clock.pass(2.0).await;
            // What is dropped does not count.
            tokio::select! { () = clock.pass(1.0) => {} () = clock.pass(500.0) => {} }
            clock.now()
        }));
        assert!((33.0..36.0).contains(&passed), "{passed}");
        assert!(real.elapsed() < Duration::from_secs(3));
    }

    #[test]
    fn beside_a_call_that_is_made_time_is_real() {
        let clock = Rc::new(Clock::default());
        let passed = run(clock.drive(async {
            let call = async {
                let _busy = clock.busy();
                tokio::time::sleep(Duration::from_millis(300)).await;
            };
            tokio::join!(call, clock.pass(0.1));
            clock.now()
        }));
        assert!((0.3..2.0).contains(&passed), "{passed}");
    }
}
