"""Compares the local engine with llama.cpp on the same GGUF file: rendered prompt, tokens, most likely tokens, speed.

    pip install xllamacpp
    python benches/compare_llama_cpp.py MODEL.gguf [--seed N] [--program PATH]

Without --program the engine is built and run by `cargo bench --bench logits`. llama.cpp runs on one thread with flash
attention and the prompt cache off, as its result depends on them. Ends with status 1 where something differs. A most
likely token counts as different only where llama.cpp's best two lie further than 0.15 nats apart: kernels that round
differently may swap closer ones.
"""

import argparse
import json
import random
import subprocess
import sys
import time
import urllib.request

import xllamacpp

QUESTION = "What is the meaning of potato?"
POSITIONS = 16
MARGIN = 0.15
# Words that vocabularies split in different ways: case, digits, marks, scripts, spaces, control tokens as text.
WORDS = """potato Potato POTATO don't DON'T I'll 7 42 12345 3.14159 naïve Straße œuvre Ελλάδα привет 감자 안녕하세요 한국어 東京 こんにちは
שלום مرحبا हिन्दी ไทย 🥔 👩‍🌾 fn(x) a_b-c https://example.org/?q=1 <|im_end|> <|endoftext|> <br> {{x}} $HOME \\n ... --- ünïcödé ﬁne Ⅷ ½ x²
""".split() + ["  ", "\t", "\n", "\n\n", " \n ", "   trailing", "\u00a0", "\u200b", "a  b", "\r\n"]


class Ours:
    """The engine as a process that answers lines of JSON."""

    def __init__(self, program, model):
        command = [program] if program else ["cargo", "bench", "-q", "--bench", "logits", "--"]
        self.process = subprocess.Popen(command + [model, "1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, **request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit("the engine ended; is the program built and the file sound?")
        return json.loads(line)


class Theirs:
    """llama.cpp's server inside this process."""

    def __init__(self, model):
        params = xllamacpp.CommonParams()
        params.model.path = model
        params.n_ctx = 2048
        params.n_parallel = 1
        params.cpuparams.n_threads = 1
        params.cpuparams_batch.n_threads = 1
        params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        params.cache_prompt = False
        params.cache_ram_mib = 0
        params.warmup = False
        params.endpoint_slots = False
        params.hostnames = ["127.0.0.1"] if hasattr(params, "hostnames") else params.hostnames
        params.port = 0
        self.server = xllamacpp.Server(params)

    def post(self, path, **body):
        request = urllib.request.Request(
            self.server.listening_address + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        return json.load(urllib.request.urlopen(request))

    def tokens(self, text, special):
        return self.post("/tokenize", content=text, add_special=False, parse_special=special)["tokens"]

    def greedy(self, tokens, count):
        return self.post(
            "/completion", prompt=tokens, n_predict=count, temperature=0, n_probs=8, cache_prompt=False,
            ignore_eos=True, samplers=["top_k"], return_tokens=True,
        )


def compare_tokens(ours, theirs, seed):
    rng = random.Random(seed)
    wrong = 0
    texts = [(rng.choice(WORDS), False) for _ in range(20)]
    texts += [(" ".join(rng.choices(WORDS, k=20)), False) for _ in range(20)]
    for text, special in texts + [(" ".join(WORDS), False), (" ".join(WORDS), True)]:
        a, b = ours.ask(encode=text, control=special)["tokens"], theirs.tokens(text, special)
        if a != b:
            wrong += 1
            print(f"  different tokens of {text!r}:\n    ours   {a}\n    theirs {b}")
    print(f"tokens of {len(texts) + 2} texts: {wrong} differ")
    return wrong


def compare_tops(ours, theirs, prompt):
    answer = theirs.greedy(prompt, POSITIONS)
    chosen = answer["tokens"]
    tops = ours.ask(logits=prompt + chosen[:-1])["top"][len(prompt) - 1 :]
    wrong = close = 0
    worst = 0.0
    for i, (place, top) in enumerate(zip(answer["completion_probabilities"], tops)):
        best = [(p["id"], p["logprob"]) for p in place["top_logprobs"]]
        margin = best[0][1] - best[1][1]
        mine = dict(map(tuple, top))
        worst = max([worst] + [abs(mine[i] - p) for i, p in best[:2] if i in mine])
        if margin <= MARGIN:
            close += 1
        elif best[0][0] != top[0][0]:
            wrong += 1
            print(f"  position {i}: ours {top[:2]}, theirs {best[:2]}")
    print(
        f"most likely tokens at {len(tops)} positions: {wrong} differ, {close} too close to tell;"
        f" largest difference of a best two log-probability: {worst:.3f}"
    )
    return wrong


def compare_speed(ours, theirs, prompt):
    long = (prompt * 20)[:512]
    mine = ours.ask(greedy=long, count=64)
    timings = theirs.greedy(long, 64)["timings"]
    print(f"512 tokens in, 64 out, one thread, tokens a second: ours {512 / mine['prefill']:.0f} and {64 / mine['decode']:.0f},"
          f" llama.cpp {timings['prompt_per_second']:.0f} and {timings['predicted_per_second']:.0f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    parser.add_argument("--program", help="the built bench target `logits`")
    args = parser.parse_args()
    print(f"seed {args.seed}")
    ours, theirs = Ours(args.program, args.model), Theirs(args.model)
    chat = ours.ask(chat=QUESTION)
    rendered = theirs.post("/apply-template", messages=[{"role": "user", "content": QUESTION}])["prompt"]
    print("rendered prompt:", "equal" if rendered == chat["text"] else f"ours {chat['text']!r}, theirs {rendered!r}")
    wrong = int(rendered != chat["text"])
    prompt = theirs.tokens(rendered, True)
    print("its tokens:", "equal" if prompt == chat["tokens"] else f"ours {chat['tokens']}, theirs {prompt}")
    wrong += int(prompt != chat["tokens"])
    wrong += compare_tokens(ours, theirs, args.seed)
    wrong += compare_tops(ours, theirs, prompt)
    compare_speed(ours, theirs, prompt)
    # llama.cpp's threads may outlive the interpreter.
    sys.stdout.flush()
    import os
    os._exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
