/* SPDX-License-Identifier: MIT */
/* Lines that end with a newline, and those of guests that want a carriage return in front of it. */
#ifndef VZ_SPICE_LINE_ENDS_H
#define VZ_SPICE_LINE_ENDS_H

#include "base/compiler.h"

/* A copy by malloc() in which each line ends with CR and LF; NULL without memory. */
uint8_t *line_ends_to_crlf(const uint8_t *text, size_t len, size_t *ret_len);
/* In place: CR LF becomes LF. Returns how long it is then. */
size_t line_ends_to_lf(uint8_t *text, size_t len);

#endif
