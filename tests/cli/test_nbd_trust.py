# SPDX-License-Identifier: MIT
"""Whom a disk's connection in TLS trusts: who is named, or whom the host trusts, and nobody else, whatever libnbd there is."""
import shutil
import socket
import subprocess
import time

import pytest

from test_sandbox import ADD_ONE

pytestmark = pytest.mark.skipif(not shutil.which("nbdkit") or not shutil.which("openssl"), reason="no nbdkit, or no openssl")


def openssl(*args, cwd):
    subprocess.run(["openssl", *args], cwd=cwd, check=True, capture_output=True)


def make_authority(folder, name):
    folder.mkdir()
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca-cert.pem", "-subj", f"/CN={name}",
            "-days", "2", "-addext", "keyUsage=keyCertSign,cRLSign", cwd=folder)
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Its port, and the folder of who has certified it, as "localhost"."""
    folder = make_authority(tmp_path_factory.mktemp("tls") / "own", "own")
    (folder / "extensions").write_text("subjectAltName=DNS:localhost\nextendedKeyUsage=serverAuth\n")
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", "server-key.pem", "-out", "request", "-subj", "/CN=localhost", cwd=folder)
    openssl("x509", "-req", "-in", "request", "-CA", "ca-cert.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out", "server-cert.pem",
            "-days", "2", "-extfile", "extensions", cwd=folder)
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    p = subprocess.Popen(["nbdkit", "-f", "-p", str(port), "--tls=require", f"--tls-certificates={folder}", "memory", "1M"])
    deadline = time.monotonic() + 60
    while socket.socket().connect_ex(("127.0.0.1", port)):
        assert time.monotonic() < deadline and p.poll() is None
        time.sleep(0.1)
    yield port, folder
    p.kill()
    p.wait()


@pytest.fixture
def run(vz, tiny_kernel):
    return lambda uri: vz("run", "--kernel", tiny_kernel(ADD_ONE), "--accel", "soft", "--debug-exit", "--disk", uri)


def test_who_is_named_is_trusted(run, server):
    port, folder = server
    r = run(f"nbds://localhost:{port}/?tls-certificates={folder}")
    assert r.status == 85, r


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_nobody_else_is(run, server, tmp_path, host):
    """By another authority, by another name."""
    port, folder = server
    other = make_authority(tmp_path / "other", "other") if host == "localhost" else folder
    r = run(f"nbds://{host}:{port}/?tls-certificates={other}")
    assert r.status == 1 and "certificate" in r.err, r


def test_a_folder_without_an_authority(run, server, tmp_path):
    r = run(f"nbds://localhost:{server[0]}/?tls-certificates={tmp_path}")
    assert r.status == 1 and "ca-cert.pem" in r.err, r


def test_who_is_trusted_by_nobody_here(run, server):
    """Older ones of libnbd would take any certificate: they are not used for that."""
    r = run(f"nbds://localhost:{server[0]}/")
    assert r.status == 1 and "certificate" in r.err, r
    assert run(f"nbds://localhost:{server[0]}/?tls-verify-peer=false").status == 85
