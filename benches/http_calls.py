#!/usr/bin/env python3
"""Calls of a server that answers at once: a bare Rust HTTP client, chainrun, and LangChain, side by side in one run.

    cargo build --release
    python3 benches/http_calls.py [--rounds N] [--python PYTHON_WITH_LANGCHAIN_OPENAI] [--ends BUILT_BENCH]

Without --python a virtual environment is made for the run, with langchain-openai from the package index that pip is set up
for. The server and the bare client are `benches/http.rs`, built unless --ends names the program; the server is a process of its own. All is measured in turn,
round after round; printed are the medians over the rounds. A run of chainrun is a whole process, from its start to its end;
the others are timed inside theirs, once they are up. `each` makes the calls of chainrun, `.batch` those of LangChain.

- 1,000 calls at 64 in flight, each answered by four pieces at once. Also what more calls cost: 5,000 less 1,000.
- The same with 20 ms before each answer; ideal is 16 times 20 ms.
- In sequence, one in flight: what a call takes more than the bare client's.
- One answer of 100,000 pieces, less one of 10,000, by piece: wall time, and for chainrun time on the processor too.
- Peak memory of chainrun over 1,000 and 100,000 calls, of which it keeps the number alone."""
import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
BINARY = os.path.join(ROOT, "target", "release", "chainrun")
CHAIN = '''var items: [string]
model m = openai("c4", base_url: "URL", dialect: "vllm")
model short = openai("c10000", base_url: "URL", dialect: "vllm")
model long = openai("c100000", base_url: "URL", dialect: "vllm")
chain together = {{ items }} | each("What is the meaning of {{ input }}?" | m | text, concurrency: 64) | {{ input | length }}
chain sequence = {{ items }} | each("What is the meaning of {{ input }}?" | m | text, concurrency: 1) | {{ input | length }}
chain short_stream = "What is the meaning of potato?" | short | text
chain long_stream = "What is the meaning of potato?" | long | text
'''
THEIRS = '''
import json, sys, time
from importlib.metadata import version
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import PromptTemplate
from langchain_openai import ChatOpenAI

url, work, calls = sys.argv[1], sys.argv[2], int(sys.argv[3])
model = lambda name: ChatOpenAI(model=name, base_url=url, api_key="none", max_retries=0)
prompt = PromptTemplate.from_template("What is the meaning of {word}?")
chain = prompt | model("c4") | StrOutputParser()
chain.invoke({"word": "potato"})
words = [{"word": f"thing number {i}"} for i in range(calls)]
began = time.perf_counter()
if work == "together":
    assert len(chain.batch(words, config={"max_concurrency": 64})) == calls
elif work == "sequence":
    for word in words:
        chain.invoke(word)
else:
    chain = prompt | model(f"c{calls}") | StrOutputParser()
    count = sum(1 for piece in chain.stream({"word": "potato"}) if piece)
    assert count == calls, count
print(json.dumps({"seconds": time.perf_counter() - began, "version": version("langchain-openai")}))
'''


def built():
    """The server and the bare client."""
    command = ["cargo", "build", "-q", "--release", "--bench", "http", "--message-format=json"]
    out = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    for message in map(json.loads, out.splitlines()):
        if message.get("executable") and message["target"]["name"] == "http":
            return message["executable"]
    raise SystemExit("the bench http was not built")


class Server:
    def __init__(self, program, delay=0):
        self.delay = delay
        words = [program, "server"] + (["--delay", str(delay)] if delay else [])
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        self.url = f"http://127.0.0.1:{int(self.process.stdout.readline())}/v1"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


def ours(folder, server, chain, count):
    """Wall seconds, seconds on the processor, and peak MiB of one run."""
    path = os.path.join(folder, f"{server.url.split(':')[2].split('/')[0]}.chain")
    with open(path, "w", encoding="utf-8") as f:
        f.write(CHAIN.replace("URL", server.url))
    items = os.path.join(folder, f"{count}.jsonl")
    with open(items, "w", encoding="utf-8") as f:
        f.writelines(f'"thing number {i}"\n' for i in range(count))
    command = [BINARY, path, "--chain", chain] + ([] if "stream" in chain else ["--var", f"items=@{items}"])
    began = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(null, 1)
        os.execvp(command[0], command)
    _, status, usage = os.wait4(pid, 0)
    if status != 0:
        raise SystemExit(f"{command} ended with status {status}")
    return time.perf_counter() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def environment(folder):
    """The interpreter of a new virtual environment with langchain-openai."""
    path = os.path.join(folder, "venv")
    subprocess.run([sys.executable, "-m", "venv", path], check=True)
    python = os.path.join(path, "bin", "python")
    subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "langchain-openai"], check=True)
    return python


