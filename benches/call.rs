//! What one call costs in process: `cargo bench --bench call`.
//!
//! The chain `prompt | fake | text` is parsed, checked, lowered and bound once; then it runs many times in this process, with
//! a reader of its events, as the command does it. The model answers at once, so that what remains is the program's own
//! work: frames, the template, the request, the sink, the events. The medians over all runs are printed in microseconds:
//! that of a run as the command makes it, that of one whose every event is made, as `--events` wants it, and that of the
//! way from the text to the bound plan.

#![allow(clippy::print_stdout, reason = "a program whose answers go to standard output")]

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chainrun::config::Context;
use chainrun::diag::{Diagnostic, Severity};
use chainrun::event::{channel, channel_unrecorded};
use chainrun::plan::{self, Declarations, Given, GivenValue, Libraries, Models, Plan, Settings};
use chainrun::run::Run;
use chainrun::source::{Sources, Span};
use chainrun::value::Value;

/// Timed runs.
const RUNS: usize = 5000;
/// Runs before the first that is timed.
const WARM_UP: usize = 500;
/// Plans that are made.
const PLANS: usize = 200;

const FILE: &str = r#"var word: string
model mistral = fake("A starchy tuber.")
prompt define {
  system "You are a lexicographer."
  user   "What is the meaning of {{ word }}?"
}
chain main = define | mistral | text
"#;

/// A plan with its variables and models bound.
struct Ready {
    sources: Sources,
    plan: Plan,
    variables: Vec<Value>,
    models: Models,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut plans = Vec::new();
    for _ in 0..PLANS {
        let began = Instant::now();
        ready()?;
        plans.push(began.elapsed());
    }
    let ready = ready()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for (recorded, what) in [(false, "one call"), (true, "one call with a record of its events")] {
        let mut runs = Vec::new();
        for round in 0..WARM_UP + RUNS {
            let began = Instant::now();
            let value = runtime.block_on(call(&ready, recorded))?;
            let took = began.elapsed();
            if value != Value::from("A starchy tuber.") {
                return Err(format!("the chain gave {value:?}").into());
            }
            if round >= WARM_UP {
                runs.push(took);
            }
        }
        println!("{what}: {:.1} us (median of {RUNS})", median(&mut runs));
    }
    println!("from text to bound plan: {:.1} us (median of {PLANS})", median(&mut plans));
    Ok(())
}

/// Runs the chain once; its events are read and dropped.
async fn call(ready: &Ready, recorded: bool) -> Result<Value, Box<dyn Error>> {
    let (sender, mut reader) = if recorded { channel() } else { channel_unrecorded() };
    let run = Run::new(&ready.plan, &ready.variables, &ready.models, None, sender);
    let running = async move {
        let value = run.value(|span| ready.sources.place(span)).await;
        drop(run);
        value
    };
    let reading = async { while reader.recv().await.is_some() {} };
    let (value, ()) = tokio::join!(running, reading);
    value.map_err(|e| format!("{e:?}").into())
}

/// The whole way from the text to what can run.
fn ready() -> Result<Ready, Box<dyn Error>> {
    let mut sources = Sources::new();
    let file = sources.add("call.chain", FILE);
    let (tree, mut wrong) = chainrun::syntax::parse(file, FILE);
    let folder = PathBuf::from("/");
    let libraries = Libraries::load(&tree, "call.chain", &folder, &folder, &mut sources);
    let declarations = Declarations::collect(&tree, &libraries, &mut wrong);
    let settings =
        Settings { base: folder.clone(), project: folder.clone(), cwd: folder.clone(), ..Settings::default() };
    wrong.extend(plan::check(&sources, &tree, &declarations, &settings).diagnostics);
    if wrong.iter().any(|d| d.severity == Severity::Error) {
        return Err(said(wrong));
    }
    let (plan, _) = plan::lower(&sources, &declarations, &settings, "call.chain", "main").map_err(said)?;
    let span = Span::new(file, 0, 0);
    let value = GivenValue::Text("potato".to_owned());
    let word = Given { name: "word".to_owned(), name_span: span, value, value_span: span };
    let variables = plan::bind(&plan, &[word]).map_err(said)?;
    let context = Arc::new(Context::new(BTreeMap::new(), Path::new("/").into(), true, Instant::now()));
    let models = plan::build_models(&plan, &variables, &context).map_err(said)?;
    Ok(Ready { sources, plan, variables, models })
}

fn said(wrong: Vec<Diagnostic>) -> Box<dyn Error> {
    wrong.into_iter().map(|d| d.message).collect::<Vec<_>>().join("\n").into()
}

/// The median in microseconds.
fn median(times: &mut [Duration]) -> f64 {
    times.sort_unstable();
    times.get(times.len() / 2).map_or(0.0, |t| t.as_secs_f64() * 1e6)
}
