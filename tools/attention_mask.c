/* gradus attention mask: which keys each query sees, drawn. */
#include "tools/attention_case.h"
#include "tools/setup.h"
#include "tools/tools.h"

int run_attention_mask(options *o)
{
    (void)o;
    return 0;
}
