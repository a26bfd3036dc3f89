"""The shop stays small enough to read: at most 2,000 lines of code, templates and styles, and no service too long."""

from __future__ import annotations

import ast
from pathlib import Path

from shop_in_process import SHOP

LINES, LINES_OF_A_SERVICE = 2000, 260
SERVICES = ("products", "cart", "user", "orders", "payments", "tracking")


def lines_of_code(file: Path) -> int:
    """Without blank lines, comments and docstrings."""
    text = file.read_text()
    lines = {number for number, line in enumerate(text.splitlines(), 1) if line.strip()}
    if file.suffix == ".py":
        lines -= {number for number, line in enumerate(text.splitlines(), 1) if line.lstrip().startswith("#")}
        for node in ast.walk(ast.parse(text)):
            if (
                isinstance(node, ast.Expr)
                and isinstance(node.value, ast.Constant)
                and isinstance(node.value.value, str)
            ):
                lines -= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(lines)


def test_the_whole_shop() -> None:
    files = [file for file in SHOP.rglob("*") if file.suffix in (".py", ".html", ".css")]
    assert sum(map(lines_of_code, files)) <= LINES


def test_every_service_is_read_in_one_sitting() -> None:
    for service in SERVICES:
        assert sum(map(lines_of_code, (SHOP / service).glob("*.py"))) <= LINES_OF_A_SERVICE, service
