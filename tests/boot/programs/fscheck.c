/* SPDX-License-Identifier: MIT */
/* What a file system does: calls of every kind in DIR, a line each with its result, for comparison with
 * another file system's lines; then random reads, writes, truncations and mappings of a file against a model in
 * memory. The guest's part of tests/boot/test_shares.py.
 *
 *     fscheck DIR SEED */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

static void say(const char *what, long result)
{
    printf("%s: %s\n", what, result < 0 ? strerrorname_np(errno) : "ok");
}
#define TRY(call) say(#call, (long)(call))

static void stat_line(const char *name)
{
    struct stat st;

    if (lstat(name, &st) < 0) {
        printf("  %s: %s\n", name, strerrorname_np(errno));
        return;
    }
    printf("  %s: %o %u:%u links %u size %lld dev %u,%u\n", name, st.st_mode, st.st_uid, st.st_gid,
           S_ISDIR(st.st_mode) ? 0 : (unsigned)st.st_nlink, S_ISDIR(st.st_mode) ? 0 : (long long)st.st_size,
           major(st.st_rdev), minor(st.st_rdev));
}

static int make(const char *name, mode_t mode)
{
    int fd = open(name, O_CREAT | O_EXCL | O_WRONLY, mode);

    if (fd >= 0)
        close(fd);
    return fd < 0 ? -1 : 0;
}

/* Run fn as another user. */
static void as(unsigned uid, unsigned gid, void (*fn)(void))
{
    fflush(stdout);
    if (fork() == 0) {
        if (syscall(SYS_setgroups, 0, NULL) || setgid(gid) || setuid(uid))
            _exit(1);
        fn();
        fflush(stdout);
        _exit(0);
    }
    wait(NULL);
}

/* ---- Names ---------------------------------------------------------------------------------- */

static void names(void)
{
    char longest[300], too_long[300];

    memset(longest, 'n', 255);
    longest[255] = '\0';
    memset(too_long, 'n', 256);
    too_long[256] = '\0';
    TRY(make(longest, 0644));
    TRY(make(too_long, 0644));
    TRY(unlink(longest));
    TRY(make("odd \xff\x01\n name", 0644));
    TRY(unlink("odd \xff\x01\n name"));
    TRY(make("f", 0644));
    TRY(make("f", 0644));
    TRY(mkdir("f", 0755));
    TRY(open("f/x", O_RDONLY));
    TRY(mkdir("d", 0755));
    TRY(mkdir("d", 0755));
    TRY(make("d/x", 0600));
    TRY(rmdir("d"));
    TRY(unlink("d"));
    TRY(rmdir("f"));
    TRY(rename("f", "d"));
    TRY(rename("d", "f"));
    TRY(rename("d", "d/below"));
    TRY(rename("nothing", "x"));
    TRY(mkdir("e", 0700));
    TRY(rename("e", "d"));
    TRY(rename("d", "e"));
    TRY(rename("e", "d"));
    TRY(link("f", "hard"));
    TRY(link("f", "hard"));
    TRY(link("d", "hard2"));
    TRY(rename("f", "hard"));
    stat_line("f");
    TRY(symlink("loop", "loop"));
    TRY(open("loop", O_RDONLY));
    TRY(open("loop", O_RDONLY | O_NOFOLLOW));
    TRY(symlink("d/x", "soft"));
    TRY(symlink("d/x", "soft"));
    stat_line("soft");
    TRY(open("soft", O_CREAT | O_EXCL | O_RDWR, 0644));
    TRY(link("soft", "soft2"));
    stat_line("soft2");
    TRY(lchown("soft", 0, 0));
    TRY(renameat2(AT_FDCWD, "f", AT_FDCWD, "d", RENAME_NOREPLACE));
    TRY(renameat2(AT_FDCWD, "f", AT_FDCWD, "d", RENAME_EXCHANGE));
    stat_line("f");
    stat_line("d");
    TRY(renameat2(AT_FDCWD, "f", AT_FDCWD, "d", RENAME_EXCHANGE));
    TRY(unlink("d/x"));
    TRY(rmdir("d"));
    TRY(rmdir("."));
    TRY(unlink("f"));
    TRY(unlink("hard"));
    TRY(open("d/x", O_CREAT | O_WRONLY, 0644));
    TRY(mkdir("nothing/x", 0755));
    TRY(open("new-dir", O_CREAT | O_DIRECTORY | O_WRONLY, 0644));
}

