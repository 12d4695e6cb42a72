/* Attention as plain as it reads, in f64: the reference of the fast loops, and what skips hidden
 * keys altogether, so that nothing leaks from behind them; and what is done to heads before the
 * fast loops read them. */
#ifndef GRDI_CPU_FLASH_ATTENTION_H
#define GRDI_CPU_FLASH_ATTENTION_H

#include "tensor/cpu/loops.h"

/* Sample, head of the queries, and of these first..last - 1. */
typedef struct grdi_place {
    int64_t sample, head, first, last;
} grdi_place;

/* Which queries of one head see which of its keys: of those before `keys` what the rest says, and
 * all from `first_appended` to `end`. `additive` is the offset of its first element, `first_word`
 * the number of the random word of its first pair. */
typedef struct grdi_pairs {
    int64_t queries, keys, first_appended, end, diagonal, left, right;
    uint64_t first_word;
    const bool *visible;
    int64_t visible_row, visible_column;
    int64_t additive, additive_row, additive_column;
} grdi_pairs;

grdi_pairs grdi_pairs_of(const grdi_flash *how, const grdi_array *query, const grdi_array *key,
                         int64_t sample, int64_t head);

static inline bool grdi_sees(const grdi_pairs *p, int64_t i, int64_t j)
{
    const int64_t right_of = j - (i + p->diagonal);
    if (j >= p->keys)
        return j >= p->first_appended;
    return right_of <= p->right && -right_of <= p->left &&
           (!p->visible || p->visible[i * p->visible_row + j * p->visible_column]);
}

/* One head whose rows may hold what is not finite, which the fast loops must not meet: they
 * multiply what is hidden by 0. `head` and `gradient` have 0 in such rows instead, and `suspect`
 * are the queries that such a row touches; gradients of these are left to the plain loops, by a
 * log-sum-exp of -infinity. The rest gets the bits that it would get beside finite rows. */
typedef struct grdi_cleaned {
    grdi_head head;
    grdi_head_gradient gradient;
    bool *suspect;
    void *block;
    size_t bytes;
} grdi_cleaned;
/* doutput is looked at if `gradient` is not NULL. False: no memory. */
bool grdi_clean(grdi_cleaned *cleaned, const grdi_head *head, const grdi_head_gradient *gradient,
                const grdi_pairs *pairs, const grdi_loops *loops, grd_dtype dtype);
void grdi_cleaned_free(grdi_cleaned *cleaned);

/* Heads of arrays in f16 or bf16, in f32: each stands in an array of the same sizes, of which every
 * sample and head is that one. */
typedef struct grdi_widened {
    int count;
    const grdi_array *narrow[6];
    int64_t at[6]; /* of the head's first row */
    grdi_array wide[6];
    void *block;
    size_t bytes;
} grdi_widened;
/* Returns what will stand for the head of x at this offset. */
const grdi_array *grdi_widened_add(grdi_widened *w, const grdi_array *x, int64_t at);
/* Fills the first `read` of them, the others with 0. False: no memory. */
bool grdi_widened_open(grdi_widened *w, int read);
/* Rounds the others into their places. */
void grdi_widened_close(grdi_widened *w, int read);

grd_status grdi_flash_plain(const grdi_flash *how, const grdi_array *output,
                            const grdi_array *logsumexp, const grdi_array *query,
                            const grdi_array *key, const grdi_array *value, grdi_place place);

/* Adds to dadditive if there is one, else to the other gradients. */
grd_status grdi_flash_backward_plain(const grdi_flash *how, const grdi_flash_gradient *gradient,
                                     const grdi_array *query, const grdi_array *key,
                                     const grdi_array *value, grdi_place place);

#endif
