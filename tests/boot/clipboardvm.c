/* SPDX-License-Identifier: MIT */
/* clipboardvm KERNEL INITRD STATE: shares the clipboard with a guest whose agent (programs/spiceagent.c) does as it is
 * told on COM1, both ways. STATE is the file to save the machine in. Says on standard error what went wrong, and
 * fails. */
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vz/vz.h>

#define LIMIT_MS 120000

static int pair[2]; /* ours and the guest's end of its line */
static struct vz_config *config;
static struct vz_machine *machine;
static struct vz_clipboard *us, *other;
static _Atomic unsigned types[2], agents, lost, wanted;

static void fail(const char *fmt, ...)
{
    va_list args;

    fprintf(stderr, "clipboardvm: ");
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fprintf(stderr, "\n");
    exit(1);
}

static void need(bool ok, const struct vz_error *err)
{
    if (!ok)
        fail("%s", err->text);
}

/* ---- The guest's line ------------------------------------------------------------------------ */

static void tell(const char *fmt, ...)
{
    char line[128];
    va_list args;

    va_start(args, fmt);
    vsnprintf(line, sizeof(line) - 1, fmt, args);
    va_end(args);
    strcat(line, "\n");
    if (write(pair[0], line, strlen(line)) < 0)
        fail("the guest's line");
}

static bool read_line(char *line, size_t size)
{
    struct pollfd p = {.fd = pair[0], .events = POLLIN};
    size_t n = 0;

    while (n + 1 < size && poll(&p, 1, LIMIT_MS) == 1 && read(pair[0], line + n, 1) == 1) {
        if (line[n] == '\n') {
            line[n] = '\0';
            if (n && line[n - 1] == '\r')
                line[n - 1] = '\0';
            return true;
        }
        n++;
    }
    return false;
}

/* Lines come until one is this; others do not matter. */
static void expect(const char *fmt, ...)
{
    char want[256], line[256];
    va_list args;

    va_start(args, fmt);
    vsnprintf(want, sizeof(want), fmt, args);
    va_end(args);
    do {
        if (!read_line(line, sizeof(line)))
            fail("the guest does not say '%s'", want);
        printf("%s\n", line);
    } while (strcmp(line, want));
}

static void wait_for(const _Atomic unsigned *what, unsigned value, const char *text)
{
    for (unsigned i = 0; i < LIMIT_MS && *what != value; i++)
        usleep(1000);
    if (*what != value)
        fail("%s: %u, not %u", text, *what, value);
}

/* ---- Content --------------------------------------------------------------------------------- */

static uint8_t *pattern(uint32_t len)
{
    uint8_t *p = calloc(1, len + 1);

    for (uint32_t i = 0; i < len; i++)
        p[i] = (uint8_t)('a' + (i * 7 + i / 251) % 26);
    return p;
}

static uint32_t sum_of(const uint8_t *p, uint32_t len)
{
    uint32_t sum = 0;

    for (uint32_t i = 0; i < len; i++)
        sum = sum * 31 + p[i];
    return sum;
}

/* ---- Callbacks ------------------------------------------------------------------------------- */

static void on_offered(void *arg, struct vz_clipboard *c, enum vz_selection s, unsigned t)
{
    types[s] = t;
}

static void on_agent(void *arg, struct vz_clipboard *c, bool there)
{
    agents = there;
}

static void on_lost(void *arg, struct vz_clipboard *c, enum vz_selection s)
{
    lost++;
}

static void on_wanted(void *arg, struct vz_clipboard *c, enum vz_selection s, enum vz_clipboard_type type,
                      uint64_t request)
{
    wanted++;
    vz_clipboard_provide(c, request, type == VZ_CLIPBOARD_PNG ? "picture" : NULL, 7, NULL);
}

/* ---- The machine ------------------------------------------------------------------------------ */

static void make_config(char **argv)
{
    struct vz_linux_boot_loader_options b = VZ_LINUX_BOOT_LOADER_OPTIONS_INIT;
    struct vz_serial_attachment *lines = vz_fd_serial_attachment_new(pair[1], pair[1], NULL);
    struct vz_serial_port *com1 = vz_uart_serial_port_new(lines, NULL);
    struct vz_boot_loader *loader;
    struct vz_error err;

    config = vz_config_new(NULL, NULL);
    b.kernel = argv[1];
    b.initrd = argv[2];
    b.cmdline = "console=ttyS0 quiet";
    loader = vz_linux_boot_loader_new(&b, NULL);
    vz_config_set_boot_loader(config, loader);
    vz_config_add_serial_port(config, com1, NULL);
    need(vz_config_add(config, "clipboard", NULL, &err) == 0, &err);
    need(vz_config_add(config, "display", "640x480", &err) == 0, &err);
    vz_boot_loader_unref(loader);
    vz_serial_attachment_unref(lines);
    vz_serial_port_unref(com1);
}

