/* SPDX-License-Identifier: MIT */
/* What a configuration consists of, said once: a table beside each struct, as state/state.h has for
 * the state of devices. From the tables come defaults, copies, JSON both ways (schema_read.c,
 * schema_write.c), ranges (validate.c), options of the command line (schema_option.c), and what
 * help, man page, docs/config-json.md and the Python classes say (schema_describe.c).
 *
 * An object is a struct that starts with struct object, is counted, and belongs to a type. A place
 * for an object, or for a list of them, takes the types of a class; in JSON the member "type" says
 * which. Elements of arrays are plain structs: they have a type too, but no "type", and no count.
 *
 * Text that an object has is its own, whatever const in a public options struct says. */
#ifndef VZ_CONFIG_SCHEMA_H
#define VZ_CONFIG_SCHEMA_H

#include <vz/network.h>
#include <vz/platform.h>

#include "config/object.h"

struct report;
struct schema_class;
struct schema_type;

enum schema_kind {
    SCHEMA_END,
    SCHEMA_CONST,  /* no member: always initial, by which code tells types of one struct apart */
    SCHEMA_BOOL,
    SCHEMA_NOT,    /* a bool that is stored the other way round: initial is true, of zeros */
    SCHEMA_UINT,   /* of 1, 2, 4 or 8 bytes */
    SCHEMA_SIZE,   /* bytes, uint64_t; where initial is 0, 0 stands for none */
    SCHEMA_FD,     /* int; -1: none */
    SCHEMA_STRING, /* char *; NULL: none */
    SCHEMA_PATH,   /* a string that names a file; never empty */
    SCHEMA_ENUM,   /* an enum, or a bool, whose value is the index of a word */
    SCHEMA_MAC,
    SCHEMA_UUID,
    SCHEMA_ONE,   /* a pointer to an object; NULL: none */
    SCHEMA_LIST,  /* struct object_list */
    SCHEMA_ARRAY, /* a pointer to elements, and their count */
};

/* Objects of one kind that a configuration has; each holds a reference. */
struct object_list {
    void **item;
    unsigned count;
};

/* A member. Written by the FIELD_ macros, and then what applies by name. */
struct schema_field {
    const char *json;      /* "readOnly" */
    enum schema_kind kind;
    uint16_t at, size, count_at; /* offset, bytes (ARRAY: of an element), offset of the count */
    bool required;         /* JSON and options must have it; text must not be empty */
    bool host;             /* the guest cannot see it, so it may change while a machine is saved; PATH and FD
                              never can be seen */
    bool rare;             /* ARRAY: JSON does without it while it is empty */
    const char *unless;    /* required: then required only where this other member is not there */
    /* UINT: what validates, where max is not 0. ARRAY: at most max, where it is not 0. */
    uint64_t min, max;
    uint64_t initial;      /* unless something else is said; FIELD_FD sets it */
    const char *initial_text; /* STRING, likewise; NULL: none */
    /* They end with NULL. ENUM: of the values from first_word on. BOOL, STRING: what options may
     * say, and JSON does not. ARRAY: what options call an element; which of them it is is the value
     * of the element's first member. */
    const char *const *words;
    uint64_t first_word;
    const struct schema_class *class;  /* ONE, LIST */
    const struct schema_type *element; /* ARRAY */
    /* Optional, for what ranges do not say. object: the one that has the member. */
    void (*check)(struct report *r, const void *object);
    const char *noun;      /* for messages: "MTU 12 is not between", "no kernel given" */
    /* Options. In the value of an option a member is called as in JSON, with dashes for capitals
     * ("read-only"), and short where that is not NULL; "": it is the next word without a name;
     * "=": it stands in front of the first word, with an equals sign between.
     * Of the whole, of the platform and of the boot loader, short is the name of an option. */
    const char *option;
    char letter;           /* of an option, besides; 0: none */
    const char *heading;   /* of an option: under which help lists it */
    const char *value;     /* what help calls the value: "PATH"; NULL: by its kind */
    const char *text;      /* one sentence: what it is. Help, man page, docs, Python */
    const char *more;      /* further sentences for all of them but help; may be NULL */
};