/* ---- Owners and permissions ----------------------------------------------------------------- */

static void other_user(void)
{
    TRY(open("private", O_RDONLY));
    TRY(open("public", O_RDWR));
    TRY(open("public", O_RDONLY));
    TRY(make("mine", 0644));
    TRY(make("open-dir/mine", 0644));
    stat_line("open-dir/mine");
    TRY(chmod("open-dir/mine", 04755));
    stat_line("open-dir/mine");
    TRY(chmod("public", 0777));
    TRY(chown("open-dir/mine", 0, -1));
    TRY(chown("open-dir/mine", -1, 100));
    stat_line("open-dir/mine");
    TRY(unlink("open-dir/roots"));
    TRY(rename("open-dir/roots", "open-dir/x"));
    TRY(symlink("target", "open-dir/link"));
    stat_line("open-dir/link");
    TRY(mkfifo("open-dir/fifo", 0640));
    stat_line("open-dir/fifo");
    TRY(mknod("open-dir/null", S_IFCHR | 0666, makedev(1, 3)));
    TRY(make("group-dir/x", 0644));
    stat_line("group-dir/x");
    TRY(mkdir("group-dir/d", 0755));
    stat_line("group-dir/d");
    TRY(truncate("public", 0));
    TRY(utimensat(AT_FDCWD, "public", NULL, 0));
    TRY(access("private", R_OK));
    TRY(access("public", R_OK));
}

static void writes_to_set_id(void)
{
    int fd = open("set-id", O_WRONLY);

    TRY(write(fd, "x", 1));
    close(fd);
}

static void owners(void)
{
    int fd;

    umask(0);
    TRY(make("private", 0600));
    TRY(make("public", 0644));
    TRY(mkdir("open-dir", 01777));
    TRY(chmod("open-dir", 01777));
    TRY(mkdir("group-dir", 0777));
    TRY(chown("group-dir", 0, 50));
    TRY(chmod("group-dir", 02777));
    TRY(make("open-dir/roots", 0644));
    as(1000, 100, other_user);
    stat_line("open-dir");
    stat_line("group-dir");
    TRY(make("set-id", 0777));
    TRY(chmod("set-id", 06777));
    stat_line("set-id");
    as(1000, 100, writes_to_set_id);
    stat_line("set-id");
    TRY(chmod("set-id", 06777));
    fd = open("set-id", O_WRONLY);
    TRY(write(fd, "root", 4));
    close(fd);
    stat_line("set-id");
    TRY(chown("set-id", 7, 8));
    stat_line("set-id");
    TRY(chmod("set-id", 0));
    TRY(open("set-id", O_RDWR)); /* root may */
    stat_line("set-id");
    TRY(mknod("null", S_IFCHR | 0622, makedev(1, 3)));
    stat_line("null");
    fd = open("null", O_RDWR);
    TRY(write(fd, "gone", 4));
    close(fd);
    TRY(mknod("block", S_IFBLK | 0600, makedev(259, 300)));
    stat_line("block");
    TRY(lchown("open-dir/link", 12, 13));
    stat_line("open-dir/link");
    TRY(symlink("its target", "real-link"));
    TRY(lchown("real-link", 12, 13));
    stat_line("real-link");
    TRY(readlink("real-link", (char[64]){0}, 64));
    TRY(lchown("real-link", 0, 0));
    stat_line("real-link");
    TRY(make("lower", 0644));
    TRY(renameat2(AT_FDCWD, "lower", AT_FDCWD, "upper", RENAME_WHITEOUT));
    stat_line("lower");
    stat_line("upper");
    umask(022);
    TRY(make("masked", 0666));
    TRY(mkdir("masked-dir", 0777));
    stat_line("masked");
    stat_line("masked-dir");
}

