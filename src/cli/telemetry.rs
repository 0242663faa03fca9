//! OpenTelemetry: spans to a file and to a collector, in the background and within bounds.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::console::Console;
use super::records::{Lines, written};
use crate::config::Context;
use crate::trace::otlp::{self, Ids};
use crate::trace::{Clock, Collector, Settings, Span};

/// Spans that go in one request.
const BATCH: usize = 512;

/// The longest time for which a span waits to be sent, while others come.
const DELAY: Duration = Duration::from_secs(5);

/// Requests that may wait for a slow collector; what comes then is left out, and said.
const QUEUE: usize = 16;

/// What was sent, at the end.
struct Sent {
    /// The first reason why spans were not taken.
    error: Option<String>,
    /// Spans that were not taken.
    lost: usize,
}

/// A collector, and the task that sends to it.
struct Sending {
    queue: mpsc::Sender<(Json, usize)>,
    task: JoinHandle<Sent>,
    /// Spans that found no place in the queue.
    dropped: usize,
    timeout: Duration,
    place: String,
}

/// Where spans go.
pub struct Telemetry {
    settings: Settings,
    ids: Ids,
    waiting: Vec<Json>,
    since: Instant,
    file: Option<Lines>,
    sending: Option<Sending>,
}

impl Telemetry {
    /// What the command line and the environment ask for; nothing where they do not.
    pub fn open(file: Option<Lines>, context: &Context, console: &Console) -> Option<Self> {
        if file.is_none() && !Settings::names_collector(context) {
            return None;
        }
        let settings = Settings::read(context);
        for warning in &settings.warnings {
            console.warn(warning);
        }
        // Random for each process; the time tells processes that got the same.
        let seed = format!("{:x}-{:?}-{}", RandomState::new().hash_one(0), Instant::now(), std::process::id());
        let ids = Ids::new(&settings, &seed);
        let kept = settings.sampler.keeps(settings.parent.as_ref(), ids.trace());
        let sending = settings.endpoint.as_ref().filter(|_| kept).and_then(|endpoint| {
            let place = format!("{}:{}", endpoint.base.host(), endpoint.base.port());
            match Collector::new(endpoint, context) {
                Ok(collector) => Some(Sending::start(collector, place)),
                Err(why) => {
                    console.warn(&format!("{why}: no spans are sent"));
                    None
                }
            }
        });
        if file.is_none() && sending.is_none() {
            return None;
        }
        Some(Self { settings, ids, waiting: Vec::new(), since: Instant::now(), file, sending })
    }

    /// Whether prompts and answers are part of spans.
    pub fn content(&self) -> bool {
        self.settings.content
    }

    /// Takes a span in.
    pub fn span(&mut self, span: &Span, clock: &Clock, console: &Console) {
        self.waiting.push(otlp::span(span, clock, &self.ids, self.settings.content));
        if self.waiting.len() >= BATCH || self.since.elapsed() > DELAY {
            self.send(console);
        }
    }

    fn send(&mut self, console: &Console) {
        self.since = Instant::now();
        let count = self.waiting.len();
        if count == 0 {
            return;
        }
        let request = otlp::request(std::mem::take(&mut self.waiting), &self.settings);
        self.file = written(self.file.take(), &format!("{request}\n"), console);
        if let Some(sending) = &mut self.sending
            && sending.queue.try_send((request, count)).is_err()
        {
            sending.dropped += count;
        }
    }

    /// Writes what waits, and hands it on to be sent.
    pub fn flush(&mut self, console: &Console) {
        self.send(console);
        if let Some(mut file) = self.file.take()
            && file.flushed(console)
        {
            self.file = Some(file);
        }
    }

    /// Waits until all is sent, as long as one request may take and at most `wait`.
    pub async fn end(self, wait: Duration, console: &Console) {
        let Some(Sending { queue, mut task, dropped, timeout, place }) = self.sending else { return };
        drop(queue);
        let wait = wait.min(timeout);
        let mut sent = match tokio::time::timeout(wait, &mut task).await {
            Ok(Ok(sent)) => sent,
            Ok(Err(_)) => Sent { error: Some("sending failed".to_owned()), lost: 0 },
            Err(_) => {
                task.abort();
                Sent { error: Some(format!("it did not take them within {wait:?}")), lost: 0 }
            }
        };
        if dropped > 0 {
            sent.lost += dropped;
            sent.error = sent.error.or_else(|| Some("it takes them more slowly than they come".to_owned()));
        }
        if let Some(why) = sent.error {
            let lost = if sent.lost > 0 { format!("{} spans", sent.lost) } else { "spans".to_owned() };
            console.warn(&format!("{lost} did not reach the collector at {place}: {why}"));
        }
    }
}

impl Sending {
    fn start(collector: Collector, place: String) -> Self {
        let (queue, mut requests) = mpsc::channel::<(Json, usize)>(QUEUE);
        let timeout = collector.timeout();
        let task = tokio::spawn(async move {
            let mut sent = Sent { error: None, lost: 0 };
            while let Some((request, count)) = requests.recv().await {
                // One that was down is not waited for again and again.
                let outcome = match sent.error {
                    Some(_) => Err(String::new()),
                    None => collector.send(&request).await,
                };
                if let Err(why) = outcome {
                    sent.error.get_or_insert(why);
                    sent.lost += count;
                }
            }
            sent
        });
        Self { queue, task, dropped: 0, timeout, place }
    }
}
