"""Where the cases of a cohort are done: in this process, or by workers of Ray on many machines."""
