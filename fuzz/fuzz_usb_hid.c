/* SPDX-License-Identifier: MIT */
/* A keyboard, pointer or trackpad (KIND) under a host that sends any request, and a program that types and points
 * anything. Reports fit, and end when nothing more comes. */
#include <stdlib.h>

#include "no_check.h"

#include "fake_machine.h"
#include "fuzz_input.h"
#include "usb/hid.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t report[64];
static const struct iovec iov = {.iov_base = report, .iov_len = sizeof(report)};
static bool waits;

static void done(struct usb_xfer *x, enum usb_result result)
{
    require(x->actual <= sizeof(report), "a long report");
    waits = false;
}

static void request(struct usb_dev *d, struct input *in)
{
    static uint8_t data[USB_CONTROL_MAX];
    struct usb_setup s = {.type = (uint8_t)take(in, 1), .request = (uint8_t)(take(in, 1) % 16),
                          .value = (uint16_t)take(in, 2), .index = (uint16_t)(take(in, 1) % 4),
                          .length = (uint16_t)(take(in, 2) % (USB_CONTROL_MAX + 1))};
    int r;

    if (take(in, 1) & 1)
        s.type = (s.type & USB_DIR_IN) | USB_TYPE_CLASS | USB_TO_INTERFACE;
    data[0] = (uint8_t)take(in, 1);
    data[1] = (uint8_t)take(in, 1);
    r = usb_control(d, &s, data);
    require(r < 0 || r <= s.length, "more than was asked for");
}

static void press(struct usb_dev *d, struct input *in)
{
    static const uint32_t pages[] = {0x70000, 0xc0000, 0x10000, 0xff0000, 0};

    hid_key(d, pages[take(in, 1) % ARRAY_SIZE(pages)] | (uint32_t)take(in, 2), take(in, 1) & 1);
    if (!take(in, 1))
        hid_keys_up(d);
}

static void point(struct usb_dev *d, struct input *in)
{
    hid_pointer_send(d, &(struct hid_pointer_event){
        .x = (uint16_t)take(in, 2), .y = (uint16_t)take(in, 2), .dx = (int32_t)take(in, 4), .dy = (int32_t)take(in, 1),
        .buttons = (uint32_t)take(in, 1), .wheel = (int32_t)take(in, 4), .pan = (int8_t)take(in, 1)});
}

static void finger(struct usb_dev *d, struct input *in)
{
    struct hid_touch t[HID_TOUCHES];
    unsigned count = (unsigned)take(in, 1) % (HID_TOUCHES + 1);

    for (unsigned i = 0; i < count; i++)
        t[i] = (struct hid_touch){(uint32_t)take(in, 1) % 9, (uint16_t)take(in, 2), (uint16_t)take(in, 2)};
    hid_touches_send(d, t, count, take(in, 1) & 1);
}

static void input(struct usb_dev *d, struct input *in)
{
    if (KIND == HID_KEYBOARD)
        press(d, in);
    else if (KIND == HID_TRACKPAD && take(in, 1) & 1)
        finger(d, in);
    else
        point(d, in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct usb_setup configure = {.request = USB_SET_CONFIGURATION, .value = 1};
    struct input in = {data, size};
    struct usb_xfer x = {.ep = 0x81, .iov = &iov, .iov_count = 1, .len = sizeof(report), .done = done};
    struct fake_machine m;
    struct usb_dev *d;
    unsigned n = 0;

    fake_machine_init(&m);
    require(!hid_create(m.bus, KIND, 1, &d), "no device");
    require(!usb_control(d, &configure, NULL), "it cannot be configured");
    waits = false;
    while (in.len) {
        switch (take(&in, 1) % 4) {
        case 0: request(d, &in); break;
        case 1:
            if (!waits) {
                waits = true;
                usb_submit(d, &x);
            }
            break;
        default: input(d, &in);
        }
    }
    if (waits)
        usb_cancel(d, &x);
    require(!waits, "it does not let go");
    require(!usb_control(d, &configure, NULL), "it cannot be configured");
    input(d, &in);
    for (n = 0; n < 1000 && !waits; n++) {
        waits = true;
        usb_submit(d, &x);
    }
    require(waits, "reports without an end");
    fake_machine_fini(&m);
    return 0;
}
