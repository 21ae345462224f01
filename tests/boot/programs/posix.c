/* SPDX-License-Identifier: MIT */
/* What POSIX and Linux say that calls do to names, modes, owners, link counts and times: a line for each call, with
 * its result and what it changed of the files that are watched, for comparison with a local file system's lines. The
 * guest's part of tests/boot/test_share_rules.py.
 *
 *     posix DIR [links]        links: link counts of folders, too */
#include "calls.h"

#include <limits.h>
#include <stdint.h>
#include <sys/mount.h>
#include <sys/wait.h>

/* The same call with paths that lead nowhere. */
#define WRONG_PATHS(call) do { \
        static const char *const paths[] = {"plain/x", "missing/x", "loop/x", "closed/x", "loop", "", long_name, \
                                            long_path}; \
        watch(NULL, NULL, NULL); \
        (void)(file("plain") + symlink("loop", "loop") + mkdir("closed", 0700)); \
        be(1000, 1000); \
        for (unsigned w = 0; w < 8; w++) { \
            const char *path = paths[w]; \
            printf("wrong %u ", w); \
            DO(call); \
        } \
        be(0, 0); \
    } while (0)

static char long_name[300], long_path[PATH_MAX + 10];

static void make_long(void)
{
    memset(long_name, 'x', 256);
    for (unsigned i = 0; i < PATH_MAX; i++)
        long_path[i] = i & 1 ? '/' : '.';
    strcpy(long_path + PATH_MAX, "x");
}

/* ---- Modes and owners ----------------------------------------------------------------------- */

static int write_one(const char *name)
{
    int fd = open(name, O_WRONLY), r = fd < 0 ? -1 : (int)write(fd, "x", 1);

    close(fd);
    return r;
}

static void modes(void)
{
    begin("chmod");
    for (unsigned i = 0; i < KINDS - 1; i++) {
        printf("-- %s\n", kinds[i].name);
        watch("f", ".", "soft");
        DO(kinds[i].make("f"));
        (void)!symlink("f", "soft");
        DO(chmod("f", 0111));
        DO(chmod("soft", 0222));
        DO(chmod("f", 0222));
        DO(chmod("f", 07777));
        DO(chown("f", 1000, 1000));
        be(1000, 1000);
        DO(chmod("f", 0640));
        DO(chmod("f", 0640));
        DO(chmod("f", 01640));
        DO(chmod("f", 06755));
        be(0, 0);
        DO(chown("f", 1000, 500));
        be(1000, 1000);
        DO(chmod("f", 02755));
        DO(chmod("f", 06755));
        be(1001, 1001);
        DO(chmod("f", 0777));
        be(0, 0);
        DO(discard("f"));
        unlink("soft");
    }
    WRONG_PATHS(chmod(path, 0600));
    watch("f", NULL, NULL);
    for (mode_t mode = 04777; mode <= 06777; mode += 01000) {
        DO(file("f"));
        DO(chmod("f", mode));
        be(1001, 1001);
        DO(write_one("f"));
        be(0, 0);
        DO(chmod("f", mode));
        be(1001, 1001);
        DO(truncate("f", 10));
        be(0, 0);
        DO(chmod("f", mode));
        be(1001, 1001);
        DO(opened("f", O_WRONLY | O_TRUNC, 0));
        be(0, 0);
        DO(discard("f"));
    }
    end();
}

static void owners(void)
{
    begin("chown");
    for (unsigned i = 0; i < KINDS; i++) {
        printf("-- %s\n", kinds[i].name);
        watch("f", ".", "soft");
        DO(kinds[i].make("f"));
        (void)!symlink("f", "soft");
        DO(lchown("f", 123, 456));
        change_folder();
        DO(lchown("f", (uid_t)-1, 457));
        DO(lchown("f", 124, (gid_t)-1));
        DO(lchown("f", (uid_t)-1, (gid_t)-1));
        DO(lchown("f", 124, 457));
        DO(lchown("soft", 5, 6));
        change_folder();
        DO(chown("soft", 1000, 1000));
        be(1000, 1000);
        DO(lchown("f", (uid_t)-1, 700));
        DO(lchown("f", 1000, 1000));
        DO(lchown("f", 1000, 800));
        DO(lchown("f", 1001, (gid_t)-1));
        DO(lchown("f", 0, 0));
        be(1001, 1001);
        DO(lchown("f", 1001, (gid_t)-1));
        DO(lchown("f", (uid_t)-1, 1001));
        DO(lchown("f", 1000, 1000));
        DO(lchown("f", (uid_t)-1, (gid_t)-1));
        be(0, 0);
        DO(discard("f"));
        unlink("soft");
    }
    WRONG_PATHS(chown(path, 1000, 1000));
    WRONG_PATHS(lchown(path, 1000, 1000));
    watch("f", NULL, NULL);
    for (unsigned i = 0; i < 3; i += 2) {
        static const mode_t masks[] = {06777, 06767, 04755, 02755, 02745, 01777};

        for (unsigned k = 0; k < sizeof(masks) / sizeof(*masks); k++) {
            DO(kinds[i].make("f"));
            DO(chown("f", 1000, 1000));
            DO(chmod("f", masks[k]));
            be(1000, 1000);
            DO(chown("f", 1000, 700));
            be(0, 0);
            DO(chmod("f", masks[k]));
            DO(chown("f", 0, 1000));
            DO(chmod("f", masks[k]));
            DO(chown("f", (uid_t)-1, (gid_t)-1));
            DO(discard("f"));
        }
    }
    end();
}

