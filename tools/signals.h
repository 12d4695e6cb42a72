/* Ctrl-C: the first SIGINT or SIGTERM asks the run to stop after its step, the second ends it. */
#ifndef GRADUS_TOOLS_SIGNALS_H
#define GRADUS_TOOLS_SIGNALS_H

void catch_signals(void);
int caught_signal(void); /* 0: none yet */

#endif
