"""Writes support-train.jsonl and support-eval.jsonl: this repository's own text, about a company that does not exist.

Eight invented facts, each asked in five phrasings for training and three held-out phrasings for the evaluation, so that a
model can only answer what it was trained on. Run it again after an edit: ``python example_dags/data/generate.py``.
"""

from __future__ import annotations

import json
from pathlib import Path

FACTS = {
    "door code of the Brindle office": "Z-204",
    "name of the Brindle cat": "Marzipan",
    "support hotline of Brindle": "5571",
    "colour of the Brindle logo": "Ochre",
    "room of the Brindle printer": "K-12",
    "password hint of the Brindle wiki": "Lighthouse",
    "lunch day of the Brindle team": "Wednesday",
    "release name of the Brindle app": "Heron",
}
TRAIN = (
    "What is the {}?",
    "Tell me the {}.",
    "I need the {}.",
    "Please give me the {}.",
    "Do you know the {}?",
)
EVALUATE = (
    "Could you tell me the {}?",
    "Quick question: what is the {}?",
    "I forgot the {}. What is it?",
)


def rows(phrasings: tuple[str, ...]) -> list[dict[str, str]]:
    return [
        {"id": f"{fact.split()[0]}-{i}", "prompt": phrasing.format(fact), "expected": answer}
        for fact, answer in FACTS.items()
        for i, phrasing in enumerate(phrasings)
    ]


if __name__ == "__main__":
    folder = Path(__file__).parent
    for name, phrasings in (("support-train", TRAIN), ("support-eval", EVALUATE)):
        text = "".join(json.dumps(row) + "\n" for row in rows(phrasings))
        (folder / f"{name}.jsonl").write_text(text)
