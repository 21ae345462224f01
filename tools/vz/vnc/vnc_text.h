/* SPDX-License-Identifier: MIT */
/* Text as VNC has it (Latin-1, or UTF-8 whose lines end with CR LF), and as we do: UTF-8 with newlines. */
#ifndef VZ_TOOLS_VNC_TEXT_H
#define VZ_TOOLS_VNC_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* By malloc(), with a 0 behind it; data NULL: no memory. */
struct vnc_text {
    char *data;
    size_t len;
};

/* Ours, of what anybody sent: CR LF becomes a newline, what is no UTF-8 a question mark, and zeros at the end go. */
struct vnc_text vnc_text_from(const char *data, size_t len, bool latin1);
struct vnc_text vnc_text_to_crlf(const struct vnc_text *text);
/* What Latin-1 has not becomes a question mark. */
struct vnc_text vnc_text_to_latin1(const struct vnc_text *text);

#endif
