/* SPDX-License-Identifier: MIT */
#include "mem/mem_window.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"

#define WINDOW (4 * MEM_WINDOW_PIECE)
#define GPA    UINT64_C(0x100000000)

struct rig {
    struct mem *mem;
    struct mem_window *w;
    struct mem_window_file f;
};

static void rig_create_with(struct rig *r, const struct mem_options *o)
{
    memset(r, 0, sizeof(*r));
    ck_assert_int_eq(mem_create_with(o, &r->mem, NULL), 0);
    ck_assert_int_eq(mem_add(r->mem, 0, 0x10000, false), 0);
    ck_assert_int_eq(mem_add_windows(r->mem, GPA), 0);
    ck_assert_int_eq(mem_window_create(r->mem, WINDOW, &r->w), 0);
    r->f.fd = memfd_create("file", MFD_CLOEXEC);
    ck_assert_int_ge(r->f.fd, 0);
}

static void rig_create(struct rig *r)
{
    rig_create_with(r, &(struct mem_options){.capacity = 0x10000, .windows = WINDOW});
}

static void rig_destroy(struct rig *r)
{
    mem_window_destroy(r->w);
    mem_destroy(r->mem);
    close(r->f.fd);
}

static void put(struct rig *r, uint64_t at, const char *text)
{
    ck_assert_int_eq(pwrite(r->f.fd, text, strlen(text), (off_t)at), (ssize_t)strlen(text));
}

static const char *file_at(struct rig *r, uint64_t at)
{
    static char text[64];

    memset(text, 0, sizeof(text));
    ck_assert_int_ge(pread(r->f.fd, text, sizeof(text) - 1, (off_t)at), 0);
    return text;
}

static char *at(struct rig *r, unsigned piece, uint64_t off)
{
    return (char *)r->w->host + piece * MEM_WINDOW_PIECE + off;
}

START_TEST(what_is_written_to_a_shared_piece_is_the_files)
{
    struct rig r;

    rig_create(&r);
    put(&r, MEM_WINDOW_PIECE + 100, "from some file");
    ck_assert_int_eq(mem_window_show(r.w, 2, &r.f, MEM_WINDOW_PIECE, true), 0);
    ck_assert_str_eq(at(&r, 2, 100), "from some file");
    ck_assert_ptr_eq(mem_ptr(r.mem, GPA + 2 * MEM_WINDOW_PIECE + 100, 8, MEM_WRITE), at(&r, 2, 100));
    strcpy(at(&r, 2, 105), "the guest"); /* as long */
    ck_assert_str_eq(file_at(&r, MEM_WINDOW_PIECE + 100), "from the guest");
    ck_assert_int_eq(mem_window_hide(r.w, 2), 0);
    ck_assert_str_eq(at(&r, 2, 100), "");
    strcpy(at(&r, 2, 100), "nobody's");
    ck_assert_str_eq(file_at(&r, MEM_WINDOW_PIECE + 100), "from the guest");
    ck_assert_str_eq(at(&r, 1, 100), "");
    rig_destroy(&r);
}
END_TEST

START_TEST(what_cannot_be_shown_is_zeros)
{
    struct mem_window_file bad = {.fd = -1};
    struct rig r;

    rig_create(&r);
    put(&r, 0, "text");
    ck_assert_int_eq(mem_window_show(r.w, 2, &r.f, 0, true), 0);
    ck_assert_int_eq(mem_window_show(r.w, 2, &bad, 0, false), -EBADF);
    ck_assert_ptr_null(r.w->piece[2].file);
    ck_assert_str_eq(at(&r, 2, 0), "");
    ck_assert_str_eq(file_at(&r, 0), "text");
    rig_destroy(&r);
}
END_TEST

