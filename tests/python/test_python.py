# SPDX-License-Identifier: MIT
"""The Python package: configurations, every way to wait for a machine, a guest that boots."""
import asyncio
import gc
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

import guest_drivers

from conftest import BUILD, ROOT

os.environ["VZ_LIBRARY"] = f"{BUILD}/src/libvz.so"
pytestmark = [
    pytest.mark.skipif("VZ_SANITIZER" in os.environ, reason="the interpreter is not instrumented"),
    pytest.mark.skipif(not os.path.exists(f"{BUILD}/python/vz/_vz.py"),
                       reason="python3-cffi was missing when this was built")]
LIMIT_S = 600


@pytest.fixture(scope="module")
def vz():
    import sys
    sys.path.insert(0, f"{BUILD}/python")
    import vz
    return vz


def test_usb_devices_come_and_go(vz, kernels, tmp_path):
    path = tmp_path / "disc.iso"
    path.write_bytes(bytes(1 << 20))
    drive = {"type": "usbCdrom", "attachment": {"type": "diskImage", "path": str(path)}}
    m = vz.Machine(vz.Config.from_json({"memory": 256 << 20, "continueAtPanic": True,
                                        "bootLoader": {"type": "linux", "kernel": str(kernels["cloud"])},
                                        "usbControllers": [{"type": "xhci"}]}))
    with pytest.raises(vz.Error):
        m.attach_usb_device(drive)  # it does not run
    m.start()
    with pytest.raises(vz.Error) as e:
        m.attach_usb_device({"type": "usbHost", "device": "255-255.255"})  # no host has it
    assert e.value.code in (vz.ErrorCode.DEVICE_NOT_FOUND, vz.ErrorCode.UNSUPPORTED)
    m.attach_usb_device(drive)
    device = m.usb_devices()[0]
    assert device.kind == "cdrom" and device.attached and device.has_disc
    m.set_disc(device.storage_device, None)
    assert not m.usb_devices()[0].has_disc
    m.detach_usb_device(device.uuid)
    assert m.usb_devices() == []
    m.stop()
    try:
        assert all(d.device and d.megabits for d in vz.host_usb_devices())
    except vz.Error as none:
        assert none.code == vz.ErrorCode.DEVICE_NOT_FOUND


@pytest.fixture
def talk(vz, kernels, initramfs):
    """talk(SCRIPT, **members): a Config whose guest runs the script, and a Console to it."""
    opened = []

    def make(script, files=(), **members):
        console = Console()
        opened.append(console)
        config = vz.Config(
            memory=256 * vz.MiB,
            boot_loader=vz.linux(kernels["cloud"], initramfs(script + "\npoweroff -f\n", *files),
                                 "console=ttyS0 quiet"),
            serial_ports=[vz.uart(vz.fd(console.guest_in, console.guest_out))],
            **members)
        return config, console

    yield make
    for console in opened:
        console.close()


class Console:
    """Both ends of a serial port."""

    def __init__(self):
        self.guest_in, self.to = os.pipe()
        self.from_, self.guest_out = os.pipe()
        self.seen = b""

    def until(self, word):
        while word not in self.seen:
            readable, _, _ = select.select([self.from_], [], [], LIMIT_S)
            assert readable, f"expected {word}, saw {self.seen}"
            self.seen += os.read(self.from_, 65536)
        return self.seen

    def send(self, data):
        os.write(self.to, data)

    def close(self):
        for fd in (self.guest_in, self.to, self.from_, self.guest_out):
            os.close(fd)


def test_version(vz):
    assert vz.__version__.split(".")[0].isdigit()


def test_config_is_the_json_form(vz):
    config = vz.Config(
        cpus=2, memory=64 * vz.MiB, boot_loader=vz.linux("k", cmdline="a b"),
        serial_ports=[vz.uart(vz.stdio()), vz.virtio_serial(vz.file("log", append=True))],
        storage_devices=[vz.block(vz.disk_image("d.img", read_only=True), identifier="root")],
        network_devices=[vz.network(vz.nat([vz.forward("tcp", 2222, 22)])), vz.network()],
        console_devices=[vz.console(vz.console_port("agent", vz.unix("s")))],
        entropy_devices=[vz.entropy()])
    form = config.to_dict()
    assert (form["cpus"], form["memory"]) == (2, 64 << 20)
    assert form["bootLoader"] == {"type": "linux", "kernel": "k", "cmdline": "a b"}
    assert form["serialPorts"][1]["attachment"] == {"type": "file", "path": "log", "append": True}
    assert form["storageDevices"][0]["attachment"]["readOnly"] is True
    assert form["networkDevices"][0]["attachment"]["forwards"][0]["hostPort"] == 2222
    assert form["consoleDevices"][0]["ports"][0]["name"] == "agent"
    assert vz.Config.from_json(form).to_dict() == form
    assert vz.Config.from_json(json.dumps(form)).to_dict() == form


