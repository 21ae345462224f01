/* SPDX-License-Identifier: MIT */
/* <vz/hypervisor.h> on every accelerator that works here: each test runs once for each. */
#include <vz/hypervisor.h>

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "unit.h"

#define PAGE 4096u
#define RAM  (64u * 4096u)

static const char *const accelerators[] = {"soft", "kvm"};

#define OK(call) ck_assert_int_eq((call), VZ_HV_SUCCESS)

struct rig {
    struct vz_hv_vm *vm;
    struct vz_hv_vcpu *cpu;
    struct vz_hv_exit exit;
    uint8_t *ram;
};

static uint8_t *new_pages(uint64_t len)
{
    uint8_t *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    ck_assert_ptr_ne(p, MAP_FAILED);
    return p;
}

/* False: the accelerator is not for this host, the test is over. */
static bool vm_open(struct rig *r, int which, unsigned flags)
{
    struct vz_hv_vm_options o = VZ_HV_VM_OPTIONS_INIT;
    struct vz_error err = {.text = ""};
    enum vz_hv_result result;

    memset(r, 0, sizeof(*r));
    o.accelerator = accelerators[which];
    o.flags = flags | (which > 0 ? VZ_HV_VM_UNPROBED : 0); /* these programs are small */
    o.vcpu_max = 3;
    result = vz_hv_vm_create(&o, &r->vm, &err);
    if (result && which > 0) {
        printf("skipped on %s: %s\n", o.accelerator, err.text);
        return false;
    }
    ck_assert_msg(result == VZ_HV_SUCCESS, "%s", err.text);
    r->ram = new_pages(RAM);
    OK(vz_hv_vm_map(r->vm, r->ram, 0, RAM, 7));
    return true;
}

static uint64_t get(struct vz_hv_vcpu *cpu, enum vz_hv_reg reg)
{
    uint64_t value = 0;

    OK(vz_hv_vcpu_get_reg(cpu, reg, &value));
    return value;
}

static void set(struct vz_hv_vcpu *cpu, enum vz_hv_reg reg, uint64_t value)
{
    OK(vz_hv_vcpu_set_reg(cpu, reg, value));
}

/* CS, DS, ... all with base 0. */
static void set_flat(struct vz_hv_vcpu *cpu, uint16_t code, uint16_t data)
{
    for (int n = VZ_HV_ES; n <= VZ_HV_GS; n++) {
        struct vz_hv_segment s = {0, n == VZ_HV_CS ? (code == 0x9b ? 0xffff : 0xffffffff)
                                                   : (data == 0x93 ? 0xffff : 0xffffffff),
                                  n == VZ_HV_CS ? 8 : 16, n == VZ_HV_CS ? code : data};

        if (code == 0x9b)
            s.selector = 0;
        OK(vz_hv_vcpu_set_segment(cpu, n, &s));
    }
}

/* Code at 0x1000, stack below 0x8000. */
static void load_code(struct rig *r, const void *code, size_t len)
{
    memcpy(r->ram + 0x1000, code, len);
    OK(vz_hv_vm_memory_written(r->vm, 0x1000, len));
    set(r->cpu, VZ_HV_REG_RIP, 0x1000);
    set(r->cpu, VZ_HV_REG_RFLAGS, 2);
    set(r->cpu, VZ_HV_REG_RSP, 0x8000);
}

static void real_mode(struct rig *r, const void *code, size_t len)
{
    set_flat(r->cpu, 0x9b, 0x93);
    load_code(r, code, len);
}

static void protected_mode(struct rig *r, const void *code, size_t len)
{
    set_flat(r->cpu, 0xc09b, 0xc093);
    set(r->cpu, VZ_HV_REG_CR0, 0x31);
    load_code(r, code, len);
}

/* Page tables at 0x20000: 1 GiB one to one in 2 MiB pages. */
static void long_mode(struct rig *r, const void *code, size_t len)
{
    uint64_t *table = (uint64_t *)(void *)(r->ram + 0x20000);

    table[0] = 0x21000 | 7;
    table[512] = 0x22000 | 7;
    for (uint64_t n = 0; n < 512; n++)
        table[1024 + n] = n << 21 | 0x87;
    set_flat(r->cpu, 0xa09b, 0xc093);
    set(r->cpu, VZ_HV_REG_CR3, 0x20000);
    set(r->cpu, VZ_HV_REG_CR4, 0x20);
    set(r->cpu, VZ_HV_REG_CR0, 0x80000031);
    OK(vz_hv_vcpu_set_msr(r->cpu, 0xc0000080, 0x500));
    load_code(r, code, len);
}

#define REAL(r, bytes...)                                                                          \
    do {                                                                                           \
        static const uint8_t code_[] = {bytes};                                                    \
        real_mode(r, code_, sizeof(code_));                                                        \
    } while (0)
#define PROTECTED(r, bytes...)                                                                     \
    do {                                                                                           \
        static const uint8_t code_[] = {bytes};                                                    \
        protected_mode(r, code_, sizeof(code_));                                                   \
    } while (0)
#define LONG(r, bytes...)                                                                          \
    do {                                                                                           \
        static const uint8_t code_[] = {bytes};                                                    \
        long_mode(r, code_, sizeof(code_));                                                        \
    } while (0)

static bool rig_open(struct rig *r, int which, unsigned flags)
{
    if (!vm_open(r, which, flags))
        return false;
    OK(vz_hv_vcpu_create(r->vm, 0, &r->cpu));
    return true;
}

static void rig_close(struct rig *r)
{
    OK(vz_hv_vcpu_destroy(r->cpu));
    OK(vz_hv_vm_destroy(r->vm));
    munmap(r->ram, RAM);
}

static void expect(struct rig *r, enum vz_hv_exit_reason reason)
{
    OK(vz_hv_vcpu_run(r->cpu, &r->exit));
    ck_assert_msg(r->exit.reason == reason, "exit %d, not %d; %s; rip %llx", r->exit.reason, reason,
                  r->exit.text, (unsigned long long)get(r->cpu, VZ_HV_REG_RIP));
}

static void expect_access(struct rig *r, enum vz_hv_exit_reason reason, unsigned size,
                          uint64_t address, uint64_t value)
{
    expect(r, reason);
    ck_assert_uint_eq(r->exit.size, size);
    ck_assert_uint_eq(r->exit.address, address);
    ck_assert_uint_eq(r->exit.value, value);
}

static void answer(struct rig *r, uint64_t value)
{
    OK(vz_hv_vcpu_answer(r->cpu, value));
}

/* ---- VMs and memory ---- */

