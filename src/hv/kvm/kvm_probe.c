/* SPDX-License-Identifier: MIT */
/* Does KVM work here? A /dev/kvm that opens proves little: some hosts offer one that cannot run an
 * ordinary kernel. So a throw-away machine of this very backend runs what kernels need: 64-bit
 * code, an exception through the IDT, CMPXCHG16B, XSETBV and XRSTOR (where they are offered), and
 * an interrupt of the local APIC's timer that wakes it from HLT. It says at a port how far it has
 * come. Takes a few milliseconds. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "arch/x86/regs.h"
#include "base/error.h"
#include "base/le.h"
#include "base/thread.h"
#include "hv/kvm/kvm.h"

#define RAM_LEN (2 * MIB)
#define PML4    0x1000u
#define PDPT    0x2000u
#define PD_LOW  0x3000u /* of the first GiB */
#define PD_APIC 0x4000u /* of the fourth */
#define IDT     0x6000u
#define STACK   0x8000u
#define CODE    0x10000u
#define REPORT_PORT 0x80u
#define TIMER_VECTOR 0x40u
#define PATIENCE_S 20 /* against hanging; a loaded or emulated host may need seconds */

/* Numbers reported: what has worked. */
enum step { STEP_NONE, STEP_LONG_MODE, STEP_EXCEPTION, STEP_CMPXCHG16B, STEP_XRSTOR, STEP_TIMER };

/* Runs at CODE in 64-bit mode, CPL 0. Data at 9000h, of which 9020h says whether there is XSAVE;
 * the area at a000h is zero, which is a valid one. APIC: SDM vol. 3, 11.4.1. */
__asm__(".pushsection .rodata\n"
        "probe_code:\n"
        "   mov $1, %al\n"
        "   out %al, $0x80\n"
        "   xor %ebx, %ebx\n"
        "   ud2\n"
        "   cmp $6, %ebx\n"
        "   jne 9f\n"
        "   mov $2, %al\n"
        "   out %al, $0x80\n"
        "   xor %eax, %eax\n"
        "   xor %edx, %edx\n"
        "   mov $5, %ebx\n"
        "   mov $7, %ecx\n"
        "   lock cmpxchg16b 0x9000\n"
        "   jnz 9f\n"
        "   cmpq $7, 0x9008\n"
        "   jne 9f\n"
        "   mov $3, %al\n"
        "   out %al, $0x80\n"
        "   cmpl $0, 0x9020\n"
        "   je 2f\n"
        "   xor %ecx, %ecx\n"
        "   xor %edx, %edx\n"
        "   mov $3, %eax\n"
        "   xsetbv\n"
        "   xrstor 0xa000\n"
        "2: fxrstor 0xa000\n"
        "   mov $4, %al\n"
        "   out %al, $0x80\n"
        "   mov $0xfee00000, %esi\n"
        "   movl $0x1ff, 0xf0(%rsi)\n"  /* enabled */
        "   movl $0xb, 0x3e0(%rsi)\n"   /* divide by 1 */
        "   movl $0x20040, 0x320(%rsi)\n"  /* periodic (an emulated AMD-V may let one in before the
                                       * HLT, in spite of STI's shadow), vector 40h */
        "   xor %ebx, %ebx\n"
        "   movl $2000000, 0x380(%rsi)\n" /* ns */
        "1: sti\n"
        "   hlt\n"
        "   cli\n"
        "   test %ebx, %ebx\n"
        "   jz 1b\n"
        "   mov $5, %al\n"
        "   out %al, $0x80\n"
        "9: hlt\n"
        "   jmp 9b\n"
        "probe_ud:\n"
        "   mov $6, %ebx\n"
        "   addq $2, (%rsp)\n"
        "   iretq\n"
        "probe_timer:\n"
        "   mov $0x40, %ebx\n"
        "   movl $0, 0xb0(%rsi)\n" /* EOI */
        "   iretq\n"
        "probe_end:\n"
        ".popsection\n");
