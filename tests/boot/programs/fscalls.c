/* SPDX-License-Identifier: MIT */
/* What Linux says that calls do to open files, folders that are being read, and locks: lines as posix.c has them. The guest's
 * part of tests/boot/test_share_rules.py.
 *
 *     fscalls DIR [squashed]    squashed: all files are one user's, so nothing is done that depends on whose they are */
#include "calls.h"

#include <dirent.h>
#include <limits.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdint.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <sys/xattr.h>

static bool squashed;
static char bytes[1 << 17];

static void text(const char *what, const char *value)
{
    printf("  %s: %s\n", what, value);
}

static void number(const char *what, long long value)
{
    printf("  %s: %lld\n", what, value);
}

static int again(const char *name, int flags)
{
    return open(name, flags | O_CREAT | O_NONBLOCK, 0644);
}

static long long size_of(int fd)
{
    struct stat st;

    return fstat(fd, &st) < 0 ? -1 : (long long)st.st_size;
}

/* ---- Open files ------------------------------------------------------------------------------- */

static void unnamed(void)
{
    struct stat st;
    char path[64];
    int fd;

    begin("unnamed");
    (void)(mkdir("d", 0755) + file("plain"));
    watch("d", "f", NULL);
    DO(unnamed_in("d", O_RDONLY, 0644, NULL));
    DO(unnamed_in("d", O_RDWR, 0644, NULL));
    DO(unnamed_in("d", O_WRONLY, 0400, "f"));
    DO(unlink("f"));
    DO(unnamed_in("d", O_RDWR | O_EXCL, 0644, "f"));
    DO(unnamed_in("plain", O_RDWR, 0644, NULL));
    DO(unnamed_in("missing", O_RDWR, 0644, NULL));
    DO(unnamed_in("d", O_RDWR | O_CREAT, 0644, NULL));
    be(65534, 65534);
    DO(unnamed_in("d", O_RDWR, 0644, NULL));
    be(0, 0);
    fd = open("d", O_RDWR | O_TMPFILE, 0600);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    DO(fstat(fd, &st));
    number("links", st.st_nlink);
    DO(write(fd, "hello", 5));
    DO(fchmod(fd, 0640));
    DO(fchown(fd, squashed ? 0 : 5, squashed ? 0 : 6));
    DO(fsetxattr(fd, "user.a", "b", 1, 0));
    DO(linkat(fd, "", AT_FDCWD, "f", AT_EMPTY_PATH));
    DO(linkat(AT_FDCWD, path, AT_FDCWD, "f", AT_SYMLINK_FOLLOW));
    DO(linkat(AT_FDCWD, path, AT_FDCWD, "g", AT_SYMLINK_FOLLOW));
    DO(fstat(fd, &st));
    number("links", st.st_nlink);
    DO(unlink("f"));
    DO(unlink("g"));
    DO(linkat(AT_FDCWD, path, AT_FDCWD, "f", AT_SYMLINK_FOLLOW)); /* it had a name */
    close(fd);
    fd = open("plain", O_RDWR);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    DO(unlink("plain"));
    DO(linkat(AT_FDCWD, path, AT_FDCWD, "f", AT_SYMLINK_FOLLOW));
    DO(opened(path, O_RDWR, 0));
    DO(opened(path, O_RDWR | O_TRUNC, 0));
    DO(truncate(path, 10));
    number("size", size_of(fd));
    DO(fsync(fd));
    close(fd);
    end();
}

static long reserve(int fd, int mode, off_t at, off_t len)
{
    return fallocate(fd, mode, at, len);
}

