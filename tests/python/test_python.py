# SPDX-License-Identifier: MIT
"""The Python package: configurations, every way to wait for a machine, a guest that boots."""
import asyncio
import gc
import json
import os
import select
import socket
import threading
import time

import pytest

import guest_drivers

from conftest import BUILD

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
        assert machine.state == vz.State.STOPPED and machine.can("start")
        with pytest.raises(vz.Error) as e:
            machine.pause()
        assert e.value.code == vz.ErrorCode.INVALID_TRANSITION
        machine.start()
        console.until(b"ready")
        machine.pause()
        assert machine.state == vz.State.PAUSED and machine.can("resume")
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
            await machine.perform("start")
            with pytest.raises(vz.Error):
                await machine.perform("resume")
            await asyncio.to_thread(console.until, b"ready")
            await machine.perform("pause")
            await machine.perform("stop")
            return machine.state

    assert asyncio.run(life()) == vz.State.STOPPED


def test_everything_through_a_descriptor(vz, talk):
    config, _ = talk("echo ready")
    heard = []

    class Listener:
        def guest_did_stop(self, machine, end):
            heard.append(("end", end.reason, threading.current_thread()))

    machine = vz.Machine(config, Listener(), use_events_fd=True)
    machine.begin("start", lambda error: heard.append(("start", error, threading.current_thread())))
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
