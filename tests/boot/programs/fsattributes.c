/* SPDX-License-Identifier: MIT */
/* What Linux says that calls do to extended attributes, lists of access, what folders hand on, and who may run what: lines as
 * posix.c has them, by root and by users. The guest's part of tests/boot/test_share_rules.py, before fscalls.c.
 *
 *     fsattributes DIR [squashed]    squashed: all files are one user's, so nothing is done that depends on whose they are */
#include "calls.h"

#include <sys/wait.h>
#include <sys/xattr.h>

static bool squashed;
static char bytes[1 << 17];

static void number(const char *what, long long value)
{
    printf("  %s: %lld\n", what, value);
}

static int again(const char *name, int flags)
{
    return open(name, flags | O_CREAT | O_NONBLOCK, 0644);
}

/* ---- Extended attributes ---------------------------------------------------------------------- */

static int put(const char *name, const char *attribute, size_t len, int flags)
{
    return lsetxattr(name, attribute, bytes, len, flags);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void list(const char *name)
{
    char names[4096], *each[64];
    ssize_t len = llistxattr(name, names, sizeof(names));
    unsigned count = 0;

    printf("  %s has %zd:", name, len);
    for (char *n = names; len > 0 && n < names + len && count < 64; n += strlen(n) + 1)
        each[count++] = n;
    qsort(each, count, sizeof(*each), by_text);
    for (unsigned i = 0; i < count; i++)
        printf(" %s", each[i]);
    printf("\n");
}

/* Beside what is neither a file nor a folder a share keeps nothing (docs/shares.md). */
static void attributes_of(const char *name, bool are_kept)
{
    static const char *const names[] = {"user.a", "trusted.a", "security.a", "system.a", "a", "", "user.", "user",
                                        "trusted.", "security.", "user.a.b.c d\xff"};
    char buf[64], long_attribute[300];

    for (unsigned i = 0; i < sizeof(names) / sizeof(*names); i++) {
        if (!are_kept && (i == 1 || i == 2))
            continue;
        printf("%s ", names[i]);
        DO(put(name, names[i], 10, 0));
        DO(lgetxattr(name, names[i], buf, sizeof(buf)));
        DO(lremovexattr(name, names[i]));
        DO(lgetxattr(name, names[i], buf, sizeof(buf)));
    }
    strcpy(long_attribute, "user.");
    memset(long_attribute + 5, 'n', 251);
    long_attribute[255] = '\0';
    DO(put(name, long_attribute, 1, 0));
    DO(lremovexattr(name, long_attribute));
    strcat(long_attribute, "n");
    DO(put(name, long_attribute, 1, 0));
    DO(lgetxattr(name, long_attribute, buf, 1));
    list(name);
}

static void attributes(void)
{
    static const size_t sizes[] = {0, 1, 100, 1000, 2000, 65537, 100000};
    char buf[2048];
    int fd;

    begin("attributes");
    for (unsigned i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)(i * 7);
    for (unsigned i = 0; i < KINDS; i++) {
        printf("-- %s\n", kinds[i].name);
        watch("f", ".", NULL);
        DO(kinds[i].make("f"));
        attributes_of("f", i != 1 && i < 5);
        if (!squashed) {
            without_times = true;
            DO(lchown("f", 65534, 65533));
            be(65534, 65533);
            attributes_of("f", i != 1 && i < 5);
            be(65533, 65534);
            attributes_of("f", i != 1 && i < 5);
            be(0, 0);
        }
        DO(discard("f"));
        without_times = false;
    }
    watch("f", ".", NULL);
    DO(file("f"));
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        printf("%zu ", sizes[i]);
        DO(put("f", "user.size", sizes[i], 0));
        number("get size", getxattr("f", "user.size", NULL, 0));
        number("get", getxattr("f", "user.size", buf, sizeof(buf)));
        DO(getxattr("f", "user.size", buf, 50));
    }
    number("equal", memcmp(buf, bytes, 2000));
    DO(put("f", "user.size", 4, XATTR_CREATE));
    DO(put("f", "user.size", 4, XATTR_REPLACE));
    DO(put("f", "user.other", 4, XATTR_REPLACE));
    DO(put("f", "user.other", 4, XATTR_CREATE));
    DO(put("f", "user.other", 4, XATTR_CREATE | XATTR_REPLACE));
    DO(put("f", "user.other", 4, 4));
    DO(listxattr("f", buf, 1));
    DO(listxattr("f", NULL, 0));
    list("f");
    DO(removexattr("f", "user.none"));
    fd = open("f", O_RDONLY);
    DO(fsetxattr(fd, "user.read-only", "x", 1, 0)); /* it is the file's mode that counts */
    DO(unlink("f"));
    DO(fsetxattr(fd, "user.gone", "x", 1, 0));
    DO(fgetxattr(fd, "user.gone", buf, 1));
    DO(fremovexattr(fd, "user.gone"));
    close(fd);
    fd = open("/", O_PATH);
    DO(fgetxattr(fd, "user.gone", buf, 1));
    close(fd);
    /* In a folder with a sticky bit its owner alone may. */
    (void)(mkdir("d", 0777) + chmod("d", 01777));
    be(65534, 65534);
    DO(put("d", "user.a", 1, 0));
    be(0, 0);
    /* Capabilities go with the first write, by whomever, and with a new owner. */
    for (unsigned i = 0; i < 4; i++) {
        static const unsigned char none[20] = {0, 0, 0, 2};

        watch("f", NULL, NULL);
        fd = again("f", O_RDWR);
        DO(setxattr("f", "security.capability", none, sizeof(none), 0));
        DO(getxattr("f", "security.capability", buf, sizeof(buf)));
        DO(i == 0 ? write(fd, "x", 1) : i == 1 ? ftruncate(fd, 9) : i == 2 && !squashed ? fchown(fd, 7, 7)
           : fallocate(fd, 0, 0, 8192));
        DO(getxattr("f", "security.capability", buf, sizeof(buf)));
        close(fd);
        DO(unlink("f"));
    }
    end();
}

