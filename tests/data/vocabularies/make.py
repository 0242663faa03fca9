"""Cuts llama.cpp's test vocabularies down to the tokens that their rows need.

usage: python make.py MODELS OUT  (needs the package gguf)
MODELS is the folder `vendor/llama.cpp/models` of the source archive of the Python package llama-cpp-python 0.3.36:
    pip download --no-deps --no-binary llama-cpp-python llama-cpp-python==0.3.36

A kept token brings along what it is merged from. A merge that was not kept never took part in a row, so rows come out as
with the whole vocabulary; `cargo bench --bench tokens MODELS` runs them with the whole ones.
"""
import json, pathlib, sys
import gguf

LISTS = ("tokens", "scores", "token_type", "merges")


def field(reader, name):
    found = reader.fields.get(name)
    return None if found is None else found.contents()


def parts_of(start, better):
    """Every text that merging `start` goes through."""
    symbols, seen = list(start), set(start)
    while True:
        pairs = [(rank, i) for i in range(len(symbols) - 1) if (rank := better(symbols[i], symbols[i + 1])) is not None]
        if not pairs:
            return seen
        _, i = min(pairs)
        symbols[i : i + 2] = [symbols[i] + symbols[i + 1]]
        seen.add(symbols[i])


def cut(path, out):
    reader = gguf.GGUFReader(path)
    of = lambda name: field(reader, f"tokenizer.ggml.{name}")
    texts = path.with_suffix(".gguf.inp").read_bytes().decode().split("\n__ggml_vocab_test__\n")
    lines = path.with_suffix(".gguf.out").read_text().split("\n")
    rows = [(t, [int(i) for i in line.split()]) for t, line in zip(texts, lines)]
    tokens, kinds, model = of("tokens"), of("token_type"), of("model")
    number = {t: i for i, t in enumerate(tokens)}
    ranks = {}
    for rank, merge in enumerate(of("merges") or []):
        at = merge.index(" ", 1)
        ranks.setdefault((merge[:at], merge[at + 1 :]), rank)
    better = lambda a, b: ranks.get((a, b))
    scores = of("scores")
    if model == "llama":
        better = lambda a, b: -scores[number[a + b]] if a + b in number else None
    keep = {i for _, ids in rows for i in ids}
    if model != "bert":
        for i in list(keep):
            keep |= {number[p] for p in parts_of(tokens[i], better) if p in number}
    # Every byte, some control tokens, and those that the file names.
    keep |= {i for i, t in enumerate(tokens) if kinds[i] == 6 or model != "bert" and len(t) == 1 and ord(t) < 400}
    keep |= set([i for i, k in enumerate(kinds) if k in (2, 3, 4)][:24])
    names = [k for k in reader.fields if k.endswith("_token_id")]
    keep |= {field(reader, k) for k in names}
    order = sorted(keep)
    new = {old: i for i, old in enumerate(order)}
    writer = gguf.GGUFWriter(out / path.name.removeprefix("ggml-vocab-"), field(reader, "general.architecture"))
    writer.add_name(field(reader, "general.name"))
    for key, found in reader.fields.items():
        name = key.removeprefix("tokenizer.ggml.")
        if key == name or name in LISTS:
            continue
        value = found.contents()
        kind = found.types[0]
        writer.add_key_value(key, new[value] if key in names else value, kind)
    writer.add_token_list([tokens[i].encode() for i in order])
    writer.add_token_types([kinds[i] for i in order])
    if scores:
        writer.add_token_scores([scores[i] for i in order])
    kept = {tokens[i] for i in order}
    if ranks:
        writer.add_token_merges([f"{a} {b}" for a, b in ranks if a in kept and b in kept and a + b in kept])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    rows = [[text, [new[i] for i in ids]] for text, ids in rows]
    lines = ",\n".join(json.dumps(row, ensure_ascii=True) for row in rows)
    name = path.name.removeprefix("ggml-vocab-").replace(".gguf", ".json")
    (out / name).write_text(f"[\n{lines}\n]\n")
    print(name, len(rows), "rows", len(order), "of", len(tokens), "tokens")


def main():
    models, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    for path in sorted(models.glob("ggml-vocab-*.gguf")):
        if path.with_suffix(".gguf.inp").exists():
            cut(path, out)


main()
