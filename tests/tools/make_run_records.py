#!/usr/bin/env python3
"""Write realistic artdaq "run records" the way DAQInterface writes them.

    make_run_records.py DEST --runs 200 --first 12000 --profile sbnd --gaps 0.05
    make_run_records.py DEST --runs 500 --profile demo --live 60      # 60 run starts a minute
    make_run_records.py DEST --runs 120 --profile demo --quirks       # one quirk a run, round robin
    make_run_records.py --list-quirks

Python 3.11, standard library only.  Everything but wall-clock time is a
function of --seed, so two batch calls with equal arguments give equal bytes,
equal modes and equal mtimes (ctime and the inode cannot be chosen).

How a record comes to be (DAQInterface v3_06_01 and later):

  config   the whole record is built in /tmp/run_record_attempted_$USER/$PARTITION
           and every file chmod'ed 0444 (--staging shows that step too)
  start    mkdir DEST/<run> 0755; the files are copied in directory order (not in
           the order they were made), each one visible empty, then growing, 0644,
           then given its OLD mtime, then 0444; touch DEST/<run>; chmod 0555.
           After the artdaq processes answered: metadata.txt 0644, append
           "\\nDAQInterface start time: ...\\n", 0444.
  stop     first thing in the stop transition: append the stop-time line the same
           way, then the processes are stopped; with an external run control
           rc_info_stop.txt is added after that.  v1 appends "Total events" last.
  crash    no stop line, ever.  Nothing marks the record as dead.
"""

import argparse
import heapq
import json
import os
import random
import re
import shutil
import signal
import stat
import sys
import time
from datetime import datetime, timedelta, timezone

# --------------------------------------------------------------------------
# small helpers


def rng_for(*parts):
    """A generator whose stream depends on the given parts only."""
    return random.Random("/".join(str(p) for p in parts))


def hexstr(rng, n):
    return "".join(rng.choice("0123456789abcdef") for _ in range(n))


def vkey(version):
    m = re.match(r"v(\d+)_(\d+)_(\d+)", version)
    return tuple(int(x) for x in m.groups())


DATE_STYLES = {
    # `date --utc` in the C locale, and in en_US.UTF-8 with an old glibc (SL7)
    "c": "%a %b %d %H:%M:%S UTC %Y",
    # the same command, en_US.UTF-8, a glibc of 2.3x (AlmaLinux 9)
    "al9": "%a %b %d %I:%M:%S %p UTC %Y",
    # en_US.UTF-8 with the glibc of Ubuntu 20.04 / Debian 11
    "u20": "%a %d %b %Y %I:%M:%S %p UTC",
}


def date_utc(epoch, style):
    t = datetime.fromtimestamp(epoch, timezone.utc)
    s = t.strftime(DATE_STYLES[style])
    if style != "u20":  # %e pads the day with a blank, not a zero
        s = re.sub(r"^(\w+ \w+) 0", r"\1  ", s)
    return s


# --------------------------------------------------------------------------
# FHiCL writing: the "dumped" form (what fhicl-dump prints, and so what a run
# record holds since DAQInterface v3_02_01) and a "raw" hand-written form


class Raw(str):
    """Text put in place of a table, as DAQInterface's bookkeeping does."""


def canonical_number(x):
    """The number format of fhicl-dump: 403121409 -> 4.03121409e8, 0.5 -> 5e-1."""
    if isinstance(x, float):
        s = repr(x)
    else:
        s = str(x)
    sign = ""
    if s.startswith("-"):
        sign, s = "-", s[1:]
    mant, _, exp = s.partition("e")
    whole, _, frac = mant.partition(".")
    e = int(exp or 0) + len(whole)
    digits = (whole + frac).rstrip("0") or "0"
    while len(digits) > 1 and digits[0] == "0":
        digits = digits[1:]
        e -= 1
    if digits == "0":
        return "0"
    if len(digits) <= e <= 6:
        return sign + digits + "0" * (e - len(digits))
    if len(digits) > 1:
        digits = digits[0] + "." + digits[1:]
    e -= 1
    return sign + digits + ("e%d" % e if e else "")


def fhicl_string(s):
    return '"' + s.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t") + '"'


def atom(v):
    if v is True:
        return "true"
    if v is False:
        return "false"
    if v is None:
        return "@nil"
    if isinstance(v, (int, float)):
        return canonical_number(v)
    return fhicl_string(v)


def dump_value(v, ind, out):
    pad = "   " * ind
    if isinstance(v, dict):
        if not v:
            out.append("{}")
            return
        out.append("{\n")
        dump_table(v, ind + 1, out)
        out.append(pad + "}")
    elif isinstance(v, (list, tuple)):
        if not v:
            out.append("[]")
            return
        out.append("[\n")
        inner = "   " * (ind + 1)
        for i, e in enumerate(v):
            out.append(inner)
            dump_value(e, ind + 1, out)
            out.append(",\n" if i + 1 < len(v) else "\n")
        out.append(pad + "]")
    else:
        out.append(atom(v))


def dump_table(d, ind, out):
    pad = "   " * ind
    for k in sorted(d):
        v = d[k]
        if isinstance(v, Raw):
            # DAQInterface cuts out "destinations: {}" and pastes its own text
            out.append("%s\n%s\n" % (pad, v))
            continue
        out.append("%s%s: " % (pad, k))
        dump_value(v, ind, out)
        out.append("\n")


def fhicl_dump(d, input_name, program="fhicl-dump"):
    out = [
        "# Produced from '%s' using:\n#   Input  : %s\n"
        '#   Policy : cet::filepath_maker\n#   Path   : "FHICL_FILE_PATH"\n\n' % (program, input_name)
    ]
    dump_table(d, 0, out)
    return "".join(out)


HEXISH = re.compile(r"(?i)(mask|fragment_id|board_id|bus|device_id|vendor_id|pattern|firmware|offset|amp|_ids?$)")
COMMENTS = [
    "set by DAQInterface at config time, leave alone",
    "units: 8 ns ticks",
    "0: disable, 1: external, 2: internal_even, 3: internal_odd",
    "was 1024 until the spring readout change",
    "should match the private network",
    "see elog 114213",
    "DO NOT CHANGE during beam",
    "true if a pulser gives the trigger; false if the trigger board does",
    "max:   15        15      1       255      1        31        31",
]


def raw_number(k, v, rng):
    if isinstance(v, int) and not isinstance(v, bool) and v >= 16 and HEXISH.search(k):
        return "0x%X" % v if rng.random() < 0.8 else "0x%04x" % v
    if isinstance(v, float) and v == int(v) and abs(v) < 1e15:
        return "%.1f" % v
    return repr(v) if isinstance(v, float) else str(v)


def raw_value(k, v, ind, out, rng):
    pad = "  " * ind
    if isinstance(v, dict):
        if not v:
            out.append("{ }")
            return
        out.append("{\n")
        raw_table(v, ind + 1, out, rng)
        out.append(pad + "}")
    elif isinstance(v, (list, tuple)):
        flat = all(not isinstance(e, (dict, list, tuple)) for e in v)
        if flat:
            items = [raw_atom(k, e, rng) for e in v]
            if len(items) <= 16 or rng.random() < 0.5:
                out.append("[ " + ", ".join(items) + " ]")
            else:  # a long map, wrapped
                out.append("[\n")
                for i in range(0, len(items), 16):
                    tail = "," if i + 16 < len(items) else ""
                    out.append(pad + "   " + ", ".join(items[i : i + 16]) + tail + "\n")
                out.append(pad + "]")
        else:
            out.append("[\n")
            for i, e in enumerate(v):
                out.append(pad)
                raw_value(k, e, ind, out, rng)
                out.append("," if i + 1 < len(v) else " ")
                out.append(" # channel %d\n" % i if isinstance(e, (list, tuple)) else "\n")
            out.append(pad + "]")
    else:
        out.append(raw_atom(k, v, rng))


def raw_atom(k, v, rng):
    if isinstance(v, (bool, type(None))):
        return atom(v)
    if isinstance(v, (int, float)):
        return raw_number(k, v, rng)
    if re.fullmatch(r"[A-Za-z_][A-Za-z_0-9]*", v) and v not in ("true", "false", "nil") and rng.random() < 0.5:
        return v
    return fhicl_string(v)


def raw_table(d, ind, out, rng):
    pad = "  " * ind
    keys = list(d)
    for k in keys:
        v = d[k]
        if isinstance(v, Raw):
            out.append(pad + "\n%s\n" % v)
            continue
        if rng.random() < 0.10:
            out.append("%s# %s\n" % (pad, rng.choice(COMMENTS)))
        if rng.random() < 0.04:
            out.append("\n")
        if rng.random() < 0.03 and not isinstance(v, dict):
            out.append("#%s%s: %s\n" % (pad, k, rng.choice(["0", "false", "0xFFFF", "[ 1, 2, 3 ]"])))
        sep = rng.choice([": ", ":", ":   "]) if rng.random() < 0.3 else ": "
        out.append("%s%s%s" % (pad, k, sep))
        raw_value(k, v, ind, out, rng)
        if not isinstance(v, dict) and rng.random() < 0.08:
            out.append(" # %s" % rng.choice(COMMENTS))
        out.append("\n")


def fhicl_raw(d, label, rng):
    """Include-expanded source text: comments, hex, a prolog, dotted overrides."""
    out = [
        "#########################################\n## FHiCL for %s\n## written by hand, includes expanded\n"
        "#########################################\n\n" % label,
        "BEGIN_PROLOG\nmetrics_defaults_%s: {\n  send_system_metrics: true  # cpu, memory\n"
        '  send_process_metrics: true\n}\nmulticast_net: "10.226.36.0"\nEND_PROLOG\n\n' % re.sub(r"\W", "_", label),
    ]
    raw_table(d, 0, out, rng)
    out.append(
        "\nrun_record_defaults: { @table::metrics_defaults_%s  net: @local::multicast_net }\n"
        % re.sub(r"\W", "_", label)
    )
    out.append("# overrides, last one wins\nrun_record_defaults.send_system_metrics: false\n")
    return "".join(out)


# --------------------------------------------------------------------------
# what the artdaq processes of each detector look like


class Proc:
    def __init__(self, kind, label, host, subsystem="1", family="", extra=None):
        self.kind, self.label, self.host, self.subsystem = kind, label, host, subsystem
        self.family, self.extra = family, extra or {}
        self.rank = self.port = None


def metrics(label, ns, host, every=10):
    return {
        "brFile": {
            "fileName": "/daq/log/metrics/%s_metrics.log" % label,
            "level_string": "1,2,11-20",
            "metricPluginType": "file",
            "uniquify": True,
        },
        "graphite": {
            "host": host,
            "level_string": "1-10,11-20",
            "metricPluginType": "graphite",
            "namespace": "%s.%s." % (ns, label),
            "port": 2003,
            "reporting_interval": every,
        },
        "send_process_metrics": True,
        "send_system_metrics": True,
    }


def receiver_common(p, cfg, frag_type, generator, frag_bytes):
    return {
        "board_id": p.rank,
        "data_buffer_depth_fragments": 10000,
        "data_buffer_depth_mb": 2000,
        "fragment_type": frag_type,
        "generator": generator,
        "max_fragment_size_bytes": frag_bytes,
        "multicast_interface_ip": cfg["net"],
        "receive_requests": True,
        "request_address": "227.128.%d.%d" % (cfg["partition"], 128 + int(p.subsystem)),
        "request_mode": "sequence",
        "request_port": 3001,
        "routing_table_config": {"use_routing_manager": False},
        "separate_data_thread": True,
        "stale_request_timeout": "0xFFFFFFFF",
    }


def fcl_toy(p, cfg, rng):
    i = cfg["index"][p.label]
    fr = receiver_common(p, cfg, "TOY%d" % (1 + i % 2), "ToySimulator", 200 if i else 0x100000)
    fr.update(
        {
            "distribution_type": 2,
            "fragment_id": i,
            "hardware_poll_interval_us": 0,
            "nADCcounts": 40,
            "random_seed": rng.randrange(1000, 9999),
            "request_mode": "Ignored",
            "request_window_offset": 0,
            "request_window_width": 0,
            "request_windows_are_unique": True,
            "separate_data_thread": False,
            "separate_monitoring_thread": False,
            "sleep_on_stop_us": 500000,
            "starting_fragment_id": i,
            "throttle_usecs": 100000,
            "timestamp_scale_factor": 1,
            "destinations": cfg["links"](p, "destinations"),
        }
    )
    return {"daq": {"fragment_receiver": fr, "metrics": metrics(p.label, "demo", "localhost", 15)}}


def fcl_tpc(p, cfg, rng):
    i = cfg["index"][p.label]
    fr = receiver_common(p, cfg, "NevisTPC", "NevisTPC2StreamNUandSNXMIT", 667772)
    fr.update(
        {
            "CALIBTriggerFrequency": -1,
            "ChunkSize": 1000000,
            "ControllerTriggerFrequency": -1,
            "DumpBinary": False,
            "DumpBinaryDir": "/data/SNCommissioning",
            "GPSTimeFrequency": 1,
            "GPSZMQPortNTB": "tcp://10.226.36.6:11212",
            "SamplesPerChannel": 3429,
            "UseZMQ": True,
            "controller_module": {
                "bus": 0x51 + i,
                "device_id": 4,
                "device_name": "neviscard_controller",
                "vendor_id": 0x1172,
            },
            "fragment_ids": [0x9003 + 0x100 * (i + 1) + k for k in range(16)],
            "framesize": 9151,
            "nevis_crate": {
                "channel_threshold": True,
                "fem_fpga": "/home/nfs/sbnd/nevis/fem_firmware/module1x_static_baseline_%08x.rbf"
                % rng.randrange(1 << 32),
                "load_threshold_mean": 2,
                "load_threshold_variance": 3,
                "max_fem_slot": 18,
                "nu_compress": True,
                "postsample": 7,
                "presample": 7,
                "timesize": 1143,
                "trigger_slot": 20,
                "xmit_slot": 2,
                "zero_suppression_params": {
                    "config_file": "/home/nfs/sbnd/nevis/tpc_crate_threshold_baseline/crate%d_50mbps.txt" % (i + 1)
                },
                "channel_map": [(64 * i * 16 + 7 * k) % 11264 for k in range(cfg["n"](64))],
            },
            "nu_xmit_reader": {
                "bus": 0x8A,
                "device_id": 4,
                "device_name": "neviscard_nu",
                "dma_buffer_size": 1000000,
                "maxpoll": 10000000,
                "vendor_id": 0x1172,
            },
            "trigger_module": {
                "deadtime": 36,
                "framesize": 9151,
                "prescale0": 0,
                "prescale1": 0,
                "trigmask0": 0,
                "trigmask8": 2,
                "timeinfo_directory": "/data/uboonedaq/metadata",
            },
            "destinations": cfg["links"](p, "destinations"),
        }
    )
    return {
        "daq": {
            "fragment_receiver": fr,
            "metrics": metrics(p.label, cfg["ns"], cfg["graphite"]),
            "process_name": "Driver",
        },
        "framesize_16MHz_ticks": 9151,
        "nu_dma_buffer_size": 1000000,
        "sn_dma_buffer_size": 1000000,
    }


