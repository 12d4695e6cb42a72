/* A layer of attention in the form that the page's script reads: numbers in bytes, least first. */
#include "nn/files.h"
#include "tensor/front.h"
#include "view/attention.h"
#include "view/page.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int64_t count_of(const grd_shape *shape)
{
    return shape->size[0] * shape->size[1] * shape->size[2] * shape->size[3];
}

/* ---- Weights ---- */

static json_t *singles(const double *values, int64_t count)
{
    float *numbers = malloc((size_t)count * sizeof *numbers);
    for (int64_t i = 0; numbers && i < count; i++)
        numbers[i] = (float)values[i];
    json_t *blob = numbers ? grdi_page_blob(numbers, (size_t)count * sizeof *numbers) : NULL;
    free(numbers);
    return blob;
}

/* The nearest of 65536 steps, but never 0 for what is not 0: no leak may vanish. */
static unsigned step_of(double weight)
{
    const double step = round(weight * 65535);
    return weight > 0 && step == 0 ? 1 : step > 65535 ? 65535 : (unsigned)step;
}

/* All low bytes, then all high ones: these are mostly alike, and pack well. */
static json_t *steps(const double *values, int64_t count)
{
    unsigned char *bytes = malloc(2 * (size_t)count);
    for (int64_t i = 0; bytes && i < count; i++) {
        const unsigned step = step_of(values[i]);
        bytes[i] = step & 255;
        bytes[count + i] = (unsigned char)(step >> 8);
    }
    json_t *blob = bytes ? grdi_page_blob(bytes, 2 * (size_t)count) : NULL;
    free(bytes);
    return blob;
}

static bool are_shares(const double *values, int64_t count)
{
    for (int64_t i = 0; values && i < count; i++)
        if (!(values[i] >= 0 && values[i] <= 1 + 1e-4))
            return false;
    return true;
}

/* ---- The mask ---- */

/* Whether each of `count` blocks of `size` pairs is as the first one of its group. */
static bool repeats(const bool *visible, int64_t groups, int64_t count, int64_t size)
{
    for (int64_t g = 0; g < groups; g++)
        for (int64_t i = 1; i < count; i++)
            if (memcmp(visible + g * count * size, visible + (g * count + i) * size, (size_t)size))
                return false;
    return true;
}

/* Pairs as bits, least first, of the samples and heads that differ. */
static json_t *bits(const grdi_shown *s, int64_t samples, int64_t heads)
{
    const int64_t pairs = s->shape.size[2] * s->shape.size[3], count = samples * heads * pairs;
    unsigned char *packed = calloc((size_t)count / 8 + 1, 1);
    for (int64_t i = 0; packed && i < count; i++) {
        const int64_t sample = i / pairs / heads, head = i / pairs % heads;
        const int64_t from = (sample * s->shape.size[1] + head) * pairs + i % pairs;
        packed[i / 8] |= (unsigned char)(s->visible[from] << i % 8);
    }
    json_t *blob = packed ? grdi_page_blob(packed, (size_t)count / 8 + 1) : NULL;
    free(packed);
    return blob;
}

static json_t *visible_of(const grdi_shown *s)
{
    const int64_t *size = s->shape.size, pairs = size[2] * size[3];
    if (!memchr(s->visible, false, (size_t)count_of(&s->shape)))
        return json_null();
    const int64_t heads = repeats(s->visible, size[0], size[1], pairs) ? 1 : size[1];
    const int64_t samples = repeats(s->visible, 1, size[0], size[1] * pairs) ? 1 : size[0];
    return json_pack("{s:I, s:I, s:o}", "samples", (json_int_t)samples, "heads", (json_int_t)heads,
                     "bits", bits(s, samples, heads));
}

/* ---- Verdicts ---- */

static json_t *place_of(const int64_t at[4])
{
    return json_pack("[I,I,I,I]", (json_int_t)at[0], (json_int_t)at[1], (json_int_t)at[2],
                     (json_int_t)at[3]);
}

/* The first weights on masked pairs, exactly: [sample, head, query, key, weight]. */
static json_t *leaks_of(const grdi_shown *s)
{
    const int64_t *size = s->shape.size;
    json_t *leaks = json_array();
    for (int64_t i = 0; i < count_of(&s->shape) && json_array_size(leaks) < GRDI_VIEW_LEAKS; i++) {
        const int64_t row = i / size[3];
        if (!s->visible[i] && s->weights[i] != 0)
            json_array_append_new(
                leaks, json_pack("[I,I,I,I,o]", (json_int_t)(row / size[2] / size[1]),
                                 (json_int_t)(row / size[2] % size[1]), (json_int_t)(row % size[2]),
                                 (json_int_t)(i % size[3]), grdi_page_real(s->weights[i])));
    }
    return leaks;
}