extern const uint8_t probe_code[], probe_ud[], probe_timer[], probe_end[];

struct probe {
    struct mem *mem;
    struct hv_vm *vm;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    enum step step;
    bool ended;
    struct hv_exit exit;
};

static uint64_t read_nothing(void *arg, gpa_t gpa, unsigned size)
{
    return UINT64_MAX;
}

static void write_nothing(void *arg, gpa_t gpa, unsigned size, uint64_t value)
{
}

static uint32_t read_no_port(void *arg, uint16_t port, unsigned size)
{
    return UINT32_MAX;
}

static void report(void *arg, uint16_t port, unsigned size, uint32_t value)
{
    struct probe *p = arg;

    if (port != REPORT_PORT)
        return;
    pthread_mutex_lock(&p->lock);
    p->step = (enum step)(value & 7);
    pthread_cond_signal(&p->changed);
    pthread_mutex_unlock(&p->lock);
}

static const struct hv_io_ops io_ops = {.mmio_read = read_nothing, .mmio_write = write_nothing,
                                        .port_read = read_no_port, .port_write = report};

/* ---- the machine ---- */

static void put64(struct mem *mem, gpa_t gpa, uint64_t v)
{
    uint8_t *p = mem_ptr(mem, gpa, 8, MEM_WRITE);

    if (p)
        store_le64(p, v);
}

/* An interrupt gate to the code at `to` (SDM vol. 3, 6.14.1). */
static void put_gate(struct mem *mem, unsigned vector, const uint8_t *to)
{
    uint64_t at = CODE + (uint64_t)(to - probe_code);

    put64(mem, IDT + 16 * vector,
          (at & 0xffff) | UINT64_C(8) << 16 | UINT64_C(0x8e00) << 32 | (at >> 16 & 0xffff) << 48);
}

static int fill_memory(struct mem *mem)
{
    const uint64_t flags = X86_PTE_P | X86_PTE_W;

    put64(mem, PML4, PDPT | flags);
    put64(mem, PDPT, PD_LOW | flags);
    put64(mem, PDPT + 3 * 8, PD_APIC | flags);
    put64(mem, PD_LOW, 0 | flags | X86_PTE_PS);
    put64(mem, PD_APIC + (APIC_DEFAULT_BASE - 3 * GIB) / (2 * MIB) * 8,
          APIC_DEFAULT_BASE | flags | X86_PTE_PS | X86_PTE_PCD);
    put64(mem, 0x5008, UINT64_C(0x00209b0000000000)); /* the code segment's descriptor, for IRET */
    put64(mem, 0x5010, UINT64_C(0x0000930000000000));
    put_gate(mem, X86_UD, probe_ud);
    put_gate(mem, TIMER_VECTOR, probe_timer);
    return mem_write(mem, CODE, probe_code, (uint64_t)(probe_end - probe_code));
}

static int start_state(struct hv_vcpu *v, struct x86_cpu_state *s)
{
    const struct x86_segment data = {.limit = UINT32_MAX, .selector = 16,
                                     .attr = SEG_ATTR_G | SEG_ATTR_DB | SEG_ATTR_P | SEG_ATTR_S | 3};
    int r = kvm_vcpu_get(v, s);

    if (r)
        return r;
    for (unsigned i = X86_ES; i <= X86_GS; i++)
        s->seg[i] = data;
    s->seg[X86_CS] = (struct x86_segment){
        .limit = UINT32_MAX, .selector = 8,
        .attr = SEG_ATTR_G | SEG_ATTR_L | SEG_ATTR_P | SEG_ATTR_S | 11};
    s->gdtr = (struct x86_table){.base = 0x5000, .limit = 0x17};
    s->idtr = (struct x86_table){.base = IDT, .limit = 0xfff};
    s->cr0 = X86_CR0_PE | X86_CR0_PG | X86_CR0_ET | X86_CR0_NE | X86_CR0_WP;
    s->cr3 = PML4;
    s->cr4 = X86_CR4_PAE | X86_CR4_OSFXSR | (v->vm->has_xsave ? X86_CR4_OSXSAVE : 0);
    put64(v->vm->mem, 0x9020, v->vm->has_xsave);
    s->efer = X86_EFER_LME | X86_EFER_LMA;
    s->rip = CODE;
    s->gpr[X86_RSP] = STACK;
    return kvm_vcpu_set(v, s);
}

