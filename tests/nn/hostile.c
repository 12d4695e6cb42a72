/* Files that must be refused: cut off, changed by one byte, of other makers, and, under a seal that
 * is right, all that HDF5 can do and a checkpoint never does. */
#define H5_USE_110_API
#include "nn/seal.h"
#include "tests/nn/expect.h"
#include "tests/nn/run.h"
#include "tests/nn/scratch.h"

#include <criterion/criterion.h>
#include <hdf5.h>
#include <string.h>

enum { MAX = 1 << 17 };

static grd_scope *scope;
static const char *path;
static unsigned char good[MAX], bad[MAX];
static size_t size;
static run target;

static void begin(void)
{
    scratch_begin();
    scope = grd_scope_begin();
    path = scratch_path("run.h5");
    run saved = run_create(1);
    const grd_checkpoint all = run_checkpoint(&saved);
    run_steps(&saved, 2);
    cr_assert_eq(grd_save(path, &all), GRD_OK, "%s", grd_error_message());
    size = (size_t)scratch_read("run.h5", good, sizeof good);
    memcpy(bad, good, size);
    target = run_create(2);
}

static void end(void)
{
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
    scratch_end();
}

TestSuite(hostile, .init = begin, .fini = end);

/* Loading the file fails with this, and changes nothing. */
static void expect_refused(const char *message)
{
    const grd_checkpoint all = run_checkpoint(&target);
    const run before = target;
    const double first = grd_item(grd_sum(grd_module_parameter(target.model, "out")));
    cr_assert_eq(grd_load(path, &all), GRD_ERROR_FORMAT, "wanted: %s", message);
    expect_error(GRD_ERROR_FORMAT, message);
    cr_assert_eq(target.step, before.step);
    cr_assert_eq(grd_item(grd_sum(grd_module_parameter(target.model, "out"))), first);
}

/* ---- Damage ---- */

/* Whether the seal lets these bytes through. */
static bool passes(const unsigned char *bytes, size_t count)
{
    grd_scope *inner = grd_scope_begin();
    grdi_bytes *copy = grdi_bytes_create("test", count);
    memcpy(copy->data, bytes, count);
    const bool passed = grdi_sealed("test", "file", copy);
    cr_assert_eq(grd_error_take(), passed ? GRD_OK : GRD_ERROR_FORMAT);
    grd_scope_end(inner);
    return passed;
}

Test(hostile, cut_off_at_any_length)
{
    cr_assert(passes(good, size));
    for (size_t cut = 0; cut < size; cut++)
        cr_assert_not(passes(good, cut), "%zu bytes", cut);
    for (size_t cut = 0; cut < size; cut = 3 * cut + 1) {
        scratch_write("run.h5", good, cut);
        expect_refused(cut == 0    ? "run.h5: the file is empty at "
                       : cut < 512 ? "bytes, less than the header's 512"
                                   : "run.h5: cut off: ");
    }
    scratch_write("run.h5", good, size);
    const grd_checkpoint all = run_checkpoint(&target);
    cr_assert_eq(grd_load(path, &all), GRD_OK, "%s", grd_error_message());
}

Test(hostile, any_byte_changed)
{
    unsigned random = 1;
    for (size_t i = 0; i < 5000; i++) {
        random = random * 1664525 + 1013904223;
        const size_t at = i < 512 ? i : random % size;
        const unsigned char flip = (unsigned char)(1 + (random >> 16) % 255);
        bad[at] ^= flip;
        cr_assert_not(passes(bad, size), "byte %zu", at);
        if (i % 100 == 0) {
            scratch_write("run.h5", bad, size);
            expect_refused("load: ");
        }
        bad[at] ^= flip;
    }
    cr_assert_arr_eq(bad, good, size);
}

Test(hostile, longer_swapped_and_of_other_makers)
{
    scratch_write("run.h5", good, size + 1);
    expect_refused("run.h5: too long: ");
    bad[8] = 2;
    scratch_write("run.h5", bad, size);
    expect_refused("run.h5: written in version 2 of the format, this library reads 1 at ");
    bad[8] = 1;
    bad[size / 2] ^= 1;
    scratch_write("run.h5", bad, size);
    expect_refused("run.h5: damaged: its bytes do not fit its digest at ");
    scratch_write("run.h5", good + 512, size - 512);
    expect_refused("run.h5: an HDF5 file, but no Gradus checkpoint");
    scratch_write("run.h5", "PK\3\4, as torch.save writes", 24);
    expect_refused("run.h5: not a Gradus checkpoint at ");

    cr_assert_eq(grd_load("/dev/zero", &(grd_checkpoint){ 0 }), GRD_ERROR_IO);
    expect_error(GRD_ERROR_IO, "load: /dev/zero: not a regular file");
    cr_assert_eq(grd_load(scratch_path(""), &(grd_checkpoint){ 0 }), GRD_ERROR_IO);
    expect_error(GRD_ERROR_IO, "/: not a regular file");
}