def test_objects_are_made_from_the_tables(vz):
    disk = vz.DiskImage("d.img", read_only=True)
    assert disk == vz.disk_image("d.img", True) == {"type": "diskImage", "path": "d.img", "readOnly": True}
    assert repr(disk) == "DiskImage(path='d.img', read_only=True)"
    assert "the guest cannot write to it" in vz.DiskImage.__doc__
    told = {o["name"] for o in vz.schema()["objects"]}
    assert told and all(issubclass(getattr(vz, "".join(w.capitalize() for w in n.split("_"))), vz.Object)
                        for n in told)
    with open(os.devnull) as f:
        assert vz.fd(f).get("readDescriptor") == f.fileno()


def test_objects_of_a_package_that_was_made_without_the_library(vz, tmp_path):
    shutil.copytree(f"{BUILD}/python/vz", tmp_path / "vz", ignore=shutil.ignore_patterns("_objects.py"))
    out = subprocess.run([sys.executable, "-c", "import vz; print(vz.Tap('t'), len(vz.__all__))"], check=True,
                         env={**os.environ, "PYTHONPATH": str(tmp_path)}, stdout=subprocess.PIPE).stdout
    assert out.decode() == f"Tap(interface='t') {len(vz.__all__)}\n"


def test_options_make_another_config(vz):
    config = vz.Config(boot_loader=vz.linux("k"))
    other = config.plus("disk", "a,,b,ro").plus("memory", "512M").plus("rng")
    assert config.to_dict()["storageDevices"] == []
    assert other.get("storageDevices[0].attachment.path") == "a,b"
    assert other.get("memory") == str(512 * vz.MiB)
    with pytest.raises(vz.Error, match="did you mean 'memory'"):
        config.plus("memroy", "1G")
    with pytest.raises(vz.Error, match="there is no x"):
        config.get("x")


def test_wrong_configurations(vz):
    with pytest.raises(vz.Error, match="colour") as e:
        vz.Config(colour="red")
    assert e.value.code == vz.ErrorCode.INVALID
    problems = vz.Config(cpus=0, memory=5, boot_loader=vz.linux("/none")).validate()
    assert [p.object for p in problems][:2] == ["cpus", "memory"]
    assert any("/none" in p.text for p in problems)
    with pytest.raises(vz.Error):
        vz.Machine(vz.Config(cpus=0))
    with pytest.raises(vz.Error) as e:
        vz.Config.from_json("{")
    assert e.value.code == vz.ErrorCode.INVALID


def test_boot_talk_pause_and_power_off(vz, talk):
    config, console = talk("echo ready; read word; echo heard $word", cpus=2)
    assert config.validate() == []
    ended = threading.Event()

    class Listener(vz.Delegate):
        states, end = [], None

        def state_changed(self, machine, state):
            self.states.append(state)

        def guest_did_stop(self, machine, end):
            self.end = end
            ended.set()

    listener = Listener()
    with vz.Machine(config, listener) as machine:
        assert machine.state == vz.State.STOPPED and machine.can_start
        with pytest.raises(vz.Error) as e:
            machine.pause()
        assert e.value.code == vz.ErrorCode.INVALID_TRANSITION
        machine.start()
        console.until(b"ready")
        machine.pause()
        assert machine.state == vz.State.PAUSED and machine.can_resume
        machine.resume()
        console.send(b"python\n")
        console.until(b"heard python")
        assert machine.wait().reason == vz.EndReason.POWEROFF
        assert ended.wait(LIMIT_S) and listener.end.reason == vz.EndReason.POWEROFF
        assert vz.State.RUNNING in listener.states and vz.State.PAUSED in listener.states
        assert any(machine.stats().values())
        machine.start()  # once more, from its beginning
        console.seen = b""
        console.until(b"ready")
        machine.stop()
        assert machine.wait().reason == vz.EndReason.STOPPED
    with pytest.raises(ValueError):
        machine.state


