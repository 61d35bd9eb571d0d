"""Energy: picojoules per action, with their sources.

MAC, register, adder: Accelergy's tables of the Aladdin synthesis library, 45 nm (Wu et al., ICCAD 2019; Shao et al.,
ISCA 2014). SRAM: CACTI 7, 45 nm itrs-lstp, one port. DRAM: pJ per bit by technology, from data sheets as collected in
the Accelergy and Horowitz (ISSCC 2014) tables. Compare relative energies first; absolute ones are good to a factor
of about 1.5.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

GATED_SHARE = 0.03  # of an active MAC: what is left when an operand is zero and the multiplier is gated (Accelergy)
REGISTER_PJ_PER_BIT = 0.072 / 8
ADDER32_PJ = 0.21

DRAM_PJ_PER_BIT = {"lpddr4": 8.0, "lpddr": 40.0, "ddr3": 70.0, "gddr5": 14.0, "hbm2": 3.9, "hbm3": 4.05}

_SRAM_BYTES = 1024 * 2 ** np.arange(11)
_SRAM_PORT_BITS = np.array([32, 64, 256, 512])
_NONE = float("nan")  # CACTI finds no layout
_SRAM_READ_PJ = np.array(
    [
        [1.32, 1.67, 9.13, _NONE],
        [2.23, 2.76, 9.46, 29.8],
        [2.86, 3.39, 10.2, 30.5],
        [5.25, 6.14, 11.5, 31.9],
        [9.98, 11.6, 14.3, 34.5],
        [11.8, 17.0, 26.8, 39.9],
        [17.8, 25.9, 51.8, 76.7],
        [25.3, 32.3, 73.8, 97.8],
        [32.9, 44.7, 125, 199],
        [45.7, 68.3, 168, 275],
        [68.4, 93.5, 252, 434],
    ]
)
_SRAM_WRITE_PJ = np.array(
    [
        [2.07, 3.49, 10.7, _NONE],
        [2.64, 4.24, 12.9, 33.0],
        [3.73, 6.45, 17.5, 37.4],
        [4.79, 7.88, 26.4, 46.5],
        [6.87, 10.7, 44.5, 64.3],
        [8.68, 15.4, 51.8, 100],
        [13.5, 19.6, 66.2, 127],
        [16.9, 26.1, 88.2, 198],
        [24.4, 38.5, 118, 228],
        [35.7, 51.3, 161, 333],
        [49.1, 76.2, 245, 493],
    ]
)


def mac_pj(bits: int) -> float:
    """Return the energy of one integer multiply-accumulate of that width: quadratic multiplier, linear adder."""
    share = bits / 32
    return 8.63 * share**2 + 0.0857 * share


@lru_cache(maxsize=256)
def sram_pj_per_byte(capacity_bytes: int, port_bits: int, *, write: bool = False) -> float:
    """Return the energy of a byte moved through a port of an SRAM: log-log between table points, ends extended."""
    table = _SRAM_WRITE_PJ if write else _SRAM_READ_PJ
    by_port = []
    for column in range(len(_SRAM_PORT_BITS)):
        known = ~np.isnan(table[:, column])
        by_port.append(_log_log(capacity_bytes, _SRAM_BYTES[known], table[known, column]))
    return _log_log(port_bits, _SRAM_PORT_BITS, np.array(by_port)) / (port_bits / 8)


def _log_log(x: float, xs: np.ndarray, ys: np.ndarray) -> float:
    """Interpolate on log-log axes; beyond the ends the last segment goes on."""
    at = int(np.clip(np.searchsorted(xs, x) - 1, 0, len(xs) - 2))
    slope = np.log(ys[at + 1] / ys[at]) / np.log(xs[at + 1] / xs[at])
    return float(ys[at] * (x / xs[at]) ** slope)