START_TEST(what_is_written_to_a_private_piece_is_not)
{
    struct rig r;

    rig_create(&r);
    put(&r, 0, "from the file");
    ck_assert_int_eq(mem_window_show(r.w, 0, &r.f, 0, false), 0);
    put(&r, 5, "a new");
    ck_assert_str_eq(at(&r, 0, 0), "from a newile");
    strcpy(at(&r, 0, 0), "hostile");
    ck_assert_str_eq(file_at(&r, 0), "from a newile");
    ck_assert_int_eq(mem_window_show(r.w, 0, &r.f, 0, false), 0); /* again: as it is */
    ck_assert_str_eq(at(&r, 0, 0), "from a newile");
    rig_destroy(&r);
}
END_TEST

START_TEST(what_a_file_has_no_more_is_zeros_until_it_has_it_again)
{
    struct rig r;

    rig_create(&r);
    put(&r, 0, "first");
    put(&r, 0x5000, "second");
    ck_assert_int_eq(mem_window_show(r.w, 1, &r.f, 0, true), 0);
    ck_assert_str_eq(at(&r, 1, 0x5000), "second");
    ck_assert_int_eq(ftruncate(r.f.fd, 0x1001), 0);
    ck_assert_str_eq(at(&r, 1, 0x5000), "");
    strcpy(at(&r, 1, 0x5000), "nobody's");
    ck_assert_str_eq(at(&r, 1, 0), "first");
    ck_assert_str_eq(at(&r, 1, 0x1000), ""); /* the end is in that page */
    ck_assert_uint_eq(atomic_load(&r.w->mended), 1);
    ck_assert_int_eq(ftruncate(r.f.fd, 0), 0);
    ck_assert_str_eq(at(&r, 1, 0), "");
    ck_assert_uint_eq(atomic_load(&r.w->mended), 1);
    mem_window_regain(r.w); /* there is nothing */
    ck_assert_str_eq(at(&r, 1, 0x5000), "");
    put(&r, 0x5000, "third");
    mem_window_regain(r.w);
    ck_assert_str_eq(at(&r, 1, 0x5000), "third");
    strcpy(at(&r, 1, 0), "again");
    ck_assert_str_eq(file_at(&r, 0), "again");
    ck_assert_uint_eq(atomic_load(&r.w->mended), 0);
    ck_assert(!atomic_load(&r.f.lost));
    rig_destroy(&r);
}
END_TEST

START_TEST(system_calls_get_an_error_and_go_on_when_it_is_mended)
{
    struct rig r;
    char byte;
    int fd[2];

    rig_create(&r);
    ck_assert_int_eq(pipe(fd), 0);
    put(&r, 0x5000, "text");
    ck_assert_int_eq(mem_window_show(r.w, 0, &r.f, 0, true), 0);
    ck_assert_int_eq(ftruncate(r.f.fd, 1), 0);
    ck_assert_int_eq(write(fd[1], at(&r, 0, 0x5000), 1), -1); /* as KVM, or a disk's DMA, would have it */
    ck_assert_int_eq(errno, EFAULT);
    ck_assert(mem_windows_mend());
    ck_assert(!mem_windows_mend());
    ck_assert_int_eq(write(fd[1], at(&r, 0, 0x5000), 1), 1);
    ck_assert_int_eq(read(fd[0], &byte, 1), 1);
    ck_assert_int_eq(byte, 0);
    rig_destroy(&r);
}
END_TEST

static void *touch(void *arg)
{
    struct rig *r = arg;

    for (unsigned n = 0; n < 200000; n++) {
        volatile char *p = at(r, n % 2, (n * 4096 * 7) % MEM_WINDOW_PIECE);

        *p = (char)(*p + 1);
    }
    return NULL;
}

/* Two CPUs use it, while its file comes and goes and the pieces are exchanged. */
START_TEST(cpus_may_use_a_window_whatever_happens_to_its_file)
{
    pthread_t thread[2];
    struct rig r;

    rig_create(&r);
    for (unsigned i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, touch, &r), 0);
    for (unsigned n = 0; n < 2000; n++) {
        ck_assert_int_eq(ftruncate(r.f.fd, (off_t)(n * 12345 % (2 * MEM_WINDOW_PIECE))), 0);
        if (n % 5 == 4)
            ck_assert_int_eq(mem_window_hide(r.w, n % 2), 0);
        else
            ck_assert_int_eq(mem_window_show(r.w, n % 2, &r.f, n % 3 ? 0 : MEM_WINDOW_PIECE, n % 4), 0);
        mem_window_regain(r.w);
    }
    for (unsigned i = 0; i < 2; i++)
        pthread_join(thread[i], NULL);
    rig_destroy(&r);
}
END_TEST

