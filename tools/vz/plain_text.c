/* SPDX-License-Identifier: MIT */
#include "plain_text.h"

#include <string.h>

size_t plain_text_next(const char *s, size_t len, uint32_t *ret)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const uint8_t *p = (const uint8_t *)s;
    size_t n = p[0] < 0x80 ? 1 : p[0] >> 5 == 6 ? 2 : p[0] >> 4 == 14 ? 3 : p[0] >> 3 == 30 ? 4 : 0;
    uint32_t v = n == 1 ? p[0] : p[0] & (0x7fu >> n);

    if (!n || n > len)
        return 0;
    for (size_t i = 1; i < n; i++) {
        if (p[i] >> 6 != 2)
            return 0;
        v = v << 6 | (p[i] & 0x3f);
    }
    if (v < least[n] || v > 0x10ffff || (v >= 0xd800 && v < 0xe000))
        return 0; /* longer than needed, too large, half of a pair */
    *ret = v;
    return n;
}

void plain_text(char *text)
{
    uint32_t c;

    for (size_t left = strlen(text), len; left; text += len, left -= len) {
        len = plain_text_next(text, left, &c);
        if (len && (c < 0x20 || (c >= 0x7f && c < 0xa0)))
            memset(text, '?', len);
        len = len ? len : 1;
    }
}

void plain_text_json(FILE *to, const char *text)
{
    uint32_t c;

    fputc('"', to);
    for (size_t left = strlen(text), len; left; text += len, left -= len) {
        len = plain_text_next(text, left, &c);
        if (!len)
            fputs("\\ufffd", to);
        else if (c < 0x20 || c == 0x7f)
            fprintf(to, "\\u%04x", (unsigned)c);
        else if (c == '"' || c == '\\')
            fprintf(to, "\\%c", (int)c);
        else
            fwrite(text, 1, len, to);
        len = len ? len : 1;
    }
    fputc('"', to);
}