/* ---- Under a right seal ---- */

static hid_t new_file(void)
{
    const hid_t access = H5Pcreate(H5P_FILE_ACCESS), root = H5Pcreate(H5P_FILE_CREATE);
    const unsigned order = H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED;
    H5Pset_fapl_core(access, 1 << 16, false);
    H5Pset_fclose_degree(access, H5F_CLOSE_STRONG); /* what tricks leave open */
    H5Pset_link_creation_order(root, order);
    H5Pset_attr_creation_order(root, order);
    const hid_t file = H5Fcreate("hostile", H5F_ACC_TRUNC, root, access);
    const hid_t space = H5Screate(H5S_SCALAR);
    const hid_t version =
        H5Acreate2(file, "format_version", H5T_STD_I64LE, space, H5P_DEFAULT, H5P_DEFAULT);
    H5Awrite(version, H5T_NATIVE_INT64, &(int64_t){ 1 });
    H5Aclose(version);
    H5Sclose(space);
    H5Pclose(access);
    H5Pclose(root);
    return file;
}

/* Writes the file behind a seal and closes it. */
static void seal_file(hid_t file)
{
    H5Fflush(file, H5F_SCOPE_GLOBAL);
    const ssize_t length = H5Fget_file_image(file, NULL, 0);
    cr_assert_gt(length, 0);
    grdi_bytes *bytes = grdi_bytes_create("test", 512 + (size_t)length);
    H5Fget_file_image(file, bytes->data + 512, (size_t)length);
    grdi_seal(bytes);
    scratch_write("run.h5", bytes->data, bytes->size);
    H5Fclose(file);
}

static hid_t vector(hsize_t count, const hsize_t *limit)
{
    return H5Screate_simple(1, &count, limit);
}

/* A dataset "x" of four values. */
static void put(hid_t file, hid_t type, hid_t properties)
{
    const hid_t space = vector(4, NULL);
    const hid_t set = H5Dcreate2(file, "x", type, space, H5P_DEFAULT, properties, H5P_DEFAULT);
    cr_assert_geq(set, 0, "libhdf5 refuses");
    H5Dclose(set);
    H5Sclose(space);
}

static void soft_link(hid_t file)
{
    H5Lcreate_soft("/elsewhere", file, "x", H5P_DEFAULT, H5P_DEFAULT);
}

static void external_link(hid_t file)
{
    H5Lcreate_external("/etc/passwd", "/x", file, "x", H5P_DEFAULT, H5P_DEFAULT);
}

static void two_names(hid_t file)
{
    put(file, H5T_IEEE_F32LE, H5P_DEFAULT);
    H5Lcreate_hard(file, "x", file, "y", H5P_DEFAULT, H5P_DEFAULT);
}

static void cycle(hid_t file)
{
    H5Lcreate_hard(file, "/", file, "x", H5P_DEFAULT, H5P_DEFAULT);
}

static void external_values(hid_t file)
{
    const hid_t properties = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_external(properties, "/etc/passwd", 0, 16);
    put(file, H5T_IEEE_F32LE, properties);
}

static void virtual_dataset(hid_t file)
{
    const hid_t properties = H5Pcreate(H5P_DATASET_CREATE), space = vector(4, NULL);
    H5Pset_virtual(properties, space, "/etc/passwd", "x", space);
    put(file, H5T_IEEE_F32LE, properties);
}

static void chunked(hid_t file)
{
    const hid_t properties = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(properties, 1, &(hsize_t){ 2 });
    put(file, H5T_IEEE_F32LE, properties);
}

static void compact(hid_t file)
{
    const hid_t properties = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_layout(properties, H5D_COMPACT);
    put(file, H5T_IEEE_F32LE, properties);
}

static void variable_text(hid_t file)
{
    const hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, H5T_VARIABLE);
    put(file, type, H5P_DEFAULT);
}

