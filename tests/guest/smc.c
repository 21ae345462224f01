/* SPDX-License-Identifier: MIT */
/* Code that changes under the CPU, in all the ways one CPU can change its own: where the store is
 * and what it hits (the instruction behind it, one ahead or behind in the same block, another page,
 * one that crosses pages), by which address, by which kind of store, and under which block that was
 * made in the belief that it would stay. Each often enough for the code to be translated. smp.c has
 * what another CPU changes. SDM vol. 3, 8.1.3. */
#include "guest.h"

#define ROUNDS 300u

typedef unsigned fn(void);
typedef unsigned fn1(uint64_t arg);

static unsigned call(const void *code)
{
    return ((fn *)code)();
}

/* mov eax, imm32; ret */
static void emit(uint8_t *at, uint32_t value)
{
    at[0] = 0xb8;
    *(volatile uint32_t *)(at + 1) = value;
    at[5] = 0xc3;
}

static void copy(uint8_t *to, const uint8_t *from, unsigned len)
{
    for (unsigned n = 0; n < len; n++)
        ((volatile uint8_t *)to)[n] = from[n];
}

static void rewrite_often(void)
{
    uint8_t *code = alloc_page();
    bool ok = true;

    for (uint32_t n = 0; n < 2000; n++) {
        emit(code, n);
        ok &= call(code) == n;
    }
    CHECK("a function rewritten between calls", ok);
}

/* ---- by itself ---- */

/* The store changes the immediate of the instruction right behind it. */
static void rewrite_next(void)
{
    uint32_t v;

    __asm__ volatile("movl $2, 1f+1(%%rip); 1: mov $1, %%eax; mov %%eax, %0" : "=r"(v) : : "rax");
    CHECK_EQ("the next instruction", v, 2);
}

/* mov [rip + to the immediate], edi; nops; mov eax, imm32; ret */
static void rewrite_ahead(void)
{
    static const unsigned distances[] = {0, 7, 40, 58, 60, 64, 200};
    bool ok = true;

    for (unsigned d = 0; d < sizeof(distances) / sizeof(distances[0]); d++) {
        uint8_t *code = alloc_page();
        unsigned nops = distances[d];

        code[0] = 0x89, code[1] = 0x3d;
        *(uint32_t *)(code + 2) = nops + 1;
        for (unsigned n = 0; n < nops; n++)
            code[6 + n] = 0x90;
        emit(code + 6 + nops, 0);
        for (uint32_t n = 1; n < ROUNDS; n++)
            ok &= ((fn1 *)code)(n) == n;
    }
    CHECK("an instruction ahead, as far as other 64 bytes", ok);
}

/* A loop whose end changes the immediate at its start, which the next round must add:
 *   xor eax, eax; 1: add eax, imm32 (at 3); inc dword [rip to the immediate]; dec edi; jnz 1b; ret
 *   */
static void rewrite_behind(void)
{
    static const uint8_t bytes[] = {0x31, 0xc0, 0x05, 0, 0, 0, 0, 0xff, 0x05, 0xf6, 0xff, 0xff, 0xff,
                                    0xff, 0xcf, 0x75, 0xf1, 0xc3};
    uint8_t *code = alloc_page();
    bool ok = true;

    copy(code, bytes, sizeof(bytes));
    for (uint32_t n = 1; n < ROUNDS; n++) {
        uint32_t first = *(uint32_t *)(code + 3), rounds = n % 50 + 1;

        ok &= ((fn1 *)code)(rounds) == first * rounds + rounds * (rounds - 1) / 2;
    }
    CHECK("an instruction behind, in a loop", ok);
}

/* The store turns itself into a load, at once: mov [rip - 6], dil becomes mov dil, [rip - 6]. */
static void rewrite_itself(void)
{
    static const uint8_t bytes[] = {0x40, 0x88, 0x3d, 0xfa, 0xff, 0xff, 0xff, 0x31, 0xc0, 0xc3};
    uint8_t *code = alloc_page();
    bool ok = true;

    for (unsigned n = 0; n < ROUNDS; n++) {
        copy(code, bytes, sizeof(bytes));
        ok &= ((fn1 *)code)(0x8a) == 0 && code[1] == 0x8a;
        ok &= ((fn1 *)code)(0x77) == 0 && code[1] == 0x8a;
    }
    CHECK("the store itself", ok);
}

/* ---- what others rely on ---- */

/* A block ends with flags that the one it jumps to overwrites, until that one is rewritten to use
 * them; they are in different 64 bytes.
 *   add edi, -1; jmp +   and there: xor eax, eax; ret   or   setc al; movzx eax, al; ret */
