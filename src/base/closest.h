/* SPDX-License-Identifier: MIT */
/* "Did you mean": the word out of some that another one was probably meant to be. */
#ifndef VZ_BASE_CLOSEST_H
#define VZ_BASE_CLOSEST_H

#include "base/compiler.h"

struct closest {
    const char *word;   /* what was written */
    const char *best;   /* the closest so far; NULL: none is close */
    unsigned distance;  /* of best: letters to change, add, leave out or swap */
};

/* Start with {.word = ...}, then try each candidate, which lives as long as best is used. Close is
 * what differs in one letter of three, or begins with word. */
void closest_try(struct closest *c, const char *candidate);

#endif
