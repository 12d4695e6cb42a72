#include "tests/cuda/cudnn_calls.h"

#include "tensor/object.h"
#include "tensor/tensor.h"
#include "tests/cuda/emulated.h"

#include <criterion/criterion.h>
#include <dlfcn.h>
#include <gradus/gradus.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void find(void *function, void *library, const char *name)
{
    void *symbol = dlsym(library, name);
    cr_assert(symbol, "%s", name);
    memcpy(function, &symbol, sizeof symbol);
}

fake need_fake(void)
{
    fake f = { 0 };
    const char *file = getenv("GRADUS_CUDNN");
    void *library = file ? dlopen(file, RTLD_NOW) : NULL;
    need_emulated();
    if (!library || !dlsym(library, "fake_cudnn_calls"))
        cr_skip_test("GRADUS_CUDNN names no fake cuDNN");
    find(&f.calls, library, "fake_cudnn_calls");
    find(&f.fail, library, "fake_cudnn_fail");
    find(&f.held, library, "fake_cudnn_held");
    find(&f.graphs, library, "fake_cudnn_graphs");
    find(&f.engines, library, "fake_cudnn_engines");
    return f;
}

/* ---- Calls ---- */

static int64_t or_else(int64_t value, int64_t usual)
{
    return value ? value : usual;
}

grd_shape shape_of(const call *c, which w)
{
    const int64_t queries = or_else(c->queries, 20), keys = or_else(c->keys, 20);
    const int64_t heads = or_else(c->key_heads, 4), size = or_else(c->size, 8);
    const int64_t values = or_else(c->value_size, size);
    const int bits = w == KEEP ? c->keep : c->additive;
    switch (w) {
    case QUERY:
    case DQUERY:
        return (grd_shape)GRD_SHAPE(2, 4, queries, size);
    case KEY:
    case DKEY:
        return (grd_shape)GRD_SHAPE(2, heads, keys, size);
    case VALUE:
    case DVALUE:
        return (grd_shape)GRD_SHAPE(2, heads, keys, values);
    case OUTPUT:
    case DOUTPUT:
        return (grd_shape)GRD_SHAPE(2, 4, queries, values);
    case LOGSUMEXP:
        return (grd_shape)GRD_SHAPE(2, 4, queries);
    case LENGTHS:
        return (grd_shape)GRD_SHAPE(2);
    default:
        return (grd_shape)GRD_SHAPE(bits & 8 ? 2 : 1, bits & 4 ? 4 : 1, bits & 2 ? queries : 1,
                                    keys - c->appended);
    }
}

static bool has(const call *c, which w)
{
    if (w == KEEP)
        return c->keep;
    if (w == LENGTHS)
        return c->lengths;
    return (w != ADDITIVE && w != DADDITIVE) || c->additive;
}

/* What the CPU starts from: numbers that the GPU's dtype has, in the layout of the call. */
static grd_tensor *value_of(const call *c, which w, grd_rng *rng)
{
    const grd_shape shape = shape_of(c, w);
    if (w == LENGTHS)
        return grd_from_i64(c->lengths, 2, shape);
    if (w == KEEP)
        return grd_gt_scalar(grd_rand(rng, shape), 0.3);
    if (w == LOGSUMEXP)
        return grd_cast(grd_full(shape, 7), GRD_F64);
    const bool given = w <= DOUTPUT || w == ADDITIVE;
    grd_tensor *x = given ? grd_randn(rng, shape) : grd_full(shape, w == DADDITIVE ? 1 : 7);
    x = grd_cast(grd_cast(x, c->bf16 ? GRD_BF16 : GRD_F16), GRD_F32);
    if (c->poisoned && (w == KEY || w == VALUE))
        grd_fill_(grd_select(x, 2, grd_tensor_size(x, 2) - 1), NAN);
    if (w > DVALUE || c->heads_first || (w == DOUTPUT && c->doutput_first))
        return x;
    return grd_transpose(grd_contiguous(grd_transpose(x, 1, 2)), 1, 2);
}

/* The same on a device, of its own dtype: dadditive stays f32. */
static grdi_array on(grd_device *device, const grd_tensor *x, const call *c, which w)
{
    const bool floating = x->array.dtype == GRD_F32;
    grdi_array y = x->array;
    if (floating && w != DADDITIVE && device != grd_cpu())
        y.dtype = c->bf16 ? GRD_BF16 : GRD_F16;
    const grd_tensor *flat = grd_zeros(GRD_SHAPE(grdi_count(&x->array)));
    memcpy(flat->array.data, x->array.data,
           floating ? (size_t)grdi_count(&x->array) * sizeof(float) : 0);
    flat = grd_cast(flat, y.dtype);
    const size_t bytes = (size_t)grdi_count(&y) * grdi_dtype_size(y.dtype);
    y.data = device->allocate(device, bytes);
    device->upload(device, y.data, floating ? flat->array.data : x->array.data, bytes);
    return y;
}

