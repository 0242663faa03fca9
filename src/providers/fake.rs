//! `fake`: a model whose answers are written in the file, for users' tests. It stands in for any model, so it takes the
//! options that all models share.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use indexmap::IndexMap;

use super::fake_words::{by_word, count, pieces, prompt_words, words};
use super::instruct::{self, Instruct};
use super::spec::{CALL_OPTIONS, RATE_OPTIONS, REPEATABLE, SERVER_OPTIONS};
use super::{
    BoxFuture, Caps, Enforcement, ErrorKind, ModelConfig, OptionKind, OptionSpec, Prepared, Provider, ProviderError,
    Spec,
};
use crate::config::Context;
use crate::event::Sink;
use crate::value::{Answer, Finish, Request, RequestInput, Role, ToolCall, Type, Usage, Value};

/// The description of `fake`.
pub static SPEC: Spec = Spec {
    name: "fake",
    doc: "a model whose answers are written in the file, for tests",
    argument: OptionSpec::new(
        "answer",
        OptionKind::Texts,
        "what it answers, always; of a list, one after the other, and it fails when they run out",
    ),
    argument_required: false,
    instead: &[],
    options: &[OPTIONS, instruct::OPTIONS, SERVER_OPTIONS, RATE_OPTIONS, REPEATABLE, CALL_OPTIONS],
    explained: &[],
    // A file under test is checked as it would be for the real model.
    enforces: |_, _| Enforcement::Written,
    build: super::Build::Model(build),
};

const NO_EFFECT: &str = "no effect here: the answer is written; taken so that `fake` can stand in for any model";

static OPTIONS: &[OptionSpec] = &[
    OptionSpec::new(
        "echo",
        OptionKind::Bool,
        "answer the last user message, or the raw text, that of a format of `instruct` among them",
    )
    .default("false"),
    OptionSpec::new("delay", OptionKind::Duration, "the wait before the first piece of the answer"),
    OptionSpec::new("chunks", OptionKind::Int(1, 100_000), "pieces that the answer comes in").default("one a word"),
    OptionSpec::new("fail", OptionKind::Text, "fail with this reason instead of answering"),
    OptionSpec::new("finish", OptionKind::Choice(&["stop", "length"]), "why it says it stopped").default("\"stop\""),
    OptionSpec::new("max_tokens", OptionKind::Int(1, i64::MAX), "cut the answer after so many words").aliases(&[
        "num_predict",
        "max_new_tokens",
        "n_predict",
    ]),
    OptionSpec::new("stop", OptionKind::Texts, "cut the answer before the first of these").aliases(&["stop_sequences"]),
    OptionSpec::new(
        "tool_calls",
        OptionKind::Any,
        "ask for these tools with every answer: a list of { name, arguments }",
    ),
    OptionSpec::new("tools", OptionKind::Tools, NO_EFFECT),
    OptionSpec::new("temperature", OptionKind::Float(0.0, f64::MAX), NO_EFFECT),
    OptionSpec::new("top_p", OptionKind::Float(0.0, 1.0), NO_EFFECT),
    OptionSpec::new("top_k", OptionKind::Int(0, i64::MAX), NO_EFFECT),
    OptionSpec::new("min_p", OptionKind::Float(0.0, 1.0), NO_EFFECT),
    OptionSpec::new("seed", OptionKind::Int(i64::MIN, i64::MAX), NO_EFFECT),
];

/// Calls that `fake` answers at a time: enough for tests of concurrency, few enough to be a bound.
const CONCURRENCY: usize = 64;

/// Where the answer comes from.
enum Script {
    /// The prompt.
    Echo,
    /// The same text for every call.
    Always(Arc<str>),
    /// One text for each call.
    Each(Vec<Arc<str>>),
    /// Nothing: every call fails.
    Nothing,
}