static json_t *verdicts_of(const grdi_shown *s, const grdi_verdicts *v)
{
    json_t *rows = json_pack("{s:b, s:o, s:o, s:I, s:I, s:f}", "passed", v->bad_rows == 0, "error",
                             grdi_page_real(v->row_error), "at", place_of(v->row_at), "bad",
                             (json_int_t)v->bad_rows, "blind", (json_int_t)v->blind_rows,
                             "tolerance", s->tolerance);
    json_t *masked =
        json_pack("{s:b, s:o, s:o, s:I, s:I, s:o}", "passed", v->leaks == 0, "largest",
                  grdi_page_real(v->leak), "at", place_of(v->leak_at), "leaks",
                  (json_int_t)v->leaks, "masked", (json_int_t)v->masked, "first", leaks_of(s));
    json_t *range = json_pack("{s:b, s:o, s:o, s:I}", "passed", v->not_finite == 0 && v->least >= 0,
                              "least", grdi_page_real(v->least), "most", grdi_page_real(v->most),
                              "notFinite", (json_int_t)v->not_finite);
    return json_pack("{s:o, s:o, s:o}", "rows", rows, "masked", masked, "range", range);
}

static json_t *text_of(const char *text)
{
    return grdi_page_text(text ? text : "", text ? strlen(text) : 0);
}

static json_t *checks_of(const grd_attention_report *report)
{
    if (!report)
        return json_null();
    json_t *list = json_array();
    for (int i = 0; i < 5; i++) {
        const grd_attention_check *c = &report->checks[i];
        json_array_append_new(list, json_pack("{s:o, s:b, s:o, s:o, s:o, s:o, s:o}", "name",
                                              text_of(c->name), "passed", c->passed, "measured",
                                              grdi_page_real(c->measured), "text", text_of(c->text),
                                              "expected", text_of(c->expected), "symptom",
                                              text_of(c->symptom), "cause", text_of(c->cause)));
    }
    return list;
}

/* ---- All of it ---- */

json_t *grdi_view_layer_data(const grdi_shown *s, const grdi_verdicts *v, bool exact)
{
    const int64_t count = count_of(&s->shape), *size = s->shape.size;
    const bool single = exact || !are_shares(s->weights, count) || !are_shares(s->baseline, count);
    json_t *(*pack)(const double *, int64_t) = single ? singles : steps;
    return json_pack("{s:[I,I,I,I], s:I, s:s, s:o, s:o, s:o, s:o, s:o}", "size",
                     (json_int_t)size[0], (json_int_t)size[1], (json_int_t)size[2],
                     (json_int_t)size[3], "appended", (json_int_t)s->told.appended, "precision",
                     single ? "f32" : "u16", "weights", pack(s->weights, count), "baseline",
                     s->baseline ? pack(s->baseline, count) : json_null(), "visible", visible_of(s),
                     "verdicts", verdicts_of(s, v), "checks", checks_of(s->told.checks));
}

/* ---- Queries, keys, values ---- */

static json_t *numbers_of(const grd_tensor *x, bool single)
{
    const grd_tensor *narrow = grd_cast(grd_detach(x), single ? GRD_F32 : GRD_F16);
    const size_t bytes = (size_t)grd_tensor_count(x) * (single ? 4 : 2);
    void *numbers = narrow ? grdi_scratch("view_attention", bytes, 1) : NULL;
    return numbers && grdi_download("view_attention", narrow, numbers)
               ? grdi_page_blob(numbers, bytes)
               : NULL;
}

json_t *grdi_view_vectors(const grdi_shown *s, bool single)
{
    const grd_attention_view_layer *t = &s->told;
    const int64_t rank = grd_tensor_rank(t->query), width = grd_tensor_size(t->query, -1);
    const int64_t heads = rank > 2 ? grd_tensor_size(t->key, rank - 3) : 1;
    const bool said = t->scale.set || t->scale.value != 0;
    const double scale = said ? t->scale.value : 1 / sqrt((double)width);
    grd_scope *scope = grd_scope_begin_no_grad();
    json_t *data = json_pack(
        "{s:I, s:I, s:I, s:o, s:o, s:s, s:o, s:o, s:o}", "width", (json_int_t)width, "valueWidth",
        (json_int_t)grd_tensor_size(t->value, -1), "keyHeads", (json_int_t)heads, "scale",
        grdi_page_real(scale), "softcap", grdi_page_real(t->softcap), "precision",
        single ? "f32" : "f16", "query", numbers_of(t->query, single), "key",
        numbers_of(t->key, single), "value", numbers_of(t->value, single));
    grd_scope_end(scope);
    return data;
}
