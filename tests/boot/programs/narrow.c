/* SPDX-License-Identifier: MIT */
/* Ordinary C for 32-bit code without a library: hashing, sorting through function pointers, jump
 * tables, 64-bit arithmetic in pairs of registers, bytes and words, recursion, x87. Built for 32
 * bits for the guest, and for 64 bits to say what it must print. */
#include <stdint.h>

#define N 4096u

static uint32_t table[N], other[N];
static uint8_t text[4 * N];
static uint64_t state = 88172645463325252u;

#ifdef __i386__
static int call3(int n, int a, const void *b, unsigned c)
{
    int r;

    __asm__ volatile("int $0x80" : "=a"(r) : "0"(n), "b"(a), "c"(b), "d"(c) : "memory");
    return r;
}
#define WRITE(p, len) call3(4, 1, p, len)
#define EXIT(status)  call3(1, status, 0, 0)
#else
static long call3(long n, long a, const void *b, unsigned long c)
{
    long r;

    __asm__ volatile("syscall" : "=a"(r) : "0"(n), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
    return r;
}
#define WRITE(p, len) call3(1, 1, p, len)
#define EXIT(status)  call3(60, status, 0, 0)
#endif

static void print(const char *name, uint64_t v)
{
    char line[64];
    unsigned len = 0;

    while (*name)
        line[len++] = *name++;
    line[len++] = ' ';
    for (int shift = 60; shift >= 0; shift -= 4)
        line[len++] = "0123456789abcdef"[v >> shift & 15];
    line[len++] = '\n';
    WRITE(line, len);
}

static uint64_t rnd(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static int up(uint32_t a, uint32_t b)
{
    return a < b ? -1 : a > b;
}

static int by_low_byte(uint32_t a, uint32_t b)
{
    return (uint8_t)a != (uint8_t)b ? (int8_t)a - (int8_t)b : up(a, b);
}

static void sort(uint32_t *v, int from, int to, int (*compare)(uint32_t, uint32_t))
{
    while (from < to) {
        uint32_t pivot = v[(from + to) / 2];
        int i = from, j = to;

        while (i <= j) {
            while (compare(v[i], pivot) < 0)
                i++;
            while (compare(v[j], pivot) > 0)
                j--;
            if (i <= j) {
                uint32_t t = v[i];

                v[i++] = v[j];
                v[j--] = t;
            }
        }
        sort(v, from, j, compare);
        from = i;
    }
}

static uint32_t rotate(uint32_t v, unsigned n)
{
    return v << n | v >> (32 - n);
}

/* A hash with the mix of operations of SHA-256. */
static uint64_t hash(const uint8_t *p, unsigned len)
{
    uint32_t a = 0x6a09e667, b = 0xbb67ae85, c = 0x3c6ef372, d = 0xa54ff53a;

    for (unsigned n = 0; n < len; n++) {
        uint32_t t = (rotate(a, 26) ^ rotate(b, 21) ^ rotate(c, 7)) + ((a & b) ^ (~a & c)) + p[n];

        d = c;
        c = b;
        b = a;
        a = t + d * 0x9e3779b1u;
    }
    return (uint64_t)(a ^ c) << 32 | (b ^ d);
}

/* A little machine: a jump table. */
static uint64_t interpret(unsigned rounds)
{
    uint64_t acc = 1;
    uint16_t half = 0x1234;
    uint8_t byte = 7;

    for (unsigned n = 0; n < rounds; n++) {
        switch (table[n % N] % 9) {
        case 0: acc += table[acc % N]; break;
        case 1: acc = acc << 7 | acc >> 57; break;
        case 2: acc *= 0x100000001b3u; break;
        case 3: half = (uint16_t)(half * 31 + (uint16_t)acc); break;
        case 4: byte = (uint8_t)(byte << 3 | byte >> 5); break;
        case 5: acc ^= (uint64_t)half << (byte & 31); break;
        case 6: acc -= byte; break;
        case 7: acc ^= (uint64_t)(int64_t)(int8_t)byte; break;
        default: acc += (int16_t)half; break;
        }
    }
    return acc ^ half ^ (uint64_t)byte << 40;
}

static unsigned fib(unsigned n)
{
    return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

static void convert(void)
{
    uint32_t *to = other;
    uint8_t *from = text;
    unsigned long len = sizeof(other);

    for (unsigned n = 0; n < sizeof(text); n++) {
        uint8_t c = (uint8_t)table[n % N];

        text[n] = (uint8_t)(c >= 'a' && c <= 'z' ? c - 32 : c ^ (n & 1));
    }
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(len) : : "memory");
}

/* Exact in any precision. */
static uint64_t numbers(void)
{
    double sum = 0;

    for (unsigned n = 1; n < 3000; n++)
        sum += (double)(int)(table[n] >> 8) * 0.5 - (double)n * 3;
    return (uint64_t)(int64_t)(sum * 2);
}

__attribute__((force_align_arg_pointer)) void _start(void)
{
    for (unsigned n = 0; n < N; n++)
        table[n] = (uint32_t)rnd();
    print("interpret", interpret(300000));
    sort(table, 0, N - 1, up);
    for (unsigned n = 1; n < N; n++)
        if (table[n - 1] > table[n])
            print("not sorted", n);
    sort(table, 0, N - 1, by_low_byte);
    convert();
    print("hash", hash(text, sizeof(text)));
    for (unsigned n = 0; n < 40; n++)
        table[n] ^= (uint32_t)hash((const uint8_t *)other, sizeof(other) - n);
    print("table", hash((const uint8_t *)table, sizeof(table)));
    print("fib", fib(24));
    print("numbers", numbers());
    print("interpret", interpret(300000));
    EXIT(0);
    for (;;)
        ;
}
