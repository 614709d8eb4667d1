"""A made-up detector: its artdaq processes and the FHiCL of each.

Small, but with the parts of real configurations: long channel maps, front-end tables, addresses, and the host maps
that DAQInterface writes into every process's destinations (run_records.md section 1.3).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from archiverd.demo.dump import Pasted, dumped

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

    from archiverd.demo.dump import Table

NAME = "lantern"
HOST = f"{NAME}-daq01.example.org"
"""The host of DAQInterface."""

CHANNELS_PER_CRATE = 704
PMTS = 60


@dataclass(frozen=True, slots=True)
class Process:
    """One artdaq process."""

    kind: str
    """BoardReader, EventBuilder, DataLogger, Dispatcher or RoutingManager."""
    label: str
    host: str
    rank: int
    port: int


def processes(partition: int) -> tuple[Process, ...]:
    """Return the processes of a partition in rank order, board readers first."""
    named = [
        *(("BoardReader", f"tpc{crate:02}", f"{NAME}-tpc{crate:02}") for crate in range(1, 5)),
        *(("BoardReader", f"pmt{board:02}", f"{NAME}-pmt01") for board in range(1, 3)),
        ("BoardReader", "trigger01", f"{NAME}-trigger01"),
        *(("EventBuilder", f"EventBuilder{builder}", f"{NAME}-evb0{builder}") for builder in range(1, 3)),
        ("DataLogger", "DataLogger1", f"{NAME}-evb01"),
        ("Dispatcher", "Dispatcher1", f"{NAME}-evb02"),
    ]
    first_port = 10_100 + 1_000 * partition
    return tuple(
        Process(kind, label, f"{host}.example.org", rank, first_port + rank)
        for rank, (kind, label, host) in enumerate(named)
    )


def fhicl(processes: Sequence[Process], partition: int, rng: random.Random) -> dict[str, str]:
    """Return the text of each process's FHiCL, by label."""
    return {
        process.label: dumped(_document(process, processes, partition, rng), process.label) for process in processes
    }


def _document(process: Process, everyone: Sequence[Process], partition: int, rng: random.Random) -> Table:
    """Return the configuration of a process."""
    if process.kind == "EventBuilder":
        return _event_builder(process, everyone, partition)
    if process.kind != "BoardReader":
        return _aggregator(process, everyone)
    boards: dict[str, Callable[[Process, random.Random], Table]] = {"tpc": _tpc, "pmt": _pmt, "tri": _trigger}
    receiver: Table = {
        "board_id": process.rank,
        "data_buffer_depth_fragments": 10_000,
        "fragment_id": 0x1000 + process.rank,
        "multicast_interface_ip": "192.0.2.1",
        "request_address": f"227.128.{partition}.129",
        "request_mode": "sequence",
        "request_port": 3001,
        "separate_data_thread": True,
        "stale_request_timeout": "0xFFFFFFFF",
        "destinations": _links("destination", everyone, "EventBuilder"),
        **boards[process.label[:3]](process, rng),
    }
    return {"daq": {"fragment_receiver": receiver, "metrics": _metrics(process)}}


def _tpc(process: Process, rng: random.Random) -> Table:
    """Return the part of a TPC crate: front-end boards and a channel map."""
    boards: Table = {
        f"board{board:02}": {
            "baseline": [round(rng.gauss(2048, 20)) for _ in range(16)],
            "enable": True,
            "gain": 14.0,
            "peaking_time_us": 1.5,
            "pedestal_offset": 0.25,
            "threshold": 12 + board % 3,
            "zero_suppression": {"postsample": 7, "presample": 7, "window": rng.choice([64, 128])},
        }
        for board in range(16)
    }
    first = CHANNELS_PER_CRATE * process.rank
    return {
        "channel_map": [first + (7 * channel) % CHANNELS_PER_CRATE for channel in range(CHANNELS_PER_CRATE)],
        "firmware": 403_121_409,
        "fragment_type": "TPC",
        "front_end_boards": boards,
        "generator": "LanternTPC",
        "samples_per_channel": 3_400,
    }


