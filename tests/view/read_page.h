/* A page's data read back, by another reader of JSON, base64 and deflate than the page's script. */
#ifndef TESTS_VIEW_READ_PAGE_H
#define TESTS_VIEW_READ_PAGE_H

#include <jansson.h>
#include <stddef.h>

/* The data of the page at a path; json_decref it. */
json_t *read_page(const char *path);
/* A member of nested objects and arrays: at(data, "layers.0.verdicts.rows.bad"); it must be there.
 */
json_t *at(json_t *data, const char *path);
/* The bytes of a blob, of which there must be so many; free them. */
void *read_blob(const json_t *text, size_t size);

#endif
