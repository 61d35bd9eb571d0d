"""``python -m kernels.bench``: sparse kernels against the fastest dense library, layer by layer on this machine."""
