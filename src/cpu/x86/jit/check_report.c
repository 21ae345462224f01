/* SPDX-License-Identifier: MIT */
/* What differs between translated code and the interpreter, and the report that ends a run. */
#include <stdio.h>

#include "cpu/x86/jit/check_priv.h"

struct field {
    const char *name;
    uint16_t off, len;
};

#define FIELD(name) {#name, offsetof(struct x86_cpu, name), sizeof(((struct x86_cpu *)0)->name)}
#define REG(n) {#n, offsetof(struct x86_cpu, reg) + 8 * X86_##n, 8}

static const struct field fields[] = {
    REG(RAX), REG(RCX), REG(RDX), REG(RBX), REG(RSP), REG(RBP), REG(RSI), REG(RDI),
    {"R8", offsetof(struct x86_cpu, reg) + 64, 8}, {"R9", offsetof(struct x86_cpu, reg) + 72, 8},
    {"R10", offsetof(struct x86_cpu, reg) + 80, 8}, {"R11", offsetof(struct x86_cpu, reg) + 88, 8},
    {"R12", offsetof(struct x86_cpu, reg) + 96, 8}, {"R13", offsetof(struct x86_cpu, reg) + 104, 8},
    {"R14", offsetof(struct x86_cpu, reg) + 112, 8}, {"R15", offsetof(struct x86_cpu, reg) + 120, 8},
    FIELD(rflags), FIELD(cpl), FIELD(code_size), FIELD(tlb), FIELD(code_ctx), FIELD(ea_base),
    FIELD(seg), FIELD(cr0), FIELD(cr2), FIELD(cr3), FIELD(cr4), FIELD(xcr0), FIELD(efer),
    FIELD(kernel_gs_base), FIELD(run_state), FIELD(sti_shadow), FIELD(mov_ss_shadow),
    FIELD(nmi_blocked), FIELD(stack32), FIELD(ss_flat), FIELD(cs_flat), FIELD(mxcsr),
    FIELD(x87_ip), FIELD(x87_dp), FIELD(x87_op),
};

static bool same_bytes(const uint8_t *a, const uint8_t *b, unsigned len)
{
    unsigned at = 0;

    for (; at + 8 <= len; at += 8)
        if (*(const guest_u64 *)(a + at) != *(const guest_u64 *)(b + at))
            return false;
    for (; at < len; at++)
        if (a[at] != b[at])
            return false;
    return true;
}

static void note(struct jit_check *k, const char *name, uint64_t start, uint64_t interp,
                 uint64_t jit)
{
    snprintf(k->what, sizeof(k->what), "%s: before %#llx interpreter %#llx translated %#llx", name,
             (unsigned long long)start, (unsigned long long)interp, (unsigned long long)jit);
}

static uint64_t word(const struct check_state *s, const struct field *f)
{
    uint64_t v = 0;

    __builtin_memcpy(&v, s->cpu + f->off, f->len < 8 ? f->len : 8);
    return v;
}

/* Headers and pointers of the area mean nothing (fpu.c). */
bool check_same_vectors(struct jit_check *k)
{
    static const struct { uint16_t from, to; } parts[] = {{XSAVE_FCW, XSAVE_FTW + 1},
        {XSAVE_MXCSR, XSAVE_MXCSR + 4}, {XSAVE_XMM, XSAVE_LEGACY_END}, {XSAVE_AVX, XSAVE_END}};
    bool same = true;

    for (unsigned n = 0; n < ARRAY_SIZE(parts); n++)
        same &= same_bytes(k->jit.xsave + parts[n].from, k->interp.xsave + parts[n].from,
                           (unsigned)(parts[n].to - parts[n].from));
    for (unsigned n = 0; n < 8; n++)
        same &= same_bytes(k->jit.xsave + XSAVE_ST + 16 * n, k->interp.xsave + XSAVE_ST + 16 * n, 10);
    if (!same)
        snprintf(k->what, sizeof(k->what), "vector or x87 registers");
    return same;
}

