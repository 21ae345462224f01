/* SPDX-License-Identifier: MIT */
/* Text that strangers wrote, for people's terminals and for programs. */
#ifndef VZ_TOOL_PLAIN_TEXT_H
#define VZ_TOOL_PLAIN_TEXT_H

#include <stdio.h>

/* Make of each control character, of ASCII and of Unicode's second set, a question mark: a terminal would obey it. */
void plain_text(char *text);
/* A string of JSON, in its quotes; bytes that are not UTF-8 become U+FFFD. */
void plain_text_json(FILE *to, const char *text);

#endif
