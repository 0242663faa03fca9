"""Speed and memory of the local engine beside llama.cpp on the same file, threads and prompts, in turns in one run.

    python3 benches/speed_beside_llama_cpp.py MODEL.gguf [--rounds N] [--program PATH]

Installs the prebuilt llama.cpp of the Python package `xllamacpp` into a throw-away environment under `target/` and prints
what it was built with. Without --program the engine is the bench target `logits`, built by cargo. Prints medians and ratios:
prefill of 512 tokens and decoding of 128 behind them with 1 and 2 threads; the first token of a new process; peak memory;
50 prompts that share their first 256 tokens, by our queue and one by one by a llama.cpp server with its cache on.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
import venv

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PROMPT = [1000 + i * 37 % 20000 for i in range(512)]
SHARED = [[1000 + i * 31 % 20000 for i in range(256)] + [3000 + (i + 20 * p) * 7 % 20000 for i in range(20)] for p in range(50)]

# What runs inside the throw-away environment: a llama.cpp server in a process that answers lines of JSON.
THEIRS = """
import json, resource, sys, time, urllib.request
import xllamacpp
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
def server(model, threads):
    p = xllamacpp.CommonParams()
    p.model.path = model
    p.n_ctx = 2048
    p.n_parallel = 1
    p.cpuparams.n_threads = p.cpuparams_batch.n_threads = threads
    p.cache_ram_mib = 0
    p.warmup = False
    p.port = 0
    return xllamacpp.Server(p)
def post(s, **body):
    r = urllib.request.Request(s.listening_address + "/completion", json.dumps(body).encode(), {"Content-Type": "application/json"})
    return json.load(urllib.request.urlopen(r))
model, threads = sys.argv[1], int(sys.argv[2])
base = peak()
start = time.monotonic()
s = server(model, threads)
first = post(s, prompt=[1000, 1037, 1074], n_predict=1, samplers=["top_k"], top_k=1, cache_prompt=False)
print(json.dumps({"first": time.monotonic() - start, "system": xllamacpp.get_system_info() if hasattr(xllamacpp, "get_system_info") else ""}), flush=True)
for line in sys.stdin:
    q = json.loads(line)
    if "suite" in q:
        start = time.monotonic()
        for prompt in q["suite"]:
            post(s, prompt=prompt, n_predict=q["count"], samplers=["top_k"], top_k=1, cache_prompt=True, ignore_eos=True)
        out = {"seconds": time.monotonic() - start}
    elif "peak" in q:
        out = {"peak": peak() - base}
    else:
        t = post(s, prompt=q["greedy"], n_predict=q["count"], samplers=["top_k"], top_k=1, cache_prompt=False, ignore_eos=True)["timings"]
        out = {"prefill": t["prompt_ms"] / 1e3, "decode": t["predicted_ms"] / 1e3}
    print(json.dumps(out), flush=True)
"""


class Side:
    """A process that answers lines of JSON."""

    def __init__(self, command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def ask(self, **request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return self.line()

    def line(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit("a side ended; is the program built and the file sound?")
        return json.loads(line)

    def peak(self):
        """Peak memory of a process of ours, in bytes."""
        with open(f"/proc/{self.process.pid}/status") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def environment():
    """The throw-away environment's Python."""
    folder = os.path.join(ROOT, "target", "xllamacpp")
    python = os.path.join(folder, "bin", "python")
    if not os.path.exists(python):
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "xllamacpp"], check=True)
    return python


def built(program):
    if program:
        return program
    out = subprocess.run(
        ["cargo", "bench", "--no-run", "--bench", "logits", "--message-format", "json"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    found = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    return next(m["executable"] for m in found if m.get("target", {}).get("name") == "logits" and m.get("executable"))


def show(what, ours, theirs, unit, more_is_better):
    a, b = statistics.median(ours), statistics.median(theirs)
    ratio = a / b if more_is_better else b / a
    side = "times as fast as" if more_is_better else "times as good as"
    print(f"{what:44} ours {a:9.4g} {unit:6} llama.cpp {b:9.4g} {unit:6} {ratio:5.2f} {side} llama.cpp", flush=True)


def measure(program, python, model, threads, rounds):
    rates = {key: ([], []) for key in ["prefill", "decode", "first", "peak", "suite"]}
    for _ in range(rounds):
        start = time.monotonic()
        ours = Side([program, model, str(threads)])
        ours.ask(greedy=[1000, 1037, 1074], count=1)
        rates["first"][0].append(time.monotonic() - start)
        theirs = Side([python, "-c", THEIRS, model, str(threads)])
        rates["first"][1].append(theirs.line()["first"])
        for at, side in enumerate([ours, theirs]):
            got = side.ask(greedy=PROMPT, count=128)
            rates["prefill"][at].append(len(PROMPT) / got["prefill"])
            rates["decode"][at].append(128 / got["decode"])
        rates["peak"][0].append(ours.peak() / 2**20)
        rates["peak"][1].append(theirs.ask(peak=True)["peak"] / 2**20)
        for at, side in enumerate([ours, theirs]):
            rates["suite"][at].append(side.ask(suite=SHARED, count=16)["seconds"])
        ours.end()
        theirs.end()
    print(f"{threads} thread(s), medians of {rounds} rounds")
    show("  prefill, 512 tokens", *rates["prefill"], "tok/s", True)
    show("  decode, 128 tokens behind 512", *rates["decode"], "tok/s", True)
    show("  first token of a new process", *rates["first"], "s", False)
    show("  peak memory with 640 tokens", *rates["peak"], "MiB", False)
    show("  50 prompts with 256 shared tokens", *rates["suite"], "s", False)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--program", help="the built bench target `logits`")
    args = parser.parse_args()
    python, program = environment(), built(args.program)
    version = subprocess.run([python, "-m", "pip", "show", "xllamacpp"], capture_output=True, text=True).stdout.splitlines()[1]
    flags = next(line for line in open("/proc/cpuinfo") if line.startswith("flags")).split()
    known = [f for f in ["avx2", "fma", "f16c", "avx512f", "avx512_vnni"] if f in flags]
    print(f"xllamacpp {version}; this processor has {' '.join(known)}")
    for threads in [1, 2]:
        measure(program, python, args.model, threads, args.rounds)


if __name__ == "__main__":
    main()
