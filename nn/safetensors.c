/* safetensors: 8 bytes that say how long the header is, the header in JSON, the tensors' bytes.
 * https://github.com/huggingface/safetensors#format */
#include "nn/checkpoint.h"
#include "nn/utf8.h"

#include "tensor/front.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LENGTH = 8, HEADER_LIMIT = 100000000, ALIGNMENT = 8 };

static const struct {
    const char *name;
    grd_dtype dtype;
} types[] = {
    { "F64", GRD_F64 },   { "F32", GRD_F32 }, { "F16", GRD_F16 },
    { "BF16", GRD_BF16 }, { "I64", GRD_I64 }, { "BOOL", GRD_BOOL },
};
enum { TYPES = sizeof types / sizeof types[0] };

static const char *type_name(grd_dtype dtype)
{
    int i = 0;
    while (types[i].dtype != dtype)
        i++;
    return types[i].name;
}

static grd_dtype type_named(const char *name)
{
    for (int i = 0; name && i < TYPES; i++)
        if (strcmp(types[i].name, name) == 0)
            return types[i].dtype;
    return GRD_DTYPE_UNSET;
}

/* ---- Export ---- */

static size_t state_bytes(grdi_state state)
{
    return (size_t)grd_tensor_count(state.tensor) * grdi_dtype_size(grd_tensor_dtype(state.tensor));
}

/* Where each state's bytes start, in order of falling element size, so that all are aligned without
 * holes; returns the end. */
static size_t place(const grd_module *model, size_t starts[])
{
    size_t at = 0;
    const int64_t count = grdi_module_num_states(model);
    for (size_t size = 8; size > 0; size /= 2)
        for (int64_t i = 0; i < count; i++) {
            const grdi_state state = grdi_module_state(model, i);
            if (grdi_dtype_size(grd_tensor_dtype(state.tensor)) != size)
                continue;
            starts[i] = at;
            at += state_bytes(state);
        }
    return at;
}

static json_t *describe(grdi_state state, size_t start)
{
    const grd_shape shape = grd_tensor_shape(state.tensor);
    json_t *sizes = json_array();
    for (int64_t d = 0; d < shape.rank; d++)
        json_array_append_new(sizes, json_integer(shape.size[d]));
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", type_name(grd_tensor_dtype(state.tensor)),
                     "shape", sizes, "data_offsets", (json_int_t)start,
                     (json_int_t)(start + state_bytes(state)));
}

/* Of the caller's to free(). */
static char *make_header(const grd_module *model, const size_t starts[])
{
    const int64_t count = grdi_module_num_states(model);
    json_t *header = json_pack("{s:{s:s}}", "__metadata__", "format", "pt");
    bool fine = header;
    for (int64_t i = 0; fine && i < count; i++) {
        const grdi_state state = grdi_module_state(model, i);
        fine = json_object_set_new(header, state.name, describe(state, starts[i])) == 0;
    }
    char *text = fine ? json_dumps(header, JSON_COMPACT) : NULL;
    json_decref(header);
    return text ? text
                : grdi_fail(GRD_ERROR_ARGUMENT, "export_safetensors",
                            "the model's names cannot be written as JSON (are they UTF-8?)");
}

static void put_length(unsigned char *at, uint64_t value)
{
    for (int i = 0; i < LENGTH; i++)
        at[i] = (unsigned char)(value >> 8 * i);
}

