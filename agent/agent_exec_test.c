/* SPDX-License-Identifier: MIT */
/* Programs by the agent: both ends as they are, the agent as a process of this host. */
#include <vz/agent.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "agent_rig.h"

/* A program, all of its output, and how it ended. */
struct outcome {
    struct vz_agent_exit exit;
    struct vz_error err;
    int result;
    char out[65536], error[4096];
    size_t out_len, error_len;
};

struct collector {
    int fd;
    char *to;
    size_t room, len;
};

static void *collect_main(void *arg)
{
    struct collector *c = arg;
    char rest[4096];
    ssize_t n;

    while ((n = c->len < c->room ? read(c->fd, c->to + c->len, c->room - c->len)
                                 : read(c->fd, rest, sizeof(rest))) > 0)
        c->len += (size_t)n;
    return NULL;
}

/* Input from a file that holds it, output to pipes. */
static void run_options(struct vz_agent *a, struct vz_agent_exec_options *o, const char *input,
                        struct outcome *ret)
{
    struct collector c[2] = {{.to = ret->out, .room = sizeof(ret->out) - 1},
                             {.to = ret->error, .room = sizeof(ret->error) - 1}};
    int pipes[2][2], in = -1;
    struct vz_agent_process *p;
    pthread_t thread[2];

    memset(ret, 0, sizeof(*ret));
    ret->exit = (struct vz_agent_exit)VZ_AGENT_EXIT_INIT;
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(pipe2(pipes[i], O_CLOEXEC), 0);
        c[i].fd = pipes[i][0];
        pthread_create(&thread[i], NULL, collect_main, &c[i]);
    }
    if (input) {
        in = open("/tmp", O_TMPFILE | O_RDWR, 0600);
        ck_assert_int_eq(write(in, input, strlen(input)), strlen(input));
        lseek(in, 0, SEEK_SET);
    }
    o->input_fd = in;
    o->output_fd = pipes[0][1];
    o->error_fd = pipes[1][1];
    p = vz_agent_exec(a, o, &ret->err);
    ck_assert_msg(p != NULL, "%s", ret->err.text);
    ret->result = vz_agent_process_wait(p, &ret->exit, &ret->err);
    vz_agent_process_free(p);
    for (int i = 0; i < 2; i++) {
        close(pipes[i][1]);
        pthread_join(thread[i], NULL);
        close(pipes[i][0]);
    }
    if (in >= 0)
        close(in);
    ret->out_len = c[0].len;
    ret->error_len = c[1].len;
}

static void run_shell(struct vz_agent *a, const char *script, const char *input, struct outcome *ret)
{
    const char *const argv[] = {"sh", "-c", script, NULL};
    struct vz_agent_exec_options o = VZ_AGENT_EXEC_OPTIONS_INIT;

    o.argv = argv;
    run_options(a, &o, input, ret);
}

static void check_exit(const struct outcome *r, enum vz_agent_exit_reason reason, int value)
{
    ck_assert_msg(r->result == 0, "%s", r->err.text);
    ck_assert_int_eq(r->exit.reason, reason);
    ck_assert_int_eq(r->exit.value, value);
}

static uint64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static struct rig rig;
static struct vz_agent *agent;
static struct outcome out;

static void set_up(void)
{
    rig_start(&rig);
    agent = rig_connect(&rig);
}

static void tear_down(void)
{
    vz_agent_free(agent);
    rig_end(&rig);
}

/* ---- How programs end ----------------------------------------------------------------------- */

START_TEST(output_errors_and_status_come_back)
{
    run_shell(agent, "echo out; echo err >&2; exit 7", NULL, &out);
    check_exit(&out, VZ_AGENT_EXITED, 7);
    ck_assert_str_eq(out.out, "out\n");
    ck_assert_str_eq(out.error, "err\n");
    ck_assert_uint_gt(out.exit.pid, 1);
    run_shell(agent, "exit 255", NULL, &out);
    check_exit(&out, VZ_AGENT_EXITED, 255);
}
END_TEST

