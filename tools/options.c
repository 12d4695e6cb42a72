#include "tools/options.h"
#include "nn/module.h"
#include "tools/tools.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* clang-format off */
#define AT(field) offsetof(options, field)
#define TRAINED TRAIN | CHECK
#define SHOWN VIEW_GRAPH | VIEW_BACKWARD
#define MODEL TRAIN | CHECK | REPLAY | SHOWN
#define COMPUTES ATTENTION_RUN | ATTENTION_EXPLAIN
#define RUNS TRAINED | SAMPLE | GRADCHECK | TASKS | COMPUTES | SHOWN | VIEW_ATTENTION
#define ATTENTION COMPUTES | ATTENTION_MASK
#define CASE SDPA_CASE | MHA_CASE
#define BAND CASE | ATTENTION_MASK

static const option data_rows[] = {
    { "task", TEXT, AT(task), NULL, "copy|reverse|sort|add|recall|induction|dyck|histogram|modadd", NULL, TRAINED | SAMPLE | SHOWN | VIEW_ATTENTION, REFUSED,
      "a generated task" },
    { "length", INTEGER, AT(length), "0", "N", "[0,4096]", TRAINED | SAMPLE | SHOWN | VIEW_ATTENTION, REFUSED,
      "items in a sequence of the task (0: the task's own)" },
    { "text", TEXT, AT(text), NULL, "FILE", NULL, TRAINED, NOTED,
      "a text: the first 90% to train on, the last 10% to validate" },
    { "tokenizer", TEXT, AT(tokenizer), "characters", "characters|bytes", NULL, TRAINED, REFUSED,
      "what a token of the text is" },
};

static const option model_rows[] = {
    { "embed-dim", INTEGER, AT(embed_dim), "64", "N", "[1,65536]", MODEL | MHA_CASE, REFUSED, "numbers for a token" },
    { "num-heads", INTEGER, AT(num_heads), "4", "N", "[1,65536]", MODEL | MHA_CASE, REFUSED,
      "heads of attention; divides embed-dim" },
    { "num-layers", INTEGER, AT(num_layers), "2", "N", "[1,1024]", MODEL, REFUSED, "blocks" },
    { "context", INTEGER, AT(context), "0", "N", "[0,1048576]", MODEL, REFUSED,
      "tokens that it can see (0: 64, or what the task needs)" },
    { "ff-dim", INTEGER, AT(ff_dim), "0", "N", "[0,1048576]", MODEL, REFUSED,
      "hidden numbers of a block's feed-forward part (0: 4 embed-dim)" },
    { "activation", TEXT, AT(activation), "gelu", "gelu|gelu_tanh|relu|silu", NULL, MODEL, REFUSED,
      "of the feed-forward part" },
    { "norm-first", SWITCH, AT(norm_first), "true", "true|false", NULL, MODEL, REFUSED,
      "normalise before attention and feed-forward, not after" },
    { "norm-eps", REAL, AT(norm_eps), "1e-5", "X", "(0,1]", MODEL, REFUSED, "added to a variance" },
    { "bias", SWITCH, AT(bias), "true", "true|false", NULL, MODEL | MHA_CASE, REFUSED,
      "whether linear layers and norms add one" },
    { "tied", SWITCH, AT(tied), "false", "true|false", NULL, MODEL, REFUSED,
      "the head uses the token embedding" },
    { "causal", SWITCH, AT(causal), NULL, "true|false", NULL, MODEL, REFUSED,
      "no token sees later ones (unset: as the task needs)" },
    { "dropout", REAL, AT(dropout), "0", "P", "[0,1)", TRAINED, REFUSED, "share of activations dropped in training" },
    { "vocab-size", INTEGER, AT(vocab_size), "0", "N", "[0,1073741824]", REPLAY, REFUSED, "tokens" },
};

