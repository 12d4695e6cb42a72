/* What people look at: tensors drawn in the terminal, masks as pictures. */
#ifndef GRADUS_VIEW_H
#define GRADUS_VIEW_H

#include <gradus/nn.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Draws a matrix (rows, columns), a line a row: values from 0 to the largest as ever darker blocks,
 * a NaN as "??", what is 0 or less as a blank; then sizes and the largest value. GRD_ERROR_SHAPE:
 * not two dimensions. */
GRD_API grd_status grd_print_matrix(FILE *out, const grd_tensor *matrix);

/* Writes a picture of a mask, bool (L, S) as grd_mask_visible makes it: queries down, keys across,
 * what is seen filled, queries without a key marked. An SVG document for light and dark pages, that
 * says in words what it shows to those who hear it. title (UTF-8) stands above; NULL: none. At most
 * 1024 x 1024. GRD_ERROR_IO: out does not take it. */
GRD_API grd_status grd_mask_svg(FILE *out, const grd_tensor *visible, const char *title);

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
 * options->trace that reached the root, which has one element otherwise; if there is none, it walks
 * first, without changing a gradient. Small tensors are shown as numbers, of larger ones a corner
 * as colours, with statistics. Errors are grd_graph_dump's. */
GRD_API GRD_MUST_USE grd_status grd_view_backward(const char *html_path, const grd_tensor *root,
                                                  const grd_graph_options *options);

#ifdef __cplusplus
}
#endif

#ifndef GRD_NO_CALL_SITES
#define grd_print_matrix(...) grd_at_status(grd_print_matrix(__VA_ARGS__), __FILE__, __LINE__)
#define grd_mask_svg(...) grd_at_status(grd_mask_svg(__VA_ARGS__), __FILE__, __LINE__)
#define grd_graph_dump(...) grd_at_answer(grd_graph_dump(__VA_ARGS__), __FILE__, __LINE__)
#define grd_view_backward(...) grd_at_answer(grd_view_backward(__VA_ARGS__), __FILE__, __LINE__)
#endif

#endif
