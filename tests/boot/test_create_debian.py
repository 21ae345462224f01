# SPDX-License-Identifier: MIT
"""`vz create --from debian` with wishes, to its end: packages are loaded, and the guest is asked what it has become. Some five
minutes and the network, so only where VZ_LONG=1 asks for it."""
import os
import subprocess

import pytest

from conftest import VZ

pytestmark = pytest.mark.skipif(os.environ.get("VZ_LONG") != "1", reason="takes minutes and the network: VZ_LONG=1")


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("VZ_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    yield tmp_path / "home"
    for name in subprocess.run([VZ, "list", "--names"], stdout=subprocess.PIPE, text=True).stdout.split():
        subprocess.run([VZ, "delete", "--force", name])


def ok(*words, **more):
    r = subprocess.run([VZ, *map(str, words)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                       text=True, timeout=1200, **more)
    assert r.returncode == 0, r
    return r.stdout


def test_wishes(home, tmp_path):
    key = tmp_path / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    (tmp_path / "script").write_text("#!/bin/sh\necho done >/root/scripted\n")
    (tmp_path / "password").write_text("secret\n")
    ok("create", "web", "--from", "debian", "--user", "anna", "--ssh-key", "id.pub", "--packages", "less", "--script", "script",
       "--password-file", "password", cwd=tmp_path)
    ok("start", "web")
    ok("wait", "web", "--timeout", "10m")
    out = ok("exec", "web", "--", "sh", "-c", "hostname; id -nG anna; cat /root/scripted; command -v less; "
             "grep -c '^anna:[$]' /etc/shadow; systemctl is-system-running; ls /etc/ssh/*_key")
    assert out.split() == ["web", "anna", "sudo", "done", "/usr/bin/less", "1", "running", "/etc/ssh/ssh_host_ecdsa_key",
                           "/etc/ssh/ssh_host_ed25519_key"], out
    ok("wait", "web", "--for", "ssh", "--timeout", "2m")
    assert ok("ssh", "web", "-i", key, "--", "id", "-un") == "anna\n"
    ok("stop", "web")
    before = out
    ok("clone", "web", "two")
    ok("start", "two")
    ok("wait", "two", "--for", "ssh", "--timeout", "10m")
    while (home / "two.vz" / "identity.json").exists():
        ok("exec", "two", "--", "sleep", "1")
    assert ok("exec", "two", "--", "hostname") == "two\n" and before
    assert ok("ssh", "two", "-i", key, "--", "hostname") == "two\n"  # by a host key of its own


def test_a_form_by_cloud_init(home, tmp_path):
    (tmp_path / "form.json").write_text('{"username": "berta", "password": "secret", "hostname": "formed", "packages": ["less"], '
                                        '"script": "#!/bin/sh\\necho done >/root/scripted\\n"}')
    ok("create", "web", "--from", "debian", "--provision", "form.json", cwd=tmp_path)
    ok("start", "web")
    ok("wait", "web", "--timeout", "20m")
    ok("exec", "web", "--", "cloud-init", "status", "--wait")
    out = ok("exec", "web", "--", "sh", "-c", "hostname; id -un berta; cat /root/scripted; command -v less")
    assert out.split() == ["formed", "berta", "done", "/usr/bin/less"], out
