/* Files of other programs, as case files are: what h5py writes is read, what reaches outside the
 * file is not. */
#define H5_USE_110_API
#include "nn/archive.h"
#include "tests/nn/expect.h"
#include "tests/nn/scratch.h"

#include <criterion/criterion.h>
#include <hdf5.h>
#include <string.h>

static grd_scope *scope;
static const char *path;

static void begin(void)
{
    scratch_begin();
    scope = grd_scope_begin();
    path = scratch_path("case.h5");
}

static void end(void)
{
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
    scratch_end();
}

TestSuite(foreign, .init = begin, .fini = end);

static hid_t create(void)
{
    const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_fclose_degree(access, H5F_CLOSE_STRONG);
    return H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, access);
}

/* A dataset "x" of 2 x 3 with these values in memory's type. */
static void put(hid_t file, hid_t type, hid_t memory, hid_t properties, const void *values)
{
    const hid_t space = H5Screate_simple(2, (hsize_t[]){ 2, 3 }, NULL);
    const hid_t set = H5Dcreate2(file, "x", type, space, H5P_DEFAULT, properties, H5P_DEFAULT);
    cr_assert_geq(set, 0, "libhdf5 refuses");
    if (values)
        cr_assert_geq(H5Dwrite(set, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, values), 0);
}

static const double numbers[6] = { 1, -2, 3, 0, 5, 100 };

/* Reads the file back; x must hold `numbers`. */
static void expect_numbers(hid_t file, grd_dtype dtype)
{
    double values[6];
    H5Fclose(file);
    const grdi_archive *archive = grdi_archive_read("test", path);
    cr_assert(archive, "%s", grd_error_message());
    const grdi_value *x = grdi_get(archive, "x", GRDI_ARRAY);
    cr_assert_eq(x->dtype, dtype);
    cr_assert(grdi_shape_equal(&x->shape, &GRD_SHAPE(2, 3)));
    for (int i = 0; i < 6; i++)
        values[i] = dtype == GRD_I64   ? (double)((const int64_t *)x->data)[i]
                    : dtype == GRD_F32 ? (double)((const float *)x->data)[i]
                                       : ((const double *)x->data)[i];
    cr_assert_arr_eq(values, numbers, sizeof numbers);
}

static hid_t half(void)
{
    const hid_t type = H5Tcopy(H5T_IEEE_F32LE);
    H5Tset_fields(type, 15, 10, 5, 0, 10);
    H5Tset_size(type, 2);
    H5Tset_ebias(type, 15);
    return type;
}

Test(foreign, numbers_of_any_width)
{
    const struct {
        hid_t type;
        grd_dtype dtype;
    } types[] = {
        { H5T_IEEE_F32LE, GRD_F32 }, { H5T_IEEE_F32BE, GRD_F32 }, { H5T_IEEE_F64LE, GRD_F64 },
        { H5T_IEEE_F64BE, GRD_F64 }, { half(), GRD_F32 },         { H5T_STD_I8LE, GRD_I64 },
        { H5T_STD_I16BE, GRD_I64 },  { H5T_STD_I32LE, GRD_I64 },  { H5T_STD_I64LE, GRD_I64 },
    };
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        const hid_t file = create();
        put(file, types[i].type, H5T_NATIVE_DOUBLE, H5P_DEFAULT, numbers);
        expect_numbers(file, types[i].dtype);
    }
}

Test(foreign, chunks_and_filters)
{
    const hid_t file = create(), properties = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(properties, 2, (hsize_t[]){ 1, 2 });
    H5Pset_shuffle(properties);
    H5Pset_deflate(properties, 6);
    H5Pset_fletcher32(properties);
    put(file, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, properties, numbers);
    expect_numbers(file, GRD_F64);
}

static void put_text(hid_t file, const char *name, size_t bytes, const void *value)
{
    const hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate(H5S_SCALAR);
    H5Tset_size(type, bytes);
    H5Tset_cset(type, H5T_CSET_UTF8);
    const hid_t attribute = H5Acreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    cr_assert_geq(H5Awrite(attribute, type, value), 0);
}

static void put_number(hid_t file, const char *name, hid_t type, hid_t memory, const void *value)
{
    const hid_t space = H5Screate(H5S_SCALAR);
    const hid_t attribute = H5Acreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    cr_assert_geq(H5Awrite(attribute, memory, value), 0);
}

Test(foreign, attributes)
{
    const char *word = "gel\xc3\xbc";
    const hid_t file = create();
    put_text(file, "variable", H5T_VARIABLE, &word);
    put_text(file, "fixed", 5, word);
    put_text(file, "padded", 9, "gel\xc3\xbc\0\0\0");
    put_number(file, "byte", H5T_STD_U8LE, H5T_NATIVE_INT, &(int){ 200 });
    put_number(file, "long", H5T_STD_U64LE, H5T_NATIVE_UINT64, &(uint64_t){ INT64_MAX });
    put_number(file, "real", H5T_IEEE_F32LE, H5T_NATIVE_DOUBLE, &(double){ 0.5 });
    H5Fclose(file);
    const grdi_archive *archive = grdi_archive_read("test", path);
    cr_assert(archive, "%s", grd_error_message());
    cr_assert_eq(archive->count, 6);
    cr_assert_str_eq(grdi_get(archive, "variable", GRDI_TEXT)->text, word);
    cr_assert_str_eq(grdi_get(archive, "fixed", GRDI_TEXT)->text, word);
    cr_assert_str_eq(grdi_get(archive, "padded", GRDI_TEXT)->text, word);
    cr_assert_eq(grdi_get(archive, "byte", GRDI_INTEGER)->integer, 200);
    cr_assert_eq(grdi_get(archive, "long", GRDI_INTEGER)->integer, INT64_MAX);
    cr_assert_eq(grdi_get(archive, "real", GRDI_REAL)->real, 0.5);
}

