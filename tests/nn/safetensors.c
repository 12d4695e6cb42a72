/* safetensors: out and in, and every file refused that the format's rules forbid. */
#include "nn/module.h"
#include "tests/nn/expect.h"
#include "tests/nn/run.h"
#include "tests/nn/scratch.h"

#include <criterion/criterion.h>
#include <string.h>

static grd_scope *scope;
static const char *path;

static void begin(void)
{
    scratch_begin();
    scope = grd_scope_begin();
    path = scratch_path("model.safetensors");
}

static void end(void)
{
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
    scratch_end();
}

TestSuite(safetensors, .init = begin, .fini = end);

static grd_module *mixed(double value)
{
    grd_module *m = grd_module_create("Mixed", 0, NULL), *n = grd_module_create("Inner", 0, NULL);
    grd_module_add(m, "inner", n);
    grd_module_add_parameter(m, "half", grd_cast(grd_full(GRD_SHAPE(3), value), GRD_F16));
    grd_module_add_parameter(m, "f32", grd_full(GRD_SHAPE(2, 3), value));
    grd_module_add_parameter(n, "bf16", grd_cast(grd_full(GRD_SCALAR, value), GRD_BF16));
    grd_module_add_parameter(n, "f64", grd_cast(grd_full(GRD_SHAPE(2), value), GRD_F64));
    grd_module_add_parameter(n, "none", grd_full(GRD_SHAPE(0), value));
    grd_module_add_buffer(m, "bool", grd_from_bool((bool[]){ value > 1 }, 1, GRD_SHAPE(1)));
    grd_module_add_buffer(m, "i64", grd_from_i64((int64_t[]){ (int64_t)value }, 1, GRD_SHAPE(1)));
    cr_assert_not(grdi_latched(), "%s", grd_error_message());
    return m;
}

static bool same_states(const grd_module *a, const grd_module *b)
{
    bool same = grdi_module_num_states(a) == grdi_module_num_states(b);
    for (int64_t i = 0; same && i < grdi_module_num_states(a); i++)
        same = same_bits(grdi_module_state(a, i).tensor, grdi_module_state(b, i).tensor);
    return same;
}

Test(safetensors, come_back_and_are_as_documented)
{
    char bytes[2048];
    grd_module *saved = mixed(1.1), *loaded = mixed(0.3);
    cr_assert_eq(grd_export_safetensors(path, saved), GRD_OK, "%s", grd_error_message());
    cr_assert_eq(grd_import_safetensors(path, loaded), GRD_OK, "%s", grd_error_message());
    cr_assert(same_states(saved, loaded));

    static const char header[] =
        "{\"__metadata__\":{\"format\":\"pt\"},"
        "\"half\":{\"dtype\":\"F16\",\"shape\":[3],\"data_offsets\":[48,54]},"
        "\"f32\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[24,48]},";
    const long size = scratch_read("model.safetensors", bytes, sizeof bytes);
    const long length = (unsigned char)bytes[0] + 256 * (unsigned char)bytes[1];
    cr_assert_eq(length % 8, 0);
    cr_assert_eq(size, 8 + length + 16 + 8 + 24 + 6 + 2 + 1);
    cr_assert_arr_eq(bytes + 8, header, sizeof header - 1, "%.300s", bytes + 8);
}

/* Writes a file with this header and `size` bytes after it. */
static void write_file(const char *header, size_t size)
{
    char file[4096] = { 0 };
    const size_t length = strlen(header);
    file[0] = (char)(length & 0xff);
    file[1] = (char)(length >> 8);
    memcpy(file + 8, header, length);
    memset(file + 8 + length, 0x01, size);
    scratch_write("model.safetensors", file, 8 + length + size);
}

static grd_module *one(grd_dtype dtype)
{
    grd_module *m = grd_module_create("One", 0, NULL);
    grd_module_add_parameter(m, "x", grd_cast(grd_full(GRD_SHAPE(2), 3), dtype));
    return m;
}

Test(safetensors, floating_types_convert)
{
    static const char *const names[] = {
        [GRD_F32] = "F32", [GRD_F64] = "F64", [GRD_F16] = "F16", [GRD_BF16] = "BF16"
    };
    for (int from = GRD_F32; from <= GRD_BF16; from++)
        for (int to = GRD_F32; to <= GRD_BF16; to++) {
            grd_module *target = one((grd_dtype)to);
            cr_assert_eq(grd_export_safetensors(path, one((grd_dtype)from)), GRD_OK);
            grd_scope *change = grd_scope_begin_no_grad();
            cr_assert_eq(grd_fill_(grdi_module_state(target, 0).tensor, 1), GRD_OK);
            grd_scope_end(change);
            cr_assert_eq(grd_import_safetensors(path, target), GRD_OK, "%s to %s: %s", names[from],
                         names[to], grd_error_message());
            cr_assert(same_states(target, one((grd_dtype)to)), "%s to %s", names[from], names[to]);
        }
}

static void expect_refused(grd_status status, const char *message)
{
    grd_module *m = one(GRD_F32);
    cr_assert_eq(grd_import_safetensors(path, m), status, "%s", message);
    expect_error(status, message);
    cr_assert_eq(grd_item(grd_mean(grdi_module_state(m, 0).tensor)), 3, "nothing was loaded");
}

#define X(shape, offsets)                                                                          \
    "{\"x\":{\"dtype\":\"F32\",\"shape\":" shape ",\"data_offsets\":" offsets "}}"
