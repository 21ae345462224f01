/* SPDX-License-Identifier: MIT */
/* Translates the blocks that `--jit record` has written, outside of any machine, and prints a line
 * for each: where it was, how many bytes became of it, and a hash of them. Two versions of the
 * translator that print the same have made the same code:
 *
 *   vz run --jit record ...; old/tests/oracle/translate FILE >a; new/... FILE >b; cmp a b
 *
 * Addresses that differ from run to run (links lie in the block cache) count from the block's own.
 * On the way all that was emitted is decoded with our own decoder: it must be whole instructions,
 * and no jump may lead into the middle of one. -v prints them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/tsc_rate.h"
#include "cpu/x86/block.h"
#include "cpu/x86/cpu.h"
#include "cpu/x86/decode/optable.h"
#include "cpu/x86/jit/jit_priv.h"
#include "cpu/x86/jit/record.h"
#include "cpu/x86/no_host.h"
#include "cpu/x86/smc.h"

#define RAM      UINT64_C(0x1000000)
#define TABLES   UINT64_C(0x1000)
#define TABLES_LEN UINT64_C(0x10000)
#define CODE_GPA UINT64_C(0x100000)

static struct x86_vm *vm;
static struct x86_cpu *cpu;
static struct mem *mem;
static bool verbose;

static void fail(const char *what)
{
    fprintf(stderr, "translate: %s\n", what);
    exit(1);
}

static void make_cpu(const char *options)
{
    static struct tsc_rate tsc = {.khz = 2000000};
    struct x86_vm_desc d = {.cpu_count = 1, .tsc = &tsc, .host = &no_host};

    if (mem_create(RAM, &mem, NULL) || mem_add(mem, 0, RAM, false))
        fail("no memory");
    d.mem = mem;
    if (jit_options_parse(options, &d.jit, NULL))
        fail("bad options");
    if (x86_vm_create(&d, &vm))
        fail("no vCPU");
    cpu = x86_vm_cpu(vm, 0);
    if (!cpu->jit)
        fail("this build has no JIT");
    sync_enter(cpu);
}

/* The page tables show the two pages of code at va, and nothing else. */
static void map(uint64_t va)
{
    gpa_t next = TABLES + 0x1000;

    memset(mem_ptr(mem, TABLES, TABLES_LEN, MEM_WRITE), 0, TABLES_LEN);
    for (unsigned n = 0; n < 2; n++, va += MEM_PAGE_SIZE) {
        gpa_t table = TABLES;

        for (int shift = 39; shift > 12; shift -= 9) {
            uint64_t *entry = mem_ptr(mem, table + (va >> shift & 511) * 8, 8, MEM_WRITE);

            if (!*entry) {
                *entry = next | 3;
                next += 0x1000;
            }
            table = *entry & ~UINT64_C(0xfff);
        }
        *(uint64_t *)mem_ptr(mem, table + (va >> 12 & 511) * 8, 8, MEM_WRITE) =
            (CODE_GPA + n * 0x1000) | 0x63;
    }
}

/* A kernel in long mode; 32-bit code is in a flat segment. */
static void set_mode(const struct jit_record *r)
{
    static struct x86_cpu_state s;

    x86_cpu_get(cpu, &s);
    s.cr0 = X86_CR0_PE | X86_CR0_PG | X86_CR0_WP | X86_CR0_NE | X86_CR0_MP | X86_CR0_ET;
    s.cr4 = X86_CR4_PAE | X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT | X86_CR4_OSXSAVE;
    s.efer = X86_EFER_LME | X86_EFER_LMA | X86_EFER_NXE | X86_EFER_SCE;
    s.cr3 = TABLES;
    s.xcr0 = 7;
    s.seg[X86_CS] = (struct x86_segment){.limit = UINT32_MAX, .selector = 0x10,
                                         .attr = r->code_size == X86_CODE_64 ? 0xa09b : 0xc09b};
    for (unsigned n = 0; n < X86_SEG_COUNT; n++)
        if (n == X86_SS || n == X86_DS || n == X86_ES)
            s.seg[n] = (struct x86_segment){.limit = UINT32_MAX, .selector = 0x18, .attr = 0xc093};
    s.rip = r->rip;
    if (x86_cpu_set(cpu, &s))
        fail("a state that no CPU has");
}

/* ---- what was emitted ---- */

struct code {
    const uint8_t *at;
    size_t len;
    const struct block *b;
    uint64_t hash;
    bool start[JIT_BLOCK_CODE_MAX];
    const uint8_t *jump[JIT_BLOCK_CODE_MAX / 2]; /* where they lead */
    unsigned jumps;
};

static void add(struct code *c, const void *bytes, size_t len)
{
    for (size_t n = 0; n < len; n++)
        c->hash = (c->hash ^ ((const uint8_t *)bytes)[n]) * UINT64_C(0x100000001b3);
}

/* MOV of a pointer into the block counts from the block's start; stubs have pointers to functions. */
static void add_insn(struct code *c, const uint8_t *p, const struct x86_decoded *d)
{
    uint64_t off = d->imm - (uint64_t)(uintptr_t)c->b;

    if (d->op == X86_OP_MOV && d->len == 10 && (!c->b || off < JIT_BLOCK_DATA_MAX)) {
        add(c, p, 2);
        add(c, &off, c->b ? sizeof(off) : 0);
        return;
    }
    add(c, p, d->len);
}

static void print(const uint8_t *p, const struct x86_decoded *d)
{
    char text[128];

    x86_format(d, (uint64_t)(uintptr_t)p, text, sizeof(text));
    printf("    %p ", (const void *)p);
    for (unsigned n = 0; n < 15; n++)
        printf(n < d->len ? "%02x" : "  ", p[n < d->len ? n : 0]);
    printf(" %s\n", text);
}

