/* SPDX-License-Identifier: MIT */
/* Windows of guest memory that show parts of files: the DAX windows of file system devices.
 *
 * Room for them is made with the memory and placed once (mem_options.windows, mem_add_windows()); devices take parts
 * of it. For CPUs and for DMA it is memory as any other: it stays where it is, and can be read and written at any
 * time. A window is pieces, each of which shows a part of a file, or nothing: then it is zeros, and memory of this
 * process' own. What shows a file that is not to be written shows it privately, so what a guest writes there against
 * the rules never reaches the file. So a window takes at most its size of the host's memory.
 *
 * Anybody may cut a file short. What then lies behind its end would be SIGBUS for whoever touches it, on any thread,
 * and an error of KVM's: instead it becomes zeros, until the file has such a place again and mem_window_regain() is
 * called. So does a page that the host cannot read or find room for; then the file is marked as having lost something.
 * That takes a handler of SIGBUS, of the whole process, which comes with the first memory that has windows; faults
 * elsewhere go on to what was there before it.
 *
 * Threads: any, but no two calls for one window at a time, except of mem_windows_mend(). */
#ifndef VZ_MEM_MEM_WINDOW_H
#define VZ_MEM_MEM_WINDOW_H

#include "mem/mem.h"

#define MEM_WINDOW_PIECE ((uint64_t)2 * MIB)
#define MEM_WINDOWS_MAX  64u /* of a process */

/* Whoever shows it keeps it, and its descriptor open, for as long as a piece shows it. */
struct mem_window_file {
    int fd;
    _Atomic bool lost; /* something of it could not be read or written; the owner's to reset */
};

struct mem_window_piece {
    struct mem_window_file *file; /* NULL: it shows nothing */
    bool writable;
    uint64_t offset;              /* in the file */
    uint64_t seen;                /* how much of the piece the file had when it was shown */
    uint64_t fault_at;            /* the last one in what the file has, in the piece, */
    unsigned faults, bad;         /* so many in a row; and pages that are zeros since the host could not give them */
    uint64_t end;                 /* from here on, of the piece, it is zeros instead; MEM_WINDOW_PIECE: nowhere */
};

/* Constant but for mended and the pieces. */
struct mem_window {
    struct mem *mem;
    gpa_t gpa;
    uint8_t *host;
    uint64_t len;
    unsigned count;           /* of pieces */
    _Atomic unsigned mended;  /* of these, how many have an end that is nearer than theirs */
    struct mem_window_piece piece[];
};

/* Take len bytes, whole pieces. It outlives no mem. 0; -ENOSPC: there are not so many left; -ENOMEM. No CPU runs. */
int mem_window_create(struct mem *mem, uint64_t len, struct mem_window **ret) must_check;
/* Its place is not used again. NULL is fine. */
void mem_window_destroy(struct mem_window *w);

/* Have a piece show the file, from offset (whole pages) on. writable: what is written there is written to the file,
 * whose descriptor is open for that. 0; or -errno: it shows what it did, or nothing. */
int mem_window_show(struct mem_window *w, unsigned piece, struct mem_window_file *file, uint64_t offset,
                    bool writable) must_check;
/* Have it show nothing. 0; or -ENOMEM (this process has too many mappings), and nothing has changed. */
int mem_window_hide(struct mem_window *w, unsigned piece) must_check;
/* The same file by another descriptor, instead of the one before, which is closed. */
void mem_window_reopen(struct mem_window_file *file, int fd);

/* Files may have grown: what they have is shown again where it was zeros. Costs nothing where nothing was. */
void mem_window_regain(struct mem_window *w);
/* The file may have been written by others: CPUs that cache code of it forget that. */
void mem_window_written(struct mem_window *w, const struct mem_window_file *file);

/* A CPU in the host's kernel could not go on, for a page that is not there, nobody knows which: put zeros wherever
 * that is so. False: it was nothing of any window's. */
bool mem_windows_mend(void) must_check;

/* Somebody had a fault there. True: it can be tried again. Signal handlers. */
bool mem_window_mend_at(const void *address) must_check;

/* For mem.c: catch SIGBUS from now on. 0 or -errno. Make len bytes at host zeros of this process' own. 0 or -errno. */
int mem_windows_catch(void) must_check;
int mem_window_clear(uint8_t *host, uint64_t len) must_check;

#endif