@pytest.fixture(scope="module")
def vsock(tmp_path_factory):
    """What an initramfs needs for sockets and the balloon: the drivers, and a tool that talks."""
    folder = tmp_path_factory.mktemp("vsock")
    names = (*guest_drivers.VIRTIO, "virtio_balloon", *guest_drivers.SOCKETS)
    return guest_drivers.load(names), [
        guest_drivers.program(folder, "tests/virtio/vsocktool.c"),
        *guest_drivers.files(folder, names)]


def patiently(call, error):
    """What call() returns once it does not raise the error any more."""
    deadline = time.monotonic() + LIMIT_S
    while True:
        try:
            return call()
        except error:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def test_sockets_and_memory(vz, talk, vsock):
    load, files = vsock
    config, console = talk(load + "vsocktool echo 6000 & echo ready; read x\n"
                           "vsocktool connect 5000 3 1000; echo \"status $?\"\n"
                           "vsocktool connect 5001 1 1 || echo refused; read x\n", files,
                           socket_devices=[vz.socket()],
                           memory_balloon_devices=[vz.balloon()])
    served = []

    def serve(connection):
        served.append(connection.destination_port)
        threading.Thread(target=echo, args=(connection,)).start()

    def echo(connection):
        with connection:
            while data := connection.recv(65536):
                connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)

    with vz.Machine(config) as machine:
        machine.listen(5000, serve)
        machine.listen(5001, lambda connection: False)
        machine.start()
        console.until(b"ready")
        with patiently(lambda: machine.connect(6000), vz.Error) as connection:
            assert connection.destination_port == 6000
            connection.sendall(b"hello")
            connection.shutdown(socket.SHUT_WR)
            got = b""
            while data := connection.recv(100):
                got += data
            assert got == b"hello"
        with pytest.raises(vz.Error) as e:
            machine.connect(6001)
        assert e.value.code == vz.ErrorCode.NETWORK
        console.send(b"\n")
        console.until(b"status 0")
        console.until(b"refused")
        assert served == [5000] * 3
        machine.set_memory_target(100 * vz.MiB + 5)
        assert machine.memory_state().target == 100 * vz.MiB
        deadline = time.monotonic() + LIMIT_S
        while machine.memory_state().actual > 101 * vz.MiB:
            assert time.monotonic() < deadline, machine.memory_state()
            time.sleep(0.05)
        console.send(b"\n")
        assert machine.wait().reason == vz.EndReason.POWEROFF
    with vz.Machine(vz.Config(boot_loader=config.to_dict()["bootLoader"])) as machine:
        with pytest.raises(vz.Error) as e:
            machine.set_memory_target(vz.GiB)
        assert e.value.code == vz.ErrorCode.DEVICE_NOT_FOUND


def test_asyncio(vz, talk):
    config, console = talk("echo ready; read word")

    async def life():
        with vz.Machine(config) as machine:
            heard = []

            async def listen():
                async for event in machine.events():
                    heard.append(event)
                    if event.values == (vz.State.STOPPED,) and len(heard) > 1:
                        return

            listening = asyncio.create_task(listen())
            await asyncio.sleep(0)  # it hears from here on
            await machine.start_async()
            with pytest.raises(vz.Error):
                await machine.resume_async()
            await asyncio.to_thread(console.until, b"ready")
            await machine.pause_async()
            waiting = asyncio.create_task(machine.wait_async())
            await machine.stop_async()
            assert (await waiting).reason == vz.EndReason.STOPPED
            await listening
            return [event.values[0] for event in heard if event.name == "state_changed"]

    states = asyncio.run(life())
    assert states[0] == states[-1] == vz.State.STOPPED
    assert vz.State.RUNNING in states and vz.State.PAUSED in states


def test_ctrl_c_ends_the_waiting_and_not_the_machine(vz, talk):
    config, console = talk("echo ready; read word")
    with vz.Machine(config) as machine:
        machine.start()
        console.until(b"ready")
        with pytest.raises(TimeoutError):
            machine.wait(timeout=0.05)
        threading.Timer(0.3, os.kill, [os.getpid(), signal.SIGINT]).start()
        with pytest.raises(KeyboardInterrupt):
            machine.wait()
        assert machine.state == vz.State.RUNNING
        console.send(b"\n")
        assert machine.wait(timeout=LIMIT_S).reason == vz.EndReason.POWEROFF


