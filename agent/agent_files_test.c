/* SPDX-License-Identifier: MIT */
/* Files by the agent, both ways; requests about the system; and what is no protocol, from either end. */
#include <vz/agent.h>

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "agent/agent_tree.h"
#include "agent/agent_wire.h"
#include "agent_rig.h"

static struct rig rig;
static struct vz_agent *agent;
static struct vz_error err;
static struct vz_agent_copy_result result;

static void set_up(void)
{
    rig_start(&rig);
    agent = rig_connect(&rig);
    result = (struct vz_agent_copy_result)VZ_AGENT_COPY_RESULT_INIT;
    ck_assert_int_eq(chdir(rig.folder), 0);
}

static void tear_down(void)
{
    vz_agent_free(agent);
    ck_assert_int_eq(chdir("/"), 0);
    rig_end(&rig);
}

static void shell(const char *script)
{
    ck_assert_msg(system(script) == 0, "%s", script);
}

static const char *in_folder(const char *name)
{
    static char path[4][256];
    static unsigned turn;
    char *p = path[turn++ % 4];

    snprintf(p, 256, "%s/%s", rig.folder, name);
    return p;
}

static void copy(bool in, const char *from, const char *to)
{
    int r = in ? vz_agent_copy_in(agent, in_folder(from), in_folder(to), NULL, &result, &err)
               : vz_agent_copy_out(agent, in_folder(from), in_folder(to), NULL, &result, &err);

    ck_assert_msg(r == 0, "%s", err.text);
}

static void refused(bool in, const char *from, const char *to, enum vz_error_code code, const char *text)
{
    int r = in ? vz_agent_copy_in(agent, in_folder(from), in_folder(to), NULL, NULL, &err)
               : vz_agent_copy_out(agent, in_folder(from), in_folder(to), NULL, NULL, &err);

    ck_assert_int_eq(r, -1);
    ck_assert_msg(err.code == code && strstr(err.text, text), "%d: %s", err.code, err.text);
}

#define TREE                                                                                       \
    "mkdir -p tree/sub/deep tree/empty && echo hello >tree/file && chmod 640 tree/file && "        \
    "touch -d @1000000000.5 tree/file && ln -s ../outside tree/link && "                           \
    "head -c 3000000 /dev/urandom >tree/sub/big && : >tree/sub/deep/nothing && "                   \
    "chmod 700 tree/sub && touch -d @1200000000 tree/sub tree/empty && "                           \
    "truncate -s 50M tree/hole && printf x | dd of=tree/hole bs=1 seek=30000000 conv=notrunc 2>/dev/null"
#define SAME(a, b) "[ \"$(cd " a "; find . -printf '%p %y %m %s %Ts %l\\n' | sort)\" = "           \
                   "\"$(cd " b "; find . -printf '%p %y %m %s %Ts %l\\n' | sort)\" ] && "          \
                   "diff -r --no-dereference " a " " b

START_TEST(trees_go_in_and_come_out_as_they_were)
{
    struct stat st;

    shell(TREE);
    copy(true, "tree", "guest");
    shell(SAME("tree", "guest"));
    ck_assert_uint_eq(result.entries, 9);
    copy(false, "guest", "back");
    shell(SAME("tree", "back"));
    ck_assert_int_eq(stat("back/hole", &st), 0);
    ck_assert_int_eq(st.st_size, 50 << 20);
    ck_assert_uint_lt((uint64_t)st.st_blocks * 512, 2 << 20);
    ck_assert_uint_lt(result.bytes, 5 << 20);
    shell("[ -z \"$(find . -name '.vz-*')\" ]");
}
END_TEST