static void ranges(void)
{
    static const int modes[] = {0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                FALLOC_FL_ZERO_RANGE, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE};
    static const off_t places[][2] = {{0, 4096}, {100, 9000}, {70000, 5000}, {300000, 1}, {0, 0}, {-1, 10}, {10, -1},
                                      {INT64_MAX - 5, 10}, {(off_t)1 << 60, 4096}};
    int fd, other, pipes[2], folder = open(".", O_RDONLY);

    begin("ranges");
    (void)!pipe(pipes);
    watch("f", NULL, NULL);
    for (unsigned i = 0; i < sizeof(modes) / sizeof(*modes); i++) {
        fd = again("f", O_RDWR);
        DO(pwrite(fd, bytes, 66000, 0));
        for (unsigned k = 0; k < sizeof(places) / sizeof(*places); k++) {
            if (modes[i] == (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE) && places[k][0] > 66000)
                continue; /* which kernels do not agree on */
            printf("%x %lld %lld ", modes[i], (long long)places[k][0], (long long)places[k][1]);
            DO(reserve(fd, modes[i], places[k][0], places[k][1]));
            printf("  %d %d %d %lld\n", pread(fd, bytes + 70000, 9, 99) == 9 ? bytes[70000] : -1,
                   pread(fd, bytes + 70000, 9, 9095) == 9 ? bytes[70000] + bytes[70008] : -1,
                   (int)pread(fd, bytes + 70000, 9, 66000), (long long)lseek(fd, 0, SEEK_END));
        }
        close(fd);
        DO(unlink("f"));
    }
    fd = again("f", O_RDWR);
    DO(reserve(fd, FALLOC_FL_PUNCH_HOLE, 0, 10));
    DO(reserve(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 0, 10));
    DO(reserve(fd, 0x400, 0, 10));
    DO(reserve(folder, 0, 0, 10));
    DO(reserve(pipes[1], 0, 0, 10));
    other = open("f", O_RDONLY);
    DO(reserve(other, 0, 0, 10));
    DO(ftruncate(other, 3));
    DO(ftruncate(folder, 3));
    DO(ftruncate(pipes[1], 3));
    close(other);
    other = open("f", O_RDWR | O_APPEND);
    DO(reserve(other, 0, 0, 10));
    DO(posix_fallocate(other, 0, 8192) ? -1 : 0);
    DO(fdatasync(folder));
    DO(fsync(pipes[0]));
    DO(sync_file_range(fd, 0, 100, SYNC_FILE_RANGE_WRITE));
    DO(posix_fadvise(fd, 0, 100, POSIX_FADV_DONTNEED));
    DO(posix_fadvise(fd, 0, 100, POSIX_FADV_WILLNEED));
    DO(readahead(fd, 0, 4096));
    DO(readahead(folder, 0, 4096));
    DO(syncfs(fd));
    close(other);
    close(fd);
    close(folder);
    end();
}

static void holes(void)
{
    static const off_t at[] = {0, 100, 4096, 65536, 100000, 199999, 200000, 200001, -1, -100000};
    int fd, folder;

    begin("holes");
    fd = again("f", O_RDWR);
    (void)(ftruncate(fd, 200000) + pwrite(fd, bytes, 4096, 65536) + pwrite(fd, bytes, 4096, 131072));
    (void)fsync(fd);
    for (unsigned i = 0; i < sizeof(at) / sizeof(*at); i++) {
        for (int whence = SEEK_SET; whence <= SEEK_HOLE + 1; whence++) {
            printf("%lld %d ", (long long)at[i], whence);
            DO(lseek(fd, at[i], whence));
            number("at", lseek(fd, 0, SEEK_CUR));
        }
    }
    DO(lseek(fd, INT64_MAX, SEEK_CUR));
    folder = open(".", O_RDONLY);
    DO(lseek(folder, -1, SEEK_SET));
    close(folder);
    close(fd);
    end();
}

