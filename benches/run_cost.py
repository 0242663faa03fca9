#!/usr/bin/env python3
"""What a run costs besides the model: start, check and events.

    cargo build --release
    python3 benches/run_cost.py [--python PYTHON_WITH_LANGCHAIN_CORE] [--runs N]

Commands are run in turn, A B C A B C …; printed are medians of user+sys time and of peak memory, and the ratios to
chainrun. The LangChain chain has the shape of the chain: a prompt of two messages, a fake model, a text parser. It is
left out unless --python names an interpreter that has langchain-core."""
import argparse
import os
import statistics
import tempfile

BINARY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "target", "release", "chainrun")
CHAIN = '''var word: string
prompt define {
  system "You are brief."
  user "What is {{ word }}?"
}
chain main = define | fake("A tuber.") | text
'''
LANGCHAIN = '''from langchain_core.language_models import FakeListChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
prompt = ChatPromptTemplate.from_messages([("system", "You are brief."), ("user", "What is {word}?")])
print((prompt | FakeListChatModel(responses=["A tuber."]) | StrOutputParser()).invoke({"word": "potato"}))
'''


def once(command):
    """User+sys seconds and peak MiB of one run."""
    pid = os.fork()
    if pid == 0:
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        os.execvp(command[0], command)
    _, status, usage = os.wait4(pid, 0)
    if status != 0:
        raise SystemExit(f"{command} ended with status {status}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def measure(commands, runs):
    """Medians of each command, run in turn after one run that does not count."""
    seen = {name: [] for name in commands}
    for i in range(runs + 1):
        for name, command in commands.items():
            result = once(command)
            if i:
                seen[name].append(result)
    return {n: tuple(statistics.median(c) for c in zip(*r)) for n, r in seen.items()}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--python")
    parser.add_argument("--runs", type=int, default=21)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        def file(name, text):
            path = os.path.join(folder, name)
            with open(path, "w", encoding="utf-8") as f:
                f.write(text)
            return path

        chain = file("start.chain", CHAIN)
        commands = {"chainrun": [BINARY, chain, "--var", "word=potato"], "/bin/true": ["/bin/true"]}
        if args.python:
            commands["langchain-core"] = [args.python, file("chain.py", LANGCHAIN)]
        print("cold start of a run on `fake`")
        table(measure(commands, args.runs), "chainrun")

        block = 'prompt p{0} {{\n  system "You are brief."\n  user "What is {{{{ word{0} }}}}?"\n}}\nchain c{0} = p{0} | fake("x") | text\n'
        large = file("large.chain", "".join(block.format(i) for i in range(2000)))
        small = file("small.chain", block.format(0))
        print("check of a file of 10,000 lines, beside one of 5")
        table(measure({"10,000 lines": [BINARY, "check", large], "5 lines": [BINARY, "check", small]}, args.runs), "5 lines")

        words = file("words.txt", "word " * 200_000)
        one = [BINARY, "-e", '"{{ x }}" | fake(echo: true, chunks: 1) | text', "--no-stream", "--var", f"x=@{words}"]
        many = [BINARY, "-e", '"{{ x }}" | fake(echo: true, chunks: 100000) | text', "--no-stream", "--var", f"x=@{words}"]
        medians = measure({"1 piece": one, "100,000 pieces": many}, args.runs)
        table(medians, "1 piece")
        cost = (medians["100,000 pieces"][0] - medians["1 piece"][0]) / 100_000
        print(f"an event costs {cost * 1e6:.2f} µs of user+sys time")


def table(medians, base):
    for name, (seconds, memory) in medians.items():
        ratio = seconds / medians[base][0] if medians[base][0] else float("nan")
        print(f"  {name:16} {seconds * 1e3:9.2f} ms  {memory:7.1f} MiB  {ratio:8.2f} × {base}")


main()
