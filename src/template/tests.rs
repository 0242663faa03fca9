use std::sync::Arc;

use indexmap::IndexMap;

use super::*;
use crate::value::{Answer, Finish, Message, Role, Usage};

fn scope() -> IndexMap<String, Value> {
    let answer = Answer {
        text: "A tuber.".into(),
        reasoning: None,
        tool_calls: Vec::new(),
        model: "fake".into(),
        finish: Finish::Stop,
        usage: Usage { input: Some(3), output: Some(2), cached: None },
        seconds: 0.5,
    };
    let mut message = Message::new(Role::Assistant, "A tuber.");
    message.answer = Some(Arc::new(answer));
    let json = serde_json::json!({
        "word": "potato", "tone": "plain", "n": 3, "x": 3.0, "yes": true, "nothing": null, "낱말": "감자",
        "html": "<b>&</b>",
        "items": [{"text": "one"}, {"text": "two"}],
        "map": {"z": 1, "a": [true, null, "<"], "first-name": "Ada"},
    });
    let mut scope: IndexMap<String, Value> =
        json.as_object().unwrap().iter().map(|(k, v)| (k.clone(), Value::from_json(v))).collect();
    let history = vec![Message::new(Role::User, "Hi"), message.clone()];
    scope.insert("history".into(), Value::Prompt(Arc::new(history)));
    scope.insert("m".into(), Value::Message(Arc::new(message)));
    let raw = vec![Segment { text: "[INST]a".into(), from_value: false }];
    scope.insert("raw".into(), Value::Raw(Arc::new(raw)));
    scope
}

fn run(text: &str) -> Result<Rendered, TemplateError> {
    Template::compile(text)?.render(&scope())
}

fn render(text: &str) -> String {
    run(text).unwrap().text()
}

/// The error, with the text that its range covers.
fn fault(text: &str) -> (TemplateError, String) {
    let e = run(text).unwrap_err();
    let covered = e.range.clone().map(|r| text[r].to_owned()).unwrap_or_default();
    (e, covered)
}

fn eval(text: &str) -> Result<Value, TemplateError> {
    Expression::compile(text)?.eval(&scope())
}

#[test]
fn plain_text_is_itself() {
    for text in ["", "plain {# not a comment #}\n", "{ a } 100%"] {
        let t = Template::compile(text).unwrap();
        assert!(t.is_plain());
        assert_eq!(t.render(&scope()).unwrap().text(), text);
    }
}

#[test]
fn comments_are_text() {
    assert_eq!(render("{# {{ word }} #}\n"), "{# potato #}\n");
}

#[test]
fn values_print_plainly() {
    let text = "{{ word }} {{ n }} {{ x }} {{ yes }} {{ html }} {{ map }} {{ items }} {{ m }} {{ raw }} {{ 낱말 }}";
    let want = "potato 3 3.0 true <b>&</b> {\"z\":1,\"a\":[true,null,\"<\"],\"first-name\":\"Ada\"} \
                [{\"text\":\"one\"},{\"text\":\"two\"}] A tuber. [INST]a 감자";
    assert_eq!(render(text), want);
    assert_eq!(render("{{ [1, 2.0, 'a', true] }}{{ {'k': none} }}"), "[1,2.0,\"a\",true]{\"k\":null}");
    assert_eq!(render("{{ 'a' ~ yes ~ x ~ items[0] }}"), "atrue3.0{\"text\":\"one\"}");
    assert_eq!(render("{{ map | tojson }}"), "{\"z\":1,\"a\":[true,null,\"<\"],\"first-name\":\"Ada\"}");
    assert_eq!(render("{{ {'a': 1} | tojson(indent=2) }}"), "{\n  \"a\": 1\n}");
}

#[test]
fn blocks_leave_no_lines() {
    assert_eq!(render("a\n  {% for i in items %}\n- {{ i.text }}\n  {% endfor %}\nb\n"), "a\n- one\n- two\nb\n");
}