def fcl_wib(p, cfg, rng):
    i = cfg["index"][p.label]

    def femb(k):
        return {
            "BNLgain": [0, 1],
            "BNLshape": [1, 1],
            "FEMB_channel_map": 0,
            "acCouple": 0,
            "baselineHigh": 2,
            "bit_shtfs_for_ADC_data_of_FEs": [0] * 8,
            "bit_test_pattern": 0x123,
            "buffer": 0,
            "calibration_stepping": {
                "amp_max": 9,
                "amp_min": 3,
                "amp_step": 1,
                "mode": "disabled",
                "phase_max": 249,
                "phase_min": 189,
                "phase_step": 1,
                "step_time": 2,
            },
            "clk_phases": [65535, 65023, 61423, 49087, 48639],
            "enable_fake_data": False,
            "expected_femb_fw_version": 1281,
            "extClk": 1,
            "fake_data_select": "fake_word",
            "fake_word": 4065 + 4 * i + k,
            "gain": 2,
            "leak10X": 0,
            "leakHigh": 1,
            "phase_sel_for_FEs": [0] * 8,
            "pls_dac_val": 8,
            "pls_mode": 0,
            "pls_period_val": 1500,
            "shape": 2,
            "start_frame_mode_sel": 1,
            "start_frame_swap": 1,
            "test_chnl_number": 999,
            "turn_off_femb": False,
            "use_normal_check_procedure": True,
            "channel_map": [(128 * (4 * i + k) + (c * 5) % 128) for c in range(cfg["n"](128))],
        }

    wib = {
        "DTS_source": 0,
        "FEMBs": {"femb%d" % k: femb(k) for k in range(4)},
        "address": "10.226.34.%d" % (11 + i),
        "configuration_tries": 3,
        "continueOnError": {"FEMBRegReadError": False, "FEMBSPIError": False, "FEMBSyncError": False},
        "enable_FEMBs": [True] * 4,
        "expected_daq_mode": "any",
        "expected_wib_fw_version": 403121409,
        "femb_table": "SBND_FEMB.adt",
        "force_full_reset": False,
        "partition_number": cfg["partition"],
        "wib_table": "SBND_WIB.adt",
    }
    fr = receiver_common(p, cfg, "WIB", "WIBReader", 100)
    fr.update(
        {
            "WIB": wib,
            "fragment_id": 0x1000 + i,
            "sends_no_fragments": True,
            "destinations": cfg["links"](p, "destinations"),
        }
    )
    return {"daq": {"fragment_receiver": fr, "metrics": metrics(p.label, cfg["ns"], cfg["graphite"])}}


FEB_FLAGS = [
    "%s_%s%s" % (a, b, c)
    for a in ("enable",)
    for b in (
        "BandGap_sensor",
        "HG_OTA",
        "HG_SCA",
        "HG_preamp",
        "HG_slow_shaper",
        "LG_OTA",
        "LG_SCA",
        "LG_preamp",
        "LG_slow_shaper",
        "charge_DAC",
        "charge_discriminator",
        "fast_shaper",
        "temperature_sensor",
        "time_DAC",
        "time_discriminator",
        "probe_OTA",
    )
    for c in ("", "_PP")
]


def fcl_crt(p, cfg, rng):
    i = cfg["index"][p.label]
    nfeb = p.extra.get("febs", 6)
    doc = {}

    def feb(name, thr):
        d = {f: (k % 2 == 0) for k, f in enumerate(FEB_FLAGS)}
        d.update(
            {
                "HG_shaper_time_constant": 6,
                "LG_shaper_time_constant": 6,
                "LG_preamp_bias": True,
                "SCA_high_bias": False,
                "bypass_peak_sensing_cell": True,
                "charge_threshold": thr,
                "time_threshold": thr,
                "trigger_polarity": False,
                "channel_configuration": [
                    [0, 0, int(c > 1), rng.randrange(100, 160), 1, rng.randrange(36, 48), 47, 0, 0, 1]
                    for c in range(cfg["n"](32))
                ],
                "enable_channel_trigger": [c % 3 != 2 for c in range(cfg["n"](32))],
            }
        )
        return d

    ids = sorted(rng.sample(range(16, 240), nfeb))
    for n in ids:
        doc["FEB%03dConfiguration" % n] = feb(n, rng.choice([250, 280, 320]))
    fr = receiver_common(p, cfg, "BERNCRT", "BernCRTData", 1000000)
    fr.update({k: v for k, v in doc.items()})  # expanded includes: each table is there twice
    fr.update(
        {
            "FEBIDs": ids,
            "GetDataMode": "container",
            "clock_deviation": -20000,
            "fragment_ids": [0xB000 + 256 * i + n for n in ids],
            "feb_configuration": {"FEB%03d" % n: {"id": n, "mac5": n & 0xFF, "pll_step": 4e-9} for n in ids},
            "interface": "enp5s0",
            "use_nanoseconds": True,
            "destinations": cfg["links"](p, "destinations"),
        }
    )
    doc["daq"] = {"fragment_receiver": fr, "metrics": metrics(p.label, cfg["ns"], cfg["graphite"])}
    return doc


def fcl_pmt(p, cfg, rng):
    i = cfg["index"][p.label]
    fr = receiver_common(p, cfg, "CAENV1730", "CAENV1730Readout", 1000000)
    fr.update(
        {
            "AdcCalibration": False,
            "CalibrateOnConfig": True,
            "GetNextFragmentBunchSize": 20,
            "IRQTimeoutMS": 500,
            "LockTempCalibration": False,
            "ModeLVDS": 0,
            "PoolBufferSize": 500000000,
            "SWTrigger": False,
            "SelfTriggerMask": 0x8000,
            "SelfTriggerMode": 0,
            "boardId": 166 + i,
            "dacValue": 32768,
            "extTrgMode": 1,
            "fragment_id": 0xA000 + i,
            "hardware_poll_interval_us": 10000000.0,
            "ioLevel": 1,
            "link": i % 8,
            "majorityLevel": 0,
            "maxEventsPerTransfer": 1,
            "nChannels": 16,
            "postPercent": 80,
            "recordLength": 5000,
            "temperatureCheckMask": 0xFFFF,
            "triggerLogic": 3,
            "channelMap": [16 * i + c for c in range(16)],
            "destinations": cfg["links"](p, "destinations"),
        }
    )
    for c in range(16):
        fr["channelEnable%d" % c] = True
        fr["channelPedestal%d" % c] = rng.randrange(9900, 10600)
        fr["triggerThreshold%d" % c] = rng.choice([14800, 14900, 15000])
        fr["LVDSOutWidthC%d" % (c + 1)] = 20
    return {
        "daq": {
            "fragment_receiver": fr,
            "metrics": metrics(p.label, cfg["ns"], cfg["graphite"]),
            "redis_10s": {"redis_key_prefix": "DABBoardReader:%s:" % p.label, "interval": 10},
        }
    }


def fcl_crate(p, cfg, rng):
    """ICARUS TPC: one physical crate."""
    i = cfg["index"][p.label]
    fr = receiver_common(p, cfg, "PHYSCRATEDATA", "PhysCrateData", 5000000)
    fr.update(
        {
            "ChannelsPerBoard": 64,
            "CompressionScheme": 0,
            "CrateID": 0x12 + i,
            "DACOffset1": [0x8000] * 9,
            "DACOffset2": [0x8000] * 9,
            "SamplesPerChannel": 4096,
            "TestPulseAmpEVEN": [0x2000] * 9,
            "TestPulseAmpODD": [0x2000] * 9,
            "TestPulseType": 0,
            "VetoHost": "137.138.194.204",
            "VetoPort": 7654,
            "fragment_id": 0x1600 + i,
            "issueStart": True,
            "nADCBits": 12,
            "pcieLinks": [2 * (i % 2), 2 * (i % 2) + 1],
            "request_port": 3502,
            "destinations": cfg["links"](p, "destinations"),
        }
    )
    return {"daq": {"fragment_receiver": fr, "metrics": metrics(p.label, cfg["ns"], cfg["graphite"])}}


def fcl_trigger(p, cfg, rng):
    fr = receiver_common(p, cfg, "ptb", "ptbReceiver", 1000000)
    llt = ["LLT_%d" % k for k in range(1, 33)]
    fr.update(
        {
            "board_config": {
                "ctb": {
                    "HLT": {
                        "trigger": [
                            {
                                "id": "HLT_%d" % k,
                                "enable": k % 3 == 0,
                                "minc": "0x%X" % (1 << k % 32),
                                "mexc": "0x0",
                                "prescale": "0x%x" % rng.randrange(0, 4096),
                                "description": 'menu entry %d, "%s"' % (k, c),
                            }
                            for k, c in zip(
                                range(1, cfg["n"](32) + 1), ["zero bias", "light", "beam", "off beam", "muon"] * 7
                            )
                        ]
                    },
                    "subsystems": {
                        "crt": {"channel_mask": "0x7f", "delays": [0] * 14, "triggers": llt[:8]},
                        "pds": {"channel_mask": "0x3ff", "dac_thresholds": [0x7D0] * 10, "triggers": llt[8:]},
                    },
                    "sockets": {
                        "receiver": {"host": "localhost", "port": 8992, "rollover": 50000},
                        "monitor": {"enable": False},
                        "statistics": {"enable": True, "port": 8003},
                    },
                }
            },
            "fragment_ids": [0x8001],
            "destinations": cfg["links"](p, "destinations"),
        }
    )
    return {"daq": {"fragment_receiver": fr, "metrics": metrics(p.label, cfg["ns"], cfg["graphite"])}}


def fcl_small(p, cfg, rng):
    fr = receiver_common(p, cfg, "TDCTIMESTAMP", "SPECTDC_TAI", 1000)
    fr.update(
        {
            "FTC_channel_mask": 0x1F,
            "fragment_id": 0xF000,
            "device": "tdc-1n:0008",
            "destinations": cfg["links"](p, "destinations"),
        }
    )
    return {"daq": {"fragment_receiver": fr, "metrics": metrics(p.label, cfg["ns"], cfg["graphite"])}}


def fcl_dune_reader(p, cfg, rng):
    doc = fcl_wib(p, cfg, rng)
    fr = doc["daq"]["fragment_receiver"]
    for k in list(fr):
        if k.startswith(("receive_requests", "request_", "separate_", "stale_")):
            del fr[k]
    if p.family != "wib":
        del fr["WIB"]
    if p.family == "rce":
        fr.update(
            {
                "rce_client_host_addr": "np04-%s" % p.label.replace("_", "-"),
                "receive_port": 7991 + p.rank,
                "generator": "RceReceiver",
                "fragment_type": "TPC",
                "sends_no_fragments": False,
            }
        )
    elif p.family == "ssp":
        fr.update(
            {
                "generator": "SSP",
                "fragment_type": "PHOTON",
                "HardwareConfig": {
                    "ALL_cfd_parameters": 0x1800,
                    "ALL_channel_control": 1025,
                    "ARR_led_threshold": [15] * 12,
                    "ARR_pdts_cmd_control": [4278190080 + 1, 0, 4095],
                    "qi_config": 0x0FFF1F00,
                    "module_id": 11,
                },
                "board_ip": "10.73.137.%d" % (56 + cfg["index"][p.label]),
                "data_timeout_usecs": 120000000.0,
            }
        )
    fr["routing_table_config"] = {
        "routing_master_hostname": "np04-srv-001",
        "routing_retry_count": 5,
        "routing_timeout_ms": 1000,
        "table_acknowledge_port": 11030,
        "table_update_address": "227.129.2.128",
        "table_update_port": 11020,
        "use_routing_master": True,
    }
    doc["daq"]["metrics"] = {
        "dim": {
            "DIMServerName": p.label.upper(),
            "DNSNode": "np04-srv-010.cern.ch",
            "DNSPort": 2505,
            "IDName": p.label,
            "Verbose": False,
            "level": 5,
            "metricPluginType": "dim",
            "reporting_interval": 5,
        }
    }
    return doc


