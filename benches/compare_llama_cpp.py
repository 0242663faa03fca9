"""Compares the local engine with llama.cpp on the same GGUF file: rendered prompt, tokens, most likely tokens, speed.

    pip install xllamacpp gguf
    python benches/compare_llama_cpp.py MODEL.gguf [--seed N] [--program PATH]

Without --program the engine is built and run by `cargo bench --bench logits`. llama.cpp runs on one thread with flash
attention and the prompt cache off, as its result depends on them. A most likely token is compared where llama.cpp's best
two lie further than 0.15 nats apart: kernels that round differently may swap closer ones, and sometimes others. Where the
two differ beyond that, a decoder in float64 (`reference.py`) says which is nearer to what the file's weights mean, and
the distances of both from it are printed over all positions. Ends with status 1 where prompts or tokens differ, where the
reference sides with llama.cpp although our best two lie further than 0.15 nats apart, or where ours lies further from the
reference than theirs by a tenth.
"""

import argparse
import json
import random
import subprocess
import sys
import time
import urllib.request

import numpy
import xllamacpp

from reference import Reference

QUESTION = "What is the meaning of {word}?"
DRAWN = 20
HANGUL = 4
POSITIONS = 16
MARGIN = 0.15
# Things to ask about.
NOUNS = """anchor apple bicycle bridge candle castle compass copper desert dolphin engine feather forest glacier guitar hammer
harbour island jungle kettle ladder lantern magnet meadow mirror mountain needle ocean orchid paper pebble pencil planet potato
prism pumpkin rabbit river saddle shadow silver spider sugar temple thunder tunnel turtle umbrella valley violin volcano walnut
whale window winter""".split()
HANGUL_NOUNS = "감자 바다 나무 구름 사과 호랑이 우산 도서관 자전거 겨울 김치 거울".split()
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

    def greedy(self, tokens, count, **more):
        """The likeliest tokens; probabilities are those before any sampler."""
        return self.post(
            "/completion", prompt=tokens, n_predict=count, n_probs=8, cache_prompt=False, ignore_eos=True,
            samplers=["top_k"], top_k=1, return_tokens=True, **more,
        )

    def tops(self, prompt, count):
        """Its own tokens after a prompt, and at each position its likeliest `[(id, log-probability)]`."""
        answer = self.greedy(prompt, count)
        chosen, places = answer["tokens"], answer["completion_probabilities"]
        if len(places) < len(chosen):
            # The server shows no probabilities where a token ends inside a character. A bias acts after they are taken:
            # with one, another token comes out and they are shown.
            (plain,) = self.tokens("a", False)
            asks = [prompt + chosen[:i] for i in range(len(chosen))]
            places = [self.greedy(ask, 1, logit_bias=[[plain, 1000]])["completion_probabilities"][0] for ask in asks]
        return chosen, [[(p["id"], p["logprob"]) for p in place["top_logprobs"]] for place in places]


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


class Tally:
    """What the comparison of positions found."""

    def __init__(self):
        self.positions = self.excused = self.differ = self.theirs_off = self.wrong = 0
        self.between, self.ours, self.theirs = [], [], []

    def add(self, word, position, theirs, ours, truth):
        """A position: llama.cpp's likeliest `[(id, log-probability)]`, ours, and the reference's of all tokens."""
        self.positions += 1
        mine = dict(map(tuple, ours))
        for token, log_probability in theirs[:2]:
            self.theirs.append(log_probability - truth[token])
            if token in mine:
                self.ours.append(mine[token] - truth[token])
                self.between.append(mine[token] - log_probability)
        if theirs[0][1] - theirs[1][1] <= MARGIN:
            self.excused += 1
        elif theirs[0][0] != ours[0][0]:
            best = int(truth.argmax())
            self.differ += 1
            self.theirs_off += best == ours[0][0]
            self.wrong += best != ours[0][0] and ours[0][1] - ours[1][1] > MARGIN
            print(
                f"  {word}, position {position}: ours {ours[:2]}, theirs {theirs[:2]},"
                f" reference {best} {truth[best]:.3f}, theirs there {truth[theirs[0][0]]:.3f}"
            )

    def report(self):
        """Prints it; gives the number of faults."""
        rms, far = (lambda a: numpy.sqrt(numpy.mean(numpy.square(a)))), (lambda a: numpy.max(numpy.abs(a)))
        print(
            f"most likely tokens at {self.positions} positions: {self.excused} excused (llama.cpp's best two within {MARGIN}"
            f" nats); of the others {self.differ} differ: the reference agrees with us in {self.theirs_off}, and"
            f" {self.wrong} are wrong"
        )
        print(f"largest difference of a best two log-probability between us and llama.cpp: {far(self.between):.3f}")
        print(
            f"distance of these from float64, root mean square and largest: ours {rms(self.ours):.4f} {far(self.ours):.3f},"
            f" llama.cpp {rms(self.theirs):.4f} {far(self.theirs):.3f}"
        )
        return self.wrong + int(rms(self.ours) > 1.1 * rms(self.theirs))


def compare_words(ours, theirs, reference, seed):
    """Asks about words drawn by the seed. Gives the number of faults and the last prompt."""
    rng = random.Random(seed)
    words = rng.sample(NOUNS, DRAWN - HANGUL) + rng.sample(HANGUL_NOUNS, HANGUL)
    print(f"words: {' '.join(words)}")
    faults = 0
    tally = Tally()
    for word in words:
        question = QUESTION.format(word=word)
        chat = ours.ask(chat=question)
        rendered = theirs.post("/apply-template", messages=[{"role": "user", "content": question}])["prompt"]
        prompt = theirs.tokens(rendered, True)
        if rendered != chat["text"] or prompt != chat["tokens"]:
            faults += 1
            print(f"  {word}: ours {chat}, theirs {rendered!r} {prompt}")
        chosen, places = theirs.tops(prompt, POSITIONS)
        fed = prompt + chosen[:-1]
        from_ = len(prompt) - 1
        rows = zip(places, ours.ask(logits=fed)["top"][from_:], reference.log_probabilities(fed)[from_:], strict=True)
        for position, (their, our, truth) in enumerate(rows):
            tally.add(word, position, their, our, truth)
    print(f"rendered prompts and their tokens: {faults} of {len(words)} differ")
    return faults + tally.report(), prompt


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
    wrong = compare_tokens(ours, theirs, args.seed)
    faults, prompt = compare_words(ours, theirs, Reference(args.model), args.seed)
    wrong += faults
    compare_speed(ours, theirs, prompt)
    # llama.cpp's threads may outlive the interpreter.
    sys.stdout.flush()
    import os
    os._exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
