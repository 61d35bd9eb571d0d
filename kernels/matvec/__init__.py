"""Matrix times vector, where all that counts is how fast weights come from memory, and how few of them must.

`gemv` takes sparse weights in any packed format, or a plain matrix. `gemv_columns` does not read the weights of inputs
that are zero, and `gemv_rows` does not compute outputs that a gate closes. `delta_update` and `spike_update` add to a
state what inputs that changed, or that spike, bring to it.
"""

from kernels.matvec.columns import delta_update, gemv_columns, spike_update
from kernels.matvec.product import gemv
from kernels.matvec.rows import gemv_rows

__all__ = ["delta_update", "gemv", "gemv_columns", "gemv_rows", "spike_update"]
