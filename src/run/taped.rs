//! Calls that recordings answer, at the one door to models: before weights are fetched, prompts made ready and limits of a
//! rate waited for.

use std::sync::Arc;

use super::facts::{lasting, recorded};
use super::tries::Answered;
use super::watch::{Playback, Recordable, Ticket};
use super::{Run, Watch};
use crate::event::Sink;
use crate::plan::Ask;
use crate::providers::{ModelConfig, Provider, ProviderError};
use crate::recording::{Asked, Call, Recorded};
use crate::value::{Answer, Request};

/// Providers whose answers are written down already.
const WRITTEN: [&str; 2] = ["fake", "replay"];

/// Digits of a digest.
const DIGITS: usize = 64;

/// What becomes of a call.
pub(super) enum Taped {
    /// It is answered.
    Answered(Box<Answered>),
    /// It is made, with a ticket where its answer is to be recorded.
    Make(Option<Box<Ticket>>),
}

/// What is recorded of a call of this model or embedder; `asked` holds no secret.
pub(super) fn recordable(
    config: &ModelConfig,
    asked: Asked,
    weights: Option<String>,
    sink: &Sink,
) -> Option<Recordable> {
    if WRITTEN.contains(&config.spec.name) {
        return None;
    }
    let call = Call {
        name: config.name.clone(),
        provider: config.spec.name.to_owned(),
        model: sink.redact(&config.shown_model()),
        options: lasting(config, sink),
        asked,
        run: 1,
        time: 1,
    };
    // A path with a date is no digest: it differs from machine to machine.
    let is_digest = |text: &String| text.len() == DIGITS && text.bytes().all(|b| b.is_ascii_hexdigit());
    Some(Recordable { call, weights: weights.filter(is_digest) })
}

/// Calls of an embedder that are made since they are not recorded: the text's place, and its ticket.
pub(super) type Tickets = Vec<(usize, Box<Ticket>)>;

impl Run<'_> {
    /// Takes the recorded vectors of texts, and gives tickets for the others; none where nothing is recorded.
    pub(super) async fn taped_vectors(
        &self,
        config: &ModelConfig,
        sink: &Sink,
        texts: impl Iterator<Item = (&str, usize)>,
        vectors: &mut [Option<Arc<[f32]>>],
    ) -> Result<Option<Tickets>, ProviderError> {
        let Some(watch) = self.watch.filter(|watch| watch.records()) else { return Ok(None) };
        let mut tickets = Tickets::new();
        let mut missing = None;
        for (text, place) in texts {
            let asked = Asked::vector(text).map(|text| sink.redact(text));
            let Some(call) = recordable(config, asked, None, sink) else { return Ok(None) };
            match watch.recorded(call).await {
                Playback::Unasked => return Ok(None),
                Playback::Make(ticket) => tickets.push((place, ticket)),
                Playback::Answer(recorded) => vectors[place] = recorded.answer.vector.map(Arc::from),
                Playback::Missing(error) => drop(missing.get_or_insert(error)),
            }
        }
        match missing {
            Some(error) => Err(error),
            None => Ok(Some(tickets)),
        }
    }

    /// Gives vectors that were not recorded to who records.
    pub(super) fn tape_vectors(&self, tickets: Option<Tickets>, vectors: &[Option<Arc<[f32]>>]) {
        let Some(watch) = self.watch else { return };
        for (place, ticket) in tickets.into_iter().flatten() {
            if let Some(vector) = &vectors[place] {
                let call = &ticket.call;
                let of = (call.name.as_str(), call.provider.as_str(), call.model.as_str());
                let recorded = Recorded::of_vector(of, call.options.clone(), call.asked.clone(), vector);
                Watch::record(watch, &ticket, recorded, 0.0);
            }
        }
    }

    /// The recorded answer to a request, passed on like one that comes.
    pub(super) async fn taped(
        &self,
        ask: &Ask,
        config: &ModelConfig,
        provider: &dyn Provider,
        request: &Request,
        mut sink: Sink,
    ) -> Result<Taped, ProviderError> {
        let Some(watch) = self.watch.filter(|watch| watch.records()) else { return Ok(Taped::Make(None)) };
        let asked = Asked::of(request, request.constraint.as_ref()).map(|text| sink.redact(text));
        let Some(call) = recordable(config, asked, provider.weights(), &sink) else { return Ok(Taped::Make(None)) };
        let recorded = match watch.recorded(call).await {
            Playback::Unasked => return Ok(Taped::Make(None)),
            Playback::Make(ticket) => return Ok(Taped::Make(Some(ticket))),
            Playback::Missing(error) => return Err(error),
            Playback::Answer(recorded) => recorded,
        };
        if let Some(reasoning) = &recorded.answer.reasoning {
            sink.reasoning(reasoning).await?;
        }
        for piece in recorded.pieces() {
            sink.text(piece).await?;
        }
        sink.finish().await?;
        let answer = recorded.answer(recorded.seconds());
        self.answered(ask, config, request, &answer, true, &mut sink).await?;
        Ok(Taped::Answered(Box::new(Answered { answer, unsaved: None, growing: sink.take_growing(), leading: None })))
    }

    /// Gives the answer to a call that was not recorded to who records; it holds no secret any more.
    pub(super) fn tape(
        &self,
        ticket: Option<&Ticket>,
        config: &ModelConfig,
        request: &Request,
        answer: &Answer,
        sink: &Sink,
    ) {
        if let (Some(watch), Some(ticket)) = (self.watch, ticket) {
            let recorded = recorded(config, request, request.constraint.as_ref(), answer, sink);
            Watch::record(watch, ticket, recorded, answer.seconds);
        }
    }
}
