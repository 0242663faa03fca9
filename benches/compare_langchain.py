#!/usr/bin/env python3
"""The cost of the work around a model, beside langchain-core: one call, many inputs, and JSON that streams.

    cargo build --release
    python3 benches/compare_langchain.py [--rounds N] [--python PYTHON_WITH_LANGCHAIN_CORE]

Without --python a virtual environment is made for the run, with langchain-core from the package index that pip is set up
for. Models are fakes on both sides, so that what is measured is the frameworks' own work. All is measured in turn, round
after round: ours, theirs, ours, theirs …; printed are the medians over the rounds, and the ratios.

- One call: `PromptTemplate | FakeListChatModel | StrOutputParser`, and `benches/call.rs`, both in a process that runs
  already, each the median of many.
- Many inputs: `.batch` of 1,000 in a process that runs already, and `each` of 1,000 by the command, wall time from its
  start to its end. Ours is run with 100,000 inputs too: time should be linear, memory the inputs and the results.
- JSON that streams: the same document of 4,000 characters in pieces of four, `JsonOutputParser.transform` and
  `benches/stream_json.rs`, every growth taken. Ours reads 400,000 characters too."""
import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
BINARY = os.path.join(ROOT, "target", "release", "chainrun")
CHAIN = '''var items: [string]
chain main = {{ items }} | each("What is the meaning of {{ input }}?" | fake("A starchy tuber.") | text)
'''
SMALL, LARGE = 1_000, 100_000
THEIRS = '''
import json, statistics, time
from importlib.metadata import version
from langchain_core.language_models import FakeListChatModel
from langchain_core.output_parsers import JsonOutputParser, StrOutputParser
from langchain_core.prompts import PromptTemplate

prompt = PromptTemplate.from_template("What is the meaning of {word}?")
chain = prompt | FakeListChatModel(responses=["A starchy tuber."]) | StrOutputParser()


def timed(work):
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def median(work, warm_up, runs):
    for _ in range(warm_up):
        work()
    return statistics.median(timed(work) for _ in range(runs))


def document(length):
    text, n = "Here it is:\\n```json\\n{\\"items\\": [", 0
    while len(text) < length:
        comma = ", " if n else ""
        text += f'{comma}{{"id": {n}, "name": "item \\\\"{n}\\\\"", "tags": ["a", "b"], "share": 0.25}}'
        n += 1
    return text + "]}\\n```\\n"


def stream(pieces):
    for value in JsonOutputParser().transform(iter(pieces)):
        pass
    return value


text = document(4000)
pieces = [text[i : i + 4] for i in range(0, len(text), 4)]
assert chain.invoke({"word": "potato"}) == "A starchy tuber."
assert stream(pieces)["items"][3]["id"] == 3
words = [{"word": f"thing number {i}"} for i in range(1000)]
print(json.dumps({
    "version": version("langchain-core"),
    "call": median(lambda: chain.invoke({"word": "potato"}), 50, 300),
    "batch": median(lambda: chain.batch(words), 0, 1),
    "stream": median(lambda: stream(pieces), 0, 3),
}))
'''


def bench(name):
    """The built program of a bench."""
    command = ["cargo", "build", "-q", "--release", "--bench", name, "--message-format=json"]
    out = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    for message in map(json.loads, out.splitlines()):
        if message.get("executable") and message["target"]["name"] == name:
            return message["executable"]
    raise SystemExit(f"the bench {name} was not built")


def number(pattern, text):
    found = re.search(pattern, text)
    if not found:
        raise SystemExit(f"no {pattern!r} in\n{text}")
    return float(found[1])


def said(command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def run(command):
    """Wall seconds and peak MiB of one run."""
    began = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1):
            os.dup2(null, fd)
        os.execvp(command[0], command)
    _, status, usage = os.wait4(pid, 0)
    if status != 0:
        raise SystemExit(f"{command} ended with status {status}")
    return time.perf_counter() - began, usage.ru_maxrss / 1024


def environment(folder):
    """The interpreter of a new virtual environment with langchain-core."""
    path = os.path.join(folder, "venv")
    subprocess.run([sys.executable, "-m", "venv", path], check=True)
    python = os.path.join(path, "bin", "python")
    subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "langchain-core"], check=True)
    return python


def measure(python, folder, rounds):
    """What each round measured, in seconds, memory in MiB, by name."""
    call, stream_json = bench("call"), bench("stream_json")
    path = os.path.join(folder, "each.chain")
    with open(path, "w", encoding="utf-8") as f:
        f.write(CHAIN)
    each = {}
    for count in (SMALL, LARGE):
        items = os.path.join(folder, f"{count}.jsonl")
        with open(items, "w", encoding="utf-8") as f:
            f.writelines(f'"thing number {i}"\n' for i in range(count))
        each[count] = [BINARY, path, "--var", f"items=@{items}"]
    seen = {}

    def put(name, value):
        seen.setdefault(name, []).append(value)

    for _ in range(rounds):
        theirs = json.loads(said([python, "-c", THEIRS]))
        print(f"langchain-core {theirs.pop('version')}" if not seen else ".", file=sys.stderr)
        for name, value in theirs.items():
            put(name, value)
        out = said([call])
        put("our call", number(r"one call: ([\d.]+) us", out) / 1e6)
        put("our call, recorded", number(r"record of its events: ([\d.]+) us", out) / 1e6)
        for count in (SMALL, LARGE):
            seconds, memory = run(each[count])
            put(f"our each {count}", seconds)
            put(f"our memory {count}", memory)
        out = said([stream_json])
        put("our stream", number(r"\b4,000 characters: ([\d.]+) ms", out) / 1e3)
        put("our long stream", number(r"400,000 characters: ([\d.]+) ms", out) / 1e3)
    return {name: statistics.median(values) for name, values in seen.items()}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--python")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        got = measure(args.python or environment(folder), folder, args.rounds)

    def row(what, ours, theirs, unit, scale):
        ratio = theirs / ours
        print(f"  {what:34} {ours * scale:10.3f} {unit}  {theirs * scale:10.3f} {unit}  {ratio:7.1f} ×")

    print(f"  {'':34} {'chainrun':>13}  {'langchain-core':>13}")
    row("one call", got["our call"], got["call"], "µs", 1e6)
    row("one call, every event recorded", got["our call, recorded"], got["call"], "µs", 1e6)
    row("1,000 inputs", got[f"our each {SMALL}"], got["batch"], "ms", 1e3)
    row("4,000 characters of JSON", got["our stream"], got["stream"], "ms", 1e3)
    small, large = (f"our each {n}" for n in (SMALL, LARGE))
    print(f"chainrun alone: 100,000 inputs {got[large] * 1e3:.0f} ms, {got[large] / got[small]:.1f} times 1,000; ", end="")
    print(f"memory {got[f'our memory {SMALL}']:.1f} MiB and {got[f'our memory {LARGE}']:.1f} MiB")
    print(f"chainrun alone: 400,000 characters of JSON {got['our long stream'] * 1e3:.2f} ms, ", end="")
    print(f"{got['our long stream'] / got['our stream']:.0f} times 4,000")


main()