START_TEST(where_it_goes_is_as_people_expect)
{
    for (int in = 0; in < 2; in++) {
        shell("rm -rf a b c d dir l; echo a >a; mkdir -p d/x dir; echo x >d/x/y");
        copy(in, "a", "b"); /* a new name */
        shell("cmp a b");
        copy(in, "a", "dir"); /* into a folder */
        shell("cmp a dir/a");
        copy(in, "a", "dir/");
        copy(in, "d", "dir"); /* a folder into one */
        shell("cmp d/x/y dir/d/x/y");
        copy(in, "d", "c"); /* as a new one */
        shell("cmp d/x/y c/x/y && [ ! -e c/d ]");
        copy(in, "d/.", "dir"); /* what is in it */
        shell("cmp d/x/y dir/x/y");
        copy(in, "d/.", "new");
        shell("cmp d/x/y new/x/y; rm -r new");
        shell("ln -s a l; echo old >old");
        copy(in, "l", "b"); /* a link is one */
        shell("[ \"$(readlink b)\" = a ]");
        copy(in, "a", "old");
        shell("cmp a old");
        /* A link that is there leads where its owner said, and stays. */
        shell("rm -f b; ln -s old lnk; echo new >a");
        copy(in, "a", "lnk");
        shell("cmp a old && [ -L lnk ]");
        refused(in, "a", "no/such/folder/x", in ? VZ_ERROR_GUEST : VZ_ERROR_IO, "No such file");
        refused(in, "a", "nofolder/", in ? VZ_ERROR_GUEST : VZ_ERROR_IO, "No such file");
        refused(in, "d", "old", in ? VZ_ERROR_GUEST : VZ_ERROR_IO, "Not a directory");
        refused(in, "nothing", "x", in ? VZ_ERROR_IO : VZ_ERROR_GUEST, "nothing: No such file");
        shell("rm -rf lnk l old dir; [ -z \"$(find . -name '.vz-*')\" ]");
    }
}
END_TEST

START_TEST(links_inside_are_never_followed)
{
    shell("mkdir -p tree/sub victim dst/tree; echo evil >tree/sub/file; ln -s ../../victim dst/tree/sub");
    refused(true, "tree", "dst", VZ_ERROR_GUEST, "dst/tree/sub: ");
    shell("[ ! -e victim/file ]");
    refused(false, "tree", "dst", VZ_ERROR_IO, "dst/tree/sub: ");
    shell("[ ! -e victim/file ]");
    /* A file in place of a link replaces it. */
    shell("rm -rf dst; mkdir dst; echo keep >precious; ln -s ../precious dst/sub; rm -r tree; echo new >sub");
    copy(true, "sub", "dst");
    shell("[ $(cat precious) = keep ] && [ $(cat dst/sub) = new ]");
}
END_TEST

START_TEST(owners_and_set_id_bits_only_in_archives)
{
    struct vz_agent_copy_options o = VZ_AGENT_COPY_OPTIONS_INIT;

    if (geteuid())
        return;
    shell("echo x >f; chown 1234:5678 f; chmod 6755 f; setfattr -n user.a -v b f 2>/dev/null || :");
    copy(true, "f", "plain");
    shell("[ \"$(stat -c %u:%g:%a plain)\" = 0:0:755 ]");
    o.archive = true;
    ck_assert_int_eq(vz_agent_copy_in(agent, in_folder("f"), in_folder("full"), &o, NULL, &err), 0);
    shell("[ \"$(stat -c %u:%g:%a full)\" = 1234:5678:6755 ]");
    ck_assert_int_eq(vz_agent_copy_out(agent, in_folder("full"), in_folder("back"), &o, NULL, &err), 0);
    shell("[ \"$(stat -c %u:%g:%a back)\" = 1234:5678:6755 ]");
    o.archive = false;
    o.user = "nobody";
    shell("chmod 700 full; chmod 711 .");
    ck_assert_int_eq(vz_agent_copy_out(agent, in_folder("full"), in_folder("back2"), &o, NULL, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "Permission denied"));
}
END_TEST