def fcl_eventbuilder(p, cfg, rng):
    streams = cfg["streams"]
    out = {
        "normalOutput": {
            "SelectEvents": [],
            "compressionLevel": 501,
            "fastCloning": False,
            "fileName": "/data/%s/data_${app_name}_run%%R_%%#_%%to.root" % cfg["ns"],
            "fileProperties": {"maxEvents": 20, "maxRuns": 1, "maxSubRuns": 1},
            "freeMB": 20000,
            "module_type": "RootDAQOut",
        }
    }
    filters, paths = {}, {}
    for k, s in enumerate(streams):
        low = s.lower()
        filters[low + "filter"] = {
            "excluded_triggers": [3, 4, 14, 15, 17],
            "module_type": "TriggerGateFilter",
            "raw_data_label": "daq",
            "trigger_type": [k + 1],
        }
        paths[low] = [low + "filter"]
        out["normalOutput" + s] = dict(
            out["normalOutput"],
            SelectEvents=[low],
            fileName=("/data/%s/data_${app_name}_run%%R_%%#_strm%s_%%to.root" % (cfg["ns"], s)),
        )
    out["rootNetOutput"] = {
        "SelectEvents": ["pdisp"],
        "destinations": cfg["links"](p, "destinations"),
        "module_type": "RootNetOutput",
        "nonblocking_sends": True,
        "routing_table_config": {"use_routing_manager": False},
    }
    phys = {
        "filters": dict(filters, prescaleDisp={"module_type": "NthEvent", "nth": 7}),
        "my_output_modules": sorted(out),
        "pdisp": ["prescaleDisp"],
        "p2": ["BuildInfo"],
        "producers": {"BuildInfo": {"instance_name": cfg["ns"], "module_type": "SbnDaqBuildInfo"}},
    }
    phys.update(paths)
    return {
        "daq": {
            "event_builder": {
                "art_analyzer_count": 2,
                "buffer_count": 25,
                "expected_fragments_per_event": cfg["nreaders"],
                "init_fragment_count": 0,
                "max_incomplete_events": 15,
                "multicast_interface_ip": cfg["net"],
                "print_event_store_stats": True,
                "request_port": 3001,
                "send_requests": True,
                "request_address": "227.128.%d.%d" % (cfg["partition"], 128 + int(p.subsystem)),
                "routing_token_config": {"use_routing_manager": False},
                "sources": cfg["links"](p, "sources"),
                "stale_buffer_timeout_usec": 5000000,
                "tcp_receive_buffer_size": 64000,
                "use_art": True,
                "verbose": True,
            },
            "metrics": metrics(p.label.lower(), cfg["ns"], cfg["graphite"]),
        },
        "outputs": out,
        "physics": phys,
        "process_name": "DAQ" + p.label.upper(),
        "services": {
            "ArtdaqFragmentNamingServiceInterface": {
                "helper_plugin": cfg["helper"],
                "service_provider": "ArtdaqFragmentNamingService",
            },
            "ArtdaqSharedMemoryServiceInterface": {"service_provider": "ArtdaqSharedMemoryService"},
            "scheduler": {"errorOnFailureToPut": False},
        },
        "source": {"module_type": "ArtdaqInput", "register_fragment_types": False, "waiting_time": 2500000},
    }


def fcl_aggregator(p, cfg, rng):
    agg = {
        "auto_suppression_enabled": False,
        "broadcast_buffer_size": 2000000000,
        "buffer_count": 10,
        "event_queue_depth": 2,
        "expected_events_per_bunch": 1,
        "init_fragment_count": 1,
        "is_dispatcher": p.kind == "Dispatcher",
        "is_data_logger": p.kind != "Dispatcher",
        "non_reliable_mode": True,
        "print_event_store_stats": True,
        "routing_token_config": {"use_routing_manager": False},
        "sources": cfg["links"](p, "sources"),
        "tcp_receive_buffer_size": 64000,
    }
    doc = {
        "daq": {"aggregator": agg, "metrics": metrics(p.label.lower(), cfg["ns"], cfg["graphite"])},
        "outputs": {},
        "physics": {},
        "process_name": "DAQ" + p.label.upper(),
        "source": {"module_type": "ArtdaqInput", "register_fragment_types": False},
    }
    if p.kind == "DataLogger":
        agg["enforced_max"] = None
        doc["outputs"] = {
            "normalOutput": {
                "fileName": "/tmp/artdaqdemo_r%06r_sr%02s_%to_%#_dl1.root",
                "firstLoggerRank": p.rank,
                "module_type": "RootDAQOut",
            },
            "rootNetOutput": {"destinations": cfg["links"](p, "destinations"), "module_type": "RootNetOutput"},
        }
        doc["physics"] = {"my_output_modules": ["normalOutput", "rootNetOutput"]}
    return doc


def fcl_routing(p, cfg, rng):
    name = "routing_master" if p.kind == "RoutingMaster" else "routing_manager"
    return {
        "daq": {
            "policy": {"policy": "NoOp", "receiver_ranks": cfg["ranks"]("EventBuilder")},
            name + "_hostname": p.host,
            "routing_retry_count": 5,
            "routing_timeout_ms": 1000,
            "routing_token_port": 11010,
            "sender_ranks": cfg["ranks"]("BoardReader"),
            "table_ack_retry_count": 5,
            "table_acknowledge_port": 11030,
            "table_update_address": "227.129.2.128",
            "table_update_interval_ms": 100,
            "table_update_port": 11020,
            "use_" + name: True,
        }
    }


FAMILY = {
    "toy": fcl_toy,
    "tpc": fcl_tpc,
    "wib": fcl_wib,
    "crt": fcl_crt,
    "pmt": fcl_pmt,
    "crate": fcl_crate,
    "trigger": fcl_trigger,
    "small": fcl_small,
    "dune": fcl_dune_reader,
}


def fcl_of(p, cfg, rng):
    if p.kind == "BoardReader":
        fn = fcl_dune_reader if cfg["profile"] == "dune" else FAMILY[p.family]
        return fn(p, cfg, rng)
    if p.kind == "EventBuilder":
        return fcl_eventbuilder(p, cfg, rng)
    if p.kind in ("Dispatcher", "DataLogger", "Aggregator"):
        return fcl_aggregator(p, cfg, rng)
    return fcl_routing(p, cfg, rng)


# --------------------------------------------------------------------------
# profiles


def br(label, host, family, **extra):
    return Proc("BoardReader", label, host, family=family, extra=extra)


CRT_CMD = ' 0-15 "/usr/libexec/grant_net_raw /bin/env LD_LIBRARY_PATH=$LD_LIBRARY_PATH "'


class Profile:
    """What one detector runs, and how its text files read."""

    name = "demo"
    version = "v3_14_01"
    date_style = "al9"
    user, host = "artdaq", "daqdemo01.fnal.gov"
    base = "/home/artdaq/artdaq-demo-base"
    log_dir = "/home/artdaq/artdaq-demo-base/daqlogs"
    copy_s, start_s, stop_s, run_s = 0.05, 4.0, 3.0, 60.0
    net, graphite, ns, helper = "127.0.0.0", "localhost", "demo", "ArtdaqDemo"
    streams = []
    external_rc = False
    configs = ["demo", "demo", "demo", "mediumsystem_with_routing_manager", "demo_largesystem"]
    git_packages = True
    packages = ["artdaq-demo", "artdaq-core-demo", "artdaq"]
    pkg_versions = {"artdaq_daqinterface": "v3_14_01"}
    data_fcl_n = 1.0

    def readers(self, config, rng):
        n = {"demo": 2, "mediumsystem_with_routing_manager": 4}.get(config, 19)
        return [br("component%02d" % (k + 1), "localhost", "toy") for k in range(n)]

    def others(self, config, rng):
        out = [Proc("EventBuilder", "EventBuilder%d" % k, "localhost") for k in (1, 2)]
        out += [Proc("DataLogger", "DataLogger1", "localhost"), Proc("Dispatcher", "Dispatcher1", "localhost")]
        if "routing_manager" in config:
            out.append(Proc("RoutingManager", "RoutingManager1", "localhost"))
        return out

    def known_list(self):
        lines = ["# Name Host [Port [Subsystem]]"]
        lines += ["component%02d localhost -1 1" % k for k in range(1, 20)]
        lines += [
            "component1000 localhost -1 1",
            "component_throws_exception localhost\t",
            "component_hangs localhost \t\t",
            "component_subsystem_2 localhost -1 2",
        ]
        return "\n".join(lines) + "\n"

    def settings(self):
        return (
            "\n# An example of a settings file for an artdaq-demo installation.\n# More in the DAQInterface manual.\n\n"
            "log_directory: %s\ndata_directory_override: /tmp\nrecord_directory: $HOME/run_records\n"
            "package_hashes_to_save: [ %s ]\nspack_root_for_bash_scripts: $HOME/artdaq-demo-base/spack\n\n"
            "boardreader timeout: 60\neventbuilder timeout: 30\ndatalogger timeout: 30\ndispatcher timeout: 30\n"
            "routing_manager timeout: 30\n\nadvanced_memory_usage: true\n\n#disable_unique_rootfile_labels: true\n"
            % (self.log_dir, ", ".join(self.packages))
        )

    def boot_head(self):
        return (
            "\nDAQ setup script: %s/setupARTDAQDEMO\n\n"
            "# debug level can range from 0 to 4 (increasing order of verbosity)\ndebug level: 1\n\n" % self.base
        )

    def setup_script(self):
        return "%s/setupARTDAQDEMO" % self.base

    def boot(self, procs):
        s = [self.boot_head()]
        for p in procs:
            if p.kind == "BoardReader":
                continue
            s.append("%s host: %s\n%s label: %s\n" % (p.kind, p.host, p.kind, p.label))
            if p.kind == "Dispatcher" and self.name in ("sbnd", "icarus"):
                s.append("Dispatcher port: 6021\n")
            if p.subsystem != "1":
                s.append("%s subsystem: %s\n" % (p.kind, p.subsystem))
            s.append("\n")
        return "".join(s)

    def setup(self):
        return SETUP_TEMPLATE.replace("@BASE@", self.base).replace("@USER@", self.user)

    def environment(self, partition):
        d = self.base
        return {
            "DAQINTERFACE_FHICL_DIRECTORY": "IGNORED"
            if self.name != "demo"
            else d + "/DAQInterface/simple_test_config",
            "DAQINTERFACE_KNOWN_BOARDREADERS_LIST": d + "/DAQInterface/known_boardreaders_list",
            "DAQINTERFACE_LOGDIR": self.log_dir,
            "DAQINTERFACE_LOGFILE": "%s/DAQInterface_partition%d.log" % (self.log_dir, partition),
            "DAQINTERFACE_MESSAGEFACILITY_FHICL": d + "/DAQInterface/MessageFacility.fcl",
            "DAQINTERFACE_PARTITION_NUMBER": str(partition),
            "DAQINTERFACE_PORT": str(10000 + 1000 * partition),
            "DAQINTERFACE_PROCESS_MANAGEMENT_METHOD": "external_run_control" if self.external_rc else "direct",
            "DAQINTERFACE_SETTINGS": d + "/DAQInterface/user_settings",
            "DAQINTERFACE_SETUP_FHICLCPP": d + "/DAQInterface/.setup_fhiclcpp",
            "DAQINTERFACE_STANDARD_SOURCEFILE_SOURCED": "true",
            "DAQINTERFACE_TTY": "pts/%d" % (3 + partition),
            "DAQINTERFACE_USER_SOURCEFILE": d + "/DAQInterface/user_sourcefile",
            "DAQINTERFACE_USER_SOURCEFILE_ERRNO": "0",
        }

    def config_name(self, rng):
        return rng.choice(self.configs)


class Sbnd(Profile):
    name, version, date_style = "sbnd", "v3_13_00", "al9"
    user, host, base, log_dir = (
        "sbnd",
        "sbnd-daq01-daq.fnal.gov",
        "/home/nfs/sbnd/DAQ_ProdAreas/DAQ_2025-03-11_v1_10_06",
        "/daq/log",
    )
    copy_s, start_s, stop_s, run_s = 1.5, 35.0, 20.0, 5400.0
    net, graphite, ns, helper = "10.226.36.0", "10.226.36.45", "sbnd", "SBND"
    streams = [
        "BNBLight",
        "BNBMinBias",
        "BNBPostLight",
        "BNBZeroBias",
        "CrossingMuon",
        "OffBeamLight",
        "OffBeamPostLight",
        "OffBeamZeroBias",
    ]
    configs = [
        "run2-beam-noSN-",
        "run2-beam-SN-",
        "run2-nobeam-noSN-",
        "nsCrossingMuon-noSN-",
        "ewCrossingMuon-noSN-",
        "BNBZeroBias-noSN-",
        "wibsOnly",
        "pmtLEDCalib-noSN-",
    ]
    git_packages = False
    packages = [
        "artdaq",
        "artdaq_core",
        "artdaq_mfextensions",
        "artdaq_utilities",
        "wibtools",
        "sbndaq_artdaq_core",
        "sbndaq_artdaq",
        "sbndaq",
    ]
    pkg_versions = {
        "artdaq": "v3_12_07",
        "artdaq_core": "v3_09_13",
        "artdaq_mfextensions": "v1_09_00",
        "artdaq_utilities": "v1_08_06",
        "wibtools": "v1_09_00",
        "sbndaq_artdaq_core": "v1_10_06",
        "sbndaq_artdaq": "v1_10_06",
        "sbndaq": "v1_10_06",
        "artdaq_daqinterface": "v3_13_00",
    }
    CRT = [
        ("crtFlatEastPULL", 7),
        ("crtFlatSouthWestPULL", 7),
        ("crtFlatNorthPULL", 8),
        ("crtNorthWallEastPULL", 10),
        ("crtNorthWallWestPULL", 10),
        ("crtEastWallSouthBottomPULL", 10),
        ("crtEastWallNorthTopPULL", 10),
        ("crtWestWallSouthBottomPULL", 10),
        ("crtWestWallNorthTopPULL", 10),
        ("crtSouthWallWestPULL", 9),
        ("crtSouthWallEastPULL", 9),
        ("crtTopLowWallEastPULL", 6),
        ("crtTopLowWallCentralPULL", 6),
        ("crtTopLowWallWestPULL", 6),
        ("crtTopLowWallNorthPULL", 6),
        ("crtTopLowWallSouthPULL", 6),
        ("crtTopHighWallEastPULL", 6),
        ("crtTopHighWallCentralPULL", 6),
        ("crtTopHighWallWestPULL", 6),
        ("crtTopHighWallNorthPULL", 6),
        ("crtTopHighWallSouthPULL", 6),
        ("crtMINOSPULL", 2),
    ]

    def config_name(self, rng):
        return "%s%05d" % (rng.choice(self.configs[:6] * 4 + self.configs[6:]), rng.randrange(1, 40))

    def all_readers(self):
        out = [br("tpc%02d" % k, "sbnd-tpc%02d-daq" % k, "tpc") for k in (1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 19)]
        out += [br("wib%d%02d" % (a, b), "sbnd-wib01-daq", "wib") for a in range(1, 5) for b in range(1, 7)]
        out += [br("pmt%02d" % k, "sbnd-pds%02d-daq" % (1 + k % 3), "pmt") for k in range(1, 9)]
        out += [br("pmt09PUSH", "sbnd-pds03-daq", "pmt")]
        out += [br("xarapuca%02d%s" % (k, "PUSH" if k == 1 else ""), "sbnd-pds04-daq", "pmt") for k in range(1, 5)]
        out += [br(n, "sbnd-crt%02d-daq" % (1 + i % 3), "crt", febs=f) for i, (n, f) in enumerate(self.CRT)]
        out += [
            br("ptb01PULL", "sbnd-ptb01-daq", "trigger"),
            br("spectdc", "sbnd-clk01-daq", "small"),
            br("ntb01", "sbnd-tpc18-daq", "small"),
        ]
        return out

    def readers(self, config, rng):
        r = self.all_readers()
        if config.startswith("wibsOnly"):
            return [p for p in r if p.family == "wib"]
        if config.startswith("pmtLED"):
            return [p for p in r if p.family in ("pmt", "trigger", "small")]
        gone = rng.choice([[], [], [], ["tpc07", "wib403"], ["crtMINOSPULL"]])
        return [p for p in r if p.label not in gone]

    def others(self, config, rng):
        out = [Proc("EventBuilder", "EventBuilder%d" % k, "sbnd-evb%02d-daq" % k) for k in range(2, 8)]
        out += [Proc("EventBuilder", "EventBuilder%d_p2" % k, "sbnd-evb%02d-daq" % k) for k in (2, 3, 5, 6, 7)]
        return out + [Proc("Dispatcher", "Dispatcher1", "sbnd-evb04-daq")]

    def known_list(self):
        lines = ["#ntb01 sbnd-tpc12-daq -1 1", "#ntb01 sbnd-tpc16-daq -1 1"]
        for p in self.all_readers():
            tail = CRT_CMD if p.family == "crt" else " 0-15" if p.family == "pmt" else ""
            if p.label in ("pmt09PUSH", "crtEastWallNorthTopPULL"):
                tail += " " * 3
            lines.append("%s %s -1 1%s" % (p.label, p.host, tail))
        lines.insert(8, "#tpc07 sbnd-tpc07-daq -1 1")
        lines += [
            "tpc01FakeData sbnd-tpc01-daq -1 1    ",
            "pmtx01 sbnd-pds03-daq -1 1 0-15 ",
            "pmtx01 sbnd-pds03-daq -1 1 0-15",
            "dummygenerator sbnd-evb01-daq -1 1",
            "",
        ]
        return "\n".join(lines) + "\n"

    def settings(self):
        return (
            "record_directory: /daq/run_records\nlog_directory: /daq/log\n"
            "productsdir_for_bash_scripts: /daq/software/products\npackage_hashes_to_save: [ %s ]\n\n"
            "# seconds\nboardreader timeout: 600\neventbuilder timeout: 45\ndispatcher timeout: 25\naggregator timeout: 20\n"
            "max_launch_checks: 10\nlaunch_procs_wait_time: 60\n\n\n"
            "boardreader_priorities_on_config: crt* wib* tpc* ntb01 ptb01* pmt* xarapuca* spectdc .*\n"
            "boardreader_priorities_on_start: crt* wib* tpc* ntb01 ptb01* pmt* xarapuca* spectdc .* \n"
            "boardreader_priorities_on_stop: spectdc xarapuca* pmt* ptb01* ntb01 tpc* wib* crt* .*\n\n"
            "max_configurations_to_list: 20\nuse_messageviewer: true\nadvanced_memory_usage: true\n"
            "all_events_to_all_dispatchers: false #true\ndisable_unique_rootfile_labels: true\n"
            "#transfer_plugin_to_use: Shmem\ntransfer_plugin_to_use: TCPSocket\n" % ", ".join(self.packages)
        )

    def boot_head(self):
        return (
            "DAQ setup script: %s/DAQInterface/setup_sbn_artdaq.sh\n\nPMT host: sbnd-daq01-daq\n\n"
            "# debug level can range from 0 to 3 (increasing order of verbosity)\ndebug level: 4\n"
            "#manage processes: false\nSubsystem id: 1\n\n#EventBuilder host: sbnd-evb01-daq\n"
            "#EventBuilder label: EventBuilder1\n\n" % self.base
        )

    def setup_script(self):
        return "%s/DAQInterface/setup_sbn_artdaq.sh" % self.base


