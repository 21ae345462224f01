/* SPDX-License-Identifier: MIT */
/* clipboard, get-clipboard, set-clipboard: the clipboard that is shared with the guest. Contents are files in memory, which
 * go with the request or the answer. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vz/clipboard.h>

#include "control/clipboard_words.h"
#include "control/control.h"
#include "control/send_fd.h"
#include "write_all.h"

#define GETS_MAX 8u /* under way at a time: each may have 32 MiB when nobody reads it yet */

/* ---- Parameters ------------------------------------------------------------------------------ */

struct what {
    struct vz_clipboard *clipboard;
    enum vz_selection selection;
    enum vz_clipboard_type type;
};

/* False: the call has failed. */
static bool take_what(struct control_call *call, json_t *params, struct what *ret)
{
    const char *selection = "clipboard", *type = "text";
    struct vz_error err;

    if (!call_param_string(call, params, "selection", &selection) || !call_param_string(call, params, "type", &type))
        return false;
    if (!clipboard_selection(selection, &ret->selection) || !clipboard_type(type, &ret->type)) {
        call_fail_text(call, VZ_ERROR_INVALID, "selection is clipboard or primary; type is " CLIPBOARD_TYPES);
        return false;
    }
    ret->clipboard = control_clipboard(call_control(call), &err);
    if (!ret->clipboard)
        call_fail(call, &err);
    return ret->clipboard;
}

/* ---- What there is --------------------------------------------------------------------------- */

static json_t *offer_json(const struct vz_clipboard_state *state, enum vz_selection s)
{
    json_t *types = json_array();

    for (unsigned type = VZ_CLIPBOARD_TEXT; type <= VZ_CLIPBOARD_JPEG; type++) {
        if (state->types[s] & VZ_CLIPBOARD_BIT(type))
            json_array_append_new(types, json_string(clipboard_type_name(type)));
    }
    return json_pack("{s:o, s:b}", "types", types, "guest", state->is_guest[s]);
}

void method_clipboard(struct control_call *call, json_t *params)
{
    struct vz_clipboard_state state = VZ_CLIPBOARD_STATE_INIT;
    struct vz_error err;
    struct vz_clipboard *c = control_clipboard(call_control(call), &err);

    if (!c || vz_clipboard_get_state(c, &state, &err) < 0)
        call_fail(call, &err);
    else
        call_reply(call, json_pack("{s:b, s:o, s:o}", "agent", state.agent, "clipboard",
                                   offer_json(&state, VZ_SELECTION_CLIPBOARD), "primary",
                                   offer_json(&state, VZ_SELECTION_PRIMARY)));
}

/* ---- Content --------------------------------------------------------------------------------- */

/* -1 and errno. */
static int file_of(const void *data, size_t len)
{
    int fd = memfd_create("vz-clipboard", MFD_CLOEXEC);

    if (fd >= 0 && !write_all(fd, data, len)) {
        close(fd);
        return -1;
    }
    if (fd >= 0)
        lseek(fd, 0, SEEK_SET); /* it is read from where it stands */
    return fd;
}

static void on_fetched(void *arg, const void *data, size_t len, const struct vz_error *err)
{
    struct control_call *call = arg;
    int fd = data ? file_of(data, len) : -1;

    --*control_clipboard_gets(call_control(call));
    if (!data)
        call_fail(call, err);
    else if (fd < 0)
        call_fail_text(call, VZ_ERROR_NO_MEMORY, "memory for what was copied: %s", strerror(errno));
    else
        call_reply_fd(call, json_pack("{s:I}", "size", (json_int_t)len), fd);
}

void method_get_clipboard(struct control_call *call, json_t *params)
{
    unsigned *gets = control_clipboard_gets(call_control(call));
    struct what w;

    if (!take_what(call, params, &w))
        return;
    if (*gets >= GETS_MAX) {
        call_fail_text(call, VZ_ERROR_LIMIT_EXCEEDED, "%u contents of the clipboard are being got already", *gets);
        return;
    }
    ++*gets;
    if (vz_clipboard_fetch(w.clipboard, w.selection, w.type, on_fetched, call) < 0) {
        --*gets;
        call_fail_text(call, VZ_ERROR_NO_MEMORY, "out of memory");
    }
}

/* Of a file in memory, since any other's file system may make us wait. NULL and err. */
static void *read_content(int fd, size_t *ret_len, struct vz_error *err)
{
    size_t done = 0;
    struct stat st;
    ssize_t n = 1;
    char *data;

    if (!fd_is_memory(fd) || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > (off_t)VZ_CLIPBOARD_MAX) {
        *err = (struct vz_error){VZ_ERROR_INVALID,
                                 "the request comes without a file in memory with the content, of up to 32 MiB"};
        return NULL;
    }
    *ret_len = (size_t)st.st_size;
    data = malloc(*ret_len + 1);
    while (data && done < *ret_len && n > 0) {
        n = pread(fd, data + done, *ret_len - done, (off_t)done);
        done += n > 0 ? (size_t)n : 0;
    }
    if (data && done == *ret_len)
        return data;
    *err = (struct vz_error){VZ_ERROR_IO, "the content cannot be read"};
    free(data);
    return NULL;
}

void method_set_clipboard(struct control_call *call, json_t *params)
{
    struct vz_clipboard_state state = VZ_CLIPBOARD_STATE_INIT;
    int fd = call_take_fd(call);
    struct vz_error err;
    void *data = NULL;
    struct what w;
    size_t len;

    if (take_what(call, params, &w)) {
        data = read_content(fd, &len, &err);
        if (!data || vz_clipboard_set(w.clipboard, w.selection, w.type, data, len, &err) < 0 ||
            vz_clipboard_get_state(w.clipboard, &state, &err) < 0)
            call_fail(call, &err);
        else
            call_reply(call, json_pack("{s:b}", "agent", state.agent));
    }
    free(data);
    close_received(fd);
}
