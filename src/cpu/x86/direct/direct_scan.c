/* SPDX-License-Identifier: MIT */
/* Instructions that do not trap in user mode and answer for the host: a page with one of them is not
 * executed natively. What looks like one and is data, or in the middle of another instruction, costs
 * time only. It is for exactness, not for safety: what a program learns that hides one is a CPU's
 * number, or the host's CPUID.
 *
 * A page that is looked at is claimed first, as a whole, as if it were code that we cached (smc.h). So
 * no stub may write to it, and whoever else writes to it tells. */
#include <stdatomic.h>

#include "base/clock.h"
#include "cpu/x86/direct/direct_priv.h"
#include "cpu/x86/smc.h"

#define FORGIVE_MS 1000u

/* CPUID 0F A2; RDTSCP 0F 01 F9; RDPID F3 0F C7 /7 with a register (RDSEED without F3); LSL 0F 03 of the selector by which
 * Linux keeps the CPU's number, which is loaded a few bytes before. */
#define GETCPU_SELECTOR 0x7b
#define SELECTOR_BEFORE 12u
#define PREFIXES_BEFORE  4u

static bool has_selector_before(const uint8_t *code, unsigned at)
{
    for (unsigned n = 1; n <= SELECTOR_BEFORE && n <= at; n++)
        if (code[at - n] == GETCPU_SELECTOR)
            return true;
    return false;
}

/* Is there a prefix F3, or may there be one in the page before? Assemblers put no more than a few behind it. */
static bool has_f3_before(const uint8_t *code, unsigned at)
{
    for (unsigned n = 1; n <= PREFIXES_BEFORE; n++)
        if (n > at || code[at - n] == 0xf3)
            return true;
    return false;
}

static bool is_one(const uint8_t *code, unsigned at, unsigned len, bool cpuid)
{
    uint8_t second = code[at + 1], third = at + 2 < len ? code[at + 2] : 0;

    switch (second) {
    case 0xa2:
        return cpuid;
    case 0x01:
        return third == 0xf9;
    case 0xc7:
        return third >= 0xf8 && has_f3_before(code, at);
    case 0x03:
        return has_selector_before(code, at);
    default:
        return false;
    }
}

/* Does a word have a byte 0F? */
static bool has_0f(uint64_t word)
{
    uint64_t v = word ^ UINT64_C(0x0f0f0f0f0f0f0f0f);

    return (v - UINT64_C(0x0101010101010101)) & ~v & UINT64_C(0x8080808080808080);
}

static uint64_t word_at(const uint8_t *p)
{
    uint64_t v;

    __builtin_memcpy(&v, p, sizeof(v));
    return v;
}

/* Guests race with us as they like. */
__attribute__((no_sanitize("thread"))) unsigned direct_find_shown(const uint8_t *code, unsigned at,
                                                                  unsigned len, bool cpuid)
{
    while (at + 1 < len) {
        if (at + 8 <= len && !has_0f(word_at(code + at)))
            at += 8;
        else if (code[at] == 0x0f && is_one(code, at, len, cpuid))
            return at;
        else
            at++;
    }
    return len;
}

/* Pages go from one program to the next, so what has changed too often is data or a translator's only for a while.
 * Has it been so long that this is to be found out again, of that page? Seconds are counted to 256: the same one comes
 * again, and then it is one more. */
static bool forgive(struct direct_vm *v, uint64_t page)
{
    uint8_t second = (uint8_t)(clock_tsc() / (FORGIVE_MS * 1000 * v->us));
    bool is_time;

    direct_lock(v);
    is_time = v->forgiven[page] != second;
    v->forgiven[page] = second;
    if (is_time)
        atomic_fetch_and_explicit(&v->scan[page], SCAN_STATE, memory_order_seq_cst);
    direct_unlock(v);
    return is_time;
}

static bool is_known(uint8_t found)
{
    return (found & SCAN_STATE) != SCAN_NOT && (found & SCAN_STATE) != SCAN_CHANGED;
}

enum scanned direct_scan(struct x86_cpu *c, uint64_t va, const uint8_t *host)
{
    struct direct_vm *v = c->direct->vm;
    uint64_t page = (uint64_t)(host - c->vm->mem->base) >> MEM_PAGE_SHIFT;
    _Atomic uint8_t *state = &v->scan[page];
    uint8_t found = atomic_load_explicit(state, memory_order_seq_cst);

    if (is_known(found))
        return found & SCAN_STATE;
    if (found >= SCAN_TOO_OFTEN && !forgive(v, page))
        return SCAN_CHANGED;
    smc_claim(c, host, MEM_PAGE_SIZE);
    direct_lock(v);
    found = atomic_load_explicit(state, memory_order_seq_cst);
    if (!is_known(found)) { /* else another vCPU was first, and may run the copy already */
        found &= (uint8_t)~SCAN_STATE;
        found |= direct_find_shown(host, 0, MEM_PAGE_SIZE, v->scan_cpuid) == MEM_PAGE_SIZE
                     ? SCAN_CLEAN : direct_make_shadow(c, va, host);
        /* If somebody wrote to it since, he has told us, and that is looked at before anything runs. */
        atomic_store_explicit(state, found, memory_order_seq_cst);
    }
    direct_unlock(v);
    return found & SCAN_STATE;
}
