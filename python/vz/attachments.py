# SPDX-License-Identifier: MIT
"""Attachments as objects of the library, for devices of a running machine. They are described as in
a configuration, by the dicts that nat(), pty() and their like make."""
from typing import Any, Callable, Dict, Mapping, Optional

from ._library import Error, ErrorCode, checked, ffi, lib, new_error

Form = Mapping[str, Any]


def _nat(form: Form, err: Any) -> Any:
    kept = [f["host"].encode() if f.get("host") else None for f in form.get("forwards") or []]
    hosts = [ffi.new("char[]", host) if host else ffi.NULL for host in kept]
    forwards = ffi.new("struct vz_port_forward[]", [
        {"size": ffi.sizeof("struct vz_port_forward"), "udp": f.get("protocol") == "udp", "host": host, "host_port": f["hostPort"],
         "guest_port": f["guestPort"]} for f, host in zip(form.get("forwards") or [], hosts)])
    options = ffi.new("struct vz_nat_network_options *", {
        "size": ffi.sizeof("struct vz_nat_network_options"), "forwards": forwards,
        "forward_count": len(hosts), "host_loopback": bool(form.get("hostLoopback"))})
    return lib.vz_nat_network_attachment_new(options, err)


def _fd_network(form: Form, err: Any) -> Any:
    options = ffi.new("struct vz_fd_network_options *", {
        "size": ffi.sizeof("struct vz_fd_network_options"),
        "mtu": form.get("mtu") or lib.VZ_MTU_MIN})
    return lib.vz_fd_network_attachment_new(form["descriptor"], options, err)


NETWORK: Dict[str, Callable[[Form, Any], Any]] = {
    "nat": _nat,
    "fd": _fd_network,
    "tap": lambda form, err: lib.vz_tap_network_attachment_new(form["interface"].encode(), err),
    "bridged": lambda form, err: lib.vz_bridged_network_attachment_new(form["interface"].encode(), err),
}

SERIAL: Dict[str, Callable[[Form, Any], Any]] = {
    "null": lambda form, err: lib.vz_null_serial_attachment_new(err),
    "stdio": lambda form, err: lib.vz_stdio_serial_attachment_new(err),
    "fd": lambda form, err: lib.vz_fd_serial_attachment_new(
        form.get("readDescriptor", -1), form.get("writeDescriptor", -1), err),
    "file": lambda form, err: lib.vz_file_serial_attachment_new(
        str(form["path"]).encode(), bool(form.get("append")), err),
    "pty": lambda form, err: lib.vz_pty_serial_attachment_new(err),
    "spiceAgent": lambda form, err: lib.vz_spice_agent_attachment_new(bool(form.get("sharesClipboard", True)), err),
    "unix": lambda form, err: lib.vz_unix_serial_attachment_new(str(form["path"]).encode(), err),
}


def _several(form: Form, err: Any) -> Any:
    kept = [(ffi.new("char[]", str(d["name"]).encode()), ffi.new("char[]", str(d["path"]).encode()),
             bool(d.get("readOnly"))) for d in form.get("directories") or []]
    directories = ffi.new("struct vz_shared_directory[]", [
        {"size": ffi.sizeof("struct vz_shared_directory"), "name": name, "path": path,
         "read_only": read_only} for name, path, read_only in kept])
    return lib.vz_multiple_directory_share_new(directories, len(kept), err)


SHARE: Dict[str, Callable[[Form, Any], Any]] = {
    "singleDirectory": lambda form, err: lib.vz_single_directory_share_new(
        str(form["path"]).encode(), bool(form.get("readOnly")), err),
    "multipleDirectory": _several,
}


def _made(kinds: Dict[str, Callable[[Form, Any], Any]], unref: Any, form: Optional[Form]) -> Any:
    if form is None:
        return ffi.NULL
    kind, err = form.get("type"), new_error()
    if kind not in kinds:
        raise Error(ErrorCode.INVALID, f"attachment: type {kind!r} is none of {', '.join(kinds)}")
    return ffi.gc(checked(kinds[kind](form, err), err), unref)


def network_attachment(form: Optional[Form]) -> Any:
    """A struct vz_network_attachment * from what nat(), tap() and their like made; NULL from None."""
    return _made(NETWORK, lib.vz_network_attachment_unref, form)


def serial_attachment(form: Optional[Form]) -> Any:
    """A struct vz_serial_attachment * from what pty(), file() and their like made; NULL from None."""
    return _made(SERIAL, lib.vz_serial_attachment_unref, form)


def directory_share(form: Optional[Form]) -> Any:
    """A struct vz_directory_share * from what single_directory() or multiple_directory() made; NULL
    from None."""
    return _made(SHARE, lib.vz_directory_share_unref, form)