static void make_machine(void)
{
    struct vz_clipboard_options o = VZ_CLIPBOARD_OPTIONS_INIT;
    struct vz_error err;

    machine = vz_machine_new(config, NULL, &err);
    need(machine != NULL, &err);
    o.offered = on_offered;
    o.agent_changed = on_agent;
    o.lost = on_lost;
    us = vz_clipboard_new(machine, &o, &err);
    need(us != NULL, &err);
    o = (struct vz_clipboard_options)VZ_CLIPBOARD_OPTIONS_INIT;
    o.wanted = on_wanted;
    other = vz_clipboard_new(machine, &o, &err);
    need(other != NULL, &err);
}

/* ---- Tests ------------------------------------------------------------------------------------ */

/* The host copies, the guest pastes. */
static void to_guest(enum vz_selection s, enum vz_clipboard_type type, uint32_t len)
{
    uint8_t *data = pattern(len);
    struct vz_error err;

    need(vz_clipboard_set(us, s, type, data, len, &err) == 0, &err);
    expect("grab %d %d", s, type);
    tell("paste %d %d", s, type);
    expect("pasted %d %d %u %u", s, type, len, sum_of(data, len));
    free(data);
}

static void fetch(enum vz_selection s, enum vz_clipboard_type type, uint32_t len)
{
    uint8_t *data = pattern(len), *got;
    struct vz_error err;
    size_t got_len = 0;

    got = vz_clipboard_fetch_wait(us, s, type, &got_len, &err);
    need(got != NULL, &err);
    if (got_len != len || memcmp(got, data, len))
        fail("%zu bytes came, or others, of %u", got_len, len);
    free(got);
    free(data);
}

static void from_guest(enum vz_selection s, enum vz_clipboard_type type, uint32_t len)
{
    tell("offer %d %d %u", s, type, len);
    wait_for(&types[s], VZ_CLIPBOARD_BIT(type), "types on offer");
    fetch(s, type, len);
    expect("asked %d %d", s, type);
    tell("release %d", s);
    wait_for(&types[s], 0, "types on offer");
}

static void expect_no_content(enum vz_clipboard_type type, enum vz_error_code code)
{
    struct vz_error err = {0};
    void *got = vz_clipboard_fetch_wait(us, VZ_SELECTION_CLIPBOARD, type, NULL, &err);

    if (got || err.code != code)
        fail("no error %d but %d: %s", code, err.code, got ? "content" : err.text);
}

static void both_ways(void)
{
    static const uint32_t sizes[] = {0, 1, 2011, 2012, 2020, 2021, 2048, 4096, 65536, 3000001};

    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        to_guest(i % 2 ? VZ_SELECTION_PRIMARY : VZ_SELECTION_CLIPBOARD, VZ_CLIPBOARD_TEXT, sizes[i]);
        from_guest(i % 2 ? VZ_SELECTION_CLIPBOARD : VZ_SELECTION_PRIMARY, VZ_CLIPBOARD_BMP, sizes[i]);
    }
}

static void only_on_demand(void)
{
    struct vz_error err;
    size_t len;
    char *got;

    lost = wanted = 0;
    need(vz_clipboard_set(us, VZ_SELECTION_CLIPBOARD, VZ_CLIPBOARD_TEXT, "mine", 4, &err) == 0, &err);
    need(vz_clipboard_offer(other, VZ_SELECTION_CLIPBOARD, VZ_CLIPBOARD_BIT(VZ_CLIPBOARD_PNG) |
                            VZ_CLIPBOARD_BIT(VZ_CLIPBOARD_JPEG), &err) == 0, &err);
    expect("grab 0 2 5");
    wait_for(&lost, 1, "losses");
    wait_for(&types[0], 0x24, "types on offer");
    if (wanted)
        fail("content was wanted before anybody pasted");
    tell("paste 0 2");
    expect("pasted 0 2 7 %u", sum_of((const uint8_t *)"picture", 7));
    tell("paste 0 5"); /* which it turns out not to have */
    expect("pasted 0 0 0 0");
    tell("paste 0 1");
    expect("pasted 0 0 0 0");
    wait_for(&wanted, 2, "requests");
    /* One party's, by another. */
    got = vz_clipboard_fetch_wait(us, VZ_SELECTION_CLIPBOARD, VZ_CLIPBOARD_PNG, &len, &err);
    need(got != NULL, &err);
    if (len != 7 || strcmp(got, "picture"))
        fail("'%s' is no picture", got);
    free(got);
    expect_no_content(VZ_CLIPBOARD_JPEG, VZ_ERROR_CANCELLED);
    expect_no_content(VZ_CLIPBOARD_TEXT, VZ_ERROR_INVALID_STATE);
    tell("offer 0 1 5");
    wait_for(&types[0], 2, "types on offer");
    fetch(VZ_SELECTION_CLIPBOARD, VZ_CLIPBOARD_TEXT, 5);
}

