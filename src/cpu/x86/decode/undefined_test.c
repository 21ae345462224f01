/* SPDX-License-Identifier: MIT */
/* What the manuals leave undefined, by instruction and count: SDM and APM, "Flags affected". */
#include <string.h>

#include "arch/x86/regs.h"
#include "cpu/x86/decode/decode.h"
#include "unit.h"

enum {
    C = X86_FLAG_CF, P = X86_FLAG_PF, A = X86_FLAG_AF, Z = X86_FLAG_ZF, S = X86_FLAG_SF,
    O = X86_FLAG_OF, ALL = X86_FLAGS_ARITH, NO_CL = 256,
};

struct sample {
    uint8_t bytes[8];
    unsigned cl; /* NO_CL: not known */
    uint16_t undefined;
};

static const struct sample samples[] = {
    {{0x01, 0xd8}, 0, 0},                                  /* add eax, ebx */
    {{0x21, 0xd8}, 0, A},                                  /* and eax, ebx */
    {{0xf7, 0xe3}, 0, S | Z | A | P},                      /* mul ebx */
    {{0xf7, 0xf3}, 0, ALL},                                /* div ebx */
    {{0x0f, 0xa3, 0xd8}, 0, O | S | A | P},                /* bt eax, ebx */
    {{0x0f, 0xbc, 0xc3}, 0, O | S | A | P | C},            /* bsf eax, ebx */
    {{0xd1, 0xc0}, 9, 0},                                  /* rol eax, 1 */
    {{0xc1, 0xc0, 0x01}, 9, 0},                            /* rol eax, 1, the long form */
    {{0xc1, 0xc0, 0x21}, 9, 0},                            /* rol eax, 33: masked to 1 */
    {{0x48, 0xc1, 0xc0, 0x21}, 9, O},                      /* rol rax, 33 */
    {{0xc1, 0xc0, 0x02}, 1, O},                            /* rol eax, 2 */
    {{0xc1, 0xc0, 0x20}, 1, 0},                            /* rol eax, 32: nothing happens */
    {{0xd3, 0xc0}, 1, 0}, {{0xd3, 0xc0}, 2, O},            /* rol eax, cl */
    {{0xd3, 0xc0}, 64, 0}, {{0xd3, 0xc0}, NO_CL, O},
    {{0xd2, 0xd0}, 10, O},                                 /* rcl al, cl: by 10 of 9 bits */
    {{0xd3, 0xe0}, 0, 0}, {{0xd3, 0xe0}, 1, A},            /* shl eax, cl */
    {{0xd3, 0xe0}, 31, A | O}, {{0xd3, 0xe0}, NO_CL, A | O | C},
    {{0xd2, 0xe0}, 7, A | O}, {{0xd2, 0xe0}, 8, A | O | C},/* shl al, cl */
    {{0x66, 0xd3, 0xe8}, 15, A | O},                       /* shr ax, cl */
    {{0x66, 0xd3, 0xe8}, 16, A | O | C},
    {{0x66, 0xd3, 0xf8}, 31, A | O},                       /* sar ax, cl: CF is the sign */
    {{0x0f, 0xa5, 0xd8}, 0, 0}, {{0x0f, 0xa5, 0xd8}, 1, A},/* shld eax, ebx, cl */
    {{0x0f, 0xa5, 0xd8}, 31, A | O},
    {{0x66, 0x0f, 0xa5, 0xd8}, 16, A | O},                 /* shld ax, bx, cl */
    {{0x66, 0x0f, 0xa5, 0xd8}, 17, ALL},
    {{0x66, 0x0f, 0xac, 0xd8, 0x11}, 0, ALL},              /* shrd ax, bx, 17 */
    {{0x66, 0x0f, 0xac, 0xd8, 0x31}, 0, ALL},
};

static struct x86_decoded decode(const uint8_t *bytes)
{
    struct x86_decoded d;

    ck_assert_int_eq(x86_decode(bytes, 8, X86_CODE_64, &d), X86_DECODE_OK);
    return d;
}

START_TEST(flags_by_count)
{
    for (unsigned n = 0; n < ARRAY_SIZE(samples); n++) {
        const struct sample *s = &samples[n];
        struct x86_decoded d = decode(s->bytes);
        uint8_t cl = (uint8_t)s->cl;
        uint16_t seen = x86_undefined_flags(&d, s->cl == NO_CL ? NULL : &cl);

        ck_assert_msg(seen == s->undefined, "sample %u (%s): %#x, should be %#x", n, d.info->name,
                      seen, s->undefined);
        ck_assert_msg(!(seen & ~x86_undefined_flags(&d, NULL)), "sample %u: more than may be", n);
    }
}
END_TEST

START_TEST(results)
{
    static const uint8_t bsf32[8] = {0x0f, 0xbc, 0xc3}, bsf64[8] = {0x48, 0x0f, 0xbc, 0xc3};
    static const uint8_t shld16[8] = {0x66, 0x0f, 0xa5, 0xd8}, add[8] = {0x01, 0xd8};
    struct x86_decoded d = decode(bsf32);

    ck_assert_uint_eq(x86_undefined_result(&d, 0, X86_FLAG_ZF), 0xffffffff00000000);
    ck_assert_uint_eq(x86_undefined_result(&d, 0, 0), 0);
    d = decode(bsf64);
    ck_assert_uint_eq(x86_undefined_result(&d, 0, X86_FLAG_ZF), 0);
    d = decode(shld16);
    ck_assert_uint_eq(x86_undefined_result(&d, 16, 0), 0);
    ck_assert_uint_eq(x86_undefined_result(&d, 17, 0), 0xffff);
    d = decode(add);
    ck_assert_uint_eq(x86_undefined_result(&d, 17, X86_FLAG_ZF), 0);
}
END_TEST

START_TEST(encodings)
{
    static const uint8_t pause[8] = {0xf3, 0x90}, xchg[8] = {0x41, 0x90}, both[8] = {0xf3, 0x41, 0x90};
    struct x86_decoded d = decode(pause);

    ck_assert(!x86_undefined_encoding(&d));
    d = decode(xchg);
    ck_assert(!x86_undefined_encoding(&d));
    d = decode(both);
    ck_assert(x86_undefined_encoding(&d));
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, flags_by_count);
    UNIT_TEST(s, results);
    UNIT_TEST(s, encodings);
}

UNIT_TEST_MAIN("undefined", add_tests)
