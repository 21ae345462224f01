/* SPDX-License-Identifier: MIT */
/* Shared directories as they are configured: tags, names, JSON. */
#include <vz/vz.h>

#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/compiler.h"
#include "config/foreign_binaries.h"
#include "unit.h"

START_TEST(tags_are_up_to_35_bytes_of_text)
{
    char tag[VZ_SHARE_TAG_MAX + 2];
    struct vz_error err = {0};

    memset(tag, 'x', sizeof(tag));
    tag[VZ_SHARE_TAG_MAX + 1] = '\0';
    ck_assert_int_eq(vz_share_tag_validate(tag, &err), -1);
    ck_assert_int_eq(err.code, VZ_ERROR_INVALID);
    tag[VZ_SHARE_TAG_MAX] = '\0';
    ck_assert_int_eq(vz_share_tag_validate(tag, NULL), 0);
    ck_assert_int_eq(vz_share_tag_validate("Größe/..", NULL), 0);
    ck_assert_int_eq(vz_share_tag_validate("", NULL), -1);
    ck_assert_int_eq(vz_share_tag_validate("\xff", NULL), -1);
    ck_assert_int_eq(vz_share_tag_validate("\xc3", NULL), -1);
    ck_assert_int_eq(vz_share_tag_validate(NULL, NULL), -1);
}
END_TEST

START_TEST(names_are_single_components_and_have_a_canonical_form)
{
    static const char *const bad[][2] = {
        {".", "_"}, {"..", "__"}, {"a/b", "a_b"}, {"/", "_"}, {"../x", ".._x"}, {"a\\b", "a_b"}, {"a:b", "a_b"},
        {"a\nb", "a_b"}, {"\x7f", "_"}, {"\xc2\x85", "_"}, {"\xff", "_"}, {"\xc0\xaf", "__"}};
    static const char *const good[] = {"a", "...", ".x", "Größe", "a b"};
    char longest[VZ_SHARED_DIRECTORY_NAME_MAX + 3], ret[VZ_SHARED_DIRECTORY_NAME_MAX + 1];
    struct vz_error err = {0};

    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        ck_assert_msg(vz_shared_directory_name_validate(bad[i][0], &err) == -1, "%s", bad[i][0]);
        ck_assert_int_eq(err.code, VZ_ERROR_INVALID);
        ck_assert_int_eq(vz_shared_directory_name_canonical(bad[i][0], ret, NULL), 0);
        ck_assert_str_eq(ret, bad[i][1]);
        ck_assert_int_eq(vz_shared_directory_name_validate(ret, NULL), 0);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(good); i++)
        ck_assert_int_eq(vz_shared_directory_name_validate(good[i], NULL), 0);
    ck_assert_int_eq(vz_shared_directory_name_validate("", NULL), -1);
    ck_assert_int_eq(vz_shared_directory_name_canonical("", ret, NULL), -1);
    memset(longest, 'x', sizeof(longest));
    strcpy(longest + VZ_SHARED_DIRECTORY_NAME_MAX - 1, "\xc3\xa4"); /* a character that would be cut in two */
    ck_assert_int_eq(vz_shared_directory_name_canonical(longest, ret, NULL), 0);
    ck_assert_uint_eq(strlen(ret), VZ_SHARED_DIRECTORY_NAME_MAX - 1);
}
END_TEST

static void look_for_name(void *arg, const struct vz_problem *problem)
{
    *(bool *)arg |= strstr(problem->object, "directories[") != NULL;
}