static const option optimizer_rows[] = {
    { "lr", REAL, AT(lr), "0.001", "X", "[0,inf)", TRAIN | REPLAY, NOTED, "learning rate" },
    { "min-lr", REAL, AT(min_lr), NULL, "X", "[0,inf)", TRAIN | REPLAY, NOTED,
      "where a cosine takes it by the last step (unset: it stays)" },
    { "warmup-steps", INTEGER, AT(warmup_steps), "50", "N", "[0,inf)", TRAIN | REPLAY, NOTED,
      "steps over which it rises from 0" },
    { "total-steps", INTEGER, AT(total_steps), "0", "N", "[0,inf)", TRAIN | REPLAY, NOTED,
      "where the cosine ends (0: at steps)" },
    { "beta1", REAL, AT(beta1), "0.9", "X", "[0,1)", TRAIN | REPLAY, NOTED, "AdamW's decay of the mean" },
    { "beta2", REAL, AT(beta2), "0.99", "X", "(0,1)", TRAIN | REPLAY, NOTED, "and of the square" },
    { "eps", REAL, AT(eps), "1e-8", "X", "(0,inf)", TRAIN | REPLAY, NOTED, "added to the root of the square" },
    { "weight-decay", REAL, AT(weight_decay), "0.01", "X", "[0,inf)", TRAIN | REPLAY, NOTED,
      "of tensors of two or more dimensions" },
    { "clip-norm", REAL, AT(clip_norm), "1", "X", "[0,inf)", TRAIN | REPLAY, NOTED,
      "longest gradient (0: any)" },
    { "batch-size", INTEGER, AT(batch_size), "32", "N", "[1,1048576]", TRAINED, NOTED, "sequences at a time" },
    { "accumulate", INTEGER, AT(accumulate), "1", "N", "[1,1048576]", TRAIN, NOTED,
      "batches whose gradients are added for one step" },
};

static const option run_rows[] = {
    { "steps", INTEGER, AT(steps), "2000", "N", "[0,inf)", TRAIN, FREE, "steps in all" },
    { "out", TEXT, AT(out), NULL, "DIR", NULL, TRAIN, LOCAL,
      "folder for weights.h5, best.h5, metrics.jsonl and report.html (unset: nothing is saved)" },
    { "resume", TEXT, AT(resume), NULL, "auto|never", NULL, TRAIN, LOCAL,
      "auto: go on with the run in DIR if there is one; never: start over" },
    { "save-every", INTEGER, AT(save_every), "200", "N", "[0,inf)", TRAIN, FREE,
      "steps between checkpoints (0: at the end)" },
    { "validate-every", INTEGER, AT(validate_every), "200", "N", "[0,inf)", TRAIN, FREE,
      "steps between validations (0: none)" },
    { "validate-batches", INTEGER, AT(validate_batches), "0", "N", "[0,inf)", TRAIN, FREE,
      "batches for a validation (0: all)" },
    { "log-every", INTEGER, AT(log_every), "0", "N", "[0,inf)", TRAIN, FREE,
      "steps between lines where there is no terminal (0: 20 lines)" },
    { "report", SWITCH, AT(report), "true", "true|false", NULL, TRAIN, FREE,
      "keep report.html fresh, a page that shows the run" },
    { "overfit-batch", SWITCH, AT(overfit_batch), "false", "true|false", NULL, TRAIN, REFUSED,
      "train on the first batch again and again: the loss must fall to 0" },
    { "dtype", TEXT, AT(dtype), "float32", "float32|float64", NULL, TRAINED | SHOWN, REFUSED, "numbers to compute with" },
    { "precision", TEXT, AT(precision), "fp32", "fp32|tf32|bf16|fp16", NULL, TRAINED | SHOWN, REFUSED,
      "of the model's numbers: as --dtype, or 16 bits with f32 weights beside" },
    { "device", TEXT, AT(device), "cpu", "cpu|cuda|cuda:N", NULL, RUNS, FREE,
      "where to compute; cuda is the first GPU (unset: as GRADUS_DEVICE says)" },
    { "seed", INTEGER, AT(seed), "1", "N", "[0,9007199254740992]", TRAINED | SAMPLE | GRADCHECK | TASKS | SHOWN | VIEW_ATTENTION, NOTED,
      "of weights, data, dropout and sampling" },
    { "threads", INTEGER, AT(threads), "0", "N", "[0,256]", TRAINED | SAMPLE | COMPUTES | TASKS | VIEW_ATTENTION, FREE,
      "for one operation (0: as many as there are processors)" },
    { "config", TEXT, AT(config), NULL, "FILE", NULL, TRAINED, LOCAL,
      "read options from JSON; those on the command line win" },
    { "dump-config", SWITCH, AT(dump_config), "false", "", NULL, TRAIN, LOCAL,
      "print the options as such a file, and stop" },
    { "dry-run", SWITCH, AT(dry_run), "false", "", NULL, TRAIN, LOCAL,
      "show parameters, memory and speed, and stop" },
};

