//! Identical calls whose answers are kept, at the same time: the first is made, the others wait for what becomes of it.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard};

type Known = Rc<RefCell<HashMap<String, Weak<Flight>>>>;

/// The calls that are being made, by the key that their answers will be kept under.
#[derive(Clone, Default)]
pub struct Flights(Known);

/// One call, and all who want its answer.
#[derive(Default)]
struct Flight {
    turn: Arc<Mutex<()>>,
    /// Whether its answer is not to be had: whoever waits asks for itself then, all at the same time.
    failed: Cell<bool>,
}

/// Who makes the call. Dropping it lets the next one look whether an answer is kept by now.
pub struct Leading {
    known: Known,
    key: String,
    flight: Rc<Flight>,
    turn: Option<OwnedMutexGuard<()>>,
}

/// A call that another one is made for already.
pub struct Following {
    known: Known,
    key: String,
    flight: Rc<Flight>,
}

/// What a call that is about to be made does.
pub enum Role {
    /// It is made.
    Lead(Leading),
    /// It waits.
    Follow(Following),
}

impl Flights {
    /// Whether the call of a key is made by whoever asks, or by another already.
    pub fn join(&self, key: &str) -> Role {
        let flight = self.0.borrow().get(key).and_then(Weak::upgrade);
        let flight = flight.unwrap_or_else(|| {
            let made = Rc::<Flight>::default();
            self.0.borrow_mut().insert(key.to_owned(), Rc::downgrade(&made));
            made
        });
        let (known, key) = (self.0.clone(), key.to_owned());
        match flight.turn.clone().try_lock_owned() {
            Ok(turn) => Role::Lead(Leading { known, key, flight, turn: Some(turn) }),
            Err(_) => Role::Follow(Following { known, key, flight }),
        }
    }
}

impl Following {
    /// Waits until whoever leads is done. Gives the lead, unless the call failed: then nobody waits any more.
    pub async fn wait(self) -> Option<Leading> {
        let turn = self.flight.turn.clone().lock_owned().await;
        let Self { known, key, flight } = self;
        (!flight.failed.get()).then(|| Leading { known, key, flight, turn: Some(turn) })
    }
}

impl Leading {
    /// Whether it leads the call of this key.
    pub fn is_of(&self, key: &str) -> bool {
        self.key == key
    }

    /// Says that the answer will not be kept.
    pub fn fail(self) {
        self.flight.failed.set(true);
        // Those who come later begin anew.
        self.known.borrow_mut().remove(&self.key);
    }
}

impl Drop for Leading {
    fn drop(&mut self) {
        self.turn.take();
        let last = Rc::strong_count(&self.flight) == 1;
        let mut known = self.known.borrow_mut();
        if last && known.get(&self.key).is_some_and(|flight| std::ptr::eq(flight.as_ptr(), Rc::as_ptr(&self.flight))) {
            known.remove(&self.key);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    fn lead(flights: &Flights, key: &str) -> Leading {
        match flights.join(key) {
            Role::Lead(leading) => leading,
            Role::Follow(_) => panic!("{key} is made already"),
        }
    }

    fn follow(flights: &Flights, key: &str) -> Following {
        match flights.join(key) {
            Role::Follow(following) => following,
            Role::Lead(_) => panic!("nobody makes {key}"),
        }
    }

    #[test]
    fn one_leads_and_the_others_come_one_after_the_other() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let flights = Flights::default();
            let first = lead(&flights, "a");
            let other = lead(&flights, "b");
            let (second, third) = (follow(&flights, "a"), follow(&flights, "a"));
            drop(first);
            let second = second.wait().await.unwrap();
            assert!(second.is_of("a") && !second.is_of("b"));
            assert!(matches!(flights.join("a"), Role::Follow(_)));
            drop(second);
            drop(third.wait().await.unwrap());
            drop(other);
            assert!(flights.0.borrow().is_empty());
        });
    }

    #[test]
    fn after_a_failure_nobody_waits() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let flights = Flights::default();
            let first = lead(&flights, "a");
            let (second, third) = (follow(&flights, "a"), follow(&flights, "a"));
            first.fail();
            // A call that comes now is made for itself, and is waited for by those behind it.
            let anew = lead(&flights, "a");
            assert!(second.wait().await.is_none() && third.wait().await.is_none());
            assert!(matches!(flights.join("a"), Role::Follow(_)));
            drop(anew);
            assert!(flights.0.borrow().is_empty());
        });
    }
}
