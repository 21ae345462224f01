/* SPDX-License-Identifier: MIT */
/* Which keys of an American keyboard have what: by X's numbers of symbols (keysymdef.h), of which ASCII's are the characters
 * themselves; and by the names that people give to keys. */
#ifndef VZ_TOOLS_KEY_MAP_H
#define VZ_TOOLS_KEY_MAP_H

#include <stdbool.h>
#include <stdint.h>

/* The key of USB's keyboard page (HID Usage Tables 1.4, chapter 10); 0: none has it. */
uint8_t key_of_symbol(uint32_t symbol);

#define KEY_CHORD_MAX 8u

/* Keys as <vz/input.h> has them, pressed in this order, and released in the other. */
struct key_chord {
    uint32_t key[KEY_CHORD_MAX];
    unsigned count;
};

/* "ctrl-alt-delete", "enter", "f12", "super", "a", "ctrl-c". False: it is none. */
bool key_chord_parse(const char *text, struct key_chord *ret);
/* The keys for a character: tab, new line, and what can be seen of ASCII. False: there are none. */
bool key_chord_of(char c, struct key_chord *ret);
/* Are there keys for all of its characters? */
bool key_is_typable(const char *text);

#endif