static const option replay_rows[] = {
    { "replay", TEXT, AT(replay), NULL, "CASE.h5", NULL, TRAIN, LOCAL, "retrace the run that a case file states" },
    { "output", TEXT, AT(output), NULL, "RESULT.h5", NULL, TRAIN, LOCAL,
      "where losses, gradient norms and final weights go" },
};

static const option use_rows[] = {
    { "weights", TEXT, AT(weights), NULL, "FILE", NULL, SAMPLE | CHECK, LOCAL, "a checkpoint" },
    { "prompt", TEXT, AT(prompt), NULL, "TEXT", NULL, SAMPLE, LOCAL, "the text to continue" },
    { "tokens", INTEGER, AT(tokens), "200", "N", "[0,1000000000]", SAMPLE, LOCAL, "tokens to add" },
    { "temperature", REAL, AT(temperature), "0.8", "X", "[0,inf)", SAMPLE, LOCAL, "0: always the likeliest" },
    { "top-k", INTEGER, AT(top_k), "0", "N", "[0,inf)", SAMPLE, LOCAL, "choose among the N likeliest (0: all)" },
    { "sequences", INTEGER, AT(sequences), "1000", "N", "[1,1000000]", SAMPLE, LOCAL,
      "unseen sequences of a task to try" },
};

static const option view_rows[] = {
    { "example", TEXT, AT(example), NULL, "attention|diamond|mlp", NULL, SHOWN, LOCAL,
      "a small graph to learn from (unless a model is named: attention)" },
    { "collapse", INTEGER, AT(collapse), "0", "N", "[0,64]", SHOWN, LOCAL,
      "draw a module nested so deep as one box, the model being 1 (0: draw every op)" },
    { "output", TEXT, AT(output), NULL, "FILE", NULL, SHOWN, LOCAL,
      "where it goes: a graph by its ending as .svg, .dot or .json, a page as .html" },
    { "output", TEXT, AT(output), NULL, "FILE.html", NULL, VIEW_RUN, LOCAL, "the page (unset: DIR/report.html)" },
    { "open", SWITCH, AT(open), "false", "", NULL, VIEW_RUN | VIEW_ATTENTION, LOCAL, "show the page in a browser, by xdg-open" },
    { "follow", SWITCH, AT(follow), "false", "", NULL, VIEW_RUN, LOCAL, "keep it fresh until the run ends" },
    { "output", TEXT, AT(output), NULL, "FILE.html", NULL, VIEW_ATTENTION, LOCAL,
      "the page (unset: attention.html, unless a picture is asked for)" },
    { "title", TEXT, AT(title), NULL, "TEXT", NULL, VIEW_ATTENTION, LOCAL, "what stands over the page" },
    { "input", TEXT, AT(input), NULL, "TEXT", NULL, VIEW_ATTENTION, LOCAL,
      "look at this text (unset: at unseen sequences of what it was trained on)" },
    { "samples", INTEGER, AT(samples), "0", "N", "[0,1024]", VIEW_ATTENTION, LOCAL,
      "sequences on the page (0: up to 8, as long as it stays small)" },
    { "baseline", TEXT, AT(baseline), "uniform", "WHAT", NULL, VIEW_ATTENTION, LOCAL,
      "what weights are compared with: uniform, initial (before training), mean (of all sequences), "
      "shuffled (tokens), or a checkpoint FILE" },
    { "layer", INTEGER, AT(layer), "0", "N", "[0,inf)", VIEW_ATTENTION, LOCAL, "opened first, and drawn" },
    { "head", INTEGER, AT(head), "0", "N", "[0,inf)", VIEW_ATTENTION, LOCAL, "opened first, and drawn" },
    { "sample", INTEGER, AT(sample), "0", "N", "[0,inf)", VIEW_ATTENTION, LOCAL, "opened first, and drawn" },
    { "terminal", SWITCH, AT(terminal), "false", "", NULL, VIEW_ATTENTION, LOCAL, "draw a head here" },
    { "png", TEXT, AT(png), NULL, "FILE.png", NULL, VIEW_ATTENTION, LOCAL, "a head as a picture" },
    { "svg", TEXT, AT(svg), NULL, "FILE.svg", NULL, VIEW_ATTENTION, LOCAL, "a head as a picture" },
    { "csv", TEXT, AT(csv), NULL, "FILE.csv", NULL, VIEW_ATTENTION, LOCAL, "a head's numbers" },
};

