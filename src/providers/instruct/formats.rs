//! The formats: how each writes a conversation, what ends its answers, and which texts of it no value may hold.

use crate::value::{Message, Role, Segment};

/// A format of conversations, as text.
pub struct Format {
    /// Its name in files.
    pub name: &'static str,
    /// The first token of a sequence where the format has one. Servers write it by themselves.
    pub begin: &'static str,
    /// Texts that end an answer, besides the token that ends a sequence, at which every server stops.
    pub ends: &'static [&'static str],
    /// Texts that open, name or close roles.
    pub tokens: &'static [&'static str],
    /// Why there is no form for messages of these roles.
    pub(super) refuses: fn(&[Role]) -> Option<String>,
    /// Writes a conversation that is not refused.
    pub(super) write: fn(&[Message], &mut Writer),
}

/// The formats, in the order in which messages list them.
pub static FORMATS: &[Format] = &[
    Format {
        name: "mistral",
        begin: "<s>",
        ends: &[],
        tokens: &["[INST]", "[/INST]", "</s>"],
        refuses: in_turn,
        write: mistral,
    },
    Format {
        name: "llama2",
        begin: "<s>",
        ends: &[],
        tokens: &["[INST]", "[/INST]", "<<SYS>>", "<</SYS>>", "</s>"],
        refuses: in_turn,
        write: llama2,
    },
    Format {
        name: "llama3",
        begin: "<|begin_of_text|>",
        ends: &["<|eot_id|>"],
        tokens: &["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|begin_of_text|>", "<|end_of_text|>"],
        refuses: |_| None,
        write: llama3,
    },
    Format {
        name: "chatml",
        begin: "",
        ends: &["<|im_end|>"],
        tokens: &["<|im_start|>", "<|im_end|>"],
        refuses: |_| None,
        write: |messages, out| {
            for message in messages {
                out.mark("<|im_start|>").mark(message.role.name()).mark("\n").said(&message.text).mark("<|im_end|>\n");
            }
            out.mark("<|im_start|>assistant\n");
        },
    },
    Format {
        name: "gemma",
        begin: "<bos>",
        ends: &["<end_of_turn>"],
        tokens: &["<start_of_turn>", "<end_of_turn>"],
        refuses: |roles| match roles.contains(&Role::System) {
            true => Some("has no `system` message: say it in the first `user` message".to_owned()),
            false => in_turn(roles),
        },
        write: gemma,
    },
    Format {
        name: "phi3",
        begin: "",
        ends: &["<|end|>"],
        tokens: &["<|system|>", "<|user|>", "<|assistant|>", "<|end|>", "<|endoftext|>"],
        refuses: no_tool,
        write: |messages, out| by_name(messages, "<|end|>\n", out),
    },
    Format {
        name: "zephyr",
        begin: "",
        ends: &[],
        tokens: &["<|system|>", "<|user|>", "<|assistant|>", "</s>"],
        refuses: no_tool,
        write: |messages, out| by_name(messages, "</s>\n", out),
    },
    Format {
        name: "alpaca",
        begin: "<s>",
        ends: &["### Instruction:"],
        tokens: &["### Instruction:", "### Input:", "### Response:", "</s>"],
        refuses: in_turn,
        write: alpaca,
    },
    Format {
        name: "vicuna",
        begin: "<s>",
        ends: &["USER:"],
        tokens: &["USER:", "ASSISTANT:", "</s>"],
        refuses: in_turn,
        write: vicuna,
    },
];

/// What frames an instruction of Alpaca where no system message does.
const ALPACA: &str =
    "Below is an instruction that describes a task. Write a response that appropriately completes the request.";

/// What frames a conversation of Vicuna where no system message does.
const VICUNA: &str = "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, \
                      detailed, and polite answers to the user's questions.";

/// Puts a text together of the format's stretches and the messages'.
#[derive(Default)]
pub struct Writer {
    /// What is written, neighbours of one kind joined.
    pub segments: Vec<Segment>,
}

impl Writer {
    fn mark(&mut self, text: &str) -> &mut Self {
        self.push(text, false)
    }

    fn said(&mut self, text: &str) -> &mut Self {
        self.push(text, true)
    }

    fn push(&mut self, text: &str, from_value: bool) -> &mut Self {
        match self.segments.last_mut() {
            Some(last) if last.from_value == from_value => last.text.push_str(text),
            _ => self.segments.push(Segment { text: text.to_owned(), from_value }),
        }
        self
    }
}