/* ---- Lists of access -------------------------------------------------------------------------- */

#define ACCESS  "system.posix_acl_access"
#define DEFAULT "system.posix_acl_default"

enum { OWNER = 1, USER = 2, GROUP_OWNER = 4, GROUP = 8, MASK = 16, OTHERS = 32 };
struct acl {
    unsigned version;
    struct { unsigned short tag, perm; unsigned id; } e[8];
    unsigned count;
};

static struct acl *add(struct acl *a, unsigned tag, unsigned perm, unsigned id)
{
    a->version = 2;
    a->e[a->count].tag = (unsigned short)tag;
    a->e[a->count].perm = (unsigned short)perm;
    a->e[a->count++].id = id;
    return a;
}

static struct acl plain(unsigned mode)
{
    struct acl a = {0};

    add(add(add(&a, OWNER, mode >> 6 & 7, ~0u), GROUP_OWNER, mode >> 3 & 7, ~0u), OTHERS, mode & 7, ~0u);
    return a;
}

static struct acl full(unsigned owner, unsigned user, unsigned group, unsigned named, unsigned mask, unsigned others)
{
    struct acl a = {0};

    add(add(add(&a, OWNER, owner, ~0u), USER, user, 65534), GROUP_OWNER, group, ~0u);
    add(add(add(&a, GROUP, named, 65533), MASK, mask, ~0u), OTHERS, others, ~0u);
    return a;
}

static int set_list(const char *name, const char *which, const struct acl *a)
{
    return lsetxattr(name, which, a, 4 + 8 * a->count, 0);
}

static void show_list(const char *name, const char *which)
{
    struct acl a;
    ssize_t len = lgetxattr(name, which, &a, 4 + 8 * 8);

    printf("  %s %s:", name, which + sizeof("system.posix_acl"));
    for (ssize_t i = 0; i < (len - 4) / 8; i++)
        printf(" %u:%d=%u", a.e[i].tag, (int)a.e[i].id, a.e[i].perm);
    printf(" %s\n", len < 0 ? strerrorname_np(errno) : "");
}

