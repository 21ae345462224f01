/* SPDX-License-Identifier: MIT */
/* Compares x86_decode() with the Zydis disassembler, an independent implementation. */
#ifndef VZ_TESTS_DECODER_ORACLE_H
#define VZ_TESTS_DECODER_ORACLE_H

#include "cpu/x86/decode/decode.h"

struct oracle_result {
    unsigned len;          /* what to step over: of Zydis, 1 where it finds no instruction */
    char what[160];        /* empty: equal or a listed exception; else what differs */
    char mnemonic[32];     /* of Zydis */
};

/* Decode avail bytes in the given mode with both. */
void oracle_compare(const uint8_t *bytes, unsigned avail, enum x86_code_size mode,
                    struct oracle_result *ret);

#endif
