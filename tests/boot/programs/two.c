/* SPDX-License-Identifier: MIT */
/* two NAME: in a folder that others change in the same way at the same time. 100 times: count up under a lock, make a
 * file that is made once, add a line to a log, put a file in another's place. Says how many files it made. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void count_up(void)
{
    char text[32] = "";
    int lock = open("lock", O_RDWR), fd;

    if (lock < 0 || flock(lock, LOCK_EX) < 0)
        fail("lock");
    fd = open("counter", O_RDWR);
    if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
        fail("counter");
    snprintf(text, sizeof(text), "%06d\n", atoi(text) + 1);
    if (pwrite(fd, text, 7, 0) != 7)
        fail("counter");
    close(fd);
    close(lock);
}

int main(int argc, char **argv)
{
    char name[64], line[64];
    int won = 0, fd;

    for (int i = 0; i < 100; i++) {
        count_up();
        snprintf(name, sizeof(name), "once-%d", i);
        fd = open(name, O_CREAT | O_EXCL | O_WRONLY, 0644);
        won += fd >= 0;
        close(fd);
        fd = open("log", O_CREAT | O_APPEND | O_WRONLY, 0644);
        snprintf(line, sizeof(line), "%s %d\n", argv[1], i);
        if (fd < 0 || write(fd, line, strlen(line)) != (ssize_t)strlen(line))
            fail("log");
        close(fd);
        snprintf(name, sizeof(name), "new-%s", argv[1]);
        fd = open(name, O_CREAT | O_WRONLY | O_TRUNC, 0644);
        if (fd < 0 || write(fd, line, strlen(line)) < 0 || close(fd) < 0 || rename(name, "shared") < 0)
            fail(name);
    }
    printf("== won %d\n", won);
    return 0;
}