START_TEST(attributes_come_along)
{
    char value[16] = "";
    int fd;

    shell("echo x >f");
    fd = open("f", O_RDWR);
    if (fsetxattr(fd, "user.color", "blue", 4, 0) < 0) {
        close(fd);
        return; /* no such file system */
    }
    close(fd);
    copy(true, "f", "g");
    copy(false, "g", "h");
    ck_assert_int_eq(getxattr("h", "user.color", value, sizeof(value)), 4);
    ck_assert_str_eq(value, "blue");
}
END_TEST

START_TEST(what_is_no_file_is_passed_over_or_written_to)
{
    shell("mkdir t; mkfifo t/fifo; echo x >t/f");
    copy(false, "t", "out");
    ck_assert_uint_eq(result.skipped, 1);
    shell("[ ! -e out/fifo ] && cmp t/f out/f");
    if (!geteuid()) {
        copy(true, "t", "in");
        shell("[ -p in/fifo ]");
    }
    copy(true, "t/f", "../../dev/null");
    shell("[ -c /dev/null ]");
}
END_TEST

static bool stop_after(void *arg, uint64_t bytes)
{
    return bytes < 1000000;
}

START_TEST(a_copy_can_be_stopped_and_leaves_no_half)
{
    struct vz_agent_copy_options o = VZ_AGENT_COPY_OPTIONS_INIT;

    shell("head -c 20000000 /dev/zero >big");
    o.progress = stop_after;
    ck_assert_int_eq(vz_agent_copy_in(agent, in_folder("big"), in_folder("in"), &o, NULL, &err), -1);
    ck_assert_int_eq(err.code, VZ_ERROR_CANCELLED);
    ck_assert_int_eq(vz_agent_copy_out(agent, in_folder("big"), in_folder("out"), &o, NULL, &err), -1);
    ck_assert_int_eq(err.code, VZ_ERROR_CANCELLED);
    for (int i = 0; i < 100 && system("[ -z \"$(find . -name '.vz-*')\" ]"); i++)
        usleep(50000);
    shell("[ ! -e in ] && [ ! -e out ] && [ -z \"$(find . -name '.vz-*')\" ]");
    ck_assert_int_eq(vz_agent_ping(agent, &err), 0);
}
END_TEST

START_TEST(a_full_disk_is_named)
{
    if (geteuid() || system("mkdir small && mount -t tmpfs -o size=1M none small 2>/dev/null"))
        return;
    shell("head -c 5000000 /dev/zero >big");
    refused(true, "big", "small", VZ_ERROR_GUEST, "small/big: No space left");
    refused(false, "big", "small", VZ_ERROR_IO, "small/big: No space left");
    shell("[ -z \"$(ls -A small)\" ]; s=$?; umount small; exit $s");
}
END_TEST

/* ---- The system ----------------------------------------------------------------------------- */

static void count_fact(void *arg, enum vz_agent_fact kind, const char *text)
{
    ck_assert(*text);
    ++*(unsigned *)arg;
}

START_TEST(the_guest_tells_about_itself)
{
    struct vz_agent_status s = VZ_AGENT_STATUS_INIT;
    unsigned facts = 0;
    char name[65];

    gethostname(name, sizeof(name));
    ck_assert_msg(vz_agent_status(agent, &s, count_fact, &facts, &err) == 0, "%s", err.text);
    ck_assert_str_eq(s.hostname, name);
    ck_assert_uint_gt(s.memory, s.available);
    ck_assert_uint_gt(s.uptime_ms, 0);
    ck_assert_str_ne(s.kernel, "");
    ck_assert(vz_agent_has(agent, "exec") && !vz_agent_has(agent, "fly"));
    ck_assert_str_eq(vz_agent_version(agent), VZ_VERSION);
    ck_assert_int_eq(vz_agent_ping(agent, &err), 0);
    ck_assert_int_eq(vz_agent_sync(agent, &err), 0);
}
END_TEST