static void soft_link(hid_t file)
{
    H5Lcreate_soft("/elsewhere", file, "x", H5P_DEFAULT, H5P_DEFAULT);
}

static void external_link(hid_t file)
{
    H5Lcreate_external("/etc/passwd", "/x", file, "x", H5P_DEFAULT, H5P_DEFAULT);
}

static void external_values(hid_t file)
{
    const hid_t properties = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_external(properties, "/etc/passwd", 0, 24);
    put(file, H5T_IEEE_F32LE, 0, properties, NULL);
}

static void virtual_dataset(hid_t file)
{
    const hid_t properties = H5Pcreate(H5P_DATASET_CREATE);
    const hid_t space = H5Screate_simple(2, (hsize_t[]){ 2, 3 }, NULL);
    H5Pset_virtual(properties, space, "/etc/passwd", "x", space);
    put(file, H5T_IEEE_F32LE, 0, properties, NULL);
}

static void other_filter(hid_t file)
{
    const hid_t properties = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(properties, 2, (hsize_t[]){ 1, 2 });
    H5Pset_nbit(properties);
    put(file, H5T_IEEE_F32LE, 0, properties, NULL);
}

static void huge(hid_t file)
{
    const hid_t properties = H5Pcreate(H5P_DATASET_CREATE), space = H5Screate(H5S_SIMPLE);
    const hsize_t size = (hsize_t)1 << 40;
    H5Pset_chunk(properties, 1, &(hsize_t){ 1024 });
    H5Sset_extent_simple(space, 1, &size, NULL);
    H5Dcreate2(file, "x", H5T_IEEE_F32LE, space, H5P_DEFAULT, properties, H5P_DEFAULT);
}

static void references(hid_t file)
{
    put(file, H5T_STD_REF_OBJ, 0, H5P_DEFAULT, NULL);
}

static void long_double(hid_t file)
{
    put(file, H5T_NATIVE_LDOUBLE, 0, H5P_DEFAULT, NULL);
}

static void texts(hid_t file)
{
    const hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, H5T_VARIABLE);
    put(file, type, 0, H5P_DEFAULT, NULL);
}

static void wide(hid_t file)
{
    put_number(file, "x", H5T_STD_U64LE, H5T_NATIVE_UINT64, &(uint64_t){ UINT64_MAX });
}

static void wide_array(hid_t file)
{
    const uint64_t values[6] = { 1, 2, UINT64_MAX };
    put(file, H5T_STD_U64LE, H5T_NATIVE_UINT64, H5P_DEFAULT, values);
}

static void other_enum(hid_t file)
{
    const hid_t type = H5Tenum_create(H5T_STD_I8LE);
    H5Tenum_insert(type, "RED", &(int8_t){ 0 });
    H5Tenum_insert(type, "GREEN", &(int8_t){ 1 });
    put(file, type, 0, H5P_DEFAULT, NULL);
}

static const struct {
    void (*make)(hid_t file);
    const char *message;
} tricks[] = {
    { soft_link, "case.h5: x: it is a soft link" },
    { external_link, "case.h5: x: it is an external link" },
    { external_values, "case.h5: x: its values lie in another file" },
    { virtual_dataset, "case.h5: x: it is a virtual dataset" },
    { other_filter, "case.h5: x: it is stored through a filter other than deflate, shuffle and" },
    { huge, "case.h5: x: the values are more than the file can hold" },
    { references, "case.h5: x: its type is not supported" },
    { long_double, "case.h5: x: its type is not supported" },
    { texts, "case.h5: x: an array of texts is not supported" },
    { wide, "case.h5: x: the number is larger than an int64 holds" },
    { wide_array, "case.h5: x: a number in it is larger than an int64 holds" },
    { other_enum, "case.h5: x: its type is not supported" },
};

Test(foreign, what_reaches_out_or_cannot_be_held)
{
    for (size_t i = 0; i < sizeof tricks / sizeof tricks[0]; i++) {
        const hid_t file = create();
        cr_assert_geq(file, 0);
        tricks[i].make(file);
        H5Fclose(file);
        cr_assert_null(grdi_archive_read("test", path), "%s", tricks[i].message);
        expect_error(GRD_ERROR_FORMAT, tricks[i].message);
    }
    scratch_write("case.h5", "no HDF5", 7);
    cr_assert_null(grdi_archive_read("test", path));
    expect_error(GRD_ERROR_FORMAT, "test: ");
    cr_assert_null(grdi_archive_read("test", scratch_path("none")));
    expect_error(GRD_ERROR_NO_FILE, "none: there is no such file");
}

/* A library that prints, or a plugin that it loads, would be somebody else's. */
Test(foreign, settings_of_libhdf5_are_put_back)
{
    H5E_auto2_t print = NULL;
    void *data = NULL;
    unsigned plugins = 0;
    H5PLset_loading_state(H5PL_ALL_PLUGIN);
    H5Eset_auto2(H5E_DEFAULT, (H5E_auto2_t)H5Eprint2, stderr);
    scratch_write("case.h5", "no HDF5", 7);
    cr_assert_null(grdi_archive_read("test", path));
    cr_assert_eq(grd_error_take(), GRD_ERROR_FORMAT);
    H5PLget_loading_state(&plugins);
    H5Eget_auto2(H5E_DEFAULT, &print, &data);
    cr_assert_eq(plugins, (unsigned)H5PL_ALL_PLUGIN);
    cr_assert(print == (H5E_auto2_t)H5Eprint2 && data == stderr);
}
