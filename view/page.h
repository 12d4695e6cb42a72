/* The shell of every page: one HTML file that needs nothing else, for any screen, keyboard and
 * screen reader. It holds its data as JSON, and a policy that lets its own script run and no other,
 * whatever stands in texts. */
#ifndef GRDI_VIEW_PAGE_H
#define GRDI_VIEW_PAGE_H

#include "tensor/tensor.h"
#include <jansson.h>
#include <stdio.h>

typedef struct grdi_page {
    const char *title; /* UTF-8 of anyone */
    const char *body;  /* what <main> holds, as markup of our own; NULL: the script fills it */
    /* Of view/assets/, ended by NULL, beside page.css and page.js: first styles, then scripts. */
    const char *const *assets;
    json_t *data; /* what the script finds as Page.data; taken over; NULL: nothing */
} grdi_page;

/* Writes the page, whole or not at all, and lets its data go, whatever comes of it. Data that could
 * not be made for want of memory are an error here, so that whoever makes them need not ask:
 * `complete` says whether they were. */
bool grdi_page_write(const char *op, const char *path, grdi_page *page, bool complete);

/* Text of anyone as markup. Hidden characters (control, direction) are shown as \u{202e}, what is
 * no UTF-8 as U+FFFD. */
void grdi_page_escape(FILE *out, const char *text);

/* ---- For its data; NULL when out of memory ---- */

/* Any bytes as a string, made safe as above. */
json_t *grdi_page_text(const char *text, size_t size);
/* A number; JSON has none for what is not finite: "nan", "inf", "-inf", which Page.real reads. */
json_t *grdi_page_real(double x);
/* Bytes, deflated, in base64: Page.blob gives them back. */
json_t *grdi_page_blob(const void *data, size_t size);

#endif
