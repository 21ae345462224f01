# SPDX-License-Identifier: MIT
"""Machines as folders: create, clone, rename, delete, set, attach, detach; and what a crash leaves."""
import base64
import gzip
import hashlib
import http.server
import json
import os
import random
import re
import signal
import subprocess
import threading
import time

import pytest

from conftest import BUILD, ROOT, VZ
from machines import HALT, home, info, machine  # noqa: F401 (fixtures)


@pytest.fixture
def kernel(tiny_kernel):
    return tiny_kernel(HALT)


@pytest.fixture
def made(vz, home, kernel):
    """made(NAME, OPTION...) is a machine with a disk, made by vz create."""

    def make(name, *options):
        r = vz("create", name, "--kernel", kernel, "--memory", "16M", "--disk", "4M", *options)
        assert r.status == 0 and r.err == "", r
        return home / f"{name}.vz"

    return make


def config(folder):
    return json.loads((folder / "config.json").read_text())


def test_create(vz, made, kernel):
    folder = made("one", "--forward", "tcp:2222:22")
    c = config(folder)
    kernel.unlink()  # it is in the folder
    assert c["bootLoader"]["kernel"] == "kernel" and c["memory"] == 16 << 20
    assert [d["attachment"]["path"] for d in c["storageDevices"]] == ["disk.img"]
    assert c["networkDevices"][0]["attachment"]["forwards"][0]["hostPort"] == 2222
    assert c["serialPorts"][0]["attachment"]["type"] == "stdio"
    assert all(c[k] for k in ("entropyDevices", "memoryBalloonDevices", "socketDevices"))
    assert (folder / "disk.img").stat().st_size == 4 << 20
    assert folder.stat().st_mode & 0o777 == 0o700
    assert sorted(os.listdir(folder.parent)) == ["one.vz"]
    assert vz("start", "one").status == 0


def test_create_with_paths_of_the_working_folder(vz, home, kernel, tmp_path):
    (tmp_path / "more.img").write_bytes(bytes(4096))
    r = vz("create", "one", "--kernel", kernel.name, "--disk", "more.img", "--disk", "1M", cwd=tmp_path)
    assert r.status == 0, r
    paths = [d["attachment"]["path"] for d in config(home / "one.vz")["storageDevices"]]
    assert paths == ["disk.img", str(tmp_path / "more.img")]
    r = vz("create", "./there.vz", "--kernel", kernel.name, cwd=tmp_path)
    assert r.status == 0 and (tmp_path / "there.vz" / "config.json").exists(), r


@pytest.mark.parametrize("options, status, what", [
    ((), 2, "what is on it"), (("--from", "nothing.img"), 1, "nothing.img: No such file"),
    (("--kernel", "nothing"), 1, "nothing: No such file"), (("--user", "me", "--disk", "1M"), 2, "--user"),
    (("--disk", "1M", "--cpus", "999"), 1, "--cpus '999'"), (("--from", "debian:x/y"), 1, "no name of a release"),
    (("--frm", "x"), 2, "did you mean '--from'"), (("--from", "http://x/", "--checksum", "md5:1"), 1, "sha256:"),
])
def test_what_cannot_be_created(vz, home, kernel, monkeypatch, tmp_path, options, status, what):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    r = vz("create", "one", *options)
    assert r.status == status and what in r.err, r
    assert os.listdir(home) == []


def test_create_does_not_replace(vz, made, kernel):
    folder = made("one")
    before = config(folder)
    r = vz("create", "one", "--kernel", kernel)
    assert r.status == 1 and "already" in r.err, r
    assert config(folder) == before


@pytest.mark.parametrize("kind", ["raw", "qcow2", "qcow2 by another name"])
def test_create_from_an_image(vz, home, kernel, tmp_path, kind):
    raw = tmp_path / "image.img"
    data = random.Random(1).randbytes(1 << 20)
    raw.write_bytes(data)
    image = raw
    if kind != "raw":
        image = tmp_path / "image.qcow2"
        assert vz("disk", "convert", raw, image).status == 0
    if kind == "qcow2 by another name":
        image = image.rename(tmp_path / "cloud.img")
    r = vz("create", "one", "--from", image.name, "--disk", "8M", "--kernel", kernel, cwd=tmp_path)
    assert r.status == 0, r
    disk = (home / "one.vz" / "disk.img").read_bytes()
    assert disk[:1 << 20] == data and disk[1 << 20:] == bytes(7 << 20)
    r = vz("create", "two", "--from", image, "--disk", "1M", "--kernel", kernel)
    assert r.status == 0, r
    raw.write_bytes(bytes(3 << 20))
    r = vz("create", "three", "--from", raw, "--disk", "2M", "--kernel", kernel)
    assert r.status == 1 and "--disk" in r.err and not (home / "three.vz").exists(), r


