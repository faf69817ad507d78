#!/usr/bin/env python3
"""Writes the tiny classifiers in the folder tiny beside it, and what transformers
says about some texts with each.

    pip install torch==2.4.0 transformers==4.46.3 && python tiny_classifier.py

The files are committed, so the tests themselves need no Python; run this only
to change them. The networks are random but real: two layers of a BERT and of a
DistilBERT with labels, masks and a WordPiece vocabulary. Weights are drawn
wide enough for the answers to differ from text to text.
"""

import json
import random
import string
from pathlib import Path

import torch
from transformers import (
    BertConfig, BertForSequenceClassification, BertTokenizer,
    DistilBertConfig, DistilBertForSequenceClassification, DistilBertTokenizer,
)

HERE = Path(__file__).parent / "tiny"
WORDS = ("the a to and my is not order late broken refund happy great thanks bad terrible help please "
         "phone bill cancel love hate fast slow again never always good wrong new old call agent wait "
         "hours days money back sorry work fix ing ed er ly s un re est ness ful less").split()
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PIECES = list(string.ascii_lowercase) + ["##" + letter for letter in string.ascii_lowercase]
MARKS = list(".,!?'-:;()0123456789")
VOCABULARY = SPECIAL + PIECES + MARKS + WORDS + ["##" + word for word in WORDS[-10:]]


def texts():
    """Texts of one word to more than the models take, some of them odd."""
    chance = random.Random(3)
    lengths = [1, 1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 55]
    made = [" ".join(chance.choices(WORDS, k=length)) for length in lengths]
    return made + ["Déjà vu!! Never AGAIN.", "😡 terrible 退款", "a [PAD] b [SEP]", "unhelpful-ness: refunding, waited"]


def write(name, tokenizer_class, model, texts):
    folder = HERE / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
    tokenizer = tokenizer_class(str(folder / "vocab.txt"), do_lower_case=True)
    model.eval().save_pretrained(folder)
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": True}) + "\n")
    answers = []
    for text in texts:
        ids = tokenizer(text, truncation=True, max_length=64, return_tensors="pt")
        with torch.no_grad():
            probabilities = model(**ids).logits.softmax(-1)[0]
        answers.append({"text": text, "probabilities": probabilities.tolist()})
    (folder / "expected.json").write_text(json.dumps(answers, indent=1, ensure_ascii=False) + "\n")
    spread = [answer["probabilities"][0] for answer in answers]
    print(f"{name}: first label from {min(spread):.3f} to {max(spread):.3f}")


def main():
    torch.manual_seed(7)
    common = {"vocab_size": len(VOCABULARY), "max_position_embeddings": 64, "initializer_range": 0.35}
    write("bert", BertTokenizer, BertForSequenceClassification(BertConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
        id2label={0: "negative", 1: "neutral", 2: "positive"}, **common)), texts())
    write("distilbert", DistilBertTokenizer, DistilBertForSequenceClassification(DistilBertConfig(
        dim=32, n_layers=2, n_heads=4, hidden_dim=64,
        id2label={0: "POSITIVE", 1: "NEGATIVE"}, **common)), texts())


if __name__ == "__main__":
    main()