START_TEST(a_new_identity_changes_what_is_there)
{
    struct vz_agent_identity_options o = VZ_AGENT_IDENTITY_OPTIONS_INIT;

    shell("mkdir -p etc/ssh etc/vz-agent/identity.d var/lib/dbus && echo 0123 >etc/machine-id && "
          "echo old >etc/hostname && printf '127.0.1.1 old.lan old older\\n' >etc/hosts && "
          "echo key >etc/ssh/ssh_host_ed25519_key && "
          "printf '#!/bin/sh\\ntouch \"${0%%/*}/../ran\"\\n' >etc/vz-agent/identity.d/10 && "
          "chmod +x etc/vz-agent/identity.d/10 && cp etc/machine-id var/lib/dbus");
    o.hostname = "new-1";
    if (system("command -v ssh-keygen >/dev/null"))
        o.host_keys = false;
    ck_assert_msg(vz_agent_new_identity(agent, &o, &err) == 0, "%s", err.text);
    shell("[ $(cat etc/hostname) = new-1 ] && grep -qx '127.0.1.1 old.lan new-1 older' etc/hosts && "
          "grep -qxE '[0-9a-f]{12}4[0-9a-f]{19}' etc/machine-id && cmp etc/machine-id var/lib/dbus/machine-id && "
          "[ -e etc/vz-agent/ran ]");
    if (o.host_keys)
        shell("[ $(cat etc/ssh/ssh_host_ed25519_key | wc -l) -gt 5 ] && [ -e etc/ssh/ssh_host_ed25519_key.pub ] && "
              "[ ! -e etc/ssh/ssh_host_rsa_key ]");
    o.hostname = "not a name";
    ck_assert_int_eq(vz_agent_new_identity(agent, &o, &err), -1);
    ck_assert_int_eq(err.code, VZ_ERROR_GUEST);
}
END_TEST

START_TEST(bad_calls_are_refused)
{
    struct vz_agent_exec_options o = VZ_AGENT_EXEC_OPTIONS_INIT;

    ck_assert_int_eq(vz_agent_freeze(agent, 0, NULL, &err), -1);
    ck_assert_int_eq(err.code, VZ_ERROR_INVALID);
    ck_assert_int_eq(vz_agent_thaw(agent, &err), -1);
    ck_assert_int_eq(err.code, VZ_ERROR_INVALID_STATE);
    ck_assert_ptr_null(vz_agent_exec(agent, &o, &err));
    ck_assert_int_eq(err.code, VZ_ERROR_INVALID);
    ck_assert_int_eq(vz_agent_ping(NULL, &err), -1);
    ck_assert_int_eq(vz_agent_copy_in(agent, NULL, "x", NULL, NULL, &err), -1);
    vz_agent_free(NULL);
    vz_agent_process_free(NULL);
}
END_TEST

/* ---- The other end is no friend ------------------------------------------------------------- */

static void put(int fd, uint8_t type, uint8_t stream, uint32_t channel, const void *data, size_t len)
{
    struct agent_bytes b = {NULL};

    ck_assert(agent_frame_append(&b, type, stream, channel, data, len));
    ck_assert_int_eq(write(fd, agent_bytes_front(&b), b.len), b.len);
    agent_bytes_fini(&b);
}

static void put_text_request(int fd, uint32_t channel, const char *name)
{
    struct agent_fields f = {.failed = false};

    agent_put_text(&f, AGENT_F_NAME, name);
    put(fd, *name == 'v' ? AGENT_HELLO : AGENT_REQUEST, 0, channel, agent_bytes_front(&f.b), f.b.len);
    agent_fields_fini(&f);
}

/* The next frame's type; its error in *ret_error; 0: the connection is over. */
static int next_frame(int fd, uint64_t *ret_error)
{
    static struct agent_bytes in;
    struct agent_frame f;
    int r;

    while ((r = agent_frame_next(&in, &f)) == 0) {
        uint8_t buffer[4096];
        ssize_t n = read(fd, buffer, sizeof(buffer));

        if (n <= 0)
            return 0;
        ck_assert(agent_bytes_append(&in, buffer, (size_t)n));
    }
    ck_assert_int_eq(r, 1);
    *ret_error = agent_get_number(f.data, f.len, AGENT_F_ERROR, 0);
    r = f.type;
    agent_frame_drop(&in, &f);
    return r;
}

