# SPDX-License-Identifier: MIT
"""Documents that are made from what the program says of itself."""
import json
import os
import re
import subprocess

import pytest

from conftest import BUILD, ROOT, VZ


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


# ---- All commands -------------------------------------------------------------------------------

def commands():
    return json.loads(subprocess.run([VZ, "help", "--json"], stdout=subprocess.PIPE).stdout)["commands"]


# Those that have nothing to say when all went well, or pass on what others say.
NO_TABLE = {"run", "create", "clone", "rename", "delete", "start", "stop", "restart", "pause", "resume", "save", "screenshot", "restore",
            "exec", "shell", "ssh", "cp", "console", "logs", "wait", "set", "attach", "detach",
            "insert", "eject", "send-keys", "completion", "snapshot", "rewind"}


@pytest.mark.parametrize("c", commands(), ids=lambda c: c["name"])
def test_every_command_has_all_that_commands_have(vz, c):
    """Its help, its part of the man page with all its options, its line in each shell's completion with all its
    options, and --json where it prints a table."""
    name, options = c["name"], [o["name"] for o in c["options"] if o["name"]]
    r = vz(name, "--help")
    assert r.status == 0 and r.err == "" and (f"vz {name}" in r.out or f"vz help {name}" in r.out or name in ("help", "version")), r
    for o in options:
        assert f"--{o}" in r.out, o
    with open(f"{ROOT}/docs/man/vz.1") as f:
        man = f.read().replace("\\-", "-")
    assert re.search(rf"^\.(SS vz {name}\b|SH OPTIONS OF vz {name}\b|B vz {name}\b|.*\bvz {name}\b)", man, re.M), name
    part = man.split(f".SS vz {name}", 1)[-1].split("\n.SS ", 1)[0] if f".SS vz {name}" in man else man
    for o in options:
        assert f"--{o}" in (part if "usage" in c and not c.get("has_machine_options") else man) or f"--{o}" in man, o
    for shell in ("bash", "zsh", "fish"):
        script = vz("completion", shell).out
        assert re.search(rf"\b{name}\b", script), shell
        for o in options:
            assert re.search(rf"(--|-l ){re.escape(o)}\b", script), (shell, o)
    assert name in NO_TABLE or "json" in options, f"{name} prints something, and not for programs"
    assert not (name in NO_TABLE and "json" in options)


@pytest.mark.parametrize("c", [c for c in commands() if "MACHINE" in c.get("usage", "").split(" ")[0]], ids=lambda c: c["name"])
def test_machines_names_are_completed(c, tmp_path):
    for name in "web", "db":
        (tmp_path / f"{name}.vz").mkdir()
        (tmp_path / f"{name}.vz" / "config.json").write_text("{}")
    script = subprocess.run([VZ, "completion", "bash"], stdout=subprocess.PIPE, text=True).stdout
    script += f"\nCOMP_WORDS=(vz {c['name']} ''); COMP_CWORD=2; _vz\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"\n"
    r = subprocess.run(["bash", "-c", script], stdout=subprocess.PIPE, text=True, check=True, env={
        "PATH": f"{os.path.dirname(VZ)}:{os.environ['PATH']}", "VZ_HOME": str(tmp_path)})
    assert ({"web", "db"} <= set(r.stdout.split())) == (c["name"] not in ("create",)), r
