/* SPDX-License-Identifier: MIT */
/* What is large, deep, full or many on a share, a line for each result. The guest's part of
 * tests/boot/test_share_limits.py.
 *
 *     limits full|open|deep|sparse|born|many DIR [COUNT] */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define GIB  (1ll << 30)
#define DEEP 40u /* folders of NAME bytes each: more than PATH_MAX */
#define NAME 250u

static void say(const char *what, long long result)
{
    printf("%s: %s\n", what, result < 0 ? strerrorname_np(errno) : "ok");
}

/* ---- A disk that is full -------------------------------------------------------------------- */

static long long fill(const char *name)
{
    static char block[65536];
    int fd = open(name, O_CREAT | O_WRONLY, 0644), error = 0;
    long long size = 0;
    ssize_t n = 0;

    memset(block, 'f', sizeof(block));
    if (fd < 0)
        return -1;
    while (!error && size < GIB) {
        n = write(fd, block, sizeof(block));
        error = n < 0 ? errno : 0;
        size += n > 0 ? n : 0;
    }
    if (fsync(fd) < 0 && !error) /* where the guest's kernel writes later */
        error = errno;
    if (close(fd) < 0 && !error)
        error = errno;
    errno = error;
    return error ? -1 : size;
}

static void full(int files)
{
    char name[32];
    int fd, i = 0;

    say("write", fill("fills"));
    fd = open("fills", O_RDWR);
    say("fallocate", fallocate(fd, 0, 0, GIB));
    close(fd);
    say("remove", unlink("fills"));
    say("write again", (fd = open("fits", O_CREAT | O_WRONLY, 0644)) < 0 ? -1 : write(fd, "fits", 4));
    say("close", close(fd));
    for (; i < files; i++) {
        snprintf(name, sizeof(name), "f%d", i);
        if ((fd = open(name, O_CREAT | O_EXCL | O_WRONLY, 0644)) < 0)
            break;
        close(fd);
    }
    say("create", fd);
    say("mkdir", mkdir("d", 0755));
    say("mknod", mknod("n", S_IFCHR | 0600, 0x103));
    say("symlink", symlink("x", "l"));
    while (i-- > 0) {
        snprintf(name, sizeof(name), "f%d", i);
        unlink(name);
    }
    say("create again", open("again", O_CREAT | O_EXCL | O_WRONLY, 0644));
}

/* ---- Open files ------------------------------------------------------------------------------ */

static void open_many(unsigned count)
{
    int *fd = calloc(count, sizeof(*fd)), kept = 0;
    struct rlimit l = {count + 100, count + 100};
    struct stat st;
    char name[32];

    setrlimit(RLIMIT_NOFILE, &l);
    for (unsigned i = 0; i < count; i++) {
        snprintf(name, sizeof(name), "f%u", i % 2000);
        fd[i] = open(name, O_CREAT | O_RDWR, 0644);
        if (fd[i] < 0) {
            say("open", -1);
            break;
        }
        kept++;
    }
    printf("opened %s\n", kept > 100 && (unsigned)kept < count ? "some" : kept ? "all" : "none");
    say("stat", stat("f0", &st));
    say("write", write(fd[0], "x", 1));
    say("rename", rename("f0", "g0"));
    close(fd[--kept]);
    say("open one more", fd[kept] = open("g0", O_RDONLY));
    while (kept >= 0)
        close(fd[kept--]);
    say("open when closed", open("g0", O_RDONLY));
}

/* ---- Long ways ------------------------------------------------------------------------------- */

static void deep(void)
{
    char name[NAME + 1];
    int fd;

    memset(name, 'd', NAME);
    name[NAME] = '\0';
    for (unsigned i = 0; i < DEEP; i++) {
        if (mkdir(name, 0755) < 0 || chdir(name) < 0) {
            say("deep", -1);
            return;
        }
    }
    fd = open("file", O_CREAT | O_WRONLY, 0644);
    say("write", write(fd, "deep", 4));
    close(fd);
    say("rename", rename("file", "file2"));
    say("chown", chown("file2", 5, 6));
    say("mknod", mknod("null", S_IFCHR | 0666, 0x103));
    say("link", link("file2", "file3"));
    say("unlink", unlink("file3"));
    for (unsigned i = 0; i < DEEP; i++) {
        if (chdir("..") < 0)
            say("up", -1);
    }
    say("found", access(name, F_OK));
}

/* ---- Holes ----------------------------------------------------------------------------------- */

static void sparse(void)
{
    long long at[] = {0, 5 * GIB, 50 * GIB, 100 * GIB - 4096};
    int fd = open("sparse", O_CREAT | O_RDWR, 0644);
    struct stat st;
    char buf[8] = "", *map;

    say("truncate", ftruncate(fd, 100 * GIB));
    for (unsigned i = 1; i < 4; i++)
        say("write", pwrite(fd, "data", 4, at[i]));
    say("sync", fsync(fd));
    fstat(fd, &st);
    printf("size %lld blocks %s\n", (long long)st.st_size, st.st_blocks < 2048 ? "few" : "many");
    for (long long o = 0; (o = lseek(fd, o, SEEK_DATA)) >= 0;) {
        printf("data in GiB %lld", o / GIB);
        o = lseek(fd, o, SEEK_HOLE);
        printf(" of %s\n", o % GIB < 65536 || o == 100 * GIB ? "a block" : "more");
    }
    say("no more data", -1);
    say("hole behind the end", lseek(fd, 100 * GIB, SEEK_HOLE));
    say("read", pread(fd, buf, 8, 100 * GIB - 4096));
    printf("%s\n", buf);
    map = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 50 * GIB);
    printf("mapped %.4s\n", map);
    memcpy(map + 4096, "more", 4);
    say("msync", msync(map, 8192, MS_SYNC));
    say("punch", fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 5 * GIB, 65536));
    printf("first data in GiB %lld\n", (long long)lseek(fd, 0, SEEK_DATA) / GIB);
    close(fd);
}

/* ---- Times of birth, and all of a file system -------------------------------------------------- */

static void born(void)
{
    int here = open(".", O_RDONLY | O_DIRECTORY);
    struct statx x;

    say("statx", statx(AT_FDCWD, "born", 0, STATX_BTIME | STATX_BASIC_STATS, &x));
    printf("born %s %lld.%09u\n", x.stx_mask & STATX_BTIME ? "known" : "unknown", (long long)x.stx_btime.tv_sec,
           x.stx_btime.tv_nsec);
    say("syncfs", syncfs(here));
    close(here);
}

/* ---- Many files -------------------------------------------------------------------------------- */

static unsigned long found, bytes;

static int count_one(const char *name, const struct stat *st, int type, struct FTW *way)
{
    (void)name;
    (void)way;
    found += type == FTW_F;
    bytes += type == FTW_F ? (unsigned long)st->st_size : 0;
    return 0;
}

static void many(void)
{
    say("walk", nftw(".", count_one, 20, FTW_PHYS));
    printf("found %lu bytes %lu\n", found, bytes);
}

int main(int argc, char **argv)
{
    if (argc < 3 || chdir(argv[2]) < 0)
        return 1;
    switch (argv[1][0]) {
    case 'f': full(argc > 3 ? atoi(argv[3]) : 10000); break;
    case 'o': open_many(argc > 3 ? (unsigned)atoi(argv[3]) : 10000); break;
    case 'd': deep(); break;
    case 's': sparse(); break;
    case 'b': born(); break;
    default: many();
    }
    printf("limits: end\n");
    return 0;
}
