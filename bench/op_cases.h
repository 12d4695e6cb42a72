/* The cases op.forward.NAME.ROWS.COLUMNS and op.backward.NAME.ROWS.COLUMNS, and the same with .f64
 * behind it: one op on its own. */
#ifndef BENCH_OP_CASES_H
#define BENCH_OP_CASES_H

typedef struct op_case op_case;

/* NULL: no op is called so, or it has no derivative. Lives as long as the scope that is open. */
op_case *op_case_create(const char *name);

/* Microseconds of one run: of forward without a graph, or of the walk alone. */
double op_case_sample(op_case *c);

#endif