static const option gradcheck_rows[] = {
    { "list", SWITCH, AT(list), "false", "", NULL, GRADCHECK, LOCAL, "print the names, and stop" },
    { "fast", SWITCH, AT(fast), "false", "", NULL, GRADCHECK, LOCAL,
      "compare along one direction instead of every element" },
};

static const option tasks_rows[] = {
    { "steps", INTEGER, AT(task_steps), "0", "N", "[0,inf)", TASKS, LOCAL,
      "at most, for each (0: each one's own)" },
    { "lift", REAL, AT(lift), "0", "X", "[0,inf)", TASKS, LOCAL,
      "wanted of its pattern, against uniform weights (0: each one's own)" },
    { "quick", SWITCH, AT(quick), "false", "", NULL, TASKS, LOCAL, "only those that take seconds" },
};

static const option teach_rows[] = {
    { "list", SWITCH, AT(list), "false", "", NULL, TEACH, LOCAL, "list the lessons, and stop" },
    { "output", TEXT, AT(output), NULL, "PATH", NULL, TEACH, LOCAL,
      "write a page, or with a PATH that ends in / a folder of pages" },
    { "plain", SWITCH, AT(plain), "false", "", NULL, TEACH, LOCAL, "no colours, whatever the terminal" },
};

static const option check_rows[] = {
    { "layout", TEXT, AT(module_layout), "batch_first", "batch_first|sequence_first|unbatched", NULL, CHECK, LOCAL,
      "of inputs: (B, T, E), (T, B, E) or (T, E)" },
    { "kdim", INTEGER, AT(module_kdim), "0", "N", "[0,65536]", CHECK, LOCAL, "size of a key (0: embed-dim)" },
    { "vdim", INTEGER, AT(module_vdim), "0", "N", "[0,65536]", CHECK, LOCAL, "size of a value (0: embed-dim)" },
    { "add-bias-kv", SWITCH, AT(module_bias_kv), "false", "true|false", NULL, CHECK, LOCAL,
      "append a learned key and value" },
    { "add-zero-attn", SWITCH, AT(module_zero_attn), "false", "true|false", NULL, CHECK, LOCAL,
      "append a key and value of zeros" },
    { "plant", TEXT, AT(plant), NULL, "NAME", NULL, CHECK, LOCAL,
      "check an attention with this mistake in it, to see it caught" },
    { "list-plants", SWITCH, AT(list_plants), "false", "", NULL, CHECK, LOCAL, "list the mistakes, and stop" },
};

