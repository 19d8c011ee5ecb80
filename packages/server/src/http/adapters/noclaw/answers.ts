/** What a reply has scheduled: nothing, since there are no schedules here. */
export const NO_TASKS: readonly never[] = [];