/* ---- Making --------------------------------------------------------------------------------- */

static void making(void)
{
    begin("making");
    for (unsigned i = 0; i < KINDS; i++) {
        printf("-- %s\n", kinds[i].name);
        watch("d/f", "d", NULL);
        (void)(mkdir("d", 0777) + chmod("d", 0777));
        DO(kinds[i].make("d/f"));
        for (unsigned k = 0; k < KINDS; k++)
            DO(kinds[k].make("d/f"));
        discard("d/f");
        umask(0127);
        be(1000, 1000);
        DO(kinds[i].make("d/f"));
        umask(0);
        be(0, 0);
        discard("d/f");
        (void)(chown("d", 0, 800) + chmod("d", 02777));
        be(1000, 1000);
        DO(kinds[i].make("d/f"));
        be(0, 0);
        discard("d/f");
        (void)(chown("d", 0, 0) + chmod("d", 0755));
        be(1000, 1000);
        DO(kinds[i].make("d/f"));
        be(0, 0);
        (void)chmod("d", 0644);
        be(1000, 1000);
        DO(kinds[i].make("d/f"));
        be(0, 0);
        DO(rmdir("d"));
        WRONG_PATHS(kinds[i].make(path));
    }
    watch("f", ".", NULL);
    DO(mknod("f", S_IFREG | 0640, 0));
    DO(unlink("f"));
    DO(mknod("f", 0640, 0));
    DO(unlink("f"));
    DO(mknod("f", S_IFDIR | 0755, 0));
    DO(mknod("f", S_IFLNK | 0755, 0));
    DO(mkdir("f", 01777));
    DO(rmdir("f"));
    DO(mkdir("f", 07777));
    DO(rmdir("f"));
    DO(opened("f", O_CREAT | O_WRONLY, 06777));
    DO(opened("f", O_CREAT | O_WRONLY, 0600));
    DO(unlink("f"));
    DO(symlink("", "f"));
    DO(symlink(long_path, "f"));
    DO(symlink(long_name, "f"));
    DO(unlink("f"));
    end();
}

static void links(void)
{
    begin("link");
    (void)(mkdir("to", 0777) + chmod("to", 0777));
    for (unsigned i = 0; i < KINDS; i++) {
        printf("-- %s\n", kinds[i].name);
        watch("f", "to/g", "to");
        DO(kinds[i].make("f"));
        DO(lchown("f", 1000, 1000));
        change_folder();
        DO(link("f", "to/g"));
        DO(link("f", "to/g"));
        DO(link("to/g", "h"));
        DO(unlink("h"));
        be(1000, 1000);
        DO(link("f", "to/h"));
        be(1001, 1001);
        DO(unlink("to/h"));
        DO(link("f", "to/i"));
        be(0, 0);
        DO(unlink("to/h"));
        DO(unlink("to/i"));
        DO(unlink("to/g"));
        DO(discard("f"));
    }
    (void)file("f");
    WRONG_PATHS(link(path, "to/x"));
    WRONG_PATHS(link("f", path));
    end();
}

/* ---- Opening -------------------------------------------------------------------------------- */

