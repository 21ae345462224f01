/* SPDX-License-Identifier: MIT */
/* See engine.h. */
#include "cpu/x86/engine.h"

#define FOR_ENGINES(c, e) \
    for (const struct x86_engine *const *e = (c)->vm->engine; *e; e++)

void x86_mappings_gone(struct x86_cpu *c, const struct x86_gone *gone)
{
    FOR_ENGINES(c, e)
        if ((*e)->mappings_gone)
            (*e)->mappings_gone(c, gone);
}

void x86_page_watched(struct x86_cpu *c, const uint8_t *host)
{
    FOR_ENGINES(c, e)
        if ((*e)->page_watched)
            (*e)->page_watched(c, host);
}

void x86_code_gone(struct x86_cpu *c, const uint8_t *host, uint64_t granules)
{
    FOR_ENGINES(c, e)
        if ((*e)->code_gone)
            (*e)->code_gone(c, host, granules);
}

void x86_code_empty(struct x86_cpu *c)
{
    FOR_ENGINES(c, e)
        if ((*e)->empty)
            (*e)->empty(c);
}

int x86_engines_create(struct x86_cpu *c)
{
    int r = 0;

    FOR_ENGINES(c, e)
        if (!r && (*e)->create)
            r = (*e)->create(c);
    return r;
}

void x86_engines_destroy(struct x86_cpu *c)
{
    FOR_ENGINES(c, e)
        if ((*e)->destroy)
            (*e)->destroy(c);
}
