"""The table of a run, as text, Markdown and JSON."""

from pathlib import Path
from statistics import median

import msgspec
from msgspec import Struct

HEADER = """\
# Performance

Ratios, measured by `make bench` in one run on one machine: server, PostgreSQL and load generator share its two cores.
*Floor* is raw ASGI, asyncpg and msgspec in one process with the same SQL, without authentication or row security.
*Seed stack* is FastAPI, the SQLAlchemy ORM, Pydantic and Celery with a JWT and a tenant filter. Ours runs with
everything on. Each figure is the median of {rounds} rounds in turns; in brackets the lowest and the highest round.
Absolute figures are for orientation alone: they are this machine's, and it had other work. Where a row falls short,
[decision 28](decisions/0028-fast-lanes.md) says what was tried, what the profile shows and what is next.

"""


class Goal(Struct, frozen=True, kw_only=True):
    """What a row has to reach; None where it has no such goal."""

    of_floor: float | None = None
    times_seed_stack: float | None = None
    at_most: float | None = None
    """For a row that is a figure of ours alone, or a growth."""


class Row(Struct, frozen=True, kw_only=True):
    work: str
    unit: str
    goal: Goal
    ours: list[float]
    """One value a round."""
    floor: list[float] = []
    seed_stack: list[float] = []

    def ratios(self, others: list[float]) -> list[float]:
        """Round by round; none where there is nobody to compare with."""
        return sorted(mine / theirs for mine, theirs in zip(self.ours, others, strict=True)) if others else []

    @property
    def held(self) -> bool:
        goal = self.goal
        reached = [
            goal.of_floor is None or (bool(self.floor) and median(self.ratios(self.floor)) >= goal.of_floor),
            goal.times_seed_stack is None
            or (bool(self.seed_stack) and median(self.ratios(self.seed_stack)) >= goal.times_seed_stack),
            goal.at_most is None or median(self.ours) <= goal.at_most,
        ]
        return all(reached)

    def told(self) -> dict[str, object]:
        of_floor, times_seed = self.ratios(self.floor), self.ratios(self.seed_stack)
        return {
            "work": self.work,
            "unit": self.unit,
            "ours": round(median(self.ours), 3),
            "floor": round(median(self.floor), 3) if self.floor else None,
            "seed_stack": round(median(self.seed_stack), 3) if self.seed_stack else None,
            "of_floor": round(median(of_floor), 3) if of_floor else None,
            "of_floor_spread": _spread(of_floor),
            "times_seed_stack": round(median(times_seed), 2) if times_seed else None,
            "times_seed_stack_spread": _spread(times_seed),
            "goal": msgspec.to_builtins(self.goal),
            "held": self.held,
        }


def _spread(ratios: list[float]) -> list[float] | None:
    return [round(ratios[0], 3), round(ratios[-1], 3)] if ratios else None


def _ratio(ratios: list[float], goal: float | None) -> str:
    if not ratios:
        return ""
    wanted = "" if goal is None else f" (goal ≥ {goal:g})"
    return f"{median(ratios):.2f} [{ratios[0]:.2f} to {ratios[-1]:.2f}]{wanted}"


def table(rows: list[Row]) -> str:
    lines = [
        "| work | ours | floor | seed stack | of the floor | times the seed stack | held |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        goal = row.goal
        mine = f"{median(row.ours):.5g} {row.unit}" + ("" if goal.at_most is None else f" (goal ≤ {goal.at_most:g})")
        others = [f"{median(values):.5g}" if values else "" for values in (row.floor, row.seed_stack)]
        ratios = [
            _ratio(row.ratios(row.floor), goal.of_floor),
            _ratio(row.ratios(row.seed_stack), goal.times_seed_stack),
        ]
        lines.append("| " + " | ".join([row.work, mine, *others, *ratios, "yes" if row.held else "no"]) + " |")
    return "\n".join(lines)


def write(rows: list[Row], folder: Path, *, rounds: int) -> None:
    (folder / "performance.md").write_text(HEADER.format(rounds=rounds) + table(rows) + "\n")
    told = [row.told() for row in rows]
    (folder / "performance.json").write_bytes(msgspec.json.format(msgspec.json.encode(told)) + b"\n")
