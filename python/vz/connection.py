# SPDX-License-Identifier: MIT
"""Connections between programs of the host and the guest."""
import socket
from typing import Any

from ._library import ffi, lib


class Connection(socket.socket):
    """The host's end of a connection: a stream socket that also knows both ports. shutdown() gives
    the guest a half close."""
    source_port: int
    destination_port: int
    _c: Any

    @classmethod
    def of(cls, c: Any, borrowed: bool) -> "Connection":
        """From a struct vz_socket_connection *, whose reference becomes ours unless it is lent."""
        c = ffi.gc(lib.vz_socket_connection_ref(c) if borrowed else c,
                   lib.vz_socket_connection_unref)
        connection = cls(fileno=socket.dup(lib.vz_socket_connection_fd(c)))
        connection.source_port = lib.vz_socket_connection_source_port(c)
        connection.destination_port = lib.vz_socket_connection_destination_port(c)
        connection._c = c
        return connection

    def __repr__(self) -> str:
        return f"<vz.Connection from port {self.source_port} to {self.destination_port}>"

    def close(self) -> None:
        super().close()
        c, self._c = getattr(self, "_c", None), None
        if c:
            lib.vz_socket_connection_close(c)
