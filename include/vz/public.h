/* SPDX-License-Identifier: MIT */
/* What every public header needs.
 *
 * Option structs, everywhere: start from the VZ_..._OPTIONS_INIT of the struct, change members,
 * hand over a pointer; NULL stands for the defaults. The first member is the size of the struct as
 * the caller knows it, so a program keeps working with a library whose struct has grown.
 *
 * Structs without a size: what the library fills in as a whole may end in `reserved` members, which
 * become named ones and are 0 until then. What it only shows (a pointer to a const struct that is its
 * own) may grow at its end.
 *
 * Reference counting, everywhere: vz_x_new() returns a reference, vz_x_ref() another one, and
 * vz_x_unref() gives one back (NULL is fine); any thread. Where an object is handed to another,
 * that one takes a reference of its own, so the caller may give back its own at once. Objects that
 * describe devices do not change once made and may serve in several configurations.
 *
 * NULL where something is needed (an object, a text, what an array's count counts, a function,
 * memory to fill in): who can report an error reports VZ_ERROR_INVALID, or fails as for a bad
 * value. The functions of configurations without a result do nothing. So only the end of a chain of
 * calls has to be checked. */
#ifndef VZ_PUBLIC_H
#define VZ_PUBLIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VZ_PUBLIC __attribute__((visibility("default")))

/* For the VZ_..._INIT macros: a struct's size, and what does not start as zero; in C, and in every
 * C++ since C++11, which has no designators before C++20. */
#ifdef __cplusplus
#define VZ_INIT_(type, set)                                                                        \
    []() -> type { type vz_init_ = {}; vz_init_.size = sizeof(vz_init_); set return vz_init_; }()
#define VZ_SET_(member, value) vz_init_.member = value;
#else
#define VZ_INIT_(type, set) {.size = sizeof(type) set}
#define VZ_SET_(member, value) , .member = value
#endif

/* Declares vz_NAME_ref() and vz_NAME_unref(). Since 0.2. */
#define VZ_DECLARE_COUNTED(name)                                                                   \
    struct vz_##name;                                                                              \
    VZ_PUBLIC struct vz_##name *vz_##name##_ref(struct vz_##name *object);                         \
    VZ_PUBLIC void vz_##name##_unref(struct vz_##name *object)

#endif