static void variable_numbers(hid_t file)
{
    put(file, H5Tvlen_create(H5T_IEEE_F32LE), H5P_DEFAULT);
}

static void references(hid_t file)
{
    put(file, H5T_STD_REF_OBJ, H5P_DEFAULT);
}

static void compound(hid_t file)
{
    const hid_t type = H5Tcreate(H5T_COMPOUND, 4);
    H5Tinsert(type, "a", 0, H5T_IEEE_F32LE);
    put(file, type, H5P_DEFAULT);
}

static void small_integers(hid_t file)
{
    put(file, H5T_STD_I32LE, H5P_DEFAULT);
}

static void big_endian(hid_t file)
{
    put(file, H5T_IEEE_F32BE, H5P_DEFAULT);
}

static void named_type(hid_t file)
{
    const hid_t type = H5Tcopy(H5T_IEEE_F32LE);
    H5Tcommit2(file, "x", type, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
}

static void used_named_type(hid_t file)
{
    const hid_t type = H5Tcopy(H5T_IEEE_F32LE);
    H5Tcommit2(file, "y", type, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    put(file, type, H5P_DEFAULT);
    H5Ldelete(file, "y", H5P_DEFAULT);
}

/* Declared and never written: no bytes are there. */
static void huge(hid_t file)
{
    const hid_t properties = H5Pcreate(H5P_DATASET_CREATE);
    const hid_t space = vector((hsize_t)1 << 40, NULL);
    H5Pset_alloc_time(properties, H5D_ALLOC_TIME_LATE);
    H5Dclose(H5Dcreate2(file, "x", H5T_IEEE_F32LE, space, H5P_DEFAULT, properties, H5P_DEFAULT));
}

static void overflowing(hid_t file)
{
    const hid_t properties = H5Pcreate(H5P_DATASET_CREATE);
    const hid_t space =
        H5Screate_simple(2, (hsize_t[]){ (hsize_t)1 << 31, (hsize_t)1 << 30 }, NULL);
    H5Pset_alloc_time(properties, H5D_ALLOC_TIME_LATE);
    H5Dclose(H5Dcreate2(file, "x", H5T_IEEE_F32LE, space, H5P_DEFAULT, properties, H5P_DEFAULT));
}

static void unwritten(hid_t file)
{
    const hid_t properties = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_alloc_time(properties, H5D_ALLOC_TIME_LATE);
    put(file, H5T_IEEE_F32LE, properties);
}

static void no_space(hid_t file)
{
    const hid_t space = H5Screate(H5S_NULL);
    H5Dclose(H5Dcreate2(file, "x", H5T_IEEE_F32LE, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
}

static void nine_dimensions(hid_t file)
{
    const hsize_t sizes[9] = { 1, 1, 1, 1, 1, 1, 1, 1, 1 };
    const hid_t space = H5Screate_simple(9, sizes, NULL);
    H5Dclose(H5Dcreate2(file, "x", H5T_IEEE_F32LE, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
}

static void deep(hid_t file)
{
    const hid_t ordered = H5Pcreate(H5P_GROUP_CREATE);
    const unsigned order = H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED;
    H5Pset_link_creation_order(ordered, order);
    H5Pset_attr_creation_order(ordered, order);
    hid_t group = file;
    for (int i = 0; i < 12; i++)
        group = H5Gcreate2(group, "x", H5P_DEFAULT, ordered, H5P_DEFAULT);
}

static void group_without_order(hid_t file)
{
    const hid_t group = H5Gcreate2(file, "x", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    put(group, H5T_IEEE_F32LE, H5P_DEFAULT);
}

static void terminal_name(hid_t file)
{
    H5Gclose(H5Gcreate2(file, "x\x1b[2J", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
}

static void attribute_list(hid_t file)
{
    const hid_t space = vector(3, NULL);
    H5Aclose(H5Acreate2(file, "x", H5T_STD_I64LE, space, H5P_DEFAULT, H5P_DEFAULT));
}

static void put_text(hid_t file, const char *text)
{
    const hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate(H5S_SCALAR);
    H5Tset_size(type, strlen(text));
    const hid_t attribute = H5Acreate2(file, "x", type, space, H5P_DEFAULT, H5P_DEFAULT);
    H5Awrite(attribute, type, text);
    H5Aclose(attribute);
}

static void latin1_text(hid_t file)
{
    put_text(file, "\xe4z");
}

static void terminal_text(hid_t file)
{
    put_text(file, "\x1b[2J");
}

static void true_and_more(hid_t file)
{
    const hid_t type = H5Tenum_create(H5T_STD_I8LE), space = vector(2, NULL);
    H5Tenum_insert(type, "FALSE", &(int8_t){ 0 });
    H5Tenum_insert(type, "TRUE", &(int8_t){ 1 });
    const hid_t set = H5Dcreate2(file, "x", type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, (int8_t[]){ 1, 2 });
    H5Dclose(set);
}

static const struct {
    void (*make)(hid_t file);
    const char *message;
} tricks[] = {
    { soft_link, "run.h5: x: it is a soft link" },
    { external_link, "run.h5: x: it is an external link" },
    { two_names, "run.h5: x: it has several names" },
    { cycle, "run.h5: x: it has several names" },
    { external_values, "run.h5: x: its values lie in another file" },
    { virtual_dataset, "run.h5: x: it is a virtual dataset" },
    { chunked, "run.h5: x: it is chunked or filtered" },
    { compact, "run.h5: x: it is chunked or filtered" },
    { variable_text, "run.h5: x: its type is not supported" },
    { variable_numbers, "run.h5: x: its type is not supported" },
    { references, "run.h5: x: its type is not supported" },
    { compound, "run.h5: x: its type is not supported" },
    { small_integers, "run.h5: x: its type is not supported" },
    { big_endian, "run.h5: x: its type is not supported" },
    { named_type, "run.h5: x: it is neither a group nor a dataset" },
    { used_named_type, "run.h5: x: it has a named type" },
    { huge, "run.h5: x: the values are more than the file can hold" },
    { overflowing, "run.h5: x: its size is not fixed or too large" },
    { unwritten, "run.h5: x: its stored size is not that of its values" },
    { no_space, "run.h5: x: it has no values" },
    { nine_dimensions, "run.h5: x: it has more than 8 dimensions" },
    { deep, "run.h5: x/x/x/x/x/x/x/x: groups lie too deep in each other" },
    { group_without_order, "run.h5: x: its members cannot be listed" },
    { terminal_name, "run.h5: /: a name in it is not plain UTF-8" },
    { attribute_list, "run.h5: x: the attribute is not a scalar" },
    { latin1_text, "run.h5: x: the text is not UTF-8" },
    { terminal_text, "run.h5: x: the text holds control characters" },
    { true_and_more, "run.h5: x: a bool in it is neither true nor false" },
};

Test(hostile, what_a_checkpoint_never_does)
{
    for (size_t i = 0; i < sizeof tricks / sizeof tricks[0]; i++) {
        const hid_t file = new_file();
        cr_assert_geq(file, 0);
        tricks[i].make(file);
        seal_file(file);
        expect_refused(tricks[i].message);
    }
}

Test(hostile, a_seal_around_no_hdf5)
{
    for (size_t length = 0; length < 2000; length = 2 * length + 1) {
        grdi_bytes *bytes = grdi_bytes_create("test", 512 + length);
        memset(bytes->data, 0x5a, bytes->size);
        grdi_seal(bytes);
        scratch_write("run.h5", bytes->data, bytes->size);
        expect_refused("run.h5: /: not an HDF5 file, or a damaged one at ");
    }
}

Test(hostile, a_version_to_come)
{
    const hid_t file = new_file();
    const hid_t version = H5Aopen(file, "format_version", H5P_DEFAULT);
    H5Awrite(version, H5T_NATIVE_INT64, &(int64_t){ 2 });
    H5Aclose(version);
    seal_file(file);
    expect_refused("run.h5: format_version is 2, this library reads 1");
}

/* All handles are closed: libhdf5 has no more open after these than before. */
Test(hostile, nothing_stays_open)
{
    for (size_t i = 0; i < sizeof tricks / sizeof tricks[0]; i++) {
        const hid_t file = new_file();
        tricks[i].make(file);
        seal_file(file);
        const ssize_t open = H5Fget_obj_count((hid_t)H5F_OBJ_ALL, H5F_OBJ_ALL);
        expect_refused("run.h5: ");
        cr_assert_eq(H5Fget_obj_count((hid_t)H5F_OBJ_ALL, H5F_OBJ_ALL), open, "%s",
                     tricks[i].message);
    }
}
