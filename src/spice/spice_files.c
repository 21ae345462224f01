/* SPDX-License-Identifier: MIT */
/* Files that the host sends: the guest is offered one by its name and size, and when it will have it, its content goes
 * piece by piece, each asked for when the one before is on its way. So what is kept of a file is one piece, however slowly
 * the guest reads. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/le.h"
#include "base/utf8.h"
#include "spice/spice_impl.h"

static struct spice_file *find(struct spice_agent *a, uint32_t id)
{
    for (unsigned i = 0; i < SPICE_FILES_MAX; i++) {
        if (a->file[i].state != SPICE_FILE_FREE && a->file[i].state != SPICE_FILE_ENDS && a->file[i].id == id)
            return &a->file[i];
    }
    return NULL;
}

static void release(struct spice_file *f)
{
    spice_blob_clear(&f->piece);
    f->state = SPICE_FILE_FREE;
}

/* The last word. */
static void end(struct spice_agent *a, struct spice_file *f, enum spice_file_news news)
{
    uint32_t id = f->id;

    release(f);
    a->ops->file(a->arg, id, news);
}

void spice_files_forget(struct spice_agent *a)
{
    for (unsigned i = 0; i < SPICE_FILES_MAX; i++) {
        if (a->file[i].state == SPICE_FILE_ENDS)
            release(&a->file[i]);
        else if (a->file[i].state != SPICE_FILE_FREE)
            end(a, &a->file[i], SPICE_FILE_GONE);
    }
}

/* ---- What the host wants -------------------------------------------------------------------- */

