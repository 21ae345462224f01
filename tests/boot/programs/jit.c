/* SPDX-License-Identifier: MIT */
/* Code that is written while the program runs: by itself, through another address, and by another
 * thread; what runs must be what was written. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static uint8_t *code;

/* mov eax, value; ret */
static void emit(uint8_t *at, uint32_t value)
{
    at[0] = 0xb8;
    memcpy(at + 1, &value, 4);
    at[5] = 0xc3;
}

static uint32_t call(const uint8_t *at)
{
    uint32_t (*f)(void) = (uint32_t(*)(void))at;

    return f();
}

static void by_itself(void)
{
    unsigned wrong = 0;

    for (uint32_t i = 0; i < 20000; i++) {
        emit(code + i % 64 * 61, i);
        wrong += call(code + i % 64 * 61) != i;
    }
    printf("own code: %u wrong\n", wrong);
}

/* The instruction after the store is what the store wrote. */
static void next_instruction(void)
{
    /* mov byte [rip + 1], dil (the immediate below); mov eax, 0; ret: 7 + 5 + 1 bytes */
    static const uint8_t bytes[] = {0x40, 0x88, 0x3d, 0x01, 0, 0, 0, 0xb8, 0, 0, 0, 0, 0xc3};
    unsigned wrong = 0;

    memcpy(code + 8000, bytes, sizeof(bytes));
    for (uint32_t i = 0; i < 2000; i++)
        wrong += ((uint32_t(*)(uint32_t))(code + 8000))(i & 0xff) != (i & 0xff);
    printf("next instruction: %u wrong\n", wrong);
}

static void through_another_address(void)
{
    int fd = memfd_create("code", 0);
    uint8_t *w, *x;
    unsigned wrong = 0;

    if (ftruncate(fd, 8192))
        return;
    w = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    x = mmap(NULL, 8192, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
    for (uint32_t i = 0; i < 5000; i++) {
        uint32_t at = 4093 - i % 7; /* over the pages' border */

        emit(w + at, i);
        wrong += call(x + at) != i;
    }
    printf("other address: %u wrong\n", wrong);
    for (uint32_t i = 0; i < 200; i++) { /* by the kernel */
        uint8_t bytes[6];

        emit(bytes, i + 7);
        if (pwrite(fd, bytes, sizeof(bytes), 100) != sizeof(bytes))
            wrong++;
        wrong += call(x + 100) != i + 7;
    }
    printf("by the kernel: %u wrong\n", wrong);
}

static void protected_pages(void)
{
    unsigned wrong = 0;

    for (uint32_t i = 0; i < 300; i++) {
        mprotect(code, 4096, PROT_READ | PROT_WRITE);
        emit(code, i * 3);
        mprotect(code, 4096, PROT_READ | PROT_EXEC);
        wrong += call(code) != i * 3;
    }
    mprotect(code, 4096, PROT_READ | PROT_WRITE | PROT_EXEC);
    printf("protected: %u wrong\n", wrong);
}

/* The same address again and again with other pages behind it. */
static void remapped(void)
{
    unsigned wrong = 0;

    for (uint32_t i = 0; i < 300; i++) {
        uint8_t *p = mmap((void *)0x10000000, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

        emit(p, i);
        wrong += call(p) != i;
    }
    munmap((void *)0x10000000, 4096);
    printf("remapped: %u wrong\n", wrong);
}

/* Another thread writes; a serialized reader must see it (SDM vol. 3, 9.1.3). */
static volatile uint32_t written, called, stop;

static void *writer(void *arg)
{
    for (uint32_t i = 1; i <= 3000; i++) {
        emit(code + 12000, i);
        __atomic_store_n(&written, i, __ATOMIC_RELEASE);
        while (__atomic_load_n(&called, __ATOMIC_ACQUIRE) != i)
            if (i % 16 == 0)
                usleep(1);
            else
                pthread_yield();
    }
    stop = 1;
    return arg;
}

static void by_another_thread(void)
{
    pthread_t t;
    unsigned wrong = 0;

    emit(code + 12000, 0);
    pthread_create(&t, NULL, writer, NULL);
    while (called < 3000) {
        uint32_t w = __atomic_load_n(&written, __ATOMIC_ACQUIRE), eax = 0, ecx = 0;

        if (w == called) {
            pthread_yield();
            continue;
        }
        __asm__ volatile("cpuid" : "+a"(eax), "+c"(ecx)::"rbx", "rdx", "memory");
        wrong += call(code + 12000) != w;
        __atomic_store_n(&called, w, __ATOMIC_RELEASE);
    }
    pthread_join(t, NULL);
    printf("other thread: %u wrong\n", wrong);
}

/* A 5-byte no-op becomes a jump and back under a running thread, one atomic store at a time. */
static void *patcher(void *arg)
{
    uint64_t *at = (uint64_t *)(code + 12800);
    uint64_t nop = *at, jump = nop;
    uint8_t bytes[5] = {0xe9, 2, 0, 0, 0}; /* over the 2-byte add */

    memcpy(&jump, bytes, sizeof(bytes));
    for (int i = 0; i < 3000; i++) {
        __atomic_store_n(at, i & 1 ? nop : jump, __ATOMIC_SEQ_CST);
        if (i % 8 == 0)
            usleep(1);
    }
    stop = 1;
    return arg;
}

static void patched(void)
{
    /* nopl 0(rax,rax); add al, 0 (2 bytes); mov eax, 5; ret */
    static const uint8_t bytes[] = {0x0f, 0x1f, 0x44, 0, 0, 0x04, 0x00, 0xb8, 5, 0, 0, 0, 0xc3};
    pthread_t t;
    unsigned wrong = 0;

    memcpy(code + 12800, bytes, sizeof(bytes));
    stop = 0;
    pthread_create(&t, NULL, patcher, NULL);
    while (!stop)
        wrong += call(code + 12800) != 5;
    pthread_join(t, NULL);
    printf("patched: %u wrong\n", wrong);
}

int main(void)
{
    code = mmap(NULL, 16384, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                0);
    by_itself();
    next_instruction();
    through_another_address();
    protected_pages();
    remapped();
    by_another_thread();
    patched();
    return 0;
}