static void flags_behind_a_jump(void)
{
    static const uint8_t zero[] = {0x31, 0xc0, 0xc3, 0x90, 0x90, 0x90, 0x90};
    static const uint8_t carry[] = {0x0f, 0x92, 0xc0, 0x0f, 0xb6, 0xc0, 0xc3};
    static const uint8_t head[] = {0x83, 0xc7, 0xff, 0xe9, 0xf8, 0, 0, 0}; /* to 0x100 */
    uint8_t *code = alloc_page();
    bool ok = true;

    copy(code, head, sizeof(head));
    for (unsigned n = 0; n < 20; n++) {
        copy(code + 0x100, zero, sizeof(zero));
        for (unsigned k = 0; k < 60; k++)
            ok &= ((fn1 *)code)(k) == 0;
        copy(code + 0x100, carry, sizeof(carry));
        for (unsigned k = 0; k < 60; k++)
            ok &= ((fn1 *)code)(k) == (k != 0);
    }
    CHECK("code behind a jump begins to use flags", ok);
}

/* A long run of instructions; what is rewritten is in the middle, at either side of a 64-byte
 * border. */
static void middle_of_a_block(void)
{
    uint8_t *code = alloc_page();
    bool ok = true;

    copy(code, (const uint8_t[]){0x31, 0xc0}, 2);
    for (unsigned n = 0; n < 50; n++) /* add eax, imm8 */
        copy(code + 2 + 3 * n, (const uint8_t[]){0x83, 0xc0, 1}, 3);
    code[152] = 0xc3;
    for (unsigned n = 0; n < ROUNDS; n++) {
        unsigned which = n % 50;

        for (unsigned k = 0; k < 30; k++)
            ok &= call(code) == 50;
        code[2 + 3 * which + 2] = 100;
        ok &= call(code) == 149;
        code[2 + 3 * which + 2] = 1;
        ok &= call(code) == 50;
    }
    CHECK("an instruction in the middle of a block", ok);
}

/* Other functions of the page stay, called through links and returns all the time. */
static void one_of_many(void)
{
    uint8_t *code = alloc_page();
    uint32_t value[64];
    bool ok = true;

    for (unsigned n = 0; n < 64; n++)
        emit(code + 64 * n + n % 59, value[n] = n); /* some cross a 64-byte border */
    for (uint32_t n = 0; n < 4 * ROUNDS; n++) {
        unsigned which = n * 7 % 64;

        emit(code + 64 * which + which % 59, value[which] = n + 1000);
        for (unsigned k = 0; k < 64; k++)
            ok &= call(code + 64 * k + k % 59) == value[k];
    }
    CHECK("one of many functions in a page", ok);
}

/* ---- data beside code ---- */

static void data_beside(void)
{
    /* 1: add [rsi], edi; dec edi; jnz 1b; ret */
    static const uint8_t bytes[] = {0x01, 0x3e, 0xff, 0xcf, 0x75, 0xfa, 0xc3};
    uint8_t *code = alloc_page();
    bool ok = true;

    copy(code, bytes, sizeof(bytes));
    for (unsigned at = 8; at < 4096; at += at < 200 ? 4 : 188) {
        volatile uint32_t *data = (volatile uint32_t *)(code + at);

        *data = 0;
        ((void (*)(uint64_t, volatile uint32_t *))code)(100, data);
        ok &= *data == 5050;
    }
    CHECK("data beside the code that writes it", ok);
}

/* A page is code, data, and code again. */
static void page_changes_sides(void)
{
    uint8_t *code = alloc_page();
    bool ok = true;

    for (uint32_t n = 0; n < 40; n++) {
        uint64_t sum = 0;

        for (unsigned k = 0; k < 64; k++)
            emit(code + 64 * k, n + k);
        for (unsigned k = 0; k < 64 * 30; k++)
            ok &= call(code + 64 * (k % 64)) == n + k % 64;
        for (unsigned k = 0; k < 4096 / 8; k++)
            ((volatile uint64_t *)code)[k] = k * n;
        for (unsigned round = 0; round < 3; round++)
            for (unsigned k = 0; k < 4096 / 8; k++)
                sum += ++((volatile uint64_t *)code)[k];
        ok &= sum == 3 * (uint64_t)n * (511 * 512 / 2) + 6 * 512;
    }
    CHECK("a page that is code and data in turn", ok);
}