struct schema_type {
    const char *name;   /* unique: "disk_image"; Python's class is DiskImage */
    const char *json;   /* its "type"; NULL: an element, or the whole */
    size_t size;        /* of its struct */
    bool sized;         /* an element that begins with its size, as option structs do */
    bool single;        /* a list has at most one of this type; its option changes the one */
    const struct schema_field *fields; /* ends with SCHEMA_END */
    /* Optional: members that are there once others are, and combinations that make no object. 0, or
     * -errno with err. */
    int (*complete)(void *object, struct vz_error *err);
    /* Optional: whatever else does not validate, after the members' own checks. */
    void (*check)(struct report *r, const void *object);
    /* Options. Of a device: the option that adds one. Of what is attached: the word that an
     * option's value begins with; NULL: none, it is what begins with no such word. */
    const char *option;
    char letter;
    const char *heading;
    /* Of what is attached, in place of option: is an option's first word its first value? */
    bool (*claims)(const char *word);
    /* Elements: from its short form in options, which may be changed. False: it is none. */
    bool (*parse)(char *text, void *element);
    const char *value; /* that form: "PROTOCOL:[HOST:]PORT:GUESTPORT" */
    const char *text, *more; /* as a field's */
};

struct schema_class {
    const struct schema_type *const *types;  /* ends with NULL */
    const struct schema_type *otherwise;     /* what is there when nothing is said; NULL: nothing */
    bool colon; /* options say "file:PATH", with a path in which commas do not separate */
};

/* ---- Rows ----------------------------------------------------------------------------------- */

/* Where member m of struct T is, which must have one of the types of the _Generic associations. */
#define SCHEMA_AT(T, m, ...)                                                                       \
    .at = offsetof(T, m) + 0 * sizeof(_Generic(((T *)0)->m, __VA_ARGS__)),                         \
    .size = sizeof(((T *)0)->m)

#define FIELD_CONST(T, m, value)                                                                   \
    {.kind = SCHEMA_CONST, SCHEMA_AT(T, m, bool: 0, int: 0, unsigned: 0), .initial = (value)}
#define FIELD_BOOL(T, m, name, ...)                                                                \
    {.json = (name), .kind = SCHEMA_BOOL, SCHEMA_AT(T, m, bool: 0), __VA_ARGS__}
#define FIELD_NOT(T, m, name, ...)                                                                 \
    {.json = (name), .kind = SCHEMA_NOT, SCHEMA_AT(T, m, bool: 0), .initial = 1, __VA_ARGS__}
#define FIELD_UINT(T, m, name, ...)                                                                \
    {.json = (name), .kind = SCHEMA_UINT,                                                          \
     SCHEMA_AT(T, m, uint8_t: 0, uint16_t: 0, uint32_t: 0, uint64_t: 0), __VA_ARGS__}
#define FIELD_SIZE(T, m, name, ...)                                                                \
    {.json = (name), .kind = SCHEMA_SIZE, SCHEMA_AT(T, m, uint64_t: 0), __VA_ARGS__}
#define FIELD_FD(T, m, name, ...)                                                                  \
    {.json = (name), .kind = SCHEMA_FD, SCHEMA_AT(T, m, int: 0), .initial = (uint64_t)-1,          \
     __VA_ARGS__}
#define FIELD_STRING(T, m, name, ...)                                                              \
    {.json = (name), .kind = SCHEMA_STRING, SCHEMA_AT(T, m, char *: 0, const char *: 0),           \
     __VA_ARGS__}
#define FIELD_PATH(T, m, name, ...)                                                                \
    {.json = (name), .kind = SCHEMA_PATH, SCHEMA_AT(T, m, char *: 0, const char *: 0), __VA_ARGS__}
#define FIELD_ENUM(T, m, name, list, ...)                                                          \
    {.json = (name), .kind = SCHEMA_ENUM, SCHEMA_AT(T, m, bool: 0, int: 0, unsigned: 0),           \
     .words = (list), __VA_ARGS__}
#define FIELD_MAC(T, m, name, ...)                                                                 \
    {.json = (name), .kind = SCHEMA_MAC, SCHEMA_AT(T, m, struct vz_mac_address: 0), __VA_ARGS__}
#define FIELD_UUID(T, m, name, ...)                                                                \
    {.json = (name), .kind = SCHEMA_UUID, SCHEMA_AT(T, m, struct vz_machine_identifier: 0),        \
     __VA_ARGS__}
