/* SPDX-License-Identifier: MIT */
/* The differential test: one random instruction with a random state, run by the host's CPU in user
 * mode and by the interpreter, must leave the same registers, flags, vector state and memory, or
 * raise the same exception. */
#ifndef VZ_TESTS_DIFF_H
#define VZ_TESTS_DIFF_H

#include <stdbool.h>
#include <stdint.h>

#include "cpu/x86/decode/decode.h"
#include "cpu/x86/decode/optable.h"

/* Both sides see these pages at these addresses. Around the instruction lies nothing but INT3, so
 * that wherever it goes the host stops there. */
#define DIFF_CODE      UINT64_C(0x10000000)
#define DIFF_CODE_LEN  (3 * 4096u)
#define DIFF_INSN      (DIFF_CODE + 4096 + 64)
#define DIFF_DATA      UINT64_C(0x20000000)
#define DIFF_DATA_LEN  (4 * 4096u)

#define DIFF_XSAVE_LEN 1024 /* legacy area, header, AVX */

struct diff_state {
    uint64_t gpr[16];
    uint64_t rip, rflags;
    int vector;       /* -1: completed */
    uint64_t error;   /* page faults: W bit */
    uint64_t cr2;     /* page faults */
    uint8_t xsave[DIFF_XSAVE_LEN] __attribute__((aligned(64)));
};

struct diff_case {
    uint8_t bytes[16];
    struct x86_decoded d;
    struct diff_state before;
};

/* 32-bit code in compatibility mode instead of 64-bit code: only the lower halves of the first
 * eight registers count. */
extern bool diff_narrow;

static inline enum x86_code_size diff_code_size(void)
{
    return diff_narrow ? X86_CODE_32 : X86_CODE_64;
}

/* gen.c: a reproducible stream of cases. */
uint64_t diff_random(void);
void diff_seed(uint64_t seed);
bool diff_make_corpus(void);                /* encodings of every operation that can be compared */
bool diff_next_case(struct diff_case *ret, unsigned long n);
const char *diff_why_excluded(unsigned op); /* NULL: it is compared */
unsigned diff_encodings(unsigned op);       /* how many were found */

/* allowed.c: in what the two may differ, since the manuals leave it undefined (decode.h) or the
 * host's way is an accident. host: after c; both have ended in the same way. */
uint64_t diff_undefined_flags(const struct diff_case *c, const struct diff_state *host);
uint64_t diff_undefined_register(const struct diff_case *c, const struct diff_state *host,
                                 unsigned n); /* bits of general register n */
bool diff_same_vectors(const struct diff_case *c, const struct diff_state *host,
                       const struct diff_state *ours);
/* Make ours of memory what the host has, where it may have it. */
void diff_allow_memory(const struct diff_case *c, const struct diff_state *host);

/* native.c: the host. Maps the pages; data[] is what the instruction sees and changes. */
bool diff_native_init(void);
bool diff_native_narrow_works(void); /* does the host let a 64-bit process run 32-bit code? */
void diff_native_run(const struct diff_case *c, struct diff_state *ret);
uint8_t *diff_native_data(void);

/* soft.c: ours, with the pages mapped at the same addresses in user mode. */
extern bool diff_jit; /* translate instead of interpreting */
extern const char *diff_jit_options; /* how: jit_options.h */
extern bool diff_direct; /* run them in a stub instead: docs/direct.md */
bool diff_direct_works(void); /* false: not on this host, as was seen once a case has been run */
extern unsigned long diff_direct_runs; /* how many cases did, without our executing any of it */
bool diff_soft_init(void);
void diff_soft_run(const struct diff_case *c, struct diff_state *ret);
uint8_t *diff_soft_data(void);

#endif