/* ---- Lists of access ------------------------------------------------------------------------- */

/* Of owner, user 1000, group, mask and others: as the kernel has it in an attribute. */
struct list {
    unsigned version;
    struct { unsigned short tag, perm; unsigned id; } e[5];
};
#define ACCESS  "system.posix_acl_access"
#define DEFAULT "system.posix_acl_default"

static struct list list_of(int owner, int named, int group, int mask, int other)
{
    return (struct list){2, {{1, (unsigned short)owner, ~0u}, {2, (unsigned short)named, 1000},
                             {4, (unsigned short)group, ~0u}, {16, (unsigned short)mask, ~0u},
                             {32, (unsigned short)other, ~0u}}};
}

static void show_list(const char *name, const char *which)
{
    unsigned char list[256];
    ssize_t len = getxattr(name, which, list, sizeof(list));

    printf("  %s %s: %s", name, which, len < 0 ? strerrorname_np(errno) : "");
    for (ssize_t i = 0; i < len; i++)
        printf("%02x", list[i]);
    printf("\n");
}

static void named_user(void)
{
    TRY(open("listed", O_RDWR));
    TRY(open("listed-dir/made", O_RDWR));
    TRY(setxattr("listed", ACCESS, &(struct list){2, {{0}}}, sizeof(struct list), 0));
    TRY(removexattr("listed", ACCESS));
}

static void lists(void)
{
    struct list l = list_of(6, 6, 4, 6, 0);

    umask(077);
    TRY(make("listed", 0666));
    stat_line("listed");
    TRY(setxattr("listed", ACCESS, &l, sizeof(l), 0));
    stat_line("listed");
    show_list("listed", ACCESS);
    as(1000, 100, named_user);
    TRY(chmod("listed", 0640));
    show_list("listed", ACCESS);
    as(1000, 100, named_user);
    TRY(setxattr("listed", DEFAULT, &l, sizeof(l), 0));
    TRY(mkdir("listed-dir", 0755));
    TRY(chmod("listed-dir", 02755));
    l = list_of(7, 7, 5, 7, 1);
    TRY(setxattr("listed-dir", DEFAULT, &l, sizeof(l), 0));
    TRY(make("listed-dir/made", 0664));
    stat_line("listed-dir/made");
    show_list("listed-dir/made", ACCESS);
    TRY(mkdir("listed-dir/below", 0777));
    stat_line("listed-dir/below");
    show_list("listed-dir/below", ACCESS);
    show_list("listed-dir/below", DEFAULT);
    TRY(mknod("listed-dir/fifo", S_IFIFO | 0644, 0));
    stat_line("listed-dir/fifo");
    as(1000, 100, named_user);
    TRY(removexattr("listed", ACCESS));
    TRY(removexattr("listed", ACCESS));
    show_list("listed", ACCESS);
    stat_line("listed");
    TRY(setxattr("listed", ACCESS, "nonsense", 8, 0));
    umask(022);
}

/* ---- Open files ----------------------------------------------------------------------------- */

static void sockets_and_fifos(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "socket"};
    int s = socket(AF_UNIX, SOCK_STREAM, 0), c = socket(AF_UNIX, SOCK_STREAM, 0), fd;
    char buf[8] = "";

    TRY(bind(s, (struct sockaddr *)&a, sizeof(a)));
    TRY(listen(s, 1));
    TRY(connect(c, (struct sockaddr *)&a, sizeof(a)));
    TRY(mkfifo("fifo", 0600));
    fd = open("fifo", O_RDWR);
    TRY(write(fd, "hello", 5));
    TRY(read(fd, buf, 5));
    printf("  %s\n", buf);
    close(fd);
}

