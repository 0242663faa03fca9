//! Bounds on how much a model is asked in a minute: `requests_per_minute` and `tokens_per_minute`.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, Notify};

use crate::event::EventKind;
use crate::providers::{ModelConfig, Prepared};
use crate::value::{Request, RequestInput, Usage};

/// The stretch of time in which no more than the limit begins, wherever it is laid.
const WINDOW: Duration = Duration::from_secs(60);

/// Bytes of text that count as a token before anybody counted.
const BYTES_A_TOKEN: u64 = 4;

/// How much may be asked in a minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    requests: Option<u64>,
    tokens: Option<u64>,
}

impl Limits {
    /// Those that a model or an embedder names.
    pub fn of(config: &ModelConfig) -> Self {
        let count = |name: &str| config.int(name).and_then(|n| u64::try_from(n).ok());
        Self { requests: count("requests_per_minute"), tokens: count("tokens_per_minute") }
    }

    /// Whether there are none.
    pub fn none(&self) -> bool {
        self.requests.is_none() && self.tokens.is_none()
    }

    /// The narrower of both.
    fn and(self, other: Self) -> Self {
        let least = |a: Option<u64>, b: Option<u64>| a.into_iter().chain(b).min();
        Self { requests: least(self.requests, other.requests), tokens: least(self.tokens, other.tokens) }
    }
}

/// A request that began.
struct Begun {
    number: u64,
    at: Instant,
    tokens: u64,
}

/// What began in the last minute.
#[derive(Default)]
struct Log {
    begun: VecDeque<Begun>,
    next: u64,
}

/// Why a request has to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// How long, as far as is known now.
    pub length: Duration,
    /// The option that says so.
    pub limit: &'static str,
    /// Its value.
    pub most: u64,
}

impl Wait {
    /// What says that a model or an embedder waits.
    pub fn event(self, name: &str) -> EventKind {
        let Self { length, limit, most } = self;
        EventKind::RateLimited { model: name.to_owned(), limit, most, wait: length.as_secs_f64() }
    }
}

impl Log {
    /// How long a request of so many tokens has to wait; none where it may begin.
    fn wait(&mut self, limits: Limits, tokens: u64, now: Instant) -> Option<Wait> {
        while self.begun.front().is_some_and(|first| first.at + WINDOW <= now) {
            self.begun.pop_front();
        }
        let until = |begun: &Begun| (begun.at + WINDOW).saturating_duration_since(now);
        let by_requests = limits.requests.and_then(|most| {
            let over = (self.begun.len() as u64 + 1).checked_sub(most).filter(|over| *over > 0)?;
            let last = self.begun.get(usize::try_from(over - 1).ok()?)?;
            Some(Wait { length: until(last), limit: "requests_per_minute", most })
        });
        let by_tokens = limits.tokens.and_then(|most| {
            let mut sum: u64 = self.begun.iter().map(|begun| begun.tokens).sum();
            let mut last = None;
            // One that is larger than the limit begins when nothing else is in the minute.
            for begun in &self.begun {
                if sum.saturating_add(tokens) <= most {
                    break;
                }
                sum -= begun.tokens;
                last = Some(begun);
            }
            Some(Wait { length: until(last?), limit: "tokens_per_minute", most })
        });
        by_requests.into_iter().chain(by_tokens).max_by_key(|wait| wait.length)
    }

    fn begin(&mut self, tokens: u64, now: Instant) -> u64 {
        let number = self.next;
        self.next += 1;
        self.begun.push_back(Begun { number, at: now, tokens });
        number
    }

    fn mend(&mut self, number: u64, tokens: u64) {
        if let Some(begun) = self.begun.iter_mut().find(|begun| begun.number == number) {
            begun.tokens = tokens;
        }
    }
}

/// The bound that all calls of a provider at a server share.
#[derive(Default)]
pub struct Limiter {
    limits: Cell<Limits>,
    log: RefCell<Log>,
    /// Those who wait go in the order in which they came.
    turn: Mutex<()>,
    mended: Notify,
    /// Answers that were counted, and their tokens.
    answers: Cell<(u64, u64)>,
}

/// A request that was let through.
pub struct Passed {
    number: u64,
    estimate: u64,
    input: u64,
    /// How long it waited.
    pub waited: Duration,
}