static void an_agent_that_starts_again(void)
{
    struct vz_error err;

    need(vz_clipboard_set(us, VZ_SELECTION_PRIMARY, VZ_CLIPBOARD_TEXT, "here", 4, &err) == 0, &err);
    expect("grab 1 1");
    tell("close");
    wait_for(&agents, 0, "agents");
    wait_for(&types[0], 0, "types on offer");
    tell("open");
    wait_for(&agents, 1, "agents");
    expect("grab 1 1");
    tell("paste 1 1");
    expect("pasted 1 1 4 %u", sum_of((const uint8_t *)"here", 4));
}

static void sizes_of_displays(void)
{
    struct vz_error err;

    need(vz_machine_reconfigure_display(machine, 0, 0, 1024, 768, &err) == 0, &err);
    expect("monitors 1024x768+0");
}

/* The machine and its parties are others afterwards. */
static void restart(const char *state)
{
    struct vz_error err;

    need(vz_machine_pause_wait(machine, &err) == 0, &err);
    need(vz_machine_save_wait(machine, state, NULL, &err) == 0, &err);
    vz_clipboard_free(us);
    vz_clipboard_free(other);
    vz_machine_free(machine);
    types[0] = types[1] = agents = 0;
    make_machine();
    need(vz_machine_restore_wait(machine, state, NULL, &err) == 0, &err);
    need(vz_machine_resume_wait(machine, &err) == 0, &err);
}

static void saved_and_restored(const char *state)
{
    struct vz_error err;

    tell("offer 0 2 70000");
    wait_for(&types[0], 4, "types on offer");
    need(vz_clipboard_set(us, VZ_SELECTION_PRIMARY, VZ_CLIPBOARD_TEXT, "gone", 4, &err) == 0, &err);
    expect("grab 1 1");
    restart(state);
    wait_for(&agents, 1, "agents");
    wait_for(&types[0], 4, "types on offer");
    expect("released 1"); /* whose content is nobody's now */
    fetch(VZ_SELECTION_CLIPBOARD, VZ_CLIPBOARD_PNG, 70000);
    to_guest(VZ_SELECTION_CLIPBOARD, VZ_CLIPBOARD_TEXT, 5000);
}

/* What the port leads to is changed while the guest has it open, and is another thing after a restore. */
static void another_attachment(const char *state)
{
    struct vz_serial_attachment *agent = vz_spice_agent_attachment_new(true, NULL);
    struct vz_error err;

    need(vz_machine_set_console_port_attachment(machine, 0, 0, NULL, &err) == 0, &err);
    wait_for(&agents, 0, "agents");
    need(vz_machine_set_console_port_attachment(machine, 0, 0, agent, &err) == 0, &err);
    wait_for(&agents, 1, "agents");
    expect("grab 0 1"); /* what was on offer still is */
    to_guest(VZ_SELECTION_CLIPBOARD, VZ_CLIPBOARD_TEXT, 10);
    need(vz_machine_set_console_port_attachment(machine, 0, 0, NULL, &err) == 0, &err);
    wait_for(&agents, 0, "agents");
    restart(state);
    wait_for(&agents, 1, "agents");
    to_guest(VZ_SELECTION_CLIPBOARD, VZ_CLIPBOARD_TEXT, 10);
    if (vz_machine_set_serial_attachment(machine, 0, agent, &err) == 0)
        fail("COM1 leads to an agent");
    vz_serial_attachment_unref(agent);
}

static void hostile_agents(void)
{
    tell("claim 0 1 %u", 64u << 20);
    wait_for(&types[0], 2, "types on offer");
    expect_no_content(VZ_CLIPBOARD_TEXT, VZ_ERROR_GUEST);
    tell("offer 0 3 100"); /* and goes on */
    wait_for(&types[0], 8, "types on offer");
    fetch(VZ_SELECTION_CLIPBOARD, VZ_CLIPBOARD_BMP, 100);
    tell("junk");
    tell("close");
    wait_for(&agents, 0, "agents");
    tell("open");
    wait_for(&agents, 1, "agents");
    from_guest(VZ_SELECTION_CLIPBOARD, VZ_CLIPBOARD_TEXT, 100);
    tell("mute");
    tell("offer 0 1 10");
    wait_for(&types[0], 2, "types on offer");
    expect_no_content(VZ_CLIPBOARD_TEXT, VZ_ERROR_GUEST);
}

int main(int argc, char **argv)
{
    struct vz_error err;

    if (argc != 4 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    make_config(argv);
    make_machine();
    expect_no_content(VZ_CLIPBOARD_TEXT, VZ_ERROR_INVALID_STATE);
    need(vz_machine_start_wait(machine, &err) == 0, &err);
    wait_for(&agents, 1, "agents");
    both_ways();
    only_on_demand();
    an_agent_that_starts_again();
    sizes_of_displays();
    saved_and_restored(argv[3]);
    another_attachment(argv[3]);
    hostile_agents();
    vz_clipboard_free(us);
    vz_clipboard_free(other);
    vz_machine_free(machine);
    vz_config_unref(config);
    printf("done\n");
    return 0;
}