static void locks(void)
{
    struct flock l = {.l_type = F_WRLCK, .l_start = 10, .l_len = 10};
    int fd = open("locked", O_CREAT | O_RDWR, 0644), status;

    TRY(fcntl(fd, F_SETLK, &l));
    fflush(stdout);
    if (fork() == 0) {
        int own = open("locked", O_RDWR);
        struct flock m = {.l_type = F_WRLCK, .l_start = 15, .l_len = 1};

        TRY(fcntl(own, F_GETLK, &m));
        printf("  type %d start %d len %d\n", m.l_type, (int)m.l_start, (int)m.l_len);
        m = (struct flock){.l_type = F_RDLCK, .l_start = 15, .l_len = 1};
        TRY(fcntl(own, F_SETLK, &m));
        m.l_start = 20;
        TRY(fcntl(own, F_SETLK, &m));
        TRY(flock(own, LOCK_EX | LOCK_NB));
        fflush(stdout);
        m.l_start = 15;
        if (fcntl(own, F_SETLKW, &m) < 0) /* until the parent lets go */
            _exit(1);
        _exit(0);
    }
    usleep(300000);
    l.l_type = F_UNLCK;
    TRY(fcntl(fd, F_SETLK, &l));
    wait(&status);
    printf("  the one who waited: %d\n", status);
    TRY(flock(fd, LOCK_EX | LOCK_NB));
    TRY(flock(open("locked", O_RDWR), LOCK_SH | LOCK_NB));
    close(fd);
}