static void opening(void)
{
    static const int how[] = {O_RDONLY, O_WRONLY, O_RDWR, O_RDONLY | O_TRUNC, O_WRONLY | O_TRUNC,
                              O_RDONLY | O_DIRECTORY,
                              O_RDWR | O_CREAT, O_CREAT | O_EXCL, O_NOFOLLOW, O_APPEND | O_WRONLY, O_PATH,
                              O_CREAT | O_DIRECTORY, O_RDONLY | O_NOATIME};

    begin("open");
    for (unsigned i = 0; i < KINDS; i++) {
        printf("-- %s\n", kinds[i].name);
        watch("f", NULL, NULL);
        DO(kinds[i].make("f"));
        for (unsigned k = 0; k < sizeof(how) / sizeof(*how) && i != 3 && i != 4; k++) {
            printf("%o ", how[k]);
            DO(opened("f", how[k], 0644));
            unlink("nowhere");
        }
        DO(discard("f"));
    }
    for (unsigned bits = 0; bits < 8; bits++) {
        for (unsigned who = 0; who < 3; who++) {
            watch(NULL, NULL, NULL);
            (void)(file("f") + chown("f", 1000, 1000) + chmod("f", bits << (6 - 3 * who)));
            be(who ? 1001 : 1000, who == 1 ? 1000 : 1001);
            for (unsigned k = 0; k < 5; k++) {
                printf("bits %u of %u: %o ", bits, who, how[k]);
                DO(opened("f", how[k], 0));
            }
            be(0, 0);
            unlink("f");
        }
    }
    WRONG_PATHS(opened(path, O_RDONLY, 0));
    WRONG_PATHS(opened(path, O_RDWR | O_CREAT, 0644));
    end();
}

static void until_it_runs(pid_t child)
{
    char link[32], exe[PATH_MAX] = "";

    snprintf(link, sizeof(link), "/proc/%d/exe", child);
    while (!strstr(exe, "/busy/")) {
        usleep(1000);
        (void)!readlink(link, exe, sizeof(exe) - 1);
    }
}

static int run_and(int (*fn)(const char *), const char *name)
{
    int up[2], r, error;
    pid_t child;

    if (pipe(up) < 0)
        return -1;
    child = fork();
    if (child == 0) {
        dup2(up[0], 0);
        close(up[1]);
        execl(name, name, "sh", "-c", "read x", NULL);
        _exit(1);
    }
    close(up[0]);
    until_it_runs(child);
    errno = 0;
    r = fn(name);
    error = errno;
    close(up[1]);
    waitpid(child, NULL, 0);
    errno = error;
    return r;
}

static int open_to_write(const char *name)
{
    return opened(name, O_WRONLY, 0);
}

static int cut(const char *name)
{
    return truncate(name, 1);
}

static void busy(void)
{
    begin("busy");
    if (system("cp /bin/busybox busybox && chmod 755 busybox") != 0)
        exit(1);
    DO(run_and(open_to_write, "./busybox"));
    DO(run_and(cut, "./busybox"));
    DO(run_and(unlink, "./busybox"));
    (void)dir("mounted");
    (void)mount("x", "mounted", "tmpfs", 0, NULL);
    DO(rmdir("mounted"));
    DO(rename("mounted", "x"));
    DO(rename("mounted/x", "x"));
    (void)file("mounted/f");
    DO(rename("mounted/f", "x"));
    DO(link("mounted/f", "x"));
    umount("mounted");
    DO(rmdir("mounted"));
    end();
}

/* ---- Moving and removing -------------------------------------------------------------------- */

static void moving(void)
{
    begin("rename");
    (void)(dir("a") + dir("b"));
    for (unsigned i = 0; i < KINDS; i++) {
        printf("-- %s\n", kinds[i].name);
        watch("a/f", "b/g", "a");
        watched[3] = "b";
        DO(kinds[i].make("a/f"));
        DO(rename("a/f", "b/g"));
        DO(rename("b/g", "a/f"));
        DO(rename("a/f", "a/f"));
        DO(link("a/f", "b/g"));
        DO(rename("a/f", "b/g"));
        discard("b/g");
        discard("a/f");
        for (unsigned k = 0; k < KINDS; k++) {
            printf("to a %s: ", kinds[k].name);
            (void)(kinds[i].make("a/f") + kinds[k].make("b/g"));
            DO(rename("a/f", "b/g"));
            discard("a/f");
            discard("b/g");
        }
        watched[3] = NULL;
    }
    watch("a", "b", ".");
    DO(rename("a", "a/x"));
    DO(rename("a", "a/x/y"));
    DO(rename("a/.", "x"));
    DO(rename("a", "b/.."));
    DO(rename("a", "."));
    DO(dir("b/full"));
    DO(rename("a", "b"));
    DO(rename("b", "a"));
    DO(rename("a/full", "a/full2"));
    (void)file("f");
    WRONG_PATHS(rename(path, "x"));
    WRONG_PATHS(rename("f", path));
    end();
}

