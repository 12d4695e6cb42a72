/* What people look at: tensors drawn in the terminal, masks as pictures, runs as pages. */
#ifndef GRADUS_VIEW_H
#define GRADUS_VIEW_H

#include <gradus/tensor.h>

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

/* Writes a report of a training run, a page that needs no other file and no network: curves of
 * losses, learning rate, gradient norms and speed, figures, and the options it ran with. run_folder
 * is one that gradus train --out made, or any that holds a metrics.jsonl as docs/training.md
 * describes it; the run may go on meanwhile. Lines that are damaged are named on the page, and left
 * out; of very long runs the page holds the extremes of every few steps. GRD_ERROR_NO_FILE: there
 * is no metrics.jsonl. GRD_ERROR_IO: the old page is as it was. Changes no bit of a run. */
GRD_API GRD_MUST_USE grd_status grd_view_run(const char *html_path, const char *run_folder);

#ifdef __cplusplus
}
#endif

#ifndef GRD_NO_CALL_SITES
#define grd_print_matrix(...) grd_at_status(grd_print_matrix(__VA_ARGS__), __FILE__, __LINE__)
#define grd_mask_svg(...) grd_at_status(grd_mask_svg(__VA_ARGS__), __FILE__, __LINE__)
#define grd_view_run(...) grd_at_answer(grd_view_run(__VA_ARGS__), __FILE__, __LINE__)
#endif

#endif