def test_images_that_are_something_else(vz, home, tmp_path):
    for name, data, what in (("a.img.xz", b"\xfd7zXZ\0" + bytes(600), "xz -d"), ("a.gz", b"\x1f\x8b" + bytes(600), "gzip -d"),
                             ("a.vmdk", b"KDMV" + bytes(508), "VMDK")):
        (tmp_path / name).write_bytes(data)
        r = vz("create", "one", "--from", tmp_path / name)
        assert r.status == 1 and what in r.err, r
    assert os.listdir(home) == []


def test_an_installers_disc(vz, home, tmp_path):
    disc = bytes(0x8001) + b"CD001" + bytes(2042 + 4096)
    (tmp_path / "a.iso").write_bytes(disc)
    r = vz("create", "one", "--from", tmp_path / "a.iso", "--user", "anna")
    assert r.status == 1 and "heeds no --user" in r.err and os.listdir(home) == [], r
    r = vz("create", "one", "--from", "a.iso", "--disk", "1G", cwd=tmp_path)
    assert r.status == 0, r
    config = json.loads((home / "one.vz" / "config.json").read_text())
    assert config["bootLoader"]["type"] == "efi" and len(config["graphicsDevices"]) == 1, config
    assert [d["attachment"]["path"] for d in config["storageDevices"]] == ["disk.img", "installer.iso"]
    assert (home / "one.vz" / "installer.iso").read_bytes() == disc and os.stat(home / "one.vz" / "disk.img").st_size == 1 << 30
    (tmp_path / "a.iso").unlink()  # the machine has its own
    r = vz("clone", "one", "two")
    assert r.status == 0 and (home / "two.vz" / "installer.iso").read_bytes() == disc, r


# ---- Downloads ----------------------------------------------------------------------------------

class Server(http.server.BaseHTTPRequestHandler):
    """One file with a tag; breaks off after so many bytes where told so."""

    data, tag, limit, log, ranges = b"", '"1"', None, [], True

    def do_GET(self):
        c = type(self)
        c.log.append(dict(self.headers))
        if self.path.endswith("/none.img"):
            return self.send_error(404)
        if self.headers.get("If-None-Match") == c.tag:
            self.send_response(304)
            return self.end_headers()
        start = 0
        if c.ranges and "Range" in self.headers and self.headers.get("If-Range") == c.tag:
            start = int(re.match(r"bytes=(\d+)-", self.headers["Range"])[1])
        if start >= len(c.data):
            return self.send_error(416)
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(c.data) - 1}/{len(c.data)}")
        self.send_header("Content-Length", str(len(c.data) - start))
        self.send_header("ETag", c.tag)
        self.end_headers()
        end = len(c.data) if c.limit is None else min(start + c.limit, len(c.data))
        self.wfile.write(c.data[start:end])

    def log_message(self, *args):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    kind = type("OneServer", (Server,), {"log": [], "data": random.Random(2).randbytes(3 << 20)})
    s = http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind)
    kind.url = f"http://127.0.0.1:{s.server_port}/disk.img"
    threading.Thread(target=s.serve_forever, daemon=True).start()
    yield kind
    s.shutdown()


def load(vz, home, kernel, server, name, *options):
    r = vz("create", name, "--from", server.url, "--kernel", kernel, *options)
    return r, (home / f"{name}.vz" / "disk.img").read_bytes() if r.status == 0 else None


def test_download_and_cache(vz, home, kernel, server):
    digest = hashlib.sha256(server.data).hexdigest()
    r, disk = load(vz, home, kernel, server, "one", "--checksum", f"sha256:{digest}")
    assert r.status == 0 and disk == server.data, r
    r, disk = load(vz, home, kernel, server, "two")
    assert disk == server.data and server.log[-1].get("If-None-Match") == '"1"' and len(server.log) == 2
    server.data, server.tag = random.Random(3).randbytes(1 << 20), '"2"'  # there is a new one
    r, disk = load(vz, home, kernel, server, "three")
    assert disk == server.data, r
    server.url = server.url.replace("disk.img", "none.img")
    r, _ = load(vz, home, kernel, server, "four")
    assert r.status == 1 and "404" in r.err, r


