/* What is said about a command, told once from the tables of commands and options: --help and the
 * manual's pages are two styles of it. */
#ifndef GRADUS_TOOLS_PAGE_H
#define GRADUS_TOOLS_PAGE_H

#include "tools/tools.h"

typedef struct page page;

/* How a page looks. Text is plain; a section's title is in capitals. */
typedef struct page_style {
    void (*section)(page *p, const char *title);
    void (*synopsis)(page *p, const char *call, const char *arguments);
    void (*paragraph)(page *p, const char *text, size_t size); /* lines to be filled */
    void (*group)(page *p, const char *title);                 /* of options */
    void (*option)(page *p, const option *row);
    void (*item)(page *p, const char *term, const char *text);
    void (*example)(page *p, const char *call, const char *remark); /* remark NULL: none */
    void (*reference)(page *p, const char *name, bool last);        /* to another page */
} page_style;

struct page {
    FILE *out;
    const page_style *style;
    const command *about;
    bool begun; /* the section has something in it */
};

/* All sections of a page, or those of --help. `whole_program` stands for gradus itself. */
extern const command whole_program;
void tell_page(page *p);
void tell_help(page *p);

/* "gradus attention run"; and "gradus-attention-run", the name of its page. */
const char *call_of(const command *c, char buffer[64]);
const char *page_of(const command *c, char buffer[64]);

#endif
