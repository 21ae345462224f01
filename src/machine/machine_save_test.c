/* SPDX-License-Identifier: MIT */
/* Saving and restoring machines, on the fake backend. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vz/vz.h>

#include "base/le.h"
#include "golden.h"
#include "machine/machine_fixture.h"
#include "machine/machine_impl.h"
#include "mem/mem.h"
#include "board/pc/board.h"

/* A byte into the UART's scratch register, and round and round. */
static const struct fake_op script[] = {
    {FAKE_PORT_WRITE, 1, 0x3ff, 0x5a},
    {FAKE_PORT_READ, 1, 0x3ff, 0x5a},
    {FAKE_JUMP, 0, LOAD_ADDR + 24, 0},
};

struct fix {
    char folder[64], path[96];
    struct file kernel;
    struct vz_config *config;
};

static void setup(struct fix *f)
{
    strcpy(f->folder, "/tmp/vz-save-test.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(f->folder));
    snprintf(f->path, sizeof(f->path), "%s/state", f->folder);
    setenv("XDG_DATA_HOME", f->folder, 1);
    f->kernel = write_kernel(script, ARRAY_SIZE(script));
    f->config = make_config(f->kernel.path, 2, false);
}

static void teardown(struct fix *f)
{
    char command[128];

    vz_config_unref(f->config);
    unlink(f->kernel.path);
    snprintf(command, sizeof(command), "rm -rf %s", f->folder);
    ck_assert_int_eq(system(command), 0);
}

static struct vz_machine *make_of(const struct vz_config *c)
{
    struct vz_error err = {0};
    struct vz_machine *m = vz_machine_new(c, NULL, &err);

    ck_assert_msg(m != NULL, "%s", err.text);
    return m;
}

#define OK(call)                                                                                   \
    do {                                                                                           \
        struct vz_error err = {0};                                                                 \
        ck_assert_msg((call) == 0, "%s: %s", #call, err.text);                                     \
    } while (0)

static void start_and_pause(struct vz_machine *m)
{
    OK(vz_machine_start_wait(m, &err));
    usleep(20000);
    OK(vz_machine_pause_wait(m, &err));
}

static void count_ports(void *arg, const char *name, uint64_t value)
{
    if (!strcmp(name, "bus.port_reads"))
        *(uint64_t *)arg = value;
}

static uint64_t ports(struct vz_machine *m)
{
    uint64_t n = 0;

    vz_machine_stats(m, count_ports, &n);
    return n;
}

START_TEST(a_saved_machine_goes_on_elsewhere)
{
    struct vz_machine *m, *n;
    uint64_t before;
    struct fix f;

    setup(&f);
    m = make_of(f.config);
    n = make_of(f.config);
    start_and_pause(m);
    OK(vz_machine_save_wait(m, f.path, NULL, &err));
    ck_assert_int_eq(vz_machine_get_state(m), VZ_STATE_PAUSED);
    OK(vz_machine_restore_wait(n, f.path, NULL, &err));
    ck_assert_int_eq(vz_machine_get_state(n), VZ_STATE_PAUSED);
    before = ports(n);
    usleep(20000);
    ck_assert_uint_eq(ports(n), before);
    /* It reads what was written before it was saved, or ends with an error. */
    OK(vz_machine_resume_wait(n, &err));
    while (ports(n) < before + 1000)
        usleep(1000);
    ck_assert_int_eq(vz_machine_get_state(n), VZ_STATE_RUNNING);
    /* And the first one too. */
    before = ports(m);
    OK(vz_machine_resume_wait(m, &err));
    while (ports(m) < before + 1000)
        usleep(1000);
    vz_machine_free(m);
    vz_machine_free(n);
    teardown(&f);
}
END_TEST

static void same_memory(struct vz_machine *a, struct vz_machine *b)
{
    struct mem *x = a->parts.board->mem, *y = b->parts.board->mem;

    ck_assert_uint_eq(mem_ram_size(x), mem_ram_size(y));
    ck_assert_int_eq(memcmp(mem_ram(x, 0, mem_ram_size(x), MEM_READ),
                            mem_ram(y, 0, mem_ram_size(y), MEM_READ), mem_ram_size(x)), 0);
}

/* Time stands still: what is saved again is the same to the last bit, but for the RTC, which shows the
 * time of day. */
START_TEST(what_was_restored_is_what_was_saved)
{
    struct state_writer first = {0}, second = {0}, chips[2] = {{0}};
    struct vz_machine *m, *n;
    struct fix f;

    setup(&f);
    m = make_of(f.config);
    n = make_of(f.config);
    start_and_pause(m);
    OK(vz_machine_save_wait(m, f.path, NULL, &err));
    ck_assert_int_eq(parts_save(&m->parts, &first, &chips[0]), 0);
    OK(vz_machine_restore_wait(n, f.path, NULL, &err));
    same_memory(m, n);
    usleep(50000);
    ck_assert_int_eq(parts_save(&n->parts, &second, &chips[1]), 0);
    ck_assert_uint_eq(first.len, second.len);
    for (size_t i = 0; i < first.len; i++) {
        if (first.data[i] != second.data[i]) {
            size_t back = i;

            while (back && memcmp(first.data + back, "VZST", 4))
                back--;
            ck_assert_msg(!memcmp(first.data + back + 20, "rtc", 3), "byte %zu of %.12s", i - back,
                          first.data + back + 20);
        }
    }
    state_writer_fini(&first);
    state_writer_fini(&second);
    ck_assert_uint_eq(chips[0].len, chips[1].len);
    state_writer_fini(&chips[0]);
    state_writer_fini(&chips[1]);
    vz_machine_free(m);
    vz_machine_free(n);
    teardown(&f);
}
END_TEST

static void generation_of(struct vz_machine *m, uint8_t ret[16])
{
    ck_assert_int_eq(mem_read(m->parts.board->mem, GENERATION_ID, ret, 16), 0);
}

/* Who goes on from a state alone is who was saved; one of several is a copy, with a number of its own. */
START_TEST(copies_are_other_machines)
{
    struct vz_restore_options copy = VZ_RESTORE_OPTIONS_INIT;
    struct vz_save_options plain = VZ_SAVE_OPTIONS_INIT;
    struct vz_config *other;
    struct vz_error err = {0};
    struct vz_machine *m, *n;
    uint8_t id[4][16];
    struct fix f;

    setup(&f);
    m = make_of(f.config);
    start_and_pause(m);
    plain.plain_memory = true;
    copy.new_generation = copy.map_memory = true;
    OK(vz_machine_save_wait(m, f.path, &plain, &err));
    generation_of(m, id[0]);
    other = vz_config_copy(f.config, &err);
    ck_assert_int_eq(vz_config_add(other, "uuid", "11111111-2222-3333-4444-555555555555", &err), 0);
    for (unsigned i = 1; i < 4; i++) {
        n = make_of(i == 1 ? f.config : other);
        OK(vz_machine_restore_wait(n, f.path, i == 1 ? NULL : &copy, &err));
        ck_assert(n->parts.board->mem->mapped);
        generation_of(n, id[i]);
        OK(vz_machine_resume_wait(n, &err));
        OK(vz_machine_stop_wait(n, &err));
        vz_machine_free(n);
    }
    ck_assert_int_eq(memcmp(id[0], id[1], 16), 0);
    ck_assert_int_ne(memcmp(id[0], id[2], 16), 0);
    ck_assert_int_ne(memcmp(id[0], id[3], 16), 0);
    ck_assert_int_ne(memcmp(id[2], id[3], 16), 0);
    n = make_of(other); /* the same machine would not have another identifier */
    ck_assert_int_eq(vz_machine_restore_wait(n, f.path, NULL, &err), -1);
    ck_assert_int_eq(err.code, VZ_ERROR_RESTORE);
    vz_machine_free(n);
    vz_machine_free(m);
    vz_config_unref(other);
    teardown(&f);
}
END_TEST

static void first_disk_is(struct vz_machine *m, const char *path)
{
    char *text = vz_config_to_json(vz_machine_config(m), NULL);

    ck_assert_ptr_nonnull(strstr(text, path));
    free(text);
}

static void on_written(void *arg, struct vz_machine *m, const struct vz_error *err)
{
    atomic_int *result = arg;

    atomic_store(result, err ? (int)err->code : 1);
}

static int written(atomic_int *result)
{
    for (unsigned i = 0; !atomic_load(result) && i < 60000; i++)
        usleep(1000);
    return atomic_exchange(result, 0);
}

/* What the machine does meanwhile is not in it. */
START_TEST(a_state_is_written_while_the_machine_goes_on)
{
    struct vz_save_options o = VZ_SAVE_OPTIONS_INIT;
    const uint8_t before[4] = "then", after[4] = "now!";
    struct vz_machine *m, *n;
    atomic_int result = 0;
    uint8_t found[4];
    char bad[128];
    struct fix f;

    setup(&f);
    m = make_of(f.config);
    n = make_of(f.config);
    start_and_pause(m);
    ck_assert_int_eq(mem_write(m->parts.board->mem, 8 << 20, before, 4), 0);
    o.background = true;
    o.written = on_written;
    o.written_arg = &result;
    for (unsigned plain = 0; plain < 2; plain++) { /* sealed memory is written before it goes on */
        o.plain_memory = plain;
        OK(vz_machine_save_wait(m, f.path, &o, &err));
        ck_assert_int_eq(vz_machine_get_state(m), VZ_STATE_PAUSED);
        ck_assert_int_eq(mem_write(m->parts.board->mem, 8 << 20, after, 4), 0);
        OK(vz_machine_resume_wait(m, &err));
        ck_assert_int_eq(written(&result), 1);
        OK(vz_machine_restore_wait(n, f.path, NULL, &err));
        ck_assert_int_eq(mem_read(n->parts.board->mem, 8 << 20, found, 4), 0);
        ck_assert_mem_eq(found, before, 4);
        OK(vz_machine_stop_wait(n, &err));
        OK(vz_machine_pause_wait(m, &err));
        ck_assert_int_eq(mem_write(m->parts.board->mem, 8 << 20, before, 4), 0);
    }
    /* One that cannot begin tells nothing later; one whose machine is freed is written all the same. */
    snprintf(bad, sizeof(bad), "%s/none/state", f.folder);
    ck_assert_int_eq(vz_machine_save_wait(m, bad, &o, NULL), -1);
    unlink(f.path);
    OK(vz_machine_save_wait(m, f.path, &o, &err));
    vz_machine_free(m);
    ck_assert_int_eq(atomic_load(&result), 1);
    OK(vz_machine_restore_wait(n, f.path, NULL, &err));
    vz_machine_free(n);
    teardown(&f);
}
END_TEST

/* Under a paused machine, and for good; what cannot be opened, or is another disk, changes nothing. */
START_TEST(disks_get_layers_below_a_paused_machine)
{
    struct vz_disk_create_options o = VZ_DISK_CREATE_OPTIONS_INIT;
    char disk[96], layer[96], other[96], option[128];
    struct vz_config *c, *layered, *wrong;
    struct vz_machine *m, *n;
    struct vz_error err = {0};
    struct fix f;

    setup(&f);
    snprintf(disk, sizeof(disk), "%s/disk.img", f.folder);
    snprintf(layer, sizeof(layer), "%s/layer.qcow2", f.folder);
    snprintf(other, sizeof(other), "%s/other.img", f.folder);
    OK(vz_disk_create(disk, 1 << 20, NULL, &err));
    OK(vz_disk_create(other, 2 << 20, NULL, &err));
    o.backing = "disk.img";
    OK(vz_disk_create(layer, 0, &o, &err));
    c = vz_config_copy(f.config, NULL);
    layered = vz_config_copy(f.config, NULL);
    wrong = vz_config_copy(f.config, NULL);
    OK(vz_config_add(c, "disk", disk, &err));
    snprintf(option, sizeof(option), "%s,format=qcow2", layer);
    OK(vz_config_add(layered, "disk", option, &err));
    OK(vz_config_add(wrong, "disk", other, &err));
    m = make_of(c);
    OK(vz_machine_start_wait(m, &err));
    ck_assert_int_eq(vz_machine_set_disks(m, layered, &err), -1);
    ck_assert_int_eq(err.code, VZ_ERROR_INVALID_STATE);
    OK(vz_machine_pause_wait(m, &err));
    ck_assert_int_eq(vz_machine_set_disks(m, wrong, &err), -1);
    ck_assert_msg(strstr(err.text, "not the same disk"), "%s", err.text);
    ck_assert_int_eq(vz_machine_set_disks(m, f.config, &err), -1);
    ck_assert_int_eq(err.code, VZ_ERROR_INVALID);
    first_disk_is(m, disk);
    OK(vz_machine_set_disks(m, layered, &err));
    first_disk_is(m, layer);
    unlink(disk); /* from now on it cannot go back */
    OK(vz_machine_resume_wait(m, &err));
    OK(vz_machine_pause_wait(m, &err));
    ck_assert_int_eq(vz_machine_set_disks(m, c, &err), -1);
    ck_assert_int_eq(err.code, VZ_ERROR_IO);
    vz_machine_wait(m, NULL);
    ck_assert_int_eq(vz_machine_get_state(m), VZ_STATE_ERROR);
    vz_machine_free(m);
    /* As before, where it can. */
    OK(vz_disk_create(disk, 1 << 20, NULL, &err));
    n = make_of(layered);
    OK(vz_machine_start_wait(n, &err));
    OK(vz_machine_pause_wait(n, &err));
    unlink(other);
    ck_assert_int_eq(vz_machine_set_disks(n, wrong, &err), -1);
    first_disk_is(n, layer);
    OK(vz_machine_resume_wait(n, &err));
    OK(vz_machine_stop_wait(n, &err));
    OK(vz_machine_start_wait(n, &err));
    vz_machine_free(n);
    vz_config_unref(c);
    vz_config_unref(layered);
    vz_config_unref(wrong);
    teardown(&f);
}
END_TEST

START_TEST(states_allow_what_they_allow)
{
    struct vz_machine *m;
    struct vz_error err;
    struct fix f;

    setup(&f);
    m = make_of(f.config);
    ck_assert(!vz_machine_can_save(m) && vz_machine_can_restore(m));
    ck_assert_int_eq(vz_machine_save_wait(m, f.path, NULL, &err), -1);
    ck_assert_int_eq(err.code, VZ_ERROR_INVALID_STATE);
    OK(vz_machine_start_wait(m, &err));
    ck_assert(!vz_machine_can_save(m) && !vz_machine_can_restore(m));
    ck_assert_int_eq(vz_machine_save_wait(m, f.path, NULL, &err), -1);
    ck_assert_int_eq(err.code, VZ_ERROR_INVALID_STATE);
    ck_assert_int_eq(vz_machine_restore_wait(m, f.path, NULL, &err), -1);
    ck_assert_int_eq(err.code, VZ_ERROR_INVALID_TRANSITION);
    OK(vz_machine_pause_wait(m, &err));
    ck_assert(vz_machine_can_save(m) && !vz_machine_can_restore(m));
    ck_assert_int_eq(vz_machine_restore_wait(m, f.path, NULL, &err), -1);
    ck_assert_int_eq(err.code, VZ_ERROR_INVALID_TRANSITION);
    ck_assert_int_eq(vz_machine_get_state(m), VZ_STATE_PAUSED);
    vz_machine_free(m);
    teardown(&f);
}
END_TEST

static struct vz_config *changed(struct fix *f, const char *option, const char *value)
{
    struct vz_config *c = vz_config_copy(f->config, NULL);
    struct vz_error err = {0};

    ck_assert_msg(vz_config_add(c, option, value, &err) == 0, "%s", err.text);
    return c;
}

static void refuses(struct fix *f, const char *option, const char *value, const char *text)
{
    struct vz_config *c = changed(f, option, value);
    struct vz_machine *m = make_of(c);
    struct vz_error err = {0};

    ck_assert_int_eq(vz_machine_restore_wait(m, f->path, NULL, &err), -1);
    ck_assert_msg(err.code == VZ_ERROR_RESTORE && strstr(err.text, text), "%s", err.text);
    ck_assert_int_eq(vz_machine_get_state(m), VZ_STATE_STOPPED);
    vz_machine_free(m);
    vz_config_unref(c);
}

/* The first member that differs is named; what the guest cannot see may differ. */
START_TEST(another_configuration_is_refused)
{
    struct vz_machine *m;
    struct vz_config *c;
    struct fix f;

    setup(&f);
    m = make_of(f.config);
    start_and_pause(m);
    OK(vz_machine_save_wait(m, f.path, NULL, &err));
    vz_machine_free(m);
    refuses(&f, "cpus", "3", "cpus was 2, and is 3");
    refuses(&f, "memory", "32M", "memory was 16777216, and is 33554432");
    refuses(&f, "balloon", NULL, "memoryBalloonDevices was 0 of them, and is 1");
    refuses(&f, "uuid", "11111111-2222-3333-4444-555555555555", "platform.machineIdentifier was ");
    c = changed(&f, "name", "another");
    m = make_of(c);
    OK(vz_machine_restore_wait(m, f.path, NULL, &err));
    vz_machine_free(m);
    vz_config_unref(c);
    teardown(&f);
}
END_TEST

/* The file's own configuration does, and is complete. */
START_TEST(a_file_tells_its_configuration)
{
    struct vz_error err = {0};
    struct vz_machine *m;
    struct vz_config *c;
    struct fix f;

    setup(&f);
    ck_assert_ptr_null(vz_saved_state_config(f.path, NULL, &err));
    ck_assert_int_eq(err.code, VZ_ERROR_RESTORE);
    m = make_of(f.config);
    start_and_pause(m);
    OK(vz_machine_save_wait(m, f.path, NULL, &err));
    vz_machine_free(m);
    c = vz_saved_state_config(f.path, NULL, &err);
    ck_assert_msg(c != NULL, "%s", err.text);
    m = make_of(c);
    OK(vz_machine_restore_wait(m, f.path, NULL, &err));
    OK(vz_machine_stop_wait(m, &err));
    OK(vz_machine_restore_wait(m, f.path, NULL, &err));
    vz_machine_free(m);
    vz_config_unref(c);
    teardown(&f);
}
END_TEST

/* A bad file leaves the machine stopped, and able to start, or to be restored from another. */
START_TEST(a_failed_restore_leaves_the_machine_stopped)
{
    struct vz_error err = {0};
    struct vz_machine *m;
    struct stat st;
    struct fix f;
    uint8_t byte;
    int fd;

    setup(&f);
    m = make_of(f.config);
    start_and_pause(m);
    OK(vz_machine_save_wait(m, f.path, NULL, &err));
    OK(vz_machine_stop_wait(m, &err));
    fd = open(f.path, O_RDWR);
    ck_assert_int_eq(fstat(fd, &st), 0);
    for (off_t at = 4096; at < st.st_size; at += 5000) { /* memory, table, parts */
        ck_assert_int_eq(pread(fd, &byte, 1, at), 1);
        byte ^= 1;
        ck_assert_int_eq(pwrite(fd, &byte, 1, at), 1);
        ck_assert_int_eq(vz_machine_restore_wait(m, f.path, NULL, &err), -1);
        ck_assert_msg(err.code == VZ_ERROR_RESTORE && strstr(err.text, "damaged"), "%s", err.text);
        ck_assert_int_eq(vz_machine_get_state(m), VZ_STATE_STOPPED);
        byte ^= 1;
        ck_assert_int_eq(pwrite(fd, &byte, 1, at), 1);
    }
    close(fd);
    OK(vz_machine_restore_wait(m, f.path, NULL, &err));
    OK(vz_machine_stop_wait(m, &err));
    OK(vz_machine_start_wait(m, &err));
    vz_machine_free(m);
    teardown(&f);
}
END_TEST

START_TEST(a_failed_save_leaves_the_machine_paused)
{
    struct vz_error err = {0};
    struct vz_machine *m;
    struct fix f;

    setup(&f);
    m = make_of(f.config);
    start_and_pause(m);
    ck_assert_int_eq(vz_machine_save_wait(m, "/nowhere/at/all", NULL, &err), -1);
    ck_assert_int_eq(err.code, VZ_ERROR_SAVE);
    ck_assert_int_eq(vz_machine_get_state(m), VZ_STATE_PAUSED);
    OK(vz_machine_save_wait(m, f.path, NULL, &err));
    OK(vz_machine_resume_wait(m, &err));
    vz_machine_free(m);
    teardown(&f);
}
END_TEST

struct seen {
    _Atomic unsigned progress, done;
    uint64_t last, total;
};

static void on_progress(void *arg, struct vz_machine *m, uint64_t done, uint64_t total)
{
    struct seen *s = arg;

    ck_assert_uint_le(s->last, done);
    s->last = done;
    s->total = total;
    s->progress++;
}

static void on_done(void *arg, struct vz_machine *m, const struct vz_error *err)
{
    ck_assert_ptr_null(err);
    ((struct seen *)arg)->done++;
}

START_TEST(progress_comes_before_the_end)
{
    struct vz_save_options so = VZ_SAVE_OPTIONS_INIT;
    struct vz_restore_options ro = VZ_RESTORE_OPTIONS_INIT;
    struct seen seen = {0};
    struct vz_machine *m;
    struct fix f;

    setup(&f);
    so.progress = ro.progress = on_progress;
    so.progress_arg = ro.progress_arg = &seen;
    so.passphrase = ro.passphrase = "open sesame";
    so.compress = true;
    m = make_of(f.config);
    start_and_pause(m);
    ck_assert_int_eq(vz_machine_save(m, f.path, &so, on_done, &seen), 0);
    while (!seen.done)
        usleep(1000);
    ck_assert_uint_gt(seen.progress, 0);
    ck_assert_uint_eq(seen.last, 16 << 20);
    ck_assert_uint_eq(seen.total, 16 << 20);
    OK(vz_machine_stop_wait(m, &err));
    seen.last = 0;
    ck_assert_int_eq(vz_machine_restore(m, f.path, &ro, on_done, &seen), 0);
    while (seen.done < 2)
        usleep(1000);
    ck_assert_uint_eq(seen.last, 16 << 20);
    ck_assert_int_eq(vz_machine_get_state(m), VZ_STATE_PAUSED);
    vz_machine_free(m);
    teardown(&f);
}
END_TEST

/* Freed in the middle of either. */
START_TEST(a_machine_may_be_freed_meanwhile)
{
    struct vz_machine *m;
    struct fix f;

    setup(&f);
    for (unsigned i = 0; i < 20; i++) {
        m = make_of(f.config);
        start_and_pause(m);
        ck_assert_int_eq(vz_machine_save(m, f.path, NULL, NULL, NULL), 0);
        usleep(i * 300);
        vz_machine_free(m);
        if (access(f.path, F_OK) < 0)
            continue;
        m = make_of(f.config);
        ck_assert_int_eq(vz_machine_restore(m, f.path, NULL, NULL, NULL), 0);
        usleep(i * 300);
        vz_machine_free(m);
    }
    teardown(&f);
}
END_TEST

START_TEST(what_cannot_be_saved_is_told)
{
    struct vz_error err = {0};
    struct vz_config *c;
    struct fix f;
    char disk[128];

    setup(&f);
    OK(vz_config_validate_save_restore_support(f.config, &err));
    snprintf(disk, sizeof(disk), "%s,ephemeral", f.kernel.path);
    c = changed(&f, "disk", disk);
    ck_assert_int_eq(vz_config_validate_save_restore_support(c, &err), -1);
    ck_assert_msg(err.code == VZ_ERROR_UNSUPPORTED && strstr(err.text, "storageDevices[0]"), "%s",
                  err.text);
    vz_config_unref(c);
    teardown(&f);
}
END_TEST

/* ---- Files of other times -------------------------------------------------------------------- */

#define GOLDEN_DISK "/tmp/vz-golden-disk"

/* Registers of the chipset, a PCI function's command register, and round and round. */
static const struct fake_op golden_script[] = {
    {FAKE_PORT_WRITE, 1, 0x3ff, 0x5a},
    {FAKE_PORT_WRITE, 1, 0x3fb, 0x03},
    {FAKE_PORT_WRITE, 1, 0x70, 0x0f},
    {FAKE_PORT_WRITE, 1, 0x71, 0x77},
    {FAKE_PORT_WRITE, 4, 0xcf8, 0x80000804},
    {FAKE_PORT_WRITE, 2, 0xcfc, 0x0006},
    {FAKE_PORT_READ, 1, 0x3ff, 0x5a},
    {FAKE_PORT_WRITE, 1, 0x70, 0x0f},
    {FAKE_PORT_READ, 1, 0x71, 0x77},
    {FAKE_PORT_READ, 2, 0xcfc, 0x0006},
    {FAKE_JUMP, 0, LOAD_ADDR + 6 * 24, 0},
};

/* What was there at first; and all that a configuration can have, but for firmware (below) and a device
 * of the host, which cannot be saved. CPUs and interrupt controllers are in arch/x86: those sections do not depend on
 * this host's CPU. */
static const char *const golden_first[][2] = {
    {"uuid", "01234567-89ab-cdef-0123-456789abcdef"}, {"disk", GOLDEN_DISK ",format=raw,id=golden"},
    {"serial", "null"}, {"console", "null"}, {"net", "nat,mac=02:00:00:00:00:07"}, {"rng", NULL},
    {"balloon", NULL}, {"vsock", "cid=77"}};
static const char *const golden_devices[][2] = {
    {"uuid", "01234567-89ab-cdef-0123-456789abcdef"}, {"disk", GOLDEN_DISK ",ro,format=raw,id=golden"},
    {"nvme", GOLDEN_DISK ",ro,format=raw,id=first"}, {"nvme-namespace", GOLDEN_DISK ",ro,format=raw"},
    {"nvme-namespace", GOLDEN_DISK ",ro,format=raw,block-size=4096"},
    {"usb-disk", GOLDEN_DISK ",ro,format=raw,id=stick"}, {"usb-disk", GOLDEN_DISK ",ro,format=raw,id=fast,uas"},
    {"cdrom", "empty,id=drive"}, {"cdrom", GOLDEN_DISK ",format=raw,id=disc,uas"}, {"usb", NULL}, {"keyboard", NULL},
    {"mac-keyboard", NULL}, {"pointer", NULL}, {"mouse", NULL}, {"trackpad", NULL}, {"display", "1024x768"},
    {"sound", "output=none,input=none"}, {"clipboard", NULL}, {"serial", "null"}, {"console", "null"},
    {"net", "nat,mac=02:00:00:00:00:07"}, {"rng", NULL}, {"balloon", NULL}, {"vsock", "cid=77"},
    {"share", "files=/usr,ro"}, {"share", "window=/usr,ro,dax=16M"}, {"share", "many=multiple,dir=usr:/usr:ro"},
    {"fw-cfg", "opt/golden=yes"}};

static const struct golden {
    const char *name;
    const char *const (*option)[2];
    size_t count;
} golden_files[] = {
    {"machine-0.4.state", golden_first, ARRAY_SIZE(golden_first)},
    {"devices-0.4.state", golden_devices, ARRAY_SIZE(golden_devices)},
};

static struct vz_config *golden_config(const char *kernel, const struct golden *g)
{
    struct vz_config *c = make_config(kernel, 2, false);
    struct vz_error err = {0};

    for (size_t i = 0; i < g->count; i++)
        ck_assert_msg(vz_config_add(c, g->option[i][0], g->option[i][1], &err) == 0, "%s: %s",
                      g->option[i][0], err.text);
    return c;
}

static bool is_golden_disk(int fd)
{
    struct stat opened, named;

    return fstat(fd, &opened) == 0 && stat(GOLDEN_DISK, &named) == 0 && opened.st_ino == named.st_ino &&
           opened.st_dev == named.st_dev;
}

/* The files name this path, and one machine has a disk at a time: other runs of this test, whoever's they are, wait until
 * the one that has it takes the name away. That is a flock(), which disks' own locks do not mind. Its descriptor. */
static int take_golden_disk(void)
{
    for (;;) {
        int fd = open(GOLDEN_DISK, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

        if (fd < 0 && errno == ENOENT) {
            fd = open(GOLDEN_DISK, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
            ck_assert(fd >= 0 || errno == EEXIST);
        }
        if (fd >= 0 && flock(fd, LOCK_EX) == 0 && is_golden_disk(fd)) {
            ck_assert_int_eq(ftruncate(fd, 1 << 20), 0);
            return fd;
        }
        if (fd >= 0)
            close(fd);
        else
            usleep(10000); /* somebody else's */
    }
}

static void write_golden(const struct vz_config *c, const char *path)
{
    struct vz_save_options o = VZ_SAVE_OPTIONS_INIT;
    struct vz_machine *m = make_of(c);

    o.passphrase = "golden";
    o.compress = true;
    start_and_pause(m);
    OK(vz_machine_save_wait(m, path, &o, &err));
    vz_machine_free(m);
}

static void restore_golden(const struct vz_config *c, const char *path)
{
    struct vz_restore_options o = VZ_RESTORE_OPTIONS_INIT;
    struct vz_machine *m = make_of(c);
    uint64_t before;

    o.passphrase = "golden";
    OK(vz_machine_restore_wait(m, path, &o, &err));
    before = ports(m);
    OK(vz_machine_resume_wait(m, &err));
    while (ports(m) < before + 1000)
        usleep(1000);
    ck_assert_int_eq(vz_machine_get_state(m), VZ_STATE_RUNNING);
    vz_machine_free(m);
}

/* What versions of vz before this one have saved goes on, all devices and registers as they were. */
START_TEST(golden_files_are_restored)
{
    struct file kernel = write_kernel(golden_script, ARRAY_SIZE(golden_script));
    int disk = take_golden_disk();

    for (size_t i = 0; i < ARRAY_SIZE(golden_files); i++) {
        const struct golden *g = &golden_files[i];
        struct vz_config *c = golden_config(kernel.path, g);
        char path[256];

        golden_path(path, g->name);
        if (golden_is_wanted(g->name))
            write_golden(c, path);
        restore_golden(c, path);
        vz_config_unref(c);
    }
    unlink(GOLDEN_DISK);
    close(disk);
    unlink(kernel.path);
}
END_TEST

/* ---- Firmware's, whose registers and variables are the machine's, too ---- */

#define GOLDEN_CODE  "/tmp/vz-golden-code"
#define GOLDEN_STORE "/tmp/vz-golden-store"
#define CODE_LEN     1966080u
#define STORE_LEN    131072u
#define STORE_HEAD   72u
#define STORE_ROOM   (STORE_LEN - STORE_HEAD - 0x1000u)
#define STORE_MARK   (STORE_LEN - 0x800u)

/* A volume of variables without any, and a word behind them. */
static void write_store(const char *word)
{
    static const uint8_t guid[16] = {0x8d, 0x2b, 0xf1, 0xff, 0x96, 0x76, 0x8b, 0x4c,
                                     0xa9, 0x85, 0x27, 0x47, 0x07, 0x5b, 0x4f, 0x50};
    static const uint8_t authenticated[16] = {0x78, 0x2c, 0xf3, 0xaa, 0x7b, 0x94, 0x9a, 0x43,
                                              0xa1, 0x80, 0x2e, 0x14, 0x4e, 0xc3, 0x77, 0x92};
    uint8_t *data = malloc(STORE_LEN);
    FILE *f = fopen(GOLDEN_STORE, "w");

    ck_assert(data && f);
    memset(data, 0xff, STORE_LEN);
    memcpy(data + 16, guid, sizeof(guid));
    store_le64(data + 32, STORE_LEN);
    memcpy(data + 40, "_FVH", 4);
    store_le16(data + 48, STORE_HEAD);
    memcpy(data + STORE_HEAD, authenticated, sizeof(authenticated));
    store_le32(data + STORE_HEAD + 16, STORE_ROOM);
    store_le16(data + STORE_HEAD + 20, 0xfe5a);
    memcpy(data + STORE_MARK, word, strlen(word));
    ck_assert_uint_eq(fwrite(data, 1, STORE_LEN, f), STORE_LEN);
    ck_assert_int_eq(fclose(f), 0);
    free(data);
}

static void check_store(const char *word)
{
    char found[16] = "";
    FILE *f = fopen(GOLDEN_STORE, "r");

    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(fseek(f, STORE_MARK, SEEK_SET), 0);
    ck_assert_uint_eq(fread(found, 1, strlen(word), f), strlen(word));
    ck_assert_str_eq(found, word);
    fclose(f);
}

static struct vz_config *firmware_config(void)
{
    struct vz_efi_boot_loader_options b = VZ_EFI_BOOT_LOADER_OPTIONS_INIT;
    struct vz_error err = {0};
    struct vz_config *c = vz_config_new(NULL, &err);
    struct vz_boot_loader *loader;

    b.firmware = GOLDEN_CODE;
    b.variable_store = GOLDEN_STORE;
    loader = vz_efi_boot_loader_new(&b, &err);
    ck_assert_msg(c && loader, "%s", err.text);
    vz_config_set_boot_loader(c, loader);
    vz_boot_loader_unref(loader);
    vz_config_set_memory_size(c, 64 << 20);
    OK(vz_config_add(c, "uuid", "01234567-89ab-cdef-0123-456789abcdef", &err));
    OK(vz_config_add(c, "disk", GOLDEN_DISK ",format=raw,id=golden", &err));
    return c;
}

/* The script of golden_script would be where there is no memory yet: its CPU waits, and nothing else is looked at. */
START_TEST(a_golden_file_of_firmware_is_restored)
{
    struct vz_restore_options o = VZ_RESTORE_OPTIONS_INIT;
    struct vz_config *c = firmware_config();
    int disk = take_golden_disk(), code = open(GOLDEN_CODE, O_CREAT | O_TRUNC | O_WRONLY, 0600);
    struct vz_machine *m;
    char path[256];

    ck_assert_int_eq(ftruncate(code, CODE_LEN), 0);
    close(code);
    golden_path(path, "firmware-0.4.state");
    write_store("then");
    if (golden_is_wanted("firmware-0.4.state"))
        write_golden(c, path);
    write_store("now!");
    o.passphrase = "golden";
    m = make_of(c);
    OK(vz_machine_restore_wait(m, path, &o, &err));
    check_store("then");
    OK(vz_machine_resume_wait(m, &err));
    ck_assert_int_eq(vz_machine_get_state(m), VZ_STATE_RUNNING);
    vz_machine_free(m);
    vz_config_unref(c);
    unlink(GOLDEN_CODE);
    unlink(GOLDEN_STORE);
    unlink(GOLDEN_DISK);
    close(disk);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, a_saved_machine_goes_on_elsewhere);
    UNIT_TEST(s, what_was_restored_is_what_was_saved);
    UNIT_TEST(s, copies_are_other_machines);
    UNIT_TEST(s, a_state_is_written_while_the_machine_goes_on);
    UNIT_TEST(s, disks_get_layers_below_a_paused_machine);
    UNIT_TEST(s, states_allow_what_they_allow);
    UNIT_TEST(s, another_configuration_is_refused);
    UNIT_TEST(s, a_file_tells_its_configuration);
    UNIT_TEST(s, a_failed_restore_leaves_the_machine_stopped);
    UNIT_TEST(s, a_failed_save_leaves_the_machine_paused);
    UNIT_TEST(s, progress_comes_before_the_end);
    UNIT_TEST(s, a_machine_may_be_freed_meanwhile);
    UNIT_TEST(s, what_cannot_be_saved_is_told);
    UNIT_TEST(s, golden_files_are_restored);
    UNIT_TEST(s, a_golden_file_of_firmware_is_restored);
}

UNIT_TEST_MAIN("saving and restoring machines", add_tests)