static void open_files(void)
{
    int fd = open("data", O_CREAT | O_RDWR, 0644), dir, other;
    char buf[64] = "", *map;
    struct stat st;

    TRY(write(fd, "0123456789", 10));
    TRY(ftruncate(fd, 5));
    TRY(pwrite(fd, "z", 1, 100000));
    TRY(lseek(fd, 0, SEEK_HOLE));
    TRY(fallocate(fd, 0, 0, 200000));
    TRY(fallocate(fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, 0, 4096));
    TRY(pread(fd, buf, 5, 0));
    printf("  %d\n", buf[0]);
    TRY(fallocate(fd, FALLOC_FL_KEEP_SIZE, 300000, 4096));
    stat_line("data");
    other = open("data", O_WRONLY | O_APPEND);
    TRY(pwrite(other, "end", 3, 0));
    stat_line("data");
    TRY(read(other, buf, 1));
    close(other);
    TRY(truncate("data", 8192));
    map = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    strcpy(map + 4096, "mapped");
    TRY(msync(map, 8192, MS_SYNC));
    TRY(pread(fd, buf, 7, 4096));
    printf("  %s\n", buf);
    munmap(map, 8192);
    other = open("copy", O_CREAT | O_RDWR, 0644);
    printf("  copied %zd\n", copy_file_range(fd, NULL, other, NULL, 8192, 0) > 0 ? (ssize_t)1 : -1);
    close(other);
    TRY(unlink("data"));
    TRY(fstat(fd, &st));
    printf("  links %u size %lld\n", (unsigned)st.st_nlink, (long long)st.st_size);
    TRY(pread(fd, buf, 7, 4096));
    TRY(fchmod(fd, 0600));
    TRY(ftruncate(fd, 1));
    TRY(fsync(fd));
    close(fd);
    fd = open(".", O_TMPFILE | O_RDWR, 0644);
    say("O_TMPFILE", fd);
    TRY(write(fd, "unnamed", 7));
    snprintf(buf, sizeof(buf), "/proc/self/fd/%d", fd);
    TRY(linkat(AT_FDCWD, buf, AT_FDCWD, "named", AT_SYMLINK_FOLLOW));
    close(fd);
    stat_line("named");
    TRY(mkdir("gone", 0755));
    dir = open("gone", O_RDONLY | O_DIRECTORY);
    TRY(rmdir("gone"));
    TRY(openat(dir, "x", O_CREAT | O_WRONLY, 0644));
    TRY(fstat(dir, &st));
    TRY(open("copy", O_RDONLY | O_DIRECTORY));
    TRY(open(".", O_WRONLY));
    TRY(truncate(".", 0));
    TRY(truncate("copy", -1));
    TRY(open("copy", O_RDWR | O_TRUNC));
    stat_line("copy");
    TRY(open("copy", O_RDONLY | O_DIRECT) < 0 && errno != EINVAL ? -1 : 0);
    TRY(utimensat(AT_FDCWD, "copy", (struct timespec[2]){{1000, 1}, {2000, 999999999}}, 0));
    stat("copy", &st);
    printf("  %lld.%09ld\n", (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
}

/* Files are made while the folder is read: each that was there is listed once. */
static void listing(void)
{
    unsigned count = 0;
    struct dirent *e;
    char name[32];
    DIR *d;

    mkdir("many", 0755);
    for (unsigned i = 0; i < 500; i++) {
        snprintf(name, sizeof(name), "many/file-%04u", i);
        make(name, 0644);
    }
    d = opendir("many");
    while ((e = readdir(d)))
        count += e->d_name[0] == 'f';
    printf("  %u files\n", count);
    rewinddir(d);
    count = 0;
    while ((e = readdir(d))) {
        snprintf(name, sizeof(name), "many/%.20s", e->d_name);
        count += e->d_name[0] == 'f' && unlink(name) == 0;
    }
    printf("  %u removed while reading\n", count);
    closedir(d);
    TRY(rmdir("many"));
}

/* ---- Random --------------------------------------------------------------------------------- */

#define SIZE_MAX_ 300000u

static int random_file(unsigned seed)
{
    static unsigned char model[SIZE_MAX_], buf[SIZE_MAX_];
    int fd = open("random", O_CREAT | O_RDWR | O_TRUNC, 0644);
    size_t size = 0;

    srand(seed);
    for (unsigned i = 0; i < 3000; i++) {
        size_t at = (size_t)rand() % SIZE_MAX_, len = (size_t)rand() % 20000;
        ssize_t n;

        if (at + len > SIZE_MAX_)
            len = SIZE_MAX_ - at;
        switch (rand() % 8) {
        case 0:
            if (ftruncate(fd, (off_t)at) < 0)
                return 1;
            if (at > size)
                memset(model + size, 0, at - size);
            size = at;
            break;
        case 1: /* through a mapping */
            if (!size || at >= size || !len)
                break;
            len = at + len > size ? size - at : len;
            {
                char *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

                if (map == MAP_FAILED)
                    return 2;
                memset(map + at, (int)i, len);
                munmap(map, size);
            }
            memset(model + at, (int)i, len);
            break;
        case 2:
            if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)at, (off_t)len + 1) == 0 && at < size)
                memset(model + at, 0, (at + len + 1 > size ? size : at + len + 1) - at);
            break;
        case 3: case 4: case 5:
            memset(buf, (int)(i * 7), len);
            if (pwrite(fd, buf, len, (off_t)at) != (ssize_t)len)
                return 3;
            if (len && at > size)
                memset(model + size, 0, at - size);
            memcpy(model + at, buf, len);
            size = len && at + len > size ? at + len : size;
            break;
        case 6: /* closed, and opened again */
            close(fd);
            fd = open("random", O_RDWR);
            break;
        default:
            n = pread(fd, buf, len, (off_t)at);
            if (n != (ssize_t)(at >= size ? 0 : at + len > size ? size - at : len) || memcmp(buf, model + at, (size_t)n)) {
                printf("random: step %u: %zd bytes at %zu of %zu differ\n", i, n, at, size);
                return 4;
            }
        }
    }
    close(fd);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc < 3 || chdir(argv[1]) < 0)
        return 1;
    names();
    owners();
    lists();
    sockets_and_fifos();
    locks();
    open_files();
    listing();
    printf("random: %d\n", random_file((unsigned)atoi(argv[2])));
    return 0;
}