START_TEST(requests_nobody_knows_are_answered)
{
    struct rig r;
    uint64_t e;

    rig_start(&r);
    put_text_request(r.fd, 0, "vz-agent");
    ck_assert_int_eq(next_frame(r.fd, &e), AGENT_HELLO);
    put_text_request(r.fd, 1, "fly");
    ck_assert_int_eq(next_frame(r.fd, &e), AGENT_END);
    ck_assert_uint_eq(e, ENOSYS);
    put(r.fd, 77, 0, 1, "x", 1); /* nor frames */
    put(r.fd, AGENT_DATA, 0, 9, "late", 4);
    put(r.fd, AGENT_REQUEST, 0, 2, "\x01\x00\x00\x00\xff\xff\xff\xff", 8);
    ck_assert_int_eq(next_frame(r.fd, &e), AGENT_END);
    put_text_request(r.fd, 3, "ping");
    ck_assert_int_eq(next_frame(r.fd, &e), AGENT_END);
    ck_assert_uint_eq(e, 0);
    put_text_request(r.fd, 0, "ping"); /* channel 0 is nobody's */
    ck_assert_int_eq(next_frame(r.fd, &e), 0);
    close(r.fd);
    rig_end(&r);
}
END_TEST

START_TEST(who_says_no_hello_or_too_much_is_left)
{
    static const uint8_t huge[12] = {0xff, 0xff, 0xff, 0x7f, AGENT_REQUEST};
    struct rig r;
    uint64_t e;

    rig_start(&r);
    ck_assert_int_eq(next_frame(r.fd, &e), AGENT_HELLO);
    put_text_request(r.fd, 1, "ping");
    ck_assert_int_eq(next_frame(r.fd, &e), 0);
    close(r.fd);
    rig_end(&r);
    rig_start(&r);
    ck_assert_int_eq(next_frame(r.fd, &e), AGENT_HELLO);
    ck_assert_int_eq(write(r.fd, huge, sizeof(huge)), sizeof(huge));
    ck_assert_int_eq(next_frame(r.fd, &e), 0);
    close(r.fd);
    rig_end(&r);
}
END_TEST

/* Plays a guest that says hello and then this. */
static struct vz_agent *hostile(int pair[2])
{
    struct vz_error e = {.text = ""};
    struct vz_agent *a;

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    put_text_request(pair[1], 0, "vz-agent");
    a = vz_agent_new(pair[0], NULL, &e);
    if (!a) { /* without a version it is none */
        struct agent_fields f = {.failed = false};

        close(pair[1]);
        ck_assert_int_eq(e.code, VZ_ERROR_NETWORK);
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
        agent_put_text(&f, AGENT_F_NAME, AGENT_NAME);
        agent_put_number(&f, AGENT_F_VERSION, 1);
        put(pair[1], AGENT_HELLO, 0, 0, agent_bytes_front(&f.b), f.b.len);
        agent_fields_fini(&f);
        a = vz_agent_new(pair[0], NULL, &e);
    }
    ck_assert_msg(a != NULL, "%s", e.text);
    return a;
}

static void expect_broken(struct vz_agent *a, int pair[2], const char *text)
{
    for (int i = 0; i < 100 && vz_agent_ping(a, &err) == 0; i++)
        usleep(10000);
    ck_assert_int_eq(err.code, VZ_ERROR_NETWORK);
    ck_assert_msg(strstr(err.text, text), "%s", err.text);
    vz_agent_free(a);
    close(pair[1]);
}

