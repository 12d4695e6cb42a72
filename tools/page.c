#include "tools/page.h"

#include <ctype.h>
#include <string.h>

/* clang-format off */
const command whole_program = {
    "", EVERY_COMMAND, "COMMAND [options]",
    "Trains toy transformers, checks the gradients of attention, teaches how autograd works.\n"
    "It is one program of several commands, each with a page of its own.",
    "  gradus train --task copy --out copy            train a toy\n"
    "  gradus sample --weights copy/weights.h5        what it does with sequences that it never saw\n"
    "  gradus check copy/weights.h5                   whether its attention is sound\n"
    "  gradus gradcheck                               whether all derivatives are\n"
    "  gradus help train                              a command's options\n",
    NULL
};

/* What holds of some commands. */
typedef struct fact {
    int commands;
    const char *term, *text;
} fact;

static const fact statuses[] = {
    { EVERY_COMMAND, "0", "It is done." },
    { EVERY_COMMAND, "1", "It failed: a file, a value or the system was in the way, or what was checked is wrong. "
                          "A line on stderr says what and why." },
    { EVERY_COMMAND, "2", "The command line or a configuration file is wrong. Nothing was done." },
    { TRAIN | GRADCHECK | TASKS | VIEW_RUN, "128 + N", "Signal N ended it: 130 after Ctrl-C. What is done by then is saved "
                                                       "or printed first; a second signal ends it at once." },
};

static const fact variables[] = {
    { ~TALKS, "GRADUS_THREADS", "Threads for one operation, where no option says it. Unset or 0: one for each "
                                "processor that the process may use. Any number gives the same bits." },
    { ~TALKS, "GRADUS_CPU", "The widest instruction set that loops may use: baseline, avx2 or avx512. Unset: what the "
                            "processor has. Sets differ by rounding." },
    { ~TALKS, "OPENBLAS_CORETYPE", "What OpenBLAS tunes itself for, whatever the processor is. A wrong one halves the "
                                   "speed of matrix products: best left unset. gradus --version shows the core in use." },
    { ~TALKS, "GRADUS_DEVICE", "Where to compute, where no option says it: cpu, cuda or cuda:N. Unset: cpu." },
    { ~TALKS, "GRADUS_CUDA_DRIVER", "The file that is loaded as NVIDIA's driver. Unset: libcuda.so.1. For tests, whose "
                                    "driver needs no GPU." },
    { ~TALKS, "GRADUS_CUBLAS", "The file that is loaded as cuBLASLt. Unset: libcublasLt.so.13 or .12." },
    { ~TALKS, "GRADUS_CUDNN", "The file that is loaded as cuDNN, or 0 to do without. Unset: libcudnn.so.9." },
    { ~TALKS, "GRADUS_CUDNN_FAST", "1: attention through cuDNN is faster; its gradients have other bits in every "
                                   "run, and a hidden NaN may show." },
    { ~TALKS, "NO_COLOR", "If set and not empty, nothing is coloured." },
    { ~TALKS, "TERM", "dumb, or no terminal at all: nothing is coloured, and no line is written over." },
    { ~TALKS, "COLORTERM", "truecolor or 24bit: heatmaps have all shades of their scale." },
    { TALKS, "MANPATH, FPATH", "Where man finds the manual's pages and zsh its completion, if gradus is installed to "
                               "a place where they do not look by themselves." },
};

static const fact files[] = {
    { TRAIN, "DIR/weights.h5", "The run as it stands, from which --resume auto goes on: weights, optimizer, random "
                               "numbers, options. DIR is what --out names." },
    { TRAIN, "DIR/best.h5", "The same where the loss of validation was smallest." },
    { TRAIN, "DIR/config.json", "The options of the run, as --dump-config prints them." },
    { TRAIN | VIEW_RUN, "DIR/report.html", "The run as a page for the browser: curves, figures, options." },
    { TRAIN | VIEW_RUN, "DIR/metrics.jsonl", "A line of JSON for each step: loss, learning rate, norms of gradients, speed. "
                                  "docs/training.md has the fields." },
    { SAMPLE | CHECK | INSPECT, "FILE", "A checkpoint, as gradus train writes it. docs/checkpoints.md has the format." },
    { ATTENTION_RUN | ATTENTION_EXPLAIN | ATTENTION_MASK, "CASE.h5", "A calculation of attention. docs/cases.md has the "
                                                                     "format." },
};
/* clang-format on */

#define TELL_FACTS(title, rows) tell_facts(p, title, rows, sizeof rows / sizeof rows[0])

static void tell_facts(page *p, const char *title, const fact *rows, size_t count)
{
    bool titled = false;
    for (size_t i = 0; i < count; i++) {
        if (!(rows[i].commands & p->about->bit))
            continue;
        if (!titled)
            p->style->section(p, title);
        titled = true;
        p->style->item(p, rows[i].term, rows[i].text);
    }
}

static const char *joined(const char *first, const char *name, char between, char buffer[64])
{
    snprintf(buffer, 64, "%s%c%s", first, *name ? between : '\0', name);
    for (char *c = buffer; *c; c++)
        *c = *c == ' ' ? between : *c;
    return buffer;
}

