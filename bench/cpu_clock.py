"""CPU time of another process, to the nanosecond: that of all its threads, those that have ended included."""

import time


def seconds(process: int) -> float:
    """Return the seconds of CPU that a process has used, user and system.

    Linux has a clock for every process, which `clock_getcpuclockid(3)` names by this formula.

    Raises
    ------
    OSError
        There is no such process, or no such clock.
    """
    return time.clock_gettime((~process << 3) | 2)
