//! `exec`: a command that takes JSON and gives JSON.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::lower::{Execs, Lowerer};
use super::scope::{Home, Scope};
use super::values::{constant_pipeline, convert, duration};
use super::{Cell, Node, NodeKind};
use crate::diag::{Code, Diagnostic, Severity};
use crate::providers::{OptionKind, OptionValue};
use crate::source::Span;
use crate::syntax::ast::{Arg, Operand, OperandKind};
use crate::value::{Type, Value};

/// How long a command may take where the file does not say.
const TIMEOUT: Duration = Duration::from_secs(60);

/// How many bytes a command may print where the file does not say.
const MAX_RESPONSE: u64 = 64 << 20;

/// Options of `exec`.
const OPTIONS: &[&str] = &["timeout", "max_response"];

/// A command.
#[derive(Debug)]
pub struct Exec {
    /// The program: a name that is looked up, or a path.
    pub program: String,
    /// What it is called with, each a text, a number or a truth value.
    pub arguments: Vec<(Cell, Span)>,
    /// How long it may take.
    pub timeout: Duration,
    /// How many bytes it may print.
    pub max_response: u64,
    /// The folder in which it runs: the project's.
    pub folder: PathBuf,
}

impl Lowerer<'_> {
    /// `exec("command", "argument", …)`.
    pub(super) fn exec_stage(&mut self, args: Option<&[Arg]>, span: Span, scope: &Scope) -> Option<(Home, Type)> {
        self.settings.reads.unknown("it runs a command");
        let mut exec = Exec {
            program: String::new(),
            arguments: Vec::new(),
            timeout: TIMEOUT,
            max_response: MAX_RESPONSE,
            folder: self.settings.project.clone(),
        };
        let mut fine = true;
        let mut seen: Vec<(&str, Span)> = Vec::new();
        for arg in args.unwrap_or_default() {
            fine &= match &arg.name {
                Some(name) => {
                    if let Some((_, first)) = seen.iter().find(|(n, _)| *n == name.name) {
                        let message = format!("the option `{}` is given twice", name.name);
                        let first = *first;
                        self.error(Diagnostic::error(Code::E201, name.span, message).also(first, "first given here"));
                        fine = false;
                    }
                    seen.push((&name.name, name.span));
                    self.exec_option(&mut exec, &name.name, name.span, arg)
                }
                None if exec.program.is_empty() => self.program(&mut exec, arg),
                None => match self.cell(&arg.value, scope) {
                    Some((cell, _)) => {
                        exec.arguments.push((cell, arg.span));
                        true
                    }
                    None => false,
                },
            };
        }
        if exec.program.is_empty() && fine {
            let diagnostic = Diagnostic::error(Code::E210, span, "`exec` needs a command");
            self.error(diagnostic.help("as in `exec(\"jq\", \".items\")`: no shell reads it"));
            fine = false;
        }
        if fine {
            self.tell_of_exec(&exec.program, span);
        }
        if scope.input.is_none() {
            let diagnostic = Diagnostic::error(Code::E211, span, "`exec` needs something on its left");
            self.error(
                diagnostic.help("the value there is its standard input: `{{ none }} | exec(…)` gives it nothing"),
            );
            return None;
        }
        let (input, _) = self.needed_input(scope, span, "`exec`")?;
        if !fine {
            return None;
        }
        let node = Node { span, kind: NodeKind::Exec(Arc::new(exec)), ty: Type::Any, input: Some(input) };
        Some((self.push(node), Type::Any))
    }

    /// Says that commands want leave, unless it is given.
    fn tell_of_exec(&mut self, program: &str, span: Span) {
        let (severity, message) = match self.settings.exec {
            Execs::Allowed => return,
            Execs::Noted => {
                (Severity::Note, format!("`exec` runs the command `{program}`, which wants `--allow-exec`"))
            }
            Execs::Refused => {
                (Severity::Error, format!("`exec` runs the command `{program}`, and commands are not allowed"))
            }
        };
        let help = "read what it does, then allow it: `chainrun --allow-exec …`";
        self.error(Diagnostic::new(severity, Code::E232, Some(span), message).help(help));
    }

    fn program(&mut self, exec: &mut Exec, arg: &Arg) -> bool {
        match arg.value.single() {
            Some(Operand { kind: OperandKind::Text(text), .. })
                if !text.text.is_empty() && !text.text.contains("{{") && !text.text.contains("{%") =>
            {
                exec.program.clone_from(&text.text);
                true
            }
            _ => {
                let diagnostic =
                    Diagnostic::error(Code::E209, arg.span, "the command of `exec` is plain text in quotes");
                self.error(diagnostic.help("values go into its arguments, or as JSON to its standard input"));
                false
            }
        }
    }

    fn exec_option(&mut self, exec: &mut Exec, name: &str, span: Span, arg: &Arg) -> bool {
        let value = match (name, arg.value.single()) {
            ("timeout", Some(Operand { kind: OperandKind::Number(number), .. })) => {
                duration(number).map(|limit| exec.timeout = limit)
            }
            ("timeout", _) => {
                let message = "`timeout` wants a duration, as `30s`".to_owned();
                Err(Diagnostic::error(Code::E209, arg.value.span, message))
            }
            ("max_response", _) => {
                constant_pipeline(&arg.value).and_then(|value: Value| match convert(value, OptionKind::Size) {
                    Ok(OptionValue::Size(size)) => {
                        exec.max_response = size;
                        Ok(())
                    }
                    Ok(_) => Ok(()),
                    Err(e) => Err(Diagnostic::error(Code::E209, arg.value.span, format!("`max_response` {e}"))),
                })
            }
            _ => Err(Diagnostic::error(Code::E208, span, format!("`exec` has no option `{name}`"))
                .did_you_mean(name, OPTIONS.iter().copied())
                .help("its options are: timeout, max_response")),
        };
        match value {
            Ok(()) => true,
            Err(diagnostic) => {
                self.error(diagnostic);
                false
            }
        }
    }
}
