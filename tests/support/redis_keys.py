"""Every key that the product has in Redis, found in its source: `*` stands for the prefix and for each value."""

import ast
import re
from typing import Final, get_args

from shared.ledger.message_set import COUNTED, SetName
from shared.messaging.topology import INNER_QUEUES, RESULT_QUEUES
from tests.support.paths import ROOT

FOLDERS: Final = ("shared", "workers", "ingress", "console")


def product_keys() -> set[str]:
    """Keys of the ledger, message sets without the hash of their items, queues, and what consumers write."""
    keys = {
        key
        for folder in FOLDERS
        for file in sorted((ROOT / folder).rglob("*.py"))
        for key in keys_in(ast.parse(file.read_text()))
    }
    keys -= {"*:*", "*:*:items", "*:*:bytes", *(f"*:{name}:items" for name in get_args(SetName))}
    keys |= {f"*:{name}" for name in get_args(SetName)} | {f"*:{name}:bytes" for name in COUNTED}
    keys |= {f"*.{queue}" for queue in (*INNER_QUEUES, *RESULT_QUEUES)}
    return keys | {f"*.{queue}{group}.dead" for queue in RESULT_QUEUES for group in ("", ".*")}


def keys_in(tree: ast.AST) -> set[str]:
    """Every f-string that starts with a prefix and a colon, or with `faceid:`."""
    texts = {"".join(_text(part) for part in node.values) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)}
    keys = {re.sub(r"<[^>]*prefix>", "faceid", text, count=1) for text in texts}
    return {re.sub(r"<[^>]*>", "*", key.replace("faceid", "*", 1)) for key in keys if key.startswith("faceid:")}


def _text(part: ast.expr) -> str:
    return f"<{ast.unparse(part.value)}>" if isinstance(part, ast.FormattedValue) else str(ast.literal_eval(part))
