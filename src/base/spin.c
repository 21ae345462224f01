/* SPDX-License-Identifier: MIT */
#include "base/spin.h"

#include <sched.h>

#define PAUSES 16

struct spin spin_init(uint32_t max)
{
    cpu_set_t set;
    bool alone = sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) < 2;

    return (struct spin){.max = alone ? 0 : max};
}

void spin_learn(struct spin *s, uint64_t waited_ns)
{
    if (waited_ns > SPIN_SHORT_NS)
        s->ns = s->ns / 2 < SPIN_FIRST_NS ? 0 : s->ns / 2;
    else if (waited_ns > s->ns)
        s->ns = MIN(s->max, s->ns ? s->ns * 2 : SPIN_FIRST_NS);
}

void spin_pause(void)
{
    for (unsigned i = 0; i < PAUSES; i++)
        __builtin_ia32_pause();
    sched_yield();
}