START_TEST(creation_checks_its_options)
{
    struct vz_hv_vm_options o = VZ_HV_VM_OPTIONS_INIT;
    struct vz_error err = {.code = VZ_ERROR_NONE};
    struct vz_hv_vm *vm = NULL;

    ck_assert_int_eq(vz_hv_vm_create(&o, NULL, &err), VZ_HV_BAD_ARGUMENT);
    o.accelerator = "abacus";
    ck_assert_int_eq(vz_hv_vm_create(&o, &vm, &err), VZ_HV_BAD_ARGUMENT);
    ck_assert_int_eq(err.code, VZ_ERROR_INVALID);
    o.accelerator = "fake";
    ck_assert_int_eq(vz_hv_vm_create(&o, &vm, &err), VZ_HV_UNSUPPORTED);
    o.accelerator = "soft";
    o.flags = 4;
    ck_assert_int_eq(vz_hv_vm_create(&o, &vm, &err), VZ_HV_BAD_ARGUMENT);
    o.flags = 0;
    o.vcpu_max = VZ_HV_VCPUS_MAX + 1;
    ck_assert_int_eq(vz_hv_vm_create(&o, &vm, &err), VZ_HV_BAD_ARGUMENT);
    o.vcpu_max = 0;
    o.flags = VZ_HV_VM_UNPROBED;
    o.accelerator = NULL;
    ck_assert_int_eq(vz_hv_vm_create(&o, &vm, &err), VZ_HV_BAD_ARGUMENT);
    ck_assert_ptr_null(vm);
    OK(vz_hv_vm_create(NULL, &vm, NULL));
    ck_assert_str_ne(vz_hv_vm_accelerator(vm), "");
    OK(vz_hv_vm_destroy(vm));
    OK(vz_hv_vm_destroy(NULL));
}
END_TEST

START_TEST(results_have_words)
{
    ck_assert_str_eq(vz_hv_result_text(VZ_HV_SUCCESS), "success");
    ck_assert_str_eq(vz_hv_result_text(VZ_HV_UNSUPPORTED), "not supported");
    ck_assert_str_eq(vz_hv_result_text(77), "unknown result");
    ck_assert_uint_eq((unsigned)VZ_HV_FAULT, 0xfae94008);
}
END_TEST

START_TEST(mapping_has_rules)
{
    struct rig r;
    uint8_t *p = new_pages(4 * PAGE);

    if (!rig_open(&r, _i, 0))
        return;
    ck_assert_int_eq(vz_hv_vm_map(NULL, p, RAM, PAGE, 7), VZ_HV_BAD_ARGUMENT);
    ck_assert_int_eq(vz_hv_vm_map(r.vm, NULL, RAM, PAGE, 7), VZ_HV_BAD_ARGUMENT);
    ck_assert_int_eq(vz_hv_vm_map(r.vm, p + 1, RAM, PAGE, 7), VZ_HV_BAD_ARGUMENT);
    ck_assert_int_eq(vz_hv_vm_map(r.vm, p, RAM + 1, PAGE, 7), VZ_HV_BAD_ARGUMENT);
    ck_assert_int_eq(vz_hv_vm_map(r.vm, p, RAM, PAGE - 1, 7), VZ_HV_BAD_ARGUMENT);
    ck_assert_int_eq(vz_hv_vm_map(r.vm, p, RAM, 0, 7), VZ_HV_BAD_ARGUMENT);
    ck_assert_int_eq(vz_hv_vm_map(r.vm, p, UINT64_C(1) << 60, PAGE, 7), VZ_HV_BAD_ARGUMENT);
    ck_assert_int_eq(vz_hv_vm_map(r.vm, p, 0 - (uint64_t)PAGE, PAGE, 7), VZ_HV_BAD_ARGUMENT);
    ck_assert_int_eq(vz_hv_vm_map(r.vm, p, RAM, PAGE, 8), VZ_HV_BAD_ARGUMENT);
    ck_assert_int_eq(vz_hv_vm_map(r.vm, p, RAM, PAGE, VZ_HV_MEMORY_WRITE), VZ_HV_UNSUPPORTED);
    ck_assert_int_eq(vz_hv_vm_map(r.vm, p, RAM - PAGE, 2 * PAGE, 7), VZ_HV_BUSY);
    munmap(p + 3 * PAGE, PAGE);
    ck_assert_int_eq(vz_hv_vm_map(r.vm, p, RAM, 4 * PAGE, 7), VZ_HV_FAULT);
    OK(vz_hv_vm_map(r.vm, p, RAM, 3 * PAGE, 7));
    ck_assert_int_eq(vz_hv_vm_unmap(r.vm, RAM, 4 * PAGE), VZ_HV_BAD_ARGUMENT);
    ck_assert_int_eq(vz_hv_vm_unmap(r.vm, RAM, 0), VZ_HV_BAD_ARGUMENT);
    ck_assert_int_eq(vz_hv_vm_protect(r.vm, RAM, 4 * PAGE, 5), VZ_HV_BAD_ARGUMENT);
    ck_assert_int_eq(vz_hv_vm_protect(r.vm, RAM, PAGE, 16), VZ_HV_BAD_ARGUMENT);
    OK(vz_hv_vm_protect(r.vm, RAM + PAGE, PAGE, 0));
    ck_assert_int_eq(vz_hv_vm_memory_written(r.vm, RAM, 2 * PAGE), VZ_HV_BAD_ARGUMENT);
    OK(vz_hv_vm_memory_written(r.vm, RAM + 2 * PAGE, 5));
    ck_assert_int_eq(vz_hv_vm_map(r.vm, p, RAM + PAGE, PAGE, 7), VZ_HV_BUSY);
    OK(vz_hv_vm_unmap(r.vm, RAM, 3 * PAGE));
    OK(vz_hv_vm_map(r.vm, p, RAM + PAGE, PAGE, 7));
    munmap(p, 3 * PAGE);
    rig_close(&r);
}
END_TEST

START_TEST(memory_comes_in_so_many_pieces)
{
    struct rig r;
    uint8_t *p = new_pages(PAGE);
    unsigned n = 0;
    enum vz_hv_result last;

    if (!vm_open(&r, _i, 0))
        return;
    /* None behind another, nor behind RAM: neighbours on both sides become one piece. */
    while ((last = vz_hv_vm_map(r.vm, p, RAM + PAGE + 2 * PAGE * (uint64_t)n, PAGE, 7)) == 0 &&
           n < 600)
        n++;
    ck_assert_int_eq(last, VZ_HV_NO_RESOURCES);
    ck_assert_uint_eq(n, 511);
    OK(vz_hv_vm_unmap(r.vm, RAM + PAGE, PAGE));
    OK(vz_hv_vm_map(r.vm, p, RAM + PAGE, PAGE, 7));
    OK(vz_hv_vm_destroy(r.vm));
    munmap(p, PAGE);
    munmap(r.ram, RAM);
}
END_TEST

/* mov al, [0x2000]; mov [0x3000], al; hlt */
#define COPY_BYTE 0xa0, 0x00, 0x20, 0xa2, 0x00, 0x30, 0xf4

START_TEST(flags_decide_what_is_an_exit)
{
    struct rig r;

    if (!rig_open(&r, _i, 0))
        return;
    r.ram[0x2000] = 42;
    REAL(&r, COPY_BYTE);
    expect(&r, VZ_HV_EXIT_HALT);
    ck_assert_uint_eq(r.ram[0x3000], 42);

    OK(vz_hv_vm_protect(r.vm, 0x3000, PAGE, 5));
    r.ram[0x2000] = 43;
    set(r.cpu, VZ_HV_REG_RIP, 0x1000);
    expect_access(&r, VZ_HV_EXIT_MMIO_WRITE, 1, 0x3000, 43);
    ck_assert_uint_eq(r.ram[0x3000], 42);
    expect(&r, VZ_HV_EXIT_HALT);

    OK(vz_hv_vm_protect(r.vm, 0x2000, 2 * PAGE, 0));
    set(r.cpu, VZ_HV_REG_RIP, 0x1000);
    expect_access(&r, VZ_HV_EXIT_MMIO_READ, 1, 0x2000, 0);
    answer(&r, 44);
    OK(vz_hv_vm_protect(r.vm, 0x3000, PAGE, 7));
    expect(&r, VZ_HV_EXIT_HALT);
    ck_assert_uint_eq(r.ram[0x3000], 44);
    rig_close(&r);
}
END_TEST

