/* SPDX-License-Identifier: MIT */
#include "plain_text.h"

#include <stdbool.h>
#include <stddef.h>

/* The bytes of the character at s in UTF-8; 0: there is none. */
static size_t utf8_length(const unsigned char *s)
{
    size_t len = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf5 ? 4 : 0;

    for (size_t i = 1; i < len; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    }
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf0 && s[1] < 0x90) ||
        (s[0] == 0xf4 && s[1] > 0x8f))
        return 0; /* longer than needed, half of a pair, too large */
    return len;
}

void plain_text(char *text)
{
    unsigned char *s = (unsigned char *)text;

    while (*s) {
        size_t len = utf8_length(s);

        if (s[0] < 0x20 || s[0] == 0x7f || (len == 2 && s[0] == 0xc2 && s[1] < 0xa0))
            *s = '?';
        if (len == 2 && *s == '?')
            s[1] = '?';
        s += len ? len : 1;
    }
}

void plain_text_json(FILE *to, const char *text)
{
    const unsigned char *s = (const unsigned char *)text;

    fputc('"', to);
    while (*s) {
        size_t len = utf8_length(s);

        if (!len)
            fputs("\\ufffd", to);
        else if (*s < 0x20 || *s == 0x7f)
            fprintf(to, "\\u%04x", *s);
        else if (*s == '"' || *s == '\\')
            fprintf(to, "\\%c", *s);
        else
            fwrite(s, 1, len, to);
        s += len ? len : 1;
    }
    fputc('"', to);
}
