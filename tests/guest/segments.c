/* SPDX-License-Identifier: MIT */
/* What stays in segment registers, hidden parts included, over returns to an outer level and loads
 * of null selectors. SDM vol. 2, IRET, RET, SYSRET, SYSEXIT, MOV; as Intel's processors do where the
 * manual is silent. QEMU's TCG differs in null selectors with an RPL. */
#include "guest.h"

#define FS_BASE 0xc0000100
#define GS_BASE 0xc0000101

enum { KDATA = 0x10, UCODE32 = 0x23, UDATA = 0x2b, UCODE = 0x33, CONFORMING = 0x60 };

/* Selectors as the code that was returned to finds them, and what lies at FS:0. */
struct seen {
    uint64_t ds, es, fs, gs, word;
};

extern struct seen seen;
extern char look64[], look32[], look32_fs[], far64[];

__asm__(".data; .balign 16; .global seen; seen: .fill 5, 8, 0\n"
        ".text\n"
        "look64: mov %ds, seen; mov %es, seen+8; mov %fs, seen+16; mov %gs, seen+24\n"
        "        mov %fs:0, %rax; mov %rax, seen+32; int $0x80\n"
        ".code32\n"
        "look32: mov %ds, %ss:seen; mov %es, %ss:seen+8; mov %fs, %ss:seen+16\n"
        "        mov %gs, %ss:seen+24\n"
        "look32_fs: mov %fs:0, %eax; int $0x80\n"
        ".code64\n");

static const uint64_t word = 0x1122334455667788;
static uint8_t outer_stack[512] __attribute__((aligned(16)));

struct way {
    uint64_t rip, cs, ss;
};

/* ---- ways to user mode; the stack is left to whoever catches the exception ---- */

static void by_iret(void *p)
{
    struct way *w = p;

    __asm__ volatile("push %0; push %1; push $2; push %2; push %3; iretq"
                     : : "r"(w->ss), "r"(outer_stack + 512), "r"(w->cs), "r"(w->rip) : "memory");
}

static void by_far_return(void *p)
{
    struct way *w = p;

    __asm__ volatile("push %0; push %1; push %2; push %3; lretq"
                     : : "r"(w->ss), "r"(outer_stack + 512), "r"(w->cs), "r"(w->rip) : "memory");
}

static void by_sysret(void *p)
{
    wrmsr(0xc0000081, UINT64_C(0x0020000800000000)); /* STAR: 0x33 and 0x2b */
    __asm__ volatile("mov $2, %%r11d; sysretq" : : "c"(look64) : "r11", "memory");
}

static void by_sysexit(void *p)
{
    wrmsr(0x174, 0x10); /* 0x33 and 0x3b */
    __asm__ volatile("sysexitq" : : "c"(outer_stack + 512), "d"(look64) : "memory");
}

static void load_all(uint16_t ds, uint16_t es, uint16_t fs, uint16_t gs)
{
    __asm__ volatile("mov %0, %%ds; mov %1, %%es; mov %2, %%fs; mov %3, %%gs"
                     : : "r"((uint32_t)ds), "r"((uint32_t)es), "r"((uint32_t)fs),
                         "r"((uint32_t)gs));
    wrmsr(FS_BASE, (uint64_t)&word);
    wrmsr(GS_BASE, UINT64_C(0x123456789000));
}

/* Go by fn, and let the code there look. */
static int go(const char *name, void (*fn)(void *), struct way *w, struct frame *f)
{
    static uint8_t stack[4096] __attribute__((aligned(16)));
    int vector;

    print("# %s\n", name);
    load_tss((uint64_t)stack + 4096, 0, 0);
    set_gate(0x80, 14, 3, 0);
    memset(&seen, 0xff, sizeof(seen));
    vector = catch_exception(fn, w, f);
    return vector;
}

static void saw(uint16_t ds, uint16_t es, uint16_t fs, uint16_t gs)
{
    CHECK_EQ("  DS", seen.ds & 0xffff, ds);
    CHECK_EQ("  ES", seen.es & 0xffff, es);
    CHECK_EQ("  FS", seen.fs & 0xffff, fs);
    CHECK_EQ("  GS", seen.gs & 0xffff, gs);
    CHECK_EQ("  FS.base", rdmsr(FS_BASE), (uint64_t)&word);
    CHECK_EQ("  GS.base", rdmsr(GS_BASE), UINT64_C(0x123456789000));
}