/* The whole file. */
static grdi_bytes *compose(const grd_module *model, const char *header, const size_t starts[],
                           size_t end)
{
    static const char op[] = "export_safetensors";
    const size_t length = strlen(header), data = (length + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (data > HEADER_LIMIT)
        return grdi_fail(GRD_ERROR_ARGUMENT, op, "the header takes %zu bytes, %d are allowed", data,
                         HEADER_LIMIT);
    grdi_bytes *bytes = grdi_bytes_create(op, LENGTH + data + end);
    if (!bytes)
        return NULL;
    unsigned char *tensors = bytes->data + LENGTH + data;
    put_length(bytes->data, data);
    memset(bytes->data + LENGTH, ' ', data);
    memcpy(bytes->data + LENGTH, header, length);
    const int64_t count = grdi_module_num_states(model);
    for (int64_t i = 0; i < count; i++)
        if (!grdi_download(op, grdi_module_state(model, i).tensor, tensors + starts[i]))
            return NULL;
    return bytes;
}

static void export(const char *path, const grd_module *model)
{
    static const char op[] = "export_safetensors";
    size_t *starts = grdi_scratch(op, (size_t)grdi_module_num_states(model), sizeof *starts);
    if (!starts)
        return;
    const size_t end = place(model, starts);
    char *header = make_header(model, starts);
    const grdi_bytes *bytes = header ? compose(model, header, starts, end) : NULL;
    free(header);
    if (bytes)
        grdi_file_write(op, path, bytes->data, bytes->size);
}

grd_status grd_export_safetensors(const char *path, const grd_module *model)
{
    grd_scope scope;
    if (!path || !model)
        grdi_fail_null("export_safetensors");
    if (grdi_latched())
        return grdi_self.latched;
    grdi_scope_open(&scope);
    export(path, model);
    return grd_scope_end(&scope);
}

/* ---- Import ---- */

/* Where a tensor's bytes lie. */
typedef struct span {
    size_t start, end;
} span;

/* A file while it is read into an archive, as model/NAME. */
typedef struct parse {
    grdi_archive *archive;
    const unsigned char *data; /* the tensors' bytes */
    size_t size;
    span *spans;
    size_t count;
} parse;

static bool refuse(const parse *p, const char *name, const char *what)
{
    return grdi_fail(GRD_ERROR_FORMAT, p->archive->op, "%s: %.80s: %s", p->archive->file, name,
                     what);
}

static bool read_shape(const parse *p, const char *name, const json_t *sizes, grd_shape *shape)
{
    const size_t rank = json_array_size(sizes);
    if (!json_is_array(sizes) || rank > GRD_MAX_RANK)
        return refuse(p, name, "its shape is no list of up to 8 sizes");
    *shape = (grd_shape){ .rank = (int64_t)rank };
    for (size_t d = 0; d < rank; d++) {
        const json_t *size = json_array_get(sizes, d);
        if (!json_is_integer(size) || json_integer_value(size) < 0)
            return refuse(p, name, "a size is no whole number");
        shape->size[d] = json_integer_value(size);
    }
    return true;
}

static bool read_span(const parse *p, const char *name, const json_t *offsets, span *at)
{
    const json_t *start = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(start) || !json_is_integer(end))
        return refuse(p, name, "data_offsets are not two whole numbers");
    const json_int_t first = json_integer_value(start), past = json_integer_value(end);
    if (first < 0 || past < first || (uint64_t)past > p->size)
        return refuse(p, name, "data_offsets lie outside the file");
    *at = (span){ (size_t)first, (size_t)past };
    return true;
}

static bool valid_bools(const unsigned char *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (values[i] > 1)
            return false;
    return true;
}

static bool read_tensor(parse *p, const char *name, const json_t *info)
{
    grd_shape shape;
    size_t bytes;
    span at;
    char path[sizeof "model/" + GRDI_PATH_BYTES];
    if (!grdi_utf8_plain(name, strlen(name)) || strlen(name) >= GRDI_PATH_BYTES)
        return refuse(p, "a name", "is too long or holds control characters");
    const char *type = json_string_value(json_object_get(info, "dtype"));
    const grd_dtype dtype = type_named(type);
    if (dtype == GRD_DTYPE_UNSET)
        return grdi_fail(GRD_ERROR_FORMAT, p->archive->op,
                         "%s: %.80s: dtype %.16s is none of F64, F32, F16, BF16, I64, BOOL",
                         p->archive->file, name, type ? type : "missing");
    if (!read_shape(p, name, json_object_get(info, "shape"), &shape) ||
        !read_span(p, name, json_object_get(info, "data_offsets"), &at))
        return false;
    if (!grdi_array_bytes(&shape, dtype, &bytes) || at.end - at.start != bytes)
        return refuse(p, name, "its bytes are not those of its shape");
    if (dtype == GRD_BOOL && !valid_bools(p->data + at.start, bytes))
        return refuse(p, name, "a bool is neither true nor false");
    p->spans[p->count++] = at;
    snprintf(path, sizeof path, "model/%s", name);
    void *data = grdi_put_array(p->archive, path, dtype, &shape);
    if (data && bytes)
        memcpy(data, p->data + at.start, bytes);
    return data;
}

