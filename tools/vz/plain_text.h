/* SPDX-License-Identifier: MIT */
/* Text that strangers wrote, for people's terminals and for programs. */
#ifndef VZ_TOOL_PLAIN_TEXT_H
#define VZ_TOOL_PLAIN_TEXT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* The character that s, of len bytes, begins with in UTF-8; returns how many of them it has, 0: it is none. */
size_t plain_text_next(const char *s, size_t len, uint32_t *ret);

/* Make of each control character, of ASCII and of Unicode's second set, a question mark: a terminal would obey it. */
void plain_text(char *text);
/* A string of JSON, in its quotes; bytes that are not UTF-8 become U+FFFD. */
void plain_text_json(FILE *to, const char *text);

#endif
