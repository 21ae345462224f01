/* SPDX-License-Identifier: MIT */
/* A file being written, and one being read, from the inside. */
#ifndef VZ_SAVE_SAVE_IMPL_H
#define VZ_SAVE_SAVE_IMPL_H

#include <sys/types.h>

#include "save/save_reader.h"
#include "save/save_writer.h"

#define SAVE_PART_HEAD 8u /* kind, length */

struct save_writer {
    struct save_header header;
    struct save_key key;
    char *path, *folder;
    char *temporary; /* its name until it has the right one; NULL: it has none */
    int fd;
    bool compress, unsynced;
    uint64_t end;        /* of what is written, or promised to a worker: save_memory.c's lock has it */
    uint8_t *table;      /* with room for a tag behind it */
    size_t table_shared; /* bytes of it, mapped to be shared with child; 0: allocated */
    pid_t child;         /* which writes memory; 0: none does */
    uint8_t *parts;
    size_t parts_len;
};

struct save_reader {
    struct save_header header;
    struct save_key key;
    char *path;
    int fd;
    uint8_t *table; /* of header.ram_size's frames */
    uint8_t *parts;
    size_t parts_len;
    struct {
        const uint8_t *data;
        size_t len;
    } part[SAVE_PARTS_END];
};

/* 0 or -errno. */
int save_pwrite(int fd, const void *data, size_t len, uint64_t offset) must_check;
int save_pread(int fd, void *data, size_t len, uint64_t offset) must_check; /* -ENODATA: not so many */

/* save_memory.c, save_memory_read.c: 0; or -errno, or what progress gave. -EBADMSG: damaged. */
int save_memory_write(struct save_writer *w, struct mem *mem,
                      const struct save_progress *progress) must_check;
/* Of plain memory: it is written by a child process, from when this returns. -EOPNOTSUPP: it cannot be. */
int save_memory_fork(struct save_writer *w, struct mem *mem) must_check;
int save_memory_read(struct save_reader *r, struct mem *mem,
                     const struct save_progress *progress) must_check;

#endif
