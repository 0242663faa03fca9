"""Fails if `cargo test --release` builds a dependency that `cargo build --release` builds, with other features.

Compares the features that cargo resolves for the build with those that it resolves for the tests."""
import subprocess
import sys


def features(edges):
    text = subprocess.run(["cargo", "tree", "--offline", "--prefix", "none", "-e", edges, "-f", "{p}\t{f}"],
                          check=True, capture_output=True, text=True).stdout
    found = {}
    for line in text.splitlines():
        package, _, enabled = line.removesuffix(" (*)").partition("\t")
        found.setdefault(package.removesuffix(" (proc-macro)"), set()).add(enabled.removesuffix(" (*)"))
    return found


build, tests = features("normal,build"), features("normal,build,dev")
wrong = [p for p in build if tests[p] != build[p]]
for package in wrong:
    print(f"{package}: built with {sorted(build[package])}, for the tests with {sorted(tests[package])}")
only = sorted(set(tests) - set(build))
print(f"{len(build)} packages for the build, {len(only)} more for the tests: {', '.join(only)}")
sys.exit(1 if wrong else 0)
