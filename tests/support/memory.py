"""The memory that a process has in use."""


def resident(pid):
    """In bytes."""
    lines = open(f"/proc/{pid}/status").read().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith("VmRSS")))
