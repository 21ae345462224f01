/* SPDX-License-Identifier: MIT */
/* From a guest instruction to the bytes of its thunk. */
#ifndef VZ_CPU_X86_FPU_ENCODE_H
#define VZ_CPU_X86_FPU_ENCODE_H

#include "cpu/x86/decode/decode.h"

enum encode_gpr { ENCODE_NO_GPR, ENCODE_GPR_REG, ENCODE_GPR_RM };

struct encoded {
    uint64_t bytes; /* least significant first */
    unsigned len;   /* at most 7 */
};

/* The instruction that does the same on the same vector and x87 registers, but with its memory
 * operand at [RAX] (at_rsi: [RSI]), its general register, in the ModRM field that gpr names, being
 * ECX or RCX, and nothing else of the original's addressing and redundant prefixes. False for
 * opcodes that are not among the vector and x87 data instructions: whatever the table may say,
 * nothing else ever gets into executable memory. */
bool encode_thunk(const struct x86_decoded *d, const uint8_t *bytes, enum encode_gpr gpr,
                  bool at_rsi, struct encoded *ret) must_check;

#endif
