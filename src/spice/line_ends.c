/* SPDX-License-Identifier: MIT */
#include "spice/line_ends.h"

#include <stdlib.h>

static bool bare(const uint8_t *text, size_t i)
{
    return text[i] == '\n' && (!i || text[i - 1] != '\r');
}

uint8_t *line_ends_to_crlf(const uint8_t *text, size_t len, size_t *ret_len)
{
    size_t more = 0, n = 0;
    uint8_t *to;

    for (size_t i = 0; i < len; i++)
        more += bare(text, i);
    to = malloc(len + more + 1);
    if (!to)
        return NULL;
    for (size_t i = 0; i < len; i++) {
        if (bare(text, i))
            to[n++] = '\r';
        to[n++] = text[i];
    }
    *ret_len = n;
    return to;
}

size_t line_ends_to_lf(uint8_t *text, size_t len)
{
    size_t n = 0;

    for (size_t i = 0; i < len; i++) {
        if (text[i] != '\r' || i + 1 == len || text[i + 1] != '\n')
            text[n++] = text[i];
    }
    return n;
}
