/* SPDX-License-Identifier: MIT */
/* Single steps and breakpoints where they meet other things: shadows, INT1, HLT, serializing
 * instructions, user mode, DR6's memory, DR4 and DR5; breakpoints on ports and inside repeated
 * instructions, steps from branch to branch. SDM vol. 3, 6.8.3 and 18.2 to 18.4; what a
 * data breakpoint of a MOV SS does to the next instruction is known from real CPUs. */
#include "guest.h"

#define DR6_FIXED UINT64_C(0xffff0ff0)
#define DR6_BS    UINT64_C(0x4000)
#define DR6_BD    UINT64_C(0x2000)
#define TF        UINT64_C(0x100)
#define RF        UINT64_C(0x10000)

static struct {
    uint64_t rip, dr6, rcx, rflags;
} seen[16];
static volatile unsigned count;

#define READ_DR(n)                                                                                 \
    ({                                                                                             \
        uint64_t v_;                                                                               \
        __asm__ volatile("mov %%dr" #n ", %0" : "=r"(v_));                                         \
        v_;                                                                                        \
    })
#define WRITE_DR(n, v) __asm__ volatile("mov %0, %%dr" #n : : "r"((uint64_t)(v)) : "memory")

/* DR6 is left as it is: what the CPU does not clear must be seen. */
static void on_debug(struct frame *f)
{
    uint64_t dr6 = READ_DR(6);

    if (count < 16) {
        seen[count].rip = f->rip;
        seen[count].dr6 = dr6;
        seen[count].rcx = f->rcx;
        seen[count].rflags = f->rflags;
    }
    if (dr6 & 4)
        f->rflags |= RF;
    if (++count >= 16) {
        f->rflags &= ~TF;
        WRITE_DR(7, 0x400);
    }
}

static void forget(void)
{
    count = 0;
    WRITE_DR(6, 0);
}

#define SET_TF   "pushfq; orq $0x100, (%%rsp); popfq\n"
#define CLEAR_TF "pushfq; andq $~0x100, (%%rsp); popfq\n"

/* A sequence of code, and at which labels a step must be seen, with what in DR6 beyond BS. */
struct sequence {
    const char *name;
    void (*run)(void *arg);
    const char *at[8];
    uint64_t dr6[8];
    bool kernel_only;
};

extern char basic[], basic_1[], basic_2[], serial[], serial_1[], serial_2[], serial_3[], serial_4[],
    serial_5[], serial_6[], sti[], sti_1[], sti_2[], ss[], ss_1[], ss_2[], ice[], ice_1[], ice_2[],
    ice_3[], gd[], gd_1[], gd_2[], gd_3[], halt[], halt_1[], halt_2[], halt_3[], rep[], rep_1[],
    rep_2[];

static void run_basic(void *arg)
{
    __asm__ volatile(SET_TF "basic: pushfq; basic_1: andq $~0x100, (%%rsp); basic_2: popfq" : : : "memory");
}

static void run_serializing(void *arg)
{
    __asm__ volatile(SET_TF "serial: pushfq; serial_1: xor %%eax, %%eax; serial_2: cpuid\n"
                            "serial_3: mov $0x3fd, %%edx; serial_4: inb %%dx, %%al\n"
                            "serial_5: andq $~0x100, (%%rsp); serial_6: popfq"
                     : : : "rax", "rbx", "rcx", "rdx", "memory");
}

static void run_sti(void *arg)
{
    __asm__ volatile("cli\n" SET_TF "sti\n sti: pushfq; sti_1: andq $~0x100, (%%rsp); sti_2: popfq\n cli"
                     : : : "memory");
}

static void run_mov_ss(void *arg)
{
    __asm__ volatile("mov %%ss, %%eax\n" SET_TF "mov %%eax, %%ss\n pushfq\n"
                     "ss: andq $~0x100, (%%rsp); ss_1: popfq" : : : "rax", "memory");
}

static void run_int1(void *arg)
{
    __asm__ volatile("mov %%ss, %%eax\n" SET_TF "mov %%eax, %%ss\n .byte 0xf1\n ice: .byte 0xf1\n"
                     "ice_1: pushfq; ice_2: andq $~0x100, (%%rsp); ice_3: popfq"
                     : : : "rax", "memory");
}

static void run_general_detect(void *arg)
{
    WRITE_DR(7, 0x2400);
    __asm__ volatile("mov %%ss, %%eax\n xor %%ecx, %%ecx\n" SET_TF "mov %%eax, %%ss\n"
                     "gd: mov %%rcx, %%dr6\n gd_1: pushfq; gd_2: andq $~0x100, (%%rsp); gd_3: popfq"
                     : : : "rax", "rcx", "memory");
}

static void run_halt(void *arg)
{
    apic_write(0x3e0, 11); /* a timer interrupt would end it too, much later */
    apic_write(0x320, 0x70);
    apic_write(0x380, 1000000);
    __asm__ volatile("cli\n" SET_TF "sti\n halt: hlt\n halt_1: pushfq\n"
                     "halt_2: andq $~0x100, (%%rsp); halt_3: popfq\n cli" : : : "memory");
}

static void run_rep(void *arg)
{
    static uint8_t buf[4];
    uint8_t *p = buf;
    uint64_t n = 2;

    __asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq; rep: rep stosb\n"
                     "rep_1: pushfq; andq $~0x100, (%%rsp); rep_2: popfq"
                     : "+D"(p), "+c"(n) : : "memory");
}

