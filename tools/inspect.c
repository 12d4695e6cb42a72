/* gradus inspect: what a checkpoint holds, once every byte of it has been verified. */
#include "nn/checkpoint.h"
#include "tools/terminal.h"
#include "tools/tools.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool is_below(const grdi_value *value, const char *group)
{
    const size_t length = strlen(group);
    return strncmp(value->path, group, length) == 0 && value->path[length] == '/';
}

static void print_value(const grdi_value *value)
{
    if (value->kind == GRDI_INTEGER)
        printf("%" PRId64, value->integer);
    else if (value->kind == GRDI_REAL)
        printf("%.17g", value->real);
    else if (value->kind == GRDI_TEXT)
        safe_print(stdout, value->text);
    else if (value->kind == GRDI_ARRAY)
        printf("%s %s", grdi_dtype_name(value->dtype), grdi_shape_text(&value->shape).chars);
}

typedef struct range {
    double least, most;
    int64_t bad; /* numbers that are not finite */
} range;

static range range_of(const double *values, int64_t count)
{
    range r = { INFINITY, -INFINITY, 0 };
    for (int64_t i = 0; i < count; i++) {
        if (!isfinite(values[i])) {
            r.bad++;
            continue;
        }
        r.least = fmin(r.least, values[i]);
        r.most = fmax(r.most, values[i]);
    }
    return r;
}

/* A parameter: name, type, shape, from the least to the greatest number. */
static int64_t print_parameter(const grdi_archive *file, const grdi_value *value)
{
    grd_scope *scope = grd_scope_begin_no_grad();
    const grd_tensor *x = grd_cast(grdi_value_tensor(file, value), GRD_F64);
    const int64_t count = grd_tensor_count(x);
    double *values = malloc((size_t)count * sizeof *values + 1);
    printf("  ");
    safe_print(stdout, strchr(value->path, '/') + 1);
    printf("  %s %s", grdi_dtype_name(value->dtype), grdi_shape_text(&value->shape).chars);
    if (values && grd_read_f64(x, values, count) == GRD_OK) {
        const range r = range_of(values, count);
        printf("  %.3g to %.3g", r.least, r.most);
        if (r.bad > 0)
            printf("  NOT FINITE: %" PRId64, r.bad);
    }
    putchar('\n');
    free(values);
    grd_scope_end(scope);
    return count;
}

static void print_model(const grdi_archive *file)
{
    int64_t tensors = 0, numbers = 0;
    printf("\nmodel\n");
    for (int i = 0; i < file->count; i++) {
        const grdi_value *value = &file->values[i];
        if (value->kind != GRDI_ARRAY || !is_below(value, "model"))
            continue;
        tensors++;
        numbers += print_parameter(file, value);
    }
    printf("  %" PRId64 " numbers in %" PRId64 " tensors\n", numbers, tensors);
}

/* The optimizer's arrays are as its parameters are: they are only counted. */
static void print_rest(const grdi_archive *file)
{
    int64_t moments = 0;
    for (int i = 0; i < file->count; i++) {
        const grdi_value *value = &file->values[i];
        const bool is_array = value->kind == GRDI_ARRAY,
                   moment = is_array && is_below(value, "optimizer");
        moments += moment;
        if (moment || is_below(value, "model") || value->kind == GRDI_DOCUMENT ||
            (strncmp(value->path, "optimizer/", 10) == 0 && strchr(value->path + 10, '/')))
            continue;
        printf("%-32s", value->path);
        print_value(value);
        putchar('\n');
    }
    if (moments > 0)
        printf("%-32s%" PRId64 "\n", "optimizer's arrays", moments);
}

static void print_documents(const grdi_archive *file)
{
    for (int i = 0; i < file->count; i++) {
        const grdi_value *value = &file->values[i];
        if (value->kind != GRDI_DOCUMENT || is_below(value, "tokenizer"))
            continue;
        safe_text text = { .out = stdout };
        printf("\n%s\n", value->path);
        safe_put(&text, value->text, value->bytes);
        safe_end(&text);
        putchar('\n');
    }
}

int run_inspect(options *o)
{
    if (o->num_arguments != 1)
        return complain("name one FILE"), EXIT_USAGE;
    grd_scope *scope = grd_scope_begin();
    const grdi_archive *file = grdi_checkpoint_read("inspect", o->arguments[0]);
    if (file) {
        safe_print(stdout, o->arguments[0]);
        printf(": whole, its checksum is right\n");
        print_rest(file);
        print_model(file);
        print_documents(file);
    }
    return grd_scope_end(scope) == GRD_OK ? 0 : complain_of_library();
}
