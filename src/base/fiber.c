/* SPDX-License-Identifier: MIT */
#include "base/fiber.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#define FIBER_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FIBER_ASAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define FIBER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define FIBER_TSAN 1
#endif
#endif
#ifdef FIBER_ASAN
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef FIBER_TSAN
#include <sanitizer/tsan_interface.h>
#endif

#define GUARD 4096u
#define MXCSR_DEFAULT 0x1f80u
#define X87_CW_DEFAULT 0x37fu

struct fiber {
    void *sp, *caller_sp;
    void (*fn)(void *arg);
    void *arg;
    uint8_t *map; /* guard page, then the stack */
    size_t map_len;
    /* For the sanitizers. */
    const void *caller_stack;
    size_t caller_stack_len;
    void *fake, *caller_fake, *tsan, *caller_tsan;
};

void fiber_switch(void **save_sp, void *sp);
void fiber_begin(void);

/* On the new stack; the sanitizers want to hear of every arrival. */
static void arrived(struct fiber *f)
{
#ifdef FIBER_ASAN
    __sanitizer_finish_switch_fiber(f->fake, &f->caller_stack, &f->caller_stack_len);
#endif
}

static void start(void *arg)
{
    struct fiber *f = arg;

    arrived(f);
    f->fn(f->arg);
}

/* What fiber_switch() pops: control words, r15 to r12, rbx, rbp, the return address. */
static void prepare_stack(struct fiber *f)
{
    uint64_t *sp = (uint64_t *)(uintptr_t)(f->map + f->map_len) - 2;

    *--sp = (uintptr_t)fiber_begin; /* begins with the alignment of a call's inside, minus one push */
    *--sp = 0;                      /* rbp: the end of back traces */
    *--sp = (uintptr_t)start;
    *--sp = (uintptr_t)f; /* r12 */
    *--sp = 0;
    *--sp = 0;
    *--sp = 0;
    *--sp = MXCSR_DEFAULT | (uint64_t)X87_CW_DEFAULT << 32;
    f->sp = sp;
}

int fiber_create(size_t stack_len, void (*fn)(void *arg), void *arg, struct fiber **ret)
{
    struct fiber *f = calloc(1, sizeof(*f));

    if (!f)
        return -ENOMEM;
    f->fn = fn;
    f->arg = arg;
    f->map_len = stack_len + GUARD;
    f->map = mmap(NULL, f->map_len, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (f->map == MAP_FAILED || mprotect(f->map, GUARD, PROT_NONE) < 0) {
        if (f->map != MAP_FAILED)
            munmap(f->map, f->map_len);
        free(f);
        return -ENOMEM;
    }
    prepare_stack(f);
#ifdef FIBER_TSAN
    f->tsan = __tsan_create_fiber(0);
#endif
    *ret = f;
    return 0;
}

void fiber_destroy(struct fiber *f)
{
    if (!f)
        return;
#ifdef FIBER_TSAN
    __tsan_destroy_fiber(f->tsan);
#endif
    munmap(f->map, f->map_len);
    free(f);
}

void fiber_enter(struct fiber *f)
{
#ifdef FIBER_TSAN
    f->caller_tsan = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(f->tsan, 0);
#endif
#ifdef FIBER_ASAN
    __sanitizer_start_switch_fiber(&f->caller_fake, f->map + GUARD, f->map_len - GUARD);
#endif
    fiber_switch(&f->caller_sp, f->sp);
#ifdef FIBER_ASAN
    __sanitizer_finish_switch_fiber(f->caller_fake, NULL, NULL);
#endif
}

void fiber_leave(struct fiber *f)
{
#ifdef FIBER_TSAN
    __tsan_switch_to_fiber(f->caller_tsan, 0);
#endif
#ifdef FIBER_ASAN
    __sanitizer_start_switch_fiber(&f->fake, f->caller_stack, f->caller_stack_len);
#endif
    fiber_switch(&f->sp, f->caller_sp);
    arrived(f);
}
