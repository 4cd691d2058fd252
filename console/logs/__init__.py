"""The output of jobs, between what a backend reads and what is shown: colours, ranks, times, searching."""
