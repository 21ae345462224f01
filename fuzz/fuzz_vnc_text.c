/* SPDX-License-Identifier: MIT */
/* Text that VNC clients and guests say they have copied: what is handed on is UTF-8 without zeros, comes back the same,
 * and has as many characters in Latin-1. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "require.h"
#include "vnc/vnc_text.h"

static void check(const char *data, size_t len, bool latin1)
{
    struct vnc_text text = vnc_text_from(data, len, latin1), lines, again, one;
    size_t characters = 0;

    if (!text.data)
        return;
    lines = vnc_text_to_crlf(&text);
    one = vnc_text_to_latin1(&text);
    require(strlen(text.data) == text.len && text.len <= 2 * len, "a zero, or too long");
    for (size_t i = 0; i < text.len; i++)
        characters += (text.data[i] & 0xc0) != 0x80;
    require(one.len == characters, "characters got lost");
    again = vnc_text_from(lines.data, lines.len, false);
    require(latin1 || strstr(text.data, "\r\n") ||
                (again.len == text.len && !memcmp(again.data, text.data, text.len)), "another text came back");
    free(text.data);
    free(lines.data);
    free(one.data);
    free(again.data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check((const char *)data, size, false);
    check((const char *)data, size, true);
    return 0;
}

size_t fuzz_seed(unsigned index, uint8_t *ret, size_t room)
{
    static const char *const seeds[] = {"one\r\ntwo\n", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80",
                                        "\xed\xa0\x80\xc0\x80\xff"};

    if (index >= 3 || room < 16)
        return 0;
    memcpy(ret, seeds[index], strlen(seeds[index]));
    return strlen(seeds[index]);
}
