# SPDX-License-Identifier: MIT
"""The Debian packages of debian/: they build from what git has, lintian finds nothing, and a program
can be compiled and run with nothing but their files."""
import os
import subprocess

import pytest

from conftest import ROOT

SKIP_TREES = ("cache/", "build")


def run(*argv, cwd=None, env=None):
    p = subprocess.run(argv, cwd=cwd, env={**os.environ, **(env or {})}, text=True, errors="replace",
                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert p.returncode == 0, f"{' '.join(map(str, argv))}: {p.returncode}\n{p.stdout[-6000:]}"
    return p.stdout


def tree_files():
    out = subprocess.run(["git", "-c", f"safe.directory={ROOT}", "ls-files", "-co",
                          "--exclude-standard"], cwd=ROOT, text=True, stdout=subprocess.PIPE)
    if out.returncode:
        pytest.skip("not a git checkout")
    return [f for f in out.stdout.splitlines() if os.path.isfile(f"{ROOT}/{f}")]


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """The folder with the .changes file and the packages."""
    folder = tmp_path_factory.mktemp("packages")
    tree = folder / "vz"
    tree.mkdir()
    subprocess.run(["cpio", "-pdm", "--quiet", str(tree)], cwd=ROOT, check=True,
                   input="\n".join(tree_files()), text=True)
    run("dpkg-buildpackage", "-b", "-us", "-uc", cwd=tree,
        env={"DEB_BUILD_OPTIONS": "noautodbgsym parallel=2"})
    return folder


@pytest.fixture(scope="module")
def installed(packages):
    root = packages / "root"
    for package in sorted(packages.glob("*.deb")):
        run("dpkg", "-x", str(package), str(root))
    return root


def test_lintian_finds_nothing(packages):
    changes = next(packages.glob("*.changes"))
    # initial-upload-closes-no-bugs: the archive's own rule, for packages that enter it.
    out = run("lintian", "--fail-on", "error,warning", "--allow-root", "--suppress-tags",
              "initial-upload-closes-no-bugs", str(changes))
    assert "W:" not in out and "E:" not in out, out


def library_folder(root):
    return next(root.glob("usr/lib/*/libvz.so")).parent


@pytest.mark.parametrize("static", [False, True], ids=["shared", "static"])
def test_a_program_is_built_and_run_with_the_packages_files_alone(installed, tmp_path, static):
    source, program, folder = tmp_path / "p.c", tmp_path / "p", library_folder(installed)
    source.write_text("#include <vz/vz.h>\n#include <stdio.h>\n"
                      "int main(void) { return puts(vz_version()) < 0; }\n")
    env = {"PKG_CONFIG_PATH": str(folder / "pkgconfig"), "PKG_CONFIG_SYSROOT_DIR": str(installed)}
    flags = run("pkg-config", "--cflags", "--libs", *(["--static"] if static else []), "vz",
                env=env).split()
    if static:
        flags = [str(folder / "libvz.a") if f == "-lvz" else f for f in flags]
    run("cc", str(source), "-o", str(program), f"-I{installed}/usr/include", f"-L{folder}", *flags)
    assert run(str(program), env={"LD_LIBRARY_PATH": str(folder)}) == \
        run(str(installed / "usr/bin/vz"), "--version",
            env={"LD_LIBRARY_PATH": str(folder)}).removeprefix("vz ")


def test_python_finds_the_library_by_its_soname(installed):
    place = next(installed.glob("usr/lib/python3*/*-packages"))
    out = run("/usr/bin/python3", "-c", "import vz; print(vz.version())",
              env={"PYTHONPATH": str(place), "LD_LIBRARY_PATH": str(library_folder(installed))})
    assert out.strip()


def test_every_function_has_a_man_page(installed):
    folder = library_folder(installed)
    names = {line.split()[2].split("@")[0] for line in
             run("nm", "-D", "--defined-only", str(folder / "libvz.so")).splitlines()
             if len(line.split()) == 3 and line.split()[2].startswith("vz_")}
    pages = {p.name.split(".")[0] for p in (installed / "usr/share/man/man3").iterdir()}
    assert names and not names - pages
    assert (installed / "usr/share/man/man1/vz.1.gz").exists()


def test_documents_examples_and_licence_are_there(installed):
    doc = installed / "usr/share/doc"
    assert (doc / "vz-doc/README.md").exists() or (doc / "vz-doc/README.md.gz").exists()
    assert (doc / "vz-doc/examples/linux.c").exists()
    for package in ("vz", "libvz0.4", "libvz-dev", "python3-vz", "vz-doc"):
        assert (doc / package / "copyright").exists() or (doc / package).is_symlink()


def test_the_installed_vz_brings_the_agent_for_guests(installed, tmp_path):
    """A folder of its own stands for the system: `create` finds script and agent from the program's place."""
    assert os.access(installed / "usr/sbin/vz-agent", os.X_OK)  # the package for guests
    agent = installed / "usr/lib/vz/vz-agent"
    assert os.access(agent, os.X_OK) and (agent.parent / "vz-agent.service").exists()
    assert run(str(agent), "--version").strip()
    tools = tmp_path / "bin"
    tools.mkdir()
    # As it is called: what the new system would get lies in $TMPDIR.
    (tools / "mmdebstrap").write_text(f"#!/bin/sh\ncp -r \"$TMPDIR/agent\" {tmp_path}/got\nexit 1\n")
    (tools / "mmdebstrap").chmod(0o755)
    p = subprocess.run([installed / "usr/bin/vz", "create", "x", "--from", "debian"], stdin=subprocess.DEVNULL,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={
                           **os.environ, "LD_LIBRARY_PATH": str(library_folder(installed)), "VZ_HOME": str(tmp_path / "home"),
                           "XDG_CACHE_HOME": str(tmp_path / "cache"), "PATH": f"{tools}:{os.environ['PATH']}"})
    if "reaches no Debian sources" in p.stdout:
        pytest.skip("apt has no sources here")
    assert p.returncode == 1 and "mmdebstrap failed" in p.stdout, p.stdout
    assert (tmp_path / "got" / "vz-agent").read_bytes() == agent.read_bytes()
    assert (tmp_path / "got" / "vz-agent.service").exists()
    assert os.listdir(tmp_path / "home") == []
