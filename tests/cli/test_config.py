# SPDX-License-Identifier: MIT
"""Configurations: flags shown as JSON, JSON files run, every problem on a line of its own."""
import json

import pytest

from conftest import ROOT


def printed(vz, *args):
    r = vz("run", *args, "--print-config")
    assert r.status == 0 and r.err == "", r
    return json.loads(r.out)


def test_flags_as_json(vz):
    c = printed(vz, "--kernel", "k", "--initrd", "i", "--cmdline", "a b", "--cpus", 2, "--memory",
                "64M", "--serial", "file:log", "--console", "pty", "--no-reboot", "--rng",
                "--disk", "d.img,id=root,cache=uncached,sync=none", "--cdrom", "c.iso",
                "--net", "nat,mac=02:00:00:00:00:09", "--forward", "tcp:2222:22",
                "--forward", "udp:[::1]:53:54", "--net", "tap=tap3")
    assert c["bootLoader"] == {"type": "linux", "kernel": "k", "initrd": "i", "cmdline": "a b"}
    assert (c["cpus"], c["memory"], c["stopAtReset"]) == (2, 64 << 20, True)
    assert [p["type"] for p in c["serialPorts"]] == ["uart", "virtio"]
    assert c["storageDevices"][0]["identifier"] == "root"
    assert c["storageDevices"][0]["attachment"]["synchronization"] == "none"
    assert c["storageDevices"][1]["attachment"]["readOnly"] is True
    assert c["networkDevices"][0]["mac"] == "02:00:00:00:00:09"
    assert c["networkDevices"][0]["attachment"]["forwards"] == [
        {"protocol": "tcp", "host": "127.0.0.1", "hostPort": 2222, "guestPort": 22},
        {"protocol": "udp", "host": "::1", "hostPort": 53, "guestPort": 54}]
    assert c["networkDevices"][1]["attachment"] == {"type": "tap", "interface": "tap3"}
    assert len(c["entropyDevices"]) == 1


def test_sockets_and_balloon_as_json(vz):
    c = printed(vz, "--kernel", "k", "--vsock", "--balloon")
    assert c["socketDevices"] == [{"type": "virtioSocket", "guestCid": 3, "forwards": []}]
    assert c["memoryBalloonDevices"] == [{"type": "virtioBalloon", "freePageReporting": True,
                                          "deflateOnOutOfMemory": True}]
    c = printed(vz, "--kernel", "k", "--vsock=cid=9,listen=7:unix:/a", "--balloon",
                "64M,min=32M,reporting=off,oom=off", "--vsock", "connect=8:unix:b:c")
    assert c["socketDevices"] == [{"type": "virtioSocket", "guestCid": 9, "forwards": [
        {"to": "host", "port": 7, "path": "/a"}, {"to": "guest", "port": 8, "path": "b:c"}]}]
    assert c["memoryBalloonDevices"] == [
        {"type": "virtioBalloon", "freePageReporting": False, "deflateOnOutOfMemory": False,
         "targetSize": 64 << 20, "minimumSize": 32 << 20}]


def test_two_commas_are_one_of_the_path(vz):
    c = printed(vz, "--boot-disk", "/d,,1/a,,,,b,ro", "--disk", ",,x,,,id=1,,2", "--cdrom", "a,,",
                "--vsock", "listen=7:unix:/s,,1,connect=8:unix:,,")
    paths = [d["attachment"]["path"] for d in c["storageDevices"]]
    assert c["bootLoader"]["disk"] == "/d,1/a,,b"
    assert paths == ["/d,1/a,,b", ",x,", "a,"]
    assert c["storageDevices"][0]["attachment"]["readOnly"] is True
    assert c["storageDevices"][1]["identifier"] == "1,2"
    assert [f["path"] for f in c["socketDevices"][0]["forwards"]] == ["/s,1", ","]
    c = printed(vz, "--kernel", "k,k", "--serial", "file:a,b", "--console", "unix:c,d")
    assert c["bootLoader"]["kernel"] == "k,k"
    assert [p["attachment"]["path"] for p in c["serialPorts"]] == ["a,b", "c,d"]