static int compare_spans(const void *a, const void *b)
{
    const span *x = a, *y = b;
    return x->start != y->start ? (x->start > y->start) - (x->start < y->start)
                                : (x->end > y->end) - (x->end < y->end);
}

/* Every byte belongs to one tensor: nothing can hide in the file, nothing is read twice. */
static bool check_spans(parse *p)
{
    size_t end = 0;
    qsort(p->spans, p->count, sizeof *p->spans, compare_spans);
    for (size_t i = 0; i < p->count; i++) {
        if (p->spans[i].start != end)
            return refuse(p, "the tensors",
                          p->spans[i].start > end ? "leave a hole between them" : "overlap");
        end = p->spans[i].end;
    }
    return end == p->size ||
           refuse(p, "the tensors", "leave bytes at the end that are no tensor's");
}

static bool read_tensors(parse *p, json_t *header)
{
    const char *name;
    json_t *info;
    if (!json_is_object(header))
        return refuse(p, "the header", "is no JSON object");
    p->spans = grdi_scratch(p->archive->op, json_object_size(header), sizeof *p->spans);
    if (!p->spans)
        return false;
    json_object_foreach(header, name, info)
    {
        if (strcmp(name, "__metadata__") != 0 && !read_tensor(p, name, info))
            return false;
    }
    return check_spans(p);
}

static uint64_t get_length(const unsigned char *at)
{
    uint64_t value = 0;
    for (int i = 0; i < LENGTH; i++)
        value |= (uint64_t)at[i] << 8 * i;
    return value;
}

static grdi_archive *parse_file(const char *op, const char *path, const grdi_bytes *file)
{
    json_error_t error;
    const uint64_t length = file->size < LENGTH ? UINT64_MAX : get_length(file->data);
    if (length > HEADER_LIMIT || length > file->size - LENGTH)
        return grdi_fail(GRD_ERROR_FORMAT, op,
                         "%s: not a safetensors file: no header of up to 100 MB at its start",
                         path);
    const char *text = (const char *)file->data + LENGTH;
    parse p = { .archive = grdi_archive_create(op, path),
                .data = file->data + LENGTH + length,
                .size = file->size - LENGTH - (size_t)length };
    json_t *header = json_loadb(text, (size_t)length, JSON_REJECT_DUPLICATES, &error);
    bool done = false;
    if (!header)
        grdi_fail(GRD_ERROR_FORMAT, op, "%s: the header is no JSON: %s (byte %d)", path, error.text,
                  error.position);
    else
        done = p.archive && read_tensors(&p, header);
    json_decref(header);
    return done ? p.archive : NULL;
}

static void import(const char *path, const grd_module *model)
{
    static const char op[] = "import_safetensors";
    const size_t limit = (size_t)1 << 36;
    grdi_restore restore;
    const grdi_bytes *file = grdi_file_read(op, path, limit);
    const grdi_archive *archive = file ? parse_file(op, path, file) : NULL;
    if (!archive || !grdi_restore_init(&restore, archive, grdi_module_num_states(model)))
        return;
    restore.convert = true;
    if (grdi_restore_model(&restore, model))
        grdi_restore_commit(&restore);
}

grd_status grd_import_safetensors(const char *path, grd_module *model)
{
    grd_scope scope;
    if (!path || !model)
        grdi_fail_null("import_safetensors");
    if (grdi_latched())
        return grdi_self.latched;
    grdi_scope_open(&scope);
    import(path, model);
    return grd_scope_end(&scope);
}