static void outer_returns(void (*fn)(void *), const char *name)
{
    struct way w64 = {(uint64_t)look64, UCODE, UDATA}, w32 = {(uint64_t)look32, UCODE32, UDATA};
    struct frame f;

    load_all(KDATA, UDATA, KDATA, KDATA);
    CHECK_EQ("to 64-bit code with inner segments", go(name, fn, &w64, &f), 0x80);
    saw(0, UDATA, 0, 0);
    CHECK_EQ("  a word at FS:0", seen.word, word);
    load_all(3, 1, 2, 3);
    CHECK_EQ("to 64-bit code with null selectors that have an RPL", go(name, fn, &w64, &f), 0x80);
    saw(0, 0, 0, 0);
    CHECK_EQ("  a word at FS:0", seen.word, word);
    load_all(UDATA, KDATA, UDATA, CONFORMING);
    CHECK_EQ("with outer and conforming segments", go(name, fn, &w64, &f), 0x80);
    saw(UDATA, 0, UDATA, CONFORMING);
    load_all(KDATA, UDATA, KDATA, UDATA);
    CHECK_EQ("to 32-bit code, which may not use a null FS", go(name, fn, &w32, &f), 13);
    CHECK_EQ("  where", f.rip, (uint64_t)look32_fs);
    saw(0, UDATA, 0, UDATA);
}

/* They look at no segment but CS and SS. */
static void fast_returns(void (*fn)(void *), const char *name)
{
    struct frame f;

    load_all(KDATA, UDATA, KDATA, 3);
    CHECK_EQ("a fast return leaves segments alone", go(name, fn, NULL, &f), 0x80);
    saw(KDATA, UDATA, KDATA, 3);
    CHECK_EQ("  a word at FS:0", seen.word, word);
}

static void same_level(void)
{
    struct way w = {(uint64_t)look64, 8, KDATA};
    struct frame f;

    load_all(KDATA, 3, KDATA, 3);
    CHECK_EQ("IRET to CPL 0 leaves segments alone", go("IRET", by_iret, &w, &f), 0x80);
    saw(KDATA, 3, KDATA, 3);
}

/* ---- null selectors ---- */

static void mov_null(void)
{
    __asm__ volatile("mov %0, %%fs; mov %1, %%gs" : : "r"(0), "r"(3));
}

static void pop_null(void)
{
    __asm__ volatile("pushq $0; pop %%fs; pushq $3; pop %%gs" : : : "memory");
}

static void far_null(void)
{
    static const struct {
        uint32_t offset;
        uint16_t selector;
    } __attribute__((packed)) zero = {1, 0}, three = {2, 3};

    __asm__ volatile("lfs %0, %%eax; lgs %1, %%eax" : : "m"(zero), "m"(three) : "eax");
}

static void null_loads(const char *name, void (*fn)(void))
{
    uint16_t fs, gs;

    print("# %s\n", name);
    load_all(KDATA, KDATA, UDATA, UDATA);
    fn();
    __asm__ volatile("mov %%fs, %0; mov %%gs, %1" : "=r"(fs), "=r"(gs));
    CHECK_EQ("a null FS", fs, 0);
    CHECK_EQ("  has no base", rdmsr(FS_BASE), 0);
    CHECK_EQ("a null GS with an RPL", gs, 3);
    CHECK_EQ("  has no base", rdmsr(GS_BASE), 0);
}

int guest_main(void)
{
    gdt[12] = UINT64_C(0x00af9f000000ffff); /* conforming code, DPL 0 */
    wrmsr(0xc0000080, rdmsr(0xc0000080) | 1);
    outer_returns(by_iret, "IRET");
    outer_returns(by_far_return, "RET far");
    fast_returns(by_sysret, "SYSRET");
    fast_returns(by_sysexit, "SYSEXIT");
    same_level();
    null_loads("MOV", mov_null);
    null_loads("POP", pop_null);
    null_loads("LFS, LGS", far_null);
    return check_failures();
}