/* What a case of attention states, what the command line does, and both. */
static const option attention_rows[] = {
    { "dtype", TEXT, AT(compute_dtype), NULL, "float32|float64|float16|bfloat16", NULL, COMPUTES, LOCAL,
      "numbers to compute with (unset: float64 where inputs/query is, else float32)" },
    { "kernel", TEXT, AT(kernel), "auto", "auto|composed|fused", NULL, ATTENTION_RUN, LOCAL,
      "composed keeps the weights in memory; fused fails where it would have to" },
    { "queries", INTEGER, AT(queries), NULL, "L", "[0,4096]", ATTENTION_MASK, LOCAL, "rows of the mask" },
    { "keys", INTEGER, AT(keys), NULL, "S", "[0,4096]", ATTENTION_MASK, LOCAL, "and columns (unset: L)" },
    { "causal", SWITCH, AT(causal), NULL, "true|false", NULL, BAND, FREE, "no key right of the diagonal" },
    { "window-left", INTEGER, AT(window_left), NULL, "N", "[0,inf)", BAND, FREE,
      "no key more than N before the diagonal (unset: no limit)" },
    { "window-right", INTEGER, AT(window_right), NULL, "N", "[0,inf)", BAND, FREE,
      "no key more than N behind it (unset: no limit)" },
    { "align", TEXT, AT(align), NULL, "top_left|bottom_right|key_lengths|offset", NULL, BAND, FREE,
      "the diagonal of query i: key i, i + S - L, i + length - L, i + offset (if L = S: key i)" },
    { "offset", INTEGER, AT(offset), NULL, "N", NULL, BAND, FREE, "for --align offset; may be negative" },
    { "key-length", INTEGER, AT(key_length), NULL, "N", "[0,4096]", ATTENTION_MASK, LOCAL,
      "keys from the N-th on are left out (unset: none)" },
    { "sample", INTEGER, AT(sample), "0", "N", "[0,inf)", ATTENTION_MASK, LOCAL, "of a case" },
    { "head", INTEGER, AT(head), "0", "N", "[0,inf)", ATTENTION_MASK, LOCAL, "of a case" },
    { "output", TEXT, AT(output), NULL, "FILE.svg", NULL, ATTENTION_MASK, LOCAL,
      "write a picture (unset: draw in the terminal)" },
    { "title", TEXT, AT(title), NULL, "TEXT", NULL, ATTENTION_MASK | SHOWN, LOCAL, "what stands over it" },
    { "scale", REAL, AT(scale), NULL, "X", NULL, CASE, FREE, "factor on the scores" },
    { "softcap", REAL, AT(softcap), "0", "X", "[0,inf)", CASE, FREE, "bound of the scores (0: none)" },
    { "need-weights", SWITCH, AT(need_weights), "false", "true|false", NULL, CASE, FREE, "whether weights are wanted" },
    { "average-weights", SWITCH, AT(average_weights), "true", "true|false", NULL, CASE, FREE, "over the heads" },
    { "layout", TEXT, AT(layout), NULL, "batch_first|sequence_first|unbatched", NULL, MHA_CASE, FREE, "of the inputs" },
    { "add-bias-kv", SWITCH, AT(add_bias_kv), "false", "true|false", NULL, MHA_CASE, FREE, "append a learned key" },
    { "add-zero-attn", SWITCH, AT(add_zero_attn), "false", "true|false", NULL, MHA_CASE, FREE, "append a key of zeros" },
    { "kdim", INTEGER, AT(kdim), NULL, "N", "[1,1048576]", MHA_CASE, FREE, "numbers for a key (unset: embed-dim)" },
    { "vdim", INTEGER, AT(vdim), NULL, "N", "[1,1048576]", MHA_CASE, FREE, "numbers for a value (unset: embed-dim)" },
};

static const option output_rows[] = {
    { "output", TEXT, AT(output), NULL, "DIR", NULL, MANUAL, LOCAL, "write all pages into this folder" },
    { "json", SWITCH, AT(json), "false", "", NULL, CHECK | GRADCHECK | ATTENTION_EXPLAIN | TASKS, LOCAL,
      "the result as JSON on stdout, and what else there is to say on stderr" },
    { "help", SWITCH, AT(help), "false", "", NULL, EVERY_COMMAND, LOCAL, "show this" },
};

