"""The zoo: published sizes, seeds, and that its code computes what the papers' does."""

from __future__ import annotations

import re
from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import traces
from traces.errors import InputError
from traces.zoo import ZOO, build, find, near_misses
from traces.zoo.inverted import SqueezeExcite, scaled

# Parameters: the papers' models as published in torchvision and transformers.
PARAMETERS = {
    "mobilenet_v1": 4_231_976,
    "mobilenet_v2": 3_504_872,
    "mobilenet_v3_large": 5_483_032,
    "mobilenet_v3_small": 2_542_856,
    "efficientnet_b0": 5_288_548,
    "efficientnet_b1": 7_794_184,
    "resnet18": 11_689_512,
    "resnet50": 25_557_032,
    "vgg19": 143_678_248,
    "vit_b16": 86_567_656,
    "bert_base": 109_482_240,
    "llama2_7b": 6_738_415_616,
}
# MACs in 10^9 as torchvision publishes them (MobileNet v1: its paper, table 4).
GMACS = {
    "mobilenet_v1": 0.569,
    "mobilenet_v2": 0.301,
    "mobilenet_v3_large": 0.217,
    "mobilenet_v3_small": 0.057,
    "efficientnet_b0": 0.386,
    "efficientnet_b1": 0.687,
    "resnet18": 1.814,
    "resnet50": 4.089,
    "vgg19": 19.632,
    "vit_b16": 17.564,
}
# MACs in 10^6 of variants: v1's paper, tables 6 and 7; v2's as published with its TensorFlow checkpoints, where some
# are rounded down. Less than one million off.
VARIANT_MMACS = {
    "mobilenet_v1@0.75": 325,
    "mobilenet_v1@0.5": 149,
    "mobilenet_v1@0.25": 41,
    "mobilenet_v1@192": 418,
    "mobilenet_v1@160": 290,
    "mobilenet_v1@128": 186,
    "mobilenet_v2@1.4": 582,
    "mobilenet_v2@1.3": 509,
    "mobilenet_v2@0.75-192": 153,
    "mobilenet_v2@0.5-160": 50,
    "mobilenet_v2@0.35-96": 11,
    "mobilenet_v2@96": 56,
}


def on_meta(name):
    """Build without memory for the weights."""
    with torch.device("meta"):
        return build(name)


def parameters(model: nn.Module) -> int:
    """Count the elements of all parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


def macs(name: str) -> float:
    """Count the multiply-accumulates by torch's own counter."""
    model, inputs = on_meta(name)
    with FlopCounterMode(display=False) as counter:
        model(*inputs)
    return counter.get_total_flops() / 2


@pytest.mark.parametrize(("name", "count"), PARAMETERS.items())
def test_parameters_equal_the_published_count(name, count):
    """Every weight is there, and none too many."""
    assert parameters(on_meta(name)[0]) == count


@pytest.mark.parametrize(("name", "gmacs"), GMACS.items())
def test_macs_equal_the_published_count(name, gmacs):
    """Strides and image sizes are right: torch's own counter finds the published work to three decimals."""
    assert round(macs(name) / 1e9, 3) == gmacs


@pytest.mark.parametrize(("name", "mmacs"), VARIANT_MMACS.items())
def test_macs_of_variants_equal_the_published_count(name, mmacs):
    """Width and image size in a name do what they do in the papers, alone and together."""
    assert abs(macs(name) / 1e6 - mmacs) < 1


@pytest.mark.parametrize(("width", "count"), [("0.75", 2_585_560), ("0.5", 1_331_592), ("0.25", 470_072)])
def test_width_multiplier_of_mobilenet_v1(width, count):
    """Narrow v1 nets have the parameters that Keras lists for them (less the batch norms' statistics)."""
    assert parameters(on_meta(f"mobilenet_v1@{width}")[0]) == count


@pytest.mark.parametrize(("width", "count"), [("0.5", 1_968_680), ("1.4", 6_108_776)])
def test_width_multiplier_of_mobilenet_v2(width, count):
    """Narrow and wide v2 nets have the parameters published for them."""
    assert parameters(on_meta(f"mobilenet_v2@{width}")[0]) == count