static void show_lists(const char *name)
{
    show_list(name, ACCESS);
    show_list(name, DEFAULT);
    list(name);
}

/* Of each bit, to those that a list names and does not name. */
static void try_access(const char *name)
{
    static const unsigned who[][2] = {{1000, 1000}, {65534, 1001}, {1001, 65533}, {1001, 1002}, {1001, 1000}};

    watch(NULL, NULL, NULL);
    for (unsigned i = 0; i < 5; i++) {
        be(who[i][0], who[i][1]);
        DO(opened(name, O_RDONLY, 0));
        DO(opened(name, O_WRONLY, 0));
        DO(faccessat(AT_FDCWD, name, X_OK, AT_EACCESS));
    }
    be(0, 0);
}

static void lists(void)
{
    struct acl a;

    begin("lists");
    without_times = true;
    for (unsigned i = 0; i < KINDS; i++) {
        printf("-- %s\n", kinds[i].name);
        watch("f", ".", NULL);
        DO(kinds[i].make("f"));
        a = full(6, 7, 5, 3, 7, 1);
        DO(set_list("f", ACCESS, &a));
        show_lists("f");
        DO(set_list("f", DEFAULT, &a));
        show_lists("f");
        a = plain(0640);
        DO(set_list("f", ACCESS, &a));
        show_lists("f");
        DO(lremovexattr("f", DEFAULT));
        DO(lremovexattr("f", ACCESS));
        DO(discard("f"));
    }
    (void)(file("f") + chown("f", 1000, 1000));
    for (unsigned i = 0; i < 32; i++) {
        a = full(i & 7, 7 - (i & 7), i * 3 & 7, i * 5 & 7, i < 16 ? 7 : i * 7 & 7, i >> 2);
        watch("f", NULL, NULL);
        DO(set_list("f", ACCESS, &a));
        try_access("f");
    }
    watch("f", NULL, NULL);
    for (unsigned mode = 0; mode < 01000; mode += 0111)
        DO(chmod("f", mode));
    show_lists("f");
    be(1000, 1000);
    DO(set_list("f", ACCESS, &a));
    DO(chmod("f", 0600));
    show_lists("f");
    DO(chmod("f", 04755));
    be(1001, 1001);
    DO(set_list("f", ACCESS, &a));
    DO(lremovexattr("f", ACCESS));
    DO(set_list("f", DEFAULT, &a));
    be(0, 0);
    DO(chown("f", 1000, 800));
    DO(chmod("f", 02755));
    be(1000, 1000); /* not of that group */
    DO(set_list("f", ACCESS, &a));
    be(0, 0);
    a = plain(0644);
    DO(set_list("f", ACCESS, &a));
    show_lists("f");
    /* What is none. */
    a = full(7, 7, 7, 7, 7, 7);
    a.e[0].perm = 8;
    DO(set_list("f", ACCESS, &a));
    a.count = 3;
    DO(set_list("f", ACCESS, &a));
    a = plain(0644);
    a.version = 1;
    DO(set_list("f", ACCESS, &a));
    a.version = 2;
    a.e[0].tag = 64;
    DO(set_list("f", ACCESS, &a));
    DO(lsetxattr("f", ACCESS, "", 0, 0));
    DO(lsetxattr("f", ACCESS, &a, 5, 0));
    DO(lsetxattr("f", ACCESS, &(unsigned){2}, 4, 0));
    show_lists("f");
    end();
}