/* Code on the stack, whose page is written all the time. */
static void on_the_stack(void)
{
    bool ok = true;

    for (uint32_t n = 0; n < 4 * ROUNDS; n++) {
        volatile uint8_t code[24];

        emit((uint8_t *)code + n % 16, n);
        ok &= call((const uint8_t *)code + n % 16) == n;
    }
    CHECK("on the stack", ok);
}

/* ---- other addresses ---- */

static void through_alias(void)
{
    uint8_t *code = alloc_page(), *alias = (uint8_t *)0x50000000;
    bool ok = true;

    *page_entry((uint64_t)alias) = (uint64_t)code | 3;
    flush_page(alias);
    for (uint32_t n = 0; n < 500; n++) {
        emit(alias, n);
        ok &= call(code) == n && call(alias) == n;
    }
    CHECK("through an alias", ok);
}

static void across_pages(void)
{
    uint8_t *code = alloc_page(), *at = code + 4094;
    bool ok = true;

    alloc_page();
    for (uint32_t n = 0; n < 500; n++) {
        emit(at, n);
        ok &= call(at) == n;
        at[3] ^= 1; /* second page only */
        ok &= call(at) == (n ^ 0x10000);
    }
    CHECK("an instruction across two pages", ok);
}

/* The second page is exchanged, and the first one, behind it the same or the other. */
static void across_other_pages(void)
{
    uint8_t *first = alloc_page(), *second[2] = {alloc_page(), alloc_page()};
    uint8_t *at = (uint8_t *)0x52000000;
    bool ok = true;

    *page_entry((uint64_t)at) = (uint64_t)first | 3;
    first[4094] = 0xb8;
    for (uint32_t n = 0; n < 500; n++) {
        uint8_t *now = second[n % 3 == 0];

        *page_entry((uint64_t)at + 4096) = (uint64_t)now | 3;
        flush_page(at + 4096);
        first[4095] = (uint8_t)n;
        now[0] = now[1] = 0, now[2] = n % 3 == 0, now[3] = 0xc3;
        ok &= call(at + 4094) == ((n & 0xff) | (n % 3 == 0) << 24);
    }
    CHECK("an instruction whose second page is exchanged", ok);
}

static void remapped(void)
{
    uint8_t *a = alloc_page(), *b = alloc_page(), *at = (uint8_t *)0x51000000;
    bool ok = true;

    emit(a, 1);
    emit(b, 2);
    for (int n = 0; n < 200; n++) {
        *page_entry((uint64_t)at) = (uint64_t)(n & 1 ? a : b) | 3;
        flush_page(at);
        ok &= call(at) == (n & 1 ? 1 : 2);
    }
    CHECK("another page at the same address", ok);
}

static void call_it(void *code)
{
    call(code);
}

/* Taken away, rewritten meanwhile by its other address, and given back. */
static void unmapped(void)
{
    uint8_t *page = alloc_page(), *at = (uint8_t *)0x53000000;
    bool ok = true;

    for (uint32_t n = 0; n < 200; n++) {
        emit(page, n);
        *page_entry((uint64_t)at) = (uint64_t)page | 3;
        flush_page(at);
        for (unsigned k = 0; k < 30; k++)
            ok &= call(at) == n;
        *page_entry((uint64_t)at) = 0;
        flush_page(at);
        ok &= catch_exception(call_it, at, NULL) == 14;
    }
    CHECK("a page that goes and comes with other code", ok);
}

/* ---- kinds of stores ---- */

static void by_byte(uint8_t *at, uint32_t v)
{
    for (unsigned n = 0; n < 4; n++)
        ((volatile uint8_t *)at)[n] = (uint8_t)(v >> 8 * n);
}

static void by_words(uint8_t *at, uint32_t v)
{
    ((volatile uint16_t *)at)[1] = (uint16_t)(v >> 16);
    ((volatile uint16_t *)at)[0] = (uint16_t)v;
}

static void by_xchg(uint8_t *at, uint32_t v)
{
    __asm__ volatile("xchg %0, %1" : "+r"(v), "+m"(*(uint32_t *)at));
}

static void by_locked_add(uint8_t *at, uint32_t v)
{
    __asm__ volatile("lock addl %1, %0" : "+m"(*(uint32_t *)at) : "r"(v - *(uint32_t *)at) : "cc");
}

static void by_cmpxchg(uint8_t *at, uint32_t v)
{
    uint32_t old = *(uint32_t *)at;

    __asm__ volatile("lock cmpxchgl %2, %0" : "+m"(*(uint32_t *)at), "+a"(old) : "r"(v) : "cc");
}

