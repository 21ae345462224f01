/* SPDX-License-Identifier: MIT */
/* What a fuzz target gives: libFuzzer's interface, so that the same file links with
 * -fsanitize=fuzzer or with mutate.c. */
#ifndef VZ_FUZZ_FUZZ_H
#define VZ_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Must return for every input; a crash or a sanitizer's report is the finding. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Inputs to start from, for a run without a corpus: fill in at most room bytes of the seed with
 * this number, return its length; 0: there is no such seed. */
size_t fuzz_seed(unsigned index, uint8_t *ret, size_t room);

/* The same, where they are these texts. */
static inline size_t fuzz_seed_of(const char *const *seeds, size_t count, unsigned index, uint8_t *ret, size_t room)
{
    size_t len = index < count ? strlen(seeds[index]) : 0;

    if (!len || len > room)
        return 0;
    memcpy(ret, seeds[index], len);
    return len;
}

#endif
