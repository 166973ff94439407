/* A plan as a list of steps. */
#include "plan/step.h"

Plan *plan_new(PlanKind kind, const char *snapshot)
{
    Plan *plan = g_new0(Plan, 1);

    plan->kind = kind;
    plan->snapshot = g_strdup(snapshot);
    plan->steps = g_ptr_array_new_with_free_func((GDestroyNotify)step_free);
    return plan;
}

void plan_free(Plan *plan)
{
    if (!plan)
        return;
    g_free(plan->snapshot);
    g_ptr_array_unref(plan->steps);
    g_free(plan);
}

Step *plan_add(Plan *plan, StepKind kind)
{
    Step *step = step_new(kind);

    g_ptr_array_add(plan->steps, step);
    return step;
}

const Step *plan_find(const Plan *plan, StepKind kind)
{
    for (unsigned i = 0; i < plan->steps->len; i++)
        if (((Step *)plan->steps->pdata[i])->kind == kind)
            return plan->steps->pdata[i];
    return NULL;
}
