/* SPDX-License-Identifier: MIT */
#include "console.h"

#include <stdarg.h>

static int failures;

void *memset(void *p, int c, size_t n)
{
    void *d = p;

    __asm__ volatile("rep stosb" : "+D"(d), "+c"(n) : "a"(c) : "memory");
    return p;
}

void *memcpy(void *d, const void *s, size_t n)
{
    void *to = d;

    __asm__ volatile("rep movsb" : "+D"(to), "+S"(s), "+c"(n) : : "memory");
    return d;
}

/* ---- console ---- */

static void put(char c)
{
    while (!(inb(0x3fd) & 0x20))
        ;
    outb(0x3f8, (uint8_t)c);
}

static void put_number(unsigned long v, unsigned base)
{
    char buf[24];
    unsigned n = 0;

    do {
        buf[n++] = "0123456789abcdef"[v % base];
        v /= base;
    } while (v);
    while (n)
        put(buf[--n]);
}

void print(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    for (; *fmt; fmt++) {
        bool wide = false;

        if (*fmt != '%') {
            put(*fmt);
            continue;
        }
        fmt++;
        while (*fmt == 'l') {
            wide = true;
            fmt++;
        }
        if (*fmt == 's') {
            for (const char *s = va_arg(ap, const char *); *s; s++)
                put(*s);
        } else if (*fmt == 'c') {
            put((char)va_arg(ap, int));
        } else if (*fmt == 'd') {
            int v = va_arg(ap, int);

            if (v < 0)
                put('-');
            put_number(v < 0 ? -(unsigned long)v : (unsigned long)v, 10);
        } else {
            unsigned long v = wide ? va_arg(ap, unsigned long) : va_arg(ap, unsigned);

            put_number(v, *fmt == 'x' ? 16 : 10);
        }
    }
    va_end(ap);
}

/* ---- verdicts ---- */

_Noreturn void guest_exit(int n)
{
    print(n ? "FAILED %d\n" : "PASSED\n", n);
    for (;;) {
        outl(0xf4, (uint32_t)(n > 100 ? 100 : n));
        __asm__ volatile("cli; hlt");
    }
}

bool check(const char *name, bool ok, const char *file, int line)
{
    if (ok)
        print("ok %s\n", name);
    else
        print("FAIL %s (%s:%d)\n", name, file, line);
    failures += !ok;
    return ok;
}

bool check_eq(const char *name, unsigned long got, unsigned long want, int line)
{
    if (got == want)
        print("ok %s\n", name);
    else
        print("FAIL %s: expected %lx, got %lx (line %d)\n", name, want, got, line);
    failures += got != want;
    return got == want;
}

int check_failures(void)
{
    return failures;
}