#define XY(offsets)                                                                                \
    "{\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"                             \
    "\"y\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":" offsets "}}"

static const struct {
    const char *header;
    size_t size;
    const char *message;
} broken[] = {
    { "", 0, "the header is no JSON" },
    { "{", 8, "the header is no JSON" },
    { "[1]", 8, "the header: is no JSON object" },
    { "{}", 8, "the tensors: leave bytes at the end that are no tensor's" },
    { "{\"x\":1}", 8, "x: dtype missing is none of F64, F32, F16, BF16, I64, BOOL" },
    { "{\"x\":{\"dtype\":\"F8_E4M3\"}}", 8, "x: dtype F8_E4M3 is none of F64" },
    { "{\"x\":{\"dtype\":\"F32\"}}", 8, "x: its shape is no list" },
    { X("[1,1,1,1,1,1,1,1,2]", "[0,8]"), 8, "x: its shape is no list of up to 8 sizes" },
    { X("[2.0]", "[0,8]"), 8, "x: a size is no whole number" },
    { X("[-2]", "[0,8]"), 8, "x: a size is no whole number" },
    { X("[2]", "[0]"), 8, "x: data_offsets are not two whole numbers" },
    { X("[2]", "{}"), 8, "x: data_offsets are not two whole numbers" },
    { X("[2]", "[0,8]"), 7, "x: data_offsets lie outside the file" },
    { X("[2]", "[8,0]"), 8, "x: data_offsets lie outside the file" },
    { X("[2]", "[-8,0]"), 8, "x: data_offsets lie outside the file" },
    { X("[3]", "[0,8]"), 8, "x: its bytes are not those of its shape" },
    { X("[9223372036854775807,2]", "[0,8]"), 8, "x: its bytes are not those of its shape" },
    { X("[2]", "[0,8]"), 9, "leave bytes at the end" },
    { X("[2]", "[4,12]"), 12, "the tensors: leave a hole between them" },
    { XY("[4,12]"), 12, "the tensors: overlap" },
    { XY("[0,8]"), 8, "the tensors: overlap" },
    { XY("[12,20]"), 20, "the tensors: leave a hole" },
    { "{\"x\":{},\"x\":{}}", 8, "the header is no JSON: duplicate object key" },
    { "{\"x\\u001b[2J\":{}}", 8, "a name: is too long or holds control characters" },
    { "{\"x\":{\"dtype\":\"BOOL\",\"shape\":[2],\"data_offsets\":[0,2]}}", 2,
      "x: found bool, expected f32" },
};

Test(safetensors, what_the_format_forbids_is_refused)
{
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        grd_module *m = one(GRD_F32);
        write_file(broken[i].header, broken[i].size);
        const grd_status status = grd_import_safetensors(path, m);
        cr_assert(status == GRD_ERROR_FORMAT || status == GRD_ERROR_MISMATCH, "%s: %s",
                  broken[i].header, grd_error_message());
        expect_error(status, broken[i].message);
        cr_assert_eq(grd_item(grd_mean(grdi_module_state(m, 0).tensor)), 3, "nothing was loaded");
    }
    scratch_write("model.safetensors", "\x08\0\0\0\0\0\0", 7);
    expect_refused(GRD_ERROR_FORMAT, "not a safetensors file");
    scratch_write("model.safetensors",
                  "\0\0\0\0\0\0\0\x01"
                  "12345678",
                  16);
    expect_refused(GRD_ERROR_FORMAT, "not a safetensors file: no header of up to 100 MB");
    write_file("{\"y\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8);
    expect_refused(GRD_ERROR_MISMATCH,
                   "it lacks 1: x (did you mean \"y\"?), and it holds 1 unknown");
    write_file("{\"x\":{\"dtype\":\"BOOL\",\"shape\":[8],\"data_offsets\":[0,8]}}", 8);
    char file[256];
    const long size = scratch_read("model.safetensors", file, sizeof file);
    file[size - 1] = 2;
    scratch_write("model.safetensors", file, (size_t)size);
    expect_refused(GRD_ERROR_FORMAT, "x: a bool is neither true nor false");
    write_file(X("[1]", "[0,4]"), 4);
    expect_refused(GRD_ERROR_MISMATCH, "model.safetensors: x: found [1], expected [2]");
}

Test(safetensors, cut_off_anywhere_is_refused)
{
    char bytes[2048];
    cr_assert_eq(grd_export_safetensors(path, one(GRD_F32)), GRD_OK);
    const long size = scratch_read("model.safetensors", bytes, sizeof bytes);
    for (long cut = 0; cut < size; cut++) {
        scratch_write("model.safetensors", bytes, (size_t)cut);
        expect_refused(GRD_ERROR_FORMAT, "import_safetensors: ");
    }
}

Test(safetensors, bad_arguments_are_told)
{
    cr_assert_eq(grd_export_safetensors(NULL, one(GRD_F32)), GRD_ERROR_ARGUMENT);
    expect_error(GRD_ERROR_ARGUMENT, "export_safetensors: an argument is NULL at ");
    cr_assert_eq(grd_import_safetensors(path, NULL), GRD_ERROR_ARGUMENT);
    expect_error(GRD_ERROR_ARGUMENT, "import_safetensors: an argument is NULL at ");
    cr_assert_eq(grd_import_safetensors(path, one(GRD_F32)), GRD_ERROR_NO_FILE);
    expect_error(GRD_ERROR_NO_FILE, "model.safetensors: there is no such file");
}