static void by_rmw(uint8_t *at, uint32_t v)
{
    __asm__ volatile("xorl %1, %0" : "+m"(*(uint32_t *)at) : "r"(v ^ *(uint32_t *)at) : "cc");
}

static void by_push(uint8_t *at, uint32_t v)
{
    uint64_t rest = *(uint32_t *)(at + 4);

    __asm__ volatile("mov %%rsp, %%rbx; lea 8(%0), %%rsp; push %1; mov %%rbx, %%rsp"
                     : : "r"(at), "r"(rest << 32 | v) : "rbx", "memory");
}

static void by_string(uint8_t *at, uint32_t v)
{
    uint64_t len = 4;
    const void *from = &v;

    __asm__ volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(len) : : "memory");
}

static void by_stos(uint8_t *at, uint32_t v)
{
    uint64_t len = 1;

    __asm__ volatile("rep stosl" : "+D"(at), "+c"(len) : "a"(v) : "memory");
}

static void by_sse(uint8_t *at, uint32_t v)
{
    __asm__ volatile("movd %1, %%xmm0; movss %%xmm0, %0" : "=m"(*(uint32_t *)at) : "r"(v));
}

static void by_sse16(uint8_t *at, uint32_t v)
{
    __asm__ volatile("movups %0, %%xmm0; movd %1, %%xmm1; movss %%xmm1, %%xmm0; movups %%xmm0, %0"
                     : "+m"(*(uint8_t(*)[16])at) : "r"(v));
}

static void by_x87(uint8_t *at, uint32_t v)
{
    __asm__ volatile("fildl %1; fistpl %0" : "=m"(*(uint32_t *)at) : "m"(v));
}

static void by_bits(uint8_t *at, uint32_t v)
{
    for (unsigned n = 0; n < 32; n++)
        if (((*(uint32_t *)at ^ v) >> n) & 1)
            __asm__ volatile("btcl %1, %0" : "+m"(*(uint32_t *)at) : "r"(n) : "cc", "memory");
}

static void by_cmpxchg16b(uint8_t *at, uint32_t v)
{
    uint64_t *p = (uint64_t *)((uint64_t)at & ~UINT64_C(15)), want[2] = {p[0], p[1]};
    uint64_t lo = p[0], hi = p[1];

    *(uint32_t *)((uint8_t *)want + ((uint64_t)at & 15)) = v;
    __asm__ volatile("lock cmpxchg16b %0" : "+m"(*(uint8_t(*)[16])p), "+a"(lo), "+d"(hi)
                     : "b"(want[0]), "c"(want[1]) : "cc", "memory");
}

static const struct {
    const char *name;
    void (*store)(uint8_t *at, uint32_t v);
} stores[] = {
    {"bytes", by_byte}, {"words", by_words}, {"XCHG", by_xchg}, {"LOCK ADD", by_locked_add},
    {"LOCK CMPXCHG", by_cmpxchg}, {"CMPXCHG16B", by_cmpxchg16b}, {"XOR", by_rmw}, {"PUSH", by_push},
    {"REP MOVSB", by_string}, {"REP STOSD", by_stos}, {"MOVSS", by_sse}, {"MOVUPS", by_sse16},
    {"FISTP", by_x87}, {"BTC", by_bits},
};

static void all_stores(void)
{
    uint8_t *code = alloc_page(), *alias = (uint8_t *)0x54000000;

    WRITE_CR(4, READ_CR(4) | 0x600);
    __asm__ volatile("fninit");
    *page_entry((uint64_t)alias) = (uint64_t)code | 3;
    flush_page(alias);
    for (unsigned s = 0; s < sizeof(stores) / sizeof(stores[0]); s++) {
        uint8_t *at = code + 256 * s + 3;
        bool ok = true;

        emit(at, 0);
        for (uint32_t n = 1; n < ROUNDS; n++) {
            stores[s].store((n & 1 ? at : alias + (at - code)) + 1, n * 0x10001);
            for (unsigned k = 0; k <= n % 40; k++)
                ok &= call(at) == n * 0x10001;
        }
        CHECK(stores[s].name, ok);
    }
}

int guest_main(void)
{
    rewrite_often();
    rewrite_next();
    rewrite_ahead();
    rewrite_behind();
    rewrite_itself();
    flags_behind_a_jump();
    middle_of_a_block();
    one_of_many();
    data_beside();
    page_changes_sides();
    on_the_stack();
    through_alias();
    across_pages();
    across_other_pages();
    remapped();
    unmapped();
    all_stores();
    return check_failures();
}
