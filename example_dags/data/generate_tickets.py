"""Writes tickets-train.jsonl and tickets-eval.jsonl: this repository's own text, tickets to a help desk in four classes.

A ticket is a subject and a problem. Two thirds of the pairs are for training, the others for the evaluation, in other phrasings:
its words were seen, its sentences were not. Run it again after an edit: ``python example_dags/data/generate_tickets.py``.
"""

from __future__ import annotations

import json
from pathlib import Path

TICKETS = {
    "account": (
        ("my password", "the login code", "my user name", "the second factor", "my profile", "the reset link"),
        (
            "is not accepted",
            "was changed without me",
            "is locked after three tries",
            "never reaches my mailbox",
            "has expired",
            "belongs to a former colleague",
        ),
    ),
    "billing": (
        ("the invoice", "my monthly bill", "the last payment", "the refund", "the receipt", "the credit card charge"),
        (
            "was charged twice",
            "has the wrong amount",
            "is higher than agreed",
            "does not show the discount",
            "names the wrong company",
            "includes tax that I do not owe",
        ),
    ),
    "bug": (
        ("the app", "the export button", "the search page", "the new version", "the mobile site", "the report screen"),
        (
            "crashes when I open it",
            "shows a blank page",
            "is slow since the update",
            "freezes after a click",
            "throws an error message",
            "loses what I typed",
        ),
    ),
    "delivery": (
        ("the parcel", "my order", "the shipment", "the courier", "the package", "the replacement"),
        (
            "has not arrived",
            "went to the wrong address",
            "is a week late",
            "came damaged",
            "is stuck in the depot",
            "was left in the rain",
        ),
    ),
}
TRAIN = (
    "{} {}.",
    "Hello, {} {}, please help.",
    "Dear team, since this morning {} {}. Thank you!",
    "I am writing to you because {} {} again.",
)
EVALUATE = ("Good morning, {} {}. What can I do?", "Urgent: {} {}!")


def rows(*, held_out: bool) -> list[dict[str, str]]:
    found = []
    for label, (subjects, problems) in TICKETS.items():
        for i, subject in enumerate(subjects):
            for j, problem in enumerate(problems):
                if ((i + j) % 3 == 0) != held_out:
                    continue
                for k, phrasing in enumerate((EVALUATE[(i + j) // 3 % 2],) if held_out else TRAIN):
                    text = phrasing.format(subject, problem)
                    found.append({"id": f"{label}-{i}{j}{k}", "prompt": text[0].upper() + text[1:], "expected": label})
    return found


if __name__ == "__main__":
    folder = Path(__file__).parent
    for name, held_out in (("tickets-train", False), ("tickets-eval", True)):
        text = "".join(json.dumps(row) + "\n" for row in rows(held_out=held_out))
        (folder / f"{name}.jsonl").write_text(text)