def _pmt(_process: Process, rng: random.Random) -> Table:
    """Return the part of a PMT digitizer: a table for each tube."""
    tubes: list[Table] = [
        {
            "channel": tube,
            "high_voltage": round(rng.uniform(1_350, 1_650), 1),
            "name": f"PMT-{tube:03}",
            "on": tube != 17,
        }
        for tube in range(PMTS)
    ]
    return {"fragment_type": "PMT", "generator": "LanternPMT", "sampling_ns": 2, "self_trigger": False, "tubes": tubes}


def _trigger(_process: Process, rng: random.Random) -> Table:
    """Return the part of the trigger board."""
    masks = {f"type{kind:02}": {"mask": rng.getrandbits(24), "prescale": 10**kind} for kind in range(4)}
    return {"fragment_type": "Trigger", "generator": "LanternTrigger", "masks": masks, "pulser_hz": 0.5}


def _event_builder(process: Process, everyone: Sequence[Process], partition: int) -> Table:
    """Return the configuration of an event builder: where fragments come from and which file they go to."""
    builder: Table = {
        "buffer_count": 25,
        "expected_fragments_per_event": sum(other.kind == "BoardReader" for other in everyone),
        "request_address": f"227.128.{partition}.129",
        "request_port": 3001,
        "send_requests": True,
        "sources": _links("source", everyone, "BoardReader"),
        "stale_buffer_timeout_usec": 5_000_000,
        "use_art": True,
    }
    output: Table = {
        "SelectEvents": [],
        "compressionLevel": 501,
        "fileName": f"/data/{NAME}/data_${{app_name}}_run%R_%#_%to.root",
        "fileProperties": {"maxEvents": 20, "maxRuns": 1, "maxSubRuns": 1},
        "module_type": "RootDAQOut",
    }
    return {
        "daq": {"event_builder": builder, "metrics": _metrics(process)},
        "outputs": {"normalOutput": output},
        "physics": {"analyzers": {}, "my_output_modules": ["normalOutput"], "producers": {}},
        "process_name": "DAQ",
        "source": {"module_type": "ArtdaqInput", "waiting_time": 2_500_000},
    }


def _aggregator(process: Process, everyone: Sequence[Process]) -> Table:
    """Return the configuration of a data logger or dispatcher."""
    aggregator: Table = {
        "buffer_count": 10,
        "event_queue_depth": 2,
        "is_data_logger": process.kind == "DataLogger",
        "is_dispatcher": process.kind == "Dispatcher",
        "sources": _links("source", everyone, "EventBuilder"),
    }
    return {"daq": {"aggregator": aggregator, "metrics": _metrics(process)}, "outputs": {}, "process_name": "DAQAG"}


def _metrics(process: Process) -> Table:
    """Return the metrics part of a process's configuration."""
    graphite: Table = {
        "host": HOST,
        "level_string": "1-10",
        "metricPluginType": "graphite",
        "namespace": f"{NAME}.{process.label}.",
        "port": 2003,
        "reporting_interval": 10.0,
    }
    return {"graphite": graphite, "send_process_metrics": True, "send_system_metrics": True}


def _links(direction: str, everyone: Sequence[Process], kind: str) -> Pasted:
    """Return DAQInterface's text for the sources or destinations of a process; the first has the host map."""
    hosts = ", ".join(f'{{rank: {process.rank} host: "{process.host}"}}' for process in everyone)
    lines, host_map = [f"{direction}s: {{ "], f"host_map: [{hosts}]"
    for peer in (process for process in everyone if process.kind == kind):
        lines.append(
            f"{direction[0]}{peer.rank}: {{ transferPluginType: TCPSocket {direction}_rank: {peer.rank} "
            f"max_fragment_size_words: 1250000 {host_map} }}"
        )
        host_map = ""
    return Pasted("\n".join([*lines, " } "]))
