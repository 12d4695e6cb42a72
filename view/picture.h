/* A matrix, or several, as a picture: what is shown where. */
#ifndef GRDI_VIEW_PICTURE_H
#define GRDI_VIEW_PICTURE_H

#include "nn/files.h"
#include "view/drawing.h"
#include <gradus/view.h>

typedef struct grdi_picture {
    const char *op;
    const grd_matrix_options *options; /* never NULL */
    grd_dtype dtype;
    int64_t down, across, rows, columns; /* matrices below and beside each other; cells of one */
    double *values;
    unsigned char *colours; /* of the cells; GRDI_MASKED and GRDI_NAN are no shades */
    double low, high;
    int64_t masked, nans, beyond; /* cells; beyond the scale's ends */
    int64_t least, largest;       /* the places of values; -1: there is none */
    bool used[GRDI_COLOURS];      /* by a cell */

    /* Of the drawing. */
    int64_t cell, gap, caption, left, top, bottom, width, height;
    bool columns_turned; /* the columns' labels */
    char title[GRDI_LABEL];
    const char *description; /* for who does not see it */
} grdi_picture;

/* Reads and checks a matrix; what it takes belongs to the open scope. False: an error is latched.
 */
bool grdi_picture_read(grdi_picture *p, const char *op, const grd_tensor *matrix,
                       const grd_matrix_options *options);

int64_t grdi_picture_cells(const grdi_picture *p);

/* Labels as they can be shown: "12" where there are no texts. A caption is "0, 1" or "1" then. */
void grdi_picture_label(char out[GRDI_LABEL], const char *const *labels, int64_t at,
                        int64_t columns);
void grdi_picture_caption(char out[GRDI_LABEL], const grdi_picture *p, int64_t matrix);

/* ---- Drawing ---- */

/* Where a picture is drawn to. */
typedef struct grdi_canvas {
    void *to;
    void (*fill)(void *to, double x, double y, double width, double height,
                 enum grdi_colour colour);
    void (*letter)(void *to, const grdi_lettering *text);
    void (*cells)(void *to, const grdi_picture *p, int64_t matrix, double x, double y);
} grdi_canvas;

/* Says where all stands, and in words what is shown. False: it would be too large. */
bool grdi_picture_lay_out(grdi_picture *p);
void grdi_picture_draw(const grdi_picture *p, const grdi_canvas *canvas);

/* The character of a terminal for a part of the scale, a blank for 0 or less. */
const char *grdi_shade(double part);

/* Cells this large are a pixel apart, and carry marks. */
enum { GRDI_APART = 6, GRDI_MARKED = 8 };

/* The legend shows every so many'th shade, so many pixels wide. */
enum { GRDI_LEGEND = 6 };

/* The files' bytes, of the open scope; NULL: an error is latched. Images are laid out before. */
grdi_bytes *grdi_picture_png(const grdi_picture *p);
grdi_bytes *grdi_picture_svg(const grdi_picture *p);
grdi_bytes *grdi_picture_csv(const grdi_picture *p);

/* What `write` writes to a stream, as such bytes. */
grdi_bytes *grdi_picture_text(const grdi_picture *p,
                              void (*write)(const grdi_picture *p, FILE *out));

#endif