/* What is made in folders that hand lists on, with masks, by users, in folders with a set-group-ID bit. */
static void handed_on(void)
{
    const struct acl defaults[] = {plain(0750), full(7, 7, 5, 5, 7, 0), full(6, 2, 4, 1, 3, 5), full(0, 0, 0, 0, 0, 0)};

    begin("handed-on");
    without_times = true;
    (void)mkdir("d", 0777);
    for (unsigned n = 0; n < 8; n++) {
        watch("d/f", "d", NULL);
        DO(chown("d", 0, n & 1 ? 800 : 0));
        DO(chmod("d", n & 1 ? 02777 : 0777));
        DO(set_list("d", DEFAULT, &defaults[n / 2]));
        for (unsigned i = 0; i < KINDS * 4; i++) {
            printf("-- %s %u\n", kinds[i / 4].name, i % 4);
            umask(i & 1 ? 077 : 0);
            if (i & 2)
                be(65534, 65533);
            DO(kinds[i / 4].make("d/f"));
            be(0, 0);
            show_lists("d/f");
            DO(discard("d/f"));
        }
        umask(022);
        DO(opened("d/f", O_CREAT | O_WRONLY, 06777));
        show_lists("d/f");
        DO(link("d/f", "d/g"));
        show_lists("d/g");
        DO(rename("d/g", "out"));
        show_lists("out");
        DO(unlink("out"));
        DO(unlink("d/f"));
        DO(mkdir("d/f", 0777));
        DO(mkdir("d/f/e", 0777));
        show_lists("d/f/e");
        (void)(rmdir("d/f/e") + rmdir("d/f"));
    }
    DO(removexattr("d", DEFAULT));
    DO(file("d/f"));
    show_lists("d/f");
    show_lists("d");
    end();
}

/* ---- Groups of folders ------------------------------------------------------------------------ */

static void groups(void)
{
    static const mode_t modes[] = {0644, 02644, 02754, 06755, 01777, 07777};

    begin("groups");
    without_times = true;
    (void)mkdir("d", 0777);
    for (unsigned n = 0; n < 4; n++) {
        watch("d/f", "d", NULL);
        printf("-- %u\n", n);
        DO(chown("d", 0, n < 2 ? 65533 : 800));
        DO(chmod("d", n & 1 ? 02777 : 0777));
        for (unsigned who = 0; who < 2; who++) {
            be(who ? 65534 : 0, who ? 65533 : 0);
            for (unsigned i = 0; i < sizeof(modes) / sizeof(*modes); i++) {
                DO(opened("d/f", O_CREAT | O_WRONLY, modes[i]));
                DO(chmod("d/f", modes[i]));
                DO(discard("d/f"));
                DO(mkdir("d/f", modes[i]));
                DO(chmod("d/f", modes[i]));
                DO(discard("d/f"));
                DO(mknod("d/f", S_IFREG | modes[i], 0));
                DO(discard("d/f"));
                DO(mkfifo("d/f", modes[i]));
                DO(chmod("d/f", modes[i]));
                DO(discard("d/f"));
                DO(unnamed_in("d", O_RDWR, modes[i], "d/f"));
                DO(discard("d/f"));
            }
            DO(symlink("x", "d/f"));
            DO(discard("d/f"));
        }
        be(0, 0);
    }
    end();
}

/* ---- Programs --------------------------------------------------------------------------------- */

static void run(const char *program)
{
    fflush(stdout);
    if (fork() == 0) {
        if (setgid(65533) || setuid(65534))
            _exit(9);
        execl(program, program, "id", "-u", NULL);
        printf("  not run: %s\n", strerrorname_np(errno));
        fflush(stdout);
        _exit(1);
    }
    wait(NULL);
}

static void programs(void)
{
    static const mode_t modes[] = {0755, 04755, 0700, 0644, 0711, 04711, 0444};

    begin("programs");
    if (system("cp /bin/busybox busybox") != 0)
        exit(1);
    for (unsigned i = 0; i < sizeof(modes) / sizeof(*modes); i++) {
        printf("  %o\n", modes[i]);
        (void)chmod("busybox", modes[i]);
        run("./busybox");
    }
    end();
}

int main(int argc, char **argv)
{
    if (argc < 2 || chdir(argv[1]) < 0)
        return 1;
    squashed = argc > 2;
    umask(0);
    ticks = open("ticks", O_CREAT | O_RDWR, 0666);
    attributes();
    if (!squashed) {
        lists();
        handed_on();
        groups();
        programs();
    }
    return 0;
}