def test_names_are_printed(vz):
    assert f"{vz.State.RUNNING} {vz.EndReason.POWEROFF}" == "State.RUNNING EndReason.POWEROFF"
    assert repr(vz.Error(vz.ErrorCode.IO, "no")) == "vz.Error(ErrorCode.IO, 'no')"
    config = vz.Config(cpus=2, boot_loader=vz.linux("/k"))
    assert eval(repr(config), {"vz": vz}).to_dict() == config.to_dict()


def test_variable_stores(vz, tmp_path):
    path = tmp_path / "variables.fd"
    try:
        store = vz.EfiVariableStore.create(path)
    except vz.Error as none:
        assert none.code == vz.ErrorCode.NOT_FOUND, none
        pytest.skip("there is no firmware: the package ovmf")
    with pytest.raises(vz.Error):
        vz.EfiVariableStore.create(path)
    vz.EfiVariableStore.create(path, allow_overwrite=True)
    store.set("BootOrder", b"\1\0\0\0")
    store.set("Ours", b"some bytes", "6a1f7c52-1d0b-4d6e-9b1a-0f1e2d3c4b5a", 3)
    found = {v.name: v for v in store.variables()}
    assert found["BootOrder"] == vz.EfiVariable("BootOrder", vz.EFI_GLOBAL_GUID, 7, b"\1\0\0\0")
    assert found["Ours"].attributes == 3 and found["Ours"].data == b"some bytes"
    store.remove("Ours", found["Ours"].guid)
    assert "Ours" not in {v.name for v in store.variables()}
    with pytest.raises(vz.Error):
        store.remove("Ours", found["Ours"].guid)
    assert store.secure_boot == vz.SecureBoot.SETUP_MODE
    with pytest.raises(vz.Error):
        store.set_secure_boot(True)  # without a platform key
    store.enroll_default_keys()
    assert store.secure_boot == vz.SecureBoot.ON
    store.set_secure_boot(False)
    assert store.secure_boot == vz.SecureBoot.OFF
    before = store.signatures(vz.EfiKeys.DBX)
    store.enroll(vz.EfiKeys.DBX, bytes(range(32)))
    assert store.signatures(vz.EfiKeys.DBX)[:-1] == before
    assert store.signatures(vz.EfiKeys.DBX)[-1].data == bytes(range(32))
    assert all(s.certificate for s in store.signatures(vz.EfiKeys.KEK))
    store.reset_secure_boot()
    assert store.secure_boot == vz.SecureBoot.SETUP_MODE and store.signatures(vz.EfiKeys.PK) == []


def test_input_is_for_the_devices_that_there_are(vz, talk):
    """What comes of it in a guest is tests/boot/test_keys.py's."""
    config, console = talk("echo up; read x", keyboards=[vz.usb_keyboard()],
                           pointing_devices=[vz.usb_screen_coordinate(), vz.trackpad()])
    with vz.Machine(config) as m:
        with pytest.raises(vz.Error) as e:
            m.send_key(vz.key(4), True)
        assert e.value.code == vz.ErrorCode.INVALID_STATE
        m.start()
        console.until(b"up")
        m.send_key(vz.key(4), True)
        m.release_keys()
        assert m.keyboard_leds() == vz.Leds(False, False, False)
        m.send_pointer(x=vz.POINTER_MAX, buttons=1, wheel=-vz.WHEEL_NOTCH)
        m.send_touches([vz.Touch(1, 10, 10), vz.Touch(2, 99, 99)], device=1, pressed=True)
        m.send_touches([], device=1)
        for wrong in (lambda: m.send_key(vz.KEY_FN, True, keyboard=1), lambda: m.send_touches([], device=0),
                      lambda: m.send_pointer(device=7)):
            with pytest.raises(vz.Error) as e:
                wrong()
            assert e.value.code == vz.ErrorCode.DEVICE_NOT_FOUND
        m.stop()


