/* SPDX-License-Identifier: MIT */
/* maptodisk FILE DISK: write a mapped file to a disk around the cache, then read what is behind it there into the
 * mapping. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    int file = open(argc > 2 ? argv[1] : "", O_RDWR), disk = open(argc > 2 ? argv[2] : "", O_RDWR | O_DIRECT);
    struct stat st;
    char *p;

    if (file < 0 || disk < 0 || fstat(file, &st) < 0) {
        perror("open");
        return 1;
    }
    p = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (p == MAP_FAILED) {
        perror("mmap");
        return 1;
    }
    printf("written %zd\n", pwrite(disk, p, (size_t)st.st_size, 0));
    printf("read %zd\n", pread(disk, p, (size_t)st.st_size, st.st_size));
    return msync(p, (size_t)st.st_size, MS_SYNC) < 0;
}