START_TEST(a_signal_that_ended_it_is_told)
{
    run_shell(agent, "kill -9 $$", NULL, &out);
    check_exit(&out, VZ_AGENT_SIGNALED, 9);
    run_shell(agent, "kill -15 $$", NULL, &out);
    check_exit(&out, VZ_AGENT_SIGNALED, 15);
}
END_TEST

START_TEST(what_cannot_be_started_says_why)
{
    const char *const missing[] = {"no-such-program-here", NULL}, *const folder[] = {"/tmp", NULL};
    struct vz_agent_exec_options o = VZ_AGENT_EXEC_OPTIONS_INIT;

    o.argv = missing;
    run_options(agent, &o, NULL, &out);
    check_exit(&out, VZ_AGENT_NOT_FOUND, ENOENT);
    o.argv = folder;
    run_options(agent, &o, NULL, &out);
    check_exit(&out, VZ_AGENT_NOT_EXECUTABLE, EACCES);
    o.cwd = "/no/such/folder";
    run_options(agent, &o, NULL, &out);
    ck_assert_int_eq(out.result, -1);
    ck_assert_int_eq(out.err.code, VZ_ERROR_GUEST);
    ck_assert_ptr_nonnull(strstr(out.err.text, "/no/such/folder: No such file"));
    o.cwd = NULL;
    o.user = "nobody-of-this-name";
    run_options(agent, &o, NULL, &out);
    ck_assert_int_eq(out.err.code, VZ_ERROR_GUEST);
    ck_assert_ptr_nonnull(strstr(out.err.text, "nobody-of-this-name"));
}
END_TEST

START_TEST(environment_and_folder_are_as_asked)
{
    const char *const argv[] = {"sh", "-c", "echo $A-$PATH-$HOME; pwd", NULL};
    const char *const env[] = {"A=b c", "PATH=/bin:/usr/bin", NULL};
    struct vz_agent_exec_options o = VZ_AGENT_EXEC_OPTIONS_INIT;

    setenv("SECRET", "of-the-host", 1);
    o.argv = argv;
    o.env = env;
    o.cwd = "/usr";
    run_options(agent, &o, NULL, &out);
    check_exit(&out, VZ_AGENT_EXITED, 0);
    ck_assert_ptr_nonnull(strstr(out.out, "b c-/bin:/usr/bin-/"));
    ck_assert_ptr_nonnull(strstr(out.out, "\n/usr\n"));
}
END_TEST

START_TEST(root_can_run_it_as_somebody)
{
    const char *const argv[] = {"sh", "-c", "id -u; id -g; id -G; echo $USER", NULL};
    struct vz_agent_exec_options o = VZ_AGENT_EXEC_OPTIONS_INIT;

    if (geteuid())
        return;
    o.argv = argv;
    o.user = "nobody";
    run_options(agent, &o, NULL, &out);
    ck_assert_str_eq(out.out, "65534\n65534\n65534\nnobody\n");
    o.user = "1234:daemon";
    run_options(agent, &o, NULL, &out);
    ck_assert_str_eq(out.out, "1234\n1\n1 1234\n1234\n");
}
END_TEST

/* ---- Streams -------------------------------------------------------------------------------- */

