/* A training run as its folder tells it: metrics.jsonl, read as it grows, and config.json. It is
 * read for a page, but belongs to nobody's maths: what does not fit is noted and left out. */
#ifndef GRDI_VIEW_RUN_H
#define GRDI_VIEW_RUN_H

#include "nn/files.h"

/* What is known of each step; behind these come the layers' gradient norms. A value that the line
 * lacks, or that is not finite, is NaN. */
typedef enum grdi_run_column {
    GRDI_RUN_STEP,
    GRDI_RUN_TOKENS, /* up to here, of the run that is in the file */
    GRDI_RUN_LOSS,
    GRDI_RUN_VAL_LOSS,
    GRDI_RUN_LR,
    GRDI_RUN_GRAD_NORM,
    GRDI_RUN_SPEED,  /* tokens per second */
    GRDI_RUN_LAYERS, /* the first layer */
} grdi_run_column;

/* Up to here whole numbers are exact in f64. */
#define GRDI_RUN_LAST_STEP 9007199254740992.0
enum { GRDI_RUN_NAME = 128, GRDI_RUN_MOST_LAYERS = 2048 };
typedef char grdi_run_name[GRDI_RUN_NAME];

/* What was wrong with a line. */
typedef struct grdi_run_fault {
    int64_t line; /* 1 for the first */
    char what[96];
} grdi_run_fault;
enum { GRDI_RUN_FAULTS = 8, GRDI_RUN_RESUMES = 32 };

typedef struct grdi_run {
    char folder[4096];
    /* The table: `rows` of `width` places, of which GRDI_RUN_LAYERS + layers are in use. */
    double *values;
    grdi_run_name *names; /* of layers */
    int64_t rows, room, width, layers;
    /* Of the file. */
    int64_t lines;   /* read so far */
    int64_t offset;  /* where the next one starts */
    char before[64]; /* what the file holds right before that, to see that it is the same file */
    bool skips, cut_off; /* within a line that is too long; the last line is not whole */
    /* Found on the way. */
    grdi_run_fault fault[GRDI_RUN_FAULTS]; /* the first of them */
    int64_t faults;
    double resumed[GRDI_RUN_RESUMES]; /* first steps of runs that went on; the last of them */
    int64_t resumes;
} grdi_run;

/* For the folder that `gradus train --out` names. False: the path is too long, latched. */
bool grdi_run_begin(grdi_run *run, const char *folder);
void grdi_run_end(grdi_run *run);

/* Reads the lines that came since, or all again if the file is another one. A last line that is not
 * whole is left for the next time; `ended`: there is none, so it is taken if it makes sense. False:
 * GRD_ERROR_NO_FILE, GRD_ERROR_IO, GRD_ERROR_MEMORY. */
bool grdi_run_read(grdi_run *run, bool ended);
/* In run_lock.c: whether a process holds the lock of the one that writes metrics.jsonl. */
bool grdi_run_is_written(const grdi_run *run);

static inline double grdi_run_value(const grdi_run *run, int64_t row, int64_t column)
{
    return run->values[row * run->width + column];
}

/* ---- Between run_table.c, run_line.c, run_quick.c and run_read.c ---- */

/* Forgets all but the folder. */
void grdi_run_empty(grdi_run *run);
/* The row behind the last, all NaN. NULL: out of memory. */
double *grdi_run_next_row(grdi_run *run);
/* The column of a layer, a new one if need be; 0: there are too many, or no memory. Layers come in
 * the same order in each line, so the one that is expected is looked at first. */
int64_t grdi_run_layer(grdi_run *run, const char *name, size_t length, int64_t expected);
/* Notes what is wrong with the line that was read last. False. */
bool grdi_run_blame(grdi_run *run, const char *what);
/* Takes the next line, which ends with a zero byte, and may change it. */
void grdi_run_line(grdi_run *run, char *line, size_t size);
/* Fills the next row from a line in the form that gradus train writes. False for any other, which
 * may be as good: a row that was begun is left. */
bool grdi_run_quick(grdi_run *run, const char *line, bool *resumed);

/* ---- What is told of it: run_figures.c ---- */

typedef struct grdi_run_figures {
    double step, loss, smoothed; /* of the last step; smoothed as the program's bar does */
    double best, best_step;      /* the least validation loss; NaN: none */
    double val_loss, val_step;   /* the last */
    double tokens, seconds;      /* in all; without validation and saving */
    double speed, step_seconds;  /* lately */
    int64_t not_finite;          /* losses */
} grdi_run_figures;
grdi_run_figures grdi_run_figure(const grdi_run *run);

/* ---- Fewer rows for a page: run_reduce.c ---- */

/* Rows of a page, column after column: those of the run, and the mean loss. Where there are more
 * than fit, `stride` rows in a row became two points: what is least and what is largest there of
 * each column, in their order, so that no spike is lost. Steps and tokens are those of the first
 * and the last. */
typedef struct grdi_run_points {
    double *values; /* of the scope: columns x count, then the means */
    int64_t columns, count, stride;
} grdi_run_points;

/* Of all rows, or of those that were validated; at most about `most` values. NULL values and an
 * error when out of memory. */
grdi_run_points grdi_run_reduce(const grdi_run *run, bool validated, int64_t most);

/* ---- Its page: run_page.c ---- */

typedef enum grdi_run_state {
    GRDI_RUN_STOPPED, /* or finished, if the options say how many steps it has */
    GRDI_RUN_RUNNING
} grdi_run_state;

/* Writes the page. A running one reloads itself; `refresh` is after how many seconds a new one is
 * to be expected. */
bool grdi_run_write(const char *op, const char *path, const grdi_run *run, grdi_run_state state,
                    double refresh);

#endif
