/* SPDX-License-Identifier: MIT */
/* Saves and restores all components that there are (a mask of all ones, as some run-time systems have it), with system
 * calls and faults in between, so that another engine or processor may be the one that restores. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define AREA 16384 /* AMX has 11008 */

static uint8_t area[AREA] __attribute__((aligned(64)));

static uint64_t xcr0(void)
{
    uint32_t low, high;

    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low | (uint64_t)high << 32;
}

static void fill(uint8_t byte)
{
    uint8_t v[16];

    memset(v, byte, sizeof(v));
    __asm__ volatile("movdqu %0, %%xmm3; movdqu %0, %%xmm12" : : "m"(v) : "xmm3", "xmm12");
}

static int holds(uint8_t byte)
{
    uint8_t v[2][16], want[16];

    __asm__ volatile("movdqu %%xmm3, %0; movdqu %%xmm12, %1" : "=m"(v[0]), "=m"(v[1]));
    memset(want, byte, sizeof(want));
    return !memcmp(v[0], want, 16) && !memcmp(v[1], want, 16);
}

int main(void)
{
    unsigned wrong = 0, unknown = 0;
    uint64_t bv;

    for (unsigned n = 1; n <= 2000; n++) {
        uint8_t *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        memset(area, 0, 576);
        fill((uint8_t)n);
        if (n & 1)
            __asm__ volatile("xsave64 %0" : "+m"(area) : "a"(-1), "d"(-1));
        else
            __asm__ volatile("xsavec64 %0" : "+m"(area) : "a"(-1), "d"(-1));
        memcpy(&bv, area + 512, sizeof(bv));
        unknown += (bv & ~xcr0()) != 0;
        fill(0xee);
        if (n % 3)
            (void)getppid();
        *page = 1; /* a fault */
        __asm__ volatile("xrstor64 %0" : : "m"(area), "a"(-1), "d"(-1)
                         : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",
                           "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "memory");
        wrong += !holds((uint8_t)n);
        munmap(page, 4096);
    }
    printf("%u wrong, %u with components that are off\n", wrong, unknown);
    return 0;
}
