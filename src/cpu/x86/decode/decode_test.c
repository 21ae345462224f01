/* SPDX-License-Identifier: MIT */
/* The decoder's contract: chosen encodings with what they mean, truncation at every byte, and
 * arbitrary bytes. The comparison with another decoder is in tests/decoder/. */
#include <stdio.h>
#include <string.h>

#include "arch/x86/cpu_state.h"
#include "cpu/x86/decode/decode.h"
#include "cpu/x86/decode/optable.h"
#include "unit.h"

struct sample {
    const char *hex;
    enum x86_code_size mode;
    enum x86_decode_result result;
    const char *text; /* x86_format(), at address 0x1000 */
};

#define C16 X86_CODE_16
#define C32 X86_CODE_32
#define C64 X86_CODE_64
#define OK X86_DECODE_OK
#define BAD X86_DECODE_INVALID

static const struct sample samples[] = {
    { "4801d8", C64, OK, "add rax, rbx" },
    { "00e0", C64, OK, "add al, ah" },
    { "4000e0", C64, OK, "add al, spl" },
    { "8b4df8", C64, OK, "mov ecx, dword ptr ss:[rbp-0x8]" },
    { "8b05f8ffffff", C64, OK, "mov eax, dword ptr ds:[0xffe]" },
    { "8b05f8ffffff", C32, OK, "mov eax, dword ptr ds:[0xfffffffffffffff8]" },
    { "648b042528000000", C64, OK, "mov eax, dword ptr fs:[0x28]" },
    { "2e8b00", C64, OK, "mov eax, dword ptr ds:[rax]" },
    { "2e8b00", C32, OK, "mov eax, dword ptr cs:[eax]" },
    { "8b00", C16, OK, "mov ax, word ptr ds:[bx+si]" },
    { "678b4434aa", C16, OK, "mov ax, word ptr ss:[esp+esi-0x56]" },
    { "7402", C64, OK, "je 0x1004" },
    { "66e901000000", C64, OK, "jmp 0x1007" },      /* 66 is ignored */
    { "66e90100", C32, OK, "jmp 0x1005" },
    { "4866c3", C64, OK, "ret" },
    { "4866b80100", C64, OK, "mov ax, 0x1" },       /* REX before 66 does nothing */
    { "90", C64, OK, "nop" },
    { "f390", C64, OK, "pause" },
    { "4190", C64, OK, "xchg r8d, eax" },
    { "f3a4", C64, OK, "rep movs byte ptr es:[rdi], byte ptr ds:[rsi]" },
    { "66a5", C32, OK, "movs word ptr es:[edi], word ptr ds:[esi]" },
    { "64ac", C32, OK, "lods al, byte ptr fs:[esi]" },
    { "f00108", C64, OK, "lock add dword ptr ds:[rax], ecx" },
    { "f001c8", C64, BAD, NULL }, { "f00308", C64, BAD, NULL }, { "f03908", C64, BAD, NULL },
    { "f08b08", C64, BAD, NULL },
    { "f00fc70e", C64, OK, "lock cmpxchg8b qword ptr ds:[rsi]" },
    { "480fc70e", C64, OK, "cmpxchg16b xmmword ptr ds:[rsi]" },
    { "0fc7ce", C64, BAD, NULL },
    { "06", C32, OK, "push es" }, { "06", C64, BAD, NULL },
    { "6200", C32, OK, "bound eax, qword ptr ds:[eax]" }, { "62f17c48", C64, BAD, NULL },
    { "c400", C32, OK, "les eax, fword ptr ds:[eax]" },
    { "c5f877", C64, OK, "vzeroupper" }, { "c5f877", C32, OK, "vzeroupper" },
    { "66c5f877", C64, BAD, NULL }, { "40c5f877", C64, BAD, NULL },
    { "c5f0c677", C64, X86_DECODE_MORE, NULL },
    { "c5fc28c1", C64, OK, "vmovaps ymm0, ymm1" },
    { "c5f428c1", C64, BAD, NULL },                 /* vvvv in use */
    { "c4e27590040500000000", C64, BAD, NULL },     /* index is the destination */
    { "c4e2759004bd00000000", C64, OK,
      "vpgatherdd ymm0, dword ptr ds:[ymm7*4], ymm1" },
    { "f20f38f1c1", C64, OK, "crc32 eax, ecx" },
    { "66f20f38f1c1", C64, OK, "crc32 eax, cx" },
    { "0f38f001", C64, OK, "movbe eax, dword ptr ds:[rcx]" },
    { "0f20d8", C64, OK, "mov rax, cr3" }, { "0f2018", C64, OK, "mov rax, cr3" },
    { "0f20c8", C64, BAD, NULL }, { "440f20c0", C64, OK, "mov rax, cr8" },
    { "8ec8", C64, BAD, NULL }, { "8ed0", C64, OK, "mov ss, ax" },
    { "9a341200100800", C32, OK, "call far 0x8:0x10001234" },
    { "9a341200100800", C64, BAD, NULL },
    { "c8100001", C64, OK, "enter 0x10, 0x1" },
    { "6aff", C64, OK, "push 0xffffffffffffffff" },
    { "a1f0ffffffffffffff", C64, OK, "mov eax, dword ptr ds:[0xfffffffffffffff0]" },
    { "d9c1", C64, OK, "fld st(1)" }, { "def9", C64, OK, "fdivp st(1), st(0)" },
    { "dd3f", C64, OK, "fnstsw word ptr ds:[rdi]" },
    { "660fefc0", C64, OK, "pxor xmm0, xmm0" }, { "0fefc0", C64, OK, "pxor mm0, mm0" },
    { "f30fb8c1", C64, OK, "popcnt eax, ecx" }, { "f30fbcc1", C64, OK, "tzcnt eax, ecx" },
    { "0fbcc1", C64, OK, "bsf eax, ecx" },
    { "f30f1efa", C64, OK, "endbr64" }, { "0f0b", C64, OK, "ud2" },
    { "0f01f8", C64, OK, "swapgs" }, { "0f01f8", C32, BAD, NULL },
    { "8fe878c000", C64, BAD, NULL },               /* XOP */
    { "0f0f", C64, BAD, NULL }, { "d6", C64, BAD, NULL }, { "d6", C16, OK, "salc" },
    { "", C64, X86_DECODE_MORE, NULL },
    /* Cut short, but nothing that follows can help. */
    { "f0c700", C64, BAD, NULL }, { "0fd784", C64, BAD, NULL },
    { "2e2e2e2e2e2e2ea000", C64, X86_DECODE_LONG, NULL },
    { "6666666666666666666666666666666690", C64, X86_DECODE_LONG, NULL },
    { "666666666666666666666666666690", C64, OK, "nop" },
};