bool check_same_state(const struct x86_cpu *c, uint16_t flags)
{
    struct jit_check *k = c->check;
    const struct x86_cpu *i = check_cpu(&k->interp), *j = check_cpu(&k->jit);
    const struct jit_exits *e = jit_exits_of(c, k->block);
    unsigned insns = block_end(k->block)->insns;

    for (unsigned n = 0; n < ARRAY_SIZE(fields); n++) {
        const struct field *f = &fields[n];

        if (unlikely(!same_bytes(k->interp.cpu + f->off, k->jit.cpu + f->off, f->len))) {
            note(k, f->name, word(&k->start, f), word(&k->interp, f), word(&k->jit, f));
            return false;
        }
    }
    if ((af_to_rflags(i->af) ^ af_to_rflags(j->af)) & flags) {
        note(k, "arithmetic flags", af_to_rflags(check_cpu(&k->start)->af), af_to_rflags(i->af),
             af_to_rflags(j->af));
        return false;
    }
    if (k->end == insns && i->rip != j->rip) {
        note(k, "rip", check_cpu(&k->start)->rip, i->rip, j->rip);
        return false;
    }
    return !e->vector || check_same_vectors(k);
}

/* ---- the report ---- */

void check_print_state(const char *name, struct check_state *s)
{
    const struct x86_cpu *c = check_cpu(s);

    fprintf(stderr, "%s\n", name);
    for (unsigned n = 0; n < 16; n++)
        fprintf(stderr, "  %-3s %016llx%s", fields[n].name, (unsigned long long)c->reg[n],
                n % 4 == 3 ? "\n" : "");
    fprintf(stderr, "  rip %016llx  flags %#llx\n", (unsigned long long)c->rip,
            (unsigned long long)cpu_rflags(c));
}

static void print_line(uint64_t at, const uint8_t *bytes, const struct x86_decoded *d, bool ok)
{
    char text[128] = "(not known)";
    unsigned len = ok ? d->len : 1;

    if (ok)
        x86_format(d, at, text, sizeof(text));
    fprintf(stderr, "  %016llx ", (unsigned long long)at);
    for (unsigned n = 0; n < 12; n++)
        fprintf(stderr, n < len ? "%02x" : "  ", n < len ? bytes[n] : 0u);
    fprintf(stderr, " %s\n", text);
}

static void print_code(const uint8_t *bytes, uint64_t at, unsigned len, unsigned size)
{
    for (unsigned off = 0; off < len;) {
        struct x86_decoded d;
        bool ok = x86_decode(bytes + off, MIN(len - off, (unsigned)X86_INSN_MAX),
                             (enum x86_code_size)size, &d) == X86_DECODE_OK;

        print_line(at + off, bytes + off, &d, ok);
        off += ok ? d.len : 1;
    }
}

void check_report(struct x86_cpu *c)
{
    struct jit_check *k = c->check;
    const struct block *b = k->block;
    const struct jit_exits *exits = jit_exits_of(c, b);
    unsigned last = block_end(b)->insns;

    fpu_park(c);
    fprintf(stderr, "jit check: CPU %u, block at %#llx, instructions %u to %u of %u: %s\n", c->index,
            (unsigned long long)b->home_rip, k->first, k->end, last, k->what);
    check_print_state("before", &k->start);
    check_print_state("interpreter", &k->interp);
    check_print_state("translated", &k->jit);
    fprintf(stderr, "guest code\n");
    if (!block_page(b, 1))
        print_code(b->host, b->home_rip, b->insn[last].off + b->insn[last].len, b->mode & 3);
    fprintf(stderr, "translation\n");
    if (b->translated) {
        const uint8_t *code = jit_code_begin(c->jit, exits);

        print_code(code, (uint64_t)(uintptr_t)code, exits->code_bytes, X86_CODE_64);
    }
    snprintf(c->shutdown_text, sizeof(c->shutdown_text), "jit check: block at %#llx: %.200s",
             (unsigned long long)b->home_rip, k->what);
    c->run_state = X86_SHUTDOWN;
    x86_cpu_post(c, X86_PENDING_CHECK);
}
