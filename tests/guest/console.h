/* SPDX-License-Identifier: MIT */
/* What guest test programs of either width say and judge with: a serial console, checks, a verdict;
 * and ports. Compiled for 64 and for 32 bits.
 *
 * A program prints "ok NAME" or "FAIL NAME: ..." for each check and ends through guest_exit() with
 * the number of failures, which vz turns into its exit status. */
#ifndef VZ_TESTS_GUEST_CONSOLE_H
#define VZ_TESTS_GUEST_CONSOLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

_Noreturn void guest_exit(int failures);

void print(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* %s %d %u %x %lx %c */

/* One check: prints its name and result. */
#define CHECK(name, cond) check(name, cond, __FILE__, __LINE__)
#define CHECK_EQ(name, got, want) check_eq(name, (unsigned long)(got), (unsigned long)(want), __LINE__)
bool check(const char *name, bool ok, const char *file, int line);
bool check_eq(const char *name, unsigned long got, unsigned long want, int line);
int check_failures(void);

void *memset(void *p, int c, size_t n);
void *memcpy(void *d, const void *s, size_t n);

static inline void outb(uint16_t port, uint8_t v)
{
    __asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port));
}
static inline uint8_t inb(uint16_t port)
{
    uint8_t v;

    __asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
    return v;
}
static inline void outl(uint16_t port, uint32_t v)
{
    __asm__ volatile("outl %0, %1" : : "a"(v), "Nd"(port));
}
static inline uint32_t inl(uint16_t port)
{
    uint32_t v;

    __asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port));
    return v;
}

#endif
