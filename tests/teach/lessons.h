/* A lesson, told, and what its numbers must be. */
#ifndef TESTS_TEACH_LESSONS_H
#define TESTS_TEACH_LESSONS_H

#include "teach/document.h"

#include <criterion/criterion.h>

/* Tells it; every check below counts as the one of its name. */
document *tell(const char *name);
/* Each number and message that the lesson named was checked; frees the document. */
void end_lesson(document *d);

void expect_number(document *d, const char *name, double x, double tolerance);
void expect_numbers(document *d, const char *name, const double *x, int64_t count,
                    double tolerance);
/* The message has this in it. */
void expect_words(document *d, const char *name, const char *words);
/* The number of the listed line that starts with this text. */
int line_of(const document *d, const char *text);

#define NUMBERS(...) (const double[]){ __VA_ARGS__ }, sizeof((double[]){ __VA_ARGS__ }) / 8

#endif
