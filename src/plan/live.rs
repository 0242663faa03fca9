//! Which model's text is the run's result, so that it can be shown as it comes.

use std::sync::Arc;

use super::{Block, BlockId, Node, NodeKind};

/// Marks the calls of models that give the text of `block`. `discardable`: an enclosing `??` may put something else in
/// its place.
pub fn mark(nodes: &mut [Node], blocks: &[Block], block: BlockId, discardable: bool) {
    let Some(block) = blocks.get(block.0 as usize) else { return };
    let Some(last) = block.nodes.last() else { return };
    let inner = match &mut nodes[last.0 as usize].kind {
        NodeKind::Ask(ask) => {
            if ask.parser.as_ref().is_none_or(|p| p.name() == "text") {
                let ask = Arc::make_mut(ask);
                ask.live = true;
                ask.discardable = discardable;
            }
            return;
        }
        NodeKind::Call { block, .. } => vec![*block],
        NodeKind::Try(operands) => operands.to_vec(),
        _ => return,
    };
    let count = inner.len();
    for (i, id) in inner.into_iter().enumerate() {
        // What the last operand of a `??` gives, nothing after it can replace.
        mark(nodes, blocks, id, discardable || i + 1 < count);
    }
}