static void copying(void)
{
    static const struct { off_t from, to; size_t len; } parts[] = {
        {0, 0, 10}, {0, 100000, 10}, {5, 5, 100}, {9999, 0, 10}, {10000, 0, 10}, {20000, 0, 10}, {0, 0, 0}, {-1, 0, 10},
        {0, -1, 10}, {0, INT64_MAX - 3, 10}, {0, (off_t)1 << 60, 10}, {0, 0, SIZE_MAX / 2}};
    int in, out, folder, reads, appends, pipes[2];
    off_t from, to;

    begin("copying");
    (void)!pipe(pipes);
    in = again("in", O_RDWR);
    out = again("out", O_RDWR);
    reads = open("out", O_RDONLY);
    appends = open("out", O_WRONLY | O_APPEND);
    folder = open(".", O_RDONLY);
    (void)!pwrite(in, bytes, 10000, 0);
    watch("in", "out", NULL);
    for (unsigned i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
        from = parts[i].from;
        to = parts[i].to;
        printf("%u ", i);
        DO(copy_file_range(in, &from, out, &to, parts[i].len, 0));
        printf("  %lld %lld\n", (long long)from, (long long)to);
    }
    from = to = 0;
    DO(copy_file_range(in, &from, out, &to, 10, 1));
    DO(copy_file_range(in, &from, reads, &to, 10, 0));
    DO(copy_file_range(in, &from, appends, &to, 10, 0));
    DO(copy_file_range(appends, &from, out, &to, 10, 0));
    DO(copy_file_range(folder, &from, out, &to, 10, 0));
    DO(copy_file_range(in, &from, folder, &to, 10, 0));
    DO(copy_file_range(in, NULL, pipes[1], NULL, 10, 0));
    DO(copy_file_range(in, NULL, in, NULL, 10, 0));
    from = 0, to = 5;
    DO(copy_file_range(in, &from, in, &to, 10, 0));
    to = 10000;
    DO(copy_file_range(in, &from, in, &to, 10, 0));
    DO(lseek(in, 7, SEEK_SET));
    DO(lseek(out, 70, SEEK_SET));
    number("copied", copy_file_range(in, NULL, out, NULL, 100, 0));
    number("in", lseek(in, 0, SEEK_CUR));
    number("out", lseek(out, 0, SEEK_CUR));
    from = 3;
    number("sent", sendfile(out, in, &from, 100));
    number("spliced", splice(in, NULL, pipes[1], NULL, 50, 0));
    number("spliced on", splice(pipes[0], NULL, out, NULL, 50, 0));
    DO(ioctl(out, FICLONE, in) < 0 && (errno == EOPNOTSUPP || errno == ENOTTY) ? 0 : -1);
    end();
}

