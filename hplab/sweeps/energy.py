"""Energy that runs took, where the machine has counters that may be read.

Intel's RAPL counts what the processors of the machine use (Linux, usually for root only), NVIDIA's
NVML what each graphics card uses. Both count everything that the device does, so what else ran
meanwhile is in it. What lies between two results is counted to the later one, in equal parts for
trials that trained side by side: over a sweep the sum is right, of one run it is rough.
"""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Any

POWERCAP = Path("/sys/class/powercap")
CPU, GPU = "cpu_j", "gpu_j"  # fields of a record's cost, in joules


class Meter:
    """Reads the counters of this machine.

    Args:
        device: A resolved torch device; "" for runs of which hplab does not know where they are.
        powercap: Where Linux has the counters of the processors; None takes `POWERCAP`.

    Attributes:
        missing: For each of `CPU` and `GPU` that cannot be read why it cannot.
    """

    def __init__(self, device: str = "", powercap: Path | None = None) -> None:
        self.missing: dict[str, str] = {}
        self._zones = self._processors(powercap or POWERCAP)
        self._cards = self._graphics(device) if device in ("", "cuda") or ":" in device else []
        self._before = self._now()

    def lap(self) -> dict[str, float]:
        """Return the joules since the last call, for each kind that can be read."""
        now, before = self._now(), self._before
        self._before = now
        spent = {CPU: 0.0, GPU: 0.0}
        for key, (joules, wraps) in now.items():
            used = joules - before[key][0]
            spent[CPU if key.startswith("zone") else GPU] += used + wraps * (used < 0)
        kinds = {CPU: self._zones, GPU: self._cards}
        return {name: round(x, 3) for name, x in spent.items() if kinds[name]}

    def _processors(self, powercap: Path) -> list[Path]:
        """Return the counters of whole processors, and of memory where that has one of its own."""
        zones = []
        for zone in sorted(powercap.glob("intel-rapl:*")):
            try:
                name = (zone / "name").read_text().strip()
                if re.fullmatch(r"package-\d+|dram", name):
                    int((zone / "energy_uj").read_text())
                    zones.append(zone)
            except (OSError, ValueError):
                self.missing[CPU] = f"{zone / 'energy_uj'} may not be read"
        if not zones:
            self.missing.setdefault(CPU, f"no counter of energy in {powercap}")
        return zones

    def _graphics(self, device: str) -> list[tuple[Any, Any]]:
        try:
            tool: Any = import_module("pynvml")
            tool.nvmlInit()
            count = range(tool.nvmlDeviceGetCount())
            numbers = [int(device.partition(":")[2] or 0)] if device else count
            cards = [(tool, tool.nvmlDeviceGetHandleByIndex(number)) for number in numbers]
            for _, card in cards:
                tool.nvmlDeviceGetTotalEnergyConsumption(card)
        except ImportError:
            self.missing[GPU] = "nvidia-ml-py is not installed"
            return []
        except Exception as error:  # NVML has one class of errors for everything
            self.missing[GPU] = f"NVML says: {error}"
            return []
        if not cards:
            self.missing[GPU] = "there is no graphics card"
        return cards

    def _now(self) -> dict[str, tuple[float, float]]:
        """Return each counter in joules, and where it begins again at 0."""
        found = {}
        for zone in self._zones:
            ends = int((zone / "max_energy_range_uj").read_text()) / 1e6
            found[f"zone {zone.name}"] = int((zone / "energy_uj").read_text()) / 1e6, ends
        for i, (tool, card) in enumerate(self._cards):
            found[f"card {i}"] = tool.nvmlDeviceGetTotalEnergyConsumption(card) / 1e3, 0.0
        return found
