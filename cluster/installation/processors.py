"""How busy the processors of this machine are."""

import psutil


def processors_s() -> tuple[float, float]:
    """Seconds for which they have worked, all together, and seconds that there were of them, since the machine's start.
    What a hypervisor gave to others counts as work: it was not to be had."""
    times = psutil.cpu_times()
    total = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)  # both are in others, too
    return total - times.idle - getattr(times, "iowait", 0.0), total
