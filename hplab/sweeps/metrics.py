"""What the name of a metric says: whether more of it is better, and whether it is a share."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

HIGHER = frozenset(
    "acc accuracy accuracies f1 auc auroc auprc precision recall sensitivity specificity bleu rouge"
    " iou miou dice r2 reward rewards return returns top1 top5 psnr ssim ndcg mrr kappa mcc".split()
)
LOWER = frozenset(
    "loss losses error errors err rmse mse mae mape nll perplexity ppl bpb bpc wer cer fid brier"
    " ece regret".split()
)
SHARES = frozenset(
    "acc accuracy accuracies f1 auc auroc auprc precision recall sensitivity specificity iou miou"
    " dice top1 top5".split()
)
_SPLITS = {"val": 0, "valid": 0, "validation": 0, "dev": 0, "eval": 0, "test": 1}


def tokens(name: str) -> list[str]:
    """Return the words of a name: "eval/topAcc" is eval, top, acc.

    Example:
        >>> tokens("summary.valAcc"), tokens("test_F1")
        (['summary', 'val', 'acc'], ['test', 'f1'])
    """
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])", "_", name)
    return [word for word in re.split(r"[^a-z0-9]+", apart.lower()) if word]


def one_word(name: str) -> str:
    """Return a name of several words as one: "learning rate" is learning_rate."""
    return re.sub(r"[\s,;=<>]+", "_", str(name).strip())


def match(name: str, names: Iterable[str]) -> str | None:
    """Return which of the names is meant: the same, or the only one that differs in upper case and
    in "_" for a space alone; None if there is none.

    Example:
        >>> match("val_acc", ["Val Acc", "lr"]), match("LR", ["lr", "Lr"])
        ('Val Acc', None)
    """
    names = list(names)
    if name in names:
        return name
    alike = [one for one in names if one_word(one).casefold() == one_word(name).casefold()]
    return alike[0] if len(alike) == 1 else None


def better(name: str) -> int:
    """Return 1 if more of a metric is better, -1 if less is, 0 if its name does not say.

    Example:
        >>> better("val_acc"), better("eval/rmse"), better("score")
        (1, -1, 0)
        >>> better("neg_mean_squared_error"), better("acc_gap")
        (1, 0)
    """
    words = set(tokens(name))
    high, low = bool(words & HIGHER), bool(words & LOWER)
    if high == low or "gap" in words:
        return 0
    return 1 if high != ("neg" in words) else -1


def is_share(name: str) -> bool:
    """Return whether a metric is a share that people also give in percent, such as an accuracy."""
    words = set(tokens(name))
    return bool(words & SHARES) and not words & LOWER


def says_percent(name: str) -> bool:
    """Return whether a name says itself that its values are in percent: "acc [%]", "acc (%)"."""
    return "%" in name


def is_percent(name: str, values: Iterable[float]) -> bool:
    """Return whether the values of a metric are shares in percent.

    They are if the largest is above 1, by more than float32 rounds, and up to 100. All values of a
    table are looked at together, as one run alone may have 0.8 %.

    Example:
        >>> is_percent("val_acc", [0.8, 97.5]), is_percent("val_acc", [0.8, 0.97])
        (True, False)
        >>> is_percent("val_loss", [97.5]), is_percent("val_acc", [970.5])
        (False, False)
    """
    largest = max(filter(math.isfinite, values), default=0.0)
    return is_share(name) and 1 + 1e-6 < largest <= 100


def is_named_so(name: str) -> bool:
    """Return whether a name is that of a metric."""
    return bool(set(tokens(name)) & (HIGHER | LOWER))


def order(name: str) -> tuple[int, int, int]:
    """Return where a metric stands when one has to be taken: validation before test before others,
    what is better high first, then what is better low.
    """
    words = tokens(name)
    split = min((_SPLITS[word] for word in words if word in _SPLITS), default=3)
    split = 2 if split == 3 and "train" not in words else split
    return split, {1: 0, -1: 1, 0: 2}[better(name)], len(words)
