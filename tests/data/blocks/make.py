"""Random blocks of each type of weights, and the numbers that the Python package `gguf` (0.19.0) reads in them.

usage: python make.py OUT  (needs the package gguf)
OUT/NUMBER.bin, by ggml's number of the type: the blocks, then their numbers as little-endian float32.
"""
import pathlib, sys
import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as T
from gguf.quants import dequantize

# Where a block has half-precision numbers: kept finite and not too small.
HALVES = {T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2], T.Q8_0: [0], T.Q2_K: [80, 82], T.Q3_K: [108], T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208]}
random = np.random.default_rng(1)
for kind in [T.F32, T.F16, T.Q4_0, T.Q4_1, T.Q5_0, T.Q5_1, T.Q8_0, T.Q2_K, T.Q3_K, T.Q4_K, T.Q5_K, T.Q6_K, T.BF16]:
    values, size = GGML_QUANT_SIZES[kind]
    count = 512 // values
    if kind in HALVES:
        blocks = random.integers(0, 256, (count, size), dtype=np.uint8)
        for at in HALVES[kind]:
            halves = random.uniform(-2, 2, count).astype(np.float16)
            blocks[:, at : at + 2] = halves.view(np.uint8).reshape(count, 2)
    else:
        numbers = random.normal(0, 1, count).astype(np.float32)
        shorter = {T.F32: numbers, T.F16: numbers.astype(np.float16), T.BF16: (numbers.view(np.uint32) >> 16).astype(np.uint16)}
        blocks = shorter[kind].view(np.uint8).reshape(count, size)
    given = blocks.view({T.F32: np.float32, T.F16: np.float16}.get(kind, np.uint8))
    read = dequantize(given, kind).astype("<f4")
    out = pathlib.Path(sys.argv[1]) / f"{int(kind)}.bin"
    out.write_bytes(blocks.tobytes() + read.tobytes())