START_TEST(the_same_memory_may_be_seen_twice)
{
    struct rig r;

    if (!rig_open(&r, _i, 0))
        return;
    OK(vz_hv_vm_unmap(r.vm, 0x3000, PAGE));
    OK(vz_hv_vm_map(r.vm, r.ram + 0x2000, 0x3000, PAGE, 7));
    /* mov byte [0x3000], 0xf4 (through the alias); jmp 0x2000 */
    REAL(&r, 0xc6, 0x06, 0x00, 0x30, 0xf4, 0xe9, 0xf8, 0x0f);
    r.ram[0x2000] = 0x90;
    expect(&r, VZ_HV_EXIT_HALT);
    ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RIP), 0x2001);
    /* And code that was executed changes through the other address. */
    static const uint8_t inc[] = {0x40, 0xf4}; /* inc ax; hlt */
    memcpy(r.ram + 0x2000, inc, sizeof(inc));
    OK(vz_hv_vm_memory_written(r.vm, 0x3000, 2));
    set(r.cpu, VZ_HV_REG_RAX, 0);
    set(r.cpu, VZ_HV_REG_RIP, 0x2000);
    expect(&r, VZ_HV_EXIT_HALT);
    ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RAX), 1);
    rig_close(&r);
}
END_TEST

START_TEST(fetches_need_memory_that_may_be_executed)
{
    struct rig r;

    if (!rig_open(&r, _i, 0))
        return;
    REAL(&r, 0xf4);
    OK(vz_hv_vm_unmap(r.vm, 0x1000, PAGE));
    expect(&r, VZ_HV_EXIT_MEMORY);
    ck_assert_uint_eq(r.exit.address, 0x1000);
    ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RIP), 0x1000);
    OK(vz_hv_vm_map(r.vm, r.ram + 0x1000, 0x1000, PAGE, 7));
    r.ram[0] = 0xcd; /* were there an exception, its handler would be this: int 0 */
    expect(&r, VZ_HV_EXIT_HALT);
    ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RSP), 0x8000);
    if (vz_hv_vm_protect(r.vm, 0x1000, PAGE, 3) != VZ_HV_UNSUPPORTED) {
        set(r.cpu, VZ_HV_REG_RIP, 0x1000);
        expect(&r, VZ_HV_EXIT_MEMORY);
        ck_assert_uint_eq(r.exit.address, 0x1000);
    }
    rig_close(&r);
}
END_TEST

/* ---- accesses ---- */

START_TEST(ports_are_exits)
{
    struct rig r;

    if (!rig_open(&r, _i, 0))
        return;
    /* in al, 0x10; out 0x11, al; mov dx, 0x1234; in eax, dx; out dx, ax; hlt */
    REAL(&r, 0xe4, 0x10, 0xe6, 0x11, 0xba, 0x34, 0x12, 0x66, 0xed, 0xef, 0xf4);
    expect_access(&r, VZ_HV_EXIT_PORT_READ, 1, 0x10, 0);
    ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RIP), 0x1000);
    answer(&r, 0xffffff5a);
    expect_access(&r, VZ_HV_EXIT_PORT_WRITE, 1, 0x11, 0x5a);
    ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RIP), 0x1004);
    ck_assert_int_eq(vz_hv_vcpu_answer(r.cpu, 0), VZ_HV_BAD_ARGUMENT);
    expect_access(&r, VZ_HV_EXIT_PORT_READ, 4, 0x1234, 0);
    answer(&r, 0x89abcdef);
    expect_access(&r, VZ_HV_EXIT_PORT_WRITE, 2, 0x1234, 0xcdef);
    expect(&r, VZ_HV_EXIT_HALT);
    ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RAX), 0x89abcdef);
    rig_close(&r);
}
END_TEST

START_TEST(unanswered_reads_give_all_ones)
{
    struct rig r;

    if (!rig_open(&r, _i, 0))
        return;
    REAL(&r, 0xe5, 0x10, 0xf4); /* in ax, 0x10; hlt */
    expect(&r, VZ_HV_EXIT_PORT_READ);
    expect(&r, VZ_HV_EXIT_HALT);
    ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RAX) & 0xffff, 0xffff);
    rig_close(&r);
}
END_TEST

START_TEST(string_io_is_an_exit_per_element)
{
    struct rig r;

    if (!rig_open(&r, _i, 0))
        return;
    memcpy(r.ram + 0x2000, "abc", 3);
    /* mov si, 0x2000; mov cx, 3; mov dx, 0x3f8; rep outsb; mov di, 0x2800; mov cl, 2; rep insw; hlt */
    REAL(&r, 0xbe, 0, 0x20, 0xb9, 3, 0, 0xba, 0xf8, 3, 0xf3, 0x6e, 0xbf, 0, 0x28, 0xb1, 2, 0xf3,
         0x6d, 0xf4);
    for (unsigned n = 0; n < 3; n++) {
        expect_access(&r, VZ_HV_EXIT_PORT_WRITE, 1, 0x3f8, (uint64_t)'a' + n);
    }
    expect_access(&r, VZ_HV_EXIT_PORT_READ, 2, 0x3f8, 0);
    answer(&r, 0x1111);
    expect_access(&r, VZ_HV_EXIT_PORT_READ, 2, 0x3f8, 0);
    answer(&r, 0x2222);
    expect(&r, VZ_HV_EXIT_HALT);
    ck_assert_int_eq(memcmp(r.ram + 0x2800, "\x11\x11\x22\x22", 4), 0);
    ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RCX) & 0xffff, 0);
    rig_close(&r);
}
END_TEST

#define MMIO 0x10000000u

START_TEST(mmio_of_every_size)
{
    struct rig r;
    static const uint64_t values[] = {0x88, 0x9999, 0xaaaaaaaa, 0xbbbbbbbbcccccccc};

    if (!rig_open(&r, _i, 0))
        return;
    /* mov al,[rbx]; mov [rbx+16],al; the same with ax, eax, rax; hlt */
    LONG(&r, 0x8a, 0x03, 0x88, 0x43, 0x10, 0x66, 0x8b, 0x03, 0x66, 0x89, 0x43, 0x10, 0x8b, 0x03,
         0x89, 0x43, 0x10, 0x48, 0x8b, 0x03, 0x48, 0x89, 0x43, 0x10, 0xf4);
    set(r.cpu, VZ_HV_REG_RBX, MMIO);
    for (unsigned n = 0; n < 4; n++) {
        expect_access(&r, VZ_HV_EXIT_MMIO_READ, 1u << n, MMIO, 0);
        answer(&r, values[n]);
        expect_access(&r, VZ_HV_EXIT_MMIO_WRITE, 1u << n, MMIO + 16, values[n]);
    }
    expect(&r, VZ_HV_EXIT_HALT);
    ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RAX), values[3]);
    rig_close(&r);
}
END_TEST

