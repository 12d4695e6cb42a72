/* Data: batches are pure functions, parts do not meet, targets are right by code of their own. */
#include "tests/counter.h"
#include "tests/fake_device.h"
#include "tests/nn/expect.h"

#include <criterion/criterion.h>
#include <gradus/gradus.h>
#include <stdlib.h>
#include <string.h>

enum { MAX = 4096 };

static grd_scope *scope;
static int64_t inputs[MAX], targets[MAX];

static void begin(void)
{
    scope = grd_scope_begin();
}

static void end(void)
{
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

TestSuite(data, .init = begin, .fini = end);

static grd_data *task(const char *name, grd_part part, int64_t batch_size, int64_t length,
                      uint64_t seed)
{
    const grd_task_options options = {
        .part = part, .batch_size = batch_size, .length = length, .seed = seed
    };
    grd_data *data = grd_data_task(name, &options);
    cr_assert(data, "%s", grd_error_message());
    return data;
}

/* Batch i's numbers, in `inputs` and `targets`; returns how many. */
static int64_t fetch(const grd_data *data, int64_t i)
{
    grd_scope *inner = grd_scope_begin();
    const grd_batch batch = grd_batch_at(data, i);
    const int64_t count = grd_tensor_count(batch.inputs);
    cr_assert(batch.inputs && batch.targets, "%s", grd_error_message());
    cr_assert_leq(count, MAX);
    cr_assert_eq(grd_tensor_size(batch.inputs, 1), grd_data_context(data));
    cr_assert_eq(grd_tensor_dtype(batch.targets), GRD_I64);
    cr_assert_eq(grd_read_i64(batch.inputs, inputs, count), GRD_OK, "%s", grd_error_message());
    cr_assert_eq(grd_read_i64(batch.targets, targets, count), GRD_OK);
    int64_t asked = 0;
    for (int64_t k = 0; k < count; k++) {
        asked += targets[k] != -100;
        cr_assert(inputs[k] >= 0 && inputs[k] < grd_data_vocab_size(data));
        cr_assert(targets[k] == -100 ||
                  (targets[k] >= 0 && targets[k] < grd_data_vocab_size(data)));
    }
    cr_assert_eq(batch.tokens, asked);
    cr_assert_eq(grd_scope_end(inner), GRD_OK);
    return count;
}

/* A row as text: inputs, and targets with '.' where nothing is asked. */
static void spell(const grd_data *data, int64_t row, char *in, char *out)
{
    const int64_t context = grd_data_context(data);
    for (int64_t t = 0; t < context; t++) {
        const int64_t asked = targets[row * context + t];
        in[t] = *grd_token_text(grd_data_tokenizer(data), inputs[row * context + t]);
        out[t] = asked == -100 ? '.' : *grd_token_text(grd_data_tokenizer(data), asked);
    }
    in[context] = out[context] = '\0';
}

/* ---- What the answers are, worked out from the inputs' text ---- */

static void answer_copy(const char *in, char *out, int n)
{
    for (int i = 0; i < n; i++)
        out[n + i] = in[i];
}

static void answer_reverse(const char *in, char *out, int n)
{
    for (int i = 0; i < n; i++)
        out[i] = in[n - 1 - i];
}

static void answer_sort(const char *in, char *out, int n)
{
    int at = n;
    for (char c = '0'; c <= '9'; c++)
        for (int i = 0; i < n; i++)
            if (in[i] == c)
                out[at++] = c;
}

static void answer_add(const char *in, char *out, int n)
{
    char sum[32];
    const long a = strtol(in, NULL, 10), b = strtol(in + n + 1, NULL, 10);
    cr_assert(in[n] == '+' && in[2 * n + 1] == '=');
    snprintf(sum, sizeof sum, "%0*ld", n + 1, a + b);
    for (int i = 0; i <= n; i++)
        out[2 * n + 1 + i] = sum[n - i];
}

static void answer_recall(const char *in, char *out, int n)
{
    for (int t = 2 * n; t < 4 * n - 1; t += 2)
        for (int pair = 0; pair < n; pair++)
            if (in[2 * pair] == in[t])
                out[t] = in[2 * pair + 1];
}

static void answer_induction(const char *in, char *out, int n)
{
    for (int t = 0; t < 2 * n; t++) {
        const char *before = memchr(in, in[t], (size_t)t);
        out[t] = before ? before[1] : '.';
    }
}

/* By taking out pairs until none is left. */
static void answer_dyck(const char *in, char *out, int n)
{
    char left[64];
    int places[64], count = 0;
    (void)n;
    for (int t = 0; in[t]; t++) {
        left[count] = in[t];
        places[count++] = t;
        while (count > 1 && (strncmp(left + count - 2, "()", 2) == 0 ||
                             strncmp(left + count - 2, "[]", 2) == 0)) {
            out[places[count - 1] - 1] = left[count - 1];
            count -= 2;
        }
    }
    cr_assert_eq(count, 1, "%s", in);
    out[2 * n - 2] = left[0] == '(' ? ')' : ']';
}

static void answer_histogram(const char *in, char *out, int n)
{
    for (int t = 1; t <= n; t++) {
        int count = 0;
        for (int i = 1; i <= n; i++)
            count += in[i] == in[t];
        out[t] = ".123456789ABCDEFGHIJ"[count];
    }
}

static void answer_modadd(const char *in, char *out, int n)
{
    static const char numbers[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    const long a = strchr(numbers, in[0]) - numbers, b = strchr(numbers, in[1]) - numbers;
    cr_assert(a < n && b < n && in[2] == '=', "%s", in);
    out[2] = numbers[(a + b) % n];
}

static const struct {
    const char *name;
    int length, context, vocab;
    void (*answer)(const char *in, char *out, int n);
} tasks[] = {
    { "copy", 12, 24, 27, answer_copy },    { "reverse", 16, 16, 26, answer_reverse },
    { "sort", 8, 16, 11, answer_sort },     { "add", 3, 11, 12, answer_add },
    { "recall", 8, 31, 26, answer_recall }, { "induction", 14, 28, 26, answer_induction },
    { "dyck", 12, 23, 4, answer_dyck },     { "histogram", 10, 11, 28, answer_histogram },
    { "modadd", 59, 3, 63, answer_modadd }, { "copy", 3, 6, 27, answer_copy },
    { "add", 5, 17, 12, answer_add },       { "induction", 5, 10, 26, answer_induction },
    { "dyck", 20, 39, 4, answer_dyck },     { "histogram", 19, 20, 28, answer_histogram },
    { "modadd", 62, 3, 63, answer_modadd },
};
enum { TASKS = sizeof tasks / sizeof tasks[0] };

/* In context the inputs also hold the answers that came before: right where they are asked for. */
static void expect_row(const grd_data *data, int row, int k)
{
    char in[64], out[64], wanted[64];
    spell(data, row, in, out);
    memset(wanted, '.', sizeof wanted);
    wanted[tasks[k].context] = '\0';
    tasks[k].answer(in, wanted, tasks[k].length);
    cr_assert_str_eq(out, wanted, "%s of %s", tasks[k].name, in);
    for (int t = 0; t + 1 < tasks[k].context && grd_data_causal(data); t++)
        cr_assert(out[t] == '.' || out[t] == in[t + 1], "%s: %s", tasks[k].name, in);
}

Test(data, tasks_ask_for_what_is_right)
{
    for (int k = 0; k < TASKS; k++)
        for (int part = GRD_TRAIN; part <= GRD_VALIDATION; part++) {
            const int64_t length = k < 9 ? 0 : tasks[k].length;
            const grd_data *data = task(tasks[k].name, (grd_part)part, 64, length, 7);
            cr_assert_eq(grd_data_context(data), tasks[k].context);
            cr_assert_eq(grd_data_vocab_size(data), tasks[k].vocab);
            cr_assert_eq(grd_data_causal(data), strcmp(tasks[k].name, "reverse") != 0 &&
                                                    strcmp(tasks[k].name, "histogram") != 0);
            for (int i = 0; i < 5; i++) {
                cr_assert_eq(fetch(data, i), 64 * tasks[k].context);
                for (int row = 0; row < 64; row++)
                    expect_row(data, row, k);
            }
        }
}

Test(data, a_batch_is_a_pure_function)
{
    int64_t first[MAX];
    for (int k = 0; k < TASKS; k++) {
        const grd_data *data = task(tasks[k].name, GRD_TRAIN, 16, 0, 3);
        const int64_t count = fetch(data, 5);
        memcpy(first, inputs, sizeof first);
        fetch(data, 123456789);
        cr_assert_neq(memcmp(first, inputs, (size_t)count * sizeof *first), 0);
        fetch(task(tasks[k].name, GRD_TRAIN, 16, 0, 4), 5);
        cr_assert_neq(memcmp(first, inputs, (size_t)count * sizeof *first), 0);
        fetch(task(tasks[k].name, GRD_TRAIN, 16, 0, 3), 5);
        cr_assert_eq(memcmp(first, inputs, (size_t)count * sizeof *first), 0);
        fetch(task(tasks[k].name, GRD_TRAIN, 80, 0, 3), 1); /* rows do not depend on the size */
        cr_assert_eq(memcmp(first, inputs, (size_t)count * sizeof *first), 0);
    }
}

/* The smallest tasks, where a sequence could not but come again. */
Test(data, training_and_validation_never_meet)
{
    static bool trained[100][100], validated[100][100];
    const grd_data *train = task("add", GRD_TRAIN, 100, 2, 1);
    const grd_data *unseen = task("add", GRD_VALIDATION, 100, 2, 2);
    int both = 0, seen = 0, kept = 0;
    for (int i = 0; i < 1000; i++)
        for (int part = 0; part < 2; part++) {
            fetch(part ? unseen : train, i);
            for (int row = 0; row < 100; row++) {
                char in[64], out[64];
                spell(train, row, in, out);
                (part ? validated : trained)[atoi(in)][atoi(in + 3)] = true;
            }
        }
    for (int a = 0; a < 100; a++)
        for (int b = 0; b < 100; b++) {
            both += trained[a][b] && validated[a][b];
            seen += trained[a][b];
            kept += validated[a][b];
        }
    cr_assert_eq(both, 0);
    cr_assert(seen > 8900 && seen < 9100, "%d", seen);
    cr_assert(kept > 900 && kept < 1100 && seen + kept > 9990, "%d", kept);
}

/* What a run was trained on must be what it goes on with. */
Test(data, a_seed_gives_what_it_always_gave)
{
    static const struct {
        const char *name, *in, *out;
    } rows[] = {
        { "copy", "kbgzkgkypkpq|kbgzkgkypkp", "............kbgzkgkypkpq" },
        { "reverse", "kbgzkgkypkpqdvmm", "mmvdqpkpykgkzgbk" },
        { "sort", "40294239|0223449", "........02234499" },
        { "add", "324+204=825", ".......8250" },
        { "recall", "g4c6f9p9j8h7e4d3j8p9h7e4g4d3c6f", "................8.9.7.4.4.3.6.9" },
        { "induction", "bhzmjnyspbhzmjnyspbhzmjnyspb", ".........hzmjnyspbhzmjnyspbh" },
        { "dyck", "(()([][][([])])()()[()]", ".)..].]...])]).).)..)])" },
        { "histogram", "^dachdcdhed", ".4122424214" },
        { "modadd", "Fw=", "..E" },
    };
    for (size_t k = 0; k < sizeof rows / sizeof rows[0]; k++) {
        char in[64], out[64];
        const grd_data *data = task(rows[k].name, GRD_TRAIN, 2, 0, 11);
        fetch(data, 4);
        spell(data, 0, in, out);
        cr_assert_str_eq(in, rows[k].in);
        cr_assert_str_eq(out, rows[k].out);
    }
}

Test(data, of_modadd_four_tenths_are_trained_on)
{
    static bool trained[128][128], validated[128][128];
    const grd_data *parts[] = { task("modadd", GRD_TRAIN, 512, 0, 1),
                                task("modadd", GRD_VALIDATION, 512, 0, 2) };
    int both = 0, seen = 0, kept = 0;
    for (int i = 0; i < 200; i++)
        for (int part = 0; part < 2; part++) {
            fetch(parts[part], i);
            for (int row = 0; row < 512; row++)
                (part ? validated : trained)[inputs[3 * row]][inputs[3 * row + 1]] = true;
        }
    for (int pair = 0; pair < 128 * 128; pair++) {
        both += trained[pair / 128][pair % 128] && validated[pair / 128][pair % 128];
        seen += trained[pair / 128][pair % 128];
        kept += validated[pair / 128][pair % 128];
    }
    cr_assert_eq(both, 0);
    cr_assert_eq(seen + kept, 59 * 59);
    cr_assert(abs(seen - 1392) < 70, "%d of 3481", seen);
}

Test(data, brackets_nest_six_deep_and_no_deeper)
{
    const grd_data *data = task("dyck", GRD_TRAIN, 64, 0, 1);
    int deepest = 0;
    for (int i = 0; i < 20; i++) {
        fetch(data, i);
        for (int row = 0; row < 64; row++)
            for (int t = 0, depth = 0; t < 23; t++) {
                depth += inputs[23 * row + t] % 2 ? -1 : 1;
                deepest = depth > deepest ? depth : deepest;
            }
    }
    cr_assert_eq(deepest, 6);
}

Test(data, the_shortest_and_longest_sequences_do)
{
    static const struct {
        const char *name;
        int64_t shortest, longest;
    } ends[] = { { "copy", 2, 500 }, { "reverse", 2, 1000 }, { "sort", 2, 500 },
                 { "add", 1, 300 },  { "recall", 2, 16 },    { "induction", 5, 26 },
                 { "dyck", 4, 400 }, { "histogram", 3, 19 }, { "modadd", 10, 62 } };
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
        for (int part = GRD_TRAIN; part <= GRD_VALIDATION; part++)
            for (int n = 0; n < 50; n++) {
                fetch(task(ends[i].name, (grd_part)part, 4, ends[i].shortest, 1), n);
                if (n < 2)
                    fetch(task(ends[i].name, (grd_part)part, 3, ends[i].longest, 1), n);
            }
}

Test(data, periods_take_every_length)
{
    const grd_data *data = task("induction", GRD_TRAIN, 64, 0, 1);
    int counts[15] = { 0 };
    for (int i = 0; i < 10; i++) {
        fetch(data, i);
        for (int row = 0; row < 64; row++) {
            char in[64], out[64];
            spell(data, row, in, out);
            counts[strspn(out, ".")]++;
        }
    }
    for (int period = 0; period < 15; period++)
        cr_assert_eq(counts[period] > 30, period >= 6, "%d: %d", period, counts[period]);
}

Test(data, bad_tasks_are_told)
{
    const grd_task_options none = { 0 }, one = { .batch_size = 1, .length = 1 },
                           huge = { .batch_size = INT64_MAX };
    cr_assert_null(grd_data_task("sums", &none));
    expect_error(GRD_ERROR_ARGUMENT, "data_task: there is no task \"sums\"; there are copy, "
                                     "reverse, sort, add, recall, induction, dyck, histogram, "
                                     "modadd at ");
    cr_assert_null(grd_data_task("copy", &none));
    expect_error(GRD_ERROR_ARGUMENT, "batch_size must be positive, not 0");
    cr_assert_null(grd_data_task("copy", &one));
    expect_error(GRD_ERROR_ARGUMENT, "copy: length must be 2 to 500, not 1");
    cr_assert_null(grd_data_task("copy", &huge));
    expect_error(GRD_ERROR_ARGUMENT, "a batch of 9223372036854775807 x 24 tokens is too large");
    cr_assert_null(grd_data_task("copy", &(grd_task_options){ .part = (grd_part)2 }));
    expect_error(GRD_ERROR_ARGUMENT, "data_task: there is no part 2");
    cr_assert_null(grd_data_task(NULL, &none));
    expect_error(GRD_ERROR_ARGUMENT, "data_task: an argument is NULL");

    cr_assert_null(grd_batch_at(NULL, 0).inputs);
    expect_error(GRD_ERROR_ARGUMENT, "batch_at: an argument is NULL at ");
    cr_assert_null(grd_batch_at(task("copy", GRD_TRAIN, 1, 0, 0), -1).inputs);
    expect_error(GRD_ERROR_ARGUMENT, "batch_at: there is no batch -1 at ");
}

Test(data, batches_are_made_on_any_device)
{
    int64_t host[MAX];
    fetch(task("sort", GRD_TRAIN, 8, 0, 1), 3);
    memcpy(host, inputs, sizeof host);
    grd_scope *elsewhere = grd_scope_begin_with(&(grd_scope_options){ .device = fake_device() });
    const int64_t count = fetch(task("sort", GRD_TRAIN, 8, 0, 1), 3);
    cr_assert_arr_eq(host, inputs, (size_t)count * sizeof *host);
    cr_assert_eq(grd_scope_end(elsewhere), GRD_OK, "%s", grd_error_message());
}

/* Without a scope around it, for the allocator to be changed. */
Test(batches, ask_the_system_for_nothing_once_they_run)
{
    counter c = { 0 };
    count_with(&c, false);
    scope = grd_scope_begin();
    const grd_data *data = task("recall", GRD_TRAIN, 64, 0, 1);
    long before = 0;
    for (int i = 0; i < 10; i++) {
        before = i == 2 ? c.asked : before;
        grd_scope *step = grd_scope_begin();
        cr_assert(grd_batch_at(data, i).inputs);
        cr_assert_eq(grd_scope_end(step), GRD_OK);
    }
    cr_assert_eq(c.asked, before);
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}