static const struct sequence sequences[] = {
    {"plain instructions", run_basic, {basic_1, basic_2, "end"}},
    {"CPUID, IN", run_serializing,
     {serial_1, serial_2, serial_3, serial_4, serial_5, serial_6, "end"}},
    {"STI", run_sti, {sti, sti_1, sti_2, "end"}},
    {"MOV SS", run_mov_ss, {ss, ss_1, "end"}},
    {"MOV SS, INT1", run_int1, {ice, ice_1, ice_2, ice_3, "end"}, {DR6_BS, DR6_BS}},
    {"MOV SS, general detect", run_general_detect, {gd, gd_1, gd_2, gd_3, "end"}, {DR6_BS | DR6_BD},
     .kernel_only = true},
    {"STI, HLT", run_halt, {halt, halt_1, halt_2, halt_3, "end"}, .kernel_only = true},
    {"REP", run_rep, {rep, rep_1}},
};

/* "end" is the instruction behind the last POPF: only that it came is checked. dr6[] is what
 * differs from BS alone. */
static void judge(const struct sequence *s, const char *where)
{
    unsigned wanted = 0;

    print("# %s in %s mode\n", s->name, where);
    while (wanted < 8 && s->at[wanted])
        wanted++;
    if (s->run != run_rep)
        CHECK_EQ("  steps", count, wanted);
    for (unsigned i = 0; i < wanted && i < count; i++) {
        if (s->at[i][0] != 'e' || s->at[i][1] != 'n' || s->at[i][2] != 'd')
            CHECK_EQ("  at", seen[i].rip, (uint64_t)s->at[i]);
        CHECK_EQ("  DR6", seen[i].dr6, DR6_FIXED | (DR6_BS ^ s->dr6[i]));
        if (s->dr6[i] & DR6_BD)
            break; /* the instruction that clears DR6 comes next */
    }
}

static const struct sequence *current;

static void in_user_mode(void *arg)
{
    current->run(NULL);
    user_return();
}

static void single_steps(void)
{
    for (unsigned i = 0; i < sizeof(sequences) / sizeof(sequences[0]); i++) {
        struct frame f;

        current = &sequences[i];
        forget();
        current->run(NULL);
        judge(current, "kernel");
        if (current->kernel_only)
            continue;
        forget();
        CHECK_EQ("  ends well", run_user(in_user_mode, NULL, &f), -1);
        judge(current, "user");
    }
}

extern char brk_1[], brk_2[], watch_1[], watch_2[], ice_at[];

