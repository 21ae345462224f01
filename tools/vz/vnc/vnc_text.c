/* SPDX-License-Identifier: MIT */
#include "vnc/vnc_text.h"

#include <stdint.h>
#include <stdlib.h>

#include "plain_text.h"

struct vnc_text vnc_text_from(const char *data, size_t len, bool latin1)
{
    const uint8_t *p = (const uint8_t *)data;
    struct vnc_text to = {malloc(2 * len + 1), 0};
    uint32_t v;

    while (len && !p[len - 1])
        len--;
    for (size_t i = 0, n; to.data && i < len; i += n) {
        n = latin1 ? 1 : plain_text_next(data + i, len - i, &v);
        if (p[i] == '\r' && i + 1 < len && p[i + 1] == '\n')
            continue;
        if (!n || !p[i]) {
            to.data[to.len++] = '?';
            n = 1;
        } else if (latin1 && p[i] >= 0x80) {
            to.data[to.len++] = (char)(0xc0 | p[i] >> 6);
            to.data[to.len++] = (char)(0x80 | (p[i] & 0x3f));
        } else {
            for (size_t k = 0; k < n; k++)
                to.data[to.len++] = data[i + k];
        }
    }
    if (to.data)
        to.data[to.len] = '\0';
    return to;
}

struct vnc_text vnc_text_to_crlf(const struct vnc_text *text)
{
    struct vnc_text to = {malloc(2 * text->len + 1), 0};

    for (size_t i = 0; to.data && i < text->len; i++) {
        if (text->data[i] == '\n')
            to.data[to.len++] = '\r';
        to.data[to.len++] = text->data[i];
    }
    if (to.data)
        to.data[to.len] = '\0';
    return to;
}

struct vnc_text vnc_text_to_latin1(const struct vnc_text *text)
{
    struct vnc_text to = {malloc(text->len + 1), 0};
    uint32_t v = 0;

    for (size_t i = 0, n; to.data && i < text->len; i += n) {
        n = plain_text_next(text->data + i, text->len - i, &v);
        to.data[to.len++] = n && v < 0x100 ? (char)v : '?';
        n = n ? n : 1;
    }
    if (to.data)
        to.data[to.len] = '\0';
    return to;
}
