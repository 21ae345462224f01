/* SPDX-License-Identifier: MIT */
/* Sections of saved states that versions of vz before this one have written: files in tests/golden, which are read for
 * ever. */
#ifndef VZ_TESTS_GOLDEN_H
#define VZ_TESTS_GOLDEN_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "state/state.h"
#include "unit.h"

static inline void golden_path(char ret[256], const char *name)
{
    ck_assert_ptr_nonnull(getenv("VZ_SOURCE"));
    snprintf(ret, 256, "%s/tests/golden/%s", getenv("VZ_SOURCE"), name);
}

/* Is this the file that VZ_GOLDEN_WRITE names, to be made anew? */
static inline bool golden_is_wanted(const char *name)
{
    const char *wanted = getenv("VZ_GOLDEN_WRITE");

    return wanted && !strcmp(wanted, name);
}

/* What is in the file, for state_writer_fini(). now: what this version would write. */
static inline struct state_writer golden_sections(const char *name, const struct state_writer *now)
{
    struct state_writer w = {.capacity = 1 << 20};
    char path[256];
    FILE *f;

    golden_path(path, name);
    if (golden_is_wanted(name)) {
        f = fopen(path, "w");
        ck_assert_ptr_nonnull(f);
        ck_assert_uint_eq(fwrite(now->data, 1, now->len, f), now->len);
        ck_assert_int_eq(fclose(f), 0);
    }
    f = fopen(path, "r");
    ck_assert_msg(f != NULL, "%s", path);
    w.data = malloc(w.capacity);
    ck_assert_ptr_nonnull(w.data);
    w.len = fread(w.data, 1, w.capacity, f);
    fclose(f);
    ck_assert(w.len && w.len < w.capacity);
    return w;
}

#endif