struct Fake {
    script: Script,
    /// Calls begun so far; all users of the model share it.
    calls: AtomicUsize,
    delay: Duration,
    idle: Duration,
    chunks: Option<usize>,
    fail: Option<String>,
    finish: Finish,
    max_tokens: Option<usize>,
    stop: Vec<String>,
    instruct: Instruct,
    asks_for: Vec<ToolCall>,
    context: Arc<Context>,
}

fn build(config: &ModelConfig, context: &Arc<Context>) -> Result<Arc<dyn Provider>, ProviderError> {
    let fail = config.text("fail");
    let script = script(config, fail.is_some())?;
    if let (Script::Each(_), Some(true)) = (&script, config.bool("repeatable")) {
        let message = "`repeatable`: a list of answers gives the next one to the same prompt";
        return Err(ProviderError::new(ErrorKind::Refused, message).help("one text answers every call"));
    }
    Ok(Arc::new(Fake {
        script,
        calls: AtomicUsize::new(0),
        delay: config.duration("delay").unwrap_or_default(),
        idle: config.idle_timeout(),
        chunks: config.int("chunks").and_then(|n| usize::try_from(n).ok()),
        fail,
        finish: if config.text("finish").as_deref() == Some("length") { Finish::Length } else { Finish::Stop },
        max_tokens: config.int("max_tokens").and_then(|n| usize::try_from(n).ok()),
        stop: config.texts("stop").unwrap_or_default().into_iter().filter(|s| !s.is_empty()).collect(),
        instruct: Instruct::of(config),
        asks_for: asks_for(config)?,
        context: context.clone(),
    }))
}

/// The tools that it asks for.
fn asks_for(config: &ModelConfig) -> Result<Vec<ToolCall>, ProviderError> {
    let Some(value) = config.value("tool_calls") else { return Ok(Vec::new()) };
    // A message of the assistant, as a history has it.
    let message = Value::Map(Arc::new(IndexMap::from([
        ("role".to_owned(), Value::from("assistant")),
        ("text".to_owned(), Value::from("")),
        ("tool_calls".to_owned(), value.clone()),
    ])));
    match Type::Message.accept(&message) {
        Ok(Value::Message(message)) => {
            let id = |(i, call): (usize, &ToolCall)| match call.id.as_str() {
                "" => ToolCall { id: format!("call_{i}"), ..call.clone() },
                _ => call.clone(),
            };
            Ok(message.calls.iter().enumerate().map(id).collect())
        }
        Ok(_) => Ok(Vec::new()),
        Err(error) => Err(ProviderError::new(ErrorKind::Refused, error.to_string())
            .help("as in `tool_calls: [{ name: \"get_weather\", arguments: { city: \"Seoul\" } }]`")),
    }
}

fn script(config: &ModelConfig, silent: bool) -> Result<Script, ProviderError> {
    let refused = |message: &str, help: &str| Err(ProviderError::new(ErrorKind::Refused, message).help(help));
    match (&config.argument, config.bool("echo").unwrap_or(false)) {
        (Some(_), true) => {
            refused("`fake` cannot both echo and give an answer", "leave out the answer or `echo: true`")
        }
        (None, true) => Ok(Script::Echo),
        (None, false) if config.options.contains_key("tool_calls") => Ok(Script::Always("".into())),
        (None, false) if silent => Ok(Script::Nothing),
        (None, false) => refused("`fake` has no answer", "write fake(\"the answer\") or fake(echo: true)"),
        (Some(Value::List(items)), false) => {
            let texts: Option<Vec<Arc<str>>> = items.iter().map(|v| v.as_text().map(|t| t.as_ref().into())).collect();
            match texts {
                Some(texts) => Ok(Script::Each(texts)),
                None => refused("an answer of `fake` is not text", "write fake([\"one\", \"two\"])"),
            }
        }
        (Some(value), false) => match value.as_text() {
            Some(text) => Ok(Script::Always(text.as_ref().into())),
            None => refused("the answer of `fake` is not text", "write fake(\"the answer\")"),
        },
    }
}