START_TEST(a_hostile_guest_ends_its_own_connection)
{
    static uint8_t much[AGENT_WINDOW + 1];
    const char *const argv[] = {"x", NULL};
    struct vz_agent_exec_options o = VZ_AGENT_EXEC_OPTIONS_INIT;
    struct vz_agent_exit e = VZ_AGENT_EXIT_INIT;
    struct vz_agent_process *p;
    struct vz_agent *a;
    int pair[2];

    a = hostile(pair);
    put(pair[1], AGENT_DATA, 1, 77, "x", 1);
    expect_broken(a, pair, "not open");
    a = hostile(pair);
    ck_assert_int_eq(write(pair[1], "\xff\xff\xff\xff........", 12), 12);
    expect_broken(a, pair, "no agent");
    a = hostile(pair);
    o.argv = argv;
    p = vz_agent_exec(a, &o, &err);
    ck_assert_ptr_nonnull(p);
    /* Nobody takes it away, since this is one frame: it is longer than the window. */
    put(pair[1], AGENT_DATA, 1, 1, much, sizeof(much));
    ck_assert_int_eq(vz_agent_process_wait(p, &e, &err), -1);
    ck_assert_int_eq(err.code, VZ_ERROR_NETWORK);
    vz_agent_process_free(p);
    expect_broken(a, pair, "more than it may");
}
END_TEST

START_TEST(texts_of_a_guest_have_no_control_characters)
{
    struct agent_fields f = {.failed = false};
    const char *const argv[] = {"x", NULL};
    struct vz_agent_exec_options o = VZ_AGENT_EXEC_OPTIONS_INIT;
    struct vz_agent_exit e = VZ_AGENT_EXIT_INIT;
    struct vz_agent_process *p;
    int pair[2];
    struct vz_agent *a = hostile(pair);

    o.argv = argv;
    p = vz_agent_exec(a, &o, &err);
    agent_put_number(&f, AGENT_F_ERROR, 5);
    agent_put_text(&f, AGENT_F_TEXT, "\x1b[2Jgone\n");
    put(pair[1], AGENT_END, 0, 1, agent_bytes_front(&f.b), f.b.len);
    agent_fields_fini(&f);
    ck_assert_int_eq(vz_agent_process_wait(p, &e, &err), -1);
    ck_assert_str_eq(err.text, "exec: ?[2Jgone?");
    vz_agent_process_free(p);
    vz_agent_free(a);
    close(pair[1]);
}
END_TEST

static uint8_t *stream;
static size_t stream_len, stream_at;

static ssize_t read_stream(void *arg, void *to, size_t len)
{
    len = stream_len - stream_at < len ? stream_len - stream_at : len;
    memcpy(to, stream + stream_at, len);
    stream_at += len;
    return (ssize_t)len;
}

static void add_entry(struct agent_bytes *b, const char *name, uint32_t mode, uint64_t size)
{
    struct agent_fields f = {.failed = false};
    uint8_t header[8] = {TREE_ENTRY};
    uint32_t len;

    agent_put_text(&f, TREE_F_NAME, name);
    agent_put_number(&f, TREE_F_MODE, mode);
    agent_put_number(&f, TREE_F_SIZE, size);
    agent_put_text(&f, TREE_F_TARGET, "/etc");
    len = (uint32_t)f.b.len;
    memcpy(header + 4, &len, 4);
    ck_assert(agent_bytes_append(b, header, 8) && agent_bytes_append(b, agent_bytes_front(&f.b), len));
    agent_fields_fini(&f);
}

static void expect_damaged(struct agent_bytes *b)
{
    const struct tree_io io = {.read = read_stream};
    const struct tree_options o = {.owners = false};
    struct tree_result t;

    stream = agent_bytes_front(b);
    stream_len = b->len;
    stream_at = 0;
    ck_assert_int_lt(tree_receive(in_folder("dst"), &o, &io, &t), 0);
    ck_assert_str_ne(t.text, "");
    agent_bytes_fini(b);
}