def measure(program, python, folder, rounds):
    seen = {}

    def put(name, value):
        seen.setdefault(name, []).append(value)

    def bare(server, model, calls, in_flight):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        out = subprocess.run([program, "client", server.url, model, str(calls), str(in_flight)], check=True, stdout=subprocess.PIPE)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        put(f"bare {server.delay} {model} {calls} on the processor", after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        return float(out.stdout)

    def theirs(server, work, calls):
        out = subprocess.run([python, "-c", THEIRS, server.url, work, str(calls)], check=True, stdout=subprocess.PIPE)
        answer = json.loads(out.stdout)
        seen["version"] = answer["version"]
        return answer["seconds"]

    with Server(program) as server, Server(program, 20) as slow:
        for round_ in range(rounds):
            for count in (1000, 5000):
                put(f"bare {count}", bare(server, "c4", count, 64))
                wall, processor, _ = ours(folder, server, "together", count)
                put(f"ours {count}", wall)
                put(f"ours {count} on the processor", processor)
            put("theirs 1000", theirs(server, "together", 1000))
            put("bare slow", bare(slow, "c4", 1000, 64))
            put("ours slow", ours(folder, slow, "together", 1000)[0])
            put("theirs slow", theirs(slow, "together", 1000))
            for count in (500, 2500):
                put(f"bare sequence {count}", bare(server, "c4", count, 1))
                put(f"ours sequence {count}", ours(folder, server, "sequence", count)[0])
            put("theirs sequence", theirs(server, "sequence", 500))
            for name, count in (("short_stream", 10_000), ("long_stream", 100_000)):
                put(f"bare {name}", bare(server, f"c{count}", 1, 1))
                wall, processor, _ = ours(folder, server, name, 0)
                put(f"ours {name}", wall)
                put(f"ours {name} on the processor", processor)
            put("theirs short_stream", theirs(server, "stream", 1_000))
            put("theirs long_stream", theirs(server, "stream", 11_000))
            print(f"round {round_ + 1} of {rounds}", file=sys.stderr)
        put("memory 1000", ours(folder, server, "together", 1000)[2])
        put("memory 100000", ours(folder, server, "together", 100_000)[2])
    return {name: value if isinstance(value, str) else statistics.median(value) for name, value in seen.items()}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--python")
    parser.add_argument("--ends")
    args = parser.parse_args()
    program = args.ends or built()
    with tempfile.TemporaryDirectory() as folder:
        got = measure(program, args.python or environment(folder), folder, args.rounds)

    def row(what, unit, bare, chainrun, langchain):
        print(f"| {what} | {bare:,.2f} {unit} | {chainrun:,.2f} {unit} | {langchain:,.2f} {unit} |")

    print(f"| | bare client | chainrun | langchain-openai {got['version']} |\n|---|---|---|---|")
    rate = lambda name: 1000 / got[name]
    row("1,000 calls at 64 in flight", "calls/s", rate("bare 1000"), rate("ours 1000"), rate("theirs 1000"))
    more = lambda name: 4000 / (got[f"{name} 5000"] - got[f"{name} 1000"])
    print(f"| each of 4,000 calls more | {more('bare'):,.0f} calls/s | {more('ours'):,.0f} calls/s | |")
    ideal = 16 * 0.02
    row("1,000 calls, 20 ms each", "× ideal", *(got[f"{name} slow"] / ideal for name in ("bare", "ours", "theirs")))
    call = lambda name: (got[f"{name} sequence 2500"] - got[f"{name} sequence 500"]) / 2000 * 1e6
    row("a call in sequence", "µs", call("bare"), call("ours"), got["theirs sequence"] / 500 * 1e6)
    piece = lambda name, pieces, tail="": (got[f"{name} long_stream{tail}"] - got[f"{name} short_stream{tail}"]) / pieces * 1e6
    row("a piece of a stream", "µs", piece("bare", 90_000), piece("ours", 90_000), piece("theirs", 10_000))
    spent = lambda bare: (got[f"{bare} 5000 on the processor"] - got[f"{bare} 1000 on the processor"]) / 4000 * 1e6
    print(f"| the processor's time a call | {spent('bare 0 c4'):,.0f} µs | {spent('ours'):,.0f} µs | |")
    stream = got["bare 0 c100000 1 on the processor"] - got["bare 0 c10000 1 on the processor"]
    print(f"| the processor's time a piece | {stream / 90_000 * 1e6:.2f} µs | {piece('ours', 90_000, ' on the processor'):.2f} µs | |")
    print(f"chainrun: {more('ours') / more('bare'):.2f} of the bare client's rate, {call('ours') - call('bare'):.0f} µs more a call in sequence")
    print(f"chainrun: peak memory {got['memory 1000']:.1f} MiB over 1,000 calls and {got['memory 100000']:.1f} MiB over 100,000")


main()