static bool is_name(const char *name)
{
    size_t len = strnlen(name, SPICE_FILE_NAME_MAX + 1), step;

    for (size_t i = 0; i < len; i += step) {
        step = utf8_len(name + i);
        if (!step || name[i] == '/')
            return false;
    }
    return len && len <= SPICE_FILE_NAME_MAX && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

int spice_agent_send_file(struct spice_agent *a, uint32_t id, const char *name, uint64_t size)
{
    if (!is_name(name))
        return -EINVAL;
    if (!a->known || !a->shares || spice_has(a, VD_AGENT_CAP_FILE_XFER_DISABLED))
        return -ENODEV;
    for (unsigned i = 0; i < SPICE_FILES_MAX; i++) {
        struct spice_file *f = &a->file[i];

        if (f->state != SPICE_FILE_FREE)
            continue;
        *f = (struct spice_file){.id = id, .state = SPICE_FILE_BEGINS, .size = size, .left = size};
        memcpy(f->name, name, strlen(name) + 1);
        a->ops->output(a->arg);
        return 0;
    }
    return -EBUSY;
}

void spice_agent_file_data(struct spice_agent *a, uint32_t id, void *data, size_t len)
{
    struct spice_file *f = find(a, id);

    if (!f || f->state != SPICE_FILE_READS || len > f->left || len > SPICE_FILE_PIECE_MAX || (!len && f->size)) {
        free(data);
        return;
    }
    f->piece = (struct state_blob){data, len};
    f->state = SPICE_FILE_HAS;
    a->ops->output(a->arg);
}

void spice_agent_cancel_file(struct spice_agent *a, uint32_t id)
{
    struct spice_file *f = find(a, id);

    if (!f)
        return;
    if (f->state == SPICE_FILE_BEGINS) { /* of which it knows nothing */
        release(f);
        return;
    }
    spice_blob_clear(&f->piece);
    f->state = SPICE_FILE_ENDS;
    a->ops->output(a->arg);
}

/* ---- What the guest says -------------------------------------------------------------------- */

static enum spice_file_news news_of(const struct spice_file *f, uint32_t result)
{
    switch (result) {
    case VD_AGENT_FILE_XFER_STATUS_SUCCESS: /* of what it has not got? */
        return f->state == SPICE_FILE_SENT ? SPICE_FILE_ARRIVED : SPICE_FILE_FAILED;
    case VD_AGENT_FILE_XFER_STATUS_CANCELLED: return SPICE_FILE_CANCELLED;
    case VD_AGENT_FILE_XFER_STATUS_NOT_ENOUGH_SPACE: return SPICE_FILE_NO_SPACE;
    case VD_AGENT_FILE_XFER_STATUS_SESSION_LOCKED: return SPICE_FILE_LOCKED;
    case VD_AGENT_FILE_XFER_STATUS_VDAGENT_NOT_CONNECTED: return SPICE_FILE_NO_SESSION;
    case VD_AGENT_FILE_XFER_STATUS_DISABLED: return SPICE_FILE_DISABLED;
    default: return SPICE_FILE_FAILED;
    }
}

void spice_file_status(struct spice_agent *a, uint32_t id, uint32_t result)
{
    struct spice_file *f = find(a, id);

    if (!f || f->state == SPICE_FILE_BEGINS)
        return;
    if (result != VD_AGENT_FILE_XFER_STATUS_CAN_SEND_DATA) {
        end(a, f, news_of(f, result));
    } else if (f->state == SPICE_FILE_OFFERED) {
        f->state = SPICE_FILE_READS;
        a->ops->file(a->arg, id, SPICE_FILE_GOES_ON);
    }
}

/* ---- Messages ------------------------------------------------------------------------------- */

/* As GLib writes a value of a key file. */
static size_t escape(char *to, const char *name)
{
    size_t n = 0;

    for (const char *p = name; *p; p++) {
        const char *special = "\n\t\r\\", *at = strchr(special, *p);

        if (at || (*p == ' ' && p == name)) {
            to[n++] = '\\';
            to[n++] = at ? "ntr\\"[at - special] : 's';
        } else {
            to[n++] = *p;
        }
    }
    to[n] = '\0';
    return n;
}

static void start(struct spice_agent *a, struct spice_file *f)
{
    char name[2 * SPICE_FILE_NAME_MAX + 1], text[2 * SPICE_FILE_NAME_MAX + 128];
    uint8_t *to;
    int len;

    escape(name, f->name);
    len = snprintf(text, sizeof(text), "[" VD_AGENT_FILE_XFER_GROUP "]\nname=%s\nsize=%" PRIu64 "\n", name, f->size);
    to = spice_begin(a, VD_AGENT_FILE_XFER_START, sizeof(struct vd_agent_file_xfer_start) + (size_t)len + 1);
    if (!to) {
        end(a, f, SPICE_FILE_FAILED);
        return;
    }
    store_le32(to, f->id);
    memcpy(to + 4, text, (size_t)len + 1);
    f->state = SPICE_FILE_OFFERED;
}

static void data(struct spice_agent *a, struct spice_file *f)
{
    const size_t head = sizeof(struct vd_agent_file_xfer_data);
    uint8_t *to = spice_begin(a, VD_AGENT_FILE_XFER_DATA, head + f->piece.len);

    if (!to) {
        end(a, f, SPICE_FILE_FAILED);
        return;
    }
    store_le32(to, f->id);
    store_le64(to + 4, f->piece.len);
    if (f->piece.len)
        memcpy(to + head, f->piece.data, f->piece.len);
    f->left -= f->piece.len;
    spice_blob_clear(&f->piece);
    f->state = f->left ? SPICE_FILE_READS : SPICE_FILE_SENT;
    if (f->left)
        a->ops->file(a->arg, f->id, SPICE_FILE_GOES_ON);
}

static void cancel(struct spice_agent *a, struct spice_file *f)
{
    uint8_t *to = spice_begin(a, VD_AGENT_FILE_XFER_STATUS, sizeof(struct vd_agent_file_xfer_status));

    if (to) {
        store_le32(to, f->id);
        store_le32(to + 4, VD_AGENT_FILE_XFER_STATUS_CANCELLED);
    }
    release(f);
}

bool spice_file_message(struct spice_agent *a)
{
    for (unsigned n = 0; n < SPICE_FILES_MAX; n++) {
        struct spice_file *f = &a->file[a->next_file];

        a->next_file = (a->next_file + 1) % SPICE_FILES_MAX;
        switch (f->state) {
        case SPICE_FILE_BEGINS: return start(a, f), true;
        case SPICE_FILE_HAS: return data(a, f), true;
        case SPICE_FILE_ENDS: return cancel(a, f), true;
        default: break;
        }
    }
    return false;
}
