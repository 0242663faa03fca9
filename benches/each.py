#!/usr/bin/env python3
"""What `each` costs over 1,000 and 100,000 inputs on `fake`: time should be linear, memory the results and little more.

    cargo build --release
    python3 benches/each.py [--runs N]

The runs are made in turn; printed are medians of user+sys time and of peak memory. `alone` reads the same inputs and
counts them without `each`: what `each` needs above it is its results and its own work. Results are counted as what
standard output is given of them plus 24 bytes an item, the size of a value."""
import argparse
import os
import statistics
import tempfile

BINARY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "target", "release", "chainrun")
CHAIN = '''var items: [string]
chain alone = {{ items | length }}
chain results = {{ items }} | each("What is {{ input }}?" | fake(echo: true) | text)
chain counted = {{ items }} | each("What is {{ input }}?" | fake(echo: true) | text) | {{ input | length }}
'''
SMALL, LARGE = 1_000, 100_000
MOST_MIB = 20


def once(command, out):
    """User+sys seconds and peak MiB of one run, and the bytes that it printed."""
    pid = os.fork()
    if pid == 0:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
        os.execvp(command[0], command)
    _, status, usage = os.wait4(pid, 0)
    if status != 0:
        raise SystemExit(f"{command} ended with status {status}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, os.path.getsize(out)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "each.chain")
        with open(path, "w", encoding="utf-8") as f:
            f.write(CHAIN)
        commands = {}
        for count in (SMALL, LARGE):
            items = os.path.join(folder, f"{count}.jsonl")
            with open(items, "w", encoding="utf-8") as f:
                f.writelines(f'"thing number {i}"\n' for i in range(count))
            for chain in ("alone", "results", "counted"):
                commands[chain, count] = [BINARY, path, "--chain", chain, "--var", f"items=@{items}"]
        seen = {key: [] for key in commands}
        for i in range(args.runs + 1):
            for key, command in commands.items():
                result = once(command, os.path.join(folder, "out"))
                if i:
                    seen[key].append(result)
        medians = {key: tuple(statistics.median(c) for c in zip(*r)) for key, r in seen.items()}
    for (chain, count), (seconds, memory, size) in medians.items():
        print(f"  {chain:8} {count:8,} inputs {seconds * 1e3:9.2f} ms  {memory:7.1f} MiB  {size:9,} bytes printed")
    own = {n: medians["counted", n][0] - medians["alone", n][0] for n in (SMALL, LARGE)}
    print(f"an item costs {own[LARGE] / LARGE * 1e6:.2f} µs of user+sys time")
    print(f"{LARGE // SMALL} times the inputs take {own[LARGE] / own[SMALL]:.1f} times the time")
    results = (medians["results", LARGE][2] + 24 * LARGE) / 2**20
    grown = medians["counted", LARGE][1] - medians["alone", LARGE][1]
    print(f"above `alone`, {LARGE:,} inputs need {grown:.1f} MiB, of which {results:.1f} MiB are the results")
    if grown - results > MOST_MIB:
        raise SystemExit(f"more than {MOST_MIB} MiB above the results")


main()
