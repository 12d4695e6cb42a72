/* gradus attention mask: which keys each query sees, drawn. */
#include "nn/files.h"
#include "tools/attention_case.h"
#include "tools/setup.h"
#include "tools/tools.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static bool is_given(const options *o, const char *name)
{
    return case_states(o, name, ATTENTION_MASK);
}

/* In the words of the command line. */
static bool check_align(const options *o)
{
    const bool band = o->causal == 1 || is_given(o, "window-left") || is_given(o, "window-right");
    if (band && !o->align && is_given(o, "keys") && o->keys != o->queries)
        return complain("%" PRId64 " queries over %" PRId64
                        " keys have no one diagonal: say --align top_left (as PyTorch), "
                        "bottom_right (as FlashAttention), key_lengths or offset",
                        o->queries, o->keys);
    if (o->align && strcmp(o->align, "key_lengths") == 0 && !is_given(o, "key-length"))
        return complain("--align key_lengths needs --key-length");
    return !is_given(o, "offset") || (o->align && strcmp(o->align, "offset") == 0) ||
           complain("--offset needs --align offset");
}

/* What a case states is not stated here too, and what belongs to a case needs one. */
static bool check_options(const options *o)
{
    static const char *const of_cases[] = { "sample", "head" };
    static const char *const of_masks[] = { "queries",      "keys",  "causal", "window-left",
                                            "window-right", "align", "offset", "key-length" };
    const bool has_case = o->num_arguments == 1;
    if (o->num_arguments > 1)
        return complain("name at most one file: CASE.h5");
    for (size_t i = 0; i < sizeof of_masks / sizeof of_masks[0]; i++)
        if (has_case && is_given(o, of_masks[i]))
            return complain("--%s: the case file says it", of_masks[i]);
    for (size_t i = 0; i < sizeof of_cases / sizeof of_cases[0]; i++)
        if (!has_case && is_given(o, of_cases[i]))
            return complain("--%s chooses from a case: name a CASE.h5", of_cases[i]);
    if (!has_case && !is_given(o, "queries"))
        return complain("say how many: --queries L [--keys S], or name a CASE.h5");
    return has_case || check_align(o);
}

/* (L, S), of the command line. NULL: latched. */
static grd_tensor *mask_of_options(const options *o)
{
    const int64_t keys = is_given(o, "keys") ? o->keys : o->queries;
    const grd_mask mask = {
        .causal = o->causal == 1,
        .window_left = { o->window_left, is_given(o, "window-left") },
        .window_right = { o->window_right, is_given(o, "window-right") },
        .align = align_named(o->align),
        .offset = o->offset,
        .key_lengths = is_given(o, "key-length")
                           ? grd_from_i64((int64_t[]){ o->key_length }, 1, GRD_SHAPE(1))
                           : NULL,
    };
    const grd_tensor *visible = grd_mask_visible(&mask, GRD_SHAPE(1, o->queries, keys));
    return visible ? grd_select(visible, 0, 0) : NULL;
}

/* One of `count`, counted from 0. */
static bool has(const char *name, int64_t index, int64_t count)
{
    return index < count ||
           complain("--%s: %" PRId64 " is too many, the case has %" PRId64 ", counted from 0", name,
                    index, count);
}

/* (L, S), of one sample and head of a case. NULL: latched, or told. */
static grd_tensor *mask_of_case(const attention_case *c, const options *o)
{
    grd_shape scores = attention_case_scores(c);
    const int64_t samples = scores.rank == 4 ? scores.size[0] : 1;
    if (c->o.add_bias_kv == 1 || c->o.add_zero_attn == 1)
        note("not drawn: keys that add_bias_kv and add_zero_attn append, which every query sees");
    if (!has("sample", o->sample, samples) || !has("head", o->head, scores.size[scores.rank - 3]))
        return NULL;
    const grd_tensor *visible = grd_mask_visible(&c->mask, scores);
    if (visible && scores.rank == 4)
        visible = grd_select(visible, 0, o->sample);
    return visible ? grd_select(visible, 0, o->head) : NULL;
}

/* A file whole, or none. */
static bool write_picture(const grd_tensor *visible, const options *o)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return complain("%s", system_error());
    bool done = grd_mask_svg(out, visible, o->title) == GRD_OK;
    if (fclose(out) != 0)
        done = complain("%s", system_error());
    done = done && grdi_file_write("mask", o->output, text, size);
    free(text);
    return done;
}

static bool draw(const grd_tensor *visible, const options *o)
{
    if (!visible)
        return false;
    return o->output ? write_picture(visible, o)
                     : grd_print_matrix(stdout, grd_cast(visible, GRD_F32)) == GRD_OK;
}

int run_attention_mask(options *o)
{
    if (!check_options(o))
        return EXIT_USAGE;
    attention_case c;
    bool fine;
    grd_scope *scope = open_scope(o);
    if (o->num_arguments == 1) {
        fine = attention_case_read(&c, o->arguments[0], NULL) && draw(mask_of_case(&c, o), o);
        attention_case_free(&c);
    } else {
        fine = draw(mask_of_options(o), o);
    }
    if (grd_scope_end(scope) != GRD_OK)
        return o->num_arguments ? complain_of_case(o->arguments[0]) : complain_of_library();
    return fine ? 0 : EXIT_FAILED;
}
