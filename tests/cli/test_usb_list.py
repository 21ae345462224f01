# SPDX-License-Identifier: MIT
"""USB devices of the host in options, configurations and lists. tests/boot/test_usb_host.py uses some."""
import json
import os

import pytest

SHOWN = os.path.isdir("/sys/bus/usb/devices")


def test_the_host_s_devices_are_listed(vz):
    r = vz("usb", "list", "--json")
    if not SHOWN:
        assert r.status == 1 and "a container, or a kernel without USB" in r.err, r
        return
    assert r.status == 0, r
    for d in json.loads(r.out):
        assert os.path.isdir(f"/sys/bus/usb/devices/{d['device']}") and len(d["id"]) == 9, d


def test_wrong_words_are_refused(vz):
    r = vz("usb", "show")
    assert r.status == 2 and "(list)" in r.err, r
    assert vz("usb").status == 2


def config(vz, *options):
    r = vz("run", "--kernel", "/k", *options, "--print-config")
    assert r.status == 0, r
    return json.loads(r.out)


def test_options_describe_devices_and_controllers(vz):
    c = config(vz, "--usb", "host=1-2.3", "--usb=host=046d:c52b,uuid=12345678-9abc-4def-8012-3456789abcde")
    assert c["usbDevices"] == [{"type": "usbHost", "device": "1-2.3"},
                               {"type": "usbHost", "device": "046d:c52b", "uuid": "12345678-9abc-4def-8012-3456789abcde"}]
    assert not c.get("usbControllers")
    c = config(vz, "--usb")
    assert c["usbControllers"] == [{"type": "xhci"}] and not c.get("usbDevices")


@pytest.mark.parametrize("value, text", [("host=", "USB device"), ("stick", "expected host=DEVICE")])
def test_values_that_say_nothing_are_refused(vz, value, text):
    r = vz("run", "--kernel", "/k", "--usb", value, "--print-config")
    assert r.status == 2 and text in r.err, r


@pytest.mark.parametrize("device, text", [("x", "is no USB device: expected its port"), ("255-255.255", "no")])
def test_what_is_not_there_does_not_start(vz, tiny_kernel, device, text):
    r = vz("run", "--kernel", tiny_kernel(b"\xfa\xf4\xeb\xfd"), "--usb", f"host={device}")
    assert r.status in (1, 2) and text in r.err and "usbDevices[0]" in r.err, r
