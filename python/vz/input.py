# SPDX-License-Identifier: MIT
"""Typing and pointing in a running machine, <vz/input.h>: a part of Machine."""
from typing import Any, NamedTuple, Sequence

from ._library import ffi, lib
from .runtime import called

POINTER_MAX = int(lib.VZ_POINTER_MAX)  # the right and lower edge of the screen
WHEEL_NOTCH = int(lib.VZ_WHEEL_NOTCH)  # of a wheel: one click
KEY_FN = int(lib.VZ_KEY_FN)            # of a Mac keyboard


def key(usage: int) -> int:
    """A key of the USB usage tables' page 7: 0x04 is A, 0x28 Enter, 0xe1 the left Shift key."""
    return 0x00070000 | usage


def consumer_key(usage: int) -> int:
    """A media key: 0xe2 is mute."""
    return 0x000C0000 | usage


def system_key(usage: int) -> int:
    """0x81 is power down, 0x82 sleep, 0x83 wake up."""
    return 0x00010000 | usage


class Touch(NamedTuple):
    """A finger on a trackpad."""
    id: int  # the same as long as it stays on
    x: int   # 0..POINTER_MAX, from the upper left corner
    y: int


class Leds(NamedTuple):
    """Which lights of a keyboard the guest has switched on."""
    num_lock: bool
    caps_lock: bool
    scroll_lock: bool


class Input:
    c: Any  # of Machine

    def send_key(self, usage: int, down: bool, keyboard: int = 0) -> None:
        """Press or release a key: key(), consumer_key(), system_key() or KEY_FN."""
        called(lib.vz_machine_send_key, self.c, keyboard, usage, down)

    def release_keys(self, keyboard: int = 0) -> None:
        """Release all keys that are down."""
        called(lib.vz_machine_release_keys, self.c, keyboard)

    def keyboard_leds(self, keyboard: int = 0) -> Leds:
        leds = ffi.new("unsigned *")
        called(lib.vz_machine_keyboard_leds, self.c, keyboard, leds)
        return Leds(*(bool(leds[0] & bit) for bit in (lib.VZ_LED_NUM_LOCK, lib.VZ_LED_CAPS_LOCK, lib.VZ_LED_SCROLL_LOCK)))

    def send_pointer(self, device: int = 0, x: int = 0, y: int = 0, dx: int = 0, dy: int = 0, buttons: int = 0,
                     wheel: int = 0, wheel_horizontal: int = 0) -> None:
        """Where a pointing device is now (x, y: a pointer's; dx, dy: how far a mouse or trackpad was moved), which buttons are
        down (1 left, 2 right, 4 middle, 8 back, 16 forward), and how far its wheels were turned, in 1/WHEEL_NOTCH."""
        event = {"size": ffi.sizeof("struct vz_pointer_event"), "x": x, "y": y, "dx": dx, "dy": dy, "buttons": buttons,
                 "wheel": wheel, "wheel_horizontal": wheel_horizontal}
        called(lib.vz_machine_send_pointer, self.c, device, ffi.new("struct vz_pointer_event *", event))

    def send_touches(self, touches: Sequence[Touch], device: int = 0, pressed: bool = False) -> None:
        """Which fingers are on a trackpad now, and where; pressed: the pad is pressed down."""
        fingers = ffi.new("struct vz_touch[]", [tuple(touch) for touch in touches])
        called(lib.vz_machine_send_touches, self.c, device, fingers, len(touches), pressed)
