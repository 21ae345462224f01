/* SPDX-License-Identifier: MIT */
#include "vnc/vnc_input.h"

#include <string.h>

#include <vz/input.h>

#include "input/key_map.h"

/* ---- Keys ------------------------------------------------------------------------------------ */

void vnc_input_key(struct vnc_input *in, struct vz_machine *m, bool down, uint32_t symbol)
{
    uint8_t key = key_of_symbol(symbol), bit = (uint8_t)(1u << key % 8);

    if (!key)
        return;
    in->down[key / 8] = (uint8_t)(down ? in->down[key / 8] | bit : in->down[key / 8] & ~bit);
    (void)!vz_machine_send_key(m, 0, VZ_KEY(key), down, NULL);
}

void vnc_input_release(struct vnc_input *in, struct vz_machine *m)
{
    for (unsigned key = 1; key < 256; key++) {
        if (in->down[key / 8] >> key % 8 & 1)
            (void)!vz_machine_send_key(m, 0, VZ_KEY(key), false, NULL);
    }
    memset(in->down, 0, sizeof(in->down));
    if (in->buttons)
        vnc_input_pointer(in, m, 0, 0, 0, 0, 0);
}

/* ---- The pointer ----------------------------------------------------------------------------- */

/* RFB's left, middle, right, back and forward. */
static uint32_t buttons_of(unsigned rfb)
{
    return (rfb & 1 ? VZ_BUTTON_LEFT : 0u) | (rfb & 2 ? VZ_BUTTON_MIDDLE : 0u) | (rfb & 4 ? VZ_BUTTON_RIGHT : 0u) |
           (rfb & 0x80 ? VZ_BUTTON_BACK : 0u);
}

static uint16_t scaled(unsigned at, unsigned size)
{
    return (uint16_t)(size < 2 || at >= size ? VZ_POINTER_MAX : (uint64_t)at * VZ_POINTER_MAX / (size - 1));
}

/* One notch for each press. */
static int32_t notches(unsigned pressed, unsigned plus, unsigned minus)
{
    return (pressed >> plus & 1 ? VZ_WHEEL_NOTCH : 0) - (pressed >> minus & 1 ? VZ_WHEEL_NOTCH : 0);
}

void vnc_input_pointer(struct vnc_input *in, struct vz_machine *m, unsigned buttons, unsigned x, unsigned y,
                       unsigned width, unsigned height)
{
    struct vz_pointer_event e = VZ_POINTER_EVENT_INIT;
    unsigned pressed = buttons & ~in->buttons;

    e.x = scaled(x, width);
    e.y = scaled(y, height);
    e.buttons = buttons_of(buttons);
    e.wheel = notches(pressed, 3, 4);
    e.wheel_horizontal = notches(pressed, 6, 5);
    in->buttons = buttons;
    (void)!vz_machine_send_pointer(m, 0, &e, NULL);
}