static void memory_of_dr6(void)
{
    static volatile uint32_t watched;

    forget();
    WRITE_DR(2, brk_1);
    WRITE_DR(7, 0x420);
    __asm__ volatile("brk_1: nop");
    CHECK_EQ("a breakpoint hits once", count, 1);
    CHECK_EQ("  DR6", seen[0].dr6, DR6_FIXED | 4);
    forget();
    WRITE_DR(2, brk_2);
    WRITE_DR(6, DR6_BS | 2);
    __asm__ volatile("brk_2: nop");
    CHECK_EQ("a breakpoint replaces the low bits and leaves BS", seen[0].dr6, DR6_FIXED | DR6_BS | 4);
    forget();
    WRITE_DR(1, &watched);
    WRITE_DR(6, DR6_BS);
    WRITE_DR(7, 0x00d0040a);
    __asm__ volatile("movl $42, %0; watch_1: nop" : "=m"(watched));
    CHECK_EQ("a watchpoint hits once", count, 1);
    CHECK_EQ("  behind the instruction", seen[0].rip, (uint64_t)watch_1);
    CHECK_EQ("  and leaves BS", seen[0].dr6, DR6_FIXED | DR6_BS | 2);
    forget();
    __asm__ volatile("movl $42, %0; watch_2: nop" : "=m"(watched));
    CHECK_EQ("  or does not set it", seen[0].dr6, DR6_FIXED | 2);
    WRITE_DR(7, 0x400);
    forget();
    __asm__ volatile(".byte 0xf1; ice_at: nop");
    CHECK_EQ("INT1", seen[0].rip, (uint64_t)ice_at);
    CHECK_EQ("  sets nothing in DR6", seen[0].dr6, DR6_FIXED);
}

/* Handlers that leave their order in a word: #DB shifts in a 1, #BP a 2, in decimal. */
static volatile uint64_t order;

static void db_order(struct frame *f)
{
    order = order * 10 + 1;
}

static void bp_order(struct frame *f)
{
    order = order * 10 + 2;
    seen[0].rip = f->rip;
}

extern char bp_at[];

static void watched_stack_segment(void)
{
    static volatile uint64_t selector;
    uint64_t ss_now;

    __asm__ volatile("mov %%ss, %0" : "=r"(ss_now));
    selector = ss_now;
    set_handler(1, db_order);
    set_handler(3, bp_order);
    WRITE_DR(1, &selector);
    WRITE_DR(7, 0x00f0040a);
    order = 0;
    __asm__ volatile("mov %0, %%ss\n .byte 0x2e, 0x2e, 0xf1" : : "m"(selector));
    CHECK_EQ("watched MOV SS, INT1: one #DB", order, 1);
    order = 0;
    __asm__ volatile("mov %0, %%ss\n int $1" : : "m"(selector));
    CHECK_EQ("watched MOV SS, INT 1: two #DB", order, 11);
    order = 0;
    __asm__ volatile("mov %0, %%ss\n int3\n bp_at: nop" : : "m"(selector));
    CHECK("watched MOV SS, INT3: one #DB, one #BP", order == 12 || order == 21);
    CHECK_EQ("  #BP behind the INT3", seen[0].rip, (uint64_t)bp_at);
    WRITE_DR(7, 0x400);
    set_handler(1, on_debug);
}

static void use_dr4(void *arg)
{
    __asm__ volatile("mov %%dr4, %%rax" : : : "rax");
}

static void use_dr5(void *arg)
{
    __asm__ volatile("mov %0, %%dr5" : : "r"(UINT64_C(0x400)));
}

static void other_names(void)
{
    uint64_t cr4 = READ_CR(4), v;

    WRITE_CR(4, cr4 & ~8ull);
    WRITE_DR(6, DR6_FIXED | DR6_BS | 2);
    __asm__ volatile("mov %%dr4, %0" : "=r"(v));
    CHECK_EQ("DR4 is DR6", v, DR6_FIXED | DR6_BS | 2);
    WRITE_CR(4, cr4 | 8);
    CHECK_EQ("  or #UD with CR4.DE", catch_exception(use_dr4, NULL, NULL), 6);
    CHECK_EQ("DR5 likewise", catch_exception(use_dr5, NULL, NULL), 6);
    WRITE_CR(4, cr4);
    CHECK_EQ("  and without", catch_exception(use_dr5, NULL, NULL), -1);
}

extern char port_1[], rep_watched[], rep_after[], btf_1[], btf_2[], btf_jmp[],
    btf_jcc[], btf_call[], btf_loop[];