#[test]
fn messages_count_as_text() {
    assert_eq!(render("{{ m | upper }} {{ m | length }} {{ m.upper() }}"), "A TUBER. 8 A TUBER.");
    for condition in [
        "m == 'A tuber.'",
        "'A tuber.' == m",
        "m != 'x'",
        "'tuber' in m",
        "m is string",
        "m is startingwith('A')",
        "m[:1] == 'A'",
        "m + '!' == 'A tuber.!'",
        "m ~ '!' == 'A tuber.!'",
        "history | last == 'A tuber.'",
        "(history | last) == 'A tuber.'",
        "m in ['A tuber.']",
        "m | replace('tuber', 'x') == 'A x.'",
        "m.tokens.output < 120",
        "m.finish == 'stop'",
        "m | length < 400",
        "m | trim | lower == 'a tuber.'",
    ] {
        assert_eq!(eval(condition), Ok(Value::Bool(true)), "{condition}");
    }
    assert_eq!(render("{{ m.role }} {{ m.model }} {{ m.seconds }} {{ m.content }}"), "assistant fake 0.5 A tuber.");
    assert_eq!(render("{% for h in history %}{{ h.role }}: {{ h }};{% endfor %}"), "user: Hi;assistant: A tuber.;");
}

#[test]
fn undefined_is_an_error() {
    let (e, at) = fault("Say {{ wrod }}");
    assert_eq!((e.message.as_str(), at.as_str()), ("`wrod` is undefined", "wrod"));
    assert_eq!(e.help, ["did you mean `word`?"]);
    let (e, at) = fault("{{ items[0].txet | upper }}");
    assert_eq!((e.message.as_str(), at.as_str()), ("`items[0].txet` is undefined", "items[0].txet"));
    assert_eq!(e.help, ["did you mean `text`?"]);
    let (e, _) = fault("{{ m.modle == 'x' }}");
    assert_eq!((e.message.as_str(), e.help[0].as_str()), ("`m.modle` is undefined", "did you mean `model`?"));
    let (e, _) = fault("{{ a.b.c }}");
    assert_eq!(e.message, "`a` is undefined");
    assert_eq!(eval("wrod").unwrap_err().message, "`wrod` is undefined");
    assert_eq!(eval("map.q").unwrap_err().message, "`map.q` is undefined");
    assert!(eval("items[7]").is_err());
    assert!(fault("{% if wrod %}x{% endif %}").0.message.contains("undefined"));
    assert!(fault("{% for i in wrod %}x{% endfor %}").0.message.contains("undefined"));
    assert_eq!(render("{{ wrod is defined }} {{ wrod | default('x') }} {{ word is defined }}"), "false x true");
}

#[test]
fn a_missing_else_is_an_error_when_reached() {
    assert_eq!(render("{{ 'a' if yes }}"), "a");
    for text in ["{{ 'a' if not yes }}", "{{ ('a' if not yes) ~ 'b' }}", "{{ 'a' if n == 4 }}"] {
        let (e, _) = fault(text);
        assert_eq!(e.message, "the `if` has no `else`, and its condition is false", "{text}");
    }
    assert!(eval("1 if false").unwrap_err().message.contains("no `else`"));
}

#[test]
fn null_is_not_printed() {
    let (e, at) = fault("Age: {{ nothing }}");
    assert_eq!((e.message.as_str(), at.trim()), ("`nothing` is null", "nothing"));
    assert_eq!(e.help, ["say what to print instead: `{{ nothing or \"unknown\" }}`"]);
    assert_eq!(render("{{ nothing or 'unknown' }}"), "unknown");
    assert!(run("{{ 'a' ~ nothing }}").is_err());
    assert_eq!(eval("nothing"), Ok(Value::Null));
}

#[test]
fn what_reaches_out_is_off() {
    for (text, tag) in [
        ("a{% include 'x' %}", "include"),
        ("a{% import 'x' as y %}", "import"),
        ("a{% from 'x' import y %}", "from"),
        ("a{% extends 'x' %}", "extends"),
        ("a{% block x %}{% endblock %}", "block"),
        ("a{% autoescape true %}{% endautoescape %}", "autoescape"),
    ] {
        let e = Template::compile(text).unwrap_err();
        assert_eq!(e.message, format!("`{tag}` is off: a template stands for itself"));
        assert!(text[e.range.unwrap()].starts_with(tag));
    }
    let e = Template::compile("{{ debug() }}").unwrap_err();
    assert_eq!(e.message, "there is no function `debug`");
    assert_eq!(e.help, ["`debug` is off"]);
    assert!(Template::compile("{{ now() }}").is_err());
}

