/* SPDX-License-Identifier: MIT */
#include "base/closest.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#define LEN_MAX 32u /* longer words are no slips of the finger */

static bool same(char a, char b)
{
    return tolower((unsigned char)a) == tolower((unsigned char)b);
}

/* Between words of up to LEN_MAX letters: optimal string alignment, row by row. */
static unsigned distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
    unsigned row[3][LEN_MAX + 1], *before = row[0], *last = row[1], *now = row[2];

    for (unsigned k = 0; k <= b_len; k++)
        last[k] = k;
    for (unsigned i = 1; i <= a_len; i++) {
        unsigned *next = before;

        now[0] = i;
        for (unsigned k = 1; k <= b_len; k++) {
            now[k] = MIN(MIN(last[k], now[k - 1]) + 1, last[k - 1] + !same(a[i - 1], b[k - 1]));
            if (i > 1 && k > 1 && same(a[i - 1], b[k - 2]) && same(a[i - 2], b[k - 1]))
                now[k] = MIN(now[k], before[k - 2] + 1);
        }
        before = last;
        last = now;
        now = next;
    }
    return last[b_len];
}

void closest_try(struct closest *c, const char *candidate)
{
    size_t len = strlen(c->word), other = strlen(candidate);
    unsigned d;

    if (len < 2 || len > LEN_MAX || other > LEN_MAX)
        return;
    d = !strncasecmp(c->word, candidate, len) ? 1 : distance(c->word, len, candidate, other);
    if (d > MAX(len, other) / 3 && d != 1)
        return;
    if (!c->best || d < c->distance) {
        c->best = candidate;
        c->distance = d;
    }
}