START_TEST(names_in_a_stream_stay_in_their_folder)
{
    static const char *const names[] = {"..", "../x", "/etc/x", "a/b", "", "."};
    struct agent_bytes b = {NULL};

    shell("mkdir dst");
    for (unsigned i = 0; i < 6; i++) {
        add_entry(&b, names[i], S_IFREG | 0644, 0);
        expect_damaged(&b);
        add_entry(&b, "sub", S_IFDIR | 0755, 0);
        add_entry(&b, names[i], S_IFDIR | 0755, 0);
        expect_damaged(&b);
    }
    /* A link, and then something under its name. */
    add_entry(&b, "top", S_IFDIR | 0755, 0);
    add_entry(&b, "evil", S_IFLNK | 0777, 0);
    add_entry(&b, "evil", S_IFDIR | 0755, 0);
    expect_damaged(&b);
    add_entry(&b, "short", S_IFREG | 0644, 100);
    expect_damaged(&b); /* it ends too early */
    shell("[ ! -e x ] && [ ! -e dst/short ] && [ -z \"$(find . -name '.vz-*')\" ]");
}
END_TEST

START_TEST(mounts_are_refused_that_cannot_be)
{
    ck_assert(vz_agent_has(agent, "mount"));
    ck_assert_int_eq(vz_agent_mount(agent, "no-such-tag", in_folder("at/some/depth"), &err), -1);
    ck_assert_int_eq(err.code, VZ_ERROR_GUEST);
    ck_assert_int_eq(access(in_folder("at/some/depth"), F_OK), 0);
    ck_assert_int_eq(vz_agent_mount(agent, "tag", "relative", &err), -1);
    ck_assert_int_eq(vz_agent_mount(agent, "", in_folder("x"), &err), -1);
    ck_assert_int_eq(vz_agent_ping(agent, &err), 0);
}
END_TEST

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    ck_assert_ptr_nonnull(f);
    fputs(text, f);
    fclose(f);
}

static void read_file(const char *path, char *ret, size_t room)
{
    FILE *f = fopen(path, "r");

    ck_assert_ptr_nonnull(f);
    ret[fread(ret, 1, room - 1, f)] = '\0';
    fclose(f);
}

START_TEST(who_watches_shares_is_asked_until_the_host_has_enough)
{
    struct vz_agent_exit e = VZ_AGENT_EXIT_INIT;
    struct vz_agent_process *p;
    int in[2], out[2], r;
    char byte;

    ck_assert(vz_agent_has(agent, "watch"));
    ck_assert_int_eq(pipe(in) + pipe(out), 0);
    p = vz_agent_watch_shares(agent, in[0], out[1], &err);
    ck_assert_msg(p != NULL, "%s", err.text);
    ck_assert_int_eq(write(in[1], "7\0name\0" "x\0..\0" "\0\0", 14), 14); /* folders that nobody has told of */
    close(in[1]);
    r = vz_agent_process_wait(p, &e, &err);
    if (geteuid() == 0)
        ck_assert_msg(r == 0 && e.reason == VZ_AGENT_EXITED && e.value == 0, "%s", err.text);
    else
        ck_assert_int_eq(r, -1); /* it takes root to see what others watch */
    vz_agent_process_free(p);
    close(in[0]);
    close(out[1]);
    ck_assert_int_eq(read(out[0], &byte, 1), 0); /* this computer has no share of ours */
    close(out[0]);
    ck_assert_int_eq(vz_agent_ping(agent, &err), 0);
}
END_TEST

