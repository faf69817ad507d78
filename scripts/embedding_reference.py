#!/usr/bin/env python3
"""Recompute workers/models/embedding-reference.json with sentence-transformers.

The texts in the file stay; their embeddings are replaced. The workers' tests
compare Celeriac's encoder with them. Run it in the environment that
`scripts/train-sentiment` makes.
"""

import json
from pathlib import Path

from sentence_transformers import SentenceTransformer
from train_sentiment import MODELS, base_folder


def main() -> None:
    file: Path = MODELS / "embedding-reference.json"
    model = SentenceTransformer(str(base_folder()), device="cpu")
    lines = []
    for text in (entry["text"] for entry in json.loads(file.read_text("utf-8"))):
        embedding = [round(float(x), 7) for x in model.encode(text, normalize_embeddings=True)]
        lines.append(json.dumps({"text": text, "embedding": embedding}, ensure_ascii=False))
    file.write_text("[\n" + ",\n".join(lines) + "\n]\n", "utf-8")


if __name__ == "__main__":
    main()
