/* SPDX-License-Identifier: MIT */
/* Symbols are X's (keysymdef.h), keys USB's (HID Usage Tables 1.4, chapter 10). */
#include "vnc/vnc_input.h"

#include <stddef.h>
#include <string.h>

#include <vz/input.h>

/* ---- Keys ------------------------------------------------------------------------------------ */

/* What each key of an American keyboard has without and with Shift, from HID's 0x1e and 0x2d on. */
static const char digits[] = "1!2@3#4$5%6^7&8*9(0)";
static const char signs[] = "-_=+[{]}\\|\\|;:'\"`~,<.>/?"; /* 0x32 is the same as 0x31 here */

struct run { /* of symbols that follow each other, as their keys do */
    uint16_t symbol, count;
    uint8_t key;
};

static const struct run runs[] = {
    {0xff08, 1, 0x2a}, /* BackSpace */ {0xff09, 1, 0x2b}, /* Tab */ {0xfe20, 1, 0x2b}, {0xff0d, 1, 0x28}, /* Return */
    {0xff13, 1, 0x48}, /* Pause */ {0xff14, 1, 0x47}, /* Scroll_Lock */ {0xff15, 1, 0x46}, /* Sys_Req */
    {0xff1b, 1, 0x29}, /* Escape */ {0xff50, 1, 0x4a}, /* Home */ {0xff51, 1, 0x50}, {0xff52, 1, 0x52}, /* arrows */
    {0xff53, 1, 0x4f}, {0xff54, 1, 0x51}, {0xff55, 1, 0x4b}, {0xff56, 1, 0x4e}, /* pages */ {0xff57, 1, 0x4d}, /* End */
    {0xff61, 1, 0x46}, /* Print */ {0xff63, 1, 0x49}, /* Insert */ {0xff67, 1, 0x65}, /* Menu */
    {0xff7f, 1, 0x53}, /* Num_Lock */ {0xff8d, 1, 0x58}, /* of the keypad, from here: Enter */ {0xff95, 1, 0x5f},
    {0xff96, 1, 0x5c}, {0xff97, 1, 0x60}, {0xff98, 1, 0x5e}, {0xff99, 1, 0x5a}, {0xff9a, 1, 0x61}, {0xff9b, 1, 0x5b},
    {0xff9c, 1, 0x59}, {0xff9d, 1, 0x5d}, {0xff9e, 2, 0x62}, {0xffaa, 1, 0x55}, {0xffab, 1, 0x57}, {0xffad, 1, 0x56},
    {0xffae, 1, 0x63}, {0xffaf, 1, 0x54}, {0xffb0, 1, 0x62}, {0xffb1, 9, 0x59}, {0xffbd, 1, 0x67},
    {0xffbe, 12, 0x3a}, /* F1 */ {0xffca, 12, 0x68}, /* F13 */
    {0xffe1, 1, 0xe1}, {0xffe2, 1, 0xe5}, /* Shift */ {0xffe3, 1, 0xe0}, {0xffe4, 1, 0xe4}, /* Control */
    {0xffe5, 1, 0x39}, /* Caps_Lock */ {0xffe7, 1, 0xe3}, {0xffe8, 1, 0xe7}, /* Meta */ {0xffe9, 1, 0xe2},
    {0xffea, 1, 0xe6}, /* Alt */ {0xffeb, 1, 0xe3}, {0xffec, 1, 0xe7}, /* Super */ {0xfe03, 1, 0xe6}, /* AltGr */
    {0xffff, 1, 0x4c}, /* Delete */
};

/* 0: none has it. */
static uint8_t key_of(uint32_t symbol)
{
    const char *p;

    if ((symbol | 0x20) >= 'a' && (symbol | 0x20) <= 'z' && symbol < 0x80)
        return (uint8_t)(0x04 + (symbol | 0x20) - 'a');
    if (symbol == ' ')
        return 0x2c;
    if (symbol > ' ' && symbol < 0x7f && (p = strchr(digits, (int)symbol)))
        return (uint8_t)(0x1e + (p - digits) / 2);
    if (symbol > ' ' && symbol < 0x7f && (p = strchr(signs, (int)symbol)))
        return (uint8_t)(0x2d + (p - signs) / 2);
    for (size_t i = 0; i < sizeof(runs) / sizeof(runs[0]); i++) {
        if (symbol >= runs[i].symbol && symbol - runs[i].symbol < runs[i].count)
            return (uint8_t)(runs[i].key + (symbol - runs[i].symbol));
    }
    return 0;
}

void vnc_input_key(struct vnc_input *in, struct vz_machine *m, bool down, uint32_t symbol)
{
    uint8_t key = key_of(symbol), bit = (uint8_t)(1u << key % 8);

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
