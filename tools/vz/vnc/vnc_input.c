/* SPDX-License-Identifier: MIT */
#include "vnc/vnc_input.h"

#include <vz/input.h>

#include "input/key_map.h"
#include "view_channel.h"

/* ---- Keys ------------------------------------------------------------------------------------ */

void vnc_input_key(struct view_channel *to, bool down, uint32_t symbol)
{
    uint8_t key = key_of_symbol(symbol);
    const struct vz_channel_key m = {.kind = VZ_CHANNEL_KEY, .key = VZ_KEY(key), .down = down};

    if (key)
        (void)view_channel_send(to, &m, sizeof(m));
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

void vnc_input_pointer(struct vnc_input *in, struct view_channel *to, unsigned buttons, unsigned x, unsigned y,
                       unsigned width, unsigned height)
{
    unsigned pressed = buttons & ~in->buttons;
    const struct vz_channel_pointer m = {.kind = VZ_CHANNEL_POINTER, .x = scaled(x, width), .y = scaled(y, height),
                                         .buttons = buttons_of(buttons), .wheel = notches(pressed, 3, 4),
                                         .wheel_horizontal = notches(pressed, 6, 5)};

    in->buttons = buttons;
    (void)view_channel_send(to, &m, sizeof(m));
}
