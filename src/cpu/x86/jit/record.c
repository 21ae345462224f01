/* SPDX-License-Identifier: MIT */
/* See record.h. All vCPUs append to one file, a block at a time. */
#include "cpu/x86/jit/record.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cpu/x86/fpu/fpu.h"
#include "cpu/x86/jit/jit_priv.h"

int jit_record_open(void)
{
    char name[64];

    snprintf(name, sizeof(name), "/tmp/vz-code-%d", (int)getpid());
    return open(name, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
}

void jit_record_block(struct x86_cpu *c, const struct block *b)
{
    struct jit_record r;

    if (likely(c->jit->record < 0))
        return;
    fpu_park(c);
    memset(&r, 0, sizeof(r));
    r.rip = b->home_rip;
    r.code_size = c->code_size;
    r.insns = block_end(b)->insns;
    r.crosses = block_page(b, 1) != NULL;
    if (r.crosses)
        memcpy(r.second, block_page(b, 1), sizeof(r.second));
    memcpy(r.page, block_page(b, 0), sizeof(r.page));
    if (write(c->jit->record, &r, sizeof(r)) != (ssize_t)sizeof(r)) { /* no more of it then */
        close(c->jit->record);
        c->jit->record = -1;
    }
}
