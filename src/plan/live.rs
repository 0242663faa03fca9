//! What of the result can be shown as it comes: the text of a model, or the items of an `each`.

use std::sync::Arc;

use super::{Block, BlockId, Node, NodeKind};

/// Marks the calls of models that give the text of `block`, and the `each` that gives its list. `discardable`: an
/// enclosing `??` may put something else in its place.
pub fn mark(nodes: &mut [Node], blocks: &[Block], block: BlockId, discardable: bool) {
    marked(nodes, blocks, block, discardable, true);
}

/// `exact`: no declared result changes the form of what `block` gives.
fn marked(nodes: &mut [Node], blocks: &[Block], block: BlockId, discardable: bool, exact: bool) {
    let Some(block) = blocks.get(block.0 as usize) else { return };
    let Some(last) = block.nodes.last() else { return };
    let node = &mut nodes[last.0 as usize];
    let exact = exact && block.result.as_ref().is_none_or(|(ty, _)| *ty == node.ty);
    let inner = match &mut node.kind {
        NodeKind::Ask(ask) => {
            if ask.parser.as_ref().is_none_or(|p| p.name() == "text") {
                let ask = Arc::make_mut(ask);
                ask.live = true;
                ask.discardable = discardable;
            }
            return;
        }
        NodeKind::Each(each) => {
            // Its items come one by one; the text of each belongs to its item alone.
            Arc::make_mut(each).live = !discardable && exact;
            return;
        }
        NodeKind::Call { block, .. } | NodeKind::Timeout { block, .. } => vec![*block],
        NodeKind::Match(choice) => choice.arms.iter().map(|a| a.block).collect(),
        NodeKind::Try(operands) => {
            let operands = operands.to_vec();
            let count = operands.len();
            for (i, id) in operands.into_iter().enumerate() {
                // What the last operand of a `??` gives, nothing after it can replace.
                marked(nodes, blocks, id, discardable || i + 1 < count, exact);
            }
            return;
        }
        // A round of `repeat` may not be the last, and an entry of a map is not the result.
        _ => return,
    };
    for id in inner {
        marked(nodes, blocks, id, discardable, exact);
    }
}