START_TEST(shares_go_round_as_json_and_names_must_be_ones)
{
    static const char text[] =
        "{\"directorySharingDevices\": [{\"type\": \"virtioFileSystem\", \"tag\": \"t\", \"ownership\": \"5:6\","
        " \"automount\": true, \"mountPoint\": \"/srv\","
        " \"share\": {\"type\": \"multipleDirectory\", \"directories\": [{\"name\": \"%s\", \"path\": \"/usr\","
        " \"readOnly\": true}, {\"name\": \"b\", \"path\": \"/etc\"}]}}]}";
    static const char *const bad[] = {"..", "a/b", "b"}; /* the last one: twice */
    struct vz_error err = {0};
    struct vz_config *c, *again;
    bool named;
    char json[512], *first, *second;

    snprintf(json, sizeof(json), text, "a");
    c = vz_config_from_json(json, strlen(json), &err);
    ck_assert_msg(c != NULL, "%s", err.text);
    first = vz_config_to_json(c, NULL);
    ck_assert_ptr_nonnull(strstr(first, "\"ownership\": \"5:6\""));
    ck_assert_ptr_nonnull(strstr(first, "\"automount\": true"));
    ck_assert_ptr_nonnull(strstr(first, "\"mountPoint\": \"/srv\""));
    ck_assert_ptr_nonnull(strstr(first, "\"readOnly\": true"));
    again = vz_config_from_json(first, strlen(first), &err);
    ck_assert_msg(again != NULL, "%s", err.text);
    second = vz_config_to_json(again, NULL);
    ck_assert_str_eq(first, second);
    free(first);
    free(second);
    vz_config_unref(c);
    vz_config_unref(again);
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        snprintf(json, sizeof(json), text, bad[i]);
        c = vz_config_from_json(json, strlen(json), &err);
        ck_assert_msg(c != NULL, "%s", err.text);
        named = false;
        ck_assert_int_lt(vz_config_validate(c, look_for_name, &named, NULL), 0);
        ck_assert_msg(named, "%s", bad[i]);
        vz_config_unref(c);
    }
}
END_TEST

static void look_for_window(void *arg, const struct vz_problem *problem)
{
    *(bool *)arg &= strstr(problem->text, "window") == NULL;
}

static bool is_valid_window(const char *size)
{
    char json[512];
    struct vz_error err = {0};
    struct vz_config *c;
    bool valid;

    snprintf(json, sizeof(json),
             "{\"directorySharingDevices\": [{\"type\": \"virtioFileSystem\", \"tag\": \"t\", \"daxSize\": %s,"
             " \"share\": {\"type\": \"singleDirectory\", \"path\": \"/usr\"}},"
             " {\"type\": \"virtioFileSystem\", \"tag\": \"u\", \"daxSize\": 1073741824,"
             " \"share\": {\"type\": \"singleDirectory\", \"path\": \"/usr\"}}]}",
             size);
    c = vz_config_from_json(json, strlen(json), &err);
    ck_assert_msg(c != NULL, "%s", err.text);
    valid = true;
    vz_config_validate(c, look_for_window, &valid, NULL);
    vz_config_unref(c);
    return valid;
}

START_TEST(windows_are_powers_of_two_within_bounds)
{
    ck_assert(is_valid_window("0") && is_valid_window("16777216") && is_valid_window("8589934592"));
    ck_assert(!is_valid_window("8388608") && !is_valid_window("50331648") && !is_valid_window("34359738368"));
    ck_assert(!is_valid_window("17179869184")); /* with the other one's it is more */
}
END_TEST

