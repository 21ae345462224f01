/* SPDX-License-Identifier: MIT */
#include "base/utf8.h"

size_t utf8_len(const char *s)
{
    const uint8_t *p = (const uint8_t *)s;
    size_t len = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;

    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    }
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
        (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return len;
}

bool utf8_is_text(const char *s)
{
    size_t len = 1;

    for (; *s && len; s += len)
        len = utf8_len(s);
    return len;
}
