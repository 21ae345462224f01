/* SPDX-License-Identifier: MIT */
/* Keys of saved states. Each file has one of its own, which comes from the user's key on this host, or
 * from a passphrase; and what it takes to find it again is in its header, as struct save_key_info. */
#ifndef VZ_SAVE_SAVE_KEY_H
#define VZ_SAVE_SAVE_KEY_H

#include "base/compiler.h"

struct vz_error;

enum save_key_kind { SAVE_KEY_USER = 1, SAVE_KEY_PASSPHRASE = 2 };

struct save_key {
    uint8_t bytes[32];
};

struct save_key_info {
    uint32_t kind;
    uint32_t work, memory_kib; /* PASSPHRASE: what Argon2id takes */
    uint8_t salt[16];
    uint8_t id[16];            /* USER: tells keys apart, and nothing of the key */
};

/* What a hostile file may make us do at most. */
#define SAVE_WORK_MAX       16u
#define SAVE_MEMORY_KIB_MAX (1024u * 1024)

/* Make the user's key where there is none, for who may not do so later. path: where it is. 0 or -errno. */
int save_key_prepare(char *path, size_t len) must_check;

/* A new file's key. passphrase NULL: of the user's key, which is made where there is none yet. 0 or
 * -errno with err. */
int save_key_new(const char *passphrase, struct save_key_info *info, struct save_key *ret,
                 struct vz_error *err) must_check;

/* The key of the file at path (for messages) that says info. Whether a passphrase is right shows when the
 * key is used. 0; -EACCES: it is sealed otherwise (another user's key, with a passphrase and none is
 * given); or -errno. */
int save_key_of(const struct save_key_info *info, const char *passphrase, const char *path,
                struct save_key *ret, struct vz_error *err) must_check;

void save_key_forget(struct save_key *key);

/* ret has len + SAVE_TAG bytes; opening: plain has len - SAVE_TAG, and may be the same memory. */
void save_seal(const struct save_key *key, uint32_t kind, uint64_t number, const void *plain,
               size_t len, uint8_t *ret);
bool save_open(const struct save_key *key, uint32_t kind, uint64_t number, const uint8_t *sealed,
               size_t len, void *plain) must_check;

#endif