START_TEST(instructions_with_several_accesses)
{
    struct rig r;

    if (!rig_open(&r, _i, 0))
        return;
    /* add [ebx], eax; push dword [ebx+4]; pop dword [ebx+8]; xchg [ebx], ecx; hlt */
    PROTECTED(&r, 0x01, 0x03, 0xff, 0x73, 0x04, 0x8f, 0x43, 0x08, 0x87, 0x0b, 0xf4);
    set(r.cpu, VZ_HV_REG_RBX, MMIO);
    set(r.cpu, VZ_HV_REG_RAX, 5);
    set(r.cpu, VZ_HV_REG_RCX, 77);
    expect_access(&r, VZ_HV_EXIT_MMIO_READ, 4, MMIO, 0);
    ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RIP), 0x1000);
    answer(&r, 0xfffffffe);
    expect_access(&r, VZ_HV_EXIT_MMIO_WRITE, 4, MMIO, 3);
    ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RIP), 0x1002);
    ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RFLAGS) & 1, 1);
    expect_access(&r, VZ_HV_EXIT_MMIO_READ, 4, MMIO + 4, 0);
    ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RSP), 0x8000);
    answer(&r, 0x600d);
    expect_access(&r, VZ_HV_EXIT_MMIO_WRITE, 4, MMIO + 8, 0x600d);
    ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RSP), 0x8000);
    expect_access(&r, VZ_HV_EXIT_MMIO_READ, 4, MMIO, 0);
    answer(&r, 99);
    expect_access(&r, VZ_HV_EXIT_MMIO_WRITE, 4, MMIO, 77);
    expect(&r, VZ_HV_EXIT_HALT);
    ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RCX), 99);
    rig_close(&r);
}
END_TEST

START_TEST(string_moves_to_and_from_mmio)
{
    struct rig r;

    if (!rig_open(&r, _i, 0))
        return;
    memcpy(r.ram + 0x2000, "12345678", 8);
    /* mov ecx, 2; rep movsd; hlt */
    PROTECTED(&r, 0xb9, 2, 0, 0, 0, 0xf3, 0xa5, 0xf4);
    set(r.cpu, VZ_HV_REG_RSI, 0x2000);
    set(r.cpu, VZ_HV_REG_RDI, MMIO);
    expect_access(&r, VZ_HV_EXIT_MMIO_WRITE, 4, MMIO, 0x34333231);
    expect_access(&r, VZ_HV_EXIT_MMIO_WRITE, 4, MMIO + 4, 0x38373635);
    expect(&r, VZ_HV_EXIT_HALT);
    set(r.cpu, VZ_HV_REG_RIP, 0x1000);
    set(r.cpu, VZ_HV_REG_RSI, MMIO);
    set(r.cpu, VZ_HV_REG_RDI, 0x2800);
    for (unsigned n = 0; n < 2; n++) {
        expect_access(&r, VZ_HV_EXIT_MMIO_READ, 4, MMIO + 4 * n, 0);
        ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RCX), 2 - n);
        answer(&r, 0x41414141 + n);
    }
    expect(&r, VZ_HV_EXIT_HALT);
    ck_assert_int_eq(memcmp(r.ram + 0x2800, "AAAABAAA", 8), 0);
    rig_close(&r);
}
END_TEST

START_TEST(an_access_half_in_memory)
{
    struct rig r;
    uint32_t seen = 0;

    if (!rig_open(&r, _i, 0))
        return;
    PROTECTED(&r, 0x8b, 0x03, 0x89, 0x03, 0xf4); /* mov eax, [ebx]; mov [ebx], eax; hlt */
    memcpy(r.ram + RAM - 2, "\x11\x22", 2);
    set(r.cpu, VZ_HV_REG_RBX, RAM - 2);
    for (;;) {
        OK(vz_hv_vcpu_run(r.cpu, &r.exit));
        if (r.exit.reason == VZ_HV_EXIT_HALT)
            break;
        ck_assert_uint_ge(r.exit.address, RAM);
        ck_assert_uint_lt(r.exit.address, RAM + 2);
        if (r.exit.reason == VZ_HV_EXIT_MMIO_READ)
            answer(&r, r.exit.size == 2 ? 0x4433 : 0x33 + 0x11 * (r.exit.address - RAM));
        else
            seen |= (uint32_t)r.exit.value << 8 * (r.exit.address - RAM);
    }
    ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RAX), 0x44332211);
    ck_assert_uint_eq(seen, 0x4433);
    rig_close(&r);
}
END_TEST

/* A loop long enough to be translated: accesses in the middle of hot code, none lost or twice. */
START_TEST(hot_loops_reach_mmio)
{
    struct rig r;

    if (!rig_open(&r, _i, 0))
        return;
    /* again: inc rcx; mov [rbx], ecx; mov [rdi], ecx; mov eax, [rdi+4]; add rdx, rax;
     * cmp ecx, 300; jb again; hlt */
    LONG(&r, 0x48, 0xff, 0xc1, 0x89, 0x0b, 0x89, 0x0f, 0x8b, 0x47, 0x04, 0x48, 0x01, 0xc2, 0x81,
         0xf9, 0x2c, 0x01, 0, 0, 0x72, 0xeb, 0xf4);
    set(r.cpu, VZ_HV_REG_RCX, 0);
    set(r.cpu, VZ_HV_REG_RDX, 0);
    set(r.cpu, VZ_HV_REG_RBX, 0x6000);
    set(r.cpu, VZ_HV_REG_RDI, MMIO);
    for (uint32_t n = 1; n <= 300; n++) {
        expect_access(&r, VZ_HV_EXIT_MMIO_WRITE, 4, MMIO, n);
        ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RIP), 0x1007);
        expect_access(&r, VZ_HV_EXIT_MMIO_READ, 4, MMIO + 4, 0);
        ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RIP), 0x1007);
        ck_assert_uint_eq(*(uint32_t *)(void *)(r.ram + 0x6000), n);
        answer(&r, n);
    }
    expect(&r, VZ_HV_EXIT_HALT);
    ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RDX), 45150);
    rig_close(&r);
}
END_TEST

START_TEST(registers_set_in_an_exit_win)
{
    struct rig r;

    if (!rig_open(&r, _i, 0))
        return;
    /* in al, 0x10; nop; hlt */
    REAL(&r, 0xe4, 0x10, 0x90, 0xf4);
    expect(&r, VZ_HV_EXIT_PORT_READ);
    answer(&r, 1);
    set(r.cpu, VZ_HV_REG_RBX, 0xb0b);
    ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RBX), 0xb0b);
    expect(&r, VZ_HV_EXIT_HALT);
    ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RAX) & 0xff, 1);
    ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RBX), 0xb0b);
    set(r.cpu, VZ_HV_REG_RIP, 0x1000);
    expect(&r, VZ_HV_EXIT_PORT_READ);
    answer(&r, 2);
    set(r.cpu, VZ_HV_REG_RAX, 0x77);
    set(r.cpu, VZ_HV_REG_RIP, 0x1003);
    expect(&r, VZ_HV_EXIT_HALT);
    ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RAX), 0x77);
    ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RIP), 0x1004);
    rig_close(&r);
}
END_TEST

