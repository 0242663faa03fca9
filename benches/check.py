#!/usr/bin/env python3
"""What `chainrun check` costs for files of 10,000 and 100,000 lines: time should be linear in the lines.

    cargo build --release
    python3 benches/check.py [--runs N] [--write FOLDER]

The lines are varied, as people write them: variables with defaults and doc comments, types with optional fields, models
with options and fallbacks, prompts of several roles, templates with loops and conditions, chains with parameters, maps,
`match`, `each`, `as` and parsers. The files are checked in turn; printed are medians of user+sys time and of peak memory.
`--write` keeps the files there, for a profiler."""
import argparse
import os
import statistics
import tempfile

BINARY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "target", "release", "chainrun")
LINES = (10, 10_000, 100_000)

# One theme of a file: what it declares ends in its number, so that themes can stand one after the other.
THEME = '''\
## The word that theme @ explains.
var word@: string
var tone@: "plain" | "academic" = "plain"
## Earlier words, newest last.
var seen@: [string] = ["leaf", "root"]

# What a dictionary says of a word.
type Meaning@ {
  ## one sentence, no jargon
  definition: string
  synonyms: [string]
  confidence: float?
}
type Label@ = "bug" | "question" | "praise"

model quick@ = ollama("llama3.2:3b", temperature: 0, max_tokens: 200, timeout: 30s)
model sure@  = quick@(temperature: 0.3, stop: ["END"]) ?? fake("I do not know.")

prompt define@ {
  system "You are a lexicographer. Your tone is {{ tone@ }}."
  user   "What is the meaning of {{ word@ }}? {{ format_instructions }}"
}
prompt sort@ = """
  Put this message into one of three boxes:
  {% for w in seen@ %}{{ loop.index }}. {{ w }}{% if not loop.last %}, {% endif %}{% endfor %}

  {{ word@ | trim | upper }}
  """

chain meaning@ -> Meaning@ = define@ | quick@ | json(Meaning@, repair: 1)
chain label@ -> Label@ = sort@ | sure@ | enum(Label@)
chain about@(topic: string, most: int = 3) =
  "Name {{ most }} kinds of {{ topic }}, one a line."
  | quick@ as answer
  | "{{ answer.text | trim }} ({{ answer.tokens.output or 0 }} tokens)"

chain both@ = {
  meaning: meaning@ | {{ input.definition }}
  label: label@
  kinds: about@(topic: {{ word@ }}, most: 2)
} as parts | "{{ parts.label }}: {{ parts.meaning }} {{ parts.kinds | length }}"

chain many@ = {{ seen@ }} | each("What is {{ input }}?" | sure@ | text) | "{{ input | join(', ') }}"
chain route@ = label@ | match {{ input }} {
  "bug" => "A bug report about {{ word@ }}." | sure@ | text
  "question" => about@(topic: "answers")
  _ => "Thanks!"
}
'''


def write(folder, lines):
    """A file of about `lines` lines."""
    path = os.path.join(folder, f"{lines}.chain")
    count = max(1, lines // (THEME.count("\n") + 1))
    with open(path, "w", encoding="utf-8") as f:
        f.writelines(THEME.replace("@", str(i)) + "\n" for i in range(count))
    return path


def once(command):
    """User+sys seconds and peak MiB of one run."""
    pid = os.fork()
    if pid == 0:
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1):
            os.dup2(null, fd)
        os.execvp(command[0], command)
    _, status, usage = os.wait4(pid, 0)
    if status != 0:
        raise SystemExit(f"{command} ended with status {status}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=11)
    parser.add_argument("--write")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.write or scratch
        commands = {lines: [BINARY, "check", "--quiet", write(folder, lines)] for lines in LINES}
        seen = {lines: [] for lines in LINES}
        for i in range(args.runs + 1):
            for lines, command in commands.items():
                result = once(command)
                if i:
                    seen[lines].append(result)
    medians = {lines: tuple(statistics.median(c) for c in zip(*r)) for lines, r in seen.items()}
    for lines, (seconds, memory) in medians.items():
        print(f"  {lines:8,} lines {seconds * 1e3:9.2f} ms  {memory:7.1f} MiB")
    start, small, large = (medians[lines][0] for lines in LINES)
    print(f"ten times the lines take {(large - start) / (small - start):.1f} times the time, start of the program aside")


main()
