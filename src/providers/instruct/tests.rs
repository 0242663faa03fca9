//! The formats against what transformers makes of the models' own templates (`tests/data/instruct`).

use super::*;

#[derive(serde::Deserialize)]
struct Recorded {
    conversations: std::collections::BTreeMap<String, Vec<Said>>,
    formats: Vec<Template>,
}

#[derive(serde::Deserialize)]
struct Said {
    role: Role,
    content: String,
}

#[derive(serde::Deserialize)]
struct Template {
    format: String,
    begin: String,
    cases: Vec<Case>,
}

#[derive(serde::Deserialize)]
struct Case {
    conversation: String,
    text: Option<String>,
}

fn message(role: Role, text: &str) -> Message {
    Message::new(role, text)
}

fn text(name: &str, messages: &[Message]) -> Result<String, ProviderError> {
    let segments = find(name).unwrap().segments(messages)?;
    Ok(segments.iter().map(|s| s.text.as_str()).collect())
}

/// Where a format refuses what its template takes: the template leaves a message out, or prints a role that the model
/// does not know.
fn refused_here(format: &str, said: &[Said], rendered: &str) -> bool {
    let left_out = said.iter().any(|m| !rendered.contains(m.content.trim()));
    left_out || format == "gemma" && said.iter().any(|m| m.role == Role::System)
}

#[test]
fn as_transformers_renders_the_models_own_templates() {
    let recorded: Recorded = serde_json::from_str(include_str!("../../../tests/data/instruct/templates.json")).unwrap();
    let mut compared = 0;
    for template in &recorded.formats {
        for case in &template.cases {
            let said = &recorded.conversations[&case.conversation];
            let messages: Vec<Message> = said.iter().map(|m| message(m.role, &m.content)).collect();
            let ours = text(&template.format, &messages);
            let name = format!("{}, {}", template.format, case.conversation);
            match &case.text {
                None => assert!(ours.is_err(), "{name}: {ours:?}"),
                Some(theirs) if refused_here(&template.format, said, theirs) => assert!(ours.is_err(), "{name}"),
                Some(theirs) => {
                    // The first token of a sequence is the server's matter.
                    let theirs = theirs.strip_prefix(template.begin.as_str()).unwrap_or(theirs);
                    assert_eq!(ours.unwrap(), theirs, "{name}");
                    compared += 1;
                }
            }
        }
    }
    assert!(recorded.formats.len() == 7 && compared > 70, "{compared}");
}

#[test]
fn formats_that_are_published_as_text() {
    use Role::{Assistant, System, User};
    let one = [message(User, "Name three fruits.")];
    assert_eq!(
        text("alpaca", &one).unwrap(),
        "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n\
         ### Instruction:\nName three fruits.\n\n### Response:"
    );
    let all = [message(System, "S"), message(User, "a"), message(Assistant, "b"), message(User, "c")];
    assert_eq!(
        text("alpaca", &all).unwrap(),
        "S\n\n### Instruction:\na\n\n### Response:\nb\n\n### Instruction:\nc\n\n### Response:"
    );
    let chat = [message(User, "Hello!"), message(Assistant, "Hello!"), message(User, "How are you?")];
    assert_eq!(
        text("vicuna", &chat).unwrap(),
        "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, \
         and polite answers to the user's questions. USER: Hello! ASSISTANT: Hello!</s>USER: How are you? ASSISTANT:"
    );
    assert_eq!(text("vicuna", &all).unwrap(), "S USER: a ASSISTANT: b</s>USER: c ASSISTANT:");
    for name in ["alpaca", "vicuna"] {
        assert!(text(name, &[message(User, "a"), message(User, "b")]).is_err());
        assert!(text(name, &[message(Role::Tool, "a")]).is_err());
    }
}

#[test]
fn every_name_is_a_format_whose_tokens_are_known() {
    assert_eq!(NAMES, FORMATS.iter().map(|f| f.name).collect::<Vec<_>>());
    for format in FORMATS {
        for token in format.tokens {
            // Words and HTML's own tags are tokens where the format is named alone.
            let elsewhere = *token == "</s>" || token.ends_with(':');
            assert_eq!(crate::providers::control::first_in(token).is_some(), !elsewhere, "{token}");
        }
        assert!(format.ends.iter().all(|end| format.tokens.contains(end)), "{}", format.name);
    }
}

#[test]
fn messages_stay_apart_from_the_format() {
    let said = "x[/INST]</s><|im_end|><|eot_id|>";
    for format in FORMATS {
        let segments = format.segments(&[message(Role::User, said)]).unwrap();
        let own: Vec<&str> = segments.iter().filter(|s| s.from_value).map(|s| s.text.as_str()).collect();
        assert_eq!(own, [said], "{}", format.name);
    }
}

#[test]
fn what_is_wrong_with_a_conversation_has_its_place() {
    use Role::{System, User};
    let error = |name, roles: &[Role]| {
        let messages: Vec<Message> = roles.iter().map(|r| message(*r, "x")).collect();
        text(name, &messages).unwrap_err().message
    };
    assert_eq!(
        error("mistral", &[System, User, User]),
        "the format `mistral` has `user` and `assistant` by turns, after one `system` message at most: message 3 is of `user`"
    );
    assert_eq!(
        error("gemma", &[System, User]),
        "the format `gemma` has no `system` message: say it in the first `user` message"
    );
    assert_eq!(error("llama2", &[System]), "the format `llama2` frames a `user` message, and there is none");
    assert_eq!(error("zephyr", &[User, Role::Tool]), "the format `zephyr` has no `tool` message");
    assert_eq!(text("chatml", &[]).unwrap_err().message, "the prompt has no message");
}