static void writing(void)
{
    struct rlimit limit = {100000, RLIM_INFINITY}, old_limit;
    struct iovec two[] = {{bytes, 3}, {bytes + 10, 4}};
    char *map, *nowhere = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), buf[64];
    int fd, other;

    begin("writing");
    watch("f", NULL, NULL);
    fd = again("f", O_RDWR);
    DO(write(fd, bytes, 0));
    DO(write(fd, bytes, 10));
    DO(pwrite(fd, bytes, 0, 100));
    DO(pwritev(fd, two, 2, 5));
    DO(pwritev(fd, two, 0, 5));
    DO(pwritev2(fd, two, 2, 5, RWF_DSYNC));
    DO(pwritev2(fd, two, 2, 0, RWF_APPEND));
    DO(pwritev2(fd, two, 2, 0, 0x1000));
    DO(preadv2(fd, two, 2, 0, RWF_HIPRI));
    number("size", size_of(fd));
    DO(pwrite(fd, bytes, 1, -1));
    DO(pread(fd, buf, 1, -1));
    DO(pread(fd, buf, 1, INT64_MAX));
    DO(pwrite(fd, bytes, 10, INT64_MAX - 5));
    DO(read(fd, nowhere, 10));
    other = open("f", O_WRONLY | O_APPEND);
    DO(pwrite(other, bytes, 5, 0));
    DO(lseek(other, 0, SEEK_SET));
    DO(write(other, bytes, 5));
    number("at", lseek(other, 0, SEEK_CUR));
    DO(fcntl(other, F_SETFL, 0));
    DO(pwrite(other, bytes, 5, 0));
    number("size", size_of(fd));
    DO(read(other, buf, 1));
    close(other);
    fflush(stdout); /* which may be a longer file: what is said meanwhile waits */
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old_limit);
    setrlimit(RLIMIT_FSIZE, &limit);
    DO(pwrite(fd, bytes, 10, 99995));
    number("size", size_of(fd));
    DO(pwrite(fd, bytes, 10, 100000));
    DO(ftruncate(fd, 100001));
    DO(fallocate(fd, 0, 0, 100001));
    DO(ftruncate(fd, 100000));
    setrlimit(RLIMIT_FSIZE, &old_limit);
    DO(ftruncate(fd, 100));
    map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    number("mapped", map != MAP_FAILED);
    DO((strcpy(map + 50, "mapped"), msync(map, 4096, MS_SYNC)));
    number("read", pread(fd, buf, 7, 50));
    text("read", buf);
    DO(pwrite(fd, "written", 8, 50));
    text("mapped", map + 50);
    DO(ftruncate(fd, 10));
    DO(ftruncate(fd, 100));
    number("cut", map[50]);
    DO(unlink("f"));
    strcpy(map, "gone");
    number("read", pread(fd, buf, 5, 0));
    text("read", buf);
    munmap(map, 4096);
    close(fd);
    fd = again("h", O_RDWR | O_APPEND); /* what is mapped keeps its place */
    (void)!write(fd, bytes, 100);
    map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    strcpy(map, "mapped");
    (void)(msync(map, 4096, MS_SYNC) + munmap(map, 4096));
    number("size", size_of(fd));
    (void)pread(fd, buf, 7, 0);
    text("read", buf);
    close(fd);
    fd = again("h", O_RDWR);
    DO(fcntl(fd, F_SETFL, O_APPEND));
    DO(write(fd, bytes, 5));
    number("at", lseek(fd, 0, SEEK_CUR));
    close(fd);
    (void)file("g");
    watch("g", NULL, NULL);
    fd = open("g", O_RDONLY);
    DO(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED ? -1 : 0);
    DO(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0) == MAP_FAILED ? -1 : 0);
    DO(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 100) == MAP_FAILED ? -1 : 0);
    DO(write(fd, "x", 1));
    close(fd);
    fd = open(".", O_RDONLY);
    DO(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED ? -1 : 0);
    DO(read(fd, buf, 1));
    DO(write(fd, buf, 1));
    close(fd);
    be(65534, 65534);
    DO(opened("g", O_RDONLY | O_NOATIME, 0));
    be(0, 0);
    DO(opened("g", O_RDONLY | O_DIRECT, 0));
    end();
}

/* ---- Folders ---------------------------------------------------------------------------------- */

static bool in_order(const char *path)
{
    static char seen[1000];
    unsigned once = 0, more = 0;
    struct dirent *e;
    DIR *d = opendir(path);

    memset(seen, 0, sizeof(seen));
    while (d && (e = readdir(d))) {
        unsigned n = e->d_name[0] == 'n' ? (unsigned)atoi(e->d_name + 1) : 1000;

        if (n < 1000)
            seen[n]++;
    }
    for (unsigned i = 0; i < 1000; i++) {
        once += seen[i] == 1;
        more += seen[i] > 1;
    }
    closedir(d);
    printf("  %u once, %u more\n", once, more);
    return !more;
}

static void numbers_of(const char *path)
{
    struct stat st, above;
    struct dirent *e;
    DIR *d = opendir(path);
    char at[512];

    (void)stat(path, &above);
    while ((e = readdir(d))) {
        snprintf(at, sizeof(at), "%s/%.250s", path, e->d_name);
        if (lstat(at, &st) < 0)
            printf("  %s: %s\n", e->d_name, strerrorname_np(errno));
        else if (st.st_ino != e->d_ino || st.st_dev != above.st_dev ||
                 (e->d_type != DT_UNKNOWN && e->d_type != (st.st_mode & S_IFMT) >> 12))
            printf("  %s: is listed as another\n", e->d_name);
    }
    closedir(d);
}

