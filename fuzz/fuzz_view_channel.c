/* SPDX-License-Identifier: MIT */
/* A machine's process that says what it likes to a window: the input is messages, each behind a byte of its length.
 * What is accepted lies inside the memory. */
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz.h"
#include "require.h"
#include "view_channel.h"

#define MEMORY 65536u

static void check_update(const struct vz_channel_update *u)
{
    uint64_t end = u->offset + (uint64_t)u->stride * (u->height - 1) + 4 * (uint64_t)u->width;

    require(u->width && u->height && u->damage_count <= VZ_DAMAGE_MAX, "no picture");
    if (u->flags & VZ_CHANNEL_SHOWN)
        require(u->offset < MEMORY && end <= MEMORY, "a picture outside of the memory");
    for (uint32_t i = 0; i < u->damage_count; i++)
        require((uint64_t)u->damage[i].x + u->damage[i].width <= u->width &&
                    (uint64_t)u->damage[i].y + u->damage[i].height <= u->height, "damage outside of the picture");
}

/* An update, a cursor or a paste, of the input's bytes as far as they go, over one that makes sense. */
static size_t make_message(union view_message *m, const uint8_t *data, size_t len)
{
    memset(m, 0, sizeof(*m));
    if (len && data[0] & 1) {
        m->cursor = (struct vz_channel_cursor){.kind = VZ_CHANNEL_CURSOR, .width = 64, .height = 64};
        memcpy(&m->cursor.visible, data, len < 28 ? len : 28);
        return sizeof(m->cursor);
    }
    if (len && data[0] & 2) {
        m->paste = (struct vz_channel_paste){.kind = VZ_CHANNEL_PASTE, .type = VZ_CLIPBOARD_TEXT};
        memcpy(&m->paste.selection, data, len < 8 ? len : 8);
        return sizeof(m->paste);
    }
    m->update = (struct vz_channel_update){.kind = VZ_CHANNEL_UPDATE, .width = 64, .height = 64, .stride = 256};
    memcpy(&m->update.flags, data, len < 60 ? len : 60);
    return sizeof(m->update);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct view_channel c = {.hello.memory_size = MEMORY};
    union view_message sent, got;
    int pair[2], fd;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return 0;
    c.fd = pair[0];
    for (size_t at = 0; at < size;) {
        size_t len = data[at] % 64, left = size - at - 1, whole;

        len = len < left ? len : left;
        whole = make_message(&sent, data + at + 1, len);
        if (data[at] & 0x80)
            whole -= whole > 4 ? 4 : 0;
        require(send(pair[1], &sent, whole, 0) == (ssize_t)whole, "send");
        if (view_channel_receive(&c, &got, &fd) == VIEW_MESSAGE) {
            if (got.kind == VZ_CHANNEL_UPDATE)
                check_update(&got.update);
            else if (got.kind == VZ_CHANNEL_PASTE)
                require(got.paste.selection < 2 && got.paste.type && got.paste.type < 6, "a paste of what is not");
        }
        at += 1 + len;
    }
    close(pair[1]);
    view_channel_close(&c);
    return 0;
}
