//! The chat template and the ends of a model that lies in a folder, as transformers writes them: `chat_template.jinja` and
//! `tokenizer_config.json`.

use serde_json::Value;

use super::error::EngineError;
use super::template::ChatTemplate;

/// The chat template of a folder, from the texts of its two files; absent where neither holds one. Of several templates with
/// names the one called `default` is taken, as transformers does.
///
/// # Errors
/// The file is no JSON, or holds several templates and none is the default.
pub fn chat_template(
    jinja: Option<&str>,
    config: Option<&str>,
    date: Option<[i32; 3]>,
) -> Result<Option<ChatTemplate>, EngineError> {
    let config: Value = match config {
        Some(text) => {
            serde_json::from_str(text).map_err(|e| EngineError::Damaged(format!("tokenizer_config.json: {e}")))?
        }
        None => Value::Null,
    };
    let token = |name: &str| {
        let token = &config[name];
        token.as_str().or(token["content"].as_str()).unwrap_or("").to_owned()
    };
    let source = match (jinja, &config["chat_template"]) {
        (Some(text), _) => Some(text.to_owned()),
        (None, Value::String(text)) => Some(text.clone()),
        (None, Value::Array(named)) => Some(default_of(named)?),
        _ => None,
    };
    Ok(source.map(|s| ChatTemplate::new(&s, &token("bos_token"), &token("eos_token"), date)))
}

fn default_of(named: &[Value]) -> Result<String, EngineError> {
    let found = named.iter().find(|t| t["name"] == "default").and_then(|t| t["template"].as_str());
    found.map(str::to_owned).ok_or_else(|| {
        let names: Vec<&str> = named.iter().filter_map(|t| t["name"].as_str()).collect();
        EngineError::Damaged(format!(
            "tokenizer_config.json has chat templates {}, and none is `default`",
            names.join(", ")
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::super::template::Turn;
    use super::*;

    fn text(jinja: Option<&str>, config: Option<&str>) -> Result<Option<String>, EngineError> {
        let turn = Turn { role: "user".into(), text: "q".into() };
        let template = chat_template(jinja, config, None)?;
        let spans = template.map(|t| t.render(&[turn], |_| false)).transpose()?;
        Ok(spans.map(|s| s.into_iter().map(|s| s.text).collect()))
    }

    #[test]
    fn the_template_is_found_in_either_file() {
        let one = r#"{"bos_token": {"content": "<s>"}, "eos_token": "</s>", "chat_template": "{{ bos_token }}1{{ eos_token }}"}"#;
        assert_eq!(text(None, Some(one)), Ok(Some("<s>1</s>".into())));
        assert_eq!(text(Some("{{ bos_token }}2"), Some(one)), Ok(Some("<s>2".into())));
        let named = r#"{"chat_template": [{"name": "rag", "template": "r"}, {"name": "default", "template": "d"}]}"#;
        assert_eq!(text(None, Some(named)), Ok(Some("d".into())));
        assert_eq!(text(None, Some("{}")), Ok(None));
        assert_eq!(text(None, None), Ok(None));
        let none = r#"{"chat_template": [{"name": "rag", "template": "r"}, {"name": "tool_use", "template": "t"}]}"#;
        assert!(matches!(text(None, Some(none)), Err(EngineError::Damaged(m)) if m.contains("rag, tool_use")));
        assert!(text(None, Some("{")).is_err());
    }
}
