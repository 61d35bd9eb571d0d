"""Ops that follow each other on one machine: tiles, DMA transfers, and the pipeline of a whole network."""
