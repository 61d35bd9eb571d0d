"""Kernels whose window slides over planes of pixels: depthwise and first convolutions, pooling.

Images are channels first. What runs on planes alone, with nothing checked, is ``on_planes`` of each module.
"""