/// User and assistant by turns, the user first, after one system message at most.
fn in_turn(roles: &[Role]) -> Option<String> {
    let turns = roles.strip_prefix(&[Role::System]).unwrap_or(roles);
    let before = roles.len() - turns.len();
    if turns.is_empty() {
        return Some("frames a `user` message, and there is none".to_owned());
    }
    let wrong = turns.iter().enumerate().find(|(i, role)| **role != [Role::User, Role::Assistant][i % 2])?;
    let (place, role) = (wrong.0 + before + 1, wrong.1.name());
    Some(format!(
        "has `user` and `assistant` by turns, after one `system` message at most: message {place} is of `{role}`"
    ))
}

fn no_tool(roles: &[Role]) -> Option<String> {
    roles.contains(&Role::Tool).then(|| "has no `tool` message".to_owned())
}

/// The system message, and what follows it.
fn framed(messages: &[Message]) -> (Option<&Message>, &[Message]) {
    match messages {
        [first, rest @ ..] if first.role == Role::System => (Some(first), rest),
        all => (None, all),
    }
}

fn mistral(messages: &[Message], out: &mut Writer) {
    let (system, turns) = framed(messages);
    for (i, message) in turns.iter().enumerate() {
        if message.role == Role::Assistant {
            out.said(&message.text).mark("</s>");
            continue;
        }
        out.mark("[INST]");
        // The frame stands with the last question, wherever the conversation began.
        if let Some(system) = system.filter(|_| i + 1 == turns.len()) {
            out.said(&system.text).mark("\n\n");
        }
        out.said(&message.text).mark("[/INST]");
    }
}

fn llama2(messages: &[Message], out: &mut Writer) {
    let (system, turns) = framed(messages);
    for (i, message) in turns.iter().enumerate() {
        let text = message.text.trim();
        if message.role == Role::Assistant {
            out.mark(" ").said(text).mark(" </s>");
            continue;
        }
        out.mark(if i == 0 { "[INST] " } else { "<s>[INST] " });
        match system.filter(|_| i == 0) {
            // The template takes white space off the ends of both together.
            Some(system) => {
                out.mark("<<SYS>>\n").said(&system.text).mark("\n<</SYS>>\n\n").said(message.text.trim_end());
            }
            None => {
                out.said(text);
            }
        }
        out.mark(" [/INST]");
    }
}

fn llama3(messages: &[Message], out: &mut Writer) {
    for message in messages {
        out.mark("<|start_header_id|>").mark(message.role.name()).mark("<|end_header_id|>\n\n");
        out.said(message.text.trim()).mark("<|eot_id|>");
    }
    out.mark("<|start_header_id|>assistant<|end_header_id|>\n\n");
}

fn gemma(messages: &[Message], out: &mut Writer) {
    for message in messages {
        let role = if message.role == Role::Assistant { "model" } else { message.role.name() };
        out.mark("<start_of_turn>").mark(role).mark("\n").said(message.text.trim()).mark("<end_of_turn>\n");
    }
    out.mark("<start_of_turn>model\n");
}

/// Messages below the name of their role, as Phi-3 and Zephyr have them.
fn by_name(messages: &[Message], end: &str, out: &mut Writer) {
    for message in messages {
        out.mark("<|").mark(message.role.name()).mark("|>\n").said(&message.text).mark(end);
    }
    out.mark("<|assistant|>\n");
}

fn alpaca(messages: &[Message], out: &mut Writer) {
    let (system, turns) = framed(messages);
    match system {
        Some(system) => out.said(system.text.trim()),
        None => out.mark(ALPACA),
    };
    for message in turns {
        let name = if message.role == Role::User { "\n\n### Instruction:\n" } else { "\n\n### Response:\n" };
        out.mark(name).said(message.text.trim());
    }
    out.mark("\n\n### Response:");
}

fn vicuna(messages: &[Message], out: &mut Writer) {
    let (system, turns) = framed(messages);
    match system {
        Some(system) => out.said(system.text.trim()),
        None => out.mark(VICUNA),
    };
    out.mark(" ");
    for message in turns {
        match message.role {
            Role::User => out.mark("USER: ").said(message.text.trim()).mark(" "),
            _ => out.mark("ASSISTANT: ").said(message.text.trim()).mark("</s>"),
        };
    }
    out.mark("ASSISTANT:");
}