static void folders(void)
{
    long places[300];
    char name[64], names[300][64], small[8];
    struct dirent *e;
    struct stat st;
    unsigned count = 0, right = 0;
    int fd, other;
    DIR *d;

    begin("folders");
    for (unsigned i = 0; i < KINDS; i++)
        (void)kinds[i].make(kinds[i].name);
    numbers_of(".");
    (void)mkdir("many", 0755);
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(name, sizeof(name), "many/n%u", i);
        (void)file(name);
    }
    in_order("many");
    d = opendir("many");
    while (count < 300 && (places[count] = telldir(d), e = readdir(d)))
        snprintf(names[count++], 64, "%.63s", e->d_name);
    for (unsigned i = 0; i < count; i += 2) { /* those that are not asked for are removed */
        snprintf(name, sizeof(name), "many/%.50s", names[i]);
        unlink(name);
    }
    for (unsigned i = count - 1; i > 0 && i < count; i -= 2) {
        seekdir(d, places[i]);
        e = readdir(d);
        right += e && !strcmp(e->d_name, names[i]);
    }
    number("found again", right == count / 2);
    closedir(d);
    in_order("many");
    d = opendir("many");
    (void)readdir(d);
    (void)file("many/late");
    rewinddir(d);
    for (right = 0; (e = readdir(d));)
        right += !strcmp(e->d_name, "late");
    number("late", right);
    closedir(d);
    fd = open("many", O_RDONLY);
    DO(syscall(SYS_getdents64, fd, small, sizeof(small)));
    DO(lseek(fd, 0, SEEK_SET));
    close(fd);
    /* One that is gone. */
    watch("gone", ".", NULL);
    (void)mkdir("gone", 0755);
    fd = open("gone", O_RDONLY);
    other = dup(fd);
    DO(rmdir("gone"));
    DO(fstat(fd, &st));
    number("links", st.st_nlink);
    d = fdopendir(other);
    number("empty", readdir(d) == NULL);
    DO(mkdirat(fd, "x", 0755));
    DO(openat(fd, "x", O_CREAT | O_WRONLY, 0644));
    DO(symlinkat("x", fd, "x"));
    DO(mknodat(fd, "x", S_IFIFO | 0644, 0));
    DO(linkat(AT_FDCWD, "file", fd, "x", 0));
    DO(renameat(AT_FDCWD, "file", fd, "x"));
    DO(renameat(fd, ".", AT_FDCWD, "x"));
    DO(openat(fd, ".", O_RDONLY));
    DO(openat(fd, "..", O_RDONLY));
    DO(fchmod(fd, 0700));
    DO(fsync(fd));
    DO(unnamed_in("/proc/self/fd/3", O_RDWR, 0644, NULL) < 0 ? 0 : 0);
    closedir(d);
    close(fd);
    (void)mkdir("gone", 0755);
    (void)chdir("gone");
    (void)rmdir("../gone");
    watch(NULL, NULL, NULL);
    DO(getcwd(name, sizeof(name)) ? 0 : -1);
    DO(opened(".", O_RDONLY, 0));
    DO(opened("x", O_CREAT | O_RDWR, 0644));
    DO(chdir(".."));
    DO(mkdir("a", 0755));
    DO(stat("a", &st));
    DO(rename("a", "b"));
    /* Of a full set of names. */
    DO(fstatat(AT_FDCWD, "", &st, AT_EMPTY_PATH));
    DO(access("missing", F_OK));
    DO(rename("file/", "x"));
    DO(unlink("file/"));
    DO(stat("file/", &st));
    DO(opened("file/", O_RDONLY, 0));
    DO(opened("new/", O_CREAT | O_RDWR, 0644));
    DO(mkdir("new/", 0755));
    DO(rename("new/", "newer/"));
    DO(symlink("x", "soft/"));
    DO(link("file", "hard/"));
    DO(mknod("node/", S_IFREG | 0644, 0));
    DO(rmdir("newer/"));
    DO(rmdir("link"));
    DO(rmdir("link/"));
    end();
}

/* ---- Moving, as Linux does --------------------------------------------------------------------- */

static int move(const char *from, const char *to, unsigned flags)
{
    return renameat2(AT_FDCWD, from, AT_FDCWD, to, flags);
}

