//! What the runs of a process share of the servers that they ask: how many calls are in flight, how many begin in a minute,
//! and which answers that will be kept are being made.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

use super::flights::Flights;
use super::rate::{Limiter, Limits};
use crate::net::BaseUrl;
use crate::plan::{EmbedderId, ModelId, Models, NodeKind, Plan};
use crate::providers::{ModelConfig, fake};

/// Who is asked: what bounds count by. Models that differ in their options alone are one, and so are those of one server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Place {
    /// A provider at a host.
    Server(&'static str, String),
    /// A model inside the process.
    Engine(&'static str, String),
    /// What answers for itself, in one run alone: `fake`, a mock, a recording.
    Own(&'static str, String),
}

impl Place {
    fn of(config: &ModelConfig, server: Option<&BaseUrl>, concurrency: usize) -> Self {
        match server {
            Some(base) => Place::Server(config.spec.name, format!("{}:{}", base.host(), base.port())),
            None if concurrency == 1 => Place::Engine(config.spec.name, config.model()),
            None => Place::Own(config.spec.name, config.name.clone()),
        }
    }

    /// Whether more than one run asks it.
    fn is_shared(&self) -> bool {
        !matches!(self, Place::Own(..))
    }

    /// Whether its rate is bounded: what stands in for a model of a server, as a mock or a recording, is not.
    fn is_bounded(&self) -> bool {
        match self {
            Place::Server(..) => true,
            Place::Engine(..) => false,
            Place::Own(provider, _) => *provider == fake::SPEC.name,
        }
    }
}

/// How many calls may be in flight.
struct Permits {
    free: Arc<Semaphore>,
    all: Cell<usize>,
}

impl Permits {
    fn new(all: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(all)), all: Cell::new(all) }
    }

    /// Lets at least so many through.
    fn widen(&self, all: usize) {
        let more = all.saturating_sub(self.all.get());
        self.free.add_permits(more);
        self.all.set(self.all.get() + more);
    }
}

/// What a call passes before it is made.
#[derive(Clone)]
pub struct Gate {
    permits: Rc<Permits>,
    /// How much may be asked in a minute; none where no model of the place names a limit.
    pub limiter: Option<Rc<Limiter>>,
}

impl Gate {
    /// Waits until a call may be in flight.
    ///
    /// # Errors
    /// The run is over.
    pub async fn enter(&self) -> Result<OwnedSemaphorePermit, AcquireError> {
        self.permits.free.clone().acquire_owned().await
    }
}

/// The gates of a plan's models and embedders.
pub struct Gates {
    models: Vec<Gate>,
    embedders: Vec<Gate>,
}

impl Gates {
    /// That of a model.
    pub fn model(&self, id: ModelId) -> &Gate {
        &self.models[id.0 as usize]
    }

    /// That of an embedder.
    pub fn embedder(&self, id: EmbedderId) -> &Gate {
        &self.embedders[id.0 as usize]
    }
}

/// What is known of the places that were asked. Of permits, those of one call at a time stand by themselves: models that
/// repeat their answers take turns, whatever other models of their server do.
#[derive(Default)]
struct Known {
    permits: HashMap<(Place, bool), Rc<Permits>>,
    limiters: HashMap<Place, Rc<Limiter>>,
}

/// What runs share. Runs that are given the same keep to its bounds together.
#[derive(Default)]
pub struct Traffic {
    known: RefCell<Known>,
    /// Answers that are being made, and will be kept.
    pub(super) flights: Flights,
}

/// What is asked, with how many calls it takes at a time.
struct Asked<'m> {
    config: &'m ModelConfig,
    place: Place,
    takes: usize,
    most: usize,
}

impl Traffic {
    /// The gates of a plan's models and embedders.
    pub(super) fn gates(&self, plan: &Plan, models: &Models) -> Gates {
        let (asked, embedders) = asked(plan, models);
        let mut own = Known::default();
        let mut known = self.known.borrow_mut();
        for asked in asked.iter().chain(&embedders) {
            let known = if asked.place.is_shared() { &mut *known } else { &mut own };
            let permits = known.permits.entry((asked.place.clone(), asked.takes == 1));
            permits.or_insert_with(|| Rc::new(Permits::new(asked.most))).widen(asked.most);
            let limits = Limits::of(asked.config);
            if asked.place.is_bounded() && !limits.none() {
                known.limiters.entry(asked.place.clone()).or_default().narrow(limits);
            }
        }
        let gate = |asked: &Asked<'_>| {
            let known = if asked.place.is_shared() { &*known } else { &own };
            let permits = known.permits.get(&(asked.place.clone(), asked.takes == 1)).cloned();
            Gate {
                permits: permits.unwrap_or_else(|| Rc::new(Permits::new(asked.most))),
                limiter: known.limiters.get(&asked.place).cloned(),
            }
        };
        Gates { models: asked.iter().map(gate).collect(), embedders: embedders.iter().map(gate).collect() }
    }
}

/// The models and embedders of a plan: what each takes at a time, and more where an `each` is told so. One that takes one
/// call at a time stays so: more would only wait inside it, their time-outs running.
fn asked<'m>(plan: &Plan, models: &'m Models) -> (Vec<Asked<'m>>, Vec<Asked<'m>>) {
    let one = |config, server, takes: usize| {
        let (takes, place) = (takes.max(1), Place::of(config, server, takes));
        Asked { config, place, takes, most: takes }
    };
    let all = models.configs.iter().zip(&models.providers);
    let mut asked: Vec<Asked<'_>> = all.map(|(c, p)| one(c, p.server(), p.caps().concurrency)).collect();
    let mut embedders: Vec<Asked<'_>> =
        models.embedders.iter().map(|(config, e)| one(config, e.server(), e.batches().at_once)).collect();
    for node in &plan.nodes {
        let NodeKind::Each(each) = &node.kind else { continue };
        let Some(told) = each.concurrency else { continue };
        let raise = |asked: Option<&mut Asked<'_>>| {
            if let Some(asked) = asked.filter(|asked| asked.takes > 1) {
                asked.most = told.max(asked.most);
            }
        };
        plan.models_in(each.block).iter().for_each(|id| raise(asked.get_mut(id.0 as usize)));
        plan.embedders_in(each.block).iter().for_each(|id| raise(embedders.get_mut(id.0 as usize)));
    }
    (asked, embedders)
}
