/* The styles and scripts of pages: the files of view/assets/, which the build takes into the
 * library. */
#ifndef GRDI_VIEW_ASSETS_H
#define GRDI_VIEW_ASSETS_H

/* The text of a file by its name, "page.css"; NULL if there is none such. */
const char *grdi_asset(const char *name);

#endif