#[test]
fn unknown_names_of_the_language_are_errors_at_once() {
    for (text, message, hint, at) in [
        ("{{ word | uper }}", "there is no filter `uper`", "did you mean `upper`?", "uper"),
        ("{{ word is strin }}", "there is no test `strin`", "did you mean `string`?", "strin"),
        ("{{ rnage(3) }}", "there is no function `rnage`", "did you mean `range`?", "rnage"),
        ("{% filter uper %}x{% endfilter %}", "there is no filter `uper`", "did you mean `upper`?", "uper"),
    ] {
        let e = Template::compile(text).unwrap_err();
        assert_eq!((e.message.as_str(), e.help[0].as_str()), (message, hint));
        assert_eq!(&text[e.range.unwrap()], at);
    }
}

#[test]
fn syntax_errors_have_a_place() {
    for text in ["{{ word", "{{ word ! }}", "{% if %}", "{% for x %}{% endfor %}", "é {{ 'a }}", "{{ }}", "{% endif %}"]
    {
        let e = Template::compile(text).unwrap_err();
        assert!(e.range.is_some(), "{text}: {e:?}");
        assert!(text.get(e.range.unwrap()).is_some(), "{text}");
    }
    assert!(Expression::compile("").is_err());
    assert!(Expression::compile("a }} b").is_err());
    assert!(Expression::compile("a b").is_err());
}

fn listed(text: &str) -> Vec<(String, String, String)> {
    let t = Template::compile(text).unwrap();
    t.names()
        .iter()
        .map(|n| {
            let cut = |r: &Range<usize>| text[r.clone()].to_owned();
            (cut(&n.range), cut(&n.name_range), cut(&n.last_range))
        })
        .collect()
}

#[test]
fn names_have_paths_and_places() {
    let three = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
    let text = "é {{ m.definition | upper }}{{ m . a [ \"x\" ] }}{{ l[0].y }}{{ word }}{{ d[k].z(q) }}";
    assert_eq!(
        listed(text),
        [
            three("m.definition", "m", "definition"),
            three("m . a [ \"x\" ]", "m", "\"x\""),
            three("l[0].y", "l", "y"),
            three("word", "word", "word"),
            three("d", "d", "d"),
            three("k", "k", "k"),
            three("q", "q", "q"),
        ]
    );
    let t = Template::compile(text).unwrap();
    let part = |s: &str| PathPart::Name(s.to_owned());
    assert_eq!(t.names()[1].path, [part("m"), PathPart::Field("a".into()), PathPart::Key("x".into())]);
    assert_eq!(t.names()[2].path, [part("l"), PathPart::Index(0), PathPart::Field("y".into())]);
}

#[test]
fn names_made_inside_are_not_free() {
    let text = "{% for d in docs %}{{ loop.index }}{{ d.text }}{{ w }}{% endfor %}{% set s = d2 %}{{ s }}\
                {% with a = b %}{{ a }}{% endwith %}{{ a }}{% macro f(p, q=r) %}{{ p }}{{ z }}{% endmacro %}{{ f(1) }}\
                {{ range(3) }}{{ range }}";
    let free: Vec<String> = listed(text).into_iter().map(|n| n.0).collect();
    assert_eq!(free, ["docs", "w", "d2", "b", "a", "r", "z", "range"]);
    let t = Template::compile(text).unwrap();
    let bound: Vec<&str> = t.bound().iter().map(|(n, _)| n.as_str()).collect();
    assert_eq!(bound, ["d", "s", "a", "f", "p", "q"]);
    assert!(t.bound().iter().all(|(n, r)| &text[r.clone()] == n));
}

