/* What people look at: tensors drawn in the terminal, masks as pictures, runs and attention as
 * pages. */
#ifndef GRADUS_VIEW_H
#define GRADUS_VIEW_H

#include <gradus/attention.h>
#include <gradus/data.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How a matrix is shown. Texts are UTF-8 of anyone: control characters and those that turn the
 * direction of writing are shown as \u{202e}, spaces at the ends of labels as one that is seen,
 * what is no UTF-8 as U+FFFD. */
typedef struct grd_matrix_options {
    const char *title;             /* NULL: none */
    const char *rows, *columns;    /* what they are, "queries", "keys"; NULL: it is not said */
    const char *const *row_labels; /* a text each; NULL: numbers */
    const char *const *column_labels;
    const char *const *captions; /* of several matrices, a text each; NULL: numbers */
    const grd_tensor *attend;    /* bool, broadcast: false is masked; NULL: none is */
    double low, high;            /* the ends of the scale; equal: 0 and the values' */
    bool two_sided;              /* of differences: the scale has 0 in its middle */
    bool dark;                   /* the ground of a PNG; an SVG follows its page */
    int64_t cell;                /* pixels from cell to cell; 0: what fits */
    int64_t width;               /* of the terminal, in columns; 0: 80 */
    bool colour;                 /* the terminal has true colour */
} grd_matrix_options;

/* Writes a matrix (rows, columns), of any type, as a file: the path ends in .png, .svg or .csv.
 * Several, (count, rows, columns) or (down, across, rows, columns), become one picture with a
 * caption each, and without labels. NULL options: all defaults. The file is replaced whole or not
 * at all.
 *
 * Pictures: a cell is a shade of a scale that is even to the eye and safe for colour-blind people;
 * its legend stands below. What is NaN or masked has a colour beside the scale and a mark; values
 * beyond the scale have its ends' colours. An SVG says the value of each cell that is pointed at,
 * up to 1024 cells; a PNG has twice the pixels of its page where that is not too large, and letters
 * for ASCII alone, other characters are boxes. At most 8192 x 8192 pixels, a cell being at least
 * one.
 *
 * CSV (RFC 4180, UTF-8): with column_labels the first line, with row_labels the first column has
 * them, in quotes; of several matrices the column before has the caption. Numbers have as many
 * digits as it takes to read the same value of their type; a masked cell is empty. Since
 * spreadsheets would run a label that begins with = + - @, a tab or a line end as a formula, those
 * and labels that begin with an apostrophe get an apostrophe before: take one away to have the
 * label.
 *
 * GRD_ERROR_ARGUMENT: another ending. GRD_ERROR_SHAPE: other dimensions, or too large a picture.
 * GRD_ERROR_IO: the file cannot be written. */
GRD_API GRD_MUST_USE grd_status grd_view_matrix(const char *path, const grd_tensor *matrix,
                                                const grd_matrix_options *options);

/* Draws a matrix (rows, columns) in a terminal, with labels and a legend, in colours if it has
 * them. What is wider than the width, or longer than 64 rows, is folded: a cell is then the largest
 * of several (two-sided: the one furthest from 0), and the legend says so. NaN is ??, a masked cell
 * is //; without colours what is below 0 is drawn in signs, what is above in blocks. NULL options:
 * all defaults. GRD_ERROR_IO: out does not take it. */
GRD_API grd_status grd_print_heatmap(FILE *out, const grd_tensor *matrix,
                                     const grd_matrix_options *options);

/* Draws a matrix (rows, columns), a line a row: values from 0 to the largest as ever darker blocks,
 * a NaN as "??", what is 0 or less as a blank; then sizes and the largest value. GRD_ERROR_SHAPE:
 * not two dimensions. */
GRD_API grd_status grd_print_matrix(FILE *out, const grd_tensor *matrix);

/* Writes a picture of a mask, bool (L, S) as grd_mask_visible makes it: queries down, keys across,
 * what is seen filled, queries without a key marked. An SVG document for light and dark pages, that
 * says in words what it shows to those who hear it. title (UTF-8) stands above; NULL: none. At most
 * 1024 x 1024. GRD_ERROR_IO: out does not take it. */
GRD_API grd_status grd_mask_svg(FILE *out, const grd_tensor *visible, const char *title);

/* Writes a report of a training run, a page that needs no other file and no network: curves of
 * losses, learning rate, gradient norms and speed, figures, and the options it ran with. run_folder
 * is one that gradus train --out made, or any that holds a metrics.jsonl as docs/training.md
 * describes it; the run may go on meanwhile. Lines that are damaged are named on the page, and left
 * out; of very long runs the page holds the extremes of every few steps. GRD_ERROR_NO_FILE: there
 * is no metrics.jsonl. GRD_ERROR_IO: the old page is as it was. Changes no bit of a run. */
GRD_API GRD_MUST_USE grd_status grd_view_run(const char *html_path, const char *run_folder);