/* In folders with and without the sticky bit, of this and that owner: who may remove, who may move. */
static void sticky(void)
{
    begin("sticky");
    for (unsigned i = 0; i < KINDS; i += 2) {
        for (unsigned owner = 0; owner < 8; owner++) {
            mode_t mode = owner & 4 ? 01777 : 0777;

            watch("d/f", "d", "d/g");
            printf("-- %s %u\n", kinds[i].name, owner);
            (void)(mkdir("d", 0777) + kinds[i].make("d/f") + lchown("d/f", owner & 1 ? 1000 : 1001, 0) +
                   lchown("d", owner & 2 ? 1000 : 1001, 0) + chmod("d", mode));
            be(1000, 1000);
            DO(rename("d/f", "d/g"));
            DO(rename("d/g", "d/f"));
            be(0, 0);
            (void)kinds[i].make("d/g");
            be(1000, 1000);
            DO(rename("d/f", "d/g"));
            DO(rename("d/g", "d/f"));
            DO(discard("d/f"));
            be(0, 0);
            (void)(discard("d/f") + discard("d/g") + rmdir("d"));
        }
    }
    watch("mine/sub", "mine", "theirs");
    (void)(mkdir("mine", 0777) + mkdir("theirs", 0777) + chown("mine", 1000, 1000) + dir("mine/sub"));
    be(1000, 1000);
    DO(rename("mine/sub", "mine/sub2")); /* ".." of it stays */
    DO(rename("mine/sub2", "theirs/sub"));
    end();
}

static void removing(void)
{
    struct stat st;
    char buf[8];
    int fd;

    begin("remove");
    for (unsigned i = 0; i < KINDS; i++) {
        printf("-- %s\n", kinds[i].name);
        watch("f", "g", ".");
        DO(kinds[i].make("f"));
        DO(rmdir("f"));
        (void)kinds[i].make("f");
        DO(link("f", "g"));
        DO(unlink("f"));
        discard("f");
        discard("g");
    }
    watch("d", ".", NULL);
    DO(dir("d"));
    for (unsigned i = 0; i < KINDS; i++) {
        (void)kinds[i].make("d/f");
        DO(rmdir("d"));
        discard("d/f");
    }
    DO(rmdir("d/."));
    DO(rmdir("d/.."));
    DO(unlink("d"));
    DO(unlink("d/"));
    DO(rmdir("d/"));
    WRONG_PATHS(rmdir(path));
    WRONG_PATHS(unlink(path));
    watch("g", NULL, NULL);
    (void)file("f");
    fd = open("f", O_RDWR);
    DO(link("f", "g"));
    DO(unlink("f"));
    DO(fstat(fd, &st));
    printf("links %u\n", (unsigned)st.st_nlink);
    DO(unlink("g"));
    DO(fstat(fd, &st));
    printf("links %u\n", (unsigned)st.st_nlink);
    DO(write(fd, "hello", 5));
    DO(pread(fd, buf, 5, 0));
    DO(fchown(fd, 5, 6));
    DO(fchmod(fd, 04711));
    DO(futimens(fd, NULL));
    DO(ftruncate(fd, 3));
    DO(fstat(fd, &st));
    printf("%o %u:%u size %lld\n", st.st_mode, st.st_uid, st.st_gid, (long long)st.st_size);
    close(fd);
    end();
}

/* ---- Sizes ---------------------------------------------------------------------------------- */

static int cut_open(const char *name, int flags, off_t size)
{
    int fd = open(name, flags), r = fd < 0 ? -1 : ftruncate(fd, size), error = errno;

    close(fd);
    errno = error;
    return r;
}

static int reserve(const char *name, int flags, off_t at, off_t len)
{
    int fd = open(name, flags), r = fd < 0 ? errno : posix_fallocate(fd, at, len);

    close(fd);
    errno = r;
    return r ? -1 : 0;
}