#[test]
fn values_are_kept_apart() {
    let text = "a {{ word }}{{ m.text }} b{% set s %}[{{ html }}]{% endset %}{{ s }}";
    let r = run(text).unwrap();
    let segments: Vec<(&str, bool)> = r.segments.iter().map(|s| (s.text.as_str(), s.from_value)).collect();
    assert_eq!(segments, [("a ", false), ("potatoA tuber.", true), (" b", false), ("[<b>&</b>]", true)]);
    let tainted: Vec<(&str, &str)> = r.tainted.iter().map(|t| (t.name.as_str(), t.text.as_str())).collect();
    assert_eq!(tainted, [("word", "potato"), ("m.text", "A tuber."), ("s", "[<b>&</b>]")]);
    let r =
        run("{% filter upper %}x{{ word }}{% endfilter %}{{ m ~ '!' }}{% for i in items %}-{{ i.text }}{% endfor %}");
    let r = r.unwrap();
    let segments: Vec<(&str, bool)> = r.segments.iter().map(|s| (s.text.as_str(), s.from_value)).collect();
    assert_eq!(segments, [("XPOTATOA tuber.!", true), ("-", false), ("one", true), ("-", false), ("two", true)]);
    let names: Vec<&str> = r.tainted.iter().map(|t| t.name.as_str()).collect();
    assert_eq!(names, ["upper", "m ~ '!'", "i.text", "i.text"]);
}

#[test]
fn expressions_give_values() {
    assert_eq!(eval("m"), Ok(scope()["m"].clone()));
    assert_eq!(eval("raw"), Ok(scope()["raw"].clone()));
    assert_eq!(eval("history"), Ok(scope()["history"].clone()));
    assert_eq!(eval("history | last"), Ok(scope()["m"].clone()));
    assert_eq!(eval("m if yes else 1"), Ok(scope()["m"].clone()));
    assert_eq!(eval("m or 'x'"), Ok(scope()["m"].clone()));
    assert_eq!(eval("map if yes else 1"), Ok(scope()["map"].clone()));
    assert_eq!(eval("n + 1"), Ok(Value::Int(4)));
    assert_eq!(eval("x"), Ok(Value::Float(3.0)));
    assert_eq!(eval("1 / 2"), Ok(Value::Float(0.5)));
    assert_eq!(eval("word ~ '!'"), Ok(Value::from("potato!")));
    assert_eq!(eval("items | map(attribute='text') | list"), Ok(Value::list(vec!["one".into(), "two".into()])));
    assert_eq!(eval("map['first-name']"), Ok(Value::from("Ada")));
    assert_eq!(eval("items[-1].text"), Ok(Value::from("two")));
    assert_eq!(eval("{'b': m, 'a': 1}").map(|v| v.to_json().to_string()).unwrap().find("\"b\""), Some(1));
    assert!(eval("range").is_err());
    assert_eq!(eval("range(3) | list").map(|v| v.show(50)), Ok("[0,1,2]".into()));
    assert_eq!(Expression::compile(" items[0].text ").unwrap().path().map(<[_]>::len), Some(3));
    assert_eq!(Expression::compile("n + 1").unwrap().path(), None);
    assert_eq!(Expression::compile("-3").unwrap().literal(), Some(&Value::Int(-3)));
    assert_eq!(Expression::compile("'a'").unwrap().literal(), Some(&Value::from("a")));
    assert_eq!(Expression::compile("n").unwrap().literal(), None);
}

#[test]
fn methods_of_python_work() {
    assert_eq!(render("{{ word.upper() }} {{ map.keys() | list }}"), "POTATO [\"z\",\"a\",\"first-name\"]");
}