static void *look(void *arg)
{
    struct rig *r = arg;

    while (!atomic_load(&r->f.lost)) /* which nothing sets but the test */
        (void)*(volatile char *)at(r, 0, 0);
    return NULL;
}

/* What a socket is asked for, it refuses when the place is empty already. */
START_TEST(a_cpu_never_finds_nothing_where_something_cannot_be_shown)
{
    struct mem_window_file bad = {.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    pthread_t thread;
    struct rig r;

    rig_create(&r);
    ck_assert_int_eq(pthread_create(&thread, NULL, look, &r), 0);
    for (unsigned n = 0; n < 20000; n++)
        ck_assert_int_eq(mem_window_show(r.w, 0, &bad, 0, n % 2), -ENODEV);
    atomic_store(&r.f.lost, true);
    pthread_join(thread, NULL);
    close(bad.fd);
    rig_destroy(&r);
}
END_TEST

static void *written_cpus;
static uint64_t written_gpa, written_len;

static void code_written(void *cpus, gpa_t gpa, uint64_t len)
{
    written_cpus = cpus;
    written_gpa = gpa;
    written_len += len;
}

START_TEST(cpus_that_have_code_of_it_are_told_when_it_shows_something_else)
{
    struct rig r;

    rig_create(&r);
    r.mem->code_written = code_written;
    r.mem->cpus = &r;
    put(&r, 0x5000, "text");
    ck_assert_int_eq(mem_window_show(r.w, 1, &r.f, 0, false), 0);
    ck_assert_uint_eq(written_len, 0); /* nobody has any */
    atomic_store(&mem_code_of(r.mem, at(&r, 1, 0x3000))->granules, 1);
    mem_window_written(r.w, &r.f);
    ck_assert_ptr_eq(written_cpus, &r);
    ck_assert_uint_eq(written_gpa, GPA + MEM_WINDOW_PIECE + 0x3000);
    ck_assert_uint_eq(written_len, MEM_PAGE_SIZE);
    ck_assert_int_eq(mem_window_show(r.w, 1, &r.f, 0, true), 0);
    ck_assert_uint_eq(written_len, 2 * MEM_PAGE_SIZE);
    ck_assert_int_eq(ftruncate(r.f.fd, 0), 0);
    ck_assert_int_eq(*at(&r, 1, 0x3000), 0);
    put(&r, 0x5000, "text");
    mem_window_regain(r.w);
    ck_assert_uint_eq(written_len, 3 * MEM_PAGE_SIZE);
    ck_assert_int_eq(mem_window_hide(r.w, 1), 0);
    ck_assert_uint_eq(written_len, 4 * MEM_PAGE_SIZE);
    r.mem->code_written = NULL;
    rig_destroy(&r);
}
END_TEST

START_TEST(a_window_is_no_ram)
{
    const struct mem_options o = {.capacity = 0x10000, .windows = 2 * WINDOW, .shared = true, .strict = true};
    struct mem_window *second, *third;
    struct mem_source source;
    struct rig r;

    rig_create_with(&r, &o);
    ck_assert_uint_eq(mem_ram_size(r.mem), 0x10000);
    ck_assert_int_eq(mem_discard(r.mem, r.w->host, MEM_PAGE_SIZE), -EINVAL);
    ck_assert_int_eq(mem_source(r.mem, r.w->host, MEM_READ, &source), -EOPNOTSUPP);
    ck_assert_int_eq(mem_add_windows(r.mem, 2 * GPA), -EEXIST);
    strcpy(at(&r, 0, 0), "nobody has asked"); /* in strict memory */
    mem_protect(r.mem);
    strcpy(at(&r, 0, 0), "nobody has asked");
    ck_assert_int_eq(mem_window_create(r.mem, WINDOW, &second), 0);
    ck_assert_uint_eq(second->gpa, GPA + WINDOW);
    ck_assert_int_eq(mem_window_create(r.mem, MEM_WINDOW_PIECE, &third), -ENOSPC);
    mem_window_destroy(second);
    rig_destroy(&r);
}
END_TEST

/* ---- What the host cannot give -------------------------------------------------------------- */

/* A file system without room, for this process only; NULL: not here. */
static const char *small_file_system(void)
{
    if (unshare(CLONE_NEWNS) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
        return NULL;
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("small", "/mnt", "tmpfs", MS_NOSUID, "size=64k") < 0)
        return NULL;
    return "/mnt/file";
}

START_TEST(what_finds_no_room_is_lost_and_that_is_said)
{
    const char *path = small_file_system();
    struct rig r;

    if (!path) {
        puts("a full file system: not tried, nothing can be mounted here");
        return;
    }
    rig_create(&r);
    close(r.f.fd);
    r.f.fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    ck_assert_int_ge(r.f.fd, 0);
    ck_assert_int_eq(ftruncate(r.f.fd, MEM_WINDOW_PIECE), 0);
    ck_assert_int_eq(mem_window_show(r.w, 0, &r.f, 0, true), 0);
    for (unsigned n = 0; n < MEM_WINDOW_PIECE / MEM_PAGE_SIZE; n++)
        *at(&r, 0, n * (uint64_t)MEM_PAGE_SIZE) = 'x';
    ck_assert(atomic_load(&r.f.lost));
    ck_assert_str_eq(file_at(&r, 0), "x");
    rig_destroy(&r);
}
END_TEST

/* ---- Faults of others ----------------------------------------------------------------------- */

static void on_others(int sig)
{
    _exit(7);
}

static void once_more(int sig)
{
    raise(sig);
}

/* How a process ends that touches what a file has no more, outside of windows. */
static int end_of(void (*handler)(int sig), int flags)
{
    const struct sigaction sa = {.sa_handler = handler, .sa_flags = flags};
    pid_t child = fork();
    int status;

    if (!child) {
        struct rig r;
        volatile char *p;

        signal(SIGABRT, SIG_DFL);
        sigaction(SIGBUS, &sa, NULL);
        rig_create(&r);
        p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, r.f.fd, 0);
        (void)*p;
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    return status;
}

START_TEST(faults_elsewhere_are_what_they_were)
{
    ck_assert_int_eq(WTERMSIG(end_of(SIG_DFL, 0)), SIGABRT);
    ck_assert_int_eq(WEXITSTATUS(end_of(on_others, 0)), 7);
    ck_assert_int_eq(WTERMSIG(end_of(once_more, (int)SA_RESETHAND)), SIGABRT); /* as vz's, for its terminal */
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, what_is_written_to_a_shared_piece_is_the_files);
    UNIT_TEST(s, what_cannot_be_shown_is_zeros);
    UNIT_TEST(s, what_is_written_to_a_private_piece_is_not);
    UNIT_TEST(s, what_a_file_has_no_more_is_zeros_until_it_has_it_again);
    UNIT_TEST(s, system_calls_get_an_error_and_go_on_when_it_is_mended);
    UNIT_TEST(s, cpus_may_use_a_window_whatever_happens_to_its_file);
    UNIT_TEST(s, a_cpu_never_finds_nothing_where_something_cannot_be_shown);
    UNIT_TEST(s, cpus_that_have_code_of_it_are_told_when_it_shows_something_else);
    UNIT_TEST(s, a_window_is_no_ram);
    UNIT_TEST(s, what_finds_no_room_is_lost_and_that_is_said);
    UNIT_TEST(s, faults_elsewhere_are_what_they_were);
}

UNIT_TEST_MAIN("mem_window", add_tests)
