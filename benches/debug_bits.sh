#!/usr/bin/env bash
# The bits of logits in a debug build: the tests that hold them against committed digests, and every instruction set, number of
# threads, cut and company against each other, built without optimisation in a target directory of its own.
set -euo pipefail
cd "$(dirname "$0")/.."
CARGO_TARGET_DIR=target/debug-bits cargo test --lib -- --nocapture engine::tiny_tests engine::tests::logits engine::kernels
