/* Attention as a page, from inside: layers that were checked, read out and judged on their exact
 * values, before any number is rounded for the page. */
#ifndef GRDI_VIEW_ATTENTION_H
#define GRDI_VIEW_ATTENTION_H

#include <gradus/view.h>
#include <jansson.h>

enum {
    GRDI_VIEW_EXACT = 1 << 18,   /* up to so many weights a page holds in f32, beyond in u16 */
    GRDI_VIEW_WEIGHTS = 1 << 26, /* and more it refuses */
    GRDI_VIEW_SINGLE = 1 << 17,  /* the same of queries, keys and values: f32, beyond in f16 */
    GRDI_VIEW_VECTORS = 3 << 18, /* and more it leaves out */
    GRDI_VIEW_LEAKS = 64         /* a page names at most so many weights on masked pairs */
};

/* One layer, in memory of the scope that it was read in. */
typedef struct grdi_shown {
    grd_attention_view_layer told;
    grd_shape shape;                /* (B, H, L, S), S with the appended keys */
    double tolerance;               /* of a row's sum, by the type of the weights */
    const double *weights;          /* exact */
    const bool *visible;            /* of every pair */
    const double *baseline;         /* NULL: none */
    const char *const *query_texts; /* NULL: positions */
    const char *const *key_texts;
} grdi_shown;

/* Checks what can be checked without reading a number. False with an error latched. */
bool grdi_view_check(const char *op, const grd_view_attention_options *options);
/* Reads layer i, which was checked. False with an error latched. */
bool grdi_view_read(const char *op, const grd_view_attention_options *options, int64_t i,
                    grdi_shown *shown);

/* What these very weights say. Places are of the first that is worst: sample, head, query, key. */
typedef struct grdi_verdicts {
    double row_error; /* largest distance of a row's sum from 1, or from 0 where it sees no key */
    int64_t row_at[4], bad_rows;
    double leak; /* largest weight on a pair that the mask leaves out */
    int64_t leak_at[4], leaks, masked;
    double least, most; /* of all weights that are numbers */
    int64_t not_finite, blind_rows;
} grdi_verdicts;
grdi_verdicts grdi_view_judge(const grdi_shown *shown);

/* A layer for the page. `exact`: f32, else u16 where every weight is in [0, 1]. NULL: no memory. */
json_t *grdi_view_layer_data(const grdi_shown *shown, const grdi_verdicts *verdicts, bool exact);
/* Queries, keys and values for the neuron view; in f32, or in f16. NULL with an error latched, or
 * without memory. */
json_t *grdi_view_vectors(const grdi_shown *shown, bool single);

/* grd_view_attention in the scope of the caller, with what else the page is to know (taken over;
 * NULL: nothing). False with an error latched. */
bool grdi_view_attention(const char *html_path, const grd_view_attention_options *options,
                         json_t *more);

#endif
