/* SPDX-License-Identifier: MIT */
/* What a guest gets from its input devices, on its console, as lines:
 *
 *   map N SCANCODE KEYCODE    device N (event N) has that key, as its driver says (EVIOCGKEYCODE_V2)
 *   device N NAME
 *   ready
 *   event N TYPE CODE VALUE   hexadecimal but for VALUE; SYN_REPORT is one, too
 *
 * It ends when it is killed. */
#include <errno.h>
#include <fcntl.h>
#include <linux/input.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define DEVICES 32

static void tell(int n, int fd)
{
    struct input_keymap_entry e = {.flags = INPUT_KEYMAP_BY_INDEX};
    char name[80] = "";
    unsigned scancode;

    ioctl(fd, EVIOCGNAME(sizeof(name)), name);
    printf("device %d %s\n", n, name);
    for (; !ioctl(fd, EVIOCGKEYCODE_V2, &e); e = (struct input_keymap_entry){.flags = INPUT_KEYMAP_BY_INDEX,
                                                                             .index = (unsigned short)(e.index + 1)}) {
        memcpy(&scancode, e.scancode, sizeof(scancode));
        printf("map %d %x %x\n", n, scancode, e.keycode);
    }
}

int main(void)
{
    struct pollfd p[DEVICES];
    int number[DEVICES], count = 0;

    for (int n = 0; n < DEVICES; n++) {
        char path[40];
        int fd;

        snprintf(path, sizeof(path), "/dev/input/event%d", n);
        fd = open(path, O_RDONLY | O_NONBLOCK);
        if (fd < 0)
            continue;
        number[count] = n;
        p[count++] = (struct pollfd){.fd = fd, .events = POLLIN};
        tell(n, fd);
    }
    printf("ready\n");
    fflush(stdout);
    while (poll(p, (nfds_t)count, -1) > 0) {
        for (int i = 0; i < count; i++) {
            struct input_event e;

            while (read(p[i].fd, &e, sizeof(e)) == sizeof(e))
                printf("event %d %x %x %d\n", number[i], e.type, e.code, e.value);
        }
        fflush(stdout);
    }
    return 0;
}