def test_download_goes_on(vz, home, kernel, server):
    server.limit = 1 << 20
    r, disk = load(vz, home, kernel, server, "one")
    assert r.status == 0 and disk == server.data, r
    assert [h.get("Range") for h in server.log] == [None, "bytes=1048576-", "bytes=2097152-"]


def test_download_starts_again_when_the_file_has_changed(vz, home, kernel, server):
    server.limit = 100000  # four tries are not enough
    r, _ = load(vz, home, kernel, server, "one")
    assert r.status == 1 and server.url in r.err and os.listdir(home) == [], r
    server.data, server.tag, server.limit = random.Random(4).randbytes(1 << 20), '"2"', None
    r, disk = load(vz, home, kernel, server, "one")
    assert disk == server.data, r


def test_download_with_another_checksum(vz, home, kernel, server, tmp_path):
    r, _ = load(vz, home, kernel, server, "one", "--checksum", "sha256:" + "0" * 64)
    assert r.status == 1 and "checksum" in r.err and os.listdir(home) == [], r
    assert [f for f in os.listdir(tmp_path / "cache" / "vz") if not f.endswith(".lock")] == []
    good = "sha512:" + hashlib.sha512(server.data).hexdigest()
    r, disk = load(vz, home, kernel, server, "one", "--checksum", good)
    assert disk == server.data, r


def test_no_server(vz, home, kernel, server):
    r, disk = load(vz, home, kernel, server, "one")
    assert r.status == 0
    url, server.url = server.url, "http://127.0.0.1:1/disk.img"
    r, _ = load(vz, home, kernel, server, "two")
    assert r.status == 1 and "http://127.0.0.1:1/disk.img: " in r.err, r


def test_downloads_without_their_library_say_what_is_missing(vz, home, kernel, server, tmp_path, monkeypatch):
    for name in ("libcurl-gnutls.so.4", "libcurl.so.4"):
        (tmp_path / name).write_text("no library")
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    r, _ = load(vz, home, kernel, server, "one")
    assert r.status == 1 and "need libcurl (Debian: libcurl3-gnutls): " in r.err and os.listdir(home) == [], r


def test_parallel_downloads(vz, home, kernel, server):
    all_of_them = [subprocess.Popen([VZ, "create", f"m{i}", "--from", server.url, "--kernel", kernel],
                                    stderr=subprocess.PIPE) for i in range(4)]
    assert [p.wait() for p in all_of_them] == [0] * 4
    assert len([h for h in server.log if "If-None-Match" not in h]) == 1


# ---- Clone, rename, delete ----------------------------------------------------------------------

def test_clone(vz, made, home):
    one = made("one")
    (one / "disk.img").write_bytes(b"before" + bytes((4 << 20) - 6))
    assert vz("clone", "one", "two").status == 0
    two = home / "two.vz"
    a, b = config(one), config(two)
    assert a["platform"]["machineIdentifier"] != b["platform"]["machineIdentifier"]
    assert a["networkDevices"][0]["mac"] != b["networkDevices"][0]["mac"]
    for folder, c in ((one, a), (two, b)):
        disk = c["storageDevices"][0]["attachment"]["path"]
        out = folder / "check.img"
        assert vz("disk", "convert", folder / disk, out).status == 0
        assert out.read_bytes()[:6] == b"before"
        out.unlink()
    assert vz("clone", "two", "three").status == 0
    assert vz("start", "one", "two", "three").status == 0  # all at once: they share no writable file
    r = vz("clone", "one", "four")
    assert r.status == 1 and "runs" in r.err, r
    assert vz("stop", "--now", "one", "two", "three").status == 0
    assert vz("delete", "one").status == 0  # the others keep what they read through to
    assert vz("start", "two", "three").status == 0


def test_full_clone(vz, made, home):
    one = made("one")
    (one / "disk.img").write_bytes(b"data" + bytes((4 << 20) - 4))
    assert vz("clone", "--full", "one", "two").status == 0
    assert config(one)["storageDevices"] == config(home / "two.vz")["storageDevices"]
    assert (home / "two.vz" / "disk.img").read_bytes() == (one / "disk.img").read_bytes()
    assert (home / "two.vz" / "disk.img").stat().st_ino != (one / "disk.img").stat().st_ino


def test_clone_would_share_a_disk(vz, home, kernel, tmp_path):
    (tmp_path / "far.img").write_bytes(bytes(4096))
    assert vz("create", "one", "--kernel", kernel, "--disk", tmp_path / "far.img").status == 0
    r = vz("clone", "one", "two")
    assert r.status == 1 and "far.img" in r.err and "both machines would write it" in r.err, r
    assert os.listdir(home) == ["one.vz"]


