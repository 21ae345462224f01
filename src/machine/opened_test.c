/* SPDX-License-Identifier: MIT */
/* Behind the line of parts_init() a machine opens nothing any more: a filter that ends the process
 * at the first attempt is put on there, and the machine starts, resets and ends all the
 * same. On the software CPU, since the line is for real machines. */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "base/error.h"
#include "machine/machine_fixture.h"
#include "machine/machine_impl.h"

/* Resets the machine the first three times, and then ends it by the debug-exit port. */
static const uint8_t code[] = {
    0x8b, 0x04, 0x25, 0x00, 0x00, 0x50, 0x00, /* mov eax, [0x500000] */
    0xff, 0x04, 0x25, 0x00, 0x00, 0x50, 0x00, /* inc dword [0x500000] */
    0x83, 0xf8, 0x03,                         /* cmp eax, 3 */
    0x73, 0x08,                               /* jae end */
    0x66, 0xba, 0xf9, 0x0c, 0xb0, 0x06, 0xee, /* mov dx, 0xcf9; mov al, 6; out dx, al */
    0xf4,                                     /* hlt */
    0xb8, 0x2a, 0x00, 0x00, 0x00,             /* end: mov eax, 42 */
    0xe7, 0xf4, 0xf4,                         /* out 0xf4, eax; hlt */
};

#define FORBID(name)                                                                               \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_##name, 0, 1),                                        \
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS)

static int lock(void *machine, struct vz_error *err)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        FORBID(open), FORBID(openat), FORBID(openat2), FORBID(creat), FORBID(socket),
        FORBID(bind), FORBID(connect), FORBID(unlink), FORBID(execve),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    const struct sock_fprog program = {.len = ARRAY_SIZE(filter), .filter = filter};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
        return error_set(err, errno, VZ_ERROR_INTERNAL, "seccomp: %s", strerror(errno));
    return 0;
}

static struct file make_file(uint64_t len)
{
    struct file f = {"/tmp/vz-opened-test.XXXXXX"};
    int fd = mkstemp(f.path);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ftruncate(fd, (off_t)len), 0);
    close(fd);
    return f;
}

static void add_disk(struct vz_config *c, const char *path)
{
    struct vz_storage_attachment *a = vz_disk_image_attachment_new(path, NULL, NULL);
    struct vz_storage_device *d = vz_virtio_block_device_new(a, NULL, NULL);

    vz_config_add_storage_device(c, d, NULL);
    vz_storage_device_unref(d);
    vz_storage_attachment_unref(a);
}

static void add_card(struct vz_config *c)
{
    struct vz_network_attachment *a = vz_nat_network_attachment_new(NULL, NULL);
    struct vz_network_device *d = vz_virtio_network_device_new(a, NULL, NULL);

    vz_config_add_network_device(c, d, NULL);
    vz_network_device_unref(d);
    vz_network_attachment_unref(a);
}

static void add_serial(struct vz_config *c, const char *path)
{
    struct vz_serial_attachment *file = vz_file_serial_attachment_new(path, false, NULL);
    struct vz_serial_attachment *pty = vz_pty_serial_attachment_new(NULL);
    struct vz_serial_port *a = vz_uart_serial_port_new(file, NULL);
    struct vz_serial_port *b = vz_virtio_serial_port_new(pty, NULL);

    vz_config_add_serial_port(c, a, NULL);
    vz_config_add_serial_port(c, b, NULL);
    vz_serial_port_unref(a);
    vz_serial_port_unref(b);
    vz_serial_attachment_unref(file);
    vz_serial_attachment_unref(pty);
}

static void add_rest(struct vz_config *c)
{
    struct vz_entropy_device *e = vz_virtio_entropy_device_new(NULL, NULL);
    struct vz_balloon_device *b = vz_virtio_balloon_device_new(NULL, NULL);
    struct vz_socket_device *s = vz_virtio_socket_device_new(NULL, NULL);

    vz_config_add_entropy_device(c, e, NULL);
    vz_config_add_balloon_device(c, b, NULL);
    vz_config_add_socket_device(c, s, NULL);
    vz_entropy_device_unref(e);
    vz_balloon_device_unref(b);
    vz_socket_device_unref(s);
}

static struct vz_machine *make_machine(const struct file *kernel, const struct file *disk,
                                       const struct file *log, enum vz_sandbox sandbox)
{
    struct vz_machine_options o = VZ_MACHINE_OPTIONS_INIT;
    struct vz_config *c = make_config(kernel->path, 2, false);
    struct vz_error err = {0};
    struct vz_machine *m;

    vz_config_set_accel(c, "soft", NULL);
    add_disk(c, disk->path);
    add_card(c);
    add_serial(c, log->path);
    add_rest(c);
    o.sandbox = sandbox;
    m = vz_machine_new(c, &o, &err);
    ck_assert_msg(m != NULL, "%s", err.text);
    vz_config_unref(c);
    return m;
}

