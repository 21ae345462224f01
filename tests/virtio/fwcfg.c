/* SPDX-License-Identifier: MIT */
/* fwcfg NAME: what fw_cfg's file of that name holds, as firmware asks for it. Static, for guests. */
#include <stdio.h>
#include <string.h>
#include <sys/io.h>

enum { SELECT = 0x510, DATA = 0x511, DIRECTORY = 0x19, NAME_LEN = 56 };

static unsigned take(unsigned bytes)
{
    unsigned value = 0;

    while (bytes--)
        value = value << 8 | inb(DATA);
    return value;
}

int main(int argc, char **argv)
{
    unsigned count, len = 0, key = 0;

    if (argc != 2 || ioperm(SELECT, 2, 1) < 0) {
        perror("fwcfg");
        return 1;
    }
    outw(DIRECTORY, SELECT);
    for (count = take(4); count && !key; count--) {
        char name[NAME_LEN];
        unsigned its = take(4), item = take(2);

        take(2);
        for (unsigned i = 0; i < NAME_LEN; i++)
            name[i] = (char)inb(DATA);
        if (!strcmp(name, argv[1])) {
            key = item;
            len = its;
        }
    }
    if (!key)
        return 2;
    outw((unsigned short)key, SELECT);
    while (len--)
        putchar(inb(DATA));
    return 0;
}
