/* SPDX-License-Identifier: MIT */
/* Files, folders and symbolic links as a stream of bytes: sent from one system, built again in
 * another (docs/agent.md has the records). Holes stay holes, files appear under their names when they
 * are whole and their sum is right. Everything here blocks. The agent and the library are compiled
 * with it, and the receiver trusts the sender in nothing: a name is one component and never followed
 * through a symbolic link, sizes are bounded, devices come only where they are allowed. */
#ifndef VZ_AGENT_AGENT_TREE_H
#define VZ_AGENT_AGENT_TREE_H

#include <sys/types.h>

#include "base/compiler.h"

#define TREE_RECORD_MAX (192u << 10) /* attributes of 64 KiB, and a file's bytes, fit */
#define TREE_DATA_MAX   (32u << 10)
#define TREE_DEPTH_MAX  128u         /* folders in folders; each is a descriptor */

enum tree_record {
    TREE_ENTRY = 'E', /* fields: something with a name; a folder is entered, a file goes on with... */
    TREE_DATA = 'D',  /* le64 where, bytes */
    TREE_SUM = 'S',   /* le64: the file ends, and this was in it */
    TREE_UP = 'U',    /* the folder ends */
    TREE_END = 'Z',   /* all of it ends */
    TREE_FAILED = 'X', /* fields: the sender could not go on */
};

enum tree_field {
    TREE_F_NAME = 1,   /* one component; "." (only as the first entry): what is in the folder */
    TREE_F_MODE = 2,   /* with the type, as in struct stat */
    TREE_F_UID = 3,
    TREE_F_GID = 4,
    TREE_F_MTIME = 5,  /* seconds, as a signed number */
    TREE_F_MTIME_NS = 6,
    TREE_F_SIZE = 7,
    TREE_F_TARGET = 8, /* of a symbolic link */
    TREE_F_DEVICE = 9, /* major << 32 | minor */
    TREE_F_XATTR = 10, /* name, NUL, value; repeated */
    TREE_F_ERROR = 11,
    TREE_F_TEXT = 12,
    TREE_F_SKIPPED = 13, /* with TREE_END: of how many things */
};

/* Where the stream goes. */
struct tree_io {
    ssize_t (*read)(void *arg, void *to, size_t len);     /* as read(2), but -errno */
    int (*write)(void *arg, const void *data, size_t len); /* all of it, or -errno */
    /* May be NULL. Now and then, with bytes of files so far; false: stop, with -ECANCELED. */
    bool (*progress)(void *arg, uint64_t bytes);
    void *arg;
};

struct tree_options {
    bool owners;   /* owners, set-id bits and the attributes that only root gives */
    bool devices;  /* receive: device nodes and FIFOs too, which else are passed over */
    bool contents; /* send: what is in the folder, not the folder */
    bool follow;   /* send: if path is a symbolic link, what it leads to */
    bool into;     /* receive: path must be a folder, unless one comes that takes this name */
};

/* How it went; for people with text. */
struct tree_result {
    uint64_t bytes, entries, skipped;
    bool theirs;    /* received: it was the sender that failed, and says so */
    char text[512]; /* when it failed: "PATH: why" */
};

/* 0 or -errno with ret->text. path is the sender's own choice, and is followed. */
int tree_send(const char *path, const struct tree_options *o, const struct tree_io *io,
              struct tree_result *ret) must_check;
/* The same. path is the receiver's own choice: an existing folder (it comes into it), a name in one,
 * or a file or device that is written to. After -errno what was whole stays. */
int tree_receive(const char *path, const struct tree_options *o, const struct tree_io *io,
                 struct tree_result *ret) must_check;

/* A sum over pieces of a file and where they lie (FNV-1a, 64 bits): finds what was lost, not what was
 * forged. Starts as TREE_SUM_START. */
#define TREE_SUM_START UINT64_C(0xcbf29ce484222325)
uint64_t tree_sum(uint64_t sum, uint64_t at, const void *data, size_t len);

/* Does an attribute go along: "user." always, others with owners? */
bool tree_takes_xattr(const char *name, bool owners);

/* io for descriptors that block: arg points to int[2], one read from and one written to. */
ssize_t tree_fd_read(void *arg, void *to, size_t len);
int tree_fd_write(void *arg, const void *data, size_t len);

#endif
