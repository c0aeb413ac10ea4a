"""What a page says in words: the result, the protocol, and the answers of a paper's reproducibility checklist."""

from collections.abc import Sequence
from typing import Any

from nlvideo.ablation.tables import duration
from nlvideo.evaluation.seeds import Difference
from nlvideo.report.evidence import Network
from nlvideo.report.source import Run
from nlvideo.report.tables import number, percent, signed


def result(network: Network, reference: Network | None, gain: Difference | None) -> list[str]:
    """Return sentences on the accuracy of a network, and on its difference to a reference."""
    mean, low, high = network.top1()
    first = network.first
    sentences = [
        f"{network.name} has {percent(mean, low, high).text} % top-1 at video level on {first.counted()}, chance being "
        f"{100 / len(first.class_names):.2g} %. In brackets: 95 % interval {_over(len(network.runs))}."
    ]
    if first.missing:
        sentences.append(f"Not scored: {', '.join(first.missing[:5])}{', ..' if len(first.missing) > 5 else ''}.")
    if reference is not None and gain is not None:
        points = [signed(f"{100 * value:+.1f}") for value in (gain.mean, gain.low, gain.high)]
        significant = "is larger than chance explains" if gain.p < 0.05 else "may be chance"
        test = "McNemar's exact test" if gain.num_seeds == 1 else "t-test paired by seed and video"
        sentences.append(
            f"That is {points[0]} points [{points[1]}, {points[2]}] to {reference.name}, which has "
            f"{percent(*reference.top1()).text} %; the difference {significant} (p = {gain.p:.2g}, {test}, "
            f"{gain.num_videos} videos, {_seeds(gain.num_seeds)})."
        )
        if gain.seeds_needed:
            sentences.append(f"To tell a difference of 1 % on these videos, {gain.seeds_needed} seeds are needed.")
    return sentences


def _over(num_seeds: int) -> str:
    if num_seeds > 1:
        return f"over {num_seeds} seeds and the videos together"
    return "over the videos (bootstrap); of one training, so it says nothing of what another seed would give"


def _seeds(count: int) -> str:
    return "one seed" if count == 1 else f"{count} seeds"


def protocol(run: Run) -> list[str]:
    """Return sentences on how a run was trained and tested, from its configuration and results."""
    data, trainer, model = (_mapping(run.config.get(key)) for key in ("data", "trainer", "model"))
    optimizer, schedule = (_mapping(model.get(key)) for key in ("optimizer", "schedule"))
    epochs = (run.fit or {}).get("epochs", trainer.get("max_epochs"))
    trained = (
        f"Trained for {epochs} epochs with {optimizer.get('name')}, learning rate {optimizer.get('lr')} "
        f"({schedule.get('name')}), batches of {data.get('batch_size')} clips of {data.get('clip_frames')} frames, "
        f"{data.get('frame_interval')} apart, {data.get('crop_size')} x {data.get('crop_size')} pixels; seed "
        f"{run.config.get('seed_everything')}, precision {trainer.get('precision') or 'chosen for the device'}."
    )
    start = model.get("init_from")
    begun = f"Weights start from {start}." if start else "Weights start from random numbers."
    test = run.test
    if not test:
        return [trained, begun, f"Not tested yet ({run.state}): nlvideo test -c {run.folder / 'config.yaml'} .."]
    tested = (
        f"Tested at video level: {test.get('views')} views (clips x crops) of each video by the protocol "
        f"{test.get('protocol')}, softmax averaged, one vote a video, computed in {test.get('dtype')}; "
        f"{test.get('num_scored')} of {test.get('num_videos')} videos were scored. Clip level: one centred view."
    )
    return [trained, begun, tested]


