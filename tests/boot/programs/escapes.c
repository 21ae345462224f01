/* SPDX-License-Identifier: MIT */
/* A hostile guest's root on a share, who tries to get out of it until there is a file called stop: by links of each
 * kind, "..", handles of files that are made up, devices, mounts, and names that the host moves about meanwhile.
 * Whatever can be opened is read, and written to. The guest's part of tests/boot/test_share_escapes.py.
 *
 *     escapes DIR */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

static unsigned long tries, opened, secrets;

/* Read it, and leave a mark. */
static void use(int fd)
{
    char buf[64] = "";

    tries++;
    if (fd < 0)
        return;
    opened++;
    if (pread(fd, buf, sizeof(buf) - 1, 0) > 0 && strstr(buf, "secret"))
        secrets++;
    (void)!pwrite(fd, "guest", 5, 0);
    close(fd);
}

static void use_name(int dir, const char *name)
{
    use(openat(dir, name, O_RDWR | O_NONBLOCK));
    use(openat(dir, name, O_RDONLY | O_NONBLOCK));
    use(openat(dir, name, O_RDWR | O_CREAT | O_NONBLOCK, 0666));
}

/* What the host swaps: a folder, a link out of the share. */
static void by_names_that_change(void)
{
    static const char *const names[] = {"swap/secret", "swap/new", "swap/../outside/secret", "moved/../secret",
                                        "moved/../../outside/secret", "moved/deep/../../secret", "swap/deep/secret"};
    int dir = open("swap", O_RDONLY | O_DIRECTORY), deep = open("moved/deep", O_RDONLY | O_DIRECTORY);

    for (unsigned i = 0; i < sizeof(names) / sizeof(*names); i++)
        use_name(AT_FDCWD, names[i]);
    (void)!mkdir("swap/made", 0777);
    (void)!rename("swap/made", "swap/renamed");
    (void)!rename("plain", "swap/plain");
    (void)!rename("swap/plain", "plain");
    (void)!link("plain", "swap/hard");
    (void)!unlink("swap/hard");
    (void)!rmdir("swap/renamed");
    (void)!unlink("swap/new");
    (void)!symlink("x", "swap/soft");
    (void)!unlink("swap/soft");
    if (dir >= 0) {
        use_name(dir, "secret");
        use_name(dir, "../outside/secret");
        close(dir);
    }
    if (deep >= 0) { /* wherever it is now */
        use_name(deep, "../../secret");
        use_name(deep, "../../outside/secret");
        use_name(deep, "../../../outside/secret");
        close(deep);
    }
}

static void by_links(unsigned n)
{
    static const char *const targets[] = {"../outside/secret", "../../outside/secret", "/proc/self/root/outside/secret",
                                          "/proc/1/root/../outside/secret", "/proc/self/fd/3", "swap/secret",
                                          "/dev/../outside",
                                          "hosts-link", "../../../../../../../etc/shadow"};
    char name[32];

    for (unsigned i = 0; i < sizeof(targets) / sizeof(*targets); i++) {
        snprintf(name, sizeof(name), "link-%u", n % 7);
        unlink(name);
        (void)!symlink(targets[i], name);
        use(open(name, O_RDWR));
        (void)!truncate(name, 3);
        (void)!chmod(name, 0777);
        (void)!setxattr(name, "user.x", "guest", 5, 0);
        (void)!rename(name, "link-x");
        (void)!lchown("link-x", 0, 5); /* a stand-in, in the other's place */
        use(open("link-x", O_RDWR));
        (void)!unlink("link-x");
    }
    use_name(AT_FDCWD, "hosts-link");
    use_name(AT_FDCWD, "hosts-link-to-folder/secret");
    use(open("hosts-link", O_RDWR | O_TRUNC));
    (void)!link("ro/kept", "hard");
    (void)!link("/proc/self/fd/3", "hard");
    (void)!linkat(AT_FDCWD, "hosts-link", AT_FDCWD, "hard", AT_SYMLINK_FOLLOW);
    (void)!rename("../outside/secret", "stolen");
    (void)!rename("plain", "../outside/plain");
}

/* Numbers of files that the guest was never told. */
static void by_handles(unsigned n)
{
    union {
        struct file_handle h;
        char room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
    } u = {.h.handle_bytes = MAX_HANDLE_SZ};
    int mount, here = open(".", O_RDONLY | O_DIRECTORY);

    if (name_to_handle_at(AT_FDCWD, "plain", &u.h, &mount, 0) == 0) {
        for (unsigned i = 0; i < 64; i++) {
            u.h.f_handle[i & 1] = (unsigned char)(n * 64 + i);
            if (i & 2)
                u.h.f_handle[4 + (i & 7)] = (unsigned char)(n + i);
            use(open_by_handle_at(here, &u.h, O_RDWR | O_NONBLOCK));
        }
    }
    close(here);
}

static void by_devices(unsigned n)
{
    static const unsigned devices[][2] = {{1, 1}, {1, 2}, {7, 0}, {8, 0}, {252, 0}, {253, 0}, {254, 0}, {259, 0}};

    for (unsigned i = 0; i < sizeof(devices) / sizeof(*devices); i++) {
        unlink("node");
        (void)!mknod("node", ((i + n) & 1 ? S_IFBLK : S_IFCHR) | 06666, makedev(devices[i][0], devices[i][1]));
        use(open("node", O_RDWR | O_NONBLOCK));
    }
    (void)!mkdir("set-id", 07777);
    (void)!chown("plain", 0, 0);
    (void)!chmod("plain", 07777);
    (void)!setxattr("plain", "security.capability", "\1\0\0\2\377\377\377\377\377\377\377\377\0\0\0\0\0\0\0\0", 20, 0);
    (void)!setxattr("plain", "trusted.overlay.opaque", "y", 1, 0);
    (void)!setxattr("plain", "user.containers.override_stat", "0:0:4755:block-8-0", 18, 0);
    (void)!mount("swap", "set-id", NULL, MS_BIND, NULL);
    use_name(AT_FDCWD, "set-id/../../outside/secret");
    (void)!umount2("set-id", MNT_DETACH);
}

int main(int argc, char **argv)
{
    unsigned n = 0;

    if (argc < 2 || chdir(argv[1]) < 0)
        return 1;
    umask(0);
    use_name(AT_FDCWD, "plain");
    (void)!open("/", O_RDONLY | O_DIRECTORY); /* 3: in case a link of that name leads to one of the host's */
    for (; access("stop", F_OK) < 0; n++) {
        by_names_that_change();
        by_links(n);
        by_handles(n);
        by_devices(n);
        if (n == 1 || n == 40)
            close(open(n == 1 ? "ready" : "many", O_CREAT | O_WRONLY, 0666));
    }
    printf("rounds %s tries %s opened %s secrets %lu\n", n > 10 ? "many" : "few", tries > 1000 ? "many" : "few",
           opened > 100 ? "many" : "few", secrets);
    return 0;
}
