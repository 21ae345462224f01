/* SPDX-License-Identifier: MIT */
/* Keys by where they are on the keyboard, whatever its layout says they mean. */
#ifndef VZ_GTK_VIEW_KEYS_H
#define VZ_GTK_VIEW_KEYS_H

#include <stdbool.h>
#include <stdint.h>

/* The usage (<vz/input.h>) of a key of Linux' input system, which is 8 less than what X11 and Wayland call it. 0: there
 * is none. */
uint32_t view_key_usage(uint32_t linux_code);

#define VIEW_KEYS_MAX 32u

/* Those that are down in the guest because of us. */
struct view_keys {
    uint32_t down[VIEW_KEYS_MAX];
    unsigned count;
};

/* A key goes down or up. Returns whether that is news: one that repeats, or whose press went elsewhere, is not. */
bool view_keys_change(struct view_keys *k, uint32_t usage, bool down);
bool view_keys_has(const struct view_keys *k, uint32_t usage);
/* One that is down, the last first, which is up then; 0: there is none. */
uint32_t view_keys_pop(struct view_keys *k);

#endif