START_TEST(binary_input_comes_back_whole)
{
    struct vz_agent_exec_options o = VZ_AGENT_EXEC_OPTIONS_INIT;
    struct vz_agent_exit e = VZ_AGENT_EXIT_INIT;
    const char *const argv[] = {"cat", NULL};
    struct vz_error err = {.text = ""};
    int in = open("/tmp", O_TMPFILE | O_RDWR, 0600), result = open("/tmp", O_TMPFILE | O_RDWR, 0600);
    static uint8_t a[1 << 16], b[1 << 16];
    struct vz_agent_process *p;

    for (unsigned piece = 0; piece < 320; piece++) { /* 20 MiB */
        for (size_t i = 0; i < sizeof(a); i++)
            a[i] = (uint8_t)(i * 7 + i / 251 + piece);
        ck_assert_int_eq(write(in, a, sizeof(a)), sizeof(a));
    }
    lseek(in, 0, SEEK_SET);
    o.argv = argv;
    o.input_fd = in;
    o.output_fd = result;
    p = vz_agent_exec(agent, &o, &err);
    ck_assert_msg(vz_agent_process_wait(p, &e, &err) == 0, "%s", err.text);
    vz_agent_process_free(p);
    ck_assert_int_eq(e.value, 0);
    for (unsigned piece = 0; piece < 320; piece++) {
        ck_assert_int_eq(pread(in, a, sizeof(a), (off_t)(piece * sizeof(a))), sizeof(a));
        ck_assert_int_eq(pread(result, b, sizeof(b), (off_t)(piece * sizeof(b))), sizeof(b));
        ck_assert(!memcmp(a, b, sizeof(a)));
    }
    ck_assert_int_eq(lseek(result, 0, SEEK_END), 320 * sizeof(a));
}
END_TEST

START_TEST(a_program_that_reads_no_input_ends_all_the_same)
{
    struct vz_agent_exec_options o = VZ_AGENT_EXEC_OPTIONS_INIT;
    struct vz_agent_exit e = VZ_AGENT_EXIT_INIT;
    const char *const argv[] = {"head", "-c", "3", NULL};
    struct vz_error err = {.text = ""};
    int zero = open("/dev/zero", O_RDONLY);
    struct vz_agent_process *p;

    o.argv = argv;
    o.input_fd = zero;
    p = vz_agent_exec(agent, &o, &err);
    ck_assert_msg(vz_agent_process_wait(p, &e, &err) == 0, "%s", err.text);
    ck_assert_int_eq(e.value, 0);
    vz_agent_process_free(p);
    close(zero);
}
END_TEST

START_TEST(all_output_comes_before_the_end)
{
    run_shell(agent, "head -c 1000000 /dev/zero; exit 5", NULL, &out);
    check_exit(&out, VZ_AGENT_EXITED, 5);
    ck_assert_uint_eq(out.out_len, 1000000);
}
END_TEST

START_TEST(output_that_nobody_wants_holds_up_nothing)
{
    const char *const argv[] = {"sh", "-c", "head -c 9000000 /dev/zero; head -c 3000000 /dev/zero >&2; exit 2", NULL};
    struct vz_agent_exec_options o = VZ_AGENT_EXEC_OPTIONS_INIT;
    struct vz_agent_exit e = VZ_AGENT_EXIT_INIT;
    struct vz_error err = {.text = ""};
    struct vz_agent_process *p;

    o.argv = argv;
    p = vz_agent_exec(agent, &o, &err);
    ck_assert_msg(vz_agent_process_wait(p, &e, &err) == 0, "%s", err.text);
    ck_assert_int_eq(e.value, 2);
    vz_agent_process_free(p);
}
END_TEST

START_TEST(a_grandchild_that_keeps_the_output_open_is_not_waited_for)
{
    uint64_t start = now_ms();

    run_shell(agent, "echo first; sleep 30 & exit 3", NULL, &out);
    check_exit(&out, VZ_AGENT_EXITED, 3);
    ck_assert_str_eq(out.out, "first\n");
    ck_assert_uint_lt(now_ms() - start, 15000);
}
END_TEST

START_TEST(closing_orders)
{
    /* Output ends first; input ends first; all end before the program does. */
    run_shell(agent, "exec >&-; cat >/dev/null; exit 4", "some input", &out);
    check_exit(&out, VZ_AGENT_EXITED, 4);
    run_shell(agent, "exec <&-; sleep 0.2; echo later", "some input", &out);
    ck_assert_str_eq(out.out, "later\n");
    run_shell(agent, "exec <&- >&- 2>&-; sleep 0.2; exit 6", "some input", &out);
    check_exit(&out, VZ_AGENT_EXITED, 6);
    run_shell(agent, "cat", "", &out);
    check_exit(&out, VZ_AGENT_EXITED, 0);
    run_shell(agent, "cat", NULL, &out);
    check_exit(&out, VZ_AGENT_EXITED, 0);
}
END_TEST

