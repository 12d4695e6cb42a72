#include "tests/nn/golden.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

enum { PATH = 128 };

const grdi_archive *golden_open(const char *file)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", TEST_GOLDEN, file);
    const grdi_archive *archive = grdi_archive_read("golden", path);
    cr_assert(archive, "%s", grd_error_message());
    return archive;
}

static const grdi_value *find(const golden *g, const char *name, grdi_value_kind kind)
{
    char path[PATH];
    snprintf(path, sizeof path, "%s/%s", g->name, name);
    return grdi_find(g->archive, path, kind);
}

bool golden_at(golden *g, int number)
{
    snprintf(g->name, sizeof g->name, "case%03d", number);
    return find(g, "module", GRDI_TEXT);
}

bool golden_has(const golden *g, const char *name)
{
    return find(g, name, GRDI_INTEGER) || find(g, name, GRDI_REAL) || find(g, name, GRDI_TEXT);
}

int64_t golden_integer(const golden *g, const char *name, int64_t absent)
{
    const grdi_value *value = find(g, name, GRDI_INTEGER);
    return value ? value->integer : absent;
}

double golden_real(const golden *g, const char *name, double absent)
{
    const grdi_value *value = find(g, name, GRDI_REAL);
    return value ? value->real : absent;
}

const char *golden_text(const golden *g, const char *name, const char *absent)
{
    const grdi_value *value = find(g, name, GRDI_TEXT);
    return value ? value->text : absent;
}

grd_tensor *golden_tensor(const golden *g, const char *name)
{
    const grdi_value *value = find(g, name, GRDI_ARRAY);
    if (!value)
        return NULL;
    grd_tensor *x = grdi_value_tensor(g->archive, value);
    cr_assert(x, "%s %s: %s", g->name, name, grd_error_message());
    return grd_tensor_dtype(x) == GRD_F64 ? grd_cast(x, g->dtype) : x;
}

grd_tensor *golden_leaf(const golden *g, const char *name)
{
    grd_tensor *x = golden_tensor(g, name);
    return x ? grd_require_grad(x) : NULL;
}

void golden_load(const golden *g, grd_module *module)
{
    grd_scope *scope = grd_scope_begin_no_grad();
    for (int64_t i = 0; i < grd_module_num_parameters(module); i++) {
        const grd_named p = grd_module_parameter_at(module, i);
        char name[PATH];
        snprintf(name, sizeof name, "parameters/%s", p.name);
        const grd_tensor *values = golden_tensor(g, name);
        cr_assert(values, "%s has no %s", g->name, name);
        grd_copy_(p.tensor, values);
    }
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s: %s", g->name, grd_error_message());
}

void golden_expect(const golden *g, const char *name, const grd_tensor *x)
{
    char path[PATH];
    snprintf(path, sizeof path, "truth/%s", name);
    const golden exact = { g->archive, "", GRD_F64 };
    golden in_f64 = exact;
    memcpy(in_f64.name, g->name, sizeof g->name);
    const grd_tensor *truth = golden_tensor(&in_f64, path);
    cr_assert(truth, "%s has no %s", g->name, path);
    cr_assert(x, "%s: no %s: %s", g->name, name, grd_error_message());
    const grd_shape shape = grd_tensor_shape(x), wanted = grd_tensor_shape(truth);
    cr_assert_eq(shape.rank, wanted.rank, "%s: rank of %s", g->name, name);
    for (int64_t d = 0; d < shape.rank; d++)
        cr_assert_eq(shape.size[d], wanted.size[d], "%s: size %d of %s", g->name, (int)d, name);
    cr_assert_eq(grd_tensor_dtype(x), g->dtype, "%s: dtype of %s", g->name, name);
    if (!grd_tensor_count(x))
        return;
    grd_scope *scope = grd_scope_begin_no_grad();
    const double scale = 1 + grd_item(grd_max(grd_abs(truth)));
    const double worst = grd_item(grd_max(grd_abs(grd_sub(grd_cast(x, GRD_F64), truth))));
    const bool finite =
        grd_item(
            grd_cast(grd_all_dims(grd_isfinite(x), (grd_dims){ 0 }, GRD_DROP_DIMS), GRD_F64)) == 1;
    grd_scope_end(scope);
    cr_assert(finite && worst / scale <= (g->dtype == GRD_F64 ? 1e-10 : 1e-5),
              "%s (%s): %s is %g off, relative to 1 + max |truth|", g->name,
              g->dtype == GRD_F64 ? "f64" : "f32", name, worst / scale);
}

void golden_expect_parameters(const golden *g, const grd_module *module)
{
    for (int64_t i = 0; i < grd_module_num_parameters(module); i++) {
        const grd_named p = grd_module_parameter_at(module, i);
        char name[PATH];
        snprintf(name, sizeof name, "grads/parameters/%s", p.name);
        golden_expect(g, name, grd_tensor_grad(p.tensor));
    }
}

static grd_maybe_int window(const golden *g, const char *name)
{
    return (grd_maybe_int){ golden_integer(g, name, 0), golden_has(g, name) };
}

grd_mask golden_mask(const golden *g)
{
    static const char *const aligns[] = { "", "top_left", "bottom_right", "key_lengths", "offset" };
    grd_mask mask = {
        .causal = golden_integer(g, "causal", 0),
        .window_left = window(g, "window_left"),
        .window_right = window(g, "window_right"),
        .offset = golden_integer(g, "offset", 0),
        .additive = golden_leaf(g, "masks/additive"),
        .attend = golden_tensor(g, "masks/attend"),
        .ignore = golden_tensor(g, "masks/ignore"),
        .key_ignore = golden_tensor(g, "masks/key_ignore"),
        .key_lengths = golden_tensor(g, "masks/key_lengths"),
    };
    for (int i = 0; i < 5; i++)
        if (strcmp(golden_text(g, "align", ""), aligns[i]) == 0)
            mask.align = (grd_align)i;
    return mask;
}

grd_activation golden_activation(const golden *g)
{
    static const char *const names[] = { "relu", "gelu", "gelu_tanh", "silu" };
    for (int i = 0; i < 4; i++)
        if (strcmp(golden_text(g, "activation", ""), names[i]) == 0)
            return (grd_activation)i;
    cr_assert(false, "%s: activation", g->name);
    return GRD_RELU;
}
