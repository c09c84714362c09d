"""Write made-up weights in llama.cpp's format: `python make_models.py DIRECTORY`.

Runs in the environment of llama-server, which has numpy and gguf. A model sees a picture, is blind to it, and answers
with words that each follow from the one before alone: the embedding of a token is its number as a unit vector, the
layers add nothing to it, and the output matrix holds each token's successor. So the answer is known in advance, and
pictures, slots, queues, contexts and times are those of a real engine.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np

WIDTH = 1024  # of the embedding, and of the vocabulary with it
HEADS = 16
CONTEXT = 32768
UNKNOWN, BEGIN, END = range(3)
FIRST_BYTE = 3
FIRST_WORD = FIRST_BYTE + 256
WORDS = ("the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "while")
MORE_WORDS = ("rain", "falls", "on", "old", "stone")


@dataclass(frozen=True)
class Recipe:
    """What a model is like.

    Args:
        words: how many it says.
        loop: how many of the last ones it says again and again, for ever; 0 ends the answer.
        layers: how many it has, which take time and add nothing.
        width: of each layer's inner part, which takes time likewise.
        architecture: its name in the file.
    """

    words: int = 100
    loop: int = 0
    layers: int = 1
    width: int = 256
    architecture: str = "llama"


RECIPES = {
    "chain": Recipe(),
    "slow": Recipe(words=150, layers=2, width=512),
    "repeating": Recipe(words=20, loop=1),
    "alternating": Recipe(words=20, loop=2),
    "unknown": Recipe(architecture="unheardof"),
}


def write_model(path: Path, recipe: Recipe) -> None:
    """Write the weights and the vocabulary."""
    file = gguf.GGUFWriter(path, recipe.architecture)
    file.add_name(path.stem)
    file.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    file.add_context_length(CONTEXT)
    file.add_embedding_length(WIDTH)
    file.add_block_count(recipe.layers)
    file.add_feed_forward_length(recipe.width)
    file.add_head_count(HEADS)
    file.add_head_count_kv(1)
    file.add_key_length(WIDTH // HEADS)
    file.add_value_length(WIDTH // HEADS)
    file.add_rope_dimension_count(WIDTH // HEADS)
    file.add_rope_freq_base(10000.0)
    file.add_layer_norm_rms_eps(1e-6)
    _write_vocabulary(file, recipe)
    file.add_tensor("token_embd.weight", np.eye(WIDTH, dtype=np.float16))
    file.add_tensor("output.weight", _successors(recipe))
    file.add_tensor("output_norm.weight", np.ones(WIDTH, np.float32))
    for layer in range(recipe.layers):
        _write_layer(file, f"blk.{layer}", recipe.width)
    _finish(file)


def _write_vocabulary(file: gguf.GGUFWriter, recipe: Recipe) -> None:
    known = WORDS + MORE_WORDS
    words = [f"\u2581{known[number % len(known)]}{number}" for number in range(recipe.words)]
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *words]
    kinds = [gguf.TokenType.UNKNOWN, *[gguf.TokenType.CONTROL] * 2, *[gguf.TokenType.BYTE] * 256]
    kinds += [gguf.TokenType.NORMAL] * len(words)
    unused = range(len(tokens), WIDTH)
    tokens += [f"<unused{number}>" for number in unused]
    kinds += [gguf.TokenType.UNUSED] * len(unused)
    file.add_tokenizer_model("llama")
    file.add_tokenizer_pre("default")
    file.add_token_list(tokens)
    file.add_token_scores([-float(number) for number in range(WIDTH)])
    file.add_token_types(kinds)
    file.add_vocab_size(WIDTH)
    file.add_unk_token_id(UNKNOWN)
    file.add_bos_token_id(BEGIN)
    file.add_eos_token_id(END)
    file.add_add_bos_token(True)
    file.add_add_eos_token(False)
    file.add_chat_template("{% for message in messages %}{{ message['content'] }}{% endfor %}")


def _successors(recipe: Recipe) -> np.ndarray:
    """Give the output matrix: after whatever is no word comes the first word, after each word the next one."""
    last = FIRST_WORD + recipe.words - 1
    output = np.zeros((WIDTH, WIDTH), np.float16)
    for token in range(WIDTH):
        following = token + 1 if FIRST_WORD <= token < last else FIRST_WORD
        if token == last:
            following = last - recipe.loop + 1 if recipe.loop else END
        output[following, token] = 1.0
    return output


def _write_layer(file: gguf.GGUFWriter, name: str, width: int) -> None:
    head = WIDTH // HEADS
    shapes = {
        "attn_q": (WIDTH, WIDTH),
        "attn_k": (head, WIDTH),
        "attn_v": (head, WIDTH),
        "attn_output": (WIDTH, WIDTH),
        "ffn_gate": (width, WIDTH),
        "ffn_up": (width, WIDTH),
        "ffn_down": (WIDTH, width),
    }
    for part in ("attn_norm", "ffn_norm"):
        file.add_tensor(f"{name}.{part}.weight", np.ones(WIDTH, np.float32))
    for part, shape in shapes.items():
        file.add_tensor(f"{name}.{part}.weight", np.zeros(shape, np.float16))


def write_projector(path: Path) -> None:
    """Write what turns a picture into 256 vectors of a model's width: a small SigLIP of random weights."""
    side, patch, width, inner, layers = 448, 14, 64, 128, 2
    file = gguf.GGUFWriter(path, "clip")
    file.add_name(path.stem)
    file.add_type("mmproj")
    file.add_bool("clip.has_vision_encoder", True)
    file.add_string("clip.projector_type", "gemma3")
    file.add_bool("clip.use_gelu", True)
    numbers = {"image_size": side, "patch_size": patch, "embedding_length": width, "feed_forward_length": inner}
    numbers |= {"projection_dim": WIDTH, "block_count": layers, "attention.head_count": 2}
    for name, number in numbers.items():
        file.add_uint32(f"clip.vision.{name}", number)
    file.add_float32("clip.vision.attention.layer_norm_epsilon", 1e-6)
    file.add_array("clip.vision.image_mean", [0.5] * 3)
    file.add_array("clip.vision.image_std", [0.5] * 3)
    random = np.random.default_rng(1)

    def weights(name: str, *shape: int, kind: type = np.float32) -> None:
        file.add_tensor(f"{name}.weight", (random.standard_normal(shape) * 0.02).astype(kind))

    def biased(name: str, outputs: int, *inputs: int, kind: type = np.float32) -> None:
        weights(name, outputs, *inputs, kind=kind)
        file.add_tensor(f"{name}.bias", np.zeros(outputs, np.float32))

    biased("v.patch_embd", width, 3, patch, patch, kind=np.float16)
    weights("v.position_embd", (side // patch) ** 2, width)
    for layer in range(layers):
        for part in ("attn_q", "attn_k", "attn_v", "attn_out"):
            biased(f"v.blk.{layer}.{part}", width, width)
        biased(f"v.blk.{layer}.ffn_up", inner, width)
        biased(f"v.blk.{layer}.ffn_down", width, inner)
        for part in ("ln1", "ln2"):
            _write_norm(file, f"v.blk.{layer}.{part}", width)
    _write_norm(file, "v.post_ln", width)
    weights("mm.input_projection", width, WIDTH)
    file.add_tensor("mm.soft_emb_norm.weight", np.ones(width, np.float32))
    _finish(file)


def _write_norm(file: gguf.GGUFWriter, name: str, width: int) -> None:
    file.add_tensor(f"{name}.weight", np.ones(width, np.float32))
    file.add_tensor(f"{name}.bias", np.zeros(width, np.float32))


def _finish(file: gguf.GGUFWriter) -> None:
    file.write_header_to_file()
    file.write_kv_data_to_file()
    file.write_tensors_to_file()
    file.close()


def main(directory: Path) -> None:
    """Write every model, one that is cut off, and the projector that they share."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, recipe in RECIPES.items():
        write_model(directory / f"{name}.gguf", recipe)
    whole = (directory / "chain.gguf").read_bytes()
    (directory / "cut.gguf").write_bytes(whole[: len(whole) // 3])
    write_projector(directory / "projector.mmproj")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