START_TEST(memory_may_change_in_an_exit)
{
    struct rig r;

    if (!rig_open(&r, _i, 0))
        return;
    /* mov eax, [ebx]; mov ecx, [ebx]; mov edx, [ebx]; hlt */
    PROTECTED(&r, 0x8b, 0x03, 0x8b, 0x0b, 0x8b, 0x13, 0xf4);
    set(r.cpu, VZ_HV_REG_RBX, 0x5000);
    memset(r.ram + 0x5000, 0x33, 4);
    OK(vz_hv_vm_unmap(r.vm, 0x5000, PAGE));
    expect_access(&r, VZ_HV_EXIT_MMIO_READ, 4, 0x5000, 0);
    answer(&r, 1);
    OK(vz_hv_vm_map(r.vm, r.ram + 0x5000, 0x5000, PAGE, 7));
    OK(vz_hv_vm_unmap(r.vm, 0x1000, PAGE)); /* its own code goes, and comes back elsewhere */
    memcpy(r.ram + 0x9000, r.ram + 0x1000, PAGE);
    OK(vz_hv_vm_map(r.vm, r.ram + 0x9000, 0x1000, PAGE, 7));
    expect(&r, VZ_HV_EXIT_HALT);
    ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RAX), 1);
    ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RCX), 0x33333333);
    ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RDX), 0x33333333);
    rig_close(&r);
}
END_TEST

/* ---- registers ---- */

START_TEST(registers_keep_what_is_set)
{
    struct rig r;
    struct vz_hv_segment s;
    uint64_t base, value;
    uint16_t limit;
    static const uint32_t msrs[] = {0x174, 0x175, 0x176, 0xc0000081, 0xc0000082, 0xc0000083,
                                    0xc0000084, 0xc0000100, 0xc0000101, 0xc0000102};
    static uint8_t area[VZ_HV_XSAVE_SIZE];

    if (!rig_open(&r, _i, 0))
        return;
    ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RIP), 0xfff0);
    REAL(&r, 0xf4);
    for (int n = VZ_HV_REG_RAX; n <= VZ_HV_REG_R15; n++)
        set(r.cpu, n, 0x1000 + (uint64_t)n);
    for (unsigned n = 0; n < 10; n++)
        OK(vz_hv_vcpu_set_msr(r.cpu, msrs[n], 0x100 + n));
    OK(vz_hv_vcpu_set_table(r.cpu, VZ_HV_GDTR, 0x5000, 0x27));
    OK(vz_hv_vcpu_set_table(r.cpu, VZ_HV_IDTR, 0x6000, 0x3ff));
    OK(vz_hv_vcpu_get_xsave(r.cpu, area, sizeof(area)));
    area[512] |= 3;
    area[160] = 0xab; /* XMM0 */
    OK(vz_hv_vcpu_set_xsave(r.cpu, area, sizeof(area)));
    expect(&r, VZ_HV_EXIT_HALT);
    for (int n = VZ_HV_REG_RAX; n <= VZ_HV_REG_R15; n++)
        ck_assert_uint_eq(get(r.cpu, n), 0x1000 + (uint64_t)n);
    for (unsigned n = 0; n < 10; n++) {
        OK(vz_hv_vcpu_get_msr(r.cpu, msrs[n], &value));
        ck_assert_uint_eq(value, 0x100 + n);
    }
    OK(vz_hv_vcpu_get_table(r.cpu, VZ_HV_IDTR, &base, &limit));
    ck_assert_uint_eq(base, 0x6000);
    ck_assert_uint_eq(limit, 0x3ff);
    OK(vz_hv_vcpu_get_segment(r.cpu, VZ_HV_FS, &s));
    ck_assert_uint_eq(s.base, 0x107);
    memset(area, 0, sizeof(area));
    OK(vz_hv_vcpu_get_xsave(r.cpu, area, 576));
    ck_assert_uint_eq(area[160], 0xab);
    rig_close(&r);
}
END_TEST

START_TEST(registers_have_rules)
{
    struct rig r;
    uint64_t value;
    uint16_t limit;
    struct vz_hv_segment s = {0};
    struct vz_hv_events e;
    uint8_t area[600] = {0};

    if (!rig_open(&r, _i, 0))
        return;
    ck_assert_int_eq(vz_hv_vcpu_get_reg(NULL, VZ_HV_REG_RAX, &value), VZ_HV_BAD_ARGUMENT);
    ck_assert_int_eq(vz_hv_vcpu_get_reg(r.cpu, VZ_HV_REG_COUNT, &value), VZ_HV_BAD_ARGUMENT);
    ck_assert_int_eq(vz_hv_vcpu_get_reg(r.cpu, VZ_HV_REG_RAX, NULL), VZ_HV_BAD_ARGUMENT);
    ck_assert_int_eq(vz_hv_vcpu_set_reg(r.cpu, VZ_HV_REG_COUNT, 0), VZ_HV_BAD_ARGUMENT);
    ck_assert_int_eq(vz_hv_vcpu_set_reg(r.cpu, VZ_HV_REG_CR8, 16), VZ_HV_BAD_ARGUMENT);
    ck_assert_int_eq(vz_hv_vcpu_get_segment(r.cpu, 8, &s), VZ_HV_BAD_ARGUMENT);
    ck_assert_int_eq(vz_hv_vcpu_set_segment(r.cpu, 8, &s), VZ_HV_BAD_ARGUMENT);
    ck_assert_int_eq(vz_hv_vcpu_get_table(r.cpu, 2, &value, &limit), VZ_HV_BAD_ARGUMENT);
    ck_assert_int_eq(vz_hv_vcpu_get_table(r.cpu, VZ_HV_GDTR, &value, NULL), VZ_HV_BAD_ARGUMENT);
    ck_assert_int_eq(vz_hv_vcpu_set_table(r.cpu, 2, 0, 0), VZ_HV_BAD_ARGUMENT);
    ck_assert_int_eq(vz_hv_vcpu_get_msr(r.cpu, 0x12345, &value), VZ_HV_UNSUPPORTED);
    ck_assert_int_eq(vz_hv_vcpu_set_msr(r.cpu, 0x12345, 0), VZ_HV_UNSUPPORTED);
    ck_assert_int_eq(vz_hv_vcpu_get_xsave(r.cpu, area, 575), VZ_HV_BAD_ARGUMENT);
    ck_assert_int_eq(vz_hv_vcpu_set_xsave(r.cpu, area, 5000), VZ_HV_BAD_ARGUMENT);
    ck_assert_int_eq(vz_hv_vcpu_inject_exception(r.cpu, 2, false, 0), VZ_HV_BAD_ARGUMENT);
    ck_assert_int_eq(vz_hv_vcpu_inject_exception(r.cpu, 32, false, 0), VZ_HV_BAD_ARGUMENT);
    ck_assert_int_eq(vz_hv_vcpu_inject_interrupt(r.cpu, 256), VZ_HV_BAD_ARGUMENT);
    ck_assert_int_eq(vz_hv_vcpu_withdraw_interrupt(r.cpu), VZ_HV_BAD_ARGUMENT);
    OK(vz_hv_vcpu_get_events(r.cpu, &e));
    e.halted = true;
    ck_assert_int_eq(vz_hv_vcpu_set_events(r.cpu, &e), VZ_HV_UNSUPPORTED);
    ck_assert_int_eq(vz_hv_vm_set_irq(r.vm, 1, true), VZ_HV_UNSUPPORTED);
    ck_assert_int_eq(vz_hv_vm_set_irq(r.vm, 24, true), VZ_HV_BAD_ARGUMENT);
    ck_assert_int_eq(vz_hv_vm_send_msi(r.vm, 0xfee00000, 0x40), VZ_HV_UNSUPPORTED);
    ck_assert_int_eq(vz_hv_vcpu_run(r.cpu, NULL), VZ_HV_BAD_ARGUMENT);
    ck_assert_int_eq(vz_hv_vcpu_cancel(NULL), VZ_HV_BAD_ARGUMENT);
    rig_close(&r);
}
END_TEST

