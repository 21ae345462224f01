/* SPDX-License-Identifier: MIT */
/* Options on a configuration, and what is told of what there is. */
#include "unit.h"

#include <string.h>

#include "config/objects.h"

static struct vz_config *with(const char *option, const char *value)
{
    struct vz_config *c = vz_config_new(NULL, NULL);
    struct vz_error err = {.text = ""};

    ck_assert_msg(vz_config_add(c, option, value, &err) == 0, "%s %s: %s", option, value ? value : "",
                  err.text);
    return c;
}

static void expect(const char *option, const char *value, const char *path, const char *want)
{
    struct vz_config *c = with(option, value);
    char *text = vz_config_get(c, path, NULL);

    ck_assert_msg(text && !strcmp(text, want), "%s %s: %s is %s", option,
                  value ? value : "", path, text ? text : "nothing");
    free(text);
    vz_config_unref(c);
}

START_TEST(options_do_what_they_say)
{
    expect("memory", "1.5G", "memory", "1610612736");
    expect("cpus", "4", "cpus", "4");
    expect("name", "web", "label", "web");
    expect("cpu", "host", "hostCpu", "true");
    expect("no-reboot", NULL, "stopAtReset", "true");
    expect("kernel", "a,b", "bootLoader.kernel", "a,b");
    expect("initrd", "i", "bootLoader.initrd", "i");
    expect("module", "a,,b,console=x,y", "bootLoader.modules[0].path", "a,b");
    expect("module", "a,,b,console=x,y", "bootLoader.modules[0].text", "console=x,y");
    expect("uuid", "01234567-89ab-cdef-0123-456789abcdef", "platform.machineIdentifier",
           "01234567-89ab-cdef-0123-456789abcdef");
    expect("disk", "d,ro", "storageDevices[0].attachment.readOnly", "true");
    expect("disk", "d,read-only=off", "storageDevices[0].attachment.readOnly", "false");
    expect("cdrom", "a,,b", "storageDevices[0].attachment.path", "a,b");
    expect("seed", "u=1,m,n", "storageDevices[0].attachment.userData", "u=1");
    expect("seed", "u,,v,m,n", "storageDevices[0].attachment.metaData", "m");
    expect("seed", "u,m,n", "storageDevices[0].attachment.networkConfig", "n");
    expect("disk", "seed=u,network-config=n,id=x", "storageDevices[0].attachment.networkConfig", "n");
    expect("disk", "nbd://h:1/x,timeout=5,ro,id=y", "storageDevices[0].attachment.timeout", "5");
    expect("disk", "nbd+unix:///?socket=/a=b", "storageDevices[0].attachment.uri", "nbd+unix:///?socket=/a=b");
    expect("disk", "./nbd:x", "storageDevices[0].attachment.type", "diskImage");
    expect("boot-disk", "d,,e,sync=none", "bootLoader.disk", "d,e");
    expect("serial", "unix:a,b", "serialPorts[0].attachment.path", "a,b");
    expect("serial", "file=a,append", "serialPorts[0].attachment.append", "true");
    expect("serial", "fd,read=5", "serialPorts[0].attachment.readDescriptor", "5");
    expect("net", "fd=3,mtu=9000,mac=02:00:00:00:00:01", "networkDevices[0].attachment.mtu", "9000");
    expect("net", "bridge=br0", "networkDevices[0].attachment.type", "bridged");
    expect("forward", "udp:[::1]:53:54", "networkDevices[0].attachment.forwards[0].host", "::1");
    expect("balloon", "min=32M", "memoryBalloonDevices[0].minimumSize", "33554432");
    expect("balloon", "64M,oom=off", "memoryBalloonDevices[0].targetSize", "67108864");
    expect("vsock", NULL, "socketDevices[0].guestCid", "3");
    expect("vsock", "connect=8:unix:b:c", "socketDevices[0].forwards[0].path", "b:c");
    expect("rng", NULL, "entropyDevices[0].type", "virtioEntropy");
    expect("sound", NULL, "audioDevices[0].streams[1].attachment.type", "host");
    expect("sound", "output=none,input=wav:a:b", "audioDevices[0].streams[1].attachment.path", "a:b");
    expect("sound", "input=none", "audioDevices[0].streams[0].direction", "input");
}
END_TEST