def test_rename(vz, made, home, tmp_path):
    made("one")
    made("two")
    r = vz("rename", "one", "two")
    assert r.status == 1 and "already" in r.err, r
    assert vz("start", "one").status == 0
    r = vz("rename", "one", "three")
    assert r.status == 1 and "runs" in r.err, r
    vz("stop", "--now", "one")
    assert vz("rename", "one", "three").status == 0
    assert vz("rename", "two", tmp_path / "elsewhere.vz").status == 0
    assert sorted(os.listdir(home)) == ["three.vz"]
    assert vz("start", "three", tmp_path / "elsewhere.vz").status == 0
    vz("stop", "--now", tmp_path / "elsewhere.vz")


def test_delete(vz, made, home):
    folder = made("one")
    (folder / "sub").mkdir()
    (folder / "sub" / "file").touch()
    vz("start", "one")
    r = vz("delete", "one")
    assert r.status == 1 and "--force" in r.err and folder.exists(), r
    assert vz("delete", "--force", "one").status == 0
    assert os.listdir(home) == []
    r = vz("delete", "one")
    assert r.status == 1 and "no such machine" in r.err, r


# ---- set, attach, detach ------------------------------------------------------------------------

def test_set(vz, made, tmp_path):
    folder = made("one")
    before = config(folder)
    r = vz("set", "one", "memory=32M", "cpus=2", "stopAtReset=true", "networkDevices[0].mac=02:00:00:00:00:01")
    assert r.status == 0 and r.err == "", r
    after = config(folder)
    assert (after["memory"], after["cpus"], after["stopAtReset"]) == (32 << 20, 2, True)
    assert after["networkDevices"][0]["mac"] == "02:00:00:00:00:01"
    assert after["bootLoader"] == before["bootLoader"]  # the paths of the folder stay
    for bad, what in ((("memory=1",), "memory"), (("nonsense=1",), "nonsense"), (("disk=x",), "vz attach"), (("cpus",), "cpus"),
                      (("cpus=3", "memory=0"), "memory"), (("storageDevices[7].attachment=1",), "storageDevices[7]"),
                      (("bootLoader=1",), "bootLoader")):
        r = vz("set", "one", *bad)
        assert r.status == 1 and "one: " in r.err and what in r.err, r
        assert config(folder) == after  # all or nothing
    vz("start", "one")
    r = vz("set", "one", "cpus=1")
    assert r.status == 0 and "next time" in r.err and config(folder)["cpus"] == 1, r


def test_attach_and_detach(vz, made, tmp_path):
    folder = made("one")
    (tmp_path / "more.img").write_bytes(bytes(4096))
    assert vz("attach", "one", "disk", "more.img,ro", cwd=tmp_path).status == 0
    assert vz("attach", "one", "net", "nat").status == 0
    disks = [d["attachment"]["path"] for d in config(folder)["storageDevices"]]
    assert disks == ["disk.img", str(tmp_path / "more.img")]
    assert vz("start", "one").status == 0
    assert len(info(vz, "one")["networks"]) == 2
    assert vz("detach", "one", "storageDevices[1]").status == 0
    assert len(config(folder)["storageDevices"]) == 1
    for bad in ("storageDevices[1]", "storageDevices", "x[0]", "storageDevices[x]"):
        r = vz("detach", "one", bad)
        assert r.status == 1 and bad in r.err, r
    r = vz("attach", "one", "memory", "1G")
    assert r.status == 1 and "no kind of device" in r.err, r


# ---- Looking at it ------------------------------------------------------------------------------

def test_logs(vz, machine):
    folder = machine("one")
    assert (vz("logs", "one").status, vz("logs", "one").out) == (0, "")
    (folder / "console.log").write_text("a\nb\nc\n")
    assert vz("logs").out == "a\nb\nc\n"
    assert vz("logs", "one", "--lines", "2").out == "b\nc\n"
    assert vz("logs", "one", "--lines", "9").out == "a\nb\nc\n"
    assert vz("logs", "one", "--follow").out == "a\nb\nc\n"  # it does not run
    vz("start", "one")
    p = subprocess.Popen([VZ, "logs", "-f", "one"], stdout=subprocess.PIPE)
    with open(folder / "console.log", "a") as f:
        f.write("d\n")
    assert [p.stdout.readline() for _ in range(4)] == [b"a\n", b"b\n", b"c\n", b"d\n"]
    vz("stop", "--now", "one")
    assert p.wait(30) == 0
    assert vz("logs", "one", "--process").status == 0
    assert vz("logs", "one", "--lines", "0").status == 2