static void set_mask(side *s, const call *c)
{
    const grd_shape pairs =
        GRD_SHAPE(2, 4, or_else(c->queries, 20), or_else(c->keys, 20) - c->appended);
    const which spread[] = { ADDITIVE, DADDITIVE, KEEP };
    for (int i = 0; i < 3; i++)
        if (has(c, spread[i]))
            s->x[spread[i]] = grdi_array_expand(&s->x[spread[i]], &pairs);
    s->how.additive = c->additive ? &s->x[ADDITIVE] : NULL;
    s->how.keep = c->keep ? &s->x[KEEP] : NULL;
    s->how.lengths = c->lengths ? &s->x[LENGTHS] : NULL;
}

static void set(side *s, const call *c, grd_device *device, grd_tensor *const value[ARRAYS])
{
    s->device = device;
    s->how = (grdi_flash){ .scale = 0.4,
                           .softcap = (double)c->softcap,
                           .dropout = c->dropout,
                           .draw = { 11, 22 },
                           .appended = c->appended,
                           .left = c->window ? c->window - 1 : FAR,
                           .right = c->causal ? 0 : FAR,
                           .offset = c->offset,
                           .by_length = c->by_length };
    for (which w = QUERY; w < ARRAYS; w++)
        if (has(c, w))
            s->x[w] = on(device, value[w], c, w);
    set_mask(s, c);
}

/* On the CPU and on the GPU. */
void begin_sides(side sides[2], const call *c)
{
    grd_tensor *value[ARRAYS];
    grd_rng *rng = grd_rng_create(7);
    for (which w = QUERY; w < ARRAYS; w++)
        value[w] = has(c, w) ? value_of(c, w, rng) : NULL;
    cr_assert(!grdi_latched(), "%s", grd_error_message());
    set(&sides[0], c, grd_cpu(), value);
    set(&sides[1], c, grd_cuda(0), value);
}

void end_side(side *s, const call *c)
{
    for (which w = QUERY; w < ARRAYS; w++)
        if (has(c, w)) {
            const grd_shape shape = shape_of(c, w);
            int64_t bytes = (int64_t)grdi_dtype_size(s->x[w].dtype);
            for (int d = 0; d < shape.rank; d++)
                bytes *= shape.size[d];
            s->device->free(s->device, s->x[w].data, (size_t)bytes);
        }
}

grd_status go(side *s, forward *f)
{
    return f(s->device, &s->how, &s->x[OUTPUT], &s->x[LOGSUMEXP], &s->x[QUERY], &s->x[KEY],
             &s->x[VALUE]);
}

grd_status go_back(side *s, backward *b, bool dadditive)
{
    const grdi_flash_gradient all = { .dquery = &s->x[DQUERY],
                                      .dkey = &s->x[DKEY],
                                      .dvalue = &s->x[DVALUE],
                                      .output = &s->x[OUTPUT],
                                      .logsumexp = &s->x[LOGSUMEXP],
                                      .doutput = &s->x[DOUTPUT] };
    grdi_flash_gradient g = all;
    if (dadditive)
        g = (grdi_flash_gradient){ .dadditive = &s->x[DADDITIVE],
                                   .output = g.output,
                                   .logsumexp = g.logsumexp,
                                   .doutput = g.doutput };
    return b(s->device, &s->how, &g, &s->x[QUERY], &s->x[KEY], &s->x[VALUE]);
}

double *read_back(const side *s, const call *c, which w)
{
    const grd_shape shape = shape_of(c, w);
    const grd_dtype dtype = s->x[w].dtype;
    grd_tensor *x = grd_cast(grd_zeros(shape), dtype);
    const size_t bytes = (size_t)grd_tensor_count(x) * grdi_dtype_size(dtype);
    cr_assert_eq(s->device->download(s->device, x->array.data, s->x[w].data, bytes), GRD_OK, "%s",
                 grd_error_message());
    return grd_cast(x, GRD_F64)->array.data;
}

void expect_ok(grd_status status, const call *c, const char *what)
{
    cr_assert_eq(status, GRD_OK, "%s: %s: %d %s", c->name, what, status, grd_error_message());
}