#[test]
fn hostile_templates_give_errors() {
    let deep = 10_000;
    let many = |open: &str, inner: &str, close: &str| format!("{}{inner}{}", open.repeat(deep), close.repeat(deep));
    for text in [
        format!("{{{{ {} }}}}", many("(", "1", ")")),
        format!("{{{{ {} }}}}", many("[", "", "]")),
        format!("{{{{ {} }}}}", many("{'a':", "1", "}")),
        format!("{{{{ {} }}}}", many("not ", "yes", "")),
        format!("{{{{ {} }}}}", many("- ", "n", "")),
        format!("{{{{ n{} }}}}", " + n".repeat(deep)),
        format!("{{{{ n{} }}}}", ".a".repeat(deep)),
        format!("{{{{ n{} }}}}", "|upper".repeat(deep)),
        format!("{{{{ {} }}}}", many("1 if n else ", "n", "")),
        format!("{{{{ n{} }}}}", "(1)".repeat(deep)),
        format!("{{% filter x{} %}}", "|upper".repeat(deep)),
        many("{% if yes %}", "", "{% endif %}"),
        many("{% for i in items %}", "", "{% endfor %}"),
        format!("{{% if yes %}}{}{{% endif %}}", "{% elif yes %}".repeat(deep)),
        many("{% set ", "x", ""),
        many("{% for (", "x", ""),
        format!("{{% for {}x in n %}}", "(".repeat(deep)),
    ] {
        assert!(Template::compile(&text).is_err(), "{}", &text[..40]);
    }
    for text in [
        "{% for a in range(100000) %}{% for b in range(100000) %}x{% endfor %}{% endfor %}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{% set ns = namespace(a='x') %}{% for i in range(60) %}{% set ns.a = ns.a ~ ns.a %}{% endfor %}{{ ns.a }}",
        "{% set ns = namespace(a=[1]) %}{% for i in range(60) %}{% set ns.a = [ns.a, ns.a] %}{% endfor %}{{ ns.a }}",
        "{% set ns = namespace() %}{% set ns.a = ns %}{{ ns }}",
        "{{ 'x' * 1000000000 }}",
        "{{ word | indent(1000000000) }}",
    ] {
        let e = run(text).unwrap_err();
        assert!(!e.message.is_empty(), "{text}");
    }
}

#[test]
fn long_is_not_deep() {
    let list = format!("{{{{ [{}] | length }}}}", "n + 1, ".repeat(5_000));
    assert_eq!(render(&list), "5000");
    let flat = "{% if yes %}a{% endif %}{{ n }}".repeat(2_000);
    assert_eq!(render(&flat).len(), 4_000);
    let sum = format!("{{{{ n{} }}}}", " + n".repeat(150));
    assert_eq!(render(&sum), "453");
}

#[test]
fn compiling_is_cheap() {
    Template::compile("{{ a }}").unwrap();
    let start = std::time::Instant::now();
    for _ in 0..1_000 {
        Template::compile("What is the meaning of {{ word }}? Be {{ tone }}.").unwrap();
    }
    assert!(start.elapsed() < std::time::Duration::from_millis(500), "{:?} for 1000", start.elapsed());
}

#[test]
fn text_and_paths_alone_give_without_the_engine_what_it_gives() {
    let mut message = crate::value::Message::new(crate::value::Role::Assistant, "said <b>");
    message.text.push_str(" \"x\"");
    let inner =
        Value::Map(Arc::new(IndexMap::from([("items".to_owned(), Value::list(vec!["a".into(), Value::Int(-3)]))])));
    let scope = IndexMap::from([
        ("x".to_owned(), Value::from("a {{ x }}\n")),
        ("n".to_owned(), Value::Int(7)),
        ("m".to_owned(), Value::Message(Arc::new(message))),
        ("map".to_owned(), inner),
        ("empty".to_owned(), Value::from("")),
    ]);
    let direct = [
        "{{ x }}",
        "a {{x}}b{{ n }} {{ x }}",
        "  {{- x -}}  \n  and\n{{ empty }}\n",
        "{{ m }} {{ m.text }} {{ m.role }} {{ m['content'] }}",
        "{{ map.items[0] }}{{ map[\"items\"][-1] }}{{ map.items.1 }}",
        "{% raw %}{{ no }}{% endraw %}{{ n }}",
        "{# no comment #}{{ x }}é{{ n }}",
    ];
    for text in direct {
        let template = Template::compile(text).unwrap();
        let out = template.direct.as_ref().and_then(|d| d.render(&scope));
        assert_eq!(out, Some(template.engine_render(&scope).unwrap()), "{text}");
    }
    // What is wrong is said by the engine.
    for text in ["{{ y }}", "{{ m.seconds }}", "{{ map.items[2] }}", "{{ x.upper }}", "{{ map }}", "{{ x | upper }}"] {
        let template = Template::compile(text).unwrap();
        assert_eq!(template.direct.as_ref().and_then(|d| d.render(&scope)), None, "{text}");
    }
}