START_TEST(a_reader_that_went_away_is_a_closed_pipe)
{
    struct vz_agent_exec_options o = VZ_AGENT_EXEC_OPTIONS_INIT;
    struct vz_agent_exit e = VZ_AGENT_EXIT_INIT;
    const char *const argv[] = {"yes", NULL};
    struct vz_error err = {.text = ""};
    struct vz_agent_process *p;
    char buffer[100];
    int pipes[2];

    ck_assert_int_eq(pipe2(pipes, O_CLOEXEC), 0);
    o.argv = argv;
    o.output_fd = pipes[1];
    p = vz_agent_exec(agent, &o, &err);
    ck_assert_int_gt(read(pipes[0], buffer, sizeof(buffer)), 0);
    close(pipes[0]);
    ck_assert_msg(vz_agent_process_wait(p, &e, &err) == 0, "%s", err.text);
    ck_assert_int_eq(e.reason, VZ_AGENT_SIGNALED);
    ck_assert_int_eq(e.value, SIGPIPE);
    vz_agent_process_free(p);
}
END_TEST

START_TEST(a_slow_reader_holds_up_nobody_else)
{
    struct vz_agent_exec_options o = VZ_AGENT_EXEC_OPTIONS_INIT;
    struct vz_agent_exit e = VZ_AGENT_EXIT_INIT;
    const char *const argv[] = {"head", "-c", "3000000", "/dev/zero", NULL};
    struct vz_error err = {.text = ""};
    struct vz_agent_process *p;
    char buffer[65536];
    size_t sum = 0;
    int pipes[2];

    ck_assert_int_eq(pipe2(pipes, O_CLOEXEC), 0);
    o.argv = argv;
    o.output_fd = pipes[1];
    p = vz_agent_exec(agent, &o, &err);
    for (int i = 0; i < 5; i++) {
        run_shell(agent, "head -c 300000 /dev/zero", NULL, &out);
        check_exit(&out, VZ_AGENT_EXITED, 0);
        ck_assert_uint_eq(out.out_len, 300000);
        ck_assert_int_eq(vz_agent_ping(agent, &err), 0);
    }
    while (sum < 3000000)
        sum += (size_t)read(pipes[0], buffer, sizeof(buffer));
    ck_assert_msg(vz_agent_process_wait(p, &e, &err) == 0, "%s", err.text);
    ck_assert_uint_eq(sum, 3000000);
    vz_agent_process_free(p);
}
END_TEST

static void *one_of_many(void *arg)
{
    struct outcome *r = calloc(1, sizeof(*r));
    char script[128], input[64], wanted[128];

    for (int i = 0; i < 5; i++) {
        snprintf(script, sizeof(script), "cat; echo %d; exit %d", i, (int)(intptr_t)arg);
        snprintf(input, sizeof(input), "input-%d-%d\n", (int)(intptr_t)arg, i);
        snprintf(wanted, sizeof(wanted), "%s%d\n", input, i);
        run_shell(agent, script, input, r);
        check_exit(r, VZ_AGENT_EXITED, (int)(intptr_t)arg);
        ck_assert_str_eq(r->out, wanted);
    }
    free(r);
    return NULL;
}

START_TEST(ten_at_once)
{
    pthread_t thread[10];

    for (intptr_t i = 0; i < 10; i++)
        pthread_create(&thread[i], NULL, one_of_many, (void *)i);
    for (int i = 0; i < 10; i++)
        pthread_join(thread[i], NULL);
}
END_TEST

/* ---- Signals, terminals, clients that go ---------------------------------------------------- */