impl Limiter {
    /// Keeps to these limits as well: the narrowest count.
    pub fn narrow(&self, limits: Limits) {
        self.limits.set(self.limits.get().and(limits));
    }

    /// Waits until a request may begin; `tell` is called once, where it has to wait.
    ///
    /// # Errors
    /// Those of `tell`.
    pub async fn pass<E>(
        &self,
        input: u64,
        output: Option<u64>,
        tell: impl AsyncFnOnce(Wait) -> Result<(), E>,
    ) -> Result<Passed, E> {
        let came = Instant::now();
        let _turn = self.turn.lock().await;
        let mut tell = Some(tell);
        loop {
            let estimate = input.saturating_add(output.unwrap_or_else(|| self.mean()));
            let now = Instant::now();
            let wait = self.log.borrow_mut().wait(self.limits.get(), estimate, now);
            let Some(wait) = wait else {
                let number = self.log.borrow_mut().begin(estimate, now);
                return Ok(Passed { number, estimate, input, waited: now - came });
            };
            if let Some(tell) = tell.take() {
                tell(wait).await?;
            }
            // An answer that took fewer tokens than were thought of makes room.
            tokio::select! {
                () = tokio::time::sleep(wait.length) => {}
                () = self.mended.notified() => {}
            }
        }
    }

    /// Puts what a request really took in the place of the estimate.
    pub fn mend(&self, passed: &Passed, usage: Usage, text: &str) {
        let output = usage.output.unwrap_or_else(|| tokens_of(text.len()));
        let (count, sum) = self.answers.get();
        self.answers.set((count + 1, sum.saturating_add(output)));
        self.took(passed, usage.input.unwrap_or(passed.input).saturating_add(output));
    }

    /// The same of vectors, which nothing is written for.
    pub fn mend_vectors(&self, passed: &Passed, usage: Usage) {
        self.took(passed, usage.input.unwrap_or(passed.input));
    }

    fn took(&self, passed: &Passed, took: u64) {
        if took != passed.estimate {
            self.log.borrow_mut().mend(passed.number, took);
            self.mended.notify_one();
        }
    }

    /// The mean length of the answers so far, in tokens.
    fn mean(&self) -> u64 {
        let (count, sum) = self.answers.get();
        sum.checked_div(count).unwrap_or(0)
    }
}

/// About how many tokens a text of so many bytes has.
pub fn tokens_of(bytes: usize) -> u64 {
    (bytes as u64).div_ceil(BYTES_A_TOKEN)
}

