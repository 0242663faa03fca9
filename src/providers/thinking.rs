//! Reasoning that a model writes into its answer, as `<think>…</think>` at the beginning, told apart as it comes.

const OPEN: &str = "<think>";
const CLOSE: &str = "</think>";

/// Splits an answer that comes in pieces into reasoning and the answer itself.
#[derive(Default)]
pub struct Thinking {
    state: State,
    /// What came before it is clear whose it is.
    held: String,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum State {
    /// Nothing but white space and a part of `<think>` came.
    #[default]
    Before,
    Inside,
    /// Behind the block, before the answer's first letter.
    Behind,
    Answer,
}

/// A piece, taken apart.
#[derive(Debug, Default, PartialEq)]
pub struct Split {
    /// What belongs to the reasoning.
    pub reasoning: String,
    /// What belongs to the answer.
    pub answer: String,
}

impl Thinking {
    /// What a piece holds.
    pub fn push(&mut self, piece: &str) -> Split {
        let mut out = Split::default();
        if self.state == State::Answer {
            out.answer = piece.to_owned();
            return out;
        }
        self.held.push_str(piece);
        if self.state == State::Before {
            let rest = self.held.trim_start();
            if let Some(inside) = rest.strip_prefix(OPEN) {
                self.held = inside.to_owned();
                self.state = State::Inside;
            } else if !OPEN.starts_with(rest) {
                self.state = State::Answer;
                out.answer = std::mem::take(&mut self.held);
            }
        }
        if self.state == State::Inside {
            match self.held.find(CLOSE) {
                Some(at) => {
                    out.reasoning = self.held[..at].to_owned();
                    self.held = self.held[at + CLOSE.len()..].to_owned();
                    self.state = State::Behind;
                }
                None => {
                    // The end may be the beginning of `</think>`.
                    let kept = (1..CLOSE.len()).rev().find(|n| self.held.ends_with(&CLOSE[..*n])).unwrap_or(0);
                    let rest = self.held.split_off(self.held.len() - kept);
                    out.reasoning = std::mem::replace(&mut self.held, rest);
                }
            }
        }
        if self.state == State::Behind {
            let answer = self.held.trim_start();
            if !answer.is_empty() {
                out.answer = answer.to_owned();
                self.state = State::Answer;
            }
            self.held.clear();
        }
        out
    }

    /// What is left when no more comes.
    pub fn finish(&mut self) -> Split {
        let held = std::mem::take(&mut self.held);
        match self.state {
            State::Inside => Split { reasoning: held, ..Split::default() },
            _ => Split { answer: held, ..Split::default() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wherever_the_text_is_split() {
        for (text, reasoning, answer) in [
            ("<think>hm, so</think>\n\n a tuber \n", "hm, so", "a tuber \n"),
            (" \n<think>\n1 </ 2 </thin 감\n</think>ok", "\n1 </ 2 </thin 감\n", "ok"),
            ("a <think>b</think>", "", "a <think>b</think>"),
            ("  <thinks", "", "  <thinks"),
            ("<thi", "", "<thi"),
            // Cut by the limit of tokens.
            ("<think>and then </th", "and then </th", ""),
            ("<think></think>", "", ""),
            ("", "", ""),
            ("  ", "", "  "),
        ] {
            for at in (0..=text.len()).filter(|at| text.is_char_boundary(*at)) {
                let mut thinking = Thinking::default();
                let mut all = Split::default();
                for part in [thinking.push(&text[..at]), thinking.push(&text[at..]), thinking.finish()] {
                    all.reasoning.push_str(&part.reasoning);
                    all.answer.push_str(&part.answer);
                }
                assert_eq!((all.reasoning.as_str(), all.answer.as_str()), (reasoning, answer), "{text} at {at}");
            }
        }
    }
}