START_TEST(nothing_is_opened_behind_the_line)
{
    struct file kernel = write_elf(code, sizeof(code)), disk = make_file(MIB), log = make_file(0);
    struct vz_machine *m = make_machine(&kernel, &disk, &log, VZ_SANDBOX_NONE);
    struct vz_machine_end end;
    struct vz_error err = {0};

    m->opened = lock;
    ck_assert_msg(vz_machine_start_wait(m, &err) == 0, "%s", err.text);
    vz_machine_wait(m, &end);
    ck_assert_msg(end.reason == VZ_END_DEBUG_EXIT, "%s", end.text);
    ck_assert_uint_eq(end.debug_code, 42);
    ck_assert_uint_eq(m->resets, 3);
    vz_machine_free(m);
    unlink(kernel.path);
    unlink(disk.path);
    unlink(log.path);
}
END_TEST

/* A kernel that is replaced or gone does not matter to a machine that runs. */
START_TEST(a_reset_boots_the_kernel_that_was_opened)
{
    struct file kernel = write_elf(code, sizeof(code)), disk = make_file(MIB), log = make_file(0);
    struct vz_machine *m = make_machine(&kernel, &disk, &log, VZ_SANDBOX_NONE);
    struct vz_machine_end end;
    struct vz_error err = {0};

    ck_assert_msg(vz_machine_start_wait(m, &err) == 0, "%s", err.text);
    unlink(kernel.path); /* maybe after some of the resets */
    vz_machine_wait(m, &end);
    ck_assert_msg(end.reason == VZ_END_DEBUG_EXIT, "%s", end.text);
    ck_assert_uint_eq(end.debug_code, 42);
    ck_assert_int_lt(vz_machine_start_wait(m, &err), 0);
    ck_assert_int_eq(err.code, VZ_ERROR_IO);
    vz_machine_free(m);
    unlink(disk.path);
    unlink(log.path);
}
END_TEST

/* The real one: resets, a save-like end and all. Then it does not start again. */
START_TEST(a_machine_in_a_sandbox_runs_once)
{
    struct file kernel = write_elf(code, sizeof(code)), disk = make_file(MIB), log = make_file(0);
    struct vz_machine *m = make_machine(&kernel, &disk, &log, VZ_SANDBOX_THREADS);
    struct vz_machine_end end;
    struct vz_error err = {0};

    ck_assert_msg(vz_machine_start_wait(m, &err) == 0, "%s", err.text);
    vz_machine_wait(m, &end);
    ck_assert_msg(end.reason == VZ_END_DEBUG_EXIT, "%s", end.text);
    ck_assert_uint_eq(m->resets, 3);
    ck_assert_int_eq(vz_machine_start_wait(m, &err), -1);
    ck_assert_int_eq(err.code, VZ_ERROR_INVALID_STATE);
    vz_machine_free(m);
    /* The program is what it was. */
    ck_assert_int_eq(prctl(PR_GET_SECCOMP), 0);
    ck_assert_int_eq(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 0);
    ck_assert_int_eq(prctl(PR_GET_DUMPABLE), 1);
    unlink(kernel.path);
    unlink(disk.path);
    unlink(log.path);
}
END_TEST

static int refuse(void *machine, struct vz_error *err)
{
    return error_set(err, EPERM, VZ_ERROR_UNSUPPORTED, "not locked");
}

START_TEST(a_machine_that_cannot_be_locked_does_not_start)
{
    struct file kernel = write_elf(code, sizeof(code)), disk = make_file(MIB), log = make_file(0);
    struct vz_machine *m = make_machine(&kernel, &disk, &log, VZ_SANDBOX_NONE);
    struct vz_error err = {0};

    m->opened = refuse;
    ck_assert_int_eq(vz_machine_start_wait(m, &err), -1);
    ck_assert_str_eq(err.text, "not locked");
    vz_machine_free(m);
    unlink(kernel.path);
    unlink(disk.path);
    unlink(log.path);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, nothing_is_opened_behind_the_line);
    UNIT_TEST(s, a_reset_boots_the_kernel_that_was_opened);
    UNIT_TEST(s, a_machine_in_a_sandbox_runs_once);
    UNIT_TEST(s, a_machine_that_cannot_be_locked_does_not_start);
}

UNIT_TEST_MAIN("opened", add_tests)
