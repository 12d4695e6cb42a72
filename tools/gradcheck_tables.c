/* What gradus gradcheck checks. */
#include "tools/gradcheck.h"

const checked_table *const checked_tables[] = { &checked_ops, &checked_attention, &checked_modules,
                                                &checked_stacks };
const int num_checked_tables = sizeof checked_tables / sizeof checked_tables[0];