/// About how many tokens a prompt has.
pub fn prompt_tokens(request: &Request, prepared: &Prepared) -> u64 {
    if let Prepared::Text { tokens, .. } = prepared {
        return tokens.len() as u64;
    }
    match &request.input {
        RequestInput::Messages(messages) => messages.iter().map(|m| tokens_of(m.text.len())).sum(),
        RequestInput::Raw(segments) => tokens_of(segments.iter().map(|s| s.text.len()).sum()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn waits(log: &mut Log, limits: Limits, tokens: u64, now: Instant) -> Option<(u64, &'static str)> {
        log.wait(limits, tokens, now).map(|wait| (wait.length.as_secs(), wait.limit))
    }

    #[test]
    fn so_many_requests_in_any_minute() {
        let (mut log, zero) = (Log::default(), Instant::now());
        let limits = Limits { requests: Some(2), tokens: None };
        assert_eq!(waits(&mut log, limits, 0, zero), None);
        log.begin(0, zero);
        assert_eq!(waits(&mut log, limits, 0, zero + seconds(10)), None);
        log.begin(0, zero + seconds(10));
        assert_eq!(waits(&mut log, limits, 0, zero + seconds(15)), Some((45, "requests_per_minute")));
        assert_eq!(waits(&mut log, limits, 0, zero + seconds(60)), None);
        log.begin(0, zero + seconds(60));
        assert_eq!(waits(&mut log, limits, 0, zero + seconds(60)), Some((10, "requests_per_minute")));
        assert_eq!(waits(&mut log, limits, 0, zero + seconds(500)), None);
        assert_eq!(log.begun.len(), 0);
    }

    #[test]
    fn so_many_tokens_in_any_minute() {
        let (mut log, zero) = (Log::default(), Instant::now());
        let limits = Limits { requests: None, tokens: Some(100) };
        let first = log.begin(60, zero);
        log.begin(30, zero + seconds(20));
        assert_eq!(waits(&mut log, limits, 10, zero + seconds(20)), None);
        assert_eq!(waits(&mut log, limits, 11, zero + seconds(20)), Some((40, "tokens_per_minute")));
        assert_eq!(waits(&mut log, limits, 71, zero + seconds(20)), Some((60, "tokens_per_minute")));
        // What an answer really took makes room at once.
        log.mend(first, 20);
        assert_eq!(waits(&mut log, limits, 50, zero + seconds(20)), None);
        // One that never fits waits for an empty minute.
        assert_eq!(waits(&mut log, limits, 1_000, zero + seconds(20)), Some((60, "tokens_per_minute")));
        assert_eq!(waits(&mut log, limits, 1_000, zero + seconds(80)), None);
    }

    #[test]
    fn the_longer_wait_counts() {
        let (mut log, zero) = (Log::default(), Instant::now());
        let limits = Limits { requests: Some(2), tokens: Some(11) };
        log.begin(1, zero);
        log.begin(9, zero + seconds(30));
        assert_eq!(waits(&mut log, limits, 1, zero + seconds(30)), Some((30, "requests_per_minute")));
        assert_eq!(waits(&mut log, limits, 5, zero + seconds(30)), Some((60, "tokens_per_minute")));
    }

    #[test]
    fn never_more_than_the_limit_in_any_minute() {
        let (mut log, zero) = (Log::default(), Instant::now());
        let limits = Limits { requests: Some(5), tokens: Some(90) };
        let mut begun: Vec<(Instant, u64)> = Vec::new();
        let mut now = zero;
        for n in 0..500u64 {
            let tokens = 1 + (n * 7_919) % 40;
            while let Some(wait) = log.wait(limits, tokens, now) {
                assert!(wait.length > Duration::ZERO && wait.length <= WINDOW);
                now += wait.length;
            }
            log.begin(tokens, now);
            begun.push((now, tokens));
            now += Duration::from_millis(n * 104_729 % 9_000);
        }
        for (i, (end, _)) in begun.iter().enumerate() {
            let within: Vec<u64> =
                begun[..=i].iter().filter(|(at, _)| *at + WINDOW > *end).map(|(_, tokens)| *tokens).collect();
            assert!(within.len() <= 5 && within.iter().sum::<u64>() <= 90, "{i}: {within:?}");
        }
    }

    #[test]
    fn waiting_ends_when_an_answer_makes_room_and_is_told_once() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let limiter = Limiter::default();
            limiter.narrow(Limits { requests: None, tokens: Some(100) });
            let silent = async |_: Wait| panic!("nothing to wait for");
            let first: Result<Passed, ()> = limiter.pass(10, Some(80), silent).await;
            let first = first.unwrap();
            let told = Cell::new(0);
            let second = limiter.pass(20, Some(20), async |wait: Wait| {
                told.set(told.get() + 1);
                assert_eq!((wait.limit, wait.most), ("tokens_per_minute", 100));
                // It took less than was thought of: the other needs not wait for a minute.
                limiter.mend(&first, Usage { input: Some(10), output: Some(5), cached: None }, "");
                Ok::<(), ()>(())
            });
            let second = tokio::time::timeout(seconds(20), second).await.unwrap().unwrap();
            assert_eq!((told.get(), second.estimate, limiter.mean()), (1, 40, 5));
            // Without a bound of its own an answer is thought to be like those before it.
            let third: Result<Passed, ()> = limiter.pass(3, None, async |_| Ok(())).await;
            assert_eq!(third.unwrap().estimate, 8);
        });
    }

    #[test]
    fn the_narrower_limit_counts() {
        let of = |requests, tokens| Limits { requests, tokens };
        assert_eq!(of(Some(3), None).and(of(Some(2), Some(9))), of(Some(2), Some(9)));
        assert_eq!(of(None, None).and(of(None, None)), Limits::default());
        assert_eq!(tokens_of(0), 0);
        assert_eq!(tokens_of(5), 2);
    }
}