impl Fake {
    /// The answer to call number `call`, from 0, before it is cut.
    fn answer(&self, call: usize, prompt: &str) -> Result<Arc<str>, ProviderError> {
        match &self.script {
            Script::Echo => Ok(prompt.into()),
            Script::Always(text) => Ok(text.clone()),
            Script::Each(texts) => texts.get(call).cloned().ok_or_else(|| {
                let message = match texts.len() {
                    1 => format!("the fake model has 1 answer, and this is call {}", call + 1),
                    n => format!("the fake model has {n} answers, and this is call {}", call + 1),
                };
                ProviderError::new(ErrorKind::Scripted, message)
                    .help("give it an answer for each call, or one text, which answers every call")
            }),
            Script::Nothing => Err(ProviderError::new(ErrorKind::Scripted, "the fake model has no answer")),
        }
    }

    /// What `stop` and `max_tokens` leave of an answer, and why it ends there.
    fn cut<'t>(&self, text: &'t str) -> (&'t str, Finish) {
        let end = self.stop.iter().filter_map(|s| text.find(s.as_str())).min();
        let (text, mut finish) = match end {
            // A stop string that is met is why the model stopped, whatever `finish` says of whole answers.
            Some(end) => (&text[..end], Finish::Stop),
            None => (text, self.finish),
        };
        let Some(end) = self.max_tokens.and_then(|most| words(text).nth(most)).map(|word| word.0) else {
            return (text, finish);
        };
        finish = Finish::Length;
        (text[..end].trim_end(), finish)
    }

    async fn speak(&self, request: &Request, prompt: &str, sink: &mut Sink) -> Result<Answer, ProviderError> {
        let began = self.context.started.elapsed();
        // Counted before the wait, so that answers go out in the order in which calls begin.
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay.min(self.idle)).await;
        }
        if self.delay > self.idle {
            let message = format!("the fake model gave nothing for {:?}", self.idle);
            return Err(
                ProviderError::new(ErrorKind::TimedOut, message).help("`idle_timeout:` on the model waits longer")
            );
        }
        if let Some(reason) = &self.fail {
            return Err(ProviderError::new(ErrorKind::Scripted, reason.clone()));
        }
        let whole = self.answer(call, prompt)?;
        let (text, finish) = self.cut(&whole);
        match self.chunks {
            Some(n) => {
                for piece in pieces(text, n) {
                    sink.text(piece).await?;
                }
            }
            None => {
                for piece in by_word(text) {
                    sink.text(piece).await?;
                }
            }
        }
        let usage = Usage { input: Some(prompt_words(request)), output: Some(count(text)), cached: None };
        let seconds = (self.context.started.elapsed() - began).as_secs_f64();
        let tool_calls = self.asks_for.clone();
        let finish = if finish == Finish::Stop && !tool_calls.is_empty() { Finish::ToolCalls } else { finish };
        Ok(Answer {
            text: text.to_owned(),
            reasoning: None,
            tool_calls,
            model: SPEC.name.to_owned(),
            finish,
            usage,
            seconds,
        })
    }
}

impl Provider for Fake {
    fn caps(&self) -> Caps {
        Caps { concurrency: CONCURRENCY, context: None }
    }

    fn prepare(&self, request: &Request) -> Result<Prepared, ProviderError> {
        Ok(Prepared::Script { prompt: last_prompt(&*self.instruct.spoken(request)?) })
    }

    fn generate<'a>(
        &'a self,
        request: &'a Request,
        prepared: &'a Prepared,
        sink: &'a mut Sink,
    ) -> BoxFuture<'a, Result<Answer, ProviderError>> {
        Box::pin(async move {
            match prepared {
                Prepared::Script { prompt } => self.speak(request, prompt, sink).await,
                _ => Err(ProviderError::new(ErrorKind::Broken, "the call was prepared for another provider")),
            }
        })
    }
}

