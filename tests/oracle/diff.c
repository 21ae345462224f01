/* SPDX-License-Identifier: MIT */
/* Usage: diff [-3] [-n CASES] [-s SEED] [-o NAME] [-j [-w WORDS] | -d]
 * -3: 32-bit code; -j: the JIT; -d: stubs, on the host's own processor; WORDS: as for vz run --jit; NAME: only operations of this mnemonic.
 * See diff.h. Exit status 0: no difference, and every operation that can be compared was; 77: the
 * host does not let a 64-bit process run 32-bit code, or stubs run. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "arch/x86/cpu_state.h"
#include "arch/x86/regs.h"
#include "diff.h"

#define REPORTS_MAX 2 /* per operation */
#define SKIPPED     77

static const char *const names[16] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                      "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"};
static char what[4096];
bool diff_narrow;

static void note(const char *name, uint64_t before, uint64_t host, uint64_t ours)
{
    size_t len = strlen(what);

    snprintf(what + len, sizeof(what) - len, "    %-8s before %016lx host %016lx vz %016lx\n", name,
             before, host, ours);
}

static void note_vectors(const struct diff_case *c, const struct diff_state *h,
                         const struct diff_state *s)
{
    for (unsigned at = 0; at < 832; at += 8) {
        char name[16];

        if ((at >= 416 && at < 576) || !memcmp(h->xsave + at, s->xsave + at, 8))
            continue; /* what the host's kernel has in a signal frame, and the header */
        snprintf(name, sizeof(name), "xs+%u", at);
        note(name, *(const uint64_t *)(c->before.xsave + at), *(const uint64_t *)(h->xsave + at),
             *(const uint64_t *)(s->xsave + at));
    }
}

/* What the host does and its manual does not say, seen on AMD's Zen 4. */
static bool host_quirk(const struct diff_case *c, const struct diff_state *h,
                       const struct diff_state *s)
{
    const char *name = c->d.info->name;
    bool sha = !strncmp(name, "sha1", 4) || !strncmp(name, "sha256", 6);

    if (c->d.info->attr & X86_ATTR_BRANCH && s->rip - DIFF_INSN < c->d.len && s->rip != DIFF_INSN)
        return true; /* into its own bytes: the host has gone on from there */
    if (sha && h->vector == -1 && s->vector == X86_GP)
        return true; /* takes misaligned operands */
    if (h->vector == X86_UD && s->vector == -1 && diff_narrow &&
        (c->d.op == X86_OP_VPEXTRD || c->d.op == X86_OP_VPINSRD) &&
        c->bytes[c->d.opcode_off - 1] >> 7)
        return true; /* VEX.W outside 64-bit mode: ignored by Intel */
    if (h->vector == -1 && s->vector == X86_GP &&
        (c->d.op == X86_OP_LDMXCSR || c->d.op == X86_OP_VLDMXCSR))
        return true; /* AMD's MXCSR has one bit more */
    if (c->d.op == X86_OP_ENTER && diff_direct && h->vector == s->vector && h->vector == X86_PF)
        return true; /* begun on the host, and done over for its exception: it has copied part of itself by then */
    if (c->d.op == X86_OP_CALL_IND && diff_direct && h->vector == X86_GP && s->vector == -1)
        return true; /* likewise: it has pushed over the target that it had read, which was no address */
    if (diff_direct && s->vector == X86_PF && s->cr2 - DIFF_CODE < DIFF_CODE_LEN)
        return true; /* writes to the page of code, which ours does not let it */
    if (c->d.op == X86_OP_MASKMOVQ && h->vector >= 0 && h->vector == s->vector)
        return true; /* has made TOP 0 by then */
    /* pushes the return address before it looks whether the target is canonical */
    return c->d.op == X86_OP_CALL_IND && h->vector == X86_PF && s->vector == X86_GP;
}

/* Where both operands fault the manual does not say which of the addresses is reported. */
static bool cr2_varies(const struct diff_case *c)
{
    return c->d.asize == 2 && c->d.op == X86_OP_CMPS;
}

static bool compare(const struct diff_case *c, const struct diff_state *h,
                    const struct diff_state *s)
{
    bool same = true;

    what[0] = 0;
    if (host_quirk(c, h, s)) {
        memcpy(diff_soft_data(), diff_native_data(), DIFF_DATA_LEN);
        return true;
    }
    if (h->vector != s->vector) {
        note("vector", 0, (uint64_t)(int64_t)h->vector, (uint64_t)(int64_t)s->vector);
        return false;
    }
    for (unsigned n = 0; n < 16; n++)
        if ((h->gpr[n] ^ s->gpr[n]) & ~diff_undefined_register(c, h, n))
            note(names[n], c->before.gpr[n], h->gpr[n], s->gpr[n]), same = false;
    if (h->rip != s->rip) {
        note("rip", DIFF_INSN, h->rip, s->rip), same = false;
        note("rcx", c->before.gpr[X86_RCX], h->gpr[X86_RCX], s->gpr[X86_RCX]);
        note("rflags", c->before.rflags, h->rflags, s->rflags);
    }
    if ((h->rflags ^ s->rflags) & ~diff_undefined_flags(c, h) &
        (X86_FLAGS_ARITH | X86_FLAG_DF))
        note("rflags", c->before.rflags, h->rflags, s->rflags), same = false;
    if (h->vector == X86_PF &&
        ((h->cr2 != s->cr2 && !cr2_varies(c)) || (h->error & 2) != (s->error & 2)))
        note("cr2", h->error, h->cr2, s->cr2), same = false;
    if (!diff_same_vectors(c, h, s))
        note_vectors(c, h, s), same = false;
    diff_allow_memory(c, h);
    if (memcmp(diff_native_data(), diff_soft_data(), DIFF_DATA_LEN)) {
        for (unsigned at = 0; at < DIFF_DATA_LEN; at++)
            if (diff_native_data()[at] != diff_soft_data()[at]) {
                note("memory", DIFF_DATA + at, diff_native_data()[at], diff_soft_data()[at]);
                break;
            }
        same = false;
    }
    return same;
}