@given(st.integers(1, 2000), st.floats(0.1, 4))
def test_scaled_channels_are_multiples_of_eight_and_never_far_fewer(channels, width):
    """V2's rule: the nearest multiple of 8, or the next one where that would lose more than 10 %."""
    result = scaled(channels, width)
    assert result % 8 == 0
    assert 0.9 * channels * width <= result <= max(8, channels * width + 8)
    assert scaled(24, 0.5) == 16  # 12 would round down to 8: more than 10 % fewer


@pytest.mark.parametrize("width", ["0.3", "0.77", "1.4"])
def test_any_width_of_mobilenet_v1_has_channels_in_eights(width):
    """An odd width gives the multiple of 8 next to channels times width, and never none."""
    model, _ = on_meta(f"mobilenet_v1@{width}")
    channels = [module.out_channels for module in model.modules() if isinstance(module, nn.Conv2d)]
    published = [
        module.out_channels for module in on_meta("mobilenet_v1")[0].modules() if isinstance(module, nn.Conv2d)
    ]
    for scaled_to, base in zip(channels, published, strict=True):
        assert scaled_to % 8 == 0
        assert abs(scaled_to - base * float(width)) <= 4


# By hand from the tables of the MobileNet v3 paper and from EfficientNet's: 15, 11, 16 and 23 blocks.
MOBILE_KINDS = {
    "mobilenet_v3_large": {"hardswish": 21, "relu": 19, "hardsigmoid": 8, "adaptive_avg_pool": 9, "mul": 8, "add": 10},
    "mobilenet_v3_small": {"hardswish": 19, "relu": 14, "hardsigmoid": 9, "adaptive_avg_pool": 10, "mul": 9, "add": 6},
    "efficientnet_b0": {"silu": 49, "sigmoid": 16, "adaptive_avg_pool": 17, "mul": 16, "add": 9},
    "efficientnet_b1": {"silu": 69, "sigmoid": 23, "adaptive_avg_pool": 24, "mul": 23, "add": 16},
}
KIND_OF_MODULE = {
    nn.Hardswish: "hardswish",
    nn.ReLU: "relu",
    nn.Hardsigmoid: "hardsigmoid",
    nn.SiLU: "silu",
    nn.Sigmoid: "sigmoid",
    nn.AdaptiveAvgPool2d: "adaptive_avg_pool",
    SqueezeExcite: "mul",
}


def vector_kinds(model: nn.Module) -> Counter[str]:
    """Count activations, pools, gates and residual additions."""
    modules = list(model.modules())
    kinds = Counter(KIND_OF_MODULE[type(module)] for module in modules if type(module) in KIND_OF_MODULE)
    kinds["add"] = sum(getattr(module, "residual", False) for module in modules)
    return kinds


@pytest.mark.parametrize(("name", "kinds"), MOBILE_KINDS.items())
def test_activations_and_gates_stand_where_the_tables_say(name, kinds):
    """Each network has the activations of its paper, and the trace of it these and no other vector ops."""
    assert vector_kinds(on_meta(name)[0]) == kinds
    model, inputs = build(name, reduced=True)
    graph = traces.trace(model, *inputs)
    assert Counter(op.kind for op in graph if op.vector) == vector_kinds(model)
    assert any(op.kind == "depthwise" and op.gemm.kernel_h == 5 for op in graph)