def test_wait(vz, machine):
    machine("one")
    assert vz("wait", "one", "--for", "stop").status == 0
    vz("start", "one")
    r = vz("wait", "one", "--for", "stop", "--timeout", "1s")
    assert r.status == 124 and "still runs" in r.err, r
    assert vz("wait", "one", "--for", "ever").status == 2
    p = subprocess.Popen([VZ, "wait", "one", "--for", "stop"])
    vz("stop", "--now", "one")
    assert p.wait(30) == 0


def test_wait_tells_how_it_ended(vz, machine):
    machine("one", "--debug-exit", code=b"\xb0\x00\xe6\xf4\xf4\xeb\xfd")  # mov al, 0; out 0xf4, al
    vz("start", "one")
    assert vz("wait", "one", "--for", "stop", "--timeout", "60s").status == 0
    assert info(vz, "one")["lastRun"]["reason"] == "debug-exit"
    machine("two", code=b"\x0f\x0b")  # ud2, without a table of interrupts: a triple fault
    vz("start", "two")
    r = vz("wait", "two", "--for", "stop", "--timeout", "60s")
    assert r.status == 3 and "two: " in r.err, r


def test_ip_and_stats(vz, machine):
    machine("one", "--net", "nat")
    assert vz("ip", "one").status == 1
    vz("start", "one")
    r = vz("ip", "one")
    assert r.status == 1 and "no address" in r.err, r
    assert info(vz, "one")["networks"][0]["nat"] is True
    r = vz("stats", "one")
    assert r.status == 0 and len(r.out.splitlines()) > 10, r
    assert set(json.loads(vz("stats", "one", "--json").out)["counters"]) == {
        line.split()[0] for line in r.out.splitlines()}
    p = subprocess.Popen([VZ, "stats", "--follow", "--json", "one"], stdout=subprocess.PIPE)
    assert all("counters" in json.loads(p.stdout.readline()) for _ in range(2))
    vz("stop", "--now", "one")
    assert p.wait(30) == 0


