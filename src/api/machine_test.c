/* SPDX-License-Identifier: MIT */
/* The life of machines, on the fake backend: the "kernel" is an ELF file whose code is a script of
 * struct fake_op. */
#include "unit.h"

#include <elf.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <vz/vz.h>

#include "base/compiler.h"
#include "hv/fake/fake.h"

#define LOAD_ADDR 0x200000u

struct file {
    char path[64];
};

/* Write an ELF64 kernel that consists of ops. */
static struct file write_kernel(const struct fake_op *ops, size_t count)
{
    Elf64_Ehdr eh = {.e_type = ET_EXEC, .e_machine = EM_X86_64, .e_version = EV_CURRENT,
                     .e_entry = LOAD_ADDR, .e_phoff = sizeof(eh), .e_ehsize = sizeof(eh),
                     .e_phentsize = sizeof(Elf64_Phdr), .e_phnum = 1};
    Elf64_Phdr ph = {.p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_offset = 4096,
                     .p_vaddr = LOAD_ADDR, .p_paddr = LOAD_ADDR, .p_align = 4096};
    struct file f = {"/tmp/vz-machine-test.XXXXXX"};
    int fd = mkstemp(f.path);

    memcpy(eh.e_ident, ELFMAG, SELFMAG);
    eh.e_ident[EI_CLASS] = ELFCLASS64;
    eh.e_ident[EI_DATA] = ELFDATA2LSB;
    eh.e_ident[EI_VERSION] = EV_CURRENT;
    ph.p_filesz = ph.p_memsz = sizeof(*ops) * count;
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(pwrite(fd, &eh, sizeof(eh), 0), sizeof(eh));
    ck_assert_int_eq(pwrite(fd, &ph, sizeof(ph), sizeof(eh)), sizeof(ph));
    ck_assert_int_eq(pwrite(fd, ops, ph.p_filesz, 4096), ph.p_filesz);
    close(fd);
    return f;
}

static struct vz_machine *make(const char *kernel, unsigned cpus, bool stop_at_reset)
{
    struct vz_config_options o = VZ_CONFIG_OPTIONS_INIT;
    struct vz_error err = {0};
    struct vz_config *c;
    struct vz_machine *m;

    o.accel = "fake";
    o.memory_size = 16 << 20;
    o.cpu_count = cpus;
    o.kernel = kernel;
    o.debug_exit = true;
    o.stop_at_reset = stop_at_reset;
    c = vz_config_new(&o, &err);
    ck_assert_msg(c != NULL, "%s", err.text);
    m = vz_machine_new(c, &err);
    ck_assert_msg(m != NULL, "%s", err.text);
    vz_config_free(c);
    return m;
}

/* Run ops to their end. */
static struct vz_machine_end run(const struct fake_op *ops, size_t count, unsigned cpus,
                                 bool stop_at_reset)
{
    struct file f = write_kernel(ops, count);
    struct vz_machine *m = make(f.path, cpus, stop_at_reset);
    struct vz_machine_end end;
    struct vz_error err = {0};

    ck_assert_msg(vz_machine_start(m, &err) == 0, "%s", err.text);
    ck_assert_int_eq(vz_machine_start(m, NULL), -1);
    vz_machine_wait(m, &end);
    vz_machine_free(m);
    unlink(f.path);
    return end;
}

START_TEST(machine_ends_with_a_triple_fault)
{
    static const struct fake_op ops[] = {{FAKE_SHUTDOWN}};
    struct vz_machine_end end = run(ops, 1, 2, false);

    ck_assert_int_eq(end.reason, VZ_END_ERROR);
    ck_assert_msg(strstr(end.text, "triple fault") && strstr(end.text, "0x200000"), "%s", end.text);
}
END_TEST

START_TEST(machine_ends_with_an_internal_error)
{
    static const struct fake_op ops[] = {{FAKE_ERROR}};
    struct vz_machine_end end = run(ops, 1, 1, false);

    ck_assert_int_eq(end.reason, VZ_END_ERROR);
    ck_assert_msg(strstr(end.text, "internal error") != NULL, "%s", end.text);
}
END_TEST