const char *call_of(const command *c, char buffer[64])
{
    return joined("gradus", c->name, ' ', buffer);
}

const char *page_of(const command *c, char buffer[64])
{
    return joined("gradus", c->name, '-', buffer);
}

/* "gradus-train - trains a transformer on a task or on a text" */
static void tell_name(page *p)
{
    char page[64], line[256];
    const int length = (int)strcspn(p->about->summary, "\n");
    snprintf(line, sizeof line, "%s - %.*s", page_of(p->about, page),
             length - (p->about->summary[length - 1] == '.'), p->about->summary);
    char *first = strstr(line, " - ") + 3;
    *first = (char)tolower((unsigned char)*first);
    p->style->section(p, "NAME");
    p->style->paragraph(p, line, strlen(line));
}

static void tell_synopsis(page *p)
{
    char call[64];
    p->style->synopsis(p, call_of(p->about, call), p->about->arguments);
    if (p->about != &whole_program)
        return;
    p->style->synopsis(p, "gradus help", "[COMMAND]");
    p->style->synopsis(p, "gradus --version", "");
}

/* Paragraphs are parted by empty lines. */
static void tell_summary(page *p)
{
    for (const char *text = p->about->summary; *text; text += strspn(text, "\n")) {
        const char *end = strstr(text, "\n\n");
        const size_t size = end ? (size_t)(end - text) : strlen(text);
        p->style->paragraph(p, text, size);
        text += size;
    }
}

static void tell_group(page *p, const option_group *group)
{
    bool titled = false;
    for (size_t i = 0; i < group->count; i++) {
        if (!(group->rows[i].commands & p->about->bit))
            continue;
        if (!titled)
            p->style->group(p, group->title);
        titled = true;
        p->style->option(p, &group->rows[i]);
    }
}

static void tell_options(page *p)
{
    for (size_t g = 0; g < num_option_groups; g++)
        tell_group(p, &option_groups[g]);
}

/* The program's own: its commands, and the two options that stand before none. */
static void tell_commands(page *p)
{
    p->style->section(p, "COMMANDS");
    for (size_t i = 0; command_at(i); i++) {
        const command *c = command_at(i);
        char line[256];
        snprintf(line, sizeof line, "%.*s", (int)strcspn(c->summary, "\n"), c->summary);
        p->style->item(p, c->name, line);
    }
    p->style->section(p, "OPTIONS");
    p->style->item(p, "-h, --help", "Lists the commands; after a command, its options.");
    p->style->item(p, "-V, --version",
                   "What gradus is made of, and how it computes here: the version, the instruction "
                   "set, the threads, BLAS and the other libraries.");
}

/* "  gradus train --out copy     a toy": the remark follows two spaces or more. */
static void tell_example(page *p, const char *line, size_t length)
{
    char call[256];
    const size_t indent = strspn(line, " ");
    snprintf(call, sizeof call, "%.*s", (int)(length - indent), line + indent);
    char *end = strstr(call, "  "), *remark = end ? end + strspn(end, " ") : NULL;
    if (end)
        *end = '\0';
    p->style->example(p, call, remark);
}

static void tell_examples(page *p)
{
    p->style->section(p, "EXAMPLES");
    for (const char *line = p->about->examples; *line;) {
        const size_t length = strcspn(line, "\n");
        tell_example(p, line, length);
        line += length + (line[length] == '\n');
    }
}

/* The program's page names all others; a command's the program's and those of its family. */
static bool is_related(const command *c, const command *other)
{
    const size_t word = strcspn(c->name, " ");
    return c == &whole_program ||
           (c != other && c->name[word] == ' ' && strncmp(c->name, other->name, word + 1) == 0);
}

static void tell_relatives(page *p)
{
    const command *last = &whole_program, *c;
    char name[64];
    for (size_t i = 0; (c = command_at(i)); i++)
        last = is_related(p->about, c) ? c : last;
    p->style->section(p, "SEE ALSO");
    if (p->about != &whole_program)
        p->style->reference(p, page_of(&whole_program, name), last == &whole_program);
    for (size_t i = 0; (c = command_at(i)); i++)
        if (is_related(p->about, c))
            p->style->reference(p, page_of(c, name), c == last);
}

void tell_help(page *p)
{
    tell_synopsis(p);
    tell_summary(p);
    tell_options(p);
    tell_examples(p);
}

void tell_page(page *p)
{
    tell_name(p);
    p->style->section(p, "SYNOPSIS");
    tell_synopsis(p);
    p->style->section(p, "DESCRIPTION");
    tell_summary(p);
    if (p->about == &whole_program) {
        tell_commands(p);
    } else {
        p->style->section(p, "OPTIONS");
        tell_options(p);
    }
    tell_examples(p);
    TELL_FACTS("EXIT STATUS", statuses);
    TELL_FACTS("ENVIRONMENT", variables);
    TELL_FACTS("FILES", files);
    tell_relatives(p);
}
