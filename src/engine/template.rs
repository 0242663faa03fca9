//! Chat templates: Jinja as transformers runs it, with the messages' own text kept apart from the template's, so that a
//! `<|im_end|>` in a value stays text.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Value};
use minijinja::{Environment, Error, ErrorKind, context};

use super::error::EngineError;
use super::tokenizer::Span;

/// One message for a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// `system`, `user`, `assistant`, `tool`.
    pub role: String,
    /// What is said.
    pub text: String,
}

/// A chat template.
pub struct ChatTemplate {
    source: String,
    begin: String,
    end: String,
    date: Option<[i32; 3]>,
}

/// Steps that a template may take: far more than long conversations need, and over in about a second.
const FUEL: u64 = 20_000_000;

impl ChatTemplate {
    /// A template with the texts of the first and last token of a sequence. `date` (year, month, day) is what a template
    /// that asks for today gets; without it such a template fails or takes the branch that it has for that case.
    pub fn new(source: &str, begin: &str, end: &str, date: Option<[i32; 3]>) -> Self {
        // `generation` tags mark what training counts; they print nothing.
        let mut source = source.to_owned();
        for tag in ["generation", "endgeneration"] {
            for (open, close) in [("{%", "%}"), ("{%-", "%}"), ("{%", "-%}"), ("{%-", "-%}")] {
                let comment = format!("{{#{} {}#}}", &open[2..], &close[..close.len() - 2]);
                source = source.replace(&format!("{open} {tag} {close}"), &comment);
            }
        }
        Self { source, begin: begin.to_owned(), end: end.to_owned(), date }
    }

    /// The prompt for a conversation, ready for the answer: stretches that the template wrote may hold control tokens,
    /// stretches that the messages brought do not.
    ///
    /// # Errors
    /// The template is broken, refuses the conversation, or mixes its text with a message's so that they cannot be told
    /// apart while the message holds what looks like a control token (`suspect` finds those).
    pub fn render(&self, turns: &[Turn], suspect: impl Fn(&str) -> bool) -> Result<Vec<Span>, EngineError> {
        let whole = self.text(turns)?;
        let marks: Vec<String> = (0..turns.len()).map(|i| mark(i, turns)).collect();
        let marked: Vec<Turn> =
            turns.iter().zip(&marks).map(|(t, m)| Turn { role: t.role.clone(), text: m.clone() }).collect();
        if let Ok(marked) = self.text(&marked)
            && let Some(spans) = by_marks(&marked, &marks, turns, &whole)
        {
            return Ok(spans);
        }
        by_search(&whole, turns, suspect)
    }

    fn text(&self, turns: &[Turn]) -> Result<String, EngineError> {
        self.prompt(turns, true)
    }

    /// The rendering as one text, ready for the answer or not.
    fn prompt(&self, turns: &[Turn], ready: bool) -> Result<String, EngineError> {
        let fail = |e: Error| {
            let mut text = e.detail().map_or_else(|| e.to_string(), str::to_owned);
            if let Some(line) = e.line() {
                text.push_str(&format!(" (line {line} of the template)"));
            }
            EngineError::Prompt(format!("the model's chat template failed: {text}"))
        };
        let env = environment(self.date).map_err(fail)?;
        let messages: Vec<Value> =
            turns.iter().map(|t| context! { role => t.role.clone(), content => t.text.clone() }).collect();
        let given = context! {
            messages => messages, add_generation_prompt => ready, bos_token => self.begin.clone(), eos_token => self.end.clone(),
            // There and none, as transformers gives them.
            tools => (), documents => (),
        };
        env.render_str(&self.source, given).map_err(fail)
    }
}

/// What transformers gives a template, and no more.
fn environment(date: Option<[i32; 3]>) -> Result<Environment<'static>, Error> {
    let mut env = Environment::new();
    env.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    env.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    env.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    env.set_fuel(Some(FUEL));
    env.add_filter("tojson", to_json);
    // Jinja's nothing cannot be iterated over.
    env.add_test("iterable", |value: &Value| !value.is_none() && value.try_iter().is_ok());
    env.add_function("raise_exception", |message: String| -> Result<Value, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, message))
    });
    if let Some(date) = date {
        env.add_function("strftime_now", move |format: String| strftime(&format, date));
    }
    Ok(env)
}