static void exchanges(void)
{
    begin("exchanges");
    (void)(mkdir("a", 0777) + mkdir("b", 0777) + chmod("a", 0777) + chmod("b", 01777));
    for (unsigned i = 0; i < KINDS * KINDS; i++) {
        printf("-- %s and %s\n", kinds[i / KINDS].name, kinds[i % KINDS].name);
        watch("a/f", "b/g", "a");
        watched[3] = "b";
        without_times = i / KINDS && i % KINDS;
        (void)(kinds[i / KINDS].make("a/f") + kinds[i % KINDS].make("b/g"));
        DO(move("a/f", "b/g", RENAME_EXCHANGE));
        DO(move("a/f", "b/g", RENAME_NOREPLACE));
        if (i % KINDS == 0) {
            DO(move("a/f", "b/h", RENAME_NOREPLACE));
            DO(move("b/h", "a/f", RENAME_NOREPLACE));
            DO(move("a/f", "b/h", RENAME_EXCHANGE));
            DO(move("b/h", "a/f", RENAME_EXCHANGE));
            DO(move("a/f", "a/f", RENAME_EXCHANGE));
            DO(move("a/f", "a/f", RENAME_NOREPLACE));
            DO(move("a/f", "a/h", RENAME_WHITEOUT));
            DO(discard("a/h"));
            be(65534, 65534);
            DO(move("a/f", "a/h", RENAME_EXCHANGE));
            DO(move("a/f", "a/h", RENAME_WHITEOUT));
            DO(move("b/g", "a/x", RENAME_NOREPLACE));
            DO(move("b/g", "a/f", RENAME_EXCHANGE));
            be(0, 0);
        }
        DO(move("a/f", "b/g", RENAME_EXCHANGE | RENAME_NOREPLACE));
        DO(move("a/f", "b/g", RENAME_EXCHANGE | RENAME_WHITEOUT));
        DO(move("a/f", "b/g", 8));
        (void)(discard("a/f") + discard("b/g") + discard("a/h"));
    }
    watched[3] = NULL;
    watch("a", "b", NULL);
    DO(mkdir("a/sub", 0755));
    DO(move("a", "a/sub", RENAME_EXCHANGE));
    DO(move("a/sub", "a", RENAME_EXCHANGE));
    DO(move(".", "b", RENAME_EXCHANGE));
    end();
}

/* ---- Locks ------------------------------------------------------------------------------------ */

static int lock(int fd, int how, short type, off_t at, off_t len)
{
    return fcntl(fd, how, &(struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = at, .l_len = len});
}

static pid_t holder;

static void show_lock(int fd, int how, off_t at, off_t len)
{
    struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = at, .l_len = len};
    int r = fcntl(fd, how, &l);

    if (r < 0)
        text("lock", strerrorname_np(errno));
    else if (l.l_type == F_UNLCK)
        text("lock", "none");
    else
        printf("  lock: %d from %lld, %lld%s\n", l.l_type, (long long)l.l_start, (long long)l.l_len,
               how == F_GETLK && l.l_pid == holder ? " of who has it" : "");
}

/* Another process' view. */
static void elsewhere(void)
{
    fflush(stdout);
    holder = getpid();
    if (fork() == 0) {
        int fd = open("f", O_RDWR), reads = open("f", O_RDONLY);

        show_lock(fd, F_GETLK, 0, 0);
        show_lock(fd, F_GETLK, 25, 1);
        show_lock(fd, F_OFD_GETLK, 0, 0);
        DO(lock(fd, F_SETLK, F_RDLCK, 0, 5));
        DO(lock(fd, F_SETLK, F_WRLCK, 10, 5));
        DO(lock(fd, F_OFD_SETLK, F_WRLCK, 0, 0));
        DO(lock(reads, F_SETLK, F_WRLCK, 1000, 5));
        DO(lock(reads, F_SETLK, F_RDLCK, 1000, 5));
        DO(flock(reads, LOCK_SH | LOCK_NB));
        DO(flock(reads, LOCK_EX | LOCK_NB));
        DO(flock(reads, LOCK_UN));
        fflush(stdout);
        _exit(0);
    }
    wait(NULL);
}