def test_console_without_a_terminal(vz, machine):
    echo = (b"\x66\xba\xfd\x03\xec\xa8\x01\x74\xf7\x66\xba\xf8\x03\xec\xee\x3cq\x75\xed\xf4\xeb\xfd")
    machine("one", code=echo)  # gives back what it gets up to a q
    assert vz("console", "one").status == 1
    vz("start", "one")
    p = subprocess.Popen([VZ, "console", "one"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    p.stdin.write(b"hello\x01dq")  # Ctrl-A means nothing here
    p.stdin.flush()
    assert p.stdout.read(8) == b"hello\x01dq"
    vz("stop", "--now", "one")
    assert p.wait(30) == 0


def test_at_login(vz, made, home, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config 100%"))
    units = tmp_path / "config 100%" / "systemd" / "user"
    folder = made("one")
    assert vz("start", "--at-login", "one").status == 0
    assert info(vz, "one")["state"] == "running"
    unit = (units / "vz-one.service").read_text()
    assert f'stop --save "{folder}"' in unit
    assert f'start --foreground "{folder}"' in unit and "WantedBy=default.target" in unit
    wants = units / "default.target.wants" / "vz-one.service"
    assert wants.resolve() == units / "vz-one.service"
    assert vz("start", "--at-login", "one").status == 0  # again
    if os.path.exists("/usr/bin/systemd-analyze"):
        r = subprocess.run(["systemd-analyze", "verify", "--user", units / "vz-one.service"], stderr=subprocess.PIPE)
        assert b"vz-one.service" not in r.stderr, r
    vz("stop", "--now", "one")
    assert vz("rename", "one", "two").status == 0
    assert sorted(p.name for p in units.iterdir() if p.is_file()) == ["vz-two.service"]
    assert f'"{home}/two.vz"' in (units / "vz-two.service").read_text()
    assert vz("start", "--no-at-login", "two").status == 0
    assert info(vz, "two")["state"] == "stopped" and not list(units.glob("**/vz-*"))
    vz("start", "--at-login", "two")
    assert vz("delete", "--force", "two").status == 0
    assert not list(units.glob("**/vz-*"))


@pytest.mark.parametrize("options, what", [
    (("--user", "Big"), "small letter"), (("--user", "root"), "root"), (("--user", "a b"), "letters, digits"),
    (("--hostname", "x;y"), "letters, digits"), (("--packages", "a b"), "commas"), (("--ssh-key", "/etc/passwd"), "public key"),
])
def test_wishes_that_debian_cannot_have(vz, home, tmp_path, monkeypatch, options, what):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    r = vz("create", "one", "--from", "debian", *options)
    assert r.status == 1 and what in r.err, r
    assert os.listdir(home) == []


def user_data(folder):
    text = (folder / "first-start.user-data").read_text()
    assert text.startswith("#cloud-config\n")
    return json.loads(text.split("\n", 1)[1])


def test_an_image_with_cloud_init_gets_a_seed_with_the_agent(vz, home, kernel, tmp_path):
    image, key, script = tmp_path / "cloud.img", tmp_path / "id.pub", tmp_path / "script"
    image.write_bytes(bytes(1 << 20))
    key.write_text("ssh-ed25519 AAAA me@here\nssh-ed25519 BBBB other\n")
    script.write_text("#!/bin/sh\necho hi\n")
    (tmp_path / "password").write_text("secret\n")
    r = vz("create", "my_web", "--from", "cloud.img", "--kernel", kernel, "--user", "anna", "--ssh-key", "id.pub", "--script",
           "script", "--packages", "less,git", "--password-file", "password", cwd=tmp_path)
    assert (r.status, r.err) == (0, ""), r
    folder = home / "my_web.vz"
    disks = config(folder)["storageDevices"]
    assert [d["attachment"].get("userData") for d in disks] == [None, "first-start.user-data"]
    assert (folder / "first-start.user-data").stat().st_mode & 0o777 == 0o600  # there is a password in it
    data = user_data(folder)
    assert data["hostname"] == "my-web" and data["packages"] == ["less", "git", "openssh-server"]
    assert data["users"][0]["name"] == "anna" and data["users"][0]["plain_text_passwd"] == "secret"
    assert data["users"][0]["ssh_authorized_keys"] == ["ssh-ed25519 AAAA me@here", "ssh-ed25519 BBBB other"]
    assert data["runcmd"] == [["sh", "-c", "install -m 755 /var/lib/vz/vz-agent /usr/sbin/vz-agent && systemctl enable --now vz-agent"],
                              ["/var/lib/vz-first-start"]]
    files = {f["path"]: f for f in data["write_files"]}
    agent = files["/var/lib/vz/vz-agent"]
    assert agent["encoding"] == "gz+b64" and agent["permissions"] == "0755"
    with open(f"{BUILD}/agent/vz-agent", "rb") as f:
        assert gzip.decompress(base64.b64decode(agent["content"], validate=True)) == f.read()
    assert b"ExecStart=/usr/sbin/vz-agent" in gzip.decompress(
        base64.b64decode(files["/etc/systemd/system/vz-agent.service"]["content"], validate=True))
    assert vz("start", "my_web").status == 0
    vz("stop", "--now", "my_web")
    assert vz("clone", "my_web", "two").status == 0  # with a seed of its own
    assert user_data(home / "two.vz") == data


def test_wishes_by_a_file(vz, home, kernel, tmp_path):
    image, form = tmp_path / "cloud.img", tmp_path / "form.json"
    image.write_bytes(bytes(1 << 20))
    form.write_text('{"username": "me", "locale": "de_DE.UTF-8", "script": "#!/bin/sh\\n"}')
    assert vz("create", "one", "--from", image, "--kernel", kernel, "--provision", form).status == 0
    assert user_data(home / "one.vz")["locale"] == "de_DE.UTF-8"
    for options, what in ((("--provision", form, "--user", "x"), "--user: is for --provision's file"),
                          (("--provision", tmp_path / "none"), "No such file"), (("--ssh-key", form), "--user NAME"),
                          (("--user", "root"), "user name 'root'"), (("--user", "me", "--packages", "a b"), "package 'a b'"),
                          (("--user", "me", "--ssh-key", tmp_path / "none"), "No such file")):
        r = vz("create", "two", "--from", image, "--kernel", kernel, *options)
        assert r.status in (1, 2) and what in r.err, r
    form.write_text('{"username": "me", "nonsense": 1}')
    r = vz("create", "two", "--from", image, "--kernel", kernel, "--provision", form)
    assert r.status == 1 and "nonsense" in r.err and os.listdir(home) == ["one.vz"], r
    r = vz("create", "two", "--kernel", kernel, "--user", "me")
    assert r.status in (1, 2) and "--from" in r.err, r


# ---- Crashes ------------------------------------------------------------------------------------

def kill_at_random(argv, rng, longest):
    p = subprocess.Popen(argv, stderr=subprocess.DEVNULL)
    time.sleep(rng.uniform(0, longest))
    p.kill()
    p.wait()


def check_all(vz, home, names):
    """Every machine that is there is whole, and starts; no other name is taken."""
    there = set(vz("list", "--names").out.split())
    assert there <= names, there
    for name in there:
        r = vz("start", name)
        assert r.status == 0, r
        assert vz("stop", "--now", name).status == 0
    return there


@pytest.mark.parametrize("seed", range(3))
def test_killed_at_any_moment(vz, made, home, kernel, seed):
    rng = random.Random(seed)
    made("keep")
    for i in range(12):
        took = time.monotonic()
        vz("clone", "keep", "time")
        longest = time.monotonic() - took
        vz("delete", "time")
        for argv in ((VZ, "create", "new", "--kernel", kernel, "--disk", "4M"), (VZ, "clone", "keep", "copy"),
                     (VZ, "set", "keep", f"memory={16 + i}M"), (VZ, "rename", "copy", "other"),
                     (VZ, "delete", "new"), (VZ, "delete", "copy", "other")):
            kill_at_random(argv, rng, longest * 1.2)
        there = check_all(vz, home, {"keep", "new", "copy", "other"})
        assert "keep" in there
        for name in there - {"keep"}:
            assert vz("delete", name).status == 0
    made("last")  # sweeps
    assert sorted(os.listdir(home)) == ["keep.vz", "last.vz"]


COUNTING = bytes.fromhex("31c0" "ffc0" "66baf803" "ee" "b900000400" "ffc9" "75fc" "ebee")  # writes 1, 2, 3, ... to COM1


def pid_of(vz, name):
    return json.loads(vz("inspect", name).out).get("pid")


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass  # it has ended by itself


def settle(vz, name, end):
    """Until it is off, by end(PID) if it runs on. How it is then."""
    deadline = time.monotonic() + 60
    while (i := json.loads(vz("inspect", name).out))["state"] not in ("saved", "stopped"):
        assert time.monotonic() < deadline, i
        if i.get("pid"):
            end(i["pid"])
        time.sleep(0.02)
    return i["state"]


def start_again(vz, name):
    """The process that a killed `vz start` has left may come up late: end it."""
    deadline = time.monotonic() + 60
    while (r := vz("start", name)).status != 0:
        assert "the machine runs" in r.err and time.monotonic() < deadline, r
        settle(vz, name, kill)


@pytest.mark.parametrize("seed", range(2))
def test_killed_while_it_is_saved_and_goes_on(vz, home, machine, seed):
    """The command or the machine's process: the state is whole or not there, and the machine starts."""
    rng = random.Random(seed)
    folder = machine("one", "--serial", "stdio", code=COUNTING)
    assert vz("start", "one").status == 0
    took = time.monotonic()
    assert vz("save", "one").status == 0
    longest = (time.monotonic() - took) * 1.2
    ends = set()
    for i in range(12):
        start_again(vz, "one")
        pid = pid_of(vz, "one")
        p = subprocess.Popen([VZ, "save", "one"], stderr=subprocess.DEVNULL)
        time.sleep(rng.uniform(0, longest))
        if i % 2:
            kill(pid)
        else:
            p.kill()  # who asked; the machine is saved all the same
        p.wait()
        ends.add(settle(vz, "one", lambda pid: vz("save", "one")))  # it may not have got to asking
        if rng.random() < 0.5:
            kill_at_random([VZ, "start", "one"], rng, longest)  # and while it goes on
            settle(vz, "one", kill)
    assert "saved" in ends
    # Nothing half there: no hidden files of a save that did not end.
    start_again(vz, "one")
    assert vz("save", "one").status == 0
    assert sorted(os.listdir(folder)) == ["config.json", "console.log", "kernel", "last-run.json", "lock", "saved.state",
                                          "vz.log"], os.listdir(folder)


def test_a_folder_that_others_write_is_refused(vz, made):
    folder = made("one")
    folder.chmod(0o777)
    r = vz("start", "one")
    assert r.status == 1 and "everybody may write into it" in r.err and "chmod o-w" in r.err, r
    folder.chmod(0o755)
    assert vz("start", "one").status == 0


def test_links_in_place_of_files_are_not_followed(vz, made, tmp_path):
    """Somebody's copy of a machine may have them: nothing outside of the folder is written."""
    folder, precious = made("one"), tmp_path / "precious"
    precious.write_text("precious")
    for name in ("vz.log", "console.log", "last-run.json", "control.sock", "saved.state", "lock"):
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(precious)
        vz("start", "one")
        vz("save", "one")
        vz("stop", "--now", "one")
        assert precious.read_text() == "precious", name
        (folder / name).unlink(missing_ok=True)
    (folder / "config.json").rename(tmp_path / "c.json")
    (folder / "config.json").symlink_to(tmp_path / "c.json")
    before = (tmp_path / "c.json").read_bytes()
    vz("set", "one", "cpus=1")
    assert (tmp_path / "c.json").read_bytes() == before


def test_interrupted_create_of_debian_leaves_nothing(vz, home, tmp_path, monkeypatch):
    """The signal comes to vz alone, as from a supervisor: what makes the system ends with it, and tidies up."""
    tools, cache = tmp_path / "bin", tmp_path / "cache"
    tools.mkdir()
    (tools / "mmdebstrap").write_text(f"#!/bin/sh\ntouch $TMPDIR/junk\nsleep 1000 &\necho $! >{tmp_path}/pid\nwait\n")
    (tools / "mmdebstrap").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    (cache / "vz").mkdir(parents=True)
    if os.path.exists(f"{ROOT}/cache/apt"):  # lists of packages that are there save a minute
        (cache / "vz" / "apt").symlink_to(f"{ROOT}/cache/apt")
    for options, number in ((), signal.SIGINT), (("--packages", "less"), signal.SIGTERM):
        p = subprocess.Popen([VZ, "create", "one", "--from", "debian", *options], stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 120
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            if p.poll() is not None and "reaches no Debian sources" in p.stderr.read():
                pytest.skip("apt has no sources here")
            assert p.returncode is None and time.monotonic() < deadline, p.returncode
            time.sleep(0.05)
        p.send_signal(number)
        assert p.wait(60) == -number
        pid = int((tmp_path / "pid").read_text())
        assert not os.path.exists(f"/proc/{pid}") or "State:\tZ" in open(f"/proc/{pid}/status").read()
        assert os.listdir(home) == [] and sorted(os.listdir(cache / "vz")) in (
            ["apt", "debian.img.lock"], ["debian.img.lock"])
        (tmp_path / "pid").unlink()


def test_interrupted_create_leaves_nothing(vz, home, kernel, server):
    server.limit, server.data = 1000, server.data
    p = subprocess.Popen([VZ, "create", "one", "--from", server.url, "--kernel", kernel], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 20
    while not server.log and time.monotonic() < deadline:
        time.sleep(0.05)
    p.send_signal(signal.SIGINT)
    assert p.wait(30) == -signal.SIGINT
    assert os.listdir(home) == []


def test_full_disk(vz, kernel, tmp_path, monkeypatch):
    """On a small file system of its own, in a mount namespace of its own."""
    script = f"""
        mount -t tmpfs -o size=2m tmpfs {tmp_path} || exit 77
        export VZ_HOME={tmp_path}/home
        {VZ} create one --kernel $0 --disk 1M || exit 10
        dd if=/dev/zero of={tmp_path}/fill bs=64k 2>/dev/null
        {VZ} create two --kernel $0 --disk 1M && exit 11
        {VZ} clone --full one three && exit 12
        {VZ} set one cpus=1 memory=32M; {VZ} inspect one >/dev/null || exit 13
        [ "$(ls -A {tmp_path}/home)" = one.vz ] || exit 14
        {VZ} start one || exit 15
        {VZ} save one && exit 18
        {VZ} inspect one | grep -q '"state": "running"' || exit 19
        [ ! -e {tmp_path}/home/one.vz/saved.state ] || exit 20
        {VZ} stop --now one || exit 21
        {VZ} delete one || exit 16
        [ -z "$(ls -A {tmp_path}/home)" ] || exit 17
    """
    spare = tmp_path.parent / "kernel-for-full-disk"
    spare.write_bytes(kernel.read_bytes())
    r = subprocess.run(["unshare", "--mount", "--map-root-user", "sh", "-c", script, str(spare)], stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE)
    if r.returncode == 77 or b"unshare" in r.stderr:
        pytest.skip("no mount namespaces here")
    assert r.returncode == 0, (r.returncode, r.stderr.decode())
    assert b"No space left on device" in r.stderr
