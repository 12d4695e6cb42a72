/* Where the answers of toy tasks stand: what is marked must hold the answer. */
#include "tests/counter.h"
#include "tests/fake_device.h"
#include "tests/nn/expect.h"

#include <criterion/criterion.h>
#include <string.h>

enum { ROWS = 32, MAX_T = 64 };

static grd_scope *scope;

static void begin(void)
{
    scope = grd_scope_begin();
}

static void end(void)
{
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

TestSuite(task_patterns, .init = begin, .fini = end);

static grd_data *task(const char *name)
{
    grd_data *data = grd_data_task(name, &(grd_task_options){ .batch_size = ROWS, .seed = 3 });
    cr_assert(data, "%s", grd_error_message());
    return data;
}

/* One sequence as symbols, with its pattern. */
typedef struct row {
    int context;
    char in[MAX_T + 1], out[MAX_T + 1]; /* '.': not asked */
    bool keys[MAX_T][MAX_T], queries[MAX_T];
} row;

static char symbol(const grd_data *data, double token)
{
    return token < 0 ? '.' : *grd_token_text(grd_data_tokenizer(data), (int64_t)token);
}

static row row_of(const grd_data *data, int64_t pattern, int64_t number)
{
    const grd_batch batch = grd_batch_at(data, 5);
    const grd_tensor *inputs = grd_slice(batch.inputs, 0, number, number + 1, 1);
    const grd_task_pattern p = grd_data_pattern(data, pattern, inputs);
    row r = { .context = (int)grd_data_context(data) };
    cr_assert(p.keys && p.queries && strlen(p.name) > 4, "%s", grd_error_message());
    for (int t = 0; t < r.context; t++) {
        r.in[t] = symbol(data, grd_item_at(inputs, GRD_DIMS(0, t)));
        r.out[t] = symbol(data, grd_item_at(batch.targets, GRD_DIMS(number, t)));
        r.queries[t] = grd_item_at(p.queries, GRD_DIMS(0, t)) != 0;
        for (int j = 0; j < r.context; j++)
            r.keys[t][j] = grd_item_at(p.keys, GRD_DIMS(0, 0, t, j)) != 0;
    }
    return r;
}

static int count_of(const row *r, int t)
{
    int count = 0;
    for (int j = 0; j < r->context; j++)
        count += r->keys[t][j];
    return count;
}

/* A query counts if it has keys, and one that answers if it is asked. */
static void expect_answering(const char *name, const row *r)
{
    for (int t = 0; t < r->context; t++) {
        cr_assert_eq(r->queries[t], count_of(r, t) > 0, "%s: %s, %d", name, r->in, t);
        cr_assert_eq(r->queries[t], r->out[t] != '.', "%s: %s, %d", name, r->in, t);
    }
}

static const char *const names[] = { "copy",      "reverse", "sort",      "add",   "recall",
                                     "induction", "dyck",    "histogram", "modadd" };
enum { NAMES = sizeof names / sizeof names[0] };

Test(task_patterns, the_first_is_of_what_is_asked)
{
    for (int k = 0; k < NAMES; k++) {
        const grd_data *data = task(names[k]);
        for (int i = 0; i < 8; i++) {
            const row r = row_of(data, 0, i);
            expect_answering(names[k], &r);
        }
    }
}

/* ---- Tasks that answer with a token that they have seen ---- */

Test(task_patterns, copied_answers_stand_where_it_is_marked)
{
    static const char *const copying[] = { "copy", "reverse", "sort", "recall", "induction" };
    for (size_t k = 0; k < sizeof copying / sizeof copying[0]; k++) {
        const grd_data *data = task(copying[k]);
        for (int i = 0; i < ROWS; i++) {
            const row r = row_of(data, 0, i);
            for (int t = 0; t < r.context; t++)
                for (int j = 0; j < r.context; j++)
                    cr_assert(!r.keys[t][j] || r.in[j] == r.out[t], "%s: %s, query %d, key %d",
                              copying[k], r.in, t, j);
        }
    }
}

/* Not every like symbol: the place is known, or its neighbour is. */
Test(task_patterns, copied_answers_are_not_marked_elsewhere)
{
    const row copy = row_of(task("copy"), 0, 0), reverse = row_of(task("reverse"), 0, 0);
    for (int i = 0; i < 12; i++)
        cr_assert(copy.keys[12 + i][i] && count_of(&copy, 12 + i) == 1);
    for (int t = 0; t < 16; t++)
        cr_assert(reverse.keys[t][15 - t] && count_of(&reverse, t) == 1);
    const grd_data *recall = task("recall"), *sort = task("sort"), *induction = task("induction");
    for (int i = 0; i < ROWS; i++) {
        row r = row_of(recall, 0, i);
        for (int t = 16; t < r.context; t += 2)
            for (int j = 0; j < r.context; j++)
                cr_assert_eq(r.keys[t][j], j % 2 && j < 16 && r.in[j - 1] == r.in[t]);
        r = row_of(sort, 0, i);
        for (int t = 8; t < 16; t++)
            for (int j = 0; j < 16; j++)
                cr_assert_eq(r.keys[t][j], j < 8 && r.in[j] == r.out[t]);
        r = row_of(induction, 0, i);
        for (int t = 0; t < r.context; t++)
            for (int j = 0; j < r.context; j++)
                cr_assert_eq(r.keys[t][j], j > 0 && j <= t && r.in[j - 1] == r.in[t]);
    }
}

/* ---- The others ---- */

/* 123+456=975: digits, and a carry that may come from those below. */
Test(task_patterns, aligned_digits_make_the_sum)
{
    const grd_data *data = task("add");
    for (int i = 0; i < ROWS; i++) {
        const row digits = row_of(data, 0, i), carries = row_of(data, 1, i);
        int carry = 0;
        for (int t = 7; t < 10; t++) {
            int sum = carry;
            for (int j = 0; j < 7; j++)
                sum += digits.keys[t][j] ? digits.in[j] - '0' : 0;
            cr_assert(count_of(&digits, t) == 2 && sum % 10 == digits.out[t] - '0', "%s",
                      digits.in);
            carry = sum / 10;
            for (int j = 0; j < 11; j++)
                cr_assert_eq(carries.keys[t + 1][j], digits.keys[t][j]);
        }
        cr_assert_eq(digits.out[10] - '0', carry);
    }
}

Test(task_patterns, a_bracket_is_closed_by_its_own_kind)
{
    const grd_data *data = task("dyck");
    for (int i = 0; i < ROWS; i++) {
        const row r = row_of(data, 0, i);
        int open[MAX_T], depth = 0;
        for (int t = 0; t < r.context; t++) {
            if (strchr("([", r.in[t]))
                open[depth++] = t;
            else
                depth--;
            if (r.out[t] == '.')
                continue;
            cr_assert(count_of(&r, t) == 1 && r.keys[t][open[depth - 1]], "%s, %d", r.in, t);
            cr_assert_eq(r.out[t], r.in[open[depth - 1]] == '(' ? ')' : ']');
        }
    }
}

Test(task_patterns, a_histogram_counts_its_keys)
{
    const grd_data *data = task("histogram");
    for (int i = 0; i < ROWS; i++) {
        const row r = row_of(data, 0, i);
        for (int t = 1; t < r.context; t++) {
            cr_assert_eq("123456789A"[count_of(&r, t) - 2], r.out[t], "%s", r.in);
            cr_assert(r.keys[t][0] && r.keys[t][t]);
        }
    }
}

Test(task_patterns, the_rest)
{
    row r = row_of(task("modadd"), 0, 0);
    cr_assert(r.keys[2][0] && r.keys[2][1] && !r.keys[2][2]);
    r = row_of(task("recall"), 1, 0);
    for (int t = 0; t < r.context; t++) {
        cr_assert_eq(count_of(&r, t), t < 16 && t % 2);
        cr_assert_eq(r.keys[t][t > 0 ? t - 1 : 0], t < 16 && t % 2);
    }
    r = row_of(task("induction"), 1, 0);
    for (int t = 0; t < r.context; t++)
        cr_assert(count_of(&r, t) == (t > 0) && r.queries[t] == (t > 0) &&
                  r.keys[t][t - (t > 0)] == (t > 0));
    static const int64_t counts[] = { 1, 1, 1, 2, 2, 2, 1, 1, 1 };
    for (int k = 0; k < NAMES; k++)
        cr_assert_eq(grd_data_num_patterns(task(names[k])), counts[k], "%s", names[k]);
    cr_assert_eq(grd_data_num_patterns(NULL), 0);
}

/* ---- How it is given ---- */

Test(task_patterns, are_options_of_scores)
{
    const grd_data *data = task("copy");
    const grd_task_pattern p = grd_data_pattern(data, 0, grd_batch_at(data, 0).inputs);
    const grd_score_options options = { .pattern = p.keys, .queries = p.queries };
    const grd_tensor *weights = grd_expand(grd_cast(p.keys, GRD_F32), GRD_SHAPE(ROWS, 2, 24, 24));
    grd_head_scores s[2];
    cr_assert_eq(grd_score_heads(weights, &options, s, 2), GRD_OK, "%s", grd_error_message());
    cr_assert(s[1].patterns[GRD_PATTERN_OWN].score == 1 && s[1].entropy == 0);
    cr_assert_eq(s[1].patterns[GRD_PATTERN_OWN].queries, ROWS * 12);
}

Test(task_patterns, of_one_sequence_and_on_any_device)
{
    const grd_data *data = task("sort");
    const grd_tensor *inputs = grd_batch_at(data, 0).inputs;
    const grd_task_pattern all = grd_data_pattern(data, 0, inputs);
    const grd_task_pattern one = grd_data_pattern(data, 0, grd_select(inputs, 0, 7));
    cr_assert(grd_equal(one.keys, grd_slice(all.keys, 0, 7, 8, 1)));
    cr_assert(grd_equal(one.queries, grd_slice(all.queries, 0, 7, 8, 1)));
    const grd_task_pattern there = grd_data_pattern(data, 0, grd_to_device(inputs, fake_device()));
    cr_assert(grd_tensor_device(there.keys) == fake_device() && grd_equal(there.keys, all.keys));
}

/* Text that someone typed, and what no tokenizer gave. */
Test(task_patterns, sequences_that_no_task_draws)
{
    for (int k = 0; k < NAMES; k++) {
        const grd_data *data = task(names[k]);
        const grd_shape shape = GRD_SHAPE(2, grd_data_context(data));
        for (int64_t i = 0; i < grd_data_num_patterns(data); i++)
            for (int64_t fill = -1; fill < 4; fill++) {
                const grd_tensor *same = grd_cast(grd_full(shape, (double)fill), GRD_I64);
                cr_assert_not_null(grd_data_pattern(data, i, same).keys, "%s", grd_error_message());
            }
    }
}

Test(task_patterns, mistakes_are_named)
{
    const grd_data *data = task("copy");
    const grd_tensor *inputs = grd_batch_at(data, 0).inputs;
    cr_assert_null(grd_data_pattern(NULL, 0, inputs).keys);
    expect_error(GRD_ERROR_ARGUMENT, "data_pattern: an argument is NULL at ");
    cr_assert_null(grd_data_pattern(data, 0, NULL).keys);
    expect_error(GRD_ERROR_ARGUMENT, "data_pattern: an argument is NULL at ");
    cr_assert_null(grd_data_pattern(data, 1, inputs).name);
    expect_error(GRD_ERROR_ARGUMENT, "data_pattern: copy has no pattern 1, but 1 at ");
    cr_assert_null(grd_data_pattern(data, -1, inputs).name);
    expect_error(GRD_ERROR_ARGUMENT, "data_pattern: copy has no pattern -1");
    cr_assert_null(grd_data_pattern(data, 0, grd_slice(inputs, 1, 0, 23, 1)).name);
    expect_error(GRD_ERROR_SHAPE,
                 "data_pattern: inputs are [32, 23], expected (B, T) or (T) of T = 24 at ");
    cr_assert_null(grd_data_pattern(data, 0, grd_cast(inputs, GRD_F32)).name);
    expect_error(GRD_ERROR_DTYPE, "data_pattern: inputs are f32, expected i64 at ");
}

static grd_status program(void)
{
    grd_scope *all = grd_scope_begin();
    const grd_data *data =
        grd_data_task("dyck", &(grd_task_options){ .batch_size = 2, .length = 4 });
    const grd_task_pattern p = grd_data_pattern(data, 0, grd_batch_at(data, 0).inputs);
    (void)p;
    return grd_scope_end(all);
}

Test(task_patterns_memory, every_failed_allocation_is_an_error)
{
    fail_at_every_allocation(program, 15);
}
