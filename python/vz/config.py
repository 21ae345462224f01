# SPDX-License-Identifier: MIT
"""What a machine consists of. Everything the library knows can be said here: the classes of its
objects are made from its own tables (objects.py), and are dicts, those of the JSON form
(docs/config-json.md). Their arguments are the members of that form in snake_case. Each has a second
name, as a function would: vz.nat() is vz.Nat()."""
import json
from typing import Any, NamedTuple, Optional

from . import objects
from ._library import checked, ffi, lib, new_error, text
from ._object import Descriptor, Object
from .objects import *  # noqa: F401,F403
from .objects import schema  # noqa: F401


def fd(read: Descriptor = -1, write: Descriptor = -1) -> Object:
    """Where the bytes of a port go: descriptors, or files with a fileno(), which must stay open
    while a machine uses them."""
    return objects.Fd(read_descriptor=read, write_descriptor=write)


def console(*ports: Object) -> Object:
    """A virtio console device with these ports."""
    return objects.Console(ports=ports)


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

    Config(cpus=2, boot_loader=vz.linux(...), ...): see vz.Configuration for all it can have.
    """

    def __init__(self, **members: Any) -> None:
        self._take(json.dumps(objects.Configuration(**members)))

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

    def get(self, path: str) -> str:
        """One member as text: "memory", "networkDevices[0].mac"."""
        err = new_error()
        found = checked(lib.vz_config_get(self.c, path.encode(), err), err)
        try:
            return text(found)
        finally:
            lib.free(found)

    def plus(self, option: str, value: Optional[str] = None) -> "Config":
        """Another configuration: with what an option of `vz run` does, as plus("disk", "data.img,ro")
        or plus("memory", "2G")."""
        err = new_error()
        other = Config.__new__(Config)
        other.c = ffi.gc(checked(lib.vz_config_copy(self.c, err), err), lib.vz_config_unref)
        checked(lib.vz_config_add(other.c, option.encode(),
                                  ffi.NULL if value is None else value.encode(), err), err)
        return other

    def validate(self):
        """Every Problem it has: an empty list if a machine can be made of it."""
        problems = []
        lib.vz_config_validate(self.c, _collect, ffi.new_handle(problems), ffi.NULL)
        return problems