START_TEST(impossible_states_do_not_run)
{
    struct rig r;

    if (!rig_open(&r, _i, 0))
        return;
    REAL(&r, 0xf4);
    set(r.cpu, VZ_HV_REG_CR0, 0x80000010); /* paging without protection */
    ck_assert_int_eq(vz_hv_vcpu_run(r.cpu, &r.exit), VZ_HV_ILLEGAL_GUEST_STATE);
    ck_assert_int_eq(vz_hv_vcpu_run(r.cpu, &r.exit), VZ_HV_ILLEGAL_GUEST_STATE);
    set(r.cpu, VZ_HV_REG_CR0, 0x10);
    expect(&r, VZ_HV_EXIT_HALT);
    rig_close(&r);
}
END_TEST

START_TEST(three_modes_compute)
{
    struct rig r;

    if (!rig_open(&r, _i, 0))
        return;
    REAL(&r, 0xb8, 0x34, 0x12, 0xf7, 0xd0, 0xf4); /* mov ax, 0x1234; not ax; hlt */
    expect(&r, VZ_HV_EXIT_HALT);
    ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RAX) & 0xffff, 0xedcb);
    PROTECTED(&r, 0xb8, 1, 0, 0, 0, 0xc1, 0xe0, 31, 0xf4); /* mov eax, 1; shl eax, 31; hlt */
    expect(&r, VZ_HV_EXIT_HALT);
    ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RAX), 0x80000000);
    OK(vz_hv_vcpu_reset(r.cpu));
    LONG(&r, 0xb8, 1, 0, 0, 0, 0x48, 0xc1, 0xe0, 63, 0xf4); /* mov eax, 1; shl rax, 63; hlt */
    expect(&r, VZ_HV_EXIT_HALT);
    ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RAX), UINT64_C(1) << 63);
    rig_close(&r);
}
END_TEST

/* ---- interrupts and exceptions ---- */

/* Handler of vector n at 0x4000 + 16 n: out n, al; iret. */
static void real_vectors(struct rig *r, unsigned from, unsigned to)
{
    for (unsigned n = from; n < to; n++) {
        const uint8_t code[] = {0xe6, (uint8_t)n, 0xcf};
        uint16_t entry[2] = {(uint16_t)(0x4000 + 16 * n), 0};

        memcpy(r->ram + 0x4000 + 16 * n, code, sizeof(code));
        memcpy(r->ram + 4 * n, entry, sizeof(entry));
    }
}

START_TEST(interrupts_wait_for_if)
{
    struct rig r;

    if (!rig_open(&r, _i, 0))
        return;
    real_vectors(&r, 0x20, 0x22);
    REAL(&r, 0x90, 0xf4, 0xfb, 0x90, 0x90, 0xf4); /* nop; hlt; sti; nop; nop; hlt */
    OK(vz_hv_vcpu_inject_interrupt(r.cpu, 0x20));
    ck_assert_int_eq(vz_hv_vcpu_inject_interrupt(r.cpu, 0x21), VZ_HV_BUSY);
    expect(&r, VZ_HV_EXIT_HALT);
    ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RIP), 0x1002);
    expect_access(&r, VZ_HV_EXIT_PORT_WRITE, 1, 0x20, get(r.cpu, VZ_HV_REG_RAX) & 0xff);
    /* Behind the instruction after STI; a KVM that is no hardware may be late. */
    ck_assert_uint_ge(*(uint16_t *)(void *)(r.ram + 0x7ffa), 0x1004);
    ck_assert(_i > 0 || *(uint16_t *)(void *)(r.ram + 0x7ffa) == 0x1004);
    if (*(uint16_t *)(void *)(r.ram + 0x7ffa) < 0x1006)
        expect(&r, VZ_HV_EXIT_HALT);
    else
        set(r.cpu, VZ_HV_REG_RFLAGS, 0x202);
    OK(vz_hv_vcpu_inject_interrupt(r.cpu, 0x21));
    OK(vz_hv_vcpu_withdraw_interrupt(r.cpu));
    ck_assert_int_eq(vz_hv_vcpu_withdraw_interrupt(r.cpu), VZ_HV_BAD_ARGUMENT);
    set(r.cpu, VZ_HV_REG_RIP, 0x1003);
    expect(&r, VZ_HV_EXIT_HALT);
    OK(vz_hv_vcpu_inject_interrupt(r.cpu, 0x21));
    set(r.cpu, VZ_HV_REG_RIP, 0x1003);
    expect_access(&r, VZ_HV_EXIT_PORT_WRITE, 1, 0x21, get(r.cpu, VZ_HV_REG_RAX) & 0xff);
    rig_close(&r);
}
END_TEST

START_TEST(windows_open_when_an_interrupt_fits)
{
    struct rig r;

    if (!rig_open(&r, _i, 0))
        return;
    /* nop; sti; nop; jmp $; hlt */
    REAL(&r, 0x90, 0xfb, 0x90, 0xeb, 0xfe, 0xf4);
    OK(vz_hv_vcpu_request_interrupt_window(r.cpu, true));
    expect(&r, VZ_HV_EXIT_INTERRUPT_WINDOW);
    ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RIP), 0x1003);
    set(r.cpu, VZ_HV_REG_RIP, 0x1005);
    expect(&r, VZ_HV_EXIT_HALT);
    OK(vz_hv_vcpu_request_interrupt_window(r.cpu, true));
    OK(vz_hv_vcpu_request_interrupt_window(r.cpu, false));
    set(r.cpu, VZ_HV_REG_RIP, 0x1005);
    expect(&r, VZ_HV_EXIT_HALT);
    rig_close(&r);
}
END_TEST

START_TEST(nmis_and_exceptions_are_delivered)
{
    struct rig r;
    struct vz_hv_events e;

    if (!rig_open(&r, _i, 0))
        return;
    real_vectors(&r, 0, 32);
    REAL(&r, 0x90, 0xf4);
    OK(vz_hv_vcpu_inject_nmi(r.cpu));
    OK(vz_hv_vcpu_get_events(r.cpu, &e));
    ck_assert(e.nmi_pending);
    expect(&r, VZ_HV_EXIT_PORT_WRITE);
    ck_assert_uint_eq(r.exit.address, 2);
    OK(vz_hv_vcpu_get_events(r.cpu, &e));
    ck_assert(e.nmi_blocked && !e.nmi_pending);
    expect(&r, VZ_HV_EXIT_HALT);
    OK(vz_hv_vcpu_get_events(r.cpu, &e));
    ck_assert(!e.nmi_blocked);

    set(r.cpu, VZ_HV_REG_RIP, 0x1000);
    OK(vz_hv_vcpu_inject_exception(r.cpu, 6, false, 0));
    ck_assert_int_eq(vz_hv_vcpu_inject_exception(r.cpu, 6, false, 0), VZ_HV_BUSY);
    expect(&r, VZ_HV_EXIT_PORT_WRITE);
    ck_assert_uint_eq(r.exit.address, 6);
    expect(&r, VZ_HV_EXIT_HALT);
    rig_close(&r);
}
END_TEST

