/* SPDX-License-Identifier: MIT */
/* Text of others: is it text? */
#ifndef VZ_BASE_UTF8_H
#define VZ_BASE_UTF8_H

#include "base/compiler.h"

/* Bytes of the character that s, which ends with 0, begins with in UTF-8. 0: it is none: longer than it must be, half of a
 * pair, or beyond Unicode's last. */
size_t utf8_len(const char *s);

/* Is all of it characters? */
bool utf8_is_text(const char *s);

#endif
