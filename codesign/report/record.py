"""OpRecord: one row of a report. Its field names are those of the JSON output, and stable."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class OpRecord:
    """What one op took on an accelerator.

    Attributes
    ----------
    name, kind
        As in the graph; ``fused_into`` names the op whose output it is done on, if any (its own cycles are 0).
    unit
        What ran it: ``array``, ``vector``, or ``fallback``, a dense unit for what the array cannot do.
    bound_by
        What limited it: ``compute`` or the cause of most of its stalls; on op-wise accelerators what the array says.
    m, n, k, groups
        GEMM view: output positions, filters and reduction of one group; 0 for a vector op.
    dataflow, mapping
        Chosen dataflow (empty on the vector unit), and the whole mapping in words.
    alternatives
        Cycles of the op by itself under the best tiling of each dataflow tried.
    pattern, weight_density, input_density
        Sparsity of W as declared or applied, and the shares of W and of I that are not zero; None if not known.
    start_cycle, cycles, compute_cycles, stall_cycles, stalls_by_cause
        ``cycles = compute_cycles + stall_cycles``; causes are ``weight``, ``input``, ``output``, ``drain``.
    waits_by_cause
        Cycles, of ``compute_cycles``, in which the array itself lost time (queues, imbalance), by cause.
    dense_macs, effectual_macs, skipped_macs, gated_macs
        ``dense = effectual + skipped + gated``: both operands non-zero; never issued; issued with a zero operand.
    utilization
        Issued MACs over (PEs x cycles).
    mapping_efficiency
        Share of the PEs that folds occupy, averaged over the folds of the untiled product; 0 for a vector op.
    sram_accesses, sram_bytes, dram_accesses, dram_bytes
        By operand: ``input``, ``weight``, ``output``, ``metadata``; see `hw_models.systolic.counts.Counts`.
    energy_pj
        By component; they add up to the op's energy.
    """

    name: str
    kind: str
    fused_into: str | None = None
    unit: str = "vector"
    bound_by: str = ""
    m: int = 0
    n: int = 0
    k: int = 0
    groups: int = 0
    dataflow: str = ""
    mapping: str = ""
    alternatives: dict[str, int]
    pattern: str = "dense"
    weight_density: float | None = None
    input_density: float | None = None
    start_cycle: int = 0
    cycles: int = 0
    compute_cycles: int = 0
    stall_cycles: int = 0
    stalls_by_cause: dict[str, int]
    waits_by_cause: dict[str, int] = field(default_factory=dict)
    dense_macs: int = 0
    effectual_macs: int = 0
    skipped_macs: int = 0
    gated_macs: int = 0
    utilization: float = 0.0
    mapping_efficiency: float = 0.0
    sram_accesses: dict[str, int]
    sram_bytes: dict[str, int]
    dram_accesses: dict[str, int]
    dram_bytes: dict[str, int]
    energy_pj: dict[str, float]

    @property
    def total_energy_pj(self) -> float:
        """Energy of all components."""
        return sum(self.energy_pj.values())
