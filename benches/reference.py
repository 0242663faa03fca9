"""A llama decoder in float64, for `compare_llama_cpp.py`: weights as the Python package `gguf` reads them, no rounding
of activations, nothing kept between calls. Slow and plain: the formulas of the architecture as its paper gives them
(https://arxiv.org/abs/2302.13971), with the rotation of neighbouring pairs that GGUF files of it are written for.
"""

import numpy
from gguf import GGUFReader, dequantize


class Reference:
    """A file of the architecture llama, in float64."""

    def __init__(self, path):
        reader = GGUFReader(path)

        def number(name):
            field = reader.fields[f"llama.{name}"]
            return field.parts[field.data[0]][0].item()

        self.weights = {
            t.name: dequantize(t.data, t.tensor_type).reshape(tuple(reversed(t.shape.tolist()))).astype(numpy.float64)
            for t in reader.tensors
        }
        self.layers = number("block_count")
        self.heads = number("attention.head_count")
        self.kv_heads = number("attention.head_count_kv")
        self.epsilon = number("attention.layer_norm_rms_epsilon")
        self.base = number("rope.freq_base")

    def log_probabilities(self, tokens):
        """`[position][token]`, for every position."""
        x = self.weights["token_embd.weight"][tokens]
        for layer in range(self.layers):
            name = f"blk.{layer}."
            x = x + self.attention(self.norm(x, name + "attn_norm"), name)
            h = self.norm(x, name + "ffn_norm")
            gate, up = self.product(h, name + "ffn_gate"), self.product(h, name + "ffn_up")
            x = x + self.product(gate / (1 + numpy.exp(-gate)) * up, name + "ffn_down")
        x = self.norm(x, "output_norm")
        logits = self.product(x, "output" if "output.weight" in self.weights else "token_embd")
        logits -= logits.max(-1, keepdims=True)
        return logits - numpy.log(numpy.exp(logits).sum(-1, keepdims=True))

    def product(self, x, name):
        return x @ self.weights[name + ".weight"].T

    def norm(self, x, name):
        return x / numpy.sqrt((x * x).mean(-1, keepdims=True) + self.epsilon) * self.weights[name + ".weight"]

    def attention(self, x, name):
        count = len(x)
        q, k, v = (self.product(x, name + part) for part in ("attn_q", "attn_k", "attn_v"))
        q = self.rotated(q.reshape(count, self.heads, -1))
        k = self.rotated(k.reshape(count, self.kv_heads, -1)).repeat(self.heads // self.kv_heads, 1)
        v = v.reshape(count, self.kv_heads, -1).repeat(self.heads // self.kv_heads, 1)
        scores = numpy.einsum("thd,shd->hts", q, k) / numpy.sqrt(q.shape[-1])
        scores += numpy.triu(numpy.full((count, count), -numpy.inf), 1)
        scores = numpy.exp(scores - scores.max(-1, keepdims=True))
        scores /= scores.sum(-1, keepdims=True)
        return self.product(numpy.einsum("hts,shd->thd", scores, v).reshape(count, -1), name + "attn_output")

    def rotated(self, x):
        width = x.shape[-1]
        angles = numpy.arange(len(x))[:, None, None] * self.base ** (-numpy.arange(0, width, 2) / width)
        even, odd = x[..., 0::2], x[..., 1::2]
        out = numpy.empty_like(x)
        out[..., 0::2] = even * numpy.cos(angles) - odd * numpy.sin(angles)
        out[..., 1::2] = even * numpy.sin(angles) + odd * numpy.cos(angles)
        return out
