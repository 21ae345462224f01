/* SPDX-License-Identifier: MIT */
#include "input/key_map.h"

#include <string.h>
#include <strings.h>

#include <vz/input.h>

/* ---- Symbols --------------------------------------------------------------------------------- */

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

uint8_t key_of_symbol(uint32_t symbol)
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

/* Is the character had with Shift? */
static bool is_shifted(char c)
{
    const char *p = c ? strchr(digits, c) : NULL;

    if (c >= 'A' && c <= 'Z')
        return true;
    if (p)
        return (p - digits) % 2;
    p = c ? strchr(signs, c) : NULL;
    return p && (p - signs) % 2;
}

/* ---- Names ------------------------------------------------------------------------------------ */

static const struct {
    const char *name;
    uint32_t key;
} names[] = {
    {"enter", VZ_KEY(0x28)}, {"esc", VZ_KEY(0x29)}, {"escape", VZ_KEY(0x29)}, {"backspace", VZ_KEY(0x2a)},
    {"tab", VZ_KEY(0x2b)}, {"space", VZ_KEY(0x2c)}, {"minus", VZ_KEY(0x2d)}, {"capslock", VZ_KEY(0x39)},
    {"f1", VZ_KEY(0x3a)}, {"f2", VZ_KEY(0x3b)}, {"f3", VZ_KEY(0x3c)}, {"f4", VZ_KEY(0x3d)}, {"f5", VZ_KEY(0x3e)},
    {"f6", VZ_KEY(0x3f)}, {"f7", VZ_KEY(0x40)}, {"f8", VZ_KEY(0x41)}, {"f9", VZ_KEY(0x42)}, {"f10", VZ_KEY(0x43)},
    {"f11", VZ_KEY(0x44)}, {"f12", VZ_KEY(0x45)}, {"print", VZ_KEY(0x46)}, {"sysrq", VZ_KEY(0x46)},
    {"scrolllock", VZ_KEY(0x47)}, {"pause", VZ_KEY(0x48)}, {"insert", VZ_KEY(0x49)}, {"home", VZ_KEY(0x4a)},
    {"pageup", VZ_KEY(0x4b)}, {"delete", VZ_KEY(0x4c)}, {"end", VZ_KEY(0x4d)}, {"pagedown", VZ_KEY(0x4e)},
    {"right", VZ_KEY(0x4f)}, {"left", VZ_KEY(0x50)}, {"down", VZ_KEY(0x51)}, {"up", VZ_KEY(0x52)},
    {"numlock", VZ_KEY(0x53)}, {"menu", VZ_KEY(0x65)}, {"ctrl", VZ_KEY(0xe0)}, {"shift", VZ_KEY(0xe1)},
    {"alt", VZ_KEY(0xe2)}, {"super", VZ_KEY(0xe3)}, {"rightctrl", VZ_KEY(0xe4)}, {"rightshift", VZ_KEY(0xe5)},
    {"altgr", VZ_KEY(0xe6)}, {"rightsuper", VZ_KEY(0xe7)}, {"fn", VZ_KEY_FN}, {"mute", VZ_KEY_CONSUMER(0xe2)},
    {"volumeup", VZ_KEY_CONSUMER(0xe9)}, {"volumedown", VZ_KEY_CONSUMER(0xea)}, {"power", VZ_KEY_SYSTEM(0x81)},
    {"sleep", VZ_KEY_SYSTEM(0x82)}, {"wakeup", VZ_KEY_SYSTEM(0x83)},
};

/* A name, or a character. 0: neither. */
static uint32_t key_called(const char *name, size_t len)
{
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strlen(names[i].name) == len && !strncasecmp(names[i].name, name, len))
            return names[i].key;
    }
    if (len != 1 || *name <= ' ' || *name > '~' || !key_of_symbol((uint8_t)*name))
        return 0;
    return VZ_KEY(key_of_symbol((uint8_t)*name));
}

bool key_chord_parse(const char *text, struct key_chord *ret)
{
    ret->count = 0;
    for (;;) {
        size_t len = strcspn(text, "-");
        uint32_t key = key_called(text, len);
        bool sign = len == 1 && is_shifted(*text) && !(*text >= 'A' && *text <= 'Z'); /* ctrl-C is ctrl-c */

        if (!key || ret->count + sign >= KEY_CHORD_MAX)
            return false;
        if (sign)
            ret->key[ret->count++] = VZ_KEY(0xe1);
        ret->key[ret->count++] = key;
        if (!text[len])
            return true;
        text += len + 1;
    }
}

bool key_chord_of(char c, struct key_chord *ret)
{
    uint8_t key = c == '\n' ? 0x28 : c == '\t' ? 0x2b : key_of_symbol((uint8_t)c);

    if (!key || (uint8_t)c > '~')
        return false;
    ret->count = 0;
    if (is_shifted(c))
        ret->key[ret->count++] = VZ_KEY(0xe1);
    ret->key[ret->count++] = VZ_KEY(key);
    return true;
}

bool key_is_typable(const char *text)
{
    struct key_chord c;

    while (*text && key_chord_of(*text, &c))
        text++;
    return !*text;
}