START_TEST(signals_reach_it)
{
    const char *const argv[] = {"sh", "-c", "trap 'echo got; exit 9' USR1; echo ready; while :; do sleep 0.05; done", NULL};
    struct vz_agent_exec_options o = VZ_AGENT_EXEC_OPTIONS_INIT;
    struct vz_agent_exit e = VZ_AGENT_EXIT_INIT;
    struct vz_error err = {.text = ""};
    struct vz_agent_process *p;
    char buffer[100] = "";
    int pipes[2];

    ck_assert_int_eq(pipe2(pipes, O_CLOEXEC), 0);
    o.argv = argv;
    o.output_fd = pipes[1];
    p = vz_agent_exec(agent, &o, &err);
    ck_assert_int_gt(read(pipes[0], buffer, sizeof(buffer)), 0);
    ck_assert_int_eq(vz_agent_process_signal(p, 99, &err), -1);
    ck_assert_int_eq(vz_agent_process_signal(p, SIGUSR1, &err), 0);
    ck_assert_msg(vz_agent_process_wait(p, &e, &err) == 0, "%s", err.text);
    ck_assert_int_eq(e.value, 9);
    ck_assert_int_eq(vz_agent_process_signal(p, SIGUSR1, &err), 0);
    vz_agent_process_free(p);
}
END_TEST

static void terminal(const char *script, struct vz_agent_exec_options *o, struct vz_agent_process **ret,
                     int pipes[2])
{
    const char *argv[] = {"sh", "-c", script, NULL};
    struct vz_error err = {.text = ""};

    ck_assert_int_eq(pipe2(pipes, O_CLOEXEC), 0);
    o->argv = argv;
    o->terminal = true;
    o->output_fd = pipes[1];
    *ret = vz_agent_exec(agent, o, &err);
    ck_assert_msg(*ret != NULL, "%s", err.text);
}

static void read_until(int fd, const char *text, char *buffer, size_t room)
{
    size_t len = 0;

    memset(buffer, 0, room);
    while (!strstr(buffer, text)) {
        ssize_t n = read(fd, buffer + len, room - 1 - len);

        ck_assert_msg(n > 0, "'%s' is not in '%s'", text, buffer);
        len += (size_t)n;
    }
}

START_TEST(a_terminal_has_a_size_that_changes)
{
    struct vz_agent_exec_options o = VZ_AGENT_EXEC_OPTIONS_INIT;
    struct vz_agent_exit e = VZ_AGENT_EXIT_INIT;
    struct vz_error err = {.text = ""};
    struct vz_agent_process *p;
    char text[4096];
    int pipes[2];

    o.rows = 33;
    o.columns = 77;
    terminal("trap 'stty size; exit 0' WINCH; tty >/dev/null && stty size; while :; do sleep 0.05; done",
             &o, &p, pipes);
    read_until(pipes[0], "33 77\r\n", text, sizeof(text));
    ck_assert_int_eq(vz_agent_process_resize(p, 44, 111, &err), 0);
    read_until(pipes[0], "44 111\r\n", text, sizeof(text));
    ck_assert_msg(vz_agent_process_wait(p, &e, &err) == 0, "%s", err.text);
    check_exit(&(struct outcome){.exit = e}, VZ_AGENT_EXITED, 0);
    vz_agent_process_free(p);
}
END_TEST

START_TEST(a_terminal_carries_all_and_ends_with_its_program)
{
    struct vz_agent_exec_options o = VZ_AGENT_EXEC_OPTIONS_INIT;
    struct vz_agent_exit e = VZ_AGENT_EXIT_INIT;
    struct vz_error err = {.text = ""};
    struct vz_agent_process *p;
    char text[4096];
    int pipes[2], in[2];

    ck_assert_int_eq(pipe2(in, O_CLOEXEC), 0);
    o.input_fd = in[0];
    terminal("stty -echo; echo ready; read x; echo got $x >&2; sleep 30 & exit 8", &o, &p, pipes);
    read_until(pipes[0], "ready\r\n", text, sizeof(text));
    ck_assert_int_eq(write(in[1], "a line\n", 7), 7);
    read_until(pipes[0], "got a line\r\n", text, sizeof(text));
    ck_assert_msg(vz_agent_process_wait(p, &e, &err) == 0, "%s", err.text);
    check_exit(&(struct outcome){.exit = e}, VZ_AGENT_EXITED, 8);
    vz_agent_process_free(p);
}
END_TEST