/* DR3: bit 3 of DR6. */
static void ports(void)
{
    uint64_t cr4 = READ_CR(4);

    WRITE_CR(4, cr4 | 8);
    WRITE_DR(3, 0x80);
    WRITE_DR(7, 0x20000480); /* a port, 1 byte */
    forget();
    outb(0x81, 0);
    CHECK_EQ("a breakpoint on a port does not hit at the next port", count, 0);
    __asm__ volatile("outb %al, $0x80; port_1: nop");
    CHECK_EQ("  hits once at its own", count, 1);
    CHECK_EQ("  behind the instruction", seen[0].rip, (uint64_t)port_1);
    CHECK_EQ("  DR6", seen[0].dr6, DR6_FIXED | 8);
    *(volatile uint8_t *)0x80;
    CHECK_EQ("  not at memory of that address", count, 1);
    WRITE_DR(3, 0x82);
    WRITE_DR(7, 0xe0000480); /* 4 bytes */
    forget();
    inb(0x83);
    outb(0x84, 0);
    CHECK_EQ("one of 4 ports hits at the last", count, 1);
    WRITE_CR(4, cr4 & ~8ull);
    forget();
    inb(0x83);
    CHECK_EQ("without CR4.DE it does not", count, 0);
    WRITE_CR(4, cr4);
    WRITE_DR(7, 0x400);
}

static void watched_repetition(void)
{
    static volatile uint8_t area[8];
    volatile uint8_t *p = area;
    uint64_t n = sizeof(area);

    WRITE_DR(0, &area[2]);
    WRITE_DR(7, 0x10402); /* writes, 1 byte */
    forget();
    __asm__ volatile("rep_watched: rep stosb; rep_after: nop" : "+D"(p), "+c"(n) : "a"(7) : "memory");
    WRITE_DR(7, 0x400);
    CHECK_EQ("a watchpoint in REP STOS hits once", count, 1);
    CHECK_EQ("  behind the iteration", seen[0].rcx, sizeof(area) - 3);
    CHECK_EQ("  at the instruction", seen[0].rip, (uint64_t)rep_watched);
    CHECK("  which goes on without its own breakpoint", (seen[0].rflags & RF) && !n && area[7] == 7);
}

static void from_branch_to_branch(void)
{
    forget();
    wrmsr(0x1d9, 2);
    __asm__ volatile(SET_TF "nop\n xor %%eax, %%eax\n jnz 1f\n nop\n 1: jmp btf_1\n nop\n btf_1: nop\n btf_2: " CLEAR_TF
                     : : : "rax", "cc", "memory");
    CHECK_EQ("BTF: a step behind the branch that is taken", seen[0].rip, (uint64_t)btf_1);
    CHECK_EQ("  like any step", seen[0].dr6, DR6_FIXED | DR6_BS);
    CHECK_EQ("  once: then behind each instruction", seen[1].rip, (uint64_t)btf_2);
    CHECK_EQ("  since #DB switches it off", rdmsr(0x1d9), 0);
}

/* One of the code, by BTF: where is the first step? Each ends by a jump. */
#define FIRST_BRANCH(code)                                                                                             \
    ({                                                                                                                 \
        forget();                                                                                                      \
        wrmsr(0x1d9, 2);                                                                                               \
        __asm__ volatile(SET_TF "xor %%eax, %%eax\n mov $2, %%ecx\n" code "\n jmp 2f\n nop\n 2: " CLEAR_TF            \
                         : : : "rax", "rcx", "cc", "memory");                                                          \
        seen[0].rip;                                                                                                   \
    })

static void branches_to_what_follows(void)
{
    CHECK_EQ("BTF: a jump to the next instruction is a branch", FIRST_BRANCH("jmp btf_jmp; btf_jmp: nop"),
             (uint64_t)btf_jmp);
    CHECK_EQ("  so is a condition that is met", FIRST_BRANCH("jnz 1f; 1: nop; jz btf_jcc; btf_jcc: nop"),
             (uint64_t)btf_jcc);
    CHECK_EQ("  and a call", FIRST_BRANCH("call btf_call; btf_call: pop %%rax"), (uint64_t)btf_call);
    CHECK_EQ("  and a loop", FIRST_BRANCH("loop btf_loop; btf_loop: nop"), (uint64_t)btf_loop);
}

static void on_wakeup(struct frame *f)
{
    apic_write(0xb0, 0);
}

int guest_main(void)
{
    set_handler(1, on_debug);
    set_gate(1, 14, 3, 0);
    apic_enable();
    set_handler(0x70, on_wakeup);
    map_user((void *)0x100000, 0x100000);
    uncaught = 1 << 1;
    user_rflags = 0x3202; /* IOPL 3: CLI, STI and ports are allowed */
    single_steps();
    memory_of_dr6();
    watched_stack_segment();
    other_names();
    ports();
    watched_repetition();
    from_branch_to_branch();
    branches_to_what_follows();
    return check_failures();
}
