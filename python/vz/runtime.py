# SPDX-License-Identifier: MIT
"""The devices of a machine while it runs, <vz/runtime.h>: a part of Machine."""
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from ._library import checked, ffi, lib, new_error, text
from .attachments import Form, directory_share, network_attachment, serial_attachment
from .config import Config
from .connection import Connection
from .events import GuestAddress, accept, address_of, listeners, numbers


class MemoryState(NamedTuple):
    """How a guest's memory stands; all in bytes."""
    target: int  # as set, after rounding
    actual: int  # what the guest has now, as it says
    freed: int   # what went back to the host in this run


def called(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function of the library returns that takes a struct vz_error * in the end."""
    err = new_error()
    return checked(function(*arguments, err), err)


class DiskLimits(NamedTuple):
    """How fast a disk may be; 0: no limit."""
    bytes: int       # a second
    operations: int  # a second
    burst: int       # milliseconds' worth of that at once after a rest


class DiskTime(NamedTuple):
    """How long requests of one kind took."""
    total_ns: int
    max_ns: int
    count: Tuple[int, ...]  # how many took less than 2**i us, and no less than half of that; the last: all others


class DiskStats(NamedTuple):
    """What a disk has done since the machine started."""
    reads: int
    writes: int
    flushes: int
    discards: int
    zeroes: int
    bytes_read: int
    bytes_written: int
    errors: int
    refused: int     # of the errors: out of range, or writes to a read-only disk
    limited: int     # requests that a speed limit held back
    reconnects: int
    read: DiskTime
    write: DiskTime
    flush: DiskTime
    discard: DiskTime
    zero: DiskTime


class UsbDevice(NamedTuple):
    """A USB disk, CD-ROM drive or device of the host of a running machine."""
    uuid: str
    kind: str            # disk, cdrom or host
    storage_device: int  # its number for what is done with disks
    port: int
    attached: bool       # it came while the machine runs
    has_disc: bool       # of a drive: something is in it that the guest has not ejected
    device: str = ""     # of one of the host: as it was described


class HostUsbDevice(NamedTuple):
    """What the host has."""
    device: str  # its port, by which a machine can have it
    vendor: int
    product: int
    bus: int
    address: int
    megabits: int
    maker: str
    name: str
    accessible: bool  # this process may open it


def host_usb_devices() -> List[HostUsbDevice]:
    """The USB devices of this host, but hubs."""
    found: List[HostUsbDevice] = []

    @ffi.callback("vz_host_usb_device_fn")  # type: ignore[untyped-decorator, unused-ignore]
    def see(_: Any, d: Any) -> None:
        found.append(HostUsbDevice(text(d.device) or "", d.vendor, d.product, d.bus, d.address, d.megabits,
                                   text(d.maker) or "", text(d.name) or "", d.accessible))

    called(lib.vz_host_usb_devices, see, ffi.NULL)
    return found


def _member(value: Any) -> Any:
    if isinstance(value, int):
        return value
    return DiskTime(value.total_ns, value.max_ns, tuple(value.count))


class Runtime:
    c: Any  # of Machine
    _listening: Dict[int, int]  # port -> number in listeners

    # ---- Memory --------------------------------------------------------------------------------

    def set_memory_target(self, size: int) -> None:
        """How many bytes the guest should have left; needs a balloon."""
        called(lib.vz_machine_set_memory_target, self.c, size)

    def memory_state(self) -> MemoryState:
        state = ffi.new("struct vz_memory_state *", {"size": ffi.sizeof("struct vz_memory_state")})
        called(lib.vz_machine_memory_state, self.c, state)
        return MemoryState(state.target, state.actual, state.freed)

    # ---- Sockets -------------------------------------------------------------------------------

    def connect(self, port: int) -> Connection:
        """Connect to a port of the guest and wait."""
        return Connection.of(called(lib.vz_machine_socket_connect_wait, self.c, port),
                             borrowed=False)

    def listen(self, port: int, take: Callable[[Connection], Any]) -> None:
        """Take the guest's connections to a port of the host: take(connection) is called as a
        delegate is, and refuses by returning False."""
        number = next(numbers)
        listeners[number] = take
        try:
            called(lib.vz_machine_socket_listen, self.c, port, accept,
                   ffi.cast("void *", number))
        except Exception:
            del listeners[number]
            raise
        listeners.pop(self._listening.get(port, 0), None)
        self._listening[port] = number

    def unlisten(self, port: int) -> None:
        lib.vz_machine_socket_unlisten(self.c, port)
        listeners.pop(self._listening.pop(port, 0), None)

    def _forget_listeners(self) -> None:
        for number in self._listening.values():
            listeners.pop(number, None)
        self._listening.clear()

    # ---- Shared directories --------------------------------------------------------------------

    def set_directory_share(self, device: int, share: Optional[Form]) -> None:
        """Share something else, until the machine stops: single_directory(), multiple_directory();
        None: nothing."""
        called(lib.vz_machine_set_directory_share, self.c, device, directory_share(share))

    # ---- Networks ------------------------------------------------------------------------------

    def set_network_attachment(self, device: int, attachment: Optional[Form]) -> None:
        """Wire a network card elsewhere, until the machine stops: nat(), tap(), ...; None pulls
        the plug."""
        called(lib.vz_machine_set_network_attachment, self.c, device,
               network_attachment(attachment))

    def guest_address(self, device: int = 0) -> GuestAddress:
        """Which address the guest behind a NAT has; the delegate hears when there is another."""
        address = ffi.new("struct vz_guest_address *",
                          {"size": ffi.sizeof("struct vz_guest_address")})
        called(lib.vz_machine_guest_address, self.c, device, address)
        return address_of(address)

    # ---- Disks ---------------------------------------------------------------------------------

    def resize_disk(self, device: int, size: int) -> None:
        """Make a disk longer, to so many bytes; the guest sees it at once."""
        called(lib.vz_machine_resize_disk_wait, self.c, device, size)

    def disk_size(self, device: int = 0) -> int:
        """How many bytes a disk has now."""
        size = ffi.new("uint64_t *")
        called(lib.vz_machine_disk_size, self.c, device, size)
        return int(size[0])

    def set_disk_limits(self, device: int, bytes: int = 0, operations: int = 0, burst: int = 100) -> None:
        """How fast a disk may be from now on, until the machine stops; 0: no limit."""
        limits = ffi.new("struct vz_disk_limits *",
                         {"size": ffi.sizeof("struct vz_disk_limits"), "bytes": bytes,
                          "operations": operations, "burst": burst})
        called(lib.vz_machine_set_disk_limits, self.c, device, limits)

    def disk_limits(self, device: int = 0) -> DiskLimits:
        limits = ffi.new("struct vz_disk_limits *", {"size": ffi.sizeof("struct vz_disk_limits")})
        called(lib.vz_machine_disk_limits, self.c, device, limits)
        return DiskLimits(limits.bytes, limits.operations, limits.burst)

    def disk_stats(self, device: int = 0) -> DiskStats:
        """What a disk has done since the machine started; after a run, at its end."""
        stats = ffi.new("struct vz_disk_stats *", {"size": ffi.sizeof("struct vz_disk_stats")})
        called(lib.vz_machine_disk_stats, self.c, device, stats)
        return DiskStats(*(_member(getattr(stats, name)) for name in DiskStats._fields))

    # ---- USB devices ---------------------------------------------------------------------------

    def attach_usb_device(self, device: Form) -> None:
        """Plug a USB disk or CD-ROM drive in, as storage_devices of a configuration has it; or a device of the host, as
        usb_devices has it."""
        if device.get("type") == "usbHost":
            config = Config.from_json({"usbDevices": [device]})
            called(lib.vz_machine_attach_usb_host_device_wait, self.c, lib.vz_config_usb_device(config.c, 0))
            return
        config = Config.from_json({"storageDevices": [device]})
        called(lib.vz_machine_attach_usb_device_wait, self.c, lib.vz_config_storage_device(config.c, 0))

    def detach_usb_device(self, uuid: str) -> None:
        """Pull a USB disk, CD-ROM drive or device of the host out."""
        called(lib.vz_machine_detach_usb_device_wait, self.c, uuid.encode())

    def set_disc(self, device: int, attachment: Optional[Form], force: bool = False) -> None:
        """Put another disc into a CD-ROM drive: disk_image(), ...; None: none. force: though the guest
        keeps it closed."""
        drive = {"type": "usbCdrom", "attachment": attachment or {"type": "empty"}}
        config = Config.from_json({"storageDevices": [drive]})
        disc = lib.vz_storage_device_attachment(lib.vz_config_storage_device(config.c, 0))
        called(lib.vz_machine_set_disc, self.c, device, disc, force)

    def usb_devices(self) -> List[UsbDevice]:
        """The USB disks, CD-ROM drives and devices of the host that are plugged in."""
        found: List[UsbDevice] = []

        @ffi.callback("vz_usb_device_fn")  # type: ignore[untyped-decorator, unused-ignore]
        def see(_: Any, info: Any) -> None:
            kind = {lib.VZ_USB_CDROM: "cdrom", lib.VZ_USB_HOST_DEVICE: "host"}.get(info.kind, "disk")
            found.append(UsbDevice(text(info.uuid) or "", kind, info.storage_device, info.port, info.attached,
                                   info.has_disc, text(info.device) or ""))

        called(lib.vz_machine_usb_devices, self.c, see, ffi.NULL)
        return found

    # ---- Serial and console ports --------------------------------------------------------------

    def set_serial_attachment(self, index: int, attachment: Optional[Form]) -> None:
        """Have a serial port lead elsewhere, until the machine stops: pty(), file(), ...; None:
        nowhere."""
        called(lib.vz_machine_set_serial_attachment, self.c, index, serial_attachment(attachment))

    def set_console_port_attachment(self, device: int, port: int,
                                    attachment: Optional[Form]) -> None:
        called(lib.vz_machine_set_console_port_attachment, self.c, device, port,
               serial_attachment(attachment))

    def set_serial_window(self, index: int, columns: int, rows: int) -> None:
        """Tell the guest how large the terminal at the host's end of a virtio port is."""
        called(lib.vz_machine_set_serial_window, self.c, index, columns, rows)

    def set_console_port_window(self, device: int, port: int, columns: int, rows: int) -> None:
        called(lib.vz_machine_set_console_port_window, self.c, device, port, columns, rows)

    def set_stdio_window(self, columns: int, rows: int) -> None:
        """The same for every port that leads to standard input and output."""
        called(lib.vz_machine_set_stdio_window, self.c, columns, rows)