typedef struct grd_graph_options {
    grd_trace *trace;         /* open while the graph was made; NULL: only what the graph keeps */
    const grd_module *module; /* names its parameters by their paths; a trace knows them itself */
    int64_t collapse;         /* a module nested so deep is one box, the outermost 1; 0: none is */
    const char *title;        /* NULL: "Graph" */
} grd_graph_options;
/* Draws the graph that root was computed by, down to the leaves, as .svg, .dot (for Graphviz) or
 * .json by the path's ending. Of each op, leaf and constant: its name (grd_tensor_set_name, or a
 * parameter's path), shape, dtype, call site, what it saved for backward in bytes, and statistics
 * of its values and of its gradient in the last walk, or "not computed". The same graph gives the
 * same bytes. GRD_ERROR_GRAPH: root does not require grad, or its graph was freed and not traced.
 */
GRD_API GRD_MUST_USE grd_status grd_graph_dump(const char *path, const grd_tensor *root,
                                               const grd_graph_options *options);

/* Writes a page that steps through forward and backward of the same graph: values, the gradient
 * that comes in, the rule, what goes out, and how gradients add up. It shows the last walk of
 * options->trace that reached the root. If there is none, root has one element, and the call walks
 * first, which hooks see, but which changes no leaf's gradient. Small tensors are shown as numbers,
 * of larger ones a corner as colours, with statistics. Errors are grd_graph_dump's. */
GRD_API GRD_MUST_USE grd_status grd_view_backward(const char *html_path, const grd_tensor *root,
                                                  const grd_graph_options *options);

/* ---- Attention as a page: one HTML file that needs nothing else (docs/viewer.md) ---- */

/* What is known of a layer besides its weights; all of it may be left out. */
typedef struct grd_attention_view_layer {
    const char *name; /* "decoder.layers.0.multihead_attn"; NULL: "layer 0" */
    /* Of this layer, and NULL: of all layers, see below. */
    const char *const *query_tokens, *const *key_tokens;
    const grd_mask *mask;
    int64_t appended; /* keys at the end that add_bias_kv and add_zero_attn appended: no mask and no
                       * token is theirs */
    /* Of each head, for the neuron view; all three or none. (B, H, L, D), (B, Hk, S, D),
     * (B, Hk, S, Dv), H a multiple of Hk; scale and softcap as in grd_sdpa_options. */
    const grd_tensor *query, *key, *value;
    grd_maybe_real scale;
    double softcap;
    const grd_tensor *baseline;         /* weights to compare with, of the same shape */
    const grd_attention_report *checks; /* of grd_check_mha, or of grd_check_attention */
} grd_attention_view_layer;

typedef struct grd_view_attention_options {
    /* Of each layer the weights of every head (grd_mha_args.weights = GRD_PER_HEAD), before
     * dropout: (B, H, L, S), (H, L, S) without a batch, (L, S) of one head. B is the same in all,
     * the rest need not be: encoder, decoder and what lies between go on one page. */
    const grd_attention *layers;
    int64_t num_layers;
    /* Any texts, UTF-8 or not: B * L of the queries and B * S of the keys, one sample after the
     * other. query_tokens NULL: positions. key_tokens NULL: those of the queries where L == S, else
     * positions. */
    const char *const *query_tokens, *const *key_tokens;
    const grd_mask *mask; /* that the weights were made with; NULL: every query sees every key */
    const char *title;    /* NULL: "Attention" */
    const char *baseline; /* what the layers' baselines are: "initial weights" */
    const grd_attention_view_layer *details; /* num_layers of them; NULL: nothing more is known */
} grd_view_attention_options;
/* Writes the page, whole or not at all. What is wrong with the weights (a row that does not sum to
 * 1, a weight where the mask leaves none, a NaN) is no error: the page says so first. At most 2^26
 * weights. */
GRD_API GRD_MUST_USE grd_status grd_view_attention(const char *html_path,
                                                   const grd_view_attention_options *options);
/* The same of a transformer and a text of 1 to `context` tokens, with the checks of its modules,
 * its queries, keys and values, and its heads' scores. The model runs in eval mode and is left as
 * it was: made between two steps of a training, a page changes no bit of it. */
GRD_API GRD_MUST_USE grd_status grd_view_model(const char *html_path, grd_module *model,
                                               const grd_tokenizer *tokenizer, const char *text);

#ifdef __cplusplus
}
#endif

#ifndef GRD_NO_CALL_SITES
#define grd_view_matrix(...) grd_at_answer(grd_view_matrix(__VA_ARGS__), __FILE__, __LINE__)
#define grd_print_heatmap(...) grd_at_status(grd_print_heatmap(__VA_ARGS__), __FILE__, __LINE__)
#define grd_print_matrix(...) grd_at_status(grd_print_matrix(__VA_ARGS__), __FILE__, __LINE__)
#define grd_mask_svg(...) grd_at_status(grd_mask_svg(__VA_ARGS__), __FILE__, __LINE__)
#define grd_view_run(...) grd_at_answer(grd_view_run(__VA_ARGS__), __FILE__, __LINE__)
#define grd_graph_dump(...) grd_at_answer(grd_graph_dump(__VA_ARGS__), __FILE__, __LINE__)
#define grd_view_backward(...) grd_at_answer(grd_view_backward(__VA_ARGS__), __FILE__, __LINE__)
#define grd_view_attention(...) grd_at_answer(grd_view_attention(__VA_ARGS__), __FILE__, __LINE__)
#define grd_view_model(...) grd_at_answer(grd_view_model(__VA_ARGS__), __FILE__, __LINE__)
#endif

#endif