static void locking(void)
{
    int fd, second, writes;

    begin("locks");
    watch(NULL, NULL, NULL);
    fd = again("f", O_RDWR);
    second = open("f", O_RDWR);
    writes = open("f", O_WRONLY);
    DO(lock(fd, F_SETLK, F_RDLCK, 0, 10));
    DO(lock(fd, F_SETLK, F_WRLCK, 10, 10));
    elsewhere();
    DO(lock(second, F_SETLK, F_WRLCK, 0, 30)); /* the same process */
    elsewhere();
    DO(lock(fd, F_SETLK, F_UNLCK, 5, 20));
    elsewhere();
    DO(lock(second, F_OFD_SETLK, F_WRLCK, 0, 1));
    DO(lock(second, F_OFD_SETLK, F_WRLCK, 8, 1));
    elsewhere();
    DO(lock(fd, F_SETLK, F_WRLCK, 8, 1));
    show_lock(fd, F_OFD_GETLK, 0, 0);
    close(second); /* all that the process has on the file go, and of the open file */
    elsewhere();
    second = open("f", O_RDWR);
    DO(flock(fd, LOCK_SH));
    DO(flock(second, LOCK_SH | LOCK_NB));
    DO(flock(second, LOCK_EX | LOCK_NB));
    elsewhere();
    DO(flock(fd, LOCK_UN));
    DO(flock(second, LOCK_EX | LOCK_NB));
    elsewhere();
    close(second);
    elsewhere();
    DO(lock(writes, F_SETLK, F_RDLCK, 0, 1));
    DO(lock(fd, F_SETLK, F_WRLCK, -1, 1));
    DO(lock(fd, F_SETLK, F_WRLCK, 10, -5));
    DO(lock(fd, F_SETLK, F_WRLCK, 10, -11));
    DO(lock(fd, F_SETLK, F_WRLCK, INT64_MAX, 2));
    DO(lock(fd, F_SETLK, 77, 0, 1));
    DO(flock(fd, 77));
    DO(fcntl(fd, F_OFD_SETLK, &(struct flock){.l_type = F_WRLCK, .l_pid = 1}));
    elsewhere();
    close(writes);
    close(fd);
    end();
}

/* ---- Times ------------------------------------------------------------------------------------ */

static void marks(void)
{
    char buf[16];
    int fd, folder;

    begin("marks");
    (void)(mkdir("d", 0755) + symlink("nowhere", "soft"));
    fd = again("d/f", O_RDWR);
    watch("d/f", "d", ".");
    DO(write(fd, "hello", 5));
    DO(pread(fd, buf, 5, 0));
    DO(pwrite(fd, "x", 0, 0));
    DO(ftruncate(fd, 5));
    DO(ftruncate(fd, 4));
    DO(opened("d/f", O_WRONLY, 0));
    DO(opened("d/f", O_WRONLY | O_TRUNC, 0));
    DO(opened("d/f", O_WRONLY | O_TRUNC, 0));
    DO(opened("d/f", O_WRONLY | O_CREAT, 0644));
    DO(opened("d/f", O_WRONLY | O_CREAT | O_EXCL, 0644));
    DO(setxattr("d/f", "user.a", "b", 1, 0));
    DO(setxattr("d", "user.a", "b", 1, 0));
    DO(removexattr("d/f", "user.a"));
    DO(removexattr("d/f", "user.a"));
    DO(fallocate(fd, 0, 0, 9000));
    DO(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096));
    DO(fsync(fd));
    DO(link("d/f", "d/g"));
    DO(link("d/f", "d/g"));
    DO(unlink("d/g"));
    DO(unlink("d/g"));
    DO(rename("d/f", "d/g"));
    DO(rename("d/g", "d/f"));
    DO(rename("d/missing", "d/g"));
    DO(mkdir("d/sub", 0755));
    DO(mkdir("d/sub", 0755));
    DO(rmdir("d/sub"));
    DO(symlink("x", "d/s"));
    DO(readlink("d/s", buf, 8));
    DO(readlink("d/f", buf, 8));
    DO(readlink("d", buf, 8));
    DO(readlink("d/s", buf, 0));
    number("cut", readlink("soft", buf, 3));
    DO(unlink("d/s"));
    DO(mkfifo("d/p", 0644));
    DO(unlink("d/p"));
    DO(mknod("d/n", S_IFCHR | 0644, makedev(1, 3)));
    DO(unlink("d/n"));
    DO(unnamed_in("d", O_RDWR, 0644, NULL));
    DO(unnamed_in("d", O_RDWR, 0644, "d/u"));
    DO(chmod("d/f", 0600));
    DO(chmod("d", 0700));
    DO(access("d/f", R_OK));
    folder = open("d", O_RDONLY);
    DO(fsync(folder));
    DO(fchmod(folder, 0755));
    DO(futimens(folder, NULL));
    close(folder);
    (void)pwrite(fd, bytes, 8192, 0);
    DO(copy_file_range(fd, &(off_t){0}, fd, &(off_t){4096}, 4096, 0));
    end();
}