class Icarus(Sbnd):
    name, version, date_style = "icarus", "v3_13_00", "c"
    user, host, base = "icarus", "icarus-evb01-daq.fnal.gov", "/home/nfs/icarus/DAQ_DevAreas/DAQ_2024-10-10_BR_v1_10_02"
    copy_s, start_s, stop_s, run_s = 2.5, 50.0, 30.0, 9000.0
    net, graphite, ns, helper = "192.168.191.0", "192.168.191.18", "icarus", "Icarus"
    streams = [
        "BNBMajority",
        "BNBMinBias",
        "NUMIMajority",
        "NUMIMinBias",
        "OffBeamBNBMajority",
        "OffBeamBNBMinBias",
        "OffBeamNUMIMajority",
        "OffBeamNUMIMinBias",
    ]
    configs = [
        "Physics_General_thr390_Majority_5-9_OverlappingWindow_",
        "Majority_COMMON_MPAW_Thr356-",
        "MinBias_COMMON_SPAW_Thr400-CRT999-",
        "Calibration_MINBIAS_BNB_Thr390_",
        "testTPC-DAC-scan0x7C00-",
        "ZeroBias_testLargerPMTReadout",
        "PMTlaser",
    ]
    pkg_versions = dict(Sbnd.pkg_versions, sbndaq_artdaq_core="v1_10_02", sbndaq_artdaq="v1_10_02", sbndaq="v1_10_02")

    def all_readers(self):
        out = []
        n = 28
        for side in ("ww", "we", "ee", "ew"):
            names = ["01b", "01m", "01t"] + ["%02d" % k for k in range(2, 20)] + ["20b", "20m", "20t"]
            for i, x in enumerate(names):
                out.append(br("icarustpc%s%s" % (side, x), "icarus-tpc%02d-daq" % (1 + n % 28), "crate"))
                n -= i % 4 == 3
        for i, (side, tb, k) in enumerate(
            (s, t, k) for s in ("ww", "we", "ew", "ee") for t in ("top", "bot") for k in (1, 2, 3)
        ):
            out.append(br("icaruspmt%s%s%02d" % (side, tb, k), "icarus-pmt%02d-daq" % (1 + i // 8), "pmt"))
        for k, w in ((1, "nn"), (3, "wc"), (4, "ec"), (5, "wn"), (6, "es"), (7, "ws"), (8, "en"), (9, "ss")):
            for io in "io":
                out.append(br("icaruscrt%02d%s%s" % (k, w, io), "icarus-crt%02d-daq" % k, "crt", febs=4))
        out += [
            br("icaruscrttop%02dL%02d" % (1 + (k > 4), k), "icarus-crttop%02d-daq" % (1 + (k > 4)), "crt", febs=5)
            for k in range(1, 9)
        ]
        out += [
            br("icaruscrttop03et", "icarus-crttop03-daq", "crt", febs=3),
            br("icaruscrtbottom11", "icarus-crt11-daq", "small"),
            br("icarustrigger", "icarus-clk01-daq", "trigger"),
            br("wr", "icarus-daq02-daq", "small"),
        ]
        return out

    def readers(self, config, rng):
        r = self.all_readers()
        if config.startswith("testTPC"):
            return [p for p in r if p.family in ("crate", "trigger")]
        if config.startswith("PMTlaser"):
            return [p for p in r if p.family in ("pmt", "trigger", "small")]
        gone = set(rng.sample([p.label for p in r], rng.choice([0, 0, 1, 2])))
        return [p for p in r if p.label not in gone]

    def others(self, config, rng):
        out = [
            Proc("EventBuilder", "EventBuilder%d" % k, "icarus-evb%02d-daq" % (1 + (k - 1) % 5)) for k in range(1, 28)
        ]
        return out + [Proc("Dispatcher", "Dispatcher1", "icarus-evb06-daq")]

    def known_list(self):
        lines = ["icarustpc%02d icarus-vst01-daq -1 1" % k for k in range(1, 10)]
        for p in self.all_readers():
            tail = CRT_CMD if p.family == "crt" or p.label == "wr" else ""
            lines.append("%s %s -1 1%s" % (p.label, p.host, tail))
        lines += [
            "dummygenerator icarus-evb01-daq -1 1",
            "icarustriggertest icarus-clk01-daq -1 1",
            "icaruscrtbottom11 icarus-crt11-daq -1 1",
        ]
        return "\n".join(lines) + "\n"

    def settings(self):
        s = Sbnd.settings(self).replace("boardreader timeout: 600", "boardreader timeout: 180")
        s = re.sub(r"boardreader_priorities_on.*\n", "", s).replace("false #true", "true")
        return (
            "\n# Settings of the far detector. Change them with care; DAQInterface reads them at each boot.\n\n"
            + s
            + "\n#boardreader_priorities: .*\nboardreader_priorities: icaruscrt*.* icarustpc*.* icaruspmt*.* wr.* "
            "icarustrigger.* .* \n"
        )

    def boot_head(self):
        return (
            "DAQ setup script: %s/DAQInterface/setup_sbn_artdaq.sh\nPMT host: localhost\n\n"
            "# debug level can range from 0 to 3 (increasing order of verbosity)\ndebug level: 4\n"
            "#manage processes: false\nSubsystem id: 1\n\n# EVENT BUILDERS\n\n" % self.base
        )


class Dune(Profile):
    name, version, date_style = "dune", "v3_05_00", "c"
    user, host, base, log_dir = (
        "np04daq",
        "np04-srv-010.cern.ch",
        "/nfs/sw/work_dirs/dune-artdaq_artdaq_v3_04_01",
        "/log",
    )
    copy_s, start_s, stop_s, run_s = 4.0, 20.0, 15.0, 1800.0
    net, graphite, ns, helper = "10.73.138.0", "np04-srv-010", "np04", "Dune"
    external_rc = True
    configs = ["np04_WibsReal_Ssps", "np04_coldbox", "np04_noise_dac", "np04_physics"]
    packages = ["artdaq", "dune-artdaq", "dune-raw-data"]

    def config_name(self, rng):
        name = "%s%05d" % (rng.choice(self.configs), rng.randrange(1, 99))
        return name if rng.random() < 0.7 else name + " common_code"

    def all_readers(self):
        out = [
            br("cob%d_rce%02d" % (c, r), "np04-srv-%03d" % (9 + c), "rce")
            for c in range(2, 9)
            for r in range(1, 9)
            if not (c == 7 and r > 2)
        ]
        out += [br("ssp%d%02d" % (a, b), "np04-srv-013", "ssp") for a in range(1, 6) for b in range(1, 5)]
        out += [br("timing_1", "np04-srv-012", "dune")]
        out += [br("wib%d%02d" % (a, b), "np04-srv-012", "wib") for a in range(1, 6) for b in range(1, 6)]
        return out

    def readers(self, config, rng):
        return self.all_readers()

    def others(self, config, rng):
        out = [
            Proc("EventBuilder", "EventBuilder%d" % k, "np04-srv-%03d" % (1 + i // 2))
            for i, k in enumerate((3, 4, 7, 8, 11, 12, 15, 16))
        ]
        return out + [Proc("RoutingMaster", "RoutingMaster_1", "np04-srv-001")]

    def known_list(self):
        lines = ["component%02d np04-srv-%03d %d" % (k, 10 + k, 5304 + k) for k in range(1, 11)]
        lines += ["%s %s %d" % (p.label, p.host, 10000 + i) for i, p in enumerate(self.all_readers())]
        return "\n".join(lines) + "\n"

    def settings(self):
        return (
            "log_directory: /log\nrecord_directory: /nfs/sw/artdaq/run_records\n"
            "package_hashes_to_save: [ artdaq, dune-artdaq, dune-raw-data ]\n"
            "productsdir_for_bash_scripts: /nfs/sw/artdaq/products\nmax_fragment_size_bytes: 0x10000000\n"
            "boardreader timeout: 120\neventbuilder timeout: 60\naggregator timeout: 30\n"
            "disable_unique_rootfile_labels: true\n"
        )

    def boot_head(self):
        return (
            "DAQ setup script: %s/setupDUNEARTDAQ\n\nPMT host: localhost\nPMT port: 6400\n\ndebug level: 2\n"
            'partition_number: 1\ntcp_base_port: 9100\nrequest_port: 3001\nrequest_address: "227.128.12.26"\n'
            'table_update_address: "227.129.2.128"\nrouting_base_port: 11010\n'
            "zmq_fragment_connection_out: 17438\nmanage processes: false\n\n" % self.base
        )

    def setup_script(self):
        return "%s/setupDUNEARTDAQ" % self.base


PROFILES = {p.name: p for p in (Profile, Sbnd, Icarus, Dune)}

SETUP_TEMPLATE = r"""#!/usr/bin/env bash
# To be sourced, not run: prepares this shell for the DAQ of @USER@.
#   . setup.sh [debug]

daq_release="v1_10_02"; daq_flavour="e26:prof:s131"
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)

# one language for all hosts, or `date` prints what it likes
export LANG='en_US.UTF-8' LC_ALL='en_US.UTF-8'

for area in "@BASE@/products" /daq/software/products; do
	if [[ -r $area/setup ]]; then
		source "$area/setup"
		products_found="${products_found:+$products_found:}$area"
	fi
done
if [[ -z $products_found ]]; then
	echo "no product area is readable on \"$(hostname -s)\"" >&2
	return 1
fi
#source /daq/software/products_dev/setup

setup daqsoftware "$daq_release" -q "$daq_flavour" || return 2
setup artdaq_mfextensions v1_09_00 -q "$daq_flavour"
printf '\033]2;DAQ %s on %s\007' "$daq_release" "$(hostname)"

: "${DAQINTERFACE_PARTITION_NUMBER:=1}"
export DAQINTERFACE_PARTITION_NUMBER
export TRACE_FILE=/tmp/trace_@USER@_p${DAQINTERFACE_PARTITION_NUMBER}
export FHICL_FILE_PATH=$here/fcl:$FHICL_FILE_PATH
ups active | sed -nE 's/^((sbn|wib|caen)[a-z_]*)[[:space:]]+(v[0-9_]+).*/\1 \3/p'

[[ $1 == debug ]] && { tonSg 0-63; set -o pipefail; } || toffSg 9-63
case $(hostname -s) in
	*crt11) pgrep -x boardreader >/dev/null || echo 'no board reader here; 100% idle' ;;
	*) : ;;
esac
"""


# --------------------------------------------------------------------------
# one record: names and bytes


class Record:
    """files: name -> bytes, in the order save_run_record() makes them."""

    def __init__(self):
        self.files, self.crash, self.quirks, self.after = {}, None, [], []
        self.modes, self.links, self.subdirs = {}, {}, {}


class Maker:
    def __init__(self, args):
        self.a = args
        self.profile = PROFILES[args.profile]()
        self._cache = {}

    # -- process table -----------------------------------------------------

    def procs(self, config, partition, rng):
        pr = self.profile
        allp = pr.readers(config, rng) + pr.others(config, rng)
        for rank, p in enumerate(allp):
            p.rank = rank
            p.port = 10100 + 1000 * partition + rank
        return allp

    def cfg(self, procs, partition):
        pr = self.profile
        old_links = self.profile.name == "dune"
        readers = [p for p in procs if p.kind == "BoardReader"]
        builders = [p for p in procs if p.kind == "EventBuilder"]
        loggers = [p for p in procs if p.kind == "DataLogger"]
        disp = [p for p in procs if p.kind == "Dispatcher"]
        hosts = [p for p in procs if not p.kind.startswith("Routing")]
        real = lambda p: pr.host if p.host == "localhost" else p.host
        hms = "host_map: [%s]" % ", ".join('{rank: %d host: "%s"}' % (p.rank, real(p)) for p in hosts)

        def peers(p, which):
            if p.kind == "BoardReader":
                return builders if which == "destinations" else []
            if p.kind == "EventBuilder":
                return readers if which == "sources" else (loggers or disp)
            if p.kind == "DataLogger":
                return builders if which == "sources" else disp
            return loggers or builders

        def links(p, which):
            ps = peers(p, which)
            pre = which[0]
            if old_links:  # 2018: all of it went through fhicl-dump once more; host_map in every destination
                hm = [{"host": real(h), "portOffset": 9100 + 106 * h.rank, "rank": h.rank} for h in hosts]
                table = {}
                for i, q in enumerate(ps):
                    table["%s%d" % (pre, q.rank)] = e = {
                        which[:-1] + "_rank": q.rank,
                        "max_fragment_size_words": 50000000,
                        "transferPluginType": "Autodetect",
                    }
                    if which == "destinations" or i == 0:
                        e["host_map"] = hm
                return table
            nodes = []
            for i, q in enumerate(ps):
                nodes.append(
                    "%s%d: { transferPluginType: TCPSocket %s_rank: %d max_fragment_size_words: %d %s }"
                    % (
                        pre,
                        q.rank,
                        which[:-1],
                        q.rank,
                        1250000 if which == "destinations" else 125000,
                        hms if i == 0 else "",
                    )
                )
            return Raw(which + ": { \n" + "\n".join(nodes) + "\n } ")

        return {
            "profile": pr.name,
            "partition": partition,
            "net": pr.net,
            "graphite": pr.graphite,
            "ns": pr.ns,
            "helper": pr.helper,
            "streams": pr.streams,
            "links": links,
            "nreaders": len(readers),
            "index": {p.label: i for i, p in enumerate(readers)},
            "ranks": lambda kind: [p.rank for p in procs if p.kind == kind],
            "n": lambda k: max(1, int(k * self.a.fcl_scale)),
        }

    def fcl_files(self, config, partition, procs, version):
        """label -> (text with @INPUT@ in place of the dump's input name)."""
        mode = self.a.fcl
        if mode == "auto":
            mode = "dumped" if vkey(version) >= (3, 0, 5) else "raw"
        key = (config, partition, mode, tuple(p.label for p in procs))
        if key in self._cache:
            return self._cache[key]
        if len(self._cache) > 24:
            self._cache.clear()
        cfg = self.cfg(procs, partition)
        out = {}
        for p in procs:
            rng = rng_for(self.a.seed, "fcl", config, p.label)
            doc = fcl_of(p, cfg, rng)
            raw = mode == "raw" or (mode == "mixed" and rng_for(self.a.seed, "raw", p.label).random() < 1 / 6)
            out[p.label] = fhicl_raw(doc, p.label, rng) if raw else fhicl_dump(doc, "@INPUT@")
        self._cache[key] = out
        return out

    # -- metadata.txt --------------------------------------------------------

    def buildinfo(self, rng, known):
        if known:
            return '"%02d-%s-%d %02d:%02d:%02d UTC" "%s"' % (
                rng.randrange(1, 28),
                rng.choice(["Jan", "Mar", "Jun", "Oct"]),
                rng.randrange(2021, 2025),
                rng.randrange(24),
                rng.randrange(60),
                rng.randrange(60),
                "v1_10_%02d" % rng.randrange(10),
            )
        return '"time from BuildInfo undetermined" "version from BuildInfo undetermined"'

    def commit_line(self, pkg, rng, version):
        comment = rng.choice(
            [
                "Merge pull request #155 from art-daq/feature/Metad...",
                "Update version",
                "JCF: Issue #23364: final cleanup of output",
                "Use ssh -o BatchMode=yes, which will exit with err...",
                "Fix: don't drop the last fragment (closes 42)",
            ]
        )
        comment = re.sub("[\n\"']", "", comment)
        if vkey(version) < (3, 6, 0):
            return '%s commit/version: %s %d %d "%s"' % (
                pkg,
                hexstr(rng, 40),
                rng.choice([0, 0, 3]),
                rng.choice([0, 0, 12]),
                comment,
            )
        return '%s commit/version: %s %d %d "%s" "%s" "%s"' % (
            pkg,
            hexstr(rng, 40),
            rng.choice([0, 0, 3]),
            rng.choice([0, 0, 12]),
            comment,
            "Tue Oct 15 %02d:11:12 2024 -0500" % rng.randrange(24),
            rng.choice(["develop", "feature/x", "(HEAD", "for_sbn"]),
        )

    def logfiles(self, procs, t, rng):
        pr = self.profile
        stamp = datetime.fromtimestamp(t, timezone.utc).strftime("%Y%m%d%H%M%S")
        by = {}
        for p in sorted(procs, key=lambda p: (p.host, p.rank)):
            full = pr.host if p.host == "localhost" else p.host
            short = full.split(".")[0].removesuffix("-daq")
            name = "%s-%s-%d" % (p.label, short, p.port)
            by.setdefault(p.kind, []).append(
                "%s:%s/%s/%s-%s-%d.log" % (full, pr.log_dir, name, name, stamp, rng.randrange(2000, 400000))
            )
        return by, stamp

    def metadata(self, version, config, procs, partition, t, rng):
        pr, v = self.profile, vkey(version)
        readers = sorted(p.label for p in procs if p.kind == "BoardReader")
        o = ["Config name: %s\n" % config]
        o += ["Component #%d: %s\n" % x for x in enumerate(readers)]
        cwd = pr.base + "/DAQInterface"
        if v >= (3, 7, 0):
            o.append("DAQInterface directory: %s:%s\n" % (pr.host, cwd))
            o.append("DAQInterface logfile: %s:%s/DAQInterface_partition%d.log\n" % (pr.host, pr.log_dir, partition))
        elif v >= (1, 0, 4):
            o.append("DAQInterface directory: %s\n" % cwd)
        if v >= (3, 6, 0):
            o.append(
                "\n# Two possible sets of fields provided below for code info, depending on if a git repo was available: "
                "\n# <git commit hash> <LoCs added on top of commit> <LoCs removed on top of commit> <git commit comment> "
                "<git commit time> <git branch> <BuildInfo build time (if available)> <BuildInfo version (if available)>"
                "\n# <package version> <BuildInfo build time (if available)> <BuildInfo version (if available)>\n\n"
            )
            pkgs = ["DAQInterface"] + sorted(pr.packages)
            for k, pkg in enumerate(pkgs):
                if pr.git_packages:
                    o.append(self.commit_line(pkg, rng, version))
                else:
                    o.append("%s commit/version: %s" % (pkg, pr.pkg_versions["artdaq_daqinterface" if k == 0 else pkg]))
                o.append(" %s\n\n" % self.buildinfo(rng, pr.git_packages and rng.random() < 0.5))
        elif v >= (3, 3, 0):
            if v >= (3, 5, 0):
                o.append(self.commit_line("DAQInterface", rng, version) + "\n")
            else:
                o.append("DAQInterface commit: %s\n" % version)
            for pkg in sorted(pr.packages):
                o.append(self.commit_line(pkg, rng, version) + "\n")
        else:
            o.append("DAQInterface commit: %s\n" % hexstr(rng, 40))
            for pkg in sorted(pr.packages):
                o.append("%s commit: %s\n" % (pkg, hexstr(rng, 40)))
        by, stamp = self.logfiles(procs, t, rng)
        managed = not pr.external_rc
        if v >= (3, 3, 2):
            o.append("\nprocess management method: %s\n" % ("direct" if managed else "external_run_control"))
            if managed:
                hosts = sorted({pr.host if p.host == "localhost" else p.host for p in procs})
                pm = [
                    "%s/pmt/launch_attempt_%s_%s_partition%d_%s" % (pr.log_dir, h, pr.user, partition, stamp)
                    for h in hosts
                ]
                last = ("routingmanager", "RoutingManager") if v >= (3, 9, 0) else ("routingmaster", "RoutingMaster")
                secs = [("process manager", pm)] + [
                    (n, by.get(k, []))
                    for n, k in (
                        ("boardreader", "BoardReader"),
                        ("eventbuilder", "EventBuilder"),
                        ("datalogger", "DataLogger"),
                        ("dispatcher", "Dispatcher"),
                        last,
                    )
                ]
                for name, files in secs:
                    o.append("\n\n%s logfiles: " % name)
                    o += ["\n" + f for f in files]
        else:
            o.append("\n")
            if managed:
                o.append("\npmt logfile(s): %s:%s/pmt/pmt-*.%s" % (pr.host, pr.log_dir, stamp))
                secs = [("boardreader", by.get("BoardReader", [])), ("eventbuilder", by.get("EventBuilder", []))]
                if v >= (3, 3, 0):
                    secs.append(("routingmaster", by.get("RoutingMaster", [])))
                secs.append(("aggregator", by.get("DataLogger", []) + by.get("Dispatcher", [])))
                for name, files in secs:
                    o.append("\n\n%s logfiles: " % name)
                    o += ["\n" + f for f in files]
        o.append("\n")
        return "".join(o)

    def ranks(self, version, procs):
        pr = self.profile
        rows = [(pr.host if p.host == "localhost" else p.host, p.port, p.label, p.subsystem, p.rank) for p in procs]
        if vkey(version) < (3, 6, 2):
            return "        host   port         label  rank\n\n" + "".join(
                "%s\t%s\t%s\t%d\n" % (h, po, l, r) for h, po, l, s, r in rows
            )
        out = "%-30s%-10s%-20s%-15s%-10s\n\n" % ("host", "port", "label", "subsystem", "rank")
        return out + "".join("%-29s %-9s %-19s %-14s %-9d\n" % row for row in rows)

    # -- the whole -----------------------------------------------------------

    def record(self, run, partition, version, t):
        """Everything that save_run_record() would leave in the temporary directory at config time."""
        pr, v = self.profile, vkey(version)
        era = run // self.a.runs_per_config
        rng_cfg = rng_for(self.a.seed, "config", pr.name, era, partition)
        config = pr.config_name(rng_cfg)
        rng = rng_for(self.a.seed, "run", run)
        procs = self.procs(config, partition, rng_cfg)
        rec = Record()
        rec.config, rec.version, rec.procs, rec.partition = config, version, procs, partition
        docs = self.fcl_files(config, partition, procs, version)
        for p in procs:
            full = pr.host if p.host == "localhost" else p.host
            if v < (3, 2, 1):
                name = "%s_%s_%s.fcl" % (p.kind, full, p.port)
            else:
                name = p.label + ".fcl"
            # before 2019 fhicl-dump was run on a mktemp name, which its header comment keeps
            inp = (
                "./%s.fcl" % p.label
                if v >= (3, 3, 2)
                else "/tmp/%s/tmp.%s" % (pr.user, "".join(rng.choice("ABCDEFGHabcdefgh0123456789") for _ in range(10)))
            )
            rec.files[name] = docs[p.label].replace("@INPUT@", inp).encode()
        rec.files["boot.txt" if v >= (1, 0, 6) else "config.txt"] = pr.boot(procs).encode()
        if v >= (1, 0, 6):
            rec.files["setup.txt"] = pr.setup().encode()
        if v >= (3, 4, 1):
            rec.files["settings.txt"] = pr.settings().encode()
        if v >= (3, 3, 0):
            rec.files["known_boardreaders_list.txt"] = pr.known_list().encode()
        if v >= (3, 3, 0):
            rec.files["ranks.txt"] = self.ranks(version, procs).encode()
        if v >= (3, 7, 0):
            env = pr.environment(partition)
            rec.files["environment.txt"] = "".join("export %s=%s\n" % (k, env[k]) for k in sorted(env)).encode()
        rec.files["metadata.txt"] = self.metadata(version, config, procs, partition, t, rng).encode()
        return rec


# --------------------------------------------------------------------------
# quirks: one function each, changing a Record before it is written

QUIRKS = {}


def quirk(doc):
    def deco(fn):
        QUIRKS[fn.__name__.removeprefix("q_")] = (fn, doc)
        return fn

    return deco


def sub(rec, name, fn):
    if name in rec.files:
        rec.files[name] = fn(rec.files[name].decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")


def add_line(rec, name, line):
    sub(rec, name, lambda s: s + line)


def _simple(qname, doc, fname, fn):
    def q(rec, mk, rng):
        sub(rec, fname, fn)

    q.__name__ = "q_" + qname
    quirk(doc)(q)


def _missing(fname):
    def q(rec, mk, rng):
        rec.files.pop(fname, None)

    q.__name__ = "q_missing_" + fname.split(".")[0]
    quirk("%s is not in the record" % fname)(q)


def _empty(fname):
    def q(rec, mk, rng):
        rec.files[fname] = b""

    q.__name__ = "q_empty_" + fname.split(".")[0]
    quirk("%s is there with 0 bytes" % fname)(q)


TXT = [
    "metadata.txt",
    "boot.txt",
    "setup.txt",
    "settings.txt",
    "known_boardreaders_list.txt",
    "ranks.txt",
    "environment.txt",
]
for _f in TXT:
    _missing(_f)
    _empty(_f)

C1 = lambda old, new: lambda s: re.sub(old, lambda m: new, s, count=1)
M = "metadata.txt"
_simple(
    "commit_backslash",
    "backslash in a commit comment: \\d, \\t, C:\\x",
    M,
    lambda s: re.sub(
        r"(commit/version: \S+)", lambda m: m.group(1) + ' "fix \\d+ regex, C:\\temp and a tail\\"', s, count=1
    ),
)
_simple(
    "commit_unicode",
    "non-ASCII commit comment",
    M,
    lambda s: re.sub(
        r"(commit/version: \S+)",
        lambda m: m.group(1) + ' "na\u00efve fix by Jos\u00e9 \u2192 \u201cdone\u201d"',
        s,
        count=1,
    ),
)
_simple(
    "commit_quotes",
    "unbalanced double quote in a commit line",
    M,
    lambda s: re.sub(r"(commit/version: \S+)", lambda m: m.group(1) + ' "say "hi', s, count=1),
)
_simple(
    "commit_info_newline",
    "a *_commit_info.txt ended in a newline, so BuildInfo sits alone on a line with colons",
    M,
    lambda s: re.sub(
        r'(commit/version: [^\n]*?) "time from BuildInfo[^\n]*',
        lambda m: m.group(1) + '\n "15-Oct-2024 10:11:12 UTC" "v3_12_07"',
        s,
        count=1,
    ),
)
_simple("config_numeric", "configuration named 12345", M, C1(r"Config name: [^\n]*", "Config name: 12345"))
_simple("config_leading_zero", "configuration named 007", M, C1(r"Config name: [^\n]*", "Config name: 007"))
_simple("config_dotted", "configuration named 1.2.3", M, C1(r"Config name: [^\n]*", "Config name: 1.2.3"))
_simple("config_one_dot", "configuration named '.'", M, C1(r"Config name: [^\n]*", "Config name: ."))
_simple(
    "config_multi",
    "several subconfigurations, one with a slash",
    M,
    C1(r"Config name: [^\n]*", "Config name: np04/physics common_code crt_low-gain"),
)
_simple(
    "config_quotes",
    "configuration name with quotes",
    M,
    C1(r"Config name: [^\n]*", 'Config name: "low" and "high" gain'),
)
_simple(
    "config_backslash", "configuration name ending in a backslash", M, C1(r"Config name: [^\n]*", "Config name: test\\")
)
_simple(
    "config_list_like",
    "configuration name that looks like a FHiCL list",
    M,
    C1(r"Config name: [^\n]*", "Config name: [low high]"),
)
_simple(
    "config_unicode", "non-ASCII configuration name", M, C1(r"Config name: [^\n]*", "Config name: M\u00fcon\u2013run")
)
_simple("config_blank", "'Config name: ' with no value", M, C1(r"Config name: [^\n]*", "Config name: "))
_simple("config_absent", "no Config name line", M, C1(r"Config name: [^\n]*\n", ""))
_simple(
    "config_long", "a 70 000 character configuration name", M, C1(r"Config name: [^\n]*", "Config name: " + "x" * 70000)
)
_simple("no_components", "zero Component lines", M, lambda s: re.sub(r"Component #\d+: [^\n]*\n", "", s))
_simple(
    "components_split",
    "Component lines interrupted by another key",
    M,
    lambda s: re.sub(r"(Component #1: )", r"operator note: swapped\n\1", s, count=1),
)
_simple("meta_crlf", "CRLF line ends in metadata.txt", M, lambda s: s.replace("\n", "\r\n"))
_simple("meta_bom", "UTF-8 byte order mark at the start of metadata.txt", M, lambda s: "\ufeff" + s)
_simple(
    "meta_include_comment",
    "a comment line that FHiCL takes for an #include",
    M,
    lambda s: '#include "nosuch.fcl"\n' + s,
)
_simple(
    "meta_hash_banner",
    "a comment line of #####, the archive blob's separator",
    M,
    lambda s: s + "\n#####\nboot.fcl:\n#####\n# End of Record\n",
)
_simple(
    "meta_ls_error",
    "the process manager log list holds an error message of ls",
    M,
    lambda s: re.sub(
        r"(process manager logfiles: \n)[^\n]*",
        lambda m: m.group(1) + "ls: cannot access '/daq/log/pmt/launch_attempt_*': No such file or directory",
        s,
        count=1,
    ),
)
_simple(
    "meta_log_space",
    "a log file path with a blank in it",
    M,
    lambda s: re.sub(r"(\S+:/[^\n]*)/([^/\n]*\.log)", r"\1/my log/\2", s, count=1),
)
_simple(
    "meta_extra_keys",
    "keys no one expects: dots, dashes, parentheses, leading digits, repeated",
    M,
    lambda s: (
        s
        + "\nTotal events: 123456789\n\nTotal events: -999\n\n2nd-shift (night) note: x\n\nartdaq.core note: y\n\nc++ lib: z\n"
    ),
)
_simple(
    "meta_key_no_space",
    "'Key:value' with no blank, a tab after the colon, blanks before it",
    M,
    lambda s: s + "\nshifter:none\nleader :\tJ. Doe\n",
)
_simple(
    "meta_dup_times",
    "two start and two stop lines",
    M,
    lambda s: (
        s
        + "\nDAQInterface start time: Mon Oct 24 14:30:00 UTC 2022\n\nDAQInterface stop time: Mon Oct 24 14:31:00 UTC 2022\n"
    ),
)
_simple(
    "meta_linefeed_lookalikes",
    "U+2028, U+0085, \\x0b and \\x0c inside one value",
    M,
    lambda s: s + "\nnote: a\u2028b: c\x85d: e\x0bf: g\x0ch: i\n",
)
_simple(
    "meta_control", "control characters (ESC, BEL, NUL) in a value", M, lambda s: s + "\nnote: a\x1b[0mb\x07c\x00d\n"
)
_simple(
    "meta_cut_components",
    "metadata.txt cut in the middle of the component list",
    M,
    lambda s: s[: s.find("Component #1") + 9] if "Component #1" in s else s[:20],
)
_simple(
    "meta_cut_logfiles",
    "metadata.txt cut inside a log file section, no final newline",
    M,
    lambda s: s[: s.rfind(".log") - 12] if ".log" in s else s[: len(s) // 2],
)

B = "boot.txt"
_simple(
    "boot_quoted_host",
    'host: "localhost" in quotes',
    B,
    lambda s: re.sub(r"(EventBuilder host: )(\S+)", r'\1"\2"', s, count=1),
)
_simple(
    "boot_extra_tokens",
    "allowed_processors, prepend and target of a process",
    B,
    lambda s: re.sub(
        r"(EventBuilder label: [^\n]*\n)",
        r'\1EventBuilder allowed_processors: 0-15\nEventBuilder prepend: "numactl -N 1 --"\nEventBuilder target: EventBuilder\n',
        s,
    ),
)
_simple(
    "boot_overrides",
    "FHiCL overrides: dotted key, hex, list, quoted address",
    B,
    lambda s: (
        s
        + 'daq.fragment_receiver.link: 3\nmax_event_size_bytes: 0x1000000\nrequest_address: "227.128.12.26"\nSelectEvents: [ pmod2, pmod3 ]\n\n'
    ),
)
_simple(
    "boot_inline_comment", "a comment after a value", B, lambda s: re.sub(r"(debug level: \d+)", r"\1 # very chatty", s)
)
_simple(
    "boot_multi_source",
    "a subsystem with two sources and fragmentMode",
    B,
    lambda s: s + "\nSubsystem id: 3\nSubsystem source: 1\nSubsystem source: 2\nSubsystem fragmentMode: False\n\n",
)
_simple(
    "boot_dup_label",
    "two processes with one label (a boot file of the DAQInterface repository has it)",
    B,
    lambda s: (
        s + "\nEventBuilder host: mu2edaq13-data\nEventBuilder port: 5237\nEventBuilder label: EventBuilder3\n\n"
        "EventBuilder host: mu2edaq06\nEventBuilder port: 5238\nEventBuilder label: EventBuilder3\n"
    ),
)
_simple(
    "boot_no_label",
    "a process block without a label",
    B,
    lambda s: "Dispatcher host: localhost\nDispatcher port: 5266\n\n" + s,
)
_simple(
    "boot_old_kinds",
    "RoutingMaster and Aggregator processes",
    B,
    lambda s: (
        s
        + "\nRoutingMaster host: localhost\nRoutingMaster label: RoutingMaster1\n\nAggregator host: localhost\nAggregator port: 5300\n\n"
        "Aggregator host: localhost\nAggregator port: 5301\n"
    ),
)
_simple(
    "boot_odd_ports",
    "empty, named and commented ports",
    B,
    lambda s: (
        s
        + "\nDispatcher host: h\nDispatcher label: DispA\nDispatcher port:\n\nDispatcher host: h\nDispatcher label: DispB\nDispatcher port: auto\n\n"
        "Dispatcher host: h\nDispatcher label: DispC\nDispatcher port: 6021 # old\n"
    ),
)
_simple(
    "boot_odd_keys",
    "keys with dash, parentheses, leading digit, dots",
    B,
    lambda s: "daq-mode: fast\nPMT host (old): x\n2nd host: y\na.b.c: z\n" + s,
)
_simple("boot_backslash", "a value that ends in a backslash", B, lambda s: "DAQ note: continued \\\n  here\n" + s)
_simple(
    "boot_unicode", "non-ASCII value and comment", B, lambda s: "# caf\u00e9 \u2013 comment\nDAQ note: 5 \u00b5s\n" + s
)
_simple("boot_bom", "byte order mark", B, lambda s: "\ufeff" + s.lstrip("\n"))
_simple("boot_crlf", "CRLF line ends", B, lambda s: s.replace("\n", "\r\n"))
_simple(
    "boot_tabs",
    "tabs for blanks, separator lines that hold blanks and tabs",
    B,
    lambda s: re.sub(r"(?m)^$", " \t ", re.sub(r"(?m)^(\w+) (host|label): ", "\\1\t\\2\t:\t", s)),
)
_simple("boot_no_final_newline", "no newline at the end", B, lambda s: s.rstrip("\n"))
_simple(
    "boot_from_fcl",
    "a boot file made from a .fcl one by DAQInterface's own awk",
    B,
    lambda s: (
        '\nDAQ setup script: /x/setup.sh\n\n\nPMT host: localhost\n\n\ndebug level: 1\nxx: ["a","b"]\n\n\n\n\nEventBuilder label: EventBuilder1\n'
        "EventBuilder host: localhost\n\n\nEventBuilder label: EventBuilder2\nEventBuilder host: localhost\n\n"
    ),
)

S = "settings.txt"
_simple(
    "settings_comment_bool",
    "'false #true' (the SBND file has it)",
    S,
    lambda s: s + "all_events_to_all_dispatchers: false #true\n",
)
_simple(
    "settings_hex",
    "hexadecimal, negative, exponent, huge and odd numbers",
    S,
    lambda s: (
        s + "max_fragment_size_bytes: 0x100000\na: -1\nb: 1e6\nc: 1.\nd: 007\ne: 123456789012345678901234567890\nf: .\n"
    ),
)
_simple(
    "settings_list_strings",
    "list elements that need quotes: regex, path, host, blank, version",
    S,
    lambda s: s + 'critical: [ tpc.*, /a/b, sbnd-evb01-daq.fnal.gov, "two words", v1.2 ]\n',
)
_simple(
    "settings_list_numbers",
    "list elements that look like numbers or keywords",
    S,
    lambda s: s + 'x: [ "007", "1.2.3", "true", "nil", 0x1F ]\n',
)
_simple("settings_list_comma", "a comma inside a quoted element", S, lambda s: s + 'x: [ "a,b", c ]\n')
_simple(
    "settings_list_multiline", "a list over two lines", S, lambda s: s + "more_packages: [ artdaq,\n   artdaq_core ]\n"
)
_simple(
    "settings_list_dash",
    "dashes in list elements (artdaq-demo)",
    S,
    lambda s: s + "hashes: [ artdaq-demo, artdaq-core-demo ] # keep\n",
)
_simple(
    "settings_dup",
    "one key twice, spelled with a blank and with an underscore",
    S,
    lambda s: s + "boardreader timeout: 1\nboardreader_timeout: 2\n",
)
_simple(
    "settings_odd_keys",
    "keys with $, %, quotes, leading digit",
    S,
    lambda s: s + '$HOME: 1\nmax%rate: 2\n"quoted key": 3\n1st: 4\n',
)
_simple(
    "settings_quotes",
    "quotes inside a value, a lone quote, a tail backslash",
    S,
    lambda s: s + 'x: "a" b "c"\ny: "\nz: tail\\\n',
)
_simple("settings_formfeed", "a form feed in a comment hides a setting", S, lambda s: s + "# old\x0chidden: 1\n")
_simple("settings_crlf", "CRLF line ends", S, lambda s: s.replace("\n", "\r\n"))
_simple("settings_unicode", "non-ASCII value", S, lambda s: s + "operator: Zo\u00eb\n")

U = "setup.txt"
_simple(
    "setup_unicode",
    "curly quotes and accents in a comment",
    U,
    lambda s: s.replace("# To be sourced", "# \u201cTo be sourced\u201d \u2013 caf\u00e9 \U0001f600"),
)
_simple("setup_latin1", "a byte that is not UTF-8", U, lambda s: s + "# caf\udce9 (Latin-1)\n")
_simple("setup_crlf", "CRLF and lone CR", U, lambda s: s.replace("\n", "\r\n") + "echo a\recho b\r\n")
_simple("setup_control", "raw ESC, BEL, form feed and NUL", U, lambda s: s + 'PS1="\x1b[0m"; echo "\x07\x0c\x00"\n')
_simple("setup_long", "a 300 kB script with a 120 kB line", U, lambda s: s + "# " + "x" * 120000 + "\n" + s * 80)
_simple("setup_tail_backslash", "ends in a backslash with no newline", U, lambda s: s.rstrip("\n") + " \\")

E = "environment.txt"
_simple(
    "env_backslash",
    "backslashes, also at the end of the value",
    E,
    lambda s: s + "export DAQINTERFACE_NOTE=C:\\temp\\\nexport DAQINTERFACE_RE=\\d+\n",
)
_simple(
    "env_quotes",
    "quotes at the ends and in the middle",
    E,
    lambda s: s + 'export DAQINTERFACE_A=say "hi"\nexport DAQINTERFACE_B="a" "b"\nexport DAQINTERFACE_C=\'x\'\n',
)
_simple(
    "env_multiline",
    "a value over three lines",
    E,
    lambda s: s + "export DAQINTERFACE_FUNC=() { echo one\n echo two: three\n}\n",
)
_simple(
    "env_empty_value",
    "an empty value, a value with =, a value with blanks at the ends",
    E,
    lambda s: s + "export DAQINTERFACE_EMPTY=\nexport DAQINTERFACE_EQ=a=b=c\nexport DAQINTERFACE_WS=  x  \n",
)
_simple(
    "env_long",
    "a 100 000 character value",
    E,
    lambda s: s + "export DAQINTERFACE_LONG=" + ":".join("/path/%05d/lib" % i for i in range(6667)) + "\n",
)
_simple(
    "env_unicode",
    "non-ASCII value and an ESC sequence",
    E,
    lambda s: s + "export DAQINTERFACE_U=caf\u00e9\nexport DAQINTERFACE_ESC=\x1b[31mred\n",
)
_simple(
    "env_odd_names",
    "names that are no identifiers",
    E,
    lambda s: s + "export DAQINTERFACE_F%%=x\nexport DAQINTERFACE-DASH=y\n",
)

R = "ranks.txt"
_simple(
    "ranks_four_columns",
    "the layout before v3_06_02: tabs, no subsystem",
    R,
    lambda s: (
        "        host   port         label  rank\n\n"
        + "".join(
            "\t".join((f[0], f[1], f[2], f[4])) + "\n" for f in (l.split() for l in s.splitlines()[2:]) if len(f) == 5
        )
    ),
)
_simple(
    "ranks_negative",
    "a rank of -1",
    R,
    lambda s: s + "%-29s %-9s %-19s %-14s %-9d\n" % ("h1", "5200", "lost01", "1", -1),
)
_simple(
    "ranks_repeated",
    "one rank twice",
    R,
    lambda s: s + "%-29s %-9s %-19s %-14s %-9d\n" % ("h1", "5200", "twin01", "1", 0),
)
_simple(
    "ranks_long_label",
    "a label and a host wider than their columns",
    R,
    lambda s: (
        s
        + "%-29s %-9s %-19s %-14s %-9d\n"
        % (
            "a-very-long-host-name-indeed.subdomain.fnal.gov",
            "5200",
            "crtEastWallSouthBottomPULL_spare",
            "subsystem_two",
            999,
        )
    ),
)
_simple("ranks_cut", "cut in the middle of a row", R, lambda s: s.rstrip("\n")[:-14])
_simple(
    "ranks_quotes",
    "a quoted label",
    R,
    lambda s: s + "%-29s %-9s %-19s %-14s %-9d\n" % ("h1", "5200", '"quoted"', "1", 998),
)

K = "known_boardreaders_list.txt"
_simple(
    "kbl_duplicate",
    "one board reader twice with different hosts (the SBND file has pmtx01 twice)",
    K,
    lambda s: s + "pmtx01 sbnd-pds03-daq -1 1 0-15 \npmtx01 sbnd-pds02-daq -1 1 0-15\n",
)
_simple(
    "kbl_dash",
    "names with dash, dot, leading digit",
    K,
    lambda s: s + "crt-01 h1 -1 1\ncrt.02 h1 -1 1\n03crt h1 -1 1\n",
)
_simple(
    "kbl_unterminated", "an opening quote without an end", K, lambda s: s + 'crt99 h1 -1 1 0-15 "/usr/bin/env LD=1\n'
)
_simple(
    "kbl_mid_quote",
    "a quote in the middle of a word, an escaped one, an empty one",
    K,
    lambda s: s + 'crt97 h1 -1 1 LD="a b"\ncrt98 h1 -1 1 "say \\"hi\\" now"\ncrt96 h1 -1 1 ""\n',
)
_simple("kbl_single_token", "a name with no host", K, lambda s: s + "component77\n")
_simple("kbl_inline_comment", "a comment after the columns", K, lambda s: s + "tpc77 h1 -1 1 # spare\n")
_simple(
    "kbl_tabs",
    "tabs, trailing blanks, blank lines",
    K,
    lambda s: s + "tpc78\th1\t-1\t1\t\n\n   \ntpc79   h1   -1   1    \n",
)
_simple("kbl_unicode", "non-ASCII host", K, lambda s: s + "tpc80 h\u00f4te -1 1\n")
_simple("kbl_crlf", "CRLF line ends", K, lambda s: s.replace("\n", "\r\n"))


@quirk("old layout v1_00_00: config.txt, <kind>_<host>_<port>.fcl, 'Start time', 'Total events'")
def q_layout_v1_00_00(rec, mk, rng):
    rec.relayout = "v1_00_00"


@quirk("old layout v3_03_00: pmt logfile(s), routingmaster, aggregator sections, 4-column ranks")
def q_layout_v3_03_00(rec, mk, rng):
    rec.relayout = "v3_03_00"


@quirk("old layout v3_05_00: no environment.txt, files left writable")
def q_layout_v3_05_00(rec, mk, rng):
    rec.relayout = "v3_05_00"


@quirk("old layout v3_08_00: routingmaster section last")
def q_layout_v3_08_00(rec, mk, rng):
    rec.relayout = "v3_08_00"


@quirk("a routing manager whose log files close metadata.txt, and no time lines after them")
def q_routingmanager_at_eof(rec, mk, rng):
    sub(
        rec,
        M,
        lambda s: re.sub(
            r"(routingmanager logfiles: ).*\Z",
            lambda m: (
                m.group(1)
                + "\nhost01:/daq/log/RoutingManager1-host01-11299/RoutingManager1-host01-11299-20241010.log\n"
            ),
            s,
            flags=re.S,
        ),
    )
    rec.crash = "start"


@quirk("rc_info_start.txt (and rc_info_stop.txt) from an external run control")
def q_rc_info(rec, mk, rng):
    rec.rc_info = True


@quirk("a nested directory: 'cp -r' of a reused run number, before v3_06_01")
def q_nested_directory(rec, mk, rng):
    rec.subdirs["%d" % rec.partition] = {n: b for n, b in list(rec.files.items())[-3:]}


@quirk("stray files: editor backup, NFS silly-rename, core file, dot file")
def q_stray_files(rec, mk, rng):
    rec.files["boot.txt~"] = rec.files.get("boot.txt", b"")
    rec.files[".nfs00000000018d2c5600000a1b"] = b"deleted but open\n"
    rec.files["core.31337"] = bytes(range(256)) * 8
    rec.files[".metadata.txt.swp"] = b"b0VIM 8.2"
    rec.files["trace_start.txt"] = b"trace\n"


@quirk("a symbolic link among the files, and one that points nowhere")
def q_symlinks(rec, mk, rng):
    rec.links["boot_link.txt"] = "boot.txt"
    rec.links["broken.fcl"] = "/nonexistent/old.fcl"


@quirk("a file no one may read (mode 0000; root reads it all the same)")
def q_unreadable_file(rec, mk, rng):
    rec.modes["settings.txt"] = 0o000


@quirk("a directory no one may list (mode 0000; root lists it all the same)")
def q_unreadable_directory(rec, mk, rng):
    rec.modes["."] = 0o000


@quirk("FHiCL files whose names differ by case only")
def q_fcl_case_twins(rec, mk, rng):
    rec.files["CrtTop01.fcl"], rec.files["crttop01.fcl"] = b"a: 1\n", b"a: 2\n"


@quirk("FHiCL file names with blank, dot, comma, unicode; one named like a converted text file")
def q_fcl_odd_names(rec, mk, rng):
    for n in ("my reader.fcl", "tpc.01.fcl", "a,b.fcl", "r\u00e9ader.fcl", "boot.fcl", "schema.fcl"):
        rec.files[n] = b"daq: { fragment_receiver: { generator: ToySimulator } }\n"


@quirk("an empty .fcl and one that is comments only")
def q_fcl_empty(rec, mk, rng):
    rec.files["empty01.fcl"], rec.files["comment01.fcl"] = b"", b"# nothing here\n"


@quirk("a .fcl with the archive blob's separators and end mark in comments and strings")
def q_fcl_separators(rec, mk, rng):
    rec.files["banner01.fcl"] = (
        b'x: 0\n#####\nmetadata.fcl:\n#####\n########## banner ##########\na: "End of Record"\n# End of Record\nb: 1\n'
    )


@quirk("a .fcl in CRLF, one without a final newline, one with tabs")
def q_fcl_line_ends(rec, mk, rng):
    rec.files["crlf01.fcl"] = b"a: 1\r\nb: [ 1,\r\n 2 ]\r\n"
    rec.files["nonl01.fcl"] = b"a: 1"
    rec.files["tabs01.fcl"] = b"a\t:\t1\n\tb:\t{\tc:\t2\t}\n"


@quirk("hand-written .fcl: includes left in, prolog, @local, @table, hex, binary, @nil, infinity")
def q_fcl_source_style(rec, mk, rng):
    rec.files["source01.fcl"] = (
        b'#include "EventBuilder_standard.fcl"\nBEGIN_PROLOG\nd: { x: 0x1F y: 0b101 z: @nil }\nEND_PROLOG\n'
        b"a: @local::d\nb: { @table::d w: infinity v: -infinity }\nc: [ @sequence::a.l ]\n"
        b"e: 'single \"quoted\"'\nf.g.h: 1\ni[2]: 3\nj @protect_ignore: 4\nk: (1, 2)\n"
    )


@quirk("a broken .fcl: unbalanced brace, stray bytes, non-ASCII")
def q_fcl_broken(rec, mk, rng):
    rec.files["broken01.fcl"] = b"daq: { fragment_receiver: { a: 1 }\n"
    rec.files["bytes01.fcl"] = b"a: \xff\xfe\x00\n"
    rec.files["unicode01.fcl"] = '# \u00b5s\na: "caf\u00e9"\n'.encode()


@quirk("a 6 MB .fcl with one very long list and a 500 000 character line")
def q_fcl_huge(rec, mk, rng):
    body = "channel_map: [\n" + ",\n".join("   %d" % ((i * 7919) % 1000003) for i in range(500000)) + "\n]\n"
    line = "one_line: [" + ",".join("%d" % (i % 4096) for i in range(110000)) + "]\n"
    rec.files["huge01.fcl"] = (body + line).encode()


@quirk("a table nested 200 deep")
def q_fcl_deep(rec, mk, rng):
    rec.files["deep01.fcl"] = ("a: { " * 200 + "x: 1" + " }" * 200 + "\n").encode()


# directories beside the run directories that a watcher must step over
DIR_QUIRKS = [
    ("lost+found", "plain"),
    (".snapshot", "plain"),
    ("run_records", "plain"),
    ("old", "with_run"),
    ("tmp_{n}", "plain"),
    ("{n}.bak", "with_file"),
    ("{n}_bad", "with_file"),
    ("run{n}", "with_file"),
    ("0{n}", "with_file"),
    ("\u0661\u0662", "plain"),
    ("\u00b2", "plain"),
    ("-5", "plain"),
    ("1e5", "plain"),
    ("9" * 25, "plain"),
    ("0", "plain"),
    ("not_a_directory_{n}", "file"),
    ("{n}9", "file"),
    ("latest", "symlink"),
    ("dangling", "badlink"),
    ("{n}8", "symlink"),
]


def make_dir_quirks(dest, n, t):
    made = []
    for name, kind in DIR_QUIRKS:
        path = os.path.join(dest, name.format(n=n))
        try:
            if os.path.lexists(path):
                continue
            if kind == "file":
                with open(path, "w") as f:
                    f.write("not a directory\n")
            elif kind == "symlink":
                os.symlink(str(n), path)
            elif kind == "badlink":
                os.symlink("nowhere", path)
            else:
                os.mkdir(path)
                if kind == "with_file":
                    with open(os.path.join(path, "metadata.txt"), "w") as f:
                        f.write("Config name: stray\n")
                if kind == "with_run":
                    os.mkdir(os.path.join(path, "1"))
            for sub_path in (os.path.join(path, "metadata.txt"), os.path.join(path, "1"), path):
                if os.path.lexists(sub_path) and not os.path.islink(path):
                    os.utime(sub_path, (t, t))
            made.append(os.path.basename(path))
        except OSError as e:
            print("dir quirk %r: %s" % (name, e), file=sys.stderr)
    return made


# --------------------------------------------------------------------------
# writing: one Python generator a run; it yields how long to wait


class Clock:
    """Simulated in batch mode, the wall clock in live mode."""

    def __init__(self, live, start):
        self.live, self.t = live, start

    def now(self):
        return time.time() if self.live else self.t


CHUNK = 65536


class Writer:
    def __init__(self, args, maker, dest, clock):
        self.a, self.mk, self.dest, self.clock = args, maker, dest, clock
        self.manifest = open(args.manifest, "w", encoding="utf-8") if args.manifest else None

    def stamp(self, path, t=None):
        """In batch mode give a file the time it would have had."""
        if not self.clock.live:
            t = self.clock.now() if t is None else t
            os.utime(path, (t, t), follow_symlinks=False)

    def put(self, path, data, mtime, mode, delay):
        """shutil.copytree's copy2 of one file: open 0644, content, old mtime, mode."""
        with open(path, "wb") as f:
            yield ("copy", delay * 0.2)
            for off in range(0, len(data), CHUNK):
                f.write(data[off : off + CHUNK])
                f.flush()
                if off + CHUNK < len(data):
                    yield ("copy", delay * CHUNK / max(len(data), 1))
        if mtime is not None:
            os.utime(path, (mtime, mtime))
        os.chmod(path, mode)
        yield ("copy", delay * 0.2)

    def append(self, path, text, locked, cut=None):
        if locked:
            os.chmod(path, 0o644)
            yield ("copy", 0.004)
        with open(path, "ab") as f:
            data = text.encode("utf-8", "surrogateescape")
            if cut is not None:
                f.write(data[:cut])
                f.flush()
                self.stamp(path)
                return
            f.write(data)
        self.stamp(path)
        if locked:
            yield ("copy", 0.002)
            os.chmod(path, 0o444)
        self.stamp(path)

    def start_lines(self, v):
        return ("DAQInterface start time", "DAQInterface stop time") if v >= (3, 5, 0) else ("Start time", "Stop time")

    def run(self, run, partition, version, quirk_name):
        a, pr, clock = self.a, self.mk.profile, self.clock
        rng = rng_for(a.seed, "life", run)
        t_config = clock.now() - rng.uniform(20, 90) * (1 if not clock.live else self.scale)
        rec = self.mk.record(run, partition, version, t_config)
        rec.relayout, rec.rc_info = None, pr.external_rc
        names = []
        if quirk_name:
            QUIRKS[quirk_name][0](rec, self.mk, rng)
            names = [quirk_name]
            if rec.relayout:
                version = rec.relayout
                crash, rcinfo = rec.crash, rec.rc_info
                rec = self.mk.record(run, partition, version, t_config)
                rec.relayout, rec.rc_info, rec.crash = None, rcinfo, crash
        v = vkey(version)
        if a.thin:
            keep = {"metadata.txt", "boot.txt", "config.txt"} | set([n for n in rec.files if n.endswith(".fcl")][:1])
            rec.files = {n: b for n, b in rec.files.items() if n in keep}
        locked = v >= (3, 6, 1) and not a.no_chmod
        if rec.crash is None and rng.random() < a.crash:
            rec.crash = rng.choices(["run", "start", "copy", "append", "stop"], [60, 20, 5, 5, 10])[0]
        facts = {
            "run": run,
            "version": version,
            "partition": partition,
            "config": rec.config,
            "quirks": names,
            "crash": rec.crash,
            "files": len(rec.files),
            "bytes": sum(len(b) for b in rec.files.values()),
            "start": None,
            "stop": None,
        }
        final = os.path.join(self.dest, str(run))

        # config: the temporary record
        if a.staging:
            tmp = os.path.join(a.staging, "run_record_attempted_%s" % pr.user, str(partition))
            shutil.rmtree(tmp, ignore_errors=True)
            os.makedirs(tmp)
            for name, data in rec.files.items():
                yield from self.put(os.path.join(tmp, name), data, None, 0o644, pr.copy_s / len(rec.files) / 4)
            for name in rec.files:
                if locked:
                    os.chmod(os.path.join(tmp, name), 0o444)
            yield ("daq", rng.uniform(2, 10))

        # start: the copy
        os.mkdir(final, 0o755)
        dir_mtime = t_config
        order = list(rec.files)
        rng.shuffle(order)
        stop_at = rng.randrange(1, max(2, len(order))) if rec.crash == "copy" else None
        original = {
            "setup.txt": t_config - 86400 * rng.randrange(3, 400),
            "settings.txt": t_config - 86400 * rng.randrange(3, 90),
            "known_boardreaders_list.txt": t_config - 86400 * rng.randrange(1, 60),
        }
        per = pr.copy_s / max(1, len(order))
        for i, name in enumerate(order):
            if stop_at is not None and i == stop_at:
                with open(os.path.join(final, name), "wb") as f:  # half a file, then nothing more
                    f.write(rec.files[name][: len(rec.files[name]) // 2])
                self.stamp(os.path.join(final, name))
                self.note(facts, "copy was cut short")
                return
            mtime = original.get(name, t_config) if v >= (3, 6, 1) else None
            path = os.path.join(final, name)
            yield from self.put(path, rec.files[name], mtime, 0o444 if locked else 0o644, per)
            if mtime is None:
                self.stamp(path)
        for sd, inner in rec.subdirs.items():
            os.mkdir(os.path.join(final, sd))
            for name, data in inner.items():
                yield from self.put(os.path.join(final, sd, name), data, t_config, 0o444 if locked else 0o644, per)
            self.stamp(os.path.join(final, sd))
        for name, target in rec.links.items():
            os.symlink(target, os.path.join(final, name))
        for name, mode in rec.modes.items():
            if name != "." and os.path.exists(os.path.join(final, name)):
                os.chmod(os.path.join(final, name), mode)
        if v >= (3, 6, 1):
            os.utime(final, (dir_mtime, dir_mtime))  # copystat of the directory comes last
        if v >= (3, 8, 0):
            t = clock.now()
            os.utime(final, (t, t))  # touch
        if locked:
            os.chmod(final, 0o555)
        meta = os.path.join(final, "metadata.txt")
        dir_t = clock.now() if v >= (3, 8, 0) else dir_mtime
        key_start, key_stop = self.start_lines(v)

        def dir_done():
            if not clock.live:
                os.utime(final, (dir_t, dir_t))
            if "." in rec.modes:
                os.chmod(final, rec.modes["."])

        def rc_info(which):
            # its directory is made writable for the moment, which changes the directory's mtime too
            nonlocal dir_t
            if locked:
                os.chmod(final, 0o755)
            p = os.path.join(final, "rc_info_%s.txt" % which)
            text = (
                "Run number: %d\nRun type: %s\nDetector: %s\nOperator comment: %s\nTrigger rate (Hz): %.2f\n"
                "Beam on/off: off\nStart by #shifter: jdoe\n"
                % (
                    run,
                    rng.choice(["TEST", "PROD"]),
                    pr.name,
                    rng.choice(["", 'ped scan, "low" gain', "caf\u00e9 shift", "C:\\x"]),
                    rng.uniform(0, 40),
                )
            )
            yield from self.put(p, text.encode(), None, 0o644, 0.01)
            self.stamp(p)
            if locked:
                os.chmod(final, 0o555)
            dir_t = clock.now()

        if rec.rc_info:
            yield from rc_info("start")
        yield ("daq", pr.start_s * rng.uniform(0.5, 1.8))
        if rec.crash == "start" or not os.path.exists(meta):
            # without metadata.txt DAQInterface asserts and recovers: no time lines at all
            dir_done()
            self.note(facts, "the start transition failed")
            return
        facts["start"] = clock.now()
        style = a.date_style or (pr.date_style if v >= (3, 12, 0) else "c")
        line = "\n%s: %s\n" % (key_start, date_utc(clock.now(), style))
        if rec.crash == "append":
            yield from self.append(meta, line, locked, cut=len(line) // 2)
            dir_done()
            self.note(facts, "killed inside the append; metadata.txt stays 0644")
            return
        yield from self.append(meta, line, locked)
        length = pr.run_s * min(4.0, rng.expovariate(1.0) + 0.02)
        if rec.crash == "run":
            length *= rng.random()
        yield ("daq", length)
        if rec.crash == "run":
            dir_done()
            self.note(facts, "recovered or killed while running: no stop line")
            return
        facts["stop"] = clock.now()
        yield from self.append(meta, "\n%s: %s\n" % (key_stop, date_utc(clock.now(), style)), locked)
        if rec.crash == "stop":
            yield ("daq", pr.stop_s)
            dir_done()
            self.note(facts, "the stop transition failed after the stop line")
            return
        if rec.rc_info:
            yield from rc_info("stop")
        yield ("daq", pr.stop_s * rng.uniform(0.5, 1.8))
        if (1, 0, 0) <= v < (3, 0, 5):
            n = -999 if rng.random() < 0.15 else int(length * rng.uniform(1, 40))
            yield from self.append(meta, "\nTotal events: %d\n" % n, locked)
        dir_done()
        self.note(facts, None)

    scale = 1.0

    def note(self, facts, why):
        facts["end"] = why
        if self.manifest:
            self.manifest.write(json.dumps(facts, sort_keys=True) + "\n")
            self.manifest.flush()


# --------------------------------------------------------------------------


def run_numbers(first, count, gaps, seed):
    """`count` numbers; about `gaps` of the numbers in their range are missing, singly and in small blocks."""
    rng = rng_for(seed, "gaps")
    out, n = [], first
    while len(out) < count:
        out.append(n)
        n += 1
        if gaps > 0 and rng.random() < gaps / (1 - gaps) / 1.6:
            n += rng.choices([1, 2, 3, 4, 7], [60, 25, 9, 5, 1])[0]
    return out


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("dest", nargs="?", help="the run records directory; made if need be")
    ap.add_argument("--runs", type=int, default=20, help="how many records (default 20)")
    ap.add_argument("--first", type=int, default=12000, help="first run number (default 12000)")
    ap.add_argument("--profile", choices=sorted(PROFILES), default="demo")
    ap.add_argument(
        "--gaps", type=float, default=0.05, help="share of run numbers in the range with no record (default 0.05)"
    )
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--live", type=float, metavar="RATE", help="write in real time, RATE run starts a minute")
    ap.add_argument(
        "--real-time", action="store_true", help="with --live: true DAQ durations (hours), not ones scaled to RATE"
    )
    ap.add_argument("--partitions", type=int, default=1, help="DAQ partitions running side by side (default 1)")
    ap.add_argument("--crash", type=float, default=0.04, help="share of runs that end badly (default 0.04)")
    ap.add_argument(
        "--quirks",
        nargs="?",
        const="all",
        metavar="NAMES",
        help="inject quirks, one a run in turn; all, or names with commas",
    )
    ap.add_argument(
        "--no-dir-quirks", action="store_true", help="with --quirks: no odd names beside the run directories"
    )
    ap.add_argument("--list-quirks", action="store_true")
    ap.add_argument(
        "--format",
        default="auto",
        metavar="VERSION",
        help="DAQInterface version whose layout to write, e.g. v3_05_00 (default: the profile's)",
    )
    ap.add_argument(
        "--fcl",
        choices=["mixed", "dumped", "raw", "auto"],
        default="mixed",
        help="dumped: fhicl-dump output, all that v3_02_01 and later write; raw: source text with comments and hex; "
        "mixed (default): one file in six raw; auto: by version",
    )
    ap.add_argument(
        "--fcl-scale", type=float, default=1.0, help="shrink channel maps, for many small records (default 1)"
    )
    ap.add_argument("--thin", action="store_true", help="three files a record, for directories of 100 000 runs")
    ap.add_argument("--runs-per-config", type=int, default=12, help="runs that share one configuration (default 12)")
    ap.add_argument(
        "--date-style", choices=sorted(DATE_STYLES), help="format of the time lines (default: the profile's)"
    )
    ap.add_argument("--start-time", type=float, default=1_700_000_000.0, help="batch mode: epoch of the first run")
    ap.add_argument(
        "--staging",
        metavar="DIR",
        help="also show the temporary record under DIR/run_record_attempted_<user>/<partition>",
    )
    ap.add_argument("--no-chmod", action="store_true", help="leave files and directories writable (easier to delete)")
    ap.add_argument("--manifest", metavar="FILE", help="write one JSON line a run: what it is and how it ended")
    a = ap.parse_args()

    if a.list_quirks:
        for name, (_, doc) in QUIRKS.items():
            print("%-26s %s" % (name, doc))
        return 0
    if not a.dest:
        ap.error("DEST is needed")
    if not 0 <= a.gaps < 0.9:
        ap.error("--gaps must be in [0, 0.9)")
    if a.live is not None and a.live <= 0:
        ap.error("--live must be greater than 0")
    os.umask(0o022)
    os.makedirs(a.dest, exist_ok=True)
    mk = Maker(a)
    pr = mk.profile
    version = pr.version if a.format == "auto" else a.format
    if not re.match(r"v\d+_\d+_\d+", version):
        ap.error("--format wants something like v3_05_00")
    if vkey(version) >= (3, 9, 0):
        info = os.path.join(a.dest, ".record_directory_info")
        if not os.path.exists(info):
            with open(info, "w") as f:
                f.write("inode: %d" % os.stat(a.dest).st_ino)
    numbers = run_numbers(a.first, a.runs, a.gaps, a.seed)
    chosen = []
    if a.quirks:
        chosen = list(QUIRKS) if a.quirks == "all" else a.quirks.split(",")
        for q in chosen:
            if q not in QUIRKS:
                ap.error("no quirk %r; see --list-quirks" % q)
        if not a.no_dir_quirks and a.quirks == "all":
            made = make_dir_quirks(a.dest, a.first, a.start_time if a.live is None else time.time())
            print("odd names made: %s" % ", ".join(ascii(m) for m in made), file=sys.stderr)

    clock = Clock(a.live is not None, a.start_time)
    w = Writer(a, mk, a.dest, clock)
    lives = []
    for i, n in enumerate(numbers):
        part = 1 + i % a.partitions
        lives.append((n, part, version, chosen[i % len(chosen)] if chosen else None))

    for n, *_ in lives:
        if os.path.lexists(os.path.join(a.dest, str(n))):
            ap.error("%s already has a run %d" % (a.dest, n))

    if a.live is None:
        for n, part, ver, q in lives:
            for kind, dt in w.run(n, part, ver, q):
                clock.t += dt
            clock.t += rng_for(a.seed, "idle", n).expovariate(1 / 120.0) + 15
        return 0

    # live: partitions run side by side; inside one, the next run starts after the last one ended
    interval = 60.0 / a.live
    cycle = interval * a.partitions
    w.scale = 1.0 if a.real_time else 0.75 * cycle / (pr.start_s + pr.run_s + pr.stop_s)
    copy_scale = 1.0 if a.real_time else min(1.0, 0.2 * cycle / max(pr.copy_s, 1e-9))
    stop = []
    signal.signal(signal.SIGINT, lambda *_: stop.append(1))
    signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
    t0, heap, seq = time.time(), [], 0
    queue = list(reversed(lives))
    busy = {}

    def push(t, gen, part):
        nonlocal seq
        seq += 1
        heapq.heappush(heap, (t, seq, gen, part))

    next_start = t0
    while (queue or heap) and not stop:
        now = time.time()
        if queue and now >= next_start and not busy.get(queue[-1][1]):
            n, part, ver, q = queue.pop()
            busy[part] = True
            push(now, w.run(n, part, ver, q), part)
            next_start = max(next_start + interval, now - 5 * interval)
        if heap and heap[0][0] <= now:
            _, _, gen, part = heapq.heappop(heap)
            try:
                kind, dt = next(gen)
                push(max(now, _) + dt * (copy_scale if kind == "copy" else w.scale), gen, part)
            except StopIteration:
                busy[part] = False
            continue
        due = [heap[0][0]] if heap else []
        if queue and not busy.get(queue[-1][1]):
            due.append(next_start)
        time.sleep(max(0.0, min(0.2, (min(due) if due else now + 0.05) - time.time())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