def test_from_takes_an_image_too(vz, tmp_path, monkeypatch):
    """As an option for disks has it; but what has a machine's name is the machine."""
    monkeypatch.setenv("VZ_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    image = tmp_path / "a,b.img"
    image.write_bytes(bytes(1 << 20))
    for words, like in ((["--from", image], ["--boot-disk", f"{tmp_path}/a,,b.img"]),
                        (["--from", "a,b.img", "--efi=store"], ["--disk", "a,,b.img", "--efi=store"])):
        one, other = (printed(vz, *w) for w in (words, like))
        assert one.pop("platform") and other.pop("platform") and one == other  # whose identifiers are random
    (tmp_path / "web").touch()
    (tmp_path / "home/web.vz").mkdir(parents=True)
    r = vz("run", "--print-config", "--from", "web")
    assert r.status == 1 and "there is no config.json" in r.err, r


def test_a_value_that_looks_like_config_is_a_value(vz, tmp_path):
    assert printed(vz, "--kernel", "k", "--cmdline", "--config")["bootLoader"]["cmdline"] == "--config"
    path = tmp_path / "config.json"
    path.write_text("{}")
    r = vz("run", "--config", path, "--config", tmp_path / "other", "--print-config")
    assert r.status != 0 and r.err.count("\n") == 1, r


def test_vftools_flags_mean_the_same(vz):
    c = printed(vz, "-k", "k", "-i", "i", "-a", "x", "-d", "d", "-c", "c", "-p", 3, "-m", 512, "-t", 1)
    assert c["bootLoader"] == {"type": "linux", "kernel": "k", "initrd": "i", "cmdline": "x"}
    assert (c["cpus"], c["memory"]) == (3, 512 << 20)
    assert [d["attachment"]["readOnly"] for d in c["storageDevices"]] == [False, True]
    assert c["serialPorts"][0]["attachment"] == {"type": "pty"}


def test_a_printed_configuration_reads_back_the_same(vz, tmp_path):
    first = printed(vz, "--kernel", "k", "--net", "nat", "--disk", "d", "--rng")
    path = tmp_path / "config.json"
    path.write_text(json.dumps(first))
    assert printed(vz, "--config", path) == first
    assert printed(vz, "--config", path, "--memory", "64M")["memory"] == 64 << 20


def test_every_problem_has_a_line(vz, tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"cpus": 0, "memory": 5000000,
                                "bootLoader": {"type": "linux", "kernel": str(tmp_path / "none")},
                                "memoryBalloonDevices": [{"type": "virtioBalloon"}] * 2}))
    r = vz("run", "--config", path)
    assert r.status == 2 and r.out == "", r
    lines = r.err.splitlines()
    for name in ("cpus: ", "memory: ", "bootLoader.kernel: ", "memoryBalloonDevices[1]: "):
        assert any(line.startswith("vz: " + name) for line in lines), (name, r)


def test_print_config_says_what_run_would_refuse(vz, tmp_path):
    mac = "02:00:00:00:00:01"
    r = vz("run", "--kernel", "k", "--net", f"nat,mac={mac}", "--net", f"nat,mac={mac}",
           "--print-config")
    assert r.status == 1 and len(json.loads(r.out)["networkDevices"]) == 2, r
    assert r.err == f"vz: networkDevices[1]: MAC address {mac} is that of networkDevices[0] too\n", r


def test_check_looks_at_files_too(vz, tmp_path):
    r = vz("run", "--kernel", tmp_path / "none", "--check")
    assert r.status == 1 and r.out == "" and r.err.startswith("vz: bootLoader.kernel: "), r
    r = vz("run", "--kernel", "/dev/null", "--check")
    assert (r.status, r.out, r.err) == (0, "", ""), r


def test_a_configuration_from_standard_input(vz):
    form = json.dumps({"cpus": 2, "bootLoader": {"type": "linux", "kernel": "k"}})
    r = vz("run", "--config", "-", "--name", "web", "--print-config", stdin=form.encode())
    assert r.status == 0 and (json.loads(r.out)["cpus"], json.loads(r.out)["label"]) == (2, "web"), r
    r = vz("run", "--config", "-", stdin=b"{")
    assert r.status == 1 and r.err.startswith("vz: standard input: line 1"), r


@pytest.mark.parametrize("text, size", [("64M", 64), ("64MB", 64), ("64MiB", 64), ("64m", 64), ("0.5G", 512),
                                        ("1.5G", 1536), ("1GiB", 1024), ("67108864", 64)])
def test_sizes_as_people_write_them(vz, text, size):
    assert printed(vz, "--kernel", "k", "--memory", text)["memory"] == size << 20


def test_members_are_spelled_as_in_json_too(vz):
    c = printed(vz, "--kernel", "k", "--disk",
                "d,read-only,caching=cached,synchronization=fsync,identifier=a", "--balloon",
                "target-size=64M,free-page-reporting=off", "--net", "nat,host-loopback,forward=udp:5:6")
    assert c["storageDevices"] == [{"type": "virtioBlock", "identifier": "a", "blockSize": 512, "limitOperations": 0,
                                    "limitBurst": 100, "attachment": {
        "type": "diskImage", "path": "d", "readOnly": True, "caching": "cached",
        "synchronization": "fsync", "format": "automatic", "ephemeral": False}}]
    assert c["memoryBalloonDevices"][0]["targetSize"] == 64 << 20
    assert c["memoryBalloonDevices"][0]["freePageReporting"] is False
    nat = c["networkDevices"][0]["attachment"]
    assert nat == {"type": "nat", "hostLoopback": True, "forwards": [
        {"protocol": "udp", "host": "127.0.0.1", "hostPort": 5, "guestPort": 6}]}