START_TEST(input_that_ends_is_ctrl_d_in_a_terminal)
{
    struct vz_agent_exec_options o = VZ_AGENT_EXEC_OPTIONS_INIT;
    struct vz_agent_exit e = VZ_AGENT_EXIT_INIT;
    struct vz_error err = {.text = ""};
    struct vz_agent_process *p;
    int pipes[2], in = open("/dev/null", O_RDONLY);

    o.input_fd = in;
    terminal("cat; exit 5", &o, &p, pipes);
    ck_assert_msg(vz_agent_process_wait(p, &e, &err) == 0, "%s", err.text);
    check_exit(&(struct outcome){.exit = e}, VZ_AGENT_EXITED, 5);
    vz_agent_process_free(p);
}
END_TEST

/* Its command in the process table: nobody else has this number of seconds. */
static bool runs(const char *what)
{
    char command[128];

    snprintf(command, sizeof(command), "pgrep -f '[s]leep %s' >/dev/null", what);
    return system(command) == 0;
}

static void wait_until_gone(const char *what)
{
    for (int i = 0; i < 200 && runs(what); i++)
        usleep(100000);
    ck_assert(!runs(what));
}

START_TEST(who_gives_up_ends_his_program)
{
    const char *const argv[] = {"sleep", "1234567.5", NULL};
    struct vz_agent_exec_options o = VZ_AGENT_EXEC_OPTIONS_INIT;
    struct vz_error err = {.text = ""};
    struct vz_agent_process *p;

    o.argv = argv;
    p = vz_agent_exec(agent, &o, &err);
    for (int i = 0; i < 100 && !runs("1234567.5"); i++)
        usleep(50000);
    ck_assert(runs("1234567.5"));
    vz_agent_process_free(p);
    wait_until_gone("1234567.5");
    ck_assert_int_eq(vz_agent_ping(agent, &err), 0);
}
END_TEST

START_TEST(a_killed_client_takes_its_programs_along)
{
    const char *const argv[] = {"sh", "-c", "trap '' HUP; sleep 1234568.5", NULL};
    struct vz_agent_exec_options o = VZ_AGENT_EXEC_OPTIONS_INIT;
    struct vz_agent *mine;
    struct vz_error err = {.text = ""};
    struct vz_agent_process *p;
    struct rig r;

    rig_start(&r);
    mine = rig_connect(&r);
    o.argv = argv;
    p = vz_agent_exec(mine, &o, &err);
    for (int i = 0; i < 100 && !runs("1234568.5"); i++)
        usleep(50000);
    ck_assert(runs("1234568.5"));
    vz_agent_process_free(p);
    vz_agent_free(mine);
    rig_end(&r); /* it waits for what it has to kill */
    wait_until_gone("1234568.5");
}
END_TEST

START_TEST(detached_programs_go_on_by_themselves)
{
    const char *const argv[] = {"sh", "-c", "sleep 0.5; echo done >$1", "sh", NULL, NULL};
    struct vz_agent_exec_options o = VZ_AGENT_EXEC_OPTIONS_INIT;
    const char *full[6];
    char path[128];

    memcpy(full, argv, sizeof(argv));
    snprintf(path, sizeof(path), "%s/detached", rig.folder);
    full[4] = path;
    o.argv = full;
    o.detach = true;
    run_options(agent, &o, NULL, &out);
    check_exit(&out, VZ_AGENT_EXITED, 0);
    ck_assert_uint_gt(out.exit.pid, 1);
    ck_assert_int_lt(access(path, F_OK), 0);
    for (int i = 0; i < 100 && access(path, F_OK); i++)
        usleep(100000);
    ck_assert_int_eq(access(path, F_OK), 0);
    o.argv = (const char *const[]){"no-such-program-here", NULL};
    run_options(agent, &o, NULL, &out);
    check_exit(&out, VZ_AGENT_NOT_FOUND, ENOENT);
}
END_TEST