static unsigned unhex(const char *hex, uint8_t *bytes)
{
    unsigned n, byte;

    for (n = 0; sscanf(hex + 2 * n, "%2x", &byte) == 1; n++)
        bytes[n] = byte;
    return n;
}

START_TEST(decode_samples)
{
    for (unsigned i = 0; i < ARRAY_SIZE(samples); i++) {
        const struct sample *s = &samples[i];
        struct x86_decoded d;
        uint8_t bytes[32];
        char text[100];
        unsigned len = unhex(s->hex, bytes);

        ck_assert_msg(x86_decode(bytes, len, s->mode, &d) == s->result, "%s", s->hex);
        if (s->result != OK)
            continue;
        ck_assert_msg(d.len == len, "%s: %u bytes", s->hex, d.len);
        x86_format(&d, 0x1000, text, sizeof(text));
        ck_assert_msg(!strcmp(text, s->text), "%s: %s, not %s", s->hex, text, s->text);
    }
}
END_TEST

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    return *state ^= *state << 17;
}

/* Everything about d that a user may index with. */
static void check_ranges(const struct x86_decoded *d)
{
    ck_assert_uint_gt(d->len, 0);
    ck_assert_uint_le(d->len, X86_INSN_MAX);
    ck_assert_uint_lt(d->op, X86_OP_COUNT);
    ck_assert_uint_lt(d->opcode_off, d->len);
    ck_assert_uint_lt(d->seg, 6);
    ck_assert(d->base < 16 || d->base == X86_NO_REG || d->base == X86_BASE_RIP);
    ck_assert(d->index < 16 || d->index == X86_NO_REG);
    ck_assert_uint_lt(d->feature, X86_FEATURE_COUNT);
    ck_assert_uint_le(d->operand_count, ARRAY_SIZE(d->operand));
    for (unsigned i = 0; i < d->operand_count; i++) {
        ck_assert_uint_ne(d->operand[i].kind, X86_OPERAND_NONE);
        ck_assert_uint_lt(d->operand[i].reg, 16);
    }
}

/* A valid instruction is asked for until its last byte, and bytes behind it do not matter. */
START_TEST(decode_truncated)
{
    uint64_t seed = 88172645463325252u;
    unsigned valid = 0;

    for (unsigned n = 0; n < 60000; n++) {
        union { uint64_t word[2]; uint8_t bytes[16]; } u;
        struct x86_decoded d, again;
        enum x86_code_size mode = n % 3;

        u.word[0] = next_random(&seed);
        u.word[1] = next_random(&seed);
        if (n & 8)
            u.bytes[0] = 0x0f;
        if (n & 16 && n & 32)
            u.bytes[0] = 0xc4, u.bytes[1] = 0xe1 + n % 3, u.bytes[2] |= 0x79;
        if (x86_decode(u.bytes, 16, mode, &d) != X86_DECODE_OK)
            continue;
        valid++;
        check_ranges(&d);
        for (unsigned len = 0; len < d.len; len++)
            ck_assert_int_eq(x86_decode(u.bytes, len, mode, &again), X86_DECODE_MORE);
        ck_assert_int_eq(x86_decode(u.bytes, d.len, mode, &again), X86_DECODE_OK);
        ck_assert_mem_eq(&d, &again, sizeof(d));
    }
    ck_assert_uint_gt(valid, 10000);
}
END_TEST

START_TEST(format_fits)
{
    static const uint8_t bytes[] = { 0xf0, 0x64, 0x81, 0x84, 0x88, 1, 2, 3, 4, 5, 6, 7, 8 };
    struct x86_decoded d;
    char buf[64];

    ck_assert_int_eq(x86_decode(bytes, sizeof(bytes), X86_CODE_64, &d), X86_DECODE_OK);
    for (unsigned len = 0; len < 40; len++) {
        memset(buf, '#', sizeof(buf));
        x86_format(&d, 0, buf, len);
        ck_assert_int_eq(buf[len], '#');
        ck_assert(len == 0 || memchr(buf, 0, len));
    }
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, decode_samples);
    UNIT_TEST(s, decode_truncated);
    UNIT_TEST(s, format_fits);
}

UNIT_TEST_MAIN("decode", add_tests)
