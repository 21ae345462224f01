# SPDX-License-Identifier: MIT
"""Documents that are made from what the program says of itself."""
import json
import subprocess

import pytest

from conftest import BUILD, ROOT


def test_documents_are_up_to_date():
    r = subprocess.run([f"{ROOT}/scripts/docs", "--check", "--build", BUILD], stdout=subprocess.PIPE)
    assert r.returncode == 0, r.stdout.decode()


def test_help_for_programs(vz):
    r = vz("help", "--json")
    assert r.status == 0 and r.err == "", r
    form = json.loads(r.out)
    assert {"run", "doctor", "help", "version"} <= {c["name"] for c in form["commands"]}
    run = {o["name"]: o for c in form["commands"] if c["name"] == "run" for o in c["options"]}
    assert run["kernel"]["letter"] == "k" and run["disk"]["value"].startswith("PATH[,ro]")
    objects = {o["name"]: o for o in form["configuration"]["objects"]}
    sync = next(m for m in objects["disk_image"]["members"] if m["name"] == "synchronization")
    assert sync["words"] == ["full", "fsync", "none"] and sync["default"] == "full"


@pytest.mark.parametrize("words, expected", [
    (["d"], {"delete", "detach", "disk", "doctor"}), (["start", "--"], {"--foreground", "--fresh", "--at-login", "--no-at-login", "--help"}), (["disk", "c"], {"create", "convert", "commit", "check"}),
    (["disk", "create", "--format", "q"], {"qcow2"}), (["run", "--memory-"], {"--memory-prealloc", "--memory-huge"}),
    (["run", "--accel", ""], {"auto", "kvm", "soft"}), (["run", "--net", "t"], {"tap="}),
    (["run", "--serial", ""], {"null", "stdio", "fd", "file:", "pty", "unix:"}),
    (["run", "-p", ""], set()), (["doctor", "--"], {"--json", "--help"}),
])
def test_bash_completes(vz, words, expected):
    script = vz("completion", "bash").out
    script += f"\nCOMP_WORDS=(vz {' '.join(repr(w) for w in words)}); COMP_CWORD={len(words)}; _vz\n"
    r = subprocess.run(["bash", "-c", script + 'printf "%s\n" "${COMPREPLY[@]}"'], check=True,
                       stdout=subprocess.PIPE)
    assert set(r.stdout.decode().split()) == expected


@pytest.mark.parametrize("shell, word", [("zsh", "'*--disk["), ("fish", " -l memory -x")])
def test_other_shells_complete(vz, shell, word):
    r = vz("completion", shell)
    assert r.status == 0 and word in r.out, r
    r = vz("completion", "tcsh")
    assert r.status == 2 and "bash, zsh or fish" in r.err, r


def test_every_option_is_in_help_and_man_page(vz):
    form = json.loads(vz("help", "--json").out)
    text = vz("run", "--help").out
    with open(f"{ROOT}/docs/man/vz.1") as f:
        man = f.read().replace("\\-", "-")
    for o in next(c for c in form["commands"] if c["name"] == "run")["options"]:
        name = "--" + o["name"] if o["name"] else "-" + o["letter"]
        assert name in text and name in man, name