START_TEST(machine_ends_as_its_devices_ask)
{
    static const struct fake_op debug[] = {{FAKE_PORT_WRITE, 1, 0xf4, 0x21}, {FAKE_WAIT}};
    static const struct fake_op reset[] = {{FAKE_PORT_WRITE, 1, 0x64, 0xfe}, {FAKE_WAIT}};
    struct vz_machine_end end = run(debug, 2, 2, false);

    ck_assert_int_eq(end.reason, VZ_END_DEBUG_EXIT);
    ck_assert_uint_eq(end.debug_code, 0x21);
    end = run(reset, 2, 2, true);
    ck_assert_int_eq(end.reason, VZ_END_RESET);
}
END_TEST

static void count_resets(void *arg, const char *name, uint64_t value)
{
    if (!strcmp(name, "machine.resets"))
        *(uint64_t *)arg = value;
}

START_TEST(machine_reboots_until_it_is_stopped)
{
    static const struct fake_op ops[] = {{FAKE_PORT_WRITE, 1, 0x64, 0xfe}, {FAKE_WAIT}};
    struct file f = write_kernel(ops, 2);
    struct vz_machine *m = make(f.path, 3, false);
    struct vz_machine_end end;
    uint64_t resets = 0;

    ck_assert_int_eq(vz_machine_start(m, NULL), 0);
    while (resets < 5) {
        usleep(1000);
        vz_machine_stats(m, count_resets, &resets);
    }
    vz_machine_stop(m);
    vz_machine_wait(m, &end);
    ck_assert_int_eq(end.reason, VZ_END_STOPPED);
    vz_machine_free(m);
    unlink(f.path);
}
END_TEST

START_TEST(machine_stops_when_told)
{
    static const struct fake_op ops[] = {{FAKE_WAIT}};
    struct file f = write_kernel(ops, 1);
    struct vz_machine *a = make(f.path, 4, false), *b = make(f.path, 1, false);
    struct vz_machine_end end;

    ck_assert_int_eq(vz_machine_start(a, NULL), 0);
    ck_assert_int_eq(vz_machine_start(b, NULL), 0);
    vz_machine_stop(a);
    vz_machine_stop(a);
    vz_machine_wait(a, &end);
    ck_assert_int_eq(end.reason, VZ_END_STOPPED);
    vz_machine_stop(a);
    vz_machine_free(a);
    vz_machine_free(b); /* still running */
    unlink(f.path);
}
END_TEST

START_TEST(machine_that_was_never_started)
{
    struct vz_machine *m = make("/nonexistent/kernel", 2, false);
    struct vz_machine_end end;
    struct vz_error err = {0};

    vz_machine_wait(m, &end);
    ck_assert_int_eq(end.reason, VZ_END_STOPPED);
    ck_assert_int_eq(vz_machine_start(m, &err), -1);
    ck_assert_int_eq(err.code, VZ_ERROR_IO);
    ck_assert_msg(strstr(err.text, "/nonexistent/kernel") != NULL, "%s", err.text);
    vz_machine_stop(m);
    vz_machine_wait(m, &end);
    ck_assert_int_eq(vz_machine_start(m, &err), -1);
    vz_machine_free(m);
    vz_machine_free(NULL);
}
END_TEST

START_TEST(machine_refuses_an_unknown_backend)
{
    struct vz_config_options o = VZ_CONFIG_OPTIONS_INIT;
    struct vz_error err = {0};
    struct vz_config *c;

    o.kernel = "x";
    o.accel = "warp";
    c = vz_config_new(&o, NULL);
    ck_assert_ptr_null(vz_machine_new(c, &err));
    ck_assert_int_eq(err.code, VZ_ERROR_INVALID);
    vz_config_free(c);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, machine_ends_with_a_triple_fault);
    UNIT_TEST(s, machine_ends_with_an_internal_error);
    UNIT_TEST(s, machine_ends_as_its_devices_ask);
    UNIT_TEST(s, machine_reboots_until_it_is_stopped);
    UNIT_TEST(s, machine_stops_when_told);
    UNIT_TEST(s, machine_that_was_never_started);
    UNIT_TEST(s, machine_refuses_an_unknown_backend);
}

UNIT_TEST_MAIN("machine", add_tests)
