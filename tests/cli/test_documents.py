# SPDX-License-Identifier: MIT
"""What documents say by hand: commands of man pages and README are right, what they name exists."""
import fnmatch
import glob
import json
import os
import re
import shlex
import subprocess

import pytest

from conftest import BUILD, ROOT

FOLDERS = ("agent", "src", "tests", "tools", "fuzz", "examples", "scripts", "bench", "python")


def read(path):
    with open(f"{ROOT}/{path}") as f:
        return f.read()


def names():
    """Every file of the sources, by its last part and by its path."""
    found = set()
    for folder in FOLDERS:
        for at, _, files in os.walk(f"{ROOT}/{folder}"):
            found |= {f for f in files} | {os.path.relpath(f"{at}/{f}", ROOT) for f in files}
    return found


def is_there(path, known):
    """As a file's name or path, with wildcards; as a folder; or as a program of the build."""
    return bool(fnmatch.filter(known, path)) or any(
        os.path.exists(f"{folder}/{path}") for folder in (ROOT, BUILD))


def test_features_name_tests_that_exist():
    known, rows = names(), 0
    for row in read("docs/features.md").splitlines():
        cells = row.strip().strip("|").split("|")
        if len(cells) != 3 or cells[2].strip() in ("---", "shown by"):
            continue
        rows += 1
        shown = re.findall(r"`([^`]*)`", cells[2])
        for path in (s for s in shown if re.search(r"[./]", s)):
            assert is_there(path, known), f"{path} is not there: {row}"
        assert shown or not cells[1].strip().startswith("works") or "by hand" in cells[2], row
    assert rows > 80


@pytest.mark.parametrize("path", ["README.md", "CONTRIBUTING.md"] + sorted(
    os.path.relpath(p, ROOT) for p in glob.glob(f"{ROOT}/docs/*.md")))
def test_files_that_are_named_exist(path):
    for name in re.findall(r"`((?:docs|scripts|include|examples|bench|src|tests)/[\w./@-]+)`", read(path)):
        # Where HACKING says how a file is added, that is foo.c or NAME.
        assert "foo" in name or "NAME" in name or is_there(name, ()), f"{path} names {name}"


def man_commands():
    """Lines of the man page's examples that run a machine."""
    examples = read("docs/man/vz.1").split(".SH EXAMPLES", 1)[1]
    lines = [line.replace("\\-", "-") for line in examples.splitlines()]
    return [line for line in lines if line.startswith("vz run ")]


@pytest.mark.parametrize("line", man_commands())
def test_examples_of_the_man_page_are_machines(vz, line, tmp_path):
    words = shlex.split(line)[1:]
    if ">" in words:
        words = words[:words.index(">")]
    (tmp_path / "machine.json").write_text(vz("run", "--kernel", "k", "--print-config").out)
    r = vz(*words, "--print-config", cwd=tmp_path)
    assert r.status == 0 and r.err == "" and json.loads(r.out)["bootLoader"], r


def test_man_page_has_several_examples():
    assert len(man_commands()) >= 5


def test_unit_starts_a_machine(vz):
    unit = re.search(r"^ExecStart=\S+ (.*)$", read("examples/vz-guest@.service"), re.M)[1]
    r = vz(*shlex.split(unit.replace("%i", "name")), "--print-config")
    assert r.status == 0 and r.err == "" and json.loads(r.out)["label"] == "name", r


@pytest.mark.parametrize("target", sorted(set(re.findall(r"(?:^    |`)make ([a-z-]+)", read("README.md"), re.M))))
def test_targets_of_the_readme_exist(target):
    r = subprocess.run(["make", "-n", f"BUILD={BUILD}", target], cwd=ROOT, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, env={**os.environ, "MAKEFLAGS": ""})
    assert r.returncode == 0, r.stdout.decode()