/// JSON as Python's `json.dumps(ensure_ascii=False)` writes it, without HTML escapes.
fn to_json(value: &Value, options: Kwargs) -> Result<String, Error> {
    let indent: Option<usize> = options.get("indent")?;
    let wrong = |e: serde_json::Error| Error::new(ErrorKind::BadSerialization, e.to_string());
    let json = serde_json::to_value(value).map_err(wrong)?;
    let mut out = Vec::new();
    match indent {
        Some(n) => {
            let spaces = vec![b' '; n.min(16)];
            let form = serde_json::ser::PrettyFormatter::with_indent(&spaces);
            serde::Serialize::serialize(&json, &mut serde_json::Serializer::with_formatter(&mut out, form))
                .map_err(wrong)?;
        }
        None => {
            serde::Serialize::serialize(&json, &mut serde_json::Serializer::with_formatter(&mut out, Spaced))
                .map_err(wrong)?;
        }
    }
    String::from_utf8(out).map_err(|e| Error::new(ErrorKind::BadSerialization, e.to_string()))
}

/// Python's separators: `, ` and `: `.
struct Spaced;

impl serde_json::ser::Formatter for Spaced {
    fn begin_array_value<W: ?Sized + std::io::Write>(&mut self, w: &mut W, first: bool) -> std::io::Result<()> {
        if first { Ok(()) } else { w.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(&mut self, w: &mut W, first: bool) -> std::io::Result<()> {
        if first { Ok(()) } else { w.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(&mut self, w: &mut W) -> std::io::Result<()> {
        w.write_all(b": ")
    }
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// The codes of `strftime` that templates use.
fn strftime(format: &str, [year, month, day]: [i32; 3]) -> Result<String, Error> {
    let name = MONTHS.get((month - 1) as usize).copied().unwrap_or("");
    let mut out = String::new();
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('Y') => out.push_str(&format!("{year:04}")),
            Some('m') => out.push_str(&format!("{month:02}")),
            Some('d') => out.push_str(&format!("{day:02}")),
            Some('B') => out.push_str(name),
            Some('b') => out.push_str(name.get(..3).unwrap_or("")),
            Some('%') => out.push('%'),
            other => {
                let code = other.map(String::from).unwrap_or_default();
                return Err(Error::new(ErrorKind::InvalidOperation, format!("strftime_now does not know %{code}")));
            }
        }
    }
    Ok(out)
}

/// A text that no message holds: private-use characters around a number.
fn mark(index: usize, turns: &[Turn]) -> String {
    let mut fence = String::from('\u{f8f0}');
    while turns.iter().any(|t| t.text.contains(&fence)) {
        fence.push('\u{f8f1}');
    }
    format!("{fence}{index}\u{f8f2}")
}

/// Splits the rendering with marks. Absent where a mark does not come back exactly once, or where putting the texts (as
/// they are, or trimmed as many templates do) in its place does not give the real rendering.
fn by_marks(marked: &str, marks: &[String], turns: &[Turn], whole: &str) -> Option<Vec<Span>> {
    let mut found: Vec<(usize, usize)> = Vec::new();
    for (i, m) in marks.iter().enumerate() {
        let mut at = marked.match_indices(m.as_str());
        found.push((at.next()?.0, i));
        if at.next().is_some() {
            return None;
        }
    }
    found.sort_unstable();
    for trim in [false, true] {
        let mut spans = Vec::new();
        let mut at = 0;
        for (start, i) in &found {
            spans.push(Span::new(&marked[at..*start], true));
            let text = &turns[*i].text;
            spans.push(Span::new(if trim { text.trim() } else { text }, false));
            at = start + marks[*i].len();
        }
        spans.push(Span::new(&marked[at..], true));
        if spans.iter().map(|s| s.text.as_str()).collect::<String>() == whole {
            return Some(spans);
        }
    }
    None
}

/// Looks the messages' texts up in the rendering, in order.
fn by_search(whole: &str, turns: &[Turn], suspect: impl Fn(&str) -> bool) -> Result<Vec<Span>, EngineError> {
    let mut spans = Vec::new();
    let mut at = 0;
    for turn in turns {
        let text = turn.text.trim();
        if text.is_empty() {
            continue;
        }
        match whole[at..].find(text) {
            Some(offset) => {
                spans.push(Span::new(&whole[at..at + offset], true));
                spans.push(Span::new(text, false));
                at += offset + text.len();
            }
            None if suspect(text) => {
                return Err(EngineError::Prompt(format!(
                    "a {} message holds a control token of the model, and the model's chat template mixes it into its own text",
                    turn.role
                )));
            }
            None => {}
        }
    }
    spans.push(Span::new(&whole[at..], true));
    Ok(spans)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(text: &str) -> Turn {
        Turn { role: "user".into(), text: text.into() }
    }

    fn render(source: &str, text: &str) -> Vec<Span> {
        ChatTemplate::new(source, "<s>", "</s>", Some([2026, 7, 4])).render(&[turn(text)], |_| true).unwrap()
    }

    #[test]
    fn messages_are_kept_apart() {
        let spans = render("{% for m in messages %}[{{ m['content'] }}]{% endfor %}", "a]<x>");
        assert_eq!(spans, [Span::new("[", true), Span::new("a]<x>", false), Span::new("]", true)]);
        let spans = render("[{{ messages[0].content.strip() }}]", " a ");
        assert_eq!(spans, [Span::new("[", true), Span::new("a", false), Span::new("]", true)]);
        let spans = render("[{{ messages[0].content|length }}{{ messages[0].content }}]", "abc");
        assert_eq!(spans, [Span::new("[3", true), Span::new("abc", false), Span::new("]", true)]);
    }

    /// What transformers renders with templates of real models: `tests/data/chat_templates`.
    #[test]
    fn every_rendering_is_equal() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/chat_templates/chat_templates.json");
        let data: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
        let (mut count, mut wrong) = (0, Vec::new());
        for template in data["templates"].as_array().unwrap() {
            let source = template["template"].as_str().unwrap();
            let template_of = ChatTemplate::new(source, "<s>", "</s>", Some([2026, 11, 25]));
            for case in template["cases"].as_array().unwrap() {
                let messages = data["conversations"][case["conversation"].as_str().unwrap()].as_array().unwrap();
                let text = |m: &serde_json::Value, key: &str| m[key].as_str().unwrap().to_owned();
                let turns: Vec<Turn> =
                    messages.iter().map(|m| Turn { role: text(m, "role"), text: text(m, "content") }).collect();
                let got = template_of.prompt(&turns, case["add_generation_prompt"].as_bool().unwrap());
                count += 1;
                if got.as_ref().ok().map(String::as_str) != case["text"].as_str() {
                    wrong.push(format!("{} {}: {got:?}, not {}", template["name"], case["conversation"], case));
                }
            }
        }
        assert_eq!(wrong, Vec::<String>::new());
        assert_eq!(count, 31 * 8);
    }

    #[test]
    fn a_mixed_control_token_is_refused() {
        let template = ChatTemplate::new("{{ messages[0].content|upper }}", "", "", None);
        assert!(template.render(&[turn("a")], |_| false).is_ok());
        assert!(template.render(&[turn("a")], |_| true).is_err());
    }

    #[test]
    fn templates_get_what_transformers_gives() {
        let text = |source| {
            let template = ChatTemplate::new(source, "<s>", "</s>", Some([2026, 7, 4]));
            template.render(&[turn("q")], |_| false).unwrap().into_iter().map(|s| s.text).collect::<String>()
        };
        assert_eq!(text("{{ {'a': '<b>', 'c': [1, 2]}|tojson }}"), r#"{"a": "<b>", "c": [1, 2]}"#);
        assert_eq!(text("{{ strftime_now('%d %b %Y') }}"), "04 Jul 2026");
        assert_eq!(text("{% generation %}x{% endgeneration %}"), "x");
        assert_eq!(
            text("{{ tools is iterable }} {{ tools is defined }} {{ [] is iterable }} {{ 1 is iterable }}"),
            "False True True False"
        );
        assert_eq!(text("{%- generation -%} x {% endgeneration %}"), "x ");
        assert_eq!(
            text("{% for i in [1,2,3] %}{% if i == 2 %}{% break %}{% endif %}{{ i }}{% endfor %}{{ bos_token }}"),
            "1<s>"
        );
        let refused = ChatTemplate::new("{{ raise_exception('no') }}", "", "", None).render(&[turn("q")], |_| false);
        assert!(matches!(refused, Err(EngineError::Prompt(m)) if m.contains("no")));
    }
}
