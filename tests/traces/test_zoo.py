"""The zoo: published sizes, seeds, and that its code computes what the papers' does."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from traces.errors import InputError
from traces.zoo import ZOO, build, find, near_misses
from traces.zoo.mobilenet import mobilenet_v1, mobilenet_v2, scaled

# Parameters: the papers' models as published in torchvision and transformers.
PARAMETERS = {
    "mobilenet_v1": 4_231_976,
    "mobilenet_v2": 3_504_872,
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
    "resnet18": 1.814,
    "resnet50": 4.089,
    "vgg19": 19.632,
    "vit_b16": 17.564,
}


def on_meta(name):
    """Build without memory for the weights."""
    with torch.device("meta"):
        return build(name)


def parameters(model: nn.Module) -> int:
    """Count the elements of all parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(("name", "count"), PARAMETERS.items())
def test_parameters_equal_the_published_count(name, count):
    """Every weight is there, and none too many."""
    assert parameters(on_meta(name)[0]) == count


@pytest.mark.parametrize(("name", "gmacs"), GMACS.items())
def test_macs_equal_the_published_count(name, gmacs):
    """Strides and image sizes are right: torch's own counter finds the published work to three decimals."""
    model, inputs = on_meta(name)
    with FlopCounterMode(display=False) as counter:
        model(*inputs)
    assert round(counter.get_total_flops() / 2e9, 3) == gmacs


@pytest.mark.parametrize(("width", "count"), [(0.75, 2_585_560), (0.5, 1_331_592), (0.25, 470_072)])
def test_width_multiplier_of_mobilenet_v1(width, count):
    """Narrow v1 nets have the parameters that Keras lists for them (less the batch norms' statistics)."""
    with torch.device("meta"):
        model, _ = mobilenet_v1(width=width)
    assert parameters(model) == count


@pytest.mark.parametrize(("width", "count"), [(0.5, 1_968_680), (1.4, 6_108_776)])
def test_width_multiplier_of_mobilenet_v2(width, count):
    """Narrow and wide v2 nets have the parameters published for them."""
    with torch.device("meta"):
        model, _ = mobilenet_v2(width=width)
    assert parameters(model) == count
    assert scaled(24, 0.5) == 16  # 12 would round down to 8: more than 10 % fewer


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
        for theirs, ours in pairs:
            assert theirs.shape == ours.shape
            ours.copy_(theirs)


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


def test_names_are_found_however_they_are_spelt():
    """A prefix, hyphens and capitals do not matter; another name is unknown and its near misses are told."""
    spellings = ["resnet50", "zoo:resnet50", "ResNet50"]
    assert all(find(name) is ZOO["resnet50"] for name in spellings)
    assert find("zoo:ViT-B16") is ZOO["vit_b16"]
    assert find("resnet51") is None
    assert near_misses("resnet51")[0] in ("resnet50", "resnet18")
    with pytest.raises(InputError, match=r"the zoo's model must be one of bert_base, .* not 'resnet51'"):
        build("resnet51")
