/* SPDX-License-Identifier: MIT */
/* The user's key file, passphrases, and the cipher: see save_key.h. */
#include "save/save_key.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <pwd.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/le.h"
#include "save/save_format.h"

/* Half a second on a slow host. */
#define WORK       3u
#define MEMORY_KIB (64u * 1024)

#define KEY_FILE "state.key"

_Static_assert(SAVE_TAG == crypto_aead_chacha20poly1305_ietf_ABYTES, "what the cipher appends");
_Static_assert(sizeof(struct save_key) == crypto_aead_chacha20poly1305_ietf_KEYBYTES, "its key");

/* ---- The user's key ------------------------------------------------------------------------- */

static char listed_home[PATH_MAX]; /* where /etc/passwd says; "": nowhere */

static void look_home_up(void)
{
    const struct passwd *pw = getpwuid(geteuid());

    if (pw && strlen(pw->pw_dir) < sizeof(listed_home))
        strcpy(listed_home, pw->pw_dir);
}

/* Asked once, by save_key_prepare() where there is a sandbox: a thread in it may be another user's, reads no lists of them,
 * and has no sockets to ask who keeps those. */
static const char *home_by_list(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, look_home_up);
    return listed_home;
}

/* $XDG_DATA_HOME/vz, or ~/.local/share/vz. */
static int key_folder(char *ret, size_t len)
{
    const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    int n;

    if (data && data[0] == '/') {
        n = snprintf(ret, len, "%s/vz", data);
    } else {
        if (!home || home[0] != '/')
            home = home_by_list();
        if (home[0] != '/')
            return -ENOENT;
        n = snprintf(ret, len, "%s/.local/share/vz", home);
    }
    return n < 0 || (size_t)n >= len ? -ENAMETOOLONG : 0;
}

/* All folders of path. */
static int make_folders(char *path)
{
    for (char *p = path + 1;; p++) {
        char c = *p;

        if (c != '/' && c != '\0')
            continue;
        *p = '\0';
        if (mkdir(path, 0700) < 0 && errno != EEXIST) {
            *p = c;
            return -errno;
        }
        *p = c;
        if (!c)
            return 0;
    }
}

static int check_key_file(int fd, const char *path, struct vz_error *err)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode) || st.st_size != sizeof(struct save_key))
        return error_set(err, EINVAL, VZ_ERROR_IO,
                         "%s is not a key of saved states; without the right one, what it sealed cannot "
                         "be restored", path);
    if ((st.st_mode & 077) || (st.st_uid != geteuid() && st.st_uid != 0))
        return error_set(err, EACCES, VZ_ERROR_IO,
                         "%s, the key of saved states, must be this user's alone: chmod 600 (and chown) "
                         "it", path);
    return 0;
}

static int cannot(const char *what, const char *path, int r, struct vz_error *err)
{
    return error_set(err, -r, VZ_ERROR_IO,
                     "cannot %s %s, the key of saved states: %s; a state can be sealed with a passphrase "
                     "instead", what, path, strerror(-r));
}

/* 0; -ENOENT, without err: there is none. */
static int read_key_file(const char *path, struct save_key *ret, struct vz_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK), r;

    if (fd < 0)
        return errno == ENOENT ? -ENOENT : cannot("read", path, -errno, err);
    r = check_key_file(fd, path, err);
    if (!r && read(fd, ret->bytes, sizeof(ret->bytes)) != (ssize_t)sizeof(ret->bytes))
        r = cannot("read", path, -EIO, err);
    close(fd);
    return r;
}

/* Whole, or not at all: written beside it, and given its name unless somebody else was faster. */
static int write_key_file(const char *folder, const char *path)
{
    char temporary[PATH_MAX + 16];
    struct save_key key;
    int fd, r = 0;

    snprintf(temporary, sizeof(temporary), "%s/.key.XXXXXX", folder);
    fd = mkostemp(temporary, O_CLOEXEC); /* mode 0600 */
    if (fd < 0)
        return -errno;
    randombytes_buf(key.bytes, sizeof(key.bytes));
    if (write(fd, key.bytes, sizeof(key.bytes)) != (ssize_t)sizeof(key.bytes))
        r = errno ? -errno : -ENOSPC;
    else if (fsync(fd) < 0 || (linkat(AT_FDCWD, temporary, AT_FDCWD, path, 0) < 0 && errno != EEXIST))
        r = -errno;
    save_key_forget(&key);
    close(fd);
    unlink(temporary);
    return r;
}

static int user_key(bool make, struct save_key *ret, struct vz_error *err)
{
    char folder[PATH_MAX], path[PATH_MAX + sizeof(KEY_FILE) + 1];
    int r = key_folder(folder, sizeof(folder));

    if (r < 0)
        return error_set(err, -r, VZ_ERROR_IO,
                         "no folder for the key of saved states: neither XDG_DATA_HOME nor HOME is set");
    snprintf(path, sizeof(path), "%s/%s", folder, KEY_FILE);
    r = read_key_file(path, ret, err);
    if (r != -ENOENT || !make)
        return r;
    r = write_key_file(folder, path);
    if (r == -ENOENT) {
        r = make_folders(folder);
        if (!r)
            r = write_key_file(folder, path);
    }
    if (r < 0)
        return cannot("make", path, r, err);
    r = read_key_file(path, ret, err);
    return r == -ENOENT ? cannot("read", path, r, err) : r;
}