def test_options_change_what_a_file_says(vz, tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(printed(vz, "--kernel", "k", "--initrd", "i", "--net", "nat,mac=02:00:00:00:00:01",
                                       "--vsock", "cid=9", "--no-reboot")))
    c = printed(vz, "--config", path, "--serial", "null", "--forward", "tcp:1:2", "--vsock",
                "listen=7:unix:/a", "--kernel", "other")
    assert [p["attachment"]["type"] for p in c["serialPorts"]] == ["null"]
    assert c["networkDevices"][0]["mac"] == "02:00:00:00:00:01" and len(c["networkDevices"]) == 1
    assert len(c["networkDevices"][0]["attachment"]["forwards"]) == 1
    assert c["socketDevices"][0]["guestCid"] == 9 and len(c["socketDevices"][0]["forwards"]) == 1
    assert c["bootLoader"] == {"type": "linux", "kernel": "other", "cmdline": ""}
    assert c["stopAtReset"] is True


def test_mac_is_for_the_first_card_without(vz):
    mac = "02:00:00:00:00:09"
    c = printed(vz, "--kernel", "k", "--mac", mac, "--net", "nat,mac=02:00:00:00:00:01", "--net", "tap=t")
    assert [d["mac"] for d in c["networkDevices"]] == ["02:00:00:00:00:01", mac]
    c = printed(vz, "--kernel", "k", "--mac", mac, "--forward", "tcp:1:2")
    assert [(d["mac"], d["attachment"]["type"]) for d in c["networkDevices"]] == [(mac, "nat")]
    r = vz("run", "--kernel", "k", "--mac", mac, "--net", f"nat,mac={mac}")
    assert r.status == 2 and "--mac" in r.err, r


def test_several_consoles(vz):
    c = printed(vz, "--kernel", "k", "--console", "null", "--console", "stdio", "--console", "pty")
    assert [(p["type"], p["attachment"]["type"]) for p in c["serialPorts"]] == [
        ("virtio", "null"), ("virtio", "stdio"), ("virtio", "pty")]
    r = vz("run", "--kernel", "k", *["--console", "null"] * 17)
    assert r.status == 2 and r.err.count("\n") == 1 and "--console" in r.err, r


@pytest.mark.parametrize("text, named", [
    ('{"bootLoader": {"type": "linux", "disk": "d", "kernel": "k"}}', "bootLoader: "),
    ('{"serialPorts": [{"type": "uart", "attachment": {"type": "file", "path": ""}}]}',
     "serialPorts[0].attachment: "),
    ('{"networkDevices": [{"type": "virtioNet", "attachment": {"type": "tap", "interface": ""}}]}',
     "networkDevices[0].attachment: "),
])
def test_values_that_no_object_takes_are_named(vz, tmp_path, text, named):
    path = tmp_path / "config.json"
    path.write_text(text)
    r = vz("run", "--config", path)
    assert r.status == 1 and r.err.count("\n") == 1 and named in r.err, r


@pytest.mark.parametrize("text, named", [("", "line 1"), ("{}x", "line 1"), ('{"cpu": 1}', "cpu"),
                                         ('{"serialPorts": [{"type": "x"}]}', "serialPorts[0].type")])
def test_bad_files_are_refused(vz, tmp_path, text, named):
    path = tmp_path / "config.json"
    path.write_text(text)
    r = vz("run", "--config", path)
    assert r.status == 1 and r.err.count("\n") == 1 and named in r.err and str(path) in r.err, r


@pytest.mark.parametrize("args, named", [
    (["--disk", "a,b"], "--disk"), (["--disk", ""], "--disk"), (["--disk", "a,sync=maybe"], "--disk"),
    (["--net", "wifi"], "--net"), (["--net", "nat,mac=1"], "--net"), (["--net", "fd=x"], "--net"),
    (["--mac", "02:00:00"], "--mac"), (["--forward", "tcp:1"], "--forward"),
    (["--forward", "sctp:1:2"], "--forward"), (["--forward", "tcp:0:2"], "--forward"),
    (["--net", "tap=t", "--forward", "tcp:1:2"], "--forward"), (["-t", "2"], "-t"),
    (["--vsock", "cid=2"], "--vsock"), (["--vsock", "listen=1"], "--vsock"),
    (["--vsock", "listen=x:unix:y"], "--vsock"), (["--vsock", "connect=1:tcp:y"], "--vsock"),
    (["--balloon", "lots"], "--balloon"), (["--balloon", "reporting=maybe"], "--balloon"),
    (["--net", "nat"] * 17, "--net"), (["--forward", "tcp:1:2"] * 65, "--forward"),
    (["--uuid", "1"], "--uuid"), (["--console", "x"], "--console"), (["-m"], "-m"),
])
def test_wrong_device_options(vz, args, named):
    r = vz("run", "--kernel", "k", *args)
    assert r.status == 2 and r.err.count("\n") == 1 and named in r.err, r
