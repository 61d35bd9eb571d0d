"""ResNet-18 on ZigZag's tpu_like."""

from codesign.validation import Anchor, zigzag
from hw_models.accelerators import load_accelerator
from hw_models.systolic.config import SystolicConfig


def test_resnet18_is_no_slower_than_zigzag_maps_it() -> None:
    """On equal array, buffers and bandwidth our cycles are at most ZigZag's, in the band, and auto beats ws."""
    ws, auto = zigzag.anchors(None)
    assert isinstance(ws, Anchor)
    assert isinstance(auto, Anchor)
    assert ws.holds
    assert auto.holds
    assert auto.ours < ws.ours <= ws.reference == 4_106_119


def test_the_preset_has_zigzags_sizes() -> None:
    """Equal: PEs, weights a PE, all SRAM for inputs and outputs, port, DRAM bits a cycle, operand widths."""
    config = load_accelerator("tpu-like")
    assert isinstance(config, SystolicConfig)
    sram = config.memory.sram
    assert (config.array.rows, config.array.cols) == (32, 32)
    assert sram.weight_bytes == 128 * config.pes
    assert sram.input_bytes + sram.output_bytes == 2 * 2**20
    assert (sram.port_bits, config.memory.dram.bytes_per_cycle * 8) == (2048, 64)
    bits = config.precision
    assert (bits.weight_bits, bits.input_bits, bits.output_bits, bits.accumulator_bits) == (8, 8, 8, 16)