START_TEST(foreign_programs_are_registered_with_the_kernel)
{
    static const char line[] = ":vz-x:M:0:\\x7f:\\xff:x-binfmt-P:POCF\n", whole[] = ":vz-x:M:0:\\x7f:\\xff:";
    char folder[256], expected[512], got[1024] = "";

    ck_assert(vz_agent_has(agent, "foreign"));
    snprintf(folder, sizeof(folder), "%s", in_folder("share"));
    shell("mkdir -p share proc/sys/fs/binfmt_misc run/systemd/system");
    ck_assert_int_eq(vz_agent_register_foreign_binaries(agent, folder, &err), -1); /* it is empty */
    ck_assert_int_eq(err.code, VZ_ERROR_GUEST);
    shell("echo 2 >share/version");
    write_file("share/registrations", line);
    ck_assert_int_eq(vz_agent_register_foreign_binaries(agent, folder, &err), -1); /* of a version to come */
    ck_assert_msg(strstr(err.text, "not a share of interpreters") != NULL, "%s", err.text);
    shell("echo 1 >share/version");
    ck_assert_int_eq(vz_agent_register_foreign_binaries(agent, folder, &err), -1); /* the kernel has no binfmt_misc */
    shell("touch proc/sys/fs/binfmt_misc/register");
    ck_assert_msg(!vz_agent_register_foreign_binaries(agent, folder, &err), "%s", err.text);
    snprintf(expected, sizeof(expected), "%s%s/x-binfmt-P:POCF\n", whole, folder);
    read_file("proc/sys/fs/binfmt_misc/register", got, sizeof(got));
    ck_assert_str_eq(got, expected);
    read_file("run/binfmt.d/vz-foreign.conf", got, sizeof(got));
    ck_assert_str_eq(got, expected);
    /* Once more: there is one at every moment. */
    shell("echo >proc/sys/fs/binfmt_misc/vz-x; : >proc/sys/fs/binfmt_misc/register");
    ck_assert_msg(!vz_agent_register_foreign_binaries(agent, folder, &err), "%s", err.text);
    read_file("proc/sys/fs/binfmt_misc/register", got, sizeof(got));
    ck_assert_int_eq(strncmp(got, ":vz-x.new:M:", 12), 0);
    ck_assert_str_eq(strchr(got, '\n') + 1, expected);
    /* Lines that name nothing of the share's, or nobody's name. */
    static const char *const bad[] = {":vz-x:M:0:a:b:/bin/sh:F\n", ":vz-x:M:0:a:b:c\n", ":register:M:0:a:b:c:F\n", "-1\n", ""};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        write_file("share/registrations", bad[i]);
        ck_assert_msg(vz_agent_register_foreign_binaries(agent, folder, &err) == -1, "%s", bad[i]);
    }
}
END_TEST

static void add_tests(Suite *s)
{
    rig_add(s, who_watches_shares_is_asked_until_the_host_has_enough, set_up, tear_down);
    rig_add(s, foreign_programs_are_registered_with_the_kernel, set_up, tear_down);
    rig_add(s, trees_go_in_and_come_out_as_they_were, set_up, tear_down);
    rig_add(s, where_it_goes_is_as_people_expect, set_up, tear_down);
    rig_add(s, links_inside_are_never_followed, set_up, tear_down);
    rig_add(s, owners_and_set_id_bits_only_in_archives, set_up, tear_down);
    rig_add(s, attributes_come_along, set_up, tear_down);
    rig_add(s, mounts_are_refused_that_cannot_be, set_up, tear_down);
    rig_add(s, what_is_no_file_is_passed_over_or_written_to, set_up, tear_down);
    rig_add(s, a_copy_can_be_stopped_and_leaves_no_half, set_up, tear_down);
    rig_add(s, a_full_disk_is_named, set_up, tear_down);
    rig_add(s, the_guest_tells_about_itself, set_up, tear_down);
    rig_add(s, a_new_identity_changes_what_is_there, set_up, tear_down);
    rig_add(s, bad_calls_are_refused, set_up, tear_down);
    rig_add(s, requests_nobody_knows_are_answered, set_up, tear_down);
    rig_add(s, who_says_no_hello_or_too_much_is_left, set_up, tear_down);
    rig_add(s, a_hostile_guest_ends_its_own_connection, set_up, tear_down);
    rig_add(s, texts_of_a_guest_have_no_control_characters, set_up, tear_down);
    rig_add(s, names_in_a_stream_stay_in_their_folder, set_up, tear_down);
}

UNIT_TEST_MAIN("agent/files", add_tests)