def compute(run: Run) -> dict[str, Any]:
    """Return seconds, most memory, device and versions of a run, as far as its files record them."""
    fit, test = run.fit or {}, run.test or {}
    seconds = [number(its.get("seconds")) for its in (fit, test)]
    memory = [value for its in (fit, test) if (value := number(its.get("peak_GB"))) is not None]
    versions = fit.get("versions") or test.get("versions")
    return {
        "train": seconds[0],
        "test": seconds[1],
        "peak_GB": max(memory) if memory else None,
        "device": str(fit.get("device") or test.get("device") or "not recorded"),
        "processes": fit.get("processes") or test.get("processes"),
        "versions": versions if isinstance(versions, dict) else {},
        "data": {**_mapping(fit.get("data")), **_mapping(test.get("data"))},
    }


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def checklist(entries: Sequence[tuple[str, Sequence[Run]]], network: Network | None, differing: Sequence[str]) -> str:
    """Return the answers of a reproducibility checklist, as text to copy.

    Args:
        entries: names and runs of what was trained.
        network: the one that the page looks at; None if nothing was tested.
        differing: settings in which the entries differ.
    """
    runs = list({run.folder: run for _, its in entries for run in its}.values())
    costs = [compute(run) for run in runs]
    known = [cost["train"] + (cost["test"] or 0) for cost in costs if cost["train"] is not None]
    devices = dict.fromkeys(cost["device"] for cost in costs)
    memory = [cost["peak_GB"] for cost in costs if cost["peak_GB"] is not None]
    seeds = dict.fromkeys(str(run.config.get("seed_everything")) for run in runs)
    lines = [
        f"What was trained: {len(entries)} network(s), {len(runs)} training run(s); seeds {', '.join(seeds)}.",
        "What was repeated: "
        + (
            "training and test, with each seed; each seed sets the initial weights, the order of the videos and "
            "their augmentation."
            if len(seeds) > 1
            else "nothing; each network was trained once."
        ),
    ]
    if network is not None:
        lines.append(f"Error bars: 95 % intervals {_over(len(network.runs))}.")
    without = sum(run.test is None for run in runs)
    lines.append(f"Runs without a result: {without} of {len(runs)}." if without else "Every run has a result here.")
    if len(entries) > 1:
        differ = ", ".join(differing[:12]) + (", .." if len(differing) > 12 else "")
        lines.append(f"Settings that differ between the networks: {differ or 'none'}; all others are the same.")
    lines += [
        "Hyperparameters: all are in config.yaml of each run, which repeats it with the command nlvideo fit -c.",
        f"Compute of each run: {_range(known)} on {', '.join(devices)}"
        + (f", at most {max(memory):.1f} GB of memory a process" if memory else ", memory not recorded")
        + f". In total: {duration(sum(known))} for {len(known)} of {len(runs)} run(s). Failed and earlier runs are not "
        "counted.",
    ]
    for split, its in _data(costs).items():
        lines.append(f"Data, {split}: {its}.")
    lines.append(f"Software: {_versions(costs)}.")
    return "\n".join(lines)


def _range(seconds: Sequence[float]) -> str:
    if not seconds:
        return "not recorded"
    low, high = duration(min(seconds)), duration(max(seconds))
    return low if low == high else f"{low} to {high}"


def _data(costs: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Return number and hash of each split's videos; of all runs, if they differ."""
    found: dict[str, dict[str, None]] = {}
    for cost in costs:
        for split, its in cost["data"].items():
            if isinstance(its, dict):
                words = f"{its.get('videos')} videos, list {its.get('source')}, SHA-256 {its.get('sha256')}"
                found.setdefault(str(split), {})[words] = None
    if not found:
        return {"all splits": "hashes were not recorded by the version of nlvideo that trained"}
    return {split: "; ".join(words) for split, words in found.items()}


def _versions(costs: Sequence[dict[str, Any]]) -> str:
    texts = dict.fromkeys(
        ", ".join(f"{name} {value}" for name, value in cost["versions"].items()) for cost in costs if cost["versions"]
    )
    return "; ".join(texts) or "versions were not recorded by the version of nlvideo that trained"