def test_a_directory_is_shared_and_another_one_in_its_place(vz, talk, tmp_path):
    names = (*guest_drivers.VIRTIO, "fuse", "virtiofs")
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(f"in {name}\n")
    look = "cat /mnt/file; echo guest 2>/dev/null >/mnt/new || echo only read; "
    config, console = talk(guest_drivers.load(names) + f"mount -t virtiofs work /mnt; {look}echo first; read x\n"
                           f"until ls /mnt | grep -q two; do usleep 100000; done; cat /mnt/two/file; ls /mnt; echo second; read x\n"
                           "until [ -z \"$(ls /mnt)\" ]; do usleep 100000; done; echo third\n",
                           guest_drivers.files(tmp_path, names), directory_sharing_devices=[
                               vz.file_system("work", vz.single_directory(str(tmp_path / "a")), ownership="1000:1000")])
    assert config.validate() == []
    assert config.to_dict()["directorySharingDevices"][0]["ownership"] == "1000:1000"
    with vz.Machine(config) as machine:
        machine.start()
        assert b"in a" in console.until(b"first") and b"only read" not in console.seen
        assert (tmp_path / "a/new").read_text() == "guest\n"
        machine.set_directory_share(0, vz.multiple_directory([
            vz.shared_directory("one", str(tmp_path / "a"), read_only=True), vz.shared_directory("two", str(tmp_path / "b"))]))
        console.send(b"\n")
        assert b"in b" in console.until(b"second") and b"one" in console.seen
        machine.set_directory_share(0, None)
        console.send(b"\n")
        console.until(b"third")
        with pytest.raises(vz.Error):
            machine.set_directory_share(1, None)
        assert machine.wait().reason == vz.EndReason.POWEROFF
    for tag, share, wrong in (("", vz.single_directory("/"), "tag"), ("x" * 36, vz.single_directory("/"), "tag"),
                              ("t", vz.multiple_directory([vz.shared_directory("a/b", "/")]), "name")):
        try:
            told = " ".join(map(str, vz.Config(directory_sharing_devices=[vz.file_system(tag, share)]).validate()))
        except vz.Error as error:  # what cannot be read at all
            told = str(error)
        assert wrong in told and "directorySharingDevices[0]" in told, told


def test_foreign_binaries(vz):
    there = vz.foreign_binaries_availability()
    assert {"arm64", "riscv64", "s390x"} <= set(there)
    assert there["arm64"] == vz.ForeignBinariesAvailability.INSTALLED, there
    assert "qemu-user-static" in vz.foreign_binaries_install_hint()
    share = vz.foreign_binaries(architectures=[vz.foreign_architecture(name="arm64")])
    config = vz.Config(directory_sharing_devices=[vz.file_system("foreign", share)])
    made = json.loads(config.to_json())["directorySharingDevices"][0]["share"]
    assert made == {"type": "foreignBinaries", "architectures": [{"name": "arm64"}]}


def test_identities(vz):
    mac = vz.random_mac_address()
    assert vz.mac_address(mac.upper()) == mac and int(mac[:2], 16) & 3 == 2
    with pytest.raises(vz.Error, match="'x' is not a MAC address"):
        vz.mac_address("x")
    identifier = vz.random_machine_identifier()
    assert identifier.version == 4
    form = vz.Config(platform=vz.generic_platform(identifier)).to_dict()
    assert form["platform"]["machineIdentifier"] == str(identifier)


def test_a_clipboard_is_shared(vz):
    port = vz.console_port(name="com.redhat.spice.0", attachment=vz.spice_agent())
    config = vz.Config(boot_loader=vz.linux(os.__file__), console_devices=[vz.console(port)])
    with vz.Machine(config) as m:
        assert m.clipboard_state() == vz.ClipboardState(False, (), False)
        m.set_clipboard("ä\n")  # for whoever comes
        m.set_clipboard(b"\0\xff", type="png", primary=True)
        assert m.get_clipboard() == "ä\n".encode() and m.get_clipboard("png", primary=True) == b"\0\xff"
        assert m.clipboard_state(primary=True) == vz.ClipboardState(False, ("png",), False)
        with pytest.raises(vz.Error, match="nothing of that type"):
            m.get_clipboard("bmp")
        with pytest.raises(ValueError):
            m.get_clipboard("gif")
    with vz.Machine(vz.Config(boot_loader=vz.linux(os.__file__))) as m:
        with pytest.raises(vz.Error) as e:
            m.set_clipboard("text")
        assert e.value.code is vz.ErrorCode.DEVICE_NOT_FOUND


def test_the_host_is_reported(vz):
    report = vz.host_report()
    assert report.accelerator in ("kvm", "soft")
    assert report.findings[0].topic == "accelerator" and report.findings[0].text