/// The last message of the user, or the raw text.
pub fn last_prompt(request: &Request) -> String {
    match &request.input {
        RequestInput::Messages(messages) => {
            messages.iter().rfind(|m| m.role == Role::User).map(|m| m.text.clone()).unwrap_or_default()
        }
        RequestInput::Raw(segments) => segments.iter().map(|s| s.text.as_str()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Instant;

    use indexmap::IndexMap;

    use super::*;
    use crate::config::{Origin, Setting};
    use crate::event::{EventKind, FrameId, NodeId};
    use crate::providers::OptionValue;
    use crate::value::{Message, Segment};

    fn config(argument: Option<Value>, options: &[(&'static str, OptionValue)]) -> ModelConfig {
        let options = options.iter().map(|(k, v)| (*k, Setting { value: v.clone(), origin: Origin::Default }));
        ModelConfig {
            spec: &SPEC,
            name: "m".to_owned(),
            argument,
            options: options.collect::<IndexMap<_, _>>(),
            base: std::path::PathBuf::new(),
        }
    }

    fn fake(argument: Option<Value>, options: &[(&'static str, OptionValue)]) -> Arc<dyn Provider> {
        try_fake(argument, options).ok().unwrap()
    }

    fn try_fake(
        argument: Option<Value>,
        options: &[(&'static str, OptionValue)],
    ) -> Result<Arc<dyn Provider>, ProviderError> {
        let context = Context::new(BTreeMap::new(), std::path::PathBuf::new(), true, Instant::now());
        crate::providers::build(&config(argument, options), &Arc::new(context))
    }

    fn value(v: impl Into<Value>) -> OptionValue {
        OptionValue::Value(v.into())
    }

    fn int(n: i64) -> OptionValue {
        OptionValue::Value(Value::Int(n))
    }

    fn asking(text: &str) -> Request {
        let messages = vec![Message::new(Role::System, "Be brief."), Message::new(Role::User, text)];
        Request { input: RequestInput::Messages(messages), constraint: None }
    }

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
    }

    async fn ask(provider: &dyn Provider, request: &Request) -> (Result<Answer, ProviderError>, Vec<String>) {
        let (events, mut reader) = crate::event::channel();
        let mut sink = Sink::new(events, FrameId(0), NodeId(0), Arc::new([]), 1 << 20);
        let prepared = provider.prepare(request).unwrap();
        let answer = provider.generate(request, &prepared, &mut sink).await;
        drop(sink);
        let mut pieces = Vec::new();
        while let Some(event) = reader.recv().await {
            if let EventKind::Token { text } = event.kind {
                pieces.push(text);
            }
        }
        (answer, pieces)
    }

    #[test]
    fn answers_word_by_word_and_counts_words() {
        let (answer, pieces) = run(ask(&*fake(Some("a  tuber \n".into()), &[]), &asking("What is it?")));
        let answer = answer.unwrap();
        assert_eq!((answer.text.as_str(), answer.finish), ("a  tuber \n", Finish::Stop));
        assert_eq!(pieces, ["a", "  tuber \n"]);
        assert_eq!(answer.usage, Usage { input: Some(5), output: Some(2), cached: None });
        assert_eq!(answer.model, "fake");
    }

    #[test]
    fn words_are_counted_alike_in_every_script() {
        let all: String = (0..=127u8).map(char::from).flat_map(|c| ['x', c]).collect();
        for text in ["", " ", "a", " a  b\tc\u{b}d\n", "é a\u{a0}b", all.as_str()] {
            assert_eq!(count(text), text.split_whitespace().count() as u64, "{text:?}");
        }
    }

    #[test]
    fn a_list_runs_out() {
        let provider = fake(Some(Value::list(vec!["one".into(), "two".into()])), &[]);
        run(async {
            for wanted in ["one", "two"] {
                assert_eq!(ask(&*provider, &asking("q")).await.0.unwrap().text, wanted);
            }
            let error = ask(&*provider, &asking("q")).await.0.unwrap_err();
            assert_eq!(error.kind, ErrorKind::Scripted);
            assert_eq!(error.message, "the fake model has 2 answers, and this is call 3");
        });
    }

    #[test]
    fn echoes_the_last_user_message_or_raw_text() {
        let provider = fake(None, &[("echo", OptionValue::Value(Value::Bool(true)))]);
        let raw = |text: &str, from_value| Segment { text: text.to_owned(), from_value };
        let raw = RequestInput::Raw(vec![raw("[INST]", false), raw("hi", true)]);
        run(async {
            assert_eq!(ask(&*provider, &asking("hello there")).await.0.unwrap().text, "hello there");
            let request = Request { input: raw, constraint: None };
            assert_eq!(ask(&*provider, &request).await.0.unwrap().text, "[INST]hi");
        });
    }

    #[test]
    fn fails_on_demand() {
        let (answer, pieces) = run(ask(&*fake(None, &[("fail", value("out of paper"))]), &asking("q")));
        assert_eq!(answer.unwrap_err().message, "out of paper");
        assert!(pieces.is_empty());
    }

    #[test]
    fn cuts_at_max_tokens_and_stop() {
        let text = || Some(Value::from("one two three END four"));
        let (answer, _) = run(ask(&*fake(text(), &[("max_tokens", int(2))]), &asking("q")));
        let answer = answer.unwrap();
        assert_eq!((answer.text.as_str(), answer.finish, answer.usage.output), ("one two", Finish::Length, Some(2)));
        let options = [("stop", value("END")), ("finish", value("length")), ("max_tokens", int(3))];
        let answer = run(ask(&*fake(text(), &options), &asking("q"))).0.unwrap();
        assert_eq!((answer.text.as_str(), answer.finish), ("one two three ", Finish::Stop));
        let answer = run(ask(&*fake(text(), &[("finish", value("length"))]), &asking("q"))).0.unwrap();
        assert_eq!((answer.text.as_str(), answer.finish), ("one two three END four", Finish::Length));
    }

    #[test]
    fn streams_in_as_many_pieces_as_told() {
        let text = "감자는 땅속줄기다";
        let (answer, pieces) = run(ask(&*fake(Some(text.into()), &[("chunks", int(4))]), &asking("q")));
        assert_eq!((answer.unwrap().text.as_str(), pieces.len(), pieces.concat().as_str()), (text, 4, text));
        let (_, pieces) = run(ask(&*fake(Some("ab".into()), &[("chunks", int(100))]), &asking("q")));
        assert_eq!(pieces, ["a", "b"]);
        let (answer, pieces) = run(ask(&*fake(Some("".into()), &[("chunks", int(3))]), &asking("q")));
        assert_eq!((answer.unwrap().text.as_str(), pieces.len()), ("", 0));
    }

    #[test]
    fn a_delay_can_be_cancelled() {
        let provider = fake(Some("late".into()), &[("delay", OptionValue::Duration(Duration::from_secs(3600)))]);
        run(async {
            let request = asking("q");
            let call = ask(&*provider, &request);
            assert!(tokio::time::timeout(Duration::from_millis(5), call).await.is_err());
        });
    }

    #[test]
    fn an_answer_too_large_is_refused() {
        let (answer, _) = run(ask(&*fake(Some("x".repeat((1 << 20) + 1).into()), &[]), &asking("q")));
        assert_eq!(answer.unwrap_err().kind, ErrorKind::TooLarge);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        assert!(try_fake(None, &[]).is_err());
        assert!(try_fake(Some("x".into()), &[("echo", OptionValue::Value(Value::Bool(true)))]).is_err());
        assert!(try_fake(Some(Value::Int(3)), &[]).is_err());
    }
}