static void fill_data(void)
{
    for (unsigned at = 0; at < DIFF_DATA_LEN; at += 8) {
        uint64_t v = diff_random();

        memcpy(diff_native_data() + at, &v, 8);
    }
    memcpy(diff_soft_data(), diff_native_data(), DIFF_DATA_LEN);
}

static void report(const struct diff_case *c, unsigned long n)
{
    char text[128];

    x86_format(&c->d, DIFF_INSN, text, sizeof(text));
    printf("case %lu: %s  [", n, text);
    for (unsigned k = 0; k < c->d.len; k++)
        printf("%s%02x", k ? " " : "", c->bytes[k]);
    printf("]\n%s", what);
}

/* What 32-bit code cannot see. */
static void drop_upper(struct diff_state *s)
{
    for (unsigned n = 0; n < 16; n++)
        s->gpr[n] = n < 8 ? (uint32_t)s->gpr[n] : 0;
}

static int run(unsigned long cases, uint64_t seed, const char *only)
{
    static struct diff_case c;
    static struct diff_state host, ours;
    static unsigned long done[X86_OP_COUNT], reported[X86_OP_COUNT];
    unsigned long differences = 0, compared = 0, uncovered = 0;

    diff_seed(seed);
    if (!diff_make_corpus() || !diff_native_init() || !diff_soft_init()) {
        fprintf(stderr, "diff: cannot set up (addresses 0x10000000-0x30001000 must be free)\n");
        return 2;
    }
    if (diff_narrow && !diff_native_narrow_works()) {
        printf("diff: a 64-bit process cannot run 32-bit code here\n");
        return SKIPPED;
    }
    fill_data();
    for (unsigned long n = 0; compared < cases && n < 4 * cases; n++) {
        if (!diff_next_case(&c, n) || (only && strcmp(c.d.info->name, only)))
            continue;
        compared++;
        done[c.d.op]++;
        diff_native_run(&c, &host);
        diff_soft_run(&c, &ours);
        if (diff_narrow)
            drop_upper(&host), drop_upper(&ours);
        if (!compare(&c, &host, &ours)) {
            differences++;
            if (reported[c.d.op]++ < REPORTS_MAX)
                report(&c, n);
            fill_data();
        }
        if (n % 64 == 0)
            fill_data();
    }
    for (unsigned op = 1; op < X86_OP_COUNT && !only; op++) {
        const char *why = diff_why_excluded(op);

        if (!done[op] && !(why && *why))
            printf("not covered: %s\n", x86_op_info(op)->name), uncovered++;
        else if (!done[op] && cases < 10000)
            printf("left out: %s (%s)\n", x86_op_info(op)->name, why);
    }
    printf("diff: %lu cases compared, seed %lu: %lu differences, %lu operations not covered\n",
           compared, seed, differences, uncovered);
    if (diff_direct && !diff_direct_works()) {
        printf("diff: nothing runs directly on this host\n");
        return differences || uncovered ? 1 : SKIPPED;
    }
    if (diff_direct)
        printf("diff: %lu of them by the host's processor alone\n", diff_direct_runs);
    return differences || uncovered || (diff_direct && diff_direct_runs < compared / 2);
}

int main(int argc, char **argv)
{
    unsigned long cases = 1000000;
    uint64_t seed = 1;
    const char *only = NULL;
    int opt, status;
    pid_t pid;

    while ((opt = getopt(argc, argv, "3n:s:o:jdw:")) != -1) {
        if (opt == '3')
            diff_narrow = true;
        else if (opt == 'n')
            cases = strtoul(optarg, NULL, 0);
        else if (opt == 's')
            seed = strtoull(optarg, NULL, 0);
        else if (opt == 'j')
            diff_jit = true;
        else if (opt == 'd')
            diff_direct = true;
        else if (opt == 'w')
            diff_jit_options = optarg;
        else if (opt == 'o')
            only = optarg;
        else
            return 2;
    }
    fflush(stdout);
    pid = fork(); /* the instructions run in a child: whatever they do, somebody is left to say so */
    if (!pid) {
        int r = run(cases, seed, only);

        fflush(stdout);
        _exit(r);
    }
    if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status)) {
        fprintf(stderr, "diff: the child died (signal %d)\n", WTERMSIG(status));
        return 1;
    }
    return WEXITSTATUS(status);
}