def test_disks_grow_and_the_guest_sees_it(vz, talk, tmp_path):
    """A raw image behind an NVMe controller, a qcow2 image behind virtio, while both are in use."""
    names = (*guest_drivers.VIRTIO, "virtio_blk")
    folder, raw, qcow2 = tmp_path / "drivers", tmp_path / "raw", tmp_path / "disk.qcow2"
    folder.mkdir()
    raw.write_bytes(b"")
    os.truncate(raw, 8 << 20)
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", qcow2, "8M"], check=True)
    config, console = talk(
        guest_drivers.load(names) +
        "for d in nvme0n1 vda; do for i in $(seq 600); do [ -b /dev/$d ] && break; sleep 0.1; done\n"
        "dd if=/dev/zero of=/dev/$d bs=64k count=128 oflag=direct 2>/dev/null &\n done\n"
        "echo ready; for d in nvme0n1 vda; do for i in $(seq 600); do "
        "[ $(cat /sys/block/$d/size) != 16384 ] && break; sleep 0.1; done; echo $d $(cat /sys/block/$d/size); "
        "echo end | dd of=/dev/$d bs=512 seek=32767 conv=sync oflag=direct && echo $d wrote; done; wait",
        guest_drivers.files(folder, names),
        storage_devices=[vz.nvme(vz.disk_image(str(raw))),
                         vz.block(vz.disk_image(str(qcow2)))])
    with vz.Machine(config) as machine:
        with pytest.raises(vz.Error):
            machine.resize_disk(0, 16 << 20)  # not live
        machine.start()
        console.until(b"ready")
        for device in (0, 1):
            assert machine.disk_size(device) == 8 << 20
            if device:
                machine.pause()  # the guest hears of it when it goes on
            machine.resize_disk(device, 16 << 20)
            assert machine.disk_size(device) == 16 << 20
            with pytest.raises(vz.Error, match="lose its end"):
                machine.resize_disk(device, 8 << 20)
            with pytest.raises(vz.Error, match="cannot have"):
                machine.resize_disk(device, (16 << 20) + 1)
        machine.resume()
        with pytest.raises(vz.Error, match="no storage device 2"):
            machine.resize_disk(2, 16 << 20)
        machine.set_disk_limits(1, bytes=1 << 30, burst=5)
        assert machine.disk_limits(1) == (1 << 30, 0, 5) and machine.disk_limits() == (0, 0, 100)
        with pytest.raises(vz.Error, match="burst"):
            machine.set_disk_limits(1, burst=0)
        console.until(b"vda wrote")
        machine.wait(timeout=LIMIT_S)
        for device in (0, 1):
            s = machine.disk_stats(device)  # of the last run
            assert s.writes >= 129 and s.bytes_written >= (8 << 20) + 512 and s.errors == 0
            assert sum(s.write.count) == s.writes and 0 < s.write.max_ns <= s.write.total_ns
    assert os.path.getsize(raw) == 16 << 20
    with open(raw, "rb") as f:
        f.seek(-512, 2)
        assert f.read(3) == b"end"
    subprocess.run(["qemu-img", "check", "-q", qcow2], check=True)
    info = json.loads(subprocess.run(["qemu-img", "info", "--output=json", qcow2], check=True,
                                     stdout=subprocess.PIPE).stdout)
    assert info["virtual-size"] == 16 << 20


def test_devices_of_a_running_machine_lead_elsewhere(vz, talk, vsock, tmp_path):
    names = (*guest_drivers.VIRTIO, *guest_drivers.NETWORK)
    folder = tmp_path / "drivers"
    folder.mkdir()
    config, console = talk(
        guest_drivers.load(names) + "ip link set eth0 up; udhcpc -i eth0 -n -q -t 10 -s /bin/true >/dev/null 2>&1\n"
        "echo ready; read x; echo moved; echo later >/dev/ttyS0; read x",
        guest_drivers.files(folder, names), network_devices=[vz.network(vz.nat())])
    addresses = []

    class Listener(vz.Delegate):
        def guest_address_changed(self, machine, device, address):
            addresses.append((device, address.ipv4))

    with vz.Machine(config, Listener()) as machine:
        machine.start()
        console.until(b"ready")
        patiently(lambda: addresses.index((0, "10.0.2.15")), ValueError)
        assert machine.guest_address().ipv4 == "10.0.2.15"
        machine.set_network_attachment(0, None)
        machine.set_network_attachment(0, vz.nat([vz.forward("tcp", free_port(), 22)]))
        with pytest.raises(vz.Error, match="none of"):
            machine.set_network_attachment(0, {"type": "string"})
        with pytest.raises(vz.Error) as e:
            machine.set_serial_window(1, 80, 24)
        assert e.value.code == vz.ErrorCode.DEVICE_NOT_FOUND
        machine.set_stdio_window(80, 24)
        console.send(b"\n")
        console.until(b"moved")
        machine.set_serial_attachment(0, vz.file(str(tmp_path / "log")))
        machine.set_serial_attachment(0, vz.pty())
        assert machine.serial_path().startswith("/dev/pts/")
        machine.stop()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def test_the_package_builds_without_meson(tmp_path):
    """What `pip install ./python` does."""
    subprocess.run(["/usr/bin/python3", "setup.py", "-q", "build", "-b", str(tmp_path)], check=True,
                   cwd=shutil.copytree(f"{ROOT}/python", tmp_path / "tree/python"),
                   env={**os.environ, "VZ_TREE": ROOT})
    out = subprocess.run(["/usr/bin/python3", "-c", "import vz; print(vz.version())"],
                         env={**os.environ, "PYTHONPATH": str(tmp_path / "lib")}, check=True,
                         stdout=subprocess.PIPE, text=True).stdout
    assert out.strip()
    assert (tmp_path / "lib/vz/py.typed").exists()