/* And a failed one leaves the configuration as it was. */
START_TEST(options_refuse_what_they_do_not_take)
{
    static const char *const bad[][3] = {
        {"memroy", "1G", "there is no option 'memroy'; did you mean 'memory'?"},
        {"colour", "red", "there is no option 'colour'"},
        {"memory", NULL, "expected a size"},
        {"memory", "3K", "memory size 3 KiB is not between"},
        {"cpus", "0", "expected a number from 1 to 64"},
        {"no-reboot", "maybe", "expected on or off"},
        {"disk", NULL, "expected PATH[,ro]"},
        {"disk", "d,", "'' is not known here"},
        {"disk", "d,id", "id: expected"},
        {"rng", "x", "'x' is not known here"},
        {"seed", "u,m,n,o", "'o' is not known here"},
        {"seed", "", "expected"},
        {"boot-disk", "seed=u", "a kernel is read from a disk's image only"},
        {"net", "nat=5", "expected nat"},
        {"net", "tap", "expected NAME"},
        {"serial", "null:x", "expected null"},
        {"vsock", "listen", "listen: expected PORT:unix:PATH"},
        {"vsock", "listen=4294967295:unix:a", "listen: expected PORT:unix:PATH"},
        {"vsock", "listen=1:unix:", "listen: expected PORT:unix:PATH"},
        {"forward", "tcp:1", "expected tcp|udp:[HOST:]PORT:GUESTPORT"},
        {"boot-disk", "", "expected PATH"},
    };
    struct vz_config *c = vz_config_new(NULL, NULL);
    char *before = vz_config_to_json(c, NULL), *after;

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct vz_error err = {.text = ""};

        ck_assert_int_eq(vz_config_add(c, bad[i][0], bad[i][1], &err), -1);
        ck_assert_msg(strstr(err.text, bad[i][2]), "%s %s: %s", bad[i][0],
                      bad[i][1] ? bad[i][1] : "", err.text);
    }
    after = vz_config_to_json(c, NULL);
    ck_assert_str_eq(before, after);
    free(before);
    free(after);
    vz_config_unref(c);
    ck_assert_int_eq(vz_config_add(NULL, "rng", NULL, NULL), -1);
}
END_TEST

/* What another configuration has too must not change with this one. */
START_TEST(options_change_copies_of_objects)
{
    struct vz_config *c = with("net", "nat"), *d;
    char *text;

    ck_assert_int_eq(vz_config_add(c, "kernel", "k", NULL), 0);
    ck_assert_int_eq(vz_config_add(c, "vsock", "listen=1:unix:a", NULL), 0);
    d = vz_config_copy(c, NULL);
    ck_assert_int_eq(vz_config_add(d, "cmdline", "quiet", NULL), 0);
    ck_assert_int_eq(vz_config_add(d, "forward", "tcp:1:2", NULL), 0);
    ck_assert_int_eq(vz_config_add(d, "vsock", "cid=5,listen=2:unix:b", NULL), 0);
    ck_assert_str_eq(c->boot_loader->options.cmdline, "");
    ck_assert_str_eq(d->boot_loader->options.kernel, "k");
    ck_assert_uint_eq(config_network_device(c, 0)->attachment->forward_count, 0);
    ck_assert_uint_eq(config_network_device(d, 0)->attachment->forward_count, 1);
    ck_assert_uint_eq(config_socket(c)->forward_count, 1);
    ck_assert_uint_eq(config_socket(d)->forward_count, 2);
    ck_assert_uint_eq(d->socket_devices.count, 1);
    text = vz_config_get(d, "networkDevices[1]", NULL);
    ck_assert_ptr_null(text);
    ck_assert_int_eq(vz_config_add(c, "net", "tap=t", NULL), 0);
    vz_config_unref(c);
    vz_config_unref(d);
}
END_TEST

START_TEST(members_are_got_by_their_path)
{
    static const char *const bad[] = {"", "x", "cpus.x", "serialPorts[0]", "serialPorts[", "cpus[0]",
                                      "platform.", ".cpus", "label", "platform..type"};
    struct vz_config *c = vz_config_new(NULL, NULL);
    struct vz_error err;

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        ck_assert_msg(!vz_config_get(c, bad[i], &err), "%s", bad[i]);
        ck_assert_int_eq(err.code, VZ_ERROR_INVALID);
    }
    vz_config_unref(c);
}
END_TEST

struct told {
    unsigned objects, members, options;
    char disk[512];
};

static void note(void *arg, const struct vz_description *d)
{
    struct told *t = arg;

    ck_assert_uint_eq(d->size, sizeof(*d));
    ck_assert(d->text && d->text[0]);
    t->objects += d->kind == VZ_DESCRIBES_OBJECT;
    t->members += d->kind == VZ_DESCRIBES_MEMBER;
    t->options += d->kind == VZ_DESCRIBES_OPTION;
    if (d->kind == VZ_DESCRIBES_OPTION) {
        ck_assert(d->name && d->heading);
        if (!strcmp(d->name, "disk"))
            strcpy(t->disk, d->value);
    }
}

START_TEST(everything_is_described)
{
    struct told t = {.objects = 0};

    vz_config_describe(note, &t);
    ck_assert_uint_gt(t.objects, 20);
    ck_assert_uint_gt(t.members, 50);
    ck_assert_uint_gt(t.options, 20);
    ck_assert_str_eq(t.disk, "PATH[,ro][,cache=automatic|uncached|cached][,sync=full|fsync|none]"
                             "[,format=automatic|raw|qcow2][,backing=PATH][,ephemeral]"
                             "|seed=USER-DATA[,META-DATA][,NETWORK-CONFIG]"
                             "|nbd://...[,ro][,timeout=SECONDS][,sync=full|fsync|none][,id=NAME]"
                             "[,block-size=N][,limit-bytes=SIZE][,limit-operations=N][,limit-burst=MS][,filter=FILTER]");
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, options_do_what_they_say);
    UNIT_TEST(s, options_refuse_what_they_do_not_take);
    UNIT_TEST(s, options_change_copies_of_objects);
    UNIT_TEST(s, members_are_got_by_their_path);
    UNIT_TEST(s, everything_is_described);
}

UNIT_TEST_MAIN("schema_option", add_tests)
