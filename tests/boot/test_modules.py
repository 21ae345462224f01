# SPDX-License-Identifier: MIT
"""The kernel's own modules as tests: each of its ciphers and hashes checks itself when it is
loaded, the vector versions against the plain ones."""
import re
import subprocess

import pytest

import boots

# In the order of loading; what they need is found out.
MODULES = ["aesni_intel", "ghash_clmulni_intel", "sha1_ssse3", "sha256_ssse3", "sha512_ssse3",
           "crc32c_intel", "crc32_pclmul", "crct10dif_pclmul", "chacha_x86_64", "poly1305_x86_64",
           "nhpoly1305_avx2", "curve25519_x86_64", "camellia_aesni_avx2", "serpent_avx2",
           "twofish_avx_x86_64", "aegis128_aesni", "des3_ede_x86_64", "sha3_generic", "raid6_pq"]

SCRIPT = r"""
dmesg -n 1
for m in @FILES@; do insmod /$m || echo "$m: failed"; done
echo "== crypto"; cat /proc/crypto
echo "== dmesg"; dmesg
poweroff -f
"""


@pytest.fixture(scope="module")
def module_files(kernels, tmp_path_factory):
    """name -> (file, names of the modules it needs) of the cloud kernel"""
    folder = tmp_path_factory.mktemp("modules")
    package = kernels["cloud"].replace("vmlinuz", "package.deb")
    files = subprocess.run(["dpkg-deb", "--fsys-tarfile", package], check=True,
                           stdout=subprocess.PIPE).stdout
    subprocess.run(["tar", "-x", "-C", folder, "--wildcards", "./lib/*/crypto/*.ko",
                    "./lib/*/kernel/lib/*.ko"], input=files, check=True)
    modules = {}
    for path in folder.rglob("*.ko"):
        needs = re.search(rb"\0depends=([^\0]*)\0", b"\0" + path.read_bytes())
        modules[path.stem.replace("-", "_")] = (path, [
            n.replace("-", "_") for n in needs.group(1).decode().split(",") if n] if needs else [])
    return modules


def in_order(names, modules):
    order = []

    def add(name):
        if name in modules and name not in order:
            for needed in modules[name][1]:
                add(needed)
            order.append(name)

    for name in names:
        assert name in modules, name
        add(name)
    return order


def test_ciphers_and_hashes_check_themselves(kernels, initramfs, module_files):
    order = in_order(MODULES, module_files)
    script = SCRIPT.replace("@FILES@", " ".join(f"{n}.ko" for n in order))
    adds = [(module_files[n][0], f"{n}.ko") for n in order]
    r = boots.run(kernels["cloud"], initramfs(script, *adds), "--cpus", 2)
    assert r.status == 0 and ": failed" not in r.out, r
    entries = [dict(re.findall(r"^(\S+) *: (.*)$", e, re.M)) for e in
               r.section("crypto").strip().split("\n\n")]
    assert len(entries) > 60
    assert {e["driver"] for e in entries if e.get("selftest") != "passed"} == set()
    for driver in ("xts-aes-aesni", "sha256-ni", "sha512-avx2", "crc32c-intel", "ghash-clmulni"):
        assert any(driver in e["driver"] for e in entries), driver
    assert boots.trouble(r.section("dmesg")) == []
