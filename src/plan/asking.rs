//! Calls of models: their fallbacks, and the parser right behind them.

use std::sync::Arc;

use super::lower::Lowerer;
use super::parsing::ParserStage;
use super::scope::{Home, Scope};
use super::{Ask, ModelId, Node, NodeKind};
use crate::diag::{Code, Diagnostic};
use crate::source::Span;
use crate::syntax::ast::Stage;
use crate::value::Type;

impl Lowerer<'_> {
    pub(super) fn ask(
        &mut self,
        stage: &Stage,
        merge: Option<&Stage>,
        behind: Option<&Stage>,
        scope: &Scope,
    ) -> Option<(Home, Type)> {
        let mut models = Vec::new();
        let mut fine = true;
        for operand in &stage.operands {
            match self.model_choices(operand) {
                Some(ids) => models.extend(ids),
                None => fine = false,
            }
        }
        let operand = behind.and_then(|s| s.operands.first());
        let parser = operand.and_then(|o| self.parser_stage(o));
        if operand.is_some() && parser.is_none() {
            fine = false;
        }
        if let (true, Some(p)) = (fine, &parser) {
            self.check_constraint(&models, p);
        }
        if merge.is_none()
            && let Some(p) = &parser
            && p.parser.repair() > 0
        {
            let diagnostic = Diagnostic::error(
                Code::E209,
                p.span,
                "`repair:` asks the model again, so the parser must stand right behind it",
            )
            .help("give the parsed value a name instead of the message: `llm | json(…) as m`");
            self.error(diagnostic);
            fine = false;
        }
        if fine {
            self.check_format(&models, scope, stage.span);
        }
        let lowered = self.ask_node(models, parser.as_ref(), merge, stage.span, scope);
        if fine { lowered } else { None }
    }

    pub(super) fn ask_node(
        &mut self,
        models: Vec<ModelId>,
        parser: Option<&ParserStage>,
        merge: Option<&Stage>,
        span: Span,
        scope: &Scope,
    ) -> Option<(Home, Type)> {
        let (input, ty) = self.needed_input(scope, span, "a model")?;
        if !can_be_asked(&ty) {
            let diagnostic = Diagnostic::error(Code::E211, span, format!("a model takes messages or text, found {ty}"))
                .help("put a prompt between: `… | \"{{ input }}\" | llm`");
            self.error(diagnostic);
            return None;
        }
        if let Some(p) = parser.filter(|p| p.parser.repair() > 0)
            && may_be_raw(&ty)
        {
            let message = "`repair:` goes on with the conversation, and a raw prompt is none";
            let diagnostic = Diagnostic::error(Code::E209, p.span, message)
                .also(span, "this model takes a raw prompt")
                .help("leave `repair:` out, or write the prompt with `user \"…\"`");
            self.error(diagnostic);
            return None;
        }
        let out = match (merge, parser) {
            (Some(_), Some(p)) => p.parser.output_type(),
            _ => Type::Message,
        };
        let ask = Ask {
            models,
            parser: parser.map(|p| p.parser.clone()),
            parser_span: parser.map(|p| p.span),
            parse_later: merge.is_none() && parser.is_some(),
            live: false,
            discardable: false,
        };
        let home = self.push(Node { span, kind: NodeKind::Ask(Arc::new(ask)), ty: out.clone(), input: Some(input) });
        Some((home, out))
    }
}

/// Whether a value of this type is raw text, or can be.
fn may_be_raw(ty: &Type) -> bool {
    match ty {
        Type::Union(all) => all.iter().any(may_be_raw),
        ty => *ty == Type::Raw,
    }
}

/// Whether a model takes a value of this type.
pub(super) fn can_be_asked(ty: &Type) -> bool {
    match ty {
        Type::Prompt | Type::Raw => true,
        Type::Union(all) => all.iter().all(can_be_asked),
        ty => takes_text(ty),
    }
}

/// Whether a parser takes a value of this type.
pub(super) fn takes_text(ty: &Type) -> bool {
    match ty {
        Type::Any | Type::Message => true,
        Type::Union(all) => all.iter().all(takes_text),
        ty => ty.is_text(),
    }
}
