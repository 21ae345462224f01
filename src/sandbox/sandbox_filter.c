/* SPDX-License-Identifier: MIT */
/* Call after call: "if it is this one", with its rows behind it, each of which ends in a verdict. */
#include "sandbox/sandbox_filter.h"

#include <errno.h>
#include <limits.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/syscall.h>

#include "sandbox/sandbox_calls.h"

#define NOTHING UINT_MAX

struct program {
    struct sock_filter *code;
    unsigned count, max;
    unsigned at_hand; /* which argument was loaded last, and is unchanged; NOTHING: none */
    const struct sandbox_filter_options *o;
};

static unsigned put(struct program *p, unsigned code, uint8_t jt, uint8_t jf, uint32_t k)
{
    if (p->count < p->max)
        p->code[p->count] = (struct sock_filter){(uint16_t)code, jt, jf, k};
    return p->count++;
}

static void load(struct program *p, size_t offset)
{
    put(p, BPF_LD | BPF_W | BPF_ABS, 0, 0, (uint32_t)offset);
}

static void verdict(struct program *p, uint32_t value)
{
    put(p, BPF_RET | BPF_K, 0, 0, value);
}

/* The jump at `from` goes to here when its test fails. */
static void land(struct program *p, unsigned from)
{
    unsigned over = p->count - from - 1;

    if (over > UINT8_MAX)
        p->count = p->max + 1; /* too many rows: no filter, rather than one that goes elsewhere */
    else if (from < p->max)
        p->code[from].jf = (uint8_t)over;
}

/* Returns the jump that is taken when what was loaded does not pass. */
static unsigned test(struct program *p, const struct sandbox_check *c)
{
    switch (c->kind) {
    case SANDBOX_NONE:
        put(p, BPF_ALU | BPF_AND | BPF_K, 0, 0, c->value);
        return put(p, BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 0);
    case SANDBOX_ALL:
        put(p, BPF_ALU | BPF_AND | BPF_K, 0, 0, c->value);
        return put(p, BPF_JMP | BPF_JEQ | BPF_K, 0, 0, c->value);
    default:
        return put(p, BPF_JMP | BPF_JEQ | BPF_K, 0, 0, c->kind == SANDBOX_SELF ? p->o->self : c->value);
    }
}

static void row(struct program *p, const struct sandbox_row *r)
{
    unsigned from[ARRAY_SIZE(r->check)], count = 0;

    for (unsigned i = 0; i < ARRAY_SIZE(r->check) && r->check[i].kind != SANDBOX_ANY; i++) {
        bool keeps = r->check[i].kind == SANDBOX_IS || r->check[i].kind == SANDBOX_SELF;

        if (p->at_hand != r->check[i].arg)
            load(p, offsetof(struct seccomp_data, args) + r->check[i].arg * sizeof(uint64_t));
        from[count++] = test(p, &r->check[i]);
        p->at_hand = keeps ? r->check[i].arg : NOTHING;
    }
    if (count != 1)
        p->at_hand = NOTHING; /* the next row is come to from either test */
    verdict(p, SECCOMP_RET_ALLOW);
    while (count)
        land(p, from[--count]);
}

/* What is in no row. A program's thread that no guest talks to goes on, and says what it could not do. So does VNC's
 * process: it has nothing but viewers, and what its libraries do for one of them must not take the others'. */
static uint32_t otherwise(const struct program *p)
{
    bool goes_on = p->o->kind >= THREAD_SERVE || p->o->kind == THREAD_VNC;

    return goes_on && !p->o->gate ? SECCOMP_RET_ERRNO | EPERM : SECCOMP_RET_TRAP;
}

/* All rows of a call: [first, end). */
static void call(struct program *p, const struct sandbox_row *first, const struct sandbox_row *end)
{
    unsigned from = 0;
    int error = 0;
    bool any = false, always = false;

    p->at_hand = NOTHING;
    for (; first < end && !always; first++) {
        if (!(first->kinds & sandbox_kinds_of(p->o->kind)) || (first->needs && !(first->needs & p->o->features)))
            continue;
        if (!any)
            from = put(p, BPF_JMP | BPF_JEQ | BPF_K, 0, 0, (uint32_t)first->nr);
        any = true;
        error = first->error ? first->error : error;
        always = first->check[0].kind == SANDBOX_ANY && first->error == 0;
        if (always || first->check[0].kind != SANDBOX_ANY)
            row(p, first);
    }
    if (any && !always)
        verdict(p, error ? SECCOMP_RET_ERRNO | (uint32_t)error : otherwise(p));
    if (any)
        land(p, from);
}

/* Calls at the gate, which is in one 4 GiB. */
static void gate(struct program *p, uint64_t at)
{
    unsigned high, low;

    load(p, offsetof(struct seccomp_data, instruction_pointer) + sizeof(uint32_t));
    high = put(p, BPF_JMP | BPF_JEQ | BPF_K, 0, 0, (uint32_t)(at >> 32));
    load(p, offsetof(struct seccomp_data, instruction_pointer));
    low = put(p, BPF_JMP | BPF_JEQ | BPF_K, 0, 0, (uint32_t)at);
    verdict(p, SECCOMP_RET_ALLOW);
    land(p, low);
    land(p, high);
}

static void one(struct program *p, uint32_t nr, uint32_t what)
{
    put(p, BPF_JMP | BPF_JEQ | BPF_K, 0, 1, nr);
    verdict(p, what);
}

unsigned sandbox_filter(struct sock_filter *ret, unsigned max, const struct sandbox_filter_options *o)
{
    struct program p = {.code = ret, .max = max, .o = o};
    unsigned count, begin, end;
    const struct sandbox_row *rows = sandbox_rows(&count);

    load(&p, offsetof(struct seccomp_data, arch));
    put(&p, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, AUDIT_ARCH_X86_64);
    verdict(&p, SECCOMP_RET_KILL_PROCESS);
    if (o->gate)
        gate(&p, o->gate);
    load(&p, offsetof(struct seccomp_data, nr));
    if (o->children)
        one(&p, SYS_clone, SECCOMP_RET_ALLOW);
    for (begin = 0; begin < count; begin = end) {
        for (end = begin + 1; end < count && rows[end].nr == rows[begin].nr; end++)
            ;
        call(&p, rows + begin, rows + end);
    }
    verdict(&p, otherwise(&p));
    return p.count > max ? 0 : p.count;
}
