"""How many callbacks the ledger's Redis has room for. No I/O."""

from console.doctor.finding import Finding
from shared.ledger.memory_costs import CASE, DECIDED


def judge_capacity(used_bytes: int, limit_bytes: int, max_share: float, retention_days: float) -> Finding:
    """How many more callbacks can wait, and how many cases can be kept. `max_share`: of the limit, 0 to 1."""
    if not limit_bytes:
        return Finding("capacity", "ok", "not known without maxmemory")
    usable = max_share * limit_bytes
    waiting, cases = max(0, int((usable - used_bytes) / DECIDED)), int(usable / CASE)
    found = (
        f"{waiting:,} more callbacks can wait and be decided; {cases:,} cases can be kept, "
        f"{int(cases / retention_days):,} a day for {retention_days:g} days"
    )
    if waiting:
        return Finding("capacity", "ok", found)
    return Finding("capacity", "warn", found, "Raise maxmemory, or have consumers read the results. See operating.md.")