int save_key_prepare(char *path, size_t len)
{
    char folder[PATH_MAX];
    struct save_key key;
    int r = key_folder(folder, sizeof(folder));

    if (!r)
        r = user_key(true, &key, NULL);
    if (r < 0)
        return r;
    save_key_forget(&key);
    return snprintf(path, len, "%s/%s", folder, KEY_FILE) < (int)len ? 0 : -ENAMETOOLONG;
}

/* ---- A file's key --------------------------------------------------------------------------- */

void save_key_forget(struct save_key *key)
{
    sodium_memzero(key, sizeof(*key));
}

static void key_id(const struct save_key *user, uint8_t ret[16])
{
    crypto_generichash(ret, 16, (const uint8_t *)"vz key id", 9, user->bytes, sizeof(user->bytes));
}

static void of_user_key(const struct save_key *user, const uint8_t salt[16], struct save_key *ret)
{
    crypto_generichash(ret->bytes, sizeof(ret->bytes), salt, 16, user->bytes, sizeof(user->bytes));
}

static int of_passphrase(const struct save_key_info *info, const char *passphrase,
                         struct save_key *ret, struct vz_error *err)
{
    if (crypto_pwhash(ret->bytes, sizeof(ret->bytes), passphrase, strlen(passphrase), info->salt,
                      info->work, (size_t)info->memory_kib * 1024,
                      crypto_pwhash_ALG_ARGON2ID13) < 0)
        return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY,
                         "not the %u MiB of memory that a passphrase takes",
                         info->memory_kib / 1024);
    return 0;
}

static int start(struct vz_error *err)
{
    _Static_assert(crypto_pwhash_SALTBYTES == 16, "a salt");
    return sodium_init() < 0 ? error_set(err, EIO, VZ_ERROR_INTERNAL,
                                         "libsodium finds no random numbers on this host")
                             : 0;
}

int save_key_new(const char *passphrase, struct save_key_info *info, struct save_key *ret,
                 struct vz_error *err)
{
    struct save_key user;
    int r = start(err);

    if (r < 0)
        return r;
    *info = (struct save_key_info){.kind = passphrase ? SAVE_KEY_PASSPHRASE : SAVE_KEY_USER};
    randombytes_buf(info->salt, sizeof(info->salt));
    if (passphrase) {
        info->work = WORK;
        info->memory_kib = MEMORY_KIB;
        return of_passphrase(info, passphrase, ret, err);
    }
    r = user_key(true, &user, err);
    if (r < 0)
        return r;
    key_id(&user, info->id);
    of_user_key(&user, info->salt, ret);
    save_key_forget(&user);
    return 0;
}

static int not_ours(const char *path, struct vz_error *err)
{
    return error_set(err, EACCES, VZ_ERROR_RESTORE,
                     "permission denied: %s was sealed with another key, by another user or on another "
                     "host; restore it there, or save with a passphrase what is to be moved", path);
}

static int of_user(const struct save_key_info *info, const char *path, struct save_key *ret,
                   struct vz_error *err)
{
    struct save_key user;
    uint8_t id[16];
    int r = user_key(false, &user, err);

    if (r == -ENOENT)
        return not_ours(path, err);
    if (r < 0)
        return r;
    key_id(&user, id);
    r = memcmp(id, info->id, sizeof(id)) ? not_ours(path, err) : 0;
    if (!r)
        of_user_key(&user, info->salt, ret);
    save_key_forget(&user);
    return r;
}

int save_key_of(const struct save_key_info *info, const char *passphrase, const char *path,
                struct save_key *ret, struct vz_error *err)
{
    int r = start(err);

    if (r < 0)
        return r;
    if (info->kind == SAVE_KEY_USER)
        return of_user(info, path, ret, err);
    if (info->kind != SAVE_KEY_PASSPHRASE || !info->work || info->work > SAVE_WORK_MAX ||
        info->memory_kib < crypto_pwhash_MEMLIMIT_MIN / 1024 ||
        info->memory_kib > SAVE_MEMORY_KIB_MAX)
        return error_set(err, EINVAL, VZ_ERROR_RESTORE, "%s is damaged: sealed in no known way", path);
    if (!passphrase)
        return error_set(err, EACCES, VZ_ERROR_RESTORE,
                         "permission denied: %s is sealed with a passphrase, and none was given", path);
    return of_passphrase(info, passphrase, ret, err);
}

/* ---- The cipher ----------------------------------------------------------------------------- */

static void make_nonce(uint32_t kind, uint64_t number, uint8_t ret[12])
{
    store_le32(ret, kind);
    store_le64(ret + 4, number);
}

void save_seal(const struct save_key *key, uint32_t kind, uint64_t number, const void *plain,
               size_t len, uint8_t *ret)
{
    uint8_t nonce[12];

    make_nonce(kind, number, nonce);
    crypto_aead_chacha20poly1305_ietf_encrypt(ret, NULL, plain, len, NULL, 0, NULL, nonce,
                                              key->bytes);
}

bool save_open(const struct save_key *key, uint32_t kind, uint64_t number, const uint8_t *sealed,
               size_t len, void *plain)
{
    uint8_t nonce[12];

    make_nonce(kind, number, nonce);
    return crypto_aead_chacha20poly1305_ietf_decrypt(plain, NULL, NULL, sealed, len, NULL, 0, nonce,
                                                     key->bytes) == 0;
}