START_TEST(foreign_architectures_are_known_and_go_round)
{
    static const char *const some[] = {"arm64", "s390x"}, *const none[] = {"vax"};
    struct vz_foreign_binaries_options o = VZ_FOREIGN_BINARIES_OPTIONS_INIT;
    struct vz_error err = {0};
    struct vz_directory_sharing_device *d;
    struct vz_directory_share *s;
    struct vz_config *c = vz_config_new(NULL, NULL), *again;
    char *first, *second;
    unsigned count = 0;

    while (vz_foreign_binaries_architecture(count))
        ck_assert_int_ne(vz_foreign_binaries_availability(vz_foreign_binaries_architecture(count++)),
                         VZ_FOREIGN_BINARIES_NOT_SUPPORTED);
    ck_assert_uint_eq(count, 6);
    ck_assert_int_eq(vz_foreign_binaries_availability("vax"), VZ_FOREIGN_BINARIES_NOT_SUPPORTED);
    ck_assert_int_eq(vz_foreign_binaries_availability(NULL), VZ_FOREIGN_BINARIES_NOT_SUPPORTED);
    ck_assert_ptr_nonnull(strstr(vz_foreign_binaries_install_hint(), "qemu-user-static"));
    o.architectures = none;
    o.architecture_count = 1;
    ck_assert_ptr_null(vz_foreign_binaries_share_new(&o, &err));
    ck_assert_int_eq(err.code, VZ_ERROR_INVALID);
    o.architectures = some;
    o.architecture_count = 2;
    o.directory = "/nowhere";
    s = vz_foreign_binaries_share_new(&o, &err);
    ck_assert_msg(s != NULL, "%s", err.text);
    d = vz_virtio_file_system_device_new("f", s, NULL, &err);
    ck_assert_int_eq(vz_config_add_directory_sharing_device(c, d, &err), 0);
    first = vz_config_to_json(c, NULL);
    again = vz_config_from_json(first, strlen(first), &err);
    ck_assert_msg(again != NULL, "%s", err.text);
    second = vz_config_to_json(again, NULL);
    ck_assert_str_eq(first, second);
    ck_assert_ptr_nonnull(strstr(first, "\"foreignBinaries\""));
    ck_assert_ptr_nonnull(strstr(first, "\"s390x\""));
    free(first);
    free(second);
    vz_directory_sharing_device_unref(d);
    vz_directory_share_unref(s);
    vz_config_unref(again);
    vz_config_unref(c);
}
END_TEST

/* What the kernel is told has to fit heads of programs as compilers write them. */
START_TEST(interpreters_are_registered_by_the_heads_of_their_programs)
{
    struct vz_directory_share s = {.kind = SHARE_OF_INTERPRETERS};
    struct foreign_choice choice = {.name = (char *)"s390x"};
    struct foreign_files f;
    struct vz_error err = {0};
    const Elf64_Ehdr head = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
                             .e_type = ET_EXEC, .e_machine = EM_X86_64, .e_phoff = sizeof(head),
                             .e_phentsize = sizeof(Elf64_Phdr), .e_phnum = 1};
    Elf64_Phdr part = {.p_type = PT_LOAD};
    char folder[] = "/tmp/vz-foreign-XXXXXX", path[64];
    int fd;

    ck_assert_ptr_nonnull(mkdtemp(folder));
    s.path = folder;
    s.choice = &choice;
    s.choice_count = 1;
    ck_assert_int_lt(foreign_files_find(&s, &f, &err), 0);
    ck_assert_int_eq(err.code, VZ_ERROR_IO);
    snprintf(path, sizeof(path), "%s/qemu-s390x-static", folder);
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
    ck_assert_int_eq(write(fd, &head, sizeof(head)), sizeof(head));
    ck_assert_int_eq(write(fd, &part, sizeof(part)), sizeof(part));
    ck_assert_msg(foreign_files_find(&s, &f, &err) == 0, "%s", err.text);
    ck_assert_uint_eq(f.count, 1);
    ck_assert_str_eq(f.file[0].name, "s390x-binfmt-P");
    ck_assert_str_eq(f.registrations,
                     ":vz-s390x:M:0:"
                     "\\x7f\\x45\\x4c\\x46\\x02\\x02\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x02\\x00\\x16:"
                     "\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xfc\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xfe\\xff\\xff:"
                     "s390x-binfmt-P:POCF\n");
    foreign_files_fini(&f);
    part.p_type = PT_INTERP; /* it needs a file that a guest does not have */
    ck_assert_int_eq(pwrite(fd, &part, sizeof(part), sizeof(head)), sizeof(part));
    ck_assert_int_lt(foreign_files_find(&s, &f, &err), 0);
    ck_assert_ptr_nonnull(strstr(err.text, "not a static program"));
    close(fd);
    unlink(path);
    rmdir(folder);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, foreign_architectures_are_known_and_go_round);
    UNIT_TEST(s, interpreters_are_registered_by_the_heads_of_their_programs);
    UNIT_TEST(s, tags_are_up_to_35_bytes_of_text);
    UNIT_TEST(s, names_are_single_components_and_have_a_canonical_form);
    UNIT_TEST(s, shares_go_round_as_json_and_names_must_be_ones);
    UNIT_TEST(s, windows_are_powers_of_two_within_bounds);
}

UNIT_TEST_MAIN("share_device", add_tests)