START_TEST(a_triple_fault_is_the_end)
{
    struct rig r;

    if (!rig_open(&r, _i, 0))
        return;
    PROTECTED(&r, 0x0f, 0x0b); /* ud2, without an IDT */
    OK(vz_hv_vcpu_set_table(r.cpu, VZ_HV_IDTR, 0, 0));
    expect(&r, VZ_HV_EXIT_SHUTDOWN);
    ck_assert_str_ne(r.exit.text, "");
    expect(&r, VZ_HV_EXIT_SHUTDOWN);
    OK(vz_hv_vcpu_reset(r.cpu));
    ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RIP), 0xfff0);
    REAL(&r, 0xf4);
    expect(&r, VZ_HV_EXIT_HALT);
    rig_close(&r);
}
END_TEST

START_TEST(with_controllers_the_library_interrupts)
{
    struct rig r;

    if (!rig_open(&r, _i, VZ_HV_VM_IRQCHIP))
        return;
    ck_assert_int_eq(vz_hv_vcpu_inject_interrupt(r.cpu, 0x30), VZ_HV_UNSUPPORTED);
    ck_assert_int_eq(vz_hv_vcpu_withdraw_interrupt(r.cpu), VZ_HV_UNSUPPORTED);
    ck_assert_int_eq(vz_hv_vcpu_request_interrupt_window(r.cpu, true), VZ_HV_UNSUPPORTED);
    real_vectors(&r, 0x20, 0x30);
    /* mov al,11h; out 20h,al; mov al,20h; out 21h,al; mov al,4; out 21h,al; mov al,1; out 21h,al;
     * mov al,0; out 21h,al; out 80h,al; sti; hlt; out 81h,al: 8259 at vector 20h */
    REAL(&r, 0xb0, 0x11, 0xe6, 0x20, 0xb0, 0x20, 0xe6, 0x21, 0xb0, 0x04, 0xe6, 0x21, 0xb0, 0x01,
         0xe6, 0x21, 0xb0, 0x00, 0xe6, 0x21, 0xe6, 0x80, 0xfb, 0xf4, 0xe6, 0x81);
    expect_access(&r, VZ_HV_EXIT_PORT_WRITE, 1, 0x80, 0);
    OK(vz_hv_vm_set_irq(r.vm, 4, true));
    OK(vz_hv_vm_set_irq(r.vm, 4, false));
    OK(vz_hv_vm_send_msi(r.vm, 0xfee00000, 0x31)); /* the APIC is off: nothing */
    expect_access(&r, VZ_HV_EXIT_PORT_WRITE, 1, 0x24, 0);
    expect_access(&r, VZ_HV_EXIT_PORT_WRITE, 1, 0x81, 0);
    rig_close(&r);
}
END_TEST

/* ---- threads ---- */

static void *try_from_elsewhere(void *arg)
{
    struct rig *r = arg;
    struct vz_hv_exit exit;
    struct vz_hv_vcpu_stats stats;
    uint64_t value;

    ck_assert_int_eq(vz_hv_vcpu_run(r->cpu, &exit), VZ_HV_DENIED);
    ck_assert_int_eq(vz_hv_vcpu_get_reg(r->cpu, VZ_HV_REG_RAX, &value), VZ_HV_DENIED);
    ck_assert_int_eq(vz_hv_vcpu_reset(r->cpu), VZ_HV_DENIED);
    ck_assert_int_eq(vz_hv_vcpu_answer(r->cpu, 0), VZ_HV_DENIED);
    ck_assert_int_eq(vz_hv_vcpu_inject_interrupt(r->cpu, 32), VZ_HV_DENIED);
    ck_assert_int_eq(vz_hv_vcpu_get_stats(r->cpu, &stats, sizeof(stats)), VZ_HV_DENIED);
    ck_assert_int_eq(vz_hv_vcpu_destroy(r->cpu), VZ_HV_DENIED);
    return NULL;
}

START_TEST(a_vcpu_belongs_to_its_thread)
{
    struct rig r;
    struct vz_hv_vcpu *other;
    pthread_t t;

    if (!rig_open(&r, _i, 0))
        return;
    pthread_create(&t, NULL, try_from_elsewhere, &r);
    pthread_join(t, NULL);
    ck_assert_int_eq(vz_hv_vcpu_create(r.vm, 1, &other), VZ_HV_BUSY);
    ck_assert_int_eq(vz_hv_vcpu_create(r.vm, 3, &other), VZ_HV_BAD_ARGUMENT);
    ck_assert_int_eq(vz_hv_vcpu_create(r.vm, 1, NULL), VZ_HV_BAD_ARGUMENT);
    ck_assert_int_eq(vz_hv_vm_destroy(r.vm), VZ_HV_BUSY);
    rig_close(&r);
}
END_TEST

START_TEST(numbers_are_used_again)
{
    struct rig r;

    if (!rig_open(&r, _i, 0))
        return;
    for (unsigned n = 0; n < 5; n++) {
        REAL(&r, 0xe4, 0x10, 0xf4);
        OK(vz_hv_vcpu_inject_interrupt(r.cpu, 0x20));
        expect(&r, VZ_HV_EXIT_PORT_READ); /* destroyed in the middle of it */
        OK(vz_hv_vcpu_destroy(r.cpu));
        OK(vz_hv_vcpu_create(r.vm, 0, &r.cpu));
        ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RIP), 0xfff0);
        ck_assert_int_eq(vz_hv_vcpu_withdraw_interrupt(r.cpu), VZ_HV_BAD_ARGUMENT);
    }
    rig_close(&r);
}
END_TEST

START_TEST(cancelling_before_a_run_ends_it)
{
    struct rig r;

    if (!rig_open(&r, _i, 0))
        return;
    REAL(&r, 0xeb, 0xfe); /* jmp $ */
    OK(vz_hv_vcpu_cancel(r.cpu));
    OK(vz_hv_vcpu_cancel(r.cpu));
    expect(&r, VZ_HV_EXIT_CANCELLED);
    OK(vz_hv_vcpu_run_until(r.cpu, 0, &r.exit));
    ck_assert_int_eq(r.exit.reason, VZ_HV_EXIT_DEADLINE);
    rig_close(&r);
}
END_TEST

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

START_TEST(a_deadline_ends_a_busy_guest)
{
    struct rig r;
    struct vz_hv_vcpu_stats stats;
    uint64_t deadline;

    if (!rig_open(&r, _i, 0))
        return;
    REAL(&r, 0xeb, 0xfe);
    deadline = now_ns() + 3000000;
    OK(vz_hv_vcpu_run_until(r.cpu, deadline, &r.exit));
    ck_assert_int_eq(r.exit.reason, VZ_HV_EXIT_DEADLINE);
    ck_assert_uint_ge(now_ns(), deadline);
    OK(vz_hv_vcpu_get_stats(r.cpu, &stats, sizeof(stats)));
    ck_assert_uint_eq(stats.runs, 1);
    ck_assert_uint_eq(stats.exits[VZ_HV_EXIT_DEADLINE], 1);
    ck_assert_uint_gt(stats.exec_time_ns, 0);
    rig_close(&r);
}
END_TEST

struct kicker {
    struct rig *r;
    _Atomic bool stop;
};

static void *kick_on(void *arg)
{
    struct kicker *k = arg;

    while (!k->stop)
        vz_hv_vcpu_cancel(k->r->cpu);
    return NULL;
}

