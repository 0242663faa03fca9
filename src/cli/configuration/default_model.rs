//! `model: PROVIDER:MODEL`: the default model.

use super::{Configuration, Reader};
use crate::config::Origin;
use crate::config::tree::{Key, Node};

pub const EXAMPLE: &str = "write one a line: `model: ollama:llama3.2`";

/// Reads the section.
pub fn read(reader: &mut Reader<'_>, _key: &Key, node: &Node, configuration: &mut Configuration) {
    let Some(model) = reader.text(node, "model") else { return };
    configuration.model = Some((model.to_owned(), Origin::Config(reader.path.to_path_buf())));
}
