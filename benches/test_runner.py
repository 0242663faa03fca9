#!/usr/bin/env python3
"""The cost of the work around tests, beside promptfoo: nothing to do, 1,000 and 10,000 tests of a model that echoes.

    cargo build --release
    python3 benches/test_runner.py [--rounds N] [--promptfoo FOLDER] [--version VERSION]

Without --promptfoo, promptfoo is installed by npm into a folder that is thrown away, with the Node.js that it wants where
this machine's is older; with it, FOLDER is where `npm install` was run. Both run the same tests: a prompt of one variable, a model that gives the prompt back (`echo` there, `fake(echo:
true)` here), one assertion that the word stands in it. Measured are user and system time and the peak of memory of the whole
process tree's largest process, in turn, round after round; printed are the medians and the ratios. promptfoo runs without its
cache, its data base, telemetry and look for updates. That all tests passed is known by the exit code: 100 there where one
fails."""
import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
BINARY = ROOT / "target" / "release" / "chainrun"
QUIET = {"PROMPTFOO_DISABLE_TELEMETRY": "1", "PROMPTFOO_DISABLE_UPDATE": "1", "PROMPTFOO_DISABLE_SHARING": "1",
         "PROMPTFOO_CACHE_ENABLED": "false", "PROMPTFOO_SELF_HOSTED": "1"}
COUNTS = [1_000, 10_000]
# The Node.js that promptfoo wants.
NODE = 22
CHAIN = '''model m = fake(echo: true)
chain main(word: string) = "What is the meaning of {{ word }}?" | m | text
test "says the word" from "words-%d.csv" as row {
  word = {{ row.word }}
  expect contains {{ row.word }}
}
'''


def inputs(folder):
    for count in COUNTS:
        words = [f"potato {n}" for n in range(count)]
        (folder / f"words-{count}.csv").write_text("word\n" + "\n".join(words) + "\n", encoding="utf-8")
        (folder / f"echo-{count}.chain").write_text(CHAIN % count, encoding="utf-8")
        tests = [{"vars": {"word": word}, "assert": [{"type": "contains", "value": word}]} for word in words]
        config = {"prompts": ["What is the meaning of {{word}}?"], "providers": ["echo"], "tests": tests}
        (folder / f"echo-{count}.json").write_text(json.dumps(config), encoding="utf-8")


def measured(words, folder, environment, passed):
    """User and system time in seconds, wall time, and the peak of memory in MB."""
    begin = os.times()
    out = folder / "out.txt"
    with open(out, "wb") as file:
        process = subprocess.Popen(words, cwd=folder, env=environment, stdout=file, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
    wall = os.times().elapsed - begin.elapsed
    text = out.read_text(encoding="utf-8", errors="replace")
    if os.waitstatus_to_exitcode(status) != 0 or passed not in text:
        sys.exit(f"{' '.join(map(str, words))} ended with {status}:\n{text[-3000:]}")
    return {"cpu": usage.ru_utime + usage.ru_stime, "wall": wall, "memory": usage.ru_maxrss / 1024}


def install(version):
    if shutil.which("npm") is None:
        sys.exit("npm is missing: install Node.js, or name a folder with promptfoo by --promptfoo")
    folder = tempfile.mkdtemp(prefix="promptfoo-")
    (pathlib.Path(folder) / "package.json").write_text("{}\n", encoding="utf-8")
    packages = [f"promptfoo@{version}"]
    node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    if int(node.lstrip("v").split(".")[0]) < NODE:
        packages.append(f"node@{NODE}")
    subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--loglevel=error", *packages], cwd=folder, check=True)
    return folder


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--promptfoo", help="folder where promptfoo is installed")
    parser.add_argument("--version", default="latest", help="version of promptfoo to install")
    args = parser.parse_args()
    installed = args.promptfoo or install(args.version)
    theirs = pathlib.Path(installed) / "node_modules" / ".bin" / "promptfoo"
    with tempfile.TemporaryDirectory() as work:
        folder = pathlib.Path(work)
        inputs(folder)
        path = f"{theirs.parent}{os.pathsep}{os.environ['PATH']}"
        environment = {"PATH": path, "HOME": work, "PROMPTFOO_CONFIG_DIR": work + "/promptfoo", **QUIET}
        jobs = [("--version", [BINARY, "--version"], [theirs, "--version"], ".", ".")]
        for count in COUNTS:
            there = [theirs, "eval", "--no-cache", "--no-write", "--no-table", "--no-progress-bar", "-c", f"echo-{count}.json"]
            here = [BINARY, "test", f"echo-{count}.chain"]
            jobs.append((f"{count:,} tests", here, there, "1 passed", "Starting evaluation"))
        figures = {}
        for number in range(args.rounds):
            for name, here, there, ours_say, they_say in jobs:
                ours = measured(here, folder, environment, ours_say)
                other = measured(there, folder, environment, they_say)
                figures.setdefault(name, []).append((ours, other))
                print(f"round {number + 1}, {name}: {ours} {other}", file=sys.stderr)
        version = subprocess.run([theirs, "--version"], env=environment, capture_output=True, text=True, check=True).stdout.split()[-1]
    if not args.promptfoo:
        shutil.rmtree(installed, ignore_errors=True)
    print(f"medians of {args.rounds} rounds, chainrun beside promptfoo {version}\n")
    print("| | CPU time | promptfoo | ratio | memory | promptfoo | ratio |")
    print("|---|---|---|---|---|---|---|")
    for name, pairs in figures.items():
        cells = [name]
        for what, unit, form in [("cpu", "s", ".3f"), ("memory", "MB", ".0f")]:
            ours, other = (statistics.median(pair[side][what] for pair in pairs) for side in (0, 1))
            cells += [f"{ours:{form}} {unit}", f"{other:{'.2f' if what == 'cpu' else form}} {unit}", f"{other / max(ours, 0.001):,.0f}"]
        print(f"| {' | '.join(cells)} |")


main()
