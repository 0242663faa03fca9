//! chainrun: a language and an interpreter for prompt chains.
//!
//! The modules are layers, listed bottom first: a module uses only those above it in this list
//! (`tests/suite/layers.rs` holds this). `ARCHITECTURE.md` draws the flow between them.

pub mod source;

pub mod value;

pub mod diag;

pub mod config;

pub mod store;

pub mod recording;

pub mod event;

pub mod syntax;

pub mod template;

pub mod parsers;

pub mod assertions;

pub mod index;

pub mod net;

pub mod trace;

pub mod models;

#[cfg(feature = "local")]
pub mod engine;

pub mod providers;

pub mod plan;

pub mod run;

pub mod testing;

pub mod cli;