/* ---- What stays the same ----------------------------------------------------------------------- */

static void drop_caches(void)
{
    int fd = open("/proc/sys/vm/drop_caches", O_WRONLY);

    sync();
    (void)!write(fd, "3", 1);
    close(fd);
}

static void same(void)
{
    union {
        struct file_handle h;
        char room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
    } handle = {.h.handle_bytes = MAX_HANDLE_SZ};
    struct stat a[KINDS], b;
    struct statvfs v;
    struct statx x, y;
    int mount, fd, dir;

    begin("same");
    for (unsigned i = 0; i < KINDS; i++) {
        (void)kinds[i].make(kinds[i].name);
        if (!squashed)
            (void)lchown(kinds[i].name, 65534, 65533);
        (void)lstat(kinds[i].name, &a[i]);
    }
    drop_caches();
    (void)mkdir("moved", 0755);
    for (unsigned i = 0; i < KINDS; i++) {
        char to[32];

        snprintf(to, sizeof(to), "moved/%s", kinds[i].name);
        (void)rename(kinds[i].name, to);
        (void)lstat(to, &b);
        printf("  %s: number %d device %d mode %o %u:%u\n", kinds[i].name, b.st_ino == a[i].st_ino, b.st_dev == a[i].st_dev,
               b.st_mode, b.st_uid, b.st_gid);
    }
    (void)statx(AT_FDCWD, "moved/file", 0, STATX_ALL, &x);
    fd = open("moved/file", O_RDWR);
    (void)(write(fd, bytes, 10000) + fsync(fd));
    (void)statx(AT_FDCWD, "moved/file", 0, STATX_ALL, &y);
    number("birth", x.stx_btime.tv_sec == y.stx_btime.tv_sec && x.stx_btime.tv_nsec == y.stx_btime.tv_nsec);
    number("blocks", (long long)y.stx_blocks);
    (void)statvfs(".", &v);
    printf("  names of %lu, room %d, files %d\n", v.f_namemax, v.f_bfree > 0 && v.f_bfree <= v.f_blocks,
           v.f_ffree > 0 && v.f_ffree <= v.f_files);
    DO(name_to_handle_at(AT_FDCWD, "moved/file", &handle.h, &mount, 0));
    drop_caches();
    dir = open(".", O_RDONLY);
    DO(close(open_by_handle_at(dir, &handle.h, O_RDWR)));
    close(fd);
    unlink("moved/file");
    drop_caches();
    DO(open_by_handle_at(dir, &handle.h, O_RDWR));
    close(dir);
    end();
}

int main(int argc, char **argv)
{
    if (argc < 2 || chdir(argv[1]) < 0)
        return 1;
    squashed = argc > 2;
    setvbuf(stdout, NULL, _IOFBF, 1 << 16);
    umask(0);
    ticks = open("ticks", O_CREAT | O_RDWR, 0666);
    if (!squashed) {
        exchanges();
        same();
    }
    unnamed();
    ranges();
    holes();
    copying();
    writing();
    folders();
    locking();
    marks();
    printf("fscalls: end\n");
    return 0;
}