#define GROUP(title, rows) { title, rows, sizeof rows / sizeof rows[0] }
const option_group option_groups[] = {
    GROUP("Data", data_rows),
    GROUP("Use", use_rows),
    GROUP("Model", model_rows),
    GROUP("Module", check_rows),
    GROUP("Optimizer", optimizer_rows),
    GROUP("Run", run_rows),
    GROUP("Replay", replay_rows),
    GROUP("View", view_rows),
    GROUP("Gradcheck", gradcheck_rows),
    GROUP("Tasks", tasks_rows),
    GROUP("Attention", attention_rows),
    GROUP("Lessons", teach_rows),
    GROUP("Output", output_rows),
};
/* clang-format on */
const size_t num_option_groups = sizeof option_groups / sizeof option_groups[0];

size_t num_options(void)
{
    size_t count = 0;
    for (size_t g = 0; g < num_option_groups; g++)
        count += option_groups[g].count;
    return count;
}

const option *option_at(size_t i)
{
    for (size_t g = 0; g < num_option_groups; i -= option_groups[g++].count)
        if (i < option_groups[g].count)
            return &option_groups[g].rows[i];
    return NULL;
}

/* One meaning each, whatever the command. */
static const struct {
    char letter;
    const char *name;
} letters[] = { { 'h', "help" }, { 'o', "output" } };

char letter_of(const option *row)
{
    for (size_t i = 0; i < sizeof letters / sizeof letters[0]; i++)
        if (strcmp(letters[i].name, row->name) == 0)
            return letters[i].letter;
    return '\0';
}

size_t option_index(const option *row)
{
    size_t i = 0;
    while (option_at(i) != row)
        i++;
    return i;
}

static bool same_name(const char *a, const char *b)
{
    for (; *a && *b; a++, b++)
        if (*a != *b && !(strchr("-_", *a) && strchr("-_", *b)))
            return false;
    return *a == *b;
}

const option *option_named(const char *name, int commands)
{
    for (size_t i = 0; i < num_options(); i++)
        if ((option_at(i)->commands & commands) && same_name(option_at(i)->name, name))
            return option_at(i);
    return NULL;
}

static char *exchange(char *text, char from, char to)
{
    for (char *c = text; *c; c++)
        *c = *c == from ? to : *c;
    return text;
}

const char *key_of(const option *row, char buffer[64])
{
    snprintf(buffer, 64, "%s", row->name);
    return exchange(buffer, '-', '_');
}

const char *nearest_option(const char *name, int commands, bool in_file, char buffer[128])
{
    char wanted[64];
    snprintf(wanted, sizeof wanted, "%s", name);
    grdi_nearest nearest = { .wanted = exchange(wanted, '_', '-') };
    for (size_t i = 0; i < num_options(); i++)
        if ((option_at(i)->commands & commands) && !(in_file && option_at(i)->change == LOCAL))
            grdi_nearest_try(&nearest, option_at(i)->name);
    snprintf(buffer, 128, "%.127s", grdi_nearest_text(&nearest).chars);
    return in_file ? exchange(buffer, '-', '_') : buffer;
}

static void *field(const options *o, const option *row)
{
    return (char *)o + row->offset;
}

void options_init(options *o)
{
    *o = (options){ 0 };
    for (size_t i = 0; i < num_options(); i++)
        set_option(o, option_at(i), option_at(i)->fallback, FROM_TABLE, option_at(i)->name);
}

static void unset(void *to, option_kind kind)
{
    if (kind == REAL) {
        *(double *)to = NAN;
    } else if (kind == SWITCH) {
        *(truth *)to = -1;
    } else if (kind == TEXT) {
        free(*(char **)to);
        *(char **)to = NULL;
    }
}

void options_free(options *o)
{
    for (size_t i = 0; i < num_options(); i++)
        if (option_at(i)->kind == TEXT)
            unset(field(o, option_at(i)), TEXT); /* rows may share a field */
    for (int i = 0; i < o->num_arguments; i++)
        free(o->arguments[i]);
    free(o->arguments);
    *o = (options){ 0 };
}