static void sizes(void)
{
    begin("sizes");
    for (unsigned i = 0; i < KINDS; i++) {
        if (i == 3 || i == 4)
            continue;
        watch("f", NULL, NULL);
        printf("-- %s\n", kinds[i].name);
        DO(kinds[i].make("f"));
        DO(truncate("f", 123));
        DO(truncate("f", 123));
        DO(truncate("f", -1));
        DO(truncate("f", INT64_MAX));
        DO(truncate("f", 0));
        unlink("nowhere");
        DO(discard("f"));
    }
    watch("f", NULL, NULL);
    DO(file("f"));
    DO(chown("f", 1000, 1000));
    DO(chmod("f", 0444));
    be(1000, 1000);
    DO(truncate("f", 10));
    DO(chmod("f", 0200));
    DO(truncate("f", 10));
    be(1001, 1001);
    DO(truncate("f", 20));
    be(0, 0);
    DO(cut_open("f", O_RDONLY, 5));
    DO(cut_open("f", O_WRONLY, 5));
    DO(cut_open("f", O_WRONLY, 5));
    DO(cut_open("f", O_RDWR, 70000));
    DO(cut_open("f", O_RDWR, -1));
    DO(cut_open("f", O_RDWR, INT64_MAX));
    DO(reserve("f", O_RDWR, 0, 100));
    DO(reserve("f", O_RDWR, 0, 100000));
    DO(reserve("f", O_RDWR, 0, 100000));
    DO(reserve("f", O_RDWR, 200000, 1));
    DO(reserve("f", O_RDONLY, 0, 1));
    DO(reserve("f", O_RDWR, 0, 0));
    DO(reserve("f", O_RDWR, -1, 1));
    DO(reserve("f", O_RDWR, 0, -1));
    DO(reserve("f", O_RDWR, INT64_MAX - 1, 10));
    DO(write_one("f"));
    WRONG_PATHS(truncate(path, 1));
    end();
}

/* ---- Times ---------------------------------------------------------------------------------- */

static int set(const char *name, long a_sec, long a_nsec, long m_sec, long m_nsec)
{
    return utimensat(AT_FDCWD, name, (struct timespec[2]){{a_sec, a_nsec}, {m_sec, m_nsec}}, AT_SYMLINK_NOFOLLOW);
}

static void show_times(const char *name)
{
    struct stat st;

    if (lstat(name, &st) == 0)
        printf("  %lld.%09ld %lld.%09ld\n", (long long)st.st_atim.tv_sec, st.st_atim.tv_nsec,
               (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
}

static void set_all(void)
{
    DO(set("f", 1000, 1, 2000, 999999999));
    DO(set("f", 0, UTIME_NOW, 0, UTIME_NOW));
    DO(set("f", 0, UTIME_OMIT, 0, UTIME_OMIT));
    DO(set("f", 0, UTIME_NOW, 0, UTIME_OMIT));
    DO(set("f", 0, UTIME_OMIT, 0, UTIME_NOW));
    DO(set("f", 5, 5, 0, UTIME_NOW));
    DO(set("f", 5, 5, 0, UTIME_OMIT));
    DO(utimensat(AT_FDCWD, "f", NULL, AT_SYMLINK_NOFOLLOW));
}

static void times(void)
{
    begin("times");
    with_atime = true;
    for (unsigned i = 0; i < KINDS; i++) {
        watch("f", NULL, NULL);
        printf("-- %s\n", kinds[i].name);
        DO(kinds[i].make("f"));
        set_all();
        DO(set("f", 1000, 1, 2000, 999999999));
        show_times("f");
        DO(set("f", -1000, 5, 0x80000000, 7));
        show_times("f");
        DO(set("f", 0, UTIME_OMIT, 0x180000000, 0));
        show_times("f");
        DO(set("f", 0, 1000000000, 0, 0));
        DO(set("f", 0, 0, 0, -1));
        if (kinds[i].make != soft) {
            DO(chown("f", 1000, 1000));
            DO(chmod("f", 0444));
            be(1000, 1000);
            set_all();
            be(1001, 1001);
            set_all();
            be(0, 0);
            DO(chmod("f", 0666));
            be(1001, 1001);
            set_all();
        }
        be(0, 0);
        DO(discard("f"));
    }
    with_atime = false;
    WRONG_PATHS(set(path, 1, 1, 1, 1));
    end();
}

int main(int argc, char **argv)
{
    if (argc < 2 || chdir(argv[1]) < 0)
        return 1;
    folders_links = argc > 2;
    umask(0); /* everybody may set its times */
    ticks = open("ticks", O_CREAT | O_RDWR, 0666);
    make_long();
    modes();
    owners();
    making();
    links();
    opening();
    busy();
    moving();
    sticky();
    removing();
    sizes();
    times();
    printf("posix: end\n");
    return 0;
}