def test_virtual_cpus(vz):
    from vz import hypervisor as hv
    hello = bytes.fromhex("ba f803 b0 48 ee e4 80 f4")  # H to port 0x3f8, a byte from 0x80, HLT
    with hv.VM("soft") as vm:
        ram = vm.memory(0, 0x10000)
        ram[0x1000:0x1000 + len(hello)] = hello
        with vm.vcpu(0) as vcpu:
            vcpu.set_segment(hv.SegmentReg.CS, hv.Segment(limit=0xffff, access=0x9b))
            vcpu[hv.Reg.RIP] = 0x1000
            exit = vcpu.run()
            assert (exit.reason, exit.address, exit.value) == (hv.ExitReason.PORT_WRITE, 0x3f8, 0x48)
            assert vcpu.run().reason == hv.ExitReason.PORT_READ
            vcpu.answer(0x5a)
            assert vcpu.run().reason == hv.ExitReason.HALT
            assert vcpu[hv.Reg.RAX] & 0xff == 0x5a
            vcpu.set_events(nmi_blocked=True)
            assert vcpu.events()["nmi_blocked"] and vcpu.table(hv.TableReg.IDTR)[0] == 0
            assert vcpu.segment(hv.SegmentReg.CS).limit == 0xffff and len(vcpu.xsave()) == 4096
            with pytest.raises(hv.HypervisorError) as e:
                vcpu.msr(0x12345)
            assert e.value.result == hv.Result.UNSUPPORTED
            with pytest.raises(hv.HypervisorError) as e:
                vm.close()
            assert e.value.result == hv.Result.BUSY
    with pytest.raises(hv.HypervisorError, match="unknown"):
        hv.VM("abacus")


def test_everything_through_a_descriptor(vz, talk):
    config, _ = talk("echo ready")
    heard = []

    class Listener:
        def guest_did_stop(self, machine, end):
            heard.append(("end", end.reason, threading.current_thread()))

    machine = vz.Machine(config, Listener(), use_events_fd=True)
    machine.begin_start(lambda error: heard.append(("start", error, threading.current_thread())))
    while len(heard) < 2:
        assert select.select([machine], [], [], LIMIT_S)[0], f"saw {heard}"
        machine.dispatch()
    me = threading.current_thread()
    assert heard == [("start", None, me), ("end", vz.EndReason.POWEROFF, me)]
    machine.close()
    machine.close()


def test_error_when_it_cannot_start(vz, talk, tmp_path):
    kernel = tmp_path / "kernel"
    kernel.write_bytes(b"not a kernel" * 100)
    with vz.Machine(vz.Config(boot_loader=vz.linux(kernel))) as machine:
        with pytest.raises(vz.Error, match="kernel"):
            machine.start()
        assert machine.state == vz.State.ERROR


def test_nothing_is_left_behind(vz, talk):
    config, console = talk("echo ready; read word")

    def life(close):
        machine = vz.Machine(config)
        machine.start()
        if close:
            machine.close()
        del machine
        gc.collect()

    life(True)  # what is opened once and kept
    fds, threads = len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))
    for i in range(6):
        life(i % 2 == 0)
    assert len(os.listdir("/proc/self/fd")) == fds
    assert len(os.listdir("/proc/self/task")) == threads