@pytest.mark.parametrize("name", ZOO)
def test_reduced_builds_are_seeded_and_leave_the_global_state(name):
    """The same seed gives the same model and inputs, another one others, and torch's generator stays."""
    state = torch.get_rng_state()
    model, inputs = build(name, seed=3, reduced=True)
    again, same_inputs = build(name, seed=3, reduced=True)
    _, other_inputs = build(name, seed=4, reduced=True)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(inputs, same_inputs, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(inputs, other_inputs, strict=True))
    pairs = zip(model.state_dict().values(), again.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert not model.training
    with torch.no_grad():
        assert torch.isfinite(model(*inputs)).all()


@pytest.mark.parametrize("name", [name for name in ZOO if name != "llama2_7b"])
def test_reduced_builds_have_every_kind_of_layer(name):
    """Quick tests on the reduced build miss no type of module that the full one has."""
    full, reduced = on_meta(name)[0], build(name, reduced=True)[0]
    assert {type(module) for module in reduced.modules()} == {type(module) for module in full.modules()}


def test_random_weights_keep_activations_alive():
    """He initialisation keeps half of a deep net's rectified values above zero, of a size that floats resolve."""
    model, inputs = build("resnet18")
    with torch.no_grad():
        features = model.stages(model.stem(*inputs))
    assert 0.01 < features.std() < 1000
    assert 0.2 < (features > 0).float().mean() < 0.999


def copy_parameters(source: nn.Module, target: nn.Module) -> None:
    """Copy the parameters in their order, which is that of the paper's drawing in both."""
    pairs = zip(source.parameters(), target.parameters(), strict=True)
    with torch.no_grad():
        for value, place in pairs:
            assert value.shape == place.shape
            place.copy_(value)


def test_llama_computes_what_transformers_does():
    """One block of the decoder gives the logits of the Hugging Face model with the same weights."""
    transformers = pytest.importorskip("transformers")
    ours, inputs = build("llama2_7b", reduced=True)
    config = transformers.LlamaConfig(
        vocab_size=100,
        hidden_size=64,
        intermediate_size=172,
        num_hidden_layers=1,
        num_attention_heads=4,
        rms_norm_eps=1e-5,
    )
    theirs = transformers.LlamaForCausalLM(config).eval()
    renamed = {
        "words": "model.embed_tokens",
        "blocks.0.attention_norm": "model.layers.0.input_layernorm",
        "blocks.0.attention.query": "model.layers.0.self_attn.q_proj",
        "blocks.0.attention.key": "model.layers.0.self_attn.k_proj",
        "blocks.0.attention.value": "model.layers.0.self_attn.v_proj",
        "blocks.0.attention.output": "model.layers.0.self_attn.o_proj",
        "blocks.0.mlp_norm": "model.layers.0.post_attention_layernorm",
        "blocks.0.gate": "model.layers.0.mlp.gate_proj",
        "blocks.0.up": "model.layers.0.mlp.up_proj",
        "blocks.0.down": "model.layers.0.mlp.down_proj",
        "norm": "model.norm",
        "output": "lm_head",
    }
    theirs.load_state_dict({f"{renamed[k.removesuffix('.weight')]}.weight": v for k, v in ours.state_dict().items()})
    with torch.no_grad():
        torch.testing.assert_close(ours(*inputs), theirs(*inputs).logits)


def test_bert_computes_what_transformers_does():
    """One block of the encoder gives the pooled output of the Hugging Face model with the same weights."""
    transformers = pytest.importorskip("transformers")
    ours, inputs = build("bert_base", reduced=True)
    config = transformers.BertConfig(
        vocab_size=100,
        hidden_size=64,
        intermediate_size=256,
        num_hidden_layers=1,
        num_attention_heads=4,
        max_position_embeddings=32,
    )
    theirs = transformers.BertModel(config).eval()
    copy_parameters(theirs, ours)
    with torch.no_grad():
        torch.testing.assert_close(ours(*inputs), theirs(*inputs).pooler_output)


def relative_error(ours: nn.Module, theirs: nn.Module, inputs) -> float:
    """Return the largest difference of the logits, over the largest logit."""
    with torch.no_grad():
        logits, expected = ours(*inputs), theirs(*inputs).logits
    return ((logits - expected).abs().max() / expected.abs().max()).item()


@pytest.mark.parametrize(("version", "width"), [("v1", 0.25), ("v1", 0.75), ("v2", 0.35), ("v2", 1.4)])
def test_mobilenets_compute_what_transformers_do(version, width):
    """At the papers' widths the Hugging Face model has the same parameters, and gives the same logits with them."""
    transformers = pytest.importorskip("transformers")
    ours, inputs = build(f"mobilenet_{version}@{width}-64")
    config = getattr(transformers, f"MobileNet{version.upper()}Config")(
        depth_multiplier=width,
        tf_padding=False,
        hidden_act="relu" if version == "v1" else "relu6",
        layer_norm_eps=1e-5,
        num_labels=1000,
    )
    theirs = getattr(transformers, f"MobileNet{version.upper()}ForImageClassification")(config).eval()
    copy_parameters(ours, theirs)
    assert relative_error(ours, theirs, inputs) < 1e-4


@pytest.mark.parametrize(("name", "depth"), [("efficientnet_b0", 1.0), ("efficientnet_b1", 1.1)])
def test_efficientnets_compute_what_transformers_do(name, depth):
    """With padding on all sides the Hugging Face model has the same parameters and gives the same logits."""
    transformers = pytest.importorskip("transformers")
    ours, inputs = build(f"{name}@64")
    config = transformers.EfficientNetConfig(
        width_coefficient=1.0,
        depth_coefficient=depth,
        hidden_dim=1280,
        batch_norm_eps=1e-5,
        depthwise_padding=list(range(30)),
        num_labels=1000,
    )
    theirs = transformers.EfficientNetForImageClassification(config).eval()
    theirs.efficientnet.embeddings.padding = nn.ZeroPad2d(1)
    copy_parameters(ours, theirs)
    assert relative_error(ours, theirs, inputs) < 1e-4


def test_names_are_found_however_they_are_spelt():
    """A prefix, hyphens and capitals do not matter; another name is unknown and its near misses are told."""
    spellings = ["resnet50", "zoo:resnet50", "ResNet50"]
    assert all(find(name) is ZOO["resnet50"] for name in spellings)
    assert find("zoo:ViT-B16") is ZOO["vit_b16"]
    assert find("resnet51") is None
    assert near_misses("resnet51")[0] in ("resnet50", "resnet18")
    with pytest.raises(InputError, match=r"the zoo's model must be one of bert_base, .* not 'resnet51'"):
        build("resnet51")


def test_a_scale_in_a_name_is_part_of_it():
    """However it is spelt, a variant has one name, and its inputs have its size."""
    spellings = ["mobilenet_v2@0.75-160", "zoo:MobileNet-v2@.75-160"]
    assert {find(name).name for name in spellings} == {"mobilenet_v2@0.75-160"}
    assert find("mobilenet_v1@1.0").name == "mobilenet_v1@1"
    assert build("efficientnet_b0@96")[1][0].shape == (1, 3, 96, 96)
    assert ZOO["mobilenet_v2"].spellings == ("@WIDTH", "@SIZE", "@WIDTH-SIZE")
    assert ZOO["resnet50"].spellings == ()
    assert find("resnet50@2.py:make") is None
    assert find("mobilenet_v9@0.5") is None
    assert near_misses("mobilenet_v9@0.5")
    wide, narrow = (parameters(build(f"mobilenet_v2@{width}", reduced=True)[0]) for width in ("2", "0.5"))
    assert wide > narrow


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (
            "mobilenet_v2@9",
            "the scale of mobilenet_v2 must be a width from 0.1 to 4, an image size from 32 to 1024 or both (0.75-160),"
            " not '9'",
        ),
        ("mobilenet_v1@0.01", "not '0.01'"),
        ("mobilenet_v1@31", "not '31'"),
        ("mobilenet_v1@0.5-1025", "not '0.5-1025'"),
        ("mobilenet_v1@160-0.5", "not '160-0.5'"),
        ("mobilenet_v1@", "not ''"),
        ("mobilenet_v1@wide", "not 'wide'"),
        ("efficientnet_b0@0.5", "the scale of efficientnet_b0 must be an image size from 32 to 1024, not '0.5'"),
        ("resnet50@0.5", "resnet50 comes in one size only; leave out '@0.5'"),
    ],
)
def test_a_scale_that_is_not_there_is_told_in_a_sentence(name, sentence):
    """A width or size out of range, in the wrong order or of a network without any is refused with the rule."""
    with pytest.raises(InputError, match=re.escape(sentence)):
        build(name)
