#include "nn/archive.h"

#include "tensor/front.h"
#include <string.h>

static const size_t foreign_limit = (size_t)1 << 30;

/* What an array's elements take, so that data is never NULL. */
static size_t at_least_one(size_t bytes)
{
    return bytes ? bytes : 1;
}

static void free_value(grdi_value *value)
{
    const bool text = value->kind == GRDI_DOCUMENT || value->kind == GRDI_TEXT;
    if (text && value->text)
        grdi_free(value->text, value->bytes + 1);
    else if (value->kind == GRDI_ARRAY && value->data)
        grdi_free(value->data, at_least_one(value->bytes));
    grdi_free(value->path, strlen(value->path) + 1);
}

static void archive_destroy(void *object)
{
    grdi_archive *archive = object;
    for (int i = 0; i < archive->count; i++)
        free_value(&archive->values[i]);
    if (archive->values)
        grdi_free(archive->values, (size_t)archive->capacity * sizeof *archive->values);
    if (archive->file)
        grdi_free(archive->file, strlen(archive->file) + 1);
    grdi_free(archive, sizeof *archive);
}

static const grdi_type archive_type = { "archive", archive_destroy };

static char *copy_text(const char *op, const char *text)
{
    const size_t bytes = strlen(text) + 1;
    char *copy = grdi_allocate(bytes);
    return copy ? memcpy(copy, text, bytes) : grdi_fail_memory(op, bytes);
}

grdi_archive *grdi_archive_create(const char *op, const char *file)
{
    grdi_archive *archive = grdi_allocate(sizeof *archive);
    if (!archive)
        return grdi_fail_memory(op, sizeof *archive);
    *archive = (grdi_archive){ .op = op };
    grdi_object_init(&archive->object, &archive_type);
    grdi_scope_own(&archive->object);
    archive->file = copy_text(op, file);
    return archive->file ? archive : NULL;
}

static bool grow(grdi_archive *archive)
{
    const int capacity = archive->capacity ? 2 * archive->capacity : 32;
    const size_t bytes = (size_t)capacity * sizeof(grdi_value);
    grdi_value *values = grdi_allocate(bytes);
    if (!values)
        return grdi_fail_memory(archive->op, bytes);
    if (archive->values) {
        memcpy(values, archive->values, (size_t)archive->count * sizeof *values);
        grdi_free(archive->values, (size_t)archive->capacity * sizeof *values);
    }
    archive->values = values;
    archive->capacity = capacity;
    return true;
}

static grdi_value *add(grdi_archive *archive, const char *path, grdi_value_kind kind)
{
    if (!archive || (archive->count == archive->capacity && !grow(archive)))
        return NULL;
    char *name = copy_text(archive->op, path);
    if (!name)
        return NULL;
    grdi_value *value = &archive->values[archive->count++];
    *value = (grdi_value){ .path = name, .kind = kind };
    return value;
}

bool grdi_put_integer(grdi_archive *archive, const char *path, int64_t integer)
{
    grdi_value *value = add(archive, path, GRDI_INTEGER);
    if (value)
        value->integer = integer;
    return value;
}

bool grdi_put_real(grdi_archive *archive, const char *path, double real)
{
    grdi_value *value = add(archive, path, GRDI_REAL);
    if (value)
        value->real = real;
    return value;
}

char *grdi_put_chars(grdi_archive *archive, const char *path, grdi_value_kind kind,
                     const char *text, size_t bytes)
{
    grdi_value *value = add(archive, path, kind);
    char *copy = value ? grdi_allocate(bytes + 1) : NULL;
    if (!copy)
        return value ? grdi_fail_memory(archive->op, bytes + 1) : NULL;
    if (text)
        memcpy(copy, text, bytes);
    copy[bytes] = '\0';
    value->text = copy;
    value->bytes = bytes;
    return copy;
}

bool grdi_put_text(grdi_archive *archive, const char *path, const char *text)
{
    return grdi_put_chars(archive, path, GRDI_TEXT, text, strlen(text));
}

bool grdi_put_document(grdi_archive *archive, const char *path, const char *text, size_t bytes)
{
    return grdi_put_chars(archive, path, GRDI_DOCUMENT, text, bytes);
}

bool grdi_array_bytes(const grd_shape *shape, grd_dtype dtype, size_t *bytes)
{
    int64_t extent =
        (int64_t)grdi_dtype_size(dtype); /* with zeros as ones: it bounds strides too */
    bool none = false;
    for (int64_t d = 0; d < shape->rank; d++) {
        none |= shape->size[d] == 0;
        if (__builtin_mul_overflow(extent, shape->size[d] ? shape->size[d] : 1, &extent))
            return false;
    }
    *bytes = none ? 0 : (size_t)extent;
    return true;
}

void *grdi_put_array(grdi_archive *archive, const char *path, grd_dtype dtype,
                     const grd_shape *shape)
{
    size_t bytes;
    if (!archive || !grdi_shape_bytes(archive->op, shape, dtype, &bytes))
        return NULL;
    grdi_value *value = add(archive, path, GRDI_ARRAY);
    if (!value)
        return NULL;
    value->dtype = dtype;
    value->shape = *shape;
    value->bytes = bytes;
    value->data = grdi_allocate(at_least_one(bytes));
    return value->data ? value->data : grdi_fail_memory(archive->op, value->bytes);
}

bool grdi_put_tensor(grdi_archive *archive, const char *path, const grd_tensor *x)
{
    if (!x)
        return false;
    const grd_shape shape = grd_tensor_shape(x);
    void *data = grdi_put_array(archive, path, x->array.dtype, &shape);
    return data && grdi_download(archive->op, x, data);
}

const grdi_value *grdi_find(const grdi_archive *archive, const char *path, grdi_value_kind kind)
{
    for (int i = 0; archive && i < archive->count; i++)
        if (archive->values[i].kind == kind && strcmp(archive->values[i].path, path) == 0)
            return &archive->values[i];
    return NULL;
}

const grdi_value *grdi_get(const grdi_archive *archive, const char *path, grdi_value_kind kind)
{
    static const char *const kinds[] = {
        [GRDI_ARRAY] = "array",     [GRDI_DOCUMENT] = "text",       [GRDI_INTEGER] = "integer",
        [GRDI_REAL] = "real value", [GRDI_TEXT] = "text attribute",
    };
    const grdi_value *value = grdi_find(archive, path, kind);
    return value || !archive ? value
                             : grdi_fail(GRD_ERROR_FORMAT, archive->op, "%s: holds no %s %s",
                                         archive->file, kinds[kind], path);
}

grd_tensor *grdi_value_tensor(const grdi_archive *archive, const grdi_value *value)
{
    if (!value || !grdi_self.scope)
        return NULL;
    grd_device *device = grdi_self.scope->modes.device;
    grd_tensor *x = grdi_tensor_create(archive->op, &value->shape, value->dtype, device);
    return x && grdi_upload(archive->op, x, value->data) ? x : NULL;
}

grdi_archive *grdi_archive_read(const char *op, const char *path)
{
    const grdi_bytes *bytes = grdi_file_read(op, path, foreign_limit);
    return bytes ? grdi_archive_decode(op, path, bytes->data, bytes->size, GRDI_FOREIGN) : NULL;
}

bool grdi_archive_write(const grdi_archive *archive)
{
    const grdi_bytes *bytes = archive ? grdi_archive_encode(archive, 0) : NULL;
    return bytes && grdi_file_write(archive->op, archive->file, bytes->data, bytes->size);
}
