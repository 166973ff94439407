/* The words of all step kinds, one a line: what docs/journal-format.md must explain. */
#include "plan/step.h"

#include <stdio.h>

int main(void)
{
    for (int kind = 0; kind < N_STEP_KINDS; kind++)
        puts(step_kind_name((StepKind)kind));
    return 0;
}