/* The pointer's target must start with its struct object. */
#define FIELD_ONE(T, m, name, of, ...)                                                             \
    {.json = (name), .kind = SCHEMA_ONE,                                                           \
     .at = offsetof(T, m) + 0 * sizeof(_Generic(((T *)0)->m->object, struct object: 0)),           \
     .size = sizeof(((T *)0)->m), .class = (of), __VA_ARGS__}
#define FIELD_LIST(T, m, name, of, ...)                                                            \
    {.json = (name), .kind = SCHEMA_LIST, SCHEMA_AT(T, m, struct object_list: 0), .class = (of),   \
     __VA_ARGS__}
#define FIELD_ARRAY(T, m, count, name, of, ...)                                                    \
    {.json = (name), .kind = SCHEMA_ARRAY, .at = offsetof(T, m), .size = sizeof(*((T *)0)->m),     \
     .count_at = offsetof(T, count) + 0 * sizeof(_Generic(((T *)0)->count, unsigned: 0)),          \
     .element = (of), __VA_ARGS__}
#define FIELD_END {.kind = SCHEMA_END}

/* ---- Objects -------------------------------------------------------------------------------- */

/* An object with its defaults, which is not complete where something is required. A reference; NULL,
 * with err, without memory. */
void *schema_new(const struct schema_type *type, struct vz_error *err);

/* A complete object like from, which is one of type's structs or all zeros but for members, and of
 * which everything is copied or referred to once more. NULL with err: something required is not
 * there ("no path given"), too many of something, or no memory. */
void *schema_make(const struct schema_type *type, const void *from, struct vz_error *err);

/* The same, but as complete as from is. */
void *schema_copy(const struct schema_type *type, const void *from, struct vz_error *err);

/* Fill in what stands for nothing said, and see whether it is all there. 0 or -errno. */
int schema_complete(const struct schema_type *type, void *object, struct vz_error *err) must_check;

/* Members of memory that is all zeros: defaults; a copy. Let go of what members hold. */
int schema_init(const struct schema_type *type, void *members, struct vz_error *err) must_check;
void schema_fini(const struct schema_type *type, void *members);

/* Of an object (never NULL). */
static inline const struct schema_type *schema_type_of(const void *object)
{
    return ((const struct object *)object)->type;
}

/* Take a reference at the end. 0, or -ENOMEM. */
int object_list_add(struct object_list *list, void *object) must_check;

/* One more element of zeros at the end of an array; NULL without memory. */
void *schema_array_add(const struct schema_field *f, void *object);

/* ---- Members, by their rows ----------------------------------------------------------------- */

static inline void *schema_at(const struct schema_field *f, const void *object)
{
    return (char *)(uintptr_t)object + f->at;
}

/* CONST, BOOL, NOT, UINT, SIZE, ENUM; FD as its two's complement. */
uint64_t schema_get(const struct schema_field *f, const void *object);
void schema_set(const struct schema_field *f, void *object, uint64_t value);
/* STRING, PATH. set takes text over, and frees what was there. */
char *schema_string(const struct schema_field *f, const void *object);
void schema_set_string(const struct schema_field *f, void *object, char *text);
/* ONE; LIST. */
void *schema_one(const struct schema_field *f, const void *object);
void schema_set_one(const struct schema_field *f, void *object, void *one);
/* ARRAY. */
unsigned schema_count(const struct schema_field *f, const void *object);
void *schema_element(const struct schema_field *f, const void *object, unsigned i);

/* The greatest value that an UINT can store. */
uint64_t schema_uint_max(const struct schema_field *f);

/* The word of an ENUM's value; NULL: it has none. */
const char *schema_word(const struct schema_field *f, uint64_t value);
/* The value of a word of an ENUM (or of a BOOL that has words); false: it is none of them. */
bool schema_word_parse(const struct schema_field *f, const char *word, uint64_t *ret);
/* "full, fsync or none"; len bytes with the NUL, of which it takes what it needs. */
void schema_words(const struct schema_field *f, char *ret, size_t len);

/* The member called name; NULL: there is none. */
const struct schema_field *schema_find(const struct schema_type *type, const char *name);

/* Does a value that is not set stand for none, so that JSON does without it? */
bool schema_is_none(const struct schema_field *f, const void *object);

#endif