/* However cancels and exits fall together, no access is lost and none comes twice. */
START_TEST(cancelling_loses_nothing)
{
    struct rig r;
    struct kicker k = {&r, false};
    unsigned next = 1, cancelled = 0;
    pthread_t t;

    if (!rig_open(&r, _i, 0))
        return;
    REAL(&r, 0x40, 0xe7, 0x10, 0xeb, 0xfb); /* again: inc ax; out 0x10, ax; jmp again */
    set(r.cpu, VZ_HV_REG_RAX, 0);
    pthread_create(&t, NULL, kick_on, &k);
    while (next < 3000) {
        OK(vz_hv_vcpu_run(r.cpu, &r.exit));
        if (r.exit.reason == VZ_HV_EXIT_CANCELLED) {
            cancelled++;
            continue;
        }
        ck_assert_int_eq(r.exit.reason, VZ_HV_EXIT_PORT_WRITE);
        ck_assert_uint_eq(r.exit.value, next);
        next++;
    }
    k.stop = true;
    pthread_join(t, NULL);
    ck_assert_uint_gt(cancelled, 0);
    rig_close(&r);
}
END_TEST

struct guest {
    struct vz_hv_vm *vm;
    unsigned index;
    uint8_t *ram;
    struct vz_hv_vcpu *_Atomic cpu;
    uint64_t exits;
};

/* again: inc dword [ebx]; mov eax, [0x5000]; call 0x2000 (ret); jmp again */
static const uint8_t hammer[] = {0xff, 0x03, 0xa1, 0, 0x50, 0, 0, 0xe8, 0xf4, 0x0f, 0, 0,
                                 0xeb, 0xf2};

static void *run_guest(void *arg)
{
    struct guest *g = arg;
    struct rig r = {.vm = g->vm, .ram = g->ram};

    OK(vz_hv_vcpu_create(g->vm, g->index, &r.cpu));
    set_flat(r.cpu, 0xc09b, 0xc093);
    set(r.cpu, VZ_HV_REG_CR0, 0x31);
    set(r.cpu, VZ_HV_REG_RIP, 0x1000);
    set(r.cpu, VZ_HV_REG_RSP, 0x8000 + 0x1000 * g->index);
    set(r.cpu, VZ_HV_REG_RBX, 0x6000 + 64 * g->index);
    g->cpu = r.cpu;
    for (;;) {
        OK(vz_hv_vcpu_run(r.cpu, &r.exit));
        g->exits++;
        switch (r.exit.reason) {
        case VZ_HV_EXIT_MMIO_READ:
            ck_assert_uint_eq(r.exit.address, 0x5000);
            answer(&r, 0);
            break;
        case VZ_HV_EXIT_CANCELLED:
            OK(vz_hv_vcpu_destroy(r.cpu));
            return NULL;
        case VZ_HV_EXIT_MEMORY:
            ck_assert_uint_eq(r.exit.address, 0x2000);
            break;
        default:
            ck_abort_msg("exit %d: %s", r.exit.reason, r.exit.text);
        }
    }
}

/* Two vCPUs compute while data and code under them are taken away and given back. */
START_TEST(memory_changes_under_running_vcpus)
{
    struct rig r;
    struct guest g[2];
    pthread_t t[2];

    if (!vm_open(&r, _i, 0))
        return;
    memcpy(r.ram + 0x1000, hammer, sizeof(hammer));
    r.ram[0x2000] = 0xc3;
    for (unsigned n = 0; n < 2; n++) {
        g[n] = (struct guest){.vm = r.vm, .index = n, .ram = r.ram};
        pthread_create(&t[n], NULL, run_guest, &g[n]);
    }
    for (unsigned n = 0; n < 100; n++) {
        uint8_t *page = new_pages(2 * PAGE); /* freed while they run */

        page[0] = 0xc3;
        OK(vz_hv_vm_unmap(r.vm, 0x5000, PAGE));
        OK(vz_hv_vm_map(r.vm, page + PAGE, 0x5000, PAGE, 7));
        if (n % 4 == 0) {
            OK(vz_hv_vm_unmap(r.vm, 0x2000, PAGE));
            OK(vz_hv_vm_map(r.vm, page, 0x2000, PAGE, 5));
        }
        OK(vz_hv_vm_protect(r.vm, 0x5000, PAGE, 5));
        OK(vz_hv_vm_unmap(r.vm, 0x5000, PAGE));
        OK(vz_hv_vm_map(r.vm, r.ram + 0x5000, 0x5000, PAGE, 7));
        if (n % 4 == 0) {
            OK(vz_hv_vm_unmap(r.vm, 0x2000, PAGE));
            OK(vz_hv_vm_map(r.vm, r.ram + 0x2000, 0x2000, PAGE, 7));
        }
        munmap(page, 2 * PAGE);
        sched_yield();
    }
    for (unsigned n = 0; n < 2; n++) {
        while (!g[n].cpu)
            sched_yield();
        vz_hv_vcpu_cancel(g[n].cpu);
        pthread_join(t[n], NULL);
    }
    OK(vz_hv_vm_destroy(r.vm));
    munmap(r.ram, RAM);
}
END_TEST

#define EACH(suite, fn)                                                                            \
    do {                                                                                           \
        TCase *case_ = tcase_create(#fn);                                                          \
        tcase_set_timeout(case_, 100);                                                             \
        tcase_add_loop_test(case_, fn, 0, sizeof(accelerators) / sizeof(accelerators[0]));         \
        suite_add_tcase(suite, case_);                                                             \
    } while (0)

static void add_tests(Suite *s)
{
    UNIT_TEST(s, creation_checks_its_options);
    UNIT_TEST(s, results_have_words);
    EACH(s, mapping_has_rules);
    EACH(s, memory_comes_in_so_many_pieces);
    EACH(s, flags_decide_what_is_an_exit);
    EACH(s, the_same_memory_may_be_seen_twice);
    EACH(s, fetches_need_memory_that_may_be_executed);
    EACH(s, ports_are_exits);
    EACH(s, unanswered_reads_give_all_ones);
    EACH(s, string_io_is_an_exit_per_element);
    EACH(s, mmio_of_every_size);
    EACH(s, instructions_with_several_accesses);
    EACH(s, string_moves_to_and_from_mmio);
    EACH(s, an_access_half_in_memory);
    EACH(s, hot_loops_reach_mmio);
    EACH(s, registers_set_in_an_exit_win);
    EACH(s, memory_may_change_in_an_exit);
    EACH(s, registers_keep_what_is_set);
    EACH(s, registers_have_rules);
    EACH(s, impossible_states_do_not_run);
    EACH(s, three_modes_compute);
    EACH(s, interrupts_wait_for_if);
    EACH(s, windows_open_when_an_interrupt_fits);
    EACH(s, nmis_and_exceptions_are_delivered);
    EACH(s, a_triple_fault_is_the_end);
    EACH(s, with_controllers_the_library_interrupts);
    EACH(s, a_vcpu_belongs_to_its_thread);
    EACH(s, numbers_are_used_again);
    EACH(s, cancelling_before_a_run_ends_it);
    EACH(s, a_deadline_ends_a_busy_guest);
    EACH(s, cancelling_loses_nothing);
    EACH(s, memory_changes_under_running_vcpus);
}

UNIT_TEST_MAIN("api/hypervisor", add_tests)