static int make(struct probe *p, struct vz_error *err)
{
    struct hv_vm_desc desc = {.vcpu_count = 1, .io = &io_ops, .io_arg = p};
    struct x86_cpu_state *s;
    int r = mem_create(RAM_LEN, &p->mem, err);

    if (!r)
        r = mem_add(p->mem, 0, RAM_LEN, false);
    if (!r)
        r = fill_memory(p->mem);
    desc.mem = p->mem;
    if (!r)
        r = hv_kvm_ops.vm_create(&desc, &p->vm, err);
    if (r)
        return r;
    s = malloc(sizeof(*s));
    r = s ? start_state(&p->vm->vcpu[0], s) : -ENOMEM;
    free(s);
    return r ? error_set(err, ENOTSUP, VZ_ERROR_UNSUPPORTED,
                         "/dev/kvm does not take a CPU in 64-bit mode: %s", strerror(-r))
             : 0;
}

/* ---- running it ---- */

static void *run_thread(void *arg)
{
    struct probe *p = arg;
    int r = kvm_vcpu_run(&p->vm->vcpu[0], &p->exit);

    pthread_mutex_lock(&p->lock);
    if (r < 0 && r != -EINTR)
        snprintf(p->exit.text, sizeof(p->exit.text), "%s", strerror(-r));
    p->ended = true;
    pthread_cond_signal(&p->changed);
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

/* Until it is through, has failed, or takes too long. */
static void wait_for_end(struct probe *p)
{
    struct timespec until;
    int r = 0;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_S;
    pthread_mutex_lock(&p->lock);
    while (!r && !p->ended && p->step != STEP_TIMER)
        r = pthread_cond_timedwait(&p->changed, &p->lock, &until);
    pthread_mutex_unlock(&p->lock);
}

static int judge(const struct probe *p, struct vz_error *err)
{
    static const char *const missing[] = {
        [STEP_NONE] = "does not run 64-bit code", [STEP_LONG_MODE] = "does not deliver exceptions",
        [STEP_EXCEPTION] = "has no CMPXCHG16B", [STEP_CMPXCHG16B] = "has no XRSTOR",
        [STEP_XRSTOR] = "delivers no timer interrupts",
    };

    const char *text = p->exit.text, *registers = strstr(text, ": cpu ");

    if (p->step == STEP_TIMER)
        return 0;
    return error_set(err, ENOTSUP, VZ_ERROR_UNSUPPORTED,
                     "/dev/kvm is there but cannot run an ordinary kernel: it %s%s%.*s%s",
                     missing[p->step], text[0] ? " (" : "",
                     registers ? (int)(registers - text) : 60, text, text[0] ? ")" : "");
}

static int run(struct probe *p, struct vz_error *err)
{
    pthread_t thread;
    int r;

    r = thread_start(&thread, THREAD_FREE, "vz-probe", run_thread, p);
    if (r < 0)
        return error_set(err, -r, VZ_ERROR_NO_MEMORY, "cannot start a thread: %s", strerror(-r));
    wait_for_end(p);
    kvm_vcpu_kick(&p->vm->vcpu[0]);
    pthread_join(thread, NULL);
    return judge(p, err);
}

int kvm_probe(struct vz_error *err)
{
    struct probe p = {.step = STEP_NONE};
    int r;

    pthread_mutex_init(&p.lock, NULL);
    pthread_cond_init(&p.changed, NULL);
    r = make(&p, err);
    if (!r)
        r = run(&p, err);
    hv_kvm_ops.vm_destroy(p.vm);
    mem_destroy(p.mem);
    pthread_cond_destroy(&p.changed);
    pthread_mutex_destroy(&p.lock);
    return r;
}
