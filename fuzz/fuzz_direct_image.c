/* SPDX-License-Identifier: MIT */
/* A shared object that a guest puts where programs run directly: whatever is read of it stays inside of what is
 * there, and so does what is taken for an image. The seed is our own vDSO. */
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

#include "cpu/x86/direct/direct_priv.h"
#include "fuzz.h"
#include "require.h"

#define SEED_SIZE (2 * MEM_PAGE_SIZE) /* a vDSO has two pages at least */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* Not static: a sanitizer sees what is read beside it. */
    struct direct_reach *r = calloc(1, sizeof(*r));
    unsigned at = size && data[size - 1] & 1 ? (REACH_PAGES - 2) * MEM_PAGE_SIZE : 0;

    if (!r)
        return 0;
    for (unsigned n = 0; n < REACH_PAGES; n++)
        r->here[n] = true;
    memcpy(r->code + at, data, MIN(size, (size_t)(REACH_BYTES - at)));
    direct_reach_image(r);
    require(r->image % MEM_PAGE_SIZE == 0 && r->image_size <= REACH_BYTES - r->image, "the image's place");
    for (unsigned n = 0; n < REACH_BYTES; n += 1021)
        require(direct_role_of(r, n) <= ROLE_PART, "a role");
    free(r);
    return 0;
}

size_t fuzz_seed(unsigned index, uint8_t *ret, size_t room)
{
    const void *vdso = (const void *)(uintptr_t)getauxval(AT_SYSINFO_EHDR);

    if (index || !vdso || room < SEED_SIZE)
        return 0;
    memcpy(ret, vdso, SEED_SIZE);
    return SEED_SIZE;
}
