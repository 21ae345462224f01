# SPDX-License-Identifier: MIT
"""What a machine consists of. A configuration is built from plain dicts, those of its JSON form
(docs/config-json.md), so everything the library knows can be said here too; the functions below
make the dicts. Their keyword arguments are the members of that form in snake_case; what is None
is left out."""
import json
import os
import re
from typing import NamedTuple

from ._library import checked, ffi, lib, new_error, text


def _members(values):
    camel = {re.sub("_(.)", lambda m: m[1].upper(), name): value for name, value in values.items()}
    return {name: os.fspath(value) if isinstance(value, os.PathLike) else value
            for name, value in camel.items() if value is not None}


def _object(kind, **members):
    return {"type": kind, **_members(members)}


# ---- Boot loader and platform ------------------------------------------------------------------

def linux(kernel=None, initrd=None, cmdline=None, **more):
    """Direct boot of a kernel: bzImage, ELF64 or Multiboot 1."""
    return _object("linux", kernel=kernel, initrd=initrd, cmdline=cmdline, **more)


def generic_platform(machine_identifier=None, **more):
    """A PC; machine_identifier: a UUID, which the guest sees as its own."""
    return _object("generic", machine_identifier=machine_identifier and str(machine_identifier),
                   **more)


# ---- Where the bytes of serial and console ports go ---------------------------------------------

def null():
    return _object("null")


def stdio():
    return _object("stdio")


def fd(read=-1, write=-1):
    """Descriptors, or files with a fileno(); they must stay open while a machine uses them."""
    return _object("fd", read_descriptor=_descriptor(read), write_descriptor=_descriptor(write))


def file(path, append=None):
    return _object("file", path=path, append=append)


def pty():
    """A new pseudo-terminal at each start; Machine.serial_path() tells its name."""
    return _object("pty")


def unix(path):
    """A listening Unix stream socket."""
    return _object("unix", path=path)


# ---- Devices -----------------------------------------------------------------------------------

def uart(attachment=None):
    """A 16550A: the guest's ttyS0."""
    return _object("uart", attachment=attachment or null())


def virtio_serial(attachment=None):
    """The guest's hvc0, hvc1, ..."""
    return _object("virtio", attachment=attachment or null())


def disk_image(path, read_only=None, caching=None, synchronization=None, **more):
    return _object("diskImage", path=path, read_only=read_only, caching=caching,
                   synchronization=synchronization, **more)


def block_device(descriptor, read_only=None, synchronization=None, **more):
    return _object("blockDevice", descriptor=_descriptor(descriptor), read_only=read_only,
                   synchronization=synchronization, **more)


def block(attachment, identifier=None, **more):
    """A virtio disk: the guest's vda, vdb, ..."""
    return _object("virtioBlock", attachment=attachment, identifier=identifier, **more)


def forward(protocol, host_port, guest_port, host=None):
    return _members({"protocol": protocol, "host": host, "host_port": host_port,
                     "guest_port": guest_port})


def nat(forwards=None, **more):
    """The host's network behind a router of our own; forwards: of forward()."""
    return _object("nat", forwards=None if forwards is None else list(forwards), **more)


def fd_network(descriptor, mtu=None):
    """A connected datagram socket on which each datagram is an Ethernet frame."""
    return _object("fd", descriptor=_descriptor(descriptor), mtu=mtu)


def tap(interface):
    return _object("tap", interface=interface)


def bridged(interface):
    return _object("bridged", interface=interface)


def network(attachment=None, mac=None, **more):
    """A virtio network card; without an attachment it has no link."""
    return _object("virtioNet", attachment=attachment, mac=mac, **more)


def console_port(name=None, attachment=None, console=None):
    return _members({"name": name, "attachment": attachment, "console": console})


def console(*ports):
    return _object("virtioConsole", ports=list(ports))


def entropy(**more):
    return _object("virtioEntropy", **more)


def balloon(**more):
    return _object("virtioBalloon", **more)


def socket(**more):
    return _object("virtioSocket", **more)


def _descriptor(of):
    return of if isinstance(of, int) else of.fileno()


# ---- The whole ---------------------------------------------------------------------------------

class Problem(NamedTuple):
    """One thing that is wrong with a configuration."""
    code: int
    object: str  # which part: "memory", "storageDevices[1]"
    text: str


@ffi.callback("vz_problem_fn")
def _collect(arg, problem):
    ffi.from_handle(arg).append(Problem(problem.code, text(problem.object), text(problem.text)))


class Config:
    """A machine's configuration; does not change once made.

    Config(cpus=2, boot_loader=vz.linux(...), ...): members of the JSON form in snake_case.
    """

    def __init__(self, **members):
        self._take(json.dumps(_members(members)))

    @classmethod
    def from_json(cls, form):
        """From its JSON form: a string, or the dict that it describes."""
        config = cls.__new__(cls)
        config._take(form if isinstance(form, str) else json.dumps(form))
        return config

    def _take(self, form):
        err, data = new_error(), form.encode()
        made = checked(lib.vz_config_from_json(data, len(data), err), err)
        self.c = ffi.gc(made, lib.vz_config_unref)

    def __repr__(self):
        return f"vz.Config.from_json({self.to_dict()!r})"

    def to_json(self):
        """The complete JSON form; identities that were chosen at random are in it."""
        err = new_error()
        form = checked(lib.vz_config_to_json(self.c, err), err)
        try:
            return text(form)
        finally:
            lib.free(form)

    def to_dict(self):
        return json.loads(self.to_json())

    def validate(self):
        """Every Problem it has: an empty list if a machine can be made of it."""
        problems = []
        lib.vz_config_validate(self.c, _collect, ffi.new_handle(problems), ffi.NULL)
        return problems
