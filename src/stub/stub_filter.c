/* SPDX-License-Identifier: MIT */
/* The filters are lists of "if the instruction is this one", each followed by what holds there, which
 * ends in a verdict; see stub_filter.h. */
#include "stub/stub_filter.h"

#include <asm/unistd.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>

#include "stub/stub_layout.h"

struct program {
    struct sock_filter *code;
    unsigned count, max;
};

static unsigned put(struct program *p, uint16_t code, uint8_t jt, uint8_t jf, uint32_t k)
{
    if (p->count < p->max)
        p->code[p->count] = (struct sock_filter){code, jt, jf, k};
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

/* Unless what was loaded is k: verdict. */
static void demand(struct program *p, uint32_t k, uint32_t otherwise)
{
    put(p, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, k);
    verdict(p, otherwise);
}

/* No bit but these may be set in what was loaded. */
static void demand_only(struct program *p, uint32_t bits, uint32_t otherwise)
{
    put(p, BPF_JMP | BPF_JSET | BPF_K, 0, 1, ~bits);
    verdict(p, otherwise);
}

static size_t arg_low(unsigned n)
{
    return offsetof(struct seccomp_data, args) + n * sizeof(uint64_t);
}

static size_t arg_high(unsigned n)
{
    return arg_low(n) + sizeof(uint32_t);
}

/* From here to end_site() holds for the instruction at ip, whose lower half has been loaded. */
static unsigned begin_site(struct program *p, uint64_t ip)
{
    return put(p, BPF_JMP | BPF_JEQ | BPF_K, 0, 0, (uint32_t)ip);
}

static void end_site(struct program *p, unsigned begin)
{
    if (begin < p->max)
        p->code[begin].jf = (uint8_t)(p->count - begin - 1);
}

/* One call at one place, whatever its arguments. */
static void site(struct program *p, uint64_t ip, uint32_t nr, uint32_t yes, uint32_t no)
{
    unsigned begin = begin_site(p, ip);

    load(p, offsetof(struct seccomp_data, nr));
    demand(p, nr, no);
    verdict(p, yes);
    end_site(p, begin);
}

static void load_low_ip(struct program *p, uint64_t ip, uint32_t otherwise)
{
    /* First: the numbers of another architecture's calls mean other things. */
    load(p, offsetof(struct seccomp_data, arch));
    demand(p, AUDIT_ARCH_X86_64, otherwise);
    load(p, offsetof(struct seccomp_data, instruction_pointer) + sizeof(uint32_t));
    demand(p, (uint32_t)(ip >> 32), otherwise);
    load(p, offsetof(struct seccomp_data, instruction_pointer));
}

/* Registers of mmap's arguments 3 and 4, which munmap does not look at. */
static void demand_secret(struct program *p, uint64_t secret)
{
    load(p, arg_high(3));
    demand(p, (uint32_t)secret, SECCOMP_RET_KILL_PROCESS);
    load(p, arg_high(4));
    demand(p, (uint32_t)(secret >> 32), SECCOMP_RET_KILL_PROCESS);
}

static void map_site(struct program *p, uint64_t ip, uint64_t secret)
{
    unsigned begin = begin_site(p, ip);

    load(p, offsetof(struct seccomp_data, nr));
    demand(p, __NR_mmap, SECCOMP_RET_TRAP);
    demand_secret(p, secret);
    load(p, arg_low(2));
    demand_only(p, PROT_READ | PROT_WRITE | PROT_EXEC, SECCOMP_RET_KILL_PROCESS);
    load(p, arg_low(3));
    put(p, BPF_ALU | BPF_AND | BPF_K, 0, 0, ~(uint32_t)MAP_POPULATE);
    demand(p, MAP_SHARED | MAP_FIXED, SECCOMP_RET_KILL_PROCESS);
    load(p, arg_low(4));
    put(p, BPF_JMP | BPF_JEQ | BPF_K, 2, 0, STUB_FD_RAM);
    demand(p, STUB_FD_RAM_RO, SECCOMP_RET_KILL_PROCESS);
    verdict(p, SECCOMP_RET_ALLOW);
    end_site(p, begin);
}

static void unmap_site(struct program *p, uint64_t ip, uint64_t secret)
{
    unsigned begin = begin_site(p, ip);

    load(p, offsetof(struct seccomp_data, nr));
    demand(p, __NR_munmap, SECCOMP_RET_TRAP);
    demand_secret(p, secret);
    verdict(p, SECCOMP_RET_ALLOW);
    end_site(p, begin);
}

/* Argument n as a whole. */
static void demand_arg(struct program *p, unsigned n, uint64_t value)
{
    load(p, arg_low(n));
    demand(p, (uint32_t)value, SECCOMP_RET_TRAP);
    load(p, arg_high(n));
    demand(p, (uint32_t)(value >> 32), SECCOMP_RET_TRAP);
}

static void open_site(struct program *p, const struct filter_sites *at)
{
    unsigned begin = begin_site(p, at->open);

    load(p, offsetof(struct seccomp_data, nr));
    demand(p, __NR_rt_sigprocmask, SECCOMP_RET_TRAP);
    demand_arg(p, 0, SIG_SETMASK);
    demand_arg(p, 1, at->no_signals);
    demand_arg(p, 2, 0);
    demand_arg(p, 3, sizeof(uint64_t));
    verdict(p, SECCOMP_RET_ALLOW);
    end_site(p, begin);
}

unsigned filter_listen(struct sock_filter *ret, unsigned max, const struct filter_sites *at)
{
    struct program p = {.code = ret, .max = max};

    load_low_ip(&p, at->event, SECCOMP_RET_ALLOW);
    site(&p, at->event, STUB_HAND_OVER, SECCOMP_RET_USER_NOTIF, SECCOMP_RET_ALLOW);
    site(&p, at->report, STUB_HAND_OVER, SECCOMP_RET_USER_NOTIF, SECCOMP_RET_ALLOW);
    verdict(&p, SECCOMP_RET_ALLOW);
    return p.count > max ? 0 : p.count;
}

unsigned filter_rule(struct sock_filter *ret, unsigned max, const struct filter_sites *at,
                     uint64_t secret)
{
    struct program p = {.code = ret, .max = max};

    load_low_ip(&p, at->event, SECCOMP_RET_TRAP);
    site(&p, at->event, STUB_HAND_OVER, SECCOMP_RET_ALLOW, SECCOMP_RET_TRAP);
    open_site(&p, at);
    map_site(&p, at->map, secret);
    unmap_site(&p, at->unmap, secret);
    site(&p, at->report, STUB_HAND_OVER, SECCOMP_RET_ALLOW, SECCOMP_RET_TRAP);
    verdict(&p, SECCOMP_RET_TRAP);
    return p.count > max ? 0 : p.count;
}