/* "[0,1)": whether x lies in it. */
static bool in_range(double x, const char *range)
{
    char open, close;
    double low, high;
    if (!range || sscanf(range, "%c%lf,%lf%c", &open, &low, &high, &close) != 4)
        return true;
    return (open == '[' ? x >= low : x > low) && (close == ']' ? x <= high : x < high);
}

static bool set_integer(int64_t *to, const option *row, const char *text, const char *label)
{
    char *end;
    errno = 0;
    const long long value = strtoll(text, &end, 10);
    if (end == text || *end || errno)
        return complain("%s: \"%s\" is not a whole number", label, text);
    if (!in_range((double)value, row->range))
        return complain("%s: %lld is not in %s", label, value, row->range);
    *to = value;
    return true;
}

static bool set_real(double *to, const option *row, const char *text, const char *label)
{
    char *end;
    const double value = strtod(text, &end);
    if (end == text || *end || !isfinite(value))
        return complain("%s: \"%s\" is not a number", label, text);
    if (!in_range(value, row->range))
        return complain("%s: %g is not in %s", label, value, row->range);
    *to = value;
    return true;
}

static bool set_switch(truth *to, const char *text, const char *label)
{
    *to = strcmp(text, "true") == 0 || strcmp(text, "1") == 0;
    return *to == 1 || strcmp(text, "false") == 0 || strcmp(text, "0") == 0 ||
           complain("%s: \"%s\" is neither true nor false", label, text);
}

/* Whether text is one of "a|b|c:N", where N stands for digits. */
static bool is_choice(const char *text, const char *choices)
{
    for (const char *at = choices; at; at = strchr(at, '|')) {
        at += *at == '|';
        const size_t length = strcspn(at, "|N");
        const size_t digits =
            at[length] == 'N' ? strspn(text + strnlen(text, length), "0123456789") : 0;
        if (strncmp(at, text, length) == 0 && (digits > 0) == (at[length] == 'N') &&
            !text[length + digits])
            return true;
    }
    return false;
}

static bool set_text(char **to, const option *row, const char *text, const char *label)
{
    if (strchr(row->value, '|') && !is_choice(text, row->value))
        return complain("%s: \"%s\" is not one of %s", label, text, row->value);
    char *copy = strdup(text);
    if (!copy)
        return complain("out of memory");
    free(*to);
    *to = copy;
    return true;
}

bool set_option(options *o, const option *row, const char *text, option_source source,
                const char *label)
{
    void *to = field(o, row);
    bool fine = true;
    if (!text)
        unset(to, row->kind);
    else if (row->kind == INTEGER)
        fine = set_integer(to, row, text, label);
    else if (row->kind == REAL)
        fine = set_real(to, row, text, label);
    else if (row->kind == SWITCH)
        fine = set_switch(to, text, label);
    else
        fine = set_text(to, row, text, label);
    if (fine)
        o->source[option_index(row)] = (unsigned char)source;
    return fine;
}

const char *option_text(const options *o, const option *row, char buffer[64])
{
    const void *at = field(o, row);
    if (row->kind == TEXT)
        return *(char *const *)at;
    if (row->kind == SWITCH)
        return *(const truth *)at < 0 ? NULL : *(const truth *)at ? "true" : "false";
    if (row->kind == INTEGER)
        snprintf(buffer, 64, "%" PRId64, *(const int64_t *)at);
    else if (isnan(*(const double *)at))
        return NULL;
    else
        for (int digits = 1; digits <= 17; digits++) {
            snprintf(buffer, 64, "%.*g", digits, *(const double *)at);
            if (strtod(buffer, NULL) == *(const double *)at)
                break;
        }
    return buffer;
}

bool same_option(const options *a, const options *b, const option *row)
{
    char one[64], two[64];
    const char *x = option_text(a, row, one), *y = option_text(b, row, two);
    return x && y ? strcmp(x, y) == 0 : x == y;
}