START_TEST(no_descriptor_or_signal_of_the_agent_is_inherited)
{
    const char *ignored;

    run_shell(agent, "ls /proc/self/fd | wc -l; grep -E 'Sig(Blk|Ign)' /proc/self/status", NULL, &out);
    ck_assert_ptr_nonnull(strstr(out.out, "4\n")); /* 0, 1, 2, and ls' own */
    ck_assert_ptr_nonnull(strstr(out.out, "SigBlk:\t0000000000000000"));
    ignored = strstr(out.out, "SigIgn:\t");
    ck_assert_ptr_nonnull(ignored);
    /* But for 32 and 33, which are the C library's own: its posix_spawn() ignores them for programs. */
    ck_assert_uint_eq(strtoull(ignored + 8, NULL, 16) & ~UINT64_C(0x180000000), 0);
}
END_TEST

START_TEST(two_hundred_one_after_the_other_leak_nothing)
{
    char path[64], before[64] = "", after[64] = "";
    FILE *f;

    snprintf(path, sizeof(path), "ls /proc/%d/fd | wc -l", (int)rig.pid);
    for (int i = 0; i < 200; i++) {
        run_shell(agent, "", NULL, &out);
        check_exit(&out, VZ_AGENT_EXITED, 0);
        if (i != 10 && i != 199)
            continue;
        f = popen(path, "r");
        ck_assert_ptr_nonnull(fgets(i == 10 ? before : after, sizeof(before), f));
        pclose(f);
    }
    ck_assert_str_eq(before, after);
}
END_TEST

static void add_tests(Suite *s)
{
    rig_add(s, output_errors_and_status_come_back, set_up, tear_down);
    rig_add(s, a_signal_that_ended_it_is_told, set_up, tear_down);
    rig_add(s, what_cannot_be_started_says_why, set_up, tear_down);
    rig_add(s, environment_and_folder_are_as_asked, set_up, tear_down);
    rig_add(s, root_can_run_it_as_somebody, set_up, tear_down);
    rig_add(s, binary_input_comes_back_whole, set_up, tear_down);
    rig_add(s, a_program_that_reads_no_input_ends_all_the_same, set_up, tear_down);
    rig_add(s, all_output_comes_before_the_end, set_up, tear_down);
    rig_add(s, output_that_nobody_wants_holds_up_nothing, set_up, tear_down);
    rig_add(s, a_grandchild_that_keeps_the_output_open_is_not_waited_for, set_up, tear_down);
    rig_add(s, closing_orders, set_up, tear_down);
    rig_add(s, a_reader_that_went_away_is_a_closed_pipe, set_up, tear_down);
    rig_add(s, a_slow_reader_holds_up_nobody_else, set_up, tear_down);
    rig_add(s, ten_at_once, set_up, tear_down);
    rig_add(s, signals_reach_it, set_up, tear_down);
    rig_add(s, a_terminal_has_a_size_that_changes, set_up, tear_down);
    rig_add(s, a_terminal_carries_all_and_ends_with_its_program, set_up, tear_down);
    rig_add(s, input_that_ends_is_ctrl_d_in_a_terminal, set_up, tear_down);
    rig_add(s, who_gives_up_ends_his_program, set_up, tear_down);
    rig_add(s, a_killed_client_takes_its_programs_along, set_up, tear_down);
    rig_add(s, detached_programs_go_on_by_themselves, set_up, tear_down);
    rig_add(s, no_descriptor_or_signal_of_the_agent_is_inherited, set_up, tear_down);
    rig_add(s, two_hundred_one_after_the_other_leak_nothing, set_up, tear_down);
}

UNIT_TEST_MAIN("agent/exec", add_tests)