static void read_code(struct code *c)
{
    struct x86_decoded d;

    memset(c->start, 0, sizeof(c->start));
    for (size_t at = 0; at < c->len; at += d.len) {
        const uint8_t *p = c->at + at;
        unsigned avail = c->len - at < X86_INSN_MAX ? (unsigned)(c->len - at) : X86_INSN_MAX;

        if (x86_decode(p, avail, X86_CODE_64, &d) != X86_DECODE_OK)
            fail("emitted bytes that are no instruction");
        c->start[at] = true;
        if (verbose)
            print(p, &d);
        add_insn(c, p, &d);
        if (d.operand_count && d.operand[0].kind == X86_OPERAND_REL)
            c->jump[c->jumps++] = p + d.len + d.imm;
    }
}

static struct code stubs, often, seldom;

/* Jumps lead to instructions of this block, or of stubs. */
static void check_jumps(const struct code *c)
{
    const struct code *const all[] = {&stubs, &often, &seldom};

    for (unsigned n = 0; n < c->jumps; n++) {
        const uint8_t *to = c->jump[n];
        bool ok = false;

        for (unsigned k = 0; k < ARRAY_SIZE(all); k++)
            if (to >= all[k]->at && to < all[k]->at + all[k]->len)
                ok = all[k]->start[to - all[k]->at];
        if (!ok)
            fail("a jump into the middle of an instruction");
    }
}

static void report(const struct jit_record *r, const struct block *b, const uint8_t *rare)
{
    const struct jit *j = cpu->jit;
    int64_t run = j->run - j->write;

    if (!b->translated) {
        printf("%016llx -\n", (unsigned long long)r->rip);
        return;
    }
    often = (struct code){.at = jit_code_begin(j, jit_exits_of(cpu, b)), .b = b, .hash = 1,
                          .len = jit_exits_of(cpu, b)->code_bytes};
    seldom = (struct code){.at = rare + run, .len = (size_t)(j->rare_next - rare), .b = b, .hash = 1};
    if (verbose)
        printf("%016llx:\n", (unsigned long long)r->rip);
    read_code(&often);
    if (verbose)
        printf("  seldom:\n");
    read_code(&seldom);
    check_jumps(&often);
    check_jumps(&seldom);
    printf("%016llx %u %zu %016llx %zu %016llx\n", (unsigned long long)r->rip, b->count, often.len,
           (unsigned long long)often.hash, seldom.len, (unsigned long long)seldom.hash);
}

static void report_stubs(void)
{
    const struct jit *j = cpu->jit;

    stubs = (struct code){.at = j->run, .len = (size_t)(j->first - j->write), .hash = 1};
    read_code(&stubs);
    check_jumps(&stubs);
    printf("stubs %zu %016llx\n", stubs.len, (unsigned long long)stubs.hash);
}

/* ---- one block ---- */

static void flush_if_full(void)
{
    if (!(cpu->pending & X86_PENDING_FLUSH))
        return;
    block_cache_empty(cpu);
    cpu->pending &= ~(uint32_t)X86_PENDING_FLUSH;
}

static struct block *find(const struct jit_record *r)
{
    uint8_t *page = mem_ptr(mem, CODE_GPA, 2 * MEM_PAGE_SIZE, MEM_WRITE);
    const struct insn *first;

    for (unsigned n = 0; n < 2; n++)
        block_invalidate(cpu, page + n * MEM_PAGE_SIZE, UINT64_MAX);
    jit_empty(cpu);
    cpu->jit->next_slot = 0;
    memcpy(page, r->page, MEM_PAGE_SIZE);
    memset(page + MEM_PAGE_SIZE, 0xcc, MEM_PAGE_SIZE);
    if (r->crosses)
        memcpy(page + MEM_PAGE_SIZE, r->second, sizeof(r->second));
    map(r->rip & ~UINT64_C(0xfff));
    set_mode(r);
    cpu->link = NULL;
    first = block_find(cpu);
    cpu->fault.pending = false;
    return first ? container_of((struct insn *)(uintptr_t)first, struct block, insn[0]) : NULL;
}

static void translate(const struct jit_record *r)
{
    struct block *b = find(r);
    const uint8_t *rare = cpu->jit->rare_next;

    if (cpu->pending & X86_PENDING_FLUSH) {
        flush_if_full();
        b = find(r);
    }
    if (!b)
        fail("a block that cannot be fetched");
    block_translate(cpu, b, b->home_rip);
    flush_if_full();
    report(r, b, rare);
}

int main(int argc, char **argv)
{
    static struct jit_record r;
    const char *options = "on";
    unsigned long count = 0;
    FILE *f;
    int opt;

    while ((opt = getopt(argc, argv, "vw:")) != -1) {
        if (opt == 'v')
            verbose = true;
        else if (opt == 'w')
            options = optarg;
        else
            return 2;
    }
    f = optind < argc ? fopen(argv[optind], "rb") : NULL;
    if (!f) {
        fprintf(stderr, "usage: translate [-v] [-w JIT-OPTIONS] FILE\n");
        return 2;
    }
    make_cpu(options);
    report_stubs();
    for (; fread(&r, sizeof(r), 1, f) == 1; count++)
        translate(&r);
    fprintf(stderr, "%lu blocks\n", count);
    fclose(f);
    sync_leave(cpu);
    x86_vm_destroy(vm);
    mem_destroy(mem);
    return 0;
}
